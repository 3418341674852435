//! A log of one process that can be made to break its promises, to see that checks notice.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use stockade_log::{
    Ack, Bounds, Commit, Committed, Consumer, Event, Horizon, Lane, Log, LogError, Memory, MemoryDisk, Mode,
    NewRecord, ReadLimit, Record, Remedy, Ticket, TopicSpec,
};
use stockade_model::{Payload, Position, Proposal, Row, Scope, Topic};

/// A fault planted on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plant {
    /// A stale owner's changelog row wins over the new owner's.
    StaleRowWins,
    /// Outputs are lost between the flush of the state and their sending.
    OutputLost,
    /// A flush is torn in two: some rows are written, the position is not.
    TornFlush,
    /// A reader that takes over forgets the outputs it had retained.
    ForgetfulReader,
    /// Two decisions of one record share a version.
    SharedVersion,
    /// A release undoes a different restriction.
    WrongRelease,
    /// A retry at another replica is applied twice.
    RetryAppliedTwice,
    /// Two replicas judge one command differently.
    JudgedDifferently,
    /// Redis holds a lock that was never decided.
    GhostLock,
    /// A replica lifts an expired restriction by its own, skewed clock.
    SkewedExpiry,
    /// An owner that was fenced is never told what it is now, and so drops its partitions for good.
    StuckOwner,
    /// One process reads every hold as one unit fewer, and so sells that unit again.
    Oversells,
    /// One process lets anybody confirm what others have reserved.
    StrangersConfirm,
    /// One process hears of no restriction on a region.
    RegionLeak,
    /// One process does not see which reservation an order was, and commits its units twice.
    CommitsTwice,
    /// A process that was started again reads holds as lasting longer.
    LapsesLater,
}

impl Plant {
    /// All of them.
    pub const ALL: [Plant; 16] = [
        Plant::StaleRowWins,
        Plant::OutputLost,
        Plant::TornFlush,
        Plant::ForgetfulReader,
        Plant::SharedVersion,
        Plant::WrongRelease,
        Plant::RetryAppliedTwice,
        Plant::JudgedDifferently,
        Plant::GhostLock,
        Plant::SkewedExpiry,
        Plant::StuckOwner,
        Plant::Oversells,
        Plant::StrangersConfirm,
        Plant::RegionLeak,
        Plant::CommitsTwice,
        Plant::LapsesLater,
    ];
}

