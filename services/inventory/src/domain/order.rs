//! An order of one supplier: what was said of it, and what follows for stock.
//!
//! An order keeps facts: what was placed, shipped and cancelled of which line. What it keeps from buyers and what has left the
//! shelf is computed from all of them, so the sequence in which they arrive makes no difference.
//!
//! * A line is named by `line`, else by the `reservation` that it was, else by its listing: what is placed of one reservation
//!   or listing without a line is one line and adds up. Only who places exactly what was reserved (or says no quantity) says
//!   the same when saying it again. Name lines in all outcomes of an order or in none.
//! * An order may take a reservation line by line. What no line has taken yet is its rest: until anything is placed it is the
//!   order's, then the reservation's own, which keeps it on. What is said of a line of it that was not placed yet, and names
//!   units, is taken from the rest; a shipment of all of such a line takes all of the rest, a cancellation of all of it waits for
//!   the line, for it may be the smaller part.
//! * An outcome is about every line that fits what it names: all lines of the order when it names none.
//! * Quantities count: what is shipped and cancelled by quantity comes first, shipments before cancellations, then what was
//!   shipped or cancelled without one takes all that is left. No line ships and cancels more than was ordered.
//! * The same part of an outcome said again, under whatever event id, is a repeat (see [`Act`]).
//! * Goods that are shipped before anything was placed have left the shelf; a cancellation waits for what it cancels.

mod act;
mod packed;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use stockade_model::{LineId, ListingId, OrderEvent, OrderEventKind, ReservationId, Timestamp};

use act::{Act, Deed, Selection, act_of, compatible};
pub(crate) use stored::FormerLine;
use stored::StoredOrder;

/// Lines an order may have, and shipments and cancellations it may see: far beyond what people order.
const PARTS_MAX: usize = 500;
/// Events of one order that are told when what they wait for has come.
const WAITING_MAX: usize = 32;

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<LineId>,
    /// Without it the line concerns no stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<ListingId>,
    /// Units placed; absent while it is only known to be a line of its reservation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placed: Option<i64>,
    /// Whether exactly what was reserved was placed at once: then that said again is a repeat.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    whole: bool,
    /// The reservations that it takes its units from, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<ReservationId>,
}

impl Line {
    fn was(&self, reservation: Option<&ReservationId>) -> bool {
        reservation.is_some_and(|name| self.reservations.contains(name))
    }
    fn is_unnamed(&self) -> bool {
        self.line.is_none() && self.reservations.is_empty()
    }
    fn is_of(&self, listing: &ListingId) -> bool {
        self.listing.as_ref() == Some(listing)
    }
    fn becomes(&mut self, reservation: &ReservationId) {
        if let Err(place) = self.reservations.binary_search(reservation) {
            self.reservations.insert(place, reservation.clone());
        }
    }
}

/// A reservation that has become this order, or part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Reserved {
    name: ReservationId,
    listing: ListingId,
    /// Units that were reserved.
    units: i64,
    /// Whether the rest was given back, or has lapsed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    over: bool,
}

/// How a reservation of an order stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) name: ReservationId,
    pub(crate) listing: ListingId,
    /// Whether all of it was cancelled: nothing is owed, was shipped, or is kept of it.
    pub(crate) cancelled: bool,
    /// Units that no line has taken, which the reservation keeps itself.
    pub(crate) rest: i64,
}

/// What has become of a line so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Fate {
    ordered: i64,
    shipped: i64,
    cancelled: i64,
}

impl Fate {
    fn open(self) -> i64 {
        self.ordered - self.shipped - self.cancelled
    }
    fn take(&mut self, deed: Deed, most: i64) -> i64 {
        let units = most.min(self.open());
        match deed {
            Deed::Shipped => self.shipped += units,
            Deed::Cancelled => self.cancelled += units,
        }
        units
    }
}

/// What an order does to one listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Units {
    /// Kept from other buyers.
    pub(crate) committed: i64,
    /// Left the shelf.
    pub(crate) gone: i64,
}

