//! The AWS calls that Landfall makes: their IAM actions and how often each may be made at first.
//!
//! One table: the IAM policy, the throttle and the metrics all follow from it. Neighbours: `reads.rs` and `writes.rs` make
//! the calls, `throttle.rs` keeps a bucket for each.

use std::fmt;

/// How often an operation may be called before AWS has said anything, and whether it changes something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Tokens that come back each second.
    pub(super) per_second: f64,
    /// Tokens at rest.
    pub(super) burst: f64,
    /// Changes something: passes the write gate.
    pub(super) write: bool,
}

/// ELBv2 reads: 50/s after 200 (what ELB's API throttling page grants per account and region).
const ELB_READ: Pace = Pace { per_second: 50.0, burst: 200.0, write: false };
/// EC2 reads with a filter: 20/s after 100 (EC2's API throttling page).
const EC2_READ: Pace = Pace { per_second: 20.0, burst: 100.0, write: false };
/// ELBv2 `Modify*`: 3/s after 20.
const MODIFY: Pace = Pace { per_second: 3.0, burst: 20.0, write: true };
/// ELBv2 `RegisterTargets` and `DeregisterTargets`: 4/s after 20.
const REGISTRATION: Pace = Pace { per_second: 4.0, burst: 20.0, write: true };
/// Other writes. AWS publishes no figures for them: start here and learn.
const WRITE: Pace = Pace { per_second: 10.0, burst: 100.0, write: true };

macro_rules! operations {
    ($($service:literal { $($name:ident: $pace:ident,)* })*) => {
        /// One operation of the AWS API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(
                #[doc = concat!("`", $service, ":", stringify!($name), "`.")]
                $name,
            )*)*
        }

        impl Operation {
            /// The IAM action that allows it, such as `elasticloadbalancing:CreateLoadBalancer`.
            #[must_use]
            pub fn iam_action(self) -> &'static str {
                match self {
                    $($(Self::$name => concat!($service, ":", stringify!($name)),)*)*
                }
            }

            /// Its service's IAM prefix: `elasticloadbalancing` or `ec2`.
            #[must_use]
            pub fn service(self) -> &'static str {
                match self {
                    $($(Self::$name => $service,)*)*
                }
            }

            /// Its name in the API, such as `CreateLoadBalancer`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($(Self::$name => stringify!($name),)*)*
                }
            }

            pub(super) fn pace(self) -> Pace {
                match self {
                    $($(Self::$name => $pace,)*)*
                }
            }

            /// The operation of that name in the API, if it is one of ours (names are unique over both services).
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($(stringify!($name) => Some(Self::$name),)*)*
                    _ => None,
                }
            }
        }

        /// IAM actions of all calls that Landfall makes: exactly what `deploy/iam-policy.json` allows.
        pub const OPERATIONS: &[&str] = &[$($(concat!($service, ":", stringify!($name)),)*)*];
    };
}

operations! {
    "elasticloadbalancing" {
        AddTags: WRITE,
        CreateListener: WRITE,
        CreateLoadBalancer: WRITE,
        CreateTargetGroup: WRITE,
        DeleteListener: WRITE,
        DeleteLoadBalancer: WRITE,
        DeleteTargetGroup: WRITE,
        DeregisterTargets: REGISTRATION,
        DescribeListeners: ELB_READ,
        DescribeLoadBalancerAttributes: ELB_READ,
        DescribeLoadBalancers: ELB_READ,
        DescribeTags: ELB_READ,
        DescribeTargetGroupAttributes: ELB_READ,
        DescribeTargetGroups: ELB_READ,
        DescribeTargetHealth: ELB_READ,
        ModifyListener: MODIFY,
        ModifyLoadBalancerAttributes: MODIFY,
        ModifyTargetGroup: MODIFY,
        ModifyTargetGroupAttributes: MODIFY,
        RegisterTargets: REGISTRATION,
        RemoveTags: WRITE,
        SetSecurityGroups: WRITE,
        SetSubnets: WRITE,
    }
    "ec2" {
        AuthorizeSecurityGroupIngress: WRITE,
        CreateSecurityGroup: WRITE,
        CreateTags: WRITE,
        DeleteSecurityGroup: WRITE,
        DeleteTags: WRITE,
        DescribeInstances: EC2_READ,
        DescribeNetworkInterfaces: EC2_READ,
        DescribeRouteTables: EC2_READ,
        DescribeSecurityGroups: EC2_READ,
        DescribeSubnets: EC2_READ,
        DescribeVpcs: EC2_READ,
        RevokeSecurityGroupIngress: WRITE,
    }
}

impl Operation {
    /// Whether it changes something in AWS.
    #[must_use]
    pub fn is_write(self) -> bool {
        self.pace().write
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.iam_action())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_found_by_its_name_and_reads_are_what_describes() {
        for action in OPERATIONS {
            let (service, name) = action.split_once(':').unwrap();
            let operation = Operation::named(name).unwrap();
            assert_eq!(operation.iam_action(), *action);
            assert_eq!((operation.service(), operation.name()), (service, name));
            assert_eq!(operation.is_write(), !name.starts_with("Describe"), "{action}");
        }
        assert_eq!(Operation::named("RunInstances"), None);
    }
}
