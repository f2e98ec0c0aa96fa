//! Target groups and attributes: TG-*, TGA-*, LBA-*.

use std::time::Duration;

use crate::durations::Durations;
use crate::testing::{Kit, all, first};

#[test]
fn defaults_are_those_of_network_load_balancers() {
    let kit = Kit::instant();
    let create = |name: &str, more: &[(&str, &str)]| {
        let mut parameters = vec![("Name", name), ("Protocol", "TCP"), ("Port", "80"), ("VpcId", kit.seeded.vpc_id.as_str())];
        parameters.extend(more);
        kit.elb("CreateTargetGroup", &parameters).unwrap()
    };
    let shown = |xml: &str, names: &[&str]| names.iter().map(|name| first(xml, name)).collect::<Vec<_>>();
    let timing = ["HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount"];
    let tcp = create("tcp", &[]);
    assert_eq!(shown(&tcp, &["HealthCheckProtocol", "HealthCheckPort", "TargetType"]), ["TCP", "traffic-port", "instance"]);
    assert_eq!(shown(&tcp, &timing), ["30", "10", "5", "2"]);
    assert!(
        !tcp.contains("Matcher") && !tcp.contains("HealthCheckPath") && tcp.contains("<LoadBalancerArns></LoadBalancerArns>")
    );
    let http = create("http", &[("HealthCheckProtocol", "HTTP")]);
    assert_eq!(shown(&http, &timing), ["30", "6", "5", "2"]);
    assert_eq!(shown(&http, &["HealthCheckPath", "HttpCode"]), ["/", "200-399"]);
}

#[test]
fn health_check_settings_have_to_fit_together() {
    let kit = Kit::instant();
    for (more, code) in [
        (&[("HealthCheckProtocol", "UDP")][..], "InvalidConfigurationRequest"),
        (&[("HealthCheckPath", "/x")], "ValidationError"),
        (&[("Matcher.HttpCode", "200")], "ValidationError"),
        (&[("HealthCheckProtocol", "HTTP"), ("Matcher.HttpCode", "twohundred")], "ValidationError"),
        (&[("HealthCheckProtocol", "HTTP"), ("HealthCheckPath", "x")], "ValidationError"),
        (&[("HealthCheckPort", "0")], "ValidationError"),
        (&[("HealthCheckIntervalSeconds", "4")], "ValidationError"),
        (&[("HealthCheckIntervalSeconds", "10"), ("HealthCheckTimeoutSeconds", "11")], "ValidationError"),
        (&[("HealthyThresholdCount", "11")], "ValidationError"),
        (&[("HealthCheckEnabled", "false")], "ValidationError"),
        (&[("Protocol", "HTTP")], "ValidationError"),
        (&[("TargetType", "lambda")], "ValidationError"),
        (&[("VpcId", "vpc-0000")], "ValidationError"),
        (&[("Name", "-x")], "ValidationError"),
    ] {
        let mut create = std::collections::BTreeMap::from([
            ("Name", "x"),
            ("Protocol", "TCP"),
            ("Port", "80"),
            ("VpcId", kit.seeded.vpc_id.as_str()),
        ]);
        create.extend(more.iter().copied());
        let create: Vec<(&str, &str)> = create.into_iter().collect();
        assert_eq!(kit.elb_error("CreateTargetGroup", &create), code, "{more:?}");
    }
    assert!(kit.region.target_groups().is_empty());
}

#[test]
fn a_name_is_created_once_and_only_with_the_same_settings() {
    let kit = Kit::instant();
    let arn = kit.target_group("web", &[]);
    assert_eq!(kit.target_group("web", &[]), arn);
    let other = [("Name", "web"), ("Protocol", "TCP"), ("Port", "81"), ("VpcId", kit.seeded.vpc_id.as_str())];
    assert_eq!(kit.elb_error("CreateTargetGroup", &other), "DuplicateTargetGroupName");
}

