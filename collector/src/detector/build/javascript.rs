//! JavaScript: componentize-qjs puts a QuickJS engine and the project into one component.

use super::tools;
use crate::cli::Failure;
use std::{path::Path, process::Command};

/// Of the two ways to make components of JavaScript this one has the smaller engine: a tenth of the size and memory of
/// componentize-js with SpiderMonkey, whose memory also grew with every call when it was measured (examples/README.md).
const PACKAGE: &str = "componentize-qjs";
/// The version that the templates are tested with.
const VERSION: &str = "0.4.5";

/// Builds `detector.js` and gives the component.
///
/// `--stub-wasi` takes away what the engine would ask of an operating system; such a call then traps.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, Failure> {
    let wit = super::wit(folder)?;
    let tool = tools::from_npm(PACKAGE, VERSION)?;
    let scratch = tools::Scratch::new(folder, "js")?;
    let output = scratch.path().join("detector.wasm");
    let mut command = Command::new("node");
    command.current_dir(folder).arg(tool.join("node_modules").join(PACKAGE).join("cli.mjs"));
    command.arg("--wit").arg(wit).args(["--world", "plugin", "--js"]).arg(folder.join("detector.js"));
    command.args(["--stub-wasi", "--sync", "--output"]).arg(&output);
    tools::run(&mut command, PACKAGE)?;
    tools::read(&output)
}
