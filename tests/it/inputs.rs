//! Bad inputs: each gives one clear condition and one event, costs no AWS write, and stands in nobody's way.

use std::time::Duration;

use landfall_localstack::{Entry, Fault, Rule};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::aws::controller_writes;
use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::world::{HTTP, World, host_name};

pub fn trials() -> Vec<Trial> {
    crate::trials!("inputs":
        bad_inputs_are_told_once_cost_nothing_and_harm_nobody,
        without_a_subnet_every_subnet_has_its_verdict,
        a_denied_call_is_told_once_and_forgotten_when_it_is_granted,
        a_denied_deletion_is_told_once_and_not_taken_back_in_between,
        a_rejected_change_leaves_the_load_balancer_alone,
        a_name_that_belongs_to_somebody_else_is_refused,
        a_chosen_name_is_found_again_when_nothing_else_tells_whose_it_is,
    )
}

const ACCEPTED: &str = "landfall/Accepted";
const PREFIX: &str = "service.beta.kubernetes.io/aws-load-balancer-";

/// A Service that cannot be served, what must be said about it, and the patch that mends it.
struct Bad {
    name: &'static str,
    annotations: Vec<(&'static str, String)>,
    spec: String,
    code: &'static str,
    /// Field or annotation, and words of the fix.
    told: Vec<String>,
    cure: Value,
}

/// One that is bad by one annotation and cured by its removal.
fn annotated(name: &'static str, key: &'static str, value: impl Into<String>, code: &'static str, fix: &str) -> Bad {
    let full = format!("{PREFIX}{key}");
    Bad {
        name,
        annotations: vec![(key, value.into())],
        spec: HTTP.to_owned(),
        code,
        told: vec![full.clone(), fix.to_owned()],
        cure: json!({"metadata": {"annotations": {full: null}}}),
    }
}

fn bad_inputs(world: &World) -> Vec<Bad> {
    let subnets = world.seeded().subnets;
    let same_zone = format!("{},{}", subnets["public-us-west-2a"], subnets["internal-us-west-2a"]);
    let ports: Vec<String> = (1..=51).map(|port| format!("{{name: p{port}, port: {port}}}")).collect();
    vec![
        annotated("scheme", "scheme", "intrenal", "InvalidAnnotation", "internet-facing"),
        annotated("target-type", "nlb-target-type", "ipp", "InvalidAnnotation", "`ip`"),
        annotated("mistyped", "sheme", "internal", "UnknownAnnotation", "aws-load-balancer-scheme"),
        annotated("later", "ssl-cert", "arn:aws:acm:us-west-2:1:certificate/1", "UnsupportedAnnotation", "not supported yet"),
        annotated("same-zone", "subnets", same_zone, "SubnetsInSameZone", "one subnet for each zone"),
        annotated("no-such-subnet", "subnets", "subnet-00000000", "SubnetNotFound", "name subnets of that VPC"),
        annotated("no-such-group", "security-groups", "sg-00000000", "SecurityGroupNotFound", "sg-00000000"),
        annotated("attribute", "target-group-attributes", "stickyness.enabled=true", "UnknownAttribute", "stickiness.enabled"),
        Bad {
            name: "no-node-ports",
            annotations: Vec::new(),
            spec: "{allocateLoadBalancerNodePorts: false, ports: [{port: 80}], selector: {app: web}}".to_owned(),
            code: "NoNodePort",
            told: vec!["spec.ports".to_owned(), "nlb-target-type: ip".to_owned()],
            cure: json!({"metadata": {"annotations": {format!("{PREFIX}nlb-target-type"): "ip"}}}),
        },
        Bad {
            name: "many-ports",
            annotations: Vec::new(),
            spec: format!("{{allocateLoadBalancerNodePorts: false, ports: [{}]}}", ports.join(", ")),
            code: "TooManyPorts",
            told: vec!["spec.ports".to_owned(), "50".to_owned()],
            cure: json!({
                "metadata": {"annotations": {format!("{PREFIX}nlb-target-type"): "ip"}},
                "spec": {"ports": [{"name": "p1", "port": 1}]},
            }),
        },
        Bad {
            name: "source-range",
            annotations: Vec::new(),
            spec: "{loadBalancerSourceRanges: ['2001:db8::/32'], ports: [{port: 80}], selector: {app: web}}".to_owned(),
            code: "InvalidSourceRange",
            told: vec!["spec.loadBalancerSourceRanges".to_owned(), "2001:db8::/32".to_owned()],
            cure: json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}),
        },
    ]
}

