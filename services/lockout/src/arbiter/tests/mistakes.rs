//! The engine's own mistakes: a rule that finds everybody, and what rules measure by gone wrong. Nobody stays locked out for
//! it, somebody is told, and one ask takes it back.

use super::*;
use crate::arbiter::restore::Restored;

const HOUR: i64 = 60 * 60_000;

impl Court {
    /// `count` suppliers that offer something.
    fn populated(count: usize) -> Self {
        let mut court = Self::new();
        for number in 0..count {
            let figures = StockFigures { listings: 1, units: 1 };
            court.ask(1, Proposal::Stock { supplier: supplier(number), figures }).unwrap();
        }
        court
    }
    /// A rule that reads `feature` finds a supplier.
    fn found(
        &mut self,
        at_ms: i64,
        number: usize,
        (rule, feature): (&str, &str),
        level: Level,
    ) -> Vec<Action> {
        let mut asked = Self::asked(supplier(number).as_str(), rule, level, Scope::Supplier, 1.0);
        asked.values = [(feature.to_owned(), 9.0)].into();
        asked.duration_ms = 30 * 24 * HOUR;
        self.hear(at_ms, &Payload::Proposal(Proposal::Rule(Box::new(asked))))
    }
    /// How many suppliers are in force at a level, by the last decision of each.
    fn at_level(&self, level: Level) -> usize {
        let mut last: BTreeMap<&SupplierId, &Decision> = BTreeMap::new();
        last.extend(self.decisions.iter().map(|decision| (&decision.supplier, decision)));
        last.values().filter(|decision| decision.in_force.iter().any(|r| r.level == level)).count()
    }
    fn restore(&mut self, at_ms: i64, rule: &str, since_ms: Option<i64>, stop: Option<&str>) -> Restored {
        let proposal = Proposal::Restore {
            rule: RuleId::new(rule).unwrap(),
            since: since_ms.map(Timestamp::from_ms),
            confirmed: false,
            stop: stop.map(str::to_owned),
            actor: "ann".to_owned(),
            reason: "it matched everyone".to_owned(),
        };
        self.ask(at_ms, proposal).unwrap();
        let Some(ArbiterEffect::Disposed { verdict: Ok(disposed), .. }) = self.effects.last() else {
            panic!("{:?}", self.effects.last())
        };
        disposed.restored.clone().unwrap()
    }
    /// The last word on what holds a rule back.
    fn held(&self, wanted: &str) -> Option<Exceeded> {
        let last = self.effects.iter().rev().find_map(|effect| match effect {
            ArbiterEffect::Budget { rule, exceeded } if rule == wanted => Some(exceeded.clone()),
            _ => None,
        });
        last.flatten()
    }
}

fn supplier(number: usize) -> SupplierId {
    SupplierId::new(&format!("s{number:04}")).unwrap()
}

const EVIDENCE: (&str, &str) = ("beyond-chance", "evidence.total");

