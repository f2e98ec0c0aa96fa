//! The way to a target: from which address, over which socket.
//!
//! Imports `socket2` for what tokio does not offer. A client's address can be kept when it is one of this machine's; others only where the
//! network brings the answers back here ([`Wiring::transparent`]). Where it cannot be kept, the load balancer's own is used, and said once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::{Pool, PoolTarget};
use crate::clock::Clock;
use crate::dataplane::Wiring;

/// How long a target may take to complete the handshake. A real client would give up by its own timer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What all flows have in common.
#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) wiring: Wiring,
    pub(crate) clock: Clock,
    /// Whether it was said that a client's address could not be kept.
    said: AtomicBool,
}

impl Ways {
    pub(crate) fn new(wiring: Wiring, clock: Clock) -> Self {
        Self { wiring, clock, said: AtomicBool::new(false) }
    }

    /// Connects to a target for `client`, from its address or from the load balancer's of `nodes`.
    pub(super) async fn connect(
        &self,
        client: SocketAddr,
        nodes: &[IpAddr],
        pool: &Pool,
        target: &PoolTarget,
    ) -> io::Result<TcpStream> {
        let socket = if target.local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        self.bind(&socket2::SockRef::from(&socket), client, nodes, pool, target.local);
        tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(target.local)).await?
    }

    /// The same for a UDP flow.
    pub(super) fn associate(
        &self,
        client: SocketAddr,
        nodes: &[IpAddr],
        pool: &Pool,
        target: &PoolTarget,
    ) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(target.local), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        self.bind(&socket, client, nodes, pool, target.local);
        socket.connect(&target.local.into())?;
        UdpSocket::from_std(socket.into())
    }

    fn bind(&self, socket: &Socket, client: SocketAddr, nodes: &[IpAddr], pool: &Pool, target: SocketAddr) {
        let fits = |source: &SocketAddr| source.is_ipv4() == target.is_ipv4();
        if pool.preserve_client && fits(&client) {
            if self.wiring.transparent {
                let _ = allow_foreign(socket);
            }
            // A client on this machine holds its port itself: then its address alone is kept.
            if [client, SocketAddr::new(client.ip(), 0)].into_iter().any(|source| socket.bind(&source.into()).is_ok()) {
                return;
            }
            if !self.said.swap(true, Ordering::Relaxed) {
                tracing::warn!(%client, "targets do not see the addresses of clients on other machines, but the load balancer's");
            }
        }
        if let Some(node) = nodes.iter().map(|node| SocketAddr::new(*node, 0)).find(fits) {
            // Fails when all ports of that address are taken: then the system chooses the address too.
            let _ = socket.bind(&node.into());
        }
    }
}

/// Lets a socket have an address that is not this machine's.
#[cfg(target_os = "linux")]
fn allow_foreign(socket: &Socket) -> io::Result<()> {
    socket.set_ip_transparent_v4(true)
}

#[cfg(not(target_os = "linux"))]
fn allow_foreign(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the system lets this process use the addresses of clients on other machines.
pub(crate) fn may_use_foreign_addresses() -> bool {
    Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| allow_foreign(&socket)).is_ok()
}
