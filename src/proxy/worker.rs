//! One core's share of the data plane: a thread, a runtime, and everything that is not shared.
//!
//! A worker accepts its own connections, reads the published table through a cache, and keeps its own pool, counters and
//! log lines: nothing on a request's path is written by another core.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use arc_swap::{ArcSwap, Cache};
use http::HeaderValue;
use tokio::sync::{Barrier, Semaphore, watch};

use super::access_log::AccessLog;
use super::buffers::Buffers;
use super::date::{self, Date};
use super::listen;
use super::metrics::{Counters, Stats};
use super::timers::{TICK, Timers};
use super::tls::Tls;
use super::upstream::Upstream;
use super::upstream::names::Names;
use super::upstream::pool;
use crate::routes::RouteTable;
use crate::routes::options::{Hsts, RouteOptions};
use crate::routes::table::{Backend, BackendIndex, Endpoints};

/// TLS handshakes at the same time. Each takes up to a millisecond of the core; more at once would only make all of them, and
/// the requests between them, late.
const HANDSHAKES: usize = 256;

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not at all.
    Serving,
    /// Everything is served; responses ask clients to go elsewhere.
    Leaving,
    /// No new connections; idle ones are closed.
    Closing,
    /// Now.
    Cut,
}

/// A published table, and what a worker derives from it.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub table: Arc<RouteTable>,
    /// `Strict-Transport-Security`.
    pub hsts: Option<HeaderValue>,
    /// For what no route says otherwise.
    pub route_defaults: RouteOptions,
}

impl Snapshot {
    fn new(table: Arc<RouteTable>) -> Rc<Self> {
        let hsts = table.global.hsts.and_then(|hsts| HeaderValue::try_from(hsts_value(hsts)).ok());
        Rc::new(Self { table, hsts, route_defaults: RouteOptions::default() })
    }

    pub(super) fn backend(&self, index: BackendIndex) -> Option<&Backend> {
        self.table.backends.get(usize::try_from(index.0).ok()?).map(|backend| &**backend)
    }

    pub(super) fn endpoints(&self, index: BackendIndex) -> Option<&Endpoints> {
        self.backend(index).map(|backend| &backend.endpoints)
    }
}

