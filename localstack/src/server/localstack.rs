//! What LocalStack answers below `/_localstack/`, so that harnesses made for it recognise a server that is ready. No state: it is ready from
//! its first answer on.
//!
//! Imports `server/aws.rs` for the services. `server/admin.rs` dispatches to it; [`health`] is the other side, for a container's health check.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::aws;
use crate::shared::Shared;

/// How long an emulator may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /_localstack/health`.
pub(super) fn status(shared: &Shared) -> Value {
    let services: serde_json::Map<String, Value> =
        aws::SERVICES.iter().map(|service| (name(service.name), json!("running"))).collect();
    json!({
        "services": services,
        "data_plane": shared.capabilities.get(),
        "edition": EDITION,
        // What was asked for and is not emulated: a test that fails for it should not have to guess.
        "landfall": { "unsupported": shared.unsupported() },
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// `GET /_localstack/info`.
pub(super) fn info() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "edition": EDITION,
        "is_license_activated": false,
        "server_time_utc": jiff::Timestamp::now().to_string(),
    })
}

/// `GET /_localstack/init`: there are no init hooks, so none is left to run.
pub(super) fn init() -> Value {
    json!({ "completed": { "BOOT": true, "START": true, "READY": true, "SHUTDOWN": false }, "scripts": [] })
}

/// `GET /_localstack/init/ready`.
pub(super) fn init_ready() -> Value {
    json!({ "completed": true, "scripts": [] })
}

/// What LocalStack's `edition` is, `community` or `pro`.
const EDITION: &str = "landfall";

/// LocalStack's name of a service, where it is not that of the credential scope.
fn name(service: &str) -> String {
    match service {
        "elasticloadbalancing" => "elbv2".to_owned(),
        "tagging" => "resourcegroupstaggingapi".to_owned(),
        other => other.to_owned(),
    }
}

/// Asks the emulator that listens on `address` for its health, on loopback if that is the address of all interfaces.
///
/// # Errors
/// When it does not answer 200 within two seconds.
pub async fn health(address: SocketAddr) -> io::Result<()> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let ask = async {
        let mut stream = TcpStream::connect((ip, address.port())).await?;
        stream.write_all(b"GET /_localstack/health HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let line = answer.lines().next().unwrap_or_default();
        if line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(io::Error::other(format!("it answered '{line}'"))) }
    };
    tokio::time::timeout(PATIENCE, ask).await?
}
