//! Between the generated bindings and the plain types; only in components.

use crate::{
    Detector,
    model::{About, Fault, Setup, State},
    verdict::{Finding, Forecast, Severity, Verdict},
    window::{Kind, Series, Window},
};
use bindings::exports::foreshock::detector::detector as exported;
use bindings::foreshock::detector::types;
use std::{cell::RefCell, marker::PhantomData, sync::Once};

#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
pub mod bindings {
    //! Generated from `wit/detector.wit`.
    wit_bindgen::generate!({
        path: "../../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "foreshock_detector::glue::bindings",
    });
}

/// The component that a detector becomes.
pub struct Plugin<D>(PhantomData<D>);

/// One model. Calls never nest, so the cell is never borrowed twice.
pub struct Model<D>(RefCell<D>);

// === impl Plugin ===

impl<D: Detector + 'static> exported::Guest for Plugin<D> {
    type Model = Model<D>;

    fn describe() -> types::About {
        report_panics();
        about(D::about())
    }
}

// === impl Model ===

impl<D: Detector + 'static> exported::GuestModel for Model<D> {
    fn open(setup: types::Setup, saved: Option<types::State>) -> Result<exported::Model, types::Fault> {
        report_panics();
        let setup = Setup {
            service: setup.service,
            resource_attributes: setup.resource_attributes,
            config: setup.config,
            seed: setup.seed,
            step_ns: setup.step_ns,
        };
        let saved = saved.map(|state| State { schema: state.schema, bytes: state.bytes });
        match setup.parse().and_then(|setup| D::open(setup, saved)) {
            Ok(model) => Ok(exported::Model::new(Self(RefCell::new(model)))),
            Err(error) => Err(fault(error)),
        }
    }

    fn observe(&self, window: types::Window) -> Result<types::Verdict, types::Fault> {
        let window = Window {
            start_ns: window.start_ns,
            end_ns: window.end_ns,
            opened: window.opened.into_iter().map(series).collect(),
            closed: window.closed,
            ids: window.ids,
            values: window.values,
            minima: window.minima,
            maxima: window.maxima,
            counts: window.counts,
        };
        match self.0.borrow_mut().observe(&window) {
            Ok(answer) => Ok(verdict(answer)),
            Err(error) => Err(fault(error)),
        }
    }

    fn snapshot(&self) -> Result<types::State, types::Fault> {
        match self.0.borrow().snapshot() {
            Ok(state) => Ok(types::State { schema: state.schema, bytes: state.bytes }),
            Err(error) => Err(fault(error)),
        }
    }
}

/// A panic ends in a trap, which says nothing; so its message goes to the host's log first.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string()))));
}

fn about(about: About) -> types::About {
    types::About {
        name: about.name.to_owned(),
        version: about.version.to_owned(),
        config_schema: about.config_schema,
        state_schema: about.state_schema,
        warmup_windows: about.warmup_windows,
        kinds: about.kinds.into_iter().map(kind_out).collect(),
    }
}

fn series(series: types::Series) -> Series {
    Series {
        id: series.id,
        name: series.name,
        unit: series.unit,
        kind: kind_in(series.kind),
        attributes: series.attributes,
    }
}

fn kind_in(kind: types::Kind) -> Kind {
    match kind {
        types::Kind::Gauge => Kind::Gauge,
        types::Kind::Rate => Kind::Rate,
        types::Kind::Quantile => Kind::Quantile,
        types::Kind::SpanRate => Kind::SpanRate,
        types::Kind::SpanErrors => Kind::SpanErrors,
        types::Kind::SpanDuration => Kind::SpanDuration,
        types::Kind::LogTemplate => Kind::LogTemplate,
        types::Kind::LogSeverity => Kind::LogSeverity,
    }
}

fn kind_out(kind: Kind) -> types::Kind {
    match kind {
        Kind::Gauge => types::Kind::Gauge,
        Kind::Rate => types::Kind::Rate,
        Kind::Quantile => types::Kind::Quantile,
        Kind::SpanRate => types::Kind::SpanRate,
        Kind::SpanErrors => types::Kind::SpanErrors,
        Kind::SpanDuration => types::Kind::SpanDuration,
        Kind::LogTemplate => types::Kind::LogTemplate,
        Kind::LogSeverity => types::Kind::LogSeverity,
    }
}

fn verdict(verdict: Verdict) -> types::Verdict {
    types::Verdict { scores: verdict.scores, findings: verdict.findings.into_iter().map(finding).collect() }
}

fn finding(finding: Finding) -> types::Finding {
    types::Finding {
        ids: finding.ids,
        kind: finding.kind,
        severity: match finding.severity {
            Severity::Info => types::Severity::Info,
            Severity::Warning => types::Severity::Warning,
            Severity::Error => types::Severity::Error,
            Severity::Critical => types::Severity::Critical,
        },
        score: finding.score,
        observed: finding.observed,
        expected: finding.expected,
        lower: finding.lower,
        upper: finding.upper,
        forecast: finding.forecast.map(forecast),
        summary: finding.summary,
        evidence: finding.evidence,
    }
}

fn forecast(forecast: Forecast) -> types::Forecast {
    types::Forecast {
        limit: forecast.limit,
        reaches_ns: forecast.reaches_ns,
        earliest_ns: forecast.earliest_ns,
        latest_ns: forecast.latest_ns,
    }
}

fn fault(fault: Fault) -> types::Fault {
    match fault {
        Fault::BadConfig(why) => types::Fault::BadConfig(why),
        Fault::BadState(why) => types::Fault::BadState(why),
        Fault::Internal(why) => types::Fault::Internal(why),
    }
}
