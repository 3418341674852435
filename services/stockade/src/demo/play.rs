//! Plays a world over HTTP: entry of everyone, their past, then live trade with buyers asking all along.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade_model::{Decision, Envelope, Level, Timestamp};
use stockade_runtime::clock;
use stockade_simulator::{Action, Call, World};
use tokio::sync::Semaphore;

use crate::client::{Answer, Client};

/// Calls under way at once while the marketplace is set up.
const SETUP_CONCURRENCY: usize = 32;
/// Buyers' queries a second.
const QUERIES_PER_SECOND: u64 = 250;
/// Tries of a call that was told to come back later.
const TRIES_MAX: usize = 20;

/// The keys of one run.
pub(super) struct Keys {
    pub(super) suppliers: HashMap<String, String>,
    pub(super) operator: String,
    pub(super) buyer: String,
    pub(super) analyst: String,
    pub(super) order_system: String,
}

/// When what was sent, and when which decision came into force because of it.
#[derive(Default)]
pub(super) struct Records {
    sent: Mutex<HashMap<String, Instant>>,
    /// Supplier, id of the cause, moment, and whether its offers are withheld from then on.
    decided: Mutex<Vec<Decided>>,
}

/// A decision as the overlay of this process saw it.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) supplier: String,
    cause: Option<String>,
    at: Instant,
    pub(super) withheld: bool,
    /// Whether no more can be had of it than it has proven.
    pub(super) capped: bool,
    pub(super) rule: String,
}

impl Records {
    pub(super) fn decided(&self, decision: &Decision, envelope: &Envelope) {
        let restriction = decision.restriction.as_ref();
        self.decided.lock().push(Decided {
            supplier: decision.supplier.to_string(),
            cause: envelope.cause.as_ref().map(|cause| cause.id.clone()),
            at: Instant::now(),
            withheld: decision.in_force.iter().any(|r| r.level.withholds()),
            capped: decision.in_force.iter().any(|r| r.level == Level::Cap),
            rule: restriction
                .and_then(|r| r.rule.as_ref())
                .map(|rule| rule.id.to_string())
                .unwrap_or_default(),
        });
    }
    fn sent(&self, id: &str, at: Instant) {
        self.sent.lock().insert(id.to_owned(), at);
    }
    pub(super) fn all(&self) -> Vec<Decided> {
        self.decided.lock().clone()
    }
    /// From the send of the offending event to the flip of the overlay, for the first flip of each of `suppliers`.
    pub(super) fn times_to_invisible(&self, suppliers: &HashSet<String>) -> Vec<Duration> {
        let sent = self.sent.lock();
        let mut seen = HashSet::new();
        let decided = self.decided.lock();
        let first = decided
            .iter()
            .filter(|d| d.withheld && suppliers.contains(&d.supplier) && seen.insert(&d.supplier));
        first.filter_map(|d| Some(d.at - *sent.get(d.cause.as_ref()?)?)).collect()
    }
}

/// Latencies of buyers, in microseconds from the intended send time.
pub(super) struct Buyers {
    pub(super) before: Mutex<Histogram<u64>>,
    pub(super) during: Mutex<Histogram<u64>>,
    pub(super) refused: AtomicU64,
    attacked: AtomicBool,
}

/// What the live part left behind.
pub(super) struct Live {
    pub(super) buyers: Arc<Buyers>,
    /// Offers of withheld attackers that a buyer could still see at the end: must be none.
    pub(super) visible_at_end: usize,
    pub(super) calls_failed: u64,
}

/// The play.
pub(super) struct Play {
    client: Arc<Client>,
    pub(super) world: World,
    keys: Arc<Keys>,
    pub(super) records: Arc<Records>,
    duration: Duration,
    seed: u64,
    pub(super) newcomers: Vec<String>,
    /// Whether it shows by bars how it goes.
    shows: bool,
}

impl Play {
    pub(super) fn new(
        server: SocketAddr,
        world: World,
        keys: Keys,
        records: Arc<Records>,
        duration: Duration,
        seed: u64,
    ) -> Self {
        let client = Arc::new(Client::new(server));
        Self {
            client,
            world,
            keys: Arc::new(keys),
            records,
            duration,
            seed,
            newcomers: Vec::new(),
            shows: true,
        }
    }

    /// Without bars, where something else is shown.
    pub(super) fn quiet(mut self) -> Self {
        self.shows = false;
        self
    }

    fn bar(&self, length: u64) -> ProgressBar {
        if self.shows { ProgressBar::new(length) } else { ProgressBar::hidden() }
    }

