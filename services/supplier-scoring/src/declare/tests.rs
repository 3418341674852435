use super::*;

fn wrong(source: &str) -> Vec<(&'static str, Option<String>)> {
    match FeatureSet::compile(source) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| (error.code, error.name)).collect(),
    }
}

fn one(feature: &str) -> Vec<&'static str> {
    let source = format!(
        "measures: {{orders: {{events: [placed]}}, by_sku: {{events: [placed], per: sku}}}}\nfeatures:\n  - {{name: a.b, unit: u, meaning: m, {feature}}}\n"
    );
    wrong(&source).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn the_default_declaration_compiles_and_its_records_stay_small() {
    let features = FeatureSet::default_set();
    let slots = features.schema().features().len();
    // Three of each test beside the declared ones: a record is then some 440 bytes.
    assert!(slots <= 110, "{slots}");
    assert_eq!(features.schema().slot(SCORE), Some(slots - 1));
}

#[test]
fn what_is_wrong_is_said_with_a_code_and_the_place() {
    assert_eq!(one("count: orders, in: 24h"), Vec::<&str>::new());
    assert_eq!(one("count: order, in: 24h"), ["unknown_name"]);
    assert_eq!(one("count: orders"), ["bad_window"]);
    assert_eq!(one("count: orders, in: 91d"), ["bad_window"]);
    assert_eq!(one("count: orders, in: soon"), ["bad_window"]);
    assert_eq!(one("count: orders, sum: orders, in: 1h"), ["bad_feature"]);
    assert_eq!(one("distinct: by_sku, in: 1h"), ["bad_feature"]);
    assert_eq!(one("ratio: [a.b, a.b]"), ["refers_to_itself"]);
    assert_eq!(one("ratio: [a.b, a.c]"), ["unknown_name"]);
    assert_eq!(one("colour: red"), ["syntax"]);
    assert_eq!(
        wrong("measures: {}\nfeatures: [{name: score.total, unit: u, meaning: m, fact: age_days}]")[0].0,
        "bad_feature"
    );
}

#[test]
fn a_circle_of_ratios_is_refused_and_a_chain_is_not() {
    let declare = |pairs: &[(&str, &str, &str)]| {
        let each = pairs.iter().map(|(name, over, under)| {
            format!("  - {{name: {name}, unit: u, meaning: m, ratio: [{over}, {under}]}}\n")
        });
        format!(
            "measures: {{}}\nfeatures:\n{}  - {{name: f.age, unit: u, meaning: m, fact: age_days}}\n",
            each.collect::<String>()
        )
    };
    assert_eq!(wrong(&declare(&[("f.a", "f.b", "f.age"), ("f.b", "f.age", "f.age")])), []);
    let circle =
        wrong(&declare(&[("f.a", "f.b", "f.age"), ("f.b", "f.c", "f.age"), ("f.c", "f.age", "f.a")]));
    assert_eq!(circle.len(), 3);
    assert!(circle.iter().all(|(code, _)| *code == "refers_to_itself"));
}

#[test]
fn what_costs_too_much_is_refused() {
    let mut source = "measures:\n".to_owned();
    (0..40).for_each(|n| source += &format!("  m{n}: {{events: [placed], per: sku}}\n"));
    source += "features:\n";
    for window in ["1h", "2h", "3h", "4h"] {
        for measure in 0..16 {
            source += &format!(
                "  - {{name: f.m{measure}_{window}, unit: u, meaning: m, count: m{measure}, in: {window}}}\n"
            );
        }
    }
    assert_eq!(wrong(&source), []);
    let by_region = source.replace("per: sku", "per: region");
    assert_eq!(wrong(&by_region), []);
    let mut many = "measures:\n".to_owned();
    (0..16).for_each(|n| many += &format!("  m{n}: {{events: [placed], per: sku}}\n"));
    many += "features:\n";
    for measure in 0..16 {
        let ages: Vec<String> = (1..=16).map(|age| format!("[{age}h, 0.5]")).collect();
        many += &format!(
            "  - {{name: f.m{measure}, unit: u, meaning: m, in: 16h, cohort_rate_low: {{hits: m{measure}, orders: m{measure}, known: [{}]}}}}\n",
            ages.join(", ")
        );
    }
    assert_eq!(wrong(&many), [("too_costly", None)]);
    assert_eq!(wrong(&"#".repeat(300 * 1024)), [("too_large", None)]);
}
