"""VPCs, subnets, instances and their neighbours in EC2 (rows NET-*), and STS."""

from session import refused
from suite import check, same


def names(resources):
    return sorted(next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == "Name"), "") for resource in resources)


@check("NET-VPC", "D", "VPCs with their CIDR blocks, by id, filter and page", "EC2 API DescribeVpcs")
def vpcs(s):
    [vpc] = s.ec2.describe_vpcs(VpcIds=[s.vpc])["Vpcs"]
    same((vpc["CidrBlock"], vpc["State"], vpc["OwnerId"]), ("127.20.0.0/16", "available", s.account), "VPC")
    same([entry["CidrBlock"] for entry in vpc["CidrBlockAssociationSet"]], ["127.20.0.0/16"], "CIDR associations")
    found = s.ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["127.20.0.0/16"]}])["Vpcs"]
    same([entry["VpcId"] for entry in found], [s.vpc], "VPCs by CIDR")
    refused("InvalidVpcID.NotFound", s.ec2.describe_vpcs, VpcIds=["vpc-0123456789abcdef0"])


@check("NET-SUBNETS", "D", "subnets by tag, tag key, VPC and zone; filters combine by and, values by or", "EC2 API DescribeSubnets")
def subnets(s):
    def found(**filters):
        wanted = [{"Name": name.replace("__", ":").replace("_", "-"), "Values": values} for name, values in filters.items()]
        return names(s.ec2.describe_subnets(Filters=wanted)["Subnets"])

    public = [f"public-{s.region}{zone}" for zone in "abc"]
    internal = [f"internal-{s.region}{zone}" for zone in "abc"]
    by_role = [{"Name": "tag:kubernetes.io/role/elb", "Values": ["1", ""]}, {"Name": "vpc-id", "Values": [s.vpc]}]
    same(names(s.ec2.describe_subnets(Filters=by_role)["Subnets"]), public, "by tag")
    same(found(tag_key=["kubernetes.io/role/internal-elb"]), internal, "by tag key")
    same(found(tag__Name=["public-*b", "internal-?s-west-2a"]), [internal[0], public[1]], "by wildcards")
    same(
        found(vpc_id=[s.vpc], availability_zone=[f"{s.region}c"]), sorted(["nodes-us-west-2c", internal[2], public[2]]), "by zone"
    )
    same(found(vpc_id=["vpc-0123456789abcdef0"]), [], "by an unknown VPC")
    same(found(tag__name=["public-*"]), [], "tag keys are case-sensitive")


@check("NET-SUBNET-SHAPE", "D", "a subnet shows its CIDR, zone, zone id and free addresses", "EC2 API DescribeSubnets")
def subnet_shape(s):
    subnet = s.subnets("public")[0]
    same((subnet["CidrBlock"], subnet["AvailabilityZone"], subnet["VpcId"]), ("127.20.10.0/24", f"{s.region}a", s.vpc), "subnet")
    same((subnet["AvailableIpAddressCount"], subnet["State"]), (251, "available"), "free addresses and state")
    assert subnet["AvailabilityZoneId"].startswith("usw2-az"), subnet["AvailabilityZoneId"]
    same(subnet["SubnetArn"], f"arn:aws:ec2:{s.region}:{s.account}:subnet/{subnet['SubnetId']}", "ARN")


@check("NET-404", "D", "unknown ids are an error of their kind", "EC2 API, error codes")
def unknown(s):
    for code, call, parameter, value in (
        ("InvalidSubnetID.NotFound", s.ec2.describe_subnets, "SubnetIds", "subnet-0123456789abcdef0"),
        ("InvalidInstanceID.NotFound", s.ec2.describe_instances, "InstanceIds", "i-0123456789abcdef0"),
        ("InvalidGroup.NotFound", s.ec2.describe_security_groups, "GroupIds", "sg-0123456789abcdef0"),
        ("InvalidRouteTableID.NotFound", s.ec2.describe_route_tables, "RouteTableIds", "rtb-0123456789abcdef0"),
        ("InvalidInternetGatewayID.NotFound", s.ec2.describe_internet_gateways, "InternetGatewayIds", "igw-0123456789abcdef0"),
        ("InvalidNetworkInterfaceID.NotFound", s.ec2.describe_network_interfaces, "NetworkInterfaceIds", "eni-0123456789abcdef0"),
    ):
        refused(code, call, **{parameter: [value]})