#[test]
fn a_rule_that_matches_everyone_withholds_its_budget_says_so_in_the_same_record_and_is_taken_back_by_one_ask()
{
    let mut court = Court::populated(0);
    for number in 0..500 {
        let done = court.budgeted(10 + number, &format!("s{number:04}"), "c", 20);
        assert_eq!(done, if number < 20 { vec![Imposed] } else { vec![OverBudget, Imposed] });
        // The alert is an effect of the very record that was one too many: no time passes between.
        assert_eq!(court.held("wide").is_some(), number >= 20, "{number}");
    }
    assert_eq!((court.at_level(Quarantine), court.at_level(Level::Cap)), (20, 480));
    let confirm = Proposal::Confirm {
        supplier: supplier(3),
        restriction: court.decisions[3].in_force[0].id.clone(),
        actor: "bob".to_owned(),
        reason: "this one is right".to_owned(),
    };
    court.ask(600, confirm).unwrap();
    // Another rule's is not touched, nor what was imposed before.
    assert_eq!(court.found(700, 900, ("other", "frauds.count_7d"), Lockout), [Imposed]);
    let before = court.decisions.len();
    let restored = court.restore(800, "wide", Some(11), Some("c"));
    assert_eq!(
        restored,
        Restored { released: 200, suppliers: 200, dismissed: 0, kept: 1, remaining: 778, stopped: true }
    );
    // What is left goes on at ticks, in whatever process.
    court.moved();
    assert!(court.host.fold.deadline().is_some_and(|due| due.ms() <= 800));
    assert_eq!(court.tick(900), [Released; 200]);
    court.moved();
    assert_eq!(court.tick(950), [[Released; 98].as_slice(), &[Dismissed; 102]].concat());
    assert_eq!(court.tick(970), [Dismissed; 200]);
    court.moved();
    assert_eq!(court.tick(1_000), [Dismissed; 178]);
    assert_eq!(court.tick(1_100), []);
    let made = &court.decisions[before..];
    let act = made[0].act.clone();
    assert!(act.is_some() && made.iter().all(|d| d.act == act), "they have their cause in common");
    assert!(made.iter().all(|d| d.actor.as_deref() == Some("ann") && d.note.is_some()), "each is hers");
    assert_eq!(court.at_level(Quarantine), 2, "the first, of before, and the confirmed one");
    // Said again it finds nothing, and is no error.
    let again = court.restore(1_200, "wide", Some(11), None);
    assert_eq!(again, Restored { kept: 1, ..Restored::default() });
    // The rule is stopped, at every level, until it is written otherwise or rearmed.
    assert_eq!(court.budgeted(1_300, "s0600", "c", 20), []);
    assert_eq!(court.held("wide").and_then(|held| held.stopped_by), Some("ann".to_owned()));
    assert_eq!(court.budgeted(20_000, "s0601", "d", 20), [Imposed]);
    let rearm = Proposal::Rearm {
        rule: RuleId::new("wide").unwrap(),
        actor: "ann".to_owned(),
        reason: "on".to_owned(),
    };
    court.ask(20_100, rearm).unwrap();
    assert_eq!(court.budgeted(20_200, "s0602", "c", 20), [Imposed]);
}

#[test]
fn what_a_yardstick_gone_wrong_finds_ends_in_a_watch_whatever_the_rule_and_its_budget_say() {
    // Rates of all suppliers at once far from what is usual, orders overdue for everybody because a clock jumped by an hour, a
    // model that scores everybody: all come here as one kind of evidence that finds everybody.
    for (rule, feature) in [
        EVIDENCE,
        ("cancel-rate", "cancellations.rate_7d_low"),
        ("model", "model.champion"),
        ("windows", "wilson_lower(cancellations, \"36h\")"),
        ("old", "supplier.age_days"),
    ] {
        let mut court = Court::populated(400);
        for number in 0..400 {
            court.found(1_000 + number as i64, number, (rule, feature), Quarantine);
            let withheld = court.at_level(Quarantine);
            assert!(withheld <= 60, "{withheld} of 400 are withheld");
        }
        assert_eq!((court.at_level(Quarantine), court.at_level(Level::Watch)), (0, 400), "{feature}");
        let held = court.held(rule).unwrap();
        assert!(held.suspect.is_some() && held.detail.starts_with("yardstick_suspect"), "{held:?}");
        assert_eq!(court.decisions.iter().filter(|d| d.action == Action::Lowered).count(), 60);
    }
}

#[test]
fn mild_restrictions_of_half_a_marketplace_within_an_hour_become_watches_too() {
    let mut court = Court::populated(100);
    for number in 0..100 {
        court.found(1_000, number, ("bait", "prices.low_24h"), Level::Cap);
        assert!(court.at_level(Level::Cap) <= 50);
    }
    assert_eq!((court.at_level(Level::Cap), court.at_level(Level::Watch)), (0, 100));
}

#[test]
fn a_yardstick_that_goes_wrong_slowly_is_found_by_the_week() {
    let mut court = Court::populated(400);
    let mut worst = 0;
    for number in 0..400 {
        // Five an hour, so that no hour is conspicuous.
        court.found(1_000 + number as i64 * HOUR / 5, number, EVIDENCE, Quarantine);
        worst = worst.max(court.at_level(Quarantine));
    }
    assert_eq!((worst, court.at_level(Quarantine)), (120, 0));
}

