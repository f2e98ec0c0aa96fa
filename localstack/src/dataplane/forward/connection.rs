//! One connection through a listener: to a target, both ways, to its end.
//!
//! Imports the network and its parent's `Route`; accepts nothing and knows no other connection.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::pump::both_ways;
use super::route::Route;
use super::stream::{Channel, End};
use super::upstream::Ways;
use crate::dataplane::choose::Flow;
use crate::{proxy_protocol, tls};

/// One client's connection from accept to close.
pub(super) async fn carry(client: TcpStream, peer: SocketAddr, route: Arc<Route>, ways: Arc<Ways>) {
    let client = End::new(client);
    let spec = &route.spec;
    let source = SocketAddr::new(ways.wiring.addresses.to_vpc(peer.ip()), peer.port());
    let activity = Activity::new(ways.clock.clone());
    if !spec.clients.admit(source.ip()) {
        return ignore(client, &activity, spec.idle).await;
    }
    let flow = Flow { transport: spec.transport, client: source, listener: spec.address };
    let Some(chosen) = route.choose(&flow) else { return };
    let Some(mut client) = secured(client, &route).await else { return };
    // A target cannot reach itself through a load balancer that keeps addresses: its answer never leaves it.
    let to_itself = chosen.pool.preserve_client && source.ip() == chosen.target.address.ip();
    if to_itself || !chosen.target.admits.admit(source.ip()) {
        return ignore(client, &activity, spec.idle).await;
    }
    let Ok(upstream) = ways.connect(peer, &spec.nodes, chosen.pool, chosen.target).await else { return };
    let mut upstream = End::new(upstream);
    if chosen.pool.proxy_protocol_v2 {
        let header = proxy_protocol::header(source, spec.address, false);
        if upstream.write_all(&header).await.is_err() {
            return;
        }
    }
    let mut upstream = if chosen.pool.tls {
        let Ok(stream) = tls::to_target(chosen.target.address.ip(), client.alpn(), upstream).await else { return };
        Channel::Tls(Box::new(stream.into()))
    } else {
        Channel::Plain(upstream)
    };
    let (cut, limit) = (chosen.cut.clone(), spec.idle);
    // A pool is not to be kept in memory by the connections that it once served.
    drop(route);

    let orderly = tokio::select! {
        biased;
        ended = both_ways(&mut client, &mut upstream, &activity) => ended.is_ok(),
        () = activity.idle(limit) => false,
        () = cut.cancelled() => false,
    };
    client.end().orderly = orderly;
    upstream.end().orderly = orderly;
}

/// The client after the TLS handshake, if the listener has one; `None` when it failed.
async fn secured(mut client: End, route: &Route) -> Option<Channel> {
    let Some(tls) = route.tls() else { return Some(Channel::Plain(client)) };
    // What went wrong is told by TLS, if there was a handshake at all.
    client.orderly = true;
    let mut stream = tls::accept(Arc::clone(tls?), client).await.ok()?;
    stream.get_mut().0.orderly = false;
    Some(Channel::Tls(Box::new(stream.into())))
}

/// Leaves a client without any answer until it gives up: what it gets where packets are dropped.
async fn ignore(client: impl AsyncRead, activity: &Activity, limit: Duration) {
    let mut client = pin!(client);
    let mut unheard = [0; 512];
    let gone = async { while client.read(&mut unheard).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        () = gone => {}
        () = activity.idle(limit) => {}
    }
}
