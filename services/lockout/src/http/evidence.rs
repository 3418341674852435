//! The evidence about a supplier over time, with what rules in force make of it.

use serde::{Deserialize, Serialize};
use stockade_model::{Level, RuleId, Timestamp, time::DAY_MS};
use stockade_rules::{Feature, Mode, compared};
use stockade_runtime::http::supplier_id;

use super::{impact::now, *};
use crate::evidence::{Found, Question, RECORDS_MAX, read};

/// Features in one answer at most.
const FEATURES_MAX: usize = 60;
/// How far back it goes when nobody says.
const SINCE_MS: i64 = 7 * DAY_MS;

/// What is asked for.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EvidenceQuery {
    /// From then on; seven days before `until` when nobody says.
    since: Option<Timestamp>,
    /// Until then; now when nobody says.
    until: Option<Timestamp>,
    /// Features by commas, at most 60; all tests with their counts and `evidence.total` when nobody says.
    features: Option<String>,
}

/// One feature over time.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "EvidenceSeries")]
struct Series<'a> {
    feature: &'a str,
    /// Where it is the odds of a test: the feature that counts what was seen of it, its exposure.
    seen: Option<String>,
    /// And the one that says how many peers would have brought.
    expected: Option<String>,
    /// A value at each of `at`; null where it was unknown.
    values: Vec<Option<f32>>,
}

/// A bound of a rule in force on one of the features.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "EvidenceBound")]
struct Bound {
    feature: String,
    /// `<`, `<=`, `>` or `>=`, the feature standing on the left.
    sign: &'static str,
    bound: f64,
    rule: RuleId,
    level: Level,
    mode: Mode,
}

/// The evidence about a supplier over time.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "EvidenceOverTime")]
pub(super) struct OverTime<'a> {
    supplier: &'a SupplierId,
    since: Timestamp,
    until: Timestamp,
    /// Where not all of that time was read, because too much lies there: from when on it was. Null where all was.
    from: Option<Timestamp>,
    /// The times of the points, the oldest first, at most 500.
    at: Vec<Timestamp>,
    series: Vec<Series<'a>>,
    /// Vectors of the supplier in that time. Where there are more than points, the least and the greatest value of each stretch are told.
    vectors: u64,
    /// Vectors of it from before features or windows were declared as they are now; they are left out.
    skipped: u64,
    /// What rules in force compare these features with. A test among several of a rule is no verdict.
    bounds: Vec<Bound>,
}

fn is_test(feature: &Feature) -> bool {
    feature.unit == "powers of ten" && feature.name.starts_with("evidence.")
}

/// The slots of the features asked for, in their order.
fn slots(schema: &FeatureSchema, asked: Option<&str>) -> Result<Vec<usize>, Problem> {
    let features = schema.features();
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        let of_tests = |feature: &Feature| feature.name.starts_with("evidence.");
        return Ok((0..features.len())
            .filter(|slot| of_tests(&features[*slot]))
            .take(FEATURES_MAX)
            .collect());
    };
    let refused = |code, detail: String| Problem::invalid(vec![FieldError::new("features", code, detail)]);
    let slots: Vec<usize> = asked
        .split(',')
        .map(|name| {
            let unknown = || {
                refused(
                    "unknown_name",
                    format!("no feature {name:?} is declared; GET /v1/features lists them"),
                )
            };
            schema.slot(name.trim()).ok_or_else(unknown)
        })
        .collect::<Result<_, _>>()?;
    if slots.len() > FEATURES_MAX {
        return Err(refused("too_many", format!("ask for at most {FEATURES_MAX} features at a time")));
    }
    Ok(slots)
}

/// What rules that act compare with features of `slots`.
fn bounds(rules: &RuleSet, schema: &FeatureSchema, slots: &[usize]) -> Vec<Bound> {
    let on = rules.rules().iter().filter(|rule| rule.spec.mode != Mode::Off);
    let all = on.flat_map(|rule| compared(&rule.spec).into_iter().map(move |of| (rule, of)));
    all.filter(|(_, of)| schema.slot(&of.feature).is_some_and(|slot| slots.contains(&slot)))
        .map(|(rule, of)| Bound {
            feature: of.feature,
            sign: of.sign,
            bound: of.bound,
            rule: rule.spec.id.clone(),
            level: rule.spec.level,
            mode: rule.spec.mode,
        })
        .collect()
}

pub(super) async fn over_time(
    State(api): State<LockoutApi>,
    Analyst(by): Analyst,
    Path(supplier): Path<String>,
    Params(query): Params<EvidenceQuery>,
) -> Answer {
    let supplier = supplier_id(&supplier)?;
    api.must_know(&supplier).await?;
    let until = query.until.unwrap_or_else(now);
    let since = query.since.unwrap_or_else(|| until.plus_ms(-SINCE_MS));
    if since >= until {
        let detail = "since must lie before until".to_owned();
        return Err(Problem::invalid(vec![FieldError::new("since", "time_range", detail)]));
    }
    let schema = api.schema();
    let slots = slots(&schema, query.features.as_deref())?;
    let Some(turn) = api.evidence.begin(&by.id) else {
        let detail = "your last question about evidence is still being answered, or those of many others; wait for its answer";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "evidence_asked_for", detail)
            .with_header(header::RETRY_AFTER, "1"));
    };
    let question = Question {
        supplier: supplier.clone(),
        since_ms: since.ms(),
        until_ms: until.ms(),
        schema: schema.id(),
        slots: slots.clone(),
    };
    let (log, partitions) = (api.log.clone(), api.partitions);
    // The turn ends with the work, also where whoever asked has gone.
    let work = move || {
        let _turn = turn;
        read(&log, partitions, &question, RECORDS_MAX)
    };
    let found = tokio::task::spawn_blocking(work).await;
    let unavailable = |detail: String| Problem::unavailable("log_unavailable", detail);
    let Found { at_ms, values, vectors, skipped, from_ms } = found
        .map_err(|_| unavailable("the scores could not be read; ask again".to_owned()))?
        .map_err(|error| unavailable(error.to_string()))?;
    let series = slots.iter().zip(values).map(|(slot, values)| {
        let feature = &schema.features()[*slot];
        let beside = |what: &str| {
            let name = format!("{}_{what}", feature.name);
            schema.slot(&name).filter(|_| is_test(feature)).map(|_| name)
        };
        let known = |value: f32| (!value.is_nan()).then_some(value);
        let values = values.into_iter().map(known).collect();
        Series { feature: &feature.name, seen: beside("seen"), expected: beside("expected"), values }
    });
    let answer = OverTime {
        supplier: &supplier,
        since,
        until,
        from: from_ms.map(Timestamp::from_ms),
        at: at_ms.into_iter().map(Timestamp::from_ms).collect(),
        series: series.collect(),
        vectors,
        skipped,
        bounds: bounds(&api.rule_set(), &schema, &slots),
    };
    Ok(Json(answer).into_response())
}
