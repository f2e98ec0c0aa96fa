//! Server certificates, as TLS listeners refer to them: those of ACM, which belong to a region, and those of IAM, which all regions of an
//! account have in common.
//!
//! Plain data. Put here by the APIs of ACM and IAM, named by listeners (`elbv2/`), shown to clients by the data plane. Which listeners use a
//! certificate is not written down but asked for: the listeners know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{State, Tags};

/// A certificate with its private key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// `arn:aws:acm:REGION:ACCOUNT:certificate/UUID` or `arn:aws:iam::ACCOUNT:server-certificate/PATH/NAME`.
    pub(crate) arn: String,
    /// The name that it was issued for.
    pub(crate) domain: String,
    /// PEM: the server's certificate first, then its issuers.
    pub(crate) chain: String,
    /// PEM: the private key.
    pub(crate) key: PrivateKey,
    /// Where it comes from.
    pub(crate) origin: Origin,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// Brought by a user, to ACM.
    Imported,
    /// Asked of ACM.
    Requested(Request),
    /// Brought by a user, to IAM.
    Uploaded(Upload),
}

/// How a certificate was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// All names, the certificate's domain first.
    pub(crate) names: Vec<String>,
    pub(crate) by_email: bool,
    /// The client's token; the same one within an hour asks for nothing new.
    pub(crate) token: Option<String>,
    /// Not before then is it issued and can be used.
    pub(crate) issued: Timestamp,
}

/// What IAM knows of a certificate besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// `ASCA…`.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

/// A private key in PEM, which shows itself to nobody that logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct PrivateKey(String);

impl PrivateKey {
    pub(crate) fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.0
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.pem())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(…)")
    }
}

/// IAM's server certificates of one account, which all of its regions share.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerCertificates(Arc<Mutex<Uploads>>);

/// What the regions share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uploads {
    /// By ARN.
    pub(crate) certificates: BTreeMap<String, Certificate>,
    /// Region → certificate → the load balancers there that have a listener with it.
    pub(crate) users: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl ServerCertificates {
    /// Locked for a moment, while one region's state is locked and never the other way round.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Uploads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy that nobody shares.
    pub(crate) fn detached(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }
}

impl State {
    /// A certificate that a listener may have: it is there, of ACM or IAM, and issued.
    pub(crate) fn certificate(&self, arn: &str, now: Timestamp) -> Option<Certificate> {
        let own = self.certificates.get(arn).cloned();
        own.or_else(|| self.server_certificates.lock().certificates.get(arn).cloned()).filter(|found| found.issued(now))
    }

    /// The ARNs of the load balancers that have a listener with this certificate.
    pub(crate) fn certificate_users(&self, arn: &str) -> BTreeSet<&str> {
        let listeners = self.balancing.listeners.values();
        let users =
            listeners.filter(|listener| listener.tls.as_ref().is_some_and(|tls| tls.all_certificates().any(|own| own == arn)));
        users.map(|listener| listener.load_balancer.as_str()).collect()
    }

    /// Tells the other regions of the account which of IAM's certificates are in use here.
    pub(crate) fn share_certificate_uses(&self) {
        let mut uploads = self.server_certificates.lock();
        let mut users = BTreeMap::new();
        for arn in uploads.certificates.keys() {
            let here: BTreeSet<String> = self.certificate_users(arn).into_iter().map(str::to_owned).collect();
            if !here.is_empty() {
                users.insert(arn.clone(), here);
            }
        }
        uploads.users.insert(self.place.region.clone(), users);
    }
}

impl Certificate {
    /// Whether it can be used, which takes its time after a request.
    pub(crate) fn issued(&self, now: Timestamp) -> bool {
        match &self.origin {
            Origin::Requested(request) => request.issued <= now,
            Origin::Imported | Origin::Uploaded(_) => true,
        }
    }
}
