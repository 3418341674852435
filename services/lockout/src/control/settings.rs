//! The rows of the control fold: each setting in a table of its own type.

use stockade_fold::{Single, Table};
use stockade_model::{Models, SupplierId, SupplierProfile, Timestamp};

use super::drafts::{Draft, Drafts, Subject};

/// Versions that rolling back can go through.
const STACK_MAX: usize = 100;

/// A rule set that is, was or may come into force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct RuleVersion {
    /// Content hash.
    pub version: String,
    /// The YAML.
    pub source: String,
    /// Who wrote it.
    pub author: String,
    /// Who approved it, where four eyes were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// Why.
    #[serde(default)]
    pub note: String,
    /// The version it was written against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// When it first came into force, or was proposed.
    pub at: Timestamp,
}

/// A source in force, with its content hash.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct InForce {
    pub(super) version: String,
    pub(super) source: String,
}

/// The versions of the rules that rolling back goes through.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stack {
    /// Content hashes, the one in force last.
    pub versions: Vec<String>,
    /// Who rolled back to the set in force alone, if that is how it came there. Another step back then needs a second
    /// person, or somebody could walk back through the whole history alone.
    #[serde(default)]
    pub stepped_back: Option<StepBack>,
}

/// A rollback to the set in force just before that one person made alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct StepBack {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Stack {
    /// The version that a rollback leads to: the one named, or the one before that in force.
    pub(super) fn target(&self, to: Option<&str>) -> Option<String> {
        let before = || self.versions.len().checked_sub(2).map(|place| self.versions[place].clone());
        to.map(str::to_owned).or_else(before)
    }

    /// Whether a rollback leads to the set in force just before and nobody has stepped back since that in force was
    /// published.
    pub(super) fn is_step_back(&self, to: Option<&str>) -> bool {
        let before = self.target(None);
        self.stepped_back.is_none() && before.is_some() && self.target(to) == before
    }

    /// With a newly published version on top.
    pub(super) fn pushed(&self, version: &str) -> Self {
        let mut versions = self.versions.clone();
        if versions.last().is_none_or(|top| top != version) {
            versions.push(version.to_owned());
        }
        let surplus = versions.len().saturating_sub(STACK_MAX);
        versions.drain(..surplus);
        Self { versions, stepped_back: None }
    }

    /// Rolled back to a version that was in force before, whether or not it is still on the stack.
    pub(super) fn rolled_back(&self, version: &str) -> Self {
        let mut versions = self.versions.clone();
        // Rolling back to the set in force itself would otherwise keep it.
        match versions.iter().rposition(|known| known == version) {
            Some(place) => versions.truncate(place + 1),
            None => versions.push(version.to_owned()),
        }
        Self { versions, stepped_back: None }
    }
}

/// Everything the control fold keeps.
pub(super) struct Settings {
    /// Rows of earlier builds, strings under the keys `rules`, `features`, `models`, `stack`, `four_eyes`: moved into the
    /// tables below when they are restored.
    former: Table<String, InForce>,
    /// Rule sets that are or were in force, by version.
    pub(super) versions: Table<String, RuleVersion>,
    pub(super) rules: Single<InForce>,
    pub(super) features: Single<InForce>,
    pub(super) models: Single<Models>,
    pub(super) stack: Single<Stack>,
    pub(super) four_eyes: Single<bool>,
    pub(super) drafts: Drafts,
    pub(super) suppliers: Table<SupplierId, SupplierProfile>,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            former: Table::new(1),
            versions: Table::new(2),
            rules: Single::new(3),
            features: Single::new(4),
            models: Single::new(5),
            stack: Single::new(6),
            four_eyes: Single::new(7),
            drafts: Drafts::new(8),
            suppliers: Table::new(9),
        }
    }

    pub(super) fn tables(&mut self) -> Vec<&mut dyn stockade_fold::AnyTable> {
        vec![
            &mut self.former,
            &mut self.versions,
            self.rules.table(),
            self.features.table(),
            self.models.table(),
            self.stack.table(),
            self.four_eyes.table(),
            self.drafts.table(),
            &mut self.suppliers,
        ]
    }

    /// Moves rows of earlier builds to where they belong now.
    pub(super) fn adopt_former(&mut self) {
        if let Some(rules) = self.former.remove(&"rules".to_owned()) {
            self.rules.set(rules);
        }
        if let Some(features) = self.former.remove(&"features".to_owned()) {
            self.features.set(features);
        }
        if let Some(models) = self.former.remove(&"models".to_owned()) {
            self.models.set(Models::from_text(&models.source));
        }
        if let Some(stack) = self.former.remove(&"stack".to_owned()) {
            let versions = serde_json::from_str(&stack.source).unwrap_or_default();
            self.stack.set(Stack { versions, stepped_back: None });
        }
        if let Some(four_eyes) = self.former.remove(&"four_eyes".to_owned()) {
            self.four_eyes.set(four_eyes.source == "on");
        }
        if let Some(draft) = self.versions.remove(&"draft".to_owned()) {
            let RuleVersion { version, source, author, note, base, at, .. } = draft;
            let change = stockade_model::Change::Rules { version: version.clone(), source, base, note };
            self.drafts.put(Draft { id: version, subject: Subject::Rules, change, author, at });
        }
    }
}
