//! Sorting of rows within a bound of memory: what does not fit is sorted in runs on disk, and the runs are merged.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{BufReader, BufWriter, Read, Seek as _, Write as _},
};

use anyhow::{Context as _, Result};

use crate::{
    refusals::Refusals,
    rows::{Entry, Rows},
};

/// Runs of one size that are merged into the next larger: so few files are open, whatever the number of rows.
const FAN_IN: usize = 64;
/// What a row takes beside its cells.
const ROW_BYTES: usize = 96;
/// Buffer of each run that is read.
const BUFFER_BYTES: usize = 32 << 10;

/// Rows with keys, to be given back in order of their keys; those of equal keys as they came.
pub(crate) struct Sorter {
    held: Vec<(Box<[u8]>, Entry)>,
    held_bytes: usize,
    bytes_max: usize,
    /// Runs on disk, the largest and oldest first; files without a name, so that nothing is left however this ends.
    levels: Vec<Vec<File>>,
}

impl Sorter {
    /// One that holds at most so many bytes in memory, or one row.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { held: Vec::new(), held_bytes: 0, bytes_max, levels: Vec::new() }
    }

    /// Takes a row.
    pub(crate) fn push(&mut self, key: &[u8], entry: Entry) -> Result<()> {
        self.held_bytes += key.len() + entry.record.as_slice().len() + 8 * entry.record.len() + ROW_BYTES;
        self.held.push((key.into(), entry));
        if self.held_bytes > self.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<()> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_by(|a, b| a.0.cmp(&b.0));
        let mut run = RunWriter::new()?;
        for (key, entry) in &held {
            run.write(key, entry)?;
        }
        let run = run.finish()?;
        held.clear();
        (self.held, self.held_bytes) = (held, 0);
        self.keep(run, 0)
    }

    /// Keeps a run, and merges those of its size when there are many.
    fn keep(&mut self, run: File, level: usize) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(run);
        if self.levels[level].len() < FAN_IN {
            return Ok(());
        }
        let mut merge = Merge::new(std::mem::take(&mut self.levels[level]))?;
        let mut larger = RunWriter::new()?;
        while let Some((key, entry)) = merge.next()? {
            larger.write(&key, &entry)?;
        }
        let larger = larger.finish()?;
        self.keep(larger, level + 1)
    }

    /// The rows in order.
    pub(crate) fn finish(mut self) -> Result<Sorted> {
        if self.levels.is_empty() {
            self.held.sort_by(|a, b| a.0.cmp(&b.0));
            return Ok(Sorted::Memory(self.held.into_iter()));
        }
        if !self.held.is_empty() {
            self.spill()?;
        }
        // The oldest first, so that equal keys come as they came.
        let runs = self.levels.into_iter().rev().flatten().collect();
        Ok(Sorted::Disk(Merge::new(runs)?))
    }
}

/// Sorted rows.
pub(crate) enum Sorted {
    Memory(std::vec::IntoIter<(Box<[u8]>, Entry)>),
    Disk(Merge),
}

impl Sorted {
    /// Whether they were too many for the memory allowed.
    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// The next row with its key.
    pub(crate) fn next_keyed(&mut self) -> Result<Option<(Box<[u8]>, Entry)>> {
        match self {
            Self::Memory(rows) => Ok(rows.next()),
            Self::Disk(merge) => merge.next(),
        }
    }
}

impl Rows for Sorted {
    fn next(&mut self, _: &mut Refusals) -> Result<Option<Entry>> {
        Ok(self.next_keyed()?.map(|(_, entry)| entry))
    }
}

/// Runs that are read together.
pub(crate) struct Merge {
    runs: Vec<BufReader<File>>,
    /// The next row of each run: by key, then by run, for the older run's rows came first.
    heads: BinaryHeap<Reverse<Head>>,
}

struct Head {
    key: Box<[u8]>,
    run: usize,
    entry: Entry,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Head {}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.key, self.run).cmp(&(&other.key, other.run))
    }
}

impl Merge {
    fn new(runs: Vec<File>) -> Result<Self> {
        let runs = runs.into_iter().map(|run| BufReader::with_capacity(BUFFER_BYTES, run)).collect();
        let mut merge = Self { runs, heads: BinaryHeap::new() };
        (0..merge.runs.len()).try_for_each(|run| merge.pull(run))?;
        Ok(merge)
    }

