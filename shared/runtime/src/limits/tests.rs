use governor::clock::FakeRelativeClock;

use super::*;

fn tiny() -> Limits {
    let class = Class::a_second(NonZeroU32::MIN, NonZeroU32::new(3).unwrap());
    Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), class)])))
}

#[test]
fn one_callers_burst_is_refused_and_the_others_notice_nothing() {
    let limits = tiny();
    assert!(limits.take("standard", "a", 3).is_ok());
    let problem = limits.take("standard", "a", 1).unwrap_err();
    assert_eq!((problem.status, problem.code), (429, "rate_limited"));
    let response = axum::response::IntoResponse::into_response(problem);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["ratelimit"], "\"default\";r=0;t=3");
    let mut headers = HeaderMap::new();
    limits.take("standard", "b", 1).unwrap().unwrap().write(&mut headers);
    assert_eq!(headers["ratelimit"], "\"default\";r=2;t=3");
}

#[test]
fn a_batch_beyond_the_burst_is_taken_when_the_burst_is_there_and_paid_off_before_anything_else() {
    let clock = governor::clock::FakeRelativeClock::default();
    let class = Class::a_second(NonZeroU32::new(5).unwrap(), NonZeroU32::new(20).unwrap());
    let limits =
        Limits::with_clock(&LimitsConfig(BTreeMap::from([("limited".to_owned(), class)])), clock.clone());
    let wait_s = |units: usize| -> Option<u64> {
        let response = axum::response::IntoResponse::into_response(limits.take("limited", "a", units).err()?);
        Some(response.headers()["retry-after"].to_str().unwrap().parse().unwrap())
    };
    assert_eq!(wait_s(1_000), None, "the largest batch there is");
    assert_eq!(wait_s(1), Some(197), "980 beyond the burst and the next one, at 5 a second");
    assert!(limits.take("limited", "b", 20).is_ok(), "nobody else notices");
    clock.advance(std::time::Duration::from_secs(196));
    assert_eq!(wait_s(1), Some(1));
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(wait_s(1), None);
    let wait = wait_s(21).expect("the burst is not there");
    limits.evict();
    clock.advance(std::time::Duration::from_secs(wait));
    assert_eq!(wait_s(21), None, "what Retry-After says is true");
}

proptest::proptest! {
    /// Whatever is sent when, no more passes in any stretch of time than the rate brings and one burst and one batch.
    #[test]
    fn the_rate_holds_over_any_stretch(
        steps in proptest::collection::vec((0u64..3_000, 1usize..60), 1..60),
    ) {
        let clock = governor::clock::FakeRelativeClock::default();
        let class = Class::a_second(NonZeroU32::new(5).unwrap(), NonZeroU32::new(20).unwrap());
        let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
        let limits = Limits::with_clock(&config, clock.clone());
        let (mut now_ms, mut passed): (u64, Vec<(u64, usize)>) = (0, Vec::new());
        for (pause_ms, units) in steps {
            clock.advance(std::time::Duration::from_millis(pause_ms));
            now_ms += pause_ms;
            if limits.take("standard", "a", units).is_ok() {
                passed.push((now_ms, units));
            }
        }
        for (at, (from_ms, _)) in passed.iter().enumerate() {
            // The last one of a stretch may be the batch that goes into debt.
            let mut sum = 0;
            for (until_ms, units) in &passed[at..] {
                let room = 20 + (until_ms - from_ms) * 5 / 1_000;
                proptest::prop_assert!(sum <= room as usize, "{passed:?}");
                sum += units;
            }
        }
    }
}

#[test]
fn work_that_waits_is_told_how_long_and_shares_the_allowance_of_its_caller() {
    let clock = governor::clock::FakeRelativeClock::default();
    let class = Class::a_second(NonZeroU32::new(5).unwrap(), NonZeroU32::new(20).unwrap());
    let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
    let limits = Limits::with_clock(&config, clock.clone());
    assert_eq!(limits.take_or_wait("standard", "a", 5), Ok(()));
    let wait = limits.take_or_wait("standard", "a", 5).unwrap_err();
    assert_eq!(wait.as_millis(), 1_000, "until the bucket is full again");
    assert!(limits.take("standard", "a", 15).is_ok(), "who asks beside it finds the rest");
    assert!(limits.take("standard", "a", 1).is_err(), "and no more: it is one allowance");
    clock.advance(Duration::from_secs(4));
    assert_eq!(limits.take_or_wait("standard", "a", 1_000), Ok(()));
    assert!(limits.take("standard", "a", 1).is_err(), "at most the burst");
    let endless = Class::a_second(NonZeroU32::MAX, NonZeroU32::MAX);
    let endless = Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), endless)])));
    assert!((0..3).all(|_| endless.take_or_wait("standard", "a", 500).is_ok()));
    assert_eq!(limits.class("none").map(|class| class.burst.get()), Some(20));
}

