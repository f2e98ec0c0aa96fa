//! Internet gateways and route tables: what makes a subnet public.
//!
//! Imports `filter`, `show`, `tags`, `network` for the kinds of resources. Routes lead to the VPC itself or to an internet gateway.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::filter::{Described, Kind, select};
use super::network::{SUBNETS, VPCS};
use super::permissions::read_v4;
use super::{show, tags, tokens};
use crate::error::ApiError;
use crate::model::Tags;
use crate::model::network::{InternetGateway, RouteTable};
use crate::service::{Action, Call};
use crate::xml::Xml;

pub(super) const ACTIONS: &[Action] = &[
    Action {
        name: "CreateInternetGateway",
        parameters: &[
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: create_gateway,
    },
    Action { name: "AttachInternetGateway", parameters: &["InternetGatewayId!", "VpcId!", "DryRun:bool"], run: attach_gateway },
    Action { name: "DetachInternetGateway", parameters: &["InternetGatewayId!", "VpcId!", "DryRun:bool"], run: detach_gateway },
    Action { name: "DeleteInternetGateway", parameters: &["InternetGatewayId!", "DryRun:bool"], run: delete_gateway },
    Action {
        name: "DescribeInternetGateways",
        parameters: &[
            "InternetGatewayId.#",
            "Filter.#.Name",
            "Filter.#.Value.#",
            "MaxResults:5-1000",
            "NextToken",
            "DryRun:bool",
        ],
        run: describe_gateways,
    },
    Action {
        name: "CreateRouteTable",
        parameters: &[
            "VpcId!",
            "ClientToken",
            "TagSpecification.#.ResourceType",
            "TagSpecification.#.Tag.#.Key",
            "TagSpecification.#.Tag.#.Value",
            "DryRun:bool",
        ],
        run: create_table,
    },
    Action { name: "DeleteRouteTable", parameters: &["RouteTableId!", "DryRun:bool"], run: delete_table },
    Action {
        name: "DescribeRouteTables",
        parameters: &["RouteTableId.#", "Filter.#.Name", "Filter.#.Value.#", "MaxResults:5-100", "NextToken", "DryRun:bool"],
        run: describe_tables,
    },
    Action {
        name: "CreateRoute",
        parameters: &["RouteTableId!", "DestinationCidrBlock!", "GatewayId!", "DryRun:bool"],
        run: create_route,
    },
    Action { name: "DeleteRoute", parameters: &["RouteTableId!", "DestinationCidrBlock!", "DryRun:bool"], run: delete_route },
    Action { name: "AssociateRouteTable", parameters: &["RouteTableId!", "SubnetId!", "DryRun:bool"], run: associate_table },
    Action { name: "DisassociateRouteTable", parameters: &["AssociationId!", "DryRun:bool"], run: disassociate_table },
];

const ROUTE_TABLES: Kind = Kind { parameter: "RouteTableId", prefix: "rtb-", missing: "InvalidRouteTableID.NotFound" };
const INTERNET_GATEWAYS: Kind =
    Kind { parameter: "InternetGatewayId", prefix: "igw-", missing: "InvalidInternetGatewayID.NotFound" };

impl Described for RouteTable {
    const FILTERS: &'static [&'static str] = &[
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.destination-cidr-block",
        "route.gateway-id",
        "route.origin",
        "route.state",
        "vpc-id",
    ];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "association.main" => self.associations.values().map(|subnet| subnet.is_none().to_string()).collect(),
            "association.route-table-association-id" => self.associations.keys().cloned().collect(),
            "association.route-table-id" | "route-table-id" => vec![self.id.clone()],
            "association.subnet-id" => self.associations.values().flatten().cloned().collect(),
            "route.destination-cidr-block" => self.routes.keys().map(ToString::to_string).collect(),
            "owner-id" => vec![self.owner.clone()],
            "route.origin" => self.routes.values().map(|gateway| show::route_origin(gateway).to_owned()).collect(),
            "route.state" => self.routes.values().map(|_| "active".to_owned()).collect(),
            "route.gateway-id" => self.routes.values().cloned().collect(),
            "vpc-id" => vec![self.vpc_id.clone()],
            _ => Vec::new(),
        }
    }
}

fn describe_tables(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let page = select(call.params, &state.network.route_tables, &ROUTE_TABLES)?;
    out.list("routeTableSet", page.items, |xml, table| show::route_table(xml, table, &state.place));
    out.optional("nextToken", page.next);
    Ok(())
}

