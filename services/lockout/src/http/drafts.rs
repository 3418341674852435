//! What waits for a second person.

use serde::Serialize;
use stockade_model::Change;

use super::*;
use crate::control::{Draft, Subject};

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Drafts")]
pub(super) struct Waiting<'a> {
    drafts: Vec<&'a Draft>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DraftApproved")]
pub(super) struct Approved<'a> {
    draft: &'a str,
    approver: &'a str,
}

pub(super) async fn list(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    let drafts = api.versions.drafts();
    Ok(Json(Waiting { drafts: drafts.iter().map(AsRef::as_ref).collect() }).into_response())
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst, Path(id): Path<String>) -> Answer {
    let drafts = api.versions.drafts();
    let found = drafts.iter().find(|draft| draft.id == id);
    let draft = found.ok_or_else(|| missing("no_such_draft", "nothing waits for approval under that id"))?;
    Ok(Json(draft.as_ref()).into_response())
}

/// What a person does with somebody else's draft.
#[derive(Clone, Copy)]
pub(super) enum DraftVerb {
    Approve,
}

/// The verbs of `POST /v1/drafts/{id}:…`.
pub(super) const VERBS: [(&str, DraftVerb); 1] = [("approve", DraftVerb::Approve)];

pub(super) async fn act(
    State(api): State<LockoutApi>,
    Approver(by): Approver,
    Path(path): Path<String>,
) -> Answer {
    let (id, DraftVerb::Approve) = verb(&path, &VERBS)?;
    api.enact(&by.id, Change::Approve { draft: id.to_owned() }).await?;
    Ok(Json(Approved { draft: id, approver: &by.id }).into_response())
}

/// Takes a draft away: one's own, or somebody else's to make room for another.
pub(super) async fn remove(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(draft): Path<String>,
) -> Answer {
    api.enact(&by.id, Change::Drop { draft }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn of_rules(api: &LockoutApi) -> Result<Arc<Draft>, Problem> {
    let none = || missing("no_such_draft", "no set waits for approval");
    api.versions.draft_of(&Subject::Rules).ok_or_else(none)
}

pub(super) async fn get_of_rules(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    Ok(Json(of_rules(&api)?.as_ref()).into_response())
}

pub(super) async fn remove_of_rules(State(api): State<LockoutApi>, Analyst(by): Analyst) -> Answer {
    let draft = of_rules(&api)?.id.clone();
    api.enact(&by.id, Change::Drop { draft }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
