#!/usr/bin/env bash
# The image: one static binary FROM scratch. Needs Docker.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo docker
tag=${1:-landfall:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
certificates=
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  if [[ -f $file ]]; then certificates=$file; fi
done
[[ -n $certificates ]] || { echo "missing: CA certificates (Debian/Ubuntu: apt-get install ca-certificates)" >&2; exit 1; }
binary=$(static_binary)
mkdir -p target/image
cp "$binary" target/image/landfall
cp "$certificates" target/image/ca-certificates.crt
docker info >/dev/null 2>&1 || { echo "missing: a running Docker engine (docker info does not answer); the static binary is target/image/landfall" >&2; exit 1; }
docker build -t "$tag" .
docker image ls "$tag"
