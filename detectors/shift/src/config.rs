//! Owns what a user can set.

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// Surprise of the cumulative sum from which a change is told.
        pub threshold: f64 = 4.0, in 2.0..=15.0;
        /// Windows of a series that are only learned.
        pub min_windows: u32 = 60, in 20..=100_000;
        /// Windows over which the reference level and spread forget.
        pub memory_windows: u32 = 360, in 50..=100_000;
        /// Windows for which a change is told. One that turns back within them is dropped.
        pub tell_windows: u32 = 6, in 1..=1_000;
        /// Series followed for each service; further ones get no score.
        pub max_series: u32 = 10_000, in 1..=20_000;
    }
}