/// What follows from all that was said.
#[derive(Debug, Default)]
struct Outcome {
    /// Of each line.
    fates: Vec<Fate>,
    /// Of what no line has taken of each reservation.
    rests: Vec<Fate>,
    /// Shipped of listings of which nothing was placed.
    strays: BTreeMap<ListingId, i64>,
    /// Units shipped or cancelled beyond what was ordered.
    excess: i64,
}

/// What became of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was new.
    New,
    /// It was said before.
    Again,
    /// Another quantity, or another listing, was said of the same line or part before.
    Differs,
    /// It names units, and fits lines of several listings.
    Ambiguous,
    /// The order holds as much as an order may.
    TooLarge,
}

/// An order.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(from = "StoredOrder")]
pub(crate) struct Order {
    /// Sorted.
    lines: Vec<Line>,
    /// Reservations that it has, or is having, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<Reserved>,
    /// Sorted.
    acts: Vec<Act>,
    /// When something was last said of it.
    pub(crate) touched: Timestamp,
    /// Identities of events that wait for a listing or for what they are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<u128>,
}

impl Order {
    /// Whether anything of it was placed, or only other things were said of it.
    pub(crate) fn is_placed(&self) -> bool {
        !self.reserved.is_empty() || self.lines.iter().any(|line| line.placed.is_some())
    }

    /// What it does to each listing.
    pub(crate) fn units(&self) -> BTreeMap<ListingId, Units> {
        let Outcome { fates, rests, strays, .. } = self.outcome();
        let mut units: BTreeMap<ListingId, Units> = BTreeMap::new();
        for (line, fate) in self.lines.iter().zip(fates) {
            let Some(listing) = line.listing.as_ref().filter(|_| line.placed.is_some()) else { continue };
            let units = units.entry(listing.clone()).or_default();
            units.committed += fate.open();
            units.gone += fate.shipped;
        }
        for (reserved, fate) in self.reserved.iter().zip(rests) {
            let units = units.entry(reserved.listing.clone()).or_default();
            units.committed += if self.is_begun(reserved) { 0 } else { fate.open() };
            units.gone += fate.shipped;
        }
        for (listing, gone) in strays {
            units.entry(listing).or_default().gone += gone;
        }
        units
    }

    /// Whether anything was placed of a reservation: from then on its rest is its own.
    fn is_begun(&self, reserved: &Reserved) -> bool {
        self.lines.iter().any(|line| line.placed.is_some() && line.was(Some(&reserved.name)))
    }

    /// What no line has taken of each reservation.
    fn rests(&self) -> Vec<i64> {
        let mut rests: Vec<i64> = self.reserved.iter().map(|reserved| reserved.units).collect();
        for line in &self.lines {
            let mut left = line.placed.unwrap_or(0);
            for (reserved, rest) in self.reserved.iter().zip(&mut rests) {
                let units = if line.was(Some(&reserved.name)) { left.min(*rest) } else { 0 };
                *rest -= units;
                left -= units;
            }
        }
        rests
    }

    /// Whether a line was placed and is meant.
    fn means(&self, of: &Selection, line: &Line) -> bool {
        let named = match &of.line {
            // A line that was placed without its name is known by its reservation.
            Some(name) if !self.has_placed(name) => line.line.is_none() && line.was(of.reservation.as_ref()),
            Some(name) => line.line.as_ref() == Some(name),
            None => of.reservation.is_none() || line.was(of.reservation.as_ref()),
        };
        named && line.placed.is_some() && of.listing.as_ref().is_none_or(|listing| line.is_of(listing))
    }

    fn has_placed(&self, name: &LineId) -> bool {
        self.lines.iter().any(|line| line.line.as_ref() == Some(name) && line.placed.is_some())
    }

