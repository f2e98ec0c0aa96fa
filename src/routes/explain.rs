//! One request, and what is done with it: rule by rule, in words. The decision itself is `lookup`'s; here it is only told.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::certificates::Leaf;
use super::compile::{Compiled, IngressState, Settings};
use super::findings::{Finding, ObjectKey};
use super::lookup::{Decision, host_name, normalise, wildcard_suffix};
use super::options::PathMatching;
use super::options::keys::ROUTE;
use super::table::{Backend, Host, PathType, Route};

/// A request, as far as it decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Whether it came by https.
    pub https: bool,
    /// `Host` or `:authority`, port and all.
    pub authority: String,
    /// Path as sent, without query.
    pub path: String,
}

/// Reads `http://host/path` or `https://…`; without scheme, http; a query and a fragment are left out.
impl std::str::FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("the scheme is {scheme:?}; give http or https")),
            None => (false, text),
        };
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err("not a URL; give one like https://shop.example.com/cart".to_owned());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { https, authority: authority.to_owned(), path: path.to_owned() })
    }
}

/// What is done with a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub request: Question,
    /// Name of the host that answers.
    pub host: String,
    /// Why this one.
    pub host_because: String,
    /// The path that rules are compared with; none: it cannot be read.
    pub path: Option<String>,
    /// The host's rules, in the order of precedence.
    pub rules: Vec<RuleVerdict>,
    /// Of an answer that the data plane gives itself; none: a Service answers.
    pub status: Option<u16>,
    /// Who answers, or with what and why.
    pub answer: String,
    /// Addresses behind the answer.
    pub endpoints: Option<String>,
    /// The certificate for the name.
    pub certificate: String,
    /// Options of the route.
    pub options: Vec<OptionOrigin>,
    /// What is wrong with Ingresses that name the host.
    pub findings: Vec<Finding>,
}

/// A rule, and whether it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleVerdict {
    /// Path as the rule spells it.
    pub path: String,
    /// Type of the path.
    pub path_type: PathType,
    /// Whose rule it is.
    pub ingress: ObjectKey,
    /// Whether it is the one.
    pub taken: bool,
    /// Why (not).
    pub because: &'static str,
}

/// An option, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionOrigin {
    /// Name of the key.
    pub name: &'static str,
    /// As it would be written.
    pub value: String,
    /// `annotation`, `ConfigMap`, `default`, …
    pub from: &'static str,
}

/// Where plain requests are always answered: whoever asks for a certificate proves that way that the name is theirs.
const CHALLENGE: &str = "/.well-known/acme-challenge";

/// Where load balancers ask by address, without any host of ours.
const HEALTH: &str = "/healthz";

/// Explains what the data plane does with a request by this table.
#[must_use]
pub fn explain(compiled: &Compiled, settings: &Settings, question: &Question) -> Explanation {
    let host = compiled.table.host(&question.authority);
    let decision = host.decide(&question.path);
    let path = normalise(&question.path);
    let taken = match decision {
        Decision::Route(route) => Some(route),
        _ => None,
    };
    let rules = path.as_deref().map(|path| verdicts(host, path, taken, settings.path_matching)).unwrap_or_default();
    let state = taken.and_then(|route| state_of(compiled, route));
    let Answer { status, text: answer, endpoints } = answer(compiled, host, decision, question);
    Explanation {
        request: question.clone(),
        host: host.name.to_string(),
        host_because: host_because(host, &question.authority),
        path: path.map(|path| String::from_utf8_lossy(&path).into_owned()),
        rules,
        status,
        answer,
        endpoints,
        certificate: certificate(compiled, settings, &question.authority),
        options: taken.map(|route| options(compiled, route, state)).unwrap_or_default(),
        findings: findings(compiled, host, &question.authority),
    }
}

fn state_of<'c>(compiled: &'c Compiled, route: &Route) -> Option<&'c IngressState> {
    compiled.ingresses.iter().find(|state| state.key.name == route.ingress && state.key.namespace == route.namespace)
}

