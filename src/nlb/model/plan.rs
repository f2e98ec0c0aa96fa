//! What to change, as a value: symbolic names, waves, a reason for each step. Printed before anything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::{Problem, ServiceKey};
use crate::aws::types::{
    Attributes, HealthCheck, IpAddressType, ListenerArn, LoadBalancerArn, Protocol, Rule, Scheme, SecurityGroupId, SubnetId,
    Tags, Target, TargetGroupArn, TargetType, VpcId,
};

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident, $existing:ty, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            /// It exists.
            Existing {
                /// Its name, for people.
                name: String,
                /// Its id, for AWS.
                id: $existing,
            },
            /// An earlier step of this plan creates it under this name.
            New(String),
        }
        impl $name {
            /// The name, whether or not it exists yet.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    Self::Existing { name, .. } | Self::New(name) => name,
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($symbol, "/{}"), self.name())
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

reference!(/** A load balancer of the plan. */ LoadBalancerRef, LoadBalancerArn, "load-balancer");
reference!(/** A target group of the plan. */ TargetGroupRef, TargetGroupArn, "target-group");
reference!(/** A security group of the plan. */ SecurityGroupRef, SecurityGroupId, "security-group");

/// One AWS write. The payload is complete: `apply` binds references to ids and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
pub enum Action {
    /// EC2 CreateSecurityGroup, tagged in the same call.
    CreateSecurityGroup {
        /// Group name.
        name: String,
        /// Description.
        description: String,
        /// VPC.
        vpc: VpcId,
        /// Tags.
        tags: Tags,
    },
    /// EC2 AuthorizeSecurityGroupIngress.
    AuthorizeIngress {
        /// The group.
        group: SecurityGroupRef,
        /// Rules to add.
        rules: BTreeSet<Rule>,
    },
    /// EC2 RevokeSecurityGroupIngress.
    RevokeIngress {
        /// The group.
        group: SecurityGroupRef,
        /// Rules to remove.
        rules: BTreeSet<Rule>,
    },
    /// EC2 DeleteSecurityGroup.
    DeleteSecurityGroup {
        /// The group.
        group: SecurityGroupRef,
    },
    /// EC2 CreateTags / DeleteTags.
    TagSecurityGroup {
        /// The group.
        group: SecurityGroupRef,
        /// Tags to set.
        set: Tags,
        /// Keys to remove.
        remove: BTreeSet<String>,
    },
    /// ELBv2 CreateTargetGroup, tagged in the same call.
    CreateTargetGroup {
        /// Name.
        name: String,
        /// Protocol.
        protocol: Protocol,
        /// Port.
        port: u16,
        /// Target type.
        target_type: TargetType,
        /// Address family.
        ip_address_type: IpAddressType,
        /// VPC.
        vpc: VpcId,
        /// Health check.
        health_check: HealthCheck,
        /// Tags.
        tags: Tags,
    },
    /// ELBv2 ModifyTargetGroup: the health check.
    ModifyHealthCheck {
        /// The target group.
        target_group: TargetGroupRef,
        /// The whole new health check.
        health_check: HealthCheck,
    },
    /// ELBv2 ModifyTargetGroupAttributes.
    ModifyTargetGroupAttributes {
        /// The target group.
        target_group: TargetGroupRef,
        /// Attributes to set.
        attributes: Attributes,
    },
    /// ELBv2 RegisterTargets, at most 200 each.
    RegisterTargets {
        /// The target group.
        target_group: TargetGroupRef,
        /// Targets.
        targets: BTreeSet<Target>,
    },
    /// ELBv2 DeregisterTargets, at most 200 each.
    DeregisterTargets {
        /// The target group.
        target_group: TargetGroupRef,
        /// Targets.
        targets: BTreeSet<Target>,
    },
    /// ELBv2 AddTags / RemoveTags on a target group.
    TagTargetGroup {
        /// The target group.
        target_group: TargetGroupRef,
        /// Tags to set.
        set: Tags,
        /// Keys to remove.
        remove: BTreeSet<String>,
    },
    /// ELBv2 DeleteTargetGroup.
    DeleteTargetGroup {
        /// The target group.
        target_group: TargetGroupRef,
    },
    /// ELBv2 CreateLoadBalancer, tagged in the same call.
    CreateLoadBalancer {
        /// Name.
        name: String,
        /// Scheme.
        scheme: Scheme,
        /// Address families.
        ip_address_type: IpAddressType,
        /// Subnets.
        subnets: BTreeSet<SubnetId>,
        /// Security groups.
        security_groups: BTreeSet<SecurityGroupRef>,
        /// Tags.
        tags: Tags,
    },
    /// ELBv2 SetSubnets.
    SetSubnets {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
        /// All its subnets.
        subnets: BTreeSet<SubnetId>,
    },
    /// ELBv2 SetSecurityGroups.
    SetSecurityGroups {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
        /// All its groups.
        security_groups: BTreeSet<SecurityGroupRef>,
    },
    /// ELBv2 ModifyLoadBalancerAttributes.
    ModifyLoadBalancerAttributes {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
        /// Attributes to set.
        attributes: Attributes,
    },
    /// ELBv2 AddTags / RemoveTags on a load balancer.
    TagLoadBalancer {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
        /// Tags to set.
        set: Tags,
        /// Keys to remove.
        remove: BTreeSet<String>,
    },
    /// ELBv2 DeleteLoadBalancer (its listeners go with it).
    DeleteLoadBalancer {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
    },
    /// ELBv2 CreateListener, tagged in the same call.
    CreateListener {
        /// The load balancer.
        load_balancer: LoadBalancerRef,
        /// Port.
        port: u16,
        /// Protocol.
        protocol: Protocol,
        /// Where to.
        target_group: TargetGroupRef,
        /// Tags.
        tags: Tags,
    },
    /// ELBv2 ModifyListener: protocol and target group.
    ModifyListener {
        /// Its load balancer, for people and for the inventory.
        load_balancer: LoadBalancerRef,
        /// The listener.
        listener: ListenerArn,
        /// Its port.
        port: u16,
        /// Protocol.
        protocol: Protocol,
        /// Where to.
        target_group: TargetGroupRef,
    },
    /// ELBv2 DeleteListener.
    DeleteListener {
        /// Its load balancer.
        load_balancer: LoadBalancerRef,
        /// The listener.
        listener: ListenerArn,
        /// Its port.
        port: u16,
    },
}

