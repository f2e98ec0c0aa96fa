//! Security groups: create, describe, delete.
//!
//! Imports `filter`, `show`, `tags`; rules are in `rules.rs`.

use super::filter::{Described, Filters, Kind, select};
use super::permissions::check_description;
use super::{show, tags};
use crate::error::ApiError;
use crate::model::network::{Network, Peer, Rule, SecurityGroup, Traffic};
use crate::model::{State, Tags};
use crate::service::Call;
use crate::xml::Xml;

const KIND: Kind = Kind { parameter: "GroupId", prefix: "sg-", missing: "InvalidGroup.NotFound" };

/// A group that has to be there.
pub(super) fn find<'a>(network: &'a Network, id: &str) -> Result<&'a SecurityGroup, ApiError> {
    network.security_groups.get(id).ok_or_else(|| KIND.no(id))
}

/// Adds a group with AWS's first rule: everything may leave.
pub(crate) fn add(state: &mut State, id: String, vpc_id: &str, name: &str, description: &str, tags: Tags) {
    let arn = state.place.arn("ec2", &format!("security-group/{id}"));
    let rule_id = state.ids.ec2("sgr");
    let rule = Rule {
        arn: state.place.arn("ec2", &format!("security-group-rule/{rule_id}")),
        id: rule_id.clone(),
        group_id: id.clone(),
        egress: true,
        traffic: Traffic { protocol: "-1".to_owned(), ports: None, peer: Peer::V4(ipnet::Ipv4Net::default()) },
        description: None,
        tags: Tags::new(),
    };
    state.network.rules.insert(rule_id, rule);
    let (vpc_id, name, description) = (vpc_id.to_owned(), name.to_owned(), description.to_owned());
    state.network.security_groups.insert(id.clone(), SecurityGroup { id, arn, vpc_id, name, description, tags });
}

pub(super) fn create(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let (name, description) = (params.required("GroupName"), check_description(params.required("GroupDescription"))?);
    // The emulator's accounts have no default VPC.
    let vpc_id = params.text("VpcId").ok_or_else(|| ApiError::new("VPCIdNotSpecified", "No default VPC for this user"))?;
    if !call.state.network.vpcs.contains_key(vpc_id) {
        return Err(ApiError::new("InvalidVpcID.NotFound", format!("The vpc ID '{vpc_id}' does not exist")));
    }
    check_description(name)?;
    if name.is_empty() || name == "default" || name.starts_with("sg-") {
        let message = format!("Invalid security group name '{name}': it must not be empty, 'default' or begin with 'sg-'");
        return Err(ApiError::parameter_value(message));
    }
    let tags = tags::specified(params, "security-group")?;
    if call.state.network.security_groups.values().any(|group| group.vpc_id == vpc_id && group.name == name) {
        let message = format!("The security group '{name}' already exists for VPC '{vpc_id}'");
        return Err(ApiError::new("InvalidGroup.Duplicate", message));
    }
    let id = call.state.ids.ec2("sg");
    out.text("groupId", &id);
    add(call.state, id.clone(), vpc_id, name, &description, tags);
    if let Some(group) = call.state.network.security_groups.get(&id) {
        out.text("securityGroupArn", &group.arn);
        show::tags(out, &group.tags);
    }
    Ok(())
}

/// What `DescribeSecurityGroups` filters by: the group with its rules.
struct Listed<'a> {
    group: &'a SecurityGroup,
    rules: Vec<&'a Rule>,
}

