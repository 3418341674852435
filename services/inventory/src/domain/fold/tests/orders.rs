//! What orders do to stock, one case each.

use EventCode::{
    AmbiguousQuantity, Contradicts, MoreThanOrdered, NoListing, NotPlaced, RepeatedOutcome, UnknownListing,
    UnknownSupplier,
};
use EventStatus::{Applied, Conflict, Duplicate, Noted, Parked};
use OrderEventKind::{Cancelled, Delivered, Placed, Refunded, Shipped};
use stockade_model::LineId;

use super::*;

fn of(listing_name: &'static str, quantity: i64) -> impl Fn(&mut OrderEvent) {
    move |event| (event.listing, event.quantity) = (Some(listing(listing_name)), Some(quantity))
}

fn line(name: &'static str, quantity: i64) -> impl Fn(&mut OrderEvent) {
    move |event| {
        of("l", quantity)(event);
        event.line = LineId::new(name).ok();
    }
}

fn shop(on_hand: i64) -> Shop {
    let mut shop = Shop::new();
    shop.put("l", Some(on_hand), None);
    shop
}

#[test]
fn the_quantity_of_every_outcome_counts() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 5);
    shop.order(Cancelled, "o", 2);
    assert_eq!(shop.units(), (10, 3, 7), "three are owed still");
    shop.order(Shipped, "o", 1);
    assert_eq!(shop.units(), (9, 2, 7));
    assert_eq!(shop.say(Shipped, "o", |_| {}), (Applied, None));
    assert_eq!(shop.units(), (7, 0, 7), "without a quantity it is all that is left");
}

#[test]
fn more_than_was_ordered_is_told_and_takes_no_more_than_was_ordered() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 3);
    assert_eq!(shop.say(Shipped, "o", of("l", 5)), (Conflict, Some(MoreThanOrdered)));
    assert_eq!(shop.units(), (7, 0, 7));
    assert_eq!(shop.say(Cancelled, "o", of("l", 1)), (Conflict, Some(MoreThanOrdered)));
    assert_eq!(shop.units(), (7, 0, 7), "what was shipped is not cancelled");
    shop.order(Placed, "p", 4);
    shop.order(Cancelled, "p", 4);
    assert_eq!(shop.units(), (7, 0, 7));
    assert_eq!(shop.say(Shipped, "p", of("l", 4)), (Conflict, Some(MoreThanOrdered)));
    assert_eq!(shop.units(), (3, 0, 3), "the goods have left, whatever was cancelled");
    let said = MoreThanOrdered.detail();
    assert!(said.contains("what was shipped counts first and has left the shelf"), "{said}");
}

#[test]
fn two_lines_of_one_listing_stand_side_by_side_and_lines_without_a_name_add_up() {
    let mut shop = shop(10);
    assert_eq!(shop.say(Placed, "o", line("1", 2)), (Applied, None));
    assert_eq!(shop.say(Placed, "o", line("2", 3)), (Applied, None));
    assert_eq!(shop.units(), (10, 5, 5));
    shop.say(Cancelled, "o", |event| event.line = LineId::new("1").ok());
    assert_eq!(shop.units(), (10, 3, 7), "only its own line");
    assert_eq!(shop.say(Placed, "o", line("2", 3)), (Duplicate, Some(RepeatedOutcome)));
    assert_eq!(shop.say(Placed, "o", line("2", 4)), (Conflict, Some(Contradicts)));
    assert_eq!(shop.units(), (10, 3, 7), "a line is placed once");
    shop.order(Placed, "p", 1);
    shop.order(Placed, "p", 1);
    assert_eq!(shop.units(), (10, 5, 5), "without names they add up");
}

