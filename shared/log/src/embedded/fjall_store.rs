//! [`Store`] on fjall: keyspace `log` for blocks of records, `state` for changelogs, `meta` for topics and commits.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode,
    compaction::Leveled,
    config::{CompressionPolicy, FilterPolicy},
};
use parking_lot::Mutex;

use super::{
    codec,
    disk::Disk,
    integrity::{JournalCopies, Mark},
};
use crate::{
    Committed, LogError, ReadLimit, Record, Room,
    store::{Extent, Store, TopicRow, Write},
};

/// Version of the layout in this file.
const FORMAT: u32 = 1;
/// Records per stored block at most, so that reading one record never decodes much more than it needs.
const BLOCK_RECORDS_MAX: usize = 1_024;

/// What is written before it is sorted into files: it lies in memory, and in the journal that is read at a start. A directory made
/// by an earlier build keeps the size that it was made with.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Journals beside that which is written, which are kept until all that they hold lies in files: the least that the store takes.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Size of a file. What is written is merged with the files it overlaps, and a partition only grows at its end: with small files little else
/// is written again. The store's own 64 MiB are four times what is in memory here, so each merge wrote nearly everything anew.
const FILE_BYTES: u64 = 8 << 20;
/// Blocks that were read are kept for whoever reads them again, which hardly anybody does: folds read what is still in memory, and a start
/// reads everything once. A larger cache fills over hours and looks like a leak meanwhile.
const CACHE_BYTES: u64 = 4 << 20;

/// Where the store lies in a data directory.
pub(super) const LOG_FOLDER: &str = "log";

const FORMAT_KEY: &[u8] = b"format";
const NUMBER_KEY: &[u8] = b"write.number";

pub(super) struct FjallStore {
    database: Database,
    log: Keyspace,
    state: Keyspace,
    meta: Keyspace,
    disk: Disk,
    /// Number of the last write; stored with each write.
    number: AtomicU64,
    mark: Mutex<Mark>,
    fsync: bool,
    _lock: File,
}

fn stopped(error: impl std::fmt::Display) -> LogError {
    LogError::Stopped(error.to_string())
}

impl FjallStore {
    pub(super) fn open(disk: Disk, fsync: bool) -> Result<Self, LogError> {
        let directory = disk.directory.clone();
        let directory = directory.as_path();
        std::fs::create_dir_all(directory).map_err(|e| disk.failed(&e))?;
        let path = directory.join(LOG_FOLDER);
        let lock = lock(directory)?;
        let corrupt = |detail: String| LogError::Corrupt { path: directory.display().to_string(), detail };
        let (mark, durable) = Mark::open(directory).map_err(|e| disk.failed(&e))?;
        if durable > 0 && !path.exists() {
            return Err(corrupt("its log folder is missing although writes were acknowledged".to_owned()));
        }
        let copies = JournalCopies::take(directory, &path).map_err(|e| disk.failed(&e))?;
        let opened = match Self::open_database(&path) {
            // A full disk is no damage.
            Err(fjall::Error::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                copies.put_back().map_err(|e| disk.failed(&e))?;
                return Err(disk.failed(&error));
            }
            opened => opened,
        };
        let found = opened.map_err(|e| e.to_string()).and_then(|(database, log, state, meta)| {
            let number = read_u64(&meta, NUMBER_KEY)?.unwrap_or(0);
            let format = read_u64(&meta, FORMAT_KEY)?.unwrap_or(u64::from(FORMAT));
            if format != u64::from(FORMAT) {
                return Err(format!("its format is {format}, this build reads {FORMAT}"));
            }
            if number < durable {
                return Err(format!("write {durable} was acknowledged but the last one found is {number}"));
            }
            Ok((database, log, state, meta, number))
        });
        match found {
            Ok((database, log, state, meta, number)) => {
                copies.drop_them().map_err(stopped)?;
                if meta.get(FORMAT_KEY).map_err(stopped)?.is_none() {
                    meta.insert(FORMAT_KEY, u64::from(FORMAT).to_le_bytes()).map_err(stopped)?;
                }
                Ok(Self {
                    database,
                    log,
                    state,
                    meta,
                    disk,
                    number: AtomicU64::new(number),
                    mark: Mutex::new(mark),
                    fsync,
                    _lock: lock,
                })
            }
            Err(detail) => {
                copies.put_back().map_err(stopped)?;
                Err(corrupt(detail))
            }
        }
    }

