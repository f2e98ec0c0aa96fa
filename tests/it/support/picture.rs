//! What AWS holds of ours, in words on which two runs of one story agree: ids, hashes and node ports are replaced by what they
//! stand for. Two load balancers where there should be one, or one target too many, is another picture.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use landfall_localstack::{RuleSummary, Snapshot};

use super::world::World;

/// One line for each load balancer, listener, target group and security group of ours, and each rule of ours elsewhere, sorted.
/// `service`: the Service whose node ports are given names.
pub fn picture(world: &World, service: Option<&Service>) -> Vec<String> {
    let snapshot = world.region().snapshot();
    let names = Names::of(&snapshot, service);
    let mut lines: Vec<String> = Vec::new();
    for load_balancer in &snapshot.load_balancers {
        let mut groups: Vec<_> = load_balancer.security_groups.iter().map(|id| names.group(id)).collect();
        groups.sort();
        let zones: Vec<_> = load_balancer.zones.iter().map(|zone| &zone.zone).collect();
        lines.push(format!(
            "load balancer {} {} in {zones:?} with {groups:?}, {:?}, {}",
            load_balancer.scheme,
            load_balancer.state,
            load_balancer.attributes,
            tags(&load_balancer.tags)
        ));
    }
    for listener in &snapshot.listeners {
        let load_balancer = snapshot.load_balancers.iter().find(|lb| lb.arn == listener.load_balancer);
        lines.push(format!(
            "listener {} {} of {:?} to {:?}, {}",
            listener.port,
            listener.protocol,
            load_balancer.map(|lb| &lb.scheme),
            names.target_groups.get(&listener.target_group),
            tags(&listener.tags)
        ));
    }
    for group in &snapshot.target_groups {
        let mut targets: Vec<_> = snapshot
            .targets
            .get(&group.arn)
            .into_iter()
            .flatten()
            .filter(|target| target.state != "draining")
            .map(|target| format!("{}:{}", target.id, names.port(i64::from(target.port))))
            .collect();
        targets.sort();
        let scheme = snapshot.load_balancers.iter().find(|lb| Some(&lb.arn) == group.load_balancer.as_ref()).map(|lb| &lb.scheme);
        let check = format!("{} {} {:?}", group.health_check_protocol, group.health_check_port, group.health_check_path);
        lines.push(format!(
            "target group {} {} of {scheme:?}, checked {check}, {:?}, to {targets:?}, {}",
            group.protocol,
            group.target_type,
            group.attributes,
            tags(&group.tags)
        ));
    }
    for group in &snapshot.security_groups {
        let name = names.group(&group.id);
        if group.tags.contains_key(CLUSTER) {
            lines.push(format!("security group {name}, {}", tags(&group.tags)));
        }
        lines.extend(group.rules.iter().map(|rule| format!("{name} admits {}", names.rule(rule))));
    }
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.replace(&world.cluster_name, "CLUSTER")).collect();
    lines.sort();
    lines
}

const CLUSTER: &str = "elbv2.k8s.aws/cluster";
const RESOURCE: &str = "landfall/resource";

/// Tags, without whose they are: that differs from world to world.
fn tags(tags: &BTreeMap<String, String>) -> String {
    let other = tags.iter().filter(|(key, _)| ![CLUSTER, "landfall/service"].contains(&key.as_str()));
    format!("owned {}, {:?}", tags.contains_key(CLUSTER), other.collect::<BTreeMap<_, _>>())
}

struct Names {
    groups: BTreeMap<String, String>,
    target_groups: BTreeMap<String, String>,
    ports: BTreeMap<i64, String>,
}

impl Names {
    fn of(snapshot: &Snapshot, service: Option<&Service>) -> Self {
        let role = |tags: &BTreeMap<String, String>, name: &str| tags.get(RESOURCE).map_or_else(|| name.to_owned(), Clone::clone);
        let ports = service.and_then(|service| service.spec.as_ref()?.ports.clone()).unwrap_or_default();
        Self {
            groups: snapshot.security_groups.iter().map(|group| (group.id.clone(), role(&group.tags, &group.name))).collect(),
            target_groups: snapshot
                .target_groups
                .iter()
                .map(|group| (group.arn.clone(), role(&group.tags, &group.name)))
                .collect(),
            ports: ports
                .iter()
                .filter_map(|port| Some((i64::from(port.node_port?), format!("node port of {}", port.port))))
                .collect(),
        }
    }

    fn group(&self, id: &str) -> String {
        self.groups.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn port(&self, port: i64) -> String {
        self.ports.get(&port).cloned().unwrap_or_else(|| port.to_string())
    }

    fn rule(&self, rule: &RuleSummary) -> String {
        // A range is no node port, though the ends of the range of all node ports may be this Service's.
        let ports = rule.ports.map(|(first, last)| match first == last {
            true => (self.port(first), self.port(last)),
            false => (first.to_string(), last.to_string()),
        });
        let direction = if rule.egress { "out" } else { "in" };
        // Descriptions name the cluster.
        let described = rule.description.is_some();
        format!("{direction} {} {ports:?} {} (described: {described})", rule.protocol, self.group(&rule.peer))
    }
}
