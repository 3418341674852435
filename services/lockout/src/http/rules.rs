//! Rule sets: reading, checking, publishing, rolling back, and what they say of a supplier.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade_model::{Change, Counterfactual, Proposal, RuleId, Timestamp, VouchedBy, time::DAY_MS};
use stockade_rules::{Mode, RuleError, RuleSpec, Truth};

use super::{
    ask::{later, waits, waits_with},
    impact::{needs_history, now, outdated, snapshot},
    *,
};
use crate::{
    arbiter::{Exceeded, Kill, Restored, RuleDay},
    control::{RuleVersion, StepBack},
    evaluation::ShadowDay,
};

pub(super) fn rule_problem(errors: &[RuleError]) -> Problem {
    // The place in the text that was sent, where it is known.
    let field = |e: &RuleError| {
        let (line, column) = (e.source_line.unwrap_or(e.line), e.source_column.unwrap_or(e.column));
        match &e.rule {
            Some(rule) => format!("/rules/{rule}:{line}:{column}"),
            None => format!("/rules:{line}:{column}"),
        }
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

/// A set, as it stands or as it was checked.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleSet")]
pub(super) struct SetBody<'a> {
    version: &'a str,
    rules: Vec<&'a RuleSpec>,
    source: &'a str,
    /// What compiles and yet is hardly meant.
    warnings: &'a [RuleError],
}

impl<'a> SetBody<'a> {
    fn of(source: &'a str, set: &'a RuleSet) -> Self {
        let rules = set.rules().iter().map(|rule| &rule.spec).collect();
        Self { version: &set.version, rules, source, warnings: set.warnings() }
    }
}

/// The set in force, and what holds it back.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleSetInForce")]
pub(super) struct InForceBody<'a> {
    #[serde(flatten)]
    set: SetBody<'a>,
    /// What holds rules of this set back until they are rearmed or written otherwise: a budget that was exceeded, suspect evidence,
    /// or a person.
    exceeded: BTreeMap<String, Exceeded>,
    /// The kill switch, while it is on.
    kill_switch: Option<Kill>,
    /// Who rolled back to this set alone, if that is how it came into force.
    stepped_back: Option<StepBack>,
}

fn compile(api: &LockoutApi, source: &str) -> Result<Arc<RuleSet>, Problem> {
    api.vocabulary.compile(&api.features.current().1, source).map_err(|errors| rule_problem(&errors))
}

/// The same for a set that is to be published.
fn compile_new(api: &LockoutApi, source: &str) -> Result<Arc<RuleSet>, Problem> {
    not_forgotten(source)?;
    let set = compile(api, source)?;
    match set.unpublishable(source, now().ms()) {
        errors if errors.is_empty() => Ok(set),
        errors => Err(rule_problem(&errors)),
    }
}

pub(super) async fn get(State(api): State<LockoutApi>, _: Analyst, headers: HeaderMap) -> Answer {
    let (version, source) = api.rules.current();
    let set = api.rule_set();
    let body = InForceBody {
        set: SetBody::of(&source, &set),
        exceeded: api.desk.exceeded(),
        kill_switch: api.desk.kill().filter(|kill| kill.on),
        stepped_back: api.versions.stack().stepped_back,
    };
    // What holds a set back is read with it and changes without it.
    let tag = match (body.exceeded.is_empty(), &body.kill_switch, &body.stepped_back) {
        (true, None, None) => version.clone(),
        beside => tag_beside(&version, &(&body.exceeded, beside.1, beside.2)),
    };
    tagged_or_unchanged(&headers, &tag, Json(body))
}

