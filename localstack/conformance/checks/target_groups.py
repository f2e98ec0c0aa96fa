"""Target groups: identity, health-check settings, attributes, listing (rows TG-*, TGA-*)."""

import re

from session import forward, refused
from suite import check, same

REFUSED = "InvalidConfigurationRequest|ValidationError"


def group_refused(s, codes, **settings):
    base = {"Name": "tg", "Protocol": "TCP", "Port": 80, "VpcId": s.vpc, "TargetType": "ip"}
    wanted = {key: value for key, value in {**base, **settings}.items() if value is not None}
    return refused(codes, s.elbv2.create_target_group, **wanted)


@check("TG-ARN", "D", "a target group's ARN is targetgroup/<name>/<16 hex>", "ELBv2 API TargetGroup")
def arn(s):
    pattern = rf"arn:aws:elasticloadbalancing:{s.region}:{s.account}:targetgroup/web/[0-9a-f]{{16}}"
    got = s.group(Name="web")["TargetGroupArn"]
    assert re.fullmatch(pattern, got), got


@check("TG-IDEMPOTENT", "D", "a second create with the same settings returns the same group", "ELBv2 API CreateTargetGroup")
def idempotent(s):
    first, second = s.group(Name="web"), s.group(Name="web")
    same(second["TargetGroupArn"], first["TargetGroupArn"], "ARN")


@check("TG-DUPNAME", "D", "a second create with other settings is DuplicateTargetGroupName", "ELBv2 API CreateTargetGroup")
def duplicate_name(s):
    s.group(Name="web")
    for change in ({"Port": 81}, {"Protocol": "UDP"}, {"TargetType": "instance"}, {"HealthCheckPort": "8080"}):
        group_refused(s, "DuplicateTargetGroupName", Name="web", **change)


@check("TG-NAME", "D", "a name has 1 to 32 letters, digits and inner hyphens", "ELBv2 API CreateTargetGroup")
def names(s):
    s.group(Name="x" * 32)
    for name in ("x" * 33, "-web", "web-", "we_b"):
        group_refused(s, "ValidationError", Name=name)


@check("TG-REQUIRED", "D", "protocol, port and VPC have to be there and right", "ELBv2 API CreateTargetGroup")
def required(s):
    for settings in ({"Protocol": None}, {"Port": None}, {"VpcId": None}, {"Port": 0}, {"Port": 65536}, {"Protocol": "SCTP"}):
        group_refused(s, REFUSED, **settings)
    group_refused(s, REFUSED, VpcId="vpc-0123456789abcdef0")


HEALTH = (
    "HealthCheckProtocol",
    "HealthCheckPort",
    "HealthCheckEnabled",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "UnhealthyThresholdCount",
    "HealthCheckPath",
    "Matcher",
)


def health_settings(group):
    return tuple(group.get(key) for key in HEALTH)


@check(
    "TG-TCPHC-DEFAULTS",
    "D",
    "health checks of TCP and UDP groups are TCP every 30 s, timeout 10 s, thresholds 5 and 2",
    "ELBv2 API CreateTargetGroup",
)
def tcp_defaults(s):
    for protocol in ("TCP", "UDP", "TCP_UDP", "TLS"):
        group = s.group(Protocol=protocol)
        same(health_settings(group), ("TCP", "traffic-port", True, 30, 10, 5, 2, None, None), protocol)
        same((group["TargetType"], group["IpAddressType"]), ("ip", "ipv4"), "types")
    same(s.group(TargetType="instance")["TargetType"], "instance", "target type")


@check(
    "TG-HTTPHC-DEFAULTS",
    "D",
    "an HTTP check of a TCP group: path /, matcher 200-399, timeout 6 s",
    "ELBv2 API CreateTargetGroup",
)
def http_defaults(s):
    group = s.group(HealthCheckProtocol="HTTP")
    same(health_settings(group), ("HTTP", "traffic-port", True, 30, 6, 5, 2, "/", {"HttpCode": "200-399"}), "settings")


@check("TG-UDP-HC", "D", "UDP, TLS and TCP_UDP are no health-check protocols", "ELBv2 API CreateTargetGroup")
def udp_check(s):
    for protocol in ("UDP", "TLS", "TCP_UDP"):
        group_refused(s, REFUSED, HealthCheckProtocol=protocol)


@check(
    "TG-HC-RANGES",
    "D",
    "interval 5-300 s, timeout 2-120 s and below the interval, thresholds 2-10, path and matcher sound",
    "ELBv2 API CreateTargetGroup",
)
def ranges(s):
    for settings in (
        {"HealthCheckIntervalSeconds": 4},
        {"HealthCheckIntervalSeconds": 301},
        {"HealthCheckTimeoutSeconds": 1},
        {"HealthCheckTimeoutSeconds": 121},
        {"HealthyThresholdCount": 1},
        {"UnhealthyThresholdCount": 11},
        {"HealthCheckProtocol": "HTTP", "HealthCheckPath": "healthz"},
        {"HealthCheckProtocol": "HTTP", "Matcher": {"HttpCode": "ok"}},
        {"HealthCheckPort": "web"},
        {"HealthCheckPort": "0"},
    ):
        group_refused(s, REFUSED, **settings)
    s.group(HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, UnhealthyThresholdCount=10)


