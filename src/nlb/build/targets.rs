//! Targets: node ports of eligible instances, or addresses of ready endpoints.
//!
//! A terminating endpoint is taken out at once, for AWS goes on sending to it for minutes. A node or endpoint that cannot be
//! used is left out and told of; it never fails the Service. Uses the model and `codes`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Node, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::codes::{self, Findings, listing};
use super::listeners::ListenerPort;
use crate::aws::types::{InstanceId, Target};
use crate::nlb::model::Inputs;

/// Targets that a target group can have (NLB user guide, "Quotas").
const MAX_TARGETS: usize = 1000;
/// What AWS wants as zone of an address outside the VPC (ELBv2 API reference, TargetDescription).
const OUTSIDE: &str = "all";

const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const COMPUTE_TYPE_LABEL: &str = "eks.amazonaws.com/compute-type";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Taints of nodes that are about to go, or not yet set up.
const TAINTS: &[&str] =
    &["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "node.cloudprovider.kubernetes.io/uninitialized"];

/// Whatever targets can be, found once for all ports of the Service.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Ids of eligible instances.
    instances: BTreeSet<String>,
    /// Zones that they lie in.
    zones: BTreeSet<String>,
}

impl Candidates {
    /// The instances of eligible nodes.
    pub(super) fn instances(inputs: &Inputs, findings: &mut Findings) -> Self {
        let missing = &inputs.network.missing_instances;
        let wanted: Vec<&Node> = inputs.nodes.iter().map(AsRef::as_ref).filter(|node| is_wanted(node)).collect();
        let is_ready = |node: &&Node| ready_status(node) == Some("True");
        // When the control plane has lost sight of all nodes, they are more probably alive than not.
        let accepted = if wanted.iter().any(is_ready) { "True" } else { "Unknown" };
        let mut candidates = Self::default();
        let mut skipped = Vec::new();
        for node in wanted.into_iter().filter(|node| ready_status(node) == Some(accepted)) {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let provider_id = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref()).unwrap_or_default();
            match instance_id(provider_id) {
                Some(id) if missing.contains(&InstanceId::from(id)) => skipped.push(format!("{name} ({id} is not running)")),
                Some(id) => {
                    candidates.instances.insert(id.to_owned());
                    candidates.zones.extend(zone(node, provider_id));
                }
                None => skipped.push(format!("{name} ({provider_id:?})")),
            }
        }
        if !skipped.is_empty() {
            skipped.sort_unstable();
            findings.tell(
                codes::NODE_SKIPPED,
                "Node spec.providerID",
                format!("these nodes are no targets, for they do not tell an EC2 instance that is there: {}", listing(&skipped, ", ")),
                "let the cloud controller manager set `aws:///<zone>/<instance id>`, label them to be excluded from load balancers, or \
                 delete the Node",

            );
        }
        candidates
    }

    /// The zones that endpoints lie in, as far as they tell.
    pub(super) fn endpoints(slices: &[std::sync::Arc<EndpointSlice>]) -> Self {
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).filter(|endpoint| is_serving(endpoint));
        Self { instances: BTreeSet::new(), zones: endpoints.filter_map(|endpoint| endpoint.zone.clone()).collect() }
    }

    /// Every instance, at this node port.
    pub(super) fn at(&self, node_port: u16) -> BTreeSet<Target> {
        let target = |id: &String| Target { id: id.clone(), port: node_port, availability_zone: None };
        self.instances.iter().map(target).collect()
    }

    /// Tells of zones that have targets but no subnet of the load balancer (`served`: the zones that have one).
    pub(super) fn warn_of_zones(&self, served: &BTreeSet<String>, findings: &mut Findings) {
        let missing: Vec<&String> = self.zones.difference(served).collect();
        if !missing.is_empty() && !served.is_empty() {
            findings.tell(
                codes::ZONE_NOT_SERVED,
                super::annotations::SUBNETS.full_key(),
                format!("targets in zones without a subnet of the load balancer get no traffic: {}", listing(&missing, ", ")),
                "give the load balancer a subnet in those zones, or keep targets out of them",
            );
        }
    }
}

