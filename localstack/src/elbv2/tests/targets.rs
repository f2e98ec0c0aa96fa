//! Targets and their health: TH-*, TD-*, TR-*. Health checks themselves are tested over sockets, in `src/tests.rs`.

use std::time::Duration;

use crate::durations::Durations;
use crate::region::TargetHealth;
use crate::testing::{Kit, all, first};

const NODE: &str = "i-00000000000000001";

pub(super) fn register(kit: &Kit, group: &str, targets: &[(&str, &str)]) -> Result<String, String> {
    change(kit, "RegisterTargets", group, targets)
}

fn change(kit: &Kit, action: &str, group: &str, targets: &[(&str, &str)]) -> Result<String, String> {
    let mut parameters = vec![("TargetGroupArn".to_owned(), group.to_owned())];
    for (at, (id, port)) in targets.iter().enumerate() {
        parameters.push((format!("Targets.member.{}.Id", at + 1), (*id).to_owned()));
        if !port.is_empty() {
            parameters.push((format!("Targets.member.{}.Port", at + 1), (*port).to_owned()));
        }
    }
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    kit.elb(action, &parameters).map_err(|error| error.code)
}

fn pair(state: &str, reason: &str) -> (String, String) {
    (state.to_owned(), reason.to_owned())
}

#[test]
fn a_target_is_an_id_and_a_port() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    kit.shared.set_durations(Durations { deregistration: Some(Duration::from_secs(300)), ..Durations::instant() });
    register(&kit, &group, &[(NODE, "30080"), (NODE, "30081"), (NODE, "")]).unwrap();
    let ports = |kit: &Kit| kit.region.targets(&group).into_iter().map(|target| target.port).collect::<Vec<_>>();
    assert_eq!(ports(&kit), [8080, 30080, 30081]);
    change(&kit, "DeregisterTargets", &group, &[(NODE, "30080"), (NODE, "9999")]).expect("an absent target is no error");
    let states: Vec<String> = kit.health(&group).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, ["initial", "draining", "initial"]);
    let asked = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", NODE), ("Targets.member.1.Port", "7")];
    let xml = kit.elb("DescribeTargetHealth", &asked).unwrap();
    assert_eq!((first(&xml, "State"), first(&xml, "Reason")), pair("unused", "Target.NotRegistered"));
}

#[test]
fn unused_until_a_listener_uses_the_group_and_the_zone_is_enabled() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    register(&kit, &group, &[(NODE, ""), ("i-00000000000000002", "")]).unwrap();
    let unused = pair("unused", "Target.NotInUse");
    assert_eq!(kit.health(&group), [unused.clone(), unused.clone()]);
    let listener = kit.listener(&balancer, "80", &group);
    assert_eq!(kit.health(&group), [pair("initial", "Elb.InitialHealthChecking"), unused.clone()]);
    let subnets = [
        ("LoadBalancerArn", balancer.as_str()),
        ("Subnets.member.1", kit.subnet("public-a")),
        ("Subnets.member.2", kit.subnet("public-b")),
    ];
    kit.elb("SetSubnets", &subnets).unwrap();
    assert_eq!(kit.health(&group)[1].0, "initial");
    kit.elb("DeleteListener", &[("ListenerArn", &listener)]).unwrap();
    assert_eq!(kit.health(&group), [unused.clone(), unused]);
}

#[test]
fn registration_takes_its_time_and_waits_for_the_load_balancer() {
    let slow =
        Durations { registration: Duration::from_secs(180), provisioning: Duration::from_secs(300), ..Durations::instant() };
    let kit = Kit::new(slow);
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    register(&kit, &group, &[(NODE, "")]).unwrap();
    kit.advance(200);
    assert_eq!(kit.health(&group), [pair("initial", "Elb.RegistrationInProgress")]);
    kit.advance(101);
    assert_eq!(kit.health(&group), [pair("initial", "Elb.InitialHealthChecking")]);
    register(&kit, &group, &[("i-00000000000000001", "81")]).unwrap();
    kit.advance(179);
    assert_eq!(kit.health(&group)[0], pair("initial", "Elb.RegistrationInProgress"));
    kit.advance(2);
    assert_eq!(kit.health(&group)[0], pair("initial", "Elb.InitialHealthChecking"));
}

