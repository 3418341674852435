//! What rules measure by may itself go wrong: a declaration of features, a model, what is usual among peers, a clock. Then a
//! rule that is right in itself finds everybody. No rule can see that, but the arbiter can: many suppliers come under one kind
//! of evidence within a short time.
//!
//! Past such a share that kind of evidence is *suspect*: what rules that read it ask for is only watched, and what they
//! imposed in that time is lowered to a watch as well. It ends when few are left that it found, or for one rule when a person
//! rearms it. What a person imposed or confirmed is never touched.

use std::collections::{BTreeMap, BTreeSet};

use stockade_fold::{Input, Out};
use stockade_model::{
    Action, Level, Restriction, RuleProposal, Scope, SupplierId, Timestamp,
    time::{DAY_MS, HOUR_MS},
};

use super::{
    Arbiter, ArbiterEffect, Guards, ReviewKind, Ruling, Standing, guards,
    restore::{Act, Doing},
};

/// How much of a kind is too much.
struct Bound {
    /// Whether only what withholds offers counts.
    withheld: bool,
    /// The share of all suppliers that have offered anything for a while.
    share: f64,
    /// Within which time.
    per_ms: i64,
}

/// An attack on a marketplace is not a sixth of it in an hour, a third of it in a week, nor two fifths of it in a month; a broken
/// yardstick is, be it one that finds its suppliers one by one as they sell. What is stored names one by its place: add at the end.
const BOUNDS: [Bound; 4] = [
    Bound { withheld: true, share: 0.15, per_ms: HOUR_MS },
    Bound { withheld: true, share: 0.3, per_ms: 7 * DAY_MS },
    Bound { withheld: false, share: 0.5, per_ms: HOUR_MS },
    Bound { withheld: true, share: 0.4, per_ms: 30 * DAY_MS },
];
/// So many suppliers are never too many, however few there are, unless the rule set says another number.
const ALWAYS: usize = 10;

/// How often it is looked whether few are left: that goes through all that were found, who may be many, and it is on a day when there
/// is much to decide.
const LOOK_MS: i64 = 1_000;

impl Suspect {
    /// When it is looked at again.
    pub(super) fn due(&self) -> Timestamp {
        self.looked.plus_ms(LOOK_MS)
    }
}

/// Why a kind of evidence is suspect.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Suspect {
    /// Which of the bounds was passed.
    bound: usize,
    /// In words.
    pub(super) detail: String,
    /// So many are never too many.
    always: usize,
    /// When it was last looked whether it is so still.
    #[serde(default)]
    looked: Timestamp,
}

/// The bound that was passed; should another build have had more of them, the last.
fn bound_of(suspect: &Suspect) -> &'static Bound {
    &BOUNDS[suspect.bound.min(BOUNDS.len() - 1)]
}

/// Who is restricted by one kind of evidence, without a person's word.
#[derive(Debug, Default)]
pub(super) struct Marks {
    withheld: BTreeSet<(Timestamp, SupplierId)>,
    restricted: BTreeSet<(Timestamp, SupplierId)>,
    /// Who is only watched for it.
    lowered: BTreeSet<SupplierId>,
}

impl Marks {
    /// How many were found within a bound's time, of those of whom its share is: accounts that were put up to be found are none.
    fn since(&self, bound: &Bound, now: Timestamp, guards: &Guards) -> usize {
        let measured = guards.measured(now);
        let of = if bound.withheld { &self.withheld } else { &self.restricted };
        let lately = of.iter().rev().take_while(|(at, _)| at.ms() > now.ms() - bound.per_ms);
        lately.filter(|(_, supplier)| guards.is_one_of(measured, supplier)).count()
    }
    /// How many are left of those, or are only watched for it.
    fn left(&self, bound: &Bound, now: Timestamp, guards: &Guards) -> usize {
        let measured = guards.measured(now);
        let lowered = self.lowered.iter().filter(|supplier| guards.is_one_of(measured, supplier)).count();
        self.since(bound, now, guards).max(lowered)
    }
}

