//! The embedded log: batches with durability on against the same with it off, interleaved (ABBA).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use stockade_log::{Ack, Embedded, EmbeddedOptions, Fsync, Log, NewRecord, Route, TopicSpec, Writer};

use crate::Figure;

const ROUNDS: usize = 8;
const RECORDS: usize = 200_000;
const BATCH: usize = 500;
const WRITERS: usize = 4;
const PARTITIONS: u32 = 12;
const SINGLE: usize = 400;

fn batch(writer: usize, number: usize) -> Vec<NewRecord> {
    let value = Bytes::from(vec![b'x'; 200]);
    (0..BATCH)
        .map(|index| NewRecord {
            topic: "t",
            route: Route::Key,
            key: Bytes::from(format!("supplier-{}", (writer * 7_919 + number * BATCH + index) % 1_000)),
            headers: vec![("ce_type", "stockade.inventory.command".to_owned())],
            value: value.clone(),
        })
        .collect()
}

fn open(directory: &std::path::Path, fsync: Fsync) -> Result<Arc<Embedded>> {
    let options =
        EmbeddedOptions { directory: directory.to_owned(), fsync, writer: Writer::Thread, reserve_bytes: 0 };
    let log = Embedded::open(&options, Arc::new(|| 0))?;
    log.ensure_topic(&TopicSpec { name: "t", partitions: PARTITIONS, retention_ms: None })?;
    Ok(Arc::new(log))
}

/// Records a second through several writers, each waiting for its batch before sending the next.
fn arm(fsync: Fsync) -> Result<f64> {
    let directory = tempfile::tempdir()?;
    let log = open(directory.path(), fsync)?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let log = log.clone();
                scope.spawn(move || -> Result<()> {
                    for number in 0..RECORDS / BATCH / WRITERS {
                        log.append(batch(writer, number), Ack::Durable).wait()?;
                    }
                    Ok(())
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
    })?;
    Ok(RECORDS as f64 / begun.elapsed().as_secs_f64())
}

/// One durable append at a time.
fn single() -> Result<(f64, f64)> {
    let directory = tempfile::tempdir()?;
    let log = open(directory.path(), Fsync::Group)?;
    let mut times: Vec<Duration> = Vec::with_capacity(SINGLE);
    for number in 0..SINGLE {
        let mut one = batch(0, number);
        one.truncate(1);
        let begun = Instant::now();
        log.append(one, Ack::Durable).wait()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let micros =
        |share: f64| times.get((SINGLE as f64 * share) as usize).map_or(0.0, |t| t.as_secs_f64() * 1e6);
    Ok((micros(0.5), micros(0.99)))
}

pub(crate) fn run() -> Result<Vec<Figure>> {
    let (mut durable, mut quick) = (Vec::new(), Vec::new());
    arm(Fsync::Group)?;
    for round in 0..ROUNDS {
        // ABBA, so that drift falls on both arms alike.
        if round % 2 == 0 {
            durable.push(arm(Fsync::Group)?);
            quick.push(arm(Fsync::Never)?);
        } else {
            quick.push(arm(Fsync::Never)?);
            durable.push(arm(Fsync::Group)?);
        }
    }
    let rate = crate::median(&mut durable)?;
    let ratio = rate / crate::median(&mut quick)?;
    let (p50, p99) = single()?;
    let shape = format!(
        "{WRITERS} writers, batches of {BATCH}, 200 B values, {PARTITIONS} partitions, median of {ROUNDS} rounds"
    );
    Ok(vec![
        Figure::new("durable appends", rate, "records/s", ">= 100000").met(rate >= 100_000.0).note(shape),
        Figure::new("durable / not synced", ratio, "ratio", "report").note("same run, ABBA".to_owned()),
        Figure::new("one durable append, p50", p50, "us", "report")
            .note(format!("{SINGLE} in a row, one writer")),
        Figure::new("one durable append, p99", p99, "us", "report"),
    ])
}
