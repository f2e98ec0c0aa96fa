//! Listeners: LS-*, LSA-*.

use crate::testing::{Kit, all, first, listener};

#[test]
fn one_listener_for_a_port_whatever_its_protocol() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let arn = kit.listener(&balancer, "80", &group);
    assert!(arn.contains(":listener/net/web/") && arn.starts_with(&balancer.replace(":loadbalancer/", ":listener/")), "{arn}");
    assert_eq!(kit.listener(&balancer, "80", &group), arn, "the same settings give the same listener");
    let other = kit.target_group("other", &[]);
    assert_eq!(kit.elb_error("CreateListener", &listener(&balancer, "80", &other)), "DuplicateListener");
    let udp_group = kit.target_group("udp", &[("Protocol", "UDP")]);
    let mut udp = listener(&balancer, "80", &udp_group);
    udp[1] = ("Protocol", "UDP");
    assert_eq!(kit.elb_error("CreateListener", &udp), "DuplicateListener");
    assert_eq!(kit.region.listeners().len(), 1);
}

#[test]
fn a_listener_shows_its_group_twice_and_no_tls_settings() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let by_config = [
        ("LoadBalancerArn", balancer.as_str()),
        ("Protocol", "TCP"),
        ("Port", "80"),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.Order", "1"),
        ("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", group.as_str()),
    ];
    let xml = kit.elb("CreateListener", &by_config).unwrap();
    assert_eq!(all(&xml, "TargetGroupArn"), [group.as_str(), group.as_str()]);
    assert_eq!(first(&xml, "Order"), "1");
    assert!(!xml.contains("SslPolicy") && !xml.contains("Certificates") && !xml.contains("Weight"));
}

#[test]
fn protocols_groups_and_actions_have_to_fit() {
    let kit = Kit::instant();
    let balancer = kit.load_balancer("web", &[]);
    let (tcp, udp, both) = (
        kit.target_group("tcp", &[]),
        kit.target_group("udp", &[("Protocol", "UDP")]),
        kit.target_group("both", &[("Protocol", "TCP_UDP")]),
    );
    let create = |protocol: &'static str, group: &str, more: &[(&str, &str)]| {
        let mut parameters = listener(&balancer, "80", group);
        parameters[1] = ("Protocol", protocol);
        parameters.extend(more);
        let result = kit.elb("CreateListener", &parameters);
        if let Ok(xml) = &result {
            kit.elb("DeleteListener", &[("ListenerArn", &first(xml, "ListenerArn"))]).unwrap();
        }
        result.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(create("TCP", &udp, &[]).unwrap_err(), "IncompatibleProtocols");
    assert_eq!(create("TCP_UDP", &tcp, &[]).unwrap_err(), "IncompatibleProtocols");
    for (protocol, group) in [("TCP", &tcp), ("TCP", &both), ("UDP", &udp), ("UDP", &both), ("TCP_UDP", &both)] {
        create(protocol, group, &[]).unwrap();
    }
    assert_eq!(create("HTTP", &tcp, &[]).unwrap_err(), "UnsupportedProtocol");
    assert_eq!(create("TLS", &tcp, &[]).unwrap_err(), "ValidationError");
    assert_eq!(create("TLS", &tcp, &[("Certificates.member.1.CertificateArn", "arn:x")]).unwrap_err(), "CertificateNotFound");
    assert_eq!(create("TCP", &tcp, &[("SslPolicy", "x")]).unwrap_err(), "InvalidConfigurationRequest");
    assert_eq!(create("TCP", "arn:no", &[]).unwrap_err(), "TargetGroupNotFound");
    let second = [("DefaultActions.member.2.Type", "forward"), ("DefaultActions.member.2.TargetGroupArn", both.as_str())];
    assert_eq!(create("TCP", &tcp, &second).unwrap_err(), "TooManyActions");
    let differing = [("DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn", both.as_str())];
    assert_eq!(create("TCP", &tcp, &differing).unwrap_err(), "ValidationError");
    let mut redirect = listener(&balancer, "80", &tcp);
    redirect[3] = ("DefaultActions.member.1.Type", "redirect");
    assert_eq!(kit.elb_error("CreateListener", &redirect), "InvalidLoadBalancerAction");
    assert_eq!(kit.elb_error("CreateListener", &listener("arn:no", "80", &tcp)), "LoadBalancerNotFound");
}

