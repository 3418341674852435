//! A process that started without its log: what it answers from the last picture, and what it refuses.

use std::sync::atomic::AtomicI64;

use stockade_log::Clock;

use super::*;
use crate::picture::{Origin, Picture, PictureBounds, Pictures, keeper, shown};

fn pictures(directory: &std::path::Path) -> Pictures {
    let origin = Origin { prefix: String::new(), generation: 1, partitions: 1 };
    let bounds = PictureBounds { every: Duration::from_secs(60), age_max_ms: 60_000, bytes_max: 1 << 30 };
    Pictures::new(directory.to_owned(), origin, bounds)
}

/// The platform's answers, and those of a process that shows the picture it left; its clock is moved by hand.
async fn stands_in(api: &Api, picture: Picture) -> (Router, Arc<AtomicI64>, Arc<App>) {
    let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock()).unwrap());
    for topic in Topic::ALL {
        let spec = TopicSpec { name: topic.name(), partitions: topic.partitions(1), retention_ms: None };
        log.ensure_topic(&spec).unwrap();
    }
    let now = Arc::new(AtomicI64::new(picture.as_of_ms + 5_000));
    let clock: Clock = {
        let now = now.clone();
        Arc::new(move || now.load(std::sync::atomic::Ordering::SeqCst))
    };
    let limits = Limits::new(&LimitsConfig::default());
    let app = App::new(log, clock, Board::default(), limits, 1, "s".to_owned(), Duration::from_millis(1));
    let app = Arc::new(app.unwrap().showing(picture, 60_000));
    let keys = KeyRing::default();
    let router = shown::router(app.clone())
        .fallback(shown::elsewhere)
        .layer(Extension(api.app.gate_of_edge.brownout.clone()))
        .layer(Extension(keys.clone()));
    let buyer = keys.create("buyer", Role::Buyer).unwrap();
    (
        router.layer(axum::middleware::map_request(move |mut request: Request<Body>| {
            let bearer = format!("Bearer {buyer}").parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
            std::future::ready(request)
        })),
        now,
        app,
    )
}

async fn call(router: &Router, method: Method, path: &str, body: Value) -> Reply {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Reply { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
}

#[tokio::test]
async fn buyers_are_answered_from_the_picture_with_its_age_and_everything_else_is_refused_until_later() {
    let api = Api::open().await;
    let listing =
        json!({ "sku": "S", "location": "main", "price": { "minor": 100, "currency": "EUR" }, "on_hand": 3 });
    assert_eq!(api.put("listings/l", &[], listing).await.status, 200);
    let directory = tempfile::tempdir().unwrap();
    let ended = stockade_runtime::Shutdown::default();
    // A process that is asked to end keeps a last picture.
    ended.begin();
    keeper::keep(api.app.clone(), pictures(directory.path()), ended);
    assert!(api.app.picture_age_ms().is_some_and(|age_ms| age_ms < 60_000));
    let picture = pictures(directory.path()).load((api.app.clock)()).unwrap();
    let (router, now, app) = stands_in(&api, picture).await;

    let got = call(&router, Method::GET, "/v1/availability?sku=S", Value::Null).await;
    assert_eq!((got.status, &got.body["offers"][0]["available"]), (200, &json!(3)));
    assert_eq!((&got.body["staleness_ms"], &got.body["completeness"]), (&json!(5_000), &json!("partial")));
    let question = json!({ "goods": [{ "sku": "S" }, { "sku": "none" }] });
    let got = call(&router, Method::POST, "/v1/availability:query", question.clone()).await;
    assert_eq!((got.status, &got.body["results"][0]["offers"][0]["available"]), (200, &json!(3)));
    assert_eq!(got.body["staleness_ms"], 5_000);
    // A write of before may well not be in it, which is no fault of the caller's.
    let got = call(&router, Method::GET, "/v1/availability?sku=S&after_position=p1.0.900", Value::Null).await;
    assert_eq!(got.code(), (503, "position_not_reached"));

    for (method, path, code) in [
        (Method::POST, "/v1/reservations", "log_unavailable"),
        (Method::PUT, "/v1/suppliers/acme/listings/l", "log_unavailable"),
        (Method::POST, "/v1/events", "log_unavailable"),
        (Method::PUT, "/v1/rules", "log_unavailable"),
        (Method::GET, "/v1/suppliers/acme", "starting"),
        (Method::GET, "/v1/availability/stream?sku=S", "starting"),
        (Method::GET, "/v1/decisions", "starting"),
        (Method::GET, "/console/", "starting"),
        (Method::POST, "/console/api/session", "log_unavailable"),
    ] {
        let got = call(&router, method, path, json!({})).await;
        assert_eq!((got.code(), got.header("retry-after")), ((503, code), "5"), "{path}");
    }

    assert!(app.shows().unwrap().contains("5 s old"));
    now.fetch_add(56_000, std::sync::atomic::Ordering::SeqCst);
    let got = call(&router, Method::GET, "/v1/availability?sku=S", Value::Null).await;
    assert_eq!((got.code(), got.header("retry-after")), ((503, "starting"), "5"), "too old to be shown");
    assert!(app.shows().unwrap_err().contains("picture.age_max_s"));
}

#[tokio::test]
async fn no_picture_is_kept_before_everything_is_read() {
    let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock()).unwrap());
    let first = Api::over(log.clone(), &LimitsConfig::default());
    let record = stockade_log::NewRecord {
        topic: Topic::LockoutDecisions.name(),
        route: stockade_log::Route::Partition(0),
        key: bytes::Bytes::new(),
        headers: Vec::new(),
        value: bytes::Bytes::new(),
    };
    first.log.append(vec![record], stockade_log::Ack::Durable).await.unwrap();
    // Its folds do not run, so a decision is not in its overlay.
    let api = Api::over(log, &LimitsConfig::default());
    let directory = tempfile::tempdir().unwrap();
    let ended = stockade_runtime::Shutdown::default();
    ended.begin();
    keeper::keep(api.app.clone(), pictures(directory.path()), ended);
    assert!(pictures(directory.path()).load((api.app.clock)()).is_err());
}
