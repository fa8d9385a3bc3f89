//! Foreshock's detector for logs: new patterns, patterns that come more or less often, more errors among the lines.
//!
//! All counts are judged as counts (quasi-Poisson, with each pattern's own dispersion), and what the service's ordinary lines
//! explain by their growth is not odd. A pattern that was never seen is as surprising as its lines are many for one that
//! did not come in all the time before. Ordinary lines (info and below) are learned, but told only where many new
//! patterns come at once.
//!
//! State: about 60 bytes a pattern, and 12 bytes for each of up to 4,096 patterns that are remembered as known.

mod config;
mod mix;
mod template;
#[cfg(test)]
mod tests;
mod words;

pub use config::Config;
use foreshock_detector::{About, Detector, Fault, Finding, Kind, SeriesMap, Setup, State, Verdict, Window};
use mix::Mix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use template::{Template, Weight};
use words::Novelty;

/// Layout of the saved state.
const SCHEMA: u32 = 1;
/// Patterns followed per service; further ones get no score.
const MAX_SERIES: usize = 10_000;
/// Patterns remembered as known after they were closed; the longest unseen go first.
const MAX_KNOWN: usize = 4_096;
/// Findings told in one window, the most telling ones.
const MAX_FINDINGS: usize = 64;
/// Windows without any line that are learned as such; a longer gap says nothing.
const MAX_GAP: u64 = 30;
/// Ordinary patterns ask for this much more surprise.
const QUIET_EXTRA: f64 = 3.0;

/// The log model of one service.
#[derive(Debug)]
pub struct LogPatterns {
    config: Config,
    step_ns: u64,
    learned: Learned,
}

#[derive(Debug, Deserialize, Serialize)]
struct Learned {
    /// Windows watched.
    watched: u32,
    last_end_ns: u64,
    series: SeriesMap<Template>,
    /// When each pattern was last opened, by fingerprint of its id.
    known: BTreeMap<u64, u32>,
    mix: Mix,
}

impl Detector for LogPatterns {
    type Config = Config;

    fn about() -> About {
        About {
            name: "log-patterns",
            version: env!("CARGO_PKG_VERSION"),
            config_schema: Config::schema(),
            state_schema: SCHEMA,
            warmup_windows: Config::default().warmup_windows,
            kinds: vec![Kind::LogTemplate, Kind::LogSeverity],
        }
    }

    fn open(setup: Setup<Config>, saved: Option<State>) -> Result<Self, Fault> {
        setup.config.check()?;
        let learned = match saved {
            Some(state) => {
                let learned: Learned = state.decode(SCHEMA)?;
                Learned { series: learned.series.with_limit(MAX_SERIES), ..learned }
            }
            None => Learned {
                watched: 0,
                last_end_ns: 0,
                series: SeriesMap::new(MAX_SERIES),
                known: BTreeMap::new(),
                mix: Mix::default(),
            },
        };
        Ok(Self { step_ns: setup.step_ns.max(1), config: setup.config, learned })
    }

    fn observe(&mut self, window: &Window) -> Result<Verdict, Fault> {
        let seconds = self.step_ns as f64 / 1e9;
        self.pass_gap(window);
        self.open_series(window);
        let mut verdict = Verdict::silent(window);
        self.judge_mix(window, seconds, &mut verdict);
        let growth = self.learned.mix.growth();
        let mut novelties = Vec::new();
        let mut row = 0;
        for (id, series, template) in self.learned.series.iter_mut() {
            while window.ids.get(row).is_some_and(|spoken| *spoken < id) {
                row += 1;
            }
            let spoke = window.ids.get(row) == Some(&id);
            if series.kind != Kind::LogTemplate {
                continue;
            }
            let count = if spoke { window.counts.get(row).copied().unwrap_or(0) } else { 0 };
            template.count(count);
            let weight = Weight::of(series);
            let novelty = template.novelty(self.config.novel_windows);
            let opinion = template.rate(self.config.min_windows, growth);
            let mut score = opinion.map_or(f64::NAN, |opinion| opinion.score);
            if let Some(surprise) = novelty {
                score = if weight == Weight::Quiet { surprise.min(2.0) } else { surprise };
                if surprise >= self.config.threshold {
                    let text = words::text(series);
                    novelties.push(Novelty { id, text, weight, score: surprise, count, lines: template.lines });
                }
            } else if let Some(opinion) = opinion {
                let extra = if weight == Weight::Quiet || !opinion.is_rise { QUIET_EXTRA } else { 0.0 };
                let times = (opinion.observed + 0.5) / (opinion.expected * growth + 0.5);
                let is_large = if opinion.is_rise { times >= 2.0 } else { times <= 1.0 / 3.0 };
                let is_odd = is_large && opinion.score >= self.config.threshold + extra;
                if template.streak.step(is_odd, self.config.persistence, self.config.refractory) {
                    verdict.findings.push(words::rate(id, series, weight, &opinion, seconds));
                }
                if extra > 0.0 {
                    score = (score - extra).max(0.0);
                }
            }
            if let (true, Some(slot)) = (spoke, verdict.scores.get_mut(row)) {
                *slot = score;
            }
            template.learn(score);
        }
        self.tell_novelties(novelties, seconds, &mut verdict.findings);
        // Stable, so that equal scores stay in the order of the ids.
        verdict.findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(b.score.total_cmp(&a.score)));
        verdict.findings.truncate(MAX_FINDINGS);
        self.learned.watched = self.learned.watched.saturating_add(1);
        Ok(verdict)
    }

    fn snapshot(&self) -> Result<State, Fault> {
        State::encode(SCHEMA, &self.learned)
    }
}

