//! Scripted stories told to the anomaly and incident state machines, and what must come out.
//!
//! A story here goes through public functions only, window by window, under a clock of its own that starts at 10:00 UTC.

mod anomalies;
mod families;
mod incidents;
mod later;
mod lifecycle;
mod properties;
mod shop;
mod size;
mod waking;
