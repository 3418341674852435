//! What is put off first when there is more to do than can be done: a ladder, from work that nobody waits for up to single rows
//! of suppliers who are known. What buyers ask, withdrawals, stock to zero, lock-outs and releases are on no rung: there is no
//! [`Work`] for them, so nothing can put them off.
//!
//! Pressure is how long the oldest record has waited for a fold, in milliseconds. The ladder ([`Ladder`]) goes up at once, as far
//! as the pressure says, and down one rung at a time, after it was well below that rung for a while: so it does not swing. It is
//! pure; whoever measures tells it, and tells everybody by a [`Brownout`].

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{
    extract::{FromRequestParts, Request},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::{Caller, Problem, Trust, metrics as names};

/// How much is put off: everything on this rung and below.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing.
    #[default]
    Calm,
    /// Backtests, impacts, explanations, reports, verifications.
    Analyses,
    /// New imports, and steps of those under way.
    Imports,
    /// Streams are told of changes more seldom.
    Streams,
    /// Writes of suppliers under suspicion.
    Suspect,
    /// Writes of new suppliers.
    New,
    /// Batches of suppliers who are known.
    Bulk,
    /// Single rows of suppliers who are known, and events of order systems.
    Rows,
}

impl Rung {
    /// Every rung, the lowest first.
    pub const ALL: [Self; 8] = [
        Self::Calm,
        Self::Analyses,
        Self::Imports,
        Self::Streams,
        Self::Suspect,
        Self::New,
        Self::Bulk,
        Self::Rows,
    ];

    fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Rows)
    }
}

/// Work that can be put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// What somebody would like to know about the past or the possible.
    Analysis,
    /// A whole file. By whom, its handler says.
    Import,
    /// Many rows at once. By whom, its handler says.
    Bulk,
    /// One row. By whom, its handler says.
    Row,
    /// A change of stock: put off like a row, but for a reduction, which is never.
    Stock,
    /// Events of order systems.
    Events,
}

impl Work {
    /// The rung that puts it off, for a supplier of `trust` where that matters.
    pub fn rung(self, trust: Trust) -> Rung {
        match (self, trust) {
            (Self::Analysis, _) => Rung::Analyses,
            (Self::Import, _) => Rung::Imports,
            (Self::Events, _) => Rung::Rows,
            (Self::Bulk | Self::Row | Self::Stock, Trust::Suspect) => Rung::Suspect,
            (Self::Bulk | Self::Row | Self::Stock, Trust::New) => Rung::New,
            (Self::Bulk, Trust::Trusted) => Rung::Bulk,
            (Self::Row | Self::Stock, Trust::Trusted) => Rung::Rows,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Import => "import",
            Self::Bulk => "bulk",
            Self::Row => "row",
            Self::Stock => "stock",
            Self::Events => "events",
        }
    }
}

/// From which pressure on each rung is reached, in milliseconds that the oldest record has waited.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrownoutConfig {
    /// Backtests, impacts, explanations, reports, verifications are put off.
    pub analyses_ms: u64,
    /// Imports.
    pub imports_ms: u64,
    /// Streams are told of changes more seldom.
    pub streams_ms: u64,
    /// Writes of suppliers under suspicion.
    pub suspect_ms: u64,
    /// Writes of new suppliers.
    pub new_ms: u64,
    /// Batches of suppliers who are known.
    pub bulk_ms: u64,
    /// Single rows of suppliers who are known, and events.
    pub rows_ms: u64,
    /// How long the pressure must have been below half of a rung's bound until that rung is left.
    pub calm_ms: u64,
}

impl Default for BrownoutConfig {
    fn default() -> Self {
        Self {
            analyses_ms: 1_000,
            imports_ms: 1_500,
            streams_ms: 2_000,
            // From here on a write is most likely answered with a link instead of its outcome.
            suspect_ms: 2_500,
            new_ms: 4_000,
            bulk_ms: 8_000,
            rows_ms: 20_000,
            calm_ms: 1_000,
        }
    }
}

