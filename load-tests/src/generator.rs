//! Open-loop load: arrivals are Poisson and do not wait for answers; latency counts from the intended time of sending, so
//! a server that stalls is charged for everyone who would have come meanwhile.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// The clock sleeps until this long before the time and spins the rest: the kernel wakes late, a tokio timer by up to a
/// millisecond.
const SPIN: Duration = Duration::from_micros(150);

/// Waits until `at`, to the microsecond.
#[allow(clippy::disallowed_methods, reason = "a load generator waits for time to pass")]
pub(crate) fn wait_until(at: Instant) {
    let left = at.saturating_duration_since(Instant::now());
    if left > SPIN {
        std::thread::sleep(left - SPIN);
    }
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}

/// Latencies in nanoseconds.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, 60_000_000_000, 3)?)
}

/// Microseconds at a quantile.
pub(crate) fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// Calls `work` at Poisson arrivals from `workers` threads, `rate` a second altogether, for `duration`.
pub(crate) fn open_loop<W: FnMut() -> Result<()>>(
    rate: f64,
    duration: Duration,
    workers: usize,
    seed: u64,
    make: impl Fn(usize) -> Result<W> + Sync,
) -> Result<Histogram<u64>> {
    let begin = Instant::now() + Duration::from_millis(20);
    let mut all = histogram()?;
    let parts: Vec<Result<Histogram<u64>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let make = &make;
                scope.spawn(move || -> Result<Histogram<u64>> {
                    let mut work = make(worker)?;
                    let mut random = fastrand::Rng::with_seed(seed ^ (worker as u64) << 32);
                    let mut latencies = histogram()?;
                    let mut at = begin;
                    loop {
                        // Poisson arrivals: exponential gaps. Several such streams together are one again.
                        at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() * workers as f64 / rate);
                        if at > begin + duration {
                            return Ok(latencies);
                        }
                        wait_until(at);
                        work()?;
                        latencies.saturating_record(at.elapsed().as_nanos() as u64);
                    }
                })
            })
            .collect();
        let panicked = |_| anyhow::anyhow!("a worker panicked");
        threads.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
    });
    for part in parts {
        all.add(part?)?;
    }
    Ok(all)
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    head: String,
    closing: bool,
}

impl Connection {
    pub(crate) fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::new(stream), head: String::new(), closing: false })
    }
    /// Whether the last answer said that nothing more is taken on it.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }
    /// One request; gives the status and the body.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        key: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request)?;
        let (mut status, mut length) = (0, 0);
        loop {
            self.head.clear();
            anyhow::ensure!(self.stream.read_line(&mut self.head)? > 0, "the connection was closed");
            let line = self.head.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().and_then(|code| code.parse().ok()).context("no status")?;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            } else if line.eq_ignore_ascii_case("connection: close") {
                self.closing = true;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
