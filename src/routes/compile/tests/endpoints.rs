//! 1.7: Services, their ports, and who serves them.

use super::super::fixtures::{World, rules};

fn world(service: &str) -> World {
    World::new().service("s", service)
}

fn goes(world: World, port: &str) -> String {
    let compiled = world.ingress("x", &rules("a.com", &[("/", "Prefix", &format!("s:{port}"))])).compile();
    let to = compiled.goes("a.com", "/").trim_start_matches("x>s ").to_owned();
    let code = compiled.codes().first().map(|code| format!(" {}", code.trim_start_matches("x "))).unwrap_or_default();
    format!("{to}{code}")
}

const PORTS: &str = "ports: [{name: web, port: 80, targetPort: 8080}, {name: admin, port: 8080, targetPort: adm}, \
                     {name: dns, port: 53, protocol: UDP}]";
const SLICE: &str = "ports: [{name: web, port: 8080, protocol: TCP}, {name: admin, port: 9000, protocol: TCP}], \
                     endpoints: [{addresses: [10.1.0.1]}]";

#[test]
fn services_1_7_port_by_number_name_or_target() {
    for (port, expected) in [
        ("80", "10.1.0.1:8080"),
        ("web", "10.1.0.1:8080"),
        ("8080", "10.1.0.1:9000"),
        ("admin", "10.1.0.1:9000"),
        ("adm", "10.1.0.1:9000"),
        ("53", "503 BackendPortMissing"),
        ("81", "503 BackendPortMissing"),
    ] {
        assert_eq!(goes(world(PORTS).slice("s", SLICE), port), expected, "{port}");
    }
    let number = "ports: [{name: web, port: 80, targetPort: 3000}]";
    assert_eq!(goes(world(number).slice("s", SLICE), "3000"), "10.1.0.1:8080", "target port as text");
}

#[test]
fn services_1_7_a_target_port_by_name_is_that_of_the_slice() {
    let service = "ports: [{name: web, port: 80, targetPort: http}]";
    let slice = |ports: &str| format!("ports: [{ports}], endpoints: [{{addresses: [10.1.0.1]}}]");
    assert_eq!(goes(world(service).slice("s", &slice("{name: web, port: 1, protocol: TCP}")), "80"), "10.1.0.1:1");
    assert_eq!(goes(world(service).slice("s", &slice("{name: http, port: 2, protocol: TCP}")), "80"), "10.1.0.1:2");
    assert_eq!(goes(world(service).slice("s", &slice("{name: other, port: 3, protocol: TCP}")), "80"), "503");
    assert_eq!(goes(world(service).slice("s", &slice("{name: web, port: 4, protocol: UDP}")), "80"), "503");
    let unnamed = "ports: [{port: 80, targetPort: http}]";
    assert_eq!(goes(world(unnamed).slice("s", &slice("{name: any, port: 5}")), "80"), "10.1.0.1:5");
    let numbered = "ports: [{name: web, port: 80, targetPort: 6}]";
    assert_eq!(goes(world(numbered).slice("s", "endpoints: [{addresses: [10.1.0.1]}]"), "80"), "10.1.0.1:6");
    assert_eq!(goes(world(numbered).slice("s", &slice("{name: other, port: 7, protocol: TCP}")), "80"), "10.1.0.1:6");
}

#[test]
fn services_1_7_slices_are_merged_and_addresses_counted_once() {
    let slice = |addresses: &str| format!("ports: [{{name: '', port: 8080}}], endpoints: [{{addresses: [{addresses}]}}]");
    let world = world("ports: [{port: 80, targetPort: 8080}]")
        .slice("s", &slice("10.1.0.2, 10.1.0.1"))
        .slice("s", &slice("10.1.0.2"))
        .slice("other", &slice("10.9.9.9"));
    assert_eq!(goes(world, "80"), "10.1.0.1:8080 10.1.0.2:8080");
}

#[test]
fn services_1_7_ready_else_serving_and_terminating() {
    let with = |conditions: &[&str]| {
        let endpoints: Vec<String> =
            conditions.iter().zip(1..).map(|(c, n)| format!("{{addresses: [10.1.0.{n}], conditions: {{{c}}}}}")).collect();
        let slice = format!("ports: [{{port: 80}}], endpoints: [{}]", endpoints.join(", "));
        goes(world("ports: [{port: 80}]").slice("s", &slice), "80")
    };
    assert_eq!(with(&["", "ready: true", "ready: false"]), "10.1.0.1:80 10.1.0.2:80", "what is not said counts as ready");
    let leaving = "ready: false, serving: true, terminating: true";
    assert_eq!(with(&["ready: true", leaving]), "10.1.0.1:80");
    assert_eq!(with(&["ready: false, serving: false, terminating: true", leaving]), "10.1.0.2:80");
    assert_eq!(with(&["ready: false, terminating: true"]), "10.1.0.1:80", "what is not said counts as serving");
    assert_eq!(with(&["ready: false, serving: true"]), "503");
    assert_eq!(with(&["ready: true, terminating: true"]), "10.1.0.1:80", "publishNotReadyAddresses");
}

#[test]
fn services_1_7_dual_stack_and_headless() {
    let slice = |address: &str| format!("ports: [{{port: 80}}], endpoints: [{{addresses: ['{address}']}}]");
    let world = world("clusterIP: None, ports: [{port: 80}]").slice("s", &slice("2001:db8::1")).slice("s", &slice("10.1.0.1"));
    assert_eq!(goes(world, "80"), "10.1.0.1:80 [2001:db8::1]:80");
}

#[test]
fn services_1_7_addresses_that_are_none_are_left_out() {
    let slice = "ports: [{port: 80}], endpoints: [{addresses: [pod.example.com, 10.1.0.1]}]";
    assert_eq!(goes(world("ports: [{port: 80}]").slice("s", slice), "80"), "10.1.0.1:80");
    let slice = "ports: [{port: 70000}], endpoints: [{addresses: [10.1.0.1]}]";
    assert_eq!(goes(world("ports: [{port: 80, targetPort: x}]").slice("s", slice), "80"), "503");
}

#[test]
fn services_1_7_external_names() {
    let named = |name: &str, rest: &str| world(&format!("type: ExternalName, externalName: '{name}'{rest}"));
    assert_eq!(goes(named("Example.com.", ""), "8443"), "example.com:8443", "no port need be declared");
    assert_eq!(goes(named("example.com", ", ports: [{name: web, port: 81, targetPort: 82}]"), "81"), "example.com:82");
    assert_eq!(goes(named("example.com", ", ports: [{name: web, port: 81}]"), "web"), "example.com:81");
    assert_eq!(goes(named("example.com", ", ports: [{name: web, port: 81, targetPort: x}]"), "web"), "example.com:81");
    assert_eq!(goes(named("example.com", ""), "web"), "503 BackendPortMissing");
    assert_eq!(goes(named("192.0.2.1", ""), "80"), "192.0.2.1:80");
    assert_eq!(goes(named("2001:db8::1", ""), "80"), "[2001:db8::1]:80");
    for refused in [
        "localhost",
        "LocalHost.",
        "a.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "fe80::1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "a b",
        "-a.com",
        "a..b",
        "a_b.com",
        "",
        ".",
    ] {
        assert_eq!(goes(named(refused, ""), "80"), "503 BackendRefused", "{refused}");
    }
    let refused = named("example.com", "").with(|settings| settings.disable_svc_external_name = true);
    assert_eq!(goes(refused, "80"), "503 BackendRefused");
}
