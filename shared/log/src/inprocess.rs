//! The in-process log: group commit, visibility, groups and fencing over any [`Store`].

mod writer;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use writer::Queue;

use crate::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Horizon, Log, LogError, Mode, NewRecord, Placed,
    ReadLimit, Record, Room, Route, Ticket, TopicSpec,
    consumer::InProcessConsumer,
    group::Group,
    partition_of,
    store::{Block, CommitWrite, Store, TopicRow, Write},
};

/// Recent records kept in memory per partition, so that consumers that keep up never touch the store. What
/// readers make of them lies beside them and takes about as much again.
const TAIL_BYTES_MAX: usize = 1 << 19;
/// A batch over this can never be appended.
const BATCH_BYTES_MAX: usize = 32 << 20;
#[derive(Default)]
struct Partition {
    first: u64,
    /// Next offset to be assigned.
    next: u64,
    /// Next offset to become visible; below `next` only while a write is under way.
    end: u64,
    last_time_ms: i64,
    tail: VecDeque<Record>,
    tail_bytes: usize,
}

pub(crate) struct TopicState {
    pub(crate) name: &'static str,
    row: TopicRow,
    retention_ms: Option<i64>,
    partitions: Vec<Mutex<Partition>>,
    /// Bumped whenever records become visible or a group changes.
    pub(crate) news: watch::Sender<u64>,
}

pub(crate) struct GroupEntry {
    topic: &'static str,
    pub(crate) group: Group,
}

pub(crate) struct Shared<S> {
    store: S,
    clock: Clock,
    fsync: bool,
    topics: RwLock<FxHashMap<String, Arc<TopicState>>>,
    pub(crate) groups: Mutex<FxHashMap<&'static str, GroupEntry>>,
    queue: Queue,
    /// Serialises writes to the store, so that offsets, journal order and fences agree.
    write: Mutex<()>,
    poison: RwLock<Option<String>>,
}

/// The log over a store. With a writer thread, appends of many callers share one write and one fsync; without one,
/// each append is written by its caller, which is what a single-threaded replay wants.
pub(crate) struct InProcess<S: Store> {
    pub(crate) shared: Arc<Shared<S>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    threaded: bool,
}

impl<S: Store> InProcess<S> {
    pub(crate) fn open(store: S, clock: Clock, fsync: bool, threaded: bool) -> Result<Self, LogError> {
        let shared = Arc::new(Shared {
            store,
            clock,
            fsync,
            topics: RwLock::default(),
            groups: Mutex::default(),
            queue: Queue::default(),
            write: Mutex::new(()),
            poison: RwLock::new(None),
        });
        let writer = if threaded {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name("log-writer".to_owned());
            Some(thread.spawn(move || shared.write_loop()).map_err(|e| LogError::Stopped(e.to_string()))?)
        } else {
            None
        };
        Ok(Self { shared, writer: Mutex::new(writer), threaded })
    }
}

impl<S: Store> Shared<S> {
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<TopicState>, LogError> {
        let topics = self.topics.read();
        topics.get(name).cloned().ok_or_else(|| LogError::Unknown { topic: name.to_owned(), partition: 0 })
    }

