//! VPCs, subnets and their addresses, route tables, gateways, instances, interfaces, security groups.
//!
//! Plain data with the few rules that keep it whole (addresses are taken and given back with interfaces). Changed by `ec2/`, `world.rs` and
//! the load balancers of `elbv2/`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;

use super::Tags;

/// The network of one account in one region; every map is keyed by the resource's id.
#[derive(Debug)]
pub(crate) struct Network {
    /// Zone names, `us-west-2a` and so on.
    pub(crate) zones: BTreeSet<String>,
    pub(crate) vpcs: BTreeMap<String, Vpc>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    pub(crate) route_tables: BTreeMap<String, RouteTable>,
    pub(crate) internet_gateways: BTreeMap<String, InternetGateway>,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    pub(crate) security_groups: BTreeMap<String, SecurityGroup>,
    /// Security-group rules, keyed by rule id; those of a group carry its id.
    pub(crate) rules: BTreeMap<String, Rule>,
}

#[derive(Debug, Clone)]
pub(crate) struct Vpc {
    pub(crate) id: String,
    /// The primary CIDR first.
    pub(crate) cidrs: Vec<Ipv4Net>,
    pub(crate) tags: Tags,
}

impl Vpc {
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) vpc_id: String,
    pub(crate) cidr: Ipv4Net,
    pub(crate) zone: String,
    pub(crate) map_public_ip: bool,
    pub(crate) tags: Tags,
    /// Addresses of interfaces.
    pub(crate) taken: BTreeSet<Ipv4Addr>,
}

/// AWS keeps the first four addresses and the last one of each subnet.
const RESERVED_AT_START: u32 = 4;
const RESERVED: u32 = RESERVED_AT_START + 1;

impl Subnet {
    fn size(&self) -> u32 {
        // A subnet is between /28 and /16.
        1u32.checked_shl(32 - u32::from(self.cidr.prefix_len())).unwrap_or(u32::MAX)
    }

    /// AWS's `availableIpAddressCount`.
    pub(crate) fn free_addresses(&self) -> u32 {
        let taken = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        self.size().saturating_sub(RESERVED).saturating_sub(taken)
    }

    /// The lowest address that an interface may get.
    pub(crate) fn lowest_free(&self) -> Option<Ipv4Addr> {
        let first = u32::from(self.cidr.network());
        (RESERVED_AT_START..self.size().saturating_sub(1))
            .map(|offset| Ipv4Addr::from(first.saturating_add(offset)))
            .find(|address| !self.taken.contains(address))
    }

    /// Whether an interface may get this address.
    pub(crate) fn is_free(&self, address: Ipv4Addr) -> bool {
        let offset = u32::from(address).wrapping_sub(u32::from(self.cidr.network()));
        (RESERVED_AT_START..self.size().saturating_sub(1)).contains(&offset) && !self.taken.contains(&address)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct RouteTable {
    pub(crate) id: String,
    pub(crate) vpc_id: String,
    /// Association id → subnet; `None` marks the VPC's main table.
    pub(crate) associations: BTreeMap<String, Option<String>>,
    /// Destination → gateway: `local`, or the id of an internet gateway.
    pub(crate) routes: BTreeMap<Ipv4Net, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct InternetGateway {
    pub(crate) id: String,
    /// The VPC it is attached to.
    pub(crate) vpc_id: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) zone: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) interface_id: String,
    pub(crate) state: InstanceState,
    pub(crate) launched: Timestamp,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceState {
    Running,
    Stopped,
    Terminated,
}

impl InstanceState {
    /// EC2's numeric code and name.
    pub(crate) fn code(self) -> (u16, &'static str) {
        match self {
            Self::Running => (16, "running"),
            Self::Stopped => (80, "stopped"),
            Self::Terminated => (48, "terminated"),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Interface {
    pub(crate) id: String,
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) zone: String,
    pub(crate) description: String,
    pub(crate) address: Ipv4Addr,
    /// Secondary private addresses, as a CNI plug-in assigns them to pods.
    pub(crate) secondary: BTreeSet<Ipv4Addr>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) owner: InterfaceOwner,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InterfaceOwner {
    /// The primary interface of an instance.
    Instance(String),
    /// Made by ELB for a load balancer, which users can see but not touch.
    LoadBalancer,
}

#[derive(Debug, Clone)]
pub(crate) struct SecurityGroup {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) vpc_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) group_id: String,
    pub(crate) egress: bool,
    pub(crate) traffic: Traffic,
    pub(crate) description: Option<String>,
    pub(crate) tags: Tags,
}

/// What a rule allows. Two rules of a group and direction never allow the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Traffic {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` for all, or a protocol number.
    pub(crate) protocol: String,
    /// First and last port (ICMP: type and code); absent for all protocols.
    pub(crate) ports: Option<(i64, i64)>,
    pub(crate) peer: Peer,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    V4(Ipv4Net),
    V6(Ipv6Net),
    /// The id of a security group.
    Group(String),
}

impl Network {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            zones: ["a", "b", "c"].iter().map(|letter| format!("{region}{letter}")).collect(),
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            route_tables: BTreeMap::new(),
            internet_gateways: BTreeMap::new(),
            instances: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }

