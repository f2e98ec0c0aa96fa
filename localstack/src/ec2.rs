//! EC2, the part that network discovery and security groups need: the table of its actions.
//!
//! One file per kind of resource beside this one; `filter.rs` has filters, identifiers and pages, `show.rs` writes resources as XML.

mod addresses;
mod filter;
mod instances;
mod ipv6;
mod launch;
mod network;
mod permissions;
mod prefix_lists;
mod routing;
mod rules;
mod security_groups;
mod settings;
mod show;
mod tags;
mod tokens;

pub(crate) use ipv6::add as add_ipv6;
pub(crate) use network::{add_subnet, add_vpc};
pub(crate) use security_groups::add as add_security_group;
pub(crate) use tags::tagged;
pub(crate) use tags::tags_of_id as tags_of;

use crate::query::Dialect;
use crate::service::{Action, Service};

/// Elastic Compute Cloud.
pub(crate) const SERVICE: Service = Service {
    name: "ec2",
    version: "2016-11-15",
    namespace: "http://ec2.amazonaws.com/doc/2016-11-15/",
    dialect: Dialect::Ec2,
    actions: &[
        NETWORK,
        routing::ACTIONS,
        ipv6::ACTIONS,
        settings::ACTIONS,
        addresses::ACTIONS,
        INSTANCES,
        launch::ACTIONS,
        SECURITY_GROUPS,
        prefix_lists::ACTIONS,
        TAGS,
    ],
};

const NETWORK: &[Action] = &[
    Action {
        name: "CreateVpc",
        parameters: &[
            "CidrBlock!",
            "InstanceTenancy:default",
            "AmazonProvidedIpv6CidrBlock:bool",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: network::create_vpc,
    },
    Action { name: "DeleteVpc", parameters: &["VpcId!", "DryRun:bool"], run: network::delete_vpc },
    Action {
        name: "DescribeVpcs",
        parameters: &["VpcId.#", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-1000", "NextToken", "DryRun:bool"],
        run: network::describe_vpcs,
    },
    Action {
        name: "CreateSubnet",
        parameters: &[
            "VpcId!",
            "CidrBlock!",
            "AvailabilityZone",
            "AvailabilityZoneId",
            "Ipv6CidrBlock",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: network::create_subnet,
    },
    Action { name: "DeleteSubnet", parameters: &["SubnetId!", "DryRun:bool"], run: network::delete_subnet },
    Action {
        name: "DescribeSubnets",
        parameters: &["SubnetId.#", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-1000", "NextToken", "DryRun:bool"],
        run: network::describe_subnets,
    },
    Action {
        name: "DescribeAvailabilityZones",
        parameters: &["ZoneName.#", "ZoneId.#", "AllAvailabilityZones:bool", "Filter.#.Name", "Filter.#.Value.#", "DryRun:bool"],
        run: network::describe_availability_zones,
    },
];

const INSTANCES: &[Action] = &[
    Action {
        name: "DescribeInstances",
        parameters: &["InstanceId.#", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-1000", "NextToken", "DryRun:bool"],
        run: instances::describe,
    },
    Action { name: "StartInstances", parameters: &["InstanceId.#!", "DryRun:bool"], run: instances::start },
    Action { name: "StopInstances", parameters: &["InstanceId.#!", "DryRun:bool"], run: instances::stop },
    Action { name: "TerminateInstances", parameters: &["InstanceId.#!", "DryRun:bool"], run: instances::terminate },
    Action {
        name: "DescribeNetworkInterfaces",
        parameters: &[
            "NetworkInterfaceId.#",
            "Filter.#.Name",
            "Filter.#.Value.#",
            "MaxResults:5-1000",
            "NextToken",
            "DryRun:bool",
        ],
        run: instances::describe_interfaces,
    },
    Action {
        name: "AssignPrivateIpAddresses",
        parameters: &["NetworkInterfaceId!", "PrivateIpAddress.#!", "AllowReassignment:bool"],
        run: instances::assign_addresses,
    },
    Action {
        name: "UnassignPrivateIpAddresses",
        parameters: &["NetworkInterfaceId!", "PrivateIpAddress.#!"],
        run: instances::unassign_addresses,
    },
];

const SECURITY_GROUPS: &[Action] = &[
    Action {
        name: "CreateSecurityGroup",
        parameters: &[
            "GroupName!",
            "GroupDescription!",
            "VpcId",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: security_groups::create,
    },
    Action {
        name: "DescribeSecurityGroups",
        parameters: &[
            "GroupId.#",
            "GroupName.#",
            "Filter.#.Name",
            "Filter.#.Value.#",
            "MaxResults:5-1000",
            "NextToken",
            "DryRun:bool",
        ],
        run: security_groups::describe,
    },
    Action {
        name: "GetSecurityGroupsForVpc",
        parameters: &["VpcId!", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-1000", "NextToken", "DryRun:bool"],
        run: security_groups::for_vpc,
    },
    Action { name: "DeleteSecurityGroup", parameters: &["GroupId!", "DryRun:bool"], run: security_groups::delete },
    Action { name: "AuthorizeSecurityGroupIngress", parameters: permissions::AUTHORIZE, run: rules::authorize_ingress },
    Action { name: "AuthorizeSecurityGroupEgress", parameters: permissions::AUTHORIZE, run: rules::authorize_egress },
    Action { name: "RevokeSecurityGroupIngress", parameters: permissions::REVOKE, run: rules::revoke_ingress },
    Action { name: "RevokeSecurityGroupEgress", parameters: permissions::REVOKE, run: rules::revoke_egress },
    Action {
        name: "DescribeSecurityGroupRules",
        parameters: &[
            "SecurityGroupRuleId.#",
            "Filter.#.Name",
            "Filter.#.Value.#",
            "MaxResults:5-1000",
            "NextToken",
            "DryRun:bool",
        ],
        run: rules::describe,
    },
    Action {
        name: "ModifySecurityGroupRules",
        parameters: &[
            "GroupId!",
            "SecurityGroupRule.#.SecurityGroupRuleId!",
            "SecurityGroupRule.#.SecurityGroupRule.IpProtocol",
            "SecurityGroupRule.#.SecurityGroupRule.FromPort:int",
            "SecurityGroupRule.#.SecurityGroupRule.ToPort:int",
            "SecurityGroupRule.#.SecurityGroupRule.CidrIpv4",
            "SecurityGroupRule.#.SecurityGroupRule.CidrIpv6",
            "SecurityGroupRule.#.SecurityGroupRule.ReferencedGroupId",
            "SecurityGroupRule.#.SecurityGroupRule.PrefixListId",
            "SecurityGroupRule.#.SecurityGroupRule.Description",
            "DryRun:bool",
        ],
        run: rules::modify,
    },
];

const TAGS: &[Action] = &[
    Action { name: "CreateTags", parameters: &["ResourceId.#!", "Tag.#.Key!", "Tag.#.Value", "DryRun:bool"], run: tags::create },
    Action { name: "DeleteTags", parameters: &["ResourceId.#!", "Tag.#.Key", "Tag.#.Value", "DryRun:bool"], run: tags::delete },
    Action {
        name: "DescribeTags",
        parameters: &["Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-1000", "NextToken", "DryRun:bool"],
        run: tags::describe,
    },
];

#[cfg(test)]
mod tests;
