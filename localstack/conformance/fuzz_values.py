"""Values for `fuzz.py`: sound ones built by shape, ways to spoil them, and names picked up from answers."""

import json
import re
import urllib.parse

STRANGE = [
    "",
    " ",
    "0",
    "-1",
    "65536",
    "99999999999999999999999",
    "1e9",
    "NaN",
    "true",
    "TRUE ",
    "null",
    "None",
    "é" * 40,
    "名前",
    "\U0001f600",
    "\x00",
    "\x01\x1b[0m",
    "\ufffe",
    "a\nb\tc\r",
    "<x>&amp;\"'</x>",
    "]]>",
    "%00%ff",
    "../../etc/passwd",
    "*",
    "?" * 50,
    "x" * 33,
    "x" * 300,
    "x" * 70_000,
    "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/net/x/0123456789abcdef",
    "arn:aws:elasticloadbalancing:::",
    "arn:",
    "subnet-0123456789abcdef0",
    "sg-",
    "vpc-zzzz",
    "i-0123456789abcdef0",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "::/129",
    "999.1.1.1",
    "::1",
    "-",
    "internal-x",
    "aws:x",
]
UNKNOWN = ["Unicorn", "unicorn.member.1", "Tags.member.1.Unicorn", "Tag.1.Unicorn", "Subnets.member.1.Unicorn", "Filter.1.Unicorn", "é", "", ".", "..", "A." * 2000 + "A"]
INDICES = ["0", "-1", "x", "", "99999999999999999999999", "01", "1.1", "#"]


def structure(shape, pool, dice, depth=0):
    """Required members, and each other one with a chance that falls with depth."""
    chance = 0.35 / (depth + 1)
    chosen = [name for name in shape.members if name in shape.required_members or dice.random() < chance]
    return {name: value(shape.members[name], name, pool, dice, depth + 1) for name in chosen}


def value(shape, name, pool, dice, depth):
    kind = shape.type_name
    if depth > 6 and kind in ("structure", "list", "map"):
        return [] if kind == "list" else {}
    if kind == "structure":
        return structure(shape, pool, dice, depth)
    if kind == "list":
        return [value(shape.member, name, pool, dice, depth) for _ in range(dice.choice((1, 1, 1, 2, 3)))]
    if kind == "map":
        return {text(shape.key, name, pool, dice): value(shape.value, name, pool, dice, depth) for _ in range(2)}
    if kind == "boolean":
        return dice.random() < 0.5
    if kind in ("integer", "long"):
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", 65_535)
        return dice.choice((low, high, dice.randint(int(low), int(max(low, high))), 1, 5, 10, 80, 443))
    if kind in ("double", "float"):
        return dice.random()
    if kind == "timestamp":
        return "2026-01-01T00:00:00Z"
    if kind == "blob":
        return b"blob"
    return text(shape, name, pool, dice)


def text(shape, name, pool, dice):
    """One of the enumeration, or something that the member's name hints at."""
    if enum := shape.metadata.get("enum"):
        preferred = [word for word in enum if word in ("network", "internal", "ip", "instance", "forward", "TCP", "UDP", "ipv4", "off")]
        return dice.choice(preferred if preferred and dice.random() < 0.8 else enum)
    lower = name.lower()
    for kind, known in pool.items():
        if kind in lower and known and dice.random() < 0.9:
            return dice.choice(known)
    if "protocol" in lower:
        return dice.choice(("tcp", "udp", "-1", "6", "icmp"))
    if "key" in lower:
        return dice.choice(("a", "team", "deletion_protection.enabled", "load_balancing.cross_zone.enabled", "tcp.idle_timeout.seconds"))
    return dice.choice(("a", "b", "true", "80", "x-1", "us-west-2a"))


def whole(shape, seen=()):
    """Everything that the shape has room for, once."""
    if shape.name in seen:
        return None
    seen += (shape.name,)
    if shape.type_name == "structure":
        members = {name: whole(member, seen) for name, member in shape.members.items()}
        return {name: member for name, member in members.items() if member is not None}
    if shape.type_name in ("list", "map"):
        item = whole(shape.member if shape.type_name == "list" else shape.value, seen)
        return None if item is None else [item] if shape.type_name == "list" else {"x": item}
    return {"integer": 1, "long": 1, "double": 1.0, "float": 1.0, "boolean": True, "timestamp": 0, "blob": b""}.get(shape.type_name, "x")


def spoil_form(fields, dice):
    """One thing made wrong."""
    fields = list(fields)
    way = dice.choice(("value", "value", "value", "drop", "unknown", "rename", "below", "index", "twice", "many", "order"))
    if not fields or way == "unknown":
        return fields + [(dice.choice(UNKNOWN), dice.choice(STRANGE))]
    at = dice.randrange(len(fields))
    key, old = fields[at]
    if way == "value":
        fields[at] = key, dice.choice(STRANGE)
    elif way == "drop":
        del fields[at]
    elif way == "rename":
        fields[at] = dice.choice((key.lower(), key + "x", "x" + key, key + " ", key + ".", key + ".member", "member." + key)), old
    elif way == "below":
        fields[at] = f"{key}.Unicorn", old
    elif way == "index":
        fields[at] = re.sub(r"\.\d+", f".{dice.choice(INDICES)}", key, count=1), old
    elif way == "twice":
        fields.append((key, dice.choice(STRANGE)))
    elif way == "many" and re.search(r"\.\d+", key):
        fields += [(re.sub(r"\.\d+", f".{number}", key, count=1), old) for number in range(2, dice.choice((30, 70, 1_500)))]
    else:
        dice.shuffle(fields)
    return fields


def form_body(fields):
    """Form-encoded, in UTF-8."""
    return "&".join(f"{urllib.parse.quote_plus(key)}={urllib.parse.quote_plus(value)}" for key, value in fields).encode()


def spoil_json(members, dice):
    members = dict(members)
    way = dice.choice(("value", "value", "type", "drop", "unknown"))
    if not members or way == "unknown":
        return {**members, "Unicorn": dice.choice(STRANGE)}, "Unicorn"
    key = dice.choice(sorted(members))
    if way == "drop":
        del members[key]
    elif way == "type":
        members[key] = dice.choice((None, 1, -1, 1.5, True, [], {}, [[]], [None], {"Unicorn": 1}))
    else:
        members[key] = dice.choice(STRANGE)
    return members, None


def as_json(members):
    return json.dumps(members, default=lambda blob: blob.decode()).encode()


HARVESTED = {
    "loadbalancerarn": rb"<LoadBalancerArn>([^<]+)",
    "targetgrouparn": rb"<TargetGroupArn>([^<]+)",
    "listenerarn": rb"<ListenerArn>([^<]+)",
    "group": rb"<groupId>(sg-[^<]+)",
    "subnet": rb"<subnetId>([^<]+)",
    "instance": rb"<instanceId>([^<]+)",
    "networkinterface": rb"<networkInterfaceId>([^<]+)",
    "marker": rb"<NextMarker>([^<]+)",
    "nexttoken": rb"<nextToken>([^<]+)",
}


def harvest(body, pool):
    """Names in an answer, for later calls; a bounded number of each kind."""
    for kind, pattern in HARVESTED.items():
        known = pool.setdefault(kind, [])
        for found in re.findall(pattern, body[:20_000])[:3]:
            if found.decode() not in known:
                known.append(found.decode())
        del known[:-12]
