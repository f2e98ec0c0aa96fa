//! Inputs → Desired: what a Service's load balancer should be, complete before anything is written. PURE.
//!
//! Each file of `build/` makes one part; all write what is wrong into the same list, so that a user sees everything at once.
//! `gather` asks [`lookups`] and [`reachability_needed`] what to read; `diff` takes names, tags and attribute defaults from here.

pub mod annotations;
pub mod attributes;
pub mod codes;
pub mod names;
pub mod tags;

mod health;
mod listeners;
mod load_balancer;
mod security;
mod subnets;
mod target_groups;
mod targets;

#[cfg(test)]
pub(in crate::nlb) mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;

use crate::aws::types::TargetType;
use crate::nlb::model::{Desired, DesiredListener, DesiredLoadBalancer, Inputs, Policy, Rejection};
use annotations::Annotations;
pub use codes::CODES;
use codes::Findings;
use listeners::ListenerPort;
pub use security::{backend_group, node_group, node_rules, rule_description};
pub use subnets::reachability_needed;
use tags::ServiceTags;
pub use targets::{instance_of, traits};

/// What one Service makes `gather` look up in AWS, beyond what it reads for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Security groups as annotations name them: `sg-…`, or the value of a tag `Name`.
    pub security_groups: BTreeSet<String>,
    /// Whether pods may be targets: those outside the VPC's CIDRs are registered differently.
    pub vpc_cidrs: bool,
}

/// What [`build`] will want to find in `NetworkFacts` for this Service. Subnets are not among it: all of the VPC's are read.
#[must_use]
pub fn lookups(service: &Service, policy: &Policy) -> Lookups {
    let annotations = Annotations::of(service);
    let named = annotations.list(&annotations::SECURITY_GROUPS);
    let pods = match (annotations.text(&annotations::TYPE), annotations.text(&annotations::NLB_TARGET_TYPE)) {
        (Some("nlb-ip"), _) | (_, Some("ip")) => true,
        (_, Some(_)) => false,
        _ => policy.default_target_type == TargetType::Ip,
    };
    Lookups { security_groups: named.into_iter().map(str::to_owned).collect(), vpc_cidrs: pods }
}

/// The load balancer name that the user chose. Others may have it, and nothing in it tells that it is ours.
#[must_use]
pub fn custom_name(service: &Service) -> Option<&str> {
    Annotations::of(service).text(&annotations::NAME)
}

/// The annotations that [`build`] reads: a change of any other annotation changes nothing.
#[must_use]
pub fn relevant_annotations(service: &Service) -> BTreeMap<&str, &str> {
    Annotations::of(service).into_inner()
}

/// Derives the load balancer of a Service of ours.
///
/// # Errors
/// Everything that is wrong with the Service or with what it names in AWS, found in one pass; codes are in [`CODES`].
pub fn build(inputs: &Inputs) -> Result<Desired, Rejection> {
    let mut findings = Findings::default();
    match assemble(inputs, &mut findings) {
        Some(desired) if findings.problems.is_empty() => Ok(Desired { notices: findings.notices, ..desired }),
        _ => Err(findings.into()),
    }
}

/// Makes all parts, or as many as what is wrong leaves possible. `None` only together with a problem.
fn assemble(inputs: &Inputs, findings: &mut Findings) -> Option<Desired> {
    let service = &inputs.service;
    let key = inputs.key();
    let annotations = Annotations::of(service);
    annotations.check(findings);
    tell_ignored_fields(service, findings);

    let shape = load_balancer::shape(inputs, &annotations, findings);
    let tags = ServiceTags::new(&annotations, &key, &inputs.policy, findings);
    let listeners = listeners::of_service(service, shape.target_type.as_ref(), findings);
    let load_balancer_attributes = attributes::of_load_balancer(&annotations, findings);
    let protocols: Vec<_> = listeners.iter().map(|listener| &listener.protocol).collect();
    let target_group_attributes = attributes::of_target_groups(&annotations, &protocols, findings);

    let Some(vpc) = &inputs.network.vpc else {
        findings.refuse(codes::UNKNOWN_VPC, "--vpc-id", "the cluster's VPC is not known", "set this flag");
        return None;
    };
    // A Service that was never stored (as in `landfall plan -f`) has no UID yet.
    let uid = service.metadata.uid.clone().unwrap_or_else(|| key.to_string());
    let origin = names::Origin { cluster: &inputs.policy.cluster_name, uid: &uid, service: &key.name };
    let name = load_balancer::name(&origin, shape.scheme.as_ref(), &annotations, findings);
    let chosen = subnets::choose(inputs, vpc, shape.scheme.as_ref(), &annotations, findings);
    let context = security::Context { inputs, key: &key, vpc, origin: &origin, tags: &tags };
    let groups = security::groups(context, &annotations, &listeners, findings);

    let target_type = shape.target_type?;
    let health_check = health::check(service, &target_type, &annotations, findings);
    health::warn(&health_check, &target_group_attributes, &listeners, findings);
    let zones = chosen.as_ref().map(|chosen| chosen.zones.clone()).unwrap_or_default();
    let common = target_groups::Common {
        inputs,
        vpc,
        origin: &origin,
        tags: &tags,
        load_balancer: name.as_deref().unwrap_or_default(),
        target_type: &target_type,
        health_check: &health_check,
        attributes: &target_group_attributes,
        zones: &zones,
    };
    let target_groups = target_groups::of_listeners(common, &listeners, findings);
    let backend_ports = match groups.managed {
        Some(_) => target_groups::backend_ports(common, &listeners, &target_groups),
        None => BTreeSet::new(),
    };

    let load_balancer = DesiredLoadBalancer {
        name: name?,
        scheme: shape.scheme?,
        ip_address_type: shape.ip_address_type,
        subnets: chosen?.subnets,
        security_groups: groups.refs,
        attributes: load_balancer_attributes,
        tags: tags.of(tags::LOAD_BALANCER),
    };
    Some(Desired {
        service: key,
        load_balancer: Some(load_balancer),
        security_group: groups.managed,
        listeners: desired_listeners(&listeners, &tags),
        target_groups,
        backend_ports,
        notices: Vec::new(),
    })
}

fn desired_listeners(listeners: &[ListenerPort<'_>], tags: &ServiceTags) -> BTreeMap<u16, DesiredListener> {
    let desired = |listener: &ListenerPort<'_>| {
        let target_group = listener.key();
        let tags = tags.of(&format!("listener/{target_group}"));
        (listener.port, DesiredListener { protocol: listener.protocol.clone(), target_group, tags })
    };
    listeners.iter().map(desired).collect()
}

/// Fields that the API has for load balancers of other kinds.
fn tell_ignored_fields(service: &Service, findings: &mut Findings) {
    let Some(spec) = &service.spec else { return };
    if spec.load_balancer_ip.as_deref().is_some_and(|address| !address.is_empty()) {
        findings.tell(
            codes::FIELD_IGNORED,
            "spec.loadBalancerIP",
            "AWS chooses the addresses of a Network Load Balancer",
            "remove it",
        );
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        findings.tell(
            codes::FIELD_IGNORED,
            "spec.sessionAffinity",
            "it keeps clients at a pod within the cluster, not at a target of the load balancer",
            format!("add `stickiness.enabled=true` to `{}`", annotations::TARGET_GROUP_ATTRIBUTES.full_key()),
        );
    }
}
