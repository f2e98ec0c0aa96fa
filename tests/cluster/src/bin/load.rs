//! `landfall-load`: constant load on a load balancer, as the demo tells of it: what was sent and what failed, once it is told to stop.
//!
//! `landfall-load http://NAME/ --sort kept --sort new` prints `requests flow ...` once every address of NAME has answered, and after
//! SIGTERM or Ctrl-C one line of figures. Exit status 1 when a request failed, each told on standard error.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use http::Uri;
use landfall_test_cluster::load::{Load, Sort, ask};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

/// How long each address may take to its first answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that ask all addresses of a name without pause until they are told to stop.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to ask: `http://NAME[:PORT]/`.
    url: Uri,
    /// How clients use connections. Repeatable.
    #[arg(long = "sort", value_enum, default_values = ["kept", "new"])]
    sorts: Vec<Sort>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("landfall-load: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool, String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|problem| problem.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|problem| problem.to_string())?;
    let addresses = addresses(&arguments.url).await?;
    for address in &addresses {
        answers(*address).await?;
    }
    println!("requests flow to {} addresses of {}", addresses.len(), arguments.url.host().unwrap_or_default());

    let load = Load::of(&addresses, &arguments.sorts);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let tally = load.stop().await;
    for problem in &tally.failed {
        eprintln!("{problem}");
    }
    println!("{tally}, answered by {} pods", tally.answers.len());
    Ok(tally.failed.is_empty())
}

/// What the name stands for, as the resolver of this machine says.
async fn addresses(url: &Uri) -> Result<Vec<SocketAddr>, String> {
    let host = url.host().ok_or_else(|| format!("{url}: write http://NAME[:PORT]/"))?;
    let found = tokio::net::lookup_host((host, url.port_u16().unwrap_or(80))).await;
    let found: Vec<_> = found.map_err(|problem| format!("{host}: {problem}"))?.collect();
    if found.is_empty() { Err(format!("{host}: no address")) } else { Ok(found) }
}

/// Waits for the first answer: a zone's address may be told before it carries.
async fn answers(address: SocketAddr) -> Result<(), String> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match ask(address).await {
            Ok(_) => return Ok(()),
            Err(problem) if Instant::now() > limit => return Err(format!("{address}: {problem}")),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
