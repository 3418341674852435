//! Rule evaluation: feature vectors in, proposals out. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stockade_fold::{AnyTable, Dest, Fold, Input, Out, Table};
use stockade_model::{
    Cause, Change, Models, Payload, Proposal, RuleProposal, RuleRef, Scope, ScoreRecord, SupplierId,
    Timestamp, Topic, time::SECOND_MS,
};
use stockade_rules::{FeatureSchema, Hit, Mode, RuleScope, RuleSet, Vocabulary};

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
    /// A rule in shadow is true.
    ShadowHit {
        /// The rule.
        rule: String,
    },
    /// A vector follows another schema than this build's; no rule was evaluated on it.
    ForeignSchema,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct RulesRow {
    version: String,
    source: String,
}

/// What was proposed last for a rule and a supplier, and what waits for its second to pass.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Proposed {
    last: Timestamp,
    /// The newest hit since, with its cause: it is proposed late, never dropped.
    #[serde(default)]
    waiting: Option<(RuleProposal, Option<Cause>)>,
}

/// The fold.
pub struct Evaluation {
    /// The set, the declaration of features and the models in force, under the keys `rules`, `features`, `models`.
    rules: Table<String, RulesRow>,
    /// When each rule was last proposed for a supplier.
    proposed: Table<SupplierId, BTreeMap<String, Proposed>>,
    /// Derived from `rules`.
    compiled: RuleSet,
    /// Derived: whose waiting hits may be proposed when.
    due: BTreeSet<(Timestamp, SupplierId)>,
    vocabulary: Vocabulary,
    /// Derived: the features of the vectors it reads.
    schema: Arc<FeatureSchema>,
}

impl Evaluation {
    /// A fold without rules.
    pub fn new(vocabulary: Vocabulary) -> Self {
        let schema = vocabulary.initial.clone();
        let compiled = RuleSet::empty(schema.clone());
        let (rules, proposed) = (Table::new(1), Table::new(2));
        Self { rules, proposed, compiled, due: BTreeSet::new(), vocabulary, schema }
    }

    /// A change that the control fold let pass, and judged as this build does; what still does not compile here was
    /// accepted by another build, and what is in force stays.
    fn change(&mut self, change: &Change) -> Option<EvaluationEffect> {
        match change {
            Change::Supplier { .. } => None,
            Change::Rules { version, source } => {
                self.compiled = RuleSet::compile(source, self.schema.clone()).ok()?;
                let (version, source) = (version.clone(), source.clone());
                let row = RulesRow { version: version.clone(), source: source.clone() };
                self.rules.insert("rules".to_owned(), row);
                Some(EvaluationEffect::RulesInForce { version, source })
            }
            // Vectors carry the scores already; followed here so that the API knows what is in force everywhere.
            Change::Model { id, .. } | Change::ModelSwitch { id, .. } => {
                let held =
                    self.rules.get("models").map(|row| Models::from_text(&row.source)).unwrap_or_default();
                let (version, source) = (id.clone(), held.after(change).ok()?.to_text());
                let row = RulesRow { version: version.clone(), source: source.clone() };
                self.rules.insert("models".to_owned(), row);
                Some(EvaluationEffect::ModelsInForce { version, source })
            }
            Change::Features { version, source } => {
                let schema = (self.vocabulary.read)(source).ok()?;
                if let Some(rules) = self.rules.get("rules") {
                    self.compiled = RuleSet::compile(&rules.source, schema.clone()).ok()?;
                }
                self.schema = schema;
                let (version, source) = (version.clone(), source.clone());
                let row = RulesRow { version: version.clone(), source: source.clone() };
                self.rules.insert("features".to_owned(), row);
                Some(EvaluationEffect::FeaturesInForce { version, source })
            }
        }
    }

