//! Load balancers: LB-*, SETSUBNETS-*, SETSG-*.

use std::time::Duration;

use crate::durations::Durations;
use crate::testing::{Kit, all, first};

#[test]
fn arn_and_dns_name_share_sixteen_digits_of_a_net_load_balancer() {
    let kit = Kit::instant();
    let xml = kit
        .elb("CreateLoadBalancer", &[("Name", "web"), ("Type", "network"), ("Subnets.member.1", kit.subnet("public-a"))])
        .unwrap();
    let arn = first(&xml, "LoadBalancerArn");
    let id = arn.strip_prefix("arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/net/web/").unwrap();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(first(&xml, "DNSName"), format!("web-{id}.elb.us-west-2.amazonaws.com"));
    assert_eq!(first(&xml, "CanonicalHostedZoneId"), "Z18D5FSROUN65G");
    assert_eq!(first(&xml, "Code"), "provisioning");
    assert!(xml.contains("<LoadBalancerAddresses></LoadBalancerAddresses>"), "addresses that AWS picks are not shown");
    assert!(!xml.contains("<SecurityGroups>"), "an NLB without groups shows none: {xml}");
}

#[test]
fn provisioning_ends_in_its_time_and_not_by_being_looked_at() {
    let kit = Kit::new(Durations { provisioning: Duration::from_secs(150), ..Durations::instant() });
    let state = |kit: &Kit| first(&kit.elb("DescribeLoadBalancers", &[("Names.member.1", "web")]).unwrap(), "Code");
    kit.load_balancer("web", &[]);
    assert_eq!(state(&kit), "provisioning");
    kit.advance(149);
    assert_eq!(state(&kit), "provisioning");
    kit.advance(2);
    assert_eq!(state(&kit), "active");
}

