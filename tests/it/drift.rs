//! What somebody else changes in AWS is put right by the next sweep, unaided, and an event says what it was.

use landfall_localstack::{Entry, Fault, Rule};
use libtest_mimic::Trial;

use crate::inputs::sweeps;
use crate::support::aws::controller_writes;
use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::world::{HTTP, World};

pub fn trials() -> Vec<Trial> {
    crate::trials!("drift":
        what_is_deleted_by_hand_comes_back,
        what_is_changed_by_hand_is_put_right,
        what_is_foreign_is_left_alone,
        what_cannot_be_read_keeps_nothing_else_from_being_put_right,
    )
}

const ANNOTATIONS: &[(&str, &str)] = &[
    ("scheme", "internal"),
    ("target-group-attributes", "deregistration_delay.timeout_seconds=15"),
    ("attributes", "load_balancing.cross_zone.enabled=true"),
    ("additional-resource-tags", "team=web"),
    ("healthcheck-interval", "20"),
];

/// A Service that is served, by a controller that sweeps every two seconds.
///
/// What a process made within its last half minute it does not give up because a listing lacks it, as AWS's listings lag
/// behind. So one process makes it, and another one finds it gone.
async fn swept(world: &World) -> Controller {
    let maker = Controller::start(world, "maker", &[]);
    world.create_annotated("web", ANNOTATIONS, HTTP).await;
    world.host_name("web").await;
    world.quiet(0, std::time::Duration::from_secs(1)).await;
    maker.stop().await;
    let keeper = Controller::start(world, "keeper", &["--sweep-interval", "2s"]);
    keeper.leads().await;
    sweeps(world, 3).await;
    keeper
}

/// Waits for the event that says this.
async fn told(world: &World, words: &str) {
    wait::until(&format!("an event DriftRepaired that says {words:?}"), async || {
        let events = world.events("web").await;
        let found = events.iter().any(|(reason, _, note)| reason == "DriftRepaired" && note.contains(words));
        if found { Ok(()) } else { Err(events) }
    })
    .await;
}

