//! What went wrong with an AWS call, as a value that can be shown, counted and acted upon.
//!
//! Its code is an event reason and metric label, its class decides whether and when the work is tried again. Imports
//! `error` of the crate; `codes.rs` has the table from AWS's codes to classes.

use std::error::Error;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;
use aws_sdk_elasticloadbalancingv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_elasticloadbalancingv2::operation::RequestId;

use super::codes::{class_of, class_of_status, is_gone, reason_of};
use super::operation::Operation;
use crate::error::{Class, Classified};

/// An AWS call failed, or was not made.
///
/// `Display` is the same each time for the same cause (no request id, no time), so that an event repeats as one event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.described())]
pub struct AwsError {
    /// What was called, as the IAM action that allows it: `elasticloadbalancing:CreateLoadBalancer`.
    pub operation: &'static str,
    /// Stable PascalCase code: AWS's own (`InvalidGroupNotFound` for `InvalidGroup.NotFound`) or one of ours: `AwsUnreachable`,
    /// `NoCredentials`, `NoRegion`, `NotLeader`, `InvalidSetting`, `Throttled`, `UnexpectedAnswer`.
    pub code: String,
    /// What to do about it.
    pub class: Class,
    /// AWS's own words, or ours with the fix.
    pub message: String,
    /// AWS's id of the failed request, for a support case. Differs each time.
    pub request_id: Option<String>,
    /// When it may go better, if that is known.
    pub retry_after: Option<Duration>,
}

/// The write gate was closed when an attempt was about to be sent.
#[derive(Debug, thiserror::Error)]
#[error("the write gate is closed")]
pub(super) struct GateClosed;

impl AwsError {
    fn new(operation: &'static str, code: impl Into<String>, class: Class, message: impl Into<String>) -> Self {
        Self { operation, code: code.into(), class, message: message.into(), request_id: None, retry_after: None }
    }

    /// What the SDK says, for one operation.
    pub(super) fn from_sdk<E>(operation: Operation, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let action = operation.iam_action();
        let described = match error {
            SdkError::ServiceError(context) => {
                let meta = context.err().meta();
                let status = context.raw().status().as_u16();
                match meta.code() {
                    Some(code) => {
                        Self::new(action, reason_of(code), class_of(code, status), own_words(meta.message().unwrap_or_default()))
                    }
                    None => Self::new(
                        action,
                        UNEXPECTED,
                        class_of_status(status),
                        format!(
                            "HTTP status {status} with an answer that cannot be read; check what answers at the AWS endpoint"
                        ),
                    ),
                }
            }
            // An answer that ended before it was complete: as good as none.
            SdkError::ResponseError(_) => Self::new(action, UNEXPECTED, Class::Transient, chain(error)),
            SdkError::ConstructionFailure(_) => Self::new(action, "InvalidRequest", Class::Bug, chain(error)),
            _ => Self::not_answered(action, error),
        };
        Self { request_id: error.request_id().map(str::to_owned), ..described }
    }