impl Described for InternetGateway {
    const FILTERS: &'static [&'static str] = &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "attachment.state" => self.vpc_id.iter().map(|_| "available".to_owned()).collect(),
            "attachment.vpc-id" => self.vpc_id.iter().cloned().collect(),
            "internet-gateway-id" => vec![self.id.clone()],
            "owner-id" => vec![self.owner.clone()],
            _ => Vec::new(),
        }
    }
}

fn describe_gateways(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let page = select(call.params, &state.network.internet_gateways, &INTERNET_GATEWAYS)?;
    out.list("internetGatewaySet", page.items, |xml, gateway| show::internet_gateway(xml, gateway, &state.place));
    out.optional("nextToken", page.next);
    Ok(())
}

fn create_gateway(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let tags = tags::specified(call.params, "internet-gateway")?;
    let id = call.state.ids.ec2("igw");
    let owner = call.state.place.account.clone();
    let gateway = InternetGateway { id: id.clone(), owner, vpc_id: None, tags };
    out.within("internetGateway", |xml| show::internet_gateway(xml, &gateway, &call.state.place));
    call.state.network.internet_gateways.insert(id, gateway);
    Ok(())
}

fn attach_gateway(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (id, vpc_id) = (call.params.required("InternetGatewayId"), call.params.required("VpcId"));
    let network = &mut call.state.network;
    let gateway = network.internet_gateways.get(id).ok_or_else(|| INTERNET_GATEWAYS.no(id))?;
    if !network.vpcs.contains_key(vpc_id) {
        return Err(VPCS.no(vpc_id));
    }
    if let Some(present) = &gateway.vpc_id {
        let message = format!("resource {id} is already attached to network {present}");
        return Err(ApiError::new("Resource.AlreadyAssociated", message));
    }
    if network.has_internet_gateway(vpc_id) {
        let message = format!("Network {vpc_id} already has an internet gateway attached");
        return Err(ApiError::parameter_value(message));
    }
    if let Some(gateway) = network.internet_gateways.get_mut(id) {
        gateway.vpc_id = Some(vpc_id.to_owned());
    }
    out.text("return", true);
    Ok(())
}

fn detach_gateway(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (id, vpc_id) = (call.params.required("InternetGatewayId"), call.params.required("VpcId"));
    let network = &mut call.state.network;
    let gateway = network.internet_gateways.get(id).ok_or_else(|| INTERNET_GATEWAYS.no(id))?;
    if gateway.vpc_id.as_deref() != Some(vpc_id) {
        let message = format!("resource {id} is not attached to network {vpc_id}");
        return Err(ApiError::new("Gateway.NotAttached", message));
    }
    // Public addresses hold a gateway fast (API reference).
    let mapped = network.addresses.values().filter_map(|address| address.association.as_ref());
    let mut holders = mapped.filter_map(|held| network.interfaces.get(&held.interface_id));
    if holders.any(|interface| interface.vpc_id == vpc_id) {
        let message = format!(
            "Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
        );
        return Err(ApiError::new("DependencyViolation", message));
    }
    if let Some(gateway) = network.internet_gateways.get_mut(id) {
        gateway.vpc_id = None;
    }
    out.text("return", true);
    Ok(())
}

fn delete_gateway(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("InternetGatewayId");
    let network = &mut call.state.network;
    let gateway = network.internet_gateways.get(id).ok_or_else(|| INTERNET_GATEWAYS.no(id))?;
    if gateway.vpc_id.is_some() {
        let message = format!("The internetGateway '{id}' has dependencies and cannot be deleted.");
        return Err(ApiError::new("DependencyViolation", message));
    }
    network.internet_gateways.remove(id);
    out.text("return", true);
    Ok(())
}

fn create_table(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    if let Some(id) = tokens::made(call, "CreateRouteTable")?.into_iter().flatten().next()
        && let Some(table) = call.state.network.route_tables.get(&id)
    {
        out.within("routeTable", |xml| show::route_table(xml, table, &call.state.place));
        return Ok(());
    }
    let vpc_id = call.params.required("VpcId");
    let vpc = call.state.network.vpcs.get(vpc_id).ok_or_else(|| VPCS.no(vpc_id))?;
    let routes: BTreeMap<Ipv4Net, String> = vpc.cidrs.iter().map(|cidr| (*cidr, "local".to_owned())).collect();
    let tags = tags::specified(call.params, "route-table")?;
    let (id, owner) = (call.state.ids.ec2("rtb"), call.state.place.account.clone());
    let table = RouteTable { id: id.clone(), owner, vpc_id: vpc_id.to_owned(), associations: BTreeMap::new(), routes, tags };
    out.within("routeTable", |xml| show::route_table(xml, &table, &call.state.place));
    call.state.network.route_tables.insert(id.clone(), table);
    tokens::remember(call, "CreateRouteTable", vec![id]);
    Ok(())
}

