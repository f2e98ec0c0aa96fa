//! `landfall-backend`: the small web server that stands behind Services in tests and in the demo. Imports nothing of the crate.
//!
//! Every path answers 200 with the pod's name; `/slow?ms=N` does so after N milliseconds. The response header `client-address` tells
//! whom it saw as the client. A request to upgrade (to a websocket, say) is granted, by the pod that the response header `pod-name`
//! tells: what comes then is sent back. After SIGTERM it goes on serving, asks clients by `Connection: close` to go elsewhere, and ends when no
//! connection is left or the drain time is over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long open requests may take after the drain time.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// A web server that answers with its pod's name.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0:9376")]
    listen: SocketAddr,
    /// Seconds to go on serving after SIGTERM, at most.
    #[arg(long, default_value_t = 5)]
    drain_seconds: u64,
    /// The name to answer with.
    #[arg(long, env = "POD_NAME")]
    pod_name: Option<String>,
    /// The name to answer with if there is no other.
    #[arg(long, env = "HOSTNAME", default_value = "backend", hide = true)]
    host_name: String,
}

/// What requests need to know.
struct Server {
    answer: Bytes,
    draining: CancellationToken,
    /// Upgraded connections are none of HTTP's any more: they are waited for all the same.
    upgraded: TaskTracker,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("landfall-backend: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> Result<(), std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listen = arguments.listen;
    let named = |problem: std::io::Error| std::io::Error::new(problem.kind(), format!("--listen {listen}: {problem}"));
    let listener = TcpListener::bind(listen).await.map_err(named)?;
    println!("listening on {listen}");

    let name = arguments.pod_name.unwrap_or(arguments.host_name);
    let server =
        Arc::new(Server { answer: format!("{name}\n").into(), draining: CancellationToken::new(), upgraded: TaskTracker::new() });
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let mut end_of_drain = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => drop(connections.spawn(converse(stream, client, Arc::clone(&server), cut.clone()))),
                // Out of file descriptors, or the client has gone again: others may do better a moment later.
                Err(problem) => {
                    eprintln!("accept: {problem}");
                    sleep(Duration::from_millis(10)).await;
                }
            },
            _ = terminate.recv(), if end_of_drain.is_none() => {
                println!("SIGTERM: draining, {} connections are open", connections.len());
                server.draining.cancel();
                connections.close();
                server.upgraded.close();
                end_of_drain = Some(Instant::now() + Duration::from_secs(arguments.drain_seconds));
            }
            () = async { tokio::join!(connections.wait(), server.upgraded.wait()); }, if end_of_drain.is_some() => break,
            () = sleep_until(end_of_drain.unwrap_or_else(Instant::now)), if end_of_drain.is_some() => break,
        }
    }
    // Idle connections are closed now; requests under way are finished.
    cut.cancel();
    let _ = tokio::time::timeout(LAST_REQUESTS, connections.wait()).await;
    println!("drained, {} connections are left", connections.len());
    Ok(())
}

async fn converse(stream: TcpStream, client: SocketAddr, server: Arc<Server>, cut: CancellationToken) {
    // Answers are small: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(answer(request, client, &server).await) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = cut.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, client: SocketAddr, server: &Server) -> Response<Full<Bytes>> {
    if let Some(protocol) = request.headers().get(UPGRADE).cloned() {
        server.upgraded.spawn(echo(request));
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(UPGRADE, protocol);
        if let Ok(name) = HeaderValue::from_bytes(server.answer.trim_ascii_end()) {
            response.headers_mut().insert("pod-name", name);
        }
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return response;
    }
    if request.uri().path() == "/slow" {
        let value = request.uri().query().and_then(|query| query.strip_prefix("ms=")?.parse().ok());
        sleep(Duration::from_millis(value.unwrap_or(0))).await;
    }
    let mut response = Response::new(Full::new(server.answer.clone()));
    let headers = response.headers_mut();
    if let Ok(client) = HeaderValue::from_str(&client.ip().to_string()) {
        headers.insert("client-address", client);
    }
    if server.draining.is_cancelled() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Sends back what comes, until the other side is done.
async fn echo(request: Request<Incoming>) {
    if let Ok(upgraded) = hyper::upgrade::on(request).await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    }
}
