//! Control records: what people change about the platform, judged once and relayed in band.

use crate::{Region, SupplierId, Timestamp};

/// A change asked for in `control`; the control fold relays the accepted ones.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ControlRecord {
    /// Who asked.
    pub actor: String,
    /// What for.
    pub change: Change,
}

/// What changes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Change {
    /// Register a supplier or change its profile. Relayed to the supplier's partition only.
    Supplier {
        /// The profile.
        profile: SupplierProfile,
    },
    /// Put a rule set in force, in every partition.
    Rules {
        /// Content hash of `source`, hex.
        version: String,
        /// The rule set as YAML, exactly as it was given.
        source: String,
        /// The version it replaces; with another one in force it is turned down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// Put the rule set that waits for a second pair of eyes in force.
    ApproveRules {
        /// Content hash of the set that was looked at.
        version: String,
    },
    /// Take the rule set that waits for a second pair of eyes away.
    DropRules {
        /// Content hash of the set.
        version: String,
    },
    /// Put a rule set back in force that was so before.
    RollBackRules {
        /// Content hash of the set; the one before that in force when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// Why.
        note: String,
    },
    /// Whether a rule set needs a second person before it comes into force.
    FourEyes {
        /// Whether it does.
        on: bool,
    },
    /// The kill switch was set; for the record, the arbiter has it from elsewhere.
    KillSwitch {
        /// Whether rules are in shadow.
        on: bool,
        /// Why.
        reason: String,
    },
    /// Put measures and features in force, in every partition.
    Features {
        /// Content hash of `source`, hex.
        version: String,
        /// The declaration as YAML, exactly as it was given.
        source: String,
    },
    /// Let a trained model run beside the champion, as challenger, in every partition.
    Model {
        /// Unique for this change.
        id: String,
        /// The model file.
        source: String,
    },
    /// Change which model is which.
    ModelSwitch {
        /// Unique for this change.
        id: String,
        /// How.
        to: ModelSwitch,
    },
}

/// How models change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelSwitch {
    /// The challenger becomes champion, and the champion can come back.
    Promote,
    /// The former champion comes back, and the champion becomes challenger.
    RollBack,
}

/// The model files in force. Every fold that must know takes the same steps from the same changes.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Models {
    /// Whose score counts.
    #[serde(default)]
    pub champion: Option<String>,
    /// Who runs beside it on the same vectors.
    #[serde(default)]
    pub challenger: Option<String>,
    /// Who was champion before.
    #[serde(default)]
    pub former: Option<String>,
}

impl Models {
    /// The next state; an error says what is missing. Other changes change nothing.
    pub fn after(&self, change: &Change) -> Result<Self, &'static str> {
        let mut next = self.clone();
        match change {
            Change::Model { source, .. } => next.challenger = Some(source.clone()),
            Change::ModelSwitch { to: ModelSwitch::Promote, .. } => {
                let challenger = next.challenger.take().ok_or("there is no challenger to promote")?;
                next.former = next.champion.replace(challenger);
            }
            Change::ModelSwitch { to: ModelSwitch::RollBack, .. } => {
                let champion = next.champion.take().ok_or("there is no champion to roll back")?;
                next.champion = next.former.take();
                next.challenger = Some(champion);
            }
            _ => {}
        }
        Ok(next)
    }

    /// The files there are.
    pub fn sources(&self) -> impl Iterator<Item = &String> {
        self.champion.iter().chain(&self.challenger).chain(&self.former)
    }

    /// The stored form.
    pub fn to_text(&self) -> String {
        // Serialising our own plain struct to memory has no failing case.
        serde_json::to_string(self).unwrap_or_default()
    }
    /// Reads the stored form; nothing is no models.
    pub fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// A registered supplier.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SupplierProfile {
    /// Its id.
    pub supplier: SupplierId,
    /// Its name for people.
    pub name: String,
    /// Home region.
    pub region: Region,
    /// Since when it trades on the marketplace, which may be before Stockade knew of it.
    pub since: Timestamp,
    /// Class for rate limits, such as `standard` or `large`.
    #[serde(default = "standard_class")]
    pub class: String,
}

/// The class of a supplier that names none.
pub fn standard_class() -> String {
    "standard".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promoting_and_rolling_back_lose_no_model() {
        let publish = |source: &str| Change::Model { id: "a".to_owned(), source: source.to_owned() };
        let switch = |to| Change::ModelSwitch { id: "b".to_owned(), to };
        let none = Models::default();
        assert!(
            none.after(&switch(ModelSwitch::Promote)).is_err()
                && none.after(&switch(ModelSwitch::RollBack)).is_err()
        );
        let first = none.after(&publish("one")).and_then(|m| m.after(&switch(ModelSwitch::Promote))).unwrap();
        let second =
            first.after(&publish("two")).and_then(|m| m.after(&switch(ModelSwitch::Promote))).unwrap();
        assert_eq!((second.champion.as_deref(), second.former.as_deref()), (Some("two"), Some("one")));
        let back = second.after(&switch(ModelSwitch::RollBack)).unwrap();
        assert_eq!((back.champion.as_deref(), back.challenger.as_deref()), (Some("one"), Some("two")));
        assert_eq!(Models::from_text(&back.to_text()), back);
    }
}
