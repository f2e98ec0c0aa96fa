//! The attributes of load balancers, target groups and listeners: keys, defaults, values.
//!
//! One table for each kind, from the ELBv2 API reference (`LoadBalancerAttribute`, `TargetGroupAttribute`, `ListenerAttribute`), the rows
//! for network load balancers. `elbv2/attributes.rs` reads and writes by them, `dataplane.rs` and `time.rs` ask for single values.

use std::collections::BTreeMap;
use std::time::Duration;

use super::balancing::{Listener, LoadBalancer, Protocol, TargetGroup, TargetKind};

/// One attribute of a resource of type `T`.
pub(crate) struct Attribute<T> {
    pub(crate) key: &'static str,
    /// The value it has until it is written.
    pub(crate) default: fn(&T) -> &'static str,
    pub(crate) accepts: Accepts,
}

/// The values of an attribute.
pub(crate) enum Accepts {
    Text,
    OneOf(&'static [&'static str]),
    Number(u64, u64),
    /// `off` or a number.
    OffOr(u64, u64),
}

impl Accepts {
    pub(crate) fn accepts(&self, value: &str) -> bool {
        let between = |low: u64, high: u64| value.parse::<u64>().is_ok_and(|number| (low..=high).contains(&number));
        match *self {
            Self::Text => true,
            Self::OneOf(values) => values.contains(&value),
            Self::Number(low, high) => between(low, high),
            Self::OffOr(low, high) => value == "off" || between(low, high),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text => "any text".to_owned(),
            Self::OneOf(values) => values.join(", "),
            Self::Number(low, high) => format!("a number from {low} to {high}"),
            Self::OffOr(low, high) => format!("'off' or a number from {low} to {high}"),
        }
    }
}

const BOOL: Accepts = Accepts::OneOf(&["true", "false"]);

/// Secondary addresses of a load balancer's interfaces. The number never sinks.
pub(crate) const SECONDARY_ADDRESSES: &str = "secondary_ips.auto_assigned.per_subnet";

/// Attributes of a network load balancer.
pub(crate) const LOAD_BALANCER: &[Attribute<LoadBalancer>] = &[
    Attribute { key: "access_logs.s3.enabled", default: |_| "false", accepts: BOOL },
    Attribute { key: "access_logs.s3.bucket", default: |_| "", accepts: Accepts::Text },
    Attribute { key: "access_logs.s3.prefix", default: |_| "", accepts: Accepts::Text },
    Attribute { key: "deletion_protection.enabled", default: |_| "false", accepts: BOOL },
    Attribute {
        key: "dns_record.client_routing_policy",
        default: |_| "any_availability_zone",
        accepts: Accepts::OneOf(&["any_availability_zone", "availability_zone_affinity", "partial_availability_zone_affinity"]),
    },
    Attribute {
        key: "ipv6.deny_all_igw_traffic",
        default: |balancer| if balancer.internal { "true" } else { "false" },
        accepts: BOOL,
    },
    Attribute { key: "load_balancing.cross_zone.enabled", default: |_| "false", accepts: BOOL },
    Attribute { key: SECONDARY_ADDRESSES, default: |_| "0", accepts: Accepts::Number(0, 7) },
    Attribute { key: "zonal_shift.config.enabled", default: |_| "false", accepts: BOOL },
];

