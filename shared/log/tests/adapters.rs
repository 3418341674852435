//! The conformance suite on every adapter of this crate, and what only the embedded one promises.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use stockade_log::{
    Ack, Clock, Embedded, EmbeddedOptions, Fsync, Log as _, LogError, Memory, MemoryDisk, NewRecord,
    ReadLimit, Route, SharedLog, TopicSpec, Writer,
    conformance::{self, Fixture},
};

/// The disk, and the log that is open on it.
struct MemoryFixture(MemoryDisk, Weak<Memory>);
impl Fixture for MemoryFixture {
    fn open(&mut self, clock: Clock) -> SharedLog {
        let log = Arc::new(Memory::open(self.0.clone(), clock).unwrap());
        self.1 = Arc::downgrade(&log);
        log
    }
    fn evict(&mut self, group: &str, partition: u32) {
        self.1.upgrade().unwrap().evict_owner(group, partition);
    }
}

struct EmbeddedFixture(tempfile::TempDir, Writer, Weak<Embedded>);
impl EmbeddedFixture {
    fn new(writer: Writer) -> Self {
        Self(tempfile::tempdir().unwrap(), writer, Weak::new())
    }
}
impl Fixture for EmbeddedFixture {
    fn open(&mut self, clock: Clock) -> SharedLog {
        let log = Arc::new(open(self.0.path(), self.1, clock).unwrap());
        self.2 = Arc::downgrade(&log);
        log
    }
    fn evict(&mut self, group: &str, partition: u32) {
        self.2.upgrade().unwrap().evict_owner(group, partition);
    }
}

fn open(directory: &Path, writer: Writer, clock: Clock) -> Result<Embedded, LogError> {
    let options =
        EmbeddedOptions { directory: directory.to_owned(), fsync: Fsync::Group, writer, reserve_bytes: 0 };
    Embedded::open(&options, clock)
}

fn still() -> Clock {
    Arc::new(|| 1_000)
}

const SPEC: TopicSpec = TopicSpec { name: "t", partitions: 1, retention_ms: None };

fn record(value: &str) -> NewRecord {
    let value = Bytes::copy_from_slice(value.as_bytes());
    NewRecord { topic: "t", route: Route::Key, key: Bytes::from_static(b"k"), headers: Vec::new(), value }
}

#[test]
fn memory_keeps_the_contract() {
    conformance::run(|| Box::new(MemoryFixture(MemoryDisk::default(), Weak::new())));
}

#[test]
fn embedded_with_a_writer_thread_keeps_the_contract() {
    conformance::run(|| Box::new(EmbeddedFixture::new(Writer::Thread)));
}

#[test]
fn embedded_written_by_its_callers_keeps_the_contract() {
    conformance::run(|| Box::new(EmbeddedFixture::new(Writer::Caller)));
}

#[test]
fn a_directory_in_use_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), Writer::Thread, still()).unwrap();
    first.ensure_topic(&SPEC).unwrap();
    assert!(matches!(open(directory.path(), Writer::Thread, still()), Err(LogError::Locked(_))));
    first.append(vec![record("still fine")], Ack::Durable).wait().unwrap();
}

/// Flips one byte in the middle of what was acknowledged and expects a refusal that leaves the files as they were.
#[test]
fn a_damaged_journal_is_refused_with_the_remedy_and_never_cut() {
    let directory = tempfile::tempdir().unwrap();
    {
        let log = open(directory.path(), Writer::Thread, still()).unwrap();
        log.ensure_topic(&SPEC).unwrap();
        for value in 0..200 {
            log.append(vec![record(&format!("value {value}"))], Ack::Durable).wait().unwrap();
        }
    }
    let journal = find(directory.path(), "jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let middle = bytes.windows(9).position(|w| w == b"value 100").unwrap();
    for (name, offset, value) in [("payload", middle, b'X'), ("framing", middle + 9, 0xff)] {
        let good = bytes[offset];
        bytes[offset] = value;
        std::fs::write(&journal, &bytes).unwrap();
        let refused = open(directory.path(), Writer::Thread, still()).err();
        let Some(LogError::Corrupt { detail, .. }) = &refused else { panic!("{name}: {refused:?}") };
        assert!(!detail.is_empty());
        assert!(refused.unwrap().to_string().contains("Restore it from a backup"));
        assert!(std::fs::read(&journal).unwrap() == bytes, "{name}: the journal was changed");
        bytes[offset] = good;
    }
    std::fs::write(&journal, &bytes).unwrap();
    let log = open(directory.path(), Writer::Thread, still()).unwrap();
    log.ensure_topic(&SPEC).unwrap();
    assert_eq!(log.read("t", 0, 0, ReadLimit::default()).unwrap().len(), 200);
}

#[test]
fn a_torn_tail_that_was_never_acknowledged_is_repaired() {
    let directory = tempfile::tempdir().unwrap();
    {
        let log = open(directory.path(), Writer::Thread, still()).unwrap();
        log.ensure_topic(&SPEC).unwrap();
        log.append(vec![record("acknowledged")], Ack::Durable).wait().unwrap();
        log.append(vec![record("in flight")], Ack::Ordered).wait().unwrap();
        log.close().unwrap();
    }
    // Cut the journal inside the last write, and take the mark back to before it, as a crash in mid-write leaves it.
    let journal = find(directory.path(), "jnl");
    let bytes = std::fs::read(&journal).unwrap();
    let last = bytes.windows(9).position(|w| w == b"in flight").unwrap();
    std::fs::write(&journal, &bytes[..last + 4]).unwrap();
    let mark = directory.path().join("durable.mark");
    let number = u64::from_le_bytes(std::fs::read(&mark).unwrap()[..8].try_into().unwrap()) - 1;
    let both = u128::from(number) | (u128::from(!number) << 64);
    std::fs::write(&mark, both.to_le_bytes()).unwrap();

    let log = open(directory.path(), Writer::Thread, still()).unwrap();
    log.ensure_topic(&SPEC).unwrap();
    let records = log.read("t", 0, 0, ReadLimit::default()).unwrap();
    assert_eq!(records.iter().map(|r| &r.value[..]).collect::<Vec<_>>(), [b"acknowledged"]);
}

#[test]
fn a_missing_log_folder_is_refused_once_writes_were_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    {
        let log = open(directory.path(), Writer::Thread, still()).unwrap();
        log.ensure_topic(&SPEC).unwrap();
        log.append(vec![record("kept")], Ack::Durable).wait().unwrap();
    }
    std::fs::remove_dir_all(directory.path().join("log")).unwrap();
    assert!(matches!(open(directory.path(), Writer::Thread, still()), Err(LogError::Corrupt { .. })));
}

fn find(directory: &Path, extension: &str) -> std::path::PathBuf {
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                return path;
            }
        }
    }
    panic!("no .{extension} file in {}", directory.display());
}
