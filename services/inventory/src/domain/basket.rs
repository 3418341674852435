//! Baskets: reservations over several lines and suppliers, made, confirmed and given back by one request each.
//!
//! Every line is a reservation in its own supplier's partition, and no fold sees another partition. So what is done to a basket is
//! a *course*: rows that go out all at once, what became of them, the next rows. A course may end anywhere, with its process,
//! and several may run at once, for callers repeat what was not answered. Of a basket that is to be had **as a whole or not at all**:
//!
//! ```text
//! make     hold the head --held--> hold the rest --all held--> keep the rest --all kept--> keep the head
//!                                            \--one refused--> release what this attempt holds
//! confirm  keep the rest for a day --all kept--> confirm the head --> confirm the rest
//!                             \--one is over--> release the head --> release the rest
//! release  release the head --> release the rest
//! ```
//! The head is line 0. What its fold said of it is what holds of the basket: kept, the basket is held; confirmed, it is
//! confirmed; released or lapsed, it is over. Until the head is kept nobody was promised anything and its hold is tentative, so
//! it lapses by itself within [`TENTATIVE_MS`]. Whoever finds lines that do not follow their head any more ([`Finish`]) brings them after it.
//!
//! The offset at which an attempt held the head is its *epoch*, a fencing token: it goes into all its rows. A line belongs to the
//! largest epoch that held it, and rows of a smaller one do nothing any more. Nobody gets an epoch once the head is kept. So an
//! attempt that gives up takes nothing from one that succeeds, whatever of it still comes late.
//!
//! Lines that are had **one by one** are held, confirmed and released each by itself, in one step. Where the service chose the listing of
//! such a line and it is refused, the next offer is tried (`domain::choice`), and the refusal is for good.

use std::collections::BTreeMap;

use stockade_model::{
    BasketId, HoldBound, LineAct, LineRow, ListingId, Region, ReservationId, Row, SupplierId, Timestamp,
    time::{DAY_MS, SECOND_MS},
};

use super::reservation::{InBasket, Reservation, ReservationState};

/// How long lines of a basket are held that nobody was promised yet: longer than any request waits, in all of its steps.
pub(crate) const TENTATIVE_MS: i64 = 30 * SECOND_MS;
/// How long the other lines are held while the head is being confirmed: longer than all processes are away at once.
pub(crate) const PREPARED_MS: i64 = DAY_MS;

/// A line as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct LineAsked {
    pub(crate) supplier: SupplierId,
    pub(crate) reservation: ReservationId,
    pub(crate) listing: ListingId,
    pub(crate) quantity: i64,
    pub(crate) region: Option<Region>,
    /// Whether the service chose the listing and would choose another one: then the line is tried once, and a refusal is for good.
    pub(crate) once: bool,
    /// Whether it is to be refused, unless it is held already: buyers may not see the offer any more.
    pub(crate) pass: bool,
}

/// A basket as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct BasketAsked {
    pub(crate) basket: BasketId,
    /// Name of the key that asks.
    pub(crate) owner: String,
    /// Hash of all that is asked for.
    pub(crate) request: String,
    /// Whether it is to be had as a whole or not at all.
    pub(crate) whole: bool,
    /// How long it is held, in milliseconds.
    pub(crate) hold_ms: i64,
    pub(crate) bound: Option<HoldBound>,
    /// By their places; none of a good that nobody offers.
    pub(crate) lines: Vec<Option<LineAsked>>,
}

/// A line as it is known.
#[derive(Clone, Debug)]
pub(crate) struct LineKnown {
    pub(crate) reservation: ReservationId,
    pub(crate) supplier: SupplierId,
    pub(crate) row: Reservation,
    pub(crate) place: InBasket,
}

impl LineKnown {
    fn is(&self, state: ReservationState) -> bool {
        self.row.state == state
    }
}

/// A row to be sent, of the line at `line`.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) line: usize,
    pub(crate) supplier: SupplierId,
    pub(crate) row: Row,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It was done, by the record at this offset.
    Applied(u64),
    /// It was so already.
    Replayed,
    /// It was refused: code and detail.
    Refused(String, String),
    /// Nobody knows: it was not decided in time, or may not have been written.
    Unknown,
}

impl Said {
    pub(crate) fn fine(&self) -> bool {
        matches!(self, Self::Applied(_) | Self::Replayed)
    }
    fn is_reuse(&self) -> bool {
        self.code() == Some("reservation_exists")
    }
    fn is_taken_over(&self) -> bool {
        self.code() == Some("basket_taken_over")
    }
    pub(crate) fn applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(code, _) => Some(code),
            _ => None,
        }
    }
}

