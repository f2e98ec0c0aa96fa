//! Rules for load balancers, listeners and the frontend security group.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{Ask, pairs, steps, subnets};
use super::simulate::World;
use crate::aws::types::{LoadBalancerState, Protocol, Rule, RuleSource, Scheme, TargetState};
use crate::nlb::model::{Action, Desired, Wait};

const NAME: &str = "lf-web-internet-facing";

fn one_port() -> Ask {
    Ask { ports: BTreeMap::from([(80, Protocol::Tcp)]), ..Ask::default() }
}

#[test]
fn a_creation_takes_three_waves() {
    let plan = World::new().plan(&one_port().desired());
    assert_eq!(
        steps(&plan),
        [
            "0 CreateSecurityGroup lf-web-frontend",
            "0 CreateTargetGroup lf-web-internet-facing-tcp-80-instance",
            "1 AuthorizeIngress security-group/lf-web-frontend",
            "1 RegisterTargets target-group/lf-web-internet-facing-tcp-80-instance",
            "1 CreateLoadBalancer lf-web-internet-facing",
            "2 CreateListener 80",
        ]
    );
    assert_eq!(plan.waits, BTreeSet::from([Wait::Provisioning { load_balancer: NAME.to_owned() }]));
}

#[test]
fn groups_of_the_users_own_spare_a_wave() {
    let plan = World::new().plan(&Ask { managed_groups: false, targets: BTreeSet::new(), ..one_port() }.desired());
    assert_eq!(
        steps(&plan),
        [
            "0 CreateTargetGroup lf-web-internet-facing-tcp-80-instance",
            "0 CreateLoadBalancer lf-web-internet-facing",
            "1 CreateListener 80",
        ]
    );
}

#[test]
fn without_the_backend_group_everything_else_is_made() {
    let mut world = World::new();
    world.observed.backend_group = None;
    let plan = world.plan(&one_port().desired());
    assert_eq!(
        steps(&plan),
        [
            "0 CreateSecurityGroup lf-web-frontend",
            "0 CreateTargetGroup lf-web-internet-facing-tcp-80-instance",
            "1 AuthorizeIngress security-group/lf-web-frontend",
            "1 RegisterTargets target-group/lf-web-internet-facing-tcp-80-instance",
        ]
    );
    assert_eq!(plan.waits, BTreeSet::from([Wait::BackendGroup]));
}

#[test]
fn a_deletion_is_left_to_aws_as_far_as_it_goes() {
    let plan = one_port().settled().plan(&Desired::nothing(super::fixture::web()));
    assert_eq!(
        steps(&plan),
        [
            "0 DeleteLoadBalancer load-balancer/lf-web-internet-facing",
            "1 DeleteTargetGroup target-group/lf-web-internet-facing-tcp-80-instance",
            "1 DeleteSecurityGroup security-group/lf-web-frontend",
        ]
    );
}

#[test]
fn the_old_load_balancer_goes_when_the_new_one_serves_and_is_published() {
    let mut world = one_port().settled();
    let desired = Ask { scheme: Scheme::Internal, targets: BTreeSet::from([2, 3]), ..one_port() }.desired();
    let waits = BTreeSet::from([Wait::Replacement { load_balancer: NAME.to_owned() }]);

    let plan = world.plan(&desired);
    let kept = "target-group/lf-web-internet-facing-tcp-80-instance";
    assert_eq!(
        steps(&plan),
        [
            "0 CreateTargetGroup lf-web-internal-tcp-80-instance".to_owned(),
            "0 CreateLoadBalancer lf-web-internal".to_owned(),
            format!("0 RegisterTargets {kept}"),
            "1 RegisterTargets target-group/lf-web-internal-tcp-80-instance".to_owned(),
            format!("1 DeregisterTargets {kept}"),
            "2 CreateListener 80".to_owned(),
        ],
        "the old one's targets follow while it is kept"
    );
    assert!(plan.waits.is_superset(&waits), "{:?}", plan.waits);
    world.apply(&plan, usize::MAX);

    let old = world.observed.published_host_name.clone();
    world.tick(&desired);
    let new = std::mem::replace(&mut world.observed.published_host_name, old);
    let plan = world.plan(&desired);
    assert!(plan.steps.is_empty() && plan.waits == waits, "active, but not published: {plan:?}");

    world.observed.published_host_name = new;
    let state = |world: &mut World, state| {
        world.observed.load_balancers.get_mut("lf-web-internal").unwrap().load_balancer.state = state;
    };
    state(&mut world, LoadBalancerState::Provisioning);
    assert!(world.plan(&desired).steps.is_empty(), "published, but not active");

    state(&mut world, LoadBalancerState::Active);
    let listener = world.observed.load_balancers.get_mut("lf-web-internal").unwrap().listeners.pop_first().unwrap();
    assert!(steps(&world.plan(&desired)).iter().all(|step| !step.contains("Delete")), "a listener is missing");
    world.observed.load_balancers.get_mut("lf-web-internal").unwrap().listeners.insert(listener.0, listener.1);

    let plan = world.plan(&desired);
    assert_eq!(steps(&plan), [format!("0 DeleteLoadBalancer load-balancer/{NAME}"), format!("1 DeleteTargetGroup {kept}")]);
    assert!(plan.waits.is_empty());
}