/// The addresses of ready endpoints behind a listener.
pub(super) fn addresses(inputs: &Inputs, listener: &ListenerPort<'_>) -> BTreeSet<Target> {
    let cidrs = &inputs.network.vpc_cidrs;
    let mut targets = BTreeSet::new();
    for slice in inputs.endpoint_slices.iter().filter(|slice| slice.address_type == "IPv4") {
        for port in listener.service_ports.iter().filter_map(|port| endpoint_port(slice, port)) {
            for endpoint in slice.endpoints.iter().flatten().filter(|endpoint| is_serving(endpoint)) {
                for address in endpoint.addresses.iter().filter_map(|address| address.parse::<Ipv4Addr>().ok()) {
                    let outside = !cidrs.is_empty() && !cidrs.iter().any(|cidr| cidr.contains(&address));
                    let availability_zone = outside.then(|| OUTSIDE.to_owned());
                    targets.insert(Target { id: address.to_string(), port, availability_zone });
                }
            }
        }
    }
    targets
}

/// Keeps to the quota, always with the same targets.
pub(super) fn truncate(targets: BTreeSet<Target>, listener: &ListenerPort<'_>, findings: &mut Findings) -> BTreeSet<Target> {
    if targets.len() > MAX_TARGETS {
        findings.tell(
            codes::TARGETS_TRUNCATED,
            "spec.ports",
            format!("port {} has more targets than AWS's quota of {MAX_TARGETS} for a target group", listener.port),
            "use fewer nodes (label the others to be excluded from load balancers) or fewer pods",
        );
    }
    targets.into_iter().take(MAX_TARGETS).collect()
}

/// Number of the Service's port in this slice.
fn endpoint_port(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let same = slice.ports.iter().flatten().find(|candidate| {
        candidate.name.as_deref().unwrap_or_default() == name && candidate.protocol.as_deref().unwrap_or("TCP") == protocol
    });
    same.and_then(|port| port.port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

/// Whether new connections may go to it (EndpointSlice API, EndpointConditions: an absent `ready` means yes).
fn is_serving(endpoint: &Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else { return true };
    let terminating = conditions.terminating.unwrap_or(false);
    !terminating && (conditions.ready.unwrap_or(true) || conditions.serving.unwrap_or(false))
}

/// Whether a node may be a target, its readiness apart.
fn is_wanted(node: &Node) -> bool {
    let label = |key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    // Like the cloud controller manager: only a clear "false" keeps the node in.
    let excluded = label(EXCLUDE_LABEL).is_some_and(|value| !matches!(value, "0" | "f" | "F" | "false" | "False" | "FALSE"));
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let tainted = taints.into_iter().any(|taint| TAINTS.contains(&taint.key.as_str()));
    let fargate = label(COMPUTE_TYPE_LABEL) == Some("fargate");
    !excluded && !tainted && !fargate && node.metadata.deletion_timestamp.is_none()
}

/// The EC2 instance of a node, if it tells.
#[must_use]
pub fn instance_of(node: &Node) -> Option<InstanceId> {
    instance_id(node.spec.as_ref()?.provider_id.as_deref()?).map(InstanceId::from)
}

/// Everything about a node that [`super::build`] reads: as long as it is equal, nothing changes for any load balancer.
#[must_use]
pub fn traits(node: &Node) -> impl PartialEq + use<> {
    let provider_id = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
    (is_wanted(node), ready_status(node).map(str::to_owned), zone(node, provider_id.as_deref().unwrap_or_default()), provider_id)
}

fn ready_status(node: &Node) -> Option<&str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status.as_str())
}

/// `i-…` of `aws:///<zone>/i-…`.
fn instance_id(provider_id: &str) -> Option<&str> {
    let id = provider_id.strip_prefix("aws://")?.rsplit('/').next()?;
    let digits = id.strip_prefix("i-")?;
    (!digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())).then_some(id)
}

fn zone(node: &Node, provider_id: &str) -> Option<String> {
    let label = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE_LABEL)).cloned();
    label.or_else(|| provider_id.strip_prefix("aws:///")?.split_once('/').map(|(zone, _)| zone.to_owned()))
}

#[cfg(test)]
mod tests;
