//! Series of one metric that speak as one, quantiles without a volume, and series that stay away.

use crate::{
    anomalies::{CPU, LATENCY, Said, Story, changes, finding, latency},
    shop::{at, series, service},
};
use AnomalyChange::{Detected, Ended, Updated};
use foreshock_engine::{
    event::AnomalyChange,
    quality::{QualityKind, QualityNote},
    verdict::{Finding, Severity},
    window::SeriesKind,
};
use std::sync::Arc;

const MEDIAN: u32 = 10;
const MEAN: u32 = 11;
const QUANTILE: u32 = 12;
const REQUESTS: u32 = 13;

/// A story with three more statistics of the duration, and a quantile that the sender made.
fn story() -> Story {
    let mut story = Story::new();
    let duration = "traces.span.metrics.duration";
    let statistic = |name: &'static str| [("foreshock.statistic", name), ("span.name", "POST /pay")];
    story.opened.push(series(MEDIAN, duration, "s", SeriesKind::SpanDuration, &statistic("p50")));
    story.opened.push(series(MEAN, duration, "s", SeriesKind::SpanDuration, &statistic("mean")));
    let quantile = [("quantile", "0.9")];
    story.opened.push(series(QUANTILE, "server.latency", "s", SeriesKind::Gauge, &quantile));
    story.opened.push(series(REQUESTS, "requests", "{request}/s", SeriesKind::Gauge, &[]));
    story.rows.push((MEDIAN, 0.31, 100));
    story.rows.push((MEAN, 0.31, 100));
    story
}

