//! A pure model of AWS, as strict as AWS: it panics on whatever AWS would refuse, on a step that relies on another one of
//! its own wave, and on any change of an object that is not the Service's.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{DEMO, web, zones};
use crate::aws::types::{
    Attributes, Listener, LoadBalancer, LoadBalancerState, Rule, SecurityGroup, SecurityGroupId, Tags, TargetGroup,
    TargetGroupArn, TargetHealth, TargetState,
};
use crate::nlb::build::attributes::{load_balancer_default, target_group_default};
use crate::nlb::build::tags::owner;
use crate::nlb::diff::diff;
use crate::nlb::model::{
    Action, Desired, LoadBalancerRef, Observed, ObservedLoadBalancer, ObservedSecurityGroup, ObservedTargetGroup, Plan,
    SecurityGroupRef, TargetGroupRef,
};

/// Attributes that the model keeps.
const ATTRIBUTES: [&str; 4] = [
    "load_balancing.cross_zone.enabled",
    "deletion_protection.enabled",
    "deregistration_delay.timeout_seconds",
    "proxy_protocol_v2.enabled",
];

/// AWS, and what clients see of it.
#[derive(Clone, Debug)]
pub(super) struct World {
    /// All but attributes.
    pub(super) observed: Observed,
    /// Attributes of load balancers and target groups by name; they cost a read.
    pub(super) attributes: BTreeMap<String, Attributes>,
    /// Whether steps of a wave run in the opposite order.
    pub(super) backwards: bool,
    ids: u32,
}

impl World {
    /// An empty AWS in which the cluster's backend group is there.
    pub(super) fn new() -> Self {
        let observed = Observed { backend_group: Some("sg-backend".into()), zones: zones(), ..Observed::default() };
        Self { observed, attributes: BTreeMap::new(), backwards: false, ids: 0 }
    }

    /// The plan, with attributes read as far as it asks for them.
    pub(super) fn plan(&self, desired: &Desired) -> Plan {
        let plan = diff(desired, &self.observed, DEMO);
        if plan.needs_attributes.is_empty() {
            return plan;
        }
        let plan = diff(desired, &self.with_attributes(&plan.needs_attributes), DEMO);
        assert!(plan.needs_attributes.is_empty(), "still not satisfied: {plan:?}");
        plan
    }

    /// What is observed when the attributes of these objects are read.
    pub(super) fn with_attributes(&self, names: &BTreeSet<String>) -> Observed {
        let mut observed = self.observed.clone();
        for name in names {
            let attributes = self.attributes.get(name).cloned();
            if let Some(seen) = observed.load_balancers.get_mut(name) {
                seen.attributes = attributes;
            } else {
                observed.target_groups.get_mut(name).unwrap().attributes = attributes;
            }
        }
        observed
    }

    /// Time passes: what is provisioned becomes active, what drains is gone, what is new is healthy, the new host name is published.
    pub(super) fn tick(&mut self, desired: &Desired) {
        self.observed.backend_group.get_or_insert_with(|| "sg-backend".into());
        for seen in self.observed.load_balancers.values_mut() {
            if seen.load_balancer.state == LoadBalancerState::Provisioning {
                seen.load_balancer.state = LoadBalancerState::Active;
            }
        }
        for seen in self.observed.target_groups.values_mut() {
            seen.targets.retain(|_, health| health.state != TargetState::Draining);
            let initial = seen.targets.values_mut().filter(|health| health.state == TargetState::Initial);
            initial.for_each(|health| health.state = TargetState::Healthy);
        }
        let wanted = desired.load_balancer.as_ref().and_then(|wanted| self.observed.load_balancers.get(&wanted.name));
        if let Some(seen) = wanted.filter(|seen| seen.load_balancer.state.serves()) {
            self.observed.published_host_name = Some(seen.load_balancer.dns_name.to_lowercase());
        }
    }

    /// Plans and applies until nothing is left to do; panics when that takes too long.
    pub(super) fn settle(&mut self, desired: &Desired) {
        for _ in 0..20 {
            let plan = self.plan(desired);
            if plan.steps.is_empty() && plan.waits.is_empty() {
                return;
            }
            self.apply(&plan, usize::MAX);
            self.tick(desired);
        }
        panic!("does not settle: {:#?}", self.plan(desired));
    }

