//! The life of a reservation, one case each.

use OrderEventKind::{Cancelled, Placed, Shipped};
use ReservationState::{Confirmed, Held, Lapsed, Ordered, Released};
use RowStatus::{Applied, Conflict, Replayed};

use stockade_model::{BasketId, LineAct, LineRow};

use super::*;

fn shop() -> Shop {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    shop
}

/// Says `kind` of `order`, which was `reservation`, of which it was told nothing else.
fn named(shop: &mut Shop, kind: OrderEventKind, order: &str, name: &str) -> (EventStatus, Option<EventCode>) {
    shop.say(kind, order, |event| event.reservation = Some(reservation(name)))
}

#[test]
fn a_hold_and_its_order_count_once_in_whatever_sequence_they_and_the_confirmation_come() {
    for order in ["r", "o"] {
        for early in [Placed, Shipped, Cancelled] {
            for confirmed_first in [false, true] {
                let mut shop = shop();
                shop.hold("r", 4, 60_000);
                if confirmed_first {
                    shop.confirm("r");
                }
                assert_eq!(named(&mut shop, early, order, "r").0, EventStatus::Applied);
                assert_eq!(shop.state("r").map(|state| state == Ordered), Some(early != Cancelled));
                let confirmed = shop.confirm("r");
                let refused = early == Cancelled;
                assert_eq!(confirmed.status, if refused { Conflict } else { Replayed });
                shop.tick(60_000);
                let after = match early {
                    Placed => (10, 4, 6),
                    Shipped => (6, 0, 6),
                    _ => (10, 0, 10),
                };
                assert_eq!(shop.units(), after, "{early:?} of {order}, confirmed first: {confirmed_first}");
                let rest = shop.say(Placed, order, |event| {
                    event.reservation = Some(reservation("r"));
                    (event.listing, event.quantity) = (Some(listing("l")), Some(4));
                });
                assert!(early != Placed || rest.0 == EventStatus::Duplicate);
                assert_eq!(shop.units(), after, "placed at last");
            }
        }
    }
}

#[test]
fn what_is_cancelled_before_it_was_placed_is_offered_again_at_once() {
    let mut shop = shop();
    shop.hold("r", 4, 60_000);
    assert_eq!(shop.offered(), 6);
    named(&mut shop, Cancelled, "o", "r");
    assert_eq!((shop.units(), shop.offered()), ((10, 0, 10), 10), "buyers are told, not only the books");
}

#[test]
fn an_order_of_fewer_or_more_units_than_were_reserved_has_what_was_placed_and_the_rest_is_kept() {
    for placed in [2, 7] {
        let mut shop = shop();
        shop.hold("r", 4, 60_000);
        shop.say(Placed, "o", |event| {
            event.reservation = Some(reservation("r"));
            event.quantity = Some(placed);
        });
        assert_eq!(shop.units(), (10, placed, 10 - placed.max(4)));
        shop.tick(60_000);
        assert_eq!(shop.units(), (10, placed, 10 - placed), "what was not confirmed has lapsed");
    }
}

#[test]
fn several_reservations_become_the_lines_of_one_order() {
    let mut shop = shop();
    shop.hold("r", 1, 60_000);
    shop.hold("s", 2, 60_000);
    named(&mut shop, Shipped, "o", "r");
    named(&mut shop, Placed, "o", "s");
    named(&mut shop, Placed, "o", "r");
    assert_eq!(shop.units(), (9, 2, 7));
    named(&mut shop, Cancelled, "o", "s");
    assert_eq!(shop.units(), (9, 0, 9), "only what was reserved as s");
}

#[test]
fn a_reservation_that_is_over_unknown_or_of_another_listing_leaves_the_order_to_itself() {
    let mut shop = shop();
    shop.put("m", Some(10), None);
    shop.hold("r", 4, 60_000);
    shop.release("r");
    let placed = |shop: &mut Shop, order: &str, name: &str, of: &'static str| {
        shop.say(Placed, order, |event| {
            event.reservation = Some(reservation(name));
            (event.listing, event.quantity) = (Some(listing(of)), Some(1));
        })
    };
    let applied = |code| (EventStatus::Applied, Some(code));
    assert_eq!(placed(&mut shop, "o", "r", "l"), applied(EventCode::ReservationOver));
    assert_eq!(placed(&mut shop, "p", "x", "l"), applied(EventCode::UnknownReservation));
    shop.hold("s", 4, 60_000);
    assert_eq!(placed(&mut shop, "q", "s", "m"), applied(EventCode::ReservationMismatch));
    assert_eq!(shop.units(), (10, 2, 4), "the hold stays");
    named(&mut shop, Placed, "t", "s");
    assert_eq!(placed(&mut shop, "u", "s", "l"), applied(EventCode::ReservationTaken));
    assert_eq!(shop.units(), (10, 7, 3));
}

