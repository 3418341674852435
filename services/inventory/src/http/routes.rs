//! The calls of suppliers, buyers and order systems, as they are declared.

use std::sync::Arc;

use axum::{Router, http::StatusCode, middleware};
use serde_json::json;
use stockade_model::{LocationPut, Registration, RowOutcome, SupplierProfile};
use stockade_runtime::{
    Work,
    api::{Asked, Operation, Routes, Sent},
    http::{Readiness, reads_when_caught_up},
    list::Page,
};

use super::{
    answer::shapes,
    baskets, buyer, cloudevents, events, lists, reservations,
    rows::{LocationBody, PutBody, StockBody},
    stream, supplier,
};
use crate::app::App;

const SUPPLIERS: &str = "Suppliers";
const BUYERS: &str = "Buyers";
const ORDERS: &str = "Orders";
const STAFF: [&str; 3] = ["analyst", "approver", "operator"];

/// What writing to the log may end with.
const WRITES: [&str; 5] =
    ["overloaded", "log_unavailable", "log_unconfirmed", "disk_full", "read_only_replica"];

/// A supplier's own call, which takes from its allowance.
fn of_supplier(operation: Operation) -> Operation {
    operation.tag(SUPPLIERS).limited().fails(&["unknown_supplier", "starting"])
}

/// A write that adds supply: what it may be refused for while others wait.
fn adds(operation: Operation, work: Work) -> Operation {
    operation.work(work).fails(&["class_limited", "share_used"])
}

/// A write of one row: what it is answered with, and what it may end with.
fn one_row(operation: Operation) -> Operation {
    of_supplier(operation)
        .heeds(&[Asked::IdempotencyKey, Asked::IfMatch, Asked::IfNoneMatch, Asked::Traceparent])
        .answers::<RowOutcome>(StatusCode::OK, "What became of it.")
        .sends(StatusCode::OK, &[Sent::Position, Sent::IdempotentReplay, Sent::Record])
        .answers::<supplier::PendingBody<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
        .sends(StatusCode::ACCEPTED, &[Sent::Location, Sent::Position])
        .fails(&WRITES)
        .fails(&["idempotency_key_reused", "no_outcome", "conflict"])
}

fn a_list(operation: Operation) -> Operation {
    operation.tag(SUPPLIERS).fails(&["bad_cursor", "invalid_request", "starting"]).example_of("limit", 50)
}

/// The calls of suppliers, and of operators about them.
fn suppliers() -> Routes<Arc<App>> {
    let one = "/v1/suppliers/{supplier}";
    let location = "/v1/suppliers/{supplier}/locations/{location}";
    Routes::default()
        .add(
            a_list(Operation::get("/v1/suppliers", "listSuppliers", "Every supplier that is registered"))
                .answers::<Page<SupplierProfile>>(StatusCode::OK, "A page of them, by their ids."),
            lists::suppliers,
        )
        .add(
            Operation::get(one, "getSupplier", "A supplier with its locations")
                .tag(SUPPLIERS)
                .answers::<supplier::SupplierBody>(StatusCode::OK, "What is known of it.")
                .fails(&["unknown_supplier", "starting"]),
            supplier::get,
        )
        .add(
            Operation::put(one, "registerSupplier", "Registers a supplier, or changes what is said of it")
                .about("What is not said stays as it is.")
                .tag(SUPPLIERS)
                .example("acme", json!({ "name": "Acme", "region": "DE", "since": "2020-01-01T00:00:00Z" }))
                .answers::<SupplierProfile>(StatusCode::OK, "The whole profile as it is now.")
                .answers::<Registration>(StatusCode::ACCEPTED, "It is durable and not everywhere yet.")
                .fails(&WRITES)
                .fails(&["too_many_registrations"]),
            supplier::register,
        )
        .add(
            a_list(Operation::get(
                format!("{one}/locations"),
                "listLocations",
                "Where a supplier's stock lies",
            ))
            .fails(&["unknown_supplier"])
            .answers::<Page<LocationPut>>(StatusCode::OK, "A page of them, by the supplier's own names."),
            lists::locations,
        )
        .add(
            Operation::get(location, "getLocation", "One location")
                .tag(SUPPLIERS)
                .answers::<LocationPut>(StatusCode::OK, "Where it is and how fast stock leaves it.")
                .tagged()
                .fails(&["unknown_supplier", "unknown_location", "starting"]),
            supplier::get_location,
        )
        .add(
            adds(one_row(Operation::put(location, "putLocation", "Says where stock lies")), Work::Row)
                .body::<LocationBody>()
                .example(
                    "berlin",
                    json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 2 }),
                )
                .fails(&["location_changed", "supplier_locked_out", "too_many_locations"]),
            supplier::put_location,
        )
        .and(listings())
}