async fn what_is_deleted_by_hand_comes_back(world: World) {
    let controller = swept(&world).await;
    let (load_balancer, group) = (world.load_balancer(), world.target_group());

    world.elb("DeleteListener", &[("ListenerArn", &world.listener().arn)]);
    world.shows("the listener", 1, |world| world.region().listeners().len()).await;
    told(&world, "create listener TCP/80").await;
    assert_eq!(world.listener().target_group, group.arn);

    let targets = world.serving(&group.arn);
    let (id, port) = targets[0].split_once(':').unwrap();
    let parameters = [("TargetGroupArn", group.arn.as_str()), ("Targets.member.1.Id", id), ("Targets.member.1.Port", port)];
    world.elb("DeregisterTargets", &parameters);
    world.shows("the target", targets.clone(), |world| world.serving(&group.arn)).await;
    told(&world, "register target-group/").await;

    // A rule of the frontend group: clients are shut out.
    let frontend = world.frontend_group();
    let rule = frontend.rules.iter().find(|rule| !rule.egress).unwrap();
    world.ec2("RevokeSecurityGroupIngress", &[("GroupId", &frontend.id), ("SecurityGroupRuleId.1", &rule.id)]);
    let admits = |world: &World| world.frontend_group().rules.iter().any(|rule| !rule.egress && rule.peer == "0.0.0.0/0");
    world.shows("the frontend rule", true, admits).await;
    told(&world, &format!("authorize security-group/{}", frontend.name)).await;

    // A rule of the nodes: their part is shared by all Services, and told on each.
    let nodes = world.node_group();
    let ours: Vec<_> = nodes.rules.iter().filter(|rule| world.load_balancer().security_groups.contains(&rule.peer)).collect();
    assert!(!ours.is_empty(), "{nodes:?}");
    for rule in &ours {
        world.ec2("RevokeSecurityGroupIngress", &[("GroupId", &nodes.id), ("SecurityGroupRuleId.1", &rule.id)]);
    }
    let count = |world: &World| {
        let groups = world.load_balancer().security_groups;
        world.node_group().rules.iter().filter(|rule| groups.contains(&rule.peer)).count()
    };
    world.shows("the node rules", ours.len(), count).await;
    told(&world, "authorize security-group/nodes").await;

    world.elb("DeleteLoadBalancer", &[("LoadBalancerArn", &load_balancer.arn)]);
    wait::until("another load balancer with its listener", async || {
        let (balancers, listeners) = (world.region().load_balancers(), world.region().listeners());
        let there = balancers.len() == 1 && balancers[0].arn != load_balancer.arn && listeners.len() == 1;
        if there { Ok(()) } else { Err((balancers, listeners)) }
    })
    .await;
    told(&world, "create load-balancer/").await;
    let name = world.load_balancer().dns_name.to_lowercase();
    world.shows("the same group serves it", Some(world.load_balancer().arn), |world| world.target_group().load_balancer).await;
    wait::until("the new host name", async || {
        let published = world.host_name("web").await;
        if published == name { Ok(()) } else { Err(published) }
    })
    .await;

    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn what_is_changed_by_hand_is_put_right(world: World) {
    let controller = swept(&world).await;
    let (load_balancer, group) = (world.load_balancer(), world.target_group());

    let attribute = |key, value| [("Attributes.member.1.Key", key), ("Attributes.member.1.Value", value)];
    let delay = "deregistration_delay.timeout_seconds";
    world.elb("ModifyTargetGroupAttributes", &[&[("TargetGroupArn", group.arn.as_str())], &attribute(delay, "99")[..]].concat());
    world.shows("the delay", "15".to_owned(), |world| world.target_group().attributes[delay].clone()).await;
    told(&world, "deregistration_delay.timeout_seconds is 99").await;

    let cross = "load_balancing.cross_zone.enabled";
    let parameters = [&[("LoadBalancerArn", load_balancer.arn.as_str())], &attribute(cross, "false")[..]].concat();
    world.elb("ModifyLoadBalancerAttributes", &parameters);
    world.shows("cross zone", "true".to_owned(), |world| world.load_balancer().attributes[cross].clone()).await;
    told(&world, "load_balancing.cross_zone.enabled is false").await;

    let check = [("HealthCheckProtocol", "HTTP"), ("HealthCheckPath", "/wrong")];
    world.elb("ModifyTargetGroup", &[&[("TargetGroupArn", group.arn.as_str())], &check[..]].concat());
    world.shows("the check", "TCP".to_owned(), |world| world.target_group().health_check_protocol).await;
    told(&world, "modify target-group/").await;

    let arn = ("LoadBalancerArn", load_balancer.arn.as_str());
    world.elb("SetSecurityGroups", &[arn, ("SecurityGroups.member.1", &load_balancer.security_groups[0])]);
    world.shows("the groups", load_balancer.security_groups.clone(), |world| world.load_balancer().security_groups).await;
    told(&world, "set security groups of").await;

    let one = load_balancer.zones[0].subnet_id.as_str();
    world.elb("SetSubnets", &[arn, ("Subnets.member.1", one)]);
    world.shows("the zones", load_balancer.zones.len(), |world| world.load_balancer().zones.len()).await;
    told(&world, "set subnets of").await;

    world.elb("RemoveTags", &[("ResourceArns.member.1", load_balancer.arn.as_str()), ("TagKeys.member.1", "team")]);
    world.shows("the tag", Some("web".to_owned()), |world| world.load_balancer().tags.get("team").cloned()).await;
    told(&world, "tag load-balancer/").await;

    // A listener at another port is not what the Service says.
    world.elb("ModifyListener", &[("ListenerArn", &world.listener().arn), ("Port", "81")]);
    let ports = |world: &World| world.region().listeners().into_iter().map(|listener| listener.port).collect::<Vec<_>>();
    world.shows("the port", vec![80], ports).await;
    told(&world, "delete listener 81").await;

    // One more may come in: the managed group is owned whole.
    let frontend = world.frontend_group().id;
    let open = [("IpPermissions.1.IpProtocol", "tcp"), ("IpPermissions.1.FromPort", "22"), ("IpPermissions.1.ToPort", "22")];
    let from = [("GroupId", frontend.as_str()), ("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0")];
    world.ec2("AuthorizeSecurityGroupIngress", &[&from[..], &open[..]].concat());
    let rules = |world: &World| world.frontend_group().rules.iter().filter(|rule| !rule.egress).count();
    world.shows("one rule", 1, rules).await;
    told(&world, "revoke security-group/").await;

    assert_eq!((world.load_balancer().arn, world.target_group().arn), (load_balancer.arn, group.arn));
    world.condition("web", "landfall/Accepted", "Accepted").await;
    controller.stop().await;
}

async fn what_is_foreign_is_left_alone(world: World) {
    let controller = swept(&world).await;
    let arn = world.load_balancer().arn;
    world.elb(
        "AddTags",
        &[("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "them")],
    );
    let nodes = world.node_group().id;
    world.ec2(
        "AuthorizeSecurityGroupIngress",
        &[
            ("GroupId", nodes.as_str()),
            ("IpPermissions.1.IpProtocol", "tcp"),
            ("IpPermissions.1.FromPort", "22"),
            ("IpPermissions.1.ToPort", "22"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "10.0.0.0/8"),
        ],
    );
    // An attribute that the Service does not ask for is the account's business.
    let attributes = [("Attributes.member.1.Key", "deletion_protection.enabled"), ("Attributes.member.1.Value", "true")];
    world.elb("ModifyLoadBalancerAttributes", &[&[("LoadBalancerArn", arn.as_str())], &attributes[..]].concat());
    let mark = world.mark();
    sweeps(&world, 4).await;
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new(), "sweeps that find nothing amiss write nothing");
    assert_eq!(world.load_balancer().tags["owner"], "them");
    assert_eq!(world.load_balancer().attributes["deletion_protection.enabled"], "true");
    assert!(!world.events("web").await.iter().any(|event| event.0 == "DriftRepaired"));

    let attributes = [("Attributes.member.1.Key", "deletion_protection.enabled"), ("Attributes.member.1.Value", "false")];
    world.elb("ModifyLoadBalancerAttributes", &[&[("LoadBalancerArn", arn.as_str())], &attributes[..]].concat());
    world.delete_service("web").await;
    world.gone("web").await;
    let rules = world.node_group().rules;
    assert!(rules.iter().any(|rule| rule.peer == "10.0.0.0/8" && rule.ports == Some((22, 22))), "{rules:?}");
    controller.stop().await;
}

async fn what_cannot_be_read_keeps_nothing_else_from_being_put_right(world: World) {
    let controller = swept(&world).await;
    let (load_balancer, group) = (world.load_balancer().arn, world.target_group().arn);
    world.create_service("other", HTTP).await;
    world.host_name("other").await;
    let new = |arns: Vec<String>, old: &str| arns.into_iter().find(|arn| arn != old).expect("another one");
    let others = [
        new(world.region().load_balancers().into_iter().map(|lb| lb.arn).collect(), &load_balancer),
        new(world.region().target_groups().into_iter().map(|group| group.arn).collect(), &group),
    ];
    let error = Fault::Error { code: "InternalFailure".to_owned(), status: 500, message: "said the test".to_owned() };
    for (action, parameter, arn) in
        [("DescribeListeners", "LoadBalancerArn", &others[0]), ("DescribeTargetHealth", "TargetGroupArn", &others[1])]
    {
        let parameter = Some((parameter.to_owned(), arn.clone()));
        world.emulator.faults().add(Rule { parameter, ..Rule::on(action, error.clone()) });
    }
    let mark = world.mark();
    for action in ["DescribeListeners", "DescribeTargetHealth"] {
        world.refused(mark, action, 4).await;
    }

    let targets = world.serving(&group);
    let (id, port) = targets[0].split_once(':').unwrap();
    let parameters = [("TargetGroupArn", group.as_str()), ("Targets.member.1.Id", id), ("Targets.member.1.Port", port)];
    world.elb("DeregisterTargets", &parameters);
    world.shows("the target", targets.clone(), |world| world.serving(&group)).await;
    told(&world, "register target-group/").await;
    // What cannot be read is not touched, and said on the Service that it is about.
    world.condition("other", "landfall/Ready", "InternalFailure").await;
    let touches = |call: &Entry| call.write && call.parameters.values().any(|value| others.contains(value));
    let touched: Vec<Entry> = world.calls_since(mark).into_iter().filter(touches).collect();
    assert!(touched.is_empty(), "{touched:#?}");
    assert_eq!(world.told("web", "InternalFailure").await, Vec::<i32>::new());
    world.emulator.faults().clear();
    world.condition("other", "landfall/Ready", "Active").await;
    controller.stop().await;
}
