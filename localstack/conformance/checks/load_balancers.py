"""Load balancers: names, identity, states, placement (rows LB-*)."""

import re

from session import refused
from suite import check, same


@check("LB-ARN", "D", "a network load balancer's ARN is loadbalancer/net/<name>/<16 hex>", "ELBv2 API LoadBalancer")
def arn(s):
    balancer = s.nlb(Name="web")
    pattern = rf"arn:aws:elasticloadbalancing:{s.region}:{s.account}:loadbalancer/net/web/[0-9a-f]{{16}}"
    assert re.fullmatch(pattern, balancer["LoadBalancerArn"]), balancer["LoadBalancerArn"]
    same(balancer["Type"], "network", "type")


@check("LB-DNS", "O", "the DNS name is <name>-<the ARN's 16 hex>.elb.<region>.amazonaws.com", "capa#5033")
def dns(s):
    balancer = s.nlb(Name="web")
    identifier = balancer["LoadBalancerArn"].rpartition("/")[2]
    same(balancer["DNSName"], f"web-{identifier}.elb.{s.region}.amazonaws.com", "DNS name")


@check(
    "LB-DNS-RECREATED",
    "D",
    "a load balancer made anew under the same name gets another DNS name (F5)",
    "NLB guide, load balancer state; reference F5",
)
def dns_recreated(s):
    first = s.nlb(Name="web")
    s.elbv2.delete_load_balancer(LoadBalancerArn=first["LoadBalancerArn"])
    assert s.nlb(Name="web")["DNSName"] != first["DNSName"]


@check("LB-ZONE", "D", "the canonical hosted zone is that of network load balancers in us-west-2", "ELBv2 API LoadBalancer")
def zone(s):
    same(s.nlb()["CanonicalHostedZoneId"], "Z18D5FSROUN65G", "hosted zone")


@check("LB-STATE-1ST-DESCRIBE", "D", "provisioning takes time, and looking does not shorten it", "ELBv2 API LoadBalancer")
def provisioning(s):
    with s.durations(provisioning=120):
        balancer = s.nlb()
        same(balancer["State"]["Code"], "provisioning", "state after create")
        other = s.nlb()
        for _ in range(2):
            same(s.describe_nlb(balancer)["State"]["Code"], "provisioning", "state when looked at")
        s.advance(60)
        same(s.describe_nlb(other)["State"]["Code"], "provisioning", "state after 60 s")
        s.advance(60)
        same(s.describe_nlb(balancer)["State"]["Code"], "active", "state after 120 s")


@check(
    "LB-IDEMPOTENT",
    "D",
    "a second create with the same settings returns the same load balancer",
    "ELBv2 API CreateLoadBalancer",
)
def idempotent(s):
    settings = {"Name": "web", "Subnets": s.subnet_ids("internal"), "Tags": [{"Key": "a", "Value": "b"}]}
    first, second = s.nlb(**settings), s.nlb(**{**settings, "Subnets": settings["Subnets"][::-1]})
    same(second["LoadBalancerArn"], first["LoadBalancerArn"], "ARN")
    same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), 1, "load balancers")


@check(
    "LB-DUPNAME",
    "O",
    "a second create with other settings is DuplicateLoadBalancerName",
    "lbc#3027, terraform-provider-aws#32942",
)
def duplicate_name(s):
    base = {"Name": "web", "Type": "network", "Scheme": "internal", "Subnets": s.subnet_ids("internal")}
    s.elbv2.create_load_balancer(**base)
    for change in (
        {"Scheme": "internet-facing", "Subnets": s.subnet_ids("public")},
        {"Subnets": s.subnet_ids("internal", 1)},
        {"SecurityGroups": [s.security_group()]},
    ):
        error = refused("DuplicateLoadBalancerName", s.elbv2.create_load_balancer, **{**base, **change})
        assert "different settings" in error["Message"], error["Message"]


