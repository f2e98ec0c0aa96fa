//! 1.5: which Ingresses are ours.

use super::super::fixtures::{World, yaml};
use super::super::{NotOurs, referenced_secrets};
use crate::routes::findings::ObjectKey;

const BACKEND: &str = "defaultBackend: {service: {name: web, port: {number: 80}}}";

fn world(field: Option<&str>, annotation: Option<&str>) -> World {
    let annotation = annotation.map(|class| format!("annotations: {{kubernetes.io/ingress.class: {class}}}")).unwrap_or_default();
    let field = field.map(|class| format!("ingressClassName: {class}, ")).unwrap_or_default();
    World::new().raw_ingress(&format!("{{metadata: {{namespace: default, name: x, {annotation}}}, spec: {{{field}{BACKEND}}}}}"))
}

fn is_served(world: &World) -> bool {
    world.compile().goes("a.com", "/") != "404"
}

#[test]
fn class_1_5_the_field_decides_by_the_controller() {
    assert!(is_served(&world(Some("nginx"), None)));
    assert!(is_served(&world(Some("nginx"), Some("other"))), "the field comes before the annotation");
    let other = "{metadata: {name: other}, spec: {controller: example.com/other}}";
    let mut foreign = world(Some("other"), Some("nginx"));
    foreign.classes.push(yaml(other));
    assert!(!is_served(&foreign));
    let compiled = foreign.compile();
    assert_eq!(compiled.foreign, [(ObjectKey::new("default", "x"), NotOurs::OtherController("other".to_owned()))]);
    assert!(compiled.findings.is_empty() && compiled.ingresses.is_empty(), "what is not ours is not judged");
    let ours = "{metadata: {name: mine}, spec: {controller: k8s.io/ingress-nginx}}";
    let mut renamed = world(Some("mine"), None);
    renamed.classes = vec![yaml(ours)];
    assert!(is_served(&renamed), "the name of the class plays no part");
}

#[test]
fn class_1_5_a_class_that_comes_later_makes_waiting_ingresses_valid() {
    let mut world = world(Some("nginx"), None);
    let class = world.classes.pop().unwrap();
    assert!(!is_served(&world));
    assert_eq!(world.compile().codes(), ["x IngressClassMissing"]);
    world.classes.push(class);
    assert!(is_served(&world));
}

#[test]
fn class_1_5_an_unknown_class_of_somebody_is_not_told() {
    let compiled = world(Some("alb"), None).compile();
    assert!(compiled.findings.is_empty());
    assert_eq!(compiled.foreign[0].1, NotOurs::NoSuchClass("alb".to_owned()));
}

#[test]
fn class_1_5_by_name() {
    let mut by_name = world(Some("nginx"), None);
    by_name.classes = vec![yaml("{metadata: {name: nginx}, spec: {controller: example.com/other}}")];
    assert!(!is_served(&by_name));
    assert!(is_served(&by_name.with(|settings| settings.ingress_class_by_name = true)));
}

#[test]
fn class_1_5_the_annotation_decides_next() {
    assert!(is_served(&world(None, Some("nginx"))));
    assert!(!is_served(&world(None, Some("other"))));
    assert!(!is_served(&world(None, Some("other")).with(|settings| settings.watch_ingress_without_class = true)));
    assert!(is_served(&world(None, Some("other")).with(|settings| settings.ingress_class = "other".to_owned())));
}

#[test]
fn class_1_5_neither() {
    assert!(!is_served(&world(None, None)));
    assert!(is_served(&world(None, None).with(|settings| settings.watch_ingress_without_class = true)));
}

#[test]
fn only_secrets_of_our_ingresses_are_referenced() {
    let world = World::new()
        .ingress("a", "tls: [{hosts: [a.com], secretName: one}, {secretName: two}, {hosts: [b.com]}]")
        .raw_ingress("{metadata: {namespace: default, name: b}, spec: {ingressClassName: alb, tls: [{secretName: three}]}}")
        .with(|settings| settings.default_ssl_certificate = Some(ObjectKey::new("infra", "default")));
    let names: Vec<String> =
        referenced_secrets(&world.ingresses, &world.classes, &world.settings).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["default/one", "default/two", "infra/default"]);
}
