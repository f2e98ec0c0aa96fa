//! What a status shows (`s1_9`), on the real API server, whose objects the data plane reads and writes. No pods: endpoints are
//! programs of this process.

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::data_plane::{
    DataPlane, certificate, create_class, create_ingress, delete_class, ingresses, patch_ingress, reason_of, rule, secret,
    status_is,
};
use crate::support::serving::program_at;
use crate::support::wait;
use crate::support::world::World;

/// The load balancer's name.
const FRONT: &str = "front-1.elb.example.com";

pub fn trials() -> Vec<Trial> {
    crate::trials!("ingress_status":
        s1_9_the_publish_service_by_its_type,
        s1_9_publish_status_address_without_a_service,
        s1_9_written_when_it_differs_and_without_ports,
        s1_9_a_missing_secret_does_not_keep_the_address_away,
        s1_9_a_challenge_is_answered_while_the_certificate_is_missing,
    )
}

/// A Service of this name on port 80, with an endpoint that answers with its name.
async fn create_program(world: &World, name: &str) {
    // The API server takes no loopback address.
    let address = program_at("10.20.0.2:0", name).await;
    let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}});
    create::<Service>(world, service).await;
    let slice = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [address.ip()]}], "ports": [{"name": "http", "port": address.port()}],
    });
    create::<EndpointSlice>(world, slice).await;
}

async fn create<K>(world: &World, object: Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
    K: serde::Serialize + serde::de::DeserializeOwned,
{
    let object: K = serde_json::from_value(object).expect("an object of its kind");
    Api::namespaced(world.client.clone(), &world.namespace).create(&PostParams::default(), &object).await.expect("created");
}

/// The publish Service, changed by this patch.
async fn front(world: &World, patch: Value) {
    world.services().patch("front", &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
}

/// A world with a class, a Service `web` that somebody serves, a publish Service with the name of a load balancer, and a data
/// plane with these arguments.
async fn served(world: &World, arguments: &[&str]) -> DataPlane {
    create_class(world).await;
    create_program(world, "web").await;
    let spec = json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/none", "ports": [{"port": 80}]});
    create::<Service>(world, json!({"metadata": {"name": "front"}, "spec": spec})).await;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"hostname": FRONT}]}}});
    world.services().patch_status("front", &PatchParams::default(), &Patch::Merge(status)).await.expect("patched");
    DataPlane::start(world, "a", arguments).await
}

fn publish_service(world: &World) -> String {
    format!("--publish-service={}/front", world.namespace)
}

async fn end(world: &World, data_plane: DataPlane) {
    data_plane.stop().await;
    delete_class(world).await;
}

