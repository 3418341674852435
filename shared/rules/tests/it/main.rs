//! The language against others: conformance cases where they are given, the `cel` crate always; and what judging costs in
//! allocations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../../examples/conformance.rs"]
mod conformance;
#[allow(dead_code, reason = "its main is for the command line")]
#[path = "../../examples/differential.rs"]
mod differential;

use std::{path::Path, sync::Arc};

use serde_json::json;
use stockade_rules::{Feature, FeatureSchema, RuleSet, Scratch, Snapshot};

#[test]
fn the_conformance_cases_of_the_language_pass() {
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cel-conformance");
    for file in ["core.jsonl", "ext.jsonl"] {
        let Ok(cases) = std::fs::read_to_string(given.join(file)) else {
            println!("skipped: the conformance cases in {file} are not here");
            continue;
        };
        let report = conformance::report(cases.lines()).unwrap();
        assert_eq!((&report["failed"], &report["skipped"]), (&json!(0), &json!(0)), "{report}");
        assert!(report["passed"].as_u64() > Some(400), "{report}");
    }
}

#[test]
fn random_expressions_mean_what_they_mean_to_the_cel_crate() {
    let report = differential::compare(20_000, 3);
    assert_eq!(report["differences"], json!([]), "{report}");
    assert!(report["evaluations"].as_u64() >= Some(20_000), "{report}");
}

#[test]
fn judging_allocates_nothing() {
    let feature = |name: &str| Feature { name: name.to_owned(), ..Feature::default() };
    let schema = Arc::new(FeatureSchema::new(["a.b", "c.d", "e.f"].map(feature).to_vec()));
    let source = r#"
let: { shared: a.b / c.d + math.sqrt(e.f) }
rules:
  - {id: plain, title: t, when: a.b > 1.0 && c.d < 5.0, level: watch, for: 1h, reasons: [R], evidence: a.b, mode: live}
  - {id: graph, title: t, when: "shared > 2.0 || shared * 2.0 < 1.0", level: watch, for: 1h, reasons: [R], evidence: a.b, mode: live}
  - {id: time, title: t, when: "now.getHours('Europe/Berlin') >= 0 && now > timestamp('2001-01-01T00:00:00Z')", level: watch, for: 1h, reasons: [R], evidence: a.b, mode: live}
  - {id: texts, title: t, when: "listing.sku.startsWith('S') && supplier.id in ['a', 'b']", level: watch, for: 1h, reasons: [R], evidence: a.b, mode: live}
"#;
    let set = RuleSet::compile(source, schema).unwrap();
    let slots = [[3.0, 2.0, 9.0], [0.1, 0.0, -1.0], [f32::NAN, 2.0, 4.0]];
    let mut scratch = Scratch::default();
    let mut hits = 0;
    let mut judge = || {
        for slots in &slots {
            let snapshot =
                Snapshot { slots, now_ms: 1_700_000_000_000, supplier: "a", listing: Some(("l", "SKU")) };
            set.evaluate(&snapshot, &mut scratch, |_, _| hits += 1);
        }
    };
    judge();
    let counted = allocation_counter::measure(&mut judge);
    assert_eq!(counted.count_total, 0);
    assert!(hits > 8, "{hits}");
}