#[test]
fn bodies_are_charged_as_they_are_read_and_refused_unread_while_something_is_owed() {
    let clock = governor::clock::FakeRelativeClock::default();
    let class = Class::a_second(NonZeroU32::new(5).unwrap(), NonZeroU32::new(20).unwrap());
    let config = LimitsConfig(BTreeMap::from([("standard".to_owned(), class)]));
    let limits = Limits::with_clock(&config, clock.clone());
    let admitted = |caller: &str| limits.admit_body("standard", caller).is_ok();
    let read = |caller: &str, units: usize| limits.charge_body("standard", caller, units * UNIT_BYTES);
    assert!(admitted("a"));
    read("a", 20);
    assert!(!admitted("a"), "as much as goes with the burst of units was read");
    assert!(limits.take("standard", "a", 20).is_ok(), "which are all there");
    assert!(admitted("b"), "nobody else notices");
    clock.advance(Duration::from_secs(4));
    assert!(limits.take("standard", "a", 20).is_ok());
    assert!(!admitted("a"), "no unit is left, so it is not even read");
    clock.advance(Duration::from_millis(200));
    assert!(admitted("a"), "and that was not charged");
    // The longest body there is may be read by the slowest class, and is paid off.
    assert!(admitted("c"));
    read("c", 1_000);
    let refused = limits.take("standard", "c", 21).err();
    assert!(refused.is_none(), "its units are another allowance");
    let refused = limits.take("standard", "c", 1).unwrap_err();
    let response = axum::response::IntoResponse::into_response(refused);
    assert_eq!(
        response.headers()["retry-after"],
        "197",
        "what is sent again is read again: 980 owed, and one"
    );
    clock.advance(Duration::from_secs(196));
    assert!(!admitted("c"));
    clock.advance(Duration::from_secs(1));
    assert!(admitted("c"));
    // Nothing costs less than one, and what was owed twice is owed twice.
    (0..21).for_each(|_| limits.charge_body("standard", "d", 0));
    assert!(!admitted("d"));
    clock.advance(Duration::from_millis(200));
    assert!(!admitted("d"));
    clock.advance(Duration::from_millis(200));
    assert!(admitted("d"));
}

#[test]
fn callers_that_have_gone_quiet_are_forgotten() {
    let class = Class::a_second(NonZeroU32::new(1_000_000).unwrap(), NonZeroU32::MIN);
    let limits = Limits::new(&LimitsConfig(BTreeMap::from([("standard".to_owned(), class)])));
    for caller in 0..100 {
        let _ = limits.take("standard", &caller.to_string(), 1);
    }
    let kept = || limits.now().classes["standard"].keyed.len();
    while kept() > 0 {
        limits.evict();
    }
    let (limits, clock) = sharing(100, 200);
    take_together(&limits, ("standard", "a"), Trust::New, 1).unwrap();
    limits.charge_body_together(Trust::New, "a", 1);
    clock.advance(Duration::from_secs(60));
    limits.evict();
    let set = limits.now();
    assert_eq!(set.quarters["new"].keyed.len() + set.body_quarters["new"].keyed.len(), 0);
}

#[test]
fn what_one_caller_sends_beyond_its_quarter_is_its_own_debt() {
    let (limits, clock) = sharing(100, 200);
    for _ in 0..10 {
        limits.charge_body_together(Trust::New, "a", 60 * UNIT_BYTES);
    }
    let refused = limits.admit_body_together(Trust::New, "a").unwrap_err();
    assert!(
        refused.detail.starts_with("you sent more than ")
            && refused.detail.contains("come back at 25 a second, your part"),
        "{}",
        refused.detail
    );
    assert!(limits.admit_body_together(Trust::New, "b").is_ok(), "the others have what is left");
    assert!(take_together(&limits, ("standard", "a"), Trust::New, 50).is_ok());
    assert_eq!(take_together(&limits, ("standard", "a"), Trust::New, 10).unwrap_err().code, "class_limited");
    assert!(take_together(&limits, ("standard", "b"), Trust::New, 50).is_ok());
    clock.advance(Duration::from_secs(2));
    assert!(take_together(&limits, ("standard", "a"), Trust::New, 50).is_ok());
}

