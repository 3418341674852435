use std::collections::BTreeSet;
use std::sync::{Mutex, atomic::AtomicI64};

use sha2::Digest as _;
use stockade_fold::Worker;
use stockade_log::{Memory, MemoryDisk, ReadLimit, TopicSpec};
use stockade_model::{Audience, EndpointAsk, Notice, Timestamp, time::DAY_MS};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    Webhooks,
    endpoint::{Delivery, State},
};

/// One request as a receiver saw it.
#[derive(Clone, Debug)]
struct Seen {
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value.as_str())
    }
}

/// A receiver on this machine; what it does is said by the path.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Seen>>>);

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (receiver, address)
    }
    fn seen(&self, path: &str) -> Vec<Seen> {
        self.0.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }
    async fn serve(self, mut stream: TcpStream) {
        let mut text = Vec::new();
        let head = loop {
            let mut chunk = [0; 4_096];
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            // 22 begins a TLS handshake, which this one does not speak.
            if read == 0 || chunk[0] == 22 {
                return;
            }
            text.extend_from_slice(&chunk[..read]);
            if let Some(end) = text.windows(4).position(|it| it == b"\r\n\r\n") {
                break end;
            }
        };
        let said = String::from_utf8(text[..head].to_vec()).unwrap();
        let mut lines = said.lines();
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length =
            headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse::<usize>().unwrap();
        let mut body = text[head + 4..].to_vec();
        while body.len() < length {
            let mut chunk = [0; 4_096];
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            body.extend_from_slice(&chunk[..read]);
        }
        let seen = Seen { path: path.clone(), headers, body: String::from_utf8(body).unwrap() };
        let before = self.seen(&path).len();
        self.0.lock().unwrap().push(seen);
        let (answer, endless) = match path.as_str() {
            "/flaky" if before < 2 => ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", None),
            "/down" => ("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n", None),
            "/later" => ("HTTP/1.1 429 Slow\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n", None),
            "/gone" => ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", None),
            "/redirect" => (
                "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n",
                None,
            ),
            "/huge" => ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Some("x")),
            "/huge-head" => ("HTTP/1.1 200 OK\r\n", Some("x-filler: xxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")),
            "/nonsense" => ("what?\r\n\r\n", None),
            "/closes" => return,
            "/hang" => std::future::pending().await,
            _ => ("HTTP/1.1 204 No Content\r\n\r\n", None),
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let Some(filler) = endless else { return };
        let filler = filler.repeat(1_000);
        while stream.write_all(filler.as_bytes()).await.is_ok() {}
    }
}

/// A fold and a sender over a log in memory, with a clock that the test moves.
struct World {
    log: SharedLog,
    now_ms: Arc<AtomicI64>,
    view: View,
    master: Master,
    next: AtomicU64,
    end: tokio::sync::watch::Sender<bool>,
}

async fn ended(mut end: tokio::sync::watch::Receiver<bool>) {
    let _ = end.wait_for(|end| *end).await;
}

