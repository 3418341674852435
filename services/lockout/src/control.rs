//! The control fold: judges changes once and relays the accepted ones in band.
//!
//! Rule sets are immutable versions named by the hash of their source. Publishing pushes one onto a stack, rolling back
//! takes the top off; every version that was ever in force is kept. With four eyes what changes verdicts waits as a draft
//! until somebody else than its author has approved it: see [`drafts`].
//!
//! A change is planned before it is made: the plan says what it would do or why it cannot be, and changes nothing. So a
//! draft is judged when it is written and again when it is approved, by the same words.

mod drafts;
mod refusal;
mod settings;

use std::sync::Arc;

use stockade_fold::{AnyTable, Dest, Fold, Input, Out};
use stockade_model::{Change, ControlRecord, Models, Payload, Proposal, SupplierProfile, Timestamp, Topic};
use stockade_rules::{RuleError, RuleSet, Vocabulary};

use drafts::needs_second;
pub use drafts::{Draft, Subject};
pub use refusal::{Refusal, Refused};
use settings::{InForce, Settings};
pub use settings::{RuleVersion, Stack, StepBack};

/// What became of a change that was not turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It is done; nothing travels on that anybody would wait for.
    Done,
    /// It waits for a second person under this id.
    Drafted(String),
    /// It is on its way into every partition.
    Relayed(Relayed),
}

/// What is on its way, and how to know that it has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// A rule set, by version.
    Rules(String),
    /// A declaration of features, by version.
    Features(String),
    /// A change of models, by its id.
    Models(String),
    /// A proposal to the arbiter, which answers under the id of the same record.
    Proposal,
}

/// What the control fold tells its process. Of one record the verdict comes last, so that whoever waits for it finds
/// everything else told.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlEffect {
    /// A change was judged.
    Judged {
        /// Id of the control record.
        id: String,
        /// What became of it.
        verdict: Result<Passed, Refused>,
    },
    /// A rule set came into force for the first time.
    Version(Box<RuleVersion>),
    /// The versions that rolling back goes through.
    Stack(Stack),
    /// What waits for a second person about a subject; none when nothing waits any more.
    Draft {
        /// What it is about.
        subject: Subject,
        /// What waits.
        draft: Option<Box<Draft>>,
    },
    /// Whether a second person is asked for.
    FourEyes(bool),
}

/// What a change would do.
enum Plan {
    /// For the record only.
    Nothing,
    Supplier(SupplierProfile),
    /// Put a version in force that may be new.
    Publish(RuleVersion),
    /// Put a version in force that was so before.
    RollBack {
        version: RuleVersion,
        alone: StepBack,
    },
    Features {
        version: String,
        source: String,
    },
    Models {
        id: String,
        next: Models,
    },
    FourEyes(bool),
    Rearm(Proposal),
}

/// The people behind a change.
struct People<'a> {
    author: &'a str,
    approver: Option<&'a str>,
}

/// The fold.
pub struct Control {
    held: Settings,
    vocabulary: Vocabulary,
}

