//! Loops, bombs and traps, each at every entry point.

use crate::{Fate, Guest, Refusal};
use foreshock_engine::verdict::FaultReason::{self, BadVerdict, Deadline, Memory, Trap};

const ENDLESS_LOOP: &str = "(loop $on (br $on))";
const MEMORY_BOMB: &str =
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";

/// What a guest does, in instructions that leave nothing on the stack. `$n` is a local that is 0 before and may be anything after.
const ACTS: [(&str, &str, FaultReason); 12] = [
    ("endless loop", ENDLESS_LOOP, Deadline),
    ("endless tail call", "(call $again)", Deadline),
    ("endless recursion", "(drop (call $descend (i32.const 0)))", Trap),
    ("memory bomb", MEMORY_BOMB, Memory),
    (
        "growing table",
        "(loop $more (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 100)) (i32.const -1)))) (unreachable)",
        Memory,
    ),
    (
        "giant copies",
        "(drop (memory.grow (i32.const 200)))
         (loop $on (memory.copy (i32.const 65536) (i32.const 65540) (i32.const 13107196)) (br $on))",
        Deadline,
    ),
    ("unreachable", "(unreachable)", Trap),
    ("division by zero", "(drop (i32.div_u (i32.const 1) (i32.load (i32.const 0))))", Trap),
    ("no number as an integer", "(drop (i32.trunc_f64_s (f64.const nan)))", Trap),
    ("store out of bounds", "(i32.store (i32.const -8) (i32.const 1))", Trap),
    ("copy out of bounds", "(memory.copy (i32.const 0) (i32.const 65536) (i32.const -1))", Trap),
    ("call of nothing", "(call_indirect $table (i32.const 0))", Trap),
];

/// An entry point, and what becomes of an act there.
struct Entry {
    name: &'static str,
    marker: &'static str,
    /// Another edit, without which nobody would come by.
    way: Option<(&'static str, &'static str)>,
    consequence: Consequence,
}

enum Consequence {
    NotLoaded,
    FaultsForGood,
    FaultsUntilOpenedAnew,
    NeverCalled,
}

impl Entry {
    const fn new(name: &'static str, marker: &'static str, consequence: Consequence) -> Self {
        Self { name, marker, way: None, consequence }
    }

    /// What becomes of an act that ends for this reason.
    fn fate(&self, reason: FaultReason) -> Fate {
        match self.consequence {
            Consequence::NotLoaded => Fate::Refused(Refusal::Describe(reason)),
            Consequence::FaultsForGood => faults(reason, false),
            Consequence::FaultsUntilOpenedAnew => faults(reason, true),
            Consequence::NeverCalled => Fate::Harmless,
        }
    }
}

const ENTRIES: [Entry; 12] = [
    Entry::new("start function", "start", Consequence::NotLoaded),
    Entry::new("describe", "describe", Consequence::NotLoaded),
    Entry::new("clean-up of describe", "describe-post", Consequence::NotLoaded),
    Entry::new("open", "open", Consequence::FaultsForGood),
    Entry::new("clean-up of open", "open-post", Consequence::FaultsForGood),
    Entry::new("observe", "observe", Consequence::FaultsUntilOpenedAnew),
    Entry::new("clean-up of observe", "observe-post", Consequence::FaultsUntilOpenedAnew),
    Entry::new("snapshot", "snapshot", Consequence::FaultsUntilOpenedAnew),
    Entry::new("clean-up of snapshot", "snapshot-post", Consequence::FaultsUntilOpenedAnew),
    Entry::new("allocation", "realloc", Consequence::FaultsForGood),
    // The host drops the store and never the model, so that no code of the guest runs.
    Entry::new("drop by the host", "drop", Consequence::NeverCalled),
    Entry {
        way: Some(("observe", "(call $drop (call $new (i32.const 8)))")),
        ..Entry::new("drop by itself", "drop", Consequence::FaultsUntilOpenedAnew)
    },
];

const LOG: &str = "(call $log (i32.const 1) (i32.const 336) (i32.const 22))";
const LOG_FLOOD: &str = "(loop $more
    (call $log (i32.const 3) (i32.const 336) (i32.const 22))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3000))))
  (local.set $n (i32.const 0))";

/// Each act at each entry point, and what only makes sense at some.
#[must_use]
pub fn guests() -> Vec<Guest> {
    let mut guests = Vec::new();
    for entry in &ENTRIES {
        for (act, code, reason) in ACTS {
            let edits: Vec<_> = [(entry.marker, code)].into_iter().chain(entry.way).collect();
            guests.push(Guest::edited(format!("{act} in {}", entry.name), entry.fate(reason), &edits));
        }
    }
    logging(&mut guests);
    memory(&mut guests);
    handles(&mut guests);
    states(&mut guests);
    guests
}

fn faults(reason: FaultReason, recovers: bool) -> Fate {
    Fate::Faults { reasons: vec![reason], recovers }
}

