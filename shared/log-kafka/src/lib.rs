//! The log on Apache Kafka. The only crate that uses rdkafka.
//!
//! How the contract of [`stockade_log`] is kept:
//! * **Append**: an idempotent producer per topic, acknowledged by all in-sync replicas, never giving up, so that nothing
//!   is sent after a gap. Partitions are chosen here, by murmur2 as Java's client does.
//! * **Groups**: cooperative-sticky membership. A term begins with a claim in the changelog, see the module `group`.
//! * **Commit**: one transaction for changelog rows, partition row and input offsets, of all partitions that are waiting.
//! * **Restore**: one read-committed pass over the compacted changelog `<group>.state` up to the first undecided offset.
//! * **Time**: topics stamp records on append. Retention is the broker's, so [`Log::trim`] does nothing.
//! * **Waiting**: reads never block; calls that ask the broker something block for seconds at most and belong on threads
//!   of their own; a broker that is away makes appends wait, within bounds.

mod committer;
mod consumer;
mod context;
mod group;
mod options;
mod outbox;
mod scan;
mod topic;

pub use options::{KafkaOptions, Secret, Security};

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::AdminClient,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use rustc_hash::FxHashMap;
use stockade_log::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Horizon, Log, LogError, Mode, NewRecord, ReadLimit,
    Record, Route, Ticket, TopicSpec, partition_of,
};

use consumer::KafkaConsumer;
use context::Watch;
use group::{ASK, Group, Pending};
use options::{BATCH_BYTES_MAX, RECORD_BYTES_MAX};
use outbox::{Batch, Outbox};
use topic::{Kind, Topic};

/// How often the ends of all partitions are asked for.
const PULSE: Duration = Duration::from_millis(500);
/// An end learnt within this is as good as now.
const PULSE_PATIENCE_MS: i64 = 3_000;
/// How long a question that cannot be done without is repeated.
const PATIENCE: Duration = Duration::from_secs(120);
/// Budget for closing.
const CLOSE: Duration = Duration::from_secs(8);

pub(crate) struct Shared {
    pub(crate) options: KafkaOptions,
    pub(crate) replication: i32,
    pub(crate) watch: Watch,
    /// Makes, deletes and describes topics.
    pub(crate) admin: AdminClient<Watch>,
    /// For questions about metadata and offsets; it reads nothing.
    pub(crate) asker: BaseConsumer<Watch>,
    /// The same, for ends that count what is not decided yet.
    pub(crate) raw_asker: BaseConsumer<Watch>,
    pub(crate) topics: RwLock<FxHashMap<&'static str, Arc<Topic>>>,
    clock: Clock,
    outboxes: RwLock<FxHashMap<&'static str, Arc<Outbox>>>,
    groups: Mutex<FxHashMap<&'static str, Arc<Group>>>,
    cursor: Mutex<Option<scan::Cursor>>,
    poison: Arc<RwLock<Option<String>>>,
    closing: Mutex<bool>,
    closed: Condvar,
    silent: AtomicBool,
    threads: Mutex<Vec<(String, JoinHandle<()>)>>,
}

/// Where a record goes and through whom.
type Place = (Arc<Topic>, u32, Arc<Outbox>);

