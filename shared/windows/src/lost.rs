//! What a full log has lost: buckets of counts that get coarser with age.
//!
//! An exponential histogram (Datar, Gionis, Indyk, Motwani, "Maintaining Stream Statistics over Sliding Windows", SIAM J.
//! Computing 31, 2002): events that leave the log fill a bucket of a sixteenth of the log; of each size at most four buckets
//! stand, then the two oldest merge into one of twice the size. Of the bucket that a window cuts through, half is counted;
//! the other half is the stated error.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

const SAME_SIZE_MAX: usize = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    from_ms: i64,
    until_ms: i64,
    events: u64,
    /// Count and sum per measure; empty when the measures have changed since, for then nothing is known of the new ones.
    hits: Vec<(u64, i64)>,
}

/// The buckets, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lost(VecDeque<Bucket>);

/// What buckets say about a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LostReading {
    pub(crate) count: u64,
    pub(crate) sum: i128,
    pub(crate) error: u64,
}

impl Lost {
    pub(crate) fn add(&mut self, time_ms: i64, value: i64, hits: u64, measures: usize, size: u64) {
        let fits = |bucket: &Bucket| bucket.events < size && bucket.hits.len() == measures;
        if !self.0.back().is_some_and(fits) {
            let hits = vec![(0, 0); measures];
            self.0.push_back(Bucket { from_ms: time_ms, until_ms: time_ms, events: 0, hits });
            self.merge(size);
        }
        let Some(bucket) = self.0.back_mut() else { return };
        bucket.until_ms = bucket.until_ms.max(time_ms);
        bucket.events += 1;
        for (_, hit) in bucket.hits.iter_mut().enumerate().filter(|(measure, _)| hits & (1 << measure) != 0) {
            hit.0 += 1;
            hit.1 = hit.1.saturating_add(value);
        }
    }

    fn merge(&mut self, size: u64) {
        let mut class = size;
        loop {
            let of_class = |bucket: &Bucket| (class..2 * class).contains(&bucket.events);
            let same: Vec<usize> = (0..self.0.len()).filter(|index| of_class(&self.0[*index])).collect();
            if same.len() <= SAME_SIZE_MAX {
                return;
            }
            let Some(older) = self.0.remove(same[0]) else { return };
            let newer = &mut self.0[same[0]];
            newer.from_ms = older.from_ms;
            newer.events += older.events;
            if newer.hits.len() != older.hits.len() {
                newer.hits.clear();
            }
            for (hit, more) in newer.hits.iter_mut().zip(older.hits) {
                hit.0 += more.0;
                hit.1 = hit.1.saturating_add(more.1);
            }
            class *= 2;
        }
    }

    /// Forgets buckets that ended at or before `begin_ms`.
    pub(crate) fn evict(&mut self, begin_ms: i64) {
        while self.0.front().is_some_and(|bucket| bucket.until_ms <= begin_ms) {
            self.0.pop_front();
        }
    }

    /// Time of the youngest lost event.
    pub(crate) fn until_ms(&self) -> Option<i64> {
        self.0.back().map(|bucket| bucket.until_ms)
    }

    pub(crate) fn read(&self, measure: usize, begin_ms: i64) -> LostReading {
        let mut reading = LostReading::default();
        for bucket in self.0.iter().rev().take_while(|bucket| bucket.until_ms > begin_ms) {
            let Some((count, sum)) = bucket.hits.get(measure).copied() else {
                reading.error += bucket.events;
                continue;
            };
            if bucket.from_ms > begin_ms {
                reading.count += count;
                reading.sum += i128::from(sum);
            } else {
                reading.count += count / 2;
                reading.sum += i128::from(sum / 2);
                reading.error += count.div_ceil(2);
            }
        }
        reading
    }

    /// A changed plan has other measures: what was counted for the old ones says nothing about them, and any of the lost
    /// events may be theirs.
    pub(crate) fn forget_measures(&mut self) {
        self.0.iter_mut().for_each(|bucket| bucket.hits.clear());
    }
}
