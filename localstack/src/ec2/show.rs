//! EC2 resources as XML.
//!
//! Imports `xml`, `model`. Element names follow AWS's service model (its `locationName`s).

use std::fmt::Display;
use std::net::Ipv4Addr;

use ipnet::Ipv6Net;
use jiff::Timestamp;

use crate::model::network::{
    Address, Instance, Interface, InterfaceOwner, InternetGateway, Network, Peer, PrefixList, RouteTable, Rule, SecurityGroup,
    Subnet, Traffic, Vpc,
};
use crate::model::{Place, Tags};
use crate::xml::Xml;

pub(super) fn tags(xml: &mut Xml, tags: &Tags) {
    xml.list("tagSet", tags, |xml, (key, value)| {
        xml.text("key", key);
        xml.text("value", value);
    });
}

pub(super) fn vpc(xml: &mut Xml, vpc: &Vpc, place: &Place) {
    xml.text("vpcId", &vpc.id);
    xml.text("ownerId", &place.account);
    xml.text("state", "available");
    xml.optional("cidrBlock", vpc.cidrs.first());
    xml.list("cidrBlockAssociationSet", &vpc.cidrs, |xml, cidr| {
        xml.text("associationId", vpc_association(&vpc.id, cidr));
        xml.text("cidrBlock", cidr);
        xml.within("cidrBlockState", |xml| xml.text("state", "associated"));
    });
    if vpc.ipv6_cidr.is_some() {
        xml.list("ipv6CidrBlockAssociationSet", [vpc], |xml, vpc| vpc_ipv6(xml, vpc, place));
    }
    xml.text("dhcpOptionsId", "default");
    xml.text("instanceTenancy", "default");
    xml.text("isDefault", false);
    tags(xml, &vpc.tags);
}

/// The id of the association of a VPC with a block.
pub(super) fn vpc_association(vpc_id: &str, cidr: impl Display) -> String {
    format!("vpc-cidr-assoc-0{}", crate::ids::hex(&format!("{vpc_id}{cidr}"), 16))
}

/// The id of the association of a subnet with a block.
pub(super) fn subnet_association(subnet_id: &str, cidr: impl Display) -> String {
    format!("subnet-cidr-assoc-0{}", crate::ids::hex(&format!("{subnet_id}{cidr}"), 16))
}

/// The content of a `VpcIpv6CidrBlockAssociation`.
pub(super) fn vpc_ipv6(xml: &mut Xml, vpc: &Vpc, place: &Place) {
    let Some(cidr) = vpc.ipv6_cidr else { return };
    xml.text("associationId", vpc_association(&vpc.id, cidr));
    xml.text("ipv6CidrBlock", cidr);
    xml.within("ipv6CidrBlockState", |xml| xml.text("state", "associated"));
    xml.text("networkBorderGroup", &place.region);
    xml.text("ipv6Pool", "Amazon");
}

/// The content of a `SubnetIpv6CidrBlockAssociation`.
pub(super) fn subnet_ipv6(xml: &mut Xml, subnet_id: &str, cidr: &Ipv6Net) {
    xml.text("associationId", subnet_association(subnet_id, cidr));
    xml.text("ipv6CidrBlock", cidr);
    xml.within("ipv6CidrBlockState", |xml| xml.text("state", "associated"));
}

/// How a route came to be.
pub(super) fn route_origin(gateway: &str) -> &'static str {
    if gateway == "local" { "CreateRouteTable" } else { "CreateRoute" }
}

