//! Tests of the whole way from text to a checked configuration.

use super::*;

struct Builtins;

impl Modules for Builtins {
    fn about(&self, module: &Module) -> Result<ModuleAbout, String> {
        match module {
            Module::Builtin(name) if name == "forest" => Ok(ModuleAbout {
                title: "forest 1".to_owned(),
                config_schema: r#"{"type":"object","additionalProperties":false,
                    "properties":{"contamination":{"type":"number","maximum":0.5}}}"#
                    .to_owned(),
            }),
            other => Err(format!("{other} is not there")),
        }
    }
}

fn read_with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    parse("f.yaml", Path::new("/nowhere"), text, &Surroundings { env: &env, modules: &Builtins, processors: 8 })
}

fn problems(text: &str) -> Vec<String> {
    match read_with(text, &[]) {
        Ok(loaded) => loaded.warnings.to_string().lines().map(str::to_owned).collect(),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

const SMALL: &str = "\
receivers: {otlp: {protocols: {grpc: , http: {endpoint: \"127.0.0.1:0\"}}}}
exporters: {otlp/backend: {endpoint: \"backend:4317\", tls: {insecure: true}}, otlphttp: {endpoint: \"http://b\"}, debug: }
detectors: {forest: {module: \"builtin:forest\", config: {contamination: 0.01}}}
service:
  pipelines:
    metrics: {receivers: [otlp], detectors: [forest], exporters: [otlp/backend]}
    logs/a: {receivers: [otlp], exporters: [otlphttp, debug]}
";

/// A small file gives the documented defaults, bound to localhost.
#[test]
fn defaults() {
    let loaded = read_with(SMALL, &[]).expect("usable");
    assert_eq!(loaded.warnings.in_order(), Vec::<&Problem>::new());
    let config = loaded.config;
    assert_eq!(config.grpc.as_ref().map(|l| l.endpoint.as_str()), Some("127.0.0.1:4317"));
    assert_eq!(config.http.as_ref().map(|l| l.endpoint.as_str()), Some("127.0.0.1:0"));
    assert_eq!(config.console.as_deref(), Some("127.0.0.1:4320"));
    assert_eq!(config.health.as_deref(), Some("127.0.0.1:13133"));
    assert_eq!(config.detection.window, Duration::from_secs(10));
    assert_eq!(config.detection.lateness, Duration::from_secs(5));
    assert_eq!(config.detection.shards, 4);
    assert_eq!(config.storage, Some(PathBuf::from("foreshock-data")));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
    let ExporterKind::Otlp(upstream) = &config.exporters["otlp/backend"].kind else { panic!("an upstream") };
    assert_eq!((upstream.endpoint.as_str(), upstream.http), ("http://backend:4317", false));
    assert_eq!((upstream.compression, upstream.timeout), (Compression::Gzip, Duration::from_secs(5)));
    assert_eq!(config.detection.event_exporters, ["otlp/backend"], "the pipeline with detectors gets the events");
}

/// Every problem of a file is reported in one run, each with its line and column, and slips are named.
#[test]
fn all_problems_at_once() {
    let text = "\
receivers:
  otlp:
    protocols:
      grpc: {endpiont: 127.0.0.1:4317, max_recv_msg_size_mib: 0}
      http: {endpoint: localhost}
exporters:
  otlp/a: {endpoint: \"http://a:4317/path\", compression: gzipp}
  otlp/unused: {endpoint: \"https://a:4317\", tls: {insecure: true, ca_file: /does/not/exist}}
  kafka: {}
detectors:
  forest:
    module: builtin:forest
    services: [\"[\"]
    config:
      contamination: 2
      trees: 3
    limits: {deadline: 100}
  other: {module: \"builtin:nothing\"}
service:
  pipelines:
    metric: {receivers: [otlp], exporters: [otlp/a]}
    logs: {receivers: [otpl], detectors: [forset], exporters: [otlp/b]}
  pipelines:
detection: {window: 1500ms, shards: 0}
";
    let expect = [
        (4, "unknown key `receivers.otlp.protocols.grpc.endpiont`, did you mean `endpoint`?"),
        (4, "max_recv_msg_size_mib: takes a whole number from 1 to 1024"),
        (5, "receivers.otlp.protocols.http.endpoint: takes `host:port`"),
        (7, "OTLP/gRPC has no path"),
        (7, "`gzipp`, did you mean `gzip`?"),
        (8, "warning: exporters.otlp/unused: no pipeline uses it"),
        (8, "contradict each other"),
        (8, "`/does/not/exist` can't be read"),
        (9, "exporters.kafka: there is `otlp`, `otlphttp` and `debug`"),
        (13, "`[` is not a glob"),
        (15, "detectors.forest.config.contamination: 2 is greater than the maximum"),
        (16, "'trees' was unexpected"),
        (17, "limits.deadline: takes a duration"),
        (18, "builtin:nothing is not there"),
        (21, "did you mean `metrics`?"),
        (22, "there is no receiver `otpl`, did you mean `otlp`?"),
        (22, "there is no detector `forset`, did you mean `forest`?"),
        (22, "there is no exporter `otlp/b`, did you mean `otlp/a`?"),
        (23, "`pipelines` stands here a second time; the first is in line 20"),
        (24, "detection.window: takes whole seconds"),
        (24, "detection.shards: takes a whole number from 1 to 64"),
    ];
    let found = problems(text);
    for (line, part) in expect {
        let place = format!("f.yaml:{line}:");
        assert!(
            found.iter().any(|l| l.starts_with(&place) && l.contains(part)),
            "{line}: {part}\n{}",
            found.join("\n")
        );
    }
}

/// `FORESHOCK_SHARDS` goes before the file, and nonsense in it is refused.
#[test]
fn shards_from_the_environment() {
    let shards =
        |value: &str| read_with(SMALL, &[("FORESHOCK_SHARDS", value)]).map(|loaded| loaded.config.detection.shards);
    assert_eq!(shards("7"), Ok(7));
    assert_eq!(shards(""), Ok(4));
    assert!(shards("0").is_err());
    assert!(shards("many").is_err());
}

/// The default file states the defaults of `detection` in a comment: each key is right, and is what holds without it.
#[test]
fn the_commented_defaults_of_detection_hold() {
    let file = include_str!("../../../otel-config/foreshock.yaml");
    let lines = file.lines().skip_while(|line| *line != "# detection:");
    let block: String = lines.map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or_default())).collect();
    let loaded = read_with(&format!("{SMALL}{block}"), &[]).expect("usable");
    assert_eq!(loaded.warnings.in_order(), Vec::<&Problem>::new());
    let config = loaded.config;
    let (anomalies, incidents) = (config.detection.anomalies, config.detection.incidents);
    assert!(anomalies.open_score.is_some() && anomalies.unknown_volume_windows.is_some(), "{anomalies:?}");
    assert!(config.detection.false_alarms_per_service_day.is_some() && anomalies.refractory_windows.is_some());
    assert!(incidents.growth_within.is_some() && incidents.persistence_readings.is_some(), "{incidents:?}");
    assert_eq!(crate::settings::anomalies(&config), foreshock_engine::anomaly::AnomalySettings::default());
    let usual = foreshock_engine::incident::IncidentSettings::default();
    assert_eq!(crate::settings::incidents(&config), usual);
}

/// Each key that says when anomalies and incidents open has a range, and says so where it is left.
#[test]
fn keys_of_detection_have_ranges() {
    for (part, key, wrong) in [
        ("anomalies", "open_score", "17"),
        ("anomalies", "close_score", "-1"),
        ("anomalies", "open_windows", "0"),
        ("anomalies", "open_of", "65"),
        ("anomalies", "close_windows", "0"),
        ("anomalies", "refractory_windows", "10001"),
        ("anomalies", "minimum_duration", "25h"),
        ("anomalies", "minimum_volume", "-1"),
        ("anomalies", "unknown_volume_windows", "0"),
        ("anomalies", "minimum_change", "-0.1"),
        ("anomalies", "minimum_latency_change", "25h"),
        ("anomalies", "minimum_error_change", "1.5"),
        ("anomalies", "minimum_share_change", "1.5"),
        ("incidents", "join_within", "1000h"),
        ("incidents", "growth_within", "1000h"),
        ("incidents", "persistence_windows", "0"),
        ("incidents", "persistence_readings", "1001"),
        ("incidents", "quiet", "1000h"),
        ("incidents", "reopen_within", "1000h"),
        ("incidents", "merge_within", "1000h"),
        ("incidents", "version_change_within", "1000h"),
    ] {
        let found = problems(&format!("{SMALL}detection: {{{part}: {{{key}: {wrong}}}}}\n"));
        let named = format!("detection.{part}.{key}: takes");
        assert!(found.iter().any(|line| line.contains(&named) && line.contains(" to ")), "{key}: {found:?}");
    }
}

/// The state goes where the service manager says.
#[test]
fn state_directory() {
    let loaded = read_with(SMALL, &[("STATE_DIRECTORY", "/var/lib/foreshock:/var/lib/other")]).expect("usable");
    assert_eq!(loaded.config.storage, Some(PathBuf::from("/var/lib/foreshock")));
}

/// The budget of false alarms and the weights of detectors reach the engine, and have ranges.
#[test]
fn the_budget_and_the_weights_are_read() {
    let config =
        read_with(&format!("{SMALL}detection: {{false_alarms_per_service_day: 2}}\n"), &[]).expect("usable").config;
    assert_eq!(crate::settings::anomalies(&config).budget.per_service_day, 2.0);
    assert_eq!(config.detectors[0].weight, 1.0);
    for wrong in ["0", "-1", "1001", "many"] {
        let found = problems(&format!("{SMALL}detection: {{false_alarms_per_service_day: {wrong}}}\n"));
        let named = "false_alarms_per_service_day: takes a number from 0.001 to 1000";
        assert!(found.iter().any(|line| line.contains(named)), "{found:?}");
    }
    let module = "module: \"builtin:forest\",";
    let with = |weight: &str| SMALL.replace(module, &format!("{module} weight: {weight},"));
    assert_eq!(read_with(&with("2.5"), &[]).expect("usable").config.detectors[0].weight, 2.5);
    assert!(problems(&with("0")).iter().any(|line| line.contains("weight: takes a number from 0.01 to 100")));
}

/// Each limit of a detector is what the file says, in its unit, and the documented default where it says nothing.
#[test]
fn limits_of_detectors() {
    let limits = |text: &str| {
        let text = SMALL.replace("module: \"builtin:forest\",", &format!("module: \"builtin:forest\", {text}"));
        read_with(&text, &[]).map(|loaded| loaded.config.detectors[0].limits)
    };
    assert_eq!(limits(""), Ok(Limits::default()));
    let all = "limits: {memory_mib: 32, deadline: 20ms, answer_kib: 128, state_kib: 64, findings: 3, log_lines_per_second: 0},";
    let expected = Limits {
        memory_bytes: 33_554_432,
        deadline: Duration::from_millis(20),
        answer_bytes: 131_072,
        state_bytes: 65_536,
        findings: 3,
        log_lines_per_second: 0,
    };
    assert_eq!(limits(all), Ok(expected));
    for out_of_range in
        ["memory_mib: 0", "answer_kib: 63", "state_kib: 65537", "findings: 257", "log_lines_per_second: -1"]
    {
        assert!(limits(&format!("limits: {{{out_of_range}}},")).is_err(), "{out_of_range}");
    }
}

/// Secrets do not show when a configuration is printed.
#[test]
fn secrets_stay_secret() {
    let text = SMALL.replace("tls: {insecure: true}", "headers: {Api-Key: \"${env:KEY}\"}");
    let config = read_with(&text, &[("KEY", "hush")]).expect("usable").config;
    let ExporterKind::Otlp(upstream) = &config.exporters["otlp/backend"].kind else { panic!("an upstream") };
    assert_eq!(upstream.headers[0].0, "api-key");
    assert_eq!(upstream.headers[0].1.0, "hush");
    assert!(!format!("{config:?}").contains("hush"));
}

/// Files that are no mapping, empty, or no YAML are refused with a place.
#[test]
fn not_a_configuration() {
    for text in ["", "# nothing\n", "[1, 2]", "text", "a: [", "\t: x", "a: 1\n---\nb: 2", "&a [*a]"] {
        let found = problems(text);
        assert!(found.iter().any(|line| line.contains("error")), "{text:?}: {found:?}");
    }
}

mod any {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(vec![
                "receivers",
                "otlp",
                "protocols",
                "grpc",
                "http",
                "endpoint",
                "exporters",
                "service",
                "pipelines",
                "metrics",
                "detectors",
                "module",
                "builtin:forest",
                "config",
                "detection",
                "window",
                "10s",
                "tls",
                "sending_queue",
                "${env:X}",
                "127.0.0.1:1",
                "[",
                "]",
                "{",
                "}",
                "&a",
                "*a",
                "<<",
                "-",
                "'",
                "\"",
                "|",
                "!!str",
                "1e999",
                "~",
                "99999999999999999999",
            ])
            .prop_map(str::to_owned),
            ".{0,4}",
        ]
    }

    proptest! {
        /// Whatever stands in a file, reading it ends with an answer.
        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let _ = read_with(&text, &[]);
        }

        /// The same with text that looks like a configuration.
        #[test]
        fn never_panics_on_nearly_right(
            lines in proptest::collection::vec((0usize..8, word(), word()), 0..30)
        ) {
            let text: String =
                lines.iter().map(|(depth, key, value)| format!("{}{key}: {value}\n", " ".repeat(*depth))).collect();
            let _ = read_with(&text, &[]);
        }

        /// A right file with one byte changed is read or refused, never worse.
        #[test]
        fn never_panics_on_a_changed_byte(at in 0..SMALL.len(), byte in 0x20u8..0x7f) {
            let mut text = SMALL.as_bytes().to_vec();
            text[at] = byte;
            let _ = read_with(&String::from_utf8(text).expect("ASCII"), &[]);
        }
    }
}
