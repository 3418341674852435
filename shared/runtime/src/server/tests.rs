use std::sync::Arc;

use axum::{
    Extension,
    routing::{get, post},
};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;
use crate::{Principal, Role, body};

mod framing;
mod of_keys;

/// Far beyond any test.
const NEVER_MS: u64 = 3_600_000;
/// As good as at once.
const SOON_MS: u64 = 20;

/// Bounds under which nothing is cut.
fn patient() -> Connections {
    Connections {
        max: 16,
        head_deadline_ms: NEVER_MS,
        body_deadline_ms: NEVER_MS,
        idle_ms: NEVER_MS,
        stall_ms: NEVER_MS,
        without_key_per_address: 1_000,
        idle_without_key_ms: NEVER_MS,
        per_key_max_percent: 100,
        trusted_peers: Networks(Vec::new()),
        ..Connections::default()
    }
}

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    /// What the handler of `/held` waits for.
    gate: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(bounds: Connections) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, gate) = (Shutdown::default(), Arc::new(Notify::new()));
        let router = Router::new()
            .route("/", get(|| async { "here" }))
            // As if a valid key had been found.
            .route(
                "/key",
                get(|request: Request| async move {
                    let by =
                        Principal { id: "ada".to_owned(), role: Role::Buyer, fingerprint: String::new() };
                    showed_key(request.extensions(), &by);
                    "here"
                }),
            )
            .route("/refused", get(|| async { (StatusCode::UNAUTHORIZED, "not here") }))
            .route("/large", get(|| async { vec![b'x'; 64 << 20] }))
            .route(
                "/held",
                get(|Extension(gate): Extension<Arc<Notify>>| async move {
                    gate.notified().await;
                    "let go"
                }),
            )
            .route("/body", post(|body::Body(bytes): body::Body| async move { bytes.len().to_string() }))
            .layer(Extension(gate.clone()));
        let task = tokio::spawn(serve(listener, router, bounds, Listener::Api, shutdown.clone()));
        Self { address, shutdown, gate, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_and_ask(&self) -> TcpStream {
        let mut stream = self.connect().await;
        ask(&mut stream).await;
        stream
    }
}

/// Everything up to the end of the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut may end in a reset rather than an end; both are the end.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

/// Reads one answer, which says how long it is; the connection stays open, unless the answer says that it does not.
pub(super) async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut more = [0; 1_024];
        let count = stream.read(&mut more).await.unwrap();
        assert!(count > 0, "it ended early: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&more[..count]);
        let text = String::from_utf8(answer.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.parse::<usize>().unwrap() == body.len()) {
            return text;
        }
    }
}

/// Asks for `/` and reads the answer; the connection stays open.
async fn ask(stream: &mut TcpStream) -> String {
    ask_for(stream, "/").await
}

