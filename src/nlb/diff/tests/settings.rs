//! Rules for attributes and tags.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{Ask, DEMO, pairs, steps};
use crate::aws::types::{Attributes, Protocol};
use crate::nlb::build::attributes::attributes_fingerprint;
use crate::nlb::build::tags::ATTRIBUTES;
use crate::nlb::diff::diff;
use crate::nlb::model::{Action, Plan};

const GROUP: &str = "lf-web-internet-facing-tcp-80-instance";
const DELAY: &str = "deregistration_delay.timeout_seconds";
const PROXY: &str = "proxy_protocol_v2.enabled";

fn ask(attributes: &[(&str, &str)], tags: &[(&str, &str)]) -> Ask {
    Ask {
        ports: BTreeMap::from([(80, Protocol::Tcp)]),
        target_group_attributes: pairs(attributes),
        tags: pairs(tags),
        ..Ask::default()
    }
}

fn modified(plan: &Plan) -> Attributes {
    let mut modifications = plan.steps.iter().filter_map(|step| match &step.action {
        Action::ModifyTargetGroupAttributes { attributes, .. } => Some(attributes.clone()),
        _ => None,
    });
    let only = modifications.next().unwrap_or_default();
    assert!(modifications.next().is_none(), "{plan:?}");
    only
}

#[test]
fn a_new_group_has_its_attributes_before_its_listener() {
    let plan = super::simulate::World::new().plan(&ask(&[(PROXY, "true")], &[]).desired());
    let group = format!("target-group/{GROUP}");
    let waves = steps(&plan);
    for expected in [
        format!("0 CreateTargetGroup {GROUP}"),
        format!("1 ModifyTargetGroupAttributes {group}"),
        format!("2 TagTargetGroup {group}"),
        "2 CreateListener 80".to_owned(),
    ] {
        assert!(waves.contains(&expected), "{expected} in {waves:?}");
    }
}

#[test]
fn the_first_attribute_is_set_between_two_marks_and_read_never() {
    let world = ask(&[], &[]).settled();
    let desired = ask(&[(DELAY, "60")], &[]).desired();
    let plan = diff(&desired, &world.observed, DEMO);
    let group = format!("target-group/{GROUP}");
    assert_eq!(
        steps(&plan),
        [
            format!("0 TagTargetGroup {group}"),
            format!("1 ModifyTargetGroupAttributes {group}"),
            format!("2 TagTargetGroup {group}"),
        ]
    );
    assert_eq!(modified(&plan), pairs(&[(DELAY, "60")]));
    assert!(plan.needs_attributes.is_empty());
}

#[test]
fn attributes_that_are_no_longer_asked_for_return_to_their_defaults() {
    let mut world = ask(&[(DELAY, "60"), (PROXY, "true")], &[]).settled();
    let desired = ask(&[(DELAY, "60")], &[]).desired();
    let blind = diff(&desired, &world.observed, DEMO);
    assert!(blind.steps.is_empty(), "{:?}", blind.steps);
    assert_eq!(blind.needs_attributes, BTreeSet::from([GROUP.to_owned()]));
    assert_eq!(modified(&world.plan(&desired)), pairs(&[(PROXY, "false")]));
    world.settle(&desired);
    assert_eq!(world.observed.target_groups[GROUP].tags[ATTRIBUTES], attributes_fingerprint(&pairs(&[(DELAY, "60")])));

    let nothing = ask(&[], &[]).desired();
    assert_eq!(modified(&world.plan(&nothing)), pairs(&[(DELAY, "300")]));
    world.settle(&nothing);
    assert!(!world.observed.target_groups[GROUP].tags.contains_key(ATTRIBUTES), "the mark goes, too");
}

#[test]
fn an_attribute_changed_by_hand_is_set_again_when_it_is_read_and_others_are_left_alone() {
    let mut world = ask(&[(DELAY, "60")], &[]).settled();
    world.attributes.get_mut(GROUP).unwrap().extend(pairs(&[(DELAY, "10"), (PROXY, "true")]));
    let desired = ask(&[(DELAY, "60")], &[]).desired();
    assert!(diff(&desired, &world.observed, DEMO).steps.is_empty(), "not read");
    let plan = diff(&desired, &world.with_attributes(&BTreeSet::from([GROUP.to_owned()])), DEMO);
    assert_eq!(steps(&plan), [format!("0 ModifyTargetGroupAttributes target-group/{GROUP}")]);
    assert_eq!(modified(&plan), pairs(&[(DELAY, "60")]));
    assert_eq!(plan.steps[0].reason, format!("{DELAY} is 10"));
}

#[test]
fn a_crash_before_the_mark_does_not_hide_what_was_set() {
    for done in 0..4 {
        let mut world = ask(&[], &[]).settled();
        let plan = world.plan(&ask(&[(DELAY, "60")], &[]).desired());
        world.apply(&plan, done);
        world.settle(&ask(&[], &[]).desired());
        assert_eq!(world.attributes[GROUP][DELAY], "300", "after {done} steps");
    }
}

#[test]
fn load_balancer_attributes_follow_the_same_rules() {
    let cross_zone = Ask { attributes: pairs(&[("load_balancing.cross_zone.enabled", "true")]), ..ask(&[], &[]) };
    let mut world = cross_zone.settled();
    assert_eq!(world.attributes["lf-web-internet-facing"]["load_balancing.cross_zone.enabled"], "true");
    world.settle(&ask(&[], &[]).desired());
    assert_eq!(world.attributes["lf-web-internet-facing"]["load_balancing.cross_zone.enabled"], "false");
}

#[test]
fn only_tags_that_we_set_are_ever_removed() {
    let mut world = ask(&[], &[("team", "red"), ("stage", "test")]).settled();
    for seen in world.observed.target_groups.values_mut() {
        seen.tags.insert("by-hand".to_owned(), "1".to_owned());
    }
    let desired = ask(&[], &[("team", "blue")]).desired();
    let plan = world.plan(&desired);
    let order: Vec<_> = steps(&plan).into_iter().filter(|step| step.contains("TagTargetGroup")).collect();
    assert_eq!(order.iter().map(|step| &step[..1]).collect::<Vec<_>>(), ["0", "1"], "removed, then forgotten: {order:?}");
    world.settle(&desired);
    let tags = &world.observed.target_groups[GROUP].tags;
    assert_eq!((tags.get("team"), tags.get("stage")), (Some(&"blue".to_owned()), None));
    assert_eq!(tags.get("by-hand").map(String::as_str), Some("1"));

    world.settle(&ask(&[], &[]).desired());
    let left: Vec<_> = world.observed.target_groups[GROUP].tags.keys().map(String::as_str).collect();
    assert_eq!(left, ["by-hand", "elbv2.k8s.aws/cluster", "landfall/resource", "landfall/service"]);
}

#[test]
fn a_tag_removed_by_hand_comes_back_on_every_kind_of_object() {
    let mut world = ask(&[], &[("team", "red")]).settled();
    world.observed.load_balancers.values_mut().for_each(|seen| drop(seen.tags.remove("team")));
    world.observed.target_groups.values_mut().for_each(|seen| drop(seen.tags.remove("team")));
    world.observed.security_groups.values_mut().for_each(|seen| drop(seen.group.tags.remove("team")));
    let plan = world.plan(&ask(&[], &[("team", "red")]).desired());
    assert_eq!(
        steps(&plan),
        [
            "0 TagSecurityGroup security-group/lf-web-frontend".to_owned(),
            format!("0 TagTargetGroup target-group/{GROUP}"),
            "0 TagLoadBalancer load-balancer/lf-web-internet-facing".to_owned(),
        ]
    );
}
