//! One suite for every adapter: each case is a promise of the contract, by name.
//!
//! An adapter's test calls [`run`] with a [`Fixture`]. Cases use topics of their own, so they may share one log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Event, Lane, LogError, Mode, NewRecord, ReadLimit,
    Record, Remedy, Role, Route, SharedLog, TopicSpec,
};

/// How the suite opens and restarts an adapter.
pub trait Fixture {
    /// Opens the log with this clock, over what earlier opens left behind.
    fn open(&mut self, clock: Clock) -> SharedLog;
    /// Whether record times come from that clock and retention from `trim`. A broker has its own clock and its own
    /// retention, so the cases about those cannot be played on it.
    fn keeps_time(&self) -> bool {
        true
    }
    /// Puts the owner of `partition` out of `group` behind its back, as a broker does when a session times out.
    fn evict(&mut self, group: &str, partition: u32);
    /// Lets everything before offset `first` expire now, for adapters that do not keep time.
    fn expire(&mut self, _topic: &str, _partition: u32, _first: u64) {}
}

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an owner that was put out and does not know tries to commit. A client hears of it from a broker by its next
/// heartbeat; tries that are put off take long enough for some of them to come after that.
const STALE_TRIES: usize = 8;

/// A clock that tests move.
#[derive(Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Sets the time.
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
    /// As the log wants it.
    pub fn clock(&self) -> Clock {
        let time = self.0.clone();
        Arc::new(move || time.load(Ordering::SeqCst))
    }
}

/// What a case gets.
pub struct Bench<'a> {
    fixture: &'a mut dyn Fixture,
    /// The clock of every log it opens.
    pub clock: ManualClock,
    log: Option<SharedLog>,
}

impl Bench<'_> {
    fn log(&self) -> SharedLog {
        match &self.log {
            Some(log) => log.clone(),
            None => unreachable!("a bench always has a log between restarts"),
        }
    }
    fn restart(&mut self) -> SharedLog {
        drop(self.log.take());
        let log = self.fixture.open(self.clock.clock());
        self.log = Some(log.clone());
        log
    }
    fn topic(&self, name: &'static str, partitions: u32) -> TopicSpec {
        let spec = TopicSpec { name, partitions, retention_ms: Some(1_000) };
        check(self.log().ensure_topic(&spec));
        spec
    }
}

type Case = (&'static str, fn(&mut Bench<'_>));

/// Every case, by the promise it holds.
pub const CASES: &[Case] = &[
    ("records of one append lie contiguously and in order", contiguous),
    ("one key always lands in one partition, a number is obeyed", routing),
    ("records of one key stay in order though their lanes change", lanes),
    ("record times never go back even if the clock does", monotone_time),
    ("what was acknowledged is there after a restart, with the next offset after it", restart),
    ("a consumer starts at the committed offset after a restart", resume),
    ("two members share the partitions and a third takes some over", sharing),
    ("a member of mode all reads everything and is promoted when the owner leaves", promotion),
    ("a follower reads everything and takes nothing from the members", followers),
    ("the end of a partition becomes known without asking", horizons),
    ("a commit with an old epoch is fenced and changes nothing", fencing),
    ("a fenced owner is told its new role and owns again under a later epoch", fenced_alone),
    ("an owner put out of its group leaves it to exactly one other", fenced_for_another),
    ("epochs grow across restarts", epochs_survive),
    ("a commit never moves back", backwards),
    ("rows, partition row and offset are committed together and survive a restart", commit_together),
    ("the changelog gives the last value of each key and no deleted ones", compaction),
    ("retention takes old records and only those, and says where it now begins", retention),
    ("the next offset survives when everything is old and the log restarts", retention_restart),
    ("a batch that can never fit is rejected, not retried", too_large),
    ("an unknown topic or partition is rejected", unknown),
    ("a topic with another number of partitions is refused with the remedy", mismatch),
    ("small reads walk through everything exactly once", small_reads),
    ("old records are read back from storage as they were written", cold_reads),
    ("a closed log refuses appends", closed),
];

/// Runs every case against a fresh fixture each.
pub fn run(mut fixture: impl FnMut() -> Box<dyn Fixture>) {
    for (name, case) in CASES {
        let mut fixture = fixture();
        let clock = ManualClock::default();
        clock.set(1_000_000);
        let mut bench = Bench { fixture: fixture.as_mut(), clock, log: None };
        bench.restart();
        let begun = Instant::now();
        case(&mut bench);
        eprintln!("log conformance: {name} ({:?})", begun.elapsed());
    }
}

