//! Judges each series of a service by itself: what most detectors do, apart from the judgement.

use crate::{About, Detector, Fault, Finding, Row, Series, SeriesMap, Setup, State, Verdict, Window};
use serde::{Serialize, de::DeserializeOwned};

/// Findings told in one window, the most surprising ones.
pub const MAX_FINDINGS: usize = 64;

/// A judge of single series. [`PerSeries`] makes a [`Detector`] of it: it follows the series as they open and close, keeps one model for each,
/// saves and restores the models, and tells at most 64 findings a window, the most surprising ones.
pub trait SeriesJudge: Sized {
    /// The configuration; see [`Detector::Config`].
    type Config: DeserializeOwned;
    /// What is known of one series, small and serializable. It may come back from disk, so take no number in it for granted.
    type Model: Serialize + DeserializeOwned;

    /// What this detector is; see [`Detector::about`].
    fn about() -> About;

    /// A judge with this configuration.
    ///
    /// # Errors
    /// [`Fault::BadConfig`] where the configuration makes no sense.
    fn open(setup: Setup<Self::Config>) -> Result<Self, Fault>;

    /// How many series of a service are followed; further ones get no score until others close.
    fn max_series(&self) -> usize;

    /// The model of a series that was never seen.
    fn fresh(&self, series: &Series) -> Self::Model;

    /// Whether a restored model can be gone on with. Where one can't, the whole state is refused.
    fn is_sane(&self, model: &Self::Model) -> bool;

    /// Called before the series of a window are judged.
    fn begin(&mut self, _window: &Window) {}

    /// Judges the newest row of one series, and learns from it. `None` while the model is warming up.
    fn judge(&mut self, model: &mut Self::Model, series: &Series, row: Row, window: &Window) -> Option<Judgement>;

    /// Called with the findings of a window, the most surprising first, before they are cut to 64: for joining what belongs together.
    fn join(&self, _findings: &mut Vec<Finding>, _window: &Window) {}
}

/// What is said of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// Surprise, 0 to 16; see [`Verdict::scores`].
    pub score: f64,
    /// What is worth saying aloud.
    pub finding: Option<Finding>,
}

/// The detector that a [`SeriesJudge`] makes.
#[derive(Debug)]
pub struct PerSeries<J: SeriesJudge> {
    judge: J,
    series: SeriesMap<J::Model>,
}

impl<J: SeriesJudge> PerSeries<J> {
    /// As [`Detector::open`], with the models as they were read: for a detector that saves more than those. Its own `open` reads both
    /// from one state, so that none of it is held twice.
    ///
    /// # Errors
    /// [`Fault::BadConfig`], and [`Fault::BadState`] where a model can't be gone on with.
    pub fn with_series(setup: Setup<J::Config>, saved: Option<SeriesMap<J::Model>>) -> Result<Self, Fault> {
        let judge = J::open(setup)?;
        let limit = judge.max_series();
        let series = saved.map_or_else(|| SeriesMap::new(limit), |saved| saved.with_limit(limit));
        if !series.values().all(|model| judge.is_sane(model)) {
            return Err(Fault::BadState(
                "the state has numbers that no series leads to under this configuration".to_owned(),
            ));
        }
        Ok(Self { judge, series })
    }

    /// The models, for saving them together with other things.
    #[must_use]
    pub fn series(&self) -> &SeriesMap<J::Model> {
        &self.series
    }

    /// The judge, with what it kept of the last window.
    #[must_use]
    pub fn judge(&self) -> &J {
        &self.judge
    }
}

impl<J: SeriesJudge> Detector for PerSeries<J> {
    type Config = J::Config;

    fn about() -> About {
        J::about()
    }

