//! A supplier's file of many rows: how fast it is read and applied, and what memory that takes, at two lengths, so that the
//! slope shows. Then the same file with one row in a hundred changed, as most files are.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use stockade_model::SupplierId;
use stockade_runtime::{KeyRing, Role};
use stockade_testkit::wait_until;

use crate::{
    Figure,
    cluster::{Server, supplier},
    generator::{Connection, wait_until as wait_for},
    process::{caught_up, cpu_seconds, resident},
};

/// An import takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// One row in so many is another in the second file.
const CHANGED: u64 = 100;

/// Writes the file; `time` says which of a supplier's files it is.
fn write(at: &Path, rows: u64, time: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(at)?);
    writeln!(file, "listing,sku,location,price,currency,on_hand")?;
    for row in 0..rows {
        let changed = if row % CHANGED == 0 { time } else { 0 };
        writeln!(
            file,
            "l-{row:08},SKU-{row:08},main,{}.{:02},EUR,{}",
            10 + row % 90,
            row % 100,
            1 + row % 50 + changed
        )?;
    }
    Ok(file.flush()?)
}

/// Sends a file as it lies on disk; gives the name of the import.
fn upload(server: &Server, key: &str, file: &Path) -> Result<String> {
    let mut body = File::open(file)?;
    let mut stream = TcpStream::connect(server.api)?;
    stream.set_read_timeout(Some(Duration::from_secs(300)))?;
    write!(
        stream,
        "POST /v1/suppliers/s0/imports HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: text/csv\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.metadata()?.len()
    )?;
    std::io::copy(&mut body, &mut stream)?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.trim_end().to_owned();
    let mut rest = String::new();
    answer.read_to_string(&mut rest)?;
    let (_, body) = rest.split_once("\r\n\r\n").context("no answer")?;
    anyhow::ensure!(status.contains(" 202 "), "{status} {body}");
    let told: Value = serde_json::from_str(body)?;
    Ok(told["import"].as_str().context("the import has no name")?.to_owned())
}

/// What one import took.
struct Seen {
    reading: f64,
    applying: f64,
    cpu: f64,
    /// The most that was resident while the file was read, and while it was applied.
    reading_most: f64,
    applying_most: f64,
}

/// Sends the file and waits for its end.
fn import(server: &Server, key: &str, file: &Path, rows: u64) -> Result<(Seen, Value)> {
    let process = server.process.id();
    let mut seen = Seen { reading: 0.0, applying: 0.0, cpu: 0.0, reading_most: 0.0, applying_most: 0.0 };
    let (cpu, begun) = (cpu_seconds(process)?, Instant::now());
    let (most, stop) = (Mutex::new(0.0_f64), AtomicBool::new(false));
    let (done, told) = std::thread::scope(|scope| -> Result<_> {
        // From the first byte of the upload on.
        let watch = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let memory = resident(process).unwrap_or_default();
                if let Ok(mut most) = most.lock() {
                    *most = most.max(memory);
                }
                wait_for(Instant::now() + Duration::from_millis(20));
            }
        });
        let took_most = || most.lock().map(|mut most| std::mem::take(&mut *most)).unwrap_or_default();
        let seen = (|| {
            let path = format!("/v1/suppliers/s0/imports/{}", upload(server, key, file)?);
            let mut connection = server.connect()?;
            let mut told = Value::Null;
            let done = wait_until(PATIENCE, || {
                let answer = connection.call("GET", &path, key, b"");
                told =
                    answer.ok().and_then(|(_, body)| serde_json::from_slice(&body).ok()).unwrap_or_default();
                if told["state"] == "received" {
                    seen.reading = begun.elapsed().as_secs_f64();
                    seen.reading_most = seen.reading_most.max(took_most());
                } else {
                    seen.applying_most = seen.applying_most.max(took_most());
                }
                told["finished_at"].is_string()
            });
            Ok((done, told))
        })();
        stop.store(true, Ordering::Relaxed);
        watch.join().map_err(|_| anyhow::anyhow!("the watch died"))?;
        seen
    })?;
    anyhow::ensure!(done && told["state"] == "done" && told["rows"]["read"] == rows, "{told}");
    seen.applying = begun.elapsed().as_secs_f64() - seen.reading;
    caught_up(server)?;
    seen.cpu = cpu_seconds(process)? - cpu;
    Ok((seen, told))
}

fn measure(rows: u64) -> Result<Vec<Figure>> {
    let directory = tempfile::tempdir()?;
    let at = directory.path();
    let ring = KeyRing::open(&at.join("keys.jsonl"))?;
    let operator = ring.create("op", Role::Operator)?;
    let key = ring.create("s0", Role::Supplier { supplier: SupplierId::new("s0")? })?;
    let server = Server::stockade("imports", at, &["--partitions", "12"])?;
    supplier(at, &mut server.connect()?, &operator, "s0", Some(key.clone()))?;
    caught_up(&server)?;
    let process = server.process.id();
    let empty = resident(process)?;
    let file = at.join("file.csv");
    let mut figures = Vec::new();
    for (time, which) in [(0, "new listings"), (1, "one row in 100 changed")] {
        write(&file, rows, time)?;
        let before = resident(process)?;
        let (seen, told) = import(&server, &key, &file, rows)?;
        let named = |what: &str| format!("{what}, {rows} rows, {which}");
        let n = rows as f64;
        let megabytes = |bytes: f64| (bytes - before) / 1e6;
        figures.extend([
            Figure::new(named("read"), n / seen.reading, "rows/s", "report").note(format!(
                "upload and spooling included; {} bytes, debug assertions {}",
                std::fs::metadata(&file)?.len(),
                if cfg!(debug_assertions) { "on" } else { "off" }
            )),
            Figure::new(named("applied"), n / seen.applying, "rows/s", "report").note(format!(
                "accepted {}, unchanged {}, refused {}",
                told["rows"]["accepted"], told["rows"]["unchanged"], told["rows"]["refused"]
            )),
            Figure::new(named("CPU of a row"), seen.cpu * 1e6 / n, "us", "report"),
            Figure::new(
                named("memory that reading added, at most"),
                megabytes(seen.reading_most),
                "MB",
                "flat",
            ),
            Figure::new(
                named("memory that applying added, at most"),
                megabytes(seen.applying_most),
                "MB",
                "report",
            )
            .note("the listings among it, and what every fold keeps of them".to_owned()),
        ]);
    }
    let each = (resident(process)? - empty) / rows as f64;
    figures.push(Figure::new(format!("memory of a listing in the end, {rows} rows"), each, "B", "report"));
    // What was acknowledged is there, from the second file.
    let mut connection: Connection = server.connect()?;
    let (_, body) = connection.call("GET", "/v1/suppliers/s0/listings/l-00000000", &key, b"")?;
    let listing: Value = serde_json::from_slice(&body)?;
    anyhow::ensure!(listing["on_hand"] == 2, "{listing}");
    Ok(figures)
}

pub(crate) fn run(rows: u64, times: u64) -> Result<Vec<Figure>> {
    let mut figures = measure(rows)?;
    figures.extend(measure(rows * times)?);
    Ok(figures)
}
