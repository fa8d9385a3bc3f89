//! The demo on a terminal: services with their health, incidents, and what happens as it happens.

use super::{
    fit,
    story::{IncidentView, ServiceView, Story, minutes, time_of_day},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Cell, Paragraph, Row, Table},
};
use std::{net::SocketAddr, time::Duration};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What changes from frame to frame beside the story.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// Simulated seconds per second, as measured.
    pub(super) speed: f64,
    /// Points, records and spans per second of real time.
    pub(super) items_per_second: f64,
    pub(super) seed: u64,
    /// Where the console is.
    pub(super) console: Option<SocketAddr>,
    /// Whether the story is over and the last windows are being closed.
    pub(super) closing: bool,
}

/// Columns below which a service's curve is left out, and those below which its rate is, too.
const ROOM_FOR_CURVE: u16 = 84;
const ROOM_FOR_RATE: u16 = 58;

/// Rows from which panels have borders, and from which there is a panel for what happens.
const ROOM_FOR_BORDERS: u16 = 30;
const ROOM_FOR_LINES: u16 = 20;

/// Lines that an incident's sentence may take.
const MOST_SENTENCE_LINES: usize = 4;

/// Draws one frame.
pub(super) fn draw(frame: &mut Frame<'_>, story: &Story, meter: &Meter) {
    let area = frame.area();
    let borders = if area.height >= ROOM_FOR_BORDERS { 2 } else { 0 };
    let head_height = if area.height >= ROOM_FOR_LINES { 2 } else { 1 };
    let left = area.height.saturating_sub(head_height + 1);
    let width = area.width.saturating_sub(borders);
    // The incidents are what it is about: they get what they need, if that leaves room for some services.
    let wanted = if area.height >= ROOM_FOR_BORDERS { 11 } else { left / 3 };
    let incidents = incident_lines(story, usize::from(width), usize::from(wanted.saturating_sub(borders).max(2)));
    let incidents_height = incidents.len() as u16 + borders;
    let services_height = (story.services.len() as u16 + 1 + borders).min(left.saturating_sub(incidents_height));
    let [head, services, incidents_area, lines, foot] = Layout::vertical([
        Constraint::Length(head_height),
        Constraint::Length(services_height),
        Constraint::Length(incidents_height),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let panel = |title| if borders > 0 { panel(title) } else { Block::new() };
    draw_head(frame, head, story, meter);
    draw_services(frame, services, story, panel("Services"));
    frame.render_widget(Paragraph::new(incidents).block(panel("Incidents")), incidents_area);
    if lines.height > borders {
        draw_lines(frame, lines, story, panel("What happens"));
    }
    draw_foot(frame, foot, story, meter);
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(Span::styled(format!(" {title} "), Style::new().fg(Color::Gray).add_modifier(Modifier::BOLD)))
}

fn dim(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Style::new().fg(Color::DarkGray))
}

fn severity_colour(severity: i32) -> Color {
    match severity {
        21.. => Color::Magenta,
        17..=20 => Color::Red,
        13..=16 => Color::Yellow,
        _ => Color::Gray,
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, story: &Story, meter: &Meter) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let against = story.against_fault(story.now);
    let (phase, colour) = match (story.fault(), story.mended()) {
        _ if meter.closing => ("closing the last windows".to_owned(), Color::Gray),
        (Some(_), Some(mended)) if story.now >= mended => {
            let since = minutes(Duration::from_nanos(story.now.since(mended)));
            (format!("mended {since} ago"), Color::Green)
        }
        (Some(fault), _) if story.now >= fault => (format!("fault {against}"), Color::Red),
        (Some(_), _) => (format!("learning, fault in {}", against.trim_start_matches('-')), Color::Green),
        (None, _) => ("nothing is going to fail".to_owned(), Color::Green),
    };
    let phase = Span::styled(phase, Style::new().fg(colour));
    let name = Span::styled(story.scenario.name(), bold);
    let width = usize::from(area.width);
    let mut first = vec![Span::raw(" ")];
    if width >= 100 {
        first.push(Span::styled("Foreshock demo  ", bold.fg(Color::Cyan)));
    }
    first.extend([name, Span::raw("  ")]);
    if width >= ROOM_FOR_RATE.into() {
        first.push(Span::styled(format!("{} UTC", time_of_day(story.now)), bold));
        first.push(dim(format!("  ×{:.0}  ", meter.speed)));
    }
    if width >= 100 {
        first.push(dim(format!("seed {}  ", meter.seed)));
    }
    first.push(phase);
    let is_mended = story.mended().is_some_and(|mended| story.now >= mended);
    let what = if is_mended { story.scenario.cure() } else { story.scenario.story() };
    let second = Line::from(dim(format!(" {}", fit::cut(what, width.saturating_sub(2)))));
    frame.render_widget(Paragraph::new(vec![Line::from(first), second]), area);
}

fn draw_services(frame: &mut Frame<'_>, area: Rect, story: &Story, block: Block<'_>) {
    let inside = block.inner(area);
    let (has_curve, has_rate) = (inside.width >= ROOM_FOR_CURVE, inside.width >= ROOM_FOR_RATE);
    let mut header = vec!["", "service"];
    let mut widths = vec![Constraint::Length(1), Constraint::Length(14)];
    if has_rate {
        header.push("   req/s");
        widths.push(Constraint::Length(8));
    }
    header.extend([" errors", "    p95"]);
    widths.extend([Constraint::Length(7), Constraint::Length(8)]);
    if has_curve {
        header.push("latency");
        widths.push(Constraint::Min(20));
        widths.push(Constraint::Length(24));
    } else {
        widths.push(Constraint::Min(4));
    }
    header.push(if has_rate { "anomalies" } else { "" });
    // Where not all fit, those in trouble do.
    let room = usize::from(inside.height.saturating_sub(1));
    let mut shown: Vec<&ServiceView> = story.services.iter().collect();
    if shown.len() > room {
        shown.sort_by_key(|service| {
            (std::cmp::Reverse(service.root), std::cmp::Reverse(service.open.values().copied().max().unwrap_or(0)))
        });
        shown.truncate(room);
    }
    let rows = shown.into_iter().map(|service| service_row(service, has_rate, has_curve));
    let header = Row::new(header.into_iter().map(dim).map(Cell::from));
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(1).block(block), area);
}

