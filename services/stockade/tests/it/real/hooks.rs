//! Webhooks and the sandbox on Kafka and Redis: what is decided is told, signed, by whichever process comes after one that was killed; and
//! what is decided in the sandbox is nowhere live, neither in a topic, nor in Redis, nor at a buyer.

use std::{
    collections::BTreeSet, net::SocketAddr, path::Path, process::Command, sync::atomic::Ordering,
    time::Duration,
};

use serde_json::{Value, json};
use stockade_quarantine::QuarantineStore as _;
use stockade_quarantine_redis::RedisStore;
use stockade_testkit::{Kafka, KafkaOptions, Process, Redis, wait_until};

use super::world::{PARTITIONS, PATIENCE, Reader, alone, key, possible, request};
use crate::hooks::{Receiver, Sent};

/// A process of all roles.
struct Server {
    process: Process,
    api: SocketAddr,
}

fn start(data: &Path, kafka: &Kafka, redis: &Redis, number: usize) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--kafka", &kafka.addresses(), "--redis", &redis.url()])
        .args(["--partitions", &PARTITIONS.to_string(), "--data"])
        .arg(data)
        .env("STOCKADE_KAFKA__INSTANCE", "all")
        .env("STOCKADE_SANDBOX__ENABLED", "true")
        .env("STOCKADE_WEBHOOKS__ALLOW_LOOPBACK", "true")
        .env("STOCKADE_WEBHOOKS__KEY_FILE", data.join("webhooks.key"))
        .env("RUST_LOG", "info,librdkafka=warn");
    let log = data.join(format!("log-{number}.txt"));
    let mut server = Server {
        process: Process::start("all", command, &log).unwrap(),
        api: SocketAddr::from(([0, 0, 0, 0], 0)),
    };
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let ready = wait_until(PATIENCE, || {
        let text = said();
        let line = text.lines().find(|line| line.starts_with("api http://"));
        let address = line.and_then(|line| line.split_whitespace().nth(1));
        if let Some(api) = address.and_then(|it| it.trim_start_matches("http://").parse().ok()) {
            server.api = api;
        }
        request(server.api, "GET", "/readyz", "", "").is_ok_and(|(status, _)| status == 200)
    });
    assert!(ready, "it is not ready: {}", said());
    server
}

/// Keys of one of the two platforms.
struct Keys {
    operator: String,
    supplier: String,
    buyer: String,
}

impl Server {
    /// Asks until it is answered with one of these: the sandbox starts behind the live platform.
    fn call(&self, method: &str, path: &str, key: &str, body: &Value, fine: &[u16]) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut last = Value::Null;
        let answered = wait_until(PATIENCE, || {
            let answer = request(self.api, method, path, key, &body);
            let is_fine = answer.as_ref().is_ok_and(|(status, _)| fine.contains(status));
            last = answer.map_or(Value::Null, |(_, told)| told);
            is_fine
        });
        assert!(answered, "{method} {path}: {last}");
        last
    }

    /// Registers a supplier with an offer, and waits until a buyer sees that.
    fn trade(&self, keys: &Keys) {
        let registered = json!({ "name": "Acme", "region": "DE" });
        self.call("PUT", "/v1/suppliers/acme", &keys.operator, &registered, &[200]);
        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
        self.call("PUT", "/v1/suppliers/acme/locations/main", &keys.supplier, &place, &[200]);
        let listing = json!({
            "sku": "SKU-1", "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 7,
        });
        self.call("PUT", "/v1/suppliers/acme/listings/l-1", &keys.supplier, &listing, &[200]);
        assert!(wait_until(PATIENCE, || self.offers(keys) == 1), "it is not offered");
    }

    fn offers(&self, keys: &Keys) -> usize {
        let told = self.call("GET", "/v1/availability?sku=SKU-1", &keys.buyer, &Value::Null, &[200]);
        told["offers"].as_array().map_or(0, Vec::len)
    }

    /// The secret of an endpoint that is made.
    fn hears(&self, key: &str, receiver: &Receiver) -> String {
        let made = self.call("POST", "/v1/webhooks", key, &json!({ "url": receiver.url }), &[201]);
        made["secret"].as_str().unwrap().to_owned()
    }
}

/// How many suppliers Redis has something in force of, under a prefix.
fn stored(redis: &Redis, prefix: &str) -> usize {
    let store = RedisStore::new(&redis.url(), prefix, Duration::from_secs(5)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.since(None)).unwrap().len()
}

