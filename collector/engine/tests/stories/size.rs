//! How much state there is to keep.

use crate::shop::{What, anomaly, at, begins, service};
use foreshock_engine::{
    facts::{GoldenSignals, LogExcerpt, WindowFacts},
    incident::{Correlator, IncidentSettings},
    shard::ShardOutput,
    verdict::Severity,
};

/// Log templates of each service.
const TEMPLATES: u64 = 10;

fn window(index: usize, end_seconds: u64) -> ShardOutput {
    let end = at(0).plus(end_seconds * 1_000_000_000);
    let logs = (0..TEMPLATES)
        .map(|template| {
            let text = format!("order <*> of customer <*> in warehouse {index} could not be placed, reason {template}");
            LogExcerpt {
                template: xxhash_rust::xxh3::xxh3_64(text.as_bytes()),
                samples: vec![text.as_str().into(); 3],
                text: text.into(),
                severity_number: 9,
                count: 7,
            }
        })
        .collect();
    ShardOutput::Window(Box::new(WindowFacts {
        service: service(&format!("service-{index}")),
        start: end.minus(10_000_000_000),
        end,
        signals: GoldenSignals { calls: 100, log_records: 140, ..Default::default() },
        versions: vec!["1.0.0".into()],
        logs,
        spans: Vec::new(),
        span_sampling: 1.0,
    }))
}

/// The state is written every minute, so it must stay small: the texts of log templates stand in it once, and not once per
/// window.
#[test]
fn the_state_of_a_thousand_services_stays_small() {
    const SERVICES: usize = 1_000;
    const EPOCHS: u64 = 32;
    let mut correlator = Correlator::new(IncidentSettings::default());
    let mut sizes = Vec::new();
    for epoch in 1..=EPOCHS {
        let end = epoch * 90;
        let mut outputs: Vec<ShardOutput> = (0..SERVICES).map(|index| window(index, end)).collect();
        if epoch == EPOCHS {
            outputs.extend((0..SERVICES).step_by(10).flat_map(|index| {
                let name = format!("service-{index}");
                let start = EPOCHS * 90 / 60 - 2;
                [What::Latency, What::Errors].map(|what| begins(&anomaly(&name, what, start, Severity::Error)))
            }));
        }
        correlator.handle_epoch(at(0).plus(end * 1_000_000_000), outputs);
        while correlator.poll_event().is_some() {}
        if epoch % 8 == 0 {
            sizes.push(correlator.snapshot().len());
        }
    }
    println!("snapshots after 12, 24, 36 and 48 minutes: {sizes:?} bytes");
    assert_eq!(correlator.open_incidents().len(), SERVICES / 10);
    let last = sizes.last().copied().unwrap_or_default();
    assert!(last < 40_000_000, "{last} bytes of {SERVICES} services");
    let restored = Correlator::restore(IncidentSettings::default(), &correlator.snapshot()).expect("just written");
    assert_eq!(restored.services().len(), SERVICES);
}
