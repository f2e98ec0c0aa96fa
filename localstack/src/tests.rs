//! The emulator as a whole, over real sockets: the wire, faults and journal, health checks, data plane, DNS, the admin endpoints.

mod admin;
mod client;
mod traffic;
mod wire;
