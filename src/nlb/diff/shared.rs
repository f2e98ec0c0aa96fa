//! What all Services of the cluster share: the backend security group, and the rules by which nodes admit its members.
//!
//! Released from what AWS shows, never from memory: whoever made a rule, it goes when no Service needs it.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::guard::name_taken;
use super::{rules, security_groups};
use crate::aws::types::{Rule, RuleSource, SecurityGroupId};
use crate::nlb::build::rule_description;
use crate::nlb::build::tags::is_backend;
use crate::nlb::model::{Action, DesiredShared, ObservedShared, Plan, SecurityGroupRef, Subject, Wait};

/// What to write so that the shared parts are as desired.
///
/// Rules name the backend group by id, so where it has yet to be made, making it is the whole plan; the next run plans the
/// rules. Rules of other people on node groups are never touched. The group is deleted only if it bears our tags, and after
/// every rule that refers to it (AWS answers `DependencyViolation` while a load balancer is in it).
#[must_use]
pub fn diff_shared(desired: &DesiredShared, observed: &ObservedShared, cluster_name: &str) -> Plan {
    let mut draft = Draft::default();
    match (&desired.backend, &observed.backend) {
        (Some(wanted), None) => {
            security_groups::create(&mut draft, wanted);
            draft.wait(Wait::NodeRules);
        }
        (Some(wanted), Some(seen)) if is_backend(&seen.tags, cluster_name) => {
            security_groups::update(&mut draft, wanted, seen);
            node_rules(&mut draft, &desired.node_rules, observed, false, cluster_name);
        }
        (Some(wanted), Some(seen)) => {
            let object = format!("security group {} ({})", wanted.name, seen.id);
            let fix = "delete or rename that group, or run with another --cluster-name";
            draft.conflict(name_taken("--cluster-name", &object, &seen.tags, fix));
        }
        (None, seen) => {
            let released = node_rules(&mut draft, &BTreeMap::new(), observed, true, cluster_name);
            if let Some(seen) = seen.as_ref().filter(|seen| is_backend(&seen.tags, cluster_name)) {
                let group = security_groups::reference(seen);
                draft.step(released, Action::DeleteSecurityGroup { group }, "no Service needs it");
            }
        }
    }
    draft.finish(Subject::Shared)
}

/// Plans the rules of all node groups. Returns the wave from which on no undesired one is left.
fn node_rules(
    draft: &mut Draft,
    desired: &BTreeMap<SecurityGroupId, BTreeSet<Rule>>,
    observed: &ObservedShared,
    releasing: bool,
    cluster_name: &str,
) -> u8 {
    let none = BTreeSet::new();
    let mut released = 0;
    let known = observed.node_groups.keys();
    for id in known.chain(desired.keys().filter(|id| !observed.node_groups.contains_key(*id))) {
        let wanted = desired.get(id).unwrap_or(&none);
        let seen = observed.node_groups.get(id);
        let present = seen.map_or(&none, |seen| &seen.ingress);
        let ours =
            present.iter().filter(|rule| is_ours(rule, observed, cluster_name) && (releasing || says_so(rule, cluster_name)));
        let group =
            seen.map_or_else(|| SecurityGroupRef::Existing { name: id.to_string(), id: id.clone() }, security_groups::reference);
        let add = rules::missing(wanted, present);
        let revoke = rules::missing(ours, wanted);
        rules::plan(draft, 0, &group, add, revoke, present.len());
        let last = draft.wave_of(|action| matches!(action, Action::RevokeIngress { group: of, .. } if *of == group));
        released = released.max(last.map_or(0, |wave| wave + 1));
    }
    released
}

/// Whoever opened a group of his own to the backend group (pods may have one) keeps that rule as long as the group is there.
fn says_so(rule: &Rule, cluster_name: &str) -> bool {
    rule.description == rule_description(cluster_name)
}

/// A rule is ours when it admits the backend group, or when it says that it is ours and admits a group that is no node's:
/// what is left of a backend group that was there before.
fn is_ours(rule: &Rule, observed: &ObservedShared, cluster_name: &str) -> bool {
    let RuleSource::SecurityGroup(source) = &rule.source else { return false };
    observed.backend.as_ref().is_some_and(|backend| backend.id == *source)
        || (says_so(rule, cluster_name) && !observed.node_groups.contains_key(source))
}
