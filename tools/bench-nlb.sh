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
LANDFALL_BIN=$(static_binary)
export LANDFALL_BIN
cargo build --quiet --workspace --all-targets
echo "measuring, about two minutes; what was called is shown on the way ..." >&2
status=0
LANDFALL_BENCH=1 cargo test --quiet --workspace --test it |
  tee "$LANDFALL_WORKDIR/table.md" || status=$?

if [[ ${1:-} == --readme ]] && grep -q 'resident memory' "$LANDFALL_WORKDIR/table.md"; then
  {
    sed '/<!-- bench-nlb -->/q' README.md
    printf '\n`tools/bench-nlb.sh --readme`, %s, %s CPUs:\n\n' "$(date --utc +%F)" "$(nproc)"
    grep '^|\|^$' "$LANDFALL_WORKDIR/table.md"
    echo
    sed -n '/<!-- \/bench-nlb -->/,$p' README.md
  } >"$LANDFALL_WORKDIR/README.md"
  cp "$LANDFALL_WORKDIR/README.md" README.md
fi
exit "$status"
