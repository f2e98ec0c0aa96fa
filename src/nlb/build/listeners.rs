//! Listeners: ports of the Service, TCP and UDP on one port joined into one listener.
//!
//! Uses `annotations` for nothing but names in messages; `target_groups.rs` makes the group behind each listener.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::codes::{self, Findings};
use crate::aws::types::{Protocol, TargetType};
use crate::nlb::model::TargetGroupKey;

/// Listeners that a load balancer can have (NLB user guide, "Quotas"; cannot be raised).
const MAX_LISTENERS: usize = 50;

/// One listener to be, and the ports of the Service that it stands for.
#[derive(Clone, Debug)]
pub(super) struct ListenerPort<'a> {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// One port of the Service; two for TCP_UDP, which agree on where traffic goes.
    pub(super) service_ports: Vec<&'a ServicePort>,
}

impl ListenerPort<'_> {
    /// Names listener and target group.
    pub(super) fn key(&self) -> TargetGroupKey {
        TargetGroupKey { port: self.port, protocol: self.protocol.clone() }
    }

    /// Protocols as security group rules spell them.
    pub(super) fn transports(&self) -> &'static [&'static str] {
        match self.protocol {
            Protocol::Udp => &["udp"],
            Protocol::TcpUdp => &["tcp", "udp"],
            _ => &["tcp"],
        }
    }
}

/// How a port of a Service is called in messages: `http (TCP 80)`.
pub(super) fn describe(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.name.as_deref() {
        Some(name) if !name.is_empty() => format!("{name} ({protocol} {})", port.port),
        _ => format!("{protocol} {}", port.port),
    }
}

/// Where pods listen: the API server fills in the port itself if the Service does not say.
pub(super) fn target_port(port: &ServicePort) -> IntOrString {
    port.target_port.clone().unwrap_or(IntOrString::Int(port.port))
}

/// All listeners, in the order of their ports. Without a known target type joined ports are not compared.
pub(super) fn of_service<'a>(
    service: &'a Service,
    target_type: Option<&TargetType>,
    findings: &mut Findings,
) -> Vec<ListenerPort<'a>> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    if ports.is_empty() {
        findings.refuse(codes::NO_PORTS, "spec.ports", "the Service has no port", "add a port");
    }
    let mut by_port: BTreeMap<u16, Vec<(&ServicePort, Protocol)>> = BTreeMap::new();
    for port in ports {
        let protocol = match port.protocol.as_deref().unwrap_or("TCP") {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            other => {
                findings.refuse(
                    codes::UNSUPPORTED_PROTOCOL,
                    "spec.ports",
                    format!("a Network Load Balancer does not forward {other}, as port {} asks", describe(port)),
                    "use TCP or UDP",
                );
                continue;
            }
        };
        match u16::try_from(port.port) {
            Ok(number) if number > 0 => by_port.entry(number).or_default().push((port, protocol)),
            _ => findings.refuse(
                codes::INVALID_PORT,
                "spec.ports",
                format!("{} is not a port", port.port),
                "use a number from 1 to 65535",
            ),
        }
    }
    if by_port.len() > MAX_LISTENERS {
        findings.refuse(
            codes::TOO_MANY_PORTS,
            "spec.ports",
            format!("the Service has {} ports, and AWS's quota is {MAX_LISTENERS} listeners for a load balancer", by_port.len()),
            "split it into several Services",
        );
    }
    by_port.into_iter().filter_map(|(port, claims)| listener(port, &claims, target_type, findings)).collect()
}

fn listener<'a>(
    port: u16,
    claims: &[(&'a ServicePort, Protocol)],
    target_type: Option<&TargetType>,
    findings: &mut Findings,
) -> Option<ListenerPort<'a>> {
    let protocol = match claims {
        [(_, only)] => only.clone(),
        [(first, a), (second, b)] if a != b => {
            let (agree, what) = match target_type {
                Some(TargetType::Ip) => (target_port(first) == target_port(second), "targetPort"),
                Some(_) => (first.node_port == second.node_port, "nodePort"),
                None => (true, ""),
            };
            if !agree {
                findings.refuse(
                    codes::PORT_CONFLICT,
                    "spec.ports",
                    format!("{} and {} share one listener but not the {what}", describe(first), describe(second)),
                    format!("give both the same {what}, or different ports"),
                );
                return None;
            }
            Protocol::TcpUdp
        }
        _ => {
            let ports: Vec<String> = claims.iter().map(|(port, _)| describe(port)).collect();
            findings.refuse(
                codes::PORT_CONFLICT,
                "spec.ports",
                format!("{} are the same port and protocol", ports.join(" and ")),
                "give them different ports",
            );
            return None;
        }
    };
    Some(ListenerPort { port, protocol, service_ports: claims.iter().map(|(port, _)| *port).collect() })
}

#[cfg(test)]
mod tests {
    use crate::nlb::build::fixtures::build_service;

    fn listeners(ports: &str) -> Vec<String> {
        let desired = build_service(&format!("spec: {{ports: [{ports}]}}")).unwrap();
        desired.listeners.values().map(|listener| listener.target_group.to_string()).collect()
    }

    fn refused(ports: &str) -> String {
        build_service(&format!("spec: {{ports: [{ports}]}}")).unwrap_err().to_string()
    }

    #[test]
    fn ports_become_listeners_in_order() {
        let ports = "{name: b, port: 443, nodePort: 30002}, {name: a, port: 53, nodePort: 30001, protocol: UDP}";
        assert_eq!(listeners(ports), ["udp-53", "tcp-443"]);
    }

    #[test]
    fn tcp_and_udp_on_one_port_are_joined_if_they_agree() {
        let joined = "{name: t, port: 53, nodePort: 30053}, {name: u, port: 53, nodePort: 30053, protocol: UDP}";
        assert_eq!(listeners(joined), ["tcp_udp-53"]);
        let apart = "{name: t, port: 53, nodePort: 30053}, {name: u, port: 53, nodePort: 30054, protocol: UDP}";
        let refusal = refused(apart);
        assert!(refusal.contains("t (TCP 53) and u (UDP 53) share one listener but not the nodePort"), "{refusal}");
    }

    #[test]
    fn ip_targets_must_agree_on_the_target_port() {
        let service = |udp: &str| {
            build_service(&format!(
                "
metadata: {{annotations: {{service.beta.kubernetes.io/aws-load-balancer-nlb-target-type: ip}}}}
spec: {{ports: [{{name: t, port: 53, targetPort: dns}}, {{name: u, port: 53, targetPort: {udp}, protocol: UDP}}]}}"
            ))
        };
        assert!(service("dns").is_ok());
        assert!(service("dns-udp").unwrap_err().to_string().contains("not the targetPort"));
    }

    #[test]
    fn what_cannot_be_forwarded_is_refused() {
        assert!(refused("").contains("the Service has no port"));
        assert!(refused("{port: 80, nodePort: 30000, protocol: SCTP}").contains("does not forward SCTP"));
        assert!(refused("{port: 70000, nodePort: 30000}").contains("70000 is not a port"));
        assert!(refused("{port: 80, nodePort: 30000}, {port: 80, nodePort: 30001}").contains("same port and protocol"));
    }

    #[test]
    fn fifty_ports_are_the_limit() {
        let ports = |count: i32| {
            (1..=count).map(|n| format!("{{name: p{n}, port: {n}, nodePort: {}}}", 30000 + n)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(listeners(&ports(50)).len(), 50);
        let rejection = build_service(&format!("spec: {{ports: [{}]}}", ports(51))).unwrap_err();
        assert_eq!(rejection.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["TooManyPorts"]);
    }
}
