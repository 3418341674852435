//! Decisions: the last ones, one with its story, and what people do about it.

use serde::{Deserialize, Serialize};
use stockade_model::{Action, Decision, Proposal, Restriction, Timestamp};

use super::*;
use crate::arbiter::Refusal;

/// Most decisions on a page, and how many there are when nobody says.
const PAGE_MAX: usize = 500;
const PAGE: usize = 50;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionQuery {
    supplier: Option<SupplierId>,
    /// Decisions on the page; 50 when nobody says, 500 at most.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<u64>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Decisions")]
pub(super) struct Page<'a> {
    decisions: Vec<&'a Decision>,
    /// The cursor of the next page; none on the last.
    next: Option<u64>,
}

pub(super) async fn list(
    State(api): State<LockoutApi>,
    _: Analyst,
    Params(query): Params<DecisionQuery>,
) -> Answer {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let found = api.decisions.list(query.supplier.as_ref(), query.cursor, limit);
    let next = (found.len() == limit).then(|| found.last().map(|(offset, _)| *offset)).flatten();
    let decisions = found.iter().map(|(_, decision)| decision.as_ref()).collect();
    Ok(Json(Page { decisions, next }).into_response())
}

/// The restriction in force of that id, and whose it is.
pub(super) fn in_force(api: &LockoutApi, id: &str) -> Option<(SupplierId, Restriction)> {
    let supplier = api.decisions.supplier_of(id)?;
    let decision = api.decisions.latest(&supplier)?;
    decision.in_force.iter().find(|r| r.id == id).map(|r| (supplier, r.clone()))
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DecisionStep")]
pub(super) struct Step {
    action: Action,
    at: Timestamp,
    actor: Option<String>,
    note: Option<String>,
    /// When what buyers are shown by the process that answers followed it; null where that is not known here: inventory runs elsewhere, or
    /// the process has started since, or has applied 10,000 others.
    applied_at: Option<Timestamp>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DecisionTold")]
pub(super) struct Told {
    supplier: SupplierId,
    in_force: bool,
    restriction: Option<Restriction>,
    /// What happened to it, the newest first.
    story: Vec<Step>,
    /// Whether the process that answers serves buyers, so that it could know when they were shown what was decided.
    serves_buyers: bool,
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst, Path(id): Path<String>) -> Answer {
    let (held, began) = (in_force(&api, &id), api.decisions.beginning(&id));
    let supplier = held.as_ref().map(|(supplier, _)| supplier.clone());
    let supplier = supplier.or_else(|| began.as_ref().map(|decision| decision.supplier.clone()));
    let none =
        || missing("no_such_decision", "no restriction of that id is in force or among the last decisions");
    let supplier = supplier.ok_or_else(none)?;
    let about = |d: &Decision| d.restriction.as_ref().is_some_and(|r| r.id == id);
    let of_supplier = api.decisions.list(Some(&supplier), None, usize::MAX);
    let story = of_supplier
        .iter()
        .filter(|(_, decision)| about(decision))
        .map(|(_, d)| Step {
            action: d.action,
            at: d.at,
            actor: d.actor.clone(),
            note: d.note.clone(),
            applied_at: (api.applied)(&d.version).flatten(),
        })
        .collect();
    let newest = of_supplier.first().map(|(_, decision)| &decision.version);
    let serves_buyers = newest.is_some_and(|version| (api.applied)(version).is_some());
    let restriction = held.map(|(_, restriction)| restriction);
    let in_force = restriction.is_some();
    let restriction = restriction.or_else(|| began.and_then(|decision| decision.restriction.clone()));
    Ok(Json(Told { supplier, in_force, restriction, story, serves_buyers }).into_response())
}

/// What a person does about a restriction in force.
#[derive(Clone, Copy)]
pub(super) enum DecisionVerb {
    Release,
    Confirm,
    Reopen,
    Extend,
}

/// The verbs of `POST /v1/decisions/{id}:…`.
pub(super) const VERBS: [(&str, DecisionVerb); 4] = [
    ("release", DecisionVerb::Release),
    ("confirm", DecisionVerb::Confirm),
    ("reopen", DecisionVerb::Reopen),
    ("extend", DecisionVerb::Extend),
];

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExtendDecision")]
pub(super) struct Extend {
    reason: Reason,
    expires_at: Timestamp,
}

pub(super) async fn act(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(path): Path<String>,
    body::Body(text): body::Body,
) -> Answer {
    let (id, verb) = verb(&path, &VERBS)?;
    let (actor, restriction) = (by.id, id.to_owned());
    let supplier = || {
        let none = || missing(Refusal::NothingInForce.code(), "no restriction of that id is in force");
        api.decisions.supplier_of(id).ok_or_else(none)
    };
    let proposal = if let DecisionVerb::Extend = verb {
        let Extend { reason, expires_at } = body::parse(&text)?;
        let reason = reason.said()?;
        Proposal::Extend { supplier: supplier()?, restriction, expires_at, actor, reason }
    } else {
        let Why { reason } = body::parse(&text)?;
        let (reason, supplier) = (reason.said()?, supplier()?);
        match verb {
            DecisionVerb::Release => {
                Proposal::Release { supplier, restriction: Some(restriction), actor, reason }
            }
            DecisionVerb::Reopen => Proposal::Reopen { supplier, restriction, actor, reason },
            _ => Proposal::Confirm { supplier, restriction, actor, reason },
        }
    };
    api.propose(proposal).await
}
