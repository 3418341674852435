//! The control fold: judges changes once and relays the accepted ones in band.

use std::sync::Arc;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{Change, Payload, Topic};
use stockade_rules::{FeatureSchema, RuleSet};

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

/// The fold.
pub struct Control {
    /// Version of the rule set in force, under the key `rules`.
    current: Table<String, String>,
    schema: Arc<FeatureSchema>,
}

impl Control {
    /// An empty fold that judges rules by `schema`.
    pub fn new(schema: Arc<FeatureSchema>) -> Self {
        Self { current: Table::new(1), schema }
    }
}

impl Fold for Control {
    type Effect = ControlEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ControlEffect>) {
        let Payload::Control(record) = input.payload else { return };
        match &record.change {
            Change::Supplier { profile } => {
                out.emit(
                    Topic::SupplierEvents,
                    Dest::Key(profile.supplier.to_string()),
                    input.payload.clone(),
                );
            }
            Change::Rules { version, source } => {
                // A set that does not compile never replaces one that works.
                let verdict = if *version == RuleSet::version_of(source) {
                    RuleSet::compile(source, self.schema.clone()).map(|_| ()).map_err(|errors| {
                        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                    })
                } else {
                    Err("its version is not the hash of its source".to_owned())
                };
                match verdict {
                    Ok(()) => {
                        self.current.insert("rules".to_owned(), version.clone());
                        out.emit(Topic::SupplierEvents, Dest::All, input.payload.clone());
                    }
                    Err(detail) => {
                        out.effect(ControlEffect::Rejected { id: input.envelope.id.clone(), detail })
                    }
                }
            }
        }
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![&mut self.current]
    }
}
