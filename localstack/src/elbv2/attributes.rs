//! The describe and modify actions for attributes; the attributes themselves are in `model/attributes.rs`.
//!
//! A modification is checked as a whole before any of it takes effect.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, no_listener, no_target_group};
use super::placement::{configuration, give_secondary};
use super::quotas;
use crate::error::ApiError;
use crate::model::attributes::{Attribute, LISTENER, LOAD_BALANCER, SECONDARY_ADDRESSES, TARGET_GROUP, effective};
use crate::model::balancing::{Listener, LoadBalancer, Protocol, TargetGroup, TargetKind};
use crate::model::network::Network;
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

/// Attribute keys that other kinds of load balancers have: AWS's refusal of these is another than that of unknown keys.
const FOREIGN: &[&str] = &["client_keep_alive.", "connection_logs.", "health_check_logs.", "idle_timeout.", "routing.", "waf."];

fn show(out: &mut Xml, attributes: BTreeMap<&str, &str>) {
    out.list("Attributes", attributes, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

/// Reads `Attributes.member.N` against a table.
fn read<T>(params: &Params, table: &[Attribute<T>], what: &str) -> Result<Vec<(String, String)>, ApiError> {
    let mut changes: Vec<(String, String)> = Vec::new();
    for attribute in params.items("Attributes") {
        let (key, value) = (attribute.required("Key"), attribute.text("Value").unwrap_or_default());
        let Some(row) = table.iter().find(|row| row.key == key) else {
            return Err(if FOREIGN.iter().any(|prefix| key.starts_with(prefix)) {
                configuration(&format!("{what} attribute key '{key}' is not supported on load balancers with type 'network'"))
            } else {
                ApiError::validation(format!("{what} attribute key '{key}' is not recognized"))
            });
        };
        if !row.accepts.accepts(value) {
            let allowed = row.accepts.describe();
            return Err(ApiError::validation(format!(
                "{what} attribute '{key}' cannot have the value '{value}': allowed are {allowed}"
            )));
        }
        if changes.iter().any(|(other, _)| other == key) {
            return Err(ApiError::validation(format!("{what} attribute key '{key}' was specified more than once")));
        }
        changes.push((key.to_owned(), value.to_owned()));
    }
    if changes.is_empty() {
        return Err(ApiError::validation("At least one attribute must be specified (Attributes)"));
    }
    Ok(changes)
}

pub(super) fn describe_load_balancer(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancer = names::load_balancer(&call.state.balancing, call.params.required("LoadBalancerArn"))?;
    show(out, effective(LOAD_BALANCER, balancer, &balancer.attributes));
    Ok(())
}

pub(super) fn modify_load_balancer(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("LoadBalancerArn");
    let balancer = names::load_balancer(&call.state.balancing, arn)?;
    let changes = read(call.params, LOAD_BALANCER, "Load balancer")?;
    if !balancer.dualstack && changes.iter().any(|(key, _)| key == "ipv6.deny_all_igw_traffic") {
        let message = "Load balancer attribute key 'ipv6.deny_all_igw_traffic' is not supported on load balancers with IP address type 'ipv4'";
        return Err(configuration(message));
    }
    let mut changed = balancer.clone();
    changed.attributes.extend(changes);
    let is = |key: &str, value: &str| changed.attribute_is(key, value);
    if is("access_logs.s3.enabled", "true") && is("access_logs.s3.bucket", "") {
        return Err(configuration("Access logs need a bucket: set access_logs.s3.bucket together with access_logs.s3.enabled"));
    }
    // `TooManyTargets` is no error of this action.
    quotas::check_targets(call.state, &changed, &BTreeSet::new(), &[]).map_err(|error| configuration(&error.message))?;
    check_secondary(&call.state.network, balancer, changed.secondary_addresses())?;
    for zone in changed.zones.values() {
        give_secondary(&mut call.state.network, &zone.interface_id, changed.secondary_addresses());
    }
    show(out, effective(LOAD_BALANCER, &changed, &changed.attributes));
    call.state.balancing.load_balancers.insert(arn.to_owned(), changed);
    Ok(())
}

fn check_secondary(network: &Network, balancer: &LoadBalancer, wanted: usize) -> Result<(), ApiError> {
    let present = balancer.secondary_addresses();
    if wanted < present {
        let message = format!("Load balancer attribute '{SECONDARY_ADDRESSES}' cannot be decreased from {present} to {wanted}");
        return Err(configuration(&message));
    }
    let more = u32::try_from(wanted - present).unwrap_or_default();
    let mut subnets = balancer.zones.values().filter_map(|zone| network.subnets.get(&zone.subnet_id));
    match subnets.find(|subnet| subnet.free_addresses() < more) {
        Some(subnet) => Err(configuration(&format!("Subnet '{}' has not {more} more addresses", subnet.id))),
        None => Ok(()),
    }
}

pub(super) fn describe_target_group(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let group = names::target_group(&call.state.balancing, call.params.required("TargetGroupArn"))?;
    show(out, effective(TARGET_GROUP, group, &group.attributes));
    Ok(())
}

pub(super) fn modify_target_group(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("TargetGroupArn");
    let group = call.state.balancing.target_groups.get_mut(arn).ok_or_else(|| no_target_group(arn))?;
    let changes = read(call.params, TARGET_GROUP, "Target group")?;
    check_group(group, &changes)?;
    group.attributes.extend(changes);
    show(out, effective(TARGET_GROUP, group, &group.attributes));
    Ok(())
}

/// Which values do not go with a group's protocol, its target type, or its other attributes.
fn check_group(group: &TargetGroup, changes: &[(String, String)]) -> Result<(), ApiError> {
    const TERMINATION: &str = "target_health_state.unhealthy.connection_termination.enabled";
    const DRAINING: &str = "target_health_state.unhealthy.draining_interval_seconds";
    let (protocol, kind) = (group.protocol.name(), group.kind.name());
    let udp = group.protocol.carries_udp();
    let alb = group.kind == TargetKind::Alb;
    for (key, refused, when) in [
        ("preserve_client_ip.enabled", "false", udp || group.protocol.carries_quic() || alb),
        ("proxy_protocol_v2.enabled", "true", alb),
        ("stickiness.enabled", "true", group.protocol == Protocol::Tls),
        (TERMINATION, "true", udp),
    ] {
        if when && changes.iter().any(|(changed, value)| changed == key && value == refused) {
            return Err(configuration(&format!(
                "Target group attribute '{key}' cannot be {refused} with protocol {protocol} and target type {kind}"
            )));
        }
    }
    let after = |key: &str| {
        changes.iter().find(|(changed, _)| changed == key).map_or_else(|| group.attribute(key), |(_, value)| value.as_str())
    };
    if changes.iter().any(|(key, _)| key == DRAINING) && after(TERMINATION) == "true" {
        return Err(configuration(&format!("Target group attribute '{DRAINING}' can be set only when '{TERMINATION}' is false")));
    }
    Ok(())
}

fn listener_attributes(listener: &Listener) -> BTreeMap<&str, &str> {
    match listener.protocol {
        Protocol::Tcp => effective(LISTENER, listener, &listener.attributes),
        _ => BTreeMap::new(),
    }
}

pub(super) fn describe_listener(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let listener = names::listener(&call.state.balancing, call.params.required("ListenerArn"))?;
    show(out, listener_attributes(listener));
    Ok(())
}

pub(super) fn modify_listener(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("ListenerArn");
    let listener = call.state.balancing.listeners.get_mut(arn).ok_or_else(|| no_listener(arn))?;
    let changes = read(call.params, LISTENER, "Listener")?;
    if listener.protocol != Protocol::Tcp {
        let (key, protocol) = (LISTENER.first().map_or("", |row| row.key), listener.protocol.name());
        return Err(configuration(&format!(
            "Listener attribute key '{key}' is not supported on listeners with protocol '{protocol}'"
        )));
    }
    listener.attributes.extend(changes);
    show(out, listener_attributes(listener));
    Ok(())
}
