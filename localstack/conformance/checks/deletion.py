"""What may be deleted when, and what a deletion takes along (rows *-DEL-*)."""

from session import eventually, refused
from suite import check, same


@check("LB-DEL-PROTECTED", "D", "a protected load balancer is not deleted: OperationNotPermitted", "ELBv2 API DeleteLoadBalancer")
def protected(s):
    arn = s.nlb()["LoadBalancerArn"]

    def protect(value):
        s.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": value}]
        )

    protect("true")
    error = refused("OperationNotPermitted", s.elbv2.delete_load_balancer, LoadBalancerArn=arn)
    assert "deletion protection" in error["Message"], error["Message"]
    protect("false")
    s.elbv2.delete_load_balancer(LoadBalancerArn=arn)


@check("LB-DEL-404", "D", "deleting a load balancer that is gone succeeds", "ELBv2 API DeleteLoadBalancer")
def twice(s):
    arn = s.nlb()["LoadBalancerArn"]
    for _ in range(2):
        s.elbv2.delete_load_balancer(LoadBalancerArn=arn)


@check("LB-DEL-LISTENERS", "D", "listeners go with their load balancer, groups stay", "ELBv2 API DeleteLoadBalancer")
def takes_listeners(s):
    balancer, group = s.nlb(), s.group()
    listener = s.listener(balancer, group)
    s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    refused("LoadBalancerNotFound", s.describe_nlb, balancer=balancer)
    refused("ListenerNotFound", s.elbv2.describe_listeners, ListenerArns=[listener["ListenerArn"]])
    s.describe_group(group)


@check("LS-DEL", "D", "a listener goes, its port is free again, and its load balancer stays", "ELBv2 API DeleteListener")
def listener(s):
    balancer, group = s.nlb(), s.group()
    arn = s.listener(balancer, group)["ListenerArn"]
    s.elbv2.delete_listener(ListenerArn=arn)
    refused("ListenerNotFound", s.elbv2.describe_listeners, ListenerArns=[arn])
    same(s.describe_nlb(balancer)["LoadBalancerArn"], balancer["LoadBalancerArn"], "load balancer")
    s.listener(balancer, s.group())


@check("TG-DEL-USED", "D", "a group with a listener is ResourceInUse", "ELBv2 API DeleteTargetGroup")
def group_in_use(s):
    balancer, group = s.nlb(), s.group()
    listener = s.listener(balancer, group)
    refused("ResourceInUse", s.elbv2.delete_target_group, TargetGroupArn=group["TargetGroupArn"])
    s.elbv2.delete_listener(ListenerArn=listener["ListenerArn"])
    s.elbv2.delete_target_group(TargetGroupArn=group["TargetGroupArn"])
    refused("TargetGroupNotFound", s.describe_group, group=group)


@check("TG-DEL-404", "I", "deleting a group that is gone succeeds", "ELBv2 API DeleteTargetGroup")
def group_twice(s):
    arn = s.group()["TargetGroupArn"]
    for _ in range(2):
        s.elbv2.delete_target_group(TargetGroupArn=arn)


@check(
    "TG-DEL-JUST-AFTER-LB",
    "I",
    "for a while after its load balancer went, a group is still ResourceInUse (F13)",
    "lbc retries 20 s, Terraform 2 min; reference F13",
)
def group_after_balancer(s):
    with s.durations(target_group_in_use=60):
        balancer, group = s.nlb(), s.group()
        s.listener(balancer, group)
        s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        refused("ResourceInUse", s.elbv2.delete_target_group, TargetGroupArn=group["TargetGroupArn"])
        s.advance(61)
        s.elbv2.delete_target_group(TargetGroupArn=group["TargetGroupArn"])


@check("SG-DEL-IN-LB", "D", "a security group of a load balancer is DependencyViolation", "EC2 API DeleteSecurityGroup")
def security_group_in_use(s):
    group = s.security_group()
    s.nlb(SecurityGroups=[group])
    refused("DependencyViolation", s.ec2.delete_security_group, GroupId=group)


@check(
    "SG-DEL-JUST-AFTER-LB",
    "O",
    "and stays so until the interfaces are gone, a while after the load balancer (F14)",
    "terraform#3758; reference F14",
)
def security_group_after_balancer(s):
    group = s.security_group()
    with s.durations(load_balancer_interfaces_linger=90):
        balancer = s.nlb(SecurityGroups=[group])
        s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        same(len(s.interfaces(balancer)), 2, "interfaces that outlive their load balancer")
        refused("DependencyViolation", s.ec2.delete_security_group, GroupId=group)
        s.advance(91)
        eventually(lambda: not s.interfaces(balancer), "the interfaces are still there")
        s.ec2.delete_security_group(GroupId=group)


@check(
    "SG-DEL-REFERENCED",
    "D",
    "a security group that another one's rule refers to is DependencyViolation",
    "EC2 API DeleteSecurityGroup",
)
def referenced(s):
    peer, other = s.security_group(), s.security_group()
    rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": peer}]}
    s.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[rule])
    s.ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[{**rule, "UserIdGroupPairs": [{"GroupId": other}]}])
    refused("DependencyViolation", s.ec2.delete_security_group, GroupId=peer)
    s.ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[rule])
    s.ec2.delete_security_group(GroupId=peer)
    s.ec2.delete_security_group(GroupId=other)


@check("LB-DEL-ADDRESSES", "D", "a deleted load balancer gives its addresses back", "ELBv2 API DeleteLoadBalancer")
def addresses(s):
    before = s.subnets("internal")
    balancer = s.nlb()
    s.elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    eventually(lambda: s.subnets("internal") == before, "free addresses are not what they were")


@check("SUBNET-DEL-LB", "D", "a subnet with a load balancer in it is kept: DependencyViolation", "EC2 API DeleteSubnet")
def subnet_of_balancer(s):
    [subnet] = s.subnet_ids("internal", 1)
    s.nlb(Subnets=[subnet])
    refused("DependencyViolation", s.ec2.delete_subnet, SubnetId=subnet)
