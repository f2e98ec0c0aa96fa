//! A small cluster and VPC for the tests of `build`: three zones, three nodes, three pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::DeserializeOwned;

use super::build;
use crate::aws::types::{IpAddressType, LoadBalancer, LoadBalancerState, Scheme, SecurityGroup, Subnet, Tags, TargetType};
use crate::nlb::model::{Desired, Inputs, NetworkFacts, Policy, PortRange, Rejection};

pub(super) fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(super) fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(in crate::nlb) fn policy() -> Policy {
    Policy {
        cluster_name: "demo".to_owned(),
        default_target_type: TargetType::Instance,
        default_scheme: Scheme::Internal,
        default_tags: Tags::new(),
        node_port_range: PortRange { first: 30000, last: 32767 },
    }
}

/// A subnet with room in zone `us-west-2<letter>`.
pub(super) fn subnet(id: &str, letter: char, pairs: &[(&str, &str)]) -> Subnet {
    Subnet {
        id: id.into(),
        vpc: "vpc-1".into(),
        zone: format!("us-west-2{letter}"),
        zone_id: format!("usw2-az{}", u32::from(letter) - u32::from('a') + 1),
        outpost: false,
        cidr: "10.20.0.0/20".parse().unwrap(),
        has_ipv6: false,
        available_addresses: 100,
        tags: tags(pairs),
    }
}

/// A load balancer in `subnet-1` with group `sg-1`.
pub(in crate::nlb) fn load_balancer(name: &str, state: LoadBalancerState) -> LoadBalancer {
    LoadBalancer {
        arn: format!("arn:{name}").into(),
        name: name.to_owned(),
        dns_name: format!("{name}-0123.elb.us-west-2.amazonaws.com"),
        scheme: Scheme::Internal,
        ip_address_type: IpAddressType::Ipv4,
        state,
        state_reason: None,
        vpc: "vpc-1".into(),
        subnets: ["subnet-1".into()].into(),
        security_groups: ["sg-1".into()].into(),
    }
}

fn security_group(id: &str, vpc: &str, name: &str) -> SecurityGroup {
    SecurityGroup { id: id.into(), name: id.to_owned(), vpc: vpc.into(), tags: tags(&[("Name", name)]), ingress: BTreeSet::new() }
}

pub(super) fn network() -> NetworkFacts {
    let subnets = ['a', 'b', 'c'].into_iter().flat_map(|zone| {
        [
            subnet(&format!("subnet-pub-{zone}"), zone, &[("kubernetes.io/role/elb", "1"), ("Name", "public")]),
            subnet(&format!("subnet-int-{zone}"), zone, &[("kubernetes.io/role/internal-elb", ""), ("Name", "internal")]),
        ]
    });
    NetworkFacts {
        vpc: Some("vpc-1".into()),
        vpc_cidrs: vec!["10.20.0.0/16".parse().unwrap()],
        subnets: subnets.collect(),
        public_subnets: None,
        security_groups: vec![
            security_group("sg-user1", "vpc-1", "User One"),
            security_group("sg-user2", "vpc-1", "User Two"),
            security_group("sg-twice1", "vpc-1", "Twice"),
            security_group("sg-twice2", "vpc-1", "Twice"),
            security_group("sg-foreign", "vpc-2", "Foreign"),
        ],
        missing_instances: BTreeSet::new(),
    }
}

/// A ready node in zone `us-west-2<letter>`.
pub(super) fn node(name: &str, letter: char, instance: &str) -> Node {
    yaml(&format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: {name}, labels: {{topology.kubernetes.io/zone: us-west-2{letter}}}}}
spec: {{providerID: 'aws:///us-west-2{letter}/{instance}'}}
status: {{conditions: [{{type: Ready, status: 'True'}}]}}"
    ))
}

pub(super) fn slice() -> EndpointSlice {
    yaml(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: default}
addressType: IPv4
ports: [{name: '', port: 9376, protocol: TCP}, {name: web, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.20.1.11], zone: us-west-2a, conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.20.2.12], zone: us-west-2b, conditions: {ready: true, serving: true, terminating: false}}
- {addresses: [10.20.3.13], zone: us-west-2c, conditions: {ready: false, serving: false, terminating: false}}",
    )
}

/// Inputs for a Service of which only metadata and spec are given; what is left out of its identity is filled in.
pub(super) fn inputs(service: &str) -> Inputs {
    let mut service: Service = yaml(&format!("apiVersion: v1\nkind: Service\n{service}"));
    service.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    service.metadata.name.get_or_insert_with(|| "web".to_owned());
    service.metadata.uid.get_or_insert_with(|| "0b7f5a3e-5b0c-4f0a-9a57-6f1f6a2c0001".to_owned());
    service.spec.get_or_insert_default().type_.get_or_insert_with(|| "LoadBalancer".to_owned());
    Inputs {
        service: Arc::new(service),
        nodes: [('a', "i-0a1"), ('b', "i-0b2"), ('c', "i-0c3")]
            .map(|(zone, instance)| Arc::new(node(&format!("node-{zone}"), zone, instance)))
            .to_vec(),
        endpoint_slices: vec![Arc::new(slice())],
        network: Arc::new(network()),
        placement: None,
        policy: Arc::new(policy()),
    }
}

pub(super) fn build_service(service: &str) -> Result<Desired, Rejection> {
    build(&inputs(service))
}

fn annotated(annotations: &str) -> String {
    format!("metadata:\n  annotations:\n    {annotations}\nspec: {{ports: [{{name: web, port: 80, nodePort: 30080}}]}}")
}

/// What a one-port Service with these annotations (YAML lines, indented by four) gives.
pub(super) fn built(annotations: &str) -> Desired {
    build_service(&annotated(annotations)).unwrap()
}

/// Why a one-port Service with these annotations is refused.
pub(super) fn rejected(annotations: &str) -> Rejection {
    build_service(&annotated(annotations)).unwrap_err()
}

/// The codes of [`rejected`].
pub(super) fn problems(annotations: &str) -> Vec<&'static str> {
    rejected(annotations).problems.iter().map(|problem| problem.code).collect()
}
