//! `stockade evaluate`: a labelled history through the real scoring and lockout code in event time, and how well it did.
//!
//! The same folds as in production run on one partition each under the scheduler of the simulator, on a log in memory.
//! Labels reach the folds only as events, after the label delay; the truth file and the final labels are read for
//! measuring alone.

mod measures;
mod truth;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use stockade_fold::Worker;
use stockade_lockout::{Arbiter, Control, Evaluation, STARTER_RULES};
use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, SharedLog};
use stockade_model::{
    Change, Command, ControlRecord, Envelope, OrderEventKind, Payload, Position, SupplierId, Timestamp,
    Topic, time::DAY_MS,
};
use stockade_rules::RuleSet;
use stockade_runtime::telemetry;
use stockade_simulator::Pump;
use stockade_supplier_scoring::{
    DEFAULT_FEATURES, FeatureSet, Intake, Links, Peers, Scoring, ScoringEffect, intake_spec, links_spec,
    peers_spec, scoring_spec, vocabulary,
};

use crate::{
    lockouts,
    platform::ensure_topics,
    replay::{
        inputs::{Input, Inputs},
        mapping::Mapping,
    },
};
use measures::Order;
use truth::Truth;

const NAME: &str = "evaluate";
/// Inputs between two looks at what may be forgotten.
const TRIM_EVERY: u64 = 50_000;

