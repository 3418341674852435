use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::*;
use crate::{Event, Remedy, Role, Route};

const MIB: u64 = 1 << 20;
const SPEC: TopicSpec = TopicSpec { name: "t", partitions: 1, retention_ms: Some(1) };

fn record(value: &str) -> NewRecord {
    let value = Bytes::copy_from_slice(value.as_bytes());
    NewRecord { topic: "t", route: Route::Partition(0), key: Bytes::new(), headers: Vec::new(), value }
}

fn options(directory: &std::path::Path) -> EmbeddedOptions {
    EmbeddedOptions {
        directory: directory.to_owned(),
        fsync: Fsync::Group,
        writer: Writer::Thread,
        reserve_bytes: 64 * MIB,
    }
}

/// A log whose disk has as many bytes free as the number says.
fn open(options: &EmbeddedOptions, free: &Arc<AtomicU64>) -> Embedded {
    let free = free.clone();
    let disk = Disk::of(&options.directory, options.reserve_bytes)
        .with_probe(move |_| Ok(free.load(Ordering::SeqCst)));
    let log = Embedded::open_on(disk, options, Arc::new(|| 1_000)).unwrap();
    log.ensure_topic(&SPEC).unwrap();
    log
}

fn values(log: &Embedded) -> Vec<String> {
    let records = log.read("t", 0, 0, ReadLimit::default()).unwrap();
    records.iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
}

#[test]
fn a_full_disk_refuses_writes_before_the_store_meets_it_and_goes_on_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let free = Arc::new(AtomicU64::new(1_024 * MIB));
    let log = open(&options, &free);
    let append = |value: &str, ack| log.append(vec![record(value)], ack).wait();
    append("a", Ack::Durable).unwrap();
    assert!(log.room().unwrap().admits().is_ok());

    // The reserve is touched: nothing new is taken in, but what was taken in is finished.
    free.store(64 * MIB - 1, Ordering::SeqCst);
    let refused = log.room().unwrap().admits().unwrap_err();
    assert_eq!((refused.kind(), refused.remedy()), ("disk_full", Remedy::Retry));
    assert!(refused.to_string().contains(&directory.path().display().to_string()), "{refused}");
    append("b", Ack::Ordered).unwrap();

    let mut owner = log.join("g", "t", Mode::Owned).unwrap();
    let Some(Event::Assigned { role: Role::Owner(epoch), .. }) =
        owner.try_next(ReadLimit::default()).unwrap()
    else {
        panic!("the only member owns the partition");
    };
    let commit = || Commit {
        group: "g",
        partition: 0,
        epoch,
        next_offset: 1,
        row: Bytes::from_static(b"row"),
        rows: vec![(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")))],
    };
    for left in [32 * MIB - 1, 0] {
        free.store(left, Ordering::SeqCst);
        for ack in [Ack::Durable, Ack::Ordered] {
            assert_eq!(append("never", ack).unwrap_err().kind(), "disk_full");
        }
        assert_eq!(log.commit(commit()).wait().unwrap_err().kind(), "disk_full");
        assert_eq!(log.trim(1_000_000).unwrap(), 0, "removing is writing too");
        assert_eq!(values(&log), ["a", "b"], "reading goes on");
    }

    free.store(1_024 * MIB, Ordering::SeqCst);
    append("c", Ack::Durable).unwrap();
    log.commit(commit()).wait().unwrap();
    drop(owner);
    drop(log);
    let log = open(&options, &free);
    assert_eq!(values(&log), ["a", "b", "c"], "what was refused left nothing behind");
    assert_eq!(log.flushed("g", 0).unwrap(), 1);
}

#[test]
fn a_directory_without_a_log_is_left_as_it_is_when_one_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Embedded::open_existing(&options(directory.path()), Arc::new(|| 0));
    assert!(matches!(missing.err(), Some(LogError::Missing(_))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let nowhere = directory.path().join("nowhere");
    assert!(Embedded::open_existing(&options(&nowhere), Arc::new(|| 0)).is_err() && !nowhere.exists());

    drop(open(&options(directory.path()), &Arc::new(AtomicU64::new(u64::MAX))));
    let log = Embedded::open_existing(&options(directory.path()), Arc::new(|| 0)).unwrap();
    assert!(log.has_topic("t").unwrap() && !log.has_topic("u").unwrap());
}