@check("TG-HC-PATH-TCP", "D", "path and matcher belong to HTTP checks only", "ELBv2 API CreateTargetGroup")
def path_of_tcp(s):
    group_refused(s, REFUSED, HealthCheckPath="/healthz")
    group_refused(s, REFUSED, Matcher={"HttpCode": "200"})


@check("TG-MODIFY", "D", "health-check settings, the matcher included, can be changed", "ELBv2 API ModifyTargetGroup")
def modify(s):
    group = s.group(HealthCheckProtocol="HTTP")
    answer = s.elbv2.modify_target_group(
        TargetGroupArn=group["TargetGroupArn"],
        HealthCheckPort="8080",
        HealthCheckPath="/ready",
        HealthCheckIntervalSeconds=10,
        HealthCheckTimeoutSeconds=5,
        HealthyThresholdCount=3,
        UnhealthyThresholdCount=4,
        Matcher={"HttpCode": "200,204"},
    )
    wanted = ("HTTP", "8080", True, 10, 5, 3, 4, "/ready", {"HttpCode": "200,204"})
    same(health_settings(answer["TargetGroups"][0]), wanted, "answer")
    same(health_settings(s.describe_group(group)), wanted, "group")
    gone = group["TargetGroupArn"][:-16] + "0" * 16
    refused("TargetGroupNotFound", s.elbv2.modify_target_group, TargetGroupArn=gone, HealthCheckPort="80")


@check(
    "TG-MODIFY-PROTO",
    "D",
    "a change from TCP to HTTP checks brings path and matcher, the way back removes them",
    "ELBv2 API ModifyTargetGroup",
)
def modify_protocol(s):
    group = s.group()
    s.elbv2.modify_target_group(TargetGroupArn=group["TargetGroupArn"], HealthCheckProtocol="HTTP")
    now = s.describe_group(group)
    same((now.get("HealthCheckPath"), now.get("Matcher")), ("/", {"HttpCode": "200-399"}), "path and matcher")
    s.elbv2.modify_target_group(TargetGroupArn=group["TargetGroupArn"], HealthCheckProtocol="TCP")
    now = s.describe_group(group)
    same((now.get("HealthCheckPath"), now.get("Matcher")), (None, None), "path and matcher")


def attributes(s, group):
    answer = s.elbv2.describe_target_group_attributes(TargetGroupArn=group["TargetGroupArn"])
    return {entry["Key"]: entry["Value"] for entry in answer["Attributes"]}


def modify_attribute(s, group, key, value):
    return {"TargetGroupArn": group["TargetGroupArn"], "Attributes": [{"Key": key, "Value": value}]}


@check(
    "TGA-DEFAULTS",
    "D",
    "a group of a network load balancer has its own type's attributes, with AWS's defaults",
    "ELBv2 API TargetGroupAttribute",
)
def attribute_defaults(s):
    got = attributes(s, s.group())
    wanted = {
        "deregistration_delay.timeout_seconds": "300",
        "deregistration_delay.connection_termination.enabled": "false",
        "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
        "preserve_client_ip.enabled": "false",
        "proxy_protocol_v2.enabled": "false",
        "stickiness.enabled": "false",
        "stickiness.type": "source_ip",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
        "target_health_state.unhealthy.connection_termination.enabled": "true",
        "target_health_state.unhealthy.draining_interval_seconds": "0",
    }
    same({key: got.get(key) for key in wanted}, wanted, "defaults")
    foreign = [
        key for key in got if key.startswith(("slow_start", "load_balancing.algorithm", "stickiness.lb_cookie", "lambda", "waf"))
    ]
    same(foreign, [], "attributes of application load balancers' groups")


@check(
    "TGA-PRESERVE",
    "D",
    "client addresses are kept by default for instances and for UDP, not for ip targets of TCP",
    "ELBv2 API TargetGroupAttribute",
)
def preserve(s):
    key = "preserve_client_ip.enabled"
    same(attributes(s, s.group(TargetType="instance"))[key], "true", "instance, TCP")
    same(attributes(s, s.group(Protocol="UDP"))[key], "true", "ip, UDP")
    same(attributes(s, s.group(Protocol="TLS"))[key], "false", "ip, TLS")


@check("TGA-MODIFY", "D", "the deregistration delay is 0 to 3600 s, both included", "ELBv2 API TargetGroupAttribute")
def delay(s):
    group, key = s.group(), "deregistration_delay.timeout_seconds"
    for value in ("0", "3600"):
        s.elbv2.modify_target_group_attributes(**modify_attribute(s, group, key, value))
        same(attributes(s, group)[key], value, key)
    for value in ("3601", "-1", "long"):
        refused(REFUSED, s.elbv2.modify_target_group_attributes, **modify_attribute(s, group, key, value))


