//! Exact sliding windows over one bounded event log, shared by all windows of one supplier.
//!
//! The log holds each event once, sorted by event time. Every window keeps a tail cursor into it and, per measure, the
//! count, the sum and the number of distinct parties of the events inside; an event is added once and evicted once per
//! window. A window of length `l` at time `now` holds the events with `now - l < time <= now`. All arithmetic is on
//! integers, so evicting undoes adding exactly.
//!
//! Late and out-of-order events are placed where they belong. When the log is full the oldest event goes, and every
//! window that would still hold it says so (`exact == false`) until it has moved past it.

use std::{collections::VecDeque, sync::Arc};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// One event of a supplier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Event time, milliseconds.
    pub time_ms: i64,
    /// What kind of event, 0 to 31.
    pub kind: u8,
    /// Properties a measure may require, one bit each.
    pub flags: u8,
    /// Who or what is counted as distinct: a hash of the buyer or listing; 0 is nobody.
    pub party: u64,
    /// What is summed, such as minor units.
    pub value: i64,
}

/// What is counted: events of some kinds that have all of some flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Kinds counted, one bit each.
    pub kinds: u32,
    /// Flags required, all of them.
    pub flags: u8,
}

impl Measure {
    fn counts(&self, entry: &Entry) -> bool {
        self.kinds & (1 << (entry.kind & 31)) != 0 && entry.flags & self.flags == self.flags
    }
}

/// The windows and measures of a fold; one plan serves all suppliers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Lengths in milliseconds.
    pub windows_ms: Vec<i64>,
    /// Measures; every measure is kept for every window.
    pub measures: Vec<Measure>,
    /// Events kept per supplier at most.
    pub entries_max: usize,
}

impl Plan {
    fn longest_ms(&self) -> i64 {
        self.windows_ms.iter().copied().max().unwrap_or(0)
    }
}

/// What a measure says about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Events.
    pub count: u64,
    /// Sum of their values.
    pub sum: i64,
    /// Distinct parties, nobody not counted.
    pub parties: u64,
    /// Whether no event was lost to the memory bound within this window.
    pub exact: bool,
}

/// What became of an inserted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It is in the log, and counts from its own time on.
    Placed,
    /// It is older than every window, or than what the full log still holds.
    TooOld,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    count: u64,
    sum: i64,
    parties: FxHashMap<u64, u32>,
}

impl Tally {
    fn add(&mut self, entry: &Entry) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(entry.value);
        if entry.party != 0 {
            *self.parties.entry(entry.party).or_insert(0) += 1;
        }
    }
    fn evict(&mut self, entry: &Entry) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(entry.value);
        if let Some(times) = self.parties.get_mut(&entry.party) {
            *times -= 1;
            if *times == 0 {
                self.parties.remove(&entry.party);
            }
        }
    }
}

/// The event log of one supplier and all windows over it.
#[derive(Clone, Debug)]
pub struct Windows {
    plan: Arc<Plan>,
    now_ms: i64,
    entries: VecDeque<Entry>,
    /// Entries before it have a time of at most `now_ms`; those from it on still lie ahead.
    head: usize,
    /// Per window, the first entry inside.
    tails: Vec<usize>,
    /// Per window and measure.
    tallies: Vec<Tally>,
    /// Time of the youngest event lost to the memory bound.
    lost_ms: i64,
}

/// What is stored of [`Windows`]; the rest is derived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    now_ms: i64,
    lost_ms: i64,
    entries: Vec<(i64, u8, u8, u64, i64)>,
}

impl Windows {
    /// Empty windows.
    pub fn new(plan: Arc<Plan>) -> Self {
        let windows = plan.windows_ms.len();
        let tallies = vec![Tally::default(); windows * plan.measures.len()];
        let (now_ms, lost_ms) = (i64::MIN / 4, i64::MIN / 2);
        Self { plan, now_ms, entries: VecDeque::new(), head: 0, tails: vec![0; windows], tallies, lost_ms }
    }

    /// Puts a snapshot back.
    pub fn restore(plan: Arc<Plan>, snapshot: Snapshot) -> Self {
        let mut windows = Self::new(plan);
        windows.lost_ms = snapshot.lost_ms;
        windows.entries = snapshot
            .entries
            .into_iter()
            .map(|(time_ms, kind, flags, party, value)| Entry { time_ms, kind, flags, party, value })
            .collect();
        windows.advance(snapshot.now_ms);
        windows
    }

