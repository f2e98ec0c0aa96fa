//! Acceptance 7: whatever was away for a while (AWS, the API server, the controller), what was asked for meanwhile is done
//! when it is back.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use landfall_localstack::{Fault, Rule};
use libtest_mimic::Trial;

use crate::support::controller::Controller;
use crate::support::proxy::Proxy;
use crate::support::wait;
use crate::support::world::{HTTP, World, writes};

pub fn trials() -> Vec<Trial> {
    crate::trials!("outages":
        a_delete_while_aws_is_unreachable,
        a_delete_while_the_api_server_is_silent,
        the_api_server_goes_away_in_the_middle_of_a_delete,
        a_delete_while_the_controller_is_down,
        no_load_balancer_wanted_any_more_while_the_controller_is_down,
        no_load_balancer_wanted_any_more_while_it_runs,
        a_namespace_goes_with_its_services,
    )
}

/// Without an election the process outlives the API server's absence, however long.
const ALONE: &[&str] = &["--leader-elect=false"];

async fn a_delete_while_aws_is_unreachable(world: World) {
    let controller = Controller::start(&world, "a", ALONE);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    world.quiet(0, Duration::from_secs(1)).await;
    world.emulator.faults().add(Rule::on("*", Fault::DropBefore));
    world.delete_service("web").await;
    let message = world.condition("web", "landfall/Ready", "AwsUnreachable").await;
    assert!(message.contains("Delete") || message.contains("Describe"), "it says which call: {message}");
    let told = world.told("web", "AwsUnreachable").await;
    assert!(told.len() <= 1, "one event, not one for each attempt: {told:?}");
    assert_eq!(world.region().load_balancers().len(), 1, "nothing reached AWS");
    world.emulator.faults().clear();
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_delete_while_the_api_server_is_silent(world: World) {
    let (proxy, kubeconfig) = Proxy::to_api_server(&world, "a").await;
    let controller = Controller::start_in(&world, "a", ALONE, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    let mark = world.mark();
    proxy.cut();
    world.delete_service("web").await;
    let calls = world.quiet(mark, Duration::from_secs(3)).await;
    assert_eq!(writes(&calls), Vec::<String>::new(), "it cannot know");
    proxy.restore();
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn the_api_server_goes_away_in_the_middle_of_a_delete(world: World) {
    let (proxy, kubeconfig) = Proxy::to_api_server(&world, "a").await;
    let controller = Controller::start_in(&world, "a", ALONE, &[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    world.create_service("web", HTTP).await;
    world.create_service("other", HTTP).await;
    world.host_name("web").await;
    world.host_name("other").await;
    let mark = world.quiet(0, Duration::from_secs(1)).await.last().map_or(0, |last| last.sequence + 1);
    // Slow enough that the API server is certainly away before there is nothing more to do.
    world.emulator.faults().add(Rule::on("Delete*", Fault::Delay(Duration::from_millis(500))));
    world.delete_service("web").await;
    let first = world.emulator.journal().wait_for(mark, |entry| entry.action == "DeleteLoadBalancer", wait::LIMIT).await;
    assert!(first.is_some(), "the delete begins");
    proxy.close();
    world.delete_service("other").await;
    wait::until("AWS holds nothing of web", async || {
        let names: Vec<_> = world.region().target_groups().into_iter().map(|group| group.name).collect();
        if names.len() == 1 { Ok(()) } else { Err(names) }
    })
    .await;
    let held = world.services().get("web").await.unwrap().metadata.finalizers.unwrap_or_default();
    assert_eq!(held.len(), 1, "nobody could take the finalizer away");
    proxy.restore();
    for name in ["web", "other"] {
        world.gone(name).await;
    }
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_delete_while_the_controller_is_down(world: World) {
    let controller = Controller::start(&world, "a", ALONE);
    world.create_service("web", HTTP).await;
    world.host_name("web").await;
    controller.kill().await;
    world.delete_service("web").await;
    let held = world.services().get("web").await.expect("held back by its finalizer");
    assert!(held.metadata.deletion_timestamp.is_some());
    let controller = Controller::start(&world, "b", ALONE);
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn no_load_balancer_wanted_any_more_while_the_controller_is_down(world: World) {
    let controller = Controller::start(&world, "a", ALONE);
    for name in ["web", "other"] {
        world.create_service(name, HTTP).await;
    }
    world.host_name("web").await;
    let kept = world.host_name("other").await;
    controller.kill().await;
    become_cluster_ip(&world, "web").await;
    let controller = Controller::start(&world, "b", ALONE);
    released(&world, "web").await;
    let left: Vec<_> = world.region().load_balancers().into_iter().map(|lb| lb.dns_name.to_lowercase()).collect();
    assert_eq!(left, [kept], "the other one stays");
    world.delete_service("other").await;
    world.gone("other").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn no_load_balancer_wanted_any_more_while_it_runs(world: World) {
    let controller = Controller::start(&world, "a", ALONE);
    world.create_service("web", HTTP).await;
    let first = world.host_name("web").await;
    become_cluster_ip(&world, "web").await;
    released(&world, "web").await;
    world.aws_empty().await;
    // And back again, with a load balancer of its own.
    let patch = serde_json::json!({"spec": {"type": "LoadBalancer", "loadBalancerClass": world.class}});
    world.patch("web", patch).await;
    assert_ne!(world.host_name("web").await, first);
    world.delete_service("web").await;
    world.gone("web").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn a_namespace_goes_with_its_services(world: World) {
    let controller = Controller::start(&world, "a", ALONE);
    for name in ["web", "other"] {
        world.create_service(name, HTTP).await;
    }
    for name in ["web", "other"] {
        world.host_name(name).await;
    }
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    // Nothing new may be made in a namespace that goes, events included: that must not keep it from going.
    wait::until("the namespace is gone", async || match namespaces.get_opt(&world.namespace).await.expect("an answer") {
        None => Ok(()),
        Some(namespace) => Err(namespace.status),
    })
    .await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    controller.stop().await;
}

async fn become_cluster_ip(world: &World, name: &str) {
    world.patch(name, serde_json::json!({"spec": {"type": "ClusterIP", "loadBalancerClass": null}})).await;
}

/// Waits until the Service bears nothing of ours: no finalizer, no host name, no condition.
async fn released(world: &World, name: &str) {
    wait::until("the Service is nobody's", async || {
        let service = world.services().get(name).await.expect("the Service stays");
        let status = service.status.clone().unwrap_or_default();
        let host_name = crate::support::world::host_name(&service);
        let conditions = status.conditions.unwrap_or_default();
        let finalizers = service.metadata.finalizers.unwrap_or_default();
        if finalizers.is_empty() && host_name.is_none() && conditions.is_empty() {
            Ok(())
        } else {
            Err((finalizers, host_name, conditions))
        }
    })
    .await;
}
