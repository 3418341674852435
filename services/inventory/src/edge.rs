//! What a supplier's write has to pass before it is appended, the cheapest question first: whether it is locked out, whether its
//! kind of work is put off, its own allowance, what it shares with suppliers like it, its share of a partition that is behind.

use std::{num::NonZeroU32, time::Duration};

use axum::http::StatusCode;
use dashmap::DashMap;
use parking_lot::RwLock;
use stockade_log::{Lane, partition_of};
use stockade_model::{Command, Level, SupplierId, Timestamp, time::DAY_MS};
use stockade_runtime::{
    Brownout, Problem, Trust, Work,
    limits::{Allowance, Shared, UNIT_BYTES},
};

use crate::{
    app::{App, Submitted},
    bounds::Bounds,
    fairness::{Fairness, share_used},
    storm::EventsGate,
};

/// How often a write of a locked-out supplier is let through to the log, where it is refused with its whole content as evidence,
/// in milliseconds.
const EVIDENCE_MS: i64 = 60_000;

/// For how long a request keeps its turn at the log. Past that its partition is behind, or the log does not take it, and the others go
/// on: a turn is there so that the fold has no more than it can do, and what waits in another partition is none of that.
const TURN_AT_LOG_MAX: Duration = Duration::from_millis(250);

/// What the edge of an inventory service knows beside limits.
pub struct Gatekeeper {
    /// What is put off.
    pub brownout: Brownout,
    /// Who has used its share of a partition that is behind.
    pub fairness: Fairness,
    /// The same of order systems, and how much of what they sent may wait.
    pub events: EventsGate,
    /// How long a supplier is new, in milliseconds.
    new_ms: i64,
    /// When a write of a locked-out supplier was last let through.
    evidence: DashMap<SupplierId, i64>,
    /// Suppliers with a payout account that many share: the account's salted hash.
    crowds: DashMap<SupplierId, Box<str>>,
    /// How much one supplier may have.
    bounds: RwLock<Bounds>,
}

impl Gatekeeper {
    /// With so many partitions of suppliers, who are new for so many days.
    pub fn new(brownout: Brownout, partitions: u32, new_days: u32) -> Self {
        Self {
            brownout,
            fairness: Fairness::new(partitions),
            events: EventsGate::new(partitions, 0),
            new_ms: i64::from(new_days) * DAY_MS,
            evidence: DashMap::new(),
            crowds: DashMap::new(),
            bounds: RwLock::default(),
        }
    }

    /// How much one supplier may have.
    pub fn bounds(&self) -> Bounds {
        *self.bounds.read()
    }

    /// Puts other bounds in force. Whoever has more keeps it.
    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.write() = bounds;
    }

    /// The same, where so many order events may wait for intake; with 0 it is measured.
    #[must_use]
    pub fn with_events_waiting_max(mut self, events: u64) -> Self {
        self.events = EventsGate::new(self.events.partitions(), events);
        self
    }

    /// Many suppliers share a payout account with one.
    pub(crate) fn crowded(&self, supplier: SupplierId, payout: Box<str>) {
        self.crowds.insert(supplier, payout);
    }
}

impl App {
    /// How far a supplier is known: by what is in force against it, and by since when it trades as an operator has registered it.
    pub fn trust_of(&self, supplier: &SupplierId) -> Trust {
        // Who is only watched is looked at, and nothing else.
        let level = self.overlay.supplier_level(self.overlay.number(supplier));
        if level.is_some_and(|level| level > Level::Watch) {
            return Trust::Suspect;
        }
        if self.is_new(supplier) { Trust::New } else { Trust::Trusted }
    }

    /// Whether a supplier trades, as an operator has registered it, for less time than one is new.
    pub(crate) fn is_new(&self, supplier: &SupplierId) -> bool {
        let new_from = Timestamp::from_ms((self.clock)() - self.gate_of_edge.new_ms);
        self.since(supplier).is_none_or(|since| since > new_from)
    }

    /// Beside whom a supplier's writes go on their way to the log.
    pub(crate) fn lane_of(&self, supplier: &SupplierId) -> Lane {
        match self.trust_of(supplier) {
            Trust::Trusted => Lane::Trusted,
            Trust::New => Lane::Probation,
            Trust::Suspect => Lane::Suspect,
        }
    }

    pub(crate) fn partition_of(&self, supplier: &SupplierId) -> u32 {
        partition_of(supplier.as_str().as_bytes(), self.partitions)
    }