    fn healthy(&self) -> Result<(), LogError> {
        match &*self.poison.read() {
            Some(why) => Err(LogError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    /// Whether the disk has room for `bytes` more.
    fn holds(&self, bytes: usize) -> Result<(), LogError> {
        self.store.room().map_or(Ok(()), |room| room.holds(bytes as u64))
    }

    /// After a failed write or fsync nobody knows what is on disk: refuse everything from here on.
    fn poison(&self, error: &LogError) {
        tracing::error!(%error, "the log failed and stops; restart the process to recover");
        self.poison.write().get_or_insert_with(|| error.to_string());
        self.topics.read().values().for_each(|topic| topic.news.send_modify(|n| *n += 1));
    }

    /// Writes batches in order, at once and as a whole, and syncs where one of them asks for it; gives where the records of each are.
    fn write_all(&self, batches: Vec<(Vec<NewRecord>, Ack)>) -> Result<Vec<Vec<Placed>>, LogError> {
        self.try_write_all(batches).inspect_err(|error| self.poison(error))
    }

    fn write_one(&self, batch: Vec<NewRecord>, ack: Ack) -> Result<Vec<Placed>, LogError> {
        self.write_all(vec![(batch, ack)]).map(|mut placed| placed.pop().unwrap_or_default())
    }

    fn try_write_all(&self, batches: Vec<(Vec<NewRecord>, Ack)>) -> Result<Vec<Vec<Placed>>, LogError> {
        let _write = self.write.lock();
        self.healthy()?;
        let now_ms = (self.clock)();
        let mut blocks: BTreeMap<(u16, u32), (Arc<TopicState>, Vec<Record>)> = BTreeMap::new();
        let mut placed = Vec::with_capacity(batches.len());
        let is_durable = batches.iter().any(|(_, ack)| *ack == Ack::Durable);
        // Records of one topic come together: it is looked up when it changes.
        let mut latest: Option<Arc<TopicState>> = None;
        for (batch, _) in batches {
            let mut places = Vec::with_capacity(batch.len());
            for record in batch {
                let topic = match latest.take().filter(|topic| topic.name == record.topic) {
                    Some(topic) => topic,
                    None => self.topic(record.topic)?,
                };
                let topic = latest.insert(topic);
                let partition = topic.route(&record);
                let (_, records) =
                    blocks.entry((topic.row.id, partition)).or_insert_with(|| (topic.clone(), Vec::new()));
                let stamped = topic.stamp(partition, record, now_ms);
                places.push(Placed { partition, offset: stamped.offset });
                records.push(stamped);
            }
            placed.push(places);
        }
        let write = Write {
            blocks: blocks
                .iter()
                .map(|((topic, partition), (_, records))| Block {
                    topic: *topic,
                    partition: *partition,
                    records,
                })
                .collect(),
            commit: None,
        };
        self.store.write(write)?;
        if self.fsync && is_durable {
            self.store.sync()?;
        }
        for ((_, partition), (topic, records)) in blocks {
            topic.publish(partition, records);
        }
        Ok(placed)
    }
}

impl TopicState {
    fn part(&self, partition: u32) -> Result<&Mutex<Partition>, LogError> {
        self.partitions
            .get(partition as usize)
            .ok_or_else(|| LogError::Unknown { topic: self.name.to_owned(), partition })
    }

    pub(crate) fn count(&self) -> u32 {
        self.row.partitions
    }

    fn route(&self, record: &NewRecord) -> u32 {
        match record.route {
            Route::Key => partition_of(&record.key, self.row.partitions),
            Route::Partition(partition) => partition,
        }
    }

    fn stamp(&self, partition: u32, record: NewRecord, now_ms: i64) -> Record {
        let mut part = self.partitions[partition as usize].lock();
        let offset = part.next;
        part.next += 1;
        part.last_time_ms = part.last_time_ms.max(now_ms);
        Record {
            offset,
            time_ms: part.last_time_ms,
            key: record.key,
            headers: record
                .headers
                .into_iter()
                .map(|(name, value)| (name.into(), Bytes::from(value)))
                .collect(),
            value: record.value,
        }
    }

    fn publish(&self, partition: u32, records: Vec<Record>) {
        let mut part = self.partitions[partition as usize].lock();
        part.end = part.next;
        for record in records {
            part.tail_bytes += record.size();
            part.tail.push_back(record);
        }
        while part.tail_bytes > TAIL_BYTES_MAX {
            let Some(gone) = part.tail.pop_front() else { break };
            part.tail_bytes -= gone.size();
        }
        drop(part);
        self.news.send_modify(|n| *n += 1);
    }

    pub(crate) fn bounds(&self, partition: u32) -> Result<Bounds, LogError> {
        let part = self.part(partition)?.lock();
        Ok(Bounds { first: part.first, end: part.end })
    }

    /// Records of the in-memory tail, or `None` when `from` lies before it.
    fn read_tail(
        &self,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Option<Vec<Record>>, LogError> {
        let part = self.part(partition)?.lock();
        if from >= part.end {
            return Ok(Some(Vec::new()));
        }
        if from < part.first {
            return Err(LogError::OutOfRange {
                topic: self.name.to_owned(),
                partition,
                offset: from,
                first: part.first,
            });
        }
        let Some(start) = part.tail.front().map(|record| record.offset).filter(|start| *start <= from) else {
            return Ok(None);
        };
        let mut bytes = 0;
        let records =
            part.tail.range((from - start) as usize..).take(limit.records.max(1)).take_while(|record| {
                let first = bytes == 0;
                bytes += record.size();
                first || bytes <= limit.bytes
            });
        Ok(Some(records.cloned().collect()))
    }
}

impl<S: Store> Shared<S> {
    pub(crate) fn read(
        &self,
        topic: &TopicState,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        self.healthy()?;
        if let Some(records) = topic.read_tail(partition, from, limit)? {
            return Ok(records);
        }
        let end = topic.bounds(partition)?.end;
        let mut records = self.store.read(topic.row.id, partition, from, limit)?;
        // A write under way may already be in the store without being acknowledged.
        records.retain(|record| record.offset < end);
        Ok(records)
    }

    pub(crate) fn committed(&self, group: &str, partition: u32) -> Result<Option<Committed>, LogError> {
        self.store.committed(group, partition)
    }

    /// Checks that it is the owner who commits, and writes all of it at once.
    fn commit_now(&self, commit: Commit) -> Result<(), LogError> {
        let _write = self.write.lock();
        self.healthy()?;
        let Commit { group, partition, epoch, next_offset, row, rows } = commit;
        let of_row = |(key, value): &(Bytes, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        self.holds(row.len() + rows.iter().map(of_row).sum::<usize>())?;
        // The fence is checked under the lock that the write happens under, so nobody can slip in between.
        let groups = self.groups.lock();
        let entry = groups.get(group).ok_or(LogError::Fenced { group, partition, epoch, current: 0 })?;
        let current = entry.group.epochs.get(partition as usize).copied();
        let owned = entry.group.owners.get(partition as usize).is_some_and(Option::is_some);
        match current {
            None => return Err(LogError::Unknown { topic: entry.topic.to_owned(), partition }),
            Some(current) if current != epoch || !owned => {
                return Err(LogError::Fenced { group, partition, epoch, current });
            }
            Some(_) => {}
        }
        if let Some(committed) = self.store.committed(group, partition)?
            && next_offset < committed.next_offset
        {
            let committed = committed.next_offset;
            return Err(LogError::Backwards { group, partition, offset: next_offset, committed });
        }
        let commit = CommitWrite { group, partition, committed: Committed { epoch, next_offset, row }, rows };
        let written = self.store.write(Write { blocks: Vec::new(), commit: Some(commit) });
        drop(groups);
        written.inspect_err(|error| self.poison(error))
    }
}

impl<S: Store> Log for InProcess<S> {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let _write = self.shared.write.lock();
        let known = self.shared.store.topics()?;
        let row = match known.get(spec.name) {
            Some(row) if row.partitions != spec.partitions => {
                return Err(LogError::Mismatch {
                    topic: spec.name.to_owned(),
                    asked: spec.partitions,
                    found: row.partitions,
                });
            }
            Some(row) => row.clone(),
            None => {
                let id = known.values().map(|row| row.id + 1).max().unwrap_or(0);
                let row = TopicRow { id, partitions: spec.partitions, generation: 1 };
                self.shared.store.put_topic(spec.name, &row)?;
                row
            }
        };
        let mut topics = self.shared.topics.write();
        if topics.contains_key(spec.name) {
            return Ok(());
        }
        let mut partitions = Vec::with_capacity(row.partitions as usize);
        for partition in 0..row.partitions {
            let extent = self.shared.store.extent(row.id, partition)?;
            partitions.push(Mutex::new(Partition {
                first: extent.first,
                next: extent.end,
                end: extent.end,
                last_time_ms: extent.last_time_ms,
                ..Partition::default()
            }));
        }
        let state = TopicState {
            name: spec.name,
            row,
            retention_ms: spec.retention_ms,
            partitions,
            news: watch::Sender::new(0),
        };
        topics.insert(spec.name.to_owned(), Arc::new(state));
        Ok(())
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.shared.topic(topic)?.row.partitions)
    }

    fn generation(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.shared.topic(topic)?.row.generation)
    }

    fn append(&self, batch: Vec<NewRecord>, ack: Ack) -> Ticket {
        match self.admit(&batch) {
            Err(error) => Ticket::ready(Err(error)),
            Ok(_) if batch.is_empty() => Ticket::ready(Ok(Vec::new())),
            Ok(bytes) if self.threaded => self.shared.enqueue(batch, ack, bytes),
            Ok(_) => Ticket::ready(self.shared.write_one(batch, ack)),
        }
    }

    fn bounds(&self, topic: &str, partition: u32) -> Result<Bounds, LogError> {
        self.shared.topic(topic)?.bounds(partition)
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let topic = self.shared.topic(topic)?;
        self.shared.read(&topic, partition, from, limit)
    }

    fn join(&self, group: &'static str, topic: &str, mode: Mode) -> Result<Box<dyn Consumer>, LogError> {
        let topic = self.shared.topic(topic)?;
        if mode == Mode::Follow {
            return Ok(Box::new(InProcessConsumer::new(self.shared.clone(), group, None, topic, mode)));
        }
        let mut groups = self.shared.groups.lock();
        if !groups.contains_key(group) {
            let mut epochs = Vec::with_capacity(topic.row.partitions as usize);
            for partition in 0..topic.row.partitions {
                epochs.push(self.shared.store.committed(group, partition)?.map_or(0, |c| c.epoch));
            }
            groups.insert(group, GroupEntry { topic: topic.name, group: Group::new(epochs) });
        }
        let member = groups.get_mut(group).map(|entry| entry.group.join());
        drop(groups);
        topic.news.send_modify(|n| *n += 1);
        Ok(Box::new(InProcessConsumer::new(self.shared.clone(), group, member, topic, mode)))
    }

    fn horizon(&self, topic: &str, partition: u32) -> Horizon {
        let end = self.bounds(topic, partition).map_or(0, |bounds| bounds.end);
        Horizon { end, heard_ms: (self.shared.clock)() }
    }

    fn commit(&self, commit: Commit) -> Ticket<()> {
        match self.threaded {
            true => self.shared.enqueue_commit(commit),
            false => Ticket::ready(self.shared.commit_now(commit)),
        }
    }

    fn flushed(&self, group: &'static str, partition: u32) -> Result<u64, LogError> {
        Ok(self.shared.committed(group, partition)?.map_or(0, |committed| committed.next_offset))
    }

    fn restore(
        &self,
        group: &'static str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Option<Committed>, LogError> {
        // No commit may come between the partition row and the rows.
        let _write = self.shared.write.lock();
        self.shared.store.changelog(group, partition, each)?;
        self.shared.store.committed(group, partition)
    }

    fn trim(&self, now_ms: i64) -> Result<u64, LogError> {
        let topics: Vec<_> = self.shared.topics.read().values().cloned().collect();
        let mut gone = 0;
        // Removing is writing too, until the store has compacted what was removed; on a full disk it has to wait.
        if self.shared.holds(0).is_err() {
            return Ok(0);
        }
        for topic in topics {
            let Some(retention_ms) = topic.retention_ms else { continue };
            for partition in 0..topic.row.partitions {
                let _write = self.shared.write.lock();
                let Some(first) = self.shared.store.trim(topic.row.id, partition, now_ms - retention_ms)?
                else {
                    continue;
                };
                let mut part = topic.partitions[partition as usize].lock();
                gone += first.saturating_sub(part.first);
                part.first = part.first.max(first);
                while part.tail.front().is_some_and(|record| record.offset < first) {
                    part.tail_bytes -= part.tail.pop_front().map_or(0, |record| record.size());
                }
            }
        }
        Ok(gone)
    }

    fn room(&self) -> Option<Room> {
        self.shared.store.room()
    }

    fn close(&self) -> Result<(), LogError> {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            return Err(LogError::Stopped("the writer thread panicked".to_owned()));
        }
        let _write = self.shared.write.lock();
        if self.shared.poison.read().is_some() {
            return Ok(());
        }
        self.shared.store.sync()?;
        self.shared.store.close()?;
        *self.shared.poison.write() = Some("it was closed".to_owned());
        Ok(())
    }
}

impl<S: Store> InProcess<S> {
    /// Puts the owner of `partition` out of `group`, as a broker does when a session times out. It hears of it when it
    /// next asks for something.
    pub(crate) fn evict_owner(&self, group: &str, partition: u32) {
        let topic = {
            let mut groups = self.shared.groups.lock();
            let Some(entry) = groups.get_mut(group) else { return };
            entry.group.evict_owner(partition as usize);
            entry.topic
        };
        if let Ok(topic) = self.shared.topic(topic) {
            topic.news.send_modify(|n| *n += 1);
        }
    }

    /// Whether the store holds that topic; nothing is made.
    pub(crate) fn has_topic(&self, name: &str) -> Result<bool, LogError> {
        Ok(self.shared.store.topics()?.contains_key(name))
    }

    /// Checks that every record has somewhere to go and that the batch can ever fit; returns its size in bytes.
    fn admit(&self, batch: &[NewRecord]) -> Result<usize, LogError> {
        self.shared.healthy()?;
        let mut bytes = 0;
        let mut latest: Option<Arc<TopicState>> = None;
        for record in batch {
            let topic = match latest.take().filter(|topic| topic.name == record.topic) {
                Some(topic) => topic,
                None => self.shared.topic(record.topic)?,
            };
            let topic = latest.insert(topic);
            topic.part(topic.route(record))?;
            bytes += record.size();
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(LogError::TooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        self.shared.holds(bytes)?;
        Ok(bytes)
    }
}

impl<S: Store> Drop for InProcess<S> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the log did not close cleanly");
        }
    }
}
