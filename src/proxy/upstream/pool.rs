//! Idle upstream connections of one worker.
//!
//! The one used last is used first, so that a burst's surplus grows old and goes. A connection comes back only by
//! [`Lease::give_back`], after a whole exchange: dropping a [`Lease`] closes it, which is what an exchange cut short needs.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::super::timers::Timers;
use super::http1::Connection;
use crate::clock::Instant;

/// How long connections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Idle connections to one endpoint.
    pub idle: usize,
    /// Without a request.
    pub idle_time: Duration,
    /// Since it was made.
    pub age: Duration,
    /// Requests over one connection.
    pub requests: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    timers: Rc<Timers>,
    limits: Cell<Option<Limits>>,
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>, RandomState>>,
}

#[derive(Debug)]
struct Idle {
    kept: Kept,
    since: Instant,
}

#[derive(Debug)]
struct Kept {
    connection: Connection,
    made: Instant,
    requests: u32,
}

impl Idle {
    fn is_usable(&self, limits: &Limits, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < limits.idle_time
            && now.saturating_duration_since(self.kept.made) < limits.age
            && self.kept.connection.is_quiet()
    }
}

impl Pool {
    pub(crate) fn new(timers: Rc<Timers>) -> Rc<Self> {
        Rc::new(Self { timers, limits: Cell::new(None), idle: RefCell::default() })
    }

    /// From now on. Nothing is kept before the first call.
    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.set(Some(limits));
    }

    /// An idle connection.
    pub(crate) fn take(self: &Rc<Self>, address: SocketAddr) -> Option<Lease> {
        let now = self.timers.now();
        let limits = self.limits.get()?;
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(&address)?;
        while let Some(candidate) = idle.pop() {
            if candidate.is_usable(&limits, now) {
                return Some(Lease { kept: candidate.kept, address, reused: true, pool: Rc::clone(self) });
            }
        }
        all.remove(&address);
        None
    }

    /// Closes what is too old.
    pub(crate) fn expire(&self) {
        let now = self.timers.now();
        let Some(limits) = self.limits.get() else { return };
        self.idle.borrow_mut().retain(|_, idle| {
            idle.retain(|candidate| candidate.is_usable(&limits, now));
            !idle.is_empty()
        });
    }

    /// Closes connections to all but these endpoints.
    pub(crate) fn keep_only(&self, endpoints: &HashSet<SocketAddr>) {
        self.idle.borrow_mut().retain(|address, _| endpoints.contains(address));
    }

    /// Whether there is anything to close.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// Idle connections.
    pub(crate) fn len(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Lease {
    kept: Kept,
    address: SocketAddr,
    reused: bool,
    pool: Rc<Pool>,
}

impl Lease {
    pub(super) fn new(connection: Connection, address: SocketAddr, pool: &Rc<Pool>) -> Self {
        let kept = Kept { connection, made: pool.timers.now(), requests: 0 };
        Self { kept, address, reused: false, pool: Rc::clone(pool) }
    }

    /// It has served other requests before: the endpoint may have closed it since.
    pub(crate) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Of the worker.
    pub(crate) fn timers(&self) -> &Rc<Timers> {
        &self.pool.timers
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.kept.connection
    }

    /// It becomes something else, and does not come back.
    pub(crate) fn into_connection(self) -> Connection {
        self.kept.connection
    }

    /// The exchange went through: others may use the connection.
    pub(crate) fn give_back(mut self) {
        let now = self.pool.timers.now();
        let Some(limits) = self.pool.limits.get() else { return };
        self.kept.requests += 1;
        let mut idle = Idle { kept: self.kept, since: now };
        if idle.kept.requests >= limits.requests || !idle.is_usable(&limits, now) {
            return;
        }
        idle.kept.connection.rest();
        let mut all = self.pool.idle.borrow_mut();
        let kept = all.entry(self.address).or_default();
        if kept.len() >= limits.idle {
            // The oldest goes.
            kept.remove(0);
        }
        kept.push(idle);
    }
}
