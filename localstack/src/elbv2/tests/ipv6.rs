//! IPv6, Elastic IP addresses and secondary addresses of load balancers (LB-DUALSTACK-*, LB-EIP-*, LBA-SECONDARY).

use super::rules::with_ipv6;
use crate::testing::{ACCOUNT, Kit, REGION, all, first, listener};

#[test]
fn dual_stack_needs_ipv6_subnets_and_takes_addresses_in_them() {
    let kit = Kit::instant();
    let balancer = kit.load_balancer("web", &[]);
    let set = |kind: &str| kit.elb("SetIpAddressType", &[("LoadBalancerArn", &balancer), ("IpAddressType", kind)]);
    assert_eq!(set("dualstack").unwrap_err().code, "InvalidSubnet");
    assert_eq!(set("dualstack-without-public-ipv4").unwrap_err().code, "InvalidConfigurationRequest");
    with_ipv6(&kit);
    assert_eq!(first(&set("dualstack").unwrap(), "IpAddressType"), "dualstack");
    let xml = kit.elb("DescribeLoadBalancers", &[]).unwrap();
    assert_eq!(first(&xml, "IpAddressType"), "dualstack");
    assert!(!xml.contains("IPv6Address"), "only chosen addresses are shown");
    let subnet = kit.subnet("public-b");
    let cidr =
        kit.shared.with(&kit.shared.account(ACCOUNT, REGION), |state, _, _| state.network.subnets[subnet].ipv6_cidr.unwrap());
    let chosen = format!("{}abcd", cidr.network());
    let mut create = vec![
        ("Name", "six"),
        ("Type", "network"),
        ("SubnetMappings.member.1.SubnetId", subnet),
        ("SubnetMappings.member.1.IPv6Address", chosen.as_str()),
    ];
    assert_eq!(kit.elb_error("CreateLoadBalancer", &create), "InvalidConfigurationRequest", "not without dual stack");
    create.push(("IpAddressType", "dualstack"));
    let xml = kit.elb("CreateLoadBalancer", &create).unwrap();
    assert_eq!(first(&xml, "IPv6Address"), chosen);
    create[3].1 = "2001:db8::1";
    assert_eq!(kit.elb_error("CreateLoadBalancer", &create), "InvalidConfigurationRequest", "outside of the subnet");
}

#[test]
fn udp_on_dual_stack_needs_prefixes_and_ipv6_groups() {
    let kit = Kit::instant();
    with_ipv6(&kit);
    let more = [("IpAddressType", "dualstack")];
    let balancer = kit.load_balancer("dns", &more);
    let group = |name: &str, version: &str| {
        kit.target_group(name, &[("Protocol", "UDP"), ("TargetType", "ip"), ("IpAddressType", version)])
    };
    let (four, six) = (group("four", "ipv4"), group("six", "ipv6"));
    let create = |group: &str| {
        let mut parameters = listener(&balancer, "53", group);
        parameters[1] = ("Protocol", "UDP");
        kit.elb("CreateListener", &parameters).map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(create(&six).unwrap_err(), "InvalidConfigurationRequest", "no prefix for source NAT");
    let subnet = kit.subnet("public-a");
    let mut enable = vec![
        ("LoadBalancerArn", balancer.as_str()),
        ("SubnetMappings.member.1.SubnetId", subnet),
        ("SubnetMappings.member.1.SourceNatIpv6Prefix", "auto_assigned"),
    ];
    assert_eq!(kit.elb_error("SetSubnets", &enable), "InvalidConfigurationRequest", "a prefix needs the flag");
    enable.push(("EnablePrefixForIpv6SourceNat", "on"));
    let xml = kit.elb("SetSubnets", &enable).unwrap();
    assert!(xml.contains("<SourceNatIpv6Prefixes><member>2600:1f14:0:") && xml.contains("/80</member>"), "{xml}");
    assert_eq!(create(&four).unwrap_err(), "InvalidConfigurationRequest");
    create(&six).unwrap();
    enable[2].1 = "2001:db8::/64";
    assert_eq!(kit.elb_error("SetSubnets", &enable), "ValidationError");
}

#[test]
fn elastic_addresses_are_taken_shown_and_given_back() {
    let kit = Kit::instant();
    let allocated = kit.ec2("AllocateAddress", &[("Domain", "vpc")]).unwrap();
    let (allocation, public) = (first(&allocated, "allocationId"), first(&allocated, "publicIp"));
    let (a, b) = (kit.subnet("public-a"), kit.subnet("public-b"));
    let create = |name: &'static str, subnet: &str, allocation: &str, scheme: &str| {
        let parameters = [
            ("Name", name),
            ("Type", "network"),
            ("Scheme", scheme),
            ("SubnetMappings.member.1.SubnetId", subnet),
            ("SubnetMappings.member.1.AllocationId", allocation),
        ];
        kit.elb("CreateLoadBalancer", &parameters).map_err(|error| error.code)
    };
    assert_eq!(create("web", a, "eipalloc-0000000000000dead", "internet-facing").unwrap_err(), "AllocationIdNotFound");
    assert_eq!(create("web", a, &allocation, "internal").unwrap_err(), "InvalidConfigurationRequest");
    let xml = create("web", a, &allocation, "internet-facing").unwrap();
    assert_eq!((first(&xml, "AllocationId"), first(&xml, "IpAddress")), (allocation.clone(), public));
    create("web", a, &allocation, "internet-facing").expect("the same settings");
    assert_eq!(create("other", b, &allocation, "internet-facing").unwrap_err(), "ResourceInUse");
    let arn = first(&xml, "LoadBalancerArn");
    let change = [
        ("LoadBalancerArn", arn.as_str()),
        ("SubnetMappings.member.1.SubnetId", a),
        ("SubnetMappings.member.1.AllocationId", allocation.as_str()),
        ("SubnetMappings.member.2.SubnetId", b),
        ("SubnetMappings.member.2.AllocationId", allocation.as_str()),
    ];
    assert_eq!(kit.elb_error("SetSubnets", &change), "InvalidConfigurationRequest", "one address in two zones");
    kit.elb("SetSubnets", &change[..3]).unwrap();
    let described = kit.ec2("DescribeAddresses", &[("AllocationId.1", &allocation)]).unwrap();
    assert!(described.contains("<associationId>eipassoc-") && described.contains("<networkInterfaceId>eni-"), "{described}");
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &arn)]).unwrap();
    assert!(!kit.ec2("DescribeAddresses", &[("AllocationId.1", &allocation)]).unwrap().contains("associationId"));
}

