//! A real Kubernetes control plane and three nodes on one machine, without root, containers or images.
//!
//! [`enter_namespaces`] puts the whole program into private namespaces; [`Cluster::start`] then starts etcd, kube-apiserver,
//! kube-controller-manager and kube-scheduler, and three nodes in three zones, each in a network namespace of its own with kube-proxy
//! and a **process kubelet**: a Pod gets a network namespace and an address of its node's range, and its containers are local programs
//! that [`Images`] names. Everything ends with the program, however that ends.
//!
//! What is real: API, admission, RBAC, controllers, scheduling, ClusterIPs, node ports and health-check node ports, addresses, routes
//! and losses between them, probes, grace periods, tokens. What is not: images, isolation of files, users and processes, resource
//! limits, CNI plugins, cluster DNS (names are asked at [`Options::dns`]), `kubectl logs` and `exec` (output is in
//! `<workdir>/pods/<namespace>_<name>/<container>.log`), node heartbeats (a Node stays Ready until somebody patches it).
//!
//! From the ground up: `launcher` and `network`; `namespaces`; `certificates` and `process`; `control_plane`; `images`; `kubelet`;
//! `nodes`. The program `landfall-cluster` (`bin/cluster/`) joins a cluster with the AWS emulator for people; `landfall-backend` is what
//! stands behind Services, and `landfall-load` asks it all the time, by the clients of [`load`].

mod certificates;
mod control_plane;
mod error;
mod http_client;
mod images;
mod kubelet;
mod launcher;
pub mod load;
mod namespaces;
mod network;
mod nodes;
mod process;
pub mod tls;

use std::fmt;
use std::fs;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use certificates::{Credentials, User};
use control_plane::{ControlPlane, KUBERNETES_SERVICE, PORT, PROGRAMS};
use nodes::NodeRuntime;

pub use error::Error;
pub use images::{ImageError, Images, Program};
pub use launcher::run_launcher_if_asked;
pub use namespaces::{NamespaceError, enter_namespaces, hide_marker, init_process, search_path_after};
pub use network::{NetworkError, SERVICE_RANGE, VPC_ADDRESS};
pub use nodes::{Node, REGION};

/// How long the default ServiceAccount, which pods need, may take to appear.
const ACCOUNT_LIMIT: Duration = Duration::from_secs(30);

/// What a cluster is made of.
pub struct Options {
    /// Folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy and kubectl (`tools/kubernetes/build.sh`
    /// prints it).
    pub binaries: PathBuf,
    /// Folder for logs, certificates, etcd's data, pods' output and the kubeconfig; created when missing. What an earlier cluster
    /// left in it is removed, anything else stays.
    pub workdir: PathBuf,
    /// Name in the kubeconfig and the certificates.
    pub cluster_name: String,
    /// The name server of nodes and pods; its port is 53. It may start later, or never when nobody asks for names.
    pub dns: SocketAddr,
    /// The programs that stand for container images. May grow while the cluster runs.
    pub images: Images,
    /// Told one short line for each step of the start.
    pub progress: Box<dyn Fn(&str) + Send + Sync>,
    /// Whether the API server writes an audit log (level Metadata).
    pub audit: bool,
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Options").field("workdir", &self.workdir).field("images", &self.images).finish_non_exhaustive()
    }
}

