//! The inventory fold: commands and outcomes in, listings out.

use std::{collections::BTreeSet, sync::Arc};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    Change, Command, Decision, Left, Level, ListingId, ListingPut, LocationPut, Payload, Proposal, Region,
    Row, RowOutcome, RowStatus, Scope, StockChange, StockFigures, StockMode, Subject, SupplierId,
    SupplierProfile, Timestamp, Topic,
    inventory::QUANTITY_MAX,
    time::{DAY_MS, HOUR_MS, SECOND_MS},
};

mod orders;

use super::{
    index::Offer,
    state::{Hold, Listing, OrderLine, Remembered, Supplier},
};

/// How long the outcome of a request is remembered for its idempotency key.
const REMEMBERED_MS: i64 = 24 * HOUR_MS;
/// Outcomes remembered per supplier.
const REMEMBERED_MAX: usize = 2_000;
/// How long an order line is kept after its last outcome.
const ORDER_KEPT_MS: i64 = 90 * DAY_MS;

/// The arbiter is told at most this often what a supplier offers.
const TELL_EVERY_MS: i64 = 10 * SECOND_MS;

/// What the fold tells its process.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A supplier was registered or changed; `cause` is the id of the control record.
    Registered {
        /// Its profile.
        profile: SupplierProfile,
        /// Id of the control record.
        cause: String,
    },
    /// A location of a supplier was created or replaced.
    Located {
        /// The supplier.
        supplier: SupplierId,
        /// The location.
        location: LocationPut,
    },
    /// What a listing offers now.
    Offered(Box<Offer>),
    /// A request was decided.
    Decided {
        /// Id of the record.
        id: String,
        /// Whose request.
        supplier: SupplierId,
        /// Under which its outcome is remembered: the idempotency key, else the record's id.
        key: String,
        /// The outcomes; `None` when the key was used with another body.
        rows: Option<Arc<Vec<RowOutcome>>>,
        /// Whether this was a retry of a request decided before.
        retry: bool,
    },
    /// The outcome of a request is no longer remembered.
    Forgotten {
        /// Whose request.
        supplier: SupplierId,
        /// Its key.
        key: String,
    },
}

/// What is due when; derived from the tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Hold(String),
    Order(String),
    Outcome(SupplierId),
    Stock(SupplierId),
}