fn ids(said: &Said) -> Vec<u64> {
    let mut ids: Vec<u64> = said.iter().map(|(_, anomaly)| anomaly.id.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A slow service shows in every statistic of its duration: people read of it once, and the rest is evidence.
#[test]
fn all_statistics_of_a_metric_are_one_anomaly() {
    let mut story = story();
    let weaker = [finding(MEDIAN, 6.0, Severity::Warning), finding(MEAN, 7.0, Severity::Warning)];
    let all = [weaker.to_vec(), vec![finding(LATENCY, 7.5, Severity::Error)]].concat();
    let mut said = story.go_on(2, &all);
    assert_eq!(changes(&said), [Detected]);
    let anomaly = &said[0].1;
    assert_eq!((anomaly.series.id, anomaly.severity), (LATENCY, Severity::Error), "the strongest speaks");
    let also: Vec<&str> =
        anomaly.evidence.iter().filter(|(key, _)| key == "also odd").map(|(_, text)| &**text).collect();
    assert_eq!(also.len(), 2, "{also:?}");
    assert!(also[0].starts_with("mean latency of POST /pay 310 ms, expected about 120 ms"), "{also:?}");
    // It lasts as long as any of them.
    said.extend(story.go_on(8, &weaker));
    assert_eq!(changes(&said), [Detected]);
    said.extend(story.go_on(8, &[]));
    assert_eq!(changes(&said), [Detected, Ended]);
    assert_eq!((said[1].1.series.id, said[1].1.end), (LATENCY, Some(at(15))));
    assert_eq!(ids(&said).len(), 1);
}

/// A stronger series that joins later speaks from then on, under the id that people know.
#[test]
fn a_stronger_series_speaks_under_the_first_id() {
    let mut story = story();
    let mut said = story.go_on(2, &[finding(MEDIAN, 6.0, Severity::Warning)]);
    let both = [finding(MEDIAN, 6.0, Severity::Warning), finding(LATENCY, 9.0, Severity::Error)];
    said.extend(story.go_on(2, &both));
    assert_eq!(changes(&said), [Detected, Updated]);
    assert_eq!((said[0].1.series.id, said[1].1.series.id), (MEDIAN, LATENCY));
    assert_eq!(ids(&said).len(), 1);
    assert_eq!(said[1].1.start, at(5), "it began with the first");
}

/// What is faster is no evidence of what is slower, and another metric is another matter.
#[test]
fn other_directions_and_metrics_stay_apart() {
    let faster = Finding { observed: Some(0.03), ..finding(MEDIAN, 6.0, Severity::Warning) };
    let busy = Finding { observed: Some(0.9), expected: Some(0.2), ..finding(CPU, 6.0, Severity::Warning) };
    let said = story().go_on(2, &[latency(), faster, busy]);
    assert_eq!(changes(&said), [Detected; 3]);
    assert_eq!(ids(&said).len(), 3);
}

/// What begins long after the others is another story, which an older one must not swallow.
#[test]
fn what_begins_much_later_is_another_anomaly() {
    for (minutes, count) in [(5, 1), (20, 2)] {
        let mut story = story();
        let mut said = story.go_on(minutes, &[latency()]);
        said.extend(story.go_on(2, &[latency(), finding(MEDIAN, 6.0, Severity::Warning)]));
        said.extend(story.go_on(10, &[]));
        assert_eq!(changes(&said).iter().filter(|change| **change == Detected).count(), count, "{minutes}");
        assert_eq!(changes(&said).iter().filter(|change| **change == Ended).count(), count, "{minutes}");
    }
}

/// A restart while several series speak as one must not change what is said.
#[test]
fn a_restart_keeps_families() {
    let all = [latency(), finding(MEDIAN, 6.0, Severity::Warning), finding(MEAN, 7.0, Severity::Warning)];
    let rest = |story: &mut Story| {
        let mut said = story.go_on(3, &all[1..]);
        said.extend(story.go_on(2, &[finding(LATENCY, 12.0, Severity::Error)]));
        said.extend(story.go_on(8, &[]));
        said
    };
    let begin = || {
        let mut story = story();
        story.go_on(2, &all);
        story
    };
    let mut restarted = begin();
    restarted.restart();
    let said = rest(&mut begin());
    assert_eq!(changes(&said), [Updated, Ended]);
    assert!(said == rest(&mut restarted));
}

/// One slow call carries the quantile of a few. Where the service says how many it answers, too few hold the finding back; where
/// nothing says so, it is worth no more than a note until it lasts, and is marked. Calls that are answered say that calls which are
/// made can't be many, but not that they are.
#[test]
fn a_senders_quantile_needs_volume_or_persistence() {
    let odd = finding(QUANTILE, 7.0, Severity::Warning);
    let (note, warning) = ((Severity::Info, true), (Severity::Warning, true));
    for (name, rate, told) in [
        ("server.latency", Some(0.01), &[][..]),
        ("server.latency", Some(5.0), &[(Severity::Warning, false)][..]),
        ("server.latency", None, &[note, warning][..]),
        ("client.latency", Some(0.01), &[][..]),
        ("client.latency", Some(5.0), &[note, warning][..]),
    ] {
        let mut story = story();
        story.opened.retain(|series| series.id != QUANTILE);
        story.opened.push(series(QUANTILE, name, "s", SeriesKind::Gauge, &[("quantile", "0.9")]));
        story.rows.push((QUANTILE, 0.31, 1));
        story.rows.extend(rate.map(|rate| (REQUESTS, rate, 1)));
        story.calls = u64::from(rate.is_some());
        let said = story.go_on(8, std::slice::from_ref(&odd));
        let said: Vec<_> = said.iter().map(|(_, anomaly)| (anomaly.severity, anomaly.unknown_volume)).collect();
        assert_eq!(said, told, "{name} {rate:?}");
    }
}

/// What comes back after it stayed away past the limit, and is odd still, is told anew: the old anomaly is over.
#[test]
fn what_comes_back_after_the_missing_limit_is_told_anew() {
    let mut story = Story::new();
    let mut said = story.go_on(2, &[latency()]);
    let row = story.rows.remove(0);
    said.extend(story.go_on(15, &[]));
    assert_eq!(changes(&said), [Detected, Ended]);
    story.rows.insert(0, row);
    said.extend(story.go_on(3, &[latency()]));
    assert_eq!(changes(&said), [Detected, Ended, Detected]);
    assert_eq!(ids(&said).len(), 2);
    assert_eq!(said[2].1.start, at(22));
    // A short absence is none: it goes on under the same id.
    let mut story = Story::new();
    let mut said = story.go_on(2, &[latency()]);
    let row = story.rows.remove(0);
    said.extend(story.go_on(8, &[]));
    story.rows.insert(0, row);
    said.extend(story.go_on(3, &[latency()]));
    assert!(!changes(&said).contains(&Ended) && ids(&said).len() == 1, "{:?}", changes(&said));
}

fn missing(story: &mut Story, minutes: u64) -> Said {
    let cpu = series(CPU, "system.cpu.utilization", "1", SeriesKind::Gauge, &[("cpu.mode", "user")]);
    let mut said = Said::new();
    for _ in 0..minutes {
        said.extend(story.go_on(1, &[]));
        let closed = story.window();
        let note = QualityNote {
            service: service("checkout"),
            time: closed.window.end,
            series: Arc::clone(&cpu),
            kind: QualityKind::MissingData,
            since: at(1),
            observed: Some(300.0),
            expected: Some(60.0),
            lower: None,
            upper: None,
            message: "no point for 5 minutes".to_owned(),
        };
        story.anomalies.handle_quality(&closed, &[note]);
        said.extend(story.said());
    }
    said
}

/// Missing data is one anomaly for as long as it is missing, however long, and ends when the series is back or its service is gone.
#[test]
fn missing_data_lasts_until_the_series_is_back_or_its_service_gone() {
    let mut story = Story::new();
    let said = missing(&mut story, 45);
    assert_eq!(changes(&said)[0], Detected);
    assert!(changes(&said)[1..].iter().all(|change| *change == Updated), "{:?}", changes(&said));
    assert_eq!(ids(&said).len(), 1);
    assert_eq!((&*said[0].1.kind, said[0].1.severity), ("missing_data", Severity::Warning));
    assert_eq!(changes(&story.go_on(4, &[])), [Ended], "it is back");

    let mut story = Story::new();
    missing(&mut story, 5);
    story.anomalies.forget(&service("checkout"));
    let said = story.said();
    assert_eq!(changes(&said), [Ended]);
    assert!(said[0].1.evidence.contains(&("ended because".to_owned(), "the service went away".to_owned())));
    assert_eq!(story.anomalies.open_count(), 0);
}
