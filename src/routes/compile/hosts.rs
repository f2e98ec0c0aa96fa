//! Rules → hosts and their paths. Ingresses come in the order in which they claim: what is taken already, a later one does not
//! get, and is told so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressRule, IngressSpec};

use super::annotations::{self, Verdict};
use super::backends::Book;
use super::{IngressState, Settings};
use crate::routes::findings::{self, Findings, Kind, ObjectKey, quote};
use crate::routes::lookup::{Paths, wildcard_suffix};
use crate::routes::options::keys::Config;
use crate::routes::options::{HostOptions, PathMatching, RouteOptions};
use crate::routes::table::{Host, Hosts, PathType, Route};

/// The host that takes what no other does.
pub(super) const ANY: &str = "_";

/// An Ingress on its way into the table.
pub(super) struct Draft<'a> {
    pub(super) ingress: &'a Ingress,
    pub(super) state: IngressState,
    pub(super) findings: Findings,
}

/// A host on its way into the table.
#[derive(Default)]
pub(super) struct HostDraft {
    routes: Vec<Route>,
    claims: HashMap<(Box<str>, PathType), ObjectKey>,
    /// The first Ingress that names the host.
    first: Option<First>,
    /// Its default backend, which takes `/` if nothing else does.
    fallback: Option<Route>,
    /// The first Ingress of the host that has a `tls` section, by its place in the order.
    pub(super) tls: Option<usize>,
}

/// What is kept of the first Ingress of a host.
struct First {
    ingress: ObjectKey,
    options: Arc<RouteOptions>,
}

/// All hosts so far.
pub(super) struct Drafts<'s> {
    settings: &'s Settings,
    defaults: Arc<RouteOptions>,
    strict_paths: bool,
    count: usize,
    pub(super) hosts: BTreeMap<Box<str>, HostDraft>,
}

impl<'s> Drafts<'s> {
    pub(super) fn new(settings: &'s Settings, config: &Config) -> Self {
        let hosts = BTreeMap::from([(ANY.into(), HostDraft::default())]);
        Self { settings, defaults: Arc::new(config.route.clone()), strict_paths: config.strict_paths, count: 0, hosts }
    }

    /// Adds the rules of the next Ingress.
    pub(super) fn add<'a>(&mut self, ingress: &'a Ingress, book: &mut Book) -> Draft<'a> {
        let place = self.count;
        self.count += 1;
        let key = ObjectKey::of(&ingress.metadata);
        let mut findings = Findings::of(Kind::Ingress, key.clone());
        let annotated = annotations::read(ingress, &self.settings.annotations_prefix, &self.defaults, &mut findings);
        let mut state = IngressState {
            key,
            refused: annotated.verdict != Verdict::Serve,
            routed: false,
            backends: BTreeSet::new(),
            hosts: BTreeSet::new(),
            annotated: annotated.set,
            options: Arc::clone(&annotated.options),
        };
        let empty = IngressSpec::default();
        let spec = ingress.spec.as_ref().unwrap_or(&empty);
        let rules = spec.rules.as_deref().unwrap_or_default();
        state.hosts.extend(rules.iter().filter_map(|rule| host_of(rule.host.as_deref()).ok()));
        if rules.is_empty() && spec.default_backend.is_some() {
            state.hosts.insert(ANY.into());
        }
        let invalid = self.check(spec, &mut findings);
        if invalid || annotated.verdict == Verdict::Drop {
            state.refused = true;
        } else {
            let book = (annotated.verdict == Verdict::Serve).then_some(book);
            let mut adder =
                Adder { drafts: self, place, options: annotated.options, book, state: &mut state, findings: &mut findings };
            adder.rules(spec);
            adder.default_backend(spec);
        }
        Draft { ingress, state, findings }
    }

    /// Whether the Ingress as a whole cannot be served.
    fn check(&self, spec: &IngressSpec, findings: &mut Findings) -> bool {
        // As ingress-nginx's hasCatchAllIngressRule has it: with rules or without. Rules without host are not meant.
        let mut invalid = self.settings.disable_catch_all && spec.default_backend.is_some();
        if invalid {
            let message = "it has a `defaultBackend`, and --disable-catch-all is set: it is not served";
            findings.error(findings::CATCH_ALL_DISABLED, message.to_owned());
        }
        let rules = spec.rules.iter().flatten();
        for path in rules.filter_map(|rule| rule.http.as_ref()).flat_map(|http| &http.paths) {
            if let Err(why) = check_path(path, self.strict_paths) {
                let path = path.path.as_deref().unwrap_or_default();
                findings.error(findings::PATH_INVALID, format!("not served: path {} {why}", quote(path)));
                invalid = true;
            }
        }
        invalid
    }

    /// The finished hosts; those that are as they were are shared, and so is the whole.
    pub(super) fn finish(self, last: Option<&Arc<Hosts>>) -> Arc<Hosts> {
        let empty = HashMap::new();
        let (last_exact, last_wildcard) = last.map_or((&empty, &empty), |last| (&last.exact, &last.wildcard));
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        let mut default = None;
        let matching = self.settings.path_matching;
        let with_tls = self.hosts.iter().filter(|(_, draft)| draft.tls.is_some());
        let with_tls: HashSet<Box<str>> = with_tls.map(|(name, _)| name.clone()).collect();
        // nginx keeps no certificate of its own for `_`, which is what its redirect asks for. A host without one has that of its
        // wildcard.
        let has_tls = |name: &str| {
            let wildcard = || wildcard_suffix(name).map(|suffix| format!("*.{suffix}"));
            name != ANY && (with_tls.contains(name) || wildcard().is_some_and(|name| with_tls.contains(name.as_str())))
        };
        for (name, draft) in self.hosts {
            let tls = has_tls(&name);
            if &*name == ANY {
                default = Some(shared(draft.finish(name, tls, matching), last.map(|last| &last.default)));
            } else if let Some(suffix) = name.strip_prefix("*.") {
                let host = shared(draft.finish(name.clone(), tls, matching), last_wildcard.get(suffix));
                wildcard.insert(suffix.into(), host);
            } else {
                let host = shared(draft.finish(name.clone(), tls, matching), last_exact.get(&name));
                exact.insert(name, host);
            }
        }
        let default = default.unwrap_or_else(|| Arc::new(HostDraft::default().finish(ANY.into(), false, matching)));
        let hosts = Hosts { exact, wildcard, default };
        match last {
            Some(last) if same(&hosts, last) => Arc::clone(last),
            _ => Arc::new(hosts),
        }
    }
}

