//! Carries flows from listener addresses to targets, as a network load balancer does. Owns every listening socket.
//!
//! Imports the network, `choose`, `firewall`'s words; knows addresses and pools, not the emulator's state: `routes.rs` turns that into
//! [`ListenerSpec`]s. `forward/route.rs` is what a listener knows at one time, `forward/connection.rs` one client's connection,
//! `forward/datagrams.rs` the UDP flows of one listener.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::choose::Minimum;
use crate::firewall::{Sources, Transport};
use crate::tls;
use route::Route;

mod activity;
mod buffers;
mod connection;
mod datagrams;
mod drop_filter;
mod pump;
mod route;
mod stream;
#[cfg(test)]
mod tests;
mod upstream;

pub(crate) use upstream::{Ways, may_use_foreign_addresses};

/// Connections that may wait for `accept`; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: u32 = 65_535;

/// How long to pause when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One listener on one of its load balancer's addresses, of one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSpec {
    /// The listener's ARN: another listener on the same address is another socket.
    pub id: String,
    pub transport: Transport,
    /// Where clients connect to, as AWS has it.
    pub address: SocketAddr,
    /// Where that is on this machine.
    pub local: SocketAddr,
    /// The load balancer's addresses in the zone, one of a family: targets see them when they do not see the client's.
    pub nodes: Vec<IpAddr>,
    /// A flow that carries nothing for this long is forgotten.
    pub idle: Duration,
    /// For TLS listeners.
    pub tls: Option<tls::Settings>,
    /// The clients that get through. Others get no answer at all.
    pub clients: Sources,
    /// Who answers: the groups, by weight.
    pub pools: Vec<Pool>,
    /// Whether a client's flows all go to one of the groups.
    pub sticky: bool,
}

/// A target group, as far as it is used from a listener's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Its ARN.
    pub group: String,
    /// Its share of new flows, relative to that of the others; 0: none.
    pub weight: u32,
    /// In any order.
    pub targets: Vec<PoolTarget>,
    /// Fewer healthy targets than this, and all are used.
    pub minimum: Minimum,
    /// Whether a client's flows all go to one target.
    pub sticky: bool,
    /// Whether each flow to a target begins with a PROXY protocol version 2 header.
    pub proxy_protocol_v2: bool,
    /// Whether targets see the clients' addresses.
    pub preserve_client: bool,
    /// Whether targets are spoken to in TLS.
    pub tls: bool,
}

/// One target of a [`Pool`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolTarget {
    /// Its address and port, as AWS has it.
    pub address: SocketAddr,
    /// Where that is on this machine.
    pub local: SocketAddr,
    /// The clients whose flows the target's security groups let in. Others get no answer at all.
    pub admits: Sources,
    /// In state `healthy`.
    pub healthy: bool,
    /// Gets no new flows, keeps those it has.
    pub draining: bool,
    /// Going from false to true cuts the flows to it. Those made later (the pool fails open) are left alone.
    pub terminate: bool,
}

/// A listener whose socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {id}: {source}")]
pub(crate) struct BindError {
    /// [`ListenerSpec::local`].
    pub address: SocketAddr,
    /// [`ListenerSpec::id`].
    pub id: String,
    /// What the system said, or [`io::ErrorKind::AddrInUse`] when two specs want one address.
    pub source: io::Error,
}

/// What no two open sockets have in common.
type Key = (Transport, SocketAddr);

