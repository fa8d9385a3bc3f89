//! Drives a detector natively in its benches: calm windows without end, after it has learned.

use crate::{
    Detector, Fault, Kind, Verdict, Window,
    testkit::{Driver, Noise},
};

/// Windows that are learned before anything is measured, and that then come again and again.
const WINDOWS: usize = 1_000;

/// A detector that has learned, and calm windows for it.
#[derive(Debug)]
pub struct Calm<D> {
    driver: Driver<D>,
    windows: Vec<Window>,
    next: usize,
}

impl<D: Detector> Calm<D> {
    /// A detector with this configuration (JSON) that has seen 1,000 windows of so many series of one kind, each named `calls`.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn new(config: &str, series: usize, kind: Kind) -> Result<Self, Fault> {
        let mut driver = Driver::<D>::open(config)?;
        let ids: Vec<u32> =
            (0..series).map(|k| driver.series("calls", kind, &[("foreshock.template.id", &k.to_string())])).collect();
        let mut noise = Noise::new(1);
        let mut windows = Vec::with_capacity(WINDOWS);
        for _ in 0..WINDOWS {
            let counts = ids.iter().map(|id| (*id, noise.poisson(20.0).max(1.0)));
            let rows: Vec<_> = counts.map(|(id, n)| (id, n / 10.0, n / 10.0, n / 10.0, n as u64)).collect();
            let mut window = driver.window_of(&rows);
            driver.feed(&window)?;
            window.opened.clear();
            windows.push(window);
        }
        Ok(Self { driver, windows, next: 0 })
    }

    /// Judges the next window. Time goes in a circle, which no detector minds for its cost.
    ///
    /// # Errors
    /// What the detector answers.
    pub fn observe(&mut self) -> Result<Verdict, Fault> {
        self.next = (self.next + 1) % self.windows.len();
        self.driver.detector().observe(&self.windows[self.next])
    }
}