#[test]
fn the_old_load_balancer_stays_until_the_new_one_has_healthy_targets_where_it_has_some() {
    let old = ["lf-web-internet-facing-tcp-80-instance", "lf-web-internet-facing-tcp-443-instance"];
    let new = ["lf-web-internal-tcp-80-instance", "lf-web-internal-tcp-443-instance"];
    let desired = Ask { scheme: Scheme::Internal, ..Ask::default() }.desired();
    let mut world = Ask::default().settled();
    world.apply(&world.plan(&desired), usize::MAX);
    world.tick(&desired);
    let with = |healthy: &[&str]| {
        let mut world = world.clone();
        for (name, seen) in &mut world.observed.target_groups {
            let mut state = if healthy.contains(&name.as_str()) { TargetState::Healthy } else { TargetState::Unhealthy };
            for health in seen.targets.values_mut() {
                // One is enough.
                health.state = std::mem::replace(&mut state, TargetState::Unhealthy);
            }
        }
        steps(&world.plan(&desired)).iter().any(|step| step.contains("DeleteLoadBalancer"))
    };
    assert!(!with(&old), "only the old one works");
    assert!(!with(&[old[0], old[1], new[0]]), "one port is missing");
    assert!(with(&[old[0], old[1], new[0], new[1]]));
    assert!(with(&[old[0], new[0]]), "what does not work there either is not waited for");
    assert!(with(&[]), "nothing works");
    for seen in world.observed.target_groups.values_mut() {
        seen.targets.values_mut().for_each(|health| health.state = TargetState::Healthy);
    }
    let empty = Ask { scheme: Scheme::Internal, targets: BTreeSet::new(), ..Ask::default() }.desired();
    assert!(steps(&world.plan(&empty)).iter().any(|step| step.contains("DeleteLoadBalancer")), "no target is wanted");
}

#[test]
fn a_foreign_load_balancer_of_that_name_is_left_alone() {
    let custom = Ask { name: Some("web"), ..one_port() };
    let mut world = custom.settled();
    let foreign = pairs(&[("elbv2.k8s.aws/cluster", "demo"), ("landfall/service", "shop/web")]);
    world.observed.load_balancers.get_mut("web").unwrap().tags = foreign;
    world.observed.target_groups.clear();
    world.observed.security_groups.clear();
    let plan = world.plan(&Ask { scheme: Scheme::Internal, ..custom }.desired());
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    let [problem] = &plan.conflicts[..] else { panic!("{:?}", plan.conflicts) };
    assert_eq!((problem.code, problem.field.as_str()), ("NameTaken", "service.beta.kubernetes.io/aws-load-balancer-name"));
    assert!(problem.message.contains("landfall/service=shop/web"), "{problem}");
}

