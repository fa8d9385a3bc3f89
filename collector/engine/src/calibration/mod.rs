//! One calibrated answer from several detectors.
//!
//! What a detector calls rare need not be rare on this series. So each score `s` of detector `d` becomes the surprise that it has by the
//! tail of that detector's own scores on that series, see `tail`: at most what the detector says, and less where it said so too often.
//!
//! Several detectors are several chances to be wrong. They are joined by the weighted Bonferroni rule (Rosenthal and Rubin 1983; Genovese,
//! Roeder and Wasserman 2006): the smallest of `p(d) / w(d)`, where the weights of those that have an opinion sum to 1. As surprises:
//! the largest of `s(d) + log10 w(d)`. Two detectors of equal weight need 0.3 more each, and one that is right all alone is heard all the
//! same, which it is not where scores are averaged. Weights are equal where the configuration says nothing; those of the default
//! configuration were fitted on the tuning halves of public data, see `RESULTS.md`.
//!
//! How much surprise opens an anomaly follows from the budget of false alarms, see [`budget`].

pub mod budget;
mod tail;

use crate::verdict::{Detector, Verdict};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use tail::Tail;

/// Detectors whose tails are kept for one service; what further ones say is taken as it is.
const MOST_DETECTORS: usize = 64;
/// Series of one service and detector whose tails are kept; the scores of further ones are taken as they are.
const MOST_SERIES: usize = 20_000;

/// How much each detector counts, by its name in the configuration; 1 for those that are not named. More than 0.
pub type Weights = BTreeMap<Arc<str>, f64>;

/// One detector's tails on the series of a service.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Voice {
    /// The component that they were learned from; another one begins anew.
    digest: Arc<str>,
    tails: BTreeMap<u32, Tail>,
}

/// What was learned about the scores of one service. At most 64 bytes a series and detector.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Calibration {
    voices: BTreeMap<Arc<str>, Voice>,
}

/// Whether a finding carries a certainty of its own, which no distribution of scores can check: a forecast has its interval, and what was
/// never seen before has no past.
pub(crate) fn is_certain(kind: &str, has_forecast: bool) -> bool {
    has_forecast || kind == "new_log_pattern"
}

impl Calibration {
    /// The verdicts on one window with all surprises calibrated and joined, from what was learned before; then learns from them.
    ///
    /// A finding is calibrated as a score of its first series. Findings with a certainty of their own stay as they are.
    pub fn judge(&mut self, weights: &Weights, verdicts: &[(Arc<Detector>, Verdict)]) -> Vec<(Arc<Detector>, Verdict)> {
        let sums = sums(weights, verdicts);
        verdicts
            .iter()
            .map(|(detector, verdict)| (Arc::clone(detector), self.one(weights, &sums, detector, verdict)))
            .collect()
    }

    fn one(&mut self, weights: &Weights, sums: &[(u32, f64)], detector: &Detector, verdict: &Verdict) -> Verdict {
        let weight = weight(weights, detector);
        let share = |id: u32| {
            let sum = sums.binary_search_by_key(&id, |(id, _)| *id).map_or(weight, |at| sums[at].1);
            (weight / sum.max(weight)).log10()
        };
        let known = self.voices.contains_key(&detector.name);
        if !known && self.voices.len() >= MOST_DETECTORS {
            return verdict.clone();
        }
        let voice = self.voices.entry(Arc::clone(&detector.name)).or_default();
        if voice.digest != detector.digest {
            *voice = Voice { digest: Arc::clone(&detector.digest), tails: BTreeMap::new() };
        }
        let fresh = Tail::default();
        let mut findings = verdict.findings.clone();
        for finding in findings.iter_mut().filter(|finding| !is_certain(&finding.kind, finding.forecast.is_some())) {
            let Some(id) = finding.ids.first() else { continue };
            let tail = voice.tails.get(id).unwrap_or(&fresh);
            finding.score = (tail.surprise(finding.score) + share(*id)).max(0.0);
        }
        let mut scores = Vec::with_capacity(verdict.scores.len());
        let mut new = Vec::new();
        let mut tails = voice.tails.iter_mut().peekable();
        // Both ascend, so one walk finds all; a map that is asked for each id costs three times as much.
        for (id, score) in verdict.scores.iter().copied() {
            while tails.next_if(|(known, _)| **known < id).is_some() {}
            let surprise = match tails.peek_mut().filter(|(known, _)| **known == id) {
                _ if !score.is_finite() => score,
                Some((_, tail)) => {
                    let surprise = tail.surprise(score);
                    tail.learn(score);
                    surprise
                }
                None => {
                    let mut tail = fresh;
                    let surprise = tail.surprise(score);
                    tail.learn(score);
                    new.push((id, tail));
                    surprise
                }
            };
            scores.push((id, if score.is_finite() { (surprise + share(id)).max(0.0) } else { score }));
        }
        let room = MOST_SERIES.saturating_sub(voice.tails.len());
        voice.tails.extend(new.into_iter().take(room));
        Verdict { scores, findings }
    }

