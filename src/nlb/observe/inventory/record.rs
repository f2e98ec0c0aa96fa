//! What our own writes bring into the inventory, so that nothing has to be read again after them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inventory, LoadBalancerEntry, SecurityGroupEntry, Stamp, TargetGroupEntry};
use crate::aws::types::{
    Attributes, Listener, LoadBalancer, Rule, SecurityGroup, SecurityGroupId, Tags, TargetGroup, TargetHealth, TargetState,
    Targets,
};
use crate::clock;
use crate::nlb::model::Action;

impl Inventory {
    fn touch(&mut self) -> Stamp {
        self.count += 1;
        Stamp { changed: self.count, created: None }
    }

    fn fresh(&mut self) -> Stamp {
        Stamp { created: Some(clock::now()), ..self.touch() }
    }

    /// A load balancer that we just made, with the tags that it was made with.
    pub fn created_load_balancer(&mut self, load_balancer: LoadBalancer, tags: Tags) {
        let stamp = self.fresh();
        let entry = LoadBalancerEntry { load_balancer, tags, listeners: Some(BTreeMap::new()), attributes: None, stamp };
        self.load_balancers.insert(entry.load_balancer.name.clone(), entry);
    }

    /// A load balancer of ours that the listings missed.
    pub(in crate::nlb::observe) fn adopt(&mut self, load_balancer: LoadBalancer, tags: Tags, listeners: Vec<Listener>) {
        let name = load_balancer.name.clone();
        self.created_load_balancer(load_balancer, tags);
        for listener in listeners {
            self.set_listener(&name, listener);
        }
    }

    /// A target group that we just made.
    pub fn created_target_group(&mut self, target_group: TargetGroup, tags: Tags) {
        let stamp = self.fresh();
        let entry = TargetGroupEntry { target_group, tags, targets: Some(Targets::new()), attributes: None, stamp };
        self.target_groups.insert(entry.target_group.name.clone(), entry);
    }

    /// A security group that we just made.
    pub fn created_security_group(&mut self, group: SecurityGroup) {
        let stamp = self.fresh();
        self.security_groups.insert(group.id.clone(), SecurityGroupEntry { group, stamp });
    }

    /// A listener that we just made or changed.
    pub fn set_listener(&mut self, load_balancer: &str, listener: Listener) {
        let stamp = self.touch();
        let Some(entry) = self.load_balancers.get_mut(load_balancer) else { return };
        entry.stamp.changed = stamp.changed;
        let arn = entry.load_balancer.arn.clone();
        let forwarded = listener.target_groups.clone();
        entry.listeners.get_or_insert_default().insert(listener.port, listener);
        for group in self.target_groups.values_mut().filter(|group| forwarded.contains(&group.target_group.arn)) {
            group.target_group.load_balancers.insert(arn.clone());
        }
    }

