//! The texts of the templates, taken from where they are built and tested.

/// A path inside the project and the text.
pub(super) type File = (&'static str, &'static str);

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../../../examples/detectors/", $path))
    };
}

macro_rules! sdk {
    ($path:literal) => {
        (concat!("vendor/foreshock-detector/", $path), include_str!(concat!("../../../../detectors/sdk/", $path)))
    };
}

const CONFIGURATION: File = ("foreshock.yaml", include_str!("foreshock.yaml"));
const CONTRACT: File = ("wit/detector.wit", include_str!("../../../../wit/detector.wit"));

/// Rust: the crate for authors comes along, so that no registry needs to have it.
pub(super) fn rust() -> Vec<File> {
    vec![
        ("Cargo.toml", include_str!("Cargo.toml.template")),
        // The versions that this program was tested with; cargo takes out what the project has no use for.
        ("Cargo.lock", include_str!("../../../../Cargo.lock")),
        ("README.md", include_str!("README.rust.md")),
        (".gitignore", "/target\n/foreshock-data\n*.wasm\n"),
        ("src/lib.rs", example!("rust/src/lib.rs")),
        ("tests/recording.rs", example!("rust/tests/recording.rs")),
        ("recording.csv", example!("rust/recording.csv")),
        CONFIGURATION,
        CONTRACT,
        sdk!("Cargo.toml"),
        sdk!("src/benchkit.rs"),
        sdk!("src/glue.rs"),
        sdk!("src/lib.rs"),
        sdk!("src/log.rs"),
        sdk!("src/math.rs"),
        sdk!("src/model.rs"),
        sdk!("src/packed.rs"),
        sdk!("src/per_series.rs"),
        sdk!("src/schema.rs"),
        sdk!("src/series_map.rs"),
        sdk!("src/settings.rs"),
        sdk!("src/stats/count.rs"),
        sdk!("src/stats/mod.rs"),
        sdk!("src/stats/noise.rs"),
        sdk!("src/stats/streak.rs"),
        sdk!("src/stats/tail.rs"),
        sdk!("src/testkit.rs"),
        sdk!("src/testkit/played.rs"),
        sdk!("src/testkit/recording.rs"),
        sdk!("src/testkit/sound.rs"),
        sdk!("src/verdict.rs"),
        sdk!("src/window.rs"),
        sdk!("src/words.rs"),
    ]
}

/// Python.
pub(super) fn python() -> Vec<File> {
    vec![
        ("README.md", include_str!("README.python.md")),
        (".gitignore", "/foreshock-data\n*.wasm\n__pycache__/\n"),
        ("detector.py", example!("python/detector.py")),
        ("level_watch.py", example!("python/level_watch.py")),
        ("test_level_watch.py", example!("python/test_level_watch.py")),
        ("recording.csv", example!("python/recording.csv")),
        ("foreshock.yaml", include_str!("foreshock.python.yaml")),
        CONTRACT,
    ]
}

/// JavaScript.
pub(super) fn javascript() -> Vec<File> {
    vec![
        ("README.md", include_str!("README.js.md")),
        (".gitignore", "/foreshock-data\n*.wasm\nnode_modules/\n"),
        ("package.json", example!("js/package.json")),
        ("detector.js", example!("js/detector.js")),
        ("level-watch.js", example!("js/level-watch.js")),
        ("level-watch.test.js", example!("js/level-watch.test.js")),
        ("recording.csv", example!("js/recording.csv")),
        CONFIGURATION,
        CONTRACT,
    ]
}

/// C.
pub(super) fn c() -> Vec<File> {
    vec![
        ("README.md", include_str!("README.c.md")),
        (".gitignore", "/foreshock-data\n*.wasm\n/bindings\n"),
        ("detector.c", example!("c/detector.c")),
        ("level_watch.c", example!("c/level_watch.c")),
        ("level_watch.h", example!("c/level_watch.h")),
        ("runtime.c", example!("c/runtime.c")),
        ("stdlib.h", example!("c/stdlib.h")),
        ("string.h", example!("c/string.h")),
        ("test_level_watch.c", example!("c/test_level_watch.c")),
        ("recording.csv", example!("c/recording.csv")),
        CONFIGURATION,
        CONTRACT,
    ]
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    /// Every source of the crate for authors comes along with a new project, or it would not build.
    #[test]
    fn the_whole_sdk_comes_along() {
        let sdk = Path::new("../detectors/sdk");
        let mut open = vec![sdk.join("src")];
        let mut found = BTreeSet::from(["vendor/foreshock-detector/Cargo.toml".to_owned()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("the folder is there") {
                let path = entry.expect("it can be read").path();
                match path.is_dir() {
                    true => open.push(path),
                    false => {
                        let inside = path.strip_prefix(sdk).expect("it is below").display();
                        found.insert(format!("vendor/foreshock-detector/{inside}"));
                    }
                }
            }
        }
        let files = super::rust();
        let listed = files.iter().map(|(path, _)| *path).filter(|path| path.starts_with("vendor/"));
        assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<_>>(), found);
    }
}