#[test]
fn modifying_changes_the_check_and_a_new_protocol_brings_its_own_settings() {
    let kit = Kit::instant();
    let arn = kit.target_group("web", &[]);
    let modify = |more: &[(&str, &str)]| {
        let mut parameters = vec![("TargetGroupArn", arn.as_str())];
        parameters.extend(more);
        kit.elb("ModifyTargetGroup", &parameters)
    };
    let http = modify(&[("HealthCheckProtocol", "HTTP"), ("HealthCheckPort", "9000"), ("HealthyThresholdCount", "3")]).unwrap();
    assert_eq!((first(&http, "HttpCode"), first(&http, "HealthCheckPort")), ("200-399".to_owned(), "9000".to_owned()));
    assert_eq!(first(&modify(&[("Matcher.HttpCode", "200")]).unwrap(), "HttpCode"), "200");
    assert_eq!(first(&modify(&[("HealthyThresholdCount", "4")]).unwrap(), "HttpCode"), "200", "unnamed settings stay");
    let tcp = modify(&[("HealthCheckProtocol", "TCP")]).unwrap();
    assert!(!tcp.contains("HttpCode") && !tcp.contains("HealthCheckPath"));
    assert_eq!(modify(&[("HealthCheckTimeoutSeconds", "31")]).unwrap_err().code, "ValidationError");
    assert_eq!(kit.elb_error("ModifyTargetGroup", &[("TargetGroupArn", "arn:aws:x")]), "TargetGroupNotFound");
}

#[test]
fn a_group_shows_its_load_balancer_as_long_as_a_listener_uses_it() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    let by_balancer = [("LoadBalancerArn", balancer.as_str())];
    assert!(all(&kit.elb("DescribeTargetGroups", &by_balancer).unwrap(), "TargetGroupArn").is_empty(), "no group is no error");
    let (one, two) = (kit.listener(&balancer, "80", &group), kit.listener(&balancer, "81", &group));
    let shown = |kit: &Kit| {
        let xml = kit.elb("DescribeTargetGroups", &[("Names.member.1", "web")]).unwrap();
        all(&first(&xml, "LoadBalancerArns"), "member")
    };
    assert_eq!(shown(&kit), [balancer.as_str()], "once, whatever the number of listeners");
    assert_eq!(all(&kit.elb("DescribeTargetGroups", &by_balancer).unwrap(), "TargetGroupArn"), [group.as_str()]);
    kit.elb("DeleteListener", &[("ListenerArn", &one)]).unwrap();
    assert_eq!(shown(&kit), [balancer.as_str()]);
    let other = kit.target_group("other", &[]);
    let switch = [
        ("ListenerArn", two.as_str()),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", other.as_str()),
    ];
    kit.elb("ModifyListener", &switch).unwrap();
    assert!(shown(&kit).is_empty());
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]).unwrap();
    assert!(kit.region.target_groups().iter().all(|group| group.load_balancer.is_none()));
    assert!(kit.region.listeners().is_empty());
}

#[test]
fn a_group_in_use_cannot_be_deleted_until_some_time_later() {
    let kit = Kit::new(Durations { target_group_in_use: Duration::from_secs(60), ..Durations::instant() });
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    let delete = [("TargetGroupArn", group.as_str())];
    assert_eq!(kit.elb_error("DeleteTargetGroup", &delete), "ResourceInUse");
    kit.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &balancer)]).unwrap();
    assert_eq!(kit.elb_error("DeleteTargetGroup", &delete), "ResourceInUse");
    kit.advance(61);
    kit.elb("DeleteTargetGroup", &delete).unwrap();
    kit.elb("DeleteTargetGroup", &delete).expect("deleting twice succeeds");
}

