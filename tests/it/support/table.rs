//! Route tables from objects that no API server has seen.

use std::sync::Arc;

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

/// Compiles them.
pub fn compile(path_matching: PathMatching, objects: &[Value]) -> Arc<RouteTable> {
    compile_with(path_matching, objects, &[])
}

/// Compiles them, with these keys in the ConfigMap.
pub fn compile_with(path_matching: PathMatching, objects: &[Value], config: &[(&str, &str)]) -> Arc<RouteTable> {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let fallback = certificate::self_signed().expect("a certificate");
    let mut compiler = Compiler::new(Settings { path_matching, ..Settings::new(fallback) });
    let inputs = Inputs {
        ingresses: &of_kind(objects, "Ingress"),
        classes: &of_kind(objects, "IngressClass"),
        services: &of_kind(objects, "Service"),
        endpoint_slices: &of_kind(objects, "EndpointSlice"),
        config: Some(&config),
        ..Inputs::default()
    };
    let compiled = compiler.compile(&inputs);
    assert!(config.is_empty() || compiled.findings.is_empty(), "{:?}", compiled.findings);
    Arc::new(compiled.table)
}

fn of_kind<K: serde::de::DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<Arc<K>> {
    let found = objects.iter().filter(|object| object["kind"] == kind);
    found.map(|object| Arc::new(serde_json::from_value(object.clone()).expect("an object of its kind"))).collect()
}
