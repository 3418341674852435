//! Buyers, suppliers and people served apart: each by a runtime of its own, with bounds of their own on connections, so that
//! whatever one of them sends, the threads that read and answer the others are not busy with it.
//!
//! A connection belongs to whom its first line is about ([`serve_apart`]), or to whom its address is for ([`serve_lane`]).
//! Callers often keep one connection for everything, as proxies do: a call of another kind than its connection *runs* where its
//! kind does, and only its bytes come and go with the connection. At an address that is for one kind alone it is refused.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::JoinHandle,
    time::Instant,
};
use tower::Service as _;

use super::{Connections, Cut, Listener, Peer, Peers, Place, Server, accept};
use crate::{Problem, Shutdown};

/// Bytes of a connection that are looked at to tell whose it is: a method and the beginning of a path.
const LOOK_BYTES: usize = 128;

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Buyers.
    Buyers,
    /// Suppliers and order systems: everything that is taken in. And whatever is of nobody.
    Suppliers,
    /// People.
    People,
}

impl Lane {
    fn listener(self) -> Listener {
        match self {
            Self::Buyers => Listener::Buyers,
            Self::Suppliers => Listener::Suppliers,
            Self::People => Listener::People,
        }
    }
}

/// Where the calls of each run, and which calls those are. Cheap to clone.
#[derive(Clone)]
pub struct Lanes {
    /// Runs the calls of buyers.
    pub buyers: Handle,
    /// Runs the calls of suppliers and order systems.
    pub suppliers: Handle,
    /// Runs all others.
    pub people: Handle,
    /// Whose calls those of a path are; `None` of a path that is everybody's, such as a probe, which runs where it is asked.
    pub of: fn(&str) -> Option<Lane>,
}

impl Lanes {
    fn handle(&self, lane: Lane) -> &Handle {
        match lane {
            Lane::Buyers => &self.buyers,
            Lane::Suppliers => &self.suppliers,
            Lane::People => &self.people,
        }
    }
}

/// How connections of one lane deal with calls of another.
#[derive(Clone)]
pub(super) struct Apart {
    lanes: Lanes,
    own: Lane,
    /// Whether they are refused rather than run where they belong.
    refuses: bool,
}

/// What becomes of a call that is of another lane than its connection.
pub(super) enum Elsewhere {
    /// It runs there.
    Runs(Handle),
    /// It is told to go there.
    Refused,
}

impl Apart {
    /// What becomes of a call; `None` where it is of this lane.
    pub(super) fn elsewhere(&self, path: &str) -> Option<Elsewhere> {
        let lane = (self.lanes.of)(path).filter(|lane| *lane != self.own)?;
        Some(if self.refuses { Elsewhere::Refused } else { Elsewhere::Runs(self.lanes.handle(lane).clone()) })
    }
}

/// A task that ends when nobody waits for it any more, as a call does whose caller went away.
struct Awaited<T>(JoinHandle<T>);

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Elsewhere {
    pub(super) async fn answer(
        self,
        mut router: Router,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let Self::Runs(handle) = self else { return Ok(wrong_address().into_response()) };
        let mut task = Awaited(handle.spawn(async move { router.call(request).await }));
        match (&mut task.0).await {
            Ok(answer) => answer,
            Err(ended) => {
                match ended.try_into_panic() {
                    // As it would have ended this connection had it run here.
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Ok(Problem::unavailable("overloaded", "the server is ending; send it again")
                        .into_response()),
                }
            }
        }
    }
}

fn wrong_address() -> Problem {
    let detail = "this address answers buyers alone: /v1/availability, /v1/reservations and /v1/baskets; send this call to the server's other address (http.listen)";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_address", detail)
}

