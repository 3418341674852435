use std::sync::Arc;

use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{Envelope, ModelSwitch, Region, Registration, RuleId, SupplierId};
use stockade_rules::{Feature, FeatureSchema};

use super::*;

fn schema() -> FeatureSchema {
    FeatureSchema::new(vec![Feature { name: "x.count".to_owned(), ..Feature::default() }])
}

fn fold() -> Control {
    let read = |_: &str, _: &[stockade_rules::Binding]| Ok(Arc::new(schema()));
    Control::new(Vocabulary::new(Arc::new(schema()), read, |_, _| Ok(())))
}

fn rules(bound: u32) -> String {
    format!(
        "rules: [{{id: r, title: t, when: x.count >= {bound}, level: watch, for: 1h, reasons: [R], evidence: x.count}}]"
    )
}

struct Office {
    host: Host<Control>,
    offset: u64,
    effects: Vec<ControlEffect>,
}

impl Office {
    fn new() -> Self {
        Self { host: Host::new("control", Topic::Control, 0, 1, 1, fold()), offset: 0, effects: Vec::new() }
    }
    /// With a first set in force, and four eyes on.
    fn with_four_eyes() -> Self {
        let mut office = Self::new();
        office.publish("ann", &rules(1), None).unwrap();
        office.ask("ops", Change::FourEyes { on: true, reason: "audit".to_owned() }).unwrap();
        office
    }
    /// What is relayed; the error is a code.
    fn ask(&mut self, actor: &str, change: Change) -> Result<Vec<Payload>, &'static str> {
        let payload = Payload::Control(ControlRecord { actor: actor.to_owned(), change });
        let envelope = Envelope::new(payload.kind(), format!("c-{}", self.offset), "test");
        let record = Record {
            offset: self.offset,
            time_ms: self.offset as i64,
            key: Default::default(),
            headers: envelope.headers().into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        let outputs = self.host.apply(&record, &mut self.effects);
        let Some(ControlEffect::Judged { id, verdict }) = self.effects.last() else {
            panic!("the verdict comes last: {:?}", self.effects)
        };
        assert_eq!(*id, envelope.id);
        let read = |output: stockade_log::NewRecord| {
            let kind = output.headers.iter().find(|(name, _)| *name == "ce_type").unwrap();
            Payload::decode(&kind.1, &output.value).unwrap()
        };
        match verdict {
            Ok(_) => Ok(outputs.into_iter().map(read).collect()),
            Err(refused) => Err(refused.why.code()),
        }
    }
    /// The versions that come into force by it.
    fn versions(&mut self, actor: &str, change: Change) -> Result<Vec<String>, &'static str> {
        let version = |payload| match payload {
            Payload::Control(ControlRecord { change: Change::Rules { version, .. }, .. }) => version,
            other => panic!("{other:?}"),
        };
        self.ask(actor, change).map(|relayed| relayed.into_iter().map(version).collect())
    }
    fn publish(
        &mut self,
        actor: &str,
        source: &str,
        base: Option<&str>,
    ) -> Result<Vec<String>, &'static str> {
        self.versions(actor, publication(source, base))
    }
    fn roll_back(&mut self, to: Option<&str>) -> Result<Vec<String>, &'static str> {
        self.versions("ann", roll_back(to))
    }
    fn approve(&mut self, actor: &str, draft: &str) -> Result<Vec<Payload>, &'static str> {
        self.ask(actor, Change::Approve { draft: draft.to_owned() })
    }
    /// What the fold holds, restored into a fresh one from its rows.
    fn moved(&mut self) {
        let rows = self.host.changed_rows(0);
        let mut control = fold();
        for (key, value) in rows {
            let (Some(table), Some(value)) = (key.first(), value) else { continue };
            for held in control.tables() {
                if held.name() == *table {
                    held.load(&key[1..], &value).unwrap();
                }
            }
        }
        control.restored(&mut self.effects);
        self.host.fold = control;
    }
    fn rolled_back_alone(&self) -> bool {
        let told = self.effects.iter().rev().find_map(|effect| match effect {
            ControlEffect::Stack(stack) => Some(stack.stepped_back.is_some()),
            _ => None,
        });
        told.unwrap()
    }
}

fn publication(source: &str, base: Option<&str>) -> Change {
    let (version, source) = (RuleSet::version_of(source), source.to_owned());
    Change::Rules { version, source, base: base.map(RuleSet::version_of), note: String::new() }
}

fn roll_back(to: Option<&str>) -> Change {
    Change::RollBackRules { to: to.map(RuleSet::version_of), note: "too many".to_owned() }
}

