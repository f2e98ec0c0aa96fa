//! What all Services share: when it fails, every Service that depends on it says so, once, and nobody else is harmed.

use k8s_openapi::api::core::v1::Service;
use kube::api::PostParams;
use landfall_localstack::{Fault, Rule, RuleId};
use libtest_mimic::Trial;

use crate::inputs::sweeps;
use crate::support::aws::controller_writes;
use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::world::{HTTP, REGION, World, host_name};

pub fn trials() -> Vec<Trial> {
    crate::trials!("shared":
        denied_node_rules_are_told_on_each_service_and_forgotten_when_granted,
        a_full_node_group_is_told_with_the_quota,
        without_a_backend_group_the_services_say_why_they_wait,
        the_last_service_says_why_it_cannot_go,
        what_cannot_be_deleted_keeps_its_name_and_its_rules,
        a_flag_that_is_taken_back_takes_nothing_away,
        nodes_without_a_clear_group_are_told_and_stay_open,
    )
}

const READY: &str = "landfall/Ready";
const SWEEPING: &[&str] = &["--sweep-interval", "1s"];

/// Denies calls of this action that name this.
fn deny(world: &World, action: &str, parameter: &str, value: &str) -> RuleId {
    let parameter = Some((parameter.to_owned(), value.to_owned()));
    world.emulator.faults().add(Rule { parameter, ..Rule::on(action, Fault::Denied) })
}

/// Status, reason and message of a condition.
fn ready(service: &Service) -> Option<(String, String, String)> {
    let conditions = service.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == READY)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

/// Waits until Ready is `status` with this reason; its message.
async fn says(world: &World, name: &str, status: &str, reason: &str) -> String {
    wait::until(&format!("{name} is {status} for {reason}"), async || {
        let found = ready(&world.services().get(name).await.expect("the Service"));
        match found {
            Some((s, r, message)) if s == status && r == reason => Ok(message),
            other => Err(other),
        }
    })
    .await
}

/// Rules by which the nodes admit the backend group.
fn node_rules(world: &World) -> usize {
    let says_so = |rule: &str| rule.starts_with("landfall/");
    world.node_group().rules.iter().filter(|rule| rule.description.as_deref().is_some_and(says_so)).count()
}

