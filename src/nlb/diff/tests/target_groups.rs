//! Rules for target groups and targets.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{Ask, steps};
use super::simulate::World;
use crate::aws::types::{Protocol, Target, TargetType};
use crate::nlb::model::{Action, Desired};

const GROUP: &str = "lf-web-internet-facing-tcp-80-instance";

fn one_port() -> Ask {
    Ask { ports: BTreeMap::from([(80, Protocol::Tcp)]), ..Ask::default() }
}

fn with_targets(count: u16) -> Desired {
    let mut desired = one_port().desired();
    for group in desired.target_groups.values_mut() {
        let target = |n: u16| Target { id: format!("i-{n:04}"), port: 30080, availability_zone: None };
        group.targets = (0..count).map(target).collect();
    }
    desired
}

#[test]
fn targets_go_in_batches_and_new_ones_first() {
    let mut world = World::new();
    world.settle(&with_targets(450));
    let mut desired = with_targets(0);
    desired.target_groups.values_mut().for_each(|group| {
        group.targets = BTreeSet::from([Target { id: "i-9999".to_owned(), port: 30080, availability_zone: None }]);
    });
    let plan = world.plan(&desired);
    let group = format!("target-group/{GROUP}");
    assert_eq!(
        steps(&plan),
        [
            format!("0 RegisterTargets {group}"),
            format!("1 DeregisterTargets {group}"),
            format!("1 DeregisterTargets {group}"),
            format!("1 DeregisterTargets {group}"),
        ]
    );
    let sizes: Vec<usize> = plan
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::RegisterTargets { targets, .. } | Action::DeregisterTargets { targets, .. } => targets.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(sizes, [1, 200, 200, 50]);
}

#[test]
fn no_targets_means_none_registered() {
    let plan = one_port().settled().plan(&with_targets(0));
    assert_eq!(steps(&plan), [format!("0 DeregisterTargets target-group/{GROUP}")]);
}

#[test]
fn the_same_id_on_another_port_is_another_target() {
    let mut desired = one_port().desired();
    for group in desired.target_groups.values_mut() {
        group.targets = group.targets.iter().map(|target| Target { port: 31000, ..target.clone() }).collect();
    }
    let plan = one_port().settled().plan(&desired);
    let group = format!("target-group/{GROUP}");
    assert_eq!(steps(&plan), [format!("0 RegisterTargets {group}"), format!("1 DeregisterTargets {group}")]);
}

#[test]
fn the_zone_that_aws_fills_in_is_not_compared() {
    let mut desired = one_port().desired();
    for group in desired.target_groups.values_mut() {
        let all = Some("all".to_owned());
        group.targets = group.targets.iter().map(|target| Target { availability_zone: all.clone(), ..target.clone() }).collect();
    }
    assert!(one_port().settled().plan(&desired).steps.is_empty());
}

#[test]
fn a_health_check_changes_in_place_and_says_what() {
    let plan = one_port().settled().plan(&Ask { interval: 20, ..one_port() }.desired());
    assert_eq!(steps(&plan), [format!("0 ModifyHealthCheck target-group/{GROUP}")]);
    assert_eq!(plan.steps[0].reason, "health check interval 10 → 20");
}

#[test]
fn another_target_type_is_another_group() {
    let plan = one_port().settled().plan(&Ask { target_type: TargetType::Ip, ..one_port() }.desired());
    let new = "lf-web-internet-facing-tcp-80-ip";
    assert_eq!(
        steps(&plan),
        [
            format!("0 CreateTargetGroup {new}"),
            format!("1 RegisterTargets target-group/{new}"),
            "2 ModifyListener 80".to_owned(),
            format!("3 DeleteTargetGroup target-group/{GROUP}"),
        ]
    );
}

#[test]
fn a_foreign_group_of_that_name_is_left_alone_and_so_is_its_listener() {
    let mut world = World::new();
    let desired = Ask::default().desired();
    world.apply(&world.plan(&desired), 3);
    world.observed.target_groups.get_mut(GROUP).unwrap().tags.clear();
    let plan = world.plan(&desired);
    assert_eq!(plan.conflicts[0].code, "NameTaken");
    let listeners: Vec<_> = steps(&plan).into_iter().filter(|step| step.contains("Listener")).collect();
    assert_eq!(listeners, ["1 CreateListener 443"], "the other port is not harmed");
    assert!(steps(&plan).iter().all(|step| !step.contains(GROUP)), "{:?}", steps(&plan));
}

#[test]
fn a_group_of_ours_that_was_made_otherwise_is_the_users_to_settle() {
    let mut world = one_port().settled();
    world.observed.target_groups.get_mut(GROUP).unwrap().target_group.target_type = TargetType::Ip;
    let plan = world.plan(&one_port().desired());
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert_eq!(plan.conflicts[0].code, "ImmutableChange");
}
