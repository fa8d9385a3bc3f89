//! For authors of Foreshock detectors: the contract of `wit/detector.wit` as plain Rust.
//!
//! A detector implements [`Detector`] and names itself once with [`export!`]. The same code runs as a WebAssembly component
//! in Foreshock and natively in the author's own tests, and gives the same bits in both, as long as it keeps to two rules:
//! all mathematics comes from [`math`], and nothing depends on the order of a hash map.
//!
//! One that judges each series by itself implements [`SeriesJudge`] instead, and leaves the rest to [`PerSeries`]. [`settings!`] declares a
//! configuration with its defaults, ranges and JSON Schema.
//!
//! ```
//! use foreshock_detector::{About, Detector, Fault, Kind, Setup, State, Verdict, Window, testkit::Driver};
//!
//! /// Finds every value that is larger than all before it.
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Record {
//!     largest: f64,
//! }
//!
//! #[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct Config {
//!     /// What all values are taken to be above.
//!     floor: f64,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { floor: 0.0 }
//!     }
//! }
//!
//! impl Detector for Record {
//!     type Config = Config;
//!
//!     fn about() -> About {
//!         About {
//!             name: "record",
//!             version: "1.0.0",
//!             config_schema: foreshock_detector::config_schema::<Config>(),
//!             state_schema: 1,
//!             warmup_windows: 0,
//!             kinds: vec![Kind::Gauge],
//!         }
//!     }
//!
//!     fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
//!         match saved {
//!             Some(state) => state.decode(1),
//!             None => Ok(Self { largest: setup.config.floor }),
//!         }
//!     }
//!
//!     fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
//!         let mut verdict = Verdict::silent(window);
//!         for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
//!             *score = if row.value > self.largest { 3.0 } else { 0.0 };
//!             self.largest = self.largest.max(row.value);
//!         }
//!         Ok(verdict)
//!     }
//!
//!     fn snapshot(&self) -> Result<State, Fault> {
//!         State::encode(1, self)
//!     }
//! }
//!
//! foreshock_detector::export!(Record);
//!
//! # fn main() -> Result<(), Fault> {
//! let mut driver = Driver::<Record>::open("{}")?;
//! let queue = driver.series("queue.length", Kind::Gauge, &[]);
//! assert_eq!(driver.observe(&[(queue, 4.0)])?.scores, [3.0]);
//! assert_eq!(driver.observe(&[(queue, 2.0)])?.scores, [0.0]);
//! # Ok(())
//! # }
//! ```

pub mod benchkit;
pub mod log;
pub mod math;
mod model;
pub mod packed;
mod per_series;
#[cfg(feature = "schema")]
mod schema;
mod series_map;
pub mod settings;
pub mod stats;
pub mod testkit;
mod verdict;
mod window;
pub mod words;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod glue;

pub use model::{About, Fault, Setup, State};
pub use per_series::{Judgement, MAX_FINDINGS, PerSeries, SeriesJudge};
#[cfg(feature = "schema")]
pub use schema::config_schema;
pub use series_map::SeriesMap;
pub use verdict::{Finding, Forecast, Severity, Verdict, surprise};
pub use window::{Kind, Row, Series, Window};

/// What a detector is made of. One value is the model of one service.
///
/// The same calls with the same values must give the same answers: no clock, no randomness but [`Setup::seed`], and no
/// iteration over hash maps where their order can reach an answer or a saved state.
pub trait Detector: Sized {
    /// The configuration, parsed from JSON. Let it deny unknown fields and give each field a default.
    type Config: serde::de::DeserializeOwned;

    /// What this detector is. Always the same answer.
    fn about() -> About;

    /// A fresh model, or one that goes on from a saved state.
    ///
    /// Series are not known by id across a restart: find them again by name, kind and attributes as they are opened.
    /// Where the detector is replaced while Foreshock runs, the state may come from another version of it, or from another configuration.
    ///
    /// # Errors
    /// [`Fault::BadConfig`] where the configuration makes no sense, [`Fault::BadState`] where the saved state is of no use:
    /// the host then opens a fresh model.
    fn open(setup: Setup<Self::Config>, saved: Option<State>) -> Result<Self, Fault>;

    /// Takes one closed window and judges it. Windows come in order of time.
    ///
    /// # Errors
    /// [`Fault::Internal`] if it can't go on; the host then drops this model and later opens one from the last snapshot.
    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault>;

    /// What was learned so far. Does not change the model.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the state can't be written.
    fn snapshot(&self) -> Result<State, Fault>;
}

/// Makes the given [`Detector`] the one that this component exports. Does nothing when not compiled for WebAssembly, so that
/// the same crate can be tested natively.
#[macro_export]
macro_rules! export {
    ($detector:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type ExportedDetector = $crate::glue::Plugin<$detector>;
    $crate::glue::bindings::export_plugin!(ExportedDetector with_types_in $crate::glue::bindings);
        };
    };
}