    fn open(setup: Setup<J::Config>, saved: Option<State>) -> Result<Self, Fault> {
        let series = saved.map(|state| state.decode(J::about().state_schema)).transpose()?;
        Self::with_series(setup, series)
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        self.series.follow(window, |series| self.judge.fresh(series));
        self.judge.begin(window);
        let mut verdict = Verdict::silent(window);
        for (score, row) in verdict.scores.iter_mut().zip(window.rows()) {
            let Some((series, model)) = self.series.get_mut(row.id) else { continue };
            let Some(judgement) = self.judge.judge(model, series, row, window) else { continue };
            *score = judgement.score;
            verdict.findings.extend(judgement.finding);
        }
        // Stable, so that equal scores stay in the order of the ids.
        verdict.findings.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.judge.join(&mut verdict.findings, window);
        verdict.findings.truncate(MAX_FINDINGS);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(J::about().state_schema, &self.series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, testkit::Driver};

    /// Finds every value above the largest one before it, and joins what is told of more than two series.
    #[derive(Debug)]
    struct Records;

    impl SeriesJudge for Records {
        type Config = NoSettings;
        type Model = Option<f64>;

        fn about() -> About {
            About {
                name: "records",
                version: "1.0.0",
                config_schema: String::new(),
                state_schema: 3,
                warmup_windows: 1,
                kinds: vec![],
            }
        }

        fn open(_: Setup<NoSettings>) -> Result<Self, Fault> {
            Ok(Self)
        }

        fn max_series(&self) -> usize {
            80
        }

        fn fresh(&self, _: &Series) -> Option<f64> {
            None
        }

        fn is_sane(&self, model: &Option<f64>) -> bool {
            model.is_none_or(f64::is_finite)
        }

        fn judge(&mut self, model: &mut Option<f64>, _: &Series, row: Row, _: &Window) -> Option<Judgement> {
            let last = model.replace(model.unwrap_or(row.value).max(row.value))?;
            let excess = (row.value - last).clamp(0.0, 16.0);
            let finding = Finding { ids: vec![row.id], kind: "record".into(), score: excess, ..Finding::default() };
            Some(Judgement { score: excess, finding: (excess > 0.0).then_some(finding) })
        }

        fn join(&self, findings: &mut Vec<Finding>, _: &Window) {
            if findings.len() == 3 {
                findings.truncate(1);
            }
        }
    }

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct NoSettings {}

    /// Each series is judged against its own past, no further than the limit; the most surprising findings come first, are
    /// joined and then cut.
    #[test]
    fn series_are_judged_by_themselves() {
        let mut driver = Driver::<PerSeries<Records>>::open("{}").expect("opens");
        let ids: Vec<u32> = (0..90).map(|k| driver.series(&format!("s{k:02}"), Kind::Gauge, &[])).collect();
        let row = |rise: f64| ids.iter().zip(0..).map(|(id, k)| (*id, rise * f64::from(k % 9))).collect::<Vec<_>>();
        let first = driver.observe(&row(1.0)).expect("judged");
        assert!(first.scores.iter().all(|score| score.is_nan()) && first.findings.is_empty());
        let second = driver.observe(&row(2.0)).expect("judged");
        assert_eq!((second.scores[8], second.scores[9], second.findings.len()), (8.0, 0.0, 64));
        assert!(second.findings.is_sorted_by(|a, b| a.score >= b.score));
        assert!(second.scores[80..].iter().all(|score| score.is_nan()), "series beyond the limit are left out");
        let third = driver.observe(&[(ids[0], 5.0), (ids[1], 9.0), (ids[2], 9.0)]).expect("judged");
        assert_eq!(third.findings.iter().map(|finding| finding.ids[0]).collect::<Vec<_>>(), [ids[1]]);
    }

    /// What was learned goes on after a restart under other ids; a state with numbers that can't be is refused.
    #[test]
    fn models_outlive_a_restart_and_are_checked() {
        let mut driver = Driver::<PerSeries<Records>>::open("{}").expect("opens");
        let id = driver.series("load", Kind::Gauge, &[]);
        driver.observe(&[(id, 5.0)]).expect("judged");
        let id = driver.restart().expect("restarts")[&id];
        assert_eq!(driver.observe(&[(id, 7.0)]).expect("judged").scores, [2.0]);
        let state = State::encode(3, &std::collections::BTreeMap::from([(1_u64, Some(f64::NAN))])).expect("written");
        let setup = Setup {
            service: "test".into(),
            resource_attributes: vec![],
            config: NoSettings {},
            seed: 1,
            step_ns: 1_000_000_000,
        };
        assert!(matches!(PerSeries::<Records>::open(setup, Some(state)), Err(Fault::BadState(_))));
    }
}
