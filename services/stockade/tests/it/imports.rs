//! Whole files through the API: what is applied, what is reported, what waits.

use std::{collections::BTreeMap, io::Write as _, num::NonZeroU32, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use stockade_inventory::bounds::Bounds;
use stockade_log::partition_of;
use stockade_model::Topic;
use stockade_runtime::{LimitsConfig, limits::Class};
use tower::ServiceExt as _;

use crate::support::{Api, Reply};

async fn send(api: &Api, key: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("authorization", bearer.as_str()), ("content-type", "text/csv")];
    all.extend_from_slice(headers);
    api.raw(Method::POST, &format!("/v1/suppliers/acme/imports{path}"), &all, body.to_vec()).await
}

fn name(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.body["import"].as_str().unwrap().to_owned()
}

/// How an import stands once it is in one of `states`.
async fn until(api: &Api, key: &str, import: &str, states: &[&str]) -> Value {
    let path = format!("/v1/suppliers/acme/imports/{import}");
    let mut told = Value::Null;
    api.until(&format!("the import is one of {states:?}"), async |api| {
        let reply = api.get(key, &path).await;
        // Who asks without a pause may be told to slow down.
        told = reply.body;
        told["state"].as_str().is_some_and(|state| states.contains(&state))
    })
    .await;
    told
}

async fn import(api: &Api, key: &str, query: &str, body: &[u8]) -> Value {
    let name = name(&send(api, key, query, &[], body).await);
    until(api, key, &name, &["done", "failed", "needs_confirmation"]).await
}

