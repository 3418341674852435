//! A cluster that has just come back and says, for an instant, that it has topics but no brokers.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    bindings::rd_kafka_resp_err_t as Code,
    consumer::{BaseConsumer, Consumer as _},
    mocking::MockCluster,
    types::RDKafkaApiKey as Api,
};
use stockade_log::{Ack, Event, Log as _, Mode};
use stockade_log_kafka::KafkaLog;
use stockade_testkit::wait_until;

use crate::{
    mock::{owned, until},
    options, record, spec,
};

const METADATA: i16 = 3;

/// What stands between clients and the broker.
#[derive(Default)]
struct Between {
    port: u16,
    /// Whether answers about metadata name no broker.
    empty: AtomicBool,
    /// How many such answers were given that named topics.
    emptied: AtomicUsize,
}

impl Between {
    /// Forwards to `target`, and passes itself off as it.
    fn start(target: String) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let between = Arc::new(Self { port, ..Self::default() });
        let of_thread = between.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                let between = of_thread.clone();
                std::thread::spawn(move || {
                    let both = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                    between.forward(near, far);
                    both.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
                });
            }
        });
        between
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn forward(self: &Arc<Self>, near: TcpStream, far: TcpStream) {
        // Answers come in the order of the requests, so what each is an answer to is known by its number.
        let asked: Arc<Mutex<Vec<(i32, i16, i16)>>> = Arc::default();
        let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let noted = asked.clone();
        let there = std::thread::spawn(move || {
            while let Some(frame) = frame(&mut from) {
                let short = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
                noted.lock().unwrap().push((number(&frame[4..]), short(0), short(2)));
                if send(&mut to, &frame).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (far, near);
        while let Some(frame) = frame(&mut from) {
            let id = number(&frame);
            let of = {
                let mut asked = asked.lock().unwrap();
                let at = asked.iter().position(|(asked, ..)| *asked == id);
                at.map(|at| asked.remove(at))
            };
            let frame = match of {
                Some((_, METADATA, version)) => self.metadata(frame, version),
                // Coordinators are named by their own address and so reached beside us, which is as good.
                _ => frame,
            };
            if send(&mut to, &frame).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
        there.join().unwrap();
    }

    /// An answer about metadata with our port in it, or with no broker in it.
    fn metadata(&self, mut frame: Vec<u8>, version: i16) -> Vec<u8> {
        assert!(version >= 9, "the client asks by version {version}, which this test cannot read");
        // Number of the request, tags, throttling; then the brokers, whose count is one more than there are.
        let begin = 4 + 1 + 4;
        let count = usize::from(frame[begin]) - 1;
        let mut at = begin + 1;
        for _ in 0..count {
            at += 4;
            at += usize::from(frame[at]);
            frame[at..at + 4].copy_from_slice(&i32::from(self.port).to_be_bytes());
            at += 4;
            // A rack is 0 when there is none, else one more than its length.
            at += usize::from(frame[at]).max(1);
            assert_eq!(frame[at], 0, "a broker has tags");
            at += 1;
        }
        if self.empty.load(Ordering::SeqCst) {
            // The cluster's name, whose length is given as one more than it is, and who controls it; then the topics. An answer
            // without topics either is asked for again and does no harm.
            let topics = at + usize::from(frame[at]).max(1) + 4;
            self.emptied.fetch_add(usize::from(frame[topics] > 1), Ordering::SeqCst);
            frame.splice(begin..at, [1]);
        }
        frame
    }
}

fn number(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    from.read_exact(&mut size).ok()?;
    let mut frame = vec![0; number(&size) as usize];
    from.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn send(to: &mut TcpStream, frame: &[u8]) -> std::io::Result<()> {
    let mut whole = (frame.len() as i32).to_be_bytes().to_vec();
    whole.extend(frame);
    to.write_all(&whole)
}

fn cluster() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    MockCluster::new(1).unwrap()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    assert!(wait_until(Duration::from_secs(60), done), "{what}: waited in vain");
}

/// When this fails, librdkafka has mended its issue 5301, and the crate `kafka-addresses` with `reach` may go.
#[test]
fn without_help_a_client_that_was_told_of_no_broker_is_cut_off() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).unwrap();
    let between = Between::start(cluster.bootstrap_servers());
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", between.address()).create().unwrap();
    let answered = || client.fetch_metadata(Some("t"), Duration::from_secs(2)).is_ok();
    assert!(answered());
    // Whether it forgets its only broker before it has heard of it again is a matter of luck.
    let cut_off = || {
        let before = between.emptied.load(Ordering::SeqCst);
        between.empty.store(true, Ordering::SeqCst);
        wait("an answer without brokers", || !answered() || between.emptied.load(Ordering::SeqCst) > before);
        between.empty.store(false, Ordering::SeqCst);
        (0..3).all(|_| !answered())
    };
    assert!((0..20).any(|_| cut_off()), "it finds the broker by itself every time");
    assert_eq!(stockade_kafka_addresses::add(client.client(), &between.address()), 1);
    wait("an answer", answered);
}

#[test]
fn a_log_whose_clients_were_told_of_no_broker_goes_on() {
    let cluster = cluster();
    let between = Between::start(cluster.bootstrap_servers());
    let mut options = options(&between.address());
    options.transaction_timeout_ms = 3_000;
    options.check_settings = false;
    for name in ["t", "g.state"] {
        cluster.create_topic(&format!("{}{name}", options.prefix), 1, 1).unwrap();
    }
    let log = KafkaLog::open(options, crate::clock()).unwrap();
    log.ensure_topic(&spec(1)).unwrap();
    let mut consumer = log.join("g", "t", Mode::Owned).unwrap();
    until(consumer.as_mut(), |event| owned(&event, 0));
    let append = |value: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ticket = log.append(vec![record(0, value)], Ack::Durable);
        let waited = async { tokio::time::timeout(Duration::from_secs(60), ticket).await };
        runtime.block_on(waited).expect("an append waited in vain").unwrap();
    };
    append("before");
    consumer.seek(0, 0);
    let mut read = |wanted: &str| {
        until(consumer.as_mut(), |event| match event {
            Event::Batch { records, .. } => {
                records.iter().any(|record| *record.value == *wanted.as_bytes()).then_some(())
            }
            _ => None,
        });
    };
    read("before");

    // Who is told that a partition is led elsewhere, as by a broker that is only just coming back, asks about metadata.
    let not_yet = [Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 4];
    for _ in 0..6 {
        let before = between.emptied.load(Ordering::SeqCst);
        between.empty.store(true, Ordering::SeqCst);
        wait("an answer without brokers", || {
            cluster.request_errors(Api::ListOffsets, &not_yet);
            between.emptied.load(Ordering::SeqCst) > before
        });
        cluster.clear_request_errors(Api::ListOffsets);
        between.empty.store(false, Ordering::SeqCst);
        // Ends are learnt from the broker at intervals; when last is said with them.
        let now_ms = crate::clock()();
        wait("an answer about ends", || log.horizon("t", 0).heard_ms > now_ms + 2_000);
    }
    append("after");
    read("after");
}
