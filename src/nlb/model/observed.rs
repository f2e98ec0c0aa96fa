//! What AWS shows of one Service: everything that bears its ownership tags, and whatever occupies a wanted name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::aws::types::{
    Attributes, Listener, LoadBalancer, SecurityGroup, SecurityGroupId, SubnetId, Tags, TargetGroup, Targets,
};

/// A load balancer with all that hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedLoadBalancer {
    /// The load balancer.
    pub load_balancer: LoadBalancer,
    /// Its tags.
    pub tags: Tags,
    /// Its listeners by port.
    pub listeners: BTreeMap<u16, Listener>,
    /// Its attributes, when read lately; else the tag `landfall/attributes` tells whether they are as we set them.
    pub attributes: Option<Attributes>,
}

/// A target group with its targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedTargetGroup {
    /// The target group.
    pub target_group: TargetGroup,
    /// Its tags.
    pub tags: Tags,
    /// Its targets, draining ones included.
    #[serde(skip)]
    pub targets: Targets,
    /// Its attributes, as in [`ObservedLoadBalancer::attributes`].
    pub attributes: Option<Attributes>,
}

/// A security group that bears the Service's tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObservedSecurityGroup {
    /// The group.
    pub group: SecurityGroup,
}

/// Everything of one Service, by name. More than one load balancer while one replaces another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Load balancers by name.
    pub load_balancers: BTreeMap<String, ObservedLoadBalancer>,
    /// Target groups by name.
    pub target_groups: BTreeMap<String, ObservedTargetGroup>,
    /// Managed frontend groups by name.
    pub security_groups: BTreeMap<String, ObservedSecurityGroup>,
    /// The cluster's shared backend group; `None` until `nlb/shared.rs` has made it.
    pub backend_group: Option<SecurityGroupId>,
    /// Host name in the Service's status now: an old load balancer stays until the new one's name is published.
    pub published_host_name: Option<String>,
    /// Zones of the VPC's subnets: AWS refuses to exchange a subnet for another of the same zone in one call. A subnet that
    /// is missing here counts as alone in its zone.
    pub zones: BTreeMap<SubnetId, String>,
}

impl Observed {
    /// Whether AWS holds nothing of this Service: the condition for removing the finalizer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.load_balancers.is_empty() && self.target_groups.is_empty() && self.security_groups.is_empty()
    }
}

/// What AWS shows of the shared parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObservedShared {
    /// The backend group, found by its ownership tags.
    pub backend: Option<SecurityGroup>,
    /// Every group that is a node's or has a rule that refers to the backend group, by id.
    pub node_groups: BTreeMap<SecurityGroupId, SecurityGroup>,
}
