//! VPCs, subnets, availability zones.
//!
//! Imports `filter`, `show`, `tags`. A whole network is easier made from a [`crate::World`]; by the API, VPCs and subnets can be made too.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::filter::{Described, Kind, select};
use super::permissions::read_v4;
use super::{ipv6, security_groups, show, tags};
use crate::error::ApiError;
use crate::model::network::{RouteTable, Subnet, Vpc};
use crate::model::{State, Tags};
use crate::service::Call;
use crate::xml::Xml;

pub(super) const VPCS: Kind = Kind { parameter: "VpcId", prefix: "vpc-", missing: "InvalidVpcID.NotFound" };
pub(super) const SUBNETS: Kind = Kind { parameter: "SubnetId", prefix: "subnet-", missing: "InvalidSubnetID.NotFound" };

impl Described for Vpc {
    const FILTERS: &'static [&'static str] = &[
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "is-default",
        "owner-id",
        "state",
        "vpc-id",
    ];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "cidr" => self.cidrs.first().map(ToString::to_string).into_iter().collect(),
            "cidr-block-association.association-id" => {
                self.cidrs.iter().map(|cidr| show::vpc_association(&self.id, cidr)).collect()
            }
            "cidr-block-association.state" => vec!["associated".to_owned()],
            "dhcp-options-id" => vec!["default".to_owned()],
            "ipv6-cidr-block-association.association-id" => {
                self.ipv6_cidr.iter().map(|cidr| show::vpc_association(&self.id, cidr)).collect()
            }
            "ipv6-cidr-block-association.ipv6-cidr-block" => self.ipv6_cidr.iter().map(ToString::to_string).collect(),
            "ipv6-cidr-block-association.state" => self.ipv6_cidr.iter().map(|_| "associated".to_owned()).collect(),
            "owner-id" => vec![self.owner.clone()],
            "cidr-block-association.cidr-block" => self.cidrs.iter().map(ToString::to_string).collect(),
            "is-default" => vec!["false".to_owned()],
            "state" => vec!["available".to_owned()],
            "vpc-id" => vec![self.id.clone()],
            _ => Vec::new(),
        }
    }
}

pub(super) fn describe_vpcs(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let page = select(call.params, &state.network.vpcs, &VPCS)?;
    out.list("vpcSet", page.items, |xml, vpc| show::vpc(xml, vpc, &state.place));
    out.optional("nextToken", page.next);
    Ok(())
}

/// Adds a VPC with what AWS gives every VPC: a main route table and a default security group.
pub(crate) fn add_vpc(state: &mut State, id: &str, cidrs: Vec<Ipv4Net>, tags: Tags) {
    let (table_id, association) = (state.ids.ec2("rtb"), state.ids.ec2("rtbassoc"));
    let table = RouteTable {
        id: table_id.clone(),
        owner: state.place.account.clone(),
        vpc_id: id.to_owned(),
        associations: BTreeMap::from([(association, None)]),
        routes: cidrs.iter().map(|cidr| (*cidr, "local".to_owned())).collect(),
        tags: Tags::new(),
    };
    state.network.route_tables.insert(table_id, table);
    let group = state.ids.ec2("sg");
    security_groups::add(state, group, id, "default", "default VPC security group", Tags::new());
    let vpc = Vpc {
        id: id.to_owned(),
        owner: state.place.account.clone(),
        cidrs,
        ipv6_cidr: None,
        dns_support: true,
        dns_hostnames: false,
        tags,
    };
    state.network.vpcs.insert(id.to_owned(), vpc);
}

/// Adds a subnet.
pub(crate) fn add_subnet(state: &mut State, id: &str, vpc_id: &str, cidr: Ipv4Net, zone: &str, map_public_ip: bool, tags: Tags) {
    let subnet = Subnet {
        id: id.to_owned(),
        arn: state.place.arn("ec2", &format!("subnet/{id}")),
        owner: state.place.account.clone(),
        vpc_id: vpc_id.to_owned(),
        cidr,
        ipv6_cidr: None,
        zone: zone.to_owned(),
        map_public_ip,
        tags,
        taken: BTreeSet::new(),
    };
    state.network.zones.insert(zone.to_owned());
    state.network.subnets.insert(id.to_owned(), subnet);
}