/// What became of the rows that were sent last, by line.
pub(crate) type Answers = BTreeMap<usize, Said>;

/// Something that is done to a basket, step by step.
pub(crate) trait Course {
    /// Rows to be sent next, all at once, once it is known what became of those before; none when it is at its end.
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent>;
}

fn row(reservation: &ReservationId, owner: &str, epoch: Option<u64>, act: LineAct) -> Row {
    Row::Line(LineRow { reservation: reservation.clone(), owner: owner.to_owned(), epoch, act })
}

/// Where a basket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasketState {
    /// It is being made; nothing was promised yet.
    Pending,
    /// Units are kept until it expires.
    Held,
    /// The buyer took it.
    Confirmed,
    /// Its lines have become orders.
    Ordered,
    /// The orders that it has become were cancelled.
    Cancelled,
    /// It was given back.
    Released,
    /// Its time was over.
    Lapsed,
    /// Its lines stand differently.
    Mixed,
}

/// Where a basket is, by its lines, of which there is at least one.
pub(crate) fn state(lines: &[LineKnown]) -> BasketState {
    let own = |line: &LineKnown| match line.row.state {
        ReservationState::Held if line.place.whole && !line.place.kept => BasketState::Pending,
        ReservationState::Held => BasketState::Held,
        ReservationState::Confirmed => BasketState::Confirmed,
        ReservationState::Ordered => BasketState::Ordered,
        ReservationState::Cancelled => BasketState::Cancelled,
        ReservationState::Released => BasketState::Released,
        ReservationState::Lapsed => BasketState::Lapsed,
    };
    let Some(first) = lines.first() else { return BasketState::Pending };
    let (head, is_head) = (own(first), first.place.whole && first.place.line == 0);
    let all_known = lines.len() == usize::from(first.place.lines);
    let over = |state: &BasketState| matches!(state, BasketState::Released | BasketState::Lapsed);
    if first.place.whole && !(is_head && all_known) {
        // Lines that this replica has not heard of yet, or not any more.
        return if lines.iter().map(own).all(|state| over(&state)) { head } else { BasketState::Pending };
    }
    if is_head && matches!(head, BasketState::Pending | BasketState::Released | BasketState::Lapsed) {
        return head;
    }
    if is_head && head == BasketState::Held {
        // What lacks a line is no basket any more: the head is about to follow.
        return lines.iter().map(own).find(over).unwrap_or(head);
    }
    let follows = |state: BasketState| state == head || (is_head && state == BasketState::Held);
    if lines.iter().map(own).all(follows) { head } else { BasketState::Mixed }
}

/// How an attempt to make a basket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is held, or what could be had of it one by one; whether it was before.
    Held { again: bool },
    /// It is not to be had.
    Refused,
    /// The key of the request was used for something else.
    Reused,
    /// Nobody knows; ask again.
    Doubtful,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    Head,
    Hold,
    Keep,
    Commit,
    Undo(Made),
    Over(Made),
}

/// An attempt to make a basket.
pub(crate) struct Making {
    asked: BasketAsked,
    epoch: Option<u64>,
    phase: Phase,
    /// Lines to hold, where not all: of those that are had one by one, what was given back is not taken again by a retry.
    only: Option<Vec<usize>>,
    /// What became of the holds.
    pub(crate) holds: Answers,
}

impl Making {
    pub(crate) fn new(asked: BasketAsked, only: Option<Vec<usize>>) -> Self {
        Self { asked, epoch: None, phase: Phase::Begin, only, holds: Answers::new() }
    }

    /// How it ended.
    pub(crate) fn end(&self) -> Made {
        match self.phase {
            Phase::Over(made) => made,
            _ => Made::Doubtful,
        }
    }

    fn each(
        &self,
        lines: impl IntoIterator<Item = usize>,
        act: impl Fn(usize, &LineAsked) -> LineAct,
    ) -> Vec<Sent> {
        let sent = |line: usize| {
            let asked = self.asked.lines.get(line)?.as_ref()?;
            let row = row(&asked.reservation, &self.asked.owner, self.epoch, act(line, asked));
            Some(Sent { line, supplier: asked.supplier.clone(), row })
        };
        lines.into_iter().filter_map(sent).collect()
    }

