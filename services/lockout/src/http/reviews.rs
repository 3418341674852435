//! Reviews: what waits for a person, one after the other.

use serde::{Deserialize, Serialize};
use stockade_model::{Finding, Proposal};

use super::{ask::later, impact::Impact, *};
use crate::arbiter::{Refusal, Review, ReviewKind};

/// Most reviews in a list, and how many there are when nobody says.
const LIST_MAX: usize = 500;
const LIST: usize = 50;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReviewQuery {
    kind: Option<ReviewKind>,
    supplier: Option<SupplierId>,
    limit: Option<usize>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Reviews")]
pub(super) struct Listed<'a> {
    /// The most urgent first.
    reviews: Vec<&'a Review>,
    /// How many of those asked for are open.
    open: usize,
}

pub(super) async fn list(
    State(api): State<LockoutApi>,
    _: Analyst,
    Params(query): Params<ReviewQuery>,
) -> Answer {
    let limit = query.limit.unwrap_or(LIST).clamp(1, LIST_MAX);
    let (found, open) = api.desk.reviews(query.kind, query.supplier.as_ref(), limit);
    let reviews = found.iter().map(AsRef::as_ref).collect();
    Ok(Json(Listed { reviews, open }).into_response())
}

/// Claims the most urgent review that nobody has and that the caller may judge.
pub(super) async fn next(State(api): State<LockoutApi>, Analyst(by): Analyst) -> Answer {
    claim(&api, by.id, None).await
}

async fn claim(api: &LockoutApi, actor: String, review: Option<String>) -> Answer {
    let (id, claimed) = api.ask(Proposal::Claim { review, actor }).await?;
    let Some(claimed) = claimed else { return Ok(later(&id)) };
    let review = claimed.review.and_then(|id| api.desk.get(&id)).ok_or(Refusal::NoSuchReview)?;
    described(api, review).await
}

/// A review with what a person needs to decide: what buyers would lose, and what else is known.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "ReviewDescribed")]
pub(super) struct Described<'a> {
    #[serde(flatten)]
    review: &'a Review,
    impact: Impact,
    #[schemars(with = "Option<super::shapes::Risk>")]
    risk: Option<Value>,
}

async fn described(api: &LockoutApi, review: Arc<Review>) -> Answer {
    let api = api.clone();
    aside(move || {
        let impact = impact::of(&api, &BTreeSet::from([review.supplier.clone()]));
        let risk = (api.risk)(&review.supplier);
        Json(Described { review: &review, impact, risk }).into_response()
    })
    .await
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst, Path(id): Path<String>) -> Answer {
    let review = api.desk.get(&id).ok_or(Refusal::NoSuchReview)?;
    described(&api, review).await
}

/// What a person does with a review.
#[derive(Clone, Copy)]
pub(super) enum ReviewVerb {
    Claim,
    GiveBack,
    Settle,
}

/// The verbs of `POST /v1/reviews/{id}:…`.
pub(super) const VERBS: [(&str, ReviewVerb); 3] =
    [("claim", ReviewVerb::Claim), ("giveback", ReviewVerb::GiveBack), ("settle", ReviewVerb::Settle)];

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SettleReview")]
pub(super) struct Settle {
    finding: Finding,
    reason: Reason,
}

pub(super) async fn act(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(path): Path<String>,
    body::Body(text): body::Body,
) -> Answer {
    let (id, verb) = verb(&path, &VERBS)?;
    match verb {
        ReviewVerb::Claim => claim(&api, by.id, Some(id.to_owned())).await,
        ReviewVerb::GiveBack => {
            let (id, given) = api.ask(Proposal::GiveBack { review: id.to_owned(), actor: by.id }).await?;
            let Some(_) = given else { return Ok(later(&id)) };
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ReviewVerb::Settle => {
            let Settle { finding, reason } = body::parse(&text)?;
            let (review, actor, reason) = (id.to_owned(), by.id, reason.said()?);
            api.propose(Proposal::Settle { review, finding, actor, reason }).await
        }
    }
}