impl World {
    fn on(disk: &MemoryDisk, now_ms: i64, config: &WebhooksConfig) -> Self {
        let now_ms = Arc::new(AtomicI64::new(now_ms));
        let told = now_ms.clone();
        let clock: Clock = Arc::new(move || told.load(Ordering::SeqCst));
        let log: SharedLog = Arc::new(Memory::open(disk.clone(), clock.clone()).unwrap());
        for topic in [Topic::Webhooks, Topic::DeadLetters] {
            log.ensure_topic(&TopicSpec { name: topic.name(), partitions: 1, retention_ms: None }).unwrap();
        }
        let (board, view, master) =
            (Board::default(), View::default(), Master::of(b"a key of this test only"));
        let (end, ends) = tokio::sync::watch::channel(false);
        let worker = Worker::join(crate::webhooks_spec(1), log.clone(), |_| Webhooks::default()).unwrap();
        let told = view.clone();
        let hear = move |_, effects| told.hear(effects);
        tokio::spawn(stockade_fold::run(
            worker,
            log.clone(),
            clock.clone(),
            board.clone(),
            hear,
            ended(ends.clone()),
        ));
        let listens: Listens = Arc::new(|owner| match owner {
            EndpointOwner::Buyer { key } if key == "revoked" => Right::Lost,
            EndpointOwner::Buyer { key } if key == "unknown" => Right::Unknown,
            _ => Right::Has,
        });
        let parts = (log.clone(), clock, board);
        let sender = Sender::new((view.clone(), master.clone()), parts, config, listens, "t").unwrap();
        tokio::spawn(Arc::new(sender).run(ended(ends)));
        Self { log, now_ms, view, master, next: AtomicU64::new(0), end }
    }
    fn new() -> Self {
        let config = WebhooksConfig { allow_loopback: true, deadline_ms: 400, ..WebhooksConfig::default() };
        Self::on(&MemoryDisk::default(), 1_790_000_000_000, &config)
    }
    fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
        self.view.news.notify_one();
    }
    async fn append(&self, record: WebhookRecord) -> Option<String> {
        let id = format!("r-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let judged = self.view.judged.expect(&id);
        self.log.append(vec![new_record(&id, record)], Ack::Durable).await.unwrap();
        judged.within(Duration::from_secs(20)).await.unwrap().unwrap()
    }
    async fn ask(&self, endpoint: &str, what: EndpointAsk) -> Option<String> {
        self.append(WebhookRecord::Asked { endpoint: endpoint.to_owned(), by: acme(), what }).await
    }
    async fn create(&self, endpoint: &str, url: String) {
        let master = self.master.which();
        self.ask(endpoint, EndpointAsk::Create { url, events: Vec::new(), description: None, master }).await;
    }
    async fn decided(&self, id: &str) {
        let audience = Audience::Supplier { supplier: "acme".parse().unwrap() };
        let at = Timestamp::from_ms(self.now_ms.load(Ordering::SeqCst));
        let (id, event) = (id.to_owned(), "decision.restricted".to_owned());
        let data = serde_json::json!({ "decision": id, "text": "Größe \"1/2\"" });
        self.append(WebhookRecord::Notice(Notice { id, event, at, audience, data })).await;
    }
    fn deliveries(&self, endpoint: &str) -> Vec<Arc<Delivery>> {
        self.view.deliveries(endpoint, None, 1_000)
    }
    /// When the earliest delivery of all is tried.
    fn next_ms(&self) -> i64 {
        let end = Timestamp::from_ms(i64::MAX);
        self.view.due(end, &mut Turns::endless(), |_| true).0.iter().map(|it| it.at.ms()).min().unwrap()
    }
    /// The newest delivery of an endpoint once it was tried so often.
    async fn tried(&self, endpoint: &str, attempts: u32) -> Arc<Delivery> {
        until(endpoint, || self.deliveries(endpoint).first().is_some_and(|it| it.attempts_ever >= attempts))
            .await;
        self.deliveries(endpoint)[0].clone()
    }
}

fn acme() -> EndpointOwner {
    EndpointOwner::Supplier { supplier: "acme".parse().unwrap() }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let patience = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), patience).await.is_ok(), "waited in vain: {what}");
}

/// HMAC-SHA256 from its definition (RFC 2104), beside the one that signs.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = sha2::Sha256::digest([pad(0x36), text.to_vec()].concat());
    sha2::Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// Whether one of the signatures is that of a secret as its owner was shown it.
fn is_signed(seen: &Seen, shown: &str) -> bool {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let key = STANDARD.decode(shown.strip_prefix("whsec_").unwrap()).unwrap();
    let text = format!("{}.{}.{}", seen.header("webhook-id"), seen.header("webhook-timestamp"), seen.body);
    let wanted = format!("v1,{}", STANDARD.encode(hmac(&key, text.as_bytes())));
    seen.header("webhook-signature").split(' ').any(|it| it == wanted)
}

