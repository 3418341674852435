//! What a set is refused for or warned of, and where that is said to stand.

use super::*;

fn bounded() -> Arc<FeatureSchema> {
    let with = |name: &str, bounds: Bounds| Feature { name: name.to_owned(), bounds, ..Feature::default() };
    let week = Binding { measure: "m".to_owned(), take: Take::Rate, window_ms: 7 * 86_400_000 };
    let mut rate = with("m.rate_7d", Bounds::SHARE);
    rate.window = Some(week);
    let features = vec![
        rate,
        Feature { attested: true, ..with("m.count", Bounds::COUNT) },
        with("a.days", Bounds::POSITIVE),
        with("a.z", Bounds::ANY),
        with("links.strength", Bounds::POSITIVE),
        with("score.total", Bounds::POINTS),
    ];
    Arc::new(FeatureSchema::new(features).with_measures(vec!["m".to_owned()]))
}

fn set(level: &str, when: &str) -> Result<RuleSet, Vec<RuleError>> {
    let source = format!(
        "rules:\n  - id: r\n    title: t\n    when: {when:?}\n    floor: attested\n    level: {level}\n    for: 1h\n    reasons: [R]\n    evidence: m.count\n    mode: live\n"
    );
    RuleSet::compile(&source, bounded())
}

fn warnings(when: &str) -> Vec<(&'static str, String)> {
    let set = set("watch", when).unwrap_or_else(|errors| panic!("{when}: {errors:?}"));
    set.warnings().iter().map(|warning| (warning.code, warning.text.clone())).collect()
}

fn refused(level: &str, when: &str) -> Vec<&'static str> {
    let errors = set(level, when).map_or_else(|errors| errors, |set| set.unpublishable("", 0));
    errors.iter().map(|error| error.code).collect()
}

#[test]
fn a_comparison_that_what_a_feature_can_be_decides_is_warned_of() {
    for (when, code, text) in [
        ("m.rate_7d > 30", "never_holds", "m.rate_7d > 30"),
        ("m.rate(\"7d\") >= 1.5 || m.count > 3", "never_holds", "m.rate(\"7d\") >= 1.5"),
        ("3 == m.rate_7d || m.count > 3", "never_holds", "3 == m.rate_7d"),
        ("m.rate_7d in [5, 30] || m.count > 3", "never_holds", "m.rate_7d in [5, 30]"),
        ("m.count < 0 || a.z > 1", "never_holds", "m.count < 0"),
        ("m.count == 2.5 || a.z > 1", "never_holds", "m.count == 2.5"),
        ("score > 1000", "never_holds", "score > 1000"),
        ("!(m.rate_7d <= 30) || a.z > 1", "always_holds", "m.rate_7d <= 30"),
        ("a.days >= 0 && a.z > 1", "always_holds", "a.days >= 0"),
        ("m.rate_7d > 60 / 2 || a.z > 1", "never_holds", "m.rate_7d > 60 / 2"),
    ] {
        assert_eq!(warnings(when), [(code, text.to_owned())], "{when}");
    }
    for when in
        ["m.rate_7d > 0.3", "m.rate_7d >= 1", "m.count > 2.5", "a.z > 5e6", "a.days > 1e6", "m.rate_7d == 0"]
    {
        assert_eq!(warnings(when), [], "{when}");
    }
    let percent = set("watch", "m.rate_7d > 30").unwrap();
    assert_eq!(percent.warnings()[0].suggestion.as_deref(), Some("0.3"));
}

