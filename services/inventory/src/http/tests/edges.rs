//! What other people's systems send and expect: names of any script, tags, lists, events in every mode.

use stockade_runtime::http::path_segment;

use super::*;

/// Names as they stand on labels.
const NAMES: [&str; 6] = ["a b", "10/20 \"mm\"", "Größe \\ 40 %", "货号 8", "?&=#+", "..hidden/../x"];

#[tokio::test]
async fn names_of_any_script_go_through_every_path_and_come_back_as_they_were() {
    let api = Api::open().await;
    for name in NAMES {
        let part = path_segment(name);
        let place = json!({ "latitude": 52.5, "longitude": 13.4, "region": "DE", "handling_days": 2 });
        assert_eq!(api.put(&format!("locations/{part}"), &[], place).await.status, 200, "{name}");
        assert_eq!(api.get(&format!("locations/{part}"), &[]).await.body["location"], name);
        let put = api.list(&part, json!({ "sku": name, "location": name })).await;
        assert_eq!((put.status, &put.body["subject"]), (200, &json!(name)), "{}", put.body);
        let stock = api.post(&format!("listings/{part}/stock"), &[], json!({ "set": 7 })).await;
        assert_eq!((stock.status, &stock.body["available"]), (200, &json!(7)), "{name}");
        let own = api.get(&format!("listings/{part}"), &[]).await;
        assert_eq!((&own.body["sku"], &own.body["location"]), (&json!(name), &json!(name)));
        let found = api.ask(&format!("sku={part}")).await;
        assert_eq!((names(&found), &found.body["offers"][0]["sku"]), (vec![name], &json!(name)));
        let asked = json!({ "goods": [{ "sku": name }] });
        let found = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], asked).await;
        assert_eq!(found.body["results"][0]["sku"], name);
        assert_eq!(found.body["results"][0]["offers"][0]["listing"], name);
        let held = api.reserve(json!({ "supplier": "acme", "listing": name, "quantity": 1 })).await;
        assert_eq!((held.status, &held.body["listing"]), (201, &json!(name)), "{}", held.body);
    }
    let withdrawn = api
        .call(
            Method::DELETE,
            &api.supplier,
            &format!("/v1/suppliers/acme/listings/{}", path_segment(NAMES[1])),
            &[],
            Value::Null,
        )
        .await;
    assert_eq!(withdrawn.status, 200);
    assert!(names(&api.ask(&format!("sku={}", path_segment(NAMES[1]))).await).is_empty());
}

