//! Calls to the router over a log in memory: what suppliers and buyers are answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request},
};
use serde_json::{Value, json};
use stockade_fold::{Board, Worker};
use stockade_log::{Memory, MemoryDisk, SharedLog, TopicSpec};
use stockade_model::{
    Action, Change, ControlRecord, Decision, Envelope, Level, Payload, Position, Region, Restriction, Scope,
    SupplierId, SupplierProfile, Timestamp, Topic,
};
use stockade_quarantine::conformance::restriction;
use stockade_runtime::{KeyRing, Limits, LimitsConfig, Role, system_clock};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::{
    app::{App, OVERLAY},
    domain::Inventory,
    inventory_spec,
};

mod baskets;
mod conditions;
mod edge;
mod edges;
mod holds;
mod pictures;
mod reading;
mod streams;
mod writing;

/// The inventory service of one process, with the supplier `acme` and its location `main` in `DE`.
struct Api {
    app: Arc<App>,
    log: SharedLog,
    router: Router,
    supplier: String,
    buyer: String,
    staff: String,
    orders: String,
    keys: KeyRing,
    /// Ends the folds when dropped.
    running: Option<[oneshot::Sender<()>; 2]>,
    decisions: AtomicU64,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    /// Status and stable code of a problem.
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or(""))
    }
    /// Status and stable code of the first field that is wrong.
    fn field(&self) -> (u16, &str, &str) {
        let first = &self.body["errors"][0];
        (self.status, first["code"].as_str().unwrap_or(""), first["field"].as_str().unwrap_or(""))
    }
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn acme() -> SupplierId {
    SupplierId::new("acme").unwrap()
}

impl Api {
    /// With every call that a test can make allowed.
    async fn open() -> Self {
        Self::with_limits(LimitsConfig::default()).await
    }

