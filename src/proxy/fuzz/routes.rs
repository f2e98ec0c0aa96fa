//! Host, path and server name: the lookup finds what going through all rules one by one finds.
//!
//! An input is a table and a question, in lines: `spec`; `E /path`, `P /path`, `I /path` (Exact, Prefix, ImplementationSpecific);
//! `host name`; `cert name`; `? authority path`. Other lines count for nothing.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::testing::certificate;
use super::{Target, Verdict, fuzz};
use crate::routes::lookup::{Decision, Paths, normalise};
use crate::routes::options::{HostOptions, PathMatching};
use crate::routes::table::{Certificates, Host, Hosts, PathType, Route};

#[test]
fn fuzz_routes() {
    let seeds = [
        "E /foo\nP /foo\nI /foo\n? a /foo/x",
        "P /foo/\nP /\n? a /foo",
        "I /foo/\nP /foo\nE /foo/\n? a /foo/",
        "spec\nP /aaa/bbb/\nP /aaa\nE /aaa/bbb\nI /\n? a /aaa/bbb/ccc",
        "spec\nI /foo/\n? a /foo",
        "I /a\nI /ab\nI /abc\nI /abcx\nP /a/b\n? a /abcw/../abcx//%61/.",
        "P /x y\nE /a?b#c%d\n? a /a%3Fb%23c%25d",
        "host a.example\nhost *.example\nhost *.a.example\ncert a.example\ncert *.example\nP /\n? B.a.Example.:8443 /",
        "host *.example\ncert *.b.example\n? [2001:db8::1]:443 /../x",
        "host a_1.example\ncert *.example\n? x.example /%00",
    ];
    fuzz(Target {
        name: "routes",
        verdicts: &["routed", "redirected", "unmatched", "malformed"],
        seeds: seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(),
        words: &[
            b"\nE /",
            b"\nP /",
            b"\nI /",
            b"\nspec\n",
            b"\nhost ",
            b"\ncert ",
            b"*.",
            b"\n? ",
            b"/foo",
            b"/..",
            b"/.",
            b"//",
            b"%2f",
            b"%2E",
            b"%",
            b"#",
            b"?",
            b".example",
            b"EXAMPLE",
            b"[::1]",
            b":80",
            b".",
        ],
        run,
    });
}

/// An input, read.
struct Case<'a> {
    matching: PathMatching,
    routes: Vec<Route>,
    hosts: Vec<&'a str>,
    certificates: Vec<String>,
    authority: &'a str,
    path: &'a str,
}

fn read(text: &str) -> Case<'_> {
    let (matching, routes) = (PathMatching::Nginx, Vec::new());
    let mut case = Case { matching, routes, hosts: vec![], certificates: vec![], authority: "a", path: "/" };
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let path_type = match word {
            "spec" => {
                case.matching = PathMatching::Spec;
                continue;
            }
            // As the compiler does: in lower case, and each once.
            "host" | "cert" if rest.bytes().any(|byte| byte.is_ascii_uppercase()) || rest.is_empty() => continue,
            "host" if !case.hosts.contains(&rest) => {
                case.hosts.push(rest);
                continue;
            }
            // Keys are costly to make: a few do for all.
            "cert" if case.certificates.len() < 4 => {
                case.certificates.push(rest.to_owned());
                continue;
            }
            "?" => {
                (case.authority, case.path) = rest.split_once(' ').unwrap_or((rest, "/"));
                continue;
            }
            "E" => PathType::Exact,
            "P" => PathType::Prefix,
            "I" => PathType::ImplementationSpecific,
            _ => continue,
        };
        // The API server admits no path that is not in its normal form.
        let normal = !["//", "/./", "/../"].iter().any(|part| rest.contains(part));
        if rest.starts_with('/') && normal {
            case.routes.push(Route {
                namespace: "default".into(),
                ingress: case.routes.len().to_string().into(),
                path: rest.into(),
                path_type,
                service: "web".into(),
                service_port: "80".into(),
                backend: None,
                options: Arc::default(),
            });
        }
    }
    case
}

fn run(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok("no text") };
    let case = read(text);
    find_host(&case)?;
    find_certificate(&case)?;
    let path = normalise(case.path);
    let by_segments = normalised(case.path);
    prop_assert_eq!(path.as_deref(), by_segments.as_deref(), "the normal form of {:?}", case.path);
    let host = Host { name: "_".into(), options: HostOptions::default(), paths: Paths::new(case.routes.clone(), case.matching) };
    let decision = host.decide(case.path);
    let Some(path) = path else {
        prop_assert_eq!(decision, Decision::Malformed);
        return Ok("malformed");
    };
    let expected = decide(&case, &path);
    match decision {
        Decision::Route(route) => {
            prop_assert_eq!(Expected::Rule(&route.ingress), expected, "{:?} {}", route.path_type, route.path);
            Ok("routed")
        }
        Decision::AddSlash => {
            prop_assert_eq!(Expected::AddSlash, expected);
            Ok("redirected")
        }
        Decision::Unmatched => {
            prop_assert_eq!(Expected::Nothing, expected);
            Ok("unmatched")
        }
        Decision::Malformed => Err(TestCaseError::fail("a path that can be read is malformed")),
    }
}

#[derive(Debug, PartialEq)]
enum Expected<'a> {
    Rule(&'a str),
    AddSlash,
    Nothing,
}

