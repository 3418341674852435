//! Histories through the real folds in event time.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn replay(input: &Path, mapping: &str, lockouts: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["replay", "--json", "--input"]).arg(input).arg("--mapping").arg(here(mapping));
    command.arg("--lockouts").arg(lockouts).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The last line as JSON, what differs from run to run left out.
pub(crate) fn report(mut command: Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for name in ["seconds", "inputs_per_second", "resumed_after"] {
        report.as_object_mut().unwrap().remove(name);
    }
    report
}

#[test]
fn the_sample_locks_the_two_bad_shops_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let csv = directory.path().join("lockouts.csv");
    let report = report(replay(&here("samples/orders.csv"), "mappings/sample.yaml", &csv));
    assert_eq!((&report["suppliers"], &report["refused_by_validation"]), (&32.into(), &0.into()));
    let text = std::fs::read_to_string(csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("supplier,locked_at,released_at,level,reason,rule,scope,vouched"));
    let mut locked: Vec<&str> = lines.map(|line| line.split(',').next().unwrap()).collect();
    locked.sort_unstable();
    locked.dedup();
    assert_eq!(locked, ["card-mill", "ghost-store"]);
}

#[test]
fn a_replay_is_the_same_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let once = |name: &str| {
        let csv = directory.path().join(name);
        let report = report(replay(&here("samples/orders.csv"), "mappings/sample.yaml", &csv));
        (report, std::fs::read_to_string(csv).unwrap())
    };
    assert_eq!(once("a"), once("b"));
}

#[test]
fn the_shipped_mappings_fit_the_histories_they_are_for() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let history = data.join("olist/order_items.csv.gz");
    if !history.exists() {
        eprintln!("skipped: the Olist history is not here; it may not be redistributed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let report = report(replay(&history, "mappings/olist.yaml", &directory.path().join("olist.csv")));
    assert_eq!((&report["rows"], &report["refused_by_validation"]), (&24_790.into(), &0.into()));
    let (locked, suppliers) =
        (report["suppliers_locked"].as_u64().unwrap(), report["suppliers"].as_u64().unwrap());
    assert!(locked * 200 <= suppliers, "{locked} of {suppliers} locked: at most one in two hundred");
}

#[test]
fn a_history_that_goes_back_in_time_is_sorted_and_one_that_lacks_a_column_is_refused_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(here("samples/orders.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let csv = |name: &str| directory.path().join(name);
    let mut in_order = report(replay(&here("samples/orders.csv"), "mappings/sample.yaml", &csv("a")));
    lines[1..].reverse();
    let unsorted = csv("unsorted.csv");
    std::fs::write(&unsorted, lines.join("\n")).unwrap();
    let mut sorted = report(replay(&unsorted, "mappings/sample.yaml", &csv("b")));
    let read = sorted["read"].to_string();
    assert!(read.contains("not in order of ordered_at: sorted"), "{read}");
    for report in [&mut in_order, &mut sorted] {
        report.as_object_mut().unwrap().remove("read");
    }
    assert_eq!(in_order, sorted);
    assert_eq!(std::fs::read_to_string(csv("a")).unwrap(), std::fs::read_to_string(csv("b")).unwrap());

    let without = csv("without.csv");
    std::fs::write(&without, text.replacen("buyer", "customer", 1)).unwrap();
    let mut command = replay(&without, "mappings/sample.yaml", &csv("x.csv"));
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("the mapping names column buyer"), "{said}");
}