pub(super) fn subnet(xml: &mut Xml, subnet: &Subnet, place: &Place) {
    xml.text("subnetId", &subnet.id);
    xml.text("subnetArn", &subnet.arn);
    xml.text("state", "available");
    xml.text("ownerId", &place.account);
    xml.text("vpcId", &subnet.vpc_id);
    xml.text("cidrBlock", subnet.cidr);
    xml.list("ipv6CidrBlockAssociationSet", &subnet.ipv6_cidr, |xml, cidr| subnet_ipv6(xml, &subnet.id, cidr));
    xml.text("availableIpAddressCount", subnet.free_addresses());
    xml.text("availabilityZone", &subnet.zone);
    xml.text("availabilityZoneId", zone_id(&subnet.zone));
    xml.text("defaultForAz", false);
    xml.text("mapPublicIpOnLaunch", subnet.map_public_ip);
    xml.text("assignIpv6AddressOnCreation", false);
    xml.text("ipv6Native", false);
    xml.text("enableDns64", false);
    tags(xml, &subnet.tags);
}

/// A zone's id: AWS abbreviates the region (`us-west-2a` is one of `usw2-az1`, …). Accounts see the letters shuffled; here a is 1.
pub(super) fn zone_id(zone: &str) -> String {
    let mut parts = zone.split('-');
    let (area, direction, last) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next_back().unwrap_or_default());
    let short = match direction {
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        "southwest" => "sw",
        other => other.get(..1).unwrap_or_default(),
    };
    let digits = last.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let letter = last.bytes().last().unwrap_or(b'a');
    format!("{area}{short}{digits}-az{}", letter.saturating_sub(b'a') + 1)
}

pub(super) fn route_table(xml: &mut Xml, table: &RouteTable, place: &Place) {
    xml.text("routeTableId", &table.id);
    xml.text("vpcId", &table.vpc_id);
    xml.text("ownerId", &place.account);
    xml.list("routeSet", &table.routes, |xml, (destination, gateway)| {
        xml.text("destinationCidrBlock", destination);
        xml.text("gatewayId", gateway);
        xml.text("state", "active");
        xml.text("origin", route_origin(gateway));
    });
    xml.list("associationSet", &table.associations, |xml, (id, subnet)| {
        xml.text("routeTableAssociationId", id);
        xml.text("routeTableId", &table.id);
        xml.optional("subnetId", subnet.as_ref());
        xml.text("main", subnet.is_none());
        xml.within("associationState", |xml| xml.text("state", "associated"));
    });
    xml.texts("propagatingVgwSet", Vec::<String>::new());
    tags(xml, &table.tags);
}

pub(super) fn internet_gateway(xml: &mut Xml, gateway: &InternetGateway, place: &Place) {
    xml.text("internetGatewayId", &gateway.id);
    xml.text("ownerId", &place.account);
    xml.list("attachmentSet", &gateway.vpc_id, |xml, vpc_id| {
        xml.text("vpcId", vpc_id);
        xml.text("state", "available");
    });
    tags(xml, &gateway.tags);
}

/// `state`: its code and name, which an answer to a change shows on their way.
pub(super) fn instance(xml: &mut Xml, instance: &Instance, state: (u16, &str), network: &Network, place: &Place) {
    let (code, name) = state;
    let interface = network.interfaces.get(&instance.interface_id);
    xml.text("instanceId", &instance.id);
    xml.text("imageId", &instance.image);
    xml.within("instanceState", |xml| {
        xml.text("code", code);
        xml.text("name", name);
    });
    xml.text("privateDnsName", private_name(&instance.address.to_string(), place));
    xml.text("amiLaunchIndex", 0);
    xml.text("instanceType", &instance.kind);
    xml.text("launchTime", time(instance.launched));
    xml.within("placement", |xml| {
        xml.text("availabilityZone", &instance.zone);
        xml.text("tenancy", "default");
    });
    xml.within("monitoring", |xml| xml.text("state", "disabled"));
    xml.text("architecture", "x86_64");
    xml.text("sourceDestCheck", true);
    // A terminated instance has lost its interface, and with it its place in the network.
    if let Some(interface) = interface {
        xml.text("subnetId", &instance.subnet_id);
        xml.text("vpcId", &instance.vpc_id);
        xml.text("privateIpAddress", instance.address);
        if let Some((address, _)) = network.elastic_ip(&interface.id, instance.address) {
            xml.text("ipAddress", address.public_ip);
            xml.text("dnsName", public_name(address.public_ip, place));
        }
        groups(xml, &interface.security_groups, network);
        xml.list("networkInterfaceSet", [interface], |xml, interface| interface_of_instance(xml, interface, network, place));
    }
    tags(xml, &instance.tags);
}

