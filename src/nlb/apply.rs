//! [`Plan`] → AWS. Runs the steps wave by wave, binds names to the ids that creates return, records every answer in the
//! inventory. Never decides: a surprise ends the run, the next one observes anew.

use std::collections::BTreeSet;

use futures::future::join_all;

use crate::aws::types::{InstanceId, LoadBalancerArn, SecurityGroup, SecurityGroupId, TargetGroupArn};
use crate::aws::{Aws, AwsError, LoadBalancerSpec, TargetGroupSpec};
use crate::error::{Class, Classified};
use crate::nlb::model::{Action, Applied, LoadBalancerRef, Plan, SecurityGroupRef, Step, TargetGroupRef};
use crate::nlb::observe::Observer;

/// A step that AWS refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// AWS's answer.
    pub error: AwsError,
}

/// What became of a plan.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Steps that AWS accepted, in order.
    pub done: Vec<Step>,
    /// Steps that AWS refused.
    pub failures: Vec<Failure>,
    /// Whether steps were left out because of a failure before them.
    pub cut_short: bool,
}

impl Outcome {
    /// The failure that decides what happens next: the one that needs somebody's attention most.
    #[must_use]
    pub fn worst(&self) -> Option<&Failure> {
        self.failures.iter().min_by_key(|failure| failure.error.class())
    }

    /// What the metrics call a run that led to this.
    pub(super) fn result(&self) -> &'static str {
        self.worst().map_or("ok", |failure| failure.error.class().as_str())
    }

    /// Instances that AWS refused as targets: at least one of them is not there (any more, or yet).
    #[must_use]
    pub fn refused_instances(&self) -> BTreeSet<InstanceId> {
        let refused = self.failures.iter().filter(|failure| failure.error.code() == "InvalidTarget");
        let targets = refused.filter_map(|failure| match &failure.step.action {
            Action::RegisterTargets { targets, .. } => Some(targets),
            _ => None,
        });
        targets.flatten().filter(|target| target.id.starts_with("i-")).map(|target| target.id.as_str().into()).collect()
    }
}

/// Runs a plan. Leaves the inventory as AWS's answers say, or marked dirty where a write's fate is unknown.
pub async fn apply(aws: &Aws, observer: &Observer, plan: &Plan) -> Outcome {
    let mut outcome = Outcome::default();
    let mut bound = Applied::default();
    let waves: BTreeSet<u8> = plan.steps.iter().map(|step| step.wave).collect();
    for wave in waves {
        let (run, blocked): (Vec<&Step>, Vec<&Step>) =
            plan.steps.iter().filter(|step| step.wave == wave).partition(|step| !is_blocked(&step.action, &outcome));
        outcome.cut_short |= !blocked.is_empty();
        let bound_before = bound.clone();
        let answers = join_all(run.iter().map(|step| perform(aws, observer, &step.action, &bound_before))).await;
        for (step, answer) in run.into_iter().zip(answers) {
            match answer {
                Ok(Some(created)) => {
                    merge(&mut bound, created);
                    outcome.done.push(step.clone());
                }
                Ok(None) => outcome.done.push(step.clone()),
                Err(Refusal::Unbound) => outcome.cut_short = true,
                Err(Refusal::Aws(error)) => {
                    // Refused for a reason that AWS gave before acting: the inventory still holds. Anything else may have
                    // taken effect although we saw an error.
                    if !matches!(error.class(), Class::Throttled | Class::Permission | Class::Quota | Class::Busy | Class::Input)
                    {
                        observer.inventory().mark_dirty();
                    }
                    outcome.failures.push(Failure { step: step.clone(), error });
                }
            }
        }
    }
    outcome
}

