//! A history opened: its files found, its times made out, joined, and put in order of time where it is not.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use stockade_imports::{Decimal, Facts, shows_decimal};
use stockade_model::Timestamp;

use crate::{
    counted::Counting,
    join::{Table, With},
    mapping::{Bound, Mapping, place_of},
    refusals::{GIVEN_UP_AFTER, Refusals, shown},
    rows::{Entry, FileRows, Rows},
    sort::{Sorted, Sorter},
    times::{Format, Guess, Reading, ZONE_OTHERWISE},
};

/// Rows that are looked at for the format of times, beyond what decides between day and month.
const LOOKED_AT: u64 = 200;

/// Bounds of memory. Past them files go to disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of rows that a sort holds.
    pub sort_bytes: usize,
    /// Bytes of a joined file that are held.
    pub join_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sort_bytes: 64 << 20, join_bytes: 64 << 20 }
    }
}

/// A history in order of time.
pub struct History {
    /// The mapping with its columns found.
    pub bound: Arc<Bound>,
    /// Columns of the rows.
    pub header: Vec<String>,
    /// What was found out about the files, to be said.
    pub notes: Vec<String>,
    /// Rows there are, where they were counted beforehand.
    pub rows_expected: u64,
    rows: Ordered,
    last: Timestamp,
    /// Rows without a time before the first that has one.
    untimed_first: u64,
}

enum Ordered {
    AsTheyCome(Box<dyn Rows>),
    Sorted(Sorted),
}

/// The files that `--input` names, by the names that the mapping has for them; one without a name where it has none.
///
/// # Errors
/// A file is missing, named twice, or unknown to the mapping.
pub fn files(inputs: &[PathBuf], mapping: &Mapping) -> Result<BTreeMap<String, PathBuf>> {
    if mapping.files.is_empty() {
        let [input] = inputs else {
            anyhow::bail!(
                "there are {} --input and the mapping reads one; give one file, or name several under `files` in the mapping",
                inputs.len()
            );
        };
        anyhow::ensure!(
            !input.is_dir(),
            "{} is a directory and the mapping reads one file; give the file, or name several under `files` in the mapping",
            input.display()
        );
        return Ok(BTreeMap::from([(String::new(), input.clone())]));
    }
    let mut needed: Vec<&String> =
        mapping.rows.iter().chain(mapping.joins.iter().map(|join| &join.file)).collect();
    // A mapping may join one file several times.
    needed.sort_unstable();
    needed.dedup();
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut add = |name: String, path: PathBuf| match found.get(&name) {
        Some(earlier) => anyhow::bail!(
            "{name} is given twice, as {} and as {}; leave out one --input, for only one of them can be read",
            earlier.display(),
            path.display()
        ),
        None => {
            found.insert(name, path);
            Ok(())
        }
    };
    for input in inputs {
        if input.is_dir() {
            for name in &needed {
                if let Some(path) = in_directory(input, &mapping.files[*name]) {
                    add((*name).clone(), path)?;
                }
            }
            continue;
        }
        let text = input.to_string_lossy();
        let named = text.split_once('=').filter(|(name, _)| mapping.files.contains_key(*name));
        let of_file = || {
            let own = input.file_name()?.to_string_lossy().into_owned();
            let plain = own.trim_end_matches(".gz").trim_end_matches(".zip");
            let fits = mapping.files.iter().find(|(_, file)| file.as_str() == plain || **file == own);
            fits.map(|(name, _)| name.clone())
        };
        let (name, path) = match named {
            Some((name, path)) => (name.to_owned(), PathBuf::from(path)),
            None => {
                let known = mapping.files.keys().cloned().collect::<Vec<_>>().join(", ");
                let name = of_file().with_context(|| {
                    format!("{text} is none of the mapping's files; write --input NAME=FILE with one of {known}, or give their directory")
                })?;
                (name, input.clone())
            }
        };
        add(name, path)?;
    }
    for name in needed {
        anyhow::ensure!(
            found.contains_key(name),
            "the mapping needs {} (`{name}`), which is not there; put it into the directory, or give --input {name}=FILE",
            mapping.files[name]
        );
    }
    Ok(found)
}

