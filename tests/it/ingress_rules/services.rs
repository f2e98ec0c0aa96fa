//! 1.7: Services, their ports, and who serves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use landfall::routes::table::{Backend, Endpoints};
use serde_json::{Value, json};

use super::{Rule, rule};
use crate::support::serving::{Serving, program, program_at};
use crate::support::table::{ingress, merge};

/// A Service `s` with this spec.
fn service(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}, "spec": spec})
}

/// A slice of Service `s` with one port, one address, and these conditions.
fn slice(name: &str, port: (&str, u16), address: &str, conditions: &Value) -> Value {
    let kind = if address.contains(':') { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind,
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": "s"}},
        "endpoints": [{"addresses": [address], "conditions": conditions}],
        "ports": [{"name": port.0, "port": port.1, "protocol": "TCP"}],
    })
}

/// A slice for the program of this name, as [`slice`].
async fn of(program_name: &str, port: &str, conditions: &Value) -> Value {
    slice(program_name, (port, program(program_name).await), "127.0.0.1", conditions)
}

/// Who answers eight requests, and how many of them.
async fn answers(serving: &Serving) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for _ in 0..8 {
        *counted.entry(serving.outcome("[a.com]/").await).or_default() += 1;
    }
    counted
}

fn counted(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Serves Service `s`, port 80 named `http`, with these slices; who answers.
async fn with_slices(serving: &mut Serving, slices: Vec<Value>) -> BTreeMap<String, usize> {
    let service = service(&json!({"ports": [{"name": "http", "port": 80}]}));
    serving.change([vec![service, ingress("x", &["a.com / P s"])], slices].concat()).await;
    answers(serving).await
}

pub(super) fn rules() -> Vec<Rule> {
    [ports(), endpoints(), external_names()].into_iter().flatten().collect()
}

/// How a port is found.
fn ports() -> Vec<Rule> {
    let of_ports = |name, check: fn(&mut Serving) -> super::Checking<'_>| rule(name, Vec::new).check(check);
    vec![
        of_ports("s1_7_a_port_by_number_by_name_and_by_target_port", |serving| {
            Box::pin(async move {
                let ports = json!([
                    {"name": "web", "port": 80, "targetPort": 8080},
                    {"name": "admin", "port": 81, "targetPort": "adm"},
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                ]);
                let paths =
                    ["a.com /1 P s:80", "a.com /2 P s:web", "a.com /3 P s:8080", "a.com /4 P s:admin", "a.com /5 P s:adm"];
                let refused = ["a.com /6 P s:53", "a.com /7 P s:82", "a.com /8 P s:other"];
                let of_slice = json!([
                    {"name": "web", "port": program("web").await, "protocol": "TCP"},
                    {"name": "admin", "port": program("api").await, "protocol": "TCP"},
                ]);
                let slice = merge(of("web", "web", &Value::Null).await, json!({"ports": of_slice}));
                let ingress = ingress("x", &[&paths[..], &refused].concat());
                serving.change(vec![service(&json!({"ports": ports})), ingress, slice]).await;
                assert_eq!(serving.told(), ["x BackendPortMissing"; 3]);
                let expected = ["web", "web", "web", "api", "api", "503", "503", "503"];
                for (path, expected) in (1..).zip(expected) {
                    assert_eq!(serving.outcome(&format!("[a.com]/{path}")).await, expected, "{path}");
                }
            })
        }),
        of_ports("s1_7_a_named_target_port_is_the_slices", |serving| {
            Box::pin(async move {
                for (port, target, slice) in [("http", "web", "http"), ("http", "web", "web"), ("", "web", "")] {
                    let name = Some(port).filter(|name| !name.is_empty());
                    let service = service(&json!({"ports": [{"name": name, "port": 80, "targetPort": target}]}));
                    let slice = of("web", slice, &Value::Null).await;
                    serving.change(vec![service, ingress("x", &["a.com / P s"]), slice]).await;
                    assert_eq!(serving.outcome("[a.com]/").await, "web", "{port} {target}");
                }
            })
        }),
    ]
}

/// Who of the slices serves.
fn endpoints() -> Vec<Rule> {
    let of_slices = |name, check: fn(&mut Serving) -> super::Checking<'_>| rule(name, Vec::new).check(check);
    vec![
        of_slices("s1_7_all_slices_are_merged_and_each_address_counts_once", |serving| {
            Box::pin(async move {
                let (web, api) = (of("web", "http", &Value::Null).await, of("api", "http", &Value::Null).await);
                let again = merge(web.clone(), json!({"metadata": {"name": "again"}}));
                assert_eq!(with_slices(serving, vec![web, again, api]).await, counted(&[("api", 4), ("web", 4)]));
            })
        }),
        of_slices("s1_7_unless_ready_is_false_an_address_is_used", |serving| {
            Box::pin(async move {
                let slices = vec![
                    of("web", "http", &Value::Null).await,
                    of("api", "http", &json!({"ready": true})).await,
                    of("other", "http", &json!({"ready": false, "serving": true})).await,
                ];
                assert_eq!(with_slices(serving, slices).await, counted(&[("api", 4), ("web", 4)]));
            })
        }),
        of_slices("s1_7_terminating_ones_serve_only_while_none_is_ready", |serving| {
            Box::pin(async move {
                let leaving = of("web", "http", &json!({"ready": false, "serving": true, "terminating": true})).await;
                let gone = of("api", "http", &json!({"ready": false, "serving": false, "terminating": true})).await;
                let ready = of("other", "http", &json!({"ready": true})).await;
                assert_eq!(with_slices(serving, vec![leaving.clone(), gone.clone()]).await, counted(&[("web", 8)]));
                assert_eq!(with_slices(serving, vec![leaving, gone.clone(), ready]).await, counted(&[("other", 8)]));
                assert_eq!(with_slices(serving, vec![gone]).await, counted(&[("503", 8)]));
            })
        }),
        of_slices("s1_7_publish_not_ready_addresses", |serving| {
            Box::pin(async move {
                // What the API server makes of it: ready, whatever the pod is.
                let slice = of("web", "http", &json!({"ready": true, "serving": false, "terminating": true})).await;
                assert_eq!(with_slices(serving, vec![slice]).await, counted(&[("web", 8)]));
            })
        }),
        of_slices("s1_7_both_address_families_are_used", |serving| {
            Box::pin(async move {
                let six = program_at("[::1]:0", "six").await.port();
                let slices = vec![of("web", "http", &Value::Null).await, slice("six", ("http", six), "::1", &Value::Null)];
                assert_eq!(with_slices(serving, slices).await, counted(&[("six", 4), ("web", 4)]));
            })
        }),
        of_slices("s1_7_headless_services_work", |serving| {
            Box::pin(async move {
                let service = service(&json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}));
                serving.change(vec![service, ingress("x", &["a.com / P s"]), of("web", "http", &Value::Null).await]).await;
                assert_eq!(serving.outcome("[a.com]/").await, "web");
            })
        }),
        of_slices("s1_7_no_endpoint_is_503_and_the_rules_stay", |serving| {
            Box::pin(async move {
                let slice = of("web", "http", &Value::Null).await;
                assert_eq!(with_slices(serving, vec![slice.clone()]).await, counted(&[("web", 8)]));
                assert_eq!(with_slices(serving, Vec::new()).await, counted(&[("503", 8)]));
                assert_eq!(with_slices(serving, vec![slice]).await, counted(&[("web", 8)]));
            })
        }),
    ]
}

