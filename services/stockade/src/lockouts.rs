//! Lock-outs as reports list them.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use stockade_model::{Action, Decision, Scope, SupplierId, Timestamp};

/// One lock-out.
#[derive(Clone, Debug)]
pub(crate) struct Lockout {
    /// Who.
    pub(crate) supplier: SupplierId,
    /// When it began.
    pub(crate) locked_at: Timestamp,
    /// When it ended, if it did.
    pub(crate) released_at: Option<Timestamp>,
    /// How hard.
    pub(crate) level: &'static str,
    /// Reason codes.
    pub(crate) reason: String,
    /// The rule; empty for a person's decision.
    pub(crate) rule: String,
    /// What it covered: `supplier`, or the kind of part and its name, such as `listing:l-1`.
    pub(crate) scope: String,
    /// Who vouches for what was counted, such as `attested+witnessed`; empty where no outcomes were.
    pub(crate) vouched: String,
}

/// Writes `supplier,locked_at,released_at,level,reason,rule,scope,vouched`; columns are only ever added at the end.
pub(crate) fn write_csv(lockouts: &[Lockout], path: &Path) -> Result<()> {
    let mut writer =
        csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
    writer.write_record([
        "supplier",
        "locked_at",
        "released_at",
        "level",
        "reason",
        "rule",
        "scope",
        "vouched",
    ])?;
    for lockout in lockouts {
        let released = lockout.released_at.map(|at| at.to_string()).unwrap_or_default();
        let row = [
            lockout.supplier.as_str(),
            &lockout.locked_at.to_string(),
            &released,
            lockout.level,
            &lockout.reason,
            &lockout.rule,
            &lockout.scope,
            &lockout.vouched,
        ];
        writer.write_record(row)?;
    }
    Ok(writer.flush()?)
}

fn named(scope: &Scope) -> String {
    match scope {
        Scope::Supplier => "supplier".to_owned(),
        Scope::Region { region } => format!("region:{region}"),
        Scope::Sku { sku } => format!("sku:{sku}"),
        Scope::Listing { listing } => format!("listing:{listing}"),
    }
}

/// Restrictions that withheld offers, from begin to end.
pub(crate) fn of(decisions: &[Decision]) -> Vec<Lockout> {
    let mut found: Vec<Lockout> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for decision in decisions {
        // Whatever was open for this supplier and is no longer in force has ended.
        let in_force: Vec<&str> = decision.in_force.iter().map(|r| r.id.as_str()).collect();
        let ended: Vec<String> = open
            .iter()
            .filter(|(id, index)| {
                found[**index].supplier == decision.supplier && !in_force.contains(&id.as_str())
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            if let Some(index) = open.remove(&id) {
                found[index].released_at = Some(decision.at);
            }
        }
        let Some(restriction) = &decision.restriction else { continue };
        if matches!(decision.action, Action::Imposed | Action::Raised) && restriction.level.withholds() {
            open.insert(restriction.id.clone(), found.len());
            found.push(Lockout {
                supplier: decision.supplier.clone(),
                locked_at: decision.at,
                released_at: None,
                level: restriction.level.as_str(),
                reason: restriction.reasons.join("+"),
                rule: restriction.rule.as_ref().map(|rule| rule.id.to_string()).unwrap_or_default(),
                scope: named(&restriction.scope),
                vouched: restriction.vouched.iter().map(|by| by.as_str()).collect::<Vec<_>>().join("+"),
            });
        }
    }
    found
}