/// What all new suppliers share, under a clock that the test moves.
fn sharing(per_second: u32, burst: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let class = |per_second, burst| {
        Class::a_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    };
    let clock = FakeRelativeClock::default();
    let classes = [("standard", class(1_000, 1_000)), ("new", class(per_second, burst))];
    let config = LimitsConfig(classes.map(|(name, class)| (name.to_owned(), class)).into());
    (Limits::with_clock(&config, clock.clone()), clock)
}

/// Takes of one's own and of what is shared, as whoever is asked does.
fn take_together(
    limits: &Limits<FakeRelativeClock>,
    caller: (&str, &str),
    trust: Trust,
    units: usize,
) -> Result<Option<Allowance>, Problem> {
    let own = limits.take(caller.0, caller.1, units)?;
    let shared = limits.share(caller, trust, units)?;
    Ok(own.map(|own| own.with(shared)))
}

#[test]
fn a_thousand_new_suppliers_take_no_more_together_than_their_share_and_trusted_ones_notice_nothing() {
    let (limits, clock) = sharing(100, 200);
    let mut taken = 0;
    for second in 0..10 {
        for supplier in 0..1_000 {
            let name = format!("fake-{supplier}");
            taken += usize::from(take_together(&limits, ("standard", &name), Trust::New, 1).is_ok());
        }
        assert!(
            take_together(&limits, ("standard", "known"), Trust::Trusted, 500).is_ok(),
            "second {second}"
        );
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(taken, 200 + 9 * 100, "the burst, and what comes back each second");
}

/// The usual bounds, under a clock that the test moves.
fn usual() -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limits::with_clock(&LimitsConfig::default(), clock.clone()), clock)
}

#[test]
fn a_newcomer_is_served_however_hard_others_hammer_and_all_together_have_no_more_than_before() {
    for (trust, fakes, rate, burst) in
        [(Trust::New, 5, 4_000, 20_000), (Trust::New, 150, 4_000, 20_000), (Trust::Suspect, 40, 1_000, 5_000)]
    {
        let (limits, clock) = usual();
        let names: Vec<String> = (0..fakes).map(|fake| format!("fake-{fake}")).collect();
        let (mut taken, mut served) = (0, 0);
        // A minute, in which each fake sends ten times a second as much as it gets, and one that is honest twice a second.
        for tick in 0..600 {
            clock.advance(Duration::from_millis(100));
            for name in &names {
                while limits.admit_body_together(trust, name).is_ok() {
                    limits.charge_body_together(trust, name, 5 * UNIT_BYTES);
                    if limits.share(("standard", name), trust, 50).is_err() {
                        break;
                    }
                    taken += 50;
                }
                while limits.share(("standard", name), trust, 1).is_ok() {
                    taken += 1;
                }
            }
            if tick % 5 == 0 {
                let honest = limits.admit_body_together(trust, "honest");
                limits.charge_body_together(trust, "honest", 200);
                served +=
                    usize::from(honest.is_ok() && limits.share(("standard", "honest"), trust, 1).is_ok());
            }
        }
        assert!(served >= 118, "{served} of 120, {fakes} fakes");
        let most = burst + 60 * rate + burst / 4;
        assert!(taken <= most, "{taken} of {most}, {fakes} fakes");
    }
}

#[test]
fn what_suppliers_are_guaranteed_is_a_quarter_of_the_class_at_most_however_many_they_are() {
    let (limits, clock) = usual();
    let mut taken = 0;
    for second in 0..20 {
        for fake in 0..2_000 {
            let name = format!("fake-{second}-{fake}");
            taken += usize::from(limits.share(("standard", &name), Trust::New, 20).is_ok()) * 20;
        }
        clock.advance(Duration::from_secs(1));
    }
    // The bursts of the class and of its quarter, and what comes back of the class: the quarter is taken out of that.
    assert!(taken <= 20_000 + 5_000 + 20 * 4_000, "{taken}");
}