/// A first look at a file: how it is written, in words, its header, and its first rows.
///
/// # Errors
/// It cannot be read, or is no table.
pub fn peek(path: &Path) -> Result<(String, Vec<String>, Vec<Vec<String>>)> {
    let (rows, sample) = FileRows::open(path, Default::default(), true)?;
    Ok((described(path, rows.facts()), rows.facts().header.clone(), sample))
}

fn in_directory(directory: &Path, file: &str) -> Option<PathBuf> {
    ["", ".gz", ".zip"].iter().map(|more| directory.join(format!("{file}{more}"))).find(|path| path.is_file())
}

/// Opens a history. What is refused of it goes to `refusals` as it is read.
///
/// # Errors
/// A file is missing or cannot be read; a column is missing; a format of times cannot be told.
pub fn open(
    inputs: &[PathBuf],
    mapping: Mapping,
    limits: Limits,
    refusals: &mut Refusals,
) -> Result<History> {
    let maker = Maker { files: files(inputs, &mapping)?, mapping, limits };
    refusals.spare(maker.files.values())?;
    let mut notes = Vec::new();
    let (first, sample, facts) = maker.make(&mut Refusals::default(), &mut notes)?;
    let header = first.header.clone();
    for name in maker.mapping.columns() {
        place_of(&name, &header)?;
    }
    let decimal = maker.decimal(&header, &sample, &facts);
    if decimal == Decimal::Comma {
        notes.push("numbers are written with a comma before their decimals".to_owned());
    }
    let times = maker.times(first, &mut notes)?;
    let bound = Arc::new(Bound::new(maker.mapping.clone(), &header, times, decimal)?);

    refusals.begin(&facts.header)?;
    let joined = !maker.mapping.joins.is_empty();
    let (order, rows_expected) = if joined { (false, 0) } else { maker.is_in_order(&bound)? };
    let rows = maker.make(refusals, &mut Vec::new())?.0.rows;
    let last = Timestamp::from_ms(i64::MIN);
    // Names of columns and files are in them.
    notes.iter_mut().for_each(|note| *note = shown(note));
    if order {
        let rows = Ordered::AsTheyCome(rows);
        return Ok(History { bound, header, notes, rows_expected, rows, last, untimed_first: 0 });
    }
    let (sorted, rows_expected) = maker.sorted(&bound, rows, refusals)?;
    let how = if sorted.is_on_disk() { "on disk" } else { "in memory" };
    notes.push(match joined {
        true => format!("joined rows were sorted by {} {how}", bound.mapping.time),
        false => format!(
            "rows are not in order of {}: sorted {how}; rows of one moment stay as they were",
            bound.mapping.time
        ),
    });
    let rows = Ordered::Sorted(sorted);
    Ok(History { bound, header, notes, rows_expected, rows, last, untimed_first: 0 })
}

/// Makes the rows of a history from its files, as often as they are needed.
struct Maker {
    files: BTreeMap<String, PathBuf>,
    mapping: Mapping,
    limits: Limits,
}

impl Maker {
    /// The rows with everything joined, first rows of the main file, and what was found out about that.
    fn make(
        &self,
        refusals: &mut Refusals,
        notes: &mut Vec<String>,
    ) -> Result<(Table, Vec<Vec<String>>, Facts)> {
        let main = self.mapping.rows.clone().unwrap_or_default();
        let written = self.mapping.reading.written()?;
        let (rows, sample) = FileRows::open(&self.files[&main], written, true)?;
        let facts = rows.facts().clone();
        notes.push(described(&self.files[&main], &facts));
        let mut table = Table { rows: Box::new(rows), header: facts.header.clone() };
        if let Some(counted) = &self.mapping.times.counted {
            let place = |name: &String| place_of(name, &table.header);
            let hour = counted.hour.as_ref().map(place).transpose()?;
            let places = (place(&counted.per)?, place(&counted.days)?, hour);
            let (counted, days) = (counted.clone(), Default::default());
            table.header.push(counted.into.clone());
            table.rows = Box::new(Counting { inner: table.rows, counted, places, days });
        }
        let mut needed = self.mapping.columns();
        needed.extend(self.mapping.joins.iter().flat_map(|join| join.left_columns()));
        needed.sort_unstable();
        needed.dedup();
        for join in &self.mapping.joins {
            let (path, bytes_max) = (self.files[&join.file].clone(), self.limits.join_bytes);
            let with = With { path, written, needed: &needed, bytes_max };
            let (joined, note) = join.apply(table, &with, refusals)?;
            table = joined;
            notes.extend(note);
        }
        Ok((table, sample, facts))
    }

