//! The four values that flow through one reconcile: [`Inputs`] → [`Desired`], and with [`Observed`] → [`Plan`].
//!
//! Plain data only: no client, no runtime, no clock. Every stage imports this module; it imports only `aws::types`.

mod desired;
mod inputs;
mod observed;
mod plan;

pub use desired::{
    Desired, DesiredListener, DesiredLoadBalancer, DesiredSecurityGroup, DesiredShared, DesiredTargetGroup, GroupRef, SharedNeed,
    TargetGroupKey,
};
pub use inputs::{Inputs, NetworkFacts, Placement, Policy, PortRange, ServiceKey};
pub use observed::{Observed, ObservedLoadBalancer, ObservedSecurityGroup, ObservedShared, ObservedTargetGroup};
pub use plan::{Action, Applied, LoadBalancerRef, Plan, SecurityGroupRef, Step, Subject, TargetGroupRef, Wait};

use crate::error::{Class, Classified};

/// Something wrong with what the user asked for, or with what AWS has in its place. Names the field and the fix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// Stable PascalCase code: reason of the condition and of the event, anchor in `docs/reference/errors.md`.
    pub code: &'static str,
    /// The annotation, spec field or flag at fault.
    pub field: String,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it, in one sentence.
    pub fix: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.message, self.fix)
    }
}

/// Everything that is wrong with one Service: never empty, all found in one pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))]
pub struct Rejection {
    /// At least one problem, in the order in which they were found.
    pub problems: Vec<Problem>,
}

impl Classified for Rejection {
    fn code(&self) -> &str {
        self.problems.first().map_or("InvalidService", |problem| problem.code)
    }
    fn class(&self) -> Class {
        Class::Input
    }
}