    fn hold(&self, now: Timestamp, lines: impl IntoIterator<Item = usize>) -> Vec<Sent> {
        let BasketAsked { basket, request, whole, hold_ms, lines: all, .. } = &self.asked;
        let expires_at = now.plus_ms(if *whole { TENTATIVE_MS } else { *hold_ms });
        let count = u16::try_from(all.len()).unwrap_or(u16::MAX);
        self.each(lines, |line, asked| match asked.pass {
            true => LineAct::Pass,
            false => LineAct::Hold {
                listing: asked.listing.clone(),
                quantity: asked.quantity,
                expires_at,
                region: asked.region,
                request: request.clone(),
                basket: basket.clone(),
                line: u16::try_from(line).unwrap_or(u16::MAX),
                lines: count,
                whole: *whole,
                once: asked.once,
                bound: self.asked.bound,
            },
        })
    }

    /// Gives back what is this attempt's; what has become another's stays.
    fn undo(&mut self, made: Made) -> Vec<Sent> {
        self.phase = Phase::Undo(made);
        let mine = |said: &Said| matches!(said, Said::Applied(_) | Said::Unknown);
        let held: Vec<usize> =
            self.holds.iter().filter(|(_, said)| mine(said)).map(|(line, _)| *line).collect();
        // Without an epoch nothing was held, as far as anybody knows.
        if self.epoch.is_none() || held.is_empty() {
            return self.over(made);
        }
        self.each(held, |_, _| LineAct::Release)
    }

    fn over(&mut self, made: Made) -> Vec<Sent> {
        self.phase = Phase::Over(made);
        Vec::new()
    }

    fn begin(&mut self, now: Timestamp) -> Vec<Sent> {
        let all = self.asked.lines.len();
        self.phase = if self.asked.whole { Phase::Head } else { Phase::Hold };
        let rows = match self.only.clone() {
            _ if self.asked.whole => self.hold(now, 0..1),
            Some(only) => self.hold(now, only),
            None => self.hold(now, 0..all),
        };
        if rows.is_empty() { self.held_one_by_one() } else { rows }
    }

    fn held_one_by_one(&mut self) -> Vec<Sent> {
        let any = |is: fn(&Said) -> bool| self.holds.values().any(is);
        // What stands already is asked for again, and answers so.
        let stands = any(Said::fine);
        let made = match () {
            () if any(|said| *said == Said::Unknown) => Made::Doubtful,
            () if any(Said::is_reuse) => Made::Reused,
            () if stands => Made::Held { again: !any(Said::applied) },
            () => Made::Refused,
        };
        self.over(made)
    }

    fn head_held(&mut self, now: Timestamp) -> Vec<Sent> {
        match self.holds.get(&0) {
            Some(Said::Applied(at)) => self.epoch = Some(*at),
            // The head is kept already: another attempt has made it.
            Some(Said::Replayed) => return self.over(Made::Held { again: true }),
            Some(said) if said.is_reuse() => return self.over(Made::Reused),
            Some(Said::Refused(..)) => return self.over(Made::Refused),
            Some(Said::Unknown) | None => return self.over(Made::Doubtful),
        }
        self.phase = Phase::Hold;
        let rest = self.hold(now, 1..self.asked.lines.len());
        if rest.is_empty() { self.commit(now) } else { rest }
    }

    fn held(&mut self, now: Timestamp) -> Vec<Sent> {
        let any = |is: fn(&Said) -> bool| self.holds.values().any(is);
        let made = match () {
            () if any(Said::is_reuse) => Made::Reused,
            () if any(Said::is_taken_over) => Made::Doubtful,
            () if any(|said| said.code().is_some()) => Made::Refused,
            () if any(|said| *said == Said::Unknown) => Made::Doubtful,
            () => {
                self.phase = Phase::Keep;
                // For longer than the head, which is kept a moment later, so that none of them lapses before it.
                let expires_at = now.plus_ms(self.asked.hold_ms + SECOND_MS);
                return self.each(1..self.asked.lines.len(), |_, _| LineAct::Keep { expires_at });
            }
        };
        self.undo(made)
    }

    fn commit(&mut self, now: Timestamp) -> Vec<Sent> {
        self.phase = Phase::Commit;
        let expires_at = now.plus_ms(self.asked.hold_ms);
        self.each(0..1, |_, _| LineAct::Keep { expires_at })
    }

    fn committed(&mut self, said: &Answers) -> Vec<Sent> {
        match said.get(&0) {
            Some(said) if said.fine() => self.over(Made::Held { again: false }),
            Some(Said::Refused(..)) => self.undo(Made::Doubtful),
            // It may be held now.
            _ => self.over(Made::Doubtful),
        }
    }
}

