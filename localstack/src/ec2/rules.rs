//! Security-group rules: authorize, revoke, describe, modify.
//!
//! A call takes effect as a whole or not at all. Imports `permissions` for what a call asks, `filter`, `show`, `tags`.

use super::filter::{Described, Kind, select};
use super::permissions::{self, check_description, read_group, read_ports, read_prefix_list, read_v4, read_v6};
use super::{security_groups, show, tags};
use crate::error::ApiError;
use crate::model::Tags;
use crate::model::network::{Network, Peer, Rule, SecurityGroup, Traffic};
use crate::query::Params;
use crate::service::Call;
use crate::xml::Xml;

const KIND: Kind = Kind { parameter: "SecurityGroupRuleId", prefix: "sgr-", missing: "InvalidSecurityGroupRuleId.NotFound" };

pub(super) fn authorize_ingress(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    authorize(call, out, false)
}

pub(super) fn authorize_egress(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    authorize(call, out, true)
}

pub(super) fn revoke_ingress(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    revoke(call, out, false)
}

pub(super) fn revoke_egress(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    revoke(call, out, true)
}

fn own_rules<'a>(network: &'a Network, group: &'a SecurityGroup, egress: bool) -> impl Iterator<Item = &'a Rule> {
    network.rules.values().filter(move |rule| rule.group_id == group.id && rule.egress == egress)
}

fn authorize(call: &mut Call<'_>, out: &mut Xml, egress: bool) -> Result<(), ApiError> {
    let group = security_groups::find(&call.state.network, call.params.required("GroupId"))?.clone();
    let asked = permissions::read(call.params, &call.state.network, &group)?;
    let tags = tags::specified(call.params, "security-group-rule")?;
    if asked.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter IpPermissions"));
    }
    let mut present: Vec<&Traffic> = own_rules(&call.state.network, &group, egress).map(|rule| &rule.traffic).collect();
    for rule in &asked {
        if present.contains(&&rule.traffic) {
            let message = format!("the specified rule \"{}\" already exists", describe_traffic(&rule.traffic));
            return Err(ApiError::new("InvalidPermission.Duplicate", message));
        }
        present.push(&rule.traffic);
    }
    let quota = call.state.quotas.rules_per_security_group;
    let weight: usize = present.iter().map(|traffic| call.state.network.weight(traffic)).sum();
    if weight > quota {
        let message = format!("The maximum number of rules per security group ({quota}) has been reached for {}", group.id);
        return Err(ApiError::new("RulesPerSecurityGroupLimitExceeded", message));
    }
    let state = &mut *call.state;
    let mut added = Vec::new();
    for rule in asked {
        let id = state.ids.ec2("sgr");
        let arn = state.place.arn("ec2", &format!("security-group-rule/{id}"));
        let (traffic, description) = (rule.traffic, rule.description);
        added.push(Rule { id, arn, group_id: group.id.clone(), egress, traffic, description, tags: tags.clone() });
    }
    out.text("return", true);
    out.list("securityGroupRuleSet", &added, |xml, rule| show::rule(xml, rule, &state.network, &state.place));
    state.network.rules.extend(added.into_iter().map(|rule| (rule.id.clone(), rule)));
    Ok(())
}

fn revoke(call: &mut Call<'_>, out: &mut Xml, egress: bool) -> Result<(), ApiError> {
    let network = &call.state.network;
    let group = security_groups::find(network, call.params.required("GroupId"))?;
    let mut ids = Vec::new();
    for id in call.params.texts("SecurityGroupRuleId") {
        let rule = network.rules.get(id).ok_or_else(|| KIND.no(id))?;
        if rule.group_id != group.id || rule.egress != egress {
            let direction = if egress { "egress" } else { "ingress" };
            return Err(ApiError::parameter_value(format!(
                "Rule {id} is not an {direction} rule of security group {}",
                group.id
            )));
        }
        ids.push(rule.id.clone());
    }
    for asked in permissions::read(call.params, network, group)? {
        let rule = own_rules(network, group, egress).find(|rule| rule.traffic == asked.traffic).ok_or_else(|| {
            let message =
                format!("The specified rule \"{}\" does not exist in this security group", describe_traffic(&asked.traffic));
            ApiError::new("InvalidPermission.NotFound", message)
        })?;
        ids.push(rule.id.clone());
    }
    if ids.is_empty() {
        return Err(ApiError::new(
            "MissingParameter",
            "The request must contain the parameter IpPermissions or SecurityGroupRuleId",
        ));
    }
    let revoked: Vec<Rule> = ids.iter().filter_map(|id| call.state.network.rules.remove(id)).collect();
    out.text("return", true);
    out.list("revokedSecurityGroupRuleSet", &revoked, show::revoked_rule);
    Ok(())
}