    /// Whether what no line has taken of a reservation is meant as well.
    fn means_rest(&self, act: &Act, reserved: &Reserved) -> bool {
        let Act { deed, of, quantity, .. } = act;
        let all = quantity.is_none();
        let named = match &of.line {
            Some(name) => {
                let is_its_own =
                    |line: &Line| line.line.as_ref() == Some(name) && line.was(Some(&reserved.name));
                let its_own =
                    of.reservation.as_ref() == Some(&reserved.name) || self.lines.iter().any(is_its_own);
                // How much of the rest is the line's is not known, and what is freed may be sold.
                its_own && !self.has_placed(name) && !(all && *deed == Deed::Cancelled)
            }
            // All that was placed has been shipped: that is no more than was placed.
            None if all && *deed == Deed::Shipped && self.is_begun(reserved) => false,
            None => of.reservation.as_ref().is_none_or(|name| *name == reserved.name),
        };
        named && of.listing.as_ref().is_none_or(|listing| reserved.listing == *listing)
    }

    /// Whether anything is known that `act` is about.
    fn meets(&self, act: &Act, rests: &[i64]) -> bool {
        let rest = |(reserved, rest): (&Reserved, &i64)| *rest > 0 && self.means_rest(act, reserved);
        self.lines.iter().any(|line| self.means(&act.of, line)) || self.reserved.iter().zip(rests).any(rest)
    }

    fn outcome(&self) -> Outcome {
        let fate = |ordered| Fate { ordered, ..Fate::default() };
        let mut outcome = Outcome {
            fates: self.lines.iter().map(|line| fate(line.placed.unwrap_or(0))).collect(),
            rests: self.rests().into_iter().map(fate).collect(),
            ..Outcome::default()
        };
        for deed in [Deed::Shipped, Deed::Cancelled] {
            for precision in (0..=2).rev() {
                let fits = |act: &&Act| act.deed == deed && act.of.precision() == precision;
                for act in self.acts.iter().filter(fits) {
                    if let Some(units) = act.quantity {
                        self.serve(act, units, units, &mut outcome);
                    }
                }
            }
        }
        for deed in [Deed::Shipped, Deed::Cancelled] {
            for act in self.acts.iter().filter(|act| act.deed == deed && act.quantity.is_none()) {
                // How much left the shelf is not known until something was placed: at least one.
                self.serve(act, i64::MAX, 1, &mut outcome);
            }
        }
        for (reserved, fate) in self.reserved.iter().zip(&mut outcome.rests) {
            if reserved.over {
                fate.ordered -= fate.open();
            }
        }
        outcome
    }

    /// Lets `act` take `units` from the lines it is about, or `stray` units of a listing of which nothing was placed.
    fn serve(&self, act: &Act, units: i64, stray: i64, outcome: &mut Outcome) {
        let (mut left, mut met) = (units, false);
        for (_, fate) in
            self.lines.iter().zip(&mut outcome.fates).filter(|(line, _)| self.means(&act.of, line))
        {
            met = true;
            left -= fate.take(act.deed, left);
        }
        let rests = self.reserved.iter().zip(&mut outcome.rests);
        for (_, fate) in rests.filter(|(reserved, fate)| fate.ordered > 0 && self.means_rest(act, reserved)) {
            met = true;
            left -= fate.take(act.deed, left);
        }
        match (&act.of.listing, act.deed) {
            _ if met => outcome.excess += if act.quantity.is_some() { left } else { 0 },
            (Some(listing), Deed::Shipped) => {
                *outcome.strays.entry(listing.clone()).or_default() += stray;
            }
            _ => {}
        }
    }

    /// Units shipped or cancelled beyond what was ordered.
    pub(crate) fn excess(&self) -> i64 {
        self.outcome().excess
    }

    /// Whether anything was shipped or cancelled of which nothing is known yet.
    pub(crate) fn has_loose_ends(&self) -> bool {
        let rests = self.rests();
        self.acts.iter().any(|act| !self.meets(act, &rests))
    }

    /// How the reservations that have become lines of it stand.
    pub(crate) fn reservations(&self) -> Vec<Standing> {
        let Outcome { fates, rests, .. } = self.outcome();
        let standing = |(reserved, rest): (&Reserved, Fate)| {
            let lines = self.lines.iter().zip(&fates).filter(|(line, _)| line.was(Some(&reserved.name)));
            let of_all = lines.map(|(_, fate)| *fate).chain([rest]);
            let (left, cancelled) = of_all.fold((0, 0), |(left, cancelled), fate| {
                (left + fate.open() + fate.shipped, cancelled + fate.cancelled)
            });
            Standing {
                name: reserved.name.clone(),
                listing: reserved.listing.clone(),
                cancelled: left == 0 && cancelled > 0,
                rest: if self.is_begun(reserved) { rest.open() } else { 0 },
            }
        };
        self.reserved.iter().zip(rests).map(standing).collect()
    }

