//! The bytes of a body: of a kind that the call takes, unpacked, within the limit and the deadline.

use std::io::Read as _;

use axum::{
    body::{Body, HttpBody as _},
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;

use super::room::{BodyRoom, Part};
use crate::{
    Edge, Principal, Problem, Trust, Turn, Work,
    http::single,
    server::{BodyDeadline, body_too_slow},
};

/// Largest body, in bytes, packed or not. Put it into the router's extensions.
#[derive(Clone, Copy, Debug)]
pub struct BodyBytesMax(pub usize);

impl Default for BodyBytesMax {
    fn default() -> Self {
        Self(2 << 20)
    }
}

/// What kind of body a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// JSON, under any name that ends in `json`.
    Json,
    /// Text for people, such as YAML; JSON is YAML too.
    Text,
}

impl Kind {
    const fn names(self) -> &'static str {
        match self {
            Kind::Json => "application/json",
            Kind::Text => "application/yaml, text/plain, application/json",
        }
    }

    /// Whether a body that is said to be `essence` may be of this kind.
    fn takes(self, essence: &str) -> bool {
        let Some((family, name)) = essence.split_once('/') else { return false };
        let json = name == "json" || name.ends_with("+json");
        match self {
            Kind::Json => json,
            Kind::Text => json || family == "text" || name.ends_with("yaml"),
        }
    }
}

/// What `curl -d` calls every body unless it is told otherwise.
const CURL_SAYS: &str = "application/x-www-form-urlencoded";

/// Refuses a body that says it is something else, or in another encoding of letters than UTF-8.
fn check_type(headers: &HeaderMap, kind: Kind) -> Result<bool, Problem> {
    let Some(said) = single(headers, &header::CONTENT_TYPE)? else { return Ok(false) };
    let mut parts = said.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| {
        // Other parameters, such as a boundary or a version, say nothing about letters.
        name.trim().eq_ignore_ascii_case("charset")
    });
    let charset = charset.map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
    if charset.is_some_and(|charset| !matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii")) {
        return Err(wrong_type(kind, &format!("{said}, which is not UTF-8")));
    }
    if essence == CURL_SAYS {
        return Ok(true);
    }
    if kind.takes(&essence) { Ok(false) } else { Err(wrong_type(kind, said)) }
}

fn wrong_type(kind: Kind, said: &str) -> Problem {
    let detail = format!("the body says it is {said}; send it as {}", kind.names());
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
        .with_header(header::ACCEPT, kind.names())
}

/// Whether the body is packed, by the one coding that is taken.
pub fn is_packed(headers: &HeaderMap) -> Result<bool, Problem> {
    const NAME: HeaderName = header::CONTENT_ENCODING;
    match single(headers, &NAME)?.map(|said| said.trim().to_ascii_lowercase()).as_deref() {
        None | Some("identity" | "") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(other) => {
            let detail =
                format!("{NAME} is {other:?}, and only gzip is taken; send gzip, or the body as it is");
            let problem =
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_encoding", detail);
            Err(problem.with_header(header::ACCEPT_ENCODING, "gzip"))
        }
    }
}

/// What a body is refused as that says it is packed and cannot be unpacked.
pub fn bad_gzip() -> Problem {
    let detail = "the body says that it is gzip, and is not, or is not all of it; send it again";
    Problem::new(StatusCode::BAD_REQUEST, "bad_gzip", detail)
}

fn too_large(bytes_max: usize, unpacked: &str) -> Problem {
    let detail = format!("the body is over the limit of {bytes_max} bytes{unpacked}; split it");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

/// Unpacks no more than what may be taken: a few bytes can stand for gigabytes. What was unpacked counts, whatever becomes of it;
/// and where it gets large, its caller waits for its turn, as for whatever keeps a core busy.
async fn unpacked<S: Edge>(
    bytes: &[u8],
    bytes_max: usize,
    part: &mut Part,
    reading: &mut Reading<'_, S>,
) -> Result<Bytes, Problem> {
    let mut all = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(bytes);
    // How large it gets is known only in the end, so each turn is for several times what there is.
    let (mut covered, mut turn) = (UNPACKED_BESIDE, None);
    loop {
        let before = all.len();
        if before >= covered {
            drop(turn);
            covered = before.saturating_mul(UNPACKED_AT_A_TURN).min(bytes_max + 1);
            turn = reading.turn(covered - before).await?;
        }
        let most = UNPACKED_BYTES.min(covered - before).min(bytes_max + 1 - before);
        let read = (&mut reader).take(most as u64).read_to_end(&mut all);
        reading.bytes = reading.bytes.max(all.len());
        read.map_err(|_| bad_gzip())?;
        if all.len() > bytes_max {
            return Err(too_large(bytes_max, " once it is unpacked"));
        }
        if all.len() == before {
            return Ok(all.into());
        }
        // What came packed is in memory as well.
        part.grow(bytes.len() + all.len())?;
    }
}

/// Bytes that are unpacked at a time.
const UNPACKED_BYTES: usize = 64 << 10;
/// Bytes that are unpacked without a turn.
const UNPACKED_BESIDE: usize = 16 << 10;
/// What a turn is for, as a multiple of what is unpacked already.
const UNPACKED_AT_A_TURN: usize = 8;

/// What some editors and spreadsheets put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body under way, charged to its caller when it ends, however it ends.
struct Reading<'a, S: Edge> {
    edge: &'a S,
    caller: Option<Sender<'a>>,
    work: Option<Work>,
    bytes: usize,
    /// Whether it was read: what is refused unread costs nobody anything.
    is_read: bool,
}

