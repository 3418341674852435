use axum::{
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt as _;
use stockade_model::SupplierId;
use stockade_runtime::SessionBounds;
use tower::ServiceExt as _;

use super::*;

struct Bench {
    router: Router,
    hub: Hub,
    links: Links,
}

fn bench() -> Bench {
    let (hub, links) = (Hub::new("a"), Links::default());
    let sessions = Sessions::open(None, SessionBounds::default()).unwrap();
    let router = router(Console::new(hub.clone(), links.clone(), sessions));
    Bench { router, hub, links }
}

impl Bench {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:7400");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request =
            request.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Signs in, and answers the cookie and the token for changes.
    async fn sign_in(&self, role: Role, headers: &[(&str, &str)]) -> (String, String, String) {
        let token = self.links.make("ada", role, 10).unwrap();
        let body = serde_json::json!({ "token": token }).to_string();
        let answer = self.ask(Method::POST, "/console/api/session", headers, &body).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let set = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
        let said: serde_json::Value = serde_json::from_slice(&text(answer).await).unwrap();
        (set.split(';').next().unwrap().to_owned(), said["csrf"].as_str().unwrap().to_owned(), set)
    }
}

async fn text(answer: Response) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// The first events of a stream, as text, until one named `until`.
async fn events(answer: Response, until: &str) -> String {
    let (mut body, mut told) = (answer.into_body(), String::new());
    while !told.contains(until) {
        let Some(frame) = body.frame().await else { return told };
        told.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
    }
    told
}

#[tokio::test]
async fn a_cookie_is_for_one_port_and_never_for_scripts_and_is_secure_where_the_browser_came_by_tls() {
    let bench = bench();
    let (cookie, csrf, set) = bench.sign_in(Role::Analyst, &[]).await;
    assert!(cookie.starts_with("stockade_session_7400="), "{cookie}");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains("Secure"), "{set}");
    let (_, _, set) = bench.sign_in(Role::Analyst, &[("x-forwarded-proto", "https")]).await;
    assert!(set.ends_with("; Secure"), "{set}");
    let by_cookie = [("cookie", cookie.as_str())];
    assert_eq!(bench.ask(Method::GET, "/console/api/session", &by_cookie, "").await.status(), StatusCode::OK);
    let refused = bench.ask(Method::DELETE, "/console/api/session", &by_cookie, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "another site could send it");
    let with_token = [("cookie", cookie.as_str()), (session::CSRF_HEADER, csrf.as_str())];
    let out = bench.ask(Method::DELETE, "/console/api/session", &with_token, "").await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(out.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!(
        bench.ask(Method::GET, "/console/api/session", &by_cookie, "").await.status(),
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn whoever_shows_a_key_signs_nobody_out_and_a_page_ends_its_own_session_only() {
    let mut bench = bench();
    let ring = stockade_runtime::KeyRing::default();
    let key = format!("Bearer {}", ring.create("op", Role::Operator).unwrap());
    bench.router = bench.router.layer(Extension(ring));
    let (first, csrf, _) = bench.sign_in(Role::Analyst, &[]).await;
    let (second, ..) = bench.sign_in(Role::Analyst, &[]).await;
    let is_in = async |cookie: &str| {
        bench.ask(Method::GET, "/console/api/session", &[("cookie", cookie)], "").await.status()
            == StatusCode::OK
    };
    for cookie in [first.as_str(), "stockade_session_7400=made-up", "a=b"] {
        let shown = [("authorization", key.as_str()), ("cookie", cookie)];
        let refused = bench.ask(Method::DELETE, "/console/api/session", &shown, "").await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{cookie}");
        let said = String::from_utf8(text(refused).await).unwrap();
        assert!(said.contains("session_ended") && said.contains("a key is revoked"), "{said}");
    }
    assert!(is_in(&first).await, "nobody asked for the token of its page");
    let both = format!("{first}; {second}");
    let by_page = [("cookie", both.as_str()), (session::CSRF_HEADER, csrf.as_str())];
    let out = bench.ask(Method::DELETE, "/console/api/session", &by_page, "").await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(!is_in(&first).await && is_in(&second).await);
}

#[tokio::test]
async fn whoever_would_sign_in_sends_a_token_and_not_more() {
    let bench = bench();
    let long = serde_json::json!({ "token": "x".repeat(BODY_BYTES_MAX) }).to_string();
    let refused = bench.ask(Method::POST, "/console/api/session", &[], &long).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (cookie, csrf, _) = bench.sign_in(Role::Analyst, &[]).await;
    let signed_in = [("cookie", cookie.as_str()), (session::CSRF_HEADER, csrf.as_str())];
    let out = bench.ask(Method::DELETE, "/console/api/session", &signed_in, "").await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT, "what has no body is as it was");
}

#[tokio::test]
async fn who_is_no_staff_sees_no_figures_and_a_supplier_hears_of_its_own_decisions_only() {
    let bench = bench();
    for (offset, supplier) in [(0, "s-other"), (1, "s-own")] {
        bench.hub.decided(offset, &crate::hub::tests::decision(supplier));
    }
    bench.hub.put("reviews", &serde_json::json!({ "open": 1 }));
    let role = Role::Supplier { supplier: SupplierId::new("s-own").unwrap() };
    let (cookie, ..) = bench.sign_in(role, &[]).await;
    let by_cookie = [("cookie", cookie.as_str())];
    let refused = bench.ask(Method::GET, "/console/api/figures", &by_cookie, "").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let path = "/console/api/stream?channels=decisions,reviews,overview";
    let told = events(bench.ask(Method::GET, path, &by_cookie, "").await, "event: decisions").await;
    assert!(told.contains("s-own") && !told.contains("s-other") && !told.contains("event: state"), "{told}");
    for hidden in ["\"rule\"", "\"values\"", "\"actor\"", "\"note\"", "\"offset\"", "\"highest\"", "\nid:"] {
        assert!(!told.contains(hidden), "a supplier is told {hidden}: {told}");
    }
    let (cookie, ..) = bench.sign_in(Role::Analyst, &[]).await;
    let told =
        events(bench.ask(Method::GET, path, &[("cookie", cookie.as_str())], "").await, "event: decisions")
            .await;
    assert!(
        told.contains("s-own") && told.contains("s-other") && told.contains("\"channel\":\"reviews\""),
        "{told}"
    );
}

#[tokio::test]
async fn the_stream_of_a_supplier_reveals_no_bound_no_rule_and_nothing_that_was_measured() {
    let bench = bench();
    let restriction = serde_json::json!({
        "id": "r-1", "version": "arbiter/0/1/1/1", "scope": { "kind": "supplier" }, "level": "quarantine",
        "reasons": ["DEFECT_RATE"], "rule": { "id": "spree", "version": "v-secret" },
        "values": { "cancellations.rate": 0.4385 }, "tree": ["cancellations.rate > 0.2137"],
        "since": "2026-01-01T00:00:00Z", "expires_at": "2026-01-08T00:00:00Z", "review_at": "2026-01-02T00:00:00Z",
        "evidence": 6.5, "text": "Too many orders were cancelled.",
        "counterfactuals": [{ "feature": "cancellations.rate", "seen": 0.4385, "test": "> 0.2137", "needed": 0.2137, "decides": true }],
    });
    let restriction: stockade_model::Restriction = serde_json::from_value(restriction).unwrap();
    let mut decision = crate::hub::tests::decision("s-own");
    decision.restriction = Some(restriction.clone());
    decision.in_force = vec![restriction];
    bench.hub.decided(0, &decision);
    let told = async |role| {
        let (cookie, ..) = bench.sign_in(role, &[]).await;
        let path = "/console/api/stream?channels=decisions,reviews,overview";
        events(bench.ask(Method::GET, path, &[("cookie", cookie.as_str())], "").await, "event: decisions")
            .await
    };
    let own = told(Role::Supplier { supplier: SupplierId::new("s-own").unwrap() }).await;
    assert!(own.contains("Too many orders were cancelled.") && own.contains("quarantine"), "{own}");
    for secret in ["2137", "4385", "6.5", "spree", "v-secret", "cancellations.rate", "ada"] {
        assert!(!own.contains(secret), "it tells {secret}: {own}");
    }
    let staff = told(Role::Analyst).await;
    assert!(staff.contains("4385") && staff.contains("spree"), "people see what was measured: {staff}");
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let bench = bench();
    let (cookie, csrf, _) = bench.sign_in(Role::Analyst, &[]).await;
    let by_cookie = [("cookie", cookie.as_str())];
    let stream = bench.ask(Method::GET, "/console/api/stream?channels=reviews", &by_cookie, "").await;
    let with_token = [("cookie", cookie.as_str()), (session::CSRF_HEADER, csrf.as_str())];
    bench.ask(Method::DELETE, "/console/api/session", &with_token, "").await;
    let told = events(stream, "never").await;
    assert!(told.contains("event: ended"), "{told}");
}

#[tokio::test]
async fn every_path_of_the_console_is_its_page_and_a_missing_file_is_missing() {
    let bench = bench();
    for path in ["/console/", "/console/live", "/console/suppliers/s-1", "/console/sign-in"] {
        let page = bench.ask(Method::GET, path, &[], "").await;
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
    }
    assert_eq!(
        bench.ask(Method::GET, "/console/assets/none.js", &[], "").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn one_person_has_so_many_streams_and_gives_each_back_and_a_key_has_none() {
    let bench = bench();
    let (cookie, ..) = bench.sign_in(Role::Analyst, &[]).await;
    let by_cookie = [("cookie", cookie.as_str())];
    let path = "/console/api/stream?channels=reviews";
    let mut open = Vec::new();
    for _ in 0..super::STREAMS_OF_ONE_MAX {
        let stream = bench.ask(Method::GET, path, &by_cookie, "").await;
        assert_eq!(stream.status(), StatusCode::OK);
        open.push(stream);
    }
    assert_eq!(bench.ask(Method::GET, path, &by_cookie, "").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    open.pop();
    assert_eq!(bench.ask(Method::GET, path, &by_cookie, "").await.status(), StatusCode::OK);
}
