//! A Kafka, a Redis, processes of each role, and a load that remembers what it was promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stockade::platform::topic_spec;
use stockade_log::{Log as _, ReadLimit};
use stockade_log_kafka::{KafkaLog, KafkaOptions};
use stockade_model::{DeadLetter, Decision, Envelope, Payload, Topic};
use stockade_quarantine::{Entry, QuarantineStore as _};
use stockade_quarantine_redis::RedisStore;
use stockade_runtime::clock;
use stockade_testkit::{Kafka, Process, Proxy, Redis, free_ports, wait_until};

pub(crate) const PARTITIONS: u32 = 4;
const HONEST: usize = 4;
/// Longer than any take-over: session time-out, open transactions, restart.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// A buyer who got no answer from any replica for this long was not answered.
const BUYER_PATIENCE: Duration = Duration::from_secs(3);

/// Whether the servers these tests need can be had here; says so when not.
pub(crate) fn possible() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let possible = has("java") && has("redis-server");
    if !possible {
        eprintln!(
            "skipped: these tests start Kafka and Redis; install a JDK of 17 or later, maven and redis-server"
        );
    }
    possible
}

/// A running `stockade serve`.
pub(crate) struct Server {
    pub(crate) role: &'static str,
    pub(crate) process: Process,
    pub(crate) api: SocketAddr,
    log: PathBuf,
    /// Which of the processes started it is: its name, and that of its directory.
    pub(crate) number: usize,
}