/// Asks for a path that says it is here, or not, and reads the answer; the connection stays open.
async fn ask_for(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"here") {
        let mut more = [0; 512];
        let count = stream.read(&mut more).await.unwrap();
        assert!(count > 0, "it ended early");
        answer.extend_from_slice(&more[..count]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_connection_that_sends_no_head_or_never_ends_one_is_cut() {
    let server = Running::start(Connections { head_deadline_ms: SOON_MS, ..patient() }).await;
    let mut silent = server.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let mut begun = server.connect().await;
    begun.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    assert_eq!(rest(&mut begun).await, "");
}

#[tokio::test]
async fn a_head_that_trickles_in_gains_no_time_by_it() {
    let server = Running::start(Connections { head_deadline_ms: SOON_MS, ..patient() }).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = async {
        write.write_all(b"GET / HTTP/1.1\r\n").await?;
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        loop {
            pace.tick().await;
            write.write_all(b"x: y\r\n").await?;
        }
    };
    let ended = async {
        let mut nothing = Vec::new();
        let _ = read.read_to_end(&mut nothing).await;
        nothing
    };
    let trickle: std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>> = Box::pin(trickle);
    tokio::select! {
        written = trickle => assert!(written.is_err(), "it was cut while writing"),
        got = ended => assert!(got.is_empty(), "it was cut without an answer"),
    }
}

#[tokio::test]
async fn a_second_head_has_its_deadline_too() {
    let server = Running::start(Connections { head_deadline_ms: 1_000, ..patient() }).await;
    let mut stream = server.connect().await;
    ask(&mut stream).await;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_without_another_request_is_closed_when_it_was_idle_long_enough() {
    let server = Running::start(Connections { idle_ms: SOON_MS, ..patient() }).await;
    let mut stream = server.connect().await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_is_kept_only_for_whoever_has_shown_a_key_last_as_well() {
    let server = Running::start(Connections { idle_without_key_ms: SOON_MS, ..patient() }).await;
    let mut known = server.connect().await;
    ask_for(&mut known, "/key").await;
    let mut unknown = server.connect().await;
    ask(&mut unknown).await;
    assert_eq!(rest(&mut unknown).await, "");
    assert!(ask(&mut known).await.starts_with("HTTP/1.1 200"), "it is kept");
    assert!(ask_for(&mut known, "/refused").await.starts_with("HTTP/1.1 401"));
    assert_eq!(rest(&mut known).await, "", "a key that was revoked is none");

    let trusted_peers = Networks::of_this_machine();
    let bounds = Connections { idle_without_key_ms: SOON_MS, trusted_peers, ..patient() };
    let behind_a_proxy = Running::start(bounds).await;
    let mut proxy = behind_a_proxy.connect().await;
    ask_for(&mut proxy, "/refused").await;
    // As long as it takes to cut one that has no key.
    assert_eq!(rest(&mut server.connect_and_ask().await).await, "");
    assert!(ask(&mut proxy).await.starts_with("HTTP/1.1 200"), "the next may be another caller's");
}

#[tokio::test]
async fn an_address_has_so_many_connections_without_a_key_and_each_that_shows_one_makes_room() {
    let server = Running::start(Connections { without_key_per_address: 1, ..patient() }).await;
    let mut first = server.connect().await;
    ask(&mut first).await;
    let mut second = server.connect().await;
    assert_eq!(rest(&mut second).await, "", "it is closed, and told nothing");
    ask_for(&mut first, "/key").await;
    let mut third = server.connect().await;
    assert!(ask(&mut third).await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"), "nobody is cut for it");
}

#[tokio::test]
async fn where_all_places_are_taken_whoever_has_shown_no_key_makes_room() {
    let server = Running::start(Connections { max: 2, ..patient() }).await;
    let mut known = server.connect().await;
    ask_for(&mut known, "/key").await;
    let mut unknown = server.connect().await;
    ask(&mut unknown).await;
    let mut new = server.connect().await;
    assert!(ask_for(&mut new, "/key").await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut unknown).await, "");
    assert!(ask(&mut known).await.starts_with("HTTP/1.1 200"));
    let mut late = server.connect().await;
    let _ = late.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(rest(&mut late).await.contains("too_many_connections"), "those two stay");
}

#[test]
fn bounds_that_cannot_be_are_named() {
    let trusted_peers = Networks(vec!["10.0.0.0/8".to_owned(), "proxy.example".to_owned()]);
    let bounds =
        Connections { without_key_per_address: 0, per_key_max_percent: 101, trusted_peers, ..patient() };
    let wrong = bounds.problems();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    for (wrong, named) in
        wrong.iter().zip(["without_key_per_address", "per_key_max_percent", "\"proxy.example\""])
    {
        assert!(wrong.contains(named), "{wrong}");
    }
    let none = Connections { per_key_max_percent: 0, ..patient() };
    assert!(none.problems().iter().any(|wrong| wrong.contains("per_key_max_percent")));
    assert_eq!(Connections::default().per_key_max(), 491);
    assert_eq!(Connections { max: 1, ..Connections::default() }.per_key_max(), 1, "one at least");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408() {
    let server = Running::start(Connections { body_deadline_ms: SOON_MS, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nsome").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_too_slow") && answer.contains("application/problem+json"), "{answer}");

    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nsome")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.ends_with("\r\n\r\n4"), "one that arrives is read");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_of_its_answer_is_cut() {
    let server = Running::start(Connections { stall_ms: SOON_MS, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Wait until the answer has begun, so that ending the server is not what ends the connection.
    stream.readable().await.unwrap();
    server.shutdown.begin();
    // It ends when all its connections have, and this one would wait for its peer for ever.
    server.task.await.unwrap();
}

#[tokio::test]
async fn past_the_bound_a_connection_is_told_503_and_closed_and_a_place_that_is_free_is_given_again() {
    let server = Running::start(Connections { max: 1, ..patient() }).await;
    let mut first = server.connect().await;
    ask_for(&mut first, "/key").await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = rest(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_connections"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("retry-after: 1") && head.contains(&format!("content-length: {}", body.len())));
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"), "the one that was there is served on");

    drop(first);
    loop {
        let mut third = server.connect().await;
        let _ = third.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        if rest(&mut third).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_answered_and_idle_connections_closed() {
    let server = Running::start(patient()).await;
    let mut idle = server.connect().await;
    ask(&mut idle).await;
    let mut held = server.connect().await;
    held.write_all(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // A second request on another connection is answered only after the first was read, for the runtime has one thread.
    ask(&mut server.connect().await).await;
    server.shutdown.begin();
    assert_eq!(rest(&mut idle).await, "");
    server.gate.notify_one();
    assert!(rest(&mut held).await.ends_with("let go"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_problem_and_closed() {
    let server = Running::start(patient()).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100 << 10));
    for (bytes, status, code) in [
        (&b"GET /listings/\xff HTTP/1.1\r\nhost: x\r\n\r\n"[..], "400 Bad Request", "unreadable_request"),
        (b"GET /?sku=\xc3( HTTP/1.1\r\nhost: x\r\n\r\n", "400 Bad Request", "unreadable_request"),
        (b"nonsense\r\n\r\n", "400 Bad Request", "unreadable_request"),
        (long.as_bytes(), "431 Request Header Fields Too Large", "head_too_large"),
    ] {
        let mut peer = server.connect().await;
        // It may refuse and close before it has read everything.
        let _ = peer.write_all(bytes).await;
        let answer = rest(&mut peer).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("application/problem+json")
                && head.contains(&format!("content-length: {}", body.len()))
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], code);
    }
    // After a good request on the same connection as well, and a good one is answered as ever.
    let mut peer = server.connect().await;
    ask(&mut peer).await;
    peer.write_all(b"\xff\r\n\r\n").await.unwrap();
    assert!(rest(&mut peer).await.contains("unreadable_request"));
}