/// Attributes of a network load balancer's target group.
pub(crate) const TARGET_GROUP: &[Attribute<TargetGroup>] = &[
    Attribute {
        key: "deregistration_delay.connection_termination.enabled",
        default: |group| if group.protocol.carries_udp() { "true" } else { "false" },
        accepts: BOOL,
    },
    Attribute { key: "deregistration_delay.timeout_seconds", default: |_| "300", accepts: Accepts::Number(0, 3600) },
    Attribute {
        key: "load_balancing.cross_zone.enabled",
        default: |_| "use_load_balancer_configuration",
        accepts: Accepts::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    },
    Attribute {
        key: "preserve_client_ip.enabled",
        default: |group| match (group.kind, group.protocol) {
            (TargetKind::Ip, Protocol::Tcp | Protocol::Tls) => "false",
            _ => "true",
        },
        accepts: BOOL,
    },
    Attribute { key: "proxy_protocol_v2.enabled", default: |_| "false", accepts: BOOL },
    Attribute { key: "stickiness.enabled", default: |_| "false", accepts: BOOL },
    Attribute { key: "stickiness.type", default: |_| "source_ip", accepts: Accepts::OneOf(&["source_ip"]) },
    Attribute {
        key: "target_group_health.dns_failover.minimum_healthy_targets.count",
        default: |_| "1",
        accepts: Accepts::OffOr(1, 1000),
    },
    Attribute {
        key: "target_group_health.dns_failover.minimum_healthy_targets.percentage",
        default: |_| "off",
        accepts: Accepts::OffOr(1, 100),
    },
    Attribute {
        key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        default: |_| "1",
        accepts: Accepts::Number(1, 1000),
    },
    Attribute {
        key: "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        default: |_| "off",
        accepts: Accepts::OffOr(1, 100),
    },
    Attribute {
        key: "target_health_state.unhealthy.connection_termination.enabled",
        default: |group| if group.protocol.carries_udp() { "false" } else { "true" },
        accepts: BOOL,
    },
    Attribute {
        key: "target_health_state.unhealthy.draining_interval_seconds",
        default: |_| "0",
        accepts: Accepts::Number(0, 360_000),
    },
];

/// Attributes of a TCP listener; listeners of other protocols have none.
pub(crate) const LISTENER: &[Attribute<Listener>] =
    &[Attribute { key: "tcp.idle_timeout.seconds", default: |_| "350", accepts: Accepts::Number(60, 6000) }];

/// Every attribute with its present value, by key.
pub(crate) fn effective<'a, T>(
    table: &[Attribute<T>],
    item: &T,
    written: &'a BTreeMap<String, String>,
) -> BTreeMap<&'static str, &'a str> {
    table.iter().map(|row| (row.key, written.get(row.key).map_or((row.default)(item), String::as_str))).collect()
}

/// The present value of one attribute; empty for a key that the table does not have.
fn value<'a, T>(table: &[Attribute<T>], item: &T, written: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    written.get(key).map_or_else(|| table.iter().find(|row| row.key == key).map_or("", |row| (row.default)(item)), String::as_str)
}

impl LoadBalancer {
    /// The present value of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        value(LOAD_BALANCER, self, &self.attributes, key)
    }

    /// Secondary addresses that each of its interfaces has.
    pub(crate) fn secondary_addresses(&self) -> usize {
        self.attribute(SECONDARY_ADDRESSES).parse().unwrap_or_default()
    }

    /// Whether an attribute presently has this value.
    pub(crate) fn attribute_is(&self, key: &str, expected: &str) -> bool {
        self.attribute(key) == expected
    }
}

impl Listener {
    /// The present value of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        value(LISTENER, self, &self.attributes, key)
    }
}

impl TargetGroup {
    /// The present value of an attribute.
    pub(crate) fn attribute(&self, key: &str) -> &str {
        value(TARGET_GROUP, self, &self.attributes, key)
    }

    /// Whether an attribute presently has this value.
    pub(crate) fn attribute_is(&self, key: &str, expected: &str) -> bool {
        self.attribute(key) == expected
    }

    /// How long its targets are `unhealthy.draining` when they become unhealthy; `None`: not at all.
    pub(crate) fn unhealthy_drain(&self) -> Option<Duration> {
        if self.attribute_is("target_health_state.unhealthy.connection_termination.enabled", "true") {
            return None;
        }
        let seconds = self.attribute("target_health_state.unhealthy.draining_interval_seconds").parse().unwrap_or_default();
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Whether the group's targets get traffic from every zone of the load balancer.
    pub(crate) fn crosses_zones(&self, balancer: &LoadBalancer) -> bool {
        match self.attribute("load_balancing.cross_zone.enabled") {
            "use_load_balancer_configuration" => balancer.attribute_is("load_balancing.cross_zone.enabled", "true"),
            own => own == "true",
        }
    }
}