#[tokio::test]
async fn whatever_a_receiver_does_is_said_by_name_and_slows_no_other() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    let inward = ["hang", "redirect", "huge", "huge-head", "nonsense", "closes", "down"];
    for name in inward.into_iter().chain(["ok"]) {
        world.create(name, format!("{address}/{name}")).await;
    }
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world.create("nobody", format!("http://{free}/")).await;
    world.create("plain", address.replace("http:", "https:")).await;
    world.create("inside", "https://10.1.2.3/".to_owned()).await;
    world.create("nameless", "https://no-such-name.invalid/".to_owned()).await;
    for number in 0..20 {
        world.decided(&format!("d-{number}")).await;
    }
    until("all are taken where they are taken", || receiver.seen("/ok").len() == 20).await;
    for name in ["ok", "huge"] {
        until(name, || world.deliveries(name).iter().all(|it| it.state == State::Delivered)).await;
    }
    let failures = [
        ("hang", "timeout", "within 0.4 s"),
        ("redirect", "redirect", "not followed"),
        ("huge-head", "closed", ""),
        ("nonsense", "closed", ""),
        ("closes", "closed", "without an answer"),
        ("down", "status", ""),
        ("nobody", "connect", ""),
        ("plain", "tls", ""),
        ("inside", "inward_address", "10.1.2.3 is not on the public internet (private)"),
        ("nameless", "name", "no address"),
    ];
    for (name, failure, detail) in failures {
        until(name, || world.deliveries(name).iter().any(|it| !it.tries.is_empty())).await;
        let deliveries = world.deliveries(name);
        let tried = deliveries.iter().find_map(|it| it.tries.last().cloned()).unwrap();
        assert_eq!(tried.failure.map(AttemptFailure::as_str), Some(failure), "{name}: {tried:?}");
        assert!(tried.detail.contains(detail), "{name}: {tried:?}");
    }
    // One that fails is left alone: of twenty that wait for it, one was tried.
    assert_eq!(receiver.seen("/down").len(), 1);
    assert_eq!(receiver.seen("/redirect").len(), 1);
    assert!(receiver.seen("/latest/").is_empty());
}

#[tokio::test]
async fn what_fails_is_tried_again_by_the_clock_under_one_name_until_it_is_taken() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    world.create("it", format!("{address}/flaky")).await;
    world.decided("d-1").await;
    for attempt in 1..=2 {
        let it = world.tried("it", attempt).await;
        assert_eq!(it.state, State::Waiting);
        let now_ms = world.now_ms.load(Ordering::SeqCst);
        let wait_ms = world.next_ms() - now_ms;
        assert!(wait_ms > 3_000, "{wait_ms}");
        world.advance(wait_ms - 1);
        assert_eq!(world.next_ms() - world.now_ms.load(Ordering::SeqCst), 1);
        assert_eq!(receiver.seen("/flaky").len(), attempt as usize, "not a moment sooner");
        world.advance(10_000);
    }
    let it = world.tried("it", 3).await;
    assert_eq!(it.state, State::Delivered);
    let seen = receiver.seen("/flaky");
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.header("webhook-id") == it.id && seen.body == *it.event.body));
    let times: BTreeSet<&str> = seen.iter().map(|seen| seen.header("webhook-timestamp")).collect();
    assert_eq!(times.len(), 3, "each attempt is signed at its own time");
    let secret = world.master.shown("it", 0);
    assert!(seen.iter().all(|seen| is_signed(seen, &secret)));
    assert!(!is_signed(
        &Seen { body: seen[0].body.replace("acme", "bcme") + " ", ..seen[0].clone() },
        &secret
    ));
    let other = world.master.shown("other", 0);
    assert!(!is_signed(&seen[0], &other));
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_its_successor_for_a_day_and_no_secret_is_written_anywhere() {
    let disk = MemoryDisk::default();
    let config = WebhooksConfig { allow_loopback: true, ..WebhooksConfig::default() };
    let world = World::on(&disk, 1_790_000_000_000, &config);
    let (receiver, address) = Receiver::start().await;
    world.create("it", format!("{address}/ok")).await;
    let (former, secret) = (world.master.shown("it", 0), world.master.shown("it", 1));
    world.decided("d-1").await;
    world.tried("it", 1).await;
    world.ask("it", EndpointAsk::Rotate { master: world.master.which() }).await;
    world.decided("d-2").await;
    world.tried("it", 1).await;
    world.advance(DAY_MS + 1);
    world.decided("d-3").await;
    world.tried("it", 1).await;
    let seen = receiver.seen("/ok");
    let signed: Vec<(bool, bool)> =
        seen.iter().map(|seen| (is_signed(seen, &former), is_signed(seen, &secret))).collect();
    assert_eq!(signed, [(true, false), (true, true), (false, true)]);
    let records = world.log.read(Topic::Webhooks.name(), 0, 0, ReadLimit::default()).unwrap();
    assert!(records.len() >= 8);
    for shown in [&former, &secret] {
        let shown = shown.trim_start_matches("whsec_");
        assert!(records.iter().all(|record| !String::from_utf8_lossy(&record.value).contains(shown)));
    }
}