    async fn with_limits(limits: LimitsConfig) -> Self {
        let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock()).unwrap());
        let mut api = Self::over(log, &limits);
        api.run();
        api.register().await;
        let place = json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 2 });
        assert_eq!(api.put("locations/main", &[], place).await.status, 200);
        api
    }

    /// A process over `log` whose folds do not run yet.
    fn over(log: SharedLog, limits: &LimitsConfig) -> Self {
        for topic in Topic::ALL {
            let spec = TopicSpec { name: topic.name(), partitions: topic.partitions(1), retention_ms: None };
            log.ensure_topic(&spec).unwrap();
        }
        let (limits, patience) = (Limits::new(limits), Duration::from_secs(20));
        let app =
            App::new(log.clone(), system_clock(), Board::default(), limits, 1, "t".to_owned(), patience);
        let app = Arc::new(app.unwrap());
        let keys = KeyRing::default();
        let router = super::router(app.clone())
            .layer(Extension(app.gate_of_edge.brownout.clone()))
            .layer(Extension(keys.clone()));
        let key = |name: &str, role| keys.create(name, role).unwrap();
        let (supplier, buyer, staff, orders) = (
            key("acme", Role::Supplier { supplier: acme() }),
            key("buyer", Role::Buyer),
            key("op", Role::Operator),
            key("orders", Role::OrderSystem),
        );
        let (running, decisions) = (None, AtomicU64::new(1));
        Self { app, log, router, supplier, buyer, staff, orders, keys, running, decisions }
    }

    fn run(&mut self) {
        let (overlay, overlay_ends) = oneshot::channel();
        let app = self.app.clone();
        tokio::spawn(async move {
            app.follow_decisions(Arc::new(|_, _| {}), async move { drop(overlay_ends.await) }).await
        });
        self.running = Some([self.fold(), overlay]);
    }

    /// Starts the inventory fold; it ends when what is given back is dropped.
    fn fold(&self) -> oneshot::Sender<()> {
        let (fold, fold_ends) = oneshot::channel();
        let worker = Worker::join(inventory_spec(1), self.log.clone(), |_| Inventory::default()).unwrap();
        let app = self.app.clone();
        let (log, board) = (self.log.clone(), self.app.board.clone());
        let sink = move |partition, effects| app.take_of(partition, effects);
        let end = async move { drop(fold_ends.await) };
        tokio::spawn(stockade_fold::run(worker, log, system_clock(), board, sink, end));
        fold
    }

    async fn append(&self, topic: Topic, key: &str, payload: &Payload) -> u64 {
        let envelope = Envelope::new(payload.kind(), self.app.fresh_id(), "test");
        self.app.append(topic, key, &envelope, payload).await.unwrap().1
    }

    async fn register(&self) {
        let profile = SupplierProfile {
            supplier: acme(),
            name: "Acme".to_owned(),
            region: Region::new("DE").unwrap(),
            since: Timestamp::default(),
            class: "standard".to_owned(),
            stock_counts: Default::default(),
        };
        let change = Change::Supplier { profile };
        let payload = Payload::Control(ControlRecord { actor: "op".to_owned(), change });
        let offset = self.append(Topic::SupplierEvents, "acme", &payload).await;
        self.app.board.wait("inventory", 0, offset + 1).await;
    }

    /// Puts a decision where the arbiter puts it: among the decisions and into the supplier's partition.
    async fn restrict(&self, in_force: Vec<Restriction>) {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        let decision = Payload::Decision(Decision {
            version: Position::parse(&format!("arbiter/0/1/{number}/1")).unwrap(),
            at: Timestamp::default(),
            supplier: acme(),
            action: Action::Imposed,
            restriction: None,
            actor: None,
            note: None,
            in_force,
            act: None,
            chain: String::new(),
        });
        let decided = self.append(Topic::LockoutDecisions, "acme", &decision).await;
        let told = self.append(Topic::SupplierEvents, "acme", &decision).await;
        self.app.board.wait(OVERLAY, 0, decided + 1).await;
        self.app.board.wait("inventory", 0, told + 1).await;
    }

    async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 24).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn call(
        &self,
        method: Method,
        key: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Reply {
        let bearer = format!("Bearer {key}");
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.raw(method, path, &all, bytes).await
    }

    /// A change of something of `acme`'s, by its own key.
    async fn put(&self, what: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        self.call(Method::PUT, &self.supplier, &format!("/v1/suppliers/acme/{what}"), headers, body).await
    }
    async fn post(&self, what: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        self.call(Method::POST, &self.supplier, &format!("/v1/suppliers/acme/{what}"), headers, body).await
    }
    async fn get(&self, what: &str, headers: &[(&str, &str)]) -> Reply {
        self.call(Method::GET, &self.supplier, &format!("/v1/suppliers/acme/{what}"), headers, Value::Null)
            .await
    }
    async fn ask(&self, question: &str) -> Reply {
        let path = format!("/v1/availability?{question}");
        self.call(Method::GET, &self.buyer, &path, &[], Value::Null).await
    }
    async fn ask_stream(&self, question: &str) -> Reply {
        let path = format!("/v1/availability/stream?{question}");
        self.call(Method::GET, &self.buyer, &path, &[], Value::Null).await
    }
    fn buyer_principal(&self) -> stockade_runtime::Principal {
        self.keys.find(&self.buyer).unwrap()
    }
    async fn reserve(&self, body: Value) -> Reply {
        self.call(Method::POST, &self.buyer, "/v1/reservations", &[], body).await
    }

    /// A listing of `SKU-1` with ten units, `more` over that.
    async fn list(&self, name: &str, more: Value) -> Reply {
        self.put(&format!("listings/{name}"), &[], listing(more)).await
    }
}

/// The body of a listing of `SKU-1` with ten units at EUR 19.99, `more` over that.
fn listing(more: Value) -> Value {
    let mut body = json!({
        "sku": "SKU-1", "location": "main", "on_hand": 10, "price": { "minor": 1_999, "currency": "EUR" },
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// Names of the listings in an answer, in its order.
fn names(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["offers"].as_array().unwrap().iter().map(|offer| offer["listing"].as_str().unwrap()).collect()
}

fn quarantined(region: &str) -> Restriction {
    restriction(Scope::Region { region: Region::new(region).unwrap() }, Level::Quarantine)
}
