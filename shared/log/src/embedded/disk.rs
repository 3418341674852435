//! The disk under the data directory.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{LogError, Room};

type Probe = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// A data directory and what is kept back of its disk.
pub(super) struct Disk {
    pub(super) directory: PathBuf,
    reserve_bytes: u64,
    probe: Probe,
}

impl Disk {
    pub(super) fn of(directory: &Path, reserve_bytes: u64) -> Self {
        Self { directory: directory.to_owned(), reserve_bytes, probe: Box::new(free_bytes) }
    }

    /// The same with another way to learn what is free.
    #[cfg(test)]
    pub(super) fn with_probe(
        mut self,
        probe: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        self.probe = Box::new(probe);
        self
    }

    /// What is left; one system call, so it is asked anew each time. `None` when nothing is kept back or the system
    /// does not say.
    pub(super) fn room(&self) -> Option<Room> {
        if self.reserve_bytes == 0 {
            return None;
        }
        Some(Room {
            path: self.directory.display().to_string(),
            free_bytes: (self.probe)(&self.directory).ok()?,
            reserve_bytes: self.reserve_bytes,
        })
    }

    /// What a failure at opening means.
    pub(super) fn failed(&self, error: &io::Error) -> LogError {
        let path = self.directory.display().to_string();
        if error.kind() == io::ErrorKind::StorageFull {
            return LogError::DiskFull { path, free_bytes: 0, reserve_bytes: self.reserve_bytes };
        }
        LogError::Stopped(format!("{path}: {error}"))
    }
}

pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(path)?;
    let existing = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let disk = rustix::fs::statvfs(existing)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
