//! What a rule set would have done: every kept feature vector is judged again, at the values it had then.
//!
//! Vectors are those of `supplier.scores`; where a set binds windows that these do not hold, they are made anew from
//! `supplier.events`. Every rule that is not off counts as if it were live.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use stockade_log::{ReadLimit, SharedLog};
use stockade_model::{Action, SCORE_KIND, ScoreRecord, ScoreView, SupplierId, Timestamp, Topic};
use stockade_rules::{Binding, FeatureSchema, Mode, RuleSet, Scratch, SetSpec, Snapshot, Variant, variants};

use crate::views::Decisions;

/// Bounds are moved by these factors.
const FACTORS: [f64; 6] = [0.5, 0.75, 0.9, 1.1, 1.25, 2.0];
/// Suppliers listed for each rule.
const LISTED_MAX: usize = 500;
/// Jobs kept, and those of them that may run at once.
const JOBS_KEPT: usize = 50;
const JOBS_RUNNING_MAX: usize = 2;
/// Snapshots between two looks at whether the job was cancelled.
const LOOK_EVERY: u64 = 4_096;

/// Makes vectors of a partition of `supplier.events` anew with windows that are not kept, and hands each with its record
/// time to the closure until that answers false.
pub type Rescore = Arc<
    dyn Fn(u32, &str, &[Binding], &mut dyn FnMut(i64, ScoreRecord) -> bool) -> Result<(), String>
        + Send
        + Sync,
>;

/// A backtest that runs or has run.
pub struct Job {
    /// Its id.
    pub id: String,
    /// Who asked.
    pub actor: String,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    result: Mutex<Option<Result<Value, String>>>,
}

impl Job {
    /// Asks it to end.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
    fn runs(&self) -> bool {
        self.result.lock().is_none()
    }
    /// Where it stands, with the report once it is there.
    pub fn status(&self) -> Value {
        let result = self.result.lock();
        let state = match &*result {
            None if self.is_cancelled() => "cancelling",
            None => "running",
            Some(Ok(_)) => "done",
            Some(Err(_)) if self.is_cancelled() => "cancelled",
            Some(Err(_)) => "failed",
        };
        json!({
            "job": self.id, "actor": self.actor, "state": state,
            "records_done": self.done.load(Ordering::Relaxed), "records": self.total.load(Ordering::Relaxed),
            "report": result.as_ref().and_then(|result| result.as_ref().ok()),
            "error": result.as_ref().and_then(|result| result.as_ref().err()),
        })
    }
}

/// The jobs of this process.
#[derive(Clone, Default)]
pub struct Backtests(Arc<Mutex<Vec<Arc<Job>>>>);

impl Backtests {
    /// A job.
    pub fn get(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().iter().find(|job| job.id == id).cloned()
    }

    /// Enters a job; none when too many run.
    pub fn enter(&self, id: String, actor: String) -> Option<Arc<Job>> {
        let mut jobs = self.0.lock();
        if jobs.iter().filter(|job| job.runs()).count() >= JOBS_RUNNING_MAX {
            return None;
        }
        if jobs.len() >= JOBS_KEPT {
            let place = jobs.iter().position(|job| !job.runs());
            place.map(|place| jobs.remove(place));
        }
        let job = Arc::new(Job {
            id,
            actor,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            result: Mutex::new(None),
        });
        jobs.push(job.clone());
        Some(job)
    }
}

/// What is asked.
pub struct Question {
    /// The rules as written.
    pub spec: SetSpec,
    /// The rules compiled.
    pub set: Arc<RuleSet>,
    /// The rules in force.
    pub current: Arc<RuleSet>,
    /// The declaration of features in force.
    pub features: String,
    /// Vectors of these features are in `supplier.scores`.
    pub kept: Arc<FeatureSchema>,
    /// Only vectors from then on.
    pub since: Timestamp,
}

/// Where history is.
pub struct Sources {
    /// The log.
    pub log: SharedLog,
    /// Partitions of supplier-keyed topics.
    pub partitions: u32,
    /// Makes vectors anew.
    pub rescore: Rescore,
    /// What people found.
    pub decisions: Decisions,
}

/// What became of a supplier after a rule was first true for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// A person found a restriction of it right, or turned its appeal down.
    Confirmed,
    /// Frauds were confirmed that were not known then.
    FraudLater,
    /// A person released or allowed it.
    Released,
    /// Nothing more is known.
    Unknown,
}

