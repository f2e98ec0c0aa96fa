//! From any history (changed wishes, crashes after any step, drift, other people's objects) a few rounds lead to exactly
//! what is desired, and then to an empty plan.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::fixture::{Ask, DEMO, pairs, subnets, web};
use super::simulate::World;
use crate::aws::types::{Protocol, Rule, RuleSource, Scheme, Tags, TargetHealth, TargetState, TargetType};
use crate::nlb::build::tags::{SERVICE, owner};
use crate::nlb::diff::diff;
use crate::nlb::model::{Desired, Observed};

/// What somebody, or AWS, does to the objects.
#[derive(Clone, Debug)]
enum Drift {
    LoadBalancerDeleted,
    ListenerDeleted,
    ListenerAdded,
    TargetDeregistered,
    TargetAdded,
    RuleRevoked,
    RuleAdded,
    GroupAdded,
    HealthCheckChanged,
    TagRemoved,
    BackendGroupLost,
}

fn drift() -> impl Strategy<Value = Drift> {
    prop::sample::select(vec![
        Drift::LoadBalancerDeleted,
        Drift::ListenerDeleted,
        Drift::ListenerAdded,
        Drift::TargetDeregistered,
        Drift::TargetAdded,
        Drift::RuleRevoked,
        Drift::RuleAdded,
        Drift::GroupAdded,
        Drift::HealthCheckChanged,
        Drift::TagRemoved,
        Drift::BackendGroupLost,
    ])
}

impl Drift {
    /// Does it to the first object of ours that it fits, if there is one.
    fn happen(&self, world: &mut World) {
        let observed = &mut world.observed;
        let load_balancer = observed.load_balancers.values_mut().find(|seen| ours(&seen.tags));
        let target_group = observed.target_groups.values_mut().find(|seen| ours(&seen.tags));
        let security_group = observed.security_groups.values_mut().find(|seen| ours(&seen.group.tags));
        match (self, load_balancer, target_group, security_group) {
            (Self::BackendGroupLost, ..) => observed.backend_group = None,
            (Self::LoadBalancerDeleted, Some(seen), ..) => {
                let name = seen.load_balancer.name.clone();
                observed.load_balancers.remove(&name);
                world.attributes.remove(&name);
            }
            (Self::ListenerDeleted, Some(seen), ..) => drop(seen.listeners.pop_first()),
            (Self::ListenerAdded, Some(seen), ..) => {
                if let Some(mut copy) = seen.listeners.values().next().cloned() {
                    copy.port = 9999;
                    copy.arn = format!("listener-by-hand-on-{}", seen.load_balancer.arn).into();
                    seen.listeners.insert(copy.port, copy);
                }
            }
            (Self::GroupAdded, Some(seen), ..) => {
                seen.load_balancer.security_groups.insert("sg-by-hand".into());
            }
            (Self::TagRemoved, Some(seen), ..) => drop(seen.tags.remove("team")),
            (Self::TargetDeregistered, _, Some(seen), _) => {
                seen.targets.values_mut().take(1).for_each(|health| health.state = TargetState::Draining);
            }
            (Self::TargetAdded, _, Some(seen), _) => {
                let health = TargetHealth { state: TargetState::Unhealthy, reason: None };
                seen.targets.insert(("i-by-hand".to_owned(), 1), health);
            }
            (Self::HealthCheckChanged, _, Some(seen), _) => seen.target_group.health_check.healthy_threshold += 1,
            (Self::RuleRevoked, _, _, Some(seen)) => drop(seen.group.ingress.pop_first()),
            (Self::RuleAdded, _, _, Some(seen)) => {
                seen.group.ingress.insert(Rule {
                    protocol: "tcp".to_owned(),
                    from_port: 22,
                    to_port: 22,
                    source: RuleSource::Cidr("0.0.0.0/0".parse().unwrap()),
                    description: "by hand".to_owned(),
                });
            }
            _ => {}
        }
        world.associate();
    }
}

fn ours(tags: &Tags) -> bool {
    owner(tags, DEMO) == Some(web())
}

