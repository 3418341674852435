//! Rule evaluation: feature vectors in, proposals out. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Single, Table};
use stockade_model::{
    Cause, Change, Level, Models, Payload, Proposal, RuleId, RuleProposal, RuleRef, Scope, ScoreRecord,
    SupplierId, Timestamp, Topic,
    time::{DAY_MS, SECOND_MS},
};
use stockade_rules::{Mode, Rule, RuleScope, RuleSet, Scratch, Snapshot, Vocabulary};

/// While a rule is true for a supplier it is proposed at most this often.
const PROPOSE_EVERY_MS: i64 = SECOND_MS;

/// What the evaluation fold tells its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationEffect {
    /// A rule set came into force in a partition.
    RulesInForce {
        /// Its version.
        version: String,
        /// Its source.
        source: String,
    },
    /// A declaration of features came into force in a partition.
    FeaturesInForce {
        /// Its version.
        version: String,
        /// Its source.
        source: String,
    },
    /// Models changed places in a partition.
    ModelsInForce {
        /// Id of the change.
        version: String,
        /// The models, as stored.
        source: String,
    },
    /// How a rule in shadow compares with live ones on a day since 1970, in this partition.
    Shadow {
        /// The rule.
        rule: String,
        /// The day.
        day: i64,
        /// The counts.
        counts: ShadowDay,
    },
    /// A vector follows another schema than this build's; no rule was evaluated on it.
    ForeignSchema,
}

/// How a rule that does not act, for anybody or for a supplier, compares on the same snapshots with those that do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct ShadowDay {
    /// Snapshots for which it is true.
    pub hits: u64,
    /// Suppliers for whom it was true that day.
    pub suppliers: u64,
    /// Snapshots for which the rule it is to replace, or else any rule that acts, is true as well.
    pub agreed: u64,
    /// Snapshots for which it alone is true.
    pub only_shadow: u64,
    /// Snapshots for which the rule that it is to replace is true and it is not.
    pub only_live: u64,
}

/// Days of shadow counts that are kept.
const SHADOW_DAYS_KEPT: i64 = 90;

/// A source in force, with its version.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct InForce {
    version: String,
    source: String,
}

/// The models in force, with the id of the change that made them so.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct ModelsRow {
    version: String,
    models: Models,
}

/// What was proposed last for a rule and a supplier, and what waits for its second to pass.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Proposed {
    last: Timestamp,
    /// The newest hit since, with its cause: it is proposed late, never dropped.
    #[serde(default)]
    waiting: Option<(RuleProposal, Option<Cause>)>,
    /// Whether it would not have been proposed without what is known of links to others.
    #[serde(default)]
    by_association: bool,
    /// What it covers, where that is not the supplier.
    #[serde(default)]
    scope: Option<Scope>,
}

/// Scopes of rules remembered of one supplier; past it the longest ago makes room.
const PROPOSED_MAX: usize = 512;

/// The name under which it is kept what was proposed: of a rule, and of each listing or good that it covers by itself.
fn proposed_key(rule: &str, scope: &Scope) -> String {
    match scope {
        Scope::Supplier => rule.to_owned(),
        Scope::Region { region } => format!("{rule} region {region}"),
        Scope::Sku { sku } => format!("{rule} sku {sku}"),
        Scope::Listing { listing } => format!("{rule} listing {listing}"),
    }
}

/// The rule of such a name; ids of rules have no spaces.
fn rule_of(key: &str) -> &str {
    key.split(' ').next().unwrap_or(key)
}

/// A source in force; empty where none is.
fn source_of(row: &Single<InForce>) -> &str {
    row.get().map_or("", |row| row.source.as_str())
}

/// The fold.
pub struct Evaluation {
    /// Rows of earlier builds, strings under the keys `rules`, `features`, `models`: moved into the tables below when they
    /// are restored.
    former: Table<String, InForce>,
    /// The set in force.
    rules: Single<InForce>,
    /// The declaration of features in force.
    features: Single<InForce>,
    /// The models in force.
    models: Single<ModelsRow>,
    /// When each rule was last proposed for a supplier.
    proposed: Table<SupplierId, BTreeMap<String, Proposed>>,
    /// How rules in shadow compare, by `rule/day`.
    shadow: Table<String, ShadowDay>,
    /// The day on which a rule in shadow was last true for a supplier, by supplier.
    shadowed: Table<SupplierId, BTreeMap<String, i64>>,
    /// Derived from `rules`.
    compiled: Arc<RuleSet>,
    /// Room for evaluating.
    scratch: Scratch,
    /// Numbers of the rules that are true for the snapshot in hand.
    hits: Vec<usize>,
    /// Derived: whose waiting hits may be proposed when.
    due: BTreeSet<(Timestamp, SupplierId)>,
    vocabulary: Vocabulary,
}

