//! VPCs, subnets and their addresses, route tables, gateways, instances, interfaces, Elastic IP addresses, security groups.
//!
//! Plain data with the few rules that keep it whole (addresses are taken and given back with interfaces). Changed by `ec2/`, `world.rs` and
//! the load balancers of `elbv2/`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Place, Tags};

/// The network of one account in one region; every map is keyed by the resource's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Zone names, `us-west-2a` and so on.
    pub(crate) zones: BTreeSet<String>,
    pub(crate) vpcs: BTreeMap<String, Vpc>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    pub(crate) route_tables: BTreeMap<String, RouteTable>,
    pub(crate) internet_gateways: BTreeMap<String, InternetGateway>,
    pub(crate) instances: BTreeMap<String, Instance>,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    /// Elastic IP addresses, keyed by allocation id.
    pub(crate) addresses: BTreeMap<String, Address>,
    pub(crate) security_groups: BTreeMap<String, SecurityGroup>,
    pub(crate) prefix_lists: BTreeMap<String, PrefixList>,
    /// What was made by calls with a client token, keyed by action and token.
    pub(crate) tokens: BTreeMap<String, Token>,
    /// Security-group rules, keyed by rule id; those of a group carry its id.
    pub(crate) rules: BTreeMap<String, Rule>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vpc {
    pub(crate) id: String,
    /// The primary CIDR first.
    pub(crate) cidrs: Vec<Ipv4Net>,
    /// The account.
    pub(crate) owner: String,
    /// A /56, if it was asked for.
    pub(crate) ipv6_cidr: Option<Ipv6Net>,
    /// The attribute `enableDnsSupport`.
    pub(crate) dns_support: bool,
    /// The attribute `enableDnsHostnames`.
    pub(crate) dns_hostnames: bool,
    pub(crate) tags: Tags,
}

impl Vpc {
    pub(crate) fn contains(&self, address: Ipv4Addr) -> bool {
        self.cidrs.iter().any(|cidr| cidr.contains(&address))
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subnet {
    pub(crate) id: String,
    pub(crate) arn: String,
    /// The account.
    pub(crate) owner: String,
    pub(crate) vpc_id: String,
    pub(crate) cidr: Ipv4Net,
    pub(crate) ipv6_cidr: Option<Ipv6Net>,
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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RouteTable {
    pub(crate) id: String,
    /// The account.
    pub(crate) owner: String,
    pub(crate) vpc_id: String,
    /// Association id → subnet; `None` marks the VPC's main table.
    pub(crate) associations: BTreeMap<String, Option<String>>,
    /// Destination → gateway: `local`, or the id of an internet gateway.
    pub(crate) routes: BTreeMap<Ipv4Net, String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InternetGateway {
    pub(crate) id: String,
    /// The account.
    pub(crate) owner: String,
    /// The VPC it is attached to.
    pub(crate) vpc_id: Option<String>,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// `ami-…`.
    pub(crate) image: String,
    /// `m6i.large`.
    pub(crate) kind: String,
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) zone: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) interface_id: String,
    pub(crate) state: InstanceState,
    pub(crate) launched: Timestamp,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Code and name of the state on the way here, which the answer to the change shows.
    pub(crate) fn coming(self) -> (u16, &'static str) {
        match self {
            Self::Running => (0, "pending"),
            Self::Stopped => (64, "stopping"),
            Self::Terminated => (32, "shutting-down"),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InterfaceOwner {
    /// The primary interface of an instance.
    Instance(String),
    /// Made by ELB for a load balancer, which users can see but not touch.
    LoadBalancer,
}

impl Interface {
    /// The instance that it is the interface of.
    pub(crate) fn instance(&self) -> Option<&str> {
        match &self.owner {
            InterfaceOwner::Instance(id) => Some(id),
            InterfaceOwner::LoadBalancer => None,
        }
    }

    /// The account that handles it: the user's, or ELB's own.
    pub(crate) fn owned_by<'a>(&self, place: &'a Place) -> &'a str {
        match self.owner {
            InterfaceOwner::LoadBalancer => "amazon-elb",
            InterfaceOwner::Instance(_) => &place.account,
        }
    }
}

/// An Elastic IP address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    /// Its allocation id, `eipalloc-…`.
    pub(crate) id: String,
    pub(crate) public_ip: Ipv4Addr,
    pub(crate) association: Option<Association>,
    pub(crate) tags: Tags,
}

/// What an Elastic IP address leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Association {
    /// `eipassoc-…`.
    pub(crate) id: String,
    pub(crate) interface_id: String,
    pub(crate) private_ip: Ipv4Addr,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecurityGroup {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) vpc_id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) tags: Tags,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, `-1` for all, or a protocol number.
    pub(crate) protocol: String,
    /// First and last port (ICMP: type and code); absent for all protocols.
    pub(crate) ports: Option<(i64, i64)>,
    pub(crate) peer: Peer,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Peer {
    V4(Ipv4Net),
    V6(Ipv6Net),
    /// The id of a security group.
    Group(String),
    /// The id of a managed prefix list.
    PrefixList(String),
}

/// What a call with a client token was, and made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    /// A fingerprint.
    pub(crate) parameters: String,
    /// Ids.
    pub(crate) made: Vec<String>,
}

