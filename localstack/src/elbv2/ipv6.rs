//! IPv6 of load balancers: dual stack or not, the addresses, and the prefixes that UDP gets its source addresses from.
//!
//! Imports `forward` to see whether the listeners bear a change, `model`, `query`.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::forward;
use super::placement::{Placement, Spot, configuration};
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{LoadBalancer, Zone};
use crate::model::network::Subnet;
use crate::query::Params;

/// A /80 for the source addresses of UDP over IPv6, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prefix {
    Auto,
    Chosen(Ipv6Net),
}

/// The length of such a prefix.
const PREFIX_LENGTH: u8 = 80;

impl Prefix {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        if text == "auto_assigned" {
            return Ok(Self::Auto);
        }
        match text.parse::<Ipv6Net>() {
            Ok(prefix) if prefix.prefix_len() == PREFIX_LENGTH && prefix == prefix.trunc() => Ok(Self::Chosen(prefix)),
            _ => Err(ApiError::validation(format!(
                "'{text}' is not an IPv6 prefix of length {PREFIX_LENGTH} or auto_assigned (SourceNatIpv6Prefix)"
            ))),
        }
    }
}

/// Which IP versions a load balancer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) dualstack: bool,
    pub(super) prefix_for_source_nat: bool,
}

/// Reads `IpAddressType` and `EnablePrefixForIpv6SourceNat`; what a call does not say stays as it is.
pub(super) fn read(params: &Params, present: Versions) -> Result<Versions, ApiError> {
    let dualstack = match params.text("IpAddressType") {
        None => present.dualstack,
        Some("ipv4") => false,
        Some("dualstack") => true,
        Some(other) => {
            let message = format!("IP address type '{other}' is not supported on load balancers with type 'network'");
            return Err(configuration(&message));
        }
    };
    let asked = params.text("EnablePrefixForIpv6SourceNat").map(|text| text == "on");
    if asked == Some(true) && !dualstack {
        return Err(configuration("EnablePrefixForIpv6SourceNat needs IP address type dualstack"));
    }
    Ok(Versions { dualstack, prefix_for_source_nat: dualstack && asked.unwrap_or(present.prefix_for_source_nat) })
}

/// Checks that the subnets and mappings of a placement bear these versions.
pub(super) fn check_place(versions: Versions, place: &Placement, state: &State) -> Result<(), ApiError> {
    let subnets = || place.spots.values().filter_map(|spot| Some((spot, state.network.subnets.get(&spot.subnet_id)?)));
    if versions.dualstack {
        check_subnets(subnets().map(|(_, subnet)| subnet))?;
    }
    for (spot, subnet) in subnets() {
        let outside = |what: &str| Err(configuration(&format!("'{what}' is not in the IPv6 CIDR of subnet '{}'", subnet.id)));
        let holds = |inner: Ipv6Net| subnet.ipv6_cidr.is_some_and(|cidr| cidr.contains(&inner));
        match (spot.ipv6, versions.dualstack) {
            (Some(_), false) => return Err(configuration("IPv6Address needs IP address type dualstack")),
            (Some(address), true) if !holds(address.into()) => return outside(&address.to_string()),
            _ => {}
        }
        match (&spot.prefix, versions.prefix_for_source_nat) {
            (Some(_), false) => return Err(configuration("SourceNatIpv6Prefix needs EnablePrefixForIpv6SourceNat on")),
            (Some(Prefix::Chosen(prefix)), true) if !holds(*prefix) => return outside(&prefix.to_string()),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a load balancer's zones and listeners bear a change of its versions.
pub(super) fn check_change(versions: Versions, balancer: &LoadBalancer, state: &State) -> Result<(), ApiError> {
    if versions == balancer.versions() {
        return Ok(());
    }
    if versions.dualstack {
        check_subnets(balancer.zones.values().filter_map(|zone| state.network.subnets.get(&zone.subnet_id)))?;
    }
    let mut changed = balancer.clone();
    changed.set_versions(versions);
    state.balancing.listeners_of(&balancer.arn).try_for_each(|listener| forward::check(state, &changed, listener))
}

fn check_subnets<'a>(subnets: impl Iterator<Item = &'a Subnet>) -> Result<(), ApiError> {
    let without: Vec<&str> = subnets.filter(|subnet| subnet.ipv6_cidr.is_none()).map(|subnet| subnet.id.as_str()).collect();
    if without.is_empty() {
        return Ok(());
    }
    let message = format!("You must specify subnets with an associated IPv6 CIDR block: {} have none", without.join(", "));
    Err(ApiError::new("InvalidSubnet", message))
}

impl LoadBalancer {
    pub(super) fn versions(&self) -> Versions {
        Versions { dualstack: self.dualstack, prefix_for_source_nat: self.prefix_for_source_nat }
    }

    pub(super) fn set_versions(&mut self, versions: Versions) {
        self.dualstack = versions.dualstack;
        self.prefix_for_source_nat = versions.prefix_for_source_nat;
    }
}

/// Gives a zone the IPv6 address and prefix that its load balancer's versions call for, or takes them; what it has and needs it keeps.
pub(super) fn adjust(state: &State, balancer: &LoadBalancer, zone: &mut Zone, spot: Option<&Spot>) {
    let Some(cidr) = state.network.subnets.get(&zone.subnet_id).and_then(|subnet| subnet.ipv6_cidr) else { return };
    let others = || state.balancing.load_balancers.values().flat_map(|other| other.zones.values());
    let others = || others().filter(|other| other.interface_id != zone.interface_id && other.subnet_id == zone.subnet_id);
    // The first addresses of a subnet are AWS's own; the first /80 holds them, and single addresses are taken from it.
    let base = u128::from(cidr.network());
    let free_address = || {
        let mut candidates = (4..=u128::from(u16::MAX)).map(|offset| Ipv6Addr::from(base | offset));
        candidates.find(|candidate| others().all(|other| other.ipv6 != Some(*candidate)))
    };
    let free_prefix = || {
        let mut candidates = (1..=u128::from(u16::MAX))
            .filter_map(|number| Ipv6Net::new(Ipv6Addr::from(base | (number << (128 - PREFIX_LENGTH))), PREFIX_LENGTH).ok());
        candidates.find(|candidate| others().all(|other| other.source_nat_prefix != Some(*candidate)))
    };
    let chosen = spot.and_then(|spot| spot.ipv6);
    let (ipv6, ipv6_chosen) = match (balancer.dualstack, zone.ipv6) {
        (false, _) => (None, false),
        (true, Some(own)) => (Some(own), zone.ipv6_chosen),
        (true, None) => (chosen.or_else(free_address), chosen.is_some()),
    };
    let prefix = match (balancer.prefix_for_source_nat, spot.and_then(|spot| spot.prefix.as_ref())) {
        (false, _) => None,
        (true, Some(Prefix::Chosen(prefix))) => Some(*prefix),
        (true, _) => zone.source_nat_prefix.or_else(free_prefix),
    };
    zone.ipv6 = ipv6;
    zone.ipv6_chosen = ipv6_chosen;
    zone.source_nat_prefix = prefix;
}
