//! Tests of eligibility and of the addresses behind a Service.

use std::sync::Arc;

use super::*;
use crate::nlb::build::build;
use crate::nlb::build::fixtures::{inputs, node, slice, yaml};
use crate::nlb::model::Desired;

fn service() -> Inputs {
    inputs("spec: {ports: [{name: web, port: 80, nodePort: 30080}]}")
}

fn with_ip_targets() -> Inputs {
    inputs(
        "
metadata: {annotations: {service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip}}
spec: {ports: [{name: web, port: 80, targetPort: http}]}",
    )
}

fn targets(desired: &Desired) -> Vec<String> {
    let targets = desired.target_groups.values().next().unwrap().targets.iter();
    targets
        .map(|target| format!("{}:{}{}", target.id, target.port, target.availability_zone.as_deref().unwrap_or_default()))
        .collect()
}

fn codes(desired: &Desired) -> Vec<&'static str> {
    desired.notices.iter().map(|notice| notice.code).collect()
}

/// Targets of a cluster whose third node is changed like this.
fn after(change: impl Fn(&mut Node)) -> Vec<String> {
    let mut inputs = service();
    let mut third = node("node-c", 'c', "i-0c3");
    change(&mut third);
    inputs.nodes[2] = Arc::new(third);
    targets(&build(&inputs).unwrap())
}

const TWO: [&str; 2] = ["i-0a1:30080", "i-0b2:30080"];
const THREE: [&str; 3] = ["i-0a1:30080", "i-0b2:30080", "i-0c3:30080"];

fn label(node: &mut Node, key: &str, value: &str) {
    node.metadata.labels.get_or_insert_default().insert(key.to_owned(), value.to_owned());
}

fn ready(node: &mut Node, status: &str) {
    node.status = yaml(&format!("conditions: [{{type: Ready, status: '{status}'}}]"));
}

#[test]
fn eligible_nodes_are_targets() {
    assert_eq!(after(|_| {}), THREE);
    assert_eq!(after(|node| label(node, EXCLUDE_LABEL, "false")), THREE, "\"false\" keeps a node in");
    assert_eq!(after(|node| label(node, EXCLUDE_LABEL, "true")), TWO);
    assert_eq!(after(|node| label(node, EXCLUDE_LABEL, "")), TWO);
    assert_eq!(after(|node| label(node, COMPUTE_TYPE_LABEL, "fargate")), TWO);
    assert_eq!(after(|node| label(node, COMPUTE_TYPE_LABEL, "ec2")), THREE);
    assert_eq!(after(|node| node.metadata.deletion_timestamp = yaml("2026-01-01T00:00:00Z")), TWO);
    assert_eq!(after(|node| node.status = None), TWO);
    for taint in TAINTS {
        let tainted = format!("{{providerID: 'aws:///us-west-2c/i-0c3', taints: [{{key: {taint}, effect: NoSchedule}}]}}");
        assert_eq!(after(|node| node.spec = yaml(&tainted)), TWO, "{taint}");
    }
    let other = "{providerID: 'aws:///us-west-2c/i-0c3', taints: [{key: dedicated, effect: NoSchedule}]}";
    assert_eq!(after(|node| node.spec = yaml(other)), THREE);
}

#[test]
fn nodes_of_unknown_health_count_only_when_all_are() {
    assert_eq!(after(|node| ready(node, "False")), TWO);
    assert_eq!(after(|node| ready(node, "Unknown")), TWO);
    let mut inputs = service();
    for node in &mut inputs.nodes {
        ready(Arc::make_mut(node), "Unknown");
    }
    ready(Arc::make_mut(&mut inputs.nodes[0]), "False");
    assert_eq!(targets(&build(&inputs).unwrap()), ["i-0b2:30080", "i-0c3:30080"]);
}

