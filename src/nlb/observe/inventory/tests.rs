use std::collections::BTreeMap;

use super::*;
use crate::aws::types::{IpAddressType, Target, TargetHealth, TargetState};
use crate::nlb::build::fixtures::load_balancer;
use crate::nlb::model::{Action, LoadBalancerRef, TargetGroupRef};

const CLUSTER: &str = "demo";

fn key() -> ServiceKey {
    ServiceKey { namespace: "shop".into(), name: "web".into() }
}

fn owned() -> Tags {
    [(tags::CLUSTER, CLUSTER), (tags::SERVICE, "shop/web"), (tags::RESOURCE, tags::LOAD_BALANCER)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn listing(began: u64, names: &[&str]) -> Listing {
    let load_balancers = names.iter().map(|name| (load_balancer(name, LoadBalancerState::Active), owned())).collect();
    Listing { began, load_balancers, ..Listing::default() }
}

fn names(inventory: &Inventory) -> Vec<String> {
    inventory.observed(&key(), None).load_balancers.into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_made_after_a_listing_began_is_not_forgotten() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    let began = inventory.begin_listing();
    inventory.created_load_balancer(load_balancer("a", LoadBalancerState::Provisioning), owned());
    inventory.take(listing(began, &[]));
    assert_eq!(names(&inventory), ["a"]);
    // AWS's listings lag: a newer one that lacks it is not believed at once, but later.
    inventory.take(listing(inventory.begin_listing(), &[]));
    assert_eq!(names(&inventory), ["a"]);
    tokio::time::advance(LISTING_LAG).await;
    inventory.take(listing(inventory.begin_listing(), &[]));
    assert_eq!(names(&inventory), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_after_a_listing_began_does_not_come_back() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    inventory.take(listing(0, &["a"]));
    let began = inventory.begin_listing();
    let reference = LoadBalancerRef::Existing { name: "a".into(), id: "arn:a".into() };
    inventory.record(&Action::DeleteLoadBalancer { load_balancer: reference });
    inventory.take(listing(began, &["a"]));
    assert_eq!(names(&inventory), Vec::<String>::new());
    // Somebody made it again: a listing that began after the deletion says so.
    inventory.take(listing(inventory.begin_listing(), &["a"]));
    assert_eq!(names(&inventory), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_surprise_is_settled_only_by_a_listing_that_began_after_it() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    assert!(inventory.needs_listing());
    let began = inventory.begin_listing();
    inventory.mark_dirty();
    inventory.take(listing(began, &[]));
    assert!(inventory.needs_listing(), "this one may have missed it");
    inventory.take(listing(inventory.begin_listing(), &[]));
    assert!(!inventory.needs_listing());
}

#[tokio::test(start_paused = true)]
async fn others_objects_are_not_ours() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    let mut foreign = owned();
    foreign.insert(tags::CLUSTER.to_owned(), "another".to_owned());
    let mut all = listing(0, &["a"]);
    all.load_balancers.push((load_balancer("b", LoadBalancerState::Active), foreign));
    inventory.take(all);
    assert_eq!(names(&inventory), ["a"]);
    assert!(inventory.owns_something(&key()));
    assert_eq!(inventory.owners(), [key()].into());
}

#[tokio::test(start_paused = true)]
async fn registrations_and_drains_are_remembered_as_aws_will_show_them() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    let group: TargetGroup = TargetGroup {
        arn: "arn:tg".into(),
        name: "tg".into(),
        protocol: crate::aws::types::Protocol::Tcp,
        port: 80,
        target_type: crate::aws::types::TargetType::Instance,
        ip_address_type: IpAddressType::Ipv4,
        health_check: crate::aws::types::HealthCheck {
            protocol: crate::aws::types::HealthCheckProtocol::Tcp,
            port: None,
            path: None,
            success_codes: None,
            interval_seconds: 10,
            timeout_seconds: 10,
            healthy_threshold: 3,
            unhealthy_threshold: 3,
        },
        vpc: Some("vpc-1".into()),
        load_balancers: BTreeSet::new(),
    };
    inventory.created_target_group(group, owned());
    let target_group = TargetGroupRef::New("tg".into());
    let targets: BTreeSet<Target> = ["i-1", "i-2"].map(|id| Target { id: id.into(), port: 80, availability_zone: None }).into();
    inventory.record(&Action::RegisterTargets { target_group: target_group.clone(), targets: targets.clone() });
    let first = targets.into_iter().take(1).collect();
    inventory.record(&Action::DeregisterTargets { target_group, targets: first });
    let state = |state| TargetHealth { state, reason: None };
    let expected: BTreeMap<_, _> =
        [(("i-1".into(), 80), state(TargetState::Draining)), (("i-2".into(), 80), state(TargetState::Initial))].into();
    assert_eq!(inventory.observed(&key(), None).target_groups["tg"].targets, expected);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_changed_wakes_its_owner_and_one_that_vanished_makes_the_inventory_doubtful() {
    let mut inventory = Inventory::new(CLUSTER.to_owned());
    let mut provisioning = listing(0, &[]);
    provisioning.load_balancers.push((load_balancer("a", LoadBalancerState::Provisioning), owned()));
    inventory.take(provisioning);
    let arn: LoadBalancerArn = "arn:a".into();
    assert_eq!(inventory.provisioning(), [(arn.clone(), key())]);
    let same = load_balancer("a", LoadBalancerState::Provisioning);
    assert!(inventory.set_states(std::slice::from_ref(&arn), vec![same]).is_empty());
    let active = load_balancer("a", LoadBalancerState::Active);
    assert_eq!(inventory.set_states(std::slice::from_ref(&arn), vec![active]), [key()].into());
    assert!(inventory.provisioning().is_empty() && !inventory.needs_listing());
    inventory.count += 1;
    assert_eq!(inventory.set_states(&[arn], Vec::new()), [key()].into());
    assert!(inventory.needs_listing());
}
