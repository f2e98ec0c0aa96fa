//! Secrets → certificates that rustls can send. A Secret is parsed once for each of its versions.
//!
//! Uses rustls' types and signing keys as plain data. Nothing here prints a key.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::findings::ObjectKey;
use super::lookup::wildcard_suffix;
use crate::clock::Timestamp;

/// A certificate with its key, and what it says of itself.
#[derive(Clone)]
pub struct Certificate {
    /// What is sent: chain and key.
    pub key: Arc<CertifiedKey>,
    /// DNS names that it is for, in lower case; the common name if it has no others.
    pub names: Box<[Box<str>]>,
    /// First second in which it is valid.
    pub not_before: Timestamp,
    /// Last second in which it is valid.
    pub not_after: Timestamp,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads `tls.crt` (leaf first) and `tls.key` of a Secret of any type.
    ///
    /// # Errors
    /// What is missing or cannot be read, in words; never with a part of the key.
    pub fn parse(secret: &Secret) -> Result<Self, String> {
        let field = |name: &str| {
            let data = secret.data.as_ref().and_then(|data| data.get(name));
            data.map(|bytes| bytes.0.as_slice()).ok_or_else(|| format!("it has no `{name}`"))
        };
        let (chain, key) = (field("tls.crt")?, field("tls.key")?);
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| "`tls.crt` is not PEM".to_owned())?;
        let leaf = chain.first().ok_or("`tls.crt` holds no certificate")?;
        let (names, not_before, not_after) = describe(leaf).ok_or("the first certificate of `tls.crt` cannot be read")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "`tls.key` holds no unencrypted private key in PEM")?;
        let key = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider());
        let key = key.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "`tls.key` is not the key of the first certificate of `tls.crt`".to_owned(),
            _ => "`tls.key` and `tls.crt` cannot be used for TLS (RSA from 2048 bits, ECDSA P-256, P-384, P-521, Ed25519)"
                .to_owned(),
        })?;
        Ok(Self { key: Arc::new(key), names, not_before, not_after })
    }

    /// Whether it is for this host; a wildcard host is covered by the same wildcard only.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| {
            let wildcard = || name.strip_prefix("*.").is_some_and(|suffix| wildcard_suffix(host) == Some(suffix));
            **name == *host || wildcard()
        })
    }
}

/// What a certificate that is sent says of itself: its names, and the last second in which it is valid.
#[must_use]
pub fn describe_key(key: &CertifiedKey) -> Option<(Box<[Box<str>]>, Timestamp)> {
    let (names, _, not_after) = describe(key.cert.first()?)?;
    Some((names, not_after))
}

/// What a certificate says of itself: names, and the first and last second in which it is valid.
type Description = (Box<[Box<str>]>, Timestamp, Timestamp);

fn describe(leaf: &CertificateDer<'_>) -> Option<Description> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let mut names: Vec<Box<str>> = Vec::new();
    if let Some(alternatives) = leaf.subject_alternative_name().ok().flatten() {
        for name in &alternatives.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase().into());
            }
        }
    }
    if names.is_empty() {
        let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(|name| name.to_ascii_lowercase().into()));
    }
    let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some((names.into(), time(leaf.validity().not_before)?, time(leaf.validity().not_after)?))
}

/// What a Secret holds.
pub(super) type Parsed = Result<Arc<Certificate>, String>;

/// The certificates of Secrets, each parsed once for each version.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: HashMap<ObjectKey, (Option<String>, Parsed)>,
}

impl Cache {
    /// What the Secret holds.
    pub(super) fn get(&mut self, key: &ObjectKey, secret: &Secret) -> Parsed {
        let version = secret.metadata.resource_version.clone();
        match self.known.get(key) {
            Some((known, parsed)) if *known == version && version.is_some() => parsed.clone(),
            _ => {
                let parsed = Certificate::parse(secret).map(Arc::new);
                self.known.insert(key.clone(), (version, parsed.clone()));
                parsed
            }
        }
    }

    /// Forgets those that are not in use.
    pub(super) fn retain(&mut self, in_use: impl Fn(&ObjectKey) -> bool) {
        self.known.retain(|key, _| in_use(key));
    }
}