async fn denied_node_rules_are_told_on_each_service_and_forgotten_when_granted(world: World) {
    let nodes = world.node_group().id;
    let denied = deny(&world, "AuthorizeSecurityGroupIngress", "GroupId", &nodes);
    let own = world.ec2_group("their-own");
    let controller = Controller::start(&world, "a", SWEEPING);
    let mark = world.mark();
    for name in ["web", "other"] {
        world.create_service(name, HTTP).await;
    }
    world.create_annotated("independent", &[("security-groups", &own)], HTTP).await;
    let mut messages = Vec::new();
    for name in ["web", "other"] {
        // It serves all the same, as far as AWS is concerned.
        world.host_name(name).await;
        let message = says(&world, name, "True", "UnauthorizedOperation").await;
        for words in ["shared by all Services", "security-group/nodes", "allow ec2:AuthorizeSecurityGroupIngress in"] {
            assert!(message.contains(words), "{words:?} is missing in {message:?}");
        }
        let note = world.event(name, "UnauthorizedOperation").await;
        assert!(note.contains("security-group/nodes") && !note.contains("request id"), "{note}");
        messages.push(message);
    }
    world.host_name("independent").await;
    says(&world, "independent", "True", "Active").await;

    // Every second it is refused again, and nobody says so again.
    let audited = world.audited();
    world.refused(mark, "AuthorizeSecurityGroupIngress", 5).await;
    sweeps(&world, 2).await;
    let writes: Vec<String> = world.kubernetes_writes(audited).into_iter().filter(|write| !write.contains(" leases")).collect();
    assert_eq!(writes, Vec::<String>::new(), "the same refusal is not written again");
    // Nor by another process.
    controller.stop().await;
    let (audited, mark) = (world.audited(), world.mark());
    let controller = Controller::start(&world, "b", SWEEPING);
    world.refused(mark, "AuthorizeSecurityGroupIngress", 2).await;
    sweeps(&world, 2).await;
    let services = |write: &String| write.contains(" services ") || write.contains(" events ");
    let writes: Vec<String> = world.kubernetes_writes(audited).into_iter().filter(services).collect();
    assert_eq!(writes, Vec::<String>::new(), "nor when another process finds it");
    for (name, message) in ["web", "other"].into_iter().zip(&messages) {
        assert_eq!(says(&world, name, "True", "UnauthorizedOperation").await, *message);
        assert_eq!(world.told(name, "UnauthorizedOperation").await, [1], "one event on {name}");
    }
    // One more, while it lasts.
    world.create_service("third", HTTP).await;
    world.host_name("third").await;
    says(&world, "third", "True", "UnauthorizedOperation").await;

    world.emulator.faults().remove(denied);
    for name in ["web", "other", "third"] {
        says(&world, name, "True", "Active").await;
    }
    world.shows("the nodes admit them", true, |world| node_rules(world) > 0).await;
    assert!(world.told("independent", "UnauthorizedOperation").await.is_empty(), "it has nothing to do with that");
    for name in ["web", "other", "third", "independent"] {
        world.delete_service(name).await;
    }
    for name in ["web", "other", "third", "independent"] {
        world.gone(name).await;
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_full_node_group_is_told_with_the_quota(world: World) {
    let nodes = world.node_group().id;
    let by_hand = |action: &str, number: usize| {
        let (port, cidr) = ((1000 + number).to_string(), format!("10.9.{number}.0/24"));
        let rule = [("GroupId", nodes.as_str()), ("IpPermissions.1.IpProtocol", "tcp"), ("IpPermissions.1.FromPort", &port)];
        let range = [("IpPermissions.1.ToPort", port.as_str()), ("IpPermissions.1.IpRanges.1.CidrIp", &cidr)];
        world.ec2(action, &[&rule[..], &range[..]].concat());
    };
    let room = 60 - world.node_group().rules.iter().filter(|rule| !rule.egress).count();
    (0..room).for_each(|number| by_hand("AuthorizeSecurityGroupIngress", number));
    let controller = Controller::start(&world, "a", SWEEPING);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    let message = says(&world, "web", "True", "RulesPerSecurityGroupLimitExceeded").await;
    for words in ["authorize security-group/nodes", &nodes, "L-0EA8095F"] {
        assert!(message.contains(words), "{words:?} is missing in {message:?}");
    }
    sweeps(&world, 3).await;
    assert_eq!(world.told("web", "RulesPerSecurityGroupLimitExceeded").await, [1]);
    (0..2).for_each(|number| by_hand("RevokeSecurityGroupIngress", number));
    says(&world, "web", "True", "Active").await;
    assert!(node_rules(&world) > 0);
    controller.stop().await;
}

async fn without_a_backend_group_the_services_say_why_they_wait(world: World) {
    let denied = deny(&world, "CreateSecurityGroup", "GroupName", "*-backend");
    let controller = Controller::start(&world, "a", SWEEPING);
    let mark = world.mark();
    world.create_service("web", HTTP).await;
    let message = says(&world, "web", "False", "UnauthorizedOperation").await;
    for words in ["shared by all Services", "-backend", "allow ec2:CreateSecurityGroup in"] {
        assert!(message.contains(words), "{words:?} is missing in {message:?}");
    }
    world.refused(mark, "CreateSecurityGroup", 4).await;
    assert_eq!(world.told("web", "UnauthorizedOperation").await, [1]);
    let begun = world.told("web", "Provisioning").await;
    assert!(begun.iter().sum::<i32>() <= 1, "{begun:?}");
    let own = world.ec2_group("their-own");
    world.create_annotated("independent", &[("security-groups", &own)], HTTP).await;
    world.host_name("independent").await;
    world.emulator.faults().remove(denied);
    world.host_name("web").await;
    says(&world, "web", "True", "Active").await;
    controller.stop().await;
}

async fn the_last_service_says_why_it_cannot_go(world: World) {
    let controller = Controller::start(&world, "a", SWEEPING);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    let groups = world.region().security_groups();
    let backend = groups.iter().find(|group| group.name.ends_with("-backend")).expect("the backend group").id.clone();
    let denied = deny(&world, "DeleteSecurityGroup", "GroupId", &backend);
    let mark = world.mark();
    world.delete_service("web").await;
    let message = says(&world, "web", "False", "UnauthorizedOperation").await;
    assert!(message.contains("shared by all Services") && message.contains("allow ec2:DeleteSecurityGroup in"), "{message}");
    assert_eq!(host_name(&world.services().get("web").await.unwrap()), None);
    let audited = world.audited();
    world.refused(mark, "DeleteSecurityGroup", 5).await;
    let writes: Vec<String> = world.kubernetes_writes(audited).into_iter().filter(|write| write.contains(" services ")).collect();
    assert_eq!(writes, Vec::<String>::new(), "it does not say anything else in between");
    assert_eq!(world.told("web", "UnauthorizedOperation").await, [1]);
    world.emulator.faults().remove(denied);
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn what_cannot_be_deleted_keeps_its_name_and_its_rules(world: World) {
    let controller = Controller::start(&world, "a", SWEEPING);
    for name in ["web", "other"] {
        world.create_service(name, HTTP).await;
    }
    let published = world.host_name("web").await;
    world.host_name("other").await;
    world.shows("the nodes admit them", true, |world| node_rules(world) > 0).await;
    let rules = world.node_group().rules;
    let denied = world.emulator.faults().add(Rule::on("DeleteLoadBalancer", Fault::Denied));
    for name in ["other", "web"] {
        // With another one that stays, and then as the last.
        let mark = world.mark();
        world.delete_service(name).await;
        says(&world, name, "False", "AccessDenied").await;
        world.refused(mark, "DeleteLoadBalancer", 2).await;
        sweeps(&world, 2).await;
        assert_eq!(world.node_group().rules, rules, "{name} serves");
    }
    assert_eq!(world.host_name("web").await, published);
    world.emulator.faults().remove(denied);
    for name in ["web", "other"] {
        world.gone(name).await;
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_flag_that_is_taken_back_takes_nothing_away(world: World) {
    let flags = [SWEEPING, &["--watch-namespace", &world.namespace]].concat();
    let controller = Controller::start(&world, "a", &[&flags[..], &["--claim-classless"]].concat());
    for name in ["web", "other"] {
        let mut service = world.service(name, &[], HTTP);
        service.spec.as_mut().unwrap().load_balancer_class = None;
        world.services().create(&PostParams::default(), &service).await.unwrap();
    }
    let published = world.host_name("web").await;
    world.host_name("other").await;
    world.shows("the nodes admit them", true, |world| node_rules(world) > 0).await;
    controller.stop().await;
    let (before, rules, mark) = (world.region().load_balancers(), world.node_group().rules, world.mark());

    let controller = Controller::start(&world, "b", &flags);
    for name in ["web", "other"] {
        let message = says(&world, name, "True", "NotClaimed").await;
        assert!(message.contains("--claim-classless"), "{message}");
    }
    sweeps(&world, 2).await;
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new());
    assert_eq!((world.region().load_balancers(), world.node_group().rules), (before, rules));
    assert_eq!((world.host_name("web").await, world.told("web", "NotClaimed").await), (published, vec![1]));
    wait::until("they count as orphans", async || {
        let metrics = controller.metrics().await?;
        if metrics.lines().any(|line| line == "landfall_orphans 2.0") { Ok(()) } else { Err(metrics) }
    })
    .await;
    // What the user gives up goes.
    world.delete_service("web").await;
    world.gone("web").await;
    world.patch("other", serde_json::json!({"spec": {"type": "ClusterIP"}})).await;
    world.aws_empty().await;
    controller.stop().await;
}

async fn nodes_without_a_clear_group_are_told_and_stay_open(mut world: World) {
    // The same network in another account, where the nodes have two groups.
    let mut spec = world.network().spec().clone();
    let extra = landfall_localstack::SecurityGroupSpec { name: "extra".to_owned(), ..spec.security_groups[0].clone() };
    spec.security_groups.push(landfall_localstack::SecurityGroupSpec { tags: [].into(), ..extra });
    spec.instances.iter_mut().for_each(|instance| instance.security_groups.push("extra".to_owned()));
    world.account = format!("2{}", &world.account[1..]);
    let seeded = world.emulator.region(&world.account, REGION).seed(&landfall_localstack::World::new(spec).unwrap());
    world.vpc_id = seeded.vpc_id;

    let controller = Controller::start(&world, "a", SWEEPING);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    says(&world, "web", "True", "Active").await;
    world.shows("the tagged group admits it", true, |world| node_rules(world) > 0).await;
    let (rules, tag) = (world.node_group().rules, format!("kubernetes.io/cluster/{}", world.cluster_name));
    let nodes = world.node_group().id;
    world.ec2_tag(&nodes, &tag, None);
    let message = says(&world, "web", "True", "NoNodeSecurityGroup").await;
    for words in ["instance i-", &nodes, &format!("{tag}=owned")] {
        assert!(message.contains(words), "{words:?} is missing in {message:?}");
    }
    assert_eq!(message.matches("several security groups").count(), 1, "once for all nodes: {message}");
    sweeps(&world, 3).await;
    assert_eq!(world.told("web", "NoNodeSecurityGroup").await, [1]);
    assert_eq!(world.node_group().rules, rules, "what was open stays open");

    // A process that never opened it keeps it open, too.
    controller.stop().await;
    let controller = Controller::start(&world, "b", SWEEPING);
    controller.leads().await;
    sweeps(&world, 3).await;
    assert_eq!(world.node_group().rules, rules);
    world.ec2_tag(&nodes, &tag, Some("owned"));
    says(&world, "web", "True", "Active").await;
    controller.stop().await;
}
