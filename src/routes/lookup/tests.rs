//! The tables of `ingress.md`, row by row: 1.1 is the Ingress API's, 1.2 what ingress-nginx does.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::routes::options::HostOptions;

const EXACT: PathType = PathType::Exact;
const PREFIX: PathType = PathType::Prefix;
const OTHER: PathType = PathType::ImplementationSpecific;

fn rule(path_type: PathType, path: &str) -> Route {
    Route {
        namespace: "default".into(),
        ingress: "web".into(),
        path: path.into(),
        path_type,
        service: "web".into(),
        service_port: "80".into(),
        backend: None,
        options: Arc::default(),
    }
}

fn host_of(name: &str, rules: &[(PathType, &str)], matching: PathMatching) -> Host {
    let routes = rules.iter().map(|(path_type, path)| rule(*path_type, path)).collect();
    Host { name: name.into(), options: HostOptions::default(), paths: Paths::new(routes, matching) }
}

/// `Exact /foo` and so on for a rule, `+/` for the redirect, `-` for none, `400`.
fn decision(host: &Host, path: &str) -> String {
    match host.decide(path) {
        Decision::Route(route) => format!("{:?} {}", route.path_type, route.path),
        Decision::AddSlash => "+/".to_owned(),
        Decision::Unmatched => "-".to_owned(),
        Decision::Malformed => "400".to_owned(),
    }
}

macro_rules! rows {
    ($($name:ident: $matching:ident [$($type:ident $rule:literal),*] $($request:literal => $expected:literal),+;)*) => {
        $(#[test]
        fn $name() {
            let host = host_of("_", &[$(($type, $rule)),*], PathMatching::$matching);
            $(assert_eq!(decision(&host, $request), $expected, "request for {}", $request);)+
        })*
    };
}

mod specification_1_1 {
    use super::*;

    rows! {
        row_01_prefix_root_takes_all: Spec [PREFIX "/"] "/" => "Prefix /", "/x" => "Prefix /", "/x/y/" => "Prefix /";
        row_02_exact: Spec [EXACT "/foo"] "/foo" => "Exact /foo", "/bar" => "-", "/foo/" => "-", "/FOO" => "-";
        row_03_exact_with_slash_is_not_without: Spec [EXACT "/foo/"] "/foo/" => "Exact /foo/", "/foo" => "-";
        row_04_prefix_goes_by_elements: Spec [PREFIX "/foo"]
            "/foo" => "Prefix /foo", "/foo/" => "Prefix /foo", "/foo/x" => "Prefix /foo", "/foobar" => "-", "/FOO" => "-";
        row_05_trailing_slash_of_a_prefix_is_ignored: Spec [PREFIX "/foo/"] "/foo" => "Prefix /foo/", "/foo/" => "Prefix /foo/";
        row_06_part_of_an_element_is_none: Spec [PREFIX "/aaa/bb"] "/aaa/bbb" => "-";
        row_07_elements_below_match: Spec [PREFIX "/aaa/bbb"]
            "/aaa/bbb" => "Prefix /aaa/bbb", "/aaa/bbb/" => "Prefix /aaa/bbb", "/aaa/bbb/ccc" => "Prefix /aaa/bbb",
            "/aaa/bbbxyz" => "-";
        row_08_trailing_slash_below: Spec [PREFIX "/aaa/bbb/"] "/aaa/bbb" => "Prefix /aaa/bbb/";
        row_09_the_longer_of_two: Spec [PREFIX "/", PREFIX "/aaa"] "/aaa/ccc" => "Prefix /aaa";
        row_10_the_longest_of_three: Spec [PREFIX "/", PREFIX "/aaa", PREFIX "/aaa/bbb"]
            "/aaa/bbb" => "Prefix /aaa/bbb", "/ccc" => "Prefix /";
        row_11_nothing_matches: Spec [PREFIX "/aaa"] "/ccc" => "-";
        row_12_exact_before_prefix: Spec [PREFIX "/foo", EXACT "/foo"] "/foo" => "Exact /foo", "/foo/" => "Prefix /foo";
        row_13_with_and_without_slash: Spec [PREFIX "/foo", PREFIX "/foo/"] "/foo/" => "Prefix /foo/", "/foo/x" => "Prefix /foo/";
        implementation_specific_is_a_prefix: Spec [OTHER "/foo"] "/foo" => "ImplementationSpecific /foo",
            "/foo/x" => "ImplementationSpecific /foo", "/foobar" => "-";
        exact_keeps_its_path_from_a_prefix_with_slash: Spec [PREFIX "/foo/", EXACT "/foo"]
            "/foo" => "Exact /foo", "/foo/" => "Prefix /foo/";
    }
}

/// What 1.1 says, as far as nginx's ways do not differ from it.
mod specification_1_1_by_nginx {
    use super::*;

