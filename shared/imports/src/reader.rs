//! A file as rows, from whatever it is written in.

use std::{
    borrow::Cow,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;

use crate::{
    archive::{self, Archive, Beginning, Begun, Bounds},
    epcis,
    finding::{Finding, codes},
    lines::{Cut, Lines},
    look::{Looked, SAMPLE_RECORDS, decoder, look, peek_table},
    mapping::{Bound, Decimal, Mapping, shipped},
    propose::{self, propose, recognised},
    records::{Record, Records, mixed, too_long},
    sniff::{Encoding, Format},
    table::{Decoder, Held},
    x12,
};

mod row;

pub use row::Draft;

/// Which mapping a file is read by.
#[derive(Clone, Debug, Default)]
pub enum Choice {
    /// A shipped one whose columns the header has exactly; a guess is never taken unasked.
    #[default]
    Auto,
    /// A shipped one by name.
    Shipped(String),
    /// This one.
    Given(Box<Mapping>),
    /// The one that is proposed.
    Proposed,
}

/// What is known of a file beforehand; what is not is found out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its format.
    pub format: Option<Format>,
    /// Its encoding.
    pub encoding: Option<Encoding>,
    /// Its mapping.
    pub choice: Choice,
    /// Bounds.
    pub bounds: Bounds,
}

/// What was found out about a file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Facts {
    /// How it is packed.
    pub archive: Archive,
    /// How its characters are written.
    pub encoding: Encoding,
    /// How its rows are written.
    pub format: Format,
    /// What parts its cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Names of its columns.
    pub header: Vec<String>,
    /// Name of the mapping that it is read by; absent where none fits, and for rows in the form of the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A row by its columns.
    Row(Draft),
    /// A row in the form of the API's batches: its line, and its JSON.
    Batch(u64, String),
    /// A row that is not taken, and the listing it is about, where that can be told.
    Refused(Option<String>, Finding),
    /// Something to be said of the file that costs no row.
    Warning(Finding),
}

/// A file that was looked at.
pub struct Opened {
    /// What was found out.
    pub facts: Facts,
    /// The mapping that its columns suggest.
    pub proposal: Option<Mapping>,
    /// Why it cannot be read as it is.
    pub problem: Option<Finding>,
    bound: Option<Bound>,
    warnings: Vec<Finding>,
    stream: Box<dyn Read + Send>,
    end: u8,
    sample_is_ascii: bool,
    /// Bytes of what was looked at to find out what it is.
    sample_bytes: u64,
    /// How far it is looked into, where that is not to its end.
    beginning: Option<Beginning>,
    rows_max: u64,
}

/// Looks at a file.
pub fn open(path: &Path, options: &Options) -> Result<Opened, Finding> {
    let seen = look(path, options.format, options.encoding, None, &options.bounds)?;
    let Looked { archive, encoding, format, delimiter, end, text, sample_is_ascii, stream } = seen;
    let (header, records) = match (format, delimiter) {
        (_, Some(delimiter)) => peek_table(&text, delimiter, end),
        (Format::Ndjson, _) => (peek_json(&text), Vec::new()),
        (Format::X12, _) => (x12::COLUMNS.map(str::to_owned).to_vec(), Vec::new()),
        _ => (epcis::COLUMNS.map(str::to_owned).to_vec(), Vec::new()),
    };
    let proposal = recognised(&header).or_else(|| propose(&header, &records));
    let (bound, warnings, problem) = match bind(format, &header, options, proposal.as_ref()) {
        Ok((bound, warnings)) => (bound, warnings, None),
        Err(problem) => (None, Vec::new(), Some(problem)),
    };
    let bound = bound.map(|mut bound| {
        let mapping = &mut bound.mapping;
        if mapping.decimal == Decimal::Auto {
            mapping.decimal =
                propose::decimal(&header, &records, [mapping.price.as_ref(), mapping.on_hand.as_ref()]);
        }
        bound
    });
    let mapping = bound.as_ref().map(|bound| bound.mapping.name.clone());
    let facts = Facts { archive, encoding, format, delimiter: delimiter.map(char::from), header, mapping };
    let (sample_bytes, beginning) = (text.len() as u64, None);
    let rows_max = options.bounds.rows_max;
    Ok(Opened {
        facts,
        proposal,
        problem,
        bound,
        warnings,
        stream,
        end,
        sample_is_ascii,
        sample_bytes,
        beginning,
        rows_max,
    })
}