prop_compose! {
    fn ask()(
        internal in any::<bool>(),
        zones in prop::sample::select(vec![&["a1"][..], &["a1", "b1"], &["a1", "b2"], &["a1", "b2", "c1"], &["a1", "c2"]]),
        managed_groups in prop::bool::weighted(0.8),
        ports in prop::collection::btree_map(prop::sample::select(vec![53_u16, 80, 443]),
            prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]), 1..4),
        addresses in any::<bool>(),
        targets in prop::collection::btree_set(1_u8..5, 0..4),
        slow in any::<bool>(),
        narrow in any::<bool>(),
        cross_zone in any::<bool>(),
        delay in prop::option::of(prop::sample::select(vec!["60", "0"])),
        team in prop::option::of(prop::sample::select(vec!["red", "blue"])),
    ) -> Ask {
        Ask {
            name: None,
            scheme: if internal { Scheme::Internal } else { Scheme::InternetFacing },
            subnets: subnets(zones),
            managed_groups,
            ports,
            target_type: if addresses { TargetType::Ip } else { TargetType::Instance },
            targets,
            interval: if slow { 30 } else { 10 },
            sources: if narrow { vec!["10.0.0.0/8", "192.0.2.0/24"] } else { vec!["0.0.0.0/0"] },
            attributes: if cross_zone { pairs(&[("load_balancing.cross_zone.enabled", "true")]) } else { BTreeMap::new() },
            target_group_attributes: delay.map(|delay| ("deregistration_delay.timeout_seconds".to_owned(), delay.to_owned()))
                .into_iter().collect(),
            tags: team.map(|team| ("team".to_owned(), team.to_owned())).into_iter().collect(),
        }
    }
}

/// A wish (`None`: delete it all), how many steps were done of each of two plans for it, and what happened then.
type Episode = (Option<Ask>, usize, usize, Vec<Drift>);

fn episode() -> impl Strategy<Value = Episode> {
    (prop::option::weighted(0.9, ask()), 0_usize..14, 0_usize..14, prop::collection::vec(drift(), 0..3))
}

fn desired(ask: Option<&Ask>) -> Desired {
    ask.map_or_else(|| Desired::nothing(web()), Ask::desired)
}

/// An AWS in which another Service has objects like ours.
fn neighbour() -> World {
    let mut world = Ask::default().settled();
    let observed = &mut world.observed;
    observed.load_balancers = renamed(std::mem::take(&mut observed.load_balancers), |seen, name| {
        seen.load_balancer.name = name;
        &mut seen.tags
    });
    observed.target_groups = renamed(std::mem::take(&mut observed.target_groups), |seen, name| {
        seen.target_group.name = name;
        &mut seen.tags
    });
    observed.security_groups = renamed(std::mem::take(&mut observed.security_groups), |seen, name| {
        seen.group.name = name;
        &mut seen.group.tags
    });
    observed.published_host_name = None;
    world
}

/// The same objects under another Service's names and tags; `rename` does it to one and shows its tags.
fn renamed<T>(objects: BTreeMap<String, T>, rename: impl Fn(&mut T, String) -> &mut Tags) -> BTreeMap<String, T> {
    let rename = |(name, mut object): (String, T)| {
        let name = name.replace("lf-web", "lf-shop");
        rename(&mut object, name.clone()).insert(SERVICE.to_owned(), "default/shop".to_owned());
        (name, object)
    };
    objects.into_iter().map(rename).collect()
}

/// What is not ours.
fn others(observed: &Observed) -> Observed {
    let mut others = observed.clone();
    others.load_balancers.retain(|_, seen| !ours(&seen.tags));
    others.target_groups.retain(|_, seen| !ours(&seen.tags));
    others.security_groups.retain(|_, seen| !ours(&seen.group.tags));
    Observed { backend_group: None, published_host_name: None, ..others }
}

