//! Reads recorded numbers, so that a detector's tests can feed what really happened.

use crate::{Kind, Series};
use serde_json::Value;
use std::collections::BTreeMap;

/// Columns that are taken for the time, in this order; else the first column is.
const USUAL_TIMES: [&str; 5] = ["timestamp", "time", "datetime", "date", "ts"];

/// Numbers over time, from a file of the author's tests.
///
/// It knows what detectors mostly need: numbers in CSV, gauges and sums in OTLP. Windows are made as Foreshock makes them for
/// these (means of gauges, rates of counters), without its allowance for late data. To play spans, logs and histograms too, use
/// `foreshock detector run`, which has the windows of the product itself.
///
/// ```
/// use foreshock_detector::{Kind, testkit::Recording};
///
/// let csv = "time,orders,payments\n2026-01-05T00:00:00Z,12,11\n2026-01-05T00:00:10Z,14,14\n";
/// let recording = Recording::from_csv(csv)?.with_kind("orders", Kind::Rate).with_kind("payments", Kind::Rate);
/// assert_eq!(recording.series().map(|series| &series.name[..]).collect::<Vec<_>>(), ["orders", "payments"]);
/// assert_eq!(recording.windows(10_000_000_000).len(), 2);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    series: Vec<Series>,
    /// Time in nanoseconds, index into `series`, value; in order of time.
    points: Vec<(u64, usize, f64)>,
}

/// What one window of a recording holds.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedWindow {
    /// Start, inclusive, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// Index of the series as in [`Recording::series`], value, smallest, largest and count; in ascending order of the index.
    pub rows: Vec<(usize, f64, f64, f64, u64)>,
}

