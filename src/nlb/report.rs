//! What a run found out → conditions of the Service. Pure; `reconcile.rs` publishes them and emits the events.
//!
//! Two conditions: `landfall/Accepted` (is the Service's configuration understood and possible) and `landfall/Ready` (does the
//! load balancer serve). Reasons are stable PascalCase codes; each is explained in `docs/reference/errors.md`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::aws::AwsError;
use crate::aws::types::{LoadBalancer, LoadBalancerState};
use crate::error::{Class, Classified};
use crate::kubernetes::events::Kind;
use crate::kubernetes::status::{ConditionStatus, ConditionValue, ServiceStatus};
use crate::nlb::build::tags::{CLUSTER, SERVICE};
use crate::nlb::model::{Desired, Observed, ObservedLoadBalancer, Problem, Rejection, Wait};

/// Type of the condition that judges the input.
pub const ACCEPTED: &str = "landfall/Accepted";
/// Type of the condition that judges the outcome.
pub const READY: &str = "landfall/Ready";

/// Reason: flags do not claim the Service any more.
const NOT_CLAIMED: &str = "NotClaimed";

/// Introduces the request id at the end of a message. What follows differs from call to call, so it is never compared.
const REQUEST_ID: &str = " (AWS request id ";

/// When the host name is published: `--publish-hostname`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PublishHostname {
    /// When the load balancer is `active`: whoever resolves the name reaches it.
    #[default]
    Active,
    /// As soon as the load balancer exists.
    Created,
}

/// One state of a Service: a condition's reason and message, and whether somebody should look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Condition `landfall/Ready`.
    pub ready: ConditionStatus,
    /// Stable code.
    pub reason: String,
    /// For people, without request id.
    pub message: String,
    /// Of the AWS call that failed, if one did.
    pub request_id: Option<String>,
    /// The field, annotation or AWS action at issue: tells apart events of one reason. Never a request id.
    pub about: String,
    /// Whether the event is a warning.
    pub kind: Kind,
}

impl Finding {
    fn new(ready: ConditionStatus, reason: &str, message: String, kind: Kind) -> Self {
        Self { ready, reason: reason.to_owned(), message, request_id: None, about: reason.to_owned(), kind }
    }

    /// A failed AWS call, once it is worth telling: denied or over quota at once, trouble with the network only when it lasts.
    #[must_use]
    pub fn failure(error: &AwsError, failures_in_a_row: u32) -> Option<Self> {
        let tell = match error.class() {
            Class::Input | Class::Permission | Class::Quota | Class::Bug | Class::Busy => true,
            Class::Transient | Class::Stale => failures_in_a_row >= 3,
            Class::Throttled => false,
        };
        let kind = if error.class() == Class::Busy { Kind::Normal } else { Kind::Warning };
        tell.then(|| Self {
            ready: ConditionStatus::False,
            reason: error.code().to_owned(),
            message: error.to_string(),
            request_id: error.request_id.clone(),
            about: error.operation.to_owned(),
            kind,
        })
    }

    /// A load balancer that serves goes on serving while one of its settings cannot be changed.
    #[must_use]
    pub fn while_serving(self, desired: &Desired, observed: &Observed) -> Self {
        let serves = current(desired, observed).is_some_and(|lb| lb.state.serves());
        Self { ready: if serves { ConditionStatus::True } else { self.ready }, ..self }
    }

