"""Targets and their health, by real probes of real sockets (rows TR-*, TH-*, TD-*)."""

from session import eventually, refused
from suite import check, same

REFUSED = "InvalidTarget|ValidationError|InvalidConfigurationRequest"
HEALTHY = ("healthy", None, None)


def becomes(s, group, target, state, reason=None, text=None):
    """Waits for a target's health."""

    def there():
        got = s.health(group).get(target, (None, None, None))
        return got[0] == state and (reason is None or got[1] == reason) and (text is None or text in (got[2] or ""))

    eventually(there, lambda: f"{target} is {s.health(group)}, wanted {state} {reason or ''} {text or ''}")


@check(
    "TH-HEALTHY",
    "D",
    "a target that accepts connections becomes healthy, and unhealthy when it stops",
    "NLB guide, health checks",
)
def healthy(s):
    group = s.in_use()
    target, stop = s.serve("127.20.1.50")
    s.register(group, target)
    becomes(s, group, target, "healthy")
    same(s.health(group)[target], HEALTHY, "health")
    stop()
    becomes(s, group, target, "unhealthy", "Target.FailedHealthChecks")


@check(
    "TH-UNREACHABLE",
    "D",
    "a target that nobody listens on is unhealthy, and healthy when somebody does",
    "NLB guide, health checks",
)
def unreachable(s):
    group = s.in_use()
    target, stop = s.serve("127.20.1.51")
    stop()
    s.register(group, target)
    becomes(s, group, target, "unhealthy", "Target.FailedHealthChecks")
    s.serve(*target)
    becomes(s, group, target, "healthy")


@check(
    "TH-MISMATCH",
    "D",
    "another HTTP code is Target.ResponseCodeMismatch, and the description names it",
    "ELBv2 API TargetHealth",
)
def mismatch(s):
    group = s.in_use(HealthCheckProtocol="HTTP")
    bad, _ = s.serve("127.20.1.52", status=503)
    good, _ = s.serve("127.20.1.53", status=204)
    s.register(group, bad, good)
    becomes(s, group, bad, "unhealthy", "Target.ResponseCodeMismatch", "[503]")
    becomes(s, group, good, "healthy")


@check("TH-HC-PORT", "D", "a health-check port of its own is the one that is probed", "ELBv2 API CreateTargetGroup")
def health_port(s):
    (_, port), _ = s.serve("127.20.1.54", status=200)
    group = s.in_use(HealthCheckProtocol="HTTP", HealthCheckPort=str(port))
    s.register(group, ("127.20.1.54", 9))
    becomes(s, group, ("127.20.1.54", 9), "healthy")
    described = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    same([entry["HealthCheckPort"] for entry in described], [str(port)], "HealthCheckPort")


@check("TH-INSTANCE", "D", "an instance is probed at its private address", "NLB guide, health checks")
def instance(s):
    first = s.instances()[0]
    group = s.in_use(TargetType="instance")
    (_, port), _ = s.serve(first["PrivateIpAddress"])
    s.register(group, (first["InstanceId"], port))
    # Its security group drops what no rule lets in.
    becomes(s, group, (first["InstanceId"], port), "unhealthy", "Target.Timeout")
    s.allow(first, port)
    becomes(s, group, (first["InstanceId"], port), "healthy")


@check("TH-MULTIPORT", "D", "one address on two ports is two targets", "ELBv2 API RegisterTargets")
def two_ports(s):
    group = s.in_use()
    s.register(group, ("127.20.1.55", 8001), ("127.20.1.55", 8002))
    same(sorted(s.health(group)), [("127.20.1.55", 8001), ("127.20.1.55", 8002)], "targets")
    s.deregister(group, ("127.20.1.55", 8001))
    eventually(lambda: sorted(s.health(group)) == [("127.20.1.55", 8002)], lambda: f"targets are {s.health(group)}")


@check("TR-INSTANCE-2PORTS", "D", "one instance on two ports is two targets", "ELBv2 API RegisterTargets")
def instance_two_ports(s):
    group, first = s.in_use(TargetType="instance"), s.instances()[0]["InstanceId"]
    s.register(group, (first, 8001), (first, 8002), (first, 8001))
    same(sorted(s.health(group)), [(first, 8001), (first, 8002)], "targets")


@check("TR-PORT", "D", "without a port a target gets its group's", "ELBv2 API TargetDescription")
def default_port(s):
    group = s.in_use(Port=8080)
    s.elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "127.20.1.56"}])
    same(list(s.health(group)), [("127.20.1.56", 8080)], "targets")


@check(
    "TH-UNUSED",
    "D",
    "without a listener, or in a zone that is not enabled, a target is unused (Target.NotInUse)",
    "ELBv2 API TargetHealth",
)
def unused(s):
    idle = s.group()
    s.register(idle, ("127.20.1.57", 80))
    same(s.health(idle)[("127.20.1.57", 80)][:2], ("unused", "Target.NotInUse"), "without a listener")
    balancer, group = s.nlb(Subnets=s.subnet_ids("internal", 1)), s.group()
    s.listener(balancer, group)
    target, _ = s.serve("127.20.3.57")
    s.register(group, target)
    same(s.health(group)[target][:2], ("unused", "Target.NotInUse"), "in the third zone")
    s.elbv2.set_subnets(LoadBalancerArn=balancer["LoadBalancerArn"], Subnets=s.subnet_ids("internal", 3))
    becomes(s, group, target, "healthy")


