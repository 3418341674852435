use proptest::prelude::*;
use stockade_model::{Level, Scope, time::DAY_MS};
use stockade_quarantine::conformance::{entry, restriction};

use super::*;

pub(super) fn sku() -> Sku {
    Sku::new("SKU").unwrap()
}

pub(super) fn offer(
    supplier: u8,
    listing: u8,
    minor: i64,
    lead_days: u16,
    available: i64,
    version: u64,
) -> Offer {
    Offer {
        supplier: SupplierId::new(&format!("s{supplier}")).unwrap(),
        listing: ListingId::new(&format!("l{listing}")).unwrap(),
        sku: sku(),
        gtin: None,
        price: Money::new(minor, Currency::new("EUR").unwrap()).unwrap(),
        available,
        on_hand: available,
        withdrawn: false,
        own_regions: false,
        regions: [Region::new("DE").unwrap()].into(),
        location: LocationId::new("main").unwrap(),
        lead_days,
        latitude: 0.0,
        longitude: 0.0,
        version,
        updated: Timestamp::default(),
        number: 0,
    }
}

fn names(offers: &[Offer]) -> Vec<(String, String)> {
    offers.iter().map(|o| (o.supplier.to_string(), o.listing.to_string())).collect()
}

proptest! {
    /// Whatever the page size, the pages together are the whole answer, in order, each offer once.
    #[test]
    fn pages_by_cursor_are_the_whole_answer(
        offers in proptest::collection::vec((0u8..6, 0u8..4, 1i64..6, 0u16..3, 0i64..4), 0..40),
        limit in 1usize..7, by_lead in any::<bool>(), dimmed in proptest::option::of(0u8..6), withheld in proptest::option::of(0u8..6),
    ) {
        let (index, overlay) = (Index::default(), Overlay::default());
        for (version, (supplier, listing, minor, lead, available)) in offers.iter().enumerate() {
            index.put(&offer(*supplier, *listing, *minor, *lead, *available, version as u64), &overlay);
        }
        for (supplier, level) in [(dimmed, Level::Dim), (withheld, Level::Quarantine)] {
            if let Some(supplier) = supplier {
                overlay.apply(&entry(&format!("s{supplier}"), level as u64 + 1, vec![restriction(Scope::Supplier, level)]), 0);
            }
        }
        let sort = if by_lead { Sort::Lead } else { Sort::Price };
        let all = index.query(&sku(), &Query { sort, limit: 1_000, ..Query::default() }, &overlay);
        prop_assert!(all.next.is_none());
        let name = |supplier: Option<u8>| supplier.map(|number| format!("s{number}"));
        let seen = |o: &Offer| Some(o.supplier.to_string()) != name(withheld) && o.available > 0;
        prop_assert!(all.offers.iter().all(seen));
        let rank = |o: &Offer| match sort {
            Sort::Price => (o.price.minor, i64::from(o.lead_days)),
            Sort::Lead | Sort::Distance => (i64::from(o.lead_days), o.price.minor),
        };
        let is_dimmed = |o: &Offer| withheld != dimmed && Some(o.supplier.to_string()) == name(dimmed);
        prop_assert!(all.offers.is_sorted_by_key(|o| (is_dimmed(o), rank(o))), "sorted, the dimmed last");

        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = index.query(&sku(), &Query { sort, limit, after: after.take(), ..Query::default() }, &overlay);
            paged.extend(page.offers);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(names(&paged), names(&all.offers));
    }
}

#[test]
fn an_older_version_of_an_offer_does_not_come_back() {
    let (index, overlay) = (Index::default(), Overlay::default());
    index.put(&offer(1, 1, 500, 0, 9, 7), &overlay);
    index.put(&offer(1, 1, 400, 0, 5, 6), &overlay);
    assert_eq!((index.listings(), index.units()), (1, 9));
}