/// What is written to the log.
fn logging(guests: &mut Vec<Guest>) {
    for entry in ["describe", "open", "observe", "snapshot"] {
        guests.push(Guest::edited(format!("log flood in {entry}"), Fate::Harmless, &[(entry, LOG_FLOOD)]));
    }
    // A component may not call out of these.
    guests.push(Guest::edited("log in allocation", faults(Trap, false), &[("realloc", LOG)]));
    guests.push(Guest::edited("log in clean-up of observe", faults(Trap, true), &[("observe-post", LOG)]));
    let start = Fate::Refused(Refusal::Describe(Trap));
    guests.push(Guest::edited("log in start function", start, &[("start", LOG)]));
    let endless = format!("(loop $on {LOG} (br $on))");
    guests.push(Guest::edited("endless log in observe", faults(Deadline, true), &[("observe", &endless)]));
    for (name, arguments) in [
        ("log line out of bounds", "(i32.const 1) (i32.const -64) (i32.const 128)"),
        ("log line of 2 GiB", "(i32.const 1) (i32.const 336) (i32.const 2147483647)"),
        ("log level that is none", "(i32.const 9) (i32.const 336) (i32.const 22)"),
        ("log line that is no UTF-8", "(i32.const 1) (i32.const 1216) (i32.const 3)"),
    ] {
        let code = format!("(i32.store8 (i32.const 1218) (i32.const 255)) (call $log {arguments})");
        guests.push(Guest::edited(name, faults(BadVerdict, true), &[("observe", &code)]));
    }
}

/// Growth that is refused, and what allocation answers.
fn memory(guests: &mut Vec<Guest>) {
    let patient = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
                   (loop $more (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 100)) (i32.const -1))))";
    guests.push(Guest::edited("memory bomb that carries on", Fate::Harmless, &[("observe", patient)]));
    for (name, answer, fate) in [
        // It overwrites what is its own.
        ("allocation at 0", "(return (i32.const 0))", Fate::Harmless),
        ("allocation out of bounds", "(return (i32.const -16))", faults(BadVerdict, false)),
        ("allocation at an odd place", "(return (i32.const 65537))", faults(BadVerdict, false)),
    ] {
        // What the host puts at 0 is read as the window, so that the rows are those of the window in both cases.
        guests.push(Guest::edited(name, fate, &[("realloc", answer)]));
    }
}

/// Handles of models.
fn handles(guests: &mut Vec<Guest>) {
    let leak = |handles: u32| {
        format!(
            "(loop $more (drop (call $new (i32.const 9)))
               (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {handles}))))
             (local.set $n (i32.const 0))"
        )
    };
    guests.push(Guest::edited("200 leaked handles", Fate::Harmless, &[("open", &leak(200))]));
    guests.push(Guest::edited("1000 leaked handles", faults(BadVerdict, false), &[("open", &leak(1000))]));
    guests.push(Guest::edited("leaked handles in observe", faults(BadVerdict, true), &[("observe", &leak(1000))]));
    let twice = "(call $drop (call $new (i32.const 8))) (call $drop (i32.const 2))";
    guests.push(Guest::edited("handle dropped twice", faults(BadVerdict, true), &[("observe", twice)]));
    let unknown = "(call $drop (i32.const 77))";
    guests.push(Guest::edited("drop of a handle that is none", faults(BadVerdict, true), &[("observe", unknown)]));
    let given = "(call $drop (global.get $model))";
    guests.push(Guest::edited("drop of the handle that the host has", faults(BadVerdict, true), &[("observe", given)]));
}

/// What it does over a state that it kept: it traps in the fifth window, and is opened from its last snapshot.
fn states(guests: &mut Vec<Guest>) {
    let trap = ("observe", "(unreachable)");
    let bad_state = "(i32.store8 (i32.const 1152) (i32.const 1)) (i32.store8 (i32.const 1156) (i32.const 1))
                     (i32.store (i32.const 1160) (i32.const 336)) (i32.store (i32.const 1164) (i32.const 22))
                     (return (i32.const 1152))";
    let internal = bad_state.replace("(i32.const 1156) (i32.const 1)", "(i32.const 1156) (i32.const 2)");
    for (name, code, reasons) in [
        ("trap over its own state", "(unreachable)", vec![Trap]),
        ("endless loop over its own state", ENDLESS_LOOP, vec![Trap, Deadline]),
        ("memory bomb over its own state", MEMORY_BOMB, vec![Trap, Memory]),
        ("own state refused", bad_state, vec![Trap, FaultReason::BadState]),
        ("fault over its own state", &internal, vec![Trap]),
    ] {
        let fate = Fate::Faults { reasons, recovers: true };
        guests.push(Guest::edited(name, fate, &[trap, ("resume", code)]));
    }
    // The first window of each model is answered.
    let other = "(if (i64.eq (global.get $windows) (i64.const 1)) (then unreachable))";
    guests.push(Guest::edited("crash in every other window", faults(Trap, false), &[("window", other)]));
    guests.push(Guest::edited("crash loop", faults(Trap, false), &[("window", "(unreachable)")]));
}