struct First {
    at_ms: i64,
    frauds: f64,
    snapshots: u64,
}

/// Collects what the rules of one set say.
struct Tally {
    set: Arc<RuleSet>,
    scratch: Scratch,
    /// By rule: suppliers by number.
    hits: Vec<FxHashMap<u32, First>>,
}

impl Tally {
    fn new(set: Arc<RuleSet>) -> Self {
        let hits = set.rules().iter().map(|_| FxHashMap::default()).collect();
        Self { set, scratch: Scratch::default(), hits }
    }

    #[inline]
    fn judge(&mut self, snapshot: &Snapshot<'_>, supplier: u32, frauds: f64) {
        let hits = &mut self.hits;
        self.set.evaluate(snapshot, &mut self.scratch, |number, _| {
            let first = hits[number].entry(supplier).or_insert(First {
                at_ms: snapshot.now_ms,
                frauds,
                snapshots: 0,
            });
            first.snapshots += 1;
        });
    }

    fn suppliers(&self, rule: usize) -> BTreeSet<u32> {
        self.hits[rule].keys().copied().collect()
    }
}

/// Judges snapshots one after the other; what a backtest is made of.
pub struct Judge {
    asked: Tally,
    current: Tally,
    swept: Tally,
    variants: Vec<Variant>,
    names: Vec<String>,
    numbers: FxHashMap<String, u32>,
    /// Most confirmed frauds seen of each supplier.
    frauds: Vec<f64>,
    fraud_slot: Option<usize>,
    seen: u64,
}

impl Judge {
    /// One for a set, beside the one in force.
    pub fn new(spec: &SetSpec, set: Arc<RuleSet>, current: Arc<RuleSet>) -> Self {
        let variants: Vec<Variant> = spec
            .rules
            .iter()
            .filter(|rule| rule.mode != Mode::Off)
            .flat_map(|rule| variants(rule, &FACTORS))
            .collect();
        let renumbered = variants.iter().enumerate().filter_map(|(number, variant)| {
            let id = stockade_model::RuleId::new(&format!("v{number}")).ok()?;
            Some(stockade_rules::RuleSpec { id, ..variant.spec.clone() })
        });
        let swept = SetSpec {
            lets: spec.lets.clone(),
            budget: None,
            budget_of_caps: None,
            jitter: None,
            trust_up_to: None,
            rules: renumbered.collect(),
        };
        let schema = set.schema().clone();
        // Bounds are numbers in place of numbers; should one not compile, nothing is swept.
        let swept = RuleSet::compile_spec(swept, String::new(), schema.clone());
        let swept = swept.unwrap_or_else(|_| RuleSet::empty(schema.clone()));
        Self {
            fraud_slot: schema.slot("frauds.count_30d"),
            variants: if swept.rules().len() == variants.len() { variants } else { Vec::new() },
            asked: Tally::new(set),
            current: Tally::new(current),
            swept: Tally::new(Arc::new(swept)),
            names: Vec::new(),
            numbers: FxHashMap::default(),
            frauds: Vec::new(),
            seen: 0,
        }
    }

