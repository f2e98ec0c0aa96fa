"""No wrong success: calls that nobody would make, made from AWS's own service model.

    fuzz.py --endpoint http://127.0.0.1:4566 [--calls 10000] [--seed 1]

Every modelled operation of the services that the emulator says it has is called with parameters that the model builds: values that
could be meant, and then, for most calls, one to three of them spoilt (left out, ill-typed, empty, huge, foreign characters, unknown names,
lists without an order). A call must be answered; with no 5xx; never with success when it has a parameter that the model does not know;
and always with what the model allows, which the referee judges. An operation that is not emulated says InvalidAction whatever it is sent.
One seed makes the same calls each time. Exit 1 when anything was wrong.
"""

import argparse
import collections
import http.client
import random
import re
import sys
import time
import urllib.parse

import botocore.session
from botocore.serialize import create_serializer

import fuzz_values as values
from referee import BEYOND_MODEL, Referee, judge
from session import REGION, Server, Session

# The names are botocore's and those of the emulator's health page.
SERVICES = ["elbv2", "ec2", "sts", "acm", "iam", "resourcegroupstaggingapi"]
# So many calls are made in one account; then the next one begins with a fresh estate.
CALLS_PER_ACCOUNT = 500
SHOWN = 20


def main():
    arguments = parse()
    dice, started = random.Random(arguments.seed), time.monotonic()
    server = Server(arguments.endpoint, Referee())
    running = server.admin("GET", "/_localstack/health")["services"]
    services = [Service(name, server.endpoint) for name in SERVICES if name in running]
    plan = schedule(services, arguments.calls, dice)
    problems, outcomes = collections.Counter(), collections.Counter()
    for number, (service, operation) in enumerate(plan):
        if number % CALLS_PER_ACCOUNT == 0:
            account = f"{arguments.account + number // CALLS_PER_ACCOUNT:012d}"
            pool = estate(Session(server, account))
        call = Call(service, operation, pool, dice)
        for problem in call.make(account, outcomes, pool):
            problems[f"{service.name}:{operation.name}: {problem}"] += 1
            if len(problems) <= SHOWN and problems[f"{service.name}:{operation.name}: {problem}"] == 1:
                print(f"FAILED call {number} of seed {arguments.seed}: {service.name} {call.shown()}: {problem}")
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"fuzz: {len(plan)} calls of {len({(s.name, o.name) for s, o in plan})} operations in {time.monotonic() - started:.1f} s: {told}")
    if problems:
        print(f"fuzz: {len(problems)} kinds of wrong answers, {sum(problems.values())} in all")
    return 1 if problems else 0


