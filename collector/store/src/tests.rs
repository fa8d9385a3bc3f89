//! Tests of the store on real files, with damage and with a process that is killed while it writes.

use super::*;
use proptest::prelude::*;
use std::process::{Command, Stdio};

fn state(kind: &str, service: &str, generation: u64) -> State {
    let bytes = vec![u8::try_from(generation % 251).unwrap_or(0); 4096];
    State { kind: kind.into(), service: service.into(), key: String::new(), schema: 3, bytes, updated: generation }
}

fn parcel(text: &str) -> Parcel {
    let (exporter, signal, encoding) = ("otlp/a".to_owned(), "logs".to_owned(), "gzip".to_owned());
    Parcel { exporter, signal, encoding, items: 2, bytes: text.as_bytes().to_vec() }
}

/// What is written is there after a restart, byte for byte.
#[test]
fn survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let states = [state("correlator", "", 7), state("ingest", "shop/cart", 8)];
    let record =
        |id: &str, start| Record { id: id.into(), start, updated: start, body: format!("{{\"id\":\"{id}\"}}") };
    {
        let store = Store::open(folder.path()).expect("opens").store;
        store.save_states(&states).expect("saves");
        store.post(Lane::Spool, &[parcel("a"), parcel("b")]).expect("posts");
        store.post(Lane::Outbox, &[parcel("c")]).expect("posts");
        store.record(RecordKind::Incident, &[record("1", 1), record("2", 2), record("3", 3)], 2).expect("records");
    }
    let opened = Store::open(folder.path()).expect("opens again");
    assert_eq!(opened.aside, None);
    let store = opened.store;
    assert_eq!(store.states().expect("reads"), states);
    let spool = store.waiting(Lane::Spool, 0, 10).expect("reads");
    assert_eq!(spool.iter().map(|w| w.parcel.clone()).collect::<Vec<_>>(), [parcel("a"), parcel("b")]);
    store.remove(Lane::Spool, &[spool[0].id]).expect("removes");
    assert_eq!(store.waiting(Lane::Spool, spool[0].id, 10).expect("reads").len(), 1);
    assert_eq!(store.backlog(Lane::Spool).expect("counts"), (1, 1));
    assert_eq!(store.backlog(Lane::Outbox).expect("counts"), (1, 1));
    let kept = store.records(RecordKind::Incident, 10).expect("reads");
    assert_eq!(kept.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    assert!(store.find_record(RecordKind::Incident, "1").expect("reads").is_none());
    store.forget_services(&["shop/cart".into(), String::new()]).expect("forgets");
    assert_eq!(store.states().expect("reads"), states[..1]);
}

/// Two processes on one folder would overwrite each other's state, so the second is refused.
#[test]
fn one_process_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let _held = Store::open(folder.path()).expect("opens");
    assert!(matches!(Store::open(folder.path()), Err(StoreError::InUse(_))));
}

/// A damaged file is kept for a look and replaced; the second start is an ordinary one, so there is no crash loop.
#[test]
fn damage_is_moved_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("foreshock.db"), b"this was never a database, and is long enough to look at")
        .expect("writes");
    let opened = Store::open(folder.path()).expect("opens in spite of it");
    let aside = opened.aside.expect("says so");
    assert!(aside.path.exists());
    opened.store.save_states(&[state("ingest", "a", 1)]).expect("the new file works");
    drop(opened.store);
    let again = Store::open(folder.path()).expect("opens");
    assert_eq!(again.aside, None);
    assert_eq!(again.store.states().expect("reads").len(), 1);
}

/// A file of a newer version is not touched but moved aside whole.
#[test]
fn newer_schema_is_moved_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let store = Store::open(folder.path()).expect("opens").store;
        store.connection().pragma_update(None, "user_version", 99).expect("sets");
    }
    let opened = Store::open(folder.path()).expect("opens");
    assert!(opened.aside.expect("says so").reason.contains("newer"));
}

const SERVICES: [&str; 4] = ["a", "b", "c", "d"];

/// Not a test by itself: run by the one below in a process of its own, it writes one generation after the other until it is
/// killed, and says each number after the commit.
#[test]
fn writer_until_killed() {
    let Ok(folder) = std::env::var("FORESHOCK_TEST_STORE") else { return };
    let store = Store::open(Path::new(&folder)).expect("opens").store;
    for generation in 1.. {
        store.save_states(&SERVICES.map(|service| state("ingest", service, generation))).expect("saves");
        println!("committed {generation}");
    }
}

/// A process killed at any moment leaves a whole generation: at least the last one it reported, never a mixture.
#[test]
fn kill_leaves_the_last_good_state() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=5u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "tests::writer_until_killed", "--nocapture"])
            .env("FORESHOCK_TEST_STORE", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = std::io::BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut committed = 0;
        while committed < 10 * round {
            let line = lines.next().expect("more output").expect("text");
            if let Some((_, number)) = line.split_once("committed ") {
                committed = number.trim().parse().expect("a number");
            }
        }
        child.kill().expect("is killed");
        child.wait().expect("ends");
        let opened = Store::open(folder.path()).expect("opens");
        assert_eq!(opened.aside, None, "nothing is damaged");
        let states = opened.store.states().expect("reads");
        assert_eq!(states.len(), SERVICES.len());
        assert!(states.iter().all(|state| state.updated == states[0].updated), "one generation");
        assert!(states[0].updated >= committed, "{} after {committed} was committed", states[0].updated);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever bytes a disk makes of the file, opening it ends with a store that works.
    #[test]
    fn any_damage_ends_with_a_store(at in 0usize..12_000, junk in proptest::collection::vec(any::<u8>(), 1..400)) {
        let folder = tempfile::tempdir().expect("a folder");
        {
            let store = Store::open(folder.path()).expect("opens").store;
            store.save_states(&SERVICES.map(|service| state("ingest", service, 1))).expect("saves");
        }
        let path = folder.path().join("foreshock.db");
        let mut bytes = std::fs::read(&path).expect("reads");
        let at = at.min(bytes.len());
        let end = (at + junk.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&junk[..end - at]);
        std::fs::write(&path, bytes).expect("writes");
        let opened = Store::open(folder.path()).expect("opens");
        let works = opened.store.states().is_ok() && opened.store.save_states(&[state("ingest", "z", 2)]).is_ok();
        // Damage that the check at the start can't see shows at the first use; the next start then begins afresh or works.
        if !works {
            drop(opened);
            prop_assert!(Store::open(folder.path()).is_ok());
        }
    }
}