#[test]
fn groups_are_paged() {
    let kit = Kit::instant();
    for number in 0..3 {
        kit.target_group(&format!("tg-{number}"), &[]);
    }
    let page = kit.elb("DescribeTargetGroups", &[("PageSize", "2")]).unwrap();
    assert_eq!(all(&page, "TargetGroupName").len(), 2);
    let page = kit.elb("DescribeTargetGroups", &[("PageSize", "2"), ("Marker", &first(&page, "NextMarker"))]).unwrap();
    assert_eq!((all(&page, "TargetGroupName").len(), page.contains("NextMarker")), (1, false));
    assert_eq!(
        kit.elb_error("DescribeTargetGroups", &[("Names.member.1", "tg-0"), ("Names.member.2", "no")]),
        "TargetGroupNotFound"
    );
    assert_eq!(kit.elb_error("DescribeTargetGroups", &[("LoadBalancerArn", "arn:no")]), "LoadBalancerNotFound");
}

#[test]
fn attributes_have_defaults_by_type_and_protocol_and_are_checked() {
    let kit = Kit::instant();
    let attributes = |arn: &str| {
        let xml = kit.elb("DescribeTargetGroupAttributes", &[("TargetGroupArn", arn)]).unwrap();
        all(&xml, "Key").into_iter().zip(all(&xml, "Value")).collect::<std::collections::BTreeMap<_, _>>()
    };
    let instance = kit.target_group("instance", &[]);
    let (ip, udp) =
        (kit.target_group("ip", &[("TargetType", "ip")]), kit.target_group("udp", &[("Protocol", "UDP"), ("TargetType", "ip")]));
    let preserves = |arn: &str| attributes(arn)["preserve_client_ip.enabled"].clone();
    assert_eq!([preserves(&instance), preserves(&ip), preserves(&udp)], ["true", "false", "true"]);
    assert_eq!(attributes(&ip).len(), 13);
    assert_eq!(attributes(&udp)["deregistration_delay.connection_termination.enabled"], "true");

    let modify = |arn: &str, key: &str, value: &str| {
        let parameters = [("TargetGroupArn", arn), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
        kit.elb("ModifyTargetGroupAttributes", &parameters).map_err(|error| error.code)
    };
    for (arn, key, value, code) in [
        (&ip, "deregistration_delay.timeout_seconds", "3601", "ValidationError"),
        (&ip, "slow_start.duration_seconds", "30", "ValidationError"),
        (&ip, "proxy_protocol_v2.enabled", "yes", "ValidationError"),
        (&udp, "preserve_client_ip.enabled", "false", "InvalidConfigurationRequest"),
    ] {
        assert_eq!(modify(arn, key, value).unwrap_err(), code, "{key}={value}");
    }
    assert!(modify(&ip, "deregistration_delay.timeout_seconds", "3600").unwrap().contains("<Value>3600</Value>"));
    assert_eq!(attributes(&ip)["deregistration_delay.timeout_seconds"], "3600");
}

#[test]
fn load_balancer_attributes_are_those_of_network_load_balancers() {
    let kit = Kit::instant();
    let arn = kit.load_balancer("web", &[]);
    let keys = all(&kit.elb("DescribeLoadBalancerAttributes", &[("LoadBalancerArn", &arn)]).unwrap(), "Key");
    for key in [
        "access_logs.s3.enabled",
        "dns_record.client_routing_policy",
        "load_balancing.cross_zone.enabled",
        "zonal_shift.config.enabled",
    ] {
        assert!(keys.iter().any(|own| own == key), "{key}");
    }
    let modify = |key: &str, value: &str| {
        let parameters =
            [("LoadBalancerArn", arn.as_str()), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
        kit.elb("ModifyLoadBalancerAttributes", &parameters)
    };
    let foreign = modify("routing.http2.enabled", "true").unwrap_err();
    assert_eq!(foreign.code, "InvalidConfigurationRequest");
    assert!(foreign.message.contains("is not supported on load balancers with type 'network'"), "{foreign}");
    assert_eq!(modify("deletion_protection.enabled", "banana").unwrap_err().code, "ValidationError");
    assert_eq!(modify("access_logs.s3.enabled", "true").unwrap_err().code, "InvalidConfigurationRequest");
    modify("load_balancing.cross_zone.enabled", "true").unwrap();
    assert_eq!(kit.region.load_balancers()[0].attributes["load_balancing.cross_zone.enabled"], "true");
}
