//! Webhooks: what happens is told to who wants to hear it, at an address of theirs, until they have taken it.
//!
//! Everything is a record of one topic: notices of what happened, what people ask of their endpoints, and how each attempt went.
//! [`Webhooks`] folds them into who is owed what, and when it is tried again; every replica knows that, and the one that owns the
//! partition sends ([`Sender`]). So what is owed survives a crash, and is sent by one process at a time; what a process was
//! sending when it died is sent again, under the same `webhook-id`.

pub mod config;
mod endpoint;
mod fold;
mod http;
mod master;
pub mod metrics;
mod names;
mod post;
mod rights;
mod routes;
#[cfg(test)]
mod samples;
mod schedule;
mod sender;
pub mod target;
pub mod tls;
mod turns;
mod view;

pub use config::WebhooksConfig;
pub use endpoint::{Delivery, Endpoint, Event, State, Try};
pub use fold::{EVENT_TYPES, Effect, Refusal, Webhooks};
pub use http::WebhooksApi;
pub use master::{Master, MasterError, sign};
pub use routes::{router, routes};
pub use sender::{Listens, Right, Sender};
pub use view::View;

use stockade_fold::Spec;
use stockade_log::{Ack, Mode};
use stockade_model::Topic;

/// The webhooks fold: `webhooks`, into itself only by way of the sender. Every replica that serves the calls follows it; the owner
/// sends.
pub const fn webhooks_spec(partitions: u32) -> Spec {
    Spec {
        name: "webhooks",
        input: Topic::Webhooks,
        mode: Mode::All,
        ack: Ack::Ordered,
        partitions,
        flush_records: 1_000,
    }
}
