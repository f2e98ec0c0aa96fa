//! What all Services of the cluster share: one backend security group, and the rules by which nodes admit it.
//!
//! Derived from all Services that are ours and from what AWS shows, so that it is released even by a process that never made
//! it. Same stages as `reconcile.rs`, for [`Subject::Shared`]; what is wrong is told on the Services, by their own runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;

use super::apply::apply;
use super::build;
use super::diff::{diff_shared, render};
use super::gather::Gatherer;
use super::model::{
    Action, DesiredShared, ObservedShared, Placement, Plan, PortRange, Problem, SecurityGroupRef, ServiceKey, SharedNeed, Step,
    Subject,
};
use super::observe::Observer;
use super::ownership::Claim;
use super::reconcile::{Ended, Error, OK, Reconciler, SLOW_RETRY, TOLD_WHEN_BUSY};
use super::report::Finding;
use crate::aws::AwsError;
use crate::aws::types::{Rule, RuleSource, SecurityGroupId};
use crate::error::{Class, Classified};
use crate::kubernetes::queue::Requeue;

/// How often AWS is asked for instances of nodes that it does not have: a new one may not be shown everywhere yet.
const RECHECK: Duration = Duration::from_secs(15);

/// Nodes without a clear security group that are told: when they are settled the next ones are.
const TOLD_NODES: usize = 3;

/// What is remembered of the shared parts between runs; see [`super::reconcile::Memories`].
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// As AWS matched them last: a plan for the same ones repairs what somebody else changed.
    converged: Option<DesiredShared>,
    /// The backend group as the last run left it: who waits for it is woken when that changes.
    backend: Option<SecurityGroupId>,
    /// Runs in a row that an AWS call ended.
    failures: u32,
    /// Whether a run ended.
    known: bool,
    /// What is wrong, as the Services tell it.
    pub(super) trouble: Option<Finding>,
}

impl Memory {
    /// What a Service that depends on them may say.
    pub(super) fn standing(&self) -> Standing {
        Standing { known: self.known, trouble: self.trouble.clone() }
    }

    /// Takes in what is wrong, and answers whether that is news.
    fn note(&mut self, trouble: Option<Finding>) -> bool {
        let news = match (&self.trouble, &trouble) {
            (Some(told), Some(trouble)) => trouble.is_news_after(&told.reason, &told.message),
            (None, None) => false,
            _ => true,
        };
        // The same again has another request id: all Services show the first one.
        if news {
            self.trouble = trouble;
        }
        news
    }
}

/// How the shared parts are.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Whether this process knows.
    pub(super) known: bool,
    /// What is wrong.
    pub(super) trouble: Option<Finding>,
}

impl Standing {
    /// All is well.
    pub(super) const SOUND: Self = Self { known: true, trouble: None };
}

/// What the shared parts are derived from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Which Services are ours.
    pub claim: &'a Claim,
    /// Stores and facts.
    pub gatherer: &'a Gatherer,
    /// The inventory.
    pub observer: &'a Observer,
    /// `--cluster-name`.
    pub cluster_name: &'a str,
}

/// What is to be done about the shared parts.
pub struct Planned {
    /// The Services whose traffic depends on them.
    served: Vec<Arc<Service>>,
    desired: DesiredShared,
    /// Steps, and the nodes that cannot be opened.
    pub plan: Plan,
}

/// What the Services need from the nodes.
struct Needs {
    /// Protocol and ports.
    ports: BTreeSet<(String, PortRange)>,
    /// Whether some Service is served or being given up: the group must stay.
    in_use: bool,
    /// Whether every Service's needs are known: only then may rules be revoked.
    complete: bool,
    served: Vec<Arc<Service>>,
}

/// A call that failed, and the step that it was for.
struct Refused {
    error: AwsError,
    step: Option<Step>,
}

impl From<AwsError> for Refused {
    fn from(error: AwsError) -> Self {
        Self { error, step: None }
    }
}

/// One run for the shared parts.
pub(super) async fn reconcile(run: &Reconciler) -> Result<Ended, Error> {
    let result = attempt(run).await;
    let mut memory = run.memory.shared();
    let first = !std::mem::replace(&mut memory.known, true);
    let (news, result) = match result {
        Ok((conflicts, requeue)) => {
            memory.failures = 0;
            let trouble = Finding::conflicts(conflicts.get(..TOLD_NODES).unwrap_or(&conflicts));
            (memory.note(trouble), Ok((requeue, OK)))
        }
        Err(Refused { error, step }) => {
            memory.failures += 1;
            let busy = error.class() == Class::Busy;
            let finding = Finding::failure(&error, memory.failures).filter(|_| !busy || memory.failures >= TOLD_WHEN_BUSY);
            let step = step.map(|step| format!(": {}", render::steps(&[step]))).unwrap_or_default();
            let finding = finding.map(|finding| finding.concerning(&format!("shared by all Services{step}")));
            // What is not worth telling (yet) leaves what was told.
            let result = if busy { Ok((Requeue::After(SLOW_RETRY), error.class().as_str())) } else { Err(error.into()) };
            (finding.is_some() && memory.note(finding), result)
        }
    };
    if let Some(trouble) = memory.trouble.as_ref().filter(|_| news) {
        tracing::warn!(reason = trouble.reason, message = trouble.message, "something is wrong with what all Services share");
    }
    drop(memory);
    if news || first {
        run.enqueue_services();
    }
    result
}

