//! `foreshock detector run`: what a detector says of a recording, as a table and charts.

use super::{
    candidate::{self, Candidate, Ready},
    chart, page,
    playing::{Judged, Played, feed},
    recorded::{self, Source},
    table,
};
use crate::cli::{Failure, say};
use anyhow::Context as _;
use foreshock_engine::{
    verdict::{Finding, Severity},
    window::{ClosedWindow, Series, ServiceKey},
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::IsTerminal as _,
    path::PathBuf,
    sync::Arc,
};

/// Windows without a finding that still belong to one episode.
const PATIENCE_WINDOWS: u64 = 3;
/// Rows of the table; `--html` has all.
const MOST_ROWS: usize = 50;

/// The arguments of `foreshock detector run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    candidate: candidate::Chosen,
    #[command(flatten)]
    source: Source,
    /// Write a page that holds everything it shows, and needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Only series with this in their name or attributes
    #[arg(long, value_name = "TEXT", default_value = "")]
    series: String,
    /// How many series to draw, the most telling first
    #[arg(long, value_name = "N", default_value_t = 3)]
    charts: usize,
    /// How wide a chart is, in characters
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u16).range(20..=400))]
    width: u16,
}

/// One series with what was said of it.
pub(super) struct Line {
    pub(super) service: ServiceKey,
    pub(super) series: Arc<Series>,
    pub(super) points: Vec<Point>,
    pub(super) findings: Vec<Found>,
}

/// A value and how odd it is.
#[derive(Clone, Copy)]
pub(super) struct Point {
    /// Start of the window.
    pub(super) at: u64,
    pub(super) value: f64,
    /// `None` while the detector says nothing.
    pub(super) score: Option<f64>,
}

/// A finding of which this series is the first.
pub(super) struct Found {
    /// Start of the window.
    pub(super) at: u64,
    pub(super) finding: Finding,
}

/// Findings of one kind on one series in a row.
pub(super) struct Episode<'a> {
    pub(super) line: &'a Line,
    pub(super) from: u64,
    /// End of its last window.
    pub(super) to: u64,
    pub(super) windows: usize,
    pub(super) severity: Severity,
    /// The finding with the highest score.
    pub(super) peak: &'a Finding,
}

/// Plays a recording and prints what was said.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let candidate = Candidate::read(&arguments.candidate)?;
    let ready = candidate.ready()?;
    let windows = recorded::windows(&arguments.source, &ready)?;
    let played = feed(&ready, &mut ready.pool(), &windows);
    let mut lines = lines(&windows, &played.judged);
    lines.retain(|line| line.label().contains(&arguments.series));
    // The most findings first, then the highest score; a stable sort keeps the order of the recording otherwise.
    let highest = |line: &Line| line.points.iter().filter_map(|point| point.score).fold(0.0, f64::max);
    lines.sort_by(|a, b| b.findings.len().cmp(&a.findings.len()).then(highest(b).total_cmp(&highest(a))));
    let mut episodes: Vec<Episode<'_>> = lines.iter().flat_map(|line| line.episodes(ready.step_ns)).collect();
    episodes.sort_by_key(|episode| episode.from);

    let title = title(&ready, &windows, &played);
    if let Some(path) = &arguments.html {
        let text = page::page(&title, &candidate.name, &lines, &episodes, ready.step_ns);
        std::fs::write(path, text).with_context(|| format!("`{}` can't be written", path.display()))?;
        say(&format!("{} written", path.display()));
    }
    let is_terminal = std::io::stdout().is_terminal();
    let mut text = format!("{title}\n\n");
    if episodes.is_empty() {
        text.push_str("  nothing was found\n");
    } else {
        text.push_str(&episode_table(&episodes));
    }
    for line in lines.iter().take(arguments.charts) {
        text.push('\n');
        text.push_str(&chart::chart(line, usize::from(arguments.width), is_terminal));
    }
    super::print(&text)?;
    match played.first_fault() {
        Some(fault) => Err(Failure::Running(anyhow::anyhow!("it failed on this recording: {fault}"))),
        None => Ok(()),
    }
}