#[test]
fn an_attack_is_none_and_other_evidence_a_persons_word_and_small_places_are_left_alone() {
    let mut court = Court::populated(400);
    for number in 0..55 {
        assert_eq!(court.found(1_000, number, EVIDENCE, Quarantine), [Imposed], "an eighth within a moment");
    }
    let confirmed = court.decisions[7].in_force[0].id.clone();
    let (actor, reason) = ("bob".to_owned(), "seen".to_owned());
    court
        .ask(1_001, Proposal::Confirm { supplier: supplier(7), restriction: confirmed, actor, reason })
        .unwrap();
    for number in 55..100 {
        court.found(1_002, number, EVIDENCE, Quarantine);
    }
    assert_eq!(court.at_level(Quarantine), 1, "what a person confirmed stays");
    assert_eq!(
        court.found(1_003, 200, ("fraud", "frauds.count_7d"), Lockout),
        [Imposed],
        "frauds are frauds"
    );
    let mut few = Court::populated(12);
    for number in 0..10 {
        assert_eq!(few.found(1_000, number, EVIDENCE, Quarantine), [Imposed], "ten are never too many");
    }
    few.found(1_000, 10, EVIDENCE, Quarantine);
    assert_eq!(few.at_level(Quarantine), 0);
    let mut trusting = Court::populated(12);
    for number in 0..12 {
        let mut asked = Court::asked(supplier(number).as_str(), "r", Quarantine, Scope::Supplier, 1.0);
        asked.trust_up_to = Some(12);
        trusting.hear(1_000, &Payload::Proposal(Proposal::Rule(Box::new(asked))));
    }
    assert_eq!(trusting.at_level(Quarantine), 12, "the rule set says that twelve are not too many");
    let mut unknown = Court::populated(0);
    for number in 0..50 {
        let done = unknown.found(1_000, number, EVIDENCE, Quarantine);
        assert_eq!(done, [Imposed], "of a history without offers nobody knows how many there are");
    }
}

#[test]
fn a_suspect_yardstick_is_trusted_again_when_few_are_left_or_a_person_says_so() {
    let suspect = || {
        let mut court = Court::populated(100);
        (0..100).for_each(|number| drop(court.found(1_000, number, EVIDENCE, Quarantine)));
        court.moved();
        assert_eq!((court.at_level(Quarantine), court.at_level(Level::Watch)), (0, 100));
        court
    };
    // Time alone changes nothing: they are all still found.
    let mut court = suspect();
    assert_eq!(court.found(1_000 + 8 * 24 * HOUR, 0, EVIDENCE, Quarantine), []);
    assert_eq!(court.at_level(Quarantine), 0);
    // The data are put right, and the rule's own cure holds for most.
    for number in 0..95 {
        let (supplier, rule) = (supplier(number), RuleId::new("beyond-chance").unwrap());
        court.hear(
            9 * 24 * HOUR,
            &Payload::Proposal(Proposal::Cured { supplier, rule, scope: Scope::Supplier }),
        );
    }
    court.tick(9 * 24 * HOUR + 1_000);
    assert_eq!(court.held("beyond-chance"), None, "it is said that it is over");
    assert_eq!(court.found(9 * 24 * HOUR + 1_001, 99, EVIDENCE, Quarantine), [Raised]);
    // Or the person who looked rearms the rule: it was an attack after all.
    let mut court = suspect();
    let rearm = Proposal::Rearm {
        rule: RuleId::new("beyond-chance").unwrap(),
        actor: "ann".to_owned(),
        reason: "real".to_owned(),
    };
    court.ask(2_000, rearm).unwrap();
    for number in 0..100 {
        assert_eq!(court.found(3_000, number, EVIDENCE, Quarantine), [Raised]);
    }
    // Taking the rule back takes its watches as well.
    let mut court = suspect();
    assert_eq!(court.restore(4_000, "beyond-chance", None, None).released, 100);
    assert_eq!(court.at_level(Level::Watch), 0);
}

/// What is derived is the same after a restore, so that another process decides the same.
#[test]
fn another_process_decides_the_same_about_a_yardstick_at_every_moment() {
    let (mut random, mut lowered) = (fastrand::Rng::with_seed(7), 0);
    for _ in 0..30 {
        let (mut stays, mut moves) = (Court::populated(60), Court::populated(60));
        for step in 0..200 {
            let at = 1_000 + step * 60_000;
            let number = random.usize(..60);
            let level = if random.bool() { Quarantine } else { Level::Cap };
            let of = [EVIDENCE, ("bait", "prices.low_24h")][random.usize(..2)];
            let both = [&mut stays, &mut moves].map(|court| {
                if step % 10 == 9 { court.tick(at) } else { court.found(at, number, of, level) }
            });
            assert_eq!(both[0], both[1], "step {step}");
            if random.u8(..4) == 0 {
                moves.moved();
            }
        }
        assert_eq!(stays.decisions, moves.decisions);
        lowered += stays.decisions.iter().filter(|decision| decision.action == Action::Lowered).count();
    }
    assert!(lowered > 0, "no yardstick was ever suspect, so nothing was tried");
}