    /// Gives back what no line has taken of a reservation.
    pub(crate) fn end_rest(&mut self, reservation: &ReservationId) {
        if let Some(reserved) = self.reserved.iter_mut().find(|reserved| reserved.name == *reservation) {
            reserved.over = true;
        }
    }

    /// Whether what no line has taken of a reservation was given back.
    pub(crate) fn is_rest_over(&self, reservation: &ReservationId) -> bool {
        self.reserved(Some(reservation)).is_some_and(|reserved| reserved.over)
    }

    fn reserved(&self, name: Option<&ReservationId>) -> Option<&Reserved> {
        self.reserved.iter().find(|reserved| Some(&reserved.name) == name)
    }

    /// Whether `reservation` has become a line of it.
    pub(crate) fn has_taken(&self, reservation: &ReservationId) -> bool {
        self.reserved(Some(reservation)).is_some()
    }

    /// Whether other lines, or other lines of reservations, are known than in `other`.
    pub(crate) fn has_other_lines(&self, other: &Self) -> bool {
        self.lines != other.lines || self.reserved != other.reserved
    }

    /// Whether something is known that `event` is about; `reservation` is the one that has become its line.
    pub(crate) fn knows(&self, event: &OrderEvent, reservation: Option<&ReservationId>) -> bool {
        match event.kind {
            OrderEventKind::Shipped => self.meets(&act_of(Deed::Shipped, event, reservation), &self.rests()),
            OrderEventKind::Cancelled => {
                self.meets(&act_of(Deed::Cancelled, event, reservation), &self.rests())
            }
            _ => true,
        }
    }

    /// Makes `quantity` reserved units of `listing` the order's that `event` is about.
    pub(crate) fn take_over(
        &mut self,
        event: &OrderEvent,
        reservation: &ReservationId,
        listing: &ListingId,
        quantity: i64,
    ) {
        let (name, listing) = (reservation.clone(), listing.clone());
        // Placed without naming it, and named only now.
        if event.line.is_none() && event.kind != OrderEventKind::Placed {
            let unnamed = |line: &&mut Line| line.is_unnamed() && line.is_of(&listing);
            if let Some(line) = self.lines.iter_mut().find(unnamed) {
                line.becomes(reservation);
            }
        }
        self.reserved.reserve_exact(1);
        self.reserved.push(Reserved { name, listing, units: quantity, over: false });
        self.reserved.sort_unstable();
        self.lines.sort_unstable();
    }

    /// The line that `event` names is one of its reservation's.
    fn join(&mut self, event: &OrderEvent, reservation: Option<&ReservationId>) {
        let Some(reserved) = self.reserved(reservation) else { return };
        let Reserved { name, listing, .. } = reserved.clone();
        if event.line.is_none() || event.listing.as_ref().is_some_and(|other| *other != listing) {
            return;
        }
        match self.lines.iter_mut().find(|line| line.line == event.line) {
            Some(line) if line.is_of(&listing) => line.becomes(&name),
            Some(_) => {}
            None if event.kind == OrderEventKind::Placed => {}
            None => {
                let (line, reservations) = (event.line.clone(), vec![name]);
                self.add(Line { line, listing: Some(listing), placed: None, whole: false, reservations });
            }
        }
        self.lines.sort_unstable();
    }

    /// Takes what `event` says of the order; `reservation` is the one that has become its line. What is refused may have
    /// changed the order: throw it away.
    pub(crate) fn take(&mut self, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        self.join(event, reservation);
        let taken = match event.kind {
            OrderEventKind::Placed => self.place(event, reservation),
            OrderEventKind::Shipped => self.act(Deed::Shipped, event, reservation),
            OrderEventKind::Cancelled => self.act(Deed::Cancelled, event, reservation),
            _ => return Taken::Again,
        };
        let parts = self.lines.len() + self.reserved.len() + self.acts.len();
        if parts > PARTS_MAX { Taken::TooLarge } else { taken }
    }

