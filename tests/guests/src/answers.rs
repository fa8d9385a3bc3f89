//! Verdicts, states, models and descriptions that break the contract, and some that only just keep it.

use crate::{Fate, Guest, Refusal, assemble};
use foreshock_engine::verdict::FaultReason::{self, BadState, BadVerdict, Refused, Trap};

/// Stated faults: the case of `fault`, place and length of its text.
const FAULTS: [(&str, u8, i32, i32, FaultReason); 8] = [
    ("stated fault", 2, 336, 22, Trap),
    ("stated fault of a megabyte", 2, 131_072, 1 << 20, Trap),
    ("configuration refused late", 0, 336, 22, Refused),
    ("state refused late", 1, 336, 22, BadState),
    ("fault that is none", 3, 336, 22, BadVerdict),
    ("fault with a text out of bounds", 2, -8, 64, BadVerdict),
    ("fault with a text that is no UTF-8", 2, 8192, 1, BadVerdict),
    ("fault with a text of 2 GiB", 2, 336, i32::MAX, BadVerdict),
];

/// One answer of a file of answers.
struct Answer {
    name: &'static str,
    fate: &'static str,
    code: &'static str,
}

/// The answers in a file: `verdicts.wat` says in which form.
fn answers(file: &'static str) -> Vec<Answer> {
    let answer = |text: &'static str| {
        let (head, code) = text.split_once('\n').expect("a head and instructions");
        let (name, fate) = head.rsplit_once(": ").expect("a name and what becomes of it");
        Answer { name, fate, code }
    };
    file.split("\n;;; ").skip(1).map(answer).collect()
}

fn reason(name: &str) -> FaultReason {
    let known = [Trap, FaultReason::Deadline, FaultReason::Memory, BadVerdict, BadState, Refused];
    known.into_iter().find(|reason| reason.name() == name).unwrap_or_else(|| panic!("{name:?} is no reason"))
}

/// Taken, or a fault after which the guest answers again or not.
fn fate(name: &str, recovers: bool) -> Fate {
    if name == "taken" { Fate::Harmless } else { Fate::Faults { reasons: vec![reason(name)], recovers } }
}

/// A detector that changes its verdict in windows with a value above 1000, with the functions of `tools.wat` to do it with.
#[must_use]
pub fn verdict(code: &str) -> Vec<u8> {
    assemble(&edits(code))
}

/// A detector that is right in all but the schema that it states for its configuration.
#[must_use]
pub fn schema(text: &str) -> Vec<u8> {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let data = format!("(data (i32.const 8192) \"{escaped}\")");
    let about = format!(
        "(i32.store (i32.const 1040) (i32.const 8192)) (i32.store (i32.const 1044) (i32.const {}))",
        text.len()
    );
    assemble(&[("module", &data), ("about", &about)])
}

fn edits(code: &str) -> [(&str, &str); 3] {
    let window = ("window", "(global.set $window (local.get $window))");
    [("module", include_str!("../tools.wat")), window, ("observe", code)]
}

/// All of them.
#[must_use]
pub fn guests() -> Vec<Guest> {
    let mut guests = Vec::new();
    for answer in answers(include_str!("../verdicts.wat")) {
        guests.push(Guest::edited(answer.name, fate(answer.fate, true), &edits(answer.code)));
    }
    for (name, case, place, length, reason) in FAULTS {
        let code = format!(
            "(drop (memory.grow (i32.const 16)))
             (i32.store8 (i32.const 8192) (i32.const 255))
             (i32.store8 (i32.const 1216) (i32.const 1))
             (i32.store8 (i32.const 1220) (i32.const {case}))
             (i32.store (i32.const 1224) (i32.const {place}))
             (i32.store (i32.const 1228) (i32.const {length}))"
        );
        // A refused configuration is not asked about again for ten minutes.
        let fate = Fate::Faults { reasons: vec![reason], recovers: reason != Refused };
        guests.push(Guest::edited(name, fate, &[("observe", &code)]));
    }
    for answer in answers(include_str!("../models.wat")) {
        guests.push(Guest::edited(answer.name, fate(answer.fate, false), &[("opened", answer.code)]));
    }
    for answer in answers(include_str!("../states.wat")) {
        guests.push(Guest::edited(answer.name, fate(answer.fate, true), &[("state", answer.code)]));
    }
    for answer in answers(include_str!("../abouts.wat")) {
        let refusal = match answer.fate {
            "bad about" => Refusal::BadAbout,
            other => Refusal::Describe(reason(other)),
        };
        guests.push(Guest::edited(answer.name, Fate::Refused(refusal), &[("about", answer.code)]));
    }
    let changing = "(i32.store8 (i32.const 256) (i32.add (i32.const 96) (global.get $calls)))";
    guests.push(Guest::edited("description that changes", Fate::Harmless, &[("about", changing)]));
    guests
}
