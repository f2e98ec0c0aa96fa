//! Ingress rules of one security group: authorise what is missing, then revoke what is too much.

use std::collections::BTreeSet;

use super::draft::Draft;
use crate::aws::types::{Rule, RuleSource};
use crate::nlb::model::{Action, SecurityGroupRef};

/// AWS's default quota of inbound rules of a group.
const QUOTA: usize = 60;

/// What AWS tells rules apart by.
fn identity(rule: &Rule) -> (&str, i32, i32, &RuleSource) {
    (&rule.protocol, rule.from_port, rule.to_port, &rule.source)
}

/// The rules of `wanted` that `present` lacks; descriptions do not count.
pub(super) fn missing<'a>(
    wanted: impl IntoIterator<Item = &'a Rule>,
    present: impl IntoIterator<Item = &'a Rule>,
) -> BTreeSet<Rule> {
    let present: BTreeSet<_> = present.into_iter().map(identity).collect();
    wanted.into_iter().filter(|rule| !present.contains(&identity(rule))).cloned().collect()
}

/// Plans both changes of a group that has `present` rules now. Returns the wave from which on all of `add` are in force.
///
/// Where both sets together would exceed the quota, only as many rules go first as there is room for, and the rest follows
/// the revocation.
pub(super) fn plan(
    draft: &mut Draft,
    mut wave: u8,
    group: &SecurityGroupRef,
    mut add: BTreeSet<Rule>,
    revoke: BTreeSet<Rule>,
    present: usize,
) -> u8 {
    let room = QUOTA.saturating_sub(present);
    let later: BTreeSet<Rule> = if revoke.is_empty() { BTreeSet::new() } else { add.iter().skip(room).cloned().collect() };
    add.retain(|rule| !later.contains(rule));
    let mut in_force = wave;
    if !add.is_empty() {
        draft.step(wave, Action::AuthorizeIngress { group: group.clone(), rules: add }, "not there");
        wave += 1;
        in_force = wave;
    }
    if !revoke.is_empty() {
        draft.step(wave, Action::RevokeIngress { group: group.clone(), rules: revoke }, "not asked for");
        wave += 1;
    }
    if !later.is_empty() {
        let reason = format!("not there, and no room for it within {QUOTA} rules before");
        draft.step(wave, Action::AuthorizeIngress { group: group.clone(), rules: later }, reason);
        in_force = wave + 1;
    }
    in_force
}
