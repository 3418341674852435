use std::sync::Arc;

use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::Envelope;
use stockade_rules::{Feature, FeatureSchema};

use super::*;

fn schema() -> FeatureSchema {
    let (unit, meaning, window) = (String::new(), String::new(), None);
    FeatureSchema::new(vec![Feature { name: "x.count".to_owned(), unit, meaning, window }])
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
        let read = |_: &str, _: &[stockade_rules::Binding]| Ok(Arc::new(schema()));
        let vocabulary = Vocabulary::new(Arc::new(schema()), read, |_, _| Ok(()));
        let host = Host::new("control", Topic::Control, 0, 1, 1, Control::new(vocabulary));
        Self { host, offset: 0, effects: Vec::new() }
    }
    /// What is relayed, by version; the error is a code.
    fn ask(&mut self, actor: &str, change: Change) -> Result<Vec<String>, &'static str> {
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
        let refused = self.effects.iter().rev().find_map(|effect| match effect {
            ControlEffect::Judged { refused, .. } => Some(refused.as_ref().map(|(code, _)| *code)),
            _ => None,
        });
        if let Some(Some(code)) = refused {
            return Err(code);
        }
        let version = |output: stockade_log::NewRecord| match Payload::decode(payload.kind(), &output.value) {
            Ok(Payload::Control(ControlRecord { change: Change::Rules { version, .. }, .. })) => version,
            other => panic!("{other:?}"),
        };
        Ok(outputs.into_iter().map(version).collect())
    }
    fn publish(
        &mut self,
        actor: &str,
        source: &str,
        base: Option<&str>,
    ) -> Result<Vec<String>, &'static str> {
        let (version, source) = (RuleSet::version_of(source), source.to_owned());
        let base = base.map(RuleSet::version_of);
        self.ask(actor, Change::Rules { version, source, base, note: String::new() })
    }
    fn roll_back(&mut self, to: Option<&str>) -> Result<Vec<String>, &'static str> {
        let to = to.map(RuleSet::version_of);
        self.ask("ann", Change::RollBackRules { to, note: "too many".to_owned() })
    }
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
    let mut office = Office::new();
    office.publish("ann", &rules(1), None).unwrap();
    office.ask("ops", Change::FourEyes { on: true }).unwrap();
    assert_eq!(office.publish("ann", &rules(2), Some(&rules(1))), Ok(vec![]), "nothing is relayed yet");
    let approve = |bound| Change::ApproveRules { version: RuleSet::version_of(&rules(bound)) };
    assert_eq!(office.ask("ann", approve(2)), Err("own_change"));
    assert_eq!(office.ask("bob", approve(7)), Err("no_such_draft"));
    assert_eq!(office.ask("bob", approve(2)), Ok(v(&rules(2))));
    assert_eq!(office.ask("bob", approve(2)), Err("no_such_draft"));
    // Written against what is no longer in force.
    office.publish("ann", &rules(3), Some(&rules(2))).unwrap();
    office.roll_back(None).unwrap();
    assert_eq!(office.ask("bob", approve(3)), Err("rules_changed"));
    assert_eq!(office.ask("ann", Change::DropRules { version: RuleSet::version_of(&rules(3)) }), Ok(vec![]));
    let last = office.effects.iter().rev().find(|effect| matches!(effect, ControlEffect::Draft(_)));
    assert_eq!(last, Some(&ControlEffect::Draft(None)));
}