    /// Judges one snapshot.
    #[inline]
    pub fn judge(&mut self, snapshot: &Snapshot<'_>) {
        self.seen += 1;
        let supplier = match self.numbers.get(snapshot.supplier) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.names.push(snapshot.supplier.to_owned());
                self.numbers.insert(snapshot.supplier.to_owned(), number);
                self.frauds.push(0.0);
                number
            }
        };
        let frauds = self.fraud_slot.and_then(|slot| snapshot.feature(slot)).unwrap_or(0.0);
        let most = &mut self.frauds[supplier as usize];
        *most = most.max(frauds);
        self.asked.judge(snapshot, supplier, frauds);
        self.current.judge(snapshot, supplier, frauds);
        self.swept.judge(snapshot, supplier, frauds);
    }

    /// Snapshots judged.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn outcome(&self, supplier: u32, first: &First, found: &BTreeMap<SupplierId, bool>) -> Outcome {
        let name = &self.names[supplier as usize];
        match SupplierId::new(name).ok().and_then(|id| found.get(&id)) {
            Some(true) => Outcome::Confirmed,
            _ if self.frauds[supplier as usize] > first.frauds => Outcome::FraudLater,
            Some(false) => Outcome::Released,
            None => Outcome::Unknown,
        }
    }

    fn rule(&self, number: usize, found: &BTreeMap<SupplierId, bool>) -> Value {
        let rule = &self.asked.set.rules()[number];
        let hits = &self.asked.hits[number];
        let mut by_outcome: BTreeMap<Outcome, u64> = BTreeMap::new();
        let mut listed: Vec<(i64, &str, Outcome, u64)> = Vec::new();
        for (supplier, first) in hits {
            let outcome = self.outcome(*supplier, first, found);
            *by_outcome.entry(outcome).or_default() += 1;
            listed.push((first.at_ms, &self.names[*supplier as usize], outcome, first.snapshots));
        }
        listed.sort_unstable();
        let own = self.asked.suppliers(number);
        let overlap: Vec<Value> = (0..self.current.set.rules().len())
            .filter_map(|other| {
                let others = self.current.suppliers(other);
                let both = own.intersection(&others).count();
                let known = &self.current.set.rules()[other].spec;
                (both > 0).then(|| {
                    json!({ "rule": known.id, "mode": known.mode, "both": both,
                            "only_this": own.len() - both, "only_other": others.len() - both })
                })
            })
            .collect();
        let sweep =
            self.variants.iter().enumerate().filter(|(_, variant)| variant.rule == rule.spec.id.as_str());
        let sweep: Vec<Value> = sweep
            .map(|(at, variant)| {
                let suppliers = self.swept.hits[at].len();
                json!({ "test": variant.test, "bound": variant.bound, "moved": variant.moved, "suppliers": suppliers })
            })
            .collect();
        let snapshots: u64 = hits.values().map(|first| first.snapshots).sum();
        let count = |outcome: Outcome| by_outcome.get(&outcome).copied().unwrap_or(0);
        json!({
            "rule": rule.spec.id, "level": rule.spec.level, "mode": rule.spec.mode,
            "suppliers": hits.len(), "snapshots": snapshots,
            "outcomes": { "confirmed": count(Outcome::Confirmed), "fraud_later": count(Outcome::FraudLater),
                          "released": count(Outcome::Released), "unknown": count(Outcome::Unknown) },
            "first": listed.iter().take(LISTED_MAX).map(|(at_ms, supplier, outcome, snapshots)| json!({
                "supplier": supplier, "at": Timestamp::from_ms(*at_ms), "outcome": outcome, "snapshots": snapshots,
            })).collect::<Vec<_>>(),
            "overlap": overlap, "sweep": sweep,
        })
    }

    /// What was found; `found` says of suppliers that people looked at whether a restriction of them was right.
    pub fn report(&self, found: &BTreeMap<SupplierId, bool>) -> Value {
        let withholding = |tally: &Tally| -> BTreeSet<u32> {
            let rules = tally.set.rules().iter().enumerate();
            rules
                .filter(|(_, rule)| rule.spec.level.withholds())
                .flat_map(|(number, _)| tally.suppliers(number))
                .collect()
        };
        let (asked, current) = (withholding(&self.asked), withholding(&self.current));
        let released = asked.iter().filter(|supplier| {
            SupplierId::new(&self.names[**supplier as usize]).ok().and_then(|id| found.get(&id))
                == Some(&false)
        });
        json!({
            "version": self.asked.set.version, "snapshots": self.seen, "suppliers": self.names.len(),
            "withheld": asked.len(), "withheld_by_rules_in_force": current.len(),
            "withheld_by_both": asked.intersection(&current).count(),
            "honest_withheld": released.count(),
            "rules": (0..self.asked.set.rules().len()).map(|number| self.rule(number, found)).collect::<Vec<_>>(),
        })
    }
}

/// What people found of suppliers: whether the last restriction they looked at was right.
pub fn findings(decisions: &Decisions) -> BTreeMap<SupplierId, bool> {
    let mut found = BTreeMap::new();
    decisions.for_each(|decision| {
        // What a budget held back and a person imposed after all was found right by that.
        let found_right = decision.restriction.as_ref().is_some_and(|r| r.confirmed.is_some());
        let right = match decision.action {
            Action::Confirmed | Action::AppealRejected => true,
            Action::Imposed | Action::Raised | Action::Reopened if found_right => true,
            // Nobody has found anything, as before.
            Action::Reopened => {
                found.remove(&decision.supplier);
                return;
            }
            Action::Released | Action::Allowed | Action::Dismissed if decision.actor.is_some() => false,
            _ => return,
        };
        found.insert(decision.supplier.clone(), right);
    });
    found
}

