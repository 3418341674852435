//! The evidence about one supplier over time: the vectors that `supplier.scores` keeps of it, thinned out to what a chart can show.
//!
//! Nothing is kept for this. A question reads a bounded part of one partition, the newest records of the span that is asked for; an
//! answer that does not reach back to its beginning says from when on it is whole.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use stockade_log::{LogError, ReadLimit, Record, SharedLog, partition_of};
use stockade_model::{SCORE_KIND, ScoreView, SupplierId, Topic};

/// Records of a partition that one question reads at most, of all suppliers in it.
pub const RECORDS_MAX: u64 = 500_000;
/// Points of each feature in an answer at most.
pub const POINTS_MAX: usize = 500;
/// Questions answered at once, each of another person.
const ASKING_MAX: usize = 4;
/// Read at once.
const BATCH: ReadLimit = ReadLimit { records: 4_096, bytes: 4 << 20 };

/// Who is being answered: one question of a person at a time, and a few in all.
#[derive(Clone, Default)]
pub struct Asking(Arc<Mutex<BTreeSet<String>>>);

/// A turn, given back when it is dropped.
pub struct Turn {
    of: Asking,
    name: String,
}

impl Asking {
    /// A turn for a person, unless one is being answered or as many others are as may be.
    pub fn begin(&self, name: &str) -> Option<Turn> {
        let mut asking = self.0.lock();
        if asking.len() >= ASKING_MAX || asking.contains(name) {
            return None;
        }
        asking.insert(name.to_owned());
        Some(Turn { of: self.clone(), name: name.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.name);
    }
}

/// What is asked for.
pub struct Question {
    /// Whose.
    pub supplier: SupplierId,
    /// From then on, in milliseconds since 1970.
    pub since_ms: i64,
    /// Until then, in milliseconds since 1970, not included.
    pub until_ms: i64,
    /// The schema that vectors must have.
    pub schema: u32,
    /// Slots of the features asked for.
    pub slots: Vec<usize>,
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Milliseconds since 1970, rising; the same for every feature.
    pub at_ms: Vec<i64>,
    /// For each feature asked for a value at each of `at_ms`; not a number where it was unknown.
    pub values: Vec<Vec<f32>>,
    /// Vectors of the supplier in that time.
    pub vectors: u64,
    /// Vectors of it with other features or windows, which say nothing here.
    pub skipped: u64,
    /// Where not everything that was asked for was read: from when on it was, in milliseconds since 1970.
    pub from_ms: Option<i64>,
}

/// Rows held at once: many more than points, so that a stretch of an answer is still made of several.
const HELD_MAX: usize = 8 * POINTS_MAX;

/// Rows as they are read, merged while there are too many: one question holds no more of them than so, however many it reads.
struct Rows {
    features: usize,
    /// Two for each stretch, with its least and its greatest values; as they were read where a stretch is one vector.
    held: Vec<Row>,
    /// Vectors of a stretch.
    stretch: usize,
    /// The stretch that is not full yet.
    begun: Vec<Row>,
    /// The newest, which stays as it is.
    last: Option<Row>,
    /// How many there were.
    vectors: u64,
}

impl Rows {
    fn new(features: usize) -> Self {
        Self { features, held: Vec::new(), stretch: 1, begun: Vec::new(), last: None, vectors: 0 }
    }
    fn push(&mut self, row: Row) {
        self.vectors += 1;
        let Some(before) = self.last.replace(row) else { return };
        self.begun.push(before);
        if self.begun.len() < self.stretch {
            return;
        }
        self.end_stretch();
        if self.held.len() >= HELD_MAX {
            // Two pairs, or four vectors, become one pair.
            self.stretch = if self.stretch == 1 { 4 } else { self.stretch * 2 };
            let pairs = self.held.chunks(4).flat_map(|stretch| pair(stretch, self.features));
            self.held = pairs.collect();
        }
    }
    fn end_stretch(&mut self) {
        if self.begun.len() > 2 {
            self.held.extend(pair(&self.begun, self.features));
            self.begun.clear();
        } else {
            self.held.append(&mut self.begun);
        }
    }
    fn all(mut self) -> Vec<Row> {
        self.end_stretch();
        self.held.extend(self.last.take());
        self.held
    }
}

/// The least and the greatest value of a feature in a stretch, in the order in which they came; not numbers where none is known.
fn extremes(stretch: &[Row], feature: usize) -> [f32; 2] {
    let known = stretch.iter().map(|row| row.values[feature]).enumerate().filter(|(_, v)| !v.is_nan());
    let mut known = known.peekable();
    let Some(first) = known.peek().copied() else { return [f32::NAN; 2] };
    let (least, greatest) = known.fold((first, first), |(least, greatest), one| {
        (if one.1 < least.1 { one } else { least }, if one.1 > greatest.1 { one } else { greatest })
    });
    if least.0 <= greatest.0 { [least.1, greatest.1] } else { [greatest.1, least.1] }
}

/// Two rows in place of a stretch: its extremes, at the times of its first and its last.
fn pair(stretch: &[Row], features: usize) -> Vec<Row> {
    let (Some(begins), Some(ends)) = (stretch.first(), stretch.last()) else { return Vec::new() };
    let both: Vec<[f32; 2]> = (0..features).map(|feature| extremes(stretch, feature)).collect();
    let row =
        |at_ms: i64, place: usize| Row { at_ms, values: both.iter().map(|values| values[place]).collect() };
    vec![row(begins.at_ms, 0), row(ends.at_ms, 1)]
}

struct Row {
    at_ms: i64,
    values: Box<[f32]>,
}

/// Reads what a partition holds of the question. Blocks.
pub fn read(log: &SharedLog, partitions: u32, of: &Question, records_max: u64) -> Result<Found, LogError> {
    let topic = Topic::SupplierScores.name();
    let partition = partition_of(of.supplier.as_str().as_bytes(), partitions);
    let bounds = log.bounds(topic, partition)?;
    let first = first_at(log, partition, (bounds.first, bounds.end), of.since_ms)?;
    let end = first_at(log, partition, (first, bounds.end), of.until_ms)?;
    let mut next = first.max(end.saturating_sub(records_max));
    let is_cut = next > first;
    let (mut rows, mut slots, mut from_ms, mut skipped) = (Rows::new(of.slots.len()), Vec::new(), None, 0);
    while next < end {
        let records = log.read(topic, partition, next, BATCH)?;
        let Some(last) = records.last() else { break };
        next = last.offset + 1;
        for record in records.iter().filter(|record| record.offset < end) {
            if is_cut && from_ms.is_none() {
                from_ms = Some(record.time_ms);
            }
            if !is_score(record) {
                continue;
            }
            match ScoreView::read(&record.value, &mut slots) {
                Ok(view) if view.supplier != of.supplier.as_str() => {}
                Ok(view) if view.schema == of.schema => {
                    let value = |slot: &usize| slots.get(*slot).copied().unwrap_or(f32::NAN);
                    rows.push(Row { at_ms: record.time_ms, values: of.slots.iter().map(value).collect() });
                }
                // What does not decode is dead-lettered by the fold that reads it.
                _ => skipped += 1,
            }
        }
    }
    let vectors = rows.vectors;
    let (at_ms, values) = thin(&rows.all(), of.slots.len());
    Ok(Found { at_ms, values, vectors, skipped, from_ms })
}

fn is_score(record: &Record) -> bool {
    record.headers.iter().any(|(name, value)| &**name == "ce_type" && value == SCORE_KIND.as_bytes())
}

/// The first offset of `from..end` whose record is not before `time_ms`, by halving: record times never go back within a partition.
fn first_at(log: &SharedLog, partition: u32, (from, end): (u64, u64), time_ms: i64) -> Result<u64, LogError> {
    let one = ReadLimit { records: 1, bytes: BATCH.bytes };
    let (mut low, mut high) = (from, end);
    while low < high {
        let middle = low + (high - low) / 2;
        match log.read(Topic::SupplierScores.name(), partition, middle, one)?.first() {
            // Offsets may have gaps, so the record that is read may lie after the middle.
            Some(record) if record.time_ms < time_ms => low = record.offset + 1,
            _ => high = middle,
        }
    }
    Ok(low.min(end))
}

/// At most [`POINTS_MAX`] points: the last vector as it is, and of each stretch of those before it the least and the greatest value of
/// each feature in the order in which they came, at the times of its first and its last vector. So no peak is lost, and a point
/// stands at most one stretch away from where it was.
fn thin(rows: &[Row], features: usize) -> (Vec<i64>, Vec<Vec<f32>>) {
    let mut values = vec![Vec::new(); features];
    let Some((last, before)) = rows.split_last() else { return (Vec::new(), values) };
    if rows.len() <= POINTS_MAX {
        for row in rows {
            row.values.iter().zip(&mut values).for_each(|(value, of)| of.push(*value));
        }
        return (rows.iter().map(|row| row.at_ms).collect(), values);
    }
    let stretches = (POINTS_MAX - 1) / 2;
    let mut at_ms = Vec::with_capacity(POINTS_MAX);
    for stretch in before.chunks(before.len().div_ceil(stretches)) {
        let (Some(begins), Some(ends)) = (stretch.first(), stretch.last()) else { continue };
        at_ms.extend([begins.at_ms, ends.at_ms]);
        for (feature, of) in values.iter_mut().enumerate() {
            of.extend(extremes(stretch, feature));
        }
    }
    at_ms.push(last.at_ms);
    last.values.iter().zip(&mut values).for_each(|(value, of)| of.push(*value));
    (at_ms, values)
}

#[cfg(test)]
mod tests;
