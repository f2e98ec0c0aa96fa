//! Counts targets against their quotas, whose numbers are in `model/quotas.rs`. `limits.rs` shows them. Imports `model`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::ApiError;
use crate::model::State;
use crate::model::balancing::{LoadBalancer, TargetGroup, TargetKind};
use crate::model::quotas::Quotas;

/// Refuses more targets than a group may have, were `added` to join.
pub(super) fn check_group(group: &TargetGroup, quotas: &Quotas, added: usize) -> Result<(), ApiError> {
    let most = if group.kind == TargetKind::Alb { 1 } else { quotas.targets_per_target_group };
    if group.targets.len() + added > most {
        let message = format!("Target group '{}' can have at most {most} targets", group.arn);
        return Err(ApiError::new("TooManyTargets", message));
    }
    Ok(())
}

/// Refuses more targets than a load balancer may have, were it to use `groups` beside those that it uses, and were targets to join: each
/// with its group and its zone, if it has one. A target that is in several groups counts in each.
pub(super) fn check_targets(
    state: &State,
    balancer: &LoadBalancer,
    groups: &BTreeSet<&str>,
    joining: &[(&TargetGroup, Option<&str>)],
) -> Result<(), ApiError> {
    let used = state.groups_of(&balancer.arn);
    let all: BTreeSet<&str> = used.iter().map(String::as_str).chain(groups.iter().copied()).collect();
    let groups = all.iter().filter_map(|arn| state.balancing.target_groups.get(*arn));
    let present = groups.flat_map(|group| group.targets.values().map(move |target| (group, target.zone.as_deref())));
    let (mut total, mut crossing) = (0, 0);
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    for (group, zone) in present.chain(joining.iter().copied()) {
        total += 1;
        match zone {
            _ if group.crosses_zones(balancer) => crossing += 1,
            Some(zone) => *zones.entry(zone).or_default() += 1,
            // A target of no zone counts in every one.
            None => balancer.zones.keys().for_each(|zone| *zones.entry(zone.as_str()).or_default() += 1),
        }
    }
    let Quotas { targets_per_load_balancer, targets_per_zone, .. } = state.quotas;
    let most = |number: usize, whose: &str| format!("Load balancer '{}' can have at most {number} targets{whose}", balancer.arn);
    let message = if total > targets_per_load_balancer {
        most(targets_per_load_balancer, "")
    } else if crossing > targets_per_zone {
        most(targets_per_zone, " while it balances across zones")
    } else if let Some((zone, _)) = zones.iter().find(|(_, count)| **count > targets_per_zone) {
        most(targets_per_zone, &format!(" in Availability Zone {zone}"))
    } else {
        return Ok(());
    };
    Err(ApiError::new("TooManyTargets", message))
}
