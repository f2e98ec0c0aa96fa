//! Target groups: create, health check, attributes, tags, targets. What is immutable is part of the name, so a group that
//! must differ in it is another group; `removal.rs` deletes the old one once its listener has moved.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{self, Subject};
use super::draft::Draft;
use super::guard::{IMMUTABLE_CHANGE, Owner, name_taken};
use super::{tags, targets};
use crate::aws::types::{Attributes, HealthCheck, Tags, TargetGroup, Targets};
use crate::nlb::build::attributes::target_group_default;
use crate::nlb::model::{
    Action, Desired, DesiredTargetGroup, Observed, ObservedTargetGroup, Problem, TargetGroupKey, TargetGroupRef,
};

/// A target group, to be used by listeners.
pub(super) struct Ready {
    /// The group.
    pub(super) reference: TargetGroupRef,
    /// First wave in which a listener may forward to it: a new group has its attributes and targets by then.
    pub(super) from: u8,
}

/// Plans all target groups. Those that are missing from the answer are in conflict.
pub(super) fn plan(
    draft: &mut Draft,
    desired: &Desired,
    observed: &Observed,
    owner: &Owner<'_>,
) -> BTreeMap<TargetGroupKey, Ready> {
    let mut ready = BTreeMap::new();
    for (key, wanted) in &desired.target_groups {
        let planned = match observed.target_groups.get(&wanted.name) {
            None => create(draft, wanted),
            Some(seen) => match conflict(wanted, seen, owner) {
                Some(problem) => {
                    draft.conflict(problem);
                    continue;
                }
                None => update(draft, wanted, seen),
            },
        };
        ready.insert(key.clone(), planned);
    }
    ready
}

/// Names a group that exists.
pub(super) fn reference(group: &TargetGroup) -> TargetGroupRef {
    TargetGroupRef::Existing { name: group.name.clone(), id: group.arn.clone() }
}

fn create(draft: &mut Draft, wanted: &DesiredTargetGroup) -> Ready {
    let action = Action::CreateTargetGroup {
        name: wanted.name.clone(),
        protocol: wanted.protocol.clone(),
        port: wanted.port,
        target_type: wanted.target_type.clone(),
        ip_address_type: wanted.ip_address_type.clone(),
        vpc: wanted.vpc.clone(),
        health_check: wanted.health_check.clone(),
        tags: attributes::creation_tags(&wanted.tags, &wanted.attributes),
    };
    draft.step(0, action, "not there");
    let reference = TargetGroupRef::New(wanted.name.clone());
    let configured = attributes::plan_new(draft, 1, &wanted.attributes, modify(&reference), tag(&reference));
    let registered = targets::plan(draft, 1, &reference, &wanted.targets, &Targets::new());
    Ready { reference, from: configured.max(registered) }
}

fn update(draft: &mut Draft, wanted: &DesiredTargetGroup, seen: &ObservedTargetGroup) -> Ready {
    let reference = reference(&seen.target_group);
    if let Some(reason) = health_check_difference(&seen.target_group.health_check, &wanted.health_check) {
        let action = Action::ModifyHealthCheck { target_group: reference.clone(), health_check: wanted.health_check.clone() };
        draft.step(0, action, reason);
    }
    let subject =
        Subject { name: &wanted.name, desired: &wanted.attributes, observed: seen.attributes.as_ref(), tags: &seen.tags };
    let default = |key: &str| target_group_default(key, &wanted.protocol, &wanted.target_type);
    attributes::plan(draft, &subject, default, modify(&reference), tag(&reference));
    tags::plan(draft, &wanted.tags, &seen.tags, tag(&reference));
    let registered = targets::plan(draft, 0, &reference, &wanted.targets, &seen.targets);
    Ready { reference, from: registered }
}

fn modify(reference: &TargetGroupRef) -> impl FnOnce(Attributes) -> Action {
    |attributes| Action::ModifyTargetGroupAttributes { target_group: reference.clone(), attributes }
}

fn tag(reference: &TargetGroupRef) -> impl Fn(Tags, BTreeSet<String>) -> Action {
    |set, remove| Action::TagTargetGroup { target_group: reference.clone(), set, remove }
}

fn conflict(wanted: &DesiredTargetGroup, seen: &ObservedTargetGroup, owner: &Owner<'_>) -> Option<Problem> {
    let group = &seen.target_group;
    let object = format!("target group {}", group.name);
    if !owner.owns(&seen.tags) {
        let fix = "delete that target group: no name of ours can be taken by chance";
        return Some(name_taken("Service", &object, &seen.tags, fix));
    }
    let differences = [
        ("protocol", group.protocol.as_str(), wanted.protocol.as_str()),
        ("target type", group.target_type.as_str(), wanted.target_type.as_str()),
        ("address type", group.ip_address_type.as_str(), wanted.ip_address_type.as_str()),
    ];
    let (what, is, should) = differences.into_iter().find(|(_, is, should)| is != should)?;
    Some(Problem {
        code: IMMUTABLE_CHANGE,
        field: "Service".to_owned(),
        message: format!("{object} has {what} {is} where {should} is needed, and AWS cannot change that"),
        fix: "delete that target group in AWS: it is made anew".to_owned(),
    })
}

/// What differs, as `interval 10 → 20`.
fn health_check_difference(is: &HealthCheck, should: &HealthCheck) -> Option<String> {
    let port = |check: &HealthCheck| check.port.map_or_else(|| "traffic-port".to_owned(), |port| port.to_string());
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let fields = |check: &HealthCheck| {
        [
            ("protocol", check.protocol.to_string()),
            ("port", port(check)),
            ("path", text(&check.path)),
            ("success codes", text(&check.success_codes)),
            ("interval", check.interval_seconds.to_string()),
            ("timeout", check.timeout_seconds.to_string()),
            ("healthy threshold", check.healthy_threshold.to_string()),
            ("unhealthy threshold", check.unhealthy_threshold.to_string()),
        ]
    };
    let changes: Vec<String> = fields(is)
        .into_iter()
        .zip(fields(should))
        .filter(|((_, is), (_, should))| is != should)
        .map(|((name, is), (_, should))| format!("{name} {is} → {should}"))
        .collect();
    (!changes.is_empty()).then(|| format!("health check {}", changes.join(", ")))
}