    rows! {
        row_01: Nginx [PREFIX "/"] "/" => "Prefix /", "/x" => "Prefix /", "/x/y/" => "Prefix /";
        row_02: Nginx [EXACT "/foo"] "/foo" => "Exact /foo", "/bar" => "-", "/foo/" => "-", "/FOO" => "-";
        row_03_differs: Nginx [EXACT "/foo/"] "/foo" => "+/";
        row_04: Nginx [PREFIX "/foo"]
            "/foo" => "Prefix /foo", "/foo/" => "Prefix /foo", "/foo/x" => "Prefix /foo", "/foobar" => "-", "/FOO" => "-";
        row_05_differs: Nginx [PREFIX "/foo/"] "/foo" => "+/", "/foo/" => "Prefix /foo/";
        row_06: Nginx [PREFIX "/aaa/bb"] "/aaa/bbb" => "-";
        row_07: Nginx [PREFIX "/aaa/bbb"] "/aaa/bbb" => "Prefix /aaa/bbb", "/aaa/bbb/" => "Prefix /aaa/bbb",
            "/aaa/bbb/ccc" => "Prefix /aaa/bbb", "/aaa/bbbxyz" => "-";
        row_08_differs: Nginx [PREFIX "/aaa/bbb/"] "/aaa/bbb" => "+/";
        row_09: Nginx [PREFIX "/", PREFIX "/aaa"] "/aaa/ccc" => "Prefix /aaa";
        row_10: Nginx [PREFIX "/", PREFIX "/aaa", PREFIX "/aaa/bbb"] "/aaa/bbb" => "Prefix /aaa/bbb", "/ccc" => "Prefix /";
        row_11: Nginx [PREFIX "/aaa"] "/ccc" => "-";
        row_12: Nginx [PREFIX "/foo", EXACT "/foo"] "/foo" => "Exact /foo", "/foo/" => "Prefix /foo";
        row_13: Nginx [PREFIX "/foo", PREFIX "/foo/"] "/foo/" => "Prefix /foo/", "/foo" => "Prefix /foo";
    }
}

mod nginx_1_2 {
    use super::*;

    rows! {
        row_1_exact: Nginx [EXACT "/foo"] "/foo" => "Exact /foo", "/foo/" => "-", "/foobar" => "-";
        row_2_exact_with_slash_redirects: Nginx [EXACT "/foo/"] "/foo" => "+/", "/foo/" => "Exact /foo/", "/foo/x" => "-";
        row_3_prefix_root: Nginx [PREFIX "/"] "/" => "Prefix /", "/foo" => "Prefix /";
        row_4_prefix: Nginx [PREFIX "/foo"]
            "/foo" => "Prefix /foo", "/foo/" => "Prefix /foo", "/foo/x" => "Prefix /foo", "/foobar" => "-";
        row_5_prefix_with_slash_redirects: Nginx [PREFIX "/foo/", PREFIX "/"]
            "/foo" => "+/", "/foo/" => "Prefix /foo/", "/foo/x" => "Prefix /foo/", "/foobar" => "Prefix /";
        row_6_prefix_and_exact: Nginx [PREFIX "/foo", EXACT "/foo"]
            "/foo" => "Exact /foo", "/foo/" => "Prefix /foo", "/foo/x" => "Prefix /foo";
        row_7_implementation_specific_is_prefix: Nginx [OTHER "/foo"] "/foo" => "ImplementationSpecific /foo",
            "/foobar" => "-", "/foo/x" => "ImplementationSpecific /foo", "/fo" => "-";

        the_redirect_yields_to_a_location_of_that_path: Nginx [PREFIX "/foo/", EXACT "/foo"] "/foo" => "Exact /foo";
        the_redirect_yields_to_a_prefix_of_that_path: Nginx [PREFIX "/foo/", OTHER "/foo"]
            "/foo" => "ImplementationSpecific /foo", "/foo/x" => "Prefix /foo/", "/foox" => "-";
        implementation_specific_with_slash_redirects_too: Nginx [OTHER "/foo/"]
            "/foo" => "+/", "/foo/x" => "ImplementationSpecific /foo/";
        a_path_that_ends_in_two_slashes_is_never_redirected_to: Nginx [OTHER "/foo//", PREFIX "/foo"] "/foo/" => "Prefix /foo";
        the_root_does_not_redirect: Nginx [EXACT "/"] "/" => "Exact /", "/x" => "-";
        the_path_is_normalised_first: Nginx [PREFIX "/foo", EXACT "/a b"]
            "/x/../foo//y" => "Prefix /foo", "/%66oo" => "Prefix /foo", "/foo/../bar" => "-", "/a%20b" => "Exact /a b",
            "/foo%2Fx" => "Prefix /foo", "/../foo" => "400", "/foo%zz" => "400";
        the_redirect_goes_by_the_normalised_path: Nginx [PREFIX "/foo/"] "//foo" => "+/", "/foo/." => "Prefix /foo/";
        longer_chains_are_walked_up: Nginx [PREFIX "/a", PREFIX "/a/b", PREFIX "/a/b/c", PREFIX "/a/b/c/x", PREFIX "/a/b/d"]
            "/a/b/c/w" => "Prefix /a/b/c", "/a/b/d/z" => "Prefix /a/b/d", "/a/b/z" => "Prefix /a/b", "/a/c" => "Prefix /a",
            "/b" => "-";
    }
}

