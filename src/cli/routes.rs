//! `landfall routes`: where the data plane sends requests, from the cluster's objects or from manifests. Reads only.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, IngressClassSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::plan::list;
use super::{Failure, OutputFormat, RoutesArgs, RoutesCommand, manifests};
use crate::clock;
use crate::config::route_flags::RouteFlags;
use crate::ingress::certificate;
use crate::kubernetes::client;
use crate::routes::compile::{Compiled, Compiler, Inputs, Settings, referenced_secrets};
use crate::routes::explain::{Question, explain};
use crate::routes::findings::{ObjectKey, Severity};
use crate::routes::render;

/// Exit code when something is wrong with an object, or with a request.
const WRONG: u8 = 2;

/// What the table is made from.
#[derive(Default)]
struct Objects {
    ingresses: Vec<Arc<Ingress>>,
    classes: Vec<Arc<IngressClass>>,
    services: Vec<Arc<Service>>,
    endpoint_slices: Vec<Arc<EndpointSlice>>,
    secrets: Vec<Arc<Secret>>,
    config_maps: Vec<ConfigMap>,
}

/// Prints the table, or explains a request.
///
/// # Errors
/// The API server does not answer, or a manifest cannot be read.
pub(super) async fn run(arguments: RoutesArgs) -> Result<ExitCode, Failure> {
    let settings = arguments.flags.settings(certificate::self_signed()?);
    let objects = if arguments.files.is_empty() {
        of_cluster(&arguments.flags, &settings).await?
    } else {
        let mut objects = Objects::default();
        for path in &arguments.files {
            objects.add_file(path)?;
        }
        objects.complete(&settings)
    };
    let compiled = objects.compile(settings.clone());
    let wrong = match arguments.command {
        None => print(&compiled, arguments.output),
        Some(RoutesCommand::Explain { url }) => print_explanation(&compiled, &settings, &url, arguments.output),
    };
    Ok(if wrong { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

fn print(compiled: &Compiled, output: OutputFormat) -> bool {
    match output {
        OutputFormat::Text => print!("{}", render::text(compiled)),
        OutputFormat::Json => println!("{:#}", render::json(compiled)),
    }
    compiled.findings.iter().any(|finding| finding.severity != Severity::Notice)
}

fn print_explanation(compiled: &Compiled, settings: &Settings, question: &Question, output: OutputFormat) -> bool {
    let explanation = explain(compiled, settings, question);
    match output {
        OutputFormat::Text => print!("{explanation}"),
        OutputFormat::Json => println!("{:#}", serde_json::json!(explanation)),
    }
    explanation.status.is_some_and(|status| status >= 400)
}

impl Objects {
    fn compile(&self, settings: Settings) -> Compiled {
        let config = settings.config_map.as_ref().and_then(|key| {
            let object = self.config_maps.iter().find(|object| ObjectKey::of(&object.metadata) == *key);
            object.and_then(|object| object.data.as_ref())
        });
        let config = config.cloned();
        Compiler::new(settings).compile(&Inputs {
            ingresses: &self.ingresses,
            classes: &self.classes,
            services: &self.services,
            endpoint_slices: &self.endpoint_slices,
            secrets: &self.secrets,
            config: config.as_ref(),
            now: Some(clock::wall()),
        })
    }

    /// Adds what a manifest holds, as the API server would know it; kinds that play no part are passed over.
    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        for object in manifests::objects(path)? {
            let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
            match (version.as_str(), manifests::kind(&object)) {
                ("networking.k8s.io/v1", "Ingress") => self.ingresses.push(Arc::new(read(object, path)?)),
                ("networking.k8s.io/v1", "IngressClass") => self.classes.push(Arc::new(read(object, path)?)),
                ("discovery.k8s.io/v1", "EndpointSlice") => self.endpoint_slices.push(Arc::new(read(object, path)?)),
                ("v1", "Service") => self.services.push(Arc::new(read(object, path)?)),
                ("v1", "ConfigMap") => self.config_maps.push(read(object, path)?),
                ("v1", "Secret") => {
                    let mut secret: Secret = read(object, path)?;
                    let plain = secret.string_data.take().unwrap_or_default();
                    let plain = plain.into_iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes())));
                    secret.data.get_or_insert_default().extend(plain);
                    self.secrets.push(Arc::new(secret));
                }
                (_, "Ingress" | "IngressClass" | "EndpointSlice") => {
                    let problem = format!(
                        "apiVersion {version:?} is not served any more; give networking.k8s.io/v1 or discovery.k8s.io/v1"
                    );
                    return Err(manifests::failure(path, &problem));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Manifests of applications seldom hold the IngressClass: without any, ours is taken to be there.
    fn complete(mut self, settings: &Settings) -> Self {
        if self.classes.is_empty() {
            let metadata = ObjectMeta { name: Some(settings.ingress_class.clone()), ..ObjectMeta::default() };
            let spec = IngressClassSpec { controller: Some(settings.controller_class.clone()), parameters: None };
            self.classes.push(Arc::new(IngressClass { metadata, spec: Some(spec) }));
        }
        self
    }
}

fn read<K>(object: Value, path: &Path) -> Result<K, Failure>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let mut object: K = serde_json::from_value(object).map_err(|error| manifests::failure(path, &error))?;
    object.meta_mut().namespace.get_or_insert_with(|| "default".to_owned());
    Ok(object)
}

/// Secrets are asked for one by one: only those that Ingresses name.
async fn of_cluster(flags: &RouteFlags, settings: &Settings) -> Result<Objects, Failure> {
    let client = client::connect(flags.kubeconfig.as_deref()).await?.work;
    let namespace = flags.watch_namespace.as_deref();
    let mut objects = Objects {
        ingresses: shared(list(&super::namespaced(&client, namespace)).await?),
        classes: shared(list(&Api::all(client.clone())).await?),
        services: shared(list(&super::namespaced(&client, namespace)).await?),
        endpoint_slices: shared(list(&super::namespaced(&client, namespace)).await?),
        ..Objects::default()
    };
    let secrets: BTreeSet<ObjectKey> = referenced_secrets(&objects.ingresses, &objects.classes, settings);
    for key in &secrets {
        objects.secrets.extend(get(&client, key).await?.map(Arc::new));
    }
    if let Some(key) = &settings.config_map {
        objects.config_maps.extend(get(&client, key).await?);
    }
    Ok(objects)
}

fn shared<K>(objects: Vec<K>) -> Vec<Arc<K>> {
    objects.into_iter().map(Arc::new).collect()
}

async fn get<K>(client: &kube::Client, key: &ObjectKey) -> Result<Option<K>, Failure>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let api: Api<K> = super::namespaced(client, Some(&key.namespace));
    api.get_opt(&key.name).await.map_err(|error| Failure::ApiServer(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    const SHOP: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata: {name: shop}
  spec:
    ingressClassName: nginx
    tls: [{hosts: [shop.com], secretName: cert}]
    rules:
    - host: shop.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: options, namespace: infra}, data: {http-redirect-code: '301'}}
---
{apiVersion: v1, kind: Secret, metadata: {name: cert}, stringData: {tls.crt: none, tls.key: none}}
";

    async fn exit_of(files: &Path, arguments: &[&str]) -> Result<ExitCode, Failure> {
        let file = files.to_string_lossy().into_owned();
        let all = ["landfall", "routes", "-f", &file].into_iter().chain(arguments.iter().copied());
        let Command::Routes(arguments) = Cli::try_parse_from(all).unwrap().command else { panic!("not routes") };
        run(arguments).await
    }

    fn written(text: &str) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file.into_temp_path()
    }

    #[tokio::test]
    async fn manifests_are_compiled_as_the_cluster_would_be() {
        let file = written(SHOP);
        let settings = Settings {
            config_map: Some(ObjectKey::new("infra", "options")),
            ..Settings::new(certificate::self_signed().unwrap())
        };
        let mut objects = Objects::default();
        objects.add_file(&file).unwrap();
        let compiled = objects.complete(&settings).compile(settings.clone());
        let codes: Vec<_> = compiled.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["CertificateInvalid"], "the class is taken to be there, and stringData was read");
        let answer = |url: &str| explain(&compiled, &settings, &url.parse().unwrap()).answer;
        assert_eq!(answer("https://shop.com/x"), "503: Service default/shop port 80 has no ready endpoint");
        assert!(answer("http://shop.com/x").starts_with("301 to https://shop.com/x: "), "the ConfigMap was read");
    }

    #[tokio::test]
    async fn exit_codes_are_as_documented() {
        let (wrong, fine) = (written(SHOP), written("{}"));
        assert_eq!(exit_of(&fine, &[]).await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(exit_of(&wrong, &["-o", "json"]).await.unwrap(), ExitCode::from(WRONG));
        assert_eq!(exit_of(&wrong, &["explain", "http://shop.com/"]).await.unwrap(), ExitCode::SUCCESS, "a redirect");
        assert_eq!(exit_of(&wrong, &["explain", "https://shop.com/", "-o", "json"]).await.unwrap(), ExitCode::from(WRONG));
        assert_eq!(exit_of(&fine, &["explain", "a.com"]).await.unwrap(), ExitCode::from(WRONG), "404");
        let old = written("{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: x}}");
        assert!(exit_of(&old, &[]).await.unwrap_err().to_string().contains("extensions/v1beta1"));
        let broken = written("{apiVersion: v1, kind: Service, spec: 7}");
        assert!(exit_of(&broken, &[]).await.is_err());
    }
}