/// The log as one process of the simulation has it.
pub struct FaultyLog {
    inner: Arc<Memory>,
    disk: MemoryDisk,
    plant: Option<Plant>,
    /// Whether this is the process that plants about one process concern.
    chosen: bool,
    /// Whether its process was started again.
    again: bool,
    tear_next: AtomicBool,
    /// Groups in which a commit of this process was fenced.
    fenced: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl FaultyLog {
    /// A process's view of `inner`, with a fault or none.
    pub fn new(
        inner: Arc<Memory>,
        disk: MemoryDisk,
        plant: Option<Plant>,
        chosen: bool,
        again: bool,
    ) -> Self {
        Self { inner, disk, plant, chosen, again, tear_next: AtomicBool::new(false), fenced: Arc::default() }
    }
    /// Whether the next commit writes half of its rows and then fails.
    pub fn tear_next_commit(&self, tear: bool) {
        self.tear_next.store(tear, Ordering::SeqCst);
    }

    fn spoil(&self, batch: &mut [NewRecord]) {
        match self.plant {
            Some(Plant::SharedVersion) => share_version(batch),
            Some(Plant::WrongRelease) => batch.iter_mut().for_each(release_anything),
            Some(Plant::RetryAppliedTwice) if self.chosen => {
                batch.iter_mut().filter(|record| self.is_retry(record)).for_each(forget_key);
            }
            _ => {}
        }
    }
}

impl FaultyLog {
    /// Whether a command with the same idempotency key is in the log already.
    fn is_retry(&self, record: &NewRecord) -> bool {
        let key = |kind: &str, value: &[u8]| match Payload::decode(kind, value) {
            Ok(Payload::Command(command)) => command.idempotency_key,
            _ => None,
        };
        let Some(wanted) = key(kind(record), &record.value) else { return false };
        let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
        let topic = Topic::SupplierEvents.name();
        (0..self.inner.partitions(topic).unwrap_or(0)).any(|partition| {
            let records = self.inner.read(topic, partition, 0, all).unwrap_or_default();
            records.iter().any(|r| key("stockade.inventory.command", &r.value).as_ref() == Some(&wanted))
        })
    }
}

fn kind(record: &NewRecord) -> &str {
    record.headers.iter().find(|(name, _)| *name == "ce_type").map_or("", |(_, value)| value.as_str())
}

fn edit(record: &mut NewRecord, change: impl FnOnce(&mut Payload)) {
    if let Ok(mut payload) = Payload::decode(kind(record), &record.value) {
        change(&mut payload);
        record.value = payload.encode().into();
    }
}

/// Decisions of one batch all get the version of the first one of the same record.
fn share_version(batch: &mut [NewRecord]) {
    let mut first: Option<Position> = None;
    for record in batch.iter_mut().filter(|record| record.topic == Topic::LockoutDecisions.name()) {
        edit(record, |payload| {
            let Payload::Decision(decision) = payload else { return };
            let same = first.as_ref().is_some_and(|first| first.offset == decision.version.offset);
            match (&first, same) {
                (Some(first), true) => decision.version = first.clone(),
                _ => first = Some(decision.version.clone()),
            }
        });
    }
}

fn release_anything(record: &mut NewRecord) {
    edit(record, |payload| {
        if let Payload::Proposal(Proposal::Release { restriction, .. }) = payload {
            *restriction = None;
        }
    });
}

fn forget_key(record: &mut NewRecord) {
    edit(record, |payload| {
        if let Payload::Command(command) = payload {
            command.idempotency_key = None;
        }
    });
}

impl Log for FaultyLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.ensure_topic(spec)
    }
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }
    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        self.inner.generation(topic)
    }
    fn append(&self, mut batch: Vec<NewRecord>, ack: Ack) -> Ticket {
        self.spoil(&mut batch);
        self.inner.append(batch, ack)
    }
    fn append_in(&self, lane: Lane, mut batch: Vec<NewRecord>, ack: Ack) -> Ticket {
        self.spoil(&mut batch);
        self.inner.append_in(lane, batch, ack)
    }
    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        self.inner.bounds(topic, partition)
    }
    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.inner.read(topic, partition, from, limit)
    }
    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        let inner = self.inner.join(group, topic, mode)?;
        let reads = (self.chosen && group == "inventory").then_some(self.plant).flatten();
        let misread: Option<Misread> = match reads {
            Some(Plant::JudgedDifferently) => Some(one_unit_more),
            Some(Plant::Oversells) => Some(one_unit_fewer_held),
            Some(Plant::StrangersConfirm) => Some(anybody_confirms),
            Some(Plant::RegionLeak) => Some(no_region_restricted),
            Some(Plant::CommitsTwice) => Some(no_reservation_named),
            Some(Plant::LapsesLater) if self.again => Some(held_longer),
            _ => None,
        };
        Ok(match self.plant {
            _ if let Some(misread) = misread => {
                Box::new(Misreading { inner, misread, owners: BTreeMap::new() })
            }
            Some(Plant::StuckOwner) => Box::new(Untold { inner, group, fenced: self.fenced.clone() }),
            _ => inner,
        })
    }
    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        self.inner.horizon(topic, partition)
    }
    fn commit(&self, commit: Commit) -> Ticket<()> {
        if self.tear_next.swap(false, Ordering::SeqCst) {
            let half = commit.rows.len().div_ceil(2);
            self.disk.force_rows(commit.group, commit.partition, &commit.rows[..half]);
            return Ticket::ready(Err(LogError::Stopped("the process died in its flush".to_owned())));
        }
        let stale = self.plant == Some(Plant::StaleRowWins);
        let kept = stale.then(|| commit.clone());
        let group = commit.group;
        let result = self.inner.commit(commit).wait();
        if result.as_ref().is_err_and(|error| error.remedy() == Remedy::Fenced) {
            self.fenced.lock().insert(group);
        }
        if let (Some(commit), Err(error)) = (kept, &result)
            && error.remedy() == Remedy::Fenced
        {
            self.disk.force_rows(commit.group, commit.partition, &commit.rows);
        }
        Ticket::ready(result)
    }
    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
        self.inner.flushed(group, partition)
    }
    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        self.inner.restore(group, partition, each)
    }
    fn trim(&self, now_ms: i64) -> Result<u64, LogError> {
        self.inner.trim(now_ms)
    }
    fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// Owners of reservations, as holds name them.
