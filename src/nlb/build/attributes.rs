//! Attributes of load balancers and target groups: which exist, what they may be, what AWS sets when nobody asks.
//!
//! The tables are from the ELBv2 API reference (LoadBalancerAttribute, TargetGroupAttribute), those of Network Load Balancers
//! only. `diff` takes the defaults from here. Uses `annotations` and `names::digest`.

use super::annotations::{self, Annotation, Annotations};
use super::codes::{self, Findings, quote};
use super::names::digest;
use crate::aws::types::{Attributes, Protocol, Scheme, TargetType};

/// What the value of an attribute may be.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// `true` or `false`.
    Boolean,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number from … to ….
    Range(u32, u32),
    /// `off`, or a whole number from … to ….
    OffOrRange(u32, u32),
    /// Anything.
    Text,
}

impl Values {
    fn allow(self, value: &str) -> bool {
        let number = |least, most| value.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number));
        match self {
            Self::Boolean => matches!(value, "true" | "false"),
            Self::OneOf(allowed) => allowed.contains(&value),
            Self::Range(least, most) => number(least, most),
            Self::OffOrRange(least, most) => value == "off" || number(least, most),
            Self::Text => true,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::OneOf(allowed) => format!("one of `{}`", allowed.join("`, `")),
            Self::Range(least, most) => format!("a whole number from {least} to {most}"),
            Self::OffOrRange(least, most) => format!("`off` or a whole number from {least} to {most}"),
            Self::Text => "text".to_owned(),
        }
    }
}

/// One attribute: key, allowed values, AWS's default where it is always the same.
type Row = (&'static str, Values, &'static str);

/// Attribute key that the annotation `cross-zone-load-balancing-enabled` sets.
const CROSS_ZONE: &str = "load_balancing.cross_zone.enabled";
/// Attribute key that the annotation `proxy-protocol` sets.
pub(super) const PROXY_PROTOCOL: &str = "proxy_protocol_v2.enabled";
const PRESERVE_CLIENT_IP: &str = "preserve_client_ip.enabled";
const DENY_GATEWAY_TRAFFIC: &str = "ipv6.deny_all_igw_traffic";
const ACCESS_LOGS: &str = "access_logs.s3.enabled";
const ACCESS_LOGS_BUCKET: &str = "access_logs.s3.bucket";
const TERMINATE_DEREGISTERED: &str = "deregistration_delay.connection_termination.enabled";
const TERMINATE_UNHEALTHY: &str = "target_health_state.unhealthy.connection_termination.enabled";
const UNHEALTHY_DRAINING: &str = "target_health_state.unhealthy.draining_interval_seconds";

/// Attributes of a Network Load Balancer.
const LOAD_BALANCER: &[Row] = &[
    (ACCESS_LOGS_BUCKET, Values::Text, ""),
    (ACCESS_LOGS, Values::Boolean, "false"),
    ("access_logs.s3.prefix", Values::Text, ""),
    ("deletion_protection.enabled", Values::Boolean, "false"),
    (
        "dns_record.client_routing_policy",
        Values::OneOf(&["any_availability_zone", "partial_availability_zone_affinity", "availability_zone_affinity"]),
        "any_availability_zone",
    ),
    (DENY_GATEWAY_TRAFFIC, Values::Boolean, "false"),
    (CROSS_ZONE, Values::Boolean, "false"),
    ("secondary_ips.auto_assigned.per_subnet", Values::Range(0, 7), "0"),
    ("zonal_shift.config.enabled", Values::Boolean, "false"),
];

/// Attributes of a Network Load Balancer's target group. Counts of targets end at the quota of a group.
const TARGET_GROUP: &[Row] = &[
    (TERMINATE_DEREGISTERED, Values::Boolean, "false"),
    ("deregistration_delay.timeout_seconds", Values::Range(0, 3600), "300"),
    (CROSS_ZONE, Values::OneOf(&["true", "false", "use_load_balancer_configuration"]), "use_load_balancer_configuration"),
    (PRESERVE_CLIENT_IP, Values::Boolean, "true"),
    (PROXY_PROTOCOL, Values::Boolean, "false"),
    ("stickiness.enabled", Values::Boolean, "false"),
    ("stickiness.type", Values::OneOf(&["source_ip"]), "source_ip"),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", Values::OffOrRange(1, 1000), "1"),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", Values::OffOrRange(1, 100), "off"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", Values::Range(1, 1000), "1"),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", Values::OffOrRange(1, 100), "off"),
    (TERMINATE_UNHEALTHY, Values::Boolean, "true"),
    (UNHEALTHY_DRAINING, Values::Range(0, 360_000), "0"),
];

fn default_of(table: &[Row], key: &str) -> Option<&'static str> {
    table.iter().find(|(known, ..)| *known == key).map(|(.., default)| *default)
}

