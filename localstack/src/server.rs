//! The HTTP server: AWS's API at `/`, the emulator's own pages below `/_landfall/` and `/_localstack/`.
//!
//! One task for each connection. `server/browser.rs` turns away what a foreign page makes a browser ask, `server/aws.rs` answers AWS calls,
//! `server/admin.rs` the rest.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::conditions::Conditions;
use crate::shared::Shared;

mod admin;
pub(crate) mod aws;
mod browser;
mod console;
pub(crate) mod faults;
pub(crate) mod journal;
pub(crate) mod localstack;
pub(crate) mod protocol;

/// No AWS query comes near this.
const MAX_BODY: usize = 4 << 20;

/// A state of a hundred thousand targets is a tenth of this.
const MAX_SNAPSHOT: usize = 512 << 20;

/// Most answers are whole; a stream goes on, and one that is cut short ends with [`Closed`].
pub(crate) type Answer = Response<BoxBody<Bytes, Closed>>;

/// What is wrong with a call of the emulator's own endpoints: the HTTP status and the words.
pub(crate) type Refusal = (u16, String);

/// The caller gets no answer: its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
pub(crate) struct Closed;

/// Names of hosts that are trusted besides addresses and local names, see `server/browser.rs`.
pub(crate) type AllowedHosts = Arc<[String]>;

/// Serves an emulator until `shutdown`.
pub(crate) async fn run(listener: TcpListener, allowed: AllowedHosts, shared: Arc<Shared>, shutdown: CancellationToken) {
    let answer = move |head: Parts, body: Bytes| {
        let shared = Arc::clone(&shared);
        async move {
            if head.uri.path().starts_with("/_") {
                return Ok(admin::answer(&head, &body, &shared).await);
            }
            aws::answer(&head, &body, &shared).await
        }
    };
    listen(listener, allowed, answer, shutdown).await;
}

/// Serves whatever `answer` answers until `shutdown`.
pub(crate) async fn listen<F, R>(listener: TcpListener, allowed: AllowedHosts, answer: F, shutdown: CancellationToken)
where
    F: Fn(Parts, Bytes) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Answer, Closed>> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, Arc::clone(&allowed), answer.clone());
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

async fn serve<F, R>(stream: TcpStream, allowed: AllowedHosts, answer: F)
where
    F: Fn(Parts, Bytes) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Answer, Closed>> + Send + 'static,
{
    // An answer is one small segment: waiting for more to send only delays it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| read_whole(request, Arc::clone(&allowed), answer.clone()));
    if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "connection");
    }
}

async fn read_whole<F, R>(request: Request<Incoming>, allowed: AllowedHosts, answer: F) -> Result<Answer, Closed>
where
    F: Fn(Parts, Bytes) -> R,
    R: Future<Output = Result<Answer, Closed>>,
{
    let (head, body) = request.into_parts();
    if let Some(problem) = browser::refusal(&head, &allowed) {
        tracing::info!(path = head.uri.path(), "refused: {problem}");
        return Ok(json(Err((403, problem))));
    }
    let limit = if head.uri.path() == "/_landfall/snapshot" { MAX_SNAPSHOT } else { MAX_BODY };
    let body = match Limited::new(body, limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(plain(413, &format!("the request cannot be read: {error}"))),
    };
    answer(head, body).await
}

/// An answer that is sent as it is.
pub(crate) fn whole(answer: Response<Bytes>) -> Answer {
    answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}

/// An answer with a text of this content type.
pub(crate) fn respond(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
    whole(written(status, content_type, body))
}

/// The same, while faults may still change it.
pub(crate) fn written(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
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

/// The answer of an endpoint of the emulator's own.
pub(crate) fn json(result: Result<Value, Refusal>) -> Answer {
    let (status, value) = match result {
        Ok(value) => (200, value),
        Err((status, error)) => (status, serde_json::json!({ "error": error })),
    };
    respond(status, "application/json", format!("{value}\n"))
}

/// The parameters of a query string.
pub(crate) fn query(head: &Parts) -> BTreeMap<String, String> {
    form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// Faults and more, as `PUT /_landfall/faults` takes them.
pub(crate) fn read_conditions(body: &[u8]) -> Result<Conditions, Refusal> {
    Conditions::read(&String::from_utf8_lossy(body)).map_err(|error| (400, error.to_string()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| (400, format!("the body is not what this endpoint takes: {error}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| (500, error.to_string()))
}

/// A number in a query string.
fn query_number(query: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Refusal> {
    let parse = |text: &String| text.parse().map_err(|_| (400, format!("{name}: '{text}' is not a number")));
    query.get(name).map(parse).transpose()
}