#[test]
fn draining_lasts_for_the_groups_delay_and_registering_again_ends_it() {
    let kit = Kit::new(Durations { deregistration: None, ..Durations::instant() });
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    let delay = [
        ("TargetGroupArn", group.as_str()),
        ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
        ("Attributes.member.1.Value", "60"),
    ];
    kit.elb("ModifyTargetGroupAttributes", &delay).unwrap();
    register(&kit, &group, &[(NODE, "")]).unwrap();
    kit.region.set_target_health(&group, NODE, 8080, TargetHealth::Healthy).unwrap();
    assert_eq!(kit.health(&group), [pair("healthy", "")]);
    change(&kit, "DeregisterTargets", &group, &[(NODE, "")]).unwrap();
    assert_eq!(kit.health(&group), [pair("draining", "Target.DeregistrationInProgress")]);
    kit.advance(40);
    change(&kit, "DeregisterTargets", &group, &[(NODE, "")]).unwrap();
    kit.advance(19);
    assert_eq!(kit.health(&group).len(), 1);
    kit.advance(2);
    assert!(kit.health(&group).is_empty(), "deregistering again did not change the end");

    register(&kit, &group, &[(NODE, "")]).unwrap();
    change(&kit, "DeregisterTargets", &group, &[(NODE, "")]).unwrap();
    kit.advance(59);
    register(&kit, &group, &[(NODE, "")]).unwrap();
    kit.advance(60);
    assert_eq!(kit.health(&group), [pair("initial", "Elb.InitialHealthChecking")], "registering wins over draining");
}

#[test]
fn what_cannot_be_a_target_is_refused_and_nothing_is_registered() {
    let kit = Kit::instant();
    let (instance, ip) = (kit.target_group("instance", &[]), kit.target_group("ip", &[("TargetType", "ip")]));
    for (group, id, code) in [
        (&instance, "10.20.1.10", "ValidationError"),
        (&instance, "i-0000000000000dead", "InvalidTarget"),
        (&ip, NODE, "ValidationError"),
        (&ip, "8.8.8.8", "InvalidTarget"),
        (&ip, "192.168.1.1", "ValidationError"),
        (&ip, "10.20.77.1", "InvalidTarget"),
    ] {
        let good = if group == &instance { NODE } else { "10.20.1.77" };
        assert_eq!(register(&kit, group, &[(good, ""), (id, "")]).unwrap_err(), code, "{id}");
        assert!(kit.region.targets(group).is_empty(), "{id}");
    }
    let outside = |zone| {
        let parameters = [
            ("TargetGroupArn", ip.as_str()),
            ("Targets.member.1.Id", "192.168.1.1"),
            ("Targets.member.1.AvailabilityZone", zone),
        ];
        kit.elb("RegisterTargets", &parameters)
    };
    assert_eq!(outside("us-west-2z").unwrap_err().code, "ValidationError");
    outside("all").unwrap();
    register(&kit, &ip, &[("10.20.2.77", "")]).unwrap();
    let xml = kit.elb("DescribeTargetHealth", &[("TargetGroupArn", &ip)]).unwrap();
    assert_eq!(all(&xml, "AvailabilityZone"), ["us-west-2b", "all"], "AWS fills the zone in");
}

#[test]
fn a_thousand_targets_are_the_limit() {
    let kit = Kit::instant();
    let group = kit.target_group("web", &[("TargetType", "ip")]);
    for hundred in 0..10 {
        let ports: Vec<String> = (0..100).map(|port| (1000 + hundred * 100 + port).to_string()).collect();
        let targets: Vec<(&str, &str)> = ports.iter().map(|port| ("10.20.1.77", port.as_str())).collect();
        register(&kit, &group, &targets).unwrap();
    }
    assert_eq!(register(&kit, &group, &[("10.20.1.77", "80")]).unwrap_err(), "TooManyTargets");
    register(&kit, &group, &[("10.20.1.77", "1000")]).expect("already registered");
}

#[test]
fn a_stopped_instance_is_no_target() {
    let kit = Kit::instant();
    let (balancer, group) = (kit.load_balancer("web", &[]), kit.target_group("web", &[]));
    kit.listener(&balancer, "80", &group);
    register(&kit, &group, &[(NODE, "")]).unwrap();
    kit.ec2("StopInstances", &[("InstanceId.1", NODE)]).unwrap();
    assert_eq!(kit.health(&group), [pair("unused", "Target.InvalidState")]);
    assert_eq!(register(&kit, &group, &[(NODE, "81")]).unwrap_err(), "InvalidTarget");
    kit.ec2("StartInstances", &[("InstanceId.1", NODE)]).unwrap();
    assert_eq!(kit.health(&group)[0].0, "initial");
}