impl Evaluation {
    /// A fold without rules.
    pub fn new(vocabulary: Vocabulary) -> Self {
        let compiled = Arc::new(RuleSet::empty(vocabulary.initial.clone()));
        Self {
            former: Table::new(1),
            rules: Single::new(5),
            features: Single::new(6),
            models: Single::new(7),
            proposed: Table::new(2),
            shadow: Table::new(3),
            shadowed: Table::new(4),
            compiled,
            scratch: Scratch::default(),
            hits: Vec::new(),
            due: BTreeSet::new(),
            vocabulary,
        }
    }

    /// Moves rows of earlier builds to where they belong now.
    fn adopt_former(&mut self) {
        if let Some(rules) = self.former.remove(&"rules".to_owned()) {
            self.rules.set(rules);
        }
        if let Some(features) = self.former.remove(&"features".to_owned()) {
            self.features.set(features);
        }
        if let Some(InForce { version, source }) = self.former.remove(&"models".to_owned()) {
            self.models.set(ModelsRow { version, models: Models::from_text(&source) });
        }
    }

    /// The set that a declaration and rules make; without rules one of none over the declared features.
    fn compile(&self, features: &str, rules: &str) -> Option<Arc<RuleSet>> {
        if rules.is_empty() {
            return Some(Arc::new(RuleSet::empty(self.vocabulary.in_force(features))));
        }
        self.vocabulary.compile(features, rules).ok()
    }

    /// A change that the control fold let pass, and judged as this build does; what still does not compile here was
    /// accepted by another build, and what is in force stays.
    fn change(&mut self, change: &Change, out: &mut Out<EvaluationEffect>) -> Option<EvaluationEffect> {
        match change {
            Change::Rules { version, source, .. } => {
                let before = self.compiled.clone();
                self.compiled = self.compile(source_of(&self.features), source)?;
                gone(&before, &self.compiled, out);
                let (version, source) = (version.clone(), source.clone());
                self.rules.set(InForce { version: version.clone(), source: source.clone() });
                Some(EvaluationEffect::RulesInForce { version, source })
            }
            // Vectors carry the scores already; followed here so that the API knows what is in force everywhere.
            Change::Model { id, .. } | Change::ModelSwitch { id, .. } => {
                let held = self.models.get().map(|row| row.models.clone()).unwrap_or_default();
                let (version, models) = (id.clone(), held.after(change).ok()?);
                let source = models.to_text();
                self.models.set(ModelsRow { version: version.clone(), models });
                Some(EvaluationEffect::ModelsInForce { version, source })
            }
            Change::Features { version, source, .. } => {
                self.compiled = self.compile(source, source_of(&self.rules))?;
                let (version, source) = (version.clone(), source.clone());
                self.features.set(InForce { version: version.clone(), source: source.clone() });
                Some(EvaluationEffect::FeaturesInForce { version, source })
            }
            // The control fold keeps these to itself.
            _ => None,
        }
    }

    fn judge(&mut self, score: &ScoreRecord, input: &Input<'_>, out: &mut Out<EvaluationEffect>) {
        let set = self.compiled.clone();
        if score.schema != set.schema().id() {
            out.effect(EvaluationEffect::ForeignSchema);
            return;
        }
        let now = input.time;
        let snapshot = Snapshot {
            slots: &score.slots,
            now_ms: now.ms(),
            supplier: score.supplier.as_str(),
            listing: score.listing.as_ref().map(|(listing, sku)| (listing.as_str(), sku.as_str())),
        };
        self.hits.clear();
        let hits = &mut self.hits;
        set.evaluate(&snapshot, &mut self.scratch, |number, _| hits.push(number));
        self.hits.sort_unstable();
        let hits = std::mem::take(&mut self.hits);
        self.compare_shadows(&set, &hits, &snapshot, &score.supplier, out);
        for rule in hits.iter().map(|number| &set.rules()[*number]) {
            if rule.acts_on(snapshot.supplier) {
                self.found(proposal(&set, rule, &snapshot, score), input, out);
            }
        }
        self.unlink(&set, &hits, &score.supplier, input, out);
        self.cure(&set, &hits, &snapshot, score, input, out);
        self.hits = hits;
    }

