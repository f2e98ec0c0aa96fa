"""The calls of the AWS Load Balancer Controller by action and outcome; exit 1 when the emulator lacked an action or a parameter.

    calls.py JOURNAL      the answer of GET /_landfall/journal
"""

import collections
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    answer = json.load(file)
entries = answer if isinstance(answer, list) else answer["entries"]
# Its user agent names it; others are the cluster's own.
mine = [entry for entry in entries if "elbv2.k8s.aws" in entry["user_agent"]]
calls = collections.Counter()
for entry in mine:
    calls[entry["service"], entry["action"], entry["result"].get("code") or entry["result"]["outcome"]] += 1
for (service, action, outcome), count in sorted(calls.items()):
    print(f"{count:5}  {service:22} {action:34} {outcome}")
lacking = sorted({(service, action) for service, action, outcome in calls if outcome in ("InvalidAction", "UnknownParameter", "ValidationError")})
for service, action in lacking:
    print(f"the emulator lacks {service} {action}, or a parameter of it")
if not mine:
    print("no call has its user agent")
sys.exit(bool(lacking) or not mine)
