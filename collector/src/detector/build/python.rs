//! Python: componentize-py puts the interpreter and the project into one component.

use super::tools;
use crate::cli::Failure;
use std::{path::Path, process::Command};

/// The version that the templates are tested with.
const VERSION: &str = "0.25.1";

/// Builds `detector.py` and gives the component.
///
/// `--stub-wasi` takes away what the interpreter would ask of an operating system; such a call then traps. Its hash seed is fixed
/// at build time, so answers are the same in every run.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>, Failure> {
    let wit = super::wit(folder)?;
    let tool = tools::from_pypi("componentize-py", VERSION, "componentize-py")?;
    let scratch = tools::Scratch::new(folder, "py")?;
    let output = scratch.path().join("detector.wasm");
    let mut command = Command::new(tool);
    command.current_dir(folder).arg("-d").arg(wit).args(["-w", "plugin", "componentize", "detector", "-p", "."]);
    // A virtual environment that happens to be active is not part of the project.
    command.env_remove("VIRTUAL_ENV").args(["--stub-wasi", "-o"]).arg(&output);
    tools::run(&mut command, "componentize-py")?;
    tools::read(&output)
}
