#!/usr/bin/env bash
# The image: one static binary FROM scratch. Needs Docker.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo docker
tag=${1:-landfall:$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
target=x86_64-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$target" --bin landfall
mkdir -p target/image
cp "$TARGET/$target/release/landfall" target/image/landfall
certificates=$(for f in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do [[ -f $f ]] && echo "$f"; done | head -1)
[[ -n $certificates ]] || { echo "missing: CA certificates (Debian/Ubuntu: apt-get install ca-certificates)" >&2; exit 1; }
cp "$certificates" target/image/ca-certificates.crt
docker info >/dev/null 2>&1 || { echo "missing: a running Docker engine (docker info does not answer); the static binary is target/image/landfall" >&2; exit 1; }
docker build -t "$tag" .
docker image ls "$tag"
