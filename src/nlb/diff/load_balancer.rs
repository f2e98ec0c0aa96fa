//! The load balancer itself: create, subnets, security groups, attributes, tags. What is immutable is part of its name.

use std::collections::BTreeSet;

use super::attributes::{self, Subject};
use super::draft::Draft;
use super::guard::{IMMUTABLE_CHANGE, NAME, Owner, name_taken};
use super::security_groups::Frontend;
use super::subnets::{self, Next};
use super::tags;
use crate::aws::types::{Attributes, LoadBalancer, LoadBalancerState, SecurityGroupId, SubnetId, Tags};
use crate::nlb::build::attributes::load_balancer_default;
use crate::nlb::model::{
    Action, Desired, DesiredLoadBalancer, GroupRef, LoadBalancerRef, Observed, ObservedLoadBalancer, Problem, SecurityGroupRef,
    Wait,
};

/// Code: AWS gave up on it.
pub(super) const FAILED: &str = "LoadBalancerFailed";
/// Code: it can never gain a security group.
pub(super) const WITHOUT_GROUPS: &str = "LoadBalancerWithoutGroups";

/// The load balancer, to be used by listeners.
pub(super) struct Ready<'a> {
    /// The load balancer.
    pub(super) reference: LoadBalancerRef,
    /// First wave in which it exists.
    pub(super) from: u8,
    /// As it is now, unless it is new.
    pub(super) observed: Option<&'a ObservedLoadBalancer>,
}

/// Whether the name is free or ours. If not, nothing is planned at all: everything else would hang on it.
pub(super) fn name_is_ours(draft: &mut Draft, desired: &Desired, observed: &Observed, owner: &Owner<'_>) -> bool {
    let Some(wanted) = &desired.load_balancer else { return true };
    match observed.load_balancers.get(&wanted.name) {
        Some(seen) if !owner.owns(&seen.tags) => {
            let object = format!("load balancer {}", wanted.name);
            let fix = "choose another name by this annotation, or delete that load balancer";
            draft.conflict(name_taken(NAME, &object, &seen.tags, fix));
            false
        }
        _ => true,
    }
}

/// Names a load balancer that exists.
pub(super) fn reference(load_balancer: &LoadBalancer) -> LoadBalancerRef {
    LoadBalancerRef::Existing { name: load_balancer.name.clone(), id: load_balancer.arn.clone() }
}

/// Plans the load balancer. `None` when none is desired, or none can be had now.
pub(super) fn plan<'a>(
    draft: &mut Draft,
    desired: &Desired,
    observed: &'a Observed,
    frontend: Option<&Frontend>,
) -> Option<Ready<'a>> {
    let wanted = desired.load_balancer.as_ref()?;
    let groups = groups(draft, wanted, observed, frontend);
    match observed.load_balancers.get(&wanted.name) {
        None => Some(create(draft, wanted, groups?, frontend)),
        Some(seen) => update(draft, wanted, seen, observed, groups, frontend),
    }
}

/// Binds the groups as far as they are known; `None` as long as one is missing.
fn groups(
    draft: &mut Draft,
    wanted: &DesiredLoadBalancer,
    observed: &Observed,
    frontend: Option<&Frontend>,
) -> Option<BTreeSet<SecurityGroupRef>> {
    let existing = |id: &SecurityGroupId| SecurityGroupRef::Existing { name: id.to_string(), id: id.clone() };
    if wanted.security_groups.contains(&GroupRef::Backend) && observed.backend_group.is_none() {
        draft.wait(Wait::BackendGroup);
    }
    wanted
        .security_groups
        .iter()
        .map(|group| match group {
            GroupRef::Frontend => frontend.map(|frontend| frontend.reference.clone()),
            GroupRef::Backend => observed.backend_group.as_ref().map(existing),
            GroupRef::Existing(id) => Some(existing(id)),
        })
        .collect()
}

fn create<'a>(
    draft: &mut Draft,
    wanted: &DesiredLoadBalancer,
    groups: BTreeSet<SecurityGroupRef>,
    frontend: Option<&Frontend>,
) -> Ready<'a> {
    let wave = frontend.map_or(0, |frontend| frontend.exists_from);
    let action = Action::CreateLoadBalancer {
        name: wanted.name.clone(),
        scheme: wanted.scheme.clone(),
        ip_address_type: wanted.ip_address_type.clone(),
        subnets: wanted.subnets.clone(),
        security_groups: groups,
        tags: attributes::creation_tags(&wanted.tags, &wanted.attributes),
    };
    draft.step(wave, action, "not there");
    draft.wait(Wait::Provisioning { load_balancer: wanted.name.clone() });
    let reference = LoadBalancerRef::New(wanted.name.clone());
    attributes::plan_new(draft, wave + 1, &wanted.attributes, modify(&reference), tag(&reference));
    Ready { reference, from: wave + 1, observed: None }
}

