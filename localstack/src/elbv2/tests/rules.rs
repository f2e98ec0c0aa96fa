//! Rules of listeners and weighted forwards (LS-WEIGHTED, RULE-*).

use crate::testing::{ACCOUNT, Kit, REGION, all, first, listener};

/// Lets every subnet of the account have an IPv6 block.
pub(super) fn with_ipv6(kit: &Kit) {
    kit.shared.with(&kit.shared.account(ACCOUNT, REGION), |state, _, _| {
        for (number, subnet) in state.network.subnets.values_mut().enumerate() {
            subnet.ipv6_cidr = format!("2600:1f14:0:{number:x}::/64").parse().ok();
        }
    });
}

#[test]
fn a_forward_may_name_five_groups_by_weight() {
    let kit = Kit::instant();
    let balancer = kit.load_balancer("web", &[]);
    let groups: Vec<String> = (0..6).map(|number| kit.target_group(&format!("g{number}"), &[])).collect();
    let create = |count: usize, weights: &[&str], more: &[(&str, &str)]| {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (at, group) in groups.iter().take(count).enumerate() {
            let prefix = format!("DefaultActions.member.1.ForwardConfig.TargetGroups.member.{}", at + 1);
            fields.push((format!("{prefix}.TargetGroupArn"), group.clone()));
            if let Some(weight) = weights.get(at) {
                fields.push((format!("{prefix}.Weight"), (*weight).to_owned()));
            }
        }
        let mut parameters: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        parameters.extend([("LoadBalancerArn", balancer.as_str()), ("Protocol", "TCP"), ("Port", "80")]);
        parameters.push(("DefaultActions.member.1.Type", "forward"));
        parameters.extend(more);
        kit.elb("CreateListener", &parameters).map_err(|error| error.code)
    };
    let stickiness = "DefaultActions.member.1.ForwardConfig.TargetGroupStickinessConfig.Enabled";
    assert_eq!(create(2, &["1"], &[]).unwrap_err(), "ValidationError", "each of several needs a weight");
    assert_eq!(create(2, &["1", "1000"], &[]).unwrap_err(), "ValidationError");
    assert_eq!(create(6, &["1"; 6], &[]).unwrap_err(), "TooManyUniqueTargetGroupsPerLoadBalancer");
    assert_eq!(create(1, &[], &[(stickiness, "true")]).unwrap_err(), "InvalidConfigurationRequest");
    let single = [("DefaultActions.member.1.TargetGroupArn", groups[0].as_str())];
    assert_eq!(create(2, &["1", "1"], &single).unwrap_err(), "ValidationError");
    let xml = create(2, &["0", "999"], &[(stickiness, "true")]).unwrap();
    assert_eq!(all(&xml, "Weight"), ["0", "999"]);
    assert_eq!(first(&xml, "Enabled"), "true");
    assert!(!xml.contains("<Type>forward</Type><TargetGroupArn>"), "one group is named only when it is the only one: {xml}");
    let used = |number: usize| {
        kit.region.target_groups().iter().find(|group| group.arn == groups[number]).unwrap().load_balancer.is_some()
    };
    assert!(used(0) && used(1) && !used(2));
    kit.elb("DeleteListener", &[("ListenerArn", &first(&xml, "ListenerArn"))]).unwrap();
    assert!(!used(0) && !used(1));
}

