//! The step that talks to endpoints: one after the other, until one answers.
//!
//! A further one is tried only while nothing can have happened yet: no connection came about; the connection ended before the
//! request was written; or a connection that had been idle ended before any byte of a response, and the request is one that
//! may be sent twice. A failed endpoint is avoided for a moment.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::upgrade::OnUpgrade;

use super::super::refusal::Refusal;
use super::super::timers::TICK;
use super::super::upstream::ConnectError;
use super::super::upstream::pool::Lease;
use super::body::{Progress, RequestBody, Waiting};
use super::pages::Answer;
use super::response::{ResponseBody, Streaming};
use super::{Exchange, headers};
use crate::clock;

/// What an endpoint has answered.
pub(super) enum Reply {
    /// A response.
    Streamed(Response<Streaming>),
    /// The protocol changes.
    Upgraded(Response<ResponseBody>, OnUpgrade),
}

/// How sending a request over one connection ended without a response.
enum Failure {
    /// It was not written: here it is.
    Unsent(Box<Request<RequestBody>>),
    /// The connection broke.
    Broken,
    /// No answer in time.
    Timeout,
    /// The client did not send its body in time.
    Client,
}

impl Exchange<'_> {
    pub(super) async fn forward(&mut self) -> Result<Reply, Answer> {
        let worker = Rc::clone(&self.client().worker);
        let progress = Progress::new(&worker.timers);
        let bodyless = self.body.as_ref().is_none_or(Body::is_end_stream);
        let repeatable = bodyless && (is_idempotent(&self.method) || self.snapshot.table.global.retry_non_idempotent);
        let mut request = self.request(&progress, repeatable)?;
        let started = clock::now();
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
            match self.send(&mut lease, request, &progress).await {
                Ok(response) => return self.reply(response, lease, progress),
                Err(Failure::Unsent(unsent)) if reused => {
                    request = *unsent;
                    again = Some(address);
                }
                Err(Failure::Unsent(unsent)) => {
                    request = *unsent;
                    worker.upstream.balance.failed(address, worker.timers.now());
                    tried.push(address);
                }
                Err(Failure::Timeout) => {
                    self.record.failed(StatusCode::GATEWAY_TIMEOUT);
                    return Err(StatusCode::GATEWAY_TIMEOUT.into());
                }
                Err(Failure::Client) => return Err(Refusal::Timeout.into()),
                Err(Failure::Broken) => {
                    self.record.failed(StatusCode::BAD_GATEWAY);
                    if !(reused && repeatable) {
                        return Err(self.fault(&progress));
                    }
                    request = self.request(&progress, repeatable)?;
                    again = Some(address);
                }
            }
            self.record.failed(StatusCode::BAD_GATEWAY);
        }
    }

    /// The next endpoint, while one may be tried.
    fn pick(&self, tried: &[SocketAddr], started: clock::Instant) -> Option<SocketAddr> {
        let tries = usize::try_from(self.options.tries.max(1)).unwrap_or(usize::MAX);
        let late = |limit| !tried.is_empty() && clock::now().saturating_duration_since(started) >= limit;
        if tried.len() >= tries || self.options.tries_timeout.is_some_and(late) {
            return None;
        }
        let worker = &self.client().worker;
        worker.upstream.balance.pick(self.backend?, self.candidates(), tried, worker.timers.now())
    }

    fn unreachable(&mut self, address: SocketAddr, error: &ConnectError) -> Answer {
        let worker = &self.client().worker;
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

    /// The request as the endpoint gets it. `again`: it may be needed once more.
    fn request(&mut self, progress: &Rc<Progress>, again: bool) -> Result<Request<RequestBody>, Answer> {
        // The client's fields are copied, which are fewer than the endpoint's; the map that has room for these is sent.
        let kept = if again { self.parts.headers.clone() } else { HeaderMap::new() };
        let mut headers = std::mem::replace(&mut self.parts.headers, kept);
        let identity = self.identity()?;
        let global = &self.snapshot.table.global;
        let id = self.record.request_id.as_ref();
        let host = if self.host_value.is_empty() { identity.host.clone() } else { self.host_value.clone() };
        headers::to_endpoint(&mut headers, self.parts.version, host, identity, id, global, self.upgrade);
        let path = self.parts.uri.path_and_query().cloned();
        let body = match self.body.take() {
            Some(incoming) => RequestBody::new(incoming, self.options.body_limit, Rc::clone(progress)),
            None => RequestBody::empty(),
        };
        self.record.carries(progress);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Sends the request and waits for the response's head. While the client sends its body, it is the client's time.
    async fn send(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failure> {
        let worker = &self.client().worker;
        progress.restart();
        let timer = worker.timers.timer();
        let mut sending = std::pin::pin!(lease.sender().try_send_request(request));
        let (send, read) = (self.options.send_timeout, self.options.read_timeout);
        let body = self.snapshot.table.global.client_body_timeout;
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = sending.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(|mut error| failure(&mut error)));
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
        if progress.has_failed() {
            let broken = self.origin.inlet.as_ref().and_then(|inlet| inlet.broken());
            return broken.unwrap_or(Refusal::BadRequest).into();
        }
        StatusCode::BAD_GATEWAY.into()
    }

    fn reply(&mut self, mut response: Response<Incoming>, lease: Lease, progress: Rc<Progress>) -> Result<Reply, Answer> {
        let status = response.status();
        self.record.answered(status);
        let upgraded = status == StatusCode::SWITCHING_PROTOCOLS;
        if upgraded && !self.upgrade {
            return Err(StatusCode::BAD_GATEWAY.into());
        }
        let head = self.method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
        let sized = head || response.body().size_hint().exact().is_some();
        headers::to_client(response.headers_mut(), sized, upgraded);
        let idle = self.options.read_timeout;
        if upgraded {
            let endpoint = hyper::upgrade::on(&mut response);
            return Ok(Reply::Upgraded(response.map(|_| ResponseBody::none()), endpoint));
        }
        Ok(Reply::Streamed(response.map(|incoming| Streaming::new(incoming, lease, progress, idle))))
    }
}

fn failure(error: &mut TrySendError<Request<RequestBody>>) -> Failure {
    match error.take_message() {
        Some(request) => Failure::Unsent(Box::new(request)),
        None => {
            tracing::debug!(error = %error.error(), "an endpoint did not answer");
            Failure::Broken
        }
    }
}

/// As nginx has it: POST, LOCK and PATCH are not.
fn is_idempotent(method: &Method) -> bool {
    !matches!(method.as_str(), "POST" | "LOCK" | "PATCH")
}