#[test]
fn a_foreign_security_group_of_that_name_is_left_alone() {
    let mut world = World::new();
    let desired = one_port().desired();
    world.apply(&world.plan(&desired), 1);
    world.observed.security_groups.values_mut().next().unwrap().group.tags.clear();
    let plan = world.plan(&desired);
    assert!(steps(&plan).iter().all(|step| step.contains("target") || step.contains("Target")), "{:?}", steps(&plan));
    assert_eq!(plan.conflicts[0].code, "NameTaken");
    assert!(plan.conflicts[0].message.contains("no tags"), "{}", plan.conflicts[0]);
}

#[test]
fn another_scheme_under_the_same_name_is_the_users_to_settle() {
    let custom = Ask { name: Some("web"), ..one_port() };
    let world = custom.settled();
    let plan = world.plan(&Ask { scheme: Scheme::Internal, targets: BTreeSet::from([1, 2, 3]), ..custom }.desired());
    assert_eq!(steps(&plan), ["0 RegisterTargets target-group/web-tcp-80-instance"], "it goes on serving");
    let [problem] = &plan.conflicts[..] else { panic!("{:?}", plan.conflicts) };
    assert_eq!(problem.code, "ImmutableChange");
    assert!(problem.message.contains("internet-facing") && problem.message.contains("internal"), "{problem}");
}

#[test]
fn a_failed_load_balancer_is_reported_and_not_deleted() {
    let mut world = one_port().settled();
    let seen = world.observed.load_balancers.get_mut(NAME).unwrap();
    seen.load_balancer.state = LoadBalancerState::Failed;
    seen.load_balancer.state_reason = Some("no free addresses in b1".to_owned());
    seen.listeners.clear();
    let plan = world.plan(&one_port().desired());
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert_eq!(plan.conflicts[0].code, "LoadBalancerFailed");
    assert!(plan.conflicts[0].message.contains("no free addresses in b1"), "{}", plan.conflicts[0]);
}

#[test]
fn a_load_balancer_without_groups_gets_none() {
    let mut world = one_port().settled();
    world.observed.load_balancers.get_mut(NAME).unwrap().load_balancer.security_groups.clear();
    let plan = world.plan(&one_port().desired());
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert_eq!(plan.conflicts[0].code, "LoadBalancerWithoutGroups");
}

#[test]
fn a_group_added_by_hand_is_removed_and_named() {
    let mut world = one_port().settled();
    let seen = world.observed.load_balancers.get_mut(NAME).unwrap();
    seen.load_balancer.security_groups.insert("sg-by-hand".into());
    let plan = world.plan(&one_port().desired());
    assert_eq!(steps(&plan), [format!("0 SetSecurityGroups load-balancer/{NAME}")]);
    assert!(plan.steps[0].reason.contains("sg-by-hand"), "{}", plan.steps[0].reason);
}

#[test]
fn a_new_frontend_group_admits_clients_before_the_old_groups_go() {
    let world = Ask { managed_groups: false, ..one_port() }.settled();
    assert_eq!(
        steps(&world.plan(&one_port().desired())),
        [
            "0 CreateSecurityGroup lf-web-frontend".to_owned(),
            "1 AuthorizeIngress security-group/lf-web-frontend".to_owned(),
            format!("2 SetSecurityGroups load-balancer/{NAME}"),
        ]
    );
    let back = Ask { managed_groups: false, ..one_port() }.desired();
    assert_eq!(
        steps(&one_port().settled().plan(&back)),
        [format!("0 SetSecurityGroups load-balancer/{NAME}"), "1 DeleteSecurityGroup security-group/lf-web-frontend".to_owned(),]
    );
}

#[test]
fn a_subnet_of_the_same_zone_comes_when_the_old_one_is_gone() {
    let mut world = one_port().settled();
    let desired = Ask { subnets: subnets(&["a1", "b2"]), ..one_port() }.desired();
    let plan = world.plan(&desired);
    assert_eq!(steps(&plan), [format!("0 SetSubnets load-balancer/{NAME}")]);
    assert!(matches!(&plan.steps[0].action, Action::SetSubnets { subnets: first, .. } if *first == subnets(&["a1"])));
    assert_eq!(plan.waits, BTreeSet::from([Wait::SubnetChange { load_balancer: NAME.to_owned() }]));
    world.settle(&desired);
    assert_eq!(world.observed.load_balancers[NAME].load_balancer.subnets, subnets(&["a1", "b2"]));
}

