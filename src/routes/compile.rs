//! Objects → [`RouteTable`], findings, and for each Ingress what became of it. Pure, and incremental: a [`Compiler`] remembers
//! what it made last, so that what did not change is shared with the table before, and endpoints are exchanged alone.
//!
//! ```text
//! select       which Ingresses are ours, and in which order
//! config       ConfigMap → options of all
//! annotations  annotations → options of its routes; or refused
//! hosts        rules → hosts and their paths; conflicts
//! tls          which certificate each host has
//! backends     Service, EndpointSlices → addresses
//! ```

mod annotations;
mod backends;
mod config;
#[cfg(test)]
pub(crate) mod fixtures;
mod hosts;
mod select;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use rustls::sign::CertifiedKey;

use super::certificates::{Cache, Certificate};
use super::findings::{Finding, Findings, Kind, ObjectKey};
use super::options::keys::PREFIX;
use super::options::{PathMatching, RouteOptions};
use super::table::{BackendIndex, Certificates, Endpoints, RouteTable};
use crate::clock::Timestamp;
pub use backends::service_of;
pub use select::{NotOurs, referenced_secrets};

/// What the operator said, as far as it shapes the table. Names are those of ingress-nginx's flags.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--controller-class`: IngressClasses with this `spec.controller` are ours.
    pub controller_class: String,
    /// `--ingress-class`: the value of the annotation `kubernetes.io/ingress.class` that is ours.
    pub ingress_class: String,
    /// `--watch-ingress-without-class`: Ingresses that name no class are ours, too.
    pub watch_ingress_without_class: bool,
    /// `--ingress-class-by-name`: an IngressClass named as `ingress_class` is ours, whatever its controller.
    pub ingress_class_by_name: bool,
    /// `--annotations-prefix`, with its slash.
    pub annotations_prefix: String,
    /// `--path-matching`.
    pub path_matching: PathMatching,
    /// `--default-backend-service`.
    pub default_backend_service: Option<ObjectKey>,
    /// `--default-ssl-certificate`.
    pub default_ssl_certificate: Option<ObjectKey>,
    /// `--disable-catch-all`.
    pub disable_catch_all: bool,
    /// `--disable-svc-external-name`.
    pub disable_svc_external_name: bool,
    /// `--configmap`: where findings about its keys belong.
    pub config_map: Option<ObjectKey>,
    /// Sent where there is no other certificate.
    pub fallback_certificate: Arc<CertifiedKey>,
}

impl Settings {
    /// ingress-nginx's defaults.
    #[must_use]
    pub fn new(fallback_certificate: Arc<CertifiedKey>) -> Self {
        Self {
            controller_class: "k8s.io/ingress-nginx".to_owned(),
            ingress_class: "nginx".to_owned(),
            watch_ingress_without_class: false,
            ingress_class_by_name: false,
            annotations_prefix: PREFIX.to_owned(),
            path_matching: PathMatching::default(),
            default_backend_service: None,
            default_ssl_certificate: None,
            disable_catch_all: false,
            disable_svc_external_name: false,
            config_map: None,
            fallback_certificate,
        }
    }
}

/// The objects, as they are in the cluster; their order plays no part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// Of all classes.
    pub ingresses: &'a [Arc<Ingress>],
    /// All.
    pub classes: &'a [Arc<IngressClass>],
    /// Those that rules may name.
    pub services: &'a [Arc<Service>],
    /// Theirs.
    pub endpoint_slices: &'a [Arc<EndpointSlice>],
    /// At least [`referenced_secrets`].
    pub secrets: &'a [Arc<Secret>],
    /// `data` of the ConfigMap.
    pub config: Option<&'a BTreeMap<String, String>>,
    /// When given, certificates that are not valid at that time are told.
    pub now: Option<Timestamp>,
}

/// A table, and what there is to tell about it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// For the data plane.
    pub table: RouteTable,
    /// Sorted by object.
    pub findings: Vec<Finding>,
    /// Our Ingresses, in the order in which they claim hosts and paths.
    pub ingresses: Vec<IngressState>,
    /// The Secrets whose certificates the table has, and those certificates.
    pub certificates: BTreeMap<ObjectKey, Arc<Certificate>>,
    /// The others, and why they are not ours.
    pub foreign: Vec<(ObjectKey, NotOurs)>,
    /// Keys that the ConfigMap sets.
    pub configured: BTreeSet<String>,
}

/// What became of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressState {
    /// Its name.
    pub key: ObjectKey,
    /// Whether it is left out as a whole; a finding says why.
    pub refused: bool,
    /// Whether at least one of its rules, or its default backend, is in the table.
    pub routed: bool,
    /// Where its rules lead.
    pub backends: BTreeSet<BackendIndex>,
    /// Hosts that its rules name, as the table has them; also when it is refused.
    pub hosts: BTreeSet<Box<str>>,
    /// Options that its annotations set.
    pub annotated: Vec<&'static str>,
    /// What its annotations and the ConfigMap come to; a single route can differ where redirects do not hold.
    pub options: Arc<RouteOptions>,
}

