//! A `landfall ingress` process against a test's world, and a client that speaks to it byte by byte.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::controller::{Controller, command, free_port};
use super::wait;
use super::world::World;

/// A running data plane for the Ingresses of the world's namespace and class. Dropping it kills it.
pub struct DataPlane {
    process: Controller,
    /// Where it serves http.
    pub http: SocketAddr,
    /// Where it serves https.
    pub https: SocketAddr,
}

impl Deref for DataPlane {
    type Target = Controller;

    fn deref(&self) -> &Controller {
        &self.process
    }
}

impl DataPlane {
    /// Starts one and waits until it serves.
    pub async fn start(world: &World, name: &str, arguments: &[&str]) -> Self {
        let started = Self::spawn(world, name, arguments);
        started.is_ready().await;
        started
    }

    /// Waits until it serves.
    pub async fn is_ready(&self) {
        wait::until("the data plane is ready", async || self.asked("readyz").await).await;
    }

    /// `/livez`, `/readyz`: what they answer with 200, or else.
    pub async fn asked(&self, what: &str) -> Result<String, String> {
        super::world::http_get(&format!("http://{}/{what}", self.admin)).await
    }

    /// Starts one; does not wait.
    pub fn spawn(world: &World, name: &str, arguments: &[&str]) -> Self {
        let [http, https, admin] = [free_port(), free_port(), free_port()];
        let mut command = command(world);
        command
            .arg("ingress")
            .args(["--controller-class", &controller_class(world), "--watch-namespace", &world.namespace])
            .args(["--bind-address", "127.0.0.1", "--http-port", &http.to_string(), "--https-port", &https.to_string()])
            .args(["--admin-address", &format!("127.0.0.1:{admin}"), "--workers", "1"])
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", &world.namespace)
            .env("LANDFALL_LOG_LEVEL", "info,landfall=debug")
            .args(arguments);
        let process = Controller::spawn(world, name, command, format!("127.0.0.1:{admin}"));
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { process, http: address(http), https: address(https) }
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(self) {
        assert!(self.process.stop().await.success());
    }

    /// Status and body of a GET over plain HTTP/1.1 with this Host.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        ask(self.http, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
    }