def bad_name(s, name):
    refused(
        "ValidationError",
        s.elbv2.create_load_balancer,
        Name=name,
        Type="network",
        Scheme="internal",
        Subnets=s.subnet_ids("internal"),
    )


@check("LB-NAME-LONG", "D", "a name has at most 32 characters", "ELBv2 API CreateLoadBalancer")
def name_long(s):
    s.nlb(Name="x" * 32)
    bad_name(s, "x" * 33)


@check("LB-NAME-HYPHEN", "D", "a name neither begins nor ends with a hyphen", "ELBv2 API CreateLoadBalancer")
def name_hyphen(s):
    bad_name(s, "-web")
    bad_name(s, "web-")


@check("LB-NAME-INTERNAL", "D", "a name does not begin with internal-", "ELBv2 API CreateLoadBalancer")
def name_internal(s):
    bad_name(s, "internal-web")
    s.nlb(Name="internals")


@check("LB-NAME-CHARS", "D", "a name holds letters, digits and hyphens only", "ELBv2 API CreateLoadBalancer")
def name_characters(s):
    for name in ("we_b", "we.b", "wé", "we b"):
        bad_name(s, name)


@check(
    "LB-TYPE",
    "D",
    "only network load balancers are offered here, and the others are refused, not faked",
    "ELBv2 API CreateLoadBalancer",
)
def type_refused(s):
    for kind in ("application", "gateway"):
        refused("ValidationError", s.elbv2.create_load_balancer, Name="web", Type=kind, Subnets=s.subnet_ids("public"))


@check("LB-SCHEME", "D", "without a scheme a load balancer is internet-facing", "ELBv2 API CreateLoadBalancer")
def scheme(s):
    [made] = s.elbv2.create_load_balancer(Name="web", Type="network", Subnets=s.subnet_ids("public"))["LoadBalancers"]
    same((made["Scheme"], made["IpAddressType"]), ("internet-facing", "ipv4"), "scheme and address type")


@check("LB-PRIVIP", "D", "a chosen private address is used and shown", "ELBv2 API SubnetMapping")
def private_address(s):
    subnet = s.subnets("internal")[0]
    address = subnet["CidrBlock"].rpartition(".")[0] + ".77"
    balancer = s.nlb(SubnetMappings=[{"SubnetId": subnet["SubnetId"], "PrivateIPv4Address": address}])
    [zone] = s.describe_nlb(balancer)["AvailabilityZones"]
    same((zone["SubnetId"], zone["ZoneName"]), (subnet["SubnetId"], subnet["AvailabilityZone"]), "zone")
    same(zone["LoadBalancerAddresses"], [{"PrivateIPv4Address": address}], "addresses")
    same([interface["PrivateIpAddress"] for interface in s.interfaces(balancer)], [address], "interface")


@check("LB-PRIVIP-OUTSIDE", "D", "a private address outside of its subnet is refused", "ELBv2 API SubnetMapping")
def private_address_outside(s):
    mapping = {"SubnetId": s.subnet_ids("internal")[0], "PrivateIPv4Address": "192.0.2.1"}
    refused(
        "InvalidConfigurationRequest|InvalidSubnet|ValidationError",
        s.elbv2.create_load_balancer,
        Name="web",
        Type="network",
        Scheme="internal",
        SubnetMappings=[mapping],
    )


@check(
    "LB-ENI",
    "D",
    "each subnet has one requester-managed interface ELB net/<name>/<id> with the security groups",
    "NLB guide, availability zones; iasql#654",
)
def interfaces(s):
    group = s.security_group()
    subnets = s.subnet_ids("internal", 3)
    before = {subnet["SubnetId"]: subnet["AvailableIpAddressCount"] for subnet in s.subnets("internal")}
    balancer = s.nlb(Subnets=subnets, SecurityGroups=[group])
    found = s.interfaces(balancer)
    same(sorted(interface["SubnetId"] for interface in found), sorted(subnets), "subnets of the interfaces")
    for interface in found:
        same(interface["RequesterManaged"], True, "requester-managed")
        same([group["GroupId"] for group in interface["Groups"]], [group], "groups")
        same(interface["Status"], "in-use", "status")
    after = {subnet["SubnetId"]: subnet["AvailableIpAddressCount"] for subnet in s.subnets("internal")}
    same(after, {subnet: count - 1 for subnet, count in before.items()}, "free addresses")


