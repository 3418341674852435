//! A process that starts while its broker is away, after a run in which it was not.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};
use stockade_testkit::{Process, wait_until};

use super::world::{PARTITIONS, PATIENCE, World, possible, request};

/// The address behind a word of the line in which a process says where it listens.
fn address(output: &str, word: &str) -> Option<std::net::SocketAddr> {
    let line = output.lines().find(|line| line.starts_with("api http://"))?;
    let mut words = line.split_whitespace().skip_while(|said| *said != word);
    words.nth(1)?.trim_start_matches("http://").parse().ok()
}

/// Starts the process with this number again, whether or not it gets ready.
fn start_again(
    world: &World,
    number: usize,
) -> (Process, std::net::SocketAddr, std::net::SocketAddr, std::path::PathBuf) {
    let data = world.directory.path().join(format!("inventory-{number}"));
    let log = data.join("again.txt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command
        .args(["serve", "--role", "inventory", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--kafka", &world.kafka.addresses(), "--redis", &world.redis.url()])
        .args(["--partitions", &PARTITIONS.to_string(), "--data"])
        .arg(&data)
        .env("STOCKADE_KEYS__FILE", world.directory.path().join("keys/keys.jsonl"))
        .env("STOCKADE_KAFKA__INSTANCE", format!("inventory-{number}"))
        .env("RUST_LOG", "info,librdkafka=warn");
    let process = Process::start("inventory", command, &log).unwrap();
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let (mut api, mut admin) = (None, None);
    let up = wait_until(PATIENCE, || {
        (api, admin) = (address(&said(), "api"), address(&said(), "admin"));
        api.is_some() && admin.is_some()
    });
    assert!(up, "it did not start: {}", said());
    (process, api.unwrap(), admin.unwrap(), log)
}

/// A file of the picture that the process with this number keeps.
fn kept(world: &World, number: usize, name: &str) -> std::path::PathBuf {
    world.directory.path().join(format!("inventory-{number}/picture/{name}"))
}

/// What an endpoint for whoever looks after the process says.
fn text(admin: std::net::SocketAddr, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// What the doctor says of the picture of the process with this number, which does not run.
fn doctor_on_picture(world: &World, number: usize) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["doctor", "--json", "--role", "inventory", "--kafka", &world.kafka.addresses()])
        .args(["--partitions", &PARTITIONS.to_string(), "--data"])
        .arg(world.directory.path().join(format!("inventory-{number}")))
        .output()
        .unwrap();
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    let report: Value = serde_json::from_slice(line).unwrap();
    let found = report["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "picture");
    let of = |field| found.unwrap()[field].as_str().unwrap();
    format!("{} {}", of("health"), of("detail"))
}

fn offers(api: std::net::SocketAddr, key: &str, sku: &str) -> (u16, Value) {
    request(api, "GET", &format!("/v1/availability?sku={sku}"), key, "").unwrap()
}

fn is_empty(offers: &Value) -> bool {
    offers["offers"].as_array().is_some_and(Vec::is_empty)
}

#[test]
fn a_start_without_its_broker_shows_the_last_picture_and_goes_over_to_the_log_when_that_is_back() {
    if !possible() {
        return;
    }
    let mut world = World::start(3);
    // One cheats and is locked out a moment before the end; another is only about to.
    world.cheat();
    let buyer = world.keys.buyer.clone();
    let front = world.of_role("inventory")[0];
    let number = world.servers[front].number;
    assert!(!is_empty(&offers(world.servers[front].api, &buyer, "sku-bad-1").1));
    // It is killed rather than asked, so what is withheld has to be on the disk by itself.
    // Nobody else is restricted; one that is only capped so far is not what is waited for.
    for (name, parts) in [("withheld", &["quarantine", "lockout"][..]), ("offers", &["sku-bad-1"])] {
        let holds = || {
            let bytes = std::fs::read(kept(&world, number, name)).unwrap_or_default();
            let has = |part: &&str| bytes.windows(part.len()).any(|bytes| bytes == part.as_bytes());
            parts.iter().any(has)
        };
        assert!(wait_until(PATIENCE, holds), "{name} was not kept: {}", world.outputs());
    }
    (0..world.servers.len()).rev().for_each(|index| world.kill(index));
    world.kafka.kill(0).unwrap();
    world.redis.kill().unwrap();

    let found = doctor_on_picture(&world, number);
    assert!(found.starts_with("ok ") && found.contains(" s old"), "{found}");
    let found = doctor_on_picture(&world, 99);
    assert!(found.starts_with("warning ") && found.contains("no picture"), "{found}");

    let (mut process, api, admin, log) = start_again(&world, number);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let (status, shown) = offers(api, &buyer, "sku-bad-1");
    assert_eq!(status, 200, "{shown} {}", said());
    assert!(!is_empty(&shown), "what was offered is offered: {shown} {}", said());
    assert_eq!(shown["completeness"], "partial");
    let age_ms = shown["staleness_ms"].as_i64().unwrap();
    assert!(age_ms > 0, "its age is shown: {shown}");
    let (status, hidden) = offers(api, &buyer, "sku-bad-0");
    assert!(status == 200 && is_empty(&hidden), "who is locked out stays so: {hidden}");
    let question = json!({ "goods": [{ "sku": "sku-bad-0" }, { "sku": "sku-bad-1" }] }).to_string();
    let (status, both) = request(api, "POST", "/v1/availability:query", &buyer, &question).unwrap();
    assert_eq!(status, 200, "{both}");
    assert!(is_empty(&both["results"][0]) && !is_empty(&both["results"][1]), "{both}");

    let hold = json!({ "supplier": "bad-1", "listing": "l", "quantity": 1 }).to_string();
    let (status, refused) = request(api, "POST", "/v1/reservations", &buyer, &hold).unwrap();
    assert_eq!((status, refused["code"].as_str()), (503, Some("log_unavailable")), "{refused}");
    let (status, ready) = text(admin, "/readyz");
    assert!(status == 200 && ready.contains("a picture of") && ready.contains("s old"), "{ready}");
    let figures = text(admin, "/metrics").1;
    assert!(figures.contains("stockade_inventory_shows_picture 1"), "{figures}");
    assert!(figures.contains("stockade_inventory_picture_age_seconds"), "{figures}");
    assert!(said().contains("buyers are answered from a picture of"), "{}", said());

    // Back: it is a replica like any other, and at no moment between is a withheld offer shown or a buyer not answered.
    world.kafka.start_again(0).unwrap();
    world.redis.start_again().unwrap();
    let live = wait_until(PATIENCE, || {
        let (status, hidden) = offers(api, &buyer, "sku-bad-0");
        assert!(status == 200 && is_empty(&hidden), "{hidden} {}", said());
        let (status, shown) = offers(api, &buyer, "sku-bad-1");
        assert!(status == 200 && !is_empty(&shown), "{shown} {}", said());
        shown["completeness"] == "complete"
    });
    assert!(live, "it did not go over to the log: {}", said());
    assert_eq!(text(admin, "/readyz"), (200, "ready\n".to_owned()));
    assert!(text(admin, "/metrics").1.contains("stockade_inventory_shows_picture 0"));
    let held = wait_until(PATIENCE, || {
        request(api, "POST", "/v1/reservations", &buyer, &hold).is_ok_and(|(status, _)| status == 201)
    });
    assert!(held, "it takes writes again: {}", said());
    process.stop(Duration::from_secs(20)).unwrap();
    assert!(!said().contains("error:"), "it did not end cleanly: {}", said());

    // What is withheld is gone: nothing is shown, and it ends like a start that cannot work.
    world.kafka.kill(0).unwrap();
    std::fs::remove_file(kept(&world, number, "withheld")).unwrap();
    let (ended, told) = ends(&world, number);
    assert!(ended && told.contains("there is no picture"), "{told}");
}

/// Starts a process that is to end by itself; whether it did with an error, and what it said.
fn ends(world: &World, number: usize) -> (bool, String) {
    let data = world.directory.path().join(format!("inventory-{number}"));
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["serve", "--role", "inventory", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--kafka", &world.kafka.addresses(), "--partitions", &PARTITIONS.to_string(), "--data"])
        .arg(&data)
        .env("STOCKADE_KEYS__FILE", world.directory.path().join("keys/keys.jsonl"))
        .env("RUST_LOG", "info,librdkafka=warn")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