    /// Forgets a series that went away, or whose number was given to another one.
    pub fn forget(&mut self, id: u32) {
        for voice in self.voices.values_mut() {
            voice.tails.remove(&id);
        }
    }

    /// Whether restored numbers can be worked with.
    pub(crate) fn is_sane(&self) -> bool {
        self.voices.values().all(|voice| voice.tails.values().all(Tail::is_sane))
    }
}

fn weight(weights: &Weights, detector: &Detector) -> f64 {
    weights.get(&detector.name).copied().filter(|weight| weight.is_finite() && *weight > 0.0).unwrap_or(1.0)
}

/// The weights of all detectors with an opinion, for each series that one of them has an opinion on, ascending.
fn sums(weights: &Weights, verdicts: &[(Arc<Detector>, Verdict)]) -> Vec<(u32, f64)> {
    let mut sums: Vec<(u32, f64)> = Vec::new();
    for (detector, verdict) in verdicts {
        let weight = weight(weights, detector);
        let opinions = verdict.scores.iter().filter(|(_, score)| score.is_finite());
        sums.extend(opinions.map(|(id, _)| (*id, weight)));
    }
    if verdicts.len() > 1 {
        // Stable: equal ids stay in the order of the detectors, so that the sum is the same to the last bit.
        sums.sort_by_key(|(id, _)| *id);
        sums.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Finding, Severity};

    fn detector(name: &str, digest: &str) -> Arc<Detector> {
        Arc::new(Detector { name: name.into(), version: "1.0.0".into(), digest: digest.into() })
    }

    fn finding(id: u32, kind: &str, score: f64) -> Finding {
        Finding {
            ids: vec![id],
            kind: kind.into(),
            severity: Severity::Warning,
            score,
            observed: None,
            expected: None,
            lower: None,
            upper: None,
            forecast: None,
            summary: String::new(),
            evidence: Vec::new(),
        }
    }

    fn says(name: &str, scores: &[(u32, f64)]) -> (Arc<Detector>, Verdict) {
        let findings = scores.iter().map(|(id, score)| finding(*id, "spike", *score)).collect();
        (detector(name, "0"), Verdict { scores: scores.to_vec(), findings })
    }

    /// More detectors are more chances to be wrong: each needs as much more as there are others with an opinion on the same series, and a
    /// heavier one less of it.
    #[test]
    fn opinions_are_corrected_for_their_number_and_weight() {
        let verdicts =
            [says("a", &[(1, 6.0), (2, 6.0)]), says("b", &[(1, 1.0), (2, f64::NAN)]), says("c", &[(1, 1.0)])];
        let equal = Calibration::default().judge(&Weights::new(), &verdicts);
        let first = &equal[0].1;
        assert!((first.scores[0].1 - (6.0 - 3_f64.log10())).abs() < 1e-6, "{:?}", first.scores);
        assert!((first.scores[1].1 - 6.0).abs() < 1e-6, "nobody else has an opinion on the second");
        assert!((first.findings[0].score - first.scores[0].1).abs() < 1e-9, "a finding is worth what its score is");
        assert!(equal[1].1.scores[1].1.is_nan(), "no opinion stays none");

        let weights = Weights::from([("a".into(), 8.0)]);
        let heavy = Calibration::default().judge(&weights, &verdicts);
        assert!((heavy[0].1.scores[0].1 - (6.0 + 0.8_f64.log10())).abs() < 1e-6);
    }

    /// What is new has no past to be compared with: such findings keep what they say.
    #[test]
    fn own_certainty_is_left_alone() {
        let mut calibration = Calibration::default();
        for _ in 0..3_000 {
            calibration.judge(&Weights::new(), &[says("logs", &[(1, 4.0)]), says("b", &[(1, 0.1)])]);
        }
        let (name, verdict) = says("logs", &[(1, 5.0)]);
        let verdict =
            Verdict { findings: vec![finding(1, "new_log_pattern", 5.0), finding(1, "log_rate", 5.0)], ..verdict };
        let judged = calibration.judge(&Weights::new(), &[(name, verdict)]);
        assert_eq!(judged[0].1.findings[0].score, 5.0);
        assert!(judged[0].1.findings[1].score < 4.0, "{:?}", judged[0].1.findings[1].score);
    }

    /// A number that is given to another series, and a detector that is replaced, begin without what was learned before.
    #[test]
    fn other_series_and_components_begin_anew() {
        let mut calibration = Calibration::default();
        for k in 0..4_000 {
            let score = if k % 20 < 4 { 0.1 } else { 9.0 };
            calibration.judge(&Weights::new(), &[says("a", &[(1, score)])]);
        }
        let judge = |calibration: &Calibration, digest: &str| {
            let (_, verdict) = says("a", &[(1, 9.0)]);
            let judged = calibration.clone().judge(&Weights::new(), &[(detector("a", digest), verdict)]);
            judged[0].1.scores[0].1
        };
        assert!(judge(&calibration, "0") < 6.0);
        assert!(judge(&calibration, "1") > 8.9);
        assert!(calibration.is_sane());
        calibration.forget(1);
        assert!(judge(&calibration, "0") > 8.9);
    }
}
