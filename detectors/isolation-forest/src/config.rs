//! Owns what a user can set.

use foreshock_detector::Fault;

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// Share of the training windows that is taken for odd already.
        pub contamination: f64 = 0.005, in 0.0..=0.2;
        /// Trees of a forest; made a multiple of 8.
        pub trees: u32 = 32, in 8..=256;
        /// Windows that each tree is grown on.
        pub sample: u32 = 128, in 16..=1_024;
        /// Windows kept for training.
        pub training_window: u32 = 720, in 64..=4_096;
        /// Windows of a series before its first forest.
        pub minimum_samples: u32 = 60, in 32..=4_096;
        /// Windows after which a forest is grown anew.
        pub retrain_every: u32 = 720, in 10..=100_000;
        /// Surprise from which a window is odd: 5 is one window in 100,000.
        pub threshold: f64 = 5.0, in 2.0..=15.0;
        /// Odd windows that make a finding.
        pub persistence: u32 = 2, in 1..=100;
        /// Windows after the end of a finding in which twice the persistence is asked for.
        pub refractory: u32 = 6, in 0..=10_000;
        /// Series with a forest, about 5 KB each; further ones get no score.
        pub max_series: u32 = 500, in 1..=10_000;
    }
}

impl Config {
    /// As [`Config::check`], and that a first forest can be grown on what is kept.
    pub(crate) fn check_together(&self) -> Result<(), Fault> {
        self.check()?;
        if self.minimum_samples > self.training_window {
            return Err(Fault::BadConfig("minimum_samples must be at most training_window".to_owned()));
        }
        Ok(())
    }
}
