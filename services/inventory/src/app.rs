//! What connects the API, the fold and the index in one process.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;
use stockade_fold::{Board, Gate, Progress, Tailed, tail};
use stockade_log::{Ack, Clock, Lane, LogError, NewRecord, Placed, Remedy, Route, SharedLog};
use stockade_model::{
    Action, Command, Decision, Envelope, Level, LineChoice, ListingId, LocationId, LocationPut, OrderId,
    Payload, ReservationId, Row, RowOutcome, StockMode, SupplierId, SupplierProfile, Timestamp, Topic,
    control::standard_class,
};
use stockade_quarantine::{Entry, Overlay};
use stockade_runtime::{
    Brownout, BrownoutConfig, Edge, Limits, Principal, Problem, Role, Trust, Turns, TurnsConfig, Waiters,
    Work,
};

use crate::{
    applied::Applied,
    buyers::Buyers,
    changes::Changes,
    domain::{Effect, EventAnswer, Index, Outcomes, Reservation, event_identity},
    edge::Gatekeeper,
    ends::Ends,
    heard::{Heard, order_identity},
    picture::shown::Shown,
    promises::Promises,
    replica::{Replica, ReplicaBounds},
    reservations::Reservations,
};

pub use crate::freshness::Freshness;

/// What is known of a supplier without asking the fold.
#[derive(Clone, Debug)]
pub struct SupplierView {
    /// Its profile.
    pub profile: SupplierProfile,
    /// Its locations.
    pub locations: BTreeMap<LocationId, LocationPut>,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Outcomes per row; `None` when its key was used before with another body.
    pub rows: Option<Outcomes>,
    /// Whether it was a retry.
    pub retry: bool,
}

/// A submitted request.
pub enum Submitted {
    /// Decided in time.
    Decided {
        /// Id of its record, which decisions name as their cause.
        id: String,
        /// What became of it.
        decided: Decided,
        /// Where it lies: partition and offset.
        at: (u32, u64),
    },
    /// Durable, but not decided before the deadline.
    Pending {
        /// The key its outcome will be found under.
        key: String,
        /// Where it lies: partition and offset.
        at: (u32, u64),
    },
}

/// Told of each decision as it reaches the overlay: the decision, the id of the event at its root, and when that event
/// was recorded. For figures.
pub type Witness = Arc<dyn Fn(&Decision, &Envelope) + Send + Sync>;

/// The inventory service of this process.
pub struct App {
    /// The log.
    pub log: SharedLog,
    /// Milliseconds since the epoch.
    pub clock: Clock,
    /// Offers.
    pub index: Arc<Index>,
    /// Restrictions.
    pub overlay: Arc<Overlay>,
    /// When decisions reached the overlay.
    pub applied: Applied,
    /// Who is told of what changes for buyers.
    pub changes: Arc<Changes>,
    /// How far the folds are.
    pub board: Board,
    /// Limits at the edge.
    pub limits: Limits,
    /// Turns at reading large bodies.
    pub turns: Turns,
    /// Turns of large batches at the log, from before they are appended until they are decided, a quarter of a second at most.
    pub turns_at_log: Turns,
    /// What writes of suppliers have to pass.
    pub gate_of_edge: Gatekeeper,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
    /// How long a request waits for its outcome; with zero it never waits.
    pub deadline: Duration,
    /// Makes record ids unique: a part that differs from start to start.
    pub instance: String,
    next_id: AtomicU64,
    suppliers: DashMap<SupplierId, SupplierView>,
    /// Their ids in order, for lists.
    names: RwLock<BTreeSet<SupplierId>>,
    waiting: Waiters<Decided>,
    registering: Waiters<SupplierProfile>,
    /// Who waits for what stands of a choice.
    pub(crate) choosing: Waiters<Vec<LineChoice>>,
    /// Outcomes of requests by supplier and key.
    outcomes: DashMap<SupplierId, BTreeMap<Box<str>, Outcomes>>,
    /// Orders that were placed.
    heard: Heard,
    /// Reservations as this replica knows them.
    pub(crate) reservations: Reservations,
    /// What one buyer's key may have at once.
    pub(crate) buyers: Buyers,
    /// Where the partitions of suppliers end.
    pub(crate) ends: Ends,
    answers: DashMap<u128, EventAnswer>,
    /// What is promised of orders of which nothing was.
    pub(crate) promises: Promises,
    /// End of the decisions seen at start.
    decisions_at_start: u64,
    /// Log ends seen at start: ready once all are passed.
    gate: Gate,
    /// What holds where this is a replica in another region.
    pub(crate) replica: Option<Replica>,
    /// The picture that is shown where the log cannot be reached.
    pub(crate) shown: Option<Shown>,
    /// Up to when everything is in the picture that lies on this process's disk, in milliseconds since the epoch; 0 without one.
    pub(crate) picture_as_of_ms: AtomicI64,
    /// What the last buyer was told of how fresh the index is.
    pub(crate) fresh: RwLock<Option<Arc<Freshness>>>,
}

