mod dilution;
mod mistakes;
mod reopened;

use stockade_fold::Host;
use stockade_log::Record;
use stockade_model::{
    Audience, Budget, Envelope, Finding, Notice, Precondition, RuleId, RuleRef, StockFigures, WebhookRecord,
};

use super::{reviews::APPEAL_MS, *};

/// An arbiter with a log of its own, and what it decided.
struct Court {
    host: Host<Arbiter>,
    offset: u64,
    decisions: Vec<Decision>,
    effects: Vec<ArbiterEffect>,
    notices: Vec<Notice>,
}

impl Court {
    fn new() -> Self {
        let host = Host::new("arbiter", Topic::LockoutProposals, 0, 1, 4, Arbiter::default());
        Self { host, offset: 0, decisions: Vec::new(), effects: Vec::new(), notices: Vec::new() }
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
            } else if output.topic == Topic::Webhooks.name() {
                match Payload::decode("stockade.webhook", &output.value).unwrap() {
                    Payload::Webhook(WebhookRecord::Notice(notice)) => self.notices.push(notice),
                    other => panic!("{other:?}"),
                }
            } else {
                assert_eq!(output.topic, Topic::SupplierEvents.name());
            }
        }
        actions
    }
    fn rule(&mut self, at_ms: i64, rule: &str, level: Level, scope: Scope, evidence: f64) -> Vec<Action> {
        let proposal = Self::proposal(rule, level, scope, evidence);
        self.hear(at_ms, &proposal)
    }
    fn proposal(rule: &str, level: Level, scope: Scope, evidence: f64) -> Payload {
        Payload::Proposal(Proposal::Rule(Box::new(Self::asked("acme", rule, level, scope, evidence))))
    }
    fn asked(supplier: &str, rule: &str, level: Level, scope: Scope, evidence: f64) -> RuleProposal {
        RuleProposal {
            supplier: SupplierId::new(supplier).unwrap(),
            scope,
            level,
            rule: RuleRef {
                id: RuleId::new(rule).unwrap(),
                version: "v".to_owned(),
                content: "c".to_owned(),
            },
            reasons: vec!["DEFECT_RATE".to_owned()],
            values: Default::default(),
            tree: Vec::new(),
            duration_ms: 1_000,
            evidence,
            text: String::new(),
            counterfactuals: Vec::new(),
            vouched: Vec::new(),
            by_association: false,
            holdout: false,
            budget: None,
            budget_of_all: None,
            budget_of_caps: None,
            jitter_ms: 0,
            trust_up_to: None,
        }
    }
    /// A rule with a budget of `most` suppliers in ten seconds proposes to withhold a supplier.
    fn budgeted(&mut self, at_ms: i64, supplier: &str, content: &str, most: u32) -> Vec<Action> {
        let mut asked = Self::asked(supplier, "wide", Quarantine, Scope::Supplier, 1.0);
        asked.rule.content = content.to_owned();
        asked.duration_ms = 100_000;
        asked.budget = Some(Budget { suppliers: Some(most), stock_share: None, per_ms: 10_000 });
        self.hear(at_ms, &Payload::Proposal(Proposal::Rule(Box::new(asked))))
    }
    /// A person asks; what came of it: the review it is about, or a code.
    fn ask(&mut self, at_ms: i64, proposal: Proposal) -> Result<Option<String>, &'static str> {
        let before = self.decisions.len();
        self.hear(at_ms, &Payload::Proposal(proposal));
        let Some(ArbiterEffect::Disposed { verdict, .. }) = self.effects.last() else {
            panic!("the verdict comes last: {:?}", self.effects.last())
        };
        let disposed = verdict.clone().map_err(Refusal::code)?;
        let made = self.decisions[before..].last().map(|decision| decision.version.clone());
        assert_eq!(disposed.decided, made, "whoever waits for the last decision has all of them");
        Ok(disposed.review)
    }
    fn claim(&mut self, at_ms: i64, actor: &str) -> Result<Option<String>, &'static str> {
        self.ask(at_ms, Proposal::Claim { review: None, actor: actor.to_owned() })
    }
    fn settle(
        &mut self,
        at_ms: i64,
        review: &str,
        finding: Finding,
        actor: &str,
    ) -> Result<Option<String>, &'static str> {
        let (review, actor) = (review.to_owned(), actor.to_owned());
        self.ask(at_ms, Proposal::Settle { review, finding, actor, reason: "looked".to_owned() })
    }
    fn last(&self) -> &Decision {
        self.decisions.last().unwrap()
    }
    fn id(&self) -> String {
        self.last().in_force[0].id.clone()
    }
    /// The counts of a rule on the first day.
    fn day(&self, wanted: &str) -> RuleDay {
        let found = self.effects.iter().rev().find_map(|effect| match effect {
            ArbiterEffect::Day { rule, day: 0, counts } if rule == wanted => Some(*counts),
            _ => None,
        });
        found.unwrap_or_default()
    }
    /// The same state in another process: restored from what this one stored.
    fn moved(&mut self) {
        let rows = self.host.changed_rows(0);
        let mut arbiter = Arbiter::default();
        for (key, value) in rows {
            let (Some(table), Some(value)) = (key.first(), value) else { continue };
            for held in arbiter.tables() {
                if held.name() == *table {
                    held.load(&key[1..], &value).unwrap();
                }
            }
        }
        arbiter.restored(&mut self.effects);
        self.host.fold = arbiter;
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
            precondition: None,
            text: String::new(),
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
    let refused = ArbiterEffect::Disposed { id: "p-9".to_owned(), verdict: Err(Refusal::NothingInForce) };
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
fn what_a_person_imposed_no_allow_lifts_and_rules_cannot_weaken_it() {
    let mut court = Court::new();
    assert_eq!(court.override_(10, Some(Quarantine), 5_000), [Imposed]);
    let allow = |until_ms| Proposal::Override {
        supplier: acme(),
        deny: None,
        scope: Scope::Supplier,
        actor: "bob".to_owned(),
        reason: "known".to_owned(),
        expires_at: Timestamp::from_ms(until_ms),
        precondition: None,
        text: String::new(),
    };
    assert_eq!(court.ask(20, allow(600)), Err("denied_by_a_person"), "it would change nothing");
    assert_eq!(court.tick(600), [], "so there is nothing to end either");
    assert_eq!(court.rule(700, "a", Dim, Scope::Supplier, 1.0), []);
    assert_eq!(court.override_(710, Some(Quarantine), 9_000), [Raised], "a person may extend it");
    assert_eq!(court.override_(720, Some(Quarantine), 1), [], "what has expired already is refused");
    assert_eq!(court.tick(5_000), [], "the extension replaced the first");
    assert_eq!(court.tick(9_000), [Expired]);
}

#[test]
fn what_people_overrode_is_taken_back_by_one_call_whether_it_allowed_or_denied() {
    let mut court = Court::new();
    let clear = || Proposal::ClearOverride {
        supplier: acme(),
        actor: "bob".to_owned(),
        reason: "wrong".to_owned(),
        precondition: None,
    };
    assert_eq!(court.ask(10, clear()), Err("nothing_in_force"));
    // A denial of everything, and one of a listing, beside what a rule imposed.
    court.override_(20, Some(Lockout), 90_000);
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    let narrow = Proposal::Override {
        supplier: acme(),
        deny: Some(Dim),
        scope: listing.clone(),
        actor: "ann".to_owned(),
        reason: "known".to_owned(),
        expires_at: Timestamp::from_ms(90_000),
        precondition: None,
        text: String::new(),
    };
    court.ask(30, narrow).unwrap();
    let sku = Scope::Sku { sku: stockade_model::Sku::new("s").unwrap() };
    court.rule(40, "a", Quarantine, sku, 1.0);
    assert_eq!(court.ask(50, clear()), Ok(None));
    assert_eq!(court.levels(), [Quarantine], "what a rule imposed stays");
    assert_eq!((court.last().action, court.last().actor.as_deref()), (Released, Some("bob")));
    assert_eq!(court.ask(60, clear()), Err("nothing_in_force"));
    // An allow.
    court.override_(70, None, 900_000);
    assert!(court.levels().is_empty());
    assert_eq!(court.ask(80, clear()), Ok(None));
    assert_eq!(court.last().action, AllowEnded);
    assert_eq!(court.rule(90, "b", Quarantine, Scope::Supplier, 1.0), [Imposed], "rules act again");
}

#[test]
fn an_override_that_expects_what_was_seen_does_not_take_the_place_of_a_newer_one() {
    let mut court = Court::new();
    let tags = |tag: &str| Some(vec![tag.to_owned()]);
    let deny = |actor: &str, precondition| Proposal::Override {
        supplier: acme(),
        deny: Some(Dim),
        scope: Scope::Supplier,
        actor: actor.to_owned(),
        reason: "known".to_owned(),
        expires_at: Timestamp::from_ms(90_000),
        precondition: Some(precondition),
        text: String::new(),
    };
    let nothing = || Precondition { matches: None, matches_none: tags("*") };
    let just = |tag: &str| Precondition { matches: tags(tag), matches_none: None };
    assert_eq!(court.ask(10, deny("ann", just("d-0"))), Err("decided_since"), "nothing is in force");
    assert_eq!(court.ask(20, deny("ann", nothing())), Ok(None));
    let first = court.last().in_force[0].id.clone();
    assert_eq!(court.ask(30, deny("bob", nothing())), Err("decided_since"), "ann's is there");
    assert_eq!(court.ask(40, deny("bob", just(&first))), Ok(None), "bob has seen ann's");
    let second = court.last().in_force[0].id.clone();
    assert_ne!(first, second);
    let clear = |tag: &str| Proposal::ClearOverride {
        supplier: acme(),
        actor: "ann".to_owned(),
        reason: "undone".to_owned(),
        precondition: Some(just(tag)),
    };
    assert_eq!(court.ask(50, clear(&first)), Err("decided_since"), "bob's is newer");
    assert_eq!(court.ask(60, clear(&second)), Ok(None));
    assert!(court.levels().is_empty());
}

#[test]
fn a_claim_is_given_back_by_who_has_it_and_the_next_is_given_it() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let review = court.claim(20, "ann").unwrap().unwrap();
    let back = |actor: &str| Proposal::GiveBack { review: review.clone(), actor: actor.to_owned() };
    assert_eq!(court.claim(30, "bob"), Err("nothing_to_review"));
    assert_eq!(court.ask(40, back("bob")), Err("claimed_by_another"));
    assert_eq!(court.ask(50, back("ann")), Ok(Some(review.clone())));
    assert_eq!(court.ask(60, back("ann")), Err("not_claimed"));
    assert_eq!(court.claim(70, "bob"), Ok(Some(review.clone())));
}

