"""Networks made by calls: gateways, routes, IPv6 blocks, prefix lists, instances, attributes (rows NET-*, PL-*)."""

from session import eventually, refused
from suite import check, same


@check("NET-MAKE-PUBLIC", "D", "a VPC with a public subnet, made and unmade call by call", "EC2 API CreateRoute")
def public(s):
    vpc = s.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = s.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    gateway = s.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    s.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    refused("Resource.AlreadyAssociated", s.ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=vpc)
    table = s.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    s.ec2.create_route(GatewayId=gateway, **route)
    refused("RouteAlreadyExists", s.ec2.create_route, GatewayId=gateway, **route)
    association = s.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    [shown] = s.ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
    assert gateway in [entry["GatewayId"] for entry in shown["Routes"]], shown["Routes"]
    s.elbv2.create_load_balancer(Name=s.name(), Type="network", Subnets=[subnet])
    for balancer in s.elbv2.describe_load_balancers()["LoadBalancers"]:
        s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    refused("DependencyViolation", s.ec2.delete_route_table, RouteTableId=table)
    refused("DependencyViolation", s.ec2.delete_internet_gateway, InternetGatewayId=gateway)
    s.ec2.disassociate_route_table(AssociationId=association)
    s.ec2.delete_route(**route)
    s.ec2.delete_route_table(RouteTableId=table)
    s.ec2.delete_subnet(SubnetId=subnet)
    s.ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    s.ec2.delete_internet_gateway(InternetGatewayId=gateway)
    s.ec2.delete_vpc(VpcId=vpc)


@check("NET-IPV6", "D", "a VPC gets a /56, its subnets get /64s of it", "EC2 API AssociateVpcCidrBlock")
def ipv6(s):
    given = s.ec2.associate_vpc_cidr_block(VpcId=s.vpc, AmazonProvidedIpv6CidrBlock=True)["Ipv6CidrBlockAssociation"]
    block = given["Ipv6CidrBlock"]
    assert block.endswith("/56"), block
    subnet = s.subnet_ids("nodes")[0]
    part = block.replace("/56", "/64")
    made = s.ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=part)["Ipv6CidrBlockAssociation"]
    [shown] = s.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    same([entry["Ipv6CidrBlock"] for entry in shown["Ipv6CidrBlockAssociationSet"]], [part], "blocks of the subnet")
    other = s.subnet_ids("nodes")[1]
    refused("InvalidSubnet.Conflict", s.ec2.associate_subnet_cidr_block, SubnetId=other, Ipv6CidrBlock=part)
    refused("InvalidSubnet.Range", s.ec2.associate_subnet_cidr_block, SubnetId=other, Ipv6CidrBlock="2001:db8::/64")
    s.ec2.disassociate_subnet_cidr_block(AssociationId=made["AssociationId"])
    s.ec2.disassociate_vpc_cidr_block(AssociationId=given["AssociationId"])


@check("PL-RULES", "D", "a rule with a prefix list counts as many rules as the list may have entries", "VPC guide, prefix lists")
def prefix_lists(s):
    def create(name, most):
        entries = [{"Cidr": "10.0.0.0/8", "Description": "inside"}]
        made = s.ec2.create_managed_prefix_list(PrefixListName=name, AddressFamily="IPv4", MaxEntries=most, Entries=entries)
        return made["PrefixList"]["PrefixListId"]

    def allow(prefix_list):
        return {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "PrefixListIds": [{"PrefixListId": prefix_list}]}

    big, small, group = create("big", 60), create("small", 20), s.security_group()
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[allow(small)])
    call = s.ec2.authorize_security_group_ingress
    refused("RulesPerSecurityGroupLimitExceeded", call, GroupId=group, IpPermissions=[allow(big)])
    refused("InvalidPrefixListID.NotFound", call, GroupId=group, IpPermissions=[allow("pl-0123456789abcdef0")])
    [shown] = s.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    same(shown["IpPermissions"][0]["PrefixListIds"], [{"PrefixListId": small}], "peers")
    entries = s.ec2.get_managed_prefix_list_entries(PrefixListId=small)["Entries"]
    same(entries, [{"Cidr": "10.0.0.0/8", "Description": "inside"}], "entries")
    [found] = s.ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": ["big"]}])["PrefixLists"]
    same((found["PrefixListId"], found["MaxEntries"]), (big, 60), "list")
    refused("IncorrectState", s.ec2.delete_managed_prefix_list, PrefixListId=small)
    s.ec2.delete_managed_prefix_list(PrefixListId=big)


