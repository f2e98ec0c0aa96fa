"""The Resource Groups Tagging API (rows RGT-*)."""

from session import forward, refused
from suite import check, same

TAGS = [{"Key": "team", "Value": "web"}]


def arns(answer):
    return [entry["ResourceARN"] for entry in answer["ResourceTagMappingList"]]


def found(s, **filters):
    return arns(s.tagging.get_resources(TagFilters=[{"Key": "team", "Values": ["web", "db"]}], **filters))


@check("RGT-NET", "D", "network load balancers and target groups are found by type and tag", "Resource Groups Tagging API GetResources")
def balancers(s):
    balancer, group = s.nlb(Tags=TAGS), s.group(Tags=TAGS)
    s.nlb(Tags=[{"Key": "team", "Value": "other"}])
    for kind, wanted in (
        ("elasticloadbalancing:loadbalancer/net", [balancer["LoadBalancerArn"]]),
        ("elasticloadbalancing:loadbalancer", [balancer["LoadBalancerArn"]]),
        ("elasticloadbalancing:loadbalancer/app", []),
        ("elasticloadbalancing:targetgroup", [group["TargetGroupArn"]]),
        ("elasticloadbalancing", sorted([balancer["LoadBalancerArn"], group["TargetGroupArn"]])),
    ):
        same(found(s, ResourceTypeFilters=[kind]), wanted, kind)
    answer = s.tagging.get_resources(ResourceARNList=[balancer["LoadBalancerArn"]])
    same(answer["ResourceTagMappingList"], [{"ResourceARN": balancer["LoadBalancerArn"], "Tags": TAGS}], "by ARN")


@check("RGT-LISTENER", "D", "listeners are found by type and tag", "Resource Groups Tagging API GetResources")
def listeners(s):
    group = s.group()
    listener = s.listener(s.nlb(), group, DefaultActions=forward(group), Tags=TAGS)
    same(found(s, ResourceTypeFilters=["elasticloadbalancing:listener"]), [listener["ListenerArn"]], "listeners")
    same(found(s, ResourceTypeFilters=["elasticloadbalancing:listener/net"]), [listener["ListenerArn"]], "listeners")


@check("RGT-SG", "D", "security groups, subnets and addresses are found by type and tag", "Resource Groups Tagging API GetResources")
def ec2(s):
    group, subnet = s.security_group(), s.subnet_ids("nodes")[0]
    address = s.ec2.allocate_address(Domain="vpc")["AllocationId"]
    s.ec2.create_tags(Resources=[group, subnet, address], Tags=TAGS)
    for kind, resource in (("security-group", group), ("subnet", subnet), ("elastic-ip", address)):
        wanted = [f"arn:aws:ec2:{s.region}:{s.account}:{kind}/{resource}"]
        same(found(s, ResourceTypeFilters=[f"ec2:{kind}"]), wanted, kind)


@check("RGT-PAGE", "D", "resources come in pages; an empty token ends them", "Resource Groups Tagging API GetResources")
def pages(s):
    wanted = sorted(s.group(Tags=TAGS)["TargetGroupArn"] for _ in range(5))
    seen, token, count = [], "", 0
    while True:
        page = s.tagging.get_resources(TagFilters=[{"Key": "team"}], ResourcesPerPage=2, PaginationToken=token)
        seen, token, count = seen + arns(page), page["PaginationToken"], count + 1
        if not token:
            break
    same((sorted(seen), count), (wanted, 3), "resources and pages")


@check("RGT-KEYS", "D", "tag keys and values are listed", "Resource Groups Tagging API GetTagKeys")
def keys(s):
    s.group(Tags=TAGS)
    assert "team" in s.tagging.get_tag_keys()["TagKeys"]
    same(s.tagging.get_tag_values(Key="team")["TagValues"], ["web"], "values")


@check("RGT-INVALID", "D", "contradictory parameters and bad types are InvalidParameterException", "Resource Groups Tagging API GetResources, errors")
def invalid(s):
    for parameters in (
        {"ResourceARNList": ["arn:aws:x"], "TagFilters": [{"Key": "a"}]},
        {"ResourceTypeFilters": ["elasticloadbalancing:loadbalancers"]},
        {"PaginationToken": "mine"},
    ):
        refused("InvalidParameterException", s.tagging.get_resources, **parameters)
