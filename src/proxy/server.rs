//! The data plane as a whole: sockets, workers, the end.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Barrier, oneshot, watch};

use super::access_log;
use super::listen;
use super::metrics::Stats;
use super::tls::Tls;
use super::worker::{self, Parts, Phase};
use crate::routes::RouteTable;

/// What the data plane is started with; everything else is in the table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where plain HTTP is served (`--http-port`).
    pub http: Option<SocketAddr>,
    /// Where HTTP over TLS is served (`--https-port`).
    pub https: Option<SocketAddr>,
    /// Threads, each with its own sockets, pools and counters: one for each core.
    pub workers: usize,
    /// Whether ExternalName Services may lead to this machine. Only tests want that.
    pub allow_local_names: bool,
}

impl Settings {
    /// One worker for each core that the process may use.
    #[must_use]
    pub fn new(http: Option<SocketAddr>, https: Option<SocketAddr>) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { http, https, workers, allow_local_names: false }
    }
}

/// The data plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose a free port with --http-port or --https-port")]
    Listen {
        /// As given.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A thread or its runtime cannot be started.
    #[error("a worker cannot be started: {0}")]
    Worker(#[source] io::Error),
}

/// How to end.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Go on accepting for so long, while responses ask clients to go elsewhere: as long as load balancers still send.
    pub serve: Duration,
    /// After that, wait so long for what is in flight.
    pub limit: Duration,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off.
    pub cut: u64,
}

/// Entry point.
#[derive(Clone, Copy, Debug)]
pub struct Proxy;

/// A running data plane. Dropping it cuts all connections off.
pub struct Handle {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    phase: watch::Sender<Phase>,
    stats: Vec<Arc<Stats>>,
    done: Vec<oneshot::Receiver<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("http", &self.http).field("https", &self.https).finish_non_exhaustive()
    }
}

impl Proxy {
    /// Listens, and serves what `table` says at any time. `access_log`: where its lines go; nowhere if none is given.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be started.
    pub fn start(
        settings: &Settings,
        table: &Arc<ArcSwap<RouteTable>>,
        access_log: Option<Box<dyn Write + Send>>,
    ) -> Result<Handle, ProxyError> {
        raise_file_limit();
        let workers = settings.workers.max(1);
        let tls = Arc::new(Tls::new(Arc::clone(table))?);
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut bind = |address: Option<SocketAddr>, https| -> Result<Option<SocketAddr>, ProxyError> {
            let Some(address) = address else { return Ok(None) };
            let (sockets, bound) = listen::bind(address, workers).map_err(|source| ProxyError::Listen { address, source })?;
            for (socket, own) in sockets.into_iter().zip(&mut listeners) {
                own.push((socket, bound, https));
            }
            Ok(Some(bound))
        };
        let http = bind(settings.http, false)?;
        let https = bind(settings.https, true)?;
        let (phase, watched) = watch::channel(Phase::Serving);
        let mut handle = Handle { http, https, phase, stats: Vec::new(), done: Vec::new(), threads: Vec::new() };
        let log = match access_log {
            Some(out) => {
                let (sender, thread) = access_log::writer(out).map_err(ProxyError::Worker)?;
                handle.threads.push(thread);
                Some(sender)
            }
            None => None,
        };
        let closing = Arc::new(Barrier::new(listeners.iter().map(Vec::len).sum()));
        for (number, listeners) in listeners.into_iter().enumerate() {
            let stats = Arc::<Stats>::default();
            let parts = Parts {
                table: Arc::clone(table),
                workers,
                stats: Arc::clone(&stats),
                log: log.clone(),
                tls: Arc::clone(&tls),
                allow_local_names: settings.allow_local_names,
                listeners,
                phase: watched.clone(),
                closing: Arc::clone(&closing),
            };
            handle.stats.push(stats);
            handle.spawn(number, parts).map_err(ProxyError::Worker)?;
        }
        Ok(handle)
    }
}

impl Handle {
    fn spawn(&mut self, number: usize, parts: Parts) -> io::Result<()> {
        let (started, ready) = std::sync::mpsc::sync_channel(1);
        let (done, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("proxy-{number}")).spawn(move || {
            // A runtime that stays on its thread cannot be made elsewhere.
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(worker::run(parts));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
            let _ = done.send(());
        })?;
        self.threads.push(thread);
        self.done.push(ended);
        ready.recv().unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Where plain HTTP is served, with the port that was really taken.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTP over TLS is served.
    #[must_use]
    pub fn https(&self) -> Option<SocketAddr> {
        self.https
    }

    /// The workers' numbers, for [`super::metrics::register`].
    #[must_use]
    pub fn stats(&self) -> Vec<Arc<Stats>> {
        self.stats.clone()
    }

    /// Ends without taking anything away from anybody, as far as `drain` gives time for it.
    pub async fn drain(mut self, drain: Drain) -> Drained {
        self.phase.send_replace(Phase::Leaving);
        tokio::time::sleep(drain.serve).await;
        self.phase.send_replace(Phase::Closing);
        let all = futures::future::join_all(std::mem::take(&mut self.done));
        let mut all = std::pin::pin!(all);
        let in_time = tokio::time::timeout(drain.limit, all.as_mut()).await.is_ok();
        let cut = if in_time { 0 } else { self.stats.iter().map(|stats| stats.active()).sum() };
        self.phase.send_replace(Phase::Cut);
        if !in_time {
            all.await;
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        // The log's last lines are written once its thread has ended.
        let _ = joined.await;
        Drained { cut }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Cut);
    }
}

/// As many connections as the system lets this process have.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