    /// The same with what it is about in front.
    #[must_use]
    pub fn concerning(self, what: &str) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }

    /// The Service cannot be served as it is written.
    #[must_use]
    pub fn rejected(rejection: &Rejection) -> Self {
        let about = rejection.problems.first().map(|problem| problem.field.clone()).unwrap_or_default();
        Self { about, ..Self::new(ConditionStatus::False, rejection.code(), rejection.to_string(), Kind::Warning) }
    }

    /// Something in AWS is in the way.
    #[must_use]
    pub fn conflicts(conflicts: &[Problem]) -> Option<Self> {
        let first = conflicts.first()?;
        let all: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
        let about = first.field.clone();
        Some(Self { about, ..Self::new(ConditionStatus::False, first.code, all.join(" | "), Kind::Warning) })
    }

    /// What the Service's load balancer is doing when nothing is wrong.
    #[must_use]
    pub fn progress(desired: &Desired, observed: &Observed, waits: &BTreeSet<Wait>) -> Self {
        let current = current(desired, observed);
        if let Some(load_balancer) = current.filter(|lb| lb.state.serves() && listens(desired, observed, lb)) {
            let without_targets = desired.target_groups.values().all(|group| group.targets.is_empty());
            let (reason, message) = if without_targets {
                ("NoTargets", "the load balancer is active, but no endpoint or node is ready to receive traffic".to_owned())
            } else if waits.iter().any(|wait| matches!(wait, Wait::Replacement { .. })) {
                ("Replacing", format!("{} is active; the load balancer that it replaces is about to go", load_balancer.name))
            } else {
                ("Active", format!("{} is active", load_balancer.name))
            };
            let kind = if without_targets { Kind::Warning } else { Kind::Normal };
            return Self::new(ConditionStatus::True, reason, message, kind);
        }
        let name = desired.load_balancer.as_ref().map_or("", |wanted| wanted.name.as_str());
        let message = match current {
            Some(lb) if lb.state.serves() => format!("{name} is active, its listeners are being made"),
            Some(_) => format!("AWS is provisioning {name}; this takes a few minutes"),
            None => format!("creating {name}"),
        };
        Self::new(ConditionStatus::False, "Provisioning", message, Kind::Normal)
    }

    /// A flag that made the Service ours was taken back.
    #[must_use]
    pub fn not_claimed() -> Self {
        let message = "the Service has no class and the controller runs without --claim-classless: its load balancer is left as it \
                       is and follows no change; set --claim-classless again, or delete the Service and make it anew with a class";
        Self::new(ConditionStatus::False, NOT_CLAIMED, message.to_owned(), Kind::Warning)
    }

    /// The Service gives its load balancer up.
    #[must_use]
    pub fn deleting() -> Self {
        Self::new(
            ConditionStatus::False,
            "Deleting",
            "deleting the load balancer and what belongs to it".to_owned(),
            Kind::Normal,
        )
    }

    /// The message to publish: the one that is published already if it differs in the request id only.
    fn published(&self, service: &Service) -> String {
        let current = published_condition(service, READY).map(|published| published.message);
        match (current, &self.request_id) {
            (Some(message), _) if same_but_request_id(&message, &self.message) => message,
            (_, Some(id)) => format!("{}{REQUEST_ID}{id})", self.message),
            (_, None) => self.message.clone(),
        }
    }

    /// Whether this is news to whoever reads the Service's status.
    #[must_use]
    pub fn is_news(&self, service: &Service) -> bool {
        published_condition(service, READY).is_none_or(|published| self.is_news_after(&published.reason, &published.message))
    }

    /// Whether this is news to whoever was told that: when all goes well only another reason is, not other words.
    #[must_use]
    pub fn is_news_after(&self, reason: &str, message: &str) -> bool {
        reason != self.reason || (self.kind == Kind::Warning && !same_but_request_id(message, &self.message))
    }
}

fn same_but_request_id(published: &str, message: &str) -> bool {
    published.strip_prefix(message).is_some_and(|rest| rest.is_empty() || rest.starts_with(REQUEST_ID))
}

fn published_condition(service: &Service, type_: &str) -> Option<Condition> {
    service.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_).cloned()
}

/// Whether the Service's status shows what became of the load balancer.
#[must_use]
pub fn is_told(service: &Service) -> bool {
    published_condition(service, READY).is_some()
}

/// Whether the Service's status shows that it gives its load balancer up; see [`leaving`].
#[must_use]
pub fn is_leaving(service: &Service) -> bool {
    is_told(service) && published_condition(service, ACCEPTED).is_none()
}

/// Host name that the Service's status shows now.
#[must_use]
pub fn published_host_name(service: &Service) -> Option<String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.hostname.clone()
}

/// The Service's load balancers. Somebody else's may be among those observed, if it has the name that the user chose.
fn owned<'a>(desired: &Desired, observed: &'a Observed) -> impl Iterator<Item = &'a LoadBalancer> {
    let own = desired.load_balancer.as_ref().map(|wanted| wanted.tags.clone()).unwrap_or_default();
    let is_own = move |found: &&ObservedLoadBalancer| [CLUSTER, SERVICE].iter().all(|key| found.tags.get(*key) == own.get(*key));
    observed.load_balancers.values().filter(is_own).map(|found| &found.load_balancer)
}

/// The desired load balancer, if it exists.
fn current<'a>(desired: &Desired, observed: &'a Observed) -> Option<&'a LoadBalancer> {
    let name = &desired.load_balancer.as_ref()?.name;
    owned(desired, observed).find(|found| found.name == *name)
}

/// Whether every port is listened on.
fn listens(desired: &Desired, observed: &Observed, load_balancer: &LoadBalancer) -> bool {
    let found = observed.load_balancers.get(&load_balancer.name);
    found.is_some_and(|found| desired.listeners.keys().all(|port| found.listeners.contains_key(port)))
}

