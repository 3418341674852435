//! Copying, and a copy as it is read, on librdkafka's mock cluster.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use stockade_log::{Ack, Event, Log, Mode, NewRecord, Route, TopicSpec};
use stockade_log_kafka::{
    KafkaLog, KafkaOptions,
    mirror::{MirrorSpec, Mirrored, copy},
};

use crate::{clock, mock::until, options, record, spec};

const BEATS: TopicSpec =
    TopicSpec { name: "mirror.heartbeats", partitions: 1, retention_ms: Some(86_400_000) };

fn copy_of(offset: u64) -> NewRecord {
    let headers = vec![
        ("stockade-mirror-offset", offset.to_string()),
        ("stockade-mirror-time", (1_000 + offset).to_string()),
    ];
    NewRecord { headers, ..record(0, &offset.to_string()) }
}

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, KafkaOptions) {
    let cluster = MockCluster::new(1).unwrap();
    let mut options: KafkaOptions = options(&cluster.bootstrap_servers());
    options.check_settings = false;
    for name in ["t", "g.state", BEATS.name] {
        cluster.create_topic(&format!("{}{name}", options.prefix), 1, 1).unwrap();
    }
    (cluster, options)
}

#[test]
fn a_copy_is_followed_from_an_original_on_and_repeats_are_passed_over() {
    let (_cluster, options) = cluster();
    let writer = KafkaLog::open(options.clone(), clock()).unwrap();
    writer.ensure_topic(&spec(1)).unwrap();
    // The origin had lost its first seven; a mirror that was killed is repeated by its successor.
    for offset in (7..40).chain(35..60) {
        writer.append(vec![copy_of(offset)], Ack::Durable).wait().unwrap();
    }
    let copy = Mirrored::open(options, clock()).unwrap();
    copy.ensure_topic(&spec(1)).unwrap();
    let mut consumer = copy.join("g", "t", Mode::Follow).unwrap();
    until(&mut *consumer, |event| matches!(event, Event::Assigned { .. }).then_some(()));
    // Where it is looked for takes a while; it is looked for once more when somebody changes his mind meanwhile.
    consumer.seek(0, 50);
    let _ = consumer.try_next(Default::default()).unwrap();
    consumer.seek(0, 20);
    let mut read = Vec::new();
    until(&mut *consumer, |event| {
        let Event::Batch { records, .. } = event else { return None };
        read.extend(records.into_iter().map(|record| (record.offset, record.time_ms)));
        (read.len() >= 40).then_some(())
    });
    let expected: Vec<(u64, i64)> = (20..60).map(|offset| (offset, 1_000 + offset as i64)).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_heartbeat_from_the_future_counts_for_when_it_came() {
    let (_cluster, options) = cluster();
    let writer = KafkaLog::open(options.clone(), clock()).unwrap();
    writer.ensure_topic(&BEATS).unwrap();
    let ahead_ms = clock()() + 3_600_000;
    let value = Bytes::from(format!(r#"{{"at_ms":{ahead_ms},"ends":{{"t":[5]}}}}"#).into_bytes());
    let beat = NewRecord { topic: BEATS.name, route: Route::Partition(0), value, ..record(0, "") };
    writer.append(vec![beat], Ack::Durable).wait().unwrap();
    let copy = Mirrored::open(options, clock()).unwrap();
    let begun = Instant::now();
    while !copy.is_whole() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let horizon = copy.horizon("t", 0);
    assert_eq!(horizon.end, 5);
    assert!(horizon.heard_ms <= clock()(), "{} is not here yet", horizon.heard_ms);
}

/// The changelog as somebody who only writes rows to it knows it.
const STATE: TopicSpec = TopicSpec { name: "g.state", partitions: 1, retention_ms: None };

/// A row of the changelog; without a value it is the row that ends a commit.
fn row(key: &str, value: Option<&str>) -> NewRecord {
    let end = || Bytes::from([&1_u64.to_be_bytes()[..], &9_u64.to_be_bytes(), b"end"].concat());
    let value = value.map_or_else(end, |value| Bytes::copy_from_slice(value.as_bytes()));
    let key = Bytes::copy_from_slice(key.as_bytes());
    NewRecord { topic: STATE.name, route: Route::Partition(0), key, value, ..record(0, "") }
}

#[test]
fn records_and_changelog_are_copied_and_a_mirror_that_was_ended_goes_on() {
    let ((_here, from), (_there, to)) = (cluster(), cluster());
    let writer = KafkaLog::open(from.clone(), clock()).unwrap();
    writer.ensure_topic(&spec(1)).unwrap();
    writer.ensure_topic(&STATE).unwrap();
    let mirrored_until = |records: u64| {
        let spec = MirrorSpec { streams: vec![spec(1)], changelog: ("g.state", 1) };
        let seen = std::cell::Cell::new(0);
        let begun = Instant::now();
        let stop = || {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} of {records} were copied", seen.get());
            seen.get() >= records
        };
        copy(from.clone(), to.clone(), &spec, &clock(), &stop, &mut |copied| seen.set(copied.records))
            .unwrap();
        seen.get()
    };
    let appended = |records: Vec<NewRecord>| {
        records
            .into_iter()
            .for_each(|record| drop(writer.append(vec![record], Ack::Durable).wait().unwrap()));
    };
    appended(vec![record(0, "a"), record(0, "b"), row("k", Some("old")), row("\0row", None)]);
    assert_eq!(mirrored_until(4), 4);
    appended(vec![record(0, "c"), row("k", Some("new")), row("l", Some("l")), row("\0row", None)]);
    assert_eq!(mirrored_until(4), 4, "what was copied is not copied again");

    let copy = Mirrored::open(to, clock()).unwrap();
    copy.ensure_topic(&spec(1)).unwrap();
    let read: Vec<_> = copy.read("t", 0, 0, Default::default()).unwrap();
    let read: Vec<_> = read.iter().map(|record| (record.offset, record.value.as_ref())).collect();
    assert_eq!(read, [(0, &b"a"[..]), (1, b"b"), (2, b"c")]);
    let mut rows = Vec::new();
    let committed = copy.restore("g", 0, &mut |key, value| rows.push((key.to_vec(), value.to_vec())));
    assert_eq!(committed.unwrap().unwrap().next_offset, 9);
    assert_eq!(rows, [(b"k".to_vec(), b"new".to_vec()), (b"l".to_vec(), b"l".to_vec())]);
}
