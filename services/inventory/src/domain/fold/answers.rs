//! What became of each event is remembered for a day, by the identity of source and id.

use stockade_fold::Out;
use stockade_model::{EventAgain, Timestamp, hash, time::DAY_MS};

use super::{Effect, Inventory};
use crate::domain::answer::{AnswerRow, EventAnswer, EventCode, EventStatus};

/// How long it is remembered.
const ANSWERS_KEPT_MS: i64 = DAY_MS;
/// Answers remembered in one partition.
pub(super) const ANSWERS_MAX: usize = 50_000;

/// The identity of an event.
pub fn event_identity(source: &str, id: &str) -> u128 {
    hash::identity128(&[source, id])
}

impl Inventory {
    /// Remembers what became of an event and tells the process.
    pub(super) fn answer(
        &mut self,
        identity: u128,
        answer: EventAnswer,
        now: Timestamp,
        out: &mut Out<Effect>,
    ) {
        if let Some(known) = self.answers.insert(identity, AnswerRow { answer, at: now }) {
            self.answers_by_age.remove(&(known.at, identity));
        }
        self.answers_by_age.insert(&(now, identity));
        out.effect(Effect::Answered { identity, answer, news: true });
        let old = now.plus_ms(-ANSWERS_KEPT_MS);
        while let Some((at, oldest)) = self.answers_by_age.first() {
            if at > old && self.answers_by_age.len() <= ANSWERS_MAX {
                break;
            }
            self.answers_by_age.remove(&(at, oldest));
            self.answers.remove(&oldest);
            out.effect(Effect::AnswerForgotten(oldest));
        }
    }

    /// What an event waited for has come.
    pub(super) fn unpark(&mut self, identity: u128, now: Timestamp, out: &mut Out<Effect>) {
        let Some(row) = self.answers.get(&identity).filter(|row| row.answer.status == EventStatus::Parked)
        else {
            return;
        };
        let answer = EventAnswer { status: EventStatus::Applied, code: None, ..row.answer };
        self.answer(identity, answer, now, out);
    }

    /// An event came again under its identity.
    pub(super) fn again(&mut self, event: &EventAgain, now: Timestamp, out: &mut Out<Effect>) {
        let identity = event_identity(&event.source, event.id.as_str());
        let (status, code) = if event.differs {
            (EventStatus::Conflict, EventCode::IdReused)
        } else {
            (EventStatus::Duplicate, EventCode::RepeatedId)
        };
        let answer = match self.answers.get(&identity) {
            // A conflict is not made good by a repeat.
            Some(row) if row.answer.again == Some(EventCode::IdReused) => return,
            Some(row) => EventAnswer { again: Some(code), ..row.answer },
            // What became of the first is no longer remembered.
            None => EventAnswer { again: Some(code), ..EventAnswer::of(status, Some(code)) },
        };
        self.answer(identity, answer, now, out);
    }
}