fn groups(xml: &mut Xml, ids: &[String], network: &Network) {
    xml.list("groupSet", ids, |xml, id| {
        xml.text("groupId", id);
        xml.optional("groupName", network.security_groups.get(id).map(|group| &group.name));
    });
}

fn interface_of_instance(xml: &mut Xml, interface: &Interface, network: &Network, place: &Place) {
    xml.text("networkInterfaceId", &interface.id);
    xml.text("subnetId", &interface.subnet_id);
    xml.text("vpcId", &interface.vpc_id);
    xml.text("description", &interface.description);
    xml.text("ownerId", &place.account);
    xml.text("status", "in-use");
    xml.text("privateIpAddress", interface.address);
    xml.text("sourceDestCheck", true);
    groups(xml, &interface.security_groups, network);
    xml.within("attachment", |xml| {
        xml.text("attachmentId", attachment(interface));
        xml.text("deviceIndex", 0);
        xml.text("status", "attached");
        xml.text("deleteOnTermination", true);
    });
    association(xml, (interface, interface.address), Detail::Instance, network, place);
    addresses(xml, interface, Detail::Instance, network, place);
    xml.text("interfaceType", "interface");
}

fn addresses(xml: &mut Xml, interface: &Interface, detail: Detail, network: &Network, place: &Place) {
    let all = std::iter::once((interface.address, true)).chain(interface.secondary.iter().map(|address| (*address, false)));
    xml.list("privateIpAddressesSet", all, |xml, (address, primary)| {
        xml.text("privateIpAddress", address);
        xml.text("privateDnsName", private_name(&address.to_string(), place));
        xml.text("primary", primary);
        association(xml, (interface, address), detail, network, place);
    });
}

/// How much an interface shows of an Elastic IP address: an instance's leaves the identifiers out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Instance,
    Interface,
}

/// The Elastic IP address of a private one, if it has any.
fn association(xml: &mut Xml, (interface, private_ip): (&Interface, Ipv4Addr), detail: Detail, network: &Network, place: &Place) {
    let Some((address, held)) = network.elastic_ip(&interface.id, private_ip) else { return };
    xml.within("association", |xml| {
        if detail == Detail::Interface {
            xml.text("allocationId", &address.id);
            xml.text("associationId", &held.id);
        }
        xml.text("ipOwnerId", &place.account);
        xml.text("publicDnsName", public_name(address.public_ip, place));
        xml.text("publicIp", address.public_ip);
    });
}

fn public_name(address: Ipv4Addr, place: &Place) -> String {
    let host = address.to_string().replace('.', "-");
    match place.region.as_str() {
        "us-east-1" => format!("ec2-{host}.compute-1.amazonaws.com"),
        region => format!("ec2-{host}.{region}.compute.amazonaws.com"),
    }
}

pub(super) fn address(xml: &mut Xml, address: &Address, interface: Option<&Interface>, place: &Place) {
    xml.text("publicIp", address.public_ip);
    xml.text("allocationId", &address.id);
    xml.text("domain", "vpc");
    xml.text("publicIpv4Pool", "amazon");
    xml.text("networkBorderGroup", &place.region);
    if let (Some(held), Some(interface)) = (&address.association, interface) {
        xml.text("associationId", &held.id);
        xml.optional("instanceId", interface.instance());
        xml.text("networkInterfaceId", &interface.id);
        xml.text("networkInterfaceOwnerId", interface.owned_by(place));
        xml.text("privateIpAddress", held.private_ip);
    }
    tags(xml, &address.tags);
}

fn attachment(interface: &Interface) -> String {
    format!("eni-attach-{}", interface.id.trim_start_matches("eni-"))
}

