//! The servers that are measured: processes on a core of their own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Core of the server under test; the rest of this run is elsewhere.
const CORE: &str = "0";

/// Of `/proc/PID/stat`, in a second, on every architecture of Linux that matters.
const TICKS: f64 = 100.0;

/// A process that ends with this value.
pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// The emulator's program, its API on a free port.
    pub fn emulator(binary: &Path, arguments: &[&str]) -> Self {
        let address = free_address();
        let mut command = pinned(binary.to_str().expect("UTF-8"));
        command.args(["--listen", &address.to_string()]).args(arguments).env("RUST_LOG", "error");
        Self::start(&mut command, address)
    }

    /// moto's server.
    pub fn moto(program: &str) -> Self {
        let address = free_address();
        let mut command = pinned(program);
        // Without its list of thousands of machine images.
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]).env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false");
        Self::start(&mut command, address)
    }

    /// HAProxy with one thread, that passes connections on to `target`.
    pub fn haproxy(target: SocketAddr, folder: &Path) -> Self {
        let (address, file) = (free_address(), folder.join("haproxy.cfg"));
        let lines = format!(
            "global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 350s
  timeout server 350s
listen one
  bind {address} backlog 4096
  server one {target}
"
        );
        std::fs::write(&file, lines).expect("written");
        Self::start(pinned("haproxy").arg("-db").arg("-f").arg(file), address)
    }

    /// Starts it and waits until it accepts connections.
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|problem| panic!("{command:?}: {problem}"));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "{command:?}: nobody listens on {address}");
            assert!(process.try_wait().expect("a status").is_none(), "{command:?} has ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, address }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Seconds on a processor, of all threads, those that have ended as well.
    pub fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // Behind the name, which may hold anything: the state, ten more, and the ticks in user space and in the kernel.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let ticks: u32 = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().expect("a number")).sum();
        f64::from(ticks) / TICKS
    }

    /// Resident memory in MB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kibibytes: f64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        kibibytes * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", CORE, program]);
    command
}

/// An address of this machine on which nobody listens.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}
