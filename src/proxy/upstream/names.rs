//! Addresses of ExternalName Services, by the system's resolver, remembered for a moment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{self, Instant};

/// How long an answer is remembered, bad ones too.
const TTL: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Names that are remembered at most; the rest is asked for each time.
const CAPACITY: usize = 1024;

/// What a worker knows of names.
#[derive(Debug)]
pub(crate) struct Names {
    /// Whether a name may lead to this machine: only in tests.
    allow_local: bool,
    known: RefCell<HashMap<(Box<str>, u16), Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Rc<[SocketAddr]>,
    until: Instant,
}

impl Names {
    pub(crate) fn new(allow_local: bool) -> Self {
        Self { allow_local, known: RefCell::default() }
    }

    /// Where `host` is to be found; nowhere if it does not resolve, or only to addresses that are refused.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Rc<[SocketAddr]> {
        let key = (Box::from(host), port);
        if let Some(known) = self.known.borrow().get(&key).filter(|known| known.until > clock::now()) {
            return Rc::clone(&known.addresses);
        }
        let addresses: Rc<[SocketAddr]> = match tokio::net::lookup_host((host, port)).await {
            Ok(found) => found.filter(|address| self.allow_local || !is_local(address.ip())).collect(),
            Err(error) => {
                tracing::debug!(host, %error, "an external name does not resolve");
                Rc::default()
            }
        };
        let now = clock::now();
        let mut known = self.known.borrow_mut();
        known.retain(|_, known| known.until > now);
        if known.len() < CAPACITY {
            known.insert(key, Known { addresses: Rc::clone(&addresses), until: now + TTL });
        }
        addresses
    }
}

/// This machine, or its link (where cloud credentials are served): whoever may write a Service must not reach it through
/// the proxy. EndpointSlices may not hold such addresses either.
fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_link_local() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => {
            // fd00:ec2::/32: instance metadata and DNS of AWS.
            let of_the_cloud = v6.segments().first_chunk() == Some(&[0xfd00, 0xec2]);
            v6 == Ipv6Addr::LOCALHOST || v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast() || of_the_cloud
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_link_are_refused() {
        for local in
            ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "::1", "::", "::ffff:127.0.0.1", "fe80::1", "fd00:ec2::254"]
        {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for remote in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00:1::1"] {
            assert!(!is_local(remote.parse().unwrap()), "{remote}");
        }
    }

    #[tokio::test]
    async fn answers_are_remembered_and_filtered() {
        let names = Names::new(false);
        assert!(names.resolve("localhost", 80).await.is_empty());
        assert_eq!(*names.resolve("192.0.2.7", 80).await, ["192.0.2.7:80".parse().unwrap()]);
        assert_eq!(names.known.borrow().len(), 2);
        assert!(!Names::new(true).resolve("localhost", 80).await.is_empty());
    }
}
