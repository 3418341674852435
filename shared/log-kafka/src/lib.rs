//! The log on Apache Kafka. The only crate that uses rdkafka, but for one call into C (`kafka-addresses`).
//!
//! How the contract of [`stockade_log`] is kept:
//! * **Append**: an idempotent producer per topic and lane, acknowledged by all in-sync replicas, never giving up, so that nothing
//!   is sent after a gap. Partitions are chosen here, by murmur2 as Java's client does.
//! * **Groups**: cooperative-sticky membership. A term begins with a claim in the changelog, see the module `group`.
//! * **Commit**: one transaction for changelog rows, partition row and input offsets, of all partitions that are waiting.
//! * **Restore**: one read-committed pass over the compacted changelog `<group>.state` up to the first undecided offset.
//! * **Time**: topics stamp records on append. Retention is the broker's, so [`Log::trim`] does nothing.
//! * **Waiting**: reads never block; calls that ask the broker something block for seconds at most and belong on threads
//!   of their own; a broker that is away makes appends wait, within bounds.
//!
//! The modules depend on each other in one direction, from the consumer down to the client: `consumer`, `claim`, `groups`,
//! `committer`, `group`, `membership`, `terms`; `appends`, `lanes`, `outbox`, `topic`, `backlog`; `scan`, `changelog`; `broker`,
//! `reach`, `client`, `options`. `mirror` copies topics to another cluster and stands on all of them.

mod appends;
mod backlog;
mod broker;
mod changelog;
mod claim;
mod client;
mod committer;
mod consumer;
mod group;
mod groups;
mod lanes;
mod membership;
pub mod mirror;
mod options;
mod outbox;
mod pulse;
mod reach;
mod scan;
mod terms;
mod topic;

pub use groups::GroupProgress;
pub use options::{KafkaOptions, Secret, Security};

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use stockade_log::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Horizon, Lane, Log, LogError, Member, Mode, NewRecord,
    ReadLimit, Record, Ticket, TopicSpec,
};

use appends::Appends;
use broker::Broker;
use consumer::KafkaConsumer;
use group::Pending;
use groups::Groups;
use pulse::Pulse;
use scan::Scanner;
use topic::{Kind, Topics};

/// Budget for closing.
const CLOSE: Duration = Duration::from_secs(8);

/// A log on Kafka.
pub struct KafkaLog {
    broker: Arc<Broker>,
    topics: Arc<Topics>,
    appends: Arc<Appends>,
    groups: Arc<Groups>,
    pulse: Arc<Pulse>,
    scanner: Scanner,
}

impl KafkaLog {
    /// Connects; an answer comes within 10 s, and an error says what to do.
    pub fn open(options: KafkaOptions, clock: Clock) -> Result<Self, LogError> {
        let broker = Arc::new(Broker::connect(options)?);
        let topics = Arc::new(Topics::new(broker.clone()));
        let appends = Arc::new(Appends::new(broker.clone(), topics.clone()));
        let groups = Arc::new(Groups::new(broker.clone(), topics.clone()));
        broker.begin_to_look()?;
        let pulse = Pulse::start(&broker, &topics, &groups, clock)?;
        Ok(Self { broker, topics, appends, groups, pulse, scanner: Scanner::default() })
    }

    /// How many brokers answered.
    pub fn brokers(&self) -> usize {
        self.broker.count
    }

    /// Whether the topic is there and fits; `Ok(false)` when it is missing. Makes nothing.
    pub fn check_topic(&self, spec: &TopicSpec) -> Result<bool, LogError> {
        self.broker.check_topic(spec.name, spec.partitions, &Kind::Stream(spec.retention_ms))
    }

    /// How far `group` is in `topic`, by partition, whoever takes part in it. Joins nothing and makes nothing.
    pub fn group_progress(&self, group: &str, topic: &TopicSpec) -> Result<Vec<GroupProgress>, LogError> {
        groups::progress(&self.broker, group, topic.name, topic.partitions)
    }

