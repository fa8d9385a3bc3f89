//! `foreshock templates`: the templates of log lines in a CSV file.

use crate::cli::Failure;
use anyhow::Context as _;
use foreshock_engine::templates::{TemplateLimits, TemplateMiner};
use foreshock_scoring::grouping;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Columns that are taken for the log lines where none is named, in this order.
const USUAL_COLUMNS: [&str; 4] = ["content", "log", "body", "message"];
/// More than the engine keeps for one service, for here is nothing else.
const LIMITS: TemplateLimits =
    TemplateLimits { signatures: 65_536, bucket_entries: 131_072, max_tokens: 256, max_bytes: 4_096 };
/// For how long the speed is measured, once while learning and once when all is known.
const TIMED: Duration = Duration::from_millis(400);

/// The arguments of `foreshock templates`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// CSV with a header, a row a log line
    #[arg(long, short, value_name = "FILE")]
    pub input: PathBuf,
    /// The column that holds the lines; by default `Content`, `log`, `body` or `message`, or the only column there is
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Where to write `line,template_id,template`; by default to stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A column that says which lines belong together, to measure against with --report
    #[arg(long, value_name = "NAME", requires = "report")]
    pub truth: Option<String>,
    /// Where to write as JSON how many templates there are, how many lines a second of one core were read, and the share of lines that
    /// are grouped as in the column of --truth
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Reads all lines, and then says for each which template it follows after all merges.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let unusable = |why: String| Failure::Unusable(format!("foreshock: {}: {why}", arguments.input.display()));
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(&arguments.input)
        .map_err(|error| unusable(format!("can't be read: {error}")))?;
    let headers: Vec<String> = reader
        .byte_headers()
        .map_err(|error| unusable(format!("has no header: {error}")))?
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').to_owned())
        .collect();
    let column = find_column(&headers, arguments.column.as_deref()).map_err(unusable)?;
    let truth =
        arguments.truth.as_deref().map(|name| find_column(&headers, Some(name))).transpose().map_err(unusable)?;
    let (mut lines, mut groups) = (Vec::new(), Vec::new());
    let mut miner = TemplateMiner::new(LIMITS);
    let mut texts: BTreeMap<u64, Arc<str>> = BTreeMap::new();
    let mut ids = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).context("a row can't be read").map_err(Failure::Running)? {
        let line = String::from_utf8_lossy(record.get(column).unwrap_or_default());
        let template = miner.observe(&line);
        texts.insert(template.id, template.text);
        ids.push(template.id);
        if arguments.report.is_some() {
            lines.push(line.into_owned());
        }
        if let Some(truth) = truth {
            groups.push(String::from_utf8_lossy(record.get(truth).unwrap_or_default()).into_owned());
        }
    }
    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("`{}` can't be written", path.display()))?),
        None => Box::new(std::io::stdout().lock()),
    };
    write(BufWriter::new(out), &ids, &miner, &texts).context("the templates can't be written")?;
    if let Some(path) = &arguments.report {
        let found: Vec<u64> = ids.iter().map(|id| miner.resolve(*id)).collect();
        report(path, &lines, &found, &groups, &mut miner)?;
    }
    Ok(())
}

/// Writes what [`Arguments::report`] promises. Afterwards the miner knows all lines.
fn report(
    path: &Path,
    lines: &[String],
    found: &[u64],
    groups: &[String],
    miner: &mut TemplateMiner,
) -> anyhow::Result<()> {
    let rate = |read: &mut dyn FnMut()| {
        let (began, mut rounds) = (Instant::now(), 0_u32);
        while rounds == 0 || began.elapsed() < TIMED {
            read();
            rounds += 1;
        }
        f64::from(rounds) * lines.len() as f64 / began.elapsed().as_secs_f64()
    };
    let learning = rate(&mut || {
        let mut fresh = TemplateMiner::new(LIMITS);
        for line in lines {
            std::hint::black_box(fresh.observe(line));
        }
    });
    let warm = rate(&mut || {
        for line in lines {
            std::hint::black_box(miner.observe(line));
        }
    });
    let templates: BTreeSet<u64> = found.iter().copied().collect();
    let share = |right: usize| right as f64 / lines.len().max(1) as f64;
    let report = serde_json::json!({
        "lines": lines.len(),
        "templates": templates.len(),
        "grouping_accuracy": (!groups.is_empty()).then(|| share(grouping::right(found, groups))),
        "lines_per_second_learning": learning,
        "lines_per_second_warm": warm,
    });
    let text = serde_json::to_string_pretty(&report).context("the report can't be written")? + "\n";
    std::fs::write(path, text).with_context(|| format!("`{}` can't be written", path.display()))
}

fn write(
    out: impl Write,
    ids: &[u64],
    miner: &TemplateMiner,
    texts: &BTreeMap<u64, Arc<str>>,
) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(["line", "template_id", "template"])?;
    for (index, id) in ids.iter().enumerate() {
        let id = miner.resolve(*id);
        // A template that was forgotten for want of room keeps the text that it had last.
        let text = miner.text(id).or_else(|| texts.get(&id).cloned()).unwrap_or_default();
        writer.write_record([&(index + 1).to_string(), &format!("{id:016x}"), &*text])?;
    }
    Ok(writer.flush()?)
}

fn find_column(headers: &[String], wanted: Option<&str>) -> Result<usize, String> {
    let position = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
    if let Some(wanted) = wanted {
        let there = headers.join("`, `");
        return position(wanted).ok_or_else(|| format!("has no column `{wanted}`; there is `{there}`"));
    }
    match (USUAL_COLUMNS.iter().find_map(|name| position(name)), headers) {
        (Some(column), _) => Ok(column),
        (None, [_]) => Ok(0),
        (None, _) => {
            Err(format!("which column holds the log lines? Say it with --column; there is `{}`", headers.join("`, `")))
        }
    }
}
