//! Due process: decisions, reviews, overrides, and what a supplier sees of itself and can say against it.

use axum::extract::Path;
use stockade_model::{Action, Decision, Finding, Level, Restriction, Scope, Timestamp};
use stockade_runtime::{FieldError, body, http::supplier_id};

use super::{rules::describe_impact, *};
use crate::arbiter::{Review, ReviewKind};

/// Longest text of an appeal, in characters.
const APPEAL_CHARS_MAX: usize = 4_000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionQuery {
    supplier: Option<SupplierId>,
    limit: Option<usize>,
    cursor: Option<u64>,
}

pub(super) async fn list_decisions(
    State(api): State<LockoutApi>,
    caller: Caller,
    query: Asked<DecisionQuery>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let query = given(query)?;
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let found = api.decisions.list(query.supplier.as_ref(), query.cursor, limit);
    let next = (found.len() == limit).then(|| found.last().map(|(offset, _)| *offset)).flatten();
    let decisions: Vec<&Decision> = found.iter().map(|(_, decision)| decision.as_ref()).collect();
    Ok(Json(json!({ "decisions": decisions, "next": next })).into_response())
}

fn nothing_in_force() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nothing_in_force", "no restriction of that id is in force")
}

/// The restriction in force of that id, and whose it is.
fn in_force(api: &LockoutApi, id: &str) -> Option<(SupplierId, Restriction)> {
    let supplier = api.decisions.supplier_of(id)?;
    let decision = api.decisions.latest(&supplier)?;
    decision.in_force.iter().find(|r| r.id == id).map(|r| (supplier, r.clone()))
}