    /// Runs the first `limit` steps, as if the process then died.
    pub(super) fn apply(&mut self, plan: &Plan, limit: usize) {
        let waves: BTreeSet<u8> = plan.steps.iter().map(|step| step.wave).collect();
        let mut left = limit;
        for wave in waves {
            let before = self.observed.clone();
            let mut steps: Vec<&Action> = plan.steps.iter().filter(|step| step.wave == wave).map(|step| &step.action).collect();
            if self.backwards {
                steps.reverse();
            }
            for action in steps {
                if left == 0 {
                    return;
                }
                left -= 1;
                self.step(&before, action);
            }
        }
    }

    fn id(&mut self) -> u32 {
        self.ids += 1;
        self.ids
    }

    fn step(&mut self, before: &Observed, action: &Action) {
        match action {
            Action::CreateSecurityGroup { name, vpc, tags, .. } => {
                let group = SecurityGroup {
                    id: format!("sg-{}", self.id()).into(),
                    name: name.clone(),
                    vpc: vpc.clone(),
                    tags: tags.clone(),
                    ingress: BTreeSet::new(),
                };
                let old = self.observed.security_groups.insert(name.clone(), ObservedSecurityGroup { group });
                assert!(old.is_none(), "InvalidGroup.Duplicate: {name}");
            }
            Action::AuthorizeIngress { group, rules } => {
                let ingress = &mut self.group(before, group).ingress;
                for rule in rules {
                    assert!(!ingress.iter().any(|there| same(there, rule)), "InvalidPermission.Duplicate: {rule}");
                    ingress.insert(rule.clone());
                }
                assert!(!rules.is_empty() && ingress.len() <= 60, "RulesPerSecurityGroupLimitExceeded");
            }
            Action::RevokeIngress { group, rules } => {
                let ingress = &mut self.group(before, group).ingress;
                for rule in rules {
                    assert!(ingress.iter().any(|there| same(there, rule)), "InvalidPermission.NotFound: {rule}");
                    ingress.retain(|there| !same(there, rule));
                }
                assert!(!rules.is_empty());
            }
            Action::DeleteSecurityGroup { group } => {
                let id = self.group(before, group).id.clone();
                let used = before.load_balancers.values().any(|seen| seen.load_balancer.security_groups.contains(&id));
                assert!(!used, "DependencyViolation: {group}");
                self.observed.security_groups.remove(group.name());
            }
            Action::TagSecurityGroup { group, set, remove } => retag(&mut self.group(before, group).tags, set, remove),
            Action::CreateTargetGroup { name, protocol, port, target_type, ip_address_type, vpc, health_check, tags } => {
                let target_group = TargetGroup {
                    arn: format!("tg-{}", self.id()).into(),
                    name: name.clone(),
                    protocol: protocol.clone(),
                    port: *port,
                    target_type: target_type.clone(),
                    ip_address_type: ip_address_type.clone(),
                    health_check: health_check.clone(),
                    vpc: Some(vpc.clone()),
                    load_balancers: BTreeSet::new(),
                };
                let default = |key: &str| target_group_default(key, protocol, target_type);
                self.attributes.insert(name.clone(), defaults(default));
                let seen = ObservedTargetGroup { target_group, tags: tags.clone(), targets: BTreeMap::new(), attributes: None };
                assert!(self.observed.target_groups.insert(name.clone(), seen).is_none(), "DuplicateTargetGroupName");
            }
            Action::ModifyHealthCheck { target_group, health_check } => {
                self.target_group(before, target_group).target_group.health_check = health_check.clone();
            }
            Action::ModifyTargetGroupAttributes { target_group, attributes } => {
                self.target_group(before, target_group);
                self.attributes.get_mut(target_group.name()).unwrap().extend(attributes.clone());
            }
            Action::RegisterTargets { target_group, targets } => {
                assert!(!targets.is_empty() && targets.len() <= 200);
                let health = TargetHealth { state: TargetState::Initial, reason: None };
                let seen = self.target_group(before, target_group);
                seen.targets.extend(targets.iter().map(|target| ((target.id.clone(), target.port), health.clone())));
            }
            Action::DeregisterTargets { target_group, targets } => {
                assert!(!targets.is_empty() && targets.len() <= 200);
                let seen = self.target_group(before, target_group);
                for target in targets {
                    let health = seen.targets.get_mut(&(target.id.clone(), target.port)).expect("registered");
                    health.state = TargetState::Draining;
                }
            }
            Action::TagTargetGroup { target_group, set, remove } => {
                retag(&mut self.target_group(before, target_group).tags, set, remove);
            }
            Action::DeleteTargetGroup { target_group } => {
                let arn = self.target_group(before, target_group).target_group.arn.clone();
                let mut listeners = before.load_balancers.values().flat_map(|seen| seen.listeners.values());
                assert!(!listeners.any(|listener| listener.target_groups.contains(&arn)), "ResourceInUse: {target_group}");
                self.observed.target_groups.remove(target_group.name());
                self.attributes.remove(target_group.name());
            }
            Action::CreateLoadBalancer { name, scheme, ip_address_type, subnets, security_groups, tags } => {
                let load_balancer = LoadBalancer {
                    arn: format!("lb-{}", self.id()).into(),
                    name: name.clone(),
                    dns_name: format!("{name}-{}.ELB.example.com", self.ids),
                    scheme: scheme.clone(),
                    ip_address_type: ip_address_type.clone(),
                    state: LoadBalancerState::Provisioning,
                    state_reason: None,
                    vpc: "vpc-1".into(),
                    subnets: subnets.clone(),
                    security_groups: self.group_ids(before, security_groups),
                };
                assert!(!subnets.is_empty() && !security_groups.is_empty());
                self.attributes.insert(name.clone(), defaults(|key| load_balancer_default(key, scheme)));
                let seen =
                    ObservedLoadBalancer { load_balancer, tags: tags.clone(), listeners: BTreeMap::new(), attributes: None };
                assert!(self.observed.load_balancers.insert(name.clone(), seen).is_none(), "it would be adopted: {name}");
            }
            Action::SetSubnets { load_balancer, subnets } => {
                let now = self.load_balancer(before, load_balancer).load_balancer.subnets.clone();
                let zone = |id| self.observed.zones.get(id);
                for new in subnets.difference(&now) {
                    assert!(!now.iter().any(|old| zone(old) == zone(new)), "{now:?} → {subnets:?} within a zone");
                }
                assert!(!subnets.is_empty() && *subnets != now);
                self.load_balancer(before, load_balancer).load_balancer.subnets = subnets.clone();
            }
            Action::SetSecurityGroups { load_balancer, security_groups } => {
                let ids = self.group_ids(before, security_groups);
                let now = &mut self.load_balancer(before, load_balancer).load_balancer.security_groups;
                assert!(!now.is_empty() && !ids.is_empty() && *now != ids, "InvalidConfigurationRequest");
                *now = ids;
            }
            Action::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                self.load_balancer(before, load_balancer);
                self.attributes.get_mut(load_balancer.name()).unwrap().extend(attributes.clone());
            }
            Action::TagLoadBalancer { load_balancer, set, remove } => {
                retag(&mut self.load_balancer(before, load_balancer).tags, set, remove);
            }
            Action::DeleteLoadBalancer { load_balancer } => {
                self.load_balancer(before, load_balancer);
                self.observed.load_balancers.remove(load_balancer.name());
                self.attributes.remove(load_balancer.name());
                self.associate();
            }
            Action::CreateListener { load_balancer, port, protocol, target_group, .. } => {
                let arn = format!("listener-{}", self.id()).into();
                let target_groups = BTreeSet::from([self.target_group(before, target_group).target_group.arn.clone()]);
                let listener = Listener { arn, port: *port, protocol: protocol.clone(), target_groups };
                let listeners = &mut self.load_balancer(before, load_balancer).listeners;
                assert!(listeners.insert(*port, listener).is_none(), "DuplicateListener: {port}");
                self.associate();
            }
            Action::ModifyListener { load_balancer, listener, port, protocol, target_group } => {
                let target_groups = BTreeSet::from([self.target_group(before, target_group).target_group.arn.clone()]);
                let seen = self.load_balancer(before, load_balancer).listeners.get_mut(port).expect("ListenerNotFound");
                assert_eq!(seen.arn, *listener);
                assert!(seen.protocol != *protocol || seen.target_groups != target_groups, "nothing to modify");
                seen.protocol = protocol.clone();
                seen.target_groups = target_groups;
                self.associate();
            }
            Action::DeleteListener { load_balancer, listener, port } => {
                let gone = self.load_balancer(before, load_balancer).listeners.remove(port).expect("ListenerNotFound");
                assert_eq!(gone.arn, *listener);
                self.associate();
            }
        }
    }

    /// Which load balancers use which target groups follows from the listeners; one group serves one load balancer.
    pub(super) fn associate(&mut self) {
        let mut users: BTreeMap<TargetGroupArn, BTreeSet<_>> = BTreeMap::new();
        for seen in self.observed.load_balancers.values() {
            for group in seen.listeners.values().flat_map(|listener| &listener.target_groups) {
                users.entry(group.clone()).or_default().insert(seen.load_balancer.arn.clone());
            }
        }
        for seen in self.observed.target_groups.values_mut() {
            seen.target_group.load_balancers = users.remove(&seen.target_group.arn).unwrap_or_default();
            assert!(seen.target_group.load_balancers.len() <= 1, "TargetGroupAssociationLimit");
        }
    }

    fn group(&mut self, before: &Observed, group: &SecurityGroupRef) -> &mut SecurityGroup {
        let name = group.name();
        let seen = before.security_groups.get(name).unwrap_or_else(|| panic!("{group} is not there before this wave"));
        assert!(!matches!(group, SecurityGroupRef::Existing { id, .. } if *id != seen.group.id), "stale {group}");
        assert_eq!(owner(&seen.group.tags, DEMO), Some(web()), "{group} is not ours");
        &mut self.observed.security_groups.get_mut(name).unwrap_or_else(|| panic!("{group} is gone")).group
    }

    fn group_ids(&mut self, before: &Observed, groups: &BTreeSet<SecurityGroupRef>) -> BTreeSet<SecurityGroupId> {
        let bind = |group: &SecurityGroupRef| match group {
            SecurityGroupRef::Existing { id, .. } => id.clone(),
            SecurityGroupRef::New(_) => self.group(before, group).id.clone(),
        };
        groups.iter().map(bind).collect()
    }

    fn target_group(&mut self, before: &Observed, group: &TargetGroupRef) -> &mut ObservedTargetGroup {
        let name = group.name();
        let seen = before.target_groups.get(name).unwrap_or_else(|| panic!("{group} is not there before this wave"));
        assert!(!matches!(group, TargetGroupRef::Existing { id, .. } if *id != seen.target_group.arn), "stale {group}");
        assert_eq!(owner(&seen.tags, DEMO), Some(web()), "{group} is not ours");
        self.observed.target_groups.get_mut(name).unwrap_or_else(|| panic!("{group} is gone"))
    }

    fn load_balancer(&mut self, before: &Observed, reference: &LoadBalancerRef) -> &mut ObservedLoadBalancer {
        let name = reference.name();
        let seen = before.load_balancers.get(name).unwrap_or_else(|| panic!("{reference} is not there before this wave"));
        assert!(!matches!(reference, LoadBalancerRef::Existing { id, .. } if *id != seen.load_balancer.arn));
        assert_eq!(owner(&seen.tags, DEMO), Some(web()), "{reference} is not ours");
        self.observed.load_balancers.get_mut(name).unwrap_or_else(|| panic!("{reference} is gone"))
    }
}

fn same(one: &Rule, other: &Rule) -> bool {
    Rule { description: String::new(), ..one.clone() } == Rule { description: String::new(), ..other.clone() }
}

fn retag(tags: &mut Tags, set: &Tags, remove: &BTreeSet<String>) {
    assert!(!set.is_empty() || !remove.is_empty());
    assert!(remove.iter().all(|key| tags.contains_key(key)), "{remove:?} of {tags:?}");
    tags.retain(|key, _| !remove.contains(key));
    tags.extend(set.clone());
}

fn defaults(default: impl Fn(&str) -> Option<&'static str>) -> Attributes {
    ATTRIBUTES.into_iter().filter_map(|key| Some((key.to_owned(), default(key)?.to_owned()))).collect()
}
