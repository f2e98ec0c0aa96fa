#!/usr/bin/env bash
# Images of one static binary FROM scratch. Needs Docker.
#   tools/image.sh [landfall|localstack]      both without a name
# Each gets two tags: the version, and latest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo docker
CONTEXT=target/image
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

# build IMAGE DOCKERFILE
build() {
  docker version >/dev/null 2>&1 || { echo "missing: a running Docker engine (\`tools/docker.sh make image\` starts one); the files are in $CONTEXT" >&2; exit 1; }
  docker build --quiet --tag "$1:$VERSION" --tag "$1:latest" --file "$2" . >/dev/null
  echo "$1:$VERSION $1:latest, $(($(docker image inspect --format '{{.Size}}' "$1:$VERSION") / 1000)) kB"
}

landfall() {
  local certificates='' file
  for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [[ -f $file ]]; then certificates=$file; fi
  done
  [[ -n $certificates ]] || { echo "missing: CA certificates (Debian/Ubuntu: apt-get install ca-certificates)" >&2; exit 1; }
  cp "$(static_binary landfall)" "$CONTEXT/landfall"
  cp "$certificates" "$CONTEXT/ca-certificates.crt"
  build landfall Dockerfile
}

localstack() {
  need strip
  # A seventh of it is names of functions, for backtraces; who debugs has the binary in the target folder.
  strip --strip-all -o "$CONTEXT/landfall-localstack" "$(static_binary landfall-localstack)"
  build landfall-localstack localstack/Dockerfile
}

mkdir -p "$CONTEXT"
case ${1:-} in
  '') localstack && landfall ;;
  landfall | localstack) "$1" ;;
  *) echo "usage: tools/image.sh [landfall|localstack]" >&2; exit 2 ;;
esac