#[track_caller]
fn check<T>(result: Result<T, LogError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

fn record(topic: &'static str, route: Route, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic,
        route,
        key: Bytes::copy_from_slice(key.as_bytes()),
        headers: vec![("ce_type", format!("type of {value}"))],
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn fill(log: &SharedLog, topic: &'static str, partition: u32, values: std::ops::Range<u32>) {
    let batch = values.map(|v| record(topic, Route::Partition(partition), "k", &v.to_string())).collect();
    check(log.append(batch, Ack::Durable).wait());
}

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(&r.value).into_owned()).collect()
}

/// What a member has been told so far.
struct Told {
    roles: Vec<Option<Role>>,
    values: Vec<Vec<String>>,
}

impl Told {
    fn new(partitions: usize) -> Self {
        Self { roles: vec![None; partitions], values: vec![Vec::new(); partitions] }
    }
    fn owned(&self) -> usize {
        self.roles.iter().filter(|role| matches!(role, Some(Role::Owner(_)))).count()
    }
    /// Takes what is there now.
    fn take(&mut self, consumer: &mut dyn Consumer) {
        while let Some(event) = check(consumer.try_next(ReadLimit::default())) {
            match event {
                Event::Assigned { partition, role } => self.roles[partition as usize] = Some(role),
                Event::Batch { partition, records } => {
                    self.values[partition as usize].extend(values(&records));
                }
            }
        }
    }
}

/// Waits for news, but not for long, so that other members get their turn.
fn rest(consumer: &mut dyn Consumer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let Ok(runtime) = runtime else { panic!("no runtime for waiting") };
    // What came of it is seen by asking again.
    let _ =
        runtime.block_on(async { tokio::time::timeout(Duration::from_millis(20), consumer.wait()).await });
}

/// Follows a member until `done`.
#[track_caller]
fn follow(consumer: &mut dyn Consumer, told: &mut Told, done: impl Fn(&Told) -> bool) {
    let begun = Instant::now();
    loop {
        told.take(consumer);
        if done(told) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {:?} {:?}", told.roles, told.values);
        rest(consumer);
    }
}

/// Follows a member until it owns all of `partitions` partitions.
#[track_caller]
fn owner(consumer: &mut dyn Consumer, partitions: usize) -> Told {
    let mut told = Told::new(partitions);
    follow(consumer, &mut told, |told| told.owned() == partitions);
    told
}

fn epoch(role: Option<Role>) -> u64 {
    match role {
        Some(Role::Owner(epoch)) => epoch,
        other => panic!("expected to be the owner, got {other:?}"),
    }
}

fn commit(partition: u32, epoch: u64, next_offset: u64, rows: &[(&str, Option<&str>)]) -> Commit {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Commit {
        group: "g",
        partition,
        epoch,
        next_offset,
        row: bytes(&format!("row at {next_offset}")),
        rows: rows.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect(),
    }
}

fn commit_now(log: &SharedLog, commit: Commit) -> Result<(), LogError> {
    log.commit(commit).wait()
}

/// The last commit and the rows as of then.
fn restore(log: &SharedLog, partition: u32) -> (Option<Committed>, Vec<(String, String)>) {
    let mut rows = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let committed = check(log.restore("g", partition, &mut |key, value| rows.push((text(key), text(value)))));
    (committed, rows)
}

