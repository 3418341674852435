//! Lockout: the control fold judges what people change, the evaluation fold proposes what rules find, and one arbiter
//! decides.

mod arbiter;
pub mod backtest;
mod check;
mod control;
mod evaluation;
pub mod evidence;
pub mod http;
pub mod metrics;
mod notices;
mod told;
mod views;
mod writer;

pub use arbiter::{
    Allow, Arbiter, ArbiterEffect, Claim, Disposed, Exceeded, HeldBy, Kill, Overrides,
    Refusal as ProposalRefusal, Review, ReviewChange, ReviewKind, RuleDay,
};
pub use check::{DecisionCounter, DecisionSeen, DecisionsCheck};
pub use control::{
    Control, ControlEffect, Draft, Passed, Refusal as ChangeRefusal, Refused, Relayed, RuleVersion, Stack,
    StepBack, Subject, schema_in_force,
};
pub use evaluation::{Evaluation, EvaluationEffect, ShadowDay};
pub use views::{Decisions, Desk, InForceStatus, RuleVersions, Suppliers};
pub use writer::{Writer, write_quarantine};

use stockade_fold::Spec;
use stockade_log::{Ack, Mode};
use stockade_model::Topic;

/// The rule set that a new installation starts with.
pub const STARTER_RULES: &str = include_str!("../rules/starter.yaml");

/// The control fold: `control` into `supplier.events`. Every lockout replica follows it, so that each knows every version of
/// the rules and answers its own callers.
pub const fn control_spec(partitions: u32) -> Spec {
    Spec {
        name: "control",
        input: Topic::Control,
        mode: Mode::All,
        ack: Ack::Ordered,
        partitions,
        flush_records: 1_000,
    }
}

/// The evaluation fold: `supplier.scores` into `lockout.proposals`. Every lockout replica follows all partitions, so that
/// each can say which rules are in force everywhere.
pub const fn evaluation_spec(partitions: u32) -> Spec {
    Spec {
        name: "evaluation",
        input: Topic::SupplierScores,
        mode: Mode::All,
        ack: Ack::Ordered,
        partitions,
        flush_records: 20_000,
    }
}

/// The arbiter: `lockout.proposals` into `lockout.decisions`. Nothing acts on a decision before it is durable. Every
/// lockout replica follows it, so that each can answer its own callers and any can take over at once.
pub const fn arbiter_spec(partitions: u32) -> Spec {
    Spec {
        name: "arbiter",
        input: Topic::LockoutProposals,
        mode: Mode::All,
        ack: Ack::Durable,
        partitions,
        flush_records: 1_000,
    }
}

/// The check of what was decided: `lockout.decisions` into `webhooks` and `dead.letters`. One lockout replica does it; there is nothing
/// that the others would need to know of it.
pub const fn decisions_spec(partitions: u32) -> Spec {
    Spec {
        name: "decisions",
        input: Topic::LockoutDecisions,
        mode: Mode::Owned,
        ack: Ack::Durable,
        partitions,
        flush_records: 20_000,
    }
}