/// Kinds of evidence in what a rule read: the measures, or the rule itself where it reads none.
fn kinds<'a>(values: &'a BTreeMap<String, f64>, rule: &'a str) -> BTreeSet<&'a str> {
    let kind = |name: &'a String| {
        let mut words = name.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let first = words.next().unwrap_or(name);
        // `wilson_lower(cancellations, "36h")` is about cancellations.
        let is_function = name[first.len()..].starts_with('(');
        if is_function { words.next().unwrap_or(first) } else { first }
    };
    let kinds: BTreeSet<&str> = values.keys().map(kind).collect();
    if kinds.is_empty() { BTreeSet::from([rule]) } else { kinds }
}

/// What a rule asked for, whether it got it or not.
fn asked(restriction: &Restriction) -> Level {
    restriction.asked.unwrap_or(restriction.level)
}

/// Whether a restriction is only a rule's word.
fn unjudged(restriction: &Restriction) -> bool {
    restriction.actor.is_none() && restriction.confirmed.is_none() && asked(restriction) > Level::Watch
}

fn kinds_of(restriction: &Restriction) -> BTreeSet<&str> {
    kinds(&restriction.values, restriction.rule.as_ref().map_or("", |rule| rule.id.as_str()))
}

/// Brings the marks of one supplier in, or takes them out.
pub(super) fn mark(
    marks: &mut BTreeMap<String, Marks>,
    supplier: &SupplierId,
    standing: &Standing,
    is_there: bool,
) {
    let of_all = |r: &&Restriction| r.scope == Scope::Supplier && unjudged(r);
    for restriction in standing.in_force.iter().filter(of_all) {
        let entry = (restriction.since, supplier.clone());
        for kind in kinds_of(restriction) {
            let marks = marks.entry(kind.to_owned()).or_default();
            let mut put = |set: fn(&mut Marks) -> &mut BTreeSet<(Timestamp, SupplierId)>| {
                if is_there {
                    set(marks).insert(entry.clone())
                } else {
                    set(marks).remove(&entry)
                };
            };
            put(|marks| &mut marks.restricted);
            if asked(restriction).withholds() {
                put(|marks| &mut marks.withheld);
            }
            if restriction.asked.is_some() {
                // One at most of each supplier covers the whole of it.
                if is_there {
                    marks.lowered.insert(supplier.clone());
                } else {
                    marks.lowered.remove(supplier);
                }
            }
        }
    }
}

impl Arbiter {
    /// How many are too many by a bound; none where nobody is known to offer anything.
    fn most(&self, bound: &Bound, always: usize, now: Timestamp) -> Option<usize> {
        let active = self.guards.measured(now).count;
        (active > 0).then(|| always.max((active as f64 * bound.share).ceil() as usize))
    }

    /// Whether what a rule measures by is suspect, or becomes so with this proposal. Then it may only watch.
    pub(super) fn is_suspect(
        &mut self,
        input: &Input<'_>,
        proposal: &RuleProposal,
        out: &mut Out<ArbiterEffect>,
    ) -> bool {
        let (now, rule) = (input.time, proposal.rule.id.as_str());
        if proposal.level == Level::Watch || self.guards.trusts(proposal, now) {
            return false;
        }
        let kinds = kinds(&proposal.values, rule);
        let known = kinds.iter().find_map(|kind| Some((*kind, self.guards.suspect(kind)?.detail.clone())));
        let (kind, detail) = match known {
            Some(known) => known,
            None => {
                let Some((kind, suspect)) = self.too_many(proposal, &kinds, now) else { return false };
                let detail = suspect.detail.clone();
                self.begin_suspecting(input, kind, suspect, out);
                (kind, detail)
            }
        };
        if let Some(held) = self.guards.hold_to_watch(proposal, kind, detail, now) {
            guards::tell(input, rule, held, out);
        }
        true
    }

