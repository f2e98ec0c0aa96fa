//! `landfall ingress` on the real API server: Ingresses are served, changes are in force, status and events tell the truth.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use serde_json::json;

use crate::support::data_plane::{
    DataPlane, certificate, class, create_class, create_ingress, create_service, delete_class, events, events_on, ingresses,
    patch_ingress, reason_of, rule, secret, status_is,
};
use crate::support::wait;
use crate::support::workload::create_backend;
use crate::support::world::World;

pub fn trials() -> Vec<Trial> {
    crate::trials!("ingress":
        s1_9_an_ingress_is_served_as_soon_as_its_status_says_so,
        s1_9_the_status_waits_for_an_endpoint,
        s1_5_another_classes_ingress_is_never_touched,
        s1_5_a_class_that_comes_later_and_goes_is_followed,
        s1_6_a_secret_is_used_exchanged_and_missed,
        what_is_wrong_is_told_once_and_harms_nobody_else,
        s1_9_only_the_leader_writes_and_another_takes_over,
        the_config_map_is_live,
        metrics_tell_of_certificates_and_of_what_is_wrong,
    )
}

/// A Service without pods of ours in front: status.loadBalancer as an NLB controller would write it.
async fn create_publish_service(world: &World) {
    let service = json!({
        "metadata": {"name": "front"},
        "spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/none", "ports": [{"port": 80}]},
    });
    let service: Service = serde_json::from_value(service).expect("a Service");
    world.services().create(&PostParams::default(), &service).await.expect("created");
}

async fn publish_host_name(world: &World, name: &str) {
    let status = json!({"status": {"loadBalancer": {"ingress": [{"hostname": name}]}}});
    world.services().patch_status("front", &PatchParams::default(), &Patch::Merge(status)).await.expect("patched");
}

fn publish(world: &World) -> String {
    format!("--publish-service={}/front", world.namespace)
}

async fn s1_9_an_ingress_is_served_as_soon_as_its_status_says_so(world: World) {
    create_class(&world).await;
    create_publish_service(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 2, 0).await;
    let data_plane = DataPlane::start(&world, "a", &[&publish(&world)]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    // No load balancer yet: nothing to publish, but it is served.
    data_plane.answers("shop.example.com", "/", 200).await;
    status_is(&world, "shop", &[]).await;
    publish_host_name(&world, "front-1.elb.example.com").await;
    status_is(&world, "shop", &["front-1.elb.example.com"]).await;

    // From now on the first request after the status gets its answer.
    for number in 0..5 {
        let (name, host) = (format!("more-{number}"), format!("more-{number}.example.com"));
        create_ingress(&world, &name, &rule(&host, "/", "web", 80)).await;
        status_is(&world, &name, &["front-1.elb.example.com"]).await;
        assert_eq!(data_plane.get(&host, "/").await.status, 200, "{host}");
    }

    // Pods answer by name: both of them.
    let mut answered = BTreeSet::new();
    wait::until("an answer from each pod", async || {
        answered.insert(data_plane.get("shop.example.com", "/").await.body().to_owned());
        if answered.len() == 2 { Ok(()) } else { Err(answered.clone()) }
    })
    .await;

    // An Ingress that goes is served no more, and the others are.
    ingresses(&world).delete("more-0", &DeleteParams::default()).await.expect("deleted");
    data_plane.answers("more-0.example.com", "/", 404).await;
    assert_eq!(data_plane.get("shop.example.com", "/").await.status, 200);
    data_plane.stop().await;
    // The load balancer is still there: so is the address.
    status_is(&world, "shop", &["front-1.elb.example.com"]).await;
    delete_class(&world).await;
}

async fn s1_9_the_status_waits_for_an_endpoint(world: World) {
    create_class(&world).await;
    create_publish_service(&world).await;
    publish_host_name(&world, "front-1.elb.example.com").await;
    create_service(&world, "web").await;
    let data_plane = DataPlane::start(&world, "a", &[&publish(&world)]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    data_plane.answers("shop.example.com", "/", 503).await;
    // Another one, created later, has what it needs: when that one's status is there the first one's could have been.
    create_service(&world, "other").await;
    create_backend(&world, "other", 1, 0).await;
    create_ingress(&world, "other", &rule("other.example.com", "/", "other", 80)).await;
    status_is(&world, "other", &["front-1.elb.example.com"]).await;
    status_is(&world, "shop", &[]).await;
    create_backend(&world, "web", 1, 0).await;
    status_is(&world, "shop", &["front-1.elb.example.com"]).await;
    assert_eq!(data_plane.get("shop.example.com", "/").await.status, 200);
    data_plane.stop().await;
    delete_class(&world).await;
}

async fn s1_5_another_classes_ingress_is_never_touched(world: World) {
    create_class(&world).await;
    create_publish_service(&world).await;
    publish_host_name(&world, "front-1.elb.example.com").await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let data_plane = DataPlane::start(&world, "a", &[&publish(&world)]).await;
    let spec = rule("theirs.example.com", "/", "web", 80).replacen('{', "{ingressClassName: example-other, ", 1);
    create_ingress(&world, "theirs", &spec).await;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}});
    ingresses(&world).patch_status("theirs", &PatchParams::default(), &Patch::Merge(status)).await.expect("patched");
    create_ingress(&world, "ours", &rule("ours.example.com", "/", "web", 80)).await;
    status_is(&world, "ours", &["front-1.elb.example.com"]).await;
    assert_eq!(data_plane.get("theirs.example.com", "/").await.status, 404);
    status_is(&world, "theirs", &["203.0.113.7"]).await;

    // It becomes ours, then somebody else's again: what we wrote is theirs to change.
    patch_ingress(&world, "theirs", json!({"spec": {"ingressClassName": class(&world)}})).await;
    status_is(&world, "theirs", &["front-1.elb.example.com"]).await;
    data_plane.answers("theirs.example.com", "/", 200).await;
    patch_ingress(&world, "theirs", json!({"spec": {"ingressClassName": "example-other"}})).await;
    data_plane.answers("theirs.example.com", "/", 404).await;
    status_is(&world, "theirs", &["front-1.elb.example.com"]).await;
    data_plane.stop().await;
    delete_class(&world).await;
}

