//! What all Services of the cluster share: one backend security group, and the rules by which nodes admit it.
//!
//! Derived anew each time from all Services that are ours and from what AWS shows, so that it is released even by a process
//! that never made it. Same stages as `reconcile.rs`, for [`Subject::Shared`].

use std::collections::{BTreeMap, BTreeSet};

use super::apply::apply;
use super::build;
use super::diff::{diff_shared, render};
use super::model::{Action, DesiredShared, ObservedShared, Placement, PortRange, SecurityGroupRef, ServiceKey, Subject};
use super::reconcile::{Error, Reconciler, SLOW_RETRY};
use crate::aws::types::{RuleSource, SecurityGroupId};
use crate::error::{Class, Classified};
use crate::kubernetes::queue::Requeue;

/// What the Services need from the nodes.
struct Needs {
    /// Protocol and ports.
    ports: BTreeSet<(String, PortRange)>,
    /// Whether some Service is served or being given up: the group must stay.
    in_use: bool,
    /// Whether every Service's needs are known: only then may rules be revoked.
    complete: bool,
}

/// One run for the shared parts.
pub(super) async fn reconcile(run: &Reconciler) -> Result<Requeue, Error> {
    run.observer.ensure_listed().await?;
    let needs = needs(run).await?;
    let instances = if needs.in_use { run.gatherer.cluster.instances() } else { BTreeSet::new() };
    let observed = run.observer.observe_shared(&instances).await?;
    let desired = desired(run, &needs, &observed);
    let plan = diff_shared(&desired, &observed, &run.cluster_name);
    if !plan.steps.is_empty() {
        tracing::info!(plan = %render::summary(&plan), "applying what all Services share");
        let outcome = apply(&run.aws, &run.observer, &plan).await;
        run.metrics.applied(&outcome);
        if let Some(failure) = outcome.worst() {
            let (error, class) = (&failure.error, failure.error.class());
            if class != Class::Busy {
                return Err(error.clone().into());
            }
            tracing::debug!(%error, "the backend group is still in use");
            if let Action::DeleteSecurityGroup { group: SecurityGroupRef::Existing { id, .. } } = &failure.step.action {
                run.pending.await_interfaces(id.clone(), Subject::Shared);
            }
            return Ok(Requeue::After(SLOW_RETRY));
        }
    }
    let settled = run.observer.inventory().shared();
    if settled.backend.as_ref().map(|group| &group.id) != observed.backend.as_ref().map(|group| &group.id) {
        // Whoever waited for the group, or for its end, goes on; and the rules that refer to it can be written now.
        run.enqueue_all();
    }
    Ok(Requeue::Done)
}

/// Whether nothing shared is left, or somebody other than `leaving` still needs it.
pub(super) fn is_released(run: &Reconciler, leaving: &ServiceKey) -> bool {
    let others = run
        .gatherer
        .cluster
        .services
        .state()
        .iter()
        .any(|service| run.key_if_ours(service).is_some_and(|key| key != *leaving) && run.claim.covers(service));
    others || run.observer.inventory().shared().backend.is_none()
}

async fn needs(run: &Reconciler) -> Result<Needs, Error> {
    let mut needs = Needs { ports: BTreeSet::new(), in_use: false, complete: true };
    for service in run.gatherer.cluster.services.state() {
        let Some(key) = run.key_if_ours(&service) else { continue };
        if !run.claim.covers(&service) {
            // Being given up: its load balancer may still be in the group, which AWS then refuses to delete.
            continue;
        }
        let placement = run.observer.placement(&key).map(|(scheme, subnets)| Placement { scheme, subnets });
        let inputs = run.gatherer.gather(&key, service, placement).await?;
        match build::build(&inputs) {
            Ok(desired) => {
                needs.in_use |= !desired.backend_ports.is_empty();
                needs.ports.extend(desired.backend_ports);
            }
            Err(rejection) => {
                // What it needed before is not known: keep everything as it is for its sake.
                tracing::debug!(service = %key, %rejection, "node rules are kept for a rejected Service");
                needs.in_use |= run.observer.inventory().owns_something(&key);
                needs.complete = false;
            }
        }
    }
    Ok(needs)
}

fn desired(run: &Reconciler, needs: &Needs, observed: &ObservedShared) -> DesiredShared {
    let policy = run.gatherer.policy();
    let backend = build::backend_group(policy, run.gatherer.vpc());
    if !needs.in_use {
        // As long as a load balancer is in it AWS would refuse to delete it.
        let held = observed.backend.as_ref().is_some_and(|group| run.observer.group_is_used(&group.id));
        return DesiredShared { backend: held.then_some(backend), node_rules: BTreeMap::new() };
    }
    let Some(existing) = &observed.backend else {
        return DesiredShared { backend: Some(backend), node_rules: BTreeMap::new() };
    };
    let mut rules = build::node_rules(&existing.id, policy, &needs.ports);
    if !needs.complete {
        let kept = observed.node_groups.values().flat_map(|group| &group.ingress);
        rules.extend(kept.filter(|rule| rule.source == RuleSource::SecurityGroup(existing.id.clone())).cloned());
    }
    let node_rules = node_groups(run, observed).into_iter().map(|group| (group, rules.clone())).collect();
    DesiredShared { backend: Some(backend), node_rules }
}

/// The group to open for each node; a node without a clear one is logged and left out, the others go on.
fn node_groups(run: &Reconciler, observed: &ObservedShared) -> BTreeSet<SecurityGroupId> {
    let wanted = run.gatherer.cluster.instances();
    let inventory = run.observer.inventory();
    let instances = inventory.known_instances().filter(|instance| wanted.contains(&instance.id));
    instances
        .filter_map(|instance| match build::node_group(instance, &observed.node_groups, &run.cluster_name) {
            Ok(group) => Some(group),
            Err(problem) => {
                tracing::warn!(instance = %instance.id, %problem, "no security group to open for this node");
                None
            }
        })
        .collect()
}

impl Reconciler {
    /// Asks for a run for the shared parts.
    pub fn enqueue_shared(&self) {
        self.queue.enqueue(Subject::Shared);
    }
}
