use stockade_fold::Host;
use stockade_log::{Record, partition_of};
use stockade_model::{Envelope, RuleId, RuleRef};

use super::*;

/// An arbiter with a log of its own, and what it decided.
struct Court {
    host: Host<Arbiter>,
    offset: u64,
    decisions: Vec<Decision>,
    effects: Vec<ArbiterEffect>,
}

impl Court {
    fn new() -> Self {
        let host = Host::new("arbiter", Topic::LockoutProposals, 0, 1, 4, Arbiter::default());
        Self { host, offset: 0, decisions: Vec::new(), effects: Vec::new() }
    }
    fn hear(&mut self, at_ms: i64, payload: &Payload) -> Vec<Action> {
        self.hear_of(at_ms, at_ms, payload)
    }
    /// Hears at `at_ms` what goes back to an event at `cause_ms`.
    fn hear_of(&mut self, at_ms: i64, cause_ms: i64, payload: &Payload) -> Vec<Action> {
        let mut envelope = Envelope::new(payload.kind(), format!("p-{}", self.offset), "test");
        envelope.cause =
            Some(stockade_model::Cause { id: "e".to_owned(), time: Timestamp::from_ms(cause_ms) });
        let headers = envelope.headers();
        let record = Record {
            offset: self.offset,
            time_ms: at_ms,
            key: Default::default(),
            headers: headers.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            value: payload.encode().into(),
        };
        self.offset += 1;
        let mut actions = Vec::new();
        for output in self.host.apply(&record, &mut self.effects) {
            if output.topic == Topic::LockoutDecisions.name() {
                let Ok(Payload::Decision(decision)) =
                    Payload::decode("stockade.lockout.decision", &output.value)
                else {
                    panic!("the arbiter writes decisions");
                };
                let header = output.headers.iter().find(|(n, _)| *n == "stockade_position").unwrap();
                assert_eq!(header.1, decision.version.to_string(), "version is the position of the output");
                actions.push(decision.action);
                self.decisions.push(decision);
            } else {
                assert_eq!(output.topic, Topic::SupplierEvents.name());
                assert_eq!(partition_of(&output.key, 4), partition_of(b"acme", 4));
            }
        }
        actions
    }
    fn rule(&mut self, at_ms: i64, rule: &str, level: Level, scope: Scope, evidence: f64) -> Vec<Action> {
        let proposal = Self::proposal(rule, level, scope, evidence);
        self.hear(at_ms, &proposal)
    }
    fn proposal(rule: &str, level: Level, scope: Scope, evidence: f64) -> Payload {
        let proposal = Proposal::Rule(Box::new(RuleProposal {
            supplier: acme(),
            scope,
            level,
            rule: RuleRef { id: RuleId::new(rule).unwrap(), version: "v".to_owned() },
            reasons: vec!["DEFECT_RATE".to_owned()],
            values: Default::default(),
            tree: Vec::new(),
            duration_ms: 1_000,
            evidence,
        }));
        Payload::Proposal(proposal)
    }
    fn release(&mut self, at_ms: i64) -> Vec<Action> {
        let proposal = Proposal::Release {
            supplier: acme(),
            restriction: None,
            actor: "ann".to_owned(),
            reason: "checked".to_owned(),
        };
        self.hear(at_ms, &Payload::Proposal(proposal))
    }
    fn override_(&mut self, at_ms: i64, deny: Option<Level>, until_ms: i64) -> Vec<Action> {
        let proposal = Proposal::Override {
            supplier: acme(),
            deny,
            scope: Scope::Supplier,
            actor: "ann".to_owned(),
            reason: "known".to_owned(),
            expires_at: Timestamp::from_ms(until_ms),
        };
        self.hear(at_ms, &Payload::Proposal(proposal))
    }
    fn tick(&mut self, at_ms: i64) -> Vec<Action> {
        self.hear(at_ms, &Payload::Tick(stockade_model::Tick { due: Timestamp::from_ms(at_ms) }))
    }
    fn levels(&self) -> Vec<Level> {
        self.decisions.last().unwrap().in_force.iter().map(|r| r.level).collect()
    }
}

fn acme() -> SupplierId {
    SupplierId::new("acme").unwrap()
}

use Action::{AllowEnded, Allowed, Expired, Extended, Imposed, Raised, Released};
use Level::{Dim, Lockout, Quarantine};

#[test]
fn a_harder_proposal_raises_an_equal_or_milder_one_changes_nothing() {
    let mut court = Court::new();
    assert_eq!(court.rule(10, "a", Quarantine, Scope::Supplier, 1.0), [Imposed]);
    assert_eq!(court.rule(20, "a", Quarantine, Scope::Supplier, 2.0), []);
    assert_eq!(court.rule(30, "b", Dim, Scope::Supplier, 2.0), []);
    assert_eq!(court.rule(40, "c", Lockout, Scope::Supplier, 1.0), [Raised]);
    assert_eq!(court.levels(), [Lockout]);
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    assert_eq!(court.rule(50, "d", Dim, listing, 1.0), [Imposed]);
    assert_eq!(court.levels(), [Lockout, Dim], "a decision carries the whole set");
}

