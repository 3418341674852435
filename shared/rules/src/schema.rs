//! The features that rules may read.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use rustc_hash::FxHashMap;

use crate::{
    Binding, RuleError, RuleSet,
    lang::{Env, Overload, Ty},
    suggest::nearest,
};

/// What values a feature can have, as what it is taken from says.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Bounds {
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Whether it is always a whole number.
    pub whole: bool,
}

impl Bounds {
    /// Any number.
    pub const ANY: Self = Self { low: f64::MIN, high: f64::MAX, whole: false };
    /// A number that is not negative.
    pub const POSITIVE: Self = Self { low: 0.0, ..Self::ANY };
    /// How many there are.
    pub const COUNT: Self = Self { low: 0.0, whole: true, ..Self::ANY };
    /// A share of a whole.
    pub const SHARE: Self = Self { low: 0.0, high: 1.0, whole: false };
    /// Points of a score.
    pub const POINTS: Self = Self { low: 0.0, high: 1_000.0, whole: false };

    fn is_any(&self) -> bool {
        *self == Self::ANY
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::ANY
    }
}

/// In words: `from 0 to 1`, `a whole number that is not negative`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = if self.whole { "a whole number" } else { "a number" };
        match (self.low > f64::MIN, self.high < f64::MAX) {
            (true, true) => write!(f, "{number} from {} to {}", self.low, self.high),
            (true, false) if self.low == 0.0 => write!(f, "{number} that is not negative"),
            (true, false) => write!(f, "{number} from {} on", self.low),
            (false, true) => write!(f, "{number} up to {}", self.high),
            (false, false) => f.write_str(number),
        }
    }
}

/// One feature: a number with a name, a unit and a meaning.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
pub struct Feature {
    /// `group.name`, as rules write it; for a window that a rule binds, such as `cancellations.rate("7d")`, that text.
    pub name: String,
    /// Unit, such as `count`, `ratio`, `hours`.
    pub unit: String,
    /// What it measures.
    pub meaning: String,
    /// The window it is, as rules may bind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Binding>,
    /// What values it can have.
    #[serde(skip_serializing_if = "Bounds::is_any")]
    pub bounds: Bounds,
    /// What is counted, in words that follow a number, where it is the odds of a test: `<name>_seen` and
    /// `<name>_expected` are its counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
    /// Whether it counts what people say of orders: disputes, complaints, refunds, ratings.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub claims: bool,
    /// Whether it counts outcomes of orders that somebody beside the buyer attests.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attested: bool,
}

/// Texts that rules may read beside features.
pub(crate) const TEXTS: [&str; 3] = ["supplier.id", "listing.id", "listing.sku"];
/// Another name of the feature `score.total`.
pub(crate) const SCORE: (&str, &str) = ("score", "score.total");

/// Features in the order of their slots in a score record.
#[derive(Clone, Debug)]
pub struct FeatureSchema {
    features: Vec<Feature>,
    slots: FxHashMap<String, usize>,
    windows: BTreeMap<Binding, usize>,
    measures: Vec<String>,
    id: u32,
    env: OnceLock<Arc<Env>>,
}

impl FeatureSchema {
    /// A schema of these features, in slot order.
    pub fn new(features: Vec<Feature>) -> Self {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for feature in &features {
            hash.update(feature.name.as_bytes());
            hash.update([0]);
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        let window = |(slot, feature): (usize, &Feature)| Some((feature.window.clone()?, slot));
        Self {
            slots: features.iter().enumerate().map(|(slot, feature)| (feature.name.clone(), slot)).collect(),
            windows: features.iter().enumerate().filter_map(window).collect(),
            features,
            measures: Vec::new(),
            id: u32::from_le_bytes([a, b, c, d]),
            env: OnceLock::new(),
        }
    }
    /// The same with measures whose windows rules may bind.
    #[must_use]
    pub fn with_measures(mut self, measures: Vec<String>) -> Self {
        self.measures = measures;
        self
    }
    /// A number that changes when the slots do.
    pub fn id(&self) -> u32 {
        self.id
    }
    /// The features in slot order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }
    /// The measures whose windows rules may bind.
    pub fn measures(&self) -> &[String] {
        &self.measures
    }
    /// The slot of a feature, or of `score`.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(if name == SCORE.0 { SCORE.1 } else { name }).copied()
    }
    /// The slot that a window has.
    pub fn window_slot(&self, window: &Binding) -> Option<usize> {
        self.windows.get(window).copied()
    }
    /// The known name nearest to `name`, if any is near enough to be meant.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        nearest(name, self.features.iter().map(|feature| feature.name.as_str()))
    }

    /// What expressions over these features may refer to.
    pub(crate) fn env(&self) -> &Arc<Env> {
        self.env.get_or_init(|| {
            let mut env = Env::standard();
            env.mixed_equality = true;
            env.replaced = vec!["wilson_lower"];
            for feature in &self.features {
                env.variable(&feature.name, Ty::Double);
            }
            if self.slots.contains_key(SCORE.1) {
                env.variable(SCORE.0, Ty::Double);
            }
            for text in TEXTS {
                env.variable(text, Ty::Text);
            }
            env.variable("now", Ty::Timestamp);
            // `known(feature)`: whether there is a value; never unknown itself.
            let anything = Ty::Param("A".into());
            env.function("known", Overload { member: false, params: vec![anything], result: Ty::Bool });
            Arc::new(env)
        })
    }
}

