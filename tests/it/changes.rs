//! Changes of a live Service: what AWS can change in place is, the rest is replaced without a moment without host name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use landfall_localstack::Durations;
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::aws::controller_writes;
use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::world::{HTTP, World, host_name};

pub fn trials() -> Vec<Trial> {
    crate::trials!("changes":
        settings_change_in_place,
        attributes_return_to_their_defaults,
        tags_come_and_go_and_foreign_ones_stay,
        security_groups_of_ones_own_take_over_and_go_again,
        subnets_are_added_and_exchanged,
        pods_instead_of_instances,
        tcp_and_udp_on_one_port_share_a_listener,
        another_scheme_is_another_load_balancer_but_never_no_host_name,
        another_name_is_another_load_balancer,
        another_type_of_service_gives_everything_up,
    )
}

/// A controller with one Service that is served.
async fn served(world: &World, annotations: &[(&str, &str)], spec: &str) -> (Controller, String) {
    let controller = Controller::start(world, "a", &[]);
    world.create_annotated("web", annotations, spec).await;
    let published = world.host_name("web").await;
    settle(world, 0).await;
    (controller, published)
}

/// Waits for the end of what was caused, and returns the writes since the mark.
async fn settle(world: &World, mark: u64) -> Vec<String> {
    controller_writes(&world.quiet(mark, Duration::from_secs(1)).await)
}

async fn settings_change_in_place(world: World) {
    let (controller, published) = served(&world, &[], HTTP).await;
    let (load_balancer, group) = (world.load_balancer(), world.target_group());
    let health = |world: &World| {
        let group = world.target_group();
        (group.health_check_protocol, group.health_check_port, group.health_check_path)
    };

    let mark = world.mark();
    let keys = [("healthcheck-protocol", "http"), ("healthcheck-path", "/ready"), ("healthcheck-port", "8081")];
    let annotations: BTreeMap<String, &str> =
        keys.iter().map(|(key, value)| (format!("service.beta.kubernetes.io/aws-load-balancer-{key}"), *value)).collect();
    world.patch("web", json!({"metadata": {"annotations": annotations}})).await;
    let changed = ("HTTP".to_owned(), "8081".to_owned(), Some("/ready".to_owned()));
    world.shows("health check as annotated", changed, health).await;
    let writes = settle(&world, mark).await;
    assert_eq!(
        writes.iter().filter(|write| *write != "AuthorizeSecurityGroupIngress").collect::<Vec<_>>(),
        ["ModifyTargetGroup"]
    );

    let mark = world.mark();
    world.annotate("web", "healthcheck-path", Some("/other")).await;
    world.shows("another path", Some("/other".to_owned()), |world| world.target_group().health_check_path).await;
    assert_eq!(settle(&world, mark).await, ["ModifyTargetGroup"], "one change is one write");

    // Without node-local endpoints a node says so at its health check node port.
    let none: BTreeMap<String, Option<&str>> = annotations.keys().map(|key| (key.clone(), None)).collect();
    let local = json!({"metadata": {"annotations": none}, "spec": {"externalTrafficPolicy": "Local"}});
    let port = world.patch("web", local).await.spec.unwrap().health_check_node_port.unwrap();
    let expected = ("HTTP".to_owned(), port.to_string(), Some("/healthz".to_owned()));
    world.shows("health check of externalTrafficPolicy: Local", expected, health).await;
    world.patch("web", json!({"spec": {"externalTrafficPolicy": "Cluster"}})).await;
    world.shows("the default check", "traffic-port".to_owned(), |world| world.target_group().health_check_port).await;

    world.patch("web", json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8", "192.168.0.0/16"]}})).await;
    world.shows("both ranges", vec!["10.0.0.0/8".to_owned(), "192.168.0.0/16".to_owned()], admitted).await;
    world.patch("web", json!({"spec": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}})).await;
    world.shows("one range", vec!["10.0.0.0/8".to_owned()], admitted).await;
    world.patch("web", json!({"spec": {"loadBalancerSourceRanges": null}})).await;
    world.shows("everybody", vec!["0.0.0.0/0".to_owned()], admitted).await;

    let mark = world.mark();
    world.annotate("web", "somebody.example/else", Some("irrelevant")).await;
    assert_eq!(world.quiet(mark, Duration::from_secs(1)).await.len(), 0, "an annotation that means nothing to us costs nothing");

    assert_eq!(world.load_balancer().arn, load_balancer.arn);
    assert_eq!(world.target_group().arn, group.arn);
    assert_eq!(world.host_name("web").await, published);
    controller.stop().await;
}

