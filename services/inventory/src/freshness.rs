//! Up to when everything is in what buyers are shown.

use std::sync::Arc;

use stockade_fold::Progress;
use stockade_model::{Timestamp, Topic};

use crate::app::App;

/// Up to when everything is in the index, as of one millisecond.
pub struct Freshness {
    /// Up to when, by record time.
    pub as_of: Timestamp,
    /// The same, RFC 3339.
    pub as_of_text: Box<str>,
    /// How far behind the clock that is.
    pub staleness_ms: i64,
    /// When it was looked at, by the clock.
    at_ms: i64,
}

impl Freshness {
    pub(crate) fn new(as_of: Timestamp, staleness_ms: i64, at_ms: i64) -> Self {
        Self { as_of, as_of_text: as_of.to_string().into(), staleness_ms, at_ms }
    }
}

impl App {
    /// Until when everything is in the index, and how far behind the clock that is.
    pub fn freshness(&self) -> (Timestamp, i64) {
        let now = self.now();
        let elsewhere = self.replica.as_ref().map(|replica| Timestamp::from_ms(replica.as_of_ms(self)));
        if let Some(as_of) = self.shown_as_of().or(elsewhere) {
            let as_of = as_of.min(now);
            return (as_of, now.ms() - as_of.ms());
        }
        let mut as_of = now;
        for partition in 0..self.partitions {
            let progress: Progress = self.board.progress("inventory", partition);
            let horizon = self.log.horizon(Topic::SupplierEvents.name(), partition);
            let seen = if progress.next < horizon.end { progress.clock.ms() } else { horizon.heard_ms };
            as_of = as_of.min(Timestamp::from_ms(seen));
        }
        (as_of, (now.ms() - as_of.ms()).max(0))
    }

    /// The same, looked at once in a millisecond: whoever asks within it is told what the first was told.
    pub fn fresh(&self) -> Arc<Freshness> {
        let at_ms = (self.clock)();
        if let Some(fresh) = self.fresh.read().as_ref().filter(|fresh| fresh.at_ms == at_ms) {
            return fresh.clone();
        }
        let (as_of, staleness_ms) = self.freshness();
        let fresh = Arc::new(Freshness::new(as_of, staleness_ms, at_ms));
        *self.fresh.write() = Some(fresh.clone());
        fresh
    }
}
