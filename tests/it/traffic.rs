//! Real requests through the emulated NLB to pods: all target types, rollouts under load, fail-open.
//!
//! What pods need for a rollout without a failed request is told in `docs/how-to/zero-downtime.md`; the emulator's `instant`
//! profile makes AWS's minutes seconds, so the pods here need seconds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use landfall_test_cluster::load::{Load, ask};
use libtest_mimic::Trial;
use tokio::time::sleep;

use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::workload::{create_backend, pods, restart};
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("traffic":
        requests_reach_pods_by_node_ports,
        requests_reach_pods_by_their_addresses,
        without_a_healthy_target_all_get_traffic,
        a_rollout_behind_ip_targets_fails_no_request,
        a_rollout_behind_node_ports_fails_no_request,
        a_rollout_behind_local_node_ports_fails_no_request,
    )
}

const CROSS_ZONE: (&str, &str) = ("cross-zone-load-balancing-enabled", "true");
const IP: (&str, &str) = ("nlb-target-type", "ip");

/// Under `instant` a target is checked every second and one result decides: two seconds are the longest that AWS needs, the
/// rest is for a busy machine.
const PRE_STOP: u32 = 6;

/// Where the only load balancer's listener answers: an address in each zone.
fn addresses(world: &World) -> Vec<SocketAddr> {
    let load_balancers = world.region().load_balancers();
    let zones = load_balancers.iter().flat_map(|load_balancer| &load_balancer.zones);
    zones.map(|zone| SocketAddr::new(IpAddr::V4(zone.address), 80)).collect()
}

/// A controller, a Service for pods labelled `app: web`, and that many targets in state healthy.
async fn serve(world: &World, annotations: &[(&str, &str)], policy: &str, healthy: usize) -> Controller {
    let controller = Controller::start(world, "a", &[]);
    let spec = format!(
        "{{externalTrafficPolicy: {policy}, ports: [{{name: http, port: 80, targetPort: 8080}}], selector: {{app: web}}}}"
    );
    world.create_annotated("web", annotations, &spec).await;
    world.host_name("web").await;
    wait::until("targets are healthy", async || {
        let groups = world.region().target_groups();
        let targets: Vec<_> = groups.iter().flat_map(|group| world.region().targets(&group.arn)).collect();
        let count = targets.iter().filter(|target| target.state == "healthy").count();
        if count == healthy { Ok(()) } else { Err(targets) }
    })
    .await;
    controller
}

/// Every address of the load balancer answers, each time from one of the pods.
async fn every_address_answers(world: &World) {
    let pods = pods(world, "web").await;
    let addresses = addresses(world);
    assert_eq!(addresses.len(), 3, "an address in each zone");
    for address in addresses {
        let pod = wait::until(&format!("an answer from {address}"), async || ask(address).await).await;
        assert!(pods.contains(&pod), "{pod} is none of {pods:?}");
    }
}

async fn requests_reach_pods_by_node_ports(world: World) {
    create_backend(&world, "web", 1, 0).await;
    let controller = serve(&world, &[], "Cluster", 3).await;
    every_address_answers(&world).await;
    controller.stop().await;
}

async fn requests_reach_pods_by_their_addresses(world: World) {
    create_backend(&world, "web", 1, 0).await;
    let controller = serve(&world, &[IP, CROSS_ZONE], "Cluster", 1).await;
    every_address_answers(&world).await;
    controller.stop().await;
}

async fn without_a_healthy_target_all_get_traffic(world: World) {
    create_backend(&world, "web", 1, 0).await;
    // Nobody listens on that port: the pod serves and never counts as healthy.
    let controller = serve(&world, &[IP, CROSS_ZONE, ("healthcheck-port", "9999")], "Cluster", 0).await;
    wait::until("the target is unhealthy", async || {
        let groups = world.region().target_groups();
        let targets: Vec<_> = groups.iter().flat_map(|group| world.region().targets(&group.arn)).collect();
        if targets.iter().any(|target| target.state == "unhealthy") { Ok(()) } else { Err(targets) }
    })
    .await;
    every_address_answers(&world).await;
    controller.stop().await;
}

async fn a_rollout_behind_ip_targets_fails_no_request(world: World) {
    create_backend(&world, "web", 3, PRE_STOP).await;
    let controller = serve(&world, &[IP, CROSS_ZONE], "Cluster", 3).await;
    roll_under_load(&world, "ip targets").await;
    controller.stop().await;
}

async fn a_rollout_behind_node_ports_fails_no_request(world: World) {
    create_backend(&world, "web", 3, PRE_STOP).await;
    let controller = serve(&world, &[], "Cluster", 3).await;
    roll_under_load(&world, "instance targets, policy Cluster").await;
    controller.stop().await;
}

async fn a_rollout_behind_local_node_ports_fails_no_request(world: World) {
    create_backend(&world, "web", 3, PRE_STOP).await;
    // A node without a pod is unhealthy. AWS would reset the connections that it still carries to the pod that is leaving.
    let keep = ("target-group-attributes", "target_health_state.unhealthy.connection_termination.enabled=false");
    let controller = serve(&world, &[CROSS_ZONE, keep], "Local", 3).await;
    roll_under_load(&world, "instance targets, policy Local").await;
    controller.stop().await;
}

/// Restarts the Deployment under load and expects every request to be answered.
async fn roll_under_load(world: &World, what: &str) {
    every_address_answers(world).await;
    let old = pods(world, "web").await;
    let load = Load::start(&addresses(world));
    restart(world, "web").await;
    let new = pods(world, "web").await;
    // The load goes on for as long as it takes a late failure to show.
    sleep(Duration::from_secs(2)).await;
    let tally = load.stop().await;
    println!("{what}: {} requests, {} of them on kept connections, {} failed", tally.sent, tally.reused, tally.failed.len());
    assert_eq!(tally.failed, Vec::<String>::new(), "of {} requests", tally.sent);
    for pod in old.union(&new) {
        assert!(tally.answers.contains_key(pod), "{pod} never answered: {:?}", tally.answers);
    }
    assert!(tally.reused > tally.sent / 4 && tally.sent > 500, "{} of {} on kept connections", tally.reused, tally.sent);
}
