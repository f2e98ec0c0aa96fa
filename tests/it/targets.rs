//! Targets follow pods and nodes: within a second, in batches, each once; a draining target that is wanted again is registered.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use landfall_localstack::{Durations, Entry, InstanceSpec, World as Network};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::workload::create_backend;
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    let mut trials = crate::trials!("targets":
        pods_are_registered_and_deregistered_as_they_come_and_go,
        an_address_that_comes_back_while_it_drains_is_registered,
    );
    trials.extend(crate::trials_alone!("targets":
        instances_follow_the_nodes,
        a_node_that_aws_does_not_know_harms_nobody,
    ));
    trials
}

const IP: &[(&str, &str)] = &[("nlb-target-type", "ip")];
/// From the change of a slice to the call that follows from it.
const FOLLOWS_WITHIN: SignedDuration = SignedDuration::from_millis(1000);

/// Address → when an EndpointSlice first showed it as ready.
type Ready = Arc<Mutex<BTreeMap<String, Timestamp>>>;

fn ready_addresses(world: &World) -> Ready {
    let ready = Ready::default();
    let sink = ready.clone();
    let slices: Api<EndpointSlice> = Api::namespaced(world.client.clone(), &world.namespace);
    let mut changes = Box::pin(watcher(slices, watcher::Config::default()).default_backoff().applied_objects());
    tokio::spawn(async move {
        while let Some(Ok(slice)) = changes.next().await {
            let now = Timestamp::now();
            let endpoints = slice.endpoints.into_iter().flatten();
            let serving = endpoints.filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
            let mut ready = sink.lock().unwrap();
            for address in serving.flat_map(|endpoint| endpoint.addresses) {
                ready.entry(address).or_insert(now);
            }
        }
    });
    ready
}

/// Addresses that a call names as targets.
fn named(call: &Entry) -> impl Iterator<Item = &String> {
    call.parameters.iter().filter(|(key, _)| key.starts_with("Targets.member.") && key.ends_with(".Id")).map(|(_, value)| value)
}

/// Calls of this action since the mark.
fn calls(world: &World, mark: u64, action: &str) -> Vec<Entry> {
    world.calls_since(mark).into_iter().filter(|call| call.action == action).collect()
}

async fn pods_are_registered_and_deregistered_as_they_come_and_go(world: World) {
    let ready = ready_addresses(&world);
    let controller = Controller::start(&world, "a", &[]);
    world.create_annotated("web", IP, "{ports: [{port: 80, targetPort: 8080}], selector: {app: web}}").await;
    world.host_name("web").await;
    let group = world.target_group().arn;
    create_backend(&world, "web", 2, 0).await;
    world.shows("two targets", 2, |world| world.serving(&group).len()).await;
    world.condition("web", "landfall/Ready", "Active").await;

    let mark = world.mark();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), &world.namespace);
    let scale = json!({"spec": {"replicas": 22}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    world.shows("twenty more", 22, |world| world.serving(&group).len()).await;
    let registrations = calls(&world, mark, "RegisterTargets");
    let ready = ready.lock().unwrap().clone();
    let mut late = Vec::new();
    for call in &registrations {
        for address in named(call) {
            let took = call.time.duration_since(ready[address]);
            if took > FOLLOWS_WITHIN {
                late.push((address.clone(), took));
            }
        }
    }
    assert!(late.is_empty(), "registered more than a second after they were ready: {late:?}");
    let sizes: Vec<usize> = registrations.iter().map(|call| named(call).count()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 20, "each is registered once: {sizes:?}");
    // On a busy machine they become ready one after another for seconds: then the calls are apart, too.
    let span = ready.values().max().unwrap().duration_since(registrations[0].time);
    let allowed = usize::try_from(span.as_millis() / 400 + 2).unwrap().max(4);
    assert!(sizes.len() <= allowed, "{} calls for twenty pods that became ready within {span:?}: {sizes:?}", sizes.len());

    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &world.namespace);
    let pod = pods.list(&ListParams::default()).await.unwrap().items.remove(0);
    let address = pod.status.unwrap().pod_ip.unwrap();
    let mark = world.mark();
    pods.delete(&pod.metadata.name.unwrap(), &DeleteParams::default()).await.unwrap();
    world.shows("it is out", false, |world| world.serving(&group).contains(&format!("{address}:8080"))).await;
    world.shows("another one took its place", 22, |world| world.serving(&group).len()).await;
    world.quiet(mark, Duration::from_secs(2)).await;
    let deregistrations = calls(&world, mark, "DeregisterTargets");
    let times = deregistrations.iter().flat_map(named).filter(|named| **named == address).count();
    assert_eq!(times, 1, "{deregistrations:#?}");
    controller.stop().await;
}

