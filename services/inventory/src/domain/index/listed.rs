//! The listings of one supplier, page by page, whatever restrictions say: for the supplier itself.

use stockade_model::SupplierId;

use super::{Index, Offer};

/// A page of a supplier's listings.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    /// The listings, in no order that means anything.
    pub(crate) offers: Vec<Offer>,
    /// Where the next page begins; `None` on the last.
    pub(crate) next: Option<(u32, u32)>,
}

impl Index {
    /// Some `limit` listings of a supplier, those behind `after`. A listing that is there from the first page to the last is on
    /// one of them.
    pub(crate) fn listed(&self, supplier: &SupplierId, after: Option<(u32, u32)>, limit: usize) -> Listed {
        let number = self.owners.number(supplier);
        let Some((number, owner)) = number.and_then(|number| Some((number, self.owners.get(number)?))) else {
            return Listed::default();
        };
        let mut entries = owner.listed_behind(after, limit.max(1));
        let next = entries.last().copied().filter(|_| entries.len() >= limit.max(1));
        // Listings of one good and hash are found together.
        entries.dedup();
        let mut offers = Vec::with_capacity(entries.len());
        for (hash, good) in entries {
            let Some(of_good) = self.goods.get(good) else { continue };
            of_good.each_of(number, |view, row| {
                if self.owners.hash(view.listing(row)) == hash {
                    offers.extend(self.offer(view, row));
                }
            });
        }
        Listed { offers, next }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stockade_quarantine::Overlay;

    use super::*;
    use crate::domain::index::tests::offer;

    #[test]
    fn the_pages_of_a_supplier_hold_each_of_its_listings_once_and_nobody_elses() {
        let (index, overlay) = (Index::default(), Overlay::default());
        let mut expected = BTreeSet::new();
        for good in 0..3_000_u64 {
            let base = offer(0, 1, 100, 1, 5, 1);
            let listing = stockade_model::ListingId::new(&format!("l-{good}")).unwrap();
            let sku = stockade_model::Sku::new(&format!("s-{}", good / 3)).unwrap();
            expected.insert(listing.to_string());
            index.put(&Offer { listing, sku, ..base.clone() }, &overlay);
            index.put(&Offer { supplier: "other".parse().unwrap(), ..base }, &overlay);
        }
        let supplier = offer(0, 1, 100, 1, 5, 1).supplier;
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = index.listed(&supplier, after, 100);
            found.extend(page.offers.iter().map(|offer| offer.listing.to_string()));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((found.len(), pages >= 30), (expected.len(), true));
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(index.listed(&"nobody".parse().unwrap(), None, 10).offers.is_empty());
    }
}