    /// Adds an interface; its addresses are no longer free.
    pub(crate) fn add_interface(&mut self, interface: Interface) {
        if let Some(subnet) = self.subnets.get_mut(&interface.subnet_id) {
            subnet.taken.insert(interface.address);
            subnet.taken.extend(interface.secondary.iter().copied());
        }
        self.interfaces.insert(interface.id.clone(), interface);
    }

    /// Deletes an interface; its addresses are free again.
    pub(crate) fn remove_interface(&mut self, id: &str) {
        let Some(interface) = self.interfaces.remove(id) else { return };
        if let Some(subnet) = self.subnets.get_mut(&interface.subnet_id) {
            subnet.taken.retain(|address| *address != interface.address && !interface.secondary.contains(address));
        }
    }

    /// The subnet of a VPC that an address lies in.
    pub(crate) fn subnet_of(&self, vpc_id: &str, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.values().find(|subnet| subnet.vpc_id == vpc_id && subnet.cidr.contains(&address))
    }

    /// Whether a VPC has an internet gateway.
    pub(crate) fn has_internet_gateway(&self, vpc_id: &str) -> bool {
        self.internet_gateways.values().any(|gateway| gateway.vpc_id.as_deref() == Some(vpc_id))
    }

    /// The rules of a group, ingress before egress, in the order of what they allow.
    pub(crate) fn rules_of(&self, group_id: &str) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.rules.values().filter(|rule| rule.group_id == group_id).collect();
        rules.sort_by(|one, other| (one.egress, &one.traffic).cmp(&(other.egress, &other.traffic)));
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_from_dot_four_and_counted_as_aws_counts() {
        let mut subnet = Subnet {
            id: "subnet-1".to_owned(),
            arn: String::new(),
            vpc_id: "vpc-1".to_owned(),
            cidr: "10.0.0.0/28".parse().unwrap(),
            zone: "us-west-2a".to_owned(),
            map_public_ip: false,
            tags: Tags::new(),
            taken: BTreeSet::new(),
        };
        assert_eq!(subnet.free_addresses(), 11);
        let mut given = Vec::new();
        while let Some(address) = subnet.lowest_free() {
            assert!(subnet.is_free(address));
            subnet.taken.insert(address);
            given.push(address.octets()[3]);
        }
        assert_eq!(given, (4..=14).collect::<Vec<u8>>());
        assert_eq!(subnet.free_addresses(), 0);
        assert!(!subnet.is_free("10.0.0.15".parse().unwrap()) && !subnet.is_free("10.0.0.3".parse().unwrap()));
    }
}
