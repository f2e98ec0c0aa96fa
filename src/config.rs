//! What the operator said: flags and environment, validated once, as plain values. The only reader of the environment.
//!
//! [`flags`] (and [`route_flags`], those that shape the route table) declares the flags and what `--help` says of them, [`parse`] checks one value each; here they become
//! [`Settings`], and what depends on several of them or on the process' surroundings is settled. The rest of the crate
//! never sees a flag.

pub mod flags;
pub mod ingress;
pub mod ingress_flags;
pub mod parse;
pub mod route_flags;
pub mod upstream;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::types::{Scheme, Tags, TargetType, VpcId};
use crate::config::flags::{ControllerFlags, SharedFlags};
use crate::kubernetes::elect::LeaseSettings;
use crate::kubernetes::lease::Timings;
use crate::nlb::model::{Policy, PortRange};
use crate::nlb::report::PublishHostname;
use crate::telemetry::LogFormat;

/// A setting that cannot be used. The message names the flag, the value and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} {value:?}: {problem}")]
pub struct ConfigError {
    /// The flag, without dashes.
    pub flag: &'static str,
    /// As given, or as found in the environment.
    pub value: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

/// What `controller` and `plan` agree on: which cluster, which Services, and how their load balancers look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--cluster-name`.
    pub cluster_name: String,
    /// `--vpc-id`; `None`: asked from the instance metadata.
    pub vpc_id: Option<VpcId>,
    /// `--aws-region`, `AWS_REGION` or `AWS_DEFAULT_REGION`; `None`: the SDK asks the profile and the instance metadata.
    pub aws_region: Option<String>,
    /// `--aws-endpoint-url`; `None`: the SDK reads `AWS_ENDPOINT_URL` and the profile.
    pub aws_endpoint_url: Option<String>,
    /// `--load-balancer-class`: Services of these classes are ours.
    pub load_balancer_classes: BTreeSet<String>,
    /// `--claim-classless`: Services of type LoadBalancer without a class are ours, too.
    pub claim_classless: bool,
    /// `--watch-namespace`; `None`: all.
    pub watch_namespace: Option<String>,
    /// `--default-target-type`: instance or ip.
    pub default_target_type: TargetType,
    /// `--default-scheme`: internal or internet-facing.
    pub default_scheme: Scheme,
    /// `--default-tags`.
    pub default_tags: Tags,
    /// `--node-port-range`.
    pub node_port_range: PortRange,
    /// `--log-format`.
    pub log_format: LogFormat,
    /// `--log-level`.
    pub log_level: String,
}

/// What only the long-running controller needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSettings {
    /// Which cluster, which Services.
    pub shared: Settings,
    /// `--admin-address`; `None`: no admin server.
    pub admin_address: Option<SocketAddr>,
    /// `--sweep-interval`.
    pub sweep_interval: Duration,
    /// `--publish-hostname`.
    pub publish_hostname: PublishHostname,
    /// `--identity`: name of this process among its replicas.
    pub identity: String,
    /// The lease to hold before anything is written; `None`: `--leader-elect=false`.
    pub election: Option<LeaseSettings>,
}

/// The process' surroundings, as far as they are read; tests bring their own.
pub struct Environment<'a> {
    /// Value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Content of a file.
    pub file: &'a dyn Fn(&Path) -> Option<String>,
    /// Told apart from every other process'.
    pub unique: u32,
}

impl Environment<'_> {
    /// The real ones.
    #[must_use]
    pub fn of_this_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place")]
        Self {
            variable: &|name| std::env::var(name).ok(),
            file: &|path| std::fs::read_to_string(path).ok(),
            unique: fastrand::u32(..),
        }
    }

    /// A variable that is set to more than blanks.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// Name of this process among its replicas: as given, the pod's, or one made from the host's.
    fn identity(&self, given: Option<String>) -> String {
        given.or_else(|| self.variable("POD_NAME")).unwrap_or_else(|| {
            let host = self.variable("HOSTNAME").or_else(|| self.file(HOST_NAME_FILE));
            format!("{}-{:08x}", host.as_deref().unwrap_or("landfall"), self.unique)
        })
    }

    /// The pod's namespace, or that of leases outside a cluster.
    fn pod_namespace(&self) -> String {
        let told = self.variable("POD_NAMESPACE").or_else(|| self.file(POD_NAMESPACE_FILE));
        told.unwrap_or_else(|| FALLBACK_NAMESPACE.to_owned())
    }

    /// The trimmed content of a file that is there and not blank.
    fn file(&self, path: &str) -> Option<String> {
        (self.file)(Path::new(path)).map(|content| content.trim().to_owned()).filter(|content| !content.is_empty())
    }
}

/// Where the kubelet puts a pod's own namespace (Kubernetes, "Accessing the API from within a Pod").
const POD_NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Namespace of the lease outside a cluster.
const FALLBACK_NAMESPACE: &str = "kube-system";

/// The kernel's host name: in a pod the pod's name, unless it uses the host's network.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