    fn pull(&mut self, run: usize) -> Result<()> {
        if let Some((key, entry)) = read_row(&mut self.runs[run]).context("cannot read a sorted run back")? {
            self.heads.push(Reverse(Head { key, run, entry }));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<(Box<[u8]>, Entry)>> {
        let Some(Reverse(Head { key, run, entry })) = self.heads.pop() else { return Ok(None) };
        self.pull(run)?;
        Ok(Some((key, entry)))
    }
}

struct RunWriter(BufWriter<File>);

impl RunWriter {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile().context(
            "cannot sort on disk: no temporary file can be made; set TMPDIR to a directory with room",
        )?;
        Ok(Self(BufWriter::with_capacity(1 << 18, file)))
    }

    fn write(&mut self, key: &[u8], entry: &Entry) -> Result<()> {
        let mut write = |bytes: &[u8]| self.0.write_all(bytes);
        let mut row = || -> std::io::Result<()> {
            write(&(key.len() as u32).to_le_bytes())?;
            write(key)?;
            write(&entry.line.to_le_bytes())?;
            write(&(entry.record.len() as u32).to_le_bytes())?;
            for cell in &entry.record {
                write(&(cell.len() as u32).to_le_bytes())?;
                write(cell.as_bytes())?;
            }
            Ok(())
        };
        row().context("cannot sort on disk; is there room where temporary files lie (TMPDIR)?")
    }

    fn finish(self) -> Result<File> {
        let full = "cannot sort on disk; is there room where temporary files lie (TMPDIR)?";
        let mut file = self.0.into_inner().map_err(std::io::IntoInnerError::into_error).context(full)?;
        file.rewind().context(full)?;
        Ok(file)
    }
}

fn read_row(run: &mut impl Read) -> std::io::Result<Option<(Box<[u8]>, Entry)>> {
    let mut size = [0; 4];
    match run.read_exact(&mut size) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut bytes = |size: [u8; 4]| -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; u32::from_le_bytes(size) as usize];
        run.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let key = bytes(size)?.into_boxed_slice();
    let mut line = [0; 8];
    line.copy_from_slice(&bytes(8_u32.to_le_bytes())?);
    let mut number = || -> std::io::Result<[u8; 4]> {
        let mut size = [0; 4];
        size.copy_from_slice(&bytes(4_u32.to_le_bytes())?);
        Ok(size)
    };
    let cells = u32::from_le_bytes(number()?);
    let mut record = csv::StringRecord::new();
    for _ in 0..cells {
        let size = {
            let mut size = [0; 4];
            run.read_exact(&mut size)?;
            size
        };
        let mut text = vec![0; u32::from_le_bytes(size) as usize];
        run.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(std::io::Error::other)?;
        record.push_field(&text);
    }
    Ok(Some((key, Entry { line: u64::from_le_bytes(line), record })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &[u16], bytes_max: usize) -> (Vec<(u16, u64)>, bool) {
        let mut sorter = Sorter::new(bytes_max);
        for (line, key) in keys.iter().enumerate() {
            let record = csv::StringRecord::from(vec![key.to_string(), String::new(), "ü".to_owned()]);
            sorter.push(&key.to_be_bytes(), Entry { line: line as u64, record }).unwrap();
        }
        let mut sorted = sorter.finish().unwrap();
        let on_disk = sorted.is_on_disk();
        let mut found = Vec::new();
        while let Some((key, entry)) = sorted.next_keyed().unwrap() {
            assert_eq!(entry.record.iter().collect::<Vec<_>>()[1..], ["", "ü"]);
            assert_eq!(entry.record[0].parse::<u16>().unwrap().to_be_bytes(), *key);
            found.push((entry.record[0].parse().unwrap(), entry.line));
        }
        (found, on_disk)
    }

    #[test]
    fn many_small_runs_are_merged_in_steps_and_stay_stable() {
        let keys: Vec<u16> = (0..20_000_u32).map(|n| (n.wrapping_mul(7_919) % 500) as u16).collect();
        let (found, on_disk) = sorted(&keys, 400);
        let mut expected: Vec<(u16, u64)> = keys.iter().copied().zip(0..).collect();
        expected.sort_by_key(|(key, _)| *key);
        assert!(on_disk && found == expected);
    }

    proptest::proptest! {
        /// Whatever the bound, the order is that of a stable sort in memory.
        #[test]
        fn sorting_on_disk_is_sorting_in_memory(keys in proptest::collection::vec(0_u16..40, 0..400), bytes_max in 0_usize..20_000) {
            let (found, _) = sorted(&keys, bytes_max);
            let mut expected: Vec<(u16, u64)> = keys.iter().copied().zip(0..).collect();
            expected.sort_by_key(|(key, _)| *key);
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
