//! One attempt: a request to an endpoint over a connection of its own, and what came of it.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use stockade_model::{Attempt, AttemptFailure, EndpointOwner};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::{
    names::{self, Names, NoPlace, Place},
    target::Target,
    tls,
};

/// How long a connection may take to come about, of the whole deadline.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Bytes kept of a head that is being read; a longer one is none.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// What is read of a body, so that a polite server need not see its connection cut, and how long for.
const BODY_BYTES_MAX: usize = 16 << 10;
const BODY_READ: Duration = Duration::from_secs(1);
/// Most characters told of an error.
const DETAIL_CHARS_MAX: usize = 200;

/// What is sent.
pub(crate) struct Letter {
    /// Whose endpoint it is for.
    pub(crate) owner: EndpointOwner,
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) timestamp_s: i64,
    pub(crate) signature: String,
    pub(crate) body: Arc<str>,
}

/// Sends letters.
#[derive(Clone)]
pub(crate) struct Post {
    tls: TlsConnector,
    allow_loopback: bool,
    deadline: Duration,
    names: Names,
}

/// Why an attempt failed, with what it was answered.
struct Failed {
    failure: AttemptFailure,
    detail: String,
}

fn failed(failure: AttemptFailure, detail: impl Into<String>) -> Failed {
    Failed { failure, detail: detail.into() }
}

impl Post {
    /// Trusts the authorities in `ca_file`, or those of the system.
    pub(crate) fn new(
        ca_file: Option<&Path>,
        allow_loopback: bool,
        deadline: Duration,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(file) => {
                let unreadable = |error: &dyn std::fmt::Display| {
                    format!("webhooks.ca_file {} cannot be read as PEM certificates: {error}", file.display())
                };
                let read = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
                for certificate in read {
                    let certificate = certificate.map_err(|error| unreadable(&error))?;
                    roots.add(certificate).map_err(|error| unreadable(&error))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if roots.is_empty() {
            tracing::warn!(
                "the system trusts no certificate authority, so no webhook can be sent; install ca-certificates or name a file with webhooks.ca_file"
            );
        }
        Ok(Self {
            tls: tls::connector(roots).map_err(|error| format!("no TLS: {error}"))?,
            allow_loopback,
            deadline,
            names: Names::default(),
        })
    }

    /// Tries once, within the deadline. That begins once there is a place to look its name up: what others keep waiting is no failure of
    /// the endpoint's.
    pub(crate) async fn send(&self, letter: &Letter) -> Attempt {
        let target = Target::parse(&letter.url, self.allow_loopback)
            .map_err(|why| failed(AttemptFailure::InwardAddress, why));
        let place = match &target {
            Ok(target) if target.host.parse::<IpAddr>().is_err() => {
                let detail = "no place to look its name up came free in time; it is tried again";
                let none = |NoPlace| failed(AttemptFailure::Unsent, detail);
                self.names.place(&letter.owner).await.map(Some).map_err(none)
            }
            // An address needs none.
            _ => Ok(None),
        };
        let began = Instant::now();
        let deadline = began + self.deadline;
        let late = || {
            let seconds = self.deadline.as_secs_f64();
            failed(AttemptFailure::Timeout, format!("it was not answered within {seconds} s"))
        };
        let asked = async { self.ask(letter, &target?, place?).await };
        let answered = tokio::time::timeout_at(deadline, asked).await;
        let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answered.unwrap_or_else(|_| Err(late())) {
            Ok(answer) => Attempt { latency_ms, ..judged(&answer) },
            Err(Failed { failure, detail }) => {
                let detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
                Attempt { failure: Some(failure), status: None, detail, latency_ms, retry_after_ms: None }
            }
        }
    }

    async fn ask(
        &self,
        letter: &Letter,
        target: &Target,
        place: Option<Place>,
    ) -> Result<Response<()>, Failed> {
        let stream = tokio::time::timeout(CONNECT.min(self.deadline), self.connect(target, place)).await;
        let stream =
            stream.map_err(|_| failed(AttemptFailure::Timeout, "no connection came about in time"))??;
        let request = Request::post(&target.path)
            .header(header::HOST, &target.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Stockade-Webhooks/1")
            .header(header::CONNECTION, "close")
            .header("webhook-id", &letter.id)
            .header("webhook-timestamp", letter.timestamp_s)
            .header("webhook-signature", &letter.signature)
            .body(Full::new(Bytes::copy_from_slice(letter.body.as_bytes())))
            .map_err(|error| failed(AttemptFailure::Unsent, error.to_string()))?;
        if !target.tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| failed(AttemptFailure::Tls, "no certificate can be for this name"))?;
        let shaken = self.tls.connect(name, stream).await;
        let stream = shaken.map_err(|error| failed(AttemptFailure::Tls, error.to_string()))?;
        exchange(stream, request).await
    }

    /// A connection to an address that was looked at.
    async fn connect(&self, target: &Target, place: Option<Place>) -> Result<TcpStream, Failed> {
        // One answer for a name that is unknown and for one of this network, or owners could ask which names there are within.
        let nowhere =
            || failed(AttemptFailure::Name, format!("{} has no address on the public internet", target.host));
        // With its dot a name is looked for as it stands, and not in the domains of this machine as well.
        let is_name = target.host.parse::<IpAddr>().is_err() && !target.host.ends_with('.');
        let dot = if is_name && !self.allow_loopback { "." } else { "" };
        let found = names::look_up(place, format!("{}{dot}", target.host), target.port).await;
        let found: Vec<SocketAddr> = found.map_err(|_| nowhere())?;
        let addresses: Vec<_> = found.iter().map(SocketAddr::ip).collect();
        if let Err(why) = target.admits(&addresses, self.allow_loopback) {
            tracing::warn!(host = target.host, why, "a webhook leads inward");
            return Err(nowhere());
        }
        let mut last = nowhere();
        for address in found.into_iter().take(ADDRESSES_MAX) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = failed(AttemptFailure::Connect, error.to_string()),
            }
        }
        Err(last)
    }
}