/// Compiles a set and runs its examples; changes nothing.
pub(super) async fn check(State(api): State<LockoutApi>, _: Analyst, Text(source): Text) -> Answer {
    let set = compile_new(&api, &source)?;
    Ok(Json(SetBody::of(&source, &set)).into_response())
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RulesPublish")]
pub(super) struct PublishQuery {
    /// Why, for those who come after.
    #[serde(default)]
    #[schemars(length(max = stockade_runtime::text::REASON_CHARS_MAX))]
    note: String,
}

pub(super) async fn put(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    headers: HeaderMap,
    Params(PublishQuery { note }): Params<PublishQuery>,
    Text(source): Text,
) -> Answer {
    let wrong =
        |e: stockade_model::Invalid| Problem::invalid(vec![FieldError::new("note", e.code, e.detail)]);
    stockade_runtime::text::prose(&note, stockade_runtime::text::REASON_CHARS_MAX).map_err(wrong)?;
    let (current, _) = api.rules.current();
    unchanged(&headers, &current, "/v1/rules")?;
    let set = compile_new(&api, &source)?;
    let change =
        Change::Rules { version: set.version.clone(), source: source.clone(), base: Some(current), note };
    match api.enact(&by.id, change).await? {
        Enacted::InForce => Ok(tagged(&set.version, SetBody::of(&source, &set))),
        Enacted::Draft(draft) => Ok(waits_with(&draft, set.warnings())),
    }
}

/// Appends a compiled rule set to `control` and waits until it is in force in every partition.
pub async fn publish_rules(api: &LockoutApi, actor: &str, source: &str) -> Result<Enacted, Problem> {
    let (version, source) = (RuleSet::version_of(source), source.to_owned());
    api.enact(actor, Change::Rules { version, source, base: None, note: String::new() }).await
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RulesRollBack")]
pub(super) struct RollBack {
    #[serde(default)]
    to: Option<String>,
    reason: Reason,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleSetVersionInForce")]
pub(super) struct VersionBody<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    approver: Option<&'a str>,
}

/// Back to the set before that in force, which one person may do alone once, or to any other that was in force.
pub(super) async fn roll_back(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Parsed(RollBack { to, reason }): Parsed<RollBack>,
) -> Answer {
    let change = Change::RollBackRules { to, note: reason.said()? };
    match api.enact(&by.id, change).await? {
        Enacted::InForce => {
            let version = api.rules.current().0;
            Ok(tagged(&version, VersionBody { version: &version, approver: None }))
        }
        Enacted::Draft(draft) => Ok(waits(&draft)),
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RuleSetWhich")]
pub(super) struct Which {
    version: String,
}

pub(super) async fn approve(
    State(api): State<LockoutApi>,
    Approver(by): Approver,
    Parsed(Which { version }): Parsed<Which>,
) -> Answer {
    api.enact(&by.id, Change::Approve { draft: version.clone() }).await?;
    Ok(tagged(&version, VersionBody { version: &version, approver: Some(&by.id) }))
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleSetVersion")]
pub(super) struct About<'a> {
    version: &'a str,
    author: &'a str,
    approver: Option<&'a str>,
    note: &'a str,
    base: Option<&'a str>,
    at: Timestamp,
}

impl<'a> About<'a> {
    fn of(version: &'a RuleVersion) -> Self {
        Self {
            version: &version.version,
            author: &version.author,
            approver: version.approver.as_deref(),
            note: &version.note,
            base: version.base.as_deref(),
            at: version.at,
        }
    }
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleSetVersions")]
pub(super) struct VersionList<'a> {
    /// The newest first.
    versions: Vec<About<'a>>,
    /// What rolling back goes through, the one in force last.
    stack: Vec<String>,
}

pub(super) async fn list_versions(State(api): State<LockoutApi>, _: Analyst) -> Answer {
    let all = api.versions.all();
    let stack = api.versions.stack().versions;
    Ok(Json(VersionList { versions: all.iter().map(|version| About::of(version)).collect(), stack })
        .into_response())
}

pub(super) async fn get_version(
    State(api): State<LockoutApi>,
    _: Analyst,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let none = || missing("no_such_version", "no set of that version was ever in force");
    let held = api.versions.get(&version).ok_or_else(none)?;
    tagged_or_unchanged(&headers, &version, Json(held.as_ref()))
}

/// A set as written, or that in force when there is none; compiled for the vectors that scoring makes now.
pub(super) fn asked_set(
    api: &LockoutApi,
    source: &str,
) -> Result<(Arc<RuleSet>, Arc<FeatureSchema>), Problem> {
    let kept = api.schema();
    if source.trim().is_empty() {
        return Ok((api.rule_set(), kept));
    }
    // Judged on the vectors there are, where these hold all windows that it binds.
    let set = match RuleSet::windows(source, &kept) {
        Ok(windows) if windows.iter().all(|window| kept.window_slot(window).is_some()) => {
            Arc::new(RuleSet::compile(source, kept.clone()).map_err(|errors| rule_problem(&errors))?)
        }
        _ => {
            // Beside the set in force, which is judged on the same vectors where they are made anew.
            let (features, current) = (api.features.current().1, api.rules.current().1);
            let set = api.vocabulary.compile_beside(&features, source, &current);
            set.map_err(|errors| rule_problem(&errors))?
        }
    };
    Ok((set, kept))
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExplainRules")]
pub(super) struct Explain {
    supplier: SupplierId,
    #[serde(default)]
    rule: Option<RuleId>,
    #[serde(default)]
    source: String,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleExplained")]
pub(super) struct Explained<'a> {
    rule: &'a RuleId,
    version: &'a str,
    content: &'a str,
    mode: Mode,
    truth: Truth,
    tree: Vec<String>,
    counterfactuals: Vec<Counterfactual>,
    values: BTreeMap<String, f64>,
    /// Who vouches for the outcomes that it counts.
    vouched: Vec<VouchedBy>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RulesExplained")]
pub(super) struct Explanations<'a> {
    supplier: SupplierId,
    rules: Vec<Explained<'a>>,
}

/// What each rule, of the set in force or of one sent along, says of a supplier now, and why.
pub(super) async fn explain(
    State(api): State<LockoutApi>,
    _: Analyst,
    Parsed(Explain { supplier, rule, source }): Parsed<Explain>,
) -> Answer {
    let (set, kept) = asked_set(&api, &source)?;
    if set.schema().id() != kept.id() {
        return Err(needs_history());
    }
    let record = (api.vectors)(Some(&supplier)).pop();
    let Some(record) = record else { return Err(api.no_score(&supplier).await) };
    if record.schema != kept.id() {
        return Err(outdated());
    }
    let snapshot = snapshot(&record, now());
    let asked = set.rules().iter().filter(|known| rule.as_ref().is_none_or(|id| *id == known.spec.id));
    let rules: Vec<Explained<'_>> = asked
        .map(|rule| {
            let explanation = set.explain(rule, &snapshot);
            Explained {
                rule: &rule.spec.id,
                version: &set.version,
                content: &rule.content,
                mode: rule.spec.mode,
                truth: explanation.truth,
                tree: explanation.tree,
                counterfactuals: explanation.counterfactuals,
                values: set.values(rule, &snapshot),
                vouched: set.vouched(rule, &snapshot),
            }
        })
        .collect();
    if rules.is_empty() {
        return Err(missing("no_such_rule", "no rule of that id is in the set"));
    }
    Ok(Json(Explanations { supplier, rules }).into_response())
}

/// What a person does about one rule.
#[derive(Clone, Copy)]
pub(super) enum RuleVerb {
    Rearm,
    Snooze,
    Restore,
}

/// The verbs of `POST /v1/rules/{id}:…`.
pub(super) const VERBS: [(&str, RuleVerb); 3] =
    [("rearm", RuleVerb::Rearm), ("snooze", RuleVerb::Snooze), ("restore", RuleVerb::Restore)];

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RestoreRule")]
pub(super) struct Restore {
    /// What the rule imposed from then on; all that is in force when absent.
    since: Option<Timestamp>,
    /// Whether what a person confirmed is released as well.
    #[serde(default)]
    confirmed: bool,
    /// Whether the rule, as it is written now, does nothing any more until it is rearmed.
    #[serde(default)]
    stop: bool,
    reason: Reason,
}

/// What restoring everyone came to so far.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleRestored")]
pub(super) struct RestoredBody<'a> {
    /// What all these decisions have in common: their `act`.
    act: &'a str,
    rule: &'a RuleId,
    #[serde(flatten)]
    restored: Restored,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SnoozeRule")]
pub(super) struct Snooze {
    supplier: SupplierId,
    reason: Reason,
    expires_at: Timestamp,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleRearmed")]
pub(super) struct Rearmed {
    rule: RuleId,
}

/// `:rearm` lets a rule act again within its budget; `:snooze` mutes it for one supplier; `:restore` takes back what it did.
pub(super) async fn act(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(path): Path<String>,
    body::Body(text): body::Body,
) -> Answer {
    let (id, verb) = verb(&path, &VERBS)?;
    let rule =
        RuleId::new(id).map_err(|e| Problem::invalid(vec![FieldError::new("id", e.code, e.detail)]))?;
    let set = api.rule_set();
    let known = set.rules().iter().find(|rule| rule.spec.id.as_str() == id);
    let none = || missing("no_such_rule", "no rule of that id is in the set in force");
    // What a rule did may have to be taken back when the rule is gone already.
    if known.is_none() && !matches!(verb, RuleVerb::Restore) {
        return Err(none());
    }
    match verb {
        RuleVerb::Restore => {
            let Restore { since, confirmed, stop, reason } = body::parse(&text)?;
            let stop = stop.then(|| known.map(|rule| rule.content.clone()).ok_or_else(none)).transpose()?;
            restore(
                &api,
                Proposal::Restore {
                    rule: rule.clone(),
                    since,
                    confirmed,
                    stop,
                    actor: by.id,
                    reason: reason.said()?,
                },
                &rule,
            )
            .await
        }
        RuleVerb::Rearm => {
            let Why { reason } = body::parse(&text)?;
            let change = Change::Rearm { rule: rule.clone(), reason: reason.said()? };
            match api.enact(&by.id, change).await? {
                Enacted::InForce => Ok(Json(Rearmed { rule }).into_response()),
                Enacted::Draft(draft) => Ok(waits(&draft)),
            }
        }
        RuleVerb::Snooze => {
            let Snooze { supplier, reason, expires_at } = body::parse(&text)?;
            let reason = reason.said()?;
            api.must_know(&supplier).await?;
            api.propose(Proposal::Snooze { supplier, rule, actor: by.id, reason, expires_at }).await
        }
    }
}

/// Restores everyone whom a rule restricted. Said again it goes on where it is and finds what is left.
async fn restore(api: &LockoutApi, asked: Proposal, rule: &RuleId) -> Answer {
    let (act, disposed) = api.ask(asked).await?;
    let Some(restored) = disposed.and_then(|disposed| disposed.restored) else { return Ok(later(&act)) };
    Ok(Json(RestoredBody { act: &act, rule, restored }).into_response())
}

/// Days looked back on when nobody says.
pub(super) fn a_month() -> u32 {
    30
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RuleDays")]
pub(super) struct Days {
    /// Days looked back on; 30 when nobody says.
    #[serde(default = "a_month")]
    days: u32,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleDayFared")]
pub(super) struct Day {
    day: Timestamp,
    counts: RuleDay,
    shadow: ShadowDay,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RuleHistory")]
pub(super) struct History {
    rule: String,
    days: Vec<Day>,
    confirmed: u64,
    released: u64,
    /// Share of what people looked at that they found right; says nothing while they looked at nothing.
    precision: Option<f64>,
    /// What holds it back, if anything does: a budget, suspect evidence, or a person.
    exceeded: Option<Exceeded>,
}

/// How a rule has fared, day by day and in sum.
pub(super) async fn history(
    State(api): State<LockoutApi>,
    _: Analyst,
    Path(rule): Path<String>,
    Params(Days { days }): Params<Days>,
) -> Answer {
    let since = now().day() - i64::from(days) + 1;
    let fared = api.desk.fared(&rule, since);
    let known = api.rule_set().rules().iter().any(|known| known.spec.id.as_str() == rule);
    if fared.is_empty() && !known {
        return Err(missing("no_such_rule", "nothing is known of a rule of that id"));
    }
    let sum = |of: fn(&RuleDay) -> u64| fared.values().map(|(day, _)| of(day)).sum::<u64>();
    let (confirmed, released) = (sum(|day| day.confirmed), sum(|day| day.released));
    let judged = confirmed + released;
    let days = fared
        .iter()
        .map(|(day, (counts, shadow))| Day {
            day: Timestamp::from_ms(day * DAY_MS),
            counts: *counts,
            shadow: *shadow,
        })
        .collect();
    let precision = (judged > 0).then(|| confirmed as f64 / judged as f64);
    let exceeded = api.desk.exceeded().remove(&rule);
    Ok(Json(History { rule, days, confirmed, released, precision, exceeded }).into_response())
}
