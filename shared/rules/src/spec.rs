//! Rules as people write them: YAML.

use std::collections::BTreeMap;

use stockade_model::{Level, RuleId, Timestamp};

use crate::RuleError;

/// Whether a rule acts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not evaluated.
    Off,
    /// Evaluated on the same snapshots as live rules; hits are counted and change nothing. A new rule starts here.
    #[default]
    Shadow,
    /// Live for `canary_percent` of suppliers, always the same ones, and in shadow for the others.
    Canary,
    /// Its hits are proposed to the arbiter.
    Live,
}

/// What a hit covers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RuleScope {
    /// The supplier.
    #[default]
    Supplier,
    /// The listing of the record that made the rule true; the supplier when the record had none.
    Listing,
    /// The SKU of that listing; the supplier when the record had none.
    Sku,
}

/// How much may be withheld in a window. Past it a rule falls back to shadow and what it finds goes to review.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    /// Suppliers newly withheld in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppliers: Option<u32>,
    /// Share of all available units that these suppliers hold, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_share: Option<f64>,
    /// Length of the window, such as `1h`.
    pub per: String,
}

/// A case that must come out as written before a set is used.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// Features that are known, by name as the rule writes them; all others are unknown.
    pub given: BTreeMap<String, f64>,
    /// Record time; the beginning of 1970 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<Timestamp>,
    /// What the rule says.
    pub expect: crate::Truth,
}

/// One rule as written.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Its name.
    pub id: RuleId,
    /// One line for people.
    pub title: String,
    /// The condition, in CEL. With `false_alarms` it may be left out: then the bound is all there is.
    #[serde(default)]
    pub when: String,
    /// How many false alarms are accepted, such as `1 per 10000 supplier-years`: a bound on the odds that `evidence` names,
    /// which joins `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_alarms: Option<String>,
    /// What a rule that withholds rests on when it promises no bound on false alarms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<crate::Floor>,
    /// The condition, in CEL, under which what the rule imposed ends before its time, unless a person confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// How hard it bites.
    pub level: Level,
    /// What it covers.
    #[serde(default)]
    pub scope: RuleScope,
    /// How long, such as `12h` or `7d`.
    #[serde(rename = "for")]
    pub duration: String,
    /// Stable reason codes shown to the supplier.
    pub reasons: Vec<String>,
    /// What the supplier is told beside the codes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// A feature whose growth is new evidence: after a release the rule stays mute until it has grown.
    pub evidence: String,
    /// Whether it acts.
    #[serde(default)]
    pub mode: Mode,
    /// Share of suppliers for whom a canary is live, above 0 and below 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_percent: Option<f64>,
    /// Share of hits, above 0 and up to 50, that are only dimmed, always the same suppliers: what becomes of them tells
    /// how right the rule is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout_percent: Option<f64>,
    /// How much this rule may withhold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// From then on it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The rule that this one is meant to replace: what shadow compares it with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RuleId>,
    /// Who looks after it.
    #[serde(default)]
    pub owner: String,
    /// Why it is as it is.
    #[serde(default)]
    pub notes: String,
    /// What must come out as written before the set is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// A rule set as written.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSpec {
    /// Named expressions that rules, and each other, may use; each is computed once for a snapshot.
    #[serde(default, rename = "let", skip_serializing_if = "BTreeMap::is_empty")]
    pub lets: BTreeMap<String, String>,
    /// How much all rules together may withhold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
    /// How many suppliers all rules together may newly restrict without withholding them (`limit`, `cap`, `dim`), such as
    /// `{ suppliers: 5000, per: 24h }`: past it what rules find is only watched until there is room again. When absent a quarter of the
    /// suppliers that offer anything within a day, but at least 100 (or `trust_up_to`) and at most four times what the budget withholds, or
    /// 2000 without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_of_caps: Option<BudgetSpec>,
    /// Up to how much later what withholds nothing (`limit`, `cap`, `dim`) begins, such as `10m`, at most `1h`; at once when
    /// absent. How much later differs each time and cannot be foreseen from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// So many suppliers restricted by one kind of evidence are never taken for a sign that what rules measure by is wrong,
    /// whatever share of all they are; 10 when absent. For marketplaces of few suppliers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_up_to: Option<u32>,
    /// The rules.
    pub rules: Vec<RuleSpec>,
}

/// Longest rule set, in bytes, and most rules in one.
const SOURCE_BYTES_MAX: usize = 4 << 20;
const RULES_MAX: usize = 10_000;

/// Reads the YAML of a rule set.
pub(crate) fn parse(source: &str) -> Result<SetSpec, RuleError> {
    let bad = |detail: String| RuleError::of_set("bad_set", detail);
    if source.len() > SOURCE_BYTES_MAX {
        return Err(RuleError::of_set(
            "too_large",
            format!("a rule set has at most {SOURCE_BYTES_MAX} bytes"),
        ));
    }
    let set: SetSpec = stockade_yaml::read(source).map_err(RuleError::of_yaml)?;
    if set.rules.len() > RULES_MAX {
        return Err(RuleError::of_set("too_large", format!("a rule set has at most {RULES_MAX} rules")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for rule in &set.rules {
        if !seen.insert(rule.id.as_str()) {
            return Err(bad(format!("rule {} appears twice; give each rule its own id", rule.id)));
        }
    }
    Ok(set)
}

/// Milliseconds of `30s`, `15m`, `12h` or `7d`.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let unit_ms = match text.as_bytes().last()? {
        b's' => 1_000,
        b'm' => 60_000,
        b'h' => 3_600_000,
        b'd' => 86_400_000,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: i64 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    number.checked_mul(unit_ms).filter(|ms| *ms > 0)
}
