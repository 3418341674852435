//! The ladder of what is put off, over the API of the whole platform; buyers and suppliers at addresses of their own.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use stockade::config::EdgeConfig;
use stockade_runtime::{BrownoutConfig, LimitsConfig, Rung};

use crate::{
    slow::{Server, key},
    support::Api,
};

/// Bounds under which a platform that has nothing to do stands on `rung`.
fn always(rung: Rung) -> EdgeConfig {
    let bound = |of: Rung| if of <= rung { 0 } else { u64::MAX };
    let brownout = BrownoutConfig {
        analyses_ms: bound(Rung::Analyses),
        imports_ms: bound(Rung::Imports),
        streams_ms: bound(Rung::Streams),
        suspect_ms: bound(Rung::Suspect),
        new_ms: bound(Rung::New),
        bulk_ms: bound(Rung::Bulk),
        rows_ms: bound(Rung::Rows),
        calm_ms: 1_000,
    };
    EdgeConfig { brownout, ..EdgeConfig::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rung_puts_off_what_is_below_it_and_never_buyers_withdrawals_and_decisions() {
    for rung in Rung::ALL {
        let directory = tempfile::tempdir().unwrap();
        // What a supplier needs to be there is put in on the lowest rung.
        let api = Api::open(directory.path()).await.starter_rules().await;
        let (known, suspect) = (api.supplier("known").await, api.supplier("suspect").await);
        api.list(&known, "known", "SKU-1", 100, 10).await;
        api.list(&suspect, "suspect", "SKU-1", 200, 10).await;
        let deny = |level: &str| {
            json!({ "supplier": "suspect", "deny": level, "scope": { "kind": "supplier" }, "reason": "test",
                    "expires_at": "2999-01-01T00:00:00Z" })
        };
        let imposed = api.call(&api.analyst, Method::POST, "/v1/overrides", deny("cap")).await;
        assert!(imposed.status < 300, "{}", imposed.body);
        api.close().await;

        // Whoever waits asks quickly; allowances are another matter.
        let mut limits = LimitsConfig::default();
        for class in limits.0.values_mut() {
            (class.units, class.burst) = (std::num::NonZeroU32::MAX, std::num::NonZeroU32::MAX);
        }
        let api = Api::with_edge(directory.path(), limits, Duration::from_secs(20), always(rung)).await;
        let own = |name: &str| {
            let supplier = stockade_model::SupplierId::new(name).unwrap();
            api.keys.create(name, stockade_runtime::Role::Supplier { supplier }).unwrap()
        };
        let (known, suspect, fresh) = (own("known"), own("suspect"), own("fresh"));
        let registered = json!({ "name": "Fresh", "region": "DE" });
        let path = "/v1/suppliers/fresh";
        assert_eq!(api.call(&api.operator, Method::PUT, path, registered).await.status, 200);
        api.until("the ladder has been looked at", async |api| {
            let instance = api.get(&api.operator, "/v1/ops/instance").await;
            instance.body["puts_off"] == json!(rung)
        })
        .await;

        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 1 });
        let row = json!({ "rows": [{ "op": "stock", "listing": "SKU-1", "set": 8 }] });
        let import = api
            .raw(
                Method::POST,
                "/v1/suppliers/known/imports",
                &[("authorization", &format!("Bearer {known}")), ("content-type", "text/csv")],
                b"listing,on_hand\nSKU-1,9\n".to_vec(),
            )
            .await;
        let backtest = json!({ "days": 1 });
        let event =
            json!({ "supplier": "known", "order": "o", "buyer": "b", "listing": "SKU-1", "quantity": 1 });
        for (what, from, reply) in [
            (
                "a backtest",
                Rung::Analyses,
                api.call(&api.analyst, Method::POST, "/v1/rules:backtest", backtest).await,
            ),
            (
                "a verification",
                Rung::Analyses,
                api.call(&api.operator, Method::POST, "/v1/ops/audit:verify", Value::Null).await,
            ),
            ("an import", Rung::Imports, import),
            ("a suspect's row", Rung::Suspect, api.list(&suspect, "suspect", "SKU-1", 200, 11).await),
            (
                "a new supplier's row",
                Rung::New,
                api.call(&fresh, Method::PUT, "/v1/suppliers/fresh/locations/main", place).await,
            ),
            (
                "a batch",
                Rung::Bulk,
                api.call(&known, Method::POST, "/v1/suppliers/known/inventory:batch", row).await,
            ),
            ("a row", Rung::Rows, api.list(&known, "known", "SKU-1", 100, 7).await),
            ("an event", Rung::Rows, api.event("e", "order.placed", event).await),
        ] {
            if rung >= from {
                assert_eq!(reply.code(), (503, "put_off"), "{what} on {rung:?}");
                assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1, "{what} on {rung:?}");
            } else {
                assert!(reply.status < 300, "{what} on {rung:?}: {}", reply.body);
            }
        }
        let partitions = api.get(&api.operator, "/v1/ops/partitions").await;
        assert_eq!(partitions.status, 200, "{rung:?}: {}", partitions.body);
        let of = |fold: &str| {
            let all = partitions.body["partitions"].as_array().unwrap();
            all.iter().find(|place| place["fold"] == fold).unwrap()["puts_off"].clone()
        };
        assert_eq!((of("inventory"), of("intake")), (json!(rung), Value::Null));

        // Never: what buyers ask and hold, withdrawals, what people decide.
        assert_eq!(api.sees("sku=SKU-1").await, ["known", "suspect"]);
        let hold = json!({ "supplier": "known", "listing": "SKU-1", "quantity": 1, "seconds": 60 });
        let held = api.call(&api.buyer, Method::POST, "/v1/reservations", hold).await;
        assert!(held.status < 300, "{rung:?}: {}", held.body);
        let path = "/v1/suppliers/suspect/listings/SKU-1";
        let gone = api.call(&suspect, Method::POST, &format!("{path}/stock"), json!({ "set": 0 })).await;
        assert_eq!(gone.status, 200, "{rung:?}: {}", gone.body);
        assert_eq!(api.call(&suspect, Method::DELETE, path, Value::Null).await.status, 200);
        let locked = api.call(&api.analyst, Method::POST, "/v1/overrides", deny("lockout")).await;
        assert!(locked.status < 300, "{rung:?}: {}", locked.body);
        let freed = json!({ "reason": "test" });
        let freed = api.call(&api.analyst, Method::DELETE, "/v1/overrides/suspect", freed).await;
        assert!(freed.status < 300, "{rung:?}: {}", freed.body);
        api.close().await;
    }
}