impl Course for Making {
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent> {
        if matches!(self.phase, Phase::Head | Phase::Hold) {
            self.holds.extend(said.iter().map(|(line, said)| (*line, said.clone())));
        }
        match self.phase {
            Phase::Begin => self.begin(now),
            Phase::Head => self.head_held(now),
            Phase::Hold if self.asked.whole => self.held(now),
            Phase::Hold => self.held_one_by_one(),
            Phase::Keep if said.values().all(Said::fine) => self.commit(now),
            Phase::Keep => self.undo(Made::Doubtful),
            Phase::Commit => self.committed(said),
            Phase::Undo(made) => self.over(made),
            Phase::Over(_) => Vec::new(),
        }
    }
}

/// How it ended to confirm a basket or to give it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is so; whether it was before.
    Done { again: bool },
    /// It cannot be, for this reason: a code. Of a whole basket nothing is held any more, or it was confirmed.
    Refused(String),
    /// Nobody knows; ask again.
    Doubtful,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begin,
    Prepare,
    Head,
    Rest,
    OneByOne,
    UndoHead,
    UndoRest,
    Over,
}

/// What is wanted of a basket that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Take it.
    Confirm,
    /// Give it back.
    Release,
}

/// Confirms a basket, or gives it back.
pub(crate) struct Turning {
    lines: Vec<LineKnown>,
    owner: String,
    wish: Wish,
    turn: Turn,
    /// Whether nothing was as it should be before.
    changed: bool,
    refused: Option<String>,
    end: Ended,
    /// What became of each line.
    pub(crate) said: Answers,
}

impl Turning {
    /// Of lines in order of their places, of which a whole basket has all.
    pub(crate) fn new(lines: Vec<LineKnown>, owner: String, wish: Wish) -> Self {
        let (turn, end) = (Turn::Begin, Ended::Doubtful);
        Self { lines, owner, wish, turn, changed: false, refused: None, end, said: Answers::new() }
    }

    /// How it ended.
    pub(crate) fn end(&self) -> &Ended {
        &self.end
    }

    fn each(&self, rest: bool, act: impl Fn(&LineKnown) -> (u64, LineAct)) -> Vec<Sent> {
        let lines = self.lines.iter().enumerate().filter(|(at, _)| (*at > 0) == rest);
        let sent = |(line, known): (usize, &LineKnown)| {
            let (epoch, act) = act(known);
            let row = row(&known.reservation, &self.owner, Some(epoch), act);
            Sent { line, supplier: known.supplier.clone(), row }
        };
        lines.map(sent).collect()
    }

    fn go(&mut self, turn: Turn, now: Timestamp) -> Vec<Sent> {
        self.turn = turn;
        // The attempt that the head belongs to, and with it the basket.
        let of_head = self.lines.first().map_or(0, |head| head.place.epoch);
        let confirm = self.wish == Wish::Confirm;
        let rows = match turn {
            Turn::Prepare => {
                let expires_at = now.plus_ms(PREPARED_MS);
                self.each(true, |_| (of_head, LineAct::Keep { expires_at }))
            }
            Turn::Head | Turn::Rest if confirm => {
                self.each(turn == Turn::Rest, |_| (of_head, LineAct::Confirm))
            }
            Turn::Head | Turn::UndoHead => self.each(false, |line| (line.place.epoch, LineAct::Release)),
            Turn::Rest | Turn::UndoRest => self.each(true, |line| (line.place.epoch, LineAct::Release)),
            Turn::Begin | Turn::OneByOne | Turn::Over => Vec::new(),
        };
        // A basket of one line has no rest.
        if rows.is_empty() { self.next(now, &Answers::new()) } else { rows }
    }

    fn one_by_one(&mut self) -> Vec<Sent> {
        self.turn = Turn::OneByOne;
        let sent = |known: &LineKnown| {
            let (reservation, owner) = (known.reservation.clone(), Some(self.owner.clone()));
            let row = match self.wish {
                Wish::Confirm => Row::Confirm { reservation, owner },
                Wish::Release => Row::ReleaseHold { reservation, owner },
            };
            // By its place: of a basket that is had line by line some may be missing.
            Sent { line: usize::from(known.place.line), supplier: known.supplier.clone(), row }
        };
        self.lines.iter().map(sent).collect()
    }

    fn over(&mut self, end: Ended) -> Vec<Sent> {
        (self.turn, self.end) = (Turn::Over, end);
        Vec::new()
    }

    /// It cannot be confirmed any more, so that nothing of it is kept.
    fn give_up(&mut self, now: Timestamp, code: &str) -> Vec<Sent> {
        self.refused = Some(code.to_owned());
        self.go(Turn::UndoHead, now)
    }

