//! The request's body on its way to the endpoint: counted, limited, watched.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use super::super::timers::Timers;
use crate::clock::Instant;

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The client, for more of the body.
    Client,
    /// The endpoint, to take more of it.
    Endpoint,
    /// The endpoint, to answer: it has the whole request.
    Answer,
}

/// How far the request got.
#[derive(Debug)]
pub(super) struct Progress {
    timers: Rc<Timers>,
    waiting: Cell<Waiting>,
    since: Cell<Instant>,
    bytes: Cell<u64>,
    too_large: Cell<bool>,
    /// The client broke off.
    failed: Cell<bool>,
}

impl Progress {
    pub(super) fn new(timers: &Rc<Timers>) -> Rc<Self> {
        Rc::new(Self {
            timers: Rc::clone(timers),
            waiting: Cell::new(Waiting::Answer),
            since: Cell::new(timers.now()),
            bytes: Cell::new(0),
            too_large: Cell::new(false),
            failed: Cell::new(false),
        })
    }

    /// Who is waited for, and since when.
    pub(super) fn waiting(&self) -> (Waiting, Instant) {
        (self.waiting.get(), self.since.get())
    }

    /// Bytes of the body that went through.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// The body turned out to be larger than it may be.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large.get()
    }

    /// The client did not send its body to the end.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// The request is sent (again).
    pub(super) fn restart(&self) {
        self.since.set(self.timers.now());
    }

    fn wait_for(&self, whom: Waiting) {
        if self.waiting.replace(whom) != whom || whom == Waiting::Endpoint {
            self.since.set(self.timers.now());
        }
    }
}

/// What an endpoint is sent.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Box<Watched>>);

#[derive(Debug)]
struct Watched {
    incoming: Incoming,
    /// Bytes that may still come; none without limit.
    rest: Option<u64>,
    progress: Rc<Progress>,
}

impl RequestBody {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// What the client sends, up to `limit` bytes.
    pub(super) fn new(incoming: Incoming, limit: Option<u64>, progress: Rc<Progress>) -> Self {
        if incoming.is_end_stream() {
            return Self(None);
        }
        progress.wait_for(Waiting::Client);
        Self(Some(Box::new(Watched { incoming, rest: limit, progress })))
    }
}

/// The body did not come to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Larger than the route allows.
    TooLarge,
    /// The client broke off, or broke the rules.
    Client(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the request's body is larger than the route allows"),
            Self::Client(error) => write!(f, "the client's body: {error}"),
        }
    }
}

impl std::error::Error for BodyError {}

impl RequestBody {
    /// Bytes, if that is known before they have come.
    pub(crate) fn length(&self) -> Option<u64> {
        self.0.as_ref().map_or(Some(0), |watched| watched.incoming.size_hint().exact())
    }

    /// The next piece; none at the end.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(watched) = &mut self.0 else { return Poll::Ready(None) };
        let Watched { incoming, rest, progress } = &mut **watched;
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                progress.bytes.set(progress.bytes.get() + length);
                if let Some(rest) = rest {
                    let Some(left) = rest.checked_sub(length) else {
                        progress.too_large.set(true);
                        return Poll::Ready(Some(Err(BodyError::TooLarge)));
                    };
                    *rest = left;
                }
                progress.wait_for(if incoming.is_end_stream() { Waiting::Answer } else { Waiting::Endpoint });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                progress.failed.set(true);
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
            Poll::Ready(None) => {
                progress.wait_for(Waiting::Answer);
                Poll::Ready(None)
            }
            Poll::Pending => {
                progress.wait_for(Waiting::Client);
                Poll::Pending
            }
        }
    }
}