/// The rules as `docs/explanation/ingress-semantics.md` tells them, one by one.
fn decide<'a>(case: &'a Case<'_>, path: &[u8]) -> Expected<'a> {
    let nginx = case.matching == PathMatching::Nginx;
    let bare = |route: &Route| route.path.strip_suffix('/').unwrap_or(&route.path).as_bytes().to_vec();
    // How much of the path a rule takes, none if it does not match: all of it, or a location of so many bytes.
    let taken = |route: &Route| -> Option<usize> {
        let rule = route.path.as_bytes();
        let whole = || (path == rule || !nginx && path == bare(route)).then_some(usize::MAX);
        let location = |text: Vec<u8>| path.starts_with(&text).then_some(text.len());
        let below = || location([bare(route), b"/".to_vec()].concat());
        match route.path_type {
            PathType::Exact => (path == rule).then_some(usize::MAX),
            PathType::Prefix | PathType::ImplementationSpecific if rule == b"/" => location(b"/".to_vec()),
            PathType::Prefix | PathType::ImplementationSpecific => whole().or_else(below),
        }
    };
    let exact = |route: &Route| route.path_type == PathType::Exact;
    // The best: Exact, then the whole path, then the longest location; of equals the longer rule, the more exact, the first.
    let rank = |route: &Route| Some((exact(route), taken(route)?, route.path.len(), std::cmp::Reverse(route.path_type)));
    let mut best: Option<&Route> = None;
    for route in case.routes.iter().filter(|route| taken(route).is_some()) {
        if best.is_none_or(|best| rank(route) > rank(best)) {
            best = Some(route);
        }
    }
    // nginx's redirect to a location with a slash, unless a location is this very path.
    let whole = best.is_some_and(|best| taken(best) == Some(usize::MAX));
    let slash = |route: &Route| route.path.ends_with('/') && route.path.len() > 1 && bare(route) == path;
    let location = |route: &Route| match route.path_type {
        PathType::Exact => false,
        PathType::Prefix | PathType::ImplementationSpecific => [bare(route), b"/".to_vec()].concat() == path,
    };
    if nginx && !whole && case.routes.iter().any(slash) && !case.routes.iter().any(location) {
        return Expected::AddSlash;
    }
    best.map_or(Expected::Nothing, |best| Expected::Rule(&best.ingress))
}

/// Decoded first, then segment by segment.
fn normalised(raw: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'#' => break,
            b'%' => {
                let digits = [rest.next()?, rest.next()?].map(char::from);
                let text: String = digits.iter().filter(|digit| digit.is_ascii_hexdigit()).collect();
                decoded.push(u8::from_str_radix(&text, 16).ok().filter(|_| text.len() == 2)?);
            }
            plain => decoded.push(plain),
        }
    }
    if raw.is_empty() {
        return Some(b"/".to_vec());
    }
    if !raw.starts_with('/') || decoded.contains(&0) {
        return None;
    }
    let (mut kept, mut open): (Vec<&[u8]>, bool) = (Vec::new(), true);
    for segment in decoded[1..].split(|byte| *byte == b'/') {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()?),
            segment => kept.push(segment),
        }
    }
    let mut path = b"/".to_vec();
    path.extend(kept.join(&b'/'));
    if open && !kept.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

/// An authority without port and trailing dot, in lower case.
fn name(authority: &str) -> String {
    let port = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    let name = &authority[..port.unwrap_or(authority.len())];
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn find_host(case: &Case<'_>) -> Result<(), TestCaseError> {
    let host = |name: &str| {
        Arc::new(Host { name: name.into(), options: HostOptions::default(), paths: Paths::new(vec![], case.matching) })
    };
    let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
    for name in &case.hosts {
        match name.strip_prefix("*.") {
            Some(suffix) => wildcard.insert(suffix.into(), host(name)),
            None => exact.insert((*name).into(), host(name)),
        };
    }
    let hosts = Hosts { exact, wildcard, default: host("_") };
    let name = name(case.authority);
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let covers = |host: &&&str| {
        let label = host.strip_prefix('*').and_then(|suffix| name.strip_suffix(suffix));
        host.starts_with("*.") && label.is_some_and(is_label)
    };
    let itself = |host: &&&str| **host == name && !host.starts_with("*.");
    let found = case.hosts.iter().find(itself).or_else(|| case.hosts.iter().find(covers));
    let expected = found.filter(|_| name.len() <= 255).map_or("_", |host| *host);
    prop_assert_eq!(&*hosts.find(case.authority).name, expected, "for {:?}", case.authority);
    Ok(())
}

fn find_certificate(case: &Case<'_>) -> Result<(), TestCaseError> {
    const KEYS: [&str; 4] = ["0.example", "1.example", "2.example", "3.example"];
    let default = certificate("default.example");
    let named = case.certificates.iter().zip(KEYS);
    let by_name: HashMap<Box<str>, _> = named.map(|(name, key)| (name.as_str().into(), certificate(key))).collect();
    let certificates = Certificates { by_name: by_name.clone(), default: Arc::clone(&default) };
    prop_assert!(Arc::ptr_eq(certificates.resolve(None), &default));
    let asked = case.authority;
    let name = asked.strip_suffix('.').unwrap_or(asked).to_ascii_lowercase();
    let covers = |known: &str| {
        let label = known.strip_prefix('*').and_then(|suffix| name.strip_suffix(suffix));
        known.starts_with("*.") && label.is_some_and(|label| !label.contains('.'))
    };
    let found = by_name.keys().find(|known| ***known == *name).or_else(|| by_name.keys().find(|known| covers(known)));
    let expected = found.map_or(&default, |known| &by_name[known]);
    prop_assert!(Arc::ptr_eq(certificates.resolve(Some(asked)), expected), "for {:?}", asked);
    Ok(())
}