    /// Any other write of ours that AWS accepted. Creates come through the `created_…` functions.
    pub fn record(&mut self, action: &Action) {
        let changed = self.touch().changed;
        match action {
            Action::AuthorizeIngress { group, rules } => {
                self.change_rules(group.name(), changed, |ingress| ingress.extend(rules.iter().cloned()));
            }
            Action::RevokeIngress { group, rules } => {
                self.change_rules(group.name(), changed, |ingress| ingress.retain(|rule| !rules.contains(rule)));
            }
            Action::DeleteSecurityGroup { group } => {
                let id = self.security_groups.values().find(|e| e.group.name == group.name()).map(|e| e.group.id.clone());
                if let Some(id) = id {
                    self.security_groups.remove(&id);
                    self.deleted.insert(id.to_string(), changed);
                }
            }
            Action::TagSecurityGroup { group, set, remove } => {
                if let Some(entry) = self.security_groups.values_mut().find(|entry| entry.group.name == group.name()) {
                    entry.stamp.changed = changed;
                    change_tags(&mut entry.group.tags, set, remove);
                }
            }
            Action::ModifyHealthCheck { target_group, health_check } => {
                self.change_target_group(target_group.name(), changed, |e| e.target_group.health_check = health_check.clone());
            }
            Action::ModifyTargetGroupAttributes { target_group, attributes } => {
                self.change_target_group(target_group.name(), changed, |entry| merge(&mut entry.attributes, attributes));
            }
            Action::RegisterTargets { target_group, targets } => {
                self.change_target_group(target_group.name(), changed, |entry| {
                    let initial = TargetHealth { state: TargetState::Initial, reason: None };
                    let known = entry.targets.get_or_insert_default();
                    known.extend(targets.iter().map(|target| ((target.id.clone(), target.port), initial.clone())));
                });
            }
            Action::DeregisterTargets { target_group, targets } => {
                self.change_target_group(target_group.name(), changed, |entry| {
                    let known = entry.targets.get_or_insert_default();
                    for target in targets {
                        if let Some(health) = known.get_mut(&(target.id.clone(), target.port)) {
                            health.state = TargetState::Draining;
                        }
                    }
                });
            }
            Action::TagTargetGroup { target_group, set, remove } => {
                self.change_target_group(target_group.name(), changed, |entry| change_tags(&mut entry.tags, set, remove));
            }
            Action::DeleteTargetGroup { target_group } => {
                self.target_groups.remove(target_group.name());
                self.deleted.insert(target_group.name().to_owned(), changed);
            }
            Action::SetSubnets { load_balancer, subnets } => {
                self.change_load_balancer(load_balancer.name(), changed, |entry| entry.load_balancer.subnets = subnets.clone());
            }
            Action::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                self.change_load_balancer(load_balancer.name(), changed, |entry| merge(&mut entry.attributes, attributes));
            }
            Action::TagLoadBalancer { load_balancer, set, remove } => {
                self.change_load_balancer(load_balancer.name(), changed, |entry| change_tags(&mut entry.tags, set, remove));
            }
            Action::DeleteLoadBalancer { load_balancer } => {
                if let Some(entry) = self.load_balancers.remove(load_balancer.name()) {
                    for group in self.target_groups.values_mut() {
                        group.target_group.load_balancers.remove(&entry.load_balancer.arn);
                    }
                }
                self.deleted.insert(load_balancer.name().to_owned(), changed);
            }
            Action::DeleteListener { load_balancer, port, .. } => {
                self.change_load_balancer(load_balancer.name(), changed, |entry| {
                    entry.listeners.get_or_insert_default().remove(port);
                });
            }
            // Recorded with what AWS answered: `created_…`, `set_listener`, `set_groups`.
            Action::CreateSecurityGroup { .. }
            | Action::CreateTargetGroup { .. }
            | Action::CreateLoadBalancer { .. }
            | Action::CreateListener { .. }
            | Action::ModifyListener { .. }
            | Action::SetSecurityGroups { .. } => {}
        }
    }

    /// A load balancer's security groups, after SetSecurityGroups.
    pub fn set_groups(&mut self, load_balancer: &str, groups: BTreeSet<SecurityGroupId>) {
        let changed = self.touch().changed;
        self.change_load_balancer(load_balancer, changed, |entry| entry.load_balancer.security_groups = groups);
    }

    fn change_load_balancer(&mut self, name: &str, changed: u64, change: impl FnOnce(&mut LoadBalancerEntry)) {
        if let Some(entry) = self.load_balancers.get_mut(name) {
            entry.stamp.changed = changed;
            change(entry);
        }
    }

    fn change_target_group(&mut self, name: &str, changed: u64, change: impl FnOnce(&mut TargetGroupEntry)) {
        if let Some(entry) = self.target_groups.get_mut(name) {
            entry.stamp.changed = changed;
            change(entry);
        }
    }

    fn change_rules(&mut self, name: &str, changed: u64, change: impl Fn(&mut BTreeSet<Rule>)) {
        for entry in self.security_groups.values_mut().chain(self.node_groups.values_mut()) {
            if entry.group.name == name {
                entry.stamp.changed = changed;
                change(&mut entry.group.ingress);
            }
        }
    }
}

fn change_tags(tags: &mut Tags, set: &Tags, remove: &BTreeSet<String>) {
    tags.retain(|key, _| !remove.contains(key));
    tags.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
}

fn merge(known: &mut Option<Attributes>, set: &Attributes) {
    if let Some(known) = known {
        known.extend(set.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}
