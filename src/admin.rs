//! The process' own HTTP server: `/livez`, `/readyz`, `/healthz`, `/metrics`, `/debug/config`.
//!
//! Answers from memory and never waits for the API server or AWS. Imports `clock`; [`crate::telemetry`] makes the registry.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::clock::Heartbeat;

/// The text format of prometheus-client.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A client that does not send its request in this time is cut off.
const HEADER_LIMIT: Duration = Duration::from_secs(5);

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[error("--admin-address {address}: {source}; choose a free port, or an empty address for none")]
pub struct AdminError {
    /// As given.
    pub address: SocketAddr,
    /// Why it cannot be listened on.
    #[source]
    pub source: std::io::Error,
}

/// What `/livez` and `/readyz` answer from. Clones share it; register everything before serving.
#[derive(Clone, Debug, Default)]
pub struct Health {
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    heartbeats: Vec<Heartbeat>,
    /// What has to be ready, and whether it is.
    conditions: BTreeMap<String, bool>,
    /// The process was told to end.
    ending: bool,
}

/// Something that `/readyz` waits for: not ready until [`Readiness::set`] says so.
#[derive(Clone, Debug)]
pub struct Readiness {
    name: String,
    health: Health,
}

impl Readiness {
    /// Says whether it is ready.
    pub fn set(&self, ready: bool) {
        self.health.parts().conditions.insert(self.name.clone(), ready);
    }
}

impl Health {
    /// A new heartbeat whose age `/livez` watches.
    #[must_use]
    pub fn heartbeat(&self, name: &str, limit: Duration) -> Heartbeat {
        let heartbeat = Heartbeat::new(name, limit);
        self.parts().heartbeats.push(heartbeat.clone());
        heartbeat
    }

    /// A new condition of readiness.
    #[must_use]
    pub fn readiness(&self, name: &str) -> Readiness {
        let readiness = Readiness { name: name.to_owned(), health: self.clone() };
        readiness.set(false);
        readiness
    }

    /// What does not live, a line each; empty if everything does.
    #[must_use]
    pub fn dead(&self) -> Vec<String> {
        let line = |beat: &Heartbeat| {
            format!("{}: no sign of life for {} s (limit {} s)", beat.name(), beat.age().as_secs(), beat.limit().as_secs())
        };
        self.parts().heartbeats.iter().filter(|beat| !beat.is_alive()).map(line).collect()
    }

    /// What is not ready, a line each; empty if everything is.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        self.parts().conditions.iter().filter(|(_, ready)| !**ready).map(|(name, _)| format!("{name}: not ready")).collect()
    }

    /// Says that the process was told to end. It is as ready as before: who still sends traffic is still served.
    pub fn ends(&self) {
        self.parts().ending = true;
    }

    /// What is not well for a load balancer that should send traffic elsewhere in time: dead, not ready, or about to end.
    #[must_use]
    pub fn unhealthy(&self) -> Vec<String> {
        let mut problems = [self.dead(), self.unready()].concat();
        if self.parts().ending {
            problems.push("the process is ending".to_owned());
        }
        problems
    }

    /// A panic cannot leave the parts half-changed: a poisoned lock is as good as another.
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything the server shows.
#[derive(Clone, Debug)]
pub struct Admin {
    /// For `/livez` and `/readyz`.
    pub health: Health,
    /// For `/metrics`.
    pub registry: Arc<Registry>,
    /// For `/debug/config`: the settings, without secrets.
    pub config: Arc<serde_json::Value>,
}

