//! The real folds over one history, in event time, on logs in memory, on two cores: who reads the history and the fold that
//! hears it first run ahead of the others.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, mpsc::SyncSender},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_fold::Worker;
use stockade_lockout::{Arbiter, Control, Evaluation};
use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, SharedLog};
use stockade_model::{
    Change, Command, ControlRecord, ModelSwitch, OrderEventKind, Payload, Region, ScoreRecord, SupplierId,
    Timestamp, Topic, time::HOUR_MS,
};
use stockade_rules::RuleSet;
use stockade_simulator::{Ahead, Pump, Said};
use stockade_supplier_scoring::{
    FeatureSet, Intake, Links, Peers, Scoring, ScoringEffect, intake_spec, links_spec, peers_spec,
    scoring_spec, vocabulary, went_wrong,
};

use crate::{
    platform::ensure_passing_topics,
    replay::{
        inputs::{Input, Inputs},
        written::{self, command},
    },
};

const NAME: &str = "evaluate";
/// Inputs between two looks at what may be forgotten: so few that what they wrote is forgotten while the processor's cache
/// still has it. With 5,000 a history took a fifth longer, and so it did with 32.
pub(crate) const PASS_EVERY: u64 = 250;
/// Moments that go from one thread to the other at once, and how many such chunks may wait.
const CHUNK: usize = 64;
const CHUNKS_AHEAD: usize = 8;
/// How long records stay in the log: everything has been read long before.
pub(crate) const KEPT_MS: i64 = HOUR_MS;
/// Inputs between two looks at the progress.
const SHOW_EVERY: u64 = 50_000;

/// What is known of each supplier last.
type Scored = Arc<Mutex<FxHashMap<SupplierId, ScoreRecord>>>;

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
    scored: Scored,
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
        let scored = Scored::default();
        add_stages(&mut pump, &log, &scored, |pump| {
            pump.add_heard();
            Ok(())
        })?;
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
        let opened = self.opening.len() as u64;
        std::thread::scope(|scope| {
            let (told, heard) = std::sync::mpsc::sync_channel(CHUNKS_AHEAD);
            let inputs = &mut *inputs;
            let reader = std::thread::Builder::new().name("ahead".to_owned());
            let reader = reader.spawn_scoped(scope, move || read_ahead(inputs, opened, &told))?;
            let played = heard.into_iter().flatten().try_for_each(|moment| self.hear(moment, &bar, placed));
            // What stopped the reading comes first: what was played is no more than a beginning then.
            reader.join().map_err(|_| anyhow::anyhow!("reading the history ended unexpectedly"))??;
            played
        })?;
        anyhow::ensure!(self.made > 0, "{}", inputs.why_nothing());
        self.last = inputs.last_row_time();
        bar.finish_and_clear();
        Ok(())
    }

    /// One moment: time moves to it, what comes is appended, and everything that follows from it is drained.
    fn hear(
        &mut self,
        moment: Moment,
        bar: &ProgressBar,
        placed: &mut dyn FnMut(SupplierId, String, Timestamp, &ScoreRecord),
    ) -> Result<()> {
        let (at, rows, fed) = match moment {
            Moment::Deadline(said) => {
                let at = said.at;
                self.pump.hear(said);
                return Ok(self.pump.advance(at, &self.log)?);
            }
            Moment::Fed { at, rows, fed } => (at, rows, fed),
        };
        if self.made == 0 {
            self.first = at;
            for record in std::mem::take(&mut self.opening) {
                self.feed(at, Topic::Control, "", &Payload::Control(record))?;
            }
        }
        match fed {
            Fed::Control(record) => {
                if let Change::Supplier { profile } = &record.change {
                    self.regions.insert(profile.supplier.clone(), profile.region);
                }
                self.feed(at, Topic::Control, "", &Payload::Control(record))?;
            }
            Fed::Rows(command) => {
                let key = command.supplier.to_string();
                self.feed(at, Topic::SupplierEvents, &key, &Payload::Command(command))?;
            }
            Fed::Event { ordered, spoiled, outputs } => {
                self.made += 1;
                self.pump.advance(at, &self.log)?;
                self.spoiled.extend(spoiled);
                self.pump.hear_now(outputs, &self.log)?;
                if let Some((supplier, order)) = ordered
                    && let Some(record) = self.scored.lock().get(&supplier)
                {
                    placed(supplier, order, at, record);
                }
            }
        }
        if self.made.is_multiple_of(PASS_EVERY) {
            self.pump.pass(&self.log)?;
        }
        if self.made.is_multiple_of(SHOW_EVERY) {
            bar.set_position(rows);
            bar.set_message(format!("{at:.10} · {} inputs", self.made));
        }
        Ok(())
    }

    fn feed(&mut self, at: Timestamp, topic: Topic, key: &str, payload: &Payload) -> Result<()> {
        self.made += 1;
        self.pump.advance(at, &self.log)?;
        self.log.append(vec![numbered(self.made, topic, key, payload)], Ack::Ordered).wait()?;
        Ok(self.pump.drain(&self.log)?)
    }
}