    /// Proposes what was found, or lets it wait for its second.
    fn found(&mut self, proposal: RuleProposal, input: &Input<'_>, out: &mut Out<EvaluationEffect>) {
        let (now, supplier) = (input.time, proposal.supplier.clone());
        let rules = self.proposed.edit_or(&supplier, BTreeMap::new);
        let by_association = proposal.by_association;
        let key = proposed_key(proposal.rule.id.as_str(), &proposal.scope);
        match rules.get_mut(&key) {
            Some(proposed) if now.ms() - proposed.last.ms() < PROPOSE_EVERY_MS => {
                proposed.by_association = by_association;
                proposed.waiting = Some((proposal, input.envelope.cause.clone()));
                self.due.insert((proposed.last.plus_ms(PROPOSE_EVERY_MS), supplier));
            }
            _ => {
                let scope = (proposal.scope != Scope::Supplier).then(|| proposal.scope.clone());
                rules.insert(key, Proposed { last: now, waiting: None, by_association, scope });
                if rules.len() > PROPOSED_MAX {
                    let oldest = rules.iter().min_by_key(|(key, proposed)| (proposed.last, (*key).clone()));
                    oldest.map(|(key, _)| key.clone()).map(|key| rules.remove(&key));
                }
                propose(proposal, input.envelope.cause.clone(), out);
            }
        }
    }

    /// Tells the arbiter of rules that held by what was known of links to others, and no longer do.
    fn unlink(
        &mut self,
        set: &RuleSet,
        hits: &[usize],
        supplier: &SupplierId,
        input: &Input<'_>,
        out: &mut Out<EvaluationEffect>,
    ) {
        let rests =
            |rules: &BTreeMap<String, Proposed>| rules.values().any(|proposed| proposed.by_association);
        if !self.proposed.get(supplier).is_some_and(rests) {
            return;
        }
        let Some(rules) = self.proposed.edit(supplier) else { return };
        for (id, proposed) in rules.iter_mut().filter(|(_, proposed)| proposed.by_association) {
            let id = rule_of(id);
            let holds = hits.iter().any(|number| set.rules()[*number].spec.id.as_str() == id);
            if holds {
                continue;
            }
            (proposed.by_association, proposed.waiting) = (false, None);
            // An id that was one when it was stored still is.
            let Ok(rule) = RuleId::new(id) else { continue };
            let unlinked = Proposal::Unlinked { supplier: supplier.clone(), rule };
            let key = Dest::Key(supplier.to_string());
            out.emit_caused(
                Topic::LockoutProposals,
                key,
                Payload::Proposal(unlinked),
                input.envelope.cause.clone(),
            );
        }
    }

    /// Tells the arbiter of rules whose condition of cure holds for what they had found: the supplier, or the listing or
    /// good in hand.
    fn cure(
        &mut self,
        set: &RuleSet,
        hits: &[usize],
        snapshot: &Snapshot<'_>,
        score: &ScoreRecord,
        input: &Input<'_>,
        out: &mut Out<EvaluationEffect>,
    ) {
        let Some(proposed) = self.proposed.get(&score.supplier) else { return };
        let mut cured = Vec::new();
        for (key, proposed) in proposed {
            let in_hand = match (&proposed.scope, &score.listing) {
                (None, _) => true,
                (Some(Scope::Listing { listing }), Some((of, _))) => listing == of,
                (Some(Scope::Sku { sku }), Some((_, of))) => sku == of,
                _ => false,
            };
            let id = rule_of(key);
            let number = set.rules().iter().position(|rule| rule.spec.id.as_str() == id);
            let Some(number) = number.filter(|number| in_hand && !hits.contains(number)) else { continue };
            if set.is_cured(&set.rules()[number], snapshot) {
                cured.push((key.clone(), number, proposed.scope.clone().unwrap_or(Scope::Supplier)));
            }
        }
        if cured.is_empty() {
            return;
        }
        let Some(proposed) = self.proposed.edit(&score.supplier) else { return };
        for (key, number, scope) in cured {
            proposed.remove(&key);
            let rule = set.rules()[number].spec.id.clone();
            let cured = Proposal::Cured { supplier: score.supplier.clone(), rule, scope };
            let to = Dest::Key(score.supplier.to_string());
            let cause = input.envelope.cause.clone();
            out.emit_caused(Topic::LockoutProposals, to, Payload::Proposal(cured), cause);
        }
    }