pub(crate) fn request(
    api: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect_timeout(&api, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split_whitespace().nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

pub(crate) struct Keys {
    pub(crate) operator: String,
    pub(crate) buyer: String,
    orders: String,
    pub(crate) suppliers: BTreeMap<String, String>,
}

/// What the load was promised.
#[derive(Default)]
pub(crate) struct Promises {
    /// Ids of events answered with 202.
    events: Mutex<BTreeSet<String>>,
    /// Listings answered with 200 or 202: supplier and listing.
    listings: Mutex<BTreeSet<(String, String)>>,
    /// Buyers who got no answer in time.
    unanswered: AtomicUsize,
    answered: AtomicUsize,
}

pub(crate) struct World {
    pub(crate) kafka: Kafka,
    pub(crate) redis: Redis,
    pub(crate) proxy: Proxy,
    pub(crate) servers: Vec<Server>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) keys: Arc<Keys>,
    pub(crate) promises: Arc<Promises>,
    /// Addresses of the inventory replicas, for the load.
    pub(crate) fronts: Arc<Mutex<Vec<SocketAddr>>>,
    halt: Arc<AtomicBool>,
    load: Vec<JoinHandle<()>>,
    started: usize,
    bad: usize,
    cheats: usize,
    /// One world at a time: a Kafka and six processes are enough for two cores.
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

/// Waits until no other world runs. A world that failed is no reason for the next one not to be tried.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn key(file: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["keys", "create", "--data"])
        .arg(file)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl World {
    /// Two processes of each role, suppliers registered, nothing under load yet; `cheats` of them will cheat.
    pub(crate) fn start(cheats: usize) -> Self {
        let alone = alone();
        let directory = tempfile::tempdir().unwrap();
        let front = free_ports(1).unwrap()[0];
        let options = stockade_testkit::KafkaOptions { advertised: Some(vec![front]), ..Default::default() };
        let kafka = Kafka::start(&directory.path().join("kafka"), options).unwrap();
        let proxy = Proxy::start(front, SocketAddr::from(([127, 0, 0, 1], kafka.ports()[0]))).unwrap();
        let redis = Redis::start(&directory.path().join("redis")).unwrap();
        let keys_at = directory.path().join("keys");
        std::fs::create_dir_all(&keys_at).unwrap();
        // Nearly everybody here cheats, which the arbiter would take for a broken yardstick.
        let rules = format!("trust_up_to: 1000\n{}", stockade_lockout::STARTER_RULES);
        std::fs::write(directory.path().join("rules.yaml"), rules).unwrap();
        let mut suppliers = BTreeMap::new();
        for number in 0..HONEST {
            let id = format!("honest-{number}");
            suppliers.insert(id.clone(), key(&keys_at, &["--role", "supplier", "--supplier", &id]));
        }
        for number in 0..cheats {
            let id = format!("bad-{number}");
            suppliers.insert(id.clone(), key(&keys_at, &["--role", "supplier", "--supplier", &id]));
        }
        let keys = Keys {
            operator: key(&keys_at, &["--role", "operator", "--name", "op"]),
            buyer: key(&keys_at, &["--role", "buyer"]),
            orders: key(&keys_at, &["--role", "order-system"]),
            suppliers,
        };
        let mut world = Self {
            kafka,
            redis,
            proxy,
            servers: Vec::new(),
            directory,
            keys: Arc::new(keys),
            promises: Arc::default(),
            fronts: Arc::default(),
            halt: Arc::default(),
            load: Vec::new(),
            started: 0,
            bad: 0,
            cheats,
            _alone: alone,
        };
        for role in ["lockout", "scoring", "inventory", "inventory", "scoring", "lockout"] {
            world.add(role, None);
        }
        for number in 0..HONEST {
            world.register(&format!("honest-{number}"));
        }
        for number in 0..cheats {
            world.prepare(&format!("bad-{number}"));
        }
        world
    }

    /// Starts another process of a role, with a failpoint if one is given, and waits until it is ready.
    pub(crate) fn add(&mut self, role: &'static str, failpoint: Option<&str>) -> usize {
        self.started += 1;
        self.launch(role, self.started, failpoint)
    }

    /// Takes a process away without asking it and starts it again on what it had.
    pub(crate) fn revive(&mut self, index: usize) -> usize {
        let (role, number) = (self.servers[index].role, self.servers[index].number);
        let log = self.servers[index].log.clone();
        self.kill(index);
        std::fs::rename(&log, log.with_extension("before")).unwrap();
        self.launch(role, number, None)
    }

    fn launch(&mut self, role: &'static str, number: usize, failpoint: Option<&str>) -> usize {
        let data = self.directory.path().join(format!("{role}-{number}"));
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command
            .args(["serve", "--role", role, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--kafka", &self.kafka.addresses(), "--redis", &self.redis.url()])
            .args(["--partitions", &PARTITIONS.to_string(), "--data"])
            .arg(&data)
            .env("STOCKADE_KEYS__FILE", self.directory.path().join("keys/keys.jsonl"))
            .env("STOCKADE_RULES__FILE", self.directory.path().join("rules.yaml"))
            .env("STOCKADE_KAFKA__INSTANCE", format!("{role}-{number}"))
            // As often as they can be kept.
            .env("STOCKADE_PICTURE__EVERY_S", "1")
            .env("RUST_LOG", "info,librdkafka=warn");
        if let Some(place) = failpoint {
            command.env("STOCKADE_TEST_FAILPOINT", place);
        }
        let log = data.join("log.txt");
        let process = Process::start(role, command, &log).unwrap();
        let mut server = Server { role, process, api: SocketAddr::from(([0, 0, 0, 0], 0)), log, number };
        let address = |text: &str| {
            let line = text.lines().find(|line| line.starts_with("api http://"))?;
            line.split_whitespace().nth(1)?.trim_start_matches("http://").parse().ok()
        };
        let up = wait_until(PATIENCE, || {
            let text = std::fs::read_to_string(&server.log).unwrap_or_default();
            server.api = address(&text).unwrap_or(server.api);
            server.api.port() != 0 || !server.process.runs()
        });
        // A failpoint may be met before the process has said its address: that victim is dead already, as was asked.
        let died_as_asked = failpoint.is_some_and(|place| {
            let place = place.split('@').next().unwrap_or(place);
            server.output().contains(&format!("failpoint {place} ends the process"))
        });
        assert!(up && (server.api.port() != 0 || died_as_asked), "{role} did not start: {}", server.output());
        if failpoint.is_none() {
            let ready = wait_until(PATIENCE, || {
                request(server.api, "GET", "/readyz", "", "").is_ok_and(|(status, _)| status == 200)
            });
            assert!(ready, "{role} is not ready: {}", server.output());
        }
        if role == "inventory" && server.api.port() != 0 {
            self.fronts.lock().unwrap().push(server.api);
        }
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Takes a process away without asking it.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut server = self.servers.remove(index);
        self.fronts.lock().unwrap().retain(|front| *front != server.api);
        server.process.kill().unwrap();
    }

    /// Asks a process to end; it must do so cleanly.
    pub(crate) fn stop(&mut self, index: usize) {
        let mut server = self.servers.remove(index);
        // As a load balancer does before a pod is stopped.
        self.fronts.lock().unwrap().retain(|front| *front != server.api);
        server.process.stop(Duration::from_secs(20)).unwrap();
        assert!(
            !server.output().contains("error:"),
            "{} did not end cleanly: {}",
            server.role,
            server.output()
        );
    }

    pub(crate) fn of_role(&self, role: &str) -> Vec<usize> {
        (0..self.servers.len()).filter(|index| self.servers[*index].role == role).collect()
    }

    pub(crate) fn front(&self) -> SocketAddr {
        self.fronts.lock().unwrap()[0]
    }

    fn register(&self, id: &str) {
        let body = json!({ "name": id, "region": "DE", "since": "2020-01-01T00:00:00Z" }).to_string();
        let keys = &self.keys;
        let done = wait_until(PATIENCE, || {
            let path = format!("/v1/suppliers/{id}");
            request(self.front(), "PUT", &path, &keys.operator, &body).is_ok_and(|(status, _)| status == 200)
        });
        assert!(done, "{id} could not be registered");
        let place =
            json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 }).to_string();
        let done = wait_until(PATIENCE, || {
            let path = format!("/v1/suppliers/{id}/locations/main");
            request(self.front(), "PUT", &path, &keys.suppliers[id], &place)
                .is_ok_and(|(status, _)| status == 200)
        });
        assert!(done, "{id} could not be given a location");
    }

    /// Suppliers list, order systems report and buyers ask, until the world is checked.
    pub(crate) fn begin_load(&mut self) {
        self.halt.store(false, Ordering::SeqCst);
        self.begin(&[supplier_load as fn(&Load), order_load, buyer_load]);
    }

    /// More order systems than usual, each as fast as it is answered, until the world is checked.
    pub(crate) fn flood(&mut self) {
        self.begin(&[flood::<0>, flood::<1>, flood::<2>, flood::<3>, flood::<4>, flood::<5>]);
    }

    fn begin(&mut self, workers: &[fn(&Load)]) {
        let round = self.started;
        for worker in workers.iter().copied() {
            let load = Load {
                keys: self.keys.clone(),
                promises: self.promises.clone(),
                fronts: self.fronts.clone(),
                halt: self.halt.clone(),
                round,
            };
            self.load.push(std::thread::spawn(move || worker(&load)));
        }
    }

    /// Each honest supplier gives the replica at `index` a file of so many rows, each of which counts as promised once it is
    /// taken on; the imports.
    pub(crate) fn storm(&self, index: usize, rows: usize) -> Vec<(String, String)> {
        let begin = |number: usize| {
            let supplier = format!("honest-{number}");
            let mut file = "listing,sku,location,price,currency,on_hand\n".to_owned();
            for row in 0..rows {
                file += &format!("i-{number}-{row},i-{number}-{row},main,1.50,EUR,{}\n", row + 1);
            }
            let path = format!("/v1/suppliers/{supplier}/imports");
            let key = &self.keys.suppliers[&supplier];
            let mut told = Value::Null;
            // A replica that is behind puts imports off, and whoever sends one waits and sends it again.
            let taken = wait_until(PATIENCE, || {
                request(self.servers[index].api, "POST", &path, key, &file).is_ok_and(|(status, answer)| {
                    told = answer;
                    status == 202
                })
            });
            assert!(taken, "{told}");
            // Every so manieth is asked for at the end, at every replica.
            let mut promised = self.promises.listings.lock().unwrap();
            promised.extend(
                (0..rows)
                    .step_by(97)
                    .chain([rows - 1])
                    .map(|row| (supplier.clone(), format!("i-{number}-{row}"))),
            );
            (supplier, told["import"].as_str().unwrap().to_owned())
        };
        (0..HONEST).map(begin).collect()
    }

    /// How far an import is, as its replica says.
    pub(crate) fn import(&self, index: usize, (supplier, import): &(String, String)) -> Value {
        let path = format!("/v1/suppliers/{supplier}/imports/{import}");
        request(self.servers[index].api, "GET", &path, &self.keys.suppliers[supplier], "")
            .map_or(Value::Null, |(_, told)| told)
    }

    /// Waits until the load got so many more promises.
    pub(crate) fn progress(&self, events: usize) {
        let count = || self.promises.events.lock().unwrap().len();
        let before = count();
        let moved = wait_until(PATIENCE, || count() >= before + events);
        assert!(moved, "the load got no further: {} of {events} events", count() - before);
    }

    pub(crate) fn end_load(&mut self) {
        self.halt.store(true, Ordering::SeqCst);
        self.load.drain(..).for_each(|thread| thread.join().unwrap());
    }

    /// A new supplier lists something, cheats, and has to disappear from every replica.
    pub(crate) fn cheat(&mut self) {
        let id = self.cheat_begin();
        let gone = wait_until(PATIENCE, || self.sees(&format!("sku-{id}")).iter().all(|seen| !seen));
        assert!(gone, "{id} is still offered: {}", self.outputs());
    }

    /// The same without waiting for the outcome.
    pub(crate) fn cheat_begin(&mut self) -> String {
        let id = format!("bad-{}", self.bad);
        self.bad += 1;
        for order in 0..12 {
            for (kind, cause) in [("placed", Value::Null), ("cancelled", json!("supplier"))] {
                let event =
                    event(&format!("{id}-{order}-{kind}"), kind, &id, &format!("{id}-{order}"), &cause);
                let sent = || {
                    request(self.front(), "POST", "/v1/events", &self.keys.orders, &event)
                        .is_ok_and(|(s, _)| s == 202)
                };
                assert!(wait_until(PATIENCE, sent));
            }
        }
        id
    }

    /// Suppliers that have not cheated yet.
    pub(crate) fn cheats_left(&self) -> usize {
        self.cheats - self.bad
    }

    /// Takes a replica from the load, as a load balancer does with one that does not answer its probe.
    pub(crate) fn hide(&self, index: usize) -> SocketAddr {
        let front = self.servers[index].api;
        self.fronts.lock().unwrap().retain(|other| *other != front);
        front
    }

    /// Gives it back.
    pub(crate) fn show(&self, front: SocketAddr) {
        self.fronts.lock().unwrap().push(front);
    }

    /// Registers a supplier and lets it list something.
    fn prepare(&self, id: &str) {
        self.register(id);
        let body = json!({
            "sku": format!("sku-{id}"), "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 5,
        });
        let path = format!("/v1/suppliers/{id}/listings/l");
        let key = self.keys.suppliers[id].clone();
        let put = || {
            request(self.front(), "PUT", &path, &key, &body.to_string())
                .is_ok_and(|(s, _)| s == 200 || s == 202)
        };
        assert!(wait_until(PATIENCE, put), "{id} could not list");
        assert!(
            wait_until(PATIENCE, || self.sees(&format!("sku-{id}")).iter().any(|seen| *seen)),
            "{id} is not offered"
        );
    }

    /// Whether each inventory replica offers the SKU.
    pub(crate) fn sees(&self, sku: &str) -> Vec<bool> {
        let fronts = self.fronts.lock().unwrap().clone();
        let path = format!("/v1/availability?sku={sku}");
        let sees = |front| {
            request(front, "GET", &path, &self.keys.buyer, "")
                .ok()
                .filter(|(status, _)| *status == 200)
                .is_some_and(|(_, body)| body["offers"].as_array().is_some_and(|offers| !offers.is_empty()))
        };
        fronts.into_iter().map(sees).collect()
    }

    pub(crate) fn outputs(&self) -> String {
        self.servers.iter().map(|server| format!("--- {}\n{}", server.role, server.output())).collect()
    }

    pub(crate) fn store(&self) -> RedisStore {
        RedisStore::new(&self.redis.url(), "stockade", Duration::from_secs(5)).unwrap()
    }

    pub(crate) fn stored(&self) -> Option<Vec<Entry>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.store().since(None)).ok()
    }

    /// Ends the load and checks everything that must hold, whatever happened.
    pub(crate) fn check(&mut self) {
        self.check_with_dead_letters(0);
    }

    /// The same where so many dead letters were written on purpose.
    pub(crate) fn check_with_dead_letters(&mut self, dead_letters: usize) {
        self.end_load();
        let reader = Reader::open(&self.kafka.addresses());
        let events = self.promises.events.lock().unwrap().clone();

        // Every acknowledged event scored exactly once, or dead-lettered.
        let mut scored = BTreeMap::new();
        let all_there = wait_until(PATIENCE, || {
            scored = reader.scored();
            events.iter().all(|id| scored.contains_key(id))
        });
        let missing: Vec<_> = events.iter().filter(|id| !scored.contains_key(*id)).collect();
        assert!(
            all_there,
            "{} of {} events never scored: {missing:?}\n{}",
            missing.len(),
            events.len(),
            self.outputs()
        );
        let repeated: Vec<_> =
            scored.iter().filter(|(id, count)| events.contains(*id) && **count != 1).collect();
        assert!(repeated.is_empty(), "scored more than once: {repeated:?}");
        assert_eq!(reader.dead_letters().len(), dead_letters, "nothing else is poison");

        // Redis is the fold of the decisions.
        let fold = reader.fold_of_decisions();
        let mut stored = BTreeMap::new();
        let equal = wait_until(PATIENCE, || {
            let entries = self.stored().unwrap_or_default();
            stored = entries
                .into_iter()
                .map(|entry| (entry.supplier.to_string(), entry.version.to_string()))
                .collect();
            stored
                == fold.iter().map(|(id, d)| (id.clone(), d.version.to_string())).collect::<BTreeMap<_, _>>()
        });
        assert!(equal, "Redis {stored:?}\nfold {:?}\n{}", fold.keys(), self.outputs());

        // The overlay of every replica is too: who is withheld is not offered anywhere, everybody else is everywhere.
        for (id, decision) in &fold {
            let withheld = decision.in_force.iter().any(|restriction| restriction.level.withholds());
            let seen = self.sees(&format!("sku-{id}"));
            assert!(seen.iter().all(|seen| *seen != withheld), "{id}: withheld {withheld}, seen {seen:?}");
            assert!(id.starts_with("bad-"), "{id} is honest: {decision:?}");
        }
        let listings = self.promises.listings.lock().unwrap().clone();
        for (_, listing) in &listings {
            let everywhere = wait_until(PATIENCE, || self.sees(listing).iter().all(|seen| *seen));
            assert!(everywhere, "{listing} was acknowledged and is not offered: {}", self.outputs());
        }
        let (unanswered, answered) =
            (self.promises.unanswered.load(Ordering::SeqCst), self.promises.answered.load(Ordering::SeqCst));
        assert_eq!(unanswered, 0, "buyers without an answer, {answered} with one");
        eprintln!(
            "{} events, {} listings, {} locked, {answered} buyers answered",
            events.len(),
            listings.len(),
            fold.len()
        );
    }
}