#[test]
fn secondary_addresses_come_and_never_go() {
    let kit = Kit::instant();
    let balancer = kit.load_balancer("web", &[]);
    let set = |count: &str| {
        let parameters = [
            ("LoadBalancerArn", balancer.as_str()),
            ("Attributes.member.1.Key", "secondary_ips.auto_assigned.per_subnet"),
            ("Attributes.member.1.Value", count),
        ];
        kit.elb("ModifyLoadBalancerAttributes", &parameters).map(|_| ()).map_err(|error| error.code)
    };
    let interfaces = || {
        kit.shared.with(&kit.shared.account(ACCOUNT, REGION), |state, _, _| {
            let own = state.network.interfaces.values().filter(|interface| interface.description.starts_with("ELB net/web/"));
            own.map(|interface| interface.secondary.len()).collect::<Vec<_>>()
        })
    };
    assert_eq!(set("8").unwrap_err(), "ValidationError");
    set("3").unwrap();
    assert_eq!(interfaces(), [3]);
    let subnets = [
        ("LoadBalancerArn", balancer.as_str()),
        ("Subnets.member.1", kit.subnet("public-a")),
        ("Subnets.member.2", kit.subnet("public-b")),
    ];
    kit.elb("SetSubnets", &subnets).unwrap();
    assert_eq!(interfaces(), [3, 3]);
    assert_eq!(set("2").unwrap_err(), "InvalidConfigurationRequest");
}

#[test]
fn quic_has_a_load_balancer_nearly_to_itself_and_its_targets_have_ids() {
    let kit = Kit::instant();
    let group = kit.target_group("quic", &[("Protocol", "QUIC"), ("TargetType", "ip")]);
    let udp = kit.target_group("udp", &[("Protocol", "UDP")]);
    let security_group = kit.security_group("front");
    let create = |balancer: &str, port: &str, protocol: &'static str, group: &str| {
        let mut parameters = listener(balancer, port, group);
        parameters[1] = ("Protocol", protocol);
        kit.elb("CreateListener", &parameters).map_err(|error| error.code)
    };
    let guarded = kit.load_balancer("guarded", &[("SecurityGroups.member.1", &security_group)]);
    assert_eq!(create(&guarded, "443", "QUIC", &group).unwrap_err(), "InvalidConfigurationRequest");
    let plain = kit.load_balancer("plain", &[]);
    create(&plain, "443", "QUIC", &group).unwrap();
    assert_eq!(create(&plain, "444", "QUIC", &group).unwrap_err(), "InvalidConfigurationRequest", "one is enough");
    assert_eq!(create(&plain, "53", "UDP", &udp).unwrap_err(), "InvalidConfigurationRequest");
    let register = |id: &str, server: Option<&str>| {
        let mut parameters = vec![("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id)];
        parameters.extend(server.map(|server| ("Targets.member.1.QuicServerId", server)));
        kit.elb("RegisterTargets", &parameters).map(|_| ()).map_err(|error| error.code)
    };
    for bad in [None, Some("0x0123"), Some("0x0123456789ABCDEF"), Some("00123456789abcdefg")] {
        assert_eq!(register("10.20.1.77", bad).unwrap_err(), "ValidationError", "{bad:?}");
    }
    register("10.20.1.77", Some("0x0123456789abcdef")).unwrap();
    assert_eq!(register("10.20.1.78", Some("0x0123456789abcdef")).unwrap_err(), "ValidationError", "taken");
    assert_eq!(register("10.20.1.77", Some("0x0123456789abcde0")).unwrap_err(), "ValidationError", "cannot be changed");
    let xml = kit.elb("DescribeTargetHealth", &[("TargetGroupArn", &group), ("Include.member.1", "All")]).unwrap();
    assert_eq!(all(&xml, "QuicServerId"), ["0x0123456789abcdef"]);
}