/// A running cluster. Dropping it ends it at once; [`Cluster::stop`] does so in order.
pub struct Cluster {
    control_plane: ControlPlane,
    runtimes: Vec<NodeRuntime>,
    nodes: Vec<Node>,
    client: kube::Client,
    kubeconfig: PathBuf,
    audit_log: Option<PathBuf>,
    kubelets: DropGuard,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cluster")
            .field("kubeconfig", &self.kubeconfig)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts a cluster and returns when it is ready: the API server says so, three Nodes are Ready, kube-proxy has written its rules
    /// everywhere, and namespace `default` has its ServiceAccount. Takes about five seconds.
    ///
    /// # Errors
    /// [`Error`] names the option, or the program with its last lines of output, or the step.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if !namespaces::inside() {
            return Err(Error::NotInside);
        }
        check(&options)?;
        let Options { binaries, workdir, cluster_name, dns, images, progress, audit } = options;
        prepare(&workdir)?;
        // Others may be given a relative path, children run elsewhere.
        let workdir = fs::canonicalize(&workdir).map_err(Error::io(format!("find {}", workdir.display())))?;
        let (logs, pods) = (workdir.join("logs"), workdir.join("pods"));
        network::use_resolver(dns.ip(), &workdir).map_err(Error::io("replace /etc/resolv.conf"))?;
        // Whoever installed one before keeps it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

        progress("certificates and keys");
        let credentials = Credentials::create(&workdir, &cluster_name, &server(), &ControlPlane::server_names())?;
        progress("etcd and kube-apiserver");
        let audit_log = audit.then(|| logs.join("audit.log"));
        let mut control_plane = ControlPlane::start(&binaries, &workdir, &logs, &credentials, audit_log.as_deref())?;
        let kubeconfig = credentials.kubeconfig(User::Admin);
        let client = client(&kubeconfig).await?;
        control_plane.ready(&client).await?;
        progress("kube-controller-manager, kube-scheduler and three nodes");
        control_plane.start_followers(&credentials)?;

        let kubelets = CancellationToken::new();
        let nodes = Node::three()?;
        let mut runtimes = Vec::new();
        for node in &nodes {
            nodes::register(&client, node).await?;
            let runtime = NodeRuntime::start(node.clone(), &binaries, &workdir, &logs, &credentials).await?;
            let kubelet = kubelet::Settings {
                node: node.clone(),
                images: images.clone(),
                kubeconfig: credentials.kubeconfig(User::Kubelet),
                pods: pods.clone(),
                service: (KUBERNETES_SERVICE, 443).into(),
            };
            runtime.spawn(kubelet::run(kubelet, kubelets.clone()));
            runtimes.push(runtime);
        }
        progress("kube-proxy on each node");
        for runtime in &mut runtimes {
            runtime.ready(&logs).await?;
        }
        progress("ServiceAccount default/default");
        wait_for_account(&client, &mut control_plane, &logs).await?;
        Ok(Self { control_plane, runtimes, nodes, client, kubeconfig, audit_log, kubelets: kubelets.drop_guard() })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with an administrator's rights.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The API server's URL, the same from the VPC, nodes and pods.
    pub fn server(&self) -> String {
        server()
    }

    /// The nodes, by number.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The audit log (a JSON object in each line), if [`Options::audit`] asked for it.
    pub fn audit_log(&self) -> Option<&Path> {
        self.audit_log.as_deref()
    }

    /// Runs a future in a node's network namespace: what it connects to sees the node as the client, and ClusterIPs can be dialled.
    ///
    /// # Errors
    /// [`Error::NoSuchNode`].
    pub fn spawn_on<F>(&self, node: &str, future: F) -> Result<JoinHandle<F::Output>, Error>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let runtime = self.runtimes.iter().find(|runtime| runtime.node.name == node);
        Ok(runtime.ok_or_else(|| Error::NoSuchNode(node.to_owned()))?.spawn(future))
    }

    /// Cuts a node off: its link goes down, so that to everybody else its pods, node ports and kubelet are silent. The Node object
    /// stays Ready, as nobody watches heartbeats here: a test that needs another condition patches it.
    ///
    /// # Errors
    /// [`Error::NoSuchNode`], or `ip` failed.
    pub fn cut_node(&self, name: &str) -> Result<(), Error> {
        Ok(network::cut_node(self.node(name)?)?)
    }

    /// Ends [`Cluster::cut_node`].
    ///
    /// # Errors
    /// [`Error::NoSuchNode`], or `ip` failed.
    pub fn restore_node(&self, name: &str) -> Result<(), Error> {
        Ok(network::connect_node(self.node(name)?)?)
    }

    /// Drops every packet that a pod or node sends to the API server, also by its ClusterIP; whatever else it talks to still answers.
    ///
    /// # Errors
    /// `iptables` failed.
    pub fn cut_from_api_server(&self, client: Ipv4Addr) -> Result<(), Error> {
        Ok(network::refuse_packets(true, client, PORT)?)
    }

    /// Ends [`Cluster::cut_from_api_server`].
    ///
    /// # Errors
    /// It was not cut, or `iptables` failed.
    pub fn restore_to_api_server(&self, client: Ipv4Addr) -> Result<(), Error> {
        Ok(network::refuse_packets(false, client, PORT)?)
    }

    /// Suspends the API server's process: connections are accepted by the kernel and nobody answers.
    ///
    /// # Errors
    /// The signal could not be sent.
    pub fn pause_api_server(&self) -> Result<(), Error> {
        self.control_plane.pause_api_server()
    }

    /// Ends [`Cluster::pause_api_server`].
    ///
    /// # Errors
    /// The signal could not be sent.
    pub fn resume_api_server(&self) -> Result<(), Error> {
        self.control_plane.resume_api_server()
    }

    /// Ends pods, nodes and control plane, within a few seconds. Pods get SIGKILL: their objects are of no use to anybody any more.
    pub async fn stop(self) {
        drop(self.kubelets);
        futures::future::join_all(self.runtimes.into_iter().map(NodeRuntime::stop)).await;
        self.control_plane.stop().await;
    }

    fn node(&self, name: &str) -> Result<&Node, Error> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| Error::NoSuchNode(name.to_owned()))
    }
}

