//! One transaction at a time for one group: changelog rows, partition rows and input offsets together.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use rustc_hash::FxHashMap;
use stockade_log::{Commit, LogError, failpoint};

use crate::{
    broker::Broker,
    changelog::{self, PARTITION_ROW},
    client::Watch,
    group::{Group, Pending},
    options::KafkaOptions,
};

/// How often a commit is tried when the group's generation moved on under it while the term goes on, before it is put off.
const GENERATIONS_MAX: usize = 5;
/// Pause before the same.
const REJOIN_POLL: Duration = Duration::from_millis(100);

/// How a transaction ended.
enum End {
    /// It is committed.
    Committed,
    /// It is not, and the producer is still good.
    Aborted(KafkaError),
    /// The group's generation was not the current one.
    OldGeneration,
    /// Nobody knows; the producer is of no use any more.
    Unclear(KafkaError),
}

pub(crate) struct Committer {
    options: KafkaOptions,
    group: Arc<Group>,
    watch: Watch,
    producer: Option<BaseProducer<Watch>>,
}

impl Committer {
    /// Commits for `group`, on a thread of its own, until the group is closed.
    pub(crate) fn start(broker: &Broker, group: Arc<Group>) -> Result<(), LogError> {
        let name = format!("commit-{}", group.name);
        let committer =
            Self { options: broker.options.clone(), group, watch: broker.watch.clone(), producer: None };
        broker.spawn(name, move || committer.run())
    }

    fn run(mut self) {
        while let Some(batch) = self.group.take() {
            let mut by_member: FxHashMap<u64, Vec<Pending>> = FxHashMap::default();
            for pending in batch {
                match self.check(&pending.commit) {
                    Ok(member) => by_member.entry(member).or_default().push(pending),
                    // The asker may be gone; then nobody needs the answer.
                    Err(error) => drop(pending.answer.send(Err(error))),
                }
            }
            for (member, batch) in by_member {
                self.commit(member, batch);
            }
        }
    }

    /// Whether the term of a commit is still on; gives the member that holds it.
    fn check(&self, commit: &Commit) -> Result<u64, LogError> {
        let Commit { group, partition, epoch, next_offset, .. } = *commit;
        if partition >= self.group.input.partitions {
            return Err(LogError::Unknown { topic: self.group.input.name.to_owned(), partition });
        }
        match self.group.terms.get(partition) {
            Some(term) if term.epoch == epoch => {
                if next_offset < term.committed {
                    let committed = term.committed;
                    return Err(LogError::Backwards { group, partition, offset: next_offset, committed });
                }
                Ok(term.member)
            }
            other => {
                let current = other.map_or(0, |term| term.epoch);
                Err(LogError::Fenced { group, partition, epoch, current })
            }
        }
    }

