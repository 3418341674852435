//! Baskets that are had line by line and of which some lines name a good: where the offer that was chosen for a line is refused, another
//! one is chosen, up to [`TURNS_MAX`] in all.
//!
//! Attempts run at once and end anywhere, here as for any basket. Two things keep them from holding a line twice. The first choice for a
//! line and a turn that is written stands, so all attempts try the same offers in the same order. And a refusal is for good: the fold that
//! refused a line remembers it, so that no attempt holds there what another one has gone on from.

use std::collections::BTreeMap;

use stockade_model::{LineChoice, Timestamp};

use super::{
    basket::{Answers, BasketAsked, Course, LineAsked, Made, Making, Said, Sent},
    choice::TURNS_MAX,
};

/// What a line is refused as that is not to be had.
pub(crate) const NOT_AVAILABLE: &str = "not_available";

/// An attempt to make such a basket.
pub(crate) struct Turns {
    /// The lines as they were tried last.
    asked: BasketAsked,
    /// What was chosen so far, by whichever attempt.
    recorded: Vec<LineChoice>,
    turn: u8,
    making: Making,
    /// Whether something was held that was not before.
    changed: bool,
    /// What became of the lines, in the last of their turns.
    said: Answers,
}

impl Turns {
    /// Of the lines `only` the first turn is tried; `said` has why the others are not.
    pub(crate) fn new(
        asked: BasketAsked,
        recorded: Vec<LineChoice>,
        only: Vec<usize>,
        said: Answers,
    ) -> Self {
        let making = Making::new(asked.clone(), Some(only));
        Self { asked, recorded, turn: 0, making, changed: false, said }
    }

    /// Lines that another offer is to be chosen for, and in which turn of theirs: nothing at the end.
    pub(crate) fn open(&self) -> Option<(u8, Vec<usize>)> {
        let turn = self.turn + 1;
        if turn >= TURNS_MAX || self.is_doubtful() {
            return None;
        }
        let was_tried = |line: usize| {
            let mut recorded = self.recorded.iter();
            recorded.any(|it| usize::from(it.line) == line && it.turn == self.turn)
        };
        let refused = self.said.iter().filter(|(_, said)| said.code() == Some(NOT_AVAILABLE));
        let open: Vec<usize> = refused.map(|(line, _)| *line).filter(|line| was_tried(*line)).collect();
        (!open.is_empty()).then_some((turn, open))
    }

    /// Goes on with what was chosen for open lines; with nothing, that is the end.
    pub(crate) fn go_on(&mut self, recorded: Vec<LineChoice>, chosen: BTreeMap<usize, LineAsked>) {
        self.recorded = recorded;
        self.turn = if chosen.is_empty() { TURNS_MAX } else { self.turn + 1 };
        let only: Vec<usize> = chosen.keys().copied().collect();
        for (line, asked) in chosen {
            if let Some(place) = self.asked.lines.get_mut(line) {
                *place = Some(asked);
            }
        }
        self.making = Making::new(self.asked.clone(), Some(only));
    }

    fn is_doubtful(&self) -> bool {
        matches!(self.making.end(), Made::Doubtful | Made::Reused)
    }

    /// How it ended.
    pub(crate) fn end(&self) -> Made {
        match self.making.end() {
            doubtful @ (Made::Doubtful | Made::Reused) => doubtful,
            _ if self.said.values().any(Said::fine) => Made::Held { again: !self.changed },
            _ => Made::Refused,
        }
    }

    /// The lines as they were tried last, and what became of them.
    pub(crate) fn parts(self) -> (BasketAsked, Answers) {
        (self.asked, self.said)
    }
}

impl Course for Turns {
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent> {
        self.changed |= said.values().any(Said::applied);
        self.said.extend(said.iter().map(|(line, said)| (*line, said.clone())));
        self.making.next(now, said)
    }
}
