//! The byte stream of an HTTP/1 client: what is read of it and written to it, and how long the client is waited for.
//!
//! The connection reads heads and writes responses; in between, the exchange reads a request's body. All are one task: nobody
//! holds the stream longer than for one step.

use std::cell::RefCell;
use std::fmt::Debug;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::super::super::buffers::Appetite;
use super::super::super::client::Client;
use super::super::super::exchange::Arrival;
use super::super::super::exchange::body::{BodyError, Source, Upload};
use super::super::super::guard::head::Limits;
use super::super::super::guard::scanner::{Piece, Scanner};
use super::super::super::refusal::Refusal;
use super::super::super::timers::Timer;
use super::super::super::worker::Phase;
use super::super::{FIRST_WORDS, SEND_LIMIT};
use crate::clock::{self, Instant};

/// After a refusal or an unread body, what a client still sends is read and dropped for so long: a reset would take the
/// answer away from it (nginx: `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that are dropped at once.
const DROPPED: usize = 4096;

/// Bytes of a body that nobody wanted that are read to go on with the next request.
const SKIPPED: usize = 64 * 1024;

/// Bytes of a refused request's first line that are remembered.
const LINE: usize = 4096;

/// What a client gets that asks before it sends a body (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For a head, from its first byte; for the first byte of a connection too.
    head: Duration,
    /// Between two reads of a body.
    body: Duration,
    /// Between two requests.
    idle: Duration,
}

/// A request whose head has come; for one that is refused, something harmless in its place.
#[derive(Debug)]
pub(super) struct Arrived {
    pub arrival: Arrival,
    pub request: Request<()>,
    /// See [`crate::proxy::guard::head::Head`].
    pub expects: bool,
    pub keeps: bool,
    pub has_body: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stream<S>(Rc<RefCell<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    io: S,
    client: Rc<Client>,
    scanner: Scanner,
    /// What was read and not used.
    held: BytesMut,
    appetite: Appetite,
    patience: Patience,
    timer: Timer,
    /// A request was read.
    served: bool,
    /// First byte of the head that is being read.
    head_since: Option<Instant>,
    /// Since when bytes of a body are waited for.
    body_since: Option<Instant>,
    /// The client is told to go on, as soon as somebody wants the body.
    expects: bool,
    /// Of that, what is not written yet.
    interim: &'static [u8],
    /// Runs while the peer takes nothing, and while it is listened to after the end.
    patience_out: Option<Timer>,
    /// We have stopped listening, not the peer speaking.
    broken_off: bool,
    /// We have said our last.
    lingering: bool,
}

impl<S> Stream<S> {
    /// `held`: what was read of it already.
    pub(super) fn new(io: S, held: &[u8], client: &Rc<Client>) -> Self {
        let snapshot = client.worker.snapshot();
        let global = &snapshot.table.global;
        let limits = Limits { line: global.header_line_limit, head: global.header_limit, count: global.header_count_limit };
        let patience = Patience { head: global.client_header_timeout, body: global.client_body_timeout, idle: global.keep_alive };
        Self(Rc::new(RefCell::new(Inner {
            io,
            client: Rc::clone(client),
            scanner: Scanner::new(limits),
            held: BytesMut::from(held),
            appetite: Appetite::new(),
            patience,
            timer: client.worker.timers.timer(),
            served: false,
            head_since: None,
            body_since: None,
            expects: false,
            interim: b"",
            patience_out: None,
            broken_off: false,
            lingering: false,
        })))
    }

