//! The real folds over one history, in event time, on a log in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_fold::Worker;
use stockade_lockout::{Arbiter, Control, Evaluation};
use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, SharedLog};
use stockade_model::{
    Change, Command, ControlRecord, Envelope, ModelSwitch, OrderEventKind, Payload, Position, Region,
    ScoreRecord, SupplierId, Timestamp, Topic, time::HOUR_MS,
};
use stockade_rules::RuleSet;
use stockade_simulator::Pump;
use stockade_supplier_scoring::{
    FeatureSet, Intake, Links, Peers, Scoring, ScoringEffect, intake_spec, links_spec, peers_spec,
    scoring_spec, vocabulary, went_wrong,
};

use crate::{
    platform::ensure_passing_topics,
    replay::inputs::{Input, Inputs},
};

const NAME: &str = "evaluate";
/// Inputs between two looks at what may be forgotten.
const PASS_EVERY: u64 = 5_000;
/// How long records stay in the log: everything has been read long before.
const KEPT_MS: i64 = HOUR_MS;
/// Inputs between two looks at the progress.
const SHOW_EVERY: u64 = 50_000;

/// A history on its way through scoring, and through lockout if there are rules.
pub(crate) struct Run {
    pub(crate) log: SharedLog,
    pump: Pump,
    /// Inputs so far.
    pub(crate) made: u64,
    /// Time of the first row.
    pub(crate) first: Timestamp,
    /// Time of the last row: what labels that come later lead to is not measured.
    pub(crate) last: Timestamp,
    scored: Arc<Mutex<FxHashMap<SupplierId, ScoreRecord>>>,
    opening: Vec<ControlRecord>,
    /// Orders with which something went wrong, ever: for measuring what became of suppliers.
    pub(crate) spoiled: HashSet<(SupplierId, String)>,
    /// Home region of each supplier.
    pub(crate) regions: HashMap<SupplierId, Region>,
}