#[tokio::test]
async fn pages_go_on_behind_the_longest_names_and_one_label_is_one_name() {
    let api = Api::open().await;
    let long = |last: &str| format!("{}{last}", "\u{20000}".repeat(127));
    let sku = long("s");
    for last in ["a", "b", "c"] {
        let put = api.list(&path_segment(&long(last)), json!({ "sku": sku })).await;
        assert_eq!(put.status, 200, "{}", put.body);
    }
    let mut question = format!("sku={}&limit=1", path_segment(&sku));
    let mut seen = Vec::new();
    loop {
        let page = api.ask(&question).await;
        seen.extend(names(&page).iter().map(|name| (*name).to_owned()));
        let Some(next) = page.body["next"].as_str() else { break };
        question = format!("sku={}&limit=1&cursor={next}", path_segment(&sku));
    }
    assert_eq!(seen, ["a", "b", "c"].map(long));
    // The same word, typed with a combining mark, is the same SKU and the same listing.
    assert_eq!(api.list("k%C3%BCche", json!({ "sku": "Küche" })).await.status, 200);
    assert_eq!(names(&api.ask("sku=Ku%CC%88che").await), ["küche"]);
    assert_eq!(api.get("listings/ku%CC%88che", &[]).await.body["listing"], "küche");
    for (part, code) in [("a%00b", "id_character"), ("a%0Ab", "id_character"), ("%20a", "id_space")] {
        assert_eq!(api.list(part, json!({})).await.field(), (422, code, "/listing"), "{part}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_a_problem_whoever_reads_it() {
    let api = Api::open().await;
    for (key, path) in [
        (&api.supplier, "/v1/suppliers/%FF/listings/l"),
        (&api.supplier, "/v1/suppliers/acme/listings/%FF"),
        (&api.supplier, "/v1/suppliers/acme/operations/%C3%28"),
        (&api.buyer, "/v1/reservations/%FF"),
        (&api.orders, "/v1/events/shop/%FF"),
    ] {
        let reply = api.call(Method::GET, key, path, &[], Value::Null).await;
        assert_eq!(reply.code(), (400, "bad_path"), "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn whoever_has_the_answer_already_is_told_so_until_something_changes() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    let ask = async |headers: &[(&str, &str)]| {
        api.call(Method::GET, &api.buyer, "/v1/availability?sku=SKU-1", headers, Value::Null).await
    };
    let first = ask(&[]).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}: times in the answer are not part of it");
    let list = format!("\"other\", {tag}");
    for seen in [tag.as_str(), list.as_str(), "*"] {
        let again = ask(&[("if-none-match", seen)]).await;
        assert_eq!((again.status, &again.body), (304, &Value::Null), "{seen}");
        assert_eq!(again.header("etag"), tag);
        assert!(again.header("stockade-as-of") >= first.body["as_of"].as_str().unwrap());
        assert!(!again.header("stockade-staleness-ms").is_empty() && !again.header("ratelimit").is_empty());
    }
    assert_eq!(ask(&[("if-none-match", "a b")]).await.code(), (400, "bad_etag"));
    // Another good has another answer, and so has this one once a unit is gone.
    let seen = [("if-none-match", tag.as_str())];
    let other = api.call(Method::GET, &api.buyer, "/v1/availability?sku=S", &seen, Value::Null).await;
    assert_eq!(other.status, 200);
    api.post("listings/l/stock", &[], json!({ "adjust": -1 })).await;
    let changed = ask(&[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, &changed.body["offers"][0]["available"]), (200, &json!(9)));
    let tag = changed.header("etag").to_owned();
    api.restrict(vec![quarantined("DE")]).await;
    let withheld = ask(&[("if-none-match", &tag)]).await;
    assert_eq!((withheld.status, names(&withheld)), (200, vec![]), "a lock-out is never hidden by a tag");
    // The supplier's own view has a tag too.
    let own = api.get("listings/l", &[]).await;
    assert_eq!(api.get("listings/l", &[("if-none-match", own.header("etag"))]).await.status, 304);
    assert_eq!(api.get("locations/main", &[("if-none-match", "*")]).await.status, 304);
}

#[tokio::test]
async fn both_forms_of_a_query_take_the_same_bounds_and_orders() {
    let api = Api::open().await;
    let place = json!({ "latitude": 48.1, "longitude": 11.6, "region": "DE", "handling_days": 0 });
    api.put("locations/munich", &[], place).await;
    let price = |minor: i64| json!({ "minor": minor, "currency": "EUR" });
    api.list("berlin", json!({ "price": price(100), "on_hand": 3 })).await;
    api.list("munich", json!({ "price": price(200), "on_hand": 9, "location": "munich" })).await;
    for (bounds, expected) in [
        (json!({ "sort": "price" }), vec!["berlin", "munich"]),
        (json!({ "sort": "lead" }), vec!["munich", "berlin"]),
        (json!({ "sort": "distance", "near": "48.2,11.5", "radius_km": 5000 }), vec!["munich", "berlin"]),
        (json!({ "sort": "distance", "near": "52.4,13.1", "radius_km": 5000 }), vec!["berlin", "munich"]),
        (json!({ "near": "52.4,13.1", "radius_km": 50 }), vec!["berlin"]),
        (json!({ "min_qty": 4 }), vec!["munich"]),
        (json!({ "min_qty": 4, "max_lead_days": 0, "max_price": 200, "currency": "EUR" }), vec!["munich"]),
    ] {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs =
            bounds.as_object().unwrap().iter().map(|(name, value)| format!("&{name}={}", text(value)));
        assert_eq!(
            names(&api.ask(&format!("sku=SKU-1{}", pairs.collect::<String>())).await),
            expected,
            "{bounds}"
        );
        let mut body = json!({ "goods": [{ "sku": "SKU-1" }] });
        body.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
        let many = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], body).await;
        assert_eq!(many.status, 200, "{}", many.body);
        let offers = many.body["results"][0]["offers"].as_array().unwrap();
        let listed: Vec<&str> = offers.iter().map(|offer| offer["listing"].as_str().unwrap()).collect();
        assert_eq!(listed, expected, "{bounds}");
    }
    // A good's own bound goes before that of all.
    let body = json!({ "goods": [{ "sku": "SKU-1", "min_qty": 1 }, { "sku": "SKU-1" }], "min_qty": 4 });
    let many = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], body).await;
    let counts: Vec<usize> =
        (0..2).map(|at| many.body["results"][at]["offers"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [2, 1]);
    let wrong = json!({ "goods": [{ "sku": "SKU-1" }], "min_qty": 0, "sort": "distance" });
    let refused = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], wrong).await;
    let errors = refused.body["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!((refused.status, fields), (422, vec!["/min_qty", "/sort"]), "{}", refused.body);
    for (bad, field) in [("sort=best", "sort"), ("min_qty=1.5", "min_qty"), ("near=x", "near")] {
        let refused = api.ask(&format!("sku=SKU-1&{bad}")).await;
        assert!(matches!(refused.status, 400 | 422), "{bad}");
        assert_eq!(refused.body["errors"][0]["field"], field, "{bad}: {}", refused.body);
    }
}