async fn bad_inputs_are_told_once_cost_nothing_and_harm_nobody(world: World) {
    // Every second everything is looked at again: whoever repeats himself does so here.
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    let bad = bad_inputs(&world);
    let mark = world.mark();
    for Bad { name, annotations, spec, .. } in &bad {
        let annotations: Vec<(&str, &str)> = annotations.iter().map(|(key, value)| (*key, value.as_str())).collect();
        world.create_annotated(name, &annotations, spec).await;
    }
    for Bad { name, code, told, .. } in &bad {
        let message = world.condition(name, ACCEPTED, code).await;
        for words in told {
            assert!(message.contains(words.as_str()), "{name}: {words:?} is missing in {message:?}");
        }
        world.event(name, code).await;
    }
    // The good one beside them is served, and the sweeps that pass meanwhile repeat nothing.
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new(), "nothing is written for bad input");
    world.create_service("good", HTTP).await;
    world.host_name("good").await;
    sweeps(&world, 3).await;
    for Bad { name, code, told, .. } in &bad {
        let events = world.events(name).await;
        assert_eq!(events.len(), 1, "{name}: one event in {events:?}");
        let (reason, count, note) = &events[0];
        assert_eq!((reason.as_str(), *count), (*code, 1), "{name}: told once, not once per run");
        assert!(told.iter().all(|words| note.contains(words.as_str())), "{name}: {note}");
        let service = world.services().get(name).await.unwrap();
        assert_eq!(host_name(&service), None);
        assert_eq!(service.metadata.finalizers, None, "{name}: nothing was made that would need a finalizer");
    }
    assert_eq!(world.region().load_balancers().len(), 1, "only the good one");

    for Bad { name, cure, .. } in &bad {
        world.patch(name, cure.clone()).await;
    }
    for Bad { name, .. } in &bad {
        world.host_name(name).await;
        world.condition(name, ACCEPTED, "Accepted").await;
    }
    controller.stop().await;
}

/// Waits until the controller has swept so many times more.
pub async fn sweeps(world: &World, count: usize) {
    let mark = world.mark();
    wait::until("sweeps pass", async || {
        let listings = world.calls_since(mark).iter().filter(|call| call.action == "DescribeTargetGroups").count();
        if listings >= count { Ok(()) } else { Err(listings) }
    })
    .await;
}

async fn without_a_subnet_every_subnet_has_its_verdict(world: World) {
    let internal: Vec<String> =
        world.seeded().subnets.into_iter().filter(|(name, _)| name.starts_with("internal-")).map(|(_, id)| id).collect();
    for id in &internal {
        world.ec2_tag(id, "kubernetes.io/cluster/another", Some("owned"));
    }
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    let mark = world.mark();
    world.create_annotated("web", &[("scheme", "internal")], HTTP).await;
    let message = world.condition("web", ACCEPTED, "NoSubnet").await;
    assert!(message.contains("kubernetes.io/role/internal-elb=1") && message.contains("aws-load-balancer-subnets"), "{message}");
    for id in world.seeded().subnets.values() {
        assert!(message.contains(id.as_str()), "{id} has no verdict in {message}");
    }
    assert!(message.contains("is tagged for another cluster, `another`"), "{message}");
    sweeps(&world, 2).await;
    assert_eq!(world.events("web").await.len(), 1);
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new());

    world.ec2_tag(&internal[0], "kubernetes.io/cluster/another", None);
    world.host_name("web").await;
    let zones: Vec<String> = world.load_balancer().zones.into_iter().map(|zone| zone.subnet_id).collect();
    assert_eq!(zones, [internal[0].clone()]);
    controller.stop().await;
}

async fn a_denied_call_is_told_once_and_forgotten_when_it_is_granted(world: World) {
    let denied = world.emulator.faults().add(Rule::on("CreateLoadBalancer", Fault::Denied));
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    let mark = world.mark();
    world.create_service("web", HTTP).await;
    let message = world.condition("web", "landfall/Ready", "AccessDenied").await;
    assert!(message.contains("elasticloadbalancing:CreateLoadBalancer"), "{message}");
    let refused = world.refused(mark, "CreateLoadBalancer", 3).await;
    let message = world.condition("web", "landfall/Ready", "AccessDenied").await;
    assert!(refused.iter().any(|id| message.contains(id.as_str())), "a request id of {refused:?} in {message}");
    let refused = world.refused(mark, "CreateLoadBalancer", 6).await;
    let later = world.condition("web", "landfall/Ready", "AccessDenied").await;
    assert_eq!(later, message, "what is refused again for the same reason is not written again");
    assert_eq!(world.told("web", "AccessDenied").await, [1], "one event for {} refusals", refused.len());
    let note = world.event("web", "AccessDenied").await;
    assert!(!note.contains("request id"), "{note}");
    let count = "landfall_reconcile_duration_seconds_count{controller=\"service\",result=\"permission\"} ";
    let metrics = controller.metrics().await.unwrap();
    assert!(metrics.lines().any(|line| line.starts_with(count)), "what AWS refused is not ok: {metrics}");
    world.emulator.faults().remove(denied);
    world.host_name("web").await;
    world.condition("web", "landfall/Ready", "Active").await;
    controller.stop().await;
}