impl Settings {
    /// Settles the shared flags.
    ///
    /// # Errors
    /// The region in the environment is not one.
    pub fn resolve(flags: SharedFlags, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        let aws_region = match flags.aws_region {
            Some(region) => Some(region),
            None => ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .iter()
                .find_map(|name| environment.variable(name))
                .map(|value| {
                    parse::region(&value).map_err(|problem| ConfigError { flag: "aws-region", value: value.clone(), problem })
                })
                .transpose()?,
        };
        Ok(Self {
            kubeconfig: flags.kubeconfig,
            cluster_name: flags.cluster_name,
            vpc_id: flags.vpc_id,
            aws_region,
            aws_endpoint_url: flags.aws_endpoint_url,
            load_balancer_classes: flags.load_balancer_class.into_iter().collect(),
            claim_classless: flags.claim_classless,
            watch_namespace: flags.watch_namespace,
            default_target_type: flags.default_target_type,
            default_scheme: flags.default_scheme,
            default_tags: flags.default_tags,
            node_port_range: flags.node_port_range,
            log_format: flags.log_format,
            log_level: flags.log_level,
        })
    }

    /// The part that shapes load balancers.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            cluster_name: self.cluster_name.clone(),
            default_target_type: self.default_target_type.clone(),
            default_scheme: self.default_scheme.clone(),
            default_tags: self.default_tags.clone(),
            node_port_range: self.node_port_range,
        }
    }
}

impl ControllerSettings {
    /// Settles the controller's flags.
    ///
    /// # Errors
    /// What [`Settings::resolve`] says, or lease timings that do not fit together.
    pub fn resolve(flags: ControllerFlags, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        let shared = Settings::resolve(flags.shared, environment)?;
        let identity = environment.identity(flags.identity);
        let timings = Timings {
            lease_duration: flags.leader_election_lease_duration,
            renew_deadline: flags.leader_election_renew_deadline,
            retry_period: flags.leader_election_retry_period,
        };
        check_timings(&timings)?;
        let election = flags.leader_elect.then(|| LeaseSettings {
            namespace: flags.leader_election_namespace.unwrap_or_else(|| environment.pod_namespace()),
            name: flags.leader_election_id,
            identity: identity.clone(),
            timings,
        });
        Ok(Self {
            shared,
            admin_address: flags.admin_address.0,
            sweep_interval: flags.sweep_interval,
            publish_hostname: flags.publish_hostname,
            identity,
            election,
        })
    }

    /// The settings by the names of their flags, for `/debug/config`. No setting is a secret: credentials are found by the
    /// AWS SDK and the Kubernetes client, and URLs with a password are refused.
    #[must_use]
    pub fn describe(&self) -> Value {
        let shared = &self.shared;
        let election = self.election.as_ref();
        let duration = |duration: Duration| format!("{duration:?}");
        json!({
            "admin-address": self.admin_address,
            "aws-endpoint-url": shared.aws_endpoint_url,
            "aws-region": shared.aws_region,
            "claim-classless": shared.claim_classless,
            "cluster-name": shared.cluster_name,
            "default-scheme": shared.default_scheme,
            "default-tags": shared.default_tags,
            "default-target-type": shared.default_target_type,
            "identity": self.identity,
            "kubeconfig": shared.kubeconfig,
            "leader-elect": election.is_some(),
            "leader-election-id": election.map(|election| &election.name),
            "leader-election-lease-duration": election.map(|election| duration(election.timings.lease_duration)),
            "leader-election-namespace": election.map(|election| &election.namespace),
            "leader-election-renew-deadline": election.map(|election| duration(election.timings.renew_deadline)),
            "leader-election-retry-period": election.map(|election| duration(election.timings.retry_period)),
            "load-balancer-class": shared.load_balancer_classes,
            "log-format": shared.log_format,
            "log-level": shared.log_level,
            "node-port-range": format!("{}-{}", shared.node_port_range.first, shared.node_port_range.last),
            "publish-hostname": match self.publish_hostname {
                PublishHostname::Active => "active",
                PublishHostname::Created => "created",
            },
            "sweep-interval": duration(self.sweep_interval),
            "vpc-id": shared.vpc_id,
            "watch-namespace": shared.watch_namespace,
        })
    }
}

/// What client-go's leader election asks for: a holder must give up before others may start, and must have had several tries.
fn check_timings(timings: &Timings) -> Result<(), ConfigError> {
    let error = |flag, value: Duration, problem: String| Err(ConfigError { flag, value: format!("{value:?}"), problem });
    let Timings { lease_duration, renew_deadline, retry_period } = *timings;
    if renew_deadline >= lease_duration {
        let problem =
            format!("must be shorter than --leader-election-lease-duration ({lease_duration:?}), best two thirds of it");
        return error("leader-election-renew-deadline", renew_deadline, problem);
    }
    if retry_period * 2 > renew_deadline {
        let problem =
            format!("must be at most half of --leader-election-renew-deadline ({renew_deadline:?}), best a fifth of it");
        return error("leader-election-retry-period", retry_period, problem);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