    fn ended_one_by_one(&mut self) -> Vec<Sent> {
        let unknown = self.said.values().any(|said| *said == Said::Unknown);
        let refused = self.said.values().find_map(|said| said.code().map(str::to_owned));
        let none = !self.said.values().any(Said::fine);
        self.over(match refused {
            _ if unknown => Ended::Doubtful,
            Some(code) if none || self.wish == Wish::Release => Ended::Refused(code),
            _ => Ended::Done { again: !self.changed },
        })
    }
}

impl Course for Turning {
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent> {
        self.changed |= !matches!(self.turn, Turn::Prepare) && said.values().any(Said::applied);
        if !matches!(self.turn, Turn::Prepare | Turn::UndoHead | Turn::UndoRest) {
            self.said.extend(said.iter().map(|(line, said)| (*line, said.clone())));
        }
        let unknown = said.values().any(|said| *said == Said::Unknown);
        let refused = said.values().find_map(|said| said.code().map(str::to_owned));
        match self.turn {
            Turn::Begin => match self.lines.first() {
                Some(head) if !head.place.whole => self.one_by_one(),
                // Once the head is confirmed there is nothing to prepare, and what was promised stands whatever has become of the
                // head since.
                Some(head) if self.wish == Wish::Confirm && head.row.confirmed => self.go(Turn::Rest, now),
                Some(_) if self.wish == Wish::Confirm => self.go(Turn::Prepare, now),
                _ => self.go(Turn::Head, now),
            },
            Turn::OneByOne => self.ended_one_by_one(),
            Turn::Prepare => match refused {
                Some(code) if code == "basket_taken_over" => self.over(Ended::Doubtful),
                Some(code) => self.give_up(now, &code),
                None if unknown => self.over(Ended::Doubtful),
                None => self.go(Turn::Head, now),
            },
            Turn::Head => match refused {
                Some(code) if matches!(code.as_str(), "basket_taken_over" | "basket_pending") => {
                    self.over(Ended::Doubtful)
                }
                Some(code) if self.wish == Wish::Release => self.over(Ended::Refused(code)),
                Some(code) => self.give_up(now, &code),
                None if unknown => self.over(Ended::Doubtful),
                None => self.go(Turn::Rest, now),
            },
            Turn::Rest => match refused {
                // An order took the head before the basket was confirmed, and the rest has ended meanwhile: it is not whole.
                Some(code)
                    if self.wish == Wish::Confirm
                        && matches!(code.as_str(), "reservation_lapsed" | "reservation_released") =>
                {
                    self.over(Ended::Refused(code))
                }
                // What is unknown follows its head all the same, sooner or later.
                _ => self.over(Ended::Done { again: !self.changed }),
            },
            Turn::UndoHead => match refused {
                // Another request has confirmed it meanwhile.
                Some(code) if code == "already_confirmed" => self.go(Turn::Rest, now),
                Some(_) => self.over(Ended::Doubtful),
                None if unknown => self.over(Ended::Doubtful),
                None => self.go(Turn::UndoRest, now),
            },
            Turn::UndoRest => {
                let refused = self.refused.take().unwrap_or_default();
                self.over(Ended::Refused(refused))
            }
            Turn::Over => Vec::new(),
        }
    }
}

/// What brings lines after their head that were left behind by a process that ended, or lapsed.
pub(crate) struct Finish(Turning);

impl Finish {
    /// What is to be done of a whole basket as this replica sees it, where anything is. What it sees may be old: the fold of the head
    /// is asked first, and rows name the attempt that they are about.
    pub(crate) fn of(lines: Vec<LineKnown>) -> Option<Self> {
        let head = lines.first().filter(|head| head.place.whole && head.place.line == 0)?;
        let others_held = lines.iter().skip(1).any(|line| line.is(ReservationState::Held));
        let over = |line: &LineKnown| line.row.is_free();
        // A line of another attempt than its head is a line that this replica has not heard the last of.
        let lacks = |line: &LineKnown| over(line) && line.place.epoch == head.place.epoch;
        let wish = match head.row.state {
            _ if head.row.confirmed => others_held.then_some(Wish::Confirm),
            ReservationState::Held if head.place.kept => lines.iter().any(lacks).then_some(Wish::Release),
            ReservationState::Released | ReservationState::Lapsed => others_held.then_some(Wish::Release),
            _ => None,
        }?;
        let owner = head.row.owner.clone()?;
        Some(Self(Turning::new(lines, owner, wish)))
    }
}

impl Course for Finish {
    fn next(&mut self, now: Timestamp, said: &Answers) -> Vec<Sent> {
        self.0.next(now, said)
    }
}

#[cfg(test)]
mod tests;