#[test]
fn expiry_is_decided_on_a_tick_at_or_after_its_time_and_the_deadline_says_when() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    assert_eq!(court.host.fold.deadline(), Some(Timestamp::from_ms(1_010)));
    assert_eq!(court.tick(1_009), []);
    assert_eq!(court.tick(1_010), [Expired]);
    assert!(court.levels().is_empty() && court.host.fold.deadline().is_none());
    assert_eq!(court.rule(1_020, "a", Quarantine, Scope::Supplier, 1.0), [Imposed], "expiry mutes nothing");
}

#[test]
fn a_release_restores_at_once_and_mutes_its_rule_until_the_evidence_grows() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 5.0);
    assert_eq!(court.release(20), [Released]);
    assert!(court.levels().is_empty());
    assert_eq!(court.rule(30, "a", Quarantine, Scope::Supplier, 5.0), [], "the same evidence");
    assert_eq!(court.rule(40, "b", Quarantine, Scope::Supplier, 5.0), [Imposed], "another rule is not muted");
    court.release(50);
    assert_eq!(court.rule(60, "a", Quarantine, Scope::Supplier, 6.0), [Imposed], "the evidence has grown");
    court.release(70);
    assert_eq!(
        court.rule(70 + MUTE_MS, "a", Quarantine, Scope::Supplier, 6.0),
        [Imposed],
        "seven days have passed"
    );
    assert_eq!(court.release(80), [Released]);
    assert_eq!(court.release(90), []);
    let refused = ArbiterEffect::Disposed { id: "p-9".to_owned(), refused: Some("nothing_in_force") };
    assert!(court.effects.contains(&refused), "{:?}", court.effects);
}

#[test]
fn a_release_is_measured_against_all_that_was_known_and_never_undone_by_the_past() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 5.0);
    assert_eq!(
        court.rule(20, "a", Quarantine, Scope::Supplier, 9.0),
        [],
        "it stands already, but this is known now"
    );
    assert_eq!(court.release(30), [Released]);
    assert_eq!(court.rule(40, "a", Quarantine, Scope::Supplier, 9.0), []);
    let on_its_way = Court::proposal("a", Quarantine, Scope::Supplier, 12.0);
    assert_eq!(court.hear_of(50, 25, &on_its_way), [], "it goes back to before the release");
    assert_eq!(court.rule(60, "a", Quarantine, Scope::Supplier, 12.0), []);
    assert_eq!(court.rule(70, "a", Quarantine, Scope::Supplier, 13.0), [Imposed]);
}

#[test]
fn an_allow_override_lifts_what_rules_imposed_and_holds_them_off_until_it_ends() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    assert_eq!(court.override_(20, None, 500), [Allowed]);
    assert!(court.levels().is_empty());
    assert_eq!(court.rule(30, "a", Lockout, Scope::Supplier, 9.0), []);
    assert_eq!(court.tick(500), [AllowEnded]);
    assert_eq!(court.rule(510, "a", Lockout, Scope::Supplier, 9.0), [Imposed]);
}

#[test]
fn what_a_person_imposed_outlives_an_allow_override_and_rules_cannot_weaken_it() {
    let mut court = Court::new();
    assert_eq!(court.override_(10, Some(Quarantine), 5_000), [Imposed]);
    assert_eq!(court.override_(20, None, 600), [Allowed]);
    assert_eq!(court.levels(), [Quarantine]);
    assert_eq!(court.tick(600), [AllowEnded]);
    assert_eq!(court.rule(700, "a", Dim, Scope::Supplier, 1.0), []);
    assert_eq!(court.override_(710, Some(Quarantine), 9_000), [Raised], "a person may extend it");
    assert_eq!(court.override_(720, Some(Quarantine), 1), [], "what has expired already is refused");
    assert_eq!(court.tick(5_000), [], "the extension replaced the first");
    assert_eq!(court.tick(9_000), [Expired]);
}

#[test]
fn two_that_end_together_are_two_decisions_with_two_versions_and_every_link_of_the_chain_fits() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let sku = Scope::Sku { sku: stockade_model::Sku::new("s").unwrap() };
    court.rule(10, "b", Quarantine, sku, 1.0);
    assert_eq!(court.tick(1_010), [Expired, Expired]);
    let versions: BTreeSet<_> = court.decisions.iter().map(|d| d.version.order()).collect();
    assert_eq!(versions.len(), court.decisions.len());
    let mut link = String::new();
    for decision in &court.decisions {
        assert_eq!(decision.chain, decision.link(&link));
        link.clone_from(&decision.chain);
    }
}

#[test]
fn a_restriction_runs_out_its_whole_time_after_its_rule_last_held() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    assert_eq!(court.rule(600, "a", Quarantine, Scope::Supplier, 2.0), [], "it stands already");
    assert_eq!(court.rule(700, "b", Quarantine, Scope::Supplier, 2.0), [], "another rule moves nothing");
    assert_eq!(court.tick(1_010), [Extended]);
    assert_eq!(court.levels(), [Quarantine]);
    assert_eq!(court.tick(1_600), [Expired]);
    assert!(court.levels().is_empty());
    court.rule(2_000, "a", Quarantine, Scope::Supplier, 5.0);
    court.rule(2_100, "a", Lockout, Scope::Supplier, 5.0);
    assert_eq!(court.tick(3_050), [], "what was replaced took its renewals with it");
    assert_eq!(court.tick(3_100), [Expired]);
}