/// The calls about listings and their stock.
fn listings() -> Routes<Arc<App>> {
    let of = "/v1/suppliers/{supplier}";
    let one = "/v1/suppliers/{supplier}/listings/{listing}";
    let changed = ["listing_changed", "supplier_locked_out", "unknown_listing"];
    Routes::default()
        .add(
            a_list(Operation::get(format!("{of}/listings"), "listListings", "What a supplier has listed"))
                .about("Withdrawn listings included.")
                .fails(&["unknown_supplier", "list_failed"])
                .answers::<Page<supplier::ListingBody<'_>>>(StatusCode::OK, "A page, by the supplier's own names."),
            lists::listings,
        )
        .add(
            Operation::get(one, "getListing", "One listing as its supplier sees it")
                .tag(SUPPLIERS)
                .answers::<supplier::ListingBody<'_>>(StatusCode::OK, "What is offered, and how much is left.")
                .tagged()
                .fails(&["unknown_listing", "starting"]),
            supplier::get_listing,
        )
        .add(
            adds(one_row(Operation::put(one, "putListing", "Puts a listing")), Work::Row)
                .about("`If-None-Match: *` only creates, `If-Match` only changes what bears that tag.")
                .body::<PutBody>()
                .example(
                    "ten units",
                    json!({
                        "sku": "SKU-1", "gtin": "4006381333931", "location": "main",
                        "price": { "minor": 1999, "currency": "EUR" }, "on_hand": 10,
                    }),
                )
                .fails(&changed)
                .fails(&["sku_changed", "stock_out_of_range", "too_many_listings"])
                .fails_as(StatusCode::UNPROCESSABLE_ENTITY, "unknown_location"),
            supplier::put_listing,
        )
        .add(
            one_row(Operation::delete(one, "withdrawListing", "Takes a listing off the market"))
                .about("What is reserved or ordered stands.")
                .fails(&changed)
                .fails(&["class_limited", "share_used"]),
            supplier::withdraw,
        )
        .add(
            adds(
                one_row(Operation::post(format!("{one}/stock"), "changeStock", "Sets or adjusts the stock of a listing")),
                Work::Stock,
            )
                .about("With `source_seq`, your own count of changes, what is older loses whatever order it comes in.")
                .body::<StockBody>()
                .example("three sold elsewhere", json!({ "adjust": -3, "source_seq": 7 }))
                .example("counted", json!({ "set": 10 }))
                .fails(&changed)
                .fails(&["stock_out_of_range"]),
            supplier::stock,
        )
        .add(
            adds(
                of_supplier(Operation::post(
                    format!("{of}/inventory:batch"),
                    "changeInventory",
                    "Puts, stocks and withdraws up to 1,000 listings",
                )),
                Work::Bulk,
            )
            .fails(&["too_many_waiting"])
            .about("Good rows apply, bad rows say why.")
            .heeds(&[Asked::IdempotencyKey, Asked::Traceparent])
            .body::<supplier::BatchBody<'_>>()
            .example(
                "one of each",
                json!({ "rows": [
                    { "op": "put", "listing": "l-2", "sku": "SKU-2", "location": "main",
                      "price": { "minor": 500, "currency": "EUR" }, "on_hand": 4 },
                    { "op": "stock", "listing": "l-1", "set": 10 },
                    { "op": "withdraw", "listing": "l-3" },
                ] }),
            )
            .answers::<supplier::BatchAnswer<'_>>(StatusCode::OK, "What became of each row.")
            .sends(StatusCode::OK, &[Sent::Position, Sent::IdempotentReplay, Sent::Record])
            .answers::<supplier::PendingBody<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
            .sends(StatusCode::ACCEPTED, &[Sent::Location, Sent::Position])
            .fails(&WRITES)
            .fails(&["bad_etag", "precondition_on_batch", "idempotency_key_reused"]),
            supplier::batch,
        )
        .add(
            a_list(Operation::get(format!("{of}/operations"), "listOperations", "What a supplier asked for within a day"))
                .fails(&["unknown_supplier"])
                .answers::<Page<lists::Operation>>(StatusCode::OK, "A page, by the Idempotency-Keys."),
            lists::operations,
        )
        .add(
            Operation::get(format!("{of}/operations/{{key}}"), "getOperation", "What became of a request")
                .tag(SUPPLIERS)
                .answers::<supplier::BatchAnswer<'_>>(StatusCode::OK, "What became of each row.")
                .fails(&["no_outcome_yet", "starting"]),
            supplier::operation,
        )
}

