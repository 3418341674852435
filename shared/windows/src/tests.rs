use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::*;

const LATE_MAX_MS: i64 = 1_500;

fn measure(kinds: u32, all_of: u16, none_of: u16, entity: Entity) -> Measure {
    let whole = entity == Entity::Whole;
    let distinct_of = Counterparty::Party;
    Measure { kinds, all_of, none_of, entity, windows: 0b111, distinct: whole, distinct_of, extremes: whole }
}

fn plan(entries_max: usize) -> Arc<Plan> {
    Arc::new(Plan {
        windows_ms: vec![50, 300, 2_000],
        measures: vec![
            measure(0b01, 0, 0, Entity::Whole),
            measure(0b11, 0, 0, Entity::Whole),
            measure(0b10, 1, 0, Entity::Whole),
            measure(0b11, 0, 1, Entity::Whole),
            Measure { distinct_of: Counterparty::Subject, ..measure(0b11, 2, 1, Entity::Whole) },
            Measure { windows: 0b010, ..measure(0b11, 0, 0, Entity::Whole) },
            measure(0b11, 0, 0, Entity::Subject),
            measure(0b01, 0, 0, Entity::Place),
        ],
        retain_ms: 2_500,
        late_max_ms: LATE_MAX_MS,
        entries_max,
        distinct_max: 1_000,
    })
}

/// The definition, by brute force over the events that were placed.
fn inside<'a>(
    plan: &Plan,
    placed: &'a [Entry],
    now_ms: i64,
    measure: usize,
    window: usize,
) -> Vec<&'a Entry> {
    let begin_ms = now_ms - plan.windows_ms[window];
    let within = |e: &&Entry| e.time_ms > begin_ms && e.time_ms <= now_ms && plan.measures[measure].counts(e);
    placed.iter().filter(within).collect()
}

fn of_all(entries: &[&Entry]) -> Reading {
    let value = |e: &&Entry| i128::from(e.value);
    Reading {
        count: entries.len() as u64,
        sum: entries.iter().map(value).sum(),
        squares: entries.iter().map(|e| value(e) * value(e)).sum(),
        parties: entries.iter().map(|e| e.party).filter(|p| *p != 0).collect::<BTreeSet<_>>().len() as u64,
        min: entries.iter().map(|e| e.value).min(),
        max: entries.iter().map(|e| e.value).max(),
        error: 0,
        whole: true,
        sampled: false,
    }
}

/// Writes what changed, as a changelog does, and puts it back.
struct Stored {
    chunks: BTreeMap<u64, Vec<u8>>,
}

impl Stored {
    fn cycle(&mut self, plan: &Arc<Plan>, windows: &mut Windows) -> Windows {
        for id in windows.take_changed_chunks() {
            match windows.chunk(id) {
                Some(bytes) => {
                    assert!(bytes.len() <= 64 * 1024, "a chunk of {} bytes", bytes.len());
                    self.chunks.insert(id, bytes);
                }
                None => {
                    self.chunks.remove(&id);
                }
            }
        }
        Windows::restore(plan.clone(), &windows.head(), &self.chunks).unwrap()
    }
}

fn check(plan: &Plan, windows: &Windows, placed: &[Entry], measure: usize, window: usize) {
    if plan.measures[measure].windows & (1 << window) == 0 {
        return;
    }
    let now_ms = windows.now_ms();
    let entries = inside(plan, placed, now_ms, measure, window);
    let entity: fn(&Entry) -> u64 = match plan.measures[measure].entity {
        Entity::Whole => {
            let of = plan.measures[measure].distinct_of;
            let distinct: BTreeSet<u64> = entries.iter().map(|e| of.of(e)).filter(|who| *who != 0).collect();
            let truth = Reading { parties: distinct.len() as u64, ..of_all(&entries) };
            assert_eq!(windows.read(measure, window), truth, "measure {measure} window {window} at {now_ms}");
            return;
        }
        Entity::Subject => |e| e.subject,
        Entity::Place => |e| u64::from(e.place),
    };
    for of in 1..4 {
        let of_it: Vec<&Entry> = entries.iter().copied().filter(|e| entity(e) == of).collect();
        let (read, truth) = (windows.read_each(measure, window, of), of_all(&of_it));
        assert_eq!((read.count, read.sum, read.squares), (truth.count, truth.sum, truth.squares));
    }
}

