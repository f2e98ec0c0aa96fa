//! Elastic Load Balancing v2, the part that network load balancers need: the table of its actions.
//!
//! One file per kind of resource beside this one; `show.rs` writes resources as XML, `names.rs` checks names and tags. Error codes stand as
//! they are on the wire, which for ELBv2 is without the `Exception` of the documentation.

mod attributes;
mod check;
mod limits;
mod listeners;
mod load_balancers;
mod names;
mod placement;
mod show;
mod tags;
mod target_groups;
mod targets;

pub(crate) use targets::describe as describe_target;

use crate::query::Dialect;
use crate::service::{Action, Service};

/// Elastic Load Balancing v2.
pub(crate) const SERVICE: Service = Service {
    name: "elasticloadbalancing",
    version: "2015-12-01",
    namespace: "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    dialect: Dialect::Query,
    actions: &[LOAD_BALANCERS, TARGET_GROUPS, LISTENERS, TAGS],
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
            "SecurityGroups.#",
            "EnablePrefixForIpv6SourceNat:off",
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
            "IpAddressType:ipv4|dualstack|dualstack-without-public-ipv4",
            "EnablePrefixForIpv6SourceNat:off",
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
    Action {
        name: "RegisterTargets",
        parameters: &["TargetGroupArn!", "Targets.#.Id!", "Targets.#.Port:1-65535", "Targets.#.AvailabilityZone"],
        run: targets::register,
    },
    Action {
        name: "DeregisterTargets",
        parameters: &["TargetGroupArn!", "Targets.#.Id!", "Targets.#.Port:1-65535", "Targets.#.AvailabilityZone"],
        run: targets::deregister,
    },
    Action {
        name: "DescribeTargetHealth",
        parameters: &["TargetGroupArn!", "Targets.#.Id", "Targets.#.Port:1-65535", "Targets.#.AvailabilityZone"],
        run: targets::describe_health,
    },
];

const LISTENERS: &[Action] = &[
    Action {
        name: "CreateListener",
        parameters: &[
            "LoadBalancerArn!",
            "Protocol:HTTP|HTTPS|TCP|TLS|UDP|TCP_UDP|GENEVE|QUIC|TCP_QUIC!",
            "Port:1-65535!",
            "SslPolicy",
            "Certificates.#.CertificateArn",
            "AlpnPolicy.#",
            "DefaultActions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation!",
            "DefaultActions.#.TargetGroupArn",
            "DefaultActions.#.Order:1-50000",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:false",
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
            "AlpnPolicy.#",
            "DefaultActions.#.Type:forward|authenticate-oidc|authenticate-cognito|redirect|fixed-response|jwt-validation",
            "DefaultActions.#.TargetGroupArn",
            "DefaultActions.#.Order:1-50000",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.TargetGroupArn",
            "DefaultActions.#.ForwardConfig.TargetGroups.#.Weight:0-999",
            "DefaultActions.#.ForwardConfig.TargetGroupStickinessConfig.Enabled:false",
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

const TAGS: &[Action] = &[
    Action { name: "AddTags", parameters: &["ResourceArns.#!", "Tags.#.Key!", "Tags.#.Value"], run: tags::add },
    Action { name: "RemoveTags", parameters: &["ResourceArns.#!", "TagKeys.#!"], run: tags::remove },
    Action { name: "DescribeTags", parameters: &["ResourceArns.#!"], run: tags::describe },
    Action { name: "DescribeAccountLimits", parameters: &["Marker", "PageSize:1-400"], run: limits::describe },
];

#[cfg(test)]
mod tests;
