#!/usr/bin/env bash
# Makes a Python environment with the pinned packages of a requirements file in the cache folder and prints its folder, the last
# line of stdout. Reused as long as the file and the Python version are the same.
#
#   tools/python-venv.sh [REQUIREMENTS]      default: localstack/conformance/requirements.txt
#
# Where there is no Python or the packages cannot be had: one line `skipped: lacks …` on stdout, exit 3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
requirements=${1:-$here/../localstack/conformance/requirements.txt}
[[ -r $requirements ]] || { echo "python-venv.sh: cannot read $requirements" >&2; exit 2; }
skip() { echo "skipped: lacks $1"; exit 3; }

python=$(command -v python3) || skip "python3 (3.10 or newer; install it to run the conformance suite)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || skip "python3 3.10 or newer (found $("$python" -V 2>&1))"
"$python" -c 'import ensurepip, venv' 2>/dev/null || skip "python3/pip (the modules venv and ensurepip; Debian: apt-get install python3-venv)"

key=$(cat "$requirements" <("$python" -c 'import sys; print(sys.executable, sys.version)') | sha256sum | cut -c1-12)
root=${XDG_CACHE_HOME:-$HOME/.cache}/landfall/python
out=$root/$key
mkdir -p "$root"
# One at a time: a second caller waits here and then finds everything in place.
exec 9>"$root/.lock"; flock 9
if [[ ! -e $out/.complete ]]; then
  echo "making a Python environment in $out ..." >&2
  rm -rf "$out"
  "$python" -m venv "$out" >&2
  if ! "$out/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2; then
    rm -rf "$out"
    skip "the Python packages of $(basename "$(dirname "$requirements")")/$(basename "$requirements") (pip could not install them; see above)"
  fi
  touch "$out/.complete"
fi
echo "$out"
