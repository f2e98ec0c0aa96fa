//! From state to sockets: which listeners have to be open on which addresses, with which targets behind them.
//!
//! One task for the whole emulator, which looks again whenever a route may have changed. Imports `model`, `shared`; the sockets are
//! `dataplane/forward.rs`. TCP only: of a TCP_UDP listener the TCP half; TLS and UDP listeners exist in the API alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::State;
use crate::model::balancing::{Health, Listener, LoadBalancer, Protocol, TargetGroup, TargetKey};
use crate::shared::Shared;
use forward::{Forwarder, ListenerSpec, Pool, PoolTarget};

pub(crate) mod forward;

/// Runs until `shutdown`, then closes every socket.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let forwarder = Forwarder::new();
    let mut changes = shared.route_changes();
    let mut open: Vec<ListenerSpec> = Vec::new();
    // Sockets that could not be bound: said once, tried again at each look.
    let mut failed: BTreeSet<SocketAddr> = BTreeSet::new();
    loop {
        changes.mark_unchanged();
        let mut wanted = Vec::new();
        for state in shared.accounts() {
            wanted.extend(shared.with(&state, |state, _, _| listeners(state)));
        }
        if wanted != open || !failed.is_empty() {
            open.clone_from(&wanted);
            let errors = forwarder.apply(wanted).await;
            let now_failed: BTreeSet<SocketAddr> = errors.iter().map(|error| error.address).collect();
            for error in errors.iter().filter(|error| !failed.contains(&error.address)) {
                tracing::warn!(%error, "a listener has no socket");
            }
            failed = now_failed;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = changes.changed() => {}
        }
    }
    forwarder.apply(Vec::new()).await;
}

/// The listeners of an account that have to be open now. Takes the connections to be cut out of the state: they are told once.
fn listeners(state: &mut State) -> Vec<ListenerSpec> {
    let mut specs = Vec::new();
    for listener in state.balancing.listeners.values().filter(|listener| carries_tcp(listener.protocol)) {
        let Some(balancer) = state.balancing.load_balancers.get(&listener.load_balancer).filter(|balancer| balancer.serving)
        else {
            continue;
        };
        let Some(group) = state.balancing.target_groups.get(&listener.action.target_group) else { continue };
        specs.extend(on_every_zone(listener, balancer, &pool(group, balancer)));
    }
    for group in state.balancing.target_groups.values_mut() {
        group.cut.clear();
    }
    specs
}

fn carries_tcp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::TcpUdp)
}

fn on_every_zone<'a>(
    listener: &'a Listener,
    balancer: &'a LoadBalancer,
    pool: &'a Pool,
) -> impl Iterator<Item = ListenerSpec> + use<'a> {
    balancer.zones.iter().map(|(name, zone)| ListenerSpec {
        address: SocketAddr::new(IpAddr::V4(zone.address), listener.port),
        id: listener.arn.clone(),
        zone: name.clone(),
        pool: pool.clone(),
    })
}

fn pool(group: &TargetGroup, balancer: &LoadBalancer) -> Pool {
    let cut_unhealthy = group.attribute_is("target_health_state.unhealthy.connection_termination.enabled", "true");
    let target = |key: &TargetKey, target: &crate::model::balancing::Target| PoolTarget {
        address: SocketAddr::new(target.address, key.port),
        zone: target.zone.clone(),
        healthy: target.health == Health::Healthy,
        draining: target.draining,
        // Takes effect when it becomes true; a pool that fails open may use the target afterwards.
        terminate: cut_unhealthy && matches!(target.health, Health::Unhealthy { .. }),
    };
    let present = group.targets.iter().filter(|(_, target)| target.disuse.is_none()).map(|(key, value)| target(key, value));
    let gone = group.cut.iter().map(|&(address, port)| PoolTarget {
        address: SocketAddr::new(address, port),
        zone: None,
        healthy: false,
        draining: true,
        terminate: true,
    });
    Pool {
        targets: present.chain(gone).collect(),
        cross_zone: group.crosses_zones(balancer),
        proxy_protocol_v2: group.attribute_is("proxy_protocol_v2.enabled", "true"),
    }
}
