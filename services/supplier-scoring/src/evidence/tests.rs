use super::*;

/// Peers of whom a share of orders goes wrong evenly over their first ten days.
struct Fixed(f64);

impl Peers for Fixed {
    fn expect(&mut self, _: &[String], orders: &[f64; AGES], _: bool, sums: &mut [f64]) {
        let at_risk: f64 = orders[..6].iter().sum();
        sums.iter_mut().for_each(|sum| *sum += at_risk * self.0 / 10.0);
    }
    fn saw(&mut self, _: &[String], _: usize, _: usize, _: f64, _: bool) {}
}

fn tests() -> Vec<Test> {
    let test = |name: &str, kind: u32, share: f64| Test {
        name: name.to_owned(),
        id: stockade_model::hash::stable64(name),
        kinds: 1 << kind,
        all_of: 0,
        none_of: 0,
        tolerates: 2.0,
        up_to: 20.0,
        share,
        usual: [0.0; AGES],
    };
    vec![test("cancelled", 3, 0.5), test("overdue", 16, 0.5)]
}

const CANCELLED: (u8, u16) = (3, 0);
const OVERDUE: (u8, u16) = (16, 0);

/// A supplier with `orders` a day, each of which goes wrong with probability `rate`, evenly over its first ten days.
fn play(
    evidence: &mut Evidence,
    days: i64,
    orders: u64,
    rate: f64,
    peers: f64,
    random: &mut fastrand::Rng,
) -> f64 {
    let (tests, mut peers) = (tests(), Fixed(peers));
    let mut most: f64 = 0.0;
    let mut coming: Vec<(i64, i64)> = Vec::new();
    let begin = evidence.next_day().unwrap_or(1);
    for day in begin..begin + days {
        evidence.advance(day, &tests, &mut peers);
        for _ in 0..orders {
            evidence.placed(day, &[], &tests, &mut peers);
            if random.f64() < rate {
                coming.push((day + random.i64(0..10), day));
            }
        }
        for (_, placed) in coming.extract_if(.., |(at, _)| *at == day).collect::<Vec<_>>() {
            evidence.witness((CANCELLED, 0), 1.0, (placed, &[]), &tests, &mut peers);
            most = most.max(evidence.total());
        }
    }
    most
}

#[test]
fn suppliers_twice_as_bad_as_their_peers_raise_no_more_false_alarms_than_the_threshold_accepts() {
    let (suppliers, days) = (400, 365);
    for threshold in [2.0, 3.0] {
        let mut alarms = 0;
        for seed in 0..suppliers {
            let mut random = fastrand::Rng::with_seed(seed);
            let orders = 1 + seed % 7;
            let most = play(&mut Evidence::default(), days, orders, 0.1, 0.05, &mut random);
            alarms += u64::from(most >= threshold);
        }
        let accepted = (suppliers as f64 * days as f64) / 10f64.powf(threshold);
        assert!((alarms as f64) <= accepted, "{alarms} alarms of {accepted} accepted at 10^{threshold}");
    }
}

#[test]
fn a_supplier_of_whom_half_goes_wrong_is_found_within_days_and_grows_out_of_it_under_good_orders() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut evidence = Evidence::default();
    assert!(play(&mut evidence, 60, 5, 0.04, 0.04, &mut random) < 3.0);
    let most = play(&mut evidence, 14, 5, 0.5, 0.04, &mut random);
    assert!(most > 6.6, "10^{most}");
    let before = evidence.total();
    play(&mut evidence, 60, 5, 0.02, 0.04, &mut random);
    assert!(evidence.total() < before - 3.0, "10^{before} and then 10^{}", evidence.total());
}

#[test]
fn one_flooded_warehouse_is_one_incident_and_the_third_day_of_it_is_not() {
    let (tests, mut peers) = (tests(), Fixed(0.03));
    let mut evidence = Evidence::default();
    play(&mut evidence, 40, 4, 0.03, 0.03, &mut fastrand::Rng::with_seed(3));
    let mut odds = Vec::new();
    for _ in 0..3 {
        let day = evidence.next_day().unwrap();
        evidence.advance(day, &tests, &mut peers);
        for placed in 0..40 {
            evidence.witness((OVERDUE, 0), 1.0, (day - placed % 4, &[]), &tests, &mut peers);
        }
        odds.push(evidence.total());
    }
    assert!(odds[0] < 5.0, "a day's incident: {odds:?}");
    assert!(odds[2] > 6.6, "three days of it: {odds:?}");
}

