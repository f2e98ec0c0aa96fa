//! What the page shows: load balancers with what hangs on them, target groups with counts instead of targets, the network. Bounded, however
//! much there is.
//!
//! Imports `summary`, `model`. Served by `server/console.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::summary::{self, ListenerSummary, LoadBalancerSummary, TargetSummary};
use crate::model::State;

/// An account in a region at one moment, cut to what a person can look at.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    vpcs: Vec<Vpc>,
    load_balancers: Listing<LoadBalancerSummary>,
    /// Those of the load balancers shown.
    listeners: Vec<ListenerSummary>,
    /// Those of the listeners shown, and those without a listener.
    target_groups: Listing<Group>,
}

/// The first of many.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<T> {
    /// How many there are.
    total: usize,
    shown: Vec<T>,
}

impl<T> Listing<T> {
    fn first(limit: usize, mut all: Vec<T>) -> Self {
        let total = all.len();
        all.truncate(limit);
        Self { total, shown: all }
    }
}

#[derive(Debug, Serialize)]
struct Vpc {
    id: String,
    name: Option<String>,
    cidrs: Vec<String>,
    subnets: Vec<Subnet>,
}

#[derive(Debug, Serialize)]
struct Subnet {
    id: String,
    name: Option<String>,
    zone: String,
    cidr: String,
    free_addresses: u32,
}

#[derive(Debug, Serialize)]
struct Group {
    arn: String,
    name: String,
    protocol: String,
    port: u16,
    target_type: String,
    /// `HTTP :traffic-port /healthz`.
    check: String,
    load_balancer: Option<String>,
    /// Number of targets by state.
    states: BTreeMap<String, usize>,
}

/// `matching`: only load balancers and target groups whose name has this in it.
pub(super) fn overview(state: &State, matching: &str, limit: usize) -> Overview {
    let balancers = summary::load_balancers(state).into_iter().filter(|balancer| balancer.name.contains(matching)).collect();
    let load_balancers = Listing::first(limit, balancers);
    let shown: BTreeSet<&str> = load_balancers.shown.iter().map(|balancer| balancer.arn.as_str()).collect();
    let listeners: Vec<_> =
        summary::listeners(state).into_iter().filter(|listener| shown.contains(listener.load_balancer.as_str())).collect();
    let groups = summary::target_groups(state).into_iter().filter(|group| match &group.load_balancer {
        Some(balancer) => shown.contains(balancer.as_str()),
        None => group.name.contains(matching),
    });
    let groups = groups.map(|group| {
        let mut states = BTreeMap::new();
        for target in summary::targets(state, &group.arn) {
            *states.entry(target.state).or_default() += 1;
        }
        let path = group.health_check_path.unwrap_or_default();
        Group {
            check: format!("{} :{} {path}", group.health_check_protocol, group.health_check_port).trim_end().to_owned(),
            arn: group.arn,
            name: group.name,
            protocol: group.protocol,
            port: group.port,
            target_type: group.target_type,
            load_balancer: group.load_balancer,
            states,
        }
    });
    // A load balancer has at most as many groups as listeners, so that this limit cuts off none of a shown one in practice.
    let target_groups = Listing::first(limit.saturating_mul(5), groups.collect());
    Overview { vpcs: vpcs(state), load_balancers, listeners, target_groups }
}

/// The first targets of a group.
pub(super) fn targets(state: &State, group: &str, limit: usize) -> Listing<TargetSummary> {
    Listing::first(limit, summary::targets(state, group))
}

fn vpcs(state: &State) -> Vec<Vpc> {
    let network = &state.network;
    let subnets = |vpc: &str| {
        let mut subnets: Vec<_> = network.subnets.values().filter(|subnet| subnet.vpc_id == vpc).collect();
        subnets.sort_by_key(|subnet| (&subnet.zone, subnet.cidr));
        let show = |subnet: &crate::model::network::Subnet| Subnet {
            id: subnet.id.clone(),
            name: subnet.tags.get("Name").cloned(),
            zone: subnet.zone.clone(),
            cidr: subnet.cidr.to_string(),
            free_addresses: subnet.free_addresses(),
        };
        subnets.into_iter().map(show).collect()
    };
    let show = |vpc: &crate::model::network::Vpc| Vpc {
        id: vpc.id.clone(),
        name: vpc.tags.get("Name").cloned(),
        cidrs: vpc.cidrs.iter().map(ToString::to_string).collect(),
        subnets: subnets(&vpc.id),
    };
    network.vpcs.values().map(show).collect()
}
