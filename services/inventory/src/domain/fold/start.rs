//! What a start makes of the rows: what is derived from them, and what the process is told.

use stockade_fold::RowKey as _;

use super::{Due, Effect, Inventory, TELL_EVERY_MS, What, located::Located, path, remembered::REMEMBERED_MS};

/// Offers told at once after a start.
const TOLD_TOGETHER: usize = 4_096;

impl Inventory {
    /// Offers from one on, and from where on there are more.
    pub(super) fn offers_from(&self, from: &[u8], effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        let mut next = None;
        self.listings.each_from(from, |at, listing| {
            if effects.len() == TOLD_TOGETHER {
                next = Some(at.to_bytes());
            } else if let Some(offer) = self.offer_as(&at, &listing) {
                effects.push(Effect::Offered(Box::new(offer)));
            }
            next.is_none()
        });
        next
    }

    /// Makes what is derived from the rows, and tells the process of all but the offers.
    pub(super) fn rebuild(&mut self, effects: &mut Vec<Effect>) {
        let (owed, owes, located) = (&mut self.owed, &mut self.owes, &mut self.located);
        self.listings.each(|at, listing| {
            located.insert(&Located::new(&at, &listing.location));
            if listing.owed() > 0 {
                *owes.entry(at.supplier.clone()).or_default() += listing.owed();
                owed.insert(at, listing.owed());
            }
        });
        self.restore_bytes();
        for (id, supplier) in self.suppliers.iter() {
            if let Some(profile) = &supplier.profile {
                effects.push(Effect::Registered { profile: profile.clone(), cause: String::new() });
            }
            for location in supplier.locations.values() {
                effects.push(Effect::Located { supplier: id.clone(), location: location.clone() });
            }
            if let Some((payout, _)) = &supplier.crowd {
                effects.push(Effect::Crowded { supplier: id.clone(), payout: payout.clone() });
            }
            if supplier.is_capped() {
                let last = supplier.handed.last().map_or(0, |(day, _)| *day);
                let units = Some(self.allowance(id, last));
                effects.push(Effect::Allowance { supplier: id.clone(), units });
            }
            if let Some((_, at)) = supplier.told.filter(|_| supplier.has_news()) {
                self.due.insert(&Due::new(at.plus_ms(TELL_EVERY_MS), What::Stock(id.clone())));
            }
            for (at, _) in supplier.remembered.iter().chain(&supplier.remembered_of_buyers) {
                self.due.insert(&Due::new(at.plus_ms(REMEMBERED_MS), What::Outcome(id.clone())));
            }
            for (_, key) in &supplier.remembered {
                if let Some(remembered) = self.outcomes.get(&path(id, key)) {
                    let rows = Some(remembered.rows.clone());
                    let (supplier, key) = (id.clone(), key.clone());
                    let (id, of_buyer) = (String::new(), false);
                    let holds = None;
                    effects.push(Effect::Decided {
                        id,
                        supplier,
                        key,
                        rows,
                        adds: 0,
                        of_buyer,
                        holds,
                        retry: true,
                    });
                }
            }
        }
        for (key, row) in self.reservations.iter() {
            self.due.insert(&Due::new(row.due(), What::Reservation(key.clone())));
            self.kept.note(key, None, Some(row));
            self.holders.note(key, None, Some(row));
            effects.push(Effect::Reserved { key: key.clone(), reservation: Box::new(row.clone()) });
        }
        for (identity, row) in self.answers.iter() {
            self.answers_by_age.insert(&(row.at, *identity));
            effects.push(Effect::Answered { identity: *identity, answer: row.answer, news: false });
        }
        self.restore_choices();
        self.restore_orders();
        self.orders.each(|key, order| {
            if order.is_placed() {
                effects.push(Effect::Placed { supplier: key.supplier, order: key.id, kept: true });
            }
        });
    }
}