impl Server {
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Reads topics from the side.
pub(crate) struct Reader(KafkaLog);

impl Reader {
    pub(crate) fn open(brokers: &str) -> Self {
        let log = KafkaLog::open(KafkaOptions::new(brokers, "reader"), clock::system_clock()).unwrap();
        for topic in Topic::ALL {
            log.ensure_topic(&topic_spec(topic, PARTITIONS)).unwrap();
        }
        Self(log)
    }

    /// Appends one record and gives its offset.
    pub(crate) fn append(&self, batch: Vec<stockade_log::NewRecord>, ack: stockade_log::Ack) -> u64 {
        self.0.append(batch, ack).wait().unwrap()[0].offset
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        self.each(Topic::DeadLetters, |_, _, payload| {
            if let Payload::DeadLetter(letter) = payload {
                letters.push(letter);
            }
        });
        letters
    }

    /// Every record of a partition that can be read.
    pub(crate) fn records(&self, topic: Topic, partition: u32, mut each: impl FnMut(&stockade_log::Record)) {
        let mut next = 0;
        loop {
            let records = self.0.read(topic.name(), partition, next, ReadLimit::default()).unwrap();
            let Some(last) = records.last() else { return };
            next = last.offset + 1;
            records.iter().for_each(&mut each);
        }
    }

