//! What a start finds and says about it, and what poison does.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use stockade::platform::topic_spec;
use stockade_log::{Ack, Log as _, NewRecord, Route, TopicSpec};
use stockade_log_kafka::{KafkaLog, KafkaOptions, Secret};
use stockade_model::Topic;
use stockade_runtime::clock;
use stockade_testkit::{Kafka, KafkaOptions as Cluster, SASL_PASSWORD, SASL_USER, wait_until};

use super::world::{PARTITIONS, PATIENCE, Reader, World, possible};

fn serve(directory: &std::path::Path, kafka: &str, more: &[(&str, &str)]) -> (Output, Duration) {
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--partitions", "4"]);
    command.args(["--kafka", kafka, "--data"]).arg(directory).envs(more.iter().copied());
    let output = command.output().unwrap();
    (output, begun.elapsed())
}

/// It ends by itself, soon, with one sentence that says what to do.
#[track_caller]
fn refuses(directory: &std::path::Path, kafka: &str, more: &[(&str, &str)], words: &[&str]) {
    let (output, took) = serve(directory, kafka, more);
    let said = String::from_utf8_lossy(&output.stderr);
    let error = said.lines().find(|line| line.starts_with("error:")).unwrap_or_else(|| panic!("{said}"));
    assert!(!output.status.success() && took < Duration::from_secs(10), "{took:?}: {error}");
    assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
    assert!(!said.contains("wrong-secret"), "a password was printed");
}

#[test]
fn a_start_that_cannot_work_ends_within_ten_seconds_with_what_to_do() {
    if !possible() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    refuses(data, "127.0.0.1:9", &[], &["127.0.0.1:9", "kafka.brokers"]);

    let secure = Cluster { secure: true, ..Cluster::default() };
    let kafka = Kafka::start(&data.join("kafka"), secure).unwrap();
    let login = [
        ("STOCKADE_KAFKA__SECURITY__SASL_MECHANISM", "SCRAM-SHA-256"),
        ("STOCKADE_KAFKA__SECURITY__USERNAME", SASL_USER),
        ("STOCKADE_KAFKA__SECURITY__PASSWORD", "wrong-secret"),
    ];
    // A build without TLS says so instead of trying.
    let with_tls = cfg!(feature = "tls");
    let scram: &[&str] =
        if with_tls { &["credentials", "kafka.security"] } else { &["SCRAM", "--features tls"] };
    refuses(data, &kafka.sasl_address(), &login, scram);
    let plain = [("STOCKADE_KAFKA__SECURITY__SASL_MECHANISM", "PLAIN"), login[1], login[2]];
    refuses(data, &kafka.sasl_address(), &plain, &["credentials", "kafka.security"]);
    let tls: &[&str] = if with_tls { &["TLS", "ca_file"] } else { &["kafka.security.tls", "--features tls"] };
    refuses(data, &kafka.tls_address(), &[("STOCKADE_KAFKA__SECURITY__TLS", "true")], tls);
    refuses(
        data,
        &kafka.addresses(),
        &[("STOCKADE_KAFKA__SETTINGS__ACKS", "1")],
        &["kafka.settings", "acks"],
    );

    // A topic with another number of partitions.
    let log = KafkaLog::open(KafkaOptions::new(kafka.addresses(), "test"), clock::system_clock()).unwrap();
    let spec = TopicSpec { name: Topic::EventsInbox.name(), partitions: 3, retention_ms: None };
    log.ensure_topic(&spec).unwrap();
    refuses(data, &kafka.addresses(), &[], &["events.inbox", "3 partitions", "log.partitions"]);

    // The right credentials and the right authority.
    let mut options = KafkaOptions::new(kafka.sasl_address(), "test");
    for mechanism in ["PLAIN", "SCRAM-SHA-256"].into_iter().take(if with_tls { 2 } else { 1 }) {
        options.security.sasl_mechanism = mechanism.to_owned();
        options.security.username = SASL_USER.to_owned();
        options.security.password = Secret(SASL_PASSWORD.to_owned());
        let log = KafkaLog::open(options.clone(), clock::system_clock()).unwrap();
        assert!(log.check_topic(&spec).unwrap());
    }
    if with_tls {
        let mut options = KafkaOptions::new(kafka.tls_address(), "test");
        options.security.tls = true;
        options.security.ca_file = kafka.ca_file().display().to_string();
        let log = KafkaLog::open(options, clock::system_clock()).unwrap();
        assert!(log.check_topic(&spec).unwrap());
    }

    // The doctor says the same, and changes nothing.
    let doctor = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args([
            "doctor",
            "--json",
            "--partitions",
            "4",
            "--kafka",
            &kafka.addresses(),
            "--redis",
            "redis://127.0.0.1:9",
        ])
        .args(["--data"])
        .arg(data.join("nothing"))
        .output()
        .unwrap();
    assert!(!doctor.status.success());
    let report: Value =
        serde_json::from_slice(doctor.stdout.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let problems: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["health"] == "problem")
        .map(|finding| finding["what"].as_str().unwrap())
        .collect();
    assert_eq!(problems, ["topic", "redis"], "{report}");
    assert!(!data.join("nothing").exists());
}