def create_refused(s, codes, **settings):
    return refused(codes, s.elbv2.create_load_balancer, **{"Name": "web", "Type": "network", "Scheme": "internal", **settings})


@check("LB-SUBNET-404", "D", "an unknown subnet is SubnetNotFound", "ELBv2 API CreateLoadBalancer")
def subnet_unknown(s):
    create_refused(s, "SubnetNotFound|InvalidSubnet", Subnets=["subnet-0123456789abcdef0"])
    create_refused(s, "ValidationError|InvalidConfigurationRequest|InvalidSubnet", Subnets=[])


@check("LB-2SUBNET-1AZ", "D", "two subnets of one zone are refused", "ELBv2 API CreateLoadBalancer")
def one_zone_twice(s):
    create_refused(
        s, "InvalidConfigurationRequest|InvalidSubnet", Subnets=[s.subnet_ids("internal")[0], s.subnet_ids("nodes")[0]]
    )


@check("LB-2VPC", "D", "subnets of two VPCs are refused", "ELBv2 API CreateLoadBalancer")
def two_vpcs(s):
    create_refused(s, "InvalidConfigurationRequest|InvalidSubnet", Subnets=[s.subnet_ids("internal")[1], s.other_vpc()[1]])


@check("LB-SG-404", "D", "an unknown security group is InvalidSecurityGroup", "ELBv2 API CreateLoadBalancer")
def group_unknown(s):
    create_refused(s, "InvalidSecurityGroup", Subnets=s.subnet_ids("internal"), SecurityGroups=["sg-0123456789abcdef0"])


@check("LB-SG-OTHERVPC", "D", "a security group of another VPC is refused", "ELBv2 API CreateLoadBalancer")
def group_of_other_vpc(s):
    group = s.security_group(VpcId=s.other_vpc()[0])
    create_refused(
        s, "InvalidConfigurationRequest|InvalidSecurityGroup", Subnets=s.subnet_ids("internal"), SecurityGroups=[group]
    )


@check(
    "LB-NO-IGW",
    "U",
    "internet-facing in a VPC without an internet gateway is InvalidSubnet",
    "widely reported, AWS documents no code",
)
def no_gateway(s):
    create_refused(s, "InvalidSubnet", Scheme="internet-facing", Subnets=[s.other_vpc()[1]])


@check("LB-DUALSTACK-NOV6", "D", "dualstack needs subnets with IPv6 addresses", "ELBv2 API CreateLoadBalancer")
def dualstack(s):
    create_refused(
        s,
        "InvalidConfigurationRequest|InvalidSubnet|ValidationError",
        Subnets=s.subnet_ids("internal"),
        IpAddressType="dualstack",
    )


@check("LB-DUPTAG", "D", "one tag key twice is DuplicateTagKeys", "ELBv2 API CreateLoadBalancer, errors")
def duplicate_tag(s):
    tags = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    create_refused(s, "DuplicateTagKeys", Subnets=s.subnet_ids("internal"), Tags=tags)


@check("LB-51TAGS", "D", "more than 50 tags are TooManyTags", "ELBv2 API CreateLoadBalancer, errors")
def many_tags(s):
    tags = [{"Key": f"key-{index}", "Value": ""} for index in range(51)]
    create_refused(s, "TooManyTags", Subnets=s.subnet_ids("internal"), Tags=tags)
    s.nlb(Tags=tags[:50])