/// How long a request waits until the log has confirmed it; a log that is away must not hold up its callers.
const APPEND_DEADLINE: Duration = Duration::from_secs(5);

/// Where the one record of an append lies: partition and offset.
fn first_of(placed: &[Placed]) -> Result<(u32, u64), Problem> {
    let place = placed.first().map(|placed| (placed.partition, placed.offset));
    place.ok_or_else(|| Problem::unavailable("log_unavailable", "nothing was appended"))
}

fn unconfirmed() -> Problem {
    Problem::unavailable(
        "log_unconfirmed",
        "the log did not confirm the request in time; it may still be written. Repeat it with the same Idempotency-Key (events: with the same id)",
    )
}

/// Name under which the overlay reports its progress.
pub const OVERLAY: &str = "overlay";

impl Edge for App {
    fn limits(&self) -> &Limits {
        &self.limits
    }
    fn trust(&self, caller: &Principal) -> Trust {
        match &caller.role {
            Role::Supplier { supplier } => self.trust_of(supplier),
            _ => Trust::Trusted,
        }
    }
    fn turns(&self) -> Option<&Turns> {
        Some(&self.turns)
    }
    fn admits(&self, caller: &Principal, work: Option<Work>) -> Result<(), Problem> {
        match &caller.role {
            Role::Supplier { supplier } => self.admits_unread(supplier, work),
            _ => Ok(()),
        }
    }
    fn class(&self, caller: &Principal) -> String {
        match &caller.role {
            Role::Supplier { supplier } => self.limited_by(supplier),
            role => role.class().to_owned(),
        }
    }
}

impl App {
    /// An app over `log` that has seen nothing yet; `board` is where the folds of this process report.
    pub fn new(
        log: SharedLog,
        clock: Clock,
        board: Board,
        limits: Limits,
        partitions: u32,
        instance: String,
        deadline: Duration,
    ) -> Result<Self, LogError> {
        let mut gate = Gate::new(board.clone());
        gate.add(&log, "inventory", Topic::SupplierEvents, partitions)?;
        let decisions_at_start = log.bounds(Topic::LockoutDecisions.name(), 0)?.end;
        gate.add(&log, OVERLAY, Topic::LockoutDecisions, partitions)?;
        Ok(Self {
            log,
            clock,
            index: Arc::default(),
            overlay: Arc::default(),
            applied: Applied::default(),
            changes: Arc::default(),
            board,
            limits,
            turns: Turns::new(TurnsConfig::default()),
            turns_at_log: Turns::new(TurnsConfig::at_log()),
            gate_of_edge: Gatekeeper::new(
                Brownout::new(&BrownoutConfig::default(), partitions),
                partitions,
                0,
            ),
            partitions,
            deadline,
            instance,
            next_id: AtomicU64::new(0),
            suppliers: DashMap::new(),
            names: RwLock::default(),
            heard: Heard::default(),
            waiting: Waiters::default(),
            registering: Waiters::default(),
            choosing: Waiters::default(),
            outcomes: DashMap::new(),
            reservations: Reservations::default(),
            buyers: Buyers::default(),
            ends: Ends::new(partitions),
            answers: DashMap::new(),
            promises: Promises::default(),
            decisions_at_start,
            gate,
            replica: None,
            shown: None,
            picture_as_of_ms: AtomicI64::new(0),
            fresh: RwLock::default(),
        })
    }

    /// The same with what is promised of orders of which nothing was.
    #[must_use]
    pub fn with_promises(mut self, promises: Promises) -> Self {
        self.promises = promises;
        self
    }

    /// The same with an edge of its own; without, nobody is new and nobody tells what is put off.
    #[must_use]
    pub fn with_edge(mut self, gate: Gatekeeper) -> Self {
        self.gate_of_edge = gate;
        self
    }

    /// Since when a supplier trades; `None` of one that is not registered.
    pub(crate) fn since(&self, id: &SupplierId) -> Option<Timestamp> {
        self.suppliers.get(id).map(|view| view.profile.since)
    }

    /// The same as a replica in another region, over a log that was copied from its origin.
    #[must_use]
    pub fn as_replica(mut self, bounds: ReplicaBounds) -> Self {
        self.replica = Some(Replica::new(bounds));
        self
    }

