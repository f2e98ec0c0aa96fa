//! The read side of an HTTP/1 connection: lets hyper see only what the strict [`scanner`] has passed.
//!
//! hyper repairs what RFC 9112 lets it repair, and answers on its own what it cannot read. Here a head is released only when
//! it is complete and has one meaning; for one that is refused, hyper gets a harmless request in its place, so that the
//! answer comes in its turn, is logged, and is the last. The guard also knows when a client is slow or idle: it is the one
//! who waits for its bytes. Neighbours: [`crate::proxy::exchange`] takes the [`Message`]s in the order of the requests.

pub(super) mod chunked;

pub(super) mod head;

pub(super) mod scanner;

#[cfg(test)]
pub(super) mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusal::Refusal;
use super::timers::{Timer, Timers};
use super::worker::Phase;
use crate::clock::{self, Instant};
use scanner::{Piece, Place, Scanner};

/// What hyper reads in place of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: _\r\nconnection: close\r\n\r\n";

/// Bytes asked for when a head does not come in one piece.
const MORE: usize = 4096;

/// Longest wait for a client that does not take what it is sent (nginx: `send_timeout`).
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(60);

/// Who has connected as we were about to close, and has said nothing yet, is waited for so long: a request is on its way.
pub(super) const FIRST_WORDS: Duration = Duration::from_secs(1);

/// After a refusal or an unread body, what a client still sends is read and dropped for so long: a reset would take the
/// answer away from it (nginx: `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);

/// Bytes up to which the pieces of a response are written as one.
const SMALL: usize = 2048;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a head, from its first byte; for the first byte of a connection too.
    pub head: Duration,
    /// Between two reads of a body.
    pub body: Duration,
    /// Between two requests.
    pub idle: Duration,
}

/// A request whose head was released to hyper (or its stand-in).
#[derive(Debug)]
pub(super) struct Message {
    /// When its first byte was seen.
    pub started: Instant,
    /// Bytes of the head.
    pub length: usize,
    /// It asks to change the protocol: somebody has to [`Inlet::decide`].
    pub upgrade: bool,
    /// Why it is not served, and its first line as far as it was read.
    pub refused: Option<(Refusal, Vec<u8>)>,
}

/// What guard and exchange tell each other about one connection.
#[derive(Debug, Default)]
pub(super) struct Inlet {
    messages: RefCell<VecDeque<Message>>,
    /// Why the body that is being read is not read further.
    broken: Cell<Option<Refusal>>,
    /// Whether the protocol changes after the request that asked for it.
    decision: Cell<Option<bool>>,
    waiting: RefCell<Option<Waker>>,
}

impl Inlet {
    /// The request that hyper has just read.
    pub(super) fn next(&self) -> Option<Message> {
        self.messages.borrow_mut().pop_front()
    }

    /// Why the body cannot be read to its end, if that is the client's doing.
    pub(super) fn broken(&self) -> Option<Refusal> {
        self.broken.get()
    }