async fn an_address_that_comes_back_while_it_drains_is_registered(world: World) {
    world.emulator.set_durations(Durations { deregistration: Some(Duration::from_secs(600)), ..Durations::instant() });
    let controller = Controller::start(&world, "a", &[]);
    world.create_annotated("web", IP, "{ports: [{name: http, port: 80, targetPort: 8080}]}").await;
    world.host_name("web").await;
    let group = world.target_group().arn;
    let slices: Api<EndpointSlice> = Api::namespaced(world.client.clone(), &world.namespace);
    let endpoints = |addresses: &[&str]| {
        let list = addresses.iter().map(|address| json!({"addresses": [address], "conditions": {"ready": true}}));
        json!({"endpoints": list.collect::<Vec<Value>>()})
    };
    let mut slice = endpoints(&["10.20.1.201", "10.20.2.201"]);
    slice["metadata"] = json!({"name": "web-by-hand", "labels": {"kubernetes.io/service-name": "web"}});
    slice["addressType"] = json!("IPv4");
    slice["ports"] = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    slices.create(&PostParams::default(), &slice).await.unwrap();
    let set = async |addresses: &[&str]| {
        let patch = Patch::Merge(endpoints(addresses));
        slices.patch("web-by-hand", &PatchParams::default(), &patch).await.unwrap();
    };
    let (first, second) = ("10.20.1.201:8080".to_owned(), "10.20.2.201:8080".to_owned());
    world.shows("both", vec![first.clone(), second.clone()], |world| world.serving(&group)).await;
    set(&["10.20.2.201"]).await;
    world.shows("one drains", vec![second.clone()], |world| world.serving(&group)).await;
    assert!(world.region().targets(&group).iter().any(|target| target.state == "draining"), "it drains for ten minutes");
    world.quiet(0, Duration::from_secs(1)).await;
    let mark = world.mark();
    set(&["10.20.1.201", "10.20.2.201"]).await;
    world.shows("it is back", vec![first.clone(), second.clone()], |world| world.serving(&group)).await;
    let again: Vec<String> = calls(&world, mark, "RegisterTargets").iter().flat_map(named).cloned().collect();
    assert_eq!(again, ["10.20.1.201"], "only the one that drained");

    // The same for a process that was not there when it began to drain.
    set(&["10.20.2.201"]).await;
    world.shows("it drains again", vec![second.clone()], |world| world.serving(&group)).await;
    controller.stop().await;
    set(&["10.20.1.201", "10.20.2.201"]).await;
    let controller = Controller::start(&world, "b", &[]);
    world.shows("it is back again", vec![first, second], |world| world.serving(&group)).await;
    controller.stop().await;
}

/// Runs a test that changes nodes, and puts them back however it ends.
async fn restoring_nodes(world: &World, test: impl Future<Output = ()>) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let before = nodes.list(&ListParams::default()).await.unwrap().items;
    let result = AssertUnwindSafe(test).catch_unwind().await;
    for node in nodes.list(&ListParams::default()).await.unwrap().items {
        let name = node.metadata.name.unwrap();
        if before.iter().all(|known| known.metadata.name.as_deref() != Some(&name)) {
            nodes.delete(&name, &DeleteParams::default()).await.unwrap();
        }
        let restored = json!({"metadata": {"labels": {EXCLUDE: null}}, "spec": {"taints": null, "unschedulable": null}});
        let _ = nodes.patch(&name, &PatchParams::default(), &Patch::Merge(restored)).await;
    }
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

async fn create_node(world: &World, name: &str, provider_id: &str) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let labels = json!({"topology.kubernetes.io/zone": "us-west-2a"});
    let node = json!({"metadata": {"name": name, "labels": labels}, "spec": {"providerID": provider_id}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": "",
        "lastHeartbeatTime": Timestamp::now(), "lastTransitionTime": Timestamp::now()}]}});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
}

/// A fourth instance in AWS; its id.
fn create_instance(world: &World) -> String {
    let mut spec = world.network().spec().clone();
    let id = "i-00000000000000004".to_owned();
    spec.instances.push(InstanceSpec {
        name: "node-4".to_owned(),
        id: Some(id.clone()),
        subnet: "nodes-us-west-2a".to_owned(),
        address: "10.20.1.14".parse().unwrap(),
        security_groups: vec!["nodes".to_owned()],
        tags: BTreeMap::new(),
    });
    world.region().seed(&Network::new(spec).unwrap());
    id
}

