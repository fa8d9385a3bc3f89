//! The shape of a self-check: which anomalies, put into a copy of a service's windows, its detectors would have seen.

use serde::{Deserialize, Serialize};

/// The check of one service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Check {
    /// `namespace/name`, or `name`.
    pub service: String,
    /// End of the last live window that was copied, RFC 3339.
    pub checked: String,
    /// Length of a window in seconds.
    pub window_seconds: f64,
    /// The series that anomalies were put into.
    pub series: Vec<String>,
    /// What each detector saw, in the order of the configuration; then `data-quality`, the engine's own watch over silence.
    pub detectors: Vec<DetectorCheck>,
    /// What all together would have opened an anomaly for.
    pub anomalies: Vec<Trial>,
}

/// What one detector saw.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DetectorCheck {
    /// Its name in the configuration.
    pub detector: String,
    /// By kind of anomaly, of the series that it looks at.
    pub trials: Vec<Trial>,
    /// Series that it is blind on, by reason.
    pub blind: Vec<Blind>,
}

/// Anomalies of one kind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Trial {
    /// `spike`, `dip`, `level_shift`, `trend`, `variance`, `missing_data` or `new_log_pattern`.
    pub kind: String,
    /// Series that one was put into.
    pub tried: u64,
    /// Series on which it was seen.
    pub detected: u64,
    /// From its beginning until the end of the window in which it was seen, the median, in seconds.
    pub delay_seconds: Option<f64>,
}

/// Series on which a detector sees nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Blind {
    /// `warming_up`: it gives the series no score yet. `flat`: the series stands still, and it saw nothing put into it. `broken`: the
    /// detector failed or is paused.
    pub reason: String,
    /// How many.
    pub series: u64,
}