#[test]
fn a_condition_that_can_never_be_true_as_a_whole_is_warned_of_and_one_that_contradicts_itself_is_refused() {
    for when in ["m.rate_7d * 100.0 > 300", "m.rate_7d + m.rate_7d > 2", "false", "m.count - m.rate_7d < -2"]
    {
        assert_eq!(
            warnings(when).iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            ["never_holds"],
            "{when}"
        );
    }
    for when in [
        "m.rate_7d > 0.5 && m.rate_7d < 0.3",
        "a.z > 5 && !(a.z > 3)",
        "m.count > 3 && m.count < 4",
        "a.z == 1 && a.z != 1",
        "(a.z > 5 || a.days > 5) && a.z < 3 && a.days < 3",
        "a.z < 3 && (a.days > 9 ? a.z > 5 : a.z > 4)",
        "a.z > a.days && a.days > a.z",
        "a.z > a.z",
        "a.z * 2.0 > 5.0 && a.z * 2.0 < 4.0",
        "now < timestamp('2020-01-01T00:00:00Z') && now > timestamp('2021-01-01T00:00:00Z')",
        "supplier.id == 'a' && supplier.id == 'b'",
        "supplier.id in ['a', 'b'] && !supplier.id.startsWith('a') && supplier.id != 'b'",
        "supplier.id.startsWith('x') && !supplier.id.startsWith('x')",
        "!known(a.z) && a.z > 3",
        "!known(a.z) && a.z + 1.0 > 3",
        "known(a.z) && !known(a.z)",
        "[1.0, 2.0].all(x, a.z == x)",
        "cel.bind(low, a.z < 1, low && a.z > 2)",
    ] {
        assert_eq!(refused("watch", when), ["contradiction"], "{when}");
    }
    let why = set("watch", "m.rate_7d > 0.5 && m.rate_7d < 0.3").unwrap().unpublishable("", 0);
    assert!(why[0].detail.contains("m.rate_7d would have to be"), "{}", why[0].detail);
    for when in [
        "a.z > 5 || a.z < 3",
        "a.z >= 5 && a.z <= 5",
        "m.count > 3 && m.count < 5",
        "a.z > 3.1 && a.z < 3.2",
        "a.z > a.days || a.days > a.z",
        "(a.z > 5 || a.days > 5) && a.z < 3",
        "known(a.z) && a.z > 3",
        "(known(a.z) ? a.z : 9.0) > 5",
        "[1.0, 2.0].exists_one(x, a.z == x)",
        "supplier.id in ['a', 'b'] && !supplier.id.startsWith('a')",
    ] {
        assert_eq!(refused("watch", when), [""; 0], "{when}");
    }
}

#[test]
fn a_constant_that_cannot_be_is_warned_of_with_what_was_probably_meant() {
    for (when, text, suggestion) in [
        ("now > timestamp('2026-02-30T00:00:00Z')", "timestamp('2026-02-30T00:00:00Z')", None),
        (
            "now > timestamp('2026-02-01T00:00:00')",
            "timestamp('2026-02-01T00:00:00')",
            Some("2026-02-01T00:00:00Z"),
        ),
        ("now > timestamp('2026-02-01')", "timestamp('2026-02-01')", Some("2026-02-01T00:00:00Z")),
        ("now.getHours('Europe/Nowhere') < 6", "'Europe/Nowhere'", None),
        ("now.getHours('Europe/Berln') < 6", "'Europe/Berln'", Some("Europe/Berlin")),
        ("now - timestamp('2026-01-01T00:00:00Z') > duration('3d')", "duration('3d')", Some("72h")),
        ("a.z > 1.0 / 0.0", "1.0 / 0.0", None),
        ("a.z > 1.0 || int('x') == 3", "int('x')", None),
    ] {
        let set = set("watch", when).unwrap_or_else(|errors| panic!("{when}: {errors:?}"));
        let found: Vec<_> =
            set.warnings().iter().map(|w| (w.code, w.text.as_str(), w.suggestion.as_deref())).collect();
        assert!(found.contains(&("impossible_constant", text, suggestion)), "{when}: {found:?}");
        let constants = found.iter().filter(|(code, ..)| *code == "impossible_constant").count();
        assert_eq!(constants, 1, "{when}: only the innermost part is named: {found:?}");
    }
    for when in [
        "now.getHours('+02:00') < 6",
        "now.getHours('Europe/Berlin') < 6",
        "now > timestamp('2026-02-01T00:00:00+01:00')",
    ] {
        assert_eq!(warnings(when), [], "{when}");
    }
}