#[test]
fn more_than_is_guaranteed_at_once_is_taken_in_the_end_and_paid_off() {
    let (limits, clock) = usual();
    let hammer = || {
        for fake in ["a", "b", "c", "d"] {
            while limits.share(("standard", fake), Trust::New, 500).is_ok() {}
            while limits.share(("standard", fake), Trust::New, 1).is_ok() {}
        }
    };
    let sends = |units| limits.share(("standard", "honest"), Trust::New, units).is_ok();
    hammer();
    assert!(sends(300), "no batch is refused for ever");
    assert!(!sends(1));
    for second in 1..=56 {
        clock.advance(Duration::from_secs(1));
        hammer();
        assert_eq!(second == 56, sends(1), "275 are owed, at five a second");
    }
}

#[test]
fn what_only_takes_away_is_free_up_to_an_allowance_of_ones_own_and_one_of_all_who_share() {
    let (limits, clock) = usual();
    assert_eq!(limits.reduce(Trust::Trusted, "a", 470), 470, "a large batch of withdrawals");
    assert_eq!(limits.reduce(Trust::Trusted, "a", 470), 30, "what is left of it");
    assert_eq!(limits.reduce(Trust::Trusted, "a", 1), 0);
    assert_eq!(limits.reduce(Trust::Trusted, "b", 1_000), 500, "nobody else notices");
    limits.unreduce(Trust::Trusted, "a", 5);
    assert_eq!((limits.reduce(Trust::Trusted, "a", 9), limits.reduce(Trust::Trusted, "a", 0)), (5, 0));
    let mut taken = 0;
    for second in 0..10 {
        for fake in 0..1_000 {
            taken += limits.reduce(Trust::New, &format!("fake-{fake}"), 100);
        }
        assert_eq!(limits.reduce(Trust::Trusted, "known", 50), 50, "second {second}");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(taken, 20 * (500 + 9 * 50), "as many as twenty of them");
    assert_eq!(limits.reduce(Trust::New, "fake-999", 500), 500, "what was refused for all was not taken");
    assert_eq!(
        tiny().reduce(Trust::New, "a", 5_000),
        5_000,
        "where nothing is said of it, nothing is limited"
    );
}

#[test]
fn what_is_refused_for_all_takes_nothing_of_ones_own_and_says_whose_share_is_used_up() {
    let (limits, clock) = sharing(100, 200);
    take_together(&limits, ("standard", "a"), Trust::New, 200).unwrap();
    let refused = take_together(&limits, ("standard", "b"), Trust::New, 100).unwrap_err();
    assert_eq!((refused.status, refused.code), (429, "class_limited"));
    let response = axum::response::IntoResponse::into_response(refused);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["ratelimit"], "\"new\";r=0;t=2");
    clock.advance(Duration::from_secs(1));
    let mut headers = HeaderMap::new();
    let left = take_together(&limits, ("standard", "b"), Trust::New, 100).unwrap().unwrap();
    left.write(&mut headers);
    assert_eq!(
        headers["ratelimit"], "\"default\";r=900;t=1, \"new\";r=0;t=2",
        "its own was not touched before"
    );
    assert_eq!(headers["ratelimit-policy"], "\"default\";q=1000;w=1, \"new\";q=200;w=2");
}

#[test]
fn bodies_that_new_suppliers_send_are_paid_for_together() {
    let (limits, clock) = sharing(100, 200);
    assert!(limits.admit_body_together(Trust::New, "b").is_ok());
    limits.charge_body_together(Trust::New, "a", 300 * UNIT_BYTES);
    assert_eq!(limits.admit_body_together(Trust::New, "b").unwrap_err().code, "class_limited");
    assert!(limits.admit_body_together(Trust::Trusted, "b").is_ok());
    assert!(limits.admit_body_together(Trust::Suspect, "b").is_ok(), "a class that has no bounds has none");
    clock.advance(Duration::from_secs(2));
    assert!(limits.admit_body_together(Trust::New, "b").is_ok());
}

#[test]
fn limits_change_while_they_are_in_use_and_what_stayed_as_it_was_forgets_nobody() {
    let limits = tiny();
    limits.take("standard", "a", 3).unwrap();
    let class = |burst| Class::a_second(NonZeroU32::MIN, NonZeroU32::new(burst).unwrap());
    let clone = limits.clone();
    let with = |more: u32| {
        LimitsConfig(BTreeMap::from([("standard".to_owned(), class(3)), ("buyer".to_owned(), class(more))]))
    };
    limits.replace(&with(1));
    assert!(clone.take("standard", "a", 1).is_err(), "it had used up what it has still");
    assert!(clone.take("buyer", "b", 1).is_ok());
    assert!(clone.take("buyer", "b", 1).is_err());
    limits.replace(&with(2));
    assert!(clone.take("buyer", "b", 2).is_ok(), "other bounds begin anew");
    assert_eq!(clone.in_force(), with(2), "what is told is what holds");
}

