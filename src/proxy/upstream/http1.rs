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
use std::rc::Rc;
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
    /// Nothing was read for this exchange yet: `held` is no buffer.
    rests: bool,
    appetite: Appetite,
    buffers: Rc<Buffers>,
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
    pub(super) fn new(stream: TcpStream, buffers: &Rc<Buffers>) -> Self {
        Self { stream, held: BytesMut::new(), rests: true, appetite: Appetite::new(), buffers: Rc::clone(buffers) }
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
    pub(super) fn rest(&mut self) {
        if !std::mem::replace(&mut self.rests, true) {
            self.buffers.give(std::mem::take(&mut self.held));
        }
    }

    /// Reads more into [`Connection::held`]: how many bytes, 0 at the end. Who waits for an answer holds no buffer.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.appetite.wanted();
        if self.rests {
            ready!(self.stream.poll_read_ready(cx))?;
            self.held = self.buffers.take(wanted);
            self.rests = false;
        } else {
            self.held.reserve(wanted);
        }
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_an_endpoint_holds_no_buffer_and_the_next_one_reads_into_the_last_one_s() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let buffers = Buffers::new();
        let (mut connections, mut endpoints) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            connections.push(Connection::new(stream, &buffers));
            endpoints.push(listener.accept().await.unwrap().0);
        }
        for connection in &mut connections {
            assert!(connection.poll_head(&mut Context::from_waker(Waker::noop()), false).is_pending());
            assert_eq!(connection.held.capacity(), 0);
        }
        let mut places = Vec::new();
        for (connection, endpoint) in connections.iter_mut().zip(&mut endpoints) {
            endpoint.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let head = poll_fn(|cx| connection.poll_head(cx, false)).await.unwrap();
            places.push(head.headers["content-length"].as_bytes().as_ptr());
            drop(head);
            connection.rest();
        }
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }
}
