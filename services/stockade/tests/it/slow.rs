//! The real binary, killed and restarted. Left out by `cargo xtask test --fast`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::replay::{here, replay, report};

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) api: String,
    pub(crate) admin: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again until `holds`, for a minute at most.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
}

pub(crate) fn key(data: &Path, args: &[&str]) -> String {
    let output = binary().args(["keys", "create", "--data"]).arg(data).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }
    /// One with further settings, given as variables.
    pub(crate) fn start_with(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::launch(data, &[], settings)
    }
    /// One with a configuration file.
    pub(crate) fn start_with_config(data: &Path, file: &Path) -> Self {
        Self::launch(data, &["--config", file.to_str().unwrap()], &[])
    }
    fn launch(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut child = binary()
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--partitions",
                "4",
                "--data",
            ])
            .arg(data)
            .args(arguments)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = |word| {
            let url: &str = line.split_whitespace().nth(word).expect("the first line names the addresses");
            url.trim_start_matches("http://").to_owned()
        };
        let server = Self { api: address(1), admin: address(3), child };
        until("it is ready", || server.call("GET", "/readyz", "", "").0 == 200);
        server
    }
    /// One request on a connection of its own: status and body.
    pub(crate) fn call(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.api).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn kill_nine_loses_nothing_acknowledged_and_forgets_no_lock_out() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let buyer = key(data, &["--role", "buyer"]);
    let orders = key(data, &["--role", "order-system"]);
    let supplier = key(data, &["--role", "supplier", "--supplier", "bad"]);

    let server = Server::start(data);
    let body = json!({ "name": "Bad", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/bad", &operator, &body).0, 200);
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/bad/locations/main", &supplier, &place).0, 200);

    let put = |server: &Server, number: usize| {
        let body = json!({
            "sku": format!("SKU-{number}"), "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": number + 1,
        });
        server.call("PUT", &format!("/v1/suppliers/bad/listings/l-{number}"), &supplier, &body.to_string()).0
    };
    // What a buyer sees; `None` while who asks without a pause is told to slow down.
    let asked = |server: &Server, number: usize| {
        let path = format!("/v1/availability?sku=SKU-{number}");
        let (status, answer) = server.call("GET", &path, &buyer, "");
        assert!(matches!(status, 200 | 429), "{status}: {answer}");
        (status == 200).then(|| answer["offers"][0]["available"].as_i64())
    };
    let seen = |server: &Server, number: usize| {
        let mut answer = None;
        until("a buyer is answered", || {
            answer = asked(server, number);
            answer.is_some()
        });
        answer.flatten()
    };
    for number in 0..60 {
        assert_eq!(put(&server, number), 200);
    }
    // Killed while another request is under way.
    let last = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut acknowledged = 60;
            for number in 60..10_000 {
                let sent = std::panic::catch_unwind(|| put(&server, number));
                if !matches!(sent, Ok(200)) {
                    break;
                }
                acknowledged = number + 1;
            }
            acknowledged
        });
        until("writes are under way", || seen(&server, 80).is_some());
        let pid = server.child.id().to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        writer.join().unwrap()
    });
    drop(server);
    let server = Server::start(data);
    for number in 0..last {
        assert_eq!(seen(&server, number), Some(number as i64 + 1), "listing {number} of {last} acknowledged");
    }

    for order in 0..12 {
        for (kind, cause) in [("placed", Value::Null), ("cancelled", json!("supplier"))] {
            let event = json!({
                "specversion": "1.0", "id": format!("{order}-{kind}"), "source": "t", "type": format!("stockade.order.{kind}"),
                "data": { "supplier": "bad", "order": format!("o-{order}"), "buyer": format!("b-{order}"), "cause": cause },
            });
            assert_eq!(server.call("POST", "/v1/events", &orders, &event.to_string()).0, 202);
        }
    }
    until("the supplier is withheld", || seen(&server, 0).is_none());
    server.kill();
    let server = Server::start(data);
    assert_eq!(seen(&server, 0), None, "a restarted server never shows an unlocked fraudster");
    server.kill();

    let audit = binary().args(["audit", "verify", "--data"]).arg(data).output().unwrap();
    assert!(String::from_utf8_lossy(&audit.stdout).contains("the chain holds"), "{audit:?}");
}

