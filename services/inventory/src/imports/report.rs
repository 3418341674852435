//! The report of an import: a line of CSV for each row that was refused or warned of. What is wrong with the file as a whole is a line
//! without the number of a row.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use stockade_imports::Finding;

const HEADER: &str = "line,column,value,code,severity,detail\n";
/// What stands instead of the lines beyond the bound.
const MORE: &str = "report_full";

/// A report that is being written.
pub(super) struct Report {
    file: File,
    lines: u64,
    bytes: u64,
    lines_max: u64,
    pending: Vec<u8>,
}

impl Report {
    /// Begins a report anew.
    pub(super) fn create(path: &Path, lines_max: u64) -> io::Result<Self> {
        let mut report =
            Self { file: File::create(path)?, lines: 0, bytes: 0, lines_max, pending: Vec::new() };
        report.pending.extend_from_slice(HEADER.as_bytes());
        report.write()?;
        Ok(report)
    }

    /// Goes on with one behind what belongs to what is done; what was written later is said again.
    pub(super) fn go_on(path: &Path, lines: u64, bytes: u64, lines_max: u64) -> io::Result<Self> {
        let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Self { file, lines, bytes, lines_max, pending: Vec::new() })
    }

    /// Adds a finding; past the bound, a last line says that there is more.
    pub(super) fn add(&mut self, finding: &Finding) -> io::Result<()> {
        let full = self.lines == self.lines_max;
        self.lines += 1;
        if self.lines > self.lines_max + 1 {
            return Ok(());
        }
        let line = if finding.line > 0 { finding.line.to_string() } else { String::new() };
        let fields = match full {
            true => [
                "",
                "",
                "",
                MORE,
                "warning",
                "more rows were refused than a report holds; mend these, and send the file again",
            ],
            false => [
                line.as_str(),
                &finding.column,
                &finding.value,
                &finding.code,
                finding.severity.as_str(),
                &finding.detail,
            ],
        };
        let cells: Vec<String> = fields.into_iter().map(cell).collect();
        self.pending.extend_from_slice(cells.join(",").as_bytes());
        self.pending.push(b'\n');
        if self.pending.len() > 64 << 10 { self.write() } else { Ok(()) }
    }

    /// Bytes so far, whether they are written or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.pending.len() as u64
    }

    /// Writes what was added; answers lines and bytes so far.
    pub(super) fn flush(&mut self) -> io::Result<(u64, u64)> {
        self.write()?;
        self.file.sync_data()?;
        Ok((self.lines, self.bytes))
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.pending)?;
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// A cell as CSV. What a spreadsheet would take for a formula begins with an apostrophe: a file's own cells come back here.
fn cell(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = text.parse::<f64>().is_ok();
    let text = if text.starts_with(['=', '+', '-', '@']) && !number { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_whole_file_has_no_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.csv");
        let mut report = Report::create(&path, 3).unwrap();
        report.add(&Finding::of_file("row_count", "send the whole file")).unwrap();
        report.flush().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{HEADER},,,row_count,refused,send the whole file\n"));
    }

    #[test]
    fn a_report_goes_on_behind_what_is_done_and_ends_at_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.csv");
        let finding = |line| Finding::refused(line, "price", "=1+1", "not_a_number", "say \"1,5\"");
        let mut report = Report::create(&path, 3).unwrap();
        report.add(&finding(1)).unwrap();
        let (lines, bytes) = report.flush().unwrap();
        report.add(&finding(2)).unwrap();
        report.flush().unwrap();
        let mut report = Report::go_on(&path, lines, bytes, 3).unwrap();
        (3..9).for_each(|line| report.add(&finding(line)).unwrap());
        assert_eq!(report.flush().unwrap().0, 7);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "1,price,'=1+1,not_a_number,refused,\"say \"\"1,5\"\"\"");
        assert!(lines[2].starts_with("3,") && lines[3].starts_with("4,"));
        assert!(lines[4].contains(MORE) && lines.len() == 5, "{text}");
        assert_eq!(
            (cell("-3"), cell("-a"), cell("a\nb")),
            ("-3".to_owned(), "'-a".to_owned(), "a b".to_owned())
        );
    }
}