#[test]
fn every_listener_has_a_default_rule_that_follows_it() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let arn = kit.listener(&balancer, "80", &group);
    let xml = kit.elb("DescribeRules", &[("ListenerArn", &arn)]).unwrap();
    let rule = first(&xml, "RuleArn");
    assert!(rule.starts_with(&arn.replace(":listener/", ":listener-rule/")), "{rule}");
    assert_eq!((first(&xml, "Priority"), first(&xml, "IsDefault")), ("default".to_owned(), "true".to_owned()));
    assert!(kit.elb("DescribeRules", &[("RuleArns.member.1", &rule)]).unwrap().contains(&group));
    let tag = [("ResourceArns.member.1", rule.as_str()), ("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "b")];
    kit.elb("AddTags", &tag).unwrap();
    assert_eq!(first(&kit.elb("DescribeTags", &tag[..1]).unwrap(), "Value"), "b");
    assert_eq!(kit.elb_error("DeleteRule", &[("RuleArn", &rule)]), "OperationNotPermitted");
    assert_eq!(kit.elb_error("DescribeRules", &[("RuleArns.member.1", "arn:no")]), "RuleNotFound");
    assert_eq!(kit.elb_error("DescribeRules", &[]), "ValidationError");
}

#[test]
fn rules_tell_ip_versions_apart_on_dual_stack_load_balancers() {
    let kit = Kit::instant();
    with_ipv6(&kit);
    let balancer = kit.load_balancer("web", &[]);
    let (four, six) = (
        kit.target_group("four", &[("TargetType", "ip")]),
        kit.target_group("six", &[("TargetType", "ip"), ("IpAddressType", "ipv6")]),
    );
    assert_eq!(kit.elb_error("CreateListener", &listener(&balancer, "80", &six)), "InvalidConfigurationRequest");
    let arn = kit.listener(&balancer, "80", &four);
    let create = |priority: &str, group: &str| {
        let parameters = [
            ("ListenerArn", arn.as_str()),
            ("Priority", priority),
            ("Conditions.member.1.Field", "source-ip"),
            ("Conditions.member.1.SourceIpConfig.IpAddressType", "ipv6"),
            ("Actions.member.1.Type", "forward"),
            ("Actions.member.1.TargetGroupArn", group),
        ];
        kit.elb("CreateRule", &parameters).map_err(|error| error.code)
    };
    assert_eq!(create("10", &six).unwrap_err(), "InvalidConfigurationRequest", "not on an ipv4 load balancer");
    kit.elb("SetIpAddressType", &[("LoadBalancerArn", &balancer), ("IpAddressType", "dualstack")]).unwrap();
    let rule = first(&create("10", &six).unwrap(), "RuleArn");
    assert_eq!(create("10", &six).unwrap_err(), "PriorityInUse");
    let back = [("LoadBalancerArn", balancer.as_str()), ("IpAddressType", "ipv4")];
    assert_eq!(kit.elb_error("SetIpAddressType", &back), "InvalidConfigurationRequest", "the rule needs dual stack");
    let other = first(&create("20", &six).unwrap(), "RuleArn");
    let priorities = [
        ("RulePriorities.member.1.RuleArn", rule.as_str()),
        ("RulePriorities.member.1.Priority", "20"),
        ("RulePriorities.member.2.RuleArn", other.as_str()),
        ("RulePriorities.member.2.Priority", "10"),
    ];
    assert_eq!(kit.elb_error("SetRulePriorities", &priorities[..2]), "PriorityInUse");
    kit.elb("SetRulePriorities", &priorities).unwrap();
    let xml = kit.elb("DescribeRules", &[("ListenerArn", &arn)]).unwrap();
    assert_eq!(all(&xml, "Priority"), ["10", "20", "default"]);
    assert_eq!(all(&xml, "RuleArn")[..2], [other.clone(), rule.clone()]);
    let modify =
        [("RuleArn", rule.as_str()), ("Actions.member.1.Type", "forward"), ("Actions.member.1.TargetGroupArn", four.as_str())];
    assert!(kit.elb("ModifyRule", &modify).unwrap().contains(&four));
    for rule in [&rule, &other] {
        kit.elb("DeleteRule", &[("RuleArn", rule)]).unwrap();
    }
    assert_eq!(kit.elb_error("DeleteRule", &[("RuleArn", &rule)]), "RuleNotFound");
    kit.elb("SetIpAddressType", &back).unwrap();
}
