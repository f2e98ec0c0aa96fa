"""moto as witness: an emulator by others that the same suite runs against, so that our beliefs meet a second opinion.

moto has one account as long as nobody assumes a role, no clock to move, no faults and no journal: checks that need those are skipped.
It is reset before each check. Each check that fails there has to be explained in
`moto/disagreements.txt`, and each explanation has to be needed: an unexplained disagreement is either moto's mistake or ours. How its
answers look on the wire is not judged: request ids alone make all of them differ from AWS's.
"""

import pathlib
import sys
import urllib.request

import register
from session import Server
from suite import Lacks

EXPLANATIONS = pathlib.Path(__file__).parent / "moto" / "disagreements.txt"
ACCOUNT = "123456789012"


class Moto(Server):
    # Its first answer of each service takes long on a busy machine.
    read_timeout = 300

    def account(self, number):
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST"), timeout=300).close()
        return ACCOUNT

    def admin(self, method, path, body=None, **query):
        raise Lacks(path.removeprefix("/_landfall/").removeprefix("/_localstack/"))

    def seed(self, world, account, region):
        """What `/_landfall/seed` does, by calls of EC2."""
        if account != ACCOUNT:
            raise Lacks("accounts by access key")
        ec2 = self.client("ec2", account, region)

        def tagged(kind, name, tags=None):
            pairs = {"Name": name, **(tags or {})}
            return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}]

        tags = tagged("vpc", world["name"], world.get("tags"))
        vpc = ec2.create_vpc(CidrBlock=world["cidrs"][0], TagSpecifications=tags)["Vpc"]["VpcId"]
        if world.get("internet_gateway"):
            gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
            table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
            ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        subnets, groups = {}, {}
        for subnet in world["subnets"]:
            tags = tagged("subnet", subnet["name"], subnet.get("tags"))
            settings = {"CidrBlock": subnet["cidr"], "AvailabilityZone": subnet["zone"], "TagSpecifications": tags}
            subnets[subnet["name"]] = created = ec2.create_subnet(VpcId=vpc, **settings)["Subnet"]["SubnetId"]
            if subnet.get("public"):
                ec2.associate_route_table(RouteTableId=table, SubnetId=created)
        for group in world.get("security_groups", []):
            tags = tagged("security-group", group["name"], group.get("tags"))
            settings = {"GroupName": group["name"], "Description": group["description"], "TagSpecifications": tags}
            groups[group["name"]] = ec2.create_security_group(VpcId=vpc, **settings)["GroupId"]
        for instance in world.get("instances", []):
            ec2.run_instances(
                ImageId="ami-00000000",
                MinCount=1,
                MaxCount=1,
                SubnetId=subnets[instance["subnet"]],
                PrivateIpAddress=instance["address"],
                SecurityGroupIds=[groups[name] for name in instance["security_groups"]],
                TagSpecifications=tagged("instance", instance["name"]),
            )


def judge(checks, chosen, result, page):
    """Prints the counts and what moto does differently; 1 when a disagreement is not explained, or an explanation is not needed."""
    lines = [line for line in EXPLANATIONS.read_text().splitlines() if line and not line.startswith("#")]
    explained = dict(line.split(" ", 1) for line in lines)
    whole = len(chosen) == len(checks)
    unexplained = sorted(result.failures.keys() - explained.keys())
    unneeded = sorted(explained.keys() - result.failures.keys()) if whole else []
    if page:
        pathlib.Path(page).write_text(render(checks, result, explained))
    for row in result.failures:
        if row in explained:
            print(f"{row:34} {explained[row]}")
    for row in unexplained:
        print(f"FAILED {row}: moto disagrees, and moto/disagreements.txt does not say why: {result.failures[row]}", file=sys.stderr)
    for row in unneeded:
        print(f"FAILED {row}: moto/disagreements.txt explains a disagreement that there is not", file=sys.stderr)
    if whole:
        print(*counts(checks, result), sep="\n")
    print(f"moto: {result.passed} passed, {result.failed} failed, {len(result.skipped)} skipped")
    return 1 if unexplained or unneeded else 0


def counts(checks, result):
    behaviours = [check for check in checks if check.row not in result.skipped]
    as_ours = sum(check.row not in result.failures for check in behaviours)
    yield f"moto does as the register says in {as_ours} of {len(behaviours)} behaviours; {len(result.skipped)} need what it lacks"
    # Rust tests look into our emulator: they say nothing of moto, so rows that only they show do not count.
    yield from register.standing(checks, result.not_green(), rust=False, names=False)


def render(checks, result, explained):
    out = [
        "# A second opinion: moto",
        "",
        "Generated by `tools/witness-moto.sh --write`; do not edit. The suite that checks `landfall-localstack` runs against moto as well, an",
        "emulator by others (the version of `localstack/conformance/moto/requirements.txt`). Where both agree, a mistake would have to be made",
        "twice. Where they do not, one of them is wrong about AWS; each disagreement is explained here, or the run fails.",
        "",
        *(f"- {line}." for line in counts(checks, result)),
        "",
        "| id | grade | AWS, as we know it | moto |",
        "|---|---|---|---|",
    ]
    for check in checks:
        if check.row in result.failures:
            why = explained.get(check.row, "not explained")
            out.append(f"| {check.row} | {register.show(check.grade)} | {register.cell(check.claim)} | {register.cell(why)} |")
    out += ["", "## Not asked", "", "Checks that need what moto does not have:", "", "| id | lacks |", "|---|---|"]
    out += [f"| {row} | {lacks} |" for row, lacks in sorted(result.skipped.items())]
    return "\n".join(out) + "\n"
