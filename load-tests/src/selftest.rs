//! Whether the generator sees what it should: a delay of 100 us at the median, a stop of 100 ms in the tail.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    Figure,
    generator::{Connection, micros, open_loop, wait_until},
    report::Curve,
};

const RATE: f64 = 1_000.0;
const ROUND: Duration = Duration::from_millis(700);
const ROUNDS: usize = 8;
const DELAY: Duration = Duration::from_micros(100);

/// Answers after a delay in nanoseconds that can be changed; stops for 100 ms when told to.
struct Server {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    stop_until: Arc<AtomicU64>,
    begun: Instant,
}

fn serve() -> Result<Server> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let begun = Instant::now();
    let server =
        Server { address: listener.local_addr()?, delay: Arc::default(), stop_until: Arc::default(), begun };
    let (delay, stop_until) = (server.delay.clone(), server.stop_until.clone());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (delay, stop_until) = (delay.clone(), stop_until.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let arrived = Instant::now();
                    wait_until(arrived + Duration::from_nanos(delay.load(Ordering::Relaxed)));
                    wait_until(begun + Duration::from_nanos(stop_until.load(Ordering::Relaxed)));
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(server)
}

pub(crate) fn run() -> Result<(Vec<Figure>, Vec<Curve>)> {
    let server = serve()?;
    let measure = |delay: Duration, seed: usize| {
        server.delay.store(delay.as_nanos() as u64, Ordering::Relaxed);
        open_loop(RATE, ROUND, 1, seed as u64, |_| {
            let mut connection = Connection::open(server.address)?;
            Ok(move || connection.call("GET", "/", "", b"").map(drop))
        })
    };
    measure(Duration::ZERO, 0)?;
    let (mut plain, mut again, mut delayed) =
        (crate::generator::histogram()?, crate::generator::histogram()?, crate::generator::histogram()?);
    for round in 0..ROUNDS {
        let arms = [Duration::ZERO, DELAY, DELAY, Duration::ZERO];
        for (step, delay) in arms.into_iter().enumerate() {
            let latencies = measure(delay, round * 4 + step)?;
            match (delay.is_zero(), step) {
                (true, 0) => plain.add(latencies)?,
                (true, _) => again.add(latencies)?,
                (false, _) => delayed.add(latencies)?,
            }
        }
    }
    // One stop of 100 ms in the middle of a run that has no other delay.
    server.delay.store(0, Ordering::Relaxed);
    let stopper = {
        let (stop_until, begun) = (server.stop_until.clone(), server.begun);
        std::thread::spawn(move || {
            wait_until(Instant::now() + Duration::from_millis(500));
            let until = begun.elapsed() + Duration::from_millis(100);
            stop_until.store(until.as_nanos() as u64, Ordering::Relaxed);
        })
    };
    let stopped = open_loop(RATE, Duration::from_secs(2), 1, 99, |_| {
        let mut connection = Connection::open(server.address)?;
        Ok(move || connection.call("GET", "/", "", b"").map(drop))
    })?;
    let _ = stopper.join();
    let shift = micros(&delayed, 0.5) - micros(&plain, 0.5);
    let same = micros(&again, 0.5) / micros(&plain, 0.5);
    let p99 = micros(&stopped, 0.99) / 1_000.0;
    let figures = vec![
        Figure::new("an injected 100 us at p50", shift, "us", ">= 90")
            .met(shift >= 90.0)
            .note(format!("{ROUNDS} ABBA rounds, {RATE} requests/s")),
        Figure::new("a stop of 100 ms at p99", p99, "ms", ">= 50")
            .met(p99 >= 50.0)
            .note("of 2 s; a closed loop would show it once".to_owned()),
        Figure::new("A / A at p50", same, "ratio", "report"),
    ];
    let curve = |name: &str, latencies| Curve { name: name.to_owned(), latencies };
    Ok((figures, vec![curve("plain", plain), curve("plus 100 us", delayed), curve("stopped once", stopped)]))
}
