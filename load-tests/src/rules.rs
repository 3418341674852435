//! Rules in process, one thread: what one costs beside two other engines, what a thousand cost together, whether judging
//! allocates, what a change of rules costs those who judge, and how fast a backtest reads history.

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use stockade_lockout::backtest::Judge;
use stockade_model::{ListingId, ScoreRecord, ScoreView, Sku, SupplierId};
use stockade_rules::{Condition, Feature, FeatureSchema, RuleSet, Scratch, Snapshot, Truth};

use crate::{Figure, median};

const ROUNDS: usize = 8;
/// Features of a vector.
const FEATURES: usize = 64;
/// Different rules of five predicates, and vectors.
const RULES: usize = 200;
const VECTORS: usize = 256;
/// Events of one arm of the arms with many rules.
const EVENTS: usize = 20_000;

fn name(slot: usize) -> String {
    format!("g{}.f{slot}", slot % 8)
}

fn schema() -> Arc<FeatureSchema> {
    let feature = |slot| Feature { name: name(slot), unit: "count".to_owned(), ..Feature::default() };
    Arc::new(FeatureSchema::new((0..FEATURES).map(feature).collect()))
}

/// Values from 0 to 100.
fn vectors(random: &mut fastrand::Rng) -> Vec<Vec<f32>> {
    (0..VECTORS).map(|_| (0..FEATURES).map(|_| random.f32() * 100.0).collect()).collect()
}

/// Five predicates over different features, each of which holds for about `share` of vectors.
fn predicates(random: &mut fastrand::Rng, share: f64) -> Vec<(usize, bool, f64)> {
    let mut slots: Vec<usize> = (0..FEATURES).collect();
    random.shuffle(&mut slots);
    slots
        .into_iter()
        .take(5)
        .map(|slot| {
            let above = random.bool();
            let spread = (random.f64() - 0.5) * 8.0;
            let bound = if above { 100.0 * (1.0 - share) } else { 100.0 * share };
            (slot, above, (bound + spread).clamp(0.5, 99.5))
        })
        .collect()
}

fn written(predicates: &[(usize, bool, f64)], name: impl Fn(usize) -> String, and: &str) -> String {
    let one = |(slot, above, bound): &(usize, bool, f64)| {
        format!("{} {} {bound:.3}", name(*slot), if *above { ">=" } else { "<" })
    };
    predicates.iter().map(one).collect::<Vec<_>>().join(and)
}

fn set_of(rules: &[Vec<(usize, bool, f64)>], schema: &Arc<FeatureSchema>) -> Result<(String, RuleSet)> {
    let mut source = String::from("rules:\n");
    for (number, rule) in rules.iter().enumerate() {
        writeln!(
            source,
            "  - {{id: r{number}, title: t, when: '{}', level: watch, for: 1h, reasons: [R], evidence: {}, mode: live}}",
            written(rule, name, " && "),
            name(0)
        )?;
    }
    let set = RuleSet::compile(&source, schema.clone()).map_err(|errors| anyhow::anyhow!("{}", errors[0]))?;
    Ok((source, set))
}

/// The same vector as the other engines see it.
struct Named<'a>(&'a [f32]);

impl cel::context::VariableResolver for Named<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<cel::common::value::CowVal<'b, 'b>> {
        let slot: usize = name.get(1..)?.parse().ok()?;
        let value = f64::from(*self.0.get(slot)?);
        Some(cel::common::value::CowVal::owned(cel::common::types::CelDouble::from(value)))
    }
}

/// What one rule of five predicates costs when all five have to be looked at.
struct Single {
    ours: Vec<Condition>,
    cel: Vec<cel::Program>,
    zen: Vec<zen_expression::Expression<zen_expression::expression::Standard>>,
    vectors: Vec<Vec<f32>>,
    zen_vectors: Vec<zen_expression::Variable>,
    env: Arc<cel::Env>,
}

