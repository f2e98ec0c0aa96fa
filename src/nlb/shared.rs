//! What all Services of the cluster share: one backend security group, and the rules by which nodes admit it.
//!
//! Derived anew each time from all Services that are ours and from what AWS shows, so that it is released even by a process
//! that never made it. Same stages as `reconcile.rs`, for [`Subject::Shared`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;

use super::apply::apply;
use super::build;
use super::diff::{diff_shared, render};
use super::model::{Action, DesiredShared, ObservedShared, Placement, PortRange, SecurityGroupRef, ServiceKey, Subject};
use super::reconcile::{Error, Reconciler, SLOW_RETRY};
use crate::aws::types::{RuleSource, SecurityGroupId};
use crate::error::{Class, Classified};
use crate::kubernetes::queue::Requeue;

/// How often AWS is asked for instances of nodes that it does not have: a new one may not be shown everywhere yet.
const RECHECK: Duration = Duration::from_secs(15);

/// What the Services need from the nodes.
struct Needs {
    /// Protocol and ports.
    ports: BTreeSet<(String, PortRange)>,
    /// Whether some Service is served or being given up: the group must stay.
    in_use: bool,
    /// Whether every Service's needs are known: only then may rules be revoked.
    complete: bool,
    /// The Services whose traffic depends on it.
    served: Vec<Arc<Service>>,
}

/// One run for the shared parts.
pub(super) async fn reconcile(run: &Reconciler) -> Result<Requeue, Error> {
    run.observer.ensure_listed().await?;
    if run.gatherer.check_instances(&BTreeSet::new()).await? {
        run.enqueue_all();
    }
    let needs = needs(run).await?;
    // The group comes first and needs no instance: that instances cannot be read keeps nobody from his load balancer.
    let rules_wanted = needs.in_use && !run.observer.inventory().backend_is_missing();
    let instances = if rules_wanted { run.gatherer.cluster.instances() } else { BTreeSet::new() };
    let observed = run.observer.observe_shared(&instances).await?;
    let desired = desired(run, &needs, &observed);
    let plan = diff_shared(&desired, &observed, &run.cluster_name);
    // The same parts that AWS matched before: somebody else changed them.
    let repairs = run.memory.shared_converged.lock().unwrap_or_else(PoisonError::into_inner).take().as_ref() == Some(&desired);
    if !plan.steps.is_empty() {
        tracing::info!(repairs, plan = %render::summary(&plan), "applying what all Services share");
        let outcome = apply(&run.aws, &run.observer, &plan).await;
        run.metrics.applied(&outcome);
        if repairs {
            needs.served.iter().for_each(|service| run.tell_repair(service, &outcome.done));
        }
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
    *run.memory.shared_converged.lock().unwrap_or_else(PoisonError::into_inner) = Some(desired);
    let settled = run.observer.inventory().shared().backend.map(|group| group.id);
    // Not compared with what this run observed: a run that failed may have made it, or another's listing have found it.
    let before =
        std::mem::replace(&mut *run.memory.shared_backend.lock().unwrap_or_else(PoisonError::into_inner), settled.clone());
    if settled != before {
        // Whoever waited for the group, or for its end, goes on; and the rules that refer to it can be written now.
        run.enqueue_all();
    }
    let none_missing = run.gatherer.missing_instances().is_empty();
    Ok(if none_missing { Requeue::Done } else { Requeue::After(RECHECK) })
}

/// Whether nothing shared is left, or somebody other than `leaving` still needs or holds it.
pub(super) fn is_released(run: &Reconciler, leaving: &ServiceKey) -> bool {
    let is_other = |service: &Service| run.key_if_ours(service).is_some_and(|key| key != *leaving);
    let others = run.gatherer.cluster.services.state().iter().any(|service| run.claim.covers(service) && is_other(service));
    let backend = run.observer.inventory().shared().backend;
    // Whoever still has a load balancer in the group is the last one then: this Service does not wait for it.
    others || backend.is_none_or(|group| run.observer.group_is_used(&group.id))
}

async fn needs(run: &Reconciler) -> Result<Needs, Error> {
    let mut needs = Needs { ports: BTreeSet::new(), in_use: false, complete: true, served: Vec::new() };
    for service in run.gatherer.cluster.services.state() {
        // One that is being given up needs nothing; its load balancer may still be in the group (see `desired`).
        if !run.claim.covers(&service) {
            continue;
        }
        let Some(key) = run.key_if_ours(&service) else { continue };
        let placement = run.observer.placement(&key).map(|(scheme, subnets)| Placement { scheme, subnets });
        let inputs = match run.gatherer.gather(&key, service.clone(), placement).await {
            Ok(inputs) => inputs,
            Err(error) => {
                // What one Service lacks must not keep the others from getting theirs.
                tracing::debug!(service = %key, %error, "node rules are kept for a Service whose facts could not be read");
                needs.in_use |= run.observer.inventory().owns_something(&key);
                needs.complete = false;
                continue;
            }
        };
        // A thousand Services are a second's work: leave the thread to others in between, the lease above all.
        tokio::task::yield_now().await;
        match build::build(&inputs) {
            Ok(desired) => {
                if !desired.backend_ports.is_empty() {
                    needs.in_use = true;
                    needs.served.push(service);
                }
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
    let groups = node_groups(run, observed, &existing.id);
    DesiredShared { backend: Some(backend), node_rules: groups.into_iter().map(|group| (group, rules.clone())).collect() }
}

/// The group to open for each node. For a node without a clear one those that were opened before stay open: traffic that
/// flows is not cut on doubt.
fn node_groups(run: &Reconciler, observed: &ObservedShared, backend: &SecurityGroupId) -> BTreeSet<SecurityGroupId> {
    let admits = |id: &SecurityGroupId| {
        let rules = observed.node_groups.get(id).into_iter().flat_map(|group| &group.ingress);
        rules.into_iter().any(|rule| rule.source == RuleSource::SecurityGroup(backend.clone()))
    };
    let wanted = run.gatherer.cluster.instances();
    let inventory = run.observer.inventory();
    let instances = inventory.known_instances().filter(|instance| wanted.contains(&instance.id));
    instances
        .flat_map(|instance| match build::node_group(instance, &observed.node_groups, &run.cluster_name) {
            Ok(group) => vec![group],
            Err(problem) => {
                tracing::warn!(instance = %instance.id, %problem, "no security group to open for this node");
                instance.security_groups.iter().filter(|id| admits(id)).cloned().collect()
            }
        })
        .collect()
}