impl Recording {
    /// Reads CSV with a header: a column of times (RFC 3339, `2026-01-05 00:00:00` in UTC, or a number since the Unix epoch in
    /// s, ms, us or ns by its size), and a gauge for each other column. What is no finite number is left out.
    ///
    /// # Errors
    /// If there is no header, or a row whose time can't be read, with its line.
    pub fn from_csv(text: &str) -> Result<Self, String> {
        let mut lines =
            text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or("the file is empty")?;
        let header = cells(header);
        let is_time = |name: &&str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name));
        let time = USUAL_TIMES.iter().find_map(is_time).unwrap_or(0);
        let mut recording = Self::default();
        let mut column_series = vec![None; header.len()];
        for (column, name) in header.iter().enumerate().filter(|(column, _)| *column != time) {
            column_series[column] = Some(recording.series.len());
            recording.add_series(name.clone(), String::new(), Kind::Gauge, Vec::new());
        }
        for (line, row) in lines {
            let row = cells(row);
            let at = row.get(time).and_then(|cell| time_ns(cell));
            let at = at.ok_or_else(|| format!("line {}: there is no time in column {}", line + 1, time + 1))?;
            for (cell, series) in row.iter().zip(&column_series) {
                if let (Some(series), Ok(value)) = (series, cell.parse::<f64>())
                    && value.is_finite()
                {
                    recording.points.push((at, *series, value));
                }
            }
        }
        recording.points.sort_by_key(|point| (point.0, point.1));
        Ok(recording)
    }

    /// Reads OTLP JSON lines, as a Collector's file exporter writes them: gauges, and monotonic sums as rates. `service` is the
    /// `service.name` to keep.
    ///
    /// # Errors
    /// If a line is no JSON, with its number.
    pub fn from_otlp(text: &str, service: &str) -> Result<Self, String> {
        let mut recording = Self::default();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        // Where the counter of a stream stood.
        let mut counters: BTreeMap<usize, (u64, f64)> = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let request: Value = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
            for resource in list(&request["resourceMetrics"]) {
                let is_service = |pair: &(String, String)| pair.0 == "service.name" && pair.1 == service;
                if !attributes(&resource["resource"]).iter().any(is_service) {
                    continue;
                }
                for metric in list(&resource["scopeMetrics"]).iter().flat_map(|scope| list(&scope["metrics"])) {
                    recording.add_metric(metric, &mut known, &mut counters);
                }
            }
        }
        recording.points.sort_by_key(|point| (point.0, point.1));
        Ok(recording)
    }

    fn add_metric(
        &mut self,
        metric: &Value,
        known: &mut BTreeMap<String, usize>,
        counters: &mut BTreeMap<usize, (u64, f64)>,
    ) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, unit) = (text(&metric["name"]), text(&metric["unit"]));
        let sum = &metric["sum"];
        let is_delta =
            sum["aggregationTemporality"] == 1 || sum["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_DELTA";
        let is_counter = sum["isMonotonic"] == true;
        let points = if sum.is_null() { &metric["gauge"]["dataPoints"] } else { &sum["dataPoints"] };
        for point in list(points) {
            let (Some(time), Some(value)) = (number(&point["timeUnixNano"]), value_of(point)) else { continue };
            let attributes = attributes(point);
            let key = format!("{name}\u{0}{attributes:?}");
            let index = *known.entry(key).or_insert_with(|| {
                let kind = if is_counter { Kind::Rate } else { Kind::Gauge };
                self.add_series(name.clone(), unit.clone(), kind, attributes)
            });
            let value = match (is_counter, is_delta) {
                (false, _) => Some(value),
                (true, true) => number(&point["startTimeUnixNano"])
                    .and_then(|start| time.checked_sub(start))
                    .filter(|nanos| *nanos > 0)
                    .map(|nanos| value / (nanos as f64 / 1e9)),
                (true, false) => counters
                    .insert(index, (time, value))
                    .filter(|(before, last)| *before < time && *last <= value)
                    .map(|(before, last)| (value - last) / ((time - before) as f64 / 1e9)),
            };
            if let Some(value) = value.filter(|value| value.is_finite()) {
                self.points.push((time, index, value));
            }
        }
    }

    fn add_series(&mut self, name: String, unit: String, kind: Kind, attributes: Vec<(String, String)>) -> usize {
        let id = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        self.series.push(Series { id, name, unit, kind, attributes });
        self.series.len() - 1
    }

    /// The same recording with all series of this name of another kind, which CSV can't say.
    #[must_use]
    pub fn with_kind(mut self, name: &str, kind: Kind) -> Self {
        self.series.iter_mut().filter(|series| series.name == name).for_each(|series| series.kind = kind);
        self
    }

    /// The same recording with all series of this name read as what was counted since the row before: they become rates per
    /// second. A series' first row gives none.
    #[must_use]
    pub fn with_deltas(mut self, name: &str) -> Self {
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        let series = &self.series;
        self.points.retain_mut(|(time, index, value)| {
            if series[*index].name != name {
                return true;
            }
            let Some(before) = last.insert(*index, *time).filter(|before| before < time) else { return false };
            *value /= (*time - before) as f64 / 1e9;
            true
        });
        self.with_kind(name, Kind::Rate)
    }

    /// The series in the order in which they first appear. Their ids count from 0.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.iter()
    }

    /// The windows of `step_ns` nanoseconds in which anything was recorded, in order of time.
    #[must_use]
    pub fn windows(&self, step_ns: u64) -> Vec<RecordedWindow> {
        let step = step_ns.max(1);
        let mut windows: Vec<RecordedWindow> = Vec::new();
        let mut sums: BTreeMap<usize, (f64, f64, f64, u64)> = BTreeMap::new();
        let mut start_ns = 0;
        let close = |start_ns: u64, sums: &mut BTreeMap<usize, (f64, f64, f64, u64)>| {
            let row = |(series, (sum, min, max, count))| {
                // Rounding must not carry a mean out of its samples.
                let mean: f64 = sum / count as f64;
                (series, mean.clamp(min, max), min, max, count)
            };
            RecordedWindow { start_ns, rows: std::mem::take(sums).into_iter().map(row).collect() }
        };
        for &(time, series, value) in &self.points {
            if time - time % step != start_ns && !sums.is_empty() {
                windows.push(close(start_ns, &mut sums));
            }
            start_ns = time - time % step;
            let (sum, min, max, count) = sums.entry(series).or_insert((0.0, value, value, 0));
            (*sum, *min, *max, *count) = (*sum + value, min.min(value), max.max(value), *count + 1);
        }
        if !sums.is_empty() {
            windows.push(close(start_ns, &mut sums));
        }
        windows
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A 64-bit number of OTLP JSON, which is mostly a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn value_of(point: &Value) -> Option<f64> {
    let whole = || point["asInt"].as_f64().or_else(|| point["asInt"].as_str()?.parse().ok());
    point["asDouble"].as_f64().or_else(whole)
}

/// Attributes in ascending order of their keys; values that are no text are written as JSON.
fn attributes(of: &Value) -> Vec<(String, String)> {
    let pair = |pair: &Value| {
        let value = &pair["value"];
        let text = match value["stringValue"].as_str() {
            Some(text) => text.to_owned(),
            None => value.as_object()?.values().next()?.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
        };
        Some((pair["key"].as_str()?.to_owned(), text))
    };
    let mut pairs: Vec<(String, String)> = list(&of["attributes"]).iter().filter_map(pair).collect();
    pairs.sort();
    pairs
}

/// The cells of a line; quotes hold commas together, and two quotes inside are one.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                cell.push('"');
                characters.next();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            other => cell.push(other),
        }
    }
    cells.push(cell.trim().to_owned());
    cells
}

