//! What one valid key can take from everybody else: its share of the connections, and nothing by calls that are not for it.

use super::*;
use crate::{Caller, KeyRing};

/// A server with one call for buyers and one for analysts, and the keys of two buyers and an analyst.
struct WithKeys {
    address: SocketAddr,
    buyers: [String; 2],
    analyst: String,
}

impl WithKeys {
    async fn start(bounds: Connections) -> Self {
        let ring = KeyRing::default();
        let buyers = ["ada", "ben"].map(|name| ring.create(name, Role::Buyer).unwrap());
        let analyst = ring.create("dee", Role::Analyst).unwrap();
        let buy = |caller: Caller| async move { caller.must(|role| *role == Role::Buyer).map(|()| "bought") };
        let decide = |caller: Caller| async move { caller.must(Role::is_staff).map(|()| "decided") };
        let router =
            Router::new().route("/buy", get(buy)).route("/decide", get(decide)).layer(Extension(ring));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router, bounds, Listener::Api, Shutdown::default()));
        Self { address, buyers, analyst }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has been answered `status` to a call with this key.
    async fn connect_as(&self, key: &str, path: &str, status: u16) -> TcpStream {
        let mut stream = self.connect().await;
        let answer = ask_as(&mut stream, key, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        stream
    }
}

/// Asks with a key and reads the answer; the connection stays open, unless the answer says that it does not.
async fn ask_as(stream: &mut TcpStream, key: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

#[tokio::test]
async fn one_key_keeps_its_share_of_connections_and_those_past_it_make_room_for_others() {
    let server = WithKeys::start(Connections { max: 4, per_key_max_percent: 50, ..patient() }).await;
    let [ada, ben] = &server.buyers;
    let mut kept = [server.connect_as(ada, "/buy", 200).await, server.connect_as(ada, "/buy", 200).await];
    let mut past = [server.connect_as(ada, "/buy", 200).await, server.connect_as(ada, "/buy", 200).await];
    assert!(ask_as(&mut past[0], ada, "/buy").await.ends_with("bought"), "it is served on");
    let mut others = Vec::new();
    for past in &mut past {
        others.push(server.connect_as(ben, "/buy", 200).await);
        assert_eq!(rest(past).await, "", "all places were taken, and this was nobody's");
    }
    for stream in &mut kept {
        assert!(ask_as(stream, ada, "/buy").await.ends_with("bought"), "its share is kept");
    }
    for stream in &mut others {
        assert!(ask_as(stream, ben, "/buy").await.ends_with("bought"));
    }
}

#[tokio::test]
async fn connections_whose_key_is_not_for_the_call_take_no_place_that_somebody_else_needs() {
    let server = WithKeys::start(Connections { max: 2, ..patient() }).await;
    let [ada, ben] = &server.buyers;
    let mut held =
        [server.connect_as(ada, "/decide", 403).await, server.connect_as(ada, "/decide", 403).await];
    let mut honest = Vec::new();
    for held in &mut held {
        honest.push(server.connect_as(&server.analyst, "/decide", 200).await);
        assert_eq!(rest(held).await, "");
    }
    // One that was its caller's is nobody's with the first such call.
    let mut slipped = honest.remove(0);
    assert!(ask_as(&mut slipped, &server.analyst, "/buy").await.contains("wrong_role"));
    let _honest = server.connect_as(ben, "/buy", 200).await;
    assert_eq!(rest(&mut slipped).await, "");
    assert!(ask_as(&mut honest[0], &server.analyst, "/decide").await.ends_with("decided"), "it stays");
}

#[tokio::test]
async fn a_connection_whose_key_is_not_for_the_call_is_kept_no_longer_than_one_without() {
    let server = WithKeys::start(Connections { idle_without_key_ms: SOON_MS, ..patient() }).await;
    let [ada, ben] = &server.buyers;
    let mut known = server.connect_as(ben, "/buy", 200).await;
    assert_eq!(rest(&mut server.connect_as(ada, "/decide", 403).await).await, "");
    assert!(ask_as(&mut known, ben, "/buy").await.ends_with("bought"), "it is kept");
    assert!(ask_as(&mut known, ben, "/decide").await.contains("wrong_role"));
    assert_eq!(rest(&mut known).await, "");
}

#[tokio::test]
async fn past_the_share_of_its_key_a_connection_counts_for_its_address() {
    let bounds = Connections { without_key_per_address: 1, max: 100, per_key_max_percent: 1, ..patient() };
    let server = WithKeys::start(bounds).await;
    let [ada, ben] = &server.buyers;
    let mut kept = server.connect_as(ada, "/buy", 200).await;
    let mut past = server.connect_as(ada, "/buy", 200).await;
    assert_eq!(rest(&mut server.connect().await).await, "", "the address has one without a key");
    // A key with a share of its own takes it out of the count, and one that has none left does not come back beside another.
    assert!(ask_as(&mut past, ben, "/buy").await.ends_with("bought"));
    let mut new = server.connect_as(&server.analyst, "/buy", 403).await;
    let answer = ask_as(&mut past, ada, "/buy").await;
    assert!(answer.contains("connection: close") && answer.ends_with("bought"), "{answer}");
    assert_eq!(rest(&mut past).await, "");
    assert!(ask_as(&mut kept, ada, "/buy").await.ends_with("bought"));
    assert!(ask_as(&mut new, &server.analyst, "/decide").await.ends_with("decided"));
}
