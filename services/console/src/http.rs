//! The calls of the pages that are not part of `/v1`: signing in and out, the stream, what the overview begins with, and the pages.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Path as Rest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stockade_runtime::{
    BodyBytesMax, Caller, Edge, Limits, Params, Parsed, Problem, Role, Sessions,
    api::{Operation, Routes},
    http as common, session,
    tally::{Counted, Tally},
    unlimited,
};
use tokio::sync::Semaphore;

use crate::{
    Assets, Hub, Links,
    stream::{self, Follows, ROWS_BACK, Tab},
};

/// Streams open at once in one process, and of one person: a tab has one.
const STREAMS_MAX: usize = 512;
const STREAMS_OF_ONE_MAX: usize = 16;
/// Links looked at at once: it takes a file, which nobody else is to wait for.
const SIGN_INS_MAX: usize = 4;
/// Sessions ended at once, for the same reason; whoever else signs out waits.
const SIGN_OUTS_MAX: usize = 4;
/// Longest body of these calls, in bytes: a token and its name. Whoever sends one need not have a key.
const BODY_BYTES_MAX: usize = 4 << 10;
/// The chapter of these calls in the document of the API.
pub const CHAPTER: &str = "Console";
const SESSION: &str = "/console/api/session";

/// The console of a process.
#[derive(Clone)]
pub struct Console {
    hub: Hub,
    links: Links,
    sessions: Sessions,
    assets: Assets,
    streams: Tally<String>,
    sign_ins: Arc<Semaphore>,
    sign_outs: Arc<Semaphore>,
}

/// A place for a stream, given back when this is dropped.
pub(crate) type Place = Counted<String>;

impl Console {
    /// A console that shows what `hub` is told and signs in whoever has one of `links`.
    pub fn new(hub: Hub, links: Links, sessions: Sessions) -> Self {
        Self {
            hub,
            links,
            sessions,
            assets: Assets::default(),
            streams: Tally::new(STREAMS_OF_ONE_MAX, STREAMS_MAX),
            sign_ins: Arc::new(Semaphore::new(SIGN_INS_MAX)),
            sign_outs: Arc::new(Semaphore::new(SIGN_OUTS_MAX)),
        }
    }

    /// A place for a stream of a person, if there is one.
    fn place(&self, name: &str) -> Result<Place, Problem> {
        self.streams.count(name.to_owned()).ok_or_else(|| {
            Problem::unavailable(
                "too_many_streams",
                "as many pages are open as one person may have, or as this server keeps; close some, or come back in a while",
            )
        })
    }
}

impl Edge for Console {
    // Who signs in has no allowance yet, and pages take from that of the calls that they make.
    fn limits(&self) -> &Limits {
        unlimited()
    }
}

/// What signs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignIn {
    /// What stands behind `#` in the link.
    token: String,
}

/// Who is signed in.
#[derive(Serialize, JsonSchema)]
struct SignedIn {
    /// The person, as audits name them.
    name: String,
    /// What they may do: `supplier`, `buyer`, `analyst`, `approver` or `operator`.
    role: String,
    /// The supplier, for the role `supplier`.
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    /// What calls that change something must send as `stockade-csrf`.
    csrf: String,
    /// When the session ends, in milliseconds since 1970.
    ends: i64,
    /// When it ends if it is not used until then, in milliseconds since 1970.
    idle_ends: i64,
    /// The time at the server, in milliseconds since 1970.
    now: i64,
}

impl SignedIn {
    fn of(session: stockade_runtime::Session) -> Self {
        let supplier = match &session.principal.role {
            Role::Supplier { supplier } => Some(supplier.to_string()),
            _ => None,
        };
        Self {
            role: session.principal.role.name().to_owned(),
            name: session.principal.id,
            supplier,
            csrf: session.csrf,
            ends: session.ends_ms,
            idle_ends: session.idle_ends_ms,
            now: stockade_runtime::clock::now_ms(),
        }
    }
}

/// What a stream carries.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    /// Channels by commas: `decisions`, and states by name, such as `overview,alerts,reviews,rules`.
    #[serde(default)]
    channels: String,
    /// The id of the last event seen, for a page that opens a new stream; a browser that comes back by itself sends `Last-Event-ID`.
    #[serde(default)]
    last: Option<u64>,
}