#[test]
fn whoever_configures_one_class_has_not_opened_another() {
    let usual = LimitsConfig::default();
    for told in ["standard", "new", REGISTRATIONS, "of_their_own"] {
        let text = format!(r#"{{"{told}":{{"per_second":5,"burst":6}}}}"#);
        let config: LimitsConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(config.0[told].burst.get(), 6);
        let limits = Limits::new(&config);
        for (name, class) in usual.0.iter().filter(|(name, _)| *name != told) {
            assert_eq!(limits.class(name), Some(*class), "{name}, where only {told} is told");
        }
    }
    assert_eq!(serde_json::from_str::<LimitsConfig>("{}").unwrap(), usual);
    let limits = Limits::new(&LimitsConfig::default());
    assert_eq!(limits.for_suppliers(), ["standard", "large"], "nobody is registered as new or suspect");
}

#[test]
fn a_limit_is_told_by_the_second_the_hour_or_the_day_and_by_one_of_them() {
    let read = |text: &str| serde_json::from_str::<Class>(text);
    let day = read(r#"{"per_day":48,"burst":4}"#).unwrap();
    assert_eq!((day.units.get(), day.per, day.window_s()), (48, Per::Day, 7_200));
    assert_eq!(serde_json::to_string(&day).unwrap(), r#"{"per_day":48,"burst":4}"#);
    assert!((read(r#"{"per_hour":1800,"burst":1}"#).unwrap().per_second() - 0.5).abs() < 1e-9);
    for wrong in
        [r#"{"burst":4}"#, r#"{"per_day":1,"per_second":1,"burst":4}"#, r#"{"per_week":1,"burst":4}"#]
    {
        let said = read(wrong).unwrap_err().to_string();
        assert!(said.contains("per_day"), "{said}");
    }
}

#[test]
fn an_operator_registers_so_many_a_day_and_goes_on_when_the_time_is_there_and_others_notice_nothing() {
    let clock = FakeRelativeClock::default();
    let class = |units| Class {
        units: NonZeroU32::new(units).unwrap(),
        per: Per::Day,
        burst: NonZeroU32::new(2).unwrap(),
    };
    let config = |units| LimitsConfig(BTreeMap::from([(REGISTRATIONS.to_owned(), class(units))]));
    let limits = Limits::with_clock(&config(24), clock.clone());
    let mut headers = HeaderMap::new();
    limits.register("op").unwrap().unwrap().write(&mut headers);
    assert_eq!(headers["ratelimit"], "\"default\";r=1;t=7200");
    assert!(limits.register("op").is_ok());
    let refused = limits.register("op").unwrap_err();
    assert_eq!((refused.status, refused.code), (429, "too_many_registrations"));
    assert!(
        refused.detail.contains(" at once, which come back at 24 a day")
            && refused.detail.contains("limits.registrations"),
        "{}",
        refused.detail
    );
    let response = axum::response::IntoResponse::into_response(refused);
    assert_eq!(response.headers()["retry-after"], "3600");
    assert!(limits.register("somebody else").is_ok());
    clock.advance(Duration::from_secs(3_599));
    assert!(limits.register("op").is_err());
    clock.advance(Duration::from_secs(1));
    assert!(limits.register("op").is_ok());
    assert!(limits.register("op").is_err());
    // Raised while it runs, for a day on which many move in.
    limits.replace(&config(1_000));
    assert!(limits.register("op").is_ok());
    // Where nothing is said of it, nothing is limited: not even by what is usual for others.
    let none = Limits::new(&LimitsConfig(BTreeMap::from([(
        "standard".to_owned(),
        Class::a_second(NonZeroU32::MIN, NonZeroU32::MIN),
    )])));
    assert!((0..10).all(|_| none.register("op").is_ok()));
}

#[test]
fn who_names_an_honest_newcomers_account_does_not_keep_it_out_and_has_no_more_together_than_before() {
    let (limits, clock) = usual();
    let fakes: Vec<String> = (0..9).map(|fake| format!("fake-{fake}")).collect();
    let sends = |name: &str, units| limits.share_payout("account", name, units).is_ok();
    let (mut taken, mut served) = (0, 0);
    // A minute, as for what all new suppliers share.
    for tick in 0..600 {
        clock.advance(Duration::from_millis(100));
        for name in &fakes {
            for units in [50, 1] {
                while sends(name, units) {
                    taken += units;
                }
            }
        }
        served += usize::from(tick % 5 == 0 && sends("honest", 1));
    }
    assert!(served >= 118, "{served} of 120");
    let most = 2_000 + 60 * 500 + 500;
    assert!(taken <= most, "{taken} of {most}");
    assert!(
        limits.share(("standard", "honest"), Trust::New, 25).is_ok(),
        "of the class it has taken nothing"
    );
}

#[test]
fn one_supplier_has_a_quarter_of_what_an_accounts_share_and_gets_back_what_it_did_not_use() {
    let (limits, _clock) = usual();
    let takes = |name: &str, units| limits.share_payout("account", name, units);
    let all = takes("a", 500).unwrap().unwrap();
    let refused = takes("a", 1).unwrap_err();
    assert_eq!((refused.status, refused.code), (429, "class_limited"));
    assert!(!refused.detail.contains("payout"), "{}", refused.detail);
    assert!(takes("b", 500).is_ok(), "the others have what is left");
    limits.unshare_payout("account", "a", 500, &all);
    for name in ["a", "c", "d"] {
        assert!(takes(name, 500).is_ok(), "{name}");
    }
    let guaranteed = takes("honest", 25).unwrap().unwrap();
    let refused = takes("honest", 1).unwrap_err();
    assert!(!refused.detail.contains("payout"), "{}", refused.detail);
    limits.unshare_payout("account", "honest", 25, &guaranteed);
    assert!(takes("honest", 25).is_ok());
    assert!(limits.share_payout("another", "e", 500).is_ok(), "another account notices nothing");
}

#[test]
fn work_that_was_done_is_charged_whether_it_is_there_or_not_to_ones_own_and_to_what_is_shared() {
    let (limits, clock) = sharing(100, 200);
    let units = |units| NonZeroU32::new(units).unwrap();
    limits.charge_units(("standard", "a"), Trust::New, units(60));
    let refused = take_together(&limits, ("standard", "a"), Trust::New, 1).unwrap_err();
    assert_eq!(refused.code, "class_limited", "its part was 50");
    assert!(take_together(&limits, ("standard", "b"), Trust::New, 50).is_ok(), "others have what is left");
    limits.charge_units(("standard", "known"), Trust::Trusted, units(1_500));
    assert_eq!(limits.take("standard", "known", 1).unwrap_err().code, "rate_limited");
    clock.advance(Duration::from_secs(1));
    assert!(limits.take("standard", "known", 500).is_ok());
    assert!(limits.take("standard", "known", 1).is_err(), "what was not there was owed");
}

#[test]
fn what_is_taken_as_it_comes_waits_for_ones_own_for_ones_part_and_for_all_but_not_for_what_is_guaranteed() {
    let (limits, clock) = usual();
    let wait = |name: &str, trust| limits.wait_for_body(("standard", name), trust);
    assert_eq!(wait("a", Trust::New), None);
    limits.charge_body("standard", "a", 5_000 * UNIT_BYTES);
    assert!(wait("a", Trust::Trusted).is_some(), "its own is used up");
    assert_eq!(wait("b", Trust::New), None);
    limits.charge_body_together(Trust::New, "b", 5_000 * UNIT_BYTES);
    assert!(wait("b", Trust::New).is_some(), "it has had its part");
    for fake in ["c", "d", "e"] {
        limits.charge_body_together(Trust::New, fake, 5_000 * UNIT_BYTES);
    }
    assert_eq!(wait("honest", Trust::New), None, "nothing is left but what it is guaranteed");
    limits.charge_body_together(Trust::New, "honest", 25 * UNIT_BYTES);
    assert!(wait("honest", Trust::New).is_some());
    assert_eq!((wait("honest", Trust::Trusted), wait("honest", Trust::Suspect)), (None, None));
    clock.advance(Duration::from_secs(1));
    assert_eq!((wait("a", Trust::New), wait("b", Trust::New)), (None, None));
}
