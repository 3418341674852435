//! Rules as people write them: YAML.

use stockade_model::{Level, RuleId};

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

/// One rule as written.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Its name.
    pub id: RuleId,
    /// One line for people.
    pub title: String,
    /// The condition, in CEL.
    pub when: String,
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
    /// A feature whose growth is new evidence: after a release the rule stays mute until it has grown.
    pub evidence: String,
    /// Whether it acts.
    #[serde(default)]
    pub mode: Mode,
    /// Who looks after it.
    #[serde(default)]
    pub owner: String,
    /// Why it is as it is.
    #[serde(default)]
    pub notes: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<RuleSpec>,
}

/// Reads the YAML of a rule set.
pub(crate) fn parse(source: &str) -> Result<Vec<RuleSpec>, RuleError> {
    let bad = |detail: String| RuleError { code: "bad_set", rule: None, line: 0, column: 0, detail };
    let file: File =
        serde_saphyr::from_str(source).map_err(|e| bad(format!("the rule set does not parse: {e}")))?;
    let mut seen = std::collections::BTreeSet::new();
    for rule in &file.rules {
        if !seen.insert(rule.id.as_str()) {
            return Err(bad(format!("rule {} appears twice; give each rule its own id", rule.id)));
        }
    }
    Ok(file.rules)
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
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(unit_ms).filter(|ms| *ms > 0)
}
