//! `foreshock detector build`: the component of a project in any of the languages.

mod c;
mod javascript;
mod python;
mod rust;
mod tools;

use super::{contract, table};
use crate::cli::{Failure, say};
use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// The arguments of `foreshock detector build`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The project's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Where to write the component; by default `NAME.wasm` in the folder
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Cargo's target folder, for Rust; by default the project's own
    #[arg(long, value_name = "FOLDER")]
    target_dir: Option<PathBuf>,
}

/// What a detector is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Language {
    Rust,
    Python,
    JavaScript,
    C,
}

/// Builds the component and says what it is.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.folder.canonicalize().map_err(|error| {
        Failure::Unusable(format!("foreshock: {}: can't be opened: {error}", arguments.folder.display()))
    })?;
    let found = [
        ("Cargo.toml", Language::Rust),
        ("detector.py", Language::Python),
        ("detector.js", Language::JavaScript),
        ("detector.c", Language::C),
    ];
    let Some((_, language)) = found.into_iter().find(|(file, _)| folder.join(file).is_file()) else {
        let files = found.map(|(file, _)| file).join(", ");
        return Err(Failure::Unusable(format!("foreshock: {}: has none of {files}", folder.display())));
    };
    let (name, component) = match language {
        Language::Rust => rust::build(&folder, arguments.target_dir.as_deref())?,
        Language::Python => (name(&folder), python::build(&folder)?),
        Language::JavaScript => (name(&folder), javascript::build(&folder)?),
        Language::C => (name(&folder), c::build(&folder)?),
    };
    let output = arguments.output.clone().unwrap_or_else(|| arguments.folder.join(format!("{name}.wasm")));
    std::fs::write(&output, &component).with_context(|| format!("`{}` can't be written", output.display()))?;
    let contract = contract::read(&component).map_err(|why| anyhow::anyhow!("what was built {why}"))?;
    let digest: String = Sha256::digest(&component).iter().map(|byte| format!("{byte:02x}")).collect();
    let imports = if contract.imports.is_empty() { "nothing".to_owned() } else { contract.imports.join(", ") };
    super::print(&format!(
        "{}\n  size     {}\n  sha256   {digest}\n  imports  {imports}\n",
        output.display(),
        table::bytes(component.len() as u64)
    ))?;
    let foreign = contract.foreign();
    if !foreign.is_empty() {
        let why = format!("it imports {}, which no detector gets: it would be refused", foreign.join(", "));
        return Err(Failure::Running(anyhow::anyhow!(why)));
    }
    let memory = if language == Language::Python { " --memory-mib 64 --deadline 1s" } else { "" };
    say(&format!("next: foreshock detector check {}{memory}", output.display()));
    Ok(())
}

/// The name of a project: that of its folder.
fn name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "detector".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The contract's folder: the project's own, so that it builds by what it was written for, or that of a folder around it.
fn wit(folder: &Path) -> Result<PathBuf, Failure> {
    let mut candidates = folder.ancestors().map(|folder| folder.join("wit"));
    candidates.find(|wit| wit.join("detector.wit").is_file()).ok_or_else(|| {
        let why = format!("foreshock: {}: has no folder `wit` with the contract `detector.wit`", folder.display());
        Failure::Unusable(why)
    })
}