    /// Appends a request in a turn at the log and waits for its outcome. The turn is given back once it is decided, and past
    /// [`TURN_AT_LOG_MAX`] while it is waited for.
    pub(crate) async fn submit_in_turn<T>(
        &self,
        turn: T,
        command: Command,
        traceparent: Option<String>,
    ) -> Result<Submitted, Problem> {
        let submitted = self.submit(command, traceparent);
        tokio::pin!(submitted);
        let in_time = tokio::time::timeout(TURN_AT_LOG_MAX, submitted.as_mut()).await;
        drop(turn);
        match in_time {
            Ok(submitted) => submitted,
            Err(_) => submitted.await,
        }
    }

    /// Asked before the body of a write is read. Writes that only take supply away are taken whatever is in force, and so is what
    /// is not known to be a write.
    pub(crate) fn admits_unread(&self, supplier: &SupplierId, work: Option<Work>) -> Result<(), Problem> {
        let Some(work @ (Work::Row | Work::Bulk)) = work else { return Ok(()) };
        // A batch may reduce, which the fold takes of whoever is locked out; a listing or location that is put only adds.
        if work == Work::Row {
            self.not_locked_out(supplier)?;
        }
        self.not_put_off(supplier, work)
    }

    /// Whether a kind of write of a supplier, or its imports, are not put off at the moment.
    pub(crate) fn not_put_off(&self, supplier: &SupplierId, work: Work) -> Result<(), Problem> {
        let brownout = &self.gate_of_edge.brownout;
        brownout.admits_write(work, self.trust_of(supplier), self.partition_of(supplier))
    }

    /// Refuses a locked-out supplier's write without a look at it, but for one a minute: that one goes to the log, and the fold
    /// refuses it there, so that what somebody went on sending is on record without filling it.
    pub(crate) fn not_locked_out(&self, supplier: &SupplierId) -> Result<(), Problem> {
        if self.overlay.supplier_level(self.overlay.number(supplier)) != Some(Level::Lockout) {
            return Ok(());
        }
        let last = self.gate_of_edge.evidence.get(supplier).map(|last| *last);
        // A clock that went back keeps nobody off the record.
        if last.is_none_or(|last| ((self.clock)() - last).abs() >= EVIDENCE_MS) {
            return Ok(());
        }
        crate::metrics::refused_locked_out();
        let detail = "it is locked out: only reductions and withdrawals are taken; see /standing";
        Err(Problem::new(StatusCode::FORBIDDEN, "supplier_locked_out", detail))
    }

    /// A write is about to be appended: of a locked-out supplier that is the one of this minute. Only what could be read counts, or
    /// nonsense once a minute would keep the rest off the record.
    pub(crate) fn goes_on_record(&self, supplier: &SupplierId) {
        if self.overlay.supplier_level(self.overlay.number(supplier)) == Some(Level::Lockout) {
            self.gate_of_edge.evidence.insert(supplier.clone(), (self.clock)());
        }
    }

    /// What rows that add supply need beyond the supplier's own allowance, which they have taken: its share of a partition that is
    /// behind, and of what suppliers like it have together. Where they are refused, that is given back.
    pub(crate) fn share(
        &self,
        supplier: &SupplierId,
        own: Option<Allowance>,
        rows: usize,
    ) -> Result<Option<Allowance>, Problem> {
        let class = self.limited_by(supplier);
        let caller = (class.as_str(), supplier.as_str());
        let fairness = &self.gate_of_edge.fairness;
        if let Err(wait) = fairness.take(self.partition_of(supplier), &supplier.into(), rows) {
            self.limits.give_back(caller, rows);
            crate::metrics::held_back();
            return Err(share_used(wait));
        }
        let shared = self.share_class(supplier, rows).inspect_err(|_| {
            fairness.give_back(self.partition_of(supplier), &supplier.into(), rows);
        })?;
        Ok(own.map(|own| own.with(shared)))
    }

    /// Takes of what suppliers like this one have together as many units as it has taken of its own allowance; where they are refused,
    /// those are given back.
    pub(crate) fn share_class(&self, supplier: &SupplierId, units: usize) -> Result<Option<Shared>, Problem> {
        let class = self.limited_by(supplier);
        let caller = (class.as_str(), supplier.as_str());
        let crowd = self.crowd_of(supplier);
        let of_crowd = match &crowd {
            None => None,
            Some(payout) => self
                .limits
                .share_payout(payout, supplier.as_str(), units)
                .inspect_err(|_| self.limits.give_back(caller, units))?,
        };
        self.limits.share(caller, self.trust_of(supplier), units).inspect_err(|_| {
            if let Some((payout, taken)) = crowd.as_deref().zip(of_crowd.as_ref()) {
                self.limits.unshare_payout(payout, supplier.as_str(), units, taken);
            }
        })
    }

