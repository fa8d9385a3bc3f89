//! Replay: the same input gives the same bytes, whatever the number of shards.

use foreshock::{
    config::{self, Modules, Surroundings},
    detectors::{self, Components},
    replay,
};
use foreshock_engine::ticks::TickSettings;
use foreshock_otlp::{Signal, json};
use std::{
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const SERVICES: u64 = 7;
const START: u64 = 1_700_000_000;

/// An hour of seven services: a gauge and a log line each every 10 s, with a service that goes wrong towards the end.
fn recording() -> impl Iterator<Item = replay::Recorded> {
    (0..360u64).flat_map(|step| {
        let seconds = START + step * 10;
        let nanos = format!("{}000000000", seconds + 1);
        let (mut metrics, mut logs) = (Vec::new(), Vec::new());
        for service in 0..SERVICES {
            let ripple = (step * 7919 + service * 104_729) % 97;
            let broken = service == 3 && (300..330).contains(&step);
            let value = if broken { 900.0 + ripple as f64 } else { 100.0 + ripple as f64 / 10.0 };
            let attributes = format!(r#"[{{"key":"service.name","value":{{"stringValue":"s{service}"}}}}]"#);
            metrics.push(format!(
                r#"{{"resource":{{"attributes":{attributes}}},"scopeMetrics":[{{"metrics":[{{"name":"queue.depth","unit":"1","gauge":{{"dataPoints":[{{"timeUnixNano":"{nanos}","asDouble":{value}}}]}}}}]}}]}}"#
            ));
            let body = if broken { format!("pool exhausted after {step} tries") } else { format!("served {step} requests") };
            let severity = if broken { 17 } else { 9 };
            logs.push(format!(
                r#"{{"resource":{{"attributes":{attributes}}},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"{nanos}","severityNumber":{severity},"body":{{"stringValue":"{body}"}}}}]}}]}}"#
            ));
        }
        let request = |signal, key: &str, parts: &[String]| {
            let text = format!("{{\"{key}\":[{}]}}", parts.join(","));
            json::to_protobuf(signal, text.as_bytes()).map(|bytes| (signal, bytes)).map_err(|error| error.to_string())
        };
        [request(Signal::Metrics, "resourceMetrics", &metrics), request(Signal::Logs, "resourceLogs", &logs)]
    })
}

fn play(shards: usize) -> (replay::Played, String) {
    let components = Components::default();
    let text = shards.to_string();
    let env = |name: &str| (name == "FORESHOCK_SHARDS").then(|| text.clone());
    let modules: &dyn Modules = &components;
    let surroundings = Surroundings { env: &env, modules, processors: 1 };
    let config = config::parse("default", Path::new(""), replay::DEFAULT_CONFIG, &surroundings).expect("usable").config;
    assert_eq!(config.detection.shards, shards);
    let loaded = detectors::load(&config, None).expect("the built-in detectors load");
    let out = Shared::default();
    let played = replay::play(&config, &loaded, recording(), TickSettings::default(), out.clone()).expect("plays");
    let bytes = std::mem::take(&mut *out.0.lock().expect("not poisoned"));
    (played, String::from_utf8(bytes).expect("text"))
}

/// The promise "same input, same answer": byte-identical output for 1, 2, 3 and 8 shards, and it is not empty.
#[test]
fn the_number_of_shards_makes_no_difference() {
    let (played, expected) = play(1);
    assert_eq!((played.requests, played.unreadable), (720, 0));
    assert!(played.windows >= 350 * SERVICES, "{played:?}");
    assert!(played.anomalies >= 1, "the broken service is noticed: {played:?}");
    assert!(expected.contains("foreshock.anomaly.detected") && expected.contains("\"s3\""), "{expected}");
    assert_eq!(expected.lines().count() as u64, played.lines);
    for shards in [2, 3, 8] {
        let (again, output) = play(shards);
        assert_eq!(again, played, "{shards} shards");
        assert!(output == expected, "{shards} shards give other bytes");
    }
}