type Owners = BTreeMap<String, Option<String>>;
/// What a record is read as, by its offset.
type Misread = fn(&mut Payload, u64, &mut Owners);

/// Reads records as something else than they are.
struct Misreading {
    inner: Box<dyn Consumer>,
    misread: Misread,
    owners: Owners,
}

impl Consumer for Misreading {
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError> {
        let mut event = self.inner.try_next(limit)?;
        if let Some(Event::Batch { records, .. }) = &mut event {
            for record in records.iter_mut() {
                let kind = record.headers.iter().find(|(name, _)| name.as_ref() == "ce_type");
                let kind = kind.and_then(|(_, kind)| std::str::from_utf8(kind).ok()).unwrap_or("");
                if let Ok(mut payload) = Payload::decode(kind, &record.value) {
                    (self.misread)(&mut payload, record.offset, &mut self.owners);
                    record.value = payload.encode().into();
                }
            }
        }
        Ok(event)
    }
    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.wait()
    }
    fn seek(&mut self, partition: u32, offset: u64) {
        self.inner.seek(partition, offset);
    }
}

fn rows(payload: &mut Payload, change: impl FnMut(&mut Row)) {
    if let Payload::Command(command) = payload {
        command.rows.iter_mut().for_each(change);
    }
}

/// Every third stock adjustment is one unit more than it says.
fn one_unit_more(payload: &mut Payload, offset: u64, _: &mut Owners) {
    rows(payload, |row| match row {
        Row::Stock(change) if offset.is_multiple_of(3) => change.quantity += 1,
        _ => {}
    });
}

fn one_unit_fewer_held(payload: &mut Payload, _: u64, _: &mut Owners) {
    rows(payload, |row| {
        if let Row::Hold { quantity, .. } = row {
            *quantity = (*quantity - 1).max(1);
        }
    });
}

fn anybody_confirms(payload: &mut Payload, _: u64, owners: &mut Owners) {
    rows(payload, |row| match row {
        Row::Hold { reservation, owner, .. } => {
            owners.entry(reservation.to_string()).or_insert_with(|| owner.clone());
        }
        Row::Confirm { reservation, owner } => {
            if let Some(known) = owners.get(reservation.as_str()) {
                owner.clone_from(known);
            }
        }
        _ => {}
    });
}

fn no_region_restricted(payload: &mut Payload, _: u64, _: &mut Owners) {
    if let Payload::Decision(decision) = payload {
        decision.in_force.retain(|restriction| !matches!(restriction.scope, Scope::Region { .. }));
    }
}

fn no_reservation_named(payload: &mut Payload, _: u64, _: &mut Owners) {
    if let Payload::Outcome(outcome) = payload {
        outcome.event.reservation = None;
    }
}

fn held_longer(payload: &mut Payload, _: u64, _: &mut Owners) {
    rows(payload, |row| {
        if let Row::Hold { expires_at, .. } = row {
            *expires_at = expires_at.plus_ms(3_600_000);
        }
    });
}

/// Says nothing of its role any more once a commit of its group was fenced.
struct Untold {
    inner: Box<dyn Consumer>,
    group: &'static str,
    fenced: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Consumer for Untold {
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError> {
        loop {
            let event = self.inner.try_next(limit)?;
            let withheld =
                matches!(event, Some(Event::Assigned { .. })) && self.fenced.lock().contains(self.group);
            if !withheld {
                return Ok(event);
            }
        }
    }
    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.wait()
    }
    fn seek(&mut self, partition: u32, offset: u64) {
        self.inner.seek(partition, offset);
    }
}
