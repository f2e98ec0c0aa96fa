//! HTTP/1 with a client, spoken by us: one request after the other; after a change of protocol, a tunnel.
//!
//! One task reads a head, has the exchange answer it, and writes what it answers; a request's body is read by whoever wants it.
//! [`stream`] knows how long a client is waited for, [`response`] (pure) writes heads; [`crate::proxy::guard`] says what is believed.

mod response;

mod stream;

use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::super::client::{Client, Tunnel};
use super::super::exchange;
use super::super::exchange::body::Upload;
use super::super::exchange::response::ResponseBody;
use super::super::outgoing::{Outgoing, Unwritten};
use super::super::tunnel;
use response::Asked;
use stream::{Arrived, Stream};

/// Serves requests one after the other. `held`: what was read of the stream already.
pub(super) async fn serve<S>(client: Rc<Client>, io: S, held: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + 'static,
{
    let stream = Stream::new(io, &held, &client);
    drop(held);
    let result = converse(&client, &stream).await;
    match client.take_tunnel() {
        Some(through) if result.is_ok() => {
            if let Some(joined) = stream.into_parts() {
                join(&client, joined, through).await;
            }
        }
        _ => {
            if let Err(error) = &result {
                tracing::debug!(%error, "a client's connection ended early");
            }
            // It may be gone already.
            let _ = poll_fn(|cx| stream.poll_shutdown(cx)).await;
        }
    }
}

/// Answers requests until one of both has had enough, or speaks something else.
async fn converse<S>(client: &Rc<Client>, stream: &Stream<S>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Debug + 'static,
{
    let buffers = &client.worker.buffers;
    while let Some(Arrived { arrival, request, expects, keeps, has_body }) = poll_fn(|cx| stream.poll_request(cx)).await {
        let asked = Asked::new(&request, keeps && arrival.refused.is_none());
        let upload = if has_body { stream.upload(expects) } else { Upload::Nothing };
        let response = exchange::answer(client, Some(arrival), request.map(|()| upload)).await;
        let mut head = buffers.room();
        let (coding, goes_on) = response::write(&mut head, &response, &asked, &client.worker.date);
        let announced = response::trailers(&response, &asked);
        let mut writing = Outgoing::new(head, response.into_body(), coding, announced);
        poll_fn(|cx| poll_write(cx, &mut writing, stream)).await?;
        buffers.give_room(writing.take_room());
        // The exchange ends here, and lets go of what it held of the request.
        drop(writing);
        if !goes_on || !poll_fn(|cx| stream.poll_skip(cx)).await {
            break;
        }
    }
    Ok(())
}

/// Writes on; ready once everything has left.
fn poll_write<S>(cx: &mut Context<'_>, writing: &mut Outgoing<ResponseBody>, stream: &Stream<S>) -> Poll<io::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let written = writing.poll(cx, &mut &*stream);
    if let Poll::Ready(Err(error)) = written {
        return Poll::Ready(Err(match error {
            Unwritten::Connection(error) => error,
            Unwritten::Body => io::ErrorKind::UnexpectedEof.into(),
        }));
    }
    // TLS keeps back what the system did not take.
    if writing.is_flushed() {
        ready!(stream.poll_flush(cx))?;
    }
    written.map(|_| Ok(()))
}

/// Carries another protocol between client and endpoint.
async fn join<S>(client: &Client, stream: (S, Vec<u8>), through: Tunnel)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Tunnel { endpoint, idle, mut record } = through;
    let transferred = tunnel::join(&client.worker.timers, stream, endpoint, idle).await;
    record.received(transferred.down);
}
