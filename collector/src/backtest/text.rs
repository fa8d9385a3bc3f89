//! The report for a terminal.

use super::{
    report::{Changes, Part, Place, Report},
    tables::{Table, tables},
};
use std::fmt::Write as _;

/// Places of a kind that are listed.
const LISTED: usize = 8;

/// The whole report as text.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let Report { services, series, rows, service_days, .. } = report;
    line(
        &mut out,
        &format!(
            "{}: {services} services, {series} series, {rows} rows, {service_days:.1} scored service-days",
            report.data
        ),
    );
    if report.unreadable > 0 {
        line(&mut out, &format!("{} parts could not be read and were left out", report.unreadable));
    }
    if report.series_left_out > 0 {
        line(&mut out, &format!("{} series were left out: too many at once", report.series_left_out));
    }
    for table in tables(report) {
        aligned(&mut out, &table);
    }
    for (title, part) in [("", Some(&report.first)), ("against ", report.against.as_ref())] {
        if let Some(part) = part {
            told(&mut out, title, part, report.has_labels);
        }
    }
    if let Some(changes) = &report.changes {
        changed(&mut out, changes);
    }
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A table under its title: names to the left, figures to the right.
fn aligned(out: &mut String, table: &Table) {
    let lines = || std::iter::once(&table.head).chain(&table.rows);
    let width = |column: usize| lines().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..table.head.len()).filter_map(width).collect();
    line(out, "");
    line(out, table.title);
    for row in lines() {
        let mut text = String::from(" ");
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if index == 0 { write!(text, " {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        line(out, text.trim_end());
    }
}

/// What a configuration met with, and what was worst.
fn told(out: &mut String, title: &str, part: &Part, has_labels: bool) {
    line(out, "");
    line(out, &format!("{title}{}:", part.config));
    for fault in part.faults.iter().take(LISTED) {
        line(out, &format!("  fault: {fault}"));
    }
    let odd = if has_labels { "worst false alarms" } else { "strongest" };
    for (title, places) in [("worst misses", &part.misses), (odd, &part.false_alarms)] {
        list(out, title, places);
    }
}

fn changed(out: &mut String, changes: &Changes) {
    line(out, "");
    line(out, "What changes:");
    for (title, places) in [
        ("newly found", &changes.newly_found),
        ("newly missed", &changes.newly_missed),
        ("new false alarms", &changes.new_false_alarms),
        ("false alarms gone", &changes.false_alarms_gone),
    ] {
        line(out, &format!("  {}: {}", title, places.len()));
        list(out, title, places);
    }
}

fn list(out: &mut String, title: &str, places: &[Place]) {
    if places.is_empty() {
        return;
    }
    line(out, &format!("  {title}:"));
    for place in places.iter().take(LISTED) {
        let said = place.said.as_deref().map(|said| format!("  {said}")).unwrap_or_default();
        let until = if place.from == place.to { String::new() } else { format!(" to {}", place.to) };
        line(out, &format!("    {} {}{until}, score {:.3}{said}", place.series, place.from, place.score));
    }
}
