//! Drives a detector natively in its author's tests: windows from rows, and a check of every answer.

mod played;
mod recording;
mod sound;

use played::without_ids;
pub use played::{Played, expect_restart_changes_nothing};
pub use recording::{RecordedWindow, Recording};
pub use sound::expect_sound;

use crate::{Detector, Fault, Finding, Kind, Series, Setup, State, Verdict, Window};
use std::collections::{BTreeMap, BTreeSet};

/// The length of a window unless [`Driver::open_with`] is told otherwise: 10 seconds.
pub const STEP_NS: u64 = 10_000_000_000;

/// The start of the first window: 2026-01-05 00:00 UTC, a Monday.
pub const FIRST_START_NS: u64 = 1_767_571_200_000_000_000;

/// One model and the windows it is fed with.
///
/// Each answer is checked against the contract as the host checks it, so that a test fails where the product would refuse
/// the verdict.
#[derive(Debug)]
pub struct Driver<D> {
    detector: D,
    setup: Setup<String>,
    live: BTreeMap<u32, Series>,
    opened: Vec<Series>,
    closed: Vec<u32>,
    next_id: u32,
    next_start_ns: u64,
}

impl<D: Detector> Driver<D> {
    /// A fresh model of the service `test` with windows of [`STEP_NS`], configured by a JSON object.
    ///
    /// # Errors
    /// What the detector's `open` answers.
    pub fn open(config: &str) -> Result<Self, Fault> {
        Self::open_with(Setup {
            service: "test".into(),
            resource_attributes: vec![("service.name".into(), "test".into())],
            config: config.into(),
            seed: 1,
            step_ns: STEP_NS,
        })
    }

    /// A fresh model.
    ///
    /// # Errors
    /// What the detector's `open` answers.
    pub fn open_with(setup: Setup<String>) -> Result<Self, Fault> {
        let detector = D::open(setup.clone().parse()?, None)?;
        Ok(Self {
            detector,
            next_start_ns: FIRST_START_NS - FIRST_START_NS % setup.step_ns,
            setup,
            live: BTreeMap::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            next_id: 1,
        })
    }

    /// Opens a series with the next window and gives its id.
    pub fn series(&mut self, name: &str, kind: Kind, attributes: &[(&str, &str)]) -> u32 {
        let mut attributes: Vec<(String, String)> =
            attributes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        attributes.sort();
        let series = Series { id: self.next_id, name: name.to_owned(), unit: String::new(), kind, attributes };
        self.next_id += 1;
        self.open_series(series)
    }

    /// Opens a series with all its properties but the id, which is the next free one, and gives that.
    pub fn series_from(&mut self, mut series: Series) -> u32 {
        series.id = self.next_id;
        self.next_id += 1;
        self.open_series(series)
    }

    fn open_series(&mut self, series: Series) -> u32 {
        let id = series.id;
        self.live.insert(id, series.clone());
        self.opened.push(series);
        id
    }

    /// Closes a series with the next window. One that no window has opened yet is never shown at all, as in the program.
    pub fn close(&mut self, id: u32) {
        if self.live.remove(&id).is_none() {
            return;
        }
        let pending = self.opened.len();
        self.opened.retain(|series| series.id != id);
        if self.opened.len() == pending {
            self.closed.push(id);
        }
    }

    /// When the next window starts.
    #[must_use]
    pub fn next_start_ns(&self) -> u64 {
        self.next_start_ns
    }

    /// The length of a window in nanoseconds.
    #[must_use]
    pub fn step_ns(&self) -> u64 {
        self.setup.step_ns
    }

    /// Whether no window was made yet.
    fn is_fresh(&self) -> bool {
        self.next_start_ns == FIRST_START_NS - FIRST_START_NS % self.setup.step_ns
    }

    fn set_next_start(&mut self, start_ns: u64) {
        self.next_start_ns = start_ns;
    }

    /// Lets time pass in which the service says nothing.
    pub fn skip(&mut self, windows: u64) {
        self.next_start_ns += windows * self.setup.step_ns;
    }

    /// The next window, with one sample for each given series.
    pub fn window(&mut self, rows: &[(u32, f64)]) -> Window {
        let rows: Vec<_> = rows.iter().map(|&(id, value)| (id, value, value, value, 1)).collect();
        self.window_of(&rows)
    }