/// Over a million operations, each checked on one measure and window, all of them now and then, through many restarts.
#[test]
fn a_million_random_operations_equal_brute_force() {
    const OPERATIONS: usize = 1_000_000;
    let plan = plan(10_000);
    let mut random = fastrand::Rng::with_seed(7);
    let mut windows = Windows::new(plan.clone());
    let mut stored = Stored { chunks: BTreeMap::new() };
    let (mut placed, mut now_ms, mut late) = (Vec::<Entry>::new(), 10_000, 0);
    for operation in 0..OPERATIONS {
        // Mostly crowded, now and then a long silence.
        now_ms += if random.u32(0..2_000) == 0 { random.i64(0..4_000) } else { random.i64(0..30) };
        windows.advance(now_ms);
        let offset_ms = match random.u32(0..20) {
            0 => random.i64(-2_500..0),
            1 => random.i64(0..80),
            _ => random.i64(-20..1),
        };
        let entry = Entry {
            time_ms: now_ms + offset_ms,
            kind: random.u8(0..2),
            flags: random.u16(0..4),
            party: random.u64(0..40),
            subject: random.u64(0..4),
            place: random.u32(0..4),
            value: random.i64(-1_000_000_000_000..1_000_000_000_000),
        };
        match windows.insert(entry) {
            Placement::Placed => placed.push(entry),
            Placement::TooLate => {
                late += 1;
                assert!(offset_ms <= -LATE_MAX_MS);
            }
        }
        check(&plan, &windows, &placed, random.usize(0..8), random.usize(0..3));
        if operation % 997 == 0 {
            placed.retain(|e| e.time_ms > now_ms - 2_500);
            (0..8).for_each(|m| (0..3).for_each(|w| check(&plan, &windows, &placed, m, w)));
            windows = stored.cycle(&plan, &mut windows);
            (0..8).for_each(|m| (0..3).for_each(|w| check(&plan, &windows, &placed, m, w)));
        }
        if operation % 9_973 == 0 {
            windows.replan(plan.clone());
        }
    }
    assert_eq!(windows.late(), late);
    assert!(late > 1_000, "the bound was never met");
}

#[test]
fn chunks_split_and_leave_and_a_restart_changes_nothing() {
    let plan = Arc::new(Plan { retain_ms: 100_000, late_max_ms: 100_000, ..(*plan(1_000_000)).clone() });
    let mut random = fastrand::Rng::with_seed(3);
    let mut windows = Windows::new(plan.clone());
    let mut stored = Stored { chunks: BTreeMap::new() };
    let mut now_ms = 0;
    let mut most = 0;
    for round in 0..60 {
        for _ in 0..400 {
            now_ms += random.i64(0..40);
            windows.advance(now_ms);
            let time_ms = if round % 3 == 0 { now_ms } else { now_ms - random.i64(0..60_000) };
            let party = random.u64(..);
            windows.insert(Entry { time_ms, kind: 1, flags: 1, party, value: i64::MAX, ..Entry::default() });
        }
        let restored = stored.cycle(&plan, &mut windows);
        most = most.max(stored.chunks.len());
        assert_eq!(restored.len(), windows.len());
        assert_eq!(restored.head(), windows.head());
        (0..5).for_each(|m| (0..3).for_each(|w| assert_eq!(restored.read(m, w), windows.read(m, w))));
    }
    assert!(most > 4, "{most} chunks");
    windows.advance(now_ms + 100_001);
    stored.cycle(&plan, &mut windows);
    assert!(stored.chunks.is_empty(), "what nobody needs leaves no chunk behind");
}

#[test]
fn beyond_the_bound_distinct_parties_are_estimated_and_say_so() {
    let plan = Arc::new(Plan {
        retain_ms: 1 << 40,
        windows_ms: vec![1_000, 50_000, 1 << 40],
        ..(*plan(1 << 20)).clone()
    });
    let mut windows = Windows::new(plan.clone());
    for number in 0..40_000u64 {
        windows.advance(number as i64);
        windows.insert(Entry { time_ms: number as i64, party: 1 + number / 2, ..Entry::default() });
        if number == 1_500 {
            assert_eq!((windows.read(0, 2).parties, windows.read(0, 2).sampled), (751, false));
        }
    }
    for (window, truth) in [(1, 20_000.0), (2, 20_000.0)] {
        let reading = windows.read(0, window);
        let off = (reading.parties as f64 - truth) / truth;
        assert!(reading.sampled && off.abs() < 0.12, "{} of {truth}", reading.parties);
    }
}

