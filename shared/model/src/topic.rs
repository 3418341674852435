//! The topics: who writes what where, and for how long it is kept.

use crate::time::DAY_MS;

/// Every topic of the platform. Changelogs (`<fold>.state`) are not listed: they belong to the log port's commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Order outcomes and account events as they arrive; outcomes keyed by buyer, account events by supplier.
    EventsInbox,
    /// Commands, enriched outcomes, facts, control and ticks: one order per supplier.
    SupplierEvents,
    /// What the peers fold reads: counts by cohort.
    ScoringRekeyed,
    /// One feature vector per record that changed it, keyed by supplier.
    SupplierScores,
    /// Level changes asked for by rules and people. One partition.
    LockoutProposals,
    /// Every decision, for ever. One partition.
    LockoutDecisions,
    /// Rule sets, supplier registrations, switches. One partition, for ever.
    Control,
    /// What is to be told outside, who wants to hear it, and what became of telling them. One partition.
    Webhooks,
    /// Poison with origin and reason.
    DeadLetters,
}

impl Topic {
    /// All topics, in the order of the flow.
    pub const ALL: [Topic; 9] = [
        Topic::EventsInbox,
        Topic::SupplierEvents,
        Topic::ScoringRekeyed,
        Topic::SupplierScores,
        Topic::LockoutProposals,
        Topic::LockoutDecisions,
        Topic::Control,
        Topic::Webhooks,
        Topic::DeadLetters,
    ];
    /// The name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::EventsInbox => "events.inbox",
            Topic::SupplierEvents => "supplier.events",
            Topic::ScoringRekeyed => "scoring.rekeyed",
            Topic::SupplierScores => "supplier.scores",
            Topic::LockoutProposals => "lockout.proposals",
            Topic::LockoutDecisions => "lockout.decisions",
            Topic::Control => "control",
            Topic::Webhooks => "webhooks",
            Topic::DeadLetters => "dead.letters",
        }
    }
    /// How many partitions, when the supplier-keyed topics have `partitions`.
    pub const fn partitions(self, partitions: u32) -> u32 {
        match self {
            Topic::EventsInbox | Topic::SupplierEvents | Topic::ScoringRekeyed | Topic::SupplierScores => {
                partitions
            }
            _ => 1,
        }
    }
    /// How long records are kept, in milliseconds; `None` is for ever.
    pub const fn retention_ms(self) -> Option<i64> {
        match self {
            Topic::EventsInbox | Topic::ScoringRekeyed | Topic::Webhooks | Topic::DeadLetters => {
                Some(30 * DAY_MS)
            }
            Topic::SupplierEvents => Some(90 * DAY_MS),
            Topic::SupplierScores | Topic::LockoutProposals => Some(120 * DAY_MS),
            Topic::LockoutDecisions | Topic::Control => None,
        }
    }
}
