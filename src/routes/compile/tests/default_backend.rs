//! 1.4: what answers where no rule does.

use super::super::fixtures::{World, rule, rules};
use crate::routes::findings::ObjectKey;

const WEB: &str = "defaultBackend: {service: {name: web, port: {number: 80}}}";

#[test]
fn default_1_4_without_rules_takes_everything() {
    let table = World::new()
        .annotated("all", "+/force-ssl-redirect: 'true', +/proxy-body-size: 2m", WEB)
        .ingress("one", &rules("a.com", &[("/x", "Prefix", "api")]))
        .compile();
    assert_eq!(table.goes("b.com", "/y"), "all>web 10.0.0.1:8080");
    assert_eq!(table.goes("a.com", "/x"), "one>api 10.0.0.2:8080");
    assert_eq!(table.goes("a.com", "/y"), "404", "a host with rules is not left");
    let options = &table.table.host("b.com").paths.routes()[0].options;
    assert_eq!(options.body_limit, Some(2 << 20), "annotations apply");
    assert!(!options.ssl_redirect && !options.force_ssl_redirect, "except redirects");
}

#[test]
fn default_1_4_with_rules_takes_the_root_of_its_hosts() {
    let both = [rule("a.com", &[("/x", "Prefix", "api")]), rule("b.com", &[("/", "Prefix", "api")])].join(", ");
    let table = World::new().ingress("mine", &format!("{WEB}, rules: [{both}]")).compile();
    assert_eq!(table.goes("a.com", "/x"), "mine>api 10.0.0.2:8080");
    assert_eq!(table.goes("a.com", "/y"), "mine>web 10.0.0.1:8080");
    assert_eq!(table.goes("b.com", "/y"), "mine>api 10.0.0.2:8080", "it has a root of its own");
    assert_eq!(table.goes("c.com", "/y"), "404");
    let table = World::new().ingress("mine", &format!("{WEB}, {}", rules("a.com", &[("/", "Exact", "api")]))).compile();
    assert_eq!(table.goes("a.com", "/"), "mine>api 10.0.0.2:8080");
    assert_eq!(table.goes("a.com", "/y"), "mine>web 10.0.0.1:8080", "an Exact root takes only itself");
}

#[test]
fn default_1_4_what_else_of_a_host_is_answered_is_for_its_first_ingress_to_say() {
    let younger = format!("{WEB}, {}", rules("a.com", &[("/y", "Prefix", "api")]));
    let compiled =
        World::new().ingress("z-first", &rules("a.com", &[("/x", "Prefix", "api")])).ingress("later", &younger).compile();
    assert_eq!(compiled.goes("a.com", "/y"), "later>api 10.0.0.2:8080");
    assert_eq!(compiled.goes("a.com", "/z"), "404");
    assert_eq!(compiled.codes(), ["later PathConflict"]);
    let words = "its default backend for host \"a.com\" is left out: Ingress default/z-first names it first";
    assert_eq!(compiled.findings[0].message, words);
    let compiled =
        World::new().ingress("z-first", &rules("a.com", &[("/", "Prefix", "api")])).ingress("later", &younger).compile();
    assert!(compiled.findings.is_empty(), "nothing else is left to answer");
}

#[test]
fn default_1_4_of_two_the_oldest_wins() {
    let ingress = |name: &str, created: &str, service: &str| {
        format!(
            "{{metadata: {{namespace: default, name: {name}, creationTimestamp: '{created}'}}, spec: {{ingressClassName: nginx, \
             defaultBackend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}}}"
        )
    };
    let table = World::new()
        .raw_ingress(&ingress("young", "2026-01-02T00:00:00Z", "web"))
        .raw_ingress(&ingress("old", "2026-01-01T00:00:00Z", "api"))
        .compile();
    assert_eq!(table.goes("a.com", "/"), "old>api 10.0.0.2:8080");
    assert_eq!(table.codes(), ["young PathConflict"]);
    assert!(table.findings[0].message.contains("Ingress default/old has it"), "{}", table.findings[0]);
}

#[test]
fn default_1_4_no_host_or_path_matches() {
    let world = World::new().ingress("x", &rules("a.com", &[("/x", "Prefix", "web")]));
    let compiled = world.compile();
    assert_eq!((compiled.goes("b.com", "/x"), compiled.goes("a.com", "/y")), ("404".to_owned(), "404".to_owned()));
    assert_eq!(compiled.table.default_backend, None);
    let compiled = world.with(|settings| settings.default_backend_service = Some(ObjectKey::new("default", "api"))).compile();
    let backend = compiled.table.backend(compiled.table.default_backend.unwrap()).unwrap();
    assert_eq!((&*backend.service, &*backend.port), ("api", "80"));
}

#[test]
fn default_1_4_a_missing_default_service_is_told() {
    let world = World::new().with(|settings| settings.default_backend_service = Some(ObjectKey::new("default", "none")));
    let compiled = world.compile();
    assert_eq!((compiled.table.default_backend, compiled.codes()), (None, vec!["none BackendServiceMissing".to_owned()]));
}

#[test]
fn default_1_4_catch_all_can_be_disabled() {
    let any = rules("", &[("/", "Prefix", "web")]);
    let table = World::new()
        .ingress("default", WEB)
        .ingress("any", &any)
        .ingress("both", &format!("{WEB}, {}", rules("a.com", &[("/x", "Prefix", "api")])))
        .with(|settings| settings.disable_catch_all = true)
        .compile();
    assert_eq!(table.goes("b.com", "/"), "any>web 10.0.0.1:8080", "a rule without host is not meant");
    assert_eq!(table.goes("a.com", "/x"), "any>web 10.0.0.1:8080", "its Ingress has a default backend, too");
    assert_eq!(table.codes(), ["both CatchAllDisabled", "default CatchAllDisabled"]);
}

#[test]
fn default_1_4_a_missing_service_or_port_is_503() {
    let paths = [("/a", "Prefix", "nobody"), ("/b", "Prefix", "web:81"), ("/c", "Prefix", "web:grpc"), ("/d", "Prefix", "web")];
    let table = World::new().ingress("x", &rules("a.com", &paths)).compile();
    for path in ["/a", "/b", "/c"] {
        assert!(table.goes("a.com", path).ends_with(" 503"), "{path}");
    }
    assert_eq!(table.goes("a.com", "/d"), "x>web 10.0.0.1:8080");
    assert_eq!(table.codes(), ["x BackendPortMissing", "x BackendPortMissing", "x BackendServiceMissing"]);
}

#[test]
fn default_1_4_no_ready_endpoint_is_503() {
    let table =
        World::new().service("idle", "ports: [{port: 80}]").ingress("x", &rules("a.com", &[("/", "Prefix", "idle")])).compile();
    assert_eq!(table.goes("a.com", "/"), "x>idle 503");
    assert!(table.findings.is_empty(), "pods come and go: that is no fault of the Ingress");
    assert!(!table.live("x"));
}

#[test]
fn default_1_4_a_resource_is_left_out() {
    let resource = "{apiGroup: example.com, kind: Bucket, name: files}";
    let path = format!("{{path: /x, pathType: Prefix, backend: {{resource: {resource}}}}}");
    let spec = format!("defaultBackend: {{resource: {resource}}}, rules: [{{host: a.com, http: {{paths: [{path}]}}}}]");
    let table = World::new().ingress("x", &spec).compile();
    assert_eq!(table.goes("a.com", "/x"), "404");
    assert_eq!(table.codes(), ["x BackendResource", "x BackendResource"]);
}