    fn decimal(&self, header: &[String], sample: &[Vec<String>], facts: &Facts) -> Decimal {
        if self.mapping.reading.decimal != Decimal::Auto {
            return self.mapping.reading.decimal;
        }
        let places: Vec<usize> =
            self.mapping.number_columns().iter().filter_map(|name| place_of(name, header).ok()).collect();
        let cells = sample.iter().flat_map(|record| places.iter().filter_map(|at| record.get(*at)));
        let (mut points, mut commas, mut any_comma) = (0, 0, false);
        for cell in cells {
            any_comma |= cell.contains(',');
            match shows_decimal(cell) {
                Some(true) => commas += 1,
                Some(false) => points += 1,
                None => {}
            }
        }
        match (points, commas) {
            (0, 1..) => Decimal::Comma,
            (1.., 1..) => Decimal::Auto,
            // Commas that part no cells and show nothing may be of thousands or before decimals.
            (0, 0) if any_comma && facts.delimiter != Some(',') => Decimal::Auto,
            _ => Decimal::Point,
        }
    }

    /// How each column of times is read: as declared, else as its first rows show.
    fn times(&self, mut table: Table, notes: &mut Vec<String>) -> Result<BTreeMap<String, Reading>> {
        let mut declared = BTreeMap::new();
        let mut guesses = Vec::new();
        let times = &self.mapping.times;
        let own = times.placed(&table.header)?;
        let counted = times.counted.as_ref().and_then(|counted| place_of(&counted.into, &table.header).ok());
        for name in self.mapping.time_columns() {
            let at = place_of(&name, &table.header)?;
            if counted == Some(at) {
                // Written here, whatever form the file's own times have.
                declared.insert(name, Reading::new(Format::Rfc3339, ZONE_OTHERWISE)?);
                continue;
            }
            match times.of(&name, own.get(&at).copied())? {
                (Some(format), zone) => {
                    declared.insert(name.clone(), Reading::new(format, zone.unwrap_or(ZONE_OTHERWISE))?);
                }
                (None, _) => guesses.push((at, name, Guess::new())),
            }
        }
        let (mut ignored, mut looked) = (Refusals::default(), 0);
        while !guesses.is_empty() {
            let Some(Entry { record, .. }) = table.rows.next(&mut ignored)? else { break };
            looked += 1;
            for (at, _, guess) in &mut guesses {
                let cell = record.get(*at).unwrap_or_default().trim();
                if !cell.is_empty() && (looked <= LOOKED_AT || !guess.is_decided()) {
                    guess.look(cell);
                }
            }
            let all_decided = guesses.iter().all(|(_, _, guess)| guess.is_decided() || guess.seen == 0);
            if looked >= LOOKED_AT && all_decided {
                break;
            }
        }
        // What may be two follows what may be one: files rarely write two ways.
        let common = guesses.iter().find_map(|(_, _, guess)| guess.format());
        let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (at, name, guess) in guesses {
            let zone = times.of(&name, own.get(&at).copied())?.1;
            let format = match (guess.format(), common) {
                (Some(format), _) => format,
                (None, Some(common)) if guess.seen == 0 || guess.may_be(common) => common,
                (None, _) if guess.seen == 0 && name != self.mapping.time => Format::Rfc3339,
                (None, _) if guess.seen == 0 => {
                    anyhow::bail!(
                        "column {name} has no times in any form that is known; name another column as `time`, or declare its form: `times: {{ format: … }}`"
                    )
                }
                _ => anyhow::bail!("{}", guess.undecided(&name)),
            };
            if format != Format::Rfc3339 {
                let zoned = match (format, zone) {
                    (Format::EpochS | Format::EpochMs, _) => String::new(),
                    (_, Some(zone)) => format!(", in {zone}"),
                    (_, None) => format!(
                        ", in {ZONE_OTHERWISE} where no offset is written (declare another with `times: {{ zone: Europe/Berlin }}`)"
                    ),
                };
                said.entry(format!("read as {}{zoned}", format.as_str())).or_default().push(name.clone());
            }
            declared.insert(name, Reading::new(format, zone.unwrap_or(ZONE_OTHERWISE))?);
        }
        notes.extend(said.into_iter().map(|(how, names)| format!("times of {} are {how}", names.join(", "))));
        Ok(declared)
    }

