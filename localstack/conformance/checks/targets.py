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


@check("TH-HEALTHY", "D", "a target that accepts connections becomes healthy, and unhealthy when it stops")
def healthy(s):
    group = s.in_use()
    target, stop = s.serve("127.20.1.50")
    s.register(group, target)
    becomes(s, group, target, "healthy")
    same(s.health(group)[target], HEALTHY, "health")
    stop()
    becomes(s, group, target, "unhealthy", "Target.FailedHealthChecks")


@check("TH-UNREACHABLE", "D", "a target that nobody listens on is unhealthy, and healthy when somebody does")
def unreachable(s):
    group = s.in_use()
    target, stop = s.serve("127.20.1.51")
    stop()
    s.register(group, target)
    becomes(s, group, target, "unhealthy", "Target.FailedHealthChecks")
    s.serve(*target)
    becomes(s, group, target, "healthy")


@check("TH-MISMATCH", "D", "another HTTP code is Target.ResponseCodeMismatch, and the description names it")
def mismatch(s):
    group = s.in_use(HealthCheckProtocol="HTTP")
    bad, _ = s.serve("127.20.1.52", status=503)
    good, _ = s.serve("127.20.1.53", status=204)
    s.register(group, bad, good)
    becomes(s, group, bad, "unhealthy", "Target.ResponseCodeMismatch", "[503]")
    becomes(s, group, good, "healthy")


@check("TH-HC-PORT", "D", "a health-check port of its own is the one that is probed")
def health_port(s):
    (_, port), _ = s.serve("127.20.1.54", status=200)
    group = s.in_use(HealthCheckProtocol="HTTP", HealthCheckPort=str(port))
    s.register(group, ("127.20.1.54", 9))
    becomes(s, group, ("127.20.1.54", 9), "healthy")
    described = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    same([entry["HealthCheckPort"] for entry in described], [str(port)], "HealthCheckPort")


@check("TH-INSTANCE", "D", "an instance is probed at its private address")
def instance(s):
    first = s.instances()[0]
    group = s.in_use(TargetType="instance")
    (_, port), _ = s.serve(first["PrivateIpAddress"])
    s.register(group, (first["InstanceId"], port))
    becomes(s, group, (first["InstanceId"], port), "healthy")


@check("TH-MULTIPORT", "D", "one address on two ports is two targets")
def two_ports(s):
    group = s.in_use()
    s.register(group, ("127.20.1.55", 8001), ("127.20.1.55", 8002))
    same(sorted(s.health(group)), [("127.20.1.55", 8001), ("127.20.1.55", 8002)], "targets")
    s.deregister(group, ("127.20.1.55", 8001))
    eventually(lambda: sorted(s.health(group)) == [("127.20.1.55", 8002)], lambda: f"targets are {s.health(group)}")


@check("TR-INSTANCE-2PORTS", "D", "one instance on two ports is two targets")
def instance_two_ports(s):
    group, first = s.in_use(TargetType="instance"), s.instances()[0]["InstanceId"]
    s.register(group, (first, 8001), (first, 8002), (first, 8001))
    same(sorted(s.health(group)), [(first, 8001), (first, 8002)], "targets")


@check("TR-PORT", "D", "without a port a target gets its group's")
def default_port(s):
    group = s.in_use(Port=8080)
    s.elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "127.20.1.56"}])
    same(list(s.health(group)), [("127.20.1.56", 8080)], "targets")


@check("TH-UNUSED", "D", "without a listener, or in a zone that is not enabled, a target is unused (Target.NotInUse)")
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


@check("TH-INITIAL", "D", "initial: Elb.RegistrationInProgress, then Elb.InitialHealthChecking, then what the probes say")
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


@check("TD-DRAINING", "D", "a deregistered target drains for the delay, listed, and then goes; its other port stays")
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
        s.advance(299)
        same(s.health(group)[gone][0], "draining", "after 299 s")
        s.advance(2)
        eventually(lambda: list(s.health(group)) == [stays], lambda: f"targets are {s.health(group)}")
        same(s.health(group)[stays], HEALTHY, "the other port")


@check("TD-REREGISTER", "O", "registering a draining target ends the draining (F12)")
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


@check("TD-UNKNOWN", "D", "deregistering what is not registered succeeds")
def deregister_unknown(s):
    group = s.in_use()
    s.deregister(group, ("127.20.1.61", 80))
    same(s.health(group), {}, "targets")


@check("TH-NOTREGISTERED", "D", "health of a target that is not registered is unused, Target.NotRegistered")
def not_registered(s):
    group = s.in_use()
    answer = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "127.20.1.62", "Port": 80}])
    [entry] = answer["TargetHealthDescriptions"]
    same((entry["TargetHealth"]["State"], entry["TargetHealth"]["Reason"]), ("unused", "Target.NotRegistered"), "health")


@check("TH-AZ", "O", "the zone of an ip target in the VPC is filled in")
def zone(s):
    group = s.in_use()
    s.register(group, ("127.20.2.63", 80))
    [entry] = s.elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    same(entry["Target"].get("AvailabilityZone"), f"{s.region}b", "zone")


def register_refused(s, group, *targets):
    before = s.health(group)
    refused(REFUSED, s.elbv2.register_targets, TargetGroupArn=group["TargetGroupArn"], Targets=list(targets))
    same(s.health(group), before, "targets after a refused registration")


@check("TR-PUBLIC-IP", "D", "a public address is no target")
def public_address(s):
    register_refused(s, s.group(), {"Id": "127.20.1.64", "Port": 80}, {"Id": "8.8.8.8", "Port": 80})
    register_refused(s, s.group(), {"Id": "8.8.8.8", "Port": 80, "AvailabilityZone": "all"})


@check("TR-OUTSIDE-VPC-NO-AZ", "D", "an address outside of the VPC needs AvailabilityZone=all")
def outside(s):
    group = s.group()
    register_refused(s, group, {"Id": "10.99.0.1", "Port": 80})
    targets = [{"Id": "10.99.0.1", "Port": 80, "AvailabilityZone": "all"}]
    s.elbv2.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=targets)
    same(list(s.health(group)), [("10.99.0.1", 80)], "targets")


@check("TR-INSTANCE-IN-IP-TG", "D", "an instance is no target of an ip group")
def instance_in_ip_group(s):
    register_refused(s, s.group(), {"Id": s.instances()[0]["InstanceId"], "Port": 80})


@check("TR-IP-IN-INSTANCE-TG", "D", "an address is no target of an instance group")
def address_in_instance_group(s):
    register_refused(s, s.group(TargetType="instance"), {"Id": "127.20.1.65", "Port": 80})


@check("TR-INSTANCE-404", "D", "an unknown instance is refused")
def unknown_instance(s):
    register_refused(s, s.group(TargetType="instance"), {"Id": "i-0123456789abcdef0", "Port": 80})


@check("TR-404", "D", "an unknown group is TargetGroupNotFound")
def unknown_group(s):
    gone = s.group()["TargetGroupArn"][:-16] + "0" * 16
    targets = [{"Id": "127.20.1.66", "Port": 80}]
    refused("TargetGroupNotFound", s.elbv2.register_targets, TargetGroupArn=gone, Targets=targets)
    refused("TargetGroupNotFound", s.elbv2.deregister_targets, TargetGroupArn=gone, Targets=targets)
    refused("TargetGroupNotFound", s.elbv2.describe_target_health, TargetGroupArn=gone)


@check("TR-1001", "D", "a group has at most 1,000 targets: TooManyTargets")
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