fn service_row(service: &ServiceView, has_rate: bool, has_curve: bool) -> Row<'static> {
    let worst = service.open.values().copied().max();
    let colour = worst.map_or(Color::Green, severity_colour);
    let dot = Span::styled(if service.root { "◆" } else { "●" }, Style::new().fg(colour));
    let name = match service.root {
        true => Span::styled(service.name, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
        false => Span::raw(service.name),
    };
    let health = &service.health;
    let errors = Span::styled(
        format!("{:>5.1} %", health.error_share * 100.0),
        if health.error_share > 0.05 { Style::new().fg(Color::Red) } else { Style::new() },
    );
    let p95 = Span::styled(
        format!("{:>5.0} ms", health.p95_seconds * 1e3),
        if health.p95_seconds > 0.5 { Style::new().fg(Color::Red) } else { Style::new() },
    );
    let open = match (service.open.len(), service.root, has_rate) {
        (0, ..) => String::new(),
        (n, _, false) => n.to_string(),
        (n, true, true) => format!("{n} open, starts here"),
        (n, false, true) => format!("{n} open"),
    };
    let mut cells = vec![Cell::from(dot), Cell::from(name)];
    if has_rate {
        cells.push(Cell::from(format!("{:>8.1}", health.requests_per_second)));
    }
    cells.extend([Cell::from(errors), Cell::from(p95)]);
    if has_curve {
        cells.push(Cell::from(Span::styled(curve(service), Style::new().fg(colour))));
    }
    cells.push(Cell::from(Span::styled(open, Style::new().fg(colour))));
    Row::new(cells)
}