#[tokio::test]
async fn gone_ends_it_and_a_key_that_was_revoked_is_told_nothing_more() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    world.create("it", format!("{address}/gone")).await;
    let revoked = EndpointOwner::Buyer { key: "revoked".to_owned() };
    let what = EndpointAsk::Create {
        url: format!("{address}/revoked"),
        events: Vec::new(),
        description: None,
        master: world.master.which(),
    };
    world.append(WebhookRecord::Asked { endpoint: "buyer".to_owned(), by: revoked.clone(), what }).await;
    world
        .append(WebhookRecord::Asked { endpoint: "buyer".to_owned(), by: revoked, what: EndpointAsk::Test })
        .await;
    world.decided("d-1").await;
    world.decided("d-2").await;
    world.tried("it", 0).await;
    until("it is disabled", || world.view.get(&acme(), "it").is_some_and(|it| it.disabled.is_some())).await;
    world.advance(DAY_MS);
    world.create("after", format!("{address}/ok")).await;
    world.decided("d-3").await;
    world.tried("after", 1).await;
    assert_eq!(receiver.seen("/gone").len(), 1);
    assert!(receiver.seen("/revoked").is_empty());
}

#[tokio::test]
async fn an_endpoint_whose_owners_key_stays_revoked_is_disabled_and_the_operators_are_told() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    let create = |url: String| EndpointAsk::Create {
        url,
        events: Vec::new(),
        description: None,
        master: world.master.which(),
    };
    let asked = |endpoint: &str, by: &EndpointOwner, what| WebhookRecord::Asked {
        endpoint: endpoint.to_owned(),
        by: by.clone(),
        what,
    };
    let revoked = EndpointOwner::Buyer { key: "revoked".to_owned() };
    world.append(asked("buyer", &revoked, create(format!("{address}/revoked")))).await;
    let unknown = EndpointOwner::Buyer { key: "unknown".to_owned() };
    world.append(asked("kept", &unknown, create(format!("{address}/unknown")))).await;
    world.append(asked("kept", &unknown, EndpointAsk::Test)).await;
    world.append(asked("ops", &EndpointOwner::Operators, create(format!("{address}/ops")))).await;
    world.append(asked("buyer", &revoked, EndpointAsk::Test)).await;
    let is_disabled = || world.view.get(&revoked, "buyer").is_some_and(|it| it.disabled.is_some());
    // Once the operators' turn has come it was looked whose keys are there; that one is not has to last.
    world.advance(crate::rights::LOOK_MS);
    world.append(asked("ops", &EndpointOwner::Operators, EndpointAsk::Test)).await;
    world.tried("ops", 1).await;
    assert!(!is_disabled());
    // It counts from when it was seen first, which may be after this or before.
    until("it is disabled", || {
        world.advance(crate::rights::GONE_MS / 10);
        is_disabled()
    })
    .await;
    let (_, why) = world.view.get(&revoked, "buyer").unwrap().disabled.clone().unwrap();
    assert_eq!(why, "the key revoked was revoked, or has another role now");
    assert_eq!(world.deliveries("buyer")[0].state, State::Failed, "what it was owed does not wait for ever");
    until("the operators are told", || receiver.seen("/ops").len() == 2).await;
    let told: serde_json::Value = serde_json::from_str(&receiver.seen("/ops")[1].body).unwrap();
    assert_eq!(
        (told["type"].as_str(), told["data"]["webhook"].as_str()),
        (Some("webhook.disabled"), Some("buyer"))
    );
    assert_eq!(told["data"]["of"], serde_json::json!({ "owner": "buyer", "key": "revoked" }));
    assert!(receiver.seen("/revoked").is_empty());
    let kept = world.view.get(&unknown, "kept").unwrap();
    assert!(kept.disabled.is_none(), "where keys are not known nobody is taken for gone");
    assert!(receiver.seen("/unknown").is_empty(), "nor is anybody told anything");
}

#[tokio::test]
async fn each_of_several_rotated_secrets_signs_until_its_own_day_is_over() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    world.create("it", format!("{address}/ok")).await;
    let secrets = [0, 1, 2].map(|renewed| world.master.shown("it", renewed));
    let rotate = || EndpointAsk::Rotate { master: world.master.which() };
    world.ask("it", rotate()).await;
    world.advance(DAY_MS / 2);
    world.ask("it", rotate()).await;
    for (number, later) in [0, DAY_MS / 2 + 1, DAY_MS].into_iter().enumerate() {
        world.advance(later);
        world.decided(&format!("d-{number}")).await;
        world.tried("it", 1).await;
    }
    let signed: Vec<[bool; 3]> = receiver
        .seen("/ok")
        .iter()
        .map(|seen| [0, 1, 2].map(|renewed| is_signed(seen, &secrets[renewed])))
        .collect();
    assert_eq!(signed, [[true, true, true], [false, true, true], [false, false, true]]);
}

