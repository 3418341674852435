//! The embedded adapter: one fjall database, one journal, so what is durable is always a prefix of what was written.

mod codec;
mod disk;
mod fjall_store;
mod integrity;

use std::path::PathBuf;

use disk::Disk;
use fjall_store::{FjallStore, LOG_FOLDER};

use crate::{
    Ack, Bounds, Clock, Commit, Committed, Consumer, Horizon, Log, LogError, Mode, NewRecord, ReadLimit,
    Record, Room, Ticket, TopicSpec, inprocess::InProcess,
};

/// When a durable acknowledgement is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fsync {
    /// After one fsync for all appends that arrived meanwhile: survives the loss of power.
    #[default]
    Group,
    /// After the write: survives the end of the process, not the loss of power.
    Never,
}

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Writer {
    /// A thread of its own; appends of many callers share one write and one fsync.
    #[default]
    Thread,
    /// The caller. For a single-threaded replay.
    Caller,
}

/// Options of the embedded log.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The data directory; created when absent.
    pub directory: PathBuf,
    /// When a durable acknowledgement is given.
    pub fsync: Fsync,
    /// Who writes.
    pub writer: Writer,
    /// Bytes of the disk that are kept back, see [`Room`]. The store needs some hundred MiB to compact; 0 keeps nothing back,
    /// for directories that are thrown away.
    pub reserve_bytes: u64,
}

/// Free bytes of the disk that `path` lies on, or will, as an ordinary user may use them.
pub fn free_bytes(path: &std::path::Path) -> std::io::Result<u64> {
    disk::free_bytes(path)
}

/// The log in a directory of this machine.
pub struct Embedded(InProcess<FjallStore>);

impl Embedded {
    /// Opens or creates the directory. A damaged one is refused and left as it was found.
    pub fn open(options: &EmbeddedOptions, clock: Clock) -> Result<Self, LogError> {
        Self::open_on(Disk::of(&options.directory, options.reserve_bytes), options, clock)
    }

    /// Opens a directory that a server has written to. Any other is left as it is.
    pub fn open_existing(options: &EmbeddedOptions, clock: Clock) -> Result<Self, LogError> {
        if !options.directory.join(LOG_FOLDER).is_dir() {
            return Err(LogError::Missing(options.directory.display().to_string()));
        }
        Self::open(options, clock)
    }

    fn open_on(disk: Disk, options: &EmbeddedOptions, clock: Clock) -> Result<Self, LogError> {
        let fsync = options.fsync == Fsync::Group;
        let store = FjallStore::open(disk, fsync)?;
        InProcess::open(store, clock, fsync, options.writer == Writer::Thread).map(Self)
    }

    /// Puts the owner of `partition` out of `group` without its knowing, as a broker does when a session times out. For
    /// tests.
    pub fn evict_owner(&self, group: &str, partition: u32) {
        self.0.evict_owner(group, partition);
    }

    /// Whether it holds that topic; nothing is made.
    pub fn has_topic(&self, name: &str) -> Result<bool, LogError> {
        self.0.has_topic(name)
    }
}

crate::delegate::delegate_log!(Embedded);

#[cfg(test)]
mod tests;
