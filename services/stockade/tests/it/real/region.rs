//! A replica near buyers in another region: an origin on one Kafka, `stockade mirror`, and a replica on another Kafka.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use stockade_testkit::{Kafka, KafkaOptions, Process, wait_until};

use super::world::{PARTITIONS, PATIENCE, alone, key, possible, request};

const SUPPLIERS: [&str; 3] = ["acme", "brix", "crook"];
/// Goods that each supplier lists at the beginning.
const GOODS: usize = 8;
/// Short, so that the test sees it pass; longer than a mirror needs to come back.
const STALENESS_MAX_MS: &str = "12000";

struct Regions {
    origin_kafka: Kafka,
    far_kafka: Kafka,
    directory: tempfile::TempDir,
    operator: String,
    buyer: String,
    suppliers: Vec<String>,
    origin: Option<(Process, SocketAddr)>,
    mirror: Option<Process>,
    replica: Option<(Process, SocketAddr)>,
    started: usize,
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Regions {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let kafka = |name: &str| Kafka::start(&directory.path().join(name), KafkaOptions::default()).unwrap();
        let (origin_kafka, far_kafka) = (kafka("kafka"), kafka("far-kafka"));
        let keys = directory.path().join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        let mut regions = Self {
            origin_kafka,
            far_kafka,
            operator: key(&keys, &["--role", "operator", "--name", "op"]),
            buyer: key(&keys, &["--role", "buyer"]),
            suppliers: SUPPLIERS
                .iter()
                .map(|id| key(&keys, &["--role", "supplier", "--supplier", id]))
                .collect(),
            directory,
            origin: None,
            mirror: None,
            replica: None,
            started: 0,
        };
        regions.origin = Some(regions.serve("all", &regions.origin_kafka.addresses(), ""));
        regions
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command
            .args(arguments)
            .args(["--partitions", &PARTITIONS.to_string()])
            .env("STOCKADE_KEYS__FILE", self.directory.path().join("keys/keys.jsonl"))
            .env("RUST_LOG", "info,librdkafka=warn");
        command
    }

    fn log_of(&mut self, name: &str) -> PathBuf {
        self.started += 1;
        self.directory.path().join(format!("{name}-{}.txt", self.started))
    }

    fn serve(&self, role: &str, kafka: &str, origin: &str) -> (Process, SocketAddr) {
        let (process, log) = self.launch(role, kafka, origin);
        Self::ready(role, process, &log)
    }

    /// Starts a process; the file of what it says.
    fn launch(&self, role: &str, kafka: &str, origin: &str) -> (Process, PathBuf) {
        let data = self.directory.path().join(role);
        std::fs::create_dir_all(&data).unwrap();
        let mut command = self.command(&["serve", "--role", role, "--kafka", kafka]);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"]).arg(&data);
        command.env("STOCKADE_KAFKA__INSTANCE", role).env("STOCKADE_REPLICA__ORIGIN", origin);
        command.env("STOCKADE_REPLICA__STALENESS_MAX_MS", STALENESS_MAX_MS);
        let log = data.join(format!("log-{}.txt", self.started));
        (Process::start(role, command, &log).unwrap(), log)
    }

    /// Waits until it answers; where.
    fn ready(role: &str, mut process: Process, log: &Path) -> (Process, SocketAddr) {
        let address = || {
            let said = text(log);
            let line = said.lines().find(|line| line.starts_with("api http://"))?.to_owned();
            line.split_whitespace().nth(1)?.trim_start_matches("http://").parse::<SocketAddr>().ok()
        };
        let ready = wait_until(PATIENCE, || {
            let is = |api| request(api, "GET", "/readyz", "", "").is_ok_and(|(status, _)| status == 200);
            address().is_some_and(is) || !process.runs()
        });
        let api = address().filter(|_| ready && process.runs());
        (process, api.unwrap_or_else(|| panic!("{role} is not ready: {}", text(log))))
    }

    /// Starts a mirror and waits until it says that the copy is whole.
    fn start_mirror(&mut self) {
        let (from, to) = (self.origin_kafka.addresses(), self.far_kafka.addresses());
        let command = self.command(&["mirror", "--from", &from, "--to", &to]);
        let log = self.log_of("mirror");
        let process = Process::start("mirror", command, &log).unwrap();
        assert!(wait_until(PATIENCE, || text(&log).contains("the copy is whole")), "{}", text(&log));
        self.mirror = Some(process);
    }

    fn kill_mirror(&mut self) {
        self.mirror.take().unwrap().kill().unwrap();
    }