#[test]
fn a_denial_of_the_whole_supplier_ends_an_allow() {
    let mut court = Court::new();
    court.override_(10, None, 50_000);
    assert_eq!(court.override_(20, Some(Dim), 1_000), [AllowEnded, Imposed]);
    assert_eq!(court.rule(30, "a", Quarantine, Scope::Supplier, 1.0), [Raised], "rules are held off no more");
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

use Action::{AppealRejected, Appealed, Confirmed as Found, Dismissed, OverBudget, Snoozed, Unlinked};

#[test]
fn past_its_budget_a_rule_withholds_nobody_more_and_what_it_finds_waits_for_a_person() {
    let mut court = Court::new();
    assert_eq!(court.budgeted(10, "a", "c", 2), [Imposed]);
    assert_eq!(court.budgeted(20, "b", "c", 2), [Imposed]);
    assert_eq!(court.budgeted(30, "c", "c", 2), [OverBudget, Imposed]);
    let level = court.last().in_force[0].level;
    assert_eq!(level, Level::Cap, "the excess is not withheld, and not let go either");
    let alert = court.effects.iter().find_map(|effect| match effect {
        ArbiterEffect::Budget { exceeded, .. } => exceeded.as_ref().map(|exceeded| exceeded.detail.clone()),
        _ => None,
    });
    assert!(alert.is_some_and(|alert| alert.contains("capped")), "the alert says so");
    assert_eq!(court.budgeted(40, "c", "c", 2), [], "once for each supplier");
    assert_eq!(
        court.budgeted(60_000, "d", "c", 2),
        [OverBudget, Imposed],
        "it stays in shadow when the window has passed"
    );
    let unlocked = court.decisions.iter().any(|decision| matches!(decision.action, Released | Expired));
    assert!(!unlocked, "a budget lifts nothing");
    assert_eq!(court.rule(60_010, "other", Quarantine, Scope::Supplier, 1.0), [Imposed], "others go on");
    assert_eq!(court.budgeted(60_020, "e", "another", 2), [Imposed], "written otherwise it may act again");
    let exceeded = |court: &Court| {
        court.effects.iter().filter(|e| matches!(e, ArbiterEffect::Budget { exceeded: Some(_), .. })).count()
    };
    assert_eq!(exceeded(&court), 1, "one alert");

    // The most urgent first: what was held back, before what was decided.
    let review = court.claim(60_030, "ann").unwrap().unwrap();
    assert!(review.starts_with('x'), "{review}");
    assert_eq!(court.settle(60_040, &review, Finding::Uphold, "bob"), Err("claimed_by_another"));
    assert_eq!(court.settle(60_040, &review, Finding::Uphold, "ann"), Ok(None));
    assert_eq!((court.last().supplier.as_str(), court.last().action), ("c", Raised));
    assert!(court.last().in_force[0].confirmed.is_some());
    let review = court.claim(60_050, "ann").unwrap().unwrap();
    assert_eq!(court.settle(60_060, &review, Finding::Release, "ann"), Ok(None));
    assert_eq!((court.last().supplier.as_str(), court.last().action), ("d", Dismissed));
    assert!(court.last().in_force.is_empty(), "its cap went with it");
    assert_eq!(court.budgeted(60_070, "d", "c", 2), [], "and the rule is muted of it");
    let day = court.day("wide");
    assert_eq!((day.over_budget, day.imposed, day.confirmed, day.released), (2, 6, 1, 1));
}

#[test]
fn rearming_lets_a_rule_act_again_within_its_budget_and_is_no_second_one() {
    let mut court = Court::new();
    let rearm = || Proposal::Rearm {
        rule: RuleId::new("wide").unwrap(),
        actor: "ann".to_owned(),
        reason: "a real attack".to_owned(),
    };
    assert_eq!(court.ask(5, rearm()), Err("nothing_in_force"));
    court.budgeted(10, "a", "c", 2);
    court.budgeted(2_000, "b", "c", 2);
    assert_eq!(court.budgeted(3_000, "c", "c", 2), [OverBudget, Imposed]);
    court.moved();
    assert_eq!(court.budgeted(3_010, "d", "c", 2), [OverBudget, Imposed], "another process knows");
    assert_eq!(court.ask(3_020, rearm()), Ok(None));
    assert_eq!(court.ask(3_030, rearm()), Err("nothing_in_force"));
    assert_eq!(
        court.budgeted(3_040, "e", "c", 2),
        [OverBudget, Imposed],
        "two in ten seconds are two, rearmed or not"
    );
    assert_eq!(court.budgeted(10_500, "f", "c", 2), [OverBudget, Imposed], "in shadow until somebody looks");
    assert_eq!(court.ask(10_510, rearm()), Ok(None));
    assert_eq!(court.budgeted(10_520, "g", "c", 2), [Imposed], "the first has left the window");
    assert_eq!(court.budgeted(10_530, "h", "c", 2), [OverBudget, Imposed], "the second has not");
}

/// However often people rearm, no window holds more than the budget.
#[test]
fn no_window_ever_holds_more_than_the_budget_however_often_people_rearm() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..200 {
        let (mut court, mut withheld, mut at_ms) = (Court::new(), Vec::new(), 0);
        for supplier in 0..60 {
            at_ms += random.i64(1..3_000);
            if random.bool() {
                let (actor, reason) = ("ann".to_owned(), "on".to_owned());
                let _ =
                    court.ask(at_ms, Proposal::Rearm { rule: RuleId::new("wide").unwrap(), actor, reason });
            }
            if court.budgeted(at_ms, &format!("s{supplier}"), "c", 3) == [Imposed] {
                withheld.push(at_ms);
            }
            let in_window = withheld.iter().filter(|at| **at > at_ms - 10_000).count();
            assert!(in_window <= 3, "{in_window} at {at_ms}: {withheld:?}");
        }
        assert!(withheld.len() > 3, "the budget is used again and again");
    }
}

