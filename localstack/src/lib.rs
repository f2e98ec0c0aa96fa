//! An emulator of the part of AWS that network load balancers need: ELBv2, EC2 networking, certificates of ACM and IAM, tagging, STS, with a
//! data plane and DNS.
//!
//! ```text
//! HTTP ─▶ server ─▶ server/aws ──▶ elbv2 │ ec2 │ acm … ──▶ model ◀── world (seed)
//!            │        │   └─ policy, faults, journal       ▲ timers, settled before every look
//!            └─▶ server/admin (/_landfall, /_localstack)   ├── health     (real probes)
//!                                                          ├── dataplane  (real TCP and UDP)
//!                                                          └── resolve ◀─ dns
//! ```
//!
//! `proxy` puts the same faults and journal in front of another endpoint. In process: [`Emulator::start`]. As a program: `landfall-localstack`, see `main.rs`. Faithfulness is the point: where AWS's behaviour is
//! known it is followed, where it is not the nastier choice is made, and nothing that is not emulated ever answers success.

mod acm;
mod address_map;
mod certificate;
mod clock;
mod conditions;
mod consistency;
mod dataplane;
mod dns;
mod durations;
mod ec2;
mod elbv2;
mod error;
mod faults;
mod firewall;
mod glob;
mod health;
mod iam;
mod ids;
mod journal;
mod json;
mod model;
mod page;
mod policy;
mod proxy;
mod proxy_protocol;
mod query;
mod region;
mod resolve;
mod server;
mod service;
mod shared;
mod snapshot;
mod sts;
mod tagging;
mod tls;
mod world;
mod xml;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use address_map::{AddressMap, AddressMapError};
pub use clock::Clock;
pub use conditions::{Conditions, ConditionsError};
pub use durations::{DurationError, Durations};
pub use error::ApiError;
pub use faults::{Edit, Fault, Faults, Rule, RuleError, RuleId, SETS as FAULT_SETS};
pub use journal::{ActionCount, Counts, Entry, Filter, Journal, Outcome, OutcomeKind};
pub use model::quotas::Quotas;
pub use policy::{Policy, PolicyError};
pub use proxy::{Proxy, ProxyError, ProxyOptions};
pub use region::{
    BY_HAND, InterfaceSummary, ListenerSummary, LoadBalancerSummary, NotFound, Region, RuleSummary, SecurityGroupSummary,
    Snapshot, TargetGroupSummary, TargetHealth, TargetSummary, ZoneSummary,
};
pub use server::localstack::health;
pub use snapshot::RestoreError;
pub use world::{
    InstanceSpec, PlacedWorld, SecurityGroupSpec, Seeded, SubnetSpec, World, WorldError, WorldFileError, WorldOptions, WorldSpec,
    read_worlds,
};

use dataplane::{Capabilities, Wiring, forward};
use shared::Shared;

/// How an emulator is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the API is served; port 0: any free one.
    pub listen: SocketAddr,
    /// Names by which browsers may reach it, besides addresses, names without a dot, and local ones such as `localhost`; pages of these hosts may
    /// call it. Any other page of somebody else is refused.
    pub allowed_hosts: Vec<String>,
    /// Where names of load balancers are answered, if at all.
    pub dns: Option<SocketAddr>,
    /// Whether listeners accept connections.
    pub data_plane: DataPlane,
    /// Whether security-group rules hold on the way of traffic and health checks.
    pub security_groups: SecurityGroups,
    /// Where the addresses of VPCs are on this machine.
    pub address_map: AddressMap,
    /// Added to the numbers of listeners' ports below 1024, for processes that cannot open those.
    pub low_port_offset: u16,
    /// Whether targets see the addresses of clients on other machines (Linux, `CAP_NET_ADMIN`): the network has to bring the targets' answers
    /// to those addresses back to this machine's sockets. The addresses of clients on this machine are kept without it.
    pub transparent: bool,
    /// How long things take.
    pub durations: Durations,
    /// Identifiers are derived from it: the same calls in the same order get the same identifiers.
    pub seed: u64,
}

impl Default for Options {
    /// Loopback, any port, no DNS, no data plane, rules ignored, addresses as they are, [`Durations::instant`], seed 1.
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            allowed_hosts: Vec::new(),
            dns: None,
            data_plane: DataPlane::Off,
            security_groups: SecurityGroups::Ignored,
            address_map: AddressMap::default(),
            low_port_offset: 0,
            transparent: false,
            durations: Durations::instant(),
            seed: 1,
        }
    }
}

/// Whether the listeners of load balancers accept connections. Health checks are real either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DataPlane {
    /// Control plane only.
    #[default]
    Off,
    /// Listeners are open on the load balancers' addresses, which have to be local to this process's network namespace.
    On,
}

/// Whether security-group rules hold on the way of traffic and health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecurityGroups {
    /// Rules are stored and shown, and everything gets through.
    #[default]
    Ignored,
    /// What no rule lets through is dropped without an answer, as in a VPC.
    Enforced,
}

