//! What buyers are answered, and when.

use super::*;

#[tokio::test]
async fn a_cursor_continues_only_the_question_it_came_from() {
    let api = Api::open().await;
    for name in ["a", "b", "c"] {
        api.list(name, json!({ "gtin": "4006381333931" })).await;
    }
    let first = api.ask("sku=SKU-1&min_qty=1&limit=1").await;
    let (next, link) = (first.body["next"].as_str().unwrap(), first.header("link"));
    assert_eq!(names(&first), ["a"]);
    let path = link.strip_prefix("</v1/availability?").and_then(|rest| rest.split_once('>')).unwrap().0;
    assert_eq!(names(&api.ask(path).await), ["b"], "the link is the next page");
    assert_eq!(names(&api.ask(&format!("sku=SKU-1&limit=2&cursor={next}")).await), ["b", "c"], "of any size");
    for other in [
        "sku=SKU-2",
        "gtin=4006381333931",
        "sku=SKU-1&sort=lead",
        "sku=SKU-1&region=DE",
        "sku=SKU-1&min_qty=2",
        "sku=SKU-1&currency=EUR",
        "sku=SKU-1&max_price=5000&currency=EUR",
        "sku=SKU-1&max_lead_days=9",
        "sku=SKU-1&near=52.5,13.4&radius_km=9",
    ] {
        let refused = api.ask(&format!("{other}&cursor={next}")).await;
        assert_eq!(refused.field(), (422, "cursor_of_another_question", "cursor"), "{other}");
    }
    for broken in ["00", "zz", "5b5d", &next[2..], &next[..next.len() - 2], &"0".repeat(1_026), "€"] {
        let refused =
            api.ask(&format!("sku=SKU-1&cursor={}", stockade_runtime::http::path_segment(broken))).await;
        assert_eq!(refused.field(), (422, "bad_cursor", "cursor"), "{broken}");
    }
}

#[tokio::test]
async fn without_a_currency_an_answer_is_grouped_by_currency_and_paged_so() {
    let api = Api::open().await;
    for (name, minor, code) in [("yen", 1_500, "JPY"), ("dear", 1_999, "EUR"), ("cheap", 500, "EUR")] {
        api.list(name, json!({ "price": { "minor": minor, "currency": code } })).await;
    }
    let (mut seen, mut question) = (Vec::new(), "sku=SKU-1&sort=price&limit=1".to_owned());
    loop {
        let page = api.ask(&question).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page.body["next"].as_str() else { break };
        question = format!("sku=SKU-1&sort=price&limit=1&cursor={next}");
    }
    assert_eq!(seen, ["cheap", "dear", "yen"]);
    assert_eq!(names(&api.ask("sku=SKU-1&currency=JPY").await), ["yen"]);
    assert_eq!(api.ask("sku=SKU-1&max_price=500").await.field(), (422, "currency_required", "currency"));
}

#[tokio::test]
async fn nothing_is_read_before_the_folds_have_caught_up() {
    let log: SharedLog = Arc::new(Memory::open(MemoryDisk::default(), system_clock()).unwrap());
    {
        let mut former = Api::over(log.clone(), &LimitsConfig::default());
        former.run();
        former.register().await;
        let place = json!({ "latitude": 1.0, "longitude": 1.0, "region": "DE", "handling_days": 0 });
        assert_eq!(former.put("locations/main", &[], place).await.status, 200);
        assert_eq!(former.list("l", json!({})).await.status, 200);
        former.restrict(vec![]).await;
    }
    let end = log.bounds(Topic::SupplierEvents.name(), 0).unwrap().end;
    let mut api = Api::over(log, &LimitsConfig::default());
    let waits = |reply: &Reply| {
        assert_eq!(reply.code(), (503, "starting"), "{}", reply.body);
        assert_eq!(reply.header("retry-after"), "1");
    };
    for what in ["listings/l", "locations/main", "operations/k"] {
        waits(&api.get(what, &[]).await);
    }
    waits(&api.call(Method::GET, &api.staff, "/v1/suppliers/acme", &[], Value::Null).await);
    waits(&api.ask("sku=SKU-1").await);
    let many = json!({ "goods": [{ "sku": "SKU-1" }] });
    waits(&api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], many).await);
    waits(&api.reserve(json!({ "supplier": "acme", "listing": "l", "quantity": 1 })).await);
    waits(&api.list("l", json!({})).await);

    api.run();
    api.app.board.wait("inventory", 0, end).await;
    api.app.board.wait(OVERLAY, 0, 1).await;
    assert_eq!(api.get("listings/l", &[]).await.status, 200);
    let answer = api.ask("sku=SKU-1").await;
    assert_eq!((names(&answer), &answer.body["completeness"]), (vec!["l"], &json!("complete")));
    assert!(answer.body["staleness_ms"].as_i64().unwrap() < 3_600_000, "{}", answer.body);
    assert_eq!(api.get("listings/none", &[]).await.code(), (404, "unknown_listing"));
}

