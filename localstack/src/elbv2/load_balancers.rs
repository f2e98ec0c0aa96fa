//! Load balancers: create, describe, delete, `SetSubnets`, `SetSecurityGroups`, `SetIpAddressType`.
//!
//! Imports `placement` for subnets and addresses, `names` for checks, `show` for XML.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, check_name, check_named, no_load_balancer};
use super::placement::{self, Placement, configuration};
use super::show;
use crate::clock::after;
use crate::error::ApiError;
use crate::model::balancing::LoadBalancer;
use crate::model::network::Network;
use crate::model::timers::Event;
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

/// Network load balancers that a region may have.
pub(super) const MAX_LOAD_BALANCERS: usize = 50;
/// Security groups that an interface may have.
const MAX_GROUPS: usize = 5;

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let name = params.required("Name");
    check_name("load balancer", name)?;
    if name.starts_with("internal-") {
        return Err(ApiError::validation(format!("The load balancer name '{name}' cannot begin with 'internal-'")));
    }
    match params.text("Type") {
        Some("network") => {}
        other => {
            let kind = other.unwrap_or("application");
            let message = format!("Type '{kind}' is not supported: this emulator has network load balancers only (Type=network)");
            return Err(ApiError::validation(message));
        }
    }
    let internal = params.text("Scheme") == Some("internal");
    let tags = names::tags(params)?;
    let place = placement::read(params, &call.state.network, internal)?;
    check_address_type(params.text("IpAddressType"), &place)?;
    let groups = read_groups(params.texts("SecurityGroups"), &call.state.network, &place.vpc_id)?;

    let balancers = &call.state.balancing.load_balancers;
    if let Some(existing) = balancers.values().find(|balancer| balancer.name == name) {
        if !same_settings(existing, internal, &place, &groups) {
            let message = format!("A load balancer with the same name '{name}' exists, but with different settings");
            return Err(ApiError::new("DuplicateLoadBalancerName", message));
        }
        return answer(out, existing, &call.state.place.region);
    }
    if balancers.len() >= MAX_LOAD_BALANCERS {
        let message = format!("The maximum number of network load balancers ({MAX_LOAD_BALANCERS}) has been reached");
        return Err(ApiError::new("TooManyLoadBalancers", message));
    }
    for spot in place.spots.values() {
        placement::check_room(&call.state.network, spot)?;
    }

    let state = &mut *call.state;
    let id = state.ids.next("loadbalancer", 16);
    let arn = state.place.arn("elasticloadbalancing", &format!("loadbalancer/net/{name}/{id}"));
    let until = after(call.now, call.durations.provisioning);
    let mut balancer = LoadBalancer {
        dns_name: format!("{name}-{id}.elb.{}.{}", state.place.region, domain(&state.place.region)),
        arn: arn.clone(),
        name: name.to_owned(),
        id,
        internal,
        vpc_id: place.vpc_id.clone(),
        created: call.now,
        provisioning: Some(until),
        serving: false,
        failure: None,
        resolvable: after(call.now, call.durations.dns_propagation),
        zones: BTreeMap::new(),
        enforce_private_link: (!groups.is_empty()).then(|| "on".to_owned()),
        security_groups: groups,
        attributes: BTreeMap::new(),
        tags,
    };
    for (zone, spot) in &place.spots {
        if let Some(occupied) = placement::occupy(state, &balancer, zone, spot) {
            balancer.zones.insert(zone.clone(), occupied);
        }
    }
    state.timers.plan(until, Event::Provisioned { load_balancer: arn.clone() });
    answer(out, &balancer, &state.place.region)?;
    state.balancing.load_balancers.insert(arn, balancer);
    Ok(())
}

