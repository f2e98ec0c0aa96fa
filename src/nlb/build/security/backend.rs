//! What all Services of the cluster share: the backend group that every managed load balancer is in, and the rules by which
//! node security groups admit it.
//!
//! One rule for a range of ports, not one for each Service: a node's group stays far from its quota of rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::types::{Instance, Rule, RuleSource, SecurityGroup, SecurityGroupId, VpcId};
use crate::nlb::build::codes::{self, LISTED, problem};
use crate::nlb::build::{names, tags};
use crate::nlb::model::{DesiredSecurityGroup, Policy, PortRange, Problem};

/// Rules for one protocol that we put into a node's group, which has room for 60 and is not ours alone.
const MAX_RANGES: usize = 20;

/// The shared group. It admits nobody: it is only referred to.
#[must_use]
pub fn backend_group(policy: &Policy, vpc: &VpcId) -> DesiredSecurityGroup {
    DesiredSecurityGroup {
        name: names::backend_group(&policy.cluster_name),
        description: format!("Load balancers of cluster {}, for the rules of its nodes", policy.cluster_name),
        vpc: vpc.clone(),
        ingress: BTreeSet::new(),
        tags: tags::backend(policy),
    }
}

/// The rules by which one node group admits the shared group: `needs` is the union of all Services' `backend_ports`.
#[must_use]
pub fn node_rules(backend: &SecurityGroupId, policy: &Policy, needs: &BTreeSet<(String, PortRange)>) -> BTreeSet<Rule> {
    let mut by_protocol: BTreeMap<&str, Vec<PortRange>> = BTreeMap::new();
    for (protocol, range) in needs {
        by_protocol.entry(protocol).or_default().push(*range);
    }
    let mut rules = BTreeSet::new();
    for (protocol, ranges) in by_protocol {
        for range in join(ranges) {
            rules.insert(Rule {
                protocol: protocol.to_owned(),
                from_port: i32::from(range.first),
                to_port: i32::from(range.last),
                source: RuleSource::SecurityGroup(backend.clone()),
                description: super::rule_description(&policy.cluster_name),
            });
        }
    }
    rules
}

/// Joins ranges that touch or overlap, and then those nearest to each other until few enough are left.
fn join(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => last.last = last.last.max(range.last),
            _ => joined.push(range),
        }
    }
    while joined.len() > MAX_RANGES {
        let gaps = joined.iter().zip(joined.iter().skip(1)).map(|(left, right)| right.first - left.last);
        let Some((at, _)) = gaps.enumerate().min_by_key(|(at, gap)| (*gap, *at)) else { break };
        let right = joined.remove(at + 1);
        if let Some(left) = joined.get_mut(at) {
            left.last = right.last;
        }
    }
    joined
}