    /// Waits until a GET gets this status.
    pub async fn answers(&self, host: &str, path: &str, status: u16) -> Answer {
        wait::until(&format!("{status} for {host}{path}"), async || {
            let answer = self.get(host, path).await;
            if answer.status == status { Ok(answer) } else { Err(answer) }
        })
        .await
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code; 0 if the connection ended without one.
    pub status: u16,
    /// Head and body as they came.
    pub text: String,
}

impl Answer {
    /// What a conversation ends with.
    pub async fn of(conversation: impl Future<Output = std::io::Result<Vec<u8>>>) -> Self {
        let text = match tokio::time::timeout(Duration::from_secs(10), conversation).await {
            Ok(Ok(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(Err(problem)) => format!("{problem}"),
            Err(_) => "no end of the answer within ten seconds".to_owned(),
        };
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or_default();
        Self { status, text }
    }

    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What follows the head.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// Sends these bytes and reads until the other side closes.
pub async fn ask(address: SocketAddr, request: &str) -> Answer {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    Answer::of(conversation).await
}

/// The controller that the world's IngressClass names.
pub fn controller_class(world: &World) -> String {
    format!("landfall.test/{}", world.namespace)
}

/// Name of the world's IngressClass.
pub fn class(world: &World) -> String {
    format!("class-{}", world.namespace)
}

/// Creates the world's IngressClass.
pub async fn create_class(world: &World) {
    let class = json!({"metadata": {"name": class(world)}, "spec": {"controller": controller_class(world)}});
    let class: IngressClass = serde_json::from_value(class).expect("an IngressClass");
    Api::all(world.client.clone()).create(&PostParams::default(), &class).await.expect("an IngressClass");
}

/// Deletes the world's IngressClass: it belongs to no namespace.
pub async fn delete_class(world: &World) {
    Api::<IngressClass>::all(world.client.clone()).delete(&class(world), &DeleteParams::default()).await.expect("deleted");
}

/// Ingresses of the world's namespace.
pub fn ingresses(world: &World) -> Api<Ingress> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

/// Creates an Ingress of the world's class from a spec in YAML.
pub async fn create_ingress(world: &World, name: &str, spec: &str) -> Ingress {
    let mut ingress: Ingress = serde_saphyr::from_str(&format!("spec: {spec}")).expect("an Ingress spec in YAML");
    ingress.metadata.name = Some(name.to_owned());
    ingress.spec.as_mut().expect("a spec").ingress_class_name.get_or_insert_with(|| class(world));
    ingresses(world).create(&PostParams::default(), &ingress).await.expect("the API server takes the Ingress")
}

/// A merge patch on an Ingress.
pub async fn patch_ingress(world: &World, name: &str, patch: Value) {
    ingresses(world).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
}

/// One rule: host (may be empty), path, Service and its port.
pub fn rule(host: &str, path: &str, service: &str, port: u16) -> String {
    let host = if host.is_empty() { String::new() } else { format!("host: \"{host}\", ") };
    format!(
        "{{rules: [{{{host}http: {{paths: [{{path: \"{path}\", pathType: Prefix, \
         backend: {{service: {{name: {service}, port: {{number: {port}}}}}}}}}]}}}}]}}"
    )
}

/// Waits until the status of an Ingress shows exactly these host names and addresses.
pub async fn status_is(world: &World, name: &str, expected: &[&str]) {
    wait::until(&format!("the status of {name}"), async || {
        let ingress = ingresses(world).get(name).await.expect("the Ingress");
        let entries = ingress.status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
        let shown: Vec<String> = entries.into_iter().filter_map(|entry| entry.hostname.or(entry.ip)).collect();
        if shown == expected { Ok(()) } else { Err(shown) }
    })
    .await;
}

/// A ClusterIP Service on port 80 for pods labelled `app: <name>` on 8080.
pub async fn create_service(world: &World, name: &str) {
    let service = json!({
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    let service: Service = serde_json::from_value(service).expect("a Service");
    world.services().create(&PostParams::default(), &service).await.expect("created");
}

/// A certificate for these names, and its key, as a `kubernetes.io/tls` Secret has them.
pub fn secret(name: &str, hosts: &[&str]) -> Secret {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let secret = json!({
        "metadata": {"name": name}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()},
    });
    serde_json::from_value(secret).expect("a Secret")
}

/// The certificate that is shown for a server name, in DER.
pub async fn certificate(data_plane: &DataPlane, name: &str) -> Vec<u8> {
    let connected = landfall_test_cluster::tls::connect(data_plane.https, name, &[]).await.expect("a handshake");
    connected.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
}

/// Waits for an event with this reason on an Ingress; its note.
pub async fn reason_of(world: &World, ingress: &str, reason: &str) -> String {
    wait::until(&format!("event {reason} on {ingress}"), async || {
        let events = events(world, ingress).await;
        let found = events.iter().find(|event| event.reason.as_deref() == Some(reason));
        found.and_then(|event| event.note.clone()).ok_or(events)
    })
    .await
}

/// Events on an Ingress.
pub async fn events(world: &World, ingress: &str) -> Vec<Event> {
    events_on(world, "Ingress", ingress).await
}

/// Events on an object.
pub async fn events_on(world: &World, kind: &str, name: &str) -> Vec<Event> {
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let list = events.list(&ListParams::default()).await.expect("events");
    let regards = |event: &Event| {
        let object = event.regarding.clone().unwrap_or_default();
        object.kind.as_deref() == Some(kind) && object.name.as_deref() == Some(name)
    };
    list.items.into_iter().filter(regards).collect()
}
