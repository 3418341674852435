use std::{fmt::Write as _, sync::Arc};

use proptest::prelude::*;

use super::*;

mod findings;

fn feature(name: &str, unit: &str) -> Feature {
    Feature { name: name.to_owned(), unit: unit.to_owned(), ..Feature::default() }
}

fn schema() -> Arc<FeatureSchema> {
    let week = Binding { measure: "cancellations".to_owned(), take: Take::Count, window_ms: 7 * 86_400_000 };
    let mut count = feature("cancellations.count_7d", "count");
    count.window = Some(week);
    let features = vec![
        count,
        feature("cancellations.rate_7d_low", "ratio"),
        feature("supplier.age_days", "days"),
        feature("score.total", "points"),
    ];
    Arc::new(
        FeatureSchema::new(features).with_measures(vec!["cancellations".to_owned(), "orders".to_owned()]),
    )
}

fn truth_at(when: &str, snapshot: &Snapshot<'_>) -> Truth {
    let schema = schema();
    let condition = Condition::compile(when, &schema).unwrap_or_else(|e| panic!("{when}: {e}"));
    let truth = condition.truth(snapshot, &mut Scratch::default());
    assert_eq!(condition.truth_in_general(&schema, snapshot), truth, "{when}: both forms say the same");
    truth
}

fn truth(when: &str, slots: &[f32]) -> Truth {
    truth_at(when, &Snapshot::of(slots))
}

fn error(when: &str) -> RuleError {
    Condition::compile(when, &schema()).expect_err(when)
}

const NAN: f32 = f32::NAN;

#[test]
fn conditions_compare_features_with_whole_and_broken_numbers() {
    for (when, slots, expected) in [
        ("cancellations.count_7d >= 5", [5.0, 0.1, 3.0], Truth::True),
        ("cancellations.count_7d >= 5 && cancellations.rate_7d_low > 0.2", [5.0, 0.1, 3.0], Truth::False),
        ("cancellations.count_7d * 2.0 > supplier.age_days", [2.0, 0.0, 3.0], Truth::True),
        ("!(supplier.age_days < 7) || cancellations.count_7d == 5", [5.0, 0.0, 3.0], Truth::True),
        ("(supplier.age_days < 7 ? 1.0 : 2.0) > 1.5", [5.0, 0.0, 3.0], Truth::False),
        ("cancellations.count_7d in [3, 5, 7]", [5.0, 0.0, 3.0], Truth::True),
        ("[4.0, 9.0].exists(x, cancellations.count_7d > x)", [5.0, 0.0, 3.0], Truth::True),
        ("[4.0, 9.0].all(x, cancellations.count_7d > x)", [5.0, 0.0, 3.0], Truth::False),
        ("cel.bind(x, supplier.age_days + 1.0, x * x == 16.0)", [5.0, 0.0, 3.0], Truth::True),
        ("math.greatest(cancellations.count_7d, supplier.age_days) == 5.0", [5.0, 0.0, 3.0], Truth::True),
        ("int(supplier.age_days) % 2 == 1", [5.0, 0.0, 3.0], Truth::True),
        ("cancellations.count(\"7d\") >= 5", [5.0, 0.1, 3.0], Truth::True),
        ("cancellations.count('168h') >= 5", [5.0, 0.1, 3.0], Truth::True),
    ] {
        assert_eq!(truth(when, &slots), expected, "{when}");
    }
    assert_eq!(truth("score >= 450", &[NAN, NAN, NAN, 500.0]), Truth::True, "score is score.total");
}