/// The features at the start, and how a later declaration becomes a schema. Rules are judged against what is in force
/// without knowing how features are made.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// What is in force until a declaration is published.
    pub initial: Arc<FeatureSchema>,
    /// Reads a declaration, empty for the initial one, and adds the windows that rules bind; the error says what is wrong.
    pub read: fn(&str, &[Binding]) -> Result<Arc<FeatureSchema>, String>,
    /// Whether a model file fits a schema; the error says what does not.
    pub check_model: fn(&str, &FeatureSchema) -> Result<(), String>,
    /// The sets compiled last: who publishes one has compiled it, so that no fold has to while events wait.
    compiled: Arc<Mutex<VecDeque<Compiled>>>,
}

/// Declaration and rules, and what they were compiled to.
type Compiled = ((String, String), Arc<RuleSet>);

/// Sets kept compiled.
const COMPILED_KEPT: usize = 4;

impl Vocabulary {
    /// One that begins with `initial`.
    pub fn new(
        initial: Arc<FeatureSchema>,
        read: fn(&str, &[Binding]) -> Result<Arc<FeatureSchema>, String>,
        check_model: fn(&str, &FeatureSchema) -> Result<(), String>,
    ) -> Self {
        Self { initial, read, check_model, compiled: Arc::default() }
    }

    /// The features of the declaration in force, empty until there is one.
    pub fn in_force(&self, declaration: &str) -> Arc<FeatureSchema> {
        // What is in force was read before it came there.
        (self.read)(declaration, &[]).unwrap_or_else(|_| self.initial.clone())
    }

    /// Compiles a rule set against a declaration, empty for the initial one: the schema of the set has the windows that its
    /// rules bind beside the declared features.
    pub fn compile(&self, declaration: &str, rules: &str) -> Result<Arc<RuleSet>, Vec<RuleError>> {
        let wanted = |known: &&Compiled| known.0.0 == declaration && known.0.1 == rules;
        let known =
            self.compiled.lock().ok().and_then(|held| held.iter().find(wanted).map(|(_, set)| set.clone()));
        if let Some(set) = known {
            return Ok(set);
        }
        let set = Arc::new(self.compile_anew(declaration, rules)?);
        // A lock that a panic has spoilt costs speed and nothing else.
        if let Ok(mut held) = self.compiled.lock() {
            held.truncate(COMPILED_KEPT - 1);
            held.push_front(((declaration.to_owned(), rules.to_owned()), set.clone()));
        }
        Ok(set)
    }

    /// The same with room for the windows that another set binds as well, so that both judge the same snapshots; without
    /// that room where there is not enough for both.
    pub fn compile_beside(
        &self,
        declaration: &str,
        rules: &str,
        other: &str,
    ) -> Result<Arc<RuleSet>, Vec<RuleError>> {
        let base = self.in_force(declaration);
        let mut windows = RuleSet::windows(rules, &base)?;
        windows.extend(RuleSet::windows(other, &base).unwrap_or_default());
        windows.sort();
        windows.dedup();
        match (self.read)(declaration, &windows) {
            Ok(extended) => RuleSet::compile(rules, extended).map(Arc::new),
            Err(_) => self.compile(declaration, rules),
        }
    }

    fn compile_anew(&self, declaration: &str, rules: &str) -> Result<RuleSet, Vec<RuleError>> {
        let base = self.in_force(declaration);
        let windows = RuleSet::windows(rules, &base)?;
        if windows.iter().all(|window| base.window_slot(window).is_some()) {
            return RuleSet::compile(rules, base);
        }
        let extended = (self.read)(declaration, &windows).map_err(|why| {
            let detail = format!("the windows that rules bind cannot be kept: {why}");
            vec![RuleError::of_set("bad_window", detail)]
        })?;
        RuleSet::compile(rules, extended)
    }

    /// One that never changes.
    pub fn fixed(schema: FeatureSchema) -> Self {
        let read = |_: &str, _: &[Binding]| Err("this vocabulary is fixed".to_owned());
        let check_model = |_: &str, _: &FeatureSchema| Err("this vocabulary knows no models".to_owned());
        Self::new(Arc::new(schema), read, check_model)
    }
}
