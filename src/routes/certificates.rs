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
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME,
    OID_X509_SERIALNUMBER,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::findings::ObjectKey;
use super::lookup::wildcard_suffix;
use crate::clock::Timestamp;

/// Longest serial number of a certificate, in bytes (RFC 5280 §4.1.2.2).
const SERIAL: usize = 20;

/// Longest part of an issuer's name, in characters (RFC 5280, appendix A).
const NAME: usize = 64;

/// Kinds of keys, by the names that Go and so ingress-nginx has for them.
const KEY_ALGORITHMS: [(Oid<'static>, &str); 3] =
    [(OID_PKCS1_RSAENCRYPTION, "RSA"), (OID_KEY_TYPE_EC_PUBLIC_KEY, "ECDSA"), (OID_SIG_ED25519, "Ed25519")];

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    /// What is sent: chain and key.
    pub key: Arc<CertifiedKey>,
    /// What the first certificate of the chain says.
    pub leaf: Leaf,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// DNS names that it is for, in lower case; the common name if it has no others.
    pub names: Box<[Box<str>]>,
    /// First second in which it is valid.
    pub not_before: Timestamp,
    /// Last second in which it is valid.
    pub not_after: Timestamp,
    /// Serial number, in decimal; empty if it is longer than a certificate's may be.
    pub serial: Box<str>,
    /// Who issued it.
    pub issuer: Issuer,
    /// Serial numbers of issuer and certificate, with a dash between: what ingress-nginx knows a certificate by.
    pub identifier: Box<str>,
    /// Kind of its key: `RSA`, `ECDSA`, `Ed25519`; `unknown` for others, which no host is served with.
    pub algorithm: &'static str,
}

/// Parts of an issuer's name, cut where they are longer than they may be; empty where there is none. Of several the first O and the
/// last of the others, as Go and so ingress-nginx has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuer {
    /// O.
    pub organization: Box<str>,
    /// CN.
    pub common_name: Box<str>,
    /// serialNumber (not that of the certificate).
    pub serial: Box<str>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("leaf", &self.leaf).finish_non_exhaustive()
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
        let leaf = Leaf::read(leaf).ok_or("the first certificate of `tls.crt` cannot be read")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "`tls.key` holds no unencrypted private key in PEM")?;
        let key = CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider());
        let key = key.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "`tls.key` is not the key of the first certificate of `tls.crt`".to_owned(),
            _ => "`tls.key` and `tls.crt` cannot be used for TLS (RSA from 2048 bits, ECDSA P-256, P-384, P-521, Ed25519)"
                .to_owned(),
        })?;
        Ok(Self { key: Arc::new(key), leaf })
    }

    /// Whether it is for this host; a wildcard host is covered by the same wildcard only.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.leaf.names.iter().any(|name| {
            let wildcard = || name.strip_prefix("*.").is_some_and(|suffix| wildcard_suffix(host) == Some(suffix));
            **name == *host || wildcard()
        })
    }
}

impl Leaf {
    /// What is sent with this key.
    #[must_use]
    pub fn of(key: &CertifiedKey) -> Option<Self> {
        Self::read(key.cert.first()?)
    }

    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
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
        // "No end" is 9999-12-31T23:59:59Z (RFC 5280 §4.1.2.5), some hours beyond what a time stamp can hold.
        let time = |time: x509_parser::time::ASN1Time| {
            let limits = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
            Timestamp::from_second(time.timestamp().clamp(*limits.start(), *limits.end())).unwrap_or(Timestamp::MAX)
        };
        let algorithm = &leaf.public_key().algorithm.algorithm;
        let algorithm = KEY_ALGORITHMS.iter().find(|(oid, _)| oid == algorithm).map_or("unknown", |(_, name)| name);
        // One byte more where the first bit is set: the sign.
        let serial = if leaf.raw_serial().len() <= SERIAL + 1 { leaf.serial.to_string() } else { String::new() };
        let issuer = Issuer::read(leaf.issuer());
        Some(Self {
            names: names.into(),
            not_before: time(leaf.validity().not_before),
            not_after: time(leaf.validity().not_after),
            identifier: format!("{}-{serial}", issuer.serial).into(),
            serial: serial.into(),
            issuer,
            algorithm,
        })
    }
}

impl Issuer {
    fn read(name: &X509Name<'_>) -> Self {
        let texts = |oid| name.iter_by_oid(oid).filter_map(|value| value.as_str().ok());
        let cut = |text: Option<&str>| text.unwrap_or_default().chars().take(NAME).collect::<String>().into();
        Self {
            organization: cut(texts(&OID_X509_ORGANIZATION_NAME).next()),
            common_name: cut(texts(&OID_X509_COMMON_NAME).last()),
            serial: cut(texts(&OID_X509_SERIALNUMBER).last()),
        }
    }
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
