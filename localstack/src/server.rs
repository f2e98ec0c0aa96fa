//! The HTTP server: AWS's API at `/`, the emulator's own pages below `/_landfall/` and `/_localstack/`.
//!
//! One task for each connection. `server/aws.rs` answers AWS calls, `server/admin.rs` the rest.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

mod admin;
pub(crate) mod aws;

/// No AWS query comes near this.
const MAX_BODY: usize = 4 << 20;

pub(crate) type Answer = Response<Full<Bytes>>;

/// The caller gets no answer: its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
pub(crate) struct Closed;

/// Serves until `shutdown`.
pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, Arc::clone(&shared));
                tokio::spawn(shutdown.clone().run_until_cancelled_owned(connection));
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Out of file descriptors: accepting again at once would only spin. Anything else is about one client.
async fn pause_after(error: &io::Error) {
    tracing::debug!(%error, "accept");
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // An answer is one small segment: waiting for more to send only delays it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "connection");
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Answer, Closed> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(plain(413, &format!("the request cannot be read: {error}"))),
    };
    if head.uri.path().starts_with("/_") {
        return Ok(admin::answer(&head, &body, &shared));
    }
    aws::answer(&head, &body, &shared).await
}

/// An answer with a text of this content type.
pub(crate) fn respond(status: u16, content_type: &str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    // Fault rules may ask for any number; what is no status at all becomes 500.
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, value);
    }
    response
}

fn plain(status: u16, text: &str) -> Answer {
    respond(status, "text/plain; charset=utf-8", format!("{text}\n"))
}
