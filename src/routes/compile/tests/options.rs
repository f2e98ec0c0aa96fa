//! 1.10 and 2.3 to 2.7: annotations and ConfigMap.

use super::super::fixtures::{World, rules};
use crate::routes::findings::Severity;
use crate::routes::options::RouteOptions;

fn root() -> String {
    rules("a.com", &[("/", "Prefix", "web")])
}

fn options(world: &World) -> RouteOptions {
    (*world.compile().table.host("a.com").paths.routes()[0].options).clone()
}

#[test]
fn annotations_win_over_the_config_map_and_that_over_defaults() {
    let world = World::new().config("proxy-body-size", "5m").config("proxy-read-timeout", "30").annotated(
        "x",
        "+/proxy-body-size: '0', +/force-ssl-redirect: 'true', +/proxy-next-upstream-tries: '5'",
        &root(),
    );
    let expected = RouteOptions {
        body_limit: None,
        read_timeout: std::time::Duration::from_secs(30),
        force_ssl_redirect: true,
        tries: 5,
        ..RouteOptions::default()
    };
    assert_eq!(options(&world), expected);
    let compiled = world.compile();
    assert!(compiled.findings.is_empty(), "{:?}", compiled.findings);
    assert_eq!(compiled.ingresses[0].annotated, ["force-ssl-redirect", "proxy-body-size", "proxy-next-upstream-tries"]);
    assert!(compiled.table.host("a.com").options.redirect_unmatched, "forced, without any certificate");
}

#[test]
fn a_bad_value_is_the_default_and_told() {
    let world = World::new().annotated("x", "+/proxy-body-size: lots, +/ssl-redirect: 'yes', +/proxy-read-timeout: 5s", &root());
    assert_eq!(options(&world), RouteOptions::default());
    assert_eq!(world.compile().codes(), ["x AnnotationValueIgnored", "x AnnotationValueIgnored", "x AnnotationValueIgnored"]);
    assert_eq!(world.compile().findings[0].severity, Severity::Warning);
}

#[test]
fn what_is_not_supported_is_told_once_and_served_without() {
    let world = World::new().annotated("x", "+/rewrite-target: /, +/enable-cors: 'true', +/backend-protocol: http", &root());
    let compiled = world.compile();
    assert_eq!(compiled.goes("a.com", "/"), "x>web 10.0.0.1:8080");
    assert_eq!(compiled.codes(), ["x AnnotationsNotSupported"]);
    assert!(
        compiled.findings[0].message.starts_with("served without `enable-cors`, `rewrite-target`, which"),
        "{}",
        compiled.findings[0]
    );
    let other = World::new().annotated("x", "example.com/auth-url: a, +/backend-protocol: HTTP", &root()).compile();
    assert!(other.findings.is_empty(), "only our prefix is judged");
}

#[test]
fn what_protects_and_is_not_supported_closes_the_paths() {
    for key in [
        "auth-type",
        "auth-url",
        "auth-tls-secret",
        "whitelist-source-range",
        "allowlist-source-range",
        "denylist-source-range",
        "configuration-snippet",
        "server-snippet",
        "enable-modsecurity",
        "satisfy",
        "limit-rps",
        "limit-whitelist",
    ] {
        let compiled = World::new()
            .annotated("closed", &format!("+/{key}: 'true'"), &rules("a.com", &[("/admin", "Prefix", "web")]))
            .ingress("open", &root())
            .compile();
        assert_eq!(compiled.goes("a.com", "/admin/x"), "closed>web 503", "{key}: not to the open one beside it");
        assert_eq!(compiled.goes("a.com", "/x"), "open>web 10.0.0.1:8080");
        assert_eq!(compiled.codes(), ["closed AnnotationRefused"], "{key}");
        assert!(compiled.findings[0].message.contains(&format!("`{key}`")), "{}", compiled.findings[0]);
        assert!(compiled.ingresses.iter().any(|state| state.refused) && !compiled.live("closed"));
    }
    let off = World::new().annotated("x", "+/enable-modsecurity: 'false'", &root()).compile();
    assert_eq!(off.codes(), ["x AnnotationsNotSupported"]);
}

