//! Load balancers: create, describe, delete, `SetSubnets`, `SetSecurityGroups`, `SetIpAddressType`.
//!
//! Imports `placement` for subnets and addresses, `names` for checks, `show` for XML.

use std::collections::{BTreeMap, BTreeSet};

use super::ipv6::{self, Versions};
use super::names::{self, check_name, check_named, no_load_balancer};
use super::placement::{self, Placement, Spot, configuration};
use super::{capacity, show};
use crate::clock::after;
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{Capacity, LoadBalancer};
use crate::model::network::{Interface, InterfaceOwner};
use crate::model::timers::Event;
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

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
    let versions = ipv6::read(params, Versions { dualstack: false, prefix_for_source_nat: false })?;
    ipv6::check_place(versions, &place, call.state)?;
    let groups = read_groups(params.texts("SecurityGroups"), call.state, &place.vpc_id)?;

    let balancers = &call.state.balancing.load_balancers;
    if let Some(existing) = balancers.values().find(|balancer| balancer.name == name) {
        if !same_settings(existing, internal, versions, &place, &groups) {
            let message = format!("A load balancer with the same name '{name}' exists, but with different settings");
            return Err(ApiError::new("DuplicateLoadBalancerName", message));
        }
        return answer(out, existing, &call.state.place.region);
    }
    let quota = call.state.quotas.load_balancers;
    if balancers.len() >= quota {
        let message = format!("The maximum number of network load balancers ({quota}) has been reached");
        return Err(ApiError::new("TooManyLoadBalancers", message));
    }
    for spot in place.spots.values() {
        placement::check_room(&call.state.network, spot)?;
    }
    check_interfaces(call.state, &place.vpc_id, place.spots.len())?;

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
        dualstack: versions.dualstack,
        prefix_for_source_nat: versions.prefix_for_source_nat,
        capacity: Capacity::default(),
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

/// Refuses more interfaces of load balancers than a VPC may have.
fn check_interfaces(state: &State, vpc_id: &str, added: usize) -> Result<(), ApiError> {
    let quota = state.quotas.interfaces_per_vpc;
    let owned = |interface: &&Interface| interface.vpc_id == vpc_id && interface.owner == InterfaceOwner::LoadBalancer;
    if state.network.interfaces.values().filter(owned).count() + added > quota {
        let message = format!("{vpc_id} can have at most {quota} network interfaces of network load balancers");
        return Err(ApiError::new("TooManyLoadBalancers", message));
    }
    Ok(())
}

fn answer(out: &mut Xml, balancer: &LoadBalancer, region: &str) -> Result<(), ApiError> {
    out.list("LoadBalancers", [balancer], |xml, balancer| show::load_balancer(xml, balancer, region));
    Ok(())
}

fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn same_settings(existing: &LoadBalancer, internal: bool, versions: Versions, place: &Placement, groups: &[String]) -> bool {
    // A prefix may be left to AWS, so it does not count.
    let own = existing.zones.values().map(|zone| Spot {
        subnet_id: zone.subnet_id.clone(),
        address: zone.chosen.then_some(zone.address),
        elastic: zone.elastic.as_ref().map(|(allocation, _)| allocation.clone()),
        ipv6: zone.ipv6.filter(|_| zone.ipv6_chosen),
        prefix: None,
    });
    let asked = place.spots.values().map(|spot| Spot { prefix: None, ..spot.clone() });
    existing.internal == internal
        && existing.versions() == versions
        && own.collect::<BTreeSet<_>>() == asked.collect()
        && existing.security_groups.iter().collect::<BTreeSet<_>>() == groups.iter().collect()
}

fn read_groups(ids: Vec<&str>, state: &State, vpc_id: &str) -> Result<Vec<String>, ApiError> {
    let mut groups = Vec::new();
    for id in ids {
        let group = state.network.security_groups.get(id).ok_or_else(|| {
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
    let quota = state.quotas.security_groups_per_interface;
    if groups.len() > quota {
        return Err(configuration(&format!("A load balancer can have at most {quota} security groups, not {}", groups.len())));
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
        let page = page(balancers, call.params.text("Marker"), names::page_size(call.params), |_| true)?;
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
    let versions = ipv6::read(call.params, balancer.versions())?;
    ipv6::check_place(versions, &place, state)?;
    if place.vpc_id != balancer.vpc_id {
        return Err(configuration(&format!("The subnets belong to {}, the load balancer to {}", place.vpc_id, balancer.vpc_id)));
    }
    for (name, spot) in &place.spots {
        match balancer.zones.get(name) {
            Some(zone) => placement::check_kept(name, zone, spot)?,
            // `ResourceInUse` is no error of this action.
            None => placement::check_room(&state.network, spot).map_err(|error| match error.code.as_str() {
                "ResourceInUse" => configuration(&error.message),
                _ => error,
            })?,
        }
    }
    if capacity::is_pending(&balancer, call.now) {
        let message = format!("The capacity reservation of load balancer '{arn}' is still pending");
        return Err(ApiError::new("CapacityReservationPending", message));
    }
    let before = balancer.clone();
    balancer.zones.retain(|name, _| place.spots.contains_key(name));
    ipv6::check_change(versions, &LoadBalancer { zones: balancer.zones.clone(), ..before.clone() }, state)?;
    balancer.set_versions(versions);
    for (name, zone) in before.zones.iter().filter(|(name, _)| !place.spots.contains_key(*name)) {
        tracing::debug!(load_balancer = balancer.name, zone = name, "zone removed");
        placement::vacate(state, zone, call.now, call.durations);
    }
    for (name, spot) in &place.spots {
        let zone = match before.zones.get(name) {
            Some(kept) => {
                let mut kept = kept.clone();
                ipv6::adjust(state, &balancer, &mut kept, Some(spot));
                Some(kept)
            }
            None => placement::occupy(state, &balancer, name, spot),
        };
        balancer.zones.extend(zone.map(|zone| (name.clone(), zone)));
    }
    show::zones(out, &balancer);
    show::versions(out, &balancer);
    if balancer.zones != before.zones || versions != before.versions() {
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
    let groups = read_groups(call.params.texts("SecurityGroups"), state, &balancer.vpc_id)?;
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
    let arn = call.params.required("LoadBalancerArn");
    let state = &mut *call.state;
    let mut balancer = names::load_balancer(&state.balancing, arn)?.clone();
    let versions = ipv6::read(call.params, balancer.versions())?;
    ipv6::check_change(versions, &balancer, state)?;
    out.text("IpAddressType", if versions.dualstack { "dualstack" } else { "ipv4" });
    if versions == balancer.versions() {
        return Ok(());
    }
    balancer.set_versions(versions);
    let mut zones = std::mem::take(&mut balancer.zones);
    for zone in zones.values_mut() {
        ipv6::adjust(state, &balancer, zone, None);
    }
    balancer.zones = zones;
    state.balancing.load_balancers.insert(arn.to_owned(), balancer);
    state.reprovision(arn, call.now, call.durations);
    Ok(())
}
