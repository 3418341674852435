//! What a replay found.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;
use stockade_inventory::app::App;
use stockade_log::SharedLog;
use stockade_model::{Action, Decision, OrderEvent, OrderEventKind, SupplierId, Timestamp, Topic};

use super::inputs::Inputs;

/// Counted while playing, inputs that a resumed run skips included.
#[derive(Default)]
pub(super) struct Tallies {
    events: u64,
    /// Supplier and time of every order.
    orders: Vec<(SupplierId, Timestamp)>,
}

impl Tallies {
    /// Counts an event.
    pub(super) fn event(&mut self, event: &OrderEvent) {
        self.events += 1;
        if event.kind == OrderEventKind::Placed {
            self.orders.push((event.supplier.clone(), event.time));
        }
    }
    /// Orders placed while the supplier was withheld: those that buyers would not have placed.
    fn withheld(&self, lockouts: &[Lockout]) -> usize {
        let mut by_supplier: BTreeMap<&SupplierId, Vec<&Lockout>> = BTreeMap::new();
        lockouts.iter().for_each(|lockout| by_supplier.entry(&lockout.supplier).or_default().push(lockout));
        let covers = |lockout: &&&Lockout, at: Timestamp| {
            lockout.locked_at < at && lockout.released_at.is_none_or(|end| at < end)
        };
        let withheld = |(supplier, at): &&(SupplierId, Timestamp)| {
            by_supplier.get(supplier).is_some_and(|found| found.iter().any(|lockout| covers(&lockout, *at)))
        };
        self.orders.iter().filter(withheld).count()
    }
}

/// One lock-out.
struct Lockout {
    supplier: SupplierId,
    locked_at: Timestamp,
    released_at: Option<Timestamp>,
    level: &'static str,
    reason: String,
    rule: String,
}

/// The report.
pub(super) struct Report {
    lockouts: Vec<Lockout>,
    summary: serde_json::Value,
}

impl Report {
    /// Reads the decisions from the log and adds what was counted.
    pub(super) fn gather(
        log: &SharedLog,
        inputs: &Inputs,
        tallies: &Tallies,
        app: &App,
        (made, resumed): (u64, u64),
        elapsed: Duration,
    ) -> Result<Self> {
        let mut decisions = Vec::new();
        crate::decisions::read(log, 0, |_, decision| {
            decisions.push(decision);
            Ok(())
        })?;
        let lockouts = lockouts(&decisions);
        let suppliers: std::collections::BTreeSet<&SupplierId> =
            lockouts.iter().map(|lockout| &lockout.supplier).collect();
        let dead_letters = log.bounds(Topic::DeadLetters.name(), 0)?.end;
        let summary = json!({
            "rows": inputs.rows(),
            "inputs": made,
            "resumed_after": resumed,
            "suppliers": inputs.suppliers(),
            "listings": app.index.listings(),
            "events": tallies.events,
            "orders": tallies.orders.len(),
            "orders_to_withheld_suppliers": tallies.withheld(&lockouts),
            "lockouts": lockouts.len(),
            "suppliers_locked": suppliers.len(),
            "refused_by_validation": inputs.refused,
            "refusals": inputs.refusals,
            "values_not_yet_known": inputs.withheld,
            "dead_letters": dead_letters,
            "seconds": (elapsed.as_secs_f64() * 100.0).round() / 100.0,
            "inputs_per_second": ((made - resumed) as f64 / elapsed.as_secs_f64()).round(),
        });
        Ok(Self { lockouts, summary })
    }

    /// Writes `supplier,locked_at,released_at,level,reason`.
    pub(super) fn write_csv(&self, path: &Path) -> Result<()> {
        let mut writer =
            csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
        writer.write_record(["supplier", "locked_at", "released_at", "level", "reason"])?;
        for lockout in &self.lockouts {
            let released = lockout.released_at.map(|at| at.to_string()).unwrap_or_default();
            let row = [
                lockout.supplier.as_str(),
                &lockout.locked_at.to_string(),
                &released,
                lockout.level,
                &lockout.reason,
            ];
            writer.write_record(row)?;
        }
        Ok(writer.flush()?)
    }

    /// Prints the lock-outs and the summary; with `json`, one object on the last line.
    pub(super) fn print(&self, as_json: bool) {
        for lockout in self.lockouts.iter().take(if as_json { 0 } else { 40 }) {
            let until =
                lockout.released_at.map_or("in force at the end".to_owned(), |at| format!("until {at}"));
            println!(
                "{}  {:<32} {:<10} {} ({}), {until}",
                lockout.locked_at, lockout.supplier, lockout.level, lockout.reason, lockout.rule
            );
        }
        if !as_json && self.lockouts.len() > 40 {
            println!("… and {} more; --lockouts FILE writes them all", self.lockouts.len() - 40);
        }
        if as_json {
            println!("{}", self.summary);
        } else if let Some(summary) = self.summary.as_object() {
            println!();
            summary
                .iter()
                .filter(|(_, value)| !value.is_array())
                .for_each(|(name, value)| println!("{name:<30} {value}"));
        }
    }
}

/// Restrictions that withheld offers, from begin to end.
fn lockouts(decisions: &[Decision]) -> Vec<Lockout> {
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
            });
        }
    }
    found
}