@check("NET-FILTER-UNKNOWN", "D", "a filter that does not exist is InvalidParameterValue, not ignored", "EC2 API, error codes")
def unknown_filter(s):
    for call in (
        s.ec2.describe_vpcs,
        s.ec2.describe_subnets,
        s.ec2.describe_instances,
        s.ec2.describe_security_groups,
        s.ec2.describe_route_tables,
        s.ec2.describe_internet_gateways,
        s.ec2.describe_network_interfaces,
        s.ec2.describe_security_group_rules,
        s.ec2.describe_availability_zones,
        s.ec2.describe_tags,
    ):
        error = refused("InvalidParameterValue", call, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])
        assert "no-such-filter" in error["Message"], error["Message"]


@check(
    "NET-INSTANCES",
    "D",
    "instances with zone, address, security groups and interface, by id, VPC, state and address",
    "EC2 API DescribeInstances",
)
def instances(s):
    found = s.instances()
    same([instance["PrivateIpAddress"] for instance in found], ["127.20.1.10", "127.20.2.10", "127.20.3.10"], "addresses")
    first = found[0]
    same((first["State"]["Name"], first["State"]["Code"], first["VpcId"]), ("running", 16, s.vpc), "state and VPC")
    same(first["Placement"]["AvailabilityZone"], f"{s.region}a", "zone")
    [interface] = first["NetworkInterfaces"]
    same(interface["PrivateIpAddress"], first["PrivateIpAddress"], "address of the interface")
    same(interface["Groups"], first["SecurityGroups"], "groups of the interface")
    for name, value in (
        ("instance-state-name", "running"),
        ("private-ip-address", first["PrivateIpAddress"]),
        ("vpc-id", s.vpc),
        ("instance-id", "i-*"),
    ):
        answer = s.ec2.describe_instances(InstanceIds=[first["InstanceId"]], Filters=[{"Name": name, "Values": [value]}])
        assert answer["Reservations"], f"not found by {name}"
    same(
        s.ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["stopped"]}])["Reservations"], [], "stopped"
    )


@check("NET-INTERFACES", "D", "interfaces by instance, address, group, subnet and attachment", "EC2 API DescribeNetworkInterfaces")
def interfaces(s):
    first = s.instances()[0]
    [interface] = first["NetworkInterfaces"]
    for name, value in (
        ("attachment.instance-id", first["InstanceId"]),
        ("addresses.private-ip-address", first["PrivateIpAddress"]),
        ("network-interface-id", interface["NetworkInterfaceId"]),
    ):
        found = s.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])["NetworkInterfaces"]
        same([entry["NetworkInterfaceId"] for entry in found], [interface["NetworkInterfaceId"]], name)
    [found] = s.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface["NetworkInterfaceId"]])["NetworkInterfaces"]
    same((found["Status"], found["RequesterManaged"], found["VpcId"]), ("in-use", False, s.vpc), "interface")
    same(found["Attachment"]["InstanceId"], first["InstanceId"], "attachment")


