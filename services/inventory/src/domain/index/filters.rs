//! What a query wants at its bounds, and distances against geometry of another kind: vectors instead of haversines.

use std::f64::consts::PI;

use proptest::prelude::*;

use super::{
    tests::{offer, sku},
    *,
};

/// Mean radius of the Earth in kilometres.
const RADIUS_KM: f64 = 6_371.0;
/// A metre: further off than any rounding here, nearer than anybody asks.
const METRE: f64 = 0.001;

type Vector = [f64; 3];

fn vector((latitude, longitude): (f64, f64)) -> Vector {
    let (lat, lon) = (latitude.to_radians(), longitude.to_radians());
    [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
}
fn combined(a: Vector, s: f64, b: Vector, t: f64) -> Vector {
    std::array::from_fn(|at| a[at] * s + b[at] * t)
}
fn norm(v: Vector) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}
/// The angle between two directions as Kahan writes it, which is exact at 0 and at half a turn.
fn oracle_km(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (a, b) = (vector(from), vector(to));
    2.0 * RADIUS_KM * norm(combined(a, 1.0, b, -1.0)).atan2(norm(combined(a, 1.0, b, 1.0)))
}
/// Where somebody comes out who leaves `from` and goes `km` towards a direction given as a turn from north.
fn travelled(from: (f64, f64), turn: f64, km: f64) -> (f64, f64) {
    let (lat, lon) = (from.0.to_radians(), from.1.to_radians());
    let north = [-lat.sin() * lon.cos(), -lat.sin() * lon.sin(), lat.cos()];
    let east = [-lon.sin(), lon.cos(), 0.0];
    let ahead = combined(north, turn.cos(), east, turn.sin());
    let angle = km / RADIUS_KM;
    let [x, y, z] = combined(vector(from), angle.cos(), ahead, angle.sin());
    (z.atan2(x.hypot(y)).to_degrees(), y.atan2(x).to_degrees())
}

/// Places all over the Earth, with the poles, the equator and the antimeridian more often than chance brings them.
fn place() -> impl Strategy<Value = (f64, f64)> {
    let latitude = prop_oneof![Just(90.0), Just(-90.0), Just(0.0), Just(89.99), -90.0..=90.0];
    let longitude = prop_oneof![Just(180.0), Just(-180.0), Just(0.0), Just(179.99), -180.0..=180.0];
    (latitude, longitude)
}

#[test]
fn known_distances_are_what_they_are() {
    let half_turn = PI * RADIUS_KM;
    let degree = half_turn / 180.0;
    for (from, to, km) in [
        ((52.52, 13.405), (52.52, 13.405), 0.0),
        ((90.0, 0.0), (90.0, 123.0), 0.0),
        ((-90.0, -180.0), (-90.0, 77.0), 0.0),
        ((0.0, 180.0), (0.0, -180.0), 0.0),
        ((0.0, 179.5), (0.0, -179.5), degree),
        ((-16.5, 179.9), (-16.5, -179.9), 0.2 * degree * (-16.5_f64).to_radians().cos()),
        ((90.0, 0.0), (-90.0, 0.0), half_turn),
        ((0.0, 0.0), (0.0, 180.0), half_turn),
        ((45.0, 90.0), (-45.0, -90.0), half_turn),
        ((89.0, 0.0), (89.0, 180.0), 2.0 * degree),
        ((60.0, 10.0), (60.0, 11.0), 55.596_9),
        ((52.52, 13.405), (48.137_2, 11.575_5), 504.2),
    ] {
        let (found, slack) = (distance_km(from, to), if km > 500.0 { 0.2 } else { METRE });
        assert!((found - km).abs() <= slack, "{from:?} to {to:?}: {found}, expected {km}");
    }
}

/// What `query` finds of `offers`, as listing names.
fn found(offers: &[Offer], query: &Query) -> Vec<String> {
    let (index, overlay) = (Index::default(), Overlay::default());
    offers.iter().for_each(|offer| index.put(offer, &overlay));
    let all = Query { limit: 1_000, ..query.clone() };
    let mut found: Vec<String> =
        index.query(&sku(), &all, &overlay).offers.iter().map(|offer| offer.listing.to_string()).collect();
    found.sort();
    found
}

