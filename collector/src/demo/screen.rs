//! The demo on a terminal: services with their health, incidents, and what happens as it happens.

use super::story::{IncidentView, ServiceView, Story, time_of_day};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, BorderType, Cell, Paragraph, Row, Table, Wrap},
};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What changes from frame to frame beside the story.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// Simulated seconds per second, as measured.
    pub(super) speed: f64,
    /// Points, records and spans per second of real time.
    pub(super) items_per_second: f64,
    pub(super) seed: u64,
    /// Whether the story is over and the last windows are being closed.
    pub(super) closing: bool,
}

/// Draws one frame.
pub(super) fn draw(frame: &mut Frame<'_>, story: &Story, meter: &Meter) {
    let open = story.incidents.iter().filter(|incident| incident.is_open()).count();
    let incidents_height = if story.incidents.is_empty() { 3 } else { 3 + 3 * open.clamp(1, 3) as u16 };
    let services_height = story.services.len() as u16 + 3;
    let [head, services, incidents, lines, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(services_height),
        Constraint::Length(incidents_height),
        Constraint::Min(4),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, story, meter);
    draw_services(frame, services, story);
    draw_incidents(frame, incidents, story);
    draw_lines(frame, lines, story);
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
    let phase = match story.fault() {
        _ if meter.closing => Span::styled("closing the last windows", Style::new().fg(Color::Gray)),
        Some(fault) if story.now >= fault => {
            Span::styled(format!("fault {}", story.against_fault(story.now)), Style::new().fg(Color::Red))
        }
        Some(_) => Span::styled(
            format!("learning what is normal, fault in {}", story.against_fault(story.now).trim_start_matches('-')),
            Style::new().fg(Color::Green),
        ),
        None => Span::styled("nothing is going to fail", Style::new().fg(Color::Green)),
    };
    let first = Line::from(vec![
        Span::styled(" Foreshock demo ", bold.fg(Color::Cyan)),
        Span::styled(story.scenario.name(), bold),
        dim(format!("  seed {}   ", meter.seed)),
        Span::styled(format!("{} UTC", time_of_day(story.now)), bold),
        dim(format!("  ×{:.0}   ", meter.speed)),
        phase,
    ]);
    let second = Line::from(dim(format!(" {}", story.scenario.story())));
    frame.render_widget(Paragraph::new(vec![first, second]), area);
}

fn draw_services(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let header = Row::new(["", "service", "req/s", "errors", "p95", "latency", "anomalies"].map(dim).map(Cell::from));
    let rows = story.services.iter().map(service_row);
    let widths = [
        Constraint::Length(1),
        Constraint::Length(15),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Min(20),
        Constraint::Length(22),
    ];
    frame.render_widget(Table::new(rows, widths).header(header).column_spacing(1).block(panel("Services")), area);
}

fn service_row(service: &ServiceView) -> Row<'static> {
    let worst = service.open.values().copied().max();
    let colour = worst.map_or(Color::Green, severity_colour);
    let dot = Span::styled(if service.root { "◆" } else { "●" }, Style::new().fg(colour));
    let name = match service.root {
        true => Span::styled(service.name, Style::new().fg(colour).add_modifier(Modifier::BOLD)),
        false => Span::raw(service.name),
    };
    let health = &service.health;
    let errors = Span::styled(
        format!("{:>6.1} %", health.error_share * 100.0),
        if health.error_share > 0.05 { Style::new().fg(Color::Red) } else { Style::new() },
    );
    let p95 = Span::styled(
        format!("{:>6.0} ms", health.p95_seconds * 1e3),
        if health.p95_seconds > 0.5 { Style::new().fg(Color::Red) } else { Style::new() },
    );
    let open = match (service.open.len(), service.root) {
        (0, _) => dim(""),
        (n, true) => Span::styled(format!("{n} open · starts here"), Style::new().fg(colour)),
        (n, false) => Span::styled(format!("{n} open"), Style::new().fg(colour)),
    };
    Row::new([
        Cell::from(dot),
        Cell::from(name),
        Cell::from(format!("{:>6.1}", health.requests_per_second)),
        Cell::from(errors),
        Cell::from(p95),
        Cell::from(Span::styled(curve(service), Style::new().fg(colour))),
        Cell::from(open),
    ])
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

fn draw_incidents(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let mut text = Vec::new();
    // Open ones first, the newest on top.
    let mut shown: Vec<&IncidentView> = story.incidents.iter().rev().collect();
    shown.sort_by_key(|incident| !incident.is_open());
    for incident in shown.iter().take(3) {
        let colour = if incident.is_open() { severity_colour(incident.severity) } else { Color::DarkGray };
        let mark = if incident.is_open() { "▲" } else { "✓" };
        text.push(Line::from(vec![
            Span::styled(format!(" {mark} {} ", incident.state), Style::new().fg(colour).add_modifier(Modifier::BOLD)),
            dim(format!("{} {}  ", time_of_day(incident.opened), story.against_fault(incident.opened))),
            Span::raw(incident.sentence.clone()),
        ]));
        if incident.is_open() && !incident.reason.is_empty() {
            text.push(Line::from(vec![
                dim("   starts in "),
                Span::raw(incident.root.clone()),
                dim(format!(": {}", incident.reason)),
            ]));
        }
    }
    if text.is_empty() {
        text.push(Line::from(dim(" none")));
    }
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(panel("Incidents")), area);
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, story: &Story) {
    let room = usize::from(area.height.saturating_sub(2));
    let skipped = story.lines.len().saturating_sub(room);
    let lines: Vec<Line<'_>> = story
        .lines
        .iter()
        .skip(skipped)
        .map(|line| {
            let colour = severity_colour(line.severity);
            Line::from(vec![
                dim(format!(" {} {:>6} ", time_of_day(line.time), story.against_fault(line.time))),
                Span::styled(format!("{:<17} ", line.what), Style::new().fg(colour)),
                Span::styled(format!("{:<15}", line.service), Style::new().add_modifier(Modifier::BOLD)),
                Span::raw(line.text.clone()),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(panel("What happens")), area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, story: &Story, meter: &Meter) {
    let behind = story.sent.items.saturating_sub(story.forwarded.items);
    let line = Line::from(vec![
        dim(" sent "),
        Span::raw(story.sent.items.to_string()),
        dim("  forwarded "),
        Span::raw(story.forwarded.items.to_string()),
        dim(format!("  on the way {behind}  {:.0} items/s  {} anomalies  ", meter.items_per_second, story.anomalies)),
        dim("q quits"),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}
