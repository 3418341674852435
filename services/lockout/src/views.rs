//! What this process knows besides the folds: what is in force, what waits for a person, who there is, recent decisions.

mod decisions;
mod desk;
mod suppliers;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::watch;

pub use decisions::Decisions;
pub use desk::Desk;
pub use suppliers::Suppliers;

use crate::{
    control::{ControlEffect, Draft, RuleVersion, Stack, Subject},
    metrics,
};

/// What is in force in which partition.
#[derive(Clone, Debug, Default)]
struct InForce {
    by_partition: BTreeMap<u32, String>,
    version: String,
    source: String,
}

/// Rule sets, or declarations of features, in force by partition.
#[derive(Clone)]
pub struct InForceStatus(watch::Sender<InForce>);

impl Default for InForceStatus {
    fn default() -> Self {
        Self(watch::Sender::new(InForce::default()))
    }
}

impl InForceStatus {
    /// It came into force in a partition.
    pub fn in_force(&self, partition: u32, version: String, source: String) {
        self.0.send_modify(|state| {
            state.by_partition.insert(partition, version.clone());
            (state.version, state.source) = (version, source);
        });
    }
    /// Version and source that came into force last; empty if none has.
    pub fn current(&self) -> (String, String) {
        let state = self.0.borrow();
        (state.version.clone(), state.source.clone())
    }
    /// Waits until `version` is in force in all of `partitions` partitions.
    pub async fn wait(&self, version: &str, partitions: u32) {
        let mut receiver = self.0.subscribe();
        let everywhere = |state: &InForce| {
            state.by_partition.len() >= partitions as usize
                && state.by_partition.values().all(|held| held == version)
        };
        // The sender lives in `self`, so this cannot fail.
        let _ = receiver.wait_for(everywhere).await;
    }
}

/// The versions of the rules and what waits for a second person, as the control fold tells of them.
#[derive(Clone, Default)]
pub struct RuleVersions(Arc<RwLock<Versions>>);

#[derive(Default)]
struct Versions {
    known: BTreeMap<String, Arc<RuleVersion>>,
    stack: Stack,
    drafts: BTreeMap<Subject, Arc<Draft>>,
    four_eyes: bool,
}

impl RuleVersions {
    /// Takes what the control fold tells.
    pub fn see(&self, effect: ControlEffect) {
        let mut held = self.0.write();
        match effect {
            ControlEffect::Judged { .. } => {}
            ControlEffect::Version(version) => {
                held.known.insert(version.version.clone(), Arc::new(*version));
            }
            ControlEffect::Stack(stack) => {
                metrics::stepped_back(stack.stepped_back.as_ref());
                held.stack = stack;
            }
            ControlEffect::Draft { subject, draft } => {
                match draft {
                    Some(draft) => drop(held.drafts.insert(subject, Arc::new(*draft))),
                    None => drop(held.drafts.remove(&subject)),
                }
                metrics::drafts(&held.drafts.keys().collect::<Vec<_>>());
            }
            ControlEffect::FourEyes(on) => {
                metrics::four_eyes(on);
                held.four_eyes = on;
            }
        }
    }
    /// A version that was ever in force.
    pub fn get(&self, version: &str) -> Option<Arc<RuleVersion>> {
        self.0.read().known.get(version).cloned()
    }
    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Arc<RuleVersion>> {
        let mut all: Vec<Arc<RuleVersion>> = self.0.read().known.values().cloned().collect();
        all.sort_by(|a, b| b.at.cmp(&a.at).then(a.version.cmp(&b.version)));
        all
    }
    /// What rolling back goes through.
    pub fn stack(&self) -> Stack {
        self.0.read().stack.clone()
    }
    /// Everything that waits for a second person, by subject.
    pub fn drafts(&self) -> Vec<Arc<Draft>> {
        self.0.read().drafts.values().cloned().collect()
    }
    /// What waits for a second person about a subject.
    pub fn draft_of(&self, subject: &Subject) -> Option<Arc<Draft>> {
        self.0.read().drafts.get(subject).cloned()
    }
    /// Whether a second person is asked for.
    pub fn four_eyes(&self) -> bool {
        self.0.read().four_eyes
    }
}