    /// Most orders have one line, and there are many orders: no room is kept for more.
    fn add(&mut self, line: Line) {
        self.lines.reserve_exact(1);
        self.lines.push(line);
    }

    fn place(&mut self, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        let position = |fits: &dyn Fn(&Line) -> bool| self.lines.iter().position(fits);
        let untouched = |reserved: &&Reserved| {
            event.listing.as_ref() == Some(&reserved.listing) && !self.is_begun(reserved)
        };
        let reserved = match (self.reserved(reservation), &event.line) {
            // What was known to be of a reservation is placed now.
            (None, None)
                if position(&|line| line.is_unnamed() && line.listing == event.listing).is_none() =>
            {
                self.reserved.iter().find(untouched)
            }
            (reserved, _) => reserved,
        };
        let whole = reserved.is_some_and(|of| event.quantity.is_none_or(|units| units == of.units));
        let first = reserved.filter(|of| event.line.is_none() || !self.is_begun(of)).map_or(1, |of| of.units);
        let quantity = event.quantity.unwrap_or(first);
        let listing = event.listing.clone().or_else(|| reserved.map(|of| of.listing.clone()));
        let name = reserved.map(|of| of.name.clone());
        // Placed whole before, and the line named in one and not in the other.
        let as_one = |line: &Line| whole && line.was(name.as_ref()) && line.placed == Some(quantity);
        let at = match &event.line {
            Some(_) => position(&|line| line.line == event.line)
                .or_else(|| position(&|line| line.line.is_none() && line.whole && as_one(line))),
            None if name.is_some() => {
                position(&|line| line.line.is_none() && line.was(name.as_ref())).or_else(|| position(&as_one))
            }
            None => position(&|line| line.is_unnamed() && line.listing == listing),
        };
        let elsewhere = reserved.is_some_and(|of| listing.as_ref() != Some(&of.listing));
        let Some(line) = at.and_then(|at| self.lines.get_mut(at)) else {
            if elsewhere && event.line.is_none() {
                return Taken::Differs;
            }
            let reservations = name.filter(|_| !elsewhere).into_iter().collect();
            let whole = whole && event.line.is_none();
            self.add(Line { line: event.line.clone(), listing, placed: Some(quantity), whole, reservations });
            self.lines.sort_unstable();
            return Taken::New;
        };
        if !compatible(line.listing.as_ref(), listing.as_ref()) {
            return Taken::Differs;
        }
        match line.placed {
            // A line with a name is placed once; without a quantity nothing else is said of it.
            Some(placed) if event.line.is_some() || line.line.is_some() => {
                return if event.quantity.is_none_or(|units| units == placed) {
                    Taken::Again
                } else {
                    Taken::Differs
                };
            }
            Some(_) if whole && line.whole => return Taken::Again,
            placed => line.placed = Some(placed.unwrap_or(0) + quantity),
        }
        line.whole |= whole && line.line.is_none();
        self.lines.sort_unstable();
        Taken::New
    }

    fn act(&mut self, deed: Deed, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        let act = act_of(deed, event, reservation);
        if let Some(known) = self.acts.iter().find(|known| known.is_same_part(&act)) {
            return if known.quantity == act.quantity { Taken::Again } else { Taken::Differs };
        }
        let lines = self.lines.iter().filter(|line| self.means(&act.of, line));
        let rests = self.reserved.iter().filter(|reserved| self.means_rest(&act, reserved));
        let listings: BTreeSet<&ListingId> =
            lines.filter_map(|line| line.listing.as_ref()).chain(rests.map(|of| &of.listing)).collect();
        if act.quantity.is_some() && listings.len() > 1 {
            return Taken::Ambiguous;
        }
        let place = self.acts.partition_point(|held| *held < act);
        self.acts.reserve_exact(1);
        self.acts.insert(place, act);
        Taken::New
    }

    /// Notes that the event with this identity waits.
    pub(crate) fn wait(&mut self, identity: u128) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(identity);
        }
    }
}
