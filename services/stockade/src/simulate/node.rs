//! One process: all folds, the API, the overlay, the quarantine writer.

use std::{
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Extension, Router};
use stockade_fold::{Board, Tailed};
use stockade_inventory::{
    app::{App, Witness},
    domain::Inventory,
};
use stockade_lockout::{Arbiter, Control, DecisionsCheck, Evaluation, Writer};
use stockade_log::{Clock, Consumer, Event, LogError, Memory, MemoryDisk, Mode, ReadLimit, SharedLog};
use stockade_model::{Payload, Restriction, Scope, SupplierId, Timestamp, Topic};
use stockade_quarantine::Entry;
use stockade_rules::Vocabulary;
use stockade_runtime::{KeyRing, Limits, LimitsConfig, limits::Class};
use stockade_simulator::{Actor, FaultyLog, Plant};
use stockade_supplier_scoring::{
    FeatureSet, Intake, Links, Peers, Scoring, intake_spec, links_spec, peers_spec, scoring_spec,
};

use super::{buyers::Buyers, store::SimStore};

/// Partitions of supplier-keyed topics.
pub(super) const PARTITIONS: u32 = 2;

/// Runs a future that waits for nothing but other parts of this thread.
pub(super) fn now<T>(future: impl Future<Output = T>) -> Result<T, String> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err("something waits in a simulation where nothing may".to_owned()),
    }
}

/// What outlives a process.
pub(super) struct Ground {
    pub(super) memory: Arc<Memory>,
    pub(super) disk: MemoryDisk,
    pub(super) store: SimStore,
    pub(super) keys: KeyRing,
    pub(super) vocabulary: Vocabulary,
    pub(super) time_ms: Arc<AtomicI64>,
    pub(super) plant: Option<Plant>,
}

/// A process that is up.
pub(super) struct Node {
    pub(super) app: Arc<App>,
    pub(super) buyers: Buyers,
    pub(super) router: Router,
    pub(super) actors: Vec<Actor>,
    pub(super) log: Arc<FaultyLog>,
    shared: SharedLog,
    overlay: Box<dyn Consumer>,
    decisions: Box<dyn Consumer>,
    writer: Writer,
    witness: Witness,
    skew_ms: i64,
    time_ms: Arc<AtomicI64>,
    /// What is in force as this overlay learnt it.
    learnt: std::collections::BTreeMap<SupplierId, Entry>,
}

fn follow(log: &SharedLog, name: &'static str) -> Result<Box<dyn Consumer>, LogError> {
    let mut consumer = log.join(name, Topic::LockoutDecisions.name(), Mode::Follow)?;
    if let Some(Event::Assigned { partition, .. }) = consumer.try_next(ReadLimit::default())? {
        consumer.seek(partition, 0);
    }
    Ok(consumer)
}

fn next(consumer: &mut dyn Consumer, records: usize) -> Result<Vec<Tailed>, String> {
    let limit = ReadLimit { records, bytes: 1 << 20 };
    let event = consumer.try_next(limit).map_err(|error| error.to_string())?;
    let Some(Event::Batch { records, .. }) = event else { return Ok(Vec::new()) };
    Ok(records.iter().map(|record| Tailed::open(Topic::LockoutDecisions, 0, record)).collect())
}

