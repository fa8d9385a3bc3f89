//! When anomalies open, are told again and end.

use crate::shop::{at, detector, series, service};
use AnomalyChange::{Detected, Ended, Updated};
use foreshock_engine::{
    anomaly::{Anomalies, AnomalySettings},
    event::{Anomaly, AnomalyChange},
    facts::{GoldenSignals, WindowFacts},
    quality::{QualityKind, QualityNote},
    shard::ShardOutput,
    verdict::{Detector, Finding, Forecast, Severity, Verdict},
    window::{ClosedWindow, Series, SeriesKind, Window},
};
use std::sync::Arc;

pub(crate) const LATENCY: u32 = 1;
pub(crate) const ERRORS: u32 = 2;
pub(crate) const CPU: u32 = 3;
pub(crate) const LOG: u32 = 4;

/// One service, told minute by minute.
pub(crate) struct Story {
    pub(crate) anomalies: Anomalies,
    pub(crate) minute: u64,
    pub(crate) opened: Vec<Arc<Series>>,
    pub(crate) closed: Vec<u32>,
    /// Series that speak, with value and count.
    pub(crate) rows: Vec<(u32, f64, u64)>,
    /// Calls a minute, as the spans say.
    pub(crate) calls: u64,
}

/// A detector's name, findings and scores.
pub(crate) type Verdicts<'a> = [(&'a str, Vec<Finding>, &'a [(u32, f64)])];

pub(crate) type Said = Vec<(AnomalyChange, Arc<Anomaly>)>;

impl Story {
    pub(crate) fn new() -> Self {
        let duration = "traces.span.metrics.duration";
        let pay = [("foreshock.statistic", "p99"), ("span.name", "POST /pay")];
        Self {
            anomalies: Anomalies::new(AnomalySettings::default()),
            minute: 4,
            opened: vec![
                series(LATENCY, duration, "s", SeriesKind::SpanDuration, &pay),
                series(ERRORS, "traces.span.metrics.errors", "1", SeriesKind::SpanErrors, &[]),
                series(CPU, "system.cpu.utilization", "1", SeriesKind::Gauge, &[("cpu.mode", "user")]),
                series(
                    LOG,
                    "log.template",
                    "{record}/s",
                    SeriesKind::LogTemplate,
                    &[("foreshock.template.text", "connection pool timeout after <*>"), ("log.severity", "error")],
                ),
            ],
            closed: Vec::new(),
            rows: vec![(LATENCY, 0.31, 100), (ERRORS, 0.5, 100), (CPU, 0.4, 6)],
            calls: 100,
        }
    }

    /// Goes on from what is kept; gives that.
    pub(crate) fn restart(&mut self) -> Vec<u8> {
        let bytes = self.anomalies.snapshot(&service("checkout")).expect("the service is known");
        self.anomalies = Anomalies::new(AnomalySettings::default());
        self.anomalies.restore(&service("checkout"), &bytes).expect("it was just written");
        bytes
    }

    /// The next minute, with what detectors say: name, findings, scores.
    pub(crate) fn minute(&mut self, said: &Verdicts<'_>) -> Said {
        self.minute += 1;
        let closed = self.window();
        self.opened.clear();
        self.closed.clear();
        let verdicts: Vec<(Arc<Detector>, Verdict)> = said
            .iter()
            .map(|(name, findings, scores)| {
                (detector(name), Verdict { scores: scores.to_vec(), findings: findings.clone() })
            })
            .collect();
        self.anomalies.handle_window(&closed, &facts(&closed, self.calls), &verdicts);
        self.said()
    }

    pub(crate) fn window(&self) -> ClosedWindow {
        ClosedWindow {
            service: service("checkout"),
            resource: Arc::new(vec![("service.name".into(), "checkout".into())]),
            window: Window {
                start: at(self.minute),
                end: at(self.minute + 1),
                opened: self.opened.clone(),
                closed: self.closed.clone(),
                ids: self.rows.iter().map(|row| row.0).collect(),
                values: self.rows.iter().map(|row| row.1).collect(),
                minima: self.rows.iter().map(|row| row.1).collect(),
                maxima: self.rows.iter().map(|row| row.1).collect(),
                counts: self.rows.iter().map(|row| row.2).collect(),
            },
        }
    }

