//! Target groups: create, describe, modify, delete.
//!
//! Imports `check` for health checks, `names`, `show`.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, check_name, check_named, no_target_group};
use super::placement::configuration;
use super::{check, show};
use crate::error::ApiError;
use crate::model::balancing::{Protocol, TargetGroup, TargetKind};
use crate::page::page;
use crate::service::Call;
use crate::xml::Xml;

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let name = params.required("Name");
    check_name("target group", name)?;
    let kind = match params.text("TargetType") {
        None | Some("instance") => TargetKind::Instance,
        Some("ip") => TargetKind::Ip,
        Some("alb") => TargetKind::Alb,
        Some(other) => {
            let message = format!("TargetType '{other}' is not supported for target groups of a network load balancer");
            return Err(ApiError::validation(message));
        }
    };
    let protocol = params.required("Protocol");
    if protocol.is_empty() {
        return Err(ApiError::validation("A protocol must be specified (Protocol)"));
    }
    let protocol = Protocol::parse(protocol).ok_or_else(|| {
        ApiError::validation(format!(
            "Protocol '{protocol}' is not supported: this emulator has groups of network load balancers only"
        ))
    })?;
    if kind == TargetKind::Alb && protocol != Protocol::Tcp {
        return Err(configuration("Target groups with target type alb have protocol TCP"));
    }
    let ipv6 = params.text("IpAddressType") == Some("ipv6");
    if ipv6 && kind == TargetKind::Alb {
        return Err(configuration("Target groups with target type alb have IP address type ipv4"));
    }
    let port = params.number("Port").and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| ApiError::validation("A port must be specified (Port)"))?;
    let vpc_id = params.text("VpcId").ok_or_else(|| ApiError::validation("A VPC ID must be specified (VpcId)"))?;
    if !call.state.network.vpcs.contains_key(vpc_id) {
        return Err(ApiError::validation(format!("The VPC ID '{vpc_id}' is not found")));
    }
    let mut group = TargetGroup {
        arn: String::new(),
        name: name.to_owned(),
        protocol,
        port,
        vpc_id: vpc_id.to_owned(),
        kind,
        ipv6,
        check: check::read(params, kind, None)?,
        attributes: BTreeMap::new(),
        tags: names::tags(params)?,
        targets: BTreeMap::new(),
        listeners: BTreeMap::new(),
        busy_until: None,
        cut: BTreeSet::new(),
    };
    let groups = &call.state.balancing.target_groups;
    if let Some(existing) = groups.values().find(|other| other.name == name) {
        if !same_settings(existing, &group) {
            let message = format!("A target group with the same name '{name}' exists, but with different settings");
            return Err(ApiError::new("DuplicateTargetGroupName", message));
        }
        return answer(out, existing);
    }
    let quota = call.state.quotas.target_groups;
    if groups.len() >= quota {
        let message = format!("The maximum number of target groups ({quota}) has been reached");
        return Err(ApiError::new("TooManyTargetGroups", message));
    }
    let id = call.state.ids.next("targetgroup", 16);
    group.arn = call.state.place.arn("elasticloadbalancing", &format!("targetgroup/{name}/{id}"));
    answer(out, &group)?;
    call.state.balancing.target_groups.insert(group.arn.clone(), group);
    Ok(())
}

fn same_settings(existing: &TargetGroup, asked: &TargetGroup) -> bool {
    let settings =
        |group: &TargetGroup| (group.kind, group.protocol, group.port, group.vpc_id.clone(), group.ipv6, group.check.clone());
    settings(existing) == settings(asked)
}

fn answer(out: &mut Xml, group: &TargetGroup) -> Result<(), ApiError> {
    out.list("TargetGroups", [group], show::target_group);
    Ok(())
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let balancing = &call.state.balancing;
    let params = call.params;
    let (arns, wanted, balancer) = (params.texts("TargetGroupArns"), params.texts("Names"), params.text("LoadBalancerArn"));
    let ways = [!arns.is_empty(), !wanted.is_empty(), balancer.is_some()];
    if ways.into_iter().filter(|given| *given).count() > 1 {
        let message = "Only one of load balancer ARN, target group ARNs and target group names can be specified";
        return Err(ApiError::validation(message));
    }
    check_named("target groups", arns.len() + wanted.len())?;
    let mut next = None;
    let shown: Vec<&TargetGroup> = if !arns.is_empty() {
        names::all_named(&balancing.target_groups, &arns, no_target_group)?
    } else if !wanted.is_empty() {
        let by_name: BTreeMap<&str, &TargetGroup> =
            balancing.target_groups.values().map(|group| (group.name.as_str(), group)).collect();
        wanted.iter().map(|name| by_name.get(name).copied().ok_or_else(|| no_target_group(name))).collect::<Result<_, _>>()?
    } else {
        if let Some(arn) = balancer {
            names::load_balancer(balancing, arn)?;
        }
        let belongs = |group: &TargetGroup| balancer.is_none_or(|arn| group.load_balancer() == Some(arn));
        let page = page(&balancing.target_groups, params.text("Marker"), names::page_size(params), belongs)?;
        next = page.next;
        page.items
    };
    out.list("TargetGroups", shown, show::target_group);
    out.optional("NextMarker", next);
    Ok(())
}

pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("TargetGroupArn");
    let group = call.state.balancing.target_groups.get_mut(arn).ok_or_else(|| no_target_group(arn))?;
    group.check = check::read(call.params, group.kind, Some(&group.check))?;
    answer(out, group)
}

pub(super) fn delete(call: &mut Call<'_>, _out: &mut Xml) -> Result<(), ApiError> {
    let arn = call.params.required("TargetGroupArn");
    // Not found is no modelled error of this action: deleting what is not there succeeds.
    let Some(group) = call.state.balancing.target_groups.get(arn) else { return Ok(()) };
    if group.busy(call.now) {
        let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
        return Err(ApiError::new("ResourceInUse", message));
    }
    call.state.balancing.target_groups.remove(arn);
    Ok(())
}
