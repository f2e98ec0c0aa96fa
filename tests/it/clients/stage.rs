//! What the clients speak to: one data plane with one Ingress for everything, and the Go backend behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, PostParams};
use landfall_test_cluster::VPC_ADDRESS;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

use crate::support::data_plane::{Answer, DataPlane, create_class, create_ingress, rule};
use crate::support::fixture::{case, option};
use crate::support::world::World;

/// What a program may take on a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// See the module. Ends with the test program.
pub struct Stage {
    world: World,
    data_plane: DataPlane,
    /// Where plain HTTP is served.
    pub http: SocketAddr,
    /// Where HTTP over TLS is served.
    pub https: SocketAddr,
    _backend: Child,
}

static STAGE: OnceCell<Stage> = OnceCell::const_new();

impl Stage {
    /// The stage that all tests share.
    pub async fn get() -> &'static Self {
        STAGE.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let world = case("clients").await;
        let program = PathBuf::from(option("LANDFALL_CLIENTS").expect("it was looked for")).join("clients");
        // Addresses of this machine are none that a slice may have.
        let (backend, port) = start_backend(&program).await;
        create_class(&world).await;
        let namespace = &world.namespace;
        create::<Service>(&world, json!({"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}})).await;
        create::<EndpointSlice>(
            &world,
            json!({
                "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
                "endpoints": [{"addresses": [VPC_ADDRESS], "conditions": {"ready": true}}], "ports": [{"name": "http", "port": port}],
            }),
        )
        .await;
        create::<ConfigMap>(&world, json!({"metadata": {"name": "options"}, "data": {"proxy-body-size": "0"}})).await;
        create_ingress(&world, "all", &rule("", "/", "web", 80)).await;
        let data_plane = DataPlane::start(&world, "clients", &[&format!("--configmap={namespace}/options")]).await;
        data_plane.answers("any.example", "/", 200).await;
        let (http, https) = (data_plane.http, data_plane.https);
        Self { world, data_plane, http, https, _backend: backend }
    }

    /// A data plane with the same Ingress, for one test alone.
    pub async fn another(&self, name: &str) -> DataPlane {
        let config = format!("--configmap={}/options", self.world.namespace);
        let data_plane = DataPlane::start(&self.world, name, &[&config]).await;
        data_plane.answers("any.example", "/", 200).await;
        data_plane
    }

    /// `http://…` or `https://…`, without a path.
    pub fn url(&self, scheme: &str) -> String {
        let address = if scheme == "https" { self.https } else { self.http };
        format!("{scheme}://{address}")
    }

    /// For logs.
    pub fn workdir(&self) -> &Path {
        &self.world.workdir
    }

    /// What a GET gets.
    pub async fn answer(&self, path: &str) -> Answer {
        self.data_plane.get("any.example", path).await
    }
}

async fn start_backend(program: &Path) -> (Child, u16) {
    let mut child = Command::new(program)
        .args(["backend", &format!("{VPC_ADDRESS}:0")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the backend starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let said = lines.next_line().await.expect("a line").expect("a line");
    let port = said.rsplit(':').next().and_then(|port| port.parse().ok()).expect("listening on ADDRESS:PORT");
    (child, port)
}

async fn create<K>(world: &World, object: serde_json::Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + serde::Serialize,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let api: Api<K> = Api::namespaced(world.client.clone(), &world.namespace);
    api.create(&PostParams::default(), &object).await.expect("created");
}

/// Runs a program to its end, in time; what it printed, and whether it succeeded.
pub async fn output(program: &Path, arguments: &[&str]) -> (String, bool) {
    let running = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, running).await;
    let output =
        output.unwrap_or_else(|_| panic!("{program:?} {arguments:?} has not ended within {LIMIT:?}")).expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // What it complains of is of interest only if it fails.
    let complaint = if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() };
    (text + &complaint, output.status.success())
}

/// The same for one that has to succeed; what it printed.
pub async fn run(program: &Path, arguments: &[&str]) -> String {
    let (said, succeeded) = output(program, arguments).await;
    assert!(succeeded, "{program:?} {arguments:?} failed:\n{said}");
    said
}

/// A line of the table.
pub fn line(name: &str, summary: &str) {
    println!("client  {name:<28}  {summary}");
}
