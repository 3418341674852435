//! What an in-process adapter needs from its storage.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Committed, LogError, Record, Room};

/// Records that lie next to each other in one partition.
pub(crate) struct Block<'a> {
    pub(crate) topic: u16,
    pub(crate) partition: u32,
    pub(crate) records: &'a [Record],
}

/// One atomic write.
#[derive(Default)]
pub(crate) struct Write<'a> {
    pub(crate) blocks: Vec<Block<'a>>,
    pub(crate) commit: Option<CommitWrite>,
}

pub(crate) struct CommitWrite {
    pub(crate) group: &'static str,
    pub(crate) partition: u32,
    pub(crate) committed: Committed,
    pub(crate) rows: Vec<(Bytes, Option<Bytes>)>,
}

/// What a store knows of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRow {
    pub(crate) id: u16,
    pub(crate) partitions: u32,
    pub(crate) generation: u32,
}

/// Extent and last record time of a partition as stored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) last_time_ms: i64,
}

/// Storage under [`crate::inprocess::InProcess`]. Calls block; writes come from one thread at a time.
pub(crate) trait Store: Send + Sync + 'static {
    fn topics(&self) -> Result<BTreeMap<String, TopicRow>, LogError>;
    fn put_topic(&self, name: &str, row: &TopicRow) -> Result<(), LogError>;
    fn extent(&self, topic: u16, partition: u32) -> Result<Extent, LogError>;
    /// Applies the write atomically, after all earlier ones.
    fn write(&self, write: Write<'_>) -> Result<(), LogError>;
    /// Makes every write so far survive the loss of power.
    fn sync(&self) -> Result<(), LogError>;
    fn read(
        &self,
        topic: u16,
        partition: u32,
        from: u64,
        limit: crate::ReadLimit,
    ) -> Result<Vec<Record>, LogError>;
    /// Removes whole blocks whose last record is older than `before_ms`; returns the new first offset.
    fn trim(&self, topic: u16, partition: u32, before_ms: i64) -> Result<Option<u64>, LogError>;
    fn committed(&self, group: &str, partition: u32) -> Result<Option<Committed>, LogError>;
    fn changelog(
        &self,
        group: &str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), LogError>;
    /// What is left of the disk; `None` when that is not known or there is none.
    fn room(&self) -> Option<Room> {
        None
    }
    /// Called once, after the last write.
    fn close(&self) -> Result<(), LogError>;
}