    /// The kind of evidence of which this would be one too many, and why.
    fn too_many<'a>(
        &self,
        proposal: &RuleProposal,
        kinds: &BTreeSet<&'a str>,
        now: Timestamp,
    ) -> Option<(&'a str, Suspect)> {
        if proposal.scope != Scope::Supplier {
            return None;
        }
        let always = proposal.trust_up_to.map_or(ALWAYS, |most| most as usize);
        let standing = self.suppliers.get(&proposal.supplier);
        let stands = standing.is_some_and(|standing| {
            let whole = |r: &&Restriction| r.scope == Scope::Supplier;
            standing.in_force.iter().filter(whole).any(|r| r.level >= proposal.level)
        });
        if stands {
            return None;
        }
        for kind in kinds {
            for (number, bound) in BOUNDS.iter().enumerate() {
                if bound.withheld && !proposal.level.withholds() {
                    continue;
                }
                let most = self.most(bound, always, now)?;
                let found = self.marks.get(*kind).map_or(0, |marks| marks.since(bound, now, &self.guards));
                if found >= most {
                    let deed = if bound.withheld { "withheld" } else { "restricted" };
                    let hours = bound.per_ms / HOUR_MS;
                    let detail = format!(
                        "yardstick_suspect: rules that read `{kind}` {deed} {found} of {} suppliers within {hours} h, and this would \
                         be one more; what they find is only watched until few are left, or until the rule is rearmed",
                        self.guards.measured(now).count
                    );
                    return Some((kind, Suspect { bound: number, detail, always, looked: now }));
                }
            }
        }
        None
    }

    fn begin_suspecting(
        &mut self,
        input: &Input<'_>,
        kind: &str,
        suspect: Suspect,
        out: &mut Out<ArbiterEffect>,
    ) {
        let since = input.time.plus_ms(-bound_of(&suspect).per_ms);
        let doing = Doing::Lower { kind: kind.to_owned(), since, detail: suspect.detail.clone() };
        self.guards.begin_suspecting(kind, suspect);
        let id = format!("lower {kind}");
        self.acts.insert(id.clone(), Act { asked_at: input.time, doing, parts: 0 });
        self.go_on(input, &id, out);
    }

    /// What rules imposed by this kind of evidence since then and until it was doubted, whole suppliers and parts of them, in a
    /// fixed order. What begins later is watched from the start, or a person said meanwhile that it is right.
    pub(super) fn to_lower(
        &self,
        kind: &str,
        since: Timestamp,
        until: Timestamp,
    ) -> Vec<(SupplierId, String)> {
        let concerned = |r: &&Restriction| {
            unjudged(r)
                && r.level > Level::Watch
                && r.since > since
                && r.since <= until
                && kinds_of(r).contains(kind)
        };
        let of = |(supplier, standing): (&SupplierId, &Standing)| {
            let ids = standing.in_force.iter().filter(concerned).map(|r| (supplier.clone(), r.id.clone()));
            ids.collect::<Vec<_>>()
        };
        let mut found: Vec<_> = self.suppliers.iter().flat_map(of).collect();
        found.sort();
        found
    }

    /// Makes a watch of what stands.
    pub(super) fn lower(
        &mut self,
        input: &Input<'_>,
        supplier: &SupplierId,
        id: &str,
        detail: &str,
        out: &mut Out<ArbiterEffect>,
    ) {
        let lowered = self.change(supplier, |standing| {
            let restriction = standing.in_force.iter_mut().find(|r| r.id == id)?;
            restriction.asked = Some(restriction.level);
            restriction.level = Level::Watch;
            Some(restriction.clone())
        });
        let Some(lowered) = lowered else { return };
        if let Some(mut review) = self.reviews.get(&format!("v{id}")).cloned() {
            review.kind = ReviewKind::Watch;
            review.restriction = Some(lowered.clone());
            self.reviews.open(review);
        }
        let ruling =
            Ruling { action: Action::Lowered, restriction: Some(lowered), actor: None, note: Some(detail) };
        self.decide(input, supplier, ruling, out);
    }

    /// Kinds of evidence of which few are left that they found are suspect no more.
    pub(super) fn recover(&mut self, now: Timestamp, out: &mut Out<ArbiterEffect>) {
        for (kind, suspect) in self.guards.suspects() {
            if now < suspect.due() {
                continue;
            }
            self.guards.begin_suspecting(&kind, Suspect { looked: now, ..suspect.clone() });
            let bound = bound_of(&suspect);
            let none = Marks::default();
            let marks = self.marks.get(&kind).unwrap_or(&none);
            let left = marks.left(bound, now, &self.guards);
            if self.acts.get(&format!("lower {kind}")).is_some()
                || self.most(bound, suspect.always, now).is_some_and(|most| left > most / 2)
            {
                continue;
            }
            for rule in self.guards.end_suspecting(&kind) {
                out.effect(ArbiterEffect::Budget { rule, exceeded: None });
            }
        }
    }
}