/// The open sockets. Dropping it closes them and cuts all flows.
#[derive(Debug)]
pub(crate) struct Forwarder {
    ways: Arc<Ways>,
    running: Mutex<BTreeMap<Key, Running>>,
    /// Ends listeners and flows.
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

/// A socket that was opened and has no task yet.
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Forwarder {
    /// A forwarder without any listener.
    #[must_use]
    pub(crate) fn new(ways: Ways) -> Self {
        let everything = CancellationToken::new();
        let guard = everything.clone().drop_guard();
        Self { ways: Arc::new(ways), running: Mutex::default(), _guard: guard, everything }
    }

    /// Makes the open sockets equal to `wanted`, keyed by transport and local address, and returns those that could not be opened; they
    /// are tried again by the next call.
    ///
    /// A listener that stays is never closed: its pools are swapped at once for new flows. One that goes stops accepting, and its TCP
    /// connections live on until either side closes them or they are idle for too long.
    pub(crate) async fn apply(&self, wanted: Vec<ListenerSpec>) -> Vec<BindError> {
        let mut errors = Vec::new();
        let mut specs: BTreeMap<Key, ListenerSpec> = BTreeMap::new();
        for spec in wanted {
            match specs.entry((spec.transport, spec.local)) {
                Entry::Vacant(free) => {
                    free.insert(spec);
                }
                Entry::Occupied(_) => errors.push(BindError::new(&spec, io::ErrorKind::AddrInUse.into())),
            }
        }

        let mut running = self.running.lock().await;
        let stays = |key: &Key, open: &Running| {
            // A task that ended early (it does not, but for a panic) is opened anew.
            specs.get(key).is_some_and(|spec| spec.id == open.route.borrow().spec.id) && !open.task.is_finished()
        };
        let (keep, close) = mem::take(&mut *running).into_iter().partition(|(key, open)| stays(key, open));
        *running = keep;
        close_all(close).await;

        for (key, spec) in specs {
            if let Some(open) = running.get(&key) {
                open.route.send_modify(|route| *route = Arc::new(route.followed_by(spec)));
                continue;
            }
            match listen(key) {
                Ok(socket) => {
                    running.insert(key, self.open(socket, spec));
                }
                Err(source) => errors.push(BindError::new(&spec, source)),
            }
        }
        errors
    }

    fn open(&self, socket: Socket, spec: ListenerSpec) -> Running {
        let (route, current) = watch::channel(Arc::new(Route::new(spec)));
        let accepting = self.everything.child_token();
        let (ways, everything) = (Arc::clone(&self.ways), self.everything.clone());
        let task = match socket {
            Socket::Tcp(listener) => tokio::spawn(accept(listener, current, ways, accepting.clone(), everything)),
            Socket::Udp(socket) => tokio::spawn(datagrams::serve(socket, current, ways, accepting.clone())),
        };
        Running { route, accepting, task }
    }
}

impl BindError {
    fn new(spec: &ListenerSpec, source: io::Error) -> Self {
        Self { address: spec.local, id: spec.id.clone(), source }
    }
}

/// Returns when the sockets are closed, so that their addresses are free.
async fn close_all(listeners: BTreeMap<Key, Running>) {
    for listener in listeners.values() {
        listener.accepting.cancel();
    }
    for ((_, address), listener) in listeners {
        if let Err(error) = listener.task.await {
            tracing::error!(%address, %error, "a listener's task ended badly");
        }
    }
}

fn listen((transport, address): Key) -> io::Result<Socket> {
    match transport {
        Transport::Tcp => {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Connections of a former listener may still hold the address.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG).map(Socket::Tcp)
        }
        Transport::Udp => {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket).map(Socket::Udp)
        }
    }
}

async fn accept(
    listener: TcpListener,
    mut current: watch::Receiver<Arc<Route>>,
    ways: Arc<Ways>,
    accepting: CancellationToken,
    everything: CancellationToken,
) {
    let mut clients = Sources::Any;
    loop {
        let route = Arc::clone(&current.borrow_and_update());
        if route.spec.clients != clients {
            clients.clone_from(&route.spec.clients);
            drop_filter::attach(&listener, &clients, &ways.wiring.addresses);
        }
        let accepted = tokio::select! {
            biased;
            () = accepting.cancelled() => return,
            changed = current.changed() => if changed.is_ok() { continue } else { return },
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, peer)) => {
                let connection = connection::carry(client, peer, route, Arc::clone(&ways));
                tokio::spawn(everything.clone().run_until_cancelled_owned(connection));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
