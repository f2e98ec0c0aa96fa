//! Service and EndpointSlices → who serves a port. The [`Book`] gives each (Service, port) a place in the table that it keeps
//! from table to table, so that routes need not be made anew when backends come and go.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Inputs;
use crate::routes::findings::{self, Findings, ObjectKey, quote};
use crate::routes::table::{Backend, BackendIndex, Endpoints};

/// Label of an EndpointSlice with the name of its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Service and port as a rule names it.
type Name = (ObjectKey, Box<str>);

/// All backends, and what is needed to look their endpoints up again.
#[derive(Debug, Default)]
pub(super) struct Book {
    places: HashMap<Name, u32>,
    slots: Vec<Slot>,
    /// Places that nothing has, the lowest last.
    free: Vec<u32>,
    of_service: HashMap<ObjectKey, Vec<u32>>,
    /// Of the compilation that is under way.
    used: HashSet<u32>,
    services: HashMap<ObjectKey, Arc<Service>>,
    slices: HashMap<ObjectKey, Vec<Arc<EndpointSlice>>>,
    no_external_names: bool,
}

#[derive(Debug)]
struct Slot {
    /// None: free.
    name: Option<Name>,
    way: Way,
    backend: Arc<Backend>,
}

/// How the endpoints of a backend are found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// In the slices, by this port.
    Slices(Port),
    /// They are known.
    Fixed(Endpoints),
}

/// A port of a Service, as far as slices are searched for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    /// Empty: the only one, without a name.
    name: Box<str>,
    target: IntOrString,
}

impl Book {
    /// Starts a compilation.
    pub(super) fn begin(&mut self, inputs: &Inputs<'_>, no_external_names: bool) {
        self.used.clear();
        self.no_external_names = no_external_names;
        self.services = inputs.services.iter().map(|service| (ObjectKey::of(&service.metadata), Arc::clone(service))).collect();
        self.slices.clear();
        for slice in inputs.endpoint_slices {
            if let Some(service) = service_of(slice) {
                self.slices.entry(service).or_default().push(Arc::clone(slice));
            }
        }
    }

    /// The place of a Service's port, which stays the same as long as it is asked for in each compilation. None, with a finding:
    /// there is no such Service or port.
    pub(super) fn request(
        &mut self,
        namespace: &str,
        service: &str,
        port: &str,
        findings: &mut Findings,
    ) -> Option<BackendIndex> {
        let key = ObjectKey::new(namespace, service);
        let Some(object) = self.services.get(&key) else {
            let message = format!("there is no Service {key}: its paths answer 503");
            findings.error(findings::BACKEND_SERVICE_MISSING, message);
            return None;
        };
        let way = match way(object, port, self.no_external_names) {
            Ok(way) => way,
            Err((code, why)) => {
                findings.error(code, format!("Service {key} {why}: its paths answer 503"));
                return None;
            }
        };
        let name = (key, port.into());
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None => self.place(name),
        };
        if self.used.insert(place)
            && let Some(slot) = self.slots.get_mut(place as usize)
            && let Some((key, _)) = &slot.name
        {
            slot.way = way;
            let slices = self.slices.get(key).map_or(&[][..], Vec::as_slice);
            slot.refresh(slices);
        }
        Some(BackendIndex(place))
    }

    /// Gives a new backend a place: a free one, or one at the end.
    fn place(&mut self, name: Name) -> u32 {
        let backend = Backend {
            namespace: name.0.namespace.clone(),
            service: name.0.name.clone(),
            port: name.1.clone(),
            endpoints: Endpoints::Addresses(Box::default()),
        };
        let way = Way::Fixed(backend.endpoints.clone());
        let slot = Slot { name: Some(name.clone()), way, backend: Arc::new(backend) };
        let place = self.free.pop().unwrap_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        match self.slots.get_mut(place as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.of_service.entry(name.0.clone()).or_default().push(place);
        self.places.insert(name, place);
        place
    }

    /// Ends a compilation: frees what it did not ask for.
    pub(super) fn settle(&mut self) {
        self.services.clear();
        self.slices.clear();
        for (place, slot) in (0_u32..).zip(&mut self.slots) {
            if !self.used.contains(&place)
                && let Some(name) = slot.name.take()
            {
                self.places.remove(&name);
                if let Some(places) = self.of_service.get_mut(&name.0) {
                    places.retain(|other| *other != place);
                }
            }
        }
        self.of_service.retain(|_, places| !places.is_empty());
        while self.slots.last().is_some_and(|slot| slot.name.is_none()) {
            self.slots.pop();
        }
        self.free = (0..).zip(&self.slots).filter(|(_, slot)| slot.name.is_none()).map(|(place, _)| place).collect();
        self.free.reverse();
    }

    /// Looks the endpoints of a Service up in all of its slices. Whether any of them changed.
    pub(super) fn update(&mut self, service: &ObjectKey, slices: &[Arc<EndpointSlice>]) -> bool {
        let mut changed = false;
        for place in self.of_service.get(service).into_iter().flatten() {
            changed |= self.slots.get_mut(*place as usize).is_some_and(|slot| slot.refresh(slices));
        }
        changed
    }

    /// The backends by their places; those from before, if all are the same.
    pub(super) fn snapshot(&self, last: Option<&Arc<[Arc<Backend>]>>) -> Arc<[Arc<Backend>]> {
        let same = |last: &&Arc<[Arc<Backend>]>| {
            last.len() == self.slots.len()
                && self.slots.iter().zip(last.iter()).all(|(slot, old)| Arc::ptr_eq(&slot.backend, old))
        };
        match last.filter(same) {
            Some(last) => Arc::clone(last),
            None => self.slots.iter().map(|slot| Arc::clone(&slot.backend)).collect(),
        }
    }
}