    fn open_database(path: &Path) -> Result<(Database, Keyspace, Keyspace, Keyspace), fjall::Error> {
        let database = Database::builder(path)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            // What is written waits for it, and it is gone soon.
            .journal_compression(CompressionType::None)
            .open()?;
        // Records are JSON, which packs to a third and more.
        let packed = || CompressionPolicy::all(CompressionType::Lz4);
        let options = || {
            let files = Leveled::default().with_table_target_size(FILE_BYTES);
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES)
                .compaction_strategy(Arc::new(files))
                .data_block_compression_policy(packed())
        };
        // Both are read by ranges only, so nobody asks a filter whether a key is there.
        let ranges = || options().filter_policy(FilterPolicy::disabled());
        let log = database.keyspace("log", ranges)?;
        let state = database.keyspace("state", ranges)?;
        let meta = database.keyspace("meta", options)?;
        Ok((database, log, state, meta))
    }

    fn damaged(&self, what: impl std::fmt::Display) -> LogError {
        LogError::Corrupt { path: self.disk.directory.display().to_string(), detail: what.to_string() }
    }

    fn block(&self, guard: fjall::Guard) -> Result<(u64, Bytes), LogError> {
        let (key, value) = guard.into_inner().map_err(|e| self.damaged(e))?;
        let base = key.last_chunk::<8>().ok_or_else(|| self.damaged("a block has a short key"))?;
        Ok((u64::from_be_bytes(*base), Bytes::copy_from_slice(&value)))
    }
}

fn read_u64(keyspace: &Keyspace, key: &[u8]) -> Result<Option<u64>, String> {
    let value = keyspace.get(key).map_err(|e| e.to_string())?;
    match value.map(|value| <[u8; 8]>::try_from(&*value)) {
        None => Ok(None),
        Some(Ok(bytes)) => Ok(Some(u64::from_le_bytes(bytes))),
        Some(Err(_)) => Err("a number in the meta keyspace has the wrong length".to_owned()),
    }
}

fn slot(topic: u16, partition: u32) -> [u8; 6] {
    let mut key = [0; 6];
    key[..2].copy_from_slice(&topic.to_be_bytes());
    key[2..].copy_from_slice(&partition.to_be_bytes());
    key
}

fn block_key(topic: u16, partition: u32, base: u64) -> [u8; 14] {
    let mut key = [0; 14];
    key[..6].copy_from_slice(&slot(topic, partition));
    key[6..].copy_from_slice(&base.to_be_bytes());
    key
}

fn group_prefix(group: &str, partition: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + 5);
    key.push(group.len() as u8);
    key.extend(group.as_bytes());
    key.extend(partition.to_be_bytes());
    key
}

fn commit_key(group: &str, partition: u32) -> Vec<u8> {
    [b"commit/".as_slice(), &group_prefix(group, partition)].concat()
}

impl Store for FjallStore {
    fn topics(&self) -> Result<BTreeMap<String, TopicRow>, LogError> {
        let mut topics = BTreeMap::new();
        for guard in self.meta.prefix("topic/") {
            let (key, value) = guard.into_inner().map_err(|e| self.damaged(e))?;
            let name = std::str::from_utf8(&key[6..]).map_err(|e| self.damaged(e))?;
            let row = <[u8; 10]>::try_from(&*value).map_err(|e| self.damaged(e))?;
            let [a, b, p0, p1, p2, p3, g0, g1, g2, g3] = row;
            topics.insert(
                name.to_owned(),
                TopicRow {
                    id: u16::from_le_bytes([a, b]),
                    partitions: u32::from_le_bytes([p0, p1, p2, p3]),
                    generation: u32::from_le_bytes([g0, g1, g2, g3]),
                },
            );
        }
        Ok(topics)
    }

    fn put_topic(&self, name: &str, row: &TopicRow) -> Result<(), LogError> {
        let mut value = Vec::with_capacity(10);
        value.extend(row.id.to_le_bytes());
        value.extend(row.partitions.to_le_bytes());
        value.extend(row.generation.to_le_bytes());
        self.meta.insert(format!("topic/{name}"), value).map_err(stopped)
    }

    fn extent(&self, topic: u16, partition: u32) -> Result<Extent, LogError> {
        let mut blocks = self.log.prefix(slot(topic, partition));
        let Some(first) = blocks.next() else { return Ok(Extent::default()) };
        let first = self.block(first)?;
        let last = match blocks.next_back() {
            Some(guard) => self.block(guard)?,
            None => first.clone(),
        };
        let (count, last_time_ms) =
            codec::head(&last.1).ok_or_else(|| self.damaged("a block is cut short"))?;
        Ok(Extent { first: first.0, end: last.0 + u64::from(count), last_time_ms })
    }