fn table(names: &[&str]) -> Hosts {
    let host = |name: &str| Arc::new(host_of(name, &[], PathMatching::Nginx));
    let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
    for name in names {
        match name.strip_prefix("*.") {
            Some(suffix) => wildcard.insert(suffix.into(), host(name)),
            None => exact.insert((*name).into(), host(name)),
        };
    }
    Hosts { exact, wildcard, default: host("_") }
}

#[test]
fn hosts_1_3_exact_then_wildcard_then_default() {
    let hosts = table(&["a.foo.com", "*.foo.com", "*.a.foo.com", "foo.com", "host_1.example"]);
    let long = format!("{}.foo.com", "a".repeat(300));
    for (authority, expected) in [
        ("a.foo.com", "a.foo.com"),
        ("b.foo.com", "*.foo.com"),
        ("c.b.foo.com", "_"),
        ("b.a.foo.com", "*.a.foo.com"),
        ("foo.com", "foo.com"),
        (".foo.com", "_"),
        ("b c.foo.com", "_"),
        ("b_-9.foo.com", "*.foo.com"),
        ("bar.com", "_"),
        ("A.Foo.COM", "a.foo.com"),
        ("B.FOO.com:8443", "*.foo.com"),
        ("a.foo.com:80", "a.foo.com"),
        ("a.foo.com.", "a.foo.com"),
        ("a.foo.com.:80", "a.foo.com"),
        ("a.foo.com..", "_"),
        ("host_1.example", "host_1.example"),
        ("192.0.2.1:80", "_"),
        ("[2001:db8::1]:443", "_"),
        ("[2001:db8::1]", "_"),
        ("", "_"),
        (":", "_"),
        ("é.foo.com", "_"),
        (&long, "_"),
    ] {
        assert_eq!(&*hosts.find(authority).name, expected, "{authority}");
    }
    assert_eq!(host_name("[2001:db8::1]:443"), "[2001:db8::1]");
    assert_eq!(host_name("[2001:db8::1]"), "[2001:db8::1]");
}

/// The rules one by one, as 1.1 and 1.2 tell them (but for ImplementationSpecific, which is served as Prefix): what the compiled form must agree with.
fn referee(rules: &[(PathType, &str)], path: &str, matching: PathMatching) -> String {
    let mut rules: Vec<_> = rules.to_vec();
    rules.sort_by_key(|(path_type, rule)| (std::cmp::Reverse(rule.len()), *path_type));
    let show = |(path_type, rule): &(PathType, &str)| format!("{path_type:?} {rule}");
    let by_elements = |rule: &str| {
        let rule = rule.strip_suffix('/').unwrap_or(rule);
        path == rule || path.strip_prefix(rule).is_some_and(|rest| rest.starts_with('/'))
    };
    if let Some(exact) = rules.iter().find(|(path_type, rule)| *path_type == EXACT && *rule == path) {
        return show(exact);
    }
    let spec = matching == PathMatching::Spec;
    if !spec && let Some(same) = rules.iter().find(|(_, rule)| *rule == path) {
        return show(same);
    }
    let takes = |(path_type, rule): &&(PathType, &str)| {
        *path_type != EXACT && by_elements(rule) && (spec || path != rule.trim_end_matches('/'))
    };
    if !spec && rules.iter().any(|(_, rule)| rule.strip_suffix('/').is_some_and(|bare| bare == path)) {
        return "+/".to_owned();
    }
    let length = |(path_type, rule): &&(PathType, &str)| (rule.len(), std::cmp::Reverse(*path_type));
    rules.iter().filter(takes).max_by_key(length).map_or_else(|| "-".to_owned(), show)
}

proptest! {
    #[test]
    fn the_compiled_rules_agree_with_the_rules_one_by_one(
        rules in proptest::collection::btree_set((0..3_usize, "(/[ab]{1,2}){1,3}/?|/"), 0..8),
        path in "(/[ab]{1,2}){1,4}/?|/",
        spec in any::<bool>(),
    ) {
        let rules: Vec<_> = rules.iter().map(|(kind, path)| ([EXACT, PREFIX, OTHER][*kind], path.as_str())).collect();
        let matching = if spec { PathMatching::Spec } else { PathMatching::Nginx };
        prop_assert_eq!(decision(&host_of("_", &rules, matching), &path), referee(&rules, &path, matching), "{:?}", rules);
    }

    #[test]
    fn any_authority_has_a_host(authority in "\\PC{0,40}", suffix in "(:[0-9]{0,5})?") {
        let hosts = table(&["a.foo.com", "*.foo.com"]);
        let _ = hosts.find(&format!("{authority}{suffix}"));
        prop_assert_eq!(&*hosts.find(&format!("a.foo.com{suffix}")).name, "a.foo.com");
    }
}