fn read_block(text: &str, what: &str) -> Result<Ipv4Net, ApiError> {
    let cidr = read_v4(text)?;
    if !(16..=28).contains(&cidr.prefix_len()) {
        let message = format!("The CIDR '{text}' is invalid: {what} have a block between /16 and /28");
        return Err(ApiError::new(if what == "VPCs" { "InvalidVpc.Range" } else { "InvalidSubnet.Range" }, message));
    }
    Ok(cidr)
}

pub(super) fn create_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let cidr = read_block(call.params.required("CidrBlock"), "VPCs")?;
    let tags = tags::specified(call.params, "vpc")?;
    let id = call.state.ids.ec2("vpc");
    add_vpc(call.state, &id, vec![cidr], tags);
    if call.params.truth("AmazonProvidedIpv6CidrBlock") == Some(true) {
        ipv6::give_vpc(call.state, &id);
    }
    let state = &*call.state;
    if let Some(vpc) = state.network.vpcs.get(&id) {
        out.within("vpc", |xml| show::vpc(xml, vpc, &state.place));
    }
    Ok(())
}

pub(super) fn delete_vpc(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("VpcId");
    let network = &mut call.state.network;
    if !network.vpcs.contains_key(id) {
        return Err(VPCS.no(id));
    }
    let depends = network.subnets.values().any(|subnet| subnet.vpc_id == id)
        || network.has_internet_gateway(id)
        || network.security_groups.values().any(|group| group.vpc_id == id && group.name != "default")
        || network.route_tables.values().any(|table| table.vpc_id == id && table.associations.values().all(Option::is_some));
    if depends {
        return Err(ApiError::new("DependencyViolation", format!("The vpc '{id}' has dependencies and cannot be deleted.")));
    }
    network.vpcs.remove(id);
    network.route_tables.retain(|_, table| table.vpc_id != id);
    let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut network.security_groups).into_iter().partition(|(_, group)| group.vpc_id == id);
    network.security_groups = kept;
    network.rules.retain(|_, rule| !gone.contains_key(&rule.group_id));
    out.text("return", true);
    Ok(())
}

impl Described for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "availability-zone",
        "availability-zone-id",
        "available-ip-address-count",
        "cidr-block",
        "default-for-az",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-public-ip-on-launch",
        "owner-id",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
    ];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        match filter {
            "availability-zone" => vec![self.zone.clone()],
            "availability-zone-id" => vec![show::zone_id(&self.zone)],
            "available-ip-address-count" => vec![self.free_addresses().to_string()],
            "cidr-block" => vec![self.cidr.to_string()],
            "default-for-az" | "ipv6-native" => vec!["false".to_owned()],
            "ipv6-cidr-block-association.association-id" => {
                self.ipv6_cidr.iter().map(|cidr| show::subnet_association(&self.id, cidr)).collect()
            }
            "ipv6-cidr-block-association.ipv6-cidr-block" => self.ipv6_cidr.iter().map(ToString::to_string).collect(),
            "ipv6-cidr-block-association.state" => self.ipv6_cidr.iter().map(|_| "associated".to_owned()).collect(),
            "owner-id" => vec![self.owner.clone()],
            "map-public-ip-on-launch" => vec![self.map_public_ip.to_string()],
            "state" => vec!["available".to_owned()],
            "subnet-arn" => vec![self.arn.clone()],
            "subnet-id" => vec![self.id.clone()],
            "vpc-id" => vec![self.vpc_id.clone()],
            _ => Vec::new(),
        }
    }
}

pub(super) fn describe_subnets(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let state = &*call.state;
    let page = select(call.params, &state.network.subnets, &SUBNETS)?;
    out.list("subnetSet", page.items, |xml, subnet| show::subnet(xml, subnet, &state.place));
    out.optional("nextToken", page.next);
    Ok(())
}

