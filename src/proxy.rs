//! The HTTP data plane: bytes in, bytes out.
//!
//! ```text
//!                       one worker per core, nothing shared between them but the published table
//! listen ─▶ connection ─▶ PROXY header ─▶ TLS ─┬▶ guard ─▶ HTTP/1 ─┬▶ exchange ─▶ upstream ─▶ endpoint
//!                                              └▶ cork  ─▶ HTTP/2 ─┘    (steps)    (pool)
//! ```
//!
//! Reads [`crate::routes::RouteTable`]s, published whole, and names no Kubernetes type. May import `clock` and `routes`.
//! [`server`] starts and ends it; [`exchange`] is the life of a request.

mod access_log;

mod buffers;

mod client;

mod connection;

mod cork;

mod date;

mod exchange;

mod guard;

mod listen;

mod lists;

pub mod metrics;

pub mod proxy_protocol;

mod outgoing;

mod refusal;

pub mod server;

mod timers;

mod tls;

mod tunnel;

mod upstream;

mod worker;

pub use server::{Drain, Drained, Handle, Proxy, ProxyError, Settings};

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;
