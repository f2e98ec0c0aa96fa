#!/usr/bin/env bash
# What a request costs in the data plane, beside nginx and haproxy, in one run of about ten minutes. Exit status 1 when a limit is missed.
#   tools/bench-proxy.sh [ROUNDS]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo nginx haproxy wrk h2load strace taskset chrt unshare ip
((EUID == 0)) || { echo "it must run as root: it gives itself real-time priority on two cores (chrt)" >&2; exit 1; }
echo "building (a release build of the AWS SDK takes some minutes, once) ..." >&2
program=$(static_bench proxy)
# In a network of its own: what Docker and kube-proxy leave in this machine's firewall would cost each of them the same for each packet, and
# hide by that how much they differ.
unshare --net bash -c 'ip link set lo up && exec "$@"' bash "$program" run "$TARGET/bench-proxy" "$@"