impl Admin {
    /// Listens on `address` and serves until `shutdown`. Returns the address with the port that was really taken.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn serve(self, address: SocketAddr, shutdown: CancellationToken) -> Result<SocketAddr, AdminError> {
        let failed = |source| AdminError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        tokio::spawn(self.accept(listener, shutdown));
        Ok(bound)
    }

    async fn accept(self, listener: TcpListener, shutdown: CancellationToken) {
        while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(self.clone().converse(stream, shutdown.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, usually: trying again at once would only burn the processor.
                    tracing::warn!(%error, "the admin server cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn converse(self, stream: TcpStream, shutdown: CancellationToken) {
        let service = service_fn(|request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(&request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the admin server broke");
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".to_owned());
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/livez" => verdict(&self.health.dead()),
            "/readyz" => verdict(&self.health.unready()),
            "/healthz" => verdict(&self.health.unhealthy()),
            "/metrics" => self.metrics().await,
            "/debug/config" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.config)),
            _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /healthz, /metrics or /debug/config\n".to_owned()),
        }
    }

    /// On a thread of its own: thousands of series would hold up the lease, and changes on their way to the data plane.
    async fn metrics(&self) -> Response<Full<Bytes>> {
        let registry = Arc::clone(&self.registry);
        let encode = move || {
            let mut page = String::new();
            prometheus_client::encoding::text::encode(&mut page, &registry).map(|()| page).map_err(|error| error.to_string())
        };
        match tokio::task::spawn_blocking(encode).await.map_err(|error| error.to_string()).flatten() {
            Ok(page) => respond(StatusCode::OK, OPEN_METRICS, page),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be encoded: {error}\n")),
        }
    }
}

/// `ok`, or 503 with the list of what is not.
fn verdict(problems: &[String]) -> Response<Full<Bytes>> {
    if problems.is_empty() {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    let mut page = String::new();
    for problem in problems {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{problem}");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, page)
}

fn text(status: StatusCode, page: String) -> Response<Full<Bytes>> {
    respond(status, PLAIN_TEXT, page)
}

fn respond(status: StatusCode, content_type: &'static str, page: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Server {
        address: SocketAddr,
        health: Health,
        shutdown: CancellationToken,
    }

    async fn server() -> Server {
        let health = Health::default();
        let admin = Admin {
            health: health.clone(),
            registry: Arc::new(Registry::with_prefix("landfall")),
            config: Arc::new(serde_json::json!({"clusterName": "demo"})),
        };
        let shutdown = CancellationToken::new();
        let address = admin.serve(([127, 0, 0, 1], 0).into(), shutdown.clone()).await.unwrap();
        Server { address, health, shutdown }
    }

    /// Status line's code, and the whole response.
    async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        (response.split(' ').nth(1).unwrap().parse().unwrap(), response)
    }

    #[tokio::test]
    async fn ready_when_everything_is_and_says_what_is_not() {
        let server = server().await;
        let (services, nodes) = (server.health.readiness("services"), server.health.readiness("nodes"));
        let (code, response) = ask(server.address, "GET /readyz").await;
        assert_eq!(code, 503);
        assert!(response.ends_with("nodes: not ready\nservices: not ready\n"), "{response}");
        services.set(true);
        nodes.set(true);
        let (code, response) = ask(server.address, "GET /readyz").await;
        assert!(code == 200 && response.ends_with("ok\n"), "{response}");
        nodes.set(false);
        assert_eq!(ask(server.address, "GET /readyz").await.0, 503);
    }

    #[tokio::test]
    async fn alive_as_long_as_every_heart_beats() {
        let server = server().await;
        let fast = server.health.heartbeat("queue", Duration::ZERO);
        let _slow = server.health.heartbeat("Service", Duration::from_secs(3600));
        // Older than no time at all, as soon as a millisecond has passed.
        while fast.is_alive() {
            tokio::task::yield_now().await;
        }
        let (code, response) = ask(server.address, "GET /livez").await;
        assert_eq!(code, 503);
        assert!(response.ends_with("\r\n\r\nqueue: no sign of life for 0 s (limit 0 s)\n"), "{response}");
    }

    #[tokio::test]
    async fn healthy_until_it_is_told_to_end_and_ready_even_then() {
        let server = server().await;
        let table = server.health.readiness("table");
        assert_eq!(ask(server.address, "GET /healthz").await.0, 503);
        table.set(true);
        assert_eq!(ask(server.address, "GET /healthz").await.0, 200);
        server.health.ends();
        let (code, response) = ask(server.address, "GET /healthz").await;
        assert!(code == 503 && response.ends_with("the process is ending\n"), "{response}");
        assert_eq!(ask(server.address, "GET /readyz").await.0, 200);
    }

    #[tokio::test]
    async fn other_pages_and_methods() {
        let server = server().await;
        assert_eq!(ask(server.address, "GET /livez").await.0, 200);
        let (code, response) = ask(server.address, "GET /metrics").await;
        assert!(code == 200 && response.contains(OPEN_METRICS) && response.ends_with("# EOF\n"), "{response}");
        let (code, response) = ask(server.address, "GET /debug/config").await;
        assert!(code == 200 && response.contains("\"clusterName\": \"demo\""), "{response}");
        let (code, response) = ask(server.address, "GET /nothing").await;
        assert!(code == 404 && response.contains("/readyz"), "{response}");
        let (code, response) = ask(server.address, "POST /livez").await;
        assert!(code == 405 && response.contains("allow: GET, HEAD"), "{response}");
        let (code, response) = ask(server.address, "HEAD /livez").await;
        assert!(code == 200 && response.ends_with("\r\n\r\n"), "{response}");
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_flag() {
        let server = server().await;
        let admin = Admin { health: Health::default(), registry: Arc::default(), config: Arc::default() };
        let error = admin.serve(server.address, CancellationToken::new()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("--admin-address {}: ", server.address)), "{error}");
    }

    #[tokio::test]
    async fn shutdown_closes_the_port_and_idle_connections() {
        let server = server().await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(ask(server.address, "GET /livez").await.0, 200);
        server.shutdown.cancel();
        assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
