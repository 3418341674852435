//! Webhooks by the API and the real binary: what suppliers, buyers and order systems are told, and that a crash loses none of it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::Method;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::{
    slow::{Server, key, until},
    support::Api,
};

/// What a receiver was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) id: String,
    timestamp: String,
    signature: String,
    text: String,
    pub(crate) body: Value,
}

/// A receiver on this machine that answers 503 until it is told to take things.
#[derive(Clone)]
pub(crate) struct Receiver {
    sent: Arc<Mutex<Vec<Sent>>>,
    pub(crate) takes: Arc<AtomicBool>,
    pub(crate) url: String,
}

impl Receiver {
    pub(crate) fn start(takes: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { sent: Arc::default(), takes: Arc::new(AtomicBool::new(takes)), url };
        let serving = receiver.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serving.serve(stream)));
        receiver
    }
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let find = |line: &String| {
                let (it, value) = line.split_once(':')?;
                it.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            };
            head.iter().find_map(find).unwrap_or_default()
        };
        let mut body = vec![0; header("content-length").parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let text = String::from_utf8(body).unwrap();
        let (id, timestamp, signature) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let body = serde_json::from_str(&text).unwrap();
        self.sent.lock().unwrap().push(Sent { id, timestamp, signature, text, body });
        let status = if self.takes.load(Ordering::SeqCst) { "204 No Content" } else { "503 Busy" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }
    pub(crate) fn of(&self, event: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.body["type"] == event).collect()
    }
}

impl Sent {
    /// By the definition of HMAC (RFC 2104), not by what signs.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let pad = |with: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
        let text = format!("{}.{}.{}", self.id, self.timestamp, self.text);
        let inner = sha2::Sha256::digest([pad(0x36), text.into_bytes()].concat());
        let outer = sha2::Sha256::digest([pad(0x5c), inner.to_vec()].concat());
        let wanted = format!("v1,{}", STANDARD.encode(outer));
        self.signature.split(' ').any(|it| it == wanted)
    }
}

pub(crate) async fn create(api: &Api, key: &str, url: &str) -> (String, String) {
    let made = api.call(key, Method::POST, "/v1/webhooks", json!({ "url": url })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    (made.body["webhook"].as_str().unwrap().to_owned(), made.body["secret"].as_str().unwrap().to_owned())
}

async fn deny(api: &Api, supplier: &str) {
    let body = json!({ "supplier": supplier, "deny": "quarantine", "reason": "seen by hand", "expires_at": "2099-01-01T00:00:00Z" });
    let denied = api.call(&api.analyst, Method::POST, "/v1/overrides", body).await;
    assert_eq!(denied.status, 200, "{}", denied.body);
}

#[tokio::test]
async fn each_hears_of_its_own_decisions_appeals_restorations_and_reservations_at_risk() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let (acme, other) = (api.supplier("acme").await, api.supplier("other").await);
    let [own, strangers, buyers, shops, ops] = [0; 5].map(|_| Receiver::start(true));
    let (_, secret) = create(&api, &acme, &own.url).await;
    create(&api, &other, &strangers.url).await;
    create(&api, &api.buyer, &buyers.url).await;
    create(&api, &api.orders, &shops.url).await;
    create(&api, &api.operator, &ops.url).await;
    assert_eq!(api.list(&acme, "acme", "sku-1", 100, 5).await.status, 200);
    let hold = json!({ "supplier": "acme", "listing": "sku-1", "quantity": 2 });
    let held = api.call(&api.buyer, Method::POST, "/v1/reservations", hold).await;
    assert_eq!(held.status, 201, "{}", held.body);

    deny(&api, "acme").await;
    api.until("the supplier hears", async |_| !own.of("decision.restricted").is_empty()).await;
    let told = own.of("decision.restricted")[0].clone();
    assert!(told.is_signed_with(&secret), "{told:?}");
    let decision = told.body["data"]["decision"]["decision"].as_str().unwrap().to_owned();
    let standing = api.get(&acme, "/v1/suppliers/acme/standing").await;
    assert_eq!(standing.body["in_force"][0]["decision"], decision.as_str());
    assert_eq!(standing.body["in_force"][0], told.body["data"]["decision"], "it says what standing says");
    api.until("the buyer hears", async |_| !buyers.of("reservation.at_risk").is_empty()).await;
    let at_risk = buyers.of("reservation.at_risk")[0].clone();
    assert_eq!(at_risk.body["data"]["reservation"], held.body["reservation"]);
    assert!(!at_risk.text.contains("quarantine") && !at_risk.text.contains("by hand"), "{}", at_risk.text);
    api.until("the shop hears", async |_| !shops.of("reservation.at_risk").is_empty()).await;

    let appeal = json!({ "decision": decision, "text": "It was not us." });
    assert_eq!(api.call(&acme, Method::POST, "/v1/suppliers/acme/appeals", appeal).await.status, 201);
    let release = json!({ "reason": "it was not them" });
    let path = format!("/v1/decisions/{decision}:release");
    let released = api.call(&api.approver, Method::POST, &path, release).await;
    assert_eq!(released.status, 200, "{}", released.body);
    api.until("the answer is heard", async |_| !own.of("appeal.answered").is_empty()).await;
    assert_eq!(own.of("appeal.answered")[0].body["data"]["outcome"], "granted");
    api.until("it is restored", async |_| !own.of("decision.restored").is_empty()).await;
    api.until("operators hear of all", async |_| {
        let heard = |event: &str| !ops.of(event).is_empty();
        heard("decision.restricted")
            && heard("appeal.opened")
            && heard("decision.restored")
            && heard("reservation.at_risk")
    })
    .await;
    assert!(
        strangers.sent().is_empty()
            && buyers.sent().iter().all(|it| it.body["type"] == "reservation.at_risk")
    );
    api.close().await;
}

