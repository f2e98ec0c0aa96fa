//! HTTP/2 with a client: the h2 crate behind the cork, and the exchanges of a connection in one task with it.
//!
//! h2 checks what RFC 9113 forbids; its bounds against floods are set here, all of them, so that a change of its defaults
//! changes nothing.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderValue};
use http::{Method, Request, Response};
use hyper::body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::client::Client;
use super::super::cork::{Corked, cork};
use super::super::date::Date;
use super::super::exchange;
use super::super::exchange::body::Upload;
use super::super::exchange::response::ResponseBody;
use super::super::timers::TICK;
use super::super::worker::Phase;
use super::{SEND_LIMIT, told_length};
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

/// A request, and the way to answer it.
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// h2's side of a connection.
enum Driver<S> {
    /// Settings are exchanged.
    Beginning {
        handshake: Handshake<Corked<S>, Bytes>,
        leaves: bool,
    },
    Serving(Connection<Corked<S>, Bytes>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Tells the client that no further request is served.
    fn leave(&mut self) {
        match self {
            Self::Beginning { leaves, .. } => *leaves = true,
            Self::Serving(connection) => connection.graceful_shutdown(),
        }
    }

    /// Reads and writes, and gives each request to `accept`. Ready at the end.
    fn poll(&mut self, cx: &mut Context<'_>, mut accept: impl FnMut(Asked)) -> Poll<Result<(), h2::Error>> {
        loop {
            match self {
                Self::Beginning { handshake, leaves } => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    if *leaves {
                        connection.graceful_shutdown();
                    }
                    *self = Self::Serving(connection);
                }
                Self::Serving(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(Ok(asked)) => accept(asked),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}

/// Serves a connection whose preface is still unread.
pub(super) async fn serve<S>(client: Rc<Client>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (cork, corked) = cork(stream, &client.worker.buffers);
    let (keep_alive, requests, builder) = settings(&client);
    let mut driver = Driver::Beginning { handshake: builder.handshake(corked), leaves: false };
    let mut answering = FuturesUnordered::new();
    let timers = &client.worker.timers;
    let timer = timers.timer();
    let mut told: Option<Instant> = None;
    let result = poll_fn(|cx| {
        let (phase, now) = (client.worker.phase(), timers.now());
        let (open, served) = (client.open(), client.served());
        // A client that has just come is served something before it has to go.
        let leave = phase >= Phase::Closing || phase == Phase::Leaving && served > 0 || served >= requests;
        if leave && told.is_none() {
            driver.leave();
            told = Some(now);
        }
        // What exchanges have come to leaves in the same turn, and who has come in it is asked for at once.
        while let Poll::Ready(Some(())) = answering.poll_next_unpin(cx) {}
        let polled = driver.poll(cx, |asked| answering.push(answer(&client, asked)));
        while let Poll::Ready(Some(())) = answering.poll_next_unpin(cx) {}
        // What h2 has written in this turn leaves now.
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
            driver.leave();
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

/// Idle time, requests on a connection, and h2's settings.
fn settings(client: &Client) -> (Duration, u32, Builder) {
    let snapshot = client.worker.snapshot();
    let global = &snapshot.table.global;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(global.http2_max_concurrent_streams)
        .max_header_list_size(u32::try_from(global.header_limit).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_send_buffer_size(SEND_BUFFER);
    (global.keep_alive, global.keep_alive_requests, builder)
}

/// Answers one request, unless the client takes it back.
fn answer(client: &Rc<Client>, (request, mut respond): Asked) -> impl Future<Output = ()> {
    let head = request.method() == Method::HEAD;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let request = request.map(|stream| Upload::http2(stream, length));
    async move {
        let response = {
            let mut answering = pin!(exchange::answer(client, None, request));
            poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            })
            .await
        };
        let Some(response) = response else { return };
        if let Err(error) = send(response, head, &client.worker.date, &mut respond).await {
            tracing::debug!(%error, "a client does not take a response to its end");
        }
    }
}

/// Sends a response, piece by piece as the client has room for it.
async fn send(
    response: Response<ResponseBody>,
    to_head: bool,
    date: &Date,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let length = told_length(&response, to_head);
    let (mut parts, mut body) = response.into_parts();
    parts.headers.entry(DATE).or_insert_with(|| date.with(HeaderValue::clone));
    if let Some(length) = length {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let ended = to_head || body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(parts, ()), ended)?;
    if ended {
        return Ok(());
    }
    let mut first = true;
    poll_fn(|cx| {
        loop {
            if stream.poll_reset(cx)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // The first piece is there already, as a rule: h2 keeps it if the client has no room.
            if !std::mem::take(&mut first) && stream.capacity() == 0 {
                stream.reserve_capacity(1);
                match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(0)) => continue,
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                }
            }
            let Some(frame) = ready!(Pin::new(&mut body).poll_frame(cx)) else {
                return Poll::Ready(stream.send_data(Bytes::new(), true));
            };
            if let Some(result) = pass(frame, body.is_end_stream(), &mut stream) {
                return Poll::Ready(result);
            }
        }
    })
    .await
}

/// Passes on a piece; something if it was the last.
fn pass<E>(
    frame: Result<hyper::body::Frame<Bytes>, E>,
    last: bool,
    stream: &mut SendStream<Bytes>,
) -> Option<Result<(), h2::Error>> {
    let Ok(frame) = frame else {
        stream.send_reset(Reason::INTERNAL_ERROR);
        return Some(Ok(()));
    };
    match frame.into_data() {
        Ok(data) => {
            let sent = stream.send_data(data, last);
            if last || sent.is_err() { Some(sent) } else { None }
        }
        Err(frame) => frame.into_trailers().ok().map(|trailers| stream.send_trailers(trailers)),
    }
}