#[test]
fn a_name_used_again_lapses_at_its_own_time_on_every_replica() {
    let mut shop = shop();
    shop.hold("r", 2, 10_000);
    shop.release("r");
    assert_eq!(shop.hold("r", 3, 60_000).status, Applied, "released, the name is free");
    let mut other = shop.restored();
    assert_eq!(shop.host.fold.deadline(), other.host.fold.deadline());
    for shop in [&mut shop, &mut other] {
        shop.tick(10_000);
        assert_eq!((shop.state("r"), shop.available()), (Some(Held), 7), "not at the time of the first");
        shop.tick(60_000);
        assert_eq!((shop.state("r"), shop.available()), (Some(Lapsed), 10));
    }
    assert_eq!(shop.rows(), other.rows());
}

#[test]
fn the_same_reservation_asked_for_again_is_answered_and_another_under_its_name_refused() {
    let mut shop = shop();
    shop.hold("r", 2, 60_000);
    assert_eq!(shop.hold("r", 2, 90_000).status, Replayed);
    assert_eq!(shop.hold("r", 400, 90_000).code.as_deref(), Some("reservation_exists"));
    shop.tick(60_000);
    assert_eq!(shop.state("r"), Some(Lapsed), "its time did not move");
}

#[test]
fn strangers_find_no_reservation() {
    let mut shop = shop();
    shop.hold("r", 2, 60_000);
    for owner in [None, Some("bob".to_owned())] {
        let confirmed = shop.row(Row::Confirm { reservation: reservation("r"), owner: owner.clone() });
        let released = shop.row(Row::ReleaseHold { reservation: reservation("r"), owner });
        assert_eq!(confirmed.code.as_deref(), Some("no_reservation"));
        assert_eq!(released.code.as_deref(), Some("no_reservation"));
    }
    assert_eq!(shop.state("r"), Some(Held));
}

#[test]
fn confirming_and_releasing_again_changes_nothing_and_says_so() {
    let mut shop = shop();
    shop.hold("r", 2, 60_000);
    assert_eq!((shop.confirm("r").status, shop.confirm("r").status), (Applied, Replayed));
    assert_eq!(shop.release("r").code.as_deref(), Some("already_confirmed"));
    shop.hold("s", 2, 60_000);
    assert_eq!((shop.release("s").status, shop.release("s").status), (Applied, Replayed));
    assert_eq!(shop.confirm("s").code.as_deref(), Some("reservation_released"));
    shop.hold("t", 2, 60_000);
    shop.tick(60_000);
    assert_eq!(shop.confirm("t").code.as_deref(), Some("reservation_lapsed"));
    assert_eq!(shop.release("t").status, Replayed);
    assert_eq!((shop.state("r"), shop.state("s")), (Some(Confirmed), Some(Released)));
}

#[test]
fn a_hold_is_confirmed_after_its_supplier_was_withheld_but_no_new_one_is_taken() {
    let mut shop = shop();
    shop.hold("r", 2, 60_000);
    shop.level(Some(Level::Quarantine));
    assert_eq!(shop.hold("s", 1, 60_000).code.as_deref(), Some("not_available"));
    assert_eq!(shop.confirm("r").status, Applied);
    assert_eq!(shop.state("r"), Some(Confirmed));
}

#[test]
fn what_is_over_is_forgotten_and_what_is_confirmed_without_an_order_is_given_back() {
    let mut shop = shop();
    shop.hold("r", 2, 60_000);
    shop.hold("s", 2, 60_000);
    shop.hold("t", 2, 60_000);
    shop.confirm("r");
    shop.confirm("s");
    named(&mut shop, Placed, "o", "s");
    shop.release("t");
    let silent = crate::domain::reservation::SILENT_MS;
    shop.tick(1_000 + silent);
    assert_eq!((shop.state("r"), shop.state("s"), shop.state("t")), (Some(Lapsed), None, None));
    assert_eq!(shop.units(), (8, 0, 8), "r is given back, and the order of s is closed");
    shop.tick(1_000 + 2 * silent);
    assert!(shop.host.fold.reservations.is_empty());
}