#[test]
fn a_list_of_sources_that_admits_everybody_protects_nothing() {
    let codes =
        |list: &str| World::new().annotated("x", &format!("+/whitelist-source-range: '{list}'"), &root()).compile().codes();
    assert_eq!(codes("0.0.0.0/0,::/0"), Vec::<String>::new(), "cert-manager sets it on its Ingress for a challenge");
    assert_eq!(codes("10.0.0.0/8, ::/0 , 0.0.0.0/0"), Vec::<String>::new());
    for one_family in ["0.0.0.0/0", "::/0", "10.0.0.0/8", ""] {
        assert_eq!(codes(one_family), ["x AnnotationRefused"], "{one_family}");
    }
}

#[test]
fn a_canary_takes_no_traffic() {
    let compiled =
        World::new().ingress("main", &root()).annotated("z-canary", "+/canary: 'true', +/canary-weight: '5'", &root()).compile();
    assert_eq!(compiled.goes("a.com", "/"), "main>web 10.0.0.1:8080", "though its name would come first");
    assert_eq!(compiled.codes(), ["z-canary AnnotationRefused"]);
}

#[test]
fn keys_of_the_config_map_are_judged() {
    let world = World::new()
        .config("http-redirect-code", "301")
        .config("worker-processes", "4")
        .config("use-http2", "maybe")
        .config("whitelist-source-range", "10.0.0.0/8");
    let compiled = world.with(|settings| settings.config_map = Some("infra/nginx".parse().unwrap())).compile();
    assert_eq!(compiled.table.global.http_redirect_code, 301);
    assert!(compiled.table.global.use_http2);
    assert_eq!(compiled.codes(), ["nginx OptionIgnored", "nginx OptionIgnored", "nginx OptionNotEnforced"]);
    assert!(compiled.configured.iter().eq(["http-redirect-code"]));
}

#[test]
fn keys_of_the_config_map_that_protect_are_errors_unless_they_are_off() {
    let codes = |key: &str, value: &str| {
        let world = World::new().config(key, value).with(|settings| settings.config_map = Some("infra/nginx".parse().unwrap()));
        world.compile().findings.iter().map(|finding| (finding.code, finding.message.clone())).collect::<Vec<_>>()
    };
    for (key, value) in [
        ("add-headers", "infra/security-headers"),
        ("annotation-value-word-blocklist", "load_module,lua_package"),
        ("annotations-risk-level", "Low"),
        ("block-cidrs", "192.0.2.0/24"),
        ("block-referers", "~*spam"),
        ("block-user-agents", "~*bot"),
        ("denylist-source-range", "192.0.2.0/24"),
        ("enable-modsecurity", "true"),
        ("enable-owasp-modsecurity-crs", "true"),
        ("global-auth-url", "http://auth.example.com"),
        ("hide-headers", "X-Powered-By"),
        ("http-snippet", "deny all;"),
        ("limit-rate", "1024"),
        ("location-snippet", "deny all;"),
        ("main-snippet", "x"),
        ("modsecurity-snippet", "SecRuleEngine On"),
        ("proxy-set-headers", "infra/headers"),
        ("server-snippet", "deny all;"),
        ("ssl-ciphers", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("ssl-ecdh-curve", "secp384r1"),
        ("ssl-protocols", "TLSv1.3"),
        ("ssl-reject-handshake", "true"),
        ("whitelist-source-range", "10.0.0.0/8"),
    ] {
        let told = codes(key, value);
        assert!(matches!(&told[..], [(code, text)] if *code == "OptionNotEnforced" && text.contains(key)), "{key}: {told:?}");
        assert_eq!(codes(key, ""), [], "{key}");
    }
    for (key, value) in [
        ("allow-snippet-annotations", "false"),
        ("enable-modsecurity", "false"),
        ("server-tokens", "false"),
        ("whitelist-source-range", "0.0.0.0/0,::/0"),
    ] {
        assert_eq!(codes(key, value), [], "{key}: {value}");
    }
    assert_eq!(codes("allow-snippet-annotations", "true")[0].0, "OptionIgnored");
}

#[test]
fn redirects_of_the_first_ingress_hold_for_unmatched_paths() {
    let tls = format!("tls: [{{hosts: [a.com]}}], {}", rules("a.com", &[("/x", "Prefix", "web")]));
    let redirects = |annotations: &str| {
        World::new().annotated("x", annotations, &tls).compile().table.host("a.com").options.redirect_unmatched
    };
    assert!(redirects(""));
    assert!(!redirects("+/ssl-redirect: 'false'"));
    assert!(redirects("+/ssl-redirect: 'false', +/force-ssl-redirect: 'true'"));
}
