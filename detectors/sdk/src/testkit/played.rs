//! Plays a recording through a detector, and asks what came of it.

use super::{Driver, Recording};
use crate::{Detector, Fault, Finding, Verdict, Window};

/// What a detector answered to a recording, window by window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// Each window and what was said of it, in order of time.
    pub windows: Vec<(Window, Verdict)>,
}

impl<D: Detector> Driver<D> {
    /// Feeds a whole recording: opens its series, and lets time pass where nothing was recorded. Windows of the recording
    /// that lie before what was fed already are left out.
    ///
    /// # Errors
    /// As for [`Driver::observe`].
    pub fn play(&mut self, recording: &Recording) -> Result<Played, Fault> {
        self.play_restarting(recording, usize::MAX)
    }

    /// As [`Driver::play`], with a restart before the window with this number.
    fn play_restarting(&mut self, recording: &Recording, restart_at: usize) -> Result<Played, Fault> {
        let mut ids: Vec<u32> = recording.series().map(|series| self.series_from(series.clone())).collect();
        let mut played = Played::default();
        let mut is_first = self.is_fresh();
        for (number, recorded) in recording.windows(self.step_ns()).into_iter().enumerate() {
            if number == restart_at {
                let renamed = self.restart()?;
                ids = ids.iter().map(|id| renamed.get(id).copied().unwrap_or(*id)).collect();
            }
            if !is_first && recorded.start_ns < self.next_start_ns() {
                continue;
            }
            is_first = false;
            self.set_next_start(recorded.start_ns);
            let rows: Vec<_> = recorded
                .rows
                .iter()
                .map(|&(series, value, min, max, count)| (ids[series], value, min, max, count))
                .collect();
            let window = self.window_of(&rows);
            let verdict = self.feed(&window)?;
            played.windows.push((window, verdict));
        }
        Ok(played)
    }
}

impl Played {
    /// All findings, each with the start of its window in nanoseconds since the Unix epoch.
    pub fn findings(&self) -> impl Iterator<Item = (u64, &Finding)> {
        self.windows.iter().flat_map(|(window, verdict)| verdict.findings.iter().map(|found| (window.start_ns, found)))
    }

    /// The scores of one series, each with the start of its window.
    pub fn scores(&self, id: u32) -> impl Iterator<Item = (u64, f64)> {
        self.windows.iter().flat_map(move |(window, verdict)| {
            let rows = window.ids.iter().zip(&verdict.scores).filter(move |(row, _)| **row == id);
            rows.map(|(_, score)| (window.start_ns, *score))
        })
    }

    /// Expects a finding of this kind in a window that starts within `from_ns..to_ns`, and gives the first.
    ///
    /// # Panics
    /// If there is none; says what was found instead.
    #[must_use]
    pub fn expect_finding(&self, kind: &str, from_ns: u64, to_ns: u64) -> &Finding {
        let is_it = |(start, finding): &(u64, &Finding)| (from_ns..to_ns).contains(start) && finding.kind == kind;
        match self.findings().find(is_it) {
            Some((_, finding)) => finding,
            None => panic!("no `{kind}` was found from {from_ns} to {to_ns}, but {}", self.in_words()),
        }
    }

    /// Expects no finding in any window that starts within `from_ns..to_ns`.
    ///
    /// # Panics
    /// If there is one; says which.
    pub fn expect_quiet(&self, from_ns: u64, to_ns: u64) {
        if let Some((start, finding)) = self.findings().find(|(start, _)| (from_ns..to_ns).contains(start)) {
            panic!("nothing should be found from {from_ns} to {to_ns}, but at {start}: {finding:?}");
        }
    }

    fn in_words(&self) -> String {
        let found: Vec<String> =
            self.findings().take(10).map(|(start, finding)| format!("`{}` at {start}", finding.kind)).collect();
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    }
}

/// Expects that a restart in the middle of a recording changes no answer: the model is saved, opened anew from what it saved, and
/// its series come back under other ids. A detector that fails this forgets something whenever Foreshock is upgraded.
///
/// # Errors
/// What the detector answers.
///
/// # Panics
/// If the answers differ; says where.
pub fn expect_restart_changes_nothing<D: Detector>(config: &str, recording: &Recording) -> Result<(), Fault> {
    let straight = Driver::<D>::open(config)?.play(recording)?;
    let middle = straight.windows.len() / 2;
    let restarted = Driver::<D>::open(config)?.play_restarting(recording, middle)?;
    for (number, ((window, before), (_, after))) in straight.windows.iter().zip(&restarted.windows).enumerate() {
        let same = before.scores.len() == after.scores.len()
            && before
                .scores
                .iter()
                .zip(&after.scores)
                .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
        assert!(
            same && without_ids(before) == without_ids(after),
            "window {number} (from {}) was judged {before:?}, but {after:?} after a restart before window {middle}",
            window.start_ns
        );
    }
    Ok(())
}

/// Findings as they are apart from the ids, which a restart changes.
pub(super) fn without_ids(verdict: &Verdict) -> Vec<Finding> {
    verdict.findings.iter().map(|finding| Finding { ids: Vec::new(), ..finding.clone() }).collect()
}
