//! Subnets of a load balancer. AWS takes the whole set (`SetSubnets`), but refuses to exchange a subnet for another one of
//! the same zone in one call: the old one must be gone, which takes minutes, before the new one can come.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::SUBNETS;
use crate::aws::types::SubnetId;
use crate::nlb::model::Problem;

/// Code: the only zone would be left without a subnet.
pub(super) const ONLY_ZONE: &str = "SubnetOfOnlyZone";

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: they are as desired.
    Done,
    /// Set these, and that is all.
    Set(BTreeSet<SubnetId>),
    /// Set these; more follows when AWS has done so.
    Then(BTreeSet<SubnetId>),
}

/// The next call on the way from `observed` to `desired`.
///
/// At no time is the load balancer without a subnet, and where it can be, one that is already in service stays.
///
/// # Errors
/// The conflict, when its only subnet is to be exchanged within its zone.
pub(super) fn next(
    desired: &BTreeSet<SubnetId>,
    observed: &BTreeSet<SubnetId>,
    zones: &BTreeMap<SubnetId, String>,
) -> Result<Next, Problem> {
    if desired == observed {
        return Ok(Next::Done);
    }
    let leaving: BTreeSet<&SubnetId> = observed.difference(desired).collect();
    let same_zone = |one: &SubnetId, other: &SubnetId| zones.get(one).is_some_and(|zone| zones.get(other) == Some(zone));
    // A subnet whose zone is still held by one that leaves.
    let blocked = |subnet: &SubnetId| leaving.iter().any(|old| same_zone(old, subnet));
    let (blocked, free): (BTreeSet<SubnetId>, BTreeSet<SubnetId>) = desired.iter().cloned().partition(blocked);
    if blocked.is_empty() {
        return Ok(Next::Set(desired.clone()));
    }
    if free.is_disjoint(observed) && !free.is_empty() {
        return Ok(Next::Then(observed.union(&free).cloned().collect()));
    }
    if !free.is_empty() {
        return Ok(Next::Then(free));
    }
    // Every zone exchanges its subnet: one zone at a time.
    let Some(first) = leaving.into_iter().find(|old| blocked.iter().any(|new| same_zone(old, new))) else {
        return Ok(Next::Set(desired.clone()));
    };
    let rest: BTreeSet<SubnetId> = observed.iter().filter(|subnet| *subnet != first).cloned().collect();
    if !rest.is_empty() {
        return Ok(Next::Then(rest));
    }
    let zone = zones.get(first).map_or("its zone", String::as_str);
    Err(Problem {
        code: ONLY_ZONE,
        field: SUBNETS.to_owned(),
        message: format!(
            "the load balancer's only subnet {first} cannot be exchanged for {} in the same zone {zone}",
            text(desired)
        ),
        fix: "add a subnet of another zone first, and take it away when the exchange is done".to_owned(),
    })
}

/// `subnet-1, subnet-2`.
pub(super) fn text(subnets: &BTreeSet<SubnetId>) -> String {
    subnets.iter().map(SubnetId::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &str) -> BTreeSet<SubnetId> {
        ids.split_whitespace().map(SubnetId::from).collect()
    }

    /// `a1` lies in zone `a`.
    fn zones() -> BTreeMap<SubnetId, String> {
        ["a1", "a2", "b1", "b2", "c1"].into_iter().map(|id| (SubnetId::from(id), id[..1].to_owned())).collect()
    }

    #[test]
    fn every_way_is_walked_without_an_exchange_within_a_zone() {
        for (from, to, expected) in [
            ("a1", "a1", ""),
            ("a1", "a1 b1", "a1 b1"),
            ("a1 b1", "c1", "c1"),
            ("a1 b1", "a1 b2", "a1, a1 b2"),
            ("a1", "a2 b1", "a1 b1, b1, a2 b1"),
            ("a1 b1", "a2 b2", "b1, a2 b1, a2, a2 b2"),
        ] {
            let (mut now, to) = (set(from), set(to));
            let mut calls = Vec::new();
            while let Next::Set(next) | Next::Then(next) = next(&to, &now, &zones()).unwrap() {
                now = next;
                calls.push(now.clone());
                assert!(calls.len() < 9, "no end from {from:?} to {to:?}: {calls:?}");
            }
            let expected: Vec<_> = expected.split(',').map(set).filter(|call| !call.is_empty()).collect();
            assert_eq!(calls, expected, "from {from:?} to {to:?}");
        }
    }

    #[test]
    fn an_only_subnet_is_not_exchanged_within_its_zone() {
        let problem = next(&set("a2"), &set("a1"), &zones()).unwrap_err();
        assert_eq!(problem.code, ONLY_ZONE);
        assert!(problem.message.contains("a1") && problem.message.contains("a2"), "{problem}");
    }
}