    /// What must be stored.
    pub fn snapshot(&self) -> Snapshot {
        let entries = self.entries.iter().map(|e| (e.time_ms, e.kind, e.flags, e.party, e.value));
        Snapshot { now_ms: self.now_ms, lost_ms: self.lost_ms, entries: entries.collect() }
    }

    /// Moves all windows to end at `now_ms`; going back does nothing.
    pub fn advance(&mut self, now_ms: i64) {
        if now_ms <= self.now_ms {
            return;
        }
        self.now_ms = now_ms;
        while let Some(entry) = self.entries.get(self.head).filter(|entry| entry.time_ms <= now_ms).copied() {
            self.each_tally(&entry, None, Tally::add);
            self.head += 1;
        }
        for window in 0..self.tails.len() {
            let begin_ms = now_ms - self.plan.windows_ms[window];
            while self.tails[window] < self.head {
                let Some(entry) =
                    self.entries.get(self.tails[window]).filter(|e| e.time_ms <= begin_ms).copied()
                else {
                    break;
                };
                self.each_tally(&entry, Some(window), Tally::evict);
                self.tails[window] += 1;
            }
        }
        let expired = self.tails.iter().copied().min().unwrap_or(0);
        self.forget(expired);
    }

    /// Places an event; call [`Windows::advance`] first.
    pub fn insert(&mut self, entry: Entry) -> Placement {
        if entry.time_ms <= self.now_ms - self.plan.longest_ms() || entry.time_ms <= self.lost_ms {
            return Placement::TooOld;
        }
        // Nearly all events are the newest, so look from the back.
        let after = self.entries.iter().rev().take_while(|other| other.time_ms > entry.time_ms).count();
        let place = self.entries.len() - after;
        self.entries.insert(place, entry);
        if entry.time_ms <= self.now_ms {
            self.head += 1;
            for window in 0..self.tails.len() {
                if entry.time_ms <= self.now_ms - self.plan.windows_ms[window] {
                    self.tails[window] += 1;
                } else {
                    self.each_tally(&entry, Some(window), Tally::add);
                }
            }
        }
        while self.entries.len() > self.plan.entries_max {
            self.lose_oldest();
        }
        Placement::Placed
    }

    fn lose_oldest(&mut self) {
        let Some(oldest) = self.entries.front().copied() else { return };
        self.lost_ms = self.lost_ms.max(oldest.time_ms);
        if self.head > 0 {
            for window in 0..self.tails.len() {
                if self.tails[window] == 0 {
                    self.each_tally(&oldest, Some(window), Tally::evict);
                    self.tails[window] = 1;
                }
            }
            self.forget(1);
        } else {
            self.entries.pop_front();
        }
    }

    /// Drops the first `count` entries, which no window holds any more.
    fn forget(&mut self, count: usize) {
        self.entries.drain(..count);
        self.head -= count;
        self.tails.iter_mut().for_each(|tail| *tail -= count);
    }

    fn each_tally(&mut self, entry: &Entry, window: Option<usize>, change: fn(&mut Tally, &Entry)) {
        let measures = self.plan.measures.len();
        let windows = window.map_or(0..self.tails.len(), |window| window..window + 1);
        for window in windows {
            for (index, measure) in self.plan.measures.iter().enumerate() {
                if measure.counts(entry) {
                    change(&mut self.tallies[window * measures + index], entry);
                }
            }
        }
    }

    /// What measure number `measure` says about window number `window`.
    pub fn read(&self, measure: usize, window: usize) -> Reading {
        let tally = &self.tallies[window * self.plan.measures.len() + measure];
        Reading {
            count: tally.count,
            sum: tally.sum,
            parties: tally.parties.len() as u64,
            exact: self.lost_ms <= self.now_ms - self.plan.windows_ms[window],
        }
    }

    /// Events held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether none are held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// When the windows end.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
}

/// Lower bound of Wilson's score interval for a proportion of `hits` among `trials`, at `z` standard deviations.
///
/// E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927), eq. for the
/// lower limit. Few trials give a low bound: three of three is 0.44 at z = 1.96, thirty of thirty is 0.89. `None`
/// without trials: no evidence is not a rate of zero.
pub fn wilson_lower(hits: u64, trials: u64, z: f64) -> Option<f64> {
    if trials == 0 {
        return None;
    }
    let (n, p) = (trials as f64, (hits.min(trials)) as f64 / trials as f64);
    let z2 = z * z;
    let centre = p + z2 / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((centre - spread) / (1.0 + z2 / n)).max(0.0))
}

#[cfg(test)]
mod tests;
