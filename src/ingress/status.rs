//! Writes the address under which an Ingress is reachable into its status: by the leader, for live Ingresses only, and only
//! when it differs.
//!
//! An Ingress is live when its routes and an endpoint are in the table that the data plane serves from, and with them its
//! certificate, if there is one: a client that follows the status is never told 404. An address that was written stays when
//! the Ingress' pods go (that is 503, not another address) and when the process ends (the load balancer is still there). The
//! status of an Ingress that is not ours is never touched.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressStatus};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use crate::kubernetes::{CALL_LIMIT, Error, MANAGER, Written, call};

/// A host name or an IP address of the load balancer in front of the data plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address, as text.
    Ip(String),
    /// A host name, lower-case.
    HostName(String),
}

impl Address {
    /// What `--publish-status-address` gives.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.parse::<IpAddr>() {
            Ok(address) => Self::Ip(address.to_string()),
            Err(_) => Self::HostName(text.to_ascii_lowercase()),
        }
    }
}

/// Addresses of the publish service, by its type: those of its load balancer and its external IPs; a cluster IP where there is
/// nothing else; the name of an ExternalName (ingress-nginx, `internal/ingress/status`).
#[must_use]
pub fn addresses_of(service: &Service) -> BTreeSet<Address> {
    let Some(spec) = &service.spec else { return BTreeSet::new() };
    let external = || spec.external_ips.iter().flatten().map(|address| Address::parse(address));
    let cluster = || spec.cluster_ip.iter().filter(|address| *address != "None").map(|address| Address::parse(address));
    match spec.type_.as_deref() {
        Some("ExternalName") => spec.external_name.iter().map(|name| Address::parse(name)).collect(),
        Some("LoadBalancer") => {
            let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
            let balancer = status.into_iter().flatten().filter_map(|entry| {
                entry.hostname.as_ref().or(entry.ip.as_ref()).filter(|text| !text.is_empty()).map(|text| Address::parse(text))
            });
            balancer.chain(external()).collect()
        }
        Some("NodePort") if spec.external_ips.as_ref().is_some_and(|addresses| !addresses.is_empty()) => external().collect(),
        _ => cluster().collect(),
    }
}

/// Makes the Ingress' status show `addresses`. Sends nothing if it does already.
///
/// An update, not an apply: ingress-nginx's own role allows that and no more.
///
/// # Errors
/// [`Error::Stale`] if the Ingress was changed or deleted since it was read.
pub async fn publish(client: &Client, ingress: &Ingress, addresses: &BTreeSet<Address>) -> Result<Written, Error> {
    if published(ingress) == *addresses {
        return Ok(Written::Unchanged);
    }
    let entries = addresses.iter().map(|address| match address {
        Address::Ip(ip) => IngressLoadBalancerIngress { ip: Some(ip.clone()), ..IngressLoadBalancerIngress::default() },
        Address::HostName(name) => {
            IngressLoadBalancerIngress { hostname: Some(name.clone()), ..IngressLoadBalancerIngress::default() }
        }
    });
    let mut changed = ingress.clone();
    let balancer = IngressLoadBalancerStatus { ingress: Some(entries.collect()) };
    changed.status = Some(IngressStatus { load_balancer: Some(balancer) });
    let (namespace, name) = (ingress.namespace().unwrap_or_default(), ingress.name_any());
    let api: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let action = format!("publish the status of Ingress {namespace}/{name}");
    call(action, CALL_LIMIT, api.replace_status(&name, &parameters, &changed)).await?;
    Ok(Written::Changed)
}

/// Addresses that the status shows now.
#[must_use]
pub fn published(ingress: &Ingress) -> BTreeSet<Address> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let address = |entry: &IngressLoadBalancerIngress| entry.hostname.as_ref().or(entry.ip.as_ref()).cloned();
    balancer.into_iter().flatten().filter_map(address).map(|text| Address::parse(&text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> BTreeSet<Address> {
        addresses_of(&serde_saphyr::from_str::<Service>(text).unwrap())
    }

    fn host(name: &str) -> Address {
        Address::HostName(name.to_owned())
    }

    fn ip(text: &str) -> Address {
        Address::Ip(text.to_owned())
    }

    #[test]
    fn a_load_balancers_names_and_addresses_and_external_ips() {
        let status = "status: {loadBalancer: {ingress: [{hostname: Web-1.elb.example.com}, {ip: 203.0.113.7}]}}";
        let found = service(&format!("spec: {{type: LoadBalancer, clusterIP: 10.0.0.1, externalIPs: [192.0.2.1]}}\n{status}"));
        assert_eq!(found, [host("web-1.elb.example.com"), ip("203.0.113.7"), ip("192.0.2.1")].into());
        assert_eq!(service("spec: {type: LoadBalancer, clusterIP: 10.0.0.1}"), BTreeSet::new(), "not made yet");
    }

    #[test]
    fn other_types() {
        assert_eq!(service("spec: {type: ClusterIP, clusterIP: 10.0.0.1}"), [ip("10.0.0.1")].into());
        assert_eq!(service("spec: {clusterIP: None}"), BTreeSet::new());
        assert_eq!(service("spec: {type: NodePort, clusterIP: 10.0.0.1}"), [ip("10.0.0.1")].into());
        assert_eq!(service("spec: {type: NodePort, clusterIP: 10.0.0.1, externalIPs: [192.0.2.1]}"), [ip("192.0.2.1")].into());
        assert_eq!(service("spec: {type: ExternalName, externalName: lb.example.com}"), [host("lb.example.com")].into());
    }

    #[test]
    fn what_is_published_is_read_back() {
        let text = "spec: {}\nstatus: {loadBalancer: {ingress: [{hostname: a.example.com}, {ip: '2001:db8::1'}]}}";
        let ingress: Ingress = serde_saphyr::from_str(text).unwrap();
        assert_eq!(published(&ingress), [host("a.example.com"), ip("2001:db8::1")].into());
    }
}
