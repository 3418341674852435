use RowStatus::Applied;

use stockade_model::{HoldBound, time::DAY_MS};

use super::{super::holders::ENDED_MAX, *};

const BOUND: HoldBound = HoldBound { percent: 50, units: 10 };

fn hold_as(shop: &mut Shop, owner: &str, name: &str, quantity: i64) -> RowOutcome {
    shop.row(Row::Hold {
        reservation: reservation(name),
        listing: listing("l"),
        quantity,
        expires_at: Timestamp::from_ms(60_000),
        region: None,
        owner: Some(owner.to_owned()),
        request: Some(format!("{quantity}")),
        bound: Some(BOUND),
    })
}

#[test]
fn a_hoarder_is_refused_while_others_hold_the_same_listing_and_what_it_ends_frees_places() {
    let mut shop = Shop::new();
    shop.put("l", Some(100), None);
    assert_eq!(hold_as(&mut shop, "ann", "r", 30).status, Applied);
    assert_eq!(hold_as(&mut shop, "ann", "s", 20).status, Applied, "half of what is on hand");
    let refused = |shop: &mut Shop, quantity| {
        let said = hold_as(shop, "ann", "t", quantity);
        assert_eq!(said.code.as_deref(), Some(TOO_MANY_UNITS_HELD), "{said:?}");
        assert!(!said.detail.unwrap().contains(" l "), "no listing is named");
    };
    refused(&mut shop, 1);
    assert_eq!(hold_as(&mut shop, "bob", "u", 40).status, Applied, "another buyer still has its part");
    assert_eq!(hold_as(&mut shop, "bob", "v", 11).code.as_deref(), Some("not_available"), "of what is there");
    assert_eq!(hold_as(&mut shop, "ann", "r", 30).status, RowStatus::Replayed, "what stands is answered");
    // A restored process counts the same.
    refused(&mut shop.restored(), 1);
    shop.release("s");
    assert_eq!(hold_as(&mut shop, "ann", "t", 20).status, Applied, "given back");
    shop.confirm("r");
    assert_eq!(hold_as(&mut shop, "ann", "w", 10).status, Applied, "confirmed is bought, and counts no more");
    shop.tick(60_000);
    assert_eq!(hold_as(&mut shop, "ann", "x", 50).status, Applied, "all has lapsed but what is confirmed");
    assert_eq!(shop.units(), (100, 0, 20));
}

#[test]
fn of_few_units_a_key_may_hold_ten_and_an_order_ends_what_it_held() {
    let mut shop = Shop::new();
    shop.put("l", Some(12), None);
    assert_eq!(hold_as(&mut shop, "ann", "r", 10).status, Applied);
    assert_eq!(hold_as(&mut shop, "ann", "s", 1).code.as_deref(), Some(TOO_MANY_UNITS_HELD));
    shop.say(OrderEventKind::Placed, "o", |event| event.reservation = Some(reservation("r")));
    assert_eq!(hold_as(&mut shop, "ann", "s", 2).status, Applied, "what was ordered is held no more");
    // Records of builds that knew no bound have none.
    shop.put("l", Some(1_000), None);
    assert_eq!(shop.hold("t", 900, 60_000).status, Applied);
}

#[test]
fn of_what_a_key_has_ended_the_last_is_known_and_the_oldest_is_forgotten() {
    let mut shop = Shop::new();
    shop.put("l", Some(10), None);
    let name = |number: usize| format!("r-{number}");
    for number in 0..ENDED_MAX + 3 {
        shop.now_ms += 1;
        assert_eq!(shop.hold(&name(number), 1, 600_000_000).status, Applied);
        shop.release(&name(number));
    }
    assert_eq!(shop.host.fold.reservations.iter().count(), ENDED_MAX);
    assert_eq!([0, 2, 3].map(|number| shop.state(&name(number)).is_some()), [false, false, true]);
    let mut other = shop.restored();
    for shop in [&mut shop, &mut other] {
        shop.now_ms += 1;
        hold_as(shop, "bob", "of-bob", 1);
        shop.row(Row::ReleaseHold { reservation: reservation("of-bob"), owner: Some("bob".to_owned()) });
        assert!(shop.state(&name(3)).is_some(), "what another ends pushes nothing out");
        shop.hold("last", 1, 600_000_000);
        shop.release("last");
        assert_eq!([3, 4].map(|number| shop.state(&name(number)).is_some()), [false, true]);
    }
    assert_eq!(shop.rows(), other.rows());
    shop.tick(shop.now_ms + 2 * DAY_MS);
    assert_eq!(shop.host.fold.reservations.iter().count(), 0);
    assert!(shop.host.fold.holders.is_empty());
}
