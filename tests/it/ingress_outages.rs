//! `landfall ingress` while the API server is away: what is known is served on, and what is not known yet is waited for.

use kube::api::{Patch, PatchParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::data_plane::{
    DataPlane, ask, create_class, create_ingress, create_service, delete_class, ingresses, rule, status_is,
};
use crate::support::proxy::Proxy;
use crate::support::wait;
use crate::support::workload::create_backend;
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("ingress_outages":
        the_api_server_goes_and_what_is_known_is_served_on,
        the_api_server_is_away_at_the_start,
        told_to_end_before_the_first_list,
    )
}

/// The status is written by the leader: a lease that runs out within the test.
const LEADING: [&str; 2] = ["--publish-status-address=front.example.com", "--election-ttl=5s"];

async fn the_api_server_goes_and_what_is_known_is_served_on(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let (proxy, kubeconfig) = Proxy::to_api_server(&world, "a").await;
    let flag = format!("--kubeconfig={}", kubeconfig.display());
    let data_plane = DataPlane::start(&world, "a", &[&flag, LEADING[0], LEADING[1]]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    status_is(&world, "shop", &["front.example.com"]).await;

    proxy.close();
    create_ingress(&world, "later", &rule("later.example.com", "/", "web", 80)).await;
    let emptied = json!({"status": {"loadBalancer": {"ingress": null}}});
    ingresses(&world).patch_status("shop", &PatchParams::default(), &Patch::Merge(emptied)).await.expect("patched");
    wait::until("the lease is lost", async || {
        assert_eq!(data_plane.get("shop.example.com", "/").await.status, 200, "served all the while");
        let metrics = data_plane.metrics().await?;
        if metrics.contains("landfall_leader 0") { Ok(()) } else { Err(metrics) }
    })
    .await;
    assert_eq!(data_plane.get("later.example.com", "/").await.status, 404, "it cannot know");
    for what in ["livez", "readyz", "healthz"] {
        data_plane.asked(what).await.expect("as well as before: another pod would know no more");
    }

    // All that was missed is made up for.
    proxy.restore();
    data_plane.answers("later.example.com", "/", 200).await;
    status_is(&world, "later", &["front.example.com"]).await;
    status_is(&world, "shop", &["front.example.com"]).await;
    data_plane.stop().await;
    delete_class(&world).await;
}

async fn the_api_server_is_away_at_the_start(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    let (proxy, kubeconfig) = Proxy::to_api_server(&world, "a").await;
    proxy.close();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let data_plane = DataPlane::spawn(&world, "a", &[&kubeconfig, &format!("--publish-service={}/front", world.namespace)]);
    wait::until("it is alive and says what it waits for", async || {
        data_plane.asked("livez").await?;
        let waiting = data_plane.asked("readyz").await;
        let tried = data_plane.logged().contains("watch failed, trying again");
        if tried && waiting.as_ref().is_err_and(|text| text.contains("503") && text.contains("table")) {
            Ok(())
        } else {
            Err(format!("{waiting:?}"))
        }
    })
    .await;
    // Each watch is tried again, and so counts as alive, however long this takes.
    for kind in ["Ingress", "Secret", "publish Service"] {
        let mut oldest = 0.0;
        wait::until(&format!("another sign of life of {kind}"), async || {
            let age = age(&data_plane, kind).await?;
            oldest = age.max(oldest);
            if age < oldest { Ok(()) } else { Err(format!("{age} s old")) }
        })
        .await;
    }
    let refused = ask(data_plane.http, "GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n").await;
    assert_eq!(refused.status, 0, "nobody is answered 404 for what is not known yet: {}", refused.text);
    proxy.restore();
    data_plane.is_ready().await;
    assert_eq!(data_plane.get("shop.example.com", "/").await.status, 200, "ready is ready");
    data_plane.stop().await;
    delete_class(&world).await;
}

/// Seconds since the last sign of life of a watch.
async fn age(data_plane: &DataPlane, kind: &str) -> Result<f64, String> {
    let metrics = data_plane.metrics().await?;
    let name = format!("landfall_watch_last_event_seconds{{kind=\"{kind}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse().ok()).ok_or(metrics)
}

async fn told_to_end_before_the_first_list(world: World) {
    let (proxy, kubeconfig) = Proxy::to_api_server(&world, "a").await;
    proxy.cut();
    let data_plane = DataPlane::spawn(&world, "a", &[&format!("--kubeconfig={}", kubeconfig.display())]);
    wait::until("it is alive", async || data_plane.asked("livez").await).await;
    data_plane.stop().await;
}
