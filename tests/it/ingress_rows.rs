//! The rules of Ingress, row by row, against the running proxy: real sockets, real requests, no cluster.
//!
//! Rows of the path tables are named after what they say: first the API's own (`--path-matching spec`), then those of
//! ingress-nginx (the default). Each rule of a table is a line: host (`-` for none), path, type (`E`xact, `P`refix,
//! `I`mplementationSpecific), Service. Each Service `x` is a program that answers `x`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use landfall::proxy::{Handle, Proxy, Settings};
use landfall::routes::options::PathMatching;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::data_plane::{Answer, ask};
use crate::support::fixture::block_on;
use crate::support::table;

/// A row: its name, its rules, and what requests get. A request is `[host]path`; what it gets is a Service's name, a status, or
/// `301 location`.
struct Row {
    name: &'static str,
    matching: PathMatching,
    rules: &'static [&'static str],
    requests: &'static [(&'static str, &'static str)],
}

const fn spec(name: &'static str, rules: &'static [&'static str], requests: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, matching: PathMatching::Spec, rules, requests }
}

const fn nginx(name: &'static str, rules: &'static [&'static str], requests: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, matching: PathMatching::Nginx, rules, requests }
}

const ROWS: &[Row] = &[
    // The API's table (Kubernetes, Ingress, "Examples").
    spec("spec_01_prefix_slash_takes_anything", &["- / P a"], &[("/", "a"), ("/x", "a"), ("/x/y?z", "a")]),
    spec(
        "spec_02_exact_takes_the_same_path_only",
        &["- /foo E a"],
        &[("/foo", "a"), ("/bar", "404"), ("/foo/", "404"), ("/FOO", "404")],
    ),
    spec("spec_03_exact_with_a_slash_wants_it", &["- /foo/ E a"], &[("/foo", "404"), ("/foo/", "a")]),
    spec(
        "spec_04_prefix_takes_whole_elements",
        &["- /foo P a"],
        &[("/foo", "a"), ("/foo/", "a"), ("/foo/x", "a"), ("/foobar", "404"), ("/FOO", "404")],
    ),
    spec("spec_05_prefix_with_a_slash_ignores_it", &["- /foo/ P a"], &[("/foo", "a"), ("/foo/", "a")]),
    spec("spec_06_prefix_does_not_take_a_longer_element", &["- /aaa/bb P a"], &[("/aaa/bbb", "404")]),
    spec(
        "spec_07_prefix_of_two_elements",
        &["- /aaa/bbb P a"],
        &[("/aaa/bbb", "a"), ("/aaa/bbb/", "a"), ("/aaa/bbb/ccc", "a"), ("/aaa/bbbxyz", "404")],
    ),
    spec("spec_08_prefix_of_two_elements_with_a_slash", &["- /aaa/bbb/ P a"], &[("/aaa/bbb", "a")]),
    spec("spec_09_the_longer_prefix_wins", &["- / P a", "- /aaa P b"], &[("/aaa/ccc", "b")]),
    spec("spec_10_the_longest_prefix_wins", &["- / P a", "- /aaa P b", "- /aaa/bbb P c"], &[("/aaa/bbb", "c"), ("/ccc", "a")]),
    spec("spec_11_nothing_matches", &["- /aaa P a"], &[("/ccc", "404")]),
    spec("spec_12_exact_beats_prefix", &["- /foo P a", "- /foo E b"], &[("/foo", "b"), ("/foo/x", "a")]),
    spec("spec_13_prefix_with_and_without_a_slash", &["- /foo P a", "- /foo/ P b"], &[("/foo/", "b")]),
    // ingress-nginx's locations.
    nginx("nginx_exact", &["- /foo E a"], &[("/foo", "a"), ("/foo/", "404"), ("/foobar", "404"), ("/FOO", "404")]),
    nginx(
        "nginx_exact_with_a_slash_redirects",
        &["- /foo/ E a"],
        &[("/foo", "301 http://_/foo/"), ("/foo/", "a"), ("/foo/x", "404")],
    ),
    nginx("nginx_prefix_slash", &["- / P a"], &[("/", "a"), ("/x", "a")]),
    nginx("nginx_prefix_has_no_redirect", &["- /foo P a"], &[("/foo", "a"), ("/foo/", "a"), ("/foo/x", "a"), ("/foobar", "404")]),
    nginx(
        "nginx_prefix_with_a_slash_redirects",
        &["- /foo/ P a"],
        &[("/foo", "301 http://_/foo/"), ("/foo?a=b", "301 http://_/foo/?a=b"), ("/foo/", "a"), ("/foo/x", "a")],
    ),
    nginx("nginx_prefix_and_exact", &["- /foo P a", "- /foo E b"], &[("/foo", "b"), ("/foo/", "a"), ("/foo/x", "a")]),
    nginx("nginx_implementation_specific_is_a_plain_prefix", &["- /foo I a"], &[("/foo", "a"), ("/foobar", "a"), ("/fo", "404")]),
    nginx(
        "nginx_the_path_is_normalised_before_it_is_matched",
        &["- /a P a", "- /b E b"],
        &[
            ("/x/../a/y", "a"),
            ("//a//y", "a"),
            ("/%61/y", "a"),
            ("/./b", "b"),
            ("/a/../b", "b"),
            ("/../a", "400"),
            ("/a%zz", "400"),
        ],
    ),
    // Hosts.
    nginx(
        "hosts_exact_then_wildcard_then_any",
        &["a.example.com / P exact", "*.example.com / P wild", "- / P any"],
        &[
            ("[a.example.com]/", "exact"),
            ("[A.Example.COM:8080]/", "exact"),
            ("[a.example.com.]/", "exact"),
            ("[b.example.com]/", "wild"),
            ("[a.b.example.com]/", "any"),
            ("[example.com]/", "any"),
            ("[other.test]/", "any"),
        ],
    ),
    nginx(
        "hosts_do_not_fall_through",
        &["a.example.com /only P exact", "*.example.com / P wild", "- / P any"],
        &[("[a.example.com]/other", "404"), ("[a.example.com]/only", "exact")],
    ),
    nginx("hosts_without_a_rule_are_404", &["a.example.com / P a"], &[("[b.example.com]/", "404")]),
    nginx(
        "health_of_the_proxy_is_shadowed_by_no_host",
        &["a.example.com / P a"],
        &[("[other.test]/healthz", "200"), ("[a.example.com]/healthz", "a")],
    ),
    // Conflicts: of two alike the older one has it; rules of several Ingresses of a host are one table.
    nginx("conflicts_the_oldest_wins", &["- /foo P a", "- /foo P b"], &[("/foo", "a")]),
    nginx("conflicts_another_type_is_no_conflict", &["- /foo P a", "- /foo E b"], &[("/foo", "b")]),
    // Backends.
    nginx("backends_without_endpoints_are_503", &["- / P none"], &[("/", "503")]),
    nginx("backends_that_do_not_exist_are_503", &["- / P missing"], &[("/", "503")]),
];

pub fn trials() -> Vec<Trial> {
    let trial = |row: &'static Row| {
        Trial::test(format!("ingress_rows::{}", row.name), move || {
            block_on(check(row));
            Ok(())
        })
    };
    ROWS.iter().map(trial).collect()
}

/// Serves the rules of a row, one Ingress for each, the first one the oldest.
async fn check(row: &Row) {
    let mut objects = vec![table::class("nginx")];
    let mut services = BTreeMap::new();
    for (age, rule) in row.rules.iter().enumerate() {
        let [host, path, kind, service] = rule.split(' ').collect::<Vec<_>>().try_into().expect("four words");
        objects.push(ingress(age, host, path, kind, service));
        if service != "missing" && !services.contains_key(service) {
            let endpoints = if service == "none" { Vec::new() } else { vec![answering(service).await] };
            objects.extend(table::service(service, &endpoints));
            services.insert(service, ());
        }
    }
    let proxy = serve(row.matching, &objects);
    let address = proxy.http().expect("http");
    for (request, expected) in row.requests {
        let (host, path) = match request.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, path)) => (host, path),
            None => ("_", *request),
        };
        let answer = ask(address, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(outcome(&answer), *expected, "{request}: {}", answer.text);
    }
}

