"""TLS listeners, their certificates and policies (rows LS-TLS-*, LS-CERT-*, LS-SSLPOLICY)."""

from session import refused
from suite import check, same

REFUSED = "ValidationError|InvalidConfigurationRequest"


def certificates(*arns):
    return [{"CertificateArn": arn} for arn in arns]


def tls_listener(s, balancer=None, group=None, **settings):
    settings = {"Protocol": "TLS", "Port": 443, "Certificates": certificates(s.certificate()), **settings}
    return s.listener(balancer or s.nlb(), group or s.group(), **settings)


def tls_refused(s, codes, **settings):
    try:
        made = tls_listener(s, **settings)
    except s.elbv2.exceptions.ClientError as error:
        got = error.response["Error"]["Code"]
        assert got in codes.split("|"), f"got {got}, wanted {codes}"
        return
    raise AssertionError(f"succeeded with {made}, wanted {codes}")


def listed(s, listener):
    """The certificates of a listener, as (ARN, whether it is the default one)."""
    pages = s.elbv2.get_paginator("describe_listener_certificates").paginate(
        ListenerArn=listener["ListenerArn"], PaginationConfig={"PageSize": 10}
    )
    return [(entry["CertificateArn"], entry["IsDefault"]) for page in pages for entry in page["Certificates"]]


@check("LS-TLS", "D", "a TLS listener has a certificate, AWS's default policy, and forwards to TCP and TLS groups", "ELBv2 API CreateListener")
def tls(s):
    balancer, arn = s.nlb(), s.certificate()
    for port, protocol in ((443, "TCP"), (444, "TLS")):
        group = s.group(Protocol=protocol)
        made = tls_listener(s, balancer, group, Port=port, Certificates=certificates(arn))
        got = (made["Protocol"], made["SslPolicy"], made["Certificates"], made.get("AlpnPolicy"))
        same(got, ("TLS", "ELBSecurityPolicy-2016-08", certificates(arn), None), "listener")
        same(s.elbv2.describe_listeners(ListenerArns=[made["ListenerArn"]])["Listeners"], [made], "described")
    tls_refused(s, "IncompatibleProtocols|InvalidConfigurationRequest", group=s.group(Protocol="UDP"))


@check("LS-TLS-CERT404", "D", "an unknown certificate is CertificateNotFound, and exactly one can be given", "ELBv2 API CreateListener, errors")
def unknown_certificate(s):
    arn = s.certificate()
    tls_refused(s, "CertificateNotFound", Certificates=certificates(arn[:-12] + "0" * 12))
    tls_refused(s, REFUSED + "|TooManyCertificates", Certificates=certificates(arn, s.certificate()))
    tls_refused(s, REFUSED, Certificates=[{"CertificateArn": arn, "IsDefault": True}])


@check("LS-TLS-POLICY404", "D", "an unknown security policy is SSLPolicyNotFound, on create and on change", "ELBv2 API CreateListener, errors")
def unknown_policy(s):
    tls_refused(s, "SSLPolicyNotFound", SslPolicy="ELBSecurityPolicy-2016-09")
    arn = tls_listener(s)["ListenerArn"]
    refused("SSLPolicyNotFound", s.elbv2.modify_listener, ListenerArn=arn, SslPolicy="none")
    answer = s.elbv2.modify_listener(ListenerArn=arn, SslPolicy="ELBSecurityPolicy-TLS13-1-2-2021-06")
    same(answer["Listeners"][0]["SslPolicy"], "ELBSecurityPolicy-TLS13-1-2-2021-06", "policy")


@check("LS-MODIFY-TLS-ALPN", "D", "ALPN policies are the five documented ones, given at creation or later", "ELBv2 API ModifyListener")
def alpn(s):
    balancer, arn = s.nlb(), s.certificate()
    made = tls_listener(s, balancer, Certificates=certificates(arn), AlpnPolicy=["HTTP2Preferred"])
    same(made["AlpnPolicy"], ["HTTP2Preferred"], "created")
    for policy in ("HTTP1Only", "HTTP2Only", "HTTP2Optional", "None"):
        answer = s.elbv2.modify_listener(ListenerArn=made["ListenerArn"], AlpnPolicy=[policy])
        same(answer["Listeners"][0]["AlpnPolicy"], [policy], "modified")
    tls_refused(s, "ALPNPolicyNotFound", AlpnPolicy=["HTTP3Only"])
    tls_refused(s, REFUSED, AlpnPolicy=["HTTP1Only", "HTTP2Only"])


@check("LS-TLS->TCP", "D", "a change to TCP removes policy, certificates and ALPN; back to TLS, a certificate must be given", "ELBv2 API ModifyListener")
def tls_to_tcp(s):
    made = tls_listener(s, AlpnPolicy=["HTTP1Only"])
    arn = made["ListenerArn"]
    [now] = s.elbv2.modify_listener(ListenerArn=arn, Protocol="TCP")["Listeners"]
    left = {key: now[key] for key in ("SslPolicy", "Certificates", "AlpnPolicy") if now.get(key)}
    same(left, {}, "TLS settings")
    refused(REFUSED + "|CertificateNotFound", s.elbv2.modify_listener, ListenerArn=arn, Protocol="TLS")
    [now] = s.elbv2.modify_listener(ListenerArn=arn, Protocol="TLS", Certificates=certificates(s.certificate()))["Listeners"]
    same(now["Protocol"], "TLS", "protocol")


