//! How people's asks reach the folds, and how their answers wait: for the verdict, and until this replica shows what it led
//! to.

use bytes::Bytes;
use serde::Serialize;
use stockade_log::{Ack, LogError, NewRecord, Route};
use stockade_model::{Change, ControlRecord, Envelope, Payload, Proposal, Restriction, Topic};
use stockade_rules::RuleError;

use super::*;
use crate::control::{Refusal, Relayed};

/// About an hour, in seconds: when to ask again for what is counted by the day. It is no promise that there is room by then.
const HOUR_S: &str = "3600";

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enacted {
    /// It is in force in every partition.
    InForce,
    /// It waits for a second person under this id.
    Draft(String),
}

/// What a person's proposal came to.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Ruled<'a> {
    /// Id of its record.
    proposal: &'a str,
    supplier: Option<&'a SupplierId>,
    /// The review it was about, if any.
    review: Option<&'a str>,
    /// What is in force for the supplier now.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<Vec<Restriction>>,
}

/// Durable, but not decided before the deadline.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "DecidedLater")]
pub(super) struct Later<'a> {
    proposal: &'a str,
    detail: &'static str,
}

/// It waits for a second person.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "WaitsForApproval")]
pub(super) struct Waits<'a> {
    draft: &'a str,
    detail: String,
    /// What of a rule set compiles and yet is hardly meant.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [RuleError],
}

/// The answer for what waits for a second person.
pub(super) fn waits(draft: &str) -> Response {
    waits_with(draft, &[])
}

/// The same for a rule set of which something is to be warned.
pub(super) fn waits_with(draft: &str, warnings: &[RuleError]) -> Response {
    let link = format!("/v1/drafts/{draft}");
    let detail = format!("it waits for somebody else's POST {link}:approve");
    (StatusCode::ACCEPTED, [(header::LOCATION, link)], Json(Waits { draft, detail, warnings }))
        .into_response()
}

/// The answer for what will be decided later.
pub(super) fn later(id: &str) -> Response {
    let detail = "it is durable and will be decided; look at /v1/decisions";
    (StatusCode::ACCEPTED, Json(Later { proposal: id, detail })).into_response()
}

impl From<arbiter::Refusal> for Problem {
    fn from(refusal: arbiter::Refusal) -> Problem {
        use arbiter::Refusal::{DecidedSince, NoSuchReview, NothingToReview, OwnDecision, TooManyAppeals};
        let status = match refusal {
            NoSuchReview | NothingToReview => StatusCode::NOT_FOUND,
            OwnDecision => StatusCode::FORBIDDEN,
            DecidedSince => StatusCode::PRECONDITION_FAILED,
            TooManyAppeals => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::CONFLICT,
        };
        let problem = Problem::new(status, refusal.code(), refusal.detail());
        // When the first of them is a day old is not reckoned: about an hour is soon enough to ask again.
        let is_later = refusal == TooManyAppeals;
        if is_later { problem.with_header(header::RETRY_AFTER, HOUR_S) } else { problem }
    }
}

impl From<Refused> for Problem {
    fn from(Refused { why, detail }: Refused) -> Problem {
        let status = match why {
            Refusal::RulesChanged | Refusal::FeaturesChanged => StatusCode::PRECONDITION_FAILED,
            Refusal::OwnChange => StatusCode::FORBIDDEN,
            Refusal::NoSuchVersion | Refusal::NoSuchDraft => StatusCode::NOT_FOUND,
            Refusal::NoSuchModel | Refusal::DraftWaits => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Problem::new(status, why.code(), detail)
    }
}

impl LockoutApi {
    async fn append(&self, topic: Topic, id: &str, key: &str, payload: &Payload) -> Result<(), Problem> {
        let record = NewRecord {
            topic: topic.name(),
            route: Route::Partition(0),
            key: Bytes::copy_from_slice(key.as_bytes()),
            headers: Envelope::new(payload.kind(), id, "stockade/api").headers(),
            value: payload.encode().into(),
        };
        let refused = |error: LogError| match error {
            LogError::DiskFull { .. } => Problem::disk_full(error.to_string()),
            other => Problem::unavailable("log_unavailable", other.to_string()),
        };
        self.log.room().map_or(Ok(()), |room| room.admits()).map_err(refused)?;
        let appended = tokio::time::timeout(DEADLINE, self.log.append(vec![record], Ack::Durable)).await;
        let unconfirmed = |_| {
            Problem::unavailable(
                "log_unconfirmed",
                "the log did not confirm it in time; it may still be written: look before repeating it",
            )
        };
        appended.map_err(unconfirmed)?.map(|_| ()).map_err(refused)
    }