    /// Counts, for every rule that does not act on this supplier, whether it agrees with what acts.
    fn compare_shadows(
        &mut self,
        set: &RuleSet,
        hits: &[usize],
        snapshot: &Snapshot<'_>,
        supplier: &SupplierId,
        out: &mut Out<EvaluationEffect>,
    ) {
        if hits.is_empty() {
            return;
        }
        let rules = set.rules();
        let acts = |number: &usize| rules[*number].acts_on(snapshot.supplier);
        let is_hit = |id: &RuleId| hits.iter().any(|number| rules[*number].spec.id == *id && acts(number));
        let any_acts = hits.iter().any(acts);
        let day = snapshot.now_ms.div_euclid(DAY_MS);
        for number in hits.iter().filter(|number| !acts(number)) {
            let spec = &rules[*number].spec;
            let agreed = spec.replaces.as_ref().map_or(any_acts, is_hit);
            let first = self.first_today(supplier, spec.id.as_str(), day);
            self.count(spec.id.as_str(), day, out, |counts| {
                counts.hits += 1;
                counts.suppliers += u64::from(first);
                counts.agreed += u64::from(agreed);
                counts.only_shadow += u64::from(!agreed);
            });
        }
        if !any_acts {
            return;
        }
        for number in set.replacing().iter().filter(|number| !acts(number) && !hits.contains(number)) {
            let rule = &rules[*number];
            if rule.is_on(snapshot.now_ms) && rule.spec.replaces.as_ref().is_some_and(is_hit) {
                self.count(rule.spec.id.as_str(), day, out, |counts| counts.only_live += 1);
            }
        }
    }

    fn first_today(&mut self, supplier: &SupplierId, rule: &str, day: i64) -> bool {
        if self.shadowed.get(supplier).is_some_and(|days| days.get(rule) == Some(&day)) {
            return false;
        }
        let days = self.shadowed.edit_or(supplier, BTreeMap::new);
        days.retain(|_, seen| *seen >= day);
        days.insert(rule.to_owned(), day);
        true
    }

    fn count(
        &mut self,
        rule: &str,
        day: i64,
        out: &mut Out<EvaluationEffect>,
        change: impl FnOnce(&mut ShadowDay),
    ) {
        let key = format!("{rule}/{day}");
        if self.shadow.get(&key).is_none() {
            self.shadow.remove(&format!("{rule}/{}", day - SHADOW_DAYS_KEPT));
        }
        let counts = self.shadow.edit_or(&key, ShadowDay::default);
        change(counts);
        out.effect(EvaluationEffect::Shadow { rule: rule.to_owned(), day, counts: *counts });
    }

    /// Proposes what has waited for its second.
    fn settle(&mut self, now: Timestamp, out: &mut Out<EvaluationEffect>) {
        while let Some((due, supplier)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            self.due.remove(&(due, supplier.clone()));
            let set = &self.compiled;
            let acts = |proposal: &RuleProposal| {
                let same =
                    |rule: &&Rule| rule.spec.id == proposal.rule.id && rule.content == proposal.rule.content;
                set.rules().iter().find(same).is_some_and(|rule| rule.acts_on(proposal.supplier.as_str()))
            };
            let Some(rules) = self.proposed.edit(&supplier) else { continue };
            for proposed in
                rules.values_mut().filter(|proposed| proposed.last.plus_ms(PROPOSE_EVERY_MS) <= now)
            {
                // What a rule found that left the set since is proposed no more.
                if let Some((proposal, cause)) =
                    proposed.waiting.take().filter(|(proposal, _)| acts(proposal))
                {
                    proposed.last = now;
                    propose(proposal, cause, out);
                }
            }
        }
    }
}

