//! Tests of the choice of subnets.

use std::sync::Arc;

use super::*;
use crate::nlb::build::build;
use crate::nlb::build::fixtures::{built, inputs, problems, rejected, subnet};
use crate::nlb::model::{NetworkFacts, Placement};

const ROLE: (&str, &str) = (INTERNAL_ROLE, "1");

/// Inputs of an internal load balancer in a VPC that has these subnets.
fn with(subnets: Vec<Subnet>) -> Inputs {
    let mut inputs = inputs("spec: {ports: [{port: 80, nodePort: 30080}]}");
    let network = NetworkFacts { subnets, ..(*inputs.network).clone() };
    inputs.network = Arc::new(network);
    inputs
}

fn chosen(inputs: &Inputs) -> Vec<String> {
    let desired = build(inputs).unwrap();
    desired.load_balancer.unwrap().subnets.iter().map(ToString::to_string).collect()
}

fn annotation(value: &str) -> String {
    format!("service.beta.kubernetes.io/aws-load-balancer-subnets: '{value}'")
}

#[test]
fn the_role_tag_decides_by_scheme() {
    let ids = |annotations: &str| -> Vec<String> {
        built(annotations).load_balancer.unwrap().subnets.iter().map(ToString::to_string).collect()
    };
    assert_eq!(ids(""), ["subnet-int-a", "subnet-int-b", "subnet-int-c"]);
    let public = "service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing";
    assert_eq!(ids(public), ["subnet-pub-a", "subnet-pub-b", "subnet-pub-c"]);
}

#[test]
fn in_each_zone_the_clusters_own_then_the_lowest_id_is_taken() {
    let inputs = with(vec![
        subnet("subnet-2", 'a', &[ROLE]),
        subnet("subnet-1", 'a', &[ROLE]),
        subnet("subnet-3", 'b', &[ROLE]),
        subnet("subnet-4", 'b', &[ROLE, ("kubernetes.io/cluster/demo", "shared")]),
    ]);
    assert_eq!(chosen(&inputs), ["subnet-1", "subnet-4"]);
    let notices = build(&inputs).unwrap().notices;
    let passed_over = notices.iter().find(|notice| notice.code == "SubnetPassedOver").unwrap();
    assert!(passed_over.message.contains("subnet-2 (us-west-2a) lies in the zone of subnet-1"), "{passed_over}");
}

#[test]
fn unfit_subnets_are_passed_over() {
    let full = Subnet { available_addresses: 7, ..subnet("subnet-full", 'b', &[ROLE]) };
    let outpost = Subnet { outpost: true, ..subnet("subnet-outpost", 'c', &[ROLE]) };
    let local = Subnet { zone_id: "usw2-lax1-az1".to_owned(), ..subnet("subnet-0-local", 'd', &[ROLE]) };
    let other = subnet("subnet-other", 'e', &[ROLE, ("kubernetes.io/cluster/other", "owned")]);
    let foreign = Subnet { vpc: "vpc-2".into(), ..subnet("subnet-foreign", 'f', &[ROLE]) };
    let inputs = with(vec![local, full, outpost, other, foreign, subnet("subnet-ok", 'a', &[ROLE])]);
    assert_eq!(chosen(&inputs), ["subnet-ok"]);
    let notices = build(&inputs).unwrap().notices;
    let message = &notices.iter().find(|notice| notice.code == "SubnetPassedOver").unwrap().message;
    for part in [
        "subnet-full (us-west-2b) has fewer than 8 free addresses",
        "subnet-outpost (us-west-2c) lies in an Outpost",
        "subnet-0-local (us-west-2d) lies in a local or wavelength zone",
        "subnet-other (us-west-2e) is tagged for another cluster, `other`",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("foreign"), "{message}");
}

#[test]
fn without_any_role_tag_the_route_tables_decide() {
    let mut inputs = with(vec![subnet("subnet-private", 'a', &[]), subnet("subnet-public", 'b', &[])]);
    assert_eq!(build(&inputs).unwrap_err().problems[0].code, "NoSubnet", "nothing tells which is which");
    let mut network = (*inputs.network).clone();
    network.public_subnets = Some(std::iter::once("subnet-public".into()).collect());
    inputs.network = Arc::new(network);
    assert_eq!(chosen(&inputs), ["subnet-private"]);
}

#[test]
fn route_tables_are_asked_for_when_a_role_is_missing() {
    let internal = subnet("subnet-1", 'a', &[ROLE]);
    let public = subnet("subnet-2", 'a', &[(PUBLIC_ROLE, "")]);
    assert!(!reachability_needed(&[internal.clone(), public]));
    assert!(reachability_needed(&[internal, subnet("subnet-3", 'a', &[(PUBLIC_ROLE, "no")])]));
}