fn datagrams(protocol: &Protocol) -> bool {
    matches!(protocol, Protocol::Udp | Protocol::TcpUdp)
}

/// The value that AWS gives a load balancer attribute when nobody asks; `None` for an attribute that we do not know.
#[must_use]
pub fn load_balancer_default(key: &str, scheme: &Scheme) -> Option<&'static str> {
    match key {
        DENY_GATEWAY_TRAFFIC if *scheme == Scheme::Internal => Some("true"),
        _ => default_of(LOAD_BALANCER, key),
    }
}

/// The value that AWS gives a target group attribute when nobody asks; `None` for an attribute that we do not know.
#[must_use]
pub fn target_group_default(key: &str, protocol: &Protocol, target_type: &TargetType) -> Option<&'static str> {
    match key {
        PRESERVE_CLIENT_IP if *target_type == TargetType::Ip && !datagrams(protocol) => Some("false"),
        TERMINATE_DEREGISTERED if datagrams(protocol) => Some("true"),
        TERMINATE_UNHEALTHY if datagrams(protocol) => Some("false"),
        _ => default_of(TARGET_GROUP, key),
    }
}

/// Identifies a set of attributes: the value of the tag [`super::tags::ATTRIBUTES`], 16 hex digits.
#[must_use]
pub fn attributes_fingerprint(attributes: &Attributes) -> String {
    let parts: Vec<&str> = attributes.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]).collect();
    digest(&parts).chars().take(16).collect()
}

/// The load balancer's attributes from the annotations.
pub(super) fn of_load_balancer(annotations: &Annotations<'_>, findings: &mut Findings) -> Attributes {
    let annotation = &annotations::ATTRIBUTES;
    let mut attributes = read(annotations, annotation, LOAD_BALANCER, "load balancer", findings);
    if let Some(enabled) = annotations.boolean(&annotations::CROSS_ZONE, findings) {
        override_with(&mut attributes, CROSS_ZONE, &enabled.to_string(), annotation, &annotations::CROSS_ZONE, findings);
    }
    if is(&attributes, ACCESS_LOGS, "true") && attributes.get(ACCESS_LOGS_BUCKET).is_none_or(String::is_empty) {
        findings.refuse(
            codes::INVALID_ATTRIBUTE,
            annotation.full_key(),
            format!("`{ACCESS_LOGS}=true` without a bucket"),
            format!("add `{ACCESS_LOGS_BUCKET}=<name>`"),
        );
    }
    attributes
}

/// The attributes of all target groups of the Service from the annotations. `protocols`: those of the groups.
pub(super) fn of_target_groups(annotations: &Annotations<'_>, protocols: &[&Protocol], findings: &mut Findings) -> Attributes {
    let annotation = &annotations::TARGET_GROUP_ATTRIBUTES;
    let mut attributes = read(annotations, annotation, TARGET_GROUP, "target group", findings);
    if annotations.choice(&annotations::PROXY_PROTOCOL, findings).is_some() {
        override_with(&mut attributes, PROXY_PROTOCOL, "true", annotation, &annotations::PROXY_PROTOCOL, findings);
    }
    if let Some(protocol) = protocols.iter().find(|protocol| datagrams(protocol)) {
        for (key, value) in [(PRESERVE_CLIENT_IP, "false"), (TERMINATE_UNHEALTHY, "true")] {
            if is(&attributes, key, value) {
                findings.refuse(
                    codes::INVALID_ATTRIBUTE,
                    annotation.full_key(),
                    format!("AWS does not accept `{key}={value}` for a {protocol} target group"),
                    "remove it, or move the UDP ports into a Service of their own",
                );
            }
        }
    }
    let interval = attributes.get(UNHEALTHY_DRAINING).is_some_and(|value| value != "0");
    if interval && !is(&attributes, TERMINATE_UNHEALTHY, "false") {
        findings.refuse(
            codes::INVALID_ATTRIBUTE,
            annotation.full_key(),
            format!("`{UNHEALTHY_DRAINING}` has a meaning only while connections to unhealthy targets are kept"),
            format!("add `{TERMINATE_UNHEALTHY}=false`, or remove it"),
        );
    }
    attributes
}

fn is(attributes: &Attributes, key: &str, value: &str) -> bool {
    attributes.get(key).is_some_and(|current| current == value)
}

/// Sets an attribute that has an annotation of its own, which wins as it does in AWS's controller.
fn override_with(
    attributes: &mut Attributes,
    key: &str,
    value: &str,
    general: &Annotation,
    own: &Annotation,
    findings: &mut Findings,
) {
    if let Some(other) = attributes.insert(key.to_owned(), value.to_owned()).filter(|other| other != value) {
        findings.tell(
            codes::ANNOTATION_IGNORED,
            general.full_key(),
            format!("`{key}={other}` is overridden by the annotation `{}`", own.full_key()),
            "set it in one place only",
        );
    }
}