impl Single {
    fn new() -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(1);
        let schema = schema();
        // Wide bounds and vectors in the middle: every predicate holds, so nothing is decided early.
        let rules: Vec<_> = (0..RULES).map(|_| predicates(&mut random, 0.9)).collect();
        let vectors: Vec<Vec<f32>> =
            (0..VECTORS).map(|_| (0..FEATURES).map(|_| 30.0 + random.f32() * 40.0).collect()).collect();
        let ours = rules
            .iter()
            .map(|rule| {
                Condition::compile(&written(rule, name, " && "), &schema).map_err(anyhow::Error::from)
            })
            .collect::<Result<_>>()?;
        let flat = |slot: usize| format!("f{slot}");
        let cel = rules
            .iter()
            .map(|rule| {
                cel::Program::compile(&written(rule, flat, " && ")).map_err(|e| anyhow::anyhow!("{e}"))
            })
            .collect::<Result<_>>()?;
        let zen = rules
            .iter()
            .map(|rule| {
                zen_expression::compile_expression(&written(rule, flat, " and "))
                    .map_err(|e| anyhow::anyhow!("{e:?}"))
            })
            .collect::<Result<_>>()?;
        let zen_vectors = vectors
            .iter()
            .map(|vector| {
                let fields: serde_json::Map<String, serde_json::Value> =
                    vector.iter().enumerate().map(|(slot, value)| (flat(slot), json!(value))).collect();
                zen_expression::Variable::from(serde_json::Value::Object(fields))
            })
            .collect();
        Ok(Self { ours, cel, zen, vectors, zen_vectors, env: Arc::new(cel::Env::stdlib()) })
    }

    fn ours(&self, passes: usize) -> Result<f64> {
        let (mut held, mut scratch) = (0u64, Scratch::default());
        let begun = Instant::now();
        for _ in 0..passes {
            for vector in &self.vectors {
                let snapshot = Snapshot::of(black_box(vector));
                for rule in &self.ours {
                    held += u64::from(rule.truth(&snapshot, &mut scratch) == Truth::True);
                }
            }
        }
        self.each(begun, held, passes)
    }

    fn cel(&self) -> Result<f64> {
        let mut held = 0u64;
        let begun = Instant::now();
        for vector in &self.vectors {
            let resolver = Named(black_box(vector));
            let mut context = cel::Context::with_env(self.env.clone());
            context.set_variable_resolver(&resolver);
            for rule in &self.cel {
                held += u64::from(matches!(rule.execute(&context), Ok(cel::Value::Bool(true))));
            }
        }
        self.each(begun, held, 1)
    }

    fn zen(&self) -> Result<f64> {
        let (mut held, mut vm) = (0u64, zen_expression::vm::VM::new());
        let begun = Instant::now();
        for vector in &self.zen_vectors {
            for rule in &self.zen {
                let said = rule.evaluate_with(black_box(vector).shallow_clone(), &mut vm);
                held += u64::from(matches!(said, Ok(zen_expression::Variable::Bool(true))));
            }
        }
        self.each(begun, held, 1)
    }

    /// Nanoseconds a rule; all of them must have held, or the arms did different work.
    fn each(&self, begun: Instant, held: u64, passes: usize) -> Result<f64> {
        let count = (passes * self.vectors.len() * RULES) as u64;
        let nanos = begun.elapsed().as_nanos() as f64 / count as f64;
        ensure!(held == count, "{held} of {count} rules held");
        Ok(nanos)
    }
}

/// Microseconds an event, and hits an event.
fn many(set: &RuleSet, vectors: &[Vec<f32>]) -> (f64, f64) {
    let (mut hits, mut scratch) = (0u64, Scratch::default());
    let begun = Instant::now();
    for event in 0..EVENTS {
        let snapshot = Snapshot::of(black_box(&vectors[event % vectors.len()]));
        set.evaluate(&snapshot, &mut scratch, |_, _| hits += 1);
    }
    (begun.elapsed().as_nanos() as f64 / 1e3 / EVENTS as f64, hits as f64 / EVENTS as f64)
}