#[test]
fn every_bound_includes_its_end_and_nothing_beyond() {
    let one = |change: &dyn Fn(&mut Offer)| {
        let mut offer = offer(1, 1, 100, 5, 7, 1);
        change(&mut offer);
        [offer]
    };
    let eur = Some(Currency::new("EUR").unwrap());
    let (plain, some) = (one(&|_| {}), ["l1"]);
    let asked = |query: Query| found(&plain, &query);
    let none: [String; 0] = [];
    for min_qty in [0, 1, 6, 7] {
        assert_eq!(asked(Query { min_qty, ..Query::default() }), some, "{min_qty}");
    }
    assert_eq!(asked(Query { min_qty: 8, ..Query::default() }), none);
    let priced = |max_price| asked(Query { max_price: Some(max_price), currency: eur, ..Query::default() });
    assert_eq!((priced(100), priced(101)), (vec!["l1".to_owned()], vec!["l1".to_owned()]), "inclusive");
    assert_eq!((priced(99), priced(0)), (vec![], vec![]));
    let led = |most| asked(Query { max_lead_days: Some(most), ..Query::default() });
    assert_eq!((led(5), led(6), led(4)), (vec!["l1".to_owned()], vec!["l1".to_owned()], vec![]));
    assert_eq!(
        found(
            &one(&|offer| offer.price.minor = 0),
            &Query { max_price: Some(0), currency: eur, ..Query::default() }
        ),
        some
    );
    assert_eq!(found(&one(&|offer| offer.available = 0), &Query::default()), none, "nothing to be had");
    assert_eq!(found(&one(&|offer| offer.available = 1), &Query::default()), some);
    assert_eq!(found(&one(&|offer| offer.withdrawn = true), &Query::default()), none);
    assert_eq!(asked(Query { currency: Some(Currency::new("JPY").unwrap()), ..Query::default() }), none);
    for (region, seen) in [("DE", true), ("DE-BY", true), ("FR", false)] {
        let region = Some(Region::new(region).unwrap());
        assert_eq!(!asked(Query { region, ..Query::default() }).is_empty(), seen, "{region:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn distances_agree_with_vectors_anywhere_on_earth(from in place(), to in place()) {
        let (found, expected) = (distance_km(from, to), oracle_km(from, to));
        prop_assert!((found - expected).abs() <= METRE, "{from:?} to {to:?}: {found}, expected {expected}");
        prop_assert!((distance_km(to, from) - found).abs() <= METRE, "as far back");
    }

    /// From 0 to 20,000 km in any direction: what lies a metre within the radius is found, a metre beyond it is not.
    #[test]
    fn a_radius_reaches_as_far_in_every_direction(
        from in place(), turn in 0.0..(2.0 * PI), km in prop_oneof![Just(0.0), Just(20_000.0), 0.0..20.0, 0.0..20_000.0],
    ) {
        let mut there = offer(1, 1, 100, 0, 1, 1);
        (there.latitude, there.longitude) = travelled(from, turn, km);
        let within = |radius_km: f64| {
            let near = Some((from.0, from.1, radius_km));
            !found(std::slice::from_ref(&there), &Query { near, ..Query::default() }).is_empty()
        };
        prop_assert!(within(km + METRE), "{there:?}");
        prop_assert!(km < 2.0 * METRE || !within(km - METRE), "{there:?}");
    }

    /// All filters at once, with values so close together that every bound is met.
    #[test]
    fn a_query_finds_what_its_description_says(
        offers in proptest::collection::vec((0i64..4, 0u16..4, 0i64..4, any::<bool>(), any::<bool>(), 0usize..3), 0..12),
        min_qty in 0i64..4, max_price in proptest::option::of(0i64..4), max_lead_days in proptest::option::of(0u16..4),
        yen in proptest::option::of(any::<bool>()), region in proptest::option::of(0usize..4),
    ) {
        let currency = |yen: bool| Currency::new(if yen { "JPY" } else { "EUR" }).unwrap();
        let served = [vec!["DE"], vec!["FR"], vec!["DE-BY", "FR"]];
        let asked = ["DE", "FR", "DE-BY", "DE-BE"];
        let made: Vec<Offer> = offers
            .iter()
            .enumerate()
            .map(|(at, (minor, lead, available, withdrawn, yen, regions))| Offer {
                withdrawn: *withdrawn,
                price: Money::new(*minor, currency(*yen)).unwrap(),
                regions: served[*regions].iter().map(|name| Region::new(name).unwrap()).collect(),
                ..offer(1, at as u8, *minor, *lead, *available, 1)
            })
            .collect();
        let query = Query {
            min_qty,
            max_price,
            currency: yen.map(currency),
            max_lead_days,
            region: region.map(|at| Region::new(asked[at]).unwrap()),
            ..Query::default()
        };
        let serves = |regions: &[&str], asked: &str| {
            regions.iter().any(|served| *served == asked || (served.len() == 2 && asked.starts_with(served)))
        };
        let mut expected = Vec::new();
        for (at, (minor, lead, available, withdrawn, is_yen, regions)) in offers.iter().enumerate() {
            let refused = *withdrawn
                || *available < 1
                || *available < min_qty
                || max_price.is_some_and(|most| *minor > most)
                || max_lead_days.is_some_and(|most| *lead > most)
                || yen.is_some_and(|yen| yen != *is_yen)
                || region.is_some_and(|at| !serves(&served[*regions], asked[at]));
            if !refused {
                expected.push(format!("l{at}"));
            }
        }
        expected.sort();
        prop_assert_eq!(found(&made, &query), expected);
    }
}

#[test]
fn prices_of_different_currencies_are_never_compared() {
    let priced = |listing: u8, minor, code: &str, lead| Offer {
        price: Money::new(minor, Currency::new(code).unwrap()).unwrap(),
        ..offer(1, listing, minor, lead, 1, 1)
    };
    let (index, overlay) = (Index::default(), Overlay::default());
    for offer in [
        priced(1, 1_500, "JPY", 1),
        priced(2, 1_999, "EUR", 1),
        priced(3, 500, "EUR", 2),
        priced(4, 10, "JPY", 2),
        priced(5, 600, "KWD", 1),
    ] {
        index.put(&offer, &overlay);
    }
    let order = |sort| {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = Query { sort, limit: 2, after, ..Query::default() };
            let found = index.query(&sku(), &page, &overlay);
            paged.extend(found.offers.iter().map(|o| (o.price.currency.as_str().to_owned(), o.price.minor)));
            after = found.next;
            if after.is_none() {
                return paged;
            }
        }
    };
    let named = |list: &[(&str, i64)]| -> Vec<(String, i64)> {
        list.iter().map(|(code, minor)| ((*code).to_owned(), *minor)).collect()
    };
    let by_price = [("EUR", 500), ("EUR", 1_999), ("JPY", 10), ("JPY", 1_500), ("KWD", 600)];
    assert_eq!(order(Sort::Price), named(&by_price), "one currency after the other");
    let by_lead = [("EUR", 1_999), ("JPY", 1_500), ("KWD", 600), ("EUR", 500), ("JPY", 10)];
    assert_eq!(order(Sort::Lead), named(&by_lead), "where lead times are equal, too");
}

#[test]
fn a_number_that_a_shop_gave_itself_matches_nobody_elses() {
    let (index, overlay) = (Index::default(), Overlay::default());
    let own = Gtin::new("2000000000008").unwrap();
    let common = Gtin::new("4006381333931").unwrap();
    for (supplier, good, gtin) in [(1, "A", own), (2, "B", own), (3, "C", common), (4, "D", common)] {
        let good = Sku::new(good).unwrap();
        index.put(&Offer { sku: good, gtin: Some(gtin), ..offer(supplier, 1, 100, 0, 1, 1) }, &overlay);
    }
    assert!(index.skus(own).is_empty());
    assert_eq!(index.skus(common).len(), 2);
    let all = Query { limit: 10, ..Query::default() };
    let under_its_sku = index.query(&Sku::new("A").unwrap(), &all, &overlay).offers;
    assert_eq!((under_its_sku.len(), under_its_sku[0].gtin), (1, Some(own)));
}
