//! What waits for a person: a queue that hands out the most urgent item with a claim, so that two people do not do the
//! same work.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::Table;
use stockade_model::{
    Level, Restriction, RuleProposal, SupplierId, Timestamp,
    time::{DAY_MS, SECOND_MS},
};

use super::Refusal;

/// How long a claim holds.
const CLAIM_MS: i64 = 15 * 60 * SECOND_MS;
/// By when an appeal should be answered.
pub(super) const APPEAL_MS: i64 = 3 * DAY_MS;
/// By when what a budget held back should be looked at.
pub(super) const EXCESS_MS: i64 = DAY_MS;
/// Most open reviews; past it what is only to be looked at is not entered any more.
const OPEN_MAX: usize = 50_000;

/// Why something waits, the most urgent first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ReviewKind {
    /// A supplier appealed.
    Appeal,
    /// A budget held a restriction back.
    Excess,
    /// A rule restricted a supplier.
    Decision,
    /// A rule asks a person to look.
    Watch,
}

/// A claim of a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Claim {
    /// Who.
    pub actor: String,
    /// Until when nobody else is given it.
    pub until: Timestamp,
}

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// Why it waits.
    pub kind: ReviewKind,
    /// The supplier.
    pub supplier: SupplierId,
    /// The restriction, where one is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Restriction>,
    /// What a rule asked for and did not get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Box<RuleProposal>>,
    /// What the supplier says, or which budget was exceeded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Who wrote the appeal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appellant: Option<String>,
    /// Since when.
    pub opened_at: Timestamp,
    /// By when a person should have looked.
    pub due_at: Timestamp,
    /// Who is at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

impl Review {
    /// That of a restriction which a rule imposed.
    pub(super) fn of_rule(supplier: &SupplierId, restriction: &Restriction) -> Self {
        Self {
            id: format!("v{}", restriction.id),
            kind: if restriction.level == Level::Watch { ReviewKind::Watch } else { ReviewKind::Decision },
            supplier: supplier.clone(),
            text: String::new(),
            appellant: None,
            opened_at: restriction.since,
            due_at: restriction.review_at,
            restriction: Some(restriction.clone()),
            proposal: None,
            claim: None,
        }
    }
    fn place(&self) -> (ReviewKind, Timestamp, String) {
        (self.kind, self.due_at, self.id.clone())
    }
    /// Whether another person than `actor` is at it.
    pub(super) fn is_claimed_by_another(&self, actor: &str, now: Timestamp) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.until > now && claim.actor != actor)
    }
    fn rule(&self) -> Option<(SupplierId, String)> {
        self.proposal.as_ref().map(|proposal| (self.supplier.clone(), proposal.rule.id.to_string()))
    }
}

/// What changed, for whoever shows reviews.
#[derive(Clone, Debug, PartialEq)]
pub enum ReviewChange {
    /// It is new or another one than before.
    Open(Box<Review>),
    /// It waits no more.
    Closed(String),
}

/// The reviews.
pub(super) struct Reviews {
    open: Table<String, Review>,
    /// Derived: the order in which they are handed out.
    queue: BTreeSet<(ReviewKind, Timestamp, String)>,
    /// Derived: reviews by restriction.
    by_restriction: BTreeMap<String, Vec<String>>,
    /// Derived: what a budget held back, by supplier and rule.
    excess: BTreeMap<(SupplierId, String), String>,
    changes: Vec<ReviewChange>,
}