#[test]
fn buyers_have_an_address_of_their_own_and_everybody_is_served_at_the_one() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let buyer = key(data, &["--role", "buyer"]);
    // The test has to know the port before it is bound, so one is taken that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = format!("127.0.0.1:{port}");
    let server = Server::start_with(data, &[("STOCKADE_HTTP__BUYERS_LISTEN", own.as_str())]);
    let ask = |address: &str, key: &str, path: &str| {
        let end = "connection: close\r\n";
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{end}authorization: Bearer {key}\r\n\r\n");
        let answer = crate::edges::raw(address, request.as_bytes());
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let code = answer.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next());
        (status, code.unwrap_or_default().to_owned())
    };
    let ok = ("200".to_owned(), String::new());
    assert_eq!(ask(&own, &buyer, "/v1/availability?sku=S"), ok);
    assert_eq!(ask(&own, "", "/readyz"), ok);
    assert_eq!(ask(&own, &operator, "/v1/suppliers"), ("421".to_owned(), "wrong_address".to_owned()));
    assert_eq!(ask(&server.api, &buyer, "/v1/availability?sku=S"), ok);
    assert_eq!(ask(&server.api, &operator, "/v1/suppliers"), ok);
}

#[test]
fn limits_change_with_their_file_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let buyer = key(data, &["--role", "buyer"]);
    let operator = key(data, &["--role", "operator", "--name", "op"]);
    let file = data.join("stockade.yaml");
    let write = |burst: u32| {
        let text = format!("limits:\n  buyer: {{ per_second: 1, burst: {burst} }}\n");
        std::fs::write(&file, text).unwrap();
    };
    write(50);
    let server = Server::start_with_config(data, &file);
    let policy = || {
        let request = format!(
            "GET /v1/availability?sku=S HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {buyer}\r\n\r\n"
        );
        crate::edges::raw(&server.api, request.as_bytes())
    };
    assert!(policy().contains("\"default\";q=50;w=50"));
    std::fs::write(&file, "limits:\n  buyer: { per_second: none }\n").unwrap();
    write(700);
    crate::slow::until("the new limits are in force", || policy().contains("\"default\";q=700;w=700"));
    let (_, instance) = server.call("GET", "/v1/ops/instance", &operator, "");
    assert_eq!(instance["configuration"]["limits"]["buyer"]["burst"], 700, "{instance}");
}
