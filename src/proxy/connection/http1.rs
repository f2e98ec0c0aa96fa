//! HTTP/1 with a client: hyper behind the guard; after a change of protocol, a tunnel.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::client::{Client, Origin, Tunnel};
use super::super::exchange;
use super::super::exchange::response::ResponseBody;
use super::super::guard::head::Limits;
use super::super::guard::{Guard, Patience};
use super::super::tunnel;

/// Header fields that hyper has room for without allocating, which it takes for a limit.
const HEADERS_INLINE: usize = 100;

/// An exchange in flight. Boxed, so that a connection holds no room for one while it is idle.
type Answering = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>>>>;

/// Serves requests one after the other. `held`: what was read of the stream already.
pub(super) async fn serve<S>(client: Rc<Client>, stream: S, held: Vec<u8>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let guard = guard(&client, stream, held);
    let origin = Origin { client: Rc::clone(&client), inlet: Some(guard.inlet()) };
    let service = service_fn(move |request: Request<Incoming>| -> Answering {
        let origin = origin.clone();
        Box::pin(async move { Ok(exchange::answer(origin, request).await) })
    });
    let mut connection = builder(&client).serve_connection(TokioIo::new(guard), service);
    let result = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let parts = connection.into_parts();
    let mut guard = parts.io.into_inner();
    match client.take_tunnel() {
        Some(through) if result.is_ok() => {
            let (stream, held) = guard.into_parts();
            let early = [&parts.read_buf[..], &held].concat();
            join(&client, (stream, early), through).await;
        }
        _ => {
            if let Err(error) = &result {
                tracing::debug!(%error, "a client's connection ended early");
            }
            // It may be gone already.
            let _ = guard.shutdown().await;
        }
    }
}

fn builder(client: &Client) -> http1::Builder {
    let count = client.worker.snapshot().table.global.header_count_limit;
    let mut builder = http1::Builder::new();
    // Clients may close their sending side and still want the answer.
    builder.half_close(true);
    if count > HEADERS_INLINE {
        builder.max_headers(count);
    }
    builder
}

fn guard<S>(client: &Rc<Client>, stream: S, held: Vec<u8>) -> Guard<S, Client> {
    let snapshot = client.worker.snapshot();
    let global = &snapshot.table.global;
    let limits = Limits { line: global.header_line_limit, head: global.header_limit, count: global.header_count_limit };
    let patience = Patience { head: global.client_header_timeout, body: global.client_body_timeout, idle: global.keep_alive };
    Guard::new(stream, held, limits, patience, &client.worker.timers, Rc::clone(client))
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
