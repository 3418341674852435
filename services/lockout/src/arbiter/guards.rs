//! What keeps rules from doing harm: budgets over all partitions, of whom shares are taken, and the switch that puts every rule in
//! shadow.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{Dest, Input, Out, Table};
use stockade_model::{
    Budget, Payload, Position, RuleProposal, StockFigures, SupplierId, Timestamp, Topic, WebhookRecord,
    time::DAY_MS,
};

use super::{ArbiterEffect, yardstick::Suspect};
use crate::notices;

/// The guard of all rules together.
const ALL: &str = "*";
/// The guard of what all rules together restrict and do not withhold.
const CAPS: &str = "*caps";
/// What comes of it when a rule has used up what it may withhold. A budget that let go whoever is found beyond it would be spent on
/// accounts made for that.
pub(super) const CAPPED_INSTEAD: &str =
    "whom it finds beyond that is capped (or watched, past the budget of caps), and waits for a person";
/// So long after a supplier was first heard to offer anything it counts among those of whom shares are taken: accounts that are put up
/// within a day must make nothing seem a small part of the whole.
const PROBATION_DAYS: i64 = 14;
/// Where fewer than this are past it, all that offer anything count.
const ESTABLISHED_MIN: usize = 50;
/// What rules may newly restrict without withholding in a day where the set does not say: this share of the suppliers,
const CAPS_SHARE: f64 = 0.25;
/// and so many however few there are,
const CAPS_LEAST: usize = 100;
/// and at most so many times what all rules together may withhold,
const CAPS_TO_WITHHELD: usize = 4;
/// which is this many where no budget says.
const CAPS_MOST: usize = 2_000;
/// How long a person's word that suspect evidence is right counts for the rule that was rearmed.
const TRUSTED_MS: i64 = DAY_MS;

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

/// What holds a rule back: a budget that was exceeded, evidence that is suspect, or a person who stopped it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Exceeded {
    /// When.
    pub at: Timestamp,
    /// Content hash of the rule that exceeded it: written otherwise, or rearmed, it may act again.
    pub content: String,
    /// Which budget, and how.
    pub detail: String,
    /// The kind of evidence that is suspect, where that holds the rule to a watch and no budget does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// Who stopped the rule, where somebody did: it does nothing at all until it is rearmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// Whether it is the budget of caps: what the rule finds is only watched until there is room in it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub caps: bool,
}

/// What a supplier offers, and since when.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Offered {
    listings: u64,
    units: u64,
    /// When it was first heard to offer anything; absent of those whom an earlier build knew.
    #[serde(default)]
    since: Option<Timestamp>,
}

impl Offered {
    /// The day of that, counted from 1970.
    fn day(&self) -> i64 {
        self.since.map_or(i64::MIN, Timestamp::day)
    }
}

/// The suppliers of whom shares are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// How many.
    pub(super) count: usize,
    /// The last day on which one of them began.
    until: i64,
}

/// Which of these holds a rule back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBy {
    /// A budget that was exceeded.
    Budget,
    /// Evidence that is suspect.
    Suspect,
    /// A person.
    Stopped,
}

impl Exceeded {
    /// A budget of what a rule may withhold.
    fn budget(content: &str, detail: String, at: Timestamp) -> Self {
        Self { at, content: content.to_owned(), detail, suspect: None, stopped_by: None, caps: false }
    }

    /// Which of these it is.
    pub fn held_by(&self) -> HeldBy {
        match (&self.stopped_by, &self.suspect) {
            (Some(_), _) => HeldBy::Stopped,
            (None, Some(_)) => HeldBy::Suspect,
            (None, None) => HeldBy::Budget,
        }
    }
}

/// Says that a rule is held back from now on: to this process, and to operators wherever they want to hear of it.
pub(super) fn tell(input: &Input<'_>, rule: &str, held: Exceeded, out: &mut Out<ArbiterEffect>) {
    let position = Position { index: out.next_index(), ..input.position.clone() };
    let notice = WebhookRecord::Notice(notices::held_back(&position, rule, &held));
    out.emit(Topic::Webhooks, Dest::Partition(0), Payload::Webhook(notice));
    out.effect(ArbiterEffect::Budget { rule: rule.to_owned(), exceeded: Some(held) });
}

