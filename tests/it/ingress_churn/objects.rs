//! The cluster that is served: 1,000 Ingresses with 5 paths each, Services without pods, certificates; and who answers.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use futures::stream::{self, StreamExt};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use landfall_test_cluster::load::Asked;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::data_plane::{class, ingresses};
use crate::support::wait;
use crate::support::world::World;

pub const INGRESSES: usize = 1000;
pub const PATHS: usize = 5;
pub const SERVICES: usize = 500;
pub const SECRETS: usize = 20;

/// The first Ingresses have TLS, ten of them by the same Secret.
pub const WITH_TLS: usize = SECRETS * 10;

/// Ports with an answer of their own: a request that is led to another Service's endpoint gets the wrong one.
const GROUPS: usize = 50;
const FIRST_PORT: usize = 9000;

/// Writes at once.
const WRITERS: usize = 16;

/// Each Service has one of the two as its endpoint. In the range that is local to the VPC: EndpointSlices take no loopback address.
pub const SIDES: [(&str, Ipv4Addr); 2] = [("a", Ipv4Addr::new(10, 20, 0, 101)), ("b", Ipv4Addr::new(10, 20, 0, 102))];

pub fn host(ingress: usize) -> String {
    format!("h{ingress}.churn.example.com")
}

pub fn path(number: usize) -> String {
    if number == 0 { "/".to_owned() } else { format!("/part-{number}") }
}

/// The Service that a path of an Ingress leads to.
pub fn service(ingress: usize, path: usize) -> usize {
    (ingress + path * 101) % SERVICES
}

/// What the endpoints of a Service answer, but for the side.
pub fn answer(service: usize) -> String {
    format!("group-{}-", service % GROUPS)
}

/// All requests there are, of the Ingresses with TLS or of those without.
pub fn requests(tls: bool) -> Vec<Asked> {
    let all = if tls { 0..WITH_TLS } else { WITH_TLS..INGRESSES };
    all.flat_map(|ingress| {
        (0..PATHS).map(move |number| Asked { host: host(ingress), path: path(number), answer: answer(service(ingress, number)) })
    })
    .collect()
}

/// Starts what stands behind all Services; it ends with the runtime.
pub async fn start_backends() {
    for (side, address) in SIDES {
        for group in 0..GROUPS {
            let listener = TcpListener::bind(SocketAddr::from((address, port(group)))).await.expect("a free address");
            let text = Bytes::from(format!("{}{side}\n", answer(group)));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let text = text.clone();
                    tokio::spawn(async move {
                        let service =
                            service_fn(|_| std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(text.clone())))));
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        }
    }
}

fn port(service: usize) -> u16 {
    u16::try_from(FIRST_PORT + service % GROUPS).expect("a port")
}

/// Creates everything but the Ingresses.
pub async fn create_backing(world: &World) {
    // Headless: the cluster's kube-proxy has nothing to do with them.
    let service = |number| json!({"metadata": {"name": format!("s{number}")}, "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}});
    create::<Service>(world, (0..SERVICES).map(service)).await;
    let slice = |number| {
        json!({
            "metadata": {"name": format!("s{number}"), "labels": {
                "kubernetes.io/service-name": format!("s{number}"), "service.kubernetes.io/headless": "",
                "endpointslice.kubernetes.io/managed-by": "landfall-test",
            }},
            "addressType": "IPv4", "ports": [{"name": "http", "port": port(number)}], "endpoints": endpoints(0),
        })
    };
    create::<EndpointSlice>(world, (0..SERVICES).map(slice)).await;
    create::<Secret>(world, (0..SECRETS).map(|number| secret(number).0)).await;
}

pub fn endpoints(side: usize) -> Value {
    json!([{"addresses": [SIDES[side % 2].1]}])
}

/// A new certificate for the hosts of a Secret: the Secret, and the certificate in DER.
pub fn secret(number: usize) -> (Value, Vec<u8>) {
    let hosts: Vec<String> = (number * 10..number * 10 + 10).map(host).collect();
    let made = rcgen::generate_simple_self_signed(hosts).expect("a certificate");
    let secret = json!({
        "metadata": {"name": format!("tls-{number}")}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()},
    });
    (secret, made.cert.der().to_vec())
}

/// Creates the Ingresses.
pub async fn create_ingresses(world: &World) {
    create::<Ingress>(world, (0..INGRESSES).map(|number| ingress(world, number, &host(number)))).await;
}

pub fn ingress(world: &World, number: usize, host: &str) -> Value {
    let paths: Vec<Value> = (0..PATHS)
        .map(|at| {
            let service = json!({"name": format!("s{}", service(number, at)), "port": {"number": 80}});
            json!({"path": path(at), "pathType": "Prefix", "backend": {"service": service}})
        })
        .collect();
    let mut spec = json!({"ingressClassName": class(world), "rules": [{"host": host, "http": {"paths": paths}}]});
    if number < WITH_TLS {
        spec["tls"] = json!([{"hosts": [host], "secretName": format!("tls-{}", number / 10)}]);
    }
    json!({"metadata": {"name": host}, "spec": spec})
}

async fn create<K>(world: &World, objects: impl Iterator<Item = Value>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(world.client.clone(), &world.namespace);
    let writes = objects.map(|object| {
        let api = api.clone();
        async move {
            let object: K = serde_json::from_value(object).expect("an object of this kind");
            api.create(&PostParams::default(), &object).await.expect("created");
        }
    });
    stream::iter(writes).buffer_unordered(WRITERS).collect::<Vec<()>>().await;
}

/// Deletes all of a kind.
pub async fn delete<K>(world: &World)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(world.client.clone(), &world.namespace);
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await.expect("deleted");
    wait::until("all are gone", async || match api.list_metadata(&ListParams::default()).await.expect("a list").items.len() {
        0 => Ok(()),
        left => Err(left),
    })
    .await;
}

/// Waits until every Ingress shows an address.
pub async fn published(world: &World) {
    wait::until("every status shows the address", async || {
        let all = ingresses(world).list(&ListParams::default()).await.expect("a list").items;
        let shows = |ingress: &Ingress| {
            let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
            status.is_some_and(|entries| !entries.is_empty())
        };
        match all.iter().filter(|ingress| !shows(ingress)).count() {
            0 if all.len() == INGRESSES => Ok(()),
            left => Err(left),
        }
    })
    .await;
}