fn answer(out: &mut Xml, balancer: &LoadBalancer, region: &str) -> Result<(), ApiError> {
    out.list("LoadBalancers", [balancer], |xml, balancer| show::load_balancer(xml, balancer, region));
    Ok(())
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn same_settings(existing: &LoadBalancer, internal: bool, place: &Placement, groups: &[String]) -> bool {
    let subnets = |zones: &BTreeMap<String, crate::model::balancing::Zone>| -> BTreeSet<(String, Option<std::net::Ipv4Addr>)> {
        zones.values().map(|zone| (zone.subnet_id.clone(), zone.chosen.then_some(zone.address))).collect()
    };
    let asked: BTreeSet<_> = place.spots.values().map(|spot| (spot.subnet_id.clone(), spot.address)).collect();
    existing.internal == internal
        && subnets(&existing.zones) == asked
        && existing.security_groups.iter().collect::<BTreeSet<_>>() == groups.iter().collect()
}

fn check_address_type(asked: Option<&str>, place: &Placement) -> Result<(), ApiError> {
    match asked {
        None | Some("ipv4") => Ok(()),
        Some(_) => {
            let subnets: Vec<&str> = place.spots.values().map(|spot| spot.subnet_id.as_str()).collect();
            // True of every subnet here: the emulator's subnets have no IPv6 CIDR block.
            Err(no_ipv6(&subnets.join(", ")))
        }
    }
}

fn no_ipv6(subnets: &str) -> ApiError {
    ApiError::new("InvalidSubnet", format!("You must specify subnets with an associated IPv6 CIDR block: {subnets} have none"))
}

fn read_groups(ids: Vec<&str>, network: &Network, vpc_id: &str) -> Result<Vec<String>, ApiError> {
    let mut groups = Vec::new();
    for id in ids {
        let group = network.security_groups.get(id).ok_or_else(|| {
            ApiError::new(
                "InvalidSecurityGroup",
                format!("Security group '{id}' does not exist (one or more security groups are invalid)"),
            )
        })?;
        if group.vpc_id != vpc_id {
            return Err(configuration(&format!(
                "Security group '{id}' belongs to {}, the load balancer to {vpc_id}",
                group.vpc_id
            )));
        }
        if !groups.contains(&group.id) {
            groups.push(group.id.clone());
        }
    }
    if groups.len() > MAX_GROUPS {
        return Err(configuration(&format!(
            "A load balancer can have at most {MAX_GROUPS} security groups, not {}",
            groups.len()
        )));
    }
    Ok(groups)
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancers = &call.state.balancing.load_balancers;
    let (arns, wanted) = (call.params.texts("LoadBalancerArns"), call.params.texts("Names"));
    if !arns.is_empty() && !wanted.is_empty() {
        return Err(ApiError::validation("Load balancer names and load balancer ARNs cannot be specified at the same time"));
    }
    check_named("load balancers", arns.len() + wanted.len())?;
    let mut next = None;
    let shown: Vec<&LoadBalancer> = if !arns.is_empty() {
        names::all_named(balancers, &arns, no_load_balancer)?
    } else if !wanted.is_empty() {
        let by_name: BTreeMap<&str, &LoadBalancer> =
            balancers.values().map(|balancer| (balancer.name.as_str(), balancer)).collect();
        wanted.iter().map(|name| by_name.get(name).copied().ok_or_else(|| no_load_balancer(name))).collect::<Result<_, _>>()?
    } else {
        let size = call.params.number("PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(400);
        let page = page(balancers, call.params.text("Marker"), size, |_| true)?;
        next = page.next;
        page.items
    };
    let region = &call.state.place.region;
    out.list("LoadBalancers", shown, |xml, balancer| show::load_balancer(xml, balancer, region));
    out.optional("NextMarker", next);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    let state = &mut *call.state;
    // Deleting what is not there succeeds (API reference).
    let Some(balancer) = state.balancing.load_balancers.get(arn) else { return Ok(()) };
    if balancer.attribute_is("deletion_protection.enabled", "true") {
        let message = format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    let listeners: Vec<String> = state.balancing.listeners_of(arn).map(|listener| listener.arn.clone()).collect();
    for listener in listeners {
        state.remove_listener(&listener, call.now, call.durations);
    }
    if let Some(balancer) = state.balancing.load_balancers.remove(arn) {
        for zone in balancer.zones.values() {
            placement::vacate(state, zone, call.now, call.durations);
        }
    }
    Ok(())
}

pub(super) fn set_subnets(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    let state = &mut *call.state;
    let mut balancer = names::load_balancer(&state.balancing, arn)?.clone();
    let place = placement::read(call.params, &state.network, balancer.internal)?;
    check_address_type(call.params.text("IpAddressType"), &place)?;
    if place.vpc_id != balancer.vpc_id {
        return Err(configuration(&format!("The subnets belong to {}, the load balancer to {}", place.vpc_id, balancer.vpc_id)));
    }
    for (name, spot) in &place.spots {
        match balancer.zones.get(name) {
            None => placement::check_room(&state.network, spot)?,
            Some(zone) if zone.subnet_id != spot.subnet_id => {
                let message =
                    format!("The subnet of zone {name} cannot be changed in one call: remove the zone first, then add it again");
                return Err(configuration(&message));
            }
            Some(zone) if spot.address.is_some_and(|address| address != zone.address) => {
                return Err(configuration(&format!("The address of zone {name} cannot be changed: remove the zone first")));
            }
            Some(_) => {}
        }
    }
    let before = balancer.zones.clone();
    balancer.zones.retain(|name, _| place.spots.contains_key(name));
    for (name, zone) in before.iter().filter(|(name, _)| !place.spots.contains_key(*name)) {
        tracing::debug!(load_balancer = balancer.name, zone = name, "zone removed");
        placement::vacate(state, zone, call.now, call.durations);
    }
    for (name, spot) in &place.spots {
        if !before.contains_key(name)
            && let Some(zone) = placement::occupy(state, &balancer, name, spot)
        {
            balancer.zones.insert(name.clone(), zone);
        }
    }
    show::zones(out, &balancer);
    out.text("IpAddressType", "ipv4");
    out.text("EnablePrefixForIpv6SourceNat", "off");
    if balancer.zones != before {
        state.balancing.load_balancers.insert(arn.to_owned(), balancer);
        state.reprovision(arn, call.now, call.durations);
        for group in state.groups_of(arn) {
            state.refresh_use(&group, call.now, call.durations);
        }
    }
    Ok(())
}

pub(super) fn set_security_groups(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    let state = &mut *call.state;
    let balancer = names::load_balancer(&state.balancing, arn)?;
    if balancer.security_groups.is_empty() {
        let message = "Security groups cannot be set for a network load balancer that was created without security groups";
        return Err(configuration(message));
    }
    let groups = read_groups(call.params.texts("SecurityGroups"), &state.network, &balancer.vpc_id)?;
    if groups.is_empty() {
        return Err(configuration("The security groups of a network load balancer cannot all be removed"));
    }
    let changed = balancer.security_groups != groups;
    let Some(balancer) = state.balancing.load_balancers.get_mut(arn) else { return Err(no_load_balancer(arn)) };
    if let Some(enforce) = call.params.text("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic") {
        balancer.enforce_private_link = Some(enforce.to_owned());
    }
    balancer.security_groups.clone_from(&groups);
    for zone in balancer.zones.values() {
        if let Some(interface) = state.network.interfaces.get_mut(&zone.interface_id) {
            interface.security_groups.clone_from(&groups);
        }
    }
    out.texts("SecurityGroupIds", &groups);
    out.optional("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", balancer.enforce_private_link.as_ref());
    if changed {
        state.reprovision(arn, call.now, call.durations);
    }
    Ok(())
}

pub(super) fn set_ip_address_type(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancer = names::load_balancer(&call.state.balancing, call.params.required("LoadBalancerArn"))?;
    if call.params.text("IpAddressType") != Some("ipv4") {
        let subnets: Vec<&str> = balancer.zones.values().map(|zone| zone.subnet_id.as_str()).collect();
        return Err(no_ipv6(&subnets.join(", ")));
    }
    out.text("IpAddressType", "ipv4");
    Ok(())
}