    pub(crate) fn said(&mut self) -> Said {
        let outputs = std::iter::from_fn(|| self.anomalies.poll_output());
        outputs
            .filter_map(|output| match output {
                ShardOutput::Anomaly { change, anomaly, .. } => Some((change, anomaly)),
                _ => None,
            })
            .collect()
    }

    /// The same findings for `minutes` minutes.
    pub(crate) fn go_on(&mut self, minutes: u64, findings: &[Finding]) -> Said {
        (0..minutes).flat_map(|_| self.minute(&[("baseline", findings.to_vec(), &[])])).collect()
    }
}

fn facts(closed: &ClosedWindow, calls: u64) -> WindowFacts {
    WindowFacts {
        service: closed.service.clone(),
        start: closed.window.start,
        end: closed.window.end,
        signals: GoldenSignals { calls, ..Default::default() },
        versions: Vec::new(),
        logs: Vec::new(),
        spans: Vec::new(),
        span_sampling: 1.0,
    }
}

pub(crate) fn finding(id: u32, score: f64, severity: Severity) -> Finding {
    Finding {
        ids: vec![id],
        kind: "level_shift".into(),
        severity,
        score,
        observed: Some(0.31),
        expected: Some(0.12),
        lower: Some(0.095),
        upper: Some(0.14),
        forecast: None,
        summary: String::new(),
        evidence: Vec::new(),
    }
}

pub(crate) fn changes(said: &Said) -> Vec<AnomalyChange> {
    said.iter().map(|(change, _)| *change).collect()
}

pub(crate) fn latency() -> Finding {
    finding(LATENCY, 5.0, Severity::Warning)
}

/// One odd window is noise, two of three are an anomaly, and it begins with the first.
#[test]
fn opens_on_two_odd_windows_of_three() {
    let mut story = Story::new();
    assert_eq!(changes(&story.go_on(1, &[latency()])), []);
    assert_eq!(changes(&story.go_on(3, &[])), []);
    assert_eq!(changes(&story.go_on(1, &[latency()])), []);
    assert_eq!(changes(&story.go_on(1, &[])), []);
    let said = story.go_on(1, &[latency()]);
    assert_eq!(changes(&said), [Detected]);
    assert_eq!((said[0].1.start, said[0].1.last), (at(9), at(12)));
}

/// A restart resets how long a process has been running, and a deployment is no fault. The same finding on another series
/// opens an anomaly.
#[test]
fn uptime_is_no_sign_of_health() {
    for (name, expected) in [("process.uptime", &[][..]), ("queue.wait", &[Detected][..])] {
        let mut story = Story::new();
        story.opened.push(series(9, name, "s", SeriesKind::Gauge, &[]));
        story.rows.push((9, 16.0, 6));
        assert_eq!(changes(&story.go_on(1, &[finding(9, 9.0, Severity::Error)])), expected, "{name}");
    }
}

/// A detector may be sure of a deviation that nobody would get up for: it must matter in practice. Half as much keeps open what
/// mattered before.
#[test]
fn what_does_not_matter_opens_nothing() {
    let small = Finding { observed: Some(0.17), ..finding(LATENCY, 9.0, Severity::Error) };
    assert_eq!(changes(&Story::new().go_on(4, std::slice::from_ref(&small))), []);
    let mut story = Story::new();
    assert_eq!(changes(&story.go_on(2, &[latency()])), [Detected]);
    let open = Finding { observed: Some(0.155), ..small };
    assert!(!changes(&story.go_on(12, &[open])).contains(&Ended), "half of it keeps it open");
}

/// Faster is worth knowing and no more.
#[test]
fn improvements_are_worth_knowing_and_no_more() {
    let mut story = Story::new();
    let faster = Finding { observed: Some(0.04), expected: Some(0.12), ..latency() };
    let said = story.go_on(2, &[faster]);
    assert_eq!(said.iter().map(|(_, anomaly)| anomaly.severity).collect::<Vec<_>>(), [Severity::Info]);
}

