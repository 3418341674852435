//! The engine's own mistake: an analyst turns a comparison round, and a rule finds every honest supplier. It may withhold no more than
//! its budget, whoever watches has to see it within a second, and one call has to restore everyone. Each round has a rule of its own,
//! for a supplier that was released is left alone by the rule that had found it.
//!
//! Suppliers and buyers are at work all the while. Whatever is wrong beside speed ends the scenario with an error.

mod market;
mod watch;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use stockade_model::Timestamp;
use stockade_testkit::wait_until;

use crate::{
    Figure,
    cluster::insist,
    generator::{Connection, histogram, micros},
    median,
    process::{caught_up, metric},
    report::Curve,
};
use market::{LASTS, Market, QUERIES, WRITES, event};
use watch::{EXCEEDED, PLACES, Seen, Watch};

/// Suppliers that the rule may withhold within an hour.
const BUDGET: usize = 20;
/// With fewer suppliers the arbiter would doubt the rule before its budget is used up, at 15 % of them within an hour.
const SUPPLIERS_MIN: usize = 200;
/// All rounds together stay within the budget of all rules of the starter set, 500 suppliers a day.
const ROUNDS_MAX: usize = 25;
const PATIENCE: Duration = Duration::from_secs(60);
/// What is asked for, in seconds.
const ALERT_S: f64 = 1.0;

/// The rules that were there and the mistaken one, which holds for whoever has orders and cancels few of them.
fn mistaken(starter: &str, rule: &str) -> String {
    format!(
        "{starter}
  - id: {rule}
    title: Cancels orders, with the comparison the wrong way round
    when: cancellations.rate_7d_low < 0.3
    floor: attested
    level: quarantine
    for: 7d
    reasons: [DEFECT_RATE]
    text: Too many orders were cancelled.
    evidence: cancellations.count_7d
    mode: live
    budget: {{ suppliers: {BUDGET}, per: 1h }}
"
    )
}

/// What came of one mistake.
struct Mistake {
    withheld: usize,
    /// Seconds from the record that was the first to be refused by the budget until the alert was seen, by place.
    alert_s: [f64; PLACES.len()],
    /// Seconds from the one call until buyers saw every offer, and until nothing that the budget had held back waited for a person.
    restored_s: f64,
    settled_s: f64,
}

