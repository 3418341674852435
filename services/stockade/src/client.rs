//! A small HTTP client for the demo and the commands that ask a server: keep-alive connections, nothing else.

use crate::server_url::{ServerUrl, Way};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

/// A pool of connections to one server.
pub(crate) struct Client {
    server: Way,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    /// What the server says it does not do, and why.
    pub(crate) fn refusal(&self) -> anyhow::Error {
        let problem = self.json().unwrap_or_default();
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        anyhow::anyhow!("{} ({}, {}): {}", text("title"), self.status.as_u16(), text("code"), text("detail"))
    }
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }
}

impl Client {
    pub(crate) fn new(server: impl Into<Way>) -> Self {
        Self { server: server.into(), idle: Mutex::default() }
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>> {
        // Taken out of the lock before anything is awaited.
        let idle = self.idle.lock().pop();
        if let Some(connection) = idle.filter(|connection| connection.is_ready()) {
            return Ok(connection);
        }
        let stream = self.server.connect().await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Sends one request with a bearer key.
    pub(crate) async fn send(&self, method: Method, path: &str, key: &str, body: Bytes) -> Result<Answer> {
        self.send_with(method, path, key, &[], body).await
    }

    /// The same with headers.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let mut connection = self.connection().await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.server.host)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let response = connection.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let ready = connection.ready().await.is_ok();
        if ready {
            self.idle.lock().push(connection);
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Where the server is and who asks.
#[derive(clap::Args)]
pub struct Server {
    /// Address of the API: host:port, or a URL without a path such as https://stockade.example.
    #[arg(long, default_value = "127.0.0.1:7400")]
    pub(crate) server: ServerUrl,
    /// An analyst's key; better given by the environment than on the command line.
    #[arg(long, env = "STOCKADE_KEY", hide_env_values = true)]
    pub(crate) key: String,
}

impl Server {
    /// Sends one request; what is refused is an error that says why.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = self.server.find()?;
        let answer = runtime
            .block_on(async {
                Client::new(server).send_with(method, path, &self.key, headers, Bytes::from(body)).await
            })
            .with_context(|| format!("no answer from {}; is it serving?", self.server))?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.refusal()) }
    }
}
