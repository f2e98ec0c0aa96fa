//! What the route table costs: a lookup, a compilation, a change of endpoints. Prints one line each; asserts no time.
//! `make bench-routes`.

use std::hint::black_box;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use landfall::clock;
use landfall::routes::certificates::Certificate;
use landfall::routes::compile::{Compiler, Inputs, Settings};
use landfall::routes::findings::ObjectKey;
use landfall::routes::lookup::Decision;
use serde_json::{Value, json};

const HOSTS: usize = 10_000;
const ROUNDS: usize = 2_000_000;

fn main() {
    // `cargo test --benches` asks for a run that only shows that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1_000 };
    let cluster = Cluster::new();
    let mut compiler = Compiler::new(Settings::new(certificate()));
    let (compiled, cold) = timed(|| compiler.compile(&cluster.inputs()));
    assert!(compiled.findings.is_empty() && compiled.table.hosts.exact.len() == HOSTS, "{:?}", compiled.findings.first());
    let ((), warm) = timed(|| drop(compiler.compile(&cluster.inputs())));
    println!("compile {HOSTS} hosts, {} routes: {:.1} ms, again {:.1} ms", HOSTS * 2, cold * 1e3, warm * 1e3);

    let key = ObjectKey::new("default", "s7");
    let changes: Vec<_> = (0..100).map(|octet| vec![(key.clone(), vec![slice(7, octet)])]).collect();
    let (changed, seconds) = timed(|| changes.iter().filter(|change| compiler.update_endpoints(change).is_some()).count());
    println!("change the endpoints of one Service: {:.1} µs", seconds * 1e6 / changed.max(1) as f64);

    // Spread, so that the table does not sit in the cache because always the same host is asked for.
    let names: Vec<String> = (0..HOSTS).map(|index| format!("H{}.Example.com:443", index * 7919 % HOSTS)).collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    for (what, authorities, path) in [
        ("lookup, whole path", &lower, "/api"),
        ("lookup, prefix", &lower, "/static/js/app.js"),
        ("lookup, capitals in the host", &names, "/static/js/app.js"),
        ("lookup, path to be normalised", &lower, "/static//js/%61pp.js"),
    ] {
        let (found, seconds) = timed(|| {
            let requests = authorities.iter().cycle().take(rounds);
            requests
                .filter(|name| matches!(compiled.table.host(black_box(name)).decide(black_box(path)), Decision::Route(_)))
                .count()
        });
        assert_eq!(found, rounds, "{what}");
        println!("{what}: {:.0} ns at {HOSTS} hosts", seconds * 1e9 / rounds as f64);
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = clock::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

struct Cluster {
    ingresses: Vec<Arc<Ingress>>,
    classes: Vec<Arc<IngressClass>>,
    services: Vec<Arc<Service>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Cluster {
    /// [`HOSTS`] hosts with two paths each, ten hosts to a Service.
    fn new() -> Self {
        let ingress = |index: usize| {
            let service = json!({"service": {"name": format!("s{}", index / 10), "port": {"number": 80}}});
            let paths = json!([
                {"path": "/", "pathType": "Prefix", "backend": service},
                {"path": "/api", "pathType": "Prefix", "backend": service},
            ]);
            object(json!({
                "metadata": {"namespace": "default", "name": format!("i{index}")},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": format!("h{index}.example.com"), "http": {"paths": paths}}]},
            }))
        };
        let service = |index: usize| {
            object(json!({
                "metadata": {"namespace": "default", "name": format!("s{index}")},
                "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
            }))
        };
        let class = json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}});
        Self {
            ingresses: (0..HOSTS).map(ingress).collect(),
            classes: vec![object(class)],
            services: (0..HOSTS / 10).map(service).collect(),
            slices: (0..HOSTS / 10).map(|index| slice(index, 1)).collect(),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            ingresses: &self.ingresses,
            classes: &self.classes,
            services: &self.services,
            endpoint_slices: &self.slices,
            ..Inputs::default()
        }
    }
}

fn slice(service: usize, octet: usize) -> Arc<EndpointSlice> {
    let labels = json!({"kubernetes.io/service-name": format!("s{service}")});
    object(json!({
        "metadata": {"namespace": "default", "name": format!("s{service}-1"), "labels": labels},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [format!("10.0.0.{}", octet + 1)]}, {"addresses": ["10.0.1.1"]}],
    }))
}

#[expect(clippy::expect_used, reason = "the objects are our own")]
fn object<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).expect("an object of this kind"))
}

#[expect(clippy::expect_used, reason = "nothing to measure without it")]
fn certificate() -> Arc<rustls::sign::CertifiedKey> {
    let made = rcgen::generate_simple_self_signed(["ingress.local".to_owned()]).expect("randomness");
    let data = [("tls.crt", made.cert.pem()), ("tls.key", made.signing_key.serialize_pem())];
    let data = data.map(|(name, text)| (name.to_owned(), k8s_openapi::ByteString(text.into_bytes())));
    let secret = Secret { data: Some(data.into()), ..Secret::default() };
    Certificate::parse(&secret).expect("a certificate").key
}
