"""The whole life of a network load balancer as boto3 users write it: waiters, paginators, resources (rows LIFE-*)."""

import boto3

from session import eventually, forward
from suite import check, same

QUICK = {"Delay": 0, "MaxAttempts": 200}


def clients(s):
    """boto3 as it comes: it checks parameters itself and retries."""
    user = boto3.Session(aws_access_key_id=s.account, aws_secret_access_key="secret", region_name=s.region)
    return [user.client(name, endpoint_url=s.server.endpoint) for name in ("elbv2", "ec2")]


@check(
    "LIFE-BOTO3",
    "D",
    "created, waited for, described by pages, tagged, changed and deleted, each step as boto3's documentation has it",
    "boto3 docs, ElasticLoadBalancingv2",
)
def life(s):
    elb, ec2 = clients(s)
    zones = s.subnet_ids("internal", 3)
    group_id = ec2.create_security_group(GroupName="life", Description="life", VpcId=s.vpc)["GroupId"]
    [balancer] = elb.create_load_balancer(
        Name="life",
        Type="network",
        Scheme="internal",
        Subnets=zones[:2],
        SecurityGroups=[group_id],
        Tags=[{"Key": "team", "Value": "a"}],
    )["LoadBalancers"]
    arn = balancer["LoadBalancerArn"]
    elb.get_waiter("load_balancer_exists").wait(Names=["life"], WaiterConfig=QUICK)
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=QUICK)

    made = [
        elb.create_target_group(Name=f"life-{port}", Protocol="TCP", Port=port, VpcId=s.vpc, TargetType="ip")["TargetGroups"][0]
        for port in (8080, 8081, 8082)
    ]
    groups = [group["TargetGroupArn"] for group in made]
    listener = elb.create_listener(LoadBalancerArn=arn, Protocol="TCP", Port=80, DefaultActions=forward(made[0]))
    listener = listener["Listeners"][0]["ListenerArn"]
    listed = elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2})
    same(sorted(group["TargetGroupArn"] for page in listed for group in page["TargetGroups"]), sorted(groups), "groups by pages")
    listed = elb.get_paginator("describe_listeners").paginate(LoadBalancerArn=arn).search("Listeners[].Port")
    same(list(listed), [80], "listeners by pages")
    listed = elb.get_paginator("describe_load_balancers").paginate().search("LoadBalancers[].LoadBalancerName")
    same(list(listed), ["life"], "load balancers by pages")

    instance = s.instances()[0]
    (address, port), _ = s.serve(instance["PrivateIpAddress"])
    s.allow(instance, port)
    targets = [{"Id": address, "Port": port}]
    elb.register_targets(TargetGroupArn=groups[0], Targets=targets)
    elb.get_waiter("target_in_service").wait(TargetGroupArn=groups[0], Targets=targets, WaiterConfig={"Delay": 1, "MaxAttempts": 20})

    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "team", "Value": "b"}, {"Key": "stage", "Value": "test"}])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["stage"])
    same(elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"], [{"Key": "team", "Value": "b"}], "tags")
    cross = {"Key": "load_balancing.cross_zone.enabled", "Value": "true"}
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[cross])
    assert cross in elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"], "cross-zone was not kept"
    elb.modify_target_group_attributes(
        TargetGroupArn=groups[0], Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
    )
    elb.set_subnets(LoadBalancerArn=arn, Subnets=zones)
    elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[arn], WaiterConfig=QUICK)
    same(len(elb.describe_load_balancers(Names=["life"])["LoadBalancers"][0]["AvailabilityZones"]), 3, "zones")
    elb.modify_target_group(TargetGroupArn=groups[1], HealthCheckIntervalSeconds=10)
    elb.modify_listener(ListenerArn=listener, DefaultActions=forward(made[1]))

    elb.deregister_targets(TargetGroupArn=groups[0], Targets=targets)
    elb.get_waiter("target_deregistered").wait(TargetGroupArn=groups[0], Targets=targets, WaiterConfig=QUICK)
    elb.delete_listener(ListenerArn=listener)
    elb.delete_load_balancer(LoadBalancerArn=arn)
    elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn], WaiterConfig=QUICK)
    for group in groups:
        elb.delete_target_group(TargetGroupArn=group)
    same(elb.describe_target_groups()["TargetGroups"], [], "groups at the end")
    interfaces = ec2.get_paginator("describe_network_interfaces")
    mine = [{"Name": "group-id", "Values": [group_id]}]
    eventually(lambda: not list(interfaces.paginate(Filters=mine).search("NetworkInterfaces[]")), "the interfaces went")
    ec2.delete_security_group(GroupId=group_id)


@check(
    "LIFE-RESOURCES",
    "D",
    "boto3's EC2 resources walk from a VPC to its subnets, instances and security groups",
    "boto3 docs, EC2 resources",
)
def resources(s):
    user = boto3.Session(aws_access_key_id=s.account, aws_secret_access_key="secret", region_name=s.region)
    vpc = user.resource("ec2", endpoint_url=s.server.endpoint).Vpc(s.vpc)
    same(len(list(vpc.subnets.all())), 9, "subnets")
    running = vpc.instances.filter(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    same(sorted(instance.private_ip_address for instance in running), ["127.20.1.10", "127.20.2.10", "127.20.3.10"], "instances")
    same(sorted(group.group_name for group in vpc.security_groups.all()), ["default", "nodes"], "security groups")
