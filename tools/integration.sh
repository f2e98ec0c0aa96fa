#!/usr/bin/env bash
# Integration tests: one binary, a real control plane in private namespaces, the emulator in process.
# Arguments go to the test binary: a filter, --list, --nocapture ...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo unshare ip iptables curl
LANDFALL_KUBERNETES=$(kubernetes)
export LANDFALL_KUBERNETES
export LANDFALL_WORKDIR=${LANDFALL_WORKDIR:-$TARGET/it}
rm -rf "$LANDFALL_WORKDIR"; mkdir -p "$LANDFALL_WORKDIR"
cargo build --quiet --workspace --all-targets
cargo test --quiet --workspace --test '*' -- "$@"
