//! AWS → [`Observed`]: one inventory shared by all Services, not a listing per Service.
//!
//! A reconcile reads AWS only for what the inventory does not know. `inventory.rs` holds it; this file fills it.
//! May import `aws`, `build` (names and tags), `model`. Neighbours: `sweep.rs` and `pending.rs` refresh it, `apply.rs` records.

mod inventory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use futures::try_join;

pub use inventory::Inventory;
use inventory::Listing;

use crate::aws::types::{InstanceId, LoadBalancer, SecurityGroup, SecurityGroupId, SubnetId, Tags, TargetGroup, VpcId};
use crate::aws::{Aws, AwsError, SecurityGroupFilter};
use crate::nlb::build::{names, tags};
use crate::nlb::model::{Observed, ObservedLoadBalancer, ObservedShared, ServiceKey};

/// How many attributes a sweep reads: the longest unread first. Attributes are read one object at a time, so all of a large
/// cluster would cost more calls than everything else together.
const ATTRIBUTES_PER_SWEEP: usize = 5;

/// Calls of a sweep that are under way at once.
const SWEEP_CALLS: usize = 8;

/// Reads AWS into the inventory and the inventory into [`Observed`].
#[derive(Clone)]
pub struct Observer {
    aws: Aws,
    vpc: VpcId,
    cluster_name: String,
    inventory: Arc<Mutex<Inventory>>,
    /// One listing at a time: whoever waits here finds the first one's result.
    listing: Arc<tokio::sync::Mutex<()>>,
    /// Names whose attributes were read, oldest first.
    attributes_read: Arc<Mutex<Vec<String>>>,
}

impl Observer {
    /// An observer with an empty inventory.
    #[must_use]
    pub fn new(aws: Aws, vpc: VpcId, cluster_name: String) -> Self {
        Self {
            aws,
            vpc,
            inventory: Arc::new(Mutex::new(Inventory::new(cluster_name.clone()))),
            cluster_name,
            listing: Arc::default(),
            attributes_read: Arc::default(),
        }
    }

    /// The inventory, for `apply` and `pending`; never to be held over an await.
    pub fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What AWS holds of one Service. `custom_name`: a load balancer name chosen by the user, which others may have taken.
    ///
    /// # Errors
    /// The first read that failed.
    pub async fn observe(
        &self,
        key: &ServiceKey,
        custom_name: Option<&str>,
        published_host_name: Option<String>,
    ) -> Result<Observed, AwsError> {
        self.ensure_listed().await?;
        let began = self.inventory().begin_listing();
        let (load_balancers, target_groups) = self.inventory().unread(key);
        try_join!(self.read_listeners(began, &load_balancers), self.read_targets(began, &target_groups))?;
        let mut observed = self.inventory().observed(key, published_host_name);
        if let Some(name) = custom_name.filter(|name| !observed.load_balancers.contains_key(*name)) {
            self.add_occupant(name, &mut observed).await?;
        }
        Ok(observed)
    }

    /// What AWS holds of the shared parts; `instances`: the cluster's nodes, whose security groups are looked up when new.
    ///
    /// # Errors
    /// The first read that failed.
    pub async fn observe_shared(&self, instances: &BTreeSet<InstanceId>) -> Result<ObservedShared, AwsError> {
        self.ensure_listed().await?;
        self.ensure_instances(instances).await?;
        Ok(self.inventory().observed_shared())
    }

    /// Reads the attributes of load balancers and target groups that `diff` could not judge without.
    ///
    /// # Errors
    /// The first read that failed.
    pub async fn read_attributes(&self, names: &BTreeSet<String>) -> Result<(), AwsError> {
        let began = self.inventory().begin_listing();
        self.read_attributes_since(began, names).await
    }

    async fn read_attributes_since(&self, began: u64, names: &BTreeSet<String>) -> Result<(), AwsError> {
        try_join_all(names.iter().map(async |name| {
            let (load_balancer, target_group) = {
                let inventory = self.inventory();
                (
                    inventory.load_balancer(name).map(|entry| entry.load_balancer.arn.clone()),
                    inventory.target_group(name).map(|entry| entry.target_group.arn.clone()),
                )
            };
            let attributes = match (load_balancer, target_group) {
                (Some(arn), _) => self.aws.load_balancer_attributes(&arn).await?,
                (None, Some(arn)) => self.aws.target_group_attributes(&arn).await?,
                (None, None) => return Ok(()),
            };
            self.inventory().set_attributes(name, began, attributes);
            Ok(())
        }))
        .await
        .map(drop)
    }

