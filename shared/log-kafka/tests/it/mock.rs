//! Errors injected through librdkafka's mock cluster. What a broker promises is shown by `real`; this shows what we make
//! of errors that real brokers give seldom.

use std::time::{Duration, Instant};

use rdkafka::{
    bindings::rd_kafka_resp_err_t as Code,
    mocking::{MockCluster, MockCoordinator},
    producer::DefaultProducerContext,
    types::RDKafkaApiKey as Api,
};
use stockade_log::{Ack, Consumer, Event, Log as _, Mode, ReadLimit, Remedy, Role};
use stockade_log_kafka::{KafkaLog, KafkaOptions};

use crate::{options, record, spec};

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(brokers: i32) -> (Cluster, KafkaOptions) {
    let cluster = Cluster::new(brokers).unwrap();
    let mut options = options(&cluster.bootstrap_servers());
    options.transaction_timeout_ms = 3_000;
    // The mock cluster can neither make topics by an admin request nor tell their settings.
    options.check_settings = false;
    for (name, partitions) in [("t", 2), ("g.state", 2)] {
        cluster.create_topic(&format!("{}{name}", options.prefix), partitions, brokers.min(3)).unwrap();
    }
    (cluster, options)
}

fn open(options: &KafkaOptions) -> KafkaLog {
    let log = KafkaLog::open(options.clone(), crate::clock()).unwrap();
    log.ensure_topic(&spec(2)).unwrap();
    log
}

fn poll(consumer: &mut dyn Consumer) -> Option<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _ =
        runtime.block_on(async { tokio::time::timeout(Duration::from_millis(20), consumer.wait()).await });
    consumer.try_next(ReadLimit::default()).unwrap()
}

/// Polls until `found` says what it looked for.
pub(crate) fn until<T>(consumer: &mut dyn Consumer, mut found: impl FnMut(Event) -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(result) = poll(consumer).and_then(&mut found) {
            return result;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain");
    }
}

pub(crate) fn owned(event: &Event, of: u32) -> Option<u64> {
    match event {
        Event::Assigned { partition, role: Role::Owner(epoch) } if *partition == of => Some(*epoch),
        _ => None,
    }
}

pub(crate) fn commit(epoch: u64, next_offset: u64) -> stockade_log::Commit {
    let row = bytes::Bytes::from_static(b"row");
    stockade_log::Commit {
        group: "g",
        partition: 0,
        epoch,
        next_offset,
        row: row.clone(),
        rows: vec![(row.clone(), Some(row))],
    }
}

#[test]
fn appends_go_on_in_order_through_a_lost_leader() {
    let (cluster, options) = cluster(3);
    let topic = format!("{}t", options.prefix);
    cluster.partition_leader(&topic, 0, Some(1)).unwrap();
    let log = open(&options);
    log.append(vec![record(0, "before")], Ack::Durable).wait().unwrap();
    cluster.broker_down(1).unwrap();
    let tickets: Vec<_> =
        (0..50).map(|i| log.append(vec![record(0, &i.to_string())], Ack::Durable)).collect();
    cluster.partition_leader(&topic, 0, Some(2)).unwrap();
    let offsets: Vec<u64> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()[0].offset).collect();
    assert!(offsets.is_sorted(), "{offsets:?}");
    cluster.broker_up(1).unwrap();
}