    /// The stream itself, and what was read of it and not used.
    pub(super) fn into_parts(self) -> Option<(S, Vec<u8>)> {
        Rc::into_inner(self.0).map(|inner| inner.into_inner()).map(|inner| (inner.io, inner.held.to_vec()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Debug + 'static> Stream<S> {
    /// The body of the request that was just read. `expects`: the client waits for a word before it sends it.
    pub(super) fn upload(&self, expects: bool) -> Upload {
        self.0.borrow_mut().expects = expects;
        Upload::Http1(Rc::<RefCell<Inner<S>>>::clone(&self.0))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// The next request; none at the end.
    pub(super) fn poll_request(&self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        self.0.borrow_mut().poll_request(cx)
    }

    /// Drops what is there of a body that nobody wanted. Ready with whether that was all of it.
    pub(super) fn poll_skip(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let inner = &mut *self.0.borrow_mut();
        let skipped = inner.poll_skip(cx);
        inner.broken_off |= !skipped;
        Poll::Ready(skipped)
    }

    /// Says that nothing follows; then, if the client may still be sending, hears it out for a while.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_shutdown(cx)
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let result = Pin::new(&mut inner.io).poll_flush(cx);
        inner.written(cx, result)
    }
}

impl<S: AsyncRead + Unpin> Inner<S> {
    /// Reads more into `held`: how many bytes, 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.appetite.wanted();
        if self.held.capacity() == 0 {
            self.held = self.client.worker.buffers.take(wanted);
        } else {
            self.held.reserve(wanted);
        }
        let count = ready!(pin!(self.io.read_buf(&mut self.held)).poll(cx))?;
        self.appetite.fed(count);
        Poll::Ready(Ok(count))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrived>> {
        loop {
            if !self.held.is_empty() {
                let started = *self.head_since.get_or_insert_with(clock::now);
                match self.scanner.next(&mut self.held) {
                    Ok(Piece::Head(head, request)) => {
                        self.served = true;
                        self.head_since = None;
                        let arrival = Arrival { started, length: head.length, upgrade: head.upgrade, refused: None };
                        let (expects, keeps, has_body) = (head.expects, head.keeps, self.scanner.is_in_body());
                        return Poll::Ready(Some(Arrived { arrival, request, expects, keeps, has_body }));
                    }
                    Ok(_) => {}
                    Err(refusal) => return Poll::Ready(Some(self.refuse(refusal, started))),
                }
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    if self.held.is_empty() {
                        // An idle connection holds no buffer.
                        self.client.worker.buffers.give(std::mem::take(&mut self.held));
                    }
                    let late = ready!(self.poll_patience(cx));
                    return Poll::Ready(late.map(|since| self.refuse(Refusal::Timeout, since)));
                }
            }
        }
    }

    /// Nothing to read now. Ready if that is the end: with when the head that did not come to its end has begun.
    fn poll_patience(&mut self, cx: &Context<'_>) -> Poll<Option<Instant>> {
        let closing = self.head_since.is_none() && self.client.worker.phase() >= Phase::Closing;
        if closing && self.served {
            return Poll::Ready(None);
        }
        self.timer.set(match self.head_since {
            Some(since) => since + self.patience.head,
            None if closing => self.client.idle_since() + FIRST_WORDS,
            None => self.client.idle_since() + if self.served { self.patience.idle } else { self.patience.head },
        });
        self.timer.poll(cx).map(|()| self.head_since)
    }

    /// Ends the stream with a request that is answered instead of what was read.
    fn refuse(&mut self, refusal: Refusal, started: Instant) -> Arrived {
        self.broken_off = true;
        let held = std::mem::take(&mut self.held);
        let line = held.as_ref().split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = line.get(..line.len().min(LINE)).unwrap_or_default().to_vec();
        let arrival = Arrival { started, length: held.len(), upgrade: false, refused: Some((refusal, line)) };
        Arrived { arrival, request: Request::new(()), expects: false, keeps: false, has_body: false }
    }

    fn poll_skip(&mut self, cx: &mut Context<'_>) -> bool {
        let mut left = SKIPPED;
        // Who was not told to go on may send the body, or another request in its place.
        while self.scanner.is_in_body() && !self.expects && self.interim.is_empty() && !self.broken_off {
            let before = self.held.len();
            match self.scanner.next(&mut self.held) {
                Ok(Piece::Incomplete) => match self.poll_fill(cx) {
                    Poll::Ready(Ok(count @ 1..)) if left > count => left -= count,
                    _ => return false,
                },
                Ok(_) if before > 0 => {}
                _ => return false,
            }
        }
        !self.scanner.is_in_body() && !self.broken_off
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.broken_off {
            return Poll::Ready(Some(Err(BodyError::Gone)));
        }
        if std::mem::take(&mut self.expects) {
            self.interim = CONTINUE;
        }
        let told = self.poll_interim(cx).map_err(|_| BodyError::Gone)?;
        while self.scanner.is_in_body() {
            match self.scanner.next(&mut self.held) {
                Ok(Piece::Data(data)) => {
                    self.body_since = None;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Piece::End(trailers)) => return Poll::Ready(end(trailers)),
                Ok(Piece::Head(..) | Piece::Incomplete) => {}
                Err(refusal) => return Poll::Ready(Some(Err(self.break_off(BodyError::Refused(refusal))))),
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Some(Err(self.break_off(BodyError::Gone)))),
                Poll::Pending => {
                    ready!(told);
                    let since = *self.body_since.get_or_insert_with(clock::now);
                    self.timer.set(since + self.patience.body);
                    ready!(self.timer.poll(cx));
                    return Poll::Ready(Some(Err(self.break_off(BodyError::Refused(Refusal::Timeout)))));
                }
            }
        }
        Poll::Ready(None)
    }

    fn break_off(&mut self, error: BodyError) -> BodyError {
        self.broken_off = true;
        error
    }

    /// Writes what tells the client to go on.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.interim.is_empty() {
            let result = Pin::new(&mut self.io).poll_write(cx, self.interim);
            let count = ready!(self.written(cx, result))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim = self.interim.get(count..).unwrap_or_default();
        }
        let result = Pin::new(&mut self.io).poll_flush(cx);
        self.written(cx, result)
    }
}

