//! The table of annotations: all of LBC's and of the in-tree controller's, in the order in which the reference page shows them.
//!
//! Rules and defaults are LBC's unless the text says otherwise. To support one more, change its row and read it in `build`.

use super::{Annotation, Kind, Support};

macro_rules! annotations {
    ($($name:ident: $support:ident $key:literal, $kind:expr, $default:literal, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub(in crate::nlb::build) const $name: Annotation =
                Annotation { key: $key, kind: $kind, default: $default, doc: $doc, support: Support::$support };
        )*

        /// Every annotation that is known.
        pub const TABLE: &[Annotation] = &[$($name,)*];
    };
}

/// Words that are all supported, spelt exactly so.
const fn words(allowed: &'static [&'static str]) -> Kind {
    Kind::Choice { allowed, later: &[], ignore_case: false }
}

/// A number within bounds.
const fn range(min: i32, max: i32) -> Kind {
    Kind::Integer { min, max }
}

annotations! {
    TYPE: Full "aws-load-balancer-type", words(&["external", "nlb", "nlb-ip"]), "`external`",
        "`external`: a Network Load Balancer. `nlb-ip`: the same with `ip` targets. `nlb`: as the in-tree controller had it, with `instance` targets and scheme `internet-facing` unless other annotations say otherwise.";
    SCHEME: Full "aws-load-balancer-scheme", words(&["internal", "internet-facing"]), "that of the existing load balancer, else `--default-scheme`",
        "Whether the load balancer has private or public addresses. AWS cannot change it: a new load balancer replaces the old one.";
    INTERNAL: Full "aws-load-balancer-internal", Kind::Boolean, "",
        "Older form of `aws-load-balancer-scheme`, which wins: `true` is `internal`, `false` is `internet-facing`.";
    NAME: Full "aws-load-balancer-name", Kind::Text, "made from the cluster, the Service and a hash",
        "Name of the load balancer: up to 32 letters, digits and hyphens. A name that belongs to somebody else's load balancer is refused.";
    IP_ADDRESS_TYPE: Full "aws-load-balancer-ip-address-type", Kind::Choice { allowed: &["ipv4"], later: &["dualstack"], ignore_case: false }, "`ipv4`",
        "Address families of the load balancer.";
    SUBNETS: Full "aws-load-balancer-subnets", Kind::List, "discovered by role tags, else by route tables",
        "Subnets by id (`subnet-…`) or by tag `Name`, one for each zone.";
    NLB_TARGET_TYPE: Full "aws-load-balancer-nlb-target-type", words(&["instance", "ip"]), "`--default-target-type`",
        "What the load balancer sends to: node ports of instances, or pods directly.";
    ATTRIBUTES: Full "aws-load-balancer-attributes", Kind::Map, "AWS's",
        "Load balancer attributes. One that is no longer listed returns to AWS's default.";
    CROSS_ZONE: Full "aws-load-balancer-cross-zone-load-balancing-enabled", Kind::Boolean, "`false`",
        "Sets the attribute `load_balancing.cross_zone.enabled`, and wins over `aws-load-balancer-attributes`.";
    TARGET_GROUP_ATTRIBUTES: Full "aws-load-balancer-target-group-attributes", Kind::Map, "AWS's",
        "Attributes of all target groups. One that is no longer listed returns to AWS's default.";
    PROXY_PROTOCOL: Full "aws-load-balancer-proxy-protocol", words(&["*"]), "",
        "`*` sets the attribute `proxy_protocol_v2.enabled=true` on all target groups, and wins over `aws-load-balancer-target-group-attributes`.";
    HEALTHCHECK_PROTOCOL: Full "aws-load-balancer-healthcheck-protocol", Kind::Choice { allowed: &["tcp", "http", "https"], later: &[], ignore_case: true }, "`tcp`; `http` with `instance` targets and `externalTrafficPolicy: Local`",
        "How targets are checked.";
    HEALTHCHECK_PORT: Full "aws-load-balancer-healthcheck-port", Kind::Text, "`traffic-port`; the Service's `healthCheckNodePort` with `instance` targets and `externalTrafficPolicy: Local`",
        "Where targets are checked: `traffic-port`, a number, or the name of a port of the Service.";
    HEALTHCHECK_PATH: Full "aws-load-balancer-healthcheck-path", Kind::Text, "`/`; `/healthz` with `instance` targets and `externalTrafficPolicy: Local`",
        "Path of an HTTP or HTTPS check.";
    HEALTHCHECK_SUCCESS_CODES: Full "aws-load-balancer-healthcheck-success-codes", Kind::Text, "`200-399`",
        "Answers that pass an HTTP or HTTPS check: codes from 200 to 599, such as `200,204` or `200-299`.";
    HEALTHCHECK_INTERVAL: Full "aws-load-balancer-healthcheck-interval", range(5, 300), "`10`",
        "Seconds between checks.";
    HEALTHCHECK_TIMEOUT: Full "aws-load-balancer-healthcheck-timeout", range(2, 120), "`10`, or `6` with `instance` targets and `externalTrafficPolicy: Local`; never more than the interval",
        "Seconds after which a check has failed; not more than the interval.";
    HEALTHCHECK_HEALTHY_THRESHOLD: Full "aws-load-balancer-healthcheck-healthy-threshold", range(2, 10), "`3`, or `2` with `instance` targets and `externalTrafficPolicy: Local`",
        "Passed checks in a row that make a target healthy.";
    HEALTHCHECK_UNHEALTHY_THRESHOLD: Full "aws-load-balancer-healthcheck-unhealthy-threshold", range(2, 10), "`3`, or `2` with `instance` targets and `externalTrafficPolicy: Local`",
        "Failed checks in a row that make a target unhealthy.";
    ADDITIONAL_RESOURCE_TAGS: Full "aws-load-balancer-additional-resource-tags", Kind::Map, "",
        "Tags on everything made for the Service. `--default-tags` wins. A tag that is no longer listed is removed; tags set by others stay.";
    SECURITY_GROUPS: Full "aws-load-balancer-security-groups", Kind::List, "a managed group",
        "Your own security groups by id (`sg-…`) or by tag `Name`, in place of the managed one. Admitting the load balancer to the targets is then up to you.";
    SOURCE_RANGES: Full "load-balancer-source-ranges", Kind::List, "`0.0.0.0/0`",
        "CIDRs that the managed security group admits; `spec.loadBalancerSourceRanges` wins.";
    BACKEND_PROTOCOL: Full "aws-load-balancer-backend-protocol", Kind::Choice { allowed: &["tcp"], later: &["ssl", "http", "https"], ignore_case: false }, "`tcp`",
        "Protocol towards targets. `tcp` is what happens anyway.";

    EIP_ALLOCATIONS: Later "aws-load-balancer-eip-allocations", Kind::List, "", "Elastic IP addresses, one for each subnet.";
    EIP_ALLOCATIONS_DISCOVERY_TAGS: Later "aws-load-balancer-eip-allocations-discovery-tags", Kind::Map, "", "Tags by which Elastic IP addresses are found.";
    PRIVATE_IPV4_ADDRESSES: Later "aws-load-balancer-private-ipv4-addresses", Kind::List, "", "Private IPv4 addresses, one for each subnet.";
    IPV6_ADDRESSES: Later "aws-load-balancer-ipv6-addresses", Kind::List, "", "IPv6 addresses, one for each subnet.";
    IPV6_SOURCE_NAT: Later "aws-load-balancer-enable-prefix-for-ipv6-source-nat", words(&["on", "off"]), "`off`", "IPv6 source NAT, needed for UDP over IPv6.";
    IPV6_SOURCE_NAT_PREFIXES: Later "aws-load-balancer-source-nat-ipv6-prefixes", Kind::List, "", "Prefixes for IPv6 source NAT, one for each subnet.";
    MINIMUM_CAPACITY: Later "aws-load-balancer-minimum-load-balancer-capacity", Kind::Map, "", "Reserved capacity, `CapacityUnits=<n>`.";
    ACCESS_LOG_ENABLED: Later "aws-load-balancer-access-log-enabled", Kind::Boolean, "", "Older form of the attribute `access_logs.s3.enabled`.";
    ACCESS_LOG_BUCKET_NAME: Later "aws-load-balancer-access-log-s3-bucket-name", Kind::Text, "", "Older form of the attribute `access_logs.s3.bucket`.";
    ACCESS_LOG_BUCKET_PREFIX: Later "aws-load-balancer-access-log-s3-bucket-prefix", Kind::Text, "", "Older form of the attribute `access_logs.s3.prefix`.";
    MANAGE_BACKEND_RULES: Later "aws-load-balancer-manage-backend-security-group-rules", Kind::Boolean, "", "Whether targets are made to admit a load balancer that has your own security groups.";
    DISABLE_SECURITY_GROUPS: Later "aws-load-balancer-disable-nlb-sg", Kind::Boolean, "", "Makes a load balancer without any security group.";
    PRIVATE_LINK_RULES: Later "aws-load-balancer-inbound-sg-rules-on-private-link-traffic", words(&["on", "off"]), "", "Whether security group rules count for PrivateLink traffic.";
    PREFIX_LISTS: Later "aws-load-balancer-security-group-prefix-lists", Kind::List, "", "Prefix lists that the managed security group admits.";
    PATH_MTU_DISCOVERY: Later "aws-load-balancer-enable-icmp-for-path-mtu-discovery", words(&["on"]), "", "Admits ICMP for path MTU discovery.";
    SSL_CERT: Later "aws-load-balancer-ssl-cert", Kind::List, "", "Certificates; TCP listeners become TLS listeners.";
    SSL_PORTS: Later "aws-load-balancer-ssl-ports", Kind::List, "", "Ports that become TLS listeners.";
    SSL_NEGOTIATION_POLICY: Later "aws-load-balancer-ssl-negotiation-policy", Kind::Text, "", "TLS policy.";
    ALPN_POLICY: Later "aws-load-balancer-alpn-policy", Kind::Text, "", "ALPN policy of TLS listeners.";
    TCP_UDP_LISTENER: Later "aws-load-balancer-enable-tcp-udp-listener", Kind::Boolean, "", "Whether TCP and UDP on one port share a listener; here they always do.";
    QUIC_PORTS: Later "aws-load-balancer-quic-enabled-ports", Kind::List, "", "Ports that become QUIC listeners.";
    QUIC_CONTAINERS: Later "aws-load-balancer-quic-enabled-containers", Kind::List, "", "Containers that get a QUIC server id (an annotation of pods).";
    LISTENER_ATTRIBUTES: Later "aws-load-balancer-listener-attributes.", Kind::Map, "", "Attributes of one listener, such as `….TCP-80`.";
    PORT_TARGET_GROUP_ATTRIBUTES: Later "aws-load-balancer-target-group-attributes.", Kind::Map, "", "Attributes of one port's target group, such as `….80`.";
    PORT_PROXY_PROTOCOL: Later "aws-load-balancer-proxy-protocol-per-target-group", Kind::List, "", "Ports whose target groups speak PROXY protocol.";
    TARGET_NODE_LABELS: Later "aws-load-balancer-target-node-labels", Kind::Map, "", "Labels of the nodes that become targets.";
    MULTI_CLUSTER_TARGET_GROUP: Later "aws-load-balancer-multi-cluster-target-group", Kind::Boolean, "", "Shares a target group between clusters.";
    ACTIONS: Later "actions.", Kind::Json, "", "Weighted forward action of one listener, such as `….TCP-80`.";

    ACCESS_LOG_EMIT_INTERVAL: Classic "aws-load-balancer-access-log-emit-interval", range(5, 60), "", "Minutes between access logs.";
    CONNECTION_DRAINING_ENABLED: Classic "aws-load-balancer-connection-draining-enabled", Kind::Boolean, "", "Connection draining; for target groups it is the attribute `deregistration_delay.timeout_seconds`.";
    CONNECTION_DRAINING_TIMEOUT: Classic "aws-load-balancer-connection-draining-timeout", range(1, 3600), "", "Seconds of draining; for target groups it is the attribute `deregistration_delay.timeout_seconds`.";
    CONNECTION_IDLE_TIMEOUT: Classic "aws-load-balancer-connection-idle-timeout", range(1, 4000), "", "Seconds until an idle connection is closed.";
    EXTRA_SECURITY_GROUPS: Classic "aws-load-balancer-extra-security-groups", Kind::List, "", "More security groups beside the managed one.";
}