#[tokio::test]
async fn endpoints_are_their_owners_alone_and_addresses_inside_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let (acme, other) = (api.supplier("acme").await, api.supplier("other").await);
    let receiver = Receiver::start(true);
    let (id, first) = create(&api, &acme, &receiver.url).await;
    let path = format!("/v1/webhooks/{id}");
    for (key, code) in
        [(&other, "no_such_webhook"), (&api.operator, "no_such_webhook"), (&api.analyst, "wrong_role")]
    {
        assert_eq!(api.get(key, &path).await.code().1, code);
        assert_eq!(api.call(key, Method::DELETE, &path, Value::Null).await.code().1, code);
    }
    let again = api.call(&acme, Method::POST, "/v1/webhooks", json!({ "url": receiver.url })).await;
    assert_eq!(again.code(), (409, "webhook_exists"));
    let inward = [
        "http://10.0.0.7/",
        "https://169.254.169.254/",
        "https://u:p@example.com/",
        "ftp://example.com/",
        "https://[fd00::1]/",
    ];
    for url in inward {
        let refused = api.call(&acme, Method::POST, "/v1/webhooks", json!({ "url": url })).await;
        assert_eq!(refused.body["errors"][0]["code"], "bad_webhook_url", "{url}: {}", refused.body);
    }
    let unknown = json!({ "url": "https://hooks.example.com/", "events": ["decision.made"] });
    let refused = api.call(&acme, Method::POST, "/v1/webhooks", unknown).await;
    assert_eq!(refused.body["errors"][0]["field"], "/events/0", "{}", refused.body);
    let deaf = [
        (&acme, "reservation.at_risk"),
        (&api.buyer, "decision.restricted"),
        (&api.orders, "import.finished"),
    ];
    for (key, event) in deaf {
        let wanted = json!({ "url": "https://hooks.example.com/deaf", "events": ["ping", event] });
        let refused = api.call(key, Method::POST, "/v1/webhooks", wanted).await;
        let error = &refused.body["errors"][0];
        assert_eq!(
            (refused.status, &error["code"], &error["field"]),
            (422, &json!("unheard_event"), &json!("/events/1"))
        );
        assert!(error["detail"].as_str().unwrap().contains("webhook.disabled"), "{error}");
    }
    let changed = api.call(&acme, Method::PATCH, &path, json!({ "events": ["reservation.at_risk"] })).await;
    assert_eq!(changed.body["errors"][0]["code"], "unheard_event", "{}", changed.body);

    let shown = api.get(&acme, &path).await;
    assert!(shown.status == 200 && shown.body.get("secret").is_none(), "{}", shown.body);
    let rotated = api.call(&acme, Method::POST, &format!("{path}/rotate"), Value::Null).await;
    let second = rotated.body["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    let begun = api.call(&acme, Method::POST, &format!("{path}/test"), Value::Null).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    api.until("the ping is there", async |_| !receiver.of("ping").is_empty()).await;
    let ping = receiver.of("ping")[0].clone();
    assert!(ping.is_signed_with(&first) && ping.is_signed_with(&second), "both sign for a day");
    assert_eq!(begun.body["delivery"], ping.id.as_str());
    let deliveries = format!("{path}/deliveries");
    api.until("it is noted", async |api| {
        api.get(&acme, &deliveries).await.body["items"][0]["state"] == "delivered"
    })
    .await;
    let redeliver = format!("{deliveries}/{}/redeliver", ping.id);
    assert_eq!(api.call(&acme, Method::POST, &redeliver, Value::Null).await.status, 202);
    api.until("it is told again", async |_| receiver.of("ping").len() == 2).await;
    assert_eq!(receiver.of("ping")[1].id, ping.id, "under the same name");
    let replay = json!({ "since": "2020-01-01T00:00:00Z" });
    api.until("it is noted", async |api| {
        api.get(&acme, &deliveries).await.body["items"][0]["state"] == "delivered"
    })
    .await;
    assert_eq!(api.call(&acme, Method::POST, &format!("{path}/replay"), replay).await.status, 202);
    api.until("it is told a third time", async |_| receiver.of("ping").len() == 3).await;
    let off = json!({ "enabled": false });
    assert_eq!(api.call(&acme, Method::PATCH, &path, off).await.body["enabled"], false);
    let refused = api.call(&acme, Method::POST, &format!("{path}/test"), Value::Null).await;
    assert_eq!(refused.code(), (409, "webhook_disabled"));
    assert_eq!(api.call(&acme, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(api.get(&acme, "/v1/webhooks").await.body["items"], json!([]));
    api.close().await;
}

/// Settings of a server whose endpoints are on this machine.
const HERE: [(&str, &str); 1] = [("STOCKADE_WEBHOOKS__ALLOW_LOOPBACK", "true")];

#[test]
fn an_endpoint_on_this_machine_says_that_nothing_goes_there_once_the_server_does_not_allow_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let server = Server::start_with(data, &HERE);
    let (status, made) =
        server.call("POST", "/v1/webhooks", &operator, &json!({ "url": "http://127.0.0.1:9/" }).to_string());
    assert!(status == 201 && made.get("address_refused").is_none(), "{made}");
    server.kill();
    let server = Server::start(data);
    let path = format!("/v1/webhooks/{}", made["webhook"].as_str().unwrap());
    until("it is known again", || server.call("GET", &path, &operator, "").0 == 200);
    let (_, shown) = server.call("GET", &path, &operator, "");
    assert!(shown["address_refused"].as_str().unwrap().contains("https://"), "{shown}");
}

#[test]
fn a_decision_that_was_not_told_when_the_process_was_killed_is_told_by_the_next_with_its_import() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let supplier = key(data, &["--role", "supplier", "--supplier", "acme"]);
    let server = Server::start_with(data, &HERE);
    let body = json!({ "name": "Acme", "region": "DE" }).to_string();
    assert_eq!(server.call("PUT", "/v1/suppliers/acme", &operator, &body).0, 200);
    let receiver = Receiver::start(false);
    let made = server.call("POST", "/v1/webhooks", &supplier, &json!({ "url": receiver.url }).to_string());
    assert_eq!(made.0, 201, "{}", made.1);
    let secret = made.1["secret"].as_str().unwrap().to_owned();
    let deny =
        json!({ "supplier": "acme", "deny": "lockout", "reason": "seen", "expires_at": "2099-01-01T00:00:00Z" }).to_string();
    assert_eq!(server.call("POST", "/v1/overrides", &operator, &deny).0, 200);
    // Killed at once: whatever of notice, delivery and attempt there is by now, the decision is durable.
    server.kill();
    let before = receiver.sent().len();
    receiver.takes.store(true, Ordering::SeqCst);
    let server = Server::start_with(data, &HERE);
    until("it is told", || receiver.sent().len() > before && !receiver.of("decision.restricted").is_empty());
    let told = receiver.of("decision.restricted");
    assert!(told.iter().all(|sent| sent.id == told[0].id), "one name, however often: {told:?}");
    assert!(told.iter().all(|sent| sent.is_signed_with(&secret)), "the secret is the one that was shown");
    assert_eq!(told[0].body["data"]["level"], "lockout");
    let secret_bytes = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let key_file = std::fs::read_to_string(data.join("webhooks.key")).unwrap();
    assert_ne!(key_file.trim().as_bytes(), secret_bytes);

    let file = "listing,sku,location,price,currency,on_hand\nl-1,s-1,nowhere,1.00,EUR,3\n";
    let begun = server.call("POST", "/v1/suppliers/acme/imports", &supplier, file);
    assert_eq!(begun.0, 202, "{}", begun.1);
    until("the import's end is told", || !receiver.of("import.finished").is_empty());
    let told = receiver.of("import.finished")[0].clone();
    assert_eq!(told.body["data"]["import"], begun.1["import"]);
    assert!(told.body["data"]["links"]["report"].is_string(), "{}", told.text);
}