pub(super) fn create_subnet(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let params = call.params;
    let network = &call.state.network;
    let vpc_id = params.required("VpcId");
    let vpc = network.vpcs.get(vpc_id).ok_or_else(|| VPCS.no(vpc_id))?;
    let cidr = read_block(params.required("CidrBlock"), "subnets")?;
    if !vpc.cidrs.iter().any(|own| own.contains(&cidr)) {
        return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is not within the CIDR blocks of {vpc_id}")));
    }
    let overlaps = |subnet: &Subnet| subnet.vpc_id == vpc_id && (subnet.cidr.contains(&cidr) || cidr.contains(&subnet.cidr));
    if let Some(other) = network.subnets.values().find(|subnet| overlaps(subnet)) {
        let message = format!("The CIDR '{cidr}' conflicts with another subnet: {} of {}", other.cidr, other.id);
        return Err(ApiError::new("InvalidSubnet.Conflict", message));
    }
    let by_id = |id: &str| network.zones.iter().find(|zone| show::zone_id(zone) == id);
    let zone = match (params.text("AvailabilityZone"), params.text("AvailabilityZoneId")) {
        (Some(name), _) => network.zones.get(name),
        (None, Some(id)) => by_id(id),
        (None, None) => network.zones.first(),
    };
    let Some(zone) = zone.cloned() else {
        let asked = params.text("AvailabilityZone").or(params.text("AvailabilityZoneId")).unwrap_or_default();
        let zones: Vec<&str> = network.zones.iter().map(String::as_str).collect();
        let message = format!("Value ({asked}) for parameter availabilityZone is invalid. Zones are {}", zones.join(", "));
        return Err(ApiError::parameter_value(message));
    };
    let ipv6_cidr = params.text("Ipv6CidrBlock").map(|text| ipv6::check_subnet(network, vpc, text)).transpose()?;
    let tags = tags::specified(params, "subnet")?;
    let id = call.state.ids.ec2("subnet");
    add_subnet(call.state, &id, vpc_id, cidr, &zone, false, tags);
    if let Some(subnet) = call.state.network.subnets.get_mut(&id) {
        subnet.ipv6_cidr = ipv6_cidr;
    }
    let state = &*call.state;
    if let Some(subnet) = state.network.subnets.get(&id) {
        out.within("subnet", |xml| show::subnet(xml, subnet, &state.place));
    }
    Ok(())
}

pub(super) fn delete_subnet(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let id = call.params.required("SubnetId");
    let network = &mut call.state.network;
    if !network.subnets.contains_key(id) {
        return Err(SUBNETS.no(id));
    }
    if network.interfaces.values().any(|interface| interface.subnet_id == id) {
        return Err(ApiError::new("DependencyViolation", format!("The subnet '{id}' has dependencies and cannot be deleted.")));
    }
    network.subnets.remove(id);
    for table in network.route_tables.values_mut() {
        table.associations.retain(|_, subnet| subnet.as_deref() != Some(id));
    }
    out.text("return", true);
    Ok(())
}

struct Zone {
    name: String,
    region: String,
    tags: Tags,
}

impl Described for Zone {
    const FILTERS: &'static [&'static str] = &["group-name", "region-name", "state", "zone-id", "zone-name", "zone-type"];

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn values(&self, filter: &str) -> Vec<String> {
        vec![match filter {
            "group-name" | "region-name" => self.region.clone(),
            "state" => "available".to_owned(),
            "zone-id" => show::zone_id(&self.name),
            "zone-name" => self.name.clone(),
            _ => "availability-zone".to_owned(),
        }]
    }
}

pub(super) fn describe_availability_zones(call: &mut Call<'_>, out: &mut Xml) -> Result<(), ApiError> {
    let region = &call.state.place.region;
    let zones: BTreeMap<String, Zone> = call
        .state
        .network
        .zones
        .iter()
        .map(|name| (name.clone(), Zone { name: name.clone(), region: region.clone(), tags: Tags::new() }))
        .collect();
    let ids = call.params.texts("ZoneId");
    if let Some(unknown) = ids.iter().find(|id| !zones.keys().any(|name| show::zone_id(name) == **id)) {
        return Err(ApiError::parameter_value(format!("Invalid availability zone-id: [{unknown}]")));
    }
    let kind = Kind { parameter: "ZoneName", prefix: "", missing: "InvalidParameterValue" };
    let mut page = select(call.params, &zones, &kind)?;
    page.items.retain(|zone| ids.is_empty() || ids.contains(&show::zone_id(&zone.name).as_str()));
    out.list("availabilityZoneInfo", page.items, |xml, zone| {
        xml.text("zoneName", &zone.name);
        xml.text("zoneId", show::zone_id(&zone.name));
        xml.text("zoneState", "available");
        xml.text("zoneType", "availability-zone");
        xml.text("regionName", &zone.region);
        xml.text("groupName", &zone.region);
        xml.text("networkBorderGroup", &zone.region);
        xml.text("optInStatus", "opt-in-not-required");
        xml.texts("messageSet", Vec::<String>::new());
    });
    Ok(())
}
