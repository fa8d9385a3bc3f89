//! The byte view against prost: the same requests are accepted, and the same facts are seen in them.

#[expect(unreachable_pub, reason = "shared by several test programs")]
mod messages;
#[expect(unreachable_pub, reason = "shared by several test programs")]
mod oracle;

use foreshock_engine::{
    signal::{AttributeValue, Attributes, LogRecord, Metric, Point, Sink, Span},
    window::ServiceKey,
};
use foreshock_otlp::{
    Signal,
    view::{self, Problem},
};
use messages::{mutation, request};
use oracle::{decoded, viewed};
use proptest::{collection::vec, prelude::*};

/// Both readers agree on what is valid, on the number of items and on every fact.
fn agree(signal: Signal, request: &[u8]) -> Result<(), TestCaseError> {
    let expected = decoded(signal, request);
    let items = view::validate(signal, request);
    prop_assert_eq!(items.is_ok(), expected.is_some(), "validated: {:?}", items);
    if let (Ok(items), Some(expected)) = (items, expected) {
        prop_assert_eq!(items.count, expected.items);
        prop_assert_eq!(viewed(signal, request), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What any SDK can send is read as a full decoder reads it.
    #[test]
    fn sees_what_prost_sees((signal, bytes) in request()) {
        prop_assert!(view::validate(signal, &bytes).is_ok());
        agree(signal, &bytes)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Broken, doubled, reordered and foreign bytes neither panic nor pass where a peer with prost would refuse them, and
    /// what passes is merged by protobuf's rules.
    #[test]
    fn agrees_with_prost_on_mutated_bytes((signal, mut bytes) in request(), mutations in vec(mutation(), 1..4)) {
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        agree(signal, &bytes)?;
    }

    /// A message whose pieces lie in another order, in several pieces, is the same message.
    #[test]
    fn merges_the_pieces_of_a_message((signal, bytes) in request(), (_, more) in request()) {
        let mut nested = bytes;
        nested.extend_from_slice(&more);
        for _ in 0..3 {
            agree(signal, &nested)?;
            let mut wrapped = vec![0x0a];
            prost::encode_length_delimiter(nested.len(), &mut wrapped).expect("a vector grows");
            wrapped.extend_from_slice(&nested);
            nested = wrapped;
        }
    }

    /// Bytes that were never a message.
    #[test]
    fn agrees_with_prost_on_noise(bytes in vec(any::<u8>(), 0..64)) {
        for signal in Signal::ALL {
            agree(signal, &bytes)?;
        }
    }

    /// Reading what was not validated stops quietly: no panic, no endless loop.
    #[test]
    fn survives_unvalidated_bytes((signal, mut bytes) in request(), mutation in mutation()) {
        mutation.apply(&mut bytes);
        let _ = view::read(signal, &bytes, &mut oracle::Facts::default());
        let _ = view::times(signal, &bytes);
        let _ = foreshock_otlp::json::to_json(signal, &bytes);
    }
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut out).expect("a vector grows");
    out.extend_from_slice(content);
    out
}

/// A sender that gets an error learns which field of which record is to blame, and where it lies.
#[test]
fn an_error_names_the_field() {
    let good = field(2, &field(5, &field(1, b"fine")));
    let bad = field(2, &field(5, &field(1, b"\xff")));
    let records = [good.clone(), good, bad].concat();
    let request = field(1, &[field(2, &[]), field(2, &records)].concat());
    let error = view::validate(Signal::Logs, &request).expect_err("not UTF-8");
    assert_eq!(error.path, "resource_logs[0].scope_logs[1].log_records[2].body.string_value");
    assert_eq!(error.problem, Problem::Utf8);
    assert_eq!(request[error.offset..], *b"\x0a\x01\xff");
    assert_eq!(error.to_string(), format!("{}: not UTF-8 at byte {}", error.path, error.offset));

    let error = view::validate(Signal::Logs, &request[..request.len() - 1]).expect_err("truncated");
    assert_eq!((error.path.as_str(), error.problem, error.offset), ("resource_logs[0]", Problem::Truncated, 0));

    let error = view::validate(Signal::Traces, &[0x06]).expect_err("wire type 6");
    assert_eq!(error.path, "ExportTraceServiceRequest");

    // time_unix_nano as a varint.
    let request = field(1, &field(2, &field(2, &[0x08, 0x01])));
    let error = view::validate(Signal::Logs, &request).expect_err("wrong wire type");
    assert_eq!(error.path, "resource_logs[0].scope_logs[0].log_records[0].time_unix_nano");
    assert_eq!(error.problem, Problem::WireType);
}

/// Nesting is refused at the same depth as by prost, long before the stack is at risk.
#[test]
fn depth_is_capped_where_prost_caps_it() {
    let nested = |levels: usize| {
        let mut value = Vec::new();
        for _ in 0..levels {
            value = field(5, &field(1, &value));
        }
        field(1, &field(2, &field(2, &field(5, &value))))
    };
    for levels in 40..60 {
        let request = nested(levels);
        let expected = decoded(Signal::Logs, &request).is_some();
        assert_eq!(view::validate(Signal::Logs, &request).is_ok(), expected, "{levels} levels");
    }
    let error = view::validate(Signal::Logs, &nested(10_000)).expect_err("too deep");
    assert_eq!(error.problem, Problem::Depth);
    // Unvalidated, it is read without an overflow too.
    let deep = nested(10_000);
    let _ = foreshock_otlp::json::to_json(Signal::Logs, &deep);
    let _ = view::read(Signal::Logs, &deep[4..], &mut oracle::Facts::default());
}

/// Services are told apart by namespace and name; what does not say its name has a name nonetheless.
#[test]
fn splits_by_service() {
    let attribute = |key: &[u8], value: &[u8]| field(1, &[field(1, key), field(2, &field(1, value))].concat());
    let resource = |attributes: &[Vec<u8>]| field(1, &field(1, &attributes.concat()));
    let request = [
        resource(&[attribute(b"service.name", b"cart"), attribute(b"service.namespace", b"shop")]),
        resource(&[attribute(b"service.name", b"")]),
        field(1, &[]),
        resource(&[attribute(b"service.name", b"old"), attribute(b"service.name", b"new")]),
    ]
    .concat();
    let slices: Vec<_> = view::split(Signal::Metrics, &request).collect();
    let services: Vec<_> = slices.iter().map(|slice| slice.service.clone()).collect();
    let unknown = ServiceKey::new("", "unknown_service");
    assert_eq!(services, [ServiceKey::new("shop", "cart"), unknown.clone(), unknown, ServiceKey::new("", "new")]);
    assert_eq!(slices[2].bytes.len(), 0);
    assert_eq!(slices[3].bytes.end, request.len());
}

/// Keeps the hash and the attributes of each log record.
#[derive(Default)]
struct Hashes(Vec<(u64, Vec<String>)>);

impl Sink for Hashes {
    fn resource(&mut self, _: &dyn Attributes) {}
    fn scope(&mut self, _: &str, _: &str) {}
    fn point(&mut self, _: &Metric<'_>, _: &Point<'_>) {}
    fn span(&mut self, _: &Span<'_>) {}
    fn log_record(&mut self, record: &LogRecord<'_>) {
        let mut list = Vec::new();
        record.attributes.for_each(&mut |key, value| {
            if let AttributeValue::Str(value) = value {
                list.push(format!("{key}={value}"));
            }
        });
        self.0.push((record.attributes.raw_hash(), list));
    }
}

/// The hash that stands for a stream depends on the attributes alone, not on what lies between them or on the process.
#[test]
fn the_raw_hash_is_that_of_the_attributes() {
    let attribute = |key: &[u8], value: &[u8]| field(6, &[field(1, key), field(2, &field(1, value))].concat());
    let (a, b) = (attribute(b"a", b"1"), attribute(b"b", b"2"));
    let severity = [0x10, 0x09];
    let records = [
        [&a[..], &b[..]].concat(),
        [&severity[..], &a[..], &b[..]].concat(),
        [&a[..], &severity[..], &b[..]].concat(),
        [&b[..], &a[..]].concat(),
        Vec::new(),
    ];
    let scope: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    let mut hashes = Hashes::default();
    view::read(Signal::Logs, &field(2, &scope), &mut hashes).expect("well-formed");
    let [first, second, third, swapped, none] = &hashes.0[..] else { panic!("five records") };
    assert_eq!(first.1, ["a=1", "b=2"]);
    assert_eq!((first, first), (second, third));
    assert_ne!(first.0, swapped.0);
    assert_eq!(none.1, [""; 0]);
    assert_eq!(first.0, xxhash_rust::xxh3::xxh3_64(&records[0]));
}
