//! Tests of the miner as a whole, on lines made up for them.

use super::{
    Merge, TemplateLimits, TemplateMiner,
    bytes::{NAME, is},
    classify::classify,
    normalise::{Stage, normalise},
    shape::{Marks, Runs, shape},
    token::Class,
    tokenise::{Hints, tokenise},
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

fn miner() -> TemplateMiner {
    TemplateMiner::new(TemplateLimits::default())
}

/// Lines and what each becomes at first sight.
const CASES: [(&str, &str); 16] = [
    ("order 4711 paid in 35 ms", "order <*> paid in <*>"),
    ("connect to 10.0.0.7:5432 failed", "connect to <*> failed"),
    ("GET https://shop.example/cart?id=x took 0.3s", "GET <*> took <*>"),
    ("open /var/lib/data/a.db: no such file", "open <*>: no such file"),
    ("open ../data/a.db: no such file", "open <*>: no such file"),
    ("mail to joe@example.com bounced", "mail to <*> bounced"),
    ("peer fe80::1%eth0 left", "peer <*> left"),
    ("trace 5f0c3e9a-1b2c-4d5e-8f90-abcdefabcdef lost", "trace <*> lost"),
    ("started Mon Jan 5 10:11:12 UTC 2026", "started <*>"),
    ("user='' role=admin", "user='<*>' role=admin"),
    ("call handler ()", "call handler (<*>)"),
    ("state= next=b", "state=<*> next=b"),
    ("ids 1, 2, 3, 4 done", "ids <*> done"),
    ("", ""),
    ("   ", ""),
    ("plain words only", "plain words only"),
];

/// Numbers, addresses, paths, times and identifiers must become wildcards at the first sight of a line.
#[test]
fn what_varies_by_its_shape_is_masked() {
    for (line, expected) in CASES {
        assert_eq!(&*miner().observe(line).text, expected, "{line}");
    }
}

/// Names after a cue word must end in one template, under the id of its first line, with the merges told.
#[test]
fn names_become_free_and_templates_merge() {
    let mut miner = miner();
    let names = ["alice", "bob", "carol", "dave", "erin"];
    let seen: Vec<_> =
        names.iter().map(|name| miner.observe(&format!("session opened for user {name} by root"))).collect();
    let first = seen[0].id;
    assert!(seen[0].is_new);
    assert!(seen.iter().all(|template| miner.resolve(template.id) == first));
    let last = &seen[4];
    assert_eq!((last.id, &*last.text, last.is_new), (first, "session opened for user <*> by root", false));
    assert_eq!(miner.count(first), 5);
    assert_eq!(miner.len(), 1);
    // A template that was never announced needs no merge event: bob's line merged at once.
    assert_eq!(miner.poll_merge(), None);
}

/// A merge of two announced templates must be told once, from the younger to the older one.
#[test]
fn merges_are_told() {
    let mut miner = miner();
    let ids: Vec<u64> = ["red", "green", "blue", "white"]
        .iter()
        .map(|name| miner.observe(&format!("the lamp turned {name} in the hall")).id)
        .collect();
    assert_ne!(ids[0], ids[1]);
    let told: Vec<Merge> = std::iter::from_fn(|| miner.poll_merge()).collect();
    assert_eq!(told, [Merge { from: ids[1], into: ids[0] }, Merge { from: ids[2], into: ids[0] }]);
    assert_eq!(ids[3], ids[0]);
    assert_eq!(&*miner.text(ids[2]).expect("merged templates keep a text"), "the lamp turned <*> in the hall");
}

/// Different statements must stay apart, whatever values they carry.
#[test]
fn different_statements_stay_apart() {
    let mut miner = miner();
    let mut ids = BTreeMap::new();
    for round in 0..200 {
        for (k, line) in [
            format!("order {round} accepted for customer c{round}"),
            format!("order {round} rejected for customer c{round}"),
            format!("payment {round} of {round}.50 EUR timed out after {round} ms"),
            "cache flushed".to_owned(),
        ]
        .iter()
        .enumerate()
        {
            ids.entry(k).or_insert_with(Vec::new).push(miner.observe(line).id);
        }
    }
    let groups: Vec<u64> = ids.values().map(|ids| ids[0]).collect();
    assert!(ids.values().all(|ids| ids.iter().all(|id| *id == ids[0])), "one id for each statement");
    assert_eq!(groups.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}

/// Ids are part of stored data, so they must never change between versions without notice.
#[test]
fn ids_are_stable() {
    assert_eq!(miner().observe("order 4711 paid").id, miner().observe("order 99 paid").id);
    assert_eq!(miner().observe("order 4711 paid").id, 14_799_780_180_297_100_297);
    let ids: Vec<u8> = CASES.iter().flat_map(|(line, _)| miner().observe(line).id.to_le_bytes()).collect();
    assert_eq!(xxh3_64(&ids), 6_774_108_862_331_744_779);
}

/// A flood of unique lines must neither grow the miner without end nor make it forget what comes all the time.
#[test]
fn memory_is_bounded_and_the_frequent_survives() {
    let limits = TemplateLimits { signatures: 64, bucket_entries: 128, ..TemplateLimits::default() };
    let mut miner = TemplateMiner::new(limits);
    let steady = miner.observe("heartbeat sent").id;
    let mut most = 0;
    for i in 0..20_000_u32 {
        let word = |salt: u32| -> String {
            let mut x = (i + 1).wrapping_mul(2_654_435_761).wrapping_add(salt);
            (0..7)
                .map(|_| {
                    x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    char::from(b'g' + (x >> 28) as u8)
                })
                .collect()
        };
        miner.observe(&format!("{} ({}) {}: {}", word(1), word(2), word(3), word(4)));
        miner.observe(&"= ".repeat(i as usize % 40));
        if i % 16 == 0 {
            assert_eq!(miner.observe("heartbeat sent").id, steady);
        }
        most = most.max(miner.memory_bytes());
    }
    assert!(miner.len() <= 64);
    assert!(most < 200_000, "{most} bytes");
}

/// A restored miner must go on as the saved one would have.
#[test]
fn a_restored_miner_goes_on() {
    let mut original = miner();
    let line = |i: u32| {
        format!(
            "worker {} of pool {} took job from {}",
            i % 7,
            ["a", "b", "c", "d", "e"][i as usize % 5],
            ["x", "y", "z"][i as usize % 3]
        )
    };
    for i in 0..40 {
        original.observe(&line(i));
    }
    let bytes = postcard::to_stdvec(&original).expect("a miner can be saved");
    let mut restored: TemplateMiner = postcard::from_bytes(&bytes).expect("what was saved can be read");
    assert_eq!(postcard::to_stdvec(&restored).expect("saved again"), bytes, "equal states give equal bytes");
    for i in 40..120 {
        assert_eq!(restored.observe(&line(i)), original.observe(&line(i)));
    }
    assert_eq!(restored.templates(), original.templates());
}

/// A line that is longer than the limits must be cut, not refused.
#[test]
fn long_lines_are_cut() {
    let mut miner = TemplateMiner::new(TemplateLimits { max_tokens: 4, max_bytes: 64, ..TemplateLimits::default() });
    assert_eq!(&*miner.observe("a b c d e f g").text, "a b c d");
    let umlauts = "ü".repeat(1_000);
    assert!(miner.observe(&umlauts).text.len() <= 64);
    let one = miner.observe("the same start of a line that is longer than sixty-four bytes ... here one end");
    assert_eq!(
        one.id,
        miner.observe("the same start of a line that is longer than sixty-four bytes ... here another").id
    );
}

fn hostile_line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,6}",
        Just("://".to_owned()),
        Just("a:b:c::".to_owned()),
        Just("\"'".to_owned()),
        Just("() [] {}".to_owned()),
        Just("x=".to_owned()),
        Just("--".to_owned()),
        Just("...".to_owned()),
        Just("@".to_owned()),
        Just("C:\\".to_owned()),
        Just("%é1".to_owned()),
        Just("1 , 2".to_owned()),
        Just("mon may 1".to_owned()),
        Just("~/.../".to_owned()),
        Just("\n\t".to_owned()),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// No input may break the miner, and the same input must give the same answers, ids and merges.
    #[test]
    fn any_lines_give_the_same_answers_twice(lines in proptest::collection::vec(hostile_line(), 0..60)) {
        let limits = TemplateLimits { signatures: 32, bucket_entries: 32, ..TemplateLimits::default() };
        let (mut one, mut two) = (TemplateMiner::new(limits), TemplateMiner::new(limits));
        for line in &lines {
            let template = one.observe(line);
            prop_assert_eq!(&template, &two.observe(line));
            prop_assert!(template.text.len() <= 1_024);
            prop_assert_eq!(one.resolve(template.id), template.id, "an answer is never a merged id");
            // The same line right again is known and the same.
            let again = one.observe(line);
            prop_assert_eq!((again.id, again.is_new), (template.id, false));
            two.observe(line);
            prop_assert!(one.len() <= 32);
        }
        prop_assert_eq!(one.templates(), two.templates());
        prop_assert!(one.memory_bytes() < 32 * 2_048 + 32 * 1_024);
    }

    /// What the tokeniser says that a line can't hold must not be missed: all looked for, the tokens must be the same.
    #[test]
    fn hints_change_nothing(line in hostile_line(), limit in 1_usize..40) {
        let source = line.as_bytes();
        let mut tokens = Vec::new();
        let hints = tokenise(source, limit, &mut tokens);
        let mut all = tokens.clone();
        normalise(source, &mut tokens, hints, Stage::Tokens);
        normalise(source, &mut all, Hints::UNKNOWN, Stage::Tokens);
        prop_assert_eq!(tokens, all);
    }

    /// Shapes are taken for variables unseen, so the rules for words must say the same of each.
    #[test]
    fn every_shape_varies(line in hostile_line()) {
        let line = line.as_bytes();
        for i in 0..line.len() {
            let before = if i > 0 { line[i - 1] } else { b' ' };
            if !is(before, NAME) && let Some(end) = shape(line, i, before, Marks::of(line), &mut Runs::new(i)) {
                let mut word = &line[i..end];
                while let [rest @ .., b'.'] = word {
                    word = rest;
                }
                prop_assert_eq!(classify(word), Class::Variable, "{}", word.escape_ascii());
            }
        }
    }

    /// Bytes that are no saved miner must be refused or give one that works, never a panic.
    #[test]
    fn damaged_state_never_panics(cut in 0_usize..2_000, flip in 0_usize..2_000, bit in 0_u8..8, line in hostile_line()) {
        let mut original = miner();
        for name in ["red", "green", "blue", "white"] {
            original.observe(&format!("the (big lamp) turned {name} in the hall at 5"));
        }
        let mut bytes = postcard::to_stdvec(&original).expect("a miner can be saved");
        let length = bytes.len();
        bytes[flip % length] ^= 1 << bit;
        bytes.truncate(length - cut % 3);
        if let Ok(mut damaged) = postcard::from_bytes::<TemplateMiner>(&bytes) {
            damaged.observe(&line);
            damaged.observe("the (big lamp) turned black in the hall at 5");
        }
    }
}