#[test]
fn whether_a_value_is_known_can_be_asked_and_is_never_unknown() {
    let schema = schema();
    for (when, slots, expected) in [
        ("known(supplier.age_days)", [1.0, 0.1, 3.0], Truth::True),
        ("known(supplier.age_days)", [1.0, 0.1, NAN], Truth::False),
        ("known(supplier.age_days)", [1.0, 0.1, f32::INFINITY], Truth::False),
        ("!known(supplier.age_days) && cancellations.count_7d > 3", [5.0, 0.1, NAN], Truth::True),
        ("known(cancellations.count(\"7d\"))", [5.0, 0.1, NAN], Truth::True),
        ("(known(supplier.age_days) ? supplier.age_days : 0.0) < 7", [5.0, 0.1, NAN], Truth::True),
        ("cel.bind(age, supplier.age_days, known(age) && age < 7)", [5.0, 0.1, 3.0], Truth::True),
        ("known(listing.sku)", [5.0, 0.1, 3.0], Truth::False),
        ("known(supplier.id)", [5.0, 0.1, 3.0], Truth::True),
    ] {
        assert_eq!(truth(when, &slots), expected, "{when}");
    }
    let condition = Condition::compile("known(supplier.age_days) && supplier.age_days < 7", &schema).unwrap();
    let explanation = condition.explain(&schema, &Snapshot::of(&[1.0, 1.0, NAN]));
    assert_eq!(
        explanation.tree,
        [
            "false   all of",
            "  false   known(supplier.age_days [unknown])",
            "  skipped supplier.age_days [unknown] < 7",
        ]
    );
    let has = error("has(supplier.age_days)");
    assert_eq!((has.code, has.suggestion.as_deref()), ("unknown_name", Some("known(supplier.age_days)")));
    assert_eq!(error("has(supplier.age_dys)").suggestion.as_deref(), Some("supplier.age_days"));
    assert_eq!(error("known(supplier.age_dys)").suggestion.as_deref(), Some("supplier.age_days"));
    assert_eq!(error("known(supplier.age_days + 1.0)").code, "type");
    assert_eq!(error("known()").code, "type");
    assert_eq!(error("wilson_lowr(orders, '7d') > 0.1").suggestion.as_deref(), Some("wilson_lower"));
}

#[test]
fn what_is_missing_never_withholds_by_itself_however_it_is_asked_for() {
    for when in [
        "!known(a.z)",
        "!known(a.z) || m.count > 3",
        "known(a.z) == false",
        "(known(a.z) ? a.z : 9.0) > 5",
        "!known(a.z) && now.getHours() < 5",
        "!known(a.z) && supplier.id != 'x'",
        "[1.0].exists(x, !known(a.z) && x > 0.0)",
    ] {
        assert_eq!(refused("quarantine", when), ["unknown_alone"], "{when}");
        assert_eq!(refused("dim", when), [""; 0], "{when}: a milder level may");
    }
    for when in
        ["!known(a.z) && m.count > 3", "known(a.z) && m.count > 0", "known(a.z) && a.z > 3 || m.count > 4"]
    {
        assert_eq!(refused("quarantine", when), [""; 0], "{when}");
    }
}

#[test]
fn that_something_is_known_is_no_deed_beside_links_to_others() {
    assert_eq!(refused("lockout", "links.strength > 0.5 && known(m.count)"), ["association_alone"]);
    assert_eq!(refused("lockout", "links.strength > 0.5 && !known(m.count)"), ["association_alone"]);
    let set = set("lockout", "links.strength > 0.5 && known(m.count) || m.count > 20").unwrap();
    let hits = |count: f32, links: f32| set.hits(&Snapshot::of(&[0.5, count, 1.0, 1.0, links])).len();
    assert_eq!(
        (hits(1.0, 0.9), hits(30.0, 0.1), hits(30.0, 0.9)),
        (0, 1, 0),
        "as with links and nothing else"
    );
}