fn features(version: &str, base: Option<&str>) -> Change {
    let base = base.map(str::to_owned);
    Change::Features { version: version.to_owned(), source: format!("# {version}"), base }
}

fn v(source: &str) -> Vec<String> {
    vec![RuleSet::version_of(source)]
}

#[test]
fn a_change_against_another_base_is_turned_down_wherever_it_was_written() {
    let mut office = Office::new();
    assert_eq!(office.publish("ann", &rules(1), None), Ok(v(&rules(1))));
    assert_eq!(office.publish("ann", &rules(2), Some(&rules(1))), Ok(v(&rules(2))));
    assert_eq!(office.publish("bob", &rules(3), Some(&rules(1))), Err("rules_changed"));
    assert_eq!(office.publish("bob", "rules: [oops]", Some(&rules(2))), Err("invalid_rules"));
    let lying = Change::Rules { version: "0".repeat(16), source: rules(4), base: None, note: String::new() };
    assert_eq!(office.ask("bob", lying), Err("bad_version"));
    // Two analysts with one tag, of the initial features and of later ones.
    assert!(office.ask("ann", features("one", Some(""))).is_ok());
    assert_eq!(office.ask("bob", features("two", Some(""))), Err("features_changed"));
    assert!(office.ask("bob", features("two", Some("one"))).is_ok());
    assert_eq!(office.ask("ann", features("three", Some("one"))), Err("features_changed"));
}

#[test]
fn rolling_back_goes_through_what_was_in_force() {
    let mut office = Office::new();
    assert_eq!(office.roll_back(None), Err("no_such_version"));
    for bound in 1..4 {
        office.publish("ann", &rules(bound), None).unwrap();
    }
    assert_eq!(office.roll_back(None), Ok(v(&rules(2))));
    assert_eq!(office.roll_back(None), Ok(v(&rules(1))));
    assert_eq!(office.roll_back(Some(&rules(3))), Ok(v(&rules(3))), "any that ever was");
    assert_eq!(office.roll_back(Some(&rules(9))), Err("no_such_version"));
    assert_eq!(office.roll_back(None), Ok(v(&rules(1))));
}

#[test]
fn with_four_eyes_a_set_waits_for_somebody_else() {
    let mut office = Office::with_four_eyes();
    assert_eq!(office.publish("ann", &rules(2), Some(&rules(1))), Ok(vec![]), "nothing is relayed yet");
    let approve = |bound| Change::ApproveRules { version: RuleSet::version_of(&rules(bound)) };
    assert_eq!(office.ask("ann", approve(2)), Err("own_change"));
    assert_eq!(office.ask("bob", approve(7)), Err("no_such_draft"));
    office.moved();
    assert_eq!(office.versions("bob", approve(2)), Ok(v(&rules(2))), "also after a restart");
    assert_eq!(office.ask("bob", approve(2)), Err("no_such_draft"));
    // Written against what is no longer in force.
    office.publish("ann", &rules(3), Some(&rules(2))).unwrap();
    office.roll_back(None).unwrap();
    assert_eq!(office.ask("bob", approve(3)), Err("rules_changed"));
    assert_eq!(office.ask("ann", Change::DropRules { version: RuleSet::version_of(&rules(3)) }), Ok(vec![]));
    let last = office.effects.iter().rev().find(|effect| matches!(effect, ControlEffect::Draft { .. }));
    assert_eq!(last, Some(&ControlEffect::Draft { subject: Subject::Rules, draft: None }));
}

#[test]
fn with_four_eyes_one_person_takes_one_step_back_and_no_further() {
    let mut office = Office::with_four_eyes();
    for bound in 2..5 {
        let version = RuleSet::version_of(&rules(bound));
        office.publish("ann", &rules(bound), None).unwrap();
        office.approve("bob", &version).unwrap();
    }
    assert!(!office.rolled_back_alone());
    assert_eq!(office.roll_back(Some(&rules(1))), Ok(vec![]), "further back than one step waits");
    office.ask("ann", Change::Drop { draft: RuleSet::version_of(&rules(1)) }).unwrap();
    assert_eq!(office.roll_back(None), Ok(v(&rules(3))), "to the set just before");
    assert!(office.rolled_back_alone(), "and loudly");
    office.moved();
    assert!(office.rolled_back_alone(), "also after a restart");
    assert_eq!(office.roll_back(None), Ok(vec![]), "step by step is further back as well");
    let draft = RuleSet::version_of(&rules(2));
    assert_eq!(office.approve("ann", &draft), Err("own_change"));
    assert!(office.approve("bob", &draft).is_ok());
    assert!(!office.rolled_back_alone(), "two people did that");
    assert_eq!(office.roll_back(None), Ok(v(&rules(1))), "which one of them may take back");
}