/// Why an emulator did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {what}: {source}")]
pub struct StartError {
    /// `the AWS API` or `DNS`.
    pub what: &'static str,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// A running emulator. Cheap to clone; dropping the last clone stops it.
#[derive(Clone, Debug)]
pub struct Emulator {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    address: SocketAddr,
    dns: Option<SocketAddr>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    _guard: DropGuard,
}

impl Emulator {
    /// Starts an emulator on the present tokio runtime; the API is being served when this returns.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let refused = |what, address| move |source| StartError { what, address, source };
        let listener = TcpListener::bind(options.listen).await.map_err(refused("the AWS API", options.listen))?;
        let address = listener.local_addr().map_err(refused("the AWS API", options.listen))?;
        let shared = Arc::new(Shared::new(options.durations, options.seed));
        let wiring = Wiring {
            addresses: options.address_map,
            low_port_offset: options.low_port_offset,
            firewall: options.security_groups == SecurityGroups::Enforced,
            transparent: options.transparent && forward::may_use_foreign_addresses(),
        };
        if options.transparent && !wiring.transparent {
            tracing::warn!("targets see the addresses of clients on this machine only: others need Linux and CAP_NET_ADMIN");
        }
        let _ = shared.capabilities.set(Capabilities::new(&wiring, options.data_plane == DataPlane::On));
        let shutdown = CancellationToken::new();
        let guard = shutdown.clone().drop_guard();
        let dns = match options.dns {
            None => None,
            Some(asked) => {
                let lookup = Arc::clone(&shared);
                let addresses = wiring.addresses.clone();
                let lookup = Arc::new(move |name: &str| resolve::lookup(&lookup, name).mapped(&addresses));
                Some(dns::serve(asked, lookup, shutdown.clone()).await.map_err(refused("DNS", asked))?)
            }
        };
        // The tracker waits for the tasks; their handles are of no use.
        let tasks = TaskTracker::new();
        drop(tasks.spawn(server::run(listener, options.allowed_hosts.into(), Arc::clone(&shared), shutdown.clone())));
        drop(tasks.spawn(health::run(Arc::clone(&shared), wiring.clone(), shutdown.clone())));
        if options.data_plane == DataPlane::On {
            drop(tasks.spawn(dataplane::run(Arc::clone(&shared), wiring, shutdown.clone())));
        }
        tasks.close();
        Ok(Self { running: Arc::new(Running { shared, address, dns, tasks, shutdown, _guard: guard }) })
    }

    /// The URL of the API, `http://127.0.0.1:PORT`: the value of `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Where DNS is answered, if it is.
    #[must_use]
    pub fn dns_address(&self) -> Option<SocketAddr> {
        self.running.dns
    }

    /// An account in a region, made empty at first use. `account` is the 12-digit number that clients give as their access key id.
    #[must_use]
    pub fn region(&self, account: &str, region: &str) -> Region {
        Region::new(Arc::clone(&self.running.shared), self.running.shared.account(account, region))
    }

    /// The emulator's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.running.shared.clock.clone()
    }

    /// The record of all calls.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.running.shared.journal.clone()
    }

    /// The fault rules.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.running.shared.faults.clone()
    }

    /// All of its state as one JSON document, for [`Emulator::restore`] of this or another emulator. Private keys are in it.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which does not happen.
    pub fn save(&self) -> Result<String, serde_json::Error> {
        snapshot::save(&self.running.shared)
    }

    /// Puts a saved state in the place of all that is there: clock, durations, accounts. Journal and fault rules stay.
    ///
    /// # Errors
    /// When it is not a state, or of another version; nothing has changed then.
    pub fn restore(&self, saved: &str) -> Result<(), RestoreError> {
        snapshot::restore(&self.running.shared, saved.as_bytes())
    }

    /// Sets how long things take that begin from now on.
    pub fn set_durations(&self, durations: Durations) {
        self.running.shared.set_durations(durations);
    }

    /// How long things take.
    #[must_use]
    pub fn durations(&self) -> Durations {
        self.running.shared.durations()
    }

    /// Puts faults, durations, quotas and a policy in force, as one file describes them.
    ///
    /// # Errors
    /// What is wrong with them; then nothing has changed.
    pub fn set_conditions(&self, conditions: Conditions) -> Result<(), ConditionsError> {
        conditions.apply(&self.running.shared)
    }

    /// Holds callers to a policy from now on: those of one account, or all. `None` ends it. Calls by hand are free.
    pub fn enforce(&self, policy: Option<Policy>, account: Option<&str>) {
        self.running.shared.policy.set(policy, account.map(str::to_owned));
    }

    /// Stops it, whatever other clones there are; when this returns, the API and the listeners accept no connections any more.
    pub async fn stop(self) {
        self.running.shutdown.cancel();
        self.running.tasks.wait().await;
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
