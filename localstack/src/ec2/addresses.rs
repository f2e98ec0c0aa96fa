//! Elastic IP addresses: allocated to the account, associated with a network interface, released.
//!
//! Imports `filter`, `show`, `tags`. Load balancers take allocated addresses too (`elbv2/placement.rs`); what they hold can be seen here and
//! not be touched.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::filter::{Described, Kind, select};
use super::{show, tags};
use crate::error::ApiError;
use crate::ids;
use crate::model::network::{Address, Interface, InterfaceOwner, Network};
use crate::model::{Place, Tags};
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "AllocateAddress",
        parameters: &[
            "Domain:vpc",
            "NetworkBorderGroup",
            "PublicIpv4Pool:amazon",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: allocate,
    },
    Action {
        name: "ReleaseAddress",
        parameters: &["AllocationId", "PublicIp", "NetworkBorderGroup", "DryRun:bool"],
        run: release,
    },
    Action {
        name: "DescribeAddresses",
        parameters: &["AllocationId.#", "PublicIp.#", "Filter.#.Name", "Filter.#.Value.#", "DryRun:bool"],
        run: describe,
    },
    Action {
        name: "AssociateAddress",
        parameters: &[
            "AllocationId",
            "PublicIp",
            "InstanceId",
            "NetworkInterfaceId",
            "PrivateIpAddress",
            "AllowReassociation:bool",
            "DryRun:bool",
        ],
        run: associate,
    },
    Action { name: "DisassociateAddress", parameters: &["AssociationId", "PublicIp", "DryRun:bool"], run: disassociate },
];

/// Addresses that an account may have in a region (VPC quotas).
const MAX_ADDRESSES: usize = 5;

/// Where addresses come from: 198.18.0.0/15, which RFC 2544 sets apart and nobody routes.
const POOL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const POOL_SIZE: u32 = 1 << 17;

const ADDRESSES: Kind = Kind { parameter: "AllocationId", prefix: "eipalloc-", missing: "InvalidAllocationID.NotFound" };

/// What `DescribeAddresses` filters by: the address with the interface that it is associated with.
struct Listed<'a> {
    address: &'a Address,
    interface: Option<&'a Interface>,
    place: &'a Place,
}

impl Described for Listed<'_> {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
    ];

    fn tags(&self) -> &Tags {
        &self.address.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        let Self { address, interface, place } = self;
        let association = address.association.as_ref();
        let one = |value: Option<String>| value.into_iter().collect();
        match filter {
            "allocation-id" => vec![address.id.clone()],
            "association-id" => one(association.map(|association| association.id.clone())),
            "domain" => vec!["vpc".to_owned()],
            "instance-id" => one(interface.and_then(|interface| interface.instance().map(str::to_owned))),
            "network-border-group" => vec![place.region.clone()],
            "network-interface-id" => one(interface.map(|interface| interface.id.clone())),
            "network-interface-owner-id" => one(interface.map(|interface| interface.owned_by(place).to_owned())),
            "private-ip-address" => one(association.map(|association| association.private_ip.to_string())),
            "public-ip" => vec![address.public_ip.to_string()],
            _ => Vec::new(),
        }
    }
}

fn describe(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let network = &state.network;
    let listed: BTreeMap<String, Listed<'_>> = network
        .addresses
        .iter()
        .map(|(id, address)| {
            let interface = address.association.as_ref().and_then(|held| network.interfaces.get(&held.interface_id));
            (id.clone(), Listed { address, interface, place: &state.place })
        })
        .collect();
    let public = call.params.texts("PublicIp");
    for text in &public {
        by_public_ip(network, text)?;
    }
    let mut page = select(call.params, &listed, &ADDRESSES)?;
    page.items.retain(|item| public.is_empty() || public.contains(&item.address.public_ip.to_string().as_str()));
    out.list("addressesSet", page.items, |xml, item| show::address(xml, item.address, item.interface, &state.place));
    Ok(())
}

fn allocate(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    check_border(call)?;
    let tags = tags::specified(call.params, "elastic-ip")?;
    let network = &call.state.network;
    if network.addresses.len() >= MAX_ADDRESSES {
        return Err(ApiError::new("AddressLimitExceeded", "The maximum number of addresses has been reached."));
    }
    let id = call.state.ids.ec2("eipalloc");
    let network = &mut call.state.network;
    let public_ip = unused(network, &format!("{}/{}/{id}", call.state.place.account, call.state.place.region));
    out.text("publicIp", public_ip);
    out.text("allocationId", &id);
    out.text("publicIpv4Pool", "amazon");
    out.text("networkBorderGroup", &call.state.place.region);
    out.text("domain", "vpc");
    network.addresses.insert(id.clone(), Address { id, public_ip, association: None, tags });
    Ok(())
}

/// An address of the pool that the account does not have, the same for the same name.
fn unused(network: &Network, name: &str) -> Ipv4Addr {
    let start = u32::from_str_radix(&ids::hex(name, 8), 16).unwrap_or_default();
    let pool = (0..POOL_SIZE).map(|step| Ipv4Addr::from(u32::from(POOL) | (start.wrapping_add(step) % POOL_SIZE)));
    let taken = |candidate: &Ipv4Addr| network.addresses.values().any(|address| address.public_ip == *candidate);
    pool.into_iter().find(|candidate| !taken(candidate)).unwrap_or(POOL)
}

