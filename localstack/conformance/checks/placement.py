"""Addresses of load balancers, reserved capacity, and what only other types of load balancers have (rows LB-AZ-ADDR, LB-EIP-*, CAPRES)."""

import ipaddress
import itertools

from session import refused
from suite import check, same

REFUSED = "ValidationError|InvalidConfigurationRequest"


def elastic(s):
    return s.ec2.allocate_address(Domain="vpc")


def mapping(subnet, address=None):
    return {"SubnetId": subnet, **({"AllocationId": address["AllocationId"]} if address else {})}


def public(s, *mappings, **settings):
    return s.nlb(Scheme="internet-facing", SubnetMappings=list(mappings), **settings)


def creation(s, *mappings, **settings):
    base = {"Name": s.name("lb"), "Type": "network", "Scheme": "internet-facing", "SubnetMappings": list(mappings)}
    return {**base, **settings}


@check("LB-AZ-ADDR", "D", "the zones show the Elastic IP addresses that were given, and no addresses that AWS picked", "ELBv2 API LoadBalancerAddress")
def addresses(s):
    one, (a, b) = elastic(s), s.subnet_ids("public")
    balancer = public(s, mapping(a, one), mapping(b))
    shown = {zone["SubnetId"]: zone["LoadBalancerAddresses"] for zone in s.describe_nlb(balancer)["AvailabilityZones"]}
    wanted = {a: [{"IpAddress": one["PublicIp"], "AllocationId": one["AllocationId"]}], b: []}
    same(shown, wanted, "addresses")


@check("LB-EIP-404", "D", "an unknown allocation is AllocationIdNotFound", "ELBv2 API CreateLoadBalancer, errors")
def unknown(s):
    [subnet] = s.subnet_ids("public", 1)
    gone = {"AllocationId": "eipalloc-0123456789abcdef0"}
    refused("AllocationIdNotFound", s.elbv2.create_load_balancer, **creation(s, mapping(subnet, gone)))
    balancer = public(s, mapping(subnet))
    other = s.subnet_ids("public")[1]
    arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "SubnetMappings": [mapping(subnet), mapping(other, gone)]}
    refused("AllocationIdNotFound", s.elbv2.set_subnets, **arguments)


@check("LB-EIP-INUSE", "U", "an Elastic IP address that is in use is refused, and so is one for two zones", "ELBv2 API CreateLoadBalancer, errors")
def in_use(s):
    one, (a, b) = elastic(s), s.subnet_ids("public")
    public(s, mapping(a, one))
    codes = "ResourceInUse|InvalidConfigurationRequest"
    refused(codes, s.elbv2.create_load_balancer, **creation(s, mapping(b, one)))
    other = elastic(s)
    refused(codes, s.elbv2.create_load_balancer, **creation(s, mapping(a, other), mapping(b, other)))
    balancer = public(s, mapping(a))
    arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "SubnetMappings": [mapping(a), mapping(b, one)]}
    refused("InvalidConfigurationRequest", s.elbv2.set_subnets, **arguments)


@check("LB-EIP-INTERNAL", "D", "an internal load balancer takes no Elastic IP address", "ELBv2 API SubnetMapping")
def internal(s):
    [subnet] = s.subnet_ids("internal", 1)
    refused(REFUSED, s.elbv2.create_load_balancer, **creation(s, mapping(subnet, elastic(s)), Scheme="internal"))


@check("LB-EIP-ASSOC", "D", "an address of a load balancer has an association and an interface, and cannot be released", "EC2 API Address")
def association(s):
    one, [subnet] = elastic(s), s.subnet_ids("public", 1)
    balancer = public(s, mapping(subnet, one))
    [shown] = s.ec2.describe_addresses(AllocationIds=[one["AllocationId"]])["Addresses"]
    [interface] = s.interfaces(balancer)
    same(shown["NetworkInterfaceId"], interface["NetworkInterfaceId"], "interface")
    assert shown["AssociationId"].startswith("eipassoc-"), shown
    refused("InvalidIPAddress.InUse|AuthFailure|InvalidAddress.Locked", s.ec2.release_address, AllocationId=one["AllocationId"])
    s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    s.ec2.release_address(AllocationId=one["AllocationId"])


