//! The sandbox by the real binary: what happens there, and that nothing of it happens to the live platform.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    hooks::Receiver,
    slow::{Server, binary, key, until},
};

const ON: [(&str, &str); 2] =
    [("STOCKADE_SANDBOX__ENABLED", "true"), ("STOCKADE_WEBHOOKS__ALLOW_LOOPBACK", "true")];

/// Registers a supplier with an offer.
fn trade(server: &Server, operator: &str, supplier: &str) {
    let put = |path: &str, key: &str, body: Value| {
        let (status, said) = server.call("PUT", path, key, &body.to_string());
        assert_eq!(status, 200, "{path}: {said}");
    };
    put("/v1/suppliers/acme", operator, json!({ "name": "Acme", "region": "DE" }));
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
    put("/v1/suppliers/acme/locations/main", supplier, place);
    let listing = json!({
        "sku": "SKU-1", "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 7,
    });
    put("/v1/suppliers/acme/listings/l-1", supplier, listing);
}

fn offers(server: &Server, buyer: &str) -> Value {
    let (status, answer) = server.call("GET", "/v1/availability?sku=SKU-1", buyer, "");
    assert_eq!(status, 200, "{answer}");
    answer["offers"].clone()
}

/// Figures that say what was done, without those of time, of memory and of the very questions that this test asks.
fn figures(server: &Server) -> BTreeMap<String, String> {
    let mut stream = TcpStream::connect(&server.admin).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let counted = [
        "stockade_lockout_",
        "stockade_scoring_",
        "stockade_webhooks_",
        "stockade_inventory_stream",
        "dead_letters",
    ];
    let moving = ["seconds", "staleness", "age", "lag"];
    let is_counted = |line: &&str| {
        counted.iter().any(|name| line.starts_with(name) || (line.contains(name) && !line.starts_with('#')))
            && !moving.iter().any(|name| line.contains(name))
    };
    let pair = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let figures: BTreeMap<String, String> = text.lines().filter(is_counted).filter_map(pair).collect();
    assert!(figures.contains_key("stockade_webhooks_endpoints"), "{text}");
    figures
}

/// Opens a stream of changes of the offer.
fn watch(server: &Server, buyer: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(&server.api).unwrap();
    let path = "/v1/availability/stream?sku=SKU-1";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {buyer}\r\n\r\n").unwrap();
    BufReader::new(stream)
}

/// Reads until an event of this name.
fn next(stream: &mut BufReader<TcpStream>, event: &str) {
    let mut line = String::new();
    while line.trim() != format!("event: {event}") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended before {event}");
    }
}

