//! Distinct parties of all windows of a measure, from the latest occurrence of each.
//!
//! A party is inside a window as long as its latest occurrence is. So one map from party to latest occurrence, for the
//! longest window, serves all of them, with one counter each: an occurrence adds to the windows that the former latest one
//! had left, and evicting the latest one takes from the window that evicts it.
//!
//! Up to `most` parties the counters are exact. Beyond, only parties whose mixed hash ends in `level` zero bits are kept,
//! and a counter stands for `2^level` parties each (adaptive sampling: P. Flajolet, "On adaptive sampling", Computing 43,
//! 1990; standard error about 1.2 / sqrt(`most`)). Being a choice by party, sampling commutes with eviction and with late
//! events. Exactness returns when the
//! longest window has been empty once.

use rustc_hash::FxHashMap;

#[derive(Clone, Debug, Default)]
pub(crate) struct Distinct {
    latest: FxHashMap<u64, (i64, u32)>,
    /// Parties are kept whose mixed hash ends in this many zero bits.
    pub(crate) level: u8,
    counts: Vec<u64>,
}

impl Distinct {
    pub(crate) fn new(windows: usize) -> Self {
        Self { latest: FxHashMap::default(), level: 0, counts: vec![0; windows] }
    }

    fn sampled(&self, party: u64) -> bool {
        // Parties may not be evenly spread in their low bits; the constant is 2^64 divided by the golden ratio.
        let mixed = party.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 32)).trailing_zeros() >= u32::from(self.level)
    }

    /// Adds an occurrence at `time_ms`. `begins_ms`: where each window begins.
    pub(crate) fn add(&mut self, party: u64, time_ms: i64, seq: u32, begins_ms: &[i64], most: usize) {
        if party == 0 || !self.sampled(party) {
            return;
        }
        let before = match self.latest.get_mut(&party) {
            // An earlier occurrence of a party that is known later: every window that holds this one holds that one.
            Some(latest) if latest.0 > time_ms => return,
            Some(latest) => std::mem::replace(latest, (time_ms, seq)).0,
            None => {
                self.latest.insert(party, (time_ms, seq));
                i64::MIN
            }
        };
        for (count, begin_ms) in self.counts.iter_mut().zip(begins_ms) {
            *count += u64::from(time_ms > *begin_ms && before <= *begin_ms);
        }
        while self.latest.len() > most {
            self.level += 1;
            let mut latest = std::mem::take(&mut self.latest);
            latest.retain(|party, _| self.sampled(*party));
            for (count, begin_ms) in self.counts.iter_mut().zip(begins_ms) {
                *count = latest.values().filter(|(at, _)| at > begin_ms).count() as u64;
            }
            self.latest = latest;
        }
    }

    /// Window number `window` evicts event `seq`; `last` when no longer window of the measure holds it.
    pub(crate) fn evict(&mut self, party: u64, seq: u32, window: usize, last: bool) {
        if self.latest.get(&party).is_none_or(|latest| latest.1 != seq) {
            return;
        }
        self.counts[window] -= 1;
        if last {
            self.latest.remove(&party);
        }
    }

    /// Bytes held in memory, about: a table's buckets and their control bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.latest.capacity() * 33 + self.counts.capacity() * 8
    }

    pub(crate) fn count(&self, window: usize) -> u64 {
        self.counts[window] << self.level
    }
}