@check("NET-RUN", "D", "instances are launched into a subnet, pending at first, and terminated; answers show the state on the way", "EC2 API RunInstances")
def run(s):
    subnet = s.subnets("nodes")[0]
    made = s.ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=2, MaxCount=2, SubnetId=subnet["SubnetId"])["Instances"]
    same([instance["State"]["Name"] for instance in made], ["pending"] * 2, "states")
    ids = [instance["InstanceId"] for instance in made]

    def states():
        reservations = s.ec2.describe_instances(InstanceIds=ids)["Reservations"]
        return [instance["State"]["Name"] for reservation in reservations for instance in reservation["Instances"]]

    eventually(lambda: states() == ["running"] * 2, states)
    free = s.subnets("nodes")[0]["AvailableIpAddressCount"]
    same(free, subnet["AvailableIpAddressCount"] - 2, "free addresses")
    [one, two] = s.ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    same((one["PreviousState"]["Name"], two["CurrentState"]["Name"]), ("running", "shutting-down"), "states")
    same(s.subnets("nodes")[0]["AvailableIpAddressCount"], subnet["AvailableIpAddressCount"], "free addresses")


@check("NET-ATTRIBUTES", "D", "attributes of VPCs, subnets and the account", "EC2 API DescribeVpcAttribute")
def attributes(s):
    s.ec2.modify_vpc_attribute(VpcId=s.vpc, EnableDnsHostnames={"Value": True})
    got = s.ec2.describe_vpc_attribute(VpcId=s.vpc, Attribute="enableDnsHostnames")
    same(got["EnableDnsHostnames"], {"Value": True}, "attribute")
    subnet = s.subnet_ids("nodes")[0]
    s.ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    [shown] = s.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    same(shown["MapPublicIpOnLaunch"], True, "attribute")
    found = s.ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    same([value["AttributeValue"] for entry in found for value in entry["AttributeValues"]], ["none"], "default VPC")


@check("NET-GROUPS-FOR-VPC", "D", "the security groups that a VPC's interfaces may have", "EC2 API GetSecurityGroupsForVpc")
def groups(s):
    group = s.security_group(GroupName="front")
    call = s.ec2.get_security_groups_for_vpc
    [found] = call(VpcId=s.vpc, Filters=[{"Name": "group-name", "Values": ["front"]}])["SecurityGroupForVpcs"]
    same((found["GroupId"], found["PrimaryVpcId"]), (group, s.vpc), "group")
    refused("InvalidVpcID.NotFound", call, VpcId="vpc-0123456789abcdef0")


@check("SRV-SNAPSHOT", "-", "the whole state is one document; put back, it shows what it showed", "this emulator")
def snapshot(s):
    balancer = s.nlb()
    before = s.ec2.describe_network_interfaces()["NetworkInterfaces"]
    saved = s.server.admin("GET", "/_landfall/snapshot")
    s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    s.server.admin("PUT", "/_landfall/snapshot", saved)
    same(s.describe_nlb(balancer)["LoadBalancerArn"], balancer["LoadBalancerArn"], "load balancer")
    same(s.ec2.describe_network_interfaces()["NetworkInterfaces"], before, "interfaces")


@check("SRV-UNSUPPORTED", "-", "what is asked for and not there is counted, and shown by the health endpoint", "this emulator")
def unsupported(s):
    def counts():
        told = s.server.admin("GET", "/_localstack/health")["landfall"]["unsupported"]
        return tuple(told.get(key, 0) for key in ("ec2:DescribeUnicorns", "ec2:DescribeVpcs Unicorn"))

    actions, parameters = counts()
    s.raw("ec2", "2016-11-15", Action="DescribeUnicorns")
    s.raw("ec2", "2016-11-15", Action="DescribeVpcs", Unicorn="1")
    same(counts(), (actions + 1, parameters + 1), "counts")
