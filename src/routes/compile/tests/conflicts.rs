//! 1.8: who gets what two want.

use super::super::fixtures::{World, rule, rules};

fn dated(namespace: &str, name: &str, second: u8, spec: &str) -> String {
    format!(
        "{{metadata: {{namespace: {namespace}, name: {name}, creationTimestamp: '2026-01-01T00:00:0{second}Z'}}, \
         spec: {{ingressClassName: nginx, {spec}}}}}"
    )
}

fn winner(ingresses: &[(&str, &str, u8)]) -> String {
    let spec = rules("a.com", &[("/", "Prefix", "web")]);
    let mut world = World::new();
    for (namespace, name, second) in ingresses {
        world = world.raw_ingress(&dated(namespace, name, *second, &spec));
    }
    let compiled = world.compile();
    assert_eq!(compiled.codes().iter().filter(|code| code.ends_with("PathConflict")).count(), ingresses.len() - 1);
    let route = &compiled.table.host("a.com").paths.routes()[0];
    format!("{}/{}", route.namespace, route.ingress)
}

#[test]
fn conflict_1_8_the_older_wins() {
    assert_eq!(winner(&[("default", "a", 2), ("default", "b", 1), ("default", "c", 3)]), "default/b");
}

#[test]
fn conflict_1_8_of_one_second_the_greater_name_wins() {
    assert_eq!(winner(&[("default", "a", 1), ("default", "c", 1), ("default", "b", 1)]), "default/c");
    assert_eq!(winner(&[("b", "a", 1), ("a", "z", 1)]), "b/a");
    assert_eq!(winner(&[("a", "x", 1), ("a-b", "x", 1)]), "a/x", "names are compared with the slash between: `/` is above `-`");
}

#[test]
fn conflict_1_8_both_are_told_who_won() {
    let spec = rules("a.com", &[("/foo", "Exact", "web"), ("/foo", "Exact", "api")]);
    let compiled = World::new().ingress("x", &spec).compile();
    assert_eq!(compiled.goes("a.com", "/foo"), "x>web 10.0.0.1:8080");
    let message = &compiled.findings[0].message;
    assert_eq!(message, "path \"/foo\" (Exact) of host \"a.com\" is left out: an earlier rule of it has it, which comes first");
}

#[test]
fn conflict_1_8_another_type_is_no_conflict() {
    let compiled = World::new()
        .raw_ingress(&dated("default", "a", 1, &rules("a.com", &[("/foo", "Prefix", "web")])))
        .raw_ingress(&dated("default", "b", 2, &rules("a.com", &[("/foo", "Exact", "api")])))
        .compile();
    assert!(compiled.findings.is_empty());
    assert_eq!(compiled.goes("a.com", "/foo"), "b>api 10.0.0.2:8080");
    assert_eq!(compiled.goes("a.com", "/foo/x"), "a>web 10.0.0.1:8080");
}

#[test]
fn conflict_1_8_implementation_specific_is_prefix() {
    for path in ["/", "/foo"] {
        let compiled = World::new()
            .raw_ingress(&dated("default", "a", 1, &rules("a.com", &[(path, "ImplementationSpecific", "web")])))
            .raw_ingress(&dated("default", "b", 2, &rules("a.com", &[(path, "Prefix", "api")])))
            .compile();
        assert_eq!(compiled.goes("a.com", path), "a>web 10.0.0.1:8080", "or anybody could take a path by naming its type");
        assert_eq!(compiled.codes(), ["b PathConflict"]);
    }
}

#[test]
fn conflict_1_8_the_loser_keeps_its_other_paths() {
    let compiled = World::new()
        .raw_ingress(&dated("default", "a", 1, &rules("a.com", &[("/", "Prefix", "web")])))
        .raw_ingress(&dated("default", "b", 2, &rules("a.com", &[("/", "Prefix", "api"), ("/b", "Prefix", "api")])))
        .raw_ingress(&dated("default", "c", 3, &format!("rules: [{}]", rule("a.com", &[("/", "Prefix", "api")]))))
        .compile();
    assert_eq!(compiled.goes("a.com", "/b"), "b>api 10.0.0.2:8080");
    assert!(compiled.live("a") && compiled.live("b") && !compiled.live("c"), "nothing of c is in the table");
}
