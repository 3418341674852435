//! The event log of one supplier and all windows over it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    Entity, Entry, Measure, Plan, Reading,
    chunk::{self, CHUNK_ENTRIES_MAX, ChunkError, Mark},
    distinct::Distinct,
    extremes::Largest,
    lost::Lost,
};

/// Gap between the ids of chunks that were appended one after the other; splitting halves it.
const CHUNK_ID_GAP: u64 = 1 << 32;

/// What became of an inserted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is in the log, and counts from its own time on.
    Placed,
    /// It is later than the plan allows, or older than what the full log still holds. It was counted as late.
    TooLate,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    entry: Entry,
    /// Measures that count it, one bit each.
    hits: u64,
    /// Distinguishes events of one time; not stored.
    seq: u32,
}

/// Squares wrap, so that even four events at the ends of the range leave no trace when they are evicted.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    count: u64,
    sum: i128,
    squares: i128,
}

impl Tally {
    fn add(&mut self, value: i64) {
        let value = i128::from(value);
        (self.count, self.sum, self.squares) =
            (self.count + 1, self.sum + value, self.squares.wrapping_add(value * value));
    }
    fn evict(&mut self, value: i64) {
        let value = i128::from(value);
        (self.count, self.sum, self.squares) =
            (self.count - 1, self.sum - value, self.squares.wrapping_sub(value * value));
    }
}

/// What a measure keeps beside its tallies.
#[derive(Clone, Debug, Default)]
struct Extra {
    distinct: Option<Distinct>,
    largest: Option<(Largest, Largest)>,
    /// Per entity, one tally per window; gone when all are empty.
    each: FxHashMap<u64, Vec<Tally>>,
    /// The longest window it is kept for.
    longest: usize,
}

/// Which measures a window keeps, one bit each, and where their tallies begin. Most measures are kept for one window or two,
/// and there is one of these for each supplier: what nobody asks for takes no room.
#[derive(Clone, Copy, Debug)]
struct Kept {
    measures: u64,
    first: usize,
}

impl Kept {
    /// Where the tally of a measure is that the window keeps.
    fn place(self, measure: usize) -> usize {
        self.first + rank(self.measures, measure)
    }
}

/// How many of a set come before `measure`.
fn rank(set: u64, measure: usize) -> usize {
    (set & ((1 << measure) - 1)).count_ones() as usize
}

/// All windows of one supplier.
#[derive(Clone, Debug)]
pub struct Windows {
    plan: Arc<Plan>,
    now_ms: i64,
    log: VecDeque<Slot>,
    /// Events before it have a time of at most `now_ms`; those from it on still lie ahead.
    head: usize,
    /// Per window, the first event inside.
    tails: Vec<usize>,
    /// Per window, what lies at or before it has been evicted.
    begins_ms: Vec<i64>,
    /// Of the measures that each window keeps, one window after the other.
    tallies: Box<[Tally]>,
    kept: Box<[Kept]>,
    /// Of the measures in `with_extra`.
    extras: Box<[Extra]>,
    with_extra: u64,
    lost: Lost,
    late: u64,
    seq: u32,
    marks: VecDeque<Mark>,
    dirty: BTreeSet<u64>,
    touched: u64,
}

/// What is stored beside the chunks; the rest is derived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    now_ms: i64,
    lost: Lost,
    late: u64,
    /// Sampling level of each measure that counts distinct parties.
    levels: Vec<u8>,
    /// Events that have left the first chunk.
    left: u32,
}

impl Head {
    /// The same for a log that is put back under another plan: what was counted per measure is left out.
    pub fn for_another_plan(mut self) -> Self {
        self.levels.clear();
        self.lost.forget_measures();
        self
    }
}