impl Slot {
    fn refresh(&mut self, slices: &[Arc<EndpointSlice>]) -> bool {
        let endpoints = match &self.way {
            Way::Fixed(endpoints) => endpoints.clone(),
            Way::Slices(port) => addresses(port, slices),
        };
        if self.backend.endpoints == endpoints {
            return false;
        }
        self.backend = Arc::new(Backend { endpoints, ..(*self.backend).clone() });
        true
    }
}

/// The Service that a slice belongs to.
#[must_use]
pub fn service_of(slice: &EndpointSlice) -> Option<ObjectKey> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(ObjectKey::new(slice.metadata.namespace.as_deref().unwrap_or_default(), name))
}

/// How to find the endpoints of a port, given as the rule spells it: a number, a name, or (as in ingress-nginx) a target port.
fn way(service: &Service, port: &str, no_external_names: bool) -> Result<Way, (&'static str, String)> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let found = find_port(ports, port);
    let missing = || {
        let known: Vec<String> = ports.iter().map(|port| port.port.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        (findings::BACKEND_PORT_MISSING, format!("has no TCP port {} (its ports: {known})", quote(port)))
    };
    if spec.is_some_and(|spec| spec.type_.as_deref() == Some("ExternalName")) {
        if no_external_names {
            let why = "is of type ExternalName, and --disable-svc-external-name is set".to_owned();
            return Err((findings::BACKEND_REFUSED, why));
        }
        let number = match found {
            Some(ServicePort { target_port: Some(IntOrString::Int(number)), .. }) if *number > 0 => Some(*number),
            Some(found) => Some(found.port),
            // It need not declare any port.
            None => port.parse().ok(),
        };
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0).ok_or_else(missing)?;
        let name = spec.and_then(|spec| spec.external_name.as_deref()).unwrap_or_default();
        return external(name, number).map(Way::Fixed).map_err(|why| (findings::BACKEND_REFUSED, why));
    }
    let found = found.ok_or_else(missing)?;
    let target = found.target_port.clone().unwrap_or(IntOrString::Int(found.port));
    Ok(Way::Slices(Port { name: found.name.as_deref().unwrap_or_default().into(), target }))
}