    /// Everything of a topic that can be read.
    fn each(&self, topic: Topic, mut each: impl FnMut(u32, Envelope, Payload)) {
        for partition in 0..topic.partitions(PARTITIONS) {
            let mut next = 0;
            loop {
                let records = self.0.read(topic.name(), partition, next, ReadLimit::default()).unwrap();
                let Some(last) = records.last() else { break };
                next = last.offset + 1;
                for record in &records {
                    let headers = record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
                    let envelope = Envelope::from_headers(headers).unwrap_or_default();
                    if let Ok(payload) = Payload::decode(&envelope.kind, &record.value) {
                        each(partition, envelope, payload);
                    }
                }
            }
        }
    }

    /// How often each event is the cause of a score, as receivers count: what is not after the last position is a repeat.
    fn scored(&self) -> BTreeMap<String, usize> {
        let (mut last, mut counts) = (BTreeMap::new(), BTreeMap::new());
        self.each(Topic::SupplierScores, |partition, envelope, payload| {
            let (Payload::Score(_), Some(position)) = (payload, envelope.position) else { return };
            let order = position.order();
            if last.get(&(partition, position.partition)).is_none_or(|last| order > *last) {
                last.insert((partition, position.partition), order);
                *counts.entry(envelope.cause.unwrap().id).or_insert(0) += 1;
            }
        });
        counts
    }

