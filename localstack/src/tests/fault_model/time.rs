//! States that take time, what outlives its owner, and the rules that do not bend. No server: time passes by the clock alone.

use std::time::Duration;

use crate::dns::Answer;
use crate::durations::Durations;
use crate::model::quotas::Quotas;
use crate::resolve;
use crate::testing::{Kit, all, first, listener};

fn realistic() -> Kit {
    Kit::new(Durations::realistic())
}

fn state_of(kit: &Kit, arn: &str) -> String {
    first(&kit.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", arn)]).unwrap(), "Code")
}

/// Parameters of a call about one target.
fn target<'a>(group: &'a str, id: &'a str) -> [(&'a str, &'a str); 2] {
    [("TargetGroupArn", group), ("Targets.member.1.Id", id)]
}

#[test]
fn f01_a_load_balancer_is_provisioning_for_minutes_and_can_fail() {
    let kit = realistic();
    let arn = kit.load_balancer("web", &[]);
    kit.advance(149);
    assert_eq!(state_of(&kit, &arn), "provisioning");
    kit.advance(2);
    assert_eq!(state_of(&kit, &arn), "active");
    kit.region.fail_load_balancer(&arn, "no capacity").unwrap();
    let described = kit.elb("DescribeLoadBalancers", &[]).unwrap();
    assert_eq!((first(&described, "Code"), first(&described, "Reason")), ("failed".to_owned(), "no capacity".to_owned()));
}

#[test]
fn f02_changes_put_it_back_to_provisioning() {
    let kit = realistic();
    let arn = kit.load_balancer("web", &[]);
    kit.advance(151);
    let subnets = [("Subnets.member.1", kit.subnet("public-a")), ("Subnets.member.2", kit.subnet("public-b"))];
    kit.elb("SetSubnets", &[&[("LoadBalancerArn", arn.as_str())][..], &subnets].concat()).unwrap();
    assert_eq!(state_of(&kit, &arn), "provisioning");
    kit.advance(31);
    assert_eq!(state_of(&kit, &arn), "active");
}

#[test]
fn f03_a_create_can_return_what_somebody_else_made() {
    let kit = Kit::instant();
    let theirs = kit.load_balancer("web", &[("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "them")]);
    assert_eq!(kit.load_balancer("web", &[("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "me")]), theirs);
    let tags = kit.elb("DescribeTags", &[("ResourceArns.member.1", &theirs)]).unwrap();
    assert_eq!(all(&tags, "Value"), ["them"], "and the tags are still theirs");
}

#[test]
fn f04_some_settings_never_change() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("web", &[]);
    let internal = [("Name", "web"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", kit.subnet("public-a"))];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &internal), "DuplicateLoadBalancerName");
    let group = kit.security_group("late");
    let set = [("LoadBalancerArn", arn.as_str()), ("SecurityGroups.member.1", group.as_str())];
    assert_eq!(kit.elb_error("SetSecurityGroups", &set), "InvalidConfigurationRequest");
    kit.target_group("web", &[]);
    let other = [("Name", "web"), ("Port", "8080"), ("Protocol", "UDP"), ("VpcId", kit.seeded.vpc_id.as_str())];
    assert_eq!(kit.elb_error("CreateTargetGroup", &other), "DuplicateTargetGroupName");
}

#[test]
fn f05_a_load_balancer_made_again_has_another_dns_name() {
    let kit = Kit::instant();
    let first_arn = kit.load_balancer("web", &[]);
    let old = kit.region.load_balancers()[0].dns_name.clone();
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &first_arn)]).unwrap();
    kit.load_balancer("web", &[]);
    assert_ne!(kit.region.load_balancers()[0].dns_name, old);
}

#[test]
fn f06_names_resolve_minutes_after_the_create() {
    let kit = Kit::new(Durations { provisioning: Duration::ZERO, ..Durations::realistic() });
    kit.load_balancer("web", &[]);
    let name = kit.region.load_balancers()[0].dns_name.clone();
    kit.advance(119);
    assert_eq!(resolve::lookup(&kit.shared, &name), Answer::NoSuchName);
    kit.advance(2);
    assert!(matches!(resolve::lookup(&kit.shared, &name), Answer::Addresses(_)));
}

#[test]
fn f07_registration_takes_minutes_before_the_first_check() {
    let kit = Kit::new(Durations { provisioning: Duration::ZERO, ..Durations::realistic() });
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[("TargetType", "ip")]));
    kit.listener(&balancer, "80", &group);
    kit.elb("RegisterTargets", &target(&group, "10.20.1.77")).unwrap();
    kit.advance(179);
    assert_eq!(kit.health(&group), [("initial".to_owned(), "Elb.RegistrationInProgress".to_owned())]);
    kit.advance(2);
    assert_eq!(kit.health(&group), [("initial".to_owned(), "Elb.InitialHealthChecking".to_owned())]);
}

#[test]
fn f11_a_target_in_a_zone_that_is_not_enabled_is_unused() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[("TargetType", "ip")]));
    kit.listener(&balancer, "80", &group);
    kit.elb("RegisterTargets", &target(&group, "10.20.2.77")).unwrap();
    assert_eq!(kit.health(&group), [("unused".to_owned(), "Target.NotInUse".to_owned())]);
}

