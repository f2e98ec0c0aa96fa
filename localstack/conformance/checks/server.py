"""The server itself: isolation, the wire, the journal, faults (rows SRV-*)."""

import concurrent.futures
import itertools
import threading

from botocore.exceptions import ClientError, ConnectionClosedError

from session import REGION, Session, forward, refused
from suite import check, same


@check("SRV-ACCOUNTS", "D", "accounts do not see each other", "AWS: accounts and regions are separate")
def accounts(s):
    other = Session(s.server, f"{int(s.account) + 500_000:012d}")
    arn = s.nlb(Name="web")["LoadBalancerArn"]
    same(other.elbv2.describe_load_balancers()["LoadBalancers"], [], "load balancers of the other account")
    refused("LoadBalancerNotFound|ValidationError", other.elbv2.describe_load_balancers, LoadBalancerArns=[arn])
    other.nlb(Name="web")
    same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), 1, "load balancers of this account")


@check("SRV-REGIONS", "D", "regions of one account do not see each other", "AWS: accounts and regions are separate")
def regions(s):
    s.nlb(Name="web")
    elsewhere = s.server.client("elbv2", s.account, "eu-central-1")
    same(elsewhere.describe_load_balancers()["LoadBalancers"], [], "load balancers of the other region")


@check("SRV-UNKNOWN-ACTION", "D", "an unknown action is InvalidAction and names it", "ELBv2 and EC2 API, common errors")
def unknown_action(s):
    for service, version, path in (("elasticloadbalancing", "2015-12-01", "Error"), ("ec2", "2016-11-15", "Errors/Error")):
        status, _, root = s.raw(service, version, Action="DescribeUnicorns")
        text = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
        same((status, text["Code"]), (400, "InvalidAction"), f"{service}, {path}")
        assert "DescribeUnicorns" in text["Message"], text["Message"]


@check(
    "SRV-UNKNOWN-PARAMETER",
    "D",
    "an unknown parameter of a known action is refused and named",
    "ELBv2 and EC2 API, common errors",
)
def unknown_parameter(s):
    for service, version, action, code in (
        ("elasticloadbalancing", "2015-12-01", "DescribeLoadBalancers", "ValidationError"),
        ("ec2", "2016-11-15", "DescribeVpcs", "UnknownParameter"),
    ):
        status, _, root = s.raw(service, version, Action=action, Unicorn="1")
        text = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
        same((status, text["Code"]), (400, code), service)
        assert "Unicorn" in text["Message"], text["Message"]


@check("SRV-MISSING-PARAMETER", "D", "a missing parameter is refused and named", "ELBv2 and EC2 API, common errors")
def missing_parameter(s):
    error = refused(
        "ValidationError", s.elbv2.create_load_balancer, Type="network", Scheme="internal", Subnets=s.subnet_ids("internal")
    )
    assert "name" in error["Message"].lower(), error["Message"]
    error = refused("MissingParameter", s.ec2.delete_tags, Tags=[{"Key": "a"}])
    assert "esource" in error["Message"], error["Message"]


@check(
    "SRV-MALFORMED-ARN",
    "D",
    "what is no ARN is ValidationError or not found, never a server error",
    "ELBv2 and EC2 API, common errors",
)
def malformed(s):
    for arn in ("", "nonsense", "arn:aws:elasticloadbalancing:us-west-2:1:loadbalancer/app/x/0123456789abcdef", "é" * 300):
        refused("ValidationError|LoadBalancerNotFound", s.elbv2.describe_load_balancer_attributes, LoadBalancerArn=arn)


@check("SRV-HEALTH", "S", "/_localstack/health has LocalStack's shape", "LocalStack docs, internal endpoints")
def health(s):
    got = s.server.admin("GET", "/_localstack/health")
    same(
        {name: got["services"].get(name) for name in ("ec2", "elbv2", "sts")},
        dict.fromkeys(("ec2", "elbv2", "sts"), "running"),
        "services",
    )
    assert got["edition"] and got["version"], got


@check("SRV-JOURNAL", "-", "the journal has every call: who, where, what, result", "the emulator's own")
def journal(s):
    entries = s.server.admin("GET", "/_landfall/journal")
    before = max((entry["sequence"] for entry in entries), default=0)
    s.nlb(Name="web", Tags=[{"Key": "a", "Value": "b"}])
    refused("LoadBalancerNotFound", s.elbv2.describe_load_balancers, Names=["gone"])
    entries = s.server.admin("GET", "/_landfall/journal", since=before + 1)
    mine = [entry for entry in entries if entry["account"] == s.account]
    create = next(entry for entry in mine if entry["action"] == "CreateLoadBalancer")
    same((create["region"], create["service"], create["write"]), (REGION, "elasticloadbalancing", True), "entry")
    same((create["parameters"]["Name"], create["parameters"]["Tags.member.1.Key"]), ("web", "a"), "parameters")
    assert "landfall-conformance" in create["user_agent"], create["user_agent"]
    same(mine[-1]["write"], False, "whether a describe is a write")
    assert "LoadBalancerNotFound" in str(mine[-1]["result"]), mine[-1]["result"]


