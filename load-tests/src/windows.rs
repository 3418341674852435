//! Exact windows in process: events a second on one core, what the length of a window costs, how much one event may touch,
//! and bytes. One thread; the machine's other work is not part of the figures.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use anyhow::Result;
use stockade_windows::{Entity, Entry, Measure, Plan, Windows};

use crate::{Figure, median};

const ROUNDS: usize = 8;
/// Suppliers whose histories together are many times the processor's caches, and few that fit into them.
const MANY: usize = 1_000;
const FEW: usize = 20;
/// Events of one supplier in the time that is retained.
const HELD: i64 = 1_000;
const HOUR_MS: i64 = 3_600_000;
const RETAIN_MS: i64 = 30 * 24 * HOUR_MS;
/// Events measured in one arm.
const EVENTS: usize = 400_000;

fn plan(windows_ms: Vec<i64>) -> Arc<Plan> {
    let windows = (1u32 << windows_ms.len()) - 1;
    let of = |kinds: u32, all_of: u16| Measure { kinds, all_of, windows, ..Measure::default() };
    Arc::new(Plan {
        windows_ms,
        measures: vec![
            Measure { distinct: true, ..of(0b0001, 0) },
            of(0b0010, 0),
            Measure { extremes: true, ..of(0b0001, 0) },
            of(0b0100, 1),
            Measure { distinct: true, ..of(0b1000, 0) },
            of(0b1000, 2),
            of(0b1111, 0),
            Measure { none_of: 1, entity: Entity::Whole, ..of(0b1111, 0) },
        ],
        retain_ms: RETAIN_MS,
        late_max_ms: RETAIN_MS,
        entries_max: 100_000,
        distinct_max: 1_024,
    })
}

/// A fleet of suppliers in a steady state, with its own clock.
struct Fleet {
    suppliers: Vec<Windows>,
    random: fastrand::Rng,
    now_ms: i64,
}

impl Fleet {
    fn new(plan: &Arc<Plan>, count: usize, seed: u64) -> Self {
        let suppliers = vec![Windows::new(plan.clone()); count];
        let mut fleet = Self { suppliers, random: fastrand::Rng::with_seed(seed), now_ms: 0 };
        // Longer than is retained, so that eviction has begun everywhere.
        (0..count * HELD as usize * 5 / 4).for_each(|_| {
            fleet.event();
        });
        fleet
    }

    /// One event of one supplier, one in twenty late by up to an hour; how many entries it touched.
    fn event(&mut self) -> u64 {
        // Exponential gaps: a Poisson process over the whole fleet.
        let mean_ms = RETAIN_MS as f64 / HELD as f64 / self.suppliers.len() as f64;
        self.now_ms += (-mean_ms * (1.0 - self.random.f64()).ln()).round() as i64;
        let late_ms = if self.random.u32(0..20) == 0 { self.random.i64(0..HOUR_MS) } else { 0 };
        let entry = Entry {
            time_ms: self.now_ms - late_ms,
            kind: self.random.u8(0..4),
            flags: self.random.u16(0..4),
            party: self.random.u64(1..400),
            subject: 0,
            place: 0,
            value: self.random.i64(1..100_000),
        };
        let which = self.random.usize(..self.suppliers.len());
        let windows = &mut self.suppliers[which];
        let before = windows.touched();
        windows.advance(self.now_ms);
        windows.insert(entry);
        windows.touched() - before
    }

    /// Nanoseconds an event.
    fn arm(&mut self) -> f64 {
        let begun = Instant::now();
        let mut touched = 0;
        (0..EVENTS).for_each(|_| touched += self.event());
        std::hint::black_box(touched);
        begun.elapsed().as_nanos() as f64 / EVENTS as f64
    }
}

/// What an event costs at 30 d for each nanosecond at 1 h, and the same of two alike, with `count` suppliers.
fn by_length(count: usize) -> Result<(f64, f64)> {
    let mut short = Fleet::new(&plan(vec![HOUR_MS]), count, 2);
    let mut long = Fleet::new(&plan(vec![RETAIN_MS]), count, 2);
    let mut again = Fleet::new(&plan(vec![HOUR_MS]), count, 2);
    let (mut ratios, mut same) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // ABBA: whatever drifts drifts for both.
        let (a, b) = if round % 2 == 0 {
            let a = short.arm();
            (a, long.arm())
        } else {
            let b = long.arm();
            (short.arm(), b)
        };
        ratios.push(b / a);
        same.push(again.arm() / a);
    }
    Ok((median(&mut ratios)?, median(&mut same)?))
}

pub(crate) fn run() -> Result<Vec<Figure>> {
    let mut full = Fleet::new(&plan(vec![HOUR_MS, 24 * HOUR_MS, RETAIN_MS]), MANY, 1);
    let mut of_full: Vec<f64> = (0..ROUNDS).map(|_| full.arm()).collect();
    let (few, few_same) = by_length(FEW)?;
    let (many, many_same) = by_length(MANY)?;
    let mut touched: Vec<u64> = (0..EVENTS).map(|_| full.event()).collect();
    touched.sort_unstable();
    let (middle, most) = (touched[touched.len() / 2] as f64, touched[touched.len() - 1] as f64);
    let held: usize = full.suppliers.iter().map(Windows::len).sum();
    let bytes: usize = full.suppliers.iter().map(Windows::bytes).sum();
    let stored: usize = full
        .suppliers
        .iter_mut()
        .take(100)
        .flat_map(|windows| {
            let chunks: BTreeMap<u64, usize> = windows
                .take_changed_chunks()
                .into_iter()
                .filter_map(|id| Some((id, windows.chunk(id)?.len())))
                .collect();
            chunks.into_values()
        })
        .sum();
    let held_by_100: usize = full.suppliers.iter().take(100).map(Windows::len).sum();
    let ns = median(&mut of_full)?;
    let a_second = 1e9 / ns;
    Ok(vec![
        Figure::new("events a second on one core", a_second, "1/s", ">= 1 M")
            .met(a_second >= 1e6)
            .note(format!("8 measures x 1 h, 24 h, 30 d; {MANY} suppliers of about {HELD} events; {ns:.0} ns an event")),
        Figure::new("ns an event at 30 d / at 1 h, in cache", few, "ratio", "<= 1.1")
            .met(few <= 1.1)
            .note(format!("{FEW} suppliers, the same 30 d retained; median of {ROUNDS} ABBA rounds; A/A {few_same:.3}")),
        Figure::new("ns an event at 30 d / at 1 h, out of cache", many, "ratio", "<= 1.1")
            .met(many <= 1.1)
            .note(format!(
                "{MANY} suppliers in turn; what leaves a long window and its distinct parties are cold memory; A/A {many_same:.3}"
            )),
        Figure::new("entries touched by an event, max / median", most / middle, "ratio", "<= 8")
            .met(most / middle <= 8.0)
            .note(format!("{most} and {middle}, of {EVENTS} events")),
        Figure::new("bytes of a supplier in memory", bytes as f64 / MANY as f64, "B", "report"),
        Figure::new("bytes of an event in memory, all in", bytes as f64 / held as f64, "B", "report"),
        Figure::new("bytes of an event as stored", stored as f64 / held_by_100 as f64, "B", "report"),
    ])
}