fn contiguous(bench: &mut Bench<'_>) {
    bench.topic("t", 2);
    let log = bench.log();
    let batch = (0..10).map(|i| record("t", Route::Partition(i % 2), "k", &i.to_string())).collect();
    let placed = check(log.append(batch, Ack::Durable).wait());
    let expected: Vec<(u32, u64)> = (0..10).map(|i| (i % 2, u64::from(i / 2))).collect();
    assert_eq!(placed.iter().map(|p| (p.partition, p.offset)).collect::<Vec<_>>(), expected);
    let records = check(log.read("t", 1, 0, ReadLimit::default()));
    assert_eq!(values(&records), ["1", "3", "5", "7", "9"]);
    assert_eq!(records[2].headers[0].1, "type of 5");
    assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

fn lanes(bench: &mut Bench<'_>) {
    bench.topic("t", 3);
    let log = bench.log();
    let lanes = [Lane::Suspect, Lane::Trusted, Lane::Probation];
    let tickets: Vec<_> = (0..600_usize)
        .map(|number| {
            // Each key asks for another lane each time, while what it sent before is still under way.
            let (key, lane) = (format!("supplier-{}", number % 4), lanes[number / 4 % 3]);
            log.append_in(lane, vec![record("t", Route::Key, &key, &number.to_string())], Ack::Durable)
        })
        .collect();
    let placed: Vec<_> = tickets.into_iter().flat_map(|ticket| check(ticket.wait())).collect();
    for key in 0..4 {
        let of_key: Vec<_> = placed.iter().skip(key).step_by(4).collect();
        assert!(of_key.windows(2).all(|pair| pair[0].offset < pair[1].offset), "{of_key:?}");
    }
}

fn routing(bench: &mut Bench<'_>) {
    bench.topic("t", 5);
    let log = bench.log();
    for key in ["a", "b", "c", "supplier-17"] {
        let batch = vec![record("t", Route::Key, key, "1"), record("t", Route::Key, key, "2")];
        let placed = check(log.append(batch, Ack::Ordered).wait());
        assert_eq!(placed[0].partition, placed[1].partition);
        assert_eq!(placed[0].partition, crate::partition_of(key.as_bytes(), 5));
    }
}

fn monotone_time(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    fill(&bench.log(), "t", 0, 0..1);
    bench.clock.set(500_000);
    fill(&bench.log(), "t", 0, 1..2);
    let log = bench.restart();
    bench.topic("t", 1);
    fill(&log, "t", 0, 2..3);
    let times: Vec<i64> =
        check(log.read("t", 0, 0, ReadLimit::default())).iter().map(|r| r.time_ms).collect();
    if bench.fixture.keeps_time() {
        assert_eq!(times, [1_000_000; 3]);
    }
    assert!(times.len() == 3 && times.is_sorted() && times[0] > 0);
}

fn restart(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    fill(&bench.log(), "t", 0, 0..3_000);
    let log = bench.restart();
    bench.topic("t", 1);
    assert_eq!(check(log.bounds("t", 0)), Bounds { first: 0, end: 3_000 });
    fill(&log, "t", 0, 3_000..3_001);
    let last = check(log.read("t", 0, 2_999, ReadLimit::default()));
    assert_eq!(values(&last), ["2999", "3000"]);
}

fn resume(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    fill(&bench.log(), "t", 0, 0..5);
    let mut consumer = check(bench.log().join("g", "t", Mode::Owned));
    let told = owner(consumer.as_mut(), 1);
    check(commit_now(&bench.log(), commit(0, epoch(told.roles[0]), 3, &[])));
    drop(consumer);
    let log = bench.restart();
    bench.topic("t", 1);
    let mut consumer = check(log.join("g", "t", Mode::Owned));
    let mut told = Told::new(1);
    follow(consumer.as_mut(), &mut told, |told| told.values[0].len() >= 2);
    assert_eq!(told.values[0], ["3", "4"]);
    consumer.seek(0, 1);
    follow(consumer.as_mut(), &mut told, |told| told.values[0].len() >= 6);
    assert_eq!(told.values[0], ["3", "4", "1", "2", "3", "4"]);
}

fn sharing(bench: &mut Bench<'_>) {
    bench.topic("t", 6);
    let log = bench.log();
    let mut members: Vec<(Box<dyn Consumer>, Told)> = Vec::new();
    let mut held = [0; 6];
    for count in 1..=3 {
        members.push((check(log.join("g", "t", Mode::Owned)), Told::new(6)));
        let begun = Instant::now();
        while members.iter().any(|(_, told)| told.owned() != 6 / count) {
            assert!(begun.elapsed() < PATIENCE, "the shares of {count} members did not settle");
            for (member, told) in &mut members {
                let before = told.roles.clone();
                told.take(member.as_mut());
                for (partition, role) in told.roles.iter().enumerate().filter(|(p, r)| **r != before[*p]) {
                    if let Some(Role::Owner(epoch)) = role {
                        assert!(*epoch > held[partition], "epochs must grow");
                        held[partition] = *epoch;
                    }
                }
                rest(member.as_mut());
            }
        }
        for partition in 0..6 {
            let owners =
                members.iter().filter(|(_, told)| matches!(told.roles[partition], Some(Role::Owner(_))));
            assert_eq!(owners.count(), 1, "one owner each");
        }
    }
}

fn promotion(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    let mut first = check(log.join("g", "t", Mode::All));
    let mut told = owner(first.as_mut(), 1);
    let mut second = check(log.join("g", "t", Mode::All));
    fill(&log, "t", 0, 0..2);
    follow(first.as_mut(), &mut told, |told| told.values[0].len() >= 2);
    let mut told = Told::new(1);
    follow(second.as_mut(), &mut told, |told| told.values[0].len() >= 2);
    assert_eq!(told.roles[0], Some(Role::Reader));
    drop(first);
    fill(&log, "t", 0, 2..3);
    follow(second.as_mut(), &mut told, |told| told.owned() == 1 && told.values[0].len() >= 3);
    assert_eq!(told.values[0], ["0", "1", "2"], "a promotion does not read again");
}

fn followers(bench: &mut Bench<'_>) {
    bench.topic("t", 2);
    let log = bench.log();
    let mut follower = check(log.join("g", "t", Mode::Follow));
    let mut member = check(log.join("g", "t", Mode::Owned));
    fill(&log, "t", 1, 0..2);
    let mut told = Told::new(2);
    follow(follower.as_mut(), &mut told, |told| told.values[1].len() >= 2);
    assert_eq!(told.roles, [Some(Role::Reader); 2]);
    owner(member.as_mut(), 2);
}

fn horizons(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    let _follower = check(log.join("g", "t", Mode::Follow));
    fill(&log, "t", 0, 0..7);
    let begun = Instant::now();
    while log.horizon("t", 0).end < 7 || log.horizon("t", 0).heard_ms <= 0 {
        assert!(begun.elapsed() < PATIENCE, "the end was not learnt");
        std::thread::yield_now();
    }
}

fn fencing(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    fill(&log, "t", 0, 0..9);
    let mut stalled = check(log.join("g", "t", Mode::Owned));
    let old = epoch(owner(stalled.as_mut(), 1).roles[0]);
    check(commit_now(&log, commit(0, old, 2, &[("a", Some("kept"))])));
    drop(stalled);
    let mut next = check(log.join("g", "t", Mode::Owned));
    let new = epoch(owner(next.as_mut(), 1).roles[0]);
    assert!(new > old);
    let refused = commit_now(&log, commit(0, old, 5, &[("a", Some("stale"))]));
    assert_eq!(refused.map_err(|e| e.remedy()), Err(Remedy::Fenced));
    let (committed, rows) = restore(&log, 0);
    assert_eq!(rows, [("a".to_owned(), "kept".to_owned())]);
    assert_eq!(committed.map(|c| c.next_offset), Some(2));
    check(commit_now(&log, commit(0, new, 5, &[])));
}

/// The last epoch that a member was told, if it is the owner.
fn owns(told: &Told) -> Option<u64> {
    match told.roles[0] {
        Some(Role::Owner(epoch)) => Some(epoch),
        _ => None,
    }
}

fn fenced_alone(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    fill(&log, "t", 0, 0..3);
    let mut consumer = check(log.join("g", "t", Mode::Owned));
    let mut told = owner(consumer.as_mut(), 1);
    let old = epoch(told.roles[0]);
    check(commit_now(&log, commit(0, old, 1, &[("a", Some("kept"))])));
    bench.fixture.evict("g", 0);
    // It does not know yet, so it may be put off rather than fenced. Nothing of it is taken, however often it tries and
    // whatever its client finds out meanwhile.
    for _ in 0..STALE_TRIES {
        assert!(commit_now(&log, commit(0, old, 2, &[("a", Some("stale"))])).is_err());
    }
    follow(consumer.as_mut(), &mut told, |told| owns(told).is_some_and(|epoch| epoch > old));
    let refused = commit_now(&log, commit(0, old, 2, &[("a", Some("stale"))]));
    assert_eq!(refused.map_err(|e| e.remedy()), Err(Remedy::Fenced));
    assert_eq!(restore(&log, 0).1, [("a".to_owned(), "kept".to_owned())]);
    commit_soon(&log, consumer.as_mut(), &mut told, 3);
    assert_eq!(restore(&log, 0).0.map(|committed| committed.next_offset), Some(3));
}

/// Commits under the epoch last told, again while the log puts it off.
#[track_caller]
fn commit_soon(log: &SharedLog, consumer: &mut dyn Consumer, told: &mut Told, next_offset: u64) {
    let begun = Instant::now();
    loop {
        let done = commit_now(log, commit(0, epoch(told.roles[0]), next_offset, &[]));
        let Err(error) = done else { return };
        assert!(matches!(error.remedy(), Remedy::Retry | Remedy::Fenced), "{error}");
        assert!(begun.elapsed() < PATIENCE, "committed in vain: {error}");
        rest(consumer);
        told.take(consumer);
    }
}

fn fenced_for_another(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    let mut first = check(log.join("g", "t", Mode::All));
    let mut told = [owner(first.as_mut(), 1), Told::new(1)];
    let old = epoch(told[0].roles[0]);
    let mut second = check(log.join("g", "t", Mode::All));
    follow(second.as_mut(), &mut told[1], |told| told.roles[0] == Some(Role::Reader));
    bench.fixture.evict("g", 0);
    // The first is busy with something else and asks for nothing.
    follow(second.as_mut(), &mut told[1], |told| owns(told).is_some_and(|epoch| epoch > old));
    let stale = commit_now(&log, commit(0, old, 0, &[("a", Some("stale"))]));
    assert_eq!(stale.map_err(|e| e.remedy()), Err(Remedy::Fenced));
    commit_soon(&log, second.as_mut(), &mut told[1], 0);
    let begun = Instant::now();
    while told[0].roles[0] != Some(Role::Reader) || owns(&told[1]).is_none() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {:?} {:?}", told[0].roles, told[1].roles);
        rest(first.as_mut());
        rest(second.as_mut());
        told[0].take(first.as_mut());
        told[1].take(second.as_mut());
    }
    commit_soon(&log, second.as_mut(), &mut told[1], 0);
    assert!(restore(&log, 0).1.is_empty());
}

