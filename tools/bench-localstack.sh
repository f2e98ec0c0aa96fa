#!/usr/bin/env bash
# What the emulator costs, a static release build, beside moto (PyPI) and Debian's HAProxy, in about three minutes. Exit status 1 when a
# goal is missed; what is skipped is said. `tools/bench-localstack.sh --readme` also writes the tables into localstack/README.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo haproxy taskset chrt
(($(nproc) > 1)) || { echo "it needs two cores: one for the server under test, one for the load" >&2; exit 1; }
venv=$(tools/python-venv.sh localstack/conformance/moto/requirements.txt) || { echo "the peer: ${venv##*$'\n'}" >&2; exit 1; }
venv=${venv##*$'\n'}
# Ahead of everything that is not measured, where that is allowed.
first=()
if ((EUID == 0)); then first=(chrt --rr 1); else echo "not root, so that other programs get in the way of what is measured" >&2; fi

echo "building ..." >&2
program=$(static_bench emulator --package landfall-localstack --bin landfall-localstack)
work=$TARGET/bench-localstack
mkdir -p "$work"
echo "measuring ..." >&2
status=0
"${first[@]}" taskset --cpu-list 1 "$program" "${program%/deps/*}/landfall-localstack" "$venv/bin/moto_server" "$work" |
  tee "$work/tables.md" || status=$?
if [[ ${1:-} == --readme ]] && grep -q '^| Gbit/s' "$work/tables.md"; then
  into_readme bench-localstack "$work/tables.md" localstack/README.md
fi
exit "$status"