@check("TGA-EXCLUDE", "D", "draining of the unhealthy needs kept connections; TLS has no stickiness; UDP keeps client addresses", "ELBv2 API TargetGroupAttribute")
def exclusive_attributes(s):
    tcp, tls, udp = s.group(), s.group(Protocol="TLS"), s.group(Protocol="UDP")
    termination = "target_health_state.unhealthy.connection_termination.enabled"
    draining = "target_health_state.unhealthy.draining_interval_seconds"
    for group, key, value in (
        (tcp, draining, "60"),
        (tls, "stickiness.enabled", "true"),
        (udp, "preserve_client_ip.enabled", "false"),
        (udp, termination, "true"),
    ):
        refused(REFUSED, s.elbv2.modify_target_group_attributes, **modify_attribute(s, group, key, value))
    for key, value in ((termination, "false"), (draining, "60"), ("stickiness.enabled", "true")):
        s.elbv2.modify_target_group_attributes(**modify_attribute(s, tcp, key, value))
        same(attributes(s, tcp)[key], value, key)


@check("TGA-UNKNOWN", "D", "unknown keys and keys of other types are refused", "ELBv2 API TargetGroupAttribute")
def unknown_attribute(s):
    group = s.group()
    for key, value in (("no.such.key", "1"), ("slow_start.duration_seconds", "30"), ("proxy_protocol_v2.enabled", "yes")):
        refused(REFUSED, s.elbv2.modify_target_group_attributes, **modify_attribute(s, group, key, value))


@check("TG-DESC-LB-EMPTY", "D", "the groups of a load balancer without any are an empty list", "ELBv2 API DescribeTargetGroups")
def of_balancer(s):
    balancer, group = s.nlb(), s.group()
    arn = balancer["LoadBalancerArn"]
    same(s.elbv2.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"], [], "groups")
    s.listener(balancer, group)
    found = s.elbv2.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
    same([entry["TargetGroupArn"] for entry in found], [group["TargetGroupArn"]], "groups")
    refused("LoadBalancerNotFound", s.elbv2.describe_target_groups, LoadBalancerArn=arn[:-16] + "0" * 16)


@check("TG-DESC-404", "D", "describe fails whole when a group is missing", "ELBv2 API DescribeTargetGroups")
def describe_missing(s):
    group = s.group(Name="web")["TargetGroupArn"]
    refused("TargetGroupNotFound", s.elbv2.describe_target_groups, TargetGroupArns=[group, group[:-16] + "0" * 16])
    refused("TargetGroupNotFound", s.elbv2.describe_target_groups, Names=["web", "gone"])


@check("TG-PAGE", "D", "groups are listed in pages", "ELBv2 API DescribeTargetGroups")
def pages(s):
    made = {s.group()["TargetGroupArn"] for _ in range(5)}
    pages = list(s.elbv2.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2}))
    same([len(page["TargetGroups"]) for page in pages], [2, 2, 1], "page sizes")
    same({group["TargetGroupArn"] for page in pages for group in page["TargetGroups"]}, made, "groups")


@check("TG-2LBS", "O", "a group belongs to one load balancer: TargetGroupAssociationLimit", "lbc#4528")
def two_balancers(s):
    group, first, second = s.group(), s.nlb(), s.nlb()
    s.listener(first, group)
    refused(
        "TargetGroupAssociationLimit",
        s.elbv2.create_listener,
        LoadBalancerArn=second["LoadBalancerArn"],
        Protocol="TCP",
        Port=80,
        DefaultActions=forward(group),
    )
    s.listener(first, group, Port=81)


def balancers_of(s, group):
    return s.describe_group(group)["LoadBalancerArns"]


@check(
    "TG-BACKREF-AFTER-LB-DEL",
    "D",
    "LoadBalancerArns follows the listeners: made, changed, deleted, gone with their load balancer",
    "ELBv2 API TargetGroup",
)
def back_references(s):
    one, two, balancer = s.group(), s.group(), s.nlb()
    arn = balancer["LoadBalancerArn"]
    same(balancers_of(s, one), [], "before")
    first, second = s.listener(balancer, one), s.listener(balancer, one, Port=81)
    same(balancers_of(s, one), [arn], "with two listeners")
    s.elbv2.delete_listener(ListenerArn=second["ListenerArn"])
    same(balancers_of(s, one), [arn], "with one listener")
    s.elbv2.modify_listener(ListenerArn=first["ListenerArn"], DefaultActions=forward(two))
    same((balancers_of(s, one), balancers_of(s, two)), ([], [arn]), "after the listener changed")
    s.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    same(balancers_of(s, two), [], "after the load balancer went")