pub(super) fn private_name(address: &str, place: &Place) -> String {
    let host = address.replace('.', "-");
    match place.region.as_str() {
        "us-east-1" => format!("ip-{host}.ec2.internal"),
        region => format!("ip-{host}.{region}.compute.internal"),
    }
}

pub(super) fn interface(xml: &mut Xml, interface: &Interface, network: &Network, place: &Place) {
    let managed = interface.owner == InterfaceOwner::LoadBalancer;
    xml.text("networkInterfaceId", &interface.id);
    xml.text("subnetId", &interface.subnet_id);
    xml.text("vpcId", &interface.vpc_id);
    xml.text("availabilityZone", &interface.zone);
    xml.text("description", &interface.description);
    xml.text("ownerId", &place.account);
    xml.optional("requesterId", managed.then_some("amazon-elb"));
    xml.text("requesterManaged", managed);
    xml.text("status", "in-use");
    xml.text("privateIpAddress", interface.address);
    xml.text("privateDnsName", private_name(&interface.address.to_string(), place));
    xml.text("sourceDestCheck", !managed);
    groups(xml, &interface.security_groups, network);
    xml.within("attachment", |xml| {
        xml.text("attachmentId", attachment(interface));
        xml.text("deviceIndex", u8::from(managed));
        xml.text("status", "attached");
        xml.text("deleteOnTermination", !managed);
        match &interface.owner {
            InterfaceOwner::Instance(id) => {
                xml.text("instanceId", id);
                xml.text("instanceOwnerId", &place.account);
            }
            InterfaceOwner::LoadBalancer => xml.text("instanceOwnerId", "amazon-aws"),
        }
    });
    tags(xml, &interface.tags);
    association(xml, (interface, interface.address), Detail::Interface, network, place);
    addresses(xml, interface, Detail::Interface, network, place);
    xml.text("interfaceType", if managed { "network_load_balancer" } else { "interface" });
}

pub(super) fn prefix_list(xml: &mut Xml, list: &PrefixList, state: &str) {
    xml.text("prefixListId", &list.id);
    xml.text("prefixListArn", &list.arn);
    xml.text("prefixListName", &list.name);
    xml.text("addressFamily", if list.ipv6 { "IPv6" } else { "IPv4" });
    xml.text("maxEntries", list.max_entries);
    xml.text("ownerId", &list.owner);
    xml.text("state", state);
    xml.text("version", 1);
    tags(xml, &list.tags);
}

/// The content of a `SecurityGroupForVpc`.
pub(super) fn security_group_for_vpc(xml: &mut Xml, group: &SecurityGroup, place: &Place) {
    xml.text("groupId", &group.id);
    xml.text("groupName", &group.name);
    xml.text("description", &group.description);
    xml.text("ownerId", &place.account);
    xml.text("primaryVpcId", &group.vpc_id);
    tags(xml, &group.tags);
}

pub(super) fn security_group(xml: &mut Xml, group: &SecurityGroup, network: &Network, place: &Place) {
    let rules = network.rules_of(&group.id);
    xml.text("ownerId", &place.account);
    xml.text("groupId", &group.id);
    xml.text("securityGroupArn", &group.arn);
    xml.text("groupName", &group.name);
    xml.text("groupDescription", &group.description);
    xml.text("vpcId", &group.vpc_id);
    permissions(xml, "ipPermissions", rules.iter().copied().filter(|rule| !rule.egress), place);
    permissions(xml, "ipPermissionsEgress", rules.iter().copied().filter(|rule| rule.egress), place);
    tags(xml, &group.tags);
}