impl Control {
    /// An empty fold that judges by `vocabulary`.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { held: Settings::new(), vocabulary }
    }

    fn features(&self) -> &str {
        self.held.features.get().map_or("", |row| row.source.as_str())
    }
    fn rules(&self) -> InForce {
        self.held.rules.get().cloned().unwrap_or_default()
    }
    fn models(&self) -> Models {
        self.held.models.get().cloned().unwrap_or_default()
    }
    fn stack(&self) -> Stack {
        self.held.stack.get().cloned().unwrap_or_default()
    }
    fn four_eyes(&self) -> bool {
        self.held.four_eyes.get().copied().unwrap_or(false)
    }

    /// Judges a change. A set that does not compile never replaces one that works.
    fn judge(
        &mut self,
        (id, record): (&str, &ControlRecord),
        now: Timestamp,
        out: &mut Out<ControlEffect>,
    ) -> Result<Passed, Refused> {
        let actor = record.actor.as_str();
        match &record.change {
            Change::Approve { draft } | Change::ApproveRules { version: draft } => {
                self.approve((draft, actor), now, out)
            }
            Change::Drop { draft } | Change::DropRules { version: draft } => {
                let subject = self.draft(draft)?.subject;
                self.undraft(&subject, out);
                Ok(Passed::Done)
            }
            change => {
                let plan = self.plan(change, (actor, None), now)?;
                if self.four_eyes() && needs_second(change, &self.stack()) {
                    return self.wait((id, change, &plan), actor, now, out);
                }
                Ok(self.make(plan, change, &People { author: actor, approver: None }, out))
            }
        }
    }

    fn draft(&self, id: &str) -> Result<Draft, Refused> {
        let missing = || Refused::new(Refusal::NoSuchDraft, format!("nothing waits for approval under {id}"));
        self.held.drafts.get(id).cloned().ok_or_else(missing)
    }

    fn undraft(&mut self, subject: &Subject, out: &mut Out<ControlEffect>) {
        self.held.drafts.take(subject);
        out.effect(ControlEffect::Draft { subject: subject.clone(), draft: None });
    }

    /// Lets a change wait for a second person.
    fn wait(
        &mut self,
        (id, change, plan): (&str, &Change, &Plan),
        actor: &str,
        now: Timestamp,
        out: &mut Out<ControlEffect>,
    ) -> Result<Passed, Refused> {
        let Some(subject) = Subject::of(change) else { return Ok(Passed::Done) };
        if let Some(other) = self.held.drafts.of(&subject).filter(|other| other.author != actor) {
            let Draft { id, author, at, .. } = other;
            let detail = format!(
                "the draft {id} of {author} ({at}) waits for approval; approve it, or take it away with DELETE \
                 /v1/drafts/{id} and send yours again"
            );
            return Err(Refused::new(Refusal::DraftWaits, detail));
        }
        let mut change = change.clone();
        let id = match plan {
            Plan::Publish(version) => version.version.clone(),
            Plan::RollBack { version, .. } => {
                // Whoever approves it approves this version, whatever becomes of the stack.
                if let Change::RollBackRules { to, .. } = &mut change {
                    *to = Some(version.version.clone());
                }
                version.version.clone()
            }
            Plan::Features { version, .. } => version.clone(),
            _ => id.to_owned(),
        };
        let draft =
            Draft { id: id.clone(), subject: subject.clone(), change, author: actor.to_owned(), at: now };
        self.held.drafts.put(draft.clone());
        out.effect(ControlEffect::Draft { subject, draft: Some(Box::new(draft)) });
        Ok(Passed::Drafted(id))
    }

    fn approve(
        &mut self,
        (draft, actor): (&str, &str),
        now: Timestamp,
        out: &mut Out<ControlEffect>,
    ) -> Result<Passed, Refused> {
        let draft = self.draft(draft)?;
        if draft.author == actor {
            return Err(Refused::new(Refusal::OwnChange, "somebody else than its author has to approve it"));
        }
        // What is in force may be another than when it was written.
        let plan = self.plan(&draft.change, (&draft.author, Some(actor)), now)?;
        self.undraft(&draft.subject, out);
        Ok(self.make(plan, &draft.change, &People { author: &draft.author, approver: Some(actor) }, out))
    }

    /// What a change would do now, or why it cannot be; changes nothing.
    fn plan(
        &self,
        change: &Change,
        (author, approver): (&str, Option<&str>),
        now: Timestamp,
    ) -> Result<Plan, Refused> {
        Ok(match change {
            Change::Supplier { profile } => Plan::Supplier(profile.clone()),
            Change::Register { registration, known } => {
                let held = self.held.suppliers.get(&registration.supplier).or(known.as_ref());
                Plan::Supplier(registration.clone().onto(held, now))
            }
            Change::FourEyes { on, .. } => Plan::FourEyes(*on),
            Change::Rearm { rule, reason } => {
                let (actor, reason) = (author.to_owned(), reason.clone());
                Plan::Rearm(Proposal::Rearm { rule: rule.clone(), actor, reason })
            }
            Change::Rules { version, source, base, note } => {
                if *version != RuleSet::version_of(source) {
                    return Err(Refused::new(
                        Refusal::BadVersion,
                        "its version is not the hash of its source",
                    ));
                }
                unchanged(base.as_deref(), &self.rules().version, Refusal::RulesChanged)?;
                self.compile_new(source, now)?;
                Plan::Publish(RuleVersion {
                    version: version.clone(),
                    source: source.clone(),
                    author: author.to_owned(),
                    approver: approver.map(str::to_owned),
                    note: note.clone(),
                    base: base.clone(),
                    at: now,
                })
            }
            Change::RollBackRules { to, note } => {
                let none = || Refused::new(Refusal::NoSuchVersion, "there is no earlier set");
                let version = self.stack().target(to.as_deref()).ok_or_else(none)?;
                let never = || Refused::new(Refusal::NoSuchVersion, format!("{version} was never in force"));
                let held = self.held.versions.get(&version).cloned().ok_or_else(never)?;
                self.compile(&held.source)?;
                let alone = StepBack { actor: author.to_owned(), reason: note.clone(), at: now };
                Plan::RollBack { version: held, alone }
            }
            Change::Model { id, .. } | Change::ModelSwitch { id, .. } => {
                let next =
                    self.models().after(change).map_err(|why| Refused::new(Refusal::NoSuchModel, why))?;
                if let Change::Model { source, .. } = change {
                    let schema = self.vocabulary.in_force(self.features());
                    (self.vocabulary.check_model)(source, &schema)
                        .map_err(|why| Refused::new(Refusal::InvalidModel, why))?;
                }
                Plan::Models { id: id.clone(), next }
            }
            Change::Features { version, source, base } => {
                let held = self.held.features.get().map_or("", |row| row.version.as_str());
                unchanged(base.as_deref(), held, Refusal::FeaturesChanged)?;
                self.declare(source)?;
                Plan::Features { version: version.clone(), source: source.clone() }
            }
            Change::KillSwitch { .. }
            | Change::Approve { .. }
            | Change::Drop { .. }
            | Change::ApproveRules { .. }
            | Change::DropRules { .. } => Plan::Nothing,
        })
    }

    /// A set that is to come into force.
    fn compile_new(&self, source: &str, now: Timestamp) -> Result<(), Refused> {
        let refused = |errors: &[RuleError]| Refused::new(Refusal::InvalidRules, joined(errors));
        let set = self.vocabulary.compile(self.features(), source).map_err(|errors| refused(&errors))?;
        match set.unpublishable(source, now.ms()) {
            errors if errors.is_empty() => Ok(()),
            errors => Err(refused(&errors)),
        }
    }

    /// One that was in force before.
    fn compile(&self, source: &str) -> Result<(), Refused> {
        let refused = |errors: Vec<RuleError>| Refused::new(Refusal::InvalidRules, joined(&errors));
        self.vocabulary.compile(self.features(), source).map(drop).map_err(refused)
    }

    /// Whether the rules and models in force could live with a declaration.
    fn declare(&self, source: &str) -> Result<(), Refused> {
        let invalid = |why| Refused::new(Refusal::InvalidFeatures, why);
        let schema = (self.vocabulary.read)(source, &[]).map_err(invalid)?;
        for model in self.models().sources() {
            let needed =
                |why| Refused::new(Refusal::NeededByModels, format!("a model in force would not fit: {why}"));
            (self.vocabulary.check_model)(model, &schema).map_err(needed)?;
        }
        let rules = self.rules().source;
        if rules.is_empty() {
            return Ok(());
        }
        self.vocabulary.compile(source, &rules).map(drop).map_err(|errors| {
            let why = joined(&errors);
            let detail = format!("the rules in force need features it does not declare: {why}");
            Refused::new(Refusal::NeededByRules, detail)
        })
    }

    /// Makes a change as it was planned, and relays it.
    fn make(
        &mut self,
        plan: Plan,
        change: &Change,
        people: &People<'_>,
        out: &mut Out<ControlEffect>,
    ) -> Passed {
        // Whoever let it come into force answers for it.
        let actor = people.approver.unwrap_or(people.author).to_owned();
        let relay = |out: &mut Out<ControlEffect>, dest, change| {
            let record = ControlRecord { actor: actor.clone(), change };
            out.emit(Topic::SupplierEvents, dest, Payload::Control(record));
        };
        match plan {
            Plan::Nothing => Passed::Done,
            Plan::Supplier(profile) => {
                self.held.suppliers.insert(profile.supplier.clone(), profile.clone());
                relay(out, Dest::Key(profile.supplier.to_string()), Change::Supplier { profile });
                Passed::Done
            }
            Plan::Publish(version) => {
                let stack = self.stack().pushed(&version.version);
                if self.held.versions.get(&version.version).is_none() {
                    self.held.versions.insert(version.version.clone(), version.clone());
                    out.effect(ControlEffect::Version(Box::new(version.clone())));
                }
                let rules = self.use_rules(&version, stack, out);
                relay(out, Dest::All, rules);
                Passed::Relayed(Relayed::Rules(version.version))
            }
            Plan::RollBack { version, alone } => {
                let stepped_back = Some(alone).filter(|_| people.approver.is_none());
                let stack = Stack { stepped_back, ..self.stack().rolled_back(&version.version) };
                let rules = self.use_rules(&version, stack, out);
                relay(out, Dest::All, rules);
                Passed::Relayed(Relayed::Rules(version.version))
            }
            Plan::Features { version, source } => {
                self.held.features.set(InForce { version: version.clone(), source });
                relay(out, Dest::All, change.clone());
                Passed::Relayed(Relayed::Features(version))
            }
            Plan::Models { id, next } => {
                self.held.models.set(next);
                relay(out, Dest::All, change.clone());
                Passed::Relayed(Relayed::Models(id))
            }
            Plan::FourEyes(on) => {
                self.held.four_eyes.set(on);
                out.effect(ControlEffect::FourEyes(on));
                Passed::Done
            }
            Plan::Rearm(proposal) => {
                out.emit(Topic::LockoutProposals, Dest::Partition(0), Payload::Proposal(proposal));
                Passed::Relayed(Relayed::Proposal)
            }
        }
    }

    /// Puts a version in force here; what every partition is told.
    fn use_rules(&mut self, version: &RuleVersion, stack: Stack, out: &mut Out<ControlEffect>) -> Change {
        let (name, source) = (version.version.clone(), version.source.clone());
        self.held.rules.set(InForce { version: name.clone(), source: source.clone() });
        self.held.stack.set(stack.clone());
        out.effect(ControlEffect::Stack(stack));
        Change::Rules { version: name, source, base: None, note: version.note.clone() }
    }
}