@check("LB-REFUSED-NOTHING", "D", "a refused create leaves nothing behind", "ELBv2 API CreateLoadBalancer")
def refused_leaves_nothing(s):
    before = s.subnets("internal")
    create_refused(s, "InvalidSecurityGroup", Subnets=s.subnet_ids("internal"), SecurityGroups=["sg-0123456789abcdef0"])
    same(s.elbv2.describe_load_balancers()["LoadBalancers"], [], "load balancers")
    same(s.subnets("internal"), before, "subnets")


@check("LB-DESC-1OF2", "O", "describe by ARN fails whole when one is missing", "lbc#457; reference F17")
def describe_one_missing(s):
    balancer = s.nlb()["LoadBalancerArn"]
    gone = balancer[:-16] + "0" * 16
    for arns in ([balancer, gone], [gone, balancer]):
        refused("LoadBalancerNotFound", s.elbv2.describe_load_balancers, LoadBalancerArns=arns)


@check("LB-DESC-NAMES-1OF2", "O", "describe by name fails whole when one is missing", "lbc#457; reference F17")
def describe_name_missing(s):
    s.nlb(Name="web")
    refused("LoadBalancerNotFound", s.elbv2.describe_load_balancers, Names=["web", "gone"])
    same(len(s.elbv2.describe_load_balancers(Names=["web"])["LoadBalancers"]), 1, "load balancers called web")


@check("LB-DESC-21ARNS", "D", "at most 20 ARNs in one describe", "ELBv2 API DescribeLoadBalancers")
def describe_many(s):
    arns = [s.nlb()["LoadBalancerArn"] for _ in range(21)]
    same(len(s.elbv2.describe_load_balancers(LoadBalancerArns=arns[:20])["LoadBalancers"]), 20, "load balancers")
    refused("ValidationError", s.elbv2.describe_load_balancers, LoadBalancerArns=arns)


@check(
    "LB-PAGE",
    "D",
    "pages hold PageSize items, cover everything once, and the last has no marker",
    "ELBv2 API DescribeLoadBalancers",
)
def pages(s):
    made = {s.nlb()["LoadBalancerArn"] for _ in range(5)}
    sizes, seen = [], []
    for page in s.elbv2.get_paginator("describe_load_balancers").paginate(PaginationConfig={"PageSize": 2}):
        sizes.append(len(page["LoadBalancers"]))
        seen += [balancer["LoadBalancerArn"] for balancer in page["LoadBalancers"]]
    same(sizes, [2, 2, 1], "page sizes")
    same((len(seen), set(seen)), (5, made), "load balancers")
    for size in (0, 401):
        refused("ValidationError", s.elbv2.describe_load_balancers, PageSize=size)
    refused("ValidationError", s.elbv2.describe_load_balancers, Marker="no marker of yours")


@check(
    "LB-PAGE-DELETED-MARKER",
    "U",
    "a marker is opaque and survives the deletion of what it points behind",
    "our reading: a marker is documented as opaque only",
)
def page_marker(s):
    made = sorted(s.nlb()["LoadBalancerArn"] for _ in range(4))
    first = s.elbv2.describe_load_balancers(PageSize=2)
    shown = [balancer["LoadBalancerArn"] for balancer in first["LoadBalancers"]]
    for arn in shown:
        s.elbv2.delete_load_balancer(LoadBalancerArn=arn)
        assert arn not in first["NextMarker"] and arn.split("/")[-2] not in first["NextMarker"], first["NextMarker"]
    second = s.elbv2.describe_load_balancers(PageSize=2, Marker=first["NextMarker"])
    same(sorted(shown + [balancer["LoadBalancerArn"] for balancer in second["LoadBalancers"]]), made, "both pages")


@check("LB-LIMIT", "D", "the 51st network load balancer of a region is TooManyLoadBalancers", "NLB guide, quotas")
def limit(s):
    subnets = s.subnet_ids("internal", 1)
    for _ in range(50):
        s.nlb(Subnets=subnets)
    create_refused(s, "TooManyLoadBalancers", Subnets=subnets)
