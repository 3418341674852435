//! Listings: what suppliers say they have and where it lies.

use stockade_fold::{Input, Out};
use stockade_model::{
    Command, LineAct, LineRow, ListingId, ListingPut, Row, RowOutcome, RowStatus, StockChange, StockMode,
    SupplierId, inventory::QUANTITY_MAX,
};

use super::{Applied, Effect, Inventory, conflict, invalid, located::Located, remembered::Whose, sequence};
use crate::domain::{key::Of, reservation::Reservation, state::Listing};

/// Whether a row takes supply away whatever there is, if it does anything: nobody has to look it up.
pub(crate) fn only_reduces(row: &Row) -> bool {
    match row {
        Row::Withdraw { .. } => true,
        Row::Stock(StockChange { mode: StockMode::Set, quantity, .. }) => *quantity == 0,
        Row::Stock(StockChange { mode: StockMode::Adjust, quantity, .. }) => *quantity < 0,
        _ => false,
    }
}

/// How many rows took supply away.
pub(super) fn reduced(rows: &[Row], outcomes: &[RowOutcome]) -> usize {
    let applied = |outcome: &RowOutcome| outcome.status == RowStatus::Applied;
    rows.iter().zip(outcomes).filter(|(row, outcome)| only_reduces(row) && applied(outcome)).count()
}

impl Inventory {
    /// Whether a row would put more in front of buyers than there is.
    pub(super) fn adds_supply(&self, id: &SupplierId, row: &Row) -> bool {
        match row {
            Row::Put(_) | Row::Location(_) => true,
            // What is held already is answered for.
            Row::Hold { reservation, .. } => {
                self.reservations.get(&Of::new(id, reservation)).is_none_or(Reservation::is_free)
            }
            Row::Stock(change) => {
                let counts = self.stock_counts(id);
                let listing = self.listings.get(&Of::new(id, &change.listing));
                let counted = listing.map_or(0, |listing| listing.count(counts));
                match change.mode {
                    StockMode::Set => change.quantity > counted,
                    StockMode::Adjust => change.quantity > 0,
                }
            }
            // A line that is tried once has to be refused by itself, which is for good; of what is locked out it is.
            Row::Line(LineRow { reservation, act: LineAct::Hold { once: false, .. }, .. }) => {
                self.reservations.get(&Of::new(id, reservation)).is_none_or(Reservation::is_free)
            }
            Row::Withdraw { .. } | Row::Confirm { .. } | Row::ReleaseHold { .. } | Row::Line(_) => false,
        }
    }

    /// How many rows of a command count for its supplier's share of the partition, as they do where it sends them: a single one unless
    /// it takes supply away, those of a batch but for what [`reduced`] counts when they are decided, and none that a buyer sent.
    pub(super) fn adds(&self, whose: Whose, command: &Command) -> usize {
        match (whose, command.rows.as_slice(), command.refused.len()) {
            (Whose::Buyers, ..) => 0,
            (Whose::Suppliers, [row], 0) => usize::from(self.adds_supply(&command.supplier, row)),
            (Whose::Suppliers, rows, refused) => rows.len() + refused,
        }
    }

    pub(super) fn put(
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
        let at = Of::new(id, &put.listing);
        let counts = self.stock_counts(id);
        let Some(mut listing) = self.listings.get(&at) else { return self.create(input, &at, put, out) };
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
        let left = std::mem::replace(&mut listing.location, put.location.clone());
        if left != put.location {
            self.located.remove(&Located::new(&at, &left));
            self.located.insert(&Located::new(&at, &put.location));
        }
        listing.price = put.price;
        listing.regions.clone_from(&put.regions);
        listing.listing_seq = put.source_seq.or(listing.listing_seq);
        listing.withdrawn = false;
        // Stock that came with an older sequence than the last stock change must not win over it.
        if let Some(on_hand) = put.on_hand
            && sequence(listing.stock_seq, put.source_seq).is_none()
        {
            listing.set_count(counts, on_hand);
            listing.stock_seq = put.source_seq.or(listing.stock_seq);
        }
        Ok(self.changed(input, &at, listing, out))
    }

    /// A listing that was not there before. Orders may have been: what they have of it is kept for them.
    fn create(
        &mut self,
        input: &Input<'_>,
        at: &Of<ListingId>,
        put: &ListingPut,
        out: &mut Out<Effect>,
    ) -> Applied {
        let committed = self.orders_waiting_for(input, at, out);
        let mut listing = Listing {
            sku: put.sku.clone(),
            gtin: put.gtin,
            location: put.location.clone(),
            price: put.price,
            regions: put.regions.clone(),
            on_hand: 0,
            held: 0,
            confirmed: 0,
            committed,
            listing_seq: put.source_seq,
            stock_seq: put.on_hand.and(put.source_seq),
            counted: 0,
            withdrawn: false,
            version: input.offset,
            updated: input.time,
        };
        listing.set_count(self.stock_counts(&at.supplier), put.on_hand.unwrap_or(0));
        self.located.insert(&Located::new(at, &put.location));
        Ok(self.changed(input, at, listing, out))
    }

    pub(super) fn stock(
        &mut self,
        input: &Input<'_>,
        id: &SupplierId,
        change: &StockChange,
        out: &mut Out<Effect>,
    ) -> Applied {
        let counts = self.stock_counts(id);
        let mut listing = self.known(id, &change.listing)?;
        if let Some(status) = sequence(listing.stock_seq, change.source_seq) {
            return Ok((status, Some(listing.available())));
        }
        let before = listing.count(counts);
        let after = match change.mode {
            StockMode::Set => change.quantity,
            StockMode::Adjust => before + change.quantity,
        };
        // More may have been shipped than the supplier said it had; what it gets in then makes up for that first.
        let makes_up = change.mode == StockMode::Adjust && change.quantity > 0;
        if after > QUANTITY_MAX || (after < 0 && !makes_up) {
            let detail =
                format!("on_hand is {before} and would become {after}, allowed is 0 to {QUANTITY_MAX}");
            return Err(conflict("stock_out_of_range", detail));
        }
        listing.set_count(counts, after);
        listing.stock_seq = change.source_seq.or(listing.stock_seq);
        Ok(self.changed(input, &Of::new(id, &change.listing), listing, out))
    }
}
