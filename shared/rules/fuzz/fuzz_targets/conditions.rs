//! Any bytes as the condition of a rule over a snapshot made of the same bytes: compiled or refused, and both forms say the
//! same of what was compiled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockade_rules::{Binding, Condition, Feature, FeatureSchema, Scratch, Snapshot, Take};

thread_local! {
    static SCHEMA: FeatureSchema = {
        let feature = |name: &str, window: Option<Binding>| Feature {
            name: name.to_owned(), unit: "count".to_owned(), window, ..Feature::default()
        };
        let week = Binding { measure: "m".to_owned(), take: Take::Count, window_ms: 7 * 86_400_000 };
        let features = vec![feature("a.b", None), feature("c.d", None), feature("m.count_7d", Some(week)), feature("score.total", None)];
        FeatureSchema::new(features).with_measures(vec!["m".to_owned()])
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    SCHEMA.with(|schema| {
        let Ok(condition) = Condition::compile(source, schema) else { return };
        let mut scratch = Scratch::default();
        let number = |at: usize| match bytes.get(at).copied().unwrap_or(0) {
            byte @ 0..=40 => f32::from(byte) - 8.0,
            byte @ 41..=60 => f32::NAN * f32::from(byte),
            byte => f32::from(byte) / 8.0,
        };
        for shift in 0..3 {
            let slots = [number(shift), number(shift + 1), number(shift + 2), number(shift + 3)];
            let snapshot = Snapshot {
                slots: &slots[..4 - shift],
                now_ms: i64::from(bytes.get(shift).copied().unwrap_or(0)) * 987_654_321,
                supplier: "acme",
                listing: (shift == 1).then_some(("l-1", "GIFT-7")),
            };
            let compiled = condition.truth(&snapshot, &mut scratch);
            assert_eq!(compiled, condition.truth_in_general(schema, &snapshot), "{source}");
            if shift == 0 {
                let explanation = condition.explain(schema, &snapshot);
                assert_eq!(explanation.truth, compiled, "{source}");
            }
        }
    });
});