#[tokio::test]
async fn an_upc_e_finds_what_was_listed_under_its_upc_a_and_the_other_way_round() {
    let api = Api::open().await;
    api.list("long", json!({ "gtin": "042100005264" })).await;
    api.list("short", json!({ "gtin": "04252614" })).await;
    for gtin in ["04252614", "042100005264", "0042100005264", "00042100005264"] {
        assert_eq!(names(&api.ask(&format!("gtin={gtin}")).await), ["long", "short"], "{gtin}");
    }
}

/// All items of a list, page by page, by the field that names them.
async fn paged(api: &Api, key: &str, path: &str, limit: usize, name: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let reply =
            api.call(Method::GET, key, &format!("{path}?limit={limit}{cursor}"), &[], Value::Null).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let items = reply.body["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
        match reply.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn lists_are_whole_in_pages_of_any_size_and_in_a_stable_order() {
    let api = Api::open().await;
    let mut expected: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    for (at, name) in NAMES.iter().enumerate() {
        let place = json!({ "latitude": 1, "longitude": 2, "region": "DE", "handling_days": 1 });
        api.put(&format!("locations/{}", path_segment(name)), &[], place).await;
        let headers = [("idempotency-key", ["k0", "k1", "k?2", "k3", "k4", "k5"][at])];
        let path = format!("listings/{}", path_segment(name));
        // Two of a good, so that the order of goods is not that of names.
        let body = listing(json!({ "sku": format!("good {}", at % 3) }));
        assert_eq!(api.put(&path, &headers, body).await.status, 200);
    }
    // What buyers ask of its stock is no operation of the supplier's.
    let body = json!({ "supplier": "acme", "listing": NAMES[0], "quantity": 1, "seconds": 60 });
    let held = api.call(Method::POST, &api.buyer, "/v1/reservations", &[], body).await;
    assert_eq!(held.status, 201, "{}", held.body);
    for id in ["a", "b", "zeta"] {
        let path = format!("/v1/suppliers/{id}");
        let body = json!({ "name": "Käserei", "region": "DE" });
        // Nobody relays registrations here, so they are told of as the control fold would.
        let change = Change::Supplier {
            profile: SupplierProfile {
                supplier: SupplierId::new(id).unwrap(),
                name: body["name"].as_str().unwrap().to_owned(),
                region: Region::new("DE").unwrap(),
                since: Timestamp::default(),
                class: "standard".to_owned(),
                stock_counts: Default::default(),
            },
        };
        let payload = Payload::Control(ControlRecord { actor: "op".to_owned(), change });
        let offset = api.append(Topic::SupplierEvents, id, &payload).await;
        api.app.board.wait("inventory", 0, offset + 1).await;
        assert_eq!(api.call(Method::GET, &api.staff, &path, &[], Value::Null).await.status, 200);
    }
    expected.sort();
    let mut places = expected.clone();
    places.push("main".to_owned());
    places.sort();
    for limit in [1, 2, 3, 100] {
        let of = async |what: &str, name: &str| {
            paged(&api, &api.supplier, &format!("/v1/suppliers/acme/{what}"), limit, name).await
        };
        assert_eq!(of("listings", "listing").await, expected);
        assert_eq!(of("locations", "location").await, places);
        let operations = of("operations", "key").await;
        assert_eq!(
            operations.iter().filter(|key| key.starts_with('k')).count(),
            NAMES.len(),
            "{operations:?}"
        );
        // Those of the locations, and of the one that the tests begin with.
        assert_eq!(operations.len(), 2 * NAMES.len() + 1, "{operations:?}");
        assert!(operations.is_sorted());
        let suppliers = paged(&api, &api.staff, "/v1/suppliers", limit, "supplier").await;
        assert_eq!(suppliers, ["a", "acme", "b", "zeta"]);
    }
    let first = api.get("operations?limit=500", &[]).await;
    let items = first.body["items"].as_array().unwrap();
    let odd = items.iter().find(|item| item["key"] == "k?2").unwrap();
    let link = odd["operation"].as_str().unwrap();
    let found = api.call(Method::GET, &api.supplier, link, &[], Value::Null).await;
    assert_eq!((found.status, &found.body["succeeded"]), (200, &json!(1)), "the link leads there");
}

#[tokio::test]
async fn a_list_is_for_whom_it_is_about_and_takes_only_its_own_cursors() {
    let api = Api::open().await;
    for name in ["x", "y"] {
        api.list(name, json!({})).await;
    }
    let next = api.get("listings?limit=1", &[]).await.body["next"].as_str().unwrap().to_owned();
    let ask = async |key: &str, path: &str| api.call(Method::GET, key, path, &[], Value::Null).await;
    for path in ["/v1/suppliers", "/v1/suppliers/acme/locations", "/v1/suppliers/acme/operations"] {
        let refused = ask(&api.staff, &format!("{path}?cursor={next}")).await;
        assert_eq!(refused.code(), (400, "bad_cursor"), "{path}");
    }
    assert_eq!(api.get("listings?cursor=x", &[]).await.code(), (400, "bad_cursor"));
    assert_eq!(api.get("listings?limit=0", &[]).await.field(), (422, "limit_range", "limit"));
    assert_eq!(api.get("listings?limit=all", &[]).await.code(), (400, "bad_query"));
    assert_eq!(ask(&api.supplier, "/v1/suppliers").await.code(), (403, "wrong_role"));
    assert_eq!(ask(&api.buyer, "/v1/suppliers").await.code(), (403, "wrong_role"));
    assert_eq!(ask(&api.supplier, "/v1/suppliers/other/listings").await.code(), (403, "not_your_supplier"));
    assert_eq!(ask(&api.staff, "/v1/suppliers/other/listings").await.code(), (404, "unknown_supplier"));
}

fn data(more: &Value) -> Value {
    let mut data = json!({ "supplier": "acme", "order": "o-1", "buyer": "b" });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    data
}

fn event(id: &str, kind: &str, more: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "shop", "type": format!("stockade.order.{kind}"), "data": data(more) })
}

