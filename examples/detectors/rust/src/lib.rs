//! Tells when a series leaves its usual level.
//!
//! The rule is a simple one, to be replaced by yours: a moving mean and deviation for each series, and a finding where a value
//! is more than `deviations` deviations off.

use foreshock_detector::{
    About, Detector, Fault, Finding, Kind, Row, Series, SeriesMap, Setup, Severity, State, Verdict, Window,
    config_schema, math,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Layout of the saved state. Raise it whenever [`Level`] changes.
const STATE_SCHEMA: u32 = 1;
/// How fast the level follows: the last twenty windows weigh most.
const MEMORY: f64 = 0.05;
/// Series followed per service; further ones get no score.
const MOST_SERIES: usize = 10_000;

/// What a user can set.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many deviations off its level a value must be.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub deviations: f64,
    /// Windows of a series that are only learned.
    #[schemars(range(min = 2, max = 100_000))]
    pub warmup: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { deviations: 6.0, warmup: 30 }
    }
}

/// The model of one service.
#[derive(Debug)]
pub struct LevelWatch {
    config: Config,
    series: SeriesMap<Level>,
}

/// What was learned of one series; this is what is saved.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Level {
    seen: u32,
    mean: f64,
    variance: f64,
}

impl Detector for LevelWatch {
    type Config = Config;

    fn about() -> About {
        About {
            name: "level-watch",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: config_schema::<Config>(),
            state_schema: STATE_SCHEMA,
            warmup_windows: Config::default().warmup,
            kinds: vec![Kind::Gauge, Kind::Rate, Kind::Quantile, Kind::SpanRate, Kind::SpanDuration],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        let series = match saved {
            Some(state) => state.decode::<SeriesMap<Level>>(STATE_SCHEMA)?.with_limit(MOST_SERIES),
            None => SeriesMap::new(MOST_SERIES),
        };
        Ok(Self { config: setup.config, series })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        // Forgets series that went away and finds the new ones again that were known before a restart.
        self.series.follow(window, |_| Level::default());
        let mut verdict = Verdict::silent(window);
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, level)) = self.series.get_mut(row.id) else { continue };
            if level.seen >= self.config.warmup {
                let off = (row.value - level.mean) / level.spread();
                *score = surprise(off);
                if math::fabs(off) > self.config.deviations && verdict.findings.len() < 256 {
                    verdict.findings.push(level.finding(series, row, *score, self.config.deviations));
                }
            }
            level.learn(row.value, &self.config);
        }
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(STATE_SCHEMA, &self.series)
    }
}

foreshock_detector::export!(LevelWatch);

impl Level {
    /// The deviation, never less than a thousandth of the level, so that a constant series may move a little.
    fn spread(&self) -> f64 {
        math::sqrt(self.variance).max(math::fabs(self.mean) / 1000.0).max(1e-9)
    }

    /// Moves the level towards a value; one that is far off counts only as far as it is believed.
    fn learn(&mut self, value: f64, config: &Config) {
        let reach = config.deviations * self.spread();
        let value =
            if self.seen >= config.warmup { value.max(self.mean - reach).min(self.mean + reach) } else { value };
        self.seen = self.seen.saturating_add(1);
        let weight = (1.0 / f64::from(self.seen)).max(MEMORY);
        let off = value - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        if !self.mean.is_finite() || !self.variance.is_finite() {
            // Numbers near the end of their range leave nothing to compare with: begin anew.
            *self = Self::default();
        }
    }

    fn finding(&self, series: &Series, row: Row, score: f64, deviations: f64) -> Finding {
        let reach = deviations * self.spread();
        let name = &series.name[..series.name.floor_char_boundary(96)];
        // Numbers near the end of their range leave no room for bounds.
        let known = |number: f64| Some(number).filter(|number| number.is_finite());
        Finding {
            ids: vec![row.id],
            kind: if row.value > self.mean { "spike" } else { "dip" }.into(),
            severity: Severity::Warning,
            score,
            observed: Some(row.value),
            expected: known(self.mean),
            lower: known(self.mean - reach),
            upper: known(self.mean + reach),
            forecast: None,
            summary: format!("{name} is {:.4}, expected about {:.4}", row.value, self.mean),
            evidence: vec![("windows learned".into(), self.seen.to_string())],
        }
    }
}

/// How surprising it is to be so many deviations off: at most 2 exp(-off^2 / 2) of a normal distribution lies farther out
/// (Chernoff's bound).
fn surprise(off: f64) -> f64 {
    let score = off * off / (2.0 * core::f64::consts::LN_10) - core::f64::consts::LOG10_2;
    if score.is_nan() { f64::NAN } else { score.clamp(0.0, 16.0) }
}
