//! The rules of `ingress.md` 1.3 to 1.10 that need no running proxy, each a test named after its section.

mod classes;
mod conflicts;
mod default_backend;
mod endpoints;
mod incremental;
mod options;
mod tls;

use proptest::prelude::*;

use super::fixtures::{World, rule, rules};

#[test]
fn hosts_1_3_do_not_fall_through() {
    let table = World::new()
        .ingress("exact", &rules("a.foo.com", &[("/only", "Prefix", "web")]))
        .ingress("wild", &rules("*.foo.com", &[("/", "Prefix", "api")]))
        .ingress("any", &rules("", &[("/", "Prefix", "api")]))
        .compile();
    assert_eq!(table.goes("a.foo.com", "/only"), "exact>web 10.0.0.1:8080");
    assert_eq!(table.goes("a.foo.com", "/x"), "404");
    assert_eq!(table.goes("b.foo.com", "/x"), "wild>api 10.0.0.2:8080");
    assert_eq!(table.goes("c.b.foo.com", "/x"), "any>api 10.0.0.2:8080");
    assert_eq!(table.goes("", "/x"), "any>api 10.0.0.2:8080");
    assert!(table.findings.is_empty(), "{:?}", table.findings);
}

#[test]
fn hosts_1_3_rules_of_several_ingresses_are_merged() {
    let table = World::new()
        .ingress("one", &rules("a.com", &[("/", "Prefix", "web")]))
        .ingress("two", &rules("A.com", &[("/api", "Prefix", "api")]))
        .compile();
    assert_eq!(table.goes("a.com", "/x"), "one>web 10.0.0.1:8080");
    assert_eq!(table.goes("a.com", "/api/x"), "two>api 10.0.0.2:8080");
}

#[test]
fn hosts_1_3_a_rule_without_http_leads_to_the_default_backend() {
    let table =
        World::new().ingress("bare", "rules: [{host: a.com}]").ingress("any", &rules("", &[("/", "Prefix", "web")])).compile();
    assert_eq!(table.goes("a.com", "/"), "404", "and not to the host that takes all others");
    assert_eq!(table.goes("b.com", "/"), "any>web 10.0.0.1:8080");
}

#[test]
fn hosts_1_3_what_is_no_host_is_left_out() {
    for host in ["*", "*.", "*.*.a.com", "a.*.com", "192.0.2.1", "-a.com", "a..com", "a.com:80", "a_b.com", "a.com."] {
        let both = format!("rules: [{}, {}]", rule(host, &[("/", "Prefix", "web")]), rule("ok.com", &[("/", "Prefix", "web")]));
        let table = World::new().ingress("x", &both).compile();
        assert_eq!(table.codes(), ["x HostInvalid"], "{host}");
        assert_eq!(table.goes("ok.com", "/"), "x>web 10.0.0.1:8080");
        assert_eq!(table.goes(host, "/"), "404");
    }
}

#[test]
fn paths_1_2_are_validated() {
    for (path_type, path, fine) in [
        ("Exact", "/a-Z_0.9/x", true),
        ("Prefix", "/a b", false),
        ("Prefix", "/a(.*)", false),
        ("Exact", "/ä", false),
        ("Prefix", "a", false),
        ("Prefix", "", false),
        ("Exact", "/a//b", false),
        ("Prefix", "/a/../b", false),
        ("ImplementationSpecific", "/a(.*)$", true),
        ("ImplementationSpecific", "", true),
        ("ImplementationSpecific", "a", false),
        ("Regex", "/a", false),
    ] {
        let both = rules("a.com", &[(path, path_type, "web"), ("/fine", "Prefix", "web")]);
        let table = World::new().ingress("x", &both).compile();
        let expected: &[&str] = if fine { &[] } else { &["x PathInvalid"] };
        assert_eq!(table.codes(), expected, "{path_type} {path:?}");
        assert_eq!(table.goes("a.com", "/fine") != "404", fine, "{path_type} {path:?}: one bad path drops its Ingress");
        assert_eq!(table.ingresses[0].refused, !fine);
    }
    let loose =
        World::new().config("strict-validate-path-type", "false").ingress("x", &rules("a.com", &[("/a b", "Exact", "web")]));
    assert_eq!(loose.compile().goes("a.com", "/a%20b"), "x>web 10.0.0.1:8080");
}

#[test]
fn one_bad_ingress_harms_nobody_else() {
    let table = World::new()
        .ingress("bad", &rules("b.com", &[("nonsense", "Nonsense", "nobody:nothing")]))
        .raw_ingress("{metadata: {}}")
        .raw_ingress("{metadata: {name: empty, namespace: default}, spec: {ingressClassName: nginx}}")
        .ingress("good", &rules("a.com", &[("/", "Prefix", "web")]))
        .compile();
    assert_eq!(table.goes("a.com", "/"), "good>web 10.0.0.1:8080");
    assert_eq!(table.codes(), ["bad PathInvalid"]);
    assert!(table.live("good") && !table.live("bad") && !table.live("empty"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_path_and_host_compile(
        hosts in proptest::collection::vec("(\\*\\.)?[a-b*.\u{e4}-]{0,8}|\\PC{0,12}", 1..4),
        paths in proptest::collection::vec("/?[a-b/.%2()\u{e4} ]{0,8}|\\PC{0,12}", 1..4),
        kind in 0..4_usize,
        spec in any::<bool>(),
        request in "\\PC{0,20}",
    ) {
        let mut world = World::new().config("strict-validate-path-type", "false");
        world.settings.path_matching = if spec { crate::routes::options::PathMatching::Spec } else { Default::default() };
        world = world.ingress("x", &rules("placeholder", &[("/", "Prefix", "web")]));
        let mut ingress = (*world.ingresses[0]).clone();
        let ingress_rules = ingress.spec.as_mut().unwrap().rules.as_mut().unwrap();
        let template = ingress_rules.remove(0);
        for host in &hosts {
            let mut rule = template.clone();
            rule.host = Some(host.clone());
            let http = rule.http.as_mut().unwrap();
            let one = http.paths.remove(0);
            http.paths = paths.iter().map(|path| {
                let mut one = one.clone();
                one.path = Some(path.clone());
                one.path_type = ["Exact", "Prefix", "ImplementationSpecific", "?"][kind].to_owned();
                one
            }).collect();
            ingress_rules.push(rule);
        }
        world.ingresses[0] = std::sync::Arc::new(ingress);
        let table = world.compile();
        for host in &hosts {
            for path in paths.iter().chain([&request]) {
                table.goes(host, path);
            }
        }
    }
}
