//! The inventory fold: commands and outcomes in, listings out.

use std::collections::{BTreeSet, HashMap};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Packed, PackedSet, Table};
use stockade_model::{
    Change, Command, Decision, Left, Level, ListingId, ListingPut, LocationPut, OrderId, Payload, Proposal,
    Region, ReservationId, Row, RowOutcome, RowStatus, Scope, StockCounts, StockFigures, Subject, SupplierId,
    Timestamp, Topic, time::SECOND_MS,
};

mod answers;
mod baskets;
mod caps;
mod choices;
mod due;
mod effect;
mod holders;
mod listings;
mod located;
mod orders;
mod remembered;
mod reservations;
mod risk;
mod start;

pub use answers::event_identity;
use due::{Due, What};
pub use effect::Effect;
pub(crate) use holders::{TOO_MANY_UNITS_HELD, holds};
pub(crate) use listings::only_reduces;
use located::Located;
use remembered::Whose;
use reservations::Asked;

use super::{
    answer::AnswerRow,
    index::Offer,
    key::Of,
    order::{FormerLine, Order},
    outcomes::Outcomes,
    reservation::Reservation,
    state::{Listing, Remembered, Supplier, caps},
};

/// The arbiter is told at most this often what a supplier offers.
const TELL_EVERY_MS: i64 = 10 * SECOND_MS;

/// The fold.
pub struct Inventory {
    suppliers: Table<SupplierId, Supplier>,
    listings: Packed<Of<ListingId>, Listing>,
    /// Order lines as earlier builds stored them, by `supplier/order/listing`: empty once restored.
    former_lines: Table<String, FormerLine>,
    reservations: Table<Of<ReservationId>, Reservation>,
    /// By `supplier/key`.
    outcomes: Table<String, Remembered>,
    orders: Packed<Of<OrderId>, Order>,
    /// What became of events, by their identity.
    answers: Table<u128, AnswerRow>,
    /// What was chosen for lines of baskets that name goods, by the basket.
    choices: Table<String, choices::Choices>,
    /// Until when it is known that a line that is tried once was refused: nobody holds it any more.
    passed: Table<Of<ReservationId>, Timestamp>,
    /// Derived: what is due when, one entry a row.
    due: PackedSet<Due>,
    /// Derived: bytes of what is remembered of a supplier's requests, and of those of buyers about what it offers.
    remembered_bytes: HashMap<SupplierId, [usize; 2]>,
    /// Derived: answers by age.
    answers_by_age: PackedSet<(Timestamp, u128)>,
    /// Derived: listings by where they lie.
    located: PackedSet<Located>,
    /// Derived: units that listings owe, where they owe any, and their sums.
    owed: HashMap<Of<ListingId>, i64>,
    owes: HashMap<SupplierId, i64>,
    /// Derived: reservations that keep units by themselves, by supplier and listing.
    kept: risk::Kept,
    /// Derived: what each buyer holds, and what of its reservations has ended.
    holders: holders::Holders,
    /// Derived: orders of listings that are not there yet.
    parked: HashMap<Of<ListingId>, BTreeSet<OrderId>>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            suppliers: Table::new(1),
            listings: Packed::new(2),
            former_lines: Table::new(3),
            reservations: Table::new(4),
            outcomes: Table::new(5),
            orders: Packed::new(6),
            answers: Table::new(7),
            choices: Table::new(8),
            passed: Table::new(9),
            due: PackedSet::default(),
            remembered_bytes: HashMap::new(),
            answers_by_age: PackedSet::default(),
            located: PackedSet::default(),
            owed: HashMap::new(),
            owes: HashMap::new(),
            kept: risk::Kept::default(),
            holders: holders::Holders::default(),
            parked: HashMap::new(),
        }
    }
}

fn path(supplier: &SupplierId, rest: &str) -> String {
    format!("{supplier}/{rest}")
}

