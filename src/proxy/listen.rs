//! Sockets that listen, and the loop that accepts from one.
//!
//! Each worker has its own socket for each port (`SO_REUSEPORT`); the kernel spreads connections over them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, watch};

use super::connection;
use super::worker::{Busy, Phase, Worker};

/// Connections that wait to be accepted (`somaxconn` bounds it too).
const BACKLOG: i32 = 4096;

/// After an error of accepting that does not go away by itself: out of file descriptors, usually.
const PAUSE: Duration = Duration::from_millis(100);

/// Sockets on one address, one for each worker, and the address with the port that was really taken.
pub(super) fn bind(address: SocketAddr, count: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let first = socket(address)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(socket(bound)?);
    }
    Ok((sockets, bound))
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` serves both families.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the phase is [`Phase::Closing`]. What the kernel has queued by then is still served: closing a socket would
/// reset it. All sockets are closed together, since the kernel gives new connections to those that are left.
pub(super) async fn accept(
    worker: Rc<Worker>,
    _busy: Busy,
    listener: TcpListener,
    port: u16,
    https: bool,
    mut phase: watch::Receiver<Phase>,
    closing: Arc<Barrier>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, port, "a socket cannot be listened on");
            return;
        }
    };
    let serve = |(stream, peer): (TcpStream, SocketAddr)| {
        let busy = Busy::new(&worker);
        tokio::task::spawn_local(connection::serve(Rc::clone(&worker), busy, stream, peer, port, https));
    };
    loop {
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase >= Phase::Closing) => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => serve(accepted),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, port, "connections cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    match listener.into_std() {
        Ok(listener) => {
            drain(&listener, serve);
            closing.wait().await;
            drain(&listener, serve);
        }
        Err(error) => {
            tracing::warn!(%error, port, "a socket is closed without a look at its queue");
            closing.wait().await;
        }
    }
}

/// Serves what is queued. Asks the kernel itself: the runtime knows of a connection only after its next turn.
fn drain(listener: &TcpListener, serve: impl Fn((TcpStream, SocketAddr))) {
    while let Ok((stream, peer)) = listener.accept() {
        match stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => serve((stream, peer)),
            Err(error) => tracing::warn!(%error, %peer, "a connection cannot be served"),
        }
    }
}

/// The connection failed before it was accepted: nothing is wrong here.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use tokio::runtime::{Builder, LocalOptions};

    use super::super::testing::Plan;
    use super::super::worker;
    use super::*;

    #[test]
    fn what_is_queued_when_the_end_begins_is_served() {
        let (listeners, address) = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        // The kernel has taken the connection and the request; nobody has accepted it yet.
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let (phase, watched) = watch::channel(Phase::Serving);
        phase.send_replace(Phase::Closing);
        let listeners = listeners.into_iter().map(|listener| (listener, address, false)).collect();
        let parts = Plan::to(&[]).parts(listeners, watched);
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(worker::run(parts));
        drop(runtime);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer:?}");
    }
}
