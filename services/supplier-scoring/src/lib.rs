//! Supplier scoring: the intake fold stamps buyers' histories, the scoring fold turns a supplier's events into exact
//! windows, features and a score whose every point has a name.

mod features;
mod history;
mod intake;
mod scorecard;
mod scoring;

pub use features::{FEATURES, schema};
pub use intake::{Intake, IntakeEffect};
pub use scorecard::{Contribution, contributions};
pub use scoring::{Scored, Scoring};

use stockade_fold::Spec;
use stockade_log::{Ack, Mode};
use stockade_model::Topic;

/// The intake fold: `events.inbox` by buyer, into `supplier.events`.
pub const fn intake_spec(lanes: u32) -> Spec {
    Spec {
        name: "intake",
        input: Topic::EventsInbox,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        lanes,
        flush_records: 20_000,
    }
}

/// The scoring fold: `supplier.events` into `supplier.scores`.
pub const fn scoring_spec(lanes: u32) -> Spec {
    Spec {
        name: "scoring",
        input: Topic::SupplierEvents,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        lanes,
        flush_records: 20_000,
    }
}
