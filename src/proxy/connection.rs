//! One client connection, from its first byte to its last: PROXY header, TLS, then HTTP/1 or HTTP/2.

mod http1;

mod http2;

mod prefixed;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::Response;
use hyper::body::Body;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::client::Client;
use super::proxy_protocol::{self, Header};
use super::upstream::http1::head::is_bodyless;
use super::worker::{Busy, Phase, Worker};
use crate::routes::options::GlobalOptions;
use prefixed::Prefixed;

/// Longest TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// Longest wait for a client that does not take what it is sent (nginx: `send_timeout`).
const SEND_LIMIT: Duration = Duration::from_secs(60);

/// Who has connected as we were about to close, and has said nothing yet, is waited for so long: a request is on its way.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// What a client sends first that speaks HTTP/2 without having agreed on it by TLS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a client reached us.
struct Way {
    peer: IpAddr,
    source: IpAddr,
    port: u16,
    https: bool,
}

/// Serves a connection that was just accepted on `port`.
pub(super) async fn serve(worker: Rc<Worker>, _busy: Busy, stream: TcpStream, peer: SocketAddr, port: u16, https: bool) {
    let mut counted = Counted::new(&worker);
    // A peer without the option still works, only slower.
    let _ = stream.set_nodelay(true);
    let mut stream = Prefixed::new(stream);
    let snapshot = worker.snapshot();
    let global = &snapshot.table.global;
    let mut way = Way { peer: peer.ip(), source: peer.ip(), port, https };
    if global.use_proxy_protocol {
        let header = worker.timers.within(global.proxy_protocol_header_timeout, proxy_header(&mut stream)).await;
        match header {
            Some(Ok(header)) => way.take(header, global),
            Some(Err(error)) => {
                tracing::debug!(%peer, %error, "a connection without a proper PROXY header");
                return;
            }
            None => return,
        }
    }
    if https {
        // Handshakes are rare and their state is large.
        let shaken = worker.timers.within(HANDSHAKE_LIMIT, Box::pin(handshake(&worker, stream, global.use_http2))).await;
        match shaken {
            Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                drop(snapshot);
                Box::pin(http2::serve(counted.client(&way), stream)).await;
            }
            Some(Ok(stream)) => {
                drop(snapshot);
                Box::pin(http1::serve(counted.client(&way), stream, Vec::new())).await;
            }
            Some(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            None => {}
        }
        return;
    }
    // The futures of the protocols are boxed: a connection needs room for the one that it speaks.
    let http2 = global.use_http2;
    let limit = global.client_header_timeout;
    // What lives for the connection must not hold on to a table.
    drop(snapshot);
    match worker.timers.within(limit, starts_with_preface(&worker, &mut stream)).await {
        Some(Ok(true)) if http2 => Box::pin(http2::serve(counted.client(&way), stream)).await,
        Some(Ok(_)) => {
            let (stream, held) = stream.into_parts();
            Box::pin(http1::serve(counted.client(&way), stream, held)).await;
        }
        Some(Err(_)) | None => {}
    }
}

impl Way {
    /// Whoever is not trusted speaks for himself, whatever he writes.
    fn take(&mut self, header: Header, global: &GlobalOptions) {
        let Header::Proxied { source, destination } = header else { return };
        let peer = self.peer.to_canonical();
        if global.proxy_real_ip_cidrs.iter().any(|cidr| cidr.contains(&peer)) {
            self.source = source.ip();
            self.port = destination.port();
            self.https |= destination.port() == 443;
        }
    }
}

async fn proxy_header(stream: &mut Prefixed<TcpStream>) -> io::Result<Header> {
    loop {
        match proxy_protocol::parse(stream.prefix()).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            Some((header, length)) => {
                stream.consume(length);
                return Ok(header);
            }
            None => stream.more().await?,
        }
    }
}

async fn handshake(worker: &Worker, stream: Prefixed<TcpStream>, http2: bool) -> io::Result<Box<TlsStream<Prefixed<TcpStream>>>> {
    // Who says nothing takes nobody's turn, and who stops half way gives it back at the next tick.
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let mut turn = Some(worker.handshakes.acquire().await.map_err(io::Error::other)?);
    let timer = worker.timers.timer();
    timer.set_after(Duration::ZERO);
    let mut accepting = pin!(start.into_stream(worker.tls.config(http2)));
    let stream = std::future::poll_fn(|cx| {
        let polled = accepting.as_mut().poll(cx);
        if polled.is_pending() && turn.is_some() && timer.poll(cx).is_ready() {
            turn = None;
        }
        polled
    });
    // Large, and moved about: what holds it for long should hold a pointer.
    stream.await.map(Box::new)
}

/// Waits for enough of the first bytes to tell HTTP/2 from HTTP/1.
async fn starts_with_preface(worker: &Worker, stream: &mut Prefixed<TcpStream>) -> io::Result<bool> {
    let timer = worker.timers.timer();
    let accepted = worker.timers.now();
    loop {
        let read = stream.prefix();
        let alike = read.iter().zip(PREFACE).take_while(|(have, want)| have == want).count();
        if alike == PREFACE.len() {
            return Ok(true);
        }
        if alike < read.len() {
            return Ok(false);
        }
        let mut more = pin!(stream.more());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(read) = more.as_mut().poll(cx) {
                return Poll::Ready(read);
            }
            // Looked at again when the phase changes.
            if worker.phase() >= Phase::Closing {
                timer.set(accepted + FIRST_WORDS);
            }
            timer.poll(cx).map(|()| Err(io::ErrorKind::ConnectionAborted.into()))
        })
        .await?;
    }
}

/// The length to tell a client if the endpoint has told none; for HEAD that of the answer to a GET, if it is known.
fn told_length<B: Body>(response: &Response<B>, to_head: bool) -> Option<u64> {
    let length = response.body().size_hint().exact().filter(|_| !is_bodyless(response.status()));
    length.filter(|length| *length > 0 || !to_head)
}

/// An open connection in the metrics.
struct Counted {
    worker: Rc<Worker>,
    /// Nothing is known of the client yet.
    reading: bool,
}

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        let stats = &worker.counters.stats;
        stats.accepted.add(1);
        stats.active.add(1);
        stats.reading.add(1);
        Self { worker: Rc::clone(worker), reading: true }
    }

    /// The client has said how it speaks.
    fn client(&mut self, way: &Way) -> Rc<Client> {
        self.known();
        Client::new(Rc::clone(&self.worker), way.peer, way.source, way.port, way.https)
    }

    fn known(&mut self) {
        if std::mem::replace(&mut self.reading, false) {
            self.worker.counters.stats.reading.subtract(1);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.known();
        self.worker.counters.stats.active.subtract(1);
    }
}
