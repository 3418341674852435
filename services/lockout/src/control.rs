//! The control fold: judges changes once and relays the accepted ones in band.

use std::sync::Arc;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{Change, Models, Payload, Topic};
use stockade_rules::{FeatureSchema, RuleSet, Vocabulary};

/// What the control fold tells its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEffect {
    /// A change was turned down, though the API had let it pass.
    Rejected {
        /// Id of the control record.
        id: String,
        /// Why.
        detail: String,
    },
}

/// What is in force.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct InForce {
    version: String,
    source: String,
}

/// The fold.
pub struct Control {
    /// The rule set, the declaration of features and the models in force, under the keys `rules`, `features`, `models`.
    current: Table<String, InForce>,
    vocabulary: Vocabulary,
    /// Derived: the features rules are judged by.
    schema: Arc<FeatureSchema>,
}

impl Control {
    /// An empty fold that judges by `vocabulary`.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { current: Table::new(1), schema: vocabulary.initial.clone(), vocabulary }
    }

    fn models(&self) -> Models {
        self.current.get("models").map(|models| Models::from_text(&models.source)).unwrap_or_default()
    }

    /// Whether a change may come into force. A set that does not compile never replaces one that works.
    fn judge(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Supplier { .. } => Ok(()),
            Change::Rules { version, source } => {
                if *version != RuleSet::version_of(source) {
                    return Err("its version is not the hash of its source".to_owned());
                }
                compile(source, &self.schema)?;
                let in_force = InForce { version: version.clone(), source: source.clone() };
                self.current.insert("rules".to_owned(), in_force);
                Ok(())
            }
            Change::Model { .. } | Change::ModelSwitch { .. } => {
                let next = self.models().after(change)?;
                if let Change::Model { source, .. } = change {
                    (self.vocabulary.check_model)(source, &self.schema)?;
                }
                let in_force = InForce { version: String::new(), source: next.to_text() };
                self.current.insert("models".to_owned(), in_force);
                Ok(())
            }
            Change::Features { version, source } => {
                let schema = (self.vocabulary.read)(source)?;
                for model in self.models().sources() {
                    (self.vocabulary.check_model)(model, &schema)
                        .map_err(|why| format!("a model in force would not fit: {why}"))?;
                }
                if let Some(rules) = self.current.get("rules") {
                    compile(&rules.source, &schema).map_err(|why| {
                        format!("the rules in force need features it does not declare: {why}")
                    })?;
                }
                self.schema = schema;
                let in_force = InForce { version: version.clone(), source: source.clone() };
                self.current.insert("features".to_owned(), in_force);
                Ok(())
            }
        }
    }
}

fn compile(source: &str, schema: &Arc<FeatureSchema>) -> Result<(), String> {
    RuleSet::compile(source, schema.clone())
        .map(drop)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

impl Fold for Control {
    type Effect = ControlEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ControlEffect>) {
        let Payload::Control(record) = input.payload else { return };
        if let Err(detail) = self.judge(&record.change) {
            out.effect(ControlEffect::Rejected { id: input.envelope.id.clone(), detail });
            return;
        }
        let dest = match &record.change {
            Change::Supplier { profile } => Dest::Key(profile.supplier.to_string()),
            _ => Dest::All,
        };
        out.emit(Topic::SupplierEvents, dest, input.payload.clone());
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.current]
    }

    fn restored(&mut self, _: &mut Vec<ControlEffect>) {
        if let Some(features) = self.current.get("features")
            && let Ok(schema) = (self.vocabulary.read)(&features.source)
        {
            self.schema = schema;
        }
    }
}