#[test]
fn an_outcome_counts_once_under_whatever_event_ids_and_parts_tell_equal_halves_apart() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 5);
    for (again, answer) in [(0, Applied), (1, Duplicate), (2, Duplicate)] {
        shop.now_ms += again;
        assert_eq!(shop.say(Cancelled, "o", of("l", 2)).0, answer);
        assert_eq!(shop.units(), (10, 3, 7));
    }
    assert_eq!(shop.say(Cancelled, "o", |event| event.quantity = Some(2)).0, Duplicate, "named or not");
    let part = |name: &'static str| {
        move |event: &mut OrderEvent| {
            of("l", 1)(event);
            event.part = Some(name.to_owned());
        }
    };
    assert_eq!(shop.say(Shipped, "o", part("a")).0, Applied);
    assert_eq!(shop.say(Shipped, "o", part("b")).0, Applied);
    assert_eq!(shop.say(Shipped, "o", part("b")).0, Duplicate);
    assert_eq!(shop.units(), (8, 1, 7));
    let tracked = |number: &'static str| {
        move |event: &mut OrderEvent| {
            of("l", 1)(event);
            event.tracking = Some(number.to_owned());
        }
    };
    assert_eq!(shop.say(Shipped, "o", tracked("T1")).0, Applied);
    assert_eq!(shop.units(), (7, 0, 7), "parcels differ by their tracking numbers");
    assert_eq!(shop.say(Shipped, "o", tracked("T1")).0, Duplicate);
}

#[test]
fn an_outcome_without_a_listing_is_about_all_lines_of_its_order() {
    let mut shop = shop(10);
    shop.put("m", Some(10), None);
    shop.order(Placed, "o", 2);
    shop.say(Placed, "o", of("m", 3));
    let of_m = |shop: &Shop| {
        let row = shop.host.fold.listings.get(&Of::new(&acme(), &listing("m"))).unwrap();
        (row.on_hand, row.committed)
    };
    assert_eq!((shop.units(), of_m(&shop)), ((10, 2, 8), (10, 3)));
    assert_eq!(
        shop.say(Cancelled, "o", |event| event.quantity = Some(1)),
        (Conflict, Some(AmbiguousQuantity))
    );
    assert_eq!((shop.units(), of_m(&shop)), ((10, 2, 8), (10, 3)));
    assert_eq!(shop.say(Shipped, "o", |_| {}), (Applied, None));
    assert_eq!((shop.units(), of_m(&shop)), ((8, 0, 8), (7, 0)));
}

#[test]
fn what_concerns_no_stock_is_noted_and_changes_none() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 2);
    shop.order(Shipped, "o", 2);
    for kind in [Delivered, Refunded, OrderEventKind::Disputed, OrderEventKind::Reviewed] {
        assert_eq!(shop.say(kind, "o", of("l", 2)), (Noted, None));
    }
    assert_eq!(shop.units(), (8, 0, 8), "goods that come back count when the supplier says so");
    let sku_only = |event: &mut OrderEvent| event.sku = Sku::new("SKU").ok();
    assert_eq!(shop.say(Placed, "p", sku_only), (Noted, Some(NoListing)));
    assert!(shop.host.fold.orders.get(&Of::new(&acme(), &OrderId::new("p").unwrap())).is_none());
    assert_eq!(shop.units(), (8, 0, 8));
}

#[test]
fn what_comes_before_its_listing_or_supplier_is_parked_and_counts_when_that_is_there() {
    let mut shop = Shop::unregistered();
    let first = shop.next_event();
    assert_eq!(shop.say(Placed, "o", of("l", 2)), (Parked, Some(UnknownSupplier)));
    shop.register(StockCounts::IncludingOrdered);
    let second = shop.next_event();
    assert_eq!(shop.say(Placed, "p", of("l", 3)), (Parked, Some(UnknownListing)));
    let mut other = shop.restored();
    for shop in [&mut shop, &mut other] {
        shop.put("l", Some(10), None);
        assert_eq!(shop.units(), (10, 5, 5), "both are owed");
        assert_eq!((shop.answer(&first), shop.answer(&second)), ((Applied, None), (Applied, None)));
        shop.order(Shipped, "o", 2);
        assert_eq!(shop.units(), (8, 3, 5));
    }
}