/// Places `quantity` units of `order`, as `line` if that is named, of the reservation `name`.
fn placed(
    shop: &mut Shop,
    order: &str,
    line: Option<&str>,
    quantity: i64,
    name: &str,
) -> (EventStatus, Option<EventCode>) {
    shop.say(Placed, order, |event| {
        event.line = line.map(|line| stockade_model::LineId::new(line).unwrap());
        event.reservation = Some(reservation(name));
        (event.listing, event.quantity) = (Some(listing("l")), Some(quantity));
    })
}

#[test]
fn a_confirmed_reservation_keeps_what_its_order_has_not_taken_yet() {
    let mut shop = Shop::new();
    shop.put("l", Some(5), None);
    shop.hold("r", 5, 60_000);
    shop.confirm("r");
    assert_eq!(placed(&mut shop, "o", Some("1"), 2, "r"), (EventStatus::Applied, None));
    assert_eq!((shop.units(), shop.listing().confirmed), ((5, 2, 0), 3));
    assert_eq!(shop.hold("s", 3, 60_000).code.as_deref(), Some("not_available"));
    let mut other = shop.restored();
    for shop in [&mut shop, &mut other] {
        shop.tick(60_000);
        assert_eq!(shop.available(), 0, "it was confirmed");
        assert_eq!(placed(shop, "o", Some("2"), 3, "r"), (EventStatus::Applied, None));
        assert_eq!((shop.units(), shop.listing().confirmed), ((5, 5, 0), 0));
        shop.say(Shipped, "o", |_| {});
        assert_eq!(shop.units(), (0, 0, 0));
    }
    assert_eq!(shop.rows(), other.rows());
}

#[test]
fn the_rest_of_a_hold_lapses_is_confirmed_or_is_given_back_by_its_owner() {
    let begun = |confirmed| {
        let mut shop = shop();
        shop.hold("r", 5, 60_000);
        if confirmed {
            shop.confirm("r");
        }
        placed(&mut shop, "o", Some("1"), 2, "r");
        assert_eq!(shop.available(), 5);
        shop
    };
    let mut shop = begun(false);
    shop.tick(60_000);
    assert_eq!((shop.units(), shop.state("r")), ((10, 2, 8), Some(Ordered)), "only what was ordered stays");
    assert_eq!(shop.confirm("r").code.as_deref(), Some("reservation_lapsed"));
    assert_eq!(
        placed(&mut shop, "o", Some("2"), 3, "r"),
        (EventStatus::Applied, Some(EventCode::ReservationOver))
    );
    assert_eq!(shop.units(), (10, 5, 5), "the order has it all the same");
    let mut shop = begun(false);
    assert_eq!(shop.confirm("r").status, Applied);
    shop.tick(60_000);
    assert_eq!(shop.available(), 5);
    let mut shop = begun(true);
    assert_eq!((shop.release("r").status, shop.release("r").status), (Applied, Replayed));
    assert_eq!((shop.units(), shop.state("r")), ((10, 2, 8), Some(Ordered)));
    for names_it in [false, true] {
        let mut shop = begun(true);
        shop.say(Cancelled, "o", |event| event.reservation = names_it.then(|| reservation("r")));
        assert_eq!((shop.units(), shop.state("r")), ((10, 0, 10), Some(ReservationState::Cancelled)));
    }
    let mut shop = begun(true);
    shop.say(Shipped, "o", |_| {});
    assert_eq!(
        (shop.units(), shop.available()),
        ((8, 0, 5), 5),
        "all that was placed was shipped, and no more"
    );
    shop.tick(1_000 + crate::domain::reservation::SILENT_MS);
    assert_eq!(shop.available(), 8, "given back when nothing is heard of the order");
}