/// Runs a job to its end; blocks.
pub fn run(job: &Job, question: Question, sources: &Sources) {
    let started = Instant::now();
    let result = collect(job, question, sources).map(|mut report| {
        let seconds = started.elapsed().as_secs_f64();
        report["seconds"] = json!(seconds);
        report["snapshots_per_second"] =
            json!(report["snapshots"].as_f64().unwrap_or(0.0) / seconds.max(1e-9));
        report
    });
    *job.result.lock() = Some(result);
}

fn collect(job: &Job, question: Question, sources: &Sources) -> Result<Value, String> {
    let Question { spec, set, current, features, kept, since } = question;
    let from_events = set.schema().id() != kept.id();
    let topic = if from_events { Topic::SupplierEvents } else { Topic::SupplierScores };
    let mut total = 0;
    for partition in 0..sources.partitions {
        let bounds = sources.log.bounds(topic.name(), partition).map_err(|error| error.to_string())?;
        total += bounds.end.saturating_sub(bounds.first);
    }
    job.total.store(total, Ordering::Relaxed);
    let (schema, windows) = (set.schema().clone(), bound(set.schema()));
    let mut judge = Judge::new(&spec, set, current);
    let mut skipped = 0u64;
    for partition in 0..sources.partitions {
        if from_events {
            let mut each = |time_ms: i64, record: ScoreRecord| {
                job.done.fetch_add(1, Ordering::Relaxed);
                if time_ms >= since.ms() && record.schema == schema.id() {
                    let listing = record.listing.as_ref().map(|(l, s)| (l.as_str(), s.as_str()));
                    let supplier = record.supplier.as_str();
                    judge.judge(&Snapshot { slots: &record.slots, now_ms: time_ms, supplier, listing });
                }
                !job.is_cancelled()
            };
            (sources.rescore)(partition, &features, &windows, &mut each)?;
        } else {
            skipped += scores(job, sources, partition, (schema.id(), since.ms()), &mut judge)?;
        }
        if job.is_cancelled() {
            return Err("cancelled".to_owned());
        }
    }
    let mut report = judge.report(&findings(&sources.decisions));
    report["skipped"] = json!(skipped);
    report["source"] = json!(topic.name());
    report["since"] = json!(since);
    Ok(report)
}

fn bound(schema: &FeatureSchema) -> Vec<Binding> {
    schema.features().iter().filter_map(|feature| feature.window.clone()).collect()
}

/// Judges what a partition of `supplier.scores` holds; returns how many vectors follow other features.
fn scores(
    job: &Job,
    sources: &Sources,
    partition: u32,
    (schema, since_ms): (u32, i64),
    judge: &mut Judge,
) -> Result<u64, String> {
    let topic = Topic::SupplierScores.name();
    let bounds = sources.log.bounds(topic, partition).map_err(|error| error.to_string())?;
    let (mut next, mut skipped, mut slots) = (bounds.first, 0, Vec::new());
    while next < bounds.end {
        let limit = ReadLimit { records: LOOK_EVERY as usize, bytes: 4 << 20 };
        let records = sources.log.read(topic, partition, next, limit).map_err(|error| error.to_string())?;
        let Some(last) = records.last() else { break };
        next = last.offset + 1;
        for record in &records {
            let is_score = record
                .headers
                .iter()
                .any(|(name, value)| &**name == "ce_type" && value == SCORE_KIND.as_bytes());
            if !is_score || record.time_ms < since_ms {
                continue;
            }
            match ScoreView::read(&record.value, &mut slots) {
                Ok(view) if view.schema == schema => {
                    let (supplier, listing) = (view.supplier, view.listing);
                    judge.judge(&Snapshot { slots: &slots, now_ms: record.time_ms, supplier, listing });
                }
                _ => skipped += 1,
            }
        }
        job.done.fetch_add(records.len() as u64, Ordering::Relaxed);
        if job.is_cancelled() {
            break;
        }
    }
    Ok(skipped)
}
