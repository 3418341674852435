//! The control fold: judges changes once and relays the accepted ones in band.
//!
//! Rule sets are immutable versions named by the hash of their source. Publishing pushes one onto a stack, rolling back
//! takes the top off; every version that was ever in force is kept. With four eyes a set waits as a draft until somebody
//! else than its author has approved it.

use std::sync::Arc;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{Change, ControlRecord, Models, Payload, Timestamp, Topic};
use stockade_rules::{RuleSet, Vocabulary};

/// A rule set that is, was or may come into force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// What the control fold tells its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEffect {
    /// A change was judged.
    Judged {
        /// Id of the control record.
        id: String,
        /// Code and reason, when it was turned down.
        refused: Option<(&'static str, String)>,
    },
    /// A rule set came into force for the first time.
    Version(Box<RuleVersion>),
    /// The versions that rolling back goes through, the one in force last.
    Stack(Vec<String>),
    /// The set that waits for a second pair of eyes; none when nothing waits.
    Draft(Option<Box<RuleVersion>>),
    /// Whether a second pair of eyes is asked for.
    FourEyes(bool),
}

/// What is in force.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct InForce {
    version: String,
    source: String,
}

/// Versions that rolling back can go through.
const STACK_MAX: usize = 100;

type Refusal = (&'static str, String);

/// The fold.
pub struct Control {
    /// The rule set, the declaration of features and the models in force, under the keys `rules`, `features`, `models`; the
    /// stack of versions under `stack`, the switch under `four_eyes`.
    current: Table<String, InForce>,
    /// Rule sets by version; the draft under `draft`.
    versions: Table<String, RuleVersion>,
    vocabulary: Vocabulary,
}

impl Control {
    /// An empty fold that judges by `vocabulary`.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { current: Table::new(1), versions: Table::new(2), vocabulary }
    }

    fn source(&self, what: &str) -> String {
        self.current.get(what).map(|row| row.source.clone()).unwrap_or_default()
    }
    fn set(&mut self, what: &str, version: &str, source: &str) {
        let row = InForce { version: version.to_owned(), source: source.to_owned() };
        self.current.insert(what.to_owned(), row);
    }
    fn models(&self) -> Models {
        Models::from_text(&self.source("models"))
    }
    fn four_eyes(&self) -> bool {
        self.source("four_eyes") == "on"
    }
    fn stack(&self) -> Vec<String> {
        serde_json::from_str(&self.source("stack")).unwrap_or_default()
    }

    fn compile(&self, source: &str) -> Result<(), Refusal> {
        let joined = |errors: Vec<stockade_rules::RuleError>| {
            ("invalid_rules", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        self.vocabulary.compile(&self.source("features"), source).map(drop).map_err(joined)
    }

    /// Judges a change; what is relayed in its place, if anything. A set that does not compile never replaces one that works.
    fn judge(
        &mut self,
        record: &ControlRecord,
        now: Timestamp,
        out: &mut Out<ControlEffect>,
    ) -> Result<Option<ControlRecord>, Refusal> {
        let actor = &record.actor;
        match &record.change {
            Change::Supplier { .. } => Ok(Some(record.clone())),
            Change::KillSwitch { .. } => Ok(None),
            Change::FourEyes { on } => {
                self.set("four_eyes", "", if *on { "on" } else { "off" });
                out.effect(ControlEffect::FourEyes(*on));
                Ok(None)
            }
            Change::Rules { version, source, base, note } => {
                if *version != RuleSet::version_of(source) {
                    return Err(("bad_version", "its version is not the hash of its source".to_owned()));
                }
                self.unchanged(base.as_deref())?;
                self.compile(source)?;
                let proposed = RuleVersion {
                    version: version.clone(),
                    source: source.clone(),
                    author: actor.clone(),
                    approver: None,
                    note: note.clone(),
                    base: base.clone(),
                    at: now,
                };
                if self.four_eyes() {
                    self.versions.insert("draft".to_owned(), proposed.clone());
                    out.effect(ControlEffect::Draft(Some(Box::new(proposed))));
                    return Ok(None);
                }
                Ok(Some(self.publish(&proposed, actor, out)))
            }
            Change::ApproveRules { version } => {
                let draft = self.draft(version)?;
                if draft.author == *actor {
                    return Err(("own_change", "somebody else than its author has to approve it".to_owned()));
                }
                self.unchanged(draft.base.as_deref())?;
                // Features may have changed since it was proposed.
                self.compile(&draft.source)?;
                self.versions.remove(&"draft".to_owned());
                out.effect(ControlEffect::Draft(None));
                let approved = RuleVersion { approver: Some(actor.clone()), at: now, ..draft };
                Ok(Some(self.publish(&approved, actor, out)))
            }
            Change::DropRules { version } => {
                self.draft(version)?;
                self.versions.remove(&"draft".to_owned());
                out.effect(ControlEffect::Draft(None));
                Ok(None)
            }
            Change::RollBackRules { to, .. } => {
                let mut stack = self.stack();
                if to.is_none() {
                    stack.pop();
                }
                let version = to.clone().or_else(|| stack.last().cloned());
                let version = version.ok_or(("no_such_version", "there is no earlier set".to_owned()))?;
                let held = self.versions.get(&version).filter(|_| version != "draft").cloned();
                let held =
                    held.ok_or_else(|| ("no_such_version", format!("{version} was never in force")))?;
                self.compile(&held.source)?;
                match stack.iter().rposition(|known| *known == version) {
                    Some(place) => stack.truncate(place + 1),
                    None => stack.push(version),
                }
                self.use_rules(&held, &stack, out);
                Ok(Some(relayed(&held, actor)))
            }
            Change::Model { .. } | Change::ModelSwitch { .. } => {
                let refused = |why: &str| ("no_such_model", why.to_owned());
                let next = self.models().after(&record.change).map_err(refused)?;
                if let Change::Model { source, .. } = &record.change {
                    let schema = self.vocabulary.in_force(&self.source("features"));
                    (self.vocabulary.check_model)(source, &schema).map_err(|why| ("invalid_model", why))?;
                }
                self.set("models", "", &next.to_text());
                Ok(Some(record.clone()))
            }
            Change::Features { version, source } => {
                let schema = (self.vocabulary.read)(source, &[]).map_err(|why| ("invalid_features", why))?;
                for model in self.models().sources() {
                    (self.vocabulary.check_model)(model, &schema).map_err(|why| {
                        ("needed_by_models", format!("a model in force would not fit: {why}"))
                    })?;
                }
                let rules = self.source("rules");
                if !rules.is_empty() {
                    self.vocabulary.compile(source, &rules).map_err(|errors| {
                        let why = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                        (
                            "needed_by_rules",
                            format!("the rules in force need features it does not declare: {why}"),
                        )
                    })?;
                }
                self.set("features", version, source);
                Ok(Some(record.clone()))
            }
        }
    }

    fn unchanged(&self, base: Option<&str>) -> Result<(), Refusal> {
        let current = self.current.get("rules").map_or("", |row| row.version.as_str());
        match base {
            Some(base) if base != current => Err((
                "rules_changed",
                format!("{current} is in force by now; read it, merge, and send its tag"),
            )),
            _ => Ok(()),
        }
    }

    fn draft(&self, version: &str) -> Result<RuleVersion, Refusal> {
        let draft = self.versions.get("draft").filter(|draft| draft.version == version);
        draft.cloned().ok_or_else(|| ("no_such_draft", format!("no set {version} waits for approval")))
    }

    fn publish(&mut self, version: &RuleVersion, actor: &str, out: &mut Out<ControlEffect>) -> ControlRecord {
        let mut stack = self.stack();
        if stack.last() != Some(&version.version) {
            stack.push(version.version.clone());
        }
        let surplus = stack.len().saturating_sub(STACK_MAX);
        stack.drain(..surplus);
        if self.versions.get(&version.version).is_none() {
            self.versions.insert(version.version.clone(), version.clone());
            out.effect(ControlEffect::Version(Box::new(version.clone())));
        }
        self.use_rules(version, &stack, out);
        relayed(version, actor)
    }

    fn use_rules(&mut self, version: &RuleVersion, stack: &[String], out: &mut Out<ControlEffect>) {
        self.set("rules", &version.version, &version.source);
        // Serialising our own plain list to memory has no failing case.
        self.set("stack", "", &serde_json::to_string(stack).unwrap_or_default());
        out.effect(ControlEffect::Stack(stack.to_vec()));
    }
}

fn relayed(version: &RuleVersion, actor: &str) -> ControlRecord {
    let change = Change::Rules {
        version: version.version.clone(),
        source: version.source.clone(),
        base: None,
        note: version.note.clone(),
    };
    ControlRecord { actor: actor.to_owned(), change }
}

impl Fold for Control {
    type Effect = ControlEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ControlEffect>) {
        let Payload::Control(record) = input.payload else { return };
        let verdict = self.judge(record, input.time, out);
        let id = input.envelope.id.clone();
        out.effect(ControlEffect::Judged { id, refused: verdict.as_ref().err().cloned() });
        let Ok(Some(relayed)) = verdict else { return };
        let dest = match &relayed.change {
            Change::Supplier { profile } => Dest::Key(profile.supplier.to_string()),
            _ => Dest::All,
        };
        out.emit(Topic::SupplierEvents, dest, Payload::Control(relayed));
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.current, &mut self.versions]
    }

    fn restored(&mut self, effects: &mut Vec<ControlEffect>) {
        for (key, version) in self.versions.iter() {
            let version = Box::new(version.clone());
            effects.push(match key.as_str() {
                "draft" => ControlEffect::Draft(Some(version)),
                _ => ControlEffect::Version(version),
            });
        }
        effects.push(ControlEffect::Stack(self.stack()));
        effects.push(ControlEffect::FourEyes(self.four_eyes()));
    }
}

/// The set of features that a declaration and the rules in force make, for whoever compiles rules outside the folds.
pub fn schema_in_force(
    vocabulary: &Vocabulary,
    features: &str,
    rules: &str,
) -> Arc<stockade_rules::FeatureSchema> {
    match vocabulary.compile(features, rules) {
        Ok(set) => set.schema().clone(),
        Err(_) => vocabulary.in_force(features),
    }
}

#[cfg(test)]
mod tests;