impl BrownoutConfig {
    /// Nothing is ever put off.
    pub fn never() -> Self {
        let never = u64::MAX;
        Self {
            analyses_ms: never,
            imports_ms: never,
            streams_ms: never,
            suspect_ms: never,
            new_ms: never,
            bulk_ms: never,
            rows_ms: never,
            calm_ms: 1,
        }
    }

    /// The bound of each rung above [`Rung::Calm`], the lowest first.
    fn bounds(&self) -> [u64; 7] {
        let Self { analyses_ms, imports_ms, streams_ms, suspect_ms, new_ms, bulk_ms, rows_ms, calm_ms: _ } =
            *self;
        [analyses_ms, imports_ms, streams_ms, suspect_ms, new_ms, bulk_ms, rows_ms]
    }

    /// What is wrong with it, in words.
    pub fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.bounds().is_sorted() {
            wrong.push("analyses_ms, imports_ms, streams_ms, suspect_ms, new_ms, bulk_ms and rows_ms must not fall: what is put off first has the lowest bound".to_owned());
        }
        if self.analyses_ms == 0 || self.calm_ms == 0 {
            wrong.push("analyses_ms and calm_ms must be at least 1".to_owned());
        }
        wrong
    }
}

/// The ladder: pressure in, rung out.
#[derive(Clone, Debug)]
pub struct Ladder {
    bounds: [u64; 7],
    calm_ms: u64,
    rung: Rung,
    /// Since when the pressure has been low enough to leave the rung.
    low_since_ms: Option<u64>,
}

impl Ladder {
    /// A ladder on its lowest rung.
    pub fn new(config: &BrownoutConfig) -> Self {
        Self { bounds: config.bounds(), calm_ms: config.calm_ms, rung: Rung::Calm, low_since_ms: None }
    }

    /// The rung under a pressure at a time, both in milliseconds; times do not go back.
    pub fn look(&mut self, pressure_ms: u64, now_ms: u64) -> Rung {
        let reached = Rung::of(self.bounds.iter().filter(|bound| pressure_ms >= **bound).count() as u8);
        if reached >= self.rung {
            self.low_since_ms = None;
            self.rung = reached;
            return reached;
        }
        if !self.is_low(pressure_ms) {
            self.low_since_ms = None;
            return self.rung;
        }
        let since = *self.low_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) >= self.calm_ms {
            self.rung = Rung::of(self.rung as u8 - 1);
            // The next rung has to be calm for as long, from now on.
            self.low_since_ms = Some(now_ms).filter(|_| self.is_low(pressure_ms));
        }
        self.rung
    }

    /// Whether a pressure is low enough to leave the rung; there is none below the lowest.
    fn is_low(&self, pressure_ms: u64) -> bool {
        let bound = (self.rung as usize).checked_sub(1).and_then(|at| self.bounds.get(at));
        bound.is_some_and(|bound| pressure_ms <= bound / 2)
    }
}

/// Which rung a process is on, for whoever is about to begin something. Cheap to clone.
#[derive(Clone)]
pub struct Brownout(Arc<State>);

struct State {
    process: AtomicU8,
    /// Of order events.
    events: AtomicU8,
    /// Of each partition of suppliers: only those whose partition is behind are put off for it.
    partitions: Box<[AtomicU8]>,
    config: BrownoutConfig,
}

impl Default for Brownout {
    fn default() -> Self {
        Self::new(&BrownoutConfig::default(), 0)
    }
}

impl Brownout {
    /// On the lowest rung, with so many partitions of suppliers.
    pub fn new(config: &BrownoutConfig, partitions: u32) -> Self {
        let partitions = (0..partitions).map(|_| AtomicU8::new(0)).collect();
        Self(Arc::new(State {
            process: AtomicU8::new(0),
            events: AtomicU8::new(0),
            partitions,
            config: config.clone(),
        }))
    }