    pub(crate) fn fold_of_decisions(&self) -> BTreeMap<String, Decision> {
        let mut fold: BTreeMap<String, Decision> = BTreeMap::new();
        self.each(Topic::LockoutDecisions, |_, _, payload| {
            let Payload::Decision(decision) = payload else { return };
            let known = fold.get(decision.supplier.as_str());
            if known.is_none_or(|known| known.version.order() < decision.version.order()) {
                fold.insert(decision.supplier.to_string(), decision);
            }
        });
        fold
    }
}

struct Load {
    keys: Arc<Keys>,
    promises: Arc<Promises>,
    fronts: Arc<Mutex<Vec<SocketAddr>>>,
    halt: Arc<AtomicBool>,
    round: usize,
}

impl Load {
    fn halted(&self) -> bool {
        self.halt.load(Ordering::SeqCst)
    }
    /// Asks replica after replica until one gives an answer that is not a failure of the service.
    fn call(&self, turn: usize, method: &str, path: &str, key: &str, body: &str) -> Option<(u16, Value)> {
        let fronts = self.fronts.lock().unwrap().clone();
        (0..fronts.len()).find_map(|step| {
            let front = fronts[(turn + step) % fronts.len()];
            request(front, method, path, key, body).ok().filter(|(status, _)| *status < 500)
        })
    }
}

fn event(id: &str, kind: &str, supplier: &str, order: &str, cause: &Value) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "test", "type": format!("stockade.order.{kind}"),
        "data": { "supplier": supplier, "order": order, "buyer": format!("buyer-{order}"), "cause": cause },
    })
    .to_string()
}

