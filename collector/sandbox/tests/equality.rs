//! Same input, same answer: natively and sandboxed, and before and after a restart.

#![expect(clippy::unwrap_used, reason = "these are tests, their helper functions too")]

mod support;

use foreshock_builtin::component;
use foreshock_detector::{Detector, Kind, Setup, State, testkit::Noise};
use foreshock_engine::{
    verdict::{Detectors, Finding, Verdict},
    window::{ClosedWindow, Series, SeriesKind},
};
use foreshock_sandbox::LoadedDetector;
use std::collections::BTreeMap;
use support::{Feed, STEP_NS, load, of, pool, sandbox};

/// A service with two series of each kind that lives for `windows` windows: noise around a slow wave, now and then a burst, a
/// series that goes silent, one that goes away and one that comes late.
fn life(windows: u32) -> Vec<ClosedWindow> {
    let mut feed = Feed::new("cart");
    for id in 0..16 {
        feed.set_kind(id, SeriesKind::ALL[id as usize % SeriesKind::ALL.len()]);
    }
    let mut noise = Noise::new(42);
    let mut life = Vec::new();
    for window in 0..windows {
        let wave = 3.0 + (f64::from(window) / 90.0).sin();
        let burst = if window % 400 > 390 { 4.0 } else { 1.0 };
        let mut rows = Vec::new();
        for id in 0..16_u32 {
            let noisy = (wave + 0.2 * noise.normal()) * burst;
            let value = match SeriesKind::ALL[id as usize % SeriesKind::ALL.len()] {
                SeriesKind::SpanErrors => (noisy / 100.0).clamp(0.0, 1.0),
                _ => noisy.max(0.0),
            };
            let is_silent = id == 3 && window % 300 > 280;
            let is_gone = (id == 5 && window > windows / 2) || (id == 6 && window < windows / 3);
            if !is_silent && !is_gone {
                rows.push((id, value));
            }
        }
        if window == windows / 2 + 1 {
            feed.close(5);
        }
        life.push(feed.window(&rows));
    }
    life
}

fn kind(kind: SeriesKind) -> Kind {
    match kind {
        SeriesKind::Gauge => Kind::Gauge,
        SeriesKind::Rate => Kind::Rate,
        SeriesKind::Quantile => Kind::Quantile,
        SeriesKind::SpanRate => Kind::SpanRate,
        SeriesKind::SpanErrors => Kind::SpanErrors,
        SeriesKind::SpanDuration => Kind::SpanDuration,
        SeriesKind::LogTemplate => Kind::LogTemplate,
        SeriesKind::LogSeverity => Kind::LogSeverity,
    }
}