#[test]
fn what_is_missing_is_unknown_and_unknown_is_not_true() {
    assert_eq!(truth("cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(truth("cancellations.count_7d >= 5", &[f32::INFINITY, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(truth("cancellations.count_7d != 5", &[NAN, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(truth("!(cancellations.count_7d >= 5)", &[NAN, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(
        truth("cancellations.count_7d < 5 || cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]),
        Truth::Unknown
    );
    assert_eq!(truth("cancellations.count_7d >= 5 && supplier.age_days > 9", &[NAN, 0.1, 3.0]), Truth::False);
    assert_eq!(truth("supplier.age_days > 9 && cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]), Truth::False);
    assert_eq!(truth("cancellations.count_7d >= 5 || supplier.age_days < 9", &[NAN, 0.1, 3.0]), Truth::True);
    assert_eq!(truth("supplier.age_days > 1", &[]), Truth::Unknown, "a shorter vector has unknown features");
    assert_eq!(truth("supplier.id == 'acme' || listing.sku == 'x'", &[]), Truth::Unknown, "no listing");
}

#[test]
fn what_cannot_be_computed_is_unknown_whichever_way_it_is_asked() {
    for when in [
        "supplier.age_days / cancellations.count_7d > 1.0",
        "!(supplier.age_days / cancellations.count_7d > 1.0)",
        "supplier.age_days / cancellations.count_7d != 1.0",
        "1 / int(cancellations.count_7d) > 0",
        "9223372036854775807 + int(supplier.age_days) > 0",
        "supplier.age_days * 1e300 * 1e300 > 1.0",
        "0.0 / 0.0 != 1.0",
        "math.sqrt(0.0 - supplier.age_days) < 1.0",
        "now + duration('2562047h') + duration('2562047h') + duration('2562047h') * 0 > now",
        "now.getHours('Nowhere/At_All') >= 0",
        "int(supplier.age_days * 1e30) > 0",
    ] {
        // One of them does not type-check, which is an answer too.
        if Condition::compile(when, &schema()).is_ok() {
            assert_eq!(truth(when, &[0.0, 0.1, 3.0]), Truth::Unknown, "{when}");
        }
    }
}

#[test]
fn rules_read_the_time_and_the_texts_of_what_they_judge() {
    let friday_night = Snapshot {
        now_ms: 1_234_567_890_000,
        listing: Some(("l-1", "GIFT-7")),
        supplier: "acme",
        slots: &[],
    };
    for (when, expected) in [
        ("now.getHours() == 23 && now.getDayOfWeek() == 5", Truth::True),
        ("now.getHours('Europe/Berlin') == 0", Truth::True),
        (
            "now > timestamp('2009-02-13T23:31:00Z') && now - timestamp('2009-02-13T23:31:00Z') < duration('1m')",
            Truth::True,
        ),
        ("now < timestamp('2009-02-13T00:00:00Z') + duration('12h')", Truth::False),
        ("(now - timestamp('2009-02-13T00:00:00Z')).getHours() == 23", Truth::True),
        ("listing.sku.startsWith('GIFT-')", Truth::True),
        ("listing.sku.matches('^GIFT-[0-9]+$') && supplier.id in ['acme', 'bolt']", Truth::True),
        ("'acmf' > supplier.id && listing.id != 'l-2'", Truth::True),
    ] {
        assert_eq!(truth_at(when, &friday_night), expected, "{when}");
    }
}

#[test]
fn a_misspelt_name_is_refused_with_its_place_and_a_suggestion() {
    let error = error("supplier.age_days < 7 &&\n  cancelations.count_7d > 3");
    assert_eq!((error.code, error.line, error.column), ("unknown_name", 2, 3));
    assert_eq!(error.text, "cancelations.count_7d");
    assert_eq!(error.suggestion.as_deref(), Some("cancellations.count_7d"));
    for (when, code, suggestion) in [
        ("nothing_like_it > 1", "unknown_name", None),
        ("supplier.age_days.more > 1", "type", None),
        ("cancelations.count('7d') > 1", "unknown_name", Some("cancellations")),
        ("cancellations.coutn('7d') > 1", "unknown_function", Some("count")),
        ("wilson_lower(order, '7d') > 0.1", "unknown_name", Some("orders")),
        ("math.flor(supplier.age_days) > 1.0", "unknown_function", Some("math.floor")),
        ("cancellations.count('7w') > 1", "bad_window", None),
        ("cancellations.count('91d') > 1", "bad_window", None),
        ("cancellations.count('1s') > 1", "bad_window", None),
        ("cancellations.count('-7d') > 1", "bad_window", None),
        ("listing.sku.matches('(') ", "bad_pattern", None),
        ("listing.sku.matches('(a{1000}){1000}') ", "bad_pattern", None),
    ] {
        let error = self::error(when);
        assert_eq!((error.code, error.suggestion.as_deref()), (code, suggestion), "{when}: {error}");
    }
}

#[test]
fn wrong_types_and_what_cannot_be_compiled_are_refused() {
    for (when, code) in [
        ("supplier.age_days", "not_a_condition"),
        ("supplier.age_days + 1 > 2.0", "type"),
        ("supplier.age_days && true", "type"),
        ("supplier.age_days == 'new'", "type"),
        ("supplier.age_days > true", "type"),
        ("[supplier.age_days].exists(x, x > 1.0)", "not_scalar"),
        ("string(supplier.age_days) == '7'", "not_scalar"),
        ("size(listing.sku) > 2", "not_scalar"),
        ("has(supplier.age_days)", "unknown_name"),
        ("Thing{a: 1} == 1", "unsupported"),
        ("supplier.age_days > ", "syntax"),
        ("supplier.age_days = 1.0", "syntax"),
        ("", "syntax"),
        ("'unterminated", "syntax"),
    ] {
        let error = error(when);
        assert_eq!(error.code, code, "{when}: {error}");
    }
    assert_eq!(truth("size('abc') > 2 && 'aa'.matches('a+')", &[]), Truth::True, "constants may be anything");
}

#[test]
fn hostile_input_is_refused_before_it_costs_anything() {
    let atom = "supplier.age_days > 1.0";
    for when in [
        format!("{}{atom}{}", "(".repeat(1_500), ")".repeat(1_500)),
        format!("{}true", "!".repeat(3_000)),
        format!("{}1 > 0", "-".repeat(3_000)),
        vec![atom; 500].join(" && "),
        format!("{atom} && {}", vec!["1"; 1_500].join("+")) + " > 0",
        format!("{} {atom}", "true ? ".repeat(500)),
        "[".repeat(3_000),
        format!("a{}", ".b".repeat(1_500)),
        format!("a{}", "[0]".repeat(1_200)),
    ] {
        let code = error(&when).code;
        assert!(matches!(code, "too_large" | "syntax"), "{code}");
    }
    // Loops in loops over constants: written out it would be millions of parts, evaluated it would be as many steps.
    let list = format!("[{}]", (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let nested =
        format!("{list}.all(a, {list}.all(b, {list}.all(c, supplier.age_days > double(a + b + c))))");
    assert_eq!(error(&nested).code, "too_large");
    let constant = format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a + b + c + d >= 0))))");
    assert_eq!(error(&format!("{constant} || supplier.age_days > 1.0")).code, "too_large");
    // A text that doubles forty times.
    let mut doubling = String::from("'aaaaaaaaaa'");
    for _ in 0..40 {
        doubling = format!("cel.bind(x, {doubling}, x + x)");
    }
    assert_eq!(error(&format!("{doubling} == '' || supplier.age_days > 1.0")).code, "too_large");
}

#[test]
fn an_explanation_shows_every_branch_and_what_would_have_had_to_differ() {
    let schema = schema();
    let when = "cancellations.count_7d >= 5 && (supplier.age_days < 7 || cancellations.rate_7d_low > 0.5)";
    let condition = Condition::compile(when, &schema).unwrap();
    let explanation = condition.explain(&schema, &Snapshot::of(&[6.0, NAN, 3.5]));
    assert_eq!(
        explanation.tree,
        [
            "true    all of",
            "  true    cancellations.count_7d [6] >= 5",
            "  true    any of",
            "    true    supplier.age_days [3.5] < 7",
            "    skipped cancellations.rate_7d_low [unknown] > 0.5",
        ]
    );
    let shown: Vec<_> =
        explanation.counterfactuals.iter().map(|c| (c.feature.as_str(), c.needed, c.decides)).collect();
    assert_eq!(
        shown,
        [
            ("cancellations.count_7d", 4.0, true),
            ("supplier.age_days", 7.0, true),
            ("cancellations.rate_7d_low", f64::from(0.5f32.next_up()), false),
        ],
        "the nearest first, and those that would change nothing last"
    );
    let not = condition.explain(&schema, &Snapshot::of(&[2.0, 0.9, 30.0]));
    assert_eq!(not.truth, Truth::False);
    assert!(not.counterfactuals[0].decides && not.counterfactuals[0].needed == 5.0, "{not:?}");
}

const SET: &str = "
let:
  busy: cancellations.count_7d >= 5
rules:
  - id: many-cancellations
    title: Cancels too much
    when: busy
    level: quarantine
    for: 7d
    reasons: [DEFECT_RATE]
    evidence: cancellations.count_7d
    mode: live
  - id: sleeping
    title: Off
    when: 'true'
    level: watch
    for: 1h
    reasons: [MANUAL_REVIEW]
    evidence: supplier.age_days
    mode: off
";

fn ids(hits: &[&Rule]) -> Vec<String> {
    hits.iter().map(|rule| rule.spec.id.to_string()).collect()
}

#[test]
fn a_set_is_content_hashed_and_reports_only_true_rules_that_are_on() {
    let set = RuleSet::compile(SET, schema()).unwrap();
    assert_eq!(set.version, RuleSet::version_of(SET));
    let snapshot = Snapshot::of(&[7.0, 0.0, 1.0]);
    let hits = set.hits(&snapshot);
    assert_eq!(ids(&hits), ["many-cancellations"]);
    assert_eq!((set.evidence(hits[0], &snapshot), hits[0].duration_ms), (7.0, 7 * 86_400_000));
    assert!(set.hits(&Snapshot::of(&[4.0, 0.0, 1.0])).is_empty());
    let again = RuleSet::compile(&SET.replace("title: Off", "title: On"), schema()).unwrap();
    assert_eq!(again.rules()[0].content, set.rules()[0].content, "the same rule in another set");
    assert_ne!(again.rules()[1].content, set.rules()[1].content);
}

#[test]
fn every_problem_of_a_set_is_reported_and_no_part_of_it_is_used() {
    let bad = SET
        .replace("busy: cancellations.count_7d >= 5", "busy: cancellation.count_7d >= 5")
        .replace("for: 1h", "for: soon")
        .replace("evidence: supplier.age_days", "evidence: supplier.age");
    let errors = RuleSet::compile(&bad, schema()).unwrap_err();
    let codes: Vec<_> = errors.iter().map(|e| (e.rule.as_deref(), e.code)).collect();
    assert!(codes.contains(&(Some("let busy"), "unknown_name")), "{codes:?}");
    assert!(codes.contains(&(Some("sleeping"), "bad_set")), "{codes:?}");
    assert!(codes.contains(&(Some("sleeping"), "unknown_name")), "{codes:?}");
    for (from, to, code) in [
        ("title: Off", "titel: Off", "bad_set"),
        ("id: sleeping", "id: many-cancellations", "bad_set"),
        ("mode: off", "mode: canary", "bad_set"),
        ("mode: off", "mode: off\n    holdout_percent: 80", "bad_set"),
        ("mode: off", "mode: off\n    budget: {per: 1h}", "bad_set"),
        ("mode: off", "mode: off\n    budget: {per: 1h, stock_share: 1.5}", "bad_set"),
        ("  busy:", "  supplier:", "bad_set"),
        ("cancellations.count_7d >= 5", "calm\n  calm: busy", "refers_to_itself"),
        ("mode: off", "mode: off\n    examples: [{name: new, given: {}, expect: 'false'}]", "example_failed"),
    ] {
        let errors = RuleSet::compile(&SET.replace(from, to), schema()).unwrap_err();
        assert!(errors.iter().any(|error| error.code == code), "{to}: {errors:?}");
    }
}

#[test]
fn the_budget_of_caps_counts_suppliers_and_no_stock() {
    let with = |budget: &str| RuleSet::compile(&format!("budget_of_caps: {budget}\n{SET}"), schema());
    let read = with("{ suppliers: 5000, per: 24h }").unwrap().budget_of_caps.unwrap();
    assert_eq!((read.suppliers, read.per_ms), (Some(5_000), 86_400_000));
    for wrong in
        ["{ per: 24h }", "{ suppliers: 5, stock_share: 0.1, per: 24h }", "{ suppliers: 5, per: soon }"]
    {
        assert_eq!(with(wrong).map(|_| ()).unwrap_err()[0].code, "bad_set", "{wrong}");
    }
}

#[test]
fn examples_must_come_out_before_a_set_is_used() {
    let with = |expect: &str| {
        let examples = format!(
            "mode: live\n    examples: [{{name: six, given: {{'cancellations.count(\"7d\")': 6}}, expect: {expect}}}]"
        );
        RuleSet::compile(&SET.replace("mode: live", &examples), schema())
    };
    assert!(with("'true'").is_ok());
    let errors = with("'false'").unwrap_err();
    assert_eq!(errors[0].code, "example_failed");
    assert!(errors[0].detail.contains("cancellations.count_7d [6] >= 5"), "{}", errors[0].detail);
}

#[test]
fn a_canary_is_live_for_the_same_suppliers_every_time_and_about_as_many_as_it_says() {
    let set = RuleSet::compile(
        &SET.replace("mode: live", "mode: canary\n    canary_percent: 10\n    holdout_percent: 20"),
        schema(),
    )
    .unwrap();
    let rule = &set.rules()[0];
    let names: Vec<String> = (0..10_000).map(|n| format!("s-{n}")).collect();
    let acted = names.iter().filter(|name| rule.acts_on(name)).count();
    let held = names.iter().filter(|name| rule.holds_out(name)).count();
    assert!((850..1_150).contains(&acted), "{acted} of 10000 at 10 %");
    assert!((1_850..2_150).contains(&held), "{held} of 10000 at 20 %");
    let both = names.iter().filter(|name| rule.acts_on(name) && rule.holds_out(name)).count();
    assert!((130..270).contains(&both), "{both}: the two shares have nothing to do with each other");
}

#[test]
fn a_rule_ends_on_its_date() {
    let set = RuleSet::compile(
        &SET.replace("mode: live", "mode: live\n    expires: 1970-01-02T00:00:00Z"),
        schema(),
    )
    .unwrap();
    let at = |now_ms| set.hits(&Snapshot { now_ms, ..Snapshot::of(&[7.0]) }).len();
    assert_eq!((at(86_399_999), at(86_400_000)), (1, 0));
}

#[test]
fn association_alone_never_locks_whatever_a_rule_says() {
    let schema = Arc::new(FeatureSchema::new(vec![
        feature("links.strength", ""),
        feature("frauds.count_7d", "count"),
    ]));
    let compile = |level: &str, when: &str| {
        let source = format!(
            "rules: [{{id: r, title: t, when: '{when}', level: {level}, for: 1h, reasons: [R], evidence: frauds.count_7d, mode: live}}]"
        );
        RuleSet::compile(&source, schema.clone())
    };
    let holds =
        |level, when, slots: &[f32]| !compile(level, when).unwrap().hits(&Snapshot::of(slots)).is_empty();
    assert_eq!(compile("lockout", "links.strength > 0.5").unwrap_err()[0].code, "association_alone");
    assert!(holds("watch", "links.strength > 0.5", &[1.0, 9.0]), "a person may look");
    assert!(!holds("lockout", "links.strength > 0.5 || frauds.count_7d > 20.0", &[1.0, 9.0]));
    assert!(holds("lockout", "links.strength > 0.5 && frauds.count_7d > 2.0", &[1.0, 9.0]));
    assert!(holds("lockout", "links.strength > 0.5 || frauds.count_7d > 2.0", &[0.1, 9.0]));
    let set = compile("lockout", "frauds.count_7d > (links.strength > 0.5 ? 2.0 : 20.0)").unwrap();
    let needs = |slots: &[f32]| set.by_association(&set.rules()[0], &Snapshot::of(slots));
    assert!(needs(&[1.0, 9.0]) && needs(&[0.1, 90.0]));
}

/// Conditions over three features and the time, of every form that compiles.
fn condition(depth: u32) -> BoxedStrategy<String> {
    let number = {
        let leaf = prop_oneof![
            Just("cancellations.count_7d".to_owned()),
            Just("cancellations.rate_7d_low".to_owned()),
            Just("supplier.age_days".to_owned()),
            (-4i32..9).prop_map(|n| format!("{n}.5")),
            (-4i32..9).prop_map(|n| format!("double({n})")),
        ];
        leaf.prop_recursive(depth, 24, 3, |inner| {
            prop_oneof![
                (inner.clone(), prop_oneof![Just("+"), Just("-"), Just("*"), Just("/")], inner.clone())
                    .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
                (
                    inner.clone(),
                    prop_oneof![Just("floor"), Just("abs"), Just("sqrt"), Just("sign"), Just("round")]
                )
                    .prop_map(|(a, f)| format!("math.{f}({a})")),
                inner.clone().prop_map(|a| format!("(-{a})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("math.greatest({a}, {b})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("({a} < {b} ? {c} : {a})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("cel.bind(x, {a}, x + x * {b})")),
            ]
        })
    };
    let sign = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
    let test = prop_oneof![
        (number.clone(), sign.clone(), number.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (number.clone(), sign.clone(), -3i32..9).prop_map(|(a, sign, n)| format!("{a} {sign} {n}")),
        (number.clone(), sign.clone(), 1i32..5, -3i32..9)
            .prop_map(|(a, sign, m, n)| format!("int({a}) % {m} + 1 {sign} {n}")),
        (number.clone(), -3i32..9).prop_map(|(a, n)| format!("{a} in [{n}, 2.5, 'x']")),
        (number.clone(), 0i32..4).prop_map(|(a, n)| format!("[{n}.0, 2.5].exists_one(x, {a} > x)")),
        (0i32..24, sign.clone()).prop_map(|(n, sign)| format!("now.getHours() {sign} {n}")),
        (0i32..50, sign)
            .prop_map(|(n, sign)| format!("now - timestamp('1970-01-01T00:00:00Z') {sign} duration('{n}h')")),
        Just("supplier.id.startsWith('a')".to_owned()),
        Just("known(cancellations.count_7d)".to_owned()),
        Just("known(listing.sku)".to_owned()),
        Just("listing.sku == 'x'".to_owned()),
        Just("true".to_owned()),
    ];
    test.prop_recursive(depth, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" && "))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" || "))),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) == ({b}))")),
        ]
    })
    .boxed()
}

