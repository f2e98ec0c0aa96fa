"""What a Python expression says of the answer of GET /_landfall/state on stdin: `s`, and the short names below.

    state.py EXPRESSION
"""

import json
import sys

s = json.load(sys.stdin)
vpc = s["security_groups"][0]["vpc_id"]
# A line for each: its id, and the first three bytes of its address.
interfaces = "\n".join(f"{found['id']} {found['address'].rpartition('.')[0]}" for found in s["interfaces"])
balancers, groups = s["load_balancers"], s["target_groups"]
ports = sorted(listener["port"] for listener in s["listeners"])
kinds = {group["target_type"] for group in groups}
targets = [target for listed in s["targets"].values() for target in listed]


def attributes(resource, *keys):
    return [resource["attributes"].get(key) for key in keys]


def rules(group):
    """Of the security group of this name."""
    return [rule for found in s["security_groups"] if found["name"] == group for rule in found["rules"] if not rule["egress"]]


# What a controller of load balancers leaves behind when it forgets something.
leftovers = [(group["name"], len(group["rules"])) for group in s["security_groups"]], len(s["interfaces"])
print(eval(sys.argv[1]))