impl Api {
    async fn tell(&self, headers: &[(&str, &str)], body: Value) -> Reply {
        self.call(Method::POST, &self.orders, "/v1/events", headers, body).await
    }
}

#[tokio::test]
async fn an_event_may_come_with_its_attributes_in_headers_or_its_data_in_base64() {
    let api = Api::open().await;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "K%C3%A4serei"),
        ("ce-type", "stockade.order.placed"),
        ("content-type", "application/json"),
    ];
    let told = api.tell(&binary, data(&json!({}))).await;
    assert_eq!((told.status, &told.body["accepted"]), (202, &json!(1)), "{}", told.body);
    assert_eq!(told.body["rows"][0]["answer"], "/v1/events/K%C3%A4serei/e-1");
    let stray = binary.map(|(n, v)| if n == "ce-type" { (n, "stockade.order.disputed") } else { (n, v) });
    let stray = api.tell(&stray, data(&json!({ "order": "o-9" }))).await;
    assert_eq!(stray.body["rows"][0]["warnings"][0]["field"], "/order", "{}", stray.body);
    // What is wrong is named as whoever sent headers and a body knows it.
    let wrong = api.tell(&binary, data(&json!({ "quantity": 0 }))).await;
    assert_eq!(wrong.field(), (422, "quantity_range", "/quantity"));
    assert_eq!(api.tell(&binary, json!([])).await.field(), (422, "wrong_type", "body"));
    for (name, value, field, code) in [
        ("ce-specversion", "0.3", "ce-specversion", "specversion"),
        ("ce-id", "a b", "ce-id", "id_character"),
        ("ce-type", "order.placed", "ce-type", "unknown_event_type"),
    ] {
        let headers = binary.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        assert_eq!(api.tell(&headers, data(&json!({}))).await.field(), (422, code, field), "{name}");
        let fewer: Vec<_> = binary.into_iter().filter(|(n, _)| *n != name).collect();
        assert_eq!(
            api.tell(&fewer, data(&json!({}))).await.field(),
            (422, "missing_field", field),
            "no {name}"
        );
    }
    assert_eq!(api.tell(&[binary[0], ("content-type", "text/csv")], json!({})).await.code().0, 415);
    // The structured mode wins over stray headers, and has its own media types.
    let structured = [binary[0], binary[1], ("content-type", "application/cloudevents+json; charset=utf-8")];
    assert_eq!(api.tell(&structured, event("e-2", "placed", &json!({}))).await.status, 202);
    let batch = [("content-type", "application/cloudevents-batch+json")];
    assert_eq!(api.tell(&batch, json!([event("e-3", "placed", &json!({}))])).await.status, 202);

    use base64::Engine as _;
    let coded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let with = |data: Value| {
        let mut event = event("e-4", "placed", &json!({}));
        event.as_object_mut().unwrap().remove("data");
        event.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
        event
    };
    let whole = coded(&data(&json!({})).to_string());
    assert_eq!(api.tell(&[], with(json!({ "data_base64": whole }))).await.status, 202);
    let odd = coded(&data(&json!({ "quantity": 1.5 })).to_string());
    for (sent, code, field) in [
        (json!({ "data_base64": odd }), "wrong_type", "/data/quantity"),
        (json!({ "data_base64": "%%%" }), "bad_base64", "/data_base64"),
        (json!({ "data_base64": coded("no json") }), "malformed_json", "/data"),
        (json!({ "data_base64": whole, "data": data(&json!({})) }), "data_twice", "/data_base64"),
        (json!({}), "missing_field", "/data"),
        (
            json!({ "data": data(&json!({})), "datacontenttype": "text/xml" }),
            "data_content_type",
            "/datacontenttype",
        ),
    ] {
        assert_eq!(api.tell(&[], with(sent.clone())).await.field(), (422, code, field), "{sent}");
    }
    let fine = json!({ "data": data(&json!({})), "datacontenttype": "application/json; charset=utf-8" });
    assert_eq!(api.tell(&[], with(fine)).await.status, 202);
}