#[test]
fn what_is_placed_of_a_reservation_without_lines_adds_up_and_the_whole_said_again_is_a_repeat() {
    let mut shop = shop();
    shop.hold("r", 5, 60_000);
    shop.confirm("r");
    assert_eq!(placed(&mut shop, "o", None, 2, "r"), (EventStatus::Applied, None));
    assert_eq!((shop.units(), shop.available()), ((10, 2, 5), 5));
    assert_eq!(placed(&mut shop, "o", None, 3, "r"), (EventStatus::Applied, None));
    assert_eq!(shop.units(), (10, 5, 5));
    shop.hold("s", 4, 60_000);
    assert_eq!(placed(&mut shop, "p", None, 4, "s").0, EventStatus::Applied);
    for line in [None, Some("1")] {
        let again = placed(&mut shop, "p", line, 4, "s");
        assert_eq!(again, (EventStatus::Duplicate, Some(EventCode::RepeatedOutcome)));
    }
    assert_eq!(shop.units(), (10, 9, 1));
}

#[test]
fn a_reservation_is_cancelled_only_when_nothing_of_it_is_left() {
    let of_line = |shop: &mut Shop, kind, name: &str| {
        shop.say(kind, "o", |event| event.line = stockade_model::LineId::new(name).ok())
    };
    let mut shop = shop();
    shop.hold("r", 5, 60_000);
    shop.confirm("r");
    placed(&mut shop, "o", Some("1"), 2, "r");
    of_line(&mut shop, Cancelled, "1");
    assert_eq!((shop.units(), shop.state("r")), ((10, 0, 7), Some(Ordered)), "three are kept still");
    placed(&mut shop, "o", Some("2"), 3, "r");
    assert_eq!((shop.units(), shop.state("r")), ((10, 3, 7), Some(Ordered)));
    of_line(&mut shop, Cancelled, "2");
    assert_eq!((shop.units(), shop.state("r")), ((10, 0, 10), Some(ReservationState::Cancelled)));
    shop.hold("s", 5, 90_000);
    for (line, quantity) in [("1", 2), ("2", 3)] {
        placed(&mut shop, "p", Some(line), quantity, "s");
    }
    shop.say(Shipped, "p", |event| event.line = stockade_model::LineId::new("1").ok());
    shop.say(Cancelled, "p", |_| {});
    assert_eq!((shop.units(), shop.state("s")), ((8, 0, 8), Some(Ordered)), "some of it was shipped");
}

#[test]
fn what_is_said_of_a_line_before_it_is_placed_frees_no_unit_of_another_line() {
    let said = |shop: &mut Shop, kind, quantity| {
        shop.say(kind, "o", |event| {
            event.line = stockade_model::LineId::new("1").ok();
            event.reservation = Some(reservation("r"));
            (event.listing, event.quantity) = (Some(listing("l")), quantity);
        })
    };
    for (kind, quantity, before) in [
        (Cancelled, None, (10, 5, 5)),
        (Cancelled, Some(2), (10, 3, 7)),
        (Shipped, Some(2), (8, 3, 5)),
        (Shipped, None, (5, 0, 5)),
    ] {
        let mut shop = shop();
        shop.hold("r", 5, 60_000);
        shop.confirm("r");
        let parked = quantity.is_none() && kind == Cancelled;
        let status = if parked { EventStatus::Parked } else { EventStatus::Applied };
        assert_eq!(said(&mut shop, kind, quantity).0, status);
        assert_eq!(shop.units(), before, "{kind:?} {quantity:?}");
        placed(&mut shop, "o", Some("2"), 3, "r");
        placed(&mut shop, "o", Some("1"), 2, "r");
        assert_eq!(shop.units(), if kind == Cancelled { (10, 3, 7) } else { (8, 3, 5) });
    }
}

proptest! {
    /// However an order takes a reservation, by lines or without, in parts and in whatever sequence, nobody else is offered a
    /// unit of it; what it places beyond is taken from the shelf.
    #[test]
    fn what_an_order_takes_of_a_reservation_in_any_parts_is_sold_to_nobody_else(
        parts in proptest::collection::vec((any::<bool>(), 1i64..5), 1..6),
        confirmed in any::<bool>(),
        shipped in any::<bool>(),
    ) {
        let (mut shop, mut sum) = (Shop::new(), 0);
        shop.put("l", Some(40), None);
        shop.hold("r", 6, 60_000);
        if confirmed {
            shop.confirm("r");
        }
        for (index, (named, units)) in parts.iter().enumerate() {
            let line = index.to_string();
            let said = placed(&mut shop, "o", named.then_some(line.as_str()), *units, "r");
            prop_assert_eq!(said, (EventStatus::Applied, None));
            sum += units;
            prop_assert_eq!(shop.available(), 40 - sum.max(6));
        }
        if shipped {
            shop.say(Shipped, "o", |_| {});
            prop_assert_eq!(shop.units(), (40 - sum, 0, 40 - sum.max(6)));
        }
        let mut other = shop.restored();
        for shop in [&mut shop, &mut other] {
            shop.tick(60_000);
            prop_assert_eq!(shop.available(), 40 - if confirmed { sum.max(6) } else { sum });
        }
    }
}

