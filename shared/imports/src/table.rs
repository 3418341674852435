//! Records of delimited text and of JSON lines, as cells.

use std::borrow::Cow;

use crate::{
    mapping::Cells,
    sniff::{Encoding, windows_1252},
};

/// Most columns of a file.
const COLUMNS_MAX: usize = 1_000;

/// Takes records apart.
pub(crate) struct Splitter {
    core: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    cells: usize,
}

impl Splitter {
    pub(crate) fn new(delimiter: u8) -> Self {
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { core, text: Vec::new(), ends: vec![0; COLUMNS_MAX], cells: 0 }
    }

    /// Takes one record apart; false when it has too many cells.
    pub(crate) fn split(&mut self, record: &str) -> bool {
        self.core.reset();
        self.text.resize(record.len() + 2, 0);
        let (mut read, mut written, mut cells) = (0, 0, 0);
        loop {
            let input = &record.as_bytes()[read..];
            let (result, consumed, wrote, ended) =
                self.core.read_record(input, &mut self.text[written..], &mut self.ends[cells..]);
            (read, written, cells) = (read + consumed, written + wrote, cells + ended);
            match result {
                // An empty input then tells it that this was all.
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::Record | csv_core::ReadRecordResult::End => {
                    self.cells = cells;
                    return true;
                }
                csv_core::ReadRecordResult::OutputFull | csv_core::ReadRecordResult::OutputEndsFull => {
                    self.cells = 0;
                    return false;
                }
            }
        }
    }

    /// Cells of the last record.
    pub(crate) fn len(&self) -> usize {
        self.cells
    }

    /// Bytes of all cells of the last record.
    pub(crate) fn bytes(&self) -> usize {
        self.cells.checked_sub(1).map_or(0, |last| self.ends[last])
    }

    pub(crate) fn owned(&self) -> Vec<String> {
        (0..self.cells).map(|place| self.cell(place).to_owned()).collect()
    }
}

impl Cells for Splitter {
    fn cell(&self, place: usize) -> &str {
        if place >= self.cells {
            return "";
        }
        let from = if place == 0 { 0 } else { self.ends[place - 1] };
        // Only quotes were taken out of what was a text.
        std::str::from_utf8(&self.text[from..self.ends[place]]).unwrap_or_default()
    }
}

/// Cells that are held.
pub(crate) struct Held<'a>(pub(crate) &'a [Cow<'a, str>]);

impl Cells for Held<'_> {
    fn cell(&self, place: usize) -> &str {
        self.0.get(place).map_or("", |cell| cell)
    }
}

/// Decodes records of one file, one by one.
pub(crate) struct Decoder {
    encoding: Encoding,
    /// Nothing but ASCII was seen yet, so what comes decides.
    open: bool,
}

impl Decoder {
    pub(crate) fn new(encoding: Encoding, sample_is_ascii: bool) -> Self {
        Self { encoding, open: encoding == Encoding::Utf8 && sample_is_ascii }
    }

    /// The encoding, as far as it shows.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The text of a record; `None` when it is not of the encoding of the rest.
    pub(crate) fn text<'a>(&mut self, record: &'a [u8]) -> Option<Cow<'a, str>> {
        if record.is_ascii() {
            return std::str::from_utf8(record).ok().map(Cow::Borrowed);
        }
        let utf8 = std::str::from_utf8(record);
        if std::mem::take(&mut self.open) && utf8.is_err() {
            self.encoding = Encoding::Windows1252;
        }
        match self.encoding {
            Encoding::Windows1252 => {
                // Some of it is UTF-8 all the same: whoever put two files together.
                let mixed = utf8.is_ok();
                (!mixed).then(|| Cow::Owned(windows_1252(record)))
            }
            _ => utf8.ok().map(Cow::Borrowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart_with_its_quotes() {
        let mut splitter = Splitter::new(b';');
        for (record, cells) in [
            ("a;b;c", vec!["a", "b", "c"]),
            ("\"a;\"\"b\";;", vec!["a;\"b", "", ""]),
            ("\"x\ny\";2", vec!["x\ny", "2"]),
            ("5\" pipe;ü", vec!["5\" pipe", "ü"]),
            ("one", vec!["one"]),
        ] {
            assert!(splitter.split(record));
            assert_eq!(splitter.owned(), cells, "{record}");
        }
        assert!(!splitter.split(&";".repeat(COLUMNS_MAX + 1)));
    }

    #[test]
    fn a_line_of_another_encoding_than_the_rest_is_noticed() {
        let mut utf8 = Decoder::new(Encoding::Utf8, false);
        assert_eq!(utf8.text("ä".as_bytes()).as_deref(), Some("ä"));
        assert_eq!(utf8.text(b"\xe4"), None);
        let mut late = Decoder::new(Encoding::Utf8, true);
        assert_eq!(late.text(b"plain").as_deref(), Some("plain"));
        assert_eq!(late.text(b"\xe4").as_deref(), Some("ä"));
        assert_eq!(late.encoding(), Encoding::Windows1252);
        assert_eq!(late.text("ä".as_bytes()), None, "two files put together");
    }
}
