//! What there is to see in an account, as plain structs: for assertions, and for `GET /_landfall/state`.
//!
//! Imports `model`, read only; `region.rs` takes the lock and calls.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::elbv2;
use crate::model::State;
use crate::model::balancing::{Listener, LoadBalancer, Target, TargetGroup, TargetKey};
use crate::model::network::{Interface, Peer, Rule, SecurityGroup};

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoadBalancerSummary {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its DNS name.
    pub dns_name: String,
    /// `internal` or `internet-facing`.
    pub scheme: String,
    /// `provisioning`, `active` or `failed`.
    pub state: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its zones, by name.
    pub zones: Vec<ZoneSummary>,
    /// Ids of its security groups.
    pub security_groups: Vec<String>,
    /// Attributes that were written.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A load balancer's place in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoneSummary {
    /// The zone's name.
    pub zone: String,
    /// The subnet.
    pub subnet_id: String,
    /// The address that listeners answer on.
    pub address: Ipv4Addr,
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetGroupSummary {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// `TCP`, `UDP`, `TCP_UDP`, `TLS`, `QUIC` or `TCP_QUIC`.
    pub protocol: String,
    /// Its default port.
    pub port: u16,
    /// `instance`, `ip` or `alb`.
    pub target_type: String,
    /// `TCP`, `HTTP` or `HTTPS`.
    pub health_check_protocol: String,
    /// A number or `traffic-port`.
    pub health_check_port: String,
    /// For HTTP and HTTPS.
    pub health_check_path: Option<String>,
    /// The load balancer that uses it.
    pub load_balancer: Option<String>,
    /// How many targets are registered, draining ones included.
    pub targets: usize,
    /// Attributes that were written.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A registered target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetSummary {
    /// Instance id or address.
    pub id: String,
    /// Its port.
    pub port: u16,
    /// Where traffic goes.
    pub address: IpAddr,
    /// Its zone; `None`: all zones.
    pub zone: Option<String>,
    /// AWS's state: `initial`, `healthy`, `unhealthy`, `unhealthy.draining`, `unused`, `draining`, `unavailable`.
    pub state: String,
    /// AWS's reason code; empty when healthy.
    pub reason: String,
    /// AWS's description; empty when healthy.
    pub description: String,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerSummary {
    /// Its ARN.
    pub arn: String,
    /// ARN of its load balancer.
    pub load_balancer: String,
    /// Its port.
    pub port: u16,
    /// `TCP`, `UDP`, `TCP_UDP`, `TLS`, `QUIC` or `TCP_QUIC`.
    pub protocol: String,
    /// ARN of the first target group it forwards to.
    pub target_group: String,
    /// All of them, with their weights.
    pub target_groups: BTreeMap<String, u16>,
    /// Name of its security policy; TLS only.
    pub ssl_policy: Option<String>,
    /// ARNs of its certificates, the default one first; TLS only.
    pub certificates: Vec<String>,
    /// Attributes that were written.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurityGroupSummary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its description.
    pub description: String,
    /// Its rules, ingress first.
    pub rules: Vec<RuleSummary>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSummary {
    /// Its id.
    pub id: String,
    /// Whether it is about outgoing traffic.
    pub egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` or a number.
    pub protocol: String,
    /// First and last port; `None`: all.
    pub ports: Option<(i64, i64)>,
    /// A CIDR or a security group's id.
    pub peer: String,
    /// Its description.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceSummary {
    /// Its id.
    pub id: String,
    /// Its description: `ELB net/<name>/<id>` for those of load balancers.
    pub description: String,
    /// Its subnet.
    pub subnet_id: String,
    /// Its primary address.
    pub address: Ipv4Addr,
    /// Ids of its security groups.
    pub security_groups: Vec<String>,
}

/// Everything of an account that one usually asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Load balancers, by ARN.
    pub load_balancers: Vec<LoadBalancerSummary>,
    /// Listeners, by ARN.
    pub listeners: Vec<ListenerSummary>,
    /// Target groups, by ARN.
    pub target_groups: Vec<TargetGroupSummary>,
    /// Targets by the ARN of their group.
    pub targets: BTreeMap<String, Vec<TargetSummary>>,
    /// Security groups, by id.
    pub security_groups: Vec<SecurityGroupSummary>,
    /// Network interfaces, by id.
    pub interfaces: Vec<InterfaceSummary>,
}

pub(super) fn load_balancers(state: &State) -> Vec<LoadBalancerSummary> {
    let summary = |balancer: &LoadBalancer| LoadBalancerSummary {
        arn: balancer.arn.clone(),
        name: balancer.name.clone(),
        dns_name: balancer.dns_name.clone(),
        scheme: balancer.scheme().to_owned(),
        state: balancer.state().to_owned(),
        vpc_id: balancer.vpc_id.clone(),
        zones: balancer
            .zones
            .iter()
            .map(|(name, zone)| ZoneSummary { zone: name.clone(), subnet_id: zone.subnet_id.clone(), address: zone.address })
            .collect(),
        security_groups: balancer.security_groups.clone(),
        attributes: balancer.attributes.clone(),
        tags: balancer.tags.clone(),
    };
    state.balancing.load_balancers.values().map(summary).collect()
}

pub(super) fn target_groups(state: &State) -> Vec<TargetGroupSummary> {
    let summary = |group: &TargetGroup| TargetGroupSummary {
        arn: group.arn.clone(),
        name: group.name.clone(),
        protocol: group.protocol.name().to_owned(),
        port: group.port,
        target_type: group.kind.name().to_owned(),
        health_check_protocol: group.check.protocol.name().to_owned(),
        health_check_port: group.check.port_text(),
        health_check_path: group.check.path.clone(),
        load_balancer: group.load_balancer().map(str::to_owned),
        targets: group.targets.len(),
        attributes: group.attributes.clone(),
        tags: group.tags.clone(),
    };
    state.balancing.target_groups.values().map(summary).collect()
}

pub(super) fn listeners(state: &State) -> Vec<ListenerSummary> {
    let summary = |listener: &Listener| ListenerSummary {
        arn: listener.arn.clone(),
        load_balancer: listener.load_balancer.clone(),
        port: listener.port,
        protocol: listener.protocol.name().to_owned(),
        target_group: listener.action.target_groups().next().unwrap_or_default().to_owned(),
        target_groups: listener.action.groups.iter().map(|share| (share.target_group.clone(), share.weight)).collect(),
        ssl_policy: listener.tls.as_ref().map(|tls| tls.policy.clone()),
        certificates: listener.tls.iter().flat_map(|tls| tls.all_certificates()).map(str::to_owned).collect(),
        attributes: listener.attributes.clone(),
        tags: listener.tags.clone(),
    };
    state.balancing.listeners.values().map(summary).collect()
}

pub(super) fn targets(state: &State, target_group: &str) -> Vec<TargetSummary> {
    let Some(group) = state.balancing.target_groups.get(target_group) else { return Vec::new() };
    let summary = |(key, target): (&TargetKey, &Target)| {
        let (state, reason, description) = elbv2::describe_target(target);
        TargetSummary {
            id: key.id.clone(),
            port: key.port,
            address: target.address,
            zone: target.zone.clone(),
            state: state.to_owned(),
            reason: reason.to_owned(),
            description: description.to_owned(),
        }
    };
    group.targets.iter().map(summary).collect()
}

pub(super) fn security_groups(state: &State) -> Vec<SecurityGroupSummary> {
    let rule = |rule: &Rule| RuleSummary {
        id: rule.id.clone(),
        egress: rule.egress,
        protocol: rule.traffic.protocol.clone(),
        ports: rule.traffic.ports,
        peer: match &rule.traffic.peer {
            Peer::V4(cidr) => cidr.to_string(),
            Peer::V6(cidr) => cidr.to_string(),
            Peer::Group(id) | Peer::PrefixList(id) => id.clone(),
        },
        description: rule.description.clone(),
        tags: rule.tags.clone(),
    };
    let summary = |group: &SecurityGroup| SecurityGroupSummary {
        id: group.id.clone(),
        name: group.name.clone(),
        vpc_id: group.vpc_id.clone(),
        description: group.description.clone(),
        rules: state.network.rules_of(&group.id).into_iter().map(rule).collect(),
        tags: group.tags.clone(),
    };
    state.network.security_groups.values().map(summary).collect()
}

pub(super) fn interfaces(state: &State) -> Vec<InterfaceSummary> {
    let summary = |interface: &Interface| InterfaceSummary {
        id: interface.id.clone(),
        description: interface.description.clone(),
        subnet_id: interface.subnet_id.clone(),
        address: interface.address,
        security_groups: interface.security_groups.clone(),
    };
    state.network.interfaces.values().map(summary).collect()
}

pub(super) fn snapshot(state: &State) -> Snapshot {
    Snapshot {
        load_balancers: load_balancers(state),
        listeners: listeners(state),
        target_groups: target_groups(state),
        targets: state.balancing.target_groups.keys().map(|arn| (arn.clone(), targets(state, arn))).collect(),
        security_groups: security_groups(state),
        interfaces: interfaces(state),
    }
}