fn hsts_value(hsts: Hsts) -> String {
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    format!("max-age={}{subdomains}{preload}", hsts.max_age)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Worker {
    table: RefCell<Cache<Arc<ArcSwap<RouteTable>>, Arc<RouteTable>>>,
    snapshot: RefCell<Rc<Snapshot>>,
    /// Workers of the process: what is limited for all of them is shared out.
    workers: usize,
    phase: Cell<Phase>,
    /// Listeners and connections that are not done.
    pub busy: Cell<usize>,
    pub timers: Rc<Timers>,
    pub buffers: Rc<Buffers>,
    pub upstream: Upstream,
    pub counters: Counters,
    pub log: AccessLog,
    pub date: Date,
    pub tls: Arc<Tls>,
    pub handshakes: Semaphore,
}

/// What a worker is made of that others hold too.
pub(super) struct Parts {
    pub table: Arc<ArcSwap<RouteTable>>,
    pub workers: usize,
    pub stats: Arc<Stats>,
    pub log: Option<SyncSender<Vec<u8>>>,
    pub tls: Arc<Tls>,
    pub allow_local_names: bool,
    /// With the port it serves and whether it speaks TLS.
    pub listeners: Vec<(TcpListener, SocketAddr, bool)>,
    pub phase: watch::Receiver<Phase>,
    /// All listeners of all workers.
    pub closing: Arc<Barrier>,
}

impl Worker {
    pub(super) fn new(parts: &Parts) -> Rc<Self> {
        let (timers, buffers) = (Timers::new(), Buffers::new());
        let mut table = Cache::new(Arc::clone(&parts.table));
        let snapshot = Snapshot::new(Arc::clone(table.load()));
        let worker = Self {
            table: RefCell::new(table),
            snapshot: RefCell::new(snapshot),
            workers: parts.workers,
            phase: Cell::new(Phase::Serving),
            busy: Cell::new(0),
            upstream: Upstream::new(Rc::clone(&timers), Rc::clone(&buffers), Names::new(parts.allow_local_names)),
            timers,
            buffers,
            counters: Counters::new(Arc::clone(&parts.stats)),
            log: AccessLog::new(parts.log.clone(), Arc::clone(&parts.stats)),
            date: Date::new(date::http_date),
            tls: Arc::clone(&parts.tls),
            handshakes: Semaphore::new(HANDSHAKES),
        };
        worker.limit_pool();
        Rc::new(worker)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The current table.
    pub(super) fn snapshot(&self) -> Rc<Snapshot> {
        let mut cache = self.table.borrow_mut();
        let table = cache.load();
        let mut snapshot = self.snapshot.borrow_mut();
        if !Arc::ptr_eq(table, &snapshot.table) {
            *snapshot = Snapshot::new(Arc::clone(table));
        }
        Rc::clone(&snapshot)
    }

    fn limit_pool(&self) {
        let snapshot = self.snapshot.borrow();
        let global = &snapshot.table.global;
        self.upstream.pool.set_limits(pool::Limits {
            idle: (global.upstream_keepalive_connections / self.workers.max(1)).max(2),
            idle_time: global.upstream_keepalive_timeout,
            age: global.upstream_keepalive_time,
            requests: global.upstream_keepalive_requests,
        });
    }

    /// What is due now and then.
    fn tick(&self, seen: &mut u64) {
        self.timers.tick();
        let now = self.timers.now();
        self.log.tick(now);
        self.date.tick();
        self.buffers.tick();
        self.upstream.pool.expire();
        self.upstream.balance.expire(now);
        self.counters.stats.upstream_idle.set(self.upstream.pool.len() as u64);
        let snapshot = self.snapshot();
        if std::mem::replace(seen, snapshot.table.generation) != snapshot.table.generation {
            self.limit_pool();
            if !self.upstream.pool.is_empty() {
                self.upstream.pool.keep_only(&addresses(&snapshot.table));
            }
        }
    }

    fn is_done(&self) -> bool {
        match self.phase() {
            Phase::Cut => true,
            Phase::Closing => self.busy.get() == 0,
            Phase::Serving | Phase::Leaving => false,
        }
    }
}

/// Counts as busy while it lives.
#[derive(Debug)]
pub(super) struct Busy(Rc<Worker>);

impl Busy {
    pub(super) fn new(worker: &Rc<Worker>) -> Self {
        worker.busy.set(worker.busy.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get().saturating_sub(1));
    }
}

/// Endpoints of all backends; names lead nowhere for longer than a moment and are left to their idle time.
fn addresses(table: &RouteTable) -> HashSet<SocketAddr> {
    let of = |backend: &Arc<Backend>| match &backend.endpoints {
        Endpoints::Addresses(addresses) => addresses.to_vec(),
        Endpoints::Name { .. } => Vec::new(),
    };
    table.backends.iter().flat_map(of).collect()
}

/// Serves until the phase is [`Phase::Cut`], or [`Phase::Closing`] and nobody is left.
pub(super) async fn run(mut parts: Parts) {
    let worker = Worker::new(&parts);
    for (listener, address, https) in parts.listeners.drain(..) {
        let (phase, closing) = (parts.phase.clone(), Arc::clone(&parts.closing));
        // Busy from now on: the end may come before the task has had its first turn.
        let busy = Busy::new(&worker);
        let listening = listen::accept(Rc::clone(&worker), busy, listener, address.port(), https, phase, closing);
        tokio::task::spawn_local(listening);
    }
    let mut generation = worker.snapshot().table.generation;
    while !worker.is_done() {
        tokio::select! {
            changed = parts.phase.changed() => {
                // Nobody is left who could ask for anything else.
                let phase = if changed.is_ok() { *parts.phase.borrow_and_update() } else { Phase::Cut };
                worker.phase.set(phase);
                worker.timers.wake_all();
            }
            () = tokio::time::sleep(TICK) => worker.tick(&mut generation),
        }
    }
    worker.log.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsts_has_its_parts() {
        let hsts = |include_subdomains, preload| hsts_value(Hsts { max_age: 31_536_000, include_subdomains, preload });
        assert_eq!(hsts(true, false), "max-age=31536000; includeSubDomains");
        assert_eq!(hsts(false, true), "max-age=31536000; preload");
    }
}