pub(super) async fn get_decision(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (held, began) = (in_force(&api, &id), api.decisions.beginning(&id));
    let supplier = held.as_ref().map(|(supplier, _)| supplier.clone());
    let supplier = supplier.or_else(|| began.as_ref().map(|decision| decision.supplier.clone()));
    let Some(supplier) = supplier else {
        let detail = "no restriction of that id is in force or among the last decisions";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_decision", detail));
    };
    let about = |d: &Decision| d.restriction.as_ref().is_some_and(|r| r.id == id);
    let story = api.decisions.list(Some(&supplier), None, usize::MAX);
    let story: Vec<Value> = story
        .iter()
        .filter(|(_, decision)| about(decision))
        .map(|(_, d)| json!({ "action": d.action, "at": d.at, "actor": d.actor, "note": d.note }))
        .collect();
    let restriction = held.map(|(_, restriction)| restriction);
    let in_force = restriction.is_some();
    let restriction = restriction.or_else(|| began.and_then(|decision| decision.restriction.clone()));
    Ok(Json(
        json!({ "supplier": supplier, "in_force": in_force, "restriction": restriction, "story": story }),
    )
    .into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    reason: String,
    expires_at: Timestamp,
}

/// `POST /v1/decisions/{id}:release`, `:confirm` and `:extend`.
pub(super) async fn decision_verb(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (id, verb) = id.rsplit_once(':').unwrap_or((&id, ""));
    if !matches!(verb, "release" | "confirm" | "extend") {
        let detail = "the verbs of a decision are :release, :confirm and :extend";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_verb", detail));
    }
    let (by, restriction) = (actor(&caller), id.to_owned());
    let supplier = || api.decisions.supplier_of(id).ok_or_else(nothing_in_force);
    let proposal = if verb == "extend" {
        let Extend { reason, expires_at } = body::parse(&text)?;
        Proposal::Extend { supplier: supplier()?, restriction, expires_at, actor: by, reason }
    } else {
        let Reason { reason } = body::parse(&text)?;
        let supplier = supplier()?;
        if verb == "release" {
            Proposal::Release { supplier, restriction: Some(restriction), actor: by, reason }
        } else {
            Proposal::Confirm { supplier, restriction, actor: by, reason }
        }
    };
    api.propose(proposal).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReviewQuery {
    kind: Option<ReviewKind>,
    supplier: Option<SupplierId>,
    limit: Option<usize>,
}

pub(super) async fn list_reviews(
    State(api): State<LockoutApi>,
    caller: Caller,
    query: Asked<ReviewQuery>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let query = given(query)?;
    let wanted = |review: &Arc<Review>| {
        query.kind.is_none_or(|kind| kind == review.kind)
            && query.supplier.as_ref().is_none_or(|supplier| *supplier == review.supplier)
    };
    let all: Vec<Arc<Review>> = api.desk.reviews().into_iter().filter(wanted).collect();
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let shown: Vec<&Review> = all.iter().take(limit).map(AsRef::as_ref).collect();
    Ok(Json(json!({ "reviews": shown, "open": all.len() })).into_response())
}

fn no_such_review() -> Problem {
    refusal("no_such_review")
}

/// Claims the most urgent review that nobody has.
pub(super) async fn next_review(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    claim(&api, &caller, None).await
}

async fn claim(api: &LockoutApi, caller: &Caller, review: Option<String>) -> Result<Response, Problem> {
    match api.ask(Proposal::Claim { review, actor: actor(caller) }).await? {
        (id, None) => Ok(later(&id)),
        (_, Some(claimed)) => {
            let review = claimed.and_then(|id| api.desk.get(&id)).ok_or_else(no_such_review)?;
            described(api, review).await
        }
    }
}

/// A review with what a person needs to decide: what buyers would lose, and what else is known.
async fn described(api: &LockoutApi, review: Arc<Review>) -> Result<Response, Problem> {
    let api = api.clone();
    let work = move || {
        let mut body = json!(*review);
        body["impact"] = describe_impact(&api, &BTreeSet::from([review.supplier.clone()]));
        body["risk"] = json!((api.risk)(&review.supplier));
        body
    };
    aside(work).await
}

pub(super) async fn get_review(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let review = api.desk.get(&id).ok_or_else(no_such_review)?;
    described(&api, review).await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    finding: Finding,
    reason: String,
}

/// `POST /v1/reviews/{id}:claim` and `:settle`.
pub(super) async fn review_verb(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    match id.rsplit_once(':') {
        Some((id, "claim")) => claim(&api, &caller, Some(id.to_owned())).await,
        Some((id, "settle")) => {
            let Settle { finding, reason } = body::parse(&text)?;
            let (review, actor) = (id.to_owned(), actor(&caller));
            api.propose(Proposal::Settle { review, finding, actor, reason }).await
        }
        _ => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_verb",
            "the verbs of a review are :claim and :settle",
        )),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideBody {
    supplier: SupplierId,
    deny: Option<Level>,
    #[serde(default = "whole_supplier")]
    scope: Scope,
    reason: String,
    expires_at: Timestamp,
}

fn whole_supplier() -> Scope {
    Scope::Supplier
}

pub(super) async fn put_override(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let OverrideBody { supplier, deny, scope, reason, expires_at } = body::parse(&text)?;
    api.propose(Proposal::Override { supplier, deny, scope, actor: actor(&caller), reason, expires_at }).await
}

pub(super) async fn clear_override(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let supplier = supplier_id(&supplier)?;
    let Reason { reason } = body::parse(&text)?;
    api.propose(Proposal::ClearOverride { supplier, actor: actor(&caller), reason }).await
}

/// What a supplier is told: what, why, since when, until when. Never thresholds or rules.
fn facts(restriction: &Restriction) -> Value {
    json!({
        "decision": restriction.id,
        "level": restriction.level,
        "scope": restriction.scope,
        "reasons": restriction.reasons,
        "text": restriction.text,
        "since": restriction.since,
        "expires_at": restriction.expires_at,
        "review_at": restriction.review_at,
    })
}

/// The supplier of a path that the caller may see: its own, or any for staff.
fn visible(api: &LockoutApi, caller: &Caller, supplier: &str) -> Result<SupplierId, Problem> {
    let supplier = supplier_id(supplier)?;
    if !caller.0.role.is_staff() {
        caller.must_be_supplier(&supplier)?;
    }
    api.limits.take("staff", &caller.0.id, 1)?;
    Ok(supplier)
}

pub(super) async fn standing(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    let supplier = visible(&api, &caller, &supplier)?;
    let decision = api.decisions.latest(&supplier);
    let in_force: Vec<Value> = decision.iter().flat_map(|d| d.in_force.iter().map(facts)).collect();
    let level = decision.iter().flat_map(|d| &d.in_force).map(|r| r.level).max();
    Ok(Json(json!({ "supplier": supplier, "level": level, "in_force": in_force })).into_response())
}

/// Features that tell of others, or are the platform's own opinion: nothing a supplier did.
fn is_about_itself(feature: &str) -> bool {
    !["links.", "peers.", "model.", "score", "history."].iter().any(|group| feature.starts_with(group))
}

/// One decision with what was counted, in words; never what would have been too many.
pub(super) async fn decision_facts(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path((supplier, decision)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let supplier = visible(&api, &caller, &supplier)?;
    let held = in_force(&api, &decision).filter(|(whose, _)| *whose == supplier).map(|(_, r)| r);
    let began = api.decisions.beginning(&decision).filter(|began| began.supplier == supplier);
    let (in_force, restriction) =
        (held.is_some(), held.or_else(|| began.and_then(|began| began.restriction.clone())));
    let Some(restriction) = restriction else {
        let detail = "no decision of that id concerns this supplier";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_decision", detail));
    };
    let schema = api.schema();
    let meaning = |name: &str| schema.slot(name).map(|slot| schema.features()[slot].meaning.clone());
    let counted: Vec<Value> = restriction
        .values
        .iter()
        .filter(|(name, _)| is_about_itself(name))
        .map(|(name, value)| json!({ "what": meaning(name).unwrap_or_else(|| name.clone()), "value": value }))
        .collect();
    let mut body = facts(&restriction);
    body["in_force"] = json!(in_force);
    body["counted"] = json!(counted);
    body["automatic"] = json!(restriction.actor.is_none());
    Ok(Json(body).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AppealBody {
    decision: String,
    text: String,
}

pub(super) async fn appeal(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    let supplier = visible(&api, &caller, &supplier)?;
    let AppealBody { decision, text } = body::parse(&text)?;
    if text.trim().is_empty() || text.chars().count() > APPEAL_CHARS_MAX {
        let detail = format!("say why it is wrong, in at most {APPEAL_CHARS_MAX} characters");
        return Err(Problem::invalid(vec![FieldError::new("/text", "bad_text", detail)]));
    }
    let proposal =
        Proposal::Appeal { supplier: supplier.clone(), restriction: decision, actor: actor(&caller), text };
    match api.ask(proposal).await? {
        (id, None) => Ok(later(&id)),
        (_, Some(review)) => {
            let review = review.and_then(|id| api.desk.get(&id)).ok_or_else(no_such_review)?;
            let body = json!({ "appeal": review.id, "opened_at": review.opened_at, "due_at": review.due_at });
            let location = format!("/v1/suppliers/{supplier}/appeals");
            Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
        }
    }
}

/// A supplier's appeals: those that wait with their clock, and those answered with the outcome.
pub(super) async fn appeals(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    let supplier = visible(&api, &caller, &supplier)?;
    let open: Vec<Arc<Review>> = api
        .desk
        .reviews()
        .into_iter()
        .filter(|review| review.kind == ReviewKind::Appeal && review.supplier == supplier)
        .collect();
    let id_of = |decision: &Decision| decision.restriction.as_ref().map(|r| r.id.clone());
    // Oldest first, so that each answer is that to the appeal before it.
    let mut story = api.decisions.list(Some(&supplier), None, usize::MAX);
    story.reverse();
    let mut appeals: Vec<Value> = Vec::new();
    for (_, decision) in &story {
        match decision.action {
            Action::Appealed => appeals.push(json!({
                "decision": id_of(decision), "appealed_at": decision.at, "text": decision.note, "outcome": "open",
            })),
            Action::AppealRejected | Action::Released => {
                let id = json!(id_of(decision));
                let waiting = |appeal: &&mut Value| appeal["decision"] == id && appeal["outcome"] == "open";
                if let Some(appeal) = appeals.iter_mut().rev().find(waiting) {
                    let granted = decision.action == Action::Released;
                    appeal["outcome"] = json!(if granted { "granted" } else { "rejected" });
                    appeal["answered_at"] = json!(decision.at);
                    appeal["answer"] = json!(decision.note);
                }
            }
            Action::Expired | Action::Unlinked | Action::Allowed => {
                let id = json!(id_of(decision));
                let waiting = |appeal: &&mut Value| appeal["decision"] == id && appeal["outcome"] == "open";
                if let Some(appeal) = appeals.iter_mut().rev().find(waiting) {
                    appeal["outcome"] = json!("ended");
                    appeal["answered_at"] = json!(decision.at);
                }
            }
            _ => {}
        }
    }
    for appeal in appeals.iter_mut().filter(|appeal| appeal["outcome"] == "open") {
        let review = open
            .iter()
            .find(|review| review.restriction.as_ref().is_some_and(|r| appeal["decision"] == json!(r.id)));
        appeal["due_at"] = json!(review.map(|review| review.due_at));
    }
    Ok(Json(json!({ "supplier": supplier, "appeals": appeals })).into_response())
}

/// What buyers would no longer see without this supplier.
pub(super) async fn supplier_impact(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let suppliers = BTreeSet::from([supplier_id(&supplier)?]);
    aside(move || describe_impact(&api, &suppliers)).await
}

pub(super) async fn risk(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(supplier): Path<String>,
) -> Result<Response, Problem> {
    let supplier = supplier_id(&supplier)?;
    api.analyst(&caller)?;
    match (api.risk)(&supplier) {
        Some(view) => Ok(Json(view).into_response()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no_score", "this supplier has no score yet")),
    }
}
