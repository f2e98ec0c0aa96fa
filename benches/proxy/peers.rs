//! The proxies that are compared, each as one process with one thread.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub const BACKEND: u16 = 18090;

/// Core of the proxy under test, and of everything else.
const PROXY_CORE: &str = "0";
const OTHER_CORE: &str = "1";

/// Of TLS 1.3, in the order in which our proxy prefers them.
const CIPHERS: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Landfall,
    Nginx,
    Haproxy,
}

impl Peer {
    pub const ALL: [Self; 3] = [Self::Landfall, Self::Nginx, Self::Haproxy];

    pub fn name(self) -> &'static str {
        match self {
            Self::Landfall => "landfall",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// Where it serves HTTP, and HTTPS.
    pub fn http(self) -> u16 {
        18080 + self as u16
    }

    pub fn https(self) -> u16 {
        18443 + self as u16
    }

    /// Starts it; the folder has `cert.pem` and `key.pem`.
    pub fn start(self, folder: &Path) -> Process {
        let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
        let command = match self {
            Self::Landfall => {
                serve([self.http(), self.https(), BACKEND].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))), folder)
            }
            Self::Nginx => {
                std::fs::write(path("nginx.conf"), nginx(self, folder)).expect("written");
                vec!["nginx".to_owned(), "-p".into(), path(""), "-e".into(), "stderr".into(), "-c".into(), path("nginx.conf")]
            }
            Self::Haproxy => {
                let both = ["cert.pem", "key.pem"].map(|name| std::fs::read_to_string(path(name)).expect("read")).concat();
                std::fs::write(path("both.pem"), both).expect("written");
                std::fs::write(path("haproxy.cfg"), haproxy(self, folder)).expect("written");
                vec!["haproxy".to_owned(), "-db".into(), "-f".into(), path("haproxy.cfg")]
            }
        };
        let log = std::fs::File::create(path(&format!("{}.log", self.name()))).expect("a file");
        Process::start(pinned(PROXY_CORE, &command).stdout(Stdio::null()).stderr(log))
    }
}

/// How this program is told to be the proxy under test: where it serves, and its endpoint.
fn serve(addresses: [SocketAddr; 3], folder: &Path) -> Vec<String> {
    let own = std::env::current_exe().expect("this program");
    let words = [own.to_str().expect("UTF-8").to_owned(), "serve".to_owned(), folder.to_str().expect("UTF-8").to_owned()];
    words.into_iter().chain(addresses.map(|address| address.to_string())).collect()
}

/// The load's or the backend's process.
pub fn elsewhere(command: &[String]) -> Process {
    Process::start(pinned(OTHER_CORE, command).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Runs to its end on the other core; what it printed.
pub fn output_elsewhere(command: &[String]) -> String {
    let output = pinned(OTHER_CORE, command).stderr(Stdio::null()).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// On one core, ahead of everything that is not measured.
fn pinned(core: &str, command: &[String]) -> Command {
    let mut all = Command::new("taskset");
    all.args(["-c", core, "chrt", "--rr", "1"]).args(command).stdin(Stdio::null());
    all
}

/// A process that ends with this value.
pub struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|problem| panic!("{command:?}: {problem}")))
    }

    /// Our proxy on free ports, on any core; where it serves HTTP and HTTPS.
    pub fn landfall(backend: SocketAddr, folder: &Path) -> (Self, SocketAddr, SocketAddr) {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let [program, words @ ..] = &*serve([any, any, backend], folder) else { unreachable!("a program and its words") };
        let mut process = Self::start(Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().expect("piped")).read_line(&mut line).expect("it says where it serves");
        let mut addresses = line.split_whitespace().map(|address| address.parse().expect("an address"));
        let mut next = || addresses.next().expect("two addresses");
        (process, next(), next())
    }

    /// Its threads whose names begin so.
    pub fn threads(&self, name: &str) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let named = |task: PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name));
        let tasks = tasks.filter_map(Result::ok).filter(|task| named(task.path()));
        tasks.map(|task| task.file_name().to_string_lossy().into_owned()).collect()
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Nanoseconds on a processor, of all its threads.
    pub fn cpu(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let time = |task: PathBuf| -> Option<u64> {
            std::fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        tasks.filter_map(|task| time(task.ok()?.path())).sum()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn nginx(peer: Peer, folder: &Path) -> String {
    let (folder, http, https) = (folder.display(), peer.http(), peer.https());
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 75s; server_tokens off; tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream backend {{ server 127.0.0.1:{BACKEND}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{http} backlog=4096;
    listen 127.0.0.1:{https} ssl http2 backlog=4096;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_prefer_server_ciphers on; ssl_conf_command Ciphersuites {CIPHERS}; ssl_conf_command NumTickets 1;
    http2_max_concurrent_streams 128;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1;
      proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
    }}
  }}
}}
"
    )
}

fn haproxy(peer: Peer, folder: &Path) -> String {
    let (folder, http, https) = (folder.display(), peer.http(), peer.https());
    format!(
        "global
  nbthread 1
  maxconn 4096
  ssl-default-bind-ciphersuites {CIPHERS}
defaults
  mode http
  timeout client 75s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend web
  bind 127.0.0.1:{http}
  bind 127.0.0.1:{https} ssl crt {folder}/both.pem alpn h2,http/1.1
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  default_backend upstream
backend upstream
  server one 127.0.0.1:{BACKEND} pool-max-conn 512
"
    )
}
