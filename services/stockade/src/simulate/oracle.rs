//! What must hold when everything has come to rest. Nothing here shares code with the folds' own judgement, but for the
//! clean pass, which runs the same folds without any of the accidents.

use std::collections::BTreeMap;

use bytes::Bytes;
use stockade_fold::{Fold, Host, Spec};
use stockade_inventory::domain::Inventory;
use stockade_lockout::{Arbiter, Control, DecisionsCheck, Evaluation};
use stockade_log::{Headers, Log as _, Memory, ReadLimit, Record, Route, partition_of};
use stockade_model::{Action, Decision, Envelope, Level, Payload, Position, RowStatus, SupplierId, Topic};
use stockade_supplier_scoring::{
    FeatureSet, Intake, Links, Peers, Scoring, intake_spec, links_spec, peers_spec, scoring_spec,
};

use super::{
    node::PARTITIONS,
    world::{FIRST_UNITS, World},
};

pub(super) fn read(memory: &Memory, topic: &str, partition: u32) -> Result<Vec<Record>, String> {
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    memory.read(topic, partition, 0, all).map_err(|error| error.to_string())
}

pub(super) fn envelope(headers: &Headers) -> Result<Envelope, String> {
    Envelope::from_headers(headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
}

/// All decisions as they lie in the log, repeats included.
pub(super) fn decisions(memory: &Memory) -> Result<Vec<Decision>, String> {
    let mut decisions = Vec::new();
    for record in read(memory, Topic::LockoutDecisions.name(), 0)? {
        if let Ok(Payload::Decision(decision)) = Payload::decode("stockade.lockout.decision", &record.value) {
            decisions.push(decision);
        }
    }
    Ok(decisions)
}

/// The last decision of each supplier.
pub(super) fn fold_of_decisions(decisions: &[Decision]) -> Result<BTreeMap<SupplierId, Decision>, String> {
    let mut fold: BTreeMap<SupplierId, Decision> = BTreeMap::new();
    for decision in decisions {
        let known = fold.get(&decision.supplier);
        if known.is_none_or(|known| known.version.order() < decision.version.order()) {
            fold.insert(decision.supplier.clone(), decision.clone());
        }
    }
    Ok(fold)
}

/// Checks everything.
pub(super) fn check(world: &mut World) -> Result<(), String> {
    check_owners(world)?;
    let all = decisions(&world.ground.memory)?;
    check_decisions(world, &all)?;
    let fold = fold_of_decisions(&all)?;
    check_views(world, &fold)?;
    check_outcomes(world)?;
    super::reckoning::check(world)?;
    check_scores(world)?;
    check_dead_letters(world)?;
    let (judge, evaluator) = (world.ground.vocabulary.clone(), world.ground.vocabulary.clone());
    let features = FeatureSet::default_set();
    clean_pass(world, stockade_lockout::control_spec(PARTITIONS), |_| Control::new(judge.clone()))?;
    clean_pass(world, intake_spec(PARTITIONS), |_| Intake::default())?;
    clean_pass(world, stockade_inventory::inventory_spec(PARTITIONS), |_| Inventory::default())?;
    clean_pass(world, scoring_spec(PARTITIONS), |_| Scoring::new(&features))?;
    clean_pass(world, peers_spec(PARTITIONS), |_| Peers::default())?;
    clean_pass(world, links_spec(PARTITIONS), |_| Links::default())?;
    clean_pass(world, stockade_lockout::evaluation_spec(PARTITIONS), |_| Evaluation::new(evaluator.clone()))?;
    clean_pass(world, stockade_lockout::arbiter_spec(PARTITIONS), |_| Arbiter::default())?;
    clean_pass(world, stockade_lockout::decisions_spec(PARTITIONS), |_| DecisionsCheck::default())
}

/// Versions are unique, the chain holds, and each decision follows from the one before it and from what was asked.
fn check_decisions(world: &mut World, all: &[Decision]) -> Result<(), String> {
    let mut by_version: BTreeMap<(u32, u64, u32), &Decision> = BTreeMap::new();
    for decision in all {
        if let Some(other) = by_version.insert(decision.version.order(), decision)
            && other != decision
        {
            return Err(format!(
                "two decisions share the version {}: {other:?} and {decision:?}",
                decision.version
            ));
        }
    }
    let (mut link, mut in_force) = (String::new(), BTreeMap::<&SupplierId, Vec<_>>::new());
    for decision in by_version.into_values() {
        world.tally.decisions += 1;
        if decision.chain != decision.link(&link) {
            return Err(format!("the chain breaks at {}", decision.version));
        }
        link.clone_from(&decision.chain);
        let before = in_force.entry(&decision.supplier).or_default();
        let mut expected = before.clone();
        if let Some(restriction) = &decision.restriction {
            match decision.action {
                Action::Imposed | Action::Raised => {
                    expected.retain(|held: &stockade_model::Restriction| held.scope != restriction.scope);
                    expected.push(restriction.clone());
                }
                Action::Released | Action::Expired | Action::Allowed | Action::Unlinked | Action::Cured => {
                    expected.retain(|held| held.id != restriction.id);
                }
                Action::Extended | Action::Confirmed | Action::Reopened | Action::Lowered => {
                    let held = expected.iter_mut().filter(|held| held.id == restriction.id);
                    held.for_each(|held| *held = restriction.clone());
                }
                Action::AllowEnded
                | Action::Snoozed
                | Action::Appealed
                | Action::AppealRejected
                | Action::OverBudget
                | Action::Dismissed => {}
            }
            if decision.action == Action::Expired {
                world.tally.expiries += 1;
                if decision.at < restriction.expires_at {
                    return Err(format!("{} expired before its time", restriction.id));
                }
            }
            let asked = decision.actor.as_ref().and_then(|actor| world.promises.releases.get(actor));
            if let (Action::Released, Some(asked)) = (decision.action, asked) {
                world.tally.releases += 1;
                if *asked != restriction.id {
                    return Err(format!("{asked} was to be released, {} was", restriction.id));
                }
            }
        }
        // Evidence may grow without a decision; what is in force may not change without one.
        let ids = |set: &[stockade_model::Restriction]| {
            set.iter().map(|r| (r.id.clone(), r.level)).collect::<Vec<_>>()
        };
        if ids(&expected) != ids(&decision.in_force) {
            return Err(format!(
                "{}: {:?} does not follow from {:?}",
                decision.version,
                ids(&decision.in_force),
                ids(before)
            ));
        }
        before.clone_from(&decision.in_force);
    }
    Ok(())
}

/// Redis and the overlay of each process are the fold of the decisions, and nothing else.
fn check_views(world: &World, fold: &BTreeMap<SupplierId, Decision>) -> Result<(), String> {
    let stored = world.ground.store.entries();
    for (supplier, entry) in &stored {
        let decided = fold
            .get(supplier)
            .ok_or_else(|| format!("the store holds {supplier}, whom no decision names"))?;
        if entry.version.order() != decided.version.order() || entry.in_force != decided.in_force {
            return Err(format!(
                "the store has {supplier} at {}, decided is {}",
                entry.version, decided.version
            ));
        }
    }
    if stored.len() != fold.len() {
        return Err(format!("the store holds {} suppliers, {} were decided on", stored.len(), fold.len()));
    }
    for (index, node) in world.nodes.iter().flatten().enumerate() {
        for (supplier, decision) in fold {
            let of_supplier = decision.in_force.iter().filter(|r| r.scope == stockade_model::Scope::Supplier);
            let expected: Option<Level> = of_supplier.map(|restriction| restriction.level).max();
            let seen = node.app.overlay.supplier_level(node.app.overlay.number(supplier));
            if seen != expected {
                return Err(format!("process {index} has {supplier} at {seen:?}, decided is {expected:?}"));
            }
        }
    }
    Ok(())
}

/// Every accepted adjustment has one outcome, the same at each process, and was done once if it was done, however often it
/// was sent. What follows for the units is reckoned beside it.
fn check_outcomes(world: &World) -> Result<(), String> {
    let mut units: BTreeMap<&SupplierId, i64> = BTreeMap::new();
    for (key, (supplier, delta)) in &world.promises.adjustments {
        let outcomes: Vec<_> =
            world.nodes.iter().flatten().map(|node| node.app.outcome(supplier, key)).collect();
        let Some(Some(outcome)) = outcomes.first() else {
            return Err(format!("{key} was accepted and has no outcome"));
        };
        if outcomes.iter().any(|other| other.as_ref() != Some(outcome)) {
            return Err(format!("{key} was judged differently: {outcomes:?}"));
        }
        if outcome.iter().all(|row| row.status == RowStatus::Applied) {
            *units.entry(supplier).or_default() += delta;
        }
    }
    let counted = super::reckoning::counted(world)?;
    for (supplier, _) in &world.suppliers {
        let promised = FIRST_UNITS + units.get(supplier).copied().unwrap_or(0);
        if counted.get(supplier) != Some(&promised) {
            return Err(format!(
                "{supplier} was promised {promised} units, counted are {:?}",
                counted.get(supplier)
            ));
        }
    }
    Ok(())
}

/// Every acknowledged event is scored exactly once.
fn check_scores(world: &World) -> Result<(), String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut last: BTreeMap<(u32, u32), (u32, u64, u32)> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in read(&world.ground.memory, Topic::SupplierScores.name(), partition)? {
            let envelope = envelope(&record.headers)?;
            let Some(position) = envelope.position else { continue };
            let slot = (partition, position.partition);
            if last.get(&slot).is_none_or(|last| position.order() > *last) {
                last.insert(slot, position.order());
                *counts.entry(envelope.cause.map(|cause| cause.id).unwrap_or_default()).or_insert(0) += 1;
            }
        }
    }
    for id in &world.promises.events {
        let count = counts.get(id).copied().unwrap_or(0);
        if count != 1 {
            return Err(format!("event {id} was acknowledged and scored {count} times"));
        }
    }
    Ok(())
}

