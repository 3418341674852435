//! Rows one after the other, from a file or from what was made of files.

use std::path::{Path, PathBuf};

use anyhow::Result;
use stockade_imports::{Bounds, Encoding, Facts, Record, Records, records};

use crate::refusals::{GIVEN_UP_AFTER, Refusal, Refusals};

/// A row: its line in its file, from 1, and its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Line of the file, from 1.
    pub line: u64,
    /// Its cells.
    pub record: csv::StringRecord,
}

/// Rows, one after the other; what is not taken goes to the refusals.
pub(crate) trait Rows: Send {
    fn next(&mut self, refusals: &mut Refusals) -> Result<Option<Entry>>;
}

/// How a file is written, where that is declared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) encoding: Option<Encoding>,
    pub(crate) delimiter: Option<u8>,
}

/// The rows of one file.
pub(crate) struct FileRows {
    path: PathBuf,
    records: Records,
    columns: usize,
    /// Whether its rows are those of the history, rather than what is looked up for them.
    is_main: bool,
    /// Rows refused before the first that was taken.
    refused_first: u64,
    any_taken: bool,
}

impl FileRows {
    /// Opens a file; answers it with its first rows, to look at.
    pub(crate) fn open(path: &Path, written: Written, is_main: bool) -> Result<(Self, Vec<Vec<String>>)> {
        // Histories are the caller's own: as large as they are.
        let bounds = Bounds { inflated_bytes_max: u64::MAX, ratio_max: u64::MAX, rows_max: u64::MAX };
        let name = path.display();
        anyhow::ensure!(path.exists(), "cannot open {name}: there is no such file; check --input");
        anyhow::ensure!(
            path.is_file(),
            "{name} is no file; give --input a file, or a directory where the mapping has `files`"
        );
        let (records, sample) = records(path, written.encoding, written.delimiter, &bounds)
            .map_err(|finding| anyhow::anyhow!("{name}: {}", finding.detail))?;
        let columns = records.facts().header.len();
        let path = path.to_owned();
        Ok((Self { path, records, columns, is_main, refused_first: 0, any_taken: false }, sample))
    }

    /// What was found out about the file.
    pub(crate) fn facts(&self) -> &Facts {
        self.records.facts()
    }
}

impl Rows for FileRows {
    fn next(&mut self, refusals: &mut Refusals) -> Result<Option<Entry>> {
        let Self { path, records, columns, is_main, refused_first, any_taken } = self;
        loop {
            let read = records
                .read()
                .map_err(|finding| anyhow::anyhow!("{}: {}", path.display(), finding.detail))?;
            match read {
                None => return Ok(None),
                Some(Record::Row(line, row)) => {
                    let (bytes, cells) = row.size();
                    let mut record = csv::StringRecord::with_capacity(bytes, cells);
                    row.cells().take(*columns).for_each(|cell| record.push_field(cell));
                    *any_taken = true;
                    return Ok(Some(Entry { line, record }));
                }
                Some(Record::Refused(finding, row)) => {
                    let mut refusal = Refusal::from(finding);
                    if !*is_main {
                        refusal.detail = format!("{}: {}", path.display(), refusal.detail);
                    }
                    let cells = row.into_iter().filter(|_| *is_main).flat_map(|row| row.cells());
                    refusals.refuse(refusal, cells)?;
                    *refused_first += u64::from(!*any_taken);
                    if !*any_taken && *refused_first >= GIVEN_UP_AFTER {
                        refusals.give_up(*refused_first, &format!(" of {}", path.display()))?;
                    }
                }
            }
        }
    }
}