@check("LB-EIP-KEPT", "D", "the address of a zone cannot be changed while the zone is enabled", "NLB guide, availability zones")
def kept(s):
    one, two, (a, b) = elastic(s), elastic(s), s.subnet_ids("public")
    balancer = public(s, mapping(a, one))
    arn = balancer["LoadBalancerArn"]
    refused(REFUSED, s.elbv2.set_subnets, LoadBalancerArn=arn, SubnetMappings=[mapping(a, two)])
    zones = s.elbv2.set_subnets(LoadBalancerArn=arn, SubnetMappings=[mapping(a, one), mapping(b, two)])["AvailabilityZones"]
    same(sorted(zone["LoadBalancerAddresses"][0]["IpAddress"] for zone in zones), sorted([one["PublicIp"], two["PublicIp"]]), "addresses")
    same(public(s, mapping(a, one), mapping(b, two), Name=balancer["LoadBalancerName"])["LoadBalancerArn"], arn, "idempotent create")


@check("LB-ENFORCE-SG", "D", "the enforcement for PrivateLink is on by default with security groups, absent without, and kept", "ELBv2 API SetSecurityGroups")
def enforcement(s):
    key = "EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"
    same(s.nlb().get(key), None, "without groups")
    group = s.security_group()
    balancer = s.nlb(SecurityGroups=[group])
    same(balancer[key], "on", "with groups")
    arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "SecurityGroups": [group]}
    same(s.elbv2.set_security_groups(**arguments, **{key: "off"})[key], "off", "answer")
    s.elbv2.set_security_groups(**arguments)
    same(s.describe_nlb(balancer)[key], "off", "kept when not said")


@check("LB-IPV6-SETTINGS", "D", "IPv6 addresses and prefixes belong to dual-stack load balancers, and two address types to these", "ELBv2 API SubnetMapping")
def ipv6_settings(s):
    [subnet] = s.subnet_ids("public", 1)
    for extra in ({"IPv6Address": "2600:1f14::7"}, {"SourceNatIpv6Prefix": "auto_assigned"}, {"IPv6Address": "seven"}):
        refused(REFUSED, s.elbv2.create_load_balancer, **creation(s, {"SubnetId": subnet, **extra}))
    refused(REFUSED, s.elbv2.create_load_balancer, **creation(s, mapping(subnet), EnablePrefixForIpv6SourceNat="on"))
    arn = public(s, mapping(subnet))["LoadBalancerArn"]
    kind = "dualstack-without-public-ipv4"
    refused(REFUSED, s.elbv2.set_ip_address_type, LoadBalancerArn=arn, IpAddressType=kind)
    group = s.group(IpAddressType="ipv6")
    same(group["IpAddressType"], "ipv6", "address type of a group")
    forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
    arguments = {"LoadBalancerArn": arn, "Protocol": "TCP", "Port": 80, "DefaultActions": forward}
    refused(REFUSED, s.elbv2.create_listener, **arguments)
    targets = [{"Id": "127.20.1.95"}]
    refused(REFUSED, s.elbv2.register_targets, TargetGroupArn=group["TargetGroupArn"], Targets=targets)


def with_ipv6(s, *subnets):
    """Gives the VPC and these subnets IPv6 blocks; the subnets' blocks."""
    s.ec2.associate_vpc_cidr_block(VpcId=s.vpc, AmazonProvidedIpv6CidrBlock=True)
    [vpc] = s.ec2.describe_vpcs(VpcIds=[s.vpc])["Vpcs"]
    block = ipaddress.ip_network(vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])
    blocks = list(itertools.islice(block.subnets(new_prefix=64), len(subnets)))
    for subnet, own in zip(subnets, blocks, strict=True):
        s.ec2.associate_subnet_cidr_block(SubnetId=subnet, Ipv6CidrBlock=str(own))
    return blocks