impl Reviews {
    pub(super) fn new(table: u8) -> Self {
        Self {
            open: Table::new(table),
            queue: BTreeSet::new(),
            by_restriction: BTreeMap::new(),
            excess: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    pub(super) fn table(&mut self) -> &mut dyn stockade_fold::AnyTable {
        &mut self.open
    }

    pub(super) fn restored(&mut self) {
        let open: Vec<Review> = self.open.iter().map(|(_, review)| review.clone()).collect();
        for review in open {
            self.index(&review);
            self.changes.push(ReviewChange::Open(Box::new(review)));
        }
    }

    /// What changed since it was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<ReviewChange> {
        std::mem::take(&mut self.changes)
    }

    fn index(&mut self, review: &Review) {
        self.queue.insert(review.place());
        if let Some(restriction) = &review.restriction {
            let ids = self.by_restriction.entry(restriction.id.clone()).or_default();
            if !ids.contains(&review.id) {
                ids.push(review.id.clone());
            }
        }
        if let Some(key) = review.rule() {
            self.excess.insert(key, review.id.clone());
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Review> {
        self.open.get(&id.to_owned())
    }

    /// Enters a review, or replaces the one of that id.
    pub(super) fn open(&mut self, review: Review) {
        let urgent = matches!(review.kind, ReviewKind::Appeal | ReviewKind::Excess);
        if !urgent && self.queue.len() >= OPEN_MAX {
            return;
        }
        if let Some(before) = self.open.get(&review.id) {
            let place = before.place();
            self.queue.remove(&place);
        }
        self.index(&review);
        self.open.insert(review.id.clone(), review.clone());
        self.changes.push(ReviewChange::Open(Box::new(review)));
    }

    pub(super) fn close(&mut self, id: &str) -> Option<Review> {
        let review = self.open.remove(&id.to_owned())?;
        self.queue.remove(&review.place());
        if let Some(restriction) = &review.restriction
            && let Some(ids) = self.by_restriction.get_mut(&restriction.id)
        {
            ids.retain(|known| known != id);
            if ids.is_empty() {
                self.by_restriction.remove(&restriction.id);
            }
        }
        if let Some(key) = review.rule() {
            self.excess.remove(&key);
        }
        self.changes.push(ReviewChange::Closed(id.to_owned()));
        Some(review)
    }

    /// Closes all reviews of a restriction that is no more.
    pub(super) fn close_of(&mut self, restriction: &str) {
        for id in self.by_restriction.get(restriction).cloned().unwrap_or_default() {
            self.close(&id);
        }
    }

    /// The open appeal against a restriction.
    pub(super) fn appeal_of(&self, restriction: &str) -> Option<&Review> {
        let ids = self.by_restriction.get(restriction)?;
        ids.iter().filter_map(|id| self.get(id)).find(|review| review.kind == ReviewKind::Appeal)
    }

    /// Whether something a budget held back of this supplier and rule waits already.
    pub(super) fn has_excess(&self, supplier: &SupplierId, rule: &str) -> bool {
        self.excess.contains_key(&(supplier.clone(), rule.to_owned()))
    }

    /// What a budget held back of a rule between two times, in a fixed order.
    pub(super) fn excess_of(&self, rule: &str, since: Option<Timestamp>, until: Timestamp) -> Vec<String> {
        let of_rule = self.excess.iter().filter(|((_, of), _)| of == rule).map(|(_, id)| id);
        let then = |id: &&String| {
            self.get(id).is_some_and(|review| {
                since.is_none_or(|since| review.opened_at >= since) && review.opened_at <= until
            })
        };
        of_rule.filter(then).cloned().collect()
    }

    /// Gives `actor` the most urgent review that nobody has, or the one asked for. What they may not judge, `barred` says
    /// so, is never theirs: it stays free for whoever may.
    pub(super) fn claim(
        &mut self,
        review: Option<&str>,
        actor: &str,
        now: Timestamp,
        barred: impl Fn(&Review) -> bool,
    ) -> Result<String, Refusal> {
        let free = |review: &Review| review.claim.as_ref().is_none_or(|claim| claim.until <= now);
        let id = match review {
            Some(id) => {
                let held = self.get(id).ok_or(Refusal::NoSuchReview)?;
                if barred(held) {
                    return Err(Refusal::OwnDecision);
                }
                if held.is_claimed_by_another(actor, now) {
                    return Err(Refusal::ClaimedByAnother);
                }
                id.to_owned()
            }
            None => {
                let theirs = |review: &Review| free(review) && !barred(review);
                let next = self.queue.iter().find(|(_, _, id)| self.get(id).is_some_and(theirs));
                next.map(|(_, _, id)| id.clone()).ok_or(Refusal::NothingToReview)?
            }
        };
        if let Some(review) = self.open.edit(&id) {
            review.claim = Some(Claim { actor: actor.to_owned(), until: now.plus_ms(CLAIM_MS) });
            let review = review.clone();
            self.changes.push(ReviewChange::Open(Box::new(review)));
        }
        Ok(id)
    }

    /// Takes the claim of `actor` off a review, so that the next who asks may be given it.
    pub(super) fn give_back(&mut self, review: &str, actor: &str, now: Timestamp) -> Result<String, Refusal> {
        let held = self.get(review).ok_or(Refusal::NoSuchReview)?;
        let claim = held.claim.as_ref().filter(|claim| claim.until > now);
        if claim.is_none_or(|claim| claim.actor != actor) {
            return Err(if claim.is_some() { Refusal::ClaimedByAnother } else { Refusal::NotClaimed });
        }
        if let Some(review) = self.open.edit(&review.to_owned()) {
            review.claim = None;
            let review = review.clone();
            self.changes.push(ReviewChange::Open(Box::new(review)));
        }
        Ok(review.to_owned())
    }
}