/// Whose body it is.
struct Sender<'a> {
    principal: &'a Principal,
    class: String,
    trust: Trust,
}

impl<'a, S: Edge> Reading<'a, S> {
    /// People are few and known, so their bodies count for nothing.
    fn new(edge: &'a S, caller: Option<&'a Principal>, work: Option<Work>) -> Self {
        let limited = caller.filter(|caller| !caller.role.is_staff());
        let caller = limited.map(|principal| Sender {
            principal,
            class: edge.class(principal),
            trust: edge.trust(principal),
        });
        Self { edge, caller, work, bytes: 0, is_read: false }
    }
    /// Whether it may be read, the cheapest question first.
    fn admit(&self) -> Result<(), Problem> {
        let Some(Sender { principal, class, trust }) = &self.caller else { return Ok(()) };
        self.edge.admits(principal, self.work)?;
        self.edge.limits().admit_body(class, principal.limited_as())?;
        let caller = principal.limited_as();
        if self.shares() { self.edge.limits().admit_body_together(*trust, caller) } else { Ok(()) }
    }
    /// A turn at so many bytes, where there are turns and the caller is one of many.
    async fn turn(&self, bytes: usize) -> Result<Option<Turn>, Problem> {
        match (self.edge.turns(), &self.caller) {
            (Some(turns), Some(sender)) => turns.wait(sender.principal.limited_as(), bytes).await.map(Some),
            (None, _) | (_, None) => Ok(None),
        }
    }
    /// What takes supply away is taken of whoever has an allowance of its own, and counts for nobody else.
    fn shares(&self) -> bool {
        self.work != Some(Work::Stock)
    }
    fn trust(&self) -> Trust {
        self.caller.as_ref().map_or(Trust::Trusted, |sender| sender.trust)
    }
}

impl<S: Edge> Drop for Reading<'_, S> {
    fn drop(&mut self) {
        if let Some(Sender { principal, class, trust }) = self.caller.as_ref().filter(|_| self.is_read) {
            self.edge.limits().charge_body(class, principal.limited_as(), self.bytes);
            if self.shares() {
                self.edge.limits().charge_body_together(*trust, principal.limited_as(), self.bytes);
            }
        }
    }
}

/// The frames of a body as one, counted as they come. What is too large is not kept.
async fn gather(
    body: &mut Body,
    bytes_max: usize,
    came: &mut usize,
    part: &mut Part,
) -> Result<Bytes, Problem> {
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let unreadable = |_| {
            let detail = "the body ended before it was complete; send it again";
            Problem::new(StatusCode::BAD_REQUEST, "body_unreadable", detail)
        };
        let Ok(data) = frame.map_err(unreadable)?.into_data() else { continue };
        *came += data.len();
        if *came > bytes_max {
            return Err(too_large(bytes_max, ""));
        }
        part.grow(*came)?;
        // Most bodies come in one piece, which need not be copied.
        if all.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            // As much as it says it is, so that what is taken is not twice what is counted.
            let told = body.size_hint().upper().and_then(|left| usize::try_from(left).ok()).unwrap_or(0);
            all.reserve_exact((*came).saturating_add(told).min(bytes_max));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

/// Lets what is left of a body go by, so that its sender, who is still writing, gets to read why it was not taken.
pub(super) async fn let_go(mut body: Body, bytes_max: usize) {
    let mut left = bytes_max;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(bytes) else { return };
        left = rest;
    }
}

/// Lets the body of a request that is refused go by, for as long as a body may take.
pub(crate) async fn let_by(request: Request) {
    let (head, body) = request.into_parts();
    let BodyBytesMax(bytes_max) = head.extensions.get().copied().unwrap_or_default();
    // Whoever is too slow is cut off.
    let _ = in_time(&head, let_go(body, bytes_max)).await;
}

/// Waits for something about a body for as long as a body may take.
async fn in_time<T>(head: &Parts, work: impl Future<Output = T>) -> Result<T, Problem> {
    match head.extensions.get::<BodyDeadline>() {
        None => Ok(work.await),
        Some(BodyDeadline { whole, .. }) => {
            tokio::time::timeout(*whole, work).await.map_err(|_| body_too_slow(*whole))
        }
    }
}

