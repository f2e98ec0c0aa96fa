//! Which endpoint takes a request: round robin, from a random start, around those that failed a moment ago.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Instant;
use crate::routes::table::BackendIndex;

/// How long an endpoint is avoided that could not be connected to.
const AVOID: Duration = Duration::from_secs(2);

/// State of one worker's choices.
#[derive(Debug)]
pub(crate) struct Balance {
    /// Next endpoint, by backend. When a new table numbers its backends otherwise, these are starts as random as any.
    cursors: RefCell<Vec<usize>>,
    avoided: RefCell<HashMap<SocketAddr, Instant>>,
}

impl Balance {
    pub(crate) fn new() -> Self {
        Self { cursors: RefCell::default(), avoided: RefCell::default() }
    }

    /// The next of `endpoints` that was not tried yet.
    pub(crate) fn pick(
        &self,
        backend: BackendIndex,
        endpoints: &[SocketAddr],
        tried: &[SocketAddr],
        now: Instant,
    ) -> Option<SocketAddr> {
        let backend = usize::try_from(backend.0).unwrap_or(usize::MAX);
        let mut cursors = self.cursors.borrow_mut();
        while cursors.len() <= backend {
            cursors.push(fastrand::usize(..1 << 16));
        }
        let cursor = cursors.get_mut(backend)?;
        let count = endpoints.len();
        let at = |step: usize| endpoints.get((*cursor).wrapping_add(step) % count).copied();
        let untried = || (0..count).filter_map(|step| Some((step, at(step)?))).filter(|(_, it)| !tried.contains(it));
        let avoided = self.avoided.borrow();
        let good = |it: &SocketAddr| avoided.is_empty() || avoided.get(it).is_none_or(|until| *until <= now);
        // Where all have failed, one that has is better than none.
        let (step, picked) = untried().find(|(_, it)| good(it)).or_else(|| untried().next())?;
        *cursor = cursor.wrapping_add(step + 1);
        Some(picked)
    }

    /// `endpoint` could not be connected to.
    pub(crate) fn failed(&self, endpoint: SocketAddr, now: Instant) {
        self.avoided.borrow_mut().insert(endpoint, now + AVOID);
    }

    /// Forgets failures that are long past.
    pub(crate) fn expire(&self, now: Instant) {
        let mut avoided = self.avoided.borrow_mut();
        if !avoided.is_empty() {
            avoided.retain(|_, until| *until > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn endpoints(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| SocketAddr::from(([10, 0, 0, n], 80))).collect()
    }

    #[tokio::test]
    async fn every_endpoint_has_its_turn() {
        let (balance, all, now) = (Balance::new(), endpoints(3), clock::now());
        let mut seen: Vec<_> = (0..6).filter_map(|_| balance.pick(BackendIndex(4), &all, &[], now)).collect();
        assert_eq!(seen[..3], seen[3..], "round and round");
        seen.sort();
        seen.dedup();
        assert_eq!(seen, all);
        assert_eq!(balance.pick(BackendIndex(0), &[], &[], now), None);
    }

    #[tokio::test]
    async fn what_failed_is_avoided_for_a_moment_but_better_than_nothing() {
        let (balance, all, now) = (Balance::new(), endpoints(2), clock::now());
        balance.failed(all[0], now);
        for _ in 0..4 {
            assert_eq!(balance.pick(BackendIndex(0), &all, &[], now), Some(all[1]));
        }
        assert_eq!(balance.pick(BackendIndex(0), &all, &[all[1]], now), Some(all[0]));
        assert_eq!(balance.pick(BackendIndex(0), &all, &all, now), None, "tried all");
        let later = now + AVOID;
        balance.expire(later);
        let picks: Vec<_> = (0..2).filter_map(|_| balance.pick(BackendIndex(0), &all, &[], later)).collect();
        assert!(picks.contains(&all[0]));
    }
}