#[test]
fn a_rule_that_has_expired_is_not_published() {
    let source = "rules:\n  - {id: r, title: t, when: m.count > 1, level: watch, for: 1h, reasons: [R], evidence: m.count,\n     expires: 2026-01-01T00:00:00Z}\n";
    let set = RuleSet::compile(source, bounded()).unwrap();
    let end_ms = 1_767_225_600_000;
    assert_eq!(set.unpublishable(source, end_ms - 1), []);
    let errors = set.unpublishable(source, end_ms);
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].code, errors[0].source_line), ("expired", Some(3)), "{errors:?}");
}

const FOLDED: &str = "let:
  busy: m.count > 3
rules:
  - id: first
    title: t
    when: busy
    level: watch
    for: 1h
    reasons: [R]
    evidence: m.count
  - id: second
    title: t
    # Why it is so long.
    when: >
      m.count > 1
      && m.count > 2

      && (a.days > 3
          || a.dais > 4)
      && busy
    level: watch
    for: 1h
    reasons: [R]
    evidence: m.count
";

#[test]
fn a_finding_says_where_it_stands_in_the_expression_and_in_the_file_whatever_the_style_of_the_scalar() {
    let place = |source: &str| {
        let error = RuleSet::compile(source, bounded()).expect_err(source).remove(0);
        (error.line, error.column, error.source_line, error.source_column)
    };
    assert_eq!(place(FOLDED), (5, 8, Some(19), Some(14)));
    assert_eq!(place(&FOLDED.replace("when: >\n", "when: |\n")), (5, 8, Some(19), Some(14)));
    assert_eq!(place(&FOLDED.replace("when: >\n", "when: >- # so\n")), (5, 8, Some(19), Some(14)));
    assert_eq!(place(&FOLDED.replace("when: >\n", "when:\n")), (5, 4, Some(19), Some(14)));
    assert_eq!(
        place(&FOLDED.replace("when: >\n      m", "when: \"m").replace("&& busy", "&& busy\"")),
        (5, 4, Some(19 - 1), Some(14))
    );
    let in_let = FOLDED.replace("a.dais", "a.days").replace("m.count > 3\n", "m.cuont > 3\n");
    assert_eq!(place(&in_let), (1, 1, Some(2), Some(9)));
    let field = FOLDED.replace("a.dais", "a.days").replace(
        "    for: 1h\n    reasons: [R]\n    evidence: m.count\n  -",
        "    for: soon\n    reasons: [R]\n    evidence: m.count\n  -",
    );
    assert_eq!((place(&field).2, place(&field).3), (Some(8), Some(10)));
    let yaml = FOLDED.replace(
        "    level: watch\n    for: 1h\n    reasons: [R]\n    evidence: m.count\n  -",
        "    levle: watch\n    for: 1h\n    reasons: [R]\n    evidence: m.count\n  -",
    );
    let error = RuleSet::compile(&yaml, bounded()).unwrap_err().remove(0);
    assert_eq!((error.source_line, error.source_column), (Some(7), Some(5)), "{error}");
    assert!(error.detail.contains("did you mean `level`?") && !error.detail.contains("RuleSpec"), "{error}");
    let warned = FOLDED.replace("a.dais > 4", "m.rate_7d > 4");
    let set = RuleSet::compile(&warned, bounded()).unwrap();
    let warning = &set.warnings()[0];
    assert_eq!((warning.code, warning.line, warning.source_line), ("never_holds", 5, Some(19)), "{warning}");
}