/// Returns what stands in the way of a part of it, and when to run again.
async fn attempt(run: &Reconciler) -> Result<(Vec<Problem>, Requeue), Refused> {
    run.observer.ensure_listed().await?;
    if run.gatherer.check_instances(&BTreeSet::new()).await? {
        run.enqueue_all();
    }
    let Planned { served, desired, plan } = plan(run.sources(), |key| run.shared_need(key)).await?;
    let repairs = run.memory.shared().converged.take().as_ref() == Some(&desired);
    if !plan.steps.is_empty() {
        tracing::info!(repairs, plan = %render::summary(&plan), "applying what all Services share");
        let outcome = apply(&run.aws, &run.observer, &plan).await;
        run.metrics.applied(&outcome);
        if repairs {
            served.iter().for_each(|service| run.tell_repair(service, &outcome.done));
        }
        if let Some(failure) = outcome.worst() {
            if failure.error.class() == Class::Busy
                && let Action::DeleteSecurityGroup { group: SecurityGroupRef::Existing { id, .. } } = &failure.step.action
            {
                run.pending.await_interfaces(id.clone(), Subject::Shared);
            }
            return Err(Refused { error: failure.error.clone(), step: Some(failure.step.clone()) });
        }
    }
    let settled = run.observer.inventory().shared().backend.map(|group| group.id);
    // Not compared with what this run observed: a run that failed may have made it, or another's listing have found it.
    let before = {
        let mut memory = run.memory.shared();
        memory.converged = Some(desired);
        std::mem::replace(&mut memory.backend, settled.clone())
    };
    if settled != before {
        // Whoever waited for the group, or for its end, goes on; and the rules that refer to it can be written now.
        run.enqueue_all();
    }
    let none_missing = run.gatherer.missing_instances().is_empty();
    Ok((plan.conflicts, if none_missing { Requeue::Done } else { Requeue::After(RECHECK) }))
}

/// What is to be done about the shared parts. `known`: what a Service's last build needs of them; it is built where that is
/// not known. Used by `plan` (the command) too.
///
/// # Errors
/// The first read of AWS that failed, but for what only one Service asks for.
pub async fn plan(sources: Sources<'_>, known: impl Fn(&ServiceKey) -> Option<SharedNeed>) -> Result<Planned, AwsError> {
    let Sources { gatherer, observer, cluster_name, .. } = sources;
    observer.ensure_listed().await?;
    let needs = needs(sources, known).await;
    // The group comes first and needs no instance: that instances cannot be read keeps nobody from his load balancer.
    let rules_wanted = needs.in_use && !observer.inventory().backend_is_missing();
    let instances = if rules_wanted { gatherer.cluster.instances() } else { BTreeSet::new() };
    let observed = observer.observe_shared(&instances).await?;
    let (desired, problems) = desired(sources, &needs, &observed);
    let mut plan = diff_shared(&desired, &observed, cluster_name);
    plan.conflicts.extend(problems);
    Ok(Planned { served: needs.served, desired, plan })
}

/// Whether nothing shared is left, or somebody other than `leaving` still needs or holds it.
pub(super) fn is_released(run: &Reconciler, leaving: &ServiceKey) -> bool {
    let is_other = |service: &Service| run.key_if_ours(service).is_some_and(|key| key != *leaving);
    let others = run.gatherer.cluster.services.state().iter().any(|service| run.claim.covers(service) && is_other(service));
    let backend = run.observer.inventory().shared().backend;
    // Whoever still has a load balancer in the group is the last one then: this Service does not wait for it.
    others || backend.is_none_or(|group| run.observer.group_is_used(&group.id))
}