impl Described for Listed<'_> {
    const FILTERS: &'static [&'static str] = &[
        "description",
        "group-id",
        "group-name",
        "vpc-id",
        "ip-permission.cidr",
        "ip-permission.group-id",
        "ip-permission.from-port",
        "ip-permission.to-port",
        "ip-permission.protocol",
        "egress.ip-permission.cidr",
        "egress.ip-permission.group-id",
    ];

    fn tags(&self) -> &Tags {
        &self.group.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let (egress, name) = filter.strip_prefix("egress.").map_or((false, filter), |name| (true, name));
        let rules = self.rules.iter().filter(|rule| rule.egress == egress).map(|rule| &rule.traffic);
        match name {
            "description" => vec![self.group.description.clone()],
            "group-id" => vec![self.group.id.clone()],
            "group-name" => vec![self.group.name.clone()],
            "vpc-id" => vec![self.group.vpc_id.clone()],
            "ip-permission.cidr" => rules
                .filter_map(|traffic| if let Peer::V4(cidr) = &traffic.peer { Some(cidr.to_string()) } else { None })
                .collect(),
            "ip-permission.group-id" => {
                rules.filter_map(|traffic| if let Peer::Group(id) = &traffic.peer { Some(id.clone()) } else { None }).collect()
            }
            "ip-permission.from-port" => rules.filter_map(|traffic| Some(traffic.ports?.0.to_string())).collect(),
            "ip-permission.to-port" => rules.filter_map(|traffic| Some(traffic.ports?.1.to_string())).collect(),
            "ip-permission.protocol" => rules.map(|traffic| traffic.protocol.clone()).collect(),
            _ => Vec::new(),
        }
    }
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    Filters::read(call.params, Listed::FILTERS)?;
    let mut rules: std::collections::BTreeMap<&str, Vec<&Rule>> = std::collections::BTreeMap::new();
    for rule in state.network.rules.values() {
        rules.entry(&rule.group_id).or_default().push(rule);
    }
    let names = call.params.texts("GroupName");
    if !names.is_empty() {
        // Names are for default VPCs, which these accounts do not have.
        let message = format!("The security group '{}' does not exist in default VPC 'null'", names.join(", "));
        return Err(ApiError::new("InvalidGroup.NotFound", message));
    }
    let listed = state.network.security_groups.iter().map(|(id, group)| {
        let rules = rules.remove(id.as_str()).unwrap_or_default();
        (id.clone(), Listed { group, rules })
    });
    let listed = listed.collect();
    let page = select(call.params, &listed, &KIND)?;
    out.list("securityGroupInfo", page.items, |xml, listed| {
        show::security_group(xml, listed.group, &state.network, &state.place);
    });
    out.optional("nextToken", page.next);
    Ok(())
}

/// A group that an interface in a VPC may have, by the names that `GetSecurityGroupsForVpc` filters by.
struct ForVpc<'a> {
    group: &'a SecurityGroup,
    owner: &'a str,
}

impl Described for ForVpc<'_> {
    const FILTERS: &'static [&'static str] = &["description", "group-id", "group-name", "owner-id", "primary-vpc-id"];

    fn tags(&self) -> &Tags {
        &self.group.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "description" => self.group.description.clone(),
            "group-id" => self.group.id.clone(),
            "group-name" => self.group.name.clone(),
            "owner-id" => self.owner.to_owned(),
            _ => self.group.vpc_id.clone(),
        }]
    }
}

pub(super) fn for_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let vpc_id = call.params.required("VpcId");
    if !state.network.vpcs.contains_key(vpc_id) {
        return Err(super::network::VPCS.no(vpc_id));
    }
    let owner = state.place.account.as_str();
    let own = state.network.security_groups.iter().filter(|(_, group)| group.vpc_id == vpc_id);
    let listed = own.map(|(id, group)| (id.clone(), ForVpc { group, owner })).collect();
    let page = select(call.params, &listed, &KIND)?;
    out.list("securityGroupForVpcSet", page.items, |xml, listed| {
        show::security_group_for_vpc(xml, listed.group, &state.place);
    });
    out.optional("nextToken", page.next);
    Ok(())
}

pub(super) fn delete(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("GroupId");
    let network = &mut call.state.network;
    let group = find(network, id)?;
    if group.name == "default" {
        return Err(ApiError::new(
            "CannotDelete",
            format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
        ));
    }
    let in_use = network.interfaces.values().any(|interface| interface.security_groups.iter().any(|group| group == id));
    let referenced = network.rules.values().any(|rule| rule.group_id != id && rule.traffic.peer == Peer::Group(id.to_owned()));
    if in_use || referenced {
        return Err(ApiError::new("DependencyViolation", format!("resource {id} has a dependent object")));
    }
    network.security_groups.remove(id);
    network.rules.retain(|_, rule| rule.group_id != id);
    out.text("return", true);
    out.text("groupId", id);
    Ok(())
}
