//! Scenarios, rounds, medians, and the table.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peers::{self, BACKEND, HTTP, HTTPS, Peer, Process};

/// One way to ask.
struct Scenario {
    name: &'static str,
    load: Load,
    /// nginx ÷ us, at least.
    floor: f64,
}

enum Load {
    /// wrk: scheme and port, path, connections, whether each request opens its own.
    Wrk { tls: bool, path: &'static str, new: bool },
    /// h2load: connections, streams on each.
    H2 { connections: u32, streams: u32 },
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "1 KB, HTTP/1.1, plain", load: Load::Wrk { tls: false, path: "/1k", new: false }, floor: 0.95 },
    Scenario { name: "1 KB, HTTP/1.1, TLS", load: Load::Wrk { tls: true, path: "/1k", new: false }, floor: 1.1 },
    Scenario { name: "100 KB, HTTP/1.1, plain", load: Load::Wrk { tls: false, path: "/100k", new: false }, floor: 2.0 },
    Scenario { name: "100 KB, HTTP/1.1, TLS", load: Load::Wrk { tls: true, path: "/100k", new: false }, floor: 1.8 },
    Scenario { name: "1 KB, HTTP/2 multiplexed, TLS", load: Load::H2 { connections: 8, streams: 16 }, floor: 1.4 },
    Scenario { name: "1 KB, a new TLS connection each", load: Load::Wrk { tls: true, path: "/1k", new: true }, floor: 1.4 },
];

/// KiB that an idle TLS connection may hold.
const IDLE_LIMIT: f64 = 34.0;

/// Connections held open for that.
const IDLE: usize = 1000;

const ROUNDS: usize = 5;
const SECONDS: &str = "3";

