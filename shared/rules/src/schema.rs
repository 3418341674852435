//! The features that rules may read.

use rustc_hash::FxHashMap;

/// One feature: a number with a name, a unit and a meaning.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Feature {
    /// `group.name`, as rules write it.
    pub name: String,
    /// Unit, such as `count`, `ratio`, `hours`.
    pub unit: String,
    /// What it measures.
    pub meaning: String,
}

/// Features in the order of their slots in a score record.
#[derive(Clone, Debug)]
pub struct FeatureSchema {
    features: Vec<Feature>,
    slots: FxHashMap<String, usize>,
    id: u32,
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
        Self {
            slots: features.iter().enumerate().map(|(slot, feature)| (feature.name.clone(), slot)).collect(),
            features,
            id: u32::from_le_bytes([a, b, c, d]),
        }
    }
    /// A number that changes when the slots do.
    pub fn id(&self) -> u32 {
        self.id
    }
    /// The features in slot order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }
    /// The slot of a feature.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }
    /// The known name nearest to `name`, if any is near enough to be meant.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        let near =
            self.features.iter().map(|feature| (distance(name, &feature.name), feature.name.as_str())).min();
        near.filter(|(steps, _)| *steps <= 2 + name.len() / 6).map(|(_, name)| name)
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replace = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The features at the start, and how a later declaration becomes a schema. Rules are judged against what is in force
/// without knowing how features are made.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// What is in force until a declaration is published.
    pub initial: std::sync::Arc<FeatureSchema>,
    /// Reads a declaration; the error says what is wrong.
    pub read: fn(&str) -> Result<std::sync::Arc<FeatureSchema>, String>,
    /// Whether a model file fits a schema; the error says what does not.
    pub check_model: fn(&str, &FeatureSchema) -> Result<(), String>,
}

impl Vocabulary {
    /// The features of the declaration in force; the initial ones until there is one.
    pub fn in_force(&self, source: &str) -> std::sync::Arc<FeatureSchema> {
        // What is in force was read before it came there.
        (self.read)(source).unwrap_or_else(|_| self.initial.clone())
    }

    /// One that never changes.
    pub fn fixed(schema: FeatureSchema) -> Self {
        let read = |_: &str| Err("this vocabulary is fixed".to_owned());
        let check_model = |_: &str, _: &FeatureSchema| Err("this vocabulary knows no models".to_owned());
        Self { initial: std::sync::Arc::new(schema), read, check_model }
    }
}