/// Tells the arbiter which rules act no more as they were written, so that nothing of theirs begins that waits for its jitter.
/// Each partition says so after the last that it proposed by the former set, so no late proposal slips through between.
fn gone(before: &RuleSet, now: &RuleSet, out: &mut Out<EvaluationEffect>) {
    if before.jitter_ms <= 0 {
        return;
    }
    // Where nothing is to wait any more, all that waits is let go: what still holds is proposed again, and begins at once. So
    // nothing ever waits under a set without jitter, and its end need not be told.
    let stays = |rule: &Rule| {
        let same = |other: &Rule| other.spec.id == rule.spec.id && other.content == rule.content;
        now.jitter_ms > 0 && now.rules().iter().any(same)
    };
    let acts = |rule: &&Rule| matches!(rule.spec.mode, Mode::Live | Mode::Canary);
    for rule in before.rules().iter().filter(acts).filter(|rule| !stays(rule)) {
        let (id, version, content) = (rule.spec.id.clone(), before.version.clone(), rule.content.clone());
        let gone = Proposal::Gone { rule: RuleRef { id, version, content } };
        out.emit(Topic::LockoutProposals, Dest::Partition(0), Payload::Proposal(gone));
    }
}

fn propose(proposal: RuleProposal, cause: Option<Cause>, out: &mut Out<EvaluationEffect>) {
    let key = Dest::Key(proposal.supplier.to_string());
    out.emit_caused(
        Topic::LockoutProposals,
        key,
        Payload::Proposal(Proposal::Rule(Box::new(proposal))),
        cause,
    );
}

fn proposal(set: &RuleSet, rule: &Rule, snapshot: &Snapshot<'_>, score: &ScoreRecord) -> RuleProposal {
    let spec = &rule.spec;
    let scope = match (spec.scope, &score.listing) {
        (RuleScope::Listing, Some((listing, _))) => Scope::Listing { listing: listing.clone() },
        (RuleScope::Sku, Some((_, sku))) => Scope::Sku { sku: sku.clone() },
        _ => Scope::Supplier,
    };
    let holdout = spec.level.withholds() && rule.holds_out(snapshot.supplier);
    let explanation = set.explain(rule, snapshot);
    RuleProposal {
        supplier: score.supplier.clone(),
        scope,
        level: if holdout { Level::Dim } else { spec.level },
        rule: RuleRef { id: spec.id.clone(), version: set.version.clone(), content: rule.content.clone() },
        reasons: spec.reasons.clone(),
        values: set.values(rule, snapshot),
        tree: explanation.tree,
        duration_ms: rule.duration_ms,
        evidence: set.evidence(rule, snapshot),
        text: spec.text.clone(),
        counterfactuals: explanation.counterfactuals,
        vouched: set.vouched(rule, snapshot),
        by_association: set.by_association(rule, snapshot),
        holdout,
        budget: rule.budget,
        budget_of_all: set.budget,
        budget_of_caps: set.budget_of_caps,
        jitter_ms: set.jitter_ms,
        trust_up_to: set.trust_up_to,
    }
}

impl Fold for Evaluation {
    type Effect = EvaluationEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<EvaluationEffect>) {
        self.settle(input.time, out);
        match input.payload {
            Payload::Score(score) => self.judge(score, input, out),
            Payload::Control(record) => {
                if let Some(effect) = self.change(&record.change, out) {
                    out.effect(effect);
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        vec![
            &mut self.former,
            &mut self.proposed,
            &mut self.shadow,
            &mut self.shadowed,
            self.rules.table(),
            self.features.table(),
            self.models.table(),
        ]
    }

    fn restored(&mut self, effects: &mut Vec<EvaluationEffect>) {
        self.adopt_former();
        for (supplier, rules) in self.proposed.iter() {
            let waiting = rules.values().filter(|proposed| proposed.waiting.is_some());
            self.due.extend(waiting.map(|p| (p.last.plus_ms(PROPOSE_EVERY_MS), supplier.clone())));
        }
        let split = |(key, counts): (&String, &ShadowDay)| {
            let (rule, day) = key.rsplit_once('/')?;
            Some(EvaluationEffect::Shadow { rule: rule.to_owned(), day: day.parse().ok()?, counts: *counts })
        };
        effects.extend(self.shadow.iter().filter_map(split));
        if let Some(InForce { version, source }) = self.features.get().cloned() {
            effects.push(EvaluationEffect::FeaturesInForce { version, source });
        }
        if let Some(ModelsRow { version, models }) = self.models.get() {
            let (version, source) = (version.clone(), models.to_text());
            effects.push(EvaluationEffect::ModelsInForce { version, source });
        }
        if let Some(compiled) = self.compile(source_of(&self.features), source_of(&self.rules)) {
            self.compiled = compiled;
        }
        if let Some(InForce { version, source }) = self.rules.get().cloned() {
            effects.push(EvaluationEffect::RulesInForce { version, source });
        }
    }
}

#[cfg(test)]
mod tests;