/// A refusal of a row: status, code and detail.
type Refusal = (RowStatus, &'static str, String);
type Applied = Result<(RowStatus, Option<i64>), Refusal>;

fn conflict(code: &'static str, detail: impl Into<String>) -> Refusal {
    (RowStatus::Conflict, code, detail.into())
}
fn invalid(code: &'static str, detail: impl Into<String>) -> Refusal {
    (RowStatus::Invalid, code, detail.into())
}

/// What a buyer is told of units that are not there, whatever keeps them.
fn too_few(quantity: i64, listing: &ListingId) -> Refusal {
    conflict("not_available", format!("fewer than {quantity} units of {listing} are available"))
}

/// Units of a listing that count in what its supplier offers.
fn counted(listing: &Listing) -> u64 {
    u64::try_from(listing.available()).unwrap_or(0).min(StockFigures::UNITS_COUNTED_MAX)
}

/// Compares a row's sequence with the last one: `None` to go on, else what became of the row.
fn sequence(last: Option<u64>, given: Option<u64>) -> Option<RowStatus> {
    match (last, given) {
        (Some(last), Some(given)) if given < last => Some(RowStatus::Superseded),
        (Some(last), Some(given)) if given == last => Some(RowStatus::Replayed),
        _ => None,
    }
}

impl Inventory {
    fn command(&mut self, input: &Input<'_>, command: &Command, out: &mut Out<Effect>) {
        let id = input.envelope.id.clone();
        let key = command.idempotency_key.clone().unwrap_or_else(|| id.clone());
        let remembered_at = path(&command.supplier, &key);
        let whose = Whose::of(&command.rows);
        let adds = self.adds(whose, command);
        let holds = holds(&command.rows);
        let decided = |rows, adds, retry| Effect::Decided {
            id,
            supplier: command.supplier.clone(),
            key: key.clone(),
            rows,
            adds,
            of_buyer: whose == Whose::Buyers,
            holds: holds.clone(),
            retry,
        };
        if let Some(done) = &command.forgets {
            self.let_go(&command.supplier, done, out);
        }
        if let Some(remembered) = self.outcomes.get(&remembered_at) {
            let same = remembered.body_hash == command.body_hash;
            out.effect(decided(same.then(|| remembered.rows.clone()), adds, true));
            return;
        }
        let mut rows: Vec<RowOutcome> = command
            .rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let place = command.places.get(index).copied().unwrap_or(index);
                let left_alone = self.stock_is_ahead(&command.supplier, row);
                let expected = self.as_expected(command, row);
                match expected.and_then(|()| self.row(input, &command.supplier, row, out)) {
                    Ok((status, available)) => RowOutcome {
                        stock: left_alone.filter(|_| status == RowStatus::Applied),
                        ..RowOutcome::ok(place, row.subject(), status, available)
                    },
                    Err((status, code, detail)) => {
                        RowOutcome::refused(place, row.subject(), status, code, detail)
                    }
                }
            })
            .collect();
        let adds = adds.saturating_sub(listings::reduced(&command.rows, &rows));
        if !command.refused.is_empty() {
            rows.extend(command.refused.iter().cloned());
            rows.sort_by_key(|outcome| outcome.row);
        }
        let rows = Outcomes::of(&rows);
        out.effect(decided(Some(rows.clone()), adds, false));
        let remembered = Remembered { body_hash: command.body_hash.clone(), rows };
        self.remember((&command.supplier, whose), (key, remembered), input.time, out);
    }

    /// Refuses a row about something that is not as the caller expects.
    fn as_expected(&self, command: &Command, row: &Row) -> Result<(), Refusal> {
        let Some(precondition) = &command.precondition else { return Ok(()) };
        let (code, tag) = match row {
            Row::Location(put) => {
                let supplier = self.suppliers.get(&command.supplier);
                let location = supplier.and_then(|supplier| supplier.locations.get(&put.location));
                ("location_changed", location.map(LocationPut::tag))
            }
            row => {
                let listing = ListingId::of_record(row.subject()).ok();
                let offer = listing.and_then(|listing| self.offer_of(&Of::new(&command.supplier, &listing)));
                ("listing_changed", offer.map(|offer| offer.tag()))
            }
        };
        if precondition.holds(tag.as_deref()) {
            return Ok(());
        }
        let subject = row.subject();
        let detail = match tag {
            Some(tag) => format!("{subject} is at \"{tag}\"; read it, merge, and send its tag"),
            None => format!("{subject} does not exist"),
        };
        Err(conflict(code, detail))
    }

    /// What would become of the stock that a listing is put with, if it is older than the stock known.
    fn stock_is_ahead(&self, id: &SupplierId, row: &Row) -> Option<RowStatus> {
        let Row::Put(ListingPut { listing, source_seq, on_hand: Some(_), .. }) = row else { return None };
        let known = self.listings.get(&Of::new(id, listing))?;
        sequence(known.stock_seq, *source_seq)
    }

    fn row(&mut self, input: &Input<'_>, id: &SupplierId, row: &Row, out: &mut Out<Effect>) -> Applied {
        let Some(supplier) = self.suppliers.get(id).filter(|supplier| supplier.profile.is_some()) else {
            return Err(invalid(
                "unknown_supplier",
                "the supplier is not registered; an operator registers it first",
            ));
        };
        if self.locked_out(supplier, id, row) && self.adds_supply(id, row) {
            let detail = "it is locked out: only reductions and withdrawals are taken; see /standing";
            return Err(conflict("supplier_locked_out", detail));
        }
        match row {
            Row::Location(put) => {
                self.suppliers
                    .edit_or(id, Supplier::default)
                    .locations
                    .insert(put.location.clone(), put.clone());
                out.effect(Effect::Located { supplier: id.clone(), location: put.clone() });
                self.offer_all_at(id, put, out);
                Ok((RowStatus::Applied, None))
            }
            Row::Put(put) => self.put(input, id, put, out),
            Row::Stock(change) => self.stock(input, id, change, out),
            Row::Withdraw { listing: name, source_seq } => {
                let mut listing = self.known(id, name)?;
                if let Some(status) = sequence(listing.listing_seq, *source_seq) {
                    return Ok((status, Some(listing.available())));
                }
                listing.listing_seq = source_seq.or(listing.listing_seq);
                listing.withdrawn = true;
                Ok(self.changed(input, &Of::new(id, name), listing, out))
            }
            Row::Hold { reservation, listing, quantity, expires_at, region, owner, request, bound } => {
                let asked = Asked {
                    reservation,
                    listing,
                    quantity: *quantity,
                    expires_at: *expires_at,
                    region: *region,
                    owner: owner.as_ref(),
                    request: request.as_ref(),
                    basket: None,
                    bound: *bound,
                };
                self.hold(input, id, asked, out)
            }
            Row::Confirm { reservation, owner } => {
                self.confirm(input, id, (reservation, owner.as_deref()), out)
            }
            Row::ReleaseHold { reservation, owner } => {
                self.release(input, id, (reservation, owner.as_deref()), out)
            }
            Row::Line(line) => self.line(input, id, line, out),
        }
    }

    /// Whether the supplier, or all that a row is about, is locked out.
    fn locked_out(&self, supplier: &Supplier, id: &SupplierId, row: &Row) -> bool {
        let lockout = Some(Level::Lockout);
        if supplier.level == lockout || supplier.narrow.iter().all(|(_, level)| Some(*level) != lockout) {
            return supplier.level == lockout;
        }
        let at = match row {
            Row::Put(put) => {
                let own = supplier.locations.get(&put.location).map(|location| [location.region]);
                let own = own.as_ref().map_or(&[][..], |own| own);
                let regions = if put.regions.is_empty() { own } else { &put.regions };
                return Subject { sku: put.sku.as_str(), listing: put.listing.as_str(), regions }
                    .level(&supplier.in_force())
                    == lockout;
            }
            Row::Stock(change) => Of::new(id, &change.listing),
            Row::Hold { .. } | Row::Line(_) | Row::Location(_) => return false,
            Row::Withdraw { .. } | Row::Confirm { .. } | Row::ReleaseHold { .. } => return false,
        };
        self.offer_of(&at).is_some_and(|offer| offer.subject().level(&supplier.in_force()) == lockout)
    }

    /// Refuses to hold what a buyer in `region` may not have. Without a region the units may be for any that the listing
    /// serves, so none of these may be withheld.
    fn held_back(
        &self,
        id: &SupplierId,
        listing: &ListingId,
        region: Option<Region>,
        (quantity, now): (i64, Timestamp),
    ) -> Result<(), Refusal> {
        let (Some(supplier), Some(offer)) = (self.suppliers.get(id), self.offer_of(&Of::new(id, listing)))
        else {
            return Ok(());
        };
        let left = offer.subject().left(region, &supplier.in_force());
        match left {
            // A withheld supplier's stock is simply not there for a buyer; why is nobody's business.
            None => Err(conflict("not_available", format!("{listing} is not available there"))),
            Some(Left { regions: Some(regions), .. }) if region.is_none() => {
                let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
                let detail = format!("say which region it is for: {}", names.join(", "));
                Err(conflict("region_required", detail))
            }
            // What a capped supplier has not proven is not there for a buyer either.
            Some(Left { level, .. })
                if level.is_some_and(caps) && quantity > self.allowance(id, now.day()) =>
            {
                Err(too_few(quantity, listing))
            }
            Some(_) => Ok(()),
        }
    }

    fn known(&self, id: &SupplierId, listing: &ListingId) -> Result<Listing, Refusal> {
        let unknown =
            || invalid("unknown_listing", format!("{listing} does not exist; create it with PUT first"));
        self.listings.get(&Of::new(id, listing)).ok_or_else(unknown)
    }

    fn stock_counts(&self, id: &SupplierId) -> StockCounts {
        self.suppliers.get(id).map(Supplier::stock_counts).unwrap_or_default()
    }

    /// Marks a listing changed by this record, and tells buyers.
    fn touched(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        listing: &ListingId,
        out: &mut Out<Effect>,
    ) -> Applied {
        let at = Of::new(id, listing);
        Ok(match self.listings.get(&at) {
            Some(listing) => self.changed(input, &at, listing, out),
            None => (RowStatus::Applied, None),
        })
    }

    /// Puts a listing that this record has changed, and tells buyers.
    fn changed(
        &mut self,
        input: &Input<'_>,
        at: &Of<ListingId>,
        mut listing: Listing,
        out: &mut Out<Effect>,
    ) -> (RowStatus, Option<i64>) {
        listing.version = input.offset;
        listing.updated = input.time;
        let units = counted(&listing);
        let before = std::mem::replace(&mut listing.counted, units);
        self.tell_of_shortage(input, at, &listing, out);
        self.listings.put(at, &listing);
        self.count(&at.supplier, (before, listing.counted), input.time, out);
        self.owe(at, listing.owed(), input.time, out);
        if let Some(offer) = self.offer_as(at, &listing) {
            out.effect(Effect::Offered(Box::new(offer)));
        }
        (RowStatus::Applied, Some(listing.available()))
    }

    fn decision(&mut self, input: &Input<'_>, decision: &Decision, out: &mut Out<Effect>) {
        let now = input.time;
        let whole = decision.in_force.iter().filter(|r| r.scope == Scope::Supplier);
        let level = whole.map(|r| r.level).max();
        let narrow = decision.in_force.iter().filter(|r| r.scope != Scope::Supplier);
        let supplier = self.suppliers.edit_or(&decision.supplier, Supplier::default);
        let was_capped = supplier.is_capped();
        let former = risk::Former { level: supplier.level, narrow: std::mem::take(&mut supplier.narrow) };
        supplier.level = level;
        supplier.narrow = narrow.map(|r| (r.scope.clone(), r.level)).collect();
        let is_capped = supplier.is_capped();
        self.tell_of_withholding(input, &decision.supplier, &former, out);
        if is_capped {
            self.tell_allowance(&decision.supplier, now, out);
        } else if was_capped {
            out.effect(Effect::Allowance { supplier: decision.supplier.clone(), units: None });
        }
    }

    /// Counts what a listing offers now, where it offered `before`, in what its supplier offers, and sees to it that the arbiter
    /// hears of it.
    fn count(&mut self, id: &SupplierId, (before, units): (u64, u64), now: Timestamp, out: &mut Out<Effect>) {
        if units == before {
            return;
        }
        let supplier = self.suppliers.edit_or(id, Supplier::default);
        let stock = &mut supplier.stock;
        stock.units = stock.units.saturating_sub(before).saturating_add(units);
        match (before, units) {
            (0, _) => stock.listings += 1,
            (_, 0) => stock.listings = stock.listings.saturating_sub(1),
            _ => {}
        }
        let has_news = supplier.has_news();
        let later = self.tells_at(id);
        match later.filter(|later| now < *later) {
            Some(later) if has_news => {
                self.due.insert(&Due::new(later, What::Stock(id.clone())));
            }
            // What was to be told is as it was.
            Some(later) => drop(self.due.remove(&Due::new(later, What::Stock(id.clone())))),
            None => self.tell(id, now, out),
        }
    }

    /// When the arbiter may be told again what a supplier offers.
    fn tells_at(&self, id: &SupplierId) -> Option<Timestamp> {
        self.suppliers.get(id)?.told.map(|(_, at)| at.plus_ms(TELL_EVERY_MS))
    }

    fn tell(&mut self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        let Some(supplier) = self.suppliers.edit(id).filter(|supplier| supplier.has_news()) else { return };
        let figures = supplier.stock;
        supplier.told = Some((figures, now));
        let proposal = Proposal::Stock { supplier: id.clone(), figures };
        out.emit(Topic::LockoutProposals, Dest::Key(id.to_string()), Payload::Proposal(proposal));
    }

    fn offer_of(&self, at: &Of<ListingId>) -> Option<Offer> {
        self.offer_as(at, &self.listings.get(at)?)
    }

    fn offer_as(&self, at: &Of<ListingId>, listing: &Listing) -> Option<Offer> {
        let supplier = self.suppliers.get(&at.supplier)?;
        let location = supplier.locations.get(&listing.location)?;
        let regions =
            if listing.regions.is_empty() { vec![location.region] } else { listing.regions.clone() };
        Some(Offer {
            supplier: at.supplier.clone(),
            listing: at.id.clone(),
            sku: listing.sku.clone(),
            gtin: listing.gtin,
            price: listing.price,
            available: listing.available(),
            on_hand: listing.count(supplier.stock_counts()).max(0),
            withdrawn: listing.withdrawn,
            regions: regions.into(),
            own_regions: !listing.regions.is_empty(),
            location: listing.location.clone(),
            lead_days: location.handling_days,
            latitude: location.latitude,
            longitude: location.longitude,
            version: listing.version,
            updated: listing.updated,
            number: 0,
        })
    }

    fn offer_all_at(&self, id: &SupplierId, put: &LocationPut, out: &mut Out<Effect>) {
        let from = Located::prefix(id, &put.location);
        self.located.each_from(&from, |at| {
            let here = at.supplier == *id && at.location == put.location;
            if here && let Some(offer) = self.offer_of(&Of { supplier: at.supplier, id: at.listing }) {
                out.effect(Effect::Offered(Box::new(offer)));
            }
            here
        });
    }

    /// Does what time has brought.
    fn settle(&mut self, input: &Input<'_>, out: &mut Out<Effect>) {
        while let Some(first) = self.due.first().filter(|first| first.at <= input.time) {
            self.due.remove(&first);
            match first.what {
                What::Order(key) => self.order_due(input, &key, first.at, out),
                What::Reservation(key) => self.reservation_due(input, &key, first.at, out),
                What::Outcome(supplier) => self.forget_expired(&supplier, input.time, out),
                What::Choice(basket) => drop(self.choices.remove(&basket.to_string())),
                What::Passed(key) => drop(self.passed.remove(&key)),
                // Something else that was due now may have told already.
                What::Stock(supplier) if self.tells_at(&supplier) != Some(first.at) => {}
                What::Stock(supplier) => self.tell(&supplier, input.time, out),
            }
        }
    }
}