fn host_because(host: &Host, authority: &str) -> String {
    let name = host_name(authority).to_ascii_lowercase();
    if *host.name == *name {
        "by its name".to_owned()
    } else if host.name.starts_with("*.") {
        format!("{name:?} has no rules of its own, and is one label before {:?}", host.name.trim_start_matches("*."))
    } else {
        match wildcard_suffix(&name) {
            Some(suffix) => format!("neither {name:?} nor \"*.{suffix}\" has rules"),
            None => format!("{name:?} has no rules"),
        }
    }
}

fn verdicts(host: &Host, path: &[u8], taken: Option<&Route>, matching: PathMatching) -> Vec<RuleVerdict> {
    let verdict = |route: &Route| {
        let is_taken = taken.is_some_and(|taken| std::ptr::eq(taken, route));
        let because = match (is_taken, mismatch(route, path, matching)) {
            (true, _) => "taken",
            (false, Some(why)) => why,
            (false, None) => "matches, and another comes before it",
        };
        RuleVerdict {
            path: route.path.to_string(),
            path_type: route.path_type,
            ingress: ObjectKey { namespace: route.namespace.clone(), name: route.ingress.clone() },
            taken: is_taken,
            because,
        }
    };
    host.paths.routes().iter().map(verdict).collect()
}

/// Why a rule by itself does not match a path.
fn mismatch(route: &Route, path: &[u8], matching: PathMatching) -> Option<&'static str> {
    let rule = route.path.as_bytes();
    let bare = rule.strip_suffix(b"/").unwrap_or(rule);
    let nginx = matching == PathMatching::Nginx;
    if nginx && path == bare && path != rule && !path.is_empty() {
        return Some("matches with a slash at the end: answers 301 to there, unless a rule has the path without");
    }
    match route.path_type {
        PathType::Exact => (path != rule).then_some("the path is not exactly this one"),
        PathType::Prefix | PathType::ImplementationSpecific => match path.strip_prefix(bare) {
            None => Some("the path does not begin with it"),
            Some(rest) if rest.is_empty() || rest.starts_with(b"/") => None,
            Some(_) => Some("the path begins with it, and goes on within the element"),
        },
    }
}

struct Answer {
    status: Option<u16>,
    text: String,
    endpoints: Option<String>,
}

impl Answer {
    /// Given by the data plane.
    fn own(status: u16, text: &str) -> Self {
        Self { status: Some(status), text: format!("{status}{text}"), endpoints: None }
    }

    fn of(text: String, backend: &Backend) -> Self {
        Self { status: None, text, endpoints: Some(backend.endpoints.to_string()) }
    }
}

fn answer(compiled: &Compiled, host: &Arc<Host>, decision: Decision<'_>, question: &Question) -> Answer {
    let table = &compiled.table;
    let name = host_name(&question.authority);
    let redirect = |why: &str| {
        let path = question.path.strip_suffix('/').unwrap_or(&question.path);
        Answer::own(table.global.http_redirect_code, &format!(" to https://{name}{path}: {why}"))
    };
    let is_plain = !question.https && !question.path.starts_with(CHALLENGE);
    if Arc::ptr_eq(host, &table.hosts.default) && question.path == HEALTH {
        return Answer::own(200, ": the data plane is asked for its own health");
    }
    match decision {
        Decision::Malformed => Answer::own(400, ": the path cannot be read"),
        Decision::AddSlash => {
            let scheme = if question.https { "https" } else { "http" };
            Answer::own(301, &format!(" to {scheme}://{name}{}/: a rule has the path with a slash", question.path))
        }
        Decision::Unmatched if is_plain && host.options.redirect_unmatched => {
            redirect("no rule takes the path, and the host redirects plain requests")
        }
        Decision::Unmatched => match table.default_backend.and_then(|index| table.backend(index)) {
            Some(backend) if !backend.endpoints.is_empty() => {
                let text =
                    format!("the default backend, Service {}/{} port {}", backend.namespace, backend.service, backend.port);
                Answer::of(text, backend)
            }
            Some(_) => Answer::own(404, ": no rule takes the path, and the default backend has no endpoint"),
            None => Answer::own(404, ": no rule takes the path"),
        },
        Decision::Route(route) if is_plain && route.options.force_ssl_redirect => redirect("force-ssl-redirect is on"),
        Decision::Route(route) if is_plain && route.options.ssl_redirect && host.options.tls => {
            redirect("the host or its wildcard has a `tls` section, and ssl-redirect is on")
        }
        Decision::Route(route) => {
            let service = format!("Service {}/{} port {}", route.namespace, route.service, route.service_port);
            match route.backend.and_then(|index| table.backend(index)) {
                None => Answer::own(503, &format!(": {service} cannot be used, see the findings")),
                Some(backend) if backend.endpoints.is_empty() => Answer::own(503, &format!(": {service} has no ready endpoint")),
                Some(backend) => Answer::of(service, backend),
            }
        }
    }
}

