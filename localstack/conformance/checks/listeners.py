"""Listeners and their attributes (rows LS-*, LSA-*)."""

import re

from session import forward, refused
from suite import check, same

MISFIT = "IncompatibleProtocols|InvalidConfigurationRequest|ValidationError|UnsupportedProtocol"


def create(s, balancer, group, **settings):
    base = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "TCP", "Port": 80, "DefaultActions": forward(group)}
    return {**base, **settings}


@check("LS-ARN", "D", "a listener's ARN is listener/net/<name>/<load balancer's id>/<16 hex>", "ELBv2 API Listener")
def arn(s):
    balancer = s.nlb(Name="web")
    identifier = balancer["LoadBalancerArn"].rpartition("/")[2]
    listener = s.listener(balancer, s.group())
    pattern = rf"arn:aws:elasticloadbalancing:{s.region}:{s.account}:listener/net/web/{identifier}/[0-9a-f]{{16}}"
    assert re.fullmatch(pattern, listener["ListenerArn"]), listener["ListenerArn"]
    same(listener["LoadBalancerArn"], balancer["LoadBalancerArn"], "load balancer")


@check("LS-DUPPORT", "D", "a port is used once: DuplicateListener", "ELBv2 API CreateListener")
def duplicate_port(s):
    balancer = s.nlb()
    s.listener(balancer, s.group())
    refused("DuplicateListener", s.elbv2.create_listener, **create(s, balancer, s.group()))
    s.listener(s.nlb(), s.group())


@check("LS-IDEMPOTENT", "D", "a second create with the same settings returns the same listener", "ELBv2 API CreateListener")
def idempotent(s):
    balancer, group = s.nlb(), s.group()
    first, second = s.listener(balancer, group), s.listener(balancer, group)
    same(second["ListenerArn"], first["ListenerArn"], "ARN")
    same(len(s.elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]), 1, "listeners")


@check("LS-UDP-SAMEPORT", "D", "TCP and UDP of one port are one TCP_UDP listener, never two", "NLB guide, listeners; lbc#1608")
def udp_beside_tcp(s):
    balancer = s.nlb()
    s.listener(balancer, s.group())
    refused("DuplicateListener", s.elbv2.create_listener, **create(s, balancer, s.group(Protocol="UDP"), Protocol="UDP"))
    both = s.listener(balancer, s.group(Protocol="TCP_UDP"), Protocol="TCP_UDP", Port=53)
    same(both["Protocol"], "TCP_UDP", "protocol")


@check(
    "LS-PROTO-MISMATCH",
    "D",
    "a listener forwards to groups of its own protocol; TCP and UDP ones also to TCP_UDP groups",
    "ELBv2 API CreateListener",
)
def mismatch(s):
    balancer = s.nlb()
    for listener, group in (("TCP", "UDP"), ("UDP", "TCP"), ("TCP_UDP", "TCP")):
        refused(MISFIT, s.elbv2.create_listener, **create(s, balancer, s.group(Protocol=group), Protocol=listener))
    for protocol, port in (("TCP", 80), ("UDP", 53)):
        s.listener(balancer, s.group(Protocol="TCP_UDP"), Protocol=protocol, Port=port)


@check("LS-PROTOCOL", "D", "HTTP is no protocol of a network load balancer's listener", "ELBv2 API CreateListener")
def http(s):
    refused(MISFIT, s.elbv2.create_listener, **create(s, s.nlb(), s.group(), Protocol="HTTP"))


@check("LS-TCP-NO-SSLPOLICY", "D", "TCP and UDP listeners have no TLS settings", "ELBv2 API CreateListener")
def no_tls_settings(s):
    balancer = s.nlb()
    for listener in (s.listener(balancer, s.group()), s.listener(balancer, s.group(Protocol="UDP"), Protocol="UDP", Port=53)):
        extra = {
            key: listener.get(key)
            for key in ("SslPolicy", "Certificates", "AlpnPolicy", "MutualAuthentication")
            if listener.get(key)
        }
        same(extra, {}, "TLS settings")


@check("LS-TLS-NOCERT", "D", "a TLS listener without a certificate is refused", "ELBv2 API CreateListener")
def tls_without_certificate(s):
    refused(
        "CertificateNotFound|ValidationError|InvalidConfigurationRequest|UnsupportedProtocol",
        s.elbv2.create_listener,
        **create(s, s.nlb(), s.group(), Protocol="TLS"),
    )


