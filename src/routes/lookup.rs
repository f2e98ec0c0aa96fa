//! Host and path → [`Decision`]. No allocation, unless the path must be normalised: what a request costs here is a hash of its
//! host, a hash of its path, and a binary search.
//!
//! A [`Paths`] is compiled once per host. Both ways of matching (`--path-matching`) become the same two things, as they do in
//! nginx: paths that are looked up whole, and plain prefixes of which the longest wins. A rule of type Prefix `/foo` is the
//! whole path `/foo` and the prefix `/foo/`. Where regular expressions take a host over, their ordered list will stand beside
//! these two and be asked instead. `lookup/path.rs` normalises paths.

mod path;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use super::options::PathMatching;
use super::table::{Host, Hosts, PathType, Route, RouteTable};
pub use path::normalise;

/// What is to be done with a request, as far as its host and path decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision<'t> {
    /// This rule takes it.
    Route(&'t Route),
    /// Answered with 301 to the same path and a `/` after it: a rule has that path, and none has this one. Comes before
    /// every other redirect.
    AddSlash,
    /// No rule of the host takes it: the default backend, or 404.
    Unmatched,
    /// The path has a broken escape, a NUL, or leads above the root: 400.
    Malformed,
}

impl RouteTable {
    /// The host that answers for an authority (`Host` header or `:authority`; any case, with or without port and trailing dot).
    #[must_use]
    pub fn host(&self, authority: &str) -> &Arc<Host> {
        self.hosts.find(authority)
    }
}

/// No DNS name is longer (RFC 1035, 2.3.4), so no host of the table is.
const NAME_LIMIT: usize = 255;

impl Hosts {
    /// As [`RouteTable::host`]. The first that exists of: the name itself, `*.` and all but its first label, `_`. Whether its
    /// paths match plays no part.
    #[must_use]
    pub fn find(&self, authority: &str) -> &Arc<Host> {
        let name = host_name(authority);
        let mut buffer = [0_u8; NAME_LIMIT];
        let Some(name) = lower_case(name, &mut buffer) else { return &self.default };
        self.exact.get(name).or_else(|| self.wildcard.get(wildcard_suffix(name)?)).unwrap_or(&self.default)
    }
}

/// An authority without port and without one trailing dot, case as it is.
#[must_use]
pub fn host_name(authority: &str) -> &str {
    let host = match authority.rfind(':') {
        // The colons of an IPv6 address are within brackets.
        Some(colon) if !authority.get(colon..).is_some_and(|rest| rest.contains(']')) => authority.get(..colon),
        _ => None,
    };
    let host = host.unwrap_or(authority);
    host.strip_suffix('.').unwrap_or(host)
}

/// What follows the first label, if that is one that a wildcard stands for: ingress-nginx's pattern is `[\w-]+`.
#[must_use]
pub fn wildcard_suffix(name: &str) -> Option<&str> {
    let (label, suffix) = name.split_once('.')?;
    let fits = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    fits.then_some(suffix)
}

/// The name in lower case, copied only where it is not. None: it is longer than a name can be.
fn lower_case<'n>(name: &'n str, buffer: &'n mut [u8; NAME_LIMIT]) -> Option<&'n str> {
    let copy = buffer.get_mut(..name.len())?;
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(name);
    }
    copy.copy_from_slice(name.as_bytes());
    copy.make_ascii_lowercase();
    std::str::from_utf8(copy).ok()
}

impl Host {
    /// What is to be done with a request for this path: that of the request target, as the client sent it, without the query.
    #[must_use]
    pub fn decide(&self, raw_path: &str) -> Decision<'_> {
        match normalise(raw_path) {
            Some(path) => self.paths.decide(&path),
            None => Decision::Malformed,
        }
    }
}

