//! Objects that no API server has seen, for route tables.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use landfall::ingress::certificate;
use landfall::routes::RouteTable;
use landfall::routes::compile::{Compiler, Inputs, Settings};
use landfall::routes::options::PathMatching;
use serde_json::{Value, json};

/// An IngressClass of ingress-nginx's controller.
pub fn class(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name}, "spec": {"controller": "k8s.io/ingress-nginx"},
    })
}

/// A Service with port 80, and a slice with a ready endpoint on 127.0.0.1 for each of these ports.
pub fn service(name: &str, ports: &[u16]) -> Vec<Value> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    // A slice has one port number for all of its addresses.
    let slices = ports.iter().map(|port| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-{port}"), "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        })
    });
    std::iter::once(service).chain(slices).collect()
}

/// An Ingress of class `nginx` in namespace `default`. A rule is a line: host (`-` for none), path, type (`E`xact, `P`refix,
/// `I`mplementationSpecific), Service and, unless it is 80, its port: `a.com /x P web:http`.
pub fn ingress(name: &str, rules: &[&str]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|line| rule(line)).collect();
    let rules = if rules.is_empty() { Value::Null } else { json!(rules) };
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "default"},
        "spec": {"ingressClassName": "nginx", "rules": rules},
    })
}

fn rule(line: &str) -> Value {
    let [host, path, kind, service] = line.split(' ').collect::<Vec<_>>().try_into().expect("four words");
    let kind = match kind {
        "E" => "Exact",
        "P" => "Prefix",
        _ => "ImplementationSpecific",
    };
    let mut rule = json!({"http": {"paths": [{"path": path, "pathType": kind, "backend": backend(service)}]}});
    if host != "-" {
        rule["host"] = json!(host);
    }
    rule
}

/// A backend of a rule, as the last word of [`ingress`]' lines spells it.
pub fn backend(service: &str) -> Value {
    let (name, port) = service.split_once(':').unwrap_or((service, "80"));
    let port = port.parse::<u16>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    json!({"service": {"name": name, "port": port}})
}

/// An object with `patch` over it, as a merge patch has it.
pub fn merge(mut object: Value, patch: Value) -> Value {
    match (&mut object, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (key, value) in patch {
                let before = fields.remove(&key).unwrap_or_default();
                if !value.is_null() {
                    fields.insert(key, merge(before, value));
                }
            }
            object
        }
        (_, patch) => patch,
    }
}

/// What tables are compiled from.
pub struct Objects {
    ingresses: Vec<Arc<Ingress>>,
    classes: Vec<Arc<IngressClass>>,
    services: Vec<Arc<Service>>,
    endpoint_slices: Vec<Arc<EndpointSlice>>,
    secrets: Vec<Arc<Secret>>,
}

impl Objects {
    /// Those of their kinds.
    pub fn of(objects: &[Value]) -> Self {
        Self {
            ingresses: of_kind(objects, "Ingress"),
            classes: of_kind(objects, "IngressClass"),
            services: of_kind(objects, "Service"),
            endpoint_slices: of_kind(objects, "EndpointSlice"),
            secrets: of_kind(objects, "Secret"),
        }
    }

    /// For a compiler.
    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            ingresses: &self.ingresses,
            classes: &self.classes,
            services: &self.services,
            endpoint_slices: &self.endpoint_slices,
            secrets: &self.secrets,
            ..Inputs::default()
        }
    }
}

/// Compiles them, with these keys in the ConfigMap.
pub fn compile_with(path_matching: PathMatching, objects: &[Value], config: &[(&str, &str)]) -> Arc<RouteTable> {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let fallback = certificate::self_signed().expect("a certificate");
    let mut compiler = Compiler::new(Settings { path_matching, ..Settings::new(fallback) });
    let objects = Objects::of(objects);
    let compiled = compiler.compile(&Inputs { config: Some(&config), ..objects.inputs() });
    assert!(config.is_empty() || compiled.findings.is_empty(), "{:?}", compiled.findings);
    Arc::new(compiled.table)
}

fn of_kind<K: serde::de::DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<Arc<K>> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.map(|object| Arc::new(serde_json::from_value(object.clone()).expect("an object of its kind"))).collect()
}
