//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler as child processes. Uses [`crate::process`] and
//! [`crate::certificates`]; [`crate::nodes`] adds the nodes to it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::certificates::{Credentials, User};
use crate::error::Error;
use crate::network::{SERVICE_RANGE, VPC_ADDRESS};
use crate::process::Process;

/// The API server's port.
pub(crate) const PORT: u16 = 6443;

/// The first address of [`SERVICE_RANGE`]: Service `default/kubernetes`.
pub(crate) const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// The programs that a cluster is made of, as their files are called.
pub(crate) const PROGRAMS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl"];

/// How long the API server may take to start, on a machine that compiles something else meanwhile.
const START_LIMIT: Duration = Duration::from_secs(90);

/// Controllers that have nothing to manage here: there is no cloud, no disk, no metrics and nobody who renews node leases.
const ABSENT_CONTROLLERS: &str = "*,-node-ipam-controller,-node-lifecycle-controller,-cloud-node-lifecycle-controller,\
    -service-lb-controller,-node-route-controller,-persistentvolume-binder-controller,\
    -persistentvolume-attach-detach-controller,-persistentvolume-expander-controller,-horizontal-pod-autoscaler-controller";

/// The control plane's processes, in the order of their start.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    binaries: PathBuf,
    logs: PathBuf,
    etcd: Process,
    api_server: Process,
    followers: Vec<Process>,
}

impl ControlPlane {
    /// What the API server's certificate must be valid for.
    pub(crate) fn server_names() -> Vec<String> {
        let names =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"];
        let addresses = [VPC_ADDRESS, KUBERNETES_SERVICE, Ipv4Addr::LOCALHOST].map(|address| address.to_string());
        names.into_iter().map(str::to_owned).chain(addresses).collect()
    }

    /// Starts etcd and the API server with their data below `workdir`. Returns before they are ready.
    pub(crate) fn start(
        binaries: &Path,
        workdir: &Path,
        logs: &Path,
        credentials: &Credentials,
        audit_log: Option<&Path>,
    ) -> Result<Self, Error> {
        let data = workdir.join("etcd");
        let etcd = Process::start(
            "etcd",
            command(
                &binaries.join("etcd"),
                &[
                    format!("--data-dir={}", data.display()),
                    "--listen-client-urls=http://127.0.0.1:2379".into(),
                    "--advertise-client-urls=http://127.0.0.1:2379".into(),
                    "--listen-peer-urls=http://127.0.0.1:2380".into(),
                    // Nothing has to survive a power cut, and fsync is most of a small cluster's latency.
                    "--unsafe-no-fsync".into(),
                    "--log-level=warn".into(),
                ],
            ),
            logs,
        )?;

        let file = |name: &str| credentials.path(name).display().to_string();
        let mut arguments = vec![
            "--etcd-servers=http://127.0.0.1:2379".into(),
            format!("--bind-address={VPC_ADDRESS}"),
            format!("--secure-port={PORT}"),
            // Without a default route it cannot choose one.
            format!("--advertise-address={VPC_ADDRESS}"),
            format!("--tls-cert-file={}", file("apiserver.crt")),
            format!("--tls-private-key-file={}", file("apiserver.key")),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--service-account-key-file={}", file("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", file("service-accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            "--authorization-mode=RBAC".into(),
            "--allow-privileged=true".into(),
            // It taints new nodes, and only the node-lifecycle controller, which does not run, would lift the taint.
            "--disable-admission-plugins=TaintNodesByCondition".into(),
        ];
        if let Some(log) = audit_log {
            let policy = workdir.join("audit-policy.json");
            let rules = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
                "rules": [{"level": "Metadata"}]});
            std::fs::write(&policy, rules.to_string()).map_err(Error::io(format!("write {}", policy.display())))?;
            arguments.push(format!("--audit-policy-file={}", policy.display()));
            arguments.push(format!("--audit-log-path={}", log.display()));
        }
        let api_server = Process::start("kube-apiserver", command(&binaries.join("kube-apiserver"), &arguments), logs)?;
        Ok(Self { binaries: binaries.to_owned(), logs: logs.to_owned(), etcd, api_server, followers: Vec::new() })
    }

    /// Waits until the API server calls itself ready.
    pub(crate) async fn ready(&mut self, client: &kube::Client) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.check()?;
            let request = http_get("/readyz")?;
            let Err(answer) = client.request_text(request).await else { return Ok(()) };
            if Instant::now() >= deadline {
                let what = format!("kube-apiserver (last answer: {answer})");
                return Err(Error::Timeout { what, seconds: START_LIMIT.as_secs(), logs: self.logs.clone() });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts the controller manager and the scheduler; the API server is ready.
    pub(crate) fn start_followers(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let manager = [
            format!("--kubeconfig={}", credentials.kubeconfig(User::ControllerManager).display()),
            format!("--service-account-private-key-file={}", credentials.path("service-accounts.key").display()),
            // Each namespace's kube-root-ca.crt, which pods' tokens are mounted with.
            format!("--root-ca-file={}", credentials.path("ca.crt").display()),
            "--use-service-account-credentials=true".into(),
            format!("--controllers={ABSENT_CONTROLLERS}"),
            "--leader-elect=false".into(),
            "--bind-address=127.0.0.1".into(),
            // Tests create and delete many objects at once: the defaults (20, 30) would be what they measure.
            "--kube-api-qps=300".into(),
            "--kube-api-burst=600".into(),
        ];
        let scheduler = [
            format!("--kubeconfig={}", credentials.kubeconfig(User::Scheduler).display()),
            "--leader-elect=false".into(),
            "--bind-address=127.0.0.1".into(),
        ];
        for (name, arguments) in [("kube-controller-manager", &manager[..]), ("kube-scheduler", &scheduler[..])] {
            self.followers.push(Process::start(name, command(&self.binaries.join(name), arguments), &self.logs)?);
        }
        Ok(())
    }

    /// Fails if a part has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        self.etcd.check()?;
        self.api_server.check()?;
        self.followers.iter_mut().try_for_each(Process::check)
    }

    /// Stops the API server's process where it is: connections stay open and nobody answers.
    pub(crate) fn pause_api_server(&self) -> Result<(), Error> {
        self.api_server.signal(Signal::SIGSTOP)
    }

    /// Lets the API server go on.
    pub(crate) fn resume_api_server(&self) -> Result<(), Error> {
        self.api_server.signal(Signal::SIGCONT)
    }

    /// Ends everything, the dependent ones first.
    pub(crate) async fn stop(self) {
        let patience = Duration::from_secs(1);
        futures::future::join_all(self.followers.into_iter().map(|process| process.stop(patience))).await;
        // It would wait a minute for open watches.
        self.api_server.stop(patience).await;
        self.etcd.stop(patience).await;
    }
}

/// A child that shares neither terminal nor process group, so that Ctrl-C reaches this program alone, which then stops all in order.
fn command(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    command
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>, Error> {
    http::Request::get(path)
        .body(Vec::new())
        .map_err(|problem| Error::Io { action: format!("ask the API server for {path}"), source: std::io::Error::other(problem) })
}
