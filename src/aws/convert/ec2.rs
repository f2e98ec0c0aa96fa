//! EC2: security groups and their rules, subnets, route tables, instances.

use std::collections::BTreeSet;

use aws_sdk_ec2::types as sdk;
use ipnet::{IpNet, Ipv4Net};

use super::{Converted, Object, Unexpected};
use crate::aws::types::{Instance, InstanceId, Rule, RuleSource, SecurityGroup, SecurityGroupId, Subnet, SubnetId, Tags, VpcId};

/// "All protocols" in a rule; its ports mean nothing.
const ALL_PROTOCOLS: &str = "-1";

pub(in crate::aws) fn security_group(of: &sdk::SecurityGroup) -> Converted<SecurityGroup> {
    let object = Object { kind: "security group", name: of.group_id() };
    Ok(SecurityGroup {
        id: SecurityGroupId::from(object.text(of.group_id(), "id")?),
        name: object.text(of.group_name(), "name")?,
        vpc: VpcId::from(object.text(of.vpc_id(), "VPC id")?),
        tags: tags(of.tags()),
        ingress: of.ip_permissions().iter().map(rules).collect::<Converted<Vec<_>>>()?.into_iter().flatten().collect(),
    })
}

/// AWS groups the sources of equal protocol and ports; we take them apart.
fn rules(permission: &sdk::IpPermission) -> Converted<Vec<Rule>> {
    let object = Object { kind: "security group rule", name: None };
    let protocol = object.text(permission.ip_protocol(), "protocol")?;
    let (from_port, to_port) = (permission.from_port().unwrap_or(-1), permission.to_port().unwrap_or(-1));
    let rule = |source: RuleSource, description: Option<&str>| Rule {
        protocol: protocol.clone(),
        from_port,
        to_port,
        source,
        description: description.unwrap_or_default().to_owned(),
    };
    let cidr = |text: Option<&str>, description: Option<&str>| -> Converted<Rule> {
        let net: IpNet = object.required(text.and_then(|text| text.parse().ok()), "CIDR")?;
        Ok(rule(RuleSource::Cidr(net.trunc()), description))
    };
    let mut all = Vec::new();
    for range in permission.ip_ranges() {
        all.push(cidr(range.cidr_ip(), range.description())?);
    }
    for range in permission.ipv6_ranges() {
        all.push(cidr(range.cidr_ipv6(), range.description())?);
    }
    for list in permission.prefix_list_ids() {
        let id = object.text(list.prefix_list_id(), "prefix list id")?;
        all.push(rule(RuleSource::PrefixList(id), list.description()));
    }
    // The API lets a pair go without an id (a group known by its name only): nothing that we could match or revoke.
    let by_id = permission.user_id_group_pairs().iter().filter_map(|pair| Some((pair.group_id()?, pair.description())));
    all.extend(by_id.map(|(id, description)| rule(RuleSource::SecurityGroup(id.into()), description)));
    Ok(all)
}

/// One permission for each rule. `description` is part of what is written when a rule is added, and ignored by AWS when it
/// is removed.
pub(in crate::aws) fn to_permission(rule: &Rule) -> sdk::IpPermission {
    let description = Some(rule.description.clone()).filter(|text| !text.is_empty());
    let permission = sdk::IpPermission::builder().ip_protocol(&rule.protocol);
    let permission =
        if rule.protocol == ALL_PROTOCOLS { permission } else { permission.from_port(rule.from_port).to_port(rule.to_port) };
    match &rule.source {
        RuleSource::Cidr(IpNet::V4(net)) => {
            permission.ip_ranges(sdk::IpRange::builder().cidr_ip(net.to_string()).set_description(description).build())
        }
        RuleSource::Cidr(IpNet::V6(net)) => {
            permission.ipv6_ranges(sdk::Ipv6Range::builder().cidr_ipv6(net.to_string()).set_description(description).build())
        }
        RuleSource::PrefixList(id) => {
            permission.prefix_list_ids(sdk::PrefixListId::builder().prefix_list_id(id).set_description(description).build())
        }
        RuleSource::SecurityGroup(id) => permission
            .user_id_group_pairs(sdk::UserIdGroupPair::builder().group_id(id.as_str()).set_description(description).build()),
    }
    .build()
}

