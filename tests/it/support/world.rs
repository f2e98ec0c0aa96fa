//! What one test has to itself: a namespace, a load balancer class, an emulator with an account and a VPC.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use landfall_localstack::{DataPlane, Emulator, Entry, Options, Region, Seeded, World as Network, WorldOptions};
use landfall_test_cluster::{Cluster, VPC_ADDRESS};

use super::fixture::Fixture;
use super::wait;

/// The region of every world.
pub const REGION: &str = "us-west-2";

/// A Service with one TCP port, for [`World::create_service`].
pub const HTTP: &str = "{ports: [{name: http, port: 80, targetPort: 8080}], selector: {app: web}}";

/// See the module's words.
pub struct World {
    /// The shared cluster.
    pub cluster: &'static Cluster,
    /// Its admin client.
    pub client: kube::Client,
    /// Its admin kubeconfig.
    pub kubeconfig: PathBuf,
    /// This test's namespace.
    pub namespace: String,
    /// `spec.loadBalancerClass` that this test's controllers claim.
    pub class: String,
    /// `--cluster-name` of this test's controllers.
    pub cluster_name: String,
    /// AWS account.
    pub account: String,
    /// This test's AWS.
    pub emulator: Emulator,
    /// Its VPC.
    pub vpc_id: String,
    /// For logs.
    pub workdir: PathBuf,
    load_balancer_cidr: String,
}

impl World {
    /// Makes a world for the test of this name.
    pub async fn create(test: &str, index: u16) -> Self {
        Self::create_with(test, index, DataPlane::On).await
    }

    /// The same, with or without load balancers that carry traffic.
    pub async fn create_with(test: &str, index: u16, data_plane: DataPlane) -> Self {
        let cluster = Fixture::cluster().await;
        let client = cluster.client();
        let short: String = test.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
        let namespace = format!("t{index}-{}", short.trim_matches('-').chars().take(50).collect::<String>());
        let namespace = namespace.trim_end_matches('-').replace("--", "-");
        let object =
            Namespace { metadata: ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() }, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("a namespace");
        let workdir = cluster.kubeconfig().parent().expect("the workdir").join("tests").join(&namespace);
        std::fs::create_dir_all(&workdir).expect("a folder for logs");

        // Load balancer addresses of two tests must not clash: each has a /16 of its own (10.64.0.0 to 10.127.0.0).
        let load_balancer_cidr = format!("10.{}.0.0/16", 64 + index % 64);
        let cluster_name = format!("it-{index}");
        let account = format!("{:012}", 100_000_000_000_u64 + u64::from(index));
        // Not on loopback: controllers that run as pods must reach it, too.
        let listen = (VPC_ADDRESS, 0).into();
        let mut world = Self {
            cluster,
            client,
            kubeconfig: cluster.kubeconfig().to_owned(),
            class: format!("landfall/{namespace}"),
            namespace,
            cluster_name,
            account,
            emulator: Emulator::start(Options { listen, data_plane, ..Options::default() }).await.expect("an emulator"),
            vpc_id: String::new(),
            workdir,
            load_balancer_cidr,
        };
        world.vpc_id = world.seeded().vpc_id;
        world
    }

    /// The VPC as it was seeded.
    pub fn network(&self) -> Network {
        Network::three_zones(WorldOptions {
            cluster_name: self.cluster_name.clone(),
            load_balancer_cidr: self.load_balancer_cidr.parse().expect("a CIDR"),
            ..WorldOptions::default()
        })
    }

    /// Identifiers of what was seeded (which seeding again tells, and changes nothing).
    pub fn seeded(&self) -> Seeded {
        self.region().seed(&self.network())
    }

    /// This test's part of AWS.
    pub fn region(&self) -> Region {
        self.emulator.region(&self.account, REGION)
    }

    /// Services of this test's namespace.
    pub fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a Service from YAML; type and class are added when they are missing.
    pub async fn create_service(&self, name: &str, spec: &str) -> Service {
        self.create_annotated(name, &[], spec).await
    }

    /// The same with annotations; a key without a slash gets the prefix `service.beta.kubernetes.io/aws-load-balancer-`.
    pub async fn create_annotated(&self, name: &str, annotations: &[(&str, &str)], spec: &str) -> Service {
        let service = self.service(name, annotations, spec);
        self.services().create(&PostParams::default(), &service).await.expect("the API server takes the Service")
    }

    /// The object that [`World::create_annotated`] creates.
    pub fn service(&self, name: &str, annotations: &[(&str, &str)], spec: &str) -> Service {
        let mut service: Service = serde_saphyr::from_str(&format!("spec: {spec}")).expect("a Service spec in YAML");
        service.metadata.name = Some(name.to_owned());
        service.metadata.annotations =
            Some(annotations.iter().map(|(key, value)| (annotation(key), (*value).to_owned())).collect());
        let spec = service.spec.as_mut().expect("a spec");
        spec.type_.get_or_insert_with(|| "LoadBalancer".to_owned());
        if spec.type_.as_deref() == Some("LoadBalancer") {
            spec.load_balancer_class.get_or_insert_with(|| self.class.clone());
        }
        service
    }

    /// A merge patch on a Service.
    pub async fn patch(&self, name: &str, patch: serde_json::Value) -> Service {
        self.services().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched")
    }