/// The folds that have a say in what is withheld; `intake` puts the one that hears order events at its place among them.
fn add_stages(
    pump: &mut Pump,
    log: &SharedLog,
    scored: &Scored,
    intake: impl FnOnce(&mut Pump) -> Result<()>,
) -> Result<()> {
    let initial = FeatureSet::default_set();
    let control = stockade_lockout::control_spec(1);
    pump.add(Worker::join(control, log.clone(), |_| Control::new(vocabulary()))?, |_| {});
    intake(pump)?;
    let scoring = Worker::join(scoring_spec(1), log.clone(), move |_| Scoring::new(&initial))?;
    let sink = scored.clone();
    pump.add(scoring, move |effects| {
        let mut scored = sink.lock();
        for effect in effects {
            if let ScoringEffect::Scored(record) = effect {
                scored.insert(record.supplier.clone(), record);
            }
        }
    });
    pump.add(Worker::join(peers_spec(1), log.clone(), |_| Peers::default())?, |_| {});
    pump.add(Worker::join(links_spec(1), log.clone(), |_| Links::default())?, |_| {});
    let evaluation = stockade_lockout::evaluation_spec(1);
    pump.add(Worker::join(evaluation, log.clone(), |_| Evaluation::new(vocabulary()))?, |_| {});
    let arbiter = stockade_lockout::arbiter_spec(1);
    pump.add(Worker::join(arbiter, log.clone(), |_| Arbiter::default())?, |_| {});
    Ok(())
}

/// The record of an input, with a position of its own.
fn numbered(number: u64, topic: Topic, key: &str, payload: &Payload) -> NewRecord {
    stockade_inventory::app::record(topic, key, &written::envelope(NAME, number, payload), payload)
}

/// What comes to the folds that do not run ahead, in order of time.
enum Moment {
    /// What intake said on a deadline of its own.
    Deadline(Said),
    /// An input, with how many rows had been read by then.
    Fed { at: Timestamp, rows: u64, fed: Fed },
}

enum Fed {
    Control(ControlRecord),
    Rows(Command),
    /// An event, as what intake said to it; the order that it places, and the one that it says something went wrong with.
    Event {
        ordered: Option<(SupplierId, String)>,
        spoiled: Option<(SupplierId, String)>,
        outputs: Vec<NewRecord>,
    },
}

/// Reads the history and lets intake hear it: it reads what comes from outside and nothing else, so what it says does not
/// depend on the other folds. `opened` inputs come before the history. Ends early, without an error, when nobody listens any more.
fn read_ahead(inputs: &mut Inputs, opened: u64, told: &SyncSender<Vec<Moment>>) -> Result<()> {
    let mut intake = Ahead::open(|clock| -> Result<_> {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), clock)?);
        ensure_passing_topics(&log, KEPT_MS)?;
        let worker = Worker::join(intake_spec(1), log.clone(), |_| Intake::default())?;
        Ok((log, worker))
    })?;
    let mut number = opened;
    let mut chunk = Vec::new();
    while let Some((at, input)) = inputs.next()? {
        number += 1;
        chunk.extend(intake.advance(at)?.into_iter().map(Moment::Deadline));
        let fed = match input {
            Input::Register(record) => Fed::Control(record),
            Input::Rows(supplier, rows) => Fed::Rows(command(number, supplier, rows)),
            Input::Event(event) => {
                let order = || event.order.as_ref().map(|order| (event.supplier.clone(), order.to_string()));
                let ordered = if event.kind == OrderEventKind::Placed { order() } else { None };
                let spoiled = if went_wrong(&event) { order() } else { None };
                let key = event.inbox_key().to_owned();
                let record = numbered(number, Topic::EventsInbox, &key, &Payload::OrderEvent(event));
                Fed::Event { ordered, spoiled, outputs: intake.feed(record)? }
            }
        };
        chunk.push(Moment::Fed { at, rows: inputs.rows(), fed });
        if number.is_multiple_of(PASS_EVERY) {
            intake.pass()?;
        }
        if chunk.len() >= CHUNK && told.send(std::mem::take(&mut chunk)).is_err() {
            return Ok(());
        }
    }
    // Whoever does not listen any more has said why.
    told.send(chunk).unwrap_or_default();
    Ok(())
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

#[cfg(test)]
mod tests;
