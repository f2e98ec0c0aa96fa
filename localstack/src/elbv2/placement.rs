//! Where a load balancer stands: its subnets, addresses and network interfaces.
//!
//! Resolves what a call asks for (`Subnets` or `SubnetMappings`) completely before anything is changed. Imports `model`, `query`, `error`;
//! called by `load_balancers.rs`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;

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

/// One subnet as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) subnet_id: String,
    /// The address chosen by the user.
    pub(super) address: Option<Ipv4Addr>,
}

/// What a call asks for: spots by zone, all in one VPC.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) vpc_id: String,
    pub(super) spots: BTreeMap<String, Spot>,
}

/// Reads `Subnets` or `SubnetMappings` and checks all that does not depend on the load balancer's present place.
pub(super) fn read(params: &Params, network: &Network, internal: bool) -> Result<Placement, ApiError> {
    let asked = asked(params, internal)?;
    let mut spots = BTreeMap::new();
    let mut vpc_id: Option<&str> = None;
    for spot in asked {
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
    let plain = subnets.into_iter().map(|subnet| Ok(Spot { subnet_id: subnet.to_owned(), address: None }));
    let mapped = mappings.into_iter().map(|mapping| {
        let subnet_id = mapping.required("SubnetId").to_owned();
        if let Some(allocation) = mapping.text("AllocationId") {
            let message = format!("Elastic IP allocation '{allocation}' not found (this emulator has no Elastic IPs yet)");
            return Err(ApiError::new("AllocationIdNotFound", message));
        }
        let address = mapping.text("PrivateIPv4Address").map(|text| text.parse::<Ipv4Addr>().map_err(|_| text)).transpose();
        let address =
            address.map_err(|text| ApiError::validation(format!("'{text}' is not an IPv4 address (PrivateIPv4Address)")))?;
        if address.is_some() && !internal {
            return Err(configuration("PrivateIPv4Address can be specified for internal load balancers only"));
        }
        Ok(Spot { subnet_id, address })
    });
    plain.chain(mapped).collect()
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
    Ok(())
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
        secondary: std::collections::BTreeSet::new(),
        security_groups: balancer.security_groups.clone(),
        owner: InterfaceOwner::LoadBalancer,
        tags: crate::model::Tags::new(),
    });
    Some(Zone { subnet_id: spot.subnet_id.clone(), address, chosen: spot.address.is_some(), interface_id })
}

/// Lets go of a zone's interface, which lives on for a while.
pub(super) fn vacate(state: &mut State, zone: &Zone, now: Timestamp, durations: &Durations) {
    let when = after(now, durations.load_balancer_interfaces_linger);
    state.timers.plan(when, Event::InterfaceReleased { interface: zone.interface_id.clone() });
}

pub(super) fn configuration(message: &str) -> ApiError {
    ApiError::new("InvalidConfigurationRequest", message)
}