    /// Says on which rung the process, what order events wait for, and each of its partitions are.
    pub fn set(&self, process: Rung, events: Rung, partitions: impl IntoIterator<Item = Rung>) {
        self.0.process.store(process as u8, Ordering::Relaxed);
        self.0.events.store(events as u8, Ordering::Relaxed);
        for (held, rung) in self.0.partitions.iter().zip(partitions) {
            held.store(rung as u8, Ordering::Relaxed);
        }
        metrics::gauge!(names::BROWNOUT).set(f64::from(process as u8));
    }

    /// The rung of the process: the highest of anything in it.
    pub fn rung(&self) -> Rung {
        Rung::of(self.0.process.load(Ordering::Relaxed))
    }

    /// The rung of a partition of suppliers.
    pub fn rung_of(&self, partition: u32) -> Rung {
        let held = self.0.partitions.get(partition as usize);
        held.map_or(Rung::Calm, |held| Rung::of(held.load(Ordering::Relaxed)))
    }

    /// The ladder that it follows.
    pub fn ladder(&self) -> Ladder {
        Ladder::new(&self.0.config)
    }

    /// Whether this work may be begun now, or how long it is put off: 503 `put_off`. Order events concern suppliers of all
    /// partitions, so one of these that is behind does not put them off.
    pub fn admits(&self, work: Work) -> Result<(), Problem> {
        let rung = match work {
            Work::Events => Rung::of(self.0.events.load(Ordering::Relaxed)),
            _ => self.rung(),
        };
        self.judge(work, Trust::Trusted, rung)
    }

    /// The same of a write or an import of a supplier of `trust` into its `partition`.
    pub fn admits_write(&self, work: Work, trust: Trust, partition: u32) -> Result<(), Problem> {
        self.judge(work, trust, self.rung_of(partition))
    }

    fn judge(&self, work: Work, trust: Trust, rung: Rung) -> Result<(), Problem> {
        let needed = work.rung(trust);
        if rung < needed {
            return Ok(());
        }
        // What is put off later comes back sooner, and nothing sooner than the ladder can have come down.
        let steps = rung as u64 - needed as u64 + 1;
        Err(put_off(work, (steps * self.0.config.calm_ms).div_ceil(1_000)))
    }
}

/// What is answered to whoever asks for work that is put off for so many seconds, at most a minute: 503 `put_off`.
pub fn put_off(work: Work, wait_s: u64) -> Problem {
    metrics::counter!(names::PUT_OFF, "work" => work.label()).increment(1);
    let wait_s = wait_s.clamp(1, 60);
    let detail = format!(
        "the server is behind and puts this kind of work off, so that buyers are answered and lock-outs decided in time; wait {wait_s} s and send it again"
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "put_off", detail)
        .with_header(header::RETRY_AFTER, wait_s.to_string())
}

/// Marks what a call is, for whoever reads its body, and puts off what needs no look at its caller. An import needs one: its supplier's
/// partition says whether it is put off. Calls are marked where they are declared, see [`crate::api::Operation::work`].
pub(crate) async fn mark(work: Work, mut request: Request, next: Next) -> Response {
    if matches!(work, Work::Analysis | Work::Events) {
        let brownout = request.extensions().get::<Brownout>();
        if let Some(Err(put_off)) = brownout.map(|brownout| brownout.admits(work)) {
            let (mut head, body) = request.into_parts();
            let known = <Caller as FromRequestParts<()>>::from_request_parts(&mut head, &()).await;
            if known.is_err() {
                // Nobody waits for the body of whoever shows no key.
                return put_off.with_header(header::CONNECTION, "close").into_response();
            }
            // Its sender, who is still writing, gets to read how long to wait.
            crate::body::let_by(Request::from_parts(head, body)).await;
            return put_off.into_response();
        }
    }
    request.extensions_mut().insert(work);
    next.run(request).await
}

#[cfg(test)]
mod tests;