    pub(super) async fn run(&mut self) -> Result<Live> {
        let span_ms = self.duration.as_millis() as i64;
        let (newcomers, honest_actions) = stockade_simulator::special(&self.world, span_ms);
        self.newcomers = newcomers.iter().map(|s| s.id.clone()).collect();

        let everyone =
            self.world.honest.iter().chain(self.world.attackers.iter().map(|(s, _)| s)).chain(&newcomers);
        let entries: Vec<Vec<Call>> = everyone.map(|supplier| self.world.entry(supplier)).collect();
        self.set_up("suppliers enter", entries).await?;
        let past = self.world.past();
        let chunks: Vec<Vec<Call>> =
            past.chunks(500).map(|chunk| vec![Call::Event(Value::from(chunk.to_vec()))]).collect();
        // The past is sent in order, as an order system would.
        self.set_up_in_order("60 days of orders", chunks).await?;
        self.live(honest_actions).await
    }

    async fn set_up(&self, what: &'static str, work: Vec<Vec<Call>>) -> Result<()> {
        let bar = progress(self.bar(work.len() as u64), what)?;
        let gate = Arc::new(Semaphore::new(SETUP_CONCURRENCY));
        let mut tasks = tokio::task::JoinSet::new();
        for calls in work {
            let permit = gate.clone().acquire_owned().await?;
            let (client, keys, bar) = (self.client.clone(), self.keys.clone(), bar.clone());
            tasks.spawn(async move {
                let _permit = permit;
                for call in &calls {
                    perform(&client, &keys, call).await?;
                }
                bar.inc(1);
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn set_up_in_order(&self, what: &'static str, work: Vec<Vec<Call>>) -> Result<()> {
        let bar = progress(self.bar(work.len() as u64), what)?;
        for calls in work {
            for call in &calls {
                perform(&self.client, &self.keys, call).await?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    }

    async fn live(&self, honest: Vec<Action>) -> Result<Live> {
        let buyers = Arc::new(Buyers {
            before: Mutex::new(Histogram::new(3)?),
            during: Mutex::new(Histogram::new(3)?),
            refused: AtomicU64::new(0),
            attacked: AtomicBool::new(false),
        });
        let begin = Instant::now();
        let failed = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(ask(
            self.client.clone(),
            self.keys.clone(),
            self.world.clone(),
            buyers.clone(),
            begin,
            self.duration,
            self.seed,
        ));
        tasks.spawn(act(
            self.client.clone(),
            self.keys.clone(),
            self.records.clone(),
            honest,
            begin,
            failed.clone(),
        ));

        let attack_at = begin + self.duration / 3;
        for attack in self.attacks() {
            tasks.spawn(act(
                self.client.clone(),
                self.keys.clone(),
                self.records.clone(),
                attack.actions,
                attack_at,
                failed.clone(),
            ));
        }
        let watch = tokio::spawn(watch(
            self.bar(self.duration.as_millis() as u64),
            self.records.clone(),
            buyers.clone(),
            self.attackers(),
            begin,
            attack_at,
            self.duration,
        ));
        while let Some(done) = tasks.join_next().await {
            done?;
        }
        watch.await??;
        let visible_at_end = self.visible_offers_of_withheld().await?;
        Ok(Live { buyers, visible_at_end, calls_failed: failed.load(Ordering::Relaxed) })
    }

    /// The attacks fill the last two thirds, less a second in which the last decisions come into force.
    fn attacks(&self) -> Vec<stockade_simulator::Attack> {
        self.world.attacks(self.duration.as_millis() as i64 * 2 / 3 - 1_000)
    }

    pub(super) fn attackers(&self) -> HashSet<String> {
        self.world.attackers.iter().map(|(supplier, _)| supplier.id.clone()).collect()
    }

    /// Asks, as a buyer, for every good that withheld attackers list.
    async fn visible_offers_of_withheld(&self) -> Result<usize> {
        let withheld: HashSet<String> = {
            let now: HashMap<String, bool> =
                self.records.all().into_iter().map(|d| (d.supplier, d.withheld)).collect();
            now.into_iter().filter(|(_, withheld)| *withheld).map(|(supplier, _)| supplier).collect()
        };
        let mut goods = HashSet::new();
        for attack in self.attacks() {
            for action in attack.actions {
                if let Call::Batch { body, .. } = action.call {
                    let rows = body["rows"].as_array().cloned().unwrap_or_default();
                    goods.extend(rows.iter().filter_map(|row| row["sku"].as_str().map(str::to_owned)));
                }
            }
        }
        let mut visible = 0;
        for good in goods {
            let path = format!("/v1/availability?sku={good}&limit=500");
            let answer =
                self.client.send(Method::GET, &path, &self.keys.buyer, Bytes::new()).await?.json()?;
            let offers = answer["offers"].as_array().context("an answer without offers")?;
            let hidden = |offer: &&Value| offer["supplier"].as_str().is_some_and(|id| withheld.contains(id));
            visible += offers.iter().filter(hidden).count();
        }
        Ok(visible)
    }
}

fn progress(bar: ProgressBar, what: &'static str) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:<20} {bar:40} {pos}/{len} {elapsed}")?;
    Ok(bar.with_style(style).with_message(what))
}

/// One call; told to come back later, it does.
async fn perform(client: &Client, keys: &Keys, call: &Call) -> Result<Answer> {
    let (method, path, key, body) = match call {
        Call::Register { supplier, body } => {
            (Method::PUT, format!("/v1/suppliers/{supplier}"), Some(&keys.operator), body)
        }
        Call::Location { supplier, body } => (
            Method::PUT,
            format!("/v1/suppliers/{supplier}/locations/main"),
            keys.suppliers.get(supplier),
            body,
        ),
        Call::Batch { supplier, body } => (
            Method::POST,
            format!("/v1/suppliers/{supplier}/inventory:batch"),
            keys.suppliers.get(supplier),
            body,
        ),
        Call::Event(body) => (Method::POST, "/v1/events".to_owned(), Some(&keys.order_system), body),
    };
    let key = key.context("a supplier without a key")?;
    let body = Bytes::from(body.to_string());
    for _ in 0..TRIES_MAX {
        let answer = client.send(method.clone(), &path, key, body.clone()).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let Some(wait_s) = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok()) else {
            anyhow::bail!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        };
        tokio::time::sleep(Duration::from_secs(wait_s)).await;
    }
    anyhow::bail!("{method} {path} was told to wait {TRIES_MAX} times")
}

/// Plays actions at their times; events get the time at which they are sent.
async fn act(
    client: Arc<Client>,
    keys: Arc<Keys>,
    records: Arc<Records>,
    actions: Vec<Action>,
    begin: Instant,
    failed: Arc<AtomicU64>,
) {
    for Action { at_ms, mut call } in actions {
        tokio::time::sleep_until((begin + Duration::from_millis(at_ms as u64)).into()).await;
        if let Call::Event(event) = &mut call {
            event["time"] = json!(Timestamp::from_ms(clock::now_ms()));
        }
        let sent = Instant::now();
        if let Call::Event(event) = &call
            && let Some(id) = event["id"].as_str()
        {
            records.sent(id, sent);
        }
        match perform(&client, &keys, &call).await {
            // A request's record id is known only from its answer; decisions are matched with it afterwards.
            Ok(answer) => answer.header("stockade-record").into_iter().for_each(|id| records.sent(id, sent)),
            Err(error) => {
                failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "a call of the play failed");
            }
        }
    }
}

/// Buyers: open loop, Poisson arrivals, latency from the intended time.
async fn ask(
    client: Arc<Client>,
    keys: Arc<Keys>,
    world: World,
    buyers: Arc<Buyers>,
    begin: Instant,
    duration: Duration,
    seed: u64,
) {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x6275_7965);
    let mut intended = begin;
    let mut tasks = tokio::task::JoinSet::new();
    while intended < begin + duration {
        intended += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / QUERIES_PER_SECOND as f64);
        tokio::time::sleep_until(intended.into()).await;
        let path = format!("/v1/availability?sku={}&limit=10", world.popular_sku(&mut rng));
        let (client, keys, buyers) = (client.clone(), keys.clone(), buyers.clone());
        tasks.spawn(async move {
            let during = buyers.attacked.load(Ordering::Relaxed);
            let served = client.send(Method::GET, &path, &keys.buyer, Bytes::new()).await;
            let micros = intended.elapsed().as_micros() as u64;
            if served.is_ok_and(|answer| answer.status.is_success()) {
                let histogram = if during { &buyers.during } else { &buyers.before };
                histogram.lock().saturating_record(micros);
            } else {
                buyers.refused.fetch_add(1, Ordering::Relaxed);
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

/// Shows how it goes.
async fn watch(
    bar: ProgressBar,
    records: Arc<Records>,
    buyers: Arc<Buyers>,
    attackers: HashSet<String>,
    begin: Instant,
    attack_at: Instant,
    duration: Duration,
) -> Result<()> {
    let bar = bar.with_style(ProgressStyle::with_template("{prefix:<20} {bar:40} {msg}")?);
    while begin.elapsed() < duration {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let attacked = Instant::now() >= attack_at;
        buyers.attacked.store(attacked, Ordering::Relaxed);
        let locked: HashSet<String> =
            records.all().into_iter().filter(|d| d.withheld).map(|d| d.supplier).collect();
        let guilty = locked.iter().filter(|id| attackers.contains(*id)).count();
        let histogram = if attacked { &buyers.during } else { &buyers.before };
        let p99 = histogram.lock().value_at_quantile(0.99) as f64 / 1_000.0;
        bar.set_prefix(if attacked { "under attack" } else { "ordinary trade" });
        bar.set_position(begin.elapsed().as_millis() as u64);
        bar.set_message(format!(
            "locked {guilty}/{} attackers, {} honest · buyers p99 {p99:.1} ms",
            attackers.len(),
            locked.len() - guilty
        ));
    }
    bar.finish_and_clear();
    Ok(())
}