/// The control plane's folder, built by `tools/kubernetes/build.sh` if it is not there yet (which takes minutes and needs a network, so
/// it is better done before [`enter_namespaces`]).
///
/// # Errors
/// The script failed; what it said went to standard error.
pub fn built_control_plane() -> Result<PathBuf, Error> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/kubernetes/build.sh");
    let action = format!("build the control plane with {}", script.display());
    let output = Command::new(&script).stderr(Stdio::inherit()).output().map_err(Error::io(&action))?;
    if !output.status.success() {
        return Err(Error::io(action)(std::io::Error::other(format!("the script ended with {}", output.status))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(PathBuf::from(text.lines().last().unwrap_or_default()))
}

/// Creates the working folder and those in it. What another cluster left there goes: its data would be read with new keys.
fn prepare(workdir: &Path) -> Result<(), Error> {
    let used_before = certificates::exist_in(workdir);
    for folder in ["etcd", "logs", "pods"].map(|name| workdir.join(name)) {
        if used_before && folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::io(format!("remove {}", folder.display())))?;
        }
        fs::create_dir_all(&folder).map_err(Error::io(format!("create {}", folder.display())))?;
    }
    Ok(())
}

fn check(options: &Options) -> Result<(), Error> {
    let problem = |field, problem: String| Err(Error::Option { field, problem });
    if let Some(missing) = PROGRAMS.iter().find(|program| !options.binaries.join(program).is_file()) {
        let folder = options.binaries.display();
        return problem("binaries", format!("{folder} has no {missing}; give the folder that tools/kubernetes/build.sh prints"));
    }
    if options.dns.port() != 53 {
        return problem("dns", format!("{} cannot be used: resolv.conf has no ports, so it must be 53", options.dns));
    }
    if options.cluster_name.is_empty() {
        return problem("cluster_name", "it is empty; give a name such as `demo`".into());
    }
    Ok(())
}

fn server() -> String {
    format!("https://{VPC_ADDRESS}:{PORT}")
}

/// A client for the calling runtime (its connections are made and driven there).
async fn client(kubeconfig: &Path) -> Result<kube::Client, Error> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    kube::Client::try_from(config).map_err(Error::kubernetes("accept the client's settings"))
}

async fn wait_for_account(client: &kube::Client, control_plane: &mut ControlPlane, logs: &Path) -> Result<(), Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let deadline = Instant::now() + ACCOUNT_LIMIT;
    loop {
        control_plane.check()?;
        if accounts.get_opt("default").await.map_err(Error::kubernetes("show ServiceAccount default/default"))?.is_some() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = "ServiceAccount default/default".to_owned();
            return Err(Error::Timeout { what, seconds: ACCOUNT_LIMIT.as_secs(), logs: logs.to_owned() });
        }
        sleep(Duration::from_millis(50)).await;
    }
}
