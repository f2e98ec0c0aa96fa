//! The three nodes: their names and addresses, a thread and kube-proxy for each in its network namespace, and their Node objects.
//! Uses [`crate::network`], [`crate::launcher`], [`crate::process`]; the pods on them are [`crate::kubelet`]'s.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::certificates::{Credentials, User};
use crate::error::Error;
use crate::launcher::Launch;
use crate::process::Process;
use crate::{http_client, network};

/// The AWS region of the standard world.
pub const REGION: &str = "us-west-2";

const INSTANCE_TYPE: &str = "m7i.large";

/// kube-proxy's health port, which says when its rules are in place.
const PROXY_HEALTH_PORT: u16 = 10256;

/// How long a node's kube-proxy may take to write its first rules.
const PROXY_LIMIT: Duration = Duration::from_secs(60);

/// One of the cluster's nodes, as the AWS emulator's standard world knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name of the Node object: `node-1` and so on.
    pub name: String,
    /// Availability zone: `us-west-2a` and so on.
    pub zone: String,
    /// EC2 instance id, 17 hex digits after `i-`.
    pub instance_id: String,
    /// The node's (and instance's) private address, 10.20.N.10; node ports answer there.
    pub address: Ipv4Addr,
    /// Where its pods' addresses come from: the upper half of its subnet.
    pub pod_cidr: Ipv4Net,
    pub(crate) number: u8,
}

impl Node {
    /// Nodes 1 to 3 in zones a to c.
    pub(crate) fn three() -> Result<Vec<Self>, Error> {
        let node = |(number, zone): (u8, char)| {
            let pod_cidr = Ipv4Net::new(Ipv4Addr::new(10, 20, number, 128), 25);
            Ok(Self {
                name: format!("node-{number}"),
                zone: format!("{REGION}{zone}"),
                instance_id: format!("i-{number:017x}"),
                address: Ipv4Addr::new(10, 20, number, 10),
                pod_cidr: pod_cidr.map_err(|problem| Error::Option { field: "pod_cidr", problem: problem.to_string() })?,
                number,
            })
        };
        (1..=3).zip('a'..='c').map(node).collect()
    }

    /// The node's subnet: its own address and its pods'.
    pub(crate) fn subnet(&self) -> Ipv4Net {
        self.pod_cidr.supernet().unwrap_or(self.pod_cidr)
    }

    /// The Node object, without status.
    fn object(&self) -> serde_json::Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": {
                "kubernetes.io/hostname": self.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
                "node.kubernetes.io/instance-type": INSTANCE_TYPE,
                "topology.kubernetes.io/region": REGION,
                "topology.kubernetes.io/zone": self.zone,
            }},
            "spec": {
                "providerID": format!("aws:///{}/{}", self.zone, self.instance_id),
                "podCIDR": self.pod_cidr, "podCIDRs": [self.pod_cidr],
            },
        })
    }

    fn status(&self) -> serde_json::Value {
        let now = jiff::Timestamp::now();
        let resources = json!({"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"});
        json!({"status": {
            "capacity": resources, "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": self.address}, {"type": "Hostname", "address": self.name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the process kubelet runs",
                "lastHeartbeatTime": now, "lastTransitionTime": now}],
            "nodeInfo": {"architecture": std::env::consts::ARCH, "operatingSystem": "linux", "kubeletVersion": "v1.36.3",
                "bootID": "", "containerRuntimeVersion": "process://1", "kernelVersion": "", "kubeProxyVersion": "", "machineID": self.name,
                "osImage": "Landfall process kubelet", "systemUUID": self.instance_id},
        }})
    }
}

/// What runs for one node: a thread in its network namespace and its kube-proxy.
#[derive(Debug)]
pub(crate) struct NodeRuntime {
    pub(crate) node: Node,
    runtime: Handle,
    /// Ends the thread when dropped.
    shutdown: DropGuard,
    proxy: Process,
}

impl NodeRuntime {
    /// Makes the node's network, thread and kube-proxy. The Node object exists already: kube-proxy waits for its pod range.
    pub(crate) async fn start(
        node: Node,
        binaries: &Path,
        workdir: &Path,
        logs: &Path,
        credentials: &Credentials,
    ) -> Result<Self, Error> {
        network::add_node(&node)?;
        let shutdown = CancellationToken::new();
        let runtime = start_thread(&node, shutdown.clone()).await?;
        let proxy = start_proxy(&node, binaries, workdir, logs, credentials)?;
        Ok(Self { node, runtime, shutdown: shutdown.drop_guard(), proxy })
    }

