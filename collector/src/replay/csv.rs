//! Rows of a CSV file as OTLP requests, one a row, so that they take the same way as all other telemetry.

use super::{
    Recorded,
    mapping::{Kind, Mapping, ServiceName, TimeFormat, ValueColumn},
};
use foreshock_otlp::{Signal, json};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Value, json};
use std::{fs::File, io::Read, path::Path};

/// Columns that are taken for the time where none is named, in this order.
const USUAL_TIMES: [&str; 5] = ["timestamp", "time", "datetime", "date", "ts"];
/// When the first row of a recording without times is taken to be: midnight of a Monday, in seconds since the Unix epoch.
const FIRST_SECONDS: u64 = 1_767_571_200;

/// Where rows come from.
pub(crate) struct Source {
    /// The file, for messages.
    pub(crate) file: String,
    pub(crate) text: Box<dyn Read>,
    /// Nanoseconds between rows, for recordings without a column of times; such ones may also lack a header.
    pub(crate) step_nanos: Option<u64>,
}

/// Where rows have their time from.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Column(usize),
    /// Each row is so many nanoseconds after the one before; the next one is at `next`.
    Steps {
        nanos: u64,
        next: u64,
    },
}

/// The rows of a file.
pub(crate) struct Rows {
    reader: csv::Reader<Box<dyn Read>>,
    record: csv::ByteRecord,
    mapping: Mapping,
    clock: Clock,
    service: Option<usize>,
    attributes: Vec<(String, usize)>,
    values: Vec<(usize, ValueColumn)>,
    /// The header, which files that were put together have more than once.
    header: Option<csv::ByteRecord>,
    /// Where counters count from: the time of the first row.
    start: u64,
    file: String,
}

/// Opens a file and finds the columns; the error ends a sentence that begins with the file.
pub(crate) fn open(path: &Path, mapping: Mapping) -> Result<Rows, String> {
    let file = File::open(path).map_err(|error| format!("can't be read: {error}"))?;
    read(Source { file: path.display().to_string(), text: Box::new(file), step_nanos: None }, mapping)
}

/// Finds the columns of a recording; the error ends a sentence that begins with the file.
pub(crate) fn read(source: Source, mapping: Mapping) -> Result<Rows, String> {
    let Source { file, text, step_nanos } = source;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text);
    let first = reader.byte_headers().map_err(|error| format!("has no header: {error}"))?.clone();
    let is_number = |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|cell| cell.parse::<f64>().is_ok());
    let has_header = step_nanos.is_none() || !first.iter().all(is_number);
    let headers: Vec<String> = if has_header {
        // What was looked at is still the next row.
        let _ = reader.read_byte_record(&mut csv::ByteRecord::new());
        first.iter().map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_owned()).collect()
    } else {
        (1..=first.len()).map(|number| format!("column {number:02}")).collect()
    };
    let position = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    let find = |name: &str| {
        position(name).ok_or_else(|| format!("has no column `{name}`; there is `{}`", headers.join("`, `")))
    };
    let time = match &mapping.time_column {
        Some(name) => Some(find(name)?),
        None => USUAL_TIMES.iter().find_map(|name| position(name)),
    };
    let clock = match (time, step_nanos) {
        (Some(column), _) => Clock::Column(column),
        (None, Some(nanos)) => Clock::Steps { nanos, next: FIRST_SECONDS * 1_000_000_000 },
        (None, None) => {
            return Err(format!("which column is the time? Say it in a mapping; there is `{}`", headers.join("`, `")));
        }
    };
    let service = match &mapping.service {
        ServiceName::Constant(_) => None,
        ServiceName::Column(name) => Some(find(name)?),
    };
    let mut attributes = Vec::new();
    for name in &mapping.attributes {
        attributes.push((name.clone(), find(name)?));
    }
    let mut values = Vec::new();
    match &mapping.values {
        Some(columns) => {
            for column in columns {
                values.push((find(&column.column)?, column.clone()));
            }
        }
        None => {
            let others = headers.iter().enumerate().filter(|(index, _)| {
                Some(*index) != time && Some(*index) != service && !attributes.iter().any(|(_, column)| column == index)
            });
            for (index, name) in others {
                // `value` says nothing; the file's name does.
                let metric = if name.eq_ignore_ascii_case("value") { mapping.stem.clone() } else { name.clone() };
                let column = ValueColumn {
                    column: name.clone(),
                    metric,
                    unit: String::new(),
                    kind: Kind::Gauge,
                    attributes: Vec::new(),
                };
                values.push((index, column));
            }
        }
    }
    if values.is_empty() {
        return Err("has no column of values".to_owned());
    }
    let (record, header) = (csv::ByteRecord::new(), has_header.then_some(first));
    Ok(Rows { reader, record, header, mapping, clock, service, attributes, values, start: 0, file })
}