#[test]
fn a_second_draft_never_replaces_a_colleagues() {
    let mut office = Office::with_four_eyes();
    office.publish("ann", &rules(2), None).unwrap();
    assert_eq!(office.publish("bob", &rules(3), None), Err("draft_waits"));
    assert_eq!(
        office.versions("bob", roll_back(Some(&rules(1)))),
        Err("draft_waits"),
        "it is about the same"
    );
    let Some(ControlEffect::Judged { verdict: Err(refused), .. }) = office.effects.last() else { panic!() };
    assert!(refused.detail.contains("of ann"), "it says whose: {}", refused.detail);
    assert_eq!(office.ask("bob", features("one", None)), Ok(vec![]), "another subject has its own");
    assert_eq!(office.publish("ann", &rules(4), None), Ok(vec![]), "her own she replaces");
    assert_eq!(office.approve("bob", &RuleSet::version_of(&rules(2))), Err("no_such_draft"));
    // Taken away by its name, there is room.
    office.ask("bob", Change::Drop { draft: RuleSet::version_of(&rules(4)) }).unwrap();
    assert_eq!(office.publish("bob", &rules(3), None), Ok(vec![]));
    assert!(office.approve("ann", &RuleSet::version_of(&rules(3))).is_ok());
}

/// One of each kind of change there is. Whoever adds a kind has to say here whether one person may do it.
fn one_of_each() -> Vec<(Change, bool)> {
    let registration = Registration {
        supplier: SupplierId::new("acme").unwrap(),
        name: "Acme".to_owned(),
        region: Region::new("DE").unwrap(),
        since: None,
        class: None,
        stock_counts: None,
    };
    let profile = registration.clone().onto(None, Timestamp::from_ms(0));
    let (version, why) = (RuleSet::version_of(&rules(1)), String::new);
    let model = Change::Model { id: "m".to_owned(), source: "{}".to_owned() };
    let promote = Change::ModelSwitch { id: "p".to_owned(), to: ModelSwitch::Promote };
    let all = vec![
        Change::Supplier { profile },
        Change::Register { registration, known: None },
        publication(&rules(8), None),
        roll_back(Some(&rules(1))),
        features("f", None),
        model,
        promote,
        Change::FourEyes { on: false, reason: why() },
        Change::Rearm { rule: RuleId::new("r").unwrap(), reason: why() },
        Change::KillSwitch { on: true, reason: why() },
        Change::Approve { draft: version.clone() },
        Change::Drop { draft: version.clone() },
        Change::ApproveRules { version: version.clone() },
        Change::DropRules { version },
    ];
    let alone = |change: &Change| match change {
        Change::Supplier { .. } | Change::Register { .. } | Change::KillSwitch { .. } => true,
        Change::Rules { .. }
        | Change::RollBackRules { .. }
        | Change::Features { .. }
        | Change::Model { .. }
        | Change::ModelSwitch { .. }
        | Change::FourEyes { .. }
        | Change::Rearm { .. } => false,
        // They are about drafts, which there are none of.
        Change::Approve { .. }
        | Change::Drop { .. }
        | Change::ApproveRules { .. }
        | Change::DropRules { .. } => false,
    };
    all.into_iter().map(|change| (change.clone(), alone(&change))).collect()
}

#[test]
fn with_four_eyes_one_person_changes_no_verdict_by_any_kind_of_change() {
    for (change, alone) in one_of_each() {
        let mut office = Office::new();
        for bound in 1..4 {
            office.publish("ann", &rules(bound), None).unwrap();
        }
        let challenger = Change::Model { id: "c".to_owned(), source: "{}".to_owned() };
        office.ask("ann", challenger).unwrap();
        office.ask("ops", Change::FourEyes { on: true, reason: "audit".to_owned() }).unwrap();
        let relayed = office.ask("ann", change.clone());
        let supplier = matches!(change, Change::Supplier { .. } | Change::Register { .. });
        assert_eq!(relayed.as_ref().is_ok_and(|r| !r.is_empty()), supplier, "{change:?}: {relayed:?}");
        let four_eyes = office.effects.iter().rev().find_map(|effect| match effect {
            ControlEffect::FourEyes(on) => Some(*on),
            _ => None,
        });
        assert_eq!(four_eyes, Some(true), "{change:?}");
        let drafted = office.effects.iter().any(|effect| matches!(effect, ControlEffect::Draft { .. }));
        assert_eq!(drafted, !alone && relayed.is_ok(), "{change:?}: {relayed:?}");
        if drafted {
            let Some(ControlEffect::Judged { verdict: Ok(Passed::Drafted(id)), .. }) = office.effects.last()
            else {
                panic!("{change:?}: {:?}", office.effects.last())
            };
            let id = id.clone();
            assert_eq!(office.approve("ann", &id), Err("own_change"), "{change:?}");
            assert!(office.approve("bob", &id).is_ok(), "two people may: {change:?}");
        }
    }
}

