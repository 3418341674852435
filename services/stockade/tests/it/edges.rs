//! The edges of the real binary: keys, hostile requests, a full disk, an audit of nothing.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::slow::{Server, binary, key, until};

fn stockade(args: &[&str], data: &Path) -> Output {
    binary().args(args).arg("--data").arg(data).output().unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One request as these bytes; the whole answer.
pub(crate) fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // The server may refuse and close before it has read everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    said(&answer)
}

#[test]
fn a_revoked_key_is_refused_by_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let [ada, ben] = ["ada", "ben"].map(|name| key(data, &["--role", "operator", "--name", name]));
    let server = Server::start(data);
    let status = |key: &str| server.call("GET", "/v1/suppliers/nobody", key, "").0;
    assert_eq!((status(&ada), status(&ben)), (404, 404));
    let revoked = binary().args(["keys", "revoke", "ada", "--data"]).arg(data).output().unwrap();
    assert!(revoked.status.success(), "{revoked:?}");
    until("the server refuses the revoked key", || status(&ada) == 401);
    assert_eq!(status(&ben), 404, "the other goes on");
}

#[test]
fn a_persons_key_needs_a_name_of_its_own_and_keys_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let missing = stockade(&["keys", "list"], data);
    assert!(
        !missing.status.success() && said(&missing.stderr).contains("there is no key file"),
        "{missing:?}"
    );
    let unnamed = stockade(&["keys", "create", "--role", "approver"], data);
    assert!(!unnamed.status.success() && said(&unnamed.stderr).contains("--name"), "{unnamed:?}");
    let ada = key(data, &["--role", "approver", "--name", "ada"]);
    let again = stockade(&["keys", "create", "--role", "analyst", "--name", "ada"], data);
    assert!(!again.status.success() && said(&again.stderr).contains("stockade keys revoke ada"), "{again:?}");
    let buyers = [key(data, &["--role", "buyer"]), key(data, &["--role", "buyer"])];
    let listed = stockade(&["keys", "list", "--json"], data);
    let keys: Vec<Value> =
        said(&listed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: BTreeSet<&str> = keys.iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    let text = said(&listed.stdout) + &said(&stockade(&["keys", "list"], data).stdout);
    assert!(buyers.iter().chain([&ada]).all(|key| !text.contains(&key[3..])), "a list shows no key");
}

#[test]
fn an_audit_of_a_directory_without_a_log_is_an_error_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for data in [directory.path().to_owned(), directory.path().join("nowhere")] {
        let audit = stockade(&["audit", "verify"], &data);
        assert!(!audit.status.success(), "{audit:?}");
        assert!(said(&audit.stderr).contains("holds no log"), "{audit:?}");
        assert_eq!(said(&audit.stdout), "");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
}

/// Names and labels of all series of a scrape, without values; buckets of a histogram are one.
fn series(admin: &str) -> BTreeSet<String> {
    let scrape = raw(admin, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (head, body) = scrape.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let lines = body.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.rsplit_once(' ').map_or(line, |(series, _)| series).to_owned()).collect()
}

/// Requests of every kind that somebody without good intentions sends, all with names that hold `mark`.
fn hostile(server: &Server, mark: &str, buyer: &str, supplier: &str) {
    let send = |text: String| drop(raw(&server.api, text.as_bytes()));
    let end = "connection: close\r\ncontent-length: 0\r\n\r\n";
    for number in 0..40 {
        for path in ["/v1/availability", "/v1/rules", "/livez", "/", "/v1/suppliers/x/standing", "*"] {
            send(format!("{mark}{number} {path} HTTP/1.1\r\nhost: x\r\n{end}"));
        }
        send(format!("GET /{mark}/{number} HTTP/1.1\r\nhost: {mark}{number}\r\n{end}"));
        send(format!(
            "GET /v1/suppliers/{mark}{number}/standing HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {mark}{number}\r\n{end}"
        ));
        send(format!(
            "GET http://{mark}{number}/v1/availability?sku={mark} HTTP/1.1\r\nhost: {mark}\r\n{end}"
        ));
    }
    for (caller, method, path) in [
        (buyer, "GET", format!("/v1/availability?sku={mark}&{mark}=1")),
        (buyer, "GET", format!("/v1/availability?sku={mark}")),
        (buyer, "POST", format!("/v1/reservations/{mark}:{mark}")),
        (supplier, "PUT", format!("/v1/suppliers/bad/listings/{mark}")),
        (supplier, "GET", format!("/v1/suppliers/{mark}/listings/{mark}")),
        (supplier, "GET", format!("/v1/suppliers/bad/operations/{mark}")),
    ] {
        server.call(method, &path, caller, &json!({ mark: mark }).to_string());
    }
}

#[test]
fn hostile_requests_make_no_series_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let buyer = key(data, &["--role", "buyer"]);
    let supplier = key(data, &["--role", "supplier", "--supplier", "bad"]);
    let server = Server::start(data);
    // What is told now and then has begun.
    until("partitions and disk are told of", || {
        let told = series(&server.admin);
        ["stockade_fold_stalled_seconds", "stockade_disk_free_bytes"]
            .iter()
            .all(|name| told.iter().any(|series| series.starts_with(name)))
    });
    hostile(&server, "zqone", &buyer, &supplier);
    let first = series(&server.admin);
    hostile(&server, "zqtwo", &buyer, &supplier);
    let second = series(&server.admin);

    let of_callers: Vec<_> = second.iter().filter(|series| series.to_lowercase().contains("zq")).collect();
    assert!(of_callers.is_empty(), "{of_callers:?}");
    // A second wave under other names is nothing new at the edge; behind it the platform goes on telling of its own work.
    let of_edge = |series: &&String| series.starts_with("http_") || series.starts_with("stockade_http_");
    let new: Vec<_> = second.difference(&first).filter(of_edge).collect();
    assert!(new.is_empty(), "{new:?}");
    let routes = second.iter().filter_map(|series| series.split_once("http_route=\"")?.1.split('"').next());
    let routes: BTreeSet<&str> = routes.collect();
    assert!(
        routes.contains("unmatched") && routes.contains("/v1/suppliers/{supplier}/standing"),
        "{routes:?}"
    );
    assert!(second.iter().any(|series| series.contains("http_request_method=\"other\"")), "{second:?}");
    assert!(second.len() < 2_000, "{} series", second.len());
}

