//! A file of checked pieces: what a picture is written in.
//!
//! ```text
//! stockade-picture VERSION KIND\n
//! then pieces: mark (1 byte: 1 a piece, 0 the end) | bytes (4) | checksum (8) | the bytes
//! ```
//! Numbers are little-endian. The checksum is XXH3 over the bytes, seeded with the number of the piece and its mark, so a piece
//! that is missing, stands twice or at another place is noticed like one that was changed. The version stands in the first line
//! as a number that people read too, so that whatever a later build writes behind it is still known as what it is.

use std::io::{self, BufRead, Read, Write};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that this build writes, and the only one that it reads.
pub(super) const VERSION: u32 = 1;
const NAME: &str = "stockade-picture";
/// The longest first line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 128;
/// The largest piece that is read, in bytes: far above what is written.
const PIECE_BYTES_MAX: u32 = 64 << 20;
const HEAD_BYTES: usize = 13;

/// Why a file gave nothing.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is not what was written.
    Damaged(String),
    /// It was written in another version.
    Version(u32),
    /// The disk did not give it.
    Disk(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".to_owned()),
            io::ErrorKind::InvalidData => Self::Damaged("its first line is no text".to_owned()),
            _ => Self::Disk(error),
        }
    }
}

fn checksum(number: u64, is_piece: bool, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, number << 1 | u64::from(is_piece))
}

/// Writes pieces.
pub(super) struct Writer<W> {
    to: W,
    number: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a file of this kind, a word.
    pub(super) fn begin(mut to: W, kind: &str) -> io::Result<Self> {
        writeln!(to, "{NAME} {VERSION} {kind}")?;
        Ok(Self { to, number: 0, bytes: 0 })
    }

    /// Bytes in pieces so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(true, bytes)
    }

    /// Ends it. A file without its end is a damaged one.
    pub(super) fn end(mut self) -> io::Result<W> {
        self.write(false, &[])?;
        Ok(self.to)
    }

    fn write(&mut self, is_piece: bool, bytes: &[u8]) -> io::Result<()> {
        let fits = u32::try_from(bytes.len()).ok().filter(|length| *length <= PIECE_BYTES_MAX);
        let length = fits.ok_or_else(|| io::Error::other("a piece of a picture is too large"))?;
        self.to.write_all(&[u8::from(is_piece)])?;
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(&checksum(self.number, is_piece, bytes).to_le_bytes())?;
        self.to.write_all(bytes)?;
        self.number += 1;
        self.bytes += (HEAD_BYTES + bytes.len()) as u64;
        Ok(())
    }
}

/// Reads pieces.
pub(super) struct Reader<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Reader<R> {
    /// Opens a file of this kind.
    pub(super) fn begin(mut from: R, kind: &str) -> Result<Self, Unread> {
        let mut line = String::new();
        from.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        let damaged = || Unread::Damaged("it does not begin like a picture".to_owned());
        let mut words = line.strip_suffix('\n').ok_or_else(damaged)?.split(' ');
        if words.next() != Some(NAME) {
            return Err(damaged());
        }
        match words.next().and_then(|version| version.parse().ok()) {
            Some(VERSION) => {}
            Some(other) => return Err(Unread::Version(other)),
            None => return Err(damaged()),
        }
        if (words.next(), words.next()) != (Some(kind), None) {
            return Err(Unread::Damaged(format!("it is not of the kind {kind}")));
        }
        Ok(Self { from, number: 0 })
    }

    /// The next piece; `None` at the end, behind which there is nothing.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Unread> {
        let mut head = [0; HEAD_BYTES];
        self.from.read_exact(&mut head)?;
        let [mark, l0, l1, l2, l3, sum @ ..] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let wrong = || Unread::Damaged(format!("piece {} is not as it was written", self.number));
        if mark > 1 || length > PIECE_BYTES_MAX {
            return Err(wrong());
        }
        // Read as far as it comes, so that a length that is wrong makes no room for what is not there.
        let mut bytes = Vec::new();
        self.from.by_ref().take(u64::from(length)).read_to_end(&mut bytes)?;
        if bytes.len() != length as usize {
            return Err(Unread::Damaged("it ends too early".to_owned()));
        }
        if checksum(self.number, mark == 1, &bytes) != u64::from_le_bytes(sum) {
            return Err(wrong());
        }
        self.number += 1;
        if mark == 1 {
            return Ok(Some(bytes));
        }
        match self.from.fill_buf()? {
            [] => Ok(None),
            _ => Err(Unread::Damaged("something stands behind its end".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), "offers").unwrap();
        pieces.iter().for_each(|piece| writer.piece(piece).unwrap());
        writer.end().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Unread> {
        let mut reader = Reader::begin(bytes, "offers")?;
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next()? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_and_any_one_byte_changed_or_any_end_cut_off_is_noticed(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            at in any::<prop::sample::Index>(), flip in 1u8..=255,
        ) {
            let whole = written(&pieces);
            prop_assert_eq!(&read(&whole).unwrap(), &pieces);
            let mut changed = whole.clone();
            changed[at.index(whole.len())] ^= flip;
            prop_assert!(read(&changed).is_err());
            prop_assert!(matches!(read(&whole[..at.index(whole.len())]), Err(Unread::Damaged(_))));
            let longer = [whole.as_slice(), &[flip]].concat();
            prop_assert!(matches!(read(&longer), Err(Unread::Damaged(_))));
        }
    }

    #[test]
    fn pieces_that_are_missing_or_stand_elsewhere_are_noticed() {
        let (a, b) = (vec![1; 8], vec![2; 8]);
        let line = written(&[]).iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let whole = written(&[a, b]);
        let one = HEAD_BYTES + 8;
        let (head, first, second, end) = (
            &whole[..line],
            &whole[line..line + one],
            &whole[line + one..line + 2 * one],
            &whole[line + 2 * one..],
        );
        assert!(read(&[head, first, second, end].concat()).is_ok());
        for wrong in [
            [head, second, first, end].concat(),
            [head, first, end].concat(),
            [head, first, first, end].concat(),
        ] {
            assert!(matches!(read(&wrong), Err(Unread::Damaged(_))));
        }
    }

    #[test]
    fn another_version_is_known_as_such_whatever_stands_behind_it_and_another_kind_is_refused() {
        let newer = b"stockade-picture 2 whatever else\nand bytes";
        assert!(matches!(read(newer), Err(Unread::Version(2))));
        let mut other = Writer::begin(Vec::new(), "withheld").unwrap();
        other.piece(b"x").unwrap();
        assert!(matches!(read(&other.end().unwrap()), Err(Unread::Damaged(_))));
        for nothing in
            [&b""[..], b"stockade-picture", b"stockade-picture one offers\n", b"{}\n", b"\xff\xfe\n"]
        {
            assert!(matches!(read(nothing), Err(Unread::Damaged(_))));
        }
    }
}
