//! An order of one supplier: what was said of it, and what follows for stock.
//!
//! An order keeps facts: what was placed, shipped and cancelled of which line. What it keeps from buyers and what has left the
//! shelf is computed from all of them, so the sequence in which they arrive makes no difference.
//!
//! * A line is named by `line`, else by the `reservation` that it was, else by its listing: what is placed of one listing
//!   without either is one line and adds up. Name lines in all outcomes of an order or in none.
//! * An outcome is about every line that fits what it names: all lines of the order when it names none.
//! * Quantities count: what is shipped and cancelled by quantity comes first, shipments before cancellations, then what was
//!   shipped or cancelled without one takes all that is left. No line ships and cancels more than was ordered.
//! * The same part of an outcome said again, under whatever event id, is a repeat (see [`Act`]).
//! * Goods that are shipped before anything was placed have left the shelf; a cancellation waits for what it cancels.

use std::collections::{BTreeMap, BTreeSet};

use stockade_model::{LineId, ListingId, OrderEvent, OrderEventKind, ReservationId, Timestamp};

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
    /// Units placed; absent while only its reservation is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    placed: Option<i64>,
    /// Units of the reservations that have become this line.
    #[serde(default)]
    reserved: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reservations: Vec<ReservationId>,
}

impl Line {
    fn ordered(&self) -> i64 {
        self.placed.unwrap_or(self.reserved)
    }
    fn was(&self, reservation: Option<&ReservationId>) -> bool {
        reservation.is_some_and(|name| self.reservations.contains(name))
    }
    fn is_unnamed(&self) -> bool {
        self.line.is_none() && self.reservations.is_empty()
    }
}

/// The lines that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Selection {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<LineId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reservation: Option<ReservationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listing: Option<ListingId>,
}

impl Selection {
    fn fits(&self, line: &Line) -> bool {
        let named = match (&self.line, &self.reservation) {
            // Until the line of a reservation is named, its reservation stands for it.
            (Some(name), by) => {
                line.line.as_ref() == Some(name) || line.line.is_none() && line.was(by.as_ref())
            }
            (None, Some(_)) => line.was(self.reservation.as_ref()),
            (None, None) => true,
        };
        named && self.listing.as_ref().is_none_or(|listing| line.listing.as_ref() == Some(listing))
    }
    /// What names most is served first.
    fn precision(&self) -> usize {
        usize::from(self.line.is_some() || self.reservation.is_some()) + usize::from(self.listing.is_some())
    }
    /// Whether both may mean the same line: a line named by its name is not one named by another reservation.
    fn is_compatible(&self, other: &Self) -> bool {
        let (lines, reservations) = (
            self.line.as_ref().zip(other.line.as_ref()),
            self.reservation.as_ref().zip(other.reservation.as_ref()),
        );
        let names_none = |of: &Self| of.line.is_none() && of.reservation.is_none();
        let same_line = match (lines, reservations) {
            (Some((left, right)), _) => left == right,
            (None, Some((left, right))) => left == right,
            (None, None) => names_none(self) || names_none(other),
        };
        same_line && compatible(self.listing.as_ref(), other.listing.as_ref())
    }
}

/// What an outcome does to the lines it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
enum Deed {
    Shipped,
    Cancelled,
}

/// A shipment or a cancellation. Two are the same when they do the same to the same lines in the same part; where no part is
/// named, when their quantity is the same too, for a sender that says it again under another id is far more common than
/// two equal halves, and taking one for two would sell what is owed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Act {
    deed: Deed,
    of: Selection,
    /// The part named, or the tracking number of a shipment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part: Option<Box<str>>,
    /// Units; absent is all that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantity: Option<i64>,
}

/// Whether two selections may mean the same line.
fn compatible<T: PartialEq>(left: Option<&T>, right: Option<&T>) -> bool {
    left.zip(right).is_none_or(|(left, right)| left == right)
}

impl Act {
    /// Whether `other` is about the same part of the same lines.
    fn is_same_part(&self, other: &Self) -> bool {
        let exact = self.of == other.of;
        self.deed == other.deed
            && self.part == other.part
            && match self.part {
                Some(_) => exact,
                // With a quantity, naming the line in one and not in the other makes no other act of it.
                None => {
                    let close = self.quantity.is_some() && self.of.is_compatible(&other.of);
                    self.quantity == other.quantity && (exact || close)
                }
            }
    }
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
    fates: Vec<Fate>,
    /// Shipped of listings of which nothing was placed.
    strays: BTreeMap<ListingId, i64>,
    /// Units shipped or cancelled beyond what was ordered.
    excess: i64,
}

