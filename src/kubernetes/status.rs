//! Writes a Service's status: host name, ports and our conditions, by server-side apply, and only when something differs.
//!
//! Ours are `status.loadBalancer.ingress` and the conditions whose type starts with `landfall/`; everything else in the status
//! is left alone. Neighbour: [`super::finalizer`] decides how long the Service stays.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, PortStatus, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::{CALL_LIMIT, Error, MANAGER, Written, call};
use crate::clock::{self, Timestamp};

/// Prefix of the condition types that are ours.
pub const CONDITION_PREFIX: &str = "landfall/";

/// `status` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl ConditionStatus {
    /// Kubernetes' spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionValue {
    /// Type; starts with [`CONDITION_PREFIX`].
    pub type_: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// PascalCase code, never empty.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// All that we publish on a Service. What an earlier status had and this one lacks is taken back; the default takes back all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStatus {
    /// DNS name of the load balancer; `None` as long as there is none to publish.
    pub host_name: Option<String>,
    /// Ports of the load balancer with `TCP` or `UDP`; published with the host name only.
    pub ports: Vec<(u16, &'static str)>,
    /// Our conditions, one per type.
    pub conditions: Vec<ConditionValue>,
}

/// Makes the Service's status say `status`. Sends nothing if it does already, by what `service` shows; `lags`: something else
/// was written since then, so that what `service` shows proves nothing.
///
/// # Errors
/// [`Error::Stale`] if the Service was deleted or replaced since it was read.
pub async fn publish(client: &Client, service: &Service, status: &ServiceStatus, lags: bool) -> Result<Written, Error> {
    let Some(body) = patch(service, status, lags, clock::wall()) else { return Ok(Written::Unchanged) };
    let (namespace, name) = (service.namespace().unwrap_or_default(), service.name_any());
    let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
    let parameters = PatchParams::apply(MANAGER).force();
    let action = format!("publish the status of Service {namespace}/{name}");
    call(action, CALL_LIMIT, api.patch_status(&name, &parameters, &Patch::Apply(&body))).await?;
    Ok(Written::Changed)
}

/// The apply patch, or `None` if the status already is as wanted.
fn patch(service: &Service, status: &ServiceStatus, lags: bool, now: Timestamp) -> Option<Value> {
    let current = service.status.clone().unwrap_or_default();
    let ingress = ingress(status);
    let mut was: Vec<Condition> = current.conditions.unwrap_or_default();
    was.retain(|condition| condition.type_.starts_with(CONDITION_PREFIX));
    was.sort_by(|a, b| a.type_.cmp(&b.type_));
    let conditions = conditions(service.metadata.generation, status, &was, now);
    if !lags && conditions == was && ingress == current.load_balancer.and_then(|current| current.ingress).unwrap_or_default() {
        return None;
    }
    // The list is always named, empty too: leaving it out would leave it to whoever wrote it besides us.
    let load_balancer = LoadBalancerStatus { ingress: Some(ingress) };
    Some(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": service.metadata.namespace, "name": service.metadata.name, "uid": service.metadata.uid},
        "status": {"loadBalancer": load_balancer, "conditions": conditions},
    }))
}

fn ingress(status: &ServiceStatus) -> Vec<LoadBalancerIngress> {
    let Some(host_name) = &status.host_name else { return Vec::new() };
    let port = |(port, protocol): &(u16, &str)| PortStatus {
        port: i32::from(*port),
        protocol: (*protocol).to_owned(),
        ..PortStatus::default()
    };
    let ports: Vec<_> = status.ports.iter().map(port).collect();
    vec![LoadBalancerIngress {
        hostname: Some(host_name.to_ascii_lowercase()),
        ports: (!ports.is_empty()).then_some(ports),
        ..LoadBalancerIngress::default()
    }]
}

/// The wanted conditions, sorted by type, each with the time at which its status last changed.
fn conditions(generation: Option<i64>, status: &ServiceStatus, was: &[Condition], now: Timestamp) -> Vec<Condition> {
    let mut conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|wanted| {
            let since = was
                .iter()
                .find(|old| old.type_ == wanted.type_ && old.status == wanted.status.as_str())
                .map_or(Time(now), |old| old.last_transition_time.clone());
            Condition {
                last_transition_time: since,
                message: wanted.message.clone(),
                observed_generation: generation,
                reason: wanted.reason.clone(),
                status: wanted.status.as_str().to_owned(),
                type_: wanted.type_.to_owned(),
            }
        })
        .collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

#[cfg(test)]
mod tests;