/// Bars on a logarithmic scale, from half the median to the largest, but at least eight times the lowest: so that noise
/// stays low and a rise stands out.
fn curve(service: &ServiceView) -> String {
    let known: Vec<f64> = service.curve.iter().copied().filter(|value| *value > 0.0).collect();
    let Some(least) = known.iter().copied().min_by(f64::total_cmp) else { return String::new() };
    let most = known.iter().copied().fold(least * 8.0, f64::max);
    let (low, range) = (least.ln(), (most / least).ln());
    let bar = |value: &f64| {
        if *value <= 0.0 {
            return ' ';
        }
        let share = ((value.ln() - low) / range).clamp(0.0, 1.0);
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    service.curve.iter().map(bar).collect()
}

/// What there is to say of incidents, in at most `most` lines of `width` columns: open ones first, the newest on top.
fn incident_lines(story: &Story, width: usize, most: usize) -> Vec<Line<'static>> {
    let mut shown: Vec<&IncidentView> = story.incidents.iter().rev().collect();
    shown.sort_by_key(|incident| !incident.is_open());
    let mut text: Vec<Line<'static>> = Vec::new();
    for incident in shown {
        let left = most.saturating_sub(text.len());
        if left == 0 {
            break;
        }
        let is_open = incident.is_open();
        let colour = if is_open { severity_colour(incident.severity) } else { Color::DarkGray };
        let mark = if is_open { "▲" } else { "✓" };
        let when = match incident.resolved {
            _ if width < ROOM_FOR_RATE.into() => story.against_fault(incident.resolved.unwrap_or(incident.opened)),
            Some(resolved) => format!("{} to {}", time_of_day(incident.opened), time_of_day(resolved)),
            None => format!("{} {}", time_of_day(incident.opened), story.against_fault(incident.opened)),
        };
        let lines = if is_open { MOST_SENTENCE_LINES } else { 2 }.min(left.saturating_sub(1));
        let mut head = vec![
            Span::styled(format!(" {mark} {} ", incident.state), Style::new().fg(colour).add_modifier(Modifier::BOLD)),
            dim(when),
        ];
        if !incident.root.is_empty() {
            head.push(dim(if width < ROOM_FOR_RATE.into() { "  in " } else { "  starts in " }));
            head.push(Span::styled(incident.root.clone(), Style::new().add_modifier(Modifier::BOLD)));
        }
        text.push(Line::from(head));
        let body = fit::wrap(&incident.sentence, width.saturating_sub(4), lines);
        text.extend(body.into_iter().map(|line| match is_open {
            true => Line::from(format!("   {line}")),
            false => Line::from(dim(format!("   {line}"))),
        }));
        if is_open && !incident.reason.is_empty() && text.len() < most {
            let reason = fit::cut(&incident.reason, width.saturating_sub(9));
            text.push(Line::from(vec![dim("   why: "), Span::raw(reason)]));
        }
        if !is_open && width >= 50 && text.len() < most {
            text.push(Line::from(dim(format!("   trace {}", incident.trace))));
        }
    }
    if text.is_empty() {
        text.push(Line::from(dim(" no incident")));
    }
    text
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, story: &Story, block: Block<'_>) {
    let inside = block.inner(area);
    let (room, width) = (usize::from(inside.height), usize::from(inside.width));
    let is_wide = width >= ROOM_FOR_CURVE.into();
    let skipped = story.lines.len().saturating_sub(room);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for line in story.lines.iter().skip(skipped) {
        let colour = severity_colour(line.severity);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut spans = match is_wide {
            true => vec![
                dim(format!(" {} {:>6} ", time_of_day(line.time), story.against_fault(line.time))),
                Span::styled(format!("{:<17} ", line.what), Style::new().fg(colour)),
                Span::styled(format!("{:<15}", line.service), bold),
            ],
            false => vec![
                dim(format!(" {:>6} ", story.against_fault(line.time))),
                Span::styled("● ", Style::new().fg(colour)),
            ],
        };
        let taken: usize = spans.iter().map(Span::width).sum();
        // The name stands in the column before.
        let named = format!("shop/{} ", line.service);
        let text = if is_wide { line.text.strip_prefix(&named).unwrap_or(&line.text) } else { &line.text };
        let room = width.saturating_sub(taken);
        spans.push(Span::raw(fit::cut(&fit::brief(text, room), room)));
        lines.push(Line::from(spans));
    }
    if lines.is_empty() {
        lines.push(Line::from(dim(" nothing out of the ordinary so far")));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, story: &Story, meter: &Meter) {
    let behind = story.sent.items.saturating_sub(story.forwarded.items);
    let mut parts = vec![dim(" q quits")];
    // As much as there is room for, the most useful first.
    for text in [
        meter.console.map(|console| format!("console http://{console}/")),
        Some(format!("sent {}, on the way {behind}", story.sent.items)),
        Some(format!("{} anomalies", story.anomalies)),
        Some(format!("{:.0} items/s", meter.items_per_second)),
    ]
    .into_iter()
    .flatten()
    {
        let taken: usize = parts.iter().map(Span::width).sum();
        if taken + 3 + text.chars().count() <= usize::from(area.width) {
            parts.push(dim(format!(" · {text}")));
        }
    }
    frame.render_widget(Paragraph::new(Line::from(parts)), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::backend::Notice;
    use foreshock_engine::UnixNanos;
    use foreshock_simulator::Scenario;
    use ratatui::{Terminal, backend::TestBackend};

    fn rows(width: u16, height: u16) -> Vec<String> {
        let start = UnixNanos(1_789_999_200_000_000_000);
        let mut story = Story::new(Scenario::DatabaseSaturation, start);
        let attributes = [
            ("foreshock.incident.id", "1"),
            ("foreshock.incident.state", "open"),
            ("foreshock.incident.root_cause.service", "shop/inventory"),
            ("foreshock.incident.root_cause.summary", "its own time rose most and its callers wait for it"),
        ];
        let sentence = "shop/inventory p95 latency rose from 16.3 ms to 1.53 s at 14:42; 100 % of its error logs are \
                        'slow query on inventory-db: stock took <*>'; 8 services affected.";
        story.event(&Notice {
            name: "foreshock.incident.opened".to_owned(),
            time: start.plus(2_600_000_000_000),
            severity: 17,
            body: sentence.to_owned(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Notice::default()
        });
        story.now = start.plus(2_700_000_000_000);
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        let console = Some("127.0.0.1:4320".parse().expect("an address"));
        let meter = Meter { console, ..Meter::default() };
        terminal.draw(|frame| draw(frame, &story, &meter)).expect("draws");
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    /// At every usual size a person must find the phase, the service where it starts, and a sentence that ends in a whole word or
    /// with an ellipsis.
    #[test]
    fn every_size_shows_what_matters() {
        for (width, height) in [(40, 12), (60, 20), (80, 24), (100, 30), (120, 40), (200, 60)] {
            let rows = rows(width, height);
            let screen = rows.join("\n");
            for part in ["database-saturation", "fault +5:00", "▲ open", "inventory", "q quits"] {
                assert!(screen.contains(part), "{width}x{height} lacks `{part}`\n{screen}");
            }
            let head = rows.iter().position(|row| row.contains("▲ open")).expect("the incident");
            assert!(rows[head + 1].contains("shop/inventory p95"), "{width}x{height}\n{screen}");
            let all = screen.contains("affected.");
            assert!(all || screen.contains('…'), "{width}x{height}\n{screen}");
            assert!(all || width < 80, "{width}x{height} has room for the sentence\n{screen}");
        }
    }

    /// A terminal can be made as small as one likes while the demo runs.
    #[test]
    fn tiny_terminals_do_no_harm() {
        for (width, height) in [(1, 1), (2, 5), (10, 3), (300, 2), (5, 50)] {
            rows(width, height);
        }
    }
}