#[test]
fn a_registration_keeps_what_is_held_whichever_replica_was_asked() {
    let profile_of = |relayed: Vec<Payload>| match relayed.into_iter().next() {
        Some(Payload::Control(ControlRecord { change: Change::Supplier { profile }, .. })) => profile,
        other => panic!("{other:?}"),
    };
    let said = |name: &str, since_ms: Option<i64>| Registration {
        supplier: SupplierId::new("acme").unwrap(),
        name: name.to_owned(),
        region: Region::new("DE").unwrap(),
        since: since_ms.map(Timestamp::from_ms),
        class: since_ms.map(|_| "large".to_owned()),
        stock_counts: None,
    };
    let mut office = Office::new();
    let first = Change::Register { registration: said("Acme", Some(-9_000)), known: None };
    profile_of(office.ask("ops", first).unwrap());
    office.moved();
    // A replica that is behind, and knows nothing or something old, decides nothing.
    let stale = said("Old", Some(-1)).onto(None, Timestamp::from_ms(0));
    for known in [None, Some(stale.clone())] {
        let renamed = Change::Register { registration: said("Acme AG", None), known };
        let profile = profile_of(office.ask("ops", renamed).unwrap());
        assert_eq!((profile.name.as_str(), profile.class.as_str()), ("Acme AG", "large"));
        assert_eq!(profile.since.ms(), -9_000);
    }
    // Of one registered before profiles were kept here, the replica knows.
    let mut office = Office::new();
    let renamed = Change::Register { registration: said("Acme AG", None), known: Some(stale) };
    let profile = profile_of(office.ask("ops", renamed).unwrap());
    assert_eq!((profile.since.ms(), profile.class.as_str()), (-1, "large"));
}

/// A row as it is stored.
fn bytes<V: serde::Serialize + serde::de::DeserializeOwned + Send + 'static>(value: V) -> Vec<u8> {
    let mut table = stockade_fold::Table::new(0);
    table.insert(String::new(), value);
    table.encode(&[]).unwrap()
}

/// A row as earlier builds kept all settings: strings under names.
#[derive(serde::Serialize, serde::Deserialize)]
struct FormerRow {
    version: String,
    source: String,
}

#[test]
fn settings_of_earlier_builds_are_moved_to_rows_with_types_of_their_own() {
    let version = RuleSet::version_of(&rules(2));
    let mut control = fold();
    let mut load = |table: u8, key: &str, value: Vec<u8>| {
        let mut tables = control.tables();
        let table = tables.iter_mut().find(|held| held.name() == table).unwrap();
        table.load(key.as_bytes(), &value).unwrap();
    };
    let mut former = |key: &str, version: &str, source: String| {
        load(1, key, bytes(FormerRow { version: version.to_owned(), source }));
    };
    former("rules", &version, rules(2));
    former("stack", "", format!("[\"0\", \"{version}\"]"));
    former("four_eyes", "", "on".to_owned());
    let held = RuleVersion {
        version: RuleSet::version_of(&rules(3)),
        source: rules(3),
        author: "ann".to_owned(),
        approver: None,
        note: String::new(),
        base: None,
        at: Timestamp::from_ms(1),
    };
    load(2, "draft", bytes(held.clone()));
    let mut office = Office::new();
    control.restored(&mut office.effects);
    office.host.fold = control;
    assert_eq!(office.publish("bob", &rules(4), None), Err("draft_waits"));
    office.moved();
    assert_eq!(office.publish("ann", &rules(4), Some(&rules(1))), Err("rules_changed"));
    assert_eq!(office.versions("bob", Change::Approve { draft: held.version }), Ok(v(&rules(3))));
    assert_eq!(office.host.fold.stack().versions.len(), 3);
}

#[test]
fn what_can_never_be_comes_into_force_by_no_way() {
    let mut office = Office::new();
    let never = rules(3).replace("x.count >= 3", "x.count >= 3 && x.count < 2");
    let over = rules(3).replace("evidence:", "expires: 1970-01-01T00:00:00Z, evidence:");
    for source in [never, over] {
        let change =
            Change::Rules { version: RuleSet::version_of(&source), source, base: None, note: String::new() };
        assert_eq!(office.ask("ann", change), Err("invalid_rules"));
    }
}
