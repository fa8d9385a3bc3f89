//! The byte view against prost: the first byte chooses the signal, the rest is the request. Both must accept the same bytes
//! and see the same facts in them.

#![no_main]

#[path = "../../tests/oracle/mod.rs"]
mod oracle;

use foreshock_otlp::{Signal, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, request)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(*choice) % Signal::ALL.len()];
    // What was not validated must be read without a panic too.
    let _ = view::read(signal, request, &mut oracle::Facts::default());
    let _ = view::times(signal, request);
    let expected = oracle::decoded(signal, request);
    match (view::validate(signal, request), expected) {
        (Ok(items), Some(expected)) => {
            assert_eq!(items.count, expected.items);
            assert_eq!(oracle::viewed(signal, request), expected);
        }
        (Err(error), None) => assert!(error.offset <= request.len() && !error.path.is_empty()),
        (ours, theirs) => panic!("we: {ours:?}, prost accepts: {}", theirs.is_some()),
    }
});
