//! Backtests: what a set would have done in the past, as jobs of this process.

use serde::Deserialize;
use stockade_model::{Timestamp, time::DAY_MS};
use stockade_rules::Mode;

use super::{
    impact::now,
    rules::{a_month, asked_set, rule_problem},
    *,
};
use crate::backtest::{Job, Question, Sources, run};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BacktestAsked")]
pub(super) struct Backtest {
    #[serde(default)]
    source: String,
    #[serde(default = "a_month")]
    days: u32,
}

pub(super) async fn begin(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Parsed(Backtest { source, days }): Parsed<Backtest>,
) -> Answer {
    let (set, kept) = asked_set(&api, &source)?;
    let source = if source.trim().is_empty() { api.rules.current().1 } else { source };
    let mut spec = RuleSet::read(&source).map_err(|errors| rule_problem(&errors))?;
    spec.rules.retain(|rule| rule.mode != Mode::Off);
    // Where vectors are made anew they have other slots than those kept; the set in force is compiled for the same ones.
    let current = match RuleSet::compile(&api.rules.current().1, set.schema().clone()) {
        Ok(current) if !api.rules.current().1.is_empty() => Arc::new(current),
        _ => Arc::new(RuleSet::empty(set.schema().clone())),
    };
    let Some(job) = api.backtests.enter(api.ids.next(), by.id) else {
        let detail = "two backtests run already; wait for one or cancel it";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_backtests", detail)
            .with_header(header::RETRY_AFTER, "10"));
    };
    let since = Timestamp::from_ms(now().ms() - i64::from(days) * DAY_MS);
    let features = api.features.current().1;
    let question = Question { spec, set, current, features, kept, since };
    let sources = Sources {
        log: api.log.clone(),
        partitions: api.partitions,
        rescore: api.rescore.clone(),
        decisions: api.decisions.clone(),
    };
    let (status, location) = (job.status(), format!("/v1/backtests/{}", job.id));
    tokio::task::spawn_blocking(move || run(&job, question, &sources));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(status)).into_response())
}

fn job_of(api: &LockoutApi, id: &str) -> Result<Arc<Job>, Problem> {
    api.backtests
        .get(id)
        .ok_or_else(|| missing("no_such_backtest", "this process has no backtest of that id"))
}

pub(super) async fn status(State(api): State<LockoutApi>, _: Analyst, Path(job): Path<String>) -> Answer {
    Ok(Json(job_of(&api, &job)?.status()).into_response())
}

pub(super) async fn cancel(State(api): State<LockoutApi>, _: Analyst, Path(job): Path<String>) -> Answer {
    let job = job_of(&api, &job)?;
    job.cancel();
    Ok((StatusCode::ACCEPTED, Json(job.status())).into_response())
}