    /// Sets or (with `None`) removes an annotation.
    pub async fn annotate(&self, name: &str, key: &str, value: Option<&str>) -> Service {
        self.patch(name, serde_json::json!({"metadata": {"annotations": {annotation(key): value}}})).await
    }

    /// Deletes a Service; does not wait.
    pub async fn delete_service(&self, name: &str) {
        self.services().delete(name, &DeleteParams::default()).await.expect("deleted");
    }

    /// Waits until the Service's status shows a host name, and returns it.
    pub async fn host_name(&self, name: &str) -> String {
        wait::until(&format!("host name of {name}"), async || {
            let service = self.services().get(name).await.expect("the Service");
            host_name(&service).ok_or(service.status)
        })
        .await
    }

    /// Waits until a condition of the Service has this reason, and returns its message.
    pub async fn condition(&self, name: &str, type_: &str, reason: &str) -> String {
        wait::until(&format!("{type_}={reason} of {name}"), async || {
            let service = self.services().get(name).await.expect("the Service");
            let conditions = service.status.and_then(|status| status.conditions).unwrap_or_default();
            let found = conditions.iter().find(|c| c.type_ == type_ && c.reason == reason);
            found.map(|c| c.message.clone()).ok_or(conditions)
        })
        .await
    }

    /// Waits until the Service is gone.
    pub async fn gone(&self, name: &str) {
        wait::until(&format!("{name} is gone"), async || match self.services().get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(service) => Err(service.metadata.finalizers),
        })
        .await;
    }

    /// Waits until AWS holds nothing but what the seed made.
    pub async fn aws_empty(&self) {
        wait::until("AWS is empty", async || {
            let left = self.leftovers();
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    }

    /// Names of load balancers, target groups and managed security groups, and rules added to the nodes' group.
    pub fn leftovers(&self) -> Vec<String> {
        let region = self.region();
        let ours = |tags: &BTreeMap<String, String>| tags.contains_key("elbv2.k8s.aws/cluster");
        let mut left: Vec<String> = region.load_balancers().into_iter().map(|lb| lb.name).collect();
        left.extend(region.target_groups().into_iter().map(|group| group.name));
        for group in region.security_groups() {
            if ours(&group.tags) {
                left.push(group.name);
            } else {
                let rules =
                    group.rules.iter().filter(|rule| rule.description.as_ref().is_some_and(|text| text.contains("landfall")));
                left.extend(rules.map(|rule| format!("{} admits {rule:?}", group.name)));
            }
        }
        left
    }

    /// Number of the next call in the journal.
    pub fn mark(&self) -> u64 {
        self.emulator.journal().next_sequence()
    }

    /// Calls since a mark.
    pub fn calls_since(&self, mark: u64) -> Vec<Entry> {
        self.emulator.journal().since(mark)
    }

    /// Waits until no AWS call was made for this long, and returns the calls since the mark.
    pub async fn quiet(&self, mark: u64, for_at_least: Duration) -> Vec<Entry> {
        let mut last = self.mark();
        let mut since = tokio::time::Instant::now();
        wait::until("AWS is left alone", async || {
            let now = self.mark();
            if now != last {
                last = now;
                since = tokio::time::Instant::now();
            }
            if since.elapsed() >= for_at_least { Ok(()) } else { Err(actions(&self.calls_since(mark))) }
        })
        .await;
        self.calls_since(mark)
    }

    /// Landfall's events on a Service (the API server has some of its own): reason, count, note.
    pub async fn events(&self, name: &str) -> Vec<(String, i32, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = events.list(&ListParams::default()).await.expect("events");
        list.items
            .into_iter()
            .filter(|event| event.reporting_controller.as_deref() == Some("landfall"))
            .filter(|event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name))
            .map(|event| {
                let count = event.series.map_or(1, |series| series.count);
                (event.reason.unwrap_or_default(), count, event.note.unwrap_or_default())
            })
            .collect()
    }

    /// How often each event of this reason on a Service was counted: `[1]` when it was told once.
    pub async fn told(&self, name: &str, reason: &str) -> Vec<i32> {
        self.events(name).await.into_iter().filter(|event| event.0 == reason).map(|event| event.1).collect()
    }

    /// Waits for an event of this reason and returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        wait::until(&format!("event {reason} on {name}"), async || {
            let events = self.events(name).await;
            events.iter().find(|event| event.0 == reason).map(|event| event.2.clone()).ok_or(events)
        })
        .await
    }
}

/// Host name in a Service's status.
pub fn host_name(service: &Service) -> Option<String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.hostname.clone()
}

/// Names of actions, in order.
pub fn actions(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.action.clone()).collect()
}

/// The writes among calls.
pub fn writes(entries: &[Entry]) -> Vec<String> {
    entries.iter().filter(|entry| entry.write).map(|entry| entry.action.clone()).collect()
}

fn annotation(key: &str) -> String {
    if key.contains('/') { key.to_owned() } else { format!("service.beta.kubernetes.io/aws-load-balancer-{key}") }
}

/// GET, expecting 200; the body.
pub async fn http_get(url: &str) -> Result<String, String> {
    let client: HttpClient<_, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    let answer =
        client.get(url.parse().map_err(|error| format!("{url}: {error}"))?).await.map_err(|error| format!("{url}: {error:?}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status == 200 { Ok(text) } else { Err(format!("{status}: {text}")) }
}