/// What of the past is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OverviewQuery {
    /// `15m` for each second of the last quarter of an hour, `24h` for each minute of the last day.
    #[serde(default)]
    range: Option<String>,
}

/// The calls with their declarations.
pub fn routes() -> Routes<Console> {
    let json = "application/json";
    Routes::default()
        .add(
            Operation::post(SESSION, "signIn", "Sign in with a link")
                .about("A link is made by `stockade console link`; its token stands behind `#`, and is good once.")
                .tag(CHAPTER)
                .answers::<SignedIn>(StatusCode::OK, "Who it is, and a cookie.")
                .fails(&["unknown_link", "link_used", "link_expired", "overloaded", "starting"]),
            sign_in,
        )
        .add(
            Operation::get(SESSION, "getSession", "Who is signed in")
                .about("By the cookie of the session.")
                .tag(CHAPTER)
                .answers::<SignedIn>(StatusCode::OK, "Who it is.")
                .fails(&["session_ended"]),
            who,
        )
        .add(
            Operation::delete(SESSION, "signOut", "Sign out")
                .about("Ends the session of the cookie. A key has none.")
                .tag(CHAPTER)
                .roles(&["supplier", "buyer", "order-system", "analyst", "approver", "operator"])
                .answers_nothing(StatusCode::NO_CONTENT, "The session has ended.")
                .fails(&["session_ended"]),
            sign_out,
        )
        .add(
            Operation::get("/console/api/figures", "getOverview", "Figures over time")
                .tag(CHAPTER)
                .roles(&["analyst", "approver", "operator"])
                .answers_raw(StatusCode::OK, "Columns of figures, marks, counts.", json),
            overview,
        )
        .add(
            Operation::get("/console/api/stream", "streamConsole", "What changes, as it does")
                .tag(CHAPTER)
                .roles(&["supplier", "buyer", "analyst", "approver", "operator"])
                .answers_raw(StatusCode::OK, "Events, without end.", "text/event-stream")
                .fails(&["too_many_streams", "session_ended"]),
            open,
        )
}

/// What is declared of signing in and out, for the document of the API. The others are between the pages and their server, and may change
/// with both.
pub fn sign_in_operations() -> Vec<Operation> {
    routes().operations().into_iter().filter(|of| of.path == SESSION).collect()
}

/// The calls and the pages.
pub fn router(console: Console) -> Router {
    let pages = Router::new()
        .route("/console", get(|| async { Redirect::permanent("/console/") }))
        .route("/console/", get(page))
        .route("/console/{*path}", get(file));
    // Inside of what holds for all others, so it is this that is found.
    let calls = routes().router().layer(Extension(BodyBytesMax(BODY_BYTES_MAX)));
    calls.merge(pages).layer(Extension(console.sessions.clone())).with_state(console)
}

async fn page(State(console): State<Console>) -> Response {
    console.assets.page()
}

async fn file(State(console): State<Console>, Rest(path): Rest<String>, headers: HeaderMap) -> Response {
    match path.strip_prefix("assets/") {
        Some(asset) => match console.assets.asset(asset, &headers) {
            Some(response) => response,
            None => common::not_found().await.into_response(),
        },
        // Every other path is a view of the one page.
        None => console.assets.page(),
    }
}

