//! Sets of rules that go by a name.
//!
//! The figures of EC2 are those that its developer guide documents by kind of action; ELBv2 documents none, so these are the caps that the
//! AWS Load Balancer Controller keeps to, which its maintainers chose to stay below AWS's.

use super::{Fault, Rule};

/// The names of all sets.
pub const SETS: &[&str] = &["aws-like"];

/// The rules of a set, in order; `None` when there is no such set.
pub(crate) fn set(name: &str) -> Option<Vec<Rule>> {
    (name == "aws-like").then(|| AWS_LIKE.iter().map(|row| row.rule()).collect())
}

struct Row(&'static str, &'static str, u32, f64);

/// Service, actions, bucket, refill per second. The first row that is for an action counts.
const AWS_LIKE: &[Row] = &[
    Row("ec2", "Describe*", 100, 20.0),
    Row("ec2", "Get*", 100, 20.0),
    Row("ec2", "*", 50, 5.0),
    Row("elasticloadbalancing", "RegisterTargets", 20, 4.0),
    Row("elasticloadbalancing", "DeregisterTargets", 20, 4.0),
    Row("elasticloadbalancing", "Describe*", 200, 50.0),
    Row("elasticloadbalancing", "*", 20, 3.0),
];

impl Row {
    fn rule(&self) -> Rule {
        let &Self(service, action, burst, per_second) = self;
        Rule { service: Some(service.to_owned()), ..Rule::on(action, Fault::Bucket { burst, per_second }) }
    }
}