struct Round {
    mistake: Mistake,
    /// Offers that buyers saw when all was over.
    shown: usize,
    before: Histogram<u64>,
    during: Histogram<u64>,
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

/// Buyers and suppliers at work, and something else meanwhile; what buyers waited comes first.
fn at_work<T>(
    market: &Market,
    seed: u64,
    meanwhile: impl FnOnce() -> Result<T>,
) -> Result<(Histogram<u64>, T)> {
    std::thread::scope(|scope| -> Result<_> {
        let buyers = scope.spawn(|| market.buyers(seed));
        let suppliers = scope.spawn(|| market.suppliers(seed));
        let done = meanwhile();
        let latencies = joined(buyers);
        joined(suppliers)?;
        Ok((latencies?, done?))
    })
}

/// How many suppliers a rule withheld, and of how many its budget kept it, by its history.
fn fared(market: &Market, connection: &mut Connection, rule: &str) -> Result<(usize, usize)> {
    let history = market.told(connection, &format!("/v1/rules/{rule}/history?days=2"))?;
    let days = || history["days"].as_array().into_iter().flatten();
    let sum = |count: &str| days().filter_map(|day| day["counts"][count].as_u64()).sum::<u64>() as usize;
    Ok((sum("withheld"), sum("over_budget")))
}

/// The record time, in milliseconds, of what the budget refused first.
fn refused_at_ms(market: &Market, connection: &mut Connection, rule: &str) -> Result<i64> {
    let held = market.told(connection, "/v1/rules")?["exceeded"][rule].take();
    let detail = held["detail"].as_str().unwrap_or_default();
    anyhow::ensure!(
        detail.starts_with(&format!("the budget of {rule}:")),
        "it is not its budget that holds {rule} back: {held}"
    );
    Ok(Timestamp::parse(held["at"].as_str().context("nobody says when it was held back")?)?.ms())
}

/// Puts the rule in force, lets events come in for everybody, and takes it back once all who watch have seen the alert.
fn make(market: &Market, rule: &str, seen: &Seen) -> Result<Mistake> {
    let (suppliers, mut connection) = (market.size(), market.server.connect()?);
    market.publish(&mistaken(&market.starter, rule), "it looked right")?;
    for seller in 0..suppliers {
        let placed = event(seller, rule, "placed");
        insist(&mut connection, "POST", "/v1/events", &market.keys.orders, &placed)?;
    }
    let (mut withheld, mut held_back) = (0, 0);
    let found = wait_until(PATIENCE, || {
        (withheld, held_back) = fared(market, &mut connection, rule).unwrap_or_default();
        withheld + held_back >= suppliers
    });
    let what = format!("of {suppliers} suppliers {withheld} are withheld and {held_back} held back");
    anyhow::ensure!(found && withheld + held_back == suppliers, "{rule} did not find everybody: {what}");
    anyhow::ensure!(withheld <= BUDGET, "{rule} may withhold {BUDGET}: {what}");
    let everybody: Vec<usize> = (0..suppliers).collect();
    let mut hidden = Vec::new();
    let gone = wait_until(PATIENCE, || {
        hidden = market.hidden(&mut connection, &everybody).unwrap_or_default();
        hidden.len() == withheld
    });
    anyhow::ensure!(gone, "buyers miss {} offers: {what}", hidden.len());
    let alerted = wait_until(PATIENCE, || seen.by_all());
    anyhow::ensure!(alerted, "no alert in all of {PLACES:?}: {:?}", seen.times_ms());
    let refused_ms = refused_at_ms(market, &mut connection, rule)?;
    let alert_s = seen.times_ms().map(|at_ms| (at_ms - refused_ms) as f64 / 1e3);

    let (path, why) =
        (format!("/v1/rules/{rule}:restore"), json!({ "reason": "it found all", "stop": true }));
    let begun = Instant::now();
    let (status, answer) =
        connection.call("POST", &path, &market.keys.analyst, why.to_string().as_bytes())?;
    let answer = String::from_utf8_lossy(&answer);
    anyhow::ensure!((200..300).contains(&status), "nothing was restored: {status} {answer}");
    let mut missing = everybody;
    while !missing.is_empty() {
        missing = market.hidden(&mut connection, &missing)?;
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{} offers stay hidden after {answer}", missing.len());
    }
    let restored_s = begun.elapsed().as_secs_f64();
    let mut open = Value::Null;
    let settled = wait_until(PATIENCE, || {
        let reviews = market.told(&mut connection, "/v1/reviews?kind=excess&limit=1");
        open = reviews.map(|mut reviews| reviews["open"].take()).unwrap_or_default();
        open == 0
    });
    anyhow::ensure!(settled, "{open} still wait for a person after {answer}");
    Ok(Mistake { withheld, alert_s, restored_s, settled_s: begun.elapsed().as_secs_f64() })
}

/// A while in which nothing is wrong, then a mistake, and at last the rules as they were before.
fn round(market: &Market, number: usize) -> Result<Round> {
    let (rule, seed) = (format!("everyone-{number:02}"), (number as u64 + 1) << 8);
    let (seen, stop) = (Seen::default(), AtomicBool::new(false));
    let watch = Watch { market, rule: &rule, seen: &seen, stop: &stop };
    let play = || -> Result<_> {
        let (before, ()) = at_work(market, seed, || Ok(()))?;
        anyhow::ensure!(
            !seen.by_anybody(),
            "there is an alert before anything is wrong: {:?}",
            seen.times_ms()
        );
        let (during, mistake) = at_work(market, seed + 1, || make(market, &rule, &seen))?;
        Ok((before, during, mistake))
    };
    let (before, during, mistake) = std::thread::scope(|scope| -> Result<_> {
        let watching =
            [scope.spawn(|| watch.metrics()), scope.spawn(|| watch.api()), scope.spawn(|| watch.console())];
        let played = play();
        stop.store(true, Ordering::Relaxed);
        // Whoever could not watch is why nobody saw anything, so that is told first.
        watching.into_iter().try_for_each(joined)?;
        played
    })?;
    market.publish(&market.starter, "without the mistake")?;
    caught_up(&market.server)?;
    anyhow::ensure!(
        metric(&market.server, EXCEEDED)? == 0.0,
        "the rule was stopped and is still told as over its budget"
    );
    let everybody: Vec<usize> = (0..market.size()).collect();
    let hidden = market.hidden(&mut market.server.connect()?, &everybody)?;
    anyhow::ensure!(hidden.is_empty(), "{} honest offers are hidden after {rule}", hidden.len());
    Ok(Round { mistake, shown: market.size(), before, during })
}

/// The longest of these, with all of them, one a round.
fn longest(name: String, target: &'static str, seconds: &[f64]) -> Figure {
    let most = seconds.iter().copied().fold(0.0, f64::max);
    let each: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.3}")).collect();
    Figure::new(name, most, "s", target).note(format!("by round: {}", each.join(", ")))
}

