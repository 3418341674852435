//! A compiled rule set.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cel::Env;
use sha2::Digest as _;

use crate::{
    Condition, FeatureSchema, Mode, RuleError, RuleSpec, Truth,
    spec::{self, parse_duration_ms},
};

/// Features of this group say with whom a supplier is associated.
const ASSOCIATION: &str = "links.";

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As written.
    pub spec: RuleSpec,
    /// How long a hit holds, in milliseconds.
    pub duration_ms: i64,
    condition: Condition,
    evidence_slot: usize,
}

/// An immutable, content-hashed set of rules.
#[derive(Clone)]
pub struct RuleSet {
    /// Content hash of the source, hex, 16 digits.
    pub version: String,
    rules: Vec<Rule>,
    schema: Arc<FeatureSchema>,
    env: Arc<Env>,
}

/// A rule that is true for a feature vector.
#[derive(Debug)]
pub struct Hit<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its evidence count.
    pub evidence: f64,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule set {} of {} rules", self.version, self.rules.len())
    }
}

impl RuleSet {
    /// A set without rules.
    pub fn empty(schema: Arc<FeatureSchema>) -> Self {
        Self { version: Self::version_of(""), rules: Vec::new(), schema, env: Arc::new(Env::stdlib()) }
    }

    /// The version that a source will have.
    pub fn version_of(source: &str) -> String {
        let digest = sha2::Sha256::digest(source.as_bytes());
        stockade_model::hash::hex(&digest[..8])
    }

    /// Compiles the YAML of a set. All problems are reported together; a set with any is not a set.
    pub fn compile(source: &str, schema: Arc<FeatureSchema>) -> Result<Self, Vec<RuleError>> {
        let specs = spec::parse(source).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        for spec in specs {
            match compile_rule(spec, &schema) {
                Ok(rule) => rules.push(rule),
                Err(mut found) => errors.append(&mut found),
            }
        }
        if errors.is_empty() {
            Ok(Self { version: Self::version_of(source), rules, schema, env: Arc::new(Env::stdlib()) })
        } else {
            Err(errors)
        }
    }

    /// The rules in the order written.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// The features they read.
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// The rules that are true for `slots`, off ones left out.
    pub fn evaluate<'a>(&'a self, slots: &[f32]) -> Vec<Hit<'a>> {
        let on = self.rules.iter().filter(|rule| rule.spec.mode != Mode::Off);
        on.filter(|rule| rule.condition.truth(&self.schema, &self.env, slots) == Truth::True)
            .filter(|rule| !self.by_association_alone(rule, slots))
            .map(|rule| {
                let evidence = slots.get(rule.evidence_slot).copied().filter(|value| !value.is_nan());
                Hit { rule, evidence: evidence.map_or(0.0, f64::from) }
            })
            .collect()
    }

    /// Whether a rule that withholds offers would do so by links to others alone: whether it still holds when nothing is
    /// known but these. Association never locks anybody.
    fn by_association_alone(&self, rule: &Rule, slots: &[f32]) -> bool {
        if !rule.spec.level.withholds() || !rule.condition.reads().any(|name| name.starts_with(ASSOCIATION)) {
            return false;
        }
        let mut links = vec![f32::NAN; slots.len()];
        for (slot, feature) in self.schema.features().iter().enumerate().take(slots.len()) {
            if feature.name.starts_with(ASSOCIATION) {
                links[slot] = slots[slot];
            }
        }
        rule.condition.truth(&self.schema, &self.env, &links) == Truth::True
    }

    /// What `rule` says about `slots`.
    pub fn truth(&self, rule: &Rule, slots: &[f32]) -> Truth {
        rule.condition.truth(&self.schema, &self.env, slots)
    }
    /// The condition tree of `rule` with the values seen.
    pub fn explain(&self, rule: &Rule, slots: &[f32]) -> Vec<String> {
        rule.condition.explain(&self.schema, &self.env, slots)
    }
    /// The values `rule` read.
    pub fn values(&self, rule: &Rule, slots: &[f32]) -> BTreeMap<String, f64> {
        rule.condition.values(slots)
    }
}

fn compile_rule(spec: RuleSpec, schema: &FeatureSchema) -> Result<Rule, Vec<RuleError>> {
    let mut errors = Vec::new();
    let named = |error: RuleError| RuleError { rule: Some(spec.id.to_string()), ..error };
    let plain = |code, detail| named(RuleError { code, rule: None, line: 1, column: 1, detail });
    let condition = Condition::compile(&spec.when, schema).map_err(|error| errors.push(named(error))).ok();
    let duration_ms = parse_duration_ms(&spec.duration);
    if duration_ms.is_none() {
        errors
            .push(plain("bad_set", format!("`for: {}` is not a duration such as 12h or 7d", spec.duration)));
    }
    let evidence_slot = schema.slot(&spec.evidence);
    if evidence_slot.is_none() {
        let hint =
            schema.suggest(&spec.evidence).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        errors.push(plain("unknown_name", format!("`evidence: {}` is not a feature{hint}", spec.evidence)));
    }
    if spec.reasons.is_empty() {
        errors.push(plain("bad_set", "a rule needs at least one reason code for the supplier".to_owned()));
    }
    match (condition, duration_ms, evidence_slot, errors.is_empty()) {
        (Some(condition), Some(duration_ms), Some(evidence_slot), true) => {
            Ok(Rule { spec, duration_ms, condition, evidence_slot })
        }
        _ => Err(errors),
    }
}