    /// Deletes every topic whose name begins with the prefix, which must not be empty. For demonstrations.
    pub fn delete_topics(options: KafkaOptions) -> Result<(), LogError> {
        if options.prefix.is_empty() {
            return Err(LogError::Config("without a prefix every topic would be deleted".to_owned()));
        }
        Self::open(options, Arc::new(|| 0))?.broker.delete_topics()
    }
}

impl Log for KafkaLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let topic = self.topics.open(spec.name, spec.partitions, &Kind::Stream(spec.retention_ms))?;
        // Connected now, so that the first record that matters does not wait for it.
        let outbox = self.appends.outbox(&topic, Lane::Trusted)?;
        self.broker.spawn(format!("warm-{}", spec.name), move || outbox.warm_up(&topic))
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.topics.get(topic)?.partitions)
    }

    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        self.topics.get(topic)?;
        Ok(self.broker.options.generation)
    }

    /// Every acknowledgement is by all in-sync replicas, so ordered is as good as durable.
    fn append(&self, batch: Vec<NewRecord>, _: Ack) -> Ticket {
        self.appends.append(&batch)
    }

    fn append_in(&self, lane: Lane, batch: Vec<NewRecord>, _: Ack) -> Ticket {
        self.appends.append_in(lane, &batch)
    }

    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        let topic = self.topics.get(topic)?;
        if partition >= topic.partitions {
            return Err(LogError::Unknown { topic: topic.name.to_owned(), partition });
        }
        let (first, end) = topic.watermarks(&self.broker, partition)?;
        Ok(Bounds { first, end })
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.broker.healthy()?;
        let Bounds { first, end } = self.bounds(topic, partition)?;
        if from < first {
            return Err(LogError::OutOfRange { topic: topic.to_owned(), partition, offset: from, first });
        }
        if from >= end {
            return Ok(Vec::new());
        }
        let full = self.broker.full_name(topic);
        self.scanner.read(&self.broker, &full, partition, from..end, limit)
    }

    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        self.broker.healthy()?;
        let topic = self.topics.get(topic)?;
        let member_of = match mode {
            Mode::Follow => None,
            Mode::Owned | Mode::All => Some(self.groups.enter(group, &topic)?),
        };
        let through = (&self.broker, &self.appends);
        Ok(Box::new(KafkaConsumer::join(through, topic, group, member_of, mode)?))
    }

    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        self.pulse.horizon(topic, partition)
    }

    fn commit(&self, commit: Commit) -> Ticket<()> {
        if let Err(error) = self.broker.healthy() {
            return Ticket::ready(Err(error));
        }
        let Commit { group, partition, epoch, .. } = commit;
        let Ok(entry) = self.groups.get(group) else {
            return Ticket::ready(Err(LogError::Fenced { group, partition, epoch, current: 0 }));
        };
        let (answer, ticket) = Ticket::pending();
        entry.submit(Pending { commit, answer });
        ticket
    }

    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
        let group = self.groups.get(group)?;
        // Learnt when a term begins, with every commit, and from the pulse for what others commit.
        Ok(group.flushed.get(partition as usize).map_or(0, |next| next.load(Ordering::SeqCst)))
    }

    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        let group = self.groups.get(group)?;
        let restore = || scan::restore(&self.broker, &group.state, partition);
        let (committed, rows) = self.broker.patiently(restore)?;
        rows.iter().for_each(|(key, value)| each(key, value));
        Ok(committed)
    }

    fn trim(&self, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }

    fn members(&self) -> Result<Option<Vec<Member>>, LogError> {
        self.broker.healthy()?;
        groups::members(&self.broker).map(Some)
    }

    fn close(&self) -> Result<(), LogError> {
        let deadline = Instant::now() + CLOSE;
        if self.broker.closing() {
            return Ok(());
        }
        let flushed = self.appends.flush(|| deadline.saturating_duration_since(Instant::now()));
        self.broker.begin_closing();
        self.groups.close();
        self.broker.end_threads(deadline);
        flushed.map_err(|error| {
            LogError::Stopped(format!("not everything was acknowledged before closing: {error}"))
        })
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log did not close cleanly");
        }
    }
}
