//! Components that are none, want what no detector gets, are made for another contract, or cost too much.

use crate::{CONTRACT, Fate, Guest, Refusal, binary, componentize, edit, good, random::Random};
use foreshock_engine::verdict::FaultReason::{self, Memory};

/// Interfaces of WASI, each with one function and its signature in the canonical ABI. Functions and types are reduced to what makes them
/// recognisable; the names are those of WASI 0.2.
const FOREIGN: [(&str, &str, &str, &str); 6] = [
    ("files", "wasi:filesystem", "preopens", "get-directories"),
    ("sockets", "wasi:sockets", "instance-network", "instance-network"),
    ("clocks", "wasi:clocks", "wall-clock", "now"),
    ("a monotonic clock", "wasi:clocks", "monotonic-clock", "now"),
    ("randomness", "wasi:random", "random", "get-random-u64"),
    ("the environment", "wasi:cli", "environment", "get-arguments"),
];

/// Imports and nothing else.
const IMPORTS: [(&str, &str, Refusal); 7] = [
    ("import of a bare function", r#"(component (import "steal" (func)))"#, Refusal::UnknownImport),
    ("import of a core module", r#"(component (import "module" (core module)))"#, Refusal::UnknownImport),
    ("import of a component", r#"(component (import "component" (component)))"#, Refusal::UnknownImport),
    ("import of a resource", r#"(component (import "file" (type (sub resource))))"#, Refusal::UnknownImport),
    (
        "import by address",
        r#"(component (import "url=<https://127.0.0.1/x.wasm>" (component)))"#,
        Refusal::UnknownImport,
    ),
    ("host that is a function", r#"(component (import "foreshock:detector/host@0.1.0" (func)))"#, Refusal::WrongShape),
    (
        "types with a function",
        r#"(component (import "foreshock:detector/types@0.1.0" (instance (export "read-file" (func)))))"#,
        Refusal::WrongShape,
    ),
];

/// Core modules of which more instances are made beside the detector's own: how many, and what becomes of it.
const BESIDE: [(&str, &str, u32, Beside); 12] = [
    ("50 empty instances", "(module)", 50, Beside::Harmless),
    ("70 empty instances", "(module)", 70, Beside::Describe(Memory)),
    ("three small memories", "(module (memory 1))", 3, Beside::Harmless),
    ("nine memories", "(module (memory 1))", 9, Beside::Describe(Memory)),
    // 2 pages are the detector's own, and 16 MiB are 256; tables take a part of one.
    ("two memories within the limit together", "(module (memory 126))", 2, Beside::Harmless),
    ("two memories beyond the limit together", "(module (memory 128))", 2, Beside::Fault(Memory)),
    (
        "two memories that grow as they start",
        "(module (memory 1) (func $start (if (i32.eq (memory.grow (i32.const 150)) (i32.const -1)) (then unreachable))) (start $start))",
        2,
        Beside::Fault(Memory),
    ),
    ("one memory beyond what any detector may have", "(module (memory 2000))", 1, Beside::NotAComponent),
    ("25 tables", "(module (table 20000 funcref))", 25, Beside::Harmless),
    ("40 tables", "(module (table 1 funcref))", 40, Beside::Describe(Memory)),
    ("table that is too large", "(module (table 20001 funcref))", 1, Beside::NotAComponent),
    (
        "endless loop in another's start function",
        "(module (func $start (loop $on (br $on))) (start $start))",
        1,
        Beside::Describe(FaultReason::Deadline),
    ),
];

enum Beside {
    Harmless,
    NotAComponent,
    Describe(FaultReason),
    Fault(FaultReason),
}

/// Core modules that use what is off.
const OFF: [(&str, &str); 5] = [
    ("shared memory", "(module (memory 1 1 shared))"),
    ("relaxed SIMD", "(module (func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))"),
    ("garbage collection", "(module (type (struct (field i32))) (func (drop (struct.new_default 0))))"),
    ("exceptions", "(module (tag $e) (func (throw $e)))"),
    ("two memories in one module", "(module (memory 1) (memory 1))"),
];

/// All of them.
#[must_use]
pub fn guests() -> Vec<Guest> {
    let mut guests = Vec::new();
    imports(&mut guests);
    versions(&mut guests);
    garbage(&mut guests);
    bombs(&mut guests);
    for (name, module, instances, beside) in &BESIDE {
        let fate = match beside {
            Beside::Harmless => Fate::Harmless,
            Beside::NotAComponent => Fate::Refused(Refusal::NotAComponent),
            Beside::Describe(reason) => Fate::Refused(Refusal::Describe(*reason)),
            Beside::Fault(reason) => Fate::Faults { reasons: vec![*reason], recovers: false },
        };
        guests.push(Guest::made(*name, fate, move || binary::with_instances(good(), &text(module), *instances)));
    }
    for (name, module) in &OFF {
        let fate = Fate::Refused(Refusal::NotAComponent);
        guests.push(Guest::made(*name, fate, move || binary::with_instances(good(), &text(module), 1)));
    }
    guests
}

fn text(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"))
}

/// Detectors that are right, but for one import more.
fn imports(guests: &mut Vec<Guest>) {
    for (what, package, interface, function) in FOREIGN {
        let make = move || {
            let foreign = format!("package {package}@0.2.0; interface {interface} {{ {function}: func() -> u64; }}");
            let world = format!(
                "package test:guest; world guest {{ import {package}/{interface}@0.2.0; include foreshock:detector/plugin@0.1.0; }}"
            );
            let import =
                format!("(import \"{package}/{interface}@0.2.0\" \"{function}\" (func $foreign (result i64)))");
            let module = edit(&[("imports", &import), ("observe", "(drop (call $foreign))")]);
            componentize(&module, &[CONTRACT, &foreign, &world], "guest")
        };
        guests.push(Guest::made(format!("import of {what}"), Fate::Refused(Refusal::UnknownImport), make));
    }
    for (name, wat, refusal) in IMPORTS {
        guests.push(Guest::made(name, Fate::Refused(refusal), move || text(wat)));
    }
    let more = || {
        let contract = CONTRACT.replace("interface host {", "interface host {\n read-file: func() -> u64;");
        let import = "(import \"foreshock:detector/host@0.1.0\" \"read-file\" (func $foreign (result i64)))";
        let module = edit(&[("imports", import), ("observe", "(drop (call $foreign))")]);
        componentize(&module, &[&contract], "plugin")
    };
    guests.push(Guest::made("host with a function more", Fate::Refused(Refusal::WrongShape), more));
}

/// Detectors for contracts of other times.
fn versions(guests: &mut Vec<Guest>) {
    for version in ["0.0.9", "0.1.1", "0.2.0", "1.0.0"] {
        let other = move |text: &str| text.replace("@0.1.0", &format!("@{version}"));
        let fate = || Fate::Refused(Refusal::OtherContract);
        let whole = move || componentize(&other(&edit(&[])), &[&other(CONTRACT)], "plugin");
        guests.push(Guest::made(format!("contract {version}"), fate(), whole));
        // It does not log, so that only its exports tell.
        let silent = move || {
            let import = "(import \"foreshock:detector/host@0.1.0\" \"log\" (func $log (param i32 i32 i32)))";
            let module = edit(&[("module", "(func $log (param i32 i32 i32))")]);
            componentize(&other(&module.replace(import, "")), &[&other(CONTRACT)], "plugin")
        };
        guests.push(Guest::made(format!("contract {version}, by its exports alone"), fate(), silent));
    }
    // The same version, but a verdict has a field more.
    let wrong = || {
        let contract = CONTRACT.replace("findings: list<finding>,", "findings: list<finding>, more: u32,");
        componentize(&edit(&[]), &[&contract], "plugin")
    };
    guests.push(Guest::made("verdict with a field more", Fate::Refused(Refusal::WrongShape), wrong));
}

/// Bytes that are no component, or only part of one.
fn garbage(guests: &mut Vec<Guest>) {
    let refused = |refusal| Fate::Refused(refusal);
    guests.push(Guest::made("nothing", refused(Refusal::NotAComponent), Vec::new));
    guests.push(Guest::made("text", refused(Refusal::NotAComponent), || b"#!/bin/sh\nexit 0\n".to_vec()));
    guests.push(Guest::made("core module", refused(Refusal::CoreModule), || text(&edit(&[]))));
    guests.push(Guest::made("empty core module", refused(Refusal::CoreModule), || binary::MODULE.to_vec()));
    guests.push(Guest::made("empty component", refused(Refusal::WrongShape), || binary::COMPONENT.to_vec()));
    for seed in 0..4 {
        let random = move || Random::new(seed).bytes(4096);
        guests.push(Guest::made(format!("random bytes {seed}"), refused(Refusal::NotAComponent), random));
        let behind = move || [&binary::COMPONENT[..], &random()].concat();
        let name = format!("random bytes {seed} behind a preamble");
        guests.push(Guest::made(name, refused(Refusal::NotAComponent), behind));
    }
    for sixteenths in 1..16 {
        let truncated = move || {
            let mut component = good();
            component.truncate(component.len() * sixteenths / 16);
            component
        };
        let name = format!("{sixteenths} sixteenths of a component");
        guests.push(Guest::made(name, refused(Refusal::NotAComponent), truncated));
    }
}

/// Components that cost the compiler, or each store, too much.
fn bombs(guests: &mut Vec<Guest>) {
    let mut refused = |name: &str, refusal, make: fn() -> Vec<u8>| {
        guests.push(Guest::made(name, Fate::Refused(refusal), make));
    };
    refused("200,001 functions", Refusal::TooLarge, || binary::around(&binary::module(200_001, &[0, 0x0b])));
    refused("function of more than 1 MiB", Refusal::TooLarge, || {
        let nops = vec![0x01; 1 << 20];
        binary::around(&binary::module(1, &[&[0], &nops[..], &[0x0b]].concat()))
    });
    // 3 KB that would keep the compiler busy for ten seconds; a few more would for minutes.
    refused("200 variables in 200 loops", Refusal::TooLarge, || {
        binary::around(&binary::module(1, &binary::loops(200, 200)))
    });
    refused("many functions of many loops", Refusal::TooLarge, || {
        binary::around(&binary::module(100, &binary::loops(100, 100)))
    });
    refused("40,000 variables", Refusal::TooLarge, || binary::around(&binary::module(1, &binary::loops(1, 40_000))));
    refused("component of more than 64 MiB", Refusal::TooLarge, || {
        [binary::COMPONENT.to_vec(), binary::section(0, &vec![0; 64 << 20])].concat()
    });
    // 3 to the power of 9 instances.
    refused("instances that multiply", Refusal::TooLarge, || binary::nest(9, 3));
    refused("components 17 deep", Refusal::TooLarge, || binary::nest(17, 1));
    refused("types that multiply", Refusal::NotAComponent, || {
        let mut types = "(type $t0 (tuple u64 u64 u64 u64))".to_owned();
        for level in 1..40 {
            let below = level - 1;
            types += &format!("(type $t{level} (tuple $t{below} $t{below} $t{below} $t{below}))");
        }
        text(&format!("(component {types})"))
    });
    // Each is 16 bytes of every instance, beyond the megabyte that one store's instances may take.
    refused("70,000 globals", Refusal::NotAComponent, || {
        let globals = "(global (mut i64) (i64.const 0))".repeat(70_000);
        binary::with_instances(good(), &text(&format!("(module {globals})")), 1)
    });
    refused("30 instances of 5,000 globals", Refusal::NotAComponent, || {
        let globals = "(global (mut i64) (i64.const 0))".repeat(5_000);
        binary::with_instances(good(), &text(&format!("(module {globals})")), 30)
    });
}