impl IngressState {
    /// Whether traffic can be sent to the data plane for it: some rule is in the table, and some endpoint stands behind it. Its
    /// status shows an address only from then on.
    ///
    /// Certificates that exist are in the same table. One that does not is not waited for: who issues it (ACME by HTTP) and who
    /// writes the name into DNS wait for the address.
    #[must_use]
    pub fn is_live(&self, table: &RouteTable) -> bool {
        let serves = |index: &BackendIndex| table.backend(*index).is_some_and(|backend| !backend.endpoints.is_empty());
        self.routed && self.backends.iter().any(serves)
    }
}

impl Endpoints {
    /// Whether there is nobody to send a request to: 503.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Addresses(addresses) if addresses.is_empty())
    }
}

/// Makes tables, each from the one before.
#[derive(Debug)]
pub struct Compiler {
    settings: Settings,
    cache: Cache,
    backends: backends::Book,
    last: Option<RouteTable>,
}

impl Compiler {
    /// A compiler that has made nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, cache: Cache::default(), backends: backends::Book::default(), last: None }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes the whole table. What is as it was in the table before (each host, each backend, the certificates) is shared.
    pub fn compile(&mut self, inputs: &Inputs<'_>) -> Compiled {
        let mut found = Vec::new();
        let (config, configured) = config::read(inputs.config, self.settings.config_map.as_ref(), &mut found);
        let (ours, foreign) = select::select(inputs, &self.settings, &mut found);
        self.backends.begin(inputs, self.settings.disable_svc_external_name);
        let default_backend = self.default_backend(inputs, &mut found);

        let mut drafts = hosts::Drafts::new(&self.settings, &config);
        let mut ingresses: Vec<_> = ours.iter().map(|ingress| drafts.add(ingress, &mut self.backends)).collect();
        let secrets: HashMap<_, _> = inputs.secrets.iter().map(|secret| (ObjectKey::of(&secret.metadata), &**secret)).collect();
        let mut tls = tls::Chooser::new(&secrets, &mut self.cache, inputs.now);
        let default_certificate = tls.default(&self.settings, &mut found);
        let (certificates, secrets_in_use) = tls.choose(&drafts, &mut ingresses, &default_certificate);
        self.cache.retain(|key| secrets.contains_key(key));

        self.backends.settle();

        let last = self.last.as_ref();
        let hosts = drafts.finish(last.map(|last| &last.hosts));
        let certificates = share(certificates, last.map(|last| &last.certificates), same_certificates);
        let table = RouteTable {
            generation: last.map_or(1, |last| last.generation + 1),
            hosts,
            backends: self.backends.snapshot(last.map(|last| &last.backends)),
            certificates,
            default_backend,
            global: share(config.global, last.map(|last| &last.global), |a, b| a == b),
        };
        self.last = Some(table.clone());
        let mut states = Vec::with_capacity(ingresses.len());
        for ingress in ingresses {
            found.extend(ingress.findings.into_inner());
            states.push(ingress.state);
        }
        found.sort();
        Compiled { table, findings: found, ingresses: states, certificates: secrets_in_use, foreign, configured }
    }

    /// The table with other endpoints for these Services, each with all of its slices; nothing else is looked at. None: all are
    /// as they were, or nothing was compiled yet.
    pub fn update_endpoints(&mut self, changed: &[(ObjectKey, Vec<Arc<EndpointSlice>>)]) -> Option<RouteTable> {
        let last = self.last.as_ref()?;
        let mut any = false;
        for (service, slices) in changed {
            any |= self.backends.update(service, slices);
        }
        let table = any.then(|| RouteTable {
            generation: last.generation + 1,
            backends: self.backends.snapshot(Some(&last.backends)),
            ..last.clone()
        })?;
        self.last = Some(table.clone());
        Some(table)
    }

    /// `--default-backend-service`: its first port.
    fn default_backend(&mut self, inputs: &Inputs<'_>, found: &mut Vec<Finding>) -> Option<BackendIndex> {
        let key = self.settings.default_backend_service.as_ref()?;
        let mut findings = Findings::of(Kind::Service, key.clone());
        let service = inputs.services.iter().find(|service| ObjectKey::of(&service.metadata) == *key);
        let ports = service.and_then(|service| service.spec.as_ref()?.ports.as_ref());
        let port = ports.and_then(|ports| ports.first()).map_or_else(|| "80".to_owned(), |port| port.port.to_string());
        let backend = self.backends.request(&key.namespace, &key.name, &port, &mut findings);
        found.extend(findings.into_inner());
        backend
    }
}

/// The value from before, if it is the same.
fn share<T>(new: T, last: Option<&Arc<T>>, same: impl Fn(&T, &T) -> bool) -> Arc<T> {
    match last {
        Some(last) if same(&new, last) => Arc::clone(last),
        _ => Arc::new(new),
    }
}

fn same_certificates(a: &Certificates, b: &Certificates) -> bool {
    let same = |name: &str, key: &Arc<CertifiedKey>| b.by_name.get(name).is_some_and(|other| Arc::ptr_eq(key, other));
    Arc::ptr_eq(&a.default, &b.default)
        && a.by_name.len() == b.by_name.len()
        && a.by_name.iter().all(|(name, key)| same(name, key))
}
