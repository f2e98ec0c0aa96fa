//! The rules of EC2: security groups (SG-*, SGR-*), listings, network, tags.

use crate::testing::{Kit, all, first};

/// Parameters of an Authorize or Revoke call with one TCP permission.
fn permission<'a>(group: &'a str, port: &'a str, peer: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    vec![
        ("GroupId", group),
        ("IpPermissions.1.IpProtocol", "tcp"),
        ("IpPermissions.1.FromPort", port),
        ("IpPermissions.1.ToPort", port),
        peer,
    ]
}

fn cidr(text: &str) -> (&'static str, &str) {
    ("IpPermissions.1.IpRanges.1.CidrIp", text)
}

#[test]
fn a_call_with_a_duplicate_rule_adds_nothing() {
    let kit = Kit::instant();
    let group = kit.security_group("front");
    kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "80", cidr("0.0.0.0/0"))).unwrap();
    let mut mixed = permission(&group, "80", cidr("10.0.0.0/8"));
    mixed.push(("IpPermissions.1.IpRanges.2.CidrIp", "0.0.0.0/0"));
    mixed.push(("IpPermissions.1.IpRanges.2.Description", "a description makes no other rule"));
    assert_eq!(kit.ec2_error("AuthorizeSecurityGroupIngress", &mixed), "InvalidPermission.Duplicate");
    let xml = kit.ec2("DescribeSecurityGroups", &[("GroupId.1", &group)]).unwrap();
    assert_eq!(all(&first(&xml, "ipPermissions"), "cidrIp"), ["0.0.0.0/0"]);
    assert_eq!(all(&first(&xml, "ipPermissionsEgress"), "cidrIp"), ["0.0.0.0/0"], "everything may leave");
}

#[test]
fn rules_are_revoked_by_what_they_allow_or_by_id() {
    let kit = Kit::instant();
    let group = kit.security_group("front");
    let xml = kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "80", cidr("10.1.2.3/8"))).unwrap();
    assert_eq!((first(&xml, "cidrIpv4"), first(&xml, "isEgress")), ("10.0.0.0/8".to_owned(), "false".to_owned()));
    let id = first(&xml, "securityGroupRuleId");
    assert!(id.starts_with("sgr-0") && id.len() == 21, "{id}");
    assert_eq!(
        kit.ec2_error("RevokeSecurityGroupIngress", &permission(&group, "81", cidr("10.0.0.0/8"))),
        "InvalidPermission.NotFound"
    );
    let revoked = kit.ec2("RevokeSecurityGroupIngress", &permission(&group, "80", cidr("10.0.0.0/8"))).unwrap();
    assert_eq!(first(&first(&revoked, "revokedSecurityGroupRuleSet"), "securityGroupRuleId"), id);
    let by_id = [("GroupId", group.as_str()), ("SecurityGroupRuleId.1", id.as_str())];
    assert_eq!(kit.ec2_error("RevokeSecurityGroupIngress", &by_id), "InvalidSecurityGroupRuleId.NotFound");
    let xml = kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "80", cidr("10.0.0.0/8"))).unwrap();
    let id = first(&xml, "securityGroupRuleId");
    let by_id = [("GroupId", group.as_str()), ("SecurityGroupRuleId.1", id.as_str())];
    assert_eq!(kit.ec2_error("RevokeSecurityGroupEgress", &by_id), "InvalidParameterValue");
    kit.ec2("RevokeSecurityGroupIngress", &by_id).unwrap();
    let rules = kit.ec2("DescribeSecurityGroupRules", &[("Filter.1.Name", "group-id"), ("Filter.1.Value.1", &group)]).unwrap();
    assert_eq!(all(&rules, "isEgress"), ["true"]);
}

