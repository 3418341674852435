//! Errors of the log, each with what to do about it.

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again after a pause.
    Retry,
    /// The request is wrong; trying again will not help.
    Reject,
    /// Your term of ownership is over; keep back your outputs and wait: the consumer says what you are now.
    Fenced,
    /// The process cannot go on; stop, and recover by restarting.
    Fatal,
}

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The append queue is full.
    #[error("the append queue is full ({records} records, {bytes} bytes waiting); retry after a pause")]
    Full {
        /// Records waiting.
        records: usize,
        /// Bytes waiting.
        bytes: usize,
    },
    /// A batch that can never fit.
    #[error("a batch of {bytes} bytes is over the limit of {bytes_max}; split it")]
    TooLarge {
        /// Size of the batch.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// No such topic or partition.
    #[error("topic {topic} has no partition {partition}; create it with ensure_topic first")]
    Unknown {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// An existing topic differs from what was asked for.
    #[error(
        "topic {topic} has {found} partitions, the configuration asks for {asked}; set `log.partitions` back, or use a new data directory or another `kafka.prefix`"
    )]
    Mismatch {
        /// The topic.
        topic: String,
        /// Partitions asked for.
        asked: u32,
        /// Partitions found.
        found: u32,
    },
    /// Reading below what is kept.
    #[error("offset {offset} of {topic}/{partition} is no longer kept, the first is {first}")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Offset asked for.
        offset: u64,
        /// First offset kept.
        first: u64,
    },
    /// A commit by someone who is no longer the owner.
    #[error("group {group} partition {partition}: epoch {epoch} is fenced, the current one is {current}")]
    Fenced {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: u32,
        /// Epoch of the commit.
        epoch: u64,
        /// The current epoch.
        current: u64,
    },
    /// A commit that would move an offset back.
    #[error("group {group} partition {partition}: commit of {offset} would move back from {committed}")]
    Backwards {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: u32,
        /// Offset of the commit.
        offset: u64,
        /// Offset committed before.
        committed: u64,
    },
    /// The disk is nearly full, and the rest of it is kept back so that what is being written can be finished.
    #[error(
        "the disk under {path} is full: {} MiB are free and {} MiB are kept back; make room there, then it goes on by itself",
        .free_bytes >> 20, .reserve_bytes >> 20
    )]
    DiskFull {
        /// The data directory.
        path: String,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes kept back.
        reserve_bytes: u64,
    },
    /// Nothing was ever written there.
    #[error("{0} holds no log; name the data directory of a server with --data")]
    Missing(String),
    /// The data directory is in use.
    #[error("data directory {0} is in use by another process; stop that process or choose another --data")]
    Locked(String),
    /// The data directory is damaged.
    #[error(
        "data directory {path} is damaged: {detail}. Nothing was changed. Restore it from a backup, or start with an empty --data directory and load again"
    )]
    Corrupt {
        /// The directory.
        path: String,
        /// What was found.
        detail: String,
    },
    /// A broker that cannot be used as it is; nothing was changed.
    #[error("{0}")]
    Config(String),
    /// A copy that nobody has begun to make yet; nothing was changed.
    #[error("{0}")]
    NotCopied(String),
    /// The broker could not be reached when the log was to be opened; nothing was begun.
    #[error("{0}")]
    Unreachable(String),
    /// The broker does not answer for now.
    #[error("{0}; nothing is lost, it is tried again")]
    Unavailable(String),
    /// The log failed and can no longer be trusted, or was closed.
    #[error("the log stopped: {0}; restart the process to recover")]
    Stopped(String),
}

impl LogError {
    /// What to do.
    pub fn remedy(&self) -> Remedy {
        match self {
            // Whoever is behind its own group's commit is still the owner, and will be past it when it has read on.
            LogError::Full { .. }
            | LogError::Unreachable(_)
            | LogError::NotCopied(_)
            | LogError::Unavailable(_)
            | LogError::DiskFull { .. }
            | LogError::Backwards { .. } => Remedy::Retry,
            LogError::TooLarge { .. }
            | LogError::Unknown { .. }
            | LogError::Mismatch { .. }
            | LogError::OutOfRange { .. } => Remedy::Reject,
            LogError::Fenced { .. } => Remedy::Fenced,
            LogError::Missing(_)
            | LogError::Locked(_)
            | LogError::Corrupt { .. }
            | LogError::Config(_)
            | LogError::Stopped(_) => Remedy::Fatal,
        }
    }
    /// Stable name for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            LogError::Full { .. } => "full",
            LogError::TooLarge { .. } => "too_large",
            LogError::Unknown { .. } => "unknown_partition",
            LogError::Mismatch { .. } => "topic_mismatch",
            LogError::OutOfRange { .. } => "out_of_range",
            LogError::Fenced { .. } => "fenced",
            LogError::Backwards { .. } => "backwards",
            LogError::DiskFull { .. } => "disk_full",
            LogError::Missing(_) => "missing",
            LogError::NotCopied(_) => "not_copied",
            LogError::Locked(_) => "locked",
            LogError::Corrupt { .. } => "corrupt",
            LogError::Config(_) => "config",
            LogError::Unreachable(_) => "unreachable",
            LogError::Unavailable(_) => "unavailable",
            LogError::Stopped(_) => "stopped",
        }
    }
}
