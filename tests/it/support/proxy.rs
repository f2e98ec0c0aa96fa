//! A cable between two programs that a test can pull out and put back: TCP through this, as it comes.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::world::World;

/// The cable. Dropping it takes no more connections.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Silent,
    Closed,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A cable to `upstream`.
    pub async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (sender, state) = watch::channel(State::Whole);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, upstream, state.clone()));
            }
        });
        Self { address, state: sender, accepting }
    }

    /// A cable to the world's API server, and a kubeconfig that leads through it.
    pub async fn to_api_server(world: &World, name: &str) -> (Self, PathBuf) {
        let server = world.cluster.server();
        let upstream = server.strip_prefix("https://").and_then(|address| address.parse().ok()).expect("an address");
        let proxy = Self::to(upstream).await;
        let kubeconfig = std::fs::read_to_string(&world.kubeconfig).expect("the kubeconfig");
        let path = world.workdir.join(format!("{name}.kubeconfig"));
        // The API server's certificate is good for 127.0.0.1, too.
        std::fs::write(&path, kubeconfig.replace(&server, &format!("https://{}", proxy.address))).expect("written");
        (proxy, path)
    }

    /// Pulls it out: silence both ways, on connections that exist and on new ones. Nobody is told.
    pub fn cut(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Nobody is at the other end any more: connections are closed, and new ones at once.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Puts it back: what was sent while it was pulled out arrives.
    pub fn restore(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn connect(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    if !is_whole(&mut state).await {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let closed = state.clone();
    tokio::select! {
        _ = async { tokio::join!(pump(from_client, to_server, state.clone()), pump(from_server, to_client, state)) } => {}
        () = is_closed(closed) => {}
    }
}

/// Carries bytes, and then the end, whenever the cable is whole.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if !is_whole(&mut state).await || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits as long as it is silent; `false` when it is closed.
async fn is_whole(state: &mut watch::Receiver<State>) -> bool {
    state.wait_for(|state| *state != State::Silent).await.is_ok_and(|state| *state == State::Whole)
}

async fn is_closed(mut state: watch::Receiver<State>) {
    // The end of the sender is the end of the cable.
    let _ = state.wait_for(|state| *state == State::Closed).await;
}
