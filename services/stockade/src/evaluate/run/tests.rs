use std::{collections::BTreeMap, path::PathBuf};

use stockade_histories::Mapping;
use stockade_lockout::STARTER_RULES;
use stockade_log::ReadLimit;
use stockade_supplier_scoring::DEFAULT_FEATURES;

use super::*;
use crate::replay::inputs::Handling;

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A history with the columns of the sample.
fn history(file: PathBuf, handling: &Handling) -> Inputs {
    let mapping = std::fs::read_to_string(here("mappings/sample.yaml")).unwrap();
    Inputs::open(&[file], Mapping::parse(&mapping).unwrap(), handling).unwrap()
}

fn sample() -> Inputs {
    history(here("samples/orders.csv"), &Handling::default())
}

fn in_force() -> Vec<Change> {
    opening(DEFAULT_FEATURES, Some(STARTER_RULES), None)
}

/// Every fold in turn on one thread and one log, as a replay drives them.
fn in_turn() -> (SharedLog, FxHashMap<SupplierId, ScoreRecord>) {
    let mut pump = Pump::default();
    let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), pump.clock()).unwrap());
    ensure_passing_topics(&log, KEPT_MS).unwrap();
    let scored = Scored::default();
    add_stages(&mut pump, &log, &scored, |pump| {
        pump.add(Worker::join(intake_spec(1), log.clone(), |_| Intake::default())?, |_| {});
        Ok(())
    })
    .unwrap();
    let mut number = 0;
    let mut feed = |pump: &mut Pump, at: Timestamp, topic: Topic, key: &str, payload: Payload| {
        number += 1;
        pump.advance(at, &log).unwrap();
        log.append(vec![numbered(number, topic, key, &payload)], Ack::Ordered).wait().unwrap();
        pump.drain(&log).unwrap();
        number
    };
    let mut inputs = sample();
    let (mut opened, mut fed) = (false, 0);
    while let Some((at, input)) = inputs.next().unwrap() {
        if !std::mem::replace(&mut opened, true) {
            for change in in_force() {
                let record = ControlRecord { actor: NAME.to_owned(), change };
                fed = feed(&mut pump, at, Topic::Control, "", Payload::Control(record));
            }
        }
        fed = match input {
            Input::Register(record) => feed(&mut pump, at, Topic::Control, "", Payload::Control(record)),
            Input::Event(event) => {
                let key = event.inbox_key().to_owned();
                feed(&mut pump, at, Topic::EventsInbox, &key, Payload::OrderEvent(event))
            }
            Input::Rows(supplier, rows) => {
                let key = supplier.to_string();
                let command = command(fed + 1, supplier, rows);
                feed(&mut pump, at, Topic::SupplierEvents, &key, Payload::Command(command))
            }
        };
    }
    let known = scored.lock().clone();
    (log, known)
}

/// The last records of a topic that nothing was trimmed from in either, as what decides about the future: time, key and value.
fn tail(log: &SharedLog, topic: Topic, from: u64) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let records = log.read(topic.name(), 0, from, limit).unwrap();
    records.iter().map(|record| (record.time_ms, record.key.to_vec(), record.value.to_vec())).collect()
}

#[test]
fn a_fold_that_runs_ahead_changes_nothing_that_the_others_write() {
    let (expected, known) = in_turn();
    let mut run = Run::open(in_force()).unwrap();
    let mut orders = 0;
    run.play(&mut sample(), &mut |_, _, _, _| orders += 1).unwrap();
    assert!(orders > 900, "{orders} orders were placed");
    // As text, in which what is unknown equals itself.
    let told = |known: &FxHashMap<SupplierId, ScoreRecord>| {
        known
            .iter()
            .map(|(supplier, record)| (supplier.clone(), format!("{record:?}")))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(told(&run.scored.lock()), told(&known));
    let mut compared = 0;
    for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::EventsInbox) {
        let (theirs, ours) =
            (expected.bounds(topic.name(), 0).unwrap(), run.log.bounds(topic.name(), 0).unwrap());
        assert_eq!(ours.end, theirs.end, "records of {}", topic.name());
        let from = ours.first.max(theirs.first);
        let (ours, theirs) = (tail(&run.log, topic, from), tail(&expected, topic, from));
        compared += ours.len();
        assert_eq!(ours, theirs, "{}", topic.name());
    }
    assert!(compared > 10, "{compared} records were compared");
}

#[test]
fn a_history_that_cannot_be_read_on_says_why_and_the_folds_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.csv");
    let text = std::fs::read_to_string(here("samples/orders.csv")).unwrap();
    let bad = text.lines().map(|line| format!("{line}\n")).collect::<String>()
        + "o-x,shop-1,DE,b,i,no price,2026-03-01T00:00:00Z,,,\n";
    std::fs::write(&file, bad).unwrap();
    let handling = Handling { strict: true, ..Handling::default() };
    let mut inputs = history(file, &handling);
    let mut run = Run::open(in_force()).unwrap();
    let error = run.play(&mut inputs, &mut |_, _, _, _| {}).unwrap_err();
    assert!(error.to_string().contains("price"), "{error:#}");
}
