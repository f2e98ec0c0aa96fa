//! Certificates and private keys in PEM: read, checked against each other, described; and made, for ACM's own.
//!
//! Imports `clock` for arithmetic. rustls knows whether a key belongs to a certificate, x509-parser what the certificate says, rcgen issues.

use data_encoding::BASE64;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SignatureAlgorithm,
};
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

use crate::clock::later;

/// How long a certificate that ACM issues is valid.
const VALID_DAYS: i64 = 198;

/// What is wrong with a certificate, a chain or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("The certificate is not a valid X.509 certificate in PEM: {0}")]
    Certificate(String),
    #[error("The certificate field contains more than one certificate. Put the issuers into the chain.")]
    SeveralCertificates,
    #[error("The certificate chain is not a list of X.509 certificates in PEM: {0}")]
    Chain(String),
    #[error("Could not validate the certificate with the certificate chain: '{subject}' was not issued by '{issuer}'.")]
    Order { subject: String, issuer: String },
    #[error("The private key is not a supported unencrypted key in PEM: {0}")]
    Key(String),
    #[error("The private key does not match the public key of the certificate.")]
    Mismatch,
}

/// A certificate with its chain and key, known to belong together.
pub(crate) struct Bundle {
    /// PEM: the certificate first, then its issuers.
    pub(crate) chain: String,
    /// PEM.
    pub(crate) key: String,
    pub(crate) facts: Facts,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The common name of the subject, or the first alternative name.
    pub(crate) domain: String,
    pub(crate) names: Vec<String>,
    pub(crate) serial: String,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    /// Seconds since 1970.
    pub(crate) not_after: i64,
    /// As ACM calls it, `RSA_2048`.
    pub(crate) key_algorithm: String,
    /// As ACM calls it, `SHA256WITHRSA`.
    pub(crate) signature_algorithm: String,
    pub(crate) key_usages: Vec<&'static str>,
    pub(crate) extended_key_usages: Vec<(&'static str, &'static str)>,
}

/// Reads what a user brings. An empty chain is none.
pub(crate) fn read(certificate: &str, chain: &str, key: &str) -> Result<Bundle, Unusable> {
    let unreadable = |error: rustls::pki_types::pem::Error| error.to_string();
    let parse = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let mut all = parse(certificate).map_err(|error| Unusable::Certificate(unreadable(error)))?;
    match all.len() {
        0 => return Err(Unusable::Certificate("there is no BEGIN CERTIFICATE".to_owned())),
        1 => {}
        _ => return Err(Unusable::SeveralCertificates),
    }
    let issuers = parse(chain).map_err(|error| Unusable::Chain(unreadable(error)))?;
    if issuers.is_empty() && !chain.trim().is_empty() {
        return Err(Unusable::Chain("there is no BEGIN CERTIFICATE".to_owned()));
    }
    all.extend(issuers);
    check_order(&all)?;
    let der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| Unusable::Key(unreadable(error)))?;
    let pem_key = to_pem(label(&der), der.secret_der());
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|error| Unusable::Key(error.to_string()))?;
    match CertifiedKey::new(all.clone(), signer).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(_) => return Err(Unusable::Mismatch),
    }
    let chain: String = all.iter().map(|der| to_pem("CERTIFICATE", der)).collect();
    let facts = facts(&chain).ok_or_else(|| Unusable::Certificate("it cannot be described".to_owned()))?;
    Ok(Bundle { chain, key: pem_key, facts })
}

