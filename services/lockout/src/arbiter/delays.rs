//! What withholds nothing may begin a little later, each time by another while. Who tries out how far it may go sees that it
//! was capped, but not by which of its deeds: the delay is longer than the time between two of them.
//!
//! How much later follows from the chain of all decisions made so far, which nobody outside knows, so every process says the
//! same and nobody foresees it. What withholds is never delayed, nor is a person's word, nor what comes after a restriction as
//! hard.

use std::collections::BTreeSet;

use stockade_fold::{Input, Out, Table};
use stockade_model::{Cause, Envelope, Level, Proposal, RuleProposal, Scope, SupplierId, Timestamp, hash};

use super::{Arbiter, ArbiterEffect};

/// Proposals that wait at most; past it what comes begins at once.
const WAITING_MAX: usize = 20_000;
/// Proposals that begin by one tick at most.
const AT_ONCE: usize = 200;

/// A proposal that waits.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Delayed {
    due: Timestamp,
    /// The newest: what is seen while it waits is not lost.
    proposal: Box<RuleProposal>,
    cause: Option<Cause>,
}

/// What waits.
pub(super) struct Delays {
    waiting: Table<String, Delayed>,
    /// Derived: by when.
    due: BTreeSet<(Timestamp, String)>,
}

/// The key of all that a rule proposed of a supplier; ids have no spaces.
fn of_rule(supplier: &SupplierId, rule: &str) -> String {
    format!("{rule} {supplier} ")
}

fn key(supplier: &SupplierId, rule: &str, scope: &Scope) -> String {
    let within = match scope {
        Scope::Supplier => String::new(),
        Scope::Region { region } => format!("region {region}"),
        Scope::Sku { sku } => format!("sku {sku}"),
        Scope::Listing { listing } => format!("listing {listing}"),
    };
    of_rule(supplier, rule) + &within
}

impl Delays {
    pub(super) fn new(table: u8) -> Self {
        Self { waiting: Table::new(table), due: BTreeSet::new() }
    }
    pub(super) fn table(&mut self) -> &mut dyn stockade_fold::AnyTable {
        &mut self.waiting
    }
    pub(super) fn restored(&mut self) {
        self.due = self.waiting.iter().map(|(key, delayed)| (delayed.due, key.clone())).collect();
    }
    /// When the first begins.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }
    /// What a rule found is no more: of one scope, or of all.
    pub(super) fn forget(&mut self, supplier: &SupplierId, rule: &str, scope: Option<&Scope>) {
        let keys: Vec<String> = match scope {
            Some(scope) => vec![key(supplier, rule, scope)],
            None => {
                let of = of_rule(supplier, rule);
                self.due.iter().map(|(_, key)| key).filter(|key| key.starts_with(&of)).cloned().collect()
            }
        };
        for key in keys {
            if let Some(delayed) = self.waiting.remove(&key) {
                self.due.remove(&(delayed.due, key));
            }
        }
    }
    /// Nothing that a rule found begins any more, of whichever supplier: as it is written in `content`, or however.
    pub(super) fn forget_rule(&mut self, rule: &str, content: Option<&str>) {
        let of = format!("{rule} ");
        let is_meant = |key: &String| {
            let written = |delayed: &Delayed| content.is_none_or(|of| delayed.proposal.rule.content == of);
            key.starts_with(&of) && self.waiting.get(key).is_some_and(written)
        };
        let keys: Vec<_> = self.due.iter().filter(|(_, key)| is_meant(key)).cloned().collect();
        for due in keys {
            self.waiting.remove(&due.1);
            self.due.remove(&due);
        }
    }
    /// The first that is due by now.
    fn take(&mut self, now: Timestamp) -> Option<Delayed> {
        let first = self.due.first().filter(|(due, _)| *due <= now).cloned()?;
        self.due.remove(&first);
        self.waiting.remove(&first.1)
    }
}

impl Arbiter {
    /// Whether a proposal waits, from now on or still.
    pub(super) fn waits(&mut self, input: &Input<'_>, proposal: &RuleProposal) -> bool {
        let mild = matches!(proposal.level, Level::Limit | Level::Cap | Level::Dim) && !proposal.holdout;
        if proposal.jitter_ms <= 0 || !mild || self.is_begun {
            return false;
        }
        let standing = self.suppliers.get(&proposal.supplier);
        let as_hard = standing.is_some_and(|standing| {
            standing.in_force.iter().any(|r| r.scope == proposal.scope && r.level >= proposal.level)
        });
        if as_hard {
            return false;
        }
        let key = key(&proposal.supplier, proposal.rule.id.as_str(), &proposal.scope);
        let cause = input.envelope.cause.clone();
        if let Some(delayed) = self.delays.waiting.edit(&key) {
            (*delayed.proposal, delayed.cause) = (proposal.clone(), cause);
            return true;
        }
        if self.delays.waiting.len() >= WAITING_MAX {
            return false;
        }
        let chain = self.chain.get("chain").map_or("", String::as_str);
        let drawn =
            hash::stable64(&format!("{chain} {} {key}", input.position)) % (proposal.jitter_ms as u64 + 1);
        let due = input.time.plus_ms(drawn as i64);
        self.delays.due.insert((due, key.clone()));
        self.delays.waiting.insert(key, Delayed { due, proposal: Box::new(proposal.clone()), cause });
        true
    }

    /// Begins what has waited long enough.
    pub(super) fn begin_delayed(&mut self, input: &Input<'_>, out: &mut Out<ArbiterEffect>) {
        for _ in 0..AT_ONCE {
            let Some(Delayed { proposal, cause, .. }) = self.delays.take(input.time) else { break };
            let envelope = Envelope { cause, ..input.envelope.clone() };
            let payload = stockade_model::Payload::Proposal(Proposal::Rule(proposal.clone()));
            let (partition, offset, position, time) =
                (input.partition, input.offset, input.position.clone(), input.time);
            let late = Input { payload: &payload, envelope: &envelope, partition, offset, position, time };
            self.is_begun = true;
            self.rule(&late, &proposal, out);
            self.is_begun = false;
        }
    }
}