fn update<'a>(
    draft: &mut Draft,
    wanted: &DesiredLoadBalancer,
    seen: &'a ObservedLoadBalancer,
    observed: &Observed,
    groups: Option<BTreeSet<SecurityGroupRef>>,
    frontend: Option<&Frontend>,
) -> Option<Ready<'a>> {
    let load_balancer = &seen.load_balancer;
    if load_balancer.state == LoadBalancerState::Failed {
        draft.conflict(failed(load_balancer));
        return None;
    }
    if !load_balancer.state.serves() {
        draft.wait(Wait::Provisioning { load_balancer: wanted.name.clone() });
    }
    let reference = reference(load_balancer);
    let ready = Ready { reference: reference.clone(), from: 0, observed: Some(seen) };
    if let Some(problem) = immutable_difference(wanted, load_balancer) {
        // It goes on serving as it is: its listeners and targets are kept right.
        draft.conflict(problem);
        return Some(ready);
    }
    match subnets::next(&wanted.subnets, &load_balancer.subnets, &observed.zones) {
        Ok(Next::Done) => {}
        Ok(Next::Set(subnets)) => set_subnets(draft, &reference, load_balancer, subnets),
        Ok(Next::Then(subnets)) => {
            set_subnets(draft, &reference, load_balancer, subnets);
            draft.wait(Wait::SubnetChange { load_balancer: wanted.name.clone() });
        }
        Err(problem) => draft.conflict(problem),
    }
    if let Some(groups) = groups {
        set_groups(draft, &reference, load_balancer, groups, frontend);
    }
    let subject =
        Subject { name: &wanted.name, desired: &wanted.attributes, observed: seen.attributes.as_ref(), tags: &seen.tags };
    let default = |key: &str| load_balancer_default(key, &wanted.scheme);
    attributes::plan(draft, &subject, default, modify(&reference), tag(&reference));
    tags::plan(draft, &wanted.tags, &seen.tags, tag(&reference));
    Some(ready)
}

fn set_subnets(draft: &mut Draft, reference: &LoadBalancerRef, seen: &LoadBalancer, subnets: BTreeSet<SubnetId>) {
    let reason = format!("{} → {}", subnets::text(&seen.subnets), subnets::text(&subnets));
    draft.step(0, Action::SetSubnets { load_balancer: reference.clone(), subnets }, reason);
}

fn set_groups(
    draft: &mut Draft,
    reference: &LoadBalancerRef,
    seen: &LoadBalancer,
    groups: BTreeSet<SecurityGroupRef>,
    frontend: Option<&Frontend>,
) {
    let known: BTreeSet<&SecurityGroupId> = groups.iter().filter_map(id).collect();
    let added: Vec<String> = groups
        .iter()
        .filter(|group| id(group).is_none_or(|id| !seen.security_groups.contains(id)))
        .map(|group| format!("+{}", group.name()))
        .collect();
    let removed: Vec<String> =
        seen.security_groups.iter().filter(|id| !known.contains(id)).map(|id| format!("-{id} (not asked for)")).collect();
    if added.is_empty() && removed.is_empty() {
        return;
    }
    if seen.security_groups.is_empty() {
        draft.conflict(Problem {
            code: WITHOUT_GROUPS,
            field: NAME.to_owned(),
            message: format!(
                "load balancer {} was made without security groups, so AWS refuses to add {}",
                seen.name,
                groups.iter().map(SecurityGroupRef::name).collect::<Vec<_>>().join(", ")
            ),
            fix: "choose another name by this annotation: a new load balancer takes over, then the old one goes".to_owned(),
        });
        return;
    }
    // A group that comes anew must admit the clients before the old ones go.
    let wave = frontend
        .filter(|frontend| id(&frontend.reference).is_none_or(|id| !seen.security_groups.contains(id)))
        .filter(|frontend| groups.contains(&frontend.reference))
        .map_or(0, |frontend| frontend.admits_from);
    let reason = added.into_iter().chain(removed).collect::<Vec<_>>().join(", ");
    draft.step(wave, Action::SetSecurityGroups { load_balancer: reference.clone(), security_groups: groups }, reason);
}

fn modify(reference: &LoadBalancerRef) -> impl FnOnce(Attributes) -> Action {
    |attributes| Action::ModifyLoadBalancerAttributes { load_balancer: reference.clone(), attributes }
}

fn tag(reference: &LoadBalancerRef) -> impl Fn(Tags, BTreeSet<String>) -> Action {
    |set, remove| Action::TagLoadBalancer { load_balancer: reference.clone(), set, remove }
}

fn id(group: &SecurityGroupRef) -> Option<&SecurityGroupId> {
    match group {
        SecurityGroupRef::Existing { id, .. } => Some(id),
        SecurityGroupRef::New(_) => None,
    }
}

fn failed(load_balancer: &LoadBalancer) -> Problem {
    let reason = load_balancer.state_reason.as_deref().unwrap_or("AWS gives no reason");
    Problem {
        code: FAILED,
        field: "Service".to_owned(),
        message: format!("AWS could not set up load balancer {}: {reason}", load_balancer.name),
        fix: "settle the reason and delete that load balancer in AWS: it is made anew".to_owned(),
    }
}

fn immutable_difference(wanted: &DesiredLoadBalancer, seen: &LoadBalancer) -> Option<Problem> {
    let differences = [
        ("scheme", seen.scheme.as_str(), wanted.scheme.as_str()),
        ("address type", seen.ip_address_type.as_str(), wanted.ip_address_type.as_str()),
    ];
    let (what, is, should) = differences.into_iter().find(|(_, is, should)| is != should)?;
    Some(Problem {
        code: IMMUTABLE_CHANGE,
        field: NAME.to_owned(),
        message: format!("load balancer {} has {what} {is} where {should} is asked for; that needs a new one", seen.name),
        fix: "choose another name, or none, by this annotation: a new load balancer takes over, then the old one goes".to_owned(),
    })
}
