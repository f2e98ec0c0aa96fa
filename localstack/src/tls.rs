//! TLS towards clients of TLS listeners, and towards targets.
//!
//! Imports rustls only; knows certificates as PEM and policies as the words that AWS lists. TLS 1.0 and 1.1 and ciphers without
//! authenticated encryption or forward secrecy do not exist in rustls: a policy that has them offers the rest of what it has. Used by the
//! data plane and `health/probe.rs`.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureAlgorithm, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a TLS listener meets its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The default certificate first.
    pub(crate) certificates: Vec<Pem>,
    /// Of the security policy: `TLSv1.2` and so on.
    pub(crate) protocols: &'static [&'static str],
    /// Of the security policy, by OpenSSL's names.
    pub(crate) ciphers: Vec<&'static str>,
    /// In the order of preference; empty: ALPN is not answered.
    pub(crate) alpn: &'static [&'static str],
}

/// A certificate chain and its private key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pem {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl std::fmt::Debug for Pem {
    /// Without the key: specs are logged.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pem").field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// Why a TLS listener cannot serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("a certificate or key is not PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("the security policy or a key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// The server side of a listener.
///
/// # Errors
/// When a certificate or key cannot be read, or nothing of the policy is there in rustls.
pub(crate) fn for_clients(settings: &Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = aws_lc_rs::default_provider();
    let certificates = settings.certificates.iter().map(|pem| certified(&provider, pem)).collect::<Result<_, _>>()?;
    let mut provider = provider;
    provider.cipher_suites.retain(|suite| settings.ciphers.contains(&openssl_name(suite.suite()).as_str()));
    let versions: Vec<_> = [("TLSv1.2", &TLS12), ("TLSv1.3", &TLS13)]
        .into_iter()
        .filter(|(name, _)| settings.protocols.contains(name))
        .map(|(_, version)| version)
        .collect();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni(certificates)));
    config.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Shakes hands with a client.
///
/// # Errors
/// When it does not come to an agreement in time.
pub(crate) async fn accept<S>(config: Arc<ServerConfig>, stream: S) -> io::Result<server::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await?
}

/// Shakes hands with a target, whose certificate may be any: a network load balancer does not look at it.
///
/// # Errors
/// When it does not come to an agreement in time.
pub(crate) async fn to_target<S>(target: IpAddr, alpn: Option<&[u8]>, stream: S) -> io::Result<client::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| client_config().ok().map(Arc::new)).clone();
    let mut config = config.ok_or_else(|| io::Error::other("no TLS version is available"))?;
    if let Some(alpn) = alpn {
        Arc::make_mut(&mut config).alpn_protocols = vec![alpn.to_vec()];
    }
    let handshake = TlsConnector::from(config).connect(ServerName::IpAddress(target.into()), stream);
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await?
}

fn client_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trusting = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    Ok(trusting.dangerous().with_custom_certificate_verifier(any_certificate(provider)).with_no_client_auth())
}

fn certified(provider: &CryptoProvider, pem: &Pem) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(pem.key.as_bytes())?)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// `ECDHE-RSA-AES128-GCM-SHA256` of `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`; of TLS 1.3, the standard's own name.
fn openssl_name(suite: rustls::CipherSuite) -> String {
    let name = suite.as_str().unwrap_or_default();
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name.trim_start_matches("TLS_").replace("_WITH", "").replace("AES_", "AES").replace('_', "-"),
    }
}

/// Chooses a certificate by the server name that the client asks for (NLB user guide, "Server certificates").
#[derive(Debug)]
struct BySni(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for BySni {
    /// Among those for the name, one that the client can check, with an ECDSA key rather than another; the default certificate when there
    /// is none for the name.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let mut fitting: Vec<_> =
            self.0.iter().filter(|certificate| name.as_ref().is_some_and(|name| is_for(certificate, name))).collect();
        fitting.sort_by_key(|certificate| {
            let usable = certificate.key.choose_scheme(hello.signature_schemes()).is_some();
            (!usable, certificate.key.algorithm() != SignatureAlgorithm::ECDSA)
        });
        fitting.first().copied().or_else(|| self.0.first()).cloned()
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.cert.first().and_then(|first| ParsedCertificate::try_from(first).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// A client's trust in any certificate.
pub(crate) fn any_certificate(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyCertificate(provider))
}

/// Takes whatever a target shows.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
