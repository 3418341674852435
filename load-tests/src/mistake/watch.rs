//! Who watches for the alert: whoever collects the metrics, whoever asks the API, and whoever has the console open. They watch before
//! the mistake as well, so that what watching costs buyers is the same before and during it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use stockade_runtime::clock::now_ms;

use super::Market;
use crate::{
    cluster::insist,
    generator::{Connection, wait_until},
    process::metric_over,
};

/// Rules that a budget holds back, as metrics tell it.
pub(super) const EXCEEDED: &str = "stockade_lockout_budgets_exceeded";
/// Where the alert can be seen, in the order in which [`Seen`] tells of them.
pub(super) const PLACES: [&str; 3] = ["in /metrics", "by GET /v1/rules", "on the console's stream"];
/// From one look to the next, of those who have to look.
const LOOK: Duration = Duration::from_millis(20);
/// How an answer begins that is to be read on.
const OK: &str = "HTTP/1.1 200";

/// When the alert was first seen in each place, in milliseconds since 1970; 0 where it was not.
#[derive(Default)]
pub(super) struct Seen([AtomicI64; PLACES.len()]);

impl Seen {
    pub(super) fn times_ms(&self) -> [i64; PLACES.len()] {
        self.0.each_ref().map(|at| at.load(Ordering::Relaxed))
    }
    pub(super) fn by_all(&self) -> bool {
        self.times_ms().iter().all(|at| *at > 0)
    }
    pub(super) fn by_anybody(&self) -> bool {
        self.times_ms().iter().any(|at| *at > 0)
    }
}

/// Whoever watches, until told to stop.
pub(super) struct Watch<'a> {
    pub(super) market: &'a Market,
    pub(super) rule: &'a str,
    pub(super) seen: &'a Seen,
    pub(super) stop: &'a AtomicBool,
}

impl Watch<'_> {
    pub(super) fn metrics(&self) -> Result<()> {
        let admin = self.market.server.admin.context("the server has no metrics")?;
        let mut connection = Connection::open(admin)?;
        self.look(0, || Ok(metric_over(&mut connection, EXCEEDED)? > 0.0))
    }

    pub(super) fn api(&self) -> Result<()> {
        let mut connection = self.market.server.connect()?;
        self.look(1, || {
            let rules = insist(&mut connection, "GET", "/v1/rules", &self.market.keys.analyst, &Value::Null)?;
            let rules: Value = serde_json::from_slice(&rules)?;
            Ok(rules["exceeded"][self.rule].is_object())
        })
    }

    /// A tab that follows the alerts, as the pages do.
    pub(super) fn console(&self) -> Result<()> {
        let mut stream = TcpStream::connect(self.market.server.api)?;
        stream.set_read_timeout(Some(LOOK))?;
        let request = format!(
            "GET /console/api/stream?channels=alerts HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\ncookie: {}\r\n\r\n",
            self.market.cookie
        );
        stream.write_all(request.as_bytes())?;
        let alert = format!("The rule {} exceeded its budget", self.rule);
        let (mut told, mut buffer) = (String::new(), vec![0; 16_384]);
        while !self.stop.load(Ordering::Relaxed) {
            let bytes = match stream.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the console's stream has ended: {told}"),
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error.into()),
            };
            told.push_str(&String::from_utf8_lossy(buffer.get(..bytes).unwrap_or_default()));
            anyhow::ensure!(
                told.len() < OK.len() || told.starts_with(OK),
                "no stream of the console: {told}"
            );
            if told.contains(&alert) {
                self.note(2);
            }
        }
        Ok(())
    }

    fn look(&self, place: usize, mut sees: impl FnMut() -> Result<bool>) -> Result<()> {
        let mut at = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            if sees()? {
                self.note(place);
            }
            // Whoever is behind does not make up for it.
            at = (at + LOOK).max(Instant::now());
            wait_until(at);
        }
        Ok(())
    }

    /// Only the first time counts.
    fn note(&self, place: usize) {
        if let Some(seen) = self.seen.0.get(place).filter(|seen| seen.load(Ordering::Relaxed) == 0) {
            seen.store(now_ms(), Ordering::Relaxed);
        }
    }
}