@check("LS-404", "D", "unknown load balancers and groups are named as such, and nothing is made", "ELBv2 API CreateListener")
def unknown(s):
    balancer, group = s.nlb(), s.group()
    gone = {"LoadBalancerArn": balancer["LoadBalancerArn"][:-16] + "0" * 16}
    refused("LoadBalancerNotFound", s.elbv2.create_listener, **create(s, gone, group))
    gone = {"TargetGroupArn": group["TargetGroupArn"][:-16] + "0" * 16}
    refused("TargetGroupNotFound", s.elbv2.create_listener, **create(s, balancer, gone))
    refused("LoadBalancerNotFound", s.elbv2.describe_listeners, LoadBalancerArn=balancer["LoadBalancerArn"][:-16] + "0" * 16)
    same(s.elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"], [], "listeners")


@check("LS-PORT", "D", "ports are 1 to 65535, and the default action is a forward", "ELBv2 API CreateListener")
def ports(s):
    balancer, group = s.nlb(), s.group()
    for settings in ({"Port": 0}, {"Port": 65536}, {"DefaultActions": []}, {"DefaultActions": [{"Type": "fixed-response"}]}):
        refused(
            "ValidationError|InvalidLoadBalancerAction|InvalidConfigurationRequest",
            s.elbv2.create_listener,
            **create(s, balancer, group, **settings),
        )


@check("LS-FORWARDCONFIG", "D", "a forward given as ForwardConfig names its group", "ELBv2 API Action")
def forward_config(s):
    balancer, group = s.nlb(), s.group()
    action = {
        "Type": "forward",
        "Order": 1,
        "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": group["TargetGroupArn"], "Weight": 1}]},
    }
    [shown] = s.listener(balancer, group, DefaultActions=[action])["DefaultActions"]
    named = {shown.get("TargetGroupArn")} | {
        entry["TargetGroupArn"] for entry in shown.get("ForwardConfig", {}).get("TargetGroups", [])
    }
    same((shown["Type"], named - {None}), ("forward", {group["TargetGroupArn"]}), "action")
    same(s.describe_group(group)["LoadBalancerArns"], [balancer["LoadBalancerArn"]], "LoadBalancerArns")


@check("LS-MODIFY-UDP", "D", "a listener's protocol, port and group can be changed", "ELBv2 API ModifyListener")
def modify(s):
    balancer, group = s.nlb(), s.group(Protocol="UDP")
    listener = s.listener(balancer, s.group())
    answer = s.elbv2.modify_listener(ListenerArn=listener["ListenerArn"], Protocol="UDP", Port=53, DefaultActions=forward(group))
    [shown] = answer["Listeners"]
    same((shown["Protocol"], shown["Port"]), ("UDP", 53), "answer")
    same(s.elbv2.describe_listeners(ListenerArns=[listener["ListenerArn"]])["Listeners"], [shown], "listener")


@check(
    "LS-MODIFY-TG404",
    "D",
    "a change to an unknown group is TargetGroupNotFound, and changes nothing",
    "ELBv2 API ModifyListener",
)
def modify_unknown_group(s):
    group = s.group()
    listener = s.listener(s.nlb(), group)
    gone = {"TargetGroupArn": group["TargetGroupArn"][:-16] + "0" * 16}
    refused(
        "TargetGroupNotFound", s.elbv2.modify_listener, ListenerArn=listener["ListenerArn"], Port=81, DefaultActions=forward(gone)
    )
    same(s.elbv2.describe_listeners(ListenerArns=[listener["ListenerArn"]])["Listeners"], [listener], "listener")
    refused("ListenerNotFound", s.elbv2.modify_listener, ListenerArn=listener["ListenerArn"][:-16] + "0" * 16, Port=81)


@check("LS-MODIFY-PORT-CLASH", "D", "a change to a used port is DuplicateListener", "ELBv2 API ModifyListener")
def modify_clash(s):
    balancer = s.nlb()
    s.listener(balancer, s.group(), Port=80)
    second = s.listener(balancer, s.group(), Port=81)
    refused("DuplicateListener", s.elbv2.modify_listener, ListenerArn=second["ListenerArn"], Port=80)


@check("LS-LIMIT", "D", "the 51st listener is TooManyListeners", "NLB guide, quotas")
def limit(s):
    balancer, group = s.nlb(), s.group()
    for port in range(50):
        s.listener(balancer, group, Port=1000 + port)
    refused("TooManyListeners", s.elbv2.create_listener, **create(s, balancer, group))


@check("LS-DESC-1OF2", "U", "describe fails whole when a listener is missing", "our belief, after lbc#457 for load balancers")
def describe_missing(s):
    listener = s.listener(s.nlb(), s.group())["ListenerArn"]
    refused("ListenerNotFound", s.elbv2.describe_listeners, ListenerArns=[listener, listener[:-16] + "0" * 16])


@check("LS-PAGE", "D", "listeners are listed in pages", "ELBv2 API DescribeListeners")
def pages(s):
    balancer, group = s.nlb(), s.group()
    made = {s.listener(balancer, group, Port=80 + port)["ListenerArn"] for port in range(5)}
    arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "PaginationConfig": {"PageSize": 2}}
    pages = list(s.elbv2.get_paginator("describe_listeners").paginate(**arguments))
    same([len(page["Listeners"]) for page in pages], [2, 2, 1], "page sizes")
    same({listener["ListenerArn"] for page in pages for listener in page["Listeners"]}, made, "listeners")


@check("LSA-RANGE", "D", "tcp.idle_timeout.seconds is 350 by default and 60 to 6000", "ELBv2 API ListenerAttribute")
def idle_timeout(s):
    listener, key = s.listener(s.nlb(), s.group())["ListenerArn"], "tcp.idle_timeout.seconds"

    def value():
        answer = s.elbv2.describe_listener_attributes(ListenerArn=listener)
        return {entry["Key"]: entry["Value"] for entry in answer["Attributes"]}.get(key)

    same(value(), "350", key)
    for wanted in ("60", "6000"):
        s.elbv2.modify_listener_attributes(ListenerArn=listener, Attributes=[{"Key": key, "Value": wanted}])
        same(value(), wanted, key)
    for bad in ("59", "6001", "ten"):
        refused(
            "ValidationError|InvalidConfigurationRequest",
            s.elbv2.modify_listener_attributes,
            ListenerArn=listener,
            Attributes=[{"Key": key, "Value": bad}],
        )
