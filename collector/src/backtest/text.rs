//! The report for a terminal.

use super::report::{Changes, Measures, NabTrack, Part, Place, Report};
use foreshock_scoring::overlap::Overlap;
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
    let mut all = vec![&report.first.measures];
    all.extend(report.against.as_ref().map(|part| &part.measures));
    all.extend(&report.naive);
    line(&mut out, "");
    if report.has_labels {
        labelled(&mut out, report, &all);
    } else {
        line(&mut out, "No labels: this is what would have fired.");
        noise(&mut out, report, &all);
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

fn labelled(out: &mut String, report: &Report, all: &[&Measures]) {
    line(
        out,
        "                 events  recall  precision  false/series-day  false/service-day   delay p50   p90    VUS-PR",
    );
    for (index, measures) in all.iter().enumerate() {
        let (one, each) = (&measures.services, &measures.series);
        let _ = writeln!(
            out,
            "{:<14} {:>4}/{:<4}  {:>5}  {:>8}  {:>16}  {:>17}  {:>10}  {:>6}  {:>6}",
            name(report, index, measures),
            one.found,
            one.events,
            share(one.recall),
            share(one.precision),
            share(each.false_per_day),
            share(one.false_per_day),
            span(one.delay_median_seconds),
            span(one.delay_p90_seconds),
            share(measures.vus_pr),
        );
    }
    if report.series > report.services {
        line(out, "");
        line(out, "alarms as they stand, right with a fifth labelled   found  recall  precision  false/service-day");
        for (index, measures) in all.iter().enumerate() {
            let Overlap { events, found, recall, precision, false_per_day, .. } = measures.overlap;
            let _ = writeln!(
                out,
                "{:<46} {found:>5}/{events:<5}  {:>6}  {:>9}  {:>17}",
                name(report, index, measures),
                share(recall),
                share(precision),
                share(false_per_day),
            );
        }
    }
    let fixed = |measures: &&&Measures| measures.nab_fixed_threshold.is_some();
    if all.iter().any(|measures| fixed(&measures)) {
        let row = |out: &mut String, title: &str, of: &dyn Fn(&Measures) -> Option<NabTrack>| {
            line(out, "");
            line(out, &format!("{title:<66} standard  low FP  low FN  threshold"));
            for (index, measures) in all.iter().enumerate() {
                let Some(nab) = of(measures) else { continue };
                let (s, p, n) = (nab.standard.score, nab.reward_low_fp.score, nab.reward_low_fn.score);
                let threshold = nab.standard.threshold;
                let _ =
                    writeln!(out, "{:<66} {s:>8.2} {p:>7.2} {n:>7.2}  {threshold:.4}", name(report, index, measures));
            }
        };
        row(out, "NAB, alarms as raised (nothing fitted)", &|measures| measures.nab_fixed_threshold);
        row(out, "NAB by its own rules: threshold fitted to the labels scored here", &|measures| {
            measures.nab_threshold_fitted_to_this_data
        });
    }
}

fn noise(out: &mut String, report: &Report, all: &[&Measures]) {
    line(out, "                 episodes  per series-day  per service-day  rows under alarm");
    for (index, measures) in all.iter().enumerate() {
        let (one, each) = (&measures.services, &measures.series);
        let _ = writeln!(
            out,
            "{:<16} {:>8}  {:>14}  {:>15}  {:>16}",
            name(report, index, measures),
            one.false_episodes,
            share(each.false_per_day),
            share(one.false_per_day),
            share(one.false_row_share),
        );
    }
}

fn told(out: &mut String, title: &str, part: &Part, has_labels: bool) {
    line(out, "");
    let rate = part.incidents_per_service_day.map(|rate| format!(" ({rate:.3} a service-day)")).unwrap_or_default();
    line(out, &format!("{title}{}: {} incidents{rate}", part.config, part.incidents));
    for (what, many) in &part.alarms {
        line(out, &format!("  {many:>6} {what}"));
    }
    let said = &part.predictions;
    if said.decided + said.undecided > 0 {
        let text = format!(
            "  predictions: {} of {} came true within {}, median lead {}, {} false a series-day, {} within their interval; {} undecided",
            said.right,
            said.decided,
            span(Some(said.horizon_seconds)),
            span(said.lead_median_seconds),
            share(said.false_per_day),
            share(said.interval_coverage),
            said.undecided,
        );
        line(out, &text);
    }
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

/// The first row is the configuration, the second the one it is compared with if there is one.
pub(super) fn name(report: &Report, index: usize, measures: &Measures) -> String {
    match index {
        1 if report.against.is_some() => "against".to_owned(),
        _ => measures.name.clone(),
    }
}

/// A share or a rate with three digits.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

/// Seconds in a unit that fits.
pub(super) fn span(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 120.0 => format!("{s:.0} s"),
        Some(s) if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        Some(s) => format!("{:.1} h", s / 3_600.0),
    }
}