#[test]
fn a_fault_in_a_cure_is_found_in_the_cure() {
    let with = |cure: &str| {
        let cure = format!("    when: busy\n    cure: >-\n      busy ||\n      {cure}\n");
        FOLDED.replace("a.dais", "a.days").replace("    when: busy\n", &cure)
    };
    assert!(RuleSet::compile(&with("m.count > 3"), bounded()).is_ok());
    for cure in ["m.cuont > 3", "m.count > > 3", "m.count + 1.0"] {
        let errors = RuleSet::compile(&with(cure), bounded()).unwrap_err();
        let [error] = errors.as_slice() else { panic!("{errors:?}") };
        assert_eq!(error.rule.as_deref(), Some("first"), "{error}");
        assert!(error.to_string().starts_with("rule first: cure, line "), "{error}");
        assert!(error.source_line.is_some_and(|line| (8..=9).contains(&line)), "{cure}: {error:?}");
    }
    let error = RuleSet::compile(&with("m.cuont > 3"), bounded()).unwrap_err().remove(0);
    assert_eq!((error.code, error.source_line, error.source_column), ("unknown_name", Some(9), Some(7)));
    // Where the windows of a set are looked for, what does not parse is met first.
    let error = RuleSet::windows(&with("m.count > > 3"), &bounded()).unwrap_err().remove(0);
    assert_eq!(error.source_line, Some(9), "{error:?}");
}

