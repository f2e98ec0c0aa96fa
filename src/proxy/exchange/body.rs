//! The request's body on its way to the endpoint: counted, limited, watched.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body, Frame, SizeHint};

use super::super::refusal::Refusal;
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
    /// The client broke off, or broke the rules.
    failed: Cell<Option<Refusal>>,
}

impl Progress {
    pub(super) fn new(timers: &Rc<Timers>) -> Rc<Self> {
        Rc::new(Self {
            timers: Rc::clone(timers),
            waiting: Cell::new(Waiting::Answer),
            since: Cell::new(timers.now()),
            bytes: Cell::new(0),
            too_large: Cell::new(false),
            failed: Cell::new(None),
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

    /// Why the client's body did not come to its end.
    pub(super) fn failed(&self) -> Option<Refusal> {
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

/// The body of an HTTP/1 request where it comes from.
pub(in crate::proxy) trait Source: fmt::Debug {
    /// The next piece; none at the end.
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Bytes that are still to come, if that is known.
    fn rest(&self) -> Option<u64>;
}

/// What a client sends.
#[derive(Debug)]
pub(in crate::proxy) enum Upload {
    Nothing,
    Http1(Rc<dyn Source>),
    /// With the bytes that are still to come, if that is known.
    Http2(RecvStream, Option<u64>),
}

impl Upload {
    /// `length`: as the client announces it; h2 holds it to that.
    pub(in crate::proxy) fn http2(stream: RecvStream, length: Option<u64>) -> Self {
        if stream.is_end_stream() { Self::Nothing } else { Self::Http2(stream, length) }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Nothing => Poll::Ready(None),
            Self::Http1(source) => source.poll_frame(cx),
            Self::Http2(stream, rest) => {
                let Some(data) = ready!(stream.poll_data(cx)) else {
                    let trailers = ready!(stream.poll_trailers(cx)).map_err(BodyError::Http2)?;
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                };
                let data = data.map_err(BodyError::Http2)?;
                // There is room for as much again.
                stream.flow_control().release_capacity(data.len()).map_err(BodyError::Http2)?;
                *rest = rest.map(|rest| rest.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    /// Bytes that are still to come, if that is known.
    fn rest(&self) -> Option<u64> {
        match self {
            Self::Nothing => Some(0),
            Self::Http1(source) => source.rest(),
            Self::Http2(stream, _) if stream.is_end_stream() => Some(0),
            Self::Http2(_, rest) => *rest,
        }
    }
}

/// What an endpoint is sent.
#[derive(Debug)]
pub(in crate::proxy) struct RequestBody(Option<Box<Watched>>);

#[derive(Debug)]
struct Watched {
    upload: Upload,
    /// Bytes that may still come; none without limit.
    left: Option<u64>,
    progress: Rc<Progress>,
}

impl RequestBody {
    /// What the client sends, up to `limit` bytes.
    pub(super) fn new(upload: Upload, limit: Option<u64>, progress: &Rc<Progress>) -> Self {
        if upload.is_nothing() {
            return Self(None);
        }
        progress.wait_for(Waiting::Client);
        Self(Some(Box::new(Watched { upload, left: limit, progress: Rc::clone(progress) })))
    }
}

/// The body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum BodyError {
    #[error("the request's body is larger than the route allows")]
    TooLarge,
    #[error("the client's body: {0:?}")]
    Refused(Refusal),
    #[error("the client broke off in the body")]
    Gone,
    #[error("the client's body: {0}")]
    Http2(h2::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(watched) = &mut self.0 else { return Poll::Ready(None) };
        let Watched { upload, left, progress } = &mut **watched;
        match upload.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                progress.bytes.set(progress.bytes.get() + length);
                if let Some(left) = left {
                    let Some(less) = left.checked_sub(length) else {
                        progress.too_large.set(true);
                        return Poll::Ready(Some(Err(BodyError::TooLarge)));
                    };
                    *left = less;
                }
                progress.wait_for(if upload.rest() == Some(0) { Waiting::Answer } else { Waiting::Endpoint });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let refusal = if let BodyError::Refused(refusal) = &error { *refusal } else { Refusal::BadRequest };
                progress.failed.set(Some(refusal));
                Poll::Ready(Some(Err(error)))
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

    fn size_hint(&self) -> SizeHint {
        let rest = self.0.as_ref().map_or(Some(0), |watched| watched.upload.rest());
        rest.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
