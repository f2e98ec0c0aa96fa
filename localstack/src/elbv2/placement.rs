//! Where a load balancer stands: its subnets, addresses and network interfaces.
//!
//! Resolves what a call asks for (`Subnets` or `SubnetMappings`) completely before anything is changed. Imports `ipv6`, `model`, `query`;
//! called by `load_balancers.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::ipv6::{self, Prefix};
use crate::clock::after;
use crate::durations::Durations;
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{LoadBalancer, Zone};
use crate::model::network::{Interface, InterfaceOwner, Network};
use crate::model::timers::Event;
use crate::query::Params;

/// Free addresses that AWS demands of a subnet.
const FREE_ADDRESSES: u32 = 8;

/// One subnet as asked for, with what the user chose of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) subnet_id: String,
    pub(super) address: Option<Ipv4Addr>,
    /// Allocation id of an Elastic IP address.
    pub(super) elastic: Option<String>,
    pub(super) ipv6: Option<Ipv6Addr>,
    /// Where UDP over IPv6 gets its source address from.
    pub(super) prefix: Option<Prefix>,
}

/// What a call asks for: spots by zone, all in one VPC.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) vpc_id: String,
    pub(super) spots: BTreeMap<String, Spot>,
}

/// Reads `Subnets` or `SubnetMappings` and checks all that does not depend on the load balancer's present place.
pub(super) fn read(params: &Params, network: &Network, internal: bool) -> Result<Placement, ApiError> {
    let mut spots = BTreeMap::new();
    let mut vpc_id: Option<&str> = None;
    let mut elastic: BTreeSet<String> = BTreeSet::new();
    for spot in asked(params, internal)? {
        let subnet = network
            .subnets
            .get(&spot.subnet_id)
            .ok_or_else(|| ApiError::new("SubnetNotFound", format!("The subnet ID '{}' does not exist", spot.subnet_id)))?;
        if *vpc_id.get_or_insert(&subnet.vpc_id) != subnet.vpc_id {
            return Err(configuration("All subnets must belong to the same VPC"));
        }
        if let Some(address) = spot.address.filter(|address| !subnet.cidr.contains(address)) {
            let message = format!("The address '{address}' is not in the CIDR {} of subnet '{}'", subnet.cidr, subnet.id);
            return Err(configuration(&message));
        }
        if let Some(allocation) = &spot.elastic {
            if !network.addresses.contains_key(allocation) {
                let message = format!("The Elastic IP allocation '{allocation}' does not exist (AllocationId)");
                return Err(ApiError::new("AllocationIdNotFound", message));
            }
            if !elastic.insert(allocation.clone()) {
                return Err(configuration(&format!("The Elastic IP allocation '{allocation}' is specified for two subnets")));
            }
        }
        if spots.insert(subnet.zone.clone(), spot).is_some() {
            let zone = &subnet.zone;
            let message =
                format!("A load balancer cannot be attached to multiple subnets in the same Availability Zone ({zone})");
            return Err(configuration(&message));
        }
    }
    let Some(vpc_id) = vpc_id else {
        return Err(ApiError::validation("At least one subnet must be specified, as Subnets or as SubnetMappings"));
    };
    if !internal && !network.has_internet_gateway(vpc_id) {
        return Err(ApiError::new("InvalidSubnet", format!("VPC {vpc_id} has no internet gateway")));
    }
    Ok(Placement { vpc_id: vpc_id.to_owned(), spots })
}

fn asked(params: &Params, internal: bool) -> Result<Vec<Spot>, ApiError> {
    let (subnets, mappings) = (params.texts("Subnets"), params.items("SubnetMappings"));
    if !subnets.is_empty() && !mappings.is_empty() {
        return Err(ApiError::validation("You can specify either Subnets or SubnetMappings, not both"));
    }
    let plain = subnets
        .into_iter()
        .map(|subnet| Ok(Spot { subnet_id: subnet.to_owned(), address: None, elastic: None, ipv6: None, prefix: None }));
    plain.chain(mappings.into_iter().map(|mapping| mapped(mapping, internal))).collect()
}

fn mapped(mapping: &Params, internal: bool) -> Result<Spot, ApiError> {
    let malformed =
        |text: &str, what: &str, name: &str| ApiError::validation(format!("'{text}' is not an {what} address ({name})"));
    let address = mapping.text("PrivateIPv4Address");
    let address = address.map(|text| text.parse().map_err(|_| malformed(text, "IPv4", "PrivateIPv4Address"))).transpose()?;
    let ipv6 = mapping.text("IPv6Address");
    let ipv6 = ipv6.map(|text| text.parse().map_err(|_| malformed(text, "IPv6", "IPv6Address"))).transpose()?;
    let elastic = mapping.text("AllocationId").map(str::to_owned);
    if address.is_some() && !internal {
        return Err(configuration("PrivateIPv4Address can be specified for internal load balancers only"));
    }
    if elastic.is_some() && internal {
        return Err(configuration("AllocationId can be specified for internet-facing load balancers only"));
    }
    let prefix = mapping.text("SourceNatIpv6Prefix").map(Prefix::parse).transpose()?;
    Ok(Spot { subnet_id: mapping.required("SubnetId").to_owned(), address, elastic, ipv6, prefix })
}

