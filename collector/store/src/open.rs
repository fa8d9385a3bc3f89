//! Opening the file: lock, migrations, and what happens to a file that is of no use.

use crate::{Store, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Steps from one schema to the next. The number of steps done is SQLite's `user_version`.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE state (
        kind TEXT NOT NULL, service TEXT NOT NULL, key TEXT NOT NULL,
        schema INTEGER NOT NULL, bytes BLOB NOT NULL, updated INTEGER NOT NULL,
        PRIMARY KEY (kind, service, key)
    ) WITHOUT ROWID;
    CREATE TABLE spool (
        id INTEGER PRIMARY KEY AUTOINCREMENT, exporter TEXT NOT NULL, signal TEXT NOT NULL, encoding TEXT NOT NULL,
        items INTEGER NOT NULL, bytes BLOB NOT NULL
    );
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, exporter TEXT NOT NULL, signal TEXT NOT NULL, encoding TEXT NOT NULL,
        items INTEGER NOT NULL, bytes BLOB NOT NULL
    );
    CREATE TABLE record (
        kind TEXT NOT NULL, id TEXT NOT NULL, start INTEGER NOT NULL, updated INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE INDEX record_by_start ON record (kind, start);
"];

/// A store that was opened, and what was in the way.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// A file that was found and could not be used.
    pub aside: Option<Aside>,
}

/// A file that was moved out of the way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Aside {
    /// Where it is now.
    pub path: PathBuf,
    /// Why, in words.
    pub reason: String,
}

/// How long another owner of the folder is waited for: one that is about to end, or a child process that was forked while the
/// lock was held and has not yet started its own program.
const LOCK_WAIT: Duration = Duration::from_secs(1);

pub(crate) fn open(folder: &Path) -> Result<Opened, StoreError> {
    let refuse = |source| StoreError::Folder { folder: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(refuse)?;
    let lock = File::create(folder.join("foreshock.lock")).map_err(refuse)?;
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => return Err(refuse(source)),
        }
    }
    let path = folder.join("foreshock.db");
    let (connection, aside) = match prepare(&path) {
        Ok(connection) => (connection, None),
        Err(reason) => {
            let aside = move_aside(&path, reason).map_err(refuse)?;
            let connection = prepare(&path).map_err(|reason| refuse(std::io::Error::other(reason)))?;
            (connection, Some(aside))
        }
    };
    let store = Store { connection: Mutex::new(connection), path, _lock: lock };
    Ok(Opened { store, aside })
}

/// A connection to a sound file of this version's schema; the error says why it can't be had.
fn prepare(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let words = |error: rusqlite::Error| format!("it can't be read: {error}");
    let mut connection = Connection::open_with_flags(path, flags).map_err(words)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(words)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(words)?;
    // A process that dies loses no committed transaction; a machine that loses power may lose the last ones, never the rest.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(words)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(words)?;
    if verdict != "ok" {
        return Err(format!("it is damaged: {verdict}"));
    }
    let done: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(words)?;
    let done = usize::try_from(done).map_err(|_| format!("its schema has the number {done}"))?;
    if done > MIGRATIONS.len() {
        return Err(format!("it has schema {done}, written by a newer version; this one knows {}", MIGRATIONS.len()));
    }
    for (number, migration) in (1i64..).zip(MIGRATIONS).skip(done) {
        let step = connection.transaction().map_err(words)?;
        step.execute_batch(migration).map_err(words)?;
        step.pragma_update(None, "user_version", number).map_err(words)?;
        step.commit().map_err(words)?;
    }
    Ok(connection)
}

/// Renames the file, its log and its index to the first free `foreshock.db.aside-TIME-NUMBER`.
fn move_aside(path: &Path, reason: String) -> std::io::Result<Aside> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let target = (0..1000)
        .map(|number| path.with_extension(format!("db.aside-{seconds}-{number}")))
        .find(|target| !target.exists())
        .ok_or_else(|| std::io::Error::other("too many files set aside"))?;
    for suffix in ["-wal", "-shm", ""] {
        let with = |base: &Path| PathBuf::from(format!("{}{suffix}", base.display()));
        match std::fs::rename(with(path), with(&target)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Aside { path: target, reason })
}
