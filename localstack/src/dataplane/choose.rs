//! Which target a new flow goes to: first a group by weight, then a target by hash, as a network load balancer does it.
//!
//! Pure, imports `firewall`'s `Transport` only. `routes.rs` describes the groups, `forward/` keeps each flow with the target it got.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use super::forward::{Pool, PoolTarget};
use crate::firewall::Transport;

/// A flow as its first packet shows it. The destination is the listener's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) transport: Transport,
    pub(crate) client: SocketAddr,
    pub(crate) listener: SocketAddr,
}

impl Flow {
    /// All five parts of a flow's name; three for clients that stick to their target.
    fn hash(&self, sticky: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.transport, self.client.ip(), self.listener.ip()).hash(&mut hasher);
        if !sticky {
            (self.client.port(), self.listener.port()).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The choice among a listener's groups, prepared once for any number of flows.
#[derive(Debug)]
pub(crate) struct Choice {
    groups: Vec<Group>,
    total_weight: u64,
    /// Whether a client stays with its group.
    sticky: bool,
}

#[derive(Debug)]
struct Group {
    weight: u64,
    sticky: bool,
    /// A number for each target, and its place in the pool.
    candidates: Vec<(u64, usize)>,
}

impl Choice {
    /// `sticky`: a client's flows go to one and the same group.
    pub(crate) fn new(pools: &[Pool], sticky: bool) -> Self {
        let groups: Vec<Group> = pools.iter().map(Group::new).collect();
        Self { total_weight: groups.iter().map(|group| group.weight).sum(), groups, sticky }
    }

    /// The places of the flow's group and target; the same for the same flow and the same groups. `None` when nobody is there: a group
    /// that is chosen and has nobody is not replaced by another one.
    pub(crate) fn of(&self, flow: &Flow) -> Option<(usize, usize)> {
        let mut point = mix(flow.hash(self.sticky)).checked_rem(self.total_weight)?;
        let chosen = self.groups.iter().position(|group| {
            let here = point < group.weight;
            point = point.saturating_sub(group.weight);
            here
        })?;
        let target = self.groups.get(chosen)?.target(flow)?;
        Some((chosen, target))
    }
}

impl Group {
    fn new(pool: &Pool) -> Self {
        let open = || pool.targets.iter().enumerate().filter(|(_, target)| !target.draining);
        let (all, healthy) = (open().count(), open().filter(|(_, target)| target.healthy).count());
        let enough = pool.minimum.is_met(healthy, all);
        let chosen = open().filter(|(_, target)| target.healthy || !enough);
        let candidates = chosen.map(|(place, target)| (number(target), place)).collect();
        Self { weight: u64::from(pool.weight), sticky: pool.sticky, candidates }
    }

    /// The candidate whose number together with the flow's gives the most: when targets come or go, only the flows of those change.
    fn target(&self, flow: &Flow) -> Option<usize> {
        let flow = flow.hash(self.sticky);
        self.candidates.iter().max_by_key(|(number, _)| mix(flow ^ number)).map(|(_, place)| *place)
    }
}

/// How many healthy targets a zone has to have, for the unhealthy ones to get nothing
/// (`target_group_health.unhealthy_state_routing.minimum_healthy_targets`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Minimum {
    pub(crate) count: usize,
    /// Of all targets; 0: does not matter.
    pub(crate) percentage: usize,
}

impl Default for Minimum {
    fn default() -> Self {
        Self { count: 1, percentage: 0 }
    }
}

impl Minimum {
    fn is_met(self, healthy: usize, all: usize) -> bool {
        healthy >= self.count && healthy.saturating_mul(100) >= self.percentage.saturating_mul(all)
    }
}

fn number(target: &PoolTarget) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.address.hash(&mut hasher);
    hasher.finish()
}

/// The output function of splitmix64: each bit of the result depends on every bit of the input.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
