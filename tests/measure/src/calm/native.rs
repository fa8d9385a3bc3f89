//! Owns the detectors as the engine calls them, natively: no sandbox, so that weeks take seconds.

use anyhow::Result;
use foreshock_detector as sdk;
use foreshock_engine::UnixNanos;
use foreshock_engine::{
    calibration::Weights,
    event::Anomaly,
    verdict::{Detector, Finding, Forecast, Severity, Verdict},
    window::{ClosedWindow, Series, SeriesKind},
};
use std::{collections::BTreeMap, sync::Arc};

trait Model {
    fn observe(&mut self, window: &sdk::Window) -> Result<sdk::Verdict, sdk::Fault>;
}

struct Of<D>(D);

impl<D: sdk::Detector> Model for Of<D> {
    fn observe(&mut self, window: &sdk::Window) -> Result<sdk::Verdict, sdk::Fault> {
        self.0.observe(window)
    }
}

/// A detector's model of one service, and the kinds of series that it wants to see.
struct Opened {
    detector: Arc<Detector>,
    kinds: Vec<sdk::Kind>,
    model: Box<dyn Model>,
}

/// One service's models.
pub(super) struct Models {
    models: Vec<Opened>,
    kinds: BTreeMap<u32, sdk::Kind>,
}

/// The detectors of the default configuration with their weights and what it sets of their own configuration, as JSON.
pub const SHIPPED: [(&str, f64, &str); 6] = [
    ("isolation-forest", 0.1, r#"{"threshold":7}"#),
    ("baseline", 0.3, r#"{"threshold":6}"#),
    ("forecast", 1.0, "{}"),
    ("novelty", 1.0, r#"{"threshold":0.38}"#),
    ("joint", 1.0, "{}"),
    ("log-patterns", 1.0, "{}"),
];

/// Their names.
pub const DEFAULT: [&str; 6] = [SHIPPED[0].0, SHIPPED[1].0, SHIPPED[2].0, SHIPPED[3].0, SHIPPED[4].0, SHIPPED[5].0];

/// The weights of the default configuration.
pub(super) fn weights() -> Weights {
    SHIPPED.into_iter().map(|(name, weight, _)| (name.into(), weight)).collect()
}

/// What the default configuration sets.
fn config(name: &str) -> &'static str {
    SHIPPED.iter().find(|shipped| shipped.0 == name).map_or("{}", |shipped| shipped.2)
}

impl Models {
    pub(super) fn open(names: &[&str], service: &str, seed: u64, step_ns: u64) -> Result<Self> {
        let mut models = Vec::new();
        for name in names {
            models.push(match *name {
                "baseline" => one::<foreshock_baseline::Baseline>(service, seed, step_ns)?,
                "forecast" => one::<foreshock_forecast::Forecast>(service, seed, step_ns)?,
                "isolation-forest" => one::<foreshock_isolation_forest::IsolationForest>(service, seed, step_ns)?,
                "joint" => one::<foreshock_joint::Joint>(service, seed, step_ns)?,
                "log-patterns" => one::<foreshock_log_patterns::LogPatterns>(service, seed, step_ns)?,
                "novelty" => one::<foreshock_novelty::Novelty>(service, seed, step_ns)?,
                "shift" => one::<foreshock_shift::Shift>(service, seed, step_ns)?,
                "spectral" => one::<foreshock_spectral::Spectral>(service, seed, step_ns)?,
                "subspace" => one::<foreshock_subspace::Subspace>(service, seed, step_ns)?,
                other => anyhow::bail!("there is no detector {other:?} here"),
            });
        }
        Ok(Self { models, kinds: BTreeMap::new() })
    }

    pub(super) fn observe(&mut self, closed: &ClosedWindow) -> Result<Vec<(Arc<Detector>, Verdict)>> {
        let window = &closed.window;
        for series in &window.opened {
            self.kinds.insert(series.id, kind(series.kind));
        }
        let mut verdicts = Vec::new();
        for Opened { detector, kinds, model } in &mut self.models {
            let wanted = |kind: sdk::Kind| kinds.is_empty() || kinds.contains(&kind);
            let mut shown = sdk::Window { start_ns: window.start.0, end_ns: window.end.0, ..sdk::Window::default() };
            shown
                .opened
                .extend(window.opened.iter().map(|series| series_of(series)).filter(|series| wanted(series.kind)));
            for (row, id) in window.ids.iter().enumerate() {
                if self.kinds.get(id).is_some_and(|kind| wanted(*kind)) {
                    shown.ids.push(*id);
                    shown.values.push(window.values[row]);
                    shown.minima.push(window.minima[row]);
                    shown.maxima.push(window.maxima[row]);
                    shown.counts.push(window.counts[row]);
                }
            }
            let said = model.observe(&shown)?;
            let scores = shown.ids.iter().copied().zip(said.scores).filter(|(_, score)| !score.is_nan()).collect();
            let findings = said.findings.into_iter().map(finding).collect();
            verdicts.push((Arc::clone(detector), Verdict { scores, findings }));
        }
        Ok(verdicts)
    }
}

fn one<D: sdk::Detector + 'static>(service: &str, seed: u64, step_ns: u64) -> Result<Opened> {
    let about = D::about();
    let setup = sdk::Setup {
        service: service.to_owned(),
        resource_attributes: Vec::new(),
        config: config(about.name).to_owned(),
        seed,
        step_ns,
    };
    let detector = Detector { name: about.name.into(), version: about.version.into(), digest: "native".into() };
    let model = Box::new(Of(D::open(setup.parse()?, None)?));
    Ok(Opened { detector: Arc::new(detector), kinds: about.kinds, model })
}

fn kind(kind: SeriesKind) -> sdk::Kind {
    match kind {
        SeriesKind::Gauge => sdk::Kind::Gauge,
        SeriesKind::Rate => sdk::Kind::Rate,
        SeriesKind::Quantile => sdk::Kind::Quantile,
        SeriesKind::SpanRate => sdk::Kind::SpanRate,
        SeriesKind::SpanErrors => sdk::Kind::SpanErrors,
        SeriesKind::SpanDuration => sdk::Kind::SpanDuration,
        SeriesKind::LogTemplate => sdk::Kind::LogTemplate,
        SeriesKind::LogSeverity => sdk::Kind::LogSeverity,
    }
}

fn series_of(series: &Series) -> sdk::Series {
    sdk::Series {
        id: series.id,
        name: series.name.to_string(),
        unit: series.unit.to_string(),
        kind: kind(series.kind),
        attributes: series.attributes.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
    }
}

fn finding(finding: sdk::Finding) -> Finding {
    Finding {
        ids: finding.ids,
        kind: finding.kind.as_str().into(),
        severity: match finding.severity {
            sdk::Severity::Info => Severity::Info,
            sdk::Severity::Warning => Severity::Warning,
            sdk::Severity::Error => Severity::Error,
            sdk::Severity::Critical => Severity::Critical,
        },
        score: finding.score,
        observed: finding.observed,
        expected: finding.expected,
        lower: finding.lower,
        upper: finding.upper,
        forecast: finding.forecast.map(|forecast| Forecast {
            limit: forecast.limit,
            reaches: UnixNanos(forecast.reaches_ns),
            earliest: UnixNanos(forecast.earliest_ns),
            latest: UnixNanos(forecast.latest_ns),
        }),
        summary: finding.summary,
        evidence: finding.evidence,
    }
}

/// One line about an anomaly, for people who look why it was opened.
pub(super) fn line(anomaly: &Anomaly) -> String {
    let attributes: Vec<String> =
        anomaly.series.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "{} {} {:.1} {} {{{}}} by {}: {}",
        anomaly.start,
        anomaly.severity,
        anomaly.surprise,
        anomaly.kind,
        attributes.join(","),
        anomaly.detector.name,
        anomaly.sentence
    )
}
