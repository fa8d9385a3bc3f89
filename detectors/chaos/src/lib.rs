//! A detector that behaves well until it sees a large value, and then does one of the things that a detector must not do.
//!
//! For the tests of the sandbox and of the whole program; it is not among the detectors that a configuration can name.

use foreshock_detector::{About, Detector, Fault, Finding, Forecast, Setup, Severity, State, Verdict, Window, log};
use serde::{Deserialize, Serialize};

/// What it does when it sees the trigger.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Behaves well.
    #[default]
    Nothing,
    /// Never returns.
    Loop,
    /// Panics.
    Trap,
    /// Answers `internal`.
    Fault,
    /// Takes memory until there is none.
    Memory,
    /// Calls itself until the stack ends.
    Recursion,
    /// One score too many.
    WrongLength,
    /// A score of infinity.
    InfiniteScore,
    /// A score above 16.
    LargeScore,
    /// A finding on a series that does not exist.
    UnknownId,
    /// A finding that names a series twice.
    RepeatedId,
    /// A finding that names no series.
    NoId,
    /// A finding whose kind has characters that are not allowed.
    BadKind,
    /// A finding that observed infinity.
    InfiniteObserved,
    /// A finding whose lower bound is above the upper one.
    CrossedBounds,
    /// A forecast for the past.
    BackwardForecast,
    /// A summary of 513 bytes.
    LongSummary,
    /// 17 pieces of evidence.
    MuchEvidence,
    /// 257 findings.
    Flood,
    /// More scores than the host is willing to read.
    HugeVerdict,
    /// A good finding whose texts have control characters.
    ControlCharacters,
    /// 10,000 long lines for the log, and a good verdict.
    LogFlood,
    /// One line for the log, then some work, and a good verdict.
    LogOnce,
    /// Panics in the next snapshot.
    TrapInSnapshot,
    /// Gives a snapshot that is larger than the host is willing to read.
    HugeSnapshot,
}

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What it does when it sees the trigger.
    pub act: Act,
    /// The schema of the states that it writes and reads.
    pub state_schema: u32,
    /// It acts in windows with a value above this.
    pub trigger: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { act: Act::Nothing, state_schema: STATE_SCHEMA, trigger: 1000.0 }
    }
}

/// The model: counts windows, and says so in its scores.
#[derive(Debug)]
pub struct Chaos {
    config: Config,
    learned: Learned,
    snapshot_act: Act,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Learned {
    windows: u64,
}

const STATE_SCHEMA: u32 = 1;

impl Detector for Chaos {
    type Config = Config;

    fn about() -> About {
        About {
            name: "chaos",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: include_str!("../config.schema.json").into(),
            state_schema: STATE_SCHEMA,
            warmup_windows: 0,
            kinds: vec![],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        let learned = saved.map_or_else(|| Ok(Learned::default()), |state| state.decode(setup.config.state_schema))?;
        Ok(Self { config: setup.config, learned, snapshot_act: Act::Nothing })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.learned.windows += 1;
        // The score tells a test how many windows this model has learned from.
        let score = (self.learned.windows % 16) as f64;
        let mut verdict = Verdict { scores: vec![score; window.len()], findings: vec![] };
        if window.values.iter().any(|&value| value > self.config.trigger) {
            self.act(window, &mut verdict)?;
        }
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        match self.snapshot_act {
            Act::TrapInSnapshot => panic!("the snapshot panics as it was asked to"),
            Act::HugeSnapshot => Ok(State { schema: STATE_SCHEMA, bytes: vec![0; 12 << 20] }),
            _ => State::encode(self.config.state_schema, &self.learned),
        }
    }
}

impl Chaos {
    fn act(&mut self, window: &Window, verdict: &mut Verdict) -> Result<(), Fault> {
        let good = Finding {
            ids: window.ids.iter().take(1).copied().collect(),
            kind: "spike".into(),
            severity: Severity::Warning,
            score: 4.0,
            summary: "a value above the trigger".into(),
            ..Finding::default()
        };
        let findings = &mut verdict.findings;
        match self.config.act {
            Act::Nothing => {}
            Act::Loop => endless(),
            Act::Trap => panic!("it panics as it was asked to"),
            Act::Fault => return Err(Fault::Internal("it fails as it was asked to".into())),
            Act::Memory => take_all_memory(),
            Act::Recursion => verdict.scores[0] = descend(&window.values, 0),
            Act::WrongLength => verdict.scores.push(0.0),
            Act::InfiniteScore => verdict.scores[0] = f64::INFINITY,
            Act::LargeScore => verdict.scores[0] = 16.5,
            Act::UnknownId => findings.push(Finding { ids: vec![u32::MAX], ..good }),
            Act::RepeatedId => findings.push(Finding { ids: [&good.ids[..], &good.ids].concat(), ..good }),
            Act::NoId => findings.push(Finding { ids: vec![], ..good }),
            Act::BadKind => findings.push(Finding { kind: "Spike!".into(), ..good }),
            Act::InfiniteObserved => findings.push(Finding { observed: Some(f64::INFINITY), ..good }),
            Act::CrossedBounds => findings.push(Finding { lower: Some(2.0), upper: Some(1.0), ..good }),
            Act::BackwardForecast => {
                let past = window.start_ns;
                let forecast = Forecast { limit: 1.0, reaches_ns: past, earliest_ns: past, latest_ns: past };
                findings.push(Finding { forecast: Some(forecast), ..good });
            }
            Act::LongSummary => findings.push(Finding { summary: "x".repeat(513), ..good }),
            Act::MuchEvidence => findings.push(Finding { evidence: vec![("k".into(), "v".into()); 17], ..good }),
            Act::Flood => findings.extend(std::iter::repeat_n(good, 257)),
            Act::HugeVerdict => verdict.scores = vec![0.0; 1 << 20],
            Act::ControlCharacters => findings.push(Finding {
                summary: "line\nbreak \u{1b}[31m\u{202e}red".into(),
                evidence: vec![("ke\ty".into(), "va\0lue".into())],
                ..good
            }),
            Act::LogFlood => (0..10_000).for_each(|_| log::error(&"flood\r\n".repeat(1000))),
            Act::LogOnce => {
                log::info("it logs once, as it was asked to");
                // A loop looks at the deadline each time round.
                for round in 0..1000_u32 {
                    std::hint::black_box(round);
                }
            }
            Act::TrapInSnapshot | Act::HugeSnapshot => self.snapshot_act = self.config.act,
        }
        Ok(())
    }
}

#[expect(clippy::empty_loop, reason = "that is the point")]
fn endless() {
    loop {}
}

fn take_all_memory() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

/// Never ends: the values are never all equal to their own depth. Adds after the call, so that it is no loop.
#[expect(unconditional_recursion, reason = "that is the point")]
fn descend(values: &[f64], depth: u64) -> f64 {
    std::hint::black_box(values);
    1.0 + descend(values, std::hint::black_box(depth + 1))
}

foreshock_detector::export!(Chaos);
