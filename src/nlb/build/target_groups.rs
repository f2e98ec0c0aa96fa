//! Target groups: one behind each listener, with its targets; and the ports on which targets must admit the load balancer.
//!
//! Uses `listeners`, `health`, `targets`, `attributes`, `names`, `tags`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::codes::{self, Findings};
use super::listeners::{ListenerPort, describe, target_port};
use super::names::Origin;
use super::tags::ServiceTags;
use super::targets::{self, Candidates};
use crate::aws::types::{Attributes, HealthCheck, IpAddressType, Protocol, TargetType, VpcId};
use crate::nlb::model::{DesiredTargetGroup, Inputs, PortRange, TargetGroupKey};

/// What all target groups of a Service have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) vpc: &'a VpcId,
    pub(super) origin: &'a Origin<'a>,
    pub(super) tags: &'a ServiceTags,
    /// Name of the load balancer that they serve.
    pub(super) load_balancer: &'a str,
    pub(super) target_type: &'a TargetType,
    pub(super) health_check: &'a HealthCheck,
    pub(super) attributes: &'a Attributes,
    /// Zones that the load balancer has subnets in.
    pub(super) zones: &'a BTreeSet<String>,
}

/// All target groups.
pub(super) fn of_listeners(
    common: Common<'_>,
    listeners: &[ListenerPort<'_>],
    findings: &mut Findings,
) -> BTreeMap<TargetGroupKey, DesiredTargetGroup> {
    let candidates = match common.target_type {
        TargetType::Ip => Candidates::endpoints(&common.inputs.endpoint_slices),
        _ => Candidates::instances(common.inputs, findings),
    };
    candidates.warn_of_zones(common.zones, findings);
    let mut groups = BTreeMap::new();
    for listener in listeners {
        if let Some(group) = target_group(common, listener, &candidates, findings) {
            groups.insert(listener.key(), group);
        }
    }
    groups
}

fn target_group(
    common: Common<'_>,
    listener: &ListenerPort<'_>,
    candidates: &Candidates,
    findings: &mut Findings,
) -> Option<DesiredTargetGroup> {
    let Common { inputs, vpc, origin, tags, load_balancer, target_type, health_check, attributes, .. } = common;
    let (port, targets) = if *target_type == TargetType::Ip {
        // AWS wants a port though each target has its own; the port of a name is not known here.
        (declared_port(listener).unwrap_or(1), targets::addresses(inputs, listener))
    } else {
        let port = node_port(listener, findings)?;
        (port, candidates.at(port))
    };
    let key = listener.key();
    let protocol = listener.protocol.clone();
    Some(DesiredTargetGroup {
        name: origin.target_group(load_balancer, &key, &protocol, target_type, &IpAddressType::Ipv4),
        protocol,
        port,
        target_type: target_type.clone(),
        ip_address_type: IpAddressType::Ipv4,
        vpc: vpc.clone(),
        health_check: health_check.clone(),
        attributes: attributes.clone(),
        tags: tags.of(&format!("target-group/{key}")),
        targets: targets::truncate(targets, listener, findings),
    })
}

/// The numeric target port, if the Service declares one.
fn declared_port(listener: &ListenerPort<'_>) -> Option<u16> {
    match target_port(listener.service_ports.first()?) {
        IntOrString::Int(number) => u16::try_from(number).ok().filter(|number| *number > 0),
        IntOrString::String(_) => None,
    }
}

fn node_port(listener: &ListenerPort<'_>, findings: &mut Findings) -> Option<u16> {
    let port = listener.service_ports.first()?;
    let number = port.node_port.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    if number.is_none() {
        findings.refuse(
            codes::NO_NODE_PORT,
            "spec.ports",
            format!("port {} has no node port, which `instance` targets need", describe(port)),
            format!(
                "set `{}: ip`, or let node ports be allocated (`allocateLoadBalancerNodePorts: true`, type LoadBalancer)",
                super::annotations::NLB_TARGET_TYPE.full_key()
            ),
        );
    }
    number
}

/// The ports on which targets must admit the load balancer, by protocol.
pub(super) fn backend_ports(
    common: Common<'_>,
    listeners: &[ListenerPort<'_>],
    groups: &BTreeMap<TargetGroupKey, DesiredTargetGroup>,
) -> BTreeSet<(String, PortRange)> {
    let mut ports: BTreeSet<(&str, u16)> = BTreeSet::new();
    for (listener, group) in listeners.iter().filter_map(|listener| Some((listener, groups.get(&listener.key())?))) {
        let mut numbers: BTreeSet<u16> = group.targets.iter().map(|target| target.port).collect();
        // Also while there is no target: otherwise the rule would come and go with the last one.
        numbers.extend(match group.target_type {
            TargetType::Ip => declared_port(listener),
            _ => Some(group.port),
        });
        ports.extend(listener.transports().iter().flat_map(|transport| numbers.iter().map(move |number| (*transport, *number))));
        // Health is always asked by TCP, of UDP targets, too.
        match group.health_check.port {
            Some(number) => drop(ports.insert(("tcp", number))),
            None if group.protocol == Protocol::Udp => ports.extend(numbers.iter().map(|number| ("tcp", *number))),
            None => {}
        }
    }
    let range = common.inputs.policy.node_port_range;
    let is_instance = *common.target_type != TargetType::Ip;
    let widen = |(transport, number): (&str, u16)| {
        // The whole range at once: the rules of nodes then stay as they are when Services come and go.
        let in_range = is_instance && (range.first..=range.last).contains(&number);
        (transport.to_owned(), if in_range { range } else { PortRange { first: number, last: number } })
    };
    ports.into_iter().map(widen).collect()
}

#[cfg(test)]
mod tests {
    use crate::nlb::build::fixtures::build_service;
    use crate::nlb::model::Desired;

    fn admitted(desired: &Desired) -> Vec<String> {
        desired.backend_ports.iter().map(|(protocol, range)| format!("{protocol}/{}-{}", range.first, range.last)).collect()
    }

    const IP: &str = "metadata: {annotations: {service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip}}";

    #[test]
    fn node_ports_are_admitted_as_one_range() {
        let desired =
            build_service("spec: {ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81, nodePort: 30081}]}");
        assert_eq!(admitted(&desired.unwrap()), ["tcp/30000-32767"]);
        let udp = build_service("spec: {ports: [{port: 53, nodePort: 30053, protocol: UDP}]}").unwrap();
        assert_eq!(admitted(&udp), ["tcp/30000-32767", "udp/30000-32767"], "UDP targets are checked by TCP");
    }

    #[test]
    fn ports_outside_the_range_are_admitted_singly() {
        let yaml = "
metadata: {annotations: {service.beta.kubernetes.io/aws-load-balancer-healthcheck-port: '10256'}}
spec: {ports: [{port: 80, nodePort: 30080}]}";
        assert_eq!(admitted(&build_service(yaml).unwrap()), ["tcp/10256-10256", "tcp/30000-32767"]);
    }

    #[test]
    fn pods_are_admitted_on_their_ports_only() {
        let desired = build_service(&format!("{IP}\nspec: {{ports: [{{name: web, port: 80, targetPort: http}}]}}")).unwrap();
        let group = desired.target_groups.values().next().unwrap();
        assert_eq!(group.port, 1, "the port of a name is not known");
        assert_eq!(admitted(&desired), ["tcp/8080-8080"], "as the endpoint slice resolves it");

        let desired = build_service(&format!("{IP}\nspec: {{ports: [{{name: none, port: 80, targetPort: 9376}}]}}")).unwrap();
        assert_eq!(desired.target_groups.values().next().unwrap().port, 9376);
        assert_eq!(admitted(&desired), ["tcp/9376-9376"], "though there is no endpoint");
    }

    #[test]
    fn instance_targets_need_node_ports() {
        let yaml =
            "spec: {allocateLoadBalancerNodePorts: false, ports: [{name: web, port: 80, nodePort: 0}, {name: b, port: 81}]}";
        let rejection = build_service(yaml).unwrap_err();
        assert_eq!(rejection.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["NoNodePort", "NoNodePort"]);
        assert!(rejection.problems[0].message.contains("web (TCP 80)"), "{rejection}");
        assert!(rejection.problems[0].fix.contains("nlb-target-type: ip"), "{rejection}");
    }

    #[test]
    fn the_name_follows_what_is_immutable_only() {
        let name = |yaml: &str| build_service(yaml).unwrap().target_groups.into_values().next().unwrap().name;
        let base = name("spec: {ports: [{port: 80, nodePort: 30080}]}");
        assert_eq!(base, name("spec: {ports: [{name: web, port: 80, nodePort: 30081}]}"), "the node port changes in place");
        assert_ne!(base, name(&format!("{IP}\nspec: {{ports: [{{port: 80, nodePort: 30080}}]}}")));
        assert_ne!(base, name("spec: {ports: [{port: 80, nodePort: 30080, protocol: UDP}]}"));
    }
}