async fn s1_9_the_publish_service_by_its_type(world: World) {
    let data_plane = served(&world, &[&publish_service(&world)]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    status_is(&world, "shop", &[FRONT]).await;
    front(&world, json!({"spec": {"externalIPs": ["192.0.2.7"]}})).await;
    status_is(&world, "shop", &["192.0.2.7", FRONT]).await;
    let cluster_ip = world.services().get("front").await.expect("the Service").spec.and_then(|spec| spec.cluster_ip);
    let cluster_ip = cluster_ip.expect("a ClusterIP");
    front(&world, json!({"spec": {"type": "NodePort", "loadBalancerClass": null, "externalIPs": null}})).await;
    status_is(&world, "shop", &[&cluster_ip]).await;
    front(&world, json!({"spec": {"externalIPs": ["192.0.2.8"]}})).await;
    status_is(&world, "shop", &["192.0.2.8"]).await;
    let ports = json!([{"port": 80, "nodePort": null}]);
    front(&world, json!({"spec": {"type": "ClusterIP", "externalIPs": null, "ports": ports}})).await;
    status_is(&world, "shop", &[&cluster_ip]).await;
    let name =
        json!({"spec": {"type": "ExternalName", "externalName": "other.example.com", "clusterIP": null, "clusterIPs": null}});
    front(&world, name).await;
    status_is(&world, "shop", &["other.example.com"]).await;
    end(&world, data_plane).await;
}

async fn s1_9_publish_status_address_without_a_service(world: World) {
    let data_plane = served(&world, &["--publish-status-address=lb.example.com,192.0.2.9"]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    status_is(&world, "shop", &["192.0.2.9", "lb.example.com"]).await;
    end(&world, data_plane).await;
}

async fn s1_9_written_when_it_differs_and_without_ports(world: World) {
    let data_plane = served(&world, &[&publish_service(&world)]).await;
    create_ingress(&world, "shop", &rule("shop.example.com", "/", "web", 80)).await;
    status_is(&world, "shop", &[FRONT]).await;
    let written = ingresses(&world).get("shop").await.expect("the Ingress");
    let balancer = written.status.and_then(|status| status.load_balancer?.ingress).expect("a load balancer");
    assert!(balancer.iter().all(|entry| entry.ports.is_none()), "{balancer:?}");
    // The table is made anew for others, and its own status is left as it is.
    for number in 0..3 {
        let name = format!("other-{number}");
        create_ingress(&world, &name, &rule(&format!("{name}.example.com"), "/", "web", 80)).await;
        status_is(&world, &name, &[FRONT]).await;
    }
    let now = ingresses(&world).get("shop").await.expect("the Ingress");
    assert_eq!(now.metadata.resource_version, written.metadata.resource_version);
    // What somebody else wrote there is put right.
    let foreign = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}});
    ingresses(&world).patch_status("shop", &PatchParams::default(), &Patch::Merge(foreign)).await.expect("patched");
    status_is(&world, "shop", &[FRONT]).await;
    end(&world, data_plane).await;
}

/// `rule` with a `tls` section that names a Secret.
fn with_tls(host: &str, secret: &str) -> String {
    rule(host, "/", "web", 80).replacen('{', &format!("{{tls: [{{hosts: [{host}], secretName: {secret}}}], "), 1)
}

async fn s1_9_a_missing_secret_does_not_keep_the_address_away(world: World) {
    let data_plane = served(&world, &[&publish_service(&world)]).await;
    create_ingress(&world, "shop", &with_tls("shop.example.com", "shop-tls")).await;
    status_is(&world, "shop", &[FRONT]).await;
    reason_of(&world, "shop", "CertificateSecretMissing").await;
    let default = certificate(&data_plane, "unknown.example.com").await;
    assert_eq!(certificate(&data_plane, "shop.example.com").await, default);
    assert_eq!(data_plane.get("shop.example.com", "/").await.status, 308, "TLS is asked for all the same");

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    secrets.create(&PostParams::default(), &secret("shop-tls", &["shop.example.com"])).await.expect("created");
    wait::until("the Secret's certificate", async || {
        if certificate(&data_plane, "shop.example.com").await == default { Err("still the default one") } else { Ok(()) }
    })
    .await;
    status_is(&world, "shop", &[FRONT]).await;
    end(&world, data_plane).await;
}

/// As cert-manager does it: an Ingress of its own, with its annotation and path type, for the host whose certificate is awaited.
async fn s1_9_a_challenge_is_answered_while_the_certificate_is_missing(world: World) {
    let data_plane = served(&world, &[&publish_service(&world)]).await;
    create_program(&world, "solver").await;
    create_ingress(&world, "shop", &with_tls("shop.example.com", "shop-tls")).await;
    let path = "/.well-known/acme-challenge/token-1_x";
    let spec = rule("shop.example.com", path, "solver", 80).replace("pathType: Prefix", "pathType: ImplementationSpecific");
    create_ingress(&world, "cm-acme-http-solver-abcde", &spec).await;
    let sources = json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "0.0.0.0/0,::/0"});
    patch_ingress(&world, "cm-acme-http-solver-abcde", json!({"metadata": {"annotations": sources}})).await;
    status_is(&world, "cm-acme-http-solver-abcde", &[FRONT]).await;
    let answer = data_plane.answers("shop.example.com", path, 200).await;
    assert_eq!(answer.header("service"), Some("solver"));
    assert_eq!(data_plane.get("shop.example.com", "/").await.status, 308);
    end(&world, data_plane).await;
}
