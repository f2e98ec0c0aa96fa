#!/usr/bin/env bash
# The emulator in containers: its image, then the checks of tests/containers on every back end, and testcontainers for Python as a foreign
# client. Needs a Docker engine: `tools/docker.sh tools/containers.sh` starts one where none runs. Without one the back ends that need none
# are checked, and the others skipped, loudly.
#
# LANDFALL_TEST_BACKENDS=inproc,container,moto,localstack,endpoint:http://…,aws says which. Arguments go to the test binary.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo
docker=
if docker version >/dev/null 2>&1; then docker=1; fi

# What an image FROM scratch is for: it is pulled, or loaded from a cache, before each run of somebody's tests.
LIMIT=15000000

if [[ -n $docker ]]; then
  tools/image.sh localstack
  size=$(docker image inspect --format '{{.Size}}' landfall-localstack:latest)
  ((size <= LIMIT)) || { echo "the image has $size bytes, $LIMIT are its limit" >&2; exit 1; }
fi
cargo test --quiet --workspace --test backends -- "$@"
[[ -n $docker ]] || exit 0
venv=$(optional tools/python-venv.sh tests/clients/testcontainers/requirements.txt)
if [[ -z $venv ]]; then
  echo "!!! SKIPPED: testcontainers for Python: lacks its packages"
else
  "$venv/bin/python" tests/clients/testcontainers/check.py
fi
