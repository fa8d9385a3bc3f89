//! `foreshock detector new`: a project that builds at once.
//!
//! The templates are the examples in `examples/detectors`, which tests build and play; here they only get another name.

mod files;

use super::table;
use crate::cli::Failure;
use anyhow::Context as _;
use clap::ValueEnum;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The name that the templates have, as it stands in their texts.
const TEMPLATE: &str = "level-watch";

/// The arguments of `foreshock detector new`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What to write it in
    #[arg(long, short, value_enum, default_value = "rust")]
    lang: Language,
    /// The detector's name: 1 to 64 of a-z, 0-9 and -, a letter first
    name: String,
    /// Where to make the project's folder; by default here
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,
}

/// Languages that there is a template for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Language {
    Rust,
    #[value(alias = "py")]
    Python,
    #[value(alias = "javascript")]
    Js,
    C,
}

/// Writes the project.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.name;
    let fits = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let is_good = name.chars().all(fits) && name.len() <= 64 && !name.ends_with('-');
    if !is_good || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        let why = format!("foreshock: `{name}`: a name is 1 to 64 of a-z, 0-9 and -, with a letter first");
        return Err(Failure::Unusable(why));
    }
    let folder = arguments.into.join(name);
    if folder.exists() {
        return Err(Failure::Unusable(format!("foreshock: {}: is there already", folder.display())));
    }
    let (files, test) = match arguments.lang {
        Language::Rust => (files::rust(), "cargo test"),
        Language::Python => (files::python(), "python3 -m unittest"),
        Language::Js => (files::javascript(), "node --test"),
        Language::C => (files::c(), "cc -o /tmp/test test_level_watch.c level_watch.c -lm && /tmp/test"),
    };
    let mut size = 0;
    for (path, text) in &files {
        let text = if is_ours(path) { (*text).to_owned() } else { rename(text, name) };
        size += text.len();
        write(&folder.join(rename(path, name)), &text)?;
    }
    let memory = match arguments.lang {
        Language::Rust | Language::Js | Language::C => "",
        Language::Python => " --memory-mib 64 --deadline 1s",
    };
    super::print(&format!(
        "{} files, {}, in {}\n\n  cd {}\n  {}\n  foreshock detector build\n  foreshock detector check {name}.wasm{memory}\n  \
         foreshock detector run {name}.wasm{memory} --input recording.csv\n  \
         foreshock replay --config foreshock.yaml --input recording.csv --output events.jsonl\n",
        files.len(),
        table::bytes(size as u64),
        folder.display(),
        folder.display(),
        rename(test, name),
    ))
}

/// Files of Foreshock itself keep their text.
fn is_ours(path: &str) -> bool {
    path.starts_with("vendor/") || path.starts_with("wit/") || path == "Cargo.lock"
}

/// Puts a project's name where the template's stands, in each way of writing it.
fn rename(text: &str, name: &str) -> String {
    let capitals = |name: &str| -> String {
        name.split('-')
            .map(|part| {
                part.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(part.chars().skip(1)).collect::<String>()
            })
            .collect()
    };
    let underscores = |name: &str| name.replace('-', "_");
    text.replace(TEMPLATE, name)
        .replace(&underscores(TEMPLATE), &underscores(name))
        .replace(&underscores(TEMPLATE).to_uppercase(), &underscores(name).to_uppercase())
        .replace(&capitals(TEMPLATE), &capitals(name))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("`{}` can't be made", folder.display()))?;
    Ok(fs::write(path, text).with_context(|| format!("`{}` can't be written", path.display()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The author's name must stand everywhere, in the way of writing that each language has.
    #[test]
    fn templates_get_the_authors_name() {
        let text = "level-watch level_watch LEVEL_WATCH_H LevelWatch level";
        assert_eq!(rename(text, "unpaid-orders"), "unpaid-orders unpaid_orders UNPAID_ORDERS_H UnpaidOrders level");
        for (path, text) in files::rust().iter().chain(&files::python()).chain(&files::javascript()).chain(&files::c())
        {
            let text = rename(&format!("{path}\n{text}"), "x-y");
            assert!(is_ours(path) || !text.to_lowercase().contains("level_watch"), "{path}");
        }
    }
}
