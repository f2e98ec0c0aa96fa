//! Security-group rules on the way of traffic: whose packets reach a listener, and whose reach a target.
//!
//! Pure: reads `model/`, changes nothing. `dataplane/routes.rs` and `health.rs` ask; what is refused gets no answer at all there, because
//! that is what a client or a health check sees of a missing rule.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::model::balancing::LoadBalancer;
use crate::model::network::{Interface, Network, Peer, Rule};

/// What a flow is carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// The name and number that rules know it by, and the word for every protocol.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Tcp => ["tcp", "6", "-1"],
            Self::Udp => ["udp", "17", "-1"],
        }
    }
}

/// The addresses that get through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sources {
    #[default]
    Any,
    /// None at all when it is empty.
    Only(Vec<IpNet>),
}

impl Sources {
    pub(crate) fn admit(&self, source: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(blocks) => blocks.iter().any(|block| block.contains(&source)),
        }
    }

    fn nobody() -> Self {
        Self::Only(Vec::new())
    }
}

/// Whose address a target sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The load balancer's own in some zone.
    Node(IpAddr),
    /// That of each client.
    Clients,
}

/// The rules of one account, found by interface and group.
pub(crate) struct Firewall<'a> {
    network: &'a Network,
    /// By VPC and address.
    interfaces: BTreeMap<(&'a str, IpAddr), &'a Interface>,
    /// By group.
    rules: BTreeMap<&'a str, Vec<&'a Rule>>,
}

impl<'a> Firewall<'a> {
    pub(crate) fn new(network: &'a Network) -> Self {
        let mut interfaces = BTreeMap::new();
        for interface in network.interfaces.values() {
            for address in addresses(interface) {
                interfaces.insert((interface.vpc_id.as_str(), address), interface);
            }
        }
        let mut rules: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
        for rule in network.rules.values() {
            rules.entry(rule.group_id.as_str()).or_default().push(rule);
        }
        Self { network, interfaces, rules }
    }

    /// The clients that get through to a port of a load balancer. One without security groups lets everybody in.
    pub(crate) fn listener(&self, balancer: &LoadBalancer, transport: Transport, port: u16) -> Sources {
        if balancer.security_groups.is_empty() {
            return Sources::Any;
        }
        let rules = self.rules_for(&balancer.security_groups, false, transport, port);
        Sources::Only(rules.flat_map(|rule| self.blocks_of(&rule.traffic.peer)).collect())
    }

    /// The sources that get through to a target.
    ///
    /// The load balancer's groups have to let the traffic out; the target's have to let it in: by its source address, or by naming a group
    /// of the load balancer, which holds for clients and health checks alike (NLB user guide, "Security groups"). A target that is no
    /// interface of the VPC has no rules.
    pub(crate) fn target(&self, balancer: &LoadBalancer, origin: Origin, target: SocketAddr, transport: Transport) -> Sources {
        let interface = self.interfaces.get(&(balancer.vpc_id.as_str(), target.ip()));
        let own = interface.map_or(&[][..], |interface| interface.security_groups.as_slice());
        let leads_there = |rule: &Rule| match &rule.traffic.peer {
            Peer::Group(group) => own.contains(group),
            peer => self.blocks_of(peer).iter().any(|block| block.contains(&target.ip())),
        };
        let groups = &balancer.security_groups;
        if !groups.is_empty() && !self.rules_for(groups, true, transport, target.port()).any(leads_there) {
            return Sources::nobody();
        }
        if interface.is_none() {
            return Sources::Any;
        }
        let mut admitted = Vec::new();
        for rule in self.rules_for(own, false, transport, target.port()) {
            match &rule.traffic.peer {
                Peer::Group(group) if groups.contains(group) => return Sources::Any,
                // Through a load balancer, no other group than its own can be referred to.
                Peer::Group(_) => {}
                peer => admitted.extend(self.blocks_of(peer)),
            }
        }
        let admitted = Sources::Only(admitted);
        match origin {
            Origin::Clients => admitted,
            Origin::Node(address) if admitted.admit(address) => Sources::Any,
            Origin::Node(_) => Sources::nobody(),
        }
    }

    /// The rules of some groups and one direction that are about this transport and port.
    fn rules_for<'b>(
        &'b self,
        groups: &'b [String],
        egress: bool,
        transport: Transport,
        port: u16,
    ) -> impl Iterator<Item = &'a Rule> + use<'a, 'b> {
        let rules = groups.iter().filter_map(|group| self.rules.get(group.as_str())).flatten().copied();
        rules.filter(move |rule| rule.egress == egress && covers(rule, transport, port))
    }

    fn blocks_of(&self, peer: &Peer) -> Vec<IpNet> {
        match peer {
            Peer::V4(block) => vec![IpNet::V4(*block)],
            Peer::V6(block) => vec![IpNet::V6(*block)],
            Peer::Group(group) => {
                let members = self.network.interfaces.values().filter(|interface| interface.security_groups.contains(group));
                members.flat_map(addresses).map(IpNet::from).collect()
            }
            Peer::PrefixList(list) => {
                let entries = self.network.prefix_lists.get(list).into_iter().flat_map(|list| list.entries.keys());
                entries.filter_map(|block| block.parse().ok()).collect()
            }
        }
    }
}

fn addresses(interface: &Interface) -> impl Iterator<Item = IpAddr> {
    std::iter::once(interface.address).chain(interface.secondary.iter().copied()).map(IpAddr::V4)
}

fn covers(rule: &Rule, transport: Transport, port: u16) -> bool {
    let port = i64::from(port);
    transport.names().contains(&rule.traffic.protocol.as_str())
        && rule.traffic.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
}

#[cfg(test)]
mod tests;
