"""What a client of AWS has to survive, by the numbers of the fault model (rows F*), where no other row shows it."""

from session import refused
from suite import check, same

from .server import codes


@check(
    "F15",
    "O",
    "what was just made is not found by its name for a while",
    "EC2 API reference, Eventual consistency; reference F15",
)
def fresh_ids(s):
    with s.durations(fresh_ids=20):
        arn, group = s.nlb()["LoadBalancerArn"], s.security_group()
        refused("LoadBalancerNotFound", s.elbv2.describe_load_balancers, LoadBalancerArns=[arn])
        refused("LoadBalancerNotFound", s.elbv2.describe_tags, ResourceArns=[arn])
        refused("InvalidGroup.NotFound", s.ec2.describe_security_groups, GroupIds=[group])
        s.advance(21)
        same(len(s.elbv2.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]), 1, "load balancers")
        same(len(s.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]), 1, "security groups")


@check(
    "F16",
    "O",
    "listings miss what is new and show what is gone",
    "EC2 API reference, Eventual consistency; reference F16",
)
def lists_lag(s):
    with s.durations(lists_lag=30):
        arn = s.nlb()["LoadBalancerArn"]
        same(s.elbv2.describe_load_balancers()["LoadBalancers"], [], "load balancers at once")
        s.advance(31)
        same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), 1, "load balancers later")
        s.elbv2.delete_load_balancer(LoadBalancerArn=arn)
        same(len(s.elbv2.describe_load_balancers()["LoadBalancers"]), 1, "load balancers after the deletion")
        s.advance(31)
        same(s.elbv2.describe_load_balancers()["LoadBalancers"], [], "load balancers in the end")


@check(
    "F19",
    "D",
    "an action has a token bucket that refills with time",
    "EC2 API reference, Request throttling; reference F19",
)
def buckets(s):
    with s.fault(action="DescribeVpcs", fault={"bucket": {"burst": 3, "per_second": 0.01}}):
        for _ in range(3):
            s.ec2.describe_vpcs()
        refused("RequestLimitExceeded", s.ec2.describe_vpcs)
        s.ec2.describe_subnets()
        s.advance(101)
        s.ec2.describe_vpcs()


@check(
    "F20",
    "D",
    "a quota can be another one for an account and region",
    "NLB user guide, Quotas for your Network Load Balancers",
)
def quotas(s):
    where = {"account": s.account, "region": s.region}
    s.server.admin("PUT", "/_landfall/quotas", {"target_groups": 1}, **where)
    s.group()
    refused("TooManyTargetGroups", s.group)
    [limit] = [row for row in s.elbv2.describe_account_limits()["Limits"] if row["Name"] == "target-groups"]
    same(limit["Max"], "1", "the limit that is told")
    s.server.admin("DELETE", "/_landfall/quotas", **where)
    s.group()


@check(
    "F23",
    "D",
    "an address whose allocation's answer was lost is there, found by its tag; a load balancer's cannot be moved, taken or exchanged",
    "EC2 API AllocateAddress, which has no client token; ELBv2 API SetSubnets; reference F23",
)
def addresses(s):
    tagged = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "owner", "Value": "me"}]}]
    with s.fault(action="AllocateAddress", times=1, fault="drop_after"):
        same(codes(s.ec2.allocate_address, 2, Domain="vpc", TagSpecifications=tagged), ["closed", "ok"], "two allocations")
    mine = [{"Name": "tag:owner", "Values": ["me"]}]
    one, two = (address["AllocationId"] for address in s.ec2.describe_addresses(Filters=mine)["Addresses"])

    [subnet] = s.subnet_ids("public", 1)
    zone = {"SubnetId": subnet, "AllocationId": one}
    arn = s.nlb(Scheme="internet-facing", SubnetMappings=[zone])["LoadBalancerArn"]
    [used] = s.ec2.describe_addresses(AllocationIds=[one])["Addresses"]
    instance = s.instances()[0]["InstanceId"]
    refused("OperationNotPermitted", s.ec2.associate_address, AllocationId=one, InstanceId=instance, AllowReassociation=True)
    refused("OperationNotPermitted", s.ec2.disassociate_address, AssociationId=used["AssociationId"])
    refused("InvalidIPAddress.InUse", s.ec2.release_address, AllocationId=one)
    exchanged = {"LoadBalancerArn": arn, "SubnetMappings": [{**zone, "AllocationId": two}]}
    refused("InvalidConfigurationRequest", s.elbv2.set_subnets, **exchanged)
    s.elbv2.delete_load_balancer(LoadBalancerArn=arn)
    for allocation in (one, two):
        s.ec2.release_address(AllocationId=allocation)


@check(
    "F24",
    "O",
    "somebody else deletes a listener right after it was made",
    "reference F24",
)
def edits(s):
    edit = {"service": "elasticloadbalancing", "action": "DeleteListener", "parameters": {"ListenerArn": "{ListenerArn}"}}
    balancer, group = s.nlb(), s.group()
    with s.fault(action="CreateListener", fault={"edit": edit}):
        arn = s.listener(balancer, group)["ListenerArn"]
    refused("ListenerNotFound", s.elbv2.describe_listeners, ListenerArns=[arn])


@check(
    "F26",
    "D",
    "health can be unavailable, as a state and as an error",
    "API reference, TargetHealth and DescribeTargetHealth",
)
def health(s):
    group = s.group()
    error = {"code": "HealthUnavailable", "status": 500, "message": "The health of the targets is unavailable"}
    with s.fault(action="DescribeTargetHealth", fault={"error": error}):
        refused("HealthUnavailable", s.health, group=group)
    s.register(group, (s.instances()[0]["PrivateIpAddress"], 80))
    with s.fault(action="DescribeTargetHealth", fault={"replace": {"element": "State", "text": "unavailable"}}):
        same([state for state, _, _ in s.health(group).values()], ["unavailable"], "states")


@check(
    "F27",
    "D",
    "credentials expire or lack an action, and a policy is enforced to its conditions",
    "IAM user guide, Policy evaluation logic; API reference, Common Errors",
)
def credentials(s):
    with s.fault(fault="expired_token"):
        refused("ExpiredToken", s.elbv2.describe_load_balancers)
        refused("RequestExpired", s.ec2.describe_vpcs)
    owned = {"Null": {"aws:ResourceTag/owner": "false"}}
    statements = [
        {"Effect": "Allow", "Action": ["ec2:Describe*", "elasticloadbalancing:Create*"], "Resource": "*"},
        {"Effect": "Allow", "Action": "elasticloadbalancing:AddTags", "Resource": "arn:aws:elasticloadbalancing:*:*:targetgroup/*/*"},
        {"Effect": "Allow", "Action": "elasticloadbalancing:Delete*", "Resource": "*", "Condition": owned},
    ]
    s.server.admin("PUT", "/_landfall/policy", {"Version": "2012-10-17", "Statement": statements}, account=s.account)
    try:
        own, other = s.group(Tags=[{"Key": "owner", "Value": "me"}]), s.group()
        error = refused("AccessDenied", s.elbv2.delete_target_group, TargetGroupArn=other["TargetGroupArn"])
        assert other["TargetGroupArn"] in error["Message"], error["Message"]
        s.elbv2.delete_target_group(TargetGroupArn=own["TargetGroupArn"])
        refused("UnauthorizedOperation", s.security_group)
    finally:
        s.server.admin("DELETE", "/_landfall/policy")
    s.security_group()