#[test]
fn a_start_without_its_redis_answers_buyers_from_the_overlay() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let analyst = key(data, &["--role", "analyst", "--name", "ann"]);
    let buyer = key(data, &["--role", "buyer"]);
    let suppliers = ["bad", "good"].map(|id| (id, key(data, &["--role", "supplier", "--supplier", id])));
    let server = Server::start(data);
    for (id, supplier) in &suppliers {
        let body = json!({ "name": id, "region": "DE" }).to_string();
        assert_eq!(server.call("PUT", &format!("/v1/suppliers/{id}"), &operator, &body).0, 200);
        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
        let path = format!("/v1/suppliers/{id}/locations/main");
        assert_eq!(server.call("PUT", &path, supplier, &place.to_string()).0, 200);
        let body = json!({ "sku": "S", "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 1 });
        let path = format!("/v1/suppliers/{id}/listings/l");
        assert_eq!(server.call("PUT", &path, supplier, &body.to_string()).0, 200);
    }
    let imposed = json!({ "supplier": "bad", "deny": "lockout", "reason": "seen", "expires_at": "2100-01-01T00:00:00Z" });
    let (status, told) = server.call("POST", "/v1/overrides", &analyst, &imposed.to_string());
    assert_eq!(status, 200, "{told}");
    server.kill();
    let server = Server::start_with(data, &[("STOCKADE_REDIS__URL", "redis://127.0.0.1:9")]);
    let (status, answer) = server.call("GET", "/v1/availability?sku=S", &buyer, "");
    let offers = answer["offers"].as_array().unwrap();
    assert_eq!((status, offers.len(), &offers[0]["supplier"]), (200, 1, &json!("good")), "{answer}");
    assert_eq!(answer["completeness"], "complete", "nothing of what buyers see comes from Redis");
}

#[test]
fn the_doctor_finds_a_server_that_runs_in_good_health() {
    let directory = tempfile::tempdir().unwrap();
    key(directory.path(), &["--role", "operator", "--name", "op"]);
    let server = Server::start(directory.path());
    let output = binary()
        .args(["doctor", "--json", "--partitions", "4", "--data"])
        .arg(directory.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.success(), &report["problems"]), (true, &json!(0)), "{report}");
    assert!(report.to_string().contains("a server that runs has it open"), "{report}");
    server.kill();
}

#[test]
fn asked_to_end_it_ends_cleanly_and_starts_again_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let operator = key(directory.path(), &["--role", "operator", "--name", "op"]);
    let mut server = Server::start(directory.path());
    let body = json!({ "name": "Acme", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/acme", &operator, &body).0, 200);
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut ended = None;
    until("it ends", || {
        ended = server.child.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success(), "{ended:?}");
    drop(server);
    let server = Server::start(directory.path());
    assert_eq!(server.call("GET", "/v1/suppliers/acme", &operator, "").0, 200);
}

#[test]
fn a_replay_killed_in_the_middle_ends_in_the_same_report_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let input = here("samples/orders.csv");
    let whole = directory.path().join("whole.csv");
    let clean = report(replay(&input, "mappings/sample.yaml", &whole));

    let data = directory.path().join("data");
    let csv = directory.path().join("killed.csv");
    let run = || {
        let mut command = replay(&input, "mappings/sample.yaml", &csv);
        command.arg("--data").arg(&data);
        command
    };
    for _ in 0..3 {
        let mut child = run().spawn().unwrap();
        // Killed once it has written something more than before, wherever that is.
        let before = size_of(&data);
        until("it has written", || size_of(&data) > before + 4_096 || child.try_wait().unwrap().is_some());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert_eq!(report(run()), clean);
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), std::fs::read_to_string(&whole).unwrap());
}

/// Blocks in use below a folder: journals are allocated ahead, so their length says nothing.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::io::Result<std::fs::DirEntry>| {
        let Ok(entry) = entry else { return 0 };
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        }
    };
    entries.map(size).sum()
}

#[test]
fn a_damaged_data_directory_is_refused_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let server = Server::start(data);
    let body = json!({ "name": "Acme", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/acme", &operator, &body).0, 200);
    server.kill();
    std::fs::remove_dir_all(data.join("log")).unwrap();
    let output = binary()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Restore it from a backup"), "{said}");
}

#[test]
fn the_demo_locks_the_attackers_and_no_honest_supplier() {
    let output = binary().args(["demo", "--seed", "3", "--duration", "12", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary["honest_locked"], 0, "{summary}");
    // Withheld, or capped to what they have proven; each is said apart.
    let of = |name: &str| summary[name].as_u64().unwrap();
    assert!(of("attackers_locked") + of("attackers_capped") >= 38, "{summary}");
    assert!(of("attackers_locked") >= 8, "{summary}");
    assert_eq!(
        (&summary["withheld_offers_still_visible"], &summary["buyers_refused"]),
        (&0.into(), &0.into()),
        "{summary}"
    );
}
