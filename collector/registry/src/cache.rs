//! Components that were fetched, by digest, in a folder that only this user can enter.

use crate::{Digest, Limits, Reference, manifest};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Files that are kept, two for each component; the oldest make room.
const MOST_FILES: usize = 128;

/// The folder. What lies in it is read under its digest alone, so that a file that was changed or cut is as good as none.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in `folder`, which is made when something is first kept.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The component that a reference names, if it is whole.
    pub(crate) fn get(&self, reference: &Reference, limits: &Limits) -> Option<Arc<[u8]>> {
        let manifest = self.read(reference.digest, limits.manifest_bytes)?;
        let layer = manifest::layer(&manifest).ok()?;
        self.read(layer.digest, limits.component_bytes).map(Arc::from)
    }

    /// Keeps a manifest and its component. The component first: a manifest that is there has what it names.
    pub(crate) fn put(&self, manifest: &[u8], component: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        self.make_room()?;
        self.write(component)?;
        self.write(manifest)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("sha256-{}", digest.hex()))
    }

    fn read(&self, digest: Digest, most: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(digest)).ok()?.take(most.saturating_add(1)).read_to_end(&mut bytes).ok()?;
        (Digest::of(&bytes) == digest).then_some(bytes)
    }

    /// A crash at any moment leaves the old file or the new one; both are the same.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(Digest::of(bytes));
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    }

    fn make_room(&self) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("sha256-") {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let too_many = (kept.len() + 2).saturating_sub(MOST_FILES);
        kept.iter().take(too_many).try_for_each(|(_, path)| fs::remove_file(path))
    }
}
