//! A small shop that emits OTLP, with scenarios that go wrong.
//!
//! Eleven services call one another, databases, a queue and two parties outside. Every request is simulated: it takes a
//! connection, waits for a busy processor, fails because somebody behind it failed. So metrics, logs and traces tell one
//! story, and a fault spreads as it would: by latency that adds up, by errors that are passed on, by queues that grow.
//!
//! Nothing here reads a clock or the system's randomness: the same scenario, seed and start give the same bytes.
//!
//! ```
//! use foreshock_simulator::{Scenario, Shop};
//! use std::time::Duration;
//!
//! let mut shop = Shop::new(Scenario::DatabaseSaturation, 1, 1_790_000_000_000_000_000);
//! let exports = shop.step(Duration::from_secs(10));
//! assert!(exports.iter().any(|export| export.service == "inventory"));
//! let truth = shop.scenario().truth(shop.plan()).expect("something goes wrong here");
//! assert_eq!(truth.root, "inventory");
//! ```

mod calls;
mod export;
mod instance;
mod lines;
mod measure;
mod metrics;
mod model;
mod noise;
mod scenario;
mod seen;
mod services;
mod shop;
mod trouble;
mod walk;
mod watch;

pub use export::{Export, Request};
pub use scenario::{Crossing, Plan, Scenario, Truth, UnknownScenario};
pub use shop::Shop;
pub use watch::Health;
