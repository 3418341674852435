//! Rule sets: reading, checking, publishing, rolling back, and what they do, did or would do.

use std::collections::BTreeMap;

use axum::extract::Path;
use stockade_model::{RuleId, Timestamp, time::DAY_MS};
use stockade_rules::{Mode, Rule, RuleError, Scratch, Snapshot};
use stockade_runtime::{FieldError, body};

use super::*;
use crate::{
    backtest::{Job, Question, Sources, run},
    control::RuleVersion,
};

fn rule_problem(errors: &[RuleError]) -> Problem {
    let field = |e: &RuleError| match &e.rule {
        Some(rule) => format!("/rules/{rule}:{}:{}", e.line, e.column),
        None => "/rules".to_owned(),
    };
    let detail = |e: &RuleError| match e.text.as_str() {
        "" => e.detail.clone(),
        text => format!("at `{text}`: {}", e.detail),
    };
    let mut problem =
        Problem::invalid(errors.iter().map(|e| FieldError::new(field(e), e.code, detail(e))).collect());
    problem.code = "invalid_rules";
    problem
}

fn rules_body(source: &str, set: &RuleSet) -> Value {
    let rules: Vec<&stockade_rules::RuleSpec> = set.rules().iter().map(|rule| &rule.spec).collect();
    json!({ "version": set.version, "rules": rules, "source": source })
}