/// Who looks at many series sees rare things: with hundreds of series a finding must be rarer to count.
#[test]
fn many_series_ask_for_more_surprise() {
    for (series_count, opens) in [(50, true), (600, false)] {
        let mut story = Story::new();
        story.opened.extend((10..10 + series_count).map(|id| {
            let which = id.to_string();
            series(id, "queue.depth", "{item}", SeriesKind::Gauge, &[("queue", which.as_str())])
        }));
        let said = story.go_on(2, &[finding(LATENCY, 5.5, Severity::Warning)]);
        assert_eq!(changes(&said).contains(&Detected), opens, "{series_count}");
    }
}

/// The 99th percentile of a few values is their maximum, and one slow call is no trend; the middle one may be judged.
#[test]
fn high_percentiles_need_many_calls() {
    for (statistic, opens) in [("p99", false), ("p95", false), ("p50", true)] {
        let mut story = Story::new();
        let attributes = [("foreshock.statistic", statistic), ("span.name", "GET /cart")];
        story.opened.push(series(9, "traces.span.metrics.duration", "s", SeriesKind::SpanDuration, &attributes));
        story.rows.push((9, 0.31, 6));
        assert_eq!(changes(&story.go_on(3, &[finding(9, 9.0, Severity::Warning)])).contains(&Detected), opens);
    }
}

/// "60 %, expected 0 to 100 %" explains nothing; then what was expected is said. What can't be negative is not expected to be.
#[test]
fn bounds_are_said_where_they_explain() {
    let sentence = |observed, lower, upper| {
        let mut story = Story::new();
        let odd = Finding {
            observed: Some(observed),
            expected: Some(0.3),
            lower: Some(lower),
            upper: Some(upper),
            ..finding(CPU, 9.0, Severity::Warning)
        };
        story.go_on(2, &[odd])[0].1.sentence.clone()
    };
    assert!(sentence(0.6, 0.0, 1.0).contains("is 60 %, expected about 30 %, since"), "{}", sentence(0.6, 0.0, 1.0));
    assert!(sentence(0.6, -0.1, 0.5).contains("is 60 %, expected 0 to 50 %, since"), "{}", sentence(0.6, -0.1, 0.5));
}

/// People read this sentence first; the id must never change for the same input.
#[test]
fn the_sentence_and_the_id_are_stable() {
    let mut story = Story::new();
    let said = story.go_on(2, &[latency()]);
    assert_eq!(
        said[0].1.sentence,
        "checkout p99 latency of POST /pay is 310 ms, expected 95 to 140 ms, since 10:05 UTC (+158 % over 120 ms)"
    );
    assert_eq!(said[0].1.id, Story::new().go_on(2, &[latency()])[0].1.id);
    let said = story.go_on(6, &[]);
    assert_eq!(
        said[0].1.sentence,
        "checkout p99 latency of POST /pay was 310 ms, expected 95 to 140 ms, from 10:05 to 10:07 UTC (+158 % over 120 ms)"
    );
    let mut other = Story::new();
    other.minute += 1;
    assert_ne!(other.go_on(2, &[latency()])[0].1.id, said[0].1.id, "another start, another anomaly");
}

/// Other kinds of findings have sentences of their own.
#[test]
fn sentences_fit_the_kind() {
    let mut story = Story::new();
    let new_pattern =
        Finding { kind: "new_log_pattern".into(), observed: None, ..finding(LOG, 4.0, Severity::Warning) };
    let said = story.go_on(1, &[new_pattern]);
    assert_eq!(
        said[0].1.sentence,
        "checkout logs a new pattern 'connection pool timeout after <*>' (error), since 10:05 UTC"
    );
    let forecast = Forecast { limit: 1.0, reaches: at(160), earliest: at(130), latest: at(210) };
    let disk = Finding {
        forecast: Some(forecast),
        kind: "trend".into(),
        observed: Some(0.83),
        ..finding(CPU, 5.0, Severity::Warning)
    };
    let said = story.go_on(2, &[disk]);
    assert_eq!(
        said[0].1.sentence,
        "checkout system.cpu.utilization (cpu.mode=user) will reach 100 % at 12:40 UTC (80 % sure of 12:10 to 13:30), \
         now 83 %, since 10:06 UTC"
    );
}

