//! The calls about endpoints, as they are declared.

use axum::{Router, http::StatusCode};
use serde_json::json;
use stockade_runtime::{
    api::{Operation, Routes, Sent},
    list::Page,
};

use crate::http::{
    Begun, DeliveryTold, ROLES, Told, WebhooksApi, change, create, delete, deliveries, list, redeliver,
    replay, rotate, show, test,
};

const TAG: &str = "Webhooks";
/// What anything that is written may end with.
const WRITES: [&str; 4] = ["log_unavailable", "log_unconfirmed", "disk_full", "webhook_pending"];

fn call(operation: Operation) -> Operation {
    operation.tag(TAG).roles(&ROLES).limited()
}

fn writes(operation: Operation) -> Operation {
    call(operation).fails(&WRITES).fails(&["no_such_webhook", "webhooks_off"])
}

/// The calls.
pub fn routes() -> Routes<WebhooksApi> {
    let (all, one) = ("/v1/webhooks", "/v1/webhooks/{webhook}");
    let of = |what: &str| format!("{one}/{what}");
    let begins = |operation: Operation| {
        writes(operation)
            .answers::<Begun>(StatusCode::ACCEPTED, "It will be tried.")
            .fails(&["webhook_disabled"])
            .leads_to(StatusCode::ACCEPTED, "listWebhookDeliveries", &[("webhook", "$request.path.webhook")])
    };
    let creates = call(Operation::post(all, "createWebhook", "Asks to be told what happens"))
        .about(
            "A supplier's key hears of its supplier (`decision.*`, `appeal.*`, `import.finished`), a buyer's of its reservations \
             (`reservation.at_risk`), an order system's of all reservations, an operator's of everything, and alone of \
             `rule.held_back`: a rule exceeded its budget, is suspect, or was stopped. Each event is a POST of \
             `{\"type\", \"timestamp\", \"data\"}` with the headers of Standard Webhooks 1.0: `webhook-id`, which stays the same \
             whenever the event is told again, `webhook-timestamp`, and `webhook-signature`, a list of `v1,` with the base64 of the \
             HMAC-SHA256 over id, timestamp and body, joined by dots. Answer 2xx within 15 seconds, and do the work afterwards; what is \
             not taken is tried again for three days. Redirects are not followed. Sequence is not promised.",
        )
        .example(
            "decisions about a supplier",
            json!({ "url": "https://hooks.example.com/stockade", "events": ["decision.restricted", "decision.restored"] }),
        )
        .answers::<Told>(StatusCode::CREATED, "With its secret, which is shown this once.")
        .sends(StatusCode::CREATED, &[Sent::Location])
        .fails(&WRITES)
        .fails(&["webhook_exists", "too_many_webhooks", "webhooks_full", "no_such_webhook", "webhooks_off"])
        .leads_to(StatusCode::CREATED, "getWebhook", &[("webhook", "$response.body#/webhook")]);
    Routes::default()
        .add(
            call(Operation::get(all, "listWebhooks", "Your webhooks"))
                .answers::<Page<Told>>(StatusCode::OK, "In order of their names.")
                .fails(&["bad_cursor", "invalid_request"]),
            list,
        )
        .add(creates, create)
        .add(
            call(Operation::get(one, "getWebhook", "One of your webhooks, and how it fares"))
                .answers::<Told>(StatusCode::OK, "Without its secret.")
                .fails(&["no_such_webhook"]),
            show,
        )
        .add(
            writes(Operation::patch(one, "changeWebhook", "Changes what is named, or enables it again"))
                .example("enabled again", json!({ "enabled": true }))
                .answers::<Told>(StatusCode::OK, "As it is now.")
                .fails(&["webhook_exists"]),
            change,
        )
        .add(
            writes(Operation::delete(one, "deleteWebhook", "Ends it, with everything it is owed"))
                .answers_nothing(StatusCode::NO_CONTENT, "It is gone."),
            delete,
        )
        .add(
            writes(Operation::post(of("rotate"), "rotateWebhookSecret", "Signs with a new secret"))
                .about("For 24 hours the secret before signs as well, so that there are two signatures in the header.")
                .answers::<Told>(StatusCode::OK, "With the new secret, which is shown this once."),
            rotate,
        )
        .add(
            begins(Operation::post(of("test"), "testWebhook", "Sends a `ping`"))
                .about("One waits at a time; one that was not taken yet is tried again with `/redeliver`.")
                .fails(&["webhook_test_waits"]),
            test,
        )
        .add(
            begins(Operation::post(of("replay"), "replayWebhook", "Tells again what happened since"))
                .about("Of the last 200 that were taken or given up, those that happened since. They keep their `webhook-id`.")
                .example("since a morning", json!({ "since": "2026-11-25T06:00:00Z" })),
            replay,
        )
        .add(
            call(Operation::get(of("deliveries"), "listWebhookDeliveries", "What it was told, and is owed"))
                .answers::<Page<DeliveryTold>>(StatusCode::OK, "The newest first, each with its last attempts.")
                .fails(&["no_such_webhook", "bad_cursor", "invalid_request"]),
            deliveries,
        )
        .add(
            begins(Operation::post(
                of("deliveries/{delivery}/redeliver"),
                "redeliverWebhook",
                "Tells one thing again",
            ))
            .fails(&["no_such_delivery"]),
            redeliver,
        )
        .wait_for_the_start()
}

/// The calls with what they need.
pub fn router(api: WebhooksApi) -> Router {
    routes().router().with_state(api)
}