@check(
    "TH-INITIAL",
    "D",
    "initial: Elb.RegistrationInProgress, then Elb.InitialHealthChecking, then what the probes say",
    "ELBv2 API TargetHealth",
)
def initial(s):
    group = s.in_use()
    target, _ = s.serve("127.20.1.58")
    with s.durations(registration=180, health_interval=3600, health_thresholds=3):
        s.register(group, target)
        same(s.health(group)[target][:2], ("initial", "Elb.RegistrationInProgress"), "at first")
        s.advance(181)
        becomes(s, group, target, "initial", "Elb.InitialHealthChecking")
        for _ in range(3):
            s.advance(3601)
        becomes(s, group, target, "healthy")


@check(
    "TD-DRAINING",
    "D",
    "a deregistered target drains for the delay, listed, and then goes; its other port stays",
    "ELBv2 API DeregisterTargets",
)
def draining(s):
    group = s.in_use()
    gone, _ = s.serve("127.20.1.59")
    stays, _ = s.serve("127.20.1.59")
    s.register(group, gone, stays)
    becomes(s, group, gone, "healthy")
    becomes(s, group, stays, "healthy")
    with s.durations(deregistration=None):
        s.deregister(group, gone)
        same(s.health(group)[gone][:2], ("draining", "Target.DeregistrationInProgress"), "at first")
        s.advance(200)
        same(s.health(group)[gone][0], "draining", "after 200 s")
        s.advance(101)
        eventually(lambda: list(s.health(group)) == [stays], lambda: f"targets are {s.health(group)}")
        same(s.health(group)[stays], HEALTHY, "the other port")


@check("TD-REREGISTER", "O", "registering a draining target ends the draining (F12)", "lbc#288, lbc#1407; reference F12")
def registered_again(s):
    group = s.in_use()
    target, _ = s.serve("127.20.1.60")
    s.register(group, target)
    becomes(s, group, target, "healthy")
    with s.durations(deregistration=300):
        s.deregister(group, target)
        same(s.health(group)[target][0], "draining", "state")
        s.register(group, target)
        becomes(s, group, target, "healthy")
        s.advance(301)
        same(list(s.health(group)), [target], "targets after the delay")


@check("TD-UNKNOWN", "D", "deregistering what is not registered succeeds", "ELBv2 API DeregisterTargets")
def deregister_unknown(s):
    group = s.in_use()
    s.deregister(group, ("127.20.1.61", 80))
    same(s.health(group), {}, "targets")


@check(
    "TH-NOTREGISTERED",
    "D",
    "health of a target that is not registered is unused, Target.NotRegistered",
    "ELBv2 API TargetHealth",
)
def not_registered(s):
    group = s.in_use()
    answer = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "127.20.1.62", "Port": 80}])
    [entry] = answer["TargetHealthDescriptions"]
    same((entry["TargetHealth"]["State"], entry["TargetHealth"]["Reason"]), ("unused", "Target.NotRegistered"), "health")


@check("TH-AZ", "O", "the zone of an ip target in the VPC is filled in", "lbc#658")
def zone(s):
    group = s.in_use()
    s.register(group, ("127.20.2.63", 80))
    [entry] = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    same(entry["Target"].get("AvailabilityZone"), f"{s.region}b", "zone")


def register_refused(s, group, *targets):
    before = s.health(group)
    refused(REFUSED, s.elbv2.register_targets, TargetGroupArn=group["TargetGroupArn"], Targets=list(targets))
    same(s.health(group), before, "targets after a refused registration")


@check("TR-PUBLIC-IP", "D", "a public address is no target", "ELBv2 API TargetDescription")
def public_address(s):
    register_refused(s, s.group(), {"Id": "127.20.1.64", "Port": 80}, {"Id": "8.8.8.8", "Port": 80})
    register_refused(s, s.group(), {"Id": "8.8.8.8", "Port": 80, "AvailabilityZone": "all"})


@check("TR-OUTSIDE-VPC-NO-AZ", "D", "an address outside of the VPC needs AvailabilityZone=all", "ELBv2 API TargetDescription")
def outside(s):
    group = s.group()
    register_refused(s, group, {"Id": "10.99.0.1", "Port": 80})
    targets = [{"Id": "10.99.0.1", "Port": 80, "AvailabilityZone": "all"}]
    s.elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=targets)
    same(list(s.health(group)), [("10.99.0.1", 80)], "targets")


@check("TR-INSTANCE-IN-IP-TG", "D", "an instance is no target of an ip group", "ELBv2 API TargetDescription")
def instance_in_ip_group(s):
    register_refused(s, s.group(), {"Id": s.instances()[0]["InstanceId"], "Port": 80})