/// Flags of `evaluate`.
#[derive(clap::Args)]
pub struct Args {
    /// The history: CSV with a header, gzipped when it ends in .gz, sorted by the mapping's time.
    #[arg(long)]
    input: PathBuf,
    /// How its columns become suppliers and events.
    #[arg(long)]
    mapping: PathBuf,
    /// Who was compromised when, read as the mapping's `truth` says. Without it only lock-outs are listed.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// How long after their stamp labels become known, such as 0d, 1d or 7d; the mapping's own when absent.
    #[arg(long)]
    label_delay: Option<String>,
    /// Measure from this moment on; what is before only warms up.
    #[arg(long, value_parser = |text: &str| Timestamp::parse(text))]
    from: Option<Timestamp>,
    /// Rules to judge by; the starter set when absent.
    #[arg(long)]
    rules: Option<PathBuf>,
    /// Features to judge by; the default ones when absent.
    #[arg(long)]
    features: Option<PathBuf>,
    /// Where lock-outs are written as CSV: supplier,locked_at,released_at,level,reason.
    #[arg(long)]
    lockouts: Option<PathBuf>,
    /// Print one JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// Runs the evaluation.
pub fn run(args: &Args) -> Result<()> {
    telemetry::logs("warn", telemetry::LogFormat::Text);
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let features = args.features.as_deref().map(read).transpose()?;
    let features = features.unwrap_or_else(|| DEFAULT_FEATURES.to_owned());
    let rules = args.rules.as_deref().map(read).transpose()?.unwrap_or_else(|| STARTER_RULES.to_owned());
    let set = FeatureSet::compile(&features).map_err(|errors| {
        anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    RuleSet::compile(&rules, set.schema().clone()).map_err(|errors| {
        anyhow::anyhow!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let mut mapping = Mapping::parse(&read(&args.mapping)?)?;
    let delay_ms = match &args.label_delay {
        None => 0,
        Some(text) if text == "0d" => 0,
        Some(text) => stockade_rules::parse_duration_ms(text)
            .with_context(|| format!("--label-delay {text} is not a duration such as 0d, 1d or 7d"))?,
    };
    if let Some(delay) = &args.label_delay {
        mapping.delay_labels(delay);
    }
    let truth = match (&args.truth, &mapping.truth) {
        (None, _) => None,
        (Some(_), None) => {
            anyhow::bail!("the mapping has no `truth`: say in which columns supplier, from and until are")
        }
        (Some(path), Some(columns)) => Some(Truth::read(path, columns)?),
    };
    let size = std::fs::metadata(&args.input)
        .with_context(|| format!("cannot open {}", args.input.display()))?
        .len();
    let mut inputs = Inputs::open(&args.input, mapping)?;
    let begun = Instant::now();
    let mut run = Run::open(&features, &rules)?;
    run.play(&mut inputs, size)?;

    let mut decisions = Vec::new();
    crate::decisions::read(&run.log, 0, |_, decision| {
        decisions.push(decision);
        Ok(())
    })?;
    let lockouts = lockouts::of(&decisions);
    if let Some(path) = &args.lockouts {
        lockouts::write_csv(&lockouts, path)?;
    }
    let span = measures::Span {
        from: args.from.unwrap_or(run.first),
        until: run.last,
        delay_ms,
        seen_ms: 10 * DAY_MS,
    };
    let orders = std::mem::take(&mut *run.orders.lock());
    let mut report = measures::report(&lockouts, truth.as_ref(), orders, &inputs.frauds, &span);
    report["rules"] = RuleSet::version_of(&rules).into();
    report["features"] = set.version.into();
    report["label_delay"] = args.label_delay.clone().unwrap_or_else(|| "as mapped".to_owned()).into();
    report["refused_by_validation"] = inputs.refused.into();
    report["inputs"] = run.made.into();
    report["seconds"] = ((begun.elapsed().as_secs_f64() * 100.0).round() / 100.0).into();
    measures::print(&report, args.json);
    Ok(())
}

/// Orders with the score that stood when they were placed.
type Orders = Arc<Mutex<FxHashMap<(SupplierId, String), Order>>>;

struct Run {
    log: SharedLog,
    pump: Pump,
    made: u64,
    first: Timestamp,
    /// Time of the last row: what labels that come later lead to is not measured.
    last: Timestamp,
    orders: Orders,
    scored: Arc<Mutex<FxHashMap<SupplierId, u16>>>,
    opening: Vec<ControlRecord>,
}

impl Run {
    fn open(features: &str, rules: &str) -> Result<Self> {
        let mut pump = Pump::default();
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), pump.clock())?);
        ensure_topics(&log, 1)?;
        let scored: Arc<Mutex<FxHashMap<SupplierId, u16>>> = Arc::default();
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
                        scored.insert(record.supplier, record.score);
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
        let version = RuleSet::version_of;
        let changes = [
            Change::Features { version: version(features), source: features.to_owned() },
            Change::Rules { version: version(rules), source: rules.to_owned() },
        ];
        let opening = changes.map(|change| ControlRecord { actor: NAME.to_owned(), change });
        Ok(Self {
            log,
            pump,
            made: 0,
            first: Timestamp::default(),
            last: Timestamp::default(),
            orders: Orders::default(),
            scored,
            opening: opening.to_vec(),
        })
    }

    fn play(&mut self, inputs: &mut Inputs, size: u64) -> Result<()> {
        let style =
            ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}  {elapsed_precise} (left {eta})")?;
        let bar = ProgressBar::new(size).with_style(style);
        while let Some((at, input)) = inputs.next()? {
            if self.made == 0 {
                self.first = at;
                for record in std::mem::take(&mut self.opening) {
                    self.feed(at, Input::Register(record))?;
                }
            }
            self.feed(at, input)?;
            if self.made.is_multiple_of(TRIM_EVERY) {
                bar.set_position(inputs.bytes_read());
                bar.set_message(format!("{at:.10} · {} inputs", self.made));
                self.pump.flush()?;
                self.log.trim(at.ms())?;
            }
        }
        anyhow::ensure!(self.made > 0, "the history has no rows");
        self.last = inputs.last_row_time();
        bar.finish_and_clear();
        Ok(())
    }

    /// One input: time moves to it, it is appended, and everything that follows from it is drained.
    fn feed(&mut self, at: Timestamp, input: Input) -> Result<()> {
        self.made += 1;
        self.pump.advance(at, &self.log)?;
        let number = self.made;
        let mut envelope = Envelope::new("", format!("{NAME}-{number}"), NAME);
        envelope.position =
            Some(Position { fold: NAME.to_owned(), partition: 0, generation: 1, offset: number, index: 1 });
        let mut placed = None;
        let (topic, key, payload) = match input {
            Input::Register(record) => (Topic::Control, String::new(), Payload::Control(record)),
            Input::Event(event) => {
                if event.kind == OrderEventKind::Placed {
                    placed = event.order.as_ref().map(|order| (event.supplier.clone(), order.to_string()));
                }
                (Topic::EventsInbox, event.inbox_key().to_owned(), Payload::OrderEvent(event))
            }
            Input::Rows(supplier, rows) => {
                let key = supplier.to_string();
                let (idempotency_key, places) = (None, Vec::new());
                let command =
                    Command { supplier, idempotency_key, body_hash: number.to_string(), rows, places };
                (Topic::SupplierEvents, key, Payload::Command(command))
            }
        };
        envelope.kind = payload.kind().to_owned();
        let record: NewRecord = stockade_inventory::app::record(topic, &key, &envelope, &payload);
        self.log.append(vec![record], Ack::Ordered).wait()?;
        self.pump.drain(&self.log)?;
        if let Some(order) = placed {
            let score = self.scored.lock().get(&order.0).copied().unwrap_or(0);
            self.orders.lock().entry(order).or_insert(Order { at, score });
        }
        Ok(())
    }
}