async fn a_denied_deletion_is_told_once_and_not_taken_back_in_between(world: World) {
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    let denied = world.emulator.faults().add(Rule::on("DeleteTargetGroup", Fault::Denied));
    let mark = world.mark();
    world.delete_service("web").await;
    world.condition("web", "landfall/Ready", "AccessDenied").await;
    world.event("web", "AccessDenied").await;
    let audited = world.audited();
    world.refused(mark, "DeleteTargetGroup", 5).await;
    let writes: Vec<String> = world.kubernetes_writes(audited).into_iter().filter(|write| write.contains(" services ")).collect();
    assert_eq!(writes, Vec::<String>::new(), "each retry fails as the one before");
    assert_eq!((world.told("web", "AccessDenied").await, world.told("web", "Deleting").await), (vec![1], vec![1]));
    world.emulator.faults().remove(denied);
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_rejected_change_leaves_the_load_balancer_alone(world: World) {
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    world.create_service("web", HTTP).await;
    let published = world.host_name("web").await;
    sweeps(&world, 2).await;
    let (before, rules, mark) = (world.region().snapshot(), world.node_group().rules, world.mark());
    world.annotate("web", "scheme", Some("public")).await;
    let message = world.condition("web", ACCEPTED, "InvalidAnnotation").await;
    assert!(message.contains(&format!("{PREFIX}scheme")), "{message}");
    // Until the input is good again nothing is changed, not even by another Service's comings and goings.
    world.create_service("other", HTTP).await;
    world.host_name("other").await;
    world.delete_service("other").await;
    world.gone("other").await;
    sweeps(&world, 2).await;
    assert_eq!(world.host_name("web").await, published);
    let after = world.region().snapshot();
    assert_eq!((before.load_balancers, before.listeners), (after.load_balancers, after.listeners));
    assert_eq!(before.target_groups, after.target_groups);
    assert_eq!(world.node_group().rules, rules);
    assert_eq!(world.told("web", "InvalidAnnotation").await, [1]);
    let group = before.targets.keys().next().unwrap();
    let touches = |call: &Entry| call.write && call.parameters.values().any(|value| value == group);
    assert!(!world.calls_since(mark).iter().any(touches), "its target group is left alone, too");

    world.annotate("web", "scheme", None).await;
    world.condition("web", ACCEPTED, "Accepted").await;
    assert_eq!(world.host_name("web").await, published);
    // A rejected Service can be deleted as well.
    world.annotate("web", "scheme", Some("public")).await;
    world.condition("web", ACCEPTED, "InvalidAnnotation").await;
    world.delete_service("web").await;
    world.gone("web").await;
    world.aws_empty().await;
    controller.stop().await;
}

async fn a_name_that_belongs_to_somebody_else_is_refused(world: World) {
    let subnet = world.seeded().subnets["internal-us-west-2a"].clone();
    let parameters = [("Name", "theirs"), ("Type", "network"), ("Scheme", "internal"), ("Subnets.member.1", subnet.as_str())];
    world.elb("CreateLoadBalancer", &parameters);
    let theirs = world.load_balancer();
    let controller = Controller::start(&world, "a", &["--sweep-interval", "1s"]);
    world.create_annotated("web", &[("name", "theirs")], HTTP).await;
    let message = world.condition("web", "landfall/Ready", "NameTaken").await;
    assert!(message.contains("aws-load-balancer-name") && message.contains("theirs"), "{message}");
    sweeps(&world, 2).await;
    assert_eq!(world.load_balancer(), theirs, "untouched");
    assert_eq!(world.told("web", "NameTaken").await, [1]);
    // One that never got the name can go: nothing of it is left although the name is still taken.
    world.create_annotated("in-vain", &[("name", "theirs")], HTTP).await;
    world.condition("in-vain", "landfall/Ready", "NameTaken").await;
    world.delete_service("in-vain").await;
    world.gone("in-vain").await;
    world.annotate("web", "name", Some("mine")).await;
    let published = world.host_name("web").await;
    assert!(published.starts_with("mine-"), "{published}");
    // Deleting the Service leaves the other load balancer where it is.
    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.load_balancer(), theirs);
    tokio::time::timeout(Duration::from_secs(30), controller.stop()).await.unwrap();
}

/// A listing finds ours by the names we make, and by security groups and target groups of ours. A load balancer with a name of the
/// user's and groups of the user's has neither before its first listener.
async fn a_chosen_name_is_found_again_when_nothing_else_tells_whose_it_is(world: World) {
    let own = world.ec2_group("their-own");
    let denied = world.emulator.faults().add(Rule::on("CreateListener", Fault::Denied));
    let controller = Controller::start(&world, "a", &[]);
    for name in ["kept", "given-up"] {
        world.create_annotated(name, &[("name", name), ("security-groups", &own)], HTTP).await;
        world.condition(name, "landfall/Ready", "AccessDenied").await;
    }
    controller.kill().await;
    let made = world.region().load_balancers();
    assert_eq!(made.len(), 2, "{made:?}");
    world.delete_service("given-up").await;
    world.emulator.faults().remove(denied);
    let mark = world.mark();
    let controller = Controller::start(&world, "b", &[]);
    world.host_name("kept").await;
    world.gone("given-up").await;
    let left = world.load_balancer();
    assert_eq!((left.name.as_str(), made.iter().any(|lb| lb.arn == left.arn)), ("kept", true), "{made:?}");
    assert!(!controller_writes(&world.calls_since(mark)).contains(&"CreateLoadBalancer".to_owned()), "it is there already");
    world.delete_service("kept").await;
    world.gone("kept").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}
