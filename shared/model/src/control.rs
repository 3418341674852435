//! Control records: what people change about the platform, judged once and relayed in band.

use crate::{Region, RuleId, SupplierId, Timestamp};

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
    /// A supplier's whole profile. The control fold makes it of a registration and relays it to the supplier's partition
    /// only; asked for directly it replaces everything.
    Supplier {
        /// The profile.
        profile: SupplierProfile,
    },
    /// Register a supplier, or change what is said of its profile and keep the rest.
    Register {
        /// What is said.
        registration: Registration,
        /// What the replica that was asked knew of the supplier. It counts only where the control fold knows nothing,
        /// for suppliers that were registered before it kept profiles.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<SupplierProfile>,
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
    /// Do what waits for a second person.
    Approve {
        /// The id of the draft that was looked at.
        draft: String,
    },
    /// Take away what waits for a second person.
    Drop {
        /// The id of the draft.
        draft: String,
    },
    /// Former form of [`Change::Approve`] for a rule set.
    ApproveRules {
        /// Content hash of the set that was looked at.
        version: String,
    },
    /// Former form of [`Change::Drop`] for a rule set.
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
    /// Whether what changes verdicts needs a second person before it comes into force.
    FourEyes {
        /// Whether it does.
        on: bool,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// Let a rule that exceeded its budget act again. Relayed to the arbiter.
    Rearm {
        /// The rule.
        rule: RuleId,
        /// Why.
        reason: String,
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
        /// The version it replaces, empty for the initial one; with another one in force it is turned down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<String>,
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
        crate::encode::json_text(self)
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
    /// What its stock figures count.
    #[serde(default)]
    pub stock_counts: StockCounts,
}

/// What a supplier's stock figures count: whether goods that are ordered and not yet shipped are in `on_hand`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StockCounts {
    /// `on_hand` is what lies on the shelf, ordered or not: `shipped` takes from it.
    #[default]
    IncludingOrdered,
    /// `on_hand` is what is left when all orders are picked: `placed` has taken from it already, `shipped` takes nothing.
    ExcludingOrdered,
}

/// What is said of a supplier when it is registered, the first time or again.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Registration {
    /// Its id.
    pub supplier: SupplierId,
    /// Its name for people.
    pub name: String,
    /// Home region.
    pub region: Region,
    /// Since when it trades on the marketplace; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Class for rate limits; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What its stock figures count; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_counts: Option<StockCounts>,
}

impl Registration {
    /// The profile that it makes of the one that is `held`. What nothing was ever said of: it trades since `now`, in the
    /// class `standard`, and counts what is ordered.
    pub fn onto(self, held: Option<&SupplierProfile>, now: Timestamp) -> SupplierProfile {
        SupplierProfile {
            supplier: self.supplier,
            name: self.name,
            region: self.region,
            since: self.since.or(held.map(|held| held.since)).unwrap_or(now),
            class: self.class.or_else(|| held.map(|held| held.class.clone())).unwrap_or_else(standard_class),
            stock_counts: self.stock_counts.or(held.map(|held| held.stock_counts)).unwrap_or_default(),
        }
    }
}

/// The class of a supplier that names none.
pub fn standard_class() -> String {
    "standard".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_keeps_what_it_does_not_say() {
        let region = |text| Region::new(text).unwrap();
        let said = |name: &str, since_ms: Option<i64>, class: Option<&str>| Registration {
            supplier: SupplierId::new("acme").unwrap(),
            name: name.to_owned(),
            region: region("DE"),
            since: since_ms.map(Timestamp::from_ms),
            class: class.map(str::to_owned),
            stock_counts: since_ms.map(|_| StockCounts::ExcludingOrdered),
        };
        let first = said("Acme", None, None).onto(None, Timestamp::from_ms(50));
        assert_eq!((first.since.ms(), first.class.as_str()), (50, "standard"));
        assert_eq!(first.stock_counts, StockCounts::IncludingOrdered);
        let told = said("Acme", Some(10), Some("large")).onto(Some(&first), Timestamp::from_ms(60));
        assert_eq!((told.since.ms(), told.class.as_str()), (10, "large"));
        assert_eq!(told.stock_counts, StockCounts::ExcludingOrdered);
        let renamed = said("Acme AG", None, None).onto(Some(&told), Timestamp::from_ms(70));
        assert_eq!(renamed, SupplierProfile { name: "Acme AG".to_owned(), ..told });
    }

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