    /// Says what became of a request to change the protocol.
    pub(super) fn decide(&self, changes: bool) {
        self.decision.set(Some(changes));
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// What the guard asks of the connection it is part of.
pub(super) trait Surroundings {
    /// Requests that were read and are not answered in full yet.
    fn open(&self) -> u32;
    /// When the last of them was.
    fn idle_since(&self) -> Instant;
    /// Of the worker.
    fn phase(&self) -> Phase;
}

/// How far the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There may be more.
    Open,
    /// A head was refused: hyper gets the stand-in, and then nothing.
    StandIn,
    /// A body is not read further: hyper gets an error.
    Broken(io::ErrorKind),
    /// Nothing more.
    Ended,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Guard<S, C> {
    stream: S,
    inlet: Rc<Inlet>,
    surroundings: Rc<C>,
    timers: Rc<Timers>,
    scanner: Scanner,
    /// Bytes that were read and not given to hyper; of these, `released` may be.
    held: Vec<u8>,
    released: usize,
    end: End,
    patience: Patience,
    timer: Timer,
    /// A request was read.
    served: bool,
    /// First byte of the head that is being read.
    head_since: Option<Instant>,
    /// Since when bytes of a body are waited for.
    body_since: Option<Instant>,
    /// Runs while the peer takes nothing, and while it is listened to after the end.
    patience_out: Option<Timer>,
    /// We ended the stream, not the peer.
    broken_off: bool,
    /// We have said our last.
    lingering: bool,
}

impl<S, C: Surroundings> Guard<S, C> {
    /// `held`: bytes of the stream that were read already.
    pub(super) fn new(
        stream: S,
        held: Vec<u8>,
        limits: head::Limits,
        patience: Patience,
        timers: &Rc<Timers>,
        surroundings: Rc<C>,
    ) -> Self {
        Self {
            stream,
            inlet: Rc::default(),
            surroundings,
            timers: Rc::clone(timers),
            scanner: Scanner::new(limits),
            held,
            released: 0,
            end: End::Open,
            patience,
            timer: timers.timer(),
            served: false,
            head_since: None,
            body_since: None,
            patience_out: None,
            broken_off: false,
            lingering: false,
        }
    }

    pub(super) fn inlet(&self) -> Rc<Inlet> {
        Rc::clone(&self.inlet)
    }

    /// The stream again, with what of it was not given to hyper.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.held)
    }

    /// How many of `bytes` pass. Those after them are to be held, if the stream is still open.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            let place = self.scanner.place();
            if place == Place::Head && !rest.is_empty() && self.head_since.is_none() {
                self.head_since = Some(clock::now());
            }
            match self.scanner.next(rest) {
                Ok(Piece::Head(head)) => {
                    self.served = true;
                    let started = self.head_since.take().unwrap_or_else(clock::now);
                    self.inlet.messages.borrow_mut().push_back(Message {
                        started,
                        length: head.length,
                        upgrade: head.upgrade,
                        refused: None,
                    });
                    passed += head.length;
                }
                Ok(Piece::Body(length)) => passed += length,
                Ok(Piece::Incomplete | Piece::Undecided) => return passed,
                Err(refusal) => {
                    if place == Place::Head {
                        self.refuse(refusal, rest);
                    } else {
                        self.break_off(refusal);
                    }
                    return passed;
                }
            }
        }
    }

    /// Has `refusal` answered in place of the head that starts with `bytes`, and ends the stream.
    fn refuse(&mut self, refusal: Refusal, bytes: &[u8]) {
        let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = line.get(..line.len().min(MORE)).unwrap_or_default().to_vec();
        let started = self.head_since.take().unwrap_or_else(clock::now);
        let message = Message { started, length: bytes.len(), upgrade: false, refused: Some((refusal, line)) };
        self.inlet.messages.borrow_mut().push_back(message);
        self.end = End::StandIn;
        self.broken_off = true;
    }

    /// Ends the stream inside a body.
    fn break_off(&mut self, refusal: Refusal) {
        self.inlet.broken.set(Some(refusal));
        self.broken_off = true;
        let timed_out = refusal == Refusal::Timeout;
        self.end = End::Broken(if timed_out { io::ErrorKind::TimedOut } else { io::ErrorKind::InvalidData });
    }

    /// Until when the bytes that are missing now are waited for; none without limit.
    fn deadline(&mut self) -> Option<Instant> {
        match self.scanner.place() {
            Place::Head => match self.head_since {
                Some(since) => Some(since + self.patience.head),
                None if self.surroundings.open() > 0 => None,
                None => {
                    let limit = if self.served { self.patience.idle } else { self.patience.head };
                    Some(self.surroundings.idle_since() + limit)
                }
            },
            Place::Body => Some(*self.body_since.get_or_insert_with(clock::now) + self.patience.body),
            Place::Undecided | Place::Tunnel => None,
        }
    }

    /// Nothing to read now: ready if that is the end.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        let between = self.scanner.place() == Place::Head && self.head_since.is_none() && self.surroundings.open() == 0;
        let closing = between && self.surroundings.phase() >= Phase::Closing;
        if closing && self.served {
            self.end = End::Ended;
            return Poll::Ready(());
        }
        let deadline = if closing { Some(self.surroundings.idle_since() + FIRST_WORDS) } else { self.deadline() };
        match deadline {
            Some(deadline) => self.timer.set(deadline),
            None => self.timer.clear(),
        }
        if self.timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match self.scanner.place() {
            Place::Head if self.head_since.is_some() => {
                let held = std::mem::take(&mut self.held);
                self.refuse(Refusal::Timeout, &held);
            }
            Place::Body => self.break_off(Refusal::Timeout),
            _ => self.end = End::Ended,
        }
        Poll::Ready(())
    }

    /// Whether the peer has been waited for longer than `limit`, counted from the first call since it last did something.
    fn out_of_patience(&mut self, cx: &Context<'_>, limit: Duration) -> bool {
        let timer = self.patience_out.get_or_insert_with(|| {
            let timer = self.timers.timer();
            timer.set_after(limit);
            timer
        });
        timer.poll(cx).is_ready()
    }
}