/// What a change of a reservation may end with.
fn of_reservation(operation: Operation) -> Operation {
    operation.tag(BUYERS).roles(&["buyer"]).limited().heeds(&[Asked::Traceparent]).fails(&WRITES).fails(&[
        "starting",
        "no_reservation",
        "pending",
    ])
}

fn reads_reservations(operation: Operation) -> Operation {
    operation
        .tag(BUYERS)
        .roles(&["buyer", "order-system"])
        .roles(&STAFF)
        .limited()
        .fails(&["invalid_request"])
}

/// The calls about reservations.
fn holds() -> Routes<Arc<App>> {
    use baskets::{OneOrBasket, OneOrLines, RefusedBody};
    use reservations::ReservationBody;
    let one = "/v1/reservations/{reservation}";
    let held = [Sent::Position, Sent::IdempotentReplay];
    let leads = |operation: Operation, to: &'static str| {
        operation.leads_to(StatusCode::CREATED, to, &[("reservation", "$response.body#/reservation")])
    };
    let reserve = of_reservation(Operation::post("/v1/reservations", "reserve", "Holds units for a while"))
        .about(
            "The same Idempotency-Key finds the reservation again as it is. It belongs to the key that made it; for any other buyer \
             there is none. Units of one listing, or with `lines` a basket of several listings of any suppliers: `all_or_nothing` holds all \
             of them or none, `per_line` what is to be had. What is not comes with other offers of the same good. A line names a \
             listing, or a good by `sku` or `gtin` with the `region` it is to go to: then the cheapest offer that has enough is chosen, and \
             whoever repeats the request gets the same choice. Where it is refused all the same, `per_line` tries up to two more offers, \
             while `all_or_nothing` names others: reserve again under a fresh key. A basket that takes \
             too long is answered 503 `pending`: ask again under the same key, which finishes what was begun.",
        )
        .heeds(&[Asked::IdempotencyKey])
        .body::<OneOrLines>()
        .example("two units", json!({ "supplier": "acme", "listing": "l-1", "quantity": 2 }))
        .example(
            "with lines",
            json!({
                "mode": "all_or_nothing",
                "lines": [
                    { "supplier": "acme", "listing": "l-1", "quantity": 2 },
                    { "supplier": "acme", "listing": "l-2", "quantity": 1, "region": "DE" },
                ],
            }),
        )
        .example(
            "with goods",
            json!({
                "mode": "per_line",
                "lines": [
                    { "sku": "SKU-1", "quantity": 1, "region": "DE", "currency": "EUR", "max_price": 2_500 },
                    { "gtin": "4006381333931", "quantity": 1, "region": "DE" },
                ],
            }),
        )
        .answers::<OneOrBasket>(StatusCode::CREATED, "They are held; of a basket by lines, what was to be had.")
        .sends(StatusCode::CREATED, &held)
        .answers::<OneOrBasket>(StatusCode::OK, "They were held under this key before; how it stands now.")
        .sends(StatusCode::OK, &held)
        .fails(&["not_available", "idempotency_key_reused", "reservation_lapsed", "reservation_released"])
        .fails(&["too_many_units_held", "too_many_holds", "share_used"])
        .fails_with::<RefusedBody>(StatusCode::CONFLICT);
    let reserve = leads(leads(leads(reserve, "getReservation"), "confirmReservation"), "releaseReservation")
        .leads_to(StatusCode::CREATED, "getBasket", &[("basket", "$response.body#/basket")])
        .leads_to(StatusCode::CREATED, "confirmBasket", &[("basket", "$response.body#/basket")])
        .leads_to(StatusCode::CREATED, "releaseBasket", &[("basket", "$response.body#/basket")]);
    Routes::default()
        .add(
            reads_reservations(Operation::get(
                "/v1/reservations",
                "listReservations",
                "Reservations by their names",
            ))
            .about(
                "A buyer sees its own. Those that ended within a day are included, of one key the last 10,000 in each partition. A page \
                 may be shorter than `limit` and have a `next` all the same.",
            )
            .example_of("limit", 50)
            .answers::<Page<ReservationBody>>(StatusCode::OK, "A page of them.")
            .fails(&["bad_cursor"]),
            reservations::list,
        )
        .add(reserve, reservations::reserve)
        .add(
            reads_reservations(Operation::get(one, "getReservation", "One reservation"))
                .heeds(&[Asked::Position])
                .answers::<ReservationBody>(StatusCode::OK, "How it stands.")
                .fails(&["no_reservation"]),
            reservations::get,
        )
        .add(
            of_reservation(Operation::post(
                format!("{one}:confirm"),
                "confirmReservation",
                "Takes what is held",
            ))
            .about("Confirming again is answered the same.")
            .answers::<ReservationBody>(StatusCode::OK, "It is confirmed.")
            .sends(StatusCode::OK, &held)
            .fails(&[
                "order_cancelled",
                "reservation_lapsed",
                "reservation_released",
                "part_of_basket",
            ]),
            reservations::confirm,
        )
        .add(
            of_reservation(Operation::delete(one, "releaseReservation", "Gives back what is held"))
                .about("Giving it back again, or what has lapsed, is answered the same.")
                .answers_nothing(StatusCode::NO_CONTENT, "It is given back.")
                .sends(StatusCode::NO_CONTENT, &held)
                .fails(&["already_confirmed", "part_of_basket"]),
            reservations::release,
        )
        .and(whole_baskets())
}

