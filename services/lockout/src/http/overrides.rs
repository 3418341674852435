//! Overrides: what a person decides of one supplier over the heads of rules.

use serde::{Deserialize, Serialize};
use stockade_model::{Level, Precondition, Proposal, Region, Scope, Timestamp};
use stockade_runtime::{
    ListQuery,
    http::supplier_id,
    text::{REASON_CHARS_MAX, prose},
};

use super::*;

/// An allow or a denial: exactly one of both, and always spelt out.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOverride")]
pub(super) struct OverrideBody {
    supplier: SupplierId,
    #[serde(default)]
    allow: bool,
    deny: Option<Level>,
    scope: Option<Scope>,
    reason: Reason,
    /// What the supplier is told, in its standing and in the statement of reasons: the facts that a denial rests on. The reason is
    /// for colleagues.
    #[schemars(length(max = REASON_CHARS_MAX))]
    text: Option<String>,
    expires_at: Timestamp,
}

impl OverrideBody {
    fn proposal(self, actor: String, precondition: Option<Precondition>) -> Result<Proposal, Problem> {
        let Self { supplier, allow, deny, scope, reason, text, expires_at } = self;
        let refused =
            |field, code, detail: &str| Err(Problem::invalid(vec![FieldError::new(field, code, detail)]));
        if allow == deny.is_some() {
            let detail = "say `\"allow\": true`, or `deny` with a level; never both, never neither";
            return refused("/deny", "allow_or_deny", detail);
        }
        if allow && scope.as_ref().is_some_and(|scope| *scope != Scope::Supplier) {
            return refused(
                "/scope",
                "allow_scope",
                "an allow covers the whole supplier; leave the scope out",
            );
        }
        // A region that is on no list covers nothing, and whoever wrote it believes that it does.
        if let Some(Scope::Region { region }) = &scope
            && let Err(unknown) = Region::new(region.as_str())
        {
            return refused("/scope/region", unknown.code, &unknown.detail);
        }
        let text = text.unwrap_or_default();
        if allow && !text.is_empty() {
            return refused(
                "/text",
                "text_of_allow",
                "an allow restricts nothing that is to be explained; leave the text out",
            );
        }
        if let Err(wrong) = prose(&text, REASON_CHARS_MAX) {
            return refused("/text", wrong.code, &wrong.detail);
        }
        let (scope, reason) = (scope.unwrap_or(Scope::Supplier), reason.said()?);
        Ok(Proposal::Override { supplier, deny, scope, actor, reason, expires_at, precondition, text })
    }
}

/// What the caller has seen in force. The arbiter judges it, so that nothing comes in between.
fn expected(headers: &HeaderMap) -> Result<Option<Precondition>, Problem> {
    Ok(Some(precondition(headers)?).filter(|expected| !expected.is_empty()))
}

pub(super) async fn put(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    headers: HeaderMap,
    Parsed(body): Parsed<OverrideBody>,
) -> Answer {
    let proposal = body.proposal(by.id, expected(&headers)?)?;
    if let Some(supplier) = proposal.supplier() {
        api.must_know(supplier).await?;
    }
    api.propose(proposal).await
}

/// Takes back an allow and everything that people denied.
pub(super) async fn clear(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(supplier): Path<String>,
    headers: HeaderMap,
    Parsed(Why { reason }): Parsed<Why>,
) -> Answer {
    let supplier = supplier_id(&supplier)?;
    let reason = reason.said()?;
    api.must_know(&supplier).await?;
    let precondition = expected(&headers)?;
    api.propose(Proposal::ClearOverride { supplier, actor: by.id, reason, precondition }).await
}

/// What people decided of one supplier; `DELETE /v1/overrides/{supplier}` takes all of it back.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Override")]
pub(super) struct Listed {
    supplier: SupplierId,
    /// Who keeps rules off it, and until when; null where nobody does.
    allow: Option<AllowBody>,
    denials: Vec<Denial>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "OverrideAllow")]
pub(super) struct AllowBody {
    actor: String,
    expires_at: Timestamp,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "OverrideDenial")]
pub(super) struct Denial {
    /// The decision, as `/v1/decisions/{id}` knows it.
    id: String,
    deny: Level,
    scope: Scope,
    actor: Option<String>,
    /// Why, as was noted for colleagues.
    reason: Option<String>,
    /// What the supplier is told.
    text: String,
    since: Timestamp,
    expires_at: Timestamp,
}

/// Lists the suppliers of whom people decided something that is in force, by their ids.
pub(super) async fn list(
    State(api): State<LockoutApi>,
    _: Analyst,
    Params(query): Params<ListQuery>,
) -> Answer {
    let wanted = query.of("overrides")?;
    let after = wanted.after_as::<SupplierId>()?;
    let found = api.desk.overrides(after.as_ref(), wanted.look_for()).into_iter();
    let items = found.map(|(supplier, overrides)| {
        let allow = overrides.allow.map(|allow| AllowBody { actor: allow.actor, expires_at: allow.until });
        let denials = overrides.denials.into_iter().map(|r| Denial {
            reason: api.decisions.beginning(&r.id).and_then(|began| began.note.clone()),
            text: r.text,
            id: r.id,
            deny: r.level,
            scope: r.scope,
            actor: r.actor,
            since: r.since,
            expires_at: r.expires_at,
        });
        (supplier.to_string(), Listed { denials: denials.collect(), supplier, allow })
    });
    Ok(wanted.answer(items.collect()))
}