/// Whether AWS holds what is desired, all of it and nothing else of this Service.
fn assert_holds(world: &World, desired: &Desired) {
    let observed = &world.observed;
    let there: BTreeSet<&String> = observed
        .load_balancers
        .iter()
        .filter(|(_, seen)| ours(&seen.tags))
        .map(|(name, _)| name)
        .chain(observed.target_groups.iter().filter(|(_, seen)| ours(&seen.tags)).map(|(name, _)| name))
        .chain(observed.security_groups.iter().filter(|(_, seen)| ours(&seen.group.tags)).map(|(name, _)| name))
        .collect();
    let wanted: BTreeSet<&String> = desired
        .load_balancer
        .iter()
        .map(|wanted| &wanted.name)
        .chain(desired.target_groups.values().map(|wanted| &wanted.name))
        .chain(desired.security_group.iter().map(|wanted| &wanted.name))
        .collect();
    assert_eq!(there, wanted);
    let Some(wanted) = &desired.load_balancer else { return };
    let seen = &observed.load_balancers[&wanted.name];
    assert_eq!(seen.load_balancer.subnets, wanted.subnets);
    assert_eq!(seen.tags.get("team"), wanted.tags.get("team"));
    let cross_zone = wanted.attributes.get("load_balancing.cross_zone.enabled").map_or("false", String::as_str);
    assert_eq!(world.attributes[&wanted.name]["load_balancing.cross_zone.enabled"], cross_zone);
    let ports: BTreeSet<u16> = seen.listeners.keys().copied().collect();
    assert_eq!(ports, desired.listeners.keys().copied().collect());
    let groups = &seen.load_balancer.security_groups;
    match &desired.security_group {
        Some(wanted) => {
            let group = &observed.security_groups[&wanted.name].group;
            assert_eq!(*groups, BTreeSet::from([group.id.clone(), "sg-backend".into()]));
            assert_eq!(group.ingress, wanted.ingress);
        }
        None => assert_eq!(*groups, BTreeSet::from(["sg-own".into()])),
    }
    for (port, listener) in &desired.listeners {
        let wanted = &desired.target_groups[&listener.target_group];
        let group = &observed.target_groups[&wanted.name];
        assert_eq!(seen.listeners[port].target_groups, BTreeSet::from([group.target_group.arn.clone()]));
        assert_eq!(seen.listeners[port].protocol, listener.protocol);
        assert_eq!(group.target_group.health_check, wanted.health_check);
        let delay = wanted.attributes.get("deregistration_delay.timeout_seconds").map_or("300", String::as_str);
        assert_eq!(world.attributes[&wanted.name]["deregistration_delay.timeout_seconds"], delay);
        let registered: BTreeSet<_> = group.targets.keys().cloned().collect();
        assert_eq!(registered, wanted.targets.iter().map(|target| (target.id.clone(), target.port)).collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_ends_in_exactly_what_is_desired(
        history in prop::collection::vec(episode(), 0..4),
        last in prop::option::weighted(0.85, ask()),
        backwards in any::<bool>(),
    ) {
        let mut world = neighbour();
        let theirs = others(&world.observed);
        world.backwards = backwards;
        for (ask, first, second, drifts) in &history {
            let desired = desired(ask.as_ref());
            world.apply(&world.plan(&desired), *first);
            world.tick(&desired);
            world.apply(&world.plan(&desired), *second);
            drifts.iter().for_each(|drift| drift.happen(&mut world));
        }
        let desired = desired(last.as_ref());
        world.settle(&desired);
        assert_holds(&world, &desired);
        prop_assert_eq!(others(&world.observed), theirs);
        let plan = diff(&desired, &world.observed, DEMO);
        prop_assert!(plan.steps.is_empty() && plan.conflicts.is_empty() && plan.needs_attributes.is_empty(), "{:?}", plan);
    }

    #[test]
    fn one_run_is_enough_when_nothing_has_to_be_waited_for(from in ask(), mut to in ask()) {
        to.scheme = from.scheme.clone();
        to.subnets = from.subnets.clone();
        let mut world = from.settled();
        let desired = to.desired();
        world.apply(&world.plan(&desired), usize::MAX);
        world.tick(&desired);
        let plan = diff(&desired, &world.observed, DEMO);
        prop_assert!(plan.steps.is_empty(), "{:?}", plan);
        assert_holds(&world, &desired);
    }
}
