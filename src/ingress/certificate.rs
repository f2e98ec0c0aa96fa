//! The certificate for server names that nobody has one for: self-signed, made when the process starts.
//!
//! Subject and name are those of ingress-nginx's, which tests and monitors look for. Neighbour: `routes::certificates` reads
//! those of Secrets.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

/// No certificate could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a self-signed certificate: {0}")]
pub struct CertificateError(String);

/// Makes one.
///
/// # Errors
/// The operating system gives no randomness.
pub fn self_signed() -> Result<Arc<CertifiedKey>, CertificateError> {
    let failed = |problem: &dyn std::fmt::Display| CertificateError(problem.to_string());
    let mut parameters = CertificateParams::new(["ingress.local".to_owned()]).map_err(|problem| failed(&problem))?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Acme Co");
    subject.push(DnType::CommonName, "Kubernetes Ingress Controller Fake Certificate");
    parameters.distinguished_name = subject;
    let key = KeyPair::generate().map_err(|problem| failed(&problem))?;
    let certificate = parameters.self_signed(&key).map_err(|problem| failed(&problem))?;
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).map_err(|problem| failed(&problem))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_key_of_its_own() {
        let (one, other) = (self_signed().unwrap(), self_signed().unwrap());
        assert!(one.keys_match().is_ok() && other.keys_match().is_ok());
        assert_ne!(one.cert, other.cert);
    }
}