    fn write(&self, write: Write<'_>) -> Result<(), LogError> {
        let mut batch = self.database.batch();
        for block in &write.blocks {
            for records in block.records.chunks(BLOCK_RECORDS_MAX) {
                let key = block_key(block.topic, block.partition, records[0].offset);
                batch.insert(&self.log, key, codec::encode(records).as_slice());
            }
        }
        if let Some(commit) = write.commit {
            let mut value = Vec::with_capacity(16 + commit.committed.row.len());
            value.extend(commit.committed.epoch.to_le_bytes());
            value.extend(commit.committed.next_offset.to_le_bytes());
            value.extend(&commit.committed.row);
            batch.insert(&self.meta, commit_key(commit.group, commit.partition), value);
            let prefix = group_prefix(commit.group, commit.partition);
            for (key, value) in commit.rows {
                let key = [&prefix, key.as_ref()].concat();
                match value {
                    Some(value) => batch.insert(&self.state, key, value.as_ref()),
                    None => batch.remove(&self.state, key),
                }
            }
        }
        let number = self.number.load(Ordering::Relaxed) + 1;
        batch.insert(&self.meta, NUMBER_KEY, number.to_le_bytes());
        // Handed to the operating system at once, so that the end of the process loses nothing.
        batch.durability(Some(PersistMode::Buffer)).commit().map_err(stopped)?;
        self.number.store(number, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        let number = self.number.load(Ordering::Relaxed);
        self.database.persist(PersistMode::SyncData).map_err(stopped)?;
        if self.fsync {
            self.mark.lock().set(number).map_err(stopped)?;
        }
        Ok(())
    }

    fn read(&self, topic: u16, partition: u32, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let lowest = block_key(topic, partition, 0);
        let wanted = block_key(topic, partition, from);
        let start = match self.log.range(lowest..=wanted).next_back() {
            Some(guard) => block_key(topic, partition, self.block(guard)?.0),
            None => wanted,
        };
        let (mut out, mut bytes) = (Vec::new(), 0);
        for guard in self.log.range(start..=block_key(topic, partition, u64::MAX)) {
            let (base, block) = self.block(guard)?;
            let records = codec::decode(block, base)
                .ok_or_else(|| self.damaged(format!("block {base} does not decode")))?;
            for record in records.into_iter().filter(|record| record.offset >= from) {
                bytes += record.size();
                if !out.is_empty() && (bytes > limit.bytes || out.len() >= limit.records) {
                    return Ok(out);
                }
                out.push(record);
            }
        }
        Ok(out)
    }

    fn trim(&self, topic: u16, partition: u32, before_ms: i64) -> Result<Option<u64>, LogError> {
        let mut batch = self.database.batch();
        let mut first = None;
        let mut old: Option<(u64, u32)> = None;
        for guard in self.log.prefix(slot(topic, partition)) {
            let (base, block) = self.block(guard)?;
            // The newest block always stays: it carries the next offset across a restart.
            if let Some((old_base, _)) = old.take() {
                batch.remove(&self.log, block_key(topic, partition, old_base));
                first = Some(base);
            }
            let (count, last_ms) = codec::head(&block).ok_or_else(|| self.damaged("a block is cut short"))?;
            if last_ms >= before_ms {
                break;
            }
            old = Some((base, count));
        }
        batch.commit().map_err(stopped)?;
        Ok(first)
    }

    fn committed(&self, group: &str, partition: u32) -> Result<Option<Committed>, LogError> {
        let Some(value) = self.meta.get(commit_key(group, partition)).map_err(|e| self.damaged(e))? else {
            return Ok(None);
        };
        let cut = || self.damaged("a commit row is cut short");
        let (epoch, rest) = value.split_first_chunk::<8>().ok_or_else(cut)?;
        let (next_offset, row) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        Ok(Some(Committed {
            epoch: u64::from_le_bytes(*epoch),
            next_offset: u64::from_le_bytes(*next_offset),
            row: Bytes::copy_from_slice(row),
        }))
    }

    fn changelog(
        &self,
        group: &str,
        partition: u32,
        each: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), LogError> {
        let prefix = group_prefix(group, partition);
        for guard in self.state.prefix(&prefix) {
            let (key, value) = guard.into_inner().map_err(|e| self.damaged(e))?;
            each(&key[prefix.len()..], &value);
        }
        Ok(())
    }

    fn room(&self) -> Option<Room> {
        self.disk.room()
    }

    fn close(&self) -> Result<(), LogError> {
        self.database.persist(PersistMode::SyncAll).map_err(stopped)
    }
}

/// How long a directory may still be held by a process that is on its way out.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Refuses a directory that another live process has open, before anything in it is touched. Released on drop.
#[allow(
    clippy::disallowed_methods,
    reason = "a lock of another process can only be polled; the deadline is named above"
)]
fn lock(directory: &Path) -> Result<File, LogError> {
    let path = directory.join("stockade.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(stopped)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(stopped(error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_PATIENCE => {
                return Err(LogError::Locked(directory.display().to_string()));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
