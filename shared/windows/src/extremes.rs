//! Smallest or largest value of any window of a measure, from one monotone queue.
//!
//! The queue holds, for the longest window, only events that no later event outdoes: times grow, values fall (for the
//! largest). The largest of a shorter window is the first element inside it. An arriving value removes a run of smaller
//! ones at the end; the run is found by binary search and cut off in one step, so no single event pays for many.

use std::collections::VecDeque;

/// A queue for the largest value; for the smallest, values are stored negated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Largest(VecDeque<Element>);

#[derive(Clone, Copy, Debug)]
struct Element {
    time_ms: i64,
    value: i64,
    /// Which event it was, to know it again when it is lost.
    seq: u32,
}

impl Largest {
    pub(crate) fn add(&mut self, time_ms: i64, seq: u32, value: i64) {
        let place = match self.0.back() {
            Some(last) if last.time_ms > time_ms => self.0.partition_point(|e| e.time_ms <= time_ms),
            _ => self.0.len(),
        };
        if self.0.get(place).is_some_and(|later| later.value >= value) {
            return;
        }
        let outdone = self.0.partition_point(|e| e.value > value).min(place);
        self.0.drain(outdone..place);
        self.0.insert(outdone, Element { time_ms, value, seq });
    }
    /// Forgets what lies at or before `begin_ms`.
    pub(crate) fn evict(&mut self, begin_ms: i64) {
        if self.0.front().is_some_and(|first| first.time_ms <= begin_ms) {
            let gone = self.0.partition_point(|e| e.time_ms <= begin_ms);
            self.0.drain(..gone);
        }
    }
    /// The oldest event of the log was lost.
    pub(crate) fn lose(&mut self, seq: u32) {
        if self.0.front().is_some_and(|first| first.seq == seq) {
            self.0.pop_front();
        }
    }
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Element>()
    }
    /// The largest value after `begin_ms`.
    pub(crate) fn after(&self, begin_ms: i64) -> Option<i64> {
        let first = self.0.partition_point(|e| e.time_ms <= begin_ms);
        self.0.get(first).map(|element| element.value)
    }
}
