//! What each buyer's key holds of each listing without having confirmed it, and what of its reservations has ended lately: the
//! bounds on both, so that nobody empties a shelf without buying, or fills the memory by reserving and giving back.

use std::collections::{BTreeSet, HashMap};

use stockade_model::{HoldBound, LineAct, LineRow, ListingId, ReservationId, Row, Timestamp};

use super::{Refusal, conflict};
use crate::domain::{key::Of, reservation::Reservation};

/// Code of the refusal of a hold with which a key would hold more of a listing than it may without confirming.
pub(crate) const TOO_MANY_UNITS_HELD: &str = "too_many_units_held";

/// Ended reservations of one key that each partition knows, for a day at most: the oldest go first. More than what one key can end within
/// the seconds in which somebody may still ask what became of one, and a few megabytes.
pub(super) const ENDED_MAX: usize = 10_000;
/// How many of them are forgotten at once where there are more: an earlier build knew no bound.
const FORGOTTEN_TOGETHER: usize = 2;

/// Whose key asks to hold something in a request, and in how many rows. All rows of one request are of one key.
pub(crate) fn holds(rows: &[Row]) -> Option<(String, usize)> {
    let mut owners = rows.iter().filter_map(|row| match row {
        Row::Hold { owner, .. } => owner.as_ref(),
        Row::Line(LineRow { owner, act: LineAct::Hold { .. }, .. }) => Some(owner),
        _ => None,
    });
    let first = owners.next()?.clone();
    Some((first, 1 + owners.count()))
}

/// Derived from the reservations.
#[derive(Default)]
pub(super) struct Holders {
    /// Units by listing and key, where there are any.
    units: HashMap<Of<ListingId>, HashMap<String, i64>>,
    /// Ended reservations by key, in the order in which they ended.
    ended: HashMap<String, BTreeSet<(Timestamp, Of<ReservationId>)>>,
}

impl Holders {
    /// Notes what a reservation is now, where it was `before`.
    pub(super) fn note(
        &mut self,
        key: &Of<ReservationId>,
        before: Option<&Reservation>,
        next: Option<&Reservation>,
    ) {
        for (row, is_now) in [(before, false), (next, true)] {
            let Some((row, owner)) = row.and_then(|row| Some((row, row.owner.as_ref()?))) else { continue };
            if row.held() != 0 {
                let of = Of::new(&key.supplier, &row.listing);
                self.add(&of, owner, if is_now { row.held() } else { -row.held() });
            }
            if row.is_free() {
                self.note_ended(owner, (row.since, key.clone()), is_now);
            }
        }
    }

    fn add(&mut self, of: &Of<ListingId>, owner: &str, units: i64) {
        let holders = self.units.entry(of.clone()).or_default();
        let sum = holders.entry(owner.to_owned()).or_default();
        *sum += units;
        if *sum == 0 {
            holders.remove(owner);
        }
        if holders.is_empty() {
            self.units.remove(of);
        }
    }

    fn note_ended(&mut self, owner: &str, entry: (Timestamp, Of<ReservationId>), is_now: bool) {
        if is_now {
            self.ended.entry(owner.to_owned()).or_default().insert(entry);
        } else if let Some(ended) = self.ended.get_mut(owner) {
            ended.remove(&entry);
            if ended.is_empty() {
                self.ended.remove(owner);
            }
        }
    }

    /// Ended reservations of a key that are to be forgotten now, the oldest first.
    pub(super) fn beyond_bound(&self, owner: &str) -> Vec<Of<ReservationId>> {
        let Some(ended) = self.ended.get(owner) else { return Vec::new() };
        let beyond = ended.len().saturating_sub(ENDED_MAX).min(FORGOTTEN_TOGETHER);
        ended.iter().take(beyond).map(|(_, key)| key.clone()).collect()
    }

    /// Whether a key may hold `quantity` more units of a listing that has `on_hand`.
    pub(super) fn may_hold(
        &self,
        of: &Of<ListingId>,
        owner: &str,
        (quantity, on_hand): (i64, i64),
        bound: HoldBound,
    ) -> Result<(), Refusal> {
        let held = self.units.get(of).and_then(|holders| holders.get(owner)).copied().unwrap_or_default();
        if held.saturating_add(quantity) <= bound.most(on_hand) {
            return Ok(());
        }
        // It names no listing: of a line that names a good nobody is told whom it might have come from.
        let HoldBound { percent, units } = bound;
        let detail = format!(
            "one key holds at most {percent} % of the units that a listing has, or {units} where that is more, without confirming; confirm or give back what you hold of it, or ask for fewer"
        );
        Err(conflict(TOO_MANY_UNITS_HELD, detail))
    }

    /// Whether nothing is known of anybody, for tests.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty() && self.ended.is_empty()
    }
}
