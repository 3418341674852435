//! Delimited text of any kind, record by record, for whoever has a mapping of their own: histories of orders do.

use std::{
    io::{self, Read},
    path::Path,
};

use crate::{
    archive::{self, Beginning, Bounds},
    finding::{Finding, codes},
    lines::{Cut, Lines},
    look::{Looked, decoder, look, peek_table},
    mapping::Cells as _,
    reader::Facts,
    sniff::{Encoding, Format},
    table::{Decoder, Splitter},
};

/// Cells of a record.
#[derive(Clone, Copy)]
pub struct Row<'a>(pub(crate) &'a Splitter);

impl<'a> Row<'a> {
    /// Bytes of all cells, and how many there are: what a copy needs.
    pub fn size(self) -> (usize, usize) {
        (self.0.bytes(), self.0.len())
    }

    /// The cells, as many as the record has.
    pub fn cells(self) -> impl Iterator<Item = &'a str> {
        (0..self.0.len()).map(move |place| self.0.cell(place))
    }
}

/// A record of a table.
pub enum Record<'a> {
    /// Its line, from 1, and its cells: at least as many as the header has.
    Row(u64, Row<'a>),
    /// Why it is not taken, and its cells where it could be taken apart.
    Refused(Finding, Option<Row<'a>>),
}

/// The records of a table behind its header. Nothing is held but one of them.
pub struct Records {
    facts: Facts,
    lines: Lines<Box<dyn Read + Send>>,
    splitter: Splitter,
    decoder: Decoder,
    header_passed: bool,
    /// How far it is looked into, where that is not to its end.
    pub(crate) beginning: Option<Beginning>,
}

/// Opens a table, plain, gzip or zip; what is given is not found out. Answers it with its first records, to look at.
pub fn records(
    path: &Path,
    encoding: Option<Encoding>,
    delimiter: Option<u8>,
    bounds: &Bounds,
) -> Result<(Records, Vec<Vec<String>>), Finding> {
    let format = delimiter.map(|mark| if mark == b'\t' { Format::Tsv } else { Format::Csv });
    let seen = look(path, format, encoding, delimiter, bounds)?;
    let Looked { archive, encoding, format, delimiter, end, text, sample_is_ascii, stream } = seen;
    if text.trim().is_empty() {
        return Err(Finding::of_file(codes::EMPTY, "the file is empty; it needs a header and rows"));
    }
    let Some(mark) = delimiter else {
        let detail = format!(
            "the file is {}, no table; write a header and a line for each row, with cells parted by commas, semicolons, tabs or bars",
            format.as_str()
        );
        return Err(Finding::of_file(codes::NOT_A_TABLE, detail));
    };
    let (header, sample) = peek_table(&text, mark, end);
    let facts = Facts { archive, encoding, format, delimiter: Some(char::from(mark)), header, mapping: None };
    Ok((Records::new(facts, stream, end, sample_is_ascii), sample))
}

impl Records {
    pub(crate) fn new(facts: Facts, stream: Box<dyn Read + Send>, end: u8, sample_is_ascii: bool) -> Self {
        let delimiter = facts.delimiter.and_then(|mark| u8::try_from(mark).ok()).unwrap_or(b',');
        Self {
            lines: Lines::new(stream, end, Some(delimiter)),
            splitter: Splitter::new(delimiter),
            decoder: decoder(facts.encoding, sample_is_ascii),
            facts,
            header_passed: false,
            beginning: None,
        }
    }

    /// What was found out about the file.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the encoding turned out to be.
    pub fn encoding(&self) -> Encoding {
        match (self.facts.encoding, self.decoder.encoding()) {
            (Encoding::Utf8, Encoding::Windows1252) => Encoding::Windows1252,
            (declared, _) => declared,
        }
    }

    /// The next record. An error is that the file broke off: what was read before counts.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, Finding> {
        self.cut().map_err(|error| archive::broken(&error))
    }

    pub(crate) fn cut(&mut self) -> io::Result<Option<Record<'_>>> {
        let columns = self.facts.header.len();
        loop {
            let Some(cut) = self.lines.next()? else { return Ok(None) };
            let (line, bytes) = match cut {
                Cut::TooLong(line) => return Ok(Some(Record::Refused(too_long(line), None))),
                Cut::Unclosed(line) => {
                    let detail = "a quote is opened on this line and not closed within 64 lines; close it, or double it where it is meant";
                    let finding = Finding::refused(line, "", "", codes::UNCLOSED, detail);
                    return Ok(Some(Record::Refused(finding, None)));
                }
                Cut::Record(line, bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                    Beginning::pass(self.beginning, line)?;
                    continue;
                }
                Cut::Record(..) if !self.header_passed => {
                    self.header_passed = true;
                    continue;
                }
                Cut::Record(line, bytes) => (line, bytes),
            };
            let Some(record) = self.decoder.text(bytes) else {
                return Ok(Some(Record::Refused(mixed(line, bytes, self.decoder.encoding()), None)));
            };
            let fits = self.splitter.split(&record);
            let cells = Row(&self.splitter);
            // Spreadsheets pad rows with empty cells.
            let beyond = (columns..cells.0.len()).any(|at| !cells.0.cell(at).trim().is_empty());
            if fits && !beyond && cells.0.len() >= columns {
                return Ok(Some(Record::Row(line, cells)));
            }
            let first = if fits { cells.0.cell(0) } else { "" };
            let detail = format!(
                "the line has {} cells and the header {columns}; put cells that hold a delimiter or a line break into quotes",
                cells.0.len()
            );
            let finding = Finding::refused(line, "", first, codes::CELL_COUNT, detail);
            return Ok(Some(Record::Refused(finding, Some(cells))));
        }
    }
}

pub(crate) fn too_long(line: u64) -> Finding {
    let detail =
        "the line has no end within 64 KiB; check that lines end in line breaks, and that quotes are closed";
    Finding::refused(line, "", "", codes::TOO_LONG, detail)
}

pub(crate) fn mixed(line: u64, bytes: &[u8], encoding: Encoding) -> Finding {
    let shown = String::from_utf8_lossy(bytes);
    let detail = format!(
        "the file is {}, this line is not; two files of different encodings were put together. Save all of it as UTF-8",
        encoding.as_str()
    );
    Finding::refused(line, "", &shown, codes::MIXED_ENCODING, detail)
}