impl Run {
    /// Opens one with what is to be in force from the start.
    pub(crate) fn open(opening: Vec<Change>) -> Result<Self> {
        let mut pump = Pump::default();
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), pump.clock())?);
        ensure_passing_topics(&log, KEPT_MS)?;
        let scored: Arc<Mutex<FxHashMap<SupplierId, ScoreRecord>>> = Arc::default();
        let sink = scored.clone();
        let initial = FeatureSet::default_set();
        let control = stockade_lockout::control_spec(1);
        pump.add(Worker::join(control, log.clone(), |_| Control::new(vocabulary()))?, |_| {});
        pump.add(Worker::join(intake_spec(1), log.clone(), |_| Intake::default())?, |_| {});
        pump.add(
            Worker::join(scoring_spec(1), log.clone(), move |_| Scoring::new(&initial))?,
            move |effects| {
                let mut scored = sink.lock();
                for effect in effects {
                    if let ScoringEffect::Scored(record) = effect {
                        scored.insert(record.supplier.clone(), record);
                    }
                }
            },
        );
        pump.add(Worker::join(peers_spec(1), log.clone(), |_| Peers::default())?, |_| {});
        pump.add(Worker::join(links_spec(1), log.clone(), |_| Links::default())?, |_| {});
        let evaluation = stockade_lockout::evaluation_spec(1);
        pump.add(Worker::join(evaluation, log.clone(), |_| Evaluation::new(vocabulary()))?, |_| {});
        let arbiter = stockade_lockout::arbiter_spec(1);
        pump.add(Worker::join(arbiter, log.clone(), |_| Arbiter::default())?, |_| {});
        let opening =
            opening.into_iter().map(|change| ControlRecord { actor: NAME.to_owned(), change }).collect();
        Ok(Self {
            log,
            pump,
            made: 0,
            first: Timestamp::default(),
            last: Timestamp::default(),
            scored,
            opening,
            spoiled: HashSet::new(),
            regions: HashMap::new(),
        })
    }

    /// Plays the whole history; `placed` is told of each order with its supplier's vector right after it.
    pub(crate) fn play(
        &mut self,
        inputs: &mut Inputs,
        placed: &mut dyn FnMut(SupplierId, String, Timestamp, &ScoreRecord),
    ) -> Result<()> {
        let style =
            ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed_precise} (left {eta})")?;
        let bar = ProgressBar::new(inputs.rows_expected()).with_style(style);
        while let Some((at, input)) = inputs.next()? {
            if self.made == 0 {
                self.first = at;
                for record in std::mem::take(&mut self.opening) {
                    self.feed(at, Input::Register(record), placed)?;
                }
            }
            self.feed(at, input, placed)?;
            if self.made.is_multiple_of(PASS_EVERY) {
                self.pump.pass(&self.log)?;
            }
            if self.made.is_multiple_of(SHOW_EVERY) {
                bar.set_position(inputs.rows());
                bar.set_message(format!("{at:.10} · {} inputs", self.made));
            }
        }
        anyhow::ensure!(self.made > 0, "{}", inputs.why_nothing());
        self.last = inputs.last_row_time();
        bar.finish_and_clear();
        Ok(())
    }

    /// One input: time moves to it, it is appended, and everything that follows from it is drained.
    fn feed(
        &mut self,
        at: Timestamp,
        input: Input,
        placed: &mut dyn FnMut(SupplierId, String, Timestamp, &ScoreRecord),
    ) -> Result<()> {
        self.made += 1;
        self.pump.advance(at, &self.log)?;
        let number = self.made;
        let mut envelope = Envelope::new("", format!("{NAME}-{number}"), NAME);
        envelope.position =
            Some(Position { fold: NAME.to_owned(), partition: 0, generation: 1, offset: number, index: 1 });
        let mut ordered = None;
        let (topic, key, payload) = match input {
            Input::Register(record) => {
                if let Change::Supplier { profile } = &record.change {
                    self.regions.insert(profile.supplier.clone(), profile.region);
                }
                (Topic::Control, String::new(), Payload::Control(record))
            }
            Input::Event(event) => {
                if let Some(order) = event.order.as_ref().filter(|_| went_wrong(&event)) {
                    self.spoiled.insert((event.supplier.clone(), order.to_string()));
                }
                if event.kind == OrderEventKind::Placed {
                    ordered = event.order.as_ref().map(|order| (event.supplier.clone(), order.to_string()));
                }
                (Topic::EventsInbox, event.inbox_key().to_owned(), Payload::OrderEvent(event))
            }
            Input::Rows(supplier, rows) => {
                let key = supplier.to_string();
                let (idempotency_key, places) = (None, Vec::new());
                let command = Command {
                    supplier,
                    idempotency_key,
                    body_hash: number.to_string(),
                    rows,
                    precondition: None,
                    places,
                    refused: Vec::new(),
                    forgets: None,
                };
                (Topic::SupplierEvents, key, Payload::Command(command))
            }
        };
        envelope.kind = payload.kind().to_owned();
        let record: NewRecord = stockade_inventory::app::record(topic, &key, &envelope, &payload);
        self.log.append(vec![record], Ack::Ordered).wait()?;
        self.pump.drain(&self.log)?;
        if let Some((supplier, order)) = ordered
            && let Some(record) = self.scored.lock().get(&supplier)
        {
            placed(supplier, order, at, record);
        }
        Ok(())
    }
}

/// The changes that put features, rules and a champion in force.
pub(crate) fn opening(features: &str, rules: Option<&str>, model: Option<&str>) -> Vec<Change> {
    let version = RuleSet::version_of;
    let mut changes =
        vec![Change::Features { version: version(features), source: features.to_owned(), base: None }];
    if let Some(source) = model {
        changes.push(Change::Model { id: "model".to_owned(), source: source.to_owned() });
        changes.push(Change::ModelSwitch { id: "champion".to_owned(), to: ModelSwitch::Promote });
    }
    changes.extend(rules.map(|rules| Change::Rules {
        version: version(rules),
        source: rules.to_owned(),
        base: None,
        note: String::new(),
    }));
    changes
}