impl LogPatterns {
    /// Windows in which the service logged nothing are left out by the host; they are windows without lines all the same.
    fn pass_gap(&mut self, window: &Window) {
        let learned = &mut self.learned;
        let gap = if learned.last_end_ns == 0 {
            0
        } else {
            window.start_ns.saturating_sub(learned.last_end_ns) / self.step_ns
        };
        learned.last_end_ns = window.end_ns;
        if gap > MAX_GAP {
            return;
        }
        let gap = gap as u32;
        learned.watched = learned.watched.saturating_add(gap);
        for template in learned.series.values_mut() {
            template.pass(gap);
        }
        for _ in 0..gap {
            learned.mix.observe(self.config.min_windows, 0, 0, 0);
        }
    }

    fn open_series(&mut self, window: &Window) {
        let Learned { series, known, watched, .. } = &mut self.learned;
        let is_settled = *watched >= self.config.warmup_windows;
        series.follow(window, |series| {
            let id = series.attribute("foreshock.template.id").unwrap_or(&series.name);
            let fingerprint = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            let is_known = known.insert(fingerprint, *watched).is_some();
            Template::new(*watched, is_settled && !is_known)
        });
        if known.len() > MAX_KNOWN {
            let mut ages: Vec<(u32, u64)> = known.iter().map(|(fingerprint, seen)| (*seen, *fingerprint)).collect();
            ages.sort_unstable();
            for (_, fingerprint) in ages.iter().take(known.len() - MAX_KNOWN + MAX_KNOWN / 8) {
                known.remove(fingerprint);
            }
        }
    }

    /// Judges the share of errors; the series of error lines carry its score.
    fn judge_mix(&mut self, window: &Window, seconds: f64, verdict: &mut Verdict) {
        let (mut errors, mut all, mut quiet) = (0_u64, 0_u64, 0_u64);
        let mut error_rows = Vec::new();
        let mut rate = 0.0;
        for (k, row) in window.rows().enumerate() {
            let Some((series, _)) = self.learned.series.get_mut(row.id) else { continue };
            if series.kind != Kind::LogSeverity {
                continue;
            }
            all = all.saturating_add(row.count);
            match series.attribute("log.severity") {
                Some("error" | "fatal") => {
                    errors = errors.saturating_add(row.count);
                    rate += row.value;
                    error_rows.push((k, row.id));
                }
                Some("warn") => {}
                _ => quiet = quiet.saturating_add(row.count),
            }
        }
        let mix = &mut self.learned.mix;
        let Some(opinion) = mix.observe(self.config.min_windows, errors, all, quiet) else { return };
        for (k, _) in &error_rows {
            if let Some(score) = verdict.scores.get_mut(*k) {
                *score = opinion.score;
            }
        }
        let is_odd = opinion.score >= self.config.threshold && opinion.observed >= 2.0 * opinion.expected;
        let is_told = mix.streak.step(is_odd, self.config.persistence, self.config.refractory);
        if is_told && !error_rows.is_empty() && rate.is_finite() {
            let ids = error_rows.into_iter().map(|(_, id)| id).take(8).collect();
            verdict.findings.push(words::mix(ids, &opinion, seconds, rate));
        }
    }

    /// Tells new patterns: each one that speaks of trouble, or all together where there are many.
    fn tell_novelties(&self, mut novelties: Vec<Novelty>, seconds: f64, findings: &mut Vec<Finding>) {
        novelties.sort_by(|a, b| b.weight.cmp(&a.weight).then(b.score.total_cmp(&a.score)).then(a.id.cmp(&b.id)));
        if novelties.len() >= self.config.burst as usize {
            findings.extend(words::new_patterns(&novelties, seconds));
        } else {
            let loud = novelties.iter().filter(|novelty| novelty.weight > Weight::Quiet);
            findings.extend(loud.filter_map(|novelty| words::new_patterns(std::slice::from_ref(novelty), seconds)));
        }
    }
}

foreshock_detector::export!(LogPatterns);
