//! 1.5: which Ingresses are ours. The first line that says anything decides.

use serde_json::{Value, json};

use super::{Rule, rule};
use crate::support::table::{class, ingress, merge};

/// An Ingress for `<name>.com` that names its class by the field, by the annotation, by both, or not at all.
fn of_class(name: &str, field: Option<&str>, annotation: Option<&str>) -> Value {
    let object = ingress(name, &[&format!("{name}.com / P web")]);
    let object = merge(object, json!({"spec": {"ingressClassName": field}}));
    match annotation {
        Some(class) => merge(object, json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": class}}})),
        None => object,
    }
}

fn foreign(name: &str) -> Value {
    merge(class(name), json!({"spec": {"controller": "example.com/other"}}))
}

pub(super) fn rules() -> Vec<Rule> {
    vec![
        rule("s1_5_1_the_field_names_a_class_of_our_controller", || {
            let objects = vec![of_class("a", Some("public"), None), of_class("b", Some("theirs"), None)];
            [objects, vec![of_class("c", Some("gone"), None), class("public"), foreign("theirs"), foreign("nginx")]].concat()
        })
        .gets(&[("[a.com]/", "web"), ("[b.com]/", "404"), ("[c.com]/", "404")]),
        rule("s1_5_1_the_name_alone_is_not_enough", || vec![of_class("a", Some("nginx"), None), foreign("nginx")])
            .gets(&[("[a.com]/", "404")]),
        rule("s1_5_1_our_class_is_missing", || vec![of_class("a", Some("nginx"), None), class("public")])
            .told(&["a IngressClassMissing"])
            .gets(&[("[a.com]/", "404")]),
        rule("s1_5_1_ingress_class_by_name", || {
            vec![of_class("a", Some("nginx"), None), of_class("b", Some("theirs"), None), foreign("nginx"), foreign("theirs")]
        })
        .set(|settings| settings.ingress_class_by_name = true)
        .gets(&[("[a.com]/", "web"), ("[b.com]/", "404")]),
        rule("s1_5_2_the_annotation", || vec![of_class("a", None, Some("nginx")), of_class("b", None, Some("other"))])
            .gets(&[("[a.com]/", "web"), ("[b.com]/", "404")]),
        rule("s1_5_2_the_annotation_needs_no_class", || vec![of_class("a", None, Some("inner")), foreign("inner")])
            .set(|settings| settings.ingress_class = "inner".to_owned())
            .gets(&[("[a.com]/", "web")]),
        rule("s1_5_1_the_field_decides_before_the_annotation", || {
            let ours = of_class("a", Some("nginx"), Some("other"));
            vec![ours, of_class("b", Some("theirs"), Some("nginx")), class("nginx"), foreign("theirs")]
        })
        .gets(&[("[a.com]/", "web"), ("[b.com]/", "404")]),
        rule("s1_5_3_neither", || vec![of_class("a", None, None)]).gets(&[("[a.com]/", "404")]),
        rule("s1_5_3_neither_and_watch_ingress_without_class", || {
            vec![
                of_class("a", None, None),
                of_class("b", None, Some("other")),
                of_class("c", Some("theirs"), None),
                foreign("theirs"),
            ]
        })
        .set(|settings| settings.watch_ingress_without_class = true)
        .gets(&[("[a.com]/", "web"), ("[b.com]/", "404"), ("[c.com]/", "404")]),
        rule("s1_5_several_default_classes_change_nothing", || {
            let default = json!({"metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}});
            let classes = [class("nginx"), foreign("theirs")].map(|class| merge(class, default.clone()));
            [vec![of_class("a", None, None), of_class("b", Some("nginx"), None)], classes.to_vec()].concat()
        })
        .gets(&[("[a.com]/", "404"), ("[b.com]/", "web")]),
        rule("s1_5_parameters_of_a_class_are_ignored", || {
            let parameters = json!({"spec": {"parameters": {"apiGroup": "example.com", "kind": "X", "name": "y"}}});
            vec![of_class("a", Some("nginx"), None), merge(class("nginx"), parameters)]
        })
        .gets(&[("[a.com]/", "web")]),
        rule("s1_5_class_changes_are_live", || vec![of_class("a", Some("later"), None), of_class("b", Some("theirs"), None)])
            .gets(&[("[a.com]/", "404"), ("[b.com]/", "404")])
            .check(|serving| {
                Box::pin(async move {
                    let both = |field| vec![of_class("a", Some("later"), None), of_class("b", Some(field), None)];
                    serving.change([both("later"), vec![class("later")]].concat()).await;
                    assert_eq!(
                        (serving.outcome("[a.com]/").await, serving.outcome("[b.com]/").await),
                        ("web".into(), "web".into())
                    );
                    serving.change([both("theirs"), vec![class("later")]].concat()).await;
                    assert_eq!(
                        (serving.outcome("[a.com]/").await, serving.outcome("[b.com]/").await),
                        ("web".into(), "404".into())
                    );
                    serving.change([both("later"), vec![class("nginx")]].concat()).await;
                    assert_eq!(
                        (serving.outcome("[a.com]/").await, serving.outcome("[b.com]/").await),
                        ("404".into(), "404".into())
                    );
                })
            }),
    ]
}
