//! What should exist in AWS for one Service. Complete before the first write, and never changed afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{PortRange, Problem, ServiceKey};
use crate::aws::types::{
    Attributes, HealthCheck, IpAddressType, Protocol, Rule, Scheme, SecurityGroupId, SubnetId, Tags, Target, TargetType, VpcId,
};

/// Names a target group within its Service: protocol and port of its listener. Prints as `tcp-80`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetGroupKey {
    /// Listener port.
    pub port: u16,
    /// Listener protocol.
    pub protocol: Protocol,
}

impl fmt::Display for TargetGroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.protocol.as_str().to_ascii_lowercase(), self.port)
    }
}

impl Serialize for TargetGroupKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A security group of the load balancer, before ids are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupRef {
    /// The managed group of this Service ([`Desired::security_group`]).
    Frontend,
    /// The cluster's shared backend group (see `nlb/shared.rs`), which nodes admit.
    Backend,
    /// A group of the user's.
    Existing(SecurityGroupId),
}

/// The managed frontend security group: admits the clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DesiredSecurityGroup {
    /// Group name, unique in the VPC.
    pub name: String,
    /// Description, set once.
    pub description: String,
    /// VPC.
    pub vpc: VpcId,
    /// All its ingress rules: what is not listed is revoked (we own the group whole).
    pub ingress: BTreeSet<Rule>,
    /// All tags we set.
    pub tags: Tags,
}

/// The load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DesiredLoadBalancer {
    /// Name: hashed from cluster, UID and whatever is immutable, or the user's own.
    pub name: String,
    /// Immutable.
    pub scheme: Scheme,
    /// Address families.
    pub ip_address_type: IpAddressType,
    /// One subnet for each zone.
    pub subnets: BTreeSet<SubnetId>,
    /// Its groups; never empty (an NLB made without groups can never gain one).
    pub security_groups: BTreeSet<GroupRef>,
    /// The attributes the user asked for. An attribute that is not listed must have AWS's default if we ever set it.
    pub attributes: Attributes,
    /// All tags we set.
    pub tags: Tags,
}

/// One listener; keyed by port in [`Desired::listeners`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DesiredListener {
    /// Protocol.
    pub protocol: Protocol,
    /// The group it forwards to.
    pub target_group: TargetGroupKey,
    /// All tags we set.
    pub tags: Tags,
}

/// One target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DesiredTargetGroup {
    /// Name: hashed from cluster, UID, key and whatever is immutable.
    pub name: String,
    /// Immutable.
    pub protocol: Protocol,
    /// Only cosmetic (targets carry their own), immutable, not compared.
    pub port: u16,
    /// Immutable.
    pub target_type: TargetType,
    /// Immutable.
    pub ip_address_type: IpAddressType,
    /// VPC, immutable.
    pub vpc: VpcId,
    /// Health check.
    pub health_check: HealthCheck,
    /// The attributes the user asked for; see [`DesiredLoadBalancer::attributes`].
    pub attributes: Attributes,
    /// All tags we set.
    pub tags: Tags,
    /// Who should be registered.
    pub targets: BTreeSet<Target>,
}

/// Everything that should exist for one Service; nothing at all for one that goes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Desired {
    /// Whose it is.
    pub service: ServiceKey,
    /// The load balancer.
    pub load_balancer: Option<DesiredLoadBalancer>,
    /// The managed frontend group, unless the user brings his own.
    pub security_group: Option<DesiredSecurityGroup>,
    /// Listeners by port.
    pub listeners: BTreeMap<u16, DesiredListener>,
    /// Target groups by key.
    pub target_groups: BTreeMap<TargetGroupKey, DesiredTargetGroup>,
    /// Protocol (`tcp` or `udp`) and ports on which targets must admit the load balancer: what the shared node rules are
    /// made from. Empty when the user manages security groups.
    pub backend_ports: BTreeSet<(String, PortRange)>,
    /// Worth telling the user, though nothing is refused (say a subnet that was passed over).
    pub notices: Vec<Problem>,
}

impl Desired {
    /// What a Service needs that is not ours, or not there any more: nothing.
    #[must_use]
    pub fn nothing(service: ServiceKey) -> Self {
        Self {
            service,
            load_balancer: None,
            security_group: None,
            listeners: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            backend_ports: BTreeSet::new(),
            notices: Vec::new(),
        }
    }

    /// What it needs of what all Services share.
    #[must_use]
    pub fn shared_need(&self) -> SharedNeed {
        let groups = self.load_balancer.iter().flat_map(|load_balancer| &load_balancer.security_groups);
        SharedNeed { group: groups.into_iter().any(|group| *group == GroupRef::Backend), ports: self.backend_ports.clone() }
    }
}

/// What one Service needs of what all share; nothing if it goes away or brings its own security groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedNeed {
    /// Whether its load balancer is in the backend group. It may be so without a port: nobody may know yet where pods listen.
    pub group: bool,
    /// See [`Desired::backend_ports`].
    pub ports: BTreeSet<(String, PortRange)>,
}

/// What all Services of the cluster share: the backend group that every managed load balancer is in, and the rules by which
/// nodes admit it. Derived from all owned Services; empty when there is none, so that it is released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DesiredShared {
    /// The backend group; `None` when no Service needs it any more.
    pub backend: Option<DesiredSecurityGroup>,
    /// For each node security group the rules it must have from us.
    pub node_rules: BTreeMap<SecurityGroupId, BTreeSet<Rule>>,
}
