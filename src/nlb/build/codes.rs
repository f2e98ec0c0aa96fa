//! What can be wrong with a Service, or worth telling: one stable code each, and the list that `build` collects them in.
//!
//! Imports only the model. Every other file of `build` writes into a [`Findings`].

use crate::nlb::model::{Problem, Rejection};

macro_rules! codes {
    ($($name:ident = $text:literal: $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $text;)*

        /// Every code that `build` gives to a problem or a notice, with its meaning, in alphabetical order.
        pub const CODES: &[(&str, &str)] = &[$(($text, $doc),)*];
    };
}

codes! {
    AMBIGUOUS_SECURITY_GROUP = "AmbiguousSecurityGroup": "A security group name in an annotation belongs to more than one group.";
    ANNOTATION_IGNORED = "AnnotationIgnored": "Notice: an annotation has no effect, because another setting overrides it or it does not apply.";
    CONFLICTING_ANNOTATIONS = "ConflictingAnnotations": "Two annotations contradict each other.";
    FIELD_IGNORED = "FieldIgnored": "Notice: a field of the Service has no counterpart in a Network Load Balancer.";
    INVALID_ANNOTATION = "InvalidAnnotation": "The value of an annotation is not one of those allowed.";
    INVALID_ATTRIBUTE = "InvalidAttribute": "The value of a load balancer or target group attribute is not allowed, or not in this combination.";
    INVALID_NAME = "InvalidName": "AWS does not allow this load balancer name.";
    INVALID_PORT = "InvalidPort": "A port of the Service is not a number that a listener or target can have.";
    INVALID_SOURCE_RANGE = "InvalidSourceRange": "A source range is not a CIDR, or not of the load balancer's address family.";
    INVALID_TAG = "InvalidTag": "AWS or this controller does not allow this tag.";
    MIXED_ZONE_KINDS = "MixedZoneKinds": "The named subnets lie in zones of different kinds, which one load balancer cannot join.";
    NO_NODE_PORT = "NoNodePort": "Instance targets need a node port, and a port of the Service has none.";
    NO_NODE_SECURITY_GROUP = "NoNodeSecurityGroup": "It is not clear which security group of an instance should admit the load balancers.";
    NO_PORTS = "NoPorts": "The Service has no port to listen on.";
    NO_SUBNET = "NoSubnet": "No subnet of the VPC is fit for the load balancer.";
    NODE_SKIPPED = "NodeSkipped": "Notice: a node cannot be a target, because it does not tell its EC2 instance, or AWS does not have that instance.";
    PORT_CONFLICT = "PortConflict": "TCP and UDP on one port lead to different places, so that one listener cannot serve both.";
    PROXY_PROTOCOL_HEALTH_CHECK = "ProxyProtocolHealthCheck": "Notice: health checks on the traffic port bear a PROXY protocol header, too.";
    SECURITY_GROUP_NOT_FOUND = "SecurityGroupNotFound": "A security group that an annotation names does not exist in the VPC.";
    SUBNET_NOT_FOUND = "SubnetNotFound": "A subnet that an annotation names does not exist in the VPC.";
    SUBNET_PASSED_OVER = "SubnetPassedOver": "Notice: subnets that are meant for load balancers were not used, and why.";
    SUBNETS_IN_SAME_ZONE = "SubnetsInSameZone": "Two of the named subnets lie in one availability zone.";
    TARGETS_TRUNCATED = "TargetsTruncated": "Notice: a target group has more targets than AWS's quota allows, and the rest is left out.";
    TOO_MANY_PORTS = "TooManyPorts": "The Service has more ports than a load balancer can have listeners.";
    TOO_MANY_RULES = "TooManyRules": "Ports times source ranges make more rules than a security group can have.";
    TOO_MANY_TAGS = "TooManyTags": "There are more tags than an AWS resource can have.";
    UDP_HEALTH_CHECK = "UdpHealthCheck": "Notice: AWS checks UDP targets by TCP, on a port where nothing needs to accept TCP.";
    UNKNOWN_ANNOTATION = "UnknownAnnotation": "No annotation of this name exists.";
    UNKNOWN_ATTRIBUTE = "UnknownAttribute": "Network Load Balancers or their target groups have no attribute of this name.";
    UNKNOWN_VPC = "UnknownVpc": "The VPC that load balancers belong in is not known.";
    UNSUPPORTED_ANNOTATION = "UnsupportedAnnotation": "The annotation, or this value of it, is known but not supported yet.";
    UNSUPPORTED_IP_FAMILY = "UnsupportedIpFamily": "The Service has no IPv4 address family, and load balancers are IPv4 only so far.";
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol": "Network Load Balancers do not forward this protocol.";
    ZONE_NOT_SERVED = "ZoneNotServed": "Notice: targets lie in a zone in which the load balancer has no subnet; they get no traffic.";
}

/// Makes a problem; the order of arguments is that of reading: what kind, where, what, what to do.
pub(super) fn problem(
    code: &'static str,
    field: impl Into<String>,
    message: impl Into<String>,
    fix: impl Into<String>,
) -> Problem {
    Problem { code, field: field.into(), message: message.into(), fix: fix.into() }
}

/// What `build` has found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Each of them refuses the Service.
    pub(super) problems: Vec<Problem>,
    /// Worth telling; nothing is refused.
    pub(super) notices: Vec<Problem>,
}

impl Findings {
    /// Refuses the Service.
    pub(super) fn refuse(
        &mut self,
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(problem(code, field, message, fix));
    }

    /// Tells the user something.
    pub(super) fn tell(
        &mut self,
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.notices.push(problem(code, field, message, fix));
    }
}

/// How many problems are told at most: more help nobody, and an event has room for about a thousand characters.
const MAX_PROBLEMS: usize = 50;

impl From<Findings> for Rejection {
    fn from(findings: Findings) -> Self {
        Self { problems: findings.problems.into_iter().take(MAX_PROBLEMS).collect() }
    }
}

/// How much of a user's text is repeated in a message.
const QUOTED: usize = 80;

/// Quotes a user's text, cut if it is long: an annotation can have 256 KiB.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// How many items a message lists before it says "and N more".
pub(super) const LISTED: usize = 20;

/// Joins items for a message, [`LISTED`] of them at most.
pub(super) fn listing<T: std::fmt::Display>(items: &[T], separator: &str) -> String {
    let mut text = items.iter().take(LISTED).map(ToString::to_string).collect::<Vec<_>>().join(separator);
    if items.len() > LISTED {
        text.push_str(&format!("{separator}and {} more", items.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_unique_and_pascal_case() {
        for pair in CODES.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (code, meaning) in CODES {
            assert!(
                code.chars().all(|c| c.is_ascii_alphanumeric()) && code.starts_with(|c: char| c.is_ascii_uppercase()),
                "{code}"
            );
            assert!(meaning.ends_with('.'), "{code} is explained in sentences");
        }
    }

    #[test]
    fn long_texts_and_listings_are_cut() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        assert_eq!(quote(&"ä".repeat(81)), format!("{:?}…", "ä".repeat(80)));
        assert_eq!(quote(&"ä".repeat(80)), format!("{:?}", "ä".repeat(80)));
        let items: Vec<usize> = (0..23).collect();
        assert!(listing(&items, ", ").ends_with("18, 19, and 3 more"));
        assert_eq!(listing(&items[..2], ", "), "0, 1");
    }
}
