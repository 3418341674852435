//! The conformance suite on every store of this crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use stockade_model::{Level, Scope};
use stockade_quarantine::{
    FileStore, MemoryStore, QuarantineStore as _,
    conformance::{self, entry, now, restriction},
};

#[test]
fn memory_keeps_the_contract() {
    conformance::run(MemoryStore::default, false);
}

#[test]
fn the_file_store_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    conformance::run(|| FileStore::open(&directory.path().join("quarantine.jsonl")).unwrap(), true);
}

#[test]
fn a_torn_last_line_costs_that_line_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quarantine.jsonl");
    let store = FileStore::open(&path).unwrap();
    for version in 1..=3 {
        let set = vec![restriction(Scope::Supplier, Level::Quarantine)];
        now(store.put(entry(&format!("s{version}"), version, set)));
    }
    drop(store);
    let text = std::fs::read(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 10]).unwrap();
    let store = FileStore::open(&path).unwrap();
    assert_eq!(now(store.since(None)).len(), 2);
}

#[test]
fn a_file_that_is_mostly_history_is_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quarantine.jsonl");
    let store = FileStore::open(&path).unwrap();
    for version in 1..=5_000 {
        now(store.put(entry("s", version, Vec::new())));
    }
    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines < 1_100, "{lines}");
    assert_eq!(now(FileStore::open(&path).unwrap().since(None))[0].version.offset, 5_000);
}
