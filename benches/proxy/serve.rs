//! Our proxy as it is measured: one worker, 5,001 hosts with four paths each, metrics, an access log to nowhere.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use landfall::ingress::certificate;
use landfall::proxy::{Proxy, Settings};
use landfall::routes::compile::{self, Compiler, Inputs};
use landfall::routes::findings::ObjectKey;
use serde_json::json;

const HOSTS: usize = 5001;

/// Prints where it serves HTTP and HTTPS once it does.
pub fn run(folder: &str, http: &str, https: &str, backend: &str) -> ExitCode {
    let [http, https, backend] = [http, https, backend].map(|text| text.parse::<SocketAddr>().expect("an address"));
    let settings = Settings { workers: 1, ..Settings::new(Some(http), Some(https)) };
    let table = Arc::new(ArcSwap::from_pointee(table(Path::new(folder), backend)));
    let serving = Proxy::start(&settings, &table, Some(Box::new(std::io::sink()))).expect("it starts");
    println!("{} {}", serving.http().expect("asked for"), serving.https().expect("asked for"));
    loop {
        std::thread::park();
    }
}

fn table(folder: &Path, backend: SocketAddr) -> landfall::routes::RouteTable {
    let object = |value| Arc::new(serde_json::from_value(value).expect("an object"));
    let paths: Vec<_> = ["/", "/api", "/static", "/1k"]
        .iter()
        .map(|path| {
            let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
            json!({"path": path, "pathType": "Prefix", "backend": backend})
        })
        .collect();
    let ingresses: Vec<Arc<Ingress>> = (0..HOSTS)
        .map(|number| {
            Arc::new(
                serde_json::from_value(json!({
                    "metadata": {"name": format!("i{number}"), "namespace": "default"},
                    "spec": {"ingressClassName": "nginx", "rules": [{"host": format!("h{number}.example.com"), "http": {"paths": paths}}]},
                }))
                .expect("an Ingress"),
            )
        })
        .collect();
    let class: Arc<IngressClass> = Arc::new(
        serde_json::from_value(json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}))
            .expect("a class"),
    );
    let service: Arc<Service> = object(json!({
        "metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"name": "http", "port": 80}]},
    }));
    let slice: Arc<EndpointSlice> = Arc::new(
        serde_json::from_value(json!({
            "addressType": "IPv4",
            "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [{"addresses": [backend.ip()]}], "ports": [{"name": "http", "port": backend.port()}],
        }))
        .expect("a slice"),
    );
    let read = |name: &str| ByteString(std::fs::read(folder.join(name)).expect("read"));
    let mut secret = Secret {
        data: Some([("tls.crt".into(), read("cert.pem")), ("tls.key".into(), read("key.pem"))].into()),
        ..Secret::default()
    };
    (secret.metadata.namespace, secret.metadata.name) = (Some("default".into()), Some("bench".into()));
    let fallback = certificate::self_signed().expect("a certificate");
    let settings = compile::Settings {
        default_ssl_certificate: Some(ObjectKey::new("default", "bench")),
        ..compile::Settings::new(fallback)
    };
    // As the other proxies are told: no connection is ended for its count of requests.
    let config = ["keep-alive-requests", "upstream-keepalive-requests"].map(|key| (key.to_owned(), "1000000".to_owned())).into();
    let inputs = Inputs {
        ingresses: &ingresses,
        classes: &[class],
        services: &[service],
        endpoint_slices: &[slice],
        secrets: &[Arc::new(secret)],
        config: Some(&config),
        ..Inputs::default()
    };
    Compiler::new(settings).compile(&inputs).table
}
