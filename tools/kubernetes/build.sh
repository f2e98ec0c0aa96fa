#!/usr/bin/env bash
# Builds the pinned control plane (etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubectl) from Go
# modules into the cache folder and prints that folder, the last line of stdout. Reused as long as go.mod and the Go version are
# the same. Honours KUBEBUILDER_ASSETS: a folder that holds all six is used as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binaries=(etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl)

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  for b in "${binaries[@]}"; do
    [[ -x $KUBEBUILDER_ASSETS/$b ]] || { echo "missing: KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no executable $b; unset it to build all six from source" >&2; exit 1; }
  done
  echo "$KUBEBUILDER_ASSETS"; exit 0
fi
command -v go >/dev/null || { echo "missing: Go (1.26 or newer) builds the Kubernetes control plane; install it, or point KUBEBUILDER_ASSETS at a folder with: ${binaries[*]}" >&2; exit 1; }

cd "$here"
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' go.mod)
key=$(cat go.mod go.sum <(go env GOVERSION GOOS GOARCH) "${BASH_SOURCE[0]##*/}" | sha256sum | cut -c1-12)
root=${XDG_CACHE_HOME:-$HOME/.cache}/landfall/kubernetes
out=$root/$version-$key
mkdir -p "$out"
# One build at a time: a second caller waits here and then finds everything in place.
exec 9>"$root/.lock"; flock 9

minor=${version#v1.}; minor=${minor%%.*}
ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor"
for b in "${binaries[@]}"; do
  [[ -x $out/$b ]] && continue
  if [[ $b == etcd ]]; then package=go.etcd.io/etcd/server/v3; else package=k8s.io/kubernetes/cmd/$b; fi
  echo "building $b $version (cold: up to 5 minutes for the first, cached afterwards) ..." >&2
  start=$SECONDS
  CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$out/.$b.partial" "$package" >&2
  mv "$out/.$b.partial" "$out/$b"
  echo "built $b in $((SECONDS - start)) s" >&2
done
echo "$out"