def codes(call, count, **parameters):
    got = []
    for _ in range(count):
        try:
            call(**parameters)
            got.append("ok")
        except ClientError as error:
            metadata = error.response["ResponseMetadata"]
            got.append(f"{error.response['Error']['Code']} {metadata['HTTPStatusCode']}")
        except ConnectionClosedError:
            got.append("closed")
    return got


def at_once(count, work):
    """`work(0)` to `work(count - 1)` on threads that begin together; what they return, or the code of the error that they meet."""
    ready = threading.Barrier(count)

    def one(number):
        ready.wait()
        try:
            return work(number)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@check(
    "SRV-THREADS",
    "D",
    "of eight writers at once each sees its calls take effect whole: equal creates make one, of rivals one wins, and nothing is lost",
    "ELBv2 API CreateLoadBalancer and CreateTargetGroup, idempotency; errors of CreateListener and AuthorizeSecurityGroupIngress",
)
def threads(s):
    elbv2, ec2, count, each = s.elbv2, s.ec2, 8, 25
    base = {"Protocol": "TCP", "Port": 80, "VpcId": s.vpc, "TargetType": "ip"}
    settings = {"Name": "web", "Type": "network", "Scheme": "internal", "Subnets": s.subnet_ids("internal")}
    made = at_once(count, lambda _: elbv2.create_load_balancer(**settings)["LoadBalancers"][0]["LoadBalancerArn"])
    same(len(set(made)), 1, "load balancers of one name")
    made = at_once(count, lambda _: elbv2.create_target_group(Name="web", **base)["TargetGroups"][0]["TargetGroupArn"])
    same(len(set(made)), 1, "target groups of one name")

    def write(number):
        """Makes groups, tags them, and deletes every other: those that it left."""
        left = set()
        for step in range(each):
            [group] = elbv2.create_target_group(Name=f"tg-{number}-{step}", **base)["TargetGroups"]
            arn = group["TargetGroupArn"]
            elbv2.add_tags(ResourceArns=[arn], Tags=[{"Key": "writer", "Value": str(number)}])
            if step % 2:
                elbv2.delete_target_group(TargetGroupArn=arn)
            else:
                left.add(arn)
            elbv2.describe_target_groups(PageSize=20)
        return left

    outcomes = at_once(count, write)
    same([outcome for outcome in outcomes if isinstance(outcome, str)], [], "errors of writers")
    pages = elbv2.get_paginator("describe_target_groups").paginate()
    left = sorted(group["TargetGroupArn"] for page in pages for group in page["TargetGroups"])
    same(left, sorted({made[0]}.union(*outcomes)), "target groups at the end")
    for number, arns in enumerate(outcomes):
        tags = elbv2.describe_tags(ResourceArns=sorted(arns))["TagDescriptions"]
        same({tag["Value"] for entry in tags for tag in entry["Tags"]}, {str(number)}, "tags of a writer's groups")

    balancer, rivals = s.nlb(), [s.group() for _ in range(count)]
    arguments = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "TCP", "Port": 80}
    got = at_once(count, lambda number: elbv2.create_listener(DefaultActions=forward(rivals[number]), **arguments) and "ok")
    same(sorted(got), ["DuplicateListener"] * (count - 1) + ["ok"], "listeners on one port")
    permission = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    rule = {"GroupId": s.security_group(), "IpPermissions": [permission]}
    got = at_once(count, lambda _: ec2.authorize_security_group_ingress(**rule) and "ok")
    same(sorted(got), ["InvalidPermission.Duplicate"] * (count - 1) + ["ok"], "one rule")


@check(
    "SRV-FAULTS",
    "D",
    "throttling and denial have each service's own code and status, for the calls they are meant for",
    "ELBv2 and EC2 API, common errors; reference F19, F27",
)
def faults(s):
    with s.fault(action="DescribeLoadBalancers", times=2, fault="throttle"):
        same(codes(s.elbv2.describe_load_balancers, 3), ["Throttling 400"] * 2 + ["ok"], "ELBv2 throttled twice")
    with s.fault(action="Describe*", service="ec2", nth=2, fault="throttle"):
        same(codes(s.ec2.describe_vpcs, 3), ["ok", "RequestLimitExceeded 503", "ok"], "EC2 throttled once")
    with s.fault(action="DescribeVpcs", fault="denied"):
        same(codes(s.ec2.describe_vpcs, 1), ["UnauthorizedOperation 403"], "EC2 denied")
    with s.fault(action="DescribeLoadBalancers", fault="denied"):
        same(codes(s.elbv2.describe_load_balancers, 1), ["AccessDenied 403"], "ELBv2 denied")


@check(
    "SRV-FAULT-LOST",
    "D",
    "a lost answer: the effect is there or not as the fault says, and a repeated create finds it (F22)",
    "AWS SDK guide, retries; reference F22",
)
def lost_answers(s):
    settings = {"Name": "web", "Type": "network", "Scheme": "internal", "Subnets": s.subnet_ids("internal")}
    existing = itertools.count(0)
    for fault, outcome in (("drop_before", "closed"), ("drop_after", "closed")):
        with s.fault(action="CreateLoadBalancer", times=1, fault=fault):
            same(codes(s.elbv2.create_load_balancer, 1, **settings), [outcome], fault)
            same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), next(existing), f"load balancers after {fault}")
    same(codes(s.elbv2.create_load_balancer, 1, **settings), ["ok"], "once more")
    same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), 1, "load balancers")