#[test]
fn a_node_without_an_instance_is_skipped_and_told_of() {
    for provider_id in ["", "aws:///us-west-2c/", "aws:///us-west-2c/fargate-ip-10-0-0-1", "eks-hybrid:///x/i-0c3", "i-0c3"] {
        let mut inputs = service();
        Arc::make_mut(&mut inputs.nodes[2]).spec.as_mut().unwrap().provider_id = Some(provider_id.to_owned());
        let desired = build(&inputs).unwrap();
        assert_eq!(targets(&desired), TWO, "{provider_id}");
        assert_eq!(codes(&desired), ["NodeSkipped"], "{provider_id}");
        assert!(desired.notices[0].message.contains("node-c"), "{}", desired.notices[0]);
    }
}

#[test]
fn an_instance_that_aws_does_not_have_is_skipped_and_told_of() {
    let mut inputs = service();
    let missing = inputs.nodes[2].spec.as_ref().unwrap().provider_id.as_ref().unwrap().rsplit('/').next().unwrap().into();
    Arc::make_mut(&mut inputs.network).missing_instances = [missing].into();
    let desired = build(&inputs).unwrap();
    assert_eq!(targets(&desired), TWO);
    assert_eq!(codes(&desired), ["NodeSkipped"]);
    assert!(desired.notices[0].message.contains("node-c"), "{}", desired.notices[0]);
}

#[test]
fn ready_endpoints_are_targets() {
    assert_eq!(targets(&build(&with_ip_targets()).unwrap()), ["10.20.1.11:8080", "10.20.2.12:8080"]);
}

#[test]
fn conditions_decide_about_an_endpoint() {
    for (conditions, expected) in [
        ("{}", true),
        ("{ready: true}", true),
        ("{ready: false}", false),
        ("{ready: false, serving: true}", true),
        ("{ready: false, serving: true, terminating: true}", false),
        ("{ready: true, serving: true, terminating: true}", false),
    ] {
        let endpoint: Endpoint = yaml(&format!("{{addresses: [10.20.0.1], conditions: {conditions}}}"));
        assert_eq!(is_serving(&endpoint), expected, "{conditions}");
    }
    assert!(is_serving(&yaml("{addresses: [10.20.0.1]}")));
}

#[test]
fn slices_are_merged_and_others_left_out() {
    let mut inputs = with_ip_targets();
    let mut second = slice();
    second.endpoints = yaml("[{addresses: [10.20.2.12]}, {addresses: [192.168.0.1]}]");
    let mut other_port = slice();
    other_port.ports = yaml("[{name: other, port: 9999}, {name: web, port: 9998, protocol: UDP}]");
    let mut ipv6 = slice();
    ipv6.address_type = "IPv6".to_owned();
    ipv6.endpoints = yaml("[{addresses: ['2001:db8::1']}]");
    inputs.endpoint_slices.extend([second, other_port, ipv6].map(Arc::new));
    let expected = ["10.20.1.11:8080", "10.20.2.12:8080", "192.168.0.1:8080all"];
    assert_eq!(targets(&build(&inputs).unwrap()), expected, "outside the VPC: zone `all`");

    let mut network = (*inputs.network).clone();
    network.vpc_cidrs.clear();
    inputs.network = Arc::new(network);
    assert_eq!(targets(&build(&inputs).unwrap())[2], "192.168.0.1:8080", "the VPC's CIDRs are not known");
}

#[test]
fn the_quota_is_kept_and_told_of() {
    let mut inputs = service();
    let one = node("node", 'a', "i-0");
    let numbered = |n: u32| {
        let mut node = one.clone();
        node.spec.as_mut().unwrap().provider_id = Some(format!("aws:///us-west-2a/i-{n:04x}"));
        Arc::new(node)
    };
    inputs.nodes = (0..1001).map(numbered).collect();
    let desired = build(&inputs).unwrap();
    assert_eq!(targets(&desired).len(), 1000);
    assert_eq!(codes(&desired), ["TargetsTruncated"]);
    inputs.nodes.reverse();
    assert_eq!(targets(&build(&inputs).unwrap()), targets(&desired));
}

#[test]
fn zones_without_a_subnet_are_told_of() {
    let mut inputs = service();
    inputs.nodes.push(Arc::new(node("node-d", 'd', "i-0d4")));
    let desired = build(&inputs).unwrap();
    assert_eq!(codes(&desired), ["ZoneNotServed"]);
    assert!(desired.notices[0].message.ends_with(": us-west-2d"), "{}", desired.notices[0]);
}
