//! A Service gets its NLB, keeps it as the Service says, and takes it along when it goes.

use std::time::Duration;

use landfall_localstack::{Durations, Fault, Rule};
use libtest_mimic::Trial;

use crate::support::controller::Controller;
use crate::support::wait;
use crate::support::world::{HTTP, World, writes};

pub fn trials() -> Vec<Trial> {
    crate::trials!("reconcile":
        a_service_gets_an_nlb_and_takes_it_along,
        ports_come_and_go,
        a_listing_that_sees_it_active_first_wakes_the_service,
    )
}

async fn a_service_gets_an_nlb_and_takes_it_along(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    controller.leads().await;
    world.create_service("web", HTTP).await;
    let host_name = world.host_name("web").await;
    let load_balancers = world.region().load_balancers();
    assert_eq!(load_balancers.len(), 1);
    let load_balancer = load_balancers.first().unwrap();
    assert_eq!(load_balancer.dns_name.to_lowercase(), host_name);
    assert!(load_balancer.arn.contains(":loadbalancer/net/lf-"), "{}", load_balancer.arn);
    world.condition("web", "landfall/Accepted", "Accepted").await;
    world.condition("web", "landfall/Ready", "Active").await;
    let service = world.services().get("web").await.unwrap();
    let node_port = u16::try_from(service.spec.unwrap().ports.unwrap()[0].node_port.unwrap()).unwrap();
    let group = world.region().target_groups().into_iter().next().unwrap();
    wait::until("all nodes are registered", async || {
        let targets = world.region().targets(&group.arn);
        let ports: Vec<_> = targets.iter().map(|target| target.port).collect();
        if ports == [node_port; 3] { Ok(()) } else { Err(targets) }
    })
    .await;

    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert!(controller.stop().await.success());
}

async fn ports_come_and_go(world: World) {
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("web", HTTP).await;
    let host_name = world.host_name("web").await;
    let mark = world.mark();
    world
        .patch("web", serde_json::json!({"spec": {"ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}))
        .await;
    wait::until("a UDP listener", async || {
        let listeners = world.region().listeners();
        if listeners.iter().any(|l| l.port == 53 && l.protocol == "UDP") { Ok(()) } else { Err(listeners) }
    })
    .await;
    world.quiet(mark, Duration::from_secs(1)).await;
    let mark = world.mark();
    world.patch("web", serde_json::json!({"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}})).await;
    wait::until("one listener", async || {
        let listeners = world.region().listeners();
        if listeners.len() == 1 && world.region().target_groups().len() == 1 { Ok(()) } else { Err(listeners) }
    })
    .await;
    let calls = world.quiet(mark, Duration::from_secs(1)).await;
    assert!(writes(&calls).contains(&"DeleteListener".to_owned()), "{:?}", writes(&calls));
    assert_eq!(world.host_name("web").await, host_name, "the load balancer stays");
    controller.stop().await;
}

/// Whoever waits for his load balancer is polled for; but what another Service made be listed may tell first.
async fn a_listing_that_sees_it_active_first_wakes_the_service(world: World) {
    let provisioning = Duration::from_secs(600);
    world.emulator.set_durations(Durations { provisioning, ..Durations::instant() });
    let controller = Controller::start(&world, "a", &[]);
    world.create_service("web", HTTP).await;
    world.condition("web", "landfall/Ready", "Provisioning").await;
    let failure = |fault: fn(String, u16, String) -> Fault| fault("InternalFailure".to_owned(), 500, "said the test".to_owned());
    let error = failure(|code, status, message| Fault::Error { code, status, message });
    let polls = Some(("LoadBalancerArns.member.1".to_owned(), "*".to_owned()));
    world.emulator.faults().add(Rule { parameter: polls, ..Rule::on("DescribeLoadBalancers", error) });
    let mark = world.mark();
    world.refused(mark, "DescribeLoadBalancers", 1).await;
    world.emulator.clock().advance(provisioning);
    assert_eq!(crate::support::world::host_name(&world.services().get("web").await.unwrap()), None, "nobody could see it");
    // A write whose fate is unknown: everything is listed anew.
    let error = failure(|code, status, message| Fault::ErrorAfter { code, status, message });
    world.emulator.faults().add(Rule { times: Some(5), ..Rule::on("CreateTargetGroup", error) });
    world.create_service("other", HTTP).await;
    world.host_name("web").await;
    world.condition("web", "landfall/Ready", "Active").await;
    controller.stop().await;
}