#[test]
fn a_name_is_created_once_and_only_with_the_same_settings() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("web", &[("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "a")]);
    assert_eq!(kit.load_balancer("web", &[("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "b")]), arn);
    assert_eq!(kit.region.load_balancers().len(), 1);
    assert_eq!(kit.region.load_balancers()[0].tags["owner"], "a", "an idempotent create changes nothing");
    let (same, other, group) = (kit.subnet("public-a"), kit.subnet("public-b"), kit.security_group("front"));
    for difference in [
        &[("Subnets.member.1", same), ("Scheme", "internal")][..],
        &[("Subnets.member.1", other)],
        &[("Subnets.member.1", same), ("SecurityGroups.member.1", &group)],
    ] {
        let mut create = vec![("Name", "web"), ("Type", "network")];
        create.extend(difference);
        assert_eq!(kit.elb_error("CreateLoadBalancer", &create), "DuplicateLoadBalancerName", "{difference:?}");
    }
}

#[test]
fn names_and_types_are_checked() {
    let kit = Kit::instant();
    let subnet = kit.subnet("public-a");
    for name in ["a".repeat(33).as_str(), "-a", "a-", "internal-a", "a_b", ""] {
        let create = [("Name", name), ("Type", "network"), ("Subnets.member.1", subnet)];
        assert_eq!(kit.elb_error("CreateLoadBalancer", &create), "ValidationError", "{name}");
    }
    let application = kit.elb("CreateLoadBalancer", &[("Name", "a"), ("Subnets.member.1", subnet)]).unwrap_err();
    assert!(application.message.contains("Type=network"), "{application}");
    let scheme = [("Name", "a"), ("Type", "network"), ("Scheme", "public"), ("Subnets.member.1", subnet)];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &scheme), "ValidationError");
    assert!(kit.region.load_balancers().is_empty());
}

#[test]
fn subnets_groups_and_addresses_are_checked() {
    let kit = Kit::instant();
    let bare = first(&kit.ec2("CreateVpc", &[("CidrBlock", "10.99.0.0/16")]).unwrap(), "vpcId");
    let foreign = first(&kit.ec2("CreateSubnet", &[("VpcId", &bare), ("CidrBlock", "10.99.0.0/24")]).unwrap(), "subnetId");
    let tiny = [("VpcId", bare.as_str()), ("CidrBlock", "10.99.1.0/28"), ("AvailabilityZone", "us-west-2b")];
    let tiny = first(&kit.ec2("CreateSubnet", &tiny).unwrap(), "subnetId");
    let foreign_group = [("GroupName", "x"), ("GroupDescription", "x"), ("VpcId", bare.as_str())];
    let foreign_group = first(&kit.ec2("CreateSecurityGroup", &foreign_group).unwrap(), "groupId");
    let (a, b) = (kit.subnet("public-a"), kit.subnet("public-b"));
    for (more, code) in [
        (&[("Subnets.member.1", "subnet-0000")][..], "SubnetNotFound"),
        (&[("Subnets.member.1", a), ("Subnets.member.2", kit.subnet("nodes-a"))], "InvalidConfigurationRequest"),
        (&[("Subnets.member.1", a), ("Subnets.member.2", &foreign)], "InvalidConfigurationRequest"),
        (&[("Subnets.member.1", &foreign)], "InvalidSubnet"),
        (&[("Subnets.member.1", a), ("SecurityGroups.member.1", "sg-0000")], "InvalidSecurityGroup"),
        (&[("Subnets.member.1", a), ("SecurityGroups.member.1", &foreign_group)], "InvalidConfigurationRequest"),
        (&[("Subnets.member.1", a), ("IpAddressType", "dualstack")], "InvalidSubnet"),
        (&[("Subnets.member.1", a), ("SubnetMappings.member.1.SubnetId", b)], "ValidationError"),
        (
            &[("SubnetMappings.member.1.SubnetId", a), ("SubnetMappings.member.1.AllocationId", "eipalloc-1")],
            "AllocationIdNotFound",
        ),
        (
            &[
                ("Scheme", "internal"),
                ("SubnetMappings.member.1.SubnetId", a),
                ("SubnetMappings.member.1.PrivateIPv4Address", "10.9.9.9"),
            ],
            "InvalidConfigurationRequest",
        ),
        (&[], "ValidationError"),
    ] {
        let mut create = vec![("Name", "web"), ("Type", "network")];
        create.extend(more);
        assert_eq!(kit.elb_error("CreateLoadBalancer", &create), code, "{more:?}");
    }
    // A /28 has 11 free addresses: after four internal load balancers there are fewer than 8.
    for (number, expected) in [("1", true), ("2", true), ("3", true), ("4", true), ("5", false)] {
        let name = format!("tiny-{number}");
        let create = [("Name", name.as_str()), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", tiny.as_str())];
        assert_eq!(kit.elb("CreateLoadBalancer", &create).is_ok(), expected, "{name}");
    }
}

#[test]
fn chosen_addresses_are_taken_and_shown() {
    let kit = Kit::instant();
    let subnet = kit.subnet("internal-a");
    let mapping = [
        ("Scheme", "internal"),
        ("SubnetMappings.member.1.SubnetId", subnet),
        ("SubnetMappings.member.1.PrivateIPv4Address", "10.20.176.77"),
    ];
    kit.load_balancer("web", &mapping);
    let xml = kit.elb("DescribeLoadBalancers", &[]).unwrap();
    assert_eq!(first(&xml, "PrivateIPv4Address"), "10.20.176.77");
    let mut again = vec![("Name", "other"), ("Type", "network")];
    again.extend(mapping);
    assert_eq!(kit.elb_error("CreateLoadBalancer", &again), "InvalidConfigurationRequest");
}

#[test]
fn interfaces_take_addresses_and_outlive_their_load_balancer() {
    let linger = Durations { load_balancer_interfaces_linger: Duration::from_secs(90), ..Durations::instant() };
    let kit = Kit::new(linger);
    let group = kit.security_group("front");
    let subnets = [("Subnets.member.1", kit.subnet("public-a")), ("Subnets.member.2", kit.subnet("public-b"))];
    let free = |kit: &Kit| {
        first(&kit.ec2("DescribeSubnets", &[("SubnetId.1", kit.subnet("public-a"))]).unwrap(), "availableIpAddressCount")
    };
    let before: u32 = free(&kit).parse().unwrap();
    let arn = kit.load_balancer("web", &[subnets[0], subnets[1], ("SecurityGroups.member.1", &group)]);
    assert_eq!(free(&kit).parse::<u32>().unwrap(), before - 1);

    let id = arn.rsplit('/').next().unwrap();
    let description = format!("ELB net/web/{id}");
    let by_description = [("Filter.1.Name", "description"), ("Filter.1.Value.1", description.as_str())];
    let xml = kit.ec2("DescribeNetworkInterfaces", &by_description).unwrap();
    assert_eq!(all(&xml, "networkInterfaceId").len(), 2);
    assert_eq!(first(&xml, "requesterManaged"), "true");
    let addresses: Vec<_> = kit.region.load_balancers()[0].zones.iter().map(|zone| zone.address.to_string()).collect();
    assert_eq!(addresses, ["10.20.128.4", "10.20.144.4"]);
    assert!(all(&xml, "privateIpAddress").contains(&addresses[0]));
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &group)]), "DependencyViolation");
    assert_eq!(kit.ec2_error("DeleteSubnet", &[("SubnetId", kit.subnet("public-a"))]), "DependencyViolation");

    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).expect("deleting twice succeeds");
    kit.advance(89);
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &group)]), "DependencyViolation");
    kit.advance(2);
    kit.ec2("DeleteSecurityGroup", &[("GroupId", &group)]).unwrap();
    assert_eq!(free(&kit).parse::<u32>().unwrap(), before);
}