    /// Whether buyers are answered: index and overlay have reached the log ends seen at start, and a replica in another region
    /// knows what its origin held lately.
    pub fn serves(&self) -> Result<(), String> {
        self.ready()?;
        self.recent().map_err(|problem| problem.detail)
    }

    /// Whether index and overlay have reached the log ends seen at start.
    pub fn ready(&self) -> Result<(), String> {
        self.gate.open()
    }

    /// Refuses until index and overlay have reached the log ends seen at start. Before that a withheld offer might be shown,
    /// and what is missing may only not have been read yet.
    pub fn caught_up(&self) -> Result<(), Problem> {
        self.ready().map_err(|_| stockade_runtime::http::starting())
    }

    /// The time by the clock.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms((self.clock)())
    }

    /// A fresh record id.
    pub fn fresh_id(&self) -> String {
        format!("{}-{}", self.instance, self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// What is known of a supplier.
    pub fn supplier(&self, id: &SupplierId) -> Option<SupplierView> {
        self.suppliers.get(id).map(|view| view.clone())
    }

    /// How many locations a supplier has, and whether one is among them.
    pub(crate) fn locations_held(&self, id: &SupplierId, location: &LocationId) -> (u64, bool) {
        let view = self.suppliers.get(id);
        view.map_or((0, false), |view| (view.locations.len() as u64, view.locations.contains_key(location)))
    }

    /// The class of limits that holds for a supplier now; `None` of one that is not registered.
    pub(crate) fn class_of(&self, id: &SupplierId) -> Option<String> {
        let view = self.suppliers.get(id)?;
        let slowed = self.overlay.supplier_level(self.overlay.number(id)).is_some_and(Level::slows);
        Some(if slowed { "limited".to_owned() } else { view.profile.class.clone() })
    }

    /// The class that bounds a supplier. One that is not registered has the usual one, and will be refused for that.
    pub(crate) fn limited_by(&self, supplier: &SupplierId) -> String {
        self.class_of(supplier).unwrap_or_else(standard_class)
    }

    /// The remembered outcome of a request.
    pub fn outcome(&self, supplier: &SupplierId, key: &str) -> Option<Vec<RowOutcome>> {
        let outcomes = self.outcomes.get(supplier).and_then(|of| of.get(key).cloned());
        outcomes.map(|outcomes| outcomes.rows())
    }

    /// Up to `limit` remembered outcomes of a supplier's requests whose keys come after `after`, in order of their keys.
    pub fn outcomes(
        &self,
        supplier: &SupplierId,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(String, Vec<RowOutcome>)> {
        let Some(of) = self.outcomes.get(supplier) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = of.range::<str, _>((from, Bound::Unbounded)).take(limit);
        found.map(|(key, rows)| (key.to_string(), rows.rows())).collect()
    }

    /// Up to `limit` suppliers after `after`, in order of their ids.
    pub fn suppliers(&self, after: Option<&SupplierId>, limit: usize) -> Vec<SupplierView> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        // Named first and looked up then, so that no two locks are held at once.
        let names: Vec<SupplierId> =
            self.names.read().range::<SupplierId, _>((from, Bound::Unbounded)).take(limit).cloned().collect();
        names.iter().filter_map(|name| self.supplier(name)).collect()
    }

    /// Whether an order was placed, as far as this replica has heard.
    pub(crate) fn has_heard_of(&self, supplier: &SupplierId, order: &OrderId) -> bool {
        self.heard.has(order_identity(supplier, order))
    }

    /// An order was placed and is on its way to the folds.
    pub(crate) fn hear_of(&self, supplier: &SupplierId, order: &OrderId, named: bool) {
        self.heard.note(order_identity(supplier, order), named);
    }

    /// Whether it is known that an order has a named buyer.
    pub(crate) fn has_named_buyer(&self, supplier: &SupplierId, order: &OrderId) -> bool {
        self.heard.is_named(order_identity(supplier, order))
    }

    /// What became of an event lately.
    pub fn event_answer(&self, source: &str, id: &str) -> Option<EventAnswer> {
        self.answers.get(&event_identity(source, id)).map(|answer| *answer)
    }

    /// Appends a request and waits for its outcome.
    pub async fn submit(&self, command: Command, traceparent: Option<String>) -> Result<Submitted, Problem> {
        let id = self.fresh_id();
        let key = command.idempotency_key.clone().unwrap_or_else(|| id.clone());
        let waiter = self.waiting.expect(&id);
        let mut envelope = Envelope::new("stockade.inventory.command", id.as_str(), "stockade/inventory");
        envelope.traceparent = traceparent;
        let supplier = command.supplier.clone();
        let record = record(Topic::SupplierEvents, supplier.as_str(), &envelope, &Payload::Command(command));
        let at = first_of(&self.append_all_in(self.lane_of(&supplier), vec![record]).await?)?;
        Ok(match waiter.within(self.deadline).await {
            Some(decided) => Submitted::Decided { id, decided, at },
            None => Submitted::Pending { key, at },
        })
    }

    /// Appends a registration to `control` and waits until the inventory fold has it: the whole profile as it is now, or
    /// `None` when that takes too long.
    pub async fn register(&self, id: &str, payload: &Payload) -> Result<Option<SupplierProfile>, Problem> {
        let waiter = self.registering.expect(id);
        let envelope = Envelope::new(payload.kind(), id, "stockade/inventory");
        self.append(Topic::Control, "", &envelope, payload).await?;
        Ok(waiter.within(self.deadline).await)
    }

    /// Appends one record durably; answers where it lies.
    pub async fn append(
        &self,
        topic: Topic,
        key: &str,
        envelope: &Envelope,
        payload: &Payload,
    ) -> Result<(u32, u64), Problem> {
        let record = record(topic, key, envelope, payload);
        first_of(&self.append_all(vec![record]).await?)
    }

    /// Appends records durably, within a deadline; answers where they lie.
    pub async fn append_all(&self, records: Vec<NewRecord>) -> Result<Vec<Placed>, Problem> {
        self.append_all_in(Lane::Trusted, records).await
    }

    /// The same beside what others append whom one trusts as much.
    async fn append_all_in(&self, lane: Lane, records: Vec<NewRecord>) -> Result<Vec<Placed>, Problem> {
        self.log.room().map_or(Ok(()), |room| room.admits()).map_err(|full| log_problem(&full))?;
        let appended = tokio::time::timeout(APPEND_DEADLINE, self.log.append_in(lane, records, Ack::Durable));
        appended.await.map_err(|_| unconfirmed())?.map_err(|error| log_problem(&error))
    }

    /// Takes what the inventory fold says of a partition, and counts the rows it has decided.
    pub fn take_of(&self, partition: u32, effects: Vec<Effect>) {
        let fairness = &self.gate_of_edge.fairness;
        let drained = effects.iter().map(|effect| match effect {
            Effect::Decided { supplier, rows, adds, holds, .. } => {
                if *adds > 0 {
                    fairness.decided(partition, &supplier.into(), *adds);
                }
                if let Some((owner, rows)) = holds {
                    fairness.decided(partition, &(partition, owner.as_str()).into(), *rows);
                }
                rows.as_ref().map_or(1, |rows| rows.len() as u64)
            }
            Effect::Answered { .. } => 1,
            _ => 0,
        });
        fairness.drained(partition, drained.sum());
        self.take(effects);
    }

    /// Takes what the inventory fold says.
    pub fn take(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Allowance { supplier, units } => {
                    self.index.allow(self.overlay.number(&supplier), units);
                    self.changes.restricted(&supplier, &self.index);
                }
                Effect::Crowded { supplier, payout } => self.gate_of_edge.crowded(supplier, payout),
                Effect::Offered(offer) => {
                    self.index.put(&offer, &self.overlay);
                    self.changes.offered(&offer.sku, offer.gtin);
                }
                Effect::Registered { profile, cause } => {
                    self.suppliers
                        .entry(profile.supplier.clone())
                        .and_modify(|view| view.profile.clone_from(&profile))
                        .or_insert_with(|| SupplierView {
                            profile: profile.clone(),
                            locations: Default::default(),
                        });
                    if !self.names.read().contains(&profile.supplier) {
                        self.names.write().insert(profile.supplier.clone());
                    }
                    self.registering.give(&cause, profile);
                }
                Effect::Located { supplier, location } => {
                    if let Some(mut view) = self.suppliers.get_mut(&supplier) {
                        view.locations.insert(location.location.clone(), location);
                    }
                }
                Effect::Decided { id, supplier, key, rows, of_buyer, retry, .. } => {
                    if let Some(rows) = rows.as_ref().filter(|_| !of_buyer) {
                        self.outcomes.entry(supplier).or_default().insert(key.into(), rows.clone());
                    }
                    self.waiting.give(&id, Decided { rows, retry });
                }
                Effect::Chosen { id, lines } => self.choosing.give(&id, lines),
                Effect::Forgotten { supplier, key } => {
                    if let Some(mut of) = self.outcomes.get_mut(&supplier) {
                        of.remove(key.as_str());
                    }
                }
                Effect::Placed { supplier, order, kept: true } => {
                    self.heard.keep(order_identity(&supplier, &order));
                }
                Effect::Placed { supplier, order, kept: false } => self.hear_of(&supplier, &order, false),
                Effect::OrderForgotten { supplier, order } => {
                    self.heard.forget(order_identity(&supplier, &order));
                }
                Effect::Reserved { key, reservation } => {
                    self.reservations.put(key, *reservation, (self.clock)());
                }
                Effect::ReservationForgotten(key) => self.reservations.remove(&key),
                Effect::Answered { identity, answer, news } => {
                    self.answers.insert(identity, answer);
                    if news {
                        crate::metrics::event_answered(answer);
                    }
                }
                Effect::AnswerForgotten(identity) => drop(self.answers.remove(&identity)),
            }
        }
    }

    /// Follows the decisions from the first on; the overlay is fed by nothing else. A store that was set back or edited
    /// can therefore neither free nor lock anyone here.
    pub async fn follow_decisions(
        &self,
        witness: Witness,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), LogError> {
        self.board.report(OVERLAY, 0, Progress { next: 0, clock: self.now() });
        let each = |batch: Vec<Tailed>| {
            for Tailed { offset, time, envelope, payload } in batch {
                // What is no decision is passed over; the quarantine writer buries it.
                if let Ok(Payload::Decision(decision)) = payload {
                    self.enforce(offset, &envelope, &decision, &witness);
                }
                self.board.report(OVERLAY, 0, Progress { next: offset + 1, clock: time });
            }
            std::future::ready(())
        };
        tail(self.log.clone(), OVERLAY, Topic::LockoutDecisions, 0, each, shutdown).await
    }

    /// Applies one decision to the overlay.
    pub fn enforce(&self, offset: u64, envelope: &Envelope, decision: &Decision, witness: &Witness) {
        let entry = Entry::of(decision.clone(), offset);
        if !self.overlay.apply(&entry, (self.clock)()) || offset < self.decisions_at_start {
            // Known before, or history: in force again, but neither news nor to be counted again.
            return;
        }
        let applied_ms = (self.clock)();
        self.applied.note(&decision.version, applied_ms);
        self.changes.restricted(&decision.supplier, &self.index);
        let restriction = decision.restriction.as_ref();
        let imposed = matches!(decision.action, Action::Imposed | Action::Raised);
        let level = restriction.map_or("none", |r| r.level.as_str());
        if let Some(cause) =
            envelope.cause.as_ref().filter(|_| imposed && restriction.is_some_and(|r| r.level.withholds()))
        {
            crate::metrics::invisible_after(applied_ms - cause.time.ms());
        }
        tracing::info!(supplier = %decision.supplier, action = decision.action.as_str(), level, "decision in force");
        witness(decision, envelope);
    }

    /// Stamps rows with the market this replica sees.
    pub fn stamp(&self, supplier: &SupplierId, rows: &mut [Row]) {
        let now = self.now();
        for row in rows {
            match row {
                Row::Put(put) => {
                    put.market =
                        self.index.market(&put.sku, put.price.currency, supplier, &self.overlay, now);
                }
                Row::Stock(change) if change.mode == StockMode::Set => {
                    let own = self.own_listing(supplier, &change.listing);
                    change.market = own.and_then(|own| {
                        self.index.market(&own.sku, own.price.currency, supplier, &self.overlay, now)
                    });
                }
                _ => {}
            }
        }
    }

    /// A reservation as this replica knows it, and whose stock it holds.
    pub fn reservation(&self, name: &ReservationId) -> Option<(SupplierId, Reservation)> {
        self.reservations.get(name)
    }

    /// One listing of a supplier.
    pub fn own_listing(&self, supplier: &SupplierId, listing: &ListingId) -> Option<crate::domain::Offer> {
        self.index.listing(supplier, listing)
    }
}

/// A record keyed by `key`.
pub fn record(topic: Topic, key: &str, envelope: &Envelope, payload: &Payload) -> NewRecord {
    NewRecord {
        topic: topic.name(),
        route: if key.is_empty() { Route::Partition(0) } else { Route::Key },
        key: Bytes::copy_from_slice(key.as_bytes()),
        headers: envelope.headers(),
        value: payload.encode().into(),
    }
}

/// What a caller is told when the log did not take something.
pub fn log_problem(error: &LogError) -> Problem {
    match (error, error.remedy()) {
        (LogError::DiskFull { .. }, _) => Problem::disk_full(error.to_string()),
        (_, Remedy::Retry) => {
            Problem::unavailable("overloaded", "too much is waiting to be written; retry after a pause")
        }
        _ => Problem::unavailable("log_unavailable", error.to_string()),
    }
}
