//! What keeps rules from doing harm: budgets over all partitions, and the switch that puts every rule in shadow.

use std::collections::BTreeSet;

use stockade_fold::Table;
use stockade_model::{Budget, RuleProposal, StockFigures, SupplierId, Timestamp};

/// The guard of all rules together.
const ALL: &str = "*";

/// The kill switch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Kill {
    /// Whether rules are in shadow.
    pub on: bool,
    /// Who turned it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A budget that was exceeded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Exceeded {
    /// When.
    pub at: Timestamp,
    /// Content hash of the rule that exceeded it: written otherwise, or rearmed, it may act again.
    pub content: String,
    /// Which budget, and how.
    pub detail: String,
}

/// Whom a rule has withheld lately, and whether it may go on.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Guard {
    withheld: Vec<(Timestamp, SupplierId)>,
    #[serde(default)]
    exceeded: Option<Exceeded>,
}

/// The guards.
pub(super) struct Guards {
    rules: Table<String, Guard>,
    stock: Table<SupplierId, StockFigures>,
    switches: Table<String, Kill>,
    /// Derived: units of all suppliers.
    units: u64,
}

impl Guards {
    pub(super) fn new(rules: u8, stock: u8, switches: u8) -> Self {
        Self { rules: Table::new(rules), stock: Table::new(stock), switches: Table::new(switches), units: 0 }
    }

    pub(super) fn tables(&mut self) -> [&mut dyn stockade_fold::AnyTable; 3] {
        [&mut self.rules, &mut self.stock, &mut self.switches]
    }

    pub(super) fn restored(&mut self) {
        self.units = self.stock.iter().map(|(_, figures)| figures.units).sum();
    }

    /// The kill switch, if it was ever turned.
    pub(super) fn kill(&self) -> Option<&Kill> {
        self.switches.get("kill")
    }
    pub(super) fn killed(&self) -> bool {
        self.kill().is_some_and(|kill| kill.on)
    }
    pub(super) fn turn(&mut self, kill: Kill) {
        self.switches.insert("kill".to_owned(), kill);
    }

    /// A supplier offers something else now.
    pub(super) fn offers(&mut self, supplier: &SupplierId, figures: StockFigures) {
        let before = self.stock.insert(supplier.clone(), figures).unwrap_or_default();
        self.units = self.units.saturating_sub(before.units).saturating_add(figures.units);
    }
    /// What a supplier offers, as far as inventory has told.
    pub(super) fn figures(&self, supplier: &SupplierId) -> StockFigures {
        self.stock.get(supplier).copied().unwrap_or_default()
    }

    /// The budget that a rule exceeded, unless it is written otherwise by now.
    pub(super) fn exceeded(&self, proposal: &RuleProposal) -> Option<&Exceeded> {
        let guard = self.rules.get(proposal.rule.id.as_str())?;
        guard.exceeded.as_ref().filter(|exceeded| exceeded.content == proposal.rule.content)
    }
    /// All rules that exceeded a budget.
    pub(super) fn all_exceeded(&self) -> impl Iterator<Item = (&String, &Exceeded)> {
        self.rules.iter().filter_map(|(rule, guard)| Some((rule, guard.exceeded.as_ref()?)))
    }
    /// Lets a rule act again, as far as its budget goes; false if nothing held it back. What it withheld in the window
    /// still counts: rearming is no second budget.
    pub(super) fn rearm(&mut self, rule: &str) -> bool {
        let held = self.rules.get(rule).is_some_and(|guard| guard.exceeded.is_some());
        if held && let Some(guard) = self.rules.edit(&rule.to_owned()) {
            guard.exceeded = None;
        }
        held
    }
    pub(super) fn exceed(&mut self, proposal: &RuleProposal, detail: String, now: Timestamp) -> Exceeded {
        let exceeded = Exceeded { at: now, content: proposal.rule.content.clone(), detail };
        let guard = self.rules.edit_or(&proposal.rule.id.to_string(), Guard::default);
        guard.exceeded = Some(exceeded.clone());
        exceeded
    }

    /// Which budget withholding this supplier would exceed, and how.
    pub(super) fn over_budget(&mut self, proposal: &RuleProposal, now: Timestamp) -> Option<String> {
        let rule = proposal.rule.id.to_string();
        let of_rule = proposal.budget.map(|budget| (rule.as_str(), budget));
        let of_all = proposal.budget_of_all.map(|budget| (ALL, budget));
        [of_rule, of_all]
            .into_iter()
            .flatten()
            .find_map(|(key, budget)| self.over(key, budget, &proposal.supplier, now))
    }

    fn over(&mut self, key: &str, budget: Budget, supplier: &SupplierId, now: Timestamp) -> Option<String> {
        let key = key.to_owned();
        let since = now.plus_ms(-budget.per_ms);
        if let Some(guard) = self.rules.edit(&key) {
            guard.withheld.retain(|(at, _)| *at > since);
        }
        let withheld = self.rules.get(&key).map(|guard| guard.withheld.as_slice()).unwrap_or_default();
        let mut suppliers: BTreeSet<&SupplierId> = withheld.iter().map(|(_, supplier)| supplier).collect();
        suppliers.insert(supplier);
        let whose =
            if key == ALL { "the budget of all rules".to_owned() } else { format!("the budget of {key}") };
        if let Some(most) = budget.suppliers
            && suppliers.len() > most as usize
        {
            return Some(format!("{whose}: at most {most} suppliers in {} s", budget.per_ms / 1_000));
        }
        let share = budget.stock_share.filter(|_| self.units > 0)?;
        let units: u64 = suppliers.iter().map(|supplier| self.figures(supplier).units).sum();
        let part = units as f64 / self.units as f64;
        (part > share).then(|| {
            format!(
                "{whose}: at most {share} of all units in {} s, this would be {part:.3}",
                budget.per_ms / 1_000
            )
        })
    }

    /// A supplier was withheld by a rule.
    pub(super) fn withheld(&mut self, proposal: &RuleProposal, now: Timestamp) {
        for (key, budget) in
            [(proposal.rule.id.to_string(), proposal.budget), (ALL.to_owned(), proposal.budget_of_all)]
        {
            if budget.is_some() {
                let guard = self.rules.edit_or(&key, Guard::default);
                guard.withheld.push((now, proposal.supplier.clone()));
            }
        }
    }
}