/// Sends the request and reads the head of the answer; of its body only so much as a polite server needs.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<()>, Failed> {
    let ended = |error: hyper::Error| {
        let of_time = if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            "it closed the connection without an answer".to_owned()
        } else {
            format!("its answer is no HTTP, or it broke off: {error}")
        };
        failed(AttemptFailure::Closed, of_time)
    };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ended)?;
    tokio::pin!(connection);
    let talk = async {
        let answer = sender.send_request(request).await.map_err(ended)?;
        let (head, body) = answer.into_parts();
        // Whatever becomes of the body, the status says it.
        let _ = tokio::time::timeout(BODY_READ, swallow(body)).await;
        Ok(Response::from_parts(head, ()))
    };
    tokio::pin!(talk);
    tokio::select! {
        said = &mut talk => return said,
        // It drives the connection; the answer may be ready when it ends.
        _ = &mut connection => {}
    }
    talk.await
}

async fn swallow(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY_BYTES_MAX {
            return;
        }
    }
}

/// What an answer means.
fn judged(answer: &Response<()>) -> Attempt {
    let status = answer.status();
    let (failure, detail) = match status {
        _ if status.is_success() => (None, String::new()),
        _ if status.is_redirection() => (
            Some(AttemptFailure::Redirect),
            "it redirects, which is not followed; give the address it leads to".to_owned(),
        ),
        StatusCode::GONE => (Some(AttemptFailure::Status), "it is gone for good".to_owned()),
        _ => (Some(AttemptFailure::Status), String::new()),
    };
    // Seconds only: a date would need a clock of ours that agrees with theirs.
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
    let seconds: Option<i64> = retry_after.and_then(|it| it.trim().parse().ok()).filter(|it| *it >= 0);
    let retry_after_ms = failure.and(seconds).map(|it| it.saturating_mul(1_000));
    Attempt { failure, status: Some(status.as_u16()), detail, latency_ms: 0, retry_after_ms }
}
