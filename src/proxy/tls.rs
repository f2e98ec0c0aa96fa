//! TLS towards clients: rustls, with the certificates of the published table.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::routes::RouteTable;

/// Shared by all workers: session tickets of one are good for the others.
#[derive(Debug)]
pub(super) struct Tls {
    with_http2: Arc<ServerConfig>,
    without: Arc<ServerConfig>,
}

impl Tls {
    pub(super) fn new(table: Arc<ArcSwap<RouteTable>>) -> Result<Self, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        let resolver = Arc::new(Current(table));
        let mut config = builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(resolver);
        config.ignore_client_order = true;
        config.send_tls13_tickets = 1;
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut with_http2 = config.clone();
        with_http2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { with_http2: Arc::new(with_http2), without: Arc::new(config) })
    }

    /// For one connection.
    pub(super) fn config(&self, http2: bool) -> Arc<ServerConfig> {
        Arc::clone(if http2 { &self.with_http2 } else { &self.without })
    }
}

/// AES-128 before AES-256, as most servers have it: as good for all that is known, and SHA-256 has instructions of its own on
/// today's processors, which a handshake's key schedule feels.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128"));
    provider
}

/// Certificates of the current table: a rotated one counts from the next handshake on.
struct Current(Arc<ArcSwap<RouteTable>>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.load().certificates.resolve(hello.server_name())))
    }
}
