//! AWS error codes → [`Class`]: one table for ELBv2 and EC2.
//!
//! Sources: ELBv2's API model and "Common errors", EC2's "Error codes for the Amazon EC2 API", the throttling codes of the
//! SDK's own retry classifier. The message never decides: AWS words it as it likes. Imports `error` only.

use crate::error::Class;

/// Every code that has a meaning for us, as AWS spells it, sorted within its class.
const TABLE: &[(Class, &[&str])] = &[
    (
        Class::Throttled,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ],
    ),
    (
        Class::Transient,
        &[
            "HealthUnavailable",
            "InsufficientCapacity",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServerInternal",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "Unavailable",
        ],
    ),
    // Somebody must grant something: a right, credentials that are valid, a clock that is right (`RequestExpired`), an end
    // to deletion protection (`OperationNotPermitted`).
    (
        Class::Permission,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "Blocked",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NotAuthorized",
            "OperationNotPermitted",
            "OptInRequired",
            "PendingVerification",
            "RequestExpired",
            "RequestInTheFuture",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnauthorizedException",
            "UnauthorizedOperation",
            "UnrecognizedClientException",
        ],
    ),
    // Also what a subnet lacks, free addresses or a way to the internet (`InvalidSubnet`): others can bring it, no change of
    // the Service is needed.
    (
        Class::Quota,
        &[
            "AddressLimitExceeded",
            "CapacityUnitsLimitExceeded",
            "InsufficientFreeAddressesInSubnet",
            "InvalidSubnet",
            "NetworkInterfaceLimitExceeded",
            "ResourceLimitExceeded",
            "RulesPerSecurityGroupLimitExceeded",
            "SecurityGroupLimitExceeded",
            "SecurityGroupsPerInstanceLimitExceeded",
            "SecurityGroupsPerInterfaceLimitExceeded",
            "TagLimitExceeded",
            "TooManyActions",
            "TooManyCertificates",
            "TooManyListeners",
            "TooManyLoadBalancers",
            "TooManyRegistrationsForTargetId",
            "TooManyRules",
            "TooManyTags",
            "TooManyTargetGroups",
            "TooManyTargets",
            "TooManyUniqueTargetGroupsPerLoadBalancer",
        ],
    ),
    // Not as it was read: made by somebody else or by an attempt whose answer was lost (`Duplicate…`), gone, or so new that
    // AWS does not show it everywhere yet (`…NotFound`, `InvalidSecurityGroup`).
    (
        Class::Stale,
        &[
            "DuplicateListener",
            "DuplicateLoadBalancerName",
            "DuplicateTargetGroupName",
            "InvalidGroup.Duplicate",
            "InvalidGroup.NotFound",
            "InvalidGroupId.NotFound",
            "InvalidInstanceID.NotFound",
            "InvalidNetworkInterfaceID.NotFound",
            "InvalidPermission.Duplicate",
            "InvalidPermission.NotFound",
            "InvalidRouteTableID.NotFound",
            "InvalidSecurityGroup",
            "InvalidSecurityGroupID.NotFound",
            "InvalidSecurityGroupRuleId.NotFound",
            "InvalidSubnetID.NotFound",
            "ListenerNotFound",
            "LoadBalancerNotFound",
            "ResourceNotFound",
            "RuleNotFound",
            "SubnetNotFound",
            "TargetGroupNotFound",
        ],
    ),
    // A target group serves one load balancer: another one still has it (`TargetGroupAssociationLimit`). A target is not
    // running yet, or not any more (`InvalidTarget`).
    (
        Class::Busy,
        &[
            "DependencyViolation",
            "IncorrectState",
            "InvalidGroup.InUse",
            "InvalidTarget",
            "OperationInProgress",
            "ResourceInUse",
            "TargetGroupAssociationLimit",
        ],
    ),
    (
        Class::Input,
        &[
            "ALPNPolicyNotFound",
            "AllocationIdNotFound",
            "AvailabilityZoneNotSupported",
            "CertificateNotFound",
            "DuplicateTagKeys",
            "IncompatibleProtocols",
            "InvalidConfigurationRequest",
            "InvalidGroup.Reserved",
            "InvalidGroupId.Malformed",
            "InvalidInstanceID.Malformed",
            "InvalidLoadBalancerAction",
            "InvalidParameter",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "InvalidPermission.Malformed",
            "InvalidPrefixListID.NotFound",
            "InvalidPrefixListId.NotFound",
            "InvalidScheme",
            "InvalidSecurityGroupId.Malformed",
            "InvalidSubnetID.Malformed",
            "InvalidVpcID.Malformed",
            "InvalidVpcID.NotFound",
            "MissingParameter",
            "SSLPolicyNotFound",
            "TagPolicyViolation",
            "UnsupportedProtocol",
            "VPCIdNotSpecified",
            "ValidationError",
            "ValidationException",
        ],
    ),
    // We asked for something that this endpoint does not have: our fault, or an emulator's.
    (
        Class::Bug,
        &[
            "InvalidAction",
            "InvalidQueryParameter",
            "MalformedQueryString",
            "MissingAction",
            "NoSuchVersion",
            "NotImplemented",
            "UnknownParameter",
            "Unsupported",
            "UnsupportedOperation",
        ],
    ),
];