#[test]
fn a_full_log_goes_on_counting_and_states_how_far_it_may_be_off() {
    let plan = Arc::new(Plan {
        windows_ms: vec![1_000, 100_000, 1 << 40],
        retain_ms: 1 << 40,
        ..(*plan(1_024)).clone()
    });
    let mut random = fastrand::Rng::with_seed(11);
    let mut windows = Windows::new(plan.clone());
    let (mut all, mut now_ms) = (Vec::new(), 0);
    for _ in 0..200_000 {
        now_ms += random.i64(0..20);
        let entry = Entry { time_ms: now_ms, kind: random.u8(0..2), value: 3, ..Entry::default() };
        windows.advance(now_ms);
        windows.insert(entry);
        all.push(entry);
    }
    assert!(windows.len() <= 1_024);
    let mut stored = Stored { chunks: BTreeMap::new() };
    let windows = stored.cycle(&plan, &mut windows);
    for window in 0..3 {
        let (reading, truth) = (windows.read(1, window), inside(&plan, &all, now_ms, 1, window).len() as u64);
        assert!(reading.count.abs_diff(truth) <= reading.error, "{reading:?} of {truth}");
        assert!(reading.error as f64 <= 0.15 * truth as f64, "{reading:?} of {truth}");
        assert_eq!(reading.whole, window == 0, "{reading:?}");
        assert_eq!(reading.error == 0, window != 1);
    }
    assert!(stored.chunks.values().map(Vec::len).sum::<usize>() < 20_000);
    assert!(rmp_size(&windows.head()) < 8_000);
}

#[test]
fn a_new_measure_says_that_it_knows_nothing_of_what_was_lost_before_it() {
    let short = Arc::new(Plan {
        windows_ms: vec![1_000, 100_000, 1 << 40],
        retain_ms: 1 << 40,
        ..(*plan(64)).clone()
    });
    let mut windows = Windows::new(short.clone());
    for time_ms in 0..1_000 {
        windows.advance(time_ms);
        windows.insert(Entry { time_ms, ..Entry::default() });
    }
    windows.replan(short.clone());
    for restart in [false, true] {
        let reading = windows.read(0, 2);
        assert!(reading.count + reading.error >= 1_000 && reading.error > 500, "{restart} {reading:?}");
        let mut stored = Stored { chunks: BTreeMap::new() };
        windows = stored.cycle(&short, &mut windows);
    }
    for time_ms in 2_000..3_000 {
        windows.advance(time_ms);
        windows.insert(Entry { time_ms, ..Entry::default() });
    }
    let reading = windows.read(0, 0);
    assert_eq!(
        (reading.error < 500, reading.whole),
        (true, false),
        "what was lost since is counted: {reading:?}"
    );
    assert!(reading.count.abs_diff(1_000) <= reading.error, "{reading:?}");
}

fn rmp_size(head: &Head) -> usize {
    serde_json::to_vec(head).unwrap().len()
}

proptest! {
    #[test]
    fn any_chunk_comes_back_and_any_cut_is_refused(
        entries in proptest::collection::vec((0i64..1 << 40, 0u8..32, any::<u16>(), any::<[u64; 2]>(), any::<u32>(), any::<i64>()), 1..40),
        left in any::<u32>(),
    ) {
        let mut entries: Vec<Entry> = entries.into_iter().map(|(time_ms, kind, flags, [party, subject], place, value)| {
            Entry { time_ms, kind, flags, party, subject, place, value }
        }).collect();
        entries.sort_by_key(|e| e.time_ms);
        let bytes = chunk::encode(left, entries.iter());
        prop_assert_eq!(chunk::decode(&bytes), Ok((left, entries.clone())));
        for cut in 0..bytes.len() {
            prop_assert!(chunk::decode(&bytes[..cut]).is_ok_and(|(_, some)| some.len() < entries.len()) || chunk::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn the_bounds_lie_below_what_was_seen_and_grow_with_evidence(hits in 0u64..50, more in 0u64..50) {
        let (hits, trials) = (hits as f64, (hits + more + 1) as f64);
        let low = wilson_lower(hits, trials, 1.96).unwrap();
        prop_assert!(low >= 0.0 && low <= hits / trials + 1e-12);
        prop_assert!(wilson_lower(hits * 2.0, trials * 2.0, 1.96).unwrap() >= low - 1e-12);
        prop_assert!(poisson_lower(hits, 1.96) <= hits);
        prop_assert!(poisson_lower(hits * 2.0, 1.96) >= poisson_lower(hits, 1.96));
    }
}

#[test]
fn known_values_of_the_bounds() {
    assert_eq!(wilson_lower(0.0, 0.0, 1.96), None);
    assert!((wilson_lower(3.0, 3.0, 1.96).unwrap() - 0.4385).abs() < 1e-4);
    assert!((wilson_lower(30.0, 30.0, 1.96).unwrap() - 0.8865).abs() < 1e-4);
    // Exact limits by Garwood for 10 seen: 4.795.
    assert!((poisson_lower(10.0, 1.96) - 4.79).abs() < 0.02);
}