    /// Re-reads everything of ours, listeners and targets included, in batches where AWS has them.
    ///
    /// # Errors
    /// A listing that failed: the inventory is then as it was. Or instances, their groups or attributes that could not be read
    /// afterwards: it then holds what was listed.
    pub async fn sweep(&self, instances: &BTreeSet<InstanceId>) -> Result<(), AwsError> {
        // The same inventory, by calls that give way to others'.
        Self { aws: self.aws.in_background(), ..self.clone() }.read_all(instances).await
    }

    async fn read_all(&self, instances: &BTreeSet<InstanceId>) -> Result<(), AwsError> {
        let mut listing = Box::pin(self.list()).await?;
        let load_balancers: Vec<_> = listing.load_balancers.iter().map(|(load_balancer, _)| load_balancer.clone()).collect();
        let target_groups: Vec<_> = listing.target_groups.iter().map(|(target_group, _)| target_group.clone()).collect();
        // Few at a time, so that what users wait for is not kept waiting. One object that cannot be read is read by the run
        // of its Service; one that vanished meanwhile is simply not there any more.
        let listeners = stream::iter(load_balancers.clone()).map(|lb| {
            let aws = self.aws.clone();
            async move { (patiently(|| aws.listeners(&lb.arn)).await, lb) }
        });
        let listeners: Vec<_> = listeners.buffer_unordered(SWEEP_CALLS).collect().await;
        for (answer, load_balancer) in listeners {
            match answer {
                Ok(listeners) => {
                    let by_port = listeners.into_iter().map(|listener| (listener.port, listener)).collect();
                    listing.listeners.insert(load_balancer.arn.clone(), by_port);
                }
                Err(error) if error.is_gone() => listing.load_balancers.retain(|(lb, _)| lb.arn != load_balancer.arn),
                Err(error) => tracing::debug!(%error, load_balancer = load_balancer.name, "listeners not read by the sweep"),
            }
        }
        let targets = stream::iter(target_groups.clone()).map(|group| {
            let aws = self.aws.clone();
            async move { (patiently(|| aws.target_health(&group.arn)).await, group) }
        });
        let targets: Vec<_> = targets.buffer_unordered(SWEEP_CALLS).collect().await;
        for (answer, group) in targets {
            match answer {
                Ok(targets) => {
                    listing.targets.insert(group.name.clone(), targets);
                }
                Err(error) if error.is_gone() => listing.target_groups.retain(|(tg, _)| tg.arn != group.arn),
                Err(error) => tracing::debug!(%error, target_group = group.name, "targets not read by the sweep"),
            }
        }
        self.inventory().take(listing);
        // Instances may have been given other security groups. Exchanged as a whole: none is ever unknown in between.
        let wanted: Vec<InstanceId> = instances.iter().cloned().collect();
        let read = if wanted.is_empty() { Vec::new() } else { self.aws.instances(&wanted).await? };
        self.inventory().set_instances(read);
        self.ensure_node_groups().await?;
        let began = self.inventory().begin_listing();
        self.read_attributes_since(began, &self.attributes_due(&load_balancers, &target_groups)).await
    }

    /// Makes sure that the inventory holds a listing that began after the last surprise.
    ///
    /// # Errors
    /// The first read that failed.
    pub async fn ensure_listed(&self) -> Result<(), AwsError> {
        if !self.inventory().needs_listing() {
            return Ok(());
        }
        let _one_at_a_time = self.listing.lock().await;
        if !self.inventory().needs_listing() {
            return Ok(());
        }
        let listing = Box::pin(self.list()).await?;
        self.inventory().take(listing);
        Ok(())
    }

