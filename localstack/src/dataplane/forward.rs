//! Carries TCP from listener addresses to targets, as a network load balancer does. Owns every listening socket.
//!
//! Imports the network only; knows addresses, zones and pools, not ARNs' meaning nor the emulator's state. `dataplane.rs`,
//! one level up, turns that state into [`ListenerSpec`]s; `forward/connection.rs` is one client's connection.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

mod connection;
#[cfg(test)]
mod tests;

/// Connections that may wait for `accept`; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 65_535;

/// How long to pause when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener on one of its load balancer's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSpec {
    /// Where clients connect to. Targets see this IP address as their peer.
    pub address: SocketAddr,
    /// The listener's ARN: another listener on the same address is another socket.
    pub id: String,
    /// The availability zone of `address`.
    pub zone: String,
    /// Who answers.
    pub pool: Pool,
}

/// The targets behind a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// In any order.
    pub targets: Vec<PoolTarget>,
    /// Whether targets of other zones than the listener address's are used.
    pub cross_zone: bool,
    /// Whether each connection to a target begins with a PROXY protocol version 2 header (addresses, no TLVs).
    pub proxy_protocol_v2: bool,
}

/// One target of a [`Pool`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolTarget {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Its availability zone. `None` (an address outside of the VPC, zone `all`) is used from every zone.
    pub zone: Option<String>,
    /// In state `healthy`.
    pub healthy: bool,
    /// Gets no new connections, keeps those it has.
    pub draining: bool,
    /// Going from false to true cuts the connections to it. Those made later (the pool fails open) are left alone.
    pub terminate: bool,
}

/// A listener whose socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {id}: {source}")]
pub(crate) struct BindError {
    /// [`ListenerSpec::address`].
    pub address: SocketAddr,
    /// [`ListenerSpec::id`].
    pub id: String,
    /// What the system said, or [`io::ErrorKind::AddrInUse`] when two specs want one address.
    pub source: io::Error,
}

/// The open sockets. Dropping it closes them and cuts all connections.
#[derive(Debug)]
pub(crate) struct Forwarder {
    running: Mutex<BTreeMap<SocketAddr, Running>>,
    /// Ends listeners and connections.
    everything: CancellationToken,
    _guard: DropGuard,
}

/// A listener that is open.
#[derive(Debug)]
struct Running {
    route: watch::Sender<Arc<Route>>,
    accepting: CancellationToken,
    task: JoinHandle<()>,
}

impl Default for Forwarder {
    fn default() -> Self {
        Self::new()
    }
}

impl Forwarder {
    /// A forwarder without any listener.
    #[must_use]
    pub(crate) fn new() -> Self {
        let everything = CancellationToken::new();
        Self { running: Mutex::default(), _guard: everything.clone().drop_guard(), everything }
    }

    /// Makes the open sockets equal to `wanted`, keyed by address, and returns those that could not be opened; they are
    /// tried again by the next call.
    ///
    /// A listener that stays is never closed: its pool is swapped at once for new connections. One that goes stops
    /// accepting, and its connections live on until either side closes them or they are idle for too long.
    pub(crate) async fn apply(&self, wanted: Vec<ListenerSpec>) -> Vec<BindError> {
        let mut errors = Vec::new();
        let mut specs = BTreeMap::new();
        for spec in wanted {
            match specs.entry(spec.address) {
                Entry::Vacant(free) => {
                    free.insert(spec);
                }
                Entry::Occupied(_) => errors.push(BindError::new(&spec, io::ErrorKind::AddrInUse.into())),
            }
        }

        let mut running = self.running.lock().await;
        let stays = |address: &SocketAddr, open: &Running| {
            // A task that ended early (it does not, but for a panic) is opened anew.
            specs.get(address).is_some_and(|spec| spec.id == open.route.borrow().spec.id) && !open.task.is_finished()
        };
        let (keep, close) = mem::take(&mut *running).into_iter().partition(|(address, open)| stays(address, open));
        *running = keep;
        close_all(close).await;

        for (address, spec) in specs {
            if let Some(open) = running.get(&address) {
                open.route.send_modify(|route| *route = Arc::new(route.followed_by(spec)));
                continue;
            }
            match listen(address) {
                Ok(listener) => {
                    running.insert(address, self.open(listener, spec));
                }
                Err(source) => errors.push(BindError::new(&spec, source)),
            }
        }
        errors
    }

