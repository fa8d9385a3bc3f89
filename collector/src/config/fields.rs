//! Reads mappings key by key, with types and ranges checked, and says which keys nobody asked for.

use super::{
    problem::{At, Mark, Problems, hint},
    yaml::{Entry, Node, Value},
};
use std::{ops::RangeInclusive, time::Duration};

/// A mapping that is being read. Every key that is asked for counts as known; [`Fields::finish`] reports the others.
pub(crate) struct Fields<'n> {
    /// The way to this mapping, empty for the document, else with a dot at its end.
    path: String,
    /// Where it stands.
    pub(crate) mark: Mark,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The mapping at `node`. Nothing is the empty mapping; anything else is a problem.
    pub(crate) fn of(node: &'n Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                let place = if path.is_empty() { "the file" } else { path };
                problems.error(node.mark, format!("{place}: takes a mapping, this is {}", other.noun()));
                return None;
            }
        };
        let path = if path.is_empty() { String::new() } else { format!("{path}.") };
        Some(Self { path, mark: node.mark, entries, known: Vec::new() })
    }

    /// The way to one of its keys.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// The node under `key`; a key with nothing behind it counts as absent.
    pub(crate) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|node| node.value != Value::Null)
    }

    /// The entry under `key`, also when nothing is behind it.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The mapping under `key`.
    pub(crate) fn fields(&mut self, key: &'static str, problems: &mut Problems) -> Option<Fields<'n>> {
        let path = self.path(key);
        self.node(key).and_then(|node| Fields::of(node, &path, problems))
    }

    /// A renamed or foreign key: what is said instead of "unknown key".
    pub(crate) fn refuse(&mut self, key: &'static str, instead: &str, problems: &mut Problems) {
        self.known.push(key);
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
            problems.error(entry.mark, format!("{}: {instead}", self.path(key)));
        }
    }

    /// Entries whose keys are names chosen by the user.
    pub(crate) fn named(self) -> impl Iterator<Item = (String, At<String>, &'n Node)> {
        let path = self.path;
        self.entries.iter().map(move |entry| {
            let name = At { value: entry.key.clone(), mark: entry.mark };
            (format!("{path}{}", entry.key), name, &entry.value)
        })
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) {
                let hint = hint(&entry.key, self.known.iter().copied());
                problems.error(entry.mark, format!("unknown key `{}{}`{hint}", self.path, entry.key));
            }
        }
    }

    fn typed<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
        what: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<At<T>> {
        let node = self.node(key)?;
        match read(&node.value) {
            Some(value) => Some(At { value, mark: node.mark }),
            None => {
                let path = self.path(key);
                let found = match &node.value {
                    Value::Str(text) => format!("`{text}`"),
                    Value::Int(number) => number.to_string(),
                    Value::Float(number) => number.to_string(),
                    Value::Bool(value) => value.to_string(),
                    other => other.noun().to_owned(),
                };
                problems.error(node.mark, format!("{path}: takes {what}, this is {found}"));
                None
            }
        }
    }

    /// Text. A number is taken as it would be printed.
    pub(crate) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<String>> {
        self.typed(key, problems, "text", text_of)
    }

    /// A truth value.
    pub(crate) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<bool>> {
        self.typed(key, problems, "`true` or `false`", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A whole number within `range`.
    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        problems: &mut Problems,
    ) -> Option<At<u64>> {
        let what = format!("a whole number from {} to {}", range.start(), range.end());
        self.typed(key, problems, &what, |value| match value {
            Value::Int(value) => u64::try_from(*value).ok().filter(|value| range.contains(value)),
            _ => None,
        })
    }

    /// A number within `range`.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
        problems: &mut Problems,
    ) -> Option<At<f64>> {
        let what = format!("a number from {} to {}", range.start(), range.end());
        self.typed(key, problems, &what, |value| {
            match value {
                #[expect(clippy::cast_precision_loss, reason = "the ranges asked for are far below 2^53")]
                Value::Int(value) => Some(*value as f64),
                Value::Float(value) => Some(*value),
                _ => None,
            }
            .filter(|value| range.contains(value))
        })
    }

    /// A duration within `range`, such as `100ms`, `5s` or `1m30s`.
    pub(crate) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        problems: &mut Problems,
    ) -> Option<At<Duration>> {
        let what = format!(
            "a duration such as `100ms`, `5s` or `1m` from {} to {}",
            show_duration(*range.start()),
            show_duration(*range.end())
        );
        self.typed(key, problems, &what, |value| match value {
            Value::Str(text) => parse_duration(text).filter(|value| range.contains(value)),
            Value::Int(0) => Some(Duration::ZERO).filter(|value| range.contains(value)),
            _ => None,
        })
    }

    /// One of several words; `None` where the key is absent or wrong.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<At<T>> {
        let given = self.text(key, problems)?;
        let found = words.iter().find(|(word, _)| *word == given.value);
        if found.is_none() {
            let list: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let hint = hint(&given.value, words.iter().map(|(word, _)| *word));
            let message =
                format!("{}: takes one of {}, this is `{}`{hint}", self.path(key), list.join(", "), given.value);
            problems.error(given.mark, message);
        }
        found.map(|(_, value)| At { value: *value, mark: given.mark })
    }

    /// A list of text.
    pub(crate) fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Option<At<Vec<At<String>>>> {
        let node = self.node(key)?;
        let path = self.path(key);
        let Value::Seq(items) = &node.value else {
            problems.error(node.mark, format!("{path}: takes a list, this is {}", node.value.noun()));
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match text_of(&item.value) {
                Some(value) => texts.push(At { value, mark: item.mark }),
                None => {
                    problems.error(item.mark, format!("{path}: takes a list of text, this is {}", item.value.noun()));
                }
            }
        }
        Some(At { value: texts, mark: node.mark })
    }

    /// A mapping from text to text, in the order of the file.
    pub(crate) fn text_map(&mut self, key: &'static str, problems: &mut Problems) -> Vec<(At<String>, At<String>)> {
        let Some(fields) = self.fields(key, problems) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (path, name, node) in fields.named() {
            match text_of(&node.value) {
                Some(value) => pairs.push((name, At { value, mark: node.mark })),
                None => problems.error(node.mark, format!("{path}: takes text, this is {}", node.value.noun())),
            }
        }
        pairs
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Seq(_) | Value::Map(_) => None,
    }
}

/// Units from long to short.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration: numbers with a unit each (`h`, `m`, `s`, `ms`, `us`, `ns`), one after the other.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, nanos) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        #[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds is far below 2^53")]
        {
            total += number * *nanos as f64;
        }
        rest = &rest[letters..];
    }
    Duration::try_from_secs_f64(total / 1e9).ok()
}

/// The shortest way to write a duration: `1h`, `90s`, `100ms`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, size) in UNITS {
        if nanos.is_multiple_of(u128::from(size)) {
            return format!("{}{unit}", nanos / u128::from(size));
        }
    }
    format!("{nanos}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms that a Collector user writes.
    #[test]
    fn durations() {
        assert_eq!(parse_duration("100ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Some(Duration::from_secs(5400)));
        for wrong in ["", "5", "s", "-1s", "5 s", "1y", "1..2s", "1e400s", "99999999999999999999h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::from_secs(120)), "2m");
    }
}