impl Windows {
    /// Empty windows.
    pub fn new(plan: Arc<Plan>) -> Self {
        let windows = plan.windows_ms.len();
        let mut tallies = 0;
        let kept = (0..windows).map(|window| {
            let keeps = plan.measures.iter().enumerate().filter(|(_, m)| m.windows & (1 << window) != 0);
            let kept =
                Kept { measures: keeps.fold(0, |bits, (measure, _)| bits | 1 << measure), first: tallies };
            tallies += kept.measures.count_ones() as usize;
            kept
        });
        let kept = kept.collect();
        let more =
            |measure: &Measure| measure.distinct || measure.extremes || measure.entity != Entity::Whole;
        let with_extra = plan.measures.iter().enumerate().filter(|(_, measure)| more(measure));
        let with_extra = with_extra.fold(0, |bits, (measure, _)| bits | 1 << measure);
        let extras = plan.measures.iter().filter(|measure| more(measure)).map(|measure| Extra {
            distinct: measure.distinct.then(|| Distinct::new(windows)),
            largest: measure.extremes.then(Default::default),
            each: FxHashMap::default(),
            longest: (32 - measure.windows.leading_zeros()).saturating_sub(1) as usize,
        });
        Self {
            kept,
            extras: extras.collect(),
            with_extra,
            now_ms: i64::MIN / 4,
            log: VecDeque::new(),
            head: 0,
            tails: vec![0; windows],
            begins_ms: vec![i64::MIN / 2; windows],
            tallies: vec![Tally::default(); tallies].into(),
            lost: Lost::default(),
            late: 0,
            seq: 0,
            marks: VecDeque::new(),
            dirty: BTreeSet::new(),
            touched: 0,
            plan,
        }
    }

