//! Owns what a user can set.

foreshock_detector::settings! {
    /// What a user can set.
    pub struct Config {
        /// How many times its habitual oddness a service must reach. 6.5 is balanced, 10 quiet. It rises by itself up to
        /// twice where a service reaches it every day.
        pub threshold: f64 = 10.0, in 2.0..=100.0;
        /// Windows of a service that are only learned.
        pub min_windows: u32 = 300, in 100..=100_000;
        /// Series of which is learned how they go together; further ones are judged by themselves. Takes about 40 bytes
        /// for each pair.
        pub related_series: u32 = 60, in 0..=100;
        /// Series followed for each service.
        pub max_series: u32 = 1_000, in 1..=10_000;
    }
}