#[test]
fn a_budget_of_stock_counts_what_suppliers_really_offer() {
    let mut court = Court::new();
    let mut offers = |supplier: &str, units: u64| {
        let (supplier, listings) = (SupplierId::new(supplier).unwrap(), 1);
        court.ask(1, Proposal::Stock { supplier, figures: StockFigures { listings, units } }).unwrap();
    };
    offers("a", 100);
    offers("b", 300);
    offers("c", 600);
    let mut propose = |at_ms, supplier: &str| {
        let mut asked = Court::asked(supplier, "r", Quarantine, Scope::Supplier, 1.0);
        asked.budget_of_all = Some(Budget { suppliers: None, stock_share: Some(0.45), per_ms: 10_000 });
        court.hear(at_ms, &Payload::Proposal(Proposal::Rule(Box::new(asked))))
    };
    assert_eq!(propose(10, "a"), [Imposed], "a tenth");
    assert_eq!(propose(20, "b"), [Imposed], "four tenths");
    assert_eq!(propose(30, "c"), [OverBudget, Imposed], "all of it");
}

#[test]
fn the_kill_switch_puts_every_rule_in_shadow_and_lifts_nothing() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let turn = |on| Proposal::KillSwitch { on, actor: "ann".to_owned(), reason: "a bad rule".to_owned() };
    assert_eq!(court.ask(20, turn(true)), Ok(None));
    assert_eq!(court.levels(), [Quarantine]);
    assert_eq!(court.rule(30, "b", Lockout, Scope::Supplier, 9.0), []);
    court.moved();
    assert_eq!(court.rule(35, "b", Lockout, Scope::Supplier, 9.0), [], "in another process too");
    assert_eq!(court.override_(36, Some(Lockout), 99_000), [Raised], "people still can");
    court.ask(40, turn(false)).unwrap();
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    assert_eq!(court.rule(50, "b", Lockout, listing, 9.0), [Imposed]);
}

