//! Plain, gzip and zip: opened within bounds, so that a small upload cannot become a large one.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

use crate::finding::{Finding, codes};

/// What a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// Bytes once inflated.
    pub inflated_bytes_max: u64,
    /// Inflated bytes for one of the upload's. Inventory packs about 5 to 30 to one; past this it is made to harm.
    pub ratio_max: u64,
    /// Rows.
    pub rows_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { inflated_bytes_max: 16 << 30, ratio_max: 200, rows_max: 20_000_000 }
    }
}

/// How far into a file it is looked where only its first rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Bytes once inflated.
    pub bytes_max: u64,
    /// Lines, where those behind them hold no row: a blank line costs a byte and is no row.
    pub lines_max: u64,
}

impl Beginning {
    /// Ends at a line that holds no row and is the last that is looked at, or lies behind it.
    pub(crate) fn pass(of: Option<Self>, line: u64) -> io::Result<()> {
        match of.filter(|beginning| line >= beginning.lines_max) {
            Some(beginning) => Err(io::Error::other(Bound::Beginning(beginning))),
            None => Ok(()),
        }
    }
}

/// A stream of which only the beginning is read.
pub(crate) struct Begun {
    pub(crate) inner: Box<dyn Read + Send>,
    pub(crate) beginning: Beginning,
    pub(crate) read: u64,
    /// What was looked at of the file, in bytes: as much as was read, or what was looked at before.
    pub(crate) looked: Arc<AtomicU64>,
}

impl Read for Begun {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.beginning.bytes_max {
            return Err(io::Error::other(Bound::Beginning(self.beginning)));
        }
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        self.looked.fetch_max(self.read, Ordering::Relaxed);
        Ok(count)
    }
}

/// Below this many inflated bytes no ratio is suspicious: a header and equal rows pack well.
const RATIO_FROM_BYTES: u64 = 8 << 20;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// Not at all.
    Plain,
    /// gzip, one member or several.
    Gzip,
    /// A zip with one file.
    Zip,
}

/// Opens a file whatever it is packed in.
pub(crate) fn open(mut file: File, bounds: &Bounds) -> Result<(Archive, Box<dyn Read + Send>), Finding> {
    let wrong = |error: io::Error| broken(&error);
    let packed = file.metadata().map_err(wrong)?.len();
    let mut magic = Vec::with_capacity(4);
    (&mut file).take(4).read_to_end(&mut magic).map_err(wrong)?;
    file.seek(SeekFrom::Start(0)).map_err(wrong)?;
    let bounded = |inner: Box<dyn Read + Send>| {
        let (read, most) = (0, bounds.inflated_bytes_max);
        let by_ratio = packed.saturating_mul(bounds.ratio_max).max(RATIO_FROM_BYTES);
        Box::new(Bounded { inner, read, most, by_ratio }) as Box<dyn Read + Send>
    };
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            Ok((Archive::Gzip, bounded(Box::new(MultiGzDecoder::new(io::BufReader::new(file))))))
        }
        b"PK\x03\x04" | b"PK\x05\x06" => Ok((Archive::Zip, bounded(Box::new(entry(file)?)))),
        _ => Ok((Archive::Plain, bounded(Box::new(file)))),
    }
}

