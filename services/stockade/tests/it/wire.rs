//! How requests are written: packed, marked, of other kinds, with tags, from pages in browsers.

use std::io::Write as _;

use axum::http::Method;
use serde_json::json;

use crate::{
    slow::{Server, key},
    support::Api,
};

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_come_packed_or_marked_and_what_is_of_another_kind_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let bearer = format!("Bearer {}", api.supplier("a").await);
    let body = br#"{"sku":"S","location":"main","price":{"minor":5,"currency":"EUR"},"on_hand":4}"#;
    let put = async |listing: &str, headers: &[(&str, &str)], body: Vec<u8>| {
        let all = [&[("authorization", bearer.as_str())], headers].concat();
        api.raw(Method::PUT, &format!("/v1/suppliers/a/listings/{listing}"), &all, body).await
    };
    assert_eq!(put("plain", &[], body.to_vec()).await.status, 200);
    assert_eq!(put("packed", &[("content-encoding", "gzip")], packed(body)).await.status, 200);
    assert_eq!(put("marked", &[], [b"\xef\xbb\xbf", &body[..]].concat()).await.status, 200);
    assert_eq!(api.sees("sku=S").await.len(), 3);
    // A body may have a megabyte here: some kilobytes that stand for a hundred are not unpacked.
    let bomb = packed(&vec![b' '; 100 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(put("bomb", &[("content-encoding", "gzip")], bomb).await.code(), (413, "body_too_large"));
    let cut = packed(body)[..20].to_vec();
    assert_eq!(put("cut", &[("content-encoding", "gzip")], cut).await.code(), (400, "bad_gzip"));
    let brotli = put("br", &[("content-encoding", "br")], body.to_vec()).await;
    assert_eq!(brotli.code(), (415, "unsupported_content_encoding"));
    assert_eq!(brotli.header("accept-encoding"), "gzip");
    let xml = put("xml", &[("content-type", "application/xml")], body.to_vec()).await;
    assert_eq!(
        (xml.code(), xml.header("accept").as_str()),
        ((415, "unsupported_media_type"), "application/json")
    );
    let fraction = put("f", &[], body.iter().copied().map(|b| if b == b'5' { b'x' } else { b }).collect());
    assert_eq!(fraction.await.code(), (400, "malformed_json"));
    let fraction = String::from_utf8(body.to_vec()).unwrap().replace('5', "1.5");
    let told = put("f", &[], fraction.into_bytes()).await;
    assert_eq!(told.body["detail"], "/price/minor: expected a whole number, got 1.5");
    // Rules are text, and may be packed too.
    let staff = format!("Bearer {}", api.analyst);
    for (kind, status) in [("application/yaml", 200), ("text/plain", 200), ("image/png", 415)] {
        let headers =
            [("authorization", staff.as_str()), ("content-type", kind), ("content-encoding", "gzip")];
        let rules = packed(stockade_lockout::STARTER_RULES.as_bytes());
        assert_eq!(api.raw(Method::POST, "/v1/rules:check", &headers, rules).await.status, status, "{kind}");
    }
    let methods = api.raw(Method::OPTIONS, "/v1/suppliers/a/listings/plain", &[], vec![]).await;
    assert_eq!(methods.status, 204);
    for method in ["GET", "PUT", "DELETE"] {
        assert!(methods.header("allow").contains(method), "{}", methods.header("allow"));
    }
    let wrong = api.raw(Method::PATCH, "/v1/suppliers/a/listings/plain", &[], vec![]).await;
    assert_eq!(wrong.code(), (405, "wrong_method"));
    assert!(wrong.header("allow").contains("PUT"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_are_known_are_not_sent_again_until_something_about_them_changes() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await.starter_rules().await;
    let bearer = format!("Bearer {}", api.analyst);
    let get = async |path: &str, seen: &str| {
        api.raw(Method::GET, path, &[("authorization", &bearer), ("if-none-match", seen)], vec![]).await
    };
    for path in ["/v1/rules", "/v1/features"] {
        let tag = api.get(&api.analyst, path).await.header("etag");
        assert!(!tag.is_empty(), "{path}");
        assert_eq!((get(path, &tag).await.status, get(path, "\"x\"").await.status), (304, 200), "{path}");
    }
    // The kill switch is read with the rules, so it is another answer of the same version; and its tag still says which.
    let before = api.get(&api.analyst, "/v1/rules").await;
    let source = before.body["source"].as_str().unwrap().to_owned();
    let turn = json!({ "on": true, "reason": "a test" });
    assert_eq!(api.call(&api.analyst, Method::PUT, "/v1/ops/kill-switch", turn).await.status, 200);
    let killed = get("/v1/rules", &before.header("etag")).await;
    assert_eq!((killed.status, &killed.body["version"]), (200, &before.body["version"]));
    assert_eq!(killed.body["kill_switch"]["on"], true);
    let tag = killed.header("etag");
    assert_eq!(get("/v1/rules", &tag).await.status, 304);
    let headers = [("authorization", bearer.as_str()), ("if-match", tag.as_str())];
    let put = api.raw(Method::PUT, "/v1/rules", &headers, source.into_bytes()).await;
    assert_eq!(put.status, 200, "{}", put.body);
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_overrode_is_listed_in_pages_and_gone_when_it_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    for id in ["a", "b", "c"] {
        api.supplier(id).await;
    }
    let far = "2999-01-01T00:00:00Z";
    for body in [
        json!({ "supplier": "c", "allow": true, "reason": "known", "expires_at": far }),
        json!({ "supplier": "a", "deny": "dim", "reason": "odd", "expires_at": far }),
        json!({ "supplier": "b", "deny": "quarantine", "scope": { "kind": "sku", "sku": "Ku\u{308}che 1/2" },
            "reason": "odd", "expires_at": far }),
        json!({ "supplier": "b", "deny": "dim", "scope": { "kind": "region", "region": "DE" },
            "reason": "odd", "expires_at": far }),
    ] {
        let done = api.call(&api.analyst, Method::POST, "/v1/overrides", body).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    let first = api.get(&api.analyst, "/v1/overrides?limit=2").await.body;
    let supplier = |at: usize| first["items"][at]["supplier"].as_str().unwrap().to_owned();
    assert_eq!([supplier(0), supplier(1)], ["a", "b"]);
    assert_eq!(
        (&first["items"][0]["denials"][0]["deny"], &first["items"][0]["allow"]),
        (&json!("dim"), &json!(null))
    );
    assert_eq!(first["items"][0]["denials"][0]["actor"], "ann");
    assert_eq!(first["items"][1]["denials"].as_array().unwrap().len(), 2);
    let scopes = first["items"][1]["denials"].to_string();
    assert!(scopes.contains("Küche 1/2"), "a name is composed by whichever way it comes in: {scopes}");
    let next = first["next"].as_str().unwrap();
    let last = api.get(&api.analyst, &format!("/v1/overrides?limit=2&cursor={next}")).await.body;
    assert_eq!((&last["items"][0]["supplier"], &last["next"]), (&json!("c"), &json!(null)));
    assert_eq!(last["items"][0]["allow"]["actor"], "ann");
    assert_eq!(api.get(&api.analyst, "/v1/overrides?cursor=1").await.code(), (400, "bad_cursor"));
    assert_eq!(api.get(&api.buyer, "/v1/overrides").await.code(), (403, "wrong_role"));
    for id in ["b", "c"] {
        let path = format!("/v1/overrides/{id}");
        let done = api.call(&api.analyst, Method::DELETE, &path, json!({ "reason": "settled" })).await;
        assert_eq!(done.status, 200, "{}", done.body);
    }
    api.close().await;
    // They are what the fold keeps, so a restart finds them.
    let api = Api::open(directory.path()).await;
    let left = api.get(&api.analyst, "/v1/overrides").await.body;
    assert_eq!((left["items"].as_array().unwrap().len(), &left["items"][0]["supplier"]), (1, &json!("a")));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_placed_is_known_after_a_restart_and_no_other_is() {
    let directory = tempfile::tempdir().unwrap();
    let api = Api::open(directory.path()).await;
    let supplier = api.supplier("a").await;
    api.list(&supplier, "a", "S", 100, 5).await;
    let of = |order: &str| json!({ "supplier": "a", "order": order, "buyer": "b", "listing": "S" });
    let placed = json!({ "supplier": "a", "order": "o-1", "buyer": "b", "listing": "S", "quantity": 1 });
    assert_eq!(api.event("e-1", "order.placed", placed).await.body["warned"], 0);
    api.until("it was applied", async |api| {
        api.get(&api.orders, "/v1/events/test/e-1").await.body["answer"] == "applied"
    })
    .await;
    api.close().await;
    let api = Api::open(directory.path()).await;
    assert_eq!(api.event("e-2", "order.shipped", of("o-1")).await.body["warned"], 0);
    let stray = api.event("e-3", "order.shipped", of("o-2")).await;
    assert_eq!((stray.status, &stray.body["accepted"], &stray.body["warned"]), (202, &json!(1), &json!(1)));
    assert_eq!(stray.body["rows"][0]["warnings"][0]["code"], "unknown_order");
    api.close().await;
}

#[test]
fn pages_of_listed_origins_may_call_the_real_server_and_no_others_may() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let buyer = key(data, &["--role", "buyer"]);
    let ask = |server: &Server, method: &str, origin: &str| {
        let request = format!(
            "{method} /v1/availability?sku=S HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\nauthorization: Bearer {buyer}\r\naccess-control-request-method: GET\r\nconnection: close\r\n\r\n"
        );
        crate::edges::raw(&server.api, request.as_bytes()).to_lowercase()
    };
    let allowed = "access-control-allow-origin: https://shop.example";
    let origins = "https://shop.example, https://other.example";
    let server = Server::start_with(data, &[("STOCKADE_HTTP__CORS__ALLOWED_ORIGINS", origins)]);
    for method in ["OPTIONS", "GET"] {
        let answer = ask(&server, method, "https://shop.example");
        assert!(answer.starts_with("http/1.1 200") && answer.contains(allowed), "{answer}");
        assert!(!ask(&server, method, "https://evil.example").contains("access-control-allow-origin"));
    }
    drop(server);
    let server = Server::start(data);
    assert!(
        !ask(&server, "GET", "https://shop.example").contains("access-control"),
        "off unless it is asked for"
    );
    drop(server);
    let wrong = crate::slow::binary()
        .args(["serve", "--data"])
        .arg(data)
        .env("STOCKADE_HTTP__CORS__ALLOWED_ORIGINS", "shop.example")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("is no origin"), "{said}");
}

#[test]
fn events_about_nobody_and_nothing_known_are_counted_by_the_real_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let orders = key(data, &["--role", "order-system"]);
    let server = Server::start(data);
    let tell = |id: &str, kind: &str| {
        let event = json!({
            "specversion": "1.0", "id": id, "source": "t", "type": format!("stockade.order.{kind}"),
            "data": { "supplier": "nobody", "order": "o", "buyer": "b" },
        });
        server.call("POST", "/v1/events", &orders, &event.to_string())
    };
    let counted = |code: &str| {
        let scrape = crate::edges::raw(
            &server.admin,
            b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        );
        let name = format!("stockade_inventory_events_warned_total{{code=\"{code}\"}} ");
        let count = scrape.lines().find_map(|line| line.strip_prefix(&name));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    assert_eq!(tell("e-1", "disputed").0, 202);
    assert_eq!((counted("unknown_supplier"), counted("unknown_order")), (1, 1));
    assert_eq!(tell("e-2", "placed").0, 202);
    assert_eq!(tell("e-3", "disputed").0, 202);
    assert_eq!((counted("unknown_supplier"), counted("unknown_order")), (3, 1));
}