impl Fold for Inventory {
    type Effect = Effect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<Effect>) {
        self.settle(input, out);
        match input.payload {
            Payload::Command(command) => self.command(input, command, out),
            Payload::Choice(choice) => self.choice(input, choice, out),
            Payload::Outcome(outcome) => self.outcome(input, outcome, out),
            Payload::EventAgain(event) => self.again(event, input.time, out),
            Payload::Decision(decision) => self.decision(input, decision, out),
            Payload::Link(fact) => self.link(fact, out),
            Payload::Control(record) => {
                if let Change::Supplier { profile } = &record.change {
                    self.suppliers.edit_or(&profile.supplier, Supplier::default).profile =
                        Some(profile.clone());
                    let cause =
                        input.envelope.cause.as_ref().map(|cause| cause.id.clone()).unwrap_or_default();
                    out.effect(Effect::Registered { profile: profile.clone(), cause });
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|first| first.at)
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![
            &mut self.suppliers,
            &mut self.listings,
            &mut self.former_lines,
            &mut self.reservations,
            &mut self.outcomes,
            &mut self.orders,
            &mut self.answers,
            &mut self.choices,
            &mut self.passed,
        ]
    }

    fn tells_on(&mut self, from: Vec<u8>, effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        self.offers_from(&from, effects)
    }

    fn restored(&mut self, effects: &mut Vec<Effect>) {
        self.rebuild(effects);
    }
}

#[cfg(test)]
mod tests;