impl Shared {
    pub(crate) fn healthy(&self) -> Result<(), LogError> {
        match &*self.poison.read() {
            Some(why) => Err(LogError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    /// From here on everything is refused.
    pub(crate) fn poison(&self, why: &str) {
        if !self.closing() {
            tracing::error!(why, "the log failed and stops; restart the process to recover");
        }
        self.poison.write().get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn closing(&self) -> bool {
        *self.closing.lock()
    }

    /// Waits, but not beyond the closing of the log.
    pub(crate) fn pause(&self, pause: Duration) {
        let mut closing = self.closing.lock();
        if !*closing {
            self.closed.wait_for(&mut closing, pause);
        }
    }

    /// Runs something that blocks on a thread that closing waits for.
    pub(crate) fn spawn(&self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new().name(name.clone()).spawn(work);
        let thread = thread.map_err(|error| LogError::Stopped(format!("no thread {name}: {error}")))?;
        let mut threads = self.threads.lock();
        threads.retain(|(_, thread)| !thread.is_finished());
        threads.push((name, thread));
        Ok(())
    }

    /// Why the brokers could not be asked, as one sentence with the remedy.
    pub(crate) fn unreachable(&self, error: &KafkaError) -> LogError {
        let brokers = &self.options.brokers;
        let Some((code, reason)) = self.watch.last_error() else {
            return LogError::Unavailable(format!("Kafka at {brokers} does not answer: {error}"));
        };
        match code {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                LogError::Config(format!(
                    "Kafka at {brokers} refuses these credentials ({reason}); check kafka.security.sasl_mechanism, username and password"
                ))
            }
            RDKafkaErrorCode::SSL => LogError::Config(format!(
                "TLS with Kafka at {brokers} fails ({reason}); check kafka.security.tls and ca_file"
            )),
            _ => LogError::Unavailable(format!(
                "Kafka at {brokers} cannot be reached ({reason}); check kafka.brokers, that the broker runs, and that its advertised listeners can be reached from here"
            )),
        }
    }

    /// Asks again while the brokers do not answer, for a while.
    pub(crate) fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, LogError>) -> Result<T, LogError> {
        let begun = Instant::now();
        loop {
            match ask() {
                Err(LogError::Unavailable(why)) if begun.elapsed() < PATIENCE && !self.closing() => {
                    tracing::debug!(why, "asking again");
                    self.pause(Duration::from_millis(100));
                }
                other => return other,
            }
        }
    }

    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let topics = self.topics.read();
        topics.get(name).cloned().ok_or_else(|| LogError::Unknown { topic: name.to_owned(), partition: 0 })
    }

    fn group(&self, name: &str) -> Result<Arc<Group>, LogError> {
        let groups = self.groups.lock();
        groups
            .get(name)
            .cloned()
            .ok_or_else(|| LogError::Unknown { topic: format!("{name}.state"), partition: 0 })
    }

    fn outbox(&self, topic: &Topic) -> Result<Arc<Outbox>, LogError> {
        if let Some(outbox) = self.outboxes.read().get(topic.name) {
            return Ok(outbox.clone());
        }
        let mut outboxes = self.outboxes.write();
        if let Some(outbox) = outboxes.get(topic.name) {
            return Ok(outbox.clone());
        }
        let poison = self.poison.clone();
        let failed = Arc::new(move |why: &str| {
            poison.write().get_or_insert_with(|| why.to_owned());
        });
        let outbox = Arc::new(Outbox::open(&self.options, self.watch.clone(), failed)?);
        outboxes.insert(topic.name, outbox.clone());
        Ok(outbox)
    }

    pub(crate) fn append(&self, batch: &[NewRecord]) -> Ticket {
        let admitted = match self.admit(batch) {
            Ok(admitted) if admitted.is_empty() => return Ticket::ready(Ok(Vec::new())),
            Ok(admitted) => admitted,
            Err(error) => return Ticket::ready(Err(error)),
        };
        let (sender, ticket) = Ticket::pending();
        let group = Batch::new(batch.len(), sender);
        let mut refused = None;
        for (slot, (record, (topic, partition, outbox))) in batch.iter().zip(&admitted).enumerate() {
            match &refused {
                None => {
                    if let Err(error) = outbox.send(topic, *partition, record, &group, slot) {
                        // Some of the batch may be under way: only a restart keeps this gapless.
                        self.poison(&format!("a record for {} was not taken: {error}", topic.full));
                        refused = Some(error);
                    }
                }
                Some(error) => group.settle(slot, Err(LogError::Stopped(error.to_string()))),
            }
        }
        ticket
    }

    /// Finds each record's partition and producer, and makes room for all of them or none.
    fn admit(&self, batch: &[NewRecord]) -> Result<Vec<Place>, LogError> {
        self.healthy()?;
        if self.closing() {
            return Err(LogError::Stopped("it was closed".to_owned()));
        }
        let mut places = Vec::with_capacity(batch.len());
        let mut sums: FxHashMap<(&'static str, u32), (Arc<Topic>, usize, usize)> = FxHashMap::default();
        let mut bytes = 0;
        for record in batch {
            let topic = self.topic(record.topic)?;
            let partition = match record.route {
                Route::Key => partition_of(&record.key, topic.partitions),
                Route::Partition(partition) => partition,
            };
            if partition >= topic.partitions {
                return Err(LogError::Unknown { topic: topic.name.to_owned(), partition });
            }
            let size = record.size();
            if size > RECORD_BYTES_MAX {
                return Err(LogError::TooLarge { bytes: size, bytes_max: RECORD_BYTES_MAX });
            }
            bytes += size;
            let sum = sums.entry((topic.name, partition)).or_insert_with(|| (topic.clone(), 0, 0));
            (sum.1, sum.2) = (sum.1 + 1, sum.2 + size);
            let outbox = self.outbox(&topic)?;
            places.push((topic, partition, outbox));
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        let mut taken: Vec<(Arc<Topic>, u32, usize, usize)> = Vec::with_capacity(sums.len());
        for ((_, partition), (topic, records, bytes)) in sums {
            if let Err(error) = topic.lanes[partition as usize].admit(records, bytes) {
                for (topic, partition, records, bytes) in taken {
                    topic.lanes[partition as usize].leave(records, bytes);
                }
                return Err(error);
            }
            taken.push((topic, partition, records, bytes));
        }
        Ok(places)
    }

    /// Says once that the brokers went silent and once that they are back; librdkafka's own lines are for debugging.
    fn note_silence(&self, silent: bool) {
        if self.silent.swap(silent, Ordering::Relaxed) == silent {
            return;
        }
        let brokers = &self.options.brokers;
        if silent {
            let why = self.watch.last_error().map_or_else(String::new, |(_, reason)| reason);
            tracing::warn!(%brokers, why, "Kafka does not answer; buyers are answered from what is known, writes wait");
        } else {
            tracing::info!(%brokers, "Kafka answers again");
        }
    }

    /// Learns the ends of all partitions, and what other owners have flushed.
    fn pulse(&self) {
        let topics: Vec<Arc<Topic>> = self.topics.read().values().cloned().collect();
        let mut heard = false;
        let mut ends = TopicPartitionList::new();
        for topic in &topics {
            for partition in 0..topic.partitions {
                let _ = ends.add_partition_offset(&topic.full, partition as i32, Offset::End);
            }
        }
        let ends_asked = ends.count() > 0;
        if ends_asked && let Ok(found) = self.asker.offsets_for_times(ends, ASK) {
            heard = true;
            let mut bad: Vec<String> = Vec::new();
            for element in found.elements() {
                let topic = topics.iter().find(|topic| topic.full == element.topic());
                match (topic, element.error(), element.offset()) {
                    (Some(topic), Ok(()), Offset::Offset(end)) => {
                        topic.reached(element.partition() as u32, end as u64);
                    }
                    _ => bad.push(element.topic().to_owned()),
                }
            }
            for topic in topics.iter().filter(|topic| !bad.contains(&topic.full)) {
                topic.heard_ms.store((self.clock)(), Ordering::Relaxed);
            }
        }
        if ends_asked {
            self.note_silence(!heard);
        }
        let groups: Vec<Arc<Group>> = self.groups.lock().values().cloned().collect();
        for group in groups.iter().filter(|_| heard) {
            if let Ok(offsets) = group.all_committed_offsets() {
                for (partition, offset) in offsets {
                    group.flushed[partition as usize].fetch_max(offset, Ordering::SeqCst);
                }
            }
        }
    }
}

/// A log on Kafka.
pub struct KafkaLog {
    shared: Arc<Shared>,
    brokers: usize,
}

impl KafkaLog {
    /// Connects; an answer comes within 10 s, and an error says what to do.
    pub fn open(options: KafkaOptions, clock: Clock) -> Result<Self, LogError> {
        options.check()?;
        let watch = Watch::default();
        let asker = |decided| -> Result<BaseConsumer<Watch>, LogError> {
            let made = options.admin(decided).create_with_context(watch.clone());
            made.map_err(|error| LogError::Config(format!("kafka settings: {error}")))
        };
        let (asker, raw_asker) = (asker(true)?, asker(false)?);
        let admin = options.admin(true).create_with_context(watch.clone());
        let admin =
            admin.map_err(|error| LogError::Config(format!("no admin client could be made: {error}")))?;
        let mut shared = Shared {
            replication: options.replication.unwrap_or(1),
            admin,
            options,
            watch,
            asker,
            raw_asker,
            topics: RwLock::default(),
            clock,
            outboxes: RwLock::default(),
            groups: Mutex::default(),
            cursor: Mutex::default(),
            poison: Arc::default(),
            closing: Mutex::new(false),
            closed: Condvar::new(),
            silent: AtomicBool::new(false),
            threads: Mutex::default(),
        };
        let brokers = shared.connect()?;
        if shared.options.replication.is_none() {
            shared.replication = brokers.clamp(1, 3) as i32;
        }
        let shared = Arc::new(shared);
        let pulse = shared.clone();
        shared.spawn("log-pulse".to_owned(), move || {
            while !pulse.closing() {
                pulse.pulse();
                pulse.pause(PULSE);
            }
        })?;
        Ok(Self { shared, brokers })
    }

    /// How many brokers answered.
    pub fn brokers(&self) -> usize {
        self.brokers
    }

    /// Whether the topic is there and fits; `Ok(false)` when it is missing. Makes nothing.
    pub fn check_topic(&self, spec: &TopicSpec) -> Result<bool, LogError> {
        self.shared.check_topic(spec.name, spec.partitions, &Kind::Stream(spec.retention_ms))
    }

    /// Deletes every topic whose name begins with the prefix, which must not be empty. For demonstrations.
    pub fn delete_topics(options: KafkaOptions) -> Result<(), LogError> {
        if options.prefix.is_empty() {
            return Err(LogError::Config("without a prefix every topic would be deleted".to_owned()));
        }
        Self::open(options, Arc::new(|| 0))?.shared.delete_topics()
    }
}

impl Shared {
    /// Asks for the brokers; errors are served meanwhile, so that a refusal can say why.
    fn connect(&self) -> Result<usize, LogError> {
        let begun = Instant::now();
        loop {
            match self.asker.fetch_metadata(Some("stockade-probe-nothing"), Duration::from_secs(2)) {
                Ok(metadata) => return Ok(metadata.brokers().len()),
                Err(error) => {
                    let _ = self.asker.poll(Duration::from_millis(50));
                    let said = self.unreachable(&error);
                    match said {
                        LogError::Unavailable(why) if begun.elapsed() > Duration::from_secs(6) => {
                            return Err(LogError::Config(why));
                        }
                        LogError::Unavailable(_) => {}
                        said => return Err(said),
                    }
                }
            }
        }
    }
}

impl Log for KafkaLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let topic = self.shared.open_topic(spec.name, spec.partitions, &Kind::Stream(spec.retention_ms))?;
        // Connected now, so that the first record that matters does not wait for it.
        let outbox = self.shared.outbox(&topic)?;
        self.shared.spawn(format!("warm-{}", spec.name), move || outbox.warm_up(&topic))
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.shared.topic(topic)?.partitions)
    }

    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        self.shared.topic(topic)?;
        Ok(self.shared.options.generation)
    }

    /// Every acknowledgement is by all in-sync replicas, so ordered is as good as durable.
    fn append(&self, batch: Vec<NewRecord>, _: Ack) -> Ticket {
        self.shared.append(&batch)
    }

    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        let topic = self.shared.topic(topic)?;
        if partition >= topic.partitions {
            return Err(LogError::Unknown { topic: topic.name.to_owned(), partition });
        }
        let (first, end) = self.shared.watermarks(&topic, partition)?;
        Ok(Bounds { first, end })
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.shared.healthy()?;
        let Bounds { first, end } = self.bounds(topic, partition)?;
        if from < first {
            return Err(LogError::OutOfRange { topic: topic.to_owned(), partition, offset: from, first });
        }
        if from >= end {
            return Ok(Vec::new());
        }
        let full = self.shared.full_name(topic);
        self.shared.read_records(&full, partition, from..end, limit)
    }

    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        self.shared.healthy()?;
        let topic = self.shared.topic(topic)?;
        let member_of = match mode {
            Mode::Follow => None,
            Mode::Owned | Mode::All => Some(self.shared.enter(group, &topic)?),
        };
        Ok(Box::new(KafkaConsumer::join(&self.shared, topic, group, member_of, mode)?))
    }

    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        let now_ms = (self.shared.clock)();
        let Ok(topic) = self.shared.topic(topic) else { return Horizon { end: 0, heard_ms: now_ms } };
        let heard_ms = topic.heard_ms.load(Ordering::Relaxed);
        let fresh = now_ms - heard_ms < PULSE_PATIENCE_MS;
        Horizon { end: topic.end(partition), heard_ms: if fresh { now_ms } else { heard_ms } }
    }

    fn commit(&self, commit: Commit) -> Ticket<()> {
        if let Err(error) = self.shared.healthy() {
            return Ticket::ready(Err(error));
        }
        let Commit { group, partition, epoch, .. } = commit;
        let Ok(entry) = self.shared.group(group) else {
            return Ticket::ready(Err(LogError::Fenced { group, partition, epoch, current: 0 }));
        };
        let (answer, ticket) = Ticket::pending();
        entry.submit(Pending { commit, answer });
        ticket
    }

    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
        let group = self.shared.group(group)?;
        // Learnt when a term begins, with every commit, and from the pulse for what others commit.
        Ok(group.flushed.get(partition as usize).map_or(0, |next| next.load(Ordering::SeqCst)))
    }

    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        let group = self.shared.group(group)?;
        let (committed, rows) = self.shared.patiently(|| self.shared.restore_group(&group, partition))?;
        rows.iter().for_each(|(key, value)| each(key, value));
        Ok(committed)
    }

    fn trim(&self, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }

    fn close(&self) -> Result<(), LogError> {
        let deadline = Instant::now() + CLOSE;
        let left = || deadline.saturating_duration_since(Instant::now());
        if self.shared.closing() {
            return Ok(());
        }
        let outboxes: Vec<_> = self.shared.outboxes.read().values().cloned().collect();
        let flushed = outboxes.iter().try_for_each(|outbox| outbox.flush(left()));
        *self.shared.closing.lock() = true;
        self.shared.closed.notify_all();
        self.shared.groups.lock().values().for_each(|group| group.close());
        while !left().is_zero() {
            let mut threads = self.shared.threads.lock();
            threads.retain(|(_, thread)| !thread.is_finished());
            if threads.is_empty() {
                break;
            }
            drop(threads);
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let threads = self.shared.threads.lock();
        if !threads.is_empty() {
            let names: Vec<&str> = threads.iter().map(|(name, _)| name.as_str()).collect();
            tracing::warn!(?names, "still busy after {CLOSE:?}; they end with the process");
        }
        self.shared.poison.write().get_or_insert_with(|| "it was closed".to_owned());
        flushed.map_err(|error| {
            LogError::Stopped(format!("not everything was acknowledged before closing: {error}"))
        })
    }
}

