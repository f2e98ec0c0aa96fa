//! What the names of load balancers resolve to.
//!
//! Imports `model`, `shared`; `dns.rs` carries questions and answers. A zone without a healthy target is withdrawn, unless no zone has one
//! (NLB user guide, "DNS failover").

use std::net::IpAddr;

use jiff::Timestamp;

use crate::dns::Answer;
use crate::model::State;
use crate::model::balancing::{Health, LoadBalancer, TargetGroup, Zone};
use crate::shared::Shared;

/// The addresses of a name, given in lower case without the trailing dot: a load balancer's own (`NAME-ID.elb.REGION.amazonaws.com`) or
/// that of one of its zones (`ZONE.NAME-ID.elb.…`).
pub(crate) fn lookup(shared: &Shared, name: &str) -> Answer {
    for state in shared.accounts() {
        if let Some(addresses) = shared.with(&state, |state, now, _| addresses(state, now, name)) {
            return Answer::Addresses(addresses);
        }
    }
    Answer::NoSuchName
}

fn addresses(state: &State, now: Timestamp, name: &str) -> Option<Vec<IpAddr>> {
    let matching = |balancer: &LoadBalancer| -> Option<Option<String>> {
        let own = balancer.dns_name.to_ascii_lowercase();
        if name == own {
            return Some(None);
        }
        let zone = name.strip_suffix(&own)?.strip_suffix('.')?;
        balancer.zones.contains_key(zone).then(|| Some(zone.to_owned()))
    };
    let (balancer, zone) = state.balancing.load_balancers.values().find_map(|balancer| Some((balancer, matching(balancer)?)))?;
    // Until its name has spread, a load balancer is as unknown as one that does not exist.
    if !balancer.serving || balancer.resolvable > now {
        return None;
    }
    if let Some(zone) = zone {
        return Some(balancer.zones.get(&zone).into_iter().flat_map(Zone::addresses).collect());
    }
    let groups: Vec<&TargetGroup> =
        state.groups_of(&balancer.arn).iter().filter_map(|arn| state.balancing.target_groups.get(arn)).collect();
    let mut healthy: Vec<IpAddr> = Vec::new();
    for (zone, place) in &balancer.zones {
        if groups.iter().all(|group| is_served(group, balancer, zone)) {
            healthy.extend(place.addresses());
        }
    }
    if healthy.is_empty() {
        healthy = balancer.zones.values().flat_map(Zone::addresses).collect();
    }
    Some(healthy)
}

/// Whether a group has enough healthy targets for a zone (`target_group_health.dns_failover.*`).
fn is_served(group: &TargetGroup, balancer: &LoadBalancer, zone: &str) -> bool {
    let crosses = group.crosses_zones(balancer);
    let reachable = group
        .targets
        .values()
        .filter(|target| target.in_use() && (crosses || target.zone.as_deref().is_none_or(|own| own == zone)));
    let (mut all, mut healthy) = (0u64, 0u64);
    for target in reachable {
        all += 1;
        healthy += u64::from(target.health == Health::Healthy);
    }
    let minimum =
        |key: &str| group.attribute(&format!("target_group_health.dns_failover.minimum_healthy_targets.{key}")).parse::<u64>();
    minimum("count").map_or(true, |count| healthy >= count)
        && minimum("percentage").map_or(true, |percentage| all > 0 && healthy * 100 >= percentage * all)
}