/// Peers that the frontend group admits, sorted.
fn admitted(world: &World) -> Vec<String> {
    let rules = world.frontend_group().rules.into_iter().filter(|rule| !rule.egress);
    let mut peers: Vec<String> = rules.map(|rule| rule.peer).collect();
    peers.sort_unstable();
    peers
}

async fn attributes_return_to_their_defaults(world: World) {
    let (controller, _) = served(&world, &[], HTTP).await;
    let of_group = |key: &'static str| move |world: &World| world.target_group().attributes.get(key).cloned();
    let of_balancer = |key: &'static str| move |world: &World| world.load_balancer().attributes.get(key).cloned();
    let text = |value: &str| Some(value.to_owned());

    let (delay, stickiness) = ("deregistration_delay.timeout_seconds", "stickiness.enabled");
    world.annotate("web", "target-group-attributes", Some(&format!("{delay}=15,{stickiness}=true"))).await;
    world.shows("the delay", text("15"), of_group(delay)).await;
    world.shows("stickiness", text("true"), of_group(stickiness)).await;
    settle(&world, 0).await;
    let mark = world.mark();
    world.annotate("web", "target-group-attributes", Some(&format!("{delay}=20,{stickiness}=true"))).await;
    world.shows("another delay", text("20"), of_group(delay)).await;
    let calls = world.quiet(mark, Duration::from_secs(1)).await;
    assert!(calls.len() <= 4, "one attribute is {} calls: {calls:#?}", calls.len());
    world.annotate("web", "target-group-attributes", Some(&format!("{stickiness}=true"))).await;
    world.shows("AWS's default", text("300"), of_group(delay)).await;
    world.annotate("web", "target-group-attributes", None).await;
    world.shows("no stickiness", text("false"), of_group(stickiness)).await;

    world.annotate("web", "proxy-protocol", Some("*")).await;
    world.shows("PROXY protocol", text("true"), of_group("proxy_protocol_v2.enabled")).await;
    world.annotate("web", "proxy-protocol", None).await;
    world.shows("no PROXY protocol", text("false"), of_group("proxy_protocol_v2.enabled")).await;

    let cross_zone = "load_balancing.cross_zone.enabled";
    world.annotate("web", "cross-zone-load-balancing-enabled", Some("true")).await;
    world.shows("cross zone", text("true"), of_balancer(cross_zone)).await;
    world.annotate("web", "cross-zone-load-balancing-enabled", Some("false")).await;
    world.shows("no cross zone", text("false"), of_balancer(cross_zone)).await;
    world.annotate("web", "attributes", Some("deletion_protection.enabled=true")).await;
    world.shows("protected", text("true"), of_balancer("deletion_protection.enabled")).await;
    world.annotate("web", "attributes", None).await;
    world.shows("not protected", text("false"), of_balancer("deletion_protection.enabled")).await;
    // What is as it should be is not written again by a process that knows nothing of it.
    settle(&world, 0).await;
    controller.stop().await;
    another_process_writes_nothing(&world).await;
}

async fn another_process_writes_nothing(world: &World) {
    let mark = world.mark();
    let controller = Controller::start(world, "b", &[]);
    controller.leads().await;
    assert_eq!(settle(world, mark).await, Vec::<String>::new());
    controller.stop().await;
}