#[test]
fn describing_by_name_or_arn_is_all_or_nothing() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("one", &[]);
    let gone = format!("{}0000000000000000", arn.strip_suffix(arn.rsplit('/').next().unwrap()).unwrap());
    assert_eq!(
        all(&kit.elb("DescribeLoadBalancers", &[("LoadBalancerArns.member.1", &arn)]).unwrap(), "LoadBalancerName"),
        ["one"]
    );
    let two = [("LoadBalancerArns.member.1", arn.as_str()), ("LoadBalancerArns.member.2", gone.as_str())];
    assert_eq!(kit.elb_error("DescribeLoadBalancers", &two), "LoadBalancerNotFound");
    assert_eq!(
        kit.elb_error("DescribeLoadBalancers", &[("Names.member.1", "one"), ("Names.member.2", "no")]),
        "LoadBalancerNotFound"
    );
    let names: Vec<String> = (1..=21).map(|number| format!("LoadBalancerArns.member.{number}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), arn.as_str())).collect();
    assert_eq!(kit.elb_error("DescribeLoadBalancers", &many), "ValidationError");
}

#[test]
fn pages_survive_the_deletion_of_their_marker() {
    let kit = Kit::instant();
    for number in 0..5 {
        kit.load_balancer(&format!("lb-{number}"), &[]);
    }
    let page = kit.elb("DescribeLoadBalancers", &[("PageSize", "2")]).unwrap();
    let marker = first(&page, "NextMarker");
    for arn in all(&page, "LoadBalancerArn") {
        kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    }
    let page = kit.elb("DescribeLoadBalancers", &[("PageSize", "2"), ("Marker", &marker)]).unwrap();
    assert_eq!(all(&page, "LoadBalancerName"), ["lb-2", "lb-3"]);
    let page = kit.elb("DescribeLoadBalancers", &[("PageSize", "2"), ("Marker", &first(&page, "NextMarker"))]).unwrap();
    assert_eq!((all(&page, "LoadBalancerName"), page.contains("NextMarker")), (vec!["lb-4".to_owned()], false));
    assert_eq!(kit.elb_error("DescribeLoadBalancers", &[("PageSize", "401")]), "ValidationError");
}

#[test]
fn fifty_load_balancers_are_the_limit() {
    let kit = Kit::instant();
    for number in 0..50 {
        kit.load_balancer(&format!("lb-{number}"), &[]);
    }
    let create = [("Name", "more"), ("Type", "network"), ("Subnets.member.1", kit.subnet("public-a"))];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &create), "TooManyLoadBalancers");
    kit.load_balancer("lb-0", &[]);
}

