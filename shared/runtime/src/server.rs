//! Serving HTTP/1.1 on a listener with bounds on what a peer may hold: so many connections, and a deadline for each thing
//! that a peer can be slow at. None of it needs a key, so none of it may be for ever.
//!
//! A connection is *waiting* for a request, in a *head* that has begun, or *busy* with an answer. The first head must be
//! there [`Connections::head_deadline_ms`] after the connection opened, a later one that long after its first byte; between
//! two requests it may be idle for [`Connections::idle_ms`]. Of whom it is, and so how long it is kept, is settled with each
//! answer (`peers`, `keys`). A body has [`Connections::body_deadline_ms`] from when its
//! handler asks for it, else the answer is 408. An answer of which nothing is taken for [`Connections::stall_ms`] ends the
//! connection. A request moves two atomics and no timer: the task of a connection looks at them when the nearest deadline
//! can have passed.

use std::{
    convert::Infallible, future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::HttpBody as _,
    extract::Request,
    http::{Extensions, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::FutureExt as _;
use futures_util::future::Either;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tower::Service as _;

use crate::{Problem, Shutdown, metrics as names, problem};

mod apart;
mod keys;
mod peers;
mod socket;
mod watch;
pub use apart::{Lane, Lanes, serve_apart, serve_lane};
use keys::ByKey;
pub use peers::Networks;
pub(crate) use peers::showed_key;
use peers::{Listed, OfPeer, Peer, Peers, WithoutKey};
use socket::Watched;
use watch::{Cut, Watch};

/// Largest request head, and how much of a body is buffered ahead of its handler, in bytes.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Refused connections that are told so at once; further ones are just closed.
const REFUSALS_MAX: usize = 64;
/// How long a refused connection may take to read why.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);
/// Connections that wait at once for others to make room for them, and how long.
const MAKING_ROOM_MAX: usize = 256;
const ROOM_PATIENCE: Duration = Duration::from_secs(1);
/// Pause after the system refused to accept, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on the connections of one listener.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// Connections open at once; a further one is answered 503 `too_many_connections` and closed.
    pub max: usize,
    /// How long a request's head may take to arrive, in milliseconds.
    pub head_deadline_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds; then the answer is 408 `body_too_slow`.
    pub body_deadline_ms: u64,
    /// How long a connection is kept between two requests, in milliseconds. More than that of a load balancer in front.
    pub idle_ms: u64,
    /// How long a peer may read nothing of an answer that waits for it, in milliseconds.
    pub stall_ms: u64,
    /// Connections open at once of one address (of IPv6: of one /64) on which no valid key was seen yet; a further one is closed.
    /// One on which a key was seen counts for nothing here, as long as the last call was not refused for its key: with 401, or with
    /// 403 `wrong_role` or `not_your_supplier`.
    pub without_key_per_address: usize,
    /// How long a connection is kept between two requests on which no valid key was seen, or that was refused for its key last, in
    /// milliseconds.
    pub idle_without_key_ms: u64,
    /// Of `max`, in percent: connections that one caller's key, or all keys of one supplier, may keep of each kind (of buyers, of
    /// suppliers, of people). A further one is served, but kept as one without a key is: by its address, for
    /// `idle_without_key_ms`, and only until somebody else needs its place. 1 to 100; one connection at least.
    pub per_key_max_percent: u8,
    /// Addresses and networks of proxies and load balancers in front: from them all callers come, so
    /// `without_key_per_address` and `idle_without_key_ms` do not hold for them. This machine, when absent.
    pub trusted_peers: Networks,
    /// Bytes a second that a body must bring which may take longer than `body_deadline_ms`, as uploads may; counted behind the
    /// first `body_deadline_ms`, and only while the server waits for more of it.
    pub upload_bytes_per_second_min: u64,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 4_096,
            head_deadline_ms: 10_000,
            body_deadline_ms: 30_000,
            idle_ms: 75_000,
            stall_ms: 30_000,
            without_key_per_address: 256,
            idle_without_key_ms: 5_000,
            // About 490: a pool of a large shop is a tenth of that.
            per_key_max_percent: 12,
            trusted_peers: Networks::of_this_machine(),
            upload_bytes_per_second_min: 8 << 10,
        }
    }
}

impl Connections {
    /// Connections of one kind that one caller may keep.
    pub fn per_key_max(&self) -> usize {
        (self.max.saturating_mul(self.per_key_max_percent.into()) / 100).max(1)
    }

