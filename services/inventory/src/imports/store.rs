//! Where imports lie: a directory each, with what is known of it, the upload, rows that are right, and the report.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::meta::Meta;

/// What is known of an import.
const META: &str = "import.json";
/// The upload.
const UPLOAD: &str = "upload";
/// Rows that set stock to zero; all others; listings that a snapshot's file does not name. In the order of their turn.
pub(super) const LANES: [&str; 3] = ["zero.rows", "other.rows", "missing.rows"];
/// One bit a row: whether a later row names the same listing.
pub(super) const DUPLICATES: &str = "duplicates";
const REPORT: &str = "report.csv";
/// Files of keys while a file is read.
pub(super) const KEYS: &str = "keys";

pub(super) struct Store {
    root: PathBuf,
}

/// An upload that is not complete yet; gone when dropped.
pub(super) struct Spool {
    directory: PathBuf,
}

impl Spool {
    pub(super) fn upload(&self) -> PathBuf {
        self.directory.join(UPLOAD)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // It is no longer there once it was taken on.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Store {
    /// Opens the directory, made if need be, and reads what is known of each import. Uploads that never were complete go.
    pub(super) fn open(root: PathBuf) -> io::Result<(Self, Vec<Meta>)> {
        fs::create_dir_all(&root)?;
        let mut metas = Vec::new();
        for entry in fs::read_dir(&root)? {
            let path = entry?.path();
            match fs::read(path.join(META)) {
                Ok(bytes) => match serde_json::from_slice::<Meta>(&bytes) {
                    Ok(meta) => metas.push(meta),
                    Err(error) => {
                        tracing::error!(path = %path.display(), %error, "an import's own notes cannot be read; it is left where it lies");
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(fs::remove_dir_all(&path)),
                Err(error) => return Err(error),
            }
        }
        metas.sort_by_key(|meta| meta.number);
        Ok((Self { root }, metas))
    }

    /// Bytes that may still be written before what is kept back begins.
    pub(super) fn room_bytes(&self, reserve_bytes: u64) -> io::Result<u64> {
        let free = stockade_log::embedded::free_bytes(&self.root).map_err(io::Error::other)?;
        Ok(free.saturating_sub(reserve_bytes))
    }

    /// A place for an upload that begins.
    pub(super) fn spool(&self, name: &str) -> io::Result<Spool> {
        let directory = self.root.join(format!("spool-{name}"));
        fs::create_dir_all(&directory)?;
        Ok(Spool { directory })
    }

    /// Makes a complete upload an import; durable when it returns.
    pub(super) fn take_on(&self, spool: &Spool, meta: &Meta) -> io::Result<()> {
        write_durably(&spool.directory, META, meta)?;
        fs::rename(&spool.directory, self.directory(&meta.import))?;
        sync(&self.root)
    }

    fn directory(&self, import: &str) -> PathBuf {
        self.root.join(import)
    }

    /// A file of an import.
    pub(super) fn file(&self, meta: &Meta, name: &str) -> PathBuf {
        self.directory(&meta.import).join(name)
    }

    pub(super) fn upload(&self, meta: &Meta) -> PathBuf {
        self.file(meta, UPLOAD)
    }

    pub(super) fn report(&self, meta: &Meta) -> PathBuf {
        self.file(meta, REPORT)
    }

    /// Keeps what is known of an import; durable when it returns.
    pub(super) fn keep(&self, meta: &Meta) -> io::Result<()> {
        write_durably(&self.directory(&meta.import), META, meta)
    }

    /// The file was read: neither the upload nor the keys of its listings are needed any more.
    pub(super) fn clean_read(&self, meta: &Meta) {
        let _ = fs::remove_file(self.upload(meta));
        let _ = fs::remove_dir_all(self.file(meta, KEYS));
    }

    /// Bytes of the files of an import.
    pub(super) fn bytes(&self, meta: &Meta) -> u64 {
        bytes_in(&self.directory(&meta.import))
    }

    /// Of a finished import only what is known of it and its report are kept.
    pub(super) fn clean(&self, meta: &Meta) {
        self.clean_read(meta);
        for name in LANES.into_iter().chain([DUPLICATES]) {
            let _ = fs::remove_file(self.file(meta, name));
        }
    }

    pub(super) fn remove(&self, meta: &Meta) {
        if let Err(error) = fs::remove_dir_all(self.directory(&meta.import)) {
            tracing::warn!(import = meta.import, %error, "an old import could not be removed");
        }
    }
}

/// Bytes of the files in a directory and those inside it. What cannot be looked at counts for nothing.
fn bytes_in(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Writes beside and moves into place, so that a reader finds the old or the new.
fn write_durably(directory: &Path, name: &str, meta: &Meta) -> io::Result<()> {
    let (beside, place) = (directory.join(format!("{name}.new")), directory.join(name));
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(meta)?)?;
    file.sync_all()?;
    fs::rename(&beside, &place)?;
    sync(directory)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