/// Longest and 99.9th of the times of one evaluation, in microseconds, while `reloading` puts new sets in place, or not.
fn gaps(
    sets: &[String],
    schema: &Arc<FeatureSchema>,
    reloading: bool,
    vectors: &[Vec<f32>],
) -> Result<(f64, u64)> {
    let compile = |source: &str| {
        RuleSet::compile(source, schema.clone())
            .map(Arc::new)
            .map_err(|errors| anyhow::anyhow!("{}", errors[0]))
    };
    let current = RwLock::new(compile(&sets[0])?);
    let (end, mut reloads) = (AtomicBool::new(false), 0u64);
    let mut nanos: Vec<u64> = Vec::with_capacity(400_000);
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| -> Result<u64> {
            let mut reloads = 0;
            while !end.load(Ordering::Relaxed) {
                if !reloading {
                    std::thread::yield_now();
                    continue;
                }
                let next = compile(&sets[reloads as usize % sets.len()])?;
                *current.write().map_err(|_| anyhow::anyhow!("poisoned"))? = next;
                reloads += 1;
            }
            Ok(reloads)
        });
        let mut scratch = Scratch::default();
        for event in 0..400_000 {
            let begun = Instant::now();
            if let Ok(held) = current.read() {
                let set = held.clone();
                drop(held);
                set.evaluate(&Snapshot::of(&vectors[event % vectors.len()]), &mut scratch, |_, _| {});
            }
            nanos.push(begun.elapsed().as_nanos() as u64);
        }
        end.store(true, Ordering::Relaxed);
        reloads = changer.join().map_err(|_| anyhow::anyhow!("the changer panicked"))??;
        Ok::<_, anyhow::Error>(())
    })?;
    nanos.sort_unstable();
    let place = nanos.len() * 999 / 1_000;
    Ok((nanos.get(place).copied().context("no evaluation")? as f64 / 1e3, reloads))
}

/// Snapshots a second of a backtest: reading a stored vector, the asked set, the set in force, and the sweep of bounds.
fn backtest(vectors: &[Vec<f32>]) -> Result<(f64, f64)> {
    let schema = schema();
    let mut random = fastrand::Rng::with_seed(9);
    let rules: Vec<_> = (0..12).map(|_| predicates(&mut random, 0.15)).collect();
    let (source, set) = set_of(&rules, &schema)?;
    let spec = RuleSet::read(&source).map_err(|errors| anyhow::anyhow!("{}", errors[0]))?;
    let stored: Vec<Vec<u8>> = (0..50_000)
        .map(|number| {
            let record = ScoreRecord {
                supplier: SupplierId::new(&format!("s-{}", number % 5_000))
                    .map_err(|e| anyhow::anyhow!(e.detail))?,
                listing: Some((
                    ListingId::new("l-1").map_err(|e| anyhow::anyhow!(e.detail))?,
                    Sku::new("SKU-00001").map_err(|e| anyhow::anyhow!(e.detail))?,
                )),
                score: 0,
                schema: schema.id(),
                slots: vectors[number % vectors.len()].clone(),
            };
            Ok(record.encode())
        })
        .collect::<Result<_>>()?;
    let set = Arc::new(set);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut judge = Judge::new(&spec, set.clone(), set.clone());
        let mut slots = Vec::new();
        let begun = Instant::now();
        for bytes in &stored {
            let view = ScoreView::read(bytes, &mut slots).map_err(|why| anyhow::anyhow!(why))?;
            judge.judge(&Snapshot {
                slots: &slots,
                now_ms: 1,
                supplier: view.supplier,
                listing: view.listing,
            });
        }
        rates.push(judge.seen() as f64 / begun.elapsed().as_secs_f64());
    }
    let variants = 12.0 * 5.0 * 6.0;
    Ok((median(&mut rates)?, variants))
}