fn epochs_survive(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let mut consumer = check(bench.log().join("g", "t", Mode::Owned));
    let before = epoch(owner(consumer.as_mut(), 1).roles[0]);
    check(commit_now(&bench.log(), commit(0, before, 0, &[])));
    drop(consumer);
    let log = bench.restart();
    bench.topic("t", 1);
    let mut consumer = check(log.join("g", "t", Mode::Owned));
    assert!(epoch(owner(consumer.as_mut(), 1).roles[0]) > before);
}

fn backwards(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    let mut consumer = check(log.join("g", "t", Mode::Owned));
    let epoch = epoch(owner(consumer.as_mut(), 1).roles[0]);
    check(commit_now(&log, commit(0, epoch, 7, &[])));
    let refused = commit_now(&log, commit(0, epoch, 6, &[("a", Some("old"))]));
    assert_eq!(refused.map_err(|e| e.kind()), Err("backwards"));
    assert!(restore(&log, 0).1.is_empty());
}

fn commit_together(bench: &mut Bench<'_>) {
    bench.topic("t", 2);
    fill(&bench.log(), "t", 1, 0..5);
    let mut consumer = check(bench.log().join("g", "t", Mode::Owned));
    let epoch = epoch(owner(consumer.as_mut(), 2).roles[1]);
    check(commit_now(&bench.log(), commit(1, epoch, 4, &[("a", Some("1")), ("b", Some("2"))])));
    drop(consumer);
    let log = bench.restart();
    bench.topic("t", 2);
    // A group's state is reached by those who join it.
    let _consumer = check(log.join("g", "t", Mode::Owned));
    let (committed, rows) = restore(&log, 1);
    assert_eq!(committed.map(|c| (c.next_offset, c.row)), Some((4, Bytes::from_static(b"row at 4"))));
    assert_eq!(rows.len(), 2);
    assert_eq!(check(log.flushed("g", 1)), 4);
    let (committed, rows) = restore(&log, 0);
    assert!(rows.is_empty() && committed.is_none());
    assert_eq!(check(log.flushed("g", 0)), 0);
}