#[test]
fn evidence_that_was_stored_and_read_back_goes_on_as_if_nothing_had_happened() {
    let (mut once, mut again) = (fastrand::Rng::with_seed(11), fastrand::Rng::with_seed(11));
    let (mut whole, mut stored) = (Evidence::default(), Evidence::default());
    for round in 0..20 {
        play(&mut whole, 3, 2, 0.05 * f64::from(round % 4), 0.05, &mut once);
        play(&mut stored, 3, 2, 0.05 * f64::from(round % 4), 0.05, &mut again);
        let row = rmp_serde::to_vec_named(&stored).unwrap();
        stored = rmp_serde::from_slice(&row).unwrap();
        assert_eq!(whole, stored, "to the bit");
    }
}

#[test]
fn what_is_taken_back_leaves_no_suspicion_and_days_without_orders_are_no_supplier_days() {
    let (tests, mut peers) = (tests(), Fixed(0.05));
    let mut evidence = Evidence::default();
    play(&mut evidence, 20, 2, 0.0, 0.05, &mut fastrand::Rng::with_seed(1));
    let day = evidence.next_day().unwrap();
    evidence.advance(day, &tests, &mut peers);
    let before = evidence.total();
    evidence.witness((OVERDUE, 0), 1.0, (day, &[]), &tests, &mut peers);
    evidence.withdraw(OVERDUE, 1.0, &tests);
    assert!((evidence.total() - before).abs() < 1e-9);
    // All orders are past their risk after 90 days; ten years of nothing add nothing.
    evidence.advance(day + 100, &tests, &mut peers);
    let quiet = evidence.total();
    evidence.advance(day + 3_650, &tests, &mut peers);
    assert!((evidence.total() - quiet).abs() < 1e-12);
}

#[test]
fn a_wave_of_a_region_is_expected_of_everybody_in_it_and_a_baseline_does_not_eat_itself() {
    let tests = tests();
    let mut weeks = Weeks::default();
    let counts = |seen: f64, seen_suspect: f64, suspect: f64| stockade_model::EvidenceCounts {
        at_risk: vec![1_000.0],
        at_risk_suspect: vec![suspect],
        tests: std::collections::BTreeMap::from([(
            "cancelled".to_owned(),
            stockade_model::TestCounts {
                seen: vec![seen],
                seen_suspect: vec![seen_suspect],
                expected: 50.0,
                expected_suspect: suspect / 20.0,
            },
        )]),
    };
    let factor = |facts| {
        let fact =
            stockade_model::PeerFact { cohort: "DE".to_owned(), evidence: facts, ..Default::default() };
        let hazards = Hazards::new(&tests, std::iter::once(&fact));
        hazards.factor("DE", 0)
    };
    for week in 0..8 {
        weeks.add(week, &counts(50.0, 0.0, 0.0));
    }
    let calm = factor(weeks.news(false).unwrap());
    assert!((calm - 1.0).abs() < 0.05, "{calm}");
    // A strike: nearly everybody is under suspicion, and still it is expected of everybody.
    weeks.add(8, &counts(60.0, 500.0, 1_000.0));
    let wave = factor(weeks.news(false).unwrap());
    assert!(wave > 3.0, "{wave}");
}

#[test]
fn what_one_supplier_tells_of_what_is_usual_is_bounded() {
    struct Heard(f64);
    impl Peers for Heard {
        fn expect(&mut self, _: &[String], orders: &[f64; AGES], _: bool, sums: &mut [f64]) {
            sums.iter_mut().for_each(|sum| *sum += orders.iter().sum::<f64>() * 0.005);
        }
        fn saw(&mut self, _: &[String], _: usize, _: usize, weight: f64, _: bool) {
            self.0 += weight;
        }
    }
    let (tests, mut peers) = (tests(), Heard(0.0));
    let mut evidence = Evidence::default();
    for day in 1..=20 {
        evidence.advance(day, &tests, &mut peers);
        evidence.placed(day, &[], &tests, &mut peers);
        evidence.witness((CANCELLED, 0), 1.0, (day, &[]), &tests, &mut peers);
    }
    let (_, expected) = evidence.counts(0);
    assert!(peers.0 > 1.0 && peers.0 <= 1.0 + 2.0 * (expected + 0.1), "{} of {expected} expected", peers.0);
}

#[test]
fn tests_begin_anew_after_an_alarm_and_together_linked_suppliers_say_what_none_says_alone() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut evidence = Evidence::default();
    play(&mut evidence, 30, 2, 0.3, 0.03, &mut random);
    let (alone, e_value) = (evidence.total(), evidence.e_value());
    assert!(e_value > 1.0 && evidence.with_others(0.0) < alone, "10^{alone}, e-value 10^{e_value}");
    assert!((evidence.with_others(e_value) - evidence.with_others(0.0) - e_value).abs() < 1e-9);
    evidence.begin_anew();
    assert_eq!((evidence.total(), evidence.next_day().is_some()), (0.0, true), "open orders stay at risk");
    assert!(Evidence::default().e_value() < 0.0, "who has shown nothing lowers what its group shows");
}

