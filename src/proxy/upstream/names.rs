//! Addresses of ExternalName Services, by the system's resolver, remembered for a moment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::routes::table::Endpoints;

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
            Ok(found) => found.filter(|address| self.allow_local || !Endpoints::is_forbidden(address.ip())).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_are_remembered_and_filtered() {
        let names = Names::new(false);
        assert!(names.resolve("localhost", 80).await.is_empty());
        assert_eq!(*names.resolve("192.0.2.7", 80).await, ["192.0.2.7:80".parse().unwrap()]);
        assert_eq!(names.known.borrow().len(), 2);
        assert!(!Names::new(true).resolve("localhost", 80).await.is_empty());
    }
}
