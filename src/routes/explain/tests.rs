//! A small cluster, and what is said of requests to it. Snapshots: what is printed is what people read.

use proptest::prelude::*;

use super::*;
use crate::routes::compile::fixtures::{World, rule, rules, secret_for};
use crate::routes::render;

fn world() -> World {
    let shop = [
        rule(
            "shop.com",
            &[("/cart", "Exact", "api"), ("/cart", "Prefix", "web"), ("/static/", "Prefix", "web"), ("/gone", "Prefix", "none")],
        ),
        rule("*.shop.com", &[("/", "ImplementationSpecific", "web")]),
    ];
    World::new()
        .secret(secret_for("cert", &["shop.com", "*.shop.com"], (2020, 2100)))
        .config("proxy-read-timeout", "30")
        .annotated(
            "shop",
            "+/proxy-body-size: 8m",
            &format!("tls: [{{hosts: [shop.com], secretName: cert}}], rules: [{}]", shop.join(", ")),
        )
        .ingress("rest", &rules("shop.com", &[("/", "Prefix", "web"), ("/cart", "Exact", "web")]))
        .annotated("closed", "+/auth-url: 'http://auth'", &rules("shop.com", &[("/admin", "Prefix", "web")]))
        .ingress("catch", "defaultBackend: {service: {name: api, port: {name: http}}}")
        .raw_ingress("{metadata: {namespace: other, name: x}, spec: {ingressClassName: alb}}")
}

fn told(url: &str) -> Explanation {
    let world = world();
    explain(&world.compile(), &world.settings, &url.parse().unwrap())
}

#[test]
fn a_route_is_explained_rule_by_rule() {
    insta::assert_snapshot!(told("https://shop.com/x/../cart/7?q=1"));
}

#[test]
fn redirects_are_explained() {
    for (url, answer) in [
        (
            "http://shop.com/cart/",
            "308 to https://shop.com/cart: the host or its wildcard has a `tls` section, and ssl-redirect is on",
        ),
        ("http://shop.com/static", "301 to http://shop.com/static/: a rule has the path with a slash"),
        ("https://shop.com:443/static", "301 to https://shop.com/static/: a rule has the path with a slash"),
        ("http://shop.com/.well-known/acme-challenge/x", "Service default/web port 80"),
        ("http://shop.com/%zz", "400: the path cannot be read"),
        ("https://shop.com/gone", "503: Service default/none port 80 cannot be used, see the findings"),
        ("https://shop.com/admin", "503: Service default/web port 80 cannot be used, see the findings"),
        ("a.shop.com", "308 to https://a.shop.com: the host or its wildcard has a `tls` section, and ssl-redirect is on"),
        ("http://b.com/x", "Service default/api port http"),
        ("http://b.com/healthz", "200: the data plane is asked for its own health"),
    ] {
        assert_eq!(told(url).answer, answer, "{url}");
    }
    let world = World::new().annotated("x", "+/force-ssl-redirect: 'true'", &rules("a.com", &[("/x", "Prefix", "web")]));
    let answer = |url: &str| explain(&world.compile(), &world.settings, &url.parse().unwrap()).answer;
    assert_eq!(answer("a.com/x"), "308 to https://a.com/x: force-ssl-redirect is on");
    assert_eq!(answer("a.com/y"), "308 to https://a.com/y: no rule takes the path, and the host redirects plain requests");
    assert_eq!(answer("https://a.com/y"), "404: no rule takes the path");
}

#[test]
fn a_rule_that_does_not_match_says_why() {
    let because = |url: &str| told(url).rules.iter().map(|rule| rule.because).collect::<Vec<_>>();
    let (other, exact) = ("the path does not begin with it", "the path is not exactly this one");
    let within = "the path begins with it, and goes on within the element";
    assert_eq!(because("https://shop.com/cartoon"), [other, other, exact, within, other, "taken"]);
    let slash = "matches with a slash at the end: answers 301 to there, unless a rule has the path without";
    let root = "matches, and another comes before it";
    assert_eq!(because("https://shop.com/static"), [slash, other, exact, other, other, root]);
}

#[test]
fn a_host_without_rules_is_explained() {
    insta::assert_snapshot!(told("http://c.b.shop.com/"));
}

#[test]
fn the_host_is_explained() {
    assert_eq!(told("http://SHOP.com./").host_because, "by its name");
    assert_eq!(
        told("http://a.shop.com/").host_because,
        "\"a.shop.com\" has no rules of its own, and is one label before \"shop.com\""
    );
    assert_eq!(told("http://b.com/").host_because, "neither \"b.com\" nor \"*.com\" has rules");
    assert_eq!(told("http://localhost/").host_because, "\"localhost\" has no rules");
}

#[test]
fn a_default_backend_is_explained() {
    let world = World::new().with(|settings| settings.default_backend_service = Some(ObjectKey::new("default", "api")));
    let told = explain(&world.compile(), &world.settings, &"a.com".parse().unwrap());
    assert_eq!(told.answer, "the default backend, Service default/api port 80");
    assert_eq!(told.endpoints.as_deref(), Some("10.0.0.2:8080"));
    assert_eq!(told.certificate, "the self-signed one: no other is for the name");
}

#[test]
fn the_table_is_printed() {
    let compiled = world().compile();
    insta::assert_snapshot!(render::text(&compiled));
    insta::assert_json_snapshot!(render::json(&compiled));
}

#[test]
fn urls_are_read() {
    for wrong in ["ftp://a.com/", "", "http://", "/path", "https://user@a.com/"] {
        assert!(wrong.parse::<Question>().is_err(), "{wrong}");
    }
    let question: Question = "https://a.com:8443/b?c#d".parse().unwrap();
    assert_eq!((question.https, &*question.authority, &*question.path), (true, "a.com:8443", "/b"));
}

proptest! {
    /// What is said of single rules fits what is decided: the one that is taken matches, and those before it do not, unless
    /// they are less exact.
    #[test]
    fn the_reasons_fit_the_decision(
        rules in proptest::collection::btree_set((0..3_usize, "(/[ab]{1,2}){1,3}/?|/"), 1..6),
        path in "(/[ab]{1,2}){1,4}/?|/",
        spec in any::<bool>(),
    ) {
        let kinds = ["Exact", "Prefix", "ImplementationSpecific"];
        let rules: Vec<_> = rules.iter().map(|(kind, path)| (path.as_str(), kinds[*kind], "web")).collect();
        let mut world = World::new().ingress("x", &super::tests::rules("a.com", &rules));
        world.settings.path_matching = if spec { PathMatching::Spec } else { PathMatching::Nginx };
        let compiled = world.compile();
        let host = compiled.table.host("a.com");
        let told = explain(&compiled, &world.settings, &Question { https: false, authority: "a.com".into(), path: path.clone() });
        match host.decide(&path) {
            Decision::Route(route) => {
                prop_assert!(mismatch(route, path.as_bytes(), world.settings.path_matching).is_none(), "{}", told);
                prop_assert_eq!(told.rules.iter().filter(|rule| rule.taken).count(), 1);
            }
            Decision::Unmatched => prop_assert!(told.rules.iter().all(|rule| !rule.because.starts_with("matches")), "{}", told),
            Decision::AddSlash => prop_assert!(told.rules.iter().any(|rule| rule.because.starts_with("matches with")), "{}", told),
            Decision::Malformed => prop_assert!(false, "{}", told),
        }
    }
}