#[test]
fn a_kind_of_good_that_goes_wrong_by_nature_is_known_from_all_who_sell_it_and_a_region_is_compared_with_its_mix()
 {
    let tests = tests();
    let fact = |cohort: &str, seen: f64, expected: f64| stockade_model::PeerFact {
        cohort: cohort.to_owned(),
        evidence: std::collections::BTreeMap::from([(
            "cancelled".to_owned(),
            stockade_model::TestFact { seen: vec![seen], expected, ..Default::default() },
        )]),
        ..Default::default()
    };
    let cohorts = cohorts_of(Some("DE"), Some("used"));
    assert_eq!(cohorts, ["DE", "*/used", "DE/used"]);
    assert_eq!(cohorts_of(None, Some("used")), ["*/used"]);
    let facts = [
        fact("DE", 300.0, 200.0),
        fact("*/used", 1_200.0, 400.0),
        fact("DE/used", 4.0, 1.0),
        fact("FR", 100.0, 100.0),
    ];
    let hazards = Hazards::new(&tests, facts.iter());
    // About 1.5 times 3, whatever the few orders of both together say.
    let both = hazards.factor("DE/used", 0);
    assert!(both > 4.0 && both < 4.6, "{both}");
    // What is not known of both is presumed of them.
    let orders = [10.0; AGES];
    let expects = |cohort: &[String]| {
        let (mut sums, mut base) = ([0.0; 2], [0.0; 2]);
        let mut known =
            Hazards::new(&[Test { usual: [0.01; AGES], ..tests[0].clone() }, tests[1].clone()], facts.iter());
        known.learn(&tests, &facts[0]);
        known.expect(cohort, &orders, &mut sums, &mut base);
        sums[0] / base[0]
    };
    let product = hazards.factor("FR", 0) * hazards.factor("*/used", 0);
    assert!((expects(&cohorts_of(Some("FR"), Some("used"))) - product).abs() < 1e-9);
    // A region that sells much of it is no worse for that.
    let of_region = hazards.compared_with("DE", &cohorts, 0, 2.0);
    assert!((of_region - 2.0 * hazards.factor("*/used", 0)).abs() < 1e-9, "{of_region}");
    assert_eq!(hazards.compared_with("DE/used", &cohorts, 0, 2.0), 2.0);
    // Facts say the same in whatever order they come.
    let mut one_by_one = Hazards::new(&tests, std::iter::empty());
    for fact in facts.iter().rev() {
        one_by_one.learn(&tests, fact);
    }
    for cohort in ["DE", "FR", "*/used", "DE/used"] {
        assert_eq!(one_by_one.factor(cohort, 0), hazards.factor(cohort, 0), "{cohort}");
    }
}

/// Honest orders of a hundred suppliers under peers' facts that say nothing sensible: no statistic is spoilt, nobody is accused.
#[test]
fn facts_of_peers_that_cannot_be_are_as_if_nobody_had_told_them() {
    use stockade_model::{PeerFact, TestFact};
    let mut tests = tests();
    tests.iter_mut().for_each(|test| test.usual = [0.01; AGES]);
    let usual = Hazards::new(&tests, std::iter::empty());
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -5.0] {
        let fact = |cohort: &str| {
            let of = TestFact {
                at_risk: vec![wrong; AGES],
                seen: vec![wrong; AGES],
                expected: wrong,
                lately: (wrong, wrong),
            };
            let evidence = tests.iter().map(|test| (test.name.clone(), of.clone())).collect();
            PeerFact { cohort: cohort.to_owned(), settled: 0, spoiled: 0, evidence }
        };
        let facts = [fact("*"), fact("DE"), fact("*/books"), fact("DE/books")];
        let hazards = Hazards::new(&tests, facts.iter());
        let cohort = cohorts_of(Some("DE"), Some("books"));
        let expected = |hazards: &Hazards| {
            let (mut sums, mut base) = (vec![0.0; tests.len()], vec![0.0; tests.len()]);
            hazards.expect(&cohort, &[1.0; AGES], &mut sums, &mut base);
            sums
        };
        assert_eq!(expected(&hazards), expected(&usual), "{wrong}");
        assert!(!hazards.warm(), "{wrong}");
    }
}
