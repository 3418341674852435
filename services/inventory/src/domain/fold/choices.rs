//! What the service chose for lines of baskets that name a good. An attempt to make a basket may end anywhere and be repeated at another
//! replica, which sees other offers; so a choice is written before anything is held, and the first that is written stands. They lie in
//! the partition of the basket's name, which every attempt knows before any supplier is.

use stockade_fold::{Input, Out};
use stockade_model::{BasketChoice, LineChoice, ReservationId, Timestamp, time::DAY_MS};

use super::{Due, Effect, Inventory, Refusal, What, conflict};
use crate::domain::key::Of;

/// How long a choice is known, and that a line was refused for good: longer than a basket that was not confirmed can be heard of, an
/// hour and the day after it. Of one that was, every replica knows the lines.
const KEPT_MS: i64 = 2 * DAY_MS;

/// What was chosen for the lines of a basket.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Choices {
    /// One for each line and turn.
    lines: Vec<LineChoice>,
    /// Until when they are known.
    pub(super) until: Timestamp,
}

/// A line that is tried once was refused.
pub(super) fn passed() -> Refusal {
    conflict("not_available", "it was refused before, and another offer is tried")
}

impl Inventory {
    pub(super) fn choice(&mut self, input: &Input<'_>, choice: &BasketChoice, out: &mut Out<Effect>) {
        let until = input.time.plus_ms(KEPT_MS);
        let new = || Choices { lines: Vec::new(), until };
        let known = self.choices.edit_or(&choice.basket.to_string(), new);
        for wanted in &choice.lines {
            if !known.lines.iter().any(|it| (it.line, it.turn) == (wanted.line, wanted.turn)) {
                known.lines.push(wanted.clone());
            }
        }
        let (until, lines) = (known.until, known.lines.clone());
        self.due.insert(&Due::new(until, What::Choice(choice.basket.clone())));
        out.effect(Effect::Chosen { id: input.envelope.id.clone(), lines });
    }

    /// Whether a line that is tried once was refused.
    pub(super) fn is_passed(&self, key: &Of<ReservationId>) -> bool {
        self.passed.get(key).is_some()
    }

    /// Notes that a line that is tried once was refused.
    pub(super) fn pass(&mut self, key: &Of<ReservationId>, now: Timestamp) {
        let until = now.plus_ms(KEPT_MS);
        self.passed.insert(key.clone(), until);
        self.due.insert(&Due::new(until, What::Passed(key.clone())));
    }

    /// What is due of them after a start.
    pub(super) fn restore_choices(&mut self) {
        for (basket, choices) in self.choices.iter() {
            if let Ok(basket) = stockade_model::BasketId::of_record(basket) {
                self.due.insert(&Due::new(choices.until, What::Choice(basket)));
            }
        }
        for (key, until) in self.passed.iter() {
            self.due.insert(&Due::new(*until, What::Passed(key.clone())));
        }
    }
}