fn compaction(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    let mut consumer = check(log.join("g", "t", Mode::Owned));
    let epoch = epoch(owner(consumer.as_mut(), 1).roles[0]);
    check(commit_now(&log, commit(0, epoch, 1, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))])));
    check(commit_now(&log, commit(0, epoch, 2, &[("a", Some("2")), ("b", None)])));
    let rows = [("a".to_owned(), "2".to_owned()), ("c".to_owned(), "1".to_owned())];
    assert_eq!(restore(&log, 0).1, rows);
}

fn retention(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    for (step, values) in [0..10, 10..20, 20..30].into_iter().enumerate() {
        bench.clock.set(1_000_000 + 10_000 * step as i64);
        fill(&log, "t", 0, values);
    }
    if bench.fixture.keeps_time() {
        check(log.trim(1_020_500));
    } else {
        bench.fixture.expire("t", 0, 20);
    }
    let first = check(log.bounds("t", 0)).first;
    assert_eq!(first, 20, "two of three appends are past their second of retention");
    let error = log.read("t", 0, 3, ReadLimit::default()).map(|r| r.len());
    assert!(matches!(error, Err(LogError::OutOfRange { first: 20, .. })));
    assert_eq!(check(log.read("t", 0, 20, ReadLimit::default())).len(), 10);
}

