//! Actions of listeners and rules: what they may say, and which target groups a listener may forward to.
//!
//! Imports `names`, `quotas`, `model`. The weights are the data plane's business.

use super::names;
use super::placement::configuration;
use super::quotas;
use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{Forward, Listener, LoadBalancer, Protocol, Share, TargetGroup, TargetKind};
use crate::query::Params;

/// Target groups that one action may name. Not documented for network load balancers; application load balancers have the same number.
pub(super) const MAX_GROUPS: usize = 5;

/// Reads `DefaultActions` or `Actions`; `None` when it is not there.
pub(super) fn read(params: &Params, list: &str) -> Result<Option<Forward>, ApiError> {
    let actions = params.items(list);
    let action = match actions.as_slice() {
        [] => return Ok(None),
        [action] => action,
        _ => return Err(ApiError::new("TooManyActions", "A network load balancer has exactly one action in a listener or rule")),
    };
    if action.text("Type") != Some("forward") {
        let kind = action.required("Type");
        let message =
            format!("Action type '{kind}' is not supported on listeners of load balancers with type 'network': use forward");
        return Err(ApiError::new("InvalidLoadBalancerAction", message));
    }
    let groups = read_groups(action)?;
    if action.has("ForwardConfig.TargetGroupStickinessConfig.DurationSeconds") {
        let message = "TargetGroupStickinessConfig.DurationSeconds is not supported on load balancers with type 'network'";
        return Err(configuration(message));
    }
    let sticky = action.truth("ForwardConfig.TargetGroupStickinessConfig.Enabled") == Some(true);
    if sticky && groups.len() == 1 {
        return Err(configuration("Target group stickiness needs more than one target group (TargetGroupStickinessConfig)"));
    }
    Ok(Some(Forward { groups, order: action.number("Order"), sticky }))
}

fn read_groups(action: &Params) -> Result<Vec<Share>, ApiError> {
    let single = action.text("TargetGroupArn");
    let listed = action.items("ForwardConfig.TargetGroups");
    let mut groups: Vec<Share> = Vec::new();
    for group in &listed {
        let target_group = group.required("TargetGroupArn").to_owned();
        if groups.iter().any(|other| other.target_group == target_group) {
            return Err(ApiError::validation(format!("Target group '{target_group}' is specified more than once in an action")));
        }
        let weight = group.number("Weight").and_then(|weight| u16::try_from(weight).ok());
        if weight.is_none() && listed.len() > 1 {
            let message = format!("Target group '{target_group}' needs a weight, as every one of several groups does (Weight)");
            return Err(ApiError::validation(message));
        }
        let weight = weight.unwrap_or(1);
        groups.push(Share { target_group, weight });
    }
    match single {
        Some(single) if groups.is_empty() => groups.push(Share { target_group: single.to_owned(), weight: 1 }),
        Some(single) if groups.len() > 1 || groups.iter().any(|share| share.target_group != single) => {
            let message = "TargetGroupArn and ForwardConfig of an action must name the same single target group";
            return Err(ApiError::validation(message));
        }
        _ => {}
    }
    if groups.is_empty() {
        return Err(ApiError::validation("A forward action needs a target group (TargetGroupArn or ForwardConfig.TargetGroups)"));
    }
    if groups.len() > MAX_GROUPS {
        let message = format!("An action can forward to at most {MAX_GROUPS} target groups, not {}", groups.len());
        return Err(ApiError::new("TooManyUniqueTargetGroupsPerLoadBalancer", message));
    }
    Ok(groups)
}

/// Whether a load balancer may have this listener as it is: its protocol beside the other listeners, its actions, its targets.
pub(super) fn check(state: &State, balancer: &LoadBalancer, listener: &Listener) -> Result<(), ApiError> {
    check_protocol(state, balancer, listener)?;
    if !balancer.dualstack && !listener.rules.is_empty() {
        let message = format!("Load balancer '{}' cannot have rules unless its IP address type is dualstack", balancer.arn);
        return Err(configuration(&message));
    }
    let rules = listener.rules.values().map(|rule| &rule.action);
    for action in std::iter::once(&listener.action).chain(rules) {
        let mut kinds: Option<bool> = None;
        for arn in action.target_groups() {
            let group = names::target_group(&state.balancing, arn)?;
            check_group(balancer, listener, group)?;
            if *kinds.get_or_insert(group.ipv6) != group.ipv6 {
                return Err(configuration("The target groups of an action must all have the same IP address type"));
            }
        }
    }
    quotas::check_targets(state, balancer, &listener.target_groups(), &[])
}

fn check_protocol(state: &State, balancer: &LoadBalancer, listener: &Listener) -> Result<(), ApiError> {
    let protocol = listener.protocol;
    let refuse = |why: &str| Err(configuration(&format!("A {} listener cannot be on a load balancer {why}", protocol.name())));
    let others: Vec<Protocol> = state
        .balancing
        .listeners_of(&balancer.arn)
        .filter(|other| other.arn != listener.arn)
        .map(|other| other.protocol)
        .collect();
    if protocol.carries_quic() {
        if !balancer.security_groups.is_empty() {
            return refuse("with security groups");
        }
        if balancer.dualstack {
            return refuse("with IP address type dualstack");
        }
        if others.iter().any(|other| other.carries_quic()) {
            return refuse("that has another QUIC or TCP_QUIC listener");
        }
        if others.iter().any(|other| other.carries_udp()) {
            return refuse("that has UDP or TCP_UDP listeners");
        }
    }
    if protocol.carries_udp() {
        if others.iter().any(|other| other.carries_quic()) {
            return refuse("that has a QUIC or TCP_QUIC listener");
        }
        if balancer.dualstack && !balancer.prefix_for_source_nat {
            return refuse("with IP address type dualstack unless EnablePrefixForIpv6SourceNat is on");
        }
    }
    if protocol == Protocol::Tls && balancer.capacity.units.is_some() {
        return refuse("with reserved capacity");
    }
    Ok(())
}

fn check_group(balancer: &LoadBalancer, listener: &Listener, group: &TargetGroup) -> Result<(), ApiError> {
    if group.vpc_id != balancer.vpc_id {
        let message = format!("Target group '{}' is in {}, the load balancer in {}", group.arn, group.vpc_id, balancer.vpc_id);
        return Err(configuration(&message));
    }
    let protocol = listener.protocol;
    if !protocol.forwards_to(group.protocol) || (group.kind == TargetKind::Alb && protocol != Protocol::Tcp) {
        let message = format!(
            "Listener protocol '{}' is not compatible with protocol '{}' of target group '{}' with target type {}",
            protocol.name(),
            group.protocol.name(),
            group.arn,
            group.kind.name()
        );
        return Err(ApiError::new("IncompatibleProtocols", message));
    }
    if group.ipv6 && !balancer.dualstack {
        let message = format!("Target group '{}' has IP address type ipv6, which needs a dualstack load balancer", group.arn);
        return Err(configuration(&message));
    }
    if !group.ipv6 && balancer.dualstack && protocol.carries_udp() {
        let message = format!(
            "Target group '{}' has IP address type ipv4: a {} listener of a dualstack load balancer needs ipv6 target groups",
            group.arn,
            protocol.name()
        );
        return Err(configuration(&message));
    }
    if group.load_balancer().is_some_and(|other| other != balancer.arn) {
        let message = format!("The following target groups cannot be associated with more than one load balancer: {}", group.arn);
        return Err(ApiError::new("TargetGroupAssociationLimit", message));
    }
    Ok(())
}