fn tagged(version: &str, body: Value) -> Response {
    ([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

fn compile(api: &LockoutApi, source: &str) -> Result<Arc<RuleSet>, Problem> {
    api.vocabulary.compile(&api.features.current().1, source).map_err(|errors| rule_problem(&errors))
}

pub(super) async fn get_rules(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (version, source) = api.rules.current();
    let mut body = rules_body(&source, &api.rule_set());
    body["exceeded"] = json!(api.desk.exceeded());
    body["kill_switch"] = json!(api.desk.kill().filter(|kill| kill.on));
    Ok(tagged(&version, body))
}

/// Compiles a set and runs its examples; changes nothing.
pub(super) async fn check(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let source = utf8(&text)?;
    let set = compile(&api, source)?;
    Ok(Json(rules_body(source, &set)).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishQuery {
    #[serde(default)]
    note: String,
}

pub(super) async fn put_rules(
    State(api): State<LockoutApi>,
    caller: Caller,
    headers: HeaderMap,
    query: Asked<PublishQuery>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let PublishQuery { note } = given(query)?;
    let (current, _) = api.rules.current();
    unchanged(&headers, &current, "/v1/rules")?;
    let source = utf8(&text)?;
    let set = compile(&api, source)?;
    let change =
        Change::Rules { version: set.version.clone(), source: source.to_owned(), base: Some(current), note };
    api.change(&actor(&caller), change).await?;
    if api.versions.draft().is_some_and(|draft| draft.version == set.version) {
        let detail = "it waits for somebody else's POST /v1/rules:approve";
        return Ok(
            (StatusCode::ACCEPTED, Json(json!({ "draft": set.version, "detail": detail }))).into_response()
        );
    }
    until_in_force(&api, &set.version).await?;
    Ok(tagged(&set.version, rules_body(source, &set)))
}

async fn until_in_force(api: &LockoutApi, version: &str) -> Result<(), Problem> {
    let late =
        |_| Problem::unavailable("rules_pending", "it is durable and on its way; read it until it shows");
    tokio::time::timeout(DEADLINE, api.rules.wait(version, api.lanes)).await.map_err(late)
}

/// Appends a compiled rule set to `control` and waits until it is in force in every partition.
pub async fn publish_rules(api: &LockoutApi, actor: &str, source: &str) -> Result<(), Problem> {
    let version = RuleSet::version_of(source);
    let change = Change::Rules {
        version: version.clone(),
        source: source.to_owned(),
        base: None,
        note: String::new(),
    };
    api.publish(actor, change, (&api.rules, &version), "rules_pending").await
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBack {
    #[serde(default)]
    to: Option<String>,
    reason: String,
}

pub(super) async fn roll_back(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let RollBack { to, reason } = body::parse(&text)?;
    api.change(&actor(&caller), Change::RollBackRules { to, note: reason }).await?;
    let version = api.versions.stack().pop().unwrap_or_default();
    until_in_force(&api, &version).await?;
    Ok(tagged(&version, json!({ "version": version })))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: String,
}

pub(super) async fn approve(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    caller.must("approver", |role| matches!(role, Role::Approver | Role::Operator))?;
    api.analyst(&caller)?;
    let Which { version } = body::parse(&text)?;
    let change = Change::ApproveRules { version: version.clone() };
    api.publish(&actor(&caller), change, (&api.rules, &version), "rules_pending").await?;
    Ok(tagged(&version, json!({ "version": version, "approver": actor(&caller) })))
}

fn no_such(code: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, detail)
}

fn draft(api: &LockoutApi) -> Result<Arc<RuleVersion>, Problem> {
    api.versions.draft().ok_or_else(|| no_such("no_such_draft", "no set waits for approval"))
}

pub(super) async fn get_draft(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let draft = draft(&api)?;
    Ok(Json(json!(*draft)).into_response())
}

pub(super) async fn drop_draft(State(api): State<LockoutApi>, caller: Caller) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let draft = draft(&api)?;
    api.change(&actor(&caller), Change::DropRules { version: draft.version.clone() }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn list_versions(
    State(api): State<LockoutApi>,
    caller: Caller,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let about = |version: &Arc<RuleVersion>| {
        json!({ "version": version.version, "author": version.author, "approver": version.approver,
                "note": version.note, "base": version.base, "at": version.at })
    };
    let versions: Vec<Value> = api.versions.all().iter().map(about).collect();
    Ok(Json(json!({ "versions": versions, "stack": api.versions.stack() })).into_response())
}

pub(super) async fn get_version(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(version): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let held = api.versions.get(&version);
    let held = held.ok_or_else(|| no_such("no_such_version", "no set of that version was ever in force"))?;
    Ok(tagged(&version, json!(*held)))
}

/// A set as written, or that in force when there is none; compiled for the vectors that scoring makes now.
fn asked_set(api: &LockoutApi, source: &str) -> Result<(Arc<RuleSet>, Arc<FeatureSchema>), Problem> {
    let kept = api.schema();
    if source.trim().is_empty() {
        return Ok((api.rule_set(), kept));
    }
    // Judged on the vectors there are, where these hold all windows that it binds.
    let set = match RuleSet::windows(source, &kept) {
        Ok(windows) if windows.iter().all(|window| kept.window_slot(window).is_some()) => {
            Arc::new(RuleSet::compile(source, kept.clone()).map_err(|errors| rule_problem(&errors))?)
        }
        _ => compile(api, source)?,
    };
    Ok((set, kept))
}

fn snapshot(record: &ScoreRecord, now: Timestamp) -> Snapshot<'_> {
    Snapshot {
        slots: &record.slots,
        now_ms: now.ms(),
        supplier: record.supplier.as_str(),
        listing: record.listing.as_ref().map(|(listing, sku)| (listing.as_str(), sku.as_str())),
    }
}

fn now() -> Timestamp {
    Timestamp::from_ms(stockade_runtime::clock::now_ms())
}

fn needs_history() -> Problem {
    let detail =
        "it binds windows that are not kept yet, so nothing is known of them now; a backtest makes them anew";
    Problem::new(StatusCode::CONFLICT, "windows_not_kept", detail)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    supplier: SupplierId,
    #[serde(default)]
    rule: Option<RuleId>,
    #[serde(default)]
    source: String,
}

/// What each rule, of the set in force or of one sent along, says of a supplier now, and why.
pub(super) async fn explain(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Explain { supplier, rule, source } = body::parse(&text)?;
    let (set, kept) = asked_set(&api, &source)?;
    if set.schema().id() != kept.id() {
        return Err(needs_history());
    }
    let record = (api.vectors)(Some(&supplier)).pop();
    let record = record.filter(|record| record.schema == kept.id());
    let record = record.ok_or_else(|| no_such("no_score", "this supplier has no score yet"))?;
    let snapshot = snapshot(&record, now());
    let asked = set.rules().iter().filter(|known| rule.as_ref().is_none_or(|id| *id == known.spec.id));
    let explained: Vec<Value> = asked
        .map(|rule| {
            let explanation = set.explain(rule, &snapshot);
            json!({ "rule": rule.spec.id, "version": set.version, "content": rule.content, "mode": rule.spec.mode,
                    "truth": explanation.truth, "tree": explanation.tree,
                    "counterfactuals": explanation.counterfactuals, "values": set.values(rule, &snapshot) })
        })
        .collect();
    if explained.is_empty() {
        return Err(no_such("no_such_rule", "no rule of that id is in the set"));
    }
    Ok(Json(json!({ "supplier": supplier, "rules": explained })).into_response())
}

/// What buyers would no longer see if every rule of a set that withholds, and is not off, were live now.
pub(super) async fn impact(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (set, kept) = asked_set(&api, utf8(&text)?)?;
    if set.schema().id() != kept.id() {
        return Err(needs_history());
    }
    let work = move || {
        let (mut suppliers, mut by_rule) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<SupplierId>>::new());
        let (at, mut scratch) = (now(), Scratch::default());
        for record in (api.vectors)(None).iter().filter(|record| record.schema == kept.id()) {
            set.evaluate(&snapshot(record, at), &mut scratch, |_, rule| {
                if rule.spec.level.withholds() {
                    suppliers.insert(record.supplier.clone());
                    by_rule.entry(rule.spec.id.to_string()).or_default().insert(record.supplier.clone());
                }
            });
        }
        let mut answer = describe_impact(&api, &suppliers);
        answer["version"] = json!(set.version);
        answer["rules"] =
            json!(by_rule.iter().map(|(rule, of)| (rule, of.len())).collect::<BTreeMap<_, _>>());
        answer
    };
    aside(work).await
}

/// Most suppliers named in an answer about impact.
const NAMED_MAX: usize = 200;

pub(super) fn describe_impact(api: &LockoutApi, suppliers: &BTreeSet<SupplierId>) -> Value {
    let in_force = |id: &&SupplierId| {
        api.decisions.latest(id).is_some_and(|decision| decision.in_force.iter().any(|r| r.level.withholds()))
    };
    json!({
        "suppliers": suppliers.len(),
        "withheld_already": suppliers.iter().filter(in_force).count(),
        "names": suppliers.iter().take(NAMED_MAX).collect::<Vec<_>>(),
        // Absent where inventory does not run in this process.
        "stock": (api.impact)(suppliers),
    })
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Backtest {
    #[serde(default)]
    source: String,
    #[serde(default = "a_month")]
    days: u32,
}

fn a_month() -> u32 {
    30
}

pub(super) async fn backtest(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Backtest { source, days } = body::parse(&text)?;
    let (set, kept) = asked_set(&api, &source)?;
    let source = if source.trim().is_empty() { api.rules.current().1 } else { source };
    let mut spec = RuleSet::read(&source).map_err(|errors| rule_problem(&errors))?;
    spec.rules.retain(|rule| rule.mode != Mode::Off);
    // Where vectors are made anew they have other slots than those kept; the set in force is compiled for the same ones.
    let current = match RuleSet::compile(&api.rules.current().1, set.schema().clone()) {
        Ok(current) if !api.rules.current().1.is_empty() => Arc::new(current),
        _ => Arc::new(RuleSet::empty(set.schema().clone())),
    };
    let Some(job) = api.backtests.enter(api.ids.next(), actor(&caller)) else {
        let detail = "two backtests run already; wait for one or cancel it";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_backtests", detail)
            .with_header(header::RETRY_AFTER, "10"));
    };
    let since = Timestamp::from_ms(now().ms() - i64::from(days) * DAY_MS);
    let features = api.features.current().1;
    let question = Question { spec, set, current, features, kept, since };
    let sources = Sources {
        log: api.log.clone(),
        lanes: api.lanes,
        rescore: api.rescore.clone(),
        decisions: api.decisions.clone(),
    };
    let (status, location) = (job.status(), format!("/v1/backtests/{}", job.id));
    tokio::task::spawn_blocking(move || run(&job, question, &sources));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(status)).into_response())
}

fn job_of(api: &LockoutApi, id: &str) -> Result<Arc<Job>, Problem> {
    let none = || no_such("no_such_backtest", "this process has no backtest of that id");
    api.backtests.get(id).ok_or_else(none)
}

pub(super) async fn backtest_status(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let job = job_of(&api, &job)?;
    Ok(Json(job.status()).into_response())
}

pub(super) async fn cancel_backtest(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let job = job_of(&api, &job)?;
    job.cancel();
    Ok((StatusCode::ACCEPTED, Json(job.status())).into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Snooze {
    supplier: SupplierId,
    reason: String,
    expires_at: Timestamp,
}

/// `POST /v1/rules/{id}:rearm` and `:snooze`.
pub(super) async fn verb(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(id): Path<String>,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let (id, verb) = id.rsplit_once(':').unwrap_or((&id, ""));
    let rule =
        RuleId::new(id).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.code, error.detail))?;
    let known = |rule: &Rule| rule.spec.id.as_str() == id;
    if !api.rule_set().rules().iter().any(known) {
        return Err(no_such("no_such_rule", "no rule of that id is in the set in force"));
    }
    match verb {
        "rearm" => {
            let Reason { reason } = body::parse(&text)?;
            api.propose(Proposal::Rearm { rule, actor: actor(&caller), reason }).await
        }
        "snooze" => {
            let Snooze { supplier, reason, expires_at } = body::parse(&text)?;
            api.propose(Proposal::Snooze { supplier, rule, actor: actor(&caller), reason, expires_at }).await
        }
        _ => Err(no_such("no_such_verb", "the verbs of a rule are :rearm and :snooze")),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    #[serde(default = "a_month")]
    days: u32,
}

/// How a rule has fared, day by day and in sum.
pub(super) async fn history(
    State(api): State<LockoutApi>,
    caller: Caller,
    Path(rule): Path<String>,
    query: Asked<Days>,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Days { days } = given(query)?;
    let since = now().ms().div_euclid(DAY_MS) - i64::from(days) + 1;
    let fared = api.desk.fared(&rule, since);
    let known = api.rule_set().rules().iter().any(|known| known.spec.id.as_str() == rule);
    if fared.is_empty() && !known {
        return Err(no_such("no_such_rule", "nothing is known of a rule of that id"));
    }
    let (confirmed, released) = fared
        .values()
        .fold((0, 0), |(confirmed, released), (day, _)| (confirmed + day.confirmed, released + day.released));
    let each: Vec<Value> = fared
        .iter()
        .map(|(day, (counts, shadow))| {
            json!({ "day": Timestamp::from_ms(day * DAY_MS), "counts": counts, "shadow": shadow })
        })
        .collect();
    let judged = confirmed + released;
    Ok(Json(json!({
        "rule": rule, "days": each, "confirmed": confirmed, "released": released,
        // Of what people looked at; says nothing while they looked at nothing.
        "precision": (judged > 0).then(|| confirmed as f64 / judged as f64),
        "exceeded": api.desk.exceeded().get(&rule),
    }))
    .into_response())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
    #[serde(default)]
    reason: String,
}

pub(super) async fn get_kill_switch(
    State(api): State<LockoutApi>,
    caller: Caller,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let kill = api.desk.kill();
    Ok(Json(json!({ "on": kill.as_ref().is_some_and(|kill| kill.on), "last": kill })).into_response())
}

pub(super) async fn put_kill_switch(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    let Switch { on, reason } = body::parse(&text)?;
    if reason.trim().is_empty() {
        let error = FieldError::new("/reason", "required", "say why, for those who come after");
        return Err(Problem::invalid(vec![error]));
    }
    let by = actor(&caller);
    // First where it works, then where it is kept for ever.
    let answer = api.propose(Proposal::KillSwitch { on, actor: by.clone(), reason: reason.clone() }).await?;
    api.change(&by, Change::KillSwitch { on, reason }).await?;
    Ok(answer)
}

pub(super) async fn get_four_eyes(
    State(api): State<LockoutApi>,
    caller: Caller,
) -> Result<Response, Problem> {
    api.analyst(&caller)?;
    Ok(Json(json!({ "on": api.versions.four_eyes() })).into_response())
}

pub(super) async fn put_four_eyes(
    State(api): State<LockoutApi>,
    caller: Caller,
    body::Body(text): body::Body,
) -> Result<Response, Problem> {
    api.operator(&caller)?;
    let Switch { on, .. } = body::parse(&text)?;
    api.change(&actor(&caller), Change::FourEyes { on }).await?;
    Ok(Json(json!({ "on": on })).into_response())
}