pub(crate) fn run() -> Result<Vec<Figure>> {
    let single = Single::new()?;
    let (mut ours, mut again, mut cel, mut zen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // ABBA: what the machine does beside it falls on both sides alike.
        ours.push(single.ours(20)?);
        cel.push(single.cel()?);
        zen.push(single.zen()?);
        zen.push(single.zen()?);
        cel.push(single.cel()?);
        again.push(single.ours(20)?);
    }
    let (first, second) = (median(&mut ours)?, median(&mut again)?);
    let (cel, zen) = (median(&mut cel)?, median(&mut zen)?);
    let one = first.min(second);
    let mut figures = vec![
        Figure::new("a rule of 5 predicates, all looked at", first, "ns", "<= 25").met(first <= 25.0),
        Figure::new("the same again (A/A)", second / first, "ratio", ""),
        Figure::new("the cel crate, 0.15, one context a vector", cel, "ns", ""),
        Figure::new("a rule / the cel crate", one / cel, "ratio", "<= 0.05").met(one / cel <= 0.05),
        Figure::new("the zen-expression crate, 2.1, compiled", zen, "ns", ""),
        Figure::new("a rule / zen-expression", one / zen, "ratio", "<= 0.05").met(one / zen <= 0.05),
    ];

    let schema = schema();
    let mut random = fastrand::Rng::with_seed(2);
    let vectors = vectors(&mut random);
    let mut sets = Vec::new();
    for (label, count, share) in [
        ("1,000 rules, each predicate holds for 1 in 20", 1_000, 0.05),
        ("1,000 rules, 1 in 5", 1_000, 0.2),
        ("1,000 rules, 1 in 2", 1_000, 0.5),
        ("1,000 rules, 9 in 10", 1_000, 0.9),
        ("10,000 rules, 1 in 200", 10_000, 0.005),
    ] {
        let rules: Vec<_> = (0..count).map(|_| predicates(&mut random, share)).collect();
        let begun = Instant::now();
        let (source, set) = set_of(&rules, &schema)?;
        let compiled_ms = begun.elapsed().as_secs_f64() * 1e3;
        let mut micros = Vec::new();
        let mut hits = 0.0;
        for _ in 0..ROUNDS {
            let (each, found) = many(&set, &vectors);
            micros.push(each);
            hits = found;
        }
        let each = median(&mut micros)?;
        let note = format!("{hits:.2} rules hold, compiled in {compiled_ms:.0} ms");
        let figure =
            Figure::new(format!("{label}, an event"), each, "us", if count == 1_000 { "<= 5" } else { "" });
        figures.push(if count == 1_000 { figure.met(each <= 5.0) } else { figure }.note(note));
        if count == 1_000 {
            sets.push(source);
        }
    }

    let compiled =
        RuleSet::compile(&sets[1], schema.clone()).map_err(|errors| anyhow::anyhow!("{}", errors[0]))?;
    let mut scratch = Scratch::default();
    let mut hits = 0u64;
    compiled.evaluate(&Snapshot::of(&vectors[0]), &mut scratch, |_, _| hits += 1);
    let counted = allocation_counter::measure(|| {
        for vector in &vectors {
            compiled.evaluate(&Snapshot::of(vector), &mut scratch, |_, _| hits += 1);
        }
    });
    let allocations = counted.count_total as f64;
    figures.push(
        Figure::new("allocations while 256 vectors are judged", allocations, "count", "0")
            .met(allocations == 0.0),
    );

    let (mut quiet, mut busy, mut reloads) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS / 2 {
        quiet.push(gaps(&sets[..2], &schema, false, &vectors)?.0);
        let (p999, changed) = gaps(&sets[..2], &schema, true, &vectors)?;
        busy.push(p999);
        reloads += changed;
    }
    let (quiet, busy) = (median(&mut quiet)?, median(&mut busy)?);
    figures.push(
        Figure::new(
            "p99.9 of judging while rules are reloaded / while another thread spins",
            busy / quiet,
            "ratio",
            "",
        )
        .note(format!("{busy:.2} us and {quiet:.2} us, {reloads} reloads of 1,000 rules")),
    );

    let (rate, variants) = backtest(&vectors)?;
    figures.push(
        Figure::new("snapshots a second of a backtest, one core", rate, "1/s", ">= 1000000")
            .met(rate >= 1e6)
            .note(format!("12 rules asked, 12 in force and {variants:.0} with a bound moved, from stored bytes in memory")),
    );
    Ok(figures)
}
