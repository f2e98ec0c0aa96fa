//! What is ours and not desired goes, once nothing that stays uses it. Listeners and targets go with their objects.
//!
//! An old load balancer stays until the new one serves, with healthy targets for each port for which the old one has some, and
//! its host name is published: clients must never be left without one. While it stays, its target groups follow the endpoints,
//! so that it does serve.

use super::draft::Draft;
use super::guard::Owner;
use super::{load_balancer, security_groups, target_groups, targets};
use crate::aws::types::{Listener, LoadBalancer, LoadBalancerArn, SecurityGroupId, TargetGroup, TargetGroupArn, TargetState};
use crate::nlb::build::tags::RESOURCE;
use crate::nlb::model::{
    Action, Desired, DesiredTargetGroup, LoadBalancerRef, Observed, ObservedLoadBalancer, ObservedTargetGroup, SecurityGroupRef,
    TargetGroupRef, Wait,
};

/// Plans the deletions, after all other steps are known.
pub(super) fn plan(draft: &mut Draft, desired: &Desired, observed: &Observed, owner: &Owner<'_>) {
    let wanted = desired.load_balancer.as_ref().map(|wanted| wanted.name.as_str());
    for (name, seen) in observed.load_balancers.iter().filter(|(_, seen)| owner.owns(&seen.tags)) {
        let reason = match wanted {
            Some(wanted) if wanted == name => continue,
            Some(wanted) if takes_over(desired, observed, owner, wanted, seen) => format!("replaced by {wanted}"),
            Some(_) => {
                draft.wait(Wait::Replacement { load_balancer: name.clone() });
                continue;
            }
            None => "no longer wanted".to_owned(),
        };
        draft.step(0, Action::DeleteLoadBalancer { load_balancer: load_balancer::reference(&seen.load_balancer) }, reason);
    }
    for (name, seen) in observed.target_groups.iter().filter(|(_, seen)| owner.owns(&seen.tags)) {
        if desired.target_groups.values().any(|wanted| wanted.name == *name) {
            continue;
        }
        let reference = target_groups::reference(&seen.target_group);
        if let Some(wave) = target_group_free_from(draft, observed, &seen.target_group) {
            draft.step(wave, Action::DeleteTargetGroup { target_group: reference }, "no longer wanted");
        } else if let Some(successor) = successor(desired, seen) {
            targets::plan(draft, 0, &reference, &successor.targets, &seen.targets);
        }
    }
    for (name, seen) in observed.security_groups.iter().filter(|(_, seen)| owner.owns(&seen.group.tags)) {
        if desired.security_group.as_ref().is_some_and(|wanted| wanted.name == *name) {
            continue;
        }
        if let Some(wave) = security_group_free_from(draft, observed, &seen.group.id) {
            let group = security_groups::reference(&seen.group);
            draft.step(wave, Action::DeleteSecurityGroup { group }, "no longer wanted");
        }
    }
}

/// Whether the load balancer of this name can stand in for an older one: it serves, listens on all ports, has healthy targets
/// where the old one has, and clients find it.
fn takes_over(desired: &Desired, observed: &Observed, owner: &Owner<'_>, wanted: &str, old: &ObservedLoadBalancer) -> bool {
    observed.load_balancers.get(wanted).filter(|new| owner.owns(&new.tags)).is_some_and(|new| {
        let published = observed.published_host_name.as_deref();
        new.load_balancer.state.serves()
            && desired.listeners.keys().all(|port| new.listeners.contains_key(port))
            && desired.target_groups.values().all(|group| carries(group, observed, owner, &old.load_balancer.arn))
            && published.is_some_and(|published| published.eq_ignore_ascii_case(&new.load_balancer.dns_name))
    })
}

/// Whether a desired group has a healthy target, or needs none: it takes no targets, or no more is healthy behind the old load
/// balancer, which must not stay for the sake of what does not work there either.
fn carries(wanted: &DesiredTargetGroup, observed: &Observed, owner: &Owner<'_>, old: &LoadBalancerArn) -> bool {
    let is_healthy = |seen: &ObservedTargetGroup| seen.targets.values().any(|health| health.state == TargetState::Healthy);
    let mut before = observed.target_groups.values().filter(|seen| {
        let role = seen.tags.get(RESOURCE);
        owner.owns(&seen.tags) && role == wanted.tags.get(RESOURCE) && seen.target_group.load_balancers.contains(old)
    });
    wanted.targets.is_empty() || observed.target_groups.get(&wanted.name).is_some_and(is_healthy) || !before.any(is_healthy)
}

/// First wave in which no listener forwards to the group; `None` when one stays.
fn target_group_free_from(draft: &Draft, observed: &Observed, group: &TargetGroup) -> Option<u8> {
    let mut from = 0;
    for seen in observed.load_balancers.values() {
        let deleted = deletion(draft, &seen.load_balancer);
        if let Some(wave) = deleted.filter(|_| group.load_balancers.contains(&seen.load_balancer.arn)) {
            from = from.max(wave + 1);
        }
        for listener in seen.listeners.values().filter(|listener| listener.target_groups.contains(&group.arn)) {
            let released = deleted.or_else(|| release(draft, listener, &group.arn))?;
            from = from.max(released + 1);
        }
    }
    Some(from)
}

/// First wave in which no load balancer is in the group; `None` when one stays.
fn security_group_free_from(draft: &Draft, observed: &Observed, group: &SecurityGroupId) -> Option<u8> {
    let mut from = 0;
    for seen in observed.load_balancers.values().map(|seen| &seen.load_balancer) {
        if seen.security_groups.contains(group) {
            let left = draft.wave_of(|action| match action {
                Action::SetSecurityGroups { load_balancer, security_groups } => {
                    is(load_balancer, seen)
                        && !security_groups
                            .iter()
                            .any(|kept| matches!(kept, SecurityGroupRef::Existing { id, .. } if id == group))
                }
                _ => false,
            });
            from = from.max(deletion(draft, seen).or(left)? + 1);
        }
    }
    Some(from)
}

fn deletion(draft: &Draft, seen: &LoadBalancer) -> Option<u8> {
    draft.wave_of(|action| matches!(action, Action::DeleteLoadBalancer { load_balancer } if is(load_balancer, seen)))
}

/// The wave in which a listener is deleted or led elsewhere.
fn release(draft: &Draft, seen: &Listener, group: &TargetGroupArn) -> Option<u8> {
    draft.wave_of(|action| match action {
        Action::DeleteListener { listener, .. } => *listener == seen.arn,
        Action::ModifyListener { listener, target_group, .. } => {
            *listener == seen.arn && !matches!(target_group, TargetGroupRef::Existing { id, .. } if id == group)
        }
        _ => false,
    })
}

fn is(reference: &LoadBalancerRef, seen: &LoadBalancer) -> bool {
    matches!(reference, LoadBalancerRef::Existing { id, .. } if *id == seen.arn)
}

/// The desired group that stands for the same port as one that is on its way out, if it takes the same targets.
fn successor<'a>(desired: &'a Desired, seen: &ObservedTargetGroup) -> Option<&'a DesiredTargetGroup> {
    let resource = seen.tags.get(RESOURCE)?;
    let group = &seen.target_group;
    desired
        .target_groups
        .values()
        .find(|wanted| wanted.tags.get(RESOURCE) == Some(resource))
        .filter(|wanted| wanted.target_type == group.target_type && wanted.ip_address_type == group.ip_address_type)
}
