//! Programs of other people against a running `landfall ingress`: h2spec, curl, Go, Python, wrk, h2load, a browser. Between it and
//! them there is nothing of ours but a backend in Go. What a program lacks is said, and its test skipped.
//!
//! `tools/integration.sh` builds h2spec and the Go programs (`LANDFALL_CLIENTS`), and finds a Python with httpx
//! (`LANDFALL_PYTHON`); the others are looked for in PATH.

mod curl;
mod stage;

use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::support::fixture::{block_on, option};
use stage::{Stage, line, output, run};

/// A program, and where it is to be had.
struct Program {
    found: Option<PathBuf>,
    lacks: &'static str,
}

impl Program {
    fn in_path(name: &str, lacks: &'static str) -> Self {
        let paths = option("PATH").unwrap_or_default();
        let found = paths.split(':').map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file());
        Self { found, lacks }
    }

    fn built(name: &str) -> Self {
        let found = option("LANDFALL_CLIENTS").map(|folder| PathBuf::from(folder).join(name)).filter(|path| path.is_file());
        Self { found, lacks: "Go (tools/integration.sh builds it)" }
    }
}

type Test = fn(PathBuf) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

pub fn trials() -> Vec<Trial> {
    let h2spec = || Program::built("h2spec");
    let h2load = || Program::in_path("h2load", "h2load (Debian: apt-get install nghttp2-client)");
    let wrk = || Program::in_path("wrk", "wrk (Debian: apt-get install wrk)");
    let curl = || Program::in_path("curl", "curl (Debian: apt-get install curl)");
    let browser = || Program::in_path("chromium", "chromium (Debian: apt-get install chromium)");
    let python = Program { found: option("LANDFALL_PYTHON").map(PathBuf::from), lacks: "Python 3.10 with httpx (see above)" };
    let tests: [(&str, Program, Test); 13] = [
        ("h2spec_plain", h2spec(), |it| Box::pin(h2spec_plain(it))),
        ("h2spec_tls", h2spec(), |it| Box::pin(h2spec_tls(it))),
        ("curl", curl(), |it| Box::pin(curl::all(it))),
        ("a_gigabyte_by_chunks", curl(), |it| Box::pin(curl::a_gigabyte_by_chunks(it))),
        ("go", Program::built("clients"), |it| Box::pin(go(it))),
        ("python", python, |it| Box::pin(python_checks(it))),
        ("wrk_plain", wrk(), |it| Box::pin(wrk_plain(it))),
        ("wrk_tls", wrk(), |it| Box::pin(wrk_tls(it))),
        ("h2load_plain", h2load(), |it| Box::pin(h2load_plain(it))),
        ("h2load_tls", h2load(), |it| Box::pin(h2load_tls(it))),
        ("h2load_http1", h2load(), |it| Box::pin(h2load_http1(it))),
        ("browser_websocket", browser(), |it| Box::pin(browser_plain(it))),
        ("browser_websocket_tls", browser(), |it| Box::pin(browser_tls(it))),
    ];
    let backend = Program::built("clients");
    let trial = |(name, program, test): (&str, Program, Test)| {
        let missing = [&backend, &program].into_iter().find(|program| program.found.is_none()).map(|program| program.lacks);
        if let Some(lacks) = missing {
            eprintln!("!!! SKIPPED: clients::{name}: lacks {lacks}");
        }
        let run = move || {
            block_on(test(program.found.unwrap_or_default()));
            Ok(())
        };
        Trial::test(format!("clients::{name}"), run).with_ignored_flag(missing.is_some())
    };
    tests.into_iter().map(trial).collect()
}

async fn h2spec_plain(program: PathBuf) {
    let stage = Stage::get().await;
    // On a port that also speaks HTTP/1, what begins like neither is a malformed request of HTTP/1, and is answered as one.
    let explained = ["Sends invalid connection preface"];
    h2spec("h2spec", program, &["-p", &stage.http.port().to_string()], &explained).await;
}

async fn h2spec_tls(program: PathBuf) {
    let stage = Stage::get().await;
    h2spec("h2spec --tls", program, &["-t", "-k", "-p", &stage.https.port().to_string()], &[]).await;
}

