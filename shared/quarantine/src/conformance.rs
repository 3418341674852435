//! One suite for every quarantine store.

use std::{
    collections::BTreeMap,
    task::{Context, Poll, Waker},
};

use stockade_model::{Level, Position, Restriction, Scope, SupplierId, Timestamp};

use crate::{Answer, Entry, Put, QuarantineStore, Summary};

/// An entry of `supplier` at version `offset`.
pub fn entry(supplier: &str, offset: u64, in_force: Vec<Restriction>) -> Entry {
    Entry { supplier: id(supplier), version: version(offset), offset, in_force }
}

/// A restriction on `scope`.
pub fn restriction(scope: Scope, level: Level) -> Restriction {
    Restriction {
        id: "r-1".to_owned(),
        version: version(1),
        scope,
        level,
        reasons: vec!["DEFECT_RATE".to_owned()],
        rule: None,
        actor: None,
        values: BTreeMap::new(),
        tree: Vec::new(),
        since: Timestamp::from_ms(1),
        expires_at: Timestamp::from_ms(2),
        review_at: Timestamp::from_ms(2),
        cause: None,
        evidence: 0.0,
        text: String::new(),
        counterfactuals: Vec::new(),
        vouched: Vec::new(),
        by_association: false,
        holdout: false,
        asked: None,
        confirmed: None,
    }
}

/// A supplier id.
pub fn id(supplier: &str) -> SupplierId {
    match SupplierId::new(supplier) {
        Ok(id) => id,
        Err(error) => panic!("{error}"),
    }
}

/// The version of the decision at `offset`.
pub fn version(offset: u64) -> Position {
    Position { fold: "arbiter".to_owned(), partition: 0, generation: 1, offset, index: 1 }
}

/// Drives a future to its end. A store that needs a runtime is polled inside one by its test.
pub fn now<T>(answer: Answer<'_, T>) -> T {
    let mut answer = answer;
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(Ok(value)) => return value,
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Runs the suite. `open` gives the same store again, as after a restart; stores that forget may give a fresh one and
/// pass `survives = false`.
pub fn run<S: QuarantineStore>(mut open: impl FnMut() -> S, survives: bool) {
    let locked = || vec![restriction(Scope::Supplier, Level::Quarantine)];
    let store = open();
    assert_eq!(now(store.get(&id("a"))), None, "an empty store knows nobody");
    assert_eq!(now(store.put(entry("a", 5, locked()))), Put::Applied);
    assert_eq!(now(store.put(entry("a", 5, Vec::new()))), Put::Stale, "the same version does nothing");
    assert_eq!(now(store.put(entry("a", 4, Vec::new()))), Put::Stale, "an older version does nothing");
    assert_eq!(now(store.get(&id("a"))), Some(entry("a", 5, locked())));
    assert_eq!(now(store.put(entry("b", 6, locked()))), Put::Applied);
    assert_eq!(
        now(store.put(entry("a", 7, Vec::new()))),
        Put::Applied,
        "a release is a write like any other"
    );
    let versions = |entries: Vec<Entry>| entries.iter().map(|e| e.version.offset).collect::<Vec<_>>();
    assert_eq!(versions(now(store.since(None))), [6, 7], "all, oldest first");
    assert_eq!(versions(now(store.since(Some(version(6))))), [7], "after a version, released ones included");
    assert_eq!(now(store.summary()), Summary { entries: 2, last: Some(version(7)) });
    now(store.put(entry("ghost", 8, locked())));
    now(store.forget(&id("ghost"), &version(7)));
    assert_eq!(now(store.summary()).entries, 3, "another version is left alone");
    now(store.forget(&id("ghost"), &version(8)));
    assert_eq!(
        (now(store.get(&id("ghost"))), now(store.summary()).entries),
        (None, 2),
        "a ghost can be taken out"
    );
    for number in 0..1_200 {
        now(store.put(entry(&format!("m{number}"), 100 + number, Vec::new())));
    }
    assert_eq!(
        versions(now(store.since(Some(version(7))))),
        (100..1_300).collect::<Vec<_>>(),
        "however many"
    );
    for number in 0..1_200 {
        now(store.forget(&id(&format!("m{number}")), &version(100 + number)));
    }
    drop(store);
    if survives {
        let store = open();
        assert_eq!(versions(now(store.since(None))), [6, 7], "it is all there after a restart");
        assert_eq!(now(store.put(entry("b", 6, Vec::new()))), Put::Stale, "and so are the versions");
    }
}