/// Reads the body of a request that takes `kind`.
pub(crate) async fn read<S: Edge>(request: Request, kind: Kind, edge: &S) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    let packed = is_packed(&head.headers)?;
    // Where nothing is sent, it is of no kind.
    let of_curl = !body.is_end_stream() && check_type(&head.headers, kind)?;
    let BodyBytesMax(bytes_max) = head.extensions.get().copied().unwrap_or_default();
    let caller = head.extensions.get::<Principal>();
    let mut reading = Reading::new(edge, caller, head.extensions.get::<Work>().copied());
    if let Err(refused) = reading.admit() {
        in_time(&head, let_go(body, bytes_max)).await?;
        return Err(refused);
    }
    reading.is_read = true;
    let room = head.extensions.get::<BodyRoom>();
    let room = room.filter(|_| caller.is_none_or(|caller| !caller.role.is_staff()));
    let mut part = room.map_or_else(Part::boundless, |room| room.part(caller, reading.trust()));
    let mut body = body;
    let gathered = in_time(&head, gather(&mut body, bytes_max, &mut reading.bytes, &mut part)).await?;
    let bytes = match gathered {
        Err(refused) if refused.code == "bodies_full" => {
            drop(part);
            // That there is no room is not its sender's doing.
            reading.is_read = false;
            in_time(&head, let_go(body, bytes_max)).await?;
            return Err(refused);
        }
        gathered => gathered?,
    };
    let bytes = if packed && !bytes.is_empty() {
        unpacked(&bytes, bytes_max, &mut part, &mut reading).await?
    } else {
        bytes
    };
    drop(reading);
    let bytes = part.held_by(bytes);
    let marked = bytes.starts_with(BYTE_ORDER_MARK);
    let bytes = if marked { bytes.slice(BYTE_ORDER_MARK.len()..) } else { bytes };
    // JSON under the name that curl gives it is what people send; a form is not.
    if of_curl && kind == Kind::Json && !looks_like_json(&bytes) {
        return Err(wrong_type(kind, CURL_SAYS));
    }
    Ok(bytes)
}