/// Serves `router` at one address for everybody, apart: `bounds` hold for each of the lanes, and for connections that have not
/// said anything yet.
pub async fn serve_apart(
    listener: TcpListener,
    router: Router,
    bounds: Connections,
    lanes: Lanes,
    shutdown: Shutdown,
) {
    let peers = Peers::new(&bounds, true);
    let server = |lane: Lane| {
        let apart = Some(Apart { lanes: lanes.clone(), own: lane, refuses: false });
        Arc::new(Server::of(router.clone(), bounds.clone(), lane.listener(), shutdown.clone(), apart))
    };
    let [buyers, suppliers, people] = [Lane::Buyers, Lane::Suppliers, Lane::People].map(server);
    let servers = Arc::new(Servers {
        new: Server::new(Router::new(), bounds, Listener::Api, shutdown.clone()),
        buyers,
        suppliers,
        people,
        lanes,
    });
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &peers, &servers.new) => accepted,
        };
        servers.clone().take(stream, peer);
    }
    drop(listener);
    for server in [&servers.new, &servers.buyers, &servers.suppliers, &servers.people] {
        server.ended().await;
    }
}

/// Serves `router` at an address that is for one lane alone, on its runtime: a call of another is answered 421 `wrong_address`.
pub async fn serve_lane(
    listener: TcpListener,
    router: Router,
    bounds: Connections,
    (lanes, lane): (Lanes, Lane),
    shutdown: Shutdown,
) {
    let handle = lanes.handle(lane).clone();
    let peers = Peers::new(&bounds, true);
    let apart = Some(Apart { lanes, own: lane, refuses: true });
    let server = Arc::new(Server::of(router, bounds, lane.listener(), shutdown.clone(), apart));
    let end = shutdown.wait();
    tokio::pin!(end);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &peers, &server) => accepted,
        };
        hand_over(&handle, server.clone(), stream, (Instant::now(), peer));
    }
    drop(listener);
    server.ended().await;
}

/// The connections of one address.
struct Servers {
    /// Those that have not said anything yet.
    new: Arc<Server>,
    buyers: Arc<Server>,
    suppliers: Arc<Server>,
    people: Arc<Server>,
    lanes: Lanes,
}

impl Servers {
    fn take(self: Arc<Self>, stream: TcpStream, peer: Arc<Peer>) {
        let new = self.new.clone();
        new.place(stream, &peer.clone(), move |stream, place| self.sort(stream, peer, place));
    }

    /// Waits until a connection says something, and gives it to whom that is about.
    async fn sort(self: Arc<Self>, stream: TcpStream, peer: Arc<Peer>, place: Place) {
        let opened = Instant::now();
        let new = &self.new;
        new.open.increment(1);
        let mut seen = [0; LOOK_BYTES];
        let patience = std::time::Duration::from_millis(new.bounds.head_deadline_ms);
        let said = tokio::select! {
            said = tokio::time::timeout(patience, stream.peek(&mut seen)) => Some(said),
            () = peer.asked_to_leave() => {
                new.was_cut(Cut::Room);
                None
            }
            () = new.shutdown.wait() => None,
        };
        new.open.decrement(1);
        drop(place);
        let bytes = match said {
            Some(Ok(Ok(bytes))) if bytes > 0 => bytes,
            Some(Err(_)) => return new.was_cut(Cut::Head),
            // It went away, or had to, or everybody does.
            Some(Ok(_)) | None => return,
        };
        let lane = lane_of(&seen[..bytes], self.lanes.of);
        let server = match lane {
            Lane::Buyers => &self.buyers,
            Lane::Suppliers => &self.suppliers,
            Lane::People => &self.people,
        };
        hand_over(self.lanes.handle(lane), server.clone(), stream, (opened, peer));
    }
}

/// Whose connection it is that begins with these bytes. What cannot be told, because the line is not all there or is none of
/// HTTP, may be anything, so it goes where standing back is the rule: its calls run where they belong all the same. What is
/// everybody's, as probes are, is people's.
fn lane_of(first: &[u8], of: fn(&str) -> Option<Lane>) -> Lane {
    let path = first.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    match std::str::from_utf8(path) {
        Ok(path) if path.starts_with('/') => of(path).unwrap_or(Lane::People),
        _ => Lane::Suppliers,
    }
}

/// Has a connection served by another runtime. Its readiness is told by the runtime that it is registered with, so it moves.
fn hand_over(to: &Handle, server: Arc<Server>, stream: TcpStream, (opened, peer): (Instant, Arc<Peer>)) {
    let Ok(stream) = stream.into_std() else { return };
    let _entered = to.enter();
    match TcpStream::from_std(stream) {
        Ok(stream) => server.take(stream, opened, peer),
        Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
    }
}

#[cfg(test)]
mod tests;