async fn tags_come_and_go_and_foreign_ones_stay(world: World) {
    let (controller, _) = served(&world, &[("additional-resource-tags", "team=web,cost=1")], HTTP).await;
    let arn = world.load_balancer().arn;
    let foreign = [("ResourceArns.member.1", arn.as_str()), ("Tags.member.1.Key", "owner"), ("Tags.member.1.Value", "them")];
    world.elb("AddTags", &foreign);
    world.ec2_tag(&world.frontend_group().id, "owner", Some("them"));
    let wanted = |tags: &BTreeMap<String, String>| {
        ["team", "cost", "owner"].map(|key| tags.get(key).cloned().unwrap_or_default()).join(" ")
    };
    let of_all = move |world: &World| {
        [world.load_balancer().tags, world.frontend_group().tags, world.target_group().tags].map(|tags| wanted(&tags))
    };
    let expected = ["web 1 them", "web 1 them", "web 1 "].map(str::to_owned);
    world.shows("both tags", expected, of_all).await;
    world.annotate("web", "additional-resource-tags", Some("team=ops")).await;
    let expected = ["ops  them", "ops  them", "ops  "].map(str::to_owned);
    world.shows("one tag, and theirs", expected, of_all).await;
    controller.stop().await;
    // Not having heard of their tags, it does not take them for ours either.
    another_process_writes_nothing(&world).await;
}

async fn security_groups_of_ones_own_take_over_and_go_again(world: World) {
    let (controller, published) = served(&world, &[], HTTP).await;
    let managed = world.load_balancer().security_groups;
    assert_eq!(managed.len(), 2, "frontend and backend");
    let own = [world.ec2_group("own-1"), world.ec2_group("own-2")];
    // One by id, one by its tag `Name`.
    world.ec2_tag(&own[1], "Name", Some("second"));
    world.annotate("web", "security-groups", Some(&format!("{}, second", own[0]))).await;
    let in_own = |world: &World| {
        let groups = world.load_balancer().security_groups;
        groups.len() == 2 && own.iter().all(|id| groups.contains(id))
    };
    world.shows("their groups", true, in_own).await;
    let kept = |world: &World| world.region().security_groups().iter().filter(|group| managed.contains(&group.id)).count();
    world.shows("managed groups are gone", 0, kept).await;
    let referring = |world: &World| world.node_group().rules.iter().filter(|rule| managed.contains(&rule.peer)).count();
    world.shows("node rules are gone", 0, referring).await;

    world.annotate("web", "security-groups", None).await;
    world
        .shows("managed groups are back", true, |world| !own.iter().any(|id| world.load_balancer().security_groups.contains(id)))
        .await;
    world
        .shows("nodes admit it again", true, |world| {
            world.node_group().rules.iter().any(|rule| world.load_balancer().security_groups.contains(&rule.peer))
        })
        .await;
    assert_eq!(world.host_name("web").await, published, "all the while the same load balancer");
    assert!(own.iter().all(|id| world.region().security_groups().iter().any(|group| group.id == *id)), "theirs are theirs");
    controller.stop().await;
}

async fn subnets_are_added_and_exchanged(world: World) {
    let subnets = world.seeded().subnets;
    let internal = ["a", "b", "c"].map(|zone| subnets[&format!("internal-us-west-2{zone}")].clone());
    let (controller, published) = served(&world, &[("subnets", &internal[0]), ("scheme", "internal")], HTTP).await;
    let placed = |world: &World| {
        let mut ids: Vec<String> = world.load_balancer().zones.into_iter().map(|zone| zone.subnet_id).collect();
        ids.sort_unstable();
        ids
    };
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort_unstable();
        ids
    };
    world.annotate("web", "subnets", Some("internal-us-west-2a, internal-us-west-2b")).await;
    world.shows("a zone more, by name", sorted(&[&internal[0], &internal[1]]), placed).await;
    // Another subnet of the same zone: AWS wants the zone given up in between.
    let nodes = subnets["nodes-us-west-2a"].clone();
    world.annotate("web", "subnets", Some(&format!("{nodes},{},{}", internal[1], internal[2]))).await;
    world.shows("another subnet in zone a", sorted(&[&nodes, &internal[1], &internal[2]]), placed).await;
    assert_eq!(world.host_name("web").await, published);
    controller.stop().await;
}

