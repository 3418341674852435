//! Never silently truncated: what a crash may leave is repaired, anything else is refused and left as it was found.
//!
//! The store cuts a torn journal tail off when it opens. That is right after a crash and wrong after damage, and it
//! cannot tell one from the other. We can: after each fsync the number of the last durable write goes into a small
//! file. If the store comes back with less than that, acknowledged data is gone, so the journals are put back as they
//! were and the directory is refused.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// The file with the number of the last write known to be durable.
pub(super) struct Mark {
    file: File,
}

impl Mark {
    pub(super) fn open(directory: &Path) -> io::Result<(Self, u64)> {
        let path = directory.join("durable.mark");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // Eight bytes and their complement: a torn mark reads as zero, which promises nothing and refuses nobody.
        let number = match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(both) => {
                let (low, high) =
                    (u128::from_le_bytes(both) as u64, (u128::from_le_bytes(both) >> 64) as u64);
                if low == !high { low } else { 0 }
            }
            Err(_) => 0,
        };
        Ok((Self { file }, number))
    }

    /// Notes a durable write. Not synced itself: after the loss of power it may be behind, never ahead.
    pub(super) fn set(&mut self, number: u64) -> io::Result<()> {
        let both = u128::from(number) | (u128::from(!number) << 64);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&both.to_le_bytes())
    }
}

/// Copies of the journals from before the store opened them.
pub(super) struct JournalCopies {
    directory: PathBuf,
    copies: Vec<(PathBuf, PathBuf)>,
}

impl JournalCopies {
    pub(super) fn take(directory: &Path, database: &Path) -> io::Result<Self> {
        let into = directory.join("journal-copies");
        if into.exists() {
            fs::remove_dir_all(&into)?;
        }
        let mut journals = Vec::new();
        find_journals(database, &mut journals)?;
        let mut copies = Vec::new();
        if !journals.is_empty() {
            fs::create_dir_all(&into)?;
        }
        for (number, journal) in journals.into_iter().enumerate() {
            let copy = into.join(format!("{number}.jnl"));
            if let Err(error) = fs::copy(&journal, &copy) {
                // On a full disk half a copy is of no use and in the way.
                fs::remove_dir_all(&into)?;
                return Err(error);
            }
            copies.push((journal, copy));
        }
        Ok(Self { directory: into, copies })
    }

    pub(super) fn put_back(self) -> io::Result<()> {
        for (journal, copy) in &self.copies {
            fs::copy(copy, journal)?;
        }
        self.drop_them()
    }

    pub(super) fn drop_them(self) -> io::Result<()> {
        if self.directory.exists() { fs::remove_dir_all(&self.directory) } else { Ok(()) }
    }
}

fn find_journals(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            find_journals(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            found.push(path);
        }
    }
    Ok(())
}
