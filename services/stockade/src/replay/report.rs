//! What a replay found.

use crate::output::say;
use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use serde_json::json;
use stockade_inventory::app::App;
use stockade_log::SharedLog;
use stockade_model::{OrderEvent, OrderEventKind, SupplierId, Timestamp, Topic};

use super::inputs::Inputs;
use crate::lockouts::{self, Lockout};

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

/// The report.
pub(super) struct Report {
    pub(super) lockouts: Vec<Lockout>,
    summary: serde_json::Value,
    /// What was refused, for people.
    refused: Vec<String>,
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
        let lockouts = lockouts::of(&decisions);
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
            "read": inputs.notes(),
            "refused_by_validation": inputs.refusals.count(),
            "refused": inputs.refused(),
            "values_not_yet_known": inputs.withheld,
            "dead_letters": dead_letters,
            "seconds": (elapsed.as_secs_f64() * 100.0).round() / 100.0,
            "inputs_per_second": ((made - resumed) as f64 / elapsed.as_secs_f64()).round(),
        });
        Ok(Self { lockouts, summary, refused: inputs.refusals.lines() })
    }

    /// Prints the lock-outs and the summary; with `json`, one object on the last line.
    pub(super) fn print(&self, as_json: bool) {
        for lockout in self.lockouts.iter().take(if as_json { 0 } else { 40 }) {
            let until =
                lockout.released_at.map_or("in force at the end".to_owned(), |at| format!("until {at}"));
            say!(
                "{}  {:<32} {:<10} {} ({}), {until}",
                lockout.locked_at,
                lockout.supplier,
                lockout.level,
                lockout.reason,
                lockout.rule
            );
        }
        if !as_json && self.lockouts.len() > 40 {
            say!("… and {} more; --lockouts FILE writes them all", self.lockouts.len() - 40);
        }
        if as_json {
            say!("{}", self.summary);
        } else {
            say!();
            let mut summary = self.summary.clone();
            // For people the reasons follow the figures, each with its examples.
            if let Some(refused) = summary["refused"].as_object_mut() {
                refused.remove("reasons");
            }
            crate::output::figures(&summary);
            self.refused.iter().for_each(|line| say!("{line}"));
        }
    }
}
