//! The one inventory of what AWS holds of this cluster: filled by batched listings, kept current by the answers to our own
//! writes. A cache, never the truth: whatever surprises marks it stale and the next observer refreshes it.
//!
//! No AWS call is made here and no lock is held over one; `observe.rs` reads, `apply.rs` records.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::aws::types::{
    Attributes, Instance, InstanceId, Listener, LoadBalancer, LoadBalancerArn, LoadBalancerState, Scheme, SecurityGroup,
    SecurityGroupId, SubnetId, Tags, TargetGroup, Targets,
};
use crate::clock;
use crate::nlb::build::tags;
use crate::nlb::model::{Observed, ObservedLoadBalancer, ObservedSecurityGroup, ObservedShared, ObservedTargetGroup, ServiceKey};

/// AWS's listings lag behind its writes: what we made this recently is not given up because a listing lacks it
/// (`InvalidGroup.NotFound` and the like for fresh ids were seen for up to 20 s).
const LISTING_LAG: Duration = Duration::from_secs(30);

/// A load balancer of ours.
#[derive(Clone, Debug)]
pub(super) struct LoadBalancerEntry {
    pub(super) load_balancer: LoadBalancer,
    pub(super) tags: Tags,
    /// `None`: not read since the listing.
    pub(super) listeners: Option<BTreeMap<u16, Listener>>,
    pub(super) attributes: Option<Attributes>,
    stamp: Stamp,
}

/// A target group of ours.
#[derive(Clone, Debug)]
pub(super) struct TargetGroupEntry {
    pub(super) target_group: TargetGroup,
    pub(super) tags: Tags,
    /// `None`: not read since the listing.
    pub(super) targets: Option<Targets>,
    pub(super) attributes: Option<Attributes>,
    stamp: Stamp,
}

#[derive(Clone, Debug)]
struct SecurityGroupEntry {
    group: SecurityGroup,
    stamp: Stamp,
}

/// When an entry was last changed by a write of ours, in the inventory's own count, and when we made it.
#[derive(Clone, Copy, Debug, Default)]
struct Stamp {
    changed: u64,
    created: Option<Instant>,
}

impl Stamp {
    fn keeps(self, listing_began: u64) -> bool {
        self.changed > listing_began || self.created.is_some_and(|at| clock::now().duration_since(at) < LISTING_LAG)
    }
}

/// One listing of the account, as `observe.rs` read it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// [`Inventory::begin_listing`] when it began.
    pub(super) began: u64,
    pub(super) load_balancers: Vec<(LoadBalancer, Tags)>,
    pub(super) target_groups: Vec<(TargetGroup, Tags)>,
    pub(super) security_groups: Vec<SecurityGroup>,
    pub(super) node_groups: Vec<SecurityGroup>,
    /// Listeners and targets, when the listing went that deep (a sweep).
    pub(super) listeners: BTreeMap<LoadBalancerArn, BTreeMap<u16, Listener>>,
    pub(super) targets: BTreeMap<String, Targets>,
}

/// See the module's words.
#[derive(Debug)]
pub struct Inventory {
    cluster_name: String,
    /// Writes recorded so far.
    count: u64,
    filled: bool,
    /// Count at which somebody was surprised: a listing that began later settles it.
    dirty_since: Option<u64>,
    load_balancers: BTreeMap<String, LoadBalancerEntry>,
    target_groups: BTreeMap<String, TargetGroupEntry>,
    security_groups: BTreeMap<SecurityGroupId, SecurityGroupEntry>,
    node_groups: BTreeMap<SecurityGroupId, SecurityGroupEntry>,
    instances: BTreeMap<InstanceId, Instance>,
    /// Names and ids deleted, with the count: an older listing must not bring them back.
    deleted: BTreeMap<String, u64>,
}