    /// Runs a future on the node's thread: its sockets are the node's.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// Waits until kube-proxy has written its rules.
    pub(crate) async fn ready(&mut self, logs: &Path) -> Result<(), Error> {
        let (deadline, health) = (Instant::now() + PROXY_LIMIT, (self.node.address, PROXY_HEALTH_PORT).into());
        loop {
            self.proxy.check()?;
            let answer = match http_client::get(health, "/healthz", &[], Duration::from_secs(1)).await {
                Ok(200) => return Ok(()),
                Ok(status) => format!("status {status}"),
                Err(problem) => problem.to_string(),
            };
            if Instant::now() >= deadline {
                let what = format!("kube-proxy on {} (last answer: {answer})", self.node.name);
                return Err(Error::Timeout { what, seconds: PROXY_LIMIT.as_secs(), logs: logs.to_owned() });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.shutdown);
        self.proxy.stop(Duration::from_secs(1)).await;
    }
}

/// A thread that lives in the node's network namespace and runs futures there.
async fn start_thread(node: &Node, shutdown: CancellationToken) -> Result<Handle, Error> {
    let namespace = network::namespace_file(&node.name);
    let (started, handle) = oneshot::channel();
    let body = move || {
        let runtime = network::move_thread(&namespace).and_then(|()| Builder::new_current_thread().enable_all().build());
        match runtime {
            Ok(runtime) => {
                // The receiver waits; if it is gone, so is the cluster, and the token says so.
                let _ = started.send(Ok(runtime.handle().clone()));
                runtime.block_on(shutdown.cancelled());
                runtime.shutdown_background();
            }
            Err(problem) => drop(started.send(Err(problem))),
        }
    };
    let failed = || Error::io(format!("start the thread of {}", node.name));
    std::thread::Builder::new().name(node.name.clone()).spawn(body).map_err(failed())?;
    handle.await.map_err(|gone| failed()(std::io::Error::other(gone)))?.map_err(failed())
}

fn start_proxy(node: &Node, binaries: &Path, workdir: &Path, logs: &Path, credentials: &Credentials) -> Result<Process, Error> {
    let name = format!("kube-proxy-{}", node.name);
    let config = workdir.join(format!("{name}.json"));
    let settings = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": credentials.kubeconfig(User::Proxy)},
        "hostnameOverride": node.name,
        // nftables mode would serve node ports on the primary address only.
        "mode": "iptables",
        // Shorter than the default of 1 s, which would be most of the time that a test of endpoints takes.
        "iptables": {"minSyncPeriod": "100ms", "localhostNodePorts": false},
        "detectLocalMode": "NodeCIDR",
        // These settings belong to the machine; a private namespace may not write them.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": format!("0.0.0.0:{PROXY_HEALTH_PORT}"),
        "metricsBindAddress": "127.0.0.1:10249",
    });
    std::fs::write(&config, settings.to_string()).map_err(Error::io(format!("write {}", config.display())))?;
    let launch = Launch { network: Some(network::namespace_file(&node.name)), ..Launch::default() };
    let command = launch.command(&binaries.join("kube-proxy"), [format!("--config={}", config.display())]);
    Process::start(&name, command.map_err(Error::io("find its own executable"))?, logs)
}

/// Creates the Node object and reports it ready, as a kubelet does when it starts.
pub(crate) async fn register(client: &kube::Client, node: &Node) -> Result<(), Error> {
    let nodes: Api<core::Node> = Api::all(client.clone());
    let failed = || Error::kubernetes(format!("register {}", node.name));
    let object = serde_json::from_value(node.object()).map_err(|source| failed()(kube::Error::SerdeError(source)))?;
    nodes.create(&PostParams::default(), &object).await.map_err(failed())?;
    let status = Patch::Strategic(node.status());
    nodes.patch_status(&node.name, &PatchParams::default(), &status).await.map_err(failed())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_those_of_the_standard_world() {
        let nodes = Node::three().unwrap();
        let second = &nodes[1];
        assert_eq!(nodes.len(), 3);
        assert_eq!(second.instance_id, "i-00000000000000002");
        assert_eq!((second.zone.as_str(), second.address), ("us-west-2b", "10.20.2.10".parse().unwrap()));
        assert_eq!((second.pod_cidr.to_string(), second.subnet().to_string()), ("10.20.2.128/25".into(), "10.20.2.0/24".into()));
        assert_eq!(second.object()["spec"]["providerID"], "aws:///us-west-2b/i-00000000000000002");
    }
}
