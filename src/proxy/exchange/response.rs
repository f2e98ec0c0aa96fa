//! The response's body on its way to the client: counted, timed, and the place where an exchange ends.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::super::outgoing::{Outgoing, Unwritten};
use super::super::timers::Timer;
use super::super::upstream::http1::body::{self, BodyReader, Piece};
use super::super::upstream::pool::Lease;
use super::body::RequestBody;
use super::record::Record;

/// What a client is sent. The exchange is over when it is dropped.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    record: Option<Box<Record>>,
    /// The codec holds a piece that it has not asked to follow up yet.
    handed: bool,
}

#[derive(Debug)]
enum Content {
    Page(Option<Bytes>),
    Upstream(Box<Streaming>),
}

#[derive(Debug)]
pub(super) struct Streaming {
    body: BodyReader,
    lease: Option<Lease>,
    /// The endpoint lets the connection be used again.
    keeps: bool,
    /// The endpoint answers already, but may still be sent the rest.
    request: Box<Outgoing<RequestBody>>,
    read_timeout: Duration,
    /// Made when the endpoint is waited for the first time.
    timer: Option<Timer>,
    waiting: bool,
}

/// The response did not come to its end.
#[derive(Debug)]
pub(crate) enum ResponseError {
    /// The endpoint broke off.
    Broken,
    /// What it sends is not what it said that it would.
    Malformed(body::Malformed),
    /// The rest of the request did not come, or was too large.
    Request,
    /// The endpoint sent nothing for too long.
    Timeout,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => f.write_str("the endpoint's response: broke off"),
            Self::Malformed(error) => write!(f, "the endpoint's response: {error}"),
            Self::Request => f.write_str("the request ended early, after its response had begun"),
            Self::Timeout => f.write_str("the endpoint's response: timed out"),
        }
    }
}

impl std::error::Error for ResponseError {}

impl Streaming {
    pub(super) fn new(
        body: BodyReader,
        lease: Lease,
        keeps: bool,
        request: Box<Outgoing<RequestBody>>,
        read_timeout: Duration,
    ) -> Self {
        let mut streaming = Self { body, lease: Some(lease), keeps, request, read_timeout, timer: None, waiting: false };
        if streaming.body.is_done() {
            streaming.ended();
        }
        streaming
    }

    /// The whole response was read. The connection can be used again if the endpoint has read the whole request.
    fn ended(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| self.keeps && self.request.is_done()) {
            lease.give_back();
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        record: &mut Option<Box<Record>>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let polled = self.poll_piece(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = false;
                if let Some(record) = record {
                    record.received(frame.data_ref().map_or(0, Bytes::len) as u64);
                }
                if self.body.is_done() {
                    self.ended();
                }
            }
            Poll::Ready(None) => self.ended(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Pending => {}
        }
        polled
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(None) };
        if let Poll::Ready(Err(Unwritten::Body)) = self.request.poll(cx, lease.connection().stream()) {
            return Poll::Ready(Some(Err(ResponseError::Request)));
        }
        loop {
            match self.body.next(lease.connection().held()) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::Incomplete) => {}
                Err(malformed) => return Poll::Ready(Some(Err(ResponseError::Malformed(malformed)))),
            }
            match lease.connection().poll_fill(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if self.body.is_until_close() => return Poll::Ready(None),
                Poll::Ready(_) => return Poll::Ready(Some(Err(ResponseError::Broken))),
                Poll::Pending => break,
            }
        }
        let timer = self.timer.get_or_insert_with(|| lease.timers().timer());
        if !std::mem::replace(&mut self.waiting, true) {
            timer.set_after(self.read_timeout);
        }
        timer.poll(cx).map(|()| Some(Err(ResponseError::Timeout)))
    }
}

impl ResponseBody {
    /// An answer of our own.
    pub(super) fn page(page: Bytes, record: Box<Record>) -> Self {
        Self { content: Content::Page(Some(page).filter(|page| !page.is_empty())), record: Some(record), handed: false }
    }

    /// An endpoint's answer.
    pub(super) fn upstream(streaming: Streaming, record: Box<Record>) -> Self {
        Self { content: Content::Upstream(Box::new(streaming)), record: Some(record), handed: false }
    }

    /// After a change of protocol: nothing, and somebody else ends the exchange.
    pub(super) fn none() -> Self {
        Self { content: Content::Page(None), record: None, handed: false }
    }

    fn hand(&mut self, hands: bool) {
        if std::mem::replace(&mut self.handed, hands) == hands {
            return;
        }
        if let Some(record) = &self.record {
            if hands { record.client().handed() } else { record.client().taken() }
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.hand(false);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = &mut *self;
        this.hand(false);
        let polled = match &mut this.content {
            Content::Page(page) => Poll::Ready(page.take().map(|page| {
                if let Some(record) = &mut this.record {
                    record.sent(page.len() as u64);
                }
                Ok(Frame::data(page))
            })),
            Content::Upstream(streaming) => streaming.poll(cx, &mut this.record),
        };
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            this.hand(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_none(),
            Content::Upstream(streaming) => streaming.body.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
            Content::Upstream(streaming) => streaming.body.rest().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
