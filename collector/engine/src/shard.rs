//! What leaves a shard on its way to the correlator.

use crate::{
    event::{Anomaly, AnomalyChange},
    facts::WindowFacts,
    time::UnixNanos,
    verdict::DetectorHealth,
    window::ServiceKey,
};
use std::sync::Arc;

/// One thing that a shard has to say. Each belongs to one service and one point of event time.
#[derive(Clone, Debug)]
pub enum ShardOutput {
    /// A window of a service was closed. Comes before the anomalies that were seen in it.
    Window(Box<WindowFacts>),
    /// An anomaly began, went on or ended.
    Anomaly {
        /// What happened.
        change: AnomalyChange,
        /// When: the end of the window in which it was seen.
        time: UnixNanos,
        /// The anomaly after it.
        anomaly: Arc<Anomaly>,
    },
    /// A detector failed or recovered.
    Health(DetectorHealth),
    /// The service was evicted: too many services, or silent for too long.
    Forgotten {
        /// Which one.
        service: ServiceKey,
        /// When.
        time: UnixNanos,
    },
}

impl ShardOutput {
    /// The service it is about.
    #[must_use]
    pub fn service(&self) -> &ServiceKey {
        match self {
            Self::Window(facts) => &facts.service,
            Self::Anomaly { anomaly, .. } => &anomaly.service,
            Self::Health(health) => &health.service,
            Self::Forgotten { service, .. } => service,
        }
    }

    /// The point of event time it belongs to.
    #[must_use]
    pub fn time(&self) -> UnixNanos {
        match self {
            Self::Window(facts) => facts.end,
            Self::Anomaly { time, .. } | Self::Forgotten { time, .. } => *time,
            Self::Health(health) => health.time,
        }
    }
}
