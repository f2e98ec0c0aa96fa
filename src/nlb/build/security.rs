//! Security groups of the load balancer: the managed frontend group and its rules, or the groups that the user brings.
//!
//! `security/backend.rs` has what all Services share: the backend group, and the rules by which nodes admit it. Uses
//! `annotations`, `codes`, `tags`, `names`.

mod backend;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;

use super::annotations::{self, Annotations};
use super::codes::{self, Findings, quote};
use super::listeners::ListenerPort;
use super::names::Origin;
use super::tags::{self, ServiceTags};
use crate::aws::types::{Rule, RuleSource, SecurityGroup, VpcId};
use crate::nlb::model::{DesiredSecurityGroup, GroupRef, Inputs, ServiceKey};
pub use backend::{backend_group, node_group, node_rules};

/// Rules that a security group can have: AWS's quota "Inbound or outbound rules per security group".
const MAX_RULES: usize = 60;
/// Name of the spec field that source ranges come from first.
const SPEC_SOURCE_RANGES: &str = "spec.loadBalancerSourceRanges";

/// Description of every rule that we write: only rules that bear it are ever taken back from a group that is not ours.
#[must_use]
pub fn rule_description(cluster: &str) -> String {
    format!("landfall/{cluster}")
}

/// The groups of the load balancer, and the managed one among them, if any.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) refs: BTreeSet<GroupRef>,
    pub(super) managed: Option<DesiredSecurityGroup>,
}

/// What the groups are made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) key: &'a ServiceKey,
    pub(super) vpc: &'a VpcId,
    pub(super) origin: &'a Origin<'a>,
    pub(super) tags: &'a ServiceTags,
}

/// Decides.
pub(super) fn groups(
    context: Context<'_>,
    annotations: &Annotations<'_>,
    listeners: &[ListenerPort<'_>],
    findings: &mut Findings,
) -> Groups {
    let Context { inputs, key, vpc, origin, tags } = context;
    let named = annotations.list(&annotations::SECURITY_GROUPS);
    let ranges = source_ranges(&inputs.service, annotations, findings);
    if !named.is_empty() {
        if let Some((field, _)) = ranges {
            findings.tell(
                codes::ANNOTATION_IGNORED,
                field,
                format!("source ranges have no effect with the annotation `{}`", annotations::SECURITY_GROUPS.full_key()),
                "put the ranges into the named security groups",
            );
        }
        return Groups { refs: existing(&inputs.network.security_groups, vpc, &named, findings), managed: None };
    }
    let everybody = || (SPEC_SOURCE_RANGES.to_owned(), BTreeSet::from([ipnet::Ipv4Net::default()]));
    let (field, ranges) = ranges.unwrap_or_else(everybody);
    let ingress = rules(&inputs.policy.cluster_name, &field, &ranges, listeners, findings);
    let managed = DesiredSecurityGroup {
        name: origin.frontend_group(vpc),
        description: format!("Clients of Service {key}"),
        vpc: vpc.clone(),
        ingress,
        tags: tags.of(tags::SECURITY_GROUP),
    };
    Groups { refs: BTreeSet::from([GroupRef::Frontend, GroupRef::Backend]), managed: Some(managed) }
}

/// The user's own groups, all of them found.
fn existing(known: &[SecurityGroup], vpc: &VpcId, named: &[&str], findings: &mut Findings) -> BTreeSet<GroupRef> {
    let field = annotations::SECURITY_GROUPS.full_key();
    let mut refs = BTreeSet::new();
    for name in named {
        let is_meant = |group: &&SecurityGroup| {
            group.vpc == *vpc && (group.id.as_str() == *name || group.tags.get("Name").is_some_and(|value| value == name))
        };
        let mut found: Vec<&SecurityGroup> = known.iter().filter(is_meant).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match found.as_slice() {
            [] => findings.refuse(
                codes::SECURITY_GROUP_NOT_FOUND,
                &field,
                format!("{vpc} has no security group with this id or tag `Name`: {}", quote(name)),
                "name security groups of that VPC",
            ),
            [group] => {
                refs.insert(GroupRef::Existing(group.id.clone()));
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|group| group.id.as_str()).collect();
                findings.refuse(
                    codes::AMBIGUOUS_SECURITY_GROUP,
                    &field,
                    format!("{} bear the tag `Name={name}`", ids.join(" and ")),
                    "name the group by its id",
                );
            }
        }
    }
    refs
}

/// Source ranges in canonical form, and the field they are from; `None` if neither the spec nor the annotation has any.
fn source_ranges(
    service: &Service,
    annotations: &Annotations<'_>,
    findings: &mut Findings,
) -> Option<(String, BTreeSet<ipnet::Ipv4Net>)> {
    let annotated = annotations.list(&annotations::SOURCE_RANGES);
    let spec = service.spec.as_ref().and_then(|spec| spec.load_balancer_source_ranges.as_deref()).unwrap_or_default();
    let (field, texts) = if spec.is_empty() {
        (annotations::SOURCE_RANGES.full_key(), annotated)
    } else {
        if !annotated.is_empty() {
            findings.tell(
                codes::ANNOTATION_IGNORED,
                annotations::SOURCE_RANGES.full_key(),
                format!("`{SPEC_SOURCE_RANGES}` overrides it"),
                "set source ranges in one place only",
            );
        }
        (SPEC_SOURCE_RANGES.to_owned(), spec.iter().map(|text| text.trim()).collect())
    };
    let mut ranges = BTreeSet::new();
    for text in &texts {
        match text.parse::<ipnet::IpNet>() {
            Ok(ipnet::IpNet::V4(range)) => {
                ranges.insert(range.trunc());
            }
            Ok(ipnet::IpNet::V6(_)) => findings.refuse(
                codes::INVALID_SOURCE_RANGE,
                &field,
                format!("{} is an IPv6 range, and the load balancer is IPv4 only", quote(text)),
                "remove it",
            ),
            Err(_) => findings.refuse(
                codes::INVALID_SOURCE_RANGE,
                &field,
                format!("{} is not a CIDR", quote(text)),
                "write an address and a prefix length, such as `192.0.2.0/24`",
            ),
        }
    }
    (!texts.is_empty()).then_some((field, ranges))
}

