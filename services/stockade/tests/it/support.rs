//! A platform in process, and calls to it.

use std::{num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stockade::{
    config::EdgeConfig,
    platform::{EdgeParts, Parts, Platform, Roles, WebhooksHere, ensure_topics, quarantine_path},
};
use stockade_inventory::imports::ImportsConfig;
use stockade_log::{Embedded, EmbeddedOptions, Fsync, SharedLog, Writer};
use stockade_model::SupplierId;
use stockade_quarantine::FileStore;
use stockade_runtime::{BrownoutConfig, KeyRing, LimitsConfig, Role, Shutdown, clock, limits::Class};
use stockade_webhooks::{Master, WebhooksConfig};
use tower::ServiceExt as _;

use crate::document;

pub(crate) struct Api {
    pub(crate) platform: Platform,
    pub(crate) keys: KeyRing,
    pub(crate) router: Router,
    pub(crate) operator: String,
    pub(crate) buyer: String,
    pub(crate) analyst: String,
    pub(crate) approver: String,
    pub(crate) orders: String,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// Status and stable code of a problem.
    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or(""))
    }
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    }
}

impl Api {
    pub(crate) async fn open(directory: &Path) -> Self {
        let mut limits = LimitsConfig::default();
        // Tests ask as fast as they can.
        let endless = Class::a_second(NonZeroU32::MAX, NonZeroU32::MAX);
        limits.0.insert("buyer".to_owned(), endless);
        limits.0.insert("staff".to_owned(), endless);
        Self::with(directory, limits, Duration::from_secs(20)).await
    }

    /// Ends it and lets go of its directory.
    pub(crate) async fn close(self) {
        let Self { platform, router, .. } = self;
        drop(router);
        platform.stop().await.unwrap();
    }

    pub(crate) async fn with(directory: &Path, limits: LimitsConfig, answer_deadline: Duration) -> Self {
        // A machine that is busy with other tests may well be behind.
        let config = EdgeConfig { brownout: BrownoutConfig::never(), ..EdgeConfig::default() };
        Self::with_edge(directory, limits, answer_deadline, config).await
    }

    pub(crate) async fn with_edge(
        directory: &Path,
        limits: LimitsConfig,
        answer_deadline: Duration,
        config: EdgeConfig,
    ) -> Self {
        let options = EmbeddedOptions {
            directory: directory.to_owned(),
            fsync: Fsync::Group,
            writer: Writer::Thread,
            reserve_bytes: 0,
        };
        let log: SharedLog = Arc::new(Embedded::open(&options, clock::system_clock()).unwrap());
        ensure_topics(&log, 4).unwrap();
        let keys = KeyRing::default();
        let parts = Parts {
            roles: Roles::ALL,
            shared_log: false,
            log,
            clock: clock::system_clock(),
            partitions: 4,
            quarantine: Arc::new(FileStore::open(&quarantine_path(directory)).unwrap()),
            keys: keys.clone(),
            limits,
            promises: Default::default(),
            replica: Default::default(),
            imports: ImportsConfig { directory: Some(directory.join("imports")), ..ImportsConfig::default() },
            webhooks: Some(WebhooksHere {
                config: WebhooksConfig {
                    allow_loopback: true,
                    deadline_ms: 2_000,
                    ..WebhooksConfig::default()
                },
                master: Master::open(&directory.join("webhooks.key")).unwrap(),
            }),
            body_bytes_max: 1 << 20,
            edge: EdgeParts { config, ..EdgeParts::default() },
            cors: Default::default(),
            answer_deadline,
            instance: format!("t{}", clock::now_ms()),
            configuration: serde_json::Value::Null,
            console: None,
        };
        let platform = Platform::start(parts, Shutdown::default(), Arc::new(|_, _| {})).await.unwrap();
        platform.until_ready().await;
        Self {
            router: platform.router.clone(),
            platform,
            operator: keys.create("op", Role::Operator).unwrap(),
            buyer: keys.create("buyer", Role::Buyer).unwrap(),
            analyst: keys.create("ann", Role::Analyst).unwrap(),
            approver: keys.create("bob", Role::Approver).unwrap(),
            orders: keys.create("orders", Role::OrderSystem).unwrap(),
            keys,
        }
    }

    pub(crate) async fn starter_rules(self) -> Self {
        self.platform.ensure_rules(stockade_lockout::STARTER_RULES, "test").await.unwrap();
        self
    }

    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = Request::builder().method(&method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        // Whatever a test asks, it is answered as the document of the API says.
        if let Err(differs) =
            document::check(method.as_str(), path, head.status.as_u16(), &head.headers, &body)
        {
            panic!("{method} {path} is not answered as schemas/openapi.json says: {differs}");
        }
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn call(&self, key: &str, method: Method, path: &str, body: Value) -> Reply {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.raw(method, path, &[("authorization", &format!("Bearer {key}"))], bytes).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Reply {
        self.call(key, Method::GET, path, Value::Null).await
    }

    /// Registers a supplier with one location and gives its key.
    pub(crate) async fn supplier(&self, id: &str) -> String {
        let body = json!({ "name": id, "region": "DE", "since": "2020-01-01T00:00:00Z" });
        let reply = self.call(&self.operator, Method::PUT, &format!("/v1/suppliers/{id}"), body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let key = self.keys.create(id, Role::Supplier { supplier: SupplierId::new(id).unwrap() }).unwrap();
        let location = json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 2 });
        let reply =
            self.call(&key, Method::PUT, &format!("/v1/suppliers/{id}/locations/main"), location).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        key
    }

    /// Puts a listing named like its SKU.
    pub(crate) async fn list(&self, key: &str, supplier: &str, sku: &str, minor: i64, on_hand: i64) -> Reply {
        let body = json!({
            "sku": sku, "location": "main", "price": { "minor": minor, "currency": "EUR" }, "on_hand": on_hand,
        });
        self.call(key, Method::PUT, &format!("/v1/suppliers/{supplier}/listings/{sku}"), body).await
    }

    /// Suppliers whose offers of `sku` a buyer sees, in order.
    pub(crate) async fn sees(&self, query: &str) -> Vec<String> {
        let reply = self.get(&self.buyer, &format!("/v1/availability?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let offers = reply.body["offers"].as_array().unwrap();
        offers.iter().map(|offer| offer["supplier"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn event(&self, id: &str, kind: &str, data: Value) -> Reply {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "test", "type": format!("stockade.{kind}"), "data": data,
        });
        self.call(&self.orders, Method::POST, "/v1/events", event).await
    }

    /// Asks again until `holds`, for what follows from an event a moment later.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let patience = async {
            while !holds(self).await {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), patience).await;
        assert!(waited.is_ok(), "waited in vain until {what}");
    }
}