/// Between the thresholds nothing opens and nothing ends; below the lower one it ends after three windows.
#[test]
fn ends_after_three_normal_windows_in_a_row() {
    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    let mut between = Said::new();
    for score in [3.0, 1.0, 1.0, 3.0, 1.0, 1.0] {
        between.extend(story.minute(&[("baseline", Vec::new(), &[(LATENCY, score)])]));
    }
    assert_eq!(changes(&between), []);
    let said = story.minute(&[("baseline", Vec::new(), &[(LATENCY, 1.9)])]);
    assert_eq!(changes(&said), [Ended]);
    assert_eq!(said[0].1.end, Some(at(7)), "it lasted as long as it was odd");
    assert_eq!(changes(&story.go_on(5, &[])), []);
}

/// A detector whose scores never come down must not keep an anomaly open for ever.
#[test]
fn a_long_lull_ends_it_too() {
    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    let said: Said = (0..12).flat_map(|_| story.minute(&[("baseline", Vec::new(), &[(LATENCY, 3.0)])])).collect();
    assert_eq!(changes(&said), [Ended]);
}

/// An overwhelming surprise that does harm is told at once; without harm it waits for the second window.
#[test]
fn overwhelming_harm_opens_at_once() {
    assert_eq!(changes(&Story::new().go_on(1, &[finding(LATENCY, 8.0, Severity::Error)])), [Detected]);
    assert_eq!(changes(&Story::new().go_on(1, &[finding(LATENCY, 16.0, Severity::Warning)])), []);
    assert_eq!(changes(&Story::new().go_on(1, &[finding(LATENCY, 7.9, Severity::Critical)])), []);
}

/// A score alone counts from 6 on, and is worth knowing, no more.
#[test]
fn a_high_score_counts_without_a_finding() {
    let mut story = Story::new();
    let mut told = Said::new();
    for score in [5.5, 5.5, 5.5, 6.6, 6.9] {
        told.extend(story.minute(&[("forest", Vec::new(), &[(CPU, score)])]));
    }
    assert_eq!(changes(&told), [Detected]);
    assert_eq!((told[0].1.severity, told[0].1.observed), (Severity::Info, Some(0.4)));
    // Calibration believes a detector that says so five times in a row a little less.
    assert!((6.0..6.9).contains(&told[0].1.surprise), "{}", told[0].1.surprise);
}

/// At low traffic a single failed call is a high share: on fewer than 10 calls, or with fewer than 3 failed ones, errors do not
/// open anything.
#[test]
fn errors_on_little_traffic_are_held_back() {
    for (share, calls, opens) in [(1.0, 1, false), (0.5, 2, true), (0.1, 2, false), (0.02, 100, true)] {
        let mut story = Story::new();
        story.rows[1] = (ERRORS, share, calls);
        let said = story.go_on(9, &[finding(ERRORS, 9.0, Severity::Critical)]);
        assert_eq!(changes(&said).contains(&Detected), opens, "{share} of {calls} calls a minute for 9 minutes");
    }
}

/// What several detectors say of one series is one anomaly: the strongest speaks, the other is evidence.
#[test]
fn detectors_that_agree_are_one_anomaly() {
    let mut story = Story::new();
    let both = |story: &mut Story| {
        let spike = Finding {
            kind: "spike".into(),
            summary: "far from its forest".into(),
            ..finding(LATENCY, 4.0, Severity::Warning)
        };
        story.minute(&[("isolation-forest", vec![spike], &[]), ("baseline", vec![latency()], &[])])
    };
    assert_eq!(changes(&both(&mut story)), []);
    let said = both(&mut story);
    assert_eq!(changes(&said), [Detected]);
    let anomaly = &said[0].1;
    assert_eq!((&*anomaly.detector.name, &*anomaly.kind, anomaly.surprise), ("baseline", "level_shift", 5.0));
    let agreeing = ("also seen by isolation-forest".to_owned(), "far from its forest (surprise 4.0)".to_owned());
    assert!(anomaly.evidence.contains(&agreeing), "{:?}", anomaly.evidence);
}