/// What the doctor finds about folds: health and detail.
fn doctor_on_folds(kafka: &str, data: &std::path::Path) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["doctor", "--json", "--partitions", "4", "--kafka", kafka, "--data"])
        .arg(data.join("nothing"))
        .output()
        .unwrap();
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap();
    let report: Value = serde_json::from_slice(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let of_folds = findings.filter(|finding| finding["what"] == "folds");
    of_folds.map(|finding| (text(&finding["health"]), text(&finding["detail"]))).collect()
}

#[test]
fn the_doctor_says_which_partitions_stand_still_while_nobody_goes_through_them() {
    if !possible() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&data.path().join("kafka"), Cluster::default()).unwrap();
    let log = KafkaLog::open(KafkaOptions::new(kafka.addresses(), "test"), clock::system_clock()).unwrap();
    for topic in Topic::ALL {
        log.ensure_topic(&topic_spec(topic, 4)).unwrap();
    }
    let look = || doctor_on_folds(&kafka.addresses(), data.path());
    assert!(matches!(&look()[..], [(health, _)] if health == "ok"), "there is nothing to do yet");
    let record = NewRecord {
        topic: Topic::EventsInbox.name(),
        route: Route::Partition(2),
        key: Bytes::new(),
        headers: Vec::new(),
        value: Bytes::from_static(b"{}"),
    };
    log.append(vec![record], Ack::Durable).wait().unwrap();
    let stuck = ("warning".to_owned(), "intake/2 stands still at 0 of 1".to_owned());
    assert_eq!(look(), [stuck]);
}

#[test]
fn poison_written_by_hand_to_any_topic_is_dead_lettered_with_its_origin_and_the_partition_moves_on() {
    if !possible() {
        return;
    }
    let mut world = World::start(2);
    let reader = Reader::open(&world.kafka.addresses());
    let mut written = Vec::new();
    for topic in [
        Topic::EventsInbox,
        Topic::SupplierEvents,
        Topic::ScoringRekeyed,
        Topic::SupplierScores,
        Topic::LockoutProposals,
        Topic::LockoutDecisions,
        Topic::Control,
    ] {
        // Inventory and scoring, peers and links: the owner of each fold dead-letters what it could not read, and however
        // many replicas follow a topic, nobody else does.
        let readers = match topic {
            Topic::SupplierEvents | Topic::ScoringRekeyed => 2,
            _ => 1,
        };
        for (headers, value) in [
            (vec![], &b"no headers at all"[..]),
            (
                vec![("ce_type", "stockade.inventory.command".to_owned()), ("ce_id", "x".to_owned())],
                b"{\"torn",
            ),
            (vec![("ce_type", "stockade.never.heard".to_owned()), ("ce_id", "y".to_owned())], b"\xff\xfe"),
        ] {
            let partition = topic.partitions(PARTITIONS) - 1;
            let record = NewRecord {
                topic: topic.name(),
                route: Route::Partition(partition),
                key: Bytes::new(),
                headers,
                value: Bytes::from_static(value),
            };
            let placed = reader.append(vec![record], Ack::Durable);
            written.push((topic.name().to_owned(), partition, placed, readers));
        }
    }
    let mut letters = Vec::new();
    let all_dead_lettered = wait_until(PATIENCE, || {
        letters = reader.dead_letters();
        written.iter().all(|(topic, partition, offset, readers)| {
            let of =
                letters.iter().filter(|l| (&l.topic, l.partition, l.offset) == (topic, *partition, *offset));
            of.count() == *readers
        })
    });
    assert!(all_dead_lettered, "{letters:#?}\n{}", world.outputs());
    let expected: usize = written.iter().map(|(.., readers)| readers).sum();
    assert_eq!(letters.len(), expected, "{letters:#?}");
    assert!(
        letters
            .iter()
            .all(|letter| letter.attempts == 1 && !letter.code.is_empty() && !letter.detail.is_empty())
    );
    world.begin_load();
    world.progress(30);
    world.cheat();
    world.check_with_dead_letters(letters.len());
}