fn read(
    annotations: &Annotations<'_>,
    annotation: &Annotation,
    table: &[Row],
    subject: &str,
    findings: &mut Findings,
) -> Attributes {
    let attributes = annotations.map(annotation, findings).unwrap_or_default();
    for (key, value) in &attributes {
        let Some((_, values, _)) = table.iter().find(|(known, ..)| known == key) else {
            let nearest = annotations::nearest(key, table.iter().map(|(known, ..)| *known)).unwrap_or_default();
            findings.refuse(
                codes::UNKNOWN_ATTRIBUTE,
                annotation.full_key(),
                format!("a Network Load Balancer's {subject} has no attribute {}", quote(key)),
                format!("remove it, or use the nearest one, `{nearest}`"),
            );
            continue;
        };
        if !values.allow(value) {
            findings.refuse(
                codes::INVALID_ATTRIBUTE,
                annotation.full_key(),
                format!("{} is not allowed for attribute `{key}`", quote(value)),
                format!("use {}", values.describe()),
            );
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nlb::build::fixtures::{built, problems};

    fn load_balancer(value: &str) -> String {
        format!("service.beta.kubernetes.io/aws-load-balancer-attributes: '{value}'")
    }

    fn target_group(value: &str) -> String {
        format!("service.beta.kubernetes.io/aws-load-balancer-target-group-attributes: '{value}'")
    }

    #[test]
    fn defaults_are_of_the_allowed_values() {
        for (key, values, default) in LOAD_BALANCER.iter().chain(TARGET_GROUP) {
            assert!(values.allow(default), "{key}={default}");
        }
        assert_eq!(load_balancer_default("ipv6.deny_all_igw_traffic", &Scheme::Internal), Some("true"));
        assert_eq!(target_group_default("preserve_client_ip.enabled", &Protocol::Tcp, &TargetType::Ip), Some("false"));
        assert_eq!(target_group_default("preserve_client_ip.enabled", &Protocol::Udp, &TargetType::Ip), Some("true"));
        assert_eq!(target_group_default("slow_start.duration_seconds", &Protocol::Tcp, &TargetType::Ip), None);
    }

    #[test]
    fn values_are_checked_per_key() {
        for (good, bad) in [
            ("deletion_protection.enabled=true", "deletion_protection.enabled=yes"),
            ("secondary_ips.auto_assigned.per_subnet=7", "secondary_ips.auto_assigned.per_subnet=8"),
            ("dns_record.client_routing_policy=any_availability_zone", "dns_record.client_routing_policy=any"),
            ("access_logs.s3.enabled=true,access_logs.s3.bucket=b", "access_logs.s3.enabled=true"),
        ] {
            built(&load_balancer(good));
            assert_eq!(problems(&load_balancer(bad)), ["InvalidAttribute"], "{bad}");
        }
        for (good, bad) in [
            ("deregistration_delay.timeout_seconds=3600", "deregistration_delay.timeout_seconds=3601"),
            (
                "target_group_health.dns_failover.minimum_healthy_targets.percentage=off",
                "target_group_health.dns_failover.minimum_healthy_targets.percentage=0",
            ),
            (
                "target_health_state.unhealthy.draining_interval_seconds=10,target_health_state.unhealthy.connection_termination.enabled=false",
                "target_health_state.unhealthy.draining_interval_seconds=10",
            ),
        ] {
            built(&target_group(good));
            assert_eq!(problems(&target_group(bad)), ["InvalidAttribute"], "{bad}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        assert_eq!(problems(&load_balancer("idle_timeout.timeout_seconds=60")), ["UnknownAttribute"]);
        let rejection = crate::nlb::build::fixtures::rejected(&target_group("stickyness.enabled=true"));
        assert!(rejection.problems[0].fix.contains("`stickiness.enabled`"), "{rejection}");
    }

    #[test]
    fn an_annotation_of_its_own_wins_and_says_so() {
        let annotations = format!(
            "{}\n    service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled: 'true'",
            load_balancer("load_balancing.cross_zone.enabled=false")
        );
        let desired = built(&annotations);
        let load_balancer = desired.load_balancer.unwrap();
        assert_eq!(load_balancer.attributes.get(CROSS_ZONE).map(String::as_str), Some("true"));
        assert_eq!(desired.notices.iter().map(|notice| notice.code).collect::<Vec<_>>(), ["AnnotationIgnored"]);
    }

    #[test]
    fn fingerprints_tell_attributes_apart() {
        let of = |pairs: &[(&str, &str)]| {
            attributes_fingerprint(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        assert_eq!(of(&[("a", "b")]).len(), 16);
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "1")]), of(&[("a", "2")]));
        assert_ne!(of(&[]), of(&[("", "")]));
    }
}
