//! The first look at a file: how it is packed and written, with its beginning as text and the whole of it still to be read.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use crate::{
    archive::{self, Archive, Bounds},
    finding::Finding,
    lines::{Cut, Lines},
    sniff::{self, Encoding, Format, SAMPLE_BYTES},
    table::{Decoder, Splitter},
};

/// Records of the sample that are looked at.
pub(crate) const SAMPLE_RECORDS: usize = 200;

/// What was seen.
pub(crate) struct Looked {
    pub(crate) archive: Archive,
    pub(crate) encoding: Encoding,
    pub(crate) format: Format,
    /// What parts cells, where there are any.
    pub(crate) delimiter: Option<u8>,
    /// What ends lines.
    pub(crate) end: u8,
    /// The beginning.
    pub(crate) text: String,
    /// Whether nothing but ASCII is in the beginning.
    pub(crate) sample_is_ascii: bool,
    /// All of it, in UTF-8 where it is UTF-16.
    pub(crate) stream: Box<dyn Read + Send>,
}

/// Looks at a file; what is given is not found out.
pub(crate) fn look(
    path: &Path,
    format: Option<Format>,
    encoding: Option<Encoding>,
    delimiter: Option<u8>,
    bounds: &Bounds,
) -> Result<Looked, Finding> {
    let file = File::open(path).map_err(|error| archive::broken(&error))?;
    let (archive, mut stream) = archive::open(file, bounds)?;
    let mut sample = Vec::new();
    let read = (&mut stream).take(SAMPLE_BYTES as u64).read_to_end(&mut sample);
    // What was read before an archive broke off counts; the break is met again behind it.
    let broke = read.err();
    if let (true, Some(error)) = (sample.is_empty(), &broke) {
        return Err(archive::broken(error));
    }
    let whole = sample.len() < SAMPLE_BYTES;
    let encoding = encoding.unwrap_or_else(|| sniff::encoding(&sample, whole));
    let text = decoded(&sample, encoding).into_owned();
    sniff::refuse_what_is_no_text(&sample, &text)?;
    let format = format.map_or_else(|| sniff::format(&text), Ok)?;
    let delimiter = match format {
        Format::Csv | Format::Tsv if delimiter.is_some() => delimiter,
        Format::Csv => Some(sniff::delimiter(&text)).map(|mark| if mark == b'\t' { b',' } else { mark }),
        Format::Tsv => Some(b'\t'),
        _ => None,
    };
    let end = if text.contains('\n') || !text.contains('\r') { b'\n' } else { b'\r' };
    let sample_is_ascii = sample.is_ascii();
    let rest: Box<dyn Read + Send> = match broke {
        Some(error) => Box::new(Breaks(Some(error))),
        None => stream,
    };
    let from = if encoding == Encoding::Utf8Bom {
        sample.get(3..).map(<[u8]>::to_vec).unwrap_or_default()
    } else {
        sample
    };
    let stream: Box<dyn Read + Send> = match encoding.transcodes_from() {
        None => Box::new(Cursor::new(from).chain(rest)),
        Some(theirs) => Box::new(
            encoding_rs_io::DecodeReaderBytesBuilder::new()
                .encoding(Some(theirs))
                .build(Cursor::new(from).chain(rest)),
        ),
    };
    Ok(Looked { archive, encoding, format, delimiter, end, text, sample_is_ascii, stream })
}

/// The decoder of records of a stream that [`look`] answers.
pub(crate) fn decoder(encoding: Encoding, sample_is_ascii: bool) -> Decoder {
    let encoding = if encoding.transcodes_from().is_some() { Encoding::Utf8 } else { encoding };
    Decoder::new(encoding, sample_is_ascii)
}

fn decoded(sample: &[u8], encoding: Encoding) -> Cow<'_, str> {
    match encoding.transcodes_from() {
        Some(theirs) => theirs.decode(sample).0,
        None if encoding == Encoding::Windows1252 => Cow::Owned(sniff::windows_1252(sample)),
        None => {
            let text = String::from_utf8_lossy(sample);
            match text.strip_prefix('\u{feff}') {
                Some(rest) => Cow::Owned(rest.to_owned()),
                None => text,
            }
        }
    }
}

/// Header and first records of a table.
pub(crate) fn peek_table(text: &str, delimiter: u8, end: u8) -> (Vec<String>, Vec<Vec<String>>) {
    let mut lines = Lines::new(text.as_bytes(), end, Some(delimiter));
    let mut splitter = Splitter::new(delimiter);
    let mut records = Vec::new();
    while let Ok(Some(cut)) = lines.next() {
        if let Cut::Record(_, bytes) = cut {
            let record = String::from_utf8_lossy(bytes);
            if !record.trim().is_empty() && splitter.split(&record) {
                records.push(splitter.owned());
            }
        }
        if records.len() > SAMPLE_RECORDS {
            break;
        }
    }
    let header = if records.is_empty() { Vec::new() } else { records.remove(0) };
    (header.into_iter().map(|name| name.trim().to_owned()).collect(), records)
}

/// The break that was met while looking ahead.
struct Breaks(Option<io::Error>);

impl Read for Breaks {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
