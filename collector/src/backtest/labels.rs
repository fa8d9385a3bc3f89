//! Labels: when something was really wrong, in the forms in which people have them.

use crate::replay::{csv::parse_time, mapping::TimeFormat};
use foreshock_scoring::Rows;
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

/// From when to when, both inclusive, in nanoseconds since the Unix epoch.
type Window = (u64, u64);

/// Labelled windows by what they are about: a file of the data, or a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Labels {
    windows: BTreeMap<String, Vec<Window>>,
}

/// Columns of a CSV file of labels that say what a row is about.
const ABOUT: [&str; 4] = ["file", "service", "series", "name"];

impl Labels {
    /// Reads a file: JSON in the form of NAB's `combined_windows.json` (each name with a list of windows, or of points in time), or
    /// CSV with `start` and `end`, or with `timestamp` and optionally `label` (0 or 1), beside one of `file`, `service` and
    /// `series`. The error ends a sentence that begins with the file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("can't be read: {error}"))?;
        if text.trim_start().starts_with('{') { Self::from_json(&text) } else { Self::from_csv(&text) }
    }

    fn from_json(text: &str) -> Result<Self, String> {
        let root: BTreeMap<String, Vec<Value>> =
            serde_json::from_str(text).map_err(|error| format!("is not a map of names to lists: {error}"))?;
        let mut labels = Self::default();
        for (name, list) in root {
            let windows = labels.windows.entry(plain(&name).to_owned()).or_default();
            for item in list {
                let window = match &item {
                    Value::Array(ends) if ends.len() == 2 => time(&ends[0]).zip(time(&ends[1])),
                    Value::Object(map) => map.get("start").and_then(time).zip(map.get("end").and_then(time)),
                    point => time(point).map(|at| (at, at)),
                };
                let window = window.filter(|(start, end)| start <= end);
                windows.push(
                    window.ok_or_else(|| format!("has `{item}` for `{name}`, which is neither a window nor a time"))?,
                );
            }
        }
        Ok(labels)
    }

    fn from_csv(text: &str) -> Result<Self, String> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let headers = reader.headers().map_err(|error| format!("has no header: {error}"))?.clone();
        let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
        let about = ABOUT.iter().find_map(|name| column(name));
        let (start, end, label) = (column("start").or(column("timestamp")), column("end"), column("label"));
        let start = start.ok_or("has neither a column `start` nor a column `timestamp`")?;
        let mut labels = Self::default();
        for (index, record) in reader.records().enumerate() {
            let record = record.map_err(|error| error.to_string())?;
            let text = |column: usize| record.get(column).unwrap_or_default();
            if label.is_some_and(|label| matches!(text(label), "" | "0" | "0.0" | "false")) {
                continue;
            }
            let at = |column: usize| {
                let parsed = parse_time(text(column), &TimeFormat::Any);
                parsed.ok_or_else(|| format!("has in row {}: `{}` is not a time", index + 2, text(column)))
            };
            let window = (at(start)?, end.map_or_else(|| at(start), at)?);
            let name = about.map_or("*", text);
            labels.windows.entry(plain(name).to_owned()).or_default().push(window);
        }
        Ok(labels)
    }

    /// Whether there is a label at all.
    pub(super) fn is_empty(&self) -> bool {
        self.windows.values().all(Vec::is_empty)
    }

    /// The labels of `name` as rows of `times`: every row in a window, windows that touch joined. A name stands with or without its
    /// folder and its `.csv`; `*` stands for all.
    pub(super) fn rows(&self, name: &str, times: &[u64]) -> Vec<Rows> {
        let short = plain(name).rsplit('/').next().unwrap_or_default();
        let of = |key: &str| self.windows.get(key);
        let windows = of(plain(name)).or_else(|| of(short)).or_else(|| of("*")).map_or(&[][..], Vec::as_slice);
        let is_labelled = |time: u64| windows.iter().any(|(start, end)| (*start..=*end).contains(&time));
        // Windows that lie row by row stay apart only where a row between them is calm.
        let are_points = windows.iter().all(|(start, end)| start == end);
        let mut rows: Vec<Rows> = Vec::new();
        for (row, time) in times.iter().enumerate().filter(|(_, time)| is_labelled(**time)) {
            let continues =
                |last: &Rows| last.last + 1 == row && (are_points || same(windows, times[last.last], *time));
            match rows.last_mut() {
                Some(last) if continues(last) => last.last = row,
                _ => rows.push(Rows { first: row, last: row }),
            }
        }
        rows
    }
}

