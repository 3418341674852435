//! The page that shows the document of the API: three small files of our own, so that it works without a network and loads nothing
//! from elsewhere, which its policy forbids as well.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use stockade_runtime::api::{Operation, Routes, Sent};

/// The chapter of the document for the document.
pub(crate) const CHAPTER: &str = "Documentation";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // Another build has other files under the same names.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The calls.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Routes<S> {
    let shows = |path: &str, id, summary, kind| {
        Operation::get(path, id, summary)
            .tag(CHAPTER)
            .answers_raw(StatusCode::OK, "The file.", kind)
            .sends(StatusCode::OK, &[Sent::ContentSecurityPolicy])
    };
    Routes::default()
        .add(shows("/docs", "getPage", "A page that shows this document", HTML), || async {
            file(HTML, PAGE)
        })
        .add(shows("/docs/page.css", "getPageStyle", "How the page looks", CSS), || async {
            file(CSS, STYLE)
        })
        .add(shows("/docs/page.js", "getPageScript", "What the page does", JAVASCRIPT), || async {
            file(JAVASCRIPT, SCRIPT)
        })
}
