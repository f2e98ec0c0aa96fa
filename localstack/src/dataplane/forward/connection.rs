//! One connection through a listener: to a target, both ways, to its end.
//!
//! Imports the network and its parent's `Route`; accepts nothing and knows no other connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::{Route, socket_for};

/// A flow without traffic is forgotten after this long (NLB user guide: TCP idle timeout, default).
const IDLE_TIMEOUT: Duration = Duration::from_secs(350);

/// How long a target may take to complete the handshake. A real client would give up by its own timer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One client's connection from accept to close.
pub(super) async fn carry(client: TcpStream, peer: SocketAddr, route: Arc<Route>) {
    let mut client = End::new(client);
    let Some((target, cut)) = route.choose(peer) else { return };
    let cut = cut.clone();
    let Ok(upstream) = connect(route.spec.address.ip(), target).await else { return };
    let mut upstream = End::new(upstream);
    if route.spec.pool.proxy_protocol_v2 {
        let Ok(local) = client.stream.local_addr() else { return };
        if upstream.stream.write_all(&proxy_header(peer, local)).await.is_err() {
            return;
        }
    }
    // A pool is not to be kept in memory by the connections that it once served.
    drop(route);

    let flow = Flow::new();
    let (from_client, to_client) = client.stream.split();
    let (from_target, to_target) = upstream.stream.split();
    let both_ways = async { tokio::try_join!(flow.pump(from_client, to_target), flow.pump(from_target, to_client)) };
    let orderly = tokio::select! {
        biased;
        ended = both_ways => ended.is_ok(),
        () = flow.idle() => false,
        () = cut.cancelled() => false,
    };
    client.orderly = orderly;
    upstream.orderly = orderly;
}

/// One end of a connection. Unless both directions were closed in order it goes away with a reset, as through an NLB:
/// that is how either side learns that the other one is gone, cut off or was never there.
struct End {
    stream: TcpStream,
    orderly: bool,
}

impl End {
    fn new(stream: TcpStream) -> Self {
        // A performance matter only: a socket that refuses it is gone already.
        let _ = stream.set_nodelay(true);
        Self { stream, orderly: false }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.orderly {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Connects from the load balancer's own address, which is what targets see of an NLB that does not preserve client addresses.
async fn connect(from: IpAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket_for(target)?;
    if from.is_ipv4() == target.is_ipv4() {
        // Fails when all ports of that address are taken: then the system chooses the address too.
        let _ = socket.bind(SocketAddr::new(from, 0));
    }
    tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(target)).await?
}

/// When a connection last carried something.
struct Flow {
    start: Instant,
    /// Milliseconds after `start`.
    last: AtomicU64,
}

impl Flow {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Copies one direction to its end and passes the end on, so that the other direction may go on alone.
    async fn pump(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(16 * 1024);
        while from.read_buf(&mut buffer).await? > 0 {
            self.touch();
            to.write_all(&buffer).await?;
            self.touch();
            buffer.clear();
        }
        to.shutdown().await
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Returns when nothing was carried for [`IDLE_TIMEOUT`].
    async fn idle(&self) {
        loop {
            let deadline = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + IDLE_TIMEOUT;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// A PROXY protocol version 2 header (its specification, §2.2): PROXY command, TCP, no TLVs.
fn proxy_header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(36);
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            addresses.extend(source.octets());
            addresses.extend(destination.octets());
            0x11
        }
        (source, destination) => {
            for ip in [source, destination] {
                let ip = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                addresses.extend(ip.octets());
            }
            0x21
        }
    };
    addresses.extend(source.port().to_be_bytes());
    addresses.extend(destination.port().to_be_bytes());
    // At most 36.
    let length = addresses.len() as u8;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x21, family, 0, length]);
    header.append(&mut addresses);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_header_of_ipv6() {
        let six = proxy_header("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:258".parse().unwrap());
        assert_eq!((six.len(), &six[13..16], &six[50..]), (52, &[0x21, 0, 36][..], &[1, 2][..]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_flow_is_forgotten() {
        let flow = Flow::new();
        tokio::time::sleep(Duration::from_secs(300)).await;
        flow.touch();
        flow.idle().await;
        assert_eq!(flow.start.elapsed().as_secs(), 650);
    }
}