fn joined(errors: &[RuleError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Whether a change was written against what is in force.
fn unchanged(base: Option<&str>, current: &str, refusal: Refusal) -> Result<(), Refused> {
    match base {
        Some(base) if base != current => {
            let current = if current.is_empty() { "the initial one" } else { current };
            let detail = format!("{current} is in force by now; read it, merge, and send its tag");
            Err(Refused::new(refusal, detail))
        }
        _ => Ok(()),
    }
}

impl Fold for Control {
    type Effect = ControlEffect;

    fn apply(&mut self, input: &Input<'_>, out: &mut Out<ControlEffect>) {
        let Payload::Control(record) = input.payload else { return };
        let id = input.envelope.id.clone();
        let verdict = self.judge((&id, record), input.time, out);
        out.effect(ControlEffect::Judged { id, verdict });
    }

    fn tables(&mut self) -> Vec<&mut dyn AnyTable> {
        self.held.tables()
    }

    fn restored(&mut self, effects: &mut Vec<ControlEffect>) {
        self.held.adopt_former();
        let versions = self.held.versions.iter().map(|(_, version)| version.clone());
        effects.extend(versions.map(|version| ControlEffect::Version(Box::new(version))));
        let drafts = self.held.drafts.all().cloned();
        effects.extend(drafts.map(|draft| ControlEffect::Draft {
            subject: draft.subject.clone(),
            draft: Some(Box::new(draft)),
        }));
        effects.push(ControlEffect::Stack(self.stack()));
        effects.push(ControlEffect::FourEyes(self.four_eyes()));
    }
}

/// The set of features that a declaration and the rules in force make, for whoever compiles rules outside the folds.
pub fn schema_in_force(
    vocabulary: &Vocabulary,
    features: &str,
    rules: &str,
) -> Arc<stockade_rules::FeatureSchema> {
    match vocabulary.compile(features, rules) {
        Ok(set) => set.schema().clone(),
        Err(_) => vocabulary.in_force(features),
    }
}

#[cfg(test)]
mod tests;