async fn pods_instead_of_instances(world: World) {
    let spec = "{ports: [{name: http, port: 80, targetPort: 8080}]}";
    let (controller, published) = served(&world, &[], spec).await;
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-by-hand", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.20.1.201"], "conditions": {"ready": true}}],
    }))
    .unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(world.client.clone(), &world.namespace);
    slices.create(&PostParams::default(), &slice).await.unwrap();
    let (load_balancer, old) = (world.load_balancer(), world.target_group());
    assert_eq!(old.target_type, "instance");
    let mark = world.mark();
    world.annotate("web", "nlb-target-type", Some("ip")).await;
    wait::until("only a group of pods", async || {
        let groups = world.region().target_groups();
        if groups.len() == 1 && groups[0].target_type == "ip" { Ok(()) } else { Err(groups) }
    })
    .await;
    let new = world.target_group();
    assert_eq!(world.listener().target_group, new.arn);
    assert_eq!(world.serving(&new.arn), ["10.20.1.201:8080"]);
    let writes = settle(&world, mark).await;
    let at = |action: &str| writes.iter().position(|write| write == action).unwrap_or_else(|| panic!("{action} in {writes:?}"));
    assert!(at("RegisterTargets") < at("ModifyListener"), "targets before traffic: {writes:?}");
    assert!(at("ModifyListener") < at("DeleteTargetGroup"), "{writes:?}");
    assert_eq!((world.load_balancer().arn, world.host_name("web").await), (load_balancer.arn, published));

    world.annotate("web", "nlb-target-type", None).await;
    wait::until("instances again", async || {
        let groups = world.region().target_groups();
        if groups.len() == 1 && groups[0].target_type == "instance" { Ok(()) } else { Err(groups) }
    })
    .await;
    controller.stop().await;
}

async fn tcp_and_udp_on_one_port_share_a_listener(world: World) {
    let spec = "{ports: [{name: tcp, port: 53, nodePort: 30053}], selector: {app: dns}}";
    let (controller, published) = served(&world, &[], spec).await;
    let both = [("tcp", "TCP"), ("udp", "UDP")]
        .map(|(name, protocol)| json!({"name": name, "port": 53, "nodePort": 30053, "protocol": protocol}));
    world.patch("web", json!({"spec": {"ports": both}})).await;
    let state = |world: &World| {
        let region = world.region();
        let listeners: Vec<String> = region.listeners().into_iter().map(|l| format!("{}/{}", l.protocol, l.port)).collect();
        let groups: Vec<String> = region.target_groups().into_iter().map(|group| group.protocol).collect();
        (listeners, groups)
    };
    world.shows("one listener", (vec!["TCP_UDP/53".to_owned()], vec!["TCP_UDP".to_owned()]), state).await;
    let admitted = |world: &World| {
        let rules = world.frontend_group().rules.into_iter().filter(|rule| !rule.egress);
        let mut protocols: Vec<String> = rules.map(|rule| rule.protocol).collect();
        protocols.sort_unstable();
        protocols
    };
    world.shows("both are admitted", vec!["tcp".to_owned(), "udp".to_owned()], admitted).await;
    wait::until("both ports in the status", async || {
        let status = world.services().get("web").await.unwrap().status.unwrap().load_balancer.unwrap();
        let ports = status.ingress.unwrap()[0].ports.clone().unwrap_or_default();
        let ports: Vec<String> = ports.into_iter().map(|port| format!("{}/{}", port.protocol, port.port)).collect();
        if ports == ["TCP/53", "UDP/53"] { Ok(()) } else { Err(ports) }
    })
    .await;
    world.patch("web", json!({"spec": {"ports": [both[1]]}})).await;
    world.shows("UDP only", (vec!["UDP/53".to_owned()], vec!["UDP".to_owned()]), state).await;
    assert_eq!(world.host_name("web").await, published);
    controller.stop().await;
}