/// After a failure nothing is destroyed any more (what was to take its place may be missing), and after one that is not
/// just "later, please" nothing is done at all. Dead targets go all the same, unless it is their own group that is not as it
/// should be for another reason than a quota: for new targets there may be room only when old ones have left.
fn is_blocked(action: &Action, so_far: &Outcome) -> bool {
    if let Action::DeregisterTargets { target_group, .. } = action {
        return so_far.failures.iter().any(|failure| {
            let harmless = matches!(failure.error.class(), Class::Busy | Class::Quota);
            !harmless && concerned(&failure.step.action) == Some(target_group)
        });
    }
    let takes_away = matches!(
        action,
        Action::RevokeIngress { .. }
            | Action::ModifyListener { .. }
            | Action::DeleteListener { .. }
            | Action::DeleteLoadBalancer { .. }
            | Action::DeleteTargetGroup { .. }
            | Action::DeleteSecurityGroup { .. }
    );
    so_far.failures.iter().any(|failure| match failure.error.class() {
        Class::Busy => false,
        Class::Throttled => takes_away,
        _ => true,
    })
}

/// The target group that an action is about.
fn concerned(action: &Action) -> Option<&TargetGroupRef> {
    match action {
        Action::CreateListener { target_group, .. }
        | Action::ModifyListener { target_group, .. }
        | Action::ModifyHealthCheck { target_group, .. }
        | Action::ModifyTargetGroupAttributes { target_group, .. }
        | Action::RegisterTargets { target_group, .. }
        | Action::DeregisterTargets { target_group, .. }
        | Action::TagTargetGroup { target_group, .. }
        | Action::DeleteTargetGroup { target_group } => Some(target_group),
        _ => None,
    }
}

enum Refusal {
    Aws(AwsError),
    /// It needs something that an earlier step failed to create.
    Unbound,
}

impl From<AwsError> for Refusal {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

fn merge(bound: &mut Applied, created: Applied) {
    bound.load_balancers.extend(created.load_balancers);
    bound.target_groups.extend(created.target_groups);
    bound.security_groups.extend(created.security_groups);
}

impl Applied {
    fn load_balancer(&self, reference: &LoadBalancerRef) -> Result<LoadBalancerArn, Refusal> {
        match reference {
            LoadBalancerRef::Existing { id, .. } => Ok(id.clone()),
            LoadBalancerRef::New(name) => self.load_balancers.get(name).cloned().ok_or(Refusal::Unbound),
        }
    }

    fn target_group(&self, reference: &TargetGroupRef) -> Result<TargetGroupArn, Refusal> {
        match reference {
            TargetGroupRef::Existing { id, .. } => Ok(id.clone()),
            TargetGroupRef::New(name) => self.target_groups.get(name).cloned().ok_or(Refusal::Unbound),
        }
    }

    fn security_group(&self, reference: &SecurityGroupRef) -> Result<SecurityGroupId, Refusal> {
        match reference {
            SecurityGroupRef::Existing { id, .. } => Ok(id.clone()),
            SecurityGroupRef::New(name) => self.security_groups.get(name).cloned().ok_or(Refusal::Unbound),
        }
    }