/// Each certificate is issued by the next one.
fn check_order(chain: &[CertificateDer<'_>]) -> Result<(), Unusable> {
    let mut parsed: Vec<X509Certificate<'_>> = Vec::new();
    for der in chain {
        let (_, certificate) = parse_x509_certificate(der).map_err(|error| {
            if parsed.is_empty() { Unusable::Certificate(error.to_string()) } else { Unusable::Chain(error.to_string()) }
        })?;
        if let Some(below) = parsed.last().filter(|below| below.issuer() != certificate.subject()) {
            let (subject, issuer) = (below.subject().to_string(), certificate.subject().to_string());
            return Err(Unusable::Order { subject, issuer });
        }
        parsed.push(certificate);
    }
    Ok(())
}

fn label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

/// PEM as AWS writes it: lines of 64.
fn to_pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut lines: Vec<&str> = Vec::new();
    let mut rest = text.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        lines.push(line);
        rest = more;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The first certificate of a chain that [`read`] or [`issue`] wrote, and the others.
pub(crate) fn split(chain: &str) -> (&str, &str) {
    let end = "-----END CERTIFICATE-----\n";
    chain.find(end).and_then(|at| chain.split_at_checked(at + end.len())).unwrap_or((chain, ""))
}

/// What the first certificate of a chain says.
pub(crate) fn facts(chain: &str) -> Option<Facts> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let (_, certificate) = parse_x509_certificate(&der).ok()?;
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .map(|extension| {
            let dns =
                |name: &GeneralName<'_>| if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None };
            extension.value.general_names.iter().filter_map(dns).collect()
        })
        .unwrap_or_default();
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned);
    Some(Facts {
        domain: common.or_else(|| names.first().cloned()).unwrap_or_default(),
        names,
        serial: certificate.raw_serial_as_string(),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().iter_organization().next().and_then(|name| name.as_str().ok()).map_or_else(
            || certificate.issuer().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned(),
            str::to_owned,
        ),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        key_algorithm: key_algorithm(&certificate),
        signature_algorithm: signature_algorithm(&certificate),
        key_usages: key_usages(&certificate),
        extended_key_usages: extended_key_usages(&certificate),
    })
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA_{}", key.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 => "EC_prime256v1".to_owned(),
            384 => "EC_secp384r1".to_owned(),
            _ => "EC_secp521r1".to_owned(),
        },
        _ => String::new(),
    }
}

fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    let known = [
        ("1.2.840.113549.1.1.5", "SHA1WITHRSA"),
        ("1.2.840.113549.1.1.11", "SHA256WITHRSA"),
        ("1.2.840.113549.1.1.12", "SHA384WITHRSA"),
        ("1.2.840.113549.1.1.13", "SHA512WITHRSA"),
        ("1.2.840.10045.4.3.2", "SHA256WITHECDSA"),
        ("1.2.840.10045.4.3.3", "SHA384WITHECDSA"),
        ("1.2.840.10045.4.3.4", "SHA512WITHECDSA"),
    ];
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    known.iter().find(|(id, _)| *id == oid).map_or(oid, |(_, name)| (*name).to_owned())
}