    fn start_replica(&mut self) {
        self.started += 1;
        let origin = format!("http://{}", self.origin());
        self.replica = Some(self.serve("replica", &self.far_kafka.addresses(), &origin));
    }

    fn origin(&self) -> SocketAddr {
        self.origin.as_ref().unwrap().1
    }

    fn replica(&self) -> SocketAddr {
        self.replica.as_ref().unwrap().1
    }

    /// A write at the origin, until it is taken.
    fn write(&self, method: &str, path: &str, key: &str, body: &Value) {
        let mut last = Value::Null;
        let done = wait_until(PATIENCE, || {
            let answer = request(self.origin(), method, path, key, &body.to_string());
            last = json!(format!("{answer:?}"));
            answer.is_ok_and(|(status, _)| (200..300).contains(&status))
        });
        assert!(done, "{method} {path}: {last}");
    }

    fn fill(&self) {
        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
        for (id, key) in SUPPLIERS.iter().zip(&self.suppliers) {
            let of = format!("/v1/suppliers/{id}");
            self.write("PUT", &of, &self.operator, &json!({ "name": id, "region": "DE" }));
            self.write("PUT", &format!("{of}/locations/main"), key, &place);
            for good in 0..GOODS {
                let body = json!({
                    "sku": format!("sku-{good}"), "location": "main", "on_hand": 1,
                    "price": { "minor": 100 + good, "currency": "EUR" },
                });
                self.write("PUT", &format!("{of}/listings/l-{good}"), key, &body);
            }
        }
    }

    /// Everything that buyers see at `api`, without when; `None` when they are not answered.
    fn seen(&self, api: SocketAddr) -> Option<Vec<Value>> {
        let goods: Vec<Value> = (0..GOODS).map(|good| json!({ "sku": format!("sku-{good}") })).collect();
        let body = json!({ "goods": goods }).to_string();
        let (status, answer) = request(api, "POST", "/v1/availability:query", &self.buyer, &body).ok()?;
        (status == 200).then(|| answer["results"].as_array().unwrap().clone())
    }

    #[track_caller]
    fn agree(&self, when: &str) {
        let mut last = (None, None);
        let agree = wait_until(PATIENCE, || {
            last = (self.seen(self.origin()), self.seen(self.replica()));
            last.0.is_some() && last.0 == last.1
        });
        assert!(agree, "{when}: {last:#?}\n{}", self.outputs());
    }

    fn outputs(&self) -> String {
        let replica = self.directory.path().join("replica");
        let files = std::fs::read_dir(replica).into_iter().flatten().flatten();
        let files = files.chain(std::fs::read_dir(self.directory.path()).into_iter().flatten().flatten());
        let logs = files.filter(|file| file.file_name().to_string_lossy().ends_with(".txt"));
        logs.map(|file| format!("{}:\n{}\n", file.path().display(), text(&file.path()))).collect()
    }
}