    /// The shared listings: load balancers, target groups, our security groups, then tags of what may be ours.
    async fn list(&self) -> Result<Listing, AwsError> {
        let began = self.inventory().begin_listing();
        let tagged = SecurityGroupFilter::Tagged {
            vpc: self.vpc.clone(),
            key: tags::CLUSTER.to_owned(),
            value: self.cluster_name.clone(),
        };
        let (load_balancers, target_groups, security_groups) =
            try_join!(self.aws.load_balancers(), self.aws.target_groups(), self.aws.security_groups(&tagged),)?;

        // Names and references tell which may be ours, so that no tag of the account's other load balancers is ever read.
        let prefix = names::cluster_prefix(&self.cluster_name);
        let groups: BTreeSet<&SecurityGroupId> = security_groups.iter().map(|group| &group.id).collect();
        // What is in another VPC belongs to another cluster, even one that was given the same name and so writes the same tags.
        let is_here = |group: &TargetGroup| group.vpc.as_ref().is_none_or(|vpc| *vpc == self.vpc);
        let target_groups: Vec<TargetGroup> =
            target_groups.into_iter().filter(|group| group.name.starts_with(&prefix) && is_here(group)).collect();
        let referred: BTreeSet<_> = target_groups.iter().flat_map(|group| &group.load_balancers).collect();
        let load_balancers: Vec<LoadBalancer> = load_balancers
            .into_iter()
            .filter(|lb| lb.vpc == self.vpc)
            .filter(|lb| {
                lb.name.starts_with(&prefix)
                    || referred.contains(&lb.arn)
                    || lb.security_groups.iter().any(|id| groups.contains(id))
            })
            .collect();
        let arns: Vec<String> = load_balancers
            .iter()
            .map(|lb| lb.arn.to_string())
            .chain(target_groups.iter().map(|group| group.arn.to_string()))
            .collect();
        let backend = security_groups.iter().find(|group| tags::is_backend(&group.tags, &self.cluster_name));
        let (mut tags, node_groups) = try_join!(self.aws.tags(&arns), self.node_groups(backend.map(|group| &group.id)))?;

        let ours = |tags: &BTreeMap<String, String>| tags::owner(tags, &self.cluster_name).is_some();
        Ok(Listing {
            began,
            load_balancers: load_balancers
                .into_iter()
                .filter_map(|lb| tags.remove(lb.arn.as_str()).filter(&ours).map(|tags| (lb, tags)))
                .collect(),
            target_groups: target_groups
                .into_iter()
                .filter_map(|group| tags.remove(group.arn.as_str()).filter(&ours).map(|tags| (group, tags)))
                .collect(),
            security_groups,
            node_groups,
            ..Listing::default()
        })
    }

    /// Groups with rules that refer to the backend group, and those of the instances known so far.
    async fn node_groups(&self, backend: Option<&SecurityGroupId>) -> Result<Vec<SecurityGroup>, AwsError> {
        let ids: BTreeSet<SecurityGroupId> =
            self.inventory().instances().values().flat_map(|instance| instance.security_groups.clone()).collect();
        let mut groups = match backend {
            Some(id) => {
                let referring = SecurityGroupFilter::Referring { vpc: self.vpc.clone(), to: id.clone() };
                self.aws.security_groups(&referring).await?
            }
            None => Vec::new(),
        };
        let missing: BTreeSet<SecurityGroupId> =
            ids.into_iter().filter(|id| groups.iter().all(|group| group.id != *id)).collect();
        if !missing.is_empty() {
            groups.extend(self.aws.security_groups(&SecurityGroupFilter::Ids(missing)).await?);
        }
        Ok(groups)
    }