impl Shared {
    /// The group as this process takes part in it.
    fn enter(self: &Arc<Self>, name: &'static str, topic: &Arc<Topic>) -> Result<Arc<Group>, LogError> {
        if let Some(group) = self.groups.lock().get(name) {
            return Ok(group.clone());
        }
        // A handful of names, each made once per process; topics are known by static names.
        let state: &'static str = Box::leak(format!("{name}.state").into_boxed_str());
        let state = self.open_topic(state, topic.partitions, &Kind::Changelog)?;
        let group = Group::start(self, name, topic.clone(), state)?;
        // Offsets in an open transaction of a process that died are not told until the broker has ended it; then the check
        // is left to the next start.
        for (partition, committed) in group.all_committed_offsets().unwrap_or_default() {
            group.flushed[partition as usize].fetch_max(committed, Ordering::SeqCst);
            let (_, end) = self.watermarks(topic, partition)?;
            if committed > end {
                return Err(LogError::Config(format!(
                    "{} ends at {end}, but the group {name} had read up to {committed}: the topic was made anew. Restore it, or raise kafka.generation and use another kafka.prefix for the changelogs",
                    topic.full
                )));
            }
        }
        Ok(self.groups.lock().entry(name).or_insert(group).clone())
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log did not close cleanly");
        }
    }
}
