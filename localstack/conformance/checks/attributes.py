"""Attributes and the Set* operations of load balancers (rows LBA-*, SETSG-*, SETSUBNETS-*)."""

from session import refused
from suite import check, same


def attributes(s, balancer):
    answer = s.elbv2.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])
    return {entry["Key"]: entry["Value"] for entry in answer["Attributes"]}


def modify(s, balancer, **values):
    s.elbv2.modify_load_balancer_attributes(**modification(balancer, values))


def modification(balancer, values):
    entries = [{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()]
    return {"LoadBalancerArn": balancer["LoadBalancerArn"], "Attributes": entries}


@check(
    "LBA-DEFAULTS",
    "D",
    "a new network load balancer has exactly its own type's attributes, with AWS's defaults",
    "ELBv2 API LoadBalancerAttribute",
)
def defaults(s):
    got = attributes(s, s.nlb(Scheme="internet-facing", Subnets=s.subnet_ids("public")))
    wanted = {
        "access_logs.s3.enabled": "false",
        "access_logs.s3.bucket": "",
        "access_logs.s3.prefix": "",
        "deletion_protection.enabled": "false",
        "dns_record.client_routing_policy": "any_availability_zone",
        "ipv6.deny_all_igw_traffic": "false",
        "load_balancing.cross_zone.enabled": "false",
        "secondary_ips.auto_assigned.per_subnet": "0",
        "zonal_shift.config.enabled": "false",
    }
    same({key: got.get(key) for key in wanted}, wanted, "defaults")
    same(attributes(s, s.nlb())["ipv6.deny_all_igw_traffic"], "true", "ipv6.deny_all_igw_traffic of an internal one")
    foreign = [key for key in got if key.startswith(("routing.", "idle_timeout", "waf.", "client_keep_alive", "connection_logs"))]
    same(foreign, [], "attributes of application load balancers")


@check("LBA-MODIFY", "D", "a modified attribute is returned and kept, the others stay", "ELBv2 API ModifyLoadBalancerAttributes")
def modify_one(s):
    balancer = s.nlb()
    before = attributes(s, balancer)
    modify(s, balancer, load_balancing__cross_zone__enabled="true")
    same(attributes(s, balancer), {**before, "load_balancing.cross_zone.enabled": "true"}, "attributes")


@check("LBA-ALBKEY", "O", "an attribute of another type is refused, and names the type", "error text shown in issues")
def foreign_key(s):
    balancer = s.nlb()
    values = {"idle_timeout__timeout_seconds": "60"}
    error = refused(
        "InvalidConfigurationRequest|ValidationError", s.elbv2.modify_load_balancer_attributes, **modification(balancer, values)
    )
    assert "idle_timeout.timeout_seconds" in error["Message"], error["Message"]
    values = {"load_balancing__cross_zone__enabled": "true", "no__such__key": "1"}
    refused(
        "InvalidConfigurationRequest|ValidationError", s.elbv2.modify_load_balancer_attributes, **modification(balancer, values)
    )
    same(attributes(s, balancer)["load_balancing.cross_zone.enabled"], "false", "attribute of a refused call")


@check("LBA-BADVALUE", "D", "values are validated", "ELBv2 API LoadBalancerAttribute")
def bad_value(s):
    balancer = s.nlb()
    for values in ({"deletion_protection__enabled": "banana"}, {"dns_record__client_routing_policy": "nearest"}):
        refused(
            "InvalidConfigurationRequest|ValidationError",
            s.elbv2.modify_load_balancer_attributes,
            **modification(balancer, values)
        )


@check("LBA-404", "D", "attributes of an unknown load balancer are LoadBalancerNotFound", "ELBv2 API ModifyLoadBalancerAttributes")
def unknown(s):
    gone = s.nlb()["LoadBalancerArn"][:-16] + "0" * 16
    refused("LoadBalancerNotFound", s.elbv2.describe_load_balancer_attributes, LoadBalancerArn=gone)
    refused(
        "LoadBalancerNotFound",
        s.elbv2.modify_load_balancer_attributes,
        **modification({"LoadBalancerArn": gone}, {}) | {"Attributes": [{"Key": "deletion_protection.enabled", "Value": "true"}]}
    )


@check(
    "SETSG-NOSG-NLB",
    "D",
    "created without security groups it never gets one; created with, it cannot lose all",
    "ELBv2 API SetSecurityGroups",
)
def no_groups(s):
    group, bare = s.security_group(), s.nlb()
    refused(
        "InvalidConfigurationRequest",
        s.elbv2.set_security_groups,
        LoadBalancerArn=bare["LoadBalancerArn"],
        SecurityGroups=[group],
    )
    armed = s.nlb(SecurityGroups=[group])
    refused(
        "InvalidConfigurationRequest|ValidationError",
        s.elbv2.set_security_groups,
        LoadBalancerArn=armed["LoadBalancerArn"],
        SecurityGroups=[],
    )


@check("SETSG", "D", "security groups are replaced, on the interfaces too", "ELBv2 API SetSecurityGroups")
def set_groups(s):
    first, second = s.security_group(), s.security_group()
    balancer = s.nlb(SecurityGroups=[first])
    answer = s.elbv2.set_security_groups(LoadBalancerArn=balancer["LoadBalancerArn"], SecurityGroups=[second])
    same(answer["SecurityGroupIds"], [second], "answer")
    same(s.describe_nlb(balancer)["SecurityGroups"], [second], "security groups")
    for interface in s.interfaces(balancer):
        same([group["GroupId"] for group in interface["Groups"]], [second], "groups of an interface")
    s.ec2.delete_security_group(GroupId=first)
    refused(
        "InvalidSecurityGroup",
        s.elbv2.set_security_groups,
        LoadBalancerArn=balancer["LoadBalancerArn"],
        SecurityGroups=["sg-0123456789abcdef0"],
    )


@check(
    "SETSG-ENFORCE",
    "D",
    "enforcement on PrivateLink traffic is on by default with security groups, and is kept when set",
    "ELBv2 API SetSecurityGroups",
)
def enforce(s):
    key = "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"
    group = s.security_group()
    balancer = s.nlb(SecurityGroups=[group])
    same(s.describe_nlb(balancer).get(key), "on", "default")
    s.elbv2.set_security_groups(LoadBalancerArn=balancer["LoadBalancerArn"], SecurityGroups=[group], **{key: "off"})
    same(s.describe_nlb(balancer).get(key), "off", "after it was set")
    same(s.describe_nlb(s.nlb()).get(key), None, "without security groups")


def zones_of(balancer):
    return sorted(zone["SubnetId"] for zone in balancer["AvailabilityZones"])


@check(
    "SETSUBNETS-1AZ",
    "D",
    "one zone is enough, and zones may be added and removed; the interfaces follow",
    "ELBv2 API SetSubnets",
)
def set_subnets(s):
    subnets = s.subnet_ids("internal", 3)
    balancer = s.nlb(Subnets=subnets[:2])
    kept = {interface["SubnetId"]: interface["PrivateIpAddress"] for interface in s.interfaces(balancer)}
    for wanted in (subnets[:1], subnets, subnets[1:]):
        answer = s.elbv2.set_subnets(LoadBalancerArn=balancer["LoadBalancerArn"], Subnets=wanted)
        same(sorted(zone["SubnetId"] for zone in answer["AvailabilityZones"]), sorted(wanted), "answer")
        same(zones_of(s.describe_nlb(balancer)), sorted(wanted), "zones")
        now = {interface["SubnetId"]: interface["PrivateIpAddress"] for interface in s.interfaces(balancer)}
        same(sorted(now), sorted(wanted), "interfaces")
        if subnets[0] in now:
            same(now[subnets[0]], kept[subnets[0]], "address of a zone that stays")


@check("SETSUBNETS-MAP", "D", "another subnet of an enabled zone is refused: the zone is removed first", "ELBv2 API SetSubnets")
def swap_subnet(s):
    balancer = s.nlb(Subnets=s.subnet_ids("internal"))
    [other] = [subnet["SubnetId"] for subnet in s.subnets("nodes")[:1]]
    refused(
        "InvalidConfigurationRequest|InvalidSubnet|ValidationError",
        s.elbv2.set_subnets,
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Subnets=[other, s.subnet_ids("internal")[1]],
    )


@check(
    "SETSUBNETS-REPROVISION",
    "I",
    "a change of subnets can put a load balancer back to provisioning (F2)",
    "Terraform waits again after SetSubnets; reference F2",
)
def reprovisioning(s):
    balancer = s.nlb(Subnets=s.subnet_ids("internal", 1))
    same(s.describe_nlb(balancer)["State"]["Code"], "active", "state before")
    with s.durations(reprovisioning=60):
        s.elbv2.set_subnets(LoadBalancerArn=balancer["LoadBalancerArn"], Subnets=s.subnet_ids("internal"))
        same(s.describe_nlb(balancer)["State"]["Code"], "provisioning", "state after")
        s.advance(61)
        same(s.describe_nlb(balancer)["State"]["Code"], "active", "state a minute later")


@check("SETIPTYPE-NOV6", "D", "dualstack needs subnets with IPv6 addresses; ipv4 is as it was", "ELBv2 API SetIpAddressType")
def address_type(s):
    balancer = s.nlb()
    same(
        s.elbv2.set_ip_address_type(LoadBalancerArn=balancer["LoadBalancerArn"], IpAddressType="ipv4")["IpAddressType"],
        "ipv4",
        "answer",
    )
    refused(
        "InvalidConfigurationRequest|InvalidSubnet",
        s.elbv2.set_ip_address_type,
        LoadBalancerArn=balancer["LoadBalancerArn"],
        IpAddressType="dualstack",
    )
