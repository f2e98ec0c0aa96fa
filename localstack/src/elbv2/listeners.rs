//! Listeners: create, describe, modify, delete.
//!
//! Imports `forward` for actions, `tls` for certificates, `names`, `show`; `model/relations.rs` keeps target groups in step.

use std::collections::BTreeMap;

use super::names::{self, check_named, no_listener};
use super::{forward, show, tls};
use crate::error::ApiError;
use crate::model::Tags;
use crate::model::balancing::{Listener, LoadBalancer, Protocol};
use crate::page::page;
use crate::query::{self, Dialect, Params};
use crate::service::Call;
use crate::xml::Xml;

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let balancer = names::load_balancer(&call.state.balancing, params.required("LoadBalancerArn"))?;
    let protocol = read_protocol(params)?.ok_or_else(|| query::missing("Protocol", Dialect::Query))?;
    let mut listener = Listener {
        arn: String::new(),
        load_balancer: balancer.arn.clone(),
        port: read_port(params).ok_or_else(|| query::missing("Port", Dialect::Query))?,
        protocol,
        action: forward::read(params, "DefaultActions")?.ok_or_else(|| query::missing("DefaultActions", Dialect::Query))?,
        rules: BTreeMap::new(),
        default_rule_tags: Tags::new(),
        tls: tls::read(call, protocol, None)?,
        attributes: BTreeMap::new(),
        tags: names::tags(params)?,
    };
    let own: Vec<&Listener> = call.state.balancing.listeners_of(&balancer.arn).collect();
    if let Some(existing) = own.iter().find(|other| other.port == listener.port) {
        if same_settings(existing, &listener) {
            return answer(out, existing);
        }
        return Err(duplicate(balancer));
    }
    forward::check(call.state, balancer, &listener)?;
    let quota = call.state.quotas.listeners_per_load_balancer;
    if own.len() >= quota {
        let message = format!("Load balancer '{}' can have at most {quota} listeners", balancer.arn);
        return Err(ApiError::new("TooManyListeners", message));
    }
    let (name, id) = (balancer.name.clone(), balancer.id.clone());
    let state = &mut *call.state;
    let listener_id = state.ids.next("listener", 16);
    listener.arn = state.place.arn("elasticloadbalancing", &format!("listener/net/{name}/{id}/{listener_id}"));
    answer(out, &listener)?;
    state.put_listener(listener, call.now, call.durations);
    Ok(())
}

/// Certificates that were added since do not make another listener of it.
fn same_settings(existing: &Listener, asked: &Listener) -> bool {
    let tls =
        |listener: &Listener| listener.tls.as_ref().map(|tls| (tls.policy.clone(), tls.default_certificate.clone(), tls.alpn));
    existing.protocol == asked.protocol && existing.action == asked.action && tls(existing) == tls(asked)
}

pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let arn = params.required("ListenerArn");
    let mut listener = names::listener(&call.state.balancing, arn)?.clone();
    let balancer = names::load_balancer(&call.state.balancing, &listener.load_balancer)?;
    if let Some(protocol) = read_protocol(params)?.filter(|protocol| *protocol != listener.protocol) {
        listener.protocol = protocol;
        listener.attributes.clear();
    }
    listener.tls = tls::read(call, listener.protocol, listener.tls.as_ref())?;
    if let Some(port) = read_port(params) {
        listener.port = port;
    }
    if let Some(action) = forward::read(params, "DefaultActions")? {
        listener.action = action;
    }
    forward::check(call.state, balancer, &listener)?;
    if call.state.balancing.listeners_of(&balancer.arn).any(|other| other.arn != arn && other.port == listener.port) {
        return Err(duplicate(balancer));
    }
    answer(out, &listener)?;
    call.state.put_listener(listener, call.now, call.durations);
    Ok(())
}

fn answer(out: &mut Xml, listener: &Listener) -> Result<(), ApiError> {
    out.list("Listeners", [listener], show::listener);
    Ok(())
}

fn duplicate(balancer: &LoadBalancer) -> ApiError {
    ApiError::new(
        "DuplicateListener",
        format!("A listener already exists on this port for this load balancer '{}'", balancer.arn),
    )
}

fn read_protocol(params: &Params) -> Result<Option<Protocol>, ApiError> {
    let Some(text) = params.text("Protocol") else { return Ok(None) };
    let unsupported = || {
        let message = format!("Protocol '{text}' is not supported on listeners of load balancers with type 'network'");
        ApiError::new("UnsupportedProtocol", message)
    };
    Protocol::parse(text).ok_or_else(unsupported).map(Some)
}

fn read_port(params: &Params) -> Option<u16> {
    u16::try_from(params.number("Port")?).ok()
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancing = &call.state.balancing;
    let (arns, balancer) = (call.params.texts("ListenerArns"), call.params.text("LoadBalancerArn"));
    check_named("listeners", arns.len())?;
    let mut next = None;
    let shown: Vec<&Listener> = match balancer {
        None if arns.is_empty() => {
            return Err(ApiError::validation("You must specify either listener ARNs or a load balancer ARN"));
        }
        Some(_) if !arns.is_empty() => {
            return Err(ApiError::validation("Listener ARNs and a load balancer ARN cannot be specified at the same time"));
        }
        None => names::all_named(&balancing.listeners, &arns, no_listener)?,
        Some(arn) => {
            names::load_balancer(balancing, arn)?;
            let page = page(&balancing.listeners, call.params.text("Marker"), names::page_size(call.params), |listener| {
                listener.load_balancer == arn
            })?;
            next = page.next;
            page.items
        }
    };
    out.list("Listeners", shown, show::listener);
    out.optional("NextMarker", next);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("ListenerArn");
    names::listener(&call.state.balancing, arn)?;
    call.state.remove_listener(arn, call.now, call.durations);
    Ok(())
}