    /// No answer came, or no request was sent.
    fn not_answered(action: &'static str, error: &(dyn Error + 'static)) -> Self {
        if source_of::<GateClosed>(error).is_some() {
            return Self::not_leader(action);
        }
        match source_of::<CredentialsError>(error) {
            Some(CredentialsError::CredentialsNotLoaded(_)) => Self::new(
                action,
                "NoCredentials",
                Class::Permission,
                "no AWS credentials found; give the pod an IAM role (IRSA or EKS Pod Identity), or set AWS_PROFILE, or \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
            Some(timeout @ CredentialsError::ProviderTimedOut(_)) => {
                Self::new(action, UNREACHABLE, Class::Transient, format!("credentials: {}", chain(timeout)))
            }
            Some(other) => Self::new(
                action,
                "NoCredentials",
                Class::Permission,
                format!(
                    "AWS credentials could not be got: {}; check the IAM role's trust policy and AWS_* settings",
                    chain(other)
                ),
            ),
            None => Self::new(
                action,
                UNREACHABLE,
                Class::Transient,
                format!("{}; check the network, its policies and --aws-endpoint-url", chain(error)),
            ),
        }
    }

    /// AWS answered with something that does not add up.
    pub(super) fn unexpected(operation: Operation, what: impl Into<String>) -> Self {
        Self::new(operation.iam_action(), UNEXPECTED, Class::Bug, what)
    }

    /// Our own throttle says to come back after `wait`.
    pub(super) fn throttled(operation: Operation, wait: Duration) -> Self {
        let message = "too many calls of this kind for now; tried again by itself";
        Self { retry_after: Some(wait), ..Self::new(operation.iam_action(), "Throttled", Class::Throttled, message) }
    }

    /// A write was held back: another replica leads now.
    pub(super) fn not_leader(action: &'static str) -> Self {
        Self::new(action, "NotLeader", Class::Stale, "not sent: this replica is not the leader any more")
    }

    /// No region, by any way.
    pub(super) fn no_region() -> Self {
        Self::new(
            "connect",
            "NoRegion",
            Class::Input,
            "no AWS region found; give --aws-region, or set AWS_REGION, or a region in the AWS profile, or allow the pod to \
             reach the instance metadata service (hop limit 2)",
        )
    }

    /// A setting that the SDK refuses.
    pub(super) fn invalid_setting(message: impl Into<String>) -> Self {
        Self::new("connect", "InvalidSetting", Class::Input, message)
    }

    /// A create that was answered with what somebody else has under that name.
    pub(crate) fn name_taken(load_balancer: &str) -> Self {
        let message = format!("AWS answered with the load balancer {load_balancer} of somebody else");
        Self::new(Operation::CreateLoadBalancer.iam_action(), "DuplicateLoadBalancerName", Class::Stale, message)
    }

    /// Whether AWS says that what the call was about does not exist (any more, or visibly yet).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        is_gone(&self.code)
    }

    fn described(&self) -> String {
        let parts = [self.operation, &self.code, &self.message];
        let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        match self.fix() {
            Some(fix) => format!("{text}; {fix}"),
            None => text,
        }
    }

    /// The action that AWS denied: what it asks elsewhere with the caller's rights may be another than was called.
    fn denied(&self) -> &str {
        let named = self.message.split_once("is not authorized to perform:").and_then(|(_, rest)| rest.split_whitespace().next());
        named.map(|action| action.trim_end_matches(['.', ','])).filter(|action| action.contains(':')).unwrap_or(self.operation)
    }

    /// What somebody must do, beyond AWS's own words.
    fn fix(&self) -> Option<String> {
        match self.code.as_str() {
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedException" | "UnauthorizedOperation" => {
                Some(format!("allow {} in the controller's IAM policy (deploy/iam-policy.json)", self.denied()))
            }
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                Some("renew the controller's credentials".to_owned())
            }
            "RulesPerSecurityGroupLimitExceeded" => {
                Some("take rules out of that group, or raise AWS's quota of rules per security group (L-0EA8095F)".to_owned())
            }
            "SecurityGroupLimitExceeded" => {
                Some("delete groups that nobody uses, or raise AWS's quota of security groups per region (L-E79EC296)".to_owned())
            }
            "RequestExpired" | "RequestInTheFuture" | "RequestTimeTooSkewed" => Some("set the node's clock right".to_owned()),
            "AuthFailure"
            | "InvalidAccessKeyId"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Some(
                "check the controller's credentials, that they belong to this region's partition, and the node's clock"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

const UNEXPECTED: &str = "UnexpectedAnswer";
const UNREACHABLE: &str = "AwsUnreachable";

impl Classified for AwsError {
    fn code(&self) -> &str {
        &self.code
    }
    fn class(&self) -> Class {
        self.class
    }
}

/// AWS's message without the encoded blob that EC2 adds to denials: it differs each time and tells people nothing.
fn own_words(message: &str) -> &str {
    message.split("Encoded authorization failure message").next().unwrap_or_default().trim().trim_end_matches('.')
}

/// The errors from the outside in, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    text
}

/// The first error of that type on the way in.
fn source_of<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(message: &str) -> AwsError {
        AwsError {
            request_id: Some("8a3f".into()),
            ..AwsError::new(
                Operation::CreateSecurityGroup.iam_action(),
                "UnauthorizedOperation",
                Class::Permission,
                own_words(message),
            )
        }
    }

    #[test]
    fn a_denial_names_the_action_to_allow_and_reads_the_same_each_time() {
        let first = denied("You are not authorized to perform this operation. Encoded authorization failure message: 4Fx9");
        let second = denied("You are not authorized to perform this operation. Encoded authorization failure message: Zz81");
        assert_eq!(first.to_string(), second.to_string());
        assert_eq!(
            first.to_string(),
            "ec2:CreateSecurityGroup: UnauthorizedOperation: You are not authorized to perform this operation; allow \
             ec2:CreateSecurityGroup in the controller's IAM policy (deploy/iam-policy.json)"
        );
        assert_eq!(first.request_id.as_deref(), Some("8a3f"));
    }

    #[test]
    fn a_denial_of_what_aws_asks_on_the_way_names_that_action() {
        let words =
            "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: ec2:GetSecurityGroupsForVpc on resource: *";
        for message in [words.to_owned(), words.replace(" on resource: *", ".")] {
            let error = AwsError::new(Operation::SetSecurityGroups.iam_action(), "AccessDenied", Class::Permission, message);
            assert_eq!(error.denied(), "ec2:GetSecurityGroupsForVpc");
            assert!(error.to_string().contains("; allow ec2:GetSecurityGroupsForVpc in"), "{error}");
        }
    }

    #[test]
    fn our_own_throttle_says_when() {
        let error = AwsError::throttled(Operation::RegisterTargets, Duration::from_millis(750));
        assert_eq!((error.code(), error.class()), ("Throttled", Class::Throttled));
        assert_eq!(error.retry_after, Some(Duration::from_millis(750)));
    }

    #[test]
    fn a_chain_says_each_thing_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] Middle);
        #[derive(Debug, thiserror::Error)]
        #[error("middle: {0}")]
        struct Middle(#[source] GateClosed);

        let error = Outer(Middle(GateClosed));
        assert_eq!(chain(&error), "outer: middle: the write gate is closed");
        assert!(source_of::<GateClosed>(&error).is_some());
        assert!(source_of::<std::fmt::Error>(&error).is_none());
    }
}
