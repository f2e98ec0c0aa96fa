"""Security groups and their rules (rows SG-*)."""

from session import refused
from suite import check, same


def rule(port=80, cidr="10.0.0.0/8", description=None, **settings):
    source = {"CidrIp": cidr, **({"Description": description} if description else {})}
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [source], **settings}


def describe(s, group):
    [found] = s.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return found


def ports(s, group):
    return sorted(entry["FromPort"] for entry in describe(s, group)["IpPermissions"])


def rules(s, group, egress=False):
    found = s.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    return [entry for entry in found if entry["IsEgress"] == egress]


@check(
    "SG-CREATE",
    "D",
    "a new group has its tags, no way in, and one rule that lets everything out",
    "EC2 API CreateSecurityGroup",
)
def create(s):
    specification = [{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}]
    made = s.ec2.create_security_group(GroupName="web", Description="about it", VpcId=s.vpc, TagSpecifications=specification)
    group = describe(s, made["GroupId"])
    same(
        (group["GroupName"], group["Description"], group["VpcId"], group["OwnerId"]),
        ("web", "about it", s.vpc, s.account),
        "group",
    )
    same(group["Tags"], [{"Key": "a", "Value": "b"}], "tags")
    same(group["IpPermissions"], [], "ingress")
    [out] = group["IpPermissionsEgress"]
    same((out["IpProtocol"], [entry["CidrIp"] for entry in out["IpRanges"]]), ("-1", ["0.0.0.0/0"]), "egress")


@check("SG-DUP", "D", "a name is used once in a VPC: InvalidGroup.Duplicate", "EC2 API CreateSecurityGroup")
def duplicate(s):
    s.security_group(GroupName="web")
    refused("InvalidGroup.Duplicate", s.ec2.create_security_group, GroupName="web", Description="other", VpcId=s.vpc)
    s.security_group(GroupName="web", VpcId=s.other_vpc()[0])


@check("SG-BAD", "D", "names that begin with sg-, strange characters and unknown VPCs are refused", "EC2 API CreateSecurityGroup")
def bad(s):
    for settings in ({"GroupName": "sg-web"}, {"GroupName": "x" * 256}, {"Description": "caf\u00e9"}):
        refused(
            "InvalidParameterValue|InvalidGroup.Reserved",
            s.ec2.create_security_group,
            **{"GroupName": "web", "Description": "d", "VpcId": s.vpc, **settings},
        )
    refused("InvalidVpcID.NotFound", s.ec2.create_security_group, GroupName="web", Description="d", VpcId="vpc-0123456789abcdef0")
    refused("MissingParameter", s.ec2.create_security_group, GroupName="web", VpcId=s.vpc)


@check(
    "SG-AUTH-ATOMIC",
    "U",
    "a call that mixes new and duplicate rules fails and adds nothing",
    "EC2 API AuthorizeSecurityGroupIngress says nothing of mixed calls; reference F25",
)
def atomic(s):
    group = s.security_group()
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(80)])
    for mixed in ([rule(81), rule(80)], [rule(80), rule(81)]):
        refused("InvalidPermission.Duplicate", s.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=mixed)
    same(ports(s, group), [80], "ports")


@check(
    "SG-REVOKE",
    "D",
    "revoking takes away exactly the named rule; in a VPC an unknown one is InvalidPermission.NotFound",
    "EC2 API RevokeSecurityGroupIngress",
)
def revoke(s):
    group = s.security_group()
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(80), rule(81), rule(81, "192.168.0.0/16")])
    s.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[rule(81)])
    same(
        sorted((entry["FromPort"], entry["CidrIpv4"]) for entry in rules(s, group)),
        [(80, "10.0.0.0/8"), (81, "192.168.0.0/16")],
        "rules",
    )
    refused("InvalidPermission.NotFound", s.ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[rule(9)])
    refused("InvalidPermission.NotFound", s.ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=[rule(80), rule(9)])
    same(ports(s, group), [80, 81], "ports after a refused revoke")


@check("SG-RULE-IDS", "D", "rules have ids and tags of their own, and can be revoked by id", "EC2 API SecurityGroupRule")
def by_id(s):
    group = s.security_group()
    specification = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}]
    answer = s.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[rule(80, description="from inside"), rule(81)], TagSpecifications=specification
    )
    made = {entry["FromPort"]: entry for entry in answer["SecurityGroupRules"]}
    same(sorted(made), [80, 81], "ports of the answer")
    same((made[80]["Description"], made[80]["Tags"]), ("from inside", [{"Key": "a", "Value": "b"}]), "description and tags")
    same(
        {entry["SecurityGroupRuleId"] for entry in rules(s, group)},
        {entry["SecurityGroupRuleId"] for entry in made.values()},
        "ids",
    )
    s.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[made[80]["SecurityGroupRuleId"]])
    same(ports(s, group), [81], "ports")
    refused(
        "InvalidSecurityGroupRuleId.NotFound",
        s.ec2.revoke_security_group_ingress,
        GroupId=group,
        SecurityGroupRuleIds=["sgr-0123456789abcdef0"],
    )