    /// Whether rows are in order of time already, and how many there are if so.
    fn is_in_order(&self, bound: &Bound) -> Result<(bool, u64)> {
        let mut ignored = Refusals::default();
        let mut table = self.make(&mut ignored, &mut Vec::new())?.0;
        let (mut last, mut rows) = (Timestamp::from_ms(i64::MIN), 0);
        while let Some(Entry { line, record }) = table.rows.next(&mut ignored)? {
            rows += 1;
            let Ok(time) = bound.row(&record, line).time() else { continue };
            if time < last {
                return Ok((false, 0));
            }
            last = time;
        }
        Ok((true, rows))
    }

    fn sorted(
        &self,
        bound: &Bound,
        mut rows: Box<dyn Rows>,
        refusals: &mut Refusals,
    ) -> Result<(Sorted, u64)> {
        let mut sorter = Sorter::new(self.limits.sort_bytes);
        let mut count = 0;
        while let Some(entry) = rows.next(refusals)? {
            count += 1;
            // What has no time comes at the end, where it is refused like every other.
            let time = bound.row(&entry.record, entry.line).time();
            let time = time.unwrap_or(Timestamp::from_ms(i64::MAX));
            sorter.push(&time.sort_bytes(), entry)?;
        }
        Ok((sorter.finish()?, count))
    }
}

/// How a file is written, in words.
fn described(path: &Path, facts: &Facts) -> String {
    let mark = match facts.delimiter {
        Some('\t') => "tabs".to_owned(),
        Some(mark) => format!("`{mark}`"),
        None => "nothing".to_owned(),
    };
    let archive = match facts.archive {
        stockade_imports::Archive::Plain => "",
        stockade_imports::Archive::Gzip => ", gzip",
        stockade_imports::Archive::Zip => ", zip",
    };
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    format!(
        "{name}: {}{archive}, cells parted by {mark}, {} columns",
        facts.encoding.as_str(),
        facts.header.len()
    )
}

impl History {
    /// The next row with its time. Rows whose time cannot be read are refused.
    pub fn next(&mut self, refusals: &mut Refusals) -> Result<Option<(Timestamp, Entry)>> {
        loop {
            let next = match &mut self.rows {
                Ordered::AsTheyCome(rows) => rows.next(refusals)?,
                Ordered::Sorted(sorted) => sorted.next(refusals)?,
            };
            let Some(entry) = next else { return Ok(None) };
            match self.bound.row(&entry.record, entry.line).time() {
                Ok(time) => {
                    anyhow::ensure!(
                        time >= self.last,
                        "line {} goes back in time, which it did not a moment ago: the file has changed while it was read; run this again",
                        entry.line
                    );
                    self.last = time;
                    return Ok(Some((time, entry)));
                }
                Err(refusal) => {
                    refusals.refuse(refusal.on(entry.line), &entry.record)?;
                    let none_yet = self.last == Timestamp::from_ms(i64::MIN);
                    self.untimed_first += u64::from(none_yet);
                    if none_yet && self.untimed_first >= GIVEN_UP_AFTER {
                        refusals.give_up(self.untimed_first, "")?;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
