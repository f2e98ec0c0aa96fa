//! Elastic Load Balancing v2, the part that network load balancers need: the table of its actions.
//!
//! One file per kind of resource beside this one; `show.rs` writes resources as XML, `names.rs` checks names and tags. Error codes stand as
//! they are on the wire, which for ELBv2 is without the `Exception` of the documentation.

mod attributes;
mod capacity;
mod check;
mod forward;
mod ipv6;
mod limits;
mod listeners;
mod load_balancers;
mod names;
mod placement;
mod quic;
mod quotas;
mod rules;
mod show;
mod tags;
mod target_groups;
mod targets;
mod tls;
mod trust_stores;

pub(crate) use tags::tags_of_arn as tags_of;
pub(crate) use targets::describe as describe_target;

use crate::query::Dialect;
use crate::service::{Action, Service};

/// Elastic Load Balancing v2.
pub(crate) const SERVICE: Service = Service {
    name: "elasticloadbalancing",
    version: "2015-12-01",
    namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    dialect: Dialect::Query,
    actions: &[LOAD_BALANCERS, TARGET_GROUPS, LISTENERS, TLS, RULES, TAGS, trust_stores::ACTIONS],
};

const LOAD_BALANCERS: &[Action] = &[
    Action {
        name: "CreateLoadBalancer",
        parameters: &[
            "Name!",
            "Type:application|gateway|network",
            "Scheme:internal|internet-facing",
            "IpAddressType:ipv4|dualstack|dualstack-without-public-ipv4",
            "Subnets.#",
            "SubnetMappings.#.SubnetId",
            "SubnetMappings.#.AllocationId",
            "SubnetMappings.#.PrivateIPv4Address",
            "SubnetMappings.#.IPv6Address",
            "SubnetMappings.#.SourceNatIpv6Prefix",
            "SecurityGroups.#",
            "EnablePrefixForIpv6SourceNat:on|off",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: load_balancers::create,
    },
    Action {
        name: "DescribeLoadBalancers",
        parameters: &["LoadBalancerArns.#", "Names.#", "Marker", "PageSize:1-400"],
        run: load_balancers::describe,
    },
    Action { name: "DeleteLoadBalancer", parameters: &["LoadBalancerArn!"], run: load_balancers::delete },
    Action {
        name: "SetSubnets",
        parameters: &[
            "LoadBalancerArn!",
            "Subnets.#",
            "SubnetMappings.#.SubnetId",
            "SubnetMappings.#.AllocationId",
            "SubnetMappings.#.PrivateIPv4Address",
            "SubnetMappings.#.IPv6Address",
            "SubnetMappings.#.SourceNatIpv6Prefix",
            "IpAddressType:ipv4|dualstack|dualstack-without-public-ipv4",
            "EnablePrefixForIpv6SourceNat:on|off",
        ],
        run: load_balancers::set_subnets,
    },
    Action {
        name: "SetSecurityGroups",
        parameters: &["LoadBalancerArn!", "SecurityGroups.#!", "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic:on|off"],
        run: load_balancers::set_security_groups,
    },
    Action {
        name: "SetIpAddressType",
        parameters: &["LoadBalancerArn!", "IpAddressType:ipv4|dualstack|dualstack-without-public-ipv4!"],
        run: load_balancers::set_ip_address_type,
    },
    Action { name: "DescribeCapacityReservation", parameters: &["LoadBalancerArn!"], run: capacity::describe },
    Action {
        name: "ModifyCapacityReservation",
        parameters: &[
            "LoadBalancerArn!",
            "MinimumLoadBalancerCapacity.CapacityUnits:1-2147483647",
            "ResetCapacityReservation:bool",
        ],
        run: capacity::modify,
    },
    Action {
        name: "ModifyIpPools",
        parameters: &["LoadBalancerArn!", "IpamPools.Ipv4IpamPoolId", "RemoveIpamPools.#:ipv4"],
        run: capacity::modify_ip_pools,
    },
    Action { name: "DescribeLoadBalancerAttributes", parameters: &["LoadBalancerArn!"], run: attributes::describe_load_balancer },
    Action {
        name: "ModifyLoadBalancerAttributes",
        parameters: &["LoadBalancerArn!", "Attributes.#.Key", "Attributes.#.Value!"],
        run: attributes::modify_load_balancer,
    },
];

const TARGET_GROUPS: &[Action] = &[
    Action {
        name: "CreateTargetGroup",
        parameters: &[
            "Name!",
            "Protocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC",
            "Port:1-65535",
            "VpcId",
            "TargetType:instance|ip|lambda|alb",
            "IpAddressType:ipv4|ipv6",
            "HealthCheckProtocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC",
            "HealthCheckPort",
            "HealthCheckEnabled:bool",
            "HealthCheckPath",
            "HealthCheckIntervalSeconds:5-300",
            "HealthCheckTimeoutSeconds:2-120",
            "HealthyThresholdCount:2-10",
            "UnhealthyThresholdCount:2-10",
            "Matcher.HttpCode",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: target_groups::create,
    },
    Action {
        name: "DescribeTargetGroups",
        parameters: &["LoadBalancerArn", "TargetGroupArns.#", "Names.#", "Marker", "PageSize:1-400"],
        run: target_groups::describe,
    },
    Action {
        name: "ModifyTargetGroup",
        parameters: &[
            "TargetGroupArn!",
            "HealthCheckProtocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC",
            "HealthCheckPort",
            "HealthCheckEnabled:bool",
            "HealthCheckPath",
            "HealthCheckIntervalSeconds:5-300",
            "HealthCheckTimeoutSeconds:2-120",
            "HealthyThresholdCount:2-10",
            "UnhealthyThresholdCount:2-10",
            "Matcher.HttpCode",
        ],
        run: target_groups::modify,
    },
    Action { name: "DeleteTargetGroup", parameters: &["TargetGroupArn!"], run: target_groups::delete },
    Action { name: "DescribeTargetGroupAttributes", parameters: &["TargetGroupArn!"], run: attributes::describe_target_group },
    Action {
        name: "ModifyTargetGroupAttributes",
        parameters: &["TargetGroupArn!", "Attributes.#.Key", "Attributes.#.Value!"],
        run: attributes::modify_target_group,
    },
    Action { name: "RegisterTargets", parameters: TARGETS, run: targets::register },
    Action { name: "DeregisterTargets", parameters: TARGETS, run: targets::deregister },
    Action {
        name: "DescribeTargetHealth",
        parameters: &[
            "TargetGroupArn!",
            "Targets.#.Id",
            "Targets.#.Port:1-65535",
            "Targets.#.AvailabilityZone",
            "Targets.#.QuicServerId",
            "Include.#:AnomalyDetection|All",
        ],
        run: targets::describe_health,
    },
];

/// The targets of a group, as they are registered and deregistered.
const TARGETS: &[&str] =
    &["TargetGroupArn!", "Targets.#.Id!", "Targets.#.Port:1-65535", "Targets.#.AvailabilityZone", "Targets.#.QuicServerId"];

const LISTENERS: &[Action] = &[
    Action {
        name: "CreateListener",
        parameters: &[
            "LoadBalancerArn!",
            "Protocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC!",
            "Port:1-65535!",
            "SslPolicy",
            "Certificates.#.CertificateArn",
            "Certificates.#.IsDefault:bool",
            "AlpnPolicy.#",
            "DefaultActions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation!",
            "DefaultActions.#.TargetGroupArn",
            "DefaultActions.#.Order:1-50000",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:bool",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds:int",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: listeners::create,
    },
    Action {
        name: "DescribeListeners",
        parameters: &["LoadBalancerArn", "ListenerArns.#", "Marker", "PageSize:1-400"],
        run: listeners::describe,
    },
    Action {
        name: "ModifyListener",
        parameters: &[
            "ListenerArn!",
            "Protocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC",
            "Port:1-65535",
            "SslPolicy",
            "Certificates.#.CertificateArn",
            "Certificates.#.IsDefault:bool",
            "AlpnPolicy.#",
            "DefaultActions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation",
            "DefaultActions.#.TargetGroupArn",
            "DefaultActions.#.Order:1-50000",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:bool",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds:int",
        ],
        run: listeners::modify,
    },
    Action { name: "DeleteListener", parameters: &["ListenerArn!"], run: listeners::delete },
    Action { name: "DescribeListenerAttributes", parameters: &["ListenerArn!"], run: attributes::describe_listener },
    Action {
        name: "ModifyListenerAttributes",
        parameters: &["ListenerArn!", "Attributes.#.Key", "Attributes.#.Value!"],
        run: attributes::modify_listener,
    },
];

const TLS: &[Action] = &[
    Action {
        name: "AddListenerCertificates",
        parameters: &["ListenerArn!", "Certificates.#.CertificateArn!", "Certificates.#.IsDefault:bool"],
        run: tls::add,
    },
    Action {
        name: "RemoveListenerCertificates",
        parameters: &["ListenerArn!", "Certificates.#.CertificateArn!", "Certificates.#.IsDefault:bool"],
        run: tls::remove,
    },
    Action {
        name: "DescribeListenerCertificates",
        parameters: &["ListenerArn!", "Marker", "PageSize:1-400"],
        run: tls::describe,
    },
    Action {
        name: "DescribeSSLPolicies",
        parameters: &["Names.#", "LoadBalancerType:application|gateway|network", "Marker", "PageSize:1-400"],
        run: tls::describe_policies,
    },
];

const RULES: &[Action] = &[
    Action {
        name: "DescribeRules",
        parameters: &["ListenerArn", "RuleArns.#", "Marker", "PageSize:1-400"],
        run: rules::describe,
    },
    Action {
        name: "CreateRule",
        parameters: &[
            "ListenerArn!",
            "Priority:1-50000!",
            "Conditions.#.Field!",
            "Conditions.#.SourceIpConfig.IpAddressType:ipv4|ipv6",
            "Actions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation!",
            "Actions.#.TargetGroupArn",
            "Actions.#.Order:1-50000",
            "Actions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "Actions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "Actions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:bool",
            "Actions.#.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds:int",
            "Tags.#.Key",
            "Tags.#.Value",
        ],
        run: rules::create,
    },
    Action {
        name: "ModifyRule",
        parameters: &[
            "RuleArn!",
            "Conditions.#.Field",
            "Conditions.#.SourceIpConfig.IpAddressType:ipv4|ipv6",
            "Actions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation",
            "Actions.#.TargetGroupArn",
            "Actions.#.Order:1-50000",
            "Actions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "Actions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "Actions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:bool",
            "Actions.#.ForwardConfig.TargetGroupStickinessConfig.DurationSeconds:int",
        ],
        run: rules::modify,
    },
    Action { name: "DeleteRule", parameters: &["RuleArn!"], run: rules::delete },
    Action {
        name: "SetRulePriorities",
        parameters: &["RulePriorities.#.RuleArn!", "RulePriorities.#.Priority:1-50000"],
        run: rules::set_priorities,
    },
];

const TAGS: &[Action] = &[
    Action { name: "AddTags", parameters: &["ResourceArns.#!", "Tags.#.Key!", "Tags.#.Value"], run: tags::add },
    Action { name: "RemoveTags", parameters: &["ResourceArns.#!", "TagKeys.#!"], run: tags::remove },
    Action { name: "DescribeTags", parameters: &["ResourceArns.#!"], run: tags::describe },
    Action { name: "DescribeAccountLimits", parameters: &["Marker", "PageSize:1-400"], run: limits::describe },
];

#[cfg(test)]
mod tests;
