"""Weighted forwards, rules, QUIC (rows LS-WEIGHTED, LS-RULES, LS-QUIC, TG-QUIC, TR-QUIC)."""

from session import forward, refused
from suite import check, same

REFUSED = "ValidationError|InvalidConfigurationRequest"
SERVER = "0x0123456789abcdef"


def weighted(*shares, **config):
    groups = [{"TargetGroupArn": group["TargetGroupArn"], "Weight": weight} for group, weight in shares]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **config}}]


def creation(balancer, action, **settings):
    base = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "TCP", "Port": 80, "DefaultActions": action}
    return {**base, **settings}


@check("LS-WEIGHTED", "D", "a forward to several groups has their weights, 0 to 999, and each group belongs to the load balancer", "ELBv2 API ForwardActionConfig")
def weights(s):
    balancer, one, two = s.nlb(), s.group(), s.group()
    action = weighted((one, 0), (two, 999), TargetGroupStickinessConfig={"Enabled": True})
    [made] = s.elbv2.create_listener(**creation(balancer, action))["Listeners"]
    [shown] = made["DefaultActions"]
    same(shown.get("TargetGroupArn"), None, "TargetGroupArn")
    same(shown["ForwardConfig"], action[0]["ForwardConfig"], "ForwardConfig")
    for group in (one, two):
        same(s.describe_group(group)["LoadBalancerArns"], [balancer["LoadBalancerArn"]], "LoadBalancerArns")
    s.elbv2.modify_listener(ListenerArn=made["ListenerArn"], DefaultActions=forward(two))
    same(s.describe_group(one)["LoadBalancerArns"], [], "LoadBalancerArns of the group that went")
    for bad in (weighted((one, 1), (two, 1000)), weighted((one, 1), (one, 1)), weighted((one, -1))):
        refused(REFUSED, s.elbv2.create_listener, **creation(balancer, bad, Port=81))
    elsewhere = s.group()
    s.listener(s.nlb(), elsewhere)
    refused("TargetGroupAssociationLimit", s.elbv2.create_listener, **creation(balancer, weighted((one, 1), (elsewhere, 1)), Port=81))


@check("LS-WEIGHTED-LIMIT", "U", "an action names at most five groups", "ELBv2 API TargetGroupTuple")
def too_many_groups(s):
    balancer, groups = s.nlb(), [s.group() for _ in range(6)]
    s.elbv2.create_listener(**creation(balancer, weighted(*((group, 1) for group in groups[:5]))))
    action = weighted(*((group, 1) for group in groups))
    codes = REFUSED + "|TooManyUniqueTargetGroupsPerLoadBalancer"
    refused(codes, s.elbv2.create_listener, **creation(balancer, action, Port=81))


@check("LS-RULES-DEFAULT", "D", "each listener has a default rule with its action, which can be tagged and not changed", "ELBv2 API DescribeRules")
def default_rule(s):
    group = s.group()
    listener = s.listener(s.nlb(), group)
    [rule] = s.elbv2.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    same((rule["Priority"], rule["IsDefault"], rule["Conditions"]), ("default", True, []), "rule")
    same(rule["Actions"], listener["DefaultActions"], "actions")
    arn = rule["RuleArn"]
    assert arn.startswith(listener["ListenerArn"].replace(":listener/", ":listener-rule/")), arn
    same(s.elbv2.describe_rules(RuleArns=[arn])["Rules"], [rule], "rule by ARN")
    s.elbv2.add_tags(ResourceArns=[arn], Tags=[{"Key": "a", "Value": "b"}])
    [described] = s.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"]
    same(described["Tags"], [{"Key": "a", "Value": "b"}], "tags")
    refused("OperationNotPermitted", s.elbv2.delete_rule, RuleArn=arn)
    refused("RuleNotFound", s.elbv2.describe_rules, RuleArns=[arn[:-16] + "0" * 16])
    refused("ListenerNotFound", s.elbv2.describe_rules, ListenerArn=listener["ListenerArn"][:-16] + "0" * 16)