fn find_port<'a>(ports: &'a [ServicePort], wanted: &str) -> Option<&'a ServicePort> {
    let is_tcp = |port: &&ServicePort| matches!(port.protocol.as_deref(), None | Some("TCP"));
    let tcp = || ports.iter().filter(is_tcp);
    let by_api = tcp().find(|port| port.port.to_string() == wanted || port.name.as_deref() == Some(wanted));
    by_api.or_else(|| {
        tcp().find(|port| match &port.target_port {
            Some(IntOrString::Int(number)) => number.to_string() == wanted,
            Some(IntOrString::String(name)) => name == wanted,
            None => false,
        })
    })
}

/// Whom an ExternalName stands for. Names and addresses of this machine are refused: they would lead into our own pod.
fn external(name: &str, port: u16) -> Result<Endpoints, String> {
    let host = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let refused = |why: &str| Err(format!("has the external name {}, which {why}", quote(name)));
    if let Ok(address) = host.parse::<IpAddr>() {
        return if Endpoints::is_forbidden(address) {
            refused("is an address of this machine or of its network link")
        } else {
            Ok(Endpoints::Addresses([SocketAddr::new(address, port)].into()))
        };
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return refused("is this machine");
    }
    // `127.1` and `0x7f.1` are addresses for many resolvers, and names for nobody.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if is_number || !is_dns_name(&host) {
        return refused("is not a DNS name");
    }
    Ok(Endpoints::Name { host: host.into(), port })
}

/// A DNS-1123 subdomain: lower-case letters, digits, `-` and `.`.
pub(super) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The addresses of all slices, each once: the ready ones; if there are none, those that serve while they terminate.
fn addresses(port: &Port, slices: &[Arc<EndpointSlice>]) -> Endpoints {
    let (mut ready, mut leaving) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let Some(number) = slice_port(port, slice) else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let into = match standing(endpoint) {
                Standing::Ready => &mut ready,
                Standing::Leaving => &mut leaving,
                Standing::Away => continue,
            };
            // Slices of FQDNs have no addresses that could be connected to.
            let addresses = endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
            into.extend(addresses.map(|address| SocketAddr::new(address, number)));
        }
    }
    let chosen = if ready.is_empty() { leaving } else { ready };
    Endpoints::Addresses(chosen.into_iter().collect())
}

enum Standing {
    Ready,
    Leaving,
    Away,
}

/// What is not said counts as ready, serving, and not terminating (EndpointSlice API).
fn standing(endpoint: &Endpoint) -> Standing {
    let Some(conditions) = &endpoint.conditions else { return Standing::Ready };
    if conditions.ready != Some(false) {
        Standing::Ready
    } else if conditions.serving != Some(false) && conditions.terminating == Some(true) {
        Standing::Leaving
    } else {
        Standing::Away
    }
}

/// The number of a port in a slice: by the port's name, by its target's name, the only one for a port without name; else the
/// target's number.
fn slice_port(port: &Port, slice: &EndpointSlice) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let tcp: Vec<_> = ports.iter().filter(|port| matches!(port.protocol.as_deref(), None | Some("TCP"))).collect();
    let named = |name: &str| tcp.iter().find(|port| port.name.as_deref().unwrap_or_default() == name).copied();
    let by_target = || match &port.target {
        IntOrString::String(name) => named(name),
        IntOrString::Int(_) => None,
    };
    let only = || match tcp.as_slice() {
        [only] if port.name.is_empty() => Some(*only),
        _ => None,
    };
    let found = named(&port.name).or_else(by_target).or_else(only).and_then(|port| port.port);
    let target = || match port.target {
        IntOrString::Int(number) => Some(number),
        IntOrString::String(_) => None,
    };
    // A slice that lists ports of other protocols only has none for us.
    let number = if ports.is_empty() || !tcp.is_empty() { found.or_else(target) } else { None };
    u16::try_from(number?).ok().filter(|number| *number > 0)
}