#[tokio::test]
async fn a_clock_that_jumped_forward_and_back_delays_nothing_by_the_jump() {
    let world = World::new();
    let (receiver, address) = Receiver::start().await;
    world.create("it", format!("{address}/ok")).await;
    world.advance(DAY_MS);
    world.decided("in the future").await;
    world.tried("it", 1).await;
    // The log stays a day ahead of the clock from here on.
    world.advance(-DAY_MS);
    for number in 0..3 {
        world.decided(&format!("d-{number}")).await;
        world.tried("it", 1).await;
    }
    assert_eq!(receiver.seen("/ok").len(), 4);
    // Signatures are of this machine's clock nevertheless.
    let stamped: i64 = receiver.seen("/ok")[3].header("webhook-timestamp").parse().unwrap();
    assert_eq!(stamped, world.now_ms.load(Ordering::SeqCst) / 1_000);
}

#[tokio::test]
async fn while_the_log_is_ahead_of_the_clock_time_goes_on_and_never_back() {
    let mut time = Time::default();
    assert_eq!(time.now(1_000, 900), 1_000);
    let begun = time.now(1_000, 5_000);
    assert!(begun >= 5_000);
    let mut last = begun;
    let goes_on = async {
        while last < begun + 20 {
            let now = time.now(1_000, 5_000);
            assert!(now >= last, "{now} after {last}");
            last = now;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), goes_on).await.unwrap();
    assert!(time.now(1_000, 9_000_000) >= 9_000_000, "the log has gone further");
    assert_eq!(time.now(9_000_001, 9_000_000), 9_000_001, "the clock has caught up");
}

#[tokio::test]
async fn what_was_owed_when_a_process_ended_is_sent_by_the_next_with_the_same_name() {
    let disk = MemoryDisk::default();
    let config = WebhooksConfig { allow_loopback: true, deadline_ms: 30_000, ..WebhooksConfig::default() };
    let (receiver, address) = Receiver::start().await;
    let (first, until_ms) = {
        let world = World::on(&disk, 1_790_000_000_000, &config);
        world.create("it", format!("{address}/hang")).await;
        world.decided("d-1").await;
        until("it is being sent", || !receiver.seen("/hang").is_empty()).await;
        world.end.send_replace(true);
        let moved = EndpointAsk::Change {
            url: Some(format!("{address}/ok")),
            events: None,
            description: None,
            enabled: None,
        };
        let record = WebhookRecord::Asked { endpoint: "it".to_owned(), by: acme(), what: moved };
        world.log.append(vec![new_record("", record)], Ack::Durable).await.unwrap();
        (receiver.seen("/hang")[0].clone(), world.now_ms.load(Ordering::SeqCst))
    };
    let world = World::on(&disk, until_ms + 1_000, &config);
    until("the next process has sent it", || receiver.seen("/ok").len() == 1).await;
    let second = receiver.seen("/ok")[0].clone();
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    assert_eq!(world.tried("it", 1).await.state, State::Delivered);
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_configured_authority_vouches_for_and_with_nobody_else() {
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let text = {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(made.cert.der())
    };
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    std::fs::write(&ca_file, pem).unwrap();
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/tls", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut chunk = [0; 8_192];
            let _ = stream.read(&mut chunk).await;
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let config = WebhooksConfig { allow_loopback: true, ca_file: Some(ca_file), ..WebhooksConfig::default() };
    let trusting = World::on(&MemoryDisk::default(), 1_790_000_000_000, &config);
    trusting.create("it", url.clone()).await;
    trusting.decided("d-1").await;
    let it = trusting.tried("it", 1).await;
    assert_eq!((it.state, it.tries[0].status), (State::Delivered, Some(202)), "{it:?}");
    let wary = World::new();
    wary.create("it", url).await;
    wary.decided("d-1").await;
    let it = wary.tried("it", 1).await;
    assert_eq!(it.tries[0].failure, Some(AttemptFailure::Tls), "{it:?}");
}
