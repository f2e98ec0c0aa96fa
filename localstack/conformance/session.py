"""One account of the server under test: clients, the seeded network, and short words for what checks do often."""

import contextlib
import http.server
import itertools
import json
import pathlib
import socketserver
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import botocore.auth
import botocore.awsrequest
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-west-2"
PATIENCE = 10.0
# The networks that each check finds. Their addresses are loopback ones: the server really probes targets, and these it can reach.
WORLDS = json.loads((pathlib.Path(__file__).parent / "worlds.json").read_text())


class Server:
    """The endpoint: AWS's APIs, and what the emulator offers beside them."""

    # Seconds.
    read_timeout = 30

    def __init__(self, endpoint, referee):
        self.endpoint, self.referee = endpoint.rstrip("/"), referee
        self._clients = {}

    def account(self, number):
        """The account of this number, as good as new."""
        return f"{number:012d}"

    def seed(self, world, account, region):
        """Makes the network that checks work in."""
        self.admin("POST", "/_landfall/seed", world, account=account, region=region)

    def client(self, service, account, region=REGION):
        """A client of `account` until the next call of this method: making one takes long, so that all accounts share it.

        It does not retry, and it leaves the checking of parameters to the server.
        """
        if (service, region) not in self._clients:
            core = botocore.session.Session()
            core.set_credentials(account, "secret")
            config = Config(
                retries={"total_max_attempts": 1},
                parameter_validation=False,
                read_timeout=self.read_timeout,
                user_agent_extra="landfall-conformance",
            )
            client = core.create_client(service, region_name=region, endpoint_url=self.endpoint, config=config)
            self.referee.watch(client)
            self._clients[service, region] = client, core.get_credentials()
        client, credentials = self._clients[service, region]
        credentials.access_key = account
        return client

    def admin(self, method, path, body=None, **query):
        """A call to the emulator's own surface, JSON both ways."""
        url = f"{self.endpoint}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: HTTP {error.code}: {error.read().decode(errors='replace')[:500]}") from error
        return json.loads(text) if text else None