    /// What is wrong with the bounds, by name.
    pub fn problems(&self) -> Vec<String> {
        let Self { max, head_deadline_ms, body_deadline_ms, idle_ms, stall_ms, .. } = *self;
        let mut wrong = Vec::new();
        if !(1..=1_000_000).contains(&max) {
            wrong.push("max must be 1 to 1000000".to_owned());
        }
        if self.without_key_per_address == 0 {
            wrong.push(
                "without_key_per_address must be at least 1: every connection begins without a key"
                    .to_owned(),
            );
        }
        if !(1..=100).contains(&self.per_key_max_percent) {
            wrong.push("per_key_max_percent must be 1 to 100".to_owned());
        }
        if self.upload_bytes_per_second_min == 0 {
            wrong.push("upload_bytes_per_second_min must be at least 1".to_owned());
        }
        wrong.extend(self.trusted_peers.wrong().map(|text| {
            format!("trusted_peers holds {text:?}, which is no address such as 10.0.0.7 and no network such as 10.0.0.0/8")
        }));
        let deadlines = [
            ("head_deadline_ms", head_deadline_ms),
            ("body_deadline_ms", body_deadline_ms),
            ("idle_ms", idle_ms),
            ("stall_ms", stall_ms),
            ("idle_without_key_ms", self.idle_without_key_ms),
        ];
        let day_ms = 86_400_000;
        wrong.extend(
            deadlines
                .into_iter()
                .filter(|(_, ms)| !(1..=day_ms).contains(ms))
                .map(|(name, _)| format!("{name} must be 1 to {day_ms}")),
        );
        wrong
    }
}

/// Which listener, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// That of suppliers, buyers, order systems and people, where they are not apart, or as long as a connection has not said
    /// what it is about.
    Api,
    /// Connections of buyers.
    Buyers,
    /// Connections of suppliers and order systems.
    Suppliers,
    /// Connections of people.
    People,
    /// That of probes and metrics.
    Admin,
}

impl Listener {
    fn label(self) -> &'static str {
        match self {
            Listener::Api => "api",
            Listener::Buyers => "buyers",
            Listener::Suppliers => "suppliers",
            Listener::People => "people",
            Listener::Admin => "admin",
        }
    }
}

/// How long the body of a request may take; in its extensions when there is a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyDeadline {
    pub(crate) whole: Duration,
    /// What a body must bring that may take longer.
    pub(crate) bytes_per_second_min: u64,
}

/// What a request's extensions say of its connection, for whoever hands it to another router without the rest.
pub fn of_connection(extensions: &Extensions) -> Extensions {
    let mut kept = Extensions::new();
    if let Some(deadline) = extensions.get::<BodyDeadline>() {
        kept.insert(*deadline);
    }
    if let Some(peer) = extensions.get::<OfPeer>() {
        kept.insert(peer.clone());
    }
    kept
}

/// Serves `router` on `listener` until `shutdown`, then lets requests under way end; give that a deadline.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Connections,
    which: Listener,
    shutdown: Shutdown,
) {
    // Nobody shows a key to whoever asks for figures.
    let peers = Peers::new(&bounds, which != Listener::Admin);
    let server = Server::new(router, bounds, which, shutdown.clone());
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &peers, &server) => accepted,
        };
        server.clone().take(stream, Instant::now(), peer);
    }
    drop(listener);
    server.ended().await;
}

