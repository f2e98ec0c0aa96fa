//! HTTP/2 with a client: hyper behind the cork.
//!
//! h2 checks what RFC 9113 forbids; its bounds against floods are set here, all of them, so that a change of its defaults
//! changes nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::client::{Client, Origin};
use super::super::cork::cork;
use super::super::exchange;
use super::super::guard::{SEND_LIMIT, Surroundings};
use super::super::timers::TICK;
use super::super::worker::Phase;
use crate::clock::Instant;

/// Bytes of a request's body that are taken before the endpoint has taken them: of one stream, of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of a response that wait for the client, for each stream.
const SEND_BUFFER: usize = 128 * 1024;

/// Largest frame that is taken.
const FRAME: u32 = 16 * 1024;

/// Streams that a client has reset before we looked at them (rapid reset), and that we have reset for its errors: more, and
/// the connection ends.
const PENDING_RESETS: usize = 20;
const ERROR_RESETS: usize = 100;

/// A client that was told to go has so long to do it.
const FAREWELL: Duration = Duration::from_secs(10);

/// Between two looks at whether a busy client takes anything: a piece that waits for its window wakes nobody here.
const LOOK: Duration = Duration::from_secs(5);

/// Tasks stay on their core.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F> Executor<F> for Local
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves a connection whose preface is still unread.
pub(super) async fn serve<S>(client: Rc<Client>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (cork, corked) = cork(stream, &client.worker.buffers);
    let origin = Origin { client: Rc::clone(&client), inlet: None };
    let service = service_fn(move |request: Request<Incoming>| {
        let origin = origin.clone();
        // Boxed: hyper moves it about before it is polled.
        Box::pin(async move { Ok::<_, Infallible>(exchange::answer(origin, request).await) })
    });
    let (keep_alive, requests, builder) = settings(&client);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(corked), service));
    let timers = &client.worker.timers;
    let timer = timers.timer();
    let mut told: Option<Instant> = None;
    let result = poll_fn(|cx| {
        let (phase, now) = (client.worker.phase(), timers.now());
        let (open, served) = (client.open(), client.served());
        // A client that has just come is served something before it has to go.
        let leave = phase >= Phase::Closing || phase == Phase::Leaving && served > 0 || served >= requests;
        if leave && told.is_none() {
            connection.as_mut().graceful_shutdown();
            told = Some(now);
        }
        let polled = connection.as_mut().poll(cx);
        // What hyper has written in this turn leaves now.
        if let Poll::Ready(Err(error)) = cork.flush(cx) {
            tracing::debug!(%error, "a client does not take what is sent");
            return Poll::Ready(Ok(()));
        }
        if polled.is_ready() {
            return polled;
        }
        let (busy, stalled) = (open > 0 || client.open() > 0, client.stalled_since());
        if !busy && stalled.is_none() {
            cork.rest();
        }
        let deadline = match (stalled, told) {
            (Some(since), _) => since + SEND_LIMIT + TICK,
            (None, _) if busy => now + LOOK,
            (None, Some(told)) => client.idle_since().max(told) + FAREWELL + TICK,
            (None, None) => client.idle_since() + keep_alive + TICK,
        };
        timer.set(deadline);
        // Woken when the phase changes, too.
        if timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if stalled.is_none() && told.is_none() {
            connection.as_mut().graceful_shutdown();
            told = Some(now);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%error, "a client's HTTP/2 connection ended early");
    }
}

/// Idle time, requests on a connection, and hyper's settings.
fn settings(client: &Client) -> (Duration, u32, http2::Builder<Local>) {
    let snapshot = client.worker.snapshot();
    let global = &snapshot.table.global;
    let mut builder = http2::Builder::new(Local);
    builder
        .max_concurrent_streams(global.http2_max_concurrent_streams)
        .max_header_list_size(u32::try_from(global.header_limit).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buf_size(SEND_BUFFER);
    (global.keep_alive, global.keep_alive_requests, builder)
}