/// Checks that a subnet that the load balancer does not stand in yet has room for it.
pub(super) fn check_room(network: &Network, spot: &Spot) -> Result<(), ApiError> {
    let Some(subnet) = network.subnets.get(&spot.subnet_id) else { return Ok(()) };
    if subnet.free_addresses() < FREE_ADDRESSES {
        let message = format!(
            "Not enough IP space available in {}. ELB requires at least {FREE_ADDRESSES} free IP addresses in each subnet.",
            subnet.id
        );
        return Err(ApiError::new("InvalidSubnet", message));
    }
    if let Some(address) = spot.address.filter(|address| !subnet.is_free(*address)) {
        return Err(configuration(&format!("The address '{address}' is already in use or reserved in subnet '{}'", subnet.id)));
    }
    let elastic = spot.elastic.as_ref().and_then(|allocation| network.addresses.get(allocation));
    match elastic.filter(|elastic| elastic.association.is_some()) {
        Some(elastic) => {
            let message = format!("The Elastic IP address {} ('{}') is already in use", elastic.public_ip, elastic.id);
            Err(ApiError::new("ResourceInUse", message))
        }
        None => Ok(()),
    }
}

/// Checks what a spot asks of a zone that the load balancer stands in already: of that, nothing can be changed.
pub(super) fn check_kept(name: &str, zone: &Zone, spot: &Spot) -> Result<(), ApiError> {
    let differs = if zone.subnet_id != spot.subnet_id {
        "The subnet"
    } else if spot.address.is_some_and(|address| address != zone.address) {
        "The address"
    } else if spot.elastic.as_ref().is_some_and(|asked| zone.elastic.as_ref().is_none_or(|(own, _)| own != asked)) {
        "The Elastic IP address"
    } else if spot.ipv6.is_some_and(|address| zone.ipv6.is_some_and(|own| own != address)) {
        "The IPv6 address"
    } else {
        return Ok(());
    };
    Err(configuration(&format!("{differs} of zone {name} cannot be changed: remove the zone first, then add it again")))
}

/// Takes an address and makes the load balancer's interface in a zone. The room was checked before.
pub(super) fn occupy(state: &mut State, balancer: &LoadBalancer, zone: &str, spot: &Spot) -> Option<Zone> {
    let address = spot.address.or_else(|| state.network.subnets.get(&spot.subnet_id)?.lowest_free())?;
    let interface_id = state.ids.ec2("eni");
    state.network.add_interface(Interface {
        id: interface_id.clone(),
        vpc_id: balancer.vpc_id.clone(),
        subnet_id: spot.subnet_id.clone(),
        zone: zone.to_owned(),
        description: format!("ELB net/{}/{}", balancer.name, balancer.id),
        address,
        secondary: BTreeSet::new(),
        security_groups: balancer.security_groups.clone(),
        owner: InterfaceOwner::LoadBalancer,
        tags: crate::model::Tags::new(),
    });
    give_secondary(&mut state.network, &interface_id, balancer.secondary_addresses());
    let elastic = spot.elastic.as_ref().and_then(|allocation| state.network.addresses.get(allocation));
    let elastic = elastic.map(|elastic| (elastic.id.clone(), elastic.public_ip));
    if let Some((allocation, _)) = &elastic {
        let association = state.ids.ec2("eipassoc");
        state.network.associate(allocation, &association, &interface_id, address);
    }
    let mut occupied = Zone {
        subnet_id: spot.subnet_id.clone(),
        address,
        chosen: spot.address.is_some(),
        elastic,
        ipv6: None,
        ipv6_chosen: false,
        source_nat_prefix: None,
        interface_id,
    };
    ipv6::adjust(state, balancer, &mut occupied, Some(spot));
    Some(occupied)
}

/// Gives an interface secondary addresses until it has `count`, or its subnet no more.
pub(super) fn give_secondary(network: &mut Network, interface_id: &str, count: usize) {
    let Some(interface) = network.interfaces.get_mut(interface_id) else { return };
    let Some(subnet) = network.subnets.get_mut(&interface.subnet_id) else { return };
    while interface.secondary.len() < count
        && let Some(address) = subnet.lowest_free()
    {
        subnet.taken.insert(address);
        interface.secondary.insert(address);
    }
}

/// Lets go of a zone's interface, which lives on for a while.
pub(super) fn vacate(state: &mut State, zone: &Zone, now: Timestamp, durations: &Durations) {
    let when = after(now, durations.load_balancer_interfaces_linger);
    state.timers.plan(when, Event::InterfaceReleased { interface: zone.interface_id.clone() });
}

pub(super) fn configuration(message: &str) -> ApiError {
    ApiError::new("InvalidConfigurationRequest", message)
}