/// The group of an instance that should admit the load balancers: its only one; of several that which is tagged
/// `kubernetes.io/cluster/<cluster>`, `owned` before any other value, then the lowest id.
///
/// # Errors
/// It has no group, or several and none is tagged.
pub fn node_group(
    instance: &Instance,
    groups: &BTreeMap<SecurityGroupId, SecurityGroup>,
    cluster: &str,
) -> Result<SecurityGroupId, Problem> {
    let key = format!("kubernetes.io/cluster/{cluster}");
    let candidates: Vec<&SecurityGroupId> = instance.security_groups.iter().collect();
    if let [only] = candidates.as_slice() {
        return Ok((*only).clone());
    }
    let tag = |id: &SecurityGroupId| groups.get(id).and_then(|group| group.tags.get(&key));
    let tagged = candidates.iter().filter_map(|id| tag(id).map(|value| (value != "owned", *id)));
    tagged.min().map(|(_, id)| id.clone()).ok_or_else(|| {
        let names: Vec<&str> = candidates.iter().take(LISTED).map(|id| id.as_str()).collect();
        problem(
            codes::NO_NODE_SECURITY_GROUP,
            format!("instance {}", instance.id),
            match names.as_slice() {
                [] => "it has no security group".to_owned(),
                _ => format!("it has several security groups, none of them tagged `{key}`: {}", names.join(", ")),
            },
            format!("tag the security group that should admit the load balancers `{key}=owned`"),
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nlb::build::fixtures;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    fn instance(groups: &[&str]) -> Instance {
        Instance {
            id: "i-1".into(),
            zone: "us-west-2a".to_owned(),
            security_groups: groups.iter().map(|id| SecurityGroupId::from(*id)).collect(),
        }
    }

    fn group(id: &str, tag: Option<(&str, &str)>) -> (SecurityGroupId, SecurityGroup) {
        let tags = tag.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let group = SecurityGroup { id: id.into(), name: id.to_owned(), vpc: "vpc-1".into(), tags, ingress: BTreeSet::new() };
        (id.into(), group)
    }

    #[test]
    fn the_shared_group_is_tagged_as_the_clusters() {
        let policy = fixtures::policy();
        let group = backend_group(&policy, &"vpc-1".into());
        assert_eq!(group.name, names::backend_group("demo"));
        assert!(tags::is_backend(&group.tags, "demo"));
        assert!(group.ingress.is_empty());
    }

    #[test]
    fn touching_ranges_become_one_rule() {
        let needs = [("tcp", range(80, 80)), ("tcp", range(81, 90)), ("tcp", range(85, 86)), ("udp", range(80, 80))];
        let needs = needs.into_iter().map(|(protocol, range)| (protocol.to_owned(), range)).collect();
        let rules = node_rules(&"sg-b".into(), &fixtures::policy(), &needs);
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["tcp/80-90 from sg-b", "udp/80 from sg-b"]);
        assert!(rules.iter().all(|rule| rule.description == "landfall/demo"));
    }

    #[test]
    fn the_smallest_gaps_are_closed_first() {
        let mut ranges: Vec<PortRange> = (1..=20).map(|n| range(n * 1000, n * 1000)).collect();
        ranges.push(range(3007, 3007));
        let joined = join(ranges);
        assert_eq!(joined.len(), MAX_RANGES);
        assert!(joined.contains(&range(3000, 3007)), "{joined:?}");
    }

    #[test]
    fn the_group_of_a_node_is_chosen_by_tag() {
        let key = "kubernetes.io/cluster/demo";
        let groups = BTreeMap::from([
            group("sg-1", None),
            group("sg-2", Some((key, "shared"))),
            group("sg-3", Some((key, "owned"))),
            group("sg-4", Some((key, "owned"))),
            group("sg-5", Some(("kubernetes.io/cluster/other", "owned"))),
        ]);
        let chosen = |ids: &[&str]| node_group(&instance(ids), &groups, "demo").map(|id| id.to_string());
        assert_eq!(chosen(&["sg-9"]), Ok("sg-9".to_owned()));
        assert_eq!(chosen(&["sg-1", "sg-2"]), Ok("sg-2".to_owned()));
        assert_eq!(chosen(&["sg-2", "sg-4", "sg-3"]), Ok("sg-3".to_owned()));
        let problem = chosen(&["sg-1", "sg-5"]).unwrap_err();
        assert_eq!(problem.code, "NoNodeSecurityGroup");
        assert!(problem.message.contains("sg-1, sg-5"), "{problem}");
        assert_eq!(chosen(&[]).unwrap_err().message, "it has no security group");
    }

    proptest! {
        #[test]
        fn joined_ranges_cover_all_and_are_few(ports in prop::collection::vec((any::<u16>(), 0u16..50), 0..80)) {
            let ranges: Vec<PortRange> = ports.iter().map(|(first, length)| range(*first, first.saturating_add(*length))).collect();
            let joined = join(ranges.clone());
            prop_assert!(joined.len() <= MAX_RANGES);
            for wanted in ranges {
                prop_assert!(joined.iter().any(|range| range.first <= wanted.first && wanted.last <= range.last));
            }
            for pair in joined.windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
            }
        }
    }
}