def parse():
    parser = argparse.ArgumentParser(description="Calls every modelled operation with sound and with broken parameters.")
    parser.add_argument("--endpoint", required=True, help="URL of the emulator, for example http://127.0.0.1:4566")
    parser.add_argument("--calls", type=int, default=10_000, help="how many calls (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="which calls (default 1)")
    parser.add_argument("--account", type=int, default=300_000_000_000, help="account of the first calls, 12 digits")
    return parser.parse_args()


def schedule(services, count, dice):
    """Each operation that is not emulated twice; the others share what is left, in random order."""
    missing = [(service, operation) for service in services for operation in service.operations if not service.emulates(operation)]
    there = [(service, operation) for service in services for operation in service.operations if service.emulates(operation)]
    plan = missing * 2
    left = max(count - len(plan), len(there))
    plan += [there[index % len(there)] for index in range(left)]
    dice.shuffle(plan)
    return plan


def estate(session):
    """Something for calls to be about; the texts that name it, by kind."""
    group = session.security_group()
    balancer = session.nlb(SecurityGroups=[group])
    targets = session.group()
    listener = session.listener(balancer, targets)
    session.register(targets, ("127.20.1.10", 80))
    [first, *_] = session.instances()
    return {
        "loadbalancerarn": [balancer["LoadBalancerArn"]],
        "targetgrouparn": [targets["TargetGroupArn"]],
        "listenerarn": [listener["ListenerArn"]],
        "resourcearn": [balancer["LoadBalancerArn"], targets["TargetGroupArn"], listener["ListenerArn"]],
        "subnet": session.subnet_ids("internal", 3) + session.subnet_ids("public", 3),
        "vpc": [session.vpc],
        "group": [group],
        "instance": [first["InstanceId"]],
        "networkinterface": [first["NetworkInterfaces"][0]["NetworkInterfaceId"]],
        "resource": [group, session.vpc, first["InstanceId"]],
        "address": ["127.20.1.10", "127.20.20.77"],
        "cidr": ["10.0.0.0/8", "127.20.0.0/16", "::/0"],
        "name": [balancer["LoadBalancerName"], targets["TargetGroupName"], "web"],
    }


class Service:
    """A service's model, and how it is called."""

    def __init__(self, name, endpoint):
        self.name = name
        self.model = botocore.session.get_session().get_service_model(name)
        # Of several protocols one that can be written by hand; the referee goes by the model.
        self.protocol = next(name for name in ("query", "ec2", "json") if name in self.model.metadata["protocols"])
        self.model.metadata["protocol"] = self.protocol
        self.serializer = create_serializer(self.protocol, include_validation=False)
        self.operations = [self.model.operation_model(operation) for operation in self.model.operation_names]
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(endpoint).netloc, timeout=30)
        self._emulated, self._known = {}, {}

    def send(self, account, method, path, headers, body):
        scope = f"{account}/20260101/{REGION}/{self.model.signing_name}/aws4_request"
        authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        try:
            self.connection.request(method, path, body, {"Authorization": authorization, **headers})
            response = self.connection.getresponse()
            return {"status_code": response.status, "headers": dict(response.getheaders()), "body": response.read()}
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return {"status_code": None, "headers": {}, "body": repr(error).encode()}

    def emulates(self, operation):
        """An operation that is emulated answers anything but InvalidAction to a call without parameters."""
        if operation.name not in self._emulated:
            self._emulated[operation.name] = not refused_as_unknown(self.send("300000999999", *self.bare(operation)))
        return self._emulated[operation.name]

    def unknown(self, operation, fields):
        """The first field whose name the model does not have; the bare name of a list, without a value, is how an empty one is sent."""
        if operation.name not in self._known:
            whole = values.whole(operation.input_shape) if operation.input_shape else {}
            names = self.serializer.serialize_to_request(whole, operation)["body"]
            lists = {re.sub(r"(\.member)?\.1(\..*)?$", "", name) for name in names}
            paths = {re.sub(r"\\\.1(?=\\\.|$)", r"\\.[0-9]{1,9}", re.escape(name)) for name in names}
            self._known[operation.name] = re.compile("|".join(sorted(paths))), lists
        pattern, lists = self._known[operation.name]
        for key, value in fields:
            if not pattern.fullmatch(key) and not (value == "" and key in lists):
                return key
        return None

    def bare(self, operation):
        if self.protocol == "json":
            return "POST", "/", self.json_headers(operation), b"{}"
        form = {"Action": operation.name, "Version": self.model.api_version}
        return "POST", "/", FORM, urllib.parse.urlencode(form).encode()

    def json_headers(self, operation):
        kind = f"application/x-amz-json-{self.model.metadata.get('jsonVersion', '1.1')}"
        return {"Content-Type": kind, "X-Amz-Target": f"{self.model.metadata['targetPrefix']}.{operation.name}"}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def refused_as_unknown(response):
    return response["status_code"] == 400 and re.search(rb"InvalidAction|UnknownOperation", response["body"]) is not None


class Call:
    """One call: what the model suggests, spoilt."""

    def __init__(self, service, operation, pool, dice):
        self.service, self.operation, self.dice = service, operation, dice
        self.unknown = None
        sound = values.structure(operation.input_shape, pool, dice) if operation.input_shape else {}
        if service.protocol == "json":
            if dice.random() < 0.75:
                sound, self.unknown = values.spoil_json(sound, dice)
            self.request = "POST", "/", service.json_headers(operation), values.as_json(sound)
            return
        form = dict(service.serializer.serialize_to_request(sound, operation)["body"]) if sound else {}
        fields = [(key, str(value)) for key, value in form.items() if key not in ("Action", "Version")]
        for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 3))):
            fields = values.spoil_form(fields, dice)
        self.unknown = service.unknown(operation, fields)
        fields += [("Action", operation.name), ("Version", service.model.api_version)]
        body = values.form_body(fields)
        # Longer request lines are refused by HTTP itself.
        if dice.random() < 0.05 and len(body) < 8_000:
            self.request = "GET", "/?" + body.decode("ascii"), {}, None
        else:
            self.request = "POST", "/", FORM, body

    def shown(self):
        _, path, _, body = self.request
        text = urllib.parse.unquote_plus((body or path.encode()).decode("utf-8", "replace"))
        return text if len(text) < 600 else f"{text[:600]}… ({len(text)} characters)"

    def make(self, account, outcomes, pool):
        """Yields what is wrong with the answer."""
        response = self.service.send(account, *self.request)
        status = response["status_code"]
        outcomes["closed" if status is None else "succeeded" if status < 300 else "refused"] += 1
        if status is None:
            yield f"the connection was closed: {response['body'].decode()}"
            return
        if status >= 500:
            yield f"HTTP {status}: {response['body'][:300]!r}"
            return
        if not self.service.emulates(self.operation):
            if not refused_as_unknown(response):
                yield f"not emulated, yet HTTP {status}: {response['body'][:300]!r}"
            return
        if refused_as_unknown(response):
            yield "InvalidAction, though it is emulated"
        if status < 300 and self.unknown is not None:
            yield f"the unknown parameter {self.unknown[:80]!r} was accepted"
        for objection in judge(self.operation, response):
            if not objection.startswith(tuple(BEYOND_MODEL)):
                yield objection
        if status < 300:
            values.harvest(response["body"], pool)


if __name__ == "__main__":
    sys.exit(main())