#[test]
fn an_appeal_has_a_clock_one_answer_and_a_judge_who_is_not_a_party() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let id = court.id();
    let confirm = Proposal::Confirm {
        supplier: acme(),
        restriction: id.clone(),
        actor: "ann".to_owned(),
        reason: "seen".to_owned(),
    };
    court.ask(15, confirm).unwrap();
    assert_eq!(court.last().action, Found);
    let appeal = |restriction: &str| Proposal::Appeal {
        supplier: acme(),
        restriction: restriction.to_owned(),
        actor: "acme".to_owned(),
        text: "it was the carrier".to_owned(),
    };
    assert_eq!(court.ask(20, appeal("nothing")), Err("nothing_in_force"));
    let review = court.ask(20, appeal(&id)).unwrap().unwrap();
    assert_eq!(court.last().action, Appealed);
    assert_eq!(court.ask(21, appeal(&id)), Err("appealed_already"));
    let due = court.effects.iter().find_map(|effect| match effect {
        ArbiterEffect::Review(ReviewChange::Open(held)) if held.id == review => Some(held.due_at),
        _ => None,
    });
    assert_eq!(due, Some(Timestamp::from_ms(20 + APPEAL_MS)));
    court.moved();
    assert_eq!(court.claim(25, "ann"), Err("nothing_to_review"), "whoever may not judge it is not given it");
    let theirs = Proposal::Claim { review: Some(review.clone()), actor: "ann".to_owned() };
    assert_eq!(court.ask(26, theirs), Err("own_decision"), "not by its name either");
    assert_eq!(court.settle(30, &review, Finding::Uphold, "ann"), Err("own_decision"));
    let later = 31;
    assert_eq!(court.claim(later, "bob"), Ok(Some(review.clone())), "so it is free for whoever may");
    assert_eq!(court.settle(later + 1, &review, Finding::Uphold, "bob"), Ok(None));
    assert_eq!(court.last().action, AppealRejected);
    let review = court.ask(later + 2, appeal(&id)).unwrap().unwrap();
    assert_eq!(court.settle(later + 3, &review, Finding::Release, "bob"), Ok(None));
    assert_eq!(court.last().action, Released);
    assert!(court.levels().is_empty());
    let day = court.day("a");
    assert_eq!((day.confirmed, day.appealed, day.overturned, day.released), (1, 2, 1, 1));
    assert_eq!(court.settle(later + 4, &review, Finding::Release, "bob"), Err("no_such_review"));
}

