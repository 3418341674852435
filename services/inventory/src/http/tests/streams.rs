//! What a stream of changes says, and when.

use std::num::NonZeroU32;

use http_body_util::BodyExt as _;
use stockade_runtime::limits::{Class, Per};

use super::*;

/// One event of a stream.
#[derive(Debug)]
struct Told {
    event: String,
    id: String,
    data: Value,
}

impl Told {
    /// Names of the listings it shows, with the units of each.
    fn offers(&self) -> Vec<(String, i64)> {
        let offers = self.data["offers"].as_array().unwrap().iter();
        offers
            .map(|offer| {
                (offer["listing"].as_str().unwrap().to_owned(), offer["available"].as_i64().unwrap())
            })
            .collect()
    }
}

struct Listening {
    body: Body,
    text: String,
}

impl Listening {
    async fn open(api: &Api, question: &str, last: Option<&str>) -> Self {
        let path = format!("/v1/availability/stream?{question}");
        let mut request = Request::get(path).header("authorization", format!("Bearer {}", api.buyer));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(|line| line.trim_start_matches(": ")).collect::<String>()
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if !name.is_empty() {
                    return Some(Told { event: name, id, data: serde_json::from_str(&data).unwrap() });
                }
                continue;
            }
            let frame = self.body.frame().await?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&frame).unwrap());
        }
    }

    async fn told(&mut self, event: &str) -> Told {
        let told = self.next().await.unwrap();
        assert_eq!(told.event, event, "{told:?}");
        told
    }
}

#[tokio::test]
async fn a_stream_shows_what_there_is_says_it_is_live_and_then_what_changes() {
    let api = Api::open().await;
    api.list("a", json!({})).await;
    let mut stream = Listening::open(&api, "sku=SKU-1&sku=None&region=DE", None).await;
    let first = stream.told("good").await;
    assert_eq!((first.data["sku"].as_str(), first.offers()), (Some("SKU-1"), vec![("a".to_owned(), 10)]));
    let second = stream.told("good").await;
    assert_eq!((second.data["sku"].as_str(), second.offers()), (Some("None"), vec![]));
    assert_eq!(stream.told("live").await.data["completeness"], "complete");

    // Another good says nothing here; the watched one does.
    api.list("b", json!({ "sku": "SKU-2" })).await;
    api.put("listings/a", &[], listing(json!({ "on_hand": 4 }))).await;
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 4)]);
    // What is held for a buyer is gone for the others.
    let line = json!({ "supplier": "acme", "listing": "a", "quantity": 3, "region": "DE" });
    let held =
        api.call(Method::POST, &api.buyer, "/v1/reservations", &[("idempotency-key", "r-1")], line).await;
    assert!(held.status < 300, "{}", held.body);
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 1)]);
    // A lock-out empties it, and its end fills it again.
    api.restrict(vec![quarantined("DE")]).await;
    assert_eq!(stream.told("good").await.offers(), []);
    api.restrict(vec![]).await;
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 1)]);
}

#[tokio::test]
async fn looks_are_taken_from_an_allowance_and_without_any_left_the_newest_state_comes_when_there_is_some() {
    let one = |number| NonZeroU32::new(number).unwrap();
    let mut limits = LimitsConfig::default();
    limits.0.insert("buyer".to_owned(), Class { units: one(1), per: Per::Day, burst: one(3) });
    let api = Api::with_limits(limits).await;
    let mut stream = Listening::open(&api, "sku=SKU-1", None).await;
    assert_eq!(stream.told("good").await.offers(), []);
    stream.told("live").await;
    api.list("a", json!({})).await;
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 10)]);
    for on_hand in [1, 2, 3] {
        api.put("listings/a", &[], listing(json!({ "on_hand": on_hand }))).await;
        assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), on_hand)]);
    }
    let purse = super::super::stream::purse(&api.buyer_principal().id);
    let refused = api.app.limits.take("buyer", &purse, 1).unwrap_err();
    assert_eq!(refused.code, "rate_limited", "three changes have cost three units");
    assert_eq!(api.ask("sku=SKU-1").await.status, 200, "and what it asks is paid with others");
    api.put("listings/a", &[], listing(json!({ "on_hand": 8 }))).await;
    api.put("listings/a", &[], listing(json!({ "on_hand": 9 }))).await;
    api.app.limits.replace(&LimitsConfig::default());
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 9)], "nothing is lost but what is over");
}

#[tokio::test]
async fn who_comes_back_is_sent_what_is_different_by_then_and_nothing_else() {
    let api = Api::open().await;
    api.list("a", json!({})).await;
    api.list("b", json!({ "sku": "SKU-2" })).await;
    let question = "sku=SKU-1&sku=SKU-2";
    let mut stream = Listening::open(&api, question, None).await;
    stream.told("good").await;
    stream.told("good").await;
    let live = stream.told("live").await;
    drop(stream);

    let mut again = Listening::open(&api, question, Some(&live.id)).await;
    assert_eq!(again.told("live").await.id, live.id, "nothing has changed");
    drop(again);
    api.put("listings/b", &[], listing(json!({ "sku": "SKU-2", "on_hand": 7 }))).await;
    let mut again = Listening::open(&api, question, Some(&live.id)).await;
    assert_eq!(again.told("good").await.offers(), [("b".to_owned(), 7)]);
    again.told("live").await;
    // The id of another stream, or of none, begins anew.
    for (question, last) in [("sku=SKU-1", live.id.as_str()), ("sku=SKU-1&region=DE", "nonsense")] {
        let mut other = Listening::open(&api, question, Some(last)).await;
        assert_eq!(other.told("good").await.offers(), [("a".to_owned(), 10)]);
        other.told("live").await;
    }
}

#[tokio::test]
async fn a_gtin_is_watched_whatever_skus_come_to_bear_it() {
    let api = Api::open().await;
    let gtin = "4006381333931";
    let mut stream = Listening::open(&api, &format!("gtin={gtin}"), None).await;
    assert_eq!(stream.told("good").await.offers(), []);
    stream.told("live").await;
    api.list("a", json!({ "sku": "new", "gtin": gtin })).await;
    assert_eq!(stream.told("good").await.offers(), [("a".to_owned(), 10)]);
    api.restrict(vec![quarantined("DE")]).await;
    assert_eq!(stream.told("good").await.offers(), []);
}

#[tokio::test]
async fn a_stream_is_refused_in_words_and_ends_with_the_process() {
    let api = Api::open().await;
    for (question, field) in
        [("", "sku"), ("region=DE", "sku"), ("sku=", "sku"), ("sku=a&limit=0", "limit"), ("gtin=12", "gtin")]
    {
        let refused = api.ask_stream(question).await;
        let (status, code, of) = refused.field();
        assert_eq!((status, of), (422, field), "{question}: {}", refused.body);
        assert!(!code.is_empty(), "{question}");
    }
    for unknown in ["colour=red", "cursor=00", "after_position=0:1"] {
        assert_eq!(api.ask_stream(&format!("sku=a&{unknown}")).await.code(), (400, "bad_query"), "{unknown}");
    }
    let path = "/v1/availability/stream?sku=a";
    let supplier = api.call(Method::GET, &api.supplier, path, &[], Value::Null).await;
    assert_eq!(supplier.status, 403);

    let mut stream = Listening::open(&api, "sku=a", None).await;
    stream.told("good").await;
    stream.told("live").await;
    api.app.changes.close();
    assert!(stream.next().await.is_none());
}
