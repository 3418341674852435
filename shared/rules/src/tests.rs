use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn schema() -> Arc<FeatureSchema> {
    let feature = |name: &str| Feature { name: name.to_owned(), unit: String::new(), meaning: String::new() };
    let names = ["cancellations.count_7d", "cancellations.rate_7d_low", "supplier.age_days"];
    Arc::new(FeatureSchema::new(names.map(feature).to_vec()))
}

fn truth(when: &str, slots: &[f32]) -> Truth {
    let schema = schema();
    let env = Arc::new(cel::Env::stdlib());
    Condition::compile(when, &schema).unwrap_or_else(|e| panic!("{when}: {e}")).truth(&schema, &env, slots)
}

fn error(when: &str) -> RuleError {
    Condition::compile(when, &schema()).expect_err(when)
}

const NAN: f32 = f32::NAN;

#[test]
fn conditions_compare_features_with_whole_and_broken_numbers() {
    assert_eq!(truth("cancellations.count_7d >= 5", &[5.0, 0.1, 3.0]), Truth::True);
    assert_eq!(
        truth("cancellations.count_7d >= 5 && cancellations.rate_7d_low > 0.2", &[5.0, 0.1, 3.0]),
        Truth::False
    );
    assert_eq!(truth("cancellations.count_7d * 2.0 > supplier.age_days", &[2.0, 0.0, 3.0]), Truth::True);
    assert_eq!(
        truth("!(supplier.age_days < 7) || cancellations.count_7d == 5.0", &[5.0, 0.0, 3.0]),
        Truth::True
    );
    assert_eq!(truth("(supplier.age_days < 7 ? 1.0 : 2.0) > 1.5", &[5.0, 0.0, 3.0]), Truth::False);
}

