//! A client's connection, as its requests see it.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use tokio::net::TcpStream;

use super::exchange::record::Record;
use super::worker::Worker;
use crate::clock::Instant;

/// Shared by the connection and its exchanges.
#[derive(Debug)]
pub(super) struct Client {
    pub worker: Rc<Worker>,
    /// Who is at the other end of the TCP connection.
    pub peer: IpAddr,
    /// Who is behind it: the peer, or whom a PROXY header names.
    pub address: IpAddr,
    /// The same for `X-Real-IP` and `X-Forwarded-For`.
    pub address_value: HeaderValue,
    /// The port it connected to, for `X-Forwarded-Port`.
    pub port_value: HeaderValue,
    /// The client speaks TLS, to us or to a load balancer that says so.
    pub https: bool,
    /// Exchanges that have begun and are not over.
    open: Cell<u32>,
    /// Exchanges that have begun.
    served: Cell<u32>,
    idle_since: Cell<Instant>,
    /// Pieces of responses that were handed to HTTP/2 and not asked for again.
    handed: Cell<u32>,
    /// When one was handed over last.
    progress: Cell<Instant>,
    /// What the connection becomes once its last response is written.
    tunnel: RefCell<Option<Tunnel>>,
}

/// The other end of a connection whose protocol has changed.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// The byte stream, and what of it was read already.
    pub endpoint: (TcpStream, Vec<u8>),
    /// It ends when nothing is sent for so long.
    pub idle: Duration,
    pub record: Box<Record>,
}

impl Client {
    pub(super) fn new(worker: Rc<Worker>, peer: IpAddr, source: IpAddr, port: u16, https: bool) -> Rc<Self> {
        let now = worker.timers.now();
        // Behind a dual-stack listener IPv4 addresses are mapped; nobody wants to read them so.
        let address = source.to_canonical();
        Rc::new(Self {
            worker,
            peer: peer.to_canonical(),
            address,
            address_value: text(address),
            port_value: HeaderValue::from(if https { 443 } else { port }),
            https,
            open: Cell::new(0),
            served: Cell::new(0),
            idle_since: Cell::new(now),
            handed: Cell::new(0),
            progress: Cell::new(now),
            tunnel: RefCell::default(),
        })
    }

    /// The protocol changes after the response that is being sent.
    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    /// An exchange begins: its number on this connection.
    pub(super) fn begin(&self) -> u32 {
        let stats = &self.worker.counters.stats;
        stats.requests.add(1);
        if self.open.get() == 0 {
            stats.writing.add(1);
        }
        self.open.set(self.open.get() + 1);
        self.served.set(self.served.get() + 1);
        self.progress.set(self.worker.timers.now());
        self.served.get()
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if self.open.get() == 0 {
            self.worker.counters.stats.writing.subtract(1);
        }
        self.idle_since.set(self.worker.timers.now());
    }

    /// Exchanges that have begun and are not over.
    pub(super) fn open(&self) -> u32 {
        self.open.get()
    }

    /// When the last of them was over.
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Exchanges that have begun on this connection.
    pub(super) fn served(&self) -> u32 {
        self.served.get()
    }

    /// A piece of a response went to the codec.
    pub(super) fn handed(&self) {
        self.handed.set(self.handed.get() + 1);
        self.progress.set(self.worker.timers.now());
    }

    /// The codec has taken one, or dropped the response.
    pub(super) fn taken(&self) {
        self.handed.set(self.handed.get().saturating_sub(1));
        self.progress.set(self.worker.timers.now());
    }

    /// Since when the client has taken nothing of what waits for it.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        (self.handed.get() > 0).then(|| self.progress.get())
    }
}

/// An address as a header value.
pub(super) fn text(address: IpAddr) -> HeaderValue {
    // An address has no characters that a header value could not have.
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Parses what [`text`] writes, and what proxies write into `X-Forwarded-For`: an address, perhaps with a port.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let parsed = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    parsed.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()).map(|address: IpAddr| address.to_canonical())
}