fn retention_restart(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    fill(&bench.log(), "t", 0, 0..5);
    if bench.fixture.keeps_time() {
        check(bench.log().trim(9_000_000));
    } else {
        bench.fixture.expire("t", 0, 5);
    }
    let log = bench.restart();
    bench.topic("t", 1);
    fill(&log, "t", 0, 5..6);
    assert_eq!(check(log.bounds("t", 0)).end, 6, "offsets are never used twice");
}

fn too_large(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let huge = "x".repeat(1 << 20);
    let batch = (0..64).map(|_| record("t", Route::Key, "k", &huge)).collect();
    let refused = bench.log().append(batch, Ack::Durable).wait();
    assert_eq!(refused.map_err(|e| (e.kind(), e.remedy())).err(), Some(("too_large", Remedy::Reject)));
    fill(&bench.log(), "t", 0, 0..1);
    assert_eq!(check(bench.log().bounds("t", 0)).end, 1);
}

fn unknown(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    for (topic, partition) in [("nowhere", 0), ("t", 1)] {
        let refused =
            log.append(vec![record(topic, Route::Partition(partition), "k", "v")], Ack::Durable).wait();
        assert_eq!(refused.map_err(|e| e.kind()).err(), Some("unknown_partition"));
    }
}

fn mismatch(bench: &mut Bench<'_>) {
    bench.topic("t", 2);
    let spec = TopicSpec { name: "t", partitions: 3, retention_ms: None };
    let refused = bench.log().ensure_topic(&spec);
    assert!(matches!(refused, Err(LogError::Mismatch { asked: 3, found: 2, .. })));
}

fn small_reads(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    fill(&log, "t", 0, 0..2_500);
    let limit = ReadLimit { records: 7, bytes: 600 };
    let (mut seen, mut next) = (Vec::new(), 0);
    loop {
        let records = check(log.read("t", 0, next, limit));
        let Some(last) = records.last() else { break };
        assert!(records.len() <= 7);
        next = last.offset + 1;
        seen.extend(values(&records));
    }
    assert_eq!(seen, (0..2_500).map(|v| v.to_string()).collect::<Vec<_>>());
}

fn cold_reads(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let filler = "y".repeat(4_000);
    let batch = (0..600).map(|i| record("t", Route::Key, "key", &format!("{i} {filler}"))).collect();
    check(bench.log().append(batch, Ack::Durable).wait());
    for restarted in [false, true] {
        let log = if restarted { bench.restart() } else { bench.log() };
        bench.topic("t", 1);
        let records = check(log.read("t", 0, 3, ReadLimit { records: 2, bytes: 1 << 20 }));
        assert_eq!(records.len(), 2);
        assert!(records[0].value.starts_with(b"3 y") && records[0].key == "key" && records[0].offset == 3);
        assert!(records[0].headers[0].1.starts_with(b"type of 3 "));
    }
}

fn closed(bench: &mut Bench<'_>) {
    bench.topic("t", 1);
    let log = bench.log();
    check(log.close());
    let refused = log.append(vec![record("t", Route::Key, "k", "v")], Ack::Durable).wait();
    assert_eq!(refused.map_err(|e| e.remedy()).err(), Some(Remedy::Fatal));
}