    fn open(&self, listener: TcpListener, spec: ListenerSpec) -> Running {
        let (route, current) = watch::channel(Arc::new(Route::new(spec)));
        let accepting = self.everything.child_token();
        let task = tokio::spawn(accept(listener, current, accepting.clone(), self.everything.clone()));
        Running { route, accepting, task }
    }
}

/// What a listener knows when it accepts a connection.
#[derive(Debug)]
struct Route {
    spec: ListenerSpec,
    /// By target: cancelled to cut the connections to it.
    cuts: BTreeMap<SocketAddr, CancellationToken>,
}

impl Route {
    fn new(spec: ListenerSpec) -> Self {
        let cuts = spec.pool.targets.iter().map(|target| (target.address, CancellationToken::new())).collect();
        Self { spec, cuts }
    }

    /// The route of the changed `spec`; cuts what it wants to be cut.
    fn followed_by(&self, spec: ListenerSpec) -> Self {
        let mut next = Self::new(spec);
        for target in &next.spec.pool.targets {
            let Some(cut) = self.cuts.get(&target.address) else { continue };
            let already = self.spec.pool.targets.iter().any(|before| before.address == target.address && before.terminate);
            if target.terminate && !already {
                cut.cancel();
            } else {
                next.cuts.insert(target.address, cut.clone());
            }
        }
        next
    }

    /// The target for a new connection, and the token that cuts it.
    fn choose(&self, peer: SocketAddr) -> Option<(SocketAddr, &CancellationToken)> {
        self.cuts.get_key_value(&self.spec.pool.choose(&self.spec.zone, peer)?).map(|(target, cut)| (*target, cut))
    }
}

impl BindError {
    fn new(spec: &ListenerSpec, source: io::Error) -> Self {
        Self { address: spec.address, id: spec.id.clone(), source }
    }
}

/// Returns when the sockets are closed, so that their addresses are free.
async fn close_all(listeners: BTreeMap<SocketAddr, Running>) {
    for listener in listeners.values() {
        listener.accepting.cancel();
    }
    for (address, listener) in listeners {
        if let Err(error) = listener.task.await {
            tracing::error!(%address, %error, "a listener's task ended badly");
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    // Connections of a former listener may still hold the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

async fn accept(
    listener: TcpListener,
    current: watch::Receiver<Arc<Route>>,
    accepting: CancellationToken,
    everything: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = accepting.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, peer)) => {
                let route = Arc::clone(&current.borrow());
                tokio::spawn(everything.clone().run_until_cancelled_owned(connection::carry(client, peer, route)));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Pool {
    /// The target for a new connection from `peer` through an address in `zone`; the same for the same pool and peer.
    ///
    /// Healthy targets only, but all of them when none is: an NLB fails open. `None` when there is nobody at all.
    fn choose(&self, zone: &str, peer: SocketAddr) -> Option<SocketAddr> {
        let open = || {
            let here = |target: &&PoolTarget| self.cross_zone || target.zone.as_deref().is_none_or(|other| other == zone);
            self.targets.iter().filter(here).filter(|target| !target.draining)
        };
        let mut candidates: Vec<_> = open().filter(|target| target.healthy).collect();
        if candidates.is_empty() {
            candidates = open().collect();
        }
        candidates.sort_unstable_by_key(|target| target.address);
        let mut hasher = DefaultHasher::new();
        peer.hash(&mut hasher);
        let index = hasher.finish().checked_rem(candidates.len() as u64)?;
        usize::try_from(index).ok().and_then(|index| candidates.get(index)).map(|target| target.address)
    }
}
