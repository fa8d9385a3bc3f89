//! The report as one page that needs nothing else: tables, and a chart for each series, the worst first.

use super::{
    report::{Place, Report, Run},
    session::Scored,
    tables::{Table, tables},
};
use foreshock_console::escape;
use foreshock_engine::UnixNanos;
use foreshock_scoring::events;
use std::fmt::Write as _;

/// Charts on the page; further series are only counted.
const MOST_CHARTS: usize = 120;
/// Width of a chart in pixels, and columns its values are gathered into.
const WIDTH: usize = 960;
/// Height of the part with values.
const HEIGHT: f64 = 120.0;
/// Height of the part with scores.
const SCORES: f64 = 36.0;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Foreshock backtest</title><style>
:root{color-scheme:light dark;--ink:#1f2933;--dim:#6b7785;--page:#fff;--line:#2f6db3;--band:#2f6db333;--label:#f2b63155;--right:#1d8a4c;--wrong:#cf3b3b;--rule:#d9dee4}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--dim:#97a3b0;--page:#15191e;--line:#6fa8e8;--band:#6fa8e833;--label:#f2b63140;--right:#43c47b;--wrong:#f07171;--rule:#333b44}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:1000px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0 1.5rem}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--rule)}
td:first-child,th:first-child{text-align:left}h2{margin-top:2rem}h3{margin:1.6rem 0 .2rem;font-size:1rem}p,li{color:var(--dim)}
svg{display:block;width:100%;height:auto}.value{fill:none;stroke:var(--line);stroke-width:1}.score{fill:var(--line);opacity:.55}.band{fill:var(--band)}.label{fill:var(--label)}
.right{stroke:var(--right);stroke-width:2}.wrong{stroke:var(--wrong);stroke-width:2}.calm{fill:var(--dim);opacity:.12}text{font:11px system-ui,sans-serif;fill:var(--dim)}
.key span{display:inline-block;margin-right:1.2rem}.key i{display:inline-block;width:.9rem;height:.7rem;margin-right:.35rem}
</style></head><body>
"#;

/// The page.
pub(super) fn page(report: &Report, run: &Run) -> String {
    let mut out = HEAD.to_owned();
    let _ = writeln!(
        out,
        "<h1>Foreshock backtest</h1><p>{}: {} services, {} series, {} rows, {:.1} scored service-days. \
        Played in order of time by the live engine; the grey start of each series only warms up.</p>",
        escape(&report.data),
        report.services,
        report.series,
        report.rows,
        report.service_days
    );
    for each in tables(report) {
        table(&mut out, &each);
    }
    for (part, faults) in std::iter::once(&report.first).chain(&report.against).map(|part| (part, &part.faults)) {
        for fault in faults {
            let _ = writeln!(out, "<p>{}: fault: {}</p>", escape(&part.config), escape(fault));
        }
    }
    let title = if report.has_labels { "Worst false alarms" } else { "Strongest alarms" };
    places(&mut out, "Worst misses", &report.first.misses);
    places(&mut out, title, &report.first.false_alarms);
    if let Some(changes) = &report.changes {
        let _ = writeln!(out, "<h2>What the second configuration changes</h2>");
        places(&mut out, "Newly found", &changes.newly_found);
        places(&mut out, "Newly missed", &changes.newly_missed);
        places(&mut out, "New false alarms", &changes.new_false_alarms);
        places(&mut out, "False alarms gone", &changes.false_alarms_gone);
    }
    let mut all: Vec<(usize, usize, f64, &Scored)> = run
        .all()
        .into_iter()
        .filter(|scored| scored.values.iter().any(|value| value.is_finite()))
        .map(|scored| {
            let outcome = events::judge(&scored.track);
            let missed = outcome.events.iter().filter(|event| event.raised.is_none()).count();
            let scores = outcome.false_episodes.iter().map(|rows| scored.track.score(rows.first));
            (missed, outcome.false_episodes.len(), scores.fold(0.0, f64::max), scored)
        })
        .collect();
    all.sort_by(|a, b| {
        let by_harm = (b.0 + b.1).cmp(&(a.0 + a.1)).then(b.2.total_cmp(&a.2));
        by_harm.then_with(|| a.3.path.cmp(&b.3.path))
    });
    let _ = writeln!(
        out,
        "<h2>Series, the worst first</h2><p class=key><span><i style='background:var(--line)'></i>value, below it the \
        score</span><span><i style='background:var(--band)'></i>what a finding called normal</span><span><i style='background:var(--label)'></i>label</span>\
        <span><i style='background:var(--right)'></i>alarm in a label</span><span><i style='background:var(--wrong)'></i>alarm outside</span></p>"
    );
    for (missed, wrong, _, scored) in all.iter().take(MOST_CHARTS) {
        let found = scored.track.scored_labels().count() - missed;
        let said = format!("{found} found, {missed} missed, {wrong} false");
        let _ = writeln!(out, "<h3>{} <small>({said})</small></h3>", escape(&scored.track.name));
        chart(&mut out, scored);
    }
    if all.len() > MOST_CHARTS {
        let _ = writeln!(out, "<p>{} more series are not drawn.</p>", all.len() - MOST_CHARTS);
    }
    out.push_str("</body></html>\n");
    out
}

fn table(out: &mut String, table: &Table) {
    let cells = |out: &mut String, mark: &str, row: &[String]| {
        let cells = row.iter().map(|cell| format!("<{mark}>{}</{mark}>", escape(cell))).collect::<String>();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    };
    let _ = writeln!(out, "<h2>{}</h2><table>", escape(table.title));
    cells(out, "th", &table.head);
    table.rows.iter().for_each(|row| cells(out, "td", row));
    out.push_str("</table>\n");
}

fn places(out: &mut String, title: &str, places: &[Place]) {
    if places.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2><ol>");
    for place in places {
        let said = place.said.as_deref().map(|said| format!(": {}", escape(said))).unwrap_or_default();
        let _ =
            writeln!(out, "<li>{} {}, score {:.3}{said}</li>", escape(&place.series), escape(&place.from), place.score);
    }
    out.push_str("</ol>\n");
}

/// One chart. Rows are gathered into columns of pixels by their place in order, so that a hole in time takes no room.
fn chart(out: &mut String, scored: &Scored) {
    let track = &scored.track;
    let rows = track.rows().max(1);
    let x = |row: usize| row as f64 * WIDTH as f64 / rows as f64;
    let finite = || scored.values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let span = if high > low { high - low } else { 1.0 };
    let y = |value: f64| HEIGHT - (value - low) / span * (HEIGHT - 8.0) - 4.0;
    let total = HEIGHT + SCORES + 16.0;
    let _ = write!(out, "<svg viewBox='0 0 {WIDTH} {total}' role=img>");
    let _ = write!(out, "<rect class=calm x=0 y=0 width='{:.1}' height='{}'/>", x(track.scored_from), HEIGHT + SCORES);
    for label in &track.labels {
        let width = (x(label.last + 1) - x(label.first)).max(1.5);
        let _ = write!(
            out,
            "<rect class=label x='{:.1}' y=0 width='{width:.1}' height='{}'/>",
            x(label.first),
            HEIGHT + SCORES
        );
    }
    for bound in scored.bounds.iter().take(4 * WIDTH) {
        let row = track.times.partition_point(|time| *time < bound.time);
        let (top, bottom) = (y(bound.upper).clamp(0.0, HEIGHT), y(bound.lower).clamp(0.0, HEIGHT));
        let _ = write!(
            out,
            "<rect class=band x='{:.1}' y='{top:.1}' width='{:.2}' height='{:.1}'/>",
            x(row),
            x(1).max(1.0),
            (bottom - top).max(0.5)
        );
    }
    let columns = WIDTH.min(rows);
    let (mut line, mut bars) = (String::new(), String::new());
    for column in 0..columns {
        let part = column * rows / columns..((column + 1) * rows / columns).max(column * rows / columns + 1);
        let at = x(part.start);
        let values = || scored.values.iter().take(part.end).skip(part.start).copied().filter(|value| value.is_finite());
        // The extremes in their order keep every spike.
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if least.is_finite() {
            let _ = write!(line, "{at:.1},{:.1} ", y(most));
            if least < most {
                let _ = write!(line, "{at:.1},{:.1} ", y(least));
            }
        }
        let score = part.clone().map(|row| track.score(row)).fold(0.0, f64::max);
        if score > 0.01 {
            let height = score * SCORES;
            let _ = write!(
                bars,
                "M{at:.1} {:.1}v{height:.1}h{:.1}v-{height:.1}z",
                HEIGHT + SCORES - height,
                (WIDTH as f64 / columns as f64).max(0.7)
            );
        }
    }
    let _ = write!(out, "<polyline class=value points='{}'/><path class=score d='{bars}'/>", line.trim_end());
    for alarm in scored.alarms.iter().filter(|alarm| alarm.rows.first >= track.scored_from) {
        let class = if track.label_at(alarm.rows.first).is_some() { "right" } else { "wrong" };
        let at = x(alarm.rows.first);
        let title = escape(&format!("{} ({}): {}", alarm.detector, alarm.kind, alarm.sentence));
        let _ = write!(
            out,
            "<line class={class} x1='{at:.1}' x2='{at:.1}' y1=0 y2='{}'><title>{title}</title></line>",
            HEIGHT + SCORES
        );
    }
    let end = |row: usize| UnixNanos(track.times.get(row).copied().unwrap_or(0)).to_string();
    let _ = writeln!(
        out,
        "<text x=2 y=11>{}</text><text x=2 y='{}'>{}</text><text x=2 y='{}'>{}</text><text x='{}' y='{}' text-anchor=end>{}</text></svg>",
        number(high),
        HEIGHT - 2.0,
        number(low),
        total - 3.0,
        escape(&end(0)),
        WIDTH - 2,
        total - 3.0,
        escape(&end(rows - 1)),
    );
}

fn number(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    if value.abs() >= 1e6 || (value != 0.0 && value.abs() < 1e-3) {
        format!("{value:.2e}")
    } else {
        format!("{value:.3}")
    }
}