// It was seen to pass up to the refused writes; the rest has not been run yet.
#[test]
fn a_replica_in_another_region_shows_what_its_origin_shows_says_how_old_it_is_and_writes_nothing() {
    if !possible() {
        return;
    }
    let _alone = alone();
    let mut regions = Regions::start();
    regions.fill();
    // Both are started together: a replica waits for whoever makes the copy.
    let origin = format!("http://{}", regions.origin());
    let (mut early, log) = regions.launch("replica", &regions.far_kafka.addresses(), &origin);
    let waits = wait_until(PATIENCE, || text(&log).contains("waiting until a mirror makes one"));
    assert!(waits && early.runs(), "{}", text(&log));
    regions.start_mirror();
    regions.replica = Some(Regions::ready("replica", early, &log));
    assert!(!text(&log).contains("ERROR"), "a start is no failure: {}", text(&log));
    regions.agree("after the first copy");
    assert!(regions.seen(regions.replica()).unwrap()[0].to_string().contains("crook"));

    // Writes are refused with where to go, and nothing of them happens.
    let (buyer, acme) = (regions.buyer.clone(), regions.suppliers[0].clone());
    let refused = [
        ("PUT", "/v1/suppliers/acme/listings/l-0", &acme),
        ("POST", "/v1/suppliers/acme/listings/l-0/stock", &acme),
        ("POST", "/v1/suppliers/acme/inventory:batch", &acme),
        ("POST", "/v1/suppliers/acme/imports", &acme),
        ("POST", "/v1/reservations", &buyer),
        ("DELETE", "/v1/reservations/r-1", &buyer),
        ("POST", "/v1/events", &regions.operator),
        ("POST", "/v1/overrides", &regions.operator),
    ];
    for (method, path, key) in refused {
        let (status, body) = request(regions.replica(), method, path, key, "{}").unwrap();
        assert_eq!((status, body["code"].as_str()), (421, Some("read_only_replica")), "{method} {path}");
        assert_eq!(body["origin"], format!("http://{}{path}", regions.origin()), "{body}");
    }

    // A lock-out at the origin hides offers here.
    let deny = json!({ "supplier": "crook", "deny": "quarantine", "reason": "a test", "expires_at": "2099-01-31T00:00:00Z" });
    regions.write("POST", "/v1/overrides", &regions.operator, &deny);
    let hidden = wait_until(PATIENCE, || {
        regions.seen(regions.replica()).is_some_and(|seen| !format!("{seen:?}").contains("crook"))
    });
    assert!(hidden, "{}", regions.outputs());
    regions.agree("after the lock-out");

    // Whoever copies is killed again and again while stock changes by differences, each of which counts once.
    let (halt, changes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let changing: Vec<_> = (0..2)
        .map(|of| {
            let (halt, changes, api) = (halt.clone(), changes.clone(), regions.origin());
            let (id, key) = (SUPPLIERS[of], regions.suppliers[of].clone());
            std::thread::spawn(move || {
                for turn in 0_usize.. {
                    if halt.load(Ordering::SeqCst) {
                        return;
                    }
                    let path = format!("/v1/suppliers/{id}/listings/l-{}/stock", turn % GOODS);
                    let sent = request(api, "POST", &path, &key, r#"{"adjust":1}"#);
                    changes.fetch_add(
                        usize::from(sent.is_ok_and(|(status, _)| status == 200)),
                        Ordering::SeqCst,
                    );
                }
            })
        })
        .collect();
    let go_on = |regions: &Regions| {
        let before = changes.load(Ordering::SeqCst);
        let moved = wait_until(PATIENCE, || changes.load(Ordering::SeqCst) >= before + 100);
        assert!(moved, "{}", regions.outputs());
    };
    for _ in 0..3 {
        go_on(&regions);
        regions.kill_mirror();
        go_on(&regions);
        regions.start_mirror();
    }
    // So is the replica, which begins in the middle of the copy then.
    regions.replica.take().unwrap().0.kill().unwrap();
    go_on(&regions);
    regions.start_replica();
    go_on(&regions);
    halt.store(true, Ordering::SeqCst);
    changing.into_iter().for_each(|thread| thread.join().unwrap());
    regions.agree("after the mirror and the replica were killed");

    // Without a mirror what is shown gets older, and then nothing is shown.
    let staleness = |regions: &Regions| {
        let answer = request(regions.replica(), "GET", "/v1/availability?sku=sku-0", &regions.buyer, "");
        answer.map(|(status, body)| (status, body["staleness_ms"].as_i64(), body["code"].clone())).unwrap()
    };
    assert_eq!(staleness(&regions).0, 200);
    regions.kill_mirror();
    let older = wait_until(PATIENCE, || staleness(&regions).1.is_some_and(|ms| ms > 3_000));
    assert!(older, "{:?}", staleness(&regions));
    let refused = wait_until(PATIENCE, || staleness(&regions) == (503, None, json!("mirror_stale")));
    assert!(refused, "{:?}", staleness(&regions));
    assert_eq!(request(regions.replica(), "GET", "/readyz", "", "").unwrap().0, 503);
    // Meanwhile the origin locks another one, which is never seen again.
    let deny = json!({ "supplier": "brix", "deny": "quarantine", "reason": "a test", "expires_at": "2099-01-31T00:00:00Z" });
    regions.write("POST", "/v1/overrides", &regions.operator, &deny);
    let gone = wait_until(PATIENCE, || {
        regions.seen(regions.origin()).is_some_and(|seen| !format!("{seen:?}").contains("brix"))
    });
    assert!(gone);
    regions.start_mirror();
    let mut shown = None;
    assert!(wait_until(PATIENCE, || {
        shown = regions.seen(regions.replica());
        shown.is_some()
    }));
    assert!(
        !format!("{shown:?}").contains("brix"),
        "an offer was shown that was withheld before the copy was recent"
    );
    regions.agree("after the mirror came back");
    assert_eq!(request(regions.replica(), "GET", "/readyz", "", "").unwrap().0, 200);

    let (mut replica, _) = regions.replica.take().unwrap();
    replica.stop(Duration::from_secs(20)).unwrap();
    regions.mirror.take().unwrap().stop(Duration::from_secs(20)).unwrap();
}