    fn security_groups(&self, references: &BTreeSet<SecurityGroupRef>) -> Result<BTreeSet<SecurityGroupId>, Refusal> {
        references.iter().map(|reference| self.security_group(reference)).collect()
    }
}

/// One write, and its answer into the inventory. Returns what it created.
async fn perform(aws: &Aws, observer: &Observer, action: &Action, bound: &Applied) -> Result<Option<Applied>, Refusal> {
    match action {
        Action::CreateSecurityGroup { name, description, vpc, tags } => {
            let id = aws.create_security_group(name, description, vpc, tags).await?;
            observer.inventory().created_security_group(SecurityGroup {
                id: id.clone(),
                name: name.clone(),
                vpc: vpc.clone(),
                tags: tags.clone(),
                ingress: BTreeSet::new(),
            });
            return Ok(Some(Applied { security_groups: [(name.clone(), id)].into(), ..Applied::default() }));
        }
        Action::CreateTargetGroup { name, protocol, port, target_type, ip_address_type, vpc, health_check, tags } => {
            let spec = TargetGroupSpec { name, protocol, port: *port, target_type, ip_address_type, vpc, health_check, tags };
            let target_group = aws.create_target_group(spec).await?;
            let arn = target_group.arn.clone();
            observer.inventory().created_target_group(target_group, tags.clone());
            return Ok(Some(Applied { target_groups: [(name.clone(), arn)].into(), ..Applied::default() }));
        }
        Action::CreateLoadBalancer { name, scheme, ip_address_type, subnets, security_groups, tags } => {
            let security_groups = &bound.security_groups(security_groups)?;
            let spec = LoadBalancerSpec { name, scheme, ip_address_type, subnets, security_groups, tags };
            let load_balancer = aws.create_load_balancer(spec).await?;
            observer.recognize(&load_balancer, tags).await?;
            let arn = load_balancer.arn.clone();
            observer.inventory().created_load_balancer(load_balancer, tags.clone());
            return Ok(Some(Applied { load_balancers: [(name.clone(), arn)].into(), ..Applied::default() }));
        }
        Action::CreateListener { load_balancer, port, protocol, target_group, tags } => {
            let arn = bound.load_balancer(load_balancer)?;
            let listener = aws.create_listener(&arn, *port, protocol, &bound.target_group(target_group)?, tags).await?;
            observer.inventory().set_listener(load_balancer.name(), listener);
            return Ok(None);
        }
        Action::ModifyListener { load_balancer, listener, port, protocol, target_group } => {
            let listener = aws.modify_listener(listener, *port, protocol, &bound.target_group(target_group)?).await?;
            observer.inventory().set_listener(load_balancer.name(), listener);
            return Ok(None);
        }
        Action::SetSecurityGroups { load_balancer, security_groups } => {
            let groups = bound.security_groups(security_groups)?;
            aws.set_security_groups(&bound.load_balancer(load_balancer)?, &groups).await?;
            observer.inventory().set_groups(load_balancer.name(), groups);
            return Ok(None);
        }
        Action::AuthorizeIngress { group, rules } => aws.authorize_ingress(&bound.security_group(group)?, rules).await?,
        Action::RevokeIngress { group, rules } => aws.revoke_ingress(&bound.security_group(group)?, rules).await?,
        Action::DeleteSecurityGroup { group } => aws.delete_security_group(&bound.security_group(group)?).await?,
        Action::TagSecurityGroup { group, set, remove } => {
            let id = bound.security_group(group)?;
            if !set.is_empty() {
                aws.create_tags(&id, set).await?;
            }
            if !remove.is_empty() {
                aws.delete_tags(&id, remove).await?;
            }
        }
        Action::ModifyHealthCheck { target_group, health_check } => {
            aws.modify_health_check(&bound.target_group(target_group)?, health_check).await?;
        }
        Action::ModifyTargetGroupAttributes { target_group, attributes } => {
            aws.modify_target_group_attributes(&bound.target_group(target_group)?, attributes).await?;
        }
        Action::RegisterTargets { target_group, targets } => {
            aws.register_targets(&bound.target_group(target_group)?, targets).await?;
        }
        Action::DeregisterTargets { target_group, targets } => {
            aws.deregister_targets(&bound.target_group(target_group)?, targets).await?;
        }
        Action::TagTargetGroup { target_group, set, remove } => {
            retag(aws, bound.target_group(target_group)?.as_str(), set, remove).await?;
        }
        Action::DeleteTargetGroup { target_group } => aws.delete_target_group(&bound.target_group(target_group)?).await?,
        Action::SetSubnets { load_balancer, subnets } => {
            aws.set_subnets(&bound.load_balancer(load_balancer)?, subnets).await?;
        }
        Action::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
            aws.modify_load_balancer_attributes(&bound.load_balancer(load_balancer)?, attributes).await?;
        }
        Action::TagLoadBalancer { load_balancer, set, remove } => {
            retag(aws, bound.load_balancer(load_balancer)?.as_str(), set, remove).await?;
        }
        Action::DeleteLoadBalancer { load_balancer } => aws.delete_load_balancer(&bound.load_balancer(load_balancer)?).await?,
        Action::DeleteListener { listener, .. } => aws.delete_listener(listener).await?,
    }
    observer.inventory().record(action);
    Ok(None)
}

async fn retag(aws: &Aws, arn: &str, set: &crate::aws::types::Tags, remove: &BTreeSet<String>) -> Result<(), AwsError> {
    if !set.is_empty() {
        aws.add_tags(arn, set).await?;
    }
    if !remove.is_empty() {
        aws.remove_tags(arn, remove).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