impl Inventory {
    /// An inventory that knows nothing yet.
    #[must_use]
    pub fn new(cluster_name: String) -> Self {
        Self {
            cluster_name,
            count: 0,
            filled: false,
            dirty_since: None,
            load_balancers: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            node_groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// Whether a listing is due before anybody may rely on the content.
    pub(super) fn needs_listing(&self) -> bool {
        !self.filled || self.dirty_since.is_some()
    }

    /// Something was not as remembered, or a write's fate is unknown.
    pub fn mark_dirty(&mut self) {
        self.count += 1;
        self.dirty_since = Some(self.count);
    }

    /// To be noted in a [`Listing`] before its first call is sent.
    pub(super) fn begin_listing(&self) -> u64 {
        self.count
    }

    /// Takes a listing in. What we wrote after it began stays as written.
    pub(super) fn take(&mut self, listing: Listing) {
        let began = listing.began;
        let deleted = std::mem::take(&mut self.deleted);
        let gone = |name: &str| deleted.get(name).is_some_and(|&at| at > began);

        let mut old = std::mem::take(&mut self.load_balancers);
        old.retain(|_, entry| entry.stamp.keeps(began));
        for (load_balancer, tags) in listing.load_balancers {
            let name = load_balancer.name.clone();
            if gone(&name) || old.get(&name).is_some_and(|entry| entry.stamp.changed > began) {
                continue;
            }
            let listeners = listing.listeners.get(&load_balancer.arn).cloned();
            old.insert(name, LoadBalancerEntry { load_balancer, tags, listeners, attributes: None, stamp: Stamp::default() });
        }
        self.load_balancers = old;

        let mut old = std::mem::take(&mut self.target_groups);
        old.retain(|_, entry| entry.stamp.keeps(began));
        let mut targets = listing.targets;
        for (target_group, tags) in listing.target_groups {
            let name = target_group.name.clone();
            if gone(&name) || old.get(&name).is_some_and(|entry| entry.stamp.changed > began) {
                continue;
            }
            let targets = targets.remove(&name);
            old.insert(name, TargetGroupEntry { target_group, tags, targets, attributes: None, stamp: Stamp::default() });
        }
        self.target_groups = old;

        for (mine, listed) in [(&mut self.security_groups, listing.security_groups), (&mut self.node_groups, listing.node_groups)]
        {
            mine.retain(|_, entry| entry.stamp.keeps(began));
            for group in listed {
                if gone(group.id.as_str()) || mine.get(&group.id).is_some_and(|entry| entry.stamp.changed > began) {
                    continue;
                }
                mine.insert(group.id.clone(), SecurityGroupEntry { group, stamp: Stamp::default() });
            }
        }

        self.deleted = deleted.into_iter().filter(|&(_, at)| at > began).collect();
        self.filled = true;
        if self.dirty_since.is_some_and(|since| since <= began) {
            self.dirty_since = None;
        }
    }

    /// The objects of one Service.
    #[must_use]
    pub(super) fn observed(&self, key: &ServiceKey, published_host_name: Option<String>) -> Observed {
        let owned = self.owned_by(key);
        Observed {
            load_balancers: self
                .load_balancers
                .iter()
                .filter(|(_, entry)| owned(&entry.tags))
                .map(|(name, entry)| {
                    let observed = ObservedLoadBalancer {
                        load_balancer: entry.load_balancer.clone(),
                        tags: entry.tags.clone(),
                        listeners: entry.listeners.clone().unwrap_or_default(),
                        attributes: entry.attributes.clone(),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            target_groups: self
                .target_groups
                .iter()
                .filter(|(_, entry)| owned(&entry.tags))
                .map(|(name, entry)| {
                    let observed = ObservedTargetGroup {
                        target_group: entry.target_group.clone(),
                        tags: entry.tags.clone(),
                        targets: entry.targets.clone().unwrap_or_default(),
                        attributes: entry.attributes.clone(),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            security_groups: self
                .security_groups
                .values()
                .filter(|entry| owned(&entry.group.tags))
                .map(|entry| (entry.group.name.clone(), ObservedSecurityGroup { group: entry.group.clone() }))
                .collect(),
            backend_group: self.backend().map(|group| group.id.clone()),
            published_host_name,
            zones: BTreeMap::new(),
        }
    }

    #[must_use]
    pub(super) fn observed_shared(&self) -> ObservedShared {
        ObservedShared {
            backend: self.backend().cloned(),
            node_groups: self.node_groups.iter().map(|(id, entry)| (id.clone(), entry.group.clone())).collect(),
        }
    }

    /// The shared parts, as they are known now.
    #[must_use]
    pub fn shared(&self) -> ObservedShared {
        self.observed_shared()
    }

    /// Whether the backend group is not there (yet).
    #[must_use]
    pub fn backend_is_missing(&self) -> bool {
        self.backend().is_none()
    }

    /// Whether anything here bears the Service's tags.
    #[must_use]
    pub fn owns_something(&self, key: &ServiceKey) -> bool {
        let owned = self.owned_by(key);
        self.load_balancers.values().any(|entry| owned(&entry.tags))
            || self.target_groups.values().any(|entry| owned(&entry.tags))
            || self.security_groups.values().any(|entry| owned(&entry.group.tags))
    }

    /// Scheme and subnets of the Service's current load balancer.
    pub(super) fn placement(&self, key: &ServiceKey) -> Option<(Scheme, BTreeSet<SubnetId>)> {
        let owned = self.owned_by(key);
        let current = &self.load_balancers.values().find(|entry| owned(&entry.tags))?.load_balancer;
        Some((current.scheme.clone(), current.subnets.clone()))
    }

    /// Tells tags of a Service from others: as [`tags::owner`] does, for thousands at a time.
    fn owned_by(&self, key: &ServiceKey) -> impl Fn(&Tags) -> bool + use<> {
        let (cluster, service) = (self.cluster_name.clone(), key.to_string());
        move |tags| tags.get(tags::CLUSTER) == Some(&cluster) && tags.get(tags::SERVICE) == Some(&service)
    }

    /// Instances that were looked up.
    pub fn known_instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values()
    }

    fn backend(&self) -> Option<&SecurityGroup> {
        self.security_groups.values().map(|entry| &entry.group).find(|group| tags::is_backend(&group.tags, &self.cluster_name))
    }

    /// Whether some load balancer of ours is in this group.
    #[must_use]
    pub(super) fn uses_group(&self, id: &SecurityGroupId) -> bool {
        self.load_balancers.values().any(|entry| entry.load_balancer.security_groups.contains(id))
    }

    /// Services with a load balancer in the backend group: the nodes must go on admitting it.
    #[must_use]
    pub fn members(&self) -> BTreeSet<ServiceKey> {
        let backend = self.backend().map(|group| &group.id);
        let is_in = |entry: &&LoadBalancerEntry| backend.is_some_and(|id| entry.load_balancer.security_groups.contains(id));
        self.load_balancers.values().filter(is_in).filter_map(|entry| tags::owner(&entry.tags, &self.cluster_name)).collect()
    }

    /// Whether this host name leads to a load balancer of the Service, or nothing is known of that yet.
    pub(super) fn leads_to(&self, key: &ServiceKey, host_name: &str) -> bool {
        let owned = self.owned_by(key);
        let mut own = self.load_balancers.values().filter(|entry| owned(&entry.tags));
        !self.filled || own.any(|entry| entry.load_balancer.dns_name.eq_ignore_ascii_case(host_name))
    }

    /// Services that own something here.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<ServiceKey> {
        let tags = self
            .load_balancers
            .values()
            .map(|entry| &entry.tags)
            .chain(self.target_groups.values().map(|entry| &entry.tags))
            .chain(self.security_groups.values().map(|entry| &entry.group.tags));
        tags.filter_map(|tags| tags::owner(tags, &self.cluster_name)).collect()
    }

    /// The health of the Service's targets is read anew when it is observed next.
    pub fn forget_targets(&mut self, key: &ServiceKey) {
        let owned = self.owned_by(key);
        self.target_groups.values_mut().filter(|entry| owned(&entry.tags)).for_each(|entry| entry.targets = None);
    }

    /// Load balancers and target groups of a Service whose listeners or targets were not read yet.
    pub(super) fn unread(&self, key: &ServiceKey) -> (Vec<LoadBalancer>, Vec<TargetGroup>) {
        let owned = self.owned_by(key);
        (
            self.load_balancers
                .values()
                .filter(|entry| entry.listeners.is_none() && owned(&entry.tags))
                .map(|entry| entry.load_balancer.clone())
                .collect(),
            self.target_groups
                .values()
                .filter(|entry| entry.targets.is_none() && owned(&entry.tags))
                .map(|entry| entry.target_group.clone())
                .collect(),
        )
    }

    pub(super) fn load_balancer(&self, name: &str) -> Option<&LoadBalancerEntry> {
        self.load_balancers.get(name)
    }

    pub(super) fn target_group(&self, name: &str) -> Option<&TargetGroupEntry> {
        self.target_groups.get(name)
    }

    /// Load balancers that AWS is still provisioning, with their owners.
    #[must_use]
    pub fn provisioning(&self) -> Vec<(LoadBalancerArn, ServiceKey)> {
        self.load_balancers
            .values()
            .filter(|entry| entry.load_balancer.state == LoadBalancerState::Provisioning)
            .filter_map(|entry| Some((entry.load_balancer.arn.clone(), tags::owner(&entry.tags, &self.cluster_name)?)))
            .collect()
    }

    /// Numbers of load balancers and target groups, for the metrics.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.load_balancers.len(), self.target_groups.len())
    }

    // ---- what reads bring in ----

    pub(super) fn set_listeners(&mut self, name: &str, began: u64, listeners: Vec<Listener>) {
        if let Some(entry) =
            self.load_balancers.get_mut(name).filter(|entry| entry.stamp.changed <= began || entry.listeners.is_none())
        {
            entry.listeners = Some(listeners.into_iter().map(|listener| (listener.port, listener)).collect());
        }
    }

    pub(super) fn set_targets(&mut self, name: &str, began: u64, targets: Targets) {
        if let Some(entry) =
            self.target_groups.get_mut(name).filter(|entry| entry.stamp.changed <= began || entry.targets.is_none())
        {
            entry.targets = Some(targets);
        }
    }

    pub(super) fn set_attributes(&mut self, name: &str, began: u64, attributes: Attributes) {
        if let Some(entry) = self.load_balancers.get_mut(name).filter(|entry| entry.stamp.changed <= began) {
            entry.attributes = Some(attributes);
        } else if let Some(entry) = self.target_groups.get_mut(name).filter(|entry| entry.stamp.changed <= began) {
            entry.attributes = Some(attributes);
        }
    }

    /// Takes in freshly described load balancers (`asked`: those that were asked for; the ones not answered are gone).
    /// Returns the owners of those that changed.
    pub fn set_states(&mut self, asked: &[LoadBalancerArn], answered: Vec<LoadBalancer>) -> BTreeSet<ServiceKey> {
        let mut changed = BTreeSet::new();
        let answered: BTreeMap<_, _> = answered.into_iter().map(|lb| (lb.arn.clone(), lb)).collect();
        for arn in asked {
            let Some(entry) = self.load_balancers.values_mut().find(|entry| entry.load_balancer.arn == *arn) else { continue };
            let owner = tags::owner(&entry.tags, &self.cluster_name);
            let differs = match answered.get(arn) {
                Some(load_balancer) if entry.load_balancer == *load_balancer => false,
                Some(load_balancer) => {
                    entry.load_balancer = load_balancer.clone();
                    true
                }
                None => !entry.stamp.keeps(self.count),
            };
            if differs && let Some(key) = owner {
                changed.insert(key);
            }
            if differs && !answered.contains_key(arn) {
                self.count += 1;
                self.dirty_since = Some(self.count);
            }
        }
        changed
    }

    pub(super) fn instances(&self) -> &BTreeMap<InstanceId, Instance> {
        &self.instances
    }

    pub(super) fn add_instances(&mut self, instances: Vec<Instance>) {
        self.instances.extend(instances.into_iter().map(|instance| (instance.id.clone(), instance)));
    }

    /// The instances of all nodes, as just read.
    pub(super) fn set_instances(&mut self, instances: Vec<Instance>) {
        self.instances = instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect();
    }

    /// Security groups of instances that were not looked up.
    pub(super) fn unknown_node_groups(&self) -> BTreeSet<SecurityGroupId> {
        let groups = self.instances.values().flat_map(|instance| &instance.security_groups);
        groups.filter(|id| !self.node_groups.contains_key(*id)).cloned().collect()
    }

    pub(super) fn add_node_groups(&mut self, groups: Vec<SecurityGroup>) {
        for group in groups {
            self.node_groups.entry(group.id.clone()).or_insert(SecurityGroupEntry { group, stamp: Stamp::default() });
        }
    }
}

#[cfg(test)]
mod tests;