fn shared(host: Host, last: Option<&Arc<Host>>) -> Arc<Host> {
    super::share(host, last, |a, b| a == b)
}

fn same(a: &Hosts, b: &Hosts) -> bool {
    let same = |a: &HashMap<Box<str>, Arc<Host>>, b: &HashMap<Box<str>, Arc<Host>>| {
        a.len() == b.len() && a.iter().all(|(name, host)| b.get(name).is_some_and(|other| Arc::ptr_eq(host, other)))
    };
    Arc::ptr_eq(&a.default, &b.default) && same(&a.exact, &b.exact) && same(&a.wildcard, &b.wildcard)
}

impl HostDraft {
    fn finish(mut self, name: Box<str>, tls: bool, matching: PathMatching) -> Host {
        if !self.has_root() {
            self.routes.extend(self.fallback);
        }
        let redirects = |first: &First| first.options.force_ssl_redirect || (tls && first.options.ssl_redirect);
        let redirect_unmatched = &*name != ANY && self.first.as_ref().is_some_and(redirects);
        Host { name, options: HostOptions { tls, redirect_unmatched }, paths: Paths::new(self.routes, matching) }
    }

    /// Whether a rule takes what no longer path does.
    fn has_root(&self) -> bool {
        self.claims.contains_key(&("/".into(), PathType::Prefix))
    }
}

/// Adds the rules of one Ingress.
struct Adder<'d, 's, 'b> {
    drafts: &'d mut Drafts<'s>,
    place: usize,
    options: Arc<RouteOptions>,
    /// None: the Ingress is denied, and its routes lead nowhere.
    book: Option<&'b mut Book>,
    state: &'d mut IngressState,
    findings: &'d mut Findings,
}

