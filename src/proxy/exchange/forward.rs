//! The step that talks to endpoints: one after the other, until one answers.
//!
//! A further one is tried only while nothing can have happened yet: no connection came about; the connection ended before the
//! request was written; or a connection that had been idle ended before any byte of a response, and the request is one that
//! may be sent twice. A failed endpoint is avoided for a moment.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use http::{Method, Response, StatusCode};
use hyper::body::Body;
use tokio::net::TcpStream;

use super::super::lists;
use super::super::outgoing::{Coding, Outgoing, Unwritten, field};
use super::super::refusal::Refusal;
use super::super::timers::TICK;
use super::super::upstream::ConnectError;
use super::super::upstream::http1::NoHead;
use super::super::upstream::http1::head::Head;
use super::super::upstream::pool::Lease;
use super::body::{Progress, RequestBody, Upload, Waiting};
use super::pages::Answer;
use super::response::{ResponseBody, Streaming};
use super::{Exchange, headers};
use crate::clock::Instant;

/// Bytes of a request's head, usually.
const HEAD: usize = 1024;

/// What an endpoint has answered.
pub(super) enum Reply {
    /// A response.
    Streamed(Response<Streaming>),
    /// The protocol changes; the endpoint's byte stream, and what of it was read already.
    Upgraded(Response<ResponseBody>, (TcpStream, Vec<u8>)),
}

/// How sending a request over one connection ended without a response.
enum Failure {
    /// Nothing of it was written.
    Unsent,
    /// The connection broke before a byte of a response.
    Silent,
    /// The response, or the request's body, is of no use.
    Broken,
    /// No answer in time.
    Timeout,
    /// The client did not send its body in time.
    Client,
}

