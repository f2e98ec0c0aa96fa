//! The managed frontend group of a Service: owned whole, so its rules are exactly the desired ones.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::guard::{Owner, SECURITY_GROUPS, name_taken};
use super::{rules, tags};
use crate::aws::types::SecurityGroup;
use crate::nlb::model::{Action, Desired, DesiredSecurityGroup, Observed, SecurityGroupRef};

/// The frontend group, to be used by later steps.
pub(super) struct Frontend {
    /// The group.
    pub(super) reference: SecurityGroupRef,
    /// First wave in which it exists.
    pub(super) exists_from: u8,
    /// First wave in which it admits all clients.
    pub(super) admits_from: u8,
}

/// Plans the frontend group. `None` when none is desired, or when its name is taken.
pub(super) fn plan(draft: &mut Draft, desired: &Desired, observed: &Observed, owner: &Owner<'_>) -> Option<Frontend> {
    let wanted = desired.security_group.as_ref()?;
    let Some(seen) = observed.security_groups.get(&wanted.name) else {
        return Some(create(draft, wanted));
    };
    if !owner.owns(&seen.group.tags) {
        let object = format!("security group {} ({})", wanted.name, seen.group.id);
        let fix = "delete that group, or name groups of your own by this annotation";
        draft.conflict(name_taken(SECURITY_GROUPS, &object, &seen.group.tags, fix));
        return None;
    }
    Some(update(draft, wanted, &seen.group))
}

/// Creates a group, then its rules.
pub(super) fn create(draft: &mut Draft, wanted: &DesiredSecurityGroup) -> Frontend {
    let action = Action::CreateSecurityGroup {
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        vpc: wanted.vpc.clone(),
        tags: wanted.tags.clone(),
    };
    draft.step(0, action, "not there");
    let reference = SecurityGroupRef::New(wanted.name.clone());
    // Rules of a new group are never more than the quota: build refuses that.
    let admits_from = rules::plan(draft, 1, &reference, wanted.ingress.clone(), BTreeSet::new(), 0);
    Frontend { reference, exists_from: 1, admits_from }
}

/// Brings rules and tags of a group of ours in line.
pub(super) fn update(draft: &mut Draft, wanted: &DesiredSecurityGroup, seen: &SecurityGroup) -> Frontend {
    let reference = reference(seen);
    let add = rules::missing(&wanted.ingress, &seen.ingress);
    let revoke = rules::missing(&seen.ingress, &wanted.ingress);
    let admits_from = rules::plan(draft, 0, &reference, add, revoke, seen.ingress.len());
    tags::plan(draft, &wanted.tags, &seen.tags, |set, remove| Action::TagSecurityGroup { group: reference.clone(), set, remove });
    Frontend { reference, exists_from: 0, admits_from }
}

/// Names a group that exists.
pub(super) fn reference(group: &SecurityGroup) -> SecurityGroupRef {
    SecurityGroupRef::Existing { name: group.name.clone(), id: group.id.clone() }
}
