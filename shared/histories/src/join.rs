//! Rows of one file with what another has under the same key.
//!
//! The other file is held in memory up to a bound; past that both sides are sorted by the key on disk and merged.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use anyhow::Context as _;
use rustc_hash::FxHashMap;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    mapping::place_of,
    refusals::Refusals,
    rows::{Entry, FileRows, Rows, Written},
    sort::{Sorted, Sorter},
};

/// A lookup in another file, as a mapping declares it.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    /// Which, by its name under `files`. Its columns are then `name.column`.
    pub(crate) file: String,
    /// The column that both have; or columns of the rows so far with those of the file.
    on: On,
    /// Which of several rows with one key.
    #[serde(default)]
    keep: Keep,
    /// First and last are by this column, as text; in the order of the file when absent.
    #[serde(default)]
    by: Option<String>,
}

/// Columns of the rows so far with those of the file.
#[derive(Clone, Debug)]
struct On(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for On {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = On;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column that both have, or `column: column of the other file`")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<On, E> {
                Ok(On(BTreeMap::from([(name.to_owned(), name.to_owned())])))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<On, A::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(On)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// Which of several rows with one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keep {
    /// There is at most one; a second is an error.
    #[default]
    One,
    /// The first.
    First,
    /// The last.
    Last,
    /// All: the row comes once with each.
    Each,
}

/// Rows so far, with their header.
pub(crate) struct Table {
    pub(crate) rows: Box<dyn Rows>,
    pub(crate) header: Vec<String>,
}

/// What a join is made with.
pub(crate) struct With<'a> {
    pub(crate) path: PathBuf,
    pub(crate) written: Written,
    /// Columns that are needed, by the names that the mapping has for them.
    pub(crate) needed: &'a [String],
    pub(crate) bytes_max: usize,
}

impl Join {
    fn pairs(&self) -> Vec<(&str, &str)> {
        self.on.0.iter().map(|(left, right)| (left.as_str(), right.as_str())).collect()
    }