/// The calls about baskets: reservations of several listings that were asked for at once.
fn whole_baskets() -> Routes<Arc<App>> {
    use baskets::{BasketBody, RefusedBody};
    let one = "/v1/baskets/{basket}";
    let held = [Sent::Position, Sent::IdempotentReplay];
    Routes::default()
        .add(
            reads_reservations(Operation::get("/v1/baskets", "listBaskets", "Baskets by their names"))
                .about(
                    "A buyer sees its own. Those that ended within a day are included. A page may be shorter than `limit` and have a \
                     `next` all the same.",
                )
                .example_of("limit", 50)
                .answers::<Page<BasketBody>>(StatusCode::OK, "A page of them.")
                .fails(&["bad_cursor"]),
            baskets::list,
        )
        .add(
            reads_reservations(Operation::get(one, "getBasket", "One basket with its lines"))
                .about("Lines that were not to be had are not part of it.")
                .heeds(&[Asked::Position])
                .answers::<BasketBody>(StatusCode::OK, "How it stands.")
                .fails(&["no_reservation"]),
            baskets::get,
        )
        .add(
            of_reservation(Operation::post(
                format!("{one}:confirm"),
                "confirmBasket",
                "Takes all that a basket holds",
            ))
            .about(
                "Confirming again is answered the same. Of a basket `all_or_nothing` either every line is confirmed, or one is over and none \
                 is: then all are given back and the answer says which was. Of one `per_line` each line says what became of it.",
            )
            .heeds(&[Asked::Position])
            .answers::<BasketBody>(StatusCode::OK, "It is confirmed.")
            .sends(StatusCode::OK, &held)
            .fails(&["order_cancelled", "reservation_lapsed", "reservation_released"])
            .fails_with::<RefusedBody>(StatusCode::CONFLICT),
            baskets::confirm,
        )
        .add(
            of_reservation(Operation::delete(one, "releaseBasket", "Gives back all that a basket holds"))
                .about("Giving it back again, or what has lapsed, is answered the same.")
                .heeds(&[Asked::Position])
                .answers_nothing(StatusCode::NO_CONTENT, "It is given back.")
                .sends(StatusCode::NO_CONTENT, &held)
                .fails(&["already_confirmed"]),
            baskets::release,
        )
}

