//! A client of our own, which asks for `/1k`: over connections that stay open, or over a new one each time.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::backend::SMALL;

/// Name in the certificate of [`write_certificate`].
const NAME: &str = "bench.example.com";

/// Writes `cert.pem` and `key.pem` (ECDSA, P-256) for the proxies.
pub fn write_certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
}

/// Opens TLS connections that trust that certificate. Each is a full handshake with X25519.
pub fn connector(folder: &Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(folder.join("cert.pem")).expect("the certificate");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a root");
    let provider =
        rustls::crypto::CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// Connections at a time that [`reconnect`] has.
const CONNECTIONS: usize = 32;

/// A new TLS connection for each request, for so many seconds. Prints how many there were, as wrk does.
pub fn reconnect(folder: &str, address: &str, seconds: &str) -> ExitCode {
    let address: SocketAddr = address.parse().expect("an address");
    let connector = connector(Path::new(folder));
    let answered = Cell::new(0_u64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let one_after_the_other = async || {
            loop {
                let mut stream = connect_tls(&connector, address).await;
                exchange(&mut stream, "Connection: close\r\n").await;
                answered.set(answered.get() + 1);
                // The side that closes first remembers the connection for a minute, and that is not the one that runs out of ports.
                while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
            }
        };
        let all = futures::future::join_all((0..CONNECTIONS).map(|_| one_after_the_other()));
        let _ = tokio::time::timeout(Duration::from_secs(seconds.parse().expect("seconds")), all).await;
    });
    println!("{} requests in {seconds} s", answered.get());
    ExitCode::SUCCESS
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("connected")
}

pub async fn connect_tls(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let name = ServerName::try_from(NAME).expect("a name");
    connector.connect(name, connect(address).await).await.expect("a handshake")
}

/// One request, and its answer to the last byte.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    exchange(stream, "").await;
}

/// The same with more header fields.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, fields: &str) {
    let request = format!("GET /1k HTTP/1.1\r\nHost: h7.example.com\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    stream.flush().await.expect("asked");
    let mut answer = Vec::with_capacity(2 * SMALL);
    loop {
        assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0, "the proxy has closed the connection");
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + SMALL) {
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            return;
        }
    }
}