/// Whom a rule has withheld lately, and whether it may go on.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Guard {
    withheld: Vec<(Timestamp, SupplierId)>,
    #[serde(default)]
    exceeded: Option<Exceeded>,
    /// The content of the rule as it was when a person said that what it measures by is right, and until when that counts.
    #[serde(default)]
    trusted: Option<(String, Timestamp)>,
}

/// The guards.
pub(super) struct Guards {
    rules: Table<String, Guard>,
    stock: Table<SupplierId, Offered>,
    switches: Table<String, Kill>,
    /// Kinds of evidence that are suspect.
    suspects: Table<String, Suspect>,
    /// Derived: units of all suppliers.
    units: u64,
    /// Derived: suppliers that offer anything, by the day since when.
    active: BTreeMap<i64, usize>,
}

impl Guards {
    pub(super) fn new(rules: u8, stock: u8, switches: u8, suspects: u8) -> Self {
        Self {
            rules: Table::new(rules),
            stock: Table::new(stock),
            switches: Table::new(switches),
            suspects: Table::new(suspects),
            units: 0,
            active: BTreeMap::new(),
        }
    }

    pub(super) fn tables(&mut self) -> [&mut dyn stockade_fold::AnyTable; 4] {
        [&mut self.rules, &mut self.stock, &mut self.switches, &mut self.suspects]
    }

