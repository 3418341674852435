//! The hard marketplace and the honest one, played by the command line.

use std::process::{Command, Output};

use serde_json::Value;

fn stockade(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade")).args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = stockade(arguments);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    if let Some(report) = report.as_object_mut() {
        report.remove("seconds");
    }
    report
}

const SMALL: [&str; 8] = ["evaluate", "--marketplace", "hard", "--scale", "0.1", "--days", "45", "--json"];

#[test]
fn the_hard_marketplace_is_told_by_kind_and_the_same_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let csv = directory.path().join("lockouts.csv");
    let found = report(&[&SMALL[..], &["--lockouts", csv.to_str().unwrap()]].concat());
    let count = |part: &str, field: &str| found["attack"][part][field].as_u64().unwrap();
    for kind in ["sleeper", "tracking_reuse", "ring", "stopper", "abandoned"] {
        assert!(count(kind, "attackers") > 0, "{kind} in {found}");
    }
    for kind in ["plain", "rival_puppets", "carrier_strike", "cents_typo"] {
        assert!(found["honest"][kind]["suppliers"].as_u64().unwrap() > 0, "{kind} in {found}");
    }
    let (all, harmed) = (count("all", "attackers"), count("all", "orders_harmed"));
    assert!(all > 20 && harmed > 100 && count("all", "orders_before") <= harmed, "{found}");
    assert!(count("all", "caught") <= all && count("all", "caught_in_time") <= count("all", "caught"));
    let honest = found["honest"]["all"]["suppliers"].as_u64().unwrap();
    let parts = ["plain", "odd"].map(|part| found["honest"][part]["suppliers"].as_u64().unwrap());
    assert_eq!(honest, parts.iter().sum::<u64>());
    assert_eq!(found["dead_letters"], 0, "every fold can read what happens there");
    let text = std::fs::read_to_string(csv).unwrap();
    assert!(text.starts_with("supplier,locked_at,released_at,level,reason,rule,scope,vouched\n"), "{text}");
    assert_eq!(found, report(&SMALL));
}

#[test]
fn rules_are_tried_on_the_hard_marketplace_beside_others() {
    let directory = tempfile::tempdir().unwrap();
    let nothing = directory.path().join("nothing.yaml");
    std::fs::write(&nothing, "rules: []\n").unwrap();
    let small = ["--marketplace", "hard", "--scale", "0.1", "--days", "45", "--json"];
    let both = report(&[&["rules", "try", nothing.to_str().unwrap()], &small[..]].concat());
    let (none, starter) = (&both["tried"]["attack"]["all"], &both["against"]["attack"]["all"]);
    assert_eq!((&none["caught"], &none["withheld"]), (&0.into(), &0.into()), "{both}");
    assert!(starter["caught"].as_u64().unwrap() > 0, "{both}");
    // Who is withheld takes no more orders.
    assert!(none["orders_harmed"].as_u64().unwrap() > starter["orders_harmed"].as_u64().unwrap(), "{both}");
    assert_eq!(both["tried"]["honest"]["all"]["withheld"], 0);
}

#[test]
fn the_honest_marketplace_counts_false_alarms_by_rule() {
    let honest = ["evaluate", "--marketplace", "honest", "--suppliers", "40", "--days", "60", "--json"];
    let found = report(&honest);
    assert_eq!(
        (&found["attack"], &found["honest"]["plain"]["suppliers"]),
        (&serde_json::json!({}), &40.into())
    );
    let years = found["false_alarms"]["supplier_years"].as_f64().unwrap();
    assert!((4.0..=40.0 * 60.0 / 365.0 + 0.1).contains(&years) && found["false_alarms"]["rules"].is_object());
}

#[test]
fn a_marketplace_that_makes_no_sense_is_refused_with_the_remedy() {
    for (arguments, expected) in [
        (vec!["evaluate"], "--input"),
        (vec!["evaluate", "--marketplace", "easy"], "hard, honest"),
        (vec!["evaluate", "--marketplace", "hard", "--scale", "0"], "must be 0.1 to 100"),
        (vec!["evaluate", "--marketplace", "hard", "--suppliers", "9"], "is sized by --scale"),
        (vec!["evaluate", "--marketplace", "hard", "--mapping", "m.yaml"], "cannot be used with"),
        (vec!["evaluate", "--seed", "3"], "--marketplace"),
        (vec!["rules", "try", "no-such-file.yaml", "--marketplace", "hard"], "cannot read no-such-file.yaml"),
    ] {
        let output = stockade(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
}