/// The rules of one host, ready for lookup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Paths {
    routes: Box<[Route]>,
    /// Paths that are matched whole.
    whole: HashMap<Box<[u8]>, Whole>,
    /// In the order of their bytes.
    prefixes: Box<[Prefix]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Route(u32),
    AddSlash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    text: Box<[u8]>,
    route: u32,
    /// The longest other prefix that is a prefix of this one.
    shorter: Option<u32>,
}

impl Paths {
    /// Compiles the rules of one host. Where two rules claim the same, the longer path wins, then Exact before the others, then
    /// the one that comes first.
    #[must_use]
    pub fn new(mut routes: Vec<Route>, matching: PathMatching) -> Self {
        routes.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.path_type.cmp(&b.path_type)));
        let mut whole = HashMap::new();
        let mut prefixes: Vec<(Vec<u8>, u32)> = Vec::new();
        let numbered = || (0_u32..).zip(&routes);
        // An Exact rule keeps its path, however long the Prefix rule is that claims it, too.
        for (index, route) in numbered().filter(|(_, route)| route.path_type == PathType::Exact) {
            whole.entry(bytes(&route.path)).or_insert(Whole::Route(index));
        }
        for (index, route) in numbered().filter(|(_, route)| route.path_type != PathType::Exact) {
            let path = &*route.path;
            let bare = path.strip_suffix('/').unwrap_or(path);
            let itself = if matching == PathMatching::Spec { bare } else { path };
            if !bare.is_empty() {
                whole.entry(bytes(itself)).or_insert(Whole::Route(index));
            }
            prefixes.push((format!("{bare}/").into_bytes(), index));
        }
        // Stable: of two equal ones the better rule stays first.
        prefixes.sort_by(|(a, _), (b, _)| a.cmp(b));
        prefixes.dedup_by(|(later, _), (earlier, _)| later == earlier);
        if matching == PathMatching::Nginx {
            // As nginx does for locations that end in a slash, if the path without it is no location itself. No normalised path
            // ends in two: to send clients there would never end.
            for route in &routes {
                let bare = route.path.strip_suffix('/').filter(|bare| !bare.is_empty() && !bare.ends_with('/'));
                if let Some(bare) = bare {
                    whole.entry(bytes(bare)).or_insert(Whole::AddSlash);
                }
            }
        }
        Self { routes: routes.into(), whole, prefixes: link(prefixes) }
    }

    /// The rules, the longest path first.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// What the rules say of a normalised path.
    #[must_use]
    pub fn decide(&self, path: &[u8]) -> Decision<'_> {
        let route = match self.whole.get(path) {
            Some(Whole::AddSlash) => return Decision::AddSlash,
            Some(Whole::Route(index)) => Some(*index),
            None => self.longest_prefix(path),
        };
        route.and_then(|index| self.routes.get(index as usize)).map_or(Decision::Unmatched, Decision::Route)
    }

    /// All prefixes of `path` lie on one chain: that of the last prefix not after it in order of bytes.
    fn longest_prefix(&self, path: &[u8]) -> Option<u32> {
        let after = self.prefixes.partition_point(|prefix| *prefix.text <= *path);
        let mut candidate = self.prefixes.get(after.checked_sub(1)?)?;
        while !path.starts_with(&candidate.text) {
            candidate = self.prefixes.get(candidate.shorter? as usize)?;
        }
        Some(candidate.route)
    }
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

/// Finds for each of the sorted prefixes the longest one within it.
fn link(sorted: Vec<(Vec<u8>, u32)>) -> Box<[Prefix]> {
    let mut linked: Vec<Prefix> = Vec::with_capacity(sorted.len());
    // Those that the next may begin with, each within the one after it.
    let mut open: Vec<u32> = Vec::new();
    for (index, (text, route)) in (0_u32..).zip(sorted) {
        let within = |of: &u32| linked.get(*of as usize).is_some_and(|prefix| text.starts_with(&prefix.text));
        while open.last().is_some_and(|last| !within(last)) {
            open.pop();
        }
        linked.push(Prefix { text: text.into(), route, shorter: open.last().copied() });
        open.push(index);
    }
    linked.into()
}