#[test]
fn f12_registering_wins_over_draining() {
    let kit = Kit::new(Durations { deregistration: None, ..Durations::instant() });
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[("TargetType", "ip")]));
    kit.listener(&balancer, "80", &group);
    for (action, state) in [("RegisterTargets", "initial"), ("DeregisterTargets", "draining"), ("RegisterTargets", "initial")] {
        kit.elb(action, &target(&group, "10.20.1.77")).unwrap();
        let states: Vec<String> = kit.health(&group).into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [state], "{action}");
    }
    kit.advance(400);
    assert_eq!(kit.health(&group).len(), 1, "the end of the draining is forgotten");
}

#[test]
fn f13_a_target_group_stays_in_use_for_a_while() {
    let kit = realistic();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]).unwrap();
    kit.advance(59);
    assert_eq!(kit.elb_error("DeleteTargetGroup", &[("TargetGroupArn", &group)]), "ResourceInUse");
    kit.advance(2);
    kit.elb("DeleteTargetGroup", &[("TargetGroupArn", &group)]).unwrap();
}

#[test]
fn f14_interfaces_outlive_their_load_balancer() {
    let kit = realistic();
    let group = kit.security_group("web");
    let arn = kit.load_balancer("web", &[("SecurityGroups.member.1", &group)]);
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    kit.advance(89);
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &group)]), "DependencyViolation");
    kit.advance(2);
    kit.ec2("DeleteSecurityGroup", &[("GroupId", &group)]).unwrap();
}

#[test]
fn f17_describing_several_fails_as_a_whole_when_one_is_gone() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("web", &[]);
    let gone = arn.replace("/web/", "/gone/");
    let both = [("LoadBalancerArns.member.1", arn.as_str()), ("LoadBalancerArns.member.2", gone.as_str())];
    assert_eq!(kit.elb_error("DescribeLoadBalancers", &both), "LoadBalancerNotFound");
}

