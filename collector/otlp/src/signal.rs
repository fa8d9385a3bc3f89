//! The three signals of OTLP that Foreshock handles.

use std::fmt;

/// Which of OTLP's signals a request carries.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Signal {
    /// `ExportMetricsServiceRequest`.
    Metrics,
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportTraceServiceRequest`.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// `metrics`, `logs` or `traces`: the name in pipelines and in OTLP/HTTP paths.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// What one item of the signal is called in the names of own metrics, such as `foreshock_receiver_accepted_log_records_total`.
    #[must_use]
    pub fn items(self) -> &'static str {
        match self {
            Self::Metrics => "metric_points",
            Self::Logs => "log_records",
            Self::Traces => "spans",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
