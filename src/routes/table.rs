//! The route table: an immutable value, complete before anybody sees it, published whole through an `ArcSwap`.
//!
//! Its three large parts are shared with the table before, so that a change of endpoints does not copy the routes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::options::{GlobalOptions, HostOptions, RouteOptions};

/// Everything the data plane needs to know to answer a request.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Counts publications; larger is newer.
    pub generation: u64,
    /// Hosts and their paths.
    pub hosts: Arc<Hosts>,
    /// Where requests go; routes refer to them by index.
    pub backends: Arc<[Arc<Backend>]>,
    /// Certificates by server name.
    pub certificates: Arc<Certificates>,
    /// `--default-backend-service`: answers what no rule matches; the built-in 404 page where there is none.
    pub default_backend: Option<BackendIndex>,
    /// Settings of the whole data plane.
    pub global: Arc<GlobalOptions>,
}

impl RouteTable {
    /// The backend at an index of this table.
    #[must_use]
    pub fn backend(&self, index: BackendIndex) -> Option<&Arc<Backend>> {
        self.backends.get(index.0 as usize)
    }
}

/// Index in [`RouteTable::backends`]. A Service's port keeps its index from table to table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendIndex(pub u32);

/// Hosts by name. Precedence: exact, then wildcard of one label, then `_`; there is no fall-through between hosts.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Lower-case, without port and trailing dot.
    pub exact: HashMap<Box<str>, Arc<Host>>,
    /// By what follows `*.`: `example.com` for `*.example.com`.
    pub wildcard: HashMap<Box<str>, Arc<Host>>,
    /// `_`: what no other host takes.
    pub default: Arc<Host>,
}

/// One host (nginx: server).
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// `a.example.com`, `*.example.com` or `_`.
    pub name: Box<str>,
    /// Settings of the host.
    pub options: HostOptions,
    /// Its paths, as `lookup` wants them.
    pub paths: super::lookup::Paths,
}

/// Where a rule leads, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Namespace of Ingress and Service.
    pub namespace: Box<str>,
    /// Name of the Ingress.
    pub ingress: Box<str>,
    /// Path as the rule spells it.
    pub path: Box<str>,
    /// Its type.
    pub path_type: PathType,
    /// Name of the Service.
    pub service: Box<str>,
    /// Port of the Service as the rule spells it: a number or a name.
    pub service_port: Box<str>,
    /// None when the Service or its port does not exist, or the Ingress asks for protection that is not supported: 503.
    pub backend: Option<BackendIndex>,
    /// Settings.
    pub options: Arc<RouteOptions>,
}

/// `pathType` of a rule; the smaller wins where two rules with the same path match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum PathType {
    /// The whole path, byte for byte.
    Exact,
    /// Element by element.
    Prefix,
    /// Up to the class: served as Prefix (ADR 13), and takes more characters.
    ImplementationSpecific,
}

/// A Service's port and those who serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Namespace of the Service.
    pub namespace: Box<str>,
    /// Name of the Service.
    pub service: Box<str>,
    /// Port number, or name where the rule names it.
    pub port: Box<str>,
    /// Who serves it; none: 503.
    pub endpoints: Endpoints,
}

/// Who serves a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// Addresses that take new requests: the ready ones; else those that serve while they terminate.
    Addresses(Box<[SocketAddr]>),
    /// An ExternalName Service: resolved by whoever connects.
    Name {
        /// DNS name, without trailing dot.
        host: Box<str>,
        /// Port of the rule.
        port: u16,
    },
}

/// What is sent to clients that ask for a server name.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// By exact name, lower-case, and by `*.suffix`.
    pub by_name: HashMap<Box<str>, Arc<rustls::sign::CertifiedKey>>,
    /// For no or an unknown name (`--default-ssl-certificate`, or a self-signed one).
    pub default: Arc<rustls::sign::CertifiedKey>,
}

impl Endpoints {
    /// Whether an ExternalName must not lead to this address: the machine itself, or its link, where clouds serve credentials.
    /// Whoever may write a Service would reach there through the proxy, and with the proxy's rights. EndpointSlices may not hold
    /// such addresses either. (ingress-nginx refuses loopback only, and only if it is written in the Service.)
    #[must_use]
    pub fn is_forbidden(address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                v4.is_loopback() || v4.is_unspecified() || v4.is_link_local() || v4.is_broadcast() || v4.is_multicast()
            }
            IpAddr::V6(v6) => {
                // fd00:ec2::/32: instance metadata, credentials and DNS of AWS.
                let of_the_cloud = v6.segments().first_chunk() == Some(&[0xfd00, 0xec2]);
                v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast() || of_the_cloud
            }
        }
    }
}

impl std::fmt::Display for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Addresses(addresses) if addresses.is_empty() => f.write_str("no endpoint"),
            Self::Addresses(addresses) => {
                let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(", "))
            }
            Self::Name { host, port } => write!(f, "{host}:{port}, by DNS"),
        }
    }
}

impl Certificates {
    /// The certificate for a server name (SNI; any case, trailing dot allowed), the default one for none or an unknown one.
    #[must_use]
    pub fn resolve(&self, server_name: Option<&str>) -> &Arc<rustls::sign::CertifiedKey> {
        let Some(name) = server_name else { return &self.default };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let exact = self.by_name.get(name.as_str());
        let wildcard = || self.by_name.get(format!("*.{}", name.split_once('.')?.1).as_str());
        exact.or_else(wildcard).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_names_do_not_lead_to_this_machine_or_its_link() {
        for forbidden in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "169.254.170.23",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert!(Endpoints::is_forbidden(forbidden.parse().unwrap()), "{forbidden}");
        }
        for allowed in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00:1::1"] {
            assert!(!Endpoints::is_forbidden(allowed.parse().unwrap()), "{allowed}");
        }
    }
}
