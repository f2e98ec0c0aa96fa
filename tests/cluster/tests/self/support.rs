//! What the tests share: a namespace each, applying objects, waiting for conditions, HTTP requests.

use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use landfall_test_cluster::Cluster;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

pub(crate) type Outcome<T = ()> = Result<T, Failed>;

/// How long any one condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A test's own namespace in the shared cluster.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) namespace: String,
    pub(crate) workdir: PathBuf,
}

impl Scope {
    pub(crate) async fn new(cluster: Arc<Cluster>, workdir: PathBuf, name: &str) -> Outcome<Self> {
        let namespaces: Api<Namespace> = Api::all(cluster.client());
        namespaces.create(&PostParams::default(), &from(json!({"metadata": {"name": name}}))?).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), name);
        until("the namespace's ServiceAccount", || async { Ok(accounts.get_opt("default").await?.is_some()) }).await?;
        Ok(Self { cluster, namespace: name.to_owned(), workdir })
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    pub(crate) fn services(&self) -> Api<Service> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// Creates an object of any kind.
    pub(crate) async fn create(&self, object: Value) -> Outcome {
        let object: DynamicObject = from(object)?;
        let types = object.types.clone().ok_or("the object has no kind")?;
        let kind = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
        let api: Api<DynamicObject> = Api::namespaced_with(self.cluster.client(), &self.namespace, &kind);
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// A pod that satisfies `wanted`, once there is one.
    pub(crate) async fn pod_when(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Outcome<Pod> {
        let pods = self.pods();
        until(&format!("pod {name}: {what}"), || async { Ok(pods.get(name).await.is_ok_and(|pod| wanted(&pod))) }).await?;
        Ok(pods.get(name).await?)
    }

    /// The pods with label `app=<app>` that are ready and not being deleted, once there are `count`.
    pub(crate) async fn ready_pods(&self, app: &str, count: usize) -> Outcome<Vec<Pod>> {
        let (pods, parameters) = (self.pods(), ListParams::default().labels(&format!("app={app}")));
        let mut found = Vec::new();
        until(&format!("{count} ready pods of {app}"), async || {
            let items = pods.list(&parameters).await?.items;
            let all = items.len();
            found = items.into_iter().filter(|pod| is(pod, "Ready", "True")).collect();
            Ok(found.len() == count && all == count)
        })
        .await?;
        Ok(found)
    }

    /// What the kubelet or a container of a pod has written.
    pub(crate) fn log(&self, pod: &str, file: &str) -> Outcome<String> {
        let path = self.workdir.join("pods").join(format!("{}_{pod}", self.namespace)).join(file);
        Ok(std::fs::read_to_string(&path).map_err(|problem| format!("{}: {problem}", path.display()))?)
    }

    /// A pod with one container `main` of image `backend`, with more of a container's fields.
    pub(crate) fn backend_pod(name: &str, spec: Value, container: Value) -> Value {
        let spec = Self::backend_spec(spec, container);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
    }

    /// The same pod's spec, for a template.
    pub(crate) fn backend_spec(spec: Value, container: Value) -> Value {
        let mut main = json!({"name": "main", "image": "registry.test/landfall-backend:1",
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 9376}, "periodSeconds": 1}});
        merge(&mut main, container);
        let mut whole = json!({"containers": [main]});
        merge(&mut whole, spec);
        whole
    }

    /// A Service of type NodePort for `app=<name>`, created; its ClusterIP and node port.
    pub(crate) async fn service(&self, name: &str, policy: &str) -> Outcome<(Ipv4Addr, u16, Option<u16>)> {
        let kind = if policy == "Local" { "LoadBalancer" } else { "NodePort" };
        self.create(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
            "type": kind, "externalTrafficPolicy": policy, "selector": {"app": name},
            "ports": [{"port": 80, "targetPort": 9376}]}}))
            .await?;
        let spec = self.services().get(name).await?.spec.ok_or("no spec")?;
        let port = spec.ports.iter().flatten().find_map(|port| port.node_port).ok_or("no node port")?;
        let health = spec.health_check_node_port.map(u16::try_from).transpose()?;
        Ok((spec.cluster_ip.ok_or("no ClusterIP")?.parse()?, u16::try_from(port)?, health))
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub(crate) fn from<T: serde::de::DeserializeOwned>(value: Value) -> Outcome<T> {
    Ok(serde_json::from_value(value)?)
}

/// Whether a condition of the pod has a status.
pub(crate) fn is(pod: &Pod, condition: &str, status: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none() && conditions.iter().any(|known| known.type_ == condition && known.status == status)
}

pub(crate) fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

pub(crate) fn address(pod: &Pod) -> Outcome<Ipv4Addr> {
    Ok(pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).ok_or("the pod has no address")?.parse()?)
}

/// The first container's process id and restart count.
pub(crate) fn process(pod: &Pod) -> Outcome<(i32, i32)> {
    let status =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first()).ok_or("no container status")?;
    let id = status.container_id.as_deref().and_then(|id| id.strip_prefix("process://")).ok_or("no container id")?;
    Ok((id.parse()?, status.restart_count))
}

/// Waits until `check` says true; an error of it counts as not yet.
pub(crate) async fn until(what: &str, mut check: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last = match check().await {
            Ok(true) => return Ok(()),
            Ok(false) => String::new(),
            Err(problem) => format!(": {problem:?}"),
        };
        if Instant::now() >= deadline {
            return Err(format!("still waiting after {} s for {what}{last}", PATIENCE.as_secs()).into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it reads like assert_eq! so")]
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}").into()) }
}

pub(crate) fn ensure(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// An HTTP answer: status, the client's address as the backend saw it, body without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) client: String,
    pub(crate) body: String,
}

/// One request on a connection of its own, from the calling thread's network namespace.
pub(crate) async fn get(address: impl Into<SocketAddr>, path: &str) -> Outcome<Answer> {
    let address = address.into();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    let text = timeout(Duration::from_secs(3), exchange).await.map_err(|_| format!("no answer from {address} in time"))??;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP answer from {address}: {text:?}"))?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let client = head.lines().find_map(|line| line.strip_prefix("client-address: ")).unwrap_or_default();
    Ok(Answer { status, client: client.to_owned(), body: body.trim().to_owned() })
}

/// The same from a node's network namespace.
pub(crate) async fn get_on(cluster: &Cluster, node: &str, address: impl Into<SocketAddr>, path: &'static str) -> Outcome<Answer> {
    let address = address.into();
    cluster
        .spawn_on(node, async move { get(address, path).await.map_err(|problem| format!("{problem:?}")) })?
        .await?
        .map_err(Into::into)
}
