#!/usr/bin/env bash
# The emulator's page in headless Chromium, as its readers see and use it.
#
#   localstack/conformance/page.sh [BINARY] [names of tests …]
#
# Builds nothing: BINARY defaults to landfall-localstack in the target folder (release before debug). Pictures of the page are left in
# the target folder's page/: look at them after a change. Where there is no Chromium or no Python, it says so and exits 0.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
skip() { echo "!!! SKIPPED: the page's browser test: lacks $1"; exit 0; }

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "chromium (Debian: apt-get install chromium)"
set +e
venv=$("$root/tools/python-venv.sh" "$here/page/requirements.txt"); code=$?
set -e
venv=${venv##*$'\n'}
if [[ $code -eq 3 ]]; then skip "${venv#skipped: lacks }"; fi
[[ $code -eq 0 ]] || exit "$code"

if [[ $# -gt 0 && -x $1 ]]; then
  binary=$1; shift
else
  for binary in "$target"/{release,debug}/landfall-localstack; do [[ -x $binary ]] && break; done
fi
[[ -x $binary ]] || { echo "page.sh: $binary is not there; build it with: cargo build -p landfall-localstack" >&2; exit 2; }

mkdir -p "$target/page"
cd "$here"
export PYTHONDONTWRITEBYTECODE=1 PAGE_BINARY=$binary PAGE_CHROMIUM=$chromium PAGE_PICTURES=$target/page
exec "$venv/bin/python" page_test.py "$@"
