//! Values of the port.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Headers, LogError};

/// The ownership epoch of one partition in one group.
pub type Epoch = u64;

/// Where record times come from: milliseconds since the Unix epoch. Replay and simulation pass their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What a topic should be.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: &'static str,
    /// How many partitions.
    pub partitions: u32,
    /// How long records are kept, in milliseconds; `None` is for ever.
    pub retention_ms: Option<i64>,
}

/// How a record finds its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By the murmur2 hash of its key, as Kafka's Java client does.
    Key,
    /// This one.
    Partition(u32),
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The topic.
    pub topic: &'static str,
    /// How it finds its partition.
    pub route: Route,
    /// Its key; may be empty when addressed by number.
    pub key: Bytes,
    /// Headers in order.
    pub headers: Vec<(&'static str, String)>,
    /// Its value.
    pub value: Bytes,
}

impl NewRecord {
    /// Roughly the bytes it takes in the queue.
    pub fn size(&self) -> usize {
        48 + self.key.len()
            + self.value.len()
            + self.headers.iter().map(|(name, value)| name.len() + value.len() + 5).sum::<usize>()
    }
}

/// A record as read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: u64,
    /// Record time: the log's clock at append, never going back within a partition. Milliseconds.
    pub time_ms: i64,
    /// Its key.
    pub key: Bytes,
    /// Headers in order.
    pub headers: Headers,
    /// Its value.
    pub value: Bytes,
}

impl Record {
    /// Roughly the bytes it takes in memory.
    pub fn size(&self) -> usize {
        64 + self.key.len()
            + self.value.len()
            + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// What an acknowledgement means. See the crate documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Nothing durable later survives without it.
    Ordered,
    /// It survives.
    Durable,
}

/// What an append waits beside: appends of one lane never wait for those of another before they reach the log, so that a flood
/// of whoever is not known yet holds up nobody who is. The order of a partition is that in which appends arrive there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Of whoever is known, and of the platform itself.
    #[default]
    Trusted,
    /// Of whoever came lately.
    Probation,
    /// Of whoever is under suspicion.
    Suspect,
}

/// Where a record of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// The visible extent of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First offset kept.
    pub first: u64,
    /// Next offset to be written.
    pub end: u64,
}

/// A member of a group, as the log itself knows it: another process of the installation, or this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The process, by the name that it gave the log.
    pub instance: String,
    /// Where it calls from.
    pub host: String,
    /// The group.
    pub group: String,
    /// Partitions it has been given.
    pub partitions: Vec<u32>,
    /// Whether it is this process.
    pub here: bool,
}

/// What this process knows of a partition's end without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Next offset to be written, as last learnt.
    pub end: u64,
    /// When that was, in milliseconds by the clock of this process. An adapter that asks at intervals answers the present
    /// as long as its answers come in time; when this falls behind, the log is out of reach.
    pub heard_ms: i64,
}

/// How much one read returns at most; at least one record is always returned if there is one.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Records.
    pub records: usize,
    /// Bytes, as [`Record::size`] counts them.
    pub bytes: usize,
}

impl Default for ReadLimit {
    fn default() -> Self {
        Self { records: 512, bytes: 1 << 20 }
    }
}

/// Which partitions a member reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those it owns.
    Owned,
    /// All of them: as owner where assigned, as reader elsewhere.
    All,
    /// All of them as reader, without being a member of the group.
    Follow,
}

/// What a member is to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It owns it: emits outputs and commits.
    Owner(Epoch),
    /// It follows along.
    Reader,
    /// It no longer reads it.
    None,
}

/// What a consumer hands out.
#[derive(Debug)]
pub enum Event {
    /// The member's role for a partition changed. After becoming owner or reader of a partition that it did not read,
    /// reading starts at the group's committed offset, or at the first one kept; `seek` changes that.
    Assigned {
        /// The partition.
        partition: u32,
        /// The new role.
        role: Role,
    },
    /// Records, contiguous and in order.
    Batch {
        /// The partition.
        partition: u32,
        /// The records, at least one.
        records: Vec<Record>,
    },
}

/// An atomic step of a group on one partition.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The group.
    pub group: &'static str,
    /// The partition.
    pub partition: u32,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// Next input offset to read.
    pub next_offset: u64,
    /// The partition row: position, clock and control state of the fold, opaque here.
    pub row: Bytes,
    /// Changed changelog rows; `None` deletes.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// The last commit of a group on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Epoch of the owner that committed.
    pub epoch: Epoch,
    /// Next input offset to read.
    pub next_offset: u64,
    /// The partition row.
    pub row: Bytes,
}

/// What is left of the disk under a log. A part of it is kept back: work from outside is refused when the whole of that part
/// is all that is left, and the log's own appends and commits at half of it. So what was taken in is finished, and the
/// store never meets the end of the disk in the middle of a write, after which it could not be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The data directory.
    pub path: String,
    /// Bytes free.
    pub free_bytes: u64,
    /// Bytes kept back.
    pub reserve_bytes: u64,
}

impl Room {
    /// Whether new work may be taken in.
    pub fn admits(&self) -> Result<(), LogError> {
        self.above(self.reserve_bytes)
    }

    /// Whether `bytes` may be written to finish what was taken in.
    pub(crate) fn holds(&self, bytes: u64) -> Result<(), LogError> {
        self.above((self.reserve_bytes / 2).saturating_add(bytes))
    }

    fn above(&self, bytes: u64) -> Result<(), LogError> {
        if self.free_bytes >= bytes {
            return Ok(());
        }
        let Self { path, free_bytes, reserve_bytes } = self.clone();
        Err(LogError::DiskFull { path, free_bytes, reserve_bytes })
    }
}
