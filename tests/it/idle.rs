//! Nothing to do is nothing done: between sweeps no call at all, and a sweep writes nothing.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::inputs::sweeps;
use crate::support::aws::controller_writes;
use crate::support::controller::{Controller, command};
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("idle": nothing_is_done_when_there_is_nothing_to_do)
}

/// How long an idle controller is watched.
const WATCHED: Duration = Duration::from_secs(60);

async fn nothing_is_done_when_there_is_nothing_to_do(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("instances", "{ports: [{port: 80}], selector: {app: web}, externalTrafficPolicy: Local}").await;
    world.create_annotated("pods", &[("nlb-target-type", "ip")], "{ports: [{port: 80}], selector: {app: web}}").await;
    let attributes = [("target-group-attributes", "stickiness.enabled=true"), ("additional-resource-tags", "team=web")];
    let both = "{ports: [{name: tcp, port: 53}, {name: udp, port: 5353, protocol: UDP}], selector: {app: web}}";
    world.create_annotated("both", &attributes, both).await;
    for name in ["instances", "pods", "both"] {
        world.host_name(name).await;
    }
    world.quiet(0, Duration::from_secs(3)).await;

    let (mark, audited) = (world.mark(), world.audited());
    let call = world.emulator.journal().wait_for(mark, |_| true, WATCHED).await;
    assert!(call.is_none(), "an AWS call while there was nothing to do: {call:#?}");
    let (leases, others): (Vec<String>, Vec<String>) =
        world.kubernetes_writes(audited).into_iter().partition(|write| write.contains(" leases"));
    assert_eq!(others, Vec::<String>::new(), "Kubernetes writes but the lease's while there was nothing to do");
    // Had the log not been read rightly, not even these would be there.
    assert!(leases.len() > 10, "the lease is renewed: {leases:?}");

    let plan = command(&world).args(["plan", "--load-balancer-class", &world.class]).output().await.unwrap();
    let text = String::from_utf8_lossy(&plan.stdout);
    assert_eq!(plan.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&plan.stderr));
    assert_eq!(text.matches("Plan: nothing to do.").count(), 4, "three Services and what they share: {text}");
    controller.stop().await;

    let mark = world.mark();
    let controller = Controller::start(&world, "b", &["--sweep-interval", "1s"]);
    controller.leads().await;
    sweeps(&world, 4).await;
    assert_eq!(controller_writes(&world.calls_since(mark)), Vec::<String>::new(), "a start and its sweeps write nothing");
    controller.stop().await;
}
