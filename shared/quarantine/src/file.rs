//! The embedded adapter: entries in memory, each change appended to a file, the file rewritten when it is mostly
//! history. It is a view, so nothing is synced and a torn last line is dropped: the decisions are read again from there.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use stockade_model::{Position, SupplierId};

use crate::{Answer, Entry, MemoryStore, Put, QuarantineStore, StoreError, Summary};

/// Lines per entry before the file is rewritten.
const LINES_PER_ENTRY_MAX: usize = 4;

/// A store in one file.
pub struct FileStore {
    path: PathBuf,
    entries: MemoryStore,
    file: Mutex<Lines>,
}

struct Lines {
    file: File,
    count: usize,
}

fn failed(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError(format!("{}: {error}", path.display()))
}

impl FileStore {
    /// Opens or creates the file.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let entries = MemoryStore::default();
        if path.exists() {
            let file = File::open(path).map_err(|e| failed(path, e))?;
            for line in BufReader::new(file).split(b'\n') {
                let line = line.map_err(|e| failed(path, e))?;
                match serde_json::from_slice(&line) {
                    Ok(entry) => drop(entries.put_now(entry)),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "quarantine file ends in a torn line; the rest is read from the decisions");
                        break;
                    }
                }
            }
        }
        let file = Self::rewrite(path, &entries).map_err(|e| failed(path, e))?;
        let count = entries.len();
        Ok(Self { path: path.to_owned(), entries, file: Mutex::new(Lines { file, count }) })
    }

    fn rewrite(path: &Path, entries: &MemoryStore) -> std::io::Result<File> {
        let fresh = path.with_extension("new");
        let mut text = Vec::new();
        for entry in entries.since_now(None) {
            serde_json::to_writer(&mut text, &entry)?;
            text.push(b'\n');
        }
        fs::write(&fresh, text)?;
        fs::rename(&fresh, path)?;
        OpenOptions::new().append(true).open(path)
    }

    fn put_line(&self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut lines = self.file.lock();
        lines.file.write_all(&line)?;
        lines.count += 1;
        if lines.count > 1_000 + self.entries.len() * LINES_PER_ENTRY_MAX {
            *lines = Lines { file: Self::rewrite(&self.path, &self.entries)?, count: self.entries.len() };
        }
        Ok(())
    }
}

impl QuarantineStore for FileStore {
    fn put(&self, entry: Entry) -> Answer<'_, Put> {
        Box::pin(async move {
            let put = self.entries.put_now(entry.clone());
            if put == Put::Applied {
                self.put_line(&entry).map_err(|e| failed(&self.path, e))?;
            }
            Ok(put)
        })
    }
    fn get<'a>(&'a self, supplier: &'a SupplierId) -> Answer<'a, Option<Entry>> {
        self.entries.get(supplier)
    }
    fn since(&self, version: Option<Position>) -> Answer<'_, Vec<Entry>> {
        self.entries.since(version)
    }
    fn summary(&self) -> Answer<'_, Summary> {
        self.entries.summary()
    }
    fn forget<'a>(&'a self, supplier: &'a SupplierId, version: &'a Position) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.entries.forget_now(supplier, version) {
                // Lines only ever add; to take one away the file is written anew.
                let mut lines = self.file.lock();
                let file = Self::rewrite(&self.path, &self.entries).map_err(|e| failed(&self.path, e))?;
                *lines = Lines { file, count: self.entries.len() };
            }
            Ok(())
        })
    }
}