    /// Waits until a verdict is there and this replica shows what it led to; `None` when that takes too long.
    async fn shown(
        &self,
        verdict: stockade_runtime::Waiter<Result<Disposed, arbiter::Refusal>>,
    ) -> Result<Option<Disposed>, Problem> {
        let Some(verdict) = verdict.within(DEADLINE).await else { return Ok(None) };
        let disposed = verdict?;
        if let Some(version) = &disposed.decided
            && tokio::time::timeout(DEADLINE, self.decisions.wait(version)).await.is_err()
        {
            return Ok(None);
        }
        Ok(Some(disposed))
    }

    /// Puts a proposal before the arbiter and waits for what comes of it, until this replica shows it: the review it is
    /// about, if any; `None` when that is still to come.
    pub(super) async fn ask(&self, proposal: Proposal) -> Result<(String, Option<Disposed>), Problem> {
        let id = self.ids.next();
        let verdict = self.verdicts.expect(&id);
        let key = proposal.supplier().map_or_else(String::new, ToString::to_string);
        self.append(Topic::LockoutProposals, &id, &key, &Payload::Proposal(proposal)).await?;
        let shown = self.shown(verdict).await?;
        Ok((id, shown))
    }

    /// The same, answered in the usual way.
    pub(super) async fn propose(&self, proposal: Proposal) -> Answer {
        let supplier = proposal.supplier().cloned();
        let (id, disposed) = self.ask(proposal).await?;
        let Some(disposed) = disposed else { return Ok(later(&id)) };
        let latest = supplier.as_ref().and_then(|supplier| self.decisions.latest(supplier));
        let in_force =
            supplier.as_ref().map(|_| latest.map(|latest| latest.in_force.clone()).unwrap_or_default());
        let (supplier, review) = (supplier.as_ref(), disposed.review.as_deref());
        Ok(Json(Ruled { proposal: &id, supplier, review, in_force }).into_response())
    }

    /// Appends a change to `control` and waits until it is in force in every partition, or waits for a second person.
    pub(super) async fn enact(&self, actor: &str, change: Change) -> Result<Enacted, Problem> {
        let id = self.ids.next();
        // What is relayed to the arbiter is answered by it, under the same id.
        let (judged, verdict) = (self.judged.expect(&id), self.verdicts.expect(&id));
        let payload = Payload::Control(ControlRecord { actor: actor.to_owned(), change });
        self.append(Topic::Control, &id, "", &payload).await?;
        let pending =
            |code| Problem::unavailable(code, "it is durable and on its way; read it until it shows");
        let Some(judged) = judged.within(DEADLINE).await else { return Err(pending("control_pending")) };
        let arrived = async |status: &InForceStatus, version: &str, code| {
            let arrived = tokio::time::timeout(DEADLINE, status.wait(version, self.partitions)).await;
            arrived.map_err(|_| pending(code))
        };
        match judged? {
            Passed::Done => {}
            Passed::Drafted(draft) => return Ok(Enacted::Draft(draft)),
            Passed::Relayed(Relayed::Rules(version)) => {
                arrived(&self.rules, &version, "rules_pending").await?;
            }
            Passed::Relayed(Relayed::Features(version)) => {
                arrived(&self.features, &version, "features_pending").await?;
            }
            Passed::Relayed(Relayed::Models(id)) => arrived(&self.models, &id, "models_pending").await?,
            Passed::Relayed(Relayed::Proposal) => {
                self.shown(verdict).await?.ok_or_else(|| pending("proposal_pending"))?;
            }
        }
        Ok(Enacted::InForce)
    }

    /// Refuses a supplier that was never registered. One that is not known yet is looked for up to the present end of
    /// `control`, so that a registration that was answered counts.
    pub(super) async fn must_know(&self, supplier: &SupplierId) -> Result<(), Problem> {
        if self.suppliers.has(supplier) {
            return Ok(());
        }
        let log = self.log.clone();
        let end = tokio::task::spawn_blocking(move || log.bounds(Topic::Control.name(), 0)).await;
        let late =
            || Problem::unavailable("control_pending", "who is registered is still being read; ask again");
        let end = end.ok().and_then(Result::ok).ok_or_else(late)?.end;
        tokio::time::timeout(DEADLINE, self.suppliers.wait(end)).await.map_err(|_| late())?;
        if self.suppliers.has(supplier) {
            return Ok(());
        }
        let detail = format!(
            "supplier {supplier} is not registered; an operator registers it with PUT /v1/suppliers/{supplier}"
        );
        Err(missing("unknown_supplier", &detail))
    }

    /// Why there is no score of a supplier: it is not registered, or nothing was scored of it yet.
    pub(super) async fn no_score(&self, supplier: &SupplierId) -> Problem {
        let known = self.must_know(supplier).await;
        known.err().unwrap_or_else(|| missing("no_score", "this supplier has no score yet"))
    }
}
