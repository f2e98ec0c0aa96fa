//! TLS towards clients: rustls, with the certificates of the published table.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
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
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let resolver = Arc::new(Current(table));
        let mut config = builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_cert_resolver(resolver);
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