fn outcome(answer: &Answer) -> String {
    match (answer.status, answer.header("service"), answer.header("location")) {
        (200, Some(service), _) => service.to_owned(),
        (status, _, Some(location)) => format!("{status} {location}"),
        (status, ..) => status.to_string(),
    }
}

fn ingress(age: usize, host: &str, path: &str, kind: &str, service: &str) -> Value {
    let kind = match kind {
        "E" => "Exact",
        "P" => "Prefix",
        _ => "ImplementationSpecific",
    };
    let backend = json!({"service": {"name": service, "port": {"number": 80}}});
    let mut rule = json!({"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}});
    if host != "-" {
        rule["host"] = json!(host);
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": format!("i{age}"), "namespace": "default", "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")},
        "spec": {"ingressClassName": "nginx", "rules": [rule]},
    })
}

fn serve(matching: PathMatching, objects: &[Value]) -> Handle {
    let table = table::compile(matching, objects);
    let any = Some("127.0.0.1:0".parse().expect("an address"));
    let settings = Settings { workers: 1, ..Settings::new(any, any) };
    Proxy::start(&settings, &Arc::new(ArcSwap::new(table)), None).expect("it starts")
}

/// A program that answers with this name; its port.
async fn answering(name: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = format!("HTTP/1.1 200 OK\r\nservice: {name}\r\ncontent-length: 0\r\n\r\n");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) && stream.write_all(answer.as_bytes()).await.is_ok() {}
            });
        }
    });
    port
}
