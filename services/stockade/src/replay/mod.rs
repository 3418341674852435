//! `stockade replay`: an order history through the API's validation, the log, scoring, rules and overlay, in event time.
//!
//! The same folds as in production run on one partition each under the scheduler of the simulator. Inputs carry
//! positions of their own, so after a crash the replay goes on from its last checkpoint and repeats are skipped like any
//! other: the report is that of an undisturbed run.

pub(crate) mod inputs;
pub(crate) mod look;
mod report;
pub(crate) mod written;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use stockade_fold::{Board, Worker};
use stockade_histories::Mapping;
use stockade_inventory::{
    app::{App, Witness, record},
    domain::Inventory,
};
use stockade_lockout::{Arbiter, Control, Evaluation, STARTER_RULES};
use stockade_log::{
    Ack, Commit, Consumer, Embedded, EmbeddedOptions, Event, Fsync, Mode, NewRecord, ReadLimit, Role,
    SharedLog, Writer,
};
use stockade_model::{
    Change, ControlRecord, Envelope, Payload, Timestamp, Topic, hash::identity128, time::SECOND_MS,
};
use stockade_rules::RuleSet;
use stockade_runtime::{Limits, LimitsConfig, telemetry};
use stockade_simulator::Pump;
use stockade_supplier_scoring::{
    FeatureSet, Intake, Links, Peers, Scoring, intake_spec, links_spec, peers_spec, scoring_spec, vocabulary,
};

use crate::{
    inputs::{read, refused},
    lockouts,
    platform::ensure_topics,
};
use inputs::{Handling, Input, Inputs};

/// Inputs between two checkpoints.
const CHECKPOINT_EVERY: u64 = 20_000;
/// Name of the replay as a producer and as a group.
const NAME: &str = "replay";

/// Flags of `replay`.
#[derive(clap::Args)]
pub struct Args {
    /// The history: delimited text with a header, plain, gzip or zip. Where the mapping joins several files, their directory, or
    /// NAME=FILE for each.
    #[arg(long, required = true)]
    input: Vec<PathBuf>,
    /// How its columns become suppliers, listings and events.
    #[arg(long)]
    mapping: PathBuf,
    /// What becomes of rows that are refused.
    #[command(flatten)]
    handling: Handling,
    /// Rules to judge by; the starter set when absent.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Where lock-outs are written as CSV: supplier,locked_at,released_at,level,reason,rule,scope.
    #[arg(long)]
    lockouts: Option<PathBuf>,
    /// Keep the log here, and go on from its last checkpoint if it has one. A temporary directory when absent.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// Runs the replay.
pub fn run(args: &Args) -> Result<()> {
    telemetry::logs("warn", telemetry::LogFormat::Text);
    let mapping_source = read(&args.mapping)?;
    let rules = args.rules.as_deref().map(read).transpose()?.unwrap_or_else(|| STARTER_RULES.to_owned());
    let features = FeatureSet::default_set();
    // As publishing compiles them, with the windows that they bind.
    vocabulary().compile("", &rules).map_err(refused)?;
    let mapping = Mapping::parse(&mapping_source)?;
    let sizes = inputs::sizes(&args.input, &mapping)?;
    let fingerprint = identity128(&[&mapping_source, &rules, &sizes, &features.version]);
    let inputs = Inputs::open(&args.input, mapping, &args.handling)?;

    let temporary = if args.data.is_none() { Some(tempfile::tempdir()?) } else { None };
    let directory = match (&args.data, &temporary) {
        (Some(directory), _) => directory.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => anyhow::bail!("no data directory"),
    };
    let begun = Instant::now();
    let mut replay = Replay::open(&directory, &features, fingerprint)?;
    replay.play(inputs, &rules)?;
    let report = replay.report(begun.elapsed())?;
    if let Some(path) = &args.lockouts {
        lockouts::write_csv(&report.lockouts, path)?;
    }
    report.print(args.json);
    replay.log.close()?;
    replay.inputs.as_mut().map_or(Ok(()), Inputs::finish)
}

struct Replay {
    log: SharedLog,
    pump: Pump,
    app: Arc<App>,
    /// Held, not read: the membership that `epoch` belongs to.
    _membership: Box<dyn Consumer>,
    epoch: u64,
    fingerprint: u128,
    /// Inputs that are known to be in the log and flushed.
    resumed: u64,
    made: u64,
    decisions_seen: u64,
    tallies: report::Tallies,
    inputs: Option<Inputs>,
}

impl Replay {
    fn open(directory: &Path, features: &FeatureSet, fingerprint: u128) -> Result<Self> {
        let mut pump = Pump::default();
        let options = EmbeddedOptions {
            directory: directory.to_owned(),
            fsync: Fsync::Group,
            writer: Writer::Caller,
            reserve_bytes: 0,
        };
        let log: SharedLog = Arc::new(Embedded::open(&options, pump.clock())?);
        ensure_topics(&log, 1)?;
        let limits = Limits::new(&LimitsConfig::default());
        let app = Arc::new(App::new(
            log.clone(),
            pump.clock(),
            Board::default(),
            limits,
            1,
            NAME.to_owned(),
            Duration::ZERO,
        )?);
        // Time goes on where it stood; nothing may be stamped before what is there.
        pump.advance(Timestamp::from_ms(last_record_ms(&log)?), &log)?;
        add_stages(&mut pump, &log, &app, features)?;

        let mut checkpoint = log.join(NAME, Topic::DeadLetters.name(), Mode::Owned)?;
        let epoch = match checkpoint.try_next(ReadLimit::default())? {
            Some(Event::Assigned { role: Role::Owner(epoch), .. }) => epoch,
            other => anyhow::bail!("the replay did not get its checkpoint: {other:?}"),
        };
        let mut resumed = 0;
        if let Some(committed) = log.restore(NAME, 0, &mut |_, _| {})? {
            let stored = <[u8; 16]>::try_from(committed.row.as_ref()).map(u128::from_be_bytes);
            anyhow::ensure!(
                stored.ok() == Some(fingerprint),
                "{} holds a replay of another input, mapping or rule set; choose another --data",
                directory.display()
            );
            resumed = committed.next_offset;
        }
        Ok(Self {
            log,
            pump,
            app,
            _membership: checkpoint,
            epoch,
            fingerprint,
            resumed,
            made: 0,
            decisions_seen: 0,
            tallies: report::Tallies::default(),
            inputs: None,
        })
    }

