//! Objects for the tests of `compile`, from YAML; certificates made on the spot.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use rustls::sign::CertifiedKey;

use super::{Compiled, Compiler, Inputs, Settings};
use crate::routes::certificates::Certificate;
use crate::routes::findings::ObjectKey;
use crate::routes::lookup::Decision;
use crate::routes::table::Endpoints;

/// A Secret with a certificate for these names, valid from year to year.
pub(crate) fn secret_for(name: &str, names: &[&str], years: (i32, i32)) -> Secret {
    let mut parameters = rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    secret(name, &certificate.pem(), &key.serialize_pem())
}

/// A Secret with these contents.
pub(crate) fn secret(name: &str, certificate: &str, key: &str) -> Secret {
    let mut secret = Secret::default();
    secret.metadata.namespace = Some("default".to_owned());
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.resource_version = Some("1".to_owned());
    let data = [("tls.crt", certificate), ("tls.key", key)];
    secret.data = Some(data.map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec()))).into());
    secret
}

pub(crate) fn fallback() -> Arc<CertifiedKey> {
    static KEY: LazyLock<Arc<CertifiedKey>> =
        LazyLock::new(|| Certificate::parse(&secret_for("fallback", &["ingress.local"], (2020, 2100))).unwrap().key);
    Arc::clone(&KEY)
}

/// A cluster.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) ingresses: Vec<Arc<Ingress>>,
    pub(crate) classes: Vec<Arc<IngressClass>>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) slices: Vec<Arc<EndpointSlice>>,
    pub(crate) secrets: Vec<Arc<Secret>>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) settings: Settings,
    pub(crate) year: Option<i16>,
}

impl World {
    /// IngressClass `nginx`; Services `web` and `api`, port 80 named `http` to 8080, each with one ready endpoint.
    pub(crate) fn new() -> Self {
        let class = "{metadata: {name: nginx}, spec: {controller: k8s.io/ingress-nginx}}";
        let mut world = Self {
            ingresses: Vec::new(),
            classes: vec![yaml(class)],
            services: Vec::new(),
            slices: Vec::new(),
            secrets: Vec::new(),
            config: BTreeMap::new(),
            settings: Settings::new(fallback()),
            year: None,
        };
        for (name, address) in [("web", "10.0.0.1"), ("api", "10.0.0.2")] {
            let port = "{name: http, port: 80, targetPort: 8080}";
            world = world.service(name, &format!("ports: [{port}]")).slice(
                name,
                &format!("ports: [{{name: http, port: 8080, protocol: TCP}}], endpoints: [{{addresses: [{address}]}}]"),
            );
        }
        world
    }

    /// Adds an Ingress of class `nginx` in namespace `default`, given what follows in its YAML flow mapping.
    pub(crate) fn ingress(self, name: &str, spec: &str) -> Self {
        self.raw_ingress(&format!(
            "{{metadata: {{namespace: default, name: {name}}}, spec: {{ingressClassName: nginx, {spec}}}}}"
        ))
    }

    /// The same, with annotations of ingress-nginx.
    pub(crate) fn annotated(self, name: &str, annotations: &str, spec: &str) -> Self {
        let annotations = annotations.replace("+/", "nginx.ingress.kubernetes.io/");
        self.raw_ingress(&format!(
            "{{metadata: {{namespace: default, name: {name}, annotations: {{{annotations}}}}}, spec: {{ingressClassName: nginx, {spec}}}}}"
        ))
    }

    pub(crate) fn raw_ingress(mut self, text: &str) -> Self {
        self.ingresses.push(yaml(text));
        self
    }

    pub(crate) fn service(mut self, name: &str, spec: &str) -> Self {
        self.services.push(yaml(&format!("{{metadata: {{namespace: default, name: {name}}}, spec: {{{spec}}}}}")));
        self
    }

    pub(crate) fn slice(mut self, service: &str, rest: &str) -> Self {
        let labels = format!("labels: {{kubernetes.io/service-name: {service}}}");
        let count = self.slices.len();
        self.slices.push(yaml(&format!(
            "{{metadata: {{namespace: default, name: {service}-{count}, {labels}}}, addressType: IPv4, {rest}}}"
        )));
        self
    }

    pub(crate) fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(Arc::new(secret));
        self
    }

    pub(crate) fn config(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn compiler(&self) -> Compiler {
        Compiler::new(self.settings.clone())
    }

    pub(crate) fn compile(&self) -> Compiled {
        self.compile_with(&mut self.compiler())
    }

    pub(crate) fn compile_with(&self, compiler: &mut Compiler) -> Compiled {
        compiler.compile(&Inputs {
            ingresses: &self.ingresses,
            classes: &self.classes,
            services: &self.services,
            endpoint_slices: &self.slices,
            secrets: &self.secrets,
            config: Some(&self.config),
            now: self.year.map(|year| format!("{year}-06-01T00:00:00Z").parse().unwrap()),
        })
    }
}

pub(crate) fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What a rule leads to, short: `rules(&[("/", "Prefix", "web")])`.
pub(crate) fn rule(host: &str, paths: &[(&str, &str, &str)]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|(path, path_type, service)| {
            let (service, port) = service.split_once(':').unwrap_or((service, "80"));
            let port =
                if port.bytes().all(|byte| byte.is_ascii_digit()) { format!("number: {port}") } else { format!("name: {port}") };
            format!("{{path: '{path}', pathType: {path_type}, backend: {{service: {{name: {service}, port: {{{port}}}}}}}}}")
        })
        .collect();
    format!("{{host: '{host}', http: {{paths: [{}]}}}}", paths.join(", "))
}

pub(crate) fn rules(host: &str, paths: &[(&str, &str, &str)]) -> String {
    format!("rules: [{}]", rule(host, paths))
}

impl Compiled {
    /// Where a request goes: `ingress>service 10.0.0.1:8080`, `ingress>service 503`, `+/`, `404`, `400`.
    pub(crate) fn goes(&self, host: &str, path: &str) -> String {
        let route = match self.table.host(host).decide(path) {
            Decision::Route(route) => route,
            Decision::AddSlash => return "+/".to_owned(),
            Decision::Unmatched => return "404".to_owned(),
            Decision::Malformed => return "400".to_owned(),
        };
        let endpoints = route.backend.and_then(|index| self.table.backend(index)).map(|backend| &backend.endpoints);
        let to = match endpoints {
            Some(Endpoints::Addresses(addresses)) if !addresses.is_empty() => {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            Some(Endpoints::Name { host, port }) => format!("{host}:{port}"),
            _ => "503".to_owned(),
        };
        format!("{}>{} {to}", route.ingress, route.service)
    }

    /// Codes of the findings, with the objects' names.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.findings.iter().map(|finding| format!("{} {}", finding.object.name, finding.code)).collect()
    }

    pub(crate) fn live(&self, name: &str) -> bool {
        let state = self.ingresses.iter().find(|state| state.key == ObjectKey::new("default", name));
        state.is_some_and(|state| state.is_live(&self.table))
    }
}
