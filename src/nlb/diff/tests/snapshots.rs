//! Plans as people and programs see them.

use std::collections::BTreeSet;

use super::fixture::{Ask, pairs, web};
use super::simulate::World;
use crate::aws::types::Scheme;
use crate::nlb::diff::render;
use crate::nlb::model::Desired;

#[test]
fn creation() {
    let plan = World::new().plan(&Ask::default().desired());
    insta::assert_snapshot!("creation", render::text(&plan));
    insta::assert_json_snapshot!("creation_json", render::json(&[plan]));
}

#[test]
fn scheme_change_half_way() {
    let mut world = Ask::default().settled();
    let desired = Ask { scheme: Scheme::Internal, ..Ask::default() }.desired();
    world.apply(&world.plan(&desired), 4);
    insta::assert_snapshot!("scheme_change_half_way", render::text(&world.plan(&desired)));
}

#[test]
fn deletion() {
    let plan = Ask::default().settled().plan(&Desired::nothing(web()));
    insta::assert_snapshot!("deletion", render::text(&plan));
}

#[test]
fn one_attribute_changes() {
    let delay =
        |seconds| Ask { target_group_attributes: pairs(&[("deregistration_delay.timeout_seconds", seconds)]), ..Ask::default() };
    let world = delay("60").settled();
    insta::assert_snapshot!("one_attribute_changes", render::text(&world.plan(&delay("120").desired())));
}

#[test]
fn drift() {
    let mut world = Ask::default().settled();
    world.observed.load_balancers.values_mut().next().unwrap().listeners.remove(&443);
    world.observed.target_groups.values_mut().next().unwrap().targets.pop_first();
    world.observed.security_groups.values_mut().next().unwrap().group.ingress.pop_first();
    insta::assert_snapshot!("drift", render::text(&world.plan(&Ask::default().desired())));
}

#[test]
fn conflict_and_nothing_to_do() {
    let custom = Ask { name: Some("web"), targets: BTreeSet::new(), ..Ask::default() };
    let mut world = custom.settled();
    insta::assert_snapshot!("nothing_to_do", render::text(&world.plan(&custom.desired())));
    world.observed.load_balancers.get_mut("web").unwrap().tags = pairs(&[("owner", "somebody else")]);
    insta::assert_snapshot!("conflict", render::text(&world.plan(&custom.desired())));
}

#[test]
fn long_lists_are_cut() {
    let ask = Ask { targets: (1..=9).collect(), ..Ask::default() };
    let text = render::text(&World::new().plan(&ask.desired()));
    assert!(text.contains("i-5:30080, and 4 more"), "{text}");
}
