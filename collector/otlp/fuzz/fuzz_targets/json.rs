//! OTLP/JSON: the first byte chooses the signal, the rest is a document. What is accepted must be JSON for another parser too,
//! become a valid request, and mean the same after another round.

#![no_main]

use foreshock_otlp::{Signal, json, view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, document)) = data.split_first() else { return };
    let signal = Signal::ALL[usize::from(*choice) % Signal::ALL.len()];
    let _ = json::signal(document);
    match json::to_protobuf(signal, document) {
        Ok(request) => {
            // Another parser's limit of depth is lower than ours, and it refuses numbers that we pass over unread.
            if let Err(error) = serde_json::from_slice::<serde_json::Value>(document) {
                let text = error.to_string();
                assert!(text.contains("recursion") || text.contains("out of range"), "{text}");
            }
            assert!(request.len() <= document.len() * 4);
            view::validate(signal, &request).expect("what we write is valid");
            let again = json::to_protobuf(signal, json::to_json(signal, &request).as_bytes()).expect("our own JSON");
            let third = json::to_protobuf(signal, json::to_json(signal, &again).as_bytes()).expect("our own JSON");
            assert_eq!(again, third);
        }
        Err(error) => assert!(error.offset <= document.len() && !error.path.is_empty()),
    }
});
