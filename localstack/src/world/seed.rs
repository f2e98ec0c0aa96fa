//! Puts a [`World`] into an account. What is already there is left as it is.
//!
//! Imports `model` and the adding functions of `ec2/`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{InstanceSpec, Seeded, World, WorldSpec};
use crate::ec2;
use crate::model::State;
use crate::model::network::{Instance, InstanceState, Interface, InterfaceOwner, InternetGateway, RouteTable};

/// Adds what the account does not have yet, and tells the identifiers of everything.
pub(crate) fn seed(state: &mut State, world: &World, now: Timestamp) -> Seeded {
    let spec = world.spec();
    let id = |state: &State, prefix: &str, name: &str| {
        format!("{prefix}-0{}", state.ids.named(prefix, &format!("{}/{name}", spec.name), 16))
    };
    let vpc_id = id(state, "vpc", "");
    if !state.network.vpcs.contains_key(&vpc_id) {
        ec2::add_vpc(state, &vpc_id, spec.cidrs.clone(), spec.tags.clone());
    }
    let gateway_id = id(state, "igw", "");
    if spec.internet_gateway {
        let gateway = InternetGateway {
            id: gateway_id.clone(),
            owner: state.place.account.clone(),
            vpc_id: Some(vpc_id.clone()),
            tags: BTreeMap::new(),
        };
        state.network.internet_gateways.entry(gateway_id.clone()).or_insert(gateway);
    }
    let mut subnets = BTreeMap::new();
    for subnet in &spec.subnets {
        let subnet_id = id(state, "subnet", &subnet.name);
        if !state.network.subnets.contains_key(&subnet_id) {
            let tags = named(&subnet.tags, &subnet.name);
            ec2::add_subnet(state, &subnet_id, &vpc_id, subnet.cidr, &subnet.zone, subnet.public, tags);
        }
        subnets.insert(subnet.name.clone(), subnet_id);
    }
    if spec.ipv6 {
        ec2::add_ipv6(state, &vpc_id, spec.subnets.iter().filter_map(|subnet| subnets.get(&subnet.name)));
    }
    add_public_table(state, spec, &vpc_id, &gateway_id, &subnets);
    let mut security_groups = BTreeMap::new();
    for group in &spec.security_groups {
        let group_id = id(state, "sg", &group.name);
        if !state.network.security_groups.contains_key(&group_id) {
            ec2::add_security_group(state, group_id.clone(), &vpc_id, &group.name, &group.description, group.tags.clone());
        }
        security_groups.insert(group.name.clone(), group_id);
    }
    let mut instances = BTreeMap::new();
    for instance in &spec.instances {
        let instance_id = instance.id.clone().unwrap_or_else(|| id(state, "i", &instance.name));
        if !state.network.instances.contains_key(&instance_id) {
            let subnet_id = subnets.get(&instance.subnet).cloned().unwrap_or_default();
            let groups = instance.security_groups.iter().filter_map(|name| security_groups.get(name).cloned()).collect();
            add_instance(state, instance, &instance_id, subnet_id, groups, now);
        }
        instances.insert(instance.name.clone(), instance_id);
    }
    state.dirty = true;
    Seeded { vpc_id, subnets, security_groups, instances }
}

fn named(tags: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    tags.entry("Name".to_owned()).or_insert_with(|| name.to_owned());
    tags
}

/// One route table for all public subnets; the others use the VPC's main table.
fn add_public_table(state: &mut State, spec: &WorldSpec, vpc_id: &str, gateway_id: &str, subnets: &BTreeMap<String, String>) {
    let table_id = format!("rtb-0{}", state.ids.named("rtb", &spec.name, 16));
    let public = spec.subnets.iter().filter(|subnet| subnet.public).filter_map(|subnet| subnets.get(&subnet.name));
    let associations: BTreeMap<String, Option<String>> =
        public.map(|subnet| (format!("rtbassoc-0{}", state.ids.named("rtbassoc", subnet, 16)), Some(subnet.clone()))).collect();
    if associations.is_empty() {
        return;
    }
    let owner = state.place.account.clone();
    let table = state.network.route_tables.entry(table_id.clone()).or_insert_with(|| {
        let mut routes: BTreeMap<_, _> = spec.cidrs.iter().map(|cidr| (*cidr, "local".to_owned())).collect();
        routes.insert(ipnet::Ipv4Net::default(), gateway_id.to_owned());
        let tags = BTreeMap::from([("Name".to_owned(), "public".to_owned())]);
        RouteTable { id: table_id, owner, vpc_id: vpc_id.to_owned(), associations: BTreeMap::new(), routes, tags }
    });
    table.associations.extend(associations);
}

fn add_instance(
    state: &mut State,
    spec: &InstanceSpec,
    id: &str,
    subnet_id: String,
    security_groups: Vec<String>,
    now: Timestamp,
) {
    let Some(subnet) = state.network.subnets.get(&subnet_id) else { return };
    let (vpc_id, zone) = (subnet.vpc_id.clone(), subnet.zone.clone());
    let interface_id = format!("eni-0{}", state.ids.named("eni", id, 16));
    state.network.add_interface(Interface {
        id: interface_id.clone(),
        vpc_id: vpc_id.clone(),
        subnet_id: subnet_id.clone(),
        zone: zone.clone(),
        description: String::new(),
        address: spec.address,
        secondary: std::collections::BTreeSet::new(),
        security_groups,
        owner: InterfaceOwner::Instance(id.to_owned()),
        tags: BTreeMap::new(),
    });
    let instance = Instance {
        id: id.to_owned(),
        image: "ami-00000000000000000".to_owned(),
        kind: "m6i.large".to_owned(),
        vpc_id,
        subnet_id,
        zone,
        address: spec.address,
        interface_id,
        state: InstanceState::Running,
        launched: now,
        tags: named(&spec.tags, &spec.name),
    };
    state.network.instances.insert(id.to_owned(), instance);
}
