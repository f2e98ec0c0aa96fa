//! One small HTTP/1.1 GET from whatever network namespace the calling thread is in. Used for probes, hooks and health checks.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// GETs `path` at `address` and returns the status code, after the body has been read. `headers` may replace Host.
///
/// # Errors
/// Refused, reset, not HTTP, or not finished within `limit` (`TimedOut`).
pub(crate) async fn get(address: SocketAddr, path: &str, headers: &[(String, String)], limit: Duration) -> io::Result<u16> {
    timeout(limit, exchange(address, path, headers)).await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

async fn exchange(address: SocketAddr, path: &str, headers: &[(String, String)]) -> io::Result<u16> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let mut request = Request::get(path);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", address.to_string());
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.header("connection", "close").body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let respond = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        response.into_body().collect().await.map_err(io::Error::other)?;
        Ok(status)
    };
    // The connection does the reading and writing; it may end, with an error or not, before the answer has been taken from it.
    let drive = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! { result = respond => result, never = drive => never }
}
