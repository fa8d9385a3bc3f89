//! A performance: moves the stage on, takes in what arrives, and shows it on the screen or as lines.

use super::{
    plain,
    screen::{self, Meter},
    stage::Stage,
    story::Story,
    summary::{self, Report},
    terminal::{self, Terminal},
};
use anyhow::{Context, Result};
use foreshock_engine::UnixNanos;
use foreshock_simulator::Scenario;
use std::{
    io::{IsTerminal, Write},
    path::Path,
    time::Duration,
};
use tokio::time::Instant;

/// How often the screen is drawn, and how often services report to it.
const FRAME: Duration = Duration::from_millis(100);
const HEALTH: Duration = Duration::from_millis(500);

/// A sign of life in plain output, in simulated time.
const PROGRESS: Duration = Duration::from_secs(300);

/// Columns of the summary where the output is no terminal.
const WIDTH: usize = 140;

/// Everything that takes part, and what is known of it.
pub(super) struct Play {
    story: Story,
    stage: Stage,
    view: View,
    meter: Meter,
    drawn: Instant,
    health_due: Instant,
    measured: Measured,
}

/// Where the output goes.
enum View {
    Screen(Terminal),
    Lines { next_progress: Duration },
}

/// For the rates on the screen.
#[derive(Default)]
struct Measured {
    at: Option<Instant>,
    now: UnixNanos,
    items: u64,
}

// === impl View ===

impl View {
    fn open(plain: bool) -> Result<Self> {
        if plain || !std::io::stdout().is_terminal() {
            return Ok(Self::Lines { next_progress: Duration::ZERO });
        }
        Ok(Self::Screen(Terminal::open()?))
    }
}

/// Writes to standard output. A reader that went away ends the demo.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("can't write to standard output")
}

// === impl Play ===

impl Play {
    /// Takes over the terminal, unless `plain` is asked for or there is none.
    pub(super) fn new(scenario: Scenario, seed: u64, start: UnixNanos, stage: Stage, plain: bool) -> Result<Self> {
        let story = Story::new(scenario, start);
        let view = View::open(plain)?;
        if let View::Lines { .. } = view {
            print(&plain::opening(&story, seed, stage.receiver(), stage.console()))?;
        }
        let meter = Meter { seed, console: stage.console(), ..Meter::default() };
        let now = Instant::now();
        Ok(Self { story, stage, view, meter, drawn: now, health_due: now, measured: Measured::default() })
    }

    /// Plays until the end. Answers whether it was interrupted.
    pub(super) async fn perform(&mut self) -> Result<bool> {
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        while !self.stage.is_over() {
            tokio::select! {
                done = self.stage.second() => done?,
                signal = &mut interrupt => {
                    signal.context("can't listen for interrupts")?;
                    return Ok(true);
                }
            }
            if self.show()? {
                return Ok(true);
            }
        }
        self.stage.settle().await;
        self.show()
    }

    /// Takes in what arrived and shows it. Answers whether the person wants to stop.
    fn show(&mut self) -> Result<bool> {
        self.story.now = self.stage.now();
        let elapsed = Duration::from_nanos(self.story.now.since(self.story.start));
        // Lines come by the story's time, so that they say the same in every run of a seed.
        let is_health_due = match &self.view {
            View::Screen(_) => Instant::now() >= self.health_due,
            View::Lines { next_progress } => elapsed >= *next_progress,
        };
        if is_health_due {
            self.health_due = Instant::now() + HEALTH;
            if let Some(health) = self.stage.take_health() {
                self.story.health(&health);
            }
        }
        self.story.sent = self.stage.sent();
        self.story.forwarded = self.stage.forwarded();
        self.story.crossing = self.stage.crossing().cloned();
        self.meter.closing = self.stage.is_closing();
        for notice in self.stage.take_events() {
            if let Some(line) = self.story.event(&notice)
                && let View::Lines { .. } = self.view
            {
                print(&plain::line(&self.story, &line))?;
            }
        }
        match &mut self.view {
            View::Lines { next_progress } => {
                if elapsed >= *next_progress {
                    *next_progress += PROGRESS;
                    print(&plain::progress(&self.story))?;
                }
                Ok(false)
            }
            View::Screen(terminal) => {
                if self.drawn.elapsed() < FRAME {
                    return Ok(false);
                }
                self.drawn = Instant::now();
                self.measured.update(&self.story, &mut self.meter);
                let (story, meter) = (&self.story, &self.meter);
                terminal.draw(|frame| screen::draw(frame, story, meter))?;
                terminal.wants_to_stop()
            }
        }
    }

    /// Ends all parts in their order, and sums up; as JSON to `report`, too, if given.
    pub(super) async fn finish(mut self, interrupted: bool, report: Option<&Path>) -> Result<()> {
        let is_lines = matches!(self.view, View::Lines { .. });
        // Gives the terminal back before the summary is written.
        drop(self.view);
        let ended = self.stage.finish().await?;
        // Events of the last tick.
        self.story.crossing.clone_from(&ended.crossing);
        for notice in &ended.events {
            if let Some(line) = self.story.event(notice)
                && is_lines
            {
                print(&plain::line(&self.story, &line))?;
            }
        }
        if interrupted {
            print("\nInterrupted.")?;
        }
        if let Some(path) = report {
            let report = Report::new(&self.story, self.meter.seed, &ended);
            let text = serde_json::to_string(&report).context("can't write the report")? + "\n";
            std::fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
        }
        let width = if std::io::stdout().is_terminal() { terminal::width().unwrap_or(WIDTH) } else { WIDTH };
        print(&summary::text(&self.story, &ended, width.min(WIDTH)))
    }
}

// === impl Measured ===

impl Measured {
    /// Smooths speed and throughput over about a second.
    fn update(&mut self, story: &Story, meter: &mut Meter) {
        let Some(at) = self.at else {
            *self = Self { at: Some(Instant::now()), now: story.now, items: story.sent.items };
            return;
        };
        let seconds = at.elapsed().as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        meter.speed = story.now.since(self.now) as f64 / 1e9 / seconds;
        meter.items_per_second = story.sent.items.saturating_sub(self.items) as f64 / seconds;
        *self = Self { at: Some(Instant::now()), now: story.now, items: story.sent.items };
    }
}