#[test]
fn every_figure_of_ours_is_explained_in_a_scrape_and_what_alerts_look_at_is_there_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path());
    let scrape = raw(&server.admin, b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let after = |word: &str| -> BTreeSet<String> {
        let names = scrape.lines().filter_map(|line| line.strip_prefix(word)?.split(' ').next());
        names.filter(|name| name.starts_with("stockade_")).map(str::to_owned).collect()
    };
    let unsaid: Vec<_> = after("# TYPE ").difference(&after("# HELP ")).cloned().collect();
    assert!(unsaid.is_empty(), "{unsaid:?}");
    let told = series(&server.admin);
    for name in [
        "stockade_lockout_kill_switch",
        "stockade_lockout_rules_stepped_back",
        "stockade_lockout_budgets_exceeded",
        "stockade_lockout_rules_suspect",
        "stockade_lockout_rules_stopped",
        "stockade_scoring_feature_drift",
        "stockade_webhooks_endpoints_disabled",
    ] {
        assert!(told.iter().any(|series| series.starts_with(name)), "{name}: {told:?}");
    }
}

/// A small disk of its own, for as long as it lives; none where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mib: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Fills a disk until `left` bytes are free; 0 fills all of it.
fn fill(disk: &Path, left: u64) {
    let mut ballast = std::fs::File::options().create(true).append(true).open(disk.join("ballast")).unwrap();
    let block = vec![0; 64 << 10];
    while stockade_log::embedded::free_bytes(disk).unwrap() > left {
        if ballast.write_all(&block).is_err() {
            break;
        }
    }
}

#[test]
fn on_a_full_disk_buyers_are_answered_writes_say_507_and_it_goes_on_by_itself_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&directory.path().join("disk"), 256) else {
        eprintln!("SKIPPED: a small disk cannot be mounted here; this test needs root");
        return;
    };
    let data = disk.0.join("data");
    let operator = key(&data, &["--role", "operator", "--name", "op"]);
    let buyer = key(&data, &["--role", "buyer"]);
    let supplier = key(&data, &["--role", "supplier", "--supplier", "s"]);
    let settings = [
        ("STOCKADE_LOG__DISK_RESERVE_BYTES", (64 << 20).to_string()),
        ("STOCKADE_LOG__DISK_WARN_BYTES", (96 << 20).to_string()),
    ];
    let server = Server::start_with(&data, &settings.each_ref().map(|(name, bytes)| (*name, bytes.as_str())));
    let body = json!({ "name": "S", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/s", &operator, &body).0, 200);
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/s/locations/main", &supplier, &place).0, 200);
    let put = |sku: &str| {
        let body = json!({
            "sku": sku, "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 5,
        });
        server.call("PUT", &format!("/v1/suppliers/s/listings/{sku}"), &supplier, &body.to_string())
    };
    let offers = |sku: &str| {
        let (status, body) = server.call("GET", &format!("/v1/availability?sku={sku}"), &buyer, "");
        assert_eq!(status, 200, "{body}");
        body["offers"].as_array().unwrap().len()
    };
    assert_eq!(put("A").0, 200);

    // First what is kept back is touched, then nothing at all is left.
    for left in [48 << 20, 0] {
        fill(&disk.0, left);
        let (status, problem) = put("B");
        assert_eq!((status, problem["code"].as_str()), (507, Some("disk_full")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(data.to_str().unwrap()), "{problem}");
        assert_eq!((offers("A"), offers("B")), (1, 0));
        assert_eq!(server.call("GET", "/readyz", "", "").0, 200);
    }
    let doctor =
        binary().args(["doctor", "--json", "--data"]).arg(&data).envs(settings.clone()).output().unwrap();
    let found: Value = serde_json::from_str(said(&doctor.stdout).lines().last().unwrap()).unwrap();
    let of_disk = found["findings"].as_array().unwrap().iter().find(|finding| finding["what"] == "disk");
    assert_eq!(of_disk.unwrap()["health"], "problem", "{found}");
    for gauge in ["stockade_disk_free_bytes", "stockade_disk_warn_bytes", "stockade_disk_reserve_bytes"] {
        assert!(series(&server.admin).contains(gauge), "{gauge}");
    }

    std::fs::remove_file(disk.0.join("ballast")).unwrap();
    assert_eq!(put("B").0, 200, "nothing has to be restarted");
    assert_eq!((offers("A"), offers("B")), (1, 1));
    server.kill();
    let server = Server::start_with(&data, &settings.each_ref().map(|(name, bytes)| (*name, bytes.as_str())));
    let (_, body) = server.call("GET", "/v1/availability?sku=B", &buyer, "");
    assert_eq!(body["offers"].as_array().unwrap().len(), 1, "what was acknowledged is there");
}
