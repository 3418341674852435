//! What is not taken: counted by reason, with a few examples, and kept in a file where that is asked for.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use stockade_imports::Finding;

/// Rows after which a history of which nothing was taken is given up: a mapping that does not fit shows at once.
pub const GIVEN_UP_AFTER: u64 = 1_000;
/// Examples kept of each reason.
const EXAMPLES: usize = 3;
/// Characters shown of what stood there.
const SHOWN_CHARS: usize = 80;

/// Why something of a row is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Line of the file, from 1; 0 where none is known.
    pub line: u64,
    /// The column, or empty.
    pub column: String,
    /// What stands there.
    pub value: String,
    /// A stable code.
    pub reason: String,
    /// Why, and what to do.
    pub detail: String,
}

impl Refusal {
    /// A refusal of a column's value; the line is added by whoever knows it.
    pub fn new(column: &str, value: &str, reason: &str, detail: impl Into<String>) -> Self {
        let value = value.chars().take(SHOWN_CHARS).collect();
        Self { line: 0, column: column.to_owned(), value, reason: reason.to_owned(), detail: detail.into() }
    }

    /// The same, on this line.
    #[must_use]
    pub fn on(self, line: u64) -> Self {
        Self { line, ..self }
    }

    /// In one sentence.
    pub fn sentence(&self) -> String {
        let mut place = format!("line {}", self.line);
        if !self.column.is_empty() {
            place.push_str(&format!(", column {}", self.column));
        }
        if !self.value.is_empty() {
            place.push_str(&format!(", {:?}", self.value));
        }
        shown(&format!("{place}: {}", self.detail))
    }
}

/// A text that has names or cells of a file, as people may be shown it: control characters, with which a file could write to the
/// terminal what it wants, are spelt out.
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Whether two paths lead to one file that is there, also where one of them is a link to it.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        Self::new(&finding.column, &finding.value, &finding.code, finding.detail).on(finding.line)
    }
}

/// Everything that was refused of a history.
#[derive(Default)]
pub struct Refusals {
    by_reason: BTreeMap<String, (u64, Vec<Refusal>)>,
    count: u64,
    rows: u64,
    last_line: u64,
    last: Option<Refusal>,
    strict: bool,
    path: Option<PathBuf>,
    file: Option<csv::Writer<BufWriter<File>>>,
    columns: usize,
}

impl Refusals {
    /// With `strict`, the first refusal is an error. With a path, every refused row is written there as CSV: its own columns,
    /// then `refused_line` and `refused_reason`, which no history is likely to have itself.
    ///
    /// Cells stay as they are in the history, also those that a spreadsheet would take for a formula: the file is there to be
    /// corrected and played, and an apostrophe put before `-17` or `=a` would become part of a number or an id. Who opens it in
    /// a spreadsheet should trust it as much as the history itself.
    pub fn new(strict: bool, path: Option<&Path>) -> Self {
        Self { strict, path: path.map(Path::to_owned), ..Self::default() }
    }

    /// Refuses to write over a file that is read.
    pub(crate) fn spare<'p>(&self, inputs: impl IntoIterator<Item = &'p PathBuf>) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        for input in inputs {
            anyhow::ensure!(
                !is_same_file(path, input),
                "the refused rows would be written over {}, which is read here; give --refused another file",
                input.display()
            );
        }
        Ok(())
    }

    /// Begins the file, now that the columns of the history are known.
    pub(crate) fn begin(&mut self, header: &[String]) -> Result<()> {
        self.columns = header.len();
        let Some(path) = &self.path else { return Ok(()) };
        let cannot = || format!("cannot write the refused rows to {}", path.display());
        let file = File::create(path).with_context(cannot)?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        let names = header.iter().map(String::as_str).chain(["refused_line", "refused_reason"]);
        writer.write_record(names).with_context(cannot)?;
        self.file = Some(writer);
        Ok(())
    }

    /// Notes a refusal, with the cells of its row where they are known.
    ///
    /// # Errors
    /// The refusal itself where the history is read strictly; that the file of refused rows cannot be written.
    pub fn refuse<'a>(&mut self, refusal: Refusal, cells: impl IntoIterator<Item = &'a str>) -> Result<()> {
        if let Some(file) = &mut self.file {
            let mut record: Vec<&str> = cells.into_iter().take(self.columns).collect();
            record.resize(self.columns, "");
            let (line, reason) =
                (refusal.line.to_string(), format!("{}: {}", refusal.reason, refusal.detail));
            file.write_record(record.into_iter().chain([line.as_str(), reason.as_str()]))
                .context("cannot write the refused rows")?;
        }
        self.count += 1;
        if refusal.line == 0 || refusal.line != self.last_line {
            self.rows += 1;
            self.last_line = refusal.line;
        }
        if self.strict {
            self.flush()?;
            anyhow::bail!("{}; without --strict the row is left out and counted", refusal.sentence());
        }
        let (count, examples) = self.by_reason.entry(refusal.reason.clone()).or_default();
        *count += 1;
        self.last = Some(refusal.clone());
        if examples.len() < EXAMPLES {
            examples.push(refusal);
        }
        Ok(())
    }

    /// Rows of which anything was refused. What is refused of one row must be refused before anything of another.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Refusals; a row may have several.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The last.
    pub fn last(&self) -> Option<&Refusal> {
        self.last.as_ref()
    }

    /// That each of the first rows of something was refused, with the first reason; writes out what is buffered.
    ///
    /// # Errors
    /// Always.
    pub fn give_up(&mut self, rows: u64, of: &str) -> Result<()> {
        self.flush()?;
        anyhow::bail!(
            "each of the first {rows} rows{of} was refused, so the mapping does not fit the file; {}",
            self.sentences().into_iter().next().unwrap_or_default()
        );
    }

    /// Writes out what is buffered for the file.
    pub fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush().context("cannot write the refused rows"))
    }

    /// Examples of every reason, in sentences.
    pub fn sentences(&self) -> Vec<String> {
        let examples = self.by_reason.values().flat_map(|(_, examples)| examples);
        examples.map(Refusal::sentence).collect()
    }

    /// How many of each reason, with examples, line by line for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (reason, (count, examples)) in &self.by_reason {
            lines.push(format!("{count} refused: {reason}"));
            lines.extend(examples.iter().map(|example| format!("    {}", example.sentence())));
        }
        lines
    }

    /// For reports: how many of each reason, with examples.
    pub fn report(&self) -> Value {
        let reasons: Vec<Value> = self
            .by_reason
            .iter()
            .map(|(reason, (count, examples))| {
                let examples: Vec<Value> = examples
                    .iter()
                    .map(|example| {
                        json!({"line": example.line, "column": example.column, "value": example.value,
                            "what_to_do": example.detail})
                    })
                    .collect();
                json!({"reason": reason, "count": count, "examples": examples})
            })
            .collect();
        Value::Array(reasons)
    }
}