impl Rows {
    fn text(&self, column: usize) -> String {
        String::from_utf8_lossy(self.record.get(column).unwrap_or_default()).into_owned()
    }

    /// Goes on to the next row; false at the end.
    fn next_record(&mut self) -> Result<bool, csv::Error> {
        loop {
            let is_there = self.reader.read_byte_record(&mut self.record)?;
            if !is_there || self.header.as_ref() != Some(&self.record) {
                return Ok(is_there);
            }
        }
    }

    /// The row's time in nanoseconds since the Unix epoch, or the text that is none.
    fn time(&mut self) -> Result<u64, String> {
        match &mut self.clock {
            Clock::Column(column) => {
                let text = String::from_utf8_lossy(self.record.get(*column).unwrap_or_default()).into_owned();
                parse_time(&text, &self.mapping.time_format).ok_or(text)
            }
            Clock::Steps { nanos, next } => {
                let now = *next;
                *next = now.saturating_add(*nanos);
                Ok(now)
            }
        }
    }

    /// The row as a request; `None` if it has no number.
    fn request(&mut self) -> Result<Option<String>, String> {
        let time = self.time().map_err(|text| format!("`{text}` is not a time"))?;
        if self.start == 0 {
            self.start = time;
        }
        let labels: Vec<Value> =
            self.attributes.iter().map(|(name, column)| attribute(name, &self.text(*column))).collect();
        let mut metrics = Vec::new();
        for (index, column) in &self.values {
            let Some(number) = self.text(*index).parse::<f64>().ok().filter(|number| number.is_finite()) else {
                continue;
            };
            let mut attributes = labels.clone();
            attributes.extend(column.attributes.iter().map(|(key, value)| attribute(key, value)));
            let mut point = json!({ "timeUnixNano": time.to_string(), "asDouble": number, "attributes": attributes });
            let data = match column.kind {
                Kind::Gauge => json!({ "gauge": { "dataPoints": [point] } }),
                Kind::Counter => {
                    point["startTimeUnixNano"] = json!(self.start.to_string());
                    json!({ "sum": { "dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true } })
                }
                Kind::Delta => {
                    json!({ "sum": { "dataPoints": [point], "aggregationTemporality": 1, "isMonotonic": true } })
                }
            };
            let mut metric = json!({ "name": column.metric, "unit": column.unit });
            if let (Value::Object(metric), Value::Object(data)) = (&mut metric, data) {
                metric.extend(data);
            }
            metrics.push(metric);
        }
        if metrics.is_empty() {
            return Ok(None);
        }
        let name = match (&self.mapping.service, self.service) {
            (_, Some(column)) => self.text(column),
            (ServiceName::Constant(name) | ServiceName::Column(name), None) => name.clone(),
        };
        let mut resource = vec![attribute("service.name", &name)];
        if !self.mapping.namespace.is_empty() {
            resource.push(attribute("service.namespace", &self.mapping.namespace));
        }
        resource.extend(self.mapping.resource.iter().map(|(key, value)| attribute(key, value)));
        let request = json!({ "resourceMetrics": [{
            "resource": { "attributes": resource },
            "scopeMetrics": [{ "scope": { "name": "csv" }, "metrics": metrics }],
        }] });
        Ok(Some(request.to_string()))
    }
}

/// All rows of a file that is one service with a series for each column.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Each row's time as it is written; empty where it is not.
    pub(crate) texts: Vec<String>,
    /// The same in nanoseconds since the Unix epoch.
    pub(crate) times: Vec<u64>,
    /// Metric and its values, NaN where a row has none.
    pub(crate) columns: Vec<(String, Vec<f64>)>,
}

impl Rows {
    /// Whether each column of values is one series.
    pub(crate) fn is_plain(&self) -> bool {
        self.service.is_none() && self.attributes.is_empty()
    }

    /// Reads all rows with a time; to be called instead of iterating.
    pub(crate) fn table(mut self) -> Table {
        let columns = self.values.iter().map(|(_, column)| (column.metric.clone(), Vec::new()));
        let mut table = Table { columns: columns.collect(), ..Table::default() };
        while self.next_record().unwrap_or(false) {
            let Ok(time) = self.time() else { continue };
            if let Clock::Column(column) = self.clock {
                table.texts.push(self.text(column));
            }
            table.times.push(time);
            for ((index, _), (_, values)) in self.values.iter().zip(&mut table.columns) {
                values.push(self.text(*index).parse().unwrap_or(f64::NAN));
            }
        }
        table
    }
}

impl Iterator for Rows {
    type Item = Recorded;

    fn next(&mut self) -> Option<Recorded> {
        loop {
            let at = self.reader.position().line();
            let request = match self.next_record() {
                Ok(false) => return None,
                Ok(true) => self.request(),
                Err(error) => Err(error.to_string()),
            };
            let place = |why: String| format!("{}:{at}: {why}", self.file);
            match request {
                Ok(None) => {}
                Ok(Some(text)) => {
                    let request = json::to_protobuf(Signal::Metrics, text.as_bytes());
                    return Some(
                        request.map(|request| (Signal::Metrics, request)).map_err(|error| place(error.to_string())),
                    );
                }
                Err(why) => return Some(Err(place(why))),
            }
        }
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Nanoseconds since the Unix epoch; `None` if the text is no time after it.
pub(crate) fn parse_time(text: &str, format: &TimeFormat) -> Option<u64> {
    let positive = |nanos: i128| u64::try_from(nanos).ok().filter(|nanos| *nanos > 0);
    let scaled = |number: f64, scale: f64| {
        let nanos = number * scale;
        (nanos >= 1.0 && nanos < i64::MAX as f64).then_some(nanos as u64)
    };
    match format {
        TimeFormat::Unix(scale) if *scale == 1.0 => text.parse().ok().filter(|nanos| *nanos > 0),
        TimeFormat::Unix(scale) => scaled(text.parse().ok()?, *scale),
        TimeFormat::Pattern(pattern) => match Timestamp::strptime(pattern, text) {
            Ok(timestamp) => positive(timestamp.as_nanosecond()),
            Err(_) => {
                let local = DateTime::strptime(pattern, text).ok()?;
                positive(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
            }
        },
        TimeFormat::Any => {
            if let Ok(number) = text.parse::<f64>() {
                // Seconds until the year 5138; then the next unit.
                let scale = match number.abs() {
                    size if size < 1e11 => 1e9,
                    size if size < 1e14 => 1e6,
                    size if size < 1e17 => 1e3,
                    _ => 1.0,
                };
                return scaled(number, scale);
            }
            if let Ok(timestamp) = text.parse::<Timestamp>() {
                return positive(timestamp.as_nanosecond());
            }
            let local: DateTime = text.parse().ok()?;
            positive(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms that recordings use all mean the same instant.
    #[test]
    fn times() {
        let expected = Some(1_424_986_973_000_000_000);
        for text in
            ["2015-02-26 21:42:53", "2015-02-26T21:42:53Z", "2015-02-26T22:42:53+01:00", "1424986973", "1424986973000"]
        {
            assert_eq!(parse_time(text, &TimeFormat::Any), expected, "{text}");
        }
        let pattern = TimeFormat::Pattern("%d.%m.%Y %H:%M:%S".to_owned());
        assert_eq!(parse_time("26.02.2015 21:42:53", &pattern), expected);
        assert_eq!(parse_time("1424986973000", &TimeFormat::Unix(1e6)), expected);
        for wrong in ["", "yesterday", "-5", "0", "1e300", "NaN"] {
            assert_eq!(parse_time(wrong, &TimeFormat::Any), None, "{wrong}");
        }
    }

    /// A row becomes one request with the service, the attributes and the kinds that the mapping says; what is no number is left
    /// out, and a row without a time is named with its line.
    #[test]
    fn rows_become_requests() {
        let folder = tempfile::tempdir().expect("a folder");
        let input = folder.path().join("load.csv");
        std::fs::write(
            &input,
            "time,svc,host,cpu,total\n1700000000,cart,h1,0.5,7\nnever,cart,h1,1,2\n1700000010,cart,h1,,9\n",
        )
        .expect("a file");
        let mapping = folder.path().join("mapping.yaml");
        std::fs::write(
            &mapping,
            "service: {column: svc}\nattributes: [host]\nvalues:\n  - {column: cpu, unit: \"1\"}\n  - {column: total, kind: counter, metric: requests}\n",
        )
        .expect("a file");
        let mapping = crate::replay::mapping::load(Some(&mapping), &input).expect("a mapping");
        let rows: Vec<Recorded> = open(&input, mapping).expect("opens").collect();
        let texts: Vec<String> = rows
            .iter()
            .map(|row| match row {
                Ok((signal, request)) => json::to_json(*signal, request),
                Err(why) => why.clone(),
            })
            .collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        for part in [
            "\"stringValue\":\"cart\"",
            "\"gauge\"",
            "\"asDouble\":0.5",
            "\"isMonotonic\":true",
            "\"requests\"",
            "\"h1\"",
        ] {
            assert!(texts[0].contains(part), "{part} is not in {}", texts[0]);
        }
        assert!(texts[1].contains(":3: `never` is not a time"), "{}", texts[1]);
        assert!(
            texts[2].contains("\"startTimeUnixNano\":\"1700000000000000000\"") && !texts[2].contains("\"cpu\""),
            "{}",
            texts[2]
        );
    }
}