@check("LB-DUALSTACK", "D", "a load balancer on subnets with IPv6 may be dualstack, from the start or later, with chosen addresses", "ELBv2 API SetIpAddressType")
def dualstack(s):
    a, b = s.subnet_ids("public")
    own, _ = with_ipv6(s, a, b)
    balancer = public(s, mapping(a))
    arn = balancer["LoadBalancerArn"]
    same(s.elbv2.set_ip_address_type(LoadBalancerArn=arn, IpAddressType="dualstack")["IpAddressType"], "dualstack", "answer")
    same(s.describe_nlb(balancer)["IpAddressType"], "dualstack", "load balancer")
    chosen = {"SubnetId": a, "IPv6Address": str(own[0x99])}
    made = public(s, chosen, mapping(b), IpAddressType="dualstack")
    shown = {zone["SubnetId"]: zone["LoadBalancerAddresses"] for zone in made["AvailabilityZones"]}
    same(shown, {a: [{"IPv6Address": str(own[0x99])}], b: []}, "addresses")
    outside = {"SubnetId": a, "IPv6Address": "2001:db8::7"}
    refused(REFUSED, s.elbv2.create_load_balancer, **creation(s, outside, IpAddressType="dualstack"))


@check("LB-SOURCE-NAT", "D", "UDP on a dualstack load balancer needs prefixes for source NAT and IPv6 target groups", "ELBv2 API CreateLoadBalancer, EnablePrefixForIpv6SourceNat")
def source_nat(s):
    [subnet] = s.subnet_ids("public", 1)
    with_ipv6(s, subnet)
    balancer = public(s, mapping(subnet), IpAddressType="dualstack")
    four, six = s.group(Protocol="UDP"), s.group(Protocol="UDP", IpAddressType="ipv6")

    def udp(group):
        forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
        arn = balancer["LoadBalancerArn"]
        return {"LoadBalancerArn": arn, "Protocol": "UDP", "Port": 53, "DefaultActions": forward}

    refused(REFUSED, s.elbv2.create_listener, **udp(six))
    mapped = [{"SubnetId": subnet, "SourceNatIpv6Prefix": "auto_assigned"}]
    answer = s.elbv2.set_subnets(
        LoadBalancerArn=balancer["LoadBalancerArn"], SubnetMappings=mapped, EnablePrefixForIpv6SourceNat="on"
    )
    [zone] = answer["AvailabilityZones"]
    same([prefix.rpartition("/")[2] for prefix in zone["SourceNatIpv6Prefixes"]], ["80"], "prefixes")
    same(s.describe_nlb(balancer)["EnablePrefixForIpv6SourceNat"], "on", "flag")
    refused(REFUSED, s.elbv2.create_listener, **udp(four))
    s.elbv2.create_listener(**udp(six))
    refused(REFUSED, s.elbv2.set_ip_address_type, LoadBalancerArn=balancer["LoadBalancerArn"], IpAddressType="ipv4")