@check("LS-TCP-TLS-SETTINGS", "D", "certificates, policy and ALPN are for TLS listeners only", "ELBv2 API CreateListener")
def not_for_tcp(s):
    for settings in (
        {"SslPolicy": "ELBSecurityPolicy-2016-08"},
        {"Certificates": certificates(s.certificate())},
        {"AlpnPolicy": ["HTTP2Only"]},
    ):
        refused(
            REFUSED,
            s.elbv2.create_listener,
            LoadBalancerArn=s.nlb()["LoadBalancerArn"],
            Protocol="TCP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": s.group()["TargetGroupArn"]}],
            **settings,
        )


@check("LS-CERT-LIST", "D", "certificates are added and removed one by one; adding one again changes nothing", "ELBv2 API DescribeListenerCertificates")
def certificate_list(s):
    default, one, two = (s.certificate() for _ in range(3))
    made = tls_listener(s, Certificates=certificates(default))
    same(listed(s, made), [(default, True)], "at first")
    for arn in (one, two, one):
        answer = s.elbv2.add_listener_certificates(ListenerArn=made["ListenerArn"], Certificates=certificates(arn))
        same([(entry["CertificateArn"], entry["IsDefault"]) for entry in answer["Certificates"]], [(arn, False)], "answer")
    got = listed(s, made)
    same((got[0], sorted(got[1:])), ((default, True), sorted([(one, False), (two, False)])), "certificates")
    s.elbv2.remove_listener_certificates(ListenerArn=made["ListenerArn"], Certificates=certificates(one))
    same(listed(s, made), [(default, True), (two, False)], "after one was removed")
    both = {"ListenerArn": made["ListenerArn"], "Certificates": certificates(one, two)}
    refused(REFUSED, s.elbv2.add_listener_certificates, **both)
    unknown = {"ListenerArn": made["ListenerArn"], "Certificates": certificates(one[:-12] + "0" * 12)}
    refused("CertificateNotFound", s.elbv2.add_listener_certificates, **unknown)
    gone = {"ListenerArn": made["ListenerArn"][:-16] + "0" * 16, "Certificates": certificates(one)}
    refused("ListenerNotFound", s.elbv2.add_listener_certificates, **gone)


@check("LS-CERT-DEFAULT", "D", "the default certificate is not removed but replaced; in the list too, it shows twice", "ELBv2 API RemoveListenerCertificates")
def default_certificate(s):
    default, other = s.certificate(), s.certificate()
    made = tls_listener(s, Certificates=certificates(default))
    arguments = {"ListenerArn": made["ListenerArn"], "Certificates": certificates(default)}
    refused("OperationNotPermitted", s.elbv2.remove_listener_certificates, **arguments)
    s.elbv2.add_listener_certificates(**arguments)
    same(listed(s, made), [(default, True), (default, False)], "certificates")
    s.elbv2.modify_listener(ListenerArn=made["ListenerArn"], Certificates=certificates(other))
    same(listed(s, made), [(other, True), (default, False)], "after the default one was replaced")


@check("LS-CERT-LIMIT", "D", "a load balancer has at most 25 certificates beside the default ones: TooManyCertificates", "NLB guide, quotas")
def certificate_limit(s):
    balancer = s.nlb()
    one, two = tls_listener(s, balancer), tls_listener(s, balancer, Port=444)
    for number in range(25):
        arn = (one, two)[number % 2]["ListenerArn"]
        s.elbv2.add_listener_certificates(ListenerArn=arn, Certificates=certificates(s.certificate()))
    for listener in (one, two):
        arguments = {"ListenerArn": listener["ListenerArn"], "Certificates": certificates(s.certificate())}
        refused("TooManyCertificates", s.elbv2.add_listener_certificates, **arguments)


@check("LS-SSLPOLICY", "D", "security policies are listed in pages with protocols, ciphers in order, and types of load balancers", "ELBv2 API DescribeSSLPolicies")
def policies(s):
    pages = list(s.elbv2.get_paginator("describe_ssl_policies").paginate(PaginationConfig={"PageSize": 7}))
    found = {policy["Name"]: policy for page in pages for policy in page["SslPolicies"]}
    assert len(found) == sum(len(page["SslPolicies"]) for page in pages) > 30, f"{len(found)} policies"
    old = found["ELBSecurityPolicy-2016-08"]
    same(sorted(old["SslProtocols"]), ["TLSv1", "TLSv1.1", "TLSv1.2"], "protocols")
    same([cipher["Priority"] for cipher in old["Ciphers"]], list(range(1, 19)), "priorities")
    same(old["Ciphers"][0]["Name"], "ECDHE-ECDSA-AES128-GCM-SHA256", "first cipher")
    assert "network" in old["SupportedLoadBalancerTypes"], old
    strict = found["ELBSecurityPolicy-TLS13-1-2-Res-2021-06"]
    same((sorted(strict["SslProtocols"]), len(strict["Ciphers"])), (["TLSv1.2", "TLSv1.3"], 7), "strict policy")
    name = "ELBSecurityPolicy-TLS13-1-3-2021-06"
    [one] = s.elbv2.describe_ssl_policies(Names=[name])["SslPolicies"]
    same((one["Name"], one["SslProtocols"]), (name, ["TLSv1.3"]), "policy by name")
    refused("SSLPolicyNotFound", s.elbv2.describe_ssl_policies, Names=[name, "none"])
