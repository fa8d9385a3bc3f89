//! How good detection was, measured against labels.
//!
//! Pure functions of what a detector said: no input, no output, no clock, no randomness but from a seed that is given. What was
//! scored is a [`Track`], one for each series, or one for a whole service. The measures:
//!
//! - [`events`]: which labelled events were found and how late, and false-alarm episodes a day;
//! - [`overlap`]: alarms that last beside labels that last, for comparison with published figures;
//! - [`nab`]: the score of the Numenta Anomaly Benchmark, at a fixed threshold and at one that its rules fit;
//! - [`vus`]: the volume under the precision-recall surface, which needs no threshold;
//! - [`predictions`]: what became of forecasts;
//! - [`grouping`]: whether what belongs together was put together;
//! - [`naive`]: what chance, a constant and the size of the last step reach, to run through all of these.
//!
//! There is no point-adjusted F1: it credits a whole labelled window for a single alarm in it, so that random scores come out on
//! top (Kim et al. 2022, "Towards a rigorous evaluation of time-series anomaly detection").

pub mod events;
pub mod grouping;
pub mod nab;
pub mod naive;
pub mod overlap;
pub mod predictions;
mod track;
pub mod vus;

pub use track::{Alarm, Rows, Track, typical_step};