fn restricted(receiver: &Receiver) -> Vec<Sent> {
    receiver.of("decision.restricted")
}

/// What a receiver was told, whatever was told more than once.
fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.sent().into_iter().map(|sent| sent.id).collect()
}

/// Once a receiver was told of a restriction and has not taken it, the process is killed; the next one tells it again, and it is taken.
fn killed_and_told(
    mut server: Server,
    receiver: &Receiver,
    next: impl FnOnce() -> Server,
) -> (Server, Vec<Sent>) {
    assert!(wait_until(PATIENCE, || !restricted(receiver).is_empty()), "it is not told");
    server.process.kill().unwrap();
    let attempts = receiver.sent().len();
    receiver.takes.store(true, Ordering::SeqCst);
    let server = next();
    assert!(wait_until(PATIENCE, || receiver.sent().len() > attempts), "the next process does not tell it");
    (server, restricted(receiver))
}

#[test]
fn a_decision_is_told_signed_after_a_kill_and_one_of_the_sandbox_is_nowhere_live() {
    if !possible() {
        return;
    }
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&directory.path().join("kafka"), KafkaOptions::default()).unwrap();
    let redis = Redis::start(&directory.path().join("redis")).unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let keys = |sandbox: &[&str]| {
        let make = |args: &[&str]| key(&data, &[args, sandbox].concat());
        Keys {
            operator: make(&["--role", "operator", "--name", "op"]),
            supplier: make(&["--role", "supplier", "--supplier", "acme"]),
            buyer: make(&["--role", "buyer"]),
        }
    };
    let (live, test) = (keys(&[]), keys(&["--sandbox"]));
    let server = start(&data, &kafka, &redis, 1);
    server.trade(&live);
    server.trade(&test);
    let [at_live, at_test] = [Receiver::start(true), Receiver::start(false)];
    let (live_secret, test_secret) =
        (server.hears(&live.supplier, &at_live), server.hears(&test.supplier, &at_test));
    assert_ne!(live_secret, test_secret);

    // A decision in the sandbox: its receiver does not take it, and the process is killed.
    let restrict = json!({ "level": "quarantine" });
    server.call("POST", "/v1/sandbox/suppliers/acme/restrict", &test.supplier, &restrict, &[200]);
    let (server, told) = killed_and_told(server, &at_test, || start(&data, &kafka, &redis, 2));
    assert!(told.iter().all(|sent| sent.id == told[0].id && sent.is_signed_with(&test_secret)));
    assert!(!told[0].is_signed_with(&live_secret));

    // Nothing of it is live.
    assert!(wait_until(PATIENCE, || server.offers(&test) == 0), "it is shown in the sandbox");
    assert_eq!(server.offers(&live), 1);
    let standing =
        |keys: &Keys| server.call("GET", "/v1/suppliers/acme/standing", &keys.supplier, &Value::Null, &[200]);
    assert_eq!((&standing(&live)["level"], &standing(&test)["level"]), (&Value::Null, &json!("quarantine")));
    assert!(Reader::open(&kafka.addresses()).fold_of_decisions().is_empty(), "no topic that is live has it");
    assert!(wait_until(PATIENCE, || stored(&redis, "stockade-sandbox") == 1), "Redis has it");
    assert_eq!(stored(&redis, "stockade"), 0);
    assert!(at_live.sent().is_empty());

    // And a live one is told to the live receiver alone, across another kill.
    let before = ids(&at_test);
    at_live.takes.store(false, Ordering::SeqCst);
    let deny = json!({
        "supplier": "acme", "deny": "quarantine", "scope": { "kind": "supplier" }, "reason": "seen by hand",
        "expires_at": "2999-01-01T00:00:00Z",
    });
    server.call("POST", "/v1/overrides", &live.operator, &deny, &[200, 202]);
    let (mut server, told) = killed_and_told(server, &at_live, || start(&data, &kafka, &redis, 3));
    assert!(told.iter().all(|sent| sent.id == told[0].id && sent.is_signed_with(&live_secret)));
    assert!(wait_until(PATIENCE, || server.offers(&live) == 0), "it is still shown");
    // What was tried just before the kill may be tried again.
    assert_eq!(ids(&at_test), before, "the sandbox hears nothing of it");
    let decided = Reader::open(&kafka.addresses()).fold_of_decisions();
    assert_eq!(decided.keys().collect::<Vec<_>>(), ["acme"]);
    server.process.stop(Duration::from_secs(20)).unwrap();
}