impl<S: AsyncRead + Unpin, C: Surroundings> Guard<S, C> {
    /// Reads straight into hyper's buffer: the usual case. Ready with whether hyper got something, or the end.
    fn read_through(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            self.end = End::Ended;
            return Poll::Ready(Ok(true));
        }
        let passed = self.scan(fresh);
        if self.end == End::Open {
            self.held.extend_from_slice(fresh.get(passed..).unwrap_or_default());
        }
        self.body_since = None;
        buf.set_filled(before + passed);
        Poll::Ready(Ok(passed > 0))
    }

    /// Reads more of what is incomplete.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut more = [0; MORE];
        let mut more = ReadBuf::new(&mut more);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut more))?;
        if more.filled().is_empty() {
            self.end = End::Ended;
        }
        self.held.extend_from_slice(more.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin, C: Surroundings> AsyncRead for Guard<S, C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if let Some(changes) = this.inlet.decision.take() {
                this.scanner.decide(changes);
            }
            if this.released == 0 && !this.held.is_empty() && this.end == End::Open {
                let mut held = std::mem::take(&mut this.held);
                this.released = this.scan(&held);
                if this.end != End::Open {
                    held.truncate(this.released);
                }
                this.held = held;
            }
            if this.released > 0 {
                let here = this.released.min(buf.remaining());
                buf.put_slice(this.held.get(..here).unwrap_or_default());
                this.held.drain(..here);
                this.released -= here;
                if this.held.is_empty() {
                    this.held = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            match this.end {
                End::Open => {}
                End::StandIn => {
                    this.held = STAND_IN.to_vec();
                    this.released = STAND_IN.len();
                    this.end = End::Ended;
                    continue;
                }
                End::Broken(kind) => return Poll::Ready(Err(kind.into())),
                End::Ended => return Poll::Ready(Ok(())),
            }
            if this.scanner.place() == Place::Undecided {
                this.inlet.waiting.replace(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            let read = if this.held.is_empty() { this.read_through(cx, buf)? } else { this.read_more(cx)?.map(|()| false) };
            match read {
                Poll::Ready(true) => return Poll::Ready(Ok(())),
                Poll::Ready(false) => {}
                Poll::Pending => ready!(this.wait(cx)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Surroundings> Guard<S, C> {
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
}

/// All pieces in one, if they fit.
fn joined<'b>(small: &'b mut [u8; SMALL], bufs: &[io::IoSlice<'_>]) -> Option<&'b [u8]> {
    let mut length = 0;
    for piece in bufs {
        let end = length + piece.len();
        small.get_mut(length..end)?.copy_from_slice(piece);
        length = end;
    }
    small.get(..length)
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Surroundings> AsyncWrite for Guard<S, C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut small = [0; SMALL];
        let result = match joined(&mut small, bufs) {
            // For the system one buffer is less work than two, and for us a copy is less than both.
            Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        };
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, result)
    }

    /// Says that nothing follows; then, if the peer may still be sending, hears it out for a while.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.lingering {
            let result = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.written(cx, result))?;
            // Closing resets the connection if there is something that nobody read.
            if !this.broken_off && this.held.is_empty() && this.scanner.place() == Place::Head {
                return Poll::Ready(Ok(()));
            }
            this.lingering = true;
            this.patience_out = None;
        }
        let mut dropped = [0; MORE];
        loop {
            if this.out_of_patience(cx, LINGER) {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = ReadBuf::new(&mut dropped);
            match Pin::new(&mut this.stream).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
