//! A `landfall controller` process, or another subcommand, against a test's world.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::fixture::{option, sibling};
use super::wait;
use super::world::World;

/// The program under test: `LANDFALL_BIN`, or the one built beside this.
pub fn binary() -> PathBuf {
    option("LANDFALL_BIN").map_or_else(|| sibling("landfall"), PathBuf::from)
}

/// Lines of its log that a failed test shows.
const SHOWN_LINES: usize = 15;

/// A running controller. Dropping it kills it.
pub struct Controller {
    child: Child,
    /// Where it writes.
    pub log: PathBuf,
    /// `127.0.0.1:PORT` of `/livez`, `/readyz` and `/metrics`.
    pub admin: String,
}

impl Controller {
    /// Starts one with the world's settings and `arguments` after them; does not wait.
    pub fn start(world: &World, name: &str, arguments: &[&str]) -> Self {
        Self::start_in(world, name, arguments, &[])
    }

    /// The same with `environment` over the world's.
    pub fn start_in(world: &World, name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        let mut command = command(world);
        command
            .arg("controller")
            .args(["--load-balancer-class", &world.class, "--admin-address", &admin])
            .args(["--leader-election-namespace", &world.namespace, "--identity", name])
            // By environment, so that a test's flags win.
            .env("LANDFALL_SWEEP_INTERVAL", "1h")
            .env("LANDFALL_LOG_LEVEL", "info,landfall=debug")
            .args(arguments)
            .envs(environment.iter().copied());
        Self::spawn(world, name, command, admin)
    }

    /// Starts any command that has an admin server; it logs into a file of its name.
    pub fn spawn(world: &World, name: &str, mut command: Command, admin: String) -> Self {
        let log = world.workdir.join(format!("{name}.log"));
        let output = std::fs::File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .expect("landfall starts");
        Self { child, log, admin }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// Resident memory in MB (proc_pid_status(5), VmRSS).
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("kB");
        kilobytes / 1024.0
    }

    /// Processor time so far, in seconds (proc_pid_stat(5), utime and stime, in ticks of 10 ms).
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // The name in brackets may hold spaces.
        let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.expect("ends after SIGTERM").expect("a status")
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a status")
    }

    /// Whether it ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a status")
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let status = std::process::Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.pid())]).status();
        assert!(status.expect("a shell").success());
    }

    /// Waits until it leads.
    pub async fn leads(&self) {
        wait::until("the controller leads", async || {
            let metrics = self.metrics().await?;
            if metrics.lines().any(|line| line.starts_with("landfall_leader 1")) { Ok(()) } else { Err(metrics) }
        })
        .await;
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> Result<String, String> {
        super::world::http_get(&format!("http://{}/metrics", self.admin)).await
    }

    /// What it logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// `landfall` with the world's cluster and emulator.
pub fn command(world: &World) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("KUBECONFIG", &world.kubeconfig)
        .env("AWS_ACCESS_KEY_ID", &world.account)
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", super::world::REGION)
        .env("LANDFALL_AWS_ENDPOINT_URL", world.emulator.endpoint())
        .env("LANDFALL_CLUSTER_NAME", &world.cluster_name)
        .env("LANDFALL_VPC_ID", &world.vpc_id);
    command
}

/// A port of 127.0.0.1 that nobody has or will be given: each of this run is handed out once, below those that the kernel gives to
/// who asks for any (ip_local_port_range, from 32768) and those of Services (node ports, from 30000). A port that the kernel named
/// could be somebody's connection by the time the process under test listens on it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(12_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 30_000, "a free port is left");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A test that failed shows what its processes did: it may be on a machine that is gone by the time somebody looks.
impl Drop for Controller {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = self.logged();
        let last: Vec<&str> = log.lines().rev().take(SHOWN_LINES).collect();
        let state = self.child.try_wait().map(|ended| ended.map_or_else(|| "running".to_owned(), |status| status.to_string()));
        println!("{}: {state:?}; its last lines:", self.log.display());
        last.into_iter().rev().for_each(|line| println!("  {line}"));
    }
}
