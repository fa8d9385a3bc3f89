//! OTLP/JSON: there and back without loss, and as the specification has it.

#[expect(unreachable_pub, reason = "shared by several test programs")]
mod messages;

use foreshock_otlp::{
    Signal,
    json::{self, Problem, to_json, to_protobuf},
    view,
};
use messages::{mutation, request};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::any_value::Value,
    metrics::v1::metric::Data,
};
use proptest::prelude::*;
use prost::Message;

/// What prost makes of the bytes: the same for all encodings of one message.
fn canonical(signal: Signal, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match signal {
        Signal::Logs => ExportLogsServiceRequest::decode(bytes).ok()?.encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes).ok()?.encode_to_vec(),
        Signal::Traces => ExportTraceServiceRequest::decode(bytes).ok()?.encode_to_vec(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// No field is lost or changed on the way from protobuf to JSON and back: the bytes are the same.
    #[test]
    fn there_and_back_is_identity((signal, bytes) in request()) {
        let json = to_json(signal, &bytes);
        prop_assert!(!json.contains('\n'));
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "not JSON: {}", json);
        let again = to_protobuf(signal, json.as_bytes()).expect("our own JSON");
        prop_assert_eq!(&again[..], &bytes[..], "by way of {}", json);
    }

    /// Doubled, reordered and unknown fields end up as what a decoder makes of them. Field numbers beyond our table vanish,
    /// as they do in prost. Compared as JSON, which has one NaN where IEEE 754 has many.
    #[test]
    fn what_is_not_canonical_means_the_same((signal, mut bytes) in request(), mutation in mutation()) {
        mutation.apply(&mut bytes);
        if let Some(expected) = canonical(signal, &bytes) {
            let again = to_protobuf(signal, to_json(signal, &bytes).as_bytes()).expect("our own JSON");
            prop_assert_eq!(to_json(signal, &again), to_json(signal, &expected));
        }
    }

    /// Broken JSON never panics, and is refused exactly where another parser refuses it.
    #[test]
    fn refuses_what_is_not_json((signal, bytes) in request(), mutation in mutation()) {
        let mut json = to_json(signal, &bytes).into_bytes();
        mutation.apply(&mut json);
        let ours = to_protobuf(signal, &json);
        let theirs = serde_json::from_slice::<serde_json::Value>(&json);
        if let Err(error) = &ours {
            prop_assert!(error.offset <= json.len());
        }
        if theirs.is_err() {
            prop_assert!(ours.is_err());
        }
        if let Ok(protobuf) = ours {
            prop_assert!(view::validate(signal, &protobuf).is_ok());
        }
    }

    /// Doubles arrive with every bit.
    #[test]
    fn doubles_are_exact(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        for written in [format!("{value:?}"), format!("{value:e}"), format!("\"{value:?}\"")] {
            let json = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{{"asDouble":{written}}}]}}}}]}}]}}]}}"#
            );
            let bytes = to_protobuf(Signal::Metrics, json.as_bytes()).expect("a double");
            prop_assert_eq!(&bytes[bytes.len() - 8..], &value.to_le_bytes());
        }
    }
}