#[test]
fn a_cancellation_waits_for_what_it_cancels() {
    let mut shop = shop(10);
    let id = shop.next_event();
    assert_eq!(shop.say(Cancelled, "o", |_| {}), (Parked, Some(NotPlaced)));
    shop.order(Placed, "o", 4);
    assert_eq!(shop.units(), (10, 0, 10));
    assert_eq!(shop.answer(&id), (Applied, None));
}

#[test]
fn an_event_that_came_again_is_told_to_its_sender() {
    let mut shop = shop(10);
    let id = shop.next_event();
    shop.order(Placed, "o", 2);
    let again = |shop: &mut Shop, id: &str, differs| {
        let event = EventAgain {
            id: EventId::new(id).unwrap(),
            source: "test".to_owned(),
            supplier: acme(),
            differs,
        };
        shop.apply(&Payload::EventAgain(event));
        shop.answers[&event_identity("test", id)]
    };
    let told = again(&mut shop, &id, false);
    assert_eq!((told.status, told.again), (Applied, Some(EventCode::RepeatedId)));
    let told = again(&mut shop, &id, true);
    assert_eq!((told.status, told.again), (Applied, Some(EventCode::IdReused)));
    assert_eq!(again(&mut shop, "forgotten", true).status, Conflict);
    assert_eq!(shop.units(), (10, 2, 8));
}

#[test]
fn answers_are_bounded_by_number_and_age() {
    let mut shop = shop(10);
    let oldest = shop.next_event();
    for _ in 0..answers::ANSWERS_MAX + 10 {
        shop.say(Delivered, "o", |_| {});
        shop.now_ms += 1;
    }
    assert_eq!(shop.host.fold.answers.len(), answers::ANSWERS_MAX);
    assert!(shop.host.fold.answers.get(&event_identity("test", &oldest)).is_none());
    shop.now_ms += stockade_model::time::DAY_MS;
    shop.say(Delivered, "o", |_| {});
    assert_eq!(shop.host.fold.answers.len(), 1);
}

#[test]
fn a_count_that_leaves_out_what_is_ordered_is_not_taken_twice() {
    for (counts, counted_after_order) in
        [(StockCounts::IncludingOrdered, 10), (StockCounts::ExcludingOrdered, 6)]
    {
        let mut shop = Shop::new();
        shop.register(counts);
        shop.put("l", Some(10), None);
        shop.order(Placed, "o", 4);
        assert_eq!(shop.available(), 6);
        // The same shelf, counted by either convention.
        assert_eq!(shop.stock("l", StockMode::Set, counted_after_order, None).available, Some(6));
        shop.order(Shipped, "o", 4);
        assert_eq!(shop.available(), 6);
        assert_eq!(shop.stock("l", StockMode::Set, 6, None).available, Some(6));
        assert_eq!(shop.stock("l", StockMode::Adjust, 2, None).available, Some(8));
        let counted = shop.listing().count(counts);
        assert_eq!(counted, 8, "the supplier reads back what it said");
    }
}

#[test]
fn a_listing_with_holds_and_orders_is_counted_withdrawn_moved_and_locked_without_losing_them() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 3);
    shop.hold("r", 2, 60_000);
    assert_eq!(shop.stock("l", StockMode::Set, 4, None).available, Some(0), "never below nothing");
    assert_eq!(shop.hold("s", 1, 60_000).code.as_deref(), Some("not_available"));
    assert_eq!(shop.stock("l", StockMode::Adjust, 2, None).available, Some(1), "6 less 3 and 2");
    assert_eq!(shop.row(Row::Withdraw { listing: listing("l"), source_seq: None }).available, Some(0));
    assert_eq!(shop.confirm("r").status, RowStatus::Applied, "a promise outlives the offer");
    shop.order(Shipped, "o", 3);
    shop.row(Row::Location(location("other")));
    let row = shop.row(Row::Put(ListingPut {
        listing: listing("l"),
        sku: Sku::new("SKU").unwrap(),
        gtin: None,
        location: LocationId::new("other").unwrap(),
        price: Money::new(500, Currency::new("EUR").unwrap()).unwrap(),
        regions: Vec::new(),
        on_hand: None,
        source_seq: None,
        market: None,
    }));
    assert_eq!(row.available, Some(1), "3 left of which 2 are promised");
    shop.level(Some(Level::Lockout));
    shop.say(Shipped, "r", of("l", 2));
    shop.level(None);
    assert_eq!(shop.units(), (1, 0, 1));
}

