//! `make bench-nlb`: AWS calls and times of the controller, from the emulator's journal, beside their limits and the peer's.
//!
//! Not a test: `main.rs` runs it instead of the tests when `LANDFALL_BENCH` is set. 100 ms are added to every AWS call; AWS itself
//! provisions, drains and releases at once, but where a row says otherwise. The peer is AWS Load Balancer Controller 3.5 on moto,
//! with the same work. `bench/table.rs` prints.

mod table;

use std::process::ExitCode;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use landfall_localstack::{Durations, Entry, Fault, InstanceSpec, Outcome, Rule, World as Network, WorldOptions};
use serde_json::json;
use tokio::time::Instant;

use crate::support::controller::Controller;
use crate::support::fixture;
use crate::support::wait;
use crate::support::world::{World, host_name};
use table::{Calls, Figure, Memory, Row};

/// Added to every AWS call.
const DELAY: Duration = Duration::from_millis(100);

/// As long without a call nothing more is coming.
const QUIET: Duration = Duration::from_secs(3);

/// As many Services as an account may have NLBs in a region (quota L-69A177A2).
const MANY: usize = 50;

/// For all of [`MANY`], on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(240);

const SPEC: &str = "{ports: [{port: 80, targetPort: 8080}], selector: {app: web}}";

