#!/usr/bin/env bash
# Builds h2spec and the Go client and backend from pinned modules into the cache folder and prints that folder, the last line of
# stdout. Reused as long as the sources and the Go version are the same. Where there is no Go: one line `skipped: lacks …`, exit 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
command -v go >/dev/null || { echo "skipped: lacks go (1.26 or newer)"; exit 3; }

key=$(cat ./*.go ./page.html go.mod go.sum <(go env GOVERSION GOOS GOARCH) | sha256sum | cut -c1-12)
root=${XDG_CACHE_HOME:-$HOME/.cache}/landfall/clients
out=$root/$key
mkdir -p "$out"
# One build at a time: a second caller waits here and then finds everything in place.
exec 9>"$root/.lock"; flock 9
for package in h2spec=github.com/summerwind/h2spec/cmd/h2spec clients=.; do
  binary=${package%%=*}
  [[ -x $out/$binary ]] && continue
  echo "building $binary (once) ..." >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/.$binary.partial" "${package#*=}" >&2
  mv "$out/.$binary.partial" "$out/$binary"
done
echo "$out"