    /// Looks up instances that are not known yet, and their security groups.
    async fn ensure_instances(&self, wanted: &BTreeSet<InstanceId>) -> Result<(), AwsError> {
        let missing: Vec<InstanceId> = {
            let inventory = self.inventory();
            wanted.iter().filter(|id| !inventory.instances().contains_key(id)).cloned().collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let instances = self.aws.instances(&missing).await?;
        self.inventory().add_instances(instances);
        self.ensure_node_groups().await
    }

    /// Looks up the security groups of instances that are not known yet.
    async fn ensure_node_groups(&self) -> Result<(), AwsError> {
        let unknown = self.inventory().unknown_node_groups();
        if unknown.is_empty() {
            return Ok(());
        }
        let groups = self.aws.security_groups(&SecurityGroupFilter::Ids(unknown)).await?;
        self.inventory().add_node_groups(groups);
        Ok(())
    }

    async fn read_listeners(&self, began: u64, load_balancers: &[LoadBalancer]) -> Result<(), AwsError> {
        try_join_all(load_balancers.iter().map(async |lb| {
            let listeners = self.aws.listeners(&lb.arn).await.map_err(|error| self.surprised(error))?;
            self.inventory().set_listeners(&lb.name, began, listeners);
            Ok(())
        }))
        .await
        .map(drop)
    }

    async fn read_targets(&self, began: u64, target_groups: &[TargetGroup]) -> Result<(), AwsError> {
        try_join_all(target_groups.iter().map(async |group| {
            let targets = self.aws.target_health(&group.arn).await.map_err(|error| self.surprised(error))?;
            self.inventory().set_targets(&group.name, began, targets);
            Ok(())
        }))
        .await
        .map(drop)
    }

    /// What was listed and is gone when looked at: the listing is stale.
    fn surprised(&self, error: AwsError) -> AwsError {
        if error.is_gone() {
            self.inventory().mark_dirty();
        }
        error
    }

    /// A custom name may be another's: whoever has it is shown to `diff`, with tags, so that it is never adopted by accident
    /// (CreateLoadBalancer answers with a load balancer of the same name and settings, whosever it is).
    async fn add_occupant(&self, name: &str, observed: &mut Observed) -> Result<(), AwsError> {
        let found = self.aws.load_balancers_by_name(&[name.to_owned()]).await?;
        for load_balancer in found {
            let arn = load_balancer.arn.to_string();
            let mut tags = self.aws.tags(std::slice::from_ref(&arn)).await?.remove(&arn).unwrap_or_default();
            if load_balancer.vpc != self.vpc {
                // Another cluster's, whatever it says: it must not pass for ours.
                tags.remove(tags::CLUSTER);
            }
            if tags::owner(&tags, &self.cluster_name).is_some() {
                // Ours after all. Listings do not find it by its name, nor by a group or target group of ours as long as it has
                // none: from now on the inventory knows it.
                let listeners = self.aws.listeners(&load_balancer.arn).await?;
                self.inventory().adopt(load_balancer.clone(), tags.clone(), listeners.clone());
                let listeners = listeners.into_iter().map(|listener| (listener.port, listener)).collect();
                let own = ObservedLoadBalancer { load_balancer, tags, listeners, attributes: None };
                observed.load_balancers.insert(name.to_owned(), own);
                continue;
            }
            let occupant = ObservedLoadBalancer { load_balancer, tags, listeners: BTreeMap::new(), attributes: None };
            observed.load_balancers.insert(name.to_owned(), occupant);
        }
        Ok(())
    }

    /// Makes sure that a load balancer that AWS says it made bears the tags that it was asked for: it may have been there, and be
    /// somebody else's. A name that we made is nobody else's; asking for those too would cost a call each.
    ///
    /// # Errors
    /// The tags could not be read; `DuplicateLoadBalancerName` (stale) if they are somebody else's.
    pub async fn recognize(&self, load_balancer: &LoadBalancer, wanted: &Tags) -> Result<(), AwsError> {
        if load_balancer.name.starts_with(&names::cluster_prefix(&self.cluster_name)) {
            return Ok(());
        }
        let arn = load_balancer.arn.to_string();
        let found = self.aws.tags(std::slice::from_ref(&arn)).await?.remove(&arn).unwrap_or_default();
        if [tags::CLUSTER, tags::SERVICE].iter().all(|key| found.get(*key) == wanted.get(*key)) {
            return Ok(());
        }
        Err(AwsError::name_taken(&load_balancer.name))
    }

    /// The names whose attributes are read by this sweep: never read first, then the longest unread.
    fn attributes_due(&self, load_balancers: &[LoadBalancer], target_groups: &[TargetGroup]) -> BTreeSet<String> {
        let names: BTreeSet<String> =
            load_balancers.iter().map(|lb| lb.name.clone()).chain(target_groups.iter().map(|group| group.name.clone())).collect();
        let mut read = self.attributes_read.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|name| names.contains(name));
        let never = names.iter().filter(|name| !read.contains(name)).cloned();
        let due: BTreeSet<String> = never.chain(read.clone()).take(ATTRIBUTES_PER_SWEEP).collect();
        read.retain(|name| !due.contains(name));
        read.extend(due.iter().cloned());
        due
    }

    /// Security groups of the cluster that still have network interfaces, of those asked for.
    ///
    /// # Errors
    /// The read failed.
    pub async fn groups_in_use(&self, groups: &[SecurityGroupId]) -> Result<BTreeSet<SecurityGroupId>, AwsError> {
        self.aws.groups_in_use(groups).await
    }

    /// Whether some load balancer of ours is in this group.
    #[must_use]
    pub fn group_is_used(&self, id: &SecurityGroupId) -> bool {
        self.inventory().uses_group(id)
    }

    /// Whether this host name leads to a load balancer of the Service, or nothing is known of that yet.
    #[must_use]
    pub fn leads_to(&self, key: &ServiceKey, host_name: &str) -> bool {
        self.inventory().leads_to(key, host_name)
    }

    /// Subnets that the Service's current load balancer is in, and its scheme.
    #[must_use]
    pub fn placement(&self, key: &ServiceKey) -> Option<(crate::aws::types::Scheme, BTreeSet<SubnetId>)> {
        self.inventory().placement(key)
    }
}

/// Makes a call that nobody waits for: while our own throttle holds it back it comes again when it is its turn.
async fn patiently<T, F: Future<Output = Result<T, AwsError>>>(call: impl Fn() -> F) -> Result<T, AwsError> {
    loop {
        match call().await {
            Err(AwsError { retry_after: Some(delay), .. }) => tokio::time::sleep(delay).await,
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests;