    /// Puts a stored log back under the plan it was stored with; see [`Windows::replan`] for another one.
    pub fn restore(
        plan: Arc<Plan>,
        head: &Head,
        chunks: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<Self, ChunkError> {
        let mut windows = Self::new(plan);
        for (index, (id, bytes)) in chunks.iter().enumerate() {
            let (left_then, entries) = chunk::decode(bytes)?;
            let left = if index == 0 { head.left } else { left_then };
            let entries = entries.into_iter().skip(left.saturating_sub(left_then) as usize);
            let before = windows.log.len();
            windows.log.reserve_exact(entries.len());
            for entry in entries {
                let slot = windows.slot(entry);
                windows.log.push_back(slot);
            }
            windows.marks.push_back(Mark { id: *id, len: windows.log.len() - before, left });
        }
        windows.lost = head.lost.clone();
        windows.late = head.late;
        for (measure, level) in head.levels.iter().enumerate().take(windows.plan.measures.len()) {
            if let Some(distinct) = windows.extra_mut(measure).and_then(|extra| extra.distinct.as_mut()) {
                distinct.level = *level;
            }
        }
        windows.recount(head.now_ms);
        Ok(windows)
    }

    /// Whether a stored chunk decodes.
    pub fn check_chunk(bytes: &[u8]) -> Result<(), ChunkError> {
        chunk::decode(bytes).map(|_| ())
    }

    /// Fills empty windows that end at `now_ms` from the log.
    fn recount(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        self.head = self.log.partition_point(|slot| slot.entry.time_ms <= now_ms);
        for (window, length_ms) in self.plan.windows_ms.iter().enumerate() {
            let begin_ms = now_ms.saturating_sub(*length_ms);
            self.begins_ms[window] = begin_ms;
            self.tails[window] = self.log.partition_point(|slot| slot.entry.time_ms <= begin_ms);
        }
        for index in 0..self.head {
            let slot = self.log[index];
            self.add(&slot);
        }
    }

    /// The same log under another plan. Measures are counted from the events that are held; of what was lost before nothing
    /// is known, which readings state as their error until it has left their window.
    pub fn replan(&mut self, plan: Arc<Plan>) {
        let mut windows = Self::new(plan);
        for slot in std::mem::take(&mut self.log) {
            let slot = windows.slot(slot.entry);
            windows.log.push_back(slot);
        }
        windows.marks = std::mem::take(&mut self.marks);
        windows.dirty = std::mem::take(&mut self.dirty);
        windows.late = self.late;
        windows.lost = std::mem::take(&mut self.lost);
        windows.lost.forget_measures();
        windows.recount(self.now_ms);
        *self = windows;
    }

    /// What must be stored beside the chunks.
    pub fn head(&self) -> Head {
        let distinct = |measure| self.extra(measure).and_then(|extra| extra.distinct.as_ref());
        let level = |measure| distinct(measure).map_or(0, |distinct| distinct.level);
        Head {
            now_ms: self.now_ms,
            lost: self.lost.clone(),
            late: self.late,
            levels: (0..self.plan.measures.len()).map(level).collect(),
            left: self.marks.front().map_or(0, |mark| mark.left),
        }
    }

    /// Chunks that have changed or gone since the last call.
    pub fn take_changed_chunks(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    /// The stored form of a chunk; `None` when it is gone.
    pub fn chunk(&self, id: u64) -> Option<Vec<u8>> {
        let place = self.marks.partition_point(|mark| mark.id < id);
        let mark = self.marks.get(place).filter(|mark| mark.id == id)?;
        let first: usize = self.marks.iter().take(place).map(|mark| mark.len).sum();
        Some(chunk::encode(mark.left, self.log.range(first..first + mark.len).map(|slot| &slot.entry)))
    }

    fn extra(&self, measure: usize) -> Option<&Extra> {
        let has = self.with_extra & (1 << measure) != 0;
        has.then(|| &self.extras[rank(self.with_extra, measure)])
    }

    fn extra_mut(&mut self, measure: usize) -> Option<&mut Extra> {
        let has = self.with_extra & (1 << measure) != 0;
        has.then(|| &mut self.extras[rank(self.with_extra, measure)])
    }

    fn slot(&mut self, entry: Entry) -> Slot {
        let measures = self.plan.measures.iter().enumerate();
        let hits = measures.filter(|(_, m)| m.counts(&entry)).fold(0, |bits, (index, _)| bits | 1 << index);
        self.seq = self.seq.wrapping_add(1);
        Slot { entry, hits, seq: self.seq }
    }

    /// Moves all windows to end at `now_ms`; going back does nothing.
    pub fn advance(&mut self, now_ms: i64) {
        if now_ms <= self.now_ms {
            return;
        }
        while let Some(slot) = self.log.get(self.head).filter(|slot| slot.entry.time_ms <= now_ms).copied() {
            self.head += 1;
            self.add(&slot);
        }
        self.now_ms = now_ms;
        for window in 0..self.tails.len() {
            let begin_ms = now_ms.saturating_sub(self.plan.windows_ms[window]);
            while self.tails[window] < self.head {
                let slot = self.log[self.tails[window]];
                if slot.entry.time_ms > begin_ms {
                    break;
                }
                self.evict(&slot, window);
                self.tails[window] += 1;
            }
            self.begins_ms[window] = begin_ms;
        }
        for extra in &mut self.extras {
            if let Some((largest, smallest)) = &mut extra.largest {
                largest.evict(self.begins_ms[extra.longest]);
                smallest.evict(self.begins_ms[extra.longest]);
            }
        }
        let expired_ms = now_ms.saturating_sub(self.plan.retain_ms);
        let first = self.tails.iter().copied().min().unwrap_or(self.head);
        let mut expired = 0;
        while expired < first && self.log[expired].entry.time_ms <= expired_ms {
            expired += 1;
        }
        self.forget(expired);
        self.lost.evict(expired_ms);
    }

    /// Places an event; call [`Windows::advance`] first.
    pub fn insert(&mut self, entry: Entry) -> Placement {
        let bound_ms = self.now_ms.saturating_sub(self.plan.late_max_ms.min(self.plan.retain_ms));
        if entry.time_ms <= bound_ms || self.lost.until_ms().is_some_and(|lost| entry.time_ms <= lost) {
            self.late += 1;
            return Placement::TooLate;
        }
        // Nearly all events are the newest.
        let place = match self.log.back() {
            Some(last) if last.entry.time_ms > entry.time_ms => {
                self.log.partition_point(|slot| slot.entry.time_ms <= entry.time_ms)
            }
            _ => self.log.len(),
        };
        let slot = self.slot(entry);
        self.mark(place);
        if self.log.len() == self.log.capacity() {
            // Most of what is remembered of a partition is in these logs: twice the size would be half empty.
            self.log.reserve_exact(self.log.len() / 8 + 4);
        }
        self.log.insert(place, slot);
        if entry.time_ms <= self.now_ms {
            self.head += 1;
            for window in 0..self.tails.len() {
                self.tails[window] += usize::from(entry.time_ms <= self.begins_ms[window]);
            }
            self.add(&slot);
        }
        self.shrink_to(self.plan.entries_max);
        Placement::Placed
    }

    /// Gives the event that will stand at `place` to a chunk.
    fn mark(&mut self, place: usize) {
        if place == self.log.len() {
            if self.marks.back().is_none_or(|mark| mark.len + mark.left as usize >= CHUNK_ENTRIES_MAX) {
                let id = self.marks.back().map_or(CHUNK_ID_GAP, |mark| mark.id + CHUNK_ID_GAP);
                self.marks.push_back(Mark { id, len: 0, left: 0 });
            }
            if let Some(mark) = self.marks.back_mut() {
                mark.len += 1;
                self.dirty.insert(mark.id);
            }
            return;
        }
        let mut end = 0;
        let Some(index) = self.marks.iter().position(|mark| {
            end += mark.len;
            place < end
        }) else {
            return;
        };
        self.marks[index].len += 1;
        self.dirty.insert(self.marks[index].id);
        if self.marks[index].len > 2 * CHUNK_ENTRIES_MAX {
            let (id, len) = (self.marks[index].id, self.marks[index].len);
            let next = self.marks.get(index + 1).map_or(id + CHUNK_ID_GAP, |mark| mark.id);
            let half = Mark { id: id + (next - id) / 2, len: len / 2, left: 0 };
            // A gap of 2^32 halves 32 times, and each time takes more events than half a log holds.
            if half.id > id {
                self.dirty.insert(half.id);
                self.marks[index].len = len - half.len;
                self.marks.insert(index + 1, half);
            }
        }
    }

    /// Turns the oldest events into buckets until at most `most` are held.
    pub fn shrink_to(&mut self, most: usize) {
        while self.log.len() > most {
            self.lose_oldest();
        }
    }

    fn lose_oldest(&mut self) {
        let Some(oldest) = self.log.front().copied() else { return };
        let size = (self.plan.entries_max as u64 / 16).max(1);
        let measures = self.plan.measures.len();
        self.lost.add(oldest.entry.time_ms, oldest.entry.value, oldest.hits, measures, size);
        if self.head > 0 {
            for window in 0..self.tails.len() {
                if self.tails[window] == 0 {
                    self.evict(&oldest, window);
                    self.tails[window] = 1;
                }
            }
            for extra in &mut self.extras {
                if let Some((largest, smallest)) = &mut extra.largest {
                    largest.lose(oldest.seq);
                    smallest.lose(oldest.seq);
                }
            }
        }
        self.forget(1);
    }

    /// Drops the first `count` events, which no window holds any more.
    fn forget(&mut self, count: usize) {
        self.log.drain(..count);
        self.head = self.head.saturating_sub(count);
        self.tails.iter_mut().for_each(|tail| *tail = tail.saturating_sub(count));
        let mut left = count;
        while left > 0 {
            let Some(mark) = self.marks.front_mut() else { return };
            let here = left.min(mark.len);
            mark.len -= here;
            mark.left += here as u32;
            left -= here;
            if mark.len == 0 {
                self.dirty.insert(mark.id);
                self.marks.pop_front();
            }
        }
    }

    /// Adds an event that is not ahead to every window that has not evicted its time.
    fn add(&mut self, slot: &Slot) {
        let entry = &slot.entry;
        self.touched += 1;
        for (kept, begin_ms) in self.kept.iter().zip(&self.begins_ms) {
            if entry.time_ms > *begin_ms {
                for measure in bits(slot.hits & kept.measures) {
                    self.tallies[kept.place(measure)].add(entry.value);
                }
            }
        }
        for measure in bits(slot.hits & self.with_extra) {
            let extra = &mut self.extras[rank(self.with_extra, measure)];
            let spec = &self.plan.measures[measure];
            if entry.time_ms <= self.begins_ms[extra.longest] {
                continue;
            }
            if let Some(distinct) = &mut extra.distinct {
                let who = spec.distinct_of.of(entry);
                distinct.add(who, entry.time_ms, slot.seq, &self.begins_ms, self.plan.distinct_max);
            }
            if let Some((largest, smallest)) = &mut extra.largest {
                largest.add(entry.time_ms, slot.seq, entry.value);
                smallest.add(entry.time_ms, slot.seq, entry.value.saturating_neg());
            }
            if let Some(entity) = of(spec.entity, entry) {
                let windows = self.begins_ms.len();
                let tallies = extra.each.entry(entity).or_insert_with(|| vec![Tally::default(); windows]);
                for (window, begin_ms) in self.begins_ms.iter().enumerate() {
                    if spec.windows & (1 << window) != 0 && entry.time_ms > *begin_ms {
                        tallies[window].add(entry.value);
                    }
                }
            }
        }
    }

    fn evict(&mut self, slot: &Slot, window: usize) {
        let (entry, kept) = (&slot.entry, self.kept[window]);
        self.touched += 1;
        for measure in bits(slot.hits & kept.measures) {
            let tally = &mut self.tallies[kept.place(measure)];
            tally.evict(entry.value);
            if self.with_extra & (1 << measure) == 0 {
                continue;
            }
            let empty = tally.count == 0;
            let extra = &mut self.extras[rank(self.with_extra, measure)];
            let spec = &self.plan.measures[measure];
            if let Some(distinct) = &mut extra.distinct {
                distinct.evict(spec.distinct_of.of(entry), slot.seq, window, window == extra.longest);
                if empty && window == extra.longest {
                    distinct.level = 0;
                }
            }
            if let Some(entity) = of(spec.entity, entry)
                && let Some(tallies) = extra.each.get_mut(&entity)
            {
                tallies[window].evict(entry.value);
                if window == extra.longest && tallies[window].count == 0 {
                    extra.each.remove(&entity);
                }
            }
        }
    }

    /// What measure number `measure` says about window number `window`.
    pub fn read(&self, measure: usize, window: usize) -> Reading {
        let begin_ms = self.begins_ms[window];
        let lost = self.lost.read(measure, begin_ms);
        let kept = self.kept[window];
        let keeps = kept.measures & (1 << measure) != 0;
        let tally = if keeps { self.tallies[kept.place(measure)] } else { Tally::default() };
        let extra = self.extra(measure);
        let (largest, smallest) = match extra.and_then(|extra| extra.largest.as_ref()) {
            Some((largest, smallest)) => (largest.after(begin_ms), smallest.after(begin_ms)),
            None => (None, None),
        };
        let distinct = extra.and_then(|extra| extra.distinct.as_ref());
        Reading {
            count: tally.count + lost.count,
            sum: tally.sum + lost.sum,
            squares: tally.squares,
            parties: distinct.map_or(0, |distinct| distinct.count(window)),
            min: smallest.map(i64::saturating_neg),
            max: largest,
            error: lost.error,
            whole: self.lost.until_ms().is_none_or(|until_ms| until_ms <= begin_ms),
            sampled: distinct.is_some_and(|distinct| distinct.level > 0),
        }
    }

    /// Count and sum of a measure that is kept per entity, for one of them. What was lost is missing from it.
    pub fn read_each(&self, measure: usize, window: usize, entity: u64) -> Reading {
        let each = self.extra(measure).and_then(|extra| extra.each.get(&entity));
        let tally = each.map(|tallies| tallies[window]).unwrap_or_default();
        let whole = self.lost.until_ms().is_none_or(|until_ms| until_ms <= self.begins_ms[window]);
        Reading { count: tally.count, sum: tally.sum, squares: tally.squares, whole, ..Reading::default() }
    }

    /// Events held.
    pub fn len(&self) -> usize {
        self.log.len()
    }
    /// Whether none are held.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }
    /// When the windows end.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
    /// Time of the youngest event that a full log has lost.
    pub fn lost_until_ms(&self) -> Option<i64> {
        self.lost.until_ms()
    }
    /// Events that came too late to be placed, ever.
    pub fn late(&self) -> u64 {
        self.late
    }
    /// How often an event was added to or evicted from a window, ever in this process.
    pub fn touched(&self) -> u64 {
        self.touched
    }
    /// Bytes held in memory, about.
    pub fn bytes(&self) -> usize {
        let extra = |extra: &Extra| extra.bytes(self.tails.len());
        size_of::<Self>()
            + self.log.capacity() * size_of::<Slot>()
            + self.tallies.len() * size_of::<Tally>()
            + self.extras.iter().map(extra).sum::<usize>()
    }
}

impl Extra {
    fn bytes(&self, windows: usize) -> usize {
        let distinct = self.distinct.as_ref().map_or(0, Distinct::bytes);
        let largest =
            self.largest.as_ref().map_or(0, |(largest, smallest)| largest.bytes() + smallest.bytes());
        size_of::<Self>() + distinct + largest + self.each.capacity() * (33 + windows * size_of::<Tally>())
    }
}

/// The entity of `entry` that a measure is kept for; `None` when it is kept as a whole or the event has none.
fn of(entity: Entity, entry: &Entry) -> Option<u64> {
    let of = match entity {
        Entity::Whole => 0,
        Entity::Subject => entry.subject,
        Entity::Place => u64::from(entry.place),
    };
    (of != 0).then_some(of)
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        next
    })
}