    /// The next window, from rows of id, value, smallest, largest and count.
    ///
    /// # Panics
    /// If a series is not open, appears twice or breaks the window's own contract: then the test is wrong.
    pub fn window_of(&mut self, rows: &[(u32, f64, f64, f64, u64)]) -> Window {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.0);
        assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0), "a series appears twice in the window");
        for &(id, value, min, max, count) in &rows {
            assert!(self.live.contains_key(&id), "series {id} is not open");
            assert!(
                value.is_finite() && min.is_finite() && max.is_finite(),
                "series {id} has a number that is not finite"
            );
            assert!(min <= value && value <= max && count > 0, "series {id} has a row that no service can have");
        }
        let start_ns = self.next_start_ns;
        self.next_start_ns += self.setup.step_ns;
        Window {
            start_ns,
            end_ns: self.next_start_ns,
            opened: std::mem::take(&mut self.opened),
            closed: std::mem::take(&mut self.closed),
            ids: rows.iter().map(|row| row.0).collect(),
            values: rows.iter().map(|row| row.1).collect(),
            minima: rows.iter().map(|row| row.2).collect(),
            maxima: rows.iter().map(|row| row.3).collect(),
            counts: rows.iter().map(|row| row.4).collect(),
        }
    }

    /// Feeds the next window with one sample for each given series.
    ///
    /// # Errors
    /// What the detector's `observe` answers; [`Fault::Internal`] if its verdict breaks the contract.
    pub fn observe(&mut self, rows: &[(u32, f64)]) -> Result<Verdict, Fault> {
        let window = self.window(rows);
        self.feed(&window)
    }

    /// Feeds a window that [`Driver::window`] or [`Driver::window_of`] made.
    ///
    /// # Errors
    /// As for [`Driver::observe`].
    pub fn feed(&mut self, window: &Window) -> Result<Verdict, Fault> {
        let verdict = self.detector.observe(window)?;
        check(&verdict, window, &self.live).map_err(|why| Fault::Internal(format!("bad verdict: {why}")))?;
        Ok(verdict)
    }

    /// Takes a snapshot and goes on with a new model from it, as after a restart: all series that are open are opened anew
    /// under other ids. Gives the new id of each old one.
    ///
    /// # Errors
    /// What the detector's `snapshot` and `open` answer.
    pub fn restart(&mut self) -> Result<BTreeMap<u32, u32>, Fault> {
        let saved = self.detector.snapshot()?;
        self.detector = D::open(self.setup.clone().parse()?, Some(saved))?;
        self.opened.clear();
        self.closed.clear();
        let mut renamed = BTreeMap::new();
        for (old, series) in std::mem::take(&mut self.live) {
            renamed.insert(old, self.series_from(series));
        }
        Ok(renamed)
    }

    /// What the model has learned.
    ///
    /// # Errors
    /// What the detector's `snapshot` answers.
    pub fn snapshot(&self) -> Result<State, Fault> {
        self.detector.snapshot()
    }

    /// The model itself.
    pub fn detector(&mut self) -> &mut D {
        &mut self.detector
    }
}

/// Seeded noise: a small generator (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly between 0 and 1.
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed around 0 with deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Poisson distributed around `mean`.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 200.0 {
            return libm::round(mean + libm::sqrt(mean) * self.normal()).max(0.0);
        }
        let (limit, mut product, mut count) = (libm::exp(-mean), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

/// Checks a verdict against the contract in `wit/detector.wit`, with `open` the series that are open after the window.
///
/// # Errors
/// The first thing that is wrong, in words.
pub fn check(verdict: &Verdict, window: &Window, open: &BTreeMap<u32, Series>) -> Result<(), String> {
    if verdict.scores.len() != window.len() {
        return Err(format!("{} scores for {} series", verdict.scores.len(), window.len()));
    }
    if let Some(score) = verdict.scores.iter().find(|score| !(score.is_nan() || (0.0..=16.0).contains(*score))) {
        return Err(format!("score {score} is out of range"));
    }
    if verdict.findings.len() > 256 {
        return Err(format!("{} findings, at most 256 are allowed", verdict.findings.len()));
    }
    verdict.findings.iter().try_for_each(|finding| check_finding(finding, window, open))
}

fn check_finding(finding: &Finding, window: &Window, open: &BTreeMap<u32, Series>) -> Result<(), String> {
    let kind = &finding.kind;
    let distinct: BTreeSet<u32> = finding.ids.iter().copied().collect();
    if !(1..=64).contains(&finding.ids.len()) || distinct.len() < finding.ids.len() {
        return Err(format!("finding {kind:?} names no series, more than 64, or one twice"));
    }
    if let Some(id) = finding.ids.iter().find(|id| !open.contains_key(id)) {
        return Err(format!("finding {kind:?} names series {id}, which is not open"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    if !(1..=64).contains(&kind.len()) || !kind.chars().all(allowed) {
        return Err(format!("{kind:?} can't be a kind"));
    }
    if !(0.0..=16.0).contains(&finding.score) {
        return Err(format!("finding {kind:?} has score {}", finding.score));
    }
    let numbers = [finding.observed, finding.expected, finding.lower, finding.upper];
    if numbers.iter().flatten().any(|number| !number.is_finite()) {
        return Err(format!("finding {kind:?} has a number that is not finite"));
    }
    if let (Some(lower), Some(upper)) = (finding.lower, finding.upper)
        && lower > upper
    {
        return Err(format!("finding {kind:?} has bounds {lower} to {upper}"));
    }
    if let Some(forecast) = finding.forecast {
        let times = [window.end_ns, forecast.earliest_ns, forecast.reaches_ns, forecast.latest_ns];
        if !forecast.limit.is_finite() || !times.is_sorted() {
            return Err(format!("finding {kind:?} has the forecast {forecast:?}"));
        }
    }
    let fits = |(key, value): &(String, String)| (1..=64).contains(&key.len()) && value.len() <= 256;
    if finding.summary.len() > 512 || finding.evidence.len() > 16 || !finding.evidence.iter().all(fits) {
        return Err(format!("finding {kind:?} has too long a summary or too much evidence"));
    }
    Ok(())
}
