//! The only crate of Foreshock that knows SQLite: what outlives a restart.
//!
//! One file, `foreshock.db`, in the state folder holds what was learned ([`State`]), what was not yet sent ([`Parcel`]) and
//! what the console shows of the past ([`Record`]). Every write is one transaction: a crash at any moment leaves the last good
//! state. A file that is damaged, or was written by a newer version, is moved aside and said so; the start is then a cold one.
//!
//! All calls block on the disk. Keep them off the workers of an async runtime.

mod open;
mod parcel;
mod record;
mod state;

pub use self::{
    open::{Aside, Opened},
    parcel::{Lane, Parcel, Waiting},
    record::{Record, RecordKind},
    state::State,
};

use rusqlite::Connection;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder could not be made, or a file in it could not be opened or moved.
    #[error("the state folder {folder} can't be used")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the folder.
    #[error("the state folder {0} is in use by another process")]
    InUse(PathBuf),
    /// SQLite said no: the disk is full, the file was damaged, or the like.
    #[error("the state could not be read or written")]
    Sqlite(#[from] rusqlite::Error),
}

/// An open state folder. Shared between threads; one call runs at a time.
#[derive(Debug)]
pub struct Store {
    /// A plain mutex: holders do one transaction and never wait for anything else.
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Held for as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store in `folder`, making both if need be. A folder that another store has is waited for a second.
    ///
    /// # Errors
    /// [`StoreError::Folder`] and [`StoreError::InUse`]. Damage is not an error: the file is moved aside, see [`Opened`].
    pub fn open(folder: &Path) -> Result<Opened, StoreError> {
        open::open(folder)
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A holder that panicked left no half-done transaction behind: dropping one rolls it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
