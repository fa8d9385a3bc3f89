//! Everything that is wrong with a configuration file, collected with its place, so that all of it is reported at once.

use std::fmt;

/// A place in a file. Lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A value with the place it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub mark: Mark,
}

/// Whether a configuration can be used in spite of a problem.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Gravity {
    /// It can't.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// Where.
    pub mark: Mark,
    /// How bad.
    pub gravity: Gravity,
    /// What, in words, with the way to the key, for instance `detection.window: must be at least 1s`.
    pub message: String,
}

/// All problems of one file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problems {
    /// Name of the file as it was given.
    pub file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// No problems yet with `file`.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// Notes an error.
    pub fn error(&mut self, mark: Mark, message: impl Into<String>) {
        self.add(mark, Gravity::Error, message.into());
    }

    /// Notes a warning.
    pub fn warning(&mut self, mark: Mark, message: impl Into<String>) {
        self.add(mark, Gravity::Warning, message.into());
    }

    /// One line each: what others say of their faults may have several.
    fn add(&mut self, mark: Mark, gravity: Gravity, mut message: String) {
        if message.contains('\n') {
            message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        let problem = Problem { mark, gravity, message };
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.gravity == Gravity::Error)
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn in_order(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort();
        sorted
    }

    /// Those of one gravity, each as `file:line:column: message`, in the order of the file.
    pub fn lines(&self, gravity: Gravity) -> impl Iterator<Item = String> + '_ {
        let word = match gravity {
            Gravity::Error => "error",
            Gravity::Warning => "warning",
        };
        self.in_order().into_iter().filter(move |problem| problem.gravity == gravity).map(move |problem| {
            format!("{}:{}:{}: {word}: {}", self.file, problem.mark.line, problem.mark.column, problem.message)
        })
    }
}

/// One line for each problem, in the order of the file.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.in_order().into_iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let word = if problem.gravity == Gravity::Error { "error" } else { "warning" };
            write!(f, "{}:{}:{}: {word}: {}", self.file, problem.mark.line, problem.mark.column, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that looks most like `word`, if one is close enough to be a slip: at most a third of its letters differ.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3) / 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean `x`?)`, or nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|found| format!(", did you mean `{found}`?")).unwrap_or_default()
}

/// Edits from `a` to `b`: letters added, removed, changed, or two neighbours swapped (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slip is named, something else is not taken for one.
    #[test]
    fn nearest_word() {
        assert_eq!(nearest("endpiont", ["endpoint", "timeout"]), Some("endpoint"));
        assert_eq!(nearest("compresion", ["compression", "headers"]), Some("compression"));
        assert_eq!(nearest("foo", ["endpoint", "timeout"]), None);
    }

    /// The distance that hints rest on: one edit each.
    #[test]
    fn edits() {
        assert_eq!(distance("tls", "tls"), 0);
        assert_eq!(distance("tsl", "tls"), 1);
        assert_eq!(distance("", "tls"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