#[tokio::test]
async fn a_position_past_all_positions_is_refused_and_several_headers_are_one_list() {
    let api = Api::open().await;
    api.list("l", json!({})).await;
    for wrong in ["p1.0.18446744073709551615", "p1.0.18446744073709551616", "p1.1.0", "p1.0.-1", "p1.0", ""] {
        let refused = api.ask(&format!("sku=SKU-1&after_position={wrong}")).await;
        assert_eq!(refused.code(), (400, "bad_position"), "{wrong}");
    }
    let bearer = format!("Bearer {}", api.buyer);
    let ask = async |second: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("stockade-position", "p1.0.0"),
            ("stockade-position", second),
        ];
        api.raw(Method::GET, "/v1/availability?sku=SKU-1", &headers, Vec::new()).await
    };
    assert_eq!(ask("p1.0.1").await.status, 200);
    assert_eq!(ask("nonsense").await.code(), (400, "bad_position"), "the second counts, too");
}

#[tokio::test]
async fn a_region_that_is_withheld_is_seen_and_sold_nowhere_and_the_others_go_on() {
    let api = Api::open().await;
    api.list("l", json!({ "regions": ["DE", "FR"], "gtin": "4006381333931" })).await;
    api.restrict(vec![quarantined("DE")]).await;
    for question in ["sku=SKU-1", "gtin=4006381333931", "sku=SKU-1&region=FR"] {
        let answer = api.ask(question).await;
        assert_eq!(answer.body["offers"][0]["regions"], json!(["FR"]), "{question}");
    }
    for question in ["sku=SKU-1&region=DE", "sku=SKU-1&region=DE-BY", "gtin=4006381333931&region=DE"] {
        assert!(names(&api.ask(question).await).is_empty(), "{question}");
    }
    let query = async |region: Value| {
        let body = json!({ "goods": [{ "sku": "SKU-1" }], "region": region });
        let answer = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], body).await;
        answer.body["results"][0]["offers"].as_array().unwrap().len()
    };
    assert_eq!((query(Value::Null).await, query(json!("FR")).await, query(json!("DE")).await), (1, 1, 0));
    let reserve = async |region: Value| {
        let body = json!({ "supplier": "acme", "listing": "l", "quantity": 1, "region": region });
        api.reserve(body).await
    };
    assert_eq!(reserve(json!("DE")).await.code(), (409, "not_available"));
    assert_eq!(reserve(json!("ES")).await.code(), (409, "not_available"), "nobody sends it there");
    assert_eq!(reserve(Value::Null).await.field(), (422, "region_required", "/region"));
    assert_eq!(reserve(json!("FR")).await.status, 201);
    api.restrict(vec![]).await;
    assert_eq!(reserve(Value::Null).await.status, 201, "all of it is there again");
}

#[tokio::test]
async fn a_number_of_restricted_circulation_is_found_under_its_sku_only() {
    let api = Api::open().await;
    assert_eq!(api.list("l", json!({ "gtin": "2000000000008" })).await.status, 200);
    let found = api.ask("sku=SKU-1").await;
    assert_eq!(found.body["offers"][0]["gtin"], "02000000000008", "the supplier's number is kept");
    assert_eq!(api.ask("gtin=2000000000008").await.field(), (422, "gtin_restricted", "gtin"));
    let query = json!({ "goods": [{ "gtin": "2000000000008" }] });
    let refused = api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], query).await;
    assert_eq!(refused.field(), (422, "gtin_restricted", "/goods/0/gtin"));
    assert_eq!(api.ask("gtin=0000000000000").await.field(), (422, "gtin_zero", "gtin"));
    assert_eq!(api.list("z", json!({ "gtin": "00000000" })).await.field(), (422, "gtin_zero", "/gtin"));
}

#[tokio::test]
async fn the_nearest_come_first_for_whoever_says_near_what() {
    let api = Api::open().await;
    // `main` is in Berlin.
    for (name, latitude, longitude) in [("potsdam", 52.4, 13.06), ("munich", 48.14, 11.58)] {
        let place =
            json!({ "latitude": latitude, "longitude": longitude, "region": "DE", "handling_days": 1 });
        assert_eq!(api.put(&format!("locations/{name}"), &[], place).await.status, 200);
        api.list(name, json!({ "location": name })).await;
    }
    api.list("berlin", json!({})).await;
    let question = "sku=SKU-1&near=52.4,13.05&radius_km=900&sort=distance&limit=1";
    let (mut seen, mut asked) = (Vec::new(), question.to_owned());
    loop {
        let page = api.ask(&asked).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page.body["next"].as_str() else { break };
        asked = format!("{question}&cursor={next}");
    }
    assert_eq!(seen, ["potsdam", "berlin", "munich"]);
    let many = |more: Value| {
        let mut body = json!({ "goods": [{ "sku": "SKU-1" }, { "sku": "SKU-2" }], "limit": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.call(Method::POST, &api.buyer, "/v1/availability:query", &[], body)
    };
    let near = json!({ "near": "52.4,13.05", "radius_km": 100.0, "sort": "distance" });
    let results = many(near).await.body["results"].clone();
    let listings: Vec<&str> = results[0]["offers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| offer["listing"].as_str().unwrap())
        .collect();
    assert_eq!((listings, &results[0]["more"]), (vec!["potsdam", "berlin"], &json!(false)));
    assert_eq!(results[1], json!({ "sku": "SKU-2", "gtin": null, "offers": [], "more": false }));
    assert_eq!(many(json!({ "sort": "distance" })).await.field(), (422, "near_required", "/sort"));
    assert_eq!(many(json!({ "near": "52.4,13.05" })).await.field(), (422, "near_and_radius", "/near"));
    assert_eq!(api.ask("sku=SKU-1&sort=distance").await.field(), (422, "near_required", "sort"));
}
