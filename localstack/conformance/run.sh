#!/usr/bin/env bash
# Starts the emulator on a free port, runs the conformance suite, the AWS CLI and the fuzz against it, stops it.
#
#   localstack/conformance/run.sh [BINARY] [arguments of run.py …]
#   localstack/conformance/run.sh --register      writes docs/reference/emulator-rules.md, and starts nothing
#
# Builds nothing: BINARY defaults to landfall-localstack in the target folder (release before debug). Where there is no Python,
# or its packages cannot be had, it says `skipped: lacks …` and exits 0.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

set +e
venv=$("$root/tools/python-venv.sh" "$here/requirements.txt"); code=$?
set -e
venv=${venv##*$'\n'}
if [[ $code -eq 3 ]]; then echo "conformance: $venv"; exit 0; fi
[[ $code -eq 0 ]] || exit "$code"

run() { PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/run.py" "$@"; }
page=$root/docs/reference/emulator-rules.md
if [[ ${1:-} == --register ]]; then
  written=$(run --register) && echo "$written" >"$page"
  exit
fi

if [[ $# -gt 0 && $1 != --* ]]; then
  binary=$1; shift
else
  target=${CARGO_TARGET_DIR:-$root/target}
  for binary in "$target"/{release,debug}/landfall-localstack; do [[ -x $binary ]] && break; done
fi
[[ -x $binary ]] || { echo "run.sh: $binary is not there; build it with: cargo build -p landfall-localstack" >&2; exit 2; }

work=$(mktemp -d)
emulator=
cleanup() {
  if [[ -n $emulator ]]; then kill "$emulator" 2>/dev/null && wait "$emulator" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# A port that is free now may be taken a moment later: then the emulator ends at once, and the next port is tried.
start() {
  local port
  for _ in 1 2 3 4 5; do
    port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$binary" --listen "127.0.0.1:$port" --profile instant >"$work/out" 2>"$work/err" &
    emulator=$!
    for _ in $(seq 200); do
      if grep -q '^Ready\.' "$work/out"; then endpoint=http://127.0.0.1:$port; return; fi
      kill -0 "$emulator" 2>/dev/null || break
      sleep 0.05
    done
    kill "$emulator" 2>/dev/null || true; wait "$emulator" 2>/dev/null || true; emulator=
  done
  echo "run.sh: $binary did not say Ready.; its last words:" >&2
  tail -n 20 "$work/err" >&2
  exit 1
}
start

failed=0
(cd "$here" && PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest --quiet referee_test >"$work/referee" 2>&1) ||
  { echo "FAILED the referee's own tests:"; cat "$work/referee"; failed=1; }
run --endpoint "$endpoint" "$@" || failed=1
run --register >"$work/rules.md" && diff -q "$work/rules.md" "$page" >/dev/null ||
  { echo "FAILED docs/reference/emulator-rules.md is not what the checks say: localstack/conformance/run.sh --register writes it"; failed=1; }
"$here/cli.sh" "$venv/bin/aws" "$endpoint" || failed=1
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/fuzz.py" --endpoint "$endpoint" || failed=1

kill -0 "$emulator" 2>/dev/null || { echo "FAILED the emulator ended by itself:"; tail -n 20 "$work/err"; failed=1; }
if grep -q 'panicked at' "$work/err"; then echo "FAILED the emulator panicked:"; grep -A3 'panicked at' "$work/err"; failed=1; fi
exit "$failed"
