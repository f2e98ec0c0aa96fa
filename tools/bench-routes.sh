#!/usr/bin/env bash
# What the route table costs, and how soon a change is in force with 1,000 Ingresses under load: a static release build, about two
# minutes. Exit status 1 when a limit is missed. `tools/bench-routes.sh --readme` also writes the tables into README.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo unshare ip iptables

LANDFALL_KUBERNETES=$(kubernetes)
export LANDFALL_KUBERNETES LANDFALL_WORKDIR=${LANDFALL_WORKDIR:-$TARGET/bench}
rm -rf "$LANDFALL_WORKDIR"
mkdir -p "$LANDFALL_WORKDIR"
echo "building (a release build of the AWS SDK takes some minutes, once) ..." >&2
program=$(static_bench routes --bin landfall)
export LANDFALL_BIN=${program%/deps/*}/landfall
cargo build --quiet --workspace --all-targets
echo "measuring ..." >&2
status=0
"$program" --bench | tee "$LANDFALL_WORKDIR/tables.md" || status=$?
echo | tee -a "$LANDFALL_WORKDIR/tables.md"
LANDFALL_BENCH=churn cargo test --quiet --workspace --test it | tee -a "$LANDFALL_WORKDIR/tables.md" || status=$?

if [[ ${1:-} == --readme ]] && grep -q 'all of them again' "$LANDFALL_WORKDIR/tables.md"; then
  into_readme bench-routes "$LANDFALL_WORKDIR/tables.md"
fi
exit "$status"