/// The next connection. One whose address has as many without a key as it may is closed: whoever opens that many is told
/// nothing, so that those are told who are refused for want of room.
async fn accept(listener: &TcpListener, peers: &Peers, server: &Server) -> (TcpStream, Arc<Peer>) {
    loop {
        let error = match listener.accept().await {
            Ok((stream, address)) => match peers.admit(address.ip()) {
                Some(peer) => return (stream, peer),
                None => {
                    server.refused.increment(1);
                    continue;
                }
            },
            Err(error) => error,
        };
        // The peer went away before it was accepted: nothing to pause for.
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            tracing::error!(%error, "no connection can be accepted; is the limit on open files too low?");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// What a connection over the bound is told.
fn refusal() -> Vec<u8> {
    let detail =
        "as many connections are open as this server keeps; close idle ones, or come back in a second";
    closing(&Problem::unavailable("too_many_connections", detail))
}

/// A problem as it goes over the wire where no router answers; the connection ends with it.
fn closing(problem: &Problem) -> Vec<u8> {
    let (body, status, title) = (problem.body(), problem.status, &problem.title);
    let retry = if status == 503 { "retry-after: 1\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n{retry}connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// The place of a connection among those that may be open at once, and among those that have shown no key.
struct Place {
    _listed: Listed,
    _permit: OwnedSemaphorePermit,
}

/// Tells it why and closes. Closing with a request unread would take the answer from the peer, so that is read, for a while.
async fn refuse(mut stream: TcpStream, refusal: Arc<[u8]>, _permit: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(&refusal).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(REFUSAL_LINGER, told).await;
}

/// Connections that are served alike, with bounds of their own.
struct Server {
    router: Router,
    bounds: Connections,
    which: Listener,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    refusal: Arc<[u8]>,
    without_key: WithoutKey,
    by_key: ByKey,
    making_room: Arc<Semaphore>,
    open: metrics::Gauge,
    refused: metrics::Counter,
    shutdown: Shutdown,
    /// Where calls run that are of another kind than these connections.
    apart: Option<apart::Apart>,
}

impl Server {
    fn new(router: Router, bounds: Connections, which: Listener, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self::of(router, bounds, which, shutdown, None))
    }

    fn of(
        router: Router,
        bounds: Connections,
        which: Listener,
        shutdown: Shutdown,
        apart: Option<apart::Apart>,
    ) -> Self {
        Self {
            router,
            permits: Arc::new(Semaphore::new(bounds.max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            refusal: refusal().into(),
            without_key: WithoutKey::default(),
            by_key: ByKey::new(
                bounds.per_key_max(),
                metrics::counter!(names::CONNECTIONS_PAST_SHARE, "listener" => which.label()),
            ),
            making_room: Arc::new(Semaphore::new(MAKING_ROOM_MAX)),
            open: metrics::gauge!(names::CONNECTIONS, "listener" => which.label()),
            refused: metrics::counter!(names::CONNECTIONS_REFUSED, "listener" => which.label()),
            bounds,
            which,
            shutdown,
            apart,
        }
    }

    /// Serves a connection that opened at `opened`, or refuses it where there are as many as may be. It is served by the runtime
    /// that this is called on.
    fn take(self: Arc<Self>, stream: TcpStream, opened: Instant, peer: Arc<Peer>) {
        let server = self.clone();
        self.place(stream, &peer.clone(), move |stream, place| {
            server.connection(stream, opened, peer, place)
        });
    }

    /// Gives a connection a place and has it served. Where all are taken, that of whoever has been here longest without a valid
    /// key; without such it is refused.
    fn place<F>(
        self: Arc<Self>,
        stream: TcpStream,
        peer: &Arc<Peer>,
        serve: impl FnOnce(TcpStream, Place) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        // It stands in the queue from here on, so that nobody who comes later takes the place that somebody leaves for it.
        let mut asked = Box::pin(self.permits.clone().acquire_owned());
        if let Some(Ok(permit)) = asked.as_mut().now_or_never() {
            // Listed before anything of it runs, so that whoever comes next sees who may make room.
            let place = Place { _listed: self.without_key.list(peer), _permit: permit };
            tokio::spawn(serve(stream, place));
            return;
        }
        let waiting = self.making_room.clone().try_acquire_owned().ok();
        let Some((waiting, longest)) =
            waiting.and_then(|waiting| Some((waiting, self.without_key.longest()?)))
        else {
            self.refuse(stream);
            return;
        };
        longest.ask_to_leave();
        let listed = self.without_key.list(peer);
        tokio::spawn(async move {
            let place = tokio::time::timeout(ROOM_PATIENCE, asked).await;
            drop(waiting);
            match place {
                Ok(Ok(permit)) => serve(stream, Place { _listed: listed, _permit: permit }).await,
                // It has shown its key meanwhile, or could not be cut.
                Ok(Err(_)) | Err(_) => self.refuse(stream),
            }
        });
    }

    fn refuse(&self, stream: TcpStream) {
        self.refused.increment(1);
        if let Ok(permit) = self.refusals.clone().try_acquire_owned() {
            tokio::spawn(refuse(stream, self.refusal.clone(), permit));
        }
    }

    /// Waits until its last connection has ended.
    async fn ended(&self) {
        // All permits are back then. The semaphore is never closed.
        let all = u32::try_from(self.bounds.max).unwrap_or(u32::MAX);
        let _ = self.permits.acquire_many(all).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, opened: Instant, peer: Arc<Peer>, _place: Place) {
        self.open.increment(1);
        if let Some(cut) = self.serve(stream, opened, peer.clone()).await {
            self.was_cut(cut);
        }
        self.open.decrement(1);
    }

    fn was_cut(&self, cut: Cut) {
        metrics::counter!(
            names::CONNECTIONS_CUT, "listener" => self.which.label(), "deadline" => cut.label()
        )
        .increment(1);
    }

    /// Serves one connection to its end; says which deadline ended it.
    async fn serve(&self, stream: TcpStream, opened: Instant, peer: Arc<Peer>) -> Option<Cut> {
        // An answer goes out whole; waiting for more to send with it only costs time.
        let _ = stream.set_nodelay(true);
        let address = stream.peer_addr().ok();
        let watch = Arc::new(Watch::new(&self.bounds, opened, peer.clone()));
        let body_deadline = BodyDeadline {
            whole: Duration::from_millis(self.bounds.body_deadline_ms),
            bytes_per_second_min: self.bounds.upload_bytes_per_second_min,
        };
        let service = {
            let (router, watch, apart) = (self.router.clone(), watch.clone(), self.apart.clone());
            // Nobody shows a key to whoever asks for figures.
            let of_peer = (self.which != Listener::Admin)
                .then(|| OfPeer::new(peer.clone(), self.by_key.clone(), self.without_key.clone()));
            service_fn(move |mut request: Request<Incoming>| {
                watch.asked();
                if !request.body().is_end_stream() {
                    request.extensions_mut().insert(body_deadline);
                }
                if let Some(of_peer) = &of_peer {
                    request.extensions_mut().insert(of_peer.clone());
                }
                let elsewhere = apart.as_ref().and_then(|apart| apart.elsewhere(request.uri().path()));
                let (mut router, watch, of_peer) = (router.clone(), watch.clone(), of_peer.clone());
                let answer = match elsewhere {
                    None => Either::Left(router.call(request)),
                    Some(elsewhere) => Either::Right(elsewhere.answer(router, request)),
                };
                async move {
                    let answer: Result<Response, Infallible> = answer.await;
                    answer.map(|mut answer| {
                        let stays = of_peer.is_none_or(|of_peer| of_peer.settle(is_refused_for_key(&answer)));
                        if !stays {
                            answer
                                .headers_mut()
                                .insert(header::CONNECTION, HeaderValue::from_static("close"));
                        }
                        watch.answered();
                        answer
                    })
                }
            })
        };
        let io = TokioIo::new(Watched::new(stream, watch.clone()));
        let mut connection = pin!(
            http1::Builder::new()
                .max_buf_size(BUFFER_BYTES_MAX)
                .header_read_timeout(None)
                .serve_connection(io, service)
        );
        let mut alarm = pin!(tokio::time::sleep(Duration::from_millis(watch.shortest_ms())));
        let mut end = pin!(self.shutdown.wait());
        let mut leave = pin!(peer.asked_to_leave());
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                ended = poll_fn(|cx| connection.as_mut().poll(cx)) => {
                    if let Err(error) = ended {
                        debug_connection(address, &error);
                    }
                    return None;
                }
                () = &mut end, if !ending => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                // Whoever has a key now is not asked to, so nothing need be looked at for it.
                () = poll_fn(|cx| if peer.has_key() { Poll::Pending } else { leave.as_mut().poll(cx) }) => {
                    return Some(Cut::Room);
                }
                () = &mut alarm => match watch.look() {
                    Ok(again_ms) => alarm.as_mut().reset(Instant::now() + Duration::from_millis(again_ms)),
                    Err(cut) => return Some(cut),
                },
            }
        }
    }
}

/// Whether a call was refused because its key is none, or is not one for this call: whoever shows such a key, however valid, is
/// known no better than without.
fn is_refused_for_key(answer: &Response) -> bool {
    match answer.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN => answer
            .extensions()
            .get::<problem::Code>()
            .is_some_and(|problem::Code(code)| matches!(*code, "wrong_role" | "not_your_supplier")),
        _ => false,
    }
}

fn debug_connection(address: Option<SocketAddr>, error: &hyper::Error) {
    tracing::debug!(?address, %error, "a connection ended early");
}

/// A body that did not arrive in time.
pub(crate) fn body_too_slow(deadline: Duration) -> Problem {
    too_slow(format!(
        "the body was not complete after {} ms; send it faster, or in parts",
        deadline.as_millis()
    ))
}

/// A long body of which no more came in time.
pub(crate) fn upload_too_slow(deadline: BodyDeadline) -> Problem {
    let BodyDeadline { whole, bytes_per_second_min } = deadline;
    let ms = whole.as_millis();
    too_slow(format!(
        "no part of the body may take more than {ms} ms, and behind the first {ms} ms all of it must have come with {bytes_per_second_min} bytes a second; send it faster, packed, or in several files"
    ))
}

fn too_slow(detail: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
        .with_header(header::CONNECTION, "close")
}

#[cfg(test)]
mod tests;
