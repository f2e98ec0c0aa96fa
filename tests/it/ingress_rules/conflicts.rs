//! 1.8: who gets what two want.

use serde_json::{Value, json};

use super::{Rule, annotations, rule};
use crate::support::table::{ingress, merge};

/// An Ingress of this second, in this namespace.
fn dated(object: Value, second: u8) -> Value {
    merge(object, json!({"metadata": {"creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")}}))
}

pub(super) fn rules() -> Vec<Rule> {
    vec![
        rule("s1_8_the_older_one_wins", || {
            let at = |name: &str, second, service: &str| dated(ingress(name, &[&format!("a.com / P {service}")]), second);
            vec![at("a", 2, "api"), at("b", 1, "web"), at("c", 3, "other")]
        })
        .told(&["a PathConflict", "c PathConflict"])
        .gets(&[("[a.com]/", "web")]),
        rule("s1_8_of_one_second_the_greater_name_wins", || {
            let at = |name: &str, service: &str| dated(ingress(name, &[&format!("a.com / P {service}")]), 1);
            vec![at("a", "api"), at("c", "web"), at("b", "other")]
        })
        .told(&["a PathConflict", "b PathConflict"])
        .gets(&[("[a.com]/", "web")]),
        rule("s1_8_the_same_host_path_and_type_is_a_conflict", || {
            vec![ingress("old", &["a.com /x P web"]), ingress("young", &["a.com /x P api", "a.com /y P api", "b.com /x P api"])]
        })
        .told(&["young PathConflict"])
        .gets(&[("[a.com]/x", "web"), ("[a.com]/y", "api"), ("[b.com]/x", "api")])
        .check(|serving| {
            Box::pin(async move {
                let message = &serving.compiled.findings[0].message;
                assert!(message.contains("Ingress default/old has it"), "{message}");
            })
        }),
        rule("s1_8_another_type_is_no_conflict", || {
            vec![ingress("old", &["a.com /x P web"]), ingress("young", &["a.com /x E api"])]
        })
        .gets(&[("[a.com]/x", "api"), ("[a.com]/x/y", "web")]),
        rule("s1_8_implementation_specific_is_the_type_prefix", || {
            vec![ingress("old", &["a.com /x P web"]), ingress("young", &["a.com /x I api"])]
        })
        .told(&["young PathConflict"])
        .gets(&[("[a.com]/x", "web")]),
        rule("s1_8_when_the_winner_goes_the_other_has_it", || {
            vec![ingress("old", &["a.com / P web"]), ingress("young", &["a.com / P api"])]
        })
        .told(&["young PathConflict"])
        .check(|serving| {
            Box::pin(async move {
                serving.change(vec![ingress("young", &["a.com / P api"])]).await;
                assert_eq!(serving.outcome("[a.com]/").await, "api");
            })
        }),
        rule("s1_8_settings_of_the_host_are_those_of_its_first_ingress", || {
            let tls = json!({"spec": {"tls": [{"hosts": ["a.com"]}]}});
            let off = annotations(&[("ssl-redirect", "false")]);
            vec![merge(ingress("old", &["a.com /x P web"]), off), merge(ingress("young", &["a.com /y P api"]), tls)]
        })
        .gets(&[("[a.com]/x", "web"), ("[a.com]/y", "308 https://a.com/y"), ("[a.com]/z", "404")]),
        rule("s1_8_a_canary_claims_nothing", || {
            let canary = annotations(&[("canary", "true"), ("canary-weight", "50")]);
            vec![merge(ingress("canary", &["a.com / P api", "b.com / P api"]), canary), ingress("main", &["a.com / P web"])]
        })
        .told(&["canary AnnotationRefused"])
        .gets(&[("[a.com]/", "web"), ("[b.com]/", "404")]),
    ]
}
