//! Which offers are taken for lines of a basket that name a good: for each line, in their order, the first of those that a buyer may have
//! of it that has enough beside what other lines of the basket take, and that was not tried for the line before.

use std::collections::{BTreeMap, BTreeSet};

use stockade_model::ListingId;

use super::{index::Offer, key::Of};

/// How often an offer is chosen for a line that is had by itself: once, and again for each refusal.
pub(crate) const TURNS_MAX: u8 = 3;

/// A line that an offer is chosen for.
pub(crate) struct Open {
    /// Its place in the basket.
    pub(crate) line: usize,
    pub(crate) quantity: i64,
    /// What a buyer may have of the good in as many units, the best first.
    pub(crate) offers: Vec<Offer>,
}

/// What was chosen, by line; nothing for a line that no offer is left for. `taken` has the units that the other lines of the basket take,
/// and `tried` what was refused before.
pub(crate) fn choose(
    open: &[Open],
    mut taken: BTreeMap<Of<ListingId>, i64>,
    tried: &BTreeSet<(usize, Of<ListingId>)>,
) -> BTreeMap<usize, Of<ListingId>> {
    let mut chosen = BTreeMap::new();
    for Open { line, quantity, offers } in open {
        let mut fitting = offers.iter().filter_map(|offer| {
            let key = Of::new(&offer.supplier, &offer.listing);
            let used = taken.get(&key).copied().unwrap_or(0);
            let enough = offer.available.saturating_sub(used) >= *quantity;
            (enough && !tried.contains(&(*line, key.clone()))).then_some(key)
        });
        if let Some(key) = fitting.next() {
            *taken.entry(key.clone()).or_default() += quantity;
            chosen.insert(*line, key);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use stockade_model::{Currency, LocationId, Money, Sku, SupplierId, Timestamp};

    use super::*;

    fn offer(supplier: &str, minor: i64, available: i64) -> Offer {
        Offer {
            supplier: SupplierId::new(supplier).unwrap(),
            listing: ListingId::new("l").unwrap(),
            sku: Sku::new("S").unwrap(),
            gtin: None,
            price: Money::new(minor, Currency::new("EUR").unwrap()).unwrap(),
            available,
            on_hand: available,
            withdrawn: false,
            regions: Box::default(),
            own_regions: false,
            location: LocationId::new("main").unwrap(),
            lead_days: 1,
            latitude: 0.0,
            longitude: 0.0,
            version: 0,
            updated: Timestamp::default(),
            number: 0,
        }
    }

    fn key(supplier: &str) -> Of<ListingId> {
        Of { supplier: SupplierId::new(supplier).unwrap(), id: ListingId::new("l").unwrap() }
    }

    fn names(chosen: &BTreeMap<usize, Of<ListingId>>) -> Vec<(usize, &str)> {
        chosen.iter().map(|(line, key)| (*line, key.supplier.as_str())).collect()
    }

    #[test]
    fn each_line_gets_the_first_offer_that_has_enough_beside_what_other_lines_take() {
        let offers = || vec![offer("a", 1, 6), offer("b", 2, 5), offer("c", 3, 9)];
        let open = |line, quantity| Open { line, quantity, offers: offers() };
        let lines = [open(0, 4), open(1, 3), open(2, 2), open(3, 9), open(4, 1)];
        let chosen = choose(&lines, BTreeMap::new(), &BTreeSet::new());
        assert_eq!(names(&chosen), [(0, "a"), (1, "b"), (2, "a"), (3, "c"), (4, "b")]);
        let taken = BTreeMap::from([(key("a"), 5), (key("c"), 1)]);
        assert_eq!(names(&choose(&[open(0, 2), open(1, 9)], taken, &BTreeSet::new())), [(0, "b")]);
    }

    #[test]
    fn what_was_tried_for_a_line_is_not_chosen_for_it_again() {
        let open = |line| Open { line, quantity: 1, offers: vec![offer("a", 1, 6), offer("b", 2, 5)] };
        let tried = BTreeSet::from([(0, key("a")), (2, key("a")), (2, key("b"))]);
        let chosen = choose(&[open(0), open(1), open(2)], BTreeMap::new(), &tried);
        assert_eq!(names(&chosen), [(0, "b"), (1, "a")]);
    }
}
