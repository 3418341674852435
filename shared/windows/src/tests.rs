use proptest::prelude::*;

use super::*;

fn plan(entries_max: usize) -> Arc<Plan> {
    Arc::new(Plan {
        windows_ms: vec![50, 300, 2_000],
        measures: vec![
            Measure { kinds: 0b01, flags: 0 },
            Measure { kinds: 0b11, flags: 0 },
            Measure { kinds: 0b10, flags: 1 },
        ],
        entries_max,
    })
}

/// The definition, by brute force over everything ever inserted and accepted.
fn oracle(plan: &Plan, accepted: &[Entry], now_ms: i64, measure: usize, window: usize) -> (u64, i64, u64) {
    let begin = now_ms - plan.windows_ms[window];
    let inside: Vec<&Entry> = accepted
        .iter()
        .filter(|e| e.time_ms > begin && e.time_ms <= now_ms && plan.measures[measure].counts(e))
        .collect();
    let parties: std::collections::BTreeSet<u64> =
        inside.iter().map(|e| e.party).filter(|p| *p != 0).collect();
    (inside.len() as u64, inside.iter().map(|e| e.value).sum(), parties.len() as u64)
}

fn agree(
    plan: &Arc<Plan>,
    steps: &[(i64, i64, u8, u8, u64, i64)],
    restore_every: usize,
) -> Result<(), TestCaseError> {
    let mut windows = Windows::new(plan.clone());
    let (mut accepted, mut now_ms) = (Vec::new(), 10_000);
    for (index, (forward, offset, kind, flags, party, value)) in steps.iter().enumerate() {
        now_ms += forward;
        windows.advance(now_ms);
        let entry =
            Entry { time_ms: now_ms + offset, kind: *kind, flags: *flags, party: *party, value: *value };
        if windows.insert(entry) == Placement::Placed {
            accepted.push(entry);
        } else {
            prop_assert!(entry.time_ms <= now_ms - 2_000 || entry.time_ms <= windows.lost_ms);
        }
        if index % restore_every == 0 {
            windows = Windows::restore(plan.clone(), windows.snapshot());
        }
        for measure in 0..plan.measures.len() {
            for window in 0..plan.windows_ms.len() {
                let reading = windows.read(measure, window);
                let truth = oracle(plan, &accepted, now_ms, measure, window);
                if reading.exact {
                    prop_assert_eq!((reading.count, reading.sum, reading.parties), truth);
                } else {
                    prop_assert!(reading.count <= truth.0);
                }
            }
        }
        prop_assert!(windows.len() <= plan.entries_max);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn readings_equal_brute_force_for_late_early_and_repeated_events(
        steps in proptest::collection::vec((0i64..120, -400i64..60, 0u8..2, 0u8..2, 0u64..6, -50i64..50), 1..150),
        restore_every in 1usize..40,
    ) {
        agree(&plan(10_000), &steps, restore_every)?;
    }

    #[test]
    fn a_full_log_says_that_it_is_not_exact_and_never_counts_too_much(
        steps in proptest::collection::vec((0i64..60, -400i64..60, 0u8..2, 0u8..2, 0u64..6, -50i64..50), 1..150),
        entries_max in 1usize..20,
    ) {
        agree(&plan(entries_max), &steps, 17)?;
    }

    #[test]
    fn the_wilson_bound_lies_below_the_rate_and_grows_with_evidence(hits in 0u64..50, more in 0u64..50) {
        let trials = hits + more + 1;
        let low = wilson_lower(hits, trials, 1.96).unwrap();
        prop_assert!(low >= 0.0 && low <= hits as f64 / trials as f64 + 1e-12);
        prop_assert!(wilson_lower(hits * 2, trials * 2, 1.96).unwrap() >= low - 1e-12);
    }
}

#[test]
fn known_values_of_the_wilson_bound() {
    assert_eq!(wilson_lower(0, 0, 1.96), None);
    assert!((wilson_lower(3, 3, 1.96).unwrap() - 0.4385).abs() < 1e-4);
    assert!((wilson_lower(30, 30, 1.96).unwrap() - 0.8865).abs() < 1e-4);
}
