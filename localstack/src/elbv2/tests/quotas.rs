//! Quotas of targets, capacity, ALB groups, attributes that exclude each other, states of targets (TR-*, CAPRES, TGA-*, TH-STATES).

use std::time::Duration;

use super::targets::register;
use crate::durations::Durations;
use crate::region::TargetHealth;
use crate::testing::{Kit, all, first};

const NODE: &str = "i-00000000000000001";

fn attribute(kit: &Kit, kind: &str, arn: &str, key: &str, value: &str) -> Result<(), String> {
    let name = format!("{kind}Arn");
    let parameters = [(name.as_str(), arn), ("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
    kit.elb(&format!("Modify{kind}Attributes"), &parameters).map(|_| ()).map_err(|error| error.code)
}

#[test]
fn a_load_balancer_has_at_most_five_hundred_targets_in_a_zone() {
    let kit = Kit::instant();
    let subnets = [("Subnets.member.1", kit.subnet("public-a")), ("Subnets.member.2", kit.subnet("public-b"))];
    let balancer = kit.load_balancer("web", &subnets);
    let (one, two) = (kit.target_group("one", &[("TargetType", "ip")]), kit.target_group("two", &[("TargetType", "ip")]));
    kit.listener(&balancer, "80", &one);
    let fill = |group: &str, address: &str, count: usize| {
        let ports: Vec<String> = (1..=count).map(|port| port.to_string()).collect();
        let targets: Vec<(&str, &str)> = ports.iter().map(|port| (address, port.as_str())).collect();
        register(&kit, group, &targets).map(|_| ())
    };
    fill(&one, "10.20.1.77", 500).unwrap();
    assert_eq!(register(&kit, &one, &[("10.20.1.78", "80")]).unwrap_err(), "TooManyTargets");
    fill(&one, "10.20.2.77", 100).expect("another zone");
    assert_eq!(
        attribute(&kit, "LoadBalancer", &balancer, "load_balancing.cross_zone.enabled", "true").unwrap_err(),
        "InvalidConfigurationRequest",
        "600 targets across zones"
    );
    register(&kit, &two, &[("10.20.1.77", "80")]).unwrap();
    let listener = crate::testing::listener(&balancer, "81", &two);
    assert_eq!(kit.elb_error("CreateListener", &listener), "TooManyTargets", "a second group counts too");
}

#[test]
fn capacity_is_reserved_one_request_at_a_time_and_decreased_twice_a_day() {
    let kit = Kit::new(Durations { reprovisioning: Duration::from_secs(60), ..Durations::instant() });
    let balancer = kit.load_balancer("web", &[]);
    let modify = |more: (&str, &str)| {
        kit.elb("ModifyCapacityReservation", &[("LoadBalancerArn", &balancer), more]).map_err(|error| error.code)
    };
    let units = |count| modify(("MinimumLoadBalancerCapacity.CapacityUnits", count));
    let empty = kit.elb("DescribeCapacityReservation", &[("LoadBalancerArn", &balancer)]).unwrap();
    assert!(first(&empty, "DecreaseRequestsRemaining") == "2" && !empty.contains("CapacityUnits"), "{empty}");
    assert_eq!(kit.elb_error("ModifyCapacityReservation", &[("LoadBalancerArn", &balancer)]), "ValidationError");
    assert_eq!(units("45001").unwrap_err(), "CapacityUnitsLimitExceeded");
    let xml = units("3000").unwrap();
    assert_eq!((first(&xml, "Code"), first(&xml, "CapacityUnits")), ("pending".to_owned(), "3000".to_owned()));
    assert_eq!(units("4000").unwrap_err(), "CapacityReservationPending");
    let subnets = [("LoadBalancerArn", balancer.as_str()), ("Subnets.member.1", kit.subnet("public-a"))];
    assert_eq!(kit.elb_error("SetSubnets", &subnets), "CapacityReservationPending");
    kit.advance(61);
    let xml = kit.elb("DescribeCapacityReservation", &[("LoadBalancerArn", &balancer)]).unwrap();
    assert_eq!((first(&xml, "Code"), first(&xml, "EffectiveCapacityUnits")), ("provisioned".to_owned(), "3000".to_owned()));
    for less in ["2900", "2800"] {
        units(less).unwrap();
        kit.advance(61);
    }
    assert_eq!(units("2700").unwrap_err(), "CapacityDecreaseRequestLimitExceeded");
    kit.advance(24 * 3600);
    units("2700").unwrap();
    kit.advance(61);
    let xml = modify(("ResetCapacityReservation", "true")).unwrap();
    assert!(!xml.contains("CapacityUnits"), "{xml}");
    assert_eq!(kit.elb_error("ModifyIpPools", &[("LoadBalancerArn", &balancer)]), "ValidationError");
}

#[test]
fn groups_for_application_load_balancers_are_tcp_and_checked_by_http() {
    let kit = Kit::instant();
    let vpc = kit.seeded.vpc_id.as_str();
    let create = |more: &[(&str, &str)]| {
        let mut parameters = vec![("Name", "alb"), ("Port", "80"), ("VpcId", vpc), ("TargetType", "alb")];
        parameters.extend(more);
        kit.elb("CreateTargetGroup", &parameters)
    };
    assert_eq!(create(&[("Protocol", "UDP")]).unwrap_err().code, "InvalidConfigurationRequest");
    assert_eq!(create(&[("Protocol", "TCP"), ("HealthCheckProtocol", "TCP")]).unwrap_err().code, "InvalidConfigurationRequest");
    let xml = create(&[("Protocol", "TCP")]).unwrap();
    assert_eq!((first(&xml, "TargetType"), first(&xml, "HealthCheckProtocol")), ("alb".to_owned(), "HTTP".to_owned()));
    let arn = first(&xml, "TargetGroupArn");
    let alb = "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/web/0123456789abcdef";
    assert_eq!(register(&kit, &arn, &[(alb, "80")]).unwrap_err(), "InvalidTarget");
    assert_eq!(
        attribute(&kit, "TargetGroup", &arn, "proxy_protocol_v2.enabled", "true").unwrap_err(),
        "InvalidConfigurationRequest"
    );
}

#[test]
fn attributes_of_groups_exclude_each_other() {
    let kit = Kit::instant();
    let (tcp, tls) = (kit.target_group("tcp", &[]), kit.target_group("tls", &[("Protocol", "TLS")]));
    let set = |group: &str, key: &str, value: &str| attribute(&kit, "TargetGroup", group, key, value);
    let draining = "target_health_state.unhealthy.draining_interval_seconds";
    assert_eq!(set(&tcp, draining, "60").unwrap_err(), "InvalidConfigurationRequest");
    set(&tcp, "target_health_state.unhealthy.connection_termination.enabled", "false").unwrap();
    set(&tcp, draining, "60").unwrap();
    assert_eq!(set(&tls, "stickiness.enabled", "true").unwrap_err(), "InvalidConfigurationRequest");
    set(&tcp, "stickiness.enabled", "true").unwrap();
}

#[test]
fn a_target_may_be_unavailable_or_a_load_balancers_own_address() {
    let kit = Kit::instant();
    let balancer = kit.load_balancer("web", &[]);
    let group = kit.target_group("web", &[("TargetType", "ip")]);
    kit.listener(&balancer, "80", &group);
    let own = kit.region.load_balancers()[0].zones[0].address.to_string();
    register(&kit, &group, &[(own.as_str(), "80"), ("10.20.1.77", "80")]).unwrap();
    kit.region.set_target_health(&group, "10.20.1.77", 80, TargetHealth::Unavailable).unwrap();
    let xml = kit.elb("DescribeTargetHealth", &[("TargetGroupArn", &group)]).unwrap();
    let mut states: Vec<(String, String)> = all(&xml, "State").into_iter().zip(all(&xml, "Reason")).collect();
    states.sort();
    let pair = |state: &str, reason: &str| (state.to_owned(), reason.to_owned());
    assert_eq!(states, [pair("unavailable", "Elb.InternalError"), pair("unused", "Target.IpUnusable")]);
    let instance = kit.target_group("instance", &[]);
    register(&kit, &instance, &[(NODE, "")]).unwrap();
    assert!(!kit.elb("DescribeTargetHealth", &[("TargetGroupArn", &group)]).unwrap().contains("AdministrativeOverride"));
    attribute(&kit, "LoadBalancer", &balancer, "zonal_shift.config.enabled", "true").unwrap();
    assert!(
        kit.elb("DescribeTargetHealth", &[("TargetGroupArn", &group)]).unwrap().contains("AdministrativeOverride.NoOverride")
    );
}

#[test]
fn an_unhealthy_target_drains_when_its_connections_are_kept() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    attribute(&kit, "TargetGroup", &group, "target_health_state.unhealthy.connection_termination.enabled", "false").unwrap();
    attribute(&kit, "TargetGroup", &group, "target_health_state.unhealthy.draining_interval_seconds", "60").unwrap();
    register(&kit, &group, &[(NODE, "")]).unwrap();
    let state = kit.shared.account(crate::testing::ACCOUNT, crate::testing::REGION);
    kit.shared.with(&state, |state, now, durations| {
        for (due, check) in std::mem::take(&mut state.checks) {
            state.checked(&check, due, now, Err(("Target.Timeout".to_owned(), "Request timed out".to_owned())), durations);
        }
    });
    let pair = |state: &str| (state.to_owned(), "Target.Timeout".to_owned());
    assert_eq!(kit.health(&group), [pair("unhealthy.draining")]);
    kit.advance(59);
    assert_eq!(kit.health(&group), [pair("unhealthy.draining")]);
    kit.advance(2);
    assert_eq!(kit.health(&group), [pair("unhealthy")]);
}