#[test]
fn passing_produce_errors_are_retried_without_a_gap() {
    let (cluster, options) = cluster(1);
    let log = open(&options);
    let passing = [
        Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Code::RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    cluster.request_errors(Api::Produce, &passing);
    let tickets: Vec<_> =
        (0..20).map(|i| log.append(vec![record(0, &i.to_string())], Ack::Durable)).collect();
    let offsets: Vec<u64> = tickets.into_iter().map(|ticket| ticket.wait().unwrap()[0].offset).collect();
    assert_eq!(offsets, (0..20).collect::<Vec<u64>>());
}

#[test]
fn a_refused_record_poisons_the_log_so_that_nothing_is_sent_after_the_gap() {
    let (cluster, options) = cluster(1);
    let log = open(&options);
    cluster.request_errors(Api::Produce, &[Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = log.append(vec![record(0, "a")], Ack::Durable).wait();
    assert_eq!(refused.map_err(|error| error.remedy()).err(), Some(Remedy::Fatal));
    let after = log.append(vec![record(0, "b")], Ack::Durable).wait();
    assert_eq!(after.map_err(|error| error.remedy()).err(), Some(Remedy::Fatal));
}

#[test]
fn flushes_survive_coordinators_that_move_and_time_out() {
    let (cluster, options) = cluster(3);
    let log = open(&options);
    let mut consumer = log.join("g", "t", Mode::Owned).unwrap();
    let epoch = until(consumer.as_mut(), |event| owned(&event, 0));
    log.commit(commit(epoch, 0)).wait().unwrap();
    let transaction = format!("{}g.one", options.prefix);
    for (step, broker) in [2, 3, 1].into_iter().enumerate() {
        cluster.coordinator(MockCoordinator::Transaction(transaction.clone()), broker).unwrap();
        let errors =
            [Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS];
        cluster.request_errors(Api::AddOffsetsToTxn, &errors);
        cluster.request_errors(Api::EndTxn, &errors);
        let begun = Instant::now();
        // A flush that was put off is tried again by the fold with what has changed since.
        while let Err(error) = log.commit(commit(epoch, step as u64)).wait() {
            assert_eq!(error.remedy(), Remedy::Retry, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        poll(consumer.as_mut());
    }
}

/// The group may be between two generations for as long as its slowest member takes. An owner that were fenced for it
/// would never hear that it is the owner still.
#[test]
fn a_flush_that_the_group_refuses_while_the_term_is_on_is_put_off_and_never_fenced() {
    let (cluster, options) = cluster(1);
    let log = open(&options);
    let mut consumer = log.join("g", "t", Mode::Owned).unwrap();
    let epoch = until(consumer.as_mut(), |event| owned(&event, 0));
    let refusals = [
        Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
        Code::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    ];
    for (step, refusal) in refusals.into_iter().enumerate() {
        cluster.request_errors(Api::TxnOffsetCommit, &[refusal; 7]);
        let refused = log.commit(commit(epoch, step as u64)).wait().unwrap_err();
        assert_eq!(refused.remedy(), Remedy::Retry, "{refusal:?}: {refused}");
        log.commit(commit(epoch, step as u64)).wait().unwrap();
        while let Some(event) = poll(consumer.as_mut()) {
            let of_ours = matches!(event, Event::Assigned { partition: 0, .. });
            assert!(!of_ours, "{refusal:?}: its role has not changed, it is told {event:?}");
        }
    }
}

#[test]
fn a_producer_fenced_in_mid_flush_is_made_anew() {
    let (cluster, options) = cluster(1);
    let log = open(&options);
    let mut consumer = log.join("g", "t", Mode::Owned).unwrap();
    let epoch = until(consumer.as_mut(), |event| owned(&event, 0));
    cluster.request_errors(Api::AddOffsetsToTxn, &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let put_off = log.commit(commit(epoch, 0)).wait();
    assert_eq!(put_off.map_err(|error| error.remedy()), Err(Remedy::Retry));
    log.commit(commit(epoch, 0)).wait().unwrap();
}

#[test]
fn reading_goes_on_after_fetch_errors_and_a_lost_leader() {
    let (cluster, options) = cluster(2);
    let topic = format!("{}t", options.prefix);
    cluster.partition_leader(&topic, 0, Some(1)).unwrap();
    let log = open(&options);
    let mut consumer = log.join("g", "t", Mode::Follow).unwrap();
    log.append(vec![record(0, "one")], Ack::Durable).wait().unwrap();
    let mut seen = Vec::new();
    let mut take = |event: Event| {
        if let Event::Batch { records, .. } = event {
            seen.extend(records.iter().map(|record| record.offset));
        }
        seen.last().copied()
    };
    assert_eq!(until(consumer.as_mut(), &mut take), 0);
    cluster.request_errors(
        Api::Fetch,
        &[Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT],
    );
    cluster.partition_leader(&topic, 0, Some(2)).unwrap();
    cluster.broker_down(1).unwrap();
    log.append(vec![record(0, "two")], Ack::Durable).wait().unwrap();
    until(consumer.as_mut(), |event| take(event).filter(|last| *last == 1));
    assert_eq!(seen, [0, 1]);
    drop(cluster);
}
