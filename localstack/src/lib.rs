//! An emulator of the part of AWS that network load balancers need: ELBv2, EC2 networking, STS, with a data plane and DNS.
//!
//! ```text
//! HTTP ─▶ server ─▶ server/aws ──▶ elbv2 │ ec2 │ sts ──▶ model ◀── world (seed)
//!            │        │   └─ faults, journal               ▲ timers, settled before every look
//!            └─▶ server/admin (/_landfall, /_localstack)   ├── health     (real probes)
//!                                                          ├── dataplane  (real TCP)
//!                                                          └── resolve ◀─ dns
//! ```
//!
//! In process: [`Emulator::start`]. As a program: `landfall-localstack`, see `main.rs`. Faithfulness is the point: where AWS's behaviour is
//! known it is followed, where it is not the nastier choice is made, and nothing that is not emulated ever answers success.

mod clock;
mod dataplane;
mod dns;
mod durations;
mod ec2;
mod elbv2;
mod error;
mod faults;
mod glob;
mod health;
mod ids;
mod journal;
mod model;
mod page;
mod query;
mod region;
mod resolve;
mod server;
mod service;
mod shared;
mod sts;
mod world;
mod xml;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use clock::Clock;
pub use durations::Durations;
pub use error::ApiError;
pub use faults::{Fault, Faults, Rule, RuleId};
pub use journal::{Entry, Journal, Outcome};
pub use region::{
    BY_HAND, InterfaceSummary, ListenerSummary, LoadBalancerSummary, NotFound, Region, RuleSummary, SecurityGroupSummary,
    Snapshot, TargetGroupSummary, TargetHealth, TargetSummary, ZoneSummary,
};
pub use world::{InstanceSpec, SecurityGroupSpec, Seeded, SubnetSpec, World, WorldError, WorldOptions, WorldSpec};

use shared::Shared;

/// How an emulator is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the API is served; port 0: any free one.
    pub listen: SocketAddr,
    /// Where names of load balancers are answered, if at all.
    pub dns: Option<SocketAddr>,
    /// Whether listeners accept connections.
    pub data_plane: DataPlane,
    /// How long things take.
    pub durations: Durations,
    /// Identifiers are derived from it: the same calls in the same order get the same identifiers.
    pub seed: u64,
}

impl Default for Options {
    /// Loopback, any port, no DNS, no data plane, [`Durations::instant`], seed 1.
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen, dns: None, data_plane: DataPlane::Off, durations: Durations::instant(), seed: 1 }
    }
}

/// Whether the listeners of load balancers accept connections. Health checks are real either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DataPlane {
    /// Control plane only.
    #[default]
    Off,
    /// TCP listeners are open on the load balancers' addresses, which have to be local to this process's network namespace.
    On,
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
        let shutdown = CancellationToken::new();
        let guard = shutdown.clone().drop_guard();
        let dns = match options.dns {
            None => None,
            Some(asked) => {
                let lookup = Arc::clone(&shared);
                let lookup = Arc::new(move |name: &str| resolve::lookup(&lookup, name));
                Some(dns::serve(asked, lookup, shutdown.clone()).await.map_err(refused("DNS", asked))?)
            }
        };
        // The tracker waits for the tasks; their handles are of no use.
        let tasks = TaskTracker::new();
        drop(tasks.spawn(server::run(listener, Arc::clone(&shared), shutdown.clone())));
        drop(tasks.spawn(health::run(Arc::clone(&shared), shutdown.clone())));
        if options.data_plane == DataPlane::On {
            drop(tasks.spawn(dataplane::run(Arc::clone(&shared), shutdown.clone())));
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

    /// Sets how long things take that begin from now on.
    pub fn set_durations(&self, durations: Durations) {
        self.running.shared.set_durations(durations);
    }

    /// How long things take.
    #[must_use]
    pub fn durations(&self) -> Durations {
        self.running.shared.durations()
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
