//! 1.4: what answers where no rule does.

use serde_json::{Value, json};

use super::{Rule, annotations, rule};
use crate::support::table::{backend, ingress, merge};

/// An Ingress with a default backend.
fn with_default(name: &str, rules: &[&str], service: &str) -> Value {
    merge(ingress(name, rules), json!({"spec": {"defaultBackend": backend(service)}}))
}

fn external(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": target},
    })
}

pub(super) fn rules() -> Vec<Rule> {
    vec![
        rule("s1_4_without_rules_it_takes_everything_and_annotations_but_redirects_apply", || {
            let options = annotations(&[("force-ssl-redirect", "true"), ("proxy-body-size", "3")]);
            vec![merge(with_default("all", &[], "web"), options), ingress("x", &["a.com /x P api"])]
        })
        .gets(&[("[b.com]/y", "web"), ("/y", "web"), ("[a.com]/x", "api"), ("[a.com]/y", "404")])
        .check(|serving| {
            Box::pin(async move {
                let body = "POST / HTTP/1.1\r\nhost: b.com\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
                assert_eq!(serving.ask(body).await.status, 413);
            })
        }),
        rule("s1_4_with_rules_it_takes_what_is_left_of_its_hosts", || {
            vec![with_default("x", &["a.com /x P api", "b.com / P api", "c.com / E api"], "web")]
        })
        .gets(&[
            ("[a.com]/x", "api"),
            ("[a.com]/y", "web"),
            ("[b.com]/y", "api"),
            ("[c.com]/", "api"),
            ("[c.com]/y", "web"),
            ("[d.com]/y", "404"),
        ]),
        rule("s1_4_with_rules_it_counts_for_hosts_that_its_ingress_names_first", || {
            vec![ingress("first", &["a.com /x P api"]), with_default("later", &["a.com /y P other"], "web")]
        })
        .told(&["later PathConflict"])
        .gets(&[("[a.com]/x", "api"), ("[a.com]/y", "other"), ("[a.com]/z", "404")]),
        rule("s1_4_of_two_catch_alls_the_oldest_wins", || {
            vec![with_default("old", &[], "web"), with_default("young", &[], "api")]
        })
        .told(&["young PathConflict"])
        .gets(&[("[a.com]/", "web")]),
        rule("s1_4_of_a_catch_all_and_a_rule_without_host_the_oldest_wins", || {
            vec![ingress("old", &["- / P web"]), with_default("young", &[], "api")]
        })
        .told(&["young PathConflict"])
        .gets(&[("[a.com]/", "web")]),
        rule("s1_4_no_host_matches", || vec![ingress("x", &["a.com / P web"])]).gets(&[("[b.com]/", "404")]),
        rule("s1_4_no_host_matches_and_there_is_a_default_backend_service", || vec![ingress("x", &["a.com /x P web"])])
            .set(|settings| settings.default_backend_service = Some("default/fallback".parse().expect("a key")))
            .gets(&[("[b.com]/", "fallback"), ("[a.com]/y", "fallback"), ("[a.com]/x", "web")]),
        rule("s1_4_a_default_backend_service_without_endpoints_is_none", || vec![ingress("x", &["a.com /x P web"])])
            .set(|settings| settings.default_backend_service = Some("default/none".parse().expect("a key")))
            .gets(&[("[b.com]/", "404"), ("[a.com]/y", "404")]),
        rule("s1_4_the_host_matches_and_its_paths_do_not", || vec![ingress("x", &["a.com /x P web"])])
            .gets(&[("[a.com]/y", "404")]),
        rule("s1_4_unmatched_paths_are_redirected_as_the_first_ingress_of_the_host_says", || {
            let tls = |host: &str| json!({"spec": {"tls": [{"hosts": [host]}]}});
            let off = annotations(&[("ssl-redirect", "false")]);
            let forced = annotations(&[("force-ssl-redirect", "true")]);
            vec![
                merge(ingress("tls", &["a.com /x P web"]), tls("a.com")),
                merge(merge(ingress("off", &["b.com /x P web"]), tls("b.com")), off),
                merge(ingress("forced", &["c.com /x P web", "- /x P web"]), forced),
                ingress("plain", &["d.com /x P web"]),
            ]
        })
        .gets(&[
            ("[a.com]/y/", "308 https://a.com/y"),
            ("[a.com]/.well-known/acme-challenge/token", "404"),
            ("https [a.com]/y", "404"),
            ("[b.com]/y", "404"),
            ("[c.com]/y", "308 https://c.com/y"),
            ("[d.com]/y", "404"),
            ("[e.com]/x", "308 https://e.com/x"),
            ("[e.com]/y", "404"),
        ]),
        rule("s1_4_disable_catch_all_leaves_out_what_has_a_default_backend", || {
            let resource = json!({"spec": {"defaultBackend": {"resource": {"kind": "Bucket", "name": "files"}}}});
            vec![
                with_default("only", &[], "web"),
                with_default("both", &["a.com / P web"], "web"),
                merge(ingress("resource", &["b.com / P web"]), resource),
                ingress("any", &["- / P other"]),
            ]
        })
        .set(|settings| settings.disable_catch_all = true)
        .told(&["both CatchAllDisabled", "only CatchAllDisabled", "resource CatchAllDisabled"])
        .gets(&[("[a.com]/", "other"), ("[b.com]/", "other"), ("[c.com]/", "other")]),
        rule("s1_4_a_missing_service_or_port_is_503", || {
            vec![ingress("x", &["a.com /a P missing", "a.com /b P web:81", "a.com /c P web:grpc", "a.com / P web"])]
        })
        .told(&["x BackendPortMissing", "x BackendPortMissing", "x BackendServiceMissing"])
        .gets(&[("[a.com]/a", "503"), ("[a.com]/b", "503"), ("[a.com]/c", "503"), ("[a.com]/d", "web")]),
        rule("s1_4_no_ready_endpoint_is_503", || vec![ingress("x", &["a.com / P web", "a.com /x P none"])])
            .gets(&[("[a.com]/x/y", "503"), ("[a.com]/", "web")]),
        rule("s1_4_a_resource_is_left_out", || {
            let backend = json!({"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "files"}});
            let path = json!({"path": "/x", "pathType": "Prefix", "backend": backend});
            let spec = json!({"spec": {"defaultBackend": backend, "rules": [{"host": "a.com", "http": {"paths": [path]}}]}});
            vec![merge(ingress("x", &[]), spec)]
        })
        .told(&["x BackendResource", "x BackendResource"])
        .gets(&[("[a.com]/x", "404"), ("[b.com]/", "404")]),
        rule("s1_4_an_external_name_of_this_machine_or_its_link_is_503", || {
            let targets = ["localhost", "a.localhost", "127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "127.1", "0x7f.1"];
            let names: Vec<String> = (0..targets.len()).map(|number| format!("e{number}")).collect();
            let services = names.iter().zip(targets).map(|(name, target)| external(name, target));
            let rules: Vec<String> = names.iter().map(|name| format!("a.com /{name} P {name}")).collect();
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            services.chain([ingress("x", &rules)]).collect()
        })
        .told(&["x BackendRefused"; 8])
        .gets(&[("[a.com]/e0", "503"), ("[a.com]/e4", "503"), ("[a.com]/e7", "503")]),
        rule("s1_4_built_in_pages_are_nginxs", || vec![ingress("x", &["a.com / P none"])]).check(|serving| {
            Box::pin(async move {
                for (host, title) in [("b.com", "404 Not Found"), ("a.com", "503 Service Temporarily Unavailable")] {
                    let answer = serving.ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
                    let expected = format!("<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>");
                    assert!(answer.body().contains(&expected), "{}", answer.text);
                }
            })
        }),
        rule("s1_4_health_is_shadowed_by_no_rule", || vec![ingress("x", &["a.com / P web", "- / P other"])]).gets(&[
            ("[b.com]/healthz", "200"),
            ("/healthz", "200"),
            ("[b.com]/healthz/x", "other"),
            ("[a.com]/healthz", "web"),
        ]),
    ]
}
