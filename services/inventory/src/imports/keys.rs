//! Keys of rows on disk, parted by their hash: what is the same lies in the same part, and only one part is in memory.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
};

/// Parts. Ten million keys of 24 bytes make parts of four megabytes.
const PARTS: usize = 64;
/// Bytes gathered for a part before they are written.
const GATHERED_BYTES: usize = 8 << 10;

/// Bytes of a record without a text.
pub(super) const RECORD_BYTES: u64 = 28;

/// The hash that a listing is known by here.
pub(super) fn key(listing: &str) -> u128 {
    stockade_model::hash::identity128(&[listing])
}

fn part_of(key: u128) -> usize {
    (key >> 122) as usize % PARTS
}

/// Records of keys and texts, being written.
pub(super) struct Writer {
    parts: Vec<BufWriter<File>>,
}

/// One record: a key, a number, and a text (empty where none is needed).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) key: u128,
    pub(super) number: u64,
    pub(super) text: String,
}

fn path(directory: &Path, name: &str, part: usize) -> PathBuf {
    directory.join(format!("{name}-{part}"))
}

impl Writer {
    /// Begins anew, whatever was there.
    pub(super) fn create(directory: &Path, name: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let part =
            |part| Ok(BufWriter::with_capacity(GATHERED_BYTES, File::create(path(directory, name, part))?));
        Ok(Self { parts: (0..PARTS).map(part).collect::<io::Result<_>>()? })
    }

    pub(super) fn add(&mut self, key: u128, number: u64, text: &str) -> io::Result<()> {
        let Some(part) = self.parts.get_mut(part_of(key)) else { return Ok(()) };
        part.write_all(&key.to_le_bytes())?;
        part.write_all(&number.to_le_bytes())?;
        part.write_all(&(text.len() as u32).to_le_bytes())?;
        part.write_all(text.as_bytes())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.parts.into_iter().try_for_each(|mut part| part.flush())
    }
}

/// Numbers of the parts.
pub(super) fn parts() -> std::ops::Range<usize> {
    0..PARTS
}

/// The records of one part, sorted.
pub(super) fn read(directory: &Path, name: &str, part: usize) -> io::Result<Vec<Record>> {
    let mut file = BufReader::new(File::open(path(directory, name, part))?);
    let mut records = Vec::new();
    let mut head = [0; RECORD_BYTES as usize];
    loop {
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            read => read?,
        }
        let number_at = |from: usize| -> u128 {
            head[from..].iter().take(8).rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
        };
        let key = number_at(0) | number_at(8) << 64;
        let number = number_at(16) as u64;
        let bytes = head[24..].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let mut text = vec![0; bytes];
        file.read_exact(&mut text)?;
        records.push(Record { key, number, text: String::from_utf8_lossy(&text).into_owned() });
    }
    records.sort_unstable();
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_lie_in_one_part_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(directory.path(), "k").unwrap();
        for number in (0..5_000).rev() {
            let listing = format!("l-{}", number % 1_000);
            writer.add(key(&listing), number, &listing).unwrap();
        }
        writer.finish().unwrap();
        let mut seen = 0;
        for part in parts() {
            let records = read(directory.path(), "k", part).unwrap();
            for same in records.chunk_by(|a, b| a.key == b.key) {
                assert_eq!(same.len(), 5);
                assert!(same.is_sorted_by(|a, b| a.number < b.number && a.text == b.text));
                seen += same.len();
            }
        }
        assert_eq!(seen, 5_000);
    }
}