#[test]
fn what_withholds_nothing_begins_later_by_a_while_that_nobody_foresees_and_every_process_agrees_on() {
    const JITTER: i64 = 10 * 60_000;
    let ask = |number: usize, level: Level| {
        let mut asked = Court::asked(supplier(number).as_str(), "bait", level, Scope::Supplier, 1.0);
        (asked.duration_ms, asked.jitter_ms) = (30 * 24 * HOUR, JITTER);
        Payload::Proposal(Proposal::Rule(Box::new(asked)))
    };
    let play = |moves: bool, first: &str| {
        let mut court = Court::new();
        court.rule(1, first, Level::Watch, Scope::Supplier, 1.0);
        for number in 0..40 {
            assert_eq!(court.hear(1_000, &ask(number, Level::Cap)), [], "it waits");
        }
        assert_eq!(court.hear(1_001, &ask(40, Quarantine)), [Imposed], "what withholds never waits");
        let cured = Proposal::Cured {
            supplier: supplier(7),
            rule: RuleId::new("bait").unwrap(),
            scope: Scope::Supplier,
        };
        court.hear(1_002, &Payload::Proposal(cured));
        // Said again while it waits, it is one all the same.
        assert_eq!(court.hear(1_003, &ask(3, Level::Cap)), []);
        let mut begun = Vec::new();
        while let Some(due) = court.host.fold.deadline().filter(|due| due.ms() <= 1_000 + JITTER) {
            if moves {
                court.moved();
            }
            assert_eq!(court.host.fold.deadline(), Some(due), "another process knows");
            court.tick(due.ms());
            begun.push((due.ms(), court.last().supplier.clone()));
        }
        assert_eq!(court.at_level(Level::Cap), 39, "all but the cured one");
        let again = court.hear(JITTER * 2, &ask(3, Level::Cap));
        assert_eq!(again, [], "what stands does not wait once more");
        assert!(court.host.fold.deadline().is_some_and(|due| due.ms() > JITTER * 3));
        begun
    };
    let begun = play(false, "a");
    assert_eq!(begun, play(true, "a"));
    assert_ne!(begun, play(false, "b"), "it follows from what was decided before");
    let late = |share: i64| begun.iter().filter(|(at, _)| *at > 1_000 + JITTER * share / 4).count();
    assert!(late(1) > 20 && late(3) > 2 && late(3) < 20, "evenly: {begun:?}");
}

#[test]
fn one_supplier_appeals_only_so_often_in_a_day() {
    let mut court = Court::new();
    let mut appeal = |at_ms: i64, number: i64| {
        let scope =
            Scope::Listing { listing: stockade_model::ListingId::new(&format!("l{number}")).unwrap() };
        court.rule(at_ms, "a", Quarantine, scope, 1.0);
        let restriction = court.last().restriction.clone().unwrap().id;
        let (actor, text) = ("acme".to_owned(), "no".to_owned());
        court.ask(at_ms, Proposal::Appeal { supplier: acme(), restriction, actor, text }).map(drop)
    };
    for number in 0..20 {
        assert_eq!(appeal(1_000 + number, number), Ok(()));
    }
    assert_eq!(appeal(2_000, 20), Err("too_many_appeals"));
    assert_eq!(appeal(1_000 + 24 * HOUR, 21), Ok(()), "the first is a day old");
    assert_eq!(appeal(1_000 + 24 * HOUR, 22), Err("too_many_appeals"));
}

/// A rule with jitter finds a supplier.
fn jittery(number: usize, content: &str) -> Payload {
    let mut asked = Court::asked(supplier(number).as_str(), "bait", Level::Cap, Scope::Supplier, 1.0);
    (asked.duration_ms, asked.jitter_ms) = (30 * 24 * HOUR, HOUR);
    asked.rule.content = content.to_owned();
    Payload::Proposal(Proposal::Rule(Box::new(asked)))
}

