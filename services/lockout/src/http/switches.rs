//! Switches: all rules in shadow at once, and whether what changes verdicts needs a second person.

use serde::{Deserialize, Serialize};
use stockade_model::{Change, Proposal};

use super::{ask::waits, *};
use crate::arbiter::Kill;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TurnSwitch")]
pub(super) struct Switch {
    on: bool,
    reason: Reason,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct KillSwitch {
    on: bool,
    /// Who turned it last, why and when; none when nobody ever did.
    last: Option<Kill>,
}

pub(super) async fn get_kill(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    let last = api.desk.kill();
    Ok(Json(KillSwitch { on: last.as_ref().is_some_and(|kill| kill.on), last }).into_response())
}

/// One person may always turn it, both ways: it lifts nothing, and brings back only what two people let come into force.
pub(super) async fn put_kill(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Parsed(Switch { on, reason }): Parsed<Switch>,
) -> Answer {
    let reason = reason.said()?;
    // First where it works, then where it is kept for ever.
    let proposal = Proposal::KillSwitch { on, actor: by.id.clone(), reason: reason.clone() };
    let answer = api.propose(proposal).await?;
    api.enact(&by.id, Change::KillSwitch { on, reason }).await?;
    Ok(answer)
}

#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct FourEyes {
    on: bool,
}

pub(super) async fn get_four_eyes(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    Ok(Json(FourEyes { on: api.versions.four_eyes() }).into_response())
}

pub(super) async fn put_four_eyes(
    State(api): State<LockoutApi>,
    Operator(by): Operator,
    Parsed(Switch { on, reason }): Parsed<Switch>,
) -> Answer {
    match api.enact(&by.id, Change::FourEyes { on, reason: reason.said()? }).await? {
        Enacted::InForce => Ok(Json(FourEyes { on }).into_response()),
        Enacted::Draft(draft) => Ok(waits(&draft)),
    }
}