#[test]
fn of_a_capped_supplier_no_more_can_be_held_than_it_has_proven() {
    let mut shop = Shop::new();
    shop.put("l", Some(1_000), None);
    shop.hold("before", 3, 600_000);
    shop.level(Some(Level::Cap));
    assert_eq!(shop.allowance, Some(2), "the grant less what it owes already");
    assert_eq!(shop.hold("much", 3, 600_000).code.as_deref(), Some("not_available"));
    assert_eq!(shop.hold("little", 2, 600_000).status, Applied);
    assert_eq!(shop.allowance, Some(0));
    // Handing over in time proves what it can do, and pays what it owes.
    shop.order(Placed, "o", 20);
    shop.order(Shipped, "o", 20);
    assert_eq!(shop.allowance, Some(20));
    shop.say(Placed, "late", |event| (event.listing, event.quantity) = (Some(listing("l")), Some(7)));
    shop.say(Shipped, "late", |event| {
        (event.listing, event.quantity, event.late) = (Some(listing("l")), Some(7), true);
    });
    assert_eq!(shop.allowance, Some(20), "what is handed over late proves nothing");
    let restored = shop.restored();
    assert_eq!(restored.allowance, Some(20));
    shop.release("little");
    assert_eq!(shop.allowance, Some(22));
    shop.tick(20 * stockade_model::time::DAY_MS);
    shop.hold("later", 1, 21 * stockade_model::time::DAY_MS);
    assert_eq!(shop.allowance, Some(4), "what was proven three weeks ago is over, and so is the first hold");
    shop.level(None);
    assert_eq!(shop.allowance, None);
    assert_eq!(shop.hold("again", 500, 21 * stockade_model::time::DAY_MS).status, Applied);
}

#[test]
fn a_name_used_again_for_another_listing_keeps_the_units_of_that_one() {
    let mut shop = shop();
    shop.put("m", Some(10), None);
    shop.hold("r", 4, 60_000);
    shop.release("r");
    let again = shop.row(Row::Hold {
        reservation: reservation("r"),
        listing: listing("m"),
        quantity: 7,
        expires_at: Timestamp::from_ms(60_000),
        region: None,
        owner: Some("ann".to_owned()),
        request: Some("another".to_owned()),
        bound: None,
    });
    assert_eq!((again.available, shop.units()), (Some(3), (10, 0, 10)));
    shop.tick(60_000);
    let other = shop.host.fold.available_of(&Of::new(&acme(), &listing("m")));
    assert_eq!((shop.units(), other), ((10, 0, 10), Some(10)));
}

#[test]
fn a_line_that_is_tried_once_while_its_supplier_is_locked_out_is_refused_for_good() {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    let line = |name: &str| {
        Row::Line(LineRow {
            reservation: ReservationId::new(&format!("acme::{name}")).unwrap(),
            owner: "ann".to_owned(),
            epoch: None,
            act: LineAct::Hold {
                listing: listing("l"),
                quantity: 1,
                expires_at: Timestamp::from_ms(1_000_000),
                region: Some(Region::new("DE").unwrap()),
                request: "r".to_owned(),
                basket: BasketId::new("basket-1").unwrap(),
                line: 0,
                lines: 1,
                whole: false,
                once: true,
                bound: None,
            },
        })
    };
    shop.level(Some(Level::Lockout));
    assert_eq!(shop.row(line("first")).code.as_deref(), Some("not_available"));
    shop.level(None);
    assert_eq!(shop.row(line("first")).code.as_deref(), Some("not_available"), "another one is tried by now");
    assert_eq!(shop.row(line("second")).status, Applied);
}