    fn judge(&mut self, score: &ScoreRecord, input: &Input<'_>, out: &mut Out<EvaluationEffect>) {
        if score.schema != self.schema.id() {
            out.effect(EvaluationEffect::ForeignSchema);
            return;
        }
        let now = input.time;
        for hit in self.compiled.evaluate(&score.slots) {
            let rule = hit.rule.spec.id.as_str();
            if hit.rule.spec.mode == Mode::Shadow {
                out.effect(EvaluationEffect::ShadowHit { rule: rule.to_owned() });
                continue;
            }
            let proposal = proposal(&self.compiled, &hit, score);
            let rules = self.proposed.edit_or(&score.supplier, BTreeMap::new);
            match rules.get_mut(rule) {
                Some(proposed) if now.ms() - proposed.last.ms() < PROPOSE_EVERY_MS => {
                    proposed.waiting = Some((proposal, input.envelope.cause.clone()));
                    self.due.insert((proposed.last.plus_ms(PROPOSE_EVERY_MS), score.supplier.clone()));
                }
                _ => {
                    rules.insert(rule.to_owned(), Proposed { last: now, waiting: None });
                    propose(proposal, input.envelope.cause.clone(), out);
                }
            }
        }
    }

    /// Proposes what has waited for its second.
    fn settle(&mut self, now: Timestamp, out: &mut Out<EvaluationEffect>) {
        while let Some((due, supplier)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            self.due.remove(&(due, supplier.clone()));
            let Some(rules) = self.proposed.edit(&supplier) else { continue };
            for proposed in
                rules.values_mut().filter(|proposed| proposed.last.plus_ms(PROPOSE_EVERY_MS) <= now)
            {
                if let Some((proposal, cause)) = proposed.waiting.take() {
                    proposed.last = now;
                    propose(proposal, cause, out);
                }
            }
        }
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

fn proposal(set: &RuleSet, hit: &Hit<'_>, score: &ScoreRecord) -> RuleProposal {
    let spec = &hit.rule.spec;
    let scope = match (spec.scope, &score.listing) {
        (RuleScope::Listing, Some((listing, _))) => Scope::Listing { listing: listing.clone() },
        (RuleScope::Sku, Some((_, sku))) => Scope::Sku { sku: sku.clone() },
        _ => Scope::Supplier,
    };
    RuleProposal {
        supplier: score.supplier.clone(),
        scope,
        level: spec.level,
        rule: RuleRef { id: spec.id.clone(), version: set.version.clone() },
        reasons: spec.reasons.clone(),
        values: set.values(hit.rule, &score.slots),
        tree: set.explain(hit.rule, &score.slots),
        duration_ms: hit.rule.duration_ms,
        evidence: hit.evidence,
    }
}

impl Fold for Evaluation {
    type Effect = EvaluationEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<EvaluationEffect>) {
        self.settle(input.time, out);
        match input.payload {
            Payload::Score(score) => self.judge(score, input, out),
            Payload::Control(record) => {
                if let Some(effect) = self.change(&record.change) {
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
        vec![&mut self.rules, &mut self.proposed]
    }

    fn restored(&mut self, effects: &mut Vec<EvaluationEffect>) {
        for (supplier, rules) in self.proposed.iter() {
            let waiting = rules.values().filter(|proposed| proposed.waiting.is_some());
            self.due.extend(waiting.map(|p| (p.last.plus_ms(PROPOSE_EVERY_MS), supplier.clone())));
        }
        if let Some(row) = self.rules.get("features")
            && let Ok(schema) = (self.vocabulary.read)(&row.source)
        {
            self.schema = schema;
            let RulesRow { version, source } = row.clone();
            effects.push(EvaluationEffect::FeaturesInForce { version, source });
        }
        if let Some(RulesRow { version, source }) = self.rules.get("models").cloned() {
            effects.push(EvaluationEffect::ModelsInForce { version, source });
        }
        let Some(row) = self.rules.get("rules") else { return };
        if let Ok(compiled) = RuleSet::compile(&row.source, self.schema.clone()) {
            self.compiled = compiled;
            let RulesRow { version, source } = row.clone();
            effects.push(EvaluationEffect::RulesInForce { version, source });
        }
    }
}

#[cfg(test)]
mod tests;
