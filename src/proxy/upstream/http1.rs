//! HTTP/1.1 with an endpoint, spoken by us: one connection, one exchange at a time, no task of its own.
//!
//! hyper's client would carry each request and each piece of a response through channels to a task that owns the connection;
//! for small requests that costs as much as everything else a proxy does. Here the exchange itself reads and writes, and gives
//! the connection back to the pool. [`crate::proxy::outgoing`] is how it is written, [`head`] and [`body`] (pure) are what is read; what RFC 9112
//! leaves open is decided as nginx decides it, and a response whose end is in doubt is an error.

pub(in crate::proxy) mod body;

pub(in crate::proxy) mod head;

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::super::buffers::{Appetite, Buffers};
use head::Head;

/// An open connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read and not used.
    held: BytesMut,
    appetite: Appetite,
}

/// Why there is no response's head.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The connection ended, or broke, before a byte of it.
    Silent,
    /// It ended or broke in the middle.
    Broken,
    /// It is not HTTP/1.1, or has more than one meaning.
    Malformed(head::Malformed),
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, held: BytesMut::new(), appetite: Appetite::new() }
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// What was read and not used.
    pub(crate) fn held(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// Whether an idle connection can be used: nothing has come since, not even its end. As far as the runtime has been told,
    /// without a system call.
    pub(super) fn is_quiet(&self) -> bool {
        let quiet = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.held.is_empty() && self.stream.try_read(&mut [0]).err().is_some_and(quiet)
    }

    /// It is idle, and holds no buffer from now on.
    pub(super) fn rest(&mut self, buffers: &Buffers) {
        buffers.give(std::mem::take(&mut self.held));
    }

    /// It is used again.
    pub(super) fn wake(&mut self, buffers: &Buffers) {
        self.held = buffers.take(self.appetite.wanted());
    }

    /// Reads more into [`Connection::held`]: how many bytes, 0 at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.held.reserve(self.appetite.wanted());
        let count = ready!(pin!(self.stream.read_buf(&mut self.held)).poll(cx))?;
        self.appetite.fed(count);
        Poll::Ready(Ok(count))
    }

    /// Reads the head of a response to a request that was (or is being) written. `to_head`: to one with the method HEAD.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<Result<Head, NoHead>> {
        loop {
            let parsed = if self.held.is_empty() { Ok(None) } else { head::parse(&mut self.held, to_head) };
            if let Some(head) = parsed.map_err(NoHead::Malformed)? {
                return Poll::Ready(Ok(head));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) if self.held.is_empty() => return Poll::Ready(Err(NoHead::Silent)),
                Ok(0) | Err(_) => return Poll::Ready(Err(NoHead::Broken)),
            }
        }
    }

    /// The byte stream itself, after a change of protocol, and what of it was read already.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.held.to_vec())
    }
}