/// The fold.
pub struct Inventory {
    suppliers: Table<SupplierId, Supplier>,
    /// By `supplier/listing`.
    listings: Table<String, Listing>,
    /// By `supplier/order/listing`.
    orders: Table<String, OrderLine>,
    /// By `supplier/reservation`.
    holds: Table<String, Hold>,
    /// By `supplier/key`.
    outcomes: Table<String, Remembered>,
    due: BTreeSet<(Timestamp, Due)>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            suppliers: Table::new(1),
            listings: Table::new(2),
            orders: Table::new(3),
            holds: Table::new(4),
            outcomes: Table::new(5),
            due: BTreeSet::new(),
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
        let decided = |rows, retry| Effect::Decided {
            id,
            supplier: command.supplier.clone(),
            key: key.clone(),
            rows,
            retry,
        };
        if let Some(remembered) = self.outcomes.get(&remembered_at) {
            let same = remembered.body_hash == command.body_hash;
            out.effect(decided(same.then(|| Arc::new(remembered.rows.clone())), true));
            return;
        }
        let rows: Vec<RowOutcome> = command
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
        out.effect(decided(Some(Arc::new(rows.clone())), false));
        self.outcomes.insert(remembered_at, Remembered { body_hash: command.body_hash.clone(), rows });
        self.remember(&command.supplier, key, input.time, out);
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
                let offer = self.offer_of(&path(&command.supplier, row.subject()));
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
        let known = self.listings.get(&path(id, listing.as_str()))?;
        sequence(known.stock_seq, *source_seq)
    }

    /// Notes that a request is remembered, and forgets the oldest beyond the bound.
    fn remember(&mut self, id: &SupplierId, key: String, now: Timestamp, out: &mut Out<Effect>) {
        let supplier = self.suppliers.edit_or(id, Supplier::default);
        supplier.remembered.push_back((now, key));
        self.due.insert((now.plus_ms(REMEMBERED_MS), Due::Outcome(id.clone())));
        if supplier.remembered.len() > REMEMBERED_MAX {
            self.forget_oldest(id, out);
        }
    }

    fn forget_oldest(&mut self, id: &SupplierId, out: &mut Out<Effect>) {
        let oldest = self.suppliers.edit(id).and_then(|supplier| supplier.remembered.pop_front());
        if let Some((_, key)) = oldest {
            self.outcomes.remove(&path(id, &key));
            out.effect(Effect::Forgotten { supplier: id.clone(), key });
        }
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
            Row::Withdraw { listing, source_seq } => {
                let listing = self.known(id, listing)?;
                if let Some(status) = sequence(listing.listing_seq, *source_seq) {
                    return Ok((status, Some(listing.available())));
                }
                listing.listing_seq = source_seq.or(listing.listing_seq);
                listing.withdrawn = true;
                self.touched(input, id, row.subject(), out)
            }
            Row::Hold { reservation, listing, quantity, expires_at, region } => {
                self.held_back(id, listing, *region)?;
                self.hold(input, id, reservation, listing, *quantity, *expires_at, out)
            }
            Row::Confirm { reservation } => self.confirm(input, id, reservation, out),
            Row::ReleaseHold { reservation } => self.release(input, id, reservation, out),
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
                return Subject { sku: &put.sku, listing: &put.listing, regions }.level(&supplier.in_force())
                    == lockout;
            }
            Row::Stock(change) => path(id, change.listing.as_str()),
            Row::Hold { .. } | Row::Location(_) => return false,
            Row::Withdraw { .. } | Row::Confirm { .. } | Row::ReleaseHold { .. } => return false,
        };
        self.offer_of(&at).is_some_and(|offer| offer.subject().level(&supplier.in_force()) == lockout)
    }

    /// Refuses to hold what a buyer in `region` may not have. Without a region the units may be for any that the listing
    /// serves, so none of these may be withheld.
    fn held_back(&self, id: &SupplierId, listing: &ListingId, region: Option<Region>) -> Result<(), Refusal> {
        let (Some(supplier), Some(offer)) =
            (self.suppliers.get(id), self.offer_of(&path(id, listing.as_str())))
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
            Some(_) => Ok(()),
        }
    }

    /// Whether a row would put more in front of buyers than there is.
    fn adds_supply(&self, id: &SupplierId, row: &Row) -> bool {
        match row {
            Row::Put(_) | Row::Location(_) | Row::Hold { .. } => true,
            Row::Stock(change) => {
                let on_hand = self
                    .listings
                    .get(&path(id, change.listing.as_str()))
                    .map_or(0, |listing| listing.on_hand);
                match change.mode {
                    StockMode::Set => change.quantity > on_hand,
                    StockMode::Adjust => change.quantity > 0,
                }
            }
            Row::Withdraw { .. } | Row::Confirm { .. } | Row::ReleaseHold { .. } => false,
        }
    }

    fn known(&mut self, id: &SupplierId, listing: &ListingId) -> Result<&mut Listing, Refusal> {
        let unknown =
            || invalid("unknown_listing", format!("{listing} does not exist; create it with PUT first"));
        self.listings.edit(&path(id, listing.as_str())).ok_or_else(unknown)
    }

    /// Marks a listing changed by this record, and tells buyers.
    fn touched(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        listing: &str,
        out: &mut Out<Effect>,
    ) -> Applied {
        let at = path(id, listing);
        if let Some(listing) = self.listings.edit(&at) {
            listing.version = input.offset;
            listing.updated = input.time;
        }
        self.count(id, &at, input.time, out);
        self.offer(&at, out);
        Ok((RowStatus::Applied, self.listings.get(&at).map(Listing::available)))
    }

    fn put(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        put: &ListingPut,
        out: &mut Out<Effect>,
    ) -> Applied {
        let located = self.suppliers.get(id).is_some_and(|s| s.locations.contains_key(&put.location));
        if !located {
            let detail = format!(
                "location {} does not exist; create it with PUT /locations/{} first",
                put.location, put.location
            );
            return Err(invalid("unknown_location", detail));
        }
        let at = path(id, put.listing.as_str());
        let Some(listing) = self.listings.edit(&at) else {
            self.listings.insert(
                at,
                Listing {
                    supplier: id.clone(),
                    listing: put.listing.clone(),
                    sku: put.sku.clone(),
                    gtin: put.gtin,
                    location: put.location.clone(),
                    price: put.price,
                    regions: put.regions.clone(),
                    on_hand: put.on_hand.unwrap_or(0),
                    held: 0,
                    committed: 0,
                    listing_seq: put.source_seq,
                    stock_seq: put.on_hand.and(put.source_seq),
                    counted: 0,
                    withdrawn: false,
                    version: input.offset,
                    updated: input.time,
                },
            );
            return self.touched(input, id, put.listing.as_str(), out);
        };
        if let Some(status) = sequence(listing.listing_seq, put.source_seq) {
            return Ok((status, Some(listing.available())));
        }
        if listing.sku != put.sku {
            let detail = format!(
                "listing {} is of {}; withdraw it and create another for {}",
                put.listing, listing.sku, put.sku
            );
            return Err(conflict("sku_changed", detail));
        }
        listing.gtin = put.gtin;
        listing.location.clone_from(&put.location);
        listing.price = put.price;
        listing.regions.clone_from(&put.regions);
        listing.listing_seq = put.source_seq.or(listing.listing_seq);
        listing.withdrawn = false;
        // Stock that came with an older sequence than the last stock change must not win over it.
        if let Some(on_hand) = put.on_hand
            && sequence(listing.stock_seq, put.source_seq).is_none()
        {
            listing.on_hand = on_hand;
            listing.stock_seq = put.source_seq.or(listing.stock_seq);
        }
        self.touched(input, id, put.listing.as_str(), out)
    }

    fn stock(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        change: &StockChange,
        out: &mut Out<Effect>,
    ) -> Applied {
        let listing = self.known(id, &change.listing)?;
        if let Some(status) = sequence(listing.stock_seq, change.source_seq) {
            return Ok((status, Some(listing.available())));
        }
        let on_hand = match change.mode {
            StockMode::Set => change.quantity,
            StockMode::Adjust => listing.on_hand + change.quantity,
        };
        if !(0..=QUANTITY_MAX).contains(&on_hand) {
            let detail = format!(
                "on_hand is {} and would become {on_hand}, allowed is 0 to {QUANTITY_MAX}",
                listing.on_hand
            );
            return Err(conflict("stock_out_of_range", detail));
        }
        listing.on_hand = on_hand;
        listing.stock_seq = change.source_seq.or(listing.stock_seq);
        self.touched(input, id, change.listing.as_str(), out)
    }

    fn decision(&mut self, decision: &Decision) {
        let whole = decision.in_force.iter().filter(|r| r.scope == Scope::Supplier);
        let level = whole.map(|r| r.level).max();
        let narrow = decision.in_force.iter().filter(|r| r.scope != Scope::Supplier);
        let supplier = self.suppliers.edit_or(&decision.supplier, Supplier::default);
        supplier.level = level;
        supplier.narrow = narrow.map(|r| (r.scope.clone(), r.level)).collect();
    }

    /// Counts what a listing offers now in what its supplier offers, and sees to it that the arbiter hears of it.
    fn count(&mut self, id: &SupplierId, at: &str, now: Timestamp, out: &mut Out<Effect>) {
        let Some(listing) = self.listings.get(at) else { return };
        let units = u64::try_from(listing.available()).unwrap_or(0).min(StockFigures::UNITS_COUNTED_MAX);
        let before = listing.counted;
        if units == before {
            return;
        }
        if let Some(listing) = self.listings.edit(&at.to_owned()) {
            listing.counted = units;
        }
        let supplier = self.suppliers.edit_or(id, Supplier::default);
        let stock = &mut supplier.stock;
        stock.units = stock.units.saturating_sub(before).saturating_add(units);
        match (before, units) {
            (0, _) => stock.listings += 1,
            (_, 0) => stock.listings = stock.listings.saturating_sub(1),
            _ => {}
        }
        if supplier.has_news() {
            match supplier.told {
                Some((_, at)) if now.ms() - at.ms() < TELL_EVERY_MS => {
                    self.due.insert((at.plus_ms(TELL_EVERY_MS), Due::Stock(id.clone())));
                }
                _ => self.tell(id, now, out),
            }
        }
    }

    fn tell(&mut self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        let Some(supplier) = self.suppliers.edit(id).filter(|supplier| supplier.has_news()) else { return };
        let figures = supplier.stock;
        supplier.told = Some((figures, now));
        let proposal = Proposal::Stock { supplier: id.clone(), figures };
        out.emit(Topic::LockoutProposals, Dest::Key(id.to_string()), Payload::Proposal(proposal));
    }

    fn offer(&self, at: &str, out: &mut Out<Effect>) {
        if let Some(offer) = self.offer_of(at) {
            out.effect(Effect::Offered(Box::new(offer)));
        }
    }

    fn offer_of(&self, at: &str) -> Option<Offer> {
        let listing = self.listings.get(at)?;
        let location = self.suppliers.get(&listing.supplier)?.locations.get(&listing.location)?;
        let regions =
            if listing.regions.is_empty() { vec![location.region] } else { listing.regions.clone() };
        Some(Offer {
            supplier: listing.supplier.clone(),
            listing: listing.listing.clone(),
            sku: listing.sku.clone(),
            gtin: listing.gtin,
            price: listing.price,
            available: listing.available(),
            on_hand: listing.on_hand,
            withdrawn: listing.withdrawn,
            regions: regions.into(),
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
        let here = |listing: &&Listing| listing.supplier == *id && listing.location == put.location;
        let mut paths: Vec<String> =
            self.listings.iter().map(|(_, l)| l).filter(here).map(|l| path(id, l.listing.as_str())).collect();
        paths.sort_unstable();
        paths.iter().for_each(|at| self.offer(at, out));
    }

    /// Does what time has brought.
    fn settle(&mut self, input: &Input<'_>, out: &mut Out<Effect>) {
        while let Some(first) = self.due.first().filter(|(at, _)| *at <= input.time).cloned() {
            self.due.remove(&first);
            match first.1 {
                Due::Order(at) => drop(self.orders.remove(&at)),
                Due::Outcome(supplier) => self.forget_expired(&supplier, input.time, out),
                Due::Stock(supplier) => self.tell(&supplier, input.time, out),
                Due::Hold(at) => {
                    let lapsed = self.holds.get(&at).filter(|hold| !hold.confirmed).cloned();
                    if let Some(hold) = lapsed {
                        self.holds.remove(&at);
                        if let Ok(listing) = self.known(&hold.supplier, &hold.listing) {
                            listing.held -= hold.quantity;
                        }
                        let _ = self.touched(input, &hold.supplier, hold.listing.as_str(), out);
                    }
                }
            }
        }
    }

    fn forget_expired(&mut self, id: &SupplierId, now: Timestamp, out: &mut Out<Effect>) {
        let expired =
            |s: &Supplier| s.remembered.front().is_some_and(|(at, _)| at.plus_ms(REMEMBERED_MS) <= now);
        while self.suppliers.get(id).is_some_and(expired) {
            self.forget_oldest(id, out);
        }
    }
}

impl Fold for Inventory {
    type Effect = Effect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<Effect>) {
        self.settle(input, out);
        match input.payload {
            Payload::Command(command) => self.command(input, command, out),
            Payload::Outcome(outcome) => self.outcome(input, outcome, out),
            Payload::Decision(decision) => self.decision(decision),
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
        self.due.first().map(|(at, _)| *at)
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.suppliers, &mut self.listings, &mut self.orders, &mut self.holds, &mut self.outcomes]
    }

    fn restored(&mut self, effects: &mut Vec<Effect>) {
        for (id, supplier) in self.suppliers.iter() {
            if let Some(profile) = &supplier.profile {
                effects.push(Effect::Registered { profile: profile.clone(), cause: String::new() });
            }
            for location in supplier.locations.values() {
                effects.push(Effect::Located { supplier: id.clone(), location: location.clone() });
            }
            if let Some((_, at)) = supplier.told.filter(|_| supplier.has_news()) {
                self.due.insert((at.plus_ms(TELL_EVERY_MS), Due::Stock(id.clone())));
            }
            for (at, key) in &supplier.remembered {
                self.due.insert((at.plus_ms(REMEMBERED_MS), Due::Outcome(id.clone())));
                if let Some(remembered) = self.outcomes.get(&path(id, key)) {
                    let rows = Some(Arc::new(remembered.rows.clone()));
                    let (supplier, key) = (id.clone(), key.clone());
                    effects.push(Effect::Decided { id: String::new(), supplier, key, rows, retry: true });
                }
            }
        }
        let offers = self.listings.iter().filter_map(|(at, _)| self.offer_of(at));
        effects.extend(offers.map(|offer| Effect::Offered(Box::new(offer))));
        let holds = self.holds.iter().filter(|(_, hold)| !hold.confirmed);
        self.due.extend(holds.map(|(at, hold)| (hold.expires_at, Due::Hold(at.clone()))));
        let orders = self
            .orders
            .iter()
            .map(|(at, line)| (line.touched.plus_ms(ORDER_KEPT_MS), Due::Order(at.clone())));
        self.due.extend(orders);
    }
}

#[cfg(test)]
mod tests;
