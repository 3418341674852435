use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use stockade_log::{Ack, Memory, MemoryDisk, NewRecord, Route, TopicSpec};
use stockade_model::{Payload, ScoreRecord};

use super::*;

const SCHEMA: u32 = 7;

struct Shelf {
    log: SharedLog,
    time_ms: Arc<AtomicI64>,
}

impl Shelf {
    fn new() -> Self {
        let time_ms = Arc::new(AtomicI64::new(0));
        let clock = time_ms.clone();
        let now = Arc::new(move || clock.load(Ordering::SeqCst));
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), now).unwrap());
        let name = Topic::SupplierScores.name();
        log.ensure_topic(&TopicSpec { name, partitions: 1, retention_ms: None }).unwrap();
        Self { log, time_ms }
    }
    fn put(&self, at_ms: i64, supplier: &str, schema: u32, slots: &[f32]) {
        self.time_ms.store(at_ms, Ordering::SeqCst);
        let supplier = SupplierId::new(supplier).unwrap();
        let record = ScoreRecord { supplier, listing: None, score: 0, schema, slots: slots.to_vec() };
        let payload = Payload::Score(record);
        let record = NewRecord {
            topic: Topic::SupplierScores.name(),
            route: Route::Partition(0),
            key: Bytes::new(),
            headers: vec![("ce_type", payload.kind().to_owned())],
            value: payload.encode().into(),
        };
        self.log.append(vec![record], Ack::Ordered).wait().unwrap();
    }
    fn ask(&self, (since_ms, until_ms): (i64, i64), slots: &[usize], records_max: u64) -> Found {
        let supplier = SupplierId::new("acme").unwrap();
        let of = Question { supplier, since_ms, until_ms, schema: SCHEMA, slots: slots.to_vec() };
        read(&self.log, 1, &of, records_max).unwrap()
    }
}

#[test]
fn only_the_vectors_of_the_supplier_in_that_time_with_the_features_in_force_are_told() {
    let shelf = Shelf::new();
    for at_ms in 0..10 {
        shelf.put(at_ms * 10, "acme", SCHEMA, &[at_ms as f32, f32::NAN]);
        shelf.put(at_ms * 10 + 5, "other", SCHEMA, &[99.0, 99.0]);
    }
    shelf.put(95, "acme", SCHEMA + 1, &[1.0]);
    let found = shelf.ask((20, 50), &[0, 1], RECORDS_MAX);
    assert_eq!(found.at_ms, [20, 30, 40]);
    assert_eq!(found.values[0], [2.0, 3.0, 4.0]);
    assert!(found.values[1].iter().all(|value| value.is_nan()));
    assert_eq!((found.vectors, found.skipped, found.from_ms), (3, 0, None));
    let all = shelf.ask((0, 1_000), &[0], RECORDS_MAX);
    assert_eq!((all.vectors, all.skipped), (10, 1), "one is of other features");
    assert_eq!(
        shelf.ask((2_000, 3_000), &[0], RECORDS_MAX),
        Found { values: vec![vec![]], ..Found::default() }
    );
}

#[test]
fn a_question_reads_no_more_than_it_may_and_says_from_when_on_its_answer_is_whole() {
    let shelf = Shelf::new();
    (0..100).for_each(|at_ms| shelf.put(at_ms, "acme", SCHEMA, &[at_ms as f32]));
    let found = shelf.ask((10, 90), &[0], 20);
    assert_eq!((found.vectors, found.from_ms), (20, Some(70)));
    assert_eq!(found.at_ms.first(), Some(&70));
    assert_eq!(shelf.ask((10, 30), &[0], 20).from_ms, None);
}

#[test]
fn thinning_keeps_every_extreme_in_its_order_and_the_last_vector_as_it_is() {
    let spike = 7_777;
    let row = |at: usize| {
        let value = if at == spike { 1e6 } else { (at % 7) as f32 };
        Row { at_ms: at as i64, values: [value, if at < 5_000 { f32::NAN } else { -(at as f32) }].into() }
    };
    let rows: Vec<Row> = (0..20_000).map(row).collect();
    let (at_ms, values) = thin(&rows, 2);
    assert!(at_ms.len() <= POINTS_MAX && values.iter().all(|of| of.len() == at_ms.len()));
    assert!(at_ms.is_sorted());
    let place = values[0].iter().position(|value| *value == 1e6).unwrap();
    assert!((at_ms[place] - spike as i64).abs() < 200, "a point stands at most a stretch from where it was");
    assert_eq!((*at_ms.last().unwrap(), *values[1].last().unwrap()), (19_999, -19_999.0));
    assert!(values[1][0].is_nan() && values[1].iter().rev().take(10).all(|value| !value.is_nan()));
    let falling: Vec<f32> = values[1].iter().copied().filter(|value| !value.is_nan()).collect();
    assert!(falling.is_sorted_by(|one, next| one >= next), "the order within a stretch is kept");
}

#[test]
fn however_many_vectors_are_read_few_are_held_and_no_extreme_is_lost() {
    const READ: usize = 100_000;
    for spike in [0, 1, 4_001, 55_555, READ - 2, READ - 1] {
        let mut rows = Rows::new(1);
        for at in 0..READ {
            let value = if at == spike { 1e6 } else { (at % 7) as f32 };
            rows.push(Row { at_ms: at as i64, values: [value].into() });
            assert!(rows.held.len() + rows.begun.len() <= HELD_MAX + READ / POINTS_MAX);
        }
        assert_eq!(rows.vectors, READ as u64);
        let (at_ms, values) = thin(&rows.all(), 1);
        assert!(at_ms.len() <= POINTS_MAX && at_ms.is_sorted());
        let place = values[0].iter().position(|value| *value == 1e6).unwrap();
        assert!((at_ms[place] - spike as i64).abs() < (READ / 100) as i64, "{spike} at {}", at_ms[place]);
        assert_eq!(at_ms.last(), Some(&(READ as i64 - 1)));
    }
}

#[test]
fn a_person_is_answered_one_question_at_a_time_and_few_people_at_once() {
    let asking = Asking::default();
    let turn = asking.begin("ada").unwrap();
    assert!(asking.begin("ada").is_none());
    let others: Vec<Turn> = (1..ASKING_MAX).map(|n| asking.begin(&n.to_string()).unwrap()).collect();
    assert!(asking.begin("bob").is_none(), "as many as may be");
    drop(turn);
    assert!(asking.begin("bob").is_some());
    drop(others);
}
