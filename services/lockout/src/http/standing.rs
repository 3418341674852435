//! What a supplier sees of itself, and what it can say against it.

use serde::{Deserialize, Serialize};
use stockade_model::{Action, Decision, Level, Proposal, Restriction, Scope, Timestamp, VouchedBy};
use stockade_runtime::text;

use super::{ask::later, decisions::in_force, *};
use crate::arbiter::{Refusal, ReviewKind};

/// Longest text of an appeal, in characters.
const APPEAL_CHARS_MAX: usize = 4_000;

/// What a supplier is told: what, why, since when, until when. Never thresholds or rules.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RestrictionFacts")]
pub(crate) struct Facts {
    decision: String,
    level: Level,
    scope: Scope,
    reasons: Vec<String>,
    text: String,
    since: Timestamp,
    expires_at: Timestamp,
    review_at: Timestamp,
    /// Who vouches for what was counted.
    vouched: Vec<VouchedBy>,
}

impl From<&Restriction> for Facts {
    fn from(restriction: &Restriction) -> Self {
        Self {
            decision: restriction.id.clone(),
            level: restriction.level,
            scope: restriction.scope.clone(),
            reasons: restriction.reasons.clone(),
            text: restriction.text.clone(),
            since: restriction.since,
            expires_at: restriction.expires_at,
            review_at: restriction.review_at,
            vouched: restriction.vouched.clone(),
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Standing {
    supplier: SupplierId,
    /// The hardest level in force; none when nothing is.
    level: Option<Level>,
    in_force: Vec<Facts>,
}

pub(super) async fn standing(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
) -> Answer {
    api.must_know(&supplier).await?;
    let decision = api.decisions.latest(&supplier);
    let held = || decision.iter().flat_map(|decision| &decision.in_force);
    let (level, in_force) = (held().map(|r| r.level).max(), held().map(Facts::from).collect());
    Ok(Json(Standing { supplier, level, in_force }).into_response())
}

/// Features that tell of others, or are the platform's own opinion: nothing a supplier did.
fn is_about_itself(feature: &str) -> bool {
    !["links.", "peers.", "model.", "score", "history."].iter().any(|group| feature.starts_with(group))
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Counted {
    pub(super) what: String,
    pub(super) value: f64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct DecisionFacts {
    #[serde(flatten)]
    facts: Facts,
    in_force: bool,
    counted: Vec<Counted>,
    /// Whether a rule made it rather than a person.
    automatic: bool,
}

/// A restriction of a supplier by the id of its decision, and whether it is in force.
pub(super) fn restriction_of(
    api: &LockoutApi,
    supplier: &SupplierId,
    decision: &str,
) -> Result<(Restriction, bool), Problem> {
    let held = in_force(api, decision).filter(|(whose, _)| whose == supplier).map(|(_, r)| r);
    let began = api.decisions.beginning(decision).filter(|began| began.supplier == *supplier);
    let in_force = held.is_some();
    let restriction = held.or_else(|| began.and_then(|began| began.restriction.clone()));
    let none = || missing("no_such_decision", "no decision of that id concerns this supplier");
    Ok((restriction.ok_or_else(none)?, in_force))
}

/// A value as a supplier is told it. What was counted it knows itself; a rate or a statistic is told to one digit, for as it was
/// when the rule first held it lies just beyond the bound.
fn told(value: f64) -> f64 {
    if value.fract() == 0.0 || !value.is_finite() {
        return value;
    }
    let digit = 10f64.powf(value.abs().log10().floor());
    // Divided where that is exact, so that 0.4 is told and not 0.4000000000000001.
    if digit < 1.0 {
        (value / digit).round() / (1.0 / digit).round()
    } else {
        (value / digit).round() * digit
    }
}

/// What was counted for a restriction, in words.
pub(super) fn counted(api: &LockoutApi, restriction: &Restriction) -> Vec<Counted> {
    let schema = api.schema();
    let meaning = |name: &str| schema.slot(name).map(|slot| schema.features()[slot].meaning.clone());
    let own = restriction.values.iter().filter(|(name, _)| is_about_itself(name));
    own.map(|(name, value)| Counted {
        what: meaning(name).unwrap_or_else(|| name.clone()),
        value: told(*value),
    })
    .collect()
}

/// One decision with what was counted, in words; never what would have been too many.
pub(super) async fn decision(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
    Path((_, decision)): Path<(String, String)>,
) -> Answer {
    let (restriction, in_force) = restriction_of(&api, &supplier, &decision)?;
    let (counted, automatic) = (counted(&api, &restriction), restriction.actor.is_none());
    Ok(Json(DecisionFacts { facts: Facts::from(&restriction), in_force, counted, automatic }).into_response())
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAppeal")]
pub(super) struct AppealBody {
    /// The decision that is wrong, as standing names it.
    decision: String,
    /// Why, in your own words.
    #[schemars(length(min = 1, max = APPEAL_CHARS_MAX))]
    text: String,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AppealOpened")]
pub(super) struct Opened<'a> {
    appeal: &'a str,
    opened_at: Timestamp,
    due_at: Timestamp,
}

pub(super) async fn appeal(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, by }: SupplierOrStaff,
    Parsed(AppealBody { decision, text }): Parsed<AppealBody>,
) -> Answer {
    let bad = |code, detail: String| Problem::invalid(vec![FieldError::new("/text", code, detail)]);
    if text.trim().is_empty() || text.chars().count() > APPEAL_CHARS_MAX {
        let detail = format!("say why it is wrong, in at most {APPEAL_CHARS_MAX} characters");
        return Err(bad("bad_text", detail));
    }
    text::prose(&text, APPEAL_CHARS_MAX).map_err(|wrong| bad(wrong.code, wrong.detail))?;
    let location = format!("/v1/suppliers/{supplier}/appeals");
    let (id, filed) =
        api.ask(Proposal::Appeal { supplier, restriction: decision, actor: by.id, text }).await?;
    let Some(filed) = filed else { return Ok(later(&id)) };
    let review = filed.review.and_then(|id| api.desk.get(&id)).ok_or(Refusal::NoSuchReview)?;
    let opened = Opened { appeal: &review.id, opened_at: review.opened_at, due_at: review.due_at };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(opened)).into_response())
}

/// What became of an appeal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AppealOutcome")]
pub(super) enum Outcome {
    Open,
    Granted,
    Rejected,
    /// What it was against ended by itself.
    Ended,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Appeal {
    decision: Option<String>,
    appealed_at: Timestamp,
    text: Option<String>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// By when it should be answered, while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Appeals {
    supplier: SupplierId,
    appeals: Vec<Appeal>,
}

/// The appeals in a supplier's decisions, oldest first, so that each answer is that to the appeal before it.
fn appeals_in<'a>(story: impl Iterator<Item = &'a Decision>) -> Vec<Appeal> {
    let mut appeals: Vec<Appeal> = Vec::new();
    for decision in story {
        let id = decision.restriction.as_ref().map(|r| r.id.clone());
        let outcome = match decision.action {
            Action::Appealed => {
                appeals.push(Appeal {
                    decision: id,
                    appealed_at: decision.at,
                    text: decision.note.clone(),
                    outcome: Outcome::Open,
                    answered_at: None,
                    answer: None,
                    due_at: None,
                });
                continue;
            }
            Action::AppealRejected => Outcome::Rejected,
            Action::Released => Outcome::Granted,
            Action::Expired | Action::Unlinked | Action::Cured | Action::Allowed => Outcome::Ended,
            _ => continue,
        };
        let waiting = |appeal: &&mut Appeal| appeal.decision == id && appeal.outcome == Outcome::Open;
        if let Some(appeal) = appeals.iter_mut().rev().find(waiting) {
            appeal.outcome = outcome;
            appeal.answered_at = Some(decision.at);
            appeal.answer = decision.note.clone().filter(|_| outcome != Outcome::Ended);
        }
    }
    appeals
}

/// A supplier's appeals: those that wait with their clock, and those answered with the outcome.
pub(super) async fn appeals(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, .. }: SupplierOrStaff,
) -> Answer {
    let story = api.decisions.list(Some(&supplier), None, usize::MAX);
    let mut appeals = appeals_in(story.iter().rev().map(|(_, decision)| decision.as_ref()));
    let (open, _) = api.desk.reviews(Some(ReviewKind::Appeal), Some(&supplier), usize::MAX);
    for appeal in appeals.iter_mut().filter(|appeal| appeal.outcome == Outcome::Open) {
        let against = |id: &String| Some(id) == appeal.decision.as_ref();
        let review = open.iter().find(|review| review.restriction.as_ref().is_some_and(|r| against(&r.id)));
        appeal.due_at = review.map(|review| review.due_at);
    }
    Ok(Json(Appeals { supplier, appeals }).into_response())
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn a_supplier_is_told_what_was_counted_and_of_rates_one_digit() {
        for (value, expected) in [
            (12.0, 12.0),
            (0.0, 0.0),
            (0.4385, 0.4),
            (0.0213, 0.02),
            (4.561, 5.0),
            (437.2, 400.0),
            (-0.27, -0.3),
        ] {
            assert_eq!(told(value), expected, "{value}");
        }
    }
}