fn bind(
    format: Format,
    header: &[String],
    options: &Options,
    proposal: Option<&Mapping>,
) -> Result<(Option<Bound>, Vec<Finding>), Finding> {
    let mapping = match &options.choice {
        Choice::Given(mapping) => mapping.as_ref().clone(),
        Choice::Shipped(name) => shipped(name)?,
        Choice::Proposed => proposal.cloned().ok_or_else(|| unknown_header(header, None))?,
        Choice::Auto => match format {
            Format::X12 => shipped("x12_846")?,
            Format::Epcis => shipped("epcis")?,
            // Rows in the form of the API need no mapping.
            Format::Ndjson if header.is_empty() => return Ok((None, Vec::new())),
            _ => recognised(header).ok_or_else(|| unknown_header(header, proposal))?,
        },
    };
    let (bound, warnings) = Bound::new(mapping, header)?;
    Ok((Some(bound), warnings))
}

fn unknown_header(header: &[String], proposal: Option<&Mapping>) -> Finding {
    let shown: Vec<&str> = header.iter().take(40).map(String::as_str).collect();
    let next = match proposal {
        Some(_) => {
            "look at the proposed mapping (`stockade map FILE`, or `preview`), then send it, or mapping=proposed"
        }
        None => {
            "name the columns listing and on_hand (and sku, location, price, currency for whole listings), or send a mapping"
        }
    };
    let detail = format!("the columns {} are not those of a known mapping; {next}", shown.join(", "));
    Finding { line: 1, ..Finding::of_file(codes::WRONG_HEADER, detail) }
}

