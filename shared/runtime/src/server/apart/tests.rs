use axum::routing::{get, post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    runtime::{Builder, Runtime},
};

use super::{super::tests::answer, *};
use crate::{Principal, Role};

fn of(path: &str) -> Option<Lane> {
    match path {
        "/livez" => None,
        path if path.starts_with("/buy") => Some(Lane::Buyers),
        path if path.starts_with("/sell") => Some(Lane::Suppliers),
        _ => Some(Lane::People),
    }
}

/// Says on which thread it runs.
async fn here() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

fn router() -> Router {
    // As if all suppliers showed a valid key, and nobody else.
    let echo = |request: Request| async move {
        let by = Principal { id: "acme".to_owned(), role: Role::Buyer, fingerprint: String::new() };
        super::super::showed_key(request.extensions(), &by);
        let body = axum::body::to_bytes(request.into_body(), 1 << 10).await.unwrap();
        format!("{} {}", here().await, body.len())
    };
    Router::new()
        .route("/buy", get(here))
        .route("/sell", post(echo))
        .route("/decide", get(here))
        .route("/livez", get(here))
        // Keeps its thread, as work does that has no end.
        .route("/sell/busy", get(|| async { std::thread::park() }))
}

struct Running {
    runtimes: Option<[Runtime; 3]>,
    everybody: std::net::SocketAddr,
    buyers: std::net::SocketAddr,
    shutdown: Shutdown,
    serving: [JoinHandle<()>; 2],
}

impl Running {
    async fn start(bounds: Connections) -> Self {
        let runtimes = ["buyers", "suppliers", "people"].map(|name| {
            Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
        });
        let [buyers, suppliers, people] = runtimes.each_ref().map(|runtime| runtime.handle().clone());
        let lanes = Lanes { buyers, suppliers, people, of };
        let everybody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = (everybody.local_addr().unwrap(), own.local_addr().unwrap());
        let shutdown = Shutdown::default();
        let first = serve_apart(everybody, router(), bounds.clone(), lanes.clone(), shutdown.clone());
        let second = serve_lane(own, router(), bounds, (lanes, Lane::Buyers), shutdown.clone());
        let serving = [tokio::spawn(first), tokio::spawn(second)];
        Self { runtimes: Some(runtimes), everybody: addresses.0, buyers: addresses.1, shutdown, serving }
    }

    async fn end(mut self) {
        self.shutdown.begin();
        for serving in self.serving {
            serving.await.unwrap();
        }
        for runtime in self.runtimes.take().into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// One request on a connection that stays; its status and body.
async fn ask(stream: &mut TcpStream, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = answer(stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn get_of(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test]
async fn every_call_runs_on_threads_of_its_kind_whatever_its_connection_began_with() {
    let server = Running::start(Connections::default()).await;
    let post = "POST /sell HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
    for first in [get_of("/buy?x=1"), post.to_owned(), get_of("/decide")] {
        let mut stream = TcpStream::connect(server.everybody).await.unwrap();
        ask(&mut stream, &first).await;
        assert_eq!(ask(&mut stream, &get_of("/buy")).await, (200, "buyers".to_owned()));
        assert_eq!(ask(&mut stream, post).await, (200, "suppliers 5".to_owned()), "its body comes along");
        assert_eq!(ask(&mut stream, &get_of("/decide")).await, (200, "people".to_owned()));
    }
    server.end().await;
}

#[tokio::test]
async fn the_address_of_buyers_serves_them_and_probes_and_tells_others_where_to_go() {
    let server = Running::start(Connections::default()).await;
    let mut stream = TcpStream::connect(server.buyers).await.unwrap();
    assert_eq!(ask(&mut stream, &get_of("/buy")).await, (200, "buyers".to_owned()));
    assert_eq!(ask(&mut stream, &get_of("/livez")).await, (200, "buyers".to_owned()));
    for path in ["/decide", "/sell/busy", "/nothing"] {
        let (status, body) = ask(&mut stream, &get_of(path)).await;
        assert!(status == 421 && body.contains("wrong_address"), "{status} {body}");
    }
    server.end().await;
}

#[tokio::test]
async fn suppliers_that_keep_all_their_threads_busy_hold_up_no_buyer_and_nobody_who_decides() {
    let server = Running::start(Connections::default()).await;
    // The one thread of suppliers is gone for good with the first; the others wait for it.
    let mut flood = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.everybody).await.unwrap();
        stream.write_all(get_of("/sell/busy").as_bytes()).await.unwrap();
        flood.push(stream);
    }
    for address in [server.everybody, server.buyers] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut stream, &get_of("/buy")).await, (200, "buyers".to_owned()));
    }
    let mut stream = TcpStream::connect(server.everybody).await.unwrap();
    assert_eq!(ask(&mut stream, &get_of("/decide")).await, (200, "people".to_owned()));
    for runtime in server.runtimes.into_iter().flatten() {
        runtime.shutdown_background();
    }
}

#[tokio::test]
async fn suppliers_that_have_all_their_connections_take_none_of_buyers() {
    let bounds = Connections { max: 2, per_key_max_percent: 100, ..Connections::default() };
    let server = Running::start(bounds).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.everybody).await.unwrap();
        ask(&mut stream, "POST /sell HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
        held.push(stream);
    }
    let mut third = TcpStream::connect(server.everybody).await.unwrap();
    let (status, body) = ask(&mut third, "POST /sell HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
    assert!(status == 503 && body.contains("too_many_connections"), "{status} {body}");
    let mut buyer = TcpStream::connect(server.everybody).await.unwrap();
    assert_eq!(ask(&mut buyer, &get_of("/buy")).await, (200, "buyers".to_owned()));
    drop((held, buyer));
    server.end().await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_show_no_key_take_no_place_that_somebody_else_needs() {
    let server = Running::start(Connections { max: 2, ..Connections::default() }).await;
    for address in [server.everybody, server.buyers] {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(TcpStream::connect(address).await.unwrap());
            let mut idle = TcpStream::connect(address).await.unwrap();
            assert_eq!(ask(&mut idle, &get_of("/buy")).await, (200, "buyers".to_owned()));
            held.push(idle);
        }
    }
    server.end().await;
}

#[test]
fn what_is_of_nobody_goes_where_standing_back_is_the_rule() {
    for (first, lane) in [
        (&b"GET /buy?x=1 HTTP/1.1"[..], Lane::Buyers),
        (b"POST /sell HTTP/1.1", Lane::Suppliers),
        (b"GET /decide HTTP/1.1", Lane::People),
        (b"GET /livez HTTP/1.1", Lane::People),
        (b"\x16\x03\x01", Lane::Suppliers),
        (b"GET", Lane::Suppliers),
        (b"GET /\xff HTTP/1.1", Lane::Suppliers),
        (b"GET http://x/buy HTTP/1.1", Lane::Suppliers),
    ] {
        assert_eq!(lane_of(first, of), lane, "{}", first.escape_ascii());
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut_before_it_is_anybodys_and_one_that_is_no_http_is_told() {
    let server = Running::start(Connections { head_deadline_ms: 20, ..Connections::default() }).await;
    let mut silent = TcpStream::connect(server.everybody).await.unwrap();
    let mut nothing = Vec::new();
    let _ = silent.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    let mut stream = TcpStream::connect(server.everybody).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(String::from_utf8(answer).unwrap().contains("unreadable_request"));
    server.end().await;
}