async fn needs(sources: Sources<'_>, known: impl Fn(&ServiceKey) -> Option<SharedNeed>) -> Needs {
    let mut needs = Needs { ports: BTreeSet::new(), in_use: false, complete: true, served: Vec::new() };
    let mut leaving = sources.observer.inventory().members();
    for service in sources.gatherer.cluster.services.state() {
        if !sources.claim.covers(&service) {
            continue;
        }
        let Some(key) = ServiceKey::of(&service) else { continue };
        leaving.remove(&key);
        let need = match known(&key) {
            Some(need) => Some(need),
            None => build_need(sources, &key, &service).await,
        };
        match need {
            Some(need) if need.group => {
                needs.in_use = true;
                needs.served.push(service);
                needs.ports.extend(need.ports);
            }
            Some(_) => {}
            None => {
                // What it needs is not known: everything is kept as it is for its sake.
                needs.in_use |= sources.observer.inventory().owns_something(&key);
                needs.complete = false;
            }
        }
    }
    // What is being given up serves until AWS has taken it away, which may be refused for long.
    needs.complete &= leaving.is_empty();
    needs
}

/// What one Service needs; `None` if that cannot be found out, which must not keep the others from getting theirs.
async fn build_need(sources: Sources<'_>, key: &ServiceKey, service: &Arc<Service>) -> Option<SharedNeed> {
    // A thousand Services are a second's work: leave the thread to others in between, the lease above all.
    tokio::task::yield_now().await;
    let placement = sources.observer.placement(key).map(|(scheme, subnets)| Placement { scheme, subnets });
    let inputs = sources.gatherer.gather(key, service.clone(), placement).await;
    let built = inputs.map_err(Error::from).and_then(|inputs| Ok(build::build(&inputs)?));
    let kept =
        |error: &Error| tracing::debug!(service = %key, %error, "node rules are kept for a Service whose needs are unknown");
    Some(built.inspect_err(kept).ok()?.shared_need())
}

fn desired(sources: Sources<'_>, needs: &Needs, observed: &ObservedShared) -> (DesiredShared, Vec<Problem>) {
    let Sources { gatherer, observer, .. } = sources;
    let policy = gatherer.policy();
    let backend = build::backend_group(policy, gatherer.vpc());
    if !needs.in_use {
        // As long as a load balancer is in it AWS would refuse to delete it.
        let held = observed.backend.as_ref().filter(|group| observer.group_is_used(&group.id));
        let node_rules = held.map(|group| admitting(observed, &group.id)).unwrap_or_default();
        return (DesiredShared { backend: held.is_some().then_some(backend), node_rules }, Vec::new());
    }
    let Some(existing) = &observed.backend else {
        return (DesiredShared { backend: Some(backend), node_rules: BTreeMap::new() }, Vec::new());
    };
    let mut rules = build::node_rules(&existing.id, policy, &needs.ports);
    let mut node_rules = if needs.complete { BTreeMap::new() } else { admitting(observed, &existing.id) };
    rules.extend(node_rules.values().flatten().cloned());
    let (groups, problems) = node_groups(sources, observed, &existing.id);
    node_rules.extend(groups.into_iter().map(|group| (group, rules.clone())));
    (DesiredShared { backend: Some(backend), node_rules }, problems)
}

/// The rules by which groups admit the backend group now.
fn admitting(observed: &ObservedShared, backend: &SecurityGroupId) -> BTreeMap<SecurityGroupId, BTreeSet<Rule>> {
    let admits = |rule: &&Rule| rule.source == RuleSource::SecurityGroup(backend.clone());
    let groups = observed.node_groups.iter();
    let rules = groups.map(|(id, group)| (id.clone(), group.ingress.iter().filter(admits).cloned().collect::<BTreeSet<_>>()));
    rules.filter(|(_, rules)| !rules.is_empty()).collect()
}

/// The group to open for each node. For a node without a clear one those that were opened before stay open: traffic that
/// flows is not cut on doubt. Also returns what is unclear, once for all nodes that have the same groups.
fn node_groups(
    sources: Sources<'_>,
    observed: &ObservedShared,
    backend: &SecurityGroupId,
) -> (BTreeSet<SecurityGroupId>, Vec<Problem>) {
    let open = admitting(observed, backend);
    let wanted = sources.gatherer.cluster.instances();
    let inventory = sources.observer.inventory();
    let (mut groups, mut problems) = (BTreeSet::new(), Vec::<Problem>::new());
    for instance in inventory.known_instances().filter(|instance| wanted.contains(&instance.id)) {
        match build::node_group(instance, &observed.node_groups, sources.cluster_name) {
            Ok(group) => drop(groups.insert(group)),
            Err(problem) => {
                groups.extend(instance.security_groups.iter().filter(|id| open.contains_key(*id)).cloned());
                if problems.iter().all(|known| known.message != problem.message) {
                    problems.push(problem);
                }
            }
        }
    }
    (groups, problems)
}

#[cfg(test)]
mod tests;