@check("LS-RULES", "D", "rules of a dualstack load balancer tell IPv4 from IPv6 clients, in the order of their priorities", "ELBv2 API CreateRule")
def rules(s):
    [subnet] = s.subnet_ids("public", 1)
    with_ipv6(s, subnet)
    balancer = public(s, mapping(subnet), IpAddressType="dualstack")
    four, six = s.group(), s.group(IpAddressType="ipv6")
    listener = s.listener(balancer, four)["ListenerArn"]

    def rule(priority, group, kind="ipv6"):
        conditions = [{"Field": "source-ip", "SourceIpConfig": {"IpAddressType": kind}}]
        actions = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
        return {"ListenerArn": listener, "Priority": priority, "Conditions": conditions, "Actions": actions}

    [one] = s.elbv2.create_rule(**rule(10, six))["Rules"]
    [two] = s.elbv2.create_rule(**rule(20, four, "ipv4"))["Rules"]
    same(one["Conditions"], [{"Field": "source-ip", "SourceIpConfig": {"IpAddressType": "ipv6"}}], "conditions")
    refused("PriorityInUse", s.elbv2.create_rule, **rule(10, six))
    same(s.describe_group(six)["LoadBalancerArns"], [balancer["LoadBalancerArn"]], "LoadBalancerArns")
    swap = [{"RuleArn": one["RuleArn"], "Priority": 20}, {"RuleArn": two["RuleArn"], "Priority": 10}]
    refused("PriorityInUse", s.elbv2.set_rule_priorities, RulePriorities=swap[:1])
    s.elbv2.set_rule_priorities(RulePriorities=swap)
    got = s.elbv2.describe_rules(ListenerArn=listener)["Rules"]
    same([entry["Priority"] for entry in got], ["10", "20", "default"], "priorities")
    same([entry["RuleArn"] for entry in got[:2]], [two["RuleArn"], one["RuleArn"]], "rules")
    actions = rule(0, four)["Actions"]
    s.elbv2.modify_rule(RuleArn=one["RuleArn"], Actions=actions)
    same(s.describe_group(six)["LoadBalancerArns"], [], "LoadBalancerArns after the change")
    refused(REFUSED, s.elbv2.set_ip_address_type, LoadBalancerArn=balancer["LoadBalancerArn"], IpAddressType="ipv4")
    for entry in (one, two):
        s.elbv2.delete_rule(RuleArn=entry["RuleArn"])
    refused("RuleNotFound", s.elbv2.delete_rule, RuleArn=one["RuleArn"])


@check("LBA-SECONDARY", "D", "secondary addresses, 0 to 7 in each subnet, are taken from it and never given back", "ELBv2 API LoadBalancerAttribute")
def secondary(s):
    balancer, key = s.nlb(), "secondary_ips.auto_assigned.per_subnet"
    free = {subnet["SubnetId"]: subnet["AvailableIpAddressCount"] for subnet in s.subnets("internal")[:2]}

    def arguments(value):
        return {"LoadBalancerArn": balancer["LoadBalancerArn"], "Attributes": [{"Key": key, "Value": value}]}

    s.elbv2.modify_load_balancer_attributes(**arguments("3"))
    now = {subnet["SubnetId"]: subnet["AvailableIpAddressCount"] for subnet in s.subnets("internal")[:2]}
    same(now, {subnet: count - 3 for subnet, count in free.items()}, "free addresses")
    same([len(interface["PrivateIpAddresses"]) for interface in s.interfaces(balancer)], [4, 4], "addresses of the interfaces")
    for bad in ("2", "8"):
        refused(REFUSED, s.elbv2.modify_load_balancer_attributes, **arguments(bad))


@check("LBA-IPV6-IGW", "I", "ipv6.deny_all_igw_traffic cannot be set without IPv6", "ELBv2 API LoadBalancerAttribute")
def deny_igw(s):
    arguments = {"Attributes": [{"Key": "ipv6.deny_all_igw_traffic", "Value": "false"}]}
    refused(REFUSED, s.elbv2.modify_load_balancer_attributes, LoadBalancerArn=s.nlb()["LoadBalancerArn"], **arguments)


