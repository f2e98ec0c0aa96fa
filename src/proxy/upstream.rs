//! Connections to endpoints: which endpoint, an idle connection to it or a new one.
//!
//! One [`Upstream`] for each worker; nothing is shared between cores. Neighbours: [`pool`], [`balance`], [`names`], [`http1`].

pub(super) mod balance;

pub(super) mod http1;

pub(super) mod names;

pub(super) mod pool;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::buffers::Buffers;
use super::timers::Timers;
use balance::Balance;
use http1::Connection;
use names::Names;
use pool::{Lease, Pool};

/// A worker's way to endpoints.
#[derive(Debug)]
pub(super) struct Upstream {
    pub pool: Rc<Pool>,
    pub balance: Balance,
    pub names: Names,
    timers: Rc<Timers>,
    buffers: Rc<Buffers>,
}

/// No connection to an endpoint.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Not within the time for it.
    Timeout,
    /// Refused, unreachable …
    Io(io::Error),
}

impl Upstream {
    pub(super) fn new(timers: Rc<Timers>, buffers: Rc<Buffers>, names: Names) -> Self {
        Self { pool: Pool::new(Rc::clone(&timers)), balance: Balance::new(), names, timers, buffers }
    }

    /// A new connection.
    pub(super) async fn connect(&self, address: SocketAddr, limit: Duration) -> Result<Lease, ConnectError> {
        let connected = self.timers.within(limit, TcpStream::connect(address)).await;
        let stream = connected.ok_or(ConnectError::Timeout)?.map_err(ConnectError::Io)?;
        // A peer without the option still works, only slower.
        let _ = stream.set_nodelay(true);
        Ok(Lease::new(Connection::new(stream, &self.buffers), address, &self.pool))
    }
}
