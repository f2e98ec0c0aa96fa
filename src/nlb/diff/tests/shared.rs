//! Rules for what all Services share.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{DEMO, pairs, steps};
use crate::aws::types::{Rule, RuleSource, SecurityGroup, SecurityGroupId};
use crate::nlb::diff::diff_shared;
use crate::nlb::model::{Action, DesiredSecurityGroup, DesiredShared, ObservedShared, Plan};

fn rule(ports: (i32, i32), source: &str, description: &str) -> Rule {
    Rule {
        protocol: "tcp".to_owned(),
        from_port: ports.0,
        to_port: ports.1,
        source: RuleSource::SecurityGroup(source.into()),
        description: description.to_owned(),
    }
}

fn ours() -> Rule {
    rule((30000, 32767), "sg-backend", "landfall/demo")
}

fn group(id: &str, tags: &[(&str, &str)], ingress: &[Rule]) -> SecurityGroup {
    SecurityGroup {
        id: id.into(),
        name: id.trim_start_matches("sg-").to_owned(),
        vpc: "vpc-1".into(),
        tags: pairs(tags),
        ingress: ingress.iter().cloned().collect(),
    }
}

fn wanted() -> DesiredShared {
    DesiredShared {
        backend: Some(DesiredSecurityGroup {
            name: "backend".to_owned(),
            description: "backend".to_owned(),
            vpc: "vpc-1".into(),
            ingress: BTreeSet::new(),
            tags: pairs(OURS),
        }),
        node_rules: BTreeMap::from([("sg-node".into(), BTreeSet::from([ours()]))]),
    }
}

const OURS: &[(&str, &str)] = &[("elbv2.k8s.aws/cluster", "demo"), ("landfall/resource", "backend")];

fn observed(backend: Option<&[(&str, &str)]>, node_rules: &[Rule]) -> ObservedShared {
    let node = group("sg-node", &[], node_rules);
    ObservedShared {
        backend: backend.map(|tags| group("sg-backend", tags, &[])),
        node_groups: BTreeMap::from([(SecurityGroupId::from("sg-node"), node)]),
    }
}

fn revoked(plan: &Plan) -> BTreeSet<Rule> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::RevokeIngress { rules, .. } => Some(rules.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn the_group_is_made_first_and_the_rules_in_the_next_run() {
    let plan = diff_shared(&wanted(), &observed(None, &[]), DEMO);
    assert_eq!(steps(&plan), ["0 CreateSecurityGroup backend"]);
    let plan = diff_shared(&wanted(), &observed(Some(OURS), &[]), DEMO);
    assert_eq!(steps(&plan), ["0 AuthorizeIngress security-group/node"]);
    assert!(diff_shared(&wanted(), &observed(Some(OURS), &[ours()]), DEMO).steps.is_empty());
}

#[test]
fn only_our_rules_are_revoked() {
    let stale = rule((8080, 8080), "sg-backend", "landfall/demo");
    let by_hand = rule((22, 22), "sg-backend", "by hand");
    let left_over = rule((30000, 32767), "sg-gone", "landfall/demo");
    let foreign = [
        rule((30000, 32767), "sg-bastion", "ssh"),
        rule((30000, 32767), "sg-other", "landfall/other"),
        rule((0, 65535), "sg-node", "landfall/demo"),
        Rule { source: RuleSource::Cidr("10.0.0.0/8".parse().unwrap()), ..ours() },
    ];
    let mut present = vec![stale.clone(), by_hand.clone(), left_over.clone()];
    present.extend(foreign);
    let plan = diff_shared(&wanted(), &observed(Some(OURS), &present), DEMO);
    assert_eq!(steps(&plan), ["0 AuthorizeIngress security-group/node", "1 RevokeIngress security-group/node"]);
    assert_eq!(revoked(&plan), BTreeSet::from([stale.clone(), left_over.clone()]), "whoever admits the group by hand goes on");
    let released = diff_shared(&DesiredShared::default(), &observed(Some(OURS), &present), DEMO);
    assert_eq!(revoked(&released), BTreeSet::from([stale, by_hand, left_over]), "else the group could not go");
}

#[test]
fn a_rule_of_ours_under_another_description_is_there() {
    let present = [Rule { description: "renamed".to_owned(), ..ours() }];
    assert!(diff_shared(&wanted(), &observed(Some(OURS), &present), DEMO).steps.is_empty());
}

#[test]
fn a_node_group_that_left_loses_its_rules() {
    let mut observed = observed(Some(OURS), &[ours()]);
    observed.node_groups.insert("sg-former".into(), group("sg-former", &[], &[ours()]));
    let plan = diff_shared(&wanted(), &observed, DEMO);
    assert_eq!(steps(&plan), ["0 RevokeIngress security-group/former"]);
}

#[test]
fn the_group_is_deleted_after_all_rules_that_refer_to_it() {
    let nothing = DesiredShared::default();
    let plan = diff_shared(&nothing, &observed(Some(OURS), &[ours()]), DEMO);
    assert_eq!(steps(&plan), ["0 RevokeIngress security-group/node", "1 DeleteSecurityGroup security-group/backend"]);
    let plan = diff_shared(&nothing, &observed(Some(OURS), &[]), DEMO);
    assert_eq!(steps(&plan), ["0 DeleteSecurityGroup security-group/backend"]);
    assert!(diff_shared(&nothing, &observed(None, &[]), DEMO).steps.is_empty());
}

#[test]
fn a_group_that_is_not_ours_is_neither_used_nor_deleted() {
    for tags in [&[][..], &[("elbv2.k8s.aws/cluster", "other"), ("landfall/resource", "backend")], &OURS[..1]] {
        let plan = diff_shared(&DesiredShared::default(), &observed(Some(tags), &[]), DEMO);
        assert!(plan.steps.is_empty(), "{tags:?}: {:?}", plan.steps);
        let plan = diff_shared(&wanted(), &observed(Some(tags), &[]), DEMO);
        assert!(plan.steps.is_empty(), "{tags:?}: {:?}", plan.steps);
        assert_eq!(plan.conflicts[0].code, "NameTaken");
    }
}
