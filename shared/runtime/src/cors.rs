//! Who may call from pages of other origins. Nobody may, unless the configuration lists the origins.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{config, http::IDEMPOTENCY_KEY};

/// Calls from pages of other origins in browsers. They have only the key that they were given: credentials are never allowed, so the
/// cookies of the console's sessions stay with its own pages.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `https://shop.example`, as a list or one text with commas between; `*` is any. None: no page may call.
    pub allowed_origins: Origins,
    /// How long a browser may remember what it was allowed, in seconds.
    pub max_age_s: u64,
}

impl Default for Cors {
    fn default() -> Self {
        Self { allowed_origins: Origins::default(), max_age_s: 600 }
    }
}

/// Origins, as a list or, in a variable, as one text with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Origins(pub Vec<String>);

impl<'de> serde::Deserialize<'de> for Origins {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        config::texts(deserializer, "a list of origins").map(Self)
    }
}

/// What a page may send besides what every page may.
const REQUEST_HEADERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    IDEMPOTENCY_KEY,
    HeaderName::from_static("stockade-position"),
    HeaderName::from_static("traceparent"),
    // What reads a stream with a key of its own cannot be an `EventSource`, and says itself where it was.
    HeaderName::from_static("last-event-id"),
];
/// What a page may read of an answer besides what every page may.
const ANSWER_HEADERS: [HeaderName; 11] = [
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("idempotent-replay"),
    HeaderName::from_static("stockade-position"),
    HeaderName::from_static("stockade-record"),
    HeaderName::from_static("stockade-as-of"),
    HeaderName::from_static("stockade-staleness-ms"),
];

impl Cors {
    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<String> {
        let wrong = |origin: &&String| *origin != "*" && !is_origin(origin);
        let wrong = self.allowed_origins.0.iter().filter(wrong);
        wrong
            .map(|origin| {
                format!(
                    "http.cors.allowed_origins: {origin:?} is no origin; write scheme, host and port only, such as https://shop.example"
                )
            })
            .collect()
    }

    /// The layer that answers preflights and marks answers; `None` where no origin is allowed.
    pub fn layer(&self) -> Option<CorsLayer> {
        let Origins(allowed) = &self.allowed_origins;
        if allowed.is_empty() {
            return None;
        }
        let listed = allowed.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let any = allowed.iter().any(|origin| origin == "*");
        let origins = if any { AllowOrigin::any() } else { AllowOrigin::list(listed) };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(ANSWER_HEADERS)
            .max_age(Duration::from_secs(self.max_age_s));
        Some(layer)
    }
}

/// Whether it is what a browser sends as `Origin`: scheme, host and port in small letters, and nothing behind them.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let Some((scheme, host)) = uri.scheme_str().zip(uri.authority()) else { return false };
    matches!(scheme, "http" | "https")
        && text == format!("{scheme}://{host}").to_lowercase()
        && !text.contains('@')
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, extract::Request, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    fn cors(origins: &str) -> Cors {
        serde_json::from_value(serde_json::json!({ "allowed_origins": origins })).unwrap()
    }

    #[test]
    fn origins_are_a_list_or_a_text_and_what_is_none_is_named() {
        let listed: Cors =
            serde_json::from_str(r#"{"allowed_origins":["https://a.example","http://localhost:3000"]}"#)
                .unwrap();
        assert_eq!(listed, cors("https://a.example, http://localhost:3000"));
        assert_eq!(listed.problems(), Vec::<String>::new());
        assert_eq!(cors("*").problems(), Vec::<String>::new());
        for wrong in
            ["a.example", "https://a.example/", "https://A.example", "ftp://a.example", "https://u@a", "null"]
        {
            assert!(cors(wrong).problems()[0].contains("is no origin"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn only_listed_origins_may_call_and_none_where_none_is_listed() {
        assert!(Cors::default().layer().is_none());
        let layer = cors("https://shop.example").layer().unwrap();
        let router = Router::new().route("/v1/availability", get(|| async { "{}" })).layer(layer);
        let ask = async |method: &str, origin: &str| {
            let request = Request::builder().method(method).uri("/v1/availability").header("origin", origin);
            let request = request
                .header("access-control-request-method", "GET")
                .header("access-control-request-headers", "authorization,if-none-match");
            router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
        };
        let header = |answer: &axum::response::Response, name: &str| {
            answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let preflight = ask("OPTIONS", "https://shop.example").await;
        assert!(preflight.status().is_success());
        let origin = |answer: &axum::response::Response| header(answer, "access-control-allow-origin");
        assert_eq!(origin(&preflight).as_deref(), Some("https://shop.example"));
        let headers = header(&preflight, "access-control-allow-headers").unwrap();
        assert!(headers.contains("authorization") && headers.contains("if-none-match"), "{headers}");
        assert!(header(&preflight, "access-control-allow-methods").unwrap().contains("PUT"));
        let answer = ask("GET", "https://shop.example").await;
        assert_eq!(origin(&answer).as_deref(), Some("https://shop.example"));
        assert!(header(&answer, "access-control-expose-headers").unwrap().contains("etag"));
        for (method, other) in [("OPTIONS", "https://evil.example"), ("GET", "https://evil.example")] {
            assert_eq!(origin(&ask(method, other).await), None, "{method}");
        }
    }
}