#[test]
fn a_group_that_another_one_refers_to_cannot_be_deleted() {
    let kit = Kit::instant();
    let (front, nodes) = (kit.security_group("front"), &kit.seeded.security_groups["nodes"]);
    let refer = permission(nodes, "30080", ("IpPermissions.1.Groups.1.GroupId", &front));
    let xml = kit.ec2("AuthorizeSecurityGroupIngress", &refer).unwrap();
    assert_eq!(first(&first(&xml, "referencedGroupInfo"), "groupId"), front);
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &front)]), "DependencyViolation");
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", nodes)]), "DependencyViolation", "instances use it");
    kit.ec2("RevokeSecurityGroupIngress", &refer).unwrap();
    kit.ec2("DeleteSecurityGroup", &[("GroupId", &front)]).unwrap();
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &front)]), "InvalidGroup.NotFound");
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", "group-1")]), "InvalidGroupId.Malformed");
}

#[test]
fn sixty_rules_are_the_limit() {
    let kit = Kit::instant();
    let group = kit.security_group("front");
    let keys: Vec<String> = (1..=61).map(|at| format!("IpPermissions.1.IpRanges.{at}.CidrIp")).collect();
    let cidrs: Vec<String> = (1..=61).map(|at| format!("10.0.{at}.0/24")).collect();
    let call = |count: usize| {
        let mut parameters = permission(&group, "80", cidr(&cidrs[0]));
        parameters.pop();
        parameters.extend(keys.iter().zip(&cidrs).take(count).map(|(key, cidr)| (key.as_str(), cidr.as_str())));
        kit.ec2("AuthorizeSecurityGroupIngress", &parameters).map_err(|error| error.code)
    };
    assert_eq!(call(61).unwrap_err(), "RulesPerSecurityGroupLimitExceeded");
    call(60).unwrap();
}

#[test]
fn groups_are_unique_by_name_in_a_vpc_and_checked() {
    let kit = Kit::instant();
    kit.security_group("front");
    let vpc = kit.seeded.vpc_id.as_str();
    for (name, description, vpc, code) in [
        ("front", "x", vpc, "InvalidGroup.Duplicate"),
        ("default", "x", vpc, "InvalidParameterValue"),
        ("back", "caf\u{e9}", vpc, "InvalidParameterValue"),
        ("back", "x", "vpc-0000", "InvalidVpcID.NotFound"),
    ] {
        let create = [("GroupName", name), ("GroupDescription", description), ("VpcId", vpc)];
        assert_eq!(kit.ec2_error("CreateSecurityGroup", &create), code, "{name} {vpc}");
    }
    assert_eq!(kit.ec2_error("CreateSecurityGroup", &[("GroupName", "x"), ("GroupDescription", "x")]), "VPCIdNotSpecified");
    let default = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default")];
    let default = first(&kit.ec2("DescribeSecurityGroups", &default).unwrap(), "groupId");
    assert_eq!(kit.ec2_error("DeleteSecurityGroup", &[("GroupId", &default)]), "CannotDelete");
}

#[test]
fn permissions_are_checked() {
    let kit = Kit::instant();
    let group = kit.security_group("front");
    let base = permission(&group, "80", cidr("10.0.0.0/8"));
    let with = |at: usize, pair: (&'static str, &'static str)| {
        let mut parameters = base.clone();
        parameters[at] = pair;
        kit.ec2_error("AuthorizeSecurityGroupIngress", &parameters)
    };
    assert_eq!(with(1, ("IpPermissions.1.IpProtocol", "tpc")), "InvalidParameterValue");
    assert_eq!(with(2, ("IpPermissions.1.FromPort", "81")), "InvalidParameterValue");
    assert_eq!(with(4, cidr("10.0.0.0/33")), "InvalidParameterValue");
    assert_eq!(with(4, ("IpPermissions.1.Groups.1.GroupId", "sg-0000")), "InvalidGroup.NotFound");
    assert_eq!(with(4, ("IpPermissions.1.PrefixListIds.1.PrefixListId", "pl-1")), "InvalidPrefixListID.NotFound");
    assert_eq!(with(0, ("GroupId", "sg-0000")), "InvalidGroup.NotFound");
}