@check("SG-60", "D", "a group has at most 60 rules each way, and a call beyond that adds nothing", "VPC guide, quotas")
def limit(s):
    group = s.security_group()
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(port) for port in range(1, 60)])
    call = s.ec2.authorize_security_group_ingress
    refused("RulesPerSecurityGroupLimitExceeded", call, GroupId=group, IpPermissions=[rule(100), rule(101)])
    same(len(rules(s, group)), 59, "rules")
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule(100)])
    same(len(rules(s, group)), 60, "rules")


@check(
    "SG-PEERS",
    "D",
    "rules refer to CIDRs of both families and to groups; several ranges are several rules",
    "EC2 API IpPermission",
)
def peers(s):
    group, peer = s.security_group(), s.security_group()
    permission = {
        "IpProtocol": "udp",
        "FromPort": 53,
        "ToPort": 54,
        "IpRanges": [{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "192.168.0.0/16"}],
        "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
        "UserIdGroupPairs": [{"GroupId": peer, "Description": "peer"}],
    }
    s.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    found = rules(s, group)
    same(sorted(entry.get("CidrIpv4", "") for entry in found), ["", "", "10.0.0.0/8", "192.168.0.0/16"], "IPv4")
    same([entry["CidrIpv6"] for entry in found if "CidrIpv6" in entry], ["2001:db8::/32"], "IPv6")
    [reference] = [entry["ReferencedGroupInfo"] for entry in found if "ReferencedGroupInfo" in entry]
    same((reference["GroupId"], reference["UserId"]), (peer, s.account), "group")
    [shown] = describe(s, group)["IpPermissions"]
    same((shown["IpProtocol"], shown["FromPort"], shown["ToPort"], len(shown["IpRanges"])), ("udp", 53, 54, 2), "permission")
    same([pair["GroupId"] for pair in shown["UserIdGroupPairs"]], [peer], "pairs")
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.1.0.0/16"}]}
    s.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[everything])
    s.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    same(len(rules(s, group, egress=True)), 1, "egress rules")


@check("SG-BAD-RULES", "D", "rules that make no sense, or refer to nothing, are refused", "EC2 API IpPermission")
def bad_rules(s):
    group = s.security_group()
    for permission, code in (
        (rule(cidr="10.0.0.0/33"), "InvalidParameterValue|InvalidPermission.Malformed"),
        (rule(port=70000), "InvalidParameterValue|InvalidPermission.Malformed"),
        ({"IpProtocol": "tcp", "FromPort": 90, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}, "InvalidParameterValue"),
        (
            {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": "sg-0123456789abcdef0"}]},
            "InvalidGroup.NotFound",
        ),
    ):
        refused(code, s.ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[permission])
    refused(
        "InvalidGroup.NotFound", s.ec2.authorize_security_group_ingress, GroupId="sg-0123456789abcdef0", IpPermissions=[rule()]
    )
    same(rules(s, group), [], "rules")


@check("SG-FILTERS", "D", "groups are found by id, name, VPC and tags", "EC2 API DescribeSecurityGroups")
def filters(s):
    made = s.security_group(
        GroupName="findme", TagSpecifications=[{"ResourceType": "security-group", "Tags": [{"Key": "team", "Value": "one"}]}]
    )
    for name, value in (
        ("group-id", made),
        ("group-name", "findme"),
        ("group-name", "find*"),
        ("tag:team", "one"),
        ("tag-key", "team"),
        ("description", "conformance"),
    ):
        wanted = [{"Name": name, "Values": [value]}, {"Name": "vpc-id", "Values": [s.vpc]}]
        same([group["GroupId"] for group in s.ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]], [made], name)


@check(
    "SG-DEL-404",
    "D",
    "deleting a group that is gone is InvalidGroup.NotFound; the VPC's own cannot go",
    "EC2 API DeleteSecurityGroup",
)
def delete(s):
    group = s.security_group()
    s.ec2.delete_security_group(GroupId=group)
    refused("InvalidGroup.NotFound", s.ec2.delete_security_group, GroupId=group)
    own = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [s.vpc]}]
    for group in s.ec2.describe_security_groups(Filters=own)["SecurityGroups"]:
        refused("CannotDelete", s.ec2.delete_security_group, GroupId=group["GroupId"])