    fn play(&mut self, mut inputs: Inputs, rules: &str) -> Result<()> {
        let style =
            ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed_precise} (left {eta})")?;
        let bar = ProgressBar::new(inputs.rows_expected()).with_style(style);
        // What a crash left half done is finished before anything new.
        self.pump.drain(&self.log)?;
        self.enforce()?;
        let mut drawn = Instant::now();
        let mut started = false;
        while let Some((at, input)) = inputs.next()? {
            if !started {
                self.pump.advance(at, &self.log)?;
                let change = Change::Rules {
                    version: RuleSet::version_of(rules),
                    source: rules.to_owned(),
                    base: None,
                    note: String::new(),
                };
                self.feed(at, Input::Register(ControlRecord { actor: NAME.to_owned(), change }))?;
                started = true;
            }
            self.feed(at, input)?;
            if self.made.is_multiple_of(CHECKPOINT_EVERY) && self.made > self.resumed {
                self.save()?;
            }
            if drawn.elapsed() > Duration::from_millis(100) {
                drawn = Instant::now();
                bar.set_position(inputs.rows());
                bar.set_message(format!("{at:.10} · {} inputs · {} locked", self.made, self.locked_now()));
            }
        }
        anyhow::ensure!(started, "{}", inputs.why_nothing());
        // Let what is pending run out: restrictions that expire do so on a tick of their own.
        let end = self.pump.now();
        self.pump.advance(end.plus_ms(SECOND_MS), &self.log)?;
        self.save()?;
        bar.finish_and_clear();
        self.inputs = Some(inputs);
        Ok(())
    }

    /// One input: time moves to it, it is appended, and everything that follows from it is drained.
    fn feed(&mut self, at: Timestamp, input: Input) -> Result<()> {
        self.made += 1;
        if let Input::Event(event) = &input {
            self.tallies.event(event);
        }
        if self.made <= self.resumed {
            return Ok(());
        }
        self.pump.advance(at, &self.log)?;
        let record = self.record(input);
        self.log.append(vec![record], Ack::Ordered).wait()?;
        self.pump.drain(&self.log)?;
        self.enforce()
    }

