//! Components are compiled once, and kept code is only believed if nobody but this program can have written it.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

mod support;

use foreshock_engine::verdict::Detectors;
use foreshock_sandbox::{Sandbox, Settings};
use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use support::{Feed, load, pool, spec};

fn sandbox(folder: &Path) -> Arc<Sandbox> {
    let settings = Settings { max_models: 100, code_folder: Some(folder.to_owned()), ..Settings::default() };
    Arc::new(Sandbox::new(settings).unwrap())
}

/// Loads a detector, lets it judge a window, and gives how often the compiler ran.
fn compilations(folder: &Path, detector: &str) -> u64 {
    let sandbox = sandbox(folder);
    let detector = load(&sandbox, detector, foreshock_builtin::component(detector).unwrap(), "{}");
    let mut pool = pool(&sandbox, std::slice::from_ref(&detector), 60);
    assert_eq!(pool.observe(&Feed::new("cart").window(&[(1, 1.0)])).len(), 1);
    sandbox.compilations()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|suffix| suffix == "code")).collect()
}

/// A start after the first does not compile, and neither does loading a component that was just asked what it is.
#[test]
fn each_component_is_compiled_once() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("code");
    assert_eq!(compilations(&folder, "baseline"), 1);
    assert_eq!(compilations(&folder, "baseline"), 0);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&files(&folder)[0]).unwrap().permissions().mode() & 0o777, 0o600);

    let settings = || Settings { max_models: 100, ..Settings::default() };
    let (asked, loaded) = (Sandbox::new(settings()).unwrap(), Sandbox::new(settings()).unwrap());
    let component = foreshock_builtin::component("log-patterns").unwrap();
    asked.about(component).unwrap();
    loaded.load(spec("log-patterns", component, "{}")).unwrap();
    assert_eq!((asked.compilations(), loaded.compilations()), (1, 0));
}

/// Code that was changed, cut, or put in the place of another component's is not run: the component is compiled anew, and the file
/// is good again.
#[test]
fn code_that_was_tampered_with_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("code");
    assert_eq!(compilations(&folder, "baseline"), 1);
    let baseline = files(&folder).remove(0);
    let good = fs::read(&baseline).unwrap();
    assert_eq!(compilations(&folder, "isolation-forest"), 1);
    let forest = files(&folder).into_iter().find(|path| *path != baseline).unwrap();

    let mut changed = good.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let mut other_hash = good.clone();
    other_hash[0] ^= 1;
    for bad in [
        changed,
        other_hash,
        good[..good.len() - 1].to_vec(),
        good[..31].to_vec(),
        Vec::new(),
        fs::read(forest).unwrap(),
    ] {
        fs::write(&baseline, bad).unwrap();
        assert_eq!(compilations(&folder, "baseline"), 1);
        assert_eq!(compilations(&folder, "baseline"), 0);
    }

    // With another secret, as after a copy from elsewhere, nothing is believed.
    fs::write(folder.join("secret"), [7; 32]).unwrap();
    assert_eq!(compilations(&folder, "baseline"), 1);
}

/// A folder that others can enter is not used, neither for reading nor for writing.
#[test]
fn a_folder_that_others_can_enter_is_not_used() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("code");
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(compilations(&folder, "baseline"), 1);
    assert_eq!(compilations(&folder, "baseline"), 1);
    assert!(files(&folder).is_empty());
}