/// A rule in the words of AWS's messages.
fn describe_traffic(traffic: &Traffic) -> String {
    let peer = match &traffic.peer {
        Peer::V4(cidr) => cidr.to_string(),
        Peer::V6(cidr) => cidr.to_string(),
        Peer::Group(id) | Peer::PrefixList(id) => id.clone(),
    };
    let protocol = if traffic.protocol == "-1" { "ALL".to_owned() } else { traffic.protocol.to_ascii_uppercase() };
    match traffic.ports {
        Some((from, to)) => format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW"),
        None => format!("peer: {peer}, {protocol}, ALLOW"),
    }
}

impl Described for Rule {
    const FILTERS: &'static [&'static str] = &["group-id", "security-group-rule-id"];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "group-id" => vec![self.group_id.clone()],
            "security-group-rule-id" => vec![self.id.clone()],
            _ => Vec::new(),
        }
    }
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let page = select(call.params, &state.network.rules, &KIND)?;
    out.list("securityGroupRuleSet", page.items, |xml, rule| show::rule(xml, rule, &state.network, &state.place));
    out.optional("nextToken", page.next);
    Ok(())
}

pub(super) fn modify(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let network = &call.state.network;
    let group = security_groups::find(network, call.params.required("GroupId"))?;
    let mut changed: Vec<Rule> = Vec::new();
    for item in call.params.items("SecurityGroupRule") {
        let id = item.required("SecurityGroupRuleId");
        let present = network.rules.get(id).filter(|rule| rule.group_id == group.id).ok_or_else(|| KIND.no(id))?;
        changed.push(read_rule(item, present, network, group)?);
    }
    let is_changed = |id: &str| changed.iter().any(|rule| rule.id == id);
    for (at, rule) in changed.iter().enumerate() {
        let untouched = own_rules(network, group, rule.egress).filter(|other| !is_changed(&other.id));
        let earlier = changed.iter().take(at).filter(|other| other.egress == rule.egress);
        if untouched.chain(earlier).any(|other| other.traffic == rule.traffic) {
            let message = format!("the specified rule \"{}\" already exists", describe_traffic(&rule.traffic));
            return Err(ApiError::new("InvalidPermission.Duplicate", message));
        }
    }
    call.state.network.rules.extend(changed.into_iter().map(|rule| (rule.id.clone(), rule)));
    out.text("return", true);
    Ok(())
}

/// The new version of a rule: protocol, ports and peer as given, the description kept unless given (API reference).
fn read_rule(item: &Params, present: &Rule, network: &Network, group: &SecurityGroup) -> Result<Rule, ApiError> {
    let text = |name: &str| item.text(&format!("SecurityGroupRule.{name}"));
    let peer = match (text("CidrIpv4"), text("CidrIpv6"), text("ReferencedGroupId"), text("PrefixListId")) {
        (Some(cidr), None, None, None) => Peer::V4(read_v4(cidr)?),
        (None, Some(cidr), None, None) => Peer::V6(read_v6(cidr)?),
        (None, None, Some(id), None) => read_group(id, network, group)?,
        (None, None, None, Some(id)) => read_prefix_list(id, network)?,
        _ => {
            let message = "A rule needs exactly one of CidrIpv4, CidrIpv6, ReferencedGroupId and PrefixListId";
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
    };
    let (protocol, ports) = item.under("SecurityGroupRule").map_or_else(|| read_ports(item), read_ports)?;
    let description = text("Description").map(check_description).transpose()?.or_else(|| present.description.clone());
    Ok(Rule { traffic: Traffic { protocol, ports, peer }, description, ..present.clone() })
}