/// The calls of order systems.
fn order_events() -> Routes<Arc<App>> {
    let placed = json!({
        "specversion": "1.0", "id": "e1", "source": "shop", "type": "stockade.order.placed",
        "data": { "supplier": "acme", "order": "o1", "buyer": "b1", "listing": "l-1", "quantity": 1 },
    });
    Routes::default()
        .add(
            Operation::post("/v1/events", "sendEvents", "Tells what became of orders")
                .work(Work::Events)
                .about(
                    "One CloudEvent 1.0 as JSON, or an array of up to 1,000, or one in binary mode with its attributes in `ce-` headers. \
                     What is accepted is durable. Of an array, good events count and bad ones say why; those that are `held_back`, for the \
                     server is behind where they go, are to be sent again after `retry_after_s`.",
                )
                .tag(ORDERS)
                .roles(&["order-system"])
                .limited()
                .body::<cloudevents::OneOrMany>()
                .body_as::<cloudevents::Structured<'_>>("application/cloudevents+json")
                .body_as::<Vec<cloudevents::Structured<'_>>>("application/cloudevents-batch+json")
                .example("placed", placed)
                .answers::<events::Receipt>(StatusCode::ACCEPTED, "What became of each event.")
                .fails(&WRITES)
                .fails(&["too_many_waiting", "share_used"]),
            events::receive,
        )
        .add(
            Operation::get("/v1/events/{source}/{id}", "getEvent", "What became of an event")
                .about("Within a day.")
                .tag(ORDERS)
                .roles(&["order-system"])
                .roles(&STAFF)
                .limited()
                .answers::<events::AnswerBody>(StatusCode::OK, "Whether it counts, and why.")
                .fails(&["no_answer_yet"]),
            events::answer,
        )
}

fn asks(operation: Operation) -> Operation {
    operation.tag(BUYERS).roles(&["buyer"]).roles(&STAFF).limited().fails(&[
        "starting",
        "mirror_stale",
        "invalid_request",
    ])
}

/// The calls about what is available. They look for themselves whether the replica has caught up, whoever asks and however.
fn availability() -> Routes<Arc<App>> {
    let shown = |operation: Operation| {
        operation.example_of("sku", "SKU-1").example_of("region", "DE").example_of("limit", 50)
    };
    Routes::default()
        .add(
            shown(asks(Operation::get("/v1/availability", "getAvailability", "Who offers a good, and how much")))
                .about(
                    "Exactly one of `sku` and `gtin`. Withheld offers are never shown. The tag is that of what was found, not of when.",
                )
                .query::<buyer::AvailabilityQuery>()
                .heeds(&[Asked::Position])
                .answers::<shapes::Availability>(StatusCode::OK, "Offers in the order asked for.")
                .sends(StatusCode::OK, &[Sent::Link])
                .tagged()
                .sends(StatusCode::NOT_MODIFIED, &[Sent::AsOf]),
            buyer::availability,
        )
        .add(
            asks(Operation::post("/v1/availability:query", "queryAvailability", "Who offers up to 100 goods"))
                .heeds(&[Asked::Position])
                .body::<buyer::QueryBody>()
                .example("two goods", json!({ "goods": [{ "sku": "SKU-1" }, { "gtin": "4006381333931" }], "region": "DE" }))
                .answers::<shapes::AvailabilityOfGoods>(StatusCode::OK, "What was found of each good."),
            buyer::query,
        )
        .add(
            shown(asks(Operation::get("/v1/availability/stream", "watchAvailability", "Changes of goods, as they come")))
                .about(
                    "Server-sent events. First a `good` for each good, then `live`, then a `good` again, whole, whenever what is seen of it \
                     changes. Their data is what `queryAvailability` answers of one good, with as_of, staleness_ms and completeness. \
                     Whoever comes back with `Last-Event-ID` is sent what is different by then.",
                )
                .query::<buyer::AvailabilityQuery>()
                .query_but(&["cursor", "after_position"], &["sku", "gtin"])
                .example_of("sku", json!(["SKU-1"]))
                .heeds(&[Asked::LastEventId])
                .answers_raw(StatusCode::OK, "Events, without end.", "text/event-stream")
                .fails(&["too_many_streams"]),
            stream::stream,
        )
}

/// Every call.
pub fn routes() -> Routes<Arc<App>> {
    waiting().and(availability())
}

/// The calls that read what may not have been read yet.
fn waiting() -> Routes<Arc<App>> {
    suppliers().and(holds()).and(order_events()).wait_for_the_start()
}

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    let readiness: Readiness = {
        let app = app.clone();
        Arc::new(move || app.ready())
    };
    let caught_up = middleware::from_fn_with_state(readiness, reads_when_caught_up);
    waiting().with(|router| router.layer(caught_up)).and(availability()).router().with_state(app)
}