/// Whether the browser came by TLS, as a proxy in front says.
fn is_secure(headers: &HeaderMap) -> bool {
    let proto = headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

fn cookie(headers: &HeaderMap, token: &str, max_age: &str) -> Option<(header::HeaderName, HeaderValue)> {
    let secure = if is_secure(headers) { "; Secure" } else { "" };
    let name = session::cookie_name(headers);
    let text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{max_age}{secure}");
    Some((header::SET_COOKIE, HeaderValue::from_str(&text).ok()?))
}

fn failed(why: &str) -> Problem {
    tracing::error!(why, "a session could not be kept");
    Problem::unavailable("starting", "sessions cannot be kept at the moment; try again")
}

async fn sign_in(
    State(console): State<Console>,
    headers: HeaderMap,
    Parsed(SignIn { token }): Parsed<SignIn>,
) -> Result<Response, Problem> {
    // Only behind the body, which is short: with a place in hand, a few who send theirs slowly would keep everybody out.
    let Ok(_turn) = console.sign_ins.try_acquire() else {
        return Err(Problem::unavailable("overloaded", "many sign in at the moment; try again in a second"));
    };
    let (links, sessions) = (console.links.clone(), console.sessions.clone());
    let signed_in = tokio::task::spawn_blocking(move || {
        let principal = links.take(&token)?;
        tracing::info!(name = principal.id, role = principal.role.name(), "signed in to the console");
        sessions.begin(principal).map_err(|why| {
            tracing::error!(why, "a session could not be kept");
            let detail =
                "sessions cannot be kept at the moment, and this link is used up; make a new one later";
            Problem::unavailable("starting", detail)
        })
    });
    let begun = signed_in.await.map_err(|error| failed(&error.to_string()))??;
    let session = console.sessions.peek(&begun).ok_or_else(|| failed("it ended at once"))?;
    let mut response = Json(SignedIn::of(session)).into_response();
    response.headers_mut().extend(cookie(&headers, &begun, ""));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn who(State(console): State<Console>, headers: HeaderMap) -> Result<Response, Problem> {
    let found = session::tokens(&headers).into_iter().find_map(|token| console.sessions.using(token));
    let session = found.ok_or_else(|| {
        let detail = "nobody is signed in here; make a link with `stockade console link` and open it";
        Problem::new(StatusCode::UNAUTHORIZED, "session_ended", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer")
    })?;
    let mut response = Json(SignedIn::of(session)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The token of the caller's own session.
fn own_token<'a>(sessions: &Sessions, caller: &Caller, headers: &'a HeaderMap) -> Option<&'a str> {
    let is_own =
        |token: &&str| sessions.peek(token).is_some_and(|session| session.principal.id == caller.0.id);
    session::tokens(headers).into_iter().find(is_own)
}

async fn sign_out(
    State(console): State<Console>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // Whoever shows a key was not asked for the token of a page, and has no session of its own.
    let is_by_key = headers.contains_key(header::AUTHORIZATION);
    let Some(token) = own_token(&console.sessions, &caller, &headers).filter(|_| !is_by_key) else {
        let detail = "only a page that signed in with its cookie can sign out; a key is revoked with `stockade keys revoke`";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "session_ended", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer"));
    };
    let (sessions, token) = (console.sessions.clone(), token.to_owned());
    let turn = console.sign_outs.clone().acquire_owned().await.ok();
    let ends = tokio::task::spawn_blocking(move || {
        // Kept until it is done, also when nobody waits for the answer any more.
        let _turn = turn;
        sessions.end(&token)
    });
    if let Err(why) = ends.await.unwrap_or_else(|error| Err(error.to_string())) {
        // It has ended here; only a restart could know it again.
        tracing::error!(why, "the end of a session could not be kept");
    }
    tracing::info!(name = caller.0.id, "signed out of the console");
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().extend(cookie(&headers, "", "; Max-Age=0"));
    Ok(response)
}

async fn overview(
    State(console): State<Console>,
    caller: Caller,
    Params(query): Params<OverviewQuery>,
) -> Result<Response, Problem> {
    caller.must(Role::is_staff)?;
    let is_by_minute = query.range.as_deref() == Some("24h");
    let mut response = Json(console.hub.overview(is_by_minute)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn open(
    State(console): State<Console>,
    caller: Caller,
    Params(query): Params<StreamQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.must(|role| *role != Role::OrderSystem)?;
    let headers = request.headers();
    // A key could be revoked while the stream goes on, so only sessions have one.
    let Some(token) = own_token(&console.sessions, &caller, headers) else {
        let detail =
            "streams of the console are for its pages; make a link with `stockade console link` and open it";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "session_ended", detail)
            .with_header(header::WWW_AUTHENTICATE, "Bearer"));
    };
    let place = console.place(&caller.0.id)?;
    let session = (console.sessions.clone(), token.to_owned());
    // A browser that comes back by itself knows better than the address it was given at first.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).or(query.last);
    let (next, resumed) = console.hub.begin(last, ROWS_BACK);
    let follows = Follows::new(&query.channels, caller.0.role);
    Ok(stream::answer(Tab { hub: console.hub, follows, session, next, resumed, _place: place }))
}

#[cfg(test)]
mod tests;
