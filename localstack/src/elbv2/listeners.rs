//! Listeners: create, describe, modify, delete.
//!
//! Imports `names`, `show`; `model/relations.rs` keeps target groups in step.

use super::names::{self, check_named, no_listener};
use super::placement::configuration;
use super::show;
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{Forward, Listener, LoadBalancer, Protocol};
use crate::page::page;
use crate::query::{self, Dialect, Params};
use crate::service::Call;
use crate::xml::Xml;

/// Listeners that a network load balancer may have.
const MAX_LISTENERS: usize = 50;

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let balancer = names::load_balancer(&call.state.balancing, params.required("LoadBalancerArn"))?;
    let protocol = read_protocol(params)?.ok_or_else(|| query::missing("Protocol", Dialect::Query))?;
    let port = read_port(params).ok_or_else(|| query::missing("Port", Dialect::Query))?;
    check_tls(params, protocol)?;
    let action = read_action(params)?.ok_or_else(|| query::missing("DefaultActions", Dialect::Query))?;
    let tags = names::tags(params)?;
    check_forward(call.state, balancer, protocol, &action)?;

    let own: Vec<&Listener> = call.state.balancing.listeners_of(&balancer.arn).collect();
    if let Some(existing) = own.iter().find(|listener| listener.port == port) {
        if existing.protocol == protocol && existing.action == action {
            return answer(out, existing);
        }
        return Err(duplicate(balancer));
    }
    if own.len() >= MAX_LISTENERS {
        let message = format!("Load balancer '{}' can have at most {MAX_LISTENERS} listeners", balancer.arn);
        return Err(ApiError::new("TooManyListeners", message));
    }
    let (name, id, load_balancer) = (balancer.name.clone(), balancer.id.clone(), balancer.arn.clone());
    let state = &mut *call.state;
    let listener_id = state.ids.next("listener", 16);
    let arn = state.place.arn("elasticloadbalancing", &format!("listener/net/{name}/{id}/{listener_id}"));
    let listener = Listener { arn, load_balancer, port, protocol, action, attributes: std::collections::BTreeMap::new(), tags };
    answer(out, &listener)?;
    state.put_listener(listener, call.now, call.durations);
    Ok(())
}

pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let arn = params.required("ListenerArn");
    let mut listener = names::listener(&call.state.balancing, arn)?.clone();
    let balancer = names::load_balancer(&call.state.balancing, &listener.load_balancer)?;
    if let Some(protocol) = read_protocol(params)? {
        listener.protocol = protocol;
    }
    check_tls(params, listener.protocol)?;
    if let Some(port) = read_port(params) {
        listener.port = port;
    }
    if let Some(action) = read_action(params)? {
        listener.action = action;
    }
    check_forward(call.state, balancer, listener.protocol, &listener.action)?;
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
        let message = format!("Protocol '{text}' is not supported: this emulator has listeners with TCP, TLS, UDP and TCP_UDP");
        ApiError::new("UnsupportedProtocol", message)
    };
    Protocol::parse(text).ok_or_else(unsupported).map(Some)
}

fn read_port(params: &Params) -> Option<u16> {
    u16::try_from(params.number("Port")?).ok()
}

/// TLS listeners need a certificate, and there is none: the emulator has neither ACM nor IAM server certificates yet.
fn check_tls(params: &Params, protocol: Protocol) -> Result<(), ApiError> {
    let certificates = params.items("Certificates");
    if protocol == Protocol::Tls {
        let Some(first) = certificates.first() else {
            return Err(ApiError::validation("A certificate must be specified for TLS listeners (Certificates)"));
        };
        let arn = first.required("CertificateArn");
        let message = format!("Certificate '{arn}' not found (this emulator has no certificates yet)");
        return Err(ApiError::new("CertificateNotFound", message));
    }
    for (name, given) in [
        ("Certificates", !certificates.is_empty()),
        ("SslPolicy", params.has("SslPolicy")),
        ("AlpnPolicy", !params.texts("AlpnPolicy").is_empty()),
    ] {
        if given {
            return Err(configuration(&format!("{name} can be specified for TLS listeners only, not for {}", protocol.name())));
        }
    }
    Ok(())
}

fn read_action(params: &Params) -> Result<Option<Forward>, ApiError> {
    let actions = params.items("DefaultActions");
    let action = match actions.as_slice() {
        [] => return Ok(None),
        [action] => action,
        _ => return Err(ApiError::new("TooManyActions", "A listener of a network load balancer has exactly one default action")),
    };
    match action.text("Type") {
        Some("forward") => {}
        other => {
            let kind = other.unwrap_or_default();
            let message =
                format!("Action type '{kind}' is not supported on listeners of load balancers with type 'network': use forward");
            return Err(ApiError::new("InvalidLoadBalancerAction", message));
        }
    }
    let mut groups: Vec<&str> =
        action.items("ForwardConfig.TargetGroups").into_iter().map(|group| group.required("TargetGroupArn")).collect();
    if let Some(single) = action.text("TargetGroupArn") {
        if groups.iter().any(|group| *group != single) {
            let message = "TargetGroupArn and ForwardConfig of an action must name the same target group";
            return Err(ApiError::validation(message));
        }
        groups = vec![single];
    }
    match groups.as_slice() {
        [] => Err(ApiError::validation("A forward action needs a target group (TargetGroupArn or ForwardConfig.TargetGroups)")),
        [group] => Ok(Some(Forward { target_group: (*group).to_owned(), order: action.number("Order") })),
        // AWS takes several since late 2025; the emulator's data plane does not weigh groups yet.
        _ => Err(ApiError::validation(
            "You cannot specify multiple target groups in a single action with a load balancer of type 'network'",
        )),
    }
}

fn check_forward(state: &State, balancer: &LoadBalancer, protocol: Protocol, action: &Forward) -> Result<(), ApiError> {
    let group = names::target_group(&state.balancing, &action.target_group)?;
    if group.vpc_id != balancer.vpc_id {
        let message = format!("Target group '{}' is in {}, the load balancer in {}", group.arn, group.vpc_id, balancer.vpc_id);
        return Err(configuration(&message));
    }
    if !protocol.forwards_to(group.protocol) {
        let message = format!(
            "Listener protocol '{}' is not compatible with protocol '{}' of target group '{}'",
            protocol.name(),
            group.protocol.name(),
            group.arn
        );
        return Err(ApiError::new("IncompatibleProtocols", message));
    }
    if group.load_balancer().is_some_and(|other| other != balancer.arn) {
        let message = format!("The following target groups cannot be associated with more than one load balancer: {}", group.arn);
        return Err(ApiError::new("TargetGroupAssociationLimit", message));
    }
    Ok(())
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
            let size = call.params.number("PageSize").and_then(|size| usize::try_from(size).ok()).unwrap_or(400);
            let page = page(&balancing.listeners, call.params.text("Marker"), size, |listener| listener.load_balancer == arn)?;
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
