//! `make test`: system calls of a worker for a request over a kept connection, the part of a request's cost that can be counted
//! exactly on any machine.
//!
//! All connections ask at once and wait for each other, so that how many requests a turn of the worker serves, and with it the
//! count of its waits, depends little on how fast the machine is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use futures::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite};

use super::peers::Process;
use super::strace::{Tracer, Whose};
use super::{backend, client};

/// System calls for a request, at most (`dataplane.md` §8.1: two reads, two writes, and a part of a wait).
pub const LIMIT: f64 = 4.6;

const CONNECTIONS: usize = 32;

const ROUNDS: usize = 100;

pub fn run() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    client::write_certificate(folder.path());
    let backend = backend::spawn();
    let mut status = ExitCode::SUCCESS;
    for (name, tls) in [("plain", false), ("TLS", true)] {
        match count(tls, backend, folder.path()) {
            Ok(calls) if calls <= LIMIT => println!("{calls:.2} system calls per request, {name}, at most {LIMIT}"),
            Ok(calls) => {
                println!("MISSED: {calls:.2} system calls per request, {name}, at most {LIMIT}");
                status = ExitCode::FAILURE;
            }
            Err(why) => println!("SKIPPED: system calls per request are not counted ({why}); apt-get install strace, be root"),
        }
    }
    status
}

fn count(tls: bool, backend: SocketAddr, folder: &Path) -> Result<f64, String> {
    let (process, http, https) = Process::landfall(backend, folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let calls = runtime.block_on(async {
        if tls {
            let connector = client::connector(folder);
            let connections = (0..CONNECTIONS).map(|_| client::connect_tls(&connector, https));
            ask(process, join_all(connections).await, folder).await
        } else {
            let connections = (0..CONNECTIONS).map(|_| client::connect(http));
            ask(process, join_all(connections).await, folder).await
        }
    })?;
    Ok(calls as f64 / (CONNECTIONS * ROUNDS) as f64)
}

/// Counts while all connections ask. They are still open at the end: closing them is no part of a request.
async fn ask<S>(process: Process, mut connections: Vec<S>, folder: &Path) -> Result<u64, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    join_all(connections.iter_mut().map(client::ask)).await;
    let tracer = Tracer::attach(&process, &Whose::Threads("proxy-"), folder)?;
    for _ in 0..ROUNDS {
        join_all(connections.iter_mut().map(client::ask)).await;
    }
    Ok(tracer.end(process))
}