#[test]
fn what_was_shipped_beyond_the_count_is_made_up_for_by_what_comes_in() {
    let mut shop = shop(1);
    shop.order(Placed, "o", 3);
    shop.order(Shipped, "o", 3);
    assert_eq!(shop.units(), (-2, 0, 0));
    assert_eq!(shop.stock("l", StockMode::Adjust, 1, None).status, RowStatus::Applied);
    assert_eq!(shop.stock("l", StockMode::Adjust, 4, None).available, Some(3));
    assert_eq!(shop.stock("l", StockMode::Adjust, -4, None).status, RowStatus::Conflict);
}

#[test]
fn an_order_of_which_nothing_is_heard_is_closed_and_sells_nothing_twice() {
    let mut shop = shop(10);
    shop.order(Placed, "o", 3);
    shop.order(Shipped, "o", 1);
    let before = shop.available();
    shop.tick(1_000 + crate::domain::reservation::SILENT_MS);
    assert_eq!((shop.units(), before), ((7, 0, 7), 7));
    assert!(shop.host.fold.orders.is_empty());
}

#[test]
fn a_location_that_changes_looks_at_its_own_listings_and_finds_those_that_moved_there() {
    let mut shop = shop(10);
    shop.put("m", Some(1), None);
    shop.row(Row::Location(location("other")));
    let mut moved = shop.restored();
    for shop in [&mut shop, &mut moved] {
        shop.row(Row::Put(ListingPut {
            listing: listing("m"),
            sku: Sku::new("SKU").unwrap(),
            gtin: None,
            location: LocationId::new("other").unwrap(),
            price: Money::new(500, Currency::new("EUR").unwrap()).unwrap(),
            regions: Vec::new(),
            on_hand: None,
            source_seq: None,
            market: None,
        }));
        let offered = |shop: &mut Shop, name: &str| -> Vec<String> {
            let command = Command {
                supplier: acme(),
                idempotency_key: None,
                body_hash: String::new(),
                rows: vec![Row::Location(location(name))],
                precondition: None,
                places: Vec::new(),
                refused: Vec::new(),
                forgets: None,
            };
            let effects = shop.apply(&Payload::Command(command));
            let offers = effects.iter().filter_map(|effect| match effect {
                Effect::Offered(offer) => Some(offer.listing.to_string()),
                _ => None,
            });
            offers.collect()
        };
        assert_eq!(offered(shop, "main"), ["l"]);
        assert_eq!(offered(shop, "other"), ["m"]);
    }
}