/// People are told again only when it is worse, or after ten minutes.
#[test]
fn is_told_again_when_worse_or_after_ten_minutes() {
    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    assert_eq!(changes(&story.go_on(3, &[finding(LATENCY, 6.9, Severity::Warning)])), []);
    let said = story.go_on(2, &[finding(LATENCY, 7.0, Severity::Warning)]);
    assert_eq!(changes(&said), [Updated]);
    assert_eq!(changes(&story.go_on(2, &[finding(LATENCY, 3.0, Severity::Error)])), [Updated]);
    assert_eq!(changes(&story.go_on(20, &[latency()])), [Updated, Updated]);
}

/// A series that is gone has no anomaly: after ten minutes without a word, at once when it is closed, and with its service.
#[test]
fn ends_when_the_series_is_gone() {
    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    story.rows.remove(0);
    assert_eq!(changes(&story.go_on(10, &[])), []);
    let said = story.go_on(1, &[]);
    assert_eq!(changes(&said), [Ended]);
    assert!(said[0].1.evidence.contains(&("ended because".to_owned(), "the series is no longer reported".to_owned())));

    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    story.closed = vec![LATENCY];
    story.rows.remove(0);
    assert_eq!(changes(&story.go_on(1, &[])), [Ended]);

    let mut story = Story::new();
    story.go_on(2, &[latency()]);
    story.anomalies.forget(&service("checkout"));
    assert_eq!(changes(&story.said()), [Ended]);
    assert_eq!(story.anomalies.open_count(), 0);
}

/// A template that is not logged says zero: its silence is normal again, not missing.
#[test]
fn silence_of_a_log_pattern_is_zero() {
    let mut story = Story::new();
    let new_pattern =
        Finding { kind: "new_log_pattern".into(), observed: None, ..finding(LOG, 4.0, Severity::Warning) };
    assert_eq!(changes(&story.go_on(1, &[new_pattern])), [Detected]);
    assert_eq!(changes(&story.go_on(3, &[])), [Ended]);
}

/// Doubts about data are anomalies of their own that last as long as they are repeated.
#[test]
fn doubts_about_data_open_and_fade() {
    let mut story = Story::new();
    let known = Arc::clone(&story.opened[2]);
    story.go_on(1, &[]);
    let mut told = Said::new();
    for _ in 0..3 {
        let closed = story.window();
        let note = QualityNote {
            service: service("checkout"),
            time: closed.window.end,
            series: Arc::clone(&known),
            kind: QualityKind::Stuck,
            since: at(1),
            observed: Some(0.4),
            expected: None,
            lower: None,
            upper: None,
            message: "the value has not moved for 2 hours".to_owned(),
        };
        story.anomalies.handle_quality(&closed, &[note]);
        told.extend(story.said());
        told.extend(story.go_on(1, &[]));
    }
    assert_eq!(changes(&told), [Detected]);
    assert_eq!((&*told[0].1.kind, &*told[0].1.detector.name), ("stuck", "data-quality"));
    assert_eq!(changes(&story.go_on(4, &[])), [Ended]);
}

/// A restart in the middle of an anomaly must not change how it goes on.
#[test]
fn a_restart_changes_nothing() {
    let rest = |story: &mut Story| {
        let mut said = story.go_on(2, &[finding(LATENCY, 9.0, Severity::Error)]);
        said.extend(story.go_on(8, &[]));
        said
    };
    let begin = || {
        let mut story = Story::new();
        story.go_on(2, &[latency()]);
        story
    };
    let mut restarted = begin();
    let bytes = restarted.restart();
    let said = rest(&mut begin());
    assert_eq!(changes(&said), [Updated, Ended]);
    assert!(said == rest(&mut restarted));
    assert!(restarted.anomalies.restore(&service("checkout"), &bytes[2..]).is_err());
    assert_eq!(restarted.anomalies.snapshot(&service("unknown")), None);
}