/// Measures, prints, and fails when a limit is missed.
pub fn run() -> ExitCode {
    let (rows, memory) = fixture::block_on(async {
        let mut rows = one_service(slow_world("bench-one", 0).await).await;
        let (more, memory) = many_services(slow_world("bench-many", 1).await).await;
        rows.extend(more);
        (rows, memory)
    });
    print!("{}", table::render(&rows, &memory));
    let missed = table::missed(&rows, &memory);
    for what in &missed {
        eprintln!("limit missed: {what}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn slow_world(name: &str, index: u16) -> World {
    let world = World::create(name, index).await;
    world.emulator.faults().add(Rule::on("*", Fault::Delay(DELAY)));
    world
}

/// One Service: its creation by a process that knows nothing yet, changes, and another one by the same process.
async fn one_service(world: World) -> Vec<Row> {
    let mark = world.mark();
    let controller = Controller::start(&world, "one", &[]);
    controller.leads().await;
    let seconds = host_name_of_new(&world, "web").await;
    let cold = Row::new("1 Service, 1 TCP port, instance targets: to host name, cold process", calls(&world, mark).await)
        .limits(16, "29 (8)")
        .within(Figure { measured: seconds, limit: Some(1.0), peer: "2.5" });

    let mark = world.mark();
    world.annotate("web", "example.com/colour", Some("blue")).await;
    let irrelevant = Row::new("irrelevant annotation", calls(&world, mark).await).limits(0, "11");

    let mark = world.mark();
    let start = Instant::now();
    world.annotate("web", "target-group-attributes", Some("deregistration_delay.timeout_seconds=30")).await;
    let seconds = seconds_until(&world, mark, start, "ModifyTargetGroupAttributes").await;
    let attribute = Row::new("one target-group attribute", calls(&world, mark).await).limits(3, "15").within(Figure {
        measured: seconds,
        limit: None,
        peer: "1.0",
    });

    let mark = world.mark();
    let start = add_node(&world).await;
    let seconds = seconds_until(&world, mark, start, "RegisterTargets").await;
    let node = Row::new("one node added", calls(&world, mark).await).limits(3, "3").within(Figure {
        measured: seconds,
        limit: None,
        peer: "0.45",
    });
    Api::<Node>::all(world.client.clone()).delete(ADDED, &DeleteParams::default()).await.expect("the node is deleted");
    world.quiet(mark, QUIET).await;

    let mark = world.mark();
    let seconds = host_name_of_new(&world, "second").await;
    let warm = Row::new("1 Service, the same, warm process", calls(&world, mark).await).limits(12, "").within(Figure {
        measured: seconds,
        limit: Some(1.0),
        peer: "",
    });

    controller.stop().await;
    vec![cold, warm, irrelevant, attribute, node]
}

/// As many Services as AWS allows: created, found by another process, deleted; and deleted while AWS is slow.
async fn many_services(world: World) -> (Vec<Row>, Memory) {
    let controller = Controller::start(&world, "many", &[]);
    controller.leads().await;
    world.quiet(world.mark(), QUIET).await;
    let empty = controller.resident();

    let mark = world.mark();
    let seconds = create_many(&world).await;
    all_registered(&world).await;
    let created = Row::new(&format!("{MANY} Services at once: last host name"), calls(&world, mark).await)
        .limits(450, "1073")
        .within(Figure { measured: seconds, limit: Some(5.0), peer: "41" });
    let full = controller.resident();

    controller.stop().await;
    let swept = one_sweep(&world).await;

    let mark = world.mark();
    let start = world.emulator.clock().now();
    let controller = Controller::start(&world, "again", &[]);
    controller.leads().await;
    let made = calls(&world, mark).await;
    let end = world.calls_since(mark).iter().filter_map(|entry| entry.time.checked_add(entry.duration).ok()).max();
    let restarted =
        Row::new(&format!("restart with {MANY}: until quiet"), made).limits(120, "666").without_writes().within(Figure {
            measured: end.map_or(0.0, |end| end.duration_since(start).as_secs_f64()),
            limit: Some(5.0),
            peer: "31",
        });

    let mark = world.mark();
    let seconds = delete_many(&world).await;
    let deleted = Row::new(&format!("{MANY} deleted: all gone"), calls(&world, mark).await).limits(300, "453").within(Figure {
        measured: seconds,
        limit: Some(5.0),
        peer: "21",
    });
    world.aws_empty().await;

    create_many(&world).await;
    world.quiet(world.mark(), QUIET).await;
    let linger = Duration::from_secs(60);
    world.emulator.set_durations(Durations { load_balancer_interfaces_linger: linger, ..Durations::instant() });
    let mark = world.mark();
    let (seconds, meanwhile) = futures::join!(delete_many(&world), async {
        // Not before there is quota for one more.
        wait::until("the load balancers are gone", async || match world.region().load_balancers().len() {
            0 => Ok(()),
            left => Err(left),
        })
        .await;
        host_name_of_new(&world, "meanwhile").await
    });
    let what = format!("{MANY} deleted while security groups answer DependencyViolation for 60 s: all gone");
    let lingering = Row::new(&what, calls(&world, mark).await).limits(400, "1077").within(Figure {
        measured: seconds,
        limit: Some(70.0),
        peer: "227",
    });
    let new =
        Row::timed("a new Service meanwhile: to host name").within(Figure { measured: meanwhile, limit: Some(1.0), peer: "61" });
    world.emulator.set_durations(Durations::instant());
    world.delete_service("meanwhile").await;
    world.gone("meanwhile").await;
    world.aws_empty().await;
    controller.stop().await;
    (vec![created, restarted, swept, deleted, lingering, new], Memory { empty, full, services: MANY })
}

/// What one sweep of [`MANY`] Services costs when nothing is amiss: the first one of a process that has settled.
async fn one_sweep(world: &World) -> Row {
    let controller = Controller::start(world, "sweeper", &["--sweep-interval", "20s"]);
    controller.leads().await;
    world.quiet(world.mark(), QUIET).await;
    let mark = world.mark();
    let begins = world.emulator.journal().wait_for(mark, |_| true, wait::LIMIT).await;
    assert!(begins.is_some(), "no sweep within {:?}", wait::LIMIT);
    let made = calls(world, mark).await;
    controller.stop().await;
    Row::new(&format!("sweep of {MANY} unchanged: calls (writes)"), made).limits(120, "").without_writes()
}

/// Creates a Service and answers how many seconds later its status has a host name.
async fn host_name_of_new(world: &World, name: &str) -> f64 {
    let start = Instant::now();
    world.create_service(name, SPEC).await;
    world.host_name(name).await;
    start.elapsed().as_secs_f64()
}

/// Creates [`MANY`] Services side by side; seconds until the last one has a host name.
async fn create_many(world: &World) -> f64 {
    let start = Instant::now();
    let names: Vec<String> = (0..MANY).map(|number| format!("web-{number}")).collect();
    join_all(names.iter().map(|name| world.create_service(name, SPEC))).await;
    wait::until_within(PATIENCE, "all have host names", async || {
        let services = list(world).await;
        let missing: Vec<_> = services.iter().filter(|service| host_name(service).is_none()).collect();
        if missing.is_empty() && services.len() == MANY { Ok(()) } else { Err(missing.len()) }
    })
    .await;
    start.elapsed().as_secs_f64()
}

/// Waits until every target group has targets: some come after the host name, AWS takes only so many registrations a second.
async fn all_registered(world: &World) {
    wait::until_within(PATIENCE, "all targets are registered", async || {
        let groups = world.region().target_groups();
        let empty = groups.iter().filter(|group| group.targets == 0).count();
        if groups.len() == MANY && empty == 0 { Ok(()) } else { Err(empty) }
    })
    .await;
}

/// Deletes those; seconds until the last one is gone.
async fn delete_many(world: &World) -> f64 {
    let start = Instant::now();
    let names: Vec<String> = (0..MANY).map(|number| format!("web-{number}")).collect();
    join_all(names.iter().map(|name| world.delete_service(name))).await;
    wait::until_within(PATIENCE, "all are gone", async || {
        let left = list(world).await.into_iter().filter_map(|service| service.metadata.name);
        let left = left.filter(|name| name.starts_with("web-")).count();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    start.elapsed().as_secs_f64()
}

async fn list(world: &World) -> Vec<Service> {
    world.services().list(&ListParams::default()).await.expect("the Services").items
}

/// The node that is added, and its instance.
const ADDED: &str = "bench-node";
const ADDED_INSTANCE: &str = "i-00000000000000099";

/// One more instance in AWS, and its Node; answers when the Node became Ready.
async fn add_node(world: &World) -> Instant {
    let standard = Network::three_zones(WorldOptions { cluster_name: world.cluster_name.clone(), ..WorldOptions::default() });
    let mut spec = standard.spec().clone();
    let first = spec.instances.first().expect("three instances").clone();
    spec.instances.push(InstanceSpec {
        name: ADDED.to_owned(),
        id: Some(ADDED_INSTANCE.to_owned()),
        address: "10.20.1.11".parse().expect("an address"),
        ..first
    });
    world.region().seed(&Network::new(spec).expect("a sound world"));
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": ADDED, "labels": {"topology.kubernetes.io/zone": "us-west-2a"}},
        "spec": {"providerID": format!("aws:///us-west-2a/{ADDED_INSTANCE}")},
    });
    nodes.create(&PostParams::default(), &serde_json::from_value(node).expect("a Node")).await.expect("the Node is created");
    let start = Instant::now();
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Bench", "message": "",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    nodes.patch_status(ADDED, &PatchParams::default(), &Patch::Strategic(ready)).await.expect("the Node is Ready");
    start
}

/// Waits for this action to succeed; seconds since `start`.
async fn seconds_until(world: &World, mark: u64, start: Instant, action: &str) -> f64 {
    let done = |entry: &Entry| entry.action == action && entry.result == Outcome::Ok;
    let found = world.emulator.journal().wait_for(mark, done, wait::LIMIT).await;
    assert!(found.is_some(), "{action} was not called within {:?}: {:#?}", wait::LIMIT, world.calls_since(mark));
    start.elapsed().as_secs_f64()
}

/// All calls since the mark, once there are no more.
async fn calls(world: &World, mark: u64) -> Calls {
    Calls::count(&world.quiet(mark, QUIET).await)
}