fn certificate(compiled: &Compiled, settings: &Settings, authority: &str) -> String {
    let certificates = &compiled.table.certificates;
    let key = certificates.resolve(Some(host_name(authority)));
    if Arc::ptr_eq(key, &settings.fallback_certificate) {
        return "the self-signed one: no other is for the name".to_owned();
    }
    let which = if Arc::ptr_eq(key, &certificates.default) { "the default one" } else { "the one of the host" };
    match Leaf::of(key) {
        Some(leaf) => format!("{which}, for {}, until {}", leaf.names.join(", "), leaf.not_after),
        None => which.to_owned(),
    }
}

fn options(compiled: &Compiled, route: &Route, state: Option<&IngressState>) -> Vec<OptionOrigin> {
    let options = ROUTE.iter().map(|key| {
        let value = (key.show)(&route.options);
        let from = match state {
            Some(state) if (key.show)(&state.options) != value => "does not hold for a catch-all",
            Some(state) if state.annotated.contains(&key.name) => "annotation",
            _ if compiled.configured.contains(key.name) => "ConfigMap",
            _ => "default",
        };
        OptionOrigin { name: key.name, value, from }
    });
    options.collect()
}

/// Of Ingresses that name the host that answers, or the one that was asked for.
fn findings(compiled: &Compiled, host: &Host, authority: &str) -> Vec<Finding> {
    let name = host_name(authority).to_ascii_lowercase();
    let wildcard = wildcard_suffix(&name).map(|suffix| format!("*.{suffix}"));
    let names: Vec<&str> = [&*host.name, &name].into_iter().chain(wildcard.as_deref()).collect();
    let concerned = |state: &&IngressState| names.iter().any(|name| state.hosts.contains(*name));
    let keys: Vec<&ObjectKey> = compiled.ingresses.iter().filter(concerned).map(|state| &state.key).collect();
    compiled.findings.iter().filter(|finding| keys.contains(&&finding.object)).cloned().collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.request.https { "https" } else { "http" };
        writeln!(f, "{scheme}://{}{}", self.request.authority, self.request.path)?;
        writeln!(f, "\nhost         {}: {}", self.host, self.host_because)?;
        writeln!(f, "path         {}", self.path.as_deref().unwrap_or("cannot be read"))?;
        let width = self.rules.iter().map(|rule| rule.path.chars().count()).max().unwrap_or(0);
        for (index, rule) in self.rules.iter().enumerate() {
            let (head, mark) = (if index == 0 { "rules" } else { "" }, if rule.taken { '>' } else { ' ' });
            let path_type = format!("{:?}", rule.path_type);
            writeln!(f, "{head:<11}{mark} {:<width$}  {path_type:<22}  {}: {}", rule.path, rule.ingress, rule.because)?;
        }
        if self.rules.is_empty() {
            writeln!(f, "rules        none")?;
        }
        writeln!(f, "answer       {}", self.answer)?;
        if let Some(endpoints) = &self.endpoints {
            writeln!(f, "endpoints    {endpoints}")?;
        }
        writeln!(f, "certificate  {}", self.certificate)?;
        for (index, option) in self.options.iter().enumerate() {
            let head = if index == 0 { "options" } else { "" };
            writeln!(f, "{head:<13}{:<27}  {} ({})", option.name, option.value, option.from)?;
        }
        for finding in &self.findings {
            writeln!(f, "! {finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