class Session:
    """What a check gets. `close` undoes what it did outside of its account."""

    def __init__(self, server, account, region=REGION):
        self.server, self.account, self.region = server, account, region
        self._names = itertools.count(1)
        self._undo = contextlib.ExitStack()
        for world in WORLDS:
            server.seed(world, account, region)
        [vpc] = self.ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["conformance"]}])["Vpcs"]
        self.vpc = vpc["VpcId"]

    def close(self):
        self._undo.close()

    # Clients: ask for them anew at each use, see `Server.client`.

    @property
    def elbv2(self):
        return self.server.client("elbv2", self.account, self.region)

    @property
    def ec2(self):
        return self.server.client("ec2", self.account, self.region)

    @property
    def acm(self):
        return self.server.client("acm", self.account, self.region)

    @property
    def sts(self):
        return self.server.client("sts", self.account, self.region)

    @property
    def acm(self):
        return self.server.client("acm", self.account, self.region)

    @property
    def iam(self):
        return self.server.client("iam", self.account, self.region)

    @property
    def tagging(self):
        return self.server.client("resourcegroupstaggingapi", self.account, self.region)

    def json(self, service, target, body):
        """A signed call of a JSON service, sent as it is; returns status and the answer."""
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        request = botocore.awsrequest.AWSRequest("POST", self.server.endpoint + "/", headers=headers, data=json.dumps(body))
        credentials = botocore.session.Session()
        credentials.set_credentials(self.account, "secret")
        botocore.auth.SigV4Auth(credentials.get_credentials(), service, self.region).add_auth(request)
        prepared = request.prepare()
        headers = dict(prepared.headers.items())
        try:
            answer = urllib.request.urlopen(
                urllib.request.Request(prepared.url, data=json.dumps(body).encode(), headers=headers), timeout=30
            )
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, json.loads(answer.read())

    def raw(self, service, version="2015-12-01", **fields):
        """A signed call whose fields are sent as they are; returns status, headers (lower case) and the XML's root."""
        request = botocore.awsrequest.AWSRequest("POST", self.server.endpoint + "/", data={"Version": version, **fields})
        credentials = botocore.session.Session()
        credentials.set_credentials(self.account, "secret")
        botocore.auth.SigV4Auth(credentials.get_credentials(), service, self.region).add_auth(request)
        prepared = request.prepare()
        body = urllib.parse.urlencode({"Version": version, **fields}).encode()
        headers = {**dict(prepared.headers.items()), "Content-Type": "application/x-www-form-urlencoded"}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(prepared.url, data=body, headers=headers), timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, lower, ElementTree.fromstring(answer.read())

    # The seeded network.

    def subnets(self, prefix):
        """Subnets whose name begins with `prefix`, by zone."""
        found = self.ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": [f"{prefix}-*"]}])["Subnets"]
        assert found, f"no subnet is called {prefix}-*"
        return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])

    def subnet_ids(self, prefix, count=2):
        return [subnet["SubnetId"] for subnet in self.subnets(prefix)[:count]]

    def instances(self):
        reservations = self.ec2.describe_instances(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["Reservations"]
        found = [instance for reservation in reservations for instance in reservation["Instances"]]
        return sorted(found, key=lambda instance: instance["PrivateIpAddress"])

    def allow(self, instance, port):
        """Lets the VPC reach a TCP port of an instance, as a load balancer's health checks need it."""
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "127.20.0.0/16"}]}
        group = instance["SecurityGroups"][0]["GroupId"]
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])

    def other_vpc(self):
        """A second VPC without an internet gateway: its id and one subnet's."""
        [vpc] = self.ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["other"]}])["Vpcs"]
        [subnet] = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
        return vpc["VpcId"], subnet["SubnetId"]

    # What checks make.

    def name(self, kind="x"):
        return f"{kind}-{next(self._names)}"

    def nlb(self, **settings):
        settings = {"Name": self.name("lb"), "Type": "network", "Scheme": "internal", **settings}
        if not {"Subnets", "SubnetMappings"} & settings.keys():
            settings["Subnets"] = self.subnet_ids("internal")
        [made] = self.elbv2.create_load_balancer(**settings)["LoadBalancers"]
        return made

    def group(self, **settings):
        settings = {"Name": self.name("tg"), "Protocol": "TCP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip", **settings}
        [made] = self.elbv2.create_target_group(**settings)["TargetGroups"]
        return made

    def listener(self, balancer, group, **settings):
        settings = {"Protocol": "TCP", "Port": 80, "DefaultActions": forward(group), **settings}
        [made] = self.elbv2.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], **settings)["Listeners"]
        return made

    def certificate(self):
        """The ARN of a certificate that listeners can have."""
        return self.acm.request_certificate(DomainName=f"{self.name('site')}.example.com")["CertificateArn"]

    def security_group(self, **settings):
        settings = {"GroupName": self.name("group"), "Description": "conformance", "VpcId": self.vpc, **settings}
        return self.ec2.create_security_group(**settings)["GroupId"]

    def in_use(self, **settings):
        """A target group with a listener before it."""
        balancer, group = self.nlb(Subnets=self.subnet_ids("internal", 3)), self.group(**settings)
        self.listener(balancer, group, Protocol=group["Protocol"])
        return group

    def describe_nlb(self, balancer):
        [found] = self.elbv2.describe_load_balancers(LoadBalancerArns=[balancer["LoadBalancerArn"]])["LoadBalancers"]
        return found

    def describe_group(self, group):
        [found] = self.elbv2.describe_target_groups(TargetGroupArns=[group["TargetGroupArn"]])["TargetGroups"]
        return found

    def register(self, group, *targets):
        """Each target is (id, port)."""
        described = [{"Id": target, "Port": port} for target, port in targets]
        self.elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=described)

    def deregister(self, group, *targets):
        described = [{"Id": target, "Port": port} for target, port in targets]
        self.elbv2.deregister_targets(TargetGroupArn=group["TargetGroupArn"], Targets=described)

    def health(self, group):
        """By (id, port): (state, reason, description)."""
        answer = self.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        return {
            (entry["Target"]["Id"], entry["Target"]["Port"]): tuple(
                entry["TargetHealth"].get(key) for key in ("State", "Reason", "Description")
            )
            for entry in answer["TargetHealthDescriptions"]
        }

    def interfaces(self, balancer):
        found = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "description", "Values": [interface_description(balancer)]}]
        )
        return found["NetworkInterfaces"]

    # What checks do to the server and around it.

    @contextlib.contextmanager
    def durations(self, **seconds):
        """AWS takes its time, within this block."""
        before = self.server.admin("GET", "/_landfall/durations")
        self.server.admin("PUT", "/_landfall/durations", {**before, **seconds})
        try:
            yield
        finally:
            self.server.admin("PUT", "/_landfall/durations", before)

    def advance(self, seconds):
        self.server.admin("POST", "/_landfall/clock", {"advance_seconds": seconds})

    @contextlib.contextmanager
    def fault(self, **rule):
        added = self.server.admin("POST", "/_landfall/faults", {"account": self.account, **rule})
        try:
            yield
        finally:
            self.server.admin("DELETE", "/_landfall/faults", id=added["id"])

    def serve(self, address, port=0, status=None):
        """A target: accepts connections, or answers HTTP with `status`. Returns (address, port) and how to stop it."""
        handler = http_handler(status) if status else socketserver.BaseRequestHandler
        server = Target((address, port), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

        def stop():
            server.shutdown()
            server.server_close()

        self._undo.callback(stop)
        return server.server_address, stop


class Target(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def http_handler(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    return Handler


def forward(group):
    return [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]


def interface_description(balancer):
    return "ELB " + balancer["LoadBalancerArn"].split(":loadbalancer/")[1]


def refused(codes, call, **parameters):
    """The error of a call that has to fail with one of `codes` (a text, several separated by |)."""
    try:
        call(**parameters)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] in codes.split("|"), f"got {got['Code']} ({got['Message']}), wanted {codes}"
        return got
    raise AssertionError(f"succeeded, wanted {codes}")


def eventually(condition, what):
    """Waits until `condition()` is true; `what` may be a function that tells how things stand."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.02)
