//! What a Service's load balancer is derived from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Serialize;

use crate::aws::types::{InstanceId, Scheme, SecurityGroup, Subnet, SubnetId, Tags, TargetType, VpcId};

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceKey {
    /// Of a Service; `None` only for one that was not read from an API server.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        Some(Self { namespace: service.metadata.namespace.clone()?, name: service.metadata.name.clone()? })
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// The operator's settings that shape load balancers; from flags, the same for all Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `--cluster-name`: value of the ownership tag, input of every name.
    pub cluster_name: String,
    /// `--default-target-type`.
    pub default_target_type: TargetType,
    /// `--default-scheme`.
    pub default_scheme: Scheme,
    /// `--default-tags`: on everything we create; win over a Service's own tags.
    pub default_tags: Tags,
    /// `--node-port-range`: opened on node security groups for instance targets.
    pub node_port_range: PortRange,
}

/// Where the Service's load balancer is now. Kept when discovery runs again: a zone is never dropped because its
/// subnet ran low on addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Current scheme.
    pub scheme: Scheme,
    /// Current subnets.
    pub subnets: BTreeSet<SubnetId>,
}

/// What AWS says about the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The cluster's VPC.
    pub vpc: Option<VpcId>,
    /// CIDRs of the VPC.
    pub vpc_cidrs: Vec<ipnet::Ipv4Net>,
    /// All subnets of the VPC.
    pub subnets: Vec<Subnet>,
    /// Subnets whose route table leads to an internet gateway; `None` when not asked for (some subnet bears a role tag).
    pub public_subnets: Option<BTreeSet<SubnetId>>,
    /// Security groups that Services name in annotations, by id or by tag `Name`; those not found are missing here.
    pub security_groups: Vec<SecurityGroup>,
    /// Instances of nodes that AWS refused as targets, and does not show as running (any more, or yet).
    pub missing_instances: BTreeSet<InstanceId>,
}

/// Everything that [`crate::nlb::build`] reads. Two equal `Inputs` give equal `Desired`.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The Service.
    pub service: Arc<Service>,
    /// All nodes of the cluster.
    pub nodes: Vec<Arc<Node>>,
    /// The Service's endpoint slices.
    pub endpoint_slices: Vec<Arc<EndpointSlice>>,
    /// AWS facts.
    pub network: Arc<NetworkFacts>,
    /// Where its load balancer is now, if there is one.
    pub placement: Option<Placement>,
    /// Settings.
    pub policy: Arc<Policy>,
}

impl Inputs {
    /// The Service's key; empty strings never occur for an object read from an API server.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        ServiceKey {
            namespace: self.service.metadata.namespace.clone().unwrap_or_default(),
            name: self.service.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// The Service's annotations.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.service.metadata.annotations.clone().unwrap_or_default()
    }
}
