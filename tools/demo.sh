#!/usr/bin/env bash
# The tutorial, end to end, on this machine: builds, then runs tools/demo/steps.sh inside a cluster of its own. Logs stay in target/demo.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source tools/demo/cluster.sh
need cargo ip iptables unshare flock curl

lock "$TARGET/demo" || { echo "a demo is running already (it uses $TARGET/demo): wait for it, or end it by Ctrl-C" >&2; exit 1; }
build
echo "starting the cluster and the emulated AWS, in private namespaces ..."
export DEMO_START=$EPOCHREALTIME
run_cluster "$TARGET/demo" -- tools/demo/steps.sh all
