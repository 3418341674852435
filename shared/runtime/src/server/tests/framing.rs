//! Heads that no honest client sends, by the thousand, against a real listener: whatever comes, nothing panics, every connection
//! ends, nobody beside notices, and no bytes of a body are taken for a request.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Where to begin: requests that are right, and ways of framing that servers and proxies have disagreed about.
const SEEDS: [&str; 16] = [
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5, 5\r\n\r\nhello",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 40\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nx-folded: one\r\n two\r\n\r\n",
    "GET / HTTP/1.1\nhost: x\n\n",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nhello",
    "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
    "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "POST /body HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
];

/// Changes a request in one of the ways in which requests are wrong.
fn mutate(seed: u64, number: u64) -> Vec<u8> {
    // SplitMix64 (Steele, Lea and Flood, 2014): enough to choose by, and the same everywhere.
    let mut state = seed.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    };
    let mut bytes = SEEDS[random(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..random(4) {
        let at = random(bytes.len());
        match random(8) {
            0 => bytes.truncate(at),
            1 => bytes[at] = random(256) as u8,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, b"\r\n \t:\0,;"[random(8)]),
            // Two of the same line.
            4 => {
                let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let twice = lines[random(lines.len())].to_vec();
                let at = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                bytes.splice(at..at, twice);
            }
            // One behind the other.
            5 => bytes.extend_from_slice(SEEDS[random(SEEDS.len())].as_bytes()),
            // Far too long, in a header or in many.
            6 => {
                let long = match random(2) {
                    0 => format!("x: {}\r\n", "y".repeat(random(80 << 10))),
                    _ => "x: y\r\n".repeat(random(300)),
                };
                let at = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                bytes.splice(at..at, long.into_bytes());
            }
            _ => bytes.splice(at..at, *b"Transfer-Encoding: chunked\r\n").for_each(drop),
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A server that counts what it was asked, and what of that nobody may have asked for.
async fn counting() -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, gate) = (Shutdown::default(), Arc::new(Notify::new()));
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/body", post(|body::Body(bytes): body::Body| async move { bytes.len().to_string() }))
        .layer(axum::middleware::from_fn(move |request: Request, next: axum::middleware::Next| {
            count.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
    let soon = Connections {
        head_deadline_ms: 200,
        body_deadline_ms: 200,
        idle_ms: 200,
        stall_ms: 200,
        ..patient()
    };
    let bounds = Connections { max: 256, ..soon };
    let task = tokio::spawn(serve(listener, router, bounds, Listener::Api, shutdown.clone()));
    (Running { address, shutdown, gate, task }, asked)
}

/// Final answers among what came back: `100 Continue` is none.
fn answers(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    text.matches("HTTP/1.").count() - text.matches("HTTP/1.1 100").count()
}

#[tokio::test]
async fn whatever_heads_come_every_connection_ends_each_call_has_one_answer_and_others_are_served() {
    let (server, asked) = counting().await;
    for round in 0..40 {
        let before = asked.load(Ordering::SeqCst);
        let sent: Vec<Vec<u8>> = (0..50).map(|number| mutate(7, round * 50 + number)).collect();
        let server = &server;
        let peers = sent.iter().map(|bytes| async move {
            let mut peer = server.connect().await;
            // It may refuse and close before it has read everything.
            let _ = peer.write_all(bytes).await;
            let _ = peer.shutdown().await;
            let mut got = Vec::new();
            let _ = peer.read_to_end(&mut got).await;
            (bytes, got)
        });
        let all = futures_util::future::join_all(peers).await;
        let mut answered = 0;
        for (bytes, got) in &all {
            let requests = bytes.windows(7).filter(|part| *part == b" HTTP/1").count();
            assert!(
                answers(got) <= requests.max(1) + 1,
                "{} answers to {:?}",
                answers(got),
                String::from_utf8_lossy(bytes)
            );
            answered += answers(got);
        }
        let called = asked.load(Ordering::SeqCst) - before;
        // Those that are no HTTP are answered without being a call; those that went away are calls without an answer.
        assert!(called <= answered + all.len(), "{called} calls, {answered} answers");
        let mut beside = server.connect().await;
        assert!(ask(&mut beside).await.starts_with("HTTP/1.1 200"), "round {round}");
    }
    server.shutdown.begin();
    server.task.await.unwrap();
}

#[tokio::test]
async fn no_body_is_taken_for_a_request_however_its_length_is_told() {
    let inner = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = |body: &str| format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for (head, body, what) in [
        (format!("content-length: {}\r\n", inner.len()), inner.to_owned(), "a length"),
        ("transfer-encoding: chunked\r\n".to_owned(), chunked(inner), "chunks"),
        ("Transfer-Encoding: CHUNKED\r\n".to_owned(), chunked(inner), "chunks in capitals"),
        (
            format!("content-length: {0}\r\ncontent-length: {0}\r\n", inner.len()),
            inner.to_owned(),
            "the same length twice",
        ),
    ] {
        let (server, asked) = counting().await;
        let mut peer = server.connect().await;
        // The connection stays open for whatever would be read as a second request.
        let request = format!("POST /body HTTP/1.1\r\nhost: x\r\n{head}\r\n{body}");
        peer.write_all(request.as_bytes()).await.unwrap();
        peer.shutdown().await.unwrap();
        let answer = rest(&mut peer).await;
        assert_eq!(answers(answer.as_bytes()), 1, "{what}: {answer}");
        assert!(asked.load(Ordering::SeqCst) <= 1, "{what}");
        assert!(
            answer.ends_with(&inner.len().to_string()) || answer.starts_with("HTTP/1.1 400"),
            "{what}: {answer}"
        );
    }
    // What says two things is answered once and closed, whatever follows.
    for two in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "content-length: 3\r\ncontent-length: 4\r\n",
        "transfer-encoding: identity, chunked, identity\r\n",
        "transfer-encoding: chunked, gzip\r\n",
    ] {
        let (server, asked) = counting().await;
        let mut peer = server.connect().await;
        let request = format!("POST /body HTTP/1.1\r\nhost: x\r\n{two}\r\n0\r\n\r\n{inner}");
        peer.write_all(request.as_bytes()).await.unwrap();
        let _ = peer.shutdown().await;
        let answer = rest(&mut peer).await;
        assert!(answers(answer.as_bytes()) <= 1, "{two}: {answer}");
        assert!(asked.load(Ordering::SeqCst) <= 1, "{two}: what followed was taken for a request");
    }
}
