//! `foreshock demo`: a small shop that goes wrong, in front of the real program, on this machine alone.
//!
//! The simulator sends OTLP over a loopback socket into the real receiver. Everything behind it is what `foreshock run`
//! starts: forwarding, detectors in their sandbox, incidents. A second socket plays the backend; what the terminal shows of
//! anomalies and incidents is what arrived there. Only the clock is the story's, so an hour takes two minutes.

mod backend;
mod clock;
mod feeder;
mod hop;
mod plain;
mod screen;
mod story;
mod terminal;

use self::{
    backend::Backend,
    clock::StoryClock,
    feeder::{Feeder, Pace},
    hop::Hop,
    screen::Meter,
    story::Story,
    terminal::Terminal,
};
use anyhow::{Context, Result};
use foreshock_engine::UnixNanos;
use foreshock_simulator::{Scenario, Shop};
use std::{
    io::{IsTerminal, Write},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep};

/// How long the ordinary lead-in and the rest of a story take, in real time, unless a speed is asked for.
const LEAD_IN: Duration = Duration::from_secs(45);
const REST: Duration = Duration::from_secs(75);

/// After the story the clock goes on for so long, so that the last windows are closed.
const CLOSING: Duration = Duration::from_secs(90);

/// How often the screen is drawn, and how often services report to it.
const FRAME: Duration = Duration::from_millis(100);
const HEALTH: Duration = Duration::from_millis(500);

/// A sign of life in plain output, in simulated time.
const PROGRESS: Duration = Duration::from_secs(300);

/// The arguments of `foreshock demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What goes wrong: deployment-drift, database-saturation, memory-leak, disk-filling, dependency-outage, traffic-surge
    /// or calm.
    #[arg(long, value_name = "NAME", default_value = "database-saturation")]
    pub scenario: Scenario,
    /// Simulated seconds per second. By default the whole story takes about two minutes.
    #[arg(long, value_name = "N", value_parser = speed)]
    pub speed: Option<f64>,
    /// Another seed gives the same story with other details.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Send everything on to a real OTLP/gRPC backend too, such as http://localhost:4317.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Lines instead of the screen, as where the output is no terminal.
    #[arg(long)]
    pub plain: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && (0.1..=10_000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("not between 0.1 and 10000".to_owned())
    }
}

/// Plays a story to its end, or until somebody interrupts it, and sums it up.
///
/// # Errors
/// If a socket can't be opened, or a part of the program fails. A missed fault is no error, it is the summary's subject.
pub(crate) fn start(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    let plan = arguments.scenario.plan();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the system's clock is before 1970")?;
    // The story ends about now, so that a real backend takes it for recent.
    let start =
        u64::try_from(now.saturating_sub(plan.total()).as_nanos()).context("the system's clock is too far ahead")?;
    let shop = Shop::with_plan(arguments.scenario, arguments.seed, start, plan);
    let pace = match arguments.speed {
        Some(speed) => Pace { lead_in: speed, fault: speed },
        None => Pace {
            lead_in: plan.lead_in.as_secs_f64() / LEAD_IN.as_secs_f64(),
            fault: (plan.ramp + plan.hold).as_secs_f64() / REST.as_secs_f64(),
        },
    };
    let backend = Backend::start().await?;
    let clock = Arc::new(StoryClock::new(UnixNanos(shop.now())));
    let hop = Hop::start(Arc::clone(&clock), backend.address, arguments.endpoint.as_deref()).await?;
    let mut play = Play {
        story: Story::new(&shop),
        feeder: Feeder::new(shop, Arc::clone(&clock), pace, hop.receiver())?,
        clock,
        backend,
        hop,
        view: View::open(arguments.plain)?,
        meter: Meter { seed: arguments.seed, ..Meter::default() },
        drawn: Instant::now(),
        measured: Measured::default(),
    };
    play.opening(arguments.seed)?;
    let interrupted = play.perform().await?;
    play.finish(interrupted).await
}