fn supplier_load(load: &Load) {
    let mut turn = 0;
    while !load.halted() {
        turn += 1;
        let supplier = format!("honest-{}", turn % HONEST);
        let listing = format!("l-{}-{turn}", load.round);
        let body = json!({
            "sku": listing, "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": turn,
        });
        let path = format!("/v1/suppliers/{supplier}/listings/{listing}");
        // An integrator repeats what was not answered.
        while !load.halted() {
            let answer = load.call(turn, "PUT", &path, &load.keys.suppliers[&supplier], &body.to_string());
            if answer.is_some_and(|(status, _)| status == 200 || status == 202) {
                load.promises.listings.lock().unwrap().insert((supplier.clone(), listing.clone()));
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        std::thread::park_timeout(Duration::from_millis(60));
    }
}

/// Tells of an order until that is acknowledged: an order system repeats what was not answered, after a pause.
fn place_order(load: &Load, turn: usize, id: String, pause: Duration) {
    let body = event(&id, "placed", &format!("honest-{}", turn % HONEST), &id, &Value::Null);
    while !load.halted() {
        let answer = load.call(turn, "POST", "/v1/events", &load.keys.orders, &body);
        if answer.is_some_and(|(status, _)| status == 202) {
            load.promises.events.lock().unwrap().insert(id);
            return;
        }
        std::thread::park_timeout(pause);
    }
}

fn order_load(load: &Load) {
    let mut turn = 0;
    while !load.halted() {
        turn += 1;
        place_order(load, turn, format!("e-{}-{turn}", load.round), Duration::from_millis(50));
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Order events as fast as they are answered. What is not acknowledged is sent again, as an integrator does.
fn flood<const WORKER: usize>(load: &Load) {
    let mut turn = 0;
    while !load.halted() {
        turn += 1;
        place_order(load, turn, format!("f-{WORKER}-{}-{turn}", load.round), Duration::from_millis(20));
    }
}

fn buyer_load(load: &Load) {
    let mut turn = 0;
    while !load.halted() {
        turn += 1;
        let path = format!("/v1/availability?sku=l-{}-{}", load.round, turn % 50);
        let begun = Instant::now();
        loop {
            if load.call(turn, "GET", &path, &load.keys.buyer, "").is_some_and(|(status, _)| status == 200) {
                load.promises.answered.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if begun.elapsed() > BUYER_PATIENCE {
                load.promises.unanswered.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
