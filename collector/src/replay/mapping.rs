//! What the columns of a CSV file mean.

use crate::{
    cli::Failure,
    config::{
        Problems,
        fields::Fields,
        yaml::{self, Node, Value},
    },
};
use std::path::Path;

/// How a timestamp is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TimeFormat {
    /// RFC 3339, `2015-02-26 21:42:53` (UTC), or a number since the Unix epoch in s, ms, us or ns by its size.
    Any,
    /// Seconds since the Unix epoch, or milliseconds and so on: how many nanoseconds one is.
    Unix(f64),
    /// As `strftime` has it, in UTC unless the format has an offset.
    Pattern(String),
}

/// What the numbers of a column are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Levels.
    Gauge,
    /// A counter that only grows.
    Counter,
    /// What was added since the row before.
    Delta,
}

/// One column of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueColumn {
    pub(crate) column: String,
    pub(crate) metric: String,
    pub(crate) unit: String,
    pub(crate) kind: Kind,
    pub(crate) attributes: Vec<(String, String)>,
}

/// Where the service's name comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ServiceName {
    /// Always the same.
    Constant(String),
    /// From a column.
    Column(String),
}

/// A mapping as its file has it, or the default one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mapping {
    /// `None`: the first of the usual names.
    pub(crate) time_column: Option<String>,
    pub(crate) time_format: TimeFormat,
    pub(crate) service: ServiceName,
    pub(crate) namespace: String,
    pub(crate) resource: Vec<(String, String)>,
    /// Columns whose text is an attribute of every value.
    pub(crate) attributes: Vec<String>,
    /// `None`: every other column, whatever of it is a number.
    pub(crate) values: Option<Vec<ValueColumn>>,
    /// Name of the file without extension.
    pub(crate) stem: String,
}

/// Reads the mapping at `path`, or makes the default one for `input`.
pub(crate) fn load(path: Option<&Path>, input: &Path) -> Result<Mapping, Failure> {
    let stem = input.file_stem().map_or_else(|| "csv".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let mut mapping = Mapping {
        time_column: None,
        time_format: TimeFormat::Any,
        service: ServiceName::Constant(stem.clone()),
        namespace: String::new(),
        resource: Vec::new(),
        attributes: Vec::new(),
        values: None,
        stem,
    };
    let Some(path) = path else { return Ok(mapping) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Unusable(format!("foreshock: {name}: can't be read: {error}")))?;
    let mut problems = Problems::new(&name);
    if let Some(root) = yaml::parse(&text, &|name| std::env::var(name).ok(), &mut problems) {
        read(&root, &mut mapping, &mut problems);
    }
    if problems.has_errors() { Err(problems.into()) } else { Ok(mapping) }
}

fn read(root: &Node, mapping: &mut Mapping, problems: &mut Problems) {
    let Some(mut top) = Fields::of(root, "", problems) else { return };
    if let Some(mut time) = top.fields("timestamp", problems) {
        mapping.time_column = time.text("column", problems).map(|at| at.value);
        if let Some(format) = time.text("format", problems) {
            mapping.time_format = match format.value.as_str() {
                "any" | "rfc3339" => TimeFormat::Any,
                "unix" | "unix_s" => TimeFormat::Unix(1e9),
                "unix_ms" => TimeFormat::Unix(1e6),
                "unix_us" => TimeFormat::Unix(1e3),
                "unix_ns" => TimeFormat::Unix(1.0),
                pattern if pattern.contains('%') => TimeFormat::Pattern(pattern.to_owned()),
                other => {
                    let message = format!(
                        "timestamp.format: takes `any`, `rfc3339`, `unix`, `unix_ms`, `unix_us`, `unix_ns` or a pattern such as `%Y-%m-%d %H:%M:%S`, this is `{other}`"
                    );
                    problems.error(format.mark, message);
                    TimeFormat::Any
                }
            };
        }
        time.finish(problems);
    }
    if let Some(mut service) = top.fields("service", problems) {
        let (name, column) = (service.text("name", problems), service.text("column", problems));
        mapping.namespace = service.text("namespace", problems).map(|at| at.value).unwrap_or_default();
        match (name, column) {
            (Some(name), None) => mapping.service = ServiceName::Constant(name.value),
            (None, Some(column)) => mapping.service = ServiceName::Column(column.value),
            (None, None) => {}
            (Some(_), Some(column)) => problems.error(column.mark, "service: takes either `name` or `column`"),
        }
        service.finish(problems);
    }
    let plain = |pairs: Vec<(crate::config::At<String>, crate::config::At<String>)>| {
        pairs.into_iter().map(|(key, value)| (key.value, value.value)).collect()
    };
    mapping.resource = plain(top.text_map("resource", problems));
    if let Some(list) = top.texts("attributes", problems) {
        mapping.attributes = list.value.into_iter().map(|at| at.value).collect();
    }
    if let Some(node) = top.node("values") {
        let Value::Seq(items) = &node.value else {
            problems.error(node.mark, format!("values: takes a list, this is {}", node.value.noun()));
            return;
        };
        let mut columns = Vec::new();
        for item in items {
            let Some(mut fields) = Fields::of(item, "values", problems) else { continue };
            let column = fields.text("column", problems);
            let kinds = [("gauge", Kind::Gauge), ("counter", Kind::Counter), ("delta", Kind::Delta)];
            let value = ValueColumn {
                metric: fields
                    .text("metric", problems)
                    .or_else(|| column.clone())
                    .map(|at| at.value)
                    .unwrap_or_default(),
                unit: fields.text("unit", problems).map(|at| at.value).unwrap_or_default(),
                kind: fields.choice("kind", &kinds, problems).map_or(Kind::Gauge, |at| at.value),
                attributes: plain(fields.text_map("attributes", problems)),
                column: column.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
            };
            if column.is_none() {
                problems.error(fields.mark, "values.column: is missing");
            }
            fields.finish(problems);
            columns.push(value);
        }
        mapping.values = Some(columns);
    }
    top.finish(problems);
}
