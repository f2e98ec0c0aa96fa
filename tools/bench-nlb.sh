#!/usr/bin/env bash
# AWS calls, times and memory of the NLB controller (the static release build that the image holds), from the emulator's journal, beside their limits.
# Exit status 1 when a limit is missed. `tools/bench-nlb.sh --readme` also writes the table into README.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo unshare ip iptables

LANDFALL_KUBERNETES=$(kubernetes)
export LANDFALL_KUBERNETES LANDFALL_WORKDIR=$TARGET/bench
rm -rf "$LANDFALL_WORKDIR"
mkdir -p "$LANDFALL_WORKDIR"
echo "building (a release build of the AWS SDK takes some minutes, once) ..." >&2
LANDFALL_BIN=$(static_binary landfall)
export LANDFALL_BIN
cargo build --quiet --workspace --all-targets
echo "measuring, about two minutes; what was called is shown on the way ..." >&2
status=0
LANDFALL_BENCH=1 cargo test --quiet --workspace --test it |
  tee "$LANDFALL_WORKDIR/table.md" || status=$?

if [[ ${1:-} == --readme ]] && grep -q 'resident memory' "$LANDFALL_WORKDIR/table.md"; then
  grep '^|\|^$' "$LANDFALL_WORKDIR/table.md" >"$LANDFALL_WORKDIR/only-the-table.md"
  into_readme bench-nlb "$LANDFALL_WORKDIR/only-the-table.md"
fi
exit "$status"