@check("LS-RULES-IPV4", "D", "a load balancer without IPv6 has no rules of its own, and none has conditions of HTTP", "ELBv2 API CreateRule")
def rules_need_dual_stack(s):
    group = s.group()
    arguments = {"ListenerArn": s.listener(s.nlb(), group)["ListenerArn"], "Priority": 1, "Actions": forward(group)}
    source = [{"Field": "source-ip", "SourceIpConfig": {"IpAddressType": "ipv6"}}]
    codes = REFUSED + "|UnsupportedProtocol|OperationNotPermitted"
    refused(codes, s.elbv2.create_rule, Conditions=source, **arguments)
    refused(codes, s.elbv2.create_rule, Conditions=[{"Field": "path-pattern"}], **arguments)


@check("TG-QUIC", "D", "QUIC is a protocol of target groups, and none of health checks", "ELBv2 API CreateTargetGroup")
def quic_group(s):
    quic(s, "QUIC")


@check("TG-TCP_QUIC", "D", "TCP_QUIC is a protocol of target groups, and none of health checks", "ELBv2 API CreateTargetGroup")
def tcp_quic_group(s):
    quic(s, "TCP_QUIC")


def quic(s, protocol):
    group = s.group(Protocol=protocol)
    same((group["Protocol"], group["HealthCheckProtocol"]), (protocol, "TCP"), "group")
    arguments = {"Name": s.name("tg"), "Protocol": protocol, "Port": 443, "VpcId": s.vpc, "TargetType": "ip"}
    refused(REFUSED, s.elbv2.create_target_group, HealthCheckProtocol=protocol, **arguments)


@check("LS-QUIC", "D", "one QUIC or TCP_QUIC listener per load balancer, not beside UDP ones, not with security groups", "NLB guide, QUIC listeners")
def quic_listener(s):
    balancer, group, both = s.nlb(), s.group(Protocol="QUIC"), s.group(Protocol="TCP_QUIC")
    s.listener(balancer, s.group())
    s.listener(balancer, group, Protocol="QUIC", Port=443)
    refused(REFUSED, s.elbv2.create_listener, **creation(balancer, forward(both), Protocol="TCP_QUIC", Port=444))
    udp = s.group(Protocol="UDP")
    refused(REFUSED, s.elbv2.create_listener, **creation(balancer, forward(udp), Protocol="UDP", Port=53))
    other = s.nlb()
    s.listener(other, udp, Protocol="UDP", Port=53)
    refused(REFUSED, s.elbv2.create_listener, **creation(other, forward(both), Protocol="TCP_QUIC", Port=443))
    guarded = s.nlb(SecurityGroups=[s.security_group()])
    refused(REFUSED, s.elbv2.create_listener, **creation(guarded, forward(both), Protocol="TCP_QUIC", Port=443))
    codes = REFUSED + "|IncompatibleProtocols"
    alone = s.nlb()
    refused(codes, s.elbv2.create_listener, **creation(alone, forward(s.group(Protocol="QUIC")), Protocol="TCP_QUIC", Port=443))


@check("TR-QUIC", "D", "targets of QUIC groups have a server id of their own, others have none", "ELBv2 API TargetDescription, QuicServerId")
def server_ids(s):
    group = s.group(Protocol="QUIC")
    arguments = {"TargetGroupArn": group["TargetGroupArn"]}

    def target(address="127.20.1.90", **more):
        return [{"Id": address, "Port": 443, **more}]

    for bad in ({}, {"QuicServerId": "0x0123"}, {"QuicServerId": SERVER.upper()}, {"QuicServerId": "0123456789abcdef"}):
        refused(REFUSED + "|InvalidTarget", s.elbv2.register_targets, Targets=target(**bad), **arguments)
    s.elbv2.register_targets(Targets=target(QuicServerId=SERVER), **arguments)
    taken = target("127.20.1.91", QuicServerId=SERVER)
    refused(REFUSED + "|InvalidTarget", s.elbv2.register_targets, Targets=taken, **arguments)
    [described] = s.elbv2.describe_target_health(**arguments)["TargetHealthDescriptions"]
    same(described["Target"]["QuicServerId"], SERVER, "QuicServerId")
    tcp = s.group()["TargetGroupArn"]
    refused(REFUSED + "|InvalidTarget", s.elbv2.register_targets, TargetGroupArn=tcp, Targets=target(QuicServerId=SERVER))
