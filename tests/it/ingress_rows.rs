//! Which rule takes which path, row by row, against a running proxy: real sockets, real requests, no cluster.
//!
//! Rows are named after what they say: first the API's own (`--path-matching spec`), then those of ingress-nginx (the default).
//! Rules are lines of `table::ingress`; each Service `x` is a program that answers `x`. Neighbour: `ingress_rules`, for the
//! rest of what is said of Ingresses.

use landfall::routes::options::PathMatching;
use libtest_mimic::Trial;

use crate::support::fixture::block_on;
use crate::support::serving::Serving;
use crate::support::table;

/// A row: its name, its rules, and what requests get, in the words of `Serving::outcome`.
struct Row {
    name: &'static str,
    matching: PathMatching,
    rules: &'static [&'static str],
    requests: &'static [(&'static str, &'static str)],
}

const fn spec(name: &'static str, rules: &'static [&'static str], requests: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, matching: PathMatching::Spec, rules, requests }
}

const fn nginx(name: &'static str, rules: &'static [&'static str], requests: &'static [(&'static str, &'static str)]) -> Row {
    Row { name, matching: PathMatching::Nginx, rules, requests }
}

const ROWS: &[Row] = &[
    // The API's table (Kubernetes, Ingress, "Examples").
    spec("spec_01_prefix_slash_takes_anything", &["- / P a"], &[("/", "a"), ("/x", "a"), ("/x/y?z", "a")]),
    spec(
        "spec_02_exact_takes_the_same_path_only",
        &["- /foo E a"],
        &[("/foo", "a"), ("/bar", "404"), ("/foo/", "404"), ("/FOO", "404")],
    ),
    spec("spec_03_exact_with_a_slash_wants_it", &["- /foo/ E a"], &[("/foo", "404"), ("/foo/", "a")]),
    spec(
        "spec_04_prefix_takes_whole_elements",
        &["- /foo P a"],
        &[("/foo", "a"), ("/foo/", "a"), ("/foo/x", "a"), ("/foobar", "404"), ("/FOO", "404")],
    ),
    spec("spec_05_prefix_with_a_slash_ignores_it", &["- /foo/ P a"], &[("/foo", "a"), ("/foo/", "a")]),
    spec("spec_06_prefix_does_not_take_a_longer_element", &["- /aaa/bb P a"], &[("/aaa/bbb", "404")]),
    spec(
        "spec_07_prefix_of_two_elements",
        &["- /aaa/bbb P a"],
        &[("/aaa/bbb", "a"), ("/aaa/bbb/", "a"), ("/aaa/bbb/ccc", "a"), ("/aaa/bbbxyz", "404")],
    ),
    spec("spec_08_prefix_of_two_elements_with_a_slash", &["- /aaa/bbb/ P a"], &[("/aaa/bbb", "a")]),
    spec("spec_09_the_longer_prefix_wins", &["- / P a", "- /aaa P b"], &[("/aaa/ccc", "b")]),
    spec("spec_10_the_longest_prefix_wins", &["- / P a", "- /aaa P b", "- /aaa/bbb P c"], &[("/aaa/bbb", "c"), ("/ccc", "a")]),
    spec("spec_11_nothing_matches", &["- /aaa P a"], &[("/ccc", "404")]),
    spec("spec_12_exact_beats_prefix", &["- /foo P a", "- /foo E b"], &[("/foo", "b"), ("/foo/x", "a")]),
    spec("spec_13_prefix_with_and_without_a_slash", &["- /foo P a", "- /foo/ P b"], &[("/foo/", "b")]),
    // ingress-nginx's locations.
    nginx("nginx_exact", &["- /foo E a"], &[("/foo", "a"), ("/foo/", "404"), ("/foobar", "404"), ("/FOO", "404")]),
    nginx(
        "nginx_exact_with_a_slash_redirects",
        &["- /foo/ E a"],
        &[("/foo", "301 http://_/foo/"), ("/foo/", "a"), ("/foo/x", "404")],
    ),
    nginx("nginx_prefix_slash", &["- / P a"], &[("/", "a"), ("/x", "a")]),
    nginx("nginx_prefix_has_no_redirect", &["- /foo P a"], &[("/foo", "a"), ("/foo/", "a"), ("/foo/x", "a"), ("/foobar", "404")]),
    nginx(
        "nginx_prefix_with_a_slash_redirects",
        &["- /foo/ P a"],
        &[("/foo", "301 http://_/foo/"), ("/foo?a=b", "301 http://_/foo/?a=b"), ("/foo/", "a"), ("/foo/x", "a")],
    ),
    nginx("nginx_prefix_and_exact", &["- /foo P a", "- /foo E b"], &[("/foo", "b"), ("/foo/", "a"), ("/foo/x", "a")]),
    nginx(
        "nginx_implementation_specific_is_prefix",
        &["- /foo I a"],
        &[("/foo", "a"), ("/foo/", "a"), ("/foo/x", "a"), ("/foobar", "404"), ("/fo", "404")],
    ),
    nginx(
        "nginx_the_path_is_normalised_before_it_is_matched",
        &["- /a P a", "- /b E b"],
        &[
            ("/x/../a/y", "a"),
            ("//a//y", "a"),
            ("/%61/y", "a"),
            ("/./b", "b"),
            ("/a/../b", "b"),
            ("/../a", "400"),
            ("/a%zz", "400"),
        ],
    ),
];

pub fn trials() -> Vec<Trial> {
    let trial = |row: &'static Row| {
        Trial::test(format!("ingress_rows::{}", row.name), move || {
            block_on(check(row));
            Ok(())
        })
    };
    ROWS.iter().map(trial).collect()
}

/// Serves the rules of a row, one Ingress for each, the first one the oldest.
async fn check(row: &Row) {
    let ingresses = row.rules.iter().enumerate().map(|(age, rule)| table::ingress(&format!("i{age}"), &[rule])).collect();
    let serving = Serving::start(ingresses, |settings| settings.path_matching = row.matching).await;
    for (request, expected) in row.requests {
        let outcome = serving.outcome(request).await;
        assert_eq!(outcome, *expected, "{request}");
        let told = serving.explained(request);
        assert!(told.iter().all(|told| Some(&**told) == outcome.split('?').next()), "{request}: explained as {told:?}");
    }
}