#[test]
fn no_subnet_is_explained_subnet_by_subnet() {
    let full = Subnet { available_addresses: 0, ..subnet("subnet-full", 'a', &[ROLE]) };
    let rejection = build(&with(vec![subnet("subnet-bare", 'b', &[]), full])).unwrap_err();
    let problem = &rejection.problems[0];
    assert_eq!((problem.code, rejection.problems.len()), ("NoSubnet", 1));
    assert_eq!(
        problem.message,
        "no subnet of vpc-1 is fit for an internal load balancer: subnet-bare (us-west-2b) bears no tag \
         `kubernetes.io/role/internal-elb` (empty or `1`); subnet-full (us-west-2a) has fewer than 8 free addresses"
    );
    assert!(problem.fix.contains("`kubernetes.io/role/internal-elb=1`"), "{problem}");

    let many = (0..25).map(|n| subnet(&format!("subnet-{n:02}"), 'a', &[])).collect();
    let rejection = build(&with(many)).unwrap_err();
    assert!(rejection.problems[0].message.ends_with("; and 5 more"), "{rejection}");
    assert!(build(&with(vec![])).unwrap_err().to_string().contains("it has none"));
}

#[test]
fn a_placement_is_kept_and_gains_zones() {
    let full = Subnet { available_addresses: 0, ..subnet("subnet-9-full", 'a', &[ROLE]) };
    let untagged = subnet("subnet-8-untagged", 'b', &[]);
    let mut inputs = with(vec![
        full,
        untagged,
        subnet("subnet-1", 'a', &[ROLE]),
        subnet("subnet-2", 'b', &[ROLE]),
        subnet("subnet-3", 'c', &[ROLE]),
    ]);
    let subnets = ["subnet-9-full", "subnet-8-untagged"].map(SubnetId::from).into_iter().collect();
    inputs.placement = Some(Placement { scheme: Scheme::Internal, subnets });
    assert_eq!(chosen(&inputs), ["subnet-3", "subnet-8-untagged", "subnet-9-full"]);

    let elsewhere = inputs.placement.as_mut().unwrap();
    elsewhere.subnets = std::iter::once("subnet-not-listed-yet".into()).collect();
    assert!(chosen(&inputs).contains(&"subnet-not-listed-yet".to_owned()));
}

#[test]
fn a_change_of_scheme_chooses_anew() {
    let mut inputs = inputs(
        "
metadata: {annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing}}
spec: {ports: [{port: 80, nodePort: 30080}]}",
    );
    let subnets = std::iter::once("subnet-int-a".into()).collect();
    inputs.placement = Some(Placement { scheme: Scheme::Internal, subnets });
    assert_eq!(chosen(&inputs), ["subnet-pub-a", "subnet-pub-b", "subnet-pub-c"]);
}

#[test]
fn named_subnets_win_over_the_placement() {
    let mut inputs = inputs(&format!(
        "metadata:\n  annotations:\n    {}\nspec: {{ports: [{{port: 80, nodePort: 30080}}]}}",
        annotation("subnet-pub-a, subnet-int-b")
    ));
    let subnets = std::iter::once("subnet-int-a".into()).collect();
    inputs.placement = Some(Placement { scheme: Scheme::Internal, subnets });
    assert_eq!(chosen(&inputs), ["subnet-int-b", "subnet-pub-a"]);
}

#[test]
fn a_name_stands_for_as_many_subnets_as_it_is_repeated() {
    let ids = |value: &str| -> Vec<String> {
        built(&annotation(value)).load_balancer.unwrap().subnets.iter().map(ToString::to_string).collect()
    };
    assert_eq!(ids("internal"), ["subnet-int-a"]);
    assert_eq!(ids("internal,internal"), ["subnet-int-a", "subnet-int-b"]);
    assert_eq!(problems(&annotation("internal,internal,internal,internal")), ["SubnetNotFound"]);
}

#[test]
fn named_subnets_must_exist_in_zones_of_their_own() {
    let rejection = rejected(&annotation("subnet-nope,Nope,subnet-int-a,subnet-pub-a"));
    let codes: Vec<&str> = rejection.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["SubnetNotFound", "SubnetNotFound", "SubnetsInSameZone"]);
    assert!(rejection.to_string().contains("subnet-int-a and subnet-pub-a both lie in zone us-west-2a"), "{rejection}");
    assert!(rejection.to_string().contains("\"subnet-nope\""), "{rejection}");
}

#[test]
fn named_subnets_must_be_of_one_kind() {
    let mut inputs = inputs(&format!(
        "metadata:\n  annotations:\n    {}\nspec: {{ports: [{{port: 80, nodePort: 30080}}]}}",
        annotation("subnet-1,subnet-2")
    ));
    let local = Subnet { zone_id: "usw2-lax1-az1".to_owned(), ..subnet("subnet-2", 'b', &[]) };
    let foreign = Subnet { vpc: "vpc-2".into(), ..subnet("subnet-1", 'a', &[]) };
    let network = (*inputs.network).clone();
    inputs.network = Arc::new(NetworkFacts { subnets: vec![subnet("subnet-1", 'a', &[]), local.clone()], ..network.clone() });
    assert_eq!(build(&inputs).unwrap_err().problems[0].code, "MixedZoneKinds");
    inputs.network = Arc::new(NetworkFacts { subnets: vec![foreign, local], ..network });
    assert_eq!(build(&inputs).unwrap_err().problems[0].code, "SubnetNotFound", "a subnet of another VPC is none");
}
