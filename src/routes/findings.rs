//! What compiling has to tell about the objects it was made from: one stable code each, and where it belongs.
//!
//! A finding never stops the table: whoever wrote the object learns of it, and everybody else is served.

use std::fmt;

macro_rules! codes {
    ($($name:ident = $text:literal: $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $text;)*

        /// Every code of a [`Finding`], with its meaning, in alphabetical order; anchors in `docs/reference/errors.md`.
        pub const CODES: &[(&str, &str)] = &[$(($text, $doc),)*];
    };
}

codes! {
    ANNOTATION_REFUSED = "AnnotationRefused": "An annotation asks for protection that this version does not give, and the paths of the Ingress answer 503; or for a canary, and it is left out.";
    ANNOTATION_VALUE_IGNORED = "AnnotationValueIgnored": "The value of an annotation is not one of those allowed: the default is used.";
    ANNOTATIONS_NOT_SUPPORTED = "AnnotationsNotSupported": "Annotations that this version does not know or support: the Ingress is served without them.";
    BACKEND_PORT_MISSING = "BackendPortMissing": "A rule names a port that its Service does not have: 503.";
    BACKEND_REFUSED = "BackendRefused": "A rule leads to an ExternalName Service that may not be used: 503.";
    BACKEND_RESOURCE = "BackendResource": "A rule leads to a resource instead of a Service: it is left out.";
    BACKEND_SERVICE_MISSING = "BackendServiceMissing": "A rule names a Service that does not exist: 503.";
    CATCH_ALL_DISABLED = "CatchAllDisabled": "The Ingress has a default backend, which `--disable-catch-all` forbids: it is not served.";
    CERTIFICATE_EXPIRED = "CertificateExpired": "A certificate is no longer valid, or not yet: it is sent all the same.";
    CERTIFICATE_HOST_MISMATCH = "CertificateHostMismatch": "The certificate of a host does not cover its name: the default certificate is sent.";
    CERTIFICATE_INVALID = "CertificateInvalid": "A Secret holds no usable certificate and key: the default certificate is sent.";
    CERTIFICATE_SECRET_MISSING = "CertificateSecretMissing": "A Secret with a certificate does not exist: the default certificate is sent.";
    HOST_INVALID = "HostInvalid": "The host of a rule is no DNS name or one-label wildcard: the rule is left out.";
    INGRESS_CLASS_MISSING = "IngressClassMissing": "The Ingress names our class, and there is no IngressClass of that name and of our controller: it is not served.";
    OPTION_IGNORED = "OptionIgnored": "A key of the ConfigMap, or its value, is not known or not supported: the default is used.";
    OPTION_NOT_ENFORCED = "OptionNotEnforced": "A key of the ConfigMap asks for protection that this version does not give.";
    PATH_CONFLICT = "PathConflict": "Another Ingress has the same host, path and type, or decides what else of the host is answered, and comes first: this rule or default backend is left out.";
    PATH_INVALID = "PathInvalid": "A path cannot be matched, or not by its type: the Ingress is not served.";
    TLS_WITHOUT_HOST = "TlsWithoutHost": "The Ingress has a `tls` section, and a rule without host, for which only the default certificate is ever sent.";
}

/// How much is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is not served, or a part of it.
    Error,
    /// It is served, and not as it was asked for.
    Warning,
    /// It is served as it was asked for, and somebody should know something.
    Notice,
}

impl Severity {
    /// Value of the metrics' label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// Name of a namespaced object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key of these two.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    #[must_use]
    pub fn of(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Self {
        Self::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Reads `NAMESPACE/NAME`, as ingress-nginx's flags have it.
impl std::str::FromStr for ObjectKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err("not the name of an object; give NAMESPACE/NAME".to_owned()),
        }
    }
}

/// Kinds of objects that findings are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Kind {
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `v1`, that of `--default-ssl-certificate`.
    Secret,
    /// `v1`, that of `--default-backend-service`.
    Service,
    /// `v1`, that of `--configmap`.
    ConfigMap,
}

/// Something to tell about an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Finding {
    /// Kind of the object.
    pub kind: Kind,
    /// Its name.
    pub object: ObjectKey,
    /// One of [`CODES`].
    pub code: &'static str,
    /// How much is lost.
    pub severity: Severity,
    /// What is wrong, what happens, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}: {}", self.kind, self.object, self.code, self.message)
    }
}

/// Collects the findings of one object, each once.
#[derive(Debug)]
pub(super) struct Findings {
    kind: Kind,
    object: ObjectKey,
    found: Vec<Finding>,
}

impl Findings {
    pub(super) fn of(kind: Kind, object: ObjectKey) -> Self {
        Self { kind, object, found: Vec::new() }
    }

    pub(super) fn error(&mut self, code: &'static str, message: String) {
        self.add(code, Severity::Error, message);
    }

    pub(super) fn warning(&mut self, code: &'static str, message: String) {
        self.add(code, Severity::Warning, message);
    }

    pub(super) fn add(&mut self, code: &'static str, severity: Severity, message: String) {
        let finding = Finding { kind: self.kind, object: self.object.clone(), code, severity, message };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    pub(super) fn into_inner(self) -> Vec<Finding> {
        self.found
    }
}

/// How much of a user's text is repeated in a message: an annotation can have 256 KiB.
const QUOTED: usize = 80;

/// Quotes a user's text, cut if it is long.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_unique_and_in_the_reference() {
        let page = include_str!("../../docs/reference/errors.md");
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (code, meaning) in CODES {
            let row = format!("| <a id=\"{code}\"></a>`{code}` | {meaning} |");
            assert!(page.contains(&row), "docs/reference/errors.md should contain a row that begins: {row}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        assert_eq!("a/b".parse(), Ok(ObjectKey::new("a", "b")));
        for wrong in ["a", "/b", "a/", "a/b/c", ""] {
            assert!(wrong.parse::<ObjectKey>().is_err(), "{wrong}");
        }
    }
}