pub(crate) fn run(suppliers: usize, rounds: usize) -> Result<(Vec<Figure>, Vec<Curve>)> {
    anyhow::ensure!(suppliers >= SUPPLIERS_MIN, "say --suppliers {SUPPLIERS_MIN} or more");
    anyhow::ensure!((1..=ROUNDS_MAX).contains(&rounds), "say --rounds 1 to {ROUNDS_MAX}");
    let directory = tempfile::tempdir()?;
    let market = Market::open(directory.path(), suppliers)?;
    let hidden = market.hidden(&mut market.server.connect()?, &(0..suppliers).collect::<Vec<_>>())?;
    anyhow::ensure!(hidden.is_empty(), "{} honest offers are hidden before anything is wrong", hidden.len());
    // Not counted: connections, caches and the index grow warm.
    at_work(&market, 0, || Ok(()))?;
    let done = (1..=rounds).map(|number| round(&market, number)).collect::<Result<Vec<Round>>>()?;

    let withheld = done.iter().map(|round| round.mistake.withheld).max().unwrap_or_default() as f64;
    let share = withheld / BUDGET as f64;
    let note = format!(
        "{rounds} rules that find each of {suppliers} suppliers, budget {BUDGET} an hour; embedded log, every fold, {QUERIES} \
         queries and {WRITES} writes a second"
    );
    let mut figures = vec![
        Figure::new("withheld at most ÷ the budget", share, "ratio", "<= 1").met(share <= 1.0).note(note),
    ];
    for (place, name) in PLACES.iter().enumerate() {
        let seconds: Vec<f64> = done.iter().map(|round| round.mistake.alert_s[place]).collect();
        let figure = longest(format!("first refusal to alert {name}, longest"), "<= 1", &seconds);
        let met = figure.value <= ALERT_S;
        figures.push(figure.met(met));
    }
    let restored: Vec<f64> = done.iter().map(|round| round.mistake.restored_s).collect();
    let settled: Vec<f64> = done.iter().map(|round| round.mistake.settled_s).collect();
    figures.push(longest("one :restore to every offer shown, longest".to_owned(), "report", &restored));
    figures.push(longest("one :restore to no review left, longest".to_owned(), "report", &settled));
    let shown = done.iter().map(|round| round.shown).min().unwrap_or_default();
    figures.push(
        Figure::new("honest offers shown afterwards, fewest", shown as f64, "offers", "all")
            .met(shown == suppliers),
    );

    let (mut before, mut during, mut ratios) = (histogram()?, histogram()?, Vec::new());
    for round in &done {
        ratios.push(micros(&round.during, 0.99) / micros(&round.before, 0.99));
        before.add(&round.before)?;
        during.add(&round.during)?;
    }
    let note = format!("median of {rounds} rounds of {} s each, watched in both", LASTS.as_secs());
    figures.push(
        Figure::new("buyers' p99, during ÷ before", median(&mut ratios)?, "ratio", "report").note(note),
    );
    for (name, latencies) in [("before", &before), ("during", &during)] {
        let p99_ms = micros(latencies, 0.99) / 1e3;
        figures.push(Figure::new(format!("buyers' p99, {name}"), p99_ms, "ms", "report"));
    }
    let curve = |name: &str, latencies| Curve { name: name.to_owned(), latencies };
    Ok((figures, vec![curve("before", before), curve("during", during)]))
}