#[test]
fn deletion_protection_protects() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("web", &[]);
    let protect = |value| {
        let attribute = [
            ("LoadBalancerArn", arn.as_str()),
            ("Attributes.member.1.Key", "deletion_protection.enabled"),
            ("Attributes.member.1.Value", value),
        ];
        kit.elb("ModifyLoadBalancerAttributes", &attribute).unwrap()
    };
    protect("true");
    assert_eq!(kit.elb_error("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]), "OperationNotPermitted");
    protect("false");
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
}

#[test]
fn zones_come_and_go_but_their_subnet_does_not_change() {
    let kit = Kit::new(Durations { reprovisioning: Duration::from_secs(30), ..Durations::instant() });
    let (a, b) = (kit.subnet("public-a"), kit.subnet("public-b"));
    let arn = kit.load_balancer("web", &[("Subnets.member.1", a), ("Subnets.member.2", b)]);
    let address = kit.region.load_balancers()[0].zones[0].address;
    let same = [("LoadBalancerArn", arn.as_str()), ("Subnets.member.1", b), ("Subnets.member.2", a)];
    kit.elb("SetSubnets", &same).unwrap();
    assert_eq!(kit.region.load_balancers()[0].state, "active", "nothing changed");
    let one = [("LoadBalancerArn", arn.as_str()), ("Subnets.member.1", a)];
    assert_eq!(all(&kit.elb("SetSubnets", &one).unwrap(), "ZoneName"), ["us-west-2a"]);
    let now = &kit.region.load_balancers()[0];
    assert_eq!((now.state.as_str(), now.zones[0].address), ("provisioning", address), "a zone that stays keeps its address");
    kit.advance(31);
    assert_eq!(kit.region.load_balancers()[0].state, "active");
    let swap = [("LoadBalancerArn", arn.as_str()), ("Subnets.member.1", kit.subnet("nodes-a"))];
    assert_eq!(kit.elb_error("SetSubnets", &swap), "InvalidConfigurationRequest");
}

#[test]
fn security_groups_can_be_changed_but_neither_added_nor_all_removed() {
    let kit = Kit::instant();
    let (one, two) = (kit.security_group("one"), kit.security_group("two"));
    let without = kit.load_balancer("without", &[]);
    let set = [("LoadBalancerArn", without.as_str()), ("SecurityGroups.member.1", one.as_str())];
    assert_eq!(kit.elb_error("SetSecurityGroups", &set), "InvalidConfigurationRequest");
    let with = kit.load_balancer("with", &[("SecurityGroups.member.1", &one)]);
    let none = [("LoadBalancerArn", with.as_str()), ("SecurityGroups", "")];
    assert_eq!(kit.elb_error("SetSecurityGroups", &none), "InvalidConfigurationRequest");
    let set = [
        ("LoadBalancerArn", with.as_str()),
        ("SecurityGroups.member.1", two.as_str()),
        ("EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic", "off"),
    ];
    assert_eq!(all(&kit.elb("SetSecurityGroups", &set).unwrap(), "member"), [two.as_str()]);
    let shown = kit.elb("DescribeLoadBalancers", &[("Names.member.1", "with")]).unwrap();
    assert_eq!(first(&shown, "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"), "off");
    assert!(kit.region.interfaces().iter().any(|interface| interface.security_groups == [two.clone()]));
    kit.ec2("DeleteSecurityGroup", &[("GroupId", &one)]).expect("no longer in use");
}
