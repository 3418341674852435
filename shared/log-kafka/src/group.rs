//! A group as this process takes part in it: its members, the terms under which they own partitions, and the commits that
//! wait for their transaction.
//!
//! # Why a former owner cannot commit
//! A term begins with a claim: a record in the partition of the group's changelog, whose offset is the epoch. The owner is
//! announced only after everything before its claim is decided (no transaction is open below it), so whatever a former
//! owner still finishes is finished before the new one reads the changelog. A commit takes the group's metadata first,
//! then checks the term, then runs one transaction whose offsets the broker accepts only from that generation of the
//! group. A partition is given to someone else only in a later generation, and the term ends in the rebalance callback,
//! before the group can form that generation. So a commit under an ended term is refused here, and one that was under
//! way when the term ended either was complete before the next claim or is refused by the broker.
//!
//! A refusal by the broker does not end a term: the group may be between two generations for as long as its slowest member
//! takes, and whoever was put out hears of it by the callback. Until then the commit is put off.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use rustc_hash::FxHashMap;
use stockade_log::{Commit, LogError};
use tokio::sync::oneshot;

use crate::{
    broker::Broker,
    client::{ASK, Watch},
    membership::Member,
    terms::Terms,
    topic::Topic,
};

/// A commit waiting for its transaction.
pub(crate) struct Pending {
    pub(crate) commit: Commit,
    pub(crate) answer: oneshot::Sender<Result<(), LogError>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    closed: bool,
}

pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) input: Arc<Topic>,
    /// The changelog.
    pub(crate) state: Arc<Topic>,
    pub(crate) terms: Arc<Terms>,
    members: Mutex<FxHashMap<u64, Member>>,
    /// For questions about the group's offsets; it reads nothing and is no member.
    asker: Arc<BaseConsumer<Watch>>,
    next_member: AtomicU64,
    /// Next offset of the last commit known, by partition.
    pub(crate) flushed: Vec<AtomicU64>,
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Group {
    pub(crate) fn new(
        broker: &Broker,
        name: &'static str,
        input: Arc<Topic>,
        state: Arc<Topic>,
    ) -> Result<Self, LogError> {
        let asker = broker.options.reader(name).create_with_context(broker.watch.clone());
        let asker = asker.map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))?;
        let asker = Arc::new(asker);
        broker.clients.look_after(&asker);
        let flushed = (0..input.partitions).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            name,
            input,
            state,
            terms: Arc::default(),
            members: Mutex::default(),
            asker,
            next_member: AtomicU64::new(1),
            flushed,
            queue: Mutex::default(),
            filled: Condvar::new(),
        })
    }

    pub(crate) fn new_member(&self) -> u64 {
        self.next_member.fetch_add(1, Ordering::Relaxed)
    }
    pub(crate) fn add(&self, id: u64, member: Member) {
        self.members.lock().insert(id, member);
    }
    pub(crate) fn remove(&self, id: u64) -> Option<Member> {
        self.terms.end_all(id);
        self.members.lock().remove(&id)
    }
    pub(crate) fn member(&self, id: u64) -> Option<Member> {
        self.members.lock().get(&id).cloned()
    }

    /// Queues a commit; at most one per partition is under way, so the queue is bounded by their number.
    pub(crate) fn submit(&self, pending: Pending) {
        let mut queue = self.queue.lock();
        if queue.closed {
            let _ = pending.answer.send(Err(LogError::Stopped("it was closed".to_owned())));
            return;
        }
        queue.waiting.push_back(pending);
        self.filled.notify_one();
    }

    /// All commits waiting; blocks until there is one, `None` when closed and empty.
    pub(crate) fn take(&self) -> Option<Vec<Pending>> {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() && !queue.closed {
            self.filled.wait(&mut queue);
        }
        let batch: Vec<Pending> = queue.waiting.drain(..).collect();
        (!batch.is_empty()).then_some(batch)
    }

    pub(crate) fn close(&self) {
        self.queue.lock().closed = true;
        self.filled.notify_all();
    }

    /// The offsets the group has committed, of all partitions.
    pub(crate) fn all_committed_offsets(&self) -> Result<Vec<(u32, u64)>, LogError> {
        self.committed_offsets(0..self.input.partitions)
    }

    /// The offsets the group has committed; 0 where there is none.
    pub(crate) fn committed_offsets(
        &self,
        partitions: impl Iterator<Item = u32>,
    ) -> Result<Vec<(u32, u64)>, LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.input.full, partition as i32);
        }
        let found = self
            .asker
            .committed_offsets(list, ASK)
            .map_err(|error| LogError::Unavailable(format!("offsets of group {}: {error}", self.name)))?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset as u64,
            _ => 0,
        };
        Ok(found.elements().iter().map(|e| (e.partition() as u32, offset(e.offset()))).collect())
    }

    /// Waits a little, or until there is something to commit.
    pub(crate) fn rest(&self, pause: Duration) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            self.filled.wait_for(&mut queue, pause);
        }
    }
}