/// Every host name that the Service's status shows from now on, in order; `None` where there is none.
fn host_names(world: &World) -> Arc<Mutex<Vec<Option<String>>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let mut changes = Box::pin(watcher(world.services(), watcher::Config::default()).default_backoff().applied_objects());
    tokio::spawn(async move {
        while let Some(Ok(service)) = changes.next().await {
            let name = host_name(&service);
            let mut seen = sink.lock().unwrap();
            if seen.last() != Some(&name) {
                seen.push(name);
            }
        }
    });
    seen
}

/// Changes an annotation that means another load balancer, and checks that the old one serves until the new one does.
async fn replaced(world: &World, key: &str, value: &str) -> String {
    let (controller, published) = served(world, &[("scheme", "internal")], HTTP).await;
    let old = world.load_balancer();
    let provisioning = Duration::from_secs(600);
    world.emulator.set_durations(Durations { provisioning, ..Durations::instant() });
    let seen = host_names(world);
    let mark = world.mark();
    world.annotate("web", key, Some(value)).await;
    wait::until("a second load balancer with its listener", async || {
        let (balancers, listeners) = (world.region().load_balancers(), world.region().listeners());
        if balancers.len() == 2 && listeners.len() == 2 { Ok(()) } else { Err((balancers, listeners)) }
    })
    .await;
    // While AWS provisions, the old one stays, complete and published, and the new one is polled ever more rarely.
    wait::until("it is being polled", async || {
        let polls = world.calls_since(mark).iter().filter(|call| call.action == "DescribeLoadBalancers").count();
        if polls >= 3 { Ok(()) } else { Err(polls) }
    })
    .await;
    assert_eq!(world.host_name("web").await, published);
    assert!(world.region().load_balancers().contains(&old));

    world.emulator.clock().advance(provisioning);
    wait::until("only the new one is left", async || {
        let balancers = world.region().load_balancers();
        let groups = world.region().target_groups();
        if balancers.len() == 1 && balancers[0].arn != old.arn && groups.len() == 1 { Ok(()) } else { Err((balancers, groups)) }
    })
    .await;
    let new = world.load_balancer();
    let expected = [Some(published), Some(new.dns_name.to_lowercase())];
    wait::until("both host names, one after the other", async || {
        let seen = seen.lock().unwrap().clone();
        if seen == expected { Ok(()) } else { Err(seen) }
    })
    .await;
    world.condition("web", "landfall/Ready", "Active").await;
    let ours = world.region().security_groups().into_iter().filter(|group| group.tags.contains_key("landfall/service")).count();
    assert_eq!(ours, 1, "one frontend group is left");
    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
    new.scheme
}

async fn another_scheme_is_another_load_balancer_but_never_no_host_name(world: World) {
    assert_eq!(replaced(&world, "scheme", "internet-facing").await, "internet-facing");
}

async fn another_name_is_another_load_balancer(world: World) {
    assert_eq!(replaced(&world, "name", "by-another-name").await, "internal");
}

async fn another_type_of_service_gives_everything_up(world: World) {
    let (controller, _) = served(&world, &[], HTTP).await;
    world
        .patch("web", json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null, "allocateLoadBalancerNodePorts": null}}))
        .await;
    wait::until("nothing is left of it", async || {
        let service = world.services().get("web").await.unwrap();
        let conditions = service.status.clone().and_then(|status| status.conditions).unwrap_or_default();
        let free = service.metadata.finalizers.is_none() && host_name(&service).is_none() && conditions.is_empty();
        if free && world.leftovers().is_empty() { Ok(()) } else { Err((service, world.leftovers())) }
    })
    .await;
    // And back.
    world.patch("web", json!({"spec": {"type": "LoadBalancer", "loadBalancerClass": world.class}})).await;
    world.host_name("web").await;
    controller.stop().await;
}
