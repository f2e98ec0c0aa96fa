//! Instances and network interfaces.
//!
//! Instances come from a [`crate::World`]; by the API they can be looked at, stopped, started and terminated, and their interfaces can be
//! given secondary addresses, as a CNI plug-in does for pods. Imports `filter`, `show`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::filter::{Described, Kind, select};
use super::show;
use crate::error::ApiError;
use crate::model::network::{Address, Association, Instance, InstanceState, Interface, InterfaceOwner, Network};
use crate::model::{Place, Tags};
use crate::service::Call;
use crate::xml::Xml;

pub(super) const INSTANCES: Kind = Kind { parameter: "InstanceId", prefix: "i-", missing: "InvalidInstanceID.NotFound" };
pub(super) const INTERFACES: Kind =
    Kind { parameter: "NetworkInterfaceId", prefix: "eni-", missing: "InvalidNetworkInterfaceID.NotFound" };

/// What `DescribeInstances` filters by: the instance with its primary interface.
struct Listed<'a> {
    instance: &'a Instance,
    interface: Option<&'a Interface>,
    private_name: String,
}

impl Described for Listed<'_> {
    const FILTERS: &'static [&'static str] = &[
        "availability-zone",
        "instance-id",
        "instance-state-code",
        "instance-state-name",
        "instance.group-id",
        "network-interface.addresses.private-ip-address",
        "network-interface.network-interface-id",
        "private-dns-name",
        "private-ip-address",
        "subnet-id",
        "vpc-id",
    ];

    fn tags(&self) -> &Tags {
        &self.instance.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let instance = self.instance;
        let (code, state) = instance.state.code();
        match filter {
            "availability-zone" => vec![instance.zone.clone()],
            "instance-id" => vec![instance.id.clone()],
            "instance-state-code" => vec![code.to_string()],
            "instance-state-name" => vec![state.to_owned()],
            "instance.group-id" => self.interface.map(|interface| interface.security_groups.clone()).unwrap_or_default(),
            "network-interface.addresses.private-ip-address" => self.interface.map(addresses).unwrap_or_default(),
            "network-interface.network-interface-id" => vec![instance.interface_id.clone()],
            "private-dns-name" => vec![self.private_name.clone()],
            "private-ip-address" => vec![instance.address.to_string()],
            "subnet-id" => vec![instance.subnet_id.clone()],
            "vpc-id" => vec![instance.vpc_id.clone()],
            _ => Vec::new(),
        }
    }
}

fn addresses(interface: &Interface) -> Vec<String> {
    std::iter::once(&interface.address).chain(&interface.secondary).map(ToString::to_string).collect()
}

pub(super) fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let network = &state.network;
    let listed: BTreeMap<String, Listed<'_>> = network
        .instances
        .iter()
        .map(|(id, instance)| {
            let interface = network.interfaces.get(&instance.interface_id);
            let private_name = show::private_name(&instance.address.to_string(), &state.place);
            (id.clone(), Listed { instance, interface, private_name })
        })
        .collect();
    let page = select(call.params, &listed, &INSTANCES)?;
    out.list("reservationSet", page.items, |xml, listed| {
        xml.text("reservationId", format!("r-{}", listed.instance.id.trim_start_matches("i-")));
        xml.text("ownerId", &state.place.account);
        xml.texts("groupSet", Vec::<String>::new());
        xml.list("instancesSet", [listed.instance], |xml, instance| {
            show::instance(xml, instance, instance.state.code(), network, &state.place);
        });
    });
    out.optional("nextToken", page.next);
    Ok(())
}

pub(super) fn start(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    change(call, out, InstanceState::Running)
}

pub(super) fn stop(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    change(call, out, InstanceState::Stopped)
}

pub(super) fn terminate(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    change(call, out, InstanceState::Terminated)
}

/// Puts instances in another state, at once: only the answer shows the state in between.
fn change(call: &mut Call<'_>, out: &mut Xml, to: InstanceState) -> Result<(), ApiError> {
    let ids = call.params.texts("InstanceId");
    for id in &ids {
        let instance = call.state.network.instances.get(*id).ok_or_else(|| INSTANCES.no(id))?;
        if instance.state == InstanceState::Terminated && to != InstanceState::Terminated {
            let message =
                format!("The instance '{id}' is not in a state from which it can be started or stopped: it is terminated");
            return Err(ApiError::new("IncorrectInstanceState", message));
        }
    }
    let mut changes = Vec::new();
    for id in ids {
        let Some(instance) = call.state.network.instances.get_mut(id) else { continue };
        let before = std::mem::replace(&mut instance.state, to);
        changes.push((id, before));
        if to == InstanceState::Terminated {
            let interface = instance.interface_id.clone();
            call.state.network.remove_interface(&interface);
        }
    }
    let groups: Vec<String> = call.state.balancing.target_groups.keys().cloned().collect();
    for group in groups {
        call.state.refresh_use(&group, call.now, call.durations);
    }
    out.list("instancesSet", changes, |xml, (id, before)| {
        xml.text("instanceId", id);
        let current = if before == to { to.code() } else { to.coming() };
        for (name, (code, text)) in [("currentState", current), ("previousState", before.code())] {
            xml.within(name, |xml| {
                xml.text("code", code);
                xml.text("name", text);
            });
        }
    });
    Ok(())
}

/// What `DescribeNetworkInterfaces` filters by: the interface, and the network that knows its Elastic IP addresses.
struct ListedInterface<'a> {
    interface: &'a Interface,
    network: &'a Network,
    place: &'a Place,
}

