//! From anomalies to incidents: grouped over the service graph, ranked, explained.

pub mod trace;

pub use trace::{IncidentSpan, SpanValue, spans};
