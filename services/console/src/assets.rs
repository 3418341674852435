//! The built pages: embedded, compressed once, and served so that nothing from elsewhere can run in them.

use std::{collections::HashMap, io::Write as _, path::PathBuf, sync::Arc};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use stockade_runtime::session;

/// The files of `web/dist` by their path in it.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
/// The page that every route of the console is.
const PAGE: &str = "index.html";
/// What stands in the page where the nonce of an answer goes.
const NONCE: &str = "{{nonce}}";
/// Names a directory from which pages are read at each request instead, in builds for development.
const FROM_DISK: &str = "CONSOLE_DIST";

struct File {
    kind: &'static str,
    plain: Bytes,
    /// Empty where it could not be packed.
    gzip: Bytes,
}

/// The files of the console.
#[derive(Clone)]
pub struct Assets {
    files: Arc<HashMap<&'static str, File>>,
    from_disk: Option<PathBuf>,
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // Writing into memory cannot fail; were it to, the plain file is served.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// What a page may load: itself, and what bears the nonce of this answer. `data:` images are those of the editor.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self' data:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         object-src 'none'"
    )
}

impl Default for Assets {
    fn default() -> Self {
        let file = |(path, plain): &(&'static str, &'static [u8])| {
            (*path, File { kind: kind(path), plain: Bytes::from_static(plain), gzip: gzip(plain).into() })
        };
        let from_disk = std::env::var_os(FROM_DISK).filter(|_| cfg!(debug_assertions)).map(PathBuf::from);
        Self { files: Arc::new(EMBEDDED.iter().map(file).collect()), from_disk }
    }
}

impl Assets {
    /// A file as it is and packed, shared by all who are answered.
    fn read(&self, path: &str) -> Option<(Bytes, Bytes)> {
        if let Some(folder) = &self.from_disk {
            let is_plain = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
            let bytes = is_plain.then(|| std::fs::read(folder.join(path)).ok()).flatten()?;
            return Some((bytes.into(), Bytes::new()));
        }
        let file = self.files.get(path)?;
        Some((file.plain.clone(), file.gzip.clone()))
    }

    /// The file at `path` under `/console/assets/`, for ever: its name changes with what is in it.
    pub(crate) fn asset(&self, path: &str, asked: &HeaderMap) -> Option<Response> {
        let path = format!("assets/{path}");
        let (plain, gzip) = self.read(&path)?;
        let kind = self.files.get(path.as_str()).map_or_else(|| kind(&path), |file| file.kind);
        let accepts =
            asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_packed = !gzip.is_empty() && accepts.contains("gzip");
        let mut response = if is_packed { gzip } else { plain }.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let kept = if self.from_disk.is_some() { "no-store" } else { "public, max-age=31536000, immutable" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        if is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Some(response)
    }

    /// The page, with a nonce of its own.
    pub(crate) fn page(&self) -> Response {
        let Some(((page, _), nonce)) = self.read(PAGE).zip(session::secret().ok()) else {
            return (StatusCode::SERVICE_UNAVAILABLE, "the pages of the console are not in this build\n")
                .into_response();
        };
        let page = String::from_utf8_lossy(&page).replace(NONCE, &nonce);
        let mut response = page.into_response();
        let headers = response.headers_mut();
        let fixed = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        // The nonce is hex, so this is a value.
        headers.extend(
            HeaderValue::from_str(&policy(&nonce)).ok().map(|value| (header::CONTENT_SECURITY_POLICY, value)),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_a_nonce_of_its_own_and_its_policy_names_it() {
        let assets = Assets::default();
        let policy = |response: &Response| {
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
        };
        let (first, second) = (policy(&assets.page()), policy(&assets.page()));
        assert!(first.starts_with("default-src 'none'; script-src 'self' 'nonce-"), "{first}");
        assert!(!first.contains("unsafe"), "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn what_is_built_is_embedded_and_packed_where_that_is_asked_for() {
        let assets = Assets::default();
        let script = EMBEDDED.iter().map(|(path, _)| *path).find(|path| path.ends_with(".js")).unwrap();
        let name = script.strip_prefix("assets/").unwrap();
        let mut asked = HeaderMap::new();
        assert!(assets.asset(name, &asked).unwrap().headers().get(header::CONTENT_ENCODING).is_none());
        asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
        let packed = assets.asset(name, &asked).unwrap();
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(packed.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert!(assets.asset("no-such.js", &asked).is_none());
        assert!(assets.asset("../index.html", &asked).is_none());
    }
}
