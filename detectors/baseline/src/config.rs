//! Owns what a user can set.

use foreshock_detector::settings::Kinds;

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// Surprise from which a window is odd: 5 is one window in 100,000.
        pub threshold: f64 = 5.0, in 2.0..=15.0;
        /// Odd windows that make a finding.
        pub persistence: u32 = 2, in 1..=100;
        /// Windows of a series that are only learned.
        pub min_windows: u32 = 30, in 10..=100_000;
        /// Windows after the end of a finding in which twice the persistence is asked for.
        pub refractory: u32 = 6, in 0..=10_000;
        /// After so long a new level is taken for normal.
        pub adapt_seconds: f64 = 3_600.0, in 60.0..=31_536_000.0;
        /// Kinds of series to judge; all by default.
        pub kinds: Kinds = Kinds::all();
    }
}
