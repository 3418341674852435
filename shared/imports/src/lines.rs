//! Cuts a stream into records within a bound: a line without an end costs its own row and no memory.

use std::io::{self, Read};

/// Longest record, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 10;
/// Lines that a quoted cell may go over: past that, somebody has forgotten the closing quote.
const QUOTED_LINES_MAX: u64 = 64;
/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// One record, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// A record without its end, and the line that it begins on, from 1.
    Record(u64, &'a [u8]),
    /// It went on beyond the bound; what follows its line is read on.
    TooLong(u64),
    /// A quote was opened on this line and never closed; the next line is read by itself.
    Unclosed(u64),
}

/// The records of a stream.
pub(crate) struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    from: usize,
    ended: bool,
    line: u64,
    end: u8,
    /// The delimiter, where cells may be quoted.
    quoted: Option<u8>,
}

enum Scan {
    /// The record ends here, after so many further lines.
    End(usize, u64),
    /// More is needed; whether a quote is open, and lines so far.
    More(bool, u64),
}

impl<R: Read> Lines<R> {
    /// Records of `inner` that `end` ends; with a delimiter, not where it stands in quotes.
    pub(crate) fn new(inner: R, end: u8, quoted: Option<u8>) -> Self {
        Self { inner, buffer: Vec::new(), from: 0, ended: false, line: 1, end, quoted }
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> io::Result<Option<Cut<'_>>> {
        loop {
            let line = self.line;
            match self.scan() {
                Scan::End(at, lines) => {
                    let record = self.from..at;
                    self.from = at + 1;
                    self.line += lines + 1;
                    return Ok(Some(self.record(line, record)));
                }
                Scan::More(true, lines)
                    if self.ended || lines >= QUOTED_LINES_MAX || self.held() > RECORD_BYTES_MAX =>
                {
                    return Ok(Some(self.leave_open(line)?));
                }
                Scan::More(false, _) if self.held() > RECORD_BYTES_MAX => {
                    self.skip_line()?;
                    return Ok(Some(Cut::TooLong(line)));
                }
                Scan::More(false, lines) if self.ended => {
                    if self.held() == 0 {
                        return Ok(None);
                    }
                    let record = self.from..self.buffer.len();
                    self.from = self.buffer.len();
                    self.line += lines + 1;
                    return Ok(Some(self.record(line, record)));
                }
                Scan::More(..) => self.fill()?,
            }
        }
    }

    fn held(&self) -> usize {
        self.buffer.len() - self.from
    }

    fn record(&self, line: u64, range: std::ops::Range<usize>) -> Cut<'_> {
        if range.len() > RECORD_BYTES_MAX {
            return Cut::TooLong(line);
        }
        let bytes = &self.buffer[range];
        Cut::Record(line, bytes.strip_suffix(b"\r").unwrap_or(bytes))
    }

    fn scan(&self) -> Scan {
        let held = &self.buffer[self.from..];
        let Some(delimiter) = self.quoted else {
            let end = held.iter().position(|byte| *byte == self.end);
            return end.map_or(Scan::More(false, 0), |at| Scan::End(self.from + at, 0));
        };
        let (mut open, mut begins, mut closed, mut lines) = (false, true, false, 0);
        for (at, byte) in held.iter().enumerate() {
            // Two quotes in quotes are one of the cell's: the second opens what the first has closed.
            let opens = *byte == b'"' && !open && (begins || closed);
            if *byte == self.end {
                if !open {
                    return Scan::End(self.from + at, lines);
                }
                lines += 1;
                if lines >= QUOTED_LINES_MAX {
                    return Scan::More(true, lines);
                }
            }
            closed = *byte == b'"' && open;
            open = if closed { false } else { open || opens };
            begins = *byte == delimiter && !open;
        }
        Scan::More(open, lines)
    }

    /// Takes the line with the open quote out alone.
    fn leave_open(&mut self, line: u64) -> io::Result<Cut<'static>> {
        let has_end = self.buffer[self.from..].contains(&self.end);
        self.skip_line()?;
        Ok(if has_end || self.ended { Cut::Unclosed(line) } else { Cut::TooLong(line) })
    }

    /// Goes behind the end of the present line, however far that is.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(at) = self.buffer[self.from..].iter().position(|byte| *byte == self.end) {
                self.from += at + 1;
                self.line += 1;
                return Ok(());
            }
            self.from = self.buffer.len();
            if self.ended {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK_BYTES, 0);
        let read = loop {
            match self.inner.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(before + read.as_ref().copied().unwrap_or(0));
        self.ended = read? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, String)> {
        let mut lines = Lines::new(text, b'\n', Some(b','));
        let mut found = Vec::new();
        while let Some(cut) = lines.next().unwrap() {
            found.push(match cut {
                Cut::Record(line, bytes) => (line, String::from_utf8_lossy(bytes).into_owned()),
                Cut::TooLong(line) => (line, "TOO LONG".to_owned()),
                Cut::Unclosed(line) => (line, "UNCLOSED".to_owned()),
            });
        }
        found
    }

    fn said(found: &[(u64, String)]) -> Vec<(u64, &str)> {
        found.iter().map(|(line, text)| (*line, text.as_str())).collect()
    }

    #[test]
    fn a_record_ends_with_its_line_unless_a_cell_is_quoted_over_it() {
        let found = all(b"a,b\r\n\"x\ny\",2\n5\" pipe,3\n\"say \"\"hi\"\"\n\",4");
        assert_eq!(
            said(&found),
            [(1, "a,b"), (2, "\"x\ny\",2"), (4, "5\" pipe,3"), (5, "\"say \"\"hi\"\"\n\",4")]
        );
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_own_line_and_no_other() {
        let found = all(b"a,1\nb,\"2\nc,3\nd,4\n");
        assert_eq!(said(&found), [(1, "a,1"), (2, "UNCLOSED"), (3, "c,3"), (4, "d,4")]);
        let many = (0..1_000).map(|n| if n == 3 { "x,\"1\n".to_owned() } else { format!("{n},1\n") });
        let found = all(many.collect::<String>().as_bytes());
        assert_eq!(found.iter().filter(|(_, text)| text == "UNCLOSED").count(), 1);
        assert_eq!(found.len(), 1_000);
    }

    #[test]
    fn a_line_without_an_end_is_passed_over_within_the_same_memory() {
        let endless = io::repeat(b'x').take(50 << 20).chain(&b"\ngood,1\n"[..]);
        let mut lines = Lines::new(endless, b'\n', Some(b','));
        assert_eq!(lines.next().unwrap(), Some(Cut::TooLong(1)));
        assert!(lines.buffer.capacity() < 1 << 20);
        assert_eq!(lines.next().unwrap(), Some(Cut::Record(2, b"good,1")));
        assert_eq!(lines.next().unwrap(), None);
    }

    proptest::proptest! {
        /// Whatever bytes come, every line is accounted for, in order, and nothing is held but a record.
        #[test]
        fn any_bytes_are_cut_in_order(bytes in proptest::collection::vec(proptest::sample::select(b"a,\"\n\r;x".to_vec()), 0..400)) {
            let mut lines = Lines::new(bytes.as_slice(), b'\n', Some(b','));
            let mut last = 0;
            while let Some(cut) = lines.next().unwrap() {
                let line = match cut { Cut::Record(line, _) | Cut::TooLong(line) | Cut::Unclosed(line) => line };
                proptest::prop_assert!(line > last);
                last = line;
            }
            let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            proptest::prop_assert!(last <= ends + 1);
        }
    }
}
