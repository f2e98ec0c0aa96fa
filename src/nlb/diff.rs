//! PURE: Desired × Observed → [`Plan`]: what to write to AWS, in which order, and why.
//!
//! A plan without steps means that nothing is written. Steps of one wave do not depend on each other, and each step is in
//! the earliest wave in which it is safe: whatever is needed is there before what needs it, whatever serves goes last.
//! Nothing is touched that does not bear this Service's ownership tags.
//!
//! Imports `model`, `aws::types` and the tag keys of `build`. `apply` carries plans out, `cli` prints them by [`render`].

mod attributes;
mod draft;
mod guard;
mod listeners;
mod load_balancer;
mod removal;
pub mod render;
mod rules;
mod security_groups;
mod shared;
mod subnets;
mod tags;
mod target_groups;
mod targets;

#[cfg(test)]
mod tests;

pub use shared::diff_shared;

use self::draft::Draft;
use self::guard::Owner;
use crate::nlb::model::{Desired, Observed, Plan, Subject};

/// Codes of the problems that stand in the way of a plan ([`Plan::conflicts`]), with what they mean: source of
/// `docs/reference/errors.md`.
pub const CODES: &[(&str, &str)] = &[
    (guard::NAME_TAKEN, "An AWS object has the name we need, and does not bear this Service's ownership tags."),
    (guard::IMMUTABLE_CHANGE, "An AWS object must differ in something that AWS cannot change, while its name stays the same."),
    (load_balancer::FAILED, "AWS could not set up the load balancer."),
    (load_balancer::WITHOUT_GROUPS, "The load balancer was made without security groups, and AWS never lets it gain one."),
    (subnets::ONLY_ZONE, "The subnet of the load balancer's only zone is to be exchanged for another one of the same zone."),
];

/// What to write so that AWS holds `desired` and nothing else of this Service.
///
/// Ownership is the tag `elbv2.k8s.aws/cluster=<cluster_name>` with `landfall/service` naming the Service.
///
/// The plan may be a first part only: then [`Plan::waits`] or [`Plan::needs_attributes`] say what it takes to go on. What
/// only the user can settle is in [`Plan::conflicts`]; everything that does not depend on it is planned all the same.
#[must_use]
pub fn diff(desired: &Desired, observed: &Observed, cluster_name: &str) -> Plan {
    let owner = Owner { cluster: cluster_name, service: &desired.service };
    let mut draft = Draft::default();
    if load_balancer::name_is_ours(&mut draft, desired, observed, &owner) {
        let frontend = security_groups::plan(&mut draft, desired, observed, &owner);
        let target_groups = target_groups::plan(&mut draft, desired, observed, &owner);
        if let Some(load_balancer) = load_balancer::plan(&mut draft, desired, observed, frontend.as_ref()) {
            listeners::plan(&mut draft, desired, &load_balancer, &target_groups);
        }
    }
    removal::plan(&mut draft, desired, observed, &owner);
    draft.finish(Subject::Service(desired.service.clone()))
}