#[test]
fn rows_of_earlier_builds_are_taken_over() {
    #[derive(serde::Serialize)]
    struct Line {
        quantity: i64,
        placed: bool,
        shipped: bool,
        cancelled: bool,
        touched: Timestamp,
    }
    #[derive(serde::Serialize)]
    struct Hold {
        supplier: SupplierId,
        listing: ListingId,
        quantity: i64,
        expires_at: Timestamp,
        confirmed: bool,
    }
    let mut shop = shop(10);
    let mut former = Inventory::default();
    for (key, row) in shop.rows() {
        let (name, key) = key.split_first().unwrap();
        let mut tables = former.tables();
        let table = tables.iter_mut().find(|table| table.name() == *name).unwrap();
        table.load(key, &row).unwrap();
    }
    // Stored by the build before: an open order of 2, a shipped one of 1, a hold of 1 and a confirmed one of 3.
    let touched = Timestamp::from_ms(1_000);
    let line = |quantity, shipped| Line { quantity, placed: true, shipped, cancelled: false, touched };
    let hold = |quantity, confirmed| Hold {
        supplier: acme(),
        listing: listing("l"),
        quantity,
        expires_at: Timestamp::from_ms(60_000),
        confirmed,
    };
    let bytes = |line: &Line| rmp_serde::to_vec_named(line).unwrap();
    for (key, row) in
        [("acme/o/l", line(2, false)), ("acme/p/l", line(1, true)), ("acme/c/l", line(3, false))]
    {
        former.former_lines.load(key.as_bytes(), &bytes(&row)).unwrap();
    }
    for (key, row) in [("acme/h", hold(1, false)), ("acme/c", hold(3, true))] {
        former.reservations.load(key.as_bytes(), &rmp_serde::to_vec_named(&row).unwrap()).unwrap();
    }
    let former_figures = |row: &mut Listing| (row.on_hand, row.held, row.committed) = (9, 1, 5);
    former.listings.edit(&Of::new(&acme(), &listing("l")), former_figures).unwrap();
    former.restored(&mut Vec::new());
    shop.host.fold = former;
    assert_eq!(shop.available(), 3);
    // A start builds what buyers see from the rows themselves.
    shop.told_buyers.insert(listing("l"), 3);
    shop.order(Placed, "c", 3);
    assert_eq!(shop.units(), (9, 5, 3), "the order of the confirmed hold is not committed twice");
    shop.say(Shipped, "o", |_| {});
    shop.say(Shipped, "c", |_| {});
    assert_eq!(shop.units(), (4, 0, 3));
    shop.tick(60_000);
    assert_eq!(shop.units(), (4, 0, 4), "the hold lapses");
    assert!(shop.host.fold.former_lines.is_empty());
}

#[test]
fn orders_of_the_build_before_are_taken_over_where_a_reservation_was_one_line() {
    #[derive(serde::Serialize)]
    struct FormerLine {
        line: Option<LineId>,
        listing: Option<ListingId>,
        placed: Option<i64>,
        reserved: i64,
        reservations: Vec<ReservationId>,
    }
    #[derive(serde::Serialize)]
    struct FormerOrder {
        lines: Vec<FormerLine>,
        acts: Vec<()>,
        touched: Timestamp,
    }
    let mut shop = shop(10);
    for name in ["r", "s", "t"] {
        shop.hold(name, 4, 60_000);
        shop.say(Shipped, name, |event| (event.reservation, event.part) = (Some(reservation(name)), None));
    }
    let mut rows = shop.rows();
    for (order, line, placed) in [("r", Some("1"), Some(2)), ("s", None, Some(4)), ("t", Some("1"), None)] {
        let line = FormerLine {
            line: line.and_then(|line| LineId::new(line).ok()),
            listing: Some(listing("l")),
            placed,
            reserved: 4,
            reservations: vec![reservation(order)],
        };
        let former = FormerOrder { lines: vec![line], acts: Vec::new(), touched: Timestamp::from_ms(1_000) };
        let key = rows.keys().find(|key| key.ends_with(format!("acme/{order}").as_bytes()) && key[0] == 6);
        let key = key.unwrap().clone();
        rows.insert(key, rmp_serde::to_vec_named(&former).unwrap());
    }
    let mut fold = Inventory::default();
    for (key, row) in &rows {
        let (name, key) = key.split_first().unwrap();
        fold.tables().into_iter().find(|table| table.name() == *name).unwrap().load(key, row).unwrap();
    }
    let units = |order: &str| {
        let order = fold.orders.get(&Of::new(&acme(), &OrderId::new(order).unwrap())).unwrap();
        order.units()[&listing("l")].committed
    };
    assert_eq!(["r", "s", "t"].map(units), [2, 4, 4], "as that build had them");
}
