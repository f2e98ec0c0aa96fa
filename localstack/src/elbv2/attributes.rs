//! The describe and modify actions for attributes; the attributes themselves are in `model/attributes.rs`.
//!
//! A modification is checked as a whole before any of it takes effect.

use std::collections::BTreeMap;

use super::names::{self, no_listener, no_load_balancer, no_target_group};
use super::placement::configuration;
use crate::error::ApiError;
use crate::model::attributes::{Attribute, LISTENER, LOAD_BALANCER, TARGET_GROUP, effective};
use crate::model::balancing::{Listener, Protocol};
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
    let balancer = call.state.balancing.load_balancers.get_mut(arn).ok_or_else(|| no_load_balancer(arn))?;
    let changes = read(call.params, LOAD_BALANCER, "Load balancer")?;
    if changes.iter().any(|(key, _)| key == "ipv6.deny_all_igw_traffic") {
        let message = "Load balancer attribute key 'ipv6.deny_all_igw_traffic' is not supported on load balancers with IP address type 'ipv4'";
        return Err(configuration(message));
    }
    let mut attributes = balancer.attributes.clone();
    attributes.extend(changes);
    let is = |key: &str, value: &str| attributes.get(key).is_some_and(|own| own == value);
    if is("access_logs.s3.enabled", "true") && attributes.get("access_logs.s3.bucket").is_none_or(String::is_empty) {
        return Err(configuration("Access logs need a bucket: set access_logs.s3.bucket together with access_logs.s3.enabled"));
    }
    balancer.attributes = attributes;
    show(out, effective(LOAD_BALANCER, balancer, &balancer.attributes));
    Ok(())
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
    if group.protocol.carries_udp() {
        for (key, refused) in
            [("preserve_client_ip.enabled", "false"), ("target_health_state.unhealthy.connection_termination.enabled", "true")]
        {
            if changes.iter().any(|(changed, value)| changed == key && value == refused) {
                let protocol = group.protocol.name();
                return Err(configuration(&format!(
                    "Target group attribute '{key}' cannot be {refused} with protocol {protocol}"
                )));
            }
        }
    }
    group.attributes.extend(changes);
    show(out, effective(TARGET_GROUP, group, &group.attributes));
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