/// A 0 or 1 for each line of a text.
pub(super) fn marks(text: &str) -> Vec<bool> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| !matches!(line, "0" | "0.0")).collect()
}

/// Marked rows that follow each other, as one label each, `offset` rows later.
pub(super) fn runs(marks: &[bool], offset: usize) -> Vec<Rows> {
    let mut rows: Vec<Rows> = Vec::new();
    for row in (0..marks.len()).filter(|row| marks[*row]).map(|row| row + offset) {
        match rows.last_mut() {
            Some(last) if last.last + 1 == row => last.last = row,
            _ => rows.push(Rows { first: row, last: row }),
        }
    }
    rows
}

/// Whether one window holds both times.
fn same(windows: &[Window], one: u64, other: u64) -> bool {
    windows.iter().any(|(start, end)| (*start..=*end).contains(&one) && (*start..=*end).contains(&other))
}

fn plain(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".csv").unwrap_or(name)
}

fn time(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => parse_time(text, &TimeFormat::Any),
        Value::Number(number) => parse_time(&number.to_string(), &TimeFormat::Any),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;
    const T: u64 = 1_700_000_000_000_000_000;

    fn times() -> Vec<u64> {
        (0..20).map(|row| T + row * MINUTE).collect()
    }

    fn rows(labels: &Labels, name: &str) -> Vec<(usize, usize)> {
        labels.rows(name, &times()).iter().map(|rows| (rows.first, rows.last)).collect()
    }

    /// Windows and points in JSON, found by path, by name alone, and not for other files; a neighbour is another event only where
    /// it is another window.
    #[test]
    fn json_has_windows_or_points() {
        let text = r#"{"a/b.csv": [["2023-11-14 22:15:20", "2023-11-14 22:16:20.000000"], [1700000240, 1700000300]],
                       "c": ["2023-11-14T22:15:20Z", "2023-11-14T22:16:20Z", 1700000600], "d.csv": []}"#;
        let labels = Labels::from_json(text).unwrap();
        assert_eq!(rows(&labels, "a/b.csv"), [(2, 3), (4, 5)]);
        assert_eq!(rows(&labels, "x/c.csv"), [(2, 3), (10, 10)]);
        assert!(rows(&labels, "d.csv").is_empty() && rows(&labels, "e.csv").is_empty());
        assert!(Labels::from_json(r#"{"a": ["never"]}"#).unwrap_err().contains("`\"never\"` for `a`"));
    }

    /// A mark a line becomes a label a run of ones, behind the rows that were there to learn from.
    #[test]
    fn runs_of_marks_are_labels() {
        let found = runs(&marks("0\n1\n1\n0\n1\n"), 10);
        assert_eq!(found, [Rows { first: 11, last: 12 }, Rows { first: 14, last: 14 }]);
    }

    /// CSV has windows, or a 0 or 1 for each row; without a name they are about everything.
    #[test]
    fn csv_has_windows_or_marks() {
        let labels =
            Labels::from_csv("service,start,end\ncart,1700000060,1700000120\npay,1700000000,1700000000\n").unwrap();
        assert_eq!(rows(&labels, "cart"), [(1, 2)]);
        assert_eq!(rows(&labels, "pay"), [(0, 0)]);
        let labels =
            Labels::from_csv("timestamp,label\n1700000060,0\n1700000120,1\n1700000180,1\n1700000240,0\n").unwrap();
        assert_eq!(rows(&labels, "anything"), [(2, 3)]);
        assert!(Labels::from_csv("a,b\n1,2\n").is_err());
    }
}
