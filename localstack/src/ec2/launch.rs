//! `RunInstances`: instances that run at once, each with one interface in a subnet.
//!
//! Imports `filter`'s kinds, `show`, `tags`. Images and types are taken as they are named: nothing is booted.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::network::SUBNETS;
use super::{security_groups, show, tags, tokens};
use crate::error::ApiError;
use crate::model::Tags;
use crate::model::network::{Instance, InstanceState, Interface, InterfaceOwner, Subnet};
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[Action {
    name: "RunInstances",
    parameters: &[
        "ImageId!",
        "ClientToken",
        "InstanceType",
        "MinCount:1-1000!",
        "MaxCount:1-1000!",
        "SubnetId!",
        "SecurityGroupId.#",
        "PrivateIpAddress",
        "TagSpecification.#.ResourceType",
        "TagSpecification.#.Tag.#.Key",
        "TagSpecification.#.Tag.#.Value",
        "DryRun:bool",
    ],
    run,
}];

/// The type of an instance that does not say (API reference).
const DEFAULT_TYPE: &str = "m1.small";

fn run(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    if let Some(ids) = tokens::made(call, "RunInstances")? {
        answer(call, out, &ids);
        return Ok(());
    }
    let params = call.params;
    let image = params.required("ImageId");
    if !image.starts_with("ami-") {
        return Err(ApiError::new("InvalidAMIID.Malformed", format!("Invalid id: \"{image}\" (expecting \"ami-...\")")));
    }
    let count = |name: &str| params.number(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    let (least, most) = (count("MinCount"), count("MaxCount"));
    if least > most {
        return Err(ApiError::parameter_value(format!("MinCount ({least}) must not be above MaxCount ({most})")));
    }
    let subnet_id = params.required("SubnetId");
    let subnet = call.state.network.subnets.get(subnet_id).ok_or_else(|| SUBNETS.no(subnet_id))?.clone();
    let groups = groups(call, &subnet)?;
    let tags = tags::specified(params, "instance")?;
    let addresses = addresses(call, &subnet, least, most)?;
    let kind = params.text("InstanceType").unwrap_or(DEFAULT_TYPE).to_owned();
    let ids: Vec<String> =
        addresses.into_iter().map(|address| launch(call, &subnet, address, (image, &kind), &groups, &tags)).collect();
    answer(call, out, &ids);
    tokens::remember(call, "RunInstances", ids);
    Ok(())
}

fn answer(call: &Call<'_>, out: &mut Xml, ids: &[String]) {
    let state = &*call.state;
    let launched = ids.iter().filter_map(|id| state.network.instances.get(id));
    out.text("reservationId", format!("r-{}", ids.first().map(String::as_str).unwrap_or_default().trim_start_matches("i-")));
    out.text("ownerId", &state.place.account);
    out.texts("groupSet", Vec::<String>::new());
    out.list("instancesSet", launched, |xml, instance| {
        show::instance(xml, instance, InstanceState::Running.coming(), &state.network, &state.place);
    });
}

/// The groups that a call names, else the VPC's default one.
fn groups(call: &Call<'_>, subnet: &Subnet) -> Result<Vec<String>, ApiError> {
    let network = &call.state.network;
    let asked = call.params.texts("SecurityGroupId");
    for id in &asked {
        let group = security_groups::find(network, id)?;
        if group.vpc_id != subnet.vpc_id {
            let message = format!("Security group {id} and subnet {} belong to different networks.", subnet.id);
            return Err(ApiError::new("InvalidParameter", message));
        }
    }
    if asked.is_empty() {
        let default = network.security_groups.values().find(|group| group.vpc_id == subnet.vpc_id && group.name == "default");
        return Ok(default.map(|group| group.id.clone()).into_iter().collect());
    }
    Ok(asked.into_iter().map(str::to_owned).collect())
}

/// As many addresses as there is room for, up to `most`.
fn addresses(call: &Call<'_>, subnet: &Subnet, least: usize, most: usize) -> Result<Vec<Ipv4Addr>, ApiError> {
    if let Some(text) = call.params.text("PrivateIpAddress") {
        if most > 1 {
            return Err(ApiError::new("InvalidParameterCombination", "PrivateIpAddress is for one instance (MaxCount 1)"));
        }
        let free = text.parse().ok().filter(|address| subnet.is_free(*address));
        let message = || format!("Address {text} is in use, reserved or does not fall within the subnet's address range");
        return Ok(vec![free.ok_or_else(|| ApiError::new("InvalidIPAddress.InUse", message()))?]);
    }
    let mut room = subnet.clone();
    let mut addresses = Vec::new();
    while addresses.len() < most
        && let Some(address) = room.lowest_free()
    {
        room.taken.insert(address);
        addresses.push(address);
    }
    if addresses.len() < least {
        let message = format!("There are not enough free addresses in subnet '{}' to satisfy the request.", subnet.id);
        return Err(ApiError::new("InsufficientFreeAddressesInSubnet", message));
    }
    Ok(addresses)
}

fn launch(
    call: &mut Call<'_>,
    subnet: &Subnet,
    address: Ipv4Addr,
    (image, kind): (&str, &str),
    groups: &[String],
    tags: &Tags,
) -> String {
    let (id, interface_id) = (call.state.ids.ec2("i"), call.state.ids.ec2("eni"));
    call.state.network.add_interface(Interface {
        id: interface_id.clone(),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        zone: subnet.zone.clone(),
        description: String::new(),
        address,
        secondary: BTreeSet::new(),
        security_groups: groups.to_vec(),
        owner: InterfaceOwner::Instance(id.clone()),
        tags: Tags::new(),
    });
    let instance = Instance {
        id: id.clone(),
        image: image.to_owned(),
        kind: kind.to_owned(),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        zone: subnet.zone.clone(),
        address,
        interface_id,
        state: InstanceState::Running,
        launched: call.now,
        tags: tags.clone(),
    };
    call.state.network.instances.insert(id.clone(), instance);
    id
}
