//! `foreshock validate`: every problem of a file at once, each with its line. The files and what is said of them lie in
//! `tests/broken`.

use super::repository;
use anyhow::{Result, ensure};
use e2e::process;
use std::process::Command;

/// Protects people who write configurations: for each file of the set the output is exactly what is written beside it, and the
/// code is 2. Set `FORESHOCK_BLESS` to write what is said now, and read the difference.
#[test]
fn every_problem_is_told_with_its_line() -> Result<()> {
    let folder = repository().join("tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".yaml") else { continue };
        seen += 1;
        let output = Command::new(process::foreshock()?)
            .current_dir(&folder)
            .args(["validate", "--config", &name])
            .env_remove("FORESHOCK_SHARDS")
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{name} ended with {:?}: {said}", output.status);
        ensure!(output.stdout.is_empty(), "{name} writes to stdout");
        let beside = folder.join(format!("{stem}.expected"));
        if std::env::var_os("FORESHOCK_BLESS").is_some() {
            std::fs::write(&beside, &said)?;
        }
        let expected = std::fs::read_to_string(&beside)?;
        if said != expected {
            wrong.push(format!("{name} says\n{said}instead of\n{expected}"));
        }
    }
    ensure!(seen >= 8, "only {seen} files");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