impl Node {
    /// Starts a process whose clock is off by `skew_ms`; `chosen` is the one that plants about one process concern.
    pub(super) fn start(
        ground: &Ground,
        name: &str,
        (chosen, again): (bool, bool),
        skew_ms: i64,
    ) -> Result<Self, LogError> {
        let log =
            Arc::new(FaultyLog::new(ground.memory.clone(), ground.disk.clone(), ground.plant, chosen, again));
        let shared: SharedLog = log.clone();
        let time = ground.time_ms.clone();
        let clock: Clock = Arc::new(move || time.load(Ordering::SeqCst) + skew_ms);
        let endless = Class::a_second(NonZeroU32::MAX, NonZeroU32::MAX);
        let mut limits = LimitsConfig::default();
        limits.0.values_mut().for_each(|class| *class = endless);
        let limits = Limits::new(&limits);
        let buyers = Buyers::start(ground, shared.clone(), clock.clone(), limits.clone(), name)?;
        let app = Arc::new(App::new(
            shared.clone(),
            clock,
            Board::default(),
            limits,
            PARTITIONS,
            name.to_owned(),
            // Answers are looked up later: nothing here may wait.
            Duration::ZERO,
        )?);
        let router = stockade_inventory::http::router(app.clone()).layer(Extension(ground.keys.clone()));
        let (judge, evaluator) = (ground.vocabulary.clone(), ground.vocabulary.clone());
        let features = FeatureSet::default_set();
        let (sink, waiting) = (app.clone(), buyers.app.clone());
        let board = app.board.clone();
        let mut actors = vec![
            Actor::new(
                stockade_lockout::control_spec(PARTITIONS),
                move |_| Control::new(judge.clone()),
                |_, _| {},
            ),
            Actor::new(intake_spec(PARTITIONS), |_| Intake::default(), |_, _| {}),
            Actor::new(
                stockade_inventory::inventory_spec(PARTITIONS),
                |_| Inventory::default(),
                move |_, effects| {
                    waiting.take(effects.clone());
                    sink.take(effects);
                },
            ),
            Actor::new(scoring_spec(PARTITIONS), move |_| Scoring::new(&features), |_, _| {}),
            Actor::new(peers_spec(PARTITIONS), |_| Peers::default(), |_, _| {}),
            Actor::new(links_spec(PARTITIONS), |_| Links::default(), |_, _| {}),
            Actor::new(
                stockade_lockout::evaluation_spec(PARTITIONS),
                move |_| Evaluation::new(evaluator.clone()),
                |_, _| {},
            ),
            Actor::new(stockade_lockout::arbiter_spec(PARTITIONS), |_| Arbiter::default(), |_, _| {}),
            Actor::new(
                stockade_lockout::decisions_spec(PARTITIONS),
                |_| DecisionsCheck::default(),
                |_, _| {},
            ),
        ];
        drop(board);
        for actor in &mut actors {
            actor.join(&shared)?;
        }
        let start_end = shared.bounds(Topic::LockoutDecisions.name(), 0)?.end;
        Ok(Self {
            overlay: follow(&shared, "overlay")?,
            decisions: follow(&shared, "quarantine")?,
            writer: Writer::new(Arc::new(ground.store.clone()), start_end),
            witness: Arc::new(|_, _| {}),
            time_ms: ground.time_ms.clone(),
            learnt: Default::default(),
            app,
            buyers,
            router,
            actors,
            log,
            shared,
            skew_ms,
        })
    }

    pub(super) fn shared(&self) -> SharedLog {
        self.shared.clone()
    }
    /// What its clock shows.
    pub(super) fn clock(&self) -> Timestamp {
        Timestamp::from_ms(self.time_ms.load(Ordering::SeqCst) + self.skew_ms)
    }

    /// The overlay takes up to so many decisions; returns how many.
    pub(super) fn enforce(&mut self, records: usize) -> Result<usize, String> {
        let batch = next(self.overlay.as_mut(), records)?;
        for Tailed { offset, envelope, payload, .. } in &batch {
            if let Ok(Payload::Decision(decision)) = payload {
                self.app.enforce(*offset, envelope, decision, &self.witness);
                self.buyers.app.enforce(*offset, envelope, decision, &self.witness);
                let entry = Entry::of(decision.clone(), *offset);
                // A repeat after a crash brings back an older one.
                let known = self.learnt.get(&entry.supplier).map(|known| known.version.order());
                if known.is_none_or(|known| known <= entry.version.order()) {
                    self.learnt.insert(entry.supplier.clone(), entry);
                }
            }
        }
        Ok(batch.len())
    }

    /// The writer takes up to so many decisions; returns how many.
    pub(super) fn write(&mut self, records: usize) -> Result<usize, String> {
        let batch = next(self.decisions.as_mut(), records)?;
        let count = batch.len();
        now(self.writer.take(batch))?;
        Ok(count)
    }

    /// The writer compares; the store may be away.
    pub(super) fn compare(&mut self, thorough: bool) -> Result<(), String> {
        let end = self.shared.bounds(Topic::LockoutDecisions.name(), 0).map_err(|e| e.to_string())?.end;
        // A store that is away is compared later.
        now(self.writer.look(thorough, async || end)).map(drop)
    }

    /// Whether the overlay shows what the decisions it has taken say, and nothing else.
    pub(super) fn overlay_follows(&self) -> Result<(), String> {
        for (supplier, entry) in &self.learnt {
            let of_supplier = entry.in_force.iter().filter(|r| r.scope == Scope::Supplier);
            let decided = of_supplier.map(|restriction| restriction.level).max();
            let shown = self.app.overlay.supplier_level(self.app.overlay.number(supplier));
            if shown != decided {
                return Err(format!("an overlay shows {supplier} at {shown:?}, it was told {decided:?}"));
            }
        }
        Ok(())
    }

    /// Lifts what has expired by its own clock: what no replica may do.
    pub(super) fn lift_by_own_clock(&self) {
        let clock = self.clock();
        for entry in self.learnt.values() {
            let mut lifted = entry.clone();
            lifted.in_force.retain(|restriction: &Restriction| restriction.expires_at > clock);
            if lifted.in_force.len() < entry.in_force.len() {
                lifted.version.index += 1;
                self.app.overlay.apply(&lifted, clock.ms());
            }
        }
    }
}