/// What a detector for `kinds` gets of a window, in the SDK's types; `open` are the kinds of the open series.
fn native_window(
    closed: &ClosedWindow,
    kinds: &[Kind],
    open: &mut BTreeMap<u32, Kind>,
) -> Option<foreshock_detector::Window> {
    let window = &closed.window;
    let wanted = |kind: &Kind| kinds.is_empty() || kinds.contains(kind);
    let closed_ids = window.closed.iter().copied().filter(|id| open.remove(id).as_ref().is_some_and(wanted)).collect();
    open.extend(window.opened.iter().map(|series| (series.id, kind(series.kind))));
    if !open.values().any(wanted) {
        return None;
    }
    let rows: Vec<usize> = (0..window.ids.len()).filter(|&row| wanted(&open[&window.ids[row]])).collect();
    let text = |(key, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| (key.to_string(), value.to_string());
    let series = |series: &Series| foreshock_detector::Series {
        id: series.id,
        name: series.name.to_string(),
        unit: series.unit.to_string(),
        kind: kind(series.kind),
        attributes: series.attributes.iter().map(text).collect(),
    };
    Some(foreshock_detector::Window {
        start_ns: window.start.0,
        end_ns: window.end.0,
        opened: window.opened.iter().filter(|series| wanted(&kind(series.kind))).map(|it| series(it)).collect(),
        closed: closed_ids,
        ids: rows.iter().map(|&row| window.ids[row]).collect(),
        values: rows.iter().map(|&row| window.values[row]).collect(),
        minima: rows.iter().map(|&row| window.minima[row]).collect(),
        maxima: rows.iter().map(|&row| window.maxima[row]).collect(),
        counts: rows.iter().map(|&row| window.counts[row]).collect(),
    })
}

/// A verdict as text in which every bit of every number shows.
fn exact(verdict: &Verdict) -> String {
    let scores: Vec<(u32, u64)> = verdict.scores.iter().map(|(id, score)| (*id, score.to_bits())).collect();
    let bits = |number: Option<f64>| number.map(f64::to_bits);
    let findings = verdict.findings.iter().map(|finding| {
        let Finding { ids, kind, severity, score, observed, expected, lower, upper, forecast, summary, evidence } =
            finding;
        let numbers = [Some(*score), *observed, *expected, *lower, *upper].map(bits);
        format!("{ids:?} {kind} {severity} {numbers:?} {forecast:?} {summary:?} {evidence:?}")
    });
    format!("{scores:?} {:?}", findings.collect::<Vec<_>>())
}

/// The native verdict in the engine's types.
fn converted(verdict: foreshock_detector::Verdict, ids: &[u32]) -> Verdict {
    use foreshock_engine::{UnixNanos, verdict};
    let scores = ids.iter().copied().zip(verdict.scores).filter(|(_, score)| !score.is_nan()).collect();
    let findings = verdict.findings.into_iter().map(|finding| Finding {
        ids: finding.ids,
        kind: finding.kind.into(),
        severity: match finding.severity {
            foreshock_detector::Severity::Info => verdict::Severity::Info,
            foreshock_detector::Severity::Warning => verdict::Severity::Warning,
            foreshock_detector::Severity::Error => verdict::Severity::Error,
            foreshock_detector::Severity::Critical => verdict::Severity::Critical,
        },
        score: finding.score,
        observed: finding.observed,
        expected: finding.expected,
        lower: finding.lower,
        upper: finding.upper,
        forecast: finding.forecast.map(|forecast| verdict::Forecast {
            limit: forecast.limit,
            reaches: UnixNanos(forecast.reaches_ns),
            earliest: UnixNanos(forecast.earliest_ns),
            latest: UnixNanos(forecast.latest_ns),
        }),
        summary: finding.summary,
        evidence: finding.evidence,
    });
    Verdict { scores, findings: findings.collect() }
}

/// Feeds the same windows to a detector compiled natively and to the component inside the sandbox. Gives how many scores and
/// findings were compared.
fn native_and_sandboxed_agree<D: Detector>(name: &str, config: &str, windows: u32) -> (usize, usize) {
    agree_over::<D>(name, config, &life(windows))
}

fn agree_over<D: Detector>(name: &str, config: &str, life: &[ClosedWindow]) -> (usize, usize) {
    let sandbox = sandbox();
    let loaded: std::sync::Arc<LoadedDetector> = load(&sandbox, name, component(name).unwrap(), config);
    let mut pool = pool(&sandbox, std::slice::from_ref(&loaded), 100);
    let setup = Setup {
        service: life[0].service.to_string(),
        resource_attributes: vec![("service.name".into(), "cart".into())],
        config: config.to_owned(),
        seed: loaded.seed(&life[0].service),
        step_ns: STEP_NS,
    };
    let mut native = D::open(setup.parse().unwrap(), None).unwrap();
    let kinds = D::about().kinds;
    let mut open = BTreeMap::new();
    let mut compared = (0, 0);
    for closed in life {
        let answers = pool.observe(closed);
        let sandboxed = of(&answers, name);
        let Some(window) = native_window(closed, &kinds, &mut open) else {
            assert!(sandboxed.is_none());
            continue;
        };
        let expected = converted(native.observe(&window).unwrap(), &window.ids);
        let sandboxed = sandboxed.unwrap_or_else(|| panic!("no verdict: {:?}", pool.poll_health()));
        assert_eq!(exact(sandboxed), exact(&expected), "window from {}", closed.window.start);
        compared = (compared.0 + expected.scores.len(), compared.1 + expected.findings.len());
    }
    let State { schema, bytes } = native.snapshot().unwrap();
    let saved = pool.snapshot(&life[0].service).unwrap();
    assert!(saved.models[0].schema == schema && saved.models[0].bytes == bytes, "what was learned differs");
    compared
}

/// The authors' tests run natively and the product runs components: what the one proves must hold for the other, to the bit.
#[test]
fn baseline_agrees() {
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_baseline::Baseline>("baseline", "{}", 4000);
    assert!(scores > 10_000 && findings > 10, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn isolation_forest_agrees() {
    let (scores, findings) =
        native_and_sandboxed_agree::<foreshock_isolation_forest::IsolationForest>("isolation-forest", "{}", 2000);
    assert!(scores > 1_000, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn log_patterns_agrees() {
    let (scores, findings) =
        native_and_sandboxed_agree::<foreshock_log_patterns::LogPatterns>("log-patterns", "{}", 3000);
    assert!(scores > 1_000, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn novelty_agrees() {
    let config = r#"{"form":"full","warmup_windows":150,"full_windows":300,"threshold":0.2,"row_seconds":0}"#;
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_novelty::Novelty>("novelty", config, 1500);
    assert!(scores > 1_000 && findings > 10, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn joint_agrees() {
    let config = r#"{"min_windows":100,"threshold":2}"#;
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_joint::Joint>("joint", config, 1500);
    assert!(scores > 1_000 && findings > 3, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn shift_agrees() {
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_shift::Shift>("shift", "{}", 2000);
    assert!(scores > 1_000 && findings > 10, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn spectral_agrees() {
    let config = r#"{"threshold":3}"#;
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_spectral::Spectral>("spectral", config, 1500);
    assert!(scores > 1_000 && findings > 10, "{scores} scores, {findings} findings");
}

/// As above.
#[test]
fn subspace_agrees() {
    let config = r#"{"threshold":2}"#;
    let (scores, findings) = native_and_sandboxed_agree::<foreshock_subspace::Subspace>("subspace", config, 1500);
    assert!(scores > 1_000 && findings > 10, "{scores} scores, {findings} findings");
}

/// As above. A forecast needs a resource that fills, and says no scores.
#[test]
fn forecast_agrees() {
    let (_, findings) = agree_over::<foreshock_forecast::Forecast>("forecast", FILLING, &filling());
    assert!(findings > 100, "{findings} findings");
}

const FILLING: &str = r#"{"limits":[{"series":"*","limit":1}]}"#;

/// One resource at 40 % for twelve hours, which then fills within six and is cut off before its end.
fn filling() -> Vec<ClosedWindow> {
    let mut feed = Feed::new("cart");
    feed.set_kind(1, SeriesKind::Gauge);
    let mut noise = Noise::new(5);
    (0..6_200_u32)
        .map(|window| {
            let share = 0.4 + 0.6 * f64::from(window.saturating_sub(4_320)) / 2_160.0;
            feed.window(&[(1, share + 0.002 * noise.normal())])
        })
        .collect()
}

/// A restart must not be seen in the answers: a new process that goes on from what was kept says what the old one would have
/// said.
#[test]
fn a_restart_changes_no_answer() {
    for name in foreshock_builtin::names() {
        let (life, before, config) = match name {
            "forecast" => (filling(), 5_700, FILLING),
            // Each window a row of its own, or the life would be too short for it.
            "novelty" => (life(900), 600, r#"{"row_seconds":0}"#),
            _ => (life(900), 600, "{}"),
        };
        let service = life[0].service.clone();
        let first_sandbox = sandbox();
        let mut whole = pool(&first_sandbox, &[load(&first_sandbox, name, component(name).unwrap(), config)], 60);
        life[..before].iter().for_each(|closed| drop(whole.observe(closed)));
        let saved = whole.snapshot(&service).unwrap();

        let second_sandbox = sandbox();
        let mut restarted = pool(&second_sandbox, &[load(&second_sandbox, name, component(name).unwrap(), config)], 60);
        assert!(restarted.restore(&service, saved).is_empty(), "{name} finds its state");
        let mut spoke = 0;
        for closed in &life[before..] {
            let (expected, answers) = (whole.observe(closed), restarted.observe(closed));
            let exact = |answers| of(answers, name).map(exact);
            assert_eq!(exact(&answers), exact(&expected), "{name}, window from {}", closed.window.start);
            spoke += of(&answers, name).map_or(0, |verdict| verdict.scores.len() + verdict.findings.len());
        }
        assert!(spoke > 100, "{name}: {spoke} scores and findings");
    }
}

/// A state is only given to the detector that wrote it, under the configuration it was learned with.
#[test]
fn states_of_others_are_not_offered() {
    let sandbox = sandbox();
    let mut feed = Feed::new("cart");
    let mut old = pool(&sandbox, &[support::chaos(&sandbox, "mine", "nothing")], 60);
    for _ in 0..5 {
        old.observe(&feed.window(&[(1, 1.0)]));
    }
    let saved = old.snapshot(&feed.service).unwrap();
    let closed = feed.window(&[(1, 1.0)]);
    let score_after = |name: &str, act: &str| {
        let mut new = pool(&sandbox, &[support::chaos(&sandbox, name, act)], 60);
        let cold = new.restore(&closed.service, saved.clone()).len();
        let answers = new.observe(&closed);
        (cold, of(&answers, name).unwrap().scores[0].1)
    };
    assert_eq!(score_after("mine", "nothing"), (0, 6.0));
    assert_eq!(score_after("other", "nothing"), (1, 1.0));
    assert_eq!(score_after("mine", "trap"), (1, 1.0));
}

/// Bytes that are no state cost what was learned, not the detector: it says so and starts anew.
#[test]
fn damaged_states_start_cold_and_say_so() {
    let sandbox = sandbox();
    let detector = support::chaos(&sandbox, "mine", "nothing");
    let mut feed = Feed::new("cart");
    let mut old = pool(&sandbox, std::slice::from_ref(&detector), 60);
    old.observe(&feed.window(&[(1, 1.0)]));
    let mut saved = old.snapshot(&feed.service).unwrap();
    saved.models[0].bytes = vec![0xff; 20];

    let mut new = pool(&sandbox, std::slice::from_ref(&detector), 60);
    new.restore(&feed.service, saved);
    let answers = new.observe(&feed.window(&[(1, 1.0)]));
    assert_eq!(of(&answers, "mine").unwrap().scores, [(1, 1.0)]);
    let reasons: Vec<_> = support::health(&mut new).into_iter().map(|health| health.reason).collect();
    assert_eq!(reasons, [Some(foreshock_engine::verdict::FaultReason::BadState), None]);
}

/// Detectors that filter by kind get empty windows while their series are silent, so that silence can be seen.
#[test]
fn silence_of_the_wanted_series_is_shown() {
    let sandbox = sandbox();
    let baseline = load(&sandbox, "baseline", component("baseline").unwrap(), "{}");
    let about = baseline.about();
    let wanted = about.wanted().next().expect("it looks at something");
    let unwanted =
        SeriesKind::ALL.into_iter().find(|kind| !about.wants(*kind)).expect("it does not look at everything");
    let mut pool = pool(&sandbox, std::slice::from_ref(&baseline), 60);
    let mut feed = Feed::new("cart");
    feed.set_kind(1, wanted);
    feed.set_kind(2, unwanted);
    assert!(pool.observe(&feed.window(&[(2, 1.0)])).is_empty(), "no series of its kinds yet");
    assert_eq!(pool.observe(&feed.window(&[(1, 1.0), (2, 1.0)])).len(), 1);
    assert_eq!(baseline.stats().calls(), 1);
    let answers = pool.observe(&feed.window(&[(2, 1.0)]));
    assert!(answers[0].1.scores.is_empty());
    assert_eq!(baseline.stats().calls(), 2);
}