fn key_usages(certificate: &X509Certificate<'_>) -> Vec<&'static str> {
    let Ok(Some(extension)) = certificate.key_usage() else { return vec!["ANY"] };
    let usage = extension.value;
    let all = [
        (usage.digital_signature(), "DIGITAL_SIGNATURE"),
        (usage.non_repudiation(), "NON_REPUDIATION"),
        (usage.key_encipherment(), "KEY_ENCIPHERMENT"),
        (usage.data_encipherment(), "DATA_ENCIPHERMENT"),
        (usage.key_agreement(), "KEY_AGREEMENT"),
        (usage.key_cert_sign(), "CERTIFICATE_SIGNING"),
        (usage.crl_sign(), "CRL_SIGNING"),
    ];
    all.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
}

fn extended_key_usages(certificate: &X509Certificate<'_>) -> Vec<(&'static str, &'static str)> {
    let Ok(Some(extension)) = certificate.extended_key_usage() else { return vec![("NONE", "")] };
    let usage = extension.value;
    let all = [
        (usage.server_auth, "TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, "TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, "CODE_SIGNING", "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, "EMAIL_PROTECTION", "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, "TIME_STAMPING", "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, "OCSP_SIGNING", "1.3.6.1.5.5.7.3.9"),
    ];
    all.into_iter().filter_map(|(set, name, oid)| set.then_some((name, oid))).collect()
}

/// Issues a certificate for names, with a chain that ends in an authority of its own, as Amazon's does in Amazon's.
///
/// It is valid from the beginning of the day of `now` on, for as long as Amazon's are (198 days, ACM user guide).
pub(crate) fn issue(names: &[String], key_algorithm: &str, now: Timestamp) -> Result<Bundle, rcgen::Error> {
    let day = |days: i64| {
        let date = later(now, SignedDuration::from_hours(days.saturating_mul(24))).to_zoned(TimeZone::UTC).date();
        // Months and days of a calendar are small and positive.
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let (from, until) = (day(0), day(VALID_DAYS));
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, "US");
    subject.push(DnType::OrganizationName, "Amazon");
    subject.push(DnType::CommonName, "Amazon (emulated)");
    authority.distinguished_name = subject;
    (authority.not_before, authority.not_after) = (from, until);
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(names.to_vec())?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, names.first().map(String::as_str).unwrap_or_default());
    server.distinguished_name = subject;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    server.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    (server.not_before, server.not_after) = (from, until);
    let key = generate(key_algorithm)?;
    let certificate = server.signed_by(&key, &issuer)?;
    let chain =
        [certificate.der(), authority_certificate.der()].into_iter().map(|der| to_pem("CERTIFICATE", der)).collect::<String>();
    let facts = facts(&chain).ok_or(rcgen::Error::CouldNotParseCertificate)?;
    Ok(Bundle { chain, key: to_pem("PRIVATE KEY", key.serialized_der()), facts })
}

fn generate(key_algorithm: &str) -> Result<KeyPair, rcgen::Error> {
    let curve: &'static SignatureAlgorithm = match key_algorithm {
        "EC_prime256v1" => &rcgen::PKCS_ECDSA_P256_SHA256,
        "EC_secp384r1" => &rcgen::PKCS_ECDSA_P384_SHA384,
        _ => return KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
    };
    KeyPair::generate_for(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(key_algorithm: &str) -> Bundle {
        issue(&["www.example.com".to_owned(), "*.example.com".to_owned()], key_algorithm, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_is_issued_can_be_read_and_says_what_it_should() {
        for (algorithm, signature) in [("EC_prime256v1", "SHA256WITHECDSA"), ("EC_secp384r1", "SHA256WITHECDSA")] {
            let made = issued(algorithm);
            let (certificate, issuers) = split(&made.chain);
            let read = read(certificate, issuers, &made.key).unwrap();
            assert_eq!((&read.chain, &read.key, &read.facts), (&made.chain, &made.key, &made.facts));
            let facts = read.facts;
            assert_eq!((facts.domain.as_str(), facts.names.len()), ("www.example.com", 2));
            assert_eq!((facts.key_algorithm.as_str(), facts.signature_algorithm.as_str()), (algorithm, signature));
            assert_eq!((facts.issuer.as_str(), facts.not_before, facts.not_after), ("Amazon", 0, VALID_DAYS * 86_400));
            assert_eq!(facts.extended_key_usages, [("TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1")]);
        }
        assert_eq!(issued("RSA_2048").facts.key_algorithm, "RSA_2048");
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (one, other) = (issued("EC_prime256v1"), issued("EC_prime256v1"));
        let (certificate, issuers) = split(&one.chain);
        let refused = |certificate: &str, chain: &str, key: &str| read(certificate, chain, key).map(|_| ()).unwrap_err();
        assert_eq!(refused(certificate, issuers, &other.key), Unusable::Mismatch);
        assert_eq!(refused(&one.chain, "", &one.key), Unusable::SeveralCertificates);
        assert!(matches!(refused(certificate, certificate, &one.key), Unusable::Order { .. }));
        assert!(matches!(refused("none", "", &one.key), Unusable::Certificate(_)));
        assert!(matches!(refused(certificate, "none", &one.key), Unusable::Chain(_)));
        assert!(matches!(refused(certificate, "", "none"), Unusable::Key(_)));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refused(broken, "", &one.key), Unusable::Certificate(_)));
    }
}
