//! IPv6 blocks: a /56 for a VPC, which Amazon gives, and a /64 of it for each subnet.
//!
//! Imports `network` for the kinds of resources. Blocks are documentation addresses (RFC 9637): nobody routes them.

use ipnet::Ipv6Net;

use super::network::{SUBNETS, VPCS};
use super::permissions::read_v6;
use super::show;
use crate::error::ApiError;
use crate::ids;
use crate::model::State;
use crate::model::network::{Network, Vpc};
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action { name: "AssociateVpcCidrBlock", parameters: &["VpcId!", "AmazonProvidedIpv6CidrBlock:true!"], run: associate_vpc },
    Action { name: "DisassociateVpcCidrBlock", parameters: &["AssociationId!"], run: disassociate_vpc },
    Action { name: "AssociateSubnetCidrBlock", parameters: &["SubnetId!", "Ipv6CidrBlock!"], run: associate_subnet },
    Action { name: "DisassociateSubnetCidrBlock", parameters: &["AssociationId!"], run: disassociate_subnet },
];

/// Gives a VPC its block, the same in every run.
pub(super) fn give_vpc(state: &mut State, vpc_id: &str) {
    let digits = ids::hex(&format!("{}/{}/{vpc_id}", state.place.account, state.place.region), 9);
    let bits = u128::from_str_radix(&digits, 16).unwrap_or_default();
    // 3fff::/20, then 36 bits that name the VPC.
    let address = (0x3fff_u128 << 112) | (bits << 72);
    if let Some(vpc) = state.network.vpcs.get_mut(vpc_id) {
        vpc.ipv6_cidr = Ipv6Net::new(address.into(), 56).ok();
    }
}

/// Gives a VPC its block, and its subnets a part of it each, in this order. What is there already stays.
pub(crate) fn add<'a>(state: &mut State, vpc_id: &str, subnets: impl Iterator<Item = &'a String>) {
    if state.network.vpcs.get(vpc_id).is_some_and(|vpc| vpc.ipv6_cidr.is_none()) {
        give_vpc(state, vpc_id);
    }
    let Some(block) = state.network.vpcs.get(vpc_id).and_then(|vpc| vpc.ipv6_cidr) else { return };
    for (id, part) in subnets.zip(block.subnets(64).into_iter().flatten()) {
        if let Some(subnet) = state.network.subnets.get_mut(id) {
            subnet.ipv6_cidr.get_or_insert(part);
        }
    }
}

/// A block that a subnet of the VPC may get.
pub(super) fn check_subnet(network: &Network, vpc: &Vpc, text: &str) -> Result<Ipv6Net, ApiError> {
    let cidr = read_v6(text)?;
    let inside = vpc.ipv6_cidr.is_some_and(|own| own.contains(&cidr));
    if !inside || cidr.prefix_len() != 64 {
        let own = vpc.ipv6_cidr.map_or_else(|| "none".to_owned(), |own| own.to_string());
        let message = format!("The CIDR '{cidr}' is not a /64 within the IPv6 block of VPC {} ({own})", vpc.id);
        return Err(ApiError::new("InvalidSubnet.Range", message));
    }
    if let Some(other) = network.subnets.values().find(|subnet| subnet.ipv6_cidr == Some(cidr)) {
        let message = format!("The CIDR '{cidr}' conflicts with another subnet: {}", other.id);
        return Err(ApiError::new("InvalidSubnet.Conflict", message));
    }
    Ok(cidr)
}

fn associate_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("VpcId");
    let vpc = call.state.network.vpcs.get(id).ok_or_else(|| VPCS.no(id))?;
    if vpc.ipv6_cidr.is_some() {
        let message = format!("The VPC {id} has reached its limit of IPv6 CIDR blocks (1)");
        return Err(ApiError::new("CidrLimitExceeded", message));
    }
    give_vpc(call.state, id);
    out.text("vpcId", id);
    if let Some(vpc) = call.state.network.vpcs.get(id) {
        out.within("ipv6CidrBlockAssociation", |xml| show::vpc_ipv6(xml, vpc, &call.state.place));
    }
    Ok(())
}

fn no_association(id: &str) -> ApiError {
    ApiError::new("InvalidCidrBlockAssociationID.NotFound", format!("The association ID '{id}' does not exist"))
}

fn disassociate_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("AssociationId");
    let holds = |vpc: &&Vpc| vpc.ipv6_cidr.is_some_and(|cidr| show::vpc_association(&vpc.id, cidr) == id);
    let network = &call.state.network;
    let vpc = network.vpcs.values().find(holds).ok_or_else(|| no_association(id))?;
    if let Some(subnet) = network.subnets.values().find(|subnet| subnet.vpc_id == vpc.id && subnet.ipv6_cidr.is_some()) {
        let message = format!("The IPv6 CIDR block of {} cannot be disassociated: subnet {} has a part of it", vpc.id, subnet.id);
        return Err(ApiError::new("InvalidCidrBlock.InUse", message));
    }
    let vpc_id = vpc.id.clone();
    out.text("vpcId", &vpc_id);
    out.within("ipv6CidrBlockAssociation", |xml| show::vpc_ipv6(xml, vpc, &call.state.place));
    if let Some(vpc) = call.state.network.vpcs.get_mut(&vpc_id) {
        vpc.ipv6_cidr = None;
    }
    Ok(())
}

fn associate_subnet(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("SubnetId");
    let network = &call.state.network;
    let subnet = network.subnets.get(id).ok_or_else(|| SUBNETS.no(id))?;
    let vpc = network.vpcs.get(&subnet.vpc_id).ok_or_else(|| VPCS.no(&subnet.vpc_id))?;
    if subnet.ipv6_cidr.is_some() {
        let message = format!("The subnet {id} has reached its limit of IPv6 CIDR blocks (1)");
        return Err(ApiError::new("CidrLimitExceeded", message));
    }
    let cidr = check_subnet(network, vpc, call.params.required("Ipv6CidrBlock"))?;
    out.text("subnetId", id);
    out.within("ipv6CidrBlockAssociation", |xml| show::subnet_ipv6(xml, id, &cidr));
    if let Some(subnet) = call.state.network.subnets.get_mut(id) {
        subnet.ipv6_cidr = Some(cidr);
    }
    Ok(())
}

fn disassociate_subnet(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("AssociationId");
    let mut subnets = call.state.network.subnets.values_mut();
    let found = subnets.find_map(|subnet| {
        let cidr = subnet.ipv6_cidr.filter(|cidr| show::subnet_association(&subnet.id, cidr) == id)?;
        Some((subnet, cidr))
    });
    let (subnet, cidr) = found.ok_or_else(|| no_association(id))?;
    out.text("subnetId", &subnet.id);
    out.within("ipv6CidrBlockAssociation", |xml| show::subnet_ipv6(xml, &subnet.id, &cidr));
    subnet.ipv6_cidr = None;
    Ok(())
}