/// The lines that `event` is about. An order that is named like its reservation names it in every event, so there it does not
/// tell one line from another.
fn selection(event: &OrderEvent, reservation: Option<&ReservationId>) -> Selection {
    let reservation = reservation.filter(|_| event.reservation.is_some()).cloned();
    Selection { line: event.line.clone(), reservation, listing: event.listing.clone() }
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
pub(crate) struct Order {
    /// Sorted.
    lines: Vec<Line>,
    /// Sorted.
    acts: Vec<Act>,
    /// When something was last said of it.
    pub(crate) touched: Timestamp,
    /// Identities of events that wait for a listing or for what they are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<u128>,
}

impl Order {
    /// What it does to each listing.
    pub(crate) fn units(&self) -> BTreeMap<ListingId, Units> {
        let Outcome { fates, strays, .. } = self.outcome();
        let mut units: BTreeMap<ListingId, Units> = BTreeMap::new();
        for (line, fate) in self.lines.iter().zip(fates) {
            let Some(listing) = &line.listing else { continue };
            let units = units.entry(listing.clone()).or_default();
            units.committed += fate.open();
            units.gone += fate.shipped;
        }
        for (listing, gone) in strays {
            units.entry(listing).or_default().gone += gone;
        }
        units
    }

    fn outcome(&self) -> Outcome {
        let fate = |line: &Line| Fate { ordered: line.ordered(), ..Fate::default() };
        let mut outcome = Outcome { fates: self.lines.iter().map(fate).collect(), ..Outcome::default() };
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
        outcome
    }

    /// Lets `act` take `units` from the lines it is about, or `stray` units of a listing of which nothing was placed.
    fn serve(&self, act: &Act, units: i64, stray: i64, outcome: &mut Outcome) {
        let (mut left, mut met) = (units, false);
        for (_, fate) in self.lines.iter().zip(&mut outcome.fates).filter(|(line, _)| act.of.fits(line)) {
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
        self.acts.iter().any(|act| !self.lines.iter().any(|line| act.of.fits(line)))
    }

    /// The reservations that have become lines of it, and whether all of the line was cancelled.
    pub(crate) fn reservations(&self) -> Vec<(ReservationId, bool)> {
        let fates = self.outcome().fates;
        let of_line = |(line, fate): (&Line, Fate)| {
            let cancelled = fate.ordered > 0 && fate.cancelled == fate.ordered;
            line.reservations.iter().map(move |name| (name.clone(), cancelled)).collect::<Vec<_>>()
        };
        self.lines.iter().zip(fates).flat_map(of_line).collect()
    }

    /// Whether `reservation` has become a line of it.
    pub(crate) fn has_taken(&self, reservation: &ReservationId) -> bool {
        self.lines.iter().any(|line| line.reservations.contains(reservation))
    }

    /// Whether a line is known that `event` is about; `reservation` is the one that has become its line.
    pub(crate) fn knows(&self, event: &OrderEvent, reservation: Option<&ReservationId>) -> bool {
        let of = selection(event, reservation);
        self.lines.iter().any(|line| of.fits(line))
    }

    /// Makes `quantity` reserved units of `listing` the line's that `event` is about.
    pub(crate) fn take_over(
        &mut self,
        event: &OrderEvent,
        reservation: &ReservationId,
        listing: &ListingId,
        quantity: i64,
    ) {
        let placed = event.kind == OrderEventKind::Placed;
        let fits = |line: &&mut Line| {
            line.listing.as_ref() == Some(listing)
                && match &event.line {
                    Some(_) => line.line == event.line,
                    // Placed without naming it, and named only now.
                    None => !placed && line.is_unnamed(),
                }
        };
        match self.lines.iter_mut().find(fits) {
            Some(line) => {
                line.reserved += quantity;
                line.reservations.push(reservation.clone());
            }
            None => self.add(Line {
                line: event.line.clone(),
                listing: Some(listing.clone()),
                placed: None,
                reserved: quantity,
                reservations: vec![reservation.clone()],
            }),
        }
        self.lines.sort_unstable();
    }

    /// Takes what `event` says of the order; `reservation` is the one that has become its line. What is refused may have
    /// changed the order: throw it away.
    pub(crate) fn take(&mut self, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        let taken = match event.kind {
            OrderEventKind::Placed => self.place(event, reservation),
            OrderEventKind::Shipped => self.act(Deed::Shipped, event, reservation),
            OrderEventKind::Cancelled => self.act(Deed::Cancelled, event, reservation),
            _ => return Taken::Again,
        };
        if self.lines.len() + self.acts.len() > PARTS_MAX { Taken::TooLarge } else { taken }
    }

    /// Most orders have one line, and there are many orders: no room is kept for more.
    fn add(&mut self, line: Line) {
        self.lines.reserve_exact(1);
        self.lines.push(line);
    }

    fn place(&mut self, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        let reserved = self.lines.iter().find(|line| line.was(reservation));
        let listing = event.listing.clone().or_else(|| reserved?.listing.clone());
        let position = |fits: &dyn Fn(&Line) -> bool| self.lines.iter().position(fits);
        let at = match &event.line {
            Some(_) => position(&|line| line.line == event.line)
                .or_else(|| position(&|line| line.line.is_none() && line.was(reservation))),
            None if reservation.is_some() => position(&|line| line.was(reservation)),
            // What a reservation was known to have become is placed now.
            None => position(&|line| line.is_unnamed() && line.listing == listing).or_else(|| {
                position(&|line| line.line.is_none() && line.placed.is_none() && line.listing == listing)
            }),
        };
        let Some(line) = at.and_then(|at| self.lines.get_mut(at)) else {
            let placed = Some(event.quantity.unwrap_or(1));
            let (line, reservations) = (event.line.clone(), Vec::new());
            self.add(Line { line, listing, placed, reserved: 0, reservations });
            self.lines.sort_unstable();
            return Taken::New;
        };
        let whole = if line.reserved > 0 { line.reserved } else { 1 };
        let quantity = event.quantity.unwrap_or(whole);
        let same_listing = compatible(line.listing.as_ref(), listing.as_ref());
        // A line with a name is placed once, and so is a reservation.
        let once = event.line.is_some() || event.reservation.is_some() && reservation.is_some();
        match line.placed {
            Some(placed) if once && placed == quantity && same_listing => return Taken::Again,
            Some(_) if once => return Taken::Differs,
            _ if !same_listing => return Taken::Differs,
            placed => line.placed = Some(placed.unwrap_or(0) + quantity),
        }
        line.line = event.line.clone().or(line.line.take());
        self.lines.sort_unstable();
        Taken::New
    }

    fn act(&mut self, deed: Deed, event: &OrderEvent, reservation: Option<&ReservationId>) -> Taken {
        let tracking = event.tracking.clone().filter(|_| deed == Deed::Shipped);
        let of = selection(event, reservation);
        let act = Act {
            deed,
            of,
            part: event.part.clone().or(tracking).map(String::into_boxed_str),
            quantity: event.quantity,
        };
        if let Some(known) = self.acts.iter().find(|known| known.is_same_part(&act)) {
            return if known.quantity == act.quantity { Taken::Again } else { Taken::Differs };
        }
        let listings: BTreeSet<&ListingId> =
            self.lines.iter().filter(|line| act.of.fits(line)).filter_map(|l| l.listing.as_ref()).collect();
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

/// One line of an order as earlier builds stored it, under `supplier/order/listing`.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct FormerLine {
    quantity: i64,
    placed: bool,
    shipped: bool,
    cancelled: bool,
    touched: Timestamp,
}

impl Order {
    /// Takes a line that an earlier build stored. One that a confirmed hold left is a reservation's: whether it was placed
    /// beside that was not kept.
    pub(crate) fn take_former(
        &mut self,
        listing: &ListingId,
        former: FormerLine,
        hold: Option<&ReservationId>,
    ) {
        let FormerLine { quantity, placed, shipped, cancelled, touched } = former;
        if placed {
            self.lines.push(Line {
                line: None,
                listing: Some(listing.clone()),
                placed: hold.is_none().then_some(quantity),
                reserved: if hold.is_some() { quantity } else { 0 },
                reservations: hold.cloned().into_iter().collect(),
            });
        }
        let mut act = |deed, quantity| {
            let of = Selection { line: None, reservation: None, listing: Some(listing.clone()) };
            self.acts.push(Act { deed, of, part: None, quantity });
        };
        if shipped {
            act(Deed::Shipped, (!placed).then_some(quantity));
        }
        if cancelled {
            act(Deed::Cancelled, None);
        }
        self.lines.sort_unstable();
        self.acts.sort_unstable();
        self.touched = self.touched.max(touched);
    }
}
