//! The load balancer itself: scheme, target type and name. Uses `annotations` and `names`.

use k8s_openapi::api::core::v1::Service;

use super::annotations::{self, Annotations};
use super::codes::{self, Findings, quote};
use super::names::{self, Origin};
use crate::aws::types::{IpAddressType, Scheme, TargetType};
use crate::nlb::model::Inputs;

/// The value of annotation `type` by which the in-tree controller's load balancers are asked for.
const IN_TREE: &str = "nlb";

/// What follows from annotations alone; `None` where they are wrong.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) scheme: Option<Scheme>,
    pub(super) target_type: Option<TargetType>,
    pub(super) ip_address_type: IpAddressType,
}

/// Reads the annotations that decide what kind of load balancer it is.
pub(super) fn shape(inputs: &Inputs, annotations: &Annotations<'_>, findings: &mut Findings) -> Shape {
    let kind = annotations.choice(&annotations::TYPE, findings);
    // Checked only: IPv4 is the one value so far.
    let _ = annotations.choice(&annotations::IP_ADDRESS_TYPE, findings);
    let _ = annotations.choice(&annotations::BACKEND_PROTOCOL, findings);
    check_ip_families(&inputs.service, findings);
    Shape {
        scheme: scheme(inputs, kind, annotations, findings),
        target_type: target_type(inputs, kind, annotations, findings),
        ip_address_type: IpAddressType::Ipv4,
    }
}

/// The newer annotation, the older one, what exists, the default: in this order, as LBC has it.
fn scheme(inputs: &Inputs, kind: Option<&str>, annotations: &Annotations<'_>, findings: &mut Findings) -> Option<Scheme> {
    let internal = annotations.boolean(&annotations::INTERNAL, findings);
    let by_internal = internal.map(|internal| if internal { Scheme::Internal } else { Scheme::InternetFacing });
    if annotations.text(&annotations::SCHEME).is_some() {
        let scheme = annotations.choice(&annotations::SCHEME, findings).map(Scheme::from)?;
        if let Some(other) = by_internal.filter(|other| *other != scheme) {
            findings.tell(
                codes::ANNOTATION_IGNORED,
                annotations::INTERNAL.full_key(),
                format!("it means {other}, and `{}: {scheme}` overrides it", annotations::SCHEME.full_key()),
                "remove it",
            );
        }
        return Some(scheme);
    }
    if annotations.text(&annotations::INTERNAL).is_some() {
        return by_internal;
    }
    if let Some(placement) = &inputs.placement {
        return Some(placement.scheme.clone());
    }
    match (kind, annotations.text(&annotations::TYPE)) {
        (None, Some(_)) => None,
        (Some(IN_TREE), _) => Some(Scheme::InternetFacing),
        _ => Some(inputs.policy.default_scheme.clone()),
    }
}

fn target_type(
    inputs: &Inputs,
    kind: Option<&str>,
    annotations: &Annotations<'_>,
    findings: &mut Findings,
) -> Option<TargetType> {
    let field = &annotations::NLB_TARGET_TYPE;
    if annotations.text(field).is_some() {
        let target_type = annotations.choice(field, findings).map(TargetType::from)?;
        if kind == Some("nlb-ip") && target_type != TargetType::Ip {
            findings.refuse(
                codes::CONFLICTING_ANNOTATIONS,
                field.full_key(),
                format!("`{target_type}` contradicts `{}: nlb-ip`, which means `ip`", annotations::TYPE.full_key()),
                "remove one of the two",
            );
        }
        return Some(target_type);
    }
    match (kind, annotations.text(&annotations::TYPE)) {
        (None, Some(_)) => None,
        (Some("nlb-ip"), _) => Some(TargetType::Ip),
        (Some(IN_TREE), _) => Some(TargetType::Instance),
        _ => Some(inputs.policy.default_target_type.clone()),
    }
}