async fn s1_5_a_class_that_comes_later_and_goes_is_followed(world: World) {
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let data_plane = DataPlane::start(&world, "a", &[]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    data_plane.answers("shop.example.com", "/", 404).await;
    create_class(&world).await;
    data_plane.answers("shop.example.com", "/", 200).await;
    Api::<IngressClass>::all(world.client.clone()).delete(&class(&world), &DeleteParams::default()).await.expect("deleted");
    data_plane.answers("shop.example.com", "/", 404).await;
    data_plane.stop().await;
}

async fn s1_6_a_secret_is_used_exchanged_and_missed(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    let data_plane = DataPlane::start(&world, "a", &[]).await;
    let spec = rule("shop.example.com", "/", "web", 80);
    let spec = spec.replacen('{', "{tls: [{hosts: [shop.example.com], secretName: shop-tls}], ", 1);
    create_ingress(&world, "shop", &spec).await;
    // TLS is configured: plain requests are sent there, even while the Secret is missing.
    let answer = data_plane.answers("shop.example.com", "/cart/?a=b", 308).await;
    assert_eq!(answer.header("location"), Some("https://shop.example.com/cart/?a=b"));
    let fake = certificate(&data_plane, "shop.example.com").await;
    reason_of(&world, "shop", "CertificateSecretMissing").await;

    secrets.create(&PostParams::default(), &secret("shop-tls", &["shop.example.com"])).await.expect("created");
    let first = wait::until("the Secret's certificate", async || {
        let shown = certificate(&data_plane, "shop.example.com").await;
        if shown == fake { Err("still the default one") } else { Ok(shown) }
    })
    .await;
    assert_eq!(certificate(&data_plane, "unknown.example.com").await, fake);

    // Exchanged: new handshakes get the new one.
    let mut next = secret("shop-tls", &["shop.example.com"]);
    next.metadata.resource_version = None;
    secrets.replace("shop-tls", &PostParams::default(), &next).await.expect("replaced");
    wait::until("the next certificate", async || {
        let shown = certificate(&data_plane, "shop.example.com").await;
        if shown == first || shown == fake { Err("the one before") } else { Ok(()) }
    })
    .await;

    // One that does not cover the host, and one that is none: the host stays up, with the default certificate.
    for (broken, reason) in
        [(secret("shop-tls", &["other.example.com"]), "CertificateHostMismatch"), (garbage("shop-tls"), "CertificateInvalid")]
    {
        secrets.replace("shop-tls", &PostParams::default(), &broken).await.expect("replaced");
        wait::until("the default certificate", async || {
            if certificate(&data_plane, "shop.example.com").await == fake { Ok(()) } else { Err("still the Secret's") }
        })
        .await;
        reason_of(&world, "shop", reason).await;
    }
    assert!(!data_plane.logged().contains("PRIVATE KEY"));
    data_plane.stop().await;
    delete_class(&world).await;
}

fn garbage(name: &str) -> Secret {
    let secret = json!({
        "metadata": {"name": name}, "type": "kubernetes.io/tls", "stringData": {"tls.crt": "no certificate", "tls.key": "no key"},
    });
    serde_json::from_value(secret).expect("a Secret")
}

async fn what_is_wrong_is_told_once_and_harms_nobody_else(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let data_plane = DataPlane::start(&world, "a", &[]).await;
    create_ingress(&world, "good", &rule("good.example.com", "/", "web", 80)).await;
    data_plane.answers("good.example.com", "/", 200).await;

    create_ingress(&world, "no-service", &rule("a.example.com", "/", "nothing", 80)).await;
    let note = reason_of(&world, "no-service", "BackendServiceMissing").await;
    assert!(note.contains("nothing"), "{note}");
    assert_eq!(data_plane.get("a.example.com", "/").await.status, 503);

    create_ingress(&world, "no-port", &rule("b.example.com", "/", "web", 81)).await;
    let note = reason_of(&world, "no-port", "BackendPortMissing").await;
    assert!(note.contains("81") && note.contains("80"), "the fix: {note}");

    // Of two that are as old as one another (to the second) the one whose name comes last has it: so it is `good` in any case.
    create_ingress(&world, "a-twin", &rule("good.example.com", "/", "web", 80)).await;
    let note = reason_of(&world, "a-twin", "PathConflict").await;
    assert!(note.contains("good"), "who won: {note}");

    let snippet = json!({"metadata": {"annotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "deny all;"}}});
    create_ingress(&world, "snippet", &rule("c.example.com", "/", "web", 80)).await;
    data_plane.answers("c.example.com", "/", 200).await;
    patch_ingress(&world, "snippet", snippet).await;
    data_plane.answers("c.example.com", "/", 503).await;
    let note = reason_of(&world, "snippet", "AnnotationRefused").await;
    assert!(note.contains("configuration-snippet"), "{note}");

    // A change that changes nothing of it is no news.
    for number in 0..3 {
        patch_ingress(&world, "no-service", json!({"metadata": {"labels": {"number": number.to_string()}}})).await;
    }
    create_ingress(&world, "last", &rule("last.example.com", "/", "nothing", 80)).await;
    reason_of(&world, "last", "BackendServiceMissing").await;
    let told = events(&world, "no-service").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].series.is_none(), "{told:#?}");
    assert_eq!(data_plane.get("good.example.com", "/").await.status, 200);
    data_plane.stop().await;
    delete_class(&world).await;
}

async fn s1_9_only_the_leader_writes_and_another_takes_over(world: World) {
    create_class(&world).await;
    create_publish_service(&world).await;
    publish_host_name(&world, "front-1.elb.example.com").await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let arguments = [publish(&world), "--election-ttl=5s".to_owned()];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let first = DataPlane::start(&world, "first", &arguments).await;
    create_ingress(&world, "one", &rule("one.example.com", "/", "web", 80)).await;
    status_is(&world, "one", &["front-1.elb.example.com"]).await;
    let second = DataPlane::start(&world, "second", &arguments).await;
    // Both serve; one writes.
    first.answers("one.example.com", "/", 200).await;
    second.answers("one.example.com", "/", 200).await;
    first.stop().await;
    create_ingress(&world, "two", &rule("two.example.com", "/", "web", 80)).await;
    status_is(&world, "two", &["front-1.elb.example.com"]).await;
    publish_host_name(&world, "front-2.elb.example.com").await;
    status_is(&world, "one", &["front-2.elb.example.com"]).await;
    status_is(&world, "two", &["front-2.elb.example.com"]).await;
    second.stop().await;
    delete_class(&world).await;
}

async fn the_config_map_is_live(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let argument = format!("--configmap={}/options", world.namespace);
    let data_plane = DataPlane::start(&world, "a", &[&argument]).await;
    let spec = rule("shop.example.com", "/", "web", 80).replacen('{', "{tls: [{hosts: [shop.example.com]}], ", 1);
    create_ingress(&world, "shop", &spec).await;
    data_plane.answers("shop.example.com", "/", 308).await;
    let map = json!({"metadata": {"name": "options"}, "data": {"http-redirect-code": "301", "block-cidrs": "192.0.2.0/24"}});
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(world.client.clone(), &world.namespace);
    maps.create(&PostParams::default(), &serde_json::from_value(map).expect("a ConfigMap")).await.expect("created");
    data_plane.answers("shop.example.com", "/", 301).await;
    wait::until("an event on the ConfigMap", async || {
        let events = events_on(&world, "ConfigMap", "options").await;
        let told = |event: &Event| {
            event.reason.as_deref() == Some("OptionNotEnforced")
                && event.note.as_ref().is_some_and(|note| note.contains("block-cidrs"))
        };
        if events.iter().any(told) { Ok(()) } else { Err(events) }
    })
    .await;
    maps.delete("options", &DeleteParams::default()).await.expect("deleted");
    data_plane.answers("shop.example.com", "/", 308).await;
    data_plane.stop().await;
    delete_class(&world).await;
}

async fn metrics_tell_of_certificates_and_of_what_is_wrong(world: World) {
    create_class(&world).await;
    create_service(&world, "web").await;
    create_backend(&world, "web", 1, 0).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.create(&PostParams::default(), &secret("shop-tls", &["shop.example.com"])).await.expect("created");
    let data_plane = DataPlane::start(&world, "a", &[]).await;
    let spec = rule("shop.example.com", "/", "web", 80);
    let spec = spec.replacen('{', "{tls: [{hosts: [shop.example.com], secretName: shop-tls}], ", 1);
    create_ingress(&world, "shop", &spec).await;
    create_ingress(&world, "lost", &rule("lost.example.com", "/", "nothing", 80)).await;
    let expected = [
        (r#"nginx_ingress_controller_ssl_expire_time_seconds{"#, r#"host="shop.example.com",secret_name="shop-tls""#),
        (r#"nginx_ingress_controller_ssl_certificate_info{"#, r#"host="shop.example.com",secret_name="shop-tls""#),
        (r#"nginx_ingress_controller_orphan_ingress{"#, r#"ingress="lost",type="no-service"} 1"#),
        (r#"landfall_findings{reason="BackendServiceMissing""#, r#"severity="error"} 1"#),
        (r#"nginx_ingress_controller_config_last_reload_successful{"#, "} 1"),
        (r#"nginx_ingress_controller_leader_election_status{"#, "} 1"),
        (r#"nginx_ingress_controller_nginx_process_cpu_seconds_total{"#, r#"controller_pod="#),
        (r#"landfall_table_update_duration_seconds_count{change="objects"}"#, ""),
    ];
    wait::until("the metrics", async || {
        let text = data_plane.asked("metrics").await?;
        let missing =
            expected.iter().find(|(start, part)| !text.lines().any(|line| line.starts_with(start) && line.contains(part)));
        missing.map_or(Ok(()), |missing| Err(format!("{missing:?} is not in\n{text}")))
    })
    .await;
    // What is no more is told no more.
    ingresses(&world).delete("lost", &DeleteParams::default()).await.expect("deleted");
    wait::until("a clean sheet", async || {
        let text = data_plane.asked("metrics").await?;
        let left = text.lines().find(|line| line.starts_with("landfall_findings{") || line.contains("orphan_ingress{"));
        left.map_or(Ok(()), |line| Err(line.to_owned()))
    })
    .await;
    data_plane.stop().await;
    delete_class(&world).await;
}