#[test]
fn the_language_is_as_specified_where_it_was_not() {
    use crate::lang::{Arithmetic, Env, Value, check, evaluate, parse, resolve};
    let env = Env::standard();
    let run = |source: &str| {
        let mut expr = parse(source).unwrap();
        resolve(&mut expr, &env);
        let ty = check(&expr, &env).unwrap().to_string();
        (ty, evaluate(&expr, &|_| None, Arithmetic::Standard))
    };
    for wrong in [
        "'tacocat'.indexOf('a', 30)",
        "'tacocat'.indexOf('a', 7)",
        "'tacocat'.indexOf('a', -1)",
        "'tacocat'.indexOf('', 8)",
        "'tacocat'.lastIndexOf('a', 30)",
        "'tacocat'.lastIndexOf('a', 7)",
        "'tacocat'.lastIndexOf('a', -1)",
        "'tacocat'.lastIndexOf('', 8)",
    ] {
        assert!(run(wrong).1.is_err(), "{wrong}");
    }
    for right in [
        "'tacocat'.indexOf('t', 6) == 6",
        "'tacocat'.indexOf('', 7) == 7",
        "'tacocat'.lastIndexOf('t', 6) == 6",
        "'tacocat'.lastIndexOf('', 7) == 7",
        "''.indexOf('a') == -1",
        "''.lastIndexOf('a') == -1",
        "'ééa'.lastIndexOf('a') == 2",
        "'éaé'.lastIndexOf('é', 1) == 0",
        "'aaa'.lastIndexOf('aa') == 1",
        "'a'.lastIndexOf('longer') == -1",
        "ip('::ffff:c0a8:1') == ip('192.168.0.1')",
        "ip('::ffff:c0a8:1') != ip('192.168.10.1')",
        "cidr('192.168.0.0/16').containsIP(ip('::ffff:c0a8:1'))",
        "cidr('192.168.0.0/16').containsIP('::ffff:c0a8:1')",
        "cidr('::ffff:c0a8:0/112').containsIP('192.168.0.9')",
        "cidr('::ffff:c0a8:0/112') == cidr('192.168.0.0/16')",
        "!cidr('::/0').containsIP('192.168.0.9')",
        "ip('::') != ip('::ffff')",
    ] {
        let (ty, value) = run(right);
        assert!(ty == "bool" && matches!(value, Ok(Value::Bool(true))), "{right}: {value:?}");
    }
    for (source, ty) in [
        ("[optional.of(1), null][0]", "optional_type(int)"),
        ("[null, optional.of(1)][1]", "optional_type(int)"),
        ("[duration('1s'), null][0]", "duration"),
        ("[null, timestamp(0)][1]", "timestamp"),
        ("[1, null][0]", "dyn"),
        ("[null, null][0]", "null"),
    ] {
        assert_eq!(run(source).0, ty, "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    /// The analysis may overlook what is impossible, and must never call impossible what happens.
    #[test]
    fn a_condition_that_holds_of_anybody_is_never_called_a_contradiction(
        when in condition(3),
        snapshots in prop::collection::vec((prop::collection::vec(slot(), 4..5), 0i64..200_000_000), 1..20),
    ) {
        let schema = schema();
        let source = format!("rules:\n  - {{id: r, title: t, when: {when:?}, level: watch, for: 1h, reasons: [R], evidence: supplier.age_days, mode: live}}\n");
        let set = RuleSet::compile(&source, schema.clone());
        // Of a test within the condition it may be said that it never holds; then the condition still may.
        let whole = |set: &RuleSet| {
            let never = |warning: &RuleError| warning.code == "never_holds" && warning.text.is_empty();
            !set.unpublishable(&source, 0).is_empty() || set.warnings().iter().any(never)
        };
        let impossible = set.as_ref().is_ok_and(whole);
        if impossible {
            let condition = Condition::compile(&when, &schema).unwrap();
            for (slots, now_ms) in &snapshots {
                let snapshot = Snapshot { slots, now_ms: *now_ms, supplier: "acme", listing: Some(("l", "x")) };
                prop_assert_ne!(condition.truth(&snapshot, &mut Scratch::default()), Truth::True, "{}", when);
            }
        }
    }
}

#[test]
fn what_withholds_is_published_with_a_promise_only() {
    let floor = |features: [(bool, bool); 2], level: &str, mode: &str, floor: &str| {
        let feature = |(name, (claims, attested)): (&str, (bool, bool))| Feature {
            name: name.to_owned(),
            claims,
            attested,
            ..Feature::default()
        };
        let schema = FeatureSchema::new(["a.x", "b.y"].into_iter().zip(features).map(feature).collect());
        let source = format!(
            "rules:\n  - {{id: r, title: t, when: a.x > 1 && b.y > 1, {floor} level: {level}, for: 1h, reasons: [R], evidence: a.x, mode: {mode}}}\n"
        );
        let set = RuleSet::compile(&source, Arc::new(schema)).unwrap();
        set.unpublishable(&source, 0).iter().map(|error| error.code).collect::<Vec<_>>()
    };
    let (odd, attested, claims) = ((false, false), (false, true), (true, false));
    let refused = vec!["no_false_alarm_bound"];
    let none: Vec<&str> = Vec::new();
    assert_eq!(floor([attested, odd], "quarantine", "live", ""), refused, "no bound at all");
    assert_eq!(floor([attested, odd], "cap", "live", ""), none, "a cap withholds nothing");
    assert_eq!(floor([attested, odd], "quarantine", "shadow", ""), none, "what only watches");
    assert_eq!(floor([attested, odd], "lockout", "live", "floor: attested,"), none);
    assert_eq!(floor([attested, claims], "quarantine", "live", "floor: attested,"), refused, "claims");
    assert_eq!(floor([odd, odd], "quarantine", "live", "floor: attested,"), refused, "merely odd");
}

#[test]
fn places_are_told_in_a_set_with_rules_that_have_a_promise_and_no_condition() {
    let odds = Feature {
        name: "evidence.total".to_owned(),
        counted: Some("orders".to_owned()),
        ..Feature::default()
    };
    let count = Feature { name: "m.count".to_owned(), attested: true, ..Feature::default() };
    let source = "rules:
  - {id: chance, title: t, false_alarms: 1 per 10 supplier-years, level: quarantine, for: 1h, reasons: [R], evidence: evidence.total, mode: live}
  - id: bare
    title: t
    when: m.count > 3
    level: quarantine
    for: 1h
    reasons: [R]
    evidence: m.count
    mode: live
";
    let set = RuleSet::compile(source, Arc::new(FeatureSchema::new(vec![odds, count]))).unwrap();
    let errors = set.unpublishable(source, 0);
    let place = |error: &RuleError| (error.code, error.source_line, error.source_column);
    let places: Vec<_> = errors.iter().map(place).collect();
    assert_eq!(places, [("no_false_alarm_bound", Some(6), Some(12))]);
}