/// Names of the first objects' members, but for rows in the form of the API.
fn peek_json(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in text.lines().take(SAMPLE_RECORDS) {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(line) else { continue };
        if is_api_row(&object) {
            continue;
        }
        for name in object.keys() {
            if !names.contains(name) && names.len() < SAMPLE_RECORDS {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Whether an object is a row as batches have it: it says what to do, or has a price in the API's form.
fn is_api_row(object: &serde_json::Map<String, Value>) -> bool {
    object.contains_key("op") || object.get("price").is_some_and(Value::is_object)
}

/// Given what is found, says whether to go on.
type Sink<'s> = &'s mut dyn FnMut(Item) -> bool;

impl Opened {
    /// The mapping it is read by.
    pub fn mapping(&self) -> Option<&Mapping> {
        self.bound.as_ref().map(|bound| &bound.mapping)
    }

    /// The same, of which only the beginning is looked at: it ends there with a reason. How many bytes were looked at, those from which it
    /// was found out what the file is among them, is kept in `looked`.
    #[must_use]
    pub fn begun(mut self, beginning: Beginning, looked: Arc<AtomicU64>) -> Self {
        looked.fetch_max(self.sample_bytes, Ordering::Relaxed);
        let inner = std::mem::replace(&mut self.stream, Box::new(io::empty()));
        self.stream = Box::new(Begun { inner, beginning, read: 0, looked });
        self.beginning = Some(beginning);
        self
    }

    /// Gives each row to `sink` until that says to stop. What ends it early is an error; what was given before counts.
    /// Answers what the encoding turned out to be.
    pub fn each(mut self, sink: Sink<'_>) -> Result<Encoding, Finding> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        for warning in std::mem::take(&mut self.warnings) {
            if !sink(Item::Warning(warning)) {
                return Ok(self.facts.encoding);
            }
        }
        let (rows_max, mut rows, mut over) = (self.rows_max, 0, false);
        let mut counted = |item: Item| {
            rows += u64::from(!matches!(item, Item::Warning(_)));
            over = rows > rows_max;
            !over && sink(item)
        };
        let encoding = match self.facts.format {
            Format::Csv | Format::Tsv => self.each_record(&mut counted),
            Format::Ndjson => self.each_object(&mut counted),
            Format::X12 => self.each_x12(&mut counted),
            Format::Epcis => self.each_event(&mut counted),
        };
        let encoding = encoding.map_err(|error| archive::broken(&error))?;
        if over {
            let detail = format!("the file has more than {rows_max} rows; split it");
            return Err(Finding::of_file(codes::TOO_MANY_ROWS, detail));
        }
        Ok(encoding)
    }

    fn decoder(&self) -> Decoder {
        decoder(self.facts.encoding, self.sample_is_ascii)
    }

    /// What the encoding turned out to be.
    fn settled(&self, decoder: &Decoder) -> Encoding {
        match (self.facts.encoding, decoder.encoding()) {
            (Encoding::Utf8, Encoding::Windows1252) => Encoding::Windows1252,
            (declared, _) => declared,
        }
    }

    fn each_record(mut self, sink: Sink<'_>) -> io::Result<Encoding> {
        let Some(bound) = self.bound.take() else { return Ok(self.facts.encoding) };
        let stream = std::mem::replace(&mut self.stream, Box::new(io::empty()));
        let mut records = Records::new(self.facts.clone(), stream, self.end, self.sample_is_ascii);
        records.beginning = self.beginning;
        while let Some(record) = records.cut()? {
            let item = match record {
                Record::Row(line, cells) => row::item(&bound, cells.0, line),
                Record::Refused(finding, None) => Item::Refused(None, finding),
                Record::Refused(finding, Some(cells)) => {
                    Item::Refused(row::subject(&bound, cells.0), finding)
                }
            };
            if !sink(item) {
                break;
            }
        }
        Ok(records.encoding())
    }

    fn each_object(mut self, sink: Sink<'_>) -> io::Result<Encoding> {
        let mut decoder = self.decoder();
        let stream = std::mem::replace(&mut self.stream, Box::new(io::empty()));
        let mut lines = Lines::new(stream, b'\n', None);
        while let Some(cut) = lines.next()? {
            let item = match cut {
                Cut::TooLong(line) | Cut::Unclosed(line) => Item::Refused(None, too_long(line)),
                Cut::Record(line, bytes) if bytes.iter().all(u8::is_ascii_whitespace) => {
                    Beginning::pass(self.beginning, line)?;
                    continue;
                }
                Cut::Record(line, bytes) => match decoder.text(bytes) {
                    None => Item::Refused(None, mixed(line, bytes, decoder.encoding())),
                    Some(text) => self.object(line, &text),
                },
            };
            if !sink(item) {
                break;
            }
        }
        Ok(self.settled(&decoder))
    }

    fn object(&self, line: u64, text: &str) -> Item {
        let not_json =
            |detail: String| Item::Refused(None, Finding::refused(line, "", text, codes::NOT_JSON, detail));
        let mut object = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return not_json("the line is no JSON object; write one object a line".to_owned()),
            Err(error) => {
                return not_json(format!(
                    "the line is no JSON (column {}); write one object a line",
                    error.column()
                ));
            }
        };
        if is_api_row(&object) {
            if !object.contains_key("op") {
                object.insert("op".to_owned(), Value::from("put"));
                return Item::Batch(line, Value::Object(object).to_string());
            }
            return Item::Batch(line, text.to_owned());
        }
        let Some(bound) = &self.bound else {
            let detail =
                "the line says neither `op` nor columns that earlier lines have; write all lines in one form";
            return Item::Refused(None, Finding::refused(line, "", text, codes::MISSING, detail));
        };
        let cells: Vec<Cow<'_, str>> = self
            .facts
            .header
            .iter()
            .map(|name| match object.get(name) {
                None | Some(Value::Null) => Cow::Borrowed(""),
                Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
                Some(Value::Array(items)) => {
                    let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    Cow::Owned(words.join(" "))
                }
                Some(other) => Cow::Owned(other.to_string()),
            })
            .collect();
        row::item(bound, &Held(&cells), line)
    }

    fn each_x12(mut self, sink: Sink<'_>) -> io::Result<Encoding> {
        let Some(bound) = self.bound.take() else { return Ok(self.facts.encoding) };
        let mut step = |step| match step {
            x12::Step::Row(line, cells) => sink(row::item(&bound, &Held(&cells.map(Cow::Owned)), line)),
            x12::Step::Wrong(finding) => sink(Item::Refused(None, finding)),
        };
        x12::each(self.stream, self.beginning, &mut step)?;
        Ok(self.facts.encoding)
    }

    fn each_event(mut self, sink: Sink<'_>) -> io::Result<Encoding> {
        let Some(bound) = self.bound.take() else { return Ok(self.facts.encoding) };
        let mut step = |step| match step {
            epcis::Step::Row(event, cells) => sink(row::item(&bound, &Held(&cells.map(Cow::Owned)), event)),
            epcis::Step::Wrong(finding) => sink(Item::Refused(None, finding)),
        };
        epcis::each(self.stream, &mut step)?;
        Ok(self.facts.encoding)
    }
}

#[cfg(test)]
mod tests;
