//! The memory adapter: for tests and simulation. Its "disk" outlives the log, so that a restart can be played.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Horizon, Log, LogError, Mode, NewRecord, ReadLimit,
    Record, Room, Ticket, TopicSpec,
    inprocess::InProcess,
    store::{Extent, Store, TopicRow, Write},
};

type Slot = (u16, u32);

#[derive(Default)]
struct Contents {
    topics: BTreeMap<String, TopicRow>,
    /// First offset kept, and the records from there on.
    records: BTreeMap<Slot, (u64, Vec<Record>)>,
    committed: BTreeMap<(String, u32), Committed>,
    rows: BTreeMap<(String, u32), BTreeMap<Bytes, Bytes>>,
}

/// What survives when a [`Memory`] log is dropped.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

impl MemoryDisk {
    /// Writes changelog rows past every fence and without the position: what no log may do, for simulations that show
    /// that it would be noticed.
    pub fn force_rows(&self, group: &str, partition: u32, rows: &[(Bytes, Option<Bytes>)]) {
        let mut contents = self.0.lock();
        put_rows(contents.rows.entry((group.to_owned(), partition)).or_default(), rows.iter().cloned());
    }
}

fn put_rows(held: &mut BTreeMap<Bytes, Bytes>, rows: impl Iterator<Item = (Bytes, Option<Bytes>)>) {
    for (key, value) in rows {
        match value {
            Some(value) => held.insert(key, value),
            None => held.remove(&key),
        };
    }
}

impl Store for MemoryDisk {
    fn topics(&self) -> Result<BTreeMap<String, TopicRow>, LogError> {
        Ok(self.0.lock().topics.clone())
    }
    fn put_topic(&self, name: &str, row: &TopicRow) -> Result<(), LogError> {
        self.0.lock().topics.insert(name.to_owned(), row.clone());
        Ok(())
    }
    fn extent(&self, topic: u16, partition: u32) -> Result<Extent, LogError> {
        let contents = self.0.lock();
        Ok(contents.records.get(&(topic, partition)).map_or_else(Extent::default, |(first, records)| {
            Extent {
                first: *first,
                end: first + records.len() as u64,
                last_time_ms: records.last().map_or(0, |record| record.time_ms),
            }
        }))
    }
    fn write(&self, write: Write<'_>) -> Result<(), LogError> {
        let mut contents = self.0.lock();
        for block in write.blocks {
            // Kept for good, so without what readers make of them for a moment.
            let kept = block.records.iter();
            let kept = kept.map(|record| Record { headers: record.headers.unopened(), ..record.clone() });
            contents.records.entry((block.topic, block.partition)).or_default().1.extend(kept);
        }
        if let Some(commit) = write.commit {
            let slot = (commit.group.to_owned(), commit.partition);
            contents.committed.insert(slot.clone(), commit.committed);
            let rows = contents.rows.entry(slot).or_default();
            put_rows(rows, commit.rows.into_iter());
        }
        Ok(())
    }
    fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }
    fn read(&self, topic: u16, partition: u32, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let contents = self.0.lock();
        let Some((first, records)) = contents.records.get(&(topic, partition)) else { return Ok(Vec::new()) };
        let skip = from.saturating_sub(*first) as usize;
        Ok(records.iter().skip(skip).take(limit.records.max(1)).cloned().collect())
    }
    fn trim(&self, topic: u16, partition: u32, before_ms: i64) -> Result<Option<u64>, LogError> {
        let mut contents = self.0.lock();
        let Some((first, records)) = contents.records.get_mut(&(topic, partition)) else { return Ok(None) };
        let old = records.iter().take_while(|record| record.time_ms < before_ms).count();
        records.drain(..old);
        *first += old as u64;
        Ok((old > 0).then_some(*first))
    }
    fn committed(&self, group: &str, partition: u32) -> Result<Option<Committed>, LogError> {
        Ok(self.0.lock().committed.get(&(group.to_owned(), partition)).cloned())
    }
    fn changelog(
        &self,
        group: &str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), LogError> {
        let rows = self.0.lock().rows.get(&(group.to_owned(), partition)).cloned().unwrap_or_default();
        rows.iter().for_each(|(key, value)| each(key, value));
        Ok(())
    }
    fn close(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// A log in memory.
pub struct Memory(InProcess<MemoryDisk>);

impl Memory {
    /// Opens a log over `disk`; appends are written by their callers.
    pub fn open(disk: MemoryDisk, clock: Clock) -> Result<Self, LogError> {
        InProcess::open(disk, clock, false, false).map(Self)
    }

    /// Puts the owner of `partition` out of `group` without its knowing, as a broker does when a session times out. For
    /// tests and simulations.
    pub fn evict_owner(&self, group: &str, partition: u32) {
        self.0.evict_owner(group, partition);
    }
}

crate::delegate::delegate_log!(Memory);