#[test]
fn f18_tags_are_written_to_one_resource_and_read_of_twenty() {
    let kit = Kit::instant();
    let arns = [kit.load_balancer("a", &[]), kit.load_balancer("b", &[])];
    let tag = [("Tags.member.1.Key", "k"), ("Tags.member.1.Value", "v")];
    let both = [("ResourceArns.member.1", arns[0].as_str()), ("ResourceArns.member.2", arns[1].as_str()), tag[0], tag[1]];
    assert_eq!(kit.elb_error("AddTags", &both), "ValidationError");
    let names: Vec<String> = (1..=21).map(|number| format!("ResourceArns.member.{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), arns[0].as_str())).collect();
    assert_eq!(kit.elb_error("DescribeTags", &many), "ValidationError");
}

#[test]
fn f20_quotas_are_enforced_and_can_be_set() {
    let kit = Kit::instant();
    kit.region.set_quotas(Quotas {
        load_balancers: 1,
        target_groups: 2,
        listeners_per_load_balancer: 1,
        targets_per_target_group: 1,
        security_groups_per_interface: 1,
        rules_per_security_group: 1,
        ..Quotas::default()
    });
    let (a, b) = (kit.security_group("a"), kit.security_group("b"));
    let subnet = kit.subnet("public-a").to_owned();
    let create = |name| vec![("Name", name), ("Type", "network"), ("Subnets.member.1", subnet.as_str())];
    let groups = [("SecurityGroups.member.1", a.as_str()), ("SecurityGroups.member.2", b.as_str())];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &[&create("x")[..], &groups].concat()), "InvalidConfigurationRequest");
    let balancer = kit.load_balancer("web", &[]);
    assert_eq!(kit.elb_error("CreateLoadBalancer", &create("x")), "TooManyLoadBalancers");
    let (one, two) = (kit.target_group("one", &[("TargetType", "ip")]), kit.target_group("two", &[]));
    let third = [("Name", "three"), ("Port", "1"), ("Protocol", "TCP"), ("VpcId", kit.seeded.vpc_id.as_str())];
    assert_eq!(kit.elb_error("CreateTargetGroup", &third), "TooManyTargetGroups");
    kit.listener(&balancer, "80", &one);
    assert_eq!(kit.elb_error("CreateListener", &listener(&balancer, "81", &two)), "TooManyListeners");
    let targets =
        [("TargetGroupArn", one.as_str()), ("Targets.member.1.Id", "10.20.1.77"), ("Targets.member.2.Id", "10.20.1.78")];
    assert_eq!(kit.elb_error("RegisterTargets", &targets), "TooManyTargets");
    let rule = |port| {
        [
            ("GroupId", a.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", port),
            ("IpPermissions.1.ToPort", port),
            ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
        ]
    };
    kit.ec2("AuthorizeSecurityGroupIngress", &rule("80")).unwrap();
    assert_eq!(kit.ec2_error("AuthorizeSecurityGroupIngress", &rule("81")), "RulesPerSecurityGroupLimitExceeded");
    let limits = kit.elb("DescribeAccountLimits", &[]).unwrap();
    assert!(limits.contains("<Name>network-load-balancers</Name><Max>1</Max>"), "{limits}");
}

#[test]
fn f20_quotas_of_a_load_balancers_targets_and_interfaces_can_be_set() {
    let kit = Kit::instant();
    let set = |quotas| kit.region.set_quotas(quotas);
    set(Quotas { interfaces_per_vpc: 1, ..Quotas::default() });
    let balancer = kit.load_balancer("web", &[("Subnets.member.1", kit.subnet("public-a"))]);
    let second = [("Name", "second"), ("Type", "network"), ("Subnets.member.1", kit.subnet("public-b"))];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &second), "TooManyLoadBalancers");
    let group = kit.target_group("web", &[("TargetType", "ip")]);
    kit.listener(&balancer, "80", &group);
    let targets =
        [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", "10.20.1.77"), ("Targets.member.2.Id", "10.20.1.78")];
    for quotas in
        [Quotas { targets_per_load_balancer: 1, ..Quotas::default() }, Quotas { targets_per_zone: 1, ..Quotas::default() }]
    {
        set(quotas);
        assert_eq!(kit.elb_error("RegisterTargets", &targets), "TooManyTargets", "{quotas:?}");
    }
    set(Quotas::default());
    kit.elb("RegisterTargets", &targets).unwrap();
}

#[test]
fn f21_a_zone_changes_its_subnet_by_leaving_and_coming_back() {
    let kit = Kit::instant();
    let arn =
        kit.load_balancer("web", &[("Subnets.member.1", kit.subnet("public-a")), ("Subnets.member.2", kit.subnet("public-b"))]);
    let set = |subnets: &[&str]| {
        let names = ["Subnets.member.1", "Subnets.member.2"];
        let mut parameters = vec![("LoadBalancerArn", arn.as_str())];
        parameters.extend(names.into_iter().zip(subnets.iter().copied()));
        kit.elb("SetSubnets", &parameters).map_err(|error| error.code)
    };
    let (a, b, other_a) = (kit.subnet("public-a"), kit.subnet("public-b"), kit.subnet("internal-a"));
    assert_eq!(set(&[other_a, b]).map(|_| ()), Err("InvalidConfigurationRequest".to_owned()));
    set(&[b]).unwrap();
    set(&[other_a, b]).unwrap();
    assert_ne!(a, other_a);
}

#[test]
fn f25_a_batch_of_rules_with_a_duplicate_adds_nothing() {
    let kit = Kit::instant();
    let group = kit.security_group("node");
    let rule = |number: &str, port: &'static str| -> Vec<(String, &'static str)> {
        [("IpProtocol", "tcp"), ("FromPort", port), ("ToPort", port), ("IpRanges.1.CidrIp", "10.0.0.0/8")]
            .map(|(name, value)| (format!("IpPermissions.{number}.{name}"), value))
            .into()
    };
    let authorize = |rules: &[Vec<(String, &'static str)>]| {
        let mut parameters = vec![("GroupId", group.as_str())];
        parameters.extend(rules.iter().flatten().map(|(name, value)| (name.as_str(), *value)));
        kit.ec2("AuthorizeSecurityGroupIngress", &parameters).map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(authorize(&[rule("1", "80")]), Ok(()));
    assert_eq!(authorize(&[rule("1", "81"), rule("2", "80")]), Err("InvalidPermission.Duplicate".to_owned()));
    assert_eq!(authorize(&[rule("1", "81")]), Ok(()), "the first of them was not added");
}