fn title(ready: &Ready, windows: &[ClosedWindow], played: &Played) -> String {
    let about = ready.detector.about();
    let services: std::collections::BTreeSet<_> = windows.iter().map(|window| &window.service).collect();
    let start = windows.iter().map(|window| window.window.start.0).min().unwrap_or_default();
    let end = windows.iter().map(|window| window.window.end.0).max().unwrap_or_default();
    format!(
        "{} {}: {} windows of {} service{}, {} to {} UTC, {} findings",
        about.name,
        about.version,
        windows.len(),
        services.len(),
        if services.len() == 1 { "" } else { "s" },
        table::moment(start),
        table::moment(end),
        played.findings(),
    )
}

fn episode_table(episodes: &[Episode<'_>]) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), table::short);
    let rows: Vec<Vec<String>> = episodes
        .iter()
        .take(MOST_ROWS)
        .map(|episode| {
            vec![
                table::moment(episode.from),
                table::moment(episode.to)[11..].to_owned(),
                episode.line.service.to_string(),
                episode.peak.kind.to_string(),
                episode.severity.to_string(),
                format!("{:.1}", episode.peak.score),
                number(episode.peak.observed),
                number(episode.peak.expected),
                episode.peak.summary.clone(),
            ]
        })
        .collect();
    let headings = ["from (UTC)", "to", "service", "kind", "severity", "score", "observed", "expected", "in words"];
    let mut text = table::table(&headings, &rows);
    if episodes.len() > MOST_ROWS {
        text.push_str(&format!("  and {} more\n", episodes.len() - MOST_ROWS));
    }
    text
}

/// Sorts windows and verdicts by series.
fn lines(windows: &[ClosedWindow], judged: &[Judged]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut current: BTreeMap<(&ServiceKey, u32), usize> = BTreeMap::new();
    for (window, judged) in windows.iter().zip(judged) {
        let (service, columns) = (&window.service, &window.window);
        for series in &columns.opened {
            let mut begin = || {
                lines.push(Line {
                    service: service.clone(),
                    series: Arc::clone(series),
                    points: vec![],
                    findings: vec![],
                });
                lines.len() - 1
            };
            match current.entry((service, series.id)) {
                Entry::Vacant(entry) => {
                    entry.insert(begin());
                }
                Entry::Occupied(mut entry) => {
                    if columns.closed.contains(&series.id) {
                        entry.insert(begin());
                    } else {
                        lines[*entry.get()].series = Arc::clone(series);
                    }
                }
            }
        }
        let Some(verdict) = &judged.verdict else { continue };
        let scores: BTreeMap<u32, f64> = verdict.scores.iter().copied().collect();
        for (id, value) in columns.ids.iter().zip(&columns.values) {
            if let Some(line) = current.get(&(service, *id)) {
                let point = Point { at: columns.start.0, value: *value, score: scores.get(id).copied() };
                lines[*line].points.push(point);
            }
        }
        for finding in &verdict.findings {
            if let Some(line) = finding.ids.first().and_then(|id| current.get(&(service, *id))) {
                lines[*line].findings.push(Found { at: columns.start.0, finding: finding.clone() });
            }
        }
    }
    lines
}

impl Line {
    /// The series in a few words.
    pub(super) fn label(&self) -> String {
        let mut label = format!("{} {}", self.service, self.series.name);
        let attributes: Vec<String> =
            self.series.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if !attributes.is_empty() {
            label.push_str(&format!(" {{{}}}", attributes.join(", ")));
        }
        if !self.series.unit.is_empty() {
            label.push_str(&format!(" [{}]", self.series.unit));
        }
        label
    }

    fn episodes(&self, step_ns: u64) -> Vec<Episode<'_>> {
        let mut episodes: Vec<Episode<'_>> = Vec::new();
        for Found { at, finding } in &self.findings {
            let end = at.saturating_add(step_ns);
            let goes_on = episodes.iter_mut().rev().find(|episode| {
                episode.peak.kind == finding.kind
                    && *at <= episode.to.saturating_add(step_ns.saturating_mul(PATIENCE_WINDOWS))
            });
            match goes_on {
                Some(episode) => {
                    episode.to = end;
                    episode.windows += 1;
                    episode.severity = episode.severity.max(finding.severity);
                    if finding.score > episode.peak.score {
                        episode.peak = finding;
                    }
                }
                None => episodes.push(Episode {
                    line: self,
                    from: *at,
                    to: end,
                    windows: 1,
                    severity: finding.severity,
                    peak: finding,
                }),
            }
        }
        episodes
    }
}
