#!/usr/bin/env bash
# Integration tests: one binary, a real control plane in private namespaces, the emulator in process.
# Arguments go to the test binary: a filter, --list, --nocapture ...
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo unshare ip iptables curl
LANDFALL_KUBERNETES=$(kubernetes)
LANDFALL_CLIENTS=$(optional tests/clients/go/build.sh)
LANDFALL_PYTHON=$(optional tools/python-venv.sh tests/clients/python/requirements.txt)
export LANDFALL_KUBERNETES LANDFALL_CLIENTS LANDFALL_PYTHON=${LANDFALL_PYTHON:+$LANDFALL_PYTHON/bin/python}
export LANDFALL_WORKDIR=${LANDFALL_WORKDIR:-$TARGET/it}
rm -rf "$LANDFALL_WORKDIR"; mkdir -p "$LANDFALL_WORKDIR"
cargo build --quiet --workspace --all-targets
cargo test --quiet --workspace --test it --test self -- "$@"
