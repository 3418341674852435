//! The durable log: the port every service stands on.
//!
//! # Contract
//!
//! Every adapter keeps these promises; [`conformance`] holds each of them by name.
//!
//! * **Order.** Records of one `append` call that go to one partition lie there in call order, and none of them is
//!   acknowledged unless all before it are. Offsets grow; record times never go back within a partition, whatever the
//!   clock does.
//! * **Visibility.** A consumer sees a record once its append was acknowledged, never before.
//! * **Durability.** [`Ack::Durable`]: when the ticket resolves, the records survive the loss of power (as far as the
//!   adapter's `fsync` setting says). [`Ack::Ordered`]: no record acknowledged later as durable survives a crash
//!   without them. That is enough for anything that can be derived again, and it costs no fsync.
//! * **Groups.** Each partition of a topic has at most one owner per group that can commit. Every change of owner raises
//!   the partition's epoch. A [`Commit`] with an epoch that is not the current one is `Fenced` and changes nothing.
//! * **No fence without an answer.** Whoever was fenced is told its new role by its consumer: reader, none, or owner under
//!   a later epoch. So a member that the group put out (its session timed out, say) joins again by itself, and a commit of
//!   a term that is still on is never `Fenced`: when the group cannot take it for now, it is `Unavailable`.
//! * **Commit is atomic.** Changed rows of the group's changelog, the partition row and the next input offset become
//!   durable together or not at all, after everything acknowledged before. It never moves an offset back.
//! * **Restore is one cut.** It gives the last commit and the rows of exactly that commit: the last value of each key,
//!   deleted keys left out. For an owner it waits until nothing of a former owner can still arrive.
//! * **Retention.** Records older than the topic's retention may go, oldest first; reading below what is kept is
//!   `OutOfRange` and names the first offset left.
//! * **Bounds.** The append queue is bounded by records and bytes; past it `append` answers `Full`, which means
//!   retry. A batch that could never fit is `TooLarge`, which means do not.
//! * **Failure.** A write or fsync that failed poisons the log: what is on disk is no longer known, so every later call
//!   is `Fatal`, and the process should stop and recover by restarting. A broker that is away is no failure: appends
//!   wait for it, within the queue's bounds.
//! * **A full disk** is no failure either: before it is reached, appends and commits are refused with `DiskFull`, which
//!   means retry, and nothing of them is written. See [`Room`].

pub mod conformance;
mod consumer;
mod delegate;
pub mod embedded;
mod error;
pub mod failpoint;
mod group;
mod headers;
mod inprocess;
mod memory;
mod partitioner;
mod store;
mod ticket;
mod types;

pub use embedded::{Embedded, EmbeddedOptions, Fsync, Writer};
pub use error::{LogError, Remedy};
pub use headers::Headers;
pub use memory::{Memory, MemoryDisk};
pub use partitioner::partition_of;
pub use ticket::Ticket;
pub use types::{
    Ack, Bounds, Clock, Commit, Committed, Epoch, Event, Horizon, Lane, Member, Mode, NewRecord, Placed,
    ReadLimit, Record, Role, Room, Route, TopicSpec,
};

use std::{future::Future, pin::Pin, sync::Arc};

/// The durable, partitioned log with changelogs. See the crate documentation for the contract.
pub trait Log: Send + Sync + 'static {
    /// Creates the topic, or checks that the existing one has the same partitions.
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError>;
    /// Number of partitions of `topic`.
    fn partitions(&self, topic: &str) -> Result<u32, LogError>;
    /// Generation of `topic`: raised each time it is made anew, so positions keep growing.
    fn generation(&self, topic: &str) -> Result<u32, LogError>;
    /// Appends a batch; the ticket resolves when it is acknowledged.
    fn append(&self, batch: Vec<NewRecord>, ack: Ack) -> Ticket;
    /// The same beside others of its [`Lane`]. Records of one key that are appended by this call stay in order, whatever lanes they
    /// were meant for: a key changes its lane only while nothing of it is under way, and is
    /// refused with [`LogError::Full`] when it never is. Adapters that write at once have no lanes.
    fn append_in(&self, _lane: Lane, batch: Vec<NewRecord>, ack: Ack) -> Ticket {
        self.append(batch, ack)
    }
    /// First offset kept and next offset to be written, as visible to consumers.
    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError>;
    /// Reads visible records from `from` on; empty at the end.
    fn read(&self, topic: &str, partition: u32, from: u64, limit: ReadLimit)
    -> Result<Vec<Record>, LogError>;
    /// Joins `group` on `topic`.
    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError>;
    /// The end of a partition as this process last learnt it, and when that was. Never waits.
    fn horizon(&self, topic: &str, partition: u32) -> Horizon;
    /// Commits changelog rows, the partition row and the next input offset of a group together.
    fn commit(&self, commit: Commit) -> Ticket<()>;
    /// Next input offset of the group's last commit for `partition`, 0 before the first; may be a moment old.
    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError>;
    /// Gives the last commit of `group` for `partition` and hands every changelog row as of then to `each`, in key order.
    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError>;
    /// Applies retention as of `now_ms`; returns how many records went.
    fn trim(&self, now_ms: i64) -> Result<u64, LogError>;
    /// What is left of the disk under the log; `None` where it lies on no disk of this process. Ask it before new work is
    /// taken from outside: the log itself goes on a little longer, so that what was taken can be finished.
    fn room(&self) -> Option<Room> {
        None
    }
    /// Who takes part in groups now, of all processes; `None` where a log is of one process only. It may wait for seconds.
    fn members(&self) -> Result<Option<Vec<Member>>, LogError> {
        Ok(None)
    }
    /// Makes everything acknowledged so far durable and refuses what comes after.
    fn close(&self) -> Result<(), LogError>;
}

/// A member of a group. Dropping it leaves the group.
pub trait Consumer: Send {
    /// The next assignment change or batch, without waiting.
    fn try_next(&mut self, limit: ReadLimit) -> Result<Option<Event>, LogError>;
    /// Resolves when `try_next` may have something new.
    fn wait(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Continues reading `partition` at `offset`.
    fn seek(&mut self, partition: u32, offset: u64);
}

/// The log as services hold it.
pub type SharedLog = Arc<dyn Log>;
