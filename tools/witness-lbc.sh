#!/usr/bin/env bash
# Runs the AWS Load Balancer Controller on the emulator, with a real API server: it creates, changes and deletes a network load balancer for
# a Service. Ends with the emulator's account of its calls; exit 1 when a step fails, or the emulator lacks an action that it asked for.
#
#   tools/witness-lbc.sh BINARY CRDS      BINARY: its v3, built from its own source (`go build -o … .`); it is in no module registry.
#                                         CRDS: that source's folder config/crd/bases
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source tools/demo/cluster.sh
need cargo ip iptables unshare flock curl openssl python3
[[ -x ${1:-} && -d ${2:-} ]] || { echo "usage: make witness-lbc LBC_BIN=…/controller LBC_CRDS=…/config/crd/bases" >&2; exit 2; }
LBC_BIN=$(realpath "$1") LBC_CRDS=$(realpath "$2")
export LBC_BIN LBC_CRDS CLUSTER_NAME

lock "$TARGET/witness-lbc" || { echo "it is running already (it uses $TARGET/witness-lbc)" >&2; exit 1; }
BINARIES=$(kubernetes)
# The cluster and the backend only: no part of Landfall takes part.
cargo build --quiet --package landfall-test-cluster
exec "$TARGET/debug/landfall-cluster" run --workdir "$TARGET/witness-lbc" --binaries "$BINARIES" --cluster-name "$CLUSTER_NAME" \
  --image landfall-backend="$TARGET/debug/landfall-backend" -- tools/witness-lbc/steps.sh
