//! The UDP flows of one listener: each client's address has a target of its own until the flow is idle.
//!
//! Imports the network and its parent's `Route`. One task receives for all flows; each flow has a task that brings the answers back.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::buffers;
use super::route::Route;
use super::upstream::Ways;
use crate::dataplane::choose;
use crate::proxy_protocol;

/// Room for a PROXY protocol header in front of a datagram.
const HEADROOM: usize = 128;

/// The flows of a listener, by the client's address on this machine. Never locked over an await.
#[derive(Default)]
struct Flows(Mutex<HashMap<SocketAddr, Arc<Flow>>>);

struct Flow {
    /// Connected to the target.
    upstream: UdpSocket,
    /// What each datagram begins with; empty without PROXY protocol.
    header: Vec<u8>,
    activity: Activity,
}

impl Flows {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Arc<Flow>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `accepting` is cancelled; then the flows end, because answers need the listener's socket.
pub(super) async fn serve(
    socket: UdpSocket,
    current: watch::Receiver<Arc<Route>>,
    ways: Arc<Ways>,
    accepting: CancellationToken,
) {
    let (socket, flows, answering) = (Arc::new(socket), Arc::new(Flows::default()), TaskTracker::new());
    let mut buffer = vec![0; HEADROOM + buffers::SIZE];
    loop {
        let Some(space) = buffer.get_mut(HEADROOM..) else { return };
        let received = tokio::select! {
            biased;
            () = accepting.cancelled() => break,
            received = socket.recv_from(space) => received,
        };
        // An error here is about an earlier answer (its client is gone): no reason to stop.
        let Ok((length, client)) = received else { continue };
        let known = flows.lock().get(&client).cloned();
        let flow = match known {
            Some(flow) => flow,
            None => match begin(&socket, &flows, client, &Arc::clone(&current.borrow()), &ways, (&answering, &accepting)) {
                Ok(Some(flow)) => flow,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(%client, %error, "a UDP flow has no socket");
                    continue;
                }
            },
        };
        flow.activity.touch();
        let start = HEADROOM - flow.header.len().min(HEADROOM);
        if let Some(place) = buffer.get_mut(start..HEADROOM) {
            place.copy_from_slice(&flow.header);
        }
        if let Some(datagram) = buffer.get(start..HEADROOM + length) {
            // As on any network, a datagram that cannot be taken now is lost. Past tokio, which would not send before its reactor has seen
            // the new socket.
            let _ = SockRef::from(&flow.upstream).send(datagram);
        }
    }
    // They hold the socket: whoever waits for this task wants it closed.
    answering.close();
    answering.wait().await;
}

/// Starts a client's flow; `None` when nobody answers it.
fn begin(
    socket: &Arc<UdpSocket>,
    flows: &Arc<Flows>,
    client: SocketAddr,
    route: &Route,
    ways: &Arc<Ways>,
    (tasks, accepting): (&TaskTracker, &CancellationToken),
) -> io::Result<Option<Arc<Flow>>> {
    let spec = &route.spec;
    let source = SocketAddr::new(ways.wiring.addresses.to_vpc(client.ip()), client.port());
    if !spec.clients.admit(source.ip()) {
        return Ok(None);
    }
    let named = choose::Flow { transport: spec.transport, client: source, listener: spec.address };
    let Some(chosen) = route.choose(&named) else { return Ok(None) };
    let to_itself = chosen.pool.preserve_client && source.ip() == chosen.target.address.ip();
    if to_itself || !chosen.target.admits.admit(source.ip()) {
        return Ok(None);
    }
    let flow = Arc::new(Flow {
        upstream: ways.associate(client, &spec.nodes, chosen.pool, chosen.target)?,
        header: if chosen.pool.proxy_protocol_v2 { proxy_protocol::header(source, spec.address, true) } else { Vec::new() },
        activity: Activity::new(ways.clock.clone()),
    });
    flows.lock().insert(client, Arc::clone(&flow));
    let (socket, flows, answering) = (Arc::clone(socket), Arc::clone(flows), Arc::clone(&flow));
    let (idle, cut, accepting) = (spec.idle, chosen.cut.clone(), accepting.clone());
    let answers = async move {
        tokio::select! {
            biased;
            () = accepting.cancelled() => {}
            () = cut.cancelled() => {}
            () = answer(&socket, client, &answering) => {}
            () = answering.activity.idle(idle) => {}
        }
        flows.lock().remove(&client);
    };
    // The tracker waits for the tasks; their handles are of no use.
    drop(tasks.spawn(answers));
    Ok(Some(flow))
}

/// Brings the target's datagrams to the client. Ends only when the target's socket is broken for good.
async fn answer(socket: &UdpSocket, client: SocketAddr, flow: &Flow) {
    while flow.upstream.readable().await.is_ok() {
        let mut buffer = buffers::take();
        // Errors: nothing there after all, or nobody listened for an earlier datagram.
        if let Ok(length) = flow.upstream.try_recv(&mut buffer) {
            flow.activity.touch();
            if let Some(datagram) = buffer.get(..length) {
                let _ = socket.try_send_to(datagram, client);
            }
        }
        buffers::give(buffer);
    }
}
