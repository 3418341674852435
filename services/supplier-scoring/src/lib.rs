//! Supplier scoring: the intake fold stamps buyers' and orders' histories, the scoring fold turns a supplier's events into
//! exact windows, features and a score whose every point has a name, the peers fold says what was to be expected.

pub mod calibration;
mod declare;
mod evidence;
mod facts;
mod history;
mod intake;
mod links;
pub mod metrics;
mod model;
mod peers;
mod scorecard;
mod scoring;

pub use declare::{DEFAULT_FEATURES, FeatureError, FeatureSet, vocabulary};
pub use intake::{Intake, IntakeEffect, went_wrong};
pub use links::{Edge, Links};
pub use model::{
    Addition, Drift, Example, Figures, FitOptions, LOOK_EVERY as DRIFT_LOOK_EVERY, Model, Origin, fit,
    ranking,
};
pub use peers::Peers;
pub use scorecard::{Contribution, confidence, contributions};
pub use scoring::{Scoring, ScoringEffect};

use stockade_fold::Spec;
use stockade_log::{Ack, Mode};
use stockade_model::Topic;

/// The intake fold: `events.inbox` by buyer, into `supplier.events`.
pub const fn intake_spec(partitions: u32) -> Spec {
    Spec {
        name: "intake",
        input: Topic::EventsInbox,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}

/// The scoring fold: `supplier.events` into `supplier.scores`.
pub const fn scoring_spec(partitions: u32) -> Spec {
    Spec {
        name: "scoring",
        input: Topic::SupplierEvents,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}

/// The peers fold: `scoring.rekeyed` by cohort, facts into `supplier.events`.
pub const fn peers_spec(partitions: u32) -> Spec {
    Spec {
        name: "peers",
        input: Topic::ScoringRekeyed,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}

/// The links fold: `scoring.rekeyed` by attribute, facts into `supplier.events`.
pub const fn links_spec(partitions: u32) -> Spec {
    Spec {
        name: "links",
        input: Topic::ScoringRekeyed,
        mode: Mode::Owned,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}

#[cfg(test)]
mod tests;
