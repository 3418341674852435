//! Why the control fold turns a change down.

/// Why a change was turned down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its version is not the hash of its source.
    BadVersion,
    /// Another rule set is in force than it was written against.
    RulesChanged,
    /// Another declaration of features is in force than it was written against.
    FeaturesChanged,
    /// The rule set does not compile.
    InvalidRules,
    /// The declaration does not compile.
    InvalidFeatures,
    /// The model does not read.
    InvalidModel,
    /// A model in force needs what the declaration lacks.
    NeededByModels,
    /// The rules in force need what the declaration lacks.
    NeededByRules,
    /// No rule set of that version was ever in force.
    NoSuchVersion,
    /// Nothing of that id waits for a second person.
    NoSuchDraft,
    /// There is no model to do that with.
    NoSuchModel,
    /// Its author would have approved it.
    OwnChange,
    /// Somebody else's draft about the same waits.
    DraftWaits,
}

impl Refusal {
    /// The stable code in answers.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadVersion => "bad_version",
            Self::RulesChanged => "rules_changed",
            Self::FeaturesChanged => "features_changed",
            Self::InvalidRules => "invalid_rules",
            Self::InvalidFeatures => "invalid_features",
            Self::InvalidModel => "invalid_model",
            Self::NeededByModels => "needed_by_models",
            Self::NeededByRules => "needed_by_rules",
            Self::NoSuchVersion => "no_such_version",
            Self::NoSuchDraft => "no_such_draft",
            Self::NoSuchModel => "no_such_model",
            Self::OwnChange => "own_change",
            Self::DraftWaits => "draft_waits",
        }
    }
}

/// A refusal with what it means this time and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// For people.
    pub detail: String,
}

impl Refused {
    pub(super) fn new(why: Refusal, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }
}