/// A managed prefix list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PrefixList {
    pub(crate) id: String,
    pub(crate) arn: String,
    /// The account.
    pub(crate) owner: String,
    pub(crate) name: String,
    /// Whether its blocks are IPv6 ones.
    pub(crate) ipv6: bool,
    pub(crate) max_entries: usize,
    /// CIDR block → description.
    pub(crate) entries: BTreeMap<String, String>,
    pub(crate) tags: Tags,
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
            addresses: BTreeMap::new(),
            prefix_lists: BTreeMap::new(),
            tokens: BTreeMap::new(),
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
        for address in self.addresses.values_mut() {
            address.association.take_if(|association| association.interface_id == id);
        }
    }

    /// Leads an Elastic IP address to a private one of an interface, from wherever it led before; one that led there is left without.
    pub(crate) fn associate(&mut self, allocation: &str, association: &str, interface_id: &str, private_ip: Ipv4Addr) {
        for address in self.addresses.values_mut() {
            address.association.take_if(|held| held.interface_id == interface_id && held.private_ip == private_ip);
        }
        if let Some(address) = self.addresses.get_mut(allocation) {
            let (id, interface_id) = (association.to_owned(), interface_id.to_owned());
            address.association = Some(Association { id, interface_id, private_ip });
        }
    }

    /// The Elastic IP address that leads to a private one of an interface.
    pub(crate) fn elastic_ip(&self, interface_id: &str, private_ip: Ipv4Addr) -> Option<(&Address, &Association)> {
        self.addresses.values().find_map(|address| {
            let held = address.association.as_ref()?;
            (held.interface_id == interface_id && held.private_ip == private_ip).then_some((address, held))
        })
    }

    /// The subnet of a VPC that an address lies in.
    pub(crate) fn subnet_of(&self, vpc_id: &str, address: Ipv4Addr) -> Option<&Subnet> {
        self.subnets.values().find(|subnet| subnet.vpc_id == vpc_id && subnet.cidr.contains(&address))
    }

    /// Whether a VPC has an internet gateway.
    pub(crate) fn has_internet_gateway(&self, vpc_id: &str) -> bool {
        self.internet_gateways.values().any(|gateway| gateway.vpc_id.as_deref() == Some(vpc_id))
    }

    /// How many rules a rule counts for: one, or as many as its prefix list may have entries (VPC quotas).
    pub(crate) fn weight(&self, traffic: &Traffic) -> usize {
        match &traffic.peer {
            Peer::PrefixList(id) => self.prefix_lists.get(id).map_or(1, |list| list.max_entries),
            Peer::V4(_) | Peer::V6(_) | Peer::Group(_) => 1,
        }
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
            owner: String::new(),
            vpc_id: "vpc-1".to_owned(),
            cidr: "10.0.0.0/28".parse().unwrap(),
            ipv6_cidr: None,
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