fn external_names() -> Vec<Rule> {
    let external = |target: &str| service(&json!({"type": "ExternalName", "externalName": target}));
    vec![
        rule("s1_7_an_external_name_needs_no_port", Vec::new).check(move |serving| {
            Box::pin(async move {
                // An address of this namespace that is not one of this machine.
                let there = program_at("10.20.0.2:0", "there").await.port();
                serving.change(vec![external("10.20.0.2"), ingress("x", &[&format!("a.com / P s:{there}")])]).await;
                assert_eq!((serving.outcome("[a.com]/").await, serving.told()), ("there".to_owned(), Vec::new()));
            })
        }),
        rule("s1_7_an_external_name_is_a_dns_name", move || {
            let targets = ["a b", "-a.com", "a..b", "a_b.com"];
            let names: Vec<String> = (0..targets.len()).map(|number| format!("s{number}")).collect();
            let services =
                names.iter().zip(targets).map(|(name, target)| merge(external(target), json!({"metadata": {"name": name}})));
            let rules: Vec<String> = names.iter().map(|name| format!("a.com /{name} P {name}")).collect();
            services.chain([ingress("x", &rules.iter().map(String::as_str).collect::<Vec<_>>())]).collect()
        })
        .told(&["x BackendRefused"; 4])
        .gets(&[("[a.com]/s0", "503"), ("[a.com]/s3", "503")]),
        rule("s1_7_disable_svc_external_name", move || vec![external("192.0.2.1"), ingress("x", &["a.com / P s"])])
            .set(|settings| settings.disable_svc_external_name = true)
            .told(&["x BackendRefused"])
            .gets(&[("[a.com]/", "503")]),
        rule("s1_7_what_an_external_name_resolves_to_is_judged_too", || vec![ingress("x", &["a.com / P web"])])
            .check(|serving| Box::pin(resolved(serving))),
    ]
}

/// The compiler would not let the names of this machine pass. A name of somebody's DNS zone leads where that somebody says: the
/// worker that resolves it must not follow.
async fn resolved(serving: &Serving) {
    let port = program("web").await;
    let there = program_at("10.20.0.2:0", "there").await.port();
    let forbidden = ["localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "no-such-name.invalid"];
    let forbidden = forbidden.into_iter().map(|host| (host, port, "503"));
    for (host, port, expected) in forbidden.chain([("10.20.0.2", there, "there")]) {
        let mut table = serving.compiled.table.clone();
        let to_name = |backend: &Arc<Backend>| {
            Arc::new(Backend { endpoints: Endpoints::Name { host: host.into(), port }, ..(**backend).clone() })
        };
        table.backends = table.backends.iter().map(to_name).collect();
        serving.publish(table);
        assert_eq!(serving.outcome("[a.com]/").await, expected, "{host}");
    }
}