/// Everything that takes part.
struct Play {
    story: Story,
    feeder: Feeder,
    clock: Arc<StoryClock>,
    backend: Backend,
    hop: Hop,
    view: View,
    meter: Meter,
    drawn: Instant,
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
    fn opening(&self, seed: u64) -> Result<()> {
        match self.view {
            View::Screen(_) => Ok(()),
            View::Lines { .. } => print(&plain::opening(&self.story, seed, &self.hop.receiver().to_string())),
        }
    }

    /// Plays until the end. Answers whether it was interrupted.
    async fn perform(&mut self) -> Result<bool> {
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let mut health_due = Instant::now();
        while !self.feeder.finished() {
            // While the detectors are behind, the story waits for them: a demo must not shed.
            let step = async {
                while self.hop.is_behind() {
                    sleep(Duration::from_millis(5)).await;
                }
                self.clock.set_speed(self.feeder.speed());
                self.feeder.step().await
            };
            tokio::select! {
                done = step => done?,
                signal = &mut interrupt => {
                    signal.context("can't listen for interrupts")?;
                    return Ok(true);
                }
            }
            if Instant::now() >= health_due {
                health_due = Instant::now() + HEALTH;
                if let Some(health) = self.feeder.take_health() {
                    self.story.health(&health);
                }
            }
            if self.show()? {
                return Ok(true);
            }
        }
        self.close().await
    }

    /// Lets the clock run on until the last windows are closed and all has arrived. Answers whether it was interrupted.
    async fn close(&mut self) -> Result<bool> {
        self.meter.closing = true;
        let end = self.clock.now();
        let patience = Instant::now() + Duration::from_secs(30);
        for second in 1..=CLOSING.as_secs() {
            self.clock.advance(end.plus(second * 1_000_000_000));
            sleep(Duration::from_millis(20)).await;
            if self.show()? {
                return Ok(true);
            }
        }
        while (self.backend.forwarded() != self.feeder.sent() || self.hop.is_behind()) && Instant::now() < patience {
            sleep(Duration::from_millis(20)).await;
            if self.show()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes in what arrived and shows it. Answers whether the person wants to stop.
    fn show(&mut self) -> Result<bool> {
        self.story.now = self.clock.now();
        self.take_in()?;
        match &mut self.view {
            View::Lines { next_progress } => {
                let elapsed = Duration::from_nanos(self.story.now.since(self.story.start));
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

    fn take_in(&mut self) -> Result<()> {
        self.story.sent = self.feeder.sent();
        self.story.forwarded = self.backend.forwarded();
        self.story.crossing = self.feeder.shop().threshold_crossing().cloned();
        for notice in self.backend.take_events() {
            if let Some(line) = self.story.event(&notice)
                && let View::Lines { .. } = self.view
            {
                print(&plain::line(&self.story, &line))?;
            }
        }
        Ok(())
    }

    /// Ends all parts in their order, and sums up.
    async fn finish(mut self, interrupted: bool) -> Result<()> {
        let sent = self.feeder.sent();
        let Self { feeder, hop, .. } = self;
        let (shop, unsent) = feeder.finish().await;
        let shed = hop.shed();
        hop.stop().await?;
        // Events of the last epoch, and the traces of incidents that the end closed.
        self.story.sent = sent;
        self.story.forwarded = self.backend.forwarded();
        self.story.crossing = shop.threshold_crossing().cloned();
        let mut last = Vec::new();
        for notice in self.backend.take_events() {
            last.extend(self.story.event(&notice));
        }
        let is_lines = matches!(self.view, View::Lines { .. });
        // Gives the terminal back before the summary is written.
        drop(self.view);
        for line in last.iter().filter(|_| is_lines) {
            print(&plain::line(&self.story, line))?;
        }
        let incident_spans = self.backend.incident_spans();
        self.backend.stop().await?;
        if interrupted {
            print("\nInterrupted.")?;
        }
        if unsent > 0 {
            print(&format!("{unsent} requests of the shop were not sent any more."))?;
        }
        print(&plain::summary(&self.story, incident_spans, shed))
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
