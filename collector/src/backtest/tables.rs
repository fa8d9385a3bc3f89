//! The report's figures as tables, the same for the terminal and for the page.

use super::report::{Measures, NabTrack, Part, Report};
use foreshock_scoring::{overlap::Overlap, predictions};

/// A heading, what stands over the columns, and rows of as many cells. The first column names the row.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &'static str, head: &[&str]) -> Self {
        let head = [""].iter().chain(head).map(|&cell| cell.to_owned()).collect();
        Self { title, head, rows: Vec::new() }
    }
}

/// Those that have something to say, in the order in which they are read.
pub(super) fn tables(report: &Report) -> Vec<Table> {
    let mut all = vec![("foreshock", &report.first.measures)];
    all.extend(report.against.as_ref().map(|part| ("against", &part.measures)));
    all.extend(report.naive.iter().map(|measures| (measures.name.as_str(), measures)));
    let mut tables = Vec::new();
    if report.has_labels {
        tables.push(events(&all));
        if report.series > report.services {
            tables.push(overlap(&all));
        }
        let fitted = "NAB by its own rules: threshold fitted to the labels scored here";
        tables.extend(nab("NAB, alarms as raised (nothing fitted)", &all, |one| one.nab_fixed_threshold));
        tables.extend(nab(fitted, &all, |one| one.nab_threshold_fitted_to_this_data));
    } else {
        tables.push(noise(&all));
    }
    tables.push(raised(&report.first, report.against.as_ref()));
    tables
}

fn events(all: &[(&str, &Measures)]) -> Table {
    let head = ["events", "recall", "precision", "false/series-day", "false/service-day", "delay p50", "p90", "VUS-PR"];
    let mut table = Table::new("Labelled events", &head);
    for (name, measures) in all {
        let (one, each) = (&measures.services, &measures.series);
        table.rows.push(vec![
            (*name).to_owned(),
            format!("{}/{}", one.found, one.events),
            share(one.recall),
            share(one.precision),
            share(each.false_per_day),
            share(one.false_per_day),
            span(one.delay_median_seconds),
            span(one.delay_p90_seconds),
            share(measures.vus_pr),
        ]);
    }
    table
}

fn overlap(all: &[(&str, &Measures)]) -> Table {
    let title = "Alarms as they stand, right with a fifth labelled";
    let mut table = Table::new(title, &["found", "recall", "precision", "false/service-day"]);
    for (name, measures) in all {
        let Overlap { events, found, recall, precision, false_per_day, .. } = measures.overlap;
        let found = format!("{found}/{events}");
        table.rows.push(vec![(*name).to_owned(), found, share(recall), share(precision), share(false_per_day)]);
    }
    table
}

fn nab(title: &'static str, all: &[(&str, &Measures)], of: fn(&Measures) -> Option<NabTrack>) -> Option<Table> {
    let mut table = Table::new(title, &["standard", "low FP", "low FN", "threshold"]);
    for (name, measures) in all {
        let Some(nab) = of(measures) else { continue };
        let mut row = vec![(*name).to_owned()];
        row.extend([nab.standard, nab.reward_low_fp, nab.reward_low_fn].map(|profile| format!("{:.2}", profile.score)));
        row.push(format!("{:.4}", nab.standard.threshold));
        table.rows.push(row);
    }
    (!table.rows.is_empty()).then_some(table)
}

fn noise(all: &[(&str, &Measures)]) -> Table {
    let head = ["episodes", "per series-day", "per service-day", "rows under alarm"];
    let mut table = Table::new("No labels: this is what would have fired", &head);
    for (name, measures) in all {
        let (one, each) = (&measures.services, &measures.series);
        table.rows.push(vec![
            (*name).to_owned(),
            one.false_episodes.to_string(),
            share(each.false_per_day),
            share(one.false_per_day),
            share(one.false_row_share),
        ]);
    }
    table
}

/// What was raised: a column for each configuration.
fn raised(first: &Part, against: Option<&Part>) -> Table {
    let parts: Vec<&Part> = std::iter::once(first).chain(against).collect();
    let head: Vec<&str> = parts.iter().map(|part| part.config.as_str()).collect();
    let mut table = Table::new("What was raised", &head);
    let mut row = |name: &str, cell: &dyn Fn(&Part) -> String| {
        table.rows.push(std::iter::once(name.to_owned()).chain(parts.iter().map(|part| cell(part))).collect());
    };
    row("incidents", &|part| part.incidents.to_string());
    row("incidents a service-day", &|part| share(part.incidents_per_service_day));
    let mut kinds: Vec<&String> = parts.iter().flat_map(|part| part.alarms.keys()).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        row(kind, &|part| part.alarms.get(kind).copied().unwrap_or(0).to_string());
    }
    let said = |part: &Part| part.predictions.decided + part.predictions.undecided;
    if parts.iter().any(|part| said(part) > 0) {
        let horizon = span(Some(first.predictions.horizon_seconds));
        let mut tell =
            |name: &str, cell: fn(&predictions::Summary) -> String| row(name, &|part| cell(&part.predictions));
        tell(&format!("predictions that came true within {horizon}"), |of| format!("{}/{}", of.right, of.decided));
        tell("their median lead", |of| span(of.lead_median_seconds));
        tell("came within the interval that was said", |of| share(of.interval_coverage));
        tell("false predictions a series-day", |of| share(of.false_per_day));
        tell("undecided when the data ended", |of| of.undecided.to_string());
    }
    table
}

/// A share or a rate with three digits.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// Seconds in a unit that fits.
fn span(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 120.0 => format!("{s:.0} s"),
        Some(s) if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3_600.0),
    }
}
