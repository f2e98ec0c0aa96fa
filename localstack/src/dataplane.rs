//! The data plane: keeps the open sockets in step with the state of all accounts.
//!
//! One task for the whole emulator, which looks again whenever a route may have changed. `dataplane/routes.rs` says which listeners have to
//! be open and who is behind them, `dataplane/forward.rs` owns the sockets, `dataplane/choose.rs` gives each flow its target.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::address_map::AddressMap;
use crate::shared::Shared;
use forward::{Forwarder, ListenerSpec, Ways};

pub(crate) mod choose;
pub(crate) mod forward;
mod routes;

/// How the emulated network is joined to this machine's: what the data plane and the prober go by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wiring {
    pub(crate) addresses: AddressMap,
    /// Added to the numbers of listeners' ports below 1024.
    pub(crate) low_port_offset: u16,
    /// Whether security-group rules hold.
    pub(crate) firewall: bool,
    /// Whether targets may see addresses that are not this machine's: the network brings the answers back here.
    pub(crate) transparent: bool,
}

impl Wiring {
    /// Where an address and port of the VPC is on this machine.
    pub(crate) fn to_local(&self, address: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.addresses.to_local(address.ip()), address.port())
    }

    /// Where a listener's address and port is on this machine.
    fn listener_to_local(&self, address: SocketAddr) -> SocketAddr {
        let port = address.port();
        let port = if port < 1024 { port.saturating_add(self.low_port_offset) } else { port };
        SocketAddr::new(self.addresses.to_local(address.ip()), port)
    }
}

/// What of a load balancer's ways this emulator has, on this machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Capabilities {
    /// Whether listeners are open.
    pub(crate) listeners: bool,
    /// Whose addresses targets see: of clients on `this machine`, or on `any` machine; `none`: the load balancer's.
    pub(crate) client_addresses: &'static str,
    /// `enforced` or `ignored`.
    pub(crate) security_groups: &'static str,
    /// Empty: VPC addresses are used as they are.
    pub(crate) address_map: String,
    pub(crate) low_port_offset: u16,
}

impl Capabilities {
    pub(crate) fn new(wiring: &Wiring, listeners: bool) -> Self {
        Self {
            listeners,
            client_addresses: match (listeners, wiring.transparent) {
                (false, _) => "none",
                (true, false) => "this machine",
                (true, true) => "any",
            },
            security_groups: if wiring.firewall { "enforced" } else { "ignored" },
            address_map: wiring.addresses.to_string(),
            low_port_offset: wiring.low_port_offset,
        }
    }
}

/// Runs until `shutdown`, then closes every socket.
pub(crate) async fn run(shared: Arc<Shared>, wiring: Wiring, shutdown: CancellationToken) {
    let forwarder = Forwarder::new(Ways::new(wiring.clone(), shared.clock.clone()));
    let mut changes = shared.route_changes();
    let mut open: Vec<ListenerSpec> = Vec::new();
    // Sockets that could not be bound: said once, tried again at each look.
    let mut failed: BTreeSet<SocketAddr> = BTreeSet::new();
    loop {
        changes.mark_unchanged();
        let mut wanted = Vec::new();
        for state in shared.accounts() {
            wanted.extend(shared.with(&state, |state, now, _| routes::listeners(state, now, &wiring)));
        }
        if wanted != open || !failed.is_empty() {
            open.clone_from(&wanted);
            let errors = forwarder.apply(wanted).await;
            let now_failed: BTreeSet<SocketAddr> = errors.iter().map(|error| error.address).collect();
            for error in errors.iter().filter(|error| !failed.contains(&error.address)) {
                tracing::warn!(%error, "a listener has no socket");
            }
            failed = now_failed;
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = changes.changed() => {}
        }
    }
    forwarder.apply(Vec::new()).await;
}