pub fn run(arguments: &[&str]) -> ExitCode {
    let folder = PathBuf::from(arguments.first().copied().unwrap_or("target/bench-proxy"));
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    std::fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.canonicalize().expect("a path");
    let made = rcgen::generate_simple_self_signed(["bench.example.com".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let own = std::env::current_exe().expect("this program").to_str().expect("UTF-8").to_owned();
    let _backend = peers::elsewhere(&[own, "backend".to_owned(), format!("127.0.0.1:{BACKEND}")]);
    wait_for(BACKEND);

    let mut missed = Vec::new();
    println!("| CPU per request, µs | landfall | nginx | haproxy | nginx ÷ us | at least | haproxy ÷ us |");
    println!("|---|---|---|---|---|---|---|");
    for scenario in &SCENARIOS {
        let mut figures: BTreeMap<Peer, Vec<f64>> = BTreeMap::new();
        for round in 0..rounds {
            let mut order = Peer::ALL;
            if round % 2 == 1 {
                order.reverse();
            }
            for peer in order {
                let figure = per_request(peer, scenario, &folder);
                eprintln!("{}: {} {figure:.1} µs", scenario.name, peer.name());
                figures.entry(peer).or_default().push(figure);
            }
        }
        let [us, nginx, haproxy] = Peer::ALL.map(|peer| median(figures.remove(&peer).unwrap_or_default()));
        let (ratio, other) = (nginx / us, haproxy / us);
        println!(
            "| {} | {us:.1} | {nginx:.1} | {haproxy:.1} | **{ratio:.2}** | {} | {other:.2} |",
            scenario.name, scenario.floor
        );
        if ratio < scenario.floor {
            missed.push(format!("{}: nginx ÷ us = {ratio:.2}, at least {}", scenario.name, scenario.floor));
        }
    }
    println!("\n| memory, KiB | landfall | nginx | haproxy | at most |\n|---|---|---|---|---|");
    let idle = Peer::ALL.map(|peer| idle(peer, &folder));
    let cell = |read: fn(&(u64, f64)) -> String| idle.each_ref().map(read).join(" | ");
    println!("| resident at start | {} | |", cell(|(base, _)| base.to_string()));
    println!("| for each idle TLS connection | {} | {IDLE_LIMIT} |", cell(|(_, each)| format!("{each:.1}")));
    if idle[0].1 > IDLE_LIMIT {
        missed.push(format!("an idle TLS connection takes {:.1} KiB, at most {IDLE_LIMIT}", idle[0].1));
    }
    println!("\n| system calls per request | landfall | nginx | haproxy |\n|---|---|---|---|");
    for scenario in &SCENARIOS[..5] {
        let calls = Peer::ALL.map(|peer| system_calls(peer, scenario, &folder));
        println!(
            "| {} | {} |",
            scenario.name,
            calls.map(|calls| calls.map_or("-".to_owned(), |calls| format!("{calls:.1}"))).join(" | ")
        );
    }
    for what in &missed {
        eprintln!("missed: {what}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(peer: Peer, folder: &Path) -> Process {
    let process = peer.start(folder);
    wait_for(HTTP);
    wait_for(HTTPS);
    process
}

/// Microseconds of CPU for one request.
fn per_request(peer: Peer, scenario: &Scenario, folder: &Path) -> f64 {
    let process = start(peer, folder);
    ask(&scenario.load, "1");
    let before = process.cpu();
    let requests = ask(&scenario.load, SECONDS);
    let spent = process.cpu() - before;
    assert!(requests > 0.0, "{} answered nothing: {}", peer.name(), scenario.name);
    spent as f64 / 1000.0 / requests
}

/// System calls for one request, where strace is there.
fn system_calls(peer: Peer, scenario: &Scenario, folder: &Path) -> Option<f64> {
    let process = start(peer, folder);
    ask(&scenario.load, "1");
    let summary = folder.join("strace.txt");
    let path = summary.to_str().expect("UTF-8").to_owned();
    let mut tracer = std::process::Command::new("strace")
        .args(["-f", "-c", "-o", &path, "-p", &process.id().to_string()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .ok()?;
    std::thread::sleep(Duration::from_millis(500));
    let requests = ask(&scenario.load, "2");
    let ended = std::process::Command::new("kill").args(["-INT", &tracer.id().to_string()]).status();
    assert!(ended.expect("kill runs").success());
    tracer.wait().expect("it ends");
    let text = std::fs::read_to_string(summary).ok()?;
    let total = text.lines().find(|line| line.trim_end().ends_with("total"))?;
    let calls: f64 = total.split_whitespace().nth(3)?.parse().ok()?;
    Some(calls / requests)
}

/// Runs the load for so many seconds; how many requests were answered.
fn ask(load: &Load, seconds: &str) -> f64 {
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    match load {
        Load::Wrk { tls, path, new } => {
            let url = if *tls { format!("https://127.0.0.1:{HTTPS}{path}") } else { format!("http://127.0.0.1:{HTTP}{path}") };
            let connections = if path.contains("100k") { 16 } else { 32 };
            let mut command = words(format!("wrk -t1 -c{connections} -d{seconds}s -H Host:h7.example.com"));
            if *new {
                command.extend(["-H".to_owned(), "Connection: close".to_owned()]);
            }
            command.push(url);
            let text = peers::output_elsewhere(&command);
            assert!(!text.contains("Non-2xx"), "{text}");
            let line = text.lines().find(|line| line.contains(" requests in ")).unwrap_or_else(|| panic!("wrk said: {text}"));
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        }
        Load::H2 { connections, streams } => {
            let url = format!("https://127.0.0.1:{HTTPS}/1k");
            let command = words(format!("h2load -t1 -c{connections} -m{streams} -D{seconds} -H :authority:h7.example.com {url}"));
            let text = peers::output_elsewhere(&command);
            let line =
                text.lines().find(|line| line.starts_with("status codes:")).unwrap_or_else(|| panic!("h2load said: {text}"));
            line.split_whitespace().nth(2).and_then(|number| number.parse().ok()).expect("a number")
        }
    }
}

/// KiB resident at the start, and for each connection that has had one request and waits.
fn idle(peer: Peer, folder: &Path) -> (u64, f64) {
    let process = start(peer, folder);
    let base = process.resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let held = runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..IDLE {
            held.push(connection(folder).await);
        }
        held
    });
    let grown = process.resident().saturating_sub(base);
    drop(held);
    (base, grown as f64 / IDLE as f64)
}

async fn connection(folder: &Path) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", HTTPS)).await.expect("connected");
    let name = rustls::pki_types::ServerName::try_from("bench.example.com").expect("a name");
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(folder.join("cert.pem")).expect("the certificate");
    let certificate = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem);
    roots.add(certificate.expect("PEM")).expect("a root");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    tls.write_all(b"GET /1k HTTP/1.1\r\nHost: h7.example.com\r\n\r\n").await.expect("asked");
    let (mut answer, mut buffer) = (0, [0; 2048]);
    while answer < 1024 {
        answer += tls.read(&mut buffer).await.expect("an answer");
    }
    tls
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn wait_for(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