fn check_dead_letters(world: &World) -> Result<(), String> {
    match read(&world.ground.memory, Topic::DeadLetters.name(), 0)?.first() {
        None => Ok(()),
        Some(record) => Err(format!("a dead letter: {}", String::from_utf8_lossy(&record.value))),
    }
}

/// Every partition of every fold has exactly one owner, which has committed its whole input: none is stuck, however often
/// owners were put out of their groups.
fn check_owners(world: &World) -> Result<(), String> {
    let mut owners: BTreeMap<(&'static str, u32), usize> = BTreeMap::new();
    for actor in world.nodes.iter().flatten().flat_map(|node| &node.actors) {
        let Spec { name, input, .. } = actor.spec();
        for partition in 0..input.partitions(PARTITIONS) {
            owners.entry((name, partition)).or_default();
            let log = &world.ground.memory;
            let end = log.bounds(input.name(), partition).map_err(|error| error.to_string())?.end;
            let committed = log.flushed(name, partition).map_err(|error| error.to_string())?;
            if committed < end {
                return Err(format!("{name}/{partition} is stuck at {committed}, its input ends at {end}"));
            }
        }
        for partition in actor.owned() {
            *owners.entry((name, partition)).or_default() += 1;
        }
    }
    match owners.into_iter().find(|(_, count)| *count != 1) {
        None => Ok(()),
        Some(((fold, partition), count)) => Err(format!("{fold}/{partition} has {count} owners")),
    }
}

type Outputs = BTreeMap<(String, u32), Vec<(Position, Bytes)>>;

/// State and outputs of a fold equal those of one pass over its input without any accident.
fn clean_pass<F: Fold>(world: &World, spec: Spec, make: impl Fn(u32) -> F) -> Result<(), String> {
    let memory = &world.ground.memory;
    for partition in 0..spec.input.partitions(PARTITIONS) {
        let mut host = Host::new(spec.name, spec.input, partition, 1, PARTITIONS, make(partition));
        let mut outputs = Outputs::new();
        for record in read(memory, spec.input.name(), partition)? {
            for output in host.apply(&record, &mut Vec::new()) {
                let partition = match output.route {
                    Route::Partition(partition) => partition,
                    Route::Key => partition_of(&output.key, memory.partitions(output.topic).unwrap_or(1)),
                };
                let headers = output.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
                let position =
                    Envelope::from_headers(headers)?.position.ok_or("an output without a position")?;
                outputs
                    .entry((output.topic.to_owned(), partition))
                    .or_default()
                    .push((position, output.value));
            }
        }
        let mut rows = BTreeMap::new();
        let kept = memory.restore(spec.name, partition, &mut |key, value| {
            rows.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        });
        let kept = kept.map_err(|error| error.to_string())?;
        if kept.map_or(0, |committed| committed.next_offset) != host.next() {
            return Err(format!("{}/{partition} is not flushed to its end", spec.name));
        }
        let clean: BTreeMap<Bytes, Bytes> =
            host.changed_rows(0).into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        if let Some(key) = clean.keys().chain(rows.keys()).find(|key| clean.get(*key) != rows.get(*key)) {
            return Err(format!(
                "{}/{partition}: the row {:?} differs from a clean pass",
                spec.name,
                String::from_utf8_lossy(key)
            ));
        }
        let received = received(world, spec.name, partition)?;
        if received != outputs {
            let place =
                outputs.keys().chain(received.keys()).find(|key| outputs.get(*key) != received.get(*key));
            return Err(format!("{}/{partition}: outputs to {place:?} differ from a clean pass", spec.name));
        }
    }
    Ok(())
}

/// Outputs of one partition of a fold as receivers keep them: what is not after the last position is a repeat.
fn received(world: &World, fold: &str, partition: u32) -> Result<Outputs, String> {
    let mut kept = Outputs::new();
    for topic in Topic::ALL {
        for to in 0..topic.partitions(PARTITIONS) {
            for record in read(&world.ground.memory, topic.name(), to)? {
                let Some(position) = envelope(&record.headers)?.position else { continue };
                if position.fold != fold || position.partition != partition {
                    continue;
                }
                let list = kept.entry((topic.name().to_owned(), to)).or_default();
                if list.last().is_none_or(|(last, _)| position.order() > last.order()) {
                    list.push((position, record.value));
                }
            }
        }
    }
    Ok(kept)
}