/// What a code means. A code that is not in the table is judged by the HTTP status: 429 throttled, 5xx transient,
/// 401 and 403 permission, any other 4xx a bug.
pub(super) fn class_of(code: &str, status: u16) -> Class {
    TABLE.iter().find(|(_, codes)| codes.contains(&code)).map_or_else(|| class_of_status(status), |(class, _)| *class)
}

/// What an HTTP status alone means. A success whose answer could not be read was most likely cut off.
pub(super) fn class_of_status(status: u16) -> Class {
    match status {
        ..=399 => Class::Transient,
        429 => Class::Throttled,
        500.. => Class::Transient,
        401 | 403 => Class::Permission,
        _ => Class::Bug,
    }
}

/// Whether the code says that the object of the call does not exist (any more, or visibly yet).
pub(super) fn is_gone(reason: &str) -> bool {
    matches!(
        reason,
        "LoadBalancerNotFound"
            | "TargetGroupNotFound"
            | "ListenerNotFound"
            | "ResourceNotFound"
            | "InvalidGroupNotFound"
            | "InvalidGroupIdNotFound"
            | "InvalidSecurityGroupIDNotFound"
    )
}

/// AWS's code as an event reason and metric label: PascalCase letters and digits, `InvalidGroup.NotFound` →
/// `InvalidGroupNotFound`. At most 128 characters, as Kubernetes allows a reason.
pub(super) fn reason_of(code: &str) -> String {
    let mut reason = String::with_capacity(code.len());
    let mut start = true;
    for c in code.chars().take(128) {
        if c.is_ascii_alphanumeric() {
            reason.push(if start { c.to_ascii_uppercase() } else { c });
        }
        start = !c.is_ascii_alphanumeric();
    }
    reason
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_names_each_code_once_in_order() {
        let mut seen = BTreeSet::new();
        for (class, codes) in TABLE {
            assert!(codes.is_sorted(), "{class}: sort the codes");
            for code in *codes {
                assert!(seen.insert(*code), "{code} is listed twice");
            }
        }
        let classes: BTreeSet<_> = TABLE.iter().map(|(class, _)| *class).collect();
        assert_eq!(classes.len(), TABLE.len(), "one entry per class");
    }

    #[test]
    fn codes_decide_before_the_status_does() {
        for (code, status, class) in [
            ("Throttling", 400, Class::Throttled),
            ("RequestLimitExceeded", 503, Class::Throttled),
            ("AccessDenied", 403, Class::Permission),
            ("UnauthorizedOperation", 403, Class::Permission),
            ("ExpiredToken", 400, Class::Permission),
            ("OperationNotPermitted", 400, Class::Permission),
            ("TooManyLoadBalancers", 400, Class::Quota),
            ("RulesPerSecurityGroupLimitExceeded", 400, Class::Quota),
            ("InvalidGroup.Duplicate", 400, Class::Stale),
            ("InvalidPermission.Duplicate", 400, Class::Stale),
            ("InvalidPermission.NotFound", 400, Class::Stale),
            ("LoadBalancerNotFound", 400, Class::Stale),
            ("DuplicateListener", 400, Class::Stale),
            ("ResourceInUse", 400, Class::Busy),
            ("DependencyViolation", 400, Class::Busy),
            ("ValidationError", 400, Class::Input),
            ("InvalidConfigurationRequest", 400, Class::Input),
            ("HealthUnavailable", 500, Class::Transient),
            ("InvalidAction", 400, Class::Bug),
        ] {
            assert_eq!(class_of(code, status), class, "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_judged_by_the_status() {
        for (status, class) in [
            (429, Class::Throttled),
            (500, Class::Transient),
            (503, Class::Transient),
            (403, Class::Permission),
            (400, Class::Bug),
        ] {
            assert_eq!(class_of("BrandNewCode", status), class, "{status}");
        }
    }

    #[test]
    fn reasons_are_pascal_case_words() {
        assert_eq!(reason_of("InvalidGroup.NotFound"), "InvalidGroupNotFound");
        assert_eq!(reason_of("Client.invalidThing"), "ClientInvalidThing");
        assert_eq!(reason_of("ResourceInUse"), "ResourceInUse");
        assert_eq!(reason_of("a b/c"), "ABC");
        assert!(is_gone(&reason_of("InvalidGroup.NotFound")));
        assert!(!is_gone("InvalidGroupDuplicate"));
    }
}