/// Nanoseconds since the Unix epoch.
fn time_ns(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse::<f64>() {
        // Seconds until the year 5138; then the next unit.
        let scale = match number {
            small if small < 1e11 => 1e9,
            small if small < 1e14 => 1e6,
            small if small < 1e17 => 1e3,
            _ => return text.parse().ok(),
        };
        return (number > 0.0).then_some((number * scale) as u64);
    }
    let (day, rest) = text.split_once(['T', 't', ' '])?;
    let mut day = day.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let days = days_since_epoch(day.next()??, day.next()??, day.next()??)?;
    let (clock, offset) = match rest.rfind(['Z', 'z', '+', '-']) {
        Some(at) => (&rest[..at], offset_seconds(&rest[at..])?),
        None => (rest, 0),
    };
    let mut clock = clock.splitn(3, ':');
    let hours: i64 = clock.next()?.parse().ok().filter(|hours| (0..24).contains(hours))?;
    let minutes: i64 = clock.next()?.parse().ok().filter(|minutes| (0..60).contains(minutes))?;
    let seconds: f64 = clock.next().unwrap_or("0").parse().ok().filter(|seconds| (0.0..61.0).contains(seconds))?;
    let whole = days * 86_400 + hours * 3_600 + minutes * 60 - offset;
    u64::try_from(whole).ok()?.checked_mul(1_000_000_000)?.checked_add((seconds * 1e9) as u64)
}

fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return Some(0),
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) =
        (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..4).unwrap_or("0").parse::<i64>().ok()?);
    Some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (the usual count of 400-year eras that begin in March, see
/// <https://howardhinnant.github.io/date_algorithms.html>).
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways to write a time mean the same instant (`date -u -d @1424986973`), and nonsense is none.
    #[test]
    fn times() {
        for text in
            ["2015-02-26 21:42:53", "2015-02-26T21:42:53Z", "2015-02-26T22:42:53+01:00", "1424986973", "1424986973000"]
        {
            assert_eq!(time_ns(text), Some(1_424_986_973_000_000_000), "{text}");
        }
        assert_eq!(time_ns("2024-02-29T00:00:00.5Z"), Some(1_709_164_800_500_000_000));
        assert_eq!(time_ns("1424986973000000001"), Some(1_424_986_973_000_000_001));
        for wrong in ["", "soon", "-5", "2015-13-01 00:00:00", "2015-02-26 25:00:00", "2015-02-26"] {
            assert_eq!(time_ns(wrong), None, "{wrong}");
        }
    }

    /// Rows become windows of means, gaps stay gaps, and what is no number is no sample.
    #[test]
    fn csv_becomes_windows() {
        let csv = "\u{feff}host,time,\"load, mean\"\nweb,1000,1\nweb,1004,3\nweb,1031,NaN\nweb,1035,7\n";
        let recording = Recording::from_csv(csv).expect("good CSV");
        assert_eq!(recording.series().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["host", "load, mean"]);
        let windows = recording.windows(10_000_000_000);
        let first = RecordedWindow { start_ns: 1_000_000_000_000, rows: vec![(1, 2.0, 1.0, 3.0, 2)] };
        let second = RecordedWindow { start_ns: 1_030_000_000_000, rows: vec![(1, 7.0, 7.0, 7.0, 1)] };
        assert_eq!(windows, [first, second]);
        let rates = recording.with_deltas("load, mean").windows(10_000_000_000);
        assert_eq!(rates.iter().map(|window| window.rows[0].1).collect::<Vec<_>>(), [0.75, 7.0 / 31.0]);
        assert_eq!(Recording::from_csv("time,a\nnever,1\n"), Err("line 2: there is no time in column 1".into()));
    }

    /// Gauges are taken as they are; a counter becomes its rate, and its first and reset points give none.
    #[test]
    fn otlp_becomes_series() {
        let line = |time: u64, total: u64, depth: f64| {
            format!(
                r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"cart"}}}}]}},"scopeMetrics":[{{"metrics":[{{"name":"orders","unit":"1","sum":{{"isMonotonic":true,"aggregationTemporality":2,"dataPoints":[{{"timeUnixNano":"{time}000000000","asInt":"{total}","attributes":[{{"key":"shop","value":{{"intValue":"7"}}}}]}}]}}}},{{"name":"depth","gauge":{{"dataPoints":[{{"timeUnixNano":"{time}000000000","asDouble":{depth}}}]}}}}]}}]}}]}}"#
            )
        };
        let text = [line(100, 50, 1.5), line(110, 70, 2.5), line(120, 5, 3.5)].join("\n");
        let recording = Recording::from_otlp(&text, "cart").expect("good OTLP");
        let kinds: Vec<_> = recording.series().map(|series| (series.name.as_str(), series.kind)).collect();
        assert_eq!(kinds, [("orders", Kind::Rate), ("depth", Kind::Gauge)]);
        assert_eq!(recording.series().next().and_then(|series| series.attribute("shop")), Some("7"));
        let rows: Vec<_> = recording.windows(10_000_000_000).into_iter().map(|window| window.rows).collect();
        let depth = |value| (1, value, value, value, 1);
        assert_eq!(rows, [vec![depth(1.5)], vec![(0, 2.0, 2.0, 2.0, 1), depth(2.5)], vec![depth(3.5)]]);
        assert_eq!(Recording::from_otlp(&text, "other").expect("good OTLP").windows(1).len(), 0);
        assert!(Recording::from_otlp("{", "cart").is_err_and(|why| why.starts_with("line 1: ")));
    }
}