    /// Charges units of work that was done for a supplier to its own allowance and to what suppliers like it share, there or not.
    pub(crate) fn charge_work(&self, supplier: &SupplierId, units: NonZeroU32) {
        let class = self.limited_by(supplier);
        self.limits.charge_units((&class, supplier.as_str()), self.trust_of(supplier), units);
    }

    /// How long a supplier has to wait until more of what it uploads may be read, where it has to.
    pub(crate) fn wait_for_upload(&self, supplier: &SupplierId) -> Option<Duration> {
        let class = self.limited_by(supplier);
        self.limits.wait_for_body((&class, supplier.as_str()), self.trust_of(supplier))
    }

    /// Charges units of bodies for what a supplier uploads, to its own allowance and to what suppliers like it share.
    pub(crate) fn charge_upload(&self, supplier: &SupplierId, units: usize) {
        let class = self.limited_by(supplier);
        let bytes = units.saturating_mul(UNIT_BYTES);
        self.limits.charge_body(&class, supplier.as_str(), bytes);
        self.limits.charge_body_together(self.trust_of(supplier), supplier.as_str(), bytes);
    }

    /// What [`App::share`] asks, for a request some of whose rows may only take supply away: of these as many need nothing more as each
    /// supplier has free.
    pub(crate) fn share_beside_reductions(
        &self,
        supplier: &SupplierId,
        own: Option<Allowance>,
        rows: usize,
        reducing: usize,
    ) -> Result<Option<Allowance>, Problem> {
        let trust = self.trust_of(supplier);
        let free = self.limits.reduce(trust, supplier.as_str(), reducing);
        if free == rows {
            return Ok(own);
        }
        self.share(supplier, own, rows - free).inspect_err(|_| {
            let class = self.limited_by(supplier);
            self.limits.give_back((&class, supplier.as_str()), free);
            self.limits.unreduce(trust, supplier.as_str(), free);
        })
    }

    /// Whether a row that takes supply away needs nothing more. Past what is free it is a row like others, or one unit after the other of
    /// a thousand million would pass by all that bounds others.
    pub(crate) fn reduces_freely(&self, supplier: &SupplierId) -> bool {
        self.limits.reduce(self.trust_of(supplier), supplier.as_str(), 1) == 1
    }

    /// What [`App::share`] asks, for rows that wait rather than being refused: how long, where they have to.
    pub(crate) fn share_or_wait(&self, supplier: &SupplierId, rows: usize) -> Result<(), Duration> {
        // By its own partition: one that is behind pauses no import but its own.
        if self.not_put_off(supplier, Work::Import).is_err() {
            return Err(PUT_OFF_PAUSE);
        }
        let (fairness, partition) = (&self.gate_of_edge.fairness, self.partition_of(supplier));
        fairness.take(partition, &supplier.into(), rows)?;
        let crowd = self.crowd_of(supplier);
        let of_crowd = match &crowd {
            None => None,
            Some(payout) => self
                .limits
                .share_payout_or_wait(payout, supplier.as_str(), rows)
                .inspect_err(|_| fairness.give_back(partition, &supplier.into(), rows))?,
        };
        let shared = self.limits.take_shared_or_wait(self.trust_of(supplier), supplier.as_str(), rows);
        shared.inspect_err(|_| {
            fairness.give_back(partition, &supplier.into(), rows);
            if let Some((payout, taken)) = crowd.as_deref().zip(of_crowd.as_ref()) {
                self.limits.unshare_payout(payout, supplier.as_str(), rows, taken);
            }
        })
    }

    /// The payout account whose new suppliers share an allowance, of a supplier that is one of them. Whoever has traded for a while
    /// is not: an agency that pays out for many is nothing that its sellers should pay for.
    fn crowd_of(&self, supplier: &SupplierId) -> Option<Box<str>> {
        let payout = self.gate_of_edge.crowds.get(supplier).map(|payout| payout.clone())?;
        self.is_new(supplier).then_some(payout)
    }
}

/// How long an import that is put off waits before it looks again.
const PUT_OFF_PAUSE: Duration = Duration::from_millis(500);
