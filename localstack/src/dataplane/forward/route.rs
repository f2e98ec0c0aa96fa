//! What a listener knows at one time: its spec, the choice among its targets, and how to cut flows.
//!
//! Imports its parent's specs and `choose`. A flow keeps nothing of a route but the token that cuts it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::{ListenerSpec, Pool, PoolTarget};
use crate::dataplane::choose::{Choice, Flow};
use crate::tls;

#[derive(Debug)]
pub(super) struct Route {
    pub(super) spec: ListenerSpec,
    choice: Choice,
    tls: Option<ServerTls>,
    /// By pool and target, as in `spec`: cancelled to cut the flows to it.
    cuts: Vec<Vec<CancellationToken>>,
}

/// A listener's TLS; `None` when its certificates cannot be used: then it is open, and no handshake succeeds.
type ServerTls = Option<Arc<ServerConfig>>;

/// Where a flow goes.
pub(super) struct Chosen<'a> {
    pub(super) pool: &'a Pool,
    pub(super) target: &'a PoolTarget,
    /// Cancelled when the flow has to end.
    pub(super) cut: &'a CancellationToken,
}

impl Route {
    pub(super) fn new(spec: ListenerSpec) -> Self {
        let tls = spec.tls.as_ref().map(|settings| {
            let config = tls::for_clients(settings);
            config.inspect_err(|error| tracing::warn!(listener = spec.id, %error, "a TLS listener cannot serve")).ok()
        });
        Self::with_tls(spec, tls)
    }

    fn with_tls(spec: ListenerSpec, tls: Option<ServerTls>) -> Self {
        let cuts = spec.pools.iter().map(|pool| pool.targets.iter().map(|_| CancellationToken::new()).collect()).collect();
        Self { choice: Choice::new(&spec.pools, spec.sticky), spec, tls, cuts }
    }

    /// The route of the changed `spec`; cuts what it wants to be cut.
    pub(super) fn followed_by(&self, spec: ListenerSpec) -> Self {
        // Sessions that clients may resume live in a configuration.
        let mut next = if spec.tls == self.spec.tls { Self::with_tls(spec, self.tls.clone()) } else { Self::new(spec) };
        let before: BTreeMap<(&str, SocketAddr), (&PoolTarget, &CancellationToken)> =
            self.targets().map(|(pool, target, cut)| ((pool.group.as_str(), target.address), (target, cut))).collect();
        let earlier = |pool: &Pool, target: &PoolTarget| before.get(&(pool.group.as_str(), target.address)).copied();
        for (pool, target, _) in next.targets() {
            if let Some((_, cut)) = earlier(pool, target).filter(|(before, _)| target.terminate && !before.terminate) {
                cut.cancel();
            }
        }
        // Only now: a target that was registered again is in the pool twice, once to be cut and once to be used.
        for (pool, cuts) in next.spec.pools.iter().zip(&mut next.cuts) {
            for (target, own) in pool.targets.iter().zip(cuts) {
                if let Some((_, cut)) = earlier(pool, target).filter(|(_, cut)| !cut.is_cancelled()) {
                    own.clone_from(cut);
                }
            }
        }
        next
    }

    fn targets(&self) -> impl Iterator<Item = (&Pool, &PoolTarget, &CancellationToken)> {
        let pools = self.spec.pools.iter().zip(&self.cuts);
        pools.flat_map(|(pool, cuts)| pool.targets.iter().zip(cuts).map(move |(target, cut)| (pool, target, cut)))
    }

    /// `None`: the listener does not speak TLS.
    pub(super) fn tls(&self) -> Option<Option<&Arc<ServerConfig>>> {
        self.tls.as_ref().map(Option::as_ref)
    }

    /// The target of a new flow.
    pub(super) fn choose(&self, flow: &Flow) -> Option<Chosen<'_>> {
        let (pool, target) = self.choice.of(flow)?;
        let cut = self.cuts.get(pool)?.get(target)?;
        let pool = self.spec.pools.get(pool)?;
        Some(Chosen { pool, target: pool.targets.get(target)?, cut })
    }
}
