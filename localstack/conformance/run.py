"""The conformance suite: does the server at an endpoint do what AWS does, seen by foreign clients?

    run.py --endpoint http://127.0.0.1:4566 [--account 100000000000] [--only ROW[,ROW…]] [--verbose]
    run.py --endpoint http://127.0.0.1:5000 --witness moto [--only ROW[,ROW…]] [--page FILE]
    run.py --list | --register

botocore makes every call that the emulator offers. Each raw answer is checked against AWS's own service model (`referee.py`), and
each behaviour of the register (`checks/`) is asserted. One line for each check that failed, then a closing count; exit 1 if any
failed. Run it by `run.sh`, which starts the emulator, with the Python environment of `tools/python-venv.sh`; against moto, where each
disagreement has to be explained (`witness.py`), by `tools/witness-moto.sh`.
"""

import argparse
import fnmatch
import os
import sys
import time

import checks  # noqa: F401  registers all checks
import register
import witness
from referee import Referee
from session import Server, Session
from suite import CHECKS, Result

# What the emulator says that it has: each must have been answered with success at least once.
ACTIONS = {
    "elasticloadbalancing": """
        CreateLoadBalancer DescribeLoadBalancers DeleteLoadBalancer DescribeLoadBalancerAttributes ModifyLoadBalancerAttributes
        SetSubnets SetSecurityGroups SetIpAddressType CreateTargetGroup DescribeTargetGroups ModifyTargetGroup DeleteTargetGroup
        DescribeTargetGroupAttributes ModifyTargetGroupAttributes RegisterTargets DeregisterTargets DescribeTargetHealth
        CreateListener DescribeListeners ModifyListener DeleteListener DescribeListenerAttributes ModifyListenerAttributes
        AddListenerCertificates RemoveListenerCertificates DescribeListenerCertificates DescribeSSLPolicies
        CreateRule DescribeRules ModifyRule SetRulePriorities DeleteRule
        DescribeCapacityReservation ModifyCapacityReservation DescribeTrustStores
        AddTags RemoveTags DescribeTags DescribeAccountLimits""",
    "ec2": """
        DescribeVpcs DescribeSubnets DescribeRouteTables DescribeInternetGateways DescribeAvailabilityZones DescribeInstances
        DescribeNetworkInterfaces CreateSecurityGroup DescribeSecurityGroups DeleteSecurityGroup AuthorizeSecurityGroupIngress
        RevokeSecurityGroupIngress AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress DescribeSecurityGroupRules
        CreateTags DeleteTags DescribeTags AllocateAddress ReleaseAddress DescribeAddresses AssociateAddress
        DisassociateAddress CreateVpc DeleteVpc CreateSubnet DeleteSubnet CreateInternetGateway AttachInternetGateway
        DetachInternetGateway DeleteInternetGateway CreateRouteTable DeleteRouteTable CreateRoute DeleteRoute AssociateRouteTable
        DisassociateRouteTable AssociateVpcCidrBlock DisassociateVpcCidrBlock AssociateSubnetCidrBlock
        DisassociateSubnetCidrBlock CreateManagedPrefixList DeleteManagedPrefixList DescribeManagedPrefixLists
        GetManagedPrefixListEntries RunInstances TerminateInstances DescribeVpcAttribute ModifyVpcAttribute ModifySubnetAttribute
        DescribeAccountAttributes GetSecurityGroupsForVpc""",
    "acm": """
        ImportCertificate RequestCertificate DescribeCertificate ListCertificates GetCertificate DeleteCertificate
        AddTagsToCertificate ListTagsForCertificate RemoveTagsFromCertificate""",
    "iam": "UploadServerCertificate GetServerCertificate ListServerCertificates DeleteServerCertificate",
    "tagging": "GetResources GetTagKeys GetTagValues",
    "sts": "GetCallerIdentity",
}


def main():
    arguments = parse()
    if arguments.list:
        for check in CHECKS:
            print(f"{check.row:24} [{check.grade}] {check.claim} ({check.source})")
        return 0
    if arguments.register:
        print(register.page(CHECKS), end="")
        return 0
    referee, result, started = Referee(), Result(quiet=bool(arguments.witness)), time.monotonic()
    server = (witness.Moto if arguments.witness else Server)(arguments.endpoint, referee)
    wanted = arguments.only.split(",") if arguments.only else ["*"]
    chosen = [check for check in CHECKS if any(fnmatch.fnmatchcase(check.row, pattern) for pattern in wanted)]
    if not chosen:
        sys.exit(f"run.py: --only {arguments.only}: no check is called so")
    # An account for each check: none sees what another one made.
    for number, check in enumerate(chosen):
        session = Session(server, server.account(arguments.account + number))
        try:
            result.run(check, session, arguments.verbose)
        finally:
            session.close()
    if arguments.witness:
        return witness.judge(CHECKS, chosen, result, page=arguments.page)
    judge_wire(referee, result)
    if not arguments.only:
        judge_coverage(referee, result)
    calls = sum(referee.answered.values())
    print(f"{calls} calls of {len(referee.answered)} actions in {time.monotonic() - started:.1f} s")
    if not arguments.only:
        print(*register.standing(CHECKS, result.not_green()), sep="\n")
    print(f"{result.passed} passed, {result.failed} failed")
    return 1 if result.failed else 0


def parse():
    parser = argparse.ArgumentParser(description="Checks an emulator of ELBv2 and EC2 against AWS's service model and behaviour.")
    parser.add_argument("--endpoint", help="URL of the server, for example http://127.0.0.1:4566")
    parser.add_argument(
        "--account",
        type=int,
        default=100_000_000_000 + os.getpid() % 1_000_000 * 1_000,
        help="account of the first check, 12 digits; each check gets the next one (default: by process id)",
    )
    parser.add_argument("--only", help="rows to check, separated by commas, with * as wildcard")
    parser.add_argument("--verbose", action="store_true", help="a line for each check that passed, too")
    parser.add_argument("--list", action="store_true", help="print the register of behaviours and their grades, and call nothing")
    parser.add_argument("--register", action="store_true", help="print docs/reference/emulator-rules.md, and call nothing")
    parser.add_argument("--witness", choices=["moto"], help="the server is this one: explain where it disagrees")
    parser.add_argument("--page", metavar="FILE", help="with --witness: write docs/reference/emulator-witness.md there")
    arguments = parser.parse_args()
    if not (arguments.list or arguments.register or arguments.endpoint):
        parser.error("--endpoint: say which server to check (or --list, --register)")
    if not 10**11 <= arguments.account < 10**12 - 10**6:
        parser.error("--account: must be a number of 12 digits, the first not 0, with room for a million above it")
    return arguments


def judge_wire(referee, result):
    """One check per action: all its answers, successes and errors, are as the model has them."""
    for action in sorted(referee.answered):
        problems = sorted(referee.violations[action])
        for problem in problems:
            result.say(f"FAILED WIRE {action}: {problem}")
        result.record(f"WIRE {action}", "D", "answers as modelled", f"{len(problems)} disagreements with the service model" if problems else None)


def judge_coverage(referee, result):
    for service, actions in ACTIONS.items():
        for action in actions.split():
            done = f"{service}:{action}" in referee.succeeded
            result.record(f"COVERAGE {service}:{action}", "-", "answered with success", None if done else "it never was")


if __name__ == "__main__":
    sys.exit(main())
