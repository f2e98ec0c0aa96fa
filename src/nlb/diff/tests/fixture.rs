//! Services to make plans for, small enough to be read at a glance.

use std::collections::{BTreeMap, BTreeSet};

use super::simulate::World;
use crate::aws::types::{
    Attributes, HealthCheck, HealthCheckProtocol, IpAddressType, Protocol, Rule, RuleSource, Scheme, SubnetId, Tags, Target,
    TargetType,
};
use crate::nlb::build::tags::{CLUSTER, RESOURCE, SERVICE, TAG_KEYS};
use crate::nlb::model::{
    Desired, DesiredListener, DesiredLoadBalancer, DesiredSecurityGroup, DesiredTargetGroup, GroupRef, Plan, ServiceKey,
    TargetGroupKey,
};

/// Name of the cluster.
pub(super) const DEMO: &str = "demo";

/// The Service of all tests.
pub(super) fn web() -> ServiceKey {
    ServiceKey { namespace: "default".to_owned(), name: "web".to_owned() }
}

/// A map of texts.
pub(super) fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Subnets by name: the first letter is the zone.
pub(super) fn subnets(ids: &[&str]) -> BTreeSet<SubnetId> {
    ids.iter().map(|id| SubnetId::from(*id)).collect()
}

/// Zones of all subnets there are.
pub(super) fn zones() -> BTreeMap<SubnetId, String> {
    ["a1", "b1", "b2", "c1", "c2"].into_iter().map(|id| (SubnetId::from(id), id[..1].to_owned())).collect()
}

/// What a Service asks for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) name: Option<&'static str>,
    pub(super) scheme: Scheme,
    pub(super) subnets: BTreeSet<SubnetId>,
    pub(super) managed_groups: bool,
    pub(super) ports: BTreeMap<u16, Protocol>,
    pub(super) target_type: TargetType,
    pub(super) targets: BTreeSet<u8>,
    pub(super) interval: i32,
    pub(super) sources: Vec<&'static str>,
    pub(super) attributes: Attributes,
    pub(super) target_group_attributes: Attributes,
    pub(super) tags: Tags,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            name: None,
            scheme: Scheme::InternetFacing,
            subnets: subnets(&["a1", "b1"]),
            managed_groups: true,
            ports: BTreeMap::from([(80, Protocol::Tcp), (443, Protocol::Tcp)]),
            target_type: TargetType::Instance,
            targets: BTreeSet::from([1, 2]),
            interval: 10,
            sources: vec!["0.0.0.0/0"],
            attributes: Attributes::new(),
            target_group_attributes: Attributes::new(),
            tags: Tags::new(),
        }
    }
}

impl Ask {
    /// What should be in AWS.
    pub(super) fn desired(&self) -> Desired {
        let name = self.name.map_or_else(|| format!("lf-web-{}", self.scheme), ToOwned::to_owned);
        let keys = self.ports.iter().map(|(port, protocol)| TargetGroupKey { port: *port, protocol: protocol.clone() });
        let groups = if self.managed_groups {
            BTreeSet::from([GroupRef::Frontend, GroupRef::Backend])
        } else {
            BTreeSet::from([GroupRef::Existing("sg-own".into())])
        };
        let listener = |key: &TargetGroupKey| DesiredListener {
            protocol: key.protocol.clone(),
            target_group: key.clone(),
            tags: self.tags_of(&format!("listener/{key}")),
        };
        Desired {
            load_balancer: Some(DesiredLoadBalancer {
                scheme: self.scheme.clone(),
                ip_address_type: IpAddressType::Ipv4,
                subnets: self.subnets.clone(),
                security_groups: groups,
                attributes: self.attributes.clone(),
                tags: self.tags_of("load-balancer"),
                name: name.clone(),
            }),
            security_group: self.managed_groups.then(|| DesiredSecurityGroup {
                name: "lf-web-frontend".to_owned(),
                description: "clients of default/web".to_owned(),
                vpc: "vpc-1".into(),
                ingress: self.rules(),
                tags: self.tags_of("security-group"),
            }),
            listeners: keys.clone().map(|key| (key.port, listener(&key))).collect(),
            target_groups: keys.map(|key| (key.clone(), self.target_group(&name, &key))).collect(),
            ..Desired::nothing(web())
        }
    }

    fn tags_of(&self, resource: &str) -> Tags {
        let mut tags = self.tags.clone();
        if !tags.is_empty() {
            tags.insert(TAG_KEYS.to_owned(), self.tags.keys().cloned().collect::<Vec<_>>().join(" "));
        }
        tags.extend(pairs(&[(CLUSTER, DEMO), (SERVICE, "default/web"), (RESOURCE, resource)]));
        tags
    }

    fn rules(&self) -> BTreeSet<Rule> {
        let rule = |port: u16, protocol: &str, source: &str| Rule {
            protocol: protocol.to_owned(),
            from_port: i32::from(port),
            to_port: i32::from(port),
            source: RuleSource::Cidr(source.parse().unwrap()),
            description: "landfall/demo".to_owned(),
        };
        let ports = self.ports.iter().map(|(port, protocol)| (*port, protocol.as_str().to_ascii_lowercase()));
        ports.flat_map(|(port, protocol)| self.sources.iter().map(move |source| rule(port, &protocol, source))).collect()
    }

    fn target_group(&self, load_balancer: &str, key: &TargetGroupKey) -> DesiredTargetGroup {
        let target = |n: &u8| match self.target_type {
            TargetType::Ip => Target { id: format!("10.0.0.{n}"), port: 8080, availability_zone: None },
            _ => Target { id: format!("i-{n}"), port: 30_000 + key.port, availability_zone: None },
        };
        DesiredTargetGroup {
            name: format!("{load_balancer}-{key}-{}", self.target_type),
            protocol: key.protocol.clone(),
            port: key.port,
            target_type: self.target_type.clone(),
            ip_address_type: IpAddressType::Ipv4,
            vpc: "vpc-1".into(),
            health_check: HealthCheck {
                protocol: HealthCheckProtocol::Tcp,
                port: None,
                path: None,
                success_codes: None,
                interval_seconds: self.interval,
                timeout_seconds: 10,
                healthy_threshold: 3,
                unhealthy_threshold: 3,
            },
            attributes: self.target_group_attributes.clone(),
            tags: self.tags_of(&format!("target-group/{key}")),
            targets: self.targets.iter().map(target).collect(),
        }
    }

    /// An AWS in which all of this is there, active and published.
    pub(super) fn settled(&self) -> World {
        let mut world = World::new();
        world.settle(&self.desired());
        world
    }
}

/// Steps as `wave action object`, for comparing at a glance.
pub(super) fn steps(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            let json = serde_json::to_value(step).unwrap();
            let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str);
            let port = json.get("port").and_then(serde_json::Value::as_u64).filter(|_| text("name").is_none());
            let object = ["name", "group", "targetGroup", "loadBalancer"].into_iter().find_map(text).unwrap_or_default();
            match port {
                Some(port) => format!("{} {} {port}", step.wave, text("action").unwrap()),
                None => format!("{} {} {object}", step.wave, text("action").unwrap()),
            }
        })
        .collect()
}