fn rules(
    cluster: &str,
    field: &str,
    ranges: &BTreeSet<ipnet::Ipv4Net>,
    listeners: &[ListenerPort<'_>],
    findings: &mut Findings,
) -> BTreeSet<Rule> {
    let ports: BTreeSet<(&str, u16)> =
        listeners.iter().flat_map(|listener| listener.transports().iter().map(|transport| (*transport, listener.port))).collect();
    let count = ports.len().saturating_mul(ranges.len());
    if count > MAX_RULES {
        findings.refuse(
            codes::TOO_MANY_RULES,
            field,
            format!(
                "{} source ranges times {} ports make {count} rules, and AWS's quota is {MAX_RULES} for a security group",
                ranges.len(),
                ports.len()
            ),
            format!(
                "join ranges or ports, split the Service, or bring your own groups with `{}`",
                annotations::SECURITY_GROUPS.full_key()
            ),
        );
        return BTreeSet::new();
    }
    let rule = |(transport, port): &(&str, u16), range: &ipnet::Ipv4Net| Rule {
        protocol: (*transport).to_owned(),
        from_port: i32::from(*port),
        to_port: i32::from(*port),
        source: RuleSource::Cidr(ipnet::IpNet::V4(*range)),
        description: rule_description(cluster),
    };
    ports.iter().flat_map(|port| ranges.iter().map(move |range| rule(port, range))).collect()
}

#[cfg(test)]
mod tests {
    use crate::nlb::build::fixtures::{build_service, built, problems, rejected};
    use crate::nlb::model::{Desired, GroupRef};

    fn sources(desired: &Desired) -> Vec<String> {
        desired.security_group.iter().flat_map(|group| &group.ingress).map(ToString::to_string).collect()
    }

    fn annotation(name: &str, value: &str) -> String {
        format!("service.beta.kubernetes.io/{name}: '{value}'")
    }

    #[test]
    fn everybody_is_admitted_unless_ranges_are_given() {
        assert_eq!(sources(&built("")), ["tcp/80 from 0.0.0.0/0"]);
        let desired = built(&annotation("load-balancer-source-ranges", "10.0.0.5/8, 192.0.2.0/24,10.0.0.0/8"));
        assert_eq!(sources(&desired), ["tcp/80 from 10.0.0.0/8", "tcp/80 from 192.0.2.0/24"]);
    }

    #[test]
    fn the_spec_wins_over_the_annotation() {
        let yaml = "
metadata:
  annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: 10.0.0.0/8}
spec: {loadBalancerSourceRanges: ['192.0.2.0/24 '], ports: [{port: 53, nodePort: 30053, protocol: UDP}]}";
        let desired = build_service(yaml).unwrap();
        assert_eq!(sources(&desired), ["udp/53 from 192.0.2.0/24"]);
        assert_eq!(desired.notices[0].code, "AnnotationIgnored");
    }

    #[test]
    fn bad_ranges_are_refused() {
        for (bad, why) in [("10.0.0.0", "not a CIDR"), ("10.0.0.0/33", "not a CIDR"), ("2001:db8::/32", "IPv6")] {
            let rejection = rejected(&annotation("load-balancer-source-ranges", bad));
            assert_eq!(rejection.problems[0].code, "InvalidSourceRange");
            assert!(rejection.to_string().contains(why), "{rejection}");
        }
    }

    #[test]
    fn more_rules_than_the_quota_are_refused_with_the_arithmetic() {
        let ranges = |count: u8| (0..count).map(|n| format!("10.{n}.0.0/16")).collect::<Vec<_>>().join(",");
        built(&annotation("load-balancer-source-ranges", &ranges(60)));
        let rejection = rejected(&annotation("load-balancer-source-ranges", &ranges(61)));
        assert_eq!(rejection.problems[0].code, "TooManyRules");
        assert!(rejection.to_string().contains("61 source ranges times 1 ports make 61 rules"), "{rejection}");
    }

    #[test]
    fn groups_of_the_user_replace_the_managed_ones() {
        let desired = built(&annotation("aws-load-balancer-security-groups", "sg-user1,User Two"));
        let refs: Vec<GroupRef> = desired.load_balancer.unwrap().security_groups.into_iter().collect();
        assert_eq!(refs, [GroupRef::Existing("sg-user1".into()), GroupRef::Existing("sg-user2".into())]);
        assert_eq!(desired.security_group, None);
        assert!(desired.backend_ports.is_empty());
        assert!(desired.notices.is_empty());
        let both = [
            annotation("aws-load-balancer-security-groups", "sg-user1"),
            annotation("load-balancer-source-ranges", "10.0.0.0/8"),
        ];
        let notices = built(&both.join("\n    ")).notices;
        assert_eq!((notices[0].code, notices.len()), ("AnnotationIgnored", 1));
        assert!(notices[0].field.ends_with("load-balancer-source-ranges"), "{}", notices[0]);
    }

    #[test]
    fn groups_that_are_missing_foreign_or_ambiguous_are_refused() {
        for (name, code) in
            [("sg-none", "SecurityGroupNotFound"), ("sg-foreign", "SecurityGroupNotFound"), ("Twice", "AmbiguousSecurityGroup")]
        {
            assert_eq!(problems(&annotation("aws-load-balancer-security-groups", name)), [code], "{name}");
        }
    }
}