@check(
    "NET-ROUTES",
    "D",
    "a public subnet's route table has a route to the internet gateway; the main table is marked",
    "EC2 API DescribeRouteTables",
)
def routes(s):
    [gateway] = s.ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [s.vpc]}])["InternetGateways"]
    same([entry["VpcId"] for entry in gateway["Attachments"]], [s.vpc], "attachments")
    for subnet in s.subnet_ids("public", 3):
        [table] = s.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
        targets = {route.get("DestinationCidrBlock"): route.get("GatewayId") for route in table["Routes"]}
        same(targets, {"127.20.0.0/16": "local", "0.0.0.0/0": gateway["InternetGatewayId"]}, "routes")
    filters = [{"Name": "association.main", "Values": ["true"]}, {"Name": "vpc-id", "Values": [s.vpc]}]
    [main] = s.ec2.describe_route_tables(Filters=filters)["RouteTables"]
    assert any(association["Main"] for association in main["Associations"]), main["Associations"]


@check("NET-ZONES", "D", "availability zones with their ids", "EC2 API DescribeAvailabilityZones")
def zones(s):
    found = s.ec2.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])[
        "AvailabilityZones"
    ]
    assert {f"{s.region}{zone}" for zone in "abc"} <= {zone["ZoneName"] for zone in found}, found
    for zone in found:
        same((zone["State"], zone["RegionName"]), ("available", s.region), "zone")


@check("NET-PAGE", "D", "listings come in pages with MaxResults and NextToken", "EC2 API DescribeSubnets")
def pages(s):
    pages = list(s.ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5}))
    seen = [subnet["SubnetId"] for page in pages for subnet in page["Subnets"]]
    everything = [subnet["SubnetId"] for subnet in s.ec2.describe_subnets()["Subnets"]]
    same((len(pages), sorted(seen)), (-(-len(everything) // 5), sorted(everything)), "pages and subnets")
    refused(
        "InvalidNextToken|InvalidPaginationToken|InvalidParameterValue",
        s.ec2.describe_subnets,
        NextToken="none of yours",
        MaxResults=5,
    )


@check(
    "NET-TAGS",
    "D",
    "EC2 tags are made, listed, replaced and deleted; a value narrows a deletion",
    "EC2 API CreateTags, DeleteTags",
)
def tags(s):
    subnets = s.subnet_ids("nodes")
    s.ec2.create_tags(Resources=subnets, Tags=[{"Key": "team", "Value": "one"}, {"Key": "odd <&é", "Value": ""}])

    def of(subnet):
        found = s.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [subnet]}])["Tags"]
        assert all(tag["ResourceType"] == "subnet" for tag in found), found
        return {tag["Key"]: tag["Value"] for tag in found if tag["Key"] != "Name"}

    same([of(subnet) for subnet in subnets], [{"team": "one", "odd <&é": ""}] * 2, "tags")
    s.ec2.create_tags(Resources=subnets[:1], Tags=[{"Key": "team", "Value": "two"}])
    s.ec2.delete_tags(Resources=subnets, Tags=[{"Key": "team", "Value": "one"}, {"Key": "odd <&é"}])
    same([of(subnet) for subnet in subnets], [{"team": "two"}, {}], "tags")
    refused(
        "InvalidSubnetID.NotFound", s.ec2.create_tags, Resources=["subnet-0123456789abcdef0"], Tags=[{"Key": "a", "Value": "b"}]
    )


@check("STS-IDENTITY", "D", "the caller is told its account and ARN", "STS API GetCallerIdentity")
def identity(s):
    got = s.sts.get_caller_identity()
    same(got["Account"], s.account, "account")
    assert got["Arn"].startswith("arn:aws:") and s.account in got["Arn"], got["Arn"]
    assert got["UserId"]


@check("LIMITS", "D", "account limits name the quotas of network load balancers", "ELBv2 API DescribeAccountLimits")
def limits(s):
    got = {limit["Name"]: limit["Max"] for limit in s.elbv2.describe_account_limits()["Limits"]}
    wanted = {
        "network-load-balancers": "50",
        "listeners-per-network-load-balancer": "50",
        "targets-per-target-group": "1000",
        "targets-per-network-load-balancer": "3000",
        "targets-per-availability-zone-per-network-load-balancer": "500",
        "target-groups": "3000",
    }
    same({name: got.get(name) for name in wanted}, wanted, "limits")