/// Whether a subnet can take a load balancer's addresses: one with IPv6 only cannot, and has no CIDR to show.
pub(in crate::aws) fn has_ipv4(of: &sdk::Subnet) -> bool {
    of.ipv6_native() != Some(true)
}

pub(in crate::aws) fn subnet(of: &sdk::Subnet) -> Converted<Subnet> {
    let object = Object { kind: "subnet", name: of.subnet_id() };
    Ok(Subnet {
        id: SubnetId::from(object.text(of.subnet_id(), "id")?),
        vpc: VpcId::from(object.text(of.vpc_id(), "VPC id")?),
        zone: object.text(of.availability_zone(), "availability zone")?,
        zone_id: object.text(of.availability_zone_id(), "availability zone id")?,
        outpost: of.outpost_arn().is_some_and(|arn| !arn.is_empty()),
        cidr: ipv4_cidr(&object, of.cidr_block())?,
        has_ipv6: of.ipv6_cidr_block_association_set().iter().any(|association| {
            let state = association.ipv6_cidr_block_state().and_then(sdk::SubnetCidrBlockState::state);
            state == Some(&sdk::SubnetCidrBlockStateCode::Associated)
        }),
        available_addresses: object.required(of.available_ip_address_count(), "count of free addresses")?,
        tags: tags(of.tags()),
    })
}

fn ipv4_cidr(object: &Object<'_>, text: Option<&str>) -> Converted<Ipv4Net> {
    object.required(text.and_then(|text| text.parse().ok()), "IPv4 CIDR")
}

/// IPv4 CIDRs in use by a VPC, sorted.
pub(in crate::aws) fn vpc_cidrs(of: &sdk::Vpc) -> Converted<Vec<Ipv4Net>> {
    let object = Object { kind: "VPC", name: of.vpc_id() };
    let associated = of.cidr_block_association_set().iter().filter(|association| {
        let state = association.cidr_block_state().and_then(sdk::VpcCidrBlockState::state);
        state == Some(&sdk::VpcCidrBlockStateCode::Associated)
    });
    let cidrs: BTreeSet<Ipv4Net> =
        associated.map(|association| ipv4_cidr(&object, association.cidr_block())).collect::<Converted<_>>()?;
    Ok(cidrs.into_iter().collect())
}

/// Subnets whose route table has a route through an internet gateway (the VPC guide's definition of a public subnet). A
/// subnet without a table of its own follows the VPC's main one.
pub(in crate::aws) fn public_subnets<'a>(
    tables: &[sdk::RouteTable],
    subnets: impl IntoIterator<Item = &'a SubnetId>,
) -> BTreeSet<SubnetId> {
    let of_subnet = |id: &SubnetId| {
        tables.iter().find(|table| table.associations().iter().any(|association| association.subnet_id() == Some(id.as_str())))
    };
    let main = tables.iter().find(|table| table.associations().iter().any(|association| association.main() == Some(true)));
    subnets.into_iter().filter(|id| of_subnet(id).or(main).is_some_and(leads_to_the_internet)).cloned().collect()
}

fn leads_to_the_internet(table: &sdk::RouteTable) -> bool {
    table.routes().iter().any(|route| route.gateway_id().is_some_and(|gateway| gateway.starts_with("igw-")))
}

/// Whether an instance still has network interfaces: EC2 shows terminated ones for an hour.
pub(in crate::aws) fn is_alive(of: &sdk::Instance) -> bool {
    let state = of.state().and_then(sdk::InstanceState::name);
    !matches!(state, Some(sdk::InstanceStateName::Terminated | sdk::InstanceStateName::ShuttingDown))
}