fn looks_like_json(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    first.is_none_or(|byte| matches!(byte, b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    async fn told(headers: &[(&str, &str)], body: &[u8], kind: Kind) -> Result<Vec<u8>, (u16, &'static str)> {
        let mut request = axum::http::Request::builder().extension(BodyBytesMax(1_000));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        read(request, kind, &())
            .await
            .map(|bytes| bytes.to_vec())
            .map_err(|problem| (problem.status, problem.code))
    }

    #[tokio::test]
    async fn gzip_is_unpacked_within_the_limit_and_other_codings_are_named() {
        let gzip = [("content-encoding", "gzip")];
        assert_eq!(told(&gzip, &packed(b"{}"), Kind::Json).await.unwrap(), b"{}");
        let twice = [packed(b"{\"a\":"), packed(b"1}")].concat();
        assert_eq!(
            told(&gzip, &twice, Kind::Json).await.unwrap(),
            b"{\"a\":1}",
            "several members are one body"
        );
        assert_eq!(told(&gzip, &packed(&[b' '; 1_000]), Kind::Json).await.unwrap().len(), 1_000);
        // A bomb: a million to one, and it is not unpacked beyond the limit.
        let bomb = packed(&vec![b' '; 900_000]);
        assert!(bomb.len() <= 1_000, "{}", bomb.len());
        assert_eq!(told(&gzip, &bomb, Kind::Json).await, Err((413, "body_too_large")));
        assert_eq!(told(&gzip, &packed(&[b' '; 1_001]), Kind::Json).await, Err((413, "body_too_large")));
        let whole = packed(b"{\"a\":1}");
        for cut in 1..whole.len() {
            assert_eq!(told(&gzip, &whole[..cut], Kind::Json).await, Err((400, "bad_gzip")), "{cut}");
        }
        assert_eq!(told(&gzip, b"{}", Kind::Json).await, Err((400, "bad_gzip")));
        for other in ["br", "deflate", "zstd", "gzip, gzip"] {
            let refused = told(&[("content-encoding", other)], b"{}", Kind::Json).await;
            assert_eq!(refused, Err((415, "unsupported_content_encoding")), "{other}");
        }
        assert!(told(&[("content-encoding", "identity")], b"{}", Kind::Json).await.is_ok());
        assert_eq!(told(&[], &[b' '; 1_001], Kind::Json).await, Err((413, "body_too_large")));
    }

    struct Service(crate::Limits, crate::Turns);

    impl Edge for Service {
        fn limits(&self) -> &crate::Limits {
            &self.0
        }
        fn turns(&self) -> Option<&crate::Turns> {
            Some(&self.1)
        }
    }

    /// A service that lets a buyer send so many kilobytes, with one turn at a time.
    fn service(kilobytes: u32) -> Service {
        let number = |units| std::num::NonZeroU32::new(units).unwrap();
        let class = crate::limits::Class::a_second(number(1), number(kilobytes));
        let limits = crate::LimitsConfig(std::collections::BTreeMap::from([("buyer".to_owned(), class)]));
        let turns = crate::TurnsConfig {
            at_once: 1,
            patience: std::time::Duration::from_millis(1),
            ..crate::TurnsConfig::default()
        };
        Service(crate::Limits::new(&limits), crate::Turns::new(turns))
    }

    async fn sent(service: &Service, caller: &str, body: Vec<u8>) -> Result<usize, &'static str> {
        let buyer = Principal { id: caller.to_owned(), role: crate::Role::Buyer, fingerprint: String::new() };
        let request = axum::http::Request::builder()
            .extension(BodyBytesMax(200 << 10))
            .extension(buyer)
            .header("content-encoding", "gzip");
        let request = request.body(Body::from(body)).unwrap();
        read(request, Kind::Json, service).await.map(|bytes| bytes.len()).map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn what_is_unpacked_is_charged_though_nothing_comes_of_it() {
        let bomb = packed(&vec![b' '; 1 << 20]);
        let mut torn = packed(&vec![b' '; 150 << 10]);
        let end = torn.len() - 8;
        torn[end..].fill(0);
        for (body, code) in [(bomb, "body_too_large"), (torn, "bad_gzip")] {
            assert!(body.len() < 2_000, "packed it is next to nothing");
            let service = service(100);
            assert_eq!(sent(&service, "a", body).await, Err(code));
            let small = || packed(b"{}");
            assert_eq!(sent(&service, "a", small()).await, Err("rate_limited"), "after {code}");
            assert_eq!(sent(&service, "b", small()).await, Ok(2), "nobody else notices");
        }
    }

    #[tokio::test]
    async fn what_gets_large_as_it_is_unpacked_waits_for_its_turn() {
        let service = service(1_000);
        let turn = service.1.wait("another", 1).await.unwrap();
        assert_eq!(sent(&service, "a", packed(&vec![b' '; 100 << 10])).await, Err("overloaded"));
        assert_eq!(
            sent(&service, "a", packed(&vec![b' '; 8 << 10])).await,
            Ok(8 << 10),
            "a short one goes by"
        );
        drop(turn);
        assert_eq!(sent(&service, "a", packed(&vec![b' '; 180 << 10])).await, Ok(180 << 10));
        assert_eq!(service.1.at_work(), 0);
    }

    #[tokio::test]
    async fn a_body_says_what_it_is_or_nothing() {
        let typed = async |said: &str, body: &[u8], kind| {
            told(&[("content-type", said)], body, kind).await.map(|_| ()).map_err(|(_, code)| code)
        };
        let wrong = Err("unsupported_media_type");
        assert!(told(&[], b"{}", Kind::Json).await.is_ok());
        for fine in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/cloudevents+json; charset=\"utf-8\"",
            "application/cloudevents-batch+json",
        ] {
            assert_eq!(typed(fine, b"{}", Kind::Json).await, Ok(()), "{fine}");
        }
        for other in
            ["text/plain", "application/xml", "text/csv", "multipart/form-data; boundary=x", "json", ""]
        {
            assert_eq!(typed(other, b"{}", Kind::Json).await, wrong, "{other}");
        }
        assert_eq!(typed("application/json; charset=iso-8859-1", b"{}", Kind::Json).await, wrong);
        assert_eq!(typed("application/xml", b"", Kind::Json).await, Ok(()), "nothing is of no kind");
        assert_eq!(typed(CURL_SAYS, b" {}", Kind::Json).await, Ok(()));
        assert_eq!(typed(CURL_SAYS, b"sku=1", Kind::Json).await, wrong, "a form");
        for fine in ["application/yaml", "text/yaml", "text/plain", "application/json", CURL_SAYS] {
            assert_eq!(typed(fine, b"rules: []", Kind::Text).await, Ok(()), "{fine}");
        }
        assert_eq!(typed("image/png", b"rules: []", Kind::Text).await, wrong);
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_no_part_of_the_body() {
        let marked = [BYTE_ORDER_MARK, b"{}"].concat();
        assert_eq!(told(&[], &marked, Kind::Json).await.unwrap(), b"{}");
        assert_eq!(told(&[("content-encoding", "gzip")], &packed(&marked), Kind::Json).await.unwrap(), b"{}");
        assert_eq!(told(&[("content-type", CURL_SAYS)], &marked, Kind::Json).await.unwrap(), b"{}");
    }
}