/// Ids of the instances that serve.
fn instances(world: &World) -> Vec<String> {
    let serving = world.serving(&world.target_group().arn);
    serving.iter().map(|target| target.split_once(':').unwrap().0.to_owned()).collect()
}

async fn instances_follow_the_nodes(world: World) {
    restoring_nodes(&world, async {
        let controller = Controller::start(&world, "a", &[]);
        world.create_service("web", "{ports: [{port: 80}], selector: {app: web}}").await;
        world.host_name("web").await;
        let nodes: Api<Node> = Api::all(world.client.clone());
        let patch = async |name: &str, patch: Value| {
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        };
        let ids = |numbers: &[u8]| numbers.iter().map(|number| format!("i-{number:017x}")).collect::<Vec<_>>();
        world.shows("three nodes", ids(&[1, 2, 3]), instances).await;

        let id = create_instance(&world);
        let (mark, before) = (world.mark(), Timestamp::now());
        create_node(&world, "node-4", &format!("aws:///us-west-2a/{id}")).await;
        world.shows("a fourth", ids(&[1, 2, 3, 4]), instances).await;
        let registered = calls(&world, mark, "RegisterTargets");
        let took = registered[0].time.duration_since(before);
        assert!(took < FOLLOWS_WITHIN, "registered {took:?} after its node was created");
        let caused = world.quiet(mark, Duration::from_secs(1)).await;
        assert!(caused.len() <= 3, "a node of a known security group costs few calls: {caused:#?}");

        patch("node-4", json!({"metadata": {"labels": {EXCLUDE: ""}}})).await;
        world.shows("it is excluded", ids(&[1, 2, 3]), instances).await;
        patch("node-4", json!({"metadata": {"labels": {EXCLUDE: null}}})).await;
        world.shows("it is not excluded", ids(&[1, 2, 3, 4]), instances).await;

        let taint = json!({"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"});
        patch("node-2", json!({"spec": {"taints": [taint]}})).await;
        world.shows("node 2 is about to go", ids(&[1, 3, 4]), instances).await;
        patch("node-2", json!({"spec": {"taints": null}})).await;
        world.shows("node 2 stays", ids(&[1, 2, 3, 4]), instances).await;

        let mark = world.mark();
        patch("node-3", json!({"spec": {"unschedulable": true}, "metadata": {"annotations": {"a.example/b": "c"}}})).await;
        assert_eq!(world.quiet(mark, Duration::from_secs(1)).await.len(), 0, "a cordoned node goes on serving");
        patch("node-3", json!({"spec": {"unschedulable": null}})).await;

        nodes.delete("node-4", &DeleteParams::default()).await.unwrap();
        world.shows("it is gone", ids(&[1, 2, 3]), instances).await;
        controller.stop().await;
    })
    .await;
}

async fn a_node_that_aws_does_not_know_harms_nobody(world: World) {
    restoring_nodes(&world, async {
        create_node(&world, "hybrid", "somewhere://else/17").await;
        create_node(&world, "garbled", "aws:///us-west-2a/i-").await;
        let controller = Controller::start(&world, "a", &[]);
        world.create_service("web", "{ports: [{port: 80}], selector: {app: web}}").await;
        world.host_name("web").await;
        world.shows("the three real ones", 3, |world| instances(world).len()).await;
        let message = world.condition("web", "landfall/Accepted", "AcceptedWithNotices").await;
        assert!(message.contains("hybrid") && message.contains("garbled"), "{message}");

        // An instance that was terminated while its Node is still there.
        create_node(&world, "terminated", "aws:///us-west-2a/i-0dead000000000000").await;
        let id = create_instance(&world);
        create_node(&world, "node-4", &format!("aws:///us-west-2a/{id}")).await;
        world.shows("the fourth is registered all the same", true, |world| instances(world).contains(&id)).await;
        world.create_service("later", "{ports: [{port: 81}], selector: {app: web}}").await;
        world.host_name("later").await;
        wait::until("four targets each", async || {
            let groups = world.region().target_groups();
            let counts: Vec<usize> = groups.iter().map(|group| world.serving(&group.arn).len()).collect();
            if counts == [4, 4] { Ok(()) } else { Err(counts) }
        })
        .await;
        let nodes: Api<Node> = Api::all(world.client.clone());
        nodes.delete("terminated", &DeleteParams::default()).await.unwrap();
        world.condition("later", "landfall/Ready", "Active").await;
        controller.stop().await;
    })
    .await;
}
