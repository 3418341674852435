use stockade_model::ListingId;

use super::*;
use crate::domain::{InBasket, ReservationState};

fn supplier(name: &str) -> SupplierId {
    SupplierId::new(name).unwrap()
}

fn row(owner: &str, basket: Option<InBasket>) -> Reservation {
    Reservation {
        listing: ListingId::new("l").unwrap(),
        quantity: 1,
        region: None,
        owner: Some(owner.to_owned()),
        request: None,
        state: ReservationState::Held,
        since: Timestamp::from_ms(0),
        expires_at: Timestamp::from_ms(60_000),
        order: None,
        confirmed: false,
        rest: 0,
        basket: basket.map(Box::new),
    }
}

fn key(of: &str, number: usize) -> Of<ReservationId> {
    Of::new(&supplier(of), &ReservationId::new(&format!("{of}::{number:06}")).unwrap())
}

fn put(known: &Reservations, of: &str, number: usize, owner: &str) {
    known.put(key(of, number), row(owner, None), 0);
}

#[test]
fn what_others_have_reserved_costs_nobody_who_lists_one_supplier_or_its_own() {
    let known = Reservations::default();
    (0..5_000).for_each(|number| put(&known, "aaa", number, "flood"));
    (0..3).for_each(|number| put(&known, "zzz", number, if number == 0 { "ann" } else { "bea" }));
    for (owner, of, expected) in [
        (None, Some("zzz"), 3),
        (None, Some("none"), 0),
        (Some("ann"), None, 1),
        (Some("ann"), Some("aaa"), 0),
        (Some("flood"), Some("zzz"), 0),
    ] {
        let listed = known.list(owner, of.map(supplier).as_ref(), None, 51);
        assert_eq!((listed.found.len(), listed.looked), (expected, expected), "{owner:?} {of:?}");
        assert_eq!(listed.looked_to, None);
    }
}

#[test]
fn a_page_looks_at_so_many_rows_and_no_more_and_all_pages_are_the_whole_list() {
    let known = Reservations::default();
    // The names of this supplier begin as those of `a` do.
    (0..5_000).for_each(|number| put(&known, "a::b", number, "flood"));
    put(&known, "a", 1, "ann");
    known.put(Of::new(&supplier("a"), &ReservationId::new("a::zz").unwrap()), row("ann", None), 0);
    let (mut after, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let listed = known.list(None, Some(&supplier("a")), after.as_ref(), 51);
        assert!(listed.looked <= ROWS_MAX + ROWS_AT_ONCE, "{}", listed.looked);
        found.extend(listed.found.into_iter().map(|(name, ..)| name.to_string()));
        (after, pages) = (listed.looked_to, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (vec!["a::000001".to_owned(), "a::zz".to_owned()], 3));
}

#[test]
fn a_page_of_baskets_ends_when_it_has_looked_at_so_many_lines() {
    let known = Reservations::default();
    for basket in 0..100 {
        for line in 0..50_u16 {
            let place = InBasket {
                basket: BasketId::new(&format!("basket-{basket:03}")).unwrap(),
                line,
                lines: 50,
                whole: true,
                epoch: 1,
                kept: true,
            };
            known.put(key("acme", basket * 50 + usize::from(line)), row("ann", Some(place)), 0);
        }
    }
    let (mut after, mut names, mut pages) = (None, Vec::new(), 0);
    loop {
        let listed = known.baskets(Some("ann"), "", after.as_ref(), 501);
        assert!(listed.looked <= ROWS_MAX + ROWS_AT_ONCE + 50, "{}", listed.looked);
        assert!(listed.found.iter().all(|(_, lines)| lines.len() == 50));
        names.extend(listed.found.into_iter().map(|(name, _)| name.to_string()));
        (after, pages) = (listed.looked_to, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (100, 3));
    assert!(names.is_sorted());
    assert!(known.baskets(Some("bea"), "", None, 501).found.is_empty());
    // Each is looked after once, the one that changed last not before its time.
    known.look_again(BasketId::new("basket-007").unwrap(), 10);
    assert_eq!(known.take_restless(9).len(), 99);
    assert_eq!(known.take_restless(10).len(), 1);
    assert!(known.take_restless(1_000).is_empty());
}

#[test]
fn what_is_open_of_a_key_is_what_lapses_unless_it_is_confirmed() {
    let known = Reservations::default();
    (0..3).for_each(|number| put(&known, "acme", number, "ann"));
    put(&known, "acme", 3, "bea");
    assert_eq!(known.open_of("ann"), (3, Some(Timestamp::from_ms(60_000))));
    let now = Timestamp::from_ms(1);
    known.put(key("acme", 0), row("ann", None).to(ReservationState::Confirmed, now), 0);
    known.put(key("acme", 1), row("ann", None).to(ReservationState::Released, now), 0);
    known.put(key("acme", 2), Reservation { expires_at: Timestamp::from_ms(90_000), ..row("ann", None) }, 0);
    assert_eq!(known.open_of("ann"), (1, Some(Timestamp::from_ms(90_000))));
    // A name that is free may be another's by now.
    known.put(key("acme", 1), row("bea", None), 0);
    assert_eq!((known.open_of("ann").0, known.open_of("bea").0), (1, 2));
    assert_eq!(known.list(Some("ann"), None, None, 9).found.len(), 2);
    (0..4).for_each(|number| known.remove(&key("acme", number)));
    assert_eq!((known.open_of("ann"), known.open_of("bea")), ((0, None), (0, None)));
    assert!(known.0.read().by_owner.is_empty());
}
