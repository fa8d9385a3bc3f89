//! Owns what a user can set.

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// Surprise from which a window is odd: 4 is one window in 10,000.
        pub threshold: f64 = 4.0, in 2.0..=15.0;
        /// Odd windows that make a finding.
        pub persistence: u32 = 1, in 1..=100;
        /// Windows of a series that are only learned.
        pub min_windows: u32 = 150, in 80..=100_000;
        /// Windows after the end of a finding in which twice the persistence is asked for.
        pub refractory: u32 = 60, in 0..=10_000;
        /// Series followed for each service; further ones get no score.
        pub max_series: u32 = 2_000, in 1..=20_000;
    }
}