pub(in crate::aws) fn instance(of: &sdk::Instance) -> Converted<Instance> {
    let object = Object { kind: "instance", name: of.instance_id() };
    let primary = of
        .network_interfaces()
        .iter()
        .find(|interface| interface.attachment().and_then(sdk::InstanceNetworkInterfaceAttachment::device_index) == Some(0));
    let primary = object.required(primary, "network interface with device index 0")?;
    Ok(Instance {
        id: InstanceId::from(object.text(of.instance_id(), "id")?),
        zone: object.text(of.placement().and_then(sdk::Placement::availability_zone), "availability zone")?,
        security_groups: group_ids(primary.groups()),
    })
}

/// Ids of the groups that an interface lists.
pub(in crate::aws) fn group_ids(of: &[sdk::GroupIdentifier]) -> BTreeSet<SecurityGroupId> {
    of.iter().filter_map(sdk::GroupIdentifier::group_id).map(SecurityGroupId::from).collect()
}

fn tags(of: &[sdk::Tag]) -> Tags {
    of.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

pub(in crate::aws) fn to_tags(tags: &Tags) -> Vec<sdk::Tag> {
    tags.iter().map(|(key, value)| sdk::Tag::builder().key(key).value(value).build()).collect()
}

/// The id that a create answered.
pub(in crate::aws) fn created_group(id: Option<&str>) -> Result<SecurityGroupId, Unexpected> {
    Object { kind: "new security group", name: None }.text(id, "id").map(SecurityGroupId::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(protocol: &str, ports: Option<(i32, i32)>) -> sdk::builders::IpPermissionBuilder {
        let builder = sdk::IpPermission::builder().ip_protocol(protocol);
        builder.set_from_port(ports.map(|p| p.0)).set_to_port(ports.map(|p| p.1))
    }

    fn group(permission: sdk::IpPermission) -> sdk::SecurityGroup {
        sdk::SecurityGroup::builder().group_id("sg-1").group_name("n").vpc_id("vpc-1").ip_permissions(permission).build()
    }

    #[test]
    fn a_permission_becomes_one_rule_per_source_and_goes_back_the_same() {
        let shown = permission("tcp", Some((80, 90)))
            .ip_ranges(sdk::IpRange::builder().cidr_ip("10.1.2.3/8").description("d").build())
            .ipv6_ranges(sdk::Ipv6Range::builder().cidr_ipv6("::/0").build())
            .prefix_list_ids(sdk::PrefixListId::builder().prefix_list_id("pl-1").build())
            .user_id_group_pairs(sdk::UserIdGroupPair::builder().group_id("sg-2").user_id("1").build())
            .build();
        let read = security_group(&group(shown)).unwrap().ingress;
        let shown: BTreeSet<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["tcp/80-90 from 10.0.0.0/8", "tcp/80-90 from ::/0", "tcp/80-90 from pl-1", "tcp/80-90 from sg-2"]
                .map(String::from)
                .into()
        );
        for rule in &read {
            assert_eq!(rules(&to_permission(rule)).unwrap(), std::slice::from_ref(rule));
        }
    }

    #[test]
    fn a_rule_for_all_protocols_has_no_ports() {
        let all = permission("-1", None).user_id_group_pairs(sdk::UserIdGroupPair::builder().group_id("sg-2").build()).build();
        let read = security_group(&group(all)).unwrap().ingress;
        let rule = read.first().unwrap();
        assert_eq!((rule.from_port, rule.to_port), (-1, -1));
        assert_eq!(to_permission(rule).from_port(), None);
        // ICMP's -1 means all types and is sent.
        let icmp = Rule { protocol: "icmp".into(), ..rule.clone() };
        assert_eq!(to_permission(&icmp).from_port(), Some(-1));
    }

    #[test]
    fn a_rule_with_a_broken_source_is_an_error() {
        let broken = permission("tcp", None).ip_ranges(sdk::IpRange::builder().cidr_ip("nowhere").build()).build();
        let error = security_group(&group(broken)).unwrap_err();
        assert_eq!(error.to_string(), "AWS shows a security group rule without a usable CIDR");
    }

    fn table(subnets: &[&str], main: bool, gateway: &str) -> sdk::RouteTable {
        let associations = subnets.iter().map(|id| sdk::RouteTableAssociation::builder().subnet_id(*id).main(false).build());
        sdk::RouteTable::builder()
            .set_associations(Some(associations.chain([sdk::RouteTableAssociation::builder().main(main).build()]).collect()))
            .routes(sdk::Route::builder().destination_cidr_block("10.0.0.0/16").gateway_id("local").build())
            .routes(sdk::Route::builder().destination_cidr_block("0.0.0.0/0").gateway_id(gateway).build())
            .build()
    }

    #[test]
    fn a_subnet_is_public_by_its_own_table_or_else_by_the_main_one() {
        let subnets = ["subnet-a", "subnet-b", "subnet-c"].map(SubnetId::from);
        let public = |tables: &[sdk::RouteTable]| {
            public_subnets(tables, &subnets).iter().map(SubnetId::to_string).collect::<Vec<_>>().join(" ")
        };
        let own = table(&["subnet-a"], false, "igw-1");
        assert_eq!(public(&[own.clone(), table(&[], true, "nat-1")]), "subnet-a");
        assert_eq!(public(&[table(&["subnet-a"], false, "nat-1"), table(&[], true, "igw-1")]), "subnet-b subnet-c");
        assert_eq!(public(std::slice::from_ref(&own)), "subnet-a", "no main table");
    }

    #[test]
    fn only_an_internet_gateway_makes_a_subnet_public() {
        let subnets = ["subnet-a"].map(SubnetId::from);
        for gateway in ["vgw-1", "eigw-1", "nat-1"] {
            assert!(public_subnets(&[table(&["subnet-a"], false, gateway)], &subnets).is_empty(), "{gateway}");
        }
    }

    #[test]
    fn cidrs_that_a_vpc_lost_do_not_count() {
        let association = |cidr: &str, state: sdk::VpcCidrBlockStateCode| {
            sdk::VpcCidrBlockAssociation::builder()
                .cidr_block(cidr)
                .cidr_block_state(sdk::VpcCidrBlockState::builder().state(state).build())
                .build()
        };
        let vpc = sdk::Vpc::builder()
            .cidr_block_association_set(association("10.20.0.0/16", sdk::VpcCidrBlockStateCode::Associated))
            .cidr_block_association_set(association("10.10.0.0/16", sdk::VpcCidrBlockStateCode::Associated))
            .cidr_block_association_set(association("10.30.0.0/16", sdk::VpcCidrBlockStateCode::Disassociated))
            .build();
        assert_eq!(vpc_cidrs(&vpc).unwrap(), ["10.10.0.0/16", "10.20.0.0/16"].map(|cidr| cidr.parse().unwrap()));
    }

    #[test]
    fn an_instance_has_the_groups_of_its_primary_interface_only() {
        let interface = |index: i32, group: &str| {
            sdk::InstanceNetworkInterface::builder()
                .attachment(sdk::InstanceNetworkInterfaceAttachment::builder().device_index(index).build())
                .groups(sdk::GroupIdentifier::builder().group_id(group).build())
                .build()
        };
        let shown = sdk::Instance::builder()
            .instance_id("i-1")
            .placement(sdk::Placement::builder().availability_zone("eu-west-1a").build())
            .network_interfaces(interface(1, "sg-pods"))
            .network_interfaces(interface(0, "sg-node"));
        assert_eq!(instance(&shown.build()).unwrap().security_groups, ["sg-node"].map(SecurityGroupId::from).into());
        let error = instance(&sdk::Instance::builder().instance_id("i-2").build()).unwrap_err();
        assert_eq!(error.to_string(), "AWS shows instance i-2 without a usable network interface with device index 0");
    }

    #[test]
    fn terminated_instances_are_gone() {
        let state = |name| sdk::Instance::builder().state(sdk::InstanceState::builder().name(name).build()).build();
        assert!(is_alive(&state(sdk::InstanceStateName::Running)));
        assert!(is_alive(&state(sdk::InstanceStateName::Pending)));
        assert!(!is_alive(&state(sdk::InstanceStateName::ShuttingDown)));
        assert!(!is_alive(&state(sdk::InstanceStateName::Terminated)));
    }
}