fn delete_table(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let table = table(call)?;
    let id = table.id.clone();
    if !table.associations.is_empty() {
        let message = format!("The routeTable '{id}' has dependencies and cannot be deleted.");
        return Err(ApiError::new("DependencyViolation", message));
    }
    call.state.network.route_tables.remove(&id);
    out.text("return", true);
    Ok(())
}

/// The route table that a call names.
fn table<'a>(call: &'a mut Call<'_>) -> Result<&'a mut RouteTable, ApiError> {
    let id = call.params.required("RouteTableId");
    call.state.network.route_tables.get_mut(id).ok_or_else(|| ROUTE_TABLES.no(id))
}

fn create_route(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let (destination, gateway_id) = (read_v4(call.params.required("DestinationCidrBlock"))?, call.params.required("GatewayId"));
    let vpc_id = table(call)?.vpc_id.clone();
    let gateway = call.state.network.internet_gateways.get(gateway_id);
    let gateway = gateway.ok_or_else(|| {
        let message = format!("The gateway ID '{gateway_id}' does not exist");
        ApiError::new("InvalidGatewayID.NotFound", message)
    })?;
    if gateway.vpc_id.as_ref() != Some(&vpc_id) {
        let message = format!(
            "route table {} and network gateway {gateway_id} belong to different networks",
            call.params.required("RouteTableId")
        );
        return Err(ApiError::parameter_value(message));
    }
    let table = table(call)?;
    match table.routes.get(&destination) {
        Some(local) if local == "local" => {
            let message = format!(
                "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks."
            );
            return Err(ApiError::parameter_value(message));
        }
        Some(_) => {
            let message = format!("The route identified by {destination} already exists.");
            return Err(ApiError::new("RouteAlreadyExists", message));
        }
        None => table.routes.insert(destination, gateway_id.to_owned()),
    };
    out.text("return", true);
    Ok(())
}

fn delete_route(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let destination = read_v4(call.params.required("DestinationCidrBlock"))?;
    let table = table(call)?;
    match table.routes.get(&destination) {
        Some(local) if local == "local" => {
            return Err(ApiError::parameter_value(format!(
                "cannot remove local route {destination} in route table {}",
                table.id
            )));
        }
        Some(_) => drop(table.routes.remove(&destination)),
        None => {
            let message = format!("no route with destination-cidr-block {destination} in route table {}", table.id);
            return Err(ApiError::new("InvalidRoute.NotFound", message));
        }
    }
    out.text("return", true);
    Ok(())
}

fn associate_table(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let subnet_id = call.params.required("SubnetId");
    let vpc_id = table(call)?.vpc_id.clone();
    let network = &call.state.network;
    let subnet = network.subnets.get(subnet_id).ok_or_else(|| SUBNETS.no(subnet_id))?;
    if subnet.vpc_id != vpc_id {
        let message = format!("route table and subnet {subnet_id} belong to different networks");
        return Err(ApiError::parameter_value(message));
    }
    let holds = |table: &&RouteTable| table.associations.values().flatten().any(|subnet| subnet == subnet_id);
    if let Some(other) = network.route_tables.values().find(holds) {
        let message = format!("the specified association for route table {} conflicts with an existing association", other.id);
        return Err(ApiError::new("Resource.AlreadyAssociated", message));
    }
    let id = call.state.ids.ec2("rtbassoc");
    table(call)?.associations.insert(id.clone(), Some(subnet_id.to_owned()));
    out.text("associationId", id);
    out.within("associationState", |xml| xml.text("state", "associated"));
    Ok(())
}

fn disassociate_table(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("AssociationId");
    let mut tables = call.state.network.route_tables.values_mut();
    match tables.find_map(|table| Some((table.associations.get(id)?.is_some(), table))) {
        None => {
            let message = format!("The association ID '{id}' does not exist");
            return Err(ApiError::new("InvalidAssociationID.NotFound", message));
        }
        Some((false, table)) => {
            let message = format!("cannot disassociate the main route table association {id} of {}", table.id);
            return Err(ApiError::parameter_value(message));
        }
        Some((true, table)) => drop(table.associations.remove(id)),
    }
    out.text("return", true);
    Ok(())
}