@check("TR-IP-IN-INSTANCE-TG", "D", "an address is no target of an instance group", "ELBv2 API TargetDescription")
def address_in_instance_group(s):
    register_refused(s, s.group(TargetType="instance"), {"Id": "127.20.1.65", "Port": 80})


@check("TR-INSTANCE-404", "D", "an unknown instance is refused", "ELBv2 API TargetDescription")
def unknown_instance(s):
    register_refused(s, s.group(TargetType="instance"), {"Id": "i-0123456789abcdef0", "Port": 80})


@check("TR-404", "D", "an unknown group is TargetGroupNotFound", "ELBv2 API RegisterTargets")
def unknown_group(s):
    gone = s.group()["TargetGroupArn"][:-16] + "0" * 16
    targets = [{"Id": "127.20.1.66", "Port": 80}]
    refused("TargetGroupNotFound", s.elbv2.register_targets, TargetGroupArn=gone, Targets=targets)
    refused("TargetGroupNotFound", s.elbv2.deregister_targets, TargetGroupArn=gone, Targets=targets)
    refused("TargetGroupNotFound", s.elbv2.describe_target_health, TargetGroupArn=gone)


@check("TR-1001", "D", "a group has at most 1,000 targets: TooManyTargets", "NLB guide, quotas")
def many(s):
    group = s.group()
    for start in range(0, 1000, 200):
        s.register(group, *(("127.20.1.67", 10000 + port) for port in range(start, start + 200)))
    refused(
        "TooManyTargets",
        s.elbv2.register_targets,
        TargetGroupArn=group["TargetGroupArn"],
        Targets=[{"Id": "127.20.1.67", "Port": 9}],
    )
    same(len(s.health(group)), 1000, "targets")


@check("TR-PER-ZONE", "D", "a load balancer has at most 500 targets in a zone: TooManyTargets", "NLB guide, quotas")
def targets_per_zone(s):
    group = s.in_use()
    s.register(group, *(("127.20.1.96", port) for port in range(1, 501)))
    arguments = {"TargetGroupArn": group["TargetGroupArn"]}
    refused("TooManyTargets", s.elbv2.register_targets, Targets=[{"Id": "127.20.1.97", "Port": 80}], **arguments)
    s.register(group, ("127.20.2.97", 80))
    s.deregister(group, *(("127.20.1.96", port) for port in range(1, 501)))


@check("TH-STATES", "D", "unavailable, and unhealthy.draining where connections to unhealthy targets are kept, are states too", "ELBv2 API TargetHealth")
def rare_states(s):
    group = s.in_use()
    arn = group["TargetGroupArn"]
    values = {
        "target_health_state.unhealthy.connection_termination.enabled": "false",
        "target_health_state.unhealthy.draining_interval_seconds": "3600",
    }
    attributes = [{"Key": key, "Value": value} for key, value in values.items()]
    s.elbv2.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)
    target, stop = s.serve("127.20.1.98")
    stop()
    s.register(group, target)
    becomes(s, group, target, "unhealthy.draining", "Target.FailedHealthChecks")
    s.advance(3601)
    becomes(s, group, target, "unhealthy", "Target.FailedHealthChecks")


@check("TH-OWN-ADDRESS", "D", "an address of a load balancer is an unused target: Target.IpUnusable", "NLB guide, register targets")
def own_address(s):
    balancer, group = s.nlb(), s.group()
    s.listener(balancer, group)
    address = s.interfaces(balancer)[0]["PrivateIpAddress"]
    s.register(group, (address, 80))
    same(s.health(group)[(address, 80)][:2], ("unused", "Target.IpUnusable"), "health")


@check("TR-ALB", "D", "an alb group is TCP, checked by HTTP, and takes one application load balancer that exists", "NLB guide, ALB as target")
def application_load_balancer(s):
    arguments = {"Name": s.name("tg"), "Port": 80, "VpcId": s.vpc, "TargetType": "alb"}
    refused(REFUSED, s.elbv2.create_target_group, Protocol="UDP", **arguments)
    refused(REFUSED, s.elbv2.create_target_group, Protocol="TCP", HealthCheckProtocol="TCP", **arguments)
    group = s.group(TargetType="alb")
    same((group["TargetType"], group["HealthCheckProtocol"], group["HealthCheckPath"]), ("alb", "HTTP", "/"), "group")
    alb = f"arn:aws:elasticloadbalancing:{s.region}:{s.account}:loadbalancer/app/web/0123456789abcdef"
    refused(REFUSED, s.elbv2.register_targets, TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": alb, "Port": 80}])


@check("TH-INCLUDE", "D", "anomaly detection, asked for, is not what a network load balancer has", "ELBv2 API DescribeTargetHealth")
def include(s):
    group = s.in_use()
    s.register(group, ("127.20.1.99", 80))
    answer = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"], Include=["AnomalyDetection"])
    same([entry.get("AnomalyDetection") for entry in answer["TargetHealthDescriptions"]], [None], "anomaly detection")
