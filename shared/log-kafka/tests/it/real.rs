//! On real brokers. `STOCKADE_TEST_KAFKA` says where one is; without it these tests are skipped, and say so.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use stockade_log::{
    Ack, Clock, Log as _, LogError, Mode, ReadLimit, SharedLog,
    conformance::{self, Fixture},
    partition_of,
};
use stockade_log_kafka::{GroupProgress, KafkaLog, KafkaOptions};
use stockade_testkit::wait_until;

use crate::{
    evict,
    mock::{commit, owned, until},
    options, record, spec,
};

/// Where Kafka is.
pub(crate) fn kafka() -> Option<String> {
    let found = std::env::var("STOCKADE_TEST_KAFKA").ok();
    if found.is_none() {
        eprintln!(
            "skipped: STOCKADE_TEST_KAFKA is not set; `cargo xtask test` sets it, `cargo xtask up` prints one"
        );
    }
    found
}

struct KafkaFixture(KafkaOptions);

impl Fixture for KafkaFixture {
    fn open(&mut self, _: Clock) -> SharedLog {
        Arc::new(KafkaLog::open(self.0.clone(), crate::clock()).unwrap())
    }
    fn keeps_time(&self) -> bool {
        false
    }
    fn evict(&mut self, group: &str, partition: u32) {
        let (group, topic) = (format!("{}{group}", self.0.prefix), format!("{}t", self.0.prefix));
        evict::owner(&self.0.brokers, &group, &topic, partition);
    }
    fn expire(&mut self, topic: &str, partition: u32, first: u64) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.0.brokers).create().unwrap();
        let mut list = TopicPartitionList::new();
        let full = format!("{}{topic}", self.0.prefix);
        list.add_partition_offset(&full, partition as i32, Offset::Offset(first as i64)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }
}

#[test]
fn kafka_keeps_the_contract() {
    let Some(brokers) = kafka() else { return };
    conformance::run(|| Box::new(KafkaFixture(options(&brokers))));
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn keys_land_where_clients_of_other_languages_put_them() {
    let Some(brokers) = kafka() else { return };
    let options = options(&brokers);
    let log = KafkaLog::open(options.clone(), crate::clock()).unwrap();
    log.ensure_topic(&spec(7)).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let topic = format!("{}t", options.prefix);
    let keys: Vec<String> = (0..100).map(|number| format!("supplier-{number}")).collect();
    for key in &keys {
        producer.send(BaseRecord::to(&topic).key(key.as_str()).payload("x")).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let mut seen = 0;
    for partition in 0..7 {
        let limit = ReadLimit { records: 1_000, bytes: 1 << 20 };
        for record in log.read("t", partition, 0, limit).unwrap() {
            assert_eq!(partition_of(&record.key, 7), partition);
            seen += 1;
        }
    }
    assert_eq!(seen, keys.len());
}

#[test]
fn a_topic_made_by_hand_with_settings_that_do_not_fit_is_refused_with_each_of_them() {
    let Some(brokers) = kafka() else { return };
    let options = options(&brokers);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let name = format!("{}t", options.prefix);
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1))
        .set("retention.ms", "1000")
        .set("cleanup.policy", "compact");
    wait(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    let log = KafkaLog::open(options, crate::clock()).unwrap();
    let refused = log.ensure_topic(&spec(2));
    let Err(LogError::Config(text)) = refused else { panic!("{refused:?}") };
    for part in
        ["message.timestamp.type=CreateTime", "retention.ms=1000", "cleanup.policy=compact", "kafka-configs"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn how_far_a_group_is_can_be_asked_from_outside_and_changes_nothing() {
    let Some(brokers) = kafka() else { return };
    let options = options(&brokers);
    let log = KafkaLog::open(options.clone(), crate::clock()).unwrap();
    log.ensure_topic(&spec(2)).unwrap();
    log.append(vec![record(0, "a"), record(0, "b"), record(1, "c")], Ack::Durable).wait().unwrap();
    let outside = KafkaLog::open(options, crate::clock()).unwrap();
    // A broker answers the end of a transaction before it has marked the offsets in it as committed, so what is asked right
    // after a commit may still be what was before.
    let shows = |committed| {
        let expected = [GroupProgress { committed, end: 2 }, GroupProgress { committed: 0, end: 1 }];
        let mut seen = outside.group_progress("g", &spec(2));
        let found = wait_until(Duration::from_secs(60), || {
            seen = outside.group_progress("g", &spec(2));
            seen.as_ref().is_ok_and(|seen| *seen == expected)
        });
        assert!(found, "{seen:?} instead of {expected:?}");
    };
    shows(0);
    let mut consumer = log.join("g", "t", Mode::Owned).unwrap();
    let epoch = until(consumer.as_mut(), |event| owned(&event, 0));
    log.commit(commit(epoch, 1)).wait().unwrap();
    shows(1);
    log.commit(commit(epoch, 2)).wait().unwrap();
    shows(2);
}
