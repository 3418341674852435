//! What needs a second person, and what waits for one.
//!
//! Where four eyes are asked for, a change that changes verdicts waits as a draft until somebody else than its author has
//! approved it. One draft waits for each subject, and a second one never replaces a colleague's: it is turned down, and
//! whoever means to replace that takes it away first, by its id.
//!
//! Two things one person may do alone, because they must not wait and only make rules do less or what they did before: the
//! kill switch, and a rollback to the set in force just before, once after each published set. Both are loud: a gauge, a
//! warning in the log, and the record in `control`, which is kept for ever. What people do to one supplier (overrides,
//! releases, confirmations, snoozes, reviews) needs no second person either: each is a decision in the audit log.

use stockade_fold::Table;
use stockade_model::{Change, Timestamp};

use super::settings::Stack;

/// What a change is about. One draft waits for each.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case", tag = "about")]
pub enum Subject {
    /// The rule set in force.
    Rules,
    /// The declaration of features in force.
    Features,
    /// The models in force.
    Models,
    /// Whether a second person is asked for.
    FourEyes,
    /// The budget that a rule exceeded.
    Budget {
        /// The rule.
        rule: String,
    },
}

impl Subject {
    /// What a change is about; none for what is never a draft.
    pub fn of(change: &Change) -> Option<Self> {
        match change {
            Change::Rules { .. } | Change::RollBackRules { .. } => Some(Self::Rules),
            Change::Features { .. } => Some(Self::Features),
            Change::Model { .. } | Change::ModelSwitch { .. } => Some(Self::Models),
            Change::FourEyes { .. } => Some(Self::FourEyes),
            Change::Rearm { rule, .. } => Some(Self::Budget { rule: rule.to_string() }),
            Change::Supplier { .. }
            | Change::Register { .. }
            | Change::KillSwitch { .. }
            | Change::Approve { .. }
            | Change::Drop { .. }
            | Change::ApproveRules { .. }
            | Change::DropRules { .. } => None,
        }
    }

    /// Every name.
    pub const NAMES: [&str; 5] = ["rules", "features", "models", "four_eyes", "budget"];

    /// The name in metrics, paths and messages.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Features => "features",
            Self::Models => "models",
            Self::FourEyes => "four_eyes",
            Self::Budget { .. } => "budget",
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Budget { rule } => format!("budget/{rule}"),
            other => other.as_str().to_owned(),
        }
    }
}

/// Something that waits for a second person.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Draft {
    /// Names it: the content hash of a rule set or declaration that would come into force, else unique for the change.
    pub id: String,
    /// What it is about.
    pub subject: Subject,
    /// What would be done.
    pub change: Change,
    /// Who asked for it.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// Whether a change needs a second person where four eyes are asked for.
pub(super) fn needs_second(change: &Change, stack: &Stack) -> bool {
    match change {
        // Whoever turns it on binds themselves as well.
        Change::FourEyes { on, .. } => !on,
        Change::RollBackRules { to, .. } => !stack.is_step_back(to.as_deref()),
        other => Subject::of(other).is_some(),
    }
}

/// The drafts.
pub(super) struct Drafts(Table<String, Draft>);

impl Drafts {
    pub(super) fn new(table: u8) -> Self {
        Self(Table::new(table))
    }
    pub(super) fn table(&mut self) -> &mut dyn stockade_fold::AnyTable {
        &mut self.0
    }
    pub(super) fn of(&self, subject: &Subject) -> Option<&Draft> {
        self.0.get(&subject.key())
    }
    pub(super) fn get(&self, id: &str) -> Option<&Draft> {
        self.0.iter().map(|(_, draft)| draft).find(|draft| draft.id == id)
    }
    pub(super) fn put(&mut self, draft: Draft) {
        self.0.insert(draft.subject.key(), draft);
    }
    pub(super) fn take(&mut self, subject: &Subject) {
        self.0.remove(&subject.key());
    }
    pub(super) fn all(&self) -> impl Iterator<Item = &Draft> {
        self.0.iter().map(|(_, draft)| draft)
    }
}
