//! When decisions reached the overlay of this process: the last ones, for whoever explains one of them.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use stockade_model::{Position, Timestamp};

/// Decisions of which it is known.
pub const APPLIED_KEPT: usize = 10_000;

/// The order of a decision, which is its own.
type Order = (u32, u64, u32);

#[derive(Default)]
struct Held {
    at: HashMap<Order, i64>,
    /// The oldest first.
    in_turn: VecDeque<Order>,
}

/// The last decisions with the moment in which buyers were shown what they say.
#[derive(Default)]
pub struct Applied(Mutex<Held>);

impl Applied {
    /// The overlay says what the decision of `version` decided, since `at_ms`, in milliseconds since 1970.
    pub(crate) fn note(&self, version: &Position, at_ms: i64) {
        let held = &mut *self.0.lock();
        if held.at.insert(version.order(), at_ms).is_some() {
            return;
        }
        held.in_turn.push_back(version.order());
        if held.in_turn.len() > APPLIED_KEPT
            && let Some(oldest) = held.in_turn.pop_front()
        {
            held.at.remove(&oldest);
        }
    }

    /// When it did; `None` where that was before the start of the process, or [`APPLIED_KEPT`] decisions ago.
    pub fn at(&self, version: &Position) -> Option<Timestamp> {
        self.0.lock().at.get(&version.order()).map(|at_ms| Timestamp::from_ms(*at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_decisions_are_known_and_older_ones_are_forgotten() {
        let applied = Applied::default();
        let version =
            |offset| Position { fold: "arbiter".to_owned(), partition: 0, generation: 1, offset, index: 1 };
        let last = APPLIED_KEPT as u64;
        (0..=last).for_each(|offset| applied.note(&version(offset), offset as i64));
        applied.note(&version(last), 7);
        assert_eq!(applied.at(&version(0)), None);
        assert_eq!(applied.at(&version(1)), Some(Timestamp::from_ms(1)));
        assert_eq!(applied.at(&version(last)), Some(Timestamp::from_ms(7)));
        let held = applied.0.lock();
        assert_eq!((held.at.len(), held.in_turn.len()), (APPLIED_KEPT, APPLIED_KEPT));
    }
}