impl Exchange<'_> {
    pub(super) async fn forward(&mut self) -> Result<Reply, Answer> {
        let worker = Rc::clone(&self.client.worker);
        let progress = Progress::new(&worker.timers);
        let repeatable =
            self.upload.is_nothing() && (is_idempotent(&self.method) || self.snapshot.table.global.retry_non_idempotent);
        let mut request = self.request(&progress)?;
        let started = worker.timers.now();
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut answer = Answer::Status(StatusCode::BAD_GATEWAY);
        // A connection that turned out to be dead says nothing of its endpoint: it has another chance, on a new one.
        let mut again: Option<SocketAddr> = None;
        loop {
            let address = match again {
                Some(address) => address,
                None => self.pick(&tried, started).ok_or_else(|| answer.clone())?,
            };
            self.record.attempt(address);
            let pooled = if again.take().is_none() { worker.upstream.pool.take(address) } else { None };
            let mut lease = match pooled {
                Some(lease) => lease,
                None => match Box::pin(worker.upstream.connect(address, self.options.connect_timeout)).await {
                    Ok(lease) => {
                        self.record.connected();
                        lease
                    }
                    Err(error) => {
                        answer = self.unreachable(address, &error);
                        tried.push(address);
                        continue;
                    }
                },
            };
            let reused = lease.is_reused();
            match self.send(&mut lease, &mut request, &progress).await {
                Ok(head) => return self.reply(head, lease, request),
                Err(Failure::Unsent) if reused => again = Some(address),
                Err(Failure::Unsent) => {
                    worker.upstream.balance.failed(address, worker.timers.now());
                    tried.push(address);
                }
                Err(Failure::Timeout) => {
                    self.record.failed(StatusCode::GATEWAY_TIMEOUT);
                    return Err(StatusCode::GATEWAY_TIMEOUT.into());
                }
                Err(Failure::Client) => return Err(Refusal::Timeout.into()),
                Err(Failure::Silent) if reused && repeatable => {
                    request.rewind();
                    again = Some(address);
                }
                Err(Failure::Silent | Failure::Broken) => {
                    self.record.failed(StatusCode::BAD_GATEWAY);
                    return Err(self.fault(&progress));
                }
            }
            self.record.failed(StatusCode::BAD_GATEWAY);
        }
    }

    /// The next endpoint, while one may be tried.
    fn pick(&self, tried: &[SocketAddr], started: Instant) -> Option<SocketAddr> {
        let tries = usize::try_from(self.options.tries.max(1)).unwrap_or(usize::MAX);
        let late = |limit| !tried.is_empty() && self.client.worker.timers.now().saturating_duration_since(started) >= limit;
        if tried.len() >= tries || self.options.tries_timeout.is_some_and(late) {
            return None;
        }
        let worker = &self.client.worker;
        worker.upstream.balance.pick(self.backend?, self.candidates(), tried, worker.timers.now())
    }

    fn unreachable(&mut self, address: SocketAddr, error: &ConnectError) -> Answer {
        let worker = &self.client.worker;
        worker.upstream.balance.failed(address, worker.timers.now());
        let status = match error {
            ConnectError::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ConnectError::Io(error) => {
                tracing::debug!(%address, %error, "an endpoint cannot be connected to");
                StatusCode::BAD_GATEWAY
            }
        };
        self.record.failed(status);
        status.into()
    }

    /// The request as the endpoint gets it.
    fn request(&mut self, progress: &Rc<Progress>) -> Result<Box<Outgoing<RequestBody>>, Answer> {
        let identity = self.identity()?;
        let fields = &self.parts.headers;
        let path = self.parts.uri.path_and_query().map_or("/", |it| it.as_str());
        let mut head = self.client.worker.buffers.room();
        head.reserve(HEAD);
        // `http://host?query` has a path, too.
        let root = if path.starts_with('/') { "" } else { "/" };
        for text in [self.method.as_str(), " ", root, path, " HTTP/1.1\r\n"] {
            head.extend_from_slice(text.as_bytes());
        }
        let (id, global) = (self.record.request_id(), &self.snapshot.table.global);
        let sized = headers::to_endpoint(&mut head, (fields, self.parts.version), identity, id, global, self.upgrade);
        let announced = if self.upload.is_nothing() { Vec::new() } else { lists::trailers(fields) };
        let upload = std::mem::replace(&mut self.upload, Upload::Nothing);
        let body = RequestBody::new(upload, self.options.body_limit, progress);
        self.record.carries(progress);
        let coding = frame(&mut head, body.size_hint().exact(), sized);
        Ok(Box::new(Outgoing::new(head, body, coding, announced)))
    }

    /// Sends the request and waits for the response's head. While the client sends its body, it is the client's time.
    async fn send(&self, lease: &mut Lease, request: &mut Outgoing<RequestBody>, progress: &Progress) -> Result<Head, Failure> {
        let worker = &self.client.worker;
        progress.restart();
        let timer = worker.timers.timer();
        let (send, read) = (self.options.send_timeout, self.options.read_timeout);
        let body = self.snapshot.table.global.client_body_timeout;
        let to_head = self.method == Method::HEAD;
        let outcome = std::future::poll_fn(|cx| {
            let connection = lease.connection();
            match request.poll(cx, connection.stream()) {
                Poll::Ready(Err(Unwritten::Body)) => return Poll::Ready(Err(Failure::Broken)),
                Poll::Ready(Err(Unwritten::Connection(_))) if request.is_unsent() => return Poll::Ready(Err(Failure::Unsent)),
                // It may have answered all the same.
                Poll::Ready(Err(Unwritten::Connection(error))) => {
                    tracing::debug!(%error, "an endpoint does not take a request to its end");
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if let Poll::Ready(head) = connection.poll_head(cx, to_head) {
                return Poll::Ready(head.map_err(|error| failure(&error)));
            }
            loop {
                let (limit, late) = match progress.waiting().0 {
                    Waiting::Client => (body, Failure::Client),
                    Waiting::Endpoint => (send, Failure::Timeout),
                    Waiting::Answer => (read, Failure::Timeout),
                };
                // Who is waited for may change without this being polled: looked at again when the shortest time is over.
                let now = worker.timers.now();
                let deadline = progress.waiting().1 + TICK + limit;
                if deadline <= now {
                    return Poll::Ready(Err(late));
                }
                timer.set(deadline.min(now + TICK + send.min(read).min(body)));
                if timer.poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        outcome.await
    }

    /// Whose doing it is that the endpoint did not answer.
    fn fault(&self, progress: &Progress) -> Answer {
        if progress.is_too_large() {
            return Refusal::BodyTooLarge.into();
        }
        progress.failed().map_or_else(|| StatusCode::BAD_GATEWAY.into(), Answer::from)
    }

    fn reply(&mut self, head: Head, lease: Lease, mut request: Box<Outgoing<RequestBody>>) -> Result<Reply, Answer> {
        let Head { status, mut headers, body, chunked, keeps } = head;
        self.record.answered(status);
        let upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded && !self.upgrade {
            return Err(StatusCode::BAD_GATEWAY.into());
        }
        let sized = body.rest().is_some() && status != StatusCode::NO_CONTENT && !chunked;
        headers::to_client(&mut headers, sized, upgraded);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if upgraded {
            let stream = lease.into_connection().into_parts();
            return Ok(Reply::Upgraded(response.map(|()| ResponseBody::none()), stream));
        }
        if request.is_done() {
            self.client.worker.buffers.give_room(request.take_room());
        }
        let streaming = Streaming::new(body, lease, keeps, request, self.options.read_timeout);
        Ok(Reply::Streamed(response.map(|()| streaming)))
    }
}

/// Says where a request's body ends, and ends the head. `sized`: the client has said how long it is.
fn frame(head: &mut Vec<u8>, length: Option<u64>, sized: bool) -> Coding {
    let coding = match length {
        Some(0) => Coding::Ended,
        Some(length) => Coding::Length(length),
        None => Coding::Chunked,
    };
    match length {
        // Who has said that there is nothing says it again; who has not meant a request without a body.
        Some(0) if !sized => {}
        Some(length) => field(head, "content-length", itoa::Buffer::new().format(length).as_bytes()),
        None => field(head, "transfer-encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    coding
}

fn failure(error: &NoHead) -> Failure {
    match error {
        NoHead::Silent => return Failure::Silent,
        NoHead::Broken => tracing::debug!("an endpoint broke off in the head of its response"),
        NoHead::Malformed(error) => tracing::debug!(%error, "an endpoint's response cannot be used"),
    }
    Failure::Broken
}

/// As nginx has it: POST, LOCK and PATCH are not.
fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}