#[test]
fn an_appeal_is_never_handed_to_a_party_whatever_else_waits() {
    let mut court = Court::new();
    // Ann denied one scope, a rule the other; both are appealed against.
    court.override_(10, Some(Quarantine), 9_000_000);
    let denied = court.last().restriction.clone().unwrap().id;
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    court.hear(11, &Court::proposal("b", Quarantine, listing, 1.0));
    let ruled = court.last().restriction.clone().unwrap().id;
    let mut appeal = |at_ms, restriction: &str, actor: &str| {
        let (restriction, actor, text) = (restriction.to_owned(), actor.to_owned(), "why".to_owned());
        court.ask(at_ms, Proposal::Appeal { supplier: acme(), restriction, actor, text }).unwrap().unwrap()
    };
    let (first, second) = (appeal(20, &denied, "acme"), appeal(21, &ruled, "cem"));
    assert_eq!(court.claim(30, "ann"), Ok(Some(second.clone())), "the more urgent one is her own decision");
    assert_eq!(court.claim(31, "bob"), Ok(Some(first.clone())));
    // Confirming it after the appeal makes a party as well, and so does appealing for the supplier.
    let later = 16 * 60_000;
    let (supplier, restriction) = (acme(), ruled);
    let (actor, reason) = ("bob".to_owned(), "seen".to_owned());
    court.ask(later, Proposal::Confirm { supplier, restriction, actor, reason }).unwrap();
    assert_eq!(court.settle(later + 1, &second, Finding::Uphold, "bob"), Err("own_decision"));
    assert_eq!(court.settle(later + 1, &second, Finding::Release, "cem"), Err("own_decision"));
    assert_eq!(court.settle(later + 1, &second, Finding::Release, "ann"), Ok(None));
}