/// The name: the user's own, verbatim, or a hashed one.
pub(super) fn name(
    origin: &Origin<'_>,
    scheme: Option<&Scheme>,
    annotations: &Annotations<'_>,
    findings: &mut Findings,
) -> Option<String> {
    let Some(custom) = annotations.text(&annotations::NAME) else { return Some(origin.load_balancer(scheme?)) };
    if let Some(objection) = names::objection(custom) {
        findings.refuse(
            codes::INVALID_NAME,
            annotations::NAME.full_key(),
            format!("{} {objection}", quote(custom)),
            format!(
                "use 1 to {} letters, digits and hyphens, no hyphen at either end, and not `internal-` in front",
                names::MAX_LENGTH
            ),
        );
        return None;
    }
    Some(custom.to_owned())
}

fn check_ip_families(service: &Service, findings: &mut Findings) {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
    if !families.is_empty() && !families.iter().any(|family| family == "IPv4") {
        findings.refuse(
            codes::UNSUPPORTED_IP_FAMILY,
            "spec.ipFamilies",
            format!("the Service is {} only, and load balancers are IPv4 only so far", families.join(", ")),
            "add IPv4 to the Service's address families",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::nlb::build::build;
    use crate::nlb::build::fixtures::{build_service, built, inputs, problems};
    use crate::nlb::model::{Desired, Placement};

    fn key(name: &str, value: &str) -> String {
        format!("service.beta.kubernetes.io/aws-load-balancer-{name}: '{value}'")
    }

    fn kind(desired: &Desired) -> (String, String) {
        let target_type = desired.target_groups.values().next().unwrap().target_type.to_string();
        (desired.load_balancer.as_ref().unwrap().scheme.to_string(), target_type)
    }

    #[test]
    fn scheme_and_target_type_follow_annotations_then_defaults() {
        for (annotations, scheme, target_type) in [
            (vec![], "internal", "instance"),
            (vec![key("type", "external")], "internal", "instance"),
            (vec![key("type", "nlb")], "internet-facing", "instance"),
            (vec![key("type", "nlb"), key("internal", "true")], "internal", "instance"),
            (vec![key("type", "nlb-ip")], "internal", "ip"),
            (vec![key("type", "nlb-ip"), key("nlb-target-type", "ip")], "internal", "ip"),
            (vec![key("scheme", "internet-facing"), key("internal", "true")], "internet-facing", "instance"),
            (vec![key("internal", "false")], "internet-facing", "instance"),
            (vec![key("nlb-target-type", "ip"), key("type", "nlb")], "internet-facing", "ip"),
        ] {
            let desired = built(&annotations.join("\n    "));
            assert_eq!(kind(&desired), (scheme.to_owned(), target_type.to_owned()), "{annotations:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let annotations = [key("type", "nlb-ip"), key("nlb-target-type", "instance")].join("\n    ");
        assert_eq!(problems(&annotations), ["ConflictingAnnotations"]);
    }

    #[test]
    fn an_existing_load_balancer_keeps_its_scheme() {
        let mut inputs = inputs("spec: {ports: [{port: 80, nodePort: 30080}]}");
        inputs.placement =
            Some(Placement { scheme: Scheme::InternetFacing, subnets: std::iter::once("subnet-pub-a".into()).collect() });
        assert_eq!(kind(&build(&inputs).unwrap()).0, "internet-facing");
        let mut policy = (*inputs.policy).clone();
        policy.default_target_type = TargetType::Ip;
        inputs.policy = Arc::new(policy);
        assert_eq!(kind(&build(&inputs).unwrap()).1, "ip");
    }

    #[test]
    fn a_custom_name_is_used_as_it_is() {
        assert_eq!(built(&key("name", "My-NLB")).load_balancer.unwrap().name, "My-NLB");
        assert_eq!(problems(&key("name", "my_nlb")), ["InvalidName"]);
        assert_eq!(problems(&key("name", "")), ["InvalidName"]);
    }

    #[test]
    fn a_service_without_ipv4_is_refused() {
        let service =
            |families: &str| build_service(&format!("spec: {{ipFamilies: {families}, ports: [{{port: 80, nodePort: 30080}}]}}"));
        assert!(service("[IPv6, IPv4]").is_ok());
        assert_eq!(service("[IPv6]").unwrap_err().problems[0].code, "UnsupportedIpFamily");
    }
}
