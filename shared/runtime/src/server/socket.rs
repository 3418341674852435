//! The socket of a connection, between hyper and the system.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{closing, watch::Watch};
use crate::Problem;

/// A socket that tells its watch what comes and goes.
pub(super) struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
    /// What is written in place of an answer of hyper's own, and how much of it was.
    refusal: Option<(Vec<u8>, usize)>,
}

/// The problem that says what hyper's own answer to an unreadable request leaves out, if `answer` is one. No handler answers
/// 400, 414 or 431 without a body.
fn in_place_of(answer: &[u8]) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.first_chunk::<3>()?;
    let (status, code, detail) = match status {
        b"400" => (
            StatusCode::BAD_REQUEST,
            "unreadable_request",
            "this is no HTTP request: its first line or a header holds what may not stand there; write names in paths as UTF-8 and then in percent",
        ),
        b"414" | b"431" => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            "the first line and the headers are too long; send less in them",
        ),
        _ => return None,
    };
    let is_empty = answer.windows(21).any(|part| part.eq_ignore_ascii_case(b"\r\ncontent-length: 0\r\n"));
    is_empty.then(|| closing(&Problem::new(status, code, detail)))
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            self.watch.received();
        }
        read
    }
}

impl Watched {
    pub(super) fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch, refusal: None }
    }

    /// Writes a problem in place of an answer of hyper's own that begins with `first` and has `len` bytes; `None` where it
    /// is anything else.
    fn refuse(&mut self, cx: &mut Context<'_>, first: &[u8], len: usize) -> Option<Poll<io::Result<usize>>> {
        if self.refusal.is_none() {
            self.refusal = in_place_of(first).map(|problem| (problem, 0));
        }
        let (problem, sent) = self.refusal.as_mut()?;
        while *sent < problem.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &problem[*sent..]) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(more)) => *sent += more,
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        // As far as hyper knows, its own answer went out, and it closes after that.
        Some(Poll::Ready(Ok(len)))
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_ready() {
            self.watch.sent();
        } else {
            self.watch.stuck();
        }
        written
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.refuse(cx, buf, buf.len()) {
            return self.note(refused);
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        if let Some(refused) = self.refuse(cx, first, bufs.iter().map(|buf| buf.len()).sum()) {
            return self.note(refused);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
