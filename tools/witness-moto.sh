#!/usr/bin/env bash
# Runs the emulator's conformance suite against moto, an emulator by others: prints how many behaviours it shows and explains each that it
# does not, from localstack/conformance/moto/disagreements.txt. Exit 1 when a disagreement is not explained there, or an explanation is
# not needed. Takes some minutes: moto answers about 150 calls a second.
#
#   tools/witness-moto.sh [--write | arguments of run.py …]      --write: docs/reference/emulator-witness.md, too
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
suite=$ROOT/localstack/conformance
venv=$(optional tools/python-venv.sh "$suite/moto/requirements.txt")
[[ -n $venv ]] || exit 0

write=
if [[ ${1:-} == --write ]]; then write=1; shift; fi
work=$(mktemp -d)
trap 'kill "$moto" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Without its list of thousands of machine images, which it would load anew for each check.
MOTO_EC2_LOAD_DEFAULT_AMIS=false "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto" 2>&1 &
moto=$!
for _ in $(seq 600); do
  curl --silent --output /dev/null "http://127.0.0.1:$port/moto-api/" && break
  kill -0 "$moto" 2>/dev/null || { echo "moto did not start; its last words:" >&2; tail -n 20 "$work/moto" >&2; exit 1; }
  sleep 0.1
done

page=$work/page.md
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$suite/run.py" --endpoint "http://127.0.0.1:$port" --witness moto --page "$page" "$@"
if [[ -n $write ]]; then cp "$page" docs/reference/emulator-witness.md; fi