/// Every case passes but those that `docs/explanation/data-plane.md` explains.
async fn h2spec(name: &str, program: PathBuf, arguments: &[&str], explained: &[&str]) {
    let arguments = [&["-h", "127.0.0.1", "-P", "/", "-o", "10"][..], arguments].concat();
    let (said, _) = output(&program, &arguments).await;
    let summary = said.lines().find(|line| line.contains(" tests, ")).unwrap_or_default();
    // What fails is told twice: in its place, and at the end.
    let (_, failures) = said.split_once("Failures:").unwrap_or(("", ""));
    let failed: Vec<_> = failures.lines().filter(|line| line.trim_start().starts_with('\u{d7}')).collect();
    assert!(summary.contains(&format!(", 0 skipped, {} failed", explained.len())) && failed.len() == explained.len(), "{said}");
    for (failed, explained) in failed.iter().zip(explained) {
        assert!(failed.ends_with(explained), "{failed}: {said}");
    }
    line(name, summary);
}

async fn go(program: PathBuf) {
    let stage = Stage::get().await;
    checks("Go (net/http)", program, &["client", &stage.url("http"), &stage.url("https")]).await;
}

async fn python_checks(program: PathBuf) {
    let stage = Stage::get().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/python/client.py");
    checks("Python (http.client, httpx)", program, &["-B", script, &stage.url("http"), &stage.url("https")]).await;
}

/// A program of ours that prints a line for each check.
async fn checks(name: &str, program: PathBuf, arguments: &[&str]) {
    let said = run(&program, arguments).await;
    let ok = said.lines().filter(|line| line.ends_with(": ok")).count();
    assert!(ok > 0 && ok == said.lines().count(), "{said}");
    line(name, &format!("{ok} checks passed"));
}

async fn wrk_plain(program: PathBuf) {
    wrk("wrk", program, "http").await;
}

async fn wrk_tls(program: PathBuf) {
    wrk("wrk, TLS", program, "https").await;
}

async fn wrk(name: &str, program: PathBuf, scheme: &str) {
    let stage = Stage::get().await;
    let said = run(&program, &["-t1", "-c16", "-d2s", &format!("{}/bytes?n=1000", stage.url(scheme))]).await;
    let summary = said.lines().find(|line| line.contains(" requests in ")).unwrap_or_default();
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx") && !summary.trim().starts_with("0 "), "{said}");
    line(name, summary.trim());
}

async fn h2load_plain(program: PathBuf) {
    h2load("h2load", program, "http", &[]).await;
}

async fn h2load_tls(program: PathBuf) {
    h2load("h2load, TLS", program, "https", &[]).await;
}

async fn h2load_http1(program: PathBuf) {
    h2load("h2load --h1", program, "http", &["--h1"]).await;
}

async fn h2load(name: &str, program: PathBuf, scheme: &str, arguments: &[&str]) {
    let stage = Stage::get().await;
    let url = format!("{}/bytes?n=1000", stage.url(scheme));
    let arguments = [arguments, &["-n", "4000", "-c", "8", "-m", "32", &url]].concat();
    let said = run(&program, &arguments).await;
    let summary = said.lines().find(|line| line.starts_with("requests: ")).unwrap_or_default();
    assert!(summary.contains(" 4000 succeeded, 0 failed, 0 errored"), "{said}");
    line(name, summary.trim_start_matches("requests: "));
}

async fn browser_plain(program: PathBuf) {
    browser("Chromium, ws:", program, "http").await;
}

async fn browser_tls(program: PathBuf) {
    browser("Chromium, wss:", program, "https").await;
}

/// The page opens a websocket, sends text and binary, compares, closes, and tells the backend what it saw.
async fn browser(name: &str, program: PathBuf, scheme: &str) {
    let stage = Stage::get().await;
    let profile = stage.workdir().join(format!("browser-{scheme}"));
    let profile = format!("--user-data-dir={}", profile.display());
    let page = format!("{}/page", stage.url(scheme));
    let log = std::fs::File::create(stage.workdir().join(format!("browser-{scheme}.log"))).expect("a log file");
    let browser = tokio::process::Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors"])
        .arg("--disable-features=HttpsUpgrades")
        .args(["--remote-debugging-port=0", &profile, &page])
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("the browser starts");
    let verdict = crate::support::wait::until("the page's verdict", async || {
        let answer = stage.answer(&format!("/verdict?of={scheme}:")).await;
        if answer.body().is_empty() { Err(answer.text) } else { Ok(answer.body().to_owned()) }
    })
    .await;
    drop(browser);
    assert_eq!(verdict, "websocket ok");
    line(name, "text, 100,000 bytes of binary, and a clean close");
}