#[test]
fn what_waits_does_not_begin_when_its_rule_is_restored_or_acts_no_more() {
    for since in [None, Some(500)] {
        let mut court = Court::new();
        (0..5).for_each(|number| assert_eq!(court.hear(1_000, &jittery(number, "c")), []));
        court.restore(2_000, "bait", since, None);
        court.moved();
        assert_eq!(court.host.fold.deadline(), None);
        assert_eq!(court.tick(1_000 + 2 * HOUR), [], "all of it waited only");
    }
    let gone = |rule: &str, content: &str| {
        let (id, content) = (RuleId::new(rule).unwrap(), content.to_owned());
        let rule = stockade_model::RuleRef { id, version: "v".to_owned(), content };
        Payload::Proposal(Proposal::Gone { rule })
    };
    let mut court = Court::new();
    court.hear(1_000, &jittery(0, "c"));
    // Found by the rule as it is written now: another partition that is late does not take it back.
    court.hear(1_001, &jittery(1, "d"));
    assert_eq!(court.hear(1_002, &gone("bai", "c")), [], "another rule");
    assert_eq!(court.hear(1_003, &gone("bait", "c")), []);
    court.moved();
    court.hear(1_004, &gone("bait", "c"));
    assert_eq!(court.tick(1_000 + 2 * HOUR), [Imposed]);
    assert_eq!(court.last().supplier, supplier(1));
    // What is in force stays: taking it back is a person's word.
    assert_eq!(court.hear(3 * HOUR, &gone("bait", "d")), []);
    assert_eq!(court.at_level(Level::Cap), 1);
}

#[test]
fn rearming_after_a_budget_leaves_a_persons_word_about_the_yardstick_as_it_is() {
    let mut court = Court::populated(100);
    let rearm = |rule: &str| Proposal::Rearm {
        rule: RuleId::new(rule).unwrap(),
        actor: "ann".to_owned(),
        reason: "real".to_owned(),
    };
    let find = |court: &mut Court, at: i64, number: usize, most: u32| {
        let mut asked = Court::asked(supplier(number).as_str(), "r", Quarantine, Scope::Supplier, 1.0);
        asked.duration_ms = 30 * 24 * HOUR;
        asked.budget = Some(Budget { suppliers: Some(most), stock_share: None, per_ms: 1_000 });
        court.hear(at, &Payload::Proposal(Proposal::Rule(Box::new(asked))))
    };
    (0..20).for_each(|number| drop(find(&mut court, 1_000, number, 99)));
    assert!(court.held("r").unwrap().suspect.is_some());
    court.ask(2_000, rearm("r")).unwrap();
    assert_eq!(find(&mut court, 3_000, 30, 1), [Imposed], "trusted");
    assert_eq!(find(&mut court, 3_001, 31, 1), [OverBudget, Imposed]);
    court.ask(3_002, rearm("r")).unwrap();
    assert_eq!(find(&mut court, 5_000, 32, 1), [Imposed]);
    assert_eq!(court.at_level(Quarantine), 2, "still trusted");
}

#[test]
fn acts_go_on_by_turns_and_what_lowers_goes_first() {
    let mut court = Court::populated(1_400);
    let rules = ["a", "b"];
    for number in 0..1_200 {
        let mut asked =
            Court::asked(supplier(number).as_str(), rules[number / 600], Dim, Scope::Supplier, 1.0);
        (asked.duration_ms, asked.trust_up_to) = (30 * 24 * HOUR, Some(2_000));
        court.hear(1_000, &Payload::Proposal(Proposal::Rule(Box::new(asked))));
    }
    for rule in rules {
        assert_eq!(court.restore(2_000, rule, None, None).remaining, 400);
    }
    // More than one part of a lowering: 200 are lowered at once.
    for number in 0..301 {
        let mut asked = Court::asked(supplier(number).as_str(), "c", Quarantine, Scope::Supplier, 1.0);
        (asked.duration_ms, asked.trust_up_to) = (30 * 24 * HOUR, Some(300));
        court.hear(2_500 + number as i64, &Payload::Proposal(Proposal::Rule(Box::new(asked))));
    }
    let mut whose = Vec::new();
    for tick in 0..5 {
        court.moved();
        court.tick(3_000 + tick);
        whose.push(court.last().restriction.clone().unwrap().rule.unwrap().id.to_string());
    }
    assert_eq!(whose, ["c", "a", "b", "a", "b"]);
}

#[test]
fn a_lowering_goes_no_further_than_when_it_began() {
    let mut court = Court::populated(2_000);
    let ask = |number: usize| {
        let mut asked = Court::asked(supplier(number).as_str(), "r", Quarantine, Scope::Supplier, 1.0);
        asked.duration_ms = 30 * 24 * HOUR;
        Payload::Proposal(Proposal::Rule(Box::new(asked)))
    };
    (0..301).for_each(|number| drop(court.hear(1_000, &ask(number))));
    // A part of it is done; then a person says that the rule is right.
    let (actor, reason) = ("ann".to_owned(), "real".to_owned());
    court.ask(1_001, Proposal::Rearm { rule: RuleId::new("r").unwrap(), actor, reason }).unwrap();
    assert_eq!(court.hear(1_002, &ask(1_500)), [Imposed]);
    while !court.tick(1_003).is_empty() {}
    assert_eq!(court.at_level(Quarantine), 1, "what was imposed by that word stays");
}

