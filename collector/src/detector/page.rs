//! What a detector said of a recording, as one HTML file that needs nothing from elsewhere.

use super::{
    run::{Episode, Line},
    table::{moment, short},
};
use foreshock_console::escape;
use std::fmt::Write as _;

/// Series that are drawn.
const MOST_CHARTS: usize = 60;
/// Points of a chart; more are thinned out, keeping each bucket's extremes.
const MOST_POINTS: usize = 1_200;
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;
/// Height of the strip of scores below.
const STRIP: f64 = 32.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#2563eb;--band:#2563eb22;--odd:#c0262d;--grid:#8884;--dim:#68707a}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#14171b;--line:#79a8ff;--band:#79a8ff2e;--odd:#ff6b6b;--dim:#98a1ac}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1060px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}p.note{color:var(--dim)}
table{border-collapse:collapse;width:100%;font-size:.85rem}td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--grid);vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;display:block}
.series{fill:none;stroke:var(--line);stroke-width:1.4;vector-effect:non-scaling-stroke}.band{fill:var(--band);stroke:none}
.expected{fill:none;stroke:var(--line);stroke-dasharray:4 4}.odd{fill:var(--odd)}.score{fill:var(--odd);opacity:.65}.axis{stroke:var(--grid)}
text{fill:var(--dim);font-size:12px}";

/// The page.
pub(super) fn page(title: &str, file: &str, lines: &[Line], episodes: &[Episode<'_>], step_ns: u64) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p class=\"note\">{file}. Shaded: the \
         expected band, where a finding states one. Below each series its scores, 0 to 16 (2 is one window in a hundred). \
         Times are UTC. Point at a mark to read its finding.</p>\n",
        title = escape(title),
        file = escape(file),
    );
    if episodes.is_empty() {
        out.push_str("<p>Nothing was found.</p>\n");
    } else {
        out.push_str(
            "<table><thead><tr><th>from</th><th>to</th><th>service</th><th>kind</th><th>severity</th><th>windows</th>\
             <th>score</th><th>observed</th><th>expected</th><th>in words</th></tr></thead><tbody>\n",
        );
        for episode in episodes {
            let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
            let _ = writeln!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                moment(episode.from),
                moment(episode.to),
                escape(&episode.line.service.to_string()),
                escape(&episode.peak.kind),
                episode.severity,
                episode.windows,
                episode.peak.score,
                number(episode.peak.observed),
                number(episode.peak.expected),
                escape(&episode.peak.summary),
            );
        }
        out.push_str("</tbody></table>\n");
    }
    for line in lines.iter().filter(|line| !line.points.is_empty()).take(MOST_CHARTS) {
        let _ = writeln!(out, "<h2>{}</h2>\n{}", escape(&line.label()), drawing(line, step_ns));
    }
    if lines.len() > MOST_CHARTS {
        let _ = writeln!(out, "<p class=\"note\">and {} more series</p>", lines.len() - MOST_CHARTS);
    }
    out.push_str("</body></html>\n");
    out
}

/// One series as SVG.
fn drawing(line: &Line, step_ns: u64) -> String {
    let (Some(first), Some(last)) = (line.points.first(), line.points.last()) else { return String::new() };
    let span = ((last.at - first.at).saturating_add(step_ns)).max(1) as f64;
    let x = |at: u64| (at.saturating_sub(first.at)) as f64 / span * WIDTH;
    let bands: Vec<(u64, f64, f64)> =
        line.findings.iter().filter_map(|found| Some((found.at, found.finding.lower?, found.finding.upper?))).collect();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in line.points.iter().map(|point| point.value).chain(bands.iter().flat_map(|band| [band.1, band.2])) {
        (low, high) = (low.min(value), high.max(value));
    }
    // Halves, because the difference of two large numbers may be none.
    let half = (high / 2.0 - low / 2.0).max(f64::MIN_POSITIVE);
    let y = |value: f64| HEIGHT - 4.0 - ((value / 2.0 - low / 2.0) / half).clamp(0.0, 1.0) * (HEIGHT - 22.0);
    let width_of_window = (step_ns as f64 / span * WIDTH).max(1.5);

    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        HEIGHT + STRIP + 18.0,
        escape(&line.label())
    );
    for (at, lower, upper) in &bands {
        let (top, bottom) = (y(*upper), y(*lower));
        let _ = write!(
            out,
            "<rect class=\"band\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width_of_window:.1}\" height=\"{:.1}\"/>",
            x(*at),
            (bottom - top).max(1.0)
        );
    }
    for found in &line.findings {
        if let Some(expected) = found.finding.expected {
            let (left, level) = (x(found.at), y(expected));
            let right = left + width_of_window;
            let _ = write!(out, "<path class=\"expected\" d=\"M{left:.1} {level:.1}H{right:.1}\"/>");
        }
    }
    out.push_str("<path class=\"series\" d=\"");
    let bucket = line.points.len().div_ceil(MOST_POINTS / 2).max(1);
    let mut before: Option<u64> = None;
    for points in line.points.chunks(bucket) {
        let least = points.iter().min_by(|a, b| a.value.total_cmp(&b.value));
        let most = points.iter().max_by(|a, b| a.value.total_cmp(&b.value));
        let mut ends: Vec<_> = least.into_iter().chain(most).map(|point| (point.at, point.value)).collect();
        ends.sort_by_key(|end| end.0);
        ends.dedup();
        for (at, value) in ends {
            // Silence is not bridged: a gap of some windows begins a new stroke.
            let is_gap = before.is_none_or(|before| at - before > step_ns.saturating_mul(4 * bucket as u64));
            let _ = write!(out, "{}{:.1} {:.1}", if is_gap { 'M' } else { 'L' }, x(at), y(value));
            if is_gap {
                out.push_str("h.1");
            }
            before = Some(at);
        }
    }
    out.push_str("\"/>");
    let _ = write!(out, "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\"/>", HEIGHT + STRIP);
    for points in line.points.chunks(bucket) {
        let highest =
            points.iter().filter_map(|point| Some((point.score?, point.at))).max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((score, at)) = highest.filter(|(score, _)| *score >= 0.05) {
            let height = score / 16.0 * STRIP;
            let _ = write!(
                out,
                "<rect class=\"score\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width_of_window:.1}\" height=\"{height:.1}\"/>",
                x(at),
                HEIGHT + STRIP - height
            );
        }
    }
    for found in &line.findings {
        let point = line.points.binary_search_by_key(&found.at, |point| point.at).ok();
        let value = point.map(|index| line.points[index].value);
        if let Some(value) = value.or(found.finding.observed) {
            let _ = write!(
                out,
                "<circle class=\"odd\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{} {} {:.1}: {}</title></circle>",
                x(found.at) + width_of_window / 2.0,
                y(value),
                moment(found.at),
                escape(&found.finding.kind),
                found.finding.score,
                escape(&found.finding.summary)
            );
        }
    }
    let base = HEIGHT + STRIP + 14.0;
    let _ = write!(
        out,
        "<text x=\"0\" y=\"12\">{}</text><text x=\"0\" y=\"{:.1}\">{}</text><text x=\"0\" y=\"{base}\">{}</text>\
         <text x=\"{WIDTH}\" y=\"{base}\" text-anchor=\"end\">{}</text></svg>",
        short(high),
        HEIGHT - 6.0,
        short(low),
        moment(first.at),
        moment(last.at)
    );
    out
}
