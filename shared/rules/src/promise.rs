//! What a rule promises: how many false alarms it accepts, instead of a threshold.
//!
//! The odds of a sequential test have a mean time between false alarms of at least `A` supplier-days for the threshold `A`,
//! however often one looks. So `false_alarms: 1 per 10000 supplier-years` is the bound `log10(10000 * 365.25)` on odds in
//! powers of ten.

use stockade_model::VouchedBy;

use crate::{Feature, FeatureSchema, Mode, Rule, RuleError, RuleSet, Snapshot};

/// Days in a year, as promises count them.
pub const DAYS_A_YEAR: f64 = 365.25;

/// What a rule that withholds without a bound on false alarms rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// Facts that the platform, a carrier, an issuer or the supplier itself attests, above a fixed and published floor.
    Attested,
}

/// The bound on odds that `text` promises, in powers of ten; the error says what was expected.
pub(crate) fn bound(text: &str) -> Result<f64, String> {
    supplier_days(text).map(f64::log10)
}

/// The supplier-days in which `text`, such as `1 per 10000 supplier-years`, accepts one false alarm; the error says what was
/// expected.
pub fn supplier_days(text: &str) -> Result<f64, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let positive = |word: &str| word.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    let read = match words.as_slice() {
        [alarms, "per", number, unit] => {
            let days = match *unit {
                "supplier-years" | "supplier-year" => Some(DAYS_A_YEAR),
                "supplier-days" | "supplier-day" => Some(1.0),
                _ => None,
            };
            positive(alarms)
                .zip(positive(number))
                .zip(days)
                .map(|((alarms, number), days)| number * days / alarms)
        }
        _ => None,
    };
    let days = read.ok_or_else(|| {
        format!("`false_alarms: {text}` reads like `1 per 10000 supplier-years`: a number, `per`, a number, and `supplier-years` or `supplier-days`")
    })?;
    if !(1.0..=1e12).contains(&days) {
        return Err(format!(
            "`false_alarms: {text}` is one false alarm in {days} supplier-days; promise between 1 and 10^12"
        ));
    }
    Ok(days)
}

impl RuleSet {
    /// In words, what the evidence of `rule` is and what the rule promises.
    pub fn words(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Option<String> {
        let promise = rule.spec.false_alarms.as_ref()?;
        let schema = self.schema();
        let odds = snapshot.feature(schema.slot(&rule.spec.evidence)?)?;
        let test = strongest(schema, &rule.spec.evidence, snapshot)?;
        let count = |suffix: &str| snapshot.feature(schema.slot(&format!("{}_{suffix}", test.name))?);
        let (seen, expected) = (count("seen").unwrap_or(0.0), count("expected").unwrap_or(0.0));
        let who = if test.claims { "said by buyers with a record of their own" } else { "attested" };
        Some(format!(
            "{seen:.0} {} where peers' orders of this age bring {expected:.1}, {who}; odds 10^{odds:.1}; this rule accepts {promise}",
            test.counted.as_deref().unwrap_or("outcomes")
        ))
    }

    /// Who vouches for the outcomes that `rule` counts in `snapshot`, each once: of all tests together, those that have
    /// anything to say.
    pub fn vouched(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Vec<VouchedBy> {
        let schema = self.schema();
        let says = |feature: &Feature| {
            let slot = schema.slot(&feature.name);
            slot.and_then(|slot| snapshot.feature(slot)).is_some_and(|value| value > 0.0)
        };
        let of = |feature: &Feature| match (feature.claims, feature.attested) {
            (true, _) if feature.counted.is_some() => Some(VouchedBy::Witnessed),
            (true, _) => Some(VouchedBy::Claimed),
            (_, true) => Some(VouchedBy::Attested),
            _ => None,
        };
        let promised = rule.spec.false_alarms.as_ref().map(|_| rule.spec.evidence.as_str());
        let one = promised.and_then(|name| schema.slot(name)).map(|slot| &schema.features()[slot]);
        let counts = |feature: &&Feature| {
            one.is_some_and(|one| {
                is_test(schema, feature) && (!is_test(schema, one) || feature.name == one.name)
            })
        };
        let tests = schema.features().iter().filter(counts);
        let read = rule.reads().iter().map(|slot| &schema.features()[*slot]);
        let mut by: Vec<VouchedBy> =
            tests.chain(read).filter(|feature| says(feature)).filter_map(of).collect();
        by.sort_unstable();
        by.dedup();
        by
    }

    /// The tests whose counts explain the evidence of `rule`: names and values of what was seen and expected.
    pub fn counts(&self, rule: &Rule, snapshot: &Snapshot<'_>) -> Vec<(String, f64)> {
        let schema = self.schema();
        let test = rule.spec.false_alarms.as_ref().and(strongest(schema, &rule.spec.evidence, snapshot));
        let names =
            test.map(|test| ["", "_seen", "_expected"].map(|suffix| format!("{}{suffix}", test.name)));
        let value = |name: String| Some((name.clone(), snapshot.feature(schema.slot(&name)?)?));
        names.into_iter().flatten().filter_map(value).collect()
    }
}

/// Whether it is the odds of one test, rather than of all together: its counts stand beside it.
fn is_test(schema: &FeatureSchema, feature: &Feature) -> bool {
    feature.counted.is_some() && schema.slot(&format!("{}_seen", feature.name)).is_some()
}

/// The test itself, or of all together the one with the highest odds.
fn strongest<'a>(schema: &'a FeatureSchema, name: &str, snapshot: &Snapshot<'_>) -> Option<&'a Feature> {
    let known = |slot: usize| snapshot.feature(slot).unwrap_or(0.0);
    let tests = schema.features().iter().enumerate().filter(|(_, feature)| is_test(schema, feature));
    let of_name = |(_, feature): &(usize, &Feature)| feature.name == name;
    let all: Vec<(usize, &Feature)> = tests.collect();
    let one = all.iter().find(|one| of_name(one));
    let best = all.iter().max_by(|a, b| known(a.0).total_cmp(&known(b.0)));
    one.or(best).map(|(_, feature)| *feature)
}

/// Why a rule cannot be published although it compiles: it would withhold and promises nothing. What only watches (`shadow`)
/// may be tried without a promise.
pub(crate) fn unpromised(rule: &Rule, schema: &FeatureSchema) -> Option<RuleError> {
    let spec = &rule.spec;
    let acts = matches!(spec.mode, Mode::Live | Mode::Canary);
    if !acts || !spec.level.withholds() || spec.false_alarms.is_some() {
        return None;
    }
    let refuse = |detail: &str| {
        let field = if spec.floor.is_some() { "floor" } else { "level" };
        Some(RuleError::of_field(spec.id.as_str(), field, "no_false_alarm_bound", detail))
    };
    let Some(Floor::Attested) = spec.floor else {
        return refuse(
            "withholds without a bound on false alarms: write `false_alarms: 1 per 10000 supplier-years` with `evidence: evidence.<test>`, or `floor: attested` over attested facts, or a milder level, or `mode: shadow` to see what it would do",
        );
    };
    let features = || rule.reads().iter().map(|slot| &schema.features()[*slot]);
    if features().any(|feature| feature.claims) {
        return refuse(
            "`floor: attested` reads what people say (disputes, complaints, refunds, ratings): only attested facts may withhold by a fixed floor",
        );
    }
    if !features().any(|feature| feature.attested) {
        return refuse(
            "`floor: attested` reads no attested outcome (cancelled, overdue, undelivered, late, tracking used again, fraud confirmed): what is merely odd may `cap` at most",
        );
    }
    None
}