#[test]
fn suppliers_that_offer_nothing_are_no_part_of_the_share() {
    let mut court = Court::populated(100);
    for number in 0..60 {
        let figures = StockFigures::default();
        court.ask(2, Proposal::Stock { supplier: supplier(1_000 + number), figures }).unwrap();
        assert_eq!(court.found(1_000, 1_000 + number, EVIDENCE, Quarantine), [Imposed]);
    }
    for number in 0..15 {
        assert_eq!(court.found(1_001, number, EVIDENCE, Quarantine), [Imposed]);
    }
    court.moved();
    court.found(1_002, 15, EVIDENCE, Quarantine);
    assert_eq!(court.at_level(Quarantine), 0, "now it is a sixth of those that do offer");
}

#[test]
fn withholding_more_of_a_supplier_takes_of_the_budget_however_little_of_it_was_withheld_before() {
    let mut court = Court::new();
    let listing = |name: &str| Scope::Listing { listing: stockade_model::ListingId::new(name).unwrap() };
    let mut ask = |number: usize, (rule, most): (&str, u32), scope: Scope| {
        let mut asked = Court::asked(supplier(number).as_str(), rule, Quarantine, scope, 1.0);
        asked.duration_ms = 30 * 24 * HOUR;
        asked.budget = Some(Budget { suppliers: Some(most), stock_share: None, per_ms: HOUR });
        let done = court.hear(1_000, &Payload::Proposal(Proposal::Rule(Box::new(asked))));
        (done, court.held(rule).is_some())
    };
    for number in 0..30 {
        assert_eq!(ask(number, ("bait", 30), listing("l")), (vec![Imposed], false), "one listing of each");
    }
    // All of a supplier is more than a listing of it, so a second rule has its budget and no more.
    for number in 0..30 {
        let done = if number < 3 { vec![Imposed] } else { vec![OverBudget, Imposed] };
        assert_eq!(ask(number, ("wide", 3), Scope::Supplier), (done, number >= 3), "past it a cap: {number}");
    }
    // Within what is withheld nothing is new; beside it another listing is, for a rule that is held back.
    assert_eq!(ask(2, ("wide", 3), listing("m")).0, [Imposed]);
    assert_eq!(ask(40, ("wide", 3), listing("m")).0, [OverBudget, Imposed]);
    // Ever so many listings of one supplier are one supplier.
    for name in ["a", "b", "c"] {
        assert_eq!(ask(50, ("shelf", 1), listing(name)), (vec![Imposed], false));
    }
    assert_eq!(ask(51, ("shelf", 1), listing("a")), (vec![OverBudget, Imposed], true));
    assert_eq!(
        ask(50, ("shelf", 1), listing("d")).0,
        [OverBudget, Imposed],
        "past it, a listing more is held back too"
    );
}

#[test]
fn operators_are_told_once_of_a_rule_that_is_held_back_and_by_what() {
    let mut court = Court::populated(100);
    for number in 0..10 {
        court.budgeted(1_000 + number, &format!("s{number:04}"), "c", 2);
    }
    for number in 0..100 {
        court.found(2_000, number, EVIDENCE, Quarantine);
    }
    court.restore(3_000, "bait", None, Some("c"));
    let told: Vec<(&str, &str)> = court
        .notices
        .iter()
        .map(|notice| (notice.data["rule"].as_str().unwrap(), notice.data["because"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("wide", "budget"), ("beyond-chance", "suspect"), ("bait", "stopped")]);
    for notice in &court.notices {
        assert_eq!((notice.event.as_str(), &notice.audience), ("rule.held_back", &Audience::Operators));
    }
    let names: std::collections::BTreeSet<&String> = court.notices.iter().map(|notice| &notice.id).collect();
    assert_eq!(names.len(), 3, "each has a name of its own");
    court.moved();
    assert_eq!(court.budgeted(4_000, "s0050", "c", 2), [OverBudget, Raised], "from a watch to a cap");
    assert_eq!(court.notices.len(), 3, "another process tells nobody again");
}
