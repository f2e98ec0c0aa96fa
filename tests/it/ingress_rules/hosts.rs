//! 1.3: which host answers.

use std::future::poll_fn;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use super::{Rule, rule};
use crate::support::serving::Serving;
use crate::support::table::{backend, ingress, merge};

pub(super) fn rules() -> Vec<Rule> {
    vec![
        rule("s1_3_a_wildcard_takes_exactly_one_label", || vec![ingress("x", &["*.foo.com / P web"])]).gets(&[
            ("[bar.foo.com]/", "web"),
            ("[b_r-1.foo.com]/", "web"),
            ("[baz.bar.foo.com]/", "404"),
            ("[foo.com]/", "404"),
        ]),
        rule("s1_3_a_bare_star_an_address_and_a_port_are_no_hosts", || {
            let hosts = ["* / P web", "192.0.2.1 / P web", "a.com:80 / P web", "ok.com / P web"];
            vec![ingress("x", &hosts)]
        })
        .told(&["x HostInvalid", "x HostInvalid", "x HostInvalid"])
        .gets(&[("[a.com]/", "404"), ("[192.0.2.1]/", "404"), ("[ok.com]/", "web")]),
        rule("s1_3_an_empty_host_takes_all_that_no_other_does", || vec![ingress("x", &["a.com / P web", "- / P other"])])
            .gets(&[("[a.com]/", "web"), ("[b.com]/", "other"), ("[192.0.2.1:80]/", "other"), ("[[2001:db8::1]:80]/", "other")]),
        rule("s1_3_exact_before_wildcard_before_any", || {
            vec![ingress("x", &["- / P other", "*.foo.com / P api", "a.foo.com / P web"])]
        })
        .gets(&[("[a.foo.com]/", "web"), ("[b.foo.com]/", "api"), ("[a.b.foo.com]/", "other")]),
        rule("s1_3_no_fall_through", || vec![ingress("x", &["a.foo.com /only P web", "*.foo.com /wild P api", "- / P other"])])
            .gets(&[
                ("[a.foo.com]/only", "web"),
                ("[a.foo.com]/wild", "404"),
                ("[a.foo.com]/", "404"),
                ("[b.foo.com]/wild", "api"),
                ("[b.foo.com]/", "404"),
            ]),
        rule("s1_3_every_host_is_served_on_both_ports", || vec![ingress("x", &["a.com / P web"])]).gets(&[
            ("[a.com]/", "web"),
            ("https [a.com]/", "web"),
            ("tls a.com", "ingress.local"),
        ]),
        rule("s1_3_case_port_and_one_trailing_dot_play_no_part", || vec![ingress("x", &["A.Foo.com / P web"])]).gets(&[
            ("[a.foo.com]/", "web"),
            ("[A.FOO.COM]/", "web"),
            ("[a.foo.com:8080]/", "web"),
            ("[a.foo.com.]/", "web"),
            ("[a.foo.com.:80]/", "web"),
            ("[a.foo.com..]/", "404"),
        ]),
        rule("s1_3_http_1_0_without_host", || vec![ingress("x", &["- / P other", "a.com / P web"])]).check(|serving| {
            Box::pin(async move {
                let answer = serving.ask("GET / HTTP/1.0\r\n\r\n").await;
                assert!(answer.text.contains("service: other"), "{}", answer.text);
                let answer = serving.ask("GET / HTTP/1.0\r\nHost: a.com\r\n\r\n").await;
                assert!(answer.text.contains("service: web"), "{}", answer.text);
            })
        }),
        rule("s1_3_http_2_with_authority_only", || vec![ingress("x", &["a.com / P web"])])
            .check(|serving| Box::pin(authority_only(serving))),
        rule("s1_3_a_rule_without_http_leads_to_the_default_backend", || {
            vec![merge(ingress("bare", &[]), json!({"spec": {"rules": [{"host": "a.com"}]}})), ingress("any", &["- / P other"])]
        })
        .set(|settings| settings.default_backend_service = Some("default/fallback".parse().expect("a key")))
        .gets(&[("[a.com]/", "fallback"), ("[a.com]/x", "fallback"), ("[b.com]/x", "other")]),
        rule("s1_3_a_rule_without_http_and_a_default_backend_of_its_own", || {
            let spec = json!({"spec": {"rules": [{"host": "a.com"}], "defaultBackend": backend("web")}});
            vec![merge(ingress("bare", &[]), spec)]
        })
        .gets(&[("[a.com]/x", "web"), ("[b.com]/x", "404")]),
        rule("s1_3_certificate_by_server_name_and_route_by_host", || {
            let secret = super::tls::secret("cert", &["a.com"]);
            let tls = json!({"spec": {"tls": [{"hosts": ["a.com"], "secretName": "cert"}]}});
            vec![secret, merge(ingress("x", &["a.com / P web", "b.com / P api"]), tls)]
        })
        .told(&["x CertificateHostMismatch"])
        .gets(&[("https:a.com [b.com]/", "api"), ("https:b.com [a.com]/", "web"), ("tls a.com", "a.com")]),
    ]
}

/// A request by HTTP/2 whose host is `:authority` alone.
async fn authority_only(serving: &Serving) {
    let stream = TcpStream::connect(serving.http()).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    for (authority, status) in [("a.com", 200), ("A.com:80", 200), ("b.com", 404)] {
        let request = hyper::Request::get(format!("http://{authority}/")).body(Empty::<Bytes>::new()).expect("a request");
        poll_fn(|cx| sender.poll_ready(cx)).await.expect("ready");
        assert_eq!(sender.send_request(request).await.expect("an answer").status(), status, "{authority}");
    }
}