/// The host name to publish: the desired load balancer's when it serves; else the one that is published, as long as it leads
/// to a load balancer of this Service (a replacement is not ready yet, or AWS works on the same one).
#[must_use]
pub fn host_name(desired: &Desired, observed: &Observed, policy: PublishHostname) -> Option<String> {
    let current = current(desired, observed);
    let ready = |lb: &&LoadBalancer| match policy {
        PublishHostname::Active => lb.state.serves() && listens(desired, observed, lb),
        PublishHostname::Created => lb.state != LoadBalancerState::Failed,
    };
    if let Some(load_balancer) = current.filter(ready) {
        return Some(load_balancer.dns_name.to_ascii_lowercase());
    }
    let published = observed.published_host_name.as_ref()?;
    let still_there = |name: &str| name.eq_ignore_ascii_case(published);
    owned(desired, observed).any(|found| still_there(&found.dns_name)).then(|| published.clone())
}

/// Status of a Service whose input was understood.
#[must_use]
pub fn status(service: &Service, desired: &Desired, host_name: Option<String>, finding: &Finding) -> ServiceStatus {
    let ports = desired.listeners.iter().flat_map(|(port, listener)| match listener.protocol.as_str() {
        "TCP_UDP" => vec![(*port, "TCP"), (*port, "UDP")],
        "UDP" => vec![(*port, "UDP")],
        _ => vec![(*port, "TCP")],
    });
    let notices: Vec<String> = desired.notices.iter().map(ToString::to_string).collect();
    let accepted = if notices.is_empty() {
        condition(ACCEPTED, ConditionStatus::True, "Accepted", "the configuration is complete and valid".to_owned())
    } else {
        condition(ACCEPTED, ConditionStatus::True, "AcceptedWithNotices", notices.join(" | "))
    };
    ServiceStatus { host_name, ports: ports.collect(), conditions: vec![accepted, ready(service, finding)] }
}

/// Status of a Service that could not be looked at: what was published stays, and Ready says why nothing more is known.
#[must_use]
pub fn interrupted(service: &Service, finding: &Finding) -> ServiceStatus {
    let accepted = published_condition(service, ACCEPTED).map(|published| ConditionValue {
        type_: ACCEPTED,
        status: match published.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        reason: published.reason,
        message: published.message,
    });
    let (host_name, ports) = published(service);
    let ready = if host_name.is_some() {
        // It was serving when it was last seen, and nothing was done to it.
        condition(READY, ConditionStatus::True, &finding.reason, finding.published(service))
    } else {
        ready(service, finding)
    };
    ServiceStatus { host_name, ports, conditions: accepted.into_iter().chain([ready]).collect() }
}

/// Host name and ports as published.
fn published(service: &Service) -> (Option<String>, Vec<(u16, &'static str)>) {
    let ingress = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first());
    let protocol = |name: &str| if name == "UDP" { "UDP" } else { "TCP" };
    let ports = ingress.and_then(|ingress| ingress.ports.as_ref()).into_iter().flatten();
    let ports = ports.filter_map(|port| Some((u16::try_from(port.port).ok()?, protocol(&port.protocol)))).collect();
    (published_host_name(service), ports)
}

/// Status of a Service whose input was refused. A load balancer that exists is left as it is, and so is its host name.
#[must_use]
pub fn refused(service: &Service, finding: &Finding) -> ServiceStatus {
    let (host_name, ports) = published(service);
    let serves = host_name.is_some();
    let still = if serves { " The load balancer is left as it was before." } else { "" };
    ServiceStatus {
        host_name,
        ports,
        conditions: vec![
            condition(ACCEPTED, ConditionStatus::False, &finding.reason, finding.message.clone()),
            if serves {
                condition(READY, ConditionStatus::True, &finding.reason, format!("{}{still}", finding.message))
            } else {
                ready(service, finding)
            },
        ],
    }
}

/// Status of a Service that is going away. `stands`: its host name still leads to its load balancer, which serves until AWS
/// has accepted to delete it; so the name stays, where Kubernetes allows one at all.
#[must_use]
pub fn leaving(service: &Service, finding: &Finding, stands: bool) -> ServiceStatus {
    let may_have_one = service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
    let (host_name, ports) = if stands && may_have_one { published(service) } else { Default::default() };
    ServiceStatus { host_name, ports, conditions: vec![ready(service, finding)] }
}

fn ready(service: &Service, finding: &Finding) -> ConditionValue {
    condition(READY, finding.ready, &finding.reason, finding.published(service))
}

fn condition(type_: &'static str, status: ConditionStatus, reason: &str, message: String) -> ConditionValue {
    ConditionValue { type_, status, reason: reason.to_owned(), message }
}

#[cfg(test)]
mod tests;
