"""Tags of load balancers, groups and listeners (rows TAG-*)."""

from session import refused
from suite import check, same


def tags(s, *arns):
    answer = s.elbv2.describe_tags(ResourceArns=list(arns))
    return {entry["ResourceArn"]: {tag["Key"]: tag["Value"] for tag in entry["Tags"]} for entry in answer["TagDescriptions"]}


def pairs(count):
    return [{"Key": f"key-{index}", "Value": str(index)} for index in range(count)]


@check(
    "TAG-ROUNDTRIP",
    "D",
    "tags given at creation are there; they are added, replaced and removed, on all three kinds",
    "ELBv2 API AddTags",
)
def round_trip(s):
    given = [{"Key": "owner", "Value": "one"}, {"Key": "odd _.:/=+-@ é", "Value": ""}]
    balancer, group = s.nlb(Tags=given), s.group(Tags=given)
    listener = s.listener(balancer, group, Tags=given)
    arns = [balancer["LoadBalancerArn"], group["TargetGroupArn"], listener["ListenerArn"]]
    wanted = {"owner": "one", "odd _.:/=+-@ é": ""}
    same(tags(s, *arns), {arn: wanted for arn in arns}, "tags")
    for arn in arns:
        s.elbv2.add_tags(ResourceArns=[arn], Tags=[{"Key": "owner", "Value": "two"}, {"Key": "new", "Value": "x"}])
        same(tags(s, arn)[arn], {**wanted, "owner": "two", "new": "x"}, "tags")
        s.elbv2.remove_tags(ResourceArns=[arn], TagKeys=["new", "never-there"])
        same(tags(s, arn)[arn], {**wanted, "owner": "two"}, "tags")


@check(
    "TAG-ADD-MULTI",
    "O",
    "only one resource is tagged at a time",
    "kubernetes#73479, aws-sdk-go-v2#2715, cloud-provider-aws#1447; reference F18",
)
def several(s):
    arns = [s.nlb()["LoadBalancerArn"], s.group()["TargetGroupArn"]]
    refused("ValidationError", s.elbv2.add_tags, ResourceArns=arns, Tags=pairs(1))
    same(tags(s, *arns), {arn: {} for arn in arns}, "tags")


@check("TAG-11TH", "D", "a resource has up to 50 tags, whether given at once or added", "ELBv2 API AddTags")
def limit(s):
    group = s.group(Tags=pairs(40))["TargetGroupArn"]
    s.elbv2.add_tags(ResourceArns=[group], Tags=pairs(50))
    same(len(tags(s, group)[group]), 50, "tags")
    refused("TooManyTags", s.elbv2.add_tags, ResourceArns=[group], Tags=[{"Key": "one-more", "Value": ""}])
    s.elbv2.add_tags(ResourceArns=[group], Tags=[{"Key": "key-7", "Value": "replaced"}])


@check("TAG-404", "D", "tags of what is not there are an error of its kind", "ELBv2 API DescribeTags")
def unknown(s):
    balancer, group = s.nlb(), s.group()
    listener = s.listener(balancer, group)
    for arn, code in (
        (balancer["LoadBalancerArn"], "LoadBalancerNotFound"),
        (group["TargetGroupArn"], "TargetGroupNotFound"),
        (listener["ListenerArn"], "ListenerNotFound"),
    ):
        gone = arn[:-16] + "0" * 16
        refused(code, s.elbv2.describe_tags, ResourceArns=[arn, gone])
        refused(code, s.elbv2.add_tags, ResourceArns=[gone], Tags=pairs(1))
        refused(code, s.elbv2.remove_tags, ResourceArns=[gone], TagKeys=["a"])


@check("TAG-21", "D", "at most 20 resources in one describe", "ELBv2 API DescribeTags")
def many(s):
    arns = [s.group()["TargetGroupArn"] for _ in range(21)]
    same(len(tags(s, *arns[:20])), 20, "resources")
    refused("ValidationError", s.elbv2.describe_tags, ResourceArns=arns)


@check("TAG-AWSPREFIX", "D", "keys that begin with aws: are AWS's", "ELBv2 API AddTags")
def reserved(s):
    group = s.group()["TargetGroupArn"]
    refused("ValidationError", s.elbv2.add_tags, ResourceArns=[group], Tags=[{"Key": "aws:owner", "Value": "me"}])


@check("TAG-DUP", "D", "one key twice is DuplicateTagKeys", "ELBv2 API AddTags")
def duplicate(s):
    group = s.group()["TargetGroupArn"]
    refused("DuplicateTagKeys", s.elbv2.add_tags, ResourceArns=[group], Tags=pairs(1) * 2)


@check("TAG-LENGTH", "D", "keys have 1 to 128 characters, values up to 256", "ELBv2 API Tag")
def length(s):
    group = s.group()["TargetGroupArn"]
    s.elbv2.add_tags(ResourceArns=[group], Tags=[{"Key": "k" * 128, "Value": "v" * 256}])
    for tag in ({"Key": "", "Value": "v"}, {"Key": "k" * 129, "Value": "v"}, {"Key": "k", "Value": "v" * 257}):
        refused("ValidationError", s.elbv2.add_tags, ResourceArns=[group], Tags=[tag])