async fn report(api: &Api, key: &str, told: &Value) -> Vec<String> {
    let path = told["links"]["report"].as_str().unwrap();
    let request = Request::get(path).header("authorization", format!("Bearer {key}"));
    let response = api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

async fn on_hand(api: &Api, key: &str, listing: &str) -> Option<i64> {
    api.get(key, &format!("/v1/suppliers/acme/listings/{listing}")).await.body["on_hand"].as_i64()
}

fn rows(told: &Value) -> [u64; 4] {
    ["read", "accepted", "unchanged", "refused"].map(|name| told["rows"][name].as_u64().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILE: &str = "listing,sku,gtin,location,price,currency,on_hand\n\
    a-1,SKU-1,4006381333931,main,\"39,90\",EUR,5\n\
    a-2,SKU-2,,main,12.50,EUR,8\n\
    a-3,SKU-3,8.06E+12,main,12.50,EUR,3\n\
    a-4,SKU-4,,nowhere,12.50,EUR,3\n\
    a-1,SKU-1,4006381333931,main,\"38,90\",EUR,6\n\
    a-5,SKU-5,,main,1,EUR,-1\n";

async fn open(directory: &std::path::Path) -> (Api, String) {
    let api = Api::open(directory).await;
    let key = api.supplier("acme").await;
    (api, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_applied_and_each_row_that_is_not_is_in_the_report_with_its_cell_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    let told = import(&api, &key, "", FILE.as_bytes()).await;
    assert_eq!((told["state"].as_str(), rows(&told)), (Some("done"), [6, 2, 0, 4]), "{told}");
    assert_eq!(
        (told["file"]["encoding"].as_str(), told["file"]["delimiter"].as_str()),
        (Some("utf-8"), Some(","))
    );
    let lines = report(&api, &key, &told).await;
    assert_eq!(lines[0], "line,column,value,code,severity,detail");
    for begins in [
        "4,gtin,8.06E+12,spreadsheet_number,refused,",
        "7,on_hand,-1,negative_stock,refused,",
        "2,,a-1,duplicate_row,refused,",
        "5,,a-4,unknown_location,refused,",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(begins)), "{begins} in {lines:#?}");
    }
    assert_eq!(lines.len(), 5);
    assert_eq!(on_hand(&api, &key, "a-1").await, Some(6), "the last row of a listing counts");
    let listing = api.get(&key, "/v1/suppliers/acme/listings/a-1").await;
    assert_eq!(listing.body["price"], json!({ "minor": 3_890, "currency": "EUR" }));
    assert_eq!(api.sees("sku=SKU-2").await, ["acme"]);
    let listed = api.get(&key, "/v1/suppliers/acme/imports").await;
    assert_eq!(listed.body["imports"][0]["import"], told["import"]);
    let again = import(&api, &key, "", FILE.as_bytes()).await;
    let page = api.get(&key, "/v1/suppliers/acme/imports?limit=1").await.body;
    assert_eq!(page["imports"][0]["import"], again["import"], "the newest first: {page}");
    let next = page["next"].as_str().unwrap();
    let rest = api.get(&key, &format!("/v1/suppliers/acme/imports?limit=1&cursor={next}")).await.body;
    assert_eq!((&rest["imports"][0]["import"], &rest["next"]), (&told["import"], &Value::Null), "{rest}");
    let odd = api.get(&key, "/v1/suppliers/acme/imports?foo=1").await;
    assert_eq!((odd.code(), &odd.body["errors"][0]["field"]), ((400, "bad_query"), &json!("foo")));
    for path in
        ["/v1/rules/versions?limit=2", "/v1/drafts?foo=1", "/v1/ops/instances?a=b", "/v1/reviews?foo=1"]
    {
        let odd = api.get(&api.operator, path).await;
        assert_eq!(odd.code(), (400, "bad_query"), "{path}: {}", odd.body);
    }
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_import_and_what_cannot_be_one_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    let with_key = [("idempotency-key", "monday")];
    let first = send(&api, &key, "", &with_key, FILE.as_bytes()).await;
    let again = send(&api, &key, "", &with_key, FILE.as_bytes()).await;
    assert_eq!((name(&first), again.header("idempotent-replay").as_str()), (name(&again), "true"));
    let other = send(&api, &key, "", &with_key, b"listing,on_hand\na-1,1\n").await;
    assert_eq!(other.code(), (409, "idempotency_key_reused"));
    until(&api, &key, &name(&first), &["done"]).await;

    let form = [("content-type", "multipart/form-data; boundary=x")];
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), form[0]];
    let refused = api.raw(Method::POST, "/v1/suppliers/acme/imports", &headers, FILE.into()).await;
    assert_eq!(refused.code(), (415, "unsupported_media_type"));
    assert_eq!(send(&api, &key, "", &[], b"").await.code(), (400, "empty_body"));
    assert_eq!(send(&api, &key, "?mode=merge", &[], b"x").await.status, 400);
    for (query, code) in [
        ("?mapping=nope", "unknown_mapping"),
        ("?encoding=ebcdic", "unknown_value"),
        ("?mapping=a:%20b", "mapping_incomplete"),
    ] {
        let refused = send(&api, &key, query, &[], FILE.as_bytes()).await;
        assert_eq!(
            (refused.status, refused.body["errors"][0]["code"].as_str()),
            (422, Some(code)),
            "{}",
            refused.body
        );
    }
    let stranger = api.supplier("other").await;
    assert_eq!(send(&api, &stranger, "", &[], FILE.as_bytes()).await.code(), (403, "not_your_supplier"));
    let path = "/v1/suppliers/acme/imports/0123";
    assert_eq!(api.get(&key, path).await.code(), (404, "unknown_import"));

    let told = import(&api, &key, "", "Artikel;Bestand\na;1\n".as_bytes()).await;
    assert_eq!(
        (told["state"].as_str(), told["problem"]["code"].as_str()),
        (Some("failed"), Some("wrong_header"))
    );
    let told = import(&api, &key, "?rows=7", FILE.as_bytes()).await;
    assert_eq!(told["problem"]["code"], "row_count", "{told}");
    let lines = report(&api, &key, &told).await;
    assert!(lines.len() == 2 && lines[1].starts_with(",,,row_count,refused,"), "{lines:#?}");
    let id = told["import"].as_str().unwrap();
    let reply =
        api.call(&key, Method::POST, &format!("/v1/suppliers/acme/imports/{id}/cancel"), Value::Null).await;
    assert_eq!(reply.code(), (409, "import_finished"));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_be_packed_by_its_content_encoding_and_no_other_coding_is_taken_for_the_file_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    for path in ["", "/preview"] {
        for coding in ["br", "deflate", "gzip, gzip"] {
            let refused = send(&api, &key, path, &[("content-encoding", coding)], FILE.as_bytes()).await;
            assert_eq!(refused.code(), (415, "unsupported_content_encoding"), "{coding}");
        }
        let plain = send(&api, &key, path, &[("content-encoding", "gzip")], FILE.as_bytes()).await;
        assert_eq!(plain.code(), (400, "bad_gzip"), "it says that it is packed, and is not");
    }
    let packed = send(&api, &key, "", &[("content-encoding", "gzip")], &gzip(FILE.as_bytes())).await;
    let told = until(&api, &key, &name(&packed), &["done", "failed"]).await;
    assert_eq!((told["state"].as_str(), rows(&told)), (Some("done"), [6, 2, 0, 4]), "{told}");
    let shown = send(&api, &key, "/preview", &[("content-encoding", "x-gzip")], &gzip(FILE.as_bytes())).await;
    assert_eq!((shown.status, shown.body["rows"].as_array().map(Vec::len)), (200, Some(6)), "{}", shown.body);
    // What is inside is bounded as it is in a file.
    let bomb = gzip(&vec![b'x'; 64 << 20]);
    let name = name(&send(&api, &key, "", &[("content-encoding", "gzip")], &bomb).await);
    assert_eq!(until(&api, &key, &name, &["done", "failed"]).await["state"], "failed");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_rows_as_they_would_be_read_and_applies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    let latin = b"Artikel-Nr.;Preis;Bestand;W\xe4hrung\nb-1;1.234,50;7;EUR\nb-2;x;1;EUR\n";
    for path in ["/preview", "?preview=true"] {
        let seen = send(&api, &key, path, &[], latin).await;
        assert_eq!(seen.status, 200, "{}", seen.body);
        let file = &seen.body["file"];
        assert_eq!((&file["encoding"], &file["delimiter"]), (&json!("windows-1252"), &json!(";")));
        assert_eq!(seen.body["problem"]["code"], "wrong_header", "a guess is not taken unasked");
        assert!(seen.body["mapping_yaml"].as_str().unwrap().contains("on_hand: Bestand"), "{}", seen.body);
        assert_eq!(seen.body["rows"][0]["row"]["price"], json!({ "minor": 123_450, "currency": "EUR" }));
        assert_eq!(seen.body["rows"][1]["refused"]["code"], "not_a_number");
    }
    let listed = api.get(&key, "/v1/suppliers/acme/imports").await;
    assert_eq!(listed.body["imports"], json!([]));
    assert_eq!(on_hand(&api, &key, "b-1").await, None);
    let told = import(&api, &key, "?mapping=proposed", latin).await;
    assert_eq!(rows(&told), [2, 1, 0, 1], "{told}");
    assert_eq!(on_hand(&api, &key, "b-1").await, Some(7));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_off_what_it_does_not_name_and_asks_first_when_that_is_much() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    for number in 0..10 {
        api.list(&key, "acme", &format!("l-{number}"), 100, 5).await;
    }
    let file = |from: usize, to: usize| -> Vec<u8> {
        let rows: String = (from..to).map(|number| format!("l-{number},6\n")).collect();
        format!("listing,on_hand\n{rows}").into_bytes()
    };
    // One of ten is within the fifth that needs no word; a row that is refused still names its listing.
    let mut most = file(0, 8);
    most.extend(b"l-8,-1\n");
    let told = import(&api, &key, "?mode=snapshot", &most).await;
    assert_eq!(
        (told["state"].as_str(), &told["missing"]),
        (Some("done"), &json!({ "listings": 1, "of": 10 }))
    );
    assert_eq!((on_hand(&api, &key, "l-8").await, on_hand(&api, &key, "l-9").await), (Some(5), Some(0)));
    assert_eq!(told["rows"]["taken_off"], 1);

    // A file that broke off says nothing of what it does not name.
    let packed = gzip(&file(0, 8));
    let told = import(&api, &key, "?mode=snapshot", &packed[..packed.len() - 4]).await;
    assert_eq!(
        (told["state"].as_str(), told["problem"]["code"].as_str()),
        (Some("done"), Some("truncated_archive"))
    );
    assert_eq!(told["rows"]["taken_off"], 0);
    assert_eq!(on_hand(&api, &key, "l-8").await, Some(5));

    let told = import(&api, &key, "?mode=snapshot&missing=withdraw", &file(0, 2)).await;
    assert_eq!(
        (told["state"].as_str(), &told["missing"]),
        (Some("needs_confirmation"), &json!({ "listings": 7, "of": 9 }))
    );
    assert_eq!(on_hand(&api, &key, "l-0").await, Some(6));
    // What is put while it waits is newer than the file.
    api.list(&key, "acme", "new", 100, 5).await;
    let link = |what: &str| told["links"][what].as_str().unwrap().to_owned();
    let reply = api.call(&key, Method::POST, &link("confirm"), Value::Null).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    let told = until(&api, &key, told["import"].as_str().unwrap(), &["done"]).await;
    assert_eq!((told["rows"]["taken_off"].as_u64(), on_hand(&api, &key, "new").await), (Some(7), Some(5)));
    let gone = api.get(&key, "/v1/suppliers/acme/listings/l-5").await;
    assert_eq!(gone.body["withdrawn"], true);
    let reply = api.call(&key, Method::POST, &link("confirm"), Value::Null).await;
    assert_eq!(reply.code(), (409, "not_waiting"));

    let waits = import(&api, &key, "?mode=snapshot", b"listing,on_hand\nnew,1\n").await;
    assert_eq!(waits["state"], "needs_confirmation");
    import(&api, &key, "", b"listing,on_hand\nnew,9\n").await;
    let reply = api.call(&key, Method::POST, waits["links"]["confirm"].as_str().unwrap(), Value::Null).await;
    assert_eq!(reply.code(), (409, "import_overtaken"), "it would undo what came later");
    let reply = api.call(&key, Method::POST, waits["links"]["cancel"].as_str().unwrap(), Value::Null).await;
    assert_eq!((reply.status, reply.body["state"].as_str()), (202, Some("cancelled")));
    assert_eq!(on_hand(&api, &key, "new").await, Some(9));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_say_only_what_is_known_do_not_reach_the_log_and_any_change_by_others_counts() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    let file: String = (0..1_200).map(|n| format!("l-{n},S,main,1.50,EUR,{}\n", n + 1)).collect();
    let file = format!("listing,sku,location,price,currency,on_hand\n{file}").into_bytes();
    let told = import(&api, &key, "", &file).await;
    assert_eq!(rows(&told), [1_200, 1_200, 0, 0], "{told}");
    let log = api.platform.app.as_ref().unwrap().log.clone();
    let written = |log: &stockade_log::SharedLog| {
        let partition = partition_of(b"acme", 4);
        let records = log.read(Topic::SupplierEvents.name(), partition, 0, Default::default()).unwrap();
        records
            .iter()
            .filter(|record| String::from_utf8_lossy(&record.value).contains("\"op\":\"put\""))
            .count()
    };
    let before = written(&log);
    assert!(before >= 3);
    let told = import(&api, &key, "", &file).await;
    assert_eq!(rows(&told), [1_200, 0, 1_200, 0], "{told}");
    assert_eq!(written(&log), before);
    // Whatever is acknowledged before a chunk's turn is seen by it.
    let stock = json!({ "set": 77 });
    assert_eq!(
        api.call(&key, Method::POST, "/v1/suppliers/acme/listings/l-7/stock", stock).await.status,
        200
    );
    let told = import(&api, &key, "", &file).await;
    assert_eq!(rows(&told), [1_200, 1, 1_199, 0], "{told}");
    assert_eq!(on_hand(&api, &key, "l-7").await, Some(8));
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_zero_goes_first_and_a_slow_import_holds_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut limits = LimitsConfig::default();
    let class = |per_second, burst| {
        Class::a_second(NonZeroU32::new(per_second).unwrap(), NonZeroU32::new(burst).unwrap())
    };
    limits.0 = BTreeMap::from([
        ("standard".to_owned(), class(1_000_000, 1_000_000)),
        ("slow".to_owned(), class(1, 20)),
    ]);
    let api = Api::with(directory.path(), limits, Duration::from_secs(20)).await;
    let key = api.supplier("acme").await;
    api.list(&key, "acme", "last", 100, 5).await;
    let slow = json!({ "name": "acme", "region": "DE", "class": "slow" });
    assert_eq!(api.call(&api.operator, Method::PUT, "/v1/suppliers/acme", slow).await.status, 200);
    // At one row a second it would take the day; the row that sells out is at its end.
    let rows_of = |count: usize| (0..count).map(|n| format!("l-{n},S,main,1.50,EUR,3\n")).collect::<String>();
    let file =
        format!("listing,sku,location,price,currency,on_hand\n{}last,last,main,1,EUR,0\n", rows_of(50_000));
    let name = name(&send(&api, &key, "", &[], file.as_bytes()).await);
    api.until("what is sold out is off", async |api| api.sees("sku=last").await.is_empty()).await;
    let told = until(&api, &key, &name, &["applying"]).await;
    assert!(
        told["rows"]["done"].as_u64().unwrap() < 1_000 && told["estimate_seconds"].as_u64().unwrap() > 10_000,
        "{told}"
    );

    let other = api.supplier("other").await;
    let bearer = format!("Bearer {other}");
    let file = format!("listing,sku,location,price,currency,on_hand\n{}", rows_of(2_000));
    let reply = api
        .raw(Method::POST, "/v1/suppliers/other/imports", &[("authorization", &bearer)], file.into())
        .await;
    let path = reply.body["links"]["self"].as_str().unwrap().to_owned();
    api.until("another supplier's import is done", async |api| {
        api.get(&other, &path).await.body["state"] == "done"
    })
    .await;
    assert_eq!(api.get(&other, &path).await.body["rows"]["accepted"], 2_000);

    let told = until(&api, &key, &name, &["applying"]).await;
    api.call(&key, Method::POST, told["links"]["cancel"].as_str().unwrap(), Value::Null).await;
    // It ends behind the chunk that waits for room, five rows at one a second.
    let told = until(&api, &key, &name, &["cancelled"]).await;
    assert!(told["rows"]["done"].as_u64().unwrap() < 1_000, "{told}");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplier_that_is_locked_out_may_still_reduce_by_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    api.list(&key, "acme", "a", 100, 5).await;
    api.list(&key, "acme", "b", 100, 5).await;
    let deny = json!({
        "supplier": "acme", "deny": "lockout", "scope": { "kind": "supplier" }, "reason": "test",
        "expires_at": "2999-01-01T00:00:00Z",
    });
    let reply = api.call(&api.analyst, Method::POST, "/v1/overrides", deny).await;
    assert!(reply.status < 300, "{}", reply.body);
    api.until("it is locked out", async |api| api.sees("sku=a").await.is_empty()).await;
    let told = import(&api, &key, "", b"listing,on_hand\na,3\nb,50\n").await;
    assert_eq!(rows(&told), [2, 1, 0, 1], "{told}");
    let lines = report(&api, &key, &told).await;
    assert!(lines[1].starts_with("3,,b,supplier_locked_out,refused,"), "{lines:#?}");
    api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_would_be_more_listings_than_a_supplier_may_have_are_refused_and_the_others_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (api, key) = open(directory.path()).await;
    let bounds = Bounds { listings_max: 3, new_listings_max: 3, ..Bounds::default() };
    api.platform.app.as_ref().unwrap().gate_of_edge.set_bounds(bounds);
    let file = |units: usize| {
        let row = |name: &str| format!("{name},S,main,1.50,EUR,{units}\n");
        let rows: String = ["a", "b", "c", "d", "e"].map(row).concat();
        format!("listing,sku,location,price,currency,on_hand\n{rows}")
    };
    let told = import(&api, &key, "", file(3).as_bytes()).await;
    assert_eq!(rows(&told), [5, 3, 0, 2], "{told}");
    let lines = report(&api, &key, &told).await;
    assert!(lines[1].starts_with("5,,d,too_many_listings,refused,"), "{lines:#?}");
    let told = import(&api, &key, "", file(4).as_bytes()).await;
    assert_eq!(rows(&told), [5, 3, 0, 2], "what exists is changed: {told}");
    let path = "/v1/suppliers/acme/listings/a";
    assert_eq!(api.call(&key, Method::DELETE, path, Value::Null).await.status, 200);
    let told = import(&api, &key, "", file(5).as_bytes()).await;
    assert_eq!(rows(&told), [5, 3, 0, 2], "a comes back, and there is room for no other: {told}");
    api.close().await;
}
