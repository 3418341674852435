//! Imports by the real binary: killed in the middle, and as large as they come. Left out by `cargo xtask test --fast`.

use std::{fmt::Write as _, path::Path};

use serde_json::{Value, json};

use crate::slow::{Server, binary, key, until};

/// Rows of a large file.
const ROWS: usize = 200_000;

/// No limit that a test would wait for.
const FAST: [(&str, &str); 7] = [
    ("STOCKADE_LIMITS__STANDARD__PER_SECOND", "100000000"),
    ("STOCKADE_LIMITS__STANDARD__BURST", "100000000"),
    // It asks how far the import is until it is that far.
    ("STOCKADE_LIMITS__STAFF__PER_SECOND", "100000000"),
    ("STOCKADE_LIMITS__STAFF__BURST", "100000000"),
    // Its supplier has only just been registered.
    ("STOCKADE_LIMITS__NEW__PER_SECOND", "100000000"),
    ("STOCKADE_LIMITS__NEW__BURST", "100000000"),
    ("STOCKADE_EDGE__NEW_LISTINGS_MAX", "100000000"),
];

struct World {
    directory: tempfile::TempDir,
    supplier: String,
}

impl World {
    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }
    fn file(&self, units: usize) -> std::path::PathBuf {
        let path = self.directory.path().join(format!("stock-{units}.csv"));
        let mut text = "listing,sku,location,price,currency,on_hand\n".to_owned();
        for number in 0..ROWS {
            writeln!(text, "l-{number},sku-{},main,1.50,EUR,{}", number % 5_000, units + number % 7).unwrap();
        }
        std::fs::write(&path, text).unwrap();
        path
    }
    fn show(&self, server: &Server, import: &str) -> Value {
        server.call("GET", &format!("/v1/suppliers/acme/imports/{import}"), &self.supplier, "").1
    }
    /// How an import ended, however long that takes, as long as it goes on.
    fn ended(&self, server: &Server, import: &str) -> Value {
        let mut done = 0;
        loop {
            let mut told = Value::Null;
            until("the import goes on", || {
                told = self.show(server, import);
                told["finished_at"].is_string() || told["rows"]["done"].as_u64() > Some(done)
            });
            if told["finished_at"].is_string() {
                return told;
            }
            done = told["rows"]["done"].as_u64().unwrap_or_default();
        }
    }
    fn on_hand(&self, server: &Server, listing: usize) -> Option<i64> {
        let path = format!("/v1/suppliers/acme/listings/l-{listing}");
        server.call("GET", &path, &self.supplier, "").1["on_hand"].as_i64()
    }
    fn push(&self, server: &Server, file: &Path, more: &[&str]) -> std::process::Output {
        let mut command = binary();
        command.args(["push", "--supplier", "acme", "--server", &server.api]).arg(file).args(more);
        command.env("STOCKADE_KEY", &self.supplier).env("XDG_STATE_HOME", self.directory.path());
        command.output().unwrap()
    }
}

fn world() -> (World, Server) {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let operator = key(&data, &["--role", "operator", "--name", "op"]);
    let supplier = key(&data, &["--role", "supplier", "--supplier", "acme"]);
    let server = Server::start_with(&data, &FAST);
    let body = json!({ "name": "Acme", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/acme", &operator, &body).0, 200);
    let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/acme/locations/main", &supplier, &place).0, 200);
    (World { directory, supplier }, server)
}

/// Name of the import that a push without waiting has begun.
fn begun(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.split_whitespace().nth(1).unwrap().trim_end_matches(':').to_owned()
}

#[test]
fn an_import_that_is_killed_twice_goes_on_and_applies_each_row_once() {
    let (world, mut server) = world();
    let file = world.file(10);
    let import = begun(&world.push(&server, &file, &["--no-wait"]));
    let again = world.push(&server, &file, &["--no-wait"]);
    assert_eq!(begun(&again), import, "the same command goes on with what has not ended");
    for kill in 1..=2_u64 {
        let mut told = Value::Null;
        until("some of it is applied", || {
            told = world.show(&server, &import);
            told["rows"]["done"].as_u64().is_some_and(|done| done >= kill * 20_000)
        });
        assert_eq!(told["state"], "applying", "it was killed in the middle: {told}");
        // What its supplier does by hand to a row that was applied must stay.
        if kill == 1 {
            let stock = json!({ "adjust": 100 }).to_string();
            let path = "/v1/suppliers/acme/listings/l-3/stock";
            assert_eq!(server.call("POST", path, &world.supplier, &stock).0, 200);
        }
        server.kill();
        server = Server::start_with(&world.data(), &FAST);
    }
    let told = world.ended(&server, &import);
    assert_eq!(told["state"], "done", "{told}");
    for (figure, rows) in
        [("read", ROWS), ("accepted", ROWS), ("unchanged", 0), ("refused", 0), ("done", ROWS)]
    {
        assert_eq!(told["rows"][figure].as_u64(), Some(rows as u64), "{figure}: {told}");
    }
    assert_eq!(
        world.on_hand(&server, 3),
        Some(113),
        "a row was applied twice, or what was done by hand is lost"
    );
    for number in (0..ROWS).step_by(9_973).chain([ROWS - 1]).filter(|number| *number != 3) {
        assert_eq!(world.on_hand(&server, number), Some(10 + number as i64 % 7), "l-{number}");
    }
}

#[test]
fn the_exit_code_says_whether_all_rows_were_taken() {
    let (world, server) = world();
    let header = "listing,sku,location,price,currency,on_hand\n";
    let (good, bad) = ("l-1,sku-1,main,1.50,EUR,5\n", "l-2,sku-2,main,1.50,EUR,-5\n");
    let code = |name: &str, bytes: &[u8]| {
        let file = world.directory.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let output = world.push(&server, &file, &[]);
        output.status.code().unwrap_or_else(|| panic!("{output:?}"))
    };
    assert_eq!(code("good.csv", format!("{header}{good}").as_bytes()), 0);
    assert_eq!(code("some.csv", format!("{header}{good}{bad}").as_bytes()), 3);
    assert_eq!(code("none.csv", format!("{header}{bad}").as_bytes()), 3);
    // Rows that differ pack badly, so that half of the archive holds some of them.
    let rows: String = (0..5_000_u32)
        .map(|n| format!("l-{n},sku-{},main,1.50,EUR,5\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, format!("{header}{rows}").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(code("cut.csv.gz", &packed[..packed.len() / 2]), 3);
    assert_eq!(code("unknown.csv", b"colour\nred\n"), 1);
}

/// Resident memory of a process, in bytes.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1_024
}

#[test]
fn memory_does_not_grow_with_the_rows_of_imports_whose_listings_are_known() {
    let (world, server) = world();
    let whole = |units: usize| {
        let output = world.push(&server, &world.file(units), &[]);
        assert!(output.status.success(), "{output:?}");
        resident(&server)
    };
    // The first makes the listings, which cost what listings cost; the second fills what is cached.
    whole(10);
    let (before, after) = (whole(20), whole(30));
    let a_row = after.saturating_sub(before) / ROWS;
    assert!(a_row < 400, "{before} bytes before 200,000 rows, {after} after");
}