impl<S> Inner<S> {
    /// Passes on what a write to the stream gave, unless the peer takes nothing for too long.
    fn written<T>(&mut self, cx: &Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => {
                self.patience_out = None;
                Poll::Ready(result)
            }
            Poll::Pending if self.out_of_patience(cx, SEND_LIMIT) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the peer has been waited for longer than `limit`, counted from the first call since it last did something.
    fn out_of_patience(&mut self, cx: &Context<'_>, limit: Duration) -> bool {
        let timer = self.patience_out.get_or_insert_with(|| {
            let timer = self.client.worker.timers.timer();
            timer.set_after(limit);
            timer
        });
        timer.poll(cx).is_ready()
    }
}

fn end(trailers: HeaderMap) -> Option<Result<Frame<Bytes>, BodyError>> {
    if trailers.is_empty() { None } else { Some(Ok(Frame::trailers(trailers))) }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Debug> Source for RefCell<Inner<S>> {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.borrow_mut().poll_frame(cx)
    }

    fn rest(&self) -> Option<u64> {
        self.borrow().scanner.rest()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for &Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        // Nobody is told any more to go on; but what was begun is said to its end.
        ready!(inner.poll_interim(cx))?;
        let result = Pin::new(&mut inner.io).poll_write(cx, buf);
        inner.written(cx, result)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.poll_interim(cx))?;
        let result = Pin::new(&mut inner.io).poll_write_vectored(cx, bufs);
        inner.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_flush(*self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(*self, cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            let result = Pin::new(&mut self.io).poll_shutdown(cx);
            ready!(self.written(cx, result))?;
            // Closing resets the connection if there is something that nobody read.
            if !self.broken_off && self.held.is_empty() && !self.scanner.is_in_body() {
                return Poll::Ready(Ok(()));
            }
            self.lingering = true;
            self.patience_out = None;
        }
        let mut dropped = [0; DROPPED];
        loop {
            if self.out_of_patience(cx, LINGER) {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = ReadBuf::new(&mut dropped);
            match Pin::new(&mut self.io).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
