# Sourced by tools/demo.sh and tools/up.sh: builds what a cluster with an emulated AWS is made of, and starts it.
# shellcheck shell=bash
# The name that deploy/controller.yaml has in its ConfigMap, so that it can be applied as it is.
CLUSTER_NAME=my-cluster

# Programs and control plane, with progress; nothing is done for what is there already.
build() {
  echo "building the control plane from Go modules (once, about five minutes) or reusing it ..."
  ended_with_us tools/kubernetes/build.sh >/dev/null
  BINARIES=$(kubernetes)
  echo "building Landfall (the AWS SDK takes some minutes, once) or reusing it ..."
  ended_with_us cargo build --workspace --all-targets
}

# run_cluster WORKDIR ARGUMENT... : takes the place of this process, so that whoever ends it ends the cluster.
run_cluster() {
  local workdir=$1 bin=$TARGET/debug
  shift
  export LANDFALL_LOAD=$bin/landfall-load
  exec "$bin/landfall-cluster" run --workdir "$workdir" --binaries "$BINARIES" --cluster-name "$CLUSTER_NAME" \
    --image landfall="$bin/landfall" --image landfall-backend="$bin/landfall-backend" "$@"
}

# lock FOLDER : fails if a cluster has it. Everything that is started inherits the lock, so it lasts as long as any of it.
lock() {
  mkdir -p "$1"
  exec 9>"$1/lock"
  flock --nonblock 9
}
