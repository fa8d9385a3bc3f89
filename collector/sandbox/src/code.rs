//! Compiled components, kept so that each is compiled once.
//!
//! Compiled code is trusted: whoever can change it runs in the process. So it is kept in a folder that nobody but this user can enter,
//! and each file begins with a keyed hash of its name and content. The key is drawn at random when the folder is first used, so that a
//! file that was changed, renamed or brought from elsewhere is refused; the component is then compiled anew.

use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use wasmtime::{Engine, component::Component};

const SECRET_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
/// Files of code that are kept; the oldest make room.
const MOST_FILES: usize = 64;
const SUFFIX: &str = "code";

/// Code that was compiled when a component was asked what it is, until the same process loads it: a few components, in total not
/// more than this many bytes; others are compiled again.
const MOST_RECENT_BYTES: usize = 64 << 20;
static RECENT: Mutex<VecDeque<(String, Arc<[u8]>)>> = Mutex::new(VecDeque::new());

/// Keeps code for one use by this process.
pub(crate) fn keep_for_load(name: &str, code: Vec<u8>) {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    recent.retain(|(known, _)| known != name);
    recent.push_back((name.to_owned(), code.into()));
    while recent.iter().map(|(_, code)| code.len()).sum::<usize>() > MOST_RECENT_BYTES {
        recent.pop_front();
    }
}

/// Takes what [`keep_for_load`] kept.
pub(crate) fn take_for_load(name: &str) -> Option<Arc<[u8]>> {
    let mut recent = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    let at = recent.iter().position(|(known, _)| known == name)?;
    recent.remove(at).map(|(_, code)| code)
}

/// A component from its code; `None` if the code is of another engine.
#[expect(unsafe_code, reason = "code can't be checked, it has to be trusted; see the first lines of this file")]
pub(crate) fn revive(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: callers pass what `Component::serialize` gave, from this process's own memory or from a file whose keyed hash is right.
    // An engine with other settings or of another version refuses it.
    unsafe { Component::deserialize(engine, code) }.ok()
}

/// The folder.
#[derive(Debug)]
pub(crate) struct CodeFolder {
    folder: PathBuf,
    secret: [u8; SECRET_BYTES],
}

impl CodeFolder {
    /// Opens the folder, or makes it.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let found = fs::symlink_metadata(folder)?;
        if !found.is_dir() || found.mode() & 0o077 != 0 {
            let why = "compiled code is only kept in a folder of its own that others can't enter (mode 0700)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(Self { folder: folder.to_owned(), secret: secret(folder)? })
    }

    /// Code that was kept under a name, if it is there and nobody changed it.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut code = fs::read(&path).ok()?;
        let hash: Option<[u8; HASH_BYTES]> = code.get(..HASH_BYTES).and_then(|hash| hash.try_into().ok());
        if hash != Some(self.hash(name, code.get(HASH_BYTES..).unwrap_or_default())) {
            tracing::warn!(file = %path.display(), "compiled code was changed or is damaged; it is compiled anew");
            return None;
        }
        code.drain(..HASH_BYTES);
        Some(code)
    }

    /// Keeps code under a name. A crash at any moment leaves the old file or the new one.
    pub(crate) fn put(&self, name: &str, code: &[u8]) -> io::Result<()> {
        self.make_room()?;
        let unfinished = self.folder.join(format!("{name}.{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&self.hash(name, code))?;
        file.write_all(code)?;
        fs::rename(&unfinished, self.path(name))
    }

    fn make_room(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|suffix| suffix == SUFFIX) {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let too_many = (kept.len() + 1).saturating_sub(MOST_FILES);
        kept.iter().take(too_many).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{SUFFIX}"))
    }

    fn hash(&self, name: &str, code: &[u8]) -> [u8; HASH_BYTES] {
        keyed_hash(&self.secret, &[name.as_bytes(), &[0], code])
    }
}

/// The folder's key, drawn if it has none.
fn secret(folder: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let path = folder.join("secret");
    let read = || -> io::Result<[u8; SECRET_BYTES]> {
        let mut secret = [0; SECRET_BYTES];
        File::open(&path)?.read_exact(&mut secret)?;
        Ok(secret)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        found => return found,
    }
    let mut drawn = [0; SECRET_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut drawn)?;
    let unfinished = folder.join(format!("secret.{}.new", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?.write_all(&drawn)?;
    // Of two processes that do this at once, the first one's key is used by both.
    let linked = fs::hard_link(&unfinished, &path);
    fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(),
    }
}

/// HMAC-SHA256 (RFC 2104).
fn keyed_hash(key: &[u8; SECRET_BYTES], parts: &[&[u8]]) -> [u8; HASH_BYTES] {
    const BLOCK_BYTES: usize = 64;
    let pad = |with: u8| {
        let mut block = [with; BLOCK_BYTES];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = parts.iter().fold(Sha256::new_with_prefix(pad(0x36)), Digest::chain_update);
    let outer = Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keyed hash is the standard's: a hash of another make would be a hash that nobody has looked at. Expected values from
    /// Python's `hmac` module.
    #[test]
    fn the_keyed_hash_is_hmac_sha256() {
        let key = std::array::from_fn(|index| index as u8);
        let hash = keyed_hash(&key, &[b"what do ya want ", b"for nothing?"]);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "099805f4ac310786968565c098db515cc50862b420ae31e20238312344bed36a");
    }
}
