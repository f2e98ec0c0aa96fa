//! The emulator as a whole, over real sockets: the wire, faults and journal, health checks, data plane, DNS, the admin endpoints.

mod admin;
pub(crate) mod client;
mod concurrency;
mod ends;
mod fault_model;
mod journal;
mod tls;
pub(crate) mod traffic;
mod wire;
