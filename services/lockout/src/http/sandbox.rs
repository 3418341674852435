//! What an integrator does to a supplier of its own in the sandbox, so that a decision happens at once: its webhook, its standing and
//! what buyers see can then be looked at. These calls are served by the sandbox only; the live platform does not know them.

use axum::Router;
use serde::Deserialize;
use serde_json::json;
use stockade_model::{Level, Proposal, Scope, time::DAY_MS};
use stockade_runtime::{
    api::{Operation, Routes},
    clock,
};

use super::{ask::Later, ask::Ruled, *};

/// How long a restriction of the sandbox lasts.
const LASTS_MS: i64 = DAY_MS;
/// What its statement of reasons says.
const TOLD: &str = "You asked for it, to see what a restriction looks like.";
/// What is noted of it.
const REASON: &str = "asked for in the sandbox";

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SandboxRestrict")]
pub(super) struct Restrict {
    /// How hard.
    level: Level,
}

async fn restrict(
    State(api): State<LockoutApi>,
    SupplierOrStaff { supplier, by }: SupplierOrStaff,
    Parsed(Restrict { level }): Parsed<Restrict>,
) -> Answer {
    api.must_know(&supplier).await?;
    let expires_at = stockade_model::Timestamp::from_ms(clock::now_ms() + LASTS_MS);
    let (deny, scope, actor, reason) = (Some(level), Scope::Supplier, by.id, REASON.to_owned());
    let (precondition, text) = (None, TOLD.to_owned());
    let deny = Proposal::Override { supplier, deny, scope, actor, reason, expires_at, precondition, text };
    api.propose(deny).await
}

async fn release(State(api): State<LockoutApi>, SupplierOrStaff { supplier, by }: SupplierOrStaff) -> Answer {
    api.must_know(&supplier).await?;
    let (restriction, actor, reason) = (None, by.id, REASON.to_owned());
    api.propose(Proposal::Release { supplier, restriction, actor, reason }).await
}

/// The calls.
pub fn sandbox_routes() -> Routes<LockoutApi> {
    let call = |verb: &str, id, summary| {
        Operation::post(format!("/v1/sandbox/suppliers/{{supplier}}/{verb}"), id, summary)
            .tag("Sandbox")
            .answers::<Ruled<'_>>(StatusCode::OK, "What is in force now.")
            .answers::<Later<'_>>(StatusCode::ACCEPTED, "It is durable and not decided yet.")
            .fails(&[
                "unknown_supplier",
                "control_pending",
                "log_unavailable",
                "log_unconfirmed",
                "disk_full",
            ])
            .fails(&["no_such_path", "nothing_in_force"])
    };
    let restricts = call("restrict", "sandboxRestrict", "Restricts a supplier of the sandbox at once")
        .about("For a day, or until it is released. Needs a key of the sandbox (`sk_test_…`); with any other it is not found.")
        .example("no longer shown", json!({ "level": "quarantine" }));
    let releases = call("release", "sandboxRelease", "Releases a supplier of the sandbox from everything");
    Routes::default().add(restricts, restrict).add(releases, release)
}

/// The calls with what they need.
pub fn sandbox_router(api: LockoutApi) -> Router {
    sandbox_routes().router().with_state(api)
}
