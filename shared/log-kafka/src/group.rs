//! A group's members in this process, the terms under which they own partitions, and the thread that commits for them.
//!
//! # Why a former owner cannot commit
//! A term begins with a claim: a record in the partition of the group's changelog, whose offset is the epoch. The owner is
//! announced only after everything before its claim is decided (no transaction is open below it), so whatever a former
//! owner still finishes is finished before the new one reads the changelog. A commit takes the group's metadata first,
//! then checks the term, then runs one transaction whose offsets the broker accepts only from that generation of the
//! group. A partition is given to someone else only in a later generation, and the term ends in the rebalance callback,
//! before the group can form that generation. So a commit under an ended term is refused here, and one that was under
//! way when the term ended either was complete before the next claim or is refused by the broker.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};
use rustc_hash::FxHashMap;
use stockade_log::{Commit, LogError};
use tokio::sync::oneshot;

use crate::{
    Shared,
    committer::Committer,
    context::{Change, Mailbox, Membership, Watch},
    topic::Topic,
};

/// Keys of a changelog that are not rows of the fold. Row keys start with a table name, which is never 0.
pub(crate) const PARTITION_ROW: &[u8] = b"\0row";
const CLAIM: &[u8] = b"\0claim";

/// How often the end of foreign transactions is asked for.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long one question to a broker may take.
pub(crate) const ASK: Duration = Duration::from_secs(5);

/// One ownership of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) epoch: u64,
    pub(crate) member: u64,
    /// Next offset of the last commit.
    pub(crate) committed: u64,
}

/// Who of this process owns what.
#[derive(Default)]
pub(crate) struct Terms(Mutex<BTreeMap<u32, Term>>);

impl Terms {
    pub(crate) fn get(&self, partition: u32) -> Option<Term> {
        self.0.lock().get(&partition).copied()
    }
    pub(crate) fn end(&self, partition: u32, member: u64) {
        let mut terms = self.0.lock();
        if terms.get(&partition).is_some_and(|term| term.member == member) {
            terms.remove(&partition);
        }
    }
    fn end_all(&self, member: u64) {
        self.0.lock().retain(|_, term| term.member != member);
    }
    /// The term of `epoch` has committed up to `next`.
    pub(crate) fn advance(&self, partition: u32, epoch: u64, next: u64) {
        if let Some(term) = self.0.lock().get_mut(&partition).filter(|term| term.epoch == epoch) {
            term.committed = next;
        }
    }
}

pub(crate) type Member = Arc<BaseConsumer<Membership>>;

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
    asker: BaseConsumer<Watch>,
    next_member: AtomicU64,
    /// Next offset of the last commit known, by partition.
    pub(crate) flushed: Vec<AtomicU64>,
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Group {
    /// Starts the group's thread.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        name: &'static str,
        input: Arc<Topic>,
        state: Arc<Topic>,
    ) -> Result<Arc<Self>, LogError> {
        let asker = shared.options.reader(name).create_with_context(shared.watch.clone());
        let flushed = (0..input.partitions).map(|_| AtomicU64::new(0)).collect();
        let group = Arc::new(Self {
            name,
            input,
            state,
            terms: Arc::default(),
            members: Mutex::default(),
            asker: asker.map_err(|error| LogError::Config(format!("no consumer could be made: {error}")))?,
            next_member: AtomicU64::new(1),
            flushed,
            queue: Mutex::default(),
            filled: Condvar::new(),
        });
        let committer = Committer::new(shared.options.clone(), group.clone(), shared.watch.clone());
        shared.spawn(format!("commit-{name}"), move || committer.run())?;
        Ok(group)
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

    /// Begins terms for partitions the group granted to a member: claims them, waits until nothing of a former owner
    /// can still arrive, and tells the member. Blocks; give it a thread.
    pub(crate) fn claim(&self, shared: &Shared, member: u64, mailbox: &Mailbox, partitions: &[u32]) {
        if let Err(error) = self.try_claim(shared, member, mailbox, partitions) {
            // The process cannot own anything like this; its folds stop and say so.
            shared.poison(&format!("partitions of {} could not be claimed: {error}", self.name));
        }
    }

    fn try_claim(
        &self,
        shared: &Shared,
        member: u64,
        mailbox: &Mailbox,
        partitions: &[u32],
    ) -> Result<(), LogError> {
        let claims = partitions.iter().map(|partition| stockade_log::NewRecord {
            topic: self.state.name,
            route: stockade_log::Route::Partition(*partition),
            key: Bytes::from_static(CLAIM),
            headers: Vec::new(),
            value: Bytes::copy_from_slice(shared.options.instance.as_bytes()),
        });
        let placed = shared.append(&claims.collect::<Vec<_>>()).wait()?;
        let granted = |partition| mailbox.granted.lock().contains(&partition);
        let begun = Instant::now();
        let mut warned = false;
        let mut waiting: BTreeMap<u32, u64> = placed.iter().map(|p| (p.partition, p.offset)).collect();
        while !waiting.is_empty() && !shared.closing() {
            let mut settled = BTreeMap::new();
            waiting.retain(|partition, claim| {
                if !granted(*partition) {
                    return false;
                }
                // With read_committed this is the first offset that is not decided yet.
                let decided = shared.asker.fetch_watermarks(&self.state.full, *partition as i32, ASK);
                let done = decided.is_ok_and(|(_, end)| end as u64 > *claim);
                if done {
                    settled.insert(*partition, *claim);
                }
                !done
            });
            if !settled.is_empty() {
                match self.committed_offsets(settled.keys().copied()) {
                    Ok(offsets) => self.begin_terms(member, mailbox, &settled, &offsets),
                    Err(error) => {
                        tracing::debug!(group = self.name, %error, "asking again");
                        waiting.append(&mut settled);
                    }
                }
            }
            if !waiting.is_empty() {
                if !warned && begun.elapsed() > Duration::from_secs(2) {
                    warned = true;
                    tracing::warn!(group = self.name, partitions = ?waiting.keys(), "waiting for a former owner's open transaction to end; the broker ends it after transaction.timeout.ms");
                }
                shared.pause(SETTLE_INTERVAL);
            }
        }
        Ok(())
    }
    fn begin_terms(
        &self,
        member: u64,
        mailbox: &Mailbox,
        claims: &BTreeMap<u32, u64>,
        offsets: &[(u32, u64)],
    ) {
        for (partition, committed) in offsets {
            let epoch = claims.get(partition).map_or(0, |claim| claim + 1);
            self.flushed[*partition as usize].fetch_max(*committed, Ordering::SeqCst);
            // Under the lock that the rebalance callback takes, so that a term cannot begin after its end.
            let granted = mailbox.granted.lock();
            if granted.contains(partition) {
                self.terms.0.lock().insert(*partition, Term { epoch, member, committed: *committed });
                mailbox.put(Change::Owned(*partition, epoch));
            }
        }
    }

    /// Waits a little, or until there is something to commit.
    pub(crate) fn rest(&self, pause: Duration) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            self.filled.wait_for(&mut queue, pause);
        }
    }
}
