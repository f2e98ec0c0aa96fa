//! What the route table costs: a lookup, a compilation, a change of endpoints. Prints a table, and ends with status 1 when a limit
//! is missed. `make bench-routes`.

use std::hint::black_box;
use std::process::ExitCode;
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

/// Of each measurement the fastest counts: what else the machine does only makes it slower.
const ATTEMPTS: usize = 5;

const MILLI: f64 = 1e3;
const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;

fn main() -> ExitCode {
    // `cargo test --benches` asks for a run that only shows that it works.
    let measures = std::env::args().any(|argument| argument == "--bench");
    let (rounds, attempts) = if measures { (ROUNDS, ATTEMPTS) } else { (1_000, 1) };
    let mut table = Table::default();
    let cluster = Cluster::new();
    let mut compiler = Compiler::new(Settings::new(certificate()));
    let (compiled, cold) = timed(|| compiler.compile(&cluster.inputs()));
    assert!(compiled.findings.is_empty() && compiled.table.hosts.exact.len() == HOSTS, "{:?}", compiled.findings.first());
    table.row("the first table", cold, MILLI, "ms", None);
    let again = fastest(attempts, || drop(compiler.compile(&cluster.inputs())));
    // Ten times the Ingresses for which a change has to be in force within 100 ms.
    table.row("the whole table again", again, MILLI, "ms", Some(100.0));

    let key = ObjectKey::new("default", "s7");
    let mut octet = 1;
    let exchanged = fastest(attempts * 20, || {
        octet = (octet + 1) % 250;
        assert!(compiler.update_endpoints(&[(key.clone(), vec![slice(7, octet)])]).is_some());
    });
    table.row("other endpoints of one Service", exchanged, MICRO, "µs", Some(1000.0));

    // Spread, so that the table does not sit in the cache because always the same host is asked for.
    let names: Vec<String> = (0..HOSTS).map(|index| format!("H{}.Example.com:443", index * 7919 % HOSTS)).collect();
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    for (what, authorities, path) in [
        ("lookup, whole path", &lower, "/api"),
        ("lookup, prefix", &lower, "/static/js/app.js"),
        ("lookup, capitals in the host", &names, "/static/js/app.js"),
        ("lookup, path to be normalised", &lower, "/static//js/%61pp.js"),
    ] {
        let seconds = fastest(attempts, || {
            let requests = authorities.iter().cycle().take(rounds);
            let decide = |name: &&String| compiled.table.host(black_box(name)).decide(black_box(path));
            let found = requests.map(|name| decide(&name)).filter(|decision| matches!(decision, Decision::Route(_))).count();
            assert_eq!(found, rounds, "{what}");
        });
        table.row(what, seconds / rounds as f64, NANO, "ns", Some(1000.0));
    }
    print!("{}", table.text());
    if measures && table.missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Markdown.
#[derive(Default)]
struct Table {
    rows: String,
    missed: bool,
}

impl Table {
    fn row(&mut self, what: &str, seconds: f64, scale: f64, unit: &str, limit: Option<f64>) {
        let figure = seconds * scale;
        self.missed |= limit.is_some_and(|limit| figure > limit);
        let limit = limit.map(|limit| format!("{limit} {unit}")).unwrap_or_default();
        self.rows.push_str(&format!("| {what} | **{figure:.1} {unit}** | {limit} |\n"));
    }

    fn text(&self) -> String {
        format!("| route table of {HOSTS} hosts, {} routes | | limit |\n|---|---|---|\n{}", HOSTS * 2, self.rows)
    }
}

/// Seconds of the fastest of some attempts.
fn fastest(attempts: usize, mut work: impl FnMut()) -> f64 {
    (0..attempts).map(|_| timed(&mut work).1).fold(f64::INFINITY, f64::min)
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