/// The spellings that senders use for one and the same log record.
#[test]
fn reads_what_senders_write() {
    let json = br#"{
        "resourceLogs": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "caf\u00e9 \ud83d\udd25"}}], "futureField": {"a": [1, {"b": null}]}},
            "scope_logs": [{
                "scope": null,
                "logRecords": [{
                    "timeUnixNano": "1544712660000000000",
                    "observed_time_unix_nano": 1544712660300000000,
                    "severityNumber": "SEVERITY_NUMBER_ERROR",
                    "body": {"kvlistValue": {"values": [{"key": "n", "value": {"intValue": 1e3}}, {"key": "b", "value": {"bytesValue": "_-8"}}]}},
                    "traceId": "5B8EFFF798038103D269B633813FC60C",
                    "spanId": "eee19b7ec3c1b174",
                    "droppedAttributesCount": 0,
                    "flags": 1
                }]
            }]
        }]
    }"#;
    assert_eq!(json::signal(json), Some(Signal::Logs));
    let bytes = to_protobuf(Signal::Logs, json).expect("valid");
    let request = ExportLogsServiceRequest::decode(&bytes[..]).expect("valid protobuf");
    assert_eq!(request.encode_to_vec().len(), bytes.len(), "defaults are left out");
    let logs = &request.resource_logs[0];
    let name = logs.resource.as_ref().and_then(|resource| resource.attributes[0].value.clone()).expect("a name");
    assert_eq!(name.value, Some(Value::StringValue("café 🔥".into())));
    let record = &logs.scope_logs[0].log_records[0];
    assert!(logs.scope_logs[0].scope.is_none());
    assert_eq!(record.time_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(record.observed_time_unix_nano, 1_544_712_660_300_000_000);
    assert_eq!(record.severity_number, 17);
    assert_eq!(record.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(record.span_id.len(), 8);
    assert_eq!(record.flags, 1);
    let Some(Value::KvlistValue(list)) = record.body.clone().and_then(|body| body.value) else { panic!("a list") };
    assert_eq!(list.values[0].value.clone().and_then(|value| value.value), Some(Value::IntValue(1000)));
    assert_eq!(list.values[1].value.clone().and_then(|value| value.value), Some(Value::BytesValue(vec![0xff, 0xef])));
}

/// Zero with presence is not the same as nothing: a histogram whose sum is 0 has a sum.
#[test]
fn keeps_presence() {
    let json = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"count":"0","sum":0,"bucketCounts":["0","3"],"explicitBounds":[1.5]}]}}]}]}]}"#;
    let bytes = to_protobuf(Signal::Metrics, json).expect("valid");
    let request = ExportMetricsServiceRequest::decode(&bytes[..]).expect("valid protobuf");
    let Some(Data::Histogram(histogram)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!("a histogram")
    };
    let point = &histogram.data_points[0];
    assert_eq!((point.sum, point.min, point.count), (Some(0.0), None, 0));
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[0, 3][..], &[1.5][..]));
}

/// A sender that gets an error learns which member is to blame.
#[test]
fn an_error_names_the_member() {
    let cases: [(&str, &str, Problem); 9] = [
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"timeUnixNano":"x"}]}]}]}"#,
            "resourceLogs[0].scopeLogs[0].logRecords[1].timeUnixNano",
            Problem::Expected("a whole number"),
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":-1}]}]}]}"#,
            "resourceLogs[0].scopeLogs[0].logRecords[0].timeUnixNano",
            Problem::Range,
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"abc"}]}]}]}"#,
            "resourceLogs[0].scopeLogs[0].logRecords[0].traceId",
            Problem::Expected("a hexadecimal id"),
        ),
        (
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"LOUD"}]}]}]}"#,
            "resourceLogs[0].scopeLogs[0].logRecords[0].severityNumber",
            Problem::Expected("a whole number"),
        ),
        (r#"{"resourceLogs":{}}"#, "resourceLogs", Problem::Expected("an array")),
        (r#"{"resourceLogs":[7]}"#, "resourceLogs[0]", Problem::Expected("an object")),
        (r#"{"resourceLogs":["#, "resourceLogs", Problem::End),
        (r#"[]"#, "$", Problem::Expected("an object")),
        (r#"{} x"#, "$", Problem::Expected("the end of the document")),
    ];
    for (json, path, problem) in cases {
        let error = to_protobuf(Signal::Logs, json.as_bytes()).expect_err(json);
        assert_eq!((error.path.as_str(), error.problem), (path, problem), "{json}");
    }
    let error = to_protobuf(Signal::Logs, b"{\"resourceLogs\":\"\xff\"}").expect_err("not UTF-8");
    assert_eq!((error.problem, error.offset), (Problem::Utf8, 17));
}

/// Neither known nor unknown fields can nest so deeply that the stack is at risk.
#[test]
fn depth_is_capped() {
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let unknown = format!("{{\"x\":{}}}", nested("[", "]"));
    assert_eq!(to_protobuf(Signal::Logs, unknown.as_bytes()).expect_err("deep").problem, Problem::Depth);
    let body = nested(r#"{"arrayValue":{"values":["#, "]}}");
    let known = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}"#);
    let error = to_protobuf(Signal::Logs, known.as_bytes()).expect_err("deep");
    assert_eq!(error.problem, Problem::Depth);
    assert!(error.path.starts_with("resourceLogs[0].scopeLogs[0].logRecords[0].body.arrayValue.values[0].arrayValue"));
}

/// Recorded files say by their first member which signal they hold.
#[test]
fn tells_the_signal() {
    assert_eq!(json::signal(br#"{"partial":[{}],"resourceSpans":[]}"#), Some(Signal::Traces));
    assert_eq!(json::signal(br#" { "resource_metrics" : "#), Some(Signal::Metrics));
    assert_eq!(json::signal(b"{}"), None);
    assert_eq!(json::signal(b"\xff"), None);
    assert_eq!(json::signal(br#"{"a":"b" "resourceLogs":[]}"#), None);
}