/// One step: steps of a wave run side by side, waves one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// 0 runs first.
    pub wave: u8,
    /// The write.
    #[serde(flatten)]
    pub action: Action,
    /// Why, in a few words: "not there", "port 81 is no longer in the Service" …
    pub reason: String,
}

/// Something that only AWS or time can bring; the run that ends on it is tried again when it may be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// The cluster's backend security group is being made.
    BackendGroup,
    /// The rules of the nodes refer to the backend group by its id, so they come after it.
    NodeRules,
    /// The load balancer is `provisioning`.
    Provisioning {
        /// Its name.
        load_balancer: String,
    },
    /// The new load balancer is not yet serving or not yet published: the old one is kept.
    Replacement {
        /// The old one's name.
        load_balancer: String,
    },
    /// A zone gets another subnet: AWS must let go of the old one before the new one can be added.
    SubnetChange {
        /// Name of the load balancer.
        load_balancer: String,
    },
}

/// Whose plan it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// One Service.
    Service(ServiceKey),
    /// What all Services of the cluster share.
    Shared,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(key) => key.fmt(f),
            Self::Shared => f.write_str("shared by all Services"),
        }
    }
}

/// What to change. Empty: nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Whose it is.
    pub subject: Subject,
    /// Steps, ordered by wave, then as found.
    pub steps: Vec<Step>,
    /// What is awaited before more can be done.
    pub waits: BTreeSet<Wait>,
    /// What stands in the way and is the user's to settle (a wanted name is someone else's …).
    pub conflicts: Vec<Problem>,
    /// Names of load balancers and target groups whose attributes must be read before the plan is complete: the user no
    /// longer asks for attributes that we once set, and only AWS knows which. The caller reads them and diffs again.
    pub needs_attributes: BTreeSet<String>,
}

/// Ids that creates of this run returned, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Load balancers.
    pub load_balancers: BTreeMap<String, LoadBalancerArn>,
    /// Target groups.
    pub target_groups: BTreeMap<String, TargetGroupArn>,
    /// Security groups.
    pub security_groups: BTreeMap<String, SecurityGroupId>,
}