@check("CAPRES", "D", "capacity is reserved, pending and then provisioned in every zone, and reset; not with TLS listeners", "ELBv2 API ModifyCapacityReservation")
def capacity(s):
    arn = s.nlb()["LoadBalancerArn"]
    before = s.elbv2.describe_capacity_reservation(LoadBalancerArn=arn)
    same((before.get("MinimumLoadBalancerCapacity"), before["DecreaseRequestsRemaining"]), (None, 2), "at first")
    with s.durations(reprovisioning=3600):
        answer = s.elbv2.modify_capacity_reservation(LoadBalancerArn=arn, MinimumLoadBalancerCapacity={"CapacityUnits": 3000})
        same({zone["State"]["Code"] for zone in answer["CapacityReservationState"]}, {"pending"}, "state")
        more = {"MinimumLoadBalancerCapacity": {"CapacityUnits": 4000}}
        refused("CapacityReservationPending", s.elbv2.modify_capacity_reservation, LoadBalancerArn=arn, **more)
        subnets = s.subnet_ids("internal", 3)
        refused("CapacityReservationPending", s.elbv2.set_subnets, LoadBalancerArn=arn, Subnets=subnets)
        s.advance(3601)
    now = s.elbv2.describe_capacity_reservation(LoadBalancerArn=arn)
    same(now["MinimumLoadBalancerCapacity"], {"CapacityUnits": 3000}, "capacity")
    zones = [(zone["State"]["Code"], zone["EffectiveCapacityUnits"]) for zone in now["CapacityReservationState"]]
    same(zones, [("provisioned", 1500.0)] * 2, "zones")
    refused(REFUSED, s.elbv2.modify_capacity_reservation, LoadBalancerArn=arn)
    s.elbv2.modify_capacity_reservation(LoadBalancerArn=arn, ResetCapacityReservation=True)
    same(s.elbv2.describe_capacity_reservation(LoadBalancerArn=arn).get("MinimumLoadBalancerCapacity"), None, "after the reset")
    gone = arn[:-16] + "0" * 16
    refused("LoadBalancerNotFound", s.elbv2.describe_capacity_reservation, LoadBalancerArn=gone)


@check("CAPRES-DECREASE", "D", "reserved capacity is decreased twice a day: CapacityDecreaseRequestLimitExceeded", "ELBv2 API ModifyCapacityReservation, errors")
def decreases(s):
    arn = s.nlb()["LoadBalancerArn"]

    def reserve(units):
        return {"LoadBalancerArn": arn, "MinimumLoadBalancerCapacity": {"CapacityUnits": units}}

    for units in (3000, 2900, 2800):
        s.elbv2.modify_capacity_reservation(**reserve(units))
    refused("CapacityDecreaseRequestLimitExceeded", s.elbv2.modify_capacity_reservation, **reserve(2700))
    s.elbv2.modify_capacity_reservation(**reserve(3000))


@check("IPPOOLS", "D", "IP pools are for application load balancers", "ELBv2 API ModifyIpPools")
def ip_pools(s):
    arn = s.nlb()["LoadBalancerArn"]
    pools = {"IpamPools": {"Ipv4IpamPoolId": "ipam-pool-0123456789abcdef0"}}
    refused(REFUSED + "|OperationNotPermitted", s.elbv2.modify_ip_pools, LoadBalancerArn=arn, **pools)
    refused("LoadBalancerNotFound", s.elbv2.modify_ip_pools, LoadBalancerArn=arn[:-16] + "0" * 16, **pools)


@check("TRUST-STORES", "D", "there are no trust stores and no resource policies, and each action says so in its own words", "ELBv2 API CreateTrustStore, errors")
def trust_stores(s):
    same(s.elbv2.describe_trust_stores()["TrustStores"], [], "trust stores")
    arn = f"arn:aws:elasticloadbalancing:{s.region}:{s.account}:truststore/web/0123456789abcdef"
    bundle = {"CaCertificatesBundleS3Bucket": "bucket", "CaCertificatesBundleS3Key": "key"}
    refused("CaCertificatesBundleNotFound", s.elbv2.create_trust_store, Name="web", **bundle)
    refused("TrustStoreNotFound", s.elbv2.modify_trust_store, TrustStoreArn=arn, **bundle)
    refused("TrustStoreNotFound", s.elbv2.describe_trust_stores, TrustStoreArns=[arn])
    for action in (
        s.elbv2.delete_trust_store,
        s.elbv2.describe_trust_store_associations,
        s.elbv2.describe_trust_store_revocations,
        s.elbv2.get_trust_store_ca_certificates_bundle,
    ):
        refused("TrustStoreNotFound", action, TrustStoreArn=arn)
    refused("ResourceNotFound", s.elbv2.get_resource_policy, ResourceArn=arn)