fn slot() -> impl Strategy<Value = f32> {
    prop_oneof![
        Just(NAN),
        Just(0.0),
        Just(f32::INFINITY),
        -4f32..9.0,
        (-4i32..9).prop_map(|n| n as f32),
        (-4i32..9).prop_map(|n| n as f32 + 0.5)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_form_says_what_the_general_evaluator_says(
        when in condition(3),
        snapshots in prop::collection::vec((prop::collection::vec(slot(), 0..4), 0i64..200_000_000), 1..6),
    ) {
        let schema = schema();
        if let Ok(condition) = Condition::compile(&when, &schema) {
            let mut scratch = Scratch::default();
            for (slots, now_ms) in &snapshots {
                let snapshot = Snapshot { slots, now_ms: *now_ms, supplier: "acme", listing: None };
                prop_assert_eq!(
                    condition.truth(&snapshot, &mut scratch),
                    condition.truth_in_general(&schema, &snapshot),
                    "{} over {:?}", when, snapshot
                );
            }
        }
    }

    #[test]
    fn a_set_finds_the_rules_that_are_true_one_by_one(
        whens in prop::collection::vec(condition(1), 1..12),
        slots in prop::collection::vec(slot(), 4..5),
    ) {
        let mut source = String::from("rules:\n");
        for (n, when) in whens.iter().enumerate() {
            let _ = writeln!(source, "  - {{id: r-{n}, title: t, when: {when:?}, level: watch, for: 1h, reasons: [R], evidence: supplier.age_days, mode: live}}");
        }
        if let Ok(set) = RuleSet::compile(&source, schema()) {
            let snapshot = Snapshot { supplier: "acme", ..Snapshot::of(&slots) };
            let expected: Vec<&Rule> =
                set.rules().iter().filter(|rule| set.truth_in_general(rule, &snapshot) == Truth::True).collect();
            prop_assert_eq!(ids(&set.hits(&snapshot)), ids(&expected), "{}", source);
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("supplier.age_days".to_owned()), Just("(".to_owned()), Just(")".to_owned()), Just("&&".to_owned()),
                Just("!".to_owned()), Just("1".to_owned()), Just(".".to_owned()), Just("?".to_owned()), Just(":".to_owned()),
                Just("in".to_owned()), Just("[".to_owned()), Just("'".to_owned()), Just("9".repeat(40)), "\\PC{0,6}",
            ],
            0..30,
        ),
    ) {
        let _ = Condition::compile(&parts.join(" "), &schema());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_range_of_four_byte_values_is_the_comparison_with_the_eight_byte_bound(
        near in prop_oneof![any::<f32>(), Just(0.0), Just(-0.0), Just(f32::MAX), -100f32..100.0, Just(f32::MIN_POSITIVE)],
        off in prop_oneof![Just(0i64), -3i64..4],
        value in prop_oneof![any::<f32>(), Just(0.0)],
        steps in -2i32..3,
        sign in 0usize..6,
    ) {
        use crate::{program::Compare, range::Range};
        let sign = [Compare::Less, Compare::LessEqual, Compare::Greater, Compare::GreaterEqual, Compare::Equal, Compare::NotEqual][sign];
        // Bounds in and between the values that a slot can hold, and values around the bound.
        let bound = f64::from_bits((f64::from(near).to_bits() as i64).wrapping_add(off) as u64);
        if !bound.is_finite() {
            return Ok(());
        }
        let around = match steps {
            2 => near.next_up(),
            1 => near.next_down(),
            0 => near,
            _ => value,
        };
        if let Some(range) = Range::of(0, sign, bound) {
            let expected = around.is_finite() && sign.holds(f64::from(around), bound);
            prop_assert_eq!(range.holds(&[around]), expected, "{} {:?} {}", around, sign, bound);
        }
    }
}