/// How many decisions a directory holds.
fn decisions(data: &Path) -> String {
    let output = binary().args(["audit", "verify", "--data"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_happens_in_the_sandbox_happens_to_nobody_live_and_neither_sees_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let keys = |sandbox: &[&str]| {
        let make = |args: &[&str]| key(data, &[args, sandbox].concat());
        (
            make(&["--role", "operator", "--name", "op"]),
            make(&["--role", "supplier", "--supplier", "acme"]),
            make(&["--role", "buyer"]),
        )
    };
    let (live, test) = (keys(&[]), keys(&["--sandbox"]));
    assert!(test.1.starts_with("sk_test_") && !live.1.starts_with("sk_test_"));
    let server = Server::start_with(data, &ON);
    until("the sandbox answers", || server.call("GET", "/v1/suppliers", &test.0, "").0 == 200);
    trade(&server, &live.0, &live.1);
    assert_eq!(
        server.call("GET", "/v1/suppliers/acme/standing", &test.1, "").0,
        404,
        "nobody is known there"
    );
    trade(&server, &test.0, &test.1);
    until("both are shown", || {
        [&live.2, &test.2]
            .iter()
            .all(|buyer| offers(&server, buyer).as_array().is_some_and(|it| it.len() == 1))
    });
    let receivers = [Receiver::start(true), Receiver::start(true)];
    for (receiver, key) in receivers.iter().zip([&live.1, &test.1]) {
        let made = server.call("POST", "/v1/webhooks", key, &json!({ "url": receiver.url }).to_string());
        assert_eq!(made.0, 201, "{}", made.1);
    }
    let look = || {
        let get = |path: &str, key: &str| server.call("GET", path, key, "").1;
        let mut standing = vec![
            offers(&server, &live.2),
            get("/v1/suppliers/acme/standing", &live.1),
            get("/v1/suppliers/acme/listings/l-1", &live.1),
            get("/v1/decisions", &live.0),
            get("/v1/webhooks", &live.1),
        ];
        standing.extend(std::fs::read_to_string(data.join("quarantine.jsonl")).ok().map(Value::from));
        (standing, figures(&server))
    };
    let mut watching = watch(&server, &test.2);
    next(&mut watching, "live");
    let before = look();

    let restrict = json!({ "level": "lockout" }).to_string();
    let path = "/v1/sandbox/suppliers/acme/restrict";
    assert_eq!(server.call("POST", path, &live.1, &restrict).0, 404, "the live platform does not know it");
    let (status, answer) = server.call("POST", path, &test.1, &restrict);
    assert_eq!(status, 200, "{answer}");
    until("its offers vanish", || offers(&server, &test.2) == json!([]));
    let standing = server.call("GET", "/v1/suppliers/acme/standing", &test.1, "").1;
    assert_eq!(standing["level"], "lockout");
    until("its webhook is told", || !receivers[1].of("decision.restricted").is_empty());
    assert!(!offers(&server, &live.2).as_array().unwrap().is_empty());
    // Its figures are not the live platform's, though its events are written by a thread of that.
    next(&mut watching, "good");
    drop(watching);

    let (former, mut now) = (before, look());
    // The one refused call above was the live platform's.
    now.1.retain(|name, _| !name.contains("no_such_path"));
    let mut figures = former.1;
    figures.retain(|name, _| !name.contains("no_such_path"));
    assert_eq!(former.0, now.0, "answers and store, to the byte");
    assert_eq!(figures, now.1);
    assert!(receivers[0].sent().is_empty());

    // A key of the one is none of the other, and a guess is none of either.
    let forged = format!("sk_test_{}", live.0.trim_start_matches("sk_"));
    assert_eq!(server.call("GET", "/v1/decisions", &forged, "").1["code"], "unknown_key");
    let bare = format!("sk_{}", test.0.trim_start_matches("sk_test_"));
    assert_eq!(server.call("GET", "/v1/decisions", &bare, "").1["code"], "unknown_key");

    let (status, answer) = server.call("POST", "/v1/sandbox/suppliers/acme/release", &test.1, "");
    assert_eq!(status, 200, "{answer}");
    until("its offers are back", || offers(&server, &test.2).as_array().is_some_and(|it| it.len() == 1));
    server.kill();
    assert!(decisions(data).starts_with("0 decisions"), "{}", decisions(data));
    assert!(decisions(&data.join("sandbox")).starts_with("2 decisions"));
    // Without it, its keys open nothing.
    let server = Server::start(data);
    assert_eq!(server.call("GET", "/v1/decisions", &test.0, "").1["code"], "unknown_key");
}

#[test]
fn a_body_that_does_not_come_is_cut_in_the_sandbox_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let supplier = key(data, &["--role", "supplier", "--supplier", "acme", "--sandbox"]);
    let soon = ("STOCKADE_HTTP__CONNECTIONS__BODY_DEADLINE_MS", "200");
    let server = Server::start_with(data, &[ON[0], ON[1], soon]);
    until("the sandbox answers", || server.call("GET", "/v1/suppliers/acme", &supplier, "").0 != 503);
    let path = "/v1/suppliers/acme/inventory:batch";
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {supplier}\r\n");
    let mut stream = TcpStream::connect(&server.api).unwrap();
    write!(stream, "{head}content-length: 100\r\n\r\nsome").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
}