#[test]
fn a_port_change_deletes_its_group_after_its_listener() {
    let world = one_port().settled();
    let desired = Ask { ports: BTreeMap::from([(81, Protocol::Tcp)]), ..Ask::default() }.desired();
    assert_eq!(
        steps(&world.plan(&desired)),
        [
            "0 AuthorizeIngress security-group/lf-web-frontend",
            "0 CreateTargetGroup lf-web-internet-facing-tcp-81-instance",
            "0 DeleteListener 80",
            "1 RevokeIngress security-group/lf-web-frontend",
            "1 RegisterTargets target-group/lf-web-internet-facing-tcp-81-instance",
            "1 DeleteTargetGroup target-group/lf-web-internet-facing-tcp-80-instance",
            "2 CreateListener 81",
        ]
    );
}

#[test]
fn a_replaced_target_group_is_filled_before_the_switch_and_deleted_after() {
    let world = one_port().settled();
    let desired = Ask { ports: BTreeMap::from([(80, Protocol::Udp)]), ..Ask::default() }.desired();
    let plan = world.plan(&desired);
    let waves = steps(&plan);
    assert!(waves.contains(&"1 RegisterTargets target-group/lf-web-internet-facing-udp-80-instance".to_owned()));
    assert!(waves.contains(&"2 ModifyListener 80".to_owned()), "{waves:?}");
    assert_eq!(waves.last().map(String::as_str), Some("3 DeleteTargetGroup target-group/lf-web-internet-facing-tcp-80-instance"));
}

#[test]
fn rules_with_another_description_count_and_foreign_ones_go() {
    let mut world = one_port().settled();
    let group = &mut world.observed.security_groups.values_mut().next().unwrap().group;
    group.ingress = group.ingress.iter().map(|rule| Rule { description: "?".to_owned(), ..rule.clone() }).collect();
    assert!(world.plan(&one_port().desired()).steps.is_empty());
    let by_hand = Rule {
        protocol: "tcp".to_owned(),
        from_port: 22,
        to_port: 22,
        source: RuleSource::PrefixList("pl-1".to_owned()),
        description: "landfall/demo".to_owned(),
    };
    world.observed.security_groups.values_mut().next().unwrap().group.ingress.insert(by_hand.clone());
    let plan = world.plan(&one_port().desired());
    assert!(
        matches!(&plan.steps[0].action, Action::RevokeIngress { rules, .. } if *rules == BTreeSet::from([by_hand])),
        "{plan:?}"
    );
}

#[test]
fn a_full_group_is_not_overfilled() {
    let ports = |from: u16| (from..from + 40).map(|port| (port, Protocol::Tcp)).collect();
    let mut world = Ask { ports: ports(1000), ..Ask::default() }.settled();
    let desired = Ask { ports: ports(2000), ..Ask::default() }.desired();
    let plan = world.plan(&desired);
    let rules: Vec<_> = steps(&plan).into_iter().filter(|step| step.contains("Ingress")).collect();
    let group = "Ingress security-group/lf-web-frontend";
    assert_eq!(rules, [format!("0 Authorize{group}"), format!("1 Revoke{group}"), format!("2 Authorize{group}")]);
    world.settle(&desired);
}

#[test]
fn draining_targets_count_as_absent() {
    let mut world = one_port().settled();
    let targets = &mut world.observed.target_groups.values_mut().next().unwrap().targets;
    targets.get_mut(&("i-1".to_owned(), 30080)).unwrap().state = TargetState::Draining;
    targets.get_mut(&("i-2".to_owned(), 30080)).unwrap().state = TargetState::UnhealthyDraining;
    let register = |plan: &crate::nlb::model::Plan| match &plan.steps[..] {
        [step] => matches!(&step.action, Action::RegisterTargets { targets, .. } if targets.len() == 2),
        _ => false,
    };
    assert!(register(&world.plan(&one_port().desired())));
    let none = Ask { targets: BTreeSet::new(), ..one_port() };
    assert!(world.plan(&none.desired()).steps.is_empty(), "already on their way out");
}
