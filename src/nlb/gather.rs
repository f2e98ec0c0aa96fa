//! Object stores + AWS network facts → [`Inputs`]. Facts are read once and kept until the next sweep.
//!
//! May import `aws`, `build` (what it needs looked up), `model`, kube's stores. Neighbour: `build.rs` takes the result.

mod slices;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::runtime::reflector::{ObjectRef, Store};
pub use slices::{Slices, service_of};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::types::{InstanceId, SecurityGroup, Subnet, SubnetId, VpcId};
use crate::aws::{Aws, AwsError, SecurityGroupFilter};
use crate::clock;
use crate::nlb::build;
use crate::nlb::model::{Inputs, NetworkFacts, Placement, Policy, ServiceKey};

/// Between two times that facts are read anew because a Service was rejected for them.
const DOUBT_PAUSE: Duration = Duration::from_secs(10);

/// The cluster's objects, as the watches hold them.
#[derive(Clone)]
pub struct Cluster {
    /// All Services in the watched namespaces.
    pub services: Store<Service>,
    /// Their endpoint slices.
    pub endpoint_slices: Slices,
    /// All nodes.
    pub nodes: Store<Node>,
}

impl Cluster {
    /// One Service.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.services.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// Instance ids of all nodes that have one.
    #[must_use]
    pub fn instances(&self) -> BTreeSet<InstanceId> {
        self.nodes.state().iter().filter_map(|node| build::instance_of(node)).collect()
    }
}

/// Facts of one sweep period. Each is read by the first who needs it while the others wait for that one call.
#[derive(Default)]
struct Facts {
    subnets: OnceCell<Vec<Subnet>>,
    public_subnets: OnceCell<BTreeSet<SubnetId>>,
    vpc_cidrs: OnceCell<Vec<ipnet::Ipv4Net>>,
    /// Groups that annotations name. A name that nothing bears is asked for again.
    groups: Mutex<BTreeMap<String, Vec<SecurityGroup>>>,
}

/// Makes [`Inputs`].
#[derive(Clone)]
pub struct Gatherer {
    /// The stores.
    pub cluster: Cluster,
    aws: Aws,
    vpc: VpcId,
    policy: Arc<Policy>,
    facts: Arc<Mutex<Arc<Facts>>>,
    missing_instances: Arc<Mutex<BTreeSet<InstanceId>>>,
    /// When facts were last doubted.
    doubted: Arc<Mutex<Option<Instant>>>,
}

impl Gatherer {
    /// A gatherer that has read nothing yet.
    #[must_use]
    pub fn new(cluster: Cluster, aws: Aws, vpc: VpcId, policy: Arc<Policy>) -> Self {
        Self { cluster, aws, vpc, policy, facts: Arc::default(), missing_instances: Arc::default(), doubted: Arc::default() }
    }

    /// The VPC.
    #[must_use]
    pub fn vpc(&self) -> &VpcId {
        &self.vpc
    }

    /// The operator's settings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Zones of the VPC's subnets, as far as they were read.
    #[must_use]
    pub fn zones(&self) -> BTreeMap<SubnetId, String> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        facts.subnets.get().into_iter().flatten().map(|subnet| (subnet.id.clone(), subnet.zone.clone())).collect()
    }

    /// Reads the facts anew when they are needed next.
    pub fn forget_facts(&self) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// The same after a Service was rejected for what the facts lack: whoever makes it in AWS and then edits the Service must not
    /// meet what was read before. Not for each of many such Services.
    pub fn doubt_facts(&self) {
        let now = clock::now();
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        if doubted.is_none_or(|at| now.duration_since(at) >= DOUBT_PAUSE) {
            *doubted = Some(now);
            self.forget_facts();
        }
    }

    /// Instances of nodes that are known not to be there: they are left out of the targets, for one that AWS does not know fails
    /// the registration of all others.
    #[must_use]
    pub fn missing_instances(&self) -> BTreeSet<InstanceId> {
        self.missing_instances.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks AWS whether these instances of nodes, and those known as missing, are there. Returns whether that is news.
    ///
    /// # Errors
    /// The read failed.
    pub async fn check_instances(&self, suspects: &BTreeSet<InstanceId>) -> Result<bool, AwsError> {
        let known = self.missing_instances();
        let of_nodes = self.cluster.instances();
        let suspects: Vec<InstanceId> = known.union(suspects).filter(|id| of_nodes.contains(id)).cloned().collect();
        let mut missing: BTreeSet<InstanceId> = suspects.iter().cloned().collect();
        if !suspects.is_empty() {
            for instance in self.aws.instances(&suspects).await? {
                missing.remove(&instance.id);
            }
        }
        let news = missing != known;
        *self.missing_instances.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        Ok(news)
    }

    /// Everything that `build` needs for one Service.
    ///
    /// # Errors
    /// The first read that failed.
    pub async fn gather(
        &self,
        key: &ServiceKey,
        service: Arc<Service>,
        placement: Option<Placement>,
    ) -> Result<Inputs, AwsError> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lookups = build::lookups(&service, &self.policy);
        let subnets = facts.subnets.get_or_try_init(async || self.aws.subnets(&self.vpc).await).await?.clone();
        let public_subnets = if build::reachability_needed(&subnets) {
            let read = async || self.aws.public_subnets(&self.vpc, &subnets).await;
            Some(facts.public_subnets.get_or_try_init(read).await?.clone())
        } else {
            None
        };
        let vpc_cidrs = if lookups.vpc_cidrs {
            let read = async || self.aws.vpc_cidrs(&self.vpc).await;
            facts.vpc_cidrs.get_or_try_init(read).await?.clone()
        } else {
            Vec::new()
        };
        let security_groups = self.named_groups(&facts, &lookups.security_groups).await?;
        Ok(Inputs {
            service,
            nodes: self.cluster.nodes.state(),
            endpoint_slices: self.cluster.endpoint_slices.of(key),
            network: Arc::new(NetworkFacts {
                vpc: Some(self.vpc.clone()),
                vpc_cidrs,
                subnets,
                public_subnets,
                security_groups,
                missing_instances: self.missing_instances(),
            }),
            placement,
            policy: self.policy.clone(),
        })
    }

    /// Security groups by id or by tag `Name`.
    async fn named_groups(&self, facts: &Facts, wanted: &BTreeSet<String>) -> Result<Vec<SecurityGroup>, AwsError> {
        let unknown: BTreeSet<&String> = {
            let known = facts.groups.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().filter(|name| !known.contains_key(*name)).collect()
        };
        let (ids, names): (BTreeSet<&String>, BTreeSet<&String>) = unknown.iter().partition(|name| name.starts_with("sg-"));
        let mut found = Vec::new();
        if !ids.is_empty() {
            let ids = SecurityGroupFilter::Ids(ids.iter().map(|id| id.as_str().into()).collect());
            found.extend(self.aws.security_groups(&ids).await?);
        }
        if !names.is_empty() {
            let names =
                SecurityGroupFilter::NameTags { vpc: self.vpc.clone(), names: names.iter().map(ToString::to_string).collect() };
            found.extend(self.aws.security_groups(&names).await?);
        }
        let mut known = facts.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for name in unknown {
            let named = |group: &&SecurityGroup| group.id.as_str() == name || group.tags.get("Name") == Some(name);
            let bearers: Vec<SecurityGroup> = found.iter().filter(named).cloned().collect();
            if !bearers.is_empty() {
                known.insert(name.clone(), bearers);
            }
        }
        Ok(wanted.iter().filter_map(|name| known.get(name)).flatten().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