#[test]
fn a_changed_rule_keeps_its_id_and_may_not_equal_another() {
    let kit = Kit::instant();
    let group = kit.security_group("front");
    let xml = kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "80", cidr("10.0.0.0/8"))).unwrap();
    kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "81", cidr("10.0.0.0/8"))).unwrap();
    let id = first(&xml, "securityGroupRuleId");
    let modify = |port| {
        let parameters = [
            ("GroupId", group.as_str()),
            ("SecurityGroupRule.1.SecurityGroupRuleId", id.as_str()),
            ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp"),
            ("SecurityGroupRule.1.SecurityGroupRule.FromPort", port),
            ("SecurityGroupRule.1.SecurityGroupRule.ToPort", port),
            ("SecurityGroupRule.1.SecurityGroupRule.CidrIpv4", "10.0.0.0/8"),
        ];
        kit.ec2("ModifySecurityGroupRules", &parameters).map_err(|error| error.code)
    };
    assert_eq!(modify("81").unwrap_err(), "InvalidPermission.Duplicate");
    modify("82").unwrap();
    let xml = kit.ec2("DescribeSecurityGroupRules", &[("SecurityGroupRuleId.1", &id)]).unwrap();
    assert_eq!(first(&xml, "fromPort"), "82");
}

#[test]
fn filters_select_and_unknown_ones_are_refused() {
    let kit = Kit::instant();
    let names = |filters: &[(&str, &str)]| all(&kit.ec2("DescribeSubnets", filters).unwrap(), "subnetId").len();
    assert_eq!(names(&[]), 9);
    assert_eq!(names(&[("Filter.1.Name", "tag:kubernetes.io/role/elb"), ("Filter.1.Value.1", "1")]), 3);
    assert_eq!(names(&[("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "kubernetes.io/role/*")]), 6);
    let two = [
        ("Filter.1.Name", "availability-zone"),
        ("Filter.1.Value.1", "us-west-2a"),
        ("Filter.1.Value.2", "us-west-2b"),
        ("Filter.2.Name", "tag:Name"),
        ("Filter.2.Value.1", "nodes-*"),
    ];
    assert_eq!(names(&two), 2);
    let unknown = [("Filter.1.Name", "availabilityzone"), ("Filter.1.Value.1", "x")];
    for action in ["DescribeSubnets", "DescribeVpcs", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]
    {
        assert_eq!(kit.ec2_error(action, &unknown), "InvalidParameterValue", "{action}");
    }
    assert_eq!(kit.ec2_error("DescribeSubnets", &[("SubnetId.1", "subnet-0000")]), "InvalidSubnetID.NotFound");
    assert_eq!(kit.ec2_error("DescribeSubnets", &[("SubnetId.1", "x")]), "InvalidSubnetID.Malformed");
}

#[test]
fn listings_are_paged() {
    let kit = Kit::instant();
    let page = kit.ec2("DescribeSubnets", &[("MaxResults", "5")]).unwrap();
    let rest = kit.ec2("DescribeSubnets", &[("MaxResults", "5"), ("NextToken", &first(&page, "nextToken"))]).unwrap();
    assert_eq!((all(&page, "subnetId").len(), all(&rest, "subnetId").len(), rest.contains("nextToken")), (5, 4, false));
    assert_eq!(kit.ec2_error("DescribeSubnets", &[("MaxResults", "4")]), "InvalidParameterValue");
    assert_eq!(kit.ec2_error("DescribeSubnets", &[("NextToken", "zz")]), "InvalidNextToken");
    let both = [("MaxResults", "5"), ("SubnetId.1", kit.subnet("nodes-a"))];
    assert_eq!(kit.ec2_error("DescribeSubnets", &both), "InvalidParameterCombination");
}

#[test]
fn the_seeded_network_can_be_discovered() {
    let kit = Kit::instant();
    let by_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", kit.seeded.vpc_id.as_str())];
    let by_subnet = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", kit.subnet("public-b"))];
    let tables = kit.ec2("DescribeRouteTables", &by_subnet).unwrap();
    assert_eq!(all(&tables, "destinationCidrBlock"), ["0.0.0.0/0", "10.20.0.0/16"]);
    assert!(first(&tables, "gatewayId").starts_with("igw-0"));
    assert_eq!(all(&kit.ec2("DescribeRouteTables", &by_vpc).unwrap(), "vpcId").len(), 2, "main and public");
    assert_eq!(all(&kit.ec2("DescribeAvailabilityZones", &[]).unwrap(), "zoneId"), ["usw2-az1", "usw2-az2", "usw2-az3"]);
    let node = [("Filter.1.Name", "private-ip-address"), ("Filter.1.Value.1", "10.20.3.10")];
    let xml = kit.ec2("DescribeInstances", &node).unwrap();
    assert_eq!(
        (first(&xml, "instanceId"), first(&xml, "availabilityZone")),
        ("i-00000000000000003".to_owned(), "us-west-2c".to_owned())
    );
    let attached = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", "i-00000000000000001")];
    let xml = kit.ec2("DescribeNetworkInterfaces", &attached).unwrap();
    assert_eq!(first(&first(&xml, "groupSet"), "groupId"), kit.seeded.security_groups["nodes"]);
}

#[test]
fn secondary_addresses_belong_to_one_interface() {
    let kit = Kit::instant();
    let interface = |instance: &str| {
        let attached = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance)];
        first(&kit.ec2("DescribeNetworkInterfaces", &attached).unwrap(), "networkInterfaceId")
    };
    let (one, two) = (interface("i-00000000000000001"), interface("i-00000000000000002"));
    let assign = |id: &str, address: &str| {
        kit.ec2("AssignPrivateIpAddresses", &[("NetworkInterfaceId", id), ("PrivateIpAddress.1", address)])
            .map_err(|error| error.code)
    };
    assign(&one, "10.20.1.77").unwrap();
    assert_eq!(assign(&two, "10.20.1.78").unwrap_err(), "InvalidParameterValue", "another subnet");
    let pod = [("Filter.1.Name", "addresses.private-ip-address"), ("Filter.1.Value.1", "10.20.1.77")];
    assert_eq!(first(&kit.ec2("DescribeNetworkInterfaces", &pod).unwrap(), "networkInterfaceId"), one);
    kit.ec2("UnassignPrivateIpAddresses", &[("NetworkInterfaceId", &one), ("PrivateIpAddress.1", "10.20.1.77")]).unwrap();
    assert!(all(&kit.ec2("DescribeNetworkInterfaces", &pod).unwrap(), "networkInterfaceId").is_empty());
}

#[test]
fn tags_of_any_resource() {
    let kit = Kit::instant();
    let (subnet, group) = (kit.subnet("nodes-a"), kit.security_group("front"));
    let create = [("ResourceId.1", subnet), ("ResourceId.2", &group), ("Tag.1.Key", "team"), ("Tag.1.Value", "web")];
    kit.ec2("CreateTags", &create).unwrap();
    let half = [("ResourceId.1", subnet), ("ResourceId.2", "sg-0000"), ("Tag.1.Key", "half")];
    assert_eq!(kit.ec2_error("CreateTags", &half), "InvalidGroup.NotFound");
    let listed = |key: &str| {
        let filter = [("Filter.1.Name", "key"), ("Filter.1.Value.1", key)];
        all(&kit.ec2("DescribeTags", &filter).unwrap(), "resourceType")
    };
    assert_eq!(listed("team"), ["security-group", "subnet"]);
    assert!(listed("half").is_empty());
    kit.ec2("DeleteTags", &[("ResourceId.1", subnet), ("Tag.1.Key", "team"), ("Tag.1.Value", "other")]).unwrap();
    assert_eq!(listed("team").len(), 2, "another value: the tag stays");
    kit.ec2("DeleteTags", &[("ResourceId.1", subnet), ("Tag.1.Key", "team")]).unwrap();
    assert_eq!(listed("team"), ["security-group"]);
}

#[test]
fn an_elastic_ip_is_allocated_led_to_an_interface_and_released() {
    let kit = Kit::instant();
    let tagged = [
        ("Domain", "vpc"),
        ("TagSpecification.1.ResourceType", "elastic-ip"),
        ("TagSpecification.1.Tag.1.Key", "team"),
        ("TagSpecification.1.Tag.1.Value", "web"),
    ];
    let xml = kit.ec2("AllocateAddress", &tagged).unwrap();
    let (id, public) = (first(&xml, "allocationId"), first(&xml, "publicIp"));
    assert_eq!(first(&xml, "networkBorderGroup"), "us-west-2");
    let instance = "i-00000000000000001";
    let associate = |instance, more: &[(&'static str, &str)]| {
        let parameters = [&[("AllocationId", id.as_str()), ("InstanceId", instance)][..], more].concat();
        kit.ec2("AssociateAddress", &parameters).map_err(|error| error.code)
    };
    let association = first(&associate(instance, &[]).unwrap(), "associationId");
    let xml = kit.ec2("DescribeAddresses", &[("Filter.1.Name", "instance-id"), ("Filter.1.Value.1", instance)]).unwrap();
    assert_eq!((first(&xml, "associationId"), first(&xml, "privateIpAddress")), (association, "10.20.1.10".to_owned()));
    let xml = kit.ec2("DescribeInstances", &[("InstanceId.1", instance)]).unwrap();
    assert_eq!(first(&xml, "ipAddress"), public);
    assert_eq!(kit.ec2_error("ReleaseAddress", &[("AllocationId", &id)]), "InvalidIPAddress.InUse");
    assert_eq!(associate("i-00000000000000002", &[("AllowReassociation", "false")]).unwrap_err(), "Resource.AlreadyAssociated");
    assert_eq!(associate(instance, &[("PrivateIpAddress", "10.20.1.99")]).unwrap_err(), "InvalidParameterValue");
    let association = first(&associate("i-00000000000000002", &[]).unwrap(), "associationId");
    kit.ec2("DisassociateAddress", &[("AssociationId", &association)]).unwrap();
    assert_eq!(kit.ec2_error("DisassociateAddress", &[("AssociationId", &association)]), "InvalidAssociationID.NotFound");
    kit.ec2("ReleaseAddress", &[("AllocationId", &id)]).unwrap();
    assert_eq!(kit.ec2_error("ReleaseAddress", &[("AllocationId", &id)]), "InvalidAllocationID.NotFound");
    assert_eq!(kit.ec2_error("DescribeAddresses", &[("PublicIp.1", &public)]), "InvalidAddress.NotFound");
}

#[test]
fn five_elastic_ips_are_the_limit_and_an_instance_lets_go_of_its_own() {
    let kit = Kit::instant();
    let ids: Vec<String> = (0..5).map(|_| first(&kit.ec2("AllocateAddress", &[]).unwrap(), "allocationId")).collect();
    assert_eq!(kit.ec2_error("AllocateAddress", &[]), "AddressLimitExceeded");
    let public = all(&kit.ec2("DescribeAddresses", &[]).unwrap(), "publicIp");
    assert_eq!(public.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    let instance = "i-00000000000000001";
    for id in &ids[..2] {
        kit.ec2("AssociateAddress", &[("AllocationId", id), ("InstanceId", instance)]).unwrap();
    }
    let held = |id: &str| all(&kit.ec2("DescribeAddresses", &[("AllocationId.1", id)]).unwrap(), "associationId").len();
    assert_eq!((held(&ids[0]), held(&ids[1])), (0, 1), "one private address has one public one");
    kit.ec2("TerminateInstances", &[("InstanceId.1", instance)]).unwrap();
    assert_eq!(held(&ids[1]), 0);
}

#[test]
fn a_subnet_becomes_public_by_a_gateway_and_a_route() {
    let kit = Kit::instant();
    let vpc = first(&kit.ec2("CreateVpc", &[("CidrBlock", "10.9.0.0/16")]).unwrap(), "vpcId");
    let subnet = first(&kit.ec2("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", "10.9.1.0/24")]).unwrap(), "subnetId");
    let gateway = first(&kit.ec2("CreateInternetGateway", &[]).unwrap(), "internetGatewayId");
    let table = first(&kit.ec2("CreateRouteTable", &[("VpcId", &vpc)]).unwrap(), "routeTableId");
    let route = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &gateway)];
    assert_eq!(kit.ec2_error("CreateRoute", &route), "InvalidParameterValue", "not attached yet");
    let attach = [("InternetGatewayId", gateway.as_str()), ("VpcId", &vpc)];
    kit.ec2("AttachInternetGateway", &attach).unwrap();
    assert_eq!(kit.ec2_error("AttachInternetGateway", &attach), "Resource.AlreadyAssociated");
    kit.ec2("CreateRoute", &route).unwrap();
    assert_eq!(kit.ec2_error("CreateRoute", &route), "RouteAlreadyExists");
    let associate = [("RouteTableId", table.as_str()), ("SubnetId", &subnet)];
    let association = first(&kit.ec2("AssociateRouteTable", &associate).unwrap(), "associationId");
    assert_eq!(kit.ec2_error("AssociateRouteTable", &associate), "Resource.AlreadyAssociated");
    let by_subnet = [("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", subnet.as_str())];
    let shown = kit.ec2("DescribeRouteTables", &by_subnet).unwrap();
    assert_eq!(all(&shown, "gatewayId"), [gateway.as_str(), "local"]);
    kit.elb("CreateLoadBalancer", &[("Name", "x"), ("Type", "network"), ("Subnets.member.1", &subnet)]).unwrap();
    assert_eq!(kit.ec2_error("DeleteRouteTable", &[("RouteTableId", &table)]), "DependencyViolation");
    assert_eq!(kit.ec2_error("DeleteInternetGateway", &[("InternetGatewayId", &gateway)]), "DependencyViolation");
    kit.ec2("DisassociateRouteTable", &[("AssociationId", &association)]).unwrap();
    kit.ec2("DeleteRoute", &route[..2]).unwrap();
    let local = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "10.9.0.0/16")];
    assert_eq!(kit.ec2_error("DeleteRoute", &local), "InvalidParameterValue");
    kit.ec2("DeleteRouteTable", &[("RouteTableId", &table)]).unwrap();
    kit.ec2("DetachInternetGateway", &attach).unwrap();
    assert_eq!(kit.ec2_error("DetachInternetGateway", &attach), "Gateway.NotAttached");
    kit.ec2("DeleteInternetGateway", &[("InternetGatewayId", &gateway)]).unwrap();
}

#[test]
fn ipv6_blocks_of_a_vpc_and_its_subnets() {
    let kit = Kit::instant();
    let (vpc, subnet) = (kit.seeded.vpc_id.as_str(), kit.subnet("nodes-a"));
    let give = [("VpcId", vpc), ("AmazonProvidedIpv6CidrBlock", "true")];
    let xml = kit.ec2("AssociateVpcCidrBlock", &give).unwrap();
    assert_eq!(kit.ec2_error("AssociateVpcCidrBlock", &give), "CidrLimitExceeded");
    let block: ipnet::Ipv6Net = first(&xml, "ipv6CidrBlock").parse().unwrap();
    assert_eq!((block.prefix_len(), block.trunc()), (56, block));
    let part = ipnet::Ipv6Net::new(block.network(), 64).unwrap().to_string();
    let associate = |subnet, cidr| kit.ec2("AssociateSubnetCidrBlock", &[("SubnetId", subnet), ("Ipv6CidrBlock", cidr)]);
    assert_eq!(associate(subnet, "2001:db8::/64").unwrap_err().code, "InvalidSubnet.Range");
    let association = first(&associate(subnet, &part).unwrap(), "associationId");
    assert_eq!(associate(kit.subnet("nodes-b"), &part).unwrap_err().code, "InvalidSubnet.Conflict");
    let by_block = [("Filter.1.Name", "ipv6-cidr-block-association.ipv6-cidr-block"), ("Filter.1.Value.1", part.as_str())];
    assert_eq!(all(&kit.ec2("DescribeSubnets", &by_block).unwrap(), "subnetId"), [subnet]);
    let of_vpc = first(&xml, "associationId");
    assert_eq!(kit.ec2_error("DisassociateVpcCidrBlock", &[("AssociationId", &of_vpc)]), "InvalidCidrBlock.InUse");
    kit.ec2("DisassociateSubnetCidrBlock", &[("AssociationId", &association)]).unwrap();
    kit.ec2("DisassociateVpcCidrBlock", &[("AssociationId", &of_vpc)]).unwrap();
    assert!(all(&kit.ec2("DescribeVpcs", &[("VpcId.1", vpc)]).unwrap(), "ipv6CidrBlock").is_empty());
}

#[test]
fn a_rule_with_a_prefix_list_counts_as_many_as_the_list_may_hold() {
    let kit = Kit::instant();
    let create = |name: &str, most: &str| {
        let parameters = [
            ("PrefixListName", name),
            ("AddressFamily", "IPv4"),
            ("MaxEntries", most),
            ("Entry.1.Cidr", "10.0.0.0/8"),
            ("Entry.1.Description", "inside"),
        ];
        first(&kit.ec2("CreateManagedPrefixList", &parameters).unwrap(), "prefixListId")
    };
    let (big, small) = (create("big", "60"), create("small", "20"));
    let group = kit.security_group("front");
    let allow = |list: &str| {
        let peer = ("IpPermissions.1.PrefixListIds.1.PrefixListId", list);
        kit.ec2("AuthorizeSecurityGroupIngress", &permission(&group, "80", peer)).map_err(|error| error.code)
    };
    allow(&small).unwrap();
    assert_eq!(allow(&big).unwrap_err(), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(allow("pl-0123456789abcdef0").unwrap_err(), "InvalidPrefixListID.NotFound");
    let shown = kit.ec2("DescribeSecurityGroups", &[("GroupId.1", &group)]).unwrap();
    assert_eq!(all(&shown, "prefixListId"), [small.as_str()]);
    assert_eq!(all(&kit.ec2("GetManagedPrefixListEntries", &[("PrefixListId", &small)]).unwrap(), "cidr"), ["10.0.0.0/8"]);
    let named = [("Filter.1.Name", "prefix-list-name"), ("Filter.1.Value.1", "b*")];
    assert_eq!(all(&kit.ec2("DescribeManagedPrefixLists", &named).unwrap(), "prefixListId"), [big.as_str()]);
    assert_eq!(kit.ec2_error("DeleteManagedPrefixList", &[("PrefixListId", &small)]), "IncorrectState");
    kit.ec2("DeleteManagedPrefixList", &[("PrefixListId", &big)]).unwrap();
}

#[test]
fn instances_are_launched_into_a_subnet() {
    let kit = Kit::instant();
    let run = |more: &[(&'static str, &str)]| {
        let parameters = [&[("ImageId", "ami-1"), ("SubnetId", kit.subnet("nodes-a"))][..], more].concat();
        kit.ec2("RunInstances", &parameters).map_err(|error| error.code)
    };
    let tagged = [
        ("MinCount", "1"),
        ("MaxCount", "2"),
        ("InstanceType", "t3.small"),
        ("TagSpecification.1.ResourceType", "instance"),
        ("TagSpecification.1.Tag.1.Key", "team"),
        ("TagSpecification.1.Tag.1.Value", "web"),
    ];
    let tagged = [&tagged[..], &[("ClientToken", "t")]].concat();
    let ids = all(&run(&tagged).unwrap(), "instanceId");
    assert_eq!(all(&run(&tagged).unwrap(), "instanceId"), ids, "the same token launches nothing new");
    assert_eq!(run(&tagged[1..]).unwrap_err(), "MissingParameter");
    let other = [("MinCount", "1"), ("MaxCount", "1"), ("ClientToken", "t")];
    assert_eq!(run(&other).unwrap_err(), "IdempotentParameterMismatch");
    let found = kit.ec2("DescribeInstances", &[("Filter.1.Name", "tag:team"), ("Filter.1.Value.1", "web")]).unwrap();
    assert_eq!((all(&found, "instanceType"), ids.len()), (vec!["t3.small".to_owned(); 2], 2));
    let one = [("MinCount", "1"), ("MaxCount", "1")];
    assert_eq!(run(&[one[0], one[1], ("PrivateIpAddress", "10.20.1.10")]).unwrap_err(), "InvalidIPAddress.InUse");
    assert_eq!(run(&[("MinCount", "300"), ("MaxCount", "300")]).unwrap_err(), "InsufficientFreeAddressesInSubnet");
    assert_eq!(run(&[one[0], one[1], ("SecurityGroupId.1", "sg-0")]).unwrap_err(), "InvalidGroup.NotFound");
    let default = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default"), ("VpcId", kit.seeded.vpc_id.as_str())];
    let default = first(&kit.ec2("GetSecurityGroupsForVpc", &default).unwrap(), "groupId");
    assert!(all(&found, "groupId").contains(&default));
}

#[test]
fn attributes_of_a_vpc_a_subnet_and_the_account() {
    let kit = Kit::instant();
    let vpc = kit.seeded.vpc_id.as_str();
    let value =
        |attribute| first(&kit.ec2("DescribeVpcAttribute", &[("VpcId", vpc), ("Attribute", attribute)]).unwrap(), "value");
    assert_eq!((value("enableDnsSupport"), value("enableDnsHostnames")), ("true".to_owned(), "false".to_owned()));
    kit.ec2("ModifyVpcAttribute", &[("VpcId", vpc), ("EnableDnsHostnames.Value", "true")]).unwrap();
    assert_eq!(value("enableDnsHostnames"), "true");
    let both = [("VpcId", vpc), ("EnableDnsHostnames.Value", "true"), ("EnableDnsSupport.Value", "true")];
    assert_eq!(kit.ec2_error("ModifyVpcAttribute", &both), "InvalidParameterCombination");
    let subnet = kit.subnet("nodes-a");
    kit.ec2("ModifySubnetAttribute", &[("SubnetId", subnet), ("MapPublicIpOnLaunch.Value", "true")]).unwrap();
    let filter = [("SubnetId.1", subnet), ("Filter.1.Name", "map-public-ip-on-launch"), ("Filter.1.Value.1", "true")];
    assert_eq!(all(&kit.ec2("DescribeSubnets", &filter).unwrap(), "subnetId"), [subnet]);
    let default = kit.ec2("DescribeAccountAttributes", &[("AttributeName.1", "default-vpc")]).unwrap();
    assert_eq!(all(&default, "attributeValue"), ["none"]);
}

#[test]
fn nothing_is_silently_ignored() {
    let kit = Kit::instant();
    assert_eq!(kit.ec2_error("RequestSpotInstances", &[]), "InvalidAction");
    assert_eq!(kit.ec2_error("DescribeVpcs", &[("VpcIds.1", "x")]), "UnknownParameter");
    assert_eq!(kit.ec2_error("DeleteSubnet", &[]), "MissingParameter");
    let dry = kit.ec2("DeleteVpc", &[("VpcId", &kit.seeded.vpc_id), ("DryRun", "true")]).unwrap_err();
    assert_eq!((dry.code.as_str(), dry.status), ("DryRunOperation", 412));
    assert_eq!(kit.ec2_error("DeleteVpc", &[("VpcId", &kit.seeded.vpc_id)]), "DependencyViolation");
}

#[test]
fn seeding_twice_changes_nothing() {
    let kit = Kit::instant();
    let before = kit.region.snapshot();
    let again = kit.region.seed(&crate::World::three_zones(crate::WorldOptions::default()));
    assert_eq!(again, kit.seeded);
    assert_eq!(kit.region.snapshot(), before);
    let other = crate::WorldOptions { cluster_name: "other".to_owned(), ..crate::WorldOptions::default() };
    assert_ne!(kit.region.seed(&crate::World::three_zones(other)).vpc_id, kit.seeded.vpc_id);
}