#[test]
fn listings_of_a_supplier_are_counted_on_the_market_and_in_all_however_many_a_good_has() {
    let (index, overlay) = (Index::default(), Overlay::default());
    let put = |supplier, listing, version, withdrawn| {
        index.put(&Offer { withdrawn, ..offer(supplier, listing, 100, 0, 1, version) }, &overlay);
    };
    let kept = |supplier: &str| index.listings_kept(&SupplierId::new(supplier).unwrap());
    for listing in 0..200 {
        put(1, listing, 1, false);
        put(2, listing, 1, listing < 5);
    }
    assert_eq!((kept("s1"), kept("s2"), kept("s3")), ((200, 200), (195, 200), (0, 0)));
    for listing in 0..150 {
        put(1, listing, 2, true);
    }
    put(1, 3, 2, true);
    put(1, 4, 1, false);
    put(1, 7, 3, false);
    assert_eq!(kept("s1"), (51, 200), "said twice and said late count once");
}

#[test]
fn a_market_is_what_others_offer_and_buyers_can_see() {
    let (index, overlay) = (Index::default(), Overlay::default());
    for (supplier, minor) in [(1, 100), (2, 200), (3, 300), (4, 5)] {
        index.put(&offer(supplier, 1, minor, 0, 10 * i64::from(supplier), 1), &overlay);
    }
    overlay.apply(&entry("s4", 1, vec![restriction(Scope::Supplier, Level::Quarantine)]), 0);
    let seen = |except: &str| {
        let (eur, except) = (Currency::new("EUR").unwrap(), SupplierId::new(except).unwrap());
        index.market(&sku(), eur, &except, &overlay, Timestamp::from_ms(30 * DAY_MS))
    };
    let market = seen("s9").unwrap();
    assert_eq!((market.median_minor, market.offers, market.median_units), (200, 3, 20));
    assert_eq!(seen("s3").unwrap().offers, 2, "one's own offers say nothing about the market");
    assert_eq!(index.withheld(&overlay), (1, 40));
}

#[test]
fn of_a_capped_supplier_buyers_see_what_it_has_proven() {
    let (index, overlay) = (Index::default(), Overlay::default());
    index.put(&offer(1, 1, 500, 1, 100, 1), &overlay);
    let seen = |min_qty| {
        let query = Query { min_qty, limit: 9, ..Query::default() };
        index.query(&sku(), &query, &overlay).offers.iter().map(|offer| offer.available).collect::<Vec<_>>()
    };
    let number = overlay.number(&SupplierId::new("s1").unwrap());
    assert_eq!(seen(100), [100]);
    let capped = entry("s1", 1, vec![restriction(Scope::Supplier, Level::Cap)]);
    overlay.apply(&capped, 0);
    assert_eq!(seen(1), [GRANT], "until its partition has said what is left");
    index.allow(number, Some(12));
    assert_eq!((seen(1), seen(12), seen(13)), (vec![12], vec![12], vec![]));
    index.allow(number, Some(0));
    assert!(seen(0).is_empty());
    overlay.apply(&entry("s1", 2, Vec::new()), 0);
    index.allow(number, None);
    assert_eq!(seen(100), [100]);
}

#[test]
fn of_a_large_market_offers_are_taken_evenly_over_all_prices() {
    let (index, overlay) = (Index::default(), Overlay::default());
    let supplier = |number: i64| format!("of-{number}");
    for number in 0..3_000 {
        let named = SupplierId::new(&supplier(number)).unwrap();
        index.put(&Offer { supplier: named, ..offer(0, 1, number, 1, 1 + number, 1) }, &overlay);
    }
    let (eur, me) = (Currency::new("EUR").unwrap(), SupplierId::new("me").unwrap());
    let seen = || index.market(&sku(), eur, &me, &overlay, Timestamp::from_ms(30 * DAY_MS)).unwrap();
    let all = seen();
    assert_eq!(all.offers, 256);
    assert!((1_450..1_550).contains(&all.median_minor), "{all:?}");
    assert!((1_450..1_550).contains(&all.median_units), "{all:?}");
    // The cheapest were withheld long ago: what is left is found among them.
    for number in 0..2_800 {
        let locked = restriction(Scope::Supplier, Level::Quarantine);
        overlay.apply(&entry(&supplier(number), 1, vec![locked]), 0);
    }
    let left = seen();
    assert!((100..=200).contains(&left.offers), "{left:?}");
    assert!((2_880..2_920).contains(&left.median_minor), "{left:?}");
}