/// The one file of a zip. Directories and what macOS adds beside it do not count.
fn entry(file: File) -> Result<impl Read + Send, Finding> {
    let unread = |error: zip::result::ZipError| Finding::of_file(codes::BROKEN_ARCHIVE, zip_words(&error));
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(unread)?;
    let counts = |name: &&str| !name.ends_with('/') && !name.starts_with("__MACOSX/");
    // Workbooks and text documents of office programs are zips of what those programs need.
    if let Some(detail) = document(archive.file_names()) {
        return Err(Finding::of_file(codes::NOT_A_TABLE, detail));
    }
    let names: Vec<String> = archive.file_names().filter(counts).take(2).map(str::to_owned).collect();
    let [name] = names.as_slice() else {
        let detail = match names.as_slice() {
            [] => "the zip holds no file; put the inventory file into it".to_owned(),
            several => format!(
                "the zip holds several files, such as {}; send one zip for each, or one file only",
                several.join(" and ")
            ),
        };
        return Err(Finding::of_file(codes::ZIP_ENTRIES, detail));
    };
    let at = archive.index_for_name(name).unwrap_or_default();
    let (start, size, method) = {
        let entry = archive.by_index_raw(at).map_err(unread)?;
        if entry.encrypted() {
            let detail = "the file in the zip has a password; send it without one";
            return Err(Finding::of_file(codes::BROKEN_ARCHIVE, detail));
        }
        (entry.data_start().unwrap_or_default(), entry.compressed_size(), entry.compression())
    };
    let mut file = archive.into_inner();
    let wrong = |error: io::Error| broken(&error);
    file.seek(SeekFrom::Start(start)).map_err(wrong)?;
    let packed = file.take(size);
    match method {
        zip::CompressionMethod::Stored => Ok(Entry::Stored(packed)),
        zip::CompressionMethod::Deflated => Ok(Entry::Deflated(flate2::read::DeflateDecoder::new(packed))),
        other => {
            let detail = format!(
                "the zip is packed by {other}, which is not read here; use the usual method, deflate"
            );
            Err(Finding::of_file(codes::BROKEN_ARCHIVE, detail))
        }
    }
}

/// What a zip with such files is, where an office program wrote it.
fn document<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let (mut made_by_office, mut is_text) = (false, false);
    for name in names {
        // Microsoft's and OpenDocument's.
        made_by_office |= name == "[Content_Types].xml" || name == "META-INF/manifest.xml";
        is_text |= name.starts_with("word/") || name.starts_with("ppt/");
    }
    match (made_by_office, is_text) {
        (true, false) => Some(crate::sniff::WORKBOOK),
        (true, true) => {
            Some("this is a document of an office program and no table; send the table in it as CSV")
        }
        (false, _) => None,
    }
}

/// A file in a zip. Its checksum is not looked at: cells say enough for themselves, and a row is taken when it is read.
enum Entry<R> {
    Stored(R),
    Deflated(flate2::read::DeflateDecoder<R>),
}

impl<R: Read> Read for Entry<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(inner) => inner.read(buffer),
            Self::Deflated(inner) => inner.read(buffer),
        }
    }
}

fn zip_words(error: &zip::result::ZipError) -> String {
    match error {
        zip::result::ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the zip ends in its middle; send it again".to_owned()
        }
        _ => {
            "the zip cannot be read: its directory at the end is missing or damaged; send it again".to_owned()
        }
    }
}

/// What became of a stream that broke off.
pub(crate) fn broken(error: &io::Error) -> Finding {
    if let Some(bound) = error.get_ref().and_then(|inner| inner.downcast_ref::<Bound>()) {
        return bound.finding();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Finding::of_file(
            codes::TRUNCATED,
            "the archive ends in its middle: rows before that were read, the rest is missing; send the file again",
        ),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Finding::of_file(
            codes::BROKEN_ARCHIVE,
            "the archive is damaged: rows before the damage were read; pack the file anew and send it again",
        ),
        _ => Finding::of_file(codes::BROKEN_ARCHIVE, format!("the file cannot be read: {error}")),
    }
}

/// Which bound a stream ran into.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Bytes(u64),
    Ratio,
    Beginning(Beginning),
}

impl Bound {
    fn finding(self) -> Finding {
        match self {
            Self::Bytes(most) => Finding::of_file(
                codes::TOO_LARGE,
                format!("the file is larger than {most} bytes once unpacked; split it"),
            ),
            Self::Beginning(Beginning { bytes_max, lines_max }) => Finding::of_file(
                codes::BEGINNING,
                format!(
                    "a preview looks at the first {bytes_max} bytes of a file once unpacked, and past {lines_max} lines it ends with the first that holds no row; what is behind was not looked at, and an import reads all of it"
                ),
            ),
            Self::Ratio => Finding::of_file(
                codes::BOMB,
                "the archive unpacks to far more than inventory does; nothing after that was read. Send the file unpacked, or split it",
            ),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.finding().detail)
    }
}

impl std::error::Error for Bound {}

/// Ends a stream that has become too long.
struct Bounded {
    inner: Box<dyn Read + Send>,
    read: u64,
    most: u64,
    by_ratio: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.most {
            return Err(io::Error::other(Bound::Bytes(self.most)));
        }
        if self.read > self.by_ratio {
            return Err(io::Error::other(Bound::Ratio));
        }
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}
