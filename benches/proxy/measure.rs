//! Scenarios, rounds, medians, and the table.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::peers::{self, BACKEND, Peer, Process};
use super::strace::{Tracer, Whose};
use super::{calls, client};

/// One way to ask.
struct Scenario {
    name: &'static str,
    load: Load,
    /// nginx ÷ us, at least; none where there is no goal.
    floor: Option<f64>,
}

enum Load {
    /// wrk: scheme and port, path, connections, whether each request opens its own (and comes back with a session ticket).
    Wrk { tls: bool, path: &'static str, new: bool },
    /// h2load: connections, streams on each.
    H2 { connections: u32, streams: u32 },
    /// [`client::reconnect`].
    Reconnect,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario { name: "1 KB, HTTP/1.1, plain", load: Load::Wrk { tls: false, path: "/1k", new: false }, floor: Some(0.95) },
    Scenario { name: "1 KB, HTTP/1.1, TLS", load: Load::Wrk { tls: true, path: "/1k", new: false }, floor: Some(1.1) },
    Scenario { name: "100 KB, HTTP/1.1, plain", load: Load::Wrk { tls: false, path: "/100k", new: false }, floor: Some(2.0) },
    Scenario { name: "100 KB, HTTP/1.1, TLS", load: Load::Wrk { tls: true, path: "/100k", new: false }, floor: Some(1.8) },
    Scenario {
        name: "1 KB, HTTP/2, 8 connections × 16 streams, TLS",
        load: Load::H2 { connections: 8, streams: 16 },
        floor: Some(1.4),
    },
    Scenario { name: "1 KB, each a new TLS connection", load: Load::Reconnect, floor: Some(1.4) },
    Scenario { name: "the same, session resumed", load: Load::Wrk { tls: true, path: "/1k", new: true }, floor: None },
];

/// KiB that an idle TLS connection may hold.
const IDLE_LIMIT: f64 = 34.0;

/// Connections held open for that.
const IDLE: usize = 1000;

/// Many and short: what shares the machine with us comes and goes within seconds, and is the same for all only within a round. Not
/// shorter: each opens its connections anew, which by TLS is not what is measured (0.3 % of it).
const ROUNDS: usize = 9;
const SECONDS: &str = "2";

pub fn run(arguments: &[&str]) -> ExitCode {
    let folder = PathBuf::from(arguments.first().copied().unwrap_or("target/bench-proxy"));
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    std::fs::create_dir_all(&folder).expect("a folder");
    let folder = folder.canonicalize().expect("a path");
    client::write_certificate(&folder);
    let own = text(&std::env::current_exe().expect("this program"));
    let _backend = peers::elsewhere(&[own, "backend".to_owned(), format!("127.0.0.1:{BACKEND}")]);
    wait_for(BACKEND);

    let mut missed = Vec::new();
    println!("| CPU per request, µs | landfall | nginx | haproxy | nginx ÷ us | at least | haproxy ÷ us |");
    println!("|---|---|---|---|---|---|---|");
    for scenario in &SCENARIOS {
        let [us, nginx, haproxy] = per_request(scenario, rounds, &folder);
        // Within a round: the machine's pace changes from one to the next, for all of them.
        let [ratio, other] =
            [&nginx, &haproxy].map(|other| median(other.iter().zip(&us).map(|(other, us)| other / us).collect()));
        let [us, nginx, haproxy] = [us, nginx, haproxy].map(median);
        let floor = scenario.floor.map_or_else(String::new, |floor| floor.to_string());
        println!("| {} | {us:.1} | {nginx:.1} | {haproxy:.1} | **{ratio:.2}** | {floor} | {other:.2} |", scenario.name);
        if scenario.floor.is_some_and(|floor| ratio < floor) {
            missed.push(format!("{}: nginx ÷ us = {ratio:.2}, at least {floor}", scenario.name));
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
    println!("\n| system calls per request | landfall | nginx | haproxy | at most |\n|---|---|---|---|---|");
    for scenario in SCENARIOS.iter().filter(|scenario| !matches!(scenario.load, Load::Reconnect | Load::Wrk { new: true, .. })) {
        let all = Peer::ALL.map(|peer| system_calls(peer, scenario, &folder));
        let limit = matches!(scenario.load, Load::Wrk { path: "/1k", .. }).then_some(calls::LIMIT);
        println!(
            "| {} | {} | {} |",
            scenario.name,
            all.map(|calls| format!("{calls:.2}")).join(" | "),
            limit.map_or_else(String::new, |limit| limit.to_string())
        );
        if limit.is_some_and(|limit| all[0] > limit) {
            missed.push(format!("{}: {:.2} system calls per request, at most {}", scenario.name, all[0], calls::LIMIT));
        }
    }
    for what in &missed {
        eprintln!("missed: {what}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(peer: Peer, folder: &Path) -> Process {
    let process = peer.start(folder);
    wait_for(peer.http());
    wait_for(peer.https());
    process
}

/// Microseconds of CPU for one request, of each peer in each round. Fresh processes; who is not asked sleeps.
fn per_request(scenario: &Scenario, rounds: usize, folder: &Path) -> [Vec<f64>; 3] {
    let processes = Peer::ALL.map(|peer| (peer, start(peer, folder)));
    for (peer, _) in &processes {
        ask(*peer, &scenario.load, "1", folder);
    }
    let mut figures: BTreeMap<Peer, Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        let mut order: Vec<_> = processes.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (peer, process) in order {
            let before = process.cpu();
            let requests = ask(*peer, &scenario.load, SECONDS, folder);
            assert!(requests > 0.0, "{} answered nothing: {}", peer.name(), scenario.name);
            let figure = (process.cpu() - before) as f64 / 1000.0 / requests;
            eprintln!("{}: {} {figure:.1} µs", scenario.name, peer.name());
            figures.entry(*peer).or_default().push(figure);
        }
    }
    Peer::ALL.map(|peer| figures.remove(&peer).unwrap_or_default())
}

/// System calls of all threads for one request.
fn system_calls(peer: Peer, scenario: &Scenario, folder: &Path) -> f64 {
    let process = start(peer, folder);
    ask(peer, &scenario.load, "1", folder);
    let tracer = Tracer::attach(&process, &Whose::All, folder).unwrap_or_else(|why| panic!("system calls: {why}"));
    let requests = ask(peer, &scenario.load, "2", folder);
    tracer.end(process) as f64 / requests
}

/// Runs the load for so many seconds; how many requests were answered.
fn ask(peer: Peer, load: &Load, seconds: &str, folder: &Path) -> f64 {
    let (http, https) = (peer.http(), peer.https());
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    // wrk wants the space after the colon, or it drops the field without a word.
    let header = |field: &str| ["-H".to_owned(), field.to_owned()];
    let command = match load {
        Load::Wrk { tls, path, new } => {
            let url = if *tls { format!("https://127.0.0.1:{https}{path}") } else { format!("http://127.0.0.1:{http}{path}") };
            let connections = if path.contains("100k") { 16 } else { 32 };
            let mut command = words(format!("wrk -t1 -c{connections} -d{seconds}s {url}"));
            command.extend(header("Host: h7.example.com"));
            if *new {
                command.extend(header("Connection: close"));
            }
            command
        }
        Load::H2 { connections, streams } => {
            let url = format!("https://127.0.0.1:{https}/1k");
            let mut command = words(format!("h2load -t1 -c{connections} -m{streams} -D{seconds} {url}"));
            command.extend(header(":authority: h7.example.com"));
            command
        }
        Load::Reconnect => {
            let own = std::env::current_exe().expect("this program");
            let address = format!("127.0.0.1:{https}");
            vec![text(&own), "reconnect".to_owned(), text(folder), address, seconds.to_owned()]
        }
    };
    let text = peers::output_elsewhere(&command);
    let failed = ["Non-2xx", "Socket errors", "Request Failure"].iter().any(|bad| text.contains(bad));
    assert!(!failed, "requests have failed: {text}");
    // `12345 requests in 3.00s, …`, or `status codes: 12345 2xx, …`
    let answered = text.lines().find_map(|line| {
        let number = line.strip_prefix("status codes: ").or_else(|| line.contains(" requests in ").then_some(line))?;
        number.split_whitespace().next()?.parse().ok()
    });
    answered.unwrap_or_else(|| panic!("{command:?} said: {text}"))
}

/// KiB resident at the start, and for each connection that has had one request and waits.
fn idle(peer: Peer, folder: &Path) -> (u64, f64) {
    let process = start(peer, folder);
    let base = process.resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let held = runtime.block_on(async {
        let (connector, mut held) = (client::connector(folder), Vec::new());
        for _ in 0..IDLE {
            let mut stream = client::connect_tls(&connector, SocketAddr::from((Ipv4Addr::LOCALHOST, peer.https()))).await;
            client::ask(&mut stream).await;
            held.push(stream);
        }
        held
    });
    let grown = process.resident().saturating_sub(base);
    drop(held);
    (base, grown as f64 / IDLE as f64)
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
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