    fn commit(&mut self, member: u64, mut batch: Vec<Pending>) {
        for _ in 0..GENERATIONS_MAX {
            // The order matters: metadata first, then the terms. See the module `group`.
            let metadata = self.group.member(member).and_then(|member| member.group_metadata());
            let (good, ended): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|pending| self.check(&pending.commit).is_ok());
            for pending in ended {
                let error = self.check(&pending.commit).err();
                let _ = pending.answer.send(error.map_or(Ok(()), Err));
            }
            batch = good;
            if batch.is_empty() {
                return;
            }
            let end = match metadata {
                Some(metadata) => self.transact(&batch, &metadata),
                None => End::OldGeneration,
            };
            match end {
                End::Committed => return self.committed(batch),
                End::Aborted(error) => return fail(batch, &format!("a flush was aborted: {error}")),
                End::Unclear(error) => return self.resolve(batch, &error),
                // A rebalance that left us the partition: the group gives us the new generation as soon as we poll.
                End::OldGeneration => self.group.rest(REJOIN_POLL),
            }
        }
        // The terms are still on. Whether they end is for the group to say: the callback that ends one also tells its owner,
        // and a fence from here would tell it nothing and so demote it for good. A rebalance may take as long as its slowest
        // member.
        fail(
            batch,
            "the group is between two generations, or has put this process out without its knowing yet",
        );
    }

    fn committed(&self, batch: Vec<Pending>) {
        for Pending { commit, answer } in batch {
            self.group.terms.advance(commit.partition, commit.epoch, commit.next_offset);
            self.group.flushed[commit.partition as usize].fetch_max(commit.next_offset, Ordering::SeqCst);
            let _ = answer.send(Ok(()));
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.options.transaction_timeout_ms))
    }

    /// A producer whose predecessors' transactions are all decided.
    fn producer(&mut self) -> Result<&BaseProducer<Watch>, KafkaError> {
        if self.producer.is_none() {
            let config = self.options.committer(self.group.name);
            let producer: BaseProducer<Watch> = config.create_with_context(self.watch.clone())?;
            producer.init_transactions(self.timeout())?;
            self.producer = Some(producer);
        }
        self.producer.as_ref().ok_or(KafkaError::Canceled)
    }

    fn transact(&mut self, batch: &[Pending], metadata: &ConsumerGroupMetadata) -> End {
        let group = self.group.clone();
        let timeout = self.timeout();
        let producer = match self.producer() {
            Ok(producer) => producer,
            // Nothing was begun, so nothing is unclear.
            Err(error) => return End::Aborted(error),
        };
        let result = fill(producer, &group, batch, metadata, timeout);
        let Err(error) = result else { return End::Committed };
        let (fatal, old) = match &error {
            KafkaError::Transaction(error) => (error.is_fatal(), is_old_generation(error.code())),
            other => (false, other.rdkafka_error_code().is_some_and(is_old_generation)),
        };
        // An abort that is acknowledged makes it clear; anything else leaves it to the next producer.
        if !fatal && producer.abort_transaction(timeout).is_ok() {
            return if old { End::OldGeneration } else { End::Aborted(error) };
        }
        self.producer = None;
        if old { End::OldGeneration } else { End::Unclear(error) }
    }

    /// Finds out how an unclear transaction ended: a new producer of the same name decides it, then the offsets tell.
    fn resolve(&mut self, batch: Vec<Pending>, error: &KafkaError) {
        tracing::warn!(group = self.group.name, %error, "the end of a flush is unclear; the producer is made anew");
        metrics::counter!("stockade_log_producers_remade_total", "group" => self.group.name).increment(1);
        let partitions = batch.iter().map(|pending| pending.commit.partition);
        let decided = self.producer().is_ok();
        let offsets = decided.then(|| self.group.committed_offsets(partitions).ok()).flatten();
        let Some(offsets) = offsets else {
            return fail(batch, &format!("the end of a flush is not known yet: {error}"));
        };
        let done = |commit: &Commit| offsets.contains(&(commit.partition, commit.next_offset));
        let (done, undone): (Vec<_>, Vec<_>) = batch.into_iter().partition(|pending| done(&pending.commit));
        self.committed(done);
        fail(undone, &format!("a flush did not take place: {error}"));
    }
}

/// The rows are acknowledged before the offsets go, so that an accepted offset never lacks a row.
fn fill(
    producer: &BaseProducer<Watch>,
    group: &Group,
    batch: &[Pending],
    metadata: &ConsumerGroupMetadata,
    timeout: Duration,
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    let mut offsets = TopicPartitionList::new();
    for Pending { commit, .. } in batch {
        let partition = commit.partition as i32;
        for (key, value) in &commit.rows {
            row(producer, &group.state.full, partition, key, value.as_deref())?;
        }
        let own = changelog::encode(commit.epoch, commit.next_offset, &commit.row);
        row(producer, &group.state.full, partition, PARTITION_ROW, Some(&own))?;
        offsets.add_partition_offset(
            &group.input.full,
            partition,
            Offset::Offset(commit.next_offset as i64),
        )?;
    }
    producer.flush(timeout)?;
    failpoint::hit("changelog-flush", group.name);
    producer.send_offsets_to_transaction(&offsets, metadata, timeout)?;
    failpoint::hit("commit", group.name);
    let begun = Instant::now();
    loop {
        match producer.commit_transaction(timeout) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && begun.elapsed() < timeout => {}
            other => return other,
        }
    }
}

fn row(
    producer: &BaseProducer<Watch>,
    topic: &str,
    partition: i32,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), KafkaError> {
    let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(key);
    let mut record = match value {
        Some(value) => record.payload(value),
        None => record,
    };
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(10));
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn fail(batch: Vec<Pending>, why: &str) {
    for Pending { answer, .. } in batch {
        let _ = answer.send(Err(LogError::Unavailable(why.to_owned())));
    }
}

fn is_old_generation(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::FencedInstanceId
    )
}
