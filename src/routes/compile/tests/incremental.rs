//! What a table shares with the one before.

use std::sync::Arc;

use super::super::fixtures::{World, rules, secret_for, yaml};
use crate::routes::findings::ObjectKey;
use crate::routes::table::RouteTable;

fn world() -> World {
    let tls = "tls: [{hosts: [a.com], secretName: s}]";
    World::new()
        .secret(secret_for("s", &["a.com"], (2020, 2100)))
        .ingress("a", &format!("{tls}, {}", rules("a.com", &[("/", "Prefix", "web")])))
        .ingress("b", &rules("b.com", &[("/", "Prefix", "api")]))
}

fn shares(a: &RouteTable, b: &RouteTable) -> (bool, bool, bool) {
    (Arc::ptr_eq(&a.hosts, &b.hosts), Arc::ptr_eq(&a.backends, &b.backends), Arc::ptr_eq(&a.certificates, &b.certificates))
}

fn slice(service: &str, address: &str) -> Vec<Arc<k8s_openapi::api::discovery::v1::EndpointSlice>> {
    let labels = format!("labels: {{kubernetes.io/service-name: {service}}}");
    vec![yaml(&format!(
        "{{metadata: {{namespace: default, name: s, {labels}}}, addressType: IPv4, ports: [{{name: http, port: 8080}}], \
         endpoints: [{{addresses: [{address}]}}]}}"
    ))]
}

#[test]
fn the_same_objects_share_everything() {
    let world = world();
    let mut compiler = world.compiler();
    let (first, second) = (world.compile_with(&mut compiler).table, world.compile_with(&mut compiler).table);
    assert_eq!(shares(&first, &second), (true, true, true));
    assert!(Arc::ptr_eq(&first.global, &second.global));
    assert_eq!(second.generation, first.generation + 1);
}

#[test]
fn a_change_of_endpoints_exchanges_only_them() {
    let world = world();
    let mut compiler = world.compiler();
    assert!(
        compiler.update_endpoints(&[(ObjectKey::new("default", "web"), slice("web", "10.0.0.9"))]).is_none(),
        "nothing compiled"
    );
    let mut first = world.compile_with(&mut compiler);
    let web = ObjectKey::new("default", "web");
    assert!(compiler.update_endpoints(&[(web.clone(), slice("web", "10.0.0.1"))]).is_none(), "as it was");
    assert!(compiler.update_endpoints(&[(ObjectKey::new("x", "y"), slice("y", "10.0.0.1"))]).is_none(), "not in the table");
    let second = compiler.update_endpoints(&[(web.clone(), slice("web", "10.0.0.9"))]).unwrap();
    assert_eq!(shares(&first.table, &second), (true, false, true));
    let kept = first.table.backends.iter().zip(second.backends.iter()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(kept, first.table.backends.len() - 1);
    assert_eq!(first.goes("a.com", "/"), "a>web 10.0.0.1:8080", "the table before is as it was");
    first.table = second;
    assert_eq!(first.goes("a.com", "/"), "a>web 10.0.0.9:8080");
    assert!(first.live("a"));
    first.table = compiler.update_endpoints(&[(web, Vec::new())]).unwrap();
    assert_eq!(first.goes("a.com", "/"), "a>web 503");
    assert!(!first.live("a") && first.live("b"));
}

#[test]
fn a_new_ingress_leaves_other_hosts_and_backends_as_they_are() {
    let world = world();
    let mut compiler = world.compiler();
    let first = world.compile_with(&mut compiler).table;
    let more = world.service("a-new", "ports: [{port: 80}]").ingress("z", &rules("z.com", &[("/", "Prefix", "a-new")]));
    let second = more.compile_with(&mut compiler).table;
    assert_eq!(shares(&first, &second), (false, false, true));
    assert!(Arc::ptr_eq(first.host("a.com"), second.host("a.com")) && Arc::ptr_eq(first.host("b.com"), second.host("b.com")));
    assert!(first.backends.iter().zip(second.backends.iter()).all(|(a, b)| Arc::ptr_eq(a, b)), "places are kept");
    assert_eq!(second.backends.len(), first.backends.len() + 1);
}

#[test]
fn a_place_that_became_free_is_used_again() {
    let world = world();
    let mut compiler = world.compiler();
    let first = world.compile_with(&mut compiler).table;
    let mut fewer = world.clone();
    fewer.ingresses.retain(|ingress| ingress.metadata.name.as_deref() != Some("b"));
    fewer.compile_with(&mut compiler);
    let third = world.compile_with(&mut compiler);
    assert_eq!(third.table.backends.len(), first.backends.len());
    assert_eq!(
        (third.goes("a.com", "/"), third.goes("b.com", "/")),
        ("a>web 10.0.0.1:8080".into(), "b>api 10.0.0.2:8080".into())
    );
}

#[test]
fn a_certificate_is_parsed_once_for_each_version() {
    let mut world = world();
    let mut compiler = world.compiler();
    let first = world.compile_with(&mut compiler).table;
    let mut renewed = secret_for("s", &["a.com"], (2020, 2100));
    // The version is what tells: content with the old version is not looked at.
    world.secrets = vec![Arc::new(renewed.clone())];
    assert_eq!(shares(&first, &world.compile_with(&mut compiler).table), (true, true, true));
    renewed.metadata.resource_version = Some("2".to_owned());
    world.secrets = vec![Arc::new(renewed)];
    let third = world.compile_with(&mut compiler).table;
    assert_eq!(shares(&first, &third), (true, true, false));
}
