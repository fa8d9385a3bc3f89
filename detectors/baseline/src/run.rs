//! Owns when surprise becomes a finding: persistence, hysteresis, and quiet after the end.

use crate::{Config, series::Opinion};
use serde::{Deserialize, Serialize};

/// Windows after which a change of level is no spike any more.
const SPIKE_WINDOWS: u32 = 6;
/// Windows below the threshold that end a run.
const END_WINDOWS: u32 = 2;

/// How long a series has been odd.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Run {
    /// Windows since it began.
    length: u32,
    /// Windows beyond the threshold.
    odd: u32,
    /// Windows in a row below it.
    calm: u32,
    above: bool,
    by_drift: bool,
    told: bool,
    /// How far off the first window was, in the series' unit.
    first_off: f64,
    /// Windows left in which more is asked for.
    refractory: u32,
}

/// What kind of change a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Spike,
    Dip,
    LevelShift,
    Trend,
}

impl Run {
    /// Windows since the series became odd; 0 if it is not.
    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// Takes the opinion on one window; says what to tell, if anything.
    pub(crate) fn step(&mut self, config: &Config, opinion: &Opinion, off: f64) -> Option<Change> {
        if opinion.score < config.threshold {
            return self.calm_window(config, opinion.score);
        }
        if self.length > 0 && self.above != opinion.above && !self.told {
            *self = Self { refractory: self.refractory, ..Self::default() };
        }
        if self.length == 0 {
            (self.above, self.by_drift, self.first_off) = (opinion.above, opinion.by_drift, off);
        }
        (self.length, self.odd, self.calm) = (self.length + 1, self.odd + 1, 0);
        let needed = if self.refractory > 0 { 2 * config.persistence } else { config.persistence };
        self.told |= self.odd >= needed;
        self.told.then(|| self.change(off))
    }

    fn calm_window(&mut self, config: &Config, score: f64) -> Option<Change> {
        self.refractory = self.refractory.saturating_sub(1);
        if self.length == 0 {
            return None;
        }
        self.length += 1;
        if score < 0.6 * config.threshold || !self.told {
            self.calm += 1;
        }
        if self.calm >= END_WINDOWS || (!self.told && self.calm > 0 && config.persistence > 1 && self.odd == 0) {
            let refractory = if self.told { config.refractory } else { self.refractory };
            *self = Self { refractory, ..Self::default() };
        }
        None
    }

    fn change(&self, off: f64) -> Change {
        let grows = self.length >= 2 * SPIKE_WINDOWS && off.abs() > 2.0 * self.first_off.abs();
        match (self.by_drift, self.above) {
            (true, _) if grows => Change::Trend,
            (true, _) => Change::LevelShift,
            (false, _) if self.length > SPIKE_WINDOWS => Change::LevelShift,
            (false, true) => Change::Spike,
            (false, false) => Change::Dip,
        }
    }
}
