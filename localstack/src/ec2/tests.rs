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
fn nothing_is_silently_ignored() {
    let kit = Kit::instant();
    assert_eq!(kit.ec2_error("RunInstances", &[]), "InvalidAction");
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