#[test]
fn what_is_missing_is_unknown_and_unknown_is_not_true() {
    assert_eq!(truth("cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(truth("!(cancellations.count_7d >= 5)", &[NAN, 0.1, 3.0]), Truth::Unknown);
    assert_eq!(
        truth("cancellations.count_7d < 5 || cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]),
        Truth::Unknown
    );
    assert_eq!(truth("cancellations.count_7d >= 5 && supplier.age_days > 9", &[NAN, 0.1, 3.0]), Truth::False);
    assert_eq!(truth("supplier.age_days > 9 && cancellations.count_7d >= 5", &[NAN, 0.1, 3.0]), Truth::False);
    assert_eq!(truth("cancellations.count_7d >= 5 || supplier.age_days < 9", &[NAN, 0.1, 3.0]), Truth::True);
    assert_eq!(truth("supplier.age_days > 1", &[]), Truth::Unknown, "a shorter vector has unknown features");
}

#[test]
fn a_misspelt_name_is_refused_with_its_place_and_a_suggestion() {
    let error = error("supplier.age_days < 7 &&\n  cancelations.count_7d > 3");
    assert_eq!((error.code, error.line), ("unknown_name", 2));
    assert!(error.detail.contains("did you mean cancellations.count_7d?"), "{}", error.detail);
    assert_eq!(self::error("nothing_like_it > 1").code, "unknown_name");
    assert_eq!(self::error("supplier.age_days.more > 1").code, "unknown_name");
}

#[test]
fn wrong_types_and_foreign_constructs_are_refused() {
    for (when, code) in [
        ("supplier.age_days", "not_a_condition"),
        ("supplier.age_days + 1 > 2", "type"),
        ("supplier.age_days && true", "type"),
        ("supplier.age_days == 'new'", "type"),
        ("supplier.age_days > true", "type"),
        ("[1, 2].exists(x, x > 1)", "unsupported"),
        ("has(supplier.age_days)", "unknown_name"),
        ("size('abc') > 2", "type"),
        ("matches('a', 'a+')", "type"),
        ("supplier.age_days > ", "syntax"),
        ("", "syntax"),
        ("'unterminated", "syntax"),
    ] {
        assert_eq!(error(when).code, code, "{when}");
    }
}

#[test]
fn deep_and_long_input_is_refused_before_it_is_parsed() {
    let deep = format!("{}supplier.age_days > 1{}", "(".repeat(5_000), ")".repeat(5_000));
    let nots = format!("{}true", "!".repeat(3_000));
    let wide = vec!["supplier.age_days > 1"; 500].join(" && ");
    for when in [deep, nots, wide] {
        assert_eq!(error(&when).code, "too_large");
    }
}

#[test]
fn an_explanation_shows_every_branch_with_the_value_it_saw() {
    let schema = schema();
    let env = Arc::new(cel::Env::stdlib());
    let when = "cancellations.count_7d >= 5 && (supplier.age_days < 7 || cancellations.rate_7d_low > 0.5)";
    let condition = Condition::compile(when, &schema).unwrap();
    let lines = condition.explain(&schema, &env, &[6.0, NAN, 3.5]);
    assert_eq!(
        lines,
        [
            "true    all of",
            "  true    cancellations.count_7d [6] >= 5",
            "  true    any of",
            "    true    supplier.age_days [3.5] < 7",
            "    unknown cancellations.rate_7d_low [unknown] > 0.5",
        ]
    );
    assert_eq!(condition.values(&[6.0, NAN, 3.5]).len(), 2);
}

const SET: &str = "
rules:
  - id: many-cancellations
    title: Cancels too much
    when: cancellations.count_7d >= 5
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

#[test]
fn a_set_is_content_hashed_and_reports_only_true_rules_that_are_on() {
    let set = RuleSet::compile(SET, schema()).unwrap();
    assert_eq!(set.version, RuleSet::version_of(SET));
    let hits = set.evaluate(&[7.0, 0.0, 1.0]);
    assert_eq!(hits.iter().map(|hit| hit.rule.spec.id.as_str()).collect::<Vec<_>>(), ["many-cancellations"]);
    assert_eq!((hits[0].evidence, hits[0].rule.duration_ms), (7.0, 7 * 86_400_000));
    assert!(set.evaluate(&[4.0, 0.0, 1.0]).is_empty());
}

#[test]
fn every_problem_of_a_set_is_reported_and_no_part_of_it_is_used() {
    let bad = SET
        .replace("when: cancellations.count_7d >= 5", "when: cancellation.count_7d >= 5")
        .replace("for: 1h", "for: soon")
        .replace("evidence: supplier.age_days", "evidence: supplier.age");
    let errors = RuleSet::compile(&bad, schema()).unwrap_err();
    let codes: Vec<_> = errors.iter().map(|e| (e.rule.as_deref(), e.code)).collect();
    assert_eq!(
        codes,
        [
            (Some("many-cancellations"), "unknown_name"),
            (Some("sleeping"), "bad_set"),
            (Some("sleeping"), "unknown_name")
        ]
    );
    let unknown_field = SET.replace("title: Off", "titel: Off");
    assert_eq!(RuleSet::compile(&unknown_field, schema()).unwrap_err()[0].code, "bad_set");
    let twice = SET.replace("id: sleeping", "id: many-cancellations");
    assert!(RuleSet::compile(&twice, schema()).unwrap_err()[0].detail.contains("twice"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
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

#[test]
fn association_alone_never_locks_whatever_a_rule_says() {
    let feature = |name: &str| Feature { name: name.to_owned(), unit: String::new(), meaning: String::new() };
    let schema = Arc::new(FeatureSchema::new(["links.strength", "frauds.count_7d"].map(feature).to_vec()));
    let rules = |level: &str, when: &str| {
        let source = format!(
            "rules: [{{id: r, title: t, when: '{when}', level: {level}, for: 1h, reasons: [R], evidence: frauds.count_7d, mode: live}}]"
        );
        RuleSet::compile(&source, schema.clone()).unwrap()
    };
    let holds = |level, when, slots: &[f32]| !rules(level, when).evaluate(slots).is_empty();
    assert!(!holds("lockout", "links.strength > 0.5", &[1.0, 9.0]));
    assert!(holds("watch", "links.strength > 0.5", &[1.0, 9.0]), "a person may look");
    assert!(!holds("lockout", "links.strength > 0.5 || frauds.count_7d > 20.0", &[1.0, 9.0]));
    assert!(holds("lockout", "links.strength > 0.5 && frauds.count_7d > 2.0", &[1.0, 9.0]));
    assert!(holds("lockout", "links.strength > 0.5 || frauds.count_7d > 2.0", &[0.1, 9.0]));
}
