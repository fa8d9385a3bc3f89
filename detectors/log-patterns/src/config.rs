//! Owns what a user can set.

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// Surprise from which a window is odd: 5 is one window in 100,000.
        pub threshold: f64 = 5.0, in 2.0..=15.0;
        /// Odd windows that make a finding about a rate.
        pub persistence: u32 = 2, in 1..=100;
        /// Windows of a service in which every pattern is taken for known.
        pub warmup_windows: u32 = 60, in 10..=100_000;
        /// Windows of a pattern before its rate is judged.
        pub min_windows: u32 = 60, in 10..=100_000;
        /// Windows for which a pattern is new.
        pub novel_windows: u32 = 60, in 2..=100_000;
        /// Windows after the end of a finding in which twice the persistence is asked for.
        pub refractory: u32 = 6, in 0..=10_000;
        /// So many new patterns at once are told as one.
        pub burst: u32 = 4, in 2..=64;
    }
}
