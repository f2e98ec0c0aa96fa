//! AWS's quotas, per account and region: defaults of the NLB user guide ("Quotas for your Network Load Balancers") and of the VPC
//! user guide, and settable.
//!
//! Plain data; imports nothing of the crate.

use serde::{Deserialize, Serialize};

/// How much of everything there may be. In JSON a field that is not named keeps its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Network load balancers in a region (`TooManyLoadBalancers`).
    pub load_balancers: usize,
    /// Target groups in a region (`TooManyTargetGroups`).
    pub target_groups: usize,
    /// Listeners of a load balancer (`TooManyListeners`); AWS does not raise it.
    pub listeners_per_load_balancer: usize,
    /// Certificates of a load balancer, not counting the default ones (`TooManyCertificates`).
    pub certificates_per_load_balancer: usize,
    /// Network interfaces of network load balancers in a VPC (`TooManyLoadBalancers`).
    pub interfaces_per_vpc: usize,
    /// Targets of a target group (`TooManyTargets`).
    pub targets_per_target_group: usize,
    /// Targets of a load balancer (`TooManyTargets`).
    pub targets_per_load_balancer: usize,
    /// Targets of a load balancer in one zone; in all zones together when it balances across zones (`TooManyTargets`).
    pub targets_per_zone: usize,
    /// Security groups of a load balancer's interface (`InvalidConfigurationRequest`).
    pub security_groups_per_interface: usize,
    /// Rules of a security group, each way (`RulesPerSecurityGroupLimitExceeded`).
    pub rules_per_security_group: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            load_balancers: 50,
            target_groups: 3000,
            listeners_per_load_balancer: 50,
            certificates_per_load_balancer: 25,
            interfaces_per_vpc: 1200,
            targets_per_target_group: 1000,
            targets_per_load_balancer: 3000,
            targets_per_zone: 500,
            security_groups_per_interface: 5,
            rules_per_security_group: 60,
        }
    }
}