#[test]
fn a_group_belongs_to_one_load_balancer() {
    let kit = Kit::instant();
    let (one, two, group) = (kit.load_balancer("one", &[]), kit.load_balancer("two", &[]), kit.target_group("web", &[]));
    kit.listener(&one, "80", &group);
    assert_eq!(kit.elb_error("CreateListener", &listener(&two, "80", &group)), "TargetGroupAssociationLimit");
}

#[test]
fn modifying_checks_what_creating_checks() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[("Protocol", "TCP_UDP")]));
    let (one, _two) = (kit.listener(&balancer, "80", &group), kit.listener(&balancer, "81", &group));
    let modify = |more: &[(&str, &str)]| {
        let mut parameters = vec![("ListenerArn", one.as_str())];
        parameters.extend(more);
        kit.elb("ModifyListener", &parameters)
    };
    assert_eq!(modify(&[("Port", "81")]).unwrap_err().code, "DuplicateListener");
    assert_eq!(first(&modify(&[("Protocol", "UDP")]).unwrap(), "Protocol"), "UDP");
    let absent = [("DefaultActions.member.1.Type", "forward"), ("DefaultActions.member.1.TargetGroupArn", "arn:no")];
    assert_eq!(modify(&absent).unwrap_err().code, "TargetGroupNotFound");
    assert_eq!(first(&modify(&[("Port", "90")]).unwrap(), "Port"), "90");
    assert_eq!(kit.elb_error("ModifyListener", &[("ListenerArn", "arn:no")]), "ListenerNotFound");
}

#[test]
fn fifty_listeners_are_the_limit() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    for port in 1..=50 {
        kit.listener(&balancer, &port.to_string(), &group);
    }
    assert_eq!(kit.elb_error("CreateListener", &listener(&balancer, "51", &group)), "TooManyListeners");
    let page = kit.elb("DescribeListeners", &[("LoadBalancerArn", &balancer), ("PageSize", "30")]).unwrap();
    let rest = [("LoadBalancerArn", balancer.as_str()), ("PageSize", "30"), ("Marker", &first(&page, "NextMarker"))];
    let rest = kit.elb("DescribeListeners", &rest).unwrap();
    let mut ports: Vec<u16> = [page, rest].iter().flat_map(|xml| all(xml, "Port")).map(|port| port.parse().unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, (1..=50).collect::<Vec<u16>>());
}

#[test]
fn describing_and_deleting_name_what_is_missing() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let arn = kit.listener(&balancer, "80", &group);
    let two = [("ListenerArns.member.1", arn.as_str()), ("ListenerArns.member.2", "arn:no")];
    assert_eq!(kit.elb_error("DescribeListeners", &two), "ListenerNotFound");
    assert_eq!(kit.elb_error("DescribeListeners", &[("LoadBalancerArn", "arn:no")]), "LoadBalancerNotFound");
    assert_eq!(kit.elb_error("DescribeListeners", &[]), "ValidationError");
    kit.elb("DeleteListener", &[("ListenerArn", &arn)]).unwrap();
    assert_eq!(kit.elb_error("DeleteListener", &[("ListenerArn", &arn)]), "ListenerNotFound");
}

#[test]
fn the_idle_timeout_has_a_range_and_belongs_to_tcp() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[("Protocol", "TCP_UDP")]));
    let arn = kit.listener(&balancer, "80", &group);
    let modify = |value: &str| {
        let parameters = [
            ("ListenerArn", arn.as_str()),
            ("Attributes.member.1.Key", "tcp.idle_timeout.seconds"),
            ("Attributes.member.1.Value", value),
        ];
        kit.elb("ModifyListenerAttributes", &parameters).map_err(|error| error.code)
    };
    assert_eq!(first(&kit.elb("DescribeListenerAttributes", &[("ListenerArn", &arn)]).unwrap(), "Value"), "350");
    assert_eq!(modify("59").unwrap_err(), "ValidationError");
    assert_eq!(first(&modify("6000").unwrap(), "Value"), "6000");
    kit.elb("ModifyListener", &[("ListenerArn", &arn), ("Protocol", "UDP")]).unwrap();
    assert_eq!(modify("60").unwrap_err(), "InvalidConfigurationRequest");
}