#[test]
fn reviews_are_handed_out_one_to_each_and_end_with_what_they_are_about() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    let listing = Scope::Listing { listing: stockade_model::ListingId::new("l").unwrap() };
    court.rule(11, "b", Level::Watch, listing, 1.0);
    let (first, second) = (court.claim(20, "ann").unwrap(), court.claim(20, "bob").unwrap());
    assert_ne!(first, second);
    assert_eq!(court.claim(20, "cem"), Err("nothing_to_review"));
    assert_eq!(court.claim(20 + 15 * 60_000, "cem"), Ok(first), "a claim ends");
    court.tick(2_000_000);
    assert_eq!(court.claim(2_000_001, "cem"), Err("nothing_to_review"), "both have run out");
}

#[test]
fn one_rule_is_snoozed_for_one_supplier_until_a_time() {
    let mut court = Court::new();
    let snooze = Proposal::Snooze {
        supplier: acme(),
        rule: RuleId::new("a").unwrap(),
        actor: "ann".to_owned(),
        reason: "a known sale".to_owned(),
        expires_at: Timestamp::from_ms(1_000),
    };
    assert_eq!(court.ask(10, snooze.clone()), Ok(None));
    assert_eq!(court.last().action, Snoozed);
    assert_eq!(court.rule(20, "a", Quarantine, Scope::Supplier, 99.0), [], "whatever the evidence");
    assert_eq!(court.rule(1_000, "a", Quarantine, Scope::Supplier, 99.0), [Imposed]);
    assert_eq!(court.ask(1_001, snooze), Err("already_expired"));
}

#[test]
fn a_person_extends_and_the_rule_does_not_shorten_it() {
    let mut court = Court::new();
    court.rule(10, "a", Quarantine, Scope::Supplier, 1.0);
    court.rule(20, "a", Quarantine, Scope::Supplier, 2.0);
    let extend = Proposal::Extend {
        supplier: acme(),
        restriction: court.id(),
        expires_at: Timestamp::from_ms(9_000),
        actor: "ann".to_owned(),
        reason: "not done yet".to_owned(),
    };
    assert_eq!(court.ask(30, extend), Ok(None));
    assert_eq!(court.last().action, Extended);
    assert_eq!(court.tick(5_000), []);
    assert_eq!(court.tick(9_000), [Expired]);
}

#[test]
fn what_rests_on_links_to_others_ends_with_them_unless_a_person_confirmed_it() {
    let mut court = Court::new();
    let mut linked = Court::asked("acme", "a", Quarantine, Scope::Supplier, 1.0);
    linked.by_association = true;
    let rule = Payload::Proposal(Proposal::Rule(Box::new(linked)));
    let unlinked = Proposal::Unlinked { supplier: acme(), rule: RuleId::new("a").unwrap() };
    let unlinked = Payload::Proposal(unlinked);
    assert_eq!(court.hear(10, &rule), [Imposed]);
    assert_eq!(court.hear(20, &unlinked), [Unlinked]);
    assert!(court.levels().is_empty());
    assert_eq!(court.rule(30, "a", Quarantine, Scope::Supplier, 1.0), [Imposed]);
    assert_eq!(court.hear(40, &unlinked), [], "this one stands on its own");
}