impl Adder<'_, '_, '_> {
    fn rules(&mut self, spec: &IngressSpec) {
        let has_tls = spec.tls.as_ref().is_some_and(|entries| !entries.is_empty());
        for rule in spec.rules.iter().flatten() {
            let Some(host) = self.host(rule) else { continue };
            if &*host == ANY && has_tls {
                let message = "its rule without host is served with the default certificate, and not redirected to https; give the \
                               rule a host, or set --default-ssl-certificate";
                self.findings.warning(findings::TLS_WITHOUT_HOST, message.to_owned());
            }
            let draft = self.drafts.hosts.entry(host.clone()).or_default();
            let first = || First { ingress: self.state.key.clone(), options: Arc::clone(&self.options) };
            draft.first.get_or_insert_with(first);
            if has_tls {
                draft.tls.get_or_insert(self.place);
            }
            let Some(http) = &rule.http else {
                // The host is there, and all of its paths lead to the default backend.
                self.state.routed |= self.book.is_some();
                continue;
            };
            for path in &http.paths {
                let Some(path_type) = path_type(path) else { continue };
                let text = path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
                let options = Arc::clone(&self.options);
                if let Some(route) = self.route(text, path_type, &path.backend, options) {
                    self.claim(&host, route);
                }
            }
        }
    }

    fn default_backend(&mut self, spec: &IngressSpec) {
        let Some(backend) = &spec.default_backend else { return };
        let mut options = Arc::clone(&self.options);
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty() {
            // As in ingress-nginx, redirects of a catch-all do not hold.
            let redirects = options.ssl_redirect || options.force_ssl_redirect;
            if redirects {
                options = Arc::new(RouteOptions { ssl_redirect: false, force_ssl_redirect: false, ..(*options).clone() });
            }
        }
        let Some(route) = self.route("/", PathType::Prefix, backend, options) else { return };
        if rules.is_empty() {
            self.claim(ANY, route);
            return;
        }
        for rule in rules {
            let Some(host) = self.host(rule) else { continue };
            let Some(draft) = self.drafts.hosts.get_mut(&host) else { continue };
            match &draft.first {
                Some(first) if first.ingress == self.state.key => {
                    draft.fallback.get_or_insert_with(|| route.clone());
                    self.state.routed |= self.book.is_some();
                }
                Some(first) if !draft.has_root() => {
                    let message = format!(
                        "its default backend for {} is left out: Ingress {} names it first",
                        called(&host),
                        first.ingress
                    );
                    self.findings.error(findings::PATH_CONFLICT, message);
                }
                _ => {}
            }
        }
    }

    fn host(&mut self, rule: &IngressRule) -> Option<Box<str>> {
        host_of(rule.host.as_deref())
            .inspect_err(|host| {
                let message = format!("host {} is neither a DNS name nor `*.` and one: its rule is left out", quote(host));
                self.findings.error(findings::HOST_INVALID, message);
            })
            .ok()
    }

    fn route(&mut self, path: &str, path_type: PathType, to: &IngressBackend, options: Arc<RouteOptions>) -> Option<Route> {
        let Some(service) = &to.service else {
            let message = format!("path {} leads to a resource instead of a Service, and is left out", quote(path));
            self.findings.error(findings::BACKEND_RESOURCE, message);
            return None;
        };
        let port = service.port.as_ref().map(|port| match port.number {
            Some(number) if number != 0 => number.to_string(),
            _ => port.name.clone().unwrap_or_default(),
        });
        let port = port.unwrap_or_default();
        let namespace = &self.state.key.namespace;
        let backend = self.book.as_mut().and_then(|book| book.request(namespace, &service.name, &port, self.findings));
        self.state.backends.extend(backend);
        Some(Route {
            namespace: namespace.clone(),
            ingress: self.state.key.name.clone(),
            path: path.into(),
            path_type,
            service: service.name.as_str().into(),
            service_port: port.into(),
            backend,
            options,
        })
    }

    fn claim(&mut self, host: &str, route: Route) {
        // What is matched alike is one claim, whatever it is called.
        let kind = match route.path_type {
            PathType::Exact => PathType::Exact,
            PathType::Prefix | PathType::ImplementationSpecific => PathType::Prefix,
        };
        let draft = self.drafts.hosts.entry(host.into()).or_default();
        let claim = draft.claims.entry((route.path.clone(), kind));
        match claim {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(self.state.key.clone());
                draft.routes.push(route);
                self.state.routed |= self.book.is_some();
            }
            std::collections::hash_map::Entry::Occupied(taken) => {
                let (host, winner) = (called(host), taken.get());
                let winner =
                    if *winner == self.state.key { "an earlier rule of it".to_owned() } else { format!("Ingress {winner}") };
                let message =
                    format!("path {} ({kind:?}) of {host} is left out: {winner} has it, which comes first", quote(&route.path));
                self.findings.error(findings::PATH_CONFLICT, message);
            }
        }
    }
}

fn called(host: &str) -> String {
    if host == ANY { "any host".to_owned() } else { format!("host {host:?}") }
}

fn path_type(path: &HTTPIngressPath) -> Option<PathType> {
    match path.path_type.as_str() {
        "Exact" => Some(PathType::Exact),
        "Prefix" => Some(PathType::Prefix),
        "ImplementationSpecific" => Some(PathType::ImplementationSpecific),
        _ => None,
    }
}

/// What no normalised path contains; the API server refuses them in paths of type Exact and Prefix.
const NEVER_MATCH: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];

fn check_path(path: &HTTPIngressPath, strict: bool) -> Result<(), String> {
    let text = path.path.as_deref().unwrap_or_default();
    match path_type(path) {
        None => Err(format!("has the unknown type {}; give Exact, Prefix or ImplementationSpecific", quote(&path.path_type))),
        Some(PathType::ImplementationSpecific) if text.is_empty() || text.starts_with('/') => Ok(()),
        _ if !text.starts_with('/') => Err("does not begin with `/`".to_owned()),
        Some(_) => {
            if let Some(part) = NEVER_MATCH.iter().find(|part| text.contains(**part)) {
                return Err(format!("contains `{part}`, and requests are compared without it"));
            }
            if strict && !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')) {
                let fix = "type ImplementationSpecific takes others, and strict-validate-path-type: \"false\" in the ConfigMap";
                return Err(format!("of type {} has characters other than letters, digits and ._-/; {fix}", path.path_type));
            }
            Ok(())
        }
    }
}

/// The host of a rule as the table has it; the text back if it is none.
fn host_of(host: Option<&str>) -> Result<Box<str>, String> {
    match host.unwrap_or_default() {
        "" => Ok(ANY.into()),
        host => {
            let host = host.to_ascii_lowercase();
            if is_host(&host) { Ok(host.into()) } else { Err(host) }
        }
    }
}

/// A DNS name, or `*.` and one (API validation of `spec.rules[].host`); no IP address.
fn is_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    super::backends::is_dns_name(name) && name.parse::<std::net::Ipv4Addr>().is_err()
}