    pub(super) fn restored(&mut self) {
        self.units = self.stock.iter().map(|(_, figures)| figures.units).sum();
        self.active = BTreeMap::new();
        for (_, offered) in self.stock.iter().filter(|(_, offered)| offered.listings > 0) {
            *self.active.entry(offered.day()).or_default() += 1;
        }
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
    pub(super) fn offers(&mut self, supplier: &SupplierId, figures: StockFigures, now: Timestamp) {
        let known = self.stock.get(supplier).copied();
        let before = known.unwrap_or_default();
        let since = if known.is_some() { before.since } else { Some(now) };
        let offered = Offered { listings: figures.listings, units: figures.units, since };
        self.units = self.units.saturating_sub(before.units).saturating_add(figures.units);
        if before.listings > 0 && figures.listings == 0 {
            self.active.entry(offered.day()).and_modify(|count| *count = count.saturating_sub(1));
        } else if before.listings == 0 && figures.listings > 0 {
            *self.active.entry(offered.day()).or_default() += 1;
        }
        self.stock.insert(supplier.clone(), offered);
    }
    fn units_of(&self, supplier: &SupplierId) -> u64 {
        self.stock.get(supplier).map_or(0, |offered| offered.units)
    }

    /// Of whom shares are taken: those that offer anything, as far as inventory has told, and have for a while; where there are few of
    /// these, all that do.
    pub(super) fn measured(&self, now: Timestamp) -> Measured {
        let until = now.day() - PROBATION_DAYS;
        let established: usize = self.active.range(..=until).map(|(_, count)| count).sum();
        if established >= ESTABLISHED_MIN {
            return Measured { count: established, until };
        }
        Measured { count: self.active.values().sum(), until: i64::MAX }
    }
    /// Whether a supplier is one of these.
    pub(super) fn is_one_of(&self, measured: Measured, supplier: &SupplierId) -> bool {
        let counts = |offered: &Offered| offered.listings > 0 && offered.day() <= measured.until;
        self.stock.get(supplier).is_some_and(counts)
    }

    /// What holds a rule back, unless it is written otherwise by now.
    fn held(&self, proposal: &RuleProposal) -> Option<&Exceeded> {
        let guard = self.rules.get(proposal.rule.id.as_str())?;
        guard.exceeded.as_ref().filter(|exceeded| exceeded.content == proposal.rule.content)
    }
    /// The budget of what may be withheld, where a rule exceeded that.
    pub(super) fn exceeded(&self, proposal: &RuleProposal) -> Option<&Exceeded> {
        self.held(proposal).filter(|held| held.held_by() == HeldBy::Budget && !held.caps)
    }
    /// Whether a person stopped the rule.
    pub(super) fn stopped(&self, proposal: &RuleProposal) -> bool {
        self.held(proposal).is_some_and(|held| held.held_by() == HeldBy::Stopped)
    }
    /// Stops a rule as it is written in `content`.
    pub(super) fn stop(
        &mut self,
        rule: &str,
        (content, actor): (&str, &str),
        detail: String,
        now: Timestamp,
    ) -> Exceeded {
        let stopped_by = Some(actor.to_owned());
        self.hold(rule, Exceeded { stopped_by, ..Exceeded::budget(content, detail, now) })
    }

    /// Something holds a rule back from now on.
    fn hold(&mut self, rule: &str, held: Exceeded) -> Exceeded {
        self.rules.edit_or(&rule.to_owned(), Guard::default).exceeded = Some(held.clone());
        held
    }

    /// Why a kind of evidence is suspect, if it is.
    pub(super) fn suspect(&self, kind: &str) -> Option<&Suspect> {
        self.suspects.get(kind)
    }
    /// When one of them is looked at again.
    pub(super) fn suspects_due(&self) -> Option<Timestamp> {
        self.suspects.iter().map(|(_, suspect)| suspect.due()).min()
    }
    /// All kinds of evidence that are suspect, in a fixed order.
    pub(super) fn suspects(&self) -> Vec<(String, Suspect)> {
        let mut all: Vec<(String, Suspect)> =
            self.suspects.iter().map(|(kind, suspect)| (kind.clone(), suspect.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
    pub(super) fn begin_suspecting(&mut self, kind: &str, suspect: Suspect) {
        self.suspects.insert(kind.to_owned(), suspect);
    }
    /// A kind of evidence is suspect no more; the rules that it held to a watch, in a fixed order.
    pub(super) fn end_suspecting(&mut self, kind: &str) -> Vec<String> {
        self.suspects.remove(&kind.to_owned());
        let held =
            |guard: &Guard| guard.exceeded.as_ref().is_some_and(|e| e.suspect.as_deref() == Some(kind));
        let mut rules: Vec<String> =
            self.rules.iter().filter(|(_, guard)| held(guard)).map(|(rule, _)| rule.clone()).collect();
        rules.sort();
        for rule in &rules {
            if let Some(guard) = self.rules.edit(rule) {
                guard.exceeded = None;
            }
        }
        rules
    }
    /// Notes that suspect evidence holds a rule to a watch; `None` where that is known, or a budget holds it back.
    pub(super) fn hold_to_watch(
        &mut self,
        proposal: &RuleProposal,
        kind: &str,
        detail: String,
        now: Timestamp,
    ) -> Option<Exceeded> {
        if self.held(proposal).is_some() {
            return None;
        }
        let suspect = Some(kind.to_owned());
        let held = Exceeded { suspect, ..Exceeded::budget(&proposal.rule.content, detail, now) };
        Some(self.hold(proposal.rule.id.as_str(), held))
    }
    /// Whether a person said lately that what this rule measures by is right.
    pub(super) fn trusts(&self, proposal: &RuleProposal, now: Timestamp) -> bool {
        let trusted = self.rules.get(proposal.rule.id.as_str()).and_then(|guard| guard.trusted.as_ref());
        trusted.is_some_and(|(content, until)| *content == proposal.rule.content && *until > now)
    }

    /// What holds rules back, of each rule as it was written then: the arbiter does not know which rules are in force.
    pub(super) fn all_exceeded(&self) -> impl Iterator<Item = (&String, &Exceeded)> {
        self.rules.iter().filter_map(|(rule, guard)| Some((rule, guard.exceeded.as_ref()?)))
    }
    /// Lets a rule act again, as far as its budget goes; false if nothing held it back. What it withheld in the window
    /// still counts: rearming is no second budget.
    pub(super) fn rearm(&mut self, rule: &str, now: Timestamp) -> bool {
        let held = self.rules.get(rule).is_some_and(|guard| guard.exceeded.is_some());
        if held && let Some(guard) = self.rules.edit(&rule.to_owned()) {
            let was = guard.exceeded.take().filter(|was| was.suspect.is_some());
            // Where a budget or a person held it back, nothing was said of what it measures by: an earlier word stands.
            if let Some(was) = was {
                guard.trusted = Some((was.content, now.plus_ms(TRUSTED_MS)));
            }
        }
        held
    }
    pub(super) fn exceed(&mut self, proposal: &RuleProposal, detail: String, now: Timestamp) -> Exceeded {
        self.hold(proposal.rule.id.as_str(), Exceeded::budget(&proposal.rule.content, detail, now))
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
            .map(|detail| format!("{detail}; {CAPPED_INSTEAD}"))
    }

    /// How many suppliers rules may newly restrict without withholding, and within which time; none where nobody is known to offer
    /// anything and the set does not say.
    fn budget_of_caps(&self, proposal: &RuleProposal, now: Timestamp) -> Option<(usize, i64)> {
        if let Some(budget) = proposal.budget_of_caps
            && let Some(most) = budget.suppliers
        {
            return Some((most as usize, budget.per_ms));
        }
        let count = Some(self.measured(now).count).filter(|count| *count > 0)?;
        let withheld = proposal.budget_of_all.and_then(|budget| budget.suppliers);
        let most =
            withheld.map_or(CAPS_MOST, |withheld| (withheld as usize).saturating_mul(CAPS_TO_WITHHELD));
        let least = CAPS_LEAST.max(proposal.trust_up_to.unwrap_or_default() as usize);
        let share = (count as f64 * CAPS_SHARE).ceil() as usize;
        Some((share.min(most).max(least), DAY_MS))
    }

    /// How restricting this supplier without withholding it would exceed the budget of that. It frees itself as time goes by: a rule
    /// that stayed in shadow until somebody comes could be put there by whoever makes events up.
    pub(super) fn over_caps(&mut self, proposal: &RuleProposal, now: Timestamp) -> Option<String> {
        let (most, per_ms) = self.budget_of_caps(proposal, now)?;
        let since = now.plus_ms(-per_ms);
        let caps = self.rules.get(CAPS)?;
        // They stand in order of time.
        let past = caps.withheld.partition_point(|(at, _)| *at <= since);
        let left = caps.withheld.len() - past;
        if past > 0
            && let Some(caps) = self.rules.edit(&CAPS.to_owned())
        {
            caps.withheld.drain(..past);
        }
        (left >= most).then(|| {
            format!(
                "the budget of caps: at most {most} suppliers in {} s; whom it finds beyond that is only watched until there is room again",
                per_ms / 1_000
            )
        })
    }

    /// A supplier was restricted by a rule and not withheld, who was not restricted before. Answers whether that ends what the budget
    /// of caps held the rule to.
    pub(super) fn capped(&mut self, proposal: &RuleProposal, now: Timestamp) -> bool {
        self.rules.edit_or(&CAPS.to_owned(), Guard::default).withheld.push((now, proposal.supplier.clone()));
        let held = self.held(proposal).is_some_and(|held| held.caps);
        if held && let Some(guard) = self.rules.edit(&proposal.rule.id.to_string()) {
            guard.exceeded = None;
        }
        held
    }

    /// Notes that the budget of caps holds a rule to a watch; `None` where that is known, or something else holds it.
    pub(super) fn exceed_caps(
        &mut self,
        proposal: &RuleProposal,
        detail: String,
        now: Timestamp,
    ) -> Option<Exceeded> {
        if self.held(proposal).is_some() {
            return None;
        }
        let exceeded = Exceeded { caps: true, ..Exceeded::budget(&proposal.rule.content, detail, now) };
        Some(self.hold(proposal.rule.id.as_str(), exceeded))
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
        let units: u64 = suppliers.iter().map(|supplier| self.units_of(supplier)).sum();
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
                // Once, however many of its listings are withheld one by one: the row stays as short as the budget.
                guard.withheld.retain(|(_, supplier)| *supplier != proposal.supplier);
                guard.withheld.push((now, proposal.supplier.clone()));
            }
        }
    }
}