/// Rules as AWS groups them: one permission for each protocol and port range, with all its peers. `rules` come sorted by what they allow.
pub(super) fn permissions<'a>(xml: &mut Xml, name: &str, rules: impl Iterator<Item = &'a Rule>, place: &Place) {
    let rules: Vec<&Rule> = rules.collect();
    let same =
        |one: &&Rule, other: &&Rule| (&one.traffic.protocol, one.traffic.ports) == (&other.traffic.protocol, other.traffic.ports);
    xml.list(name, rules.chunk_by(same), |xml, rules| {
        if let Some(first) = rules.first() {
            protocol(xml, &first.traffic);
        }
        let described = |xml: &mut Xml, rule: &Rule| xml.optional("description", rule.description.as_ref());
        xml.list("groups", rules.iter().filter(|rule| matches!(rule.traffic.peer, Peer::Group(_))), |xml, rule| {
            xml.text("userId", &place.account);
            xml.text("groupId", peer(rule));
            described(xml, rule);
        });
        xml.list("ipRanges", rules.iter().filter(|rule| matches!(rule.traffic.peer, Peer::V4(_))), |xml, rule| {
            xml.text("cidrIp", peer(rule));
            described(xml, rule);
        });
        xml.list("ipv6Ranges", rules.iter().filter(|rule| matches!(rule.traffic.peer, Peer::V6(_))), |xml, rule| {
            xml.text("cidrIpv6", peer(rule));
            described(xml, rule);
        });
        xml.list("prefixListIds", rules.iter().filter(|rule| matches!(rule.traffic.peer, Peer::PrefixList(_))), |xml, rule| {
            xml.text("prefixListId", peer(rule));
            described(xml, rule);
        });
    });
}

fn peer(rule: &Rule) -> String {
    match &rule.traffic.peer {
        Peer::V4(cidr) => cidr.to_string(),
        Peer::V6(cidr) => cidr.to_string(),
        Peer::Group(id) | Peer::PrefixList(id) => id.clone(),
    }
}

fn protocol(xml: &mut Xml, traffic: &Traffic) {
    xml.text("ipProtocol", &traffic.protocol);
    xml.optional("fromPort", traffic.ports.map(|(from, _)| from));
    xml.optional("toPort", traffic.ports.map(|(_, to)| to));
}

fn rule_head(xml: &mut Xml, rule: &Rule) {
    xml.text("securityGroupRuleId", &rule.id);
    xml.text("groupId", &rule.group_id);
    xml.text("isEgress", rule.egress);
    xml.text("ipProtocol", &rule.traffic.protocol);
    // Where a permission leaves the ports of "all protocols" out, a rule shows them as -1.
    let (from, to) = rule.traffic.ports.unwrap_or((-1, -1));
    xml.text("fromPort", from);
    xml.text("toPort", to);
    match &rule.traffic.peer {
        Peer::V4(cidr) => xml.text("cidrIpv4", cidr),
        Peer::V6(cidr) => xml.text("cidrIpv6", cidr),
        Peer::PrefixList(id) => xml.text("prefixListId", id),
        Peer::Group(_) => {}
    }
    xml.optional("description", rule.description.as_ref());
}

/// The content of a `SecurityGroupRule`.
pub(super) fn rule(xml: &mut Xml, rule: &Rule, network: &Network, place: &Place) {
    rule_head(xml, rule);
    xml.text("groupOwnerId", &place.account);
    if let Peer::Group(id) = &rule.traffic.peer {
        xml.within("referencedGroupInfo", |xml| {
            xml.text("groupId", id);
            xml.text("userId", &place.account);
            xml.optional("vpcId", network.security_groups.get(id).map(|group| &group.vpc_id));
        });
    }
    xml.text("securityGroupRuleArn", &rule.arn);
    tags(xml, &rule.tags);
}

/// The content of a `RevokedSecurityGroupRule`.
pub(super) fn revoked_rule(xml: &mut Xml, rule: &Rule) {
    rule_head(xml, rule);
    if let Peer::Group(id) = &rule.traffic.peer {
        xml.text("referencedGroupId", id);
    }
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn zone_ids_abbreviate_the_region() {
        for (zone, id) in [("us-west-2a", "usw2-az1"), ("ap-northeast-1c", "apne1-az3"), ("us-gov-west-1b", "usg1-az2")] {
            assert_eq!(super::zone_id(zone), id);
        }
    }
}