    /// Columns of the rows so far that it is made by.
    pub(crate) fn left_columns(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(left, _)| left.to_owned()).collect()
    }

    /// Joins; lines that the other file is refused are counted with the rest. Says how, where it went to disk.
    pub(crate) fn apply(
        &self,
        left: Table,
        with: &With<'_>,
        refusals: &mut Refusals,
    ) -> anyhow::Result<(Table, Option<String>)> {
        let (mut file, _) = FileRows::open(&with.path, with.written, false)?;
        let of_file = || format!("{}, which is `{}` in the mapping", with.path.display(), self.file);
        let theirs = file.facts().header.clone();
        let place = |name: &str| place_of(name, &theirs).with_context(of_file);
        let right_key =
            self.pairs().iter().map(|(_, right)| place(right)).collect::<anyhow::Result<Vec<_>>>()?;
        let left_key = self
            .pairs()
            .iter()
            .map(|(name, _)| place_of(name, &left.header).with_context(|| format!("joining {}", self.file)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let prefix = format!("{}.", self.file);
        let mut header = left.header;
        let mut kept = Vec::new();
        for name in with.needed {
            if let Some(own) = name.strip_prefix(&prefix) {
                kept.push(place(own)?);
                header.push(name.clone());
            }
        }
        let cells = kept.len();
        kept.extend(self.by.as_deref().map(place).transpose()?);
        let pick =
            Pick { keep: self.keep, by: self.by.is_some().then_some(cells), cells, file: self.file.clone() };

        let mut held: FxHashMap<String, Vec<csv::StringRecord>> = FxHashMap::default();
        let mut bytes = 0;
        let mut sorter: Option<Sorter> = None;
        while let Some(Entry { line, record }) = file.next(refusals)? {
            let key = key_of(&record, &right_key);
            if key.is_empty() {
                continue;
            }
            let row: csv::StringRecord =
                kept.iter().map(|at| record.get(*at).unwrap_or_default().trim()).collect();
            let weight = |row: &csv::StringRecord| key.len() + row.as_slice().len() + 8 * row.len() + 160;
            if let Some(sorter) = &mut sorter {
                sorter.push(key.as_bytes(), Entry { line, record: row })?;
                continue;
            }
            bytes += weight(&row);
            let dropped = pick.hold(held.entry(key.clone()).or_default(), row);
            bytes -= dropped.as_ref().map_or(0, weight);
            if bytes > with.bytes_max {
                let mut fresh = Sorter::new(with.bytes_max);
                for (key, rows) in held.drain() {
                    for record in rows {
                        fresh.push(key.as_bytes(), Entry { line: 0, record })?;
                    }
                }
                sorter = Some(fresh);
            }
        }
        let Some(sorter) = sorter else {
            let rows = Box::new(Looked { left: left.rows, left_key, held, pick, more: Vec::new() });
            return Ok((Table { rows, header }, None));
        };
        let mut ours = Sorter::new(with.bytes_max);
        let mut rows = left.rows;
        while let Some(entry) = rows.next(refusals)? {
            ours.push(key_of(&entry.record, &left_key).as_bytes(), entry)?;
        }
        let note = format!("{} is larger than what is held in memory: joined on disk", with.path.display());
        let mut merged = Merged {
            left: ours.finish()?,
            right: sorter.finish()?,
            next: None,
            key: Box::default(),
            group: Vec::new(),
            pick,
            more: Vec::new(),
        };
        merged.next = merged.right.next_keyed()?;
        Ok((Table { rows: Box::new(merged), header }, Some(note)))
    }
}

/// The key of a record; empty where every part is.
fn key_of(record: &csv::StringRecord, places: &[usize]) -> String {
    let mut key = String::new();
    for (number, at) in places.iter().enumerate() {
        if number > 0 {
            key.push('\u{1f}');
        }
        key.push_str(record.get(*at).unwrap_or_default().trim());
    }
    if key.bytes().all(|byte| byte == 0x1f) { String::new() } else { key }
}

/// Which rows of a key are taken, and how many of their cells.
struct Pick {
    keep: Keep,
    by: Option<usize>,
    cells: usize,
    file: String,
}

impl Pick {
    /// Holds a further row of a key, as few as will do: a key may have any number of them. Answers the one that is not needed.
    fn hold(&self, held: &mut Vec<csv::StringRecord>, row: csv::StringRecord) -> Option<csv::StringRecord> {
        fn by(row: &csv::StringRecord, place: Option<usize>) -> &str {
            place.and_then(|place| row.get(place)).unwrap_or_default()
        }
        let is_wanted = match (self.keep, held.first()) {
            // Two show that there is more than one.
            (Keep::One, _) => held.len() < 2,
            (Keep::Each, _) | (_, None) => true,
            // Of equals the first is first and the last is last.
            (Keep::First, Some(kept)) => by(&row, self.by) < by(kept, self.by),
            (Keep::Last, Some(kept)) => by(&row, self.by) >= by(kept, self.by),
        };
        if !is_wanted {
            return Some(row);
        }
        let former = if matches!(self.keep, Keep::First | Keep::Last) { held.pop() } else { None };
        held.push(row);
        former
    }

    /// The row with each that is taken; the last of them first.
    fn with(&self, entry: &Entry, found: &[csv::StringRecord], key: &str) -> anyhow::Result<Vec<Entry>> {
        let extended = |right: Option<&csv::StringRecord>| {
            let Entry { line, mut record } = entry.clone();
            for at in 0..self.cells {
                record.push_field(right.and_then(|right| right.get(at)).unwrap_or_default());
            }
            Entry { line, record }
        };
        Ok(match self.keep {
            _ if found.is_empty() => vec![extended(None)],
            Keep::One => {
                anyhow::ensure!(
                    found.len() == 1,
                    "{} has more than one row with the key {}; say in its join which is meant: `keep: first`, `keep: last` or `keep: each`",
                    self.file,
                    key.replace('\u{1f}', ", ")
                );
                vec![extended(found.first())]
            }
            // No other is held.
            Keep::First | Keep::Last => vec![extended(found.first())],
            Keep::Each => found.iter().rev().map(|right| extended(Some(right))).collect(),
        })
    }
}

/// With the other file in memory.
struct Looked {
    left: Box<dyn Rows>,
    left_key: Vec<usize>,
    held: FxHashMap<String, Vec<csv::StringRecord>>,
    pick: Pick,
    /// What is still to be given, the next last.
    more: Vec<Entry>,
}

impl Rows for Looked {
    fn next(&mut self, refusals: &mut Refusals) -> anyhow::Result<Option<Entry>> {
        if let Some(entry) = self.more.pop() {
            return Ok(Some(entry));
        }
        let Some(entry) = self.left.next(refusals)? else { return Ok(None) };
        let key = key_of(&entry.record, &self.left_key);
        let found = self.held.get(&key).map_or(&[][..], Vec::as_slice);
        self.more = self.pick.with(&entry, found, &key)?;
        Ok(self.more.pop())
    }
}

/// With both sides sorted by key.
struct Merged {
    left: Sorted,
    right: Sorted,
    next: Option<(Box<[u8]>, Entry)>,
    /// The key of the group.
    key: Box<[u8]>,
    /// Rows of the other file with that key that may be meant.
    group: Vec<csv::StringRecord>,
    pick: Pick,
    more: Vec<Entry>,
}

impl Rows for Merged {
    fn next(&mut self, _: &mut Refusals) -> anyhow::Result<Option<Entry>> {
        if let Some(entry) = self.more.pop() {
            return Ok(Some(entry));
        }
        let Some((key, entry)) = self.left.next_keyed()? else { return Ok(None) };
        if key != self.key {
            self.group.clear();
            while self.next.as_ref().is_some_and(|(theirs, _)| *theirs < key) {
                self.next = self.right.next_keyed()?;
            }
            while let Some((_, theirs)) = self.next.take_if(|(theirs, _)| *theirs == key) {
                self.pick.hold(&mut self.group, theirs.record);
                self.next = self.right.next_keyed()?;
            }
            self.key = key;
        }
        self.more = self.pick.with(&entry, &self.group, &String::from_utf8_lossy(&self.key))?;
        Ok(self.more.pop())
    }
}