    fn record(&mut self, input: Input) -> NewRecord {
        let (topic, key, payload) = match input {
            Input::Register(record) => (Topic::Control, String::new(), Payload::Control(record)),
            Input::Event(event) => {
                (Topic::EventsInbox, event.inbox_key().to_owned(), Payload::OrderEvent(event))
            }
            Input::Rows(supplier, mut rows) => {
                self.app.stamp(&supplier, &mut rows);
                let key = supplier.to_string();
                let command = written::command(self.made, supplier, rows);
                (Topic::SupplierEvents, key, Payload::Command(command))
            }
        };
        let envelope = written::api_envelope(NAME, self.made, &payload);
        record(topic, &key, &envelope, &payload)
    }

    /// Brings the overlay to the last decision.
    fn enforce(&mut self) -> Result<()> {
        let witness: Witness = Arc::new(|_, _| {});
        self.decisions_seen = crate::decisions::read(&self.log, self.decisions_seen, |offset, decision| {
            self.app.enforce(offset, &Envelope::default(), &decision, &witness);
            Ok(())
        })?;
        Ok(())
    }

    fn locked_now(&self) -> u64 {
        self.app
            .overlay
            .suppliers_by_level()
            .iter()
            .filter(|(level, _)| level.withholds())
            .map(|(_, count)| count)
            .sum()
    }

    /// Flushes every fold, then notes how many inputs need not be made again.
    fn save(&mut self) -> Result<()> {
        self.pump.flush()?;
        let commit = Commit {
            group: NAME,
            partition: 0,
            epoch: self.epoch,
            next_offset: self.made,
            row: Bytes::copy_from_slice(&self.fingerprint.to_be_bytes()),
            rows: Vec::new(),
        };
        Ok(self.log.commit(commit).wait()?)
    }

    fn report(&self, elapsed: Duration) -> Result<report::Report> {
        let inputs = self.inputs.as_ref().context("the replay has not run")?;
        report::Report::gather(
            &self.log,
            inputs,
            &self.tallies,
            &self.app,
            (self.made, self.resumed),
            elapsed,
        )
    }
}

/// Every fold that has a say in what buyers see, on one partition each.
pub(crate) fn add_stages(
    pump: &mut Pump,
    log: &SharedLog,
    app: &Arc<App>,
    features: &FeatureSet,
) -> Result<()> {
    let (judge, evaluator, features) = (vocabulary(), vocabulary(), features.clone());
    pump.add(
        Worker::join(stockade_lockout::control_spec(1), log.clone(), move |_| Control::new(judge.clone()))?,
        |_| {},
    );
    pump.add(Worker::join(intake_spec(1), log.clone(), |_| Intake::default())?, |_| {});
    let sink = app.clone();
    let inventory =
        Worker::join(stockade_inventory::inventory_spec(1), log.clone(), |_| Inventory::default())?;
    pump.add(inventory, move |effects| sink.take(effects));
    pump.add(Worker::join(scoring_spec(1), log.clone(), move |_| Scoring::new(&features))?, |_| {});
    pump.add(Worker::join(peers_spec(1), log.clone(), |_| Peers::default())?, |_| {});
    pump.add(Worker::join(links_spec(1), log.clone(), |_| Links::default())?, |_| {});
    let evaluation = stockade_lockout::evaluation_spec(1);
    pump.add(Worker::join(evaluation, log.clone(), move |_| Evaluation::new(evaluator.clone()))?, |_| {});
    pump.add(Worker::join(stockade_lockout::arbiter_spec(1), log.clone(), |_| Arbiter::default())?, |_| {});
    Ok(())
}

/// Record time of the newest record of any topic.
fn last_record_ms(log: &SharedLog) -> Result<i64> {
    let mut last = 0;
    for topic in Topic::ALL {
        let end = log.bounds(topic.name(), 0)?.end;
        if end > 0 {
            let records = log.read(topic.name(), 0, end - 1, ReadLimit::default())?;
            last = records.iter().map(|record| record.time_ms).max().unwrap_or(0).max(last);
        }
    }
    Ok(last)
}