/// The one border group of a region without local zones is the region.
fn check_border(call: &Call<'_>) -> Result<(), ApiError> {
    let region = &call.state.place.region;
    match call.params.text("NetworkBorderGroup") {
        Some(asked) if asked != region => {
            let message = format!("The networkBorderGroup '{asked}' is not valid: the region has the one group '{region}'");
            Err(ApiError::parameter_value(message))
        }
        _ => Ok(()),
    }
}

fn by_public_ip<'a>(network: &'a Network, text: &str) -> Result<&'a Address, ApiError> {
    let found = network.addresses.values().find(|address| address.public_ip.to_string() == text);
    found.ok_or_else(|| ApiError::new("InvalidAddress.NotFound", format!("Address '{text}' not found.")))
}

/// The address that `AllocationId` or, in the older spelling, `PublicIp` names.
fn named<'a>(call: &'a Call<'_>) -> Result<&'a Address, ApiError> {
    match (call.params.text("AllocationId"), call.params.text("PublicIp")) {
        (Some(_), Some(_)) => {
            Err(ApiError::new("InvalidParameterCombination", "You may specify AllocationId or PublicIp, but not both"))
        }
        (Some(id), None) => call.state.network.addresses.get(id).ok_or_else(|| ADDRESSES.no(id)),
        (None, Some(text)) => by_public_ip(&call.state.network, text),
        (None, None) => Err(ApiError::new("MissingParameter", "The request must contain the parameter AllocationId")),
    }
}

fn release(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    check_border(call)?;
    let address = named(call)?;
    if address.association.is_some() {
        return Err(ApiError::new("InvalidIPAddress.InUse", format!("Address {} is in use.", address.public_ip)));
    }
    let id = address.id.clone();
    call.state.network.addresses.remove(&id);
    out.text("return", true);
    Ok(())
}

/// Nobody but ELB handles what belongs to a load balancer.
fn check_own(interface: &Interface) -> Result<(), ApiError> {
    if interface.owner == InterfaceOwner::LoadBalancer {
        let message = format!("You are not allowed to manage 'ela-attach' attachments: {} is a load balancer's", interface.id);
        return Err(ApiError::new("OperationNotPermitted", message));
    }
    Ok(())
}

fn associate(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let address = named(call)?;
    let network = &call.state.network;
    let interface = wanted_interface(call)?;
    check_own(interface)?;
    let private_ip = match call.params.text("PrivateIpAddress") {
        None => interface.address,
        Some(text) => {
            let own = text.parse().ok().filter(|asked| *asked == interface.address || interface.secondary.contains(asked));
            let message = || format!("The private IP address '{text}' is not assigned to {}", interface.id);
            own.ok_or_else(|| ApiError::parameter_value(message()))?
        }
    };
    if !network.has_internet_gateway(&interface.vpc_id) {
        let message = format!("Network {} is not attached to any internet gateway", interface.vpc_id);
        return Err(ApiError::new("Gateway.NotAttached", message));
    }
    if let Some(held) = &address.association {
        if let Some(holder) = network.interfaces.get(&held.interface_id) {
            check_own(holder)?;
        }
        // "Reassociation is automatic, but you can specify false" (API reference).
        let same = held.interface_id == interface.id && held.private_ip == private_ip;
        if !same && call.params.truth("AllowReassociation") == Some(false) {
            let message = format!("resource {} is already associated with associate-id {}", address.id, held.id);
            return Err(ApiError::new("Resource.AlreadyAssociated", message));
        }
    }
    let (allocation, interface) = (address.id.clone(), interface.id.clone());
    let association = call.state.ids.ec2("eipassoc");
    call.state.network.associate(&allocation, &association, &interface, private_ip);
    out.text("return", true);
    out.text("associationId", &association);
    Ok(())
}

fn wanted_interface<'a>(call: &'a Call<'_>) -> Result<&'a Interface, ApiError> {
    let network = &call.state.network;
    let interface_id = match (call.params.text("NetworkInterfaceId"), call.params.text("InstanceId")) {
        (Some(_), Some(_)) => {
            let message = "You may specify NetworkInterfaceId or InstanceId, but not both";
            return Err(ApiError::new("InvalidParameterCombination", message));
        }
        (Some(interface), None) => interface,
        (None, Some(instance)) => match network.instances.get(instance) {
            Some(instance) => &instance.interface_id,
            None => return Err(super::instances::INSTANCES.no(instance)),
        },
        (None, None) => {
            return Err(ApiError::new("MissingParameter", "Either NetworkInterfaceId or InstanceId must be specified"));
        }
    };
    network.interfaces.get(interface_id).ok_or_else(|| super::instances::INTERFACES.no(interface_id))
}

fn disassociate(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let network = &call.state.network;
    let address = match (call.params.text("AssociationId"), call.params.text("PublicIp")) {
        (Some(id), None) => {
            let holds = |address: &&Address| address.association.as_ref().is_some_and(|association| association.id == id);
            let missing = || format!("The association ID '{id}' does not exist");
            let found = network.addresses.values().find(holds);
            found.ok_or_else(|| ApiError::new("InvalidAssociationID.NotFound", missing()))?
        }
        (None, Some(text)) => by_public_ip(network, text)?,
        _ => return Err(ApiError::new("MissingParameter", "Specify either AssociationId or PublicIp")),
    };
    let holder = address.association.as_ref().and_then(|held| network.interfaces.get(&held.interface_id));
    holder.map(check_own).transpose()?;
    let id = address.id.clone();
    if let Some(address) = call.state.network.addresses.get_mut(&id) {
        address.association = None;
    }
    out.text("return", true);
    Ok(())
}
