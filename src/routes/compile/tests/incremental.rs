//! What a table shares with the one before.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::fixtures::{World, rules, secret_for, yaml};
use crate::routes::compile::Compiled;
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However a table came about, requests go where a table made from nothing sends them.
    #[test]
    fn a_table_made_from_others_is_as_one_made_from_nothing(
        steps in proptest::collection::vec((0..64_u32, 0..16_u32, 0..4_usize, 1..250_u8), 1..8),
    ) {
        let mut compiler = World::new().compiler();
        let mut last = None;
        for (ingresses, services, moved, octet) in steps {
            let mut world = World::new();
            world.services.clear();
            for index in (0..4).filter(|index| services & (1 << index) != 0) {
                world = world.service(&format!("s{index}"), "ports: [{name: http, port: 80, targetPort: 8080}]");
                world.slices.extend(slice(&format!("s{index}"), &format!("10.1.0.{}", index + 1)));
            }
            for index in (0..6).filter(|index| ingresses & (1 << index) != 0) {
                let paths = [("/", "Prefix", &*format!("s{}", index % 4)), ("/x", "Exact", &*format!("s{}", (index + 1) % 4))];
                world = world.ingress(&format!("i{index}"), &rules(&format!("h{}.com", index / 2), &paths));
            }
            let mut grown = world.compile_with(&mut compiler);
            let name = format!("s{moved}");
            let moved = slice(&name, &format!("10.2.0.{octet}"));
            if let Some(table) = compiler.update_endpoints(&[(ObjectKey::new("default", &name), moved.clone())]) {
                grown.table = table;
            }
            world.slices.retain(|slice| super::super::service_of(slice).is_none_or(|service| *service.name != *name));
            world.slices.extend(moved);
            let fresh = world.compile();
            for host in ["h0.com", "h1.com", "h2.com"] {
                for path in ["/", "/x", "/y"] {
                    prop_assert_eq!(grown.goes(host, path), fresh.goes(host, path));
                }
            }
            prop_assert_eq!(&grown.findings, &fresh.findings);
            let live = |compiled: &Compiled| compiled.ingresses.iter().map(|state| state.is_live(&compiled.table)).collect::<Vec<_>>();
            prop_assert_eq!(live(&grown), live(&fresh));
            prop_assert!(last.replace(grown.table.generation) < Some(grown.table.generation));
        }
    }
}
