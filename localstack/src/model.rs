//! What one account has in one region, and what happens to it as time passes.
//!
//! Plain data without protocol: `elbv2/` and `ec2/` change and show it, `health.rs`, `dataplane.rs` and `resolve.rs` act on it. Everything
//! that AWS does in its own time is a timer here (`model/timers.rs`), carried out by [`State::settle`] before anybody looks.

pub(crate) mod attributes;
pub(crate) mod balancing;
pub(crate) mod certificates;
pub(crate) mod echoes;
mod history;
pub(crate) mod network;
pub(crate) mod pairs;
pub(crate) mod quotas;
mod relations;
pub(crate) mod security_policies;
pub(crate) mod time;
pub(crate) mod timers;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Ids;
use balancing::Balancing;
use certificates::{Certificate, ServerCertificates};
use echoes::Echoes;
use history::History;
use network::Network;
use quotas::Quotas;
use timers::{Check, Timers};

/// A resource's tags.
pub(crate) type Tags = BTreeMap<String, String>;

/// Where a state lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) account: String,
    pub(crate) region: String,
}

impl Place {
    /// The ARN of a resource of `service` in this account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        let Self { account, region } = self;
        let partition = match region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// One account in one region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) place: Place,
    pub(crate) ids: Ids,
    pub(crate) network: Network,
    pub(crate) balancing: Balancing,
    /// ACM's certificates by ARN.
    pub(crate) certificates: BTreeMap<String, Certificate>,
    /// IAM's, which the regions of an account share.
    #[serde(skip)]
    pub(crate) server_certificates: ServerCertificates,
    pub(crate) quotas: Quotas,
    /// What load balancers still do although the API has moved on.
    pub(crate) echoes: Echoes,
    pub(crate) timers: Timers,
    /// Health checks that have fallen due and nobody has started yet, with the time each was due.
    pub(crate) checks: Vec<(Timestamp, Check)>,
    /// Whether the data plane has to look again.
    #[serde(skip)]
    pub(crate) dirty: bool,
    /// What was, while answers may lag behind.
    #[serde(skip)]
    history: History,
}

impl State {
    /// An empty account: three zones, no VPC.
    pub(crate) fn new(place: Place, seed: u64, server_certificates: ServerCertificates) -> Self {
        let ids = Ids::new(seed, &format!("{}/{}", place.account, place.region));
        let network = Network::new(&place.region);
        let (balancing, timers) = (Balancing::default(), Timers::default());
        let (quotas, echoes, history, certificates) = (Quotas::default(), Echoes::default(), History::default(), BTreeMap::new());
        let checks = Vec::new();
        Self {
            place,
            ids,
            network,
            balancing,
            certificates,
            server_certificates,
            quotas,
            echoes,
            timers,
            checks,
            dirty: false,
            history,
        }
    }
}