impl Described for ListedInterface<'_> {
    const FILTERS: &'static [&'static str] = &[
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.public-ip",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "description",
        "group-id",
        "interface-type",
        "network-interface-id",
        "owner-id",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "status",
        "subnet-id",
        "vpc-id",
    ];

    fn tags(&self) -> &Tags {
        &self.interface.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let interface = self.interface;
        let public = |show: fn(&Address, &Association) -> String| {
            let all = self.network.addresses.values().filter_map(|address| Some((address, address.association.as_ref()?)));
            all.filter(|(_, held)| held.interface_id == interface.id).map(|(address, held)| show(address, held)).collect()
        };
        let managed = interface.owner == InterfaceOwner::LoadBalancer;
        match filter {
            "addresses.private-ip-address" => addresses(interface),
            "association.allocation-id" => public(|address, _| address.id.clone()),
            "association.association-id" => public(|_, held| held.id.clone()),
            "association.public-ip" => public(|address, _| address.public_ip.to_string()),
            "attachment.instance-id" => interface.instance().map(str::to_owned).into_iter().collect(),
            "attachment.instance-owner-id" => vec![interface.owned_by(self.place).to_owned()],
            "attachment.status" => vec!["attached".to_owned()],
            "availability-zone" => vec![interface.zone.clone()],
            "description" => vec![interface.description.clone()],
            "group-id" => interface.security_groups.clone(),
            "interface-type" => vec![if managed { "network_load_balancer" } else { "interface" }.to_owned()],
            "network-interface-id" => vec![interface.id.clone()],
            "owner-id" => vec![self.place.account.clone()],
            "private-ip-address" => vec![interface.address.to_string()],
            "requester-id" => managed.then(|| "amazon-elb".to_owned()).into_iter().collect(),
            "requester-managed" => vec![managed.to_string()],
            "status" => vec!["in-use".to_owned()],
            "subnet-id" => vec![interface.subnet_id.clone()],
            "vpc-id" => vec![interface.vpc_id.clone()],
            _ => Vec::new(),
        }
    }
}

pub(super) fn describe_interfaces(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let (network, place) = (&state.network, &state.place);
    let listed = |(id, interface): (&String, _)| (id.clone(), ListedInterface { interface, network, place });
    let listed: BTreeMap<String, ListedInterface<'_>> = network.interfaces.iter().map(listed).collect();
    let page = select(call.params, &listed, &INTERFACES)?;
    out.list("networkInterfaceSet", page.items, |xml, listed| show::interface(xml, listed.interface, network, place));
    out.optional("nextToken", page.next);
    Ok(())
}

/// The interface of an instance, and the addresses that a call names.
fn own_interface<'a>(call: &'a Call<'_>) -> Result<(&'a Interface, Vec<Ipv4Addr>), ApiError> {
    let id = call.params.required("NetworkInterfaceId");
    let interface = call.state.network.interfaces.get(id).ok_or_else(|| INTERFACES.no(id))?;
    if interface.owner == InterfaceOwner::LoadBalancer {
        let message = format!("You do not have permission to access the specified resource: {id} belongs to a load balancer");
        return Err(ApiError::new("AuthFailure", message));
    }
    let mut asked = Vec::new();
    for text in call.params.texts("PrivateIpAddress") {
        let malformed = || ApiError::parameter_value(format!("'{text}' is not an IPv4 address (PrivateIpAddress)"));
        asked.push(text.parse().map_err(|_| malformed())?);
    }
    Ok((interface, asked))
}

pub(super) fn assign_addresses(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (interface, asked) = own_interface(call)?;
    let (id, subnet_id) = (interface.id.clone(), interface.subnet_id.clone());
    let subnet = call.state.network.subnets.get(&subnet_id);
    let reassign = call.params.truth("AllowReassignment") == Some(true);
    for address in &asked {
        let holder = call.state.network.interfaces.values().find(|other| other.secondary.contains(address));
        let movable = reassign && holder.is_some_and(|holder| holder.subnet_id == subnet_id);
        if !movable && !interface.secondary.contains(address) && !subnet.is_some_and(|subnet| subnet.is_free(*address)) {
            let message = format!("The address {address} is in use, reserved or not in the range of subnet {subnet_id}");
            return Err(ApiError::parameter_value(message));
        }
    }
    for other in call.state.network.interfaces.values_mut() {
        other.secondary.retain(|address| !asked.contains(address));
    }
    if let Some(subnet) = call.state.network.subnets.get_mut(&subnet_id) {
        subnet.taken.extend(&asked);
    }
    if let Some(interface) = call.state.network.interfaces.get_mut(&id) {
        interface.secondary.extend(&asked);
    }
    out.text("networkInterfaceId", &id);
    out.list("assignedPrivateIpAddressesSet", &asked, |xml, address| xml.text("privateIpAddress", address));
    out.text("return", true);
    Ok(())
}

pub(super) fn unassign_addresses(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (interface, asked) = own_interface(call)?;
    let (id, subnet_id) = (interface.id.clone(), interface.subnet_id.clone());
    if let Some(address) = asked.iter().find(|address| !interface.secondary.contains(address)) {
        return Err(ApiError::parameter_value(format!("{address} is not a secondary address of {id}")));
    }
    if let Some(interface) = call.state.network.interfaces.get_mut(&id) {
        interface.secondary.retain(|address| !asked.contains(address));
    }
    if let Some(subnet) = call.state.network.subnets.get_mut(&subnet_id) {
        subnet.taken.retain(|address| !asked.contains(address));
    }
    out.text("return", true);
    Ok(())
}