#[tokio::test]
async fn an_event_about_nobody_or_nothing_known_is_taken_with_a_warning() {
    let api = Api::open().await;
    let warned = |reply: &Reply, row: usize| -> Vec<(String, String)> {
        assert_eq!(reply.status, 202, "{}", reply.body);
        assert_eq!(reply.body["rows"][row]["status"], "accepted");
        let warnings = reply.body["rows"][row]["warnings"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        warnings.iter().map(|warning| (text(&warning["code"]), text(&warning["field"]))).collect()
    };
    let of = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    let (supplier, order) = (of("unknown_supplier", "/data/supplier"), of("unknown_order", "/data/order"));
    let told = api.tell(&[], event("e-1", "disputed", &json!({}))).await;
    assert_eq!((warned(&told, 0), &told.body["warned"]), (vec![order.clone()], &json!(1)));
    let told = api.tell(&[], event("e-2", "disputed", &json!({ "supplier": "nobody" }))).await;
    assert_eq!(warned(&told, 0), [supplier.clone(), order.clone()]);
    // What is placed in the same request, or was placed before, is known; to place is to make known.
    let both = json!([event("e-3", "placed", &json!({})), event("e-4", "disputed", &json!({}))]);
    let told = api.tell(&[], both).await;
    assert_eq!((warned(&told, 0), warned(&told, 1), &told.body["warned"]), (vec![], vec![], &json!(0)));
    let told = api.tell(&[], event("e-5", "refunded", &json!({}))).await;
    assert_eq!(warned(&told, 0), []);
    let told = api.tell(&[], event("e-6", "refunded", &json!({ "supplier": "nobody" }))).await;
    assert_eq!(warned(&told, 0), [supplier, order], "the order of another supplier is another order");
}

#[tokio::test]
async fn an_outcome_that_leaves_out_the_buyer_of_its_order_is_taken_with_a_warning_and_a_guests_is_not_warned_of()
 {
    let api = Api::open().await;
    let of = |id: &str, kind: &str, order: &str, buyer: Option<&str>| {
        let mut event = event(id, kind, &json!({ "order": order, "cause": "supplier" }));
        match buyer {
            Some(buyer) => event["data"]["buyer"] = json!(buyer),
            None => drop(event["data"].as_object_mut().unwrap().remove("buyer")),
        }
        event
    };
    let codes = |reply: &Reply| -> Vec<Value> {
        assert_eq!(reply.status, 202, "{}", reply.body);
        let rows = reply.body["rows"].as_array().unwrap().iter();
        rows.flat_map(|row| row["warnings"].as_array().cloned().unwrap_or_default())
            .map(|warning| json!([warning["code"], warning["field"]]))
            .collect()
    };
    let left_out = json!(["buyer_left_out", "/data/buyer"]);
    let both = json!([of("a-1", "placed", "a", Some("b")), of("a-2", "cancelled", "a", None)]);
    assert_eq!(codes(&api.tell(&[], both).await), std::slice::from_ref(&left_out));
    assert_eq!(codes(&api.tell(&[], of("a-3", "disputed", "a", None)).await), [left_out]);
    assert_eq!(codes(&api.tell(&[], of("a-4", "refunded", "a", Some("b"))).await), [json!(null); 0]);
    let guest = json!([of("g-1", "placed", "g", None), of("g-2", "cancelled", "g", None)]);
    assert_eq!(codes(&api.tell(&[], guest).await), [json!(null); 0]);
}

#[tokio::test]
async fn while_a_partition_is_behind_an_order_system_has_a_quarter_of_it_and_its_other_events_are_taken() {
    let api = Api::open().await;
    let gate = &api.app.gate_of_edge.events;
    let many = |from: usize, to: usize| -> Value {
        (from..to).map(|number| event(&format!("e-{number}"), "placed", &json!({}))).collect()
    };
    gate.set_rates(&[None], &[Some(0.1)]);
    let told = api.tell(&[], many(0, 1_000)).await;
    assert_eq!((told.status, &told.body["accepted"]), (202, &json!(1_000)), "one is always taken whole");
    let refused = api.tell(&[], many(1_000, 1_010)).await;
    assert_eq!(refused.code(), (429, "share_used"));
    assert!((1..=20).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(api.tell(&[], event("e-1000", "placed", &json!({}))).await.code(), (429, "share_used"));
    // What is wrong is said all the same, and what is held back beside it.
    let mixed = api.tell(&[], json!([event("e-1000", "placed", &json!({})), {}])).await;
    assert_eq!(
        (mixed.status, &mixed.body["accepted"], &mixed.body["refused"], &mixed.body["held_back"]),
        (202, &json!(0), &json!(2), &json!(1)),
        "{}",
        mixed.body
    );
    assert_eq!(mixed.body["rows"][0]["status"], "held_back");
    assert!(mixed.body["rows"][0]["retry_after_s"].as_u64().is_some_and(|wait_s| wait_s > 0));
    let other = api.keys.create("other", Role::OrderSystem).unwrap();
    let told = api.call(Method::POST, &other, "/v1/events", &[], many(1_000, 1_010)).await;
    assert_eq!(told.status, 202, "another key has a share of its own");
    assert_eq!(api.list("l", json!({})).await.status, 200, "and no supplier is held back for it");
    gate.set_rates(&[None], &[None]);
    assert_eq!(api.tell(&[], many(1_000, 1_010)).await.status, 202, "it is not behind any more");
}

#[tokio::test]
async fn as_many_events_as_may_wait_for_intake_are_taken_and_those_beyond_are_put_off() {
    let api = Api::open().await;
    let gate = &api.app.gate_of_edge.events;
    gate.set_waiting(19_999, None);
    assert_eq!(api.tell(&[], event("e-1", "placed", &json!({}))).await.status, 202);
    let refused = api.tell(&[], json!([event("e-2", "placed", &json!({}))])).await;
    assert_eq!((refused.code(), refused.header("retry-after")), ((503, "put_off"), "1"));
    gate.set_waiting(0, None);
    assert_eq!(api.tell(&[], event("e-2", "placed", &json!({}))).await.status, 202, "intake is through");
}

#[tokio::test]
async fn what_one_key_sends_that_is_never_taken_keeps_no_other_order_system_out() {
    let api = Api::open().await;
    let gate = &api.app.gate_of_edge.events;
    let other = api.keys.create("other", Role::OrderSystem).unwrap();
    let honest = async |id: &str| {
        api.call(Method::POST, &other, "/v1/events", &[], event(id, "placed", &json!({}))).await.status
    };
    // Half as many again as may wait for intake.
    gate.set_waiting(0, None);
    for _ in 0..30 {
        let told = api.tell(&[], json!(vec![0; 1_000])).await;
        assert_eq!((told.status, &told.body["refused"]), (202, &json!(1_000)));
    }
    assert_eq!(honest("wrong").await, 202, "what is wrong takes no room");
    gate.set_rates(&[None], &[Some(0.1)]);
    let many: Value = (0..1_000).map(|number| event(&format!("e-{number}"), "placed", &json!({}))).collect();
    assert_eq!(api.tell(&[], many.clone()).await.status, 202);
    for _ in 0..20 {
        assert_eq!(api.tell(&[], many.clone()).await.code(), (429, "share_used"));
    }
    gate.set_rates(&[None], &[None]);
    assert_eq!(honest("held").await, 202, "nor does what is held back");
    // All of this is valid, and it is stopped where as much is free as it has waiting.
    let mut taken = 1;
    while api.tell(&[], many.clone()).await.status == 202 {
        taken += 1;
    }
    assert_eq!(taken, 10, "half of what may wait");
    assert_eq!(api.tell(&[], many).await.code(), (503, "put_off"));
    assert_eq!(honest("flooded").await, 202);
}
